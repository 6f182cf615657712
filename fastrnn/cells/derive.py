"""The backward equations of a cell, derived from its forward ones by SymPy.

The forward equations are recorded as they run. Their values are cut at each `tanh`, `sigmoid` and
so on, and at the new states: between the cuts are sums, products and quotients, which SymPy
differentiates; from cut to cut runs the chain rule, tanh' = 1 - tanh^2. Whatever of the cuts the
result needs is saved by the forward equations, which are written anew for that, operation by
operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn.cells.declaration import (
    check_arguments,
    check_early,
    check_forward,
    preactivation_names,
)
from fastrnn.cells.source import Expressions, Names, Operations, function, tuple_text
from fastrnn.cells.trace import COMPARISONS, CURVES, Trace, Value

if TYPE_CHECKING:
    from fastrnn.cells.base import Cell


class Derived(NamedTuple):
    """What a cell is given that has no backward equations."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    saved: tuple[str, ...]
    h_carried: bool
    early: Callable[..., Any] | None = None
    early_backward: Callable[..., Any] | None = None
    early_kept: tuple[str, ...] = ()


class _Record(NamedTuple):
    """The forward equations as they ran."""

    trace: Trace
    names: Names
    #: Of `early`, which is empty without late gates, and of `forward`.
    early_gates: list[Value]
    gates: list[Value]
    states: list[Value]
    weights: list[Value]
    #: What `early` makes of h, and how many values there were when it had run.
    modulated: Value | None
    early_values: int
    new_states: tuple[Value, ...]
    #: The names of inputs and of other cuts, by index.
    cuts: dict[int, str]

    def called(self, values: Iterable[Value]) -> list[str]:
        """The names of cuts."""
        return [self.cuts[value.index] for value in values]


def derive(cell: Cell) -> Derived:
    """Derive the backward equations of `cell` from its forward ones.

    Raises
    ------
    ImportError
        If SymPy is not installed.
    TypeError, ValueError
        If `forward` is not what the cell declares, or computes what cannot be derived.
    """
    run = _record(cell)
    back, h_carried = _backward(cell, run)
    early_back, modulated = None, run.modulated
    needed = set(back.needed)
    if modulated is not None:
        early_back = _early_backward(cell, run, modulated)
        needed |= early_back.needed
    saved = [v for v in run.trace.values if v.index in needed and v is not modulated]
    names = run.called(saved)
    if modulated is not None:  # It is the last, also where it is an input by itself.
        saved.append(modulated)
        is_input = modulated.operation == "input"
        names += [run.names.new("modulated")] if is_input else run.called([modulated])
    kept = _kept(run, [*run.new_states, *saved])
    kept_names = [run.cuts.get(v.index) or run.names.new("kept") for v in kept]

    inputs = [*run.called(run.gates), *kept_names, *run.called([*run.states, *run.weights])]
    variables = zip([*run.gates, *kept, *run.states, *run.weights], inputs, strict=True)
    step = Operations({v.index: name for v, name in variables}, run.names)
    results = [tuple_text(map(step.text, group)) for group in (run.new_states, saved)]
    derived = Derived(
        forward=function(cell, "forward", inputs, step.lines, results),
        backward=function(cell, "backward", [*names, *back.given], back.lines, back.results),
        saved=tuple(names),
        h_carried=h_carried,
    )
    # What a copy of the cell in another process is derived from anew.
    vars(derived.backward)["derived_from"] = {
        "forward": cell.forward,
        "backward": None,
        "early": cell.early,
        "early_backward": None,
        "early_kept": cell.early_kept,
    }
    if modulated is None or early_back is None:
        return derived
    inputs = run.called([*run.early_gates, *run.states])
    variables = zip([*run.early_gates, *run.states], inputs, strict=True)
    first = Operations({v.index: name for v, name in variables}, run.names)
    results = [first.text(modulated), tuple_text(map(first.text, kept))]
    given, lines = [*names, *early_back.given], early_back.lines
    return derived._replace(
        early=function(cell, "early", inputs, first.lines, results),
        early_backward=function(cell, "early_backward", given, lines, early_back.results),
        early_kept=tuple(kept_names),
    )


def _record(cell: Cell) -> _Record:
    gates = preactivation_names(cell)
    first = len(gates) - len(cell.late) if cell.late else 0
    trace, modulated = Trace(), None
    inputs = [trace.input() for _ in (*gates, *cell.states, *cell.weights)]
    states = inputs[len(gates) : len(gates) + len(cell.states)]
    weights = inputs[len(gates) + len(cell.states) :]
    kept: tuple[Value, ...] = ()
    if cell.late:
        modulated, kept = _run(cell, "early", trace, [*inputs[:first], *states])
    early_values = len(trace.values)
    arguments = [*inputs[first : len(gates)], *kept, *states, *weights]
    new_states, _ = _run(cell, "forward", trace, arguments)

    names = Names()
    cuts = {i: names.new(name) for i, name in enumerate([*gates, *cell.states, *cell.weights])}
    if modulated is not None and modulated.index not in cuts:
        cuts[modulated.index] = names.new("modulated")
    for value in trace.values:
        if _is_cut(value) and value.index not in cuts:
            cuts[value.index] = names.new(value.operation)
    early_gates, late_gates = inputs[:first], inputs[first : len(gates)]
    return _Record(
        trace, names, early_gates, late_gates, states, weights,
        modulated, early_values, new_states, cuts,
    )  # fmt: skip


