"""Long series as minibatches and windows; sequences of unequal lengths as one array."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fastrnn.data import (
    forecast_windows,
    pad_sequences,
    random_sampling,
    sequence_lengths,
    sequential_partitioning,
)

SIZES = (st.integers(1, 120), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))
CUTS = (random_sampling, sequential_partitioning)
EACH_CUT = pytest.mark.parametrize("cut", CUTS, ids=lambda f: f.__name__)


@given(*SIZES, st.integers(0, 3))
def test_random_windows_are_disjoint_and_their_targets_follow(
    size: int, batch: int, steps: int, horizon: int, seed: int
) -> None:
    assume(size >= batch * steps + horizon)
    series = np.arange(size)  # value i stands at place i
    batches = list(random_sampling(series, batch, steps, horizon=horizon, seed=seed))
    assert batches
    for x, y in batches:
        assert x.shape == y.shape == (batch, steps)
        assert (y == x + horizon).all()
        assert (np.diff(x, axis=1) == 1).all()
    starts = np.concatenate([x[:, 0] for x, _ in batches])
    offset = int(starts[0]) % steps
    assert (starts % steps == offset).all()
    windows = (size - offset - horizon) // steps
    assert len(set(starts.tolist())) == len(starts) == windows // batch * batch
    assert set(starts.tolist()) <= set(range(offset, offset + windows * steps, steps))


@given(*SIZES, st.integers(0, 3))
def test_sequential_rows_go_on_where_they_ended(
    size: int, batch: int, steps: int, horizon: int, seed: int
) -> None:
    assume(size >= batch * steps + horizon)
    series = np.arange(size)
    batches = list(sequential_partitioning(series, batch, steps, horizon=horizon, seed=seed))
    assert batches
    for x, y in batches:
        assert x.shape == y.shape == (batch, steps)
        assert (y == x + horizon).all()
        assert np.shares_memory(x, series)
        assert np.shares_memory(y, series)
        assert not x.flags.writeable
        assert not y.flags.writeable
    rows = np.concatenate([x for x, _ in batches], axis=1)
    assert (np.diff(rows, axis=1) == 1).all()
    offset = int(rows[0, 0])
    assert 0 <= offset < steps
    length = (size - offset - horizon) // batch
    assert rows.shape == (batch, length // steps * steps)
    assert rows[:, 0].tolist() == [offset + i * length for i in range(batch)]


@EACH_CUT
def test_features_come_last_and_times_come_first_on_demand(cut: Any) -> None:
    series = np.arange(120).reshape(40, 3)
    first = list(cut(series, 2, 5, seed=1))
    for (x, y), (x_time, y_time) in zip(
        first, cut(series, 2, 5, seed=1, batch_first=False), strict=True
    ):
        assert x.shape == y.shape == (2, 5, 3)
        assert (y == x + 3).all()
        np.testing.assert_array_equal(x_time.swapaxes(0, 1), x)
        np.testing.assert_array_equal(y_time.swapaxes(0, 1), y)
    # Every second row of another array: the series lies apart in memory.
    apart = np.repeat(series, 2, axis=0)[::2]
    for (x, _), (other, _) in zip(first, cut(apart, 2, 5, seed=1), strict=True):
        np.testing.assert_array_equal(x, other)


@EACH_CUT
def test_a_seed_repeats_and_a_generator_goes_on(cut: Any) -> None:
    def drawn(seed: Any) -> list[Any]:
        return [x.tolist() for x, _ in cut(np.arange(101), 3, 7, seed=seed)]

    assert drawn(4) == drawn(4) == drawn(np.random.default_rng(4))
    rng = np.random.default_rng(4)
    epochs = [drawn(rng) for _ in range(8)]
    assert epochs[0] == drawn(4)
    assert sum(epoch != epochs[0] for epoch in epochs) >= 6
    starts = {batches[0][0][0] % 7 for batches in (drawn(seed) for seed in range(60))}
    assert starts == set(range(7))  # every offset occurs


@EACH_CUT
def test_an_offset_is_kept_and_one_that_is_drawn_leaves_a_minibatch(cut: Any) -> None:
    for x, _ in cut(np.arange(50), 1, 4, offset=3):
        assert x[0, 0] % 4 == 3
    for seed in range(20):  # one value to spare, though the offset could be 0 to 4
        assert len(list(cut(np.arange(17), 3, 5, seed=seed))) == 1


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 6), st.integers(1, 5))
def test_windows_are_views_of_all_that_fit(
    size: int, steps: int, horizon: int, stride: int
) -> None:
    series = np.arange(2 * size).reshape(size, 2)
    if size < steps + horizon:
        message = f"steps + horizon = {steps} + {horizon} = {steps + horizon} values, got {size}"
        with pytest.raises(ValueError, match=re.escape(message)):
            forecast_windows(series, steps, horizon, stride=stride)
        return
    x, y = forecast_windows(series, steps, horizon, stride=stride)
    count = 1 + (size - steps - horizon) // stride
    assert x.shape == (count, steps, 2)
    assert y.shape == (count, horizon, 2)
    for i in range(count):
        start = i * stride
        np.testing.assert_array_equal(x[i], series[start : start + steps])
        np.testing.assert_array_equal(y[i], series[start + steps : start + steps + horizon])
    assert np.shares_memory(x, series)
    assert np.shares_memory(y, series)
    assert not x.flags.writeable
    assert not y.flags.writeable
    turned = forecast_windows(series[:, 0], steps, horizon, stride=stride, batch_first=False)
    np.testing.assert_array_equal(turned[0], x[..., 0].T)
    np.testing.assert_array_equal(turned[1], y[..., 0].T)


TEN = np.arange(10.0)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((TEN, 2, 5), {}, ValueError, "steps + horizon = 2 * 5 + 1 = 11 values, got 10"),
        ((TEN, 1, 9), {"horizon": 2}, ValueError, "1 * 9 + 2 = 11 values, got 10"),
        (([], 1, 1), {}, ValueError, "= 2 values, got 0"),
        ((TEN, 0, 5), {}, ValueError, "batch_size must be at least 1, got 0"),
        ((TEN, 1, 0), {}, ValueError, "steps must be at least 1, got 0"),
        ((TEN, 1, 2.0), {}, TypeError, "steps must be an integer, got 2.0"),
        ((TEN, 1, 2), {"horizon": 0}, ValueError, "horizon must be at least 1, got 0"),
        ((TEN, 1, 2), {"offset": 2}, ValueError, "leave one minibatch: at most 1, got 2"),
        ((TEN, 2, 4), {"offset": 2}, ValueError, "leave one minibatch: at most 1, got 2"),
        ((TEN, 1, 2), {"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ((TEN, 1, 2), {"batch_first": 1}, TypeError, "batch_first must be True or False, got 1"),
        (("a text", 1, 2), {}, TypeError, "series must be numbers, got <U6"),
        ((3.0, 1, 2), {}, ValueError, "series must have at least one dimension"),
        (([[1], [1, 2]], 1, 2), {}, ValueError, "series must be an array, got a list"),
    ],
)  # fmt: skip
@EACH_CUT
def test_what_cannot_be_cut_is_refused_at_the_call(
    cut: Any, arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        cut(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((TEN, 0), {}, ValueError, "steps must be at least 1, got 0"),
        ((TEN, 2, 0), {}, ValueError, "horizon must be at least 1, got 0"),
        ((TEN, 2), {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ((["a"], 1), {}, TypeError, "series must be numbers, got <U1"),
    ],
)
def test_what_has_no_windows_is_refused(
    arguments: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        forecast_windows(*arguments, **options)


# Padding.


def naive_padding(
    sequences: list[list[int]], maxlen: int | None, padding: str, truncating: str, value: int
) -> list[list[int]]:
    longest = max(map(len, sequences)) if maxlen is None else maxlen
    rows = []
    for sequence in sequences:
        beyond = max(0, len(sequence) - longest)
        kept = sequence[beyond:] if truncating == "pre" else sequence[: len(sequence) - beyond]
        filling = [value] * (longest - len(kept))
        rows.append(filling + kept if padding == "pre" else kept + filling)
    return rows


SIDES = st.sampled_from(["pre", "post"])


@given(
    st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), min_size=1, max_size=9),
    st.one_of(st.none(), st.integers(1, 12)),
    SIDES,
    SIDES,
    st.integers(-5, 5),
    st.booleans(),
)
def test_padding_is_what_it_is_by_hand(
    sequences: Any, maxlen: int | None, padding: str, truncating: str, value: int, arrays: bool
) -> None:
    given = [np.array(s, np.int64) for s in sequences] if arrays else sequences
    found = pad_sequences(given, maxlen, padding=padding, truncating=truncating, value=value)
    assert found.dtype == np.int32
    assert found.flags.c_contiguous
    assert found.tolist() == naive_padding(sequences, maxlen, padding, truncating, value)
    lengths = sequence_lengths(given, maxlen)
    assert lengths.dtype == np.int64
    longest = found.shape[1] if maxlen is None else maxlen
    assert lengths.tolist() == [min(len(s), longest) for s in sequences]


def test_the_examples_of_keras() -> None:
    # keras/src/utils/sequence_utils_test.py and the docstring, Keras 3.15
    a = [[1], [1, 2], [1, 2, 3]]
    for options, expected in (
        ({"maxlen": 3, "padding": "pre"}, [[0, 0, 1], [0, 1, 2], [1, 2, 3]]),
        ({"maxlen": 3, "padding": "post"}, [[1, 0, 0], [1, 2, 0], [1, 2, 3]]),
        ({"maxlen": 2, "truncating": "pre"}, [[0, 1], [1, 2], [2, 3]]),
        ({"maxlen": 2, "truncating": "post"}, [[0, 1], [1, 2], [1, 2]]),
        ({"maxlen": 3, "value": 1}, [[1, 1, 1], [1, 1, 2], [1, 2, 3]]),
    ):
        assert pad_sequences(a, **options).tolist() == expected
    words = [["1"], ["1", "2"], ["1", "2", "3"]]
    found = pad_sequences(words, maxlen=3, padding="pre", value="pad", dtype=object)
    assert found.tolist() == [["pad", "pad", "1"], ["pad", "1", "2"], ["1", "2", "3"]]
    found = pad_sequences(words, maxlen=3, padding="post", value="pad", dtype="<U3")
    assert found.tolist() == [["1", "pad", "pad"], ["1", "2", "pad"], ["1", "2", "3"]]
    vectors = [[[1, 1]], [[2, 1], [2, 2]], [[3, 1], [3, 2], [3, 3]]]
    found = pad_sequences(vectors, maxlen=2, truncating="post")
    assert found.tolist() == [[[0, 0], [1, 1]], [[2, 1], [2, 2]], [[3, 1], [3, 2]]]


def test_empty_sequences_and_other_types() -> None:
    assert pad_sequences([[], [7], []], value=-1).tolist() == [[-1], [7], [-1]]
    assert pad_sequences([[], []]).shape == (2, 0)
    assert pad_sequences([[], []], 3, value=2).tolist() == [[2, 2, 2], [2, 2, 2]]
    assert pad_sequences([], 3).shape == (0, 3)
    halves = pad_sequences([[0.5], [1.5, -2]], dtype="float32", padding="post", value=9)
    assert halves.dtype == np.float32
    assert halves.tolist() == [[0.5, 9], [1.5, -2]]
    assert pad_sequences([[1.0, 2.0]]).tolist() == [[1, 2]]
    assert pad_sequences(np.arange(6).reshape(2, 3), 2).tolist() == [[1, 2], [4, 5]]
    assert sequence_lengths([]).tolist() == []


@pytest.mark.parametrize(
    ("sequences", "options", "error", "message"),
    [
        (3, {}, TypeError, "sequences must be a sequence of sequences, got int"),
        ("abc", {}, TypeError, "sequences must be a sequence of sequences, got str"),
        ([[1], 2], {}, TypeError, "sequences[1] must be a sequence, got int"),
        ([], {}, ValueError, "sequences must not be empty, or maxlen must be given"),
        ([[1]], {"maxlen": 0}, ValueError, "maxlen must be at least 1, got 0"),
        ([[1]], {"padding": "left"}, ValueError, "padding must be one of 'pre', 'post'"),
        ([[1]], {"truncating": "x"}, ValueError, "truncating must be one of 'pre'"),
        ([[1]], {"dtype": "no"}, TypeError, "dtype must be a type of numpy's, got 'no'"),
        ([[1]], {"value": "a"}, TypeError, "value must be a number for dtype int32, got 'a'"),
        ([[1]], {"value": 0.5}, ValueError, "value must be of dtype int32, got 0.5"),
        ([[1], [2, 1.5]], {}, ValueError, "sequences[1] must be of dtype int32, got 1.5 at"),
        ([[1, np.nan]], {}, ValueError, "sequences[0] must be of dtype int32, got nan at index 1"),
        ([[1], [2**40]], {}, ValueError, "sequences[1] must be of dtype int32, got 1099511627776"),
        ([[2.0**63]], {"dtype": "int64"}, ValueError, "of dtype int64, got 9.22337203685"),
        ([[-1]], {"dtype": "uint8"}, ValueError, "sequences[0] must be of dtype uint8, got -1"),
        ([["a"]], {}, TypeError, "sequences[0] must be of dtype int32, got <U1"),
        ([["a"]], {"dtype": "f4"}, ValueError, "sequences[0] must be of dtype float32: could not"),
        ([["abcd"]], {"dtype": "<U3", "value": ""}, ValueError, "must fit into dtype <U3"),
        ([[1], [[2]]], {}, ValueError, "sequences[1] must have entries of shape ()"),
    ],
)  # fmt: skip
def test_what_cannot_be_padded_is_refused(
    sequences: Any, options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        pad_sequences(sequences, **options)
