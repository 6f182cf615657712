"""Long series as minibatches and as windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from fastrnn.checks import Array, as_array, check_bool, check_integer, generator_of
from fastrnn.data.vocabulary import Tokens


def parallel_streams(tokens: Tokens, batch_size: int, steps: int) -> Tokens:
    """Cut a text into `batch_size` streams of equal length, side by side.

    A stream's last token is also the next stream's first one, so that no transition is lost but
    those of the rest that does not divide. Each stream has at least ``steps + 1`` tokens.

    Returns
    -------
    ndarray (batch_size, length)

    Raises
    ------
    ValueError
        If the text is too short.
    """
    transitions = (tokens.size - 1) // batch_size
    if transitions < steps:
        raise ValueError(
            f"the text must have at least batch_size * sequence_length + 1 = "
            f"{batch_size} * {steps} + 1 = {batch_size * steps + 1} tokens, got {tokens.size}"
        )
    starts = np.arange(batch_size)[:, None] * transitions
    streams: Tokens = tokens[starts + np.arange(transitions + 1)]
    return streams


def random_sampling(
    series: ArrayLike,
    batch_size: int,
    steps: int,
    *,
    horizon: int = 1,
    offset: int | None = None,
    batch_first: bool = True,
    seed: int | np.random.Generator | None = None,
) -> Iterator[tuple[Array, Array]]:
    """Minibatches of windows that are drawn from a long series, each of them once.

    The series, less its first `offset` values, is cut into windows of equal length, side by side,
    which are shuffled; windows of one minibatch are no neighbours but by chance, so that a state
    must begin anew with each. What does not fill a minibatch is left out. This is
    ``seq_data_iter_random`` of *Dive into Deep Learning* (section "Language Models", partitioning
    sequences).

    Parameters
    ----------
    series : array_like (S,), or (S, ...) with numbers of several features
    batch_size : int
        N, windows in a minibatch.
    steps : int
        T, length of a window.
    horizon : int
        How many steps after the input its target is: ``y[n, t]`` is what follows ``x[n, t]`` by so
        many.
    offset : int, optional
        Values at the beginning to leave out, below `steps`; drawn if not given, so that windows
        differ from epoch to epoch. One is drawn only from those that leave a whole minibatch.
    batch_first : bool
        Whether x and y are (N, T, ...) and not (T, N, ...).
    seed : int or Generator, optional
        Of the offset and of the order. The same int gives the same minibatches; a generator goes
        on.

    Yields
    ------
    x, y : ndarray (N, T, ...)
        Copies.

    Raises
    ------
    TypeError, ValueError
        At the call: for a wrong argument, or if the series is too short for one minibatch.
    """
    array, first, rng = _cut(series, batch_size, steps, horizon, offset, seed)
    check_bool("batch_first", batch_first)
    windows = (len(array) - first - horizon) // steps
    starts = first + steps * rng.permutation(windows)
    views = np.moveaxis(sliding_window_view(array, steps, axis=0), -1, 1)

    def batches() -> Iterator[tuple[Array, Array]]:
        for i in range(0, windows - batch_size + 1, batch_size):
            chosen = starts[i : i + batch_size]
            yield _laid_out(views[chosen], views[chosen + horizon], batch_first)

    return batches()


def sequential_partitioning(
    series: ArrayLike,
    batch_size: int,
    steps: int,
    *,
    horizon: int = 1,
    offset: int | None = None,
    batch_first: bool = True,
    seed: int | np.random.Generator | None = None,
) -> Iterator[tuple[Array, Array]]:
    """Minibatches in which a long series goes on: the state of one is the beginning of the next.

    The series, less its first `offset` values, is cut into N streams of equal length; minibatch k
    has steps kT to (k+1)T of each. So row n of a minibatch goes on where row n of the one before
    ended, and the state may be carried, without its gradient. This is ``seq_data_iter_sequential``
    of *Dive into Deep Learning*.

    Parameters, errors and results are those of `random_sampling`, but x and y are read-only views
    of `series`, if that is an array.
    """
    array, first, _ = _cut(series, batch_size, steps, horizon, offset, seed)
    check_bool("batch_first", batch_first)
    length = (len(array) - first - horizon) // batch_size

    def streams(start: int) -> Array:
        part = array[start : start + batch_size * length]
        view = part.reshape(batch_size, length, *array.shape[1:])
        view.flags.writeable = False
        return view

    inputs, targets = streams(first), streams(first + horizon)

    def batches() -> Iterator[tuple[Array, Array]]:
        for i in range(0, length - steps + 1, steps):
            yield _laid_out(inputs[:, i : i + steps], targets[:, i : i + steps], batch_first)

    return batches()


def forecast_windows(
    series: ArrayLike, steps: int, horizon: int = 1, *, stride: int = 1, batch_first: bool = True
) -> tuple[Array, Array]:
    """All windows of a series, and what follows each of them: to learn to forecast.

    Parameters
    ----------
    series : array_like (S,), or (S, ...) with numbers of several features
    steps : int
        T, values that are known.
    horizon : int
        Values after them that are to be forecast.
    stride : int
        Steps from one window to the next.
    batch_first : bool
        Whether windows come first, and not times.

    Returns
    -------
    x : ndarray (W, steps, ...)
    y : ndarray (W, horizon, ...)
        W = 1 + (S - steps - horizon) // stride windows: read-only views of `series`, if that is an
        array. Nothing is copied.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, or if the series is shorter than one window and its horizon.
    """
    known = check_integer("steps", steps, least=1)
    ahead = check_integer("horizon", horizon, least=1)
    every = check_integer("stride", stride, least=1)
    check_bool("batch_first", batch_first)
    array = _series(series)
    if len(array) < known + ahead:
        raise ValueError(
            f"series must have at least steps + horizon = {known} + {ahead} = {known + ahead} "
            f"values, got {len(array)}"
        )
    x = sliding_window_view(array[: len(array) - ahead], known, axis=0)[::every]
    y = sliding_window_view(array[known:], ahead, axis=0)[::every]
    return _laid_out(np.moveaxis(x, -1, 1), np.moveaxis(y, -1, 1), batch_first)


def _series(series: ArrayLike) -> Array:
    array = as_array("series", series)
    if array.dtype.kind not in "iufb":
        raise TypeError(f"series must be numbers, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError("series must have at least one dimension, got a single number")
    return array


def _cut(
    series: ArrayLike,
    batch_size: int,
    steps: int,
    horizon: int,
    offset: int | None,
    seed: int | np.random.Generator | None,
) -> tuple[Array, int, np.random.Generator]:
    """The series, where its first window begins, and the generator that chose it."""
    batch = check_integer("batch_size", batch_size, least=1)
    length = check_integer("steps", steps, least=1)
    ahead = check_integer("horizon", horizon, least=1)
    rng = generator_of(seed)
    array = _series(series)
    spare = len(array) - batch * length - ahead
    if spare < 0:
        raise ValueError(
            f"series must have at least batch_size * steps + horizon = {batch} * {length} + "
            f"{ahead} = {batch * length + ahead} values, got {len(array)}"
        )
    if offset is None:
        return array, int(rng.integers(min(length, spare + 1))), rng
    first = check_integer("offset", offset, least=0)
    if first > min(length - 1, spare):
        raise ValueError(
            f"offset must be below steps = {length} and leave one minibatch: at most "
            f"{min(length - 1, spare)}, got {first}"
        )
    return array, first, rng


def _laid_out(x: Array, y: Array, batch_first: bool) -> tuple[Array, Array]:
    return (x, y) if batch_first else (x.swapaxes(0, 1), y.swapaxes(0, 1))