def _run(cell: Cell, name: str, trace: Trace, arguments: list[Value]) -> Any:
    equation = getattr(cell, name)
    check_arguments(cell, name, equation)
    try:
        result = trace.run(equation, *arguments)
    except Exception as error:
        raise ValueError(
            f"cell {cell.name!r}: backward cannot be derived from {name}, give it or change "
            f"{name}: {error}"
        ) from error
    check = check_early if name == "early" else check_forward
    check(cell, result, lambda value: isinstance(value, Value))
    return result


def _is_cut(value: Value) -> bool:
    return value.operation in CURVES or value.operation.startswith("where")


class _Backward(NamedTuple):
    """One backward equation, but for the saved values, which are its first arguments."""

    given: list[str]
    lines: list[str]
    results: list[str]
    #: Indices of the values that must be saved for it.
    needed: set[int]


def _backward(cell: Cell, run: _Record) -> tuple[_Backward, bool]:
    """`backward`, and whether a gradient is carried to the previous h."""
    news = [run.names.new(f"{state}_new") for state in cell.states]
    d_news = [run.names.new(f"d_{state}") for state in cell.states]
    given = [*run.called(run.states), *news, *d_news, *run.called(run.weights)]
    # The new states are given: a value that is one of them need not be saved.
    cuts = dict(run.cuts)
    for value, name in reversed([*zip(run.new_states, news, strict=True)]):
        cuts[value.index] = name
    found, writer = _differentiate(run, cuts, run.new_states, d_news)
    h_carried = bool(cell.late) or run.states[0].index in found
    groups = [[*run.early_gates, *run.gates], run.states[0 if h_carried else 1 :]]
    groups += [run.weights] if run.weights else []
    results = [tuple_text(writer.text(found.get(v.index)) for v in group) for group in groups]
    needed = {index for index, name in cuts.items() if name in writer.used.difference(given)}
    return _Backward(given, writer.lines, results, needed), h_carried


def _early_backward(cell: Cell, run: _Record, modulated: Value) -> _Backward:
    d_modulated = run.names.new("d_modulated")
    so_far = [run.names.new(f"d_{name}") for name in run.called(run.early_gates)]
    found, writer = _differentiate(run, run.cuts, [modulated], [d_modulated])
    h, *others = run.states
    if any(state.index in found for state in others):
        raise ValueError(
            f"cell {cell.name!r}: backward cannot be derived, since early_backward has no result "
            f"for states but {cell.states[0]}: modulated must be made of no other"
        )
    sums = []
    for gate, before in zip(run.early_gates, so_far, strict=True):
        expression = found.get(gate.index)
        sums.append(before if expression is None else f"{before} + {writer.text(expression)}")
    results = [tuple_text(sums), writer.text(found.get(h.index))]
    given = [*run.called(run.states), d_modulated, *so_far]
    needed = {i for i, name in run.cuts.items() if name in writer.used.difference(given)}
    return _Backward(given, writer.lines, results, needed)


def _kept(run: _Record, results: Iterable[Value]) -> list[Value]:
    """Values of `early` that `forward` needs for its results."""
    given = {value.index for value in (*run.gates, *run.states, *run.weights)}
    found: dict[int, Value] = {}

    def look(value: Any) -> None:
        if not isinstance(value, Value) or value.index in given:
            return
        if value.index < run.early_values:
            found[value.index] = value
        else:
            for argument in value.arguments:
                look(argument)

    for value in results:
        look(value)
    return [found[index] for index in sorted(found)]


def _sympy() -> Any:
    try:
        import sympy
    except ImportError as error:
        raise ImportError(
            "a cell without backward equations needs SymPy: pip install fastrnn[symbolic]"
        ) from error
    return sympy


def _differentiate(
    run: _Record, cuts: dict[int, str], ends: Sequence[Value], gradients: Sequence[str]
) -> tuple[dict[int, Any], Expressions]:
    """Gradients of the inputs by index, absent if zero, and what writes them.

    `gradients` are the names of those of `ends`.
    """
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
        """A value that is no cut, or is one only as a result, in terms of its operands."""
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

    for value, name in zip(ends, gradients, strict=True):
        terms.setdefault(value.index, []).append(sympy.Symbol(name, real=True))
    for value in reversed(run.trace.values):
        total = sympy.Add(*terms.get(value.index, ()))
        if total == 0:
            continue
        if value.operation == "input":
            results[value.index] = total
            continue
        if not total.is_Symbol:
            gradient = sympy.Symbol(run.names.new(f"d_{cuts[value.index]}"), real=True)
            definitions[gradient] = total
            total = gradient
        pass_through(value, total)

    shared, reduced = sympy.cse(
        [*definitions.values(), *results.values()],
        symbols=(sympy.Symbol(run.names.new("t"), real=True) for _ in iter(int, 1)),
        order="canonical",
    )
    defined = dict(zip(definitions, reduced, strict=False)) | dict(shared)
    statements = {symbol.name: value for symbol, value in defined.items()}
    found = dict(zip(results, reduced[len(definitions) :], strict=True))
    return found, Expressions(statements, gradients[0], run.names)
