"""Whether equations take and give what their cell declares.

Compiled kernels store as many results as they are given, wherever that is in memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.cells.trace import rebound

if TYPE_CHECKING:
    from fastrnn.cells.base import Cell


def preactivation_names(cell: Cell) -> list[str]:
    """Of what the gates are computed from, in the order in which gradients of them stand."""
    summed = cell.gates[: len(cell.gates) - len(cell.apart)]
    return [
        *(f"a_{gate}" for gate in summed),
        *(f"{gate}_x" for gate in cell.apart),
        *(f"{gate}_h" for gate in cell.apart),
    ]


def argument_names(cell: Cell, equation: str) -> list[str]:
    """Of "forward", "backward", "early" or "early_backward"."""
    gates = preactivation_names(cell)
    early = gates[: len(gates) - len(cell.late)] if cell.late else []
    if equation == "early":
        return [*early, *cell.states, *cell.weights]
    if equation == "early_backward":
        return [*cell.saved, *cell.states, "d_modulated", *(f"d_{gate}" for gate in early)]
    if equation == "forward":
        return [*gates[len(early) :], *cell.early_kept, *cell.states, *cell.weights]
    new, d = ([template.format(s) for s in cell.states] for template in ("new {}", "d_{}"))
    return [*cell.saved, *cell.states, *new, *d, *cell.weights]


def check_equations(cell: Cell) -> None:
    """Run all equations on one number each.

    Raises
    ------
    TypeError, ValueError
        If they take or give something else than the cell declares.
    """
    gates = preactivation_names(cell)
    forward = _run(cell, "forward")
    check_forward(cell, forward, _is_numbers)
    if len(forward[1]) != len(cell.saved):
        raise ValueError(
            f"cell {cell.name!r}: forward must give {_listed(cell.saved)} to be saved, "
            f"got {len(forward[1])}"
        )
    carried = list(cell.states[0 if cell.h_carried else 1 :])
    wanted: dict[str, Any] = {"d_preactivations": gates, "d_previous_states": carried}
    if cell.weights:
        wanted["d_weights"] = list(cell.weights)
    _check_tuples(cell, "backward", _run(cell, "backward"), wanted)
    if cell.late:
        check_early(cell, _run(cell, "early"), _is_numbers)
        wanted = {"d_preactivations": gates[: len(gates) - len(cell.late)], "d_h": None}
        _check_tuples(cell, "early_backward", _run(cell, "early_backward"), wanted)


def _run(cell: Cell, name: str) -> Any:
    function = getattr(cell, name)
    check_arguments(cell, name, function)
    arguments = [np.ones(1) for _ in argument_names(cell, name)]
    try:
        with np.errstate(all="ignore"):
            return rebound(function, {})(*arguments)
    except Exception as error:
        raise ValueError(
            f"cell {cell.name!r}: {name} must run on NumPy arrays, got "
            f"{type(error).__name__}: {error}"
        ) from error


def check_arguments(cell: Cell, name: str, function: Any) -> None:
    """TypeError unless `function` is one of Python's that takes the arguments of its name."""
    if not inspect.isfunction(function):
        raise TypeError(
            f"cell {cell.name!r}: {name} must be a Python function, got {type(function).__name__}"
        )
    names, signature = argument_names(cell, name), inspect.signature(function)
    try:
        signature.bind(*names)
    except TypeError:
        raise TypeError(
            f"cell {cell.name!r}: {name} must take {_listed(names)}, "
            f"got {function.__name__}{signature}"
        ) from None


def check_forward(cell: Cell, result: Any, is_value: Callable[[Any], bool]) -> None:
    """ValueError unless `result` is (states, saved) and has the cell's states."""
    saved = [f"saved[{i}]" for i in range(_length(result, 1))]
    wanted = {"states": list(cell.states), "saved": saved}
    _check_tuples(cell, "forward", result, wanted, is_value)


def check_early(cell: Cell, result: Any, is_value: Callable[[Any], bool]) -> None:
    """ValueError unless `result` is (modulated, kept) and has what is kept."""
    wanted = {"modulated": None, "kept": list(cell.early_kept)}
    _check_tuples(cell, "early", result, wanted, is_value)


def _length(result: Any, place: int) -> int:
    """Of one of several tuples, 0 if it is none."""
    if isinstance(result, tuple) and len(result) > place and isinstance(result[place], tuple):
        return len(result[place])
    return 0


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (1,) and value.dtype == np.float64


def _check_tuples(
    cell: Cell,
    name: str,
    result: Any,
    wanted: dict[str, Any],
    is_value: Callable[[Any], bool] = _is_numbers,
) -> None:
    """ValueError unless `result` holds, for each of `wanted`, a tuple of so many, or one value."""
    parts = result if isinstance(result, tuple) else ()
    tuples = [isinstance(part, tuple) for part in parts]
    if tuples != [names is not None for names in wanted.values()]:
        kinds = ", ".join(type(part).__name__ for part in parts)
        got = f"({kinds})" if isinstance(result, tuple) else type(result).__name__
        form = ", ".join(f"{what}" if n is None else f"tuple {what}" for what, n in wanted.items())
        raise ValueError(f"cell {cell.name!r}: {name} must return ({form}), got {got}")
    for part, (what, names) in zip(parts, wanted.items(), strict=True):
        values, labels = ((part,), [what]) if names is None else (part, names)
        if len(values) != len(labels):
            raise ValueError(
                f"cell {cell.name!r}: the {what} of {name} must be {_listed(labels)}, "
                f"got {len(values)}"
            )
        for value, label in zip(values, labels, strict=True):
            if not is_value(value):
                raise ValueError(
                    f"cell {cell.name!r}: {label} of {name} must be computed from its arguments, "
                    f"got {value!r}"
                )


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(names)})" if names else "0"
