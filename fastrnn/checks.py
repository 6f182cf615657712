"""The only door: what users give becomes arrays that kernels can trust, or an error that helps.

Errors are raised before any work and name the argument, what it must be, and what it was.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))

#: Says in messages where something is, from its index in an array.
Where = Callable[..., str]


def check_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """`dtype` as float32 or float64, or TypeError."""
    try:
        found = np.dtype(dtype) if dtype is not None else np.dtype(object)
    except TypeError:
        found = np.dtype(object)
    if found not in FLOATS:
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return found


def check_integer(name: str, value: Any, *, least: int) -> int:
    """`value` as an int of at least `least`, or TypeError or ValueError."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be an integer, got {value!r} of type {type(value).__name__}"
        ) from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_number(
    name: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """`value` as a finite float within limits, or TypeError or ValueError."""
    try:
        if isinstance(value, str | bool | np.bool_):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be a number, got {value!r} of type {type(value).__name__}"
        ) from None
    limits: list[tuple[float | None, str, Callable[[float, float], bool]]] = [
        (above, "above", operator.gt),
        (least, "at least", operator.ge),
        (below, "below", operator.lt),
        (most, "at most", operator.le),
    ]
    wanted = [f"{word} {limit:g}" for limit, word, _ in limits if limit is not None]
    holds = all(test(number, limit) for limit, _, test in limits if limit is not None)
    if not (holds and np.isfinite(number)):
        must = " and ".join(wanted) or "finite"
        if wanted and np.isnan(number):
            must = f"a number {'of ' if must.startswith('at') else ''}{must}"
        elif wanted and holds:
            must = f"finite and {must}"
        raise ValueError(f"{name} must be {must}, got {number:g}")
    return number


class FixedSizes:
    """Refuses to change what arrays were made for, once it is set."""

    _fixed: frozenset[str] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if name in self._fixed and (before is False or before not in (None, 0)):
            raise AttributeError(
                f"{name} is fixed once it is set: make a new {type(self).__name__}"
            )
        super().__setattr__(name, value)


def check_seed(seed: Any) -> int | None:
    """`seed` as an int of at least 0, or None; TypeError or ValueError else."""
    return None if seed is None else check_integer("seed", seed, least=0)


