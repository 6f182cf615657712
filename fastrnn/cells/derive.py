"""The backward equations of a cell, derived from its forward ones by SymPy.

The forward equations are recorded as they run. Their values are cut at each `tanh`, `sigmoid` and
so on, and at the new states: between the cuts are sums, products and quotients, which SymPy
differentiates; from cut to cut runs the chain rule, tanh' = 1 - tanh^2. Whatever of the cuts the
result needs is saved by the forward equations, which are written anew for that, operation by
operation.
"""

from __future__ import annotations

import keyword
import linecache
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn.cells.declaration import check_arguments, check_forward, preactivation_names
from fastrnn.cells.trace import COMPARISONS, CURVES, Trace, Value
from fastrnn.simd import functions

if TYPE_CHECKING:
    from fastrnn.cells.base import Cell


class Derived(NamedTuple):
    """What a cell is given that has no backward equations."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    saved: tuple[str, ...]
    h_carried: bool


def derive(cell: Cell) -> Derived:
    """Derive the backward equations of `cell` from its forward ones.

    Raises
    ------
    ImportError
        If SymPy is not installed.
    TypeError, ValueError
        If `forward` is not what the cell declares, or computes what cannot be derived.
    """
    gates = preactivation_names(cell)
    count = len(gates) + len(cell.states) + len(cell.weights)
    check_arguments(cell, "forward", cell.forward)
    trace = Trace()
    arguments = [trace.input() for _ in range(count)]
    try:
        result = trace.run(cell.forward, *arguments)
    except Exception as error:
        raise ValueError(
            f"cell {cell.name!r}: backward cannot be derived from forward, give it or change "
            f"forward: {error}"
        ) from error
    check_forward(cell, result, lambda value: isinstance(value, Value))
    new_states = result[0]

    names = _Names()
    inputs = [names.new(name) for name in (*gates, *cell.states, *cell.weights)]
    news = [names.new(f"{state}_new") for state in cell.states]
    gradients = [names.new(f"d_{state}") for state in cell.states]
    # What the backward equations call each cut, and which of these names they are given anyway.
    cuts = dict(enumerate(inputs))
    cuts |= {v.index: names.new(v.operation) for v in trace.values if _is_cut(v)}
    cuts |= {v.index: news[i] for i, v in reversed([*enumerate(new_states)])}
    given = [*inputs[len(gates) : len(gates) + len(cell.states)], *news, *gradients]
    of_weights = inputs[len(gates) + len(cell.states) :]

    seeds = [(v, gradient) for v, gradient in zip(new_states, gradients, strict=True)]
    statements, results = _differentiate(trace, cuts, seeds, names)
    wanted = [results.get(index) for index in range(count)]
    h_carried = wanted[len(gates)] is not None
    split = len(gates) + len(cell.states)
    groups = [wanted[: len(gates)], wanted[len(gates) + (not h_carried) : split]]
    groups += [wanted[split:]] if cell.weights else []
    writer = _BackwardWriter(statements, gradients[0], names)
    returned = ", ".join(_tuple(map(writer.result, group)) for group in groups)
    known = {*given, *of_weights}
    saved = [(v, cuts[v.index]) for v in trace.values if cuts.get(v.index) in writer.used - known]

    variables = {v.index: name for v, name in zip(arguments, inputs, strict=True)}
    lines, kept = _write_forward(new_states, [v for v, _ in saved], variables, names)
    forward = _function(cell, "forward", inputs, lines, kept)
    parameters = [*(name for _, name in saved), *given, *of_weights]
    backward = _function(cell, "backward", parameters, writer.lines, returned)
    return Derived(forward, backward, tuple(name for _, name in saved), h_carried)


def _is_cut(value: Value) -> bool:
    return value.operation in CURVES or value.operation.startswith("where")


class _Names:
    """Hands out identifiers, each once."""

    def __init__(self) -> None:
        self._taken = {"abs", *functions.__all__, *keyword.kwlist}

    def new(self, wanted: str) -> str:
        base = re.sub(r"\W", "", wanted)
        base = base if base.isidentifier() else f"v{base}"
        name, count = base, 1
        while name in self._taken:
            name, count = f"{base}{count}", count + 1
        self._taken.add(name)
        return name


def _sympy() -> Any:
    try:
        import sympy
    except ImportError as error:
        raise ImportError(
            "a cell without backward equations needs SymPy: pip install fastrnn[symbolic]"
        ) from error
    return sympy


def _differentiate(
    trace: Trace, cuts: dict[int, str], seeds: Sequence[tuple[Value, str]], names: _Names
) -> tuple[dict[str, Any], dict[int, Any]]:
    """Gradients of the inputs by index, absent if zero, and what the names in them stand for."""
    sympy = _sympy()
    symbols = {index: sympy.Symbol(name, real=True) for index, name in cuts.items()}
    index_of = {symbol: index for index, symbol in symbols.items()}
    choose = {s: sympy.Function(f"where{s}") for s in COMPARISONS}
    terms: dict[int, list[Any]] = {}
    definitions: dict[Any, Any] = {}
    results: dict[int, Any] = {}

    def expression(operand: Any) -> Any:
        """An operand in terms of the cuts."""
        if not isinstance(operand, Value):
            return sympy.sympify(operand)
        return symbols[operand.index] if operand.index in symbols else inside(operand)

    def inside(value: Value) -> Any:
        """A value that is no cut, or is one as a new state, in terms of its operands."""
        x, *others = map(expression, value.arguments)
        match value.operation:
            case "+":
                return x + others[0]
            case "-":
                return x - others[0]
            case "*":
                return x * others[0]
            case "/":
                return x / others[0]
            case _:
                return -x

    def pass_on(to: Any, gradient: Any) -> None:
        """Add a gradient to all the cuts that an expression is made of."""
        for symbol in sorted(to.free_symbols, key=str):
            terms.setdefault(index_of[symbol], []).append(gradient * sympy.diff(to, symbol))

    def pass_through(value: Value, gradient: Any) -> None:
        if not _is_cut(value):
            pass_on(inside(value), gradient)
        elif value.operation in CURVES:
            (x,) = map(expression, value.arguments)
            y = symbols[value.index]
            if value.operation == "abs":
                of_x = choose[">"](x, 0, gradient, choose["<"](x, 0, -gradient, 0))
            else:
                slopes = {"tanh": 1 - y * y, "sigmoid": y * (1 - y), "exp": y, "sqrt": 1 / (2 * y)}
                of_x = gradient * slopes[value.operation]
            pass_on(x, of_x)
        else:
            left, right, chosen, otherwise = map(expression, value.arguments)
            where = choose[value.operation.removeprefix("where")]
            pass_on(chosen, where(left, right, gradient, 0))
            pass_on(otherwise, where(left, right, 0, gradient))

    for value, gradient in seeds:
        terms.setdefault(value.index, []).append(sympy.Symbol(gradient, real=True))
    for value in reversed(trace.values):
        total = sympy.Add(*terms.get(value.index, ()))
        if total == 0:
            continue
        if value.operation == "input":
            results[value.index] = total
            continue
        if not total.is_Symbol:
            gradient = sympy.Symbol(names.new(f"d_{cuts[value.index]}"), real=True)
            definitions[gradient] = total
            total = gradient
        pass_through(value, total)

    shared, reduced = sympy.cse(
        [*definitions.values(), *results.values()],
        symbols=(sympy.Symbol(names.new("t"), real=True) for _ in iter(int, 1)),
        order="canonical",
    )
    defined = dict(zip(definitions, reduced, strict=False)) | dict(shared)
    ends = dict(zip(results, reduced[len(definitions) :], strict=True))
    return {symbol.name: value for symbol, value in defined.items()}, ends


class _BackwardWriter:
    """Writes SymPy's expressions as Python, each statement when it is first needed."""

    def __init__(self, statements: dict[str, Any], like: str, names: _Names) -> None:
        self.lines: list[str] = []
        #: Names that are read and not computed here.
        self.used: set[str] = set()
        self._statements = dict(statements)
        self._like = like
        self._names = names
        self._written: set[str] = set()
        self._zero = ""

    def result(self, expression: Any) -> str:
        """What stands for a result; a vector of zeros for None."""
        if expression is not None:
            return self._text(expression)
        if not self._zero:
            self._zero = self._assign(f"where({self._like} < {self._like}, {self._like}, 0)")
        return self._zero

    def _assign(self, text: str) -> str:
        name = self._names.new("t")
        self.lines.append(f"{name} = {text}")
        self._written.add(name)
        return name

    def _atom(self, e: Any) -> str:
        text = self._text(e)
        return text if e.is_Symbol or e.is_Number else self._assign(text)

    def _text(self, e: Any) -> str:
        if e.is_Symbol:
            return self._symbol(e.name)
        if e.is_Number:
            return repr(int(e)) if e.is_Integer else repr(float(e))
        if e.is_Add:
            return self._sum(e)
        if e.is_Mul or e.is_Pow:
            return self._product(e)
        symbol = e.func.__name__.removeprefix("where")
        left, right, chosen, otherwise = map(self._text, e.args)
        return f"where({left} {symbol} {right}, {chosen}, {otherwise})"

    def _symbol(self, name: str) -> str:
        if name in self._statements:
            text = self._text(self._statements.pop(name))
            self.lines.append(f"{name} = {text}")
            self._written.add(name)
        elif name not in self._written:
            self.used.add(name)
        return name

    def _sum(self, e: Any) -> str:
        terms = e.as_ordered_terms()
        negative = [t.as_coeff_Mul()[0] < 0 for t in terms]
        first = negative.index(False) if False in negative else 0
        order = [first, *(i for i in range(len(terms)) if i != first)]
        text = self._text(terms[first])
        for i in order[1:]:
            sign, term = ("-", -terms[i]) if negative[i] else ("+", terms[i])
            text += f" {sign} {self._text(term)}"
        return text

    def _product(self, e: Any) -> str:
        coefficient, rest = e.as_coeff_Mul()
        above: list[str] = []
        below: list[str] = []
        for factor in rest.as_ordered_factors():
            base, power = factor.as_base_exp()
            if not power.is_Integer:
                raise AssertionError(f"{e} has a power that nobody wrote")
            if abs(power) == 1:
                text = self._text(base)
                text = f"({text})" if base.is_Add else text
            else:
                text = self._atom(base)
            (above if power > 0 else below).extend([text] * abs(int(power)))
        if abs(coefficient) != 1 or not above:
            above.insert(0, self._text(abs(coefficient)))
        text = " * ".join(above)
        if below:
            text += f" / ({' * '.join(below)})" if len(below) > 1 else f" / {below[0]}"
        return f"-{text}" if coefficient < 0 else text


