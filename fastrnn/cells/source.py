"""Python source of recorded operations and of SymPy's expressions, and functions from it."""

from __future__ import annotations

import keyword
import linecache
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fastrnn.cells.trace import CURVES, Value
from fastrnn.simd import functions

if TYPE_CHECKING:
    from fastrnn.cells.base import Cell


class Names:
    """Hands out identifiers, each once."""

    def __init__(self) -> None:
        self._taken = {"abs", *functions.__all__, *keyword.kwlist}

    def new(self, wanted: str) -> str:
        """`wanted`, or something like it."""
        base = re.sub(r"\W", "", wanted)
        base = base if base.isidentifier() else f"v{base}"
        name, count = base, 1
        while name in self._taken:
            name, count = f"{base}{count}", count + 1
        self._taken.add(name)
        return name


class Operations:
    """Writes recorded operations as they were, each when it is first needed."""

    def __init__(self, variables: dict[int, str], names: Names) -> None:
        #: Statements, in order.
        self.lines: list[str] = []
        self._variables = dict(variables)
        self._names = names

    def text(self, operand: Any) -> str:
        """The variable of a value, or a number."""
        if not isinstance(operand, Value):
            return repr(operand) if operand >= 0 else f"({operand!r})"
        if operand.index not in self._variables:
            line = self._operation(operand)
            self._variables[operand.index] = self._names.new("t")
            self.lines.append(f"{self._variables[operand.index]} = {line}")
        return self._variables[operand.index]

    def _operation(self, value: Value) -> str:
        parts = [self.text(a) for a in value.arguments]
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


class Expressions:
    """Writes SymPy's expressions, each statement when it is first needed.

    Parameters
    ----------
    statements : dict of str to expression
        What names in expressions stand for.
    like : str
        A vector, for those that are zero.
    names : Names
    """

    def __init__(self, statements: dict[str, Any], like: str, names: Names) -> None:
        #: Statements, in order.
        self.lines: list[str] = []
        #: Names that are read and not computed here.
        self.used: set[str] = set()
        self._statements = dict(statements)
        self._like = like
        self._names = names
        self._written: set[str] = set()
        self._zero = ""

    def text(self, expression: Any) -> str:
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


def tuple_text(parts: Iterable[str]) -> str:
    """A tuple of what is written."""
    texts = list(parts)
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"


def function(
    cell: Cell, name: str, parameters: Sequence[str], lines: Sequence[str], returned: Iterable[str]
) -> Callable[..., Any]:
    """The function that these lines are the body of; a debugger can step through it."""
    head, tail = f"def {name}({', '.join(parameters)}):", f"return {', '.join(returned)}"
    source = "\n    ".join([head, *lines, tail]) + "\n"
    file = f"<{name} of cell {cell.name!r}, derived>"
    namespace: dict[str, Any] = {f: getattr(functions, f) for f in functions.__all__}
    namespace["__name__"] = cell.forward.__module__
    exec(compile(source, file, "exec"), namespace)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return namespace[name]  # type: ignore[no-any-return]
