"""Sequences of unequal lengths as one array, with Keras' options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastrnn.checks import Array, as_array, at_index, check_choice, check_integer

SIDES = ("pre", "post")


def pad_sequences(
    sequences: Sequence[Any] | Array,
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> Array:
    """Cut and pad sequences to one length, as Keras' function of this name does.

    Parameters
    ----------
    sequences : sequence of N sequences, each (T_n, ...)
    maxlen : int, optional
        T, the length of all; that of the longest sequence if not given.
    dtype : dtype
        Of the result; object for strings.
    padding : {"pre", "post"}
        Whether `value` is put before or behind what is too short.
    truncating : {"pre", "post"}
        Whether the beginning or the end is cut off what is too long.
    value : number or str
        What is put there.

    Returns
    -------
    ndarray (N, T, ...)

    Raises
    ------
    TypeError, ValueError
        For a wrong argument; for a sequence that is none or whose entries have another shape, which
        the message names; for an entry that `dtype` cannot hold, where Keras puts another one.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    """
    check_choice("padding", padding, SIDES)
    check_choice("truncating", truncating, SIDES)
    kind = _checked_dtype(dtype, value)
    lengths = sequence_lengths(sequences)
    most = int(lengths.max(initial=0))
    if maxlen is not None:
        most = check_integer("maxlen", maxlen, least=1)
    elif not len(lengths):
        raise ValueError("sequences must not be empty, or maxlen must be given")
    entry: tuple[int, ...] | None = None
    padded: Array = np.empty(0)
    for n in np.flatnonzero(lengths).tolist():
        part = sequences[n][-most:] if truncating == "pre" else sequences[n][:most]
        array = _cast(f"sequences[{n}]", part, kind)
        if entry is None:
            entry = array.shape[1:]
            padded = _filled((len(lengths), most, *entry), value, kind)
        elif array.shape[1:] != entry:
            raise ValueError(
                f"sequences[{n}] must have entries of shape {entry}, as those before it, "
                f"got {array.shape[1:]}"
            )
        place = slice(most - len(array), most) if padding == "pre" else slice(len(array))
        padded[n, place] = array
    return _filled((len(lengths), most), value, kind) if entry is None else padded


def sequence_lengths(
    sequences: Sequence[Any] | Array, maxlen: int | None = None
) -> NDArray[np.int64]:
    """The length that each of N sequences has, or has when `pad_sequences` has cut it to `maxlen`.

    Returns
    -------
    ndarray of int64 (N,)

    Raises
    ------
    TypeError
        If `sequences` is no sequence of sequences; the message names the first that is none.
    ValueError
        If `maxlen` is below 1.
    """
    if not hasattr(sequences, "__len__") or isinstance(sequences, str | bytes):
        raise TypeError(
            f"sequences must be a sequence of sequences, got {type(sequences).__name__}"
        )
    most = None if maxlen is None else check_integer("maxlen", maxlen, least=1)
    lengths = np.empty(len(sequences), np.int64)
    for n, sequence in enumerate(sequences):
        try:
            lengths[n] = len(sequence)
        except TypeError:
            raise TypeError(
                f"sequences[{n}] must be a sequence, got {type(sequence).__name__}"
            ) from None
    return lengths if most is None else np.minimum(lengths, most)


def _checked_dtype(dtype: DTypeLike, value: Any) -> np.dtype[Any]:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"dtype must be a type of numpy's, got {dtype!r}") from None
    if isinstance(value, str) and kind.kind not in "OSU":
        raise TypeError(f"value must be a number for dtype {kind}, got {value!r}: use dtype=object")
    return kind


def _cast(name: str, value: Any, kind: np.dtype[Any]) -> Array:
    """`value` as an array of this type, or an error if the entries are not what they were."""
    if kind.kind not in "iu":
        try:
            array = np.asarray(value, kind)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must be of dtype {kind}: {error}") from None
        if kind.kind in "SU" and np.asarray(value, kind.kind).itemsize > kind.itemsize:
            raise ValueError(f"{name} must fit into dtype {kind}, got {value!r}: use dtype=object")
        return array
    given = as_array(name, value)
    if given.dtype.kind not in "iufb":
        raise TypeError(f"{name} must be of dtype {kind}, got {given.dtype}")
    if given.dtype.kind == "f":
        limits = np.iinfo(kind)
        kept = (given >= limits.min) & (given < limits.max + 1.0) & (np.floor(given) == given)
        array = np.where(kept, given, 0).astype(kind)
    else:
        array = given.astype(kind, copy=False)
        kept = array == given
    if not kept.all():
        place = np.argwhere(~kept)[0].tolist()
        where = "" if not place else f" at {at_index(*place)}"
        raise ValueError(f"{name} must be of dtype {kind}, got {given[tuple(place)]}{where}")
    return array


def _filled(shape: tuple[int, ...], value: Any, kind: np.dtype[Any]) -> Array:
    filling = _cast("value", value, kind)
    return np.full(shape, filling[()] if filling.ndim == 0 else filling, kind)
