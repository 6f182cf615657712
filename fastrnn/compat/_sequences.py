"""Batches of sequences as the RNN class of tutorials is given them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import recurrence
from fastrnn.checks import Array, as_array, at_index, check_finite, check_tokens
from fastrnn.layers import OneHot
from fastrnn.recurrence import Input

#: What a batch of sequences may be given as.
Sequences = ArrayLike | OneHot


def read_sequences(
    name: str,
    x: Sequences,
    inputs: int,
    dtype: np.dtype[Any],
    *,
    time_major: bool,
    trained_on_words: bool | None,
    tables: bool,
) -> Input:
    """Words (N, T), vectors (N, T, I) or a table (N, I), as the kernels take them.

    Integers are what was trained on. Before that they are words unless their array is as wide as
    the input, and such a one is a table, if no word could be so. Tables are refused unless
    `tables`. Without `time_major` the batch comes first in memory.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or shape, a word that is not in the vocabulary, a number that is not
        finite, or what may be both.
    """
    array = given = as_array(name, x.tokens if isinstance(x, OneHot) else x)
    words = isinstance(x, OneHot)
    if not words and array.ndim == 2 and array.dtype.kind in "iu":
        words = _are_words(name, array, inputs, trained_on_words)
    if words:
        array = check_tokens(name, array, inputs, "input_size")
        wanted, fits = "(N, T)", array.ndim == 2
    else:
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be numbers, got {array.dtype.name}")
        wanted = f"(N, T, I){' or (N, I)' if tables else ''}, I = {inputs}"
        if array.ndim == 2:
            if not tables:
                raise ValueError(
                    f"{name} must have shape {wanted}, as what was trained on, a single sequence "
                    f"(1, T, I), got {given.shape}"
                )
            array = array[:, None]
        fits = array.ndim == 3 and array.shape[2] == inputs
    if not fits or not array.size:
        none = ", neither of them 0" if fits else ""
        raise ValueError(f"{name} must have shape {wanted}{none}, got {given.shape}")
    batch, time = array.shape[:2]
    laid = array.swapaxes(0, 1) if time_major else array
    floats, tokens = recurrence.empty(dtype), recurrence.empty(np.int64)
    if words:
        tokens = np.ascontiguousarray(laid).reshape(-1)
    else:
        with np.errstate(over="ignore"):
            floats = np.ascontiguousarray(laid, dtype).reshape(-1)
            if not np.isfinite(floats).all():
                check_finite(name, given.astype(dtype), f" in {dtype.name}")
    return Input(time, batch, inputs, words, floats, tokens, words)


def _are_words(name: str, array: Array, inputs: int, trained_on_words: bool | None) -> bool:
    """Whether integers (N, T) or (N, I) are words; ValueError if nothing tells."""
    if trained_on_words is not None:
        return trained_on_words
    if array.shape[1] != inputs:
        return True
    if not array.size:
        return False
    low, high = int(array.min()), int(array.max())
    if low >= 0 and 1 < high < inputs:
        raise ValueError(
            f"{name} must be a fastrnn.OneHot if it holds words, or floats if it holds numbers: "
            f"integers as wide as input_size = {inputs} may be either, got shape {array.shape}"
        )
    return False


def same_sequences(one: Input, other: Input) -> bool:
    """Whether they are alike."""
    return one[:4] == other[:4] and all(
        np.array_equal(a, b) for a, b in ((one.floats, other.floats), (one.tokens, other.tokens))
    )


def check_bits(name: str, y: Array) -> None:
    """ValueError unless all are 0 or 1."""
    if y.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be numbers, got {y.dtype.name}")
    wrong = np.argwhere((y != 0) & (y != 1))
    if wrong.size:
        place = tuple(wrong[0].tolist())
        raise ValueError(f"{name} must be 0 or 1, got {y[place]} at {at_index(*place)}")
