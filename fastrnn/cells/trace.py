"""Equations run on stand-ins: copies that compute in plain Python, and values that record how."""

from __future__ import annotations

import math
import operator
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastrnn.simd import functions

#: Functions of one value that are not sums, products or quotients.
CURVES = ("abs", "exp", "sigmoid", "sqrt", "tanh")
COMPARISONS = ("<", "<=", ">", ">=")
_ALLOWED = "+ - * /, comparisons, abs and the functions of fastrnn.simd.functions"


def rebound(function: Any, replaced: dict[Any, Any], done: dict[Any, Any] | None = None) -> Any:
    """A copy of `function` that calls others in place of those that are the keys of `replaced`.

    So do the functions that it calls. Those that Numba has compiled are copied as what they were
    compiled from.
    """
    done = {} if done is None else done

    def part(value: Any) -> Any:
        value = getattr(value, "py_func", value)
        if isinstance(value, types.ModuleType):
            return value if _is_numpy(value.__name__) else Module(value)
        if not isinstance(value, types.FunctionType) or _is_numpy(value.__module__):
            return value
        return replaced[value] if value in replaced else rebound(value, replaced, done)

    class Module:
        def __init__(self, module: types.ModuleType) -> None:
            self.module = module

        def __getattr__(self, name: str) -> Any:
            return part(getattr(self.module, name))

    if function not in done:
        names = dict(function.__globals__)
        cells = tuple(types.CellType() for _ in function.__closure__ or ())
        copy = types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, cells
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        done[function] = copy
        for name in _names(function.__code__):
            if name in names:
                names[name] = part(names[name])
        for cell, given in zip(cells, function.__closure__ or (), strict=True):
            cell.cell_contents = part(given.cell_contents)
    return done[function]


def _is_numpy(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "numpy"


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


class Trace:
    """Everything that equations computed, in order; the same thing twice is one value."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self._known: dict[Any, Value] = {}

    def input(self) -> Value:
        """A new value that nothing computes."""
        return self.record("input", len(self.values))

    def record(self, operation: str, *arguments: Any) -> Value:
        """The value of an operation on values and numbers."""
        key = (operation, *(a.index if isinstance(a, Value) else repr(a) for a in arguments))
        if key not in self._known:
            self._known[key] = Value(self, len(self.values), operation, arguments)
            self.values.append(self._known[key])
        return self._known[key]

    def run(self, function: Callable[..., Any], *arguments: Value) -> Any:
        """What `function` gives for values."""
        curves = {getattr(functions, name): _curve(name) for name in CURVES if name != "abs"}
        return rebound(function, {**curves, functions.where: _where})(*arguments)


class Value:
    """One number of every hidden unit, of which is known how it is computed."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, trace: Trace, index: int, operation: str, arguments: tuple[Any, ...]
    ) -> None:
        self.trace = trace
        self.index = index
        self.operation = operation
        self.arguments = arguments

    def __add__(self, other: Any) -> Value:
        return self.trace.record("+", self, _operand(other))

    def __radd__(self, other: Any) -> Value:
        return self.trace.record("+", _operand(other), self)

    def __sub__(self, other: Any) -> Value:
        return self.trace.record("-", self, _operand(other))

    def __rsub__(self, other: Any) -> Value:
        return self.trace.record("-", _operand(other), self)

    def __mul__(self, other: Any) -> Value:
        return self.trace.record("*", self, _operand(other))

    def __rmul__(self, other: Any) -> Value:
        return self.trace.record("*", _operand(other), self)

    def __truediv__(self, other: Any) -> Value:
        return self.trace.record("/", self, _operand(other))

    def __rtruediv__(self, other: Any) -> Value:
        return self.trace.record("/", _operand(other), self)

    def __pow__(self, power: Any) -> Value:
        if isinstance(power, bool) or not isinstance(power, int) or power < 1:
            raise TypeError(f"powers must be integers above 0, got {power!r}")
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __neg__(self) -> Value:
        return self.trace.record("neg", self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return self.trace.record("abs", self)

    def __lt__(self, other: Any) -> Condition:
        return Condition("<", self, _operand(other))

    def __le__(self, other: Any) -> Condition:
        return Condition("<=", self, _operand(other))

    def __gt__(self, other: Any) -> Condition:
        return Condition(">", self, _operand(other))

    def __ge__(self, other: Any) -> Condition:
        return Condition(">=", self, _operand(other))

    def __eq__(self, other: object) -> Any:
        raise TypeError("== and != are not known; compare with < <= > >=")

    def __bool__(self) -> bool:
        raise TypeError("Python cannot branch on values: write where(condition, a, b)")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        known = _UFUNCS.get(ufunc.__name__)
        if known is None or method != "__call__" or kwargs:
            raise TypeError(f"numpy.{ufunc.__name__} is not known; equations may use {_ALLOWED}")
        return known(*map(_operand, inputs))

    def __array_function__(self, function: Any, kinds: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and len(args) == 3:
            return _where(*args)
        raise TypeError(f"numpy.{function.__name__} is not known; equations may use {_ALLOWED}")


class Condition:
    """A comparison of two values, or of a value and a number."""

    def __init__(self, symbol: str, left: Any, right: Any) -> None:
        self.symbol = symbol
        self.left = left
        self.right = right

    def __bool__(self) -> bool:
        raise TypeError("Python cannot branch on values: write where(condition, a, b)")

    def __and__(self, other: Any) -> Any:
        raise TypeError("conditions cannot be combined: nest where")

    __or__ = __xor__ = __rand__ = __ror__ = __rxor__ = __and__
    __array_function__ = Value.__array_function__


def _operand(x: Any) -> Any:
    """A value, or a finite Python number."""
    if isinstance(x, Value):
        return x
    number = x.item() if isinstance(x, np.generic | np.ndarray) and x.size == 1 else x
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"{x!r} of type {type(x).__name__} is neither a value nor a number")
    if not math.isfinite(number):
        raise TypeError(f"numbers must be finite, got {number}")
    return number


def _where(condition: Any, chosen: Any, otherwise: Any) -> Any:
    if isinstance(condition, bool | np.bool_):
        return chosen if condition else otherwise
    if not isinstance(condition, Condition):
        raise TypeError(f"where's condition must be a comparison, got {type(condition).__name__}")
    trace = next(x for x in (condition.left, condition.right) if isinstance(x, Value)).trace
    return trace.record(
        f"where{condition.symbol}",
        condition.left, condition.right, _operand(chosen), _operand(otherwise),
    )  # fmt: skip


def _curve(name: str) -> Callable[[Any], Any]:
    def apply(x: Any) -> Any:
        return x.trace.record(name, x) if isinstance(x, Value) else getattr(functions, name)(x)

    return apply


_UFUNCS: dict[str, Callable[..., Any]] = {
    **{name: _curve(name) for name in ("exp", "sqrt", "tanh")},
    "absolute": abs,
    "negative": operator.neg,
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