def _write_forward(
    states: Iterable[Value], saved: Iterable[Value], variables: dict[int, str], names: _Names
) -> tuple[list[str], str]:
    """The recorded operations as lines of Python, and what they return."""
    lines: list[str] = []

    def text(operand: Any) -> str:
        if not isinstance(operand, Value):
            return repr(operand) if operand >= 0 else f"({operand!r})"
        if operand.index not in variables:
            line = operation(operand)
            variables[operand.index] = names.new("t")
            lines.append(f"{variables[operand.index]} = {line}")
        return variables[operand.index]

    def operation(value: Value) -> str:
        parts = [text(a) for a in value.arguments]
        if value.operation == "neg":
            return f"-{parts[0]}"
        if value.operation in CURVES:
            return f"{value.operation}({parts[0]})"
        if not value.operation.startswith("where"):
            return f"{parts[0]} {value.operation} {parts[1]}"
        symbol = value.operation.removeprefix("where")
        if not any(isinstance(a, Value) for a in value.arguments[2:]):
            # Compiled, one of the two must be a vector.
            like = next(p for p, a in zip(parts, value.arguments, strict=True)
                        if isinstance(a, Value))  # fmt: skip
            parts[2] = f"where({like} < {like}, {like}, {parts[2]})"
        return f"where({parts[0]} {symbol} {parts[1]}, {parts[2]}, {parts[3]})"

    return lines, ", ".join(_tuple(map(text, group)) for group in (states, saved))


def _tuple(parts: Iterable[str]) -> str:
    texts = list(parts)
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def _function(
    cell: Cell, name: str, parameters: Sequence[str], lines: Sequence[str], returned: str
) -> Callable[..., Any]:
    body = [f"def {name}({', '.join(parameters)}):", *lines, f"return {returned}"]
    source = "\n    ".join(body) + "\n"
    file = f"<{name} of cell {cell.name!r}, derived>"
    namespace: dict[str, Any] = {f: getattr(functions, f) for f in functions.__all__}
    namespace["__name__"] = cell.forward.__module__
    exec(compile(source, file, "exec"), namespace)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    function = namespace[name]
    function.derived_from = cell.forward
    return function  # type: ignore[no-any-return]
