"""Data that is drawn: spirals, a sine, binary addition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastrnn.checks import (
    Array,
    as_array,
    check_dtype,
    check_integer,
    check_number,
    check_seed,
    generator_of,
)


def spirals(
    points: int = 100,
    arms: int = 3,
    *,
    noise: float = 0.2,
    seed: int | None = None,
    dtype: DTypeLike = np.float64,
) -> tuple[Array, NDArray[np.int64]]:
    """The arms of a spiral, each a class, as in the notes of the course CS231n.

    Point i of arm j has the radius r_i = i / (points - 1) and the angle t that goes evenly from 4j
    to 4(j + 1), plus normal noise: (r sin t, r cos t).

    Parameters
    ----------
    points : int
        N, points of an arm.
    arms : int
        K.
    noise : float
        Standard deviation of the angle, in radians.
    seed : int, optional
        With the default sizes, the points are those that the published program has after
        ``np.random.seed(seed)``.
    dtype : {float32, float64}

    Returns
    -------
    X : ndarray (K*N, 2)
    y : ndarray of int64 (K*N,)
        The arm of each point: N zeros, N ones, and so on.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    """
    count = check_integer("points", points, least=1)
    classes = check_integer("arms", arms, least=1)
    deviation = check_number("noise", noise, least=0)
    kind = check_dtype(dtype)
    # The generator of `np.random.seed`, which the published figures were drawn with.
    draws = np.random.RandomState(check_seed(seed)).randn(classes, count)
    radius = np.linspace(0.0, 1, count)
    angle = np.array([np.linspace(j * 4, (j + 1) * 4, count) for j in range(classes)])
    angle += draws * deviation
    X = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)  # noqa: N806
    return X.reshape(-1, 2).astype(kind), np.repeat(np.arange(classes), count)


def sine(
    length: int = 1000,
    *,
    rate: float = 0.01,
    noise: float = 0.2,
    seed: int | np.random.Generator | None = None,
    dtype: DTypeLike = np.float64,
) -> Array:
    """A sampled sine with normal noise: x_t = sin(rate * t) + noise * N(0, 1), t = 1 to `length`.

    The defaults are those of *Dive into Deep Learning*, section "Working with Sequences".

    Parameters
    ----------
    length : int
        T.
    rate : float
        Radians from one sample to the next.
    noise : float
        Standard deviation; 0 gives the truth beneath the noise.
    seed : int or Generator, optional
    dtype : {float32, float64}

    Returns
    -------
    ndarray (T,)

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    """
    steps = check_integer("length", length, least=1)
    speed = check_number("rate", rate)
    deviation = check_number("noise", noise, least=0)
    kind = check_dtype(dtype)
    draws = generator_of(seed).standard_normal(steps)
    samples: Array = np.sin(speed * np.arange(1, steps + 1)) + deviation * draws
    return samples.astype(kind)


class Additions(NamedTuple):
    """Sums of binary numbers, as bits and as ints.

    Attributes
    ----------
    x : ndarray (T, N, 2)
        At each time one bit of either number, 0 or 1, the least significant first.
    y : ndarray (T, N, 1)
        The sum's bit at that time.
    a, b, sums : list of N int
        The numbers, which Python holds in any length.
    """

    x: Array
    y: Array
    a: list[int]
    b: list[int]
    sums: list[int]


def binary_addition(
    count: int,
    bits: int = 8,
    *,
    seed: int | np.random.Generator | None = None,
    dtype: DTypeLike = np.float32,
) -> Additions:
    """Random pairs of numbers of `bits` bits and their sums, which have one bit more.

    Parameters
    ----------
    count : int
        N.
    bits : int
        Of each number: they are uniform in [0, 2**bits). T = bits + 1, so that the last carry is
        part of the sum; both inputs are 0 in that step.
    seed : int or Generator, optional
    dtype : {float32, float64}

    Returns
    -------
    Additions

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.

    Examples
    --------
    >>> task = binary_addition(2, bits=64, seed=0)
    >>> task.x.shape, task.y.shape, from_bits(task.y) == task.sums
    ((65, 2, 2), (65, 2, 1), True)
    """
    number = check_integer("count", count, least=1)
    steps = check_integer("bits", bits, least=1) + 1
    kind = check_dtype(dtype)
    drawn = generator_of(seed).integers(0, 2, (steps, number, 2), np.uint8)
    drawn[-1] = 0
    a, b = from_bits(drawn[..., 0]), from_bits(drawn[..., 1])
    sums = [one + other for one, other in zip(a, b, strict=True)]
    return Additions(drawn.astype(kind), to_bits(sums, steps, dtype=kind)[..., None], a, b, sums)


def to_bits(numbers: Iterable[int], steps: int, *, dtype: DTypeLike = np.float32) -> Array:
    """The lowest bits of numbers, the least significant first.

    Parameters
    ----------
    numbers : iterable of N int
        Each at least 0 and below 2**steps.
    steps : int
        T.
    dtype : {float32, float64}

    Returns
    -------
    ndarray (T, N)

    Raises
    ------
    TypeError, ValueError
        For a wrong argument; the message names the first number that does not fit.
    """
    length = check_integer("steps", steps, least=1)
    kind = check_dtype(dtype)
    rows = []
    for i, number in enumerate(numbers):
        value = check_integer(f"numbers[{i}]", number, least=0)
        if value >> length:
            raise ValueError(f"numbers[{i}] must be below 2**{length}, got {value}")
        rows.append(value.to_bytes((length + 7) // 8, "little"))
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), (length + 7) // 8)
    return np.unpackbits(packed, axis=1, count=length, bitorder="little").T.astype(kind)


def from_bits(bits: ArrayLike) -> list[int]:
    """The numbers that bits stand for: what `to_bits` undoes.

    Parameters
    ----------
    bits : array_like (T, N), or (T, N, 1)
        Each 0 or 1, as numbers of any kind, the least significant first. Outputs of a network are
        to be rounded before, such as by ``y > 0.5``.

    Returns
    -------
    list of N int

    Raises
    ------
    TypeError, ValueError
        For another shape, or anything that is neither 0 nor 1, which the message names.
    """
    array: Any = as_array("bits", bits)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"bits must be numbers, got {array.dtype}")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise ValueError(f"bits must have shape (T, N) or (T, N, 1), got {array.shape}")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        time, number = map(int, wrong[0])
        raise ValueError(
            f"bits must be 0 or 1, got {array[time, number]} at time {time} of number {number}"
        )
    packed = np.packbits(array.astype(np.uint8), axis=0, bitorder="little")
    return [int.from_bytes(column.tobytes(), "little") for column in packed.T]