def generator_of(seed: Any) -> np.random.Generator:
    """A generator that begins at `seed`, or `seed` itself if it is one; TypeError or ValueError."""
    if isinstance(seed, np.random.Generator):
        return seed
    return np.random.default_rng(check_seed(seed))


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value` if it is among `choices`, or ValueError."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)


def check_text(name: str, value: Any) -> str:
    """`value` if it is a str that is not empty, or TypeError or ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must not be empty")
    return value


def check_bool(name: str, value: Any) -> bool:
    """`value` as a bool, or TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_floats(name: str, value: ArrayLike, dtype: np.dtype[Any]) -> Array:
    """`value` as an array of exactly `dtype`, or TypeError."""
    array = as_array(name, value)
    if array.dtype != dtype:
        order = "" if array.dtype.isnative else f" of foreign byte order ({array.dtype.str})"
        raise TypeError(
            f"{name} must be {dtype.name}, got {array.dtype.name}{order}: convert it with "
            f".astype(np.{dtype.name}), precisions are never mixed"
        )
    return array


def check_finite(name: str, array: Array, form: str = "") -> None:
    """ValueError unless all numbers are finite; `form` says in what they must be."""
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(np.argwhere(~finite)[0].tolist())
        raise ValueError(f"{name} must be finite{form}, got {array[place]} at {place}")


def as_array(name: str, value: ArrayLike) -> Array:
    """`value` as an array of whatever type, or ValueError."""
    try:
        return np.asarray(value)
    except ValueError as error:
        cause = _odd_entry(name, value) or str(error)
        raise ValueError(
            f"{name} must be an array, got a {type(value).__name__} that is none: {cause}"
        ) from None


def _odd_entry(name: str, value: Any) -> str:
    """Which entry of a list makes it no array, as far as one is to blame."""
    first = None
    for n, entry in enumerate(value if isinstance(value, list | tuple) else ()):
        try:
            shape = np.shape(entry)
        except ValueError:
            return f"neither is {name}[{n}]"
        if n and shape != first:
            return f"{name}[{n}] has shape {shape}, and {name}[0] {first}"
        first = shape
    return ""


def at_index(*place: int) -> str:
    """The plain `Where`."""
    return f"index {place[0] if len(place) == 1 else place}"


def check_shape(name: str, array: Array, shape: tuple[int, ...], meaning: str) -> None:
    """ValueError unless `array` has `shape`, spelled ``meaning = shape`` in the message."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {meaning} = {shape}, got {array.shape}")


def named_states(name: str, states: Sequence[str], value: Any) -> list[tuple[str, Any]]:
    """Each state that `value` holds, with its name for messages; TypeError unless it is a tuple.

    For a cell of one state it is that state itself.
    """
    if len(states) == 1:
        return [(name, value)]
    if not (isinstance(value, tuple | list) and len(value) == len(states)):
        raise TypeError(f"{name} must be a tuple ({', '.join(states)}), got {type(value).__name__}")
    return [(f"{name} {which}", one) for which, one in zip(states, value, strict=True)]


def readable(array: Array) -> Array:
    """C-contiguous and of the type that kernels are compiled for, copied only if it must be.

    A read-only array is passed on under a writable header, since Numba would compile all kernels
    again for its type. Kernels never write to what they only read.
    """
    array = np.asarray(array, order="C")
    if not array.flags.aligned:
        return array.copy()
    return array if array.flags.writeable else np.asarray(_Writable(array))


class _Writable:
    """Presents a read-only array's memory as writable, and keeps the array alive."""

    def __init__(self, array: Array) -> None:
        self._array = array
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface


def check_tokens(name: str, tokens: ArrayLike, size: int, meaning: str) -> NDArray[np.int64]:
    """`tokens` as contiguous int64, all in [0, size), or TypeError or ValueError."""
    array = as_array(name, tokens)
    if array.size == 0 and array.dtype.kind == "f" and not isinstance(tokens, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype.name}")
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0 or high >= size:
            bad = low if low < 0 else high
            where = f" at {at_index(*np.argwhere(array == bad)[0].tolist())}" if array.ndim else ""
            raise ValueError(f"{name} must be in [0, {meaning}) = [0, {size}), got {bad}{where}")
    # A copy: kernels index with them, unchecked, and the user's array may change any time.
    return np.array(array, np.int64, order="C")


#: Up to so many integers Python finds the least, the largest and the sum sooner than NumPy, whose
#: calls cost more than their work; of some hundreds, later.
FEW = 64


def least_largest_sum(integers: NDArray[Any]) -> tuple[int, int, int]:
    """The least, the largest and the sum of integers (any,), zeros if there are none."""
    if integers.size <= FEW:
        few = integers.tolist()
        return min(few, default=0), max(few, default=0), sum(few)
    return int(integers.min()), int(integers.max()), int(integers.sum())


def check_lengths(
    name: str, lengths: ArrayLike, time: int, shape: tuple[int, ...]
) -> tuple[NDArray[np.int64], int, int]:
    """`lengths` (N,) or () as int64 (N,), the largest of them and their sum.

    TypeError or ValueError unless they are integers in [0, time].
    """
    array = as_array(name, lengths)
    if array.size == 0 and array.dtype.kind == "f" and not isinstance(lengths, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {array.dtype.name}")
    check_shape(name, array, shape, "(N,)" if shape else "()")
    array = array.reshape(-1)
    least, largest, total = least_largest_sum(array)
    if not 0 <= least <= largest <= time:
        wrong = np.flatnonzero((array < 0) | (array > time))
        where = f" at index {wrong[0]}" if shape else ""
        raise ValueError(f"{name} must be in [0, T] = [0, {time}], got {array[wrong[0]]}{where}")
    return np.array(array, np.int64), largest, total
