"""Sequences as users have them, made time-major and of one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from fastrnn.checks import (
    Array,
    Where,
    as_array,
    at_index,
    check_lengths,
    check_shape,
    check_tokens,
)
from fastrnn.data.padding import pad_sequences, sequence_lengths

Integers = NDArray[np.int64]


class Sequences(NamedTuple):
    """Checked sequences.

    Attributes
    ----------
    x : ndarray (T, N, I), or of int64 (T, N)
    lengths : ndarray of int64 (N,), or None
        T of each if None.
    listed : bool
        Whether they came as a list.
    table : bool
        Whether they came as rows of scalars.
    """

    x: Array
    lengths: Integers | None
    listed: bool
    table: bool

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(N, T): which steps there are."""
        mask: NDArray[np.bool_] = _steps(self.lengths, self.x.swapaxes(0, 1))
        return mask


def finite(name: str, array: Array, dtype: np.dtype[Any], where: Where = at_index) -> Array:
    """`array` as a contiguous one of `dtype`, or ValueError if that is not finite."""
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype)
    if not np.isfinite(numbers).all():
        place = np.argwhere(~np.isfinite(numbers))[0].tolist()
        raise ValueError(
            f"{name} must be finite in {dtype.name}, got NaN, infinity or what is too large for it "
            f"at {where(*place)}"
        )
    return numbers


def listed(sequences: Any) -> Any:
    """A list of sequences instead of an array of objects, or Series, that holds them."""
    kind = getattr(getattr(sequences, "dtype", None), "kind", None)
    return list(sequences) if kind == "O" and sequences.ndim == 1 else sequences


def are_empty(sequences: Any) -> bool:
    """Whether it is a list of sequences without any step."""
    return (
        isinstance(sequences, list | tuple)
        and len(sequences) > 0
        and all(hasattr(s, "__len__") and not isinstance(s, str) and not len(s) for s in sequences)
    )


def without_steps(count: int, numbers: int | None, dtype: np.dtype[Any]) -> Sequences:
    """So many empty sequences of numbers, or of tokens if None."""
    x = np.zeros((1, count), np.int64) if numbers is None else np.zeros((1, count, numbers), dtype)
    return Sequences(x, np.zeros(count, np.int64), listed=True, table=False)


def _padded(X: Any, dtype: Any) -> Array:
    """Sequences of different lengths as one array; errors name them X."""
    try:
        return pad_sequences(X, dtype=dtype, padding="post")
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("sequences[", "X[", 1)) from None


def are_ragged(sequences: Any) -> bool:
    """Whether it is a list of sequences of different lengths."""
    if not isinstance(sequences, list | tuple) or not sequences:
        return False
    if not all(hasattr(s, "__len__") and not isinstance(s, str | bytes) for s in sequences):
        return False
    return len(set(map(len, sequences))) > 1


def read_tokens(X: Any, lengths: ArrayLike | None, vocabulary: int) -> Sequences:
    """Integers (N, T), or a list of N sequences of them."""
    ragged = are_ragged(X)
    array = _padded(X, np.int64) if ragged else as_array("X", X)
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"X must be tokens (N, T) of at least one sequence and step, or a list of N sequences "
            f"of them, got shape {array.shape}"
        )
    own = _own_lengths(X, array, lengths, ragged=ragged)
    if lengths is not None:
        array = np.where(_steps(own, array), array, 0)
    tokens = check_tokens("X", array, vocabulary, "vocabulary_size")
    return Sequences(np.ascontiguousarray(tokens.T), own, isinstance(X, list | tuple), table=False)


def read_numbers(
    X: Any,
    lengths: ArrayLike | None,
    dtype: np.dtype[Any],
    estimator: Any,
    *,
    fresh: bool,
) -> Sequences:
    """Numbers (N, T, I), a table (N, T) of sequences of scalars, or a list of N sequences.

    `estimator` learns from a table, where it is `fresh`, how many columns there are, and what
    their names are; a later list is of sequences, which may have any length.
    """
    ragged, table = are_ragged(X), False
    if ragged:
        array = _padded(X, np.float64)
    else:
        options: dict[str, Any] = {"dtype": (np.float64, np.float32)}
        if lengths is not None:  # what lies beyond is nobody's business
            options["ensure_all_finite"] = False
        shown = X if hasattr(X, "ndim") and hasattr(X, "dtype") else as_array("X", X)
        if shown.dtype.kind in "US":
            raise ValueError(
                f"X must be numbers, or tokens with vocabulary_size, got {shown.dtype.name}"
            )
        table = shown.ndim == 2
        is_list = isinstance(X, list | tuple)
        if table and (fresh or (estimator._reads_table and not is_list)):
            array = validate_data(estimator, X, reset=fresh, **options)
        else:
            array = check_array(X, allow_nd=True, estimator=estimator, input_name="X", **options)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or not array.size:
        raise ValueError(
            f"X must have shape (N, T, I) or (N, T), with at least one sequence, step and number, "
            f"or be a list of N sequences (T_n, I), got shape {array.shape}"
        )
    own = _own_lengths(X, array, lengths, ragged=ragged)
    if lengths is not None:
        array = np.where(_steps(own, array)[:, :, None], array, 0)
    numbers = finite("X", array.swapaxes(0, 1), dtype, "step {}, sequence {}".format)
    return Sequences(numbers, own, isinstance(X, list | tuple), table)


def _own_lengths(
    X: Any, array: Array, lengths: ArrayLike | None, *, ragged: bool
) -> Integers | None:
    """The length of each sequence, or None where it is T for all."""
    if ragged and lengths is not None:
        raise ValueError("lengths must be None where X is a list of sequences of their own lengths")
    if ragged:
        return sequence_lengths(X)
    if lengths is None:
        return None
    checked, _, _ = check_lengths("lengths", lengths, array.shape[1], (len(array),))
    return checked


def _steps(lengths: Integers | None, array: Array) -> Any:
    """(N, T): which steps there are."""
    count, time = array.shape[:2]
    if lengths is None:
        return np.ones((count, time), np.bool_)
    return np.arange(time) < lengths[:, None]


def rows_of_steps(name: str, y: Any, read: Sequences) -> Array:
    """What belongs to each step of each sequence, (R, ...), one sequence behind the other."""
    count, time = read.mask.shape
    y = listed(y)
    if are_ragged(y) or are_empty(y):
        given = sequence_lengths(y)
        wanted = read.mask.sum(axis=1)
        check_shape(name, given, wanted.shape, "(N,)")
        wrong = np.flatnonzero(given != wanted)
        if wrong.size:
            n = wrong[0]
            raise ValueError(f"{name}[{n}] must have {wanted[n]} steps as X[{n}], got {given[n]}")
        parts: Sequence[Array] = [np.asarray(part) for part in y if len(part)]
        return np.concatenate(parts) if parts else np.empty(0)
    array = as_array(name, y)
    if array.shape[:2] != (count, time):
        raise ValueError(
            f"{name} must have something for each of the steps (N, T) = {(count, time)}, got shape "
            f"{array.shape}"
        )
    rows: Array = array[read.mask]
    return rows
