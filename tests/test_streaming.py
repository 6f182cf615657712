"""Streams against the layers that they are made of."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from conftest import DTYPES, PLAIN, assert_close, eps, normal, wide

import fastrnn
from fastrnn.cells import CELLS
from fastrnn.layers import Recurrent
from fastrnn.reference import stepped_rnn
from fastrnn.streaming import BLOCK

K_LAYER = 8  # k of k*eps: the same sums, perhaps in another order
EACH = pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)


def each(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def assert_same(actual: Any, desired: Any, dtype: Any) -> None:
    assert actual.dtype == dtype
    assert_close(actual, desired, K_LAYER * eps(dtype))


@DTYPES
@EACH
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_stream_is_the_layer_whatever_the_pieces(
    layers: int, batch: int, cell: Any, dtype: Any
) -> None:
    layer: Any = Recurrent(cell, 3, 19, layers, dtype=dtype, seed=0)
    lengths = [1, 1, 2, 5, BLOCK + 3, 0, 1, 2 * BLOCK, 7]
    x = normal((sum(lengths), batch, 3), dtype)
    expected, final = layer(x)
    stream = layer.stream(batch)
    place = 0
    for length in lengths:
        piece = x[place : place + length]
        out = stream.step(piece[0])[None] if length == 1 else stream.block(piece)
        assert_same(out, expected[place : place + length], dtype)
        place += length
    for ours, theirs in zip(each(stream.state), each(final), strict=True):
        assert_same(ours, theirs, dtype)


@DTYPES
def test_a_readout_is_a_linear_layer_on_the_outputs(dtype: Any) -> None:
    layer = fastrnn.LSTM(2, 33, dtype=dtype, seed=0)
    weight, bias = normal((5, 33), dtype), normal((5,), dtype, 1)
    x = normal((300, 4, 2), dtype, 2)
    expected = layer(x)[0].astype(np.float64) @ weight.T.astype(np.float64)
    stream = layer.stream(4, readout=(weight, bias))
    assert_close(stream.block(x), expected + bias, 64 * eps(dtype))
    stream.reset()
    assert_close(stream.step(x[0]), (expected + bias)[0], 64 * eps(dtype))
    assert_close(layer.stream(4, readout=(weight, None)).block(x), expected, 64 * eps(dtype))


@DTYPES
def test_steps_are_those_of_the_naive_rnn_stepped_by_hand(dtype: Any) -> None:
    layer = fastrnn.RNN(4, 19, bias=False, dtype=dtype, seed=0)
    cell = fastrnn.RNNCell(4, 19, bias=False, dtype=dtype, seed=0)  # the same parameters
    readout, xs = normal((5, 19), dtype), normal((30, 4), dtype, 1)
    rnn = stepped_rnn.RNN(*map(wide, (cell.params["weight_hh"], cell.params["weight_ih"], readout)))
    stream, h = layer.stream(readout=(readout, None)), None
    for x in xs:
        y, h = rnn.step(wide(x)), cell(x, h)
        assert_close(stream.step(x)[0], y, 64 * eps(dtype), "y")
        assert_close(stream.state[0, 0], rnn.h, 64 * eps(dtype), "the stream's h")
        assert_close(h, rnn.h, 64 * eps(dtype), "the cell's h")


def test_states_are_read_set_and_kept() -> None:
    layer = fastrnn.LSTM(2, 5, 2, seed=0)
    x = normal((9, 3, 2), np.float32)
    stream = layer.stream(3)
    stream.block(x[:4])
    kept, state = stream.state_dict(), stream.state
    assert sorted(kept) == ["c", "h"]
    rest = stream.block(x[4:])
    other = layer.stream(3)
    other.load_state_dict(kept)
    np.testing.assert_array_equal(other.block(x[4:]), rest)
    other.state = state
    np.testing.assert_array_equal(other.block(x[4:]), rest)
    np.testing.assert_array_equal(state[0], kept["h"])  # copies: the stream went on
    other.reset()
    np.testing.assert_array_equal(other.block(x[:4]), layer(x[:4])[0])
    for value, error, message in [
        (state[0], TypeError, r"state must be a tuple \(h, c\), got ndarray"),
        ((state[0], state[1][:1]), ValueError, r"state c must have shape \(L, N, H\)"),
        ((state[0].astype(np.float64), state[1]), TypeError, "state h must be float32"),
    ]:
        with pytest.raises(error, match=message):
            other.state = value
    with pytest.raises(KeyError, match="states must be h, c, got"):
        other.load_state_dict({"h": state[0]})


def test_out_is_written_and_returned() -> None:
    layer = fastrnn.GRU(2, 5, seed=0)
    stream, twin = layer.stream(), layer.stream()
    x = normal((6, 1, 2), np.float32)
    out = np.empty((1, 5), np.float32)
    assert stream.step(x[0], out) is out
    np.testing.assert_array_equal(out, twin.step(x[0, 0]))  # (I,) where N is 1
    blocks = np.empty((5, 1, 5), np.float32)
    assert stream.block(x[1:], out=blocks) is blocks
    np.testing.assert_array_equal(blocks, twin.block(x[1:, 0]))


def test_bad_pieces_are_refused_and_change_nothing() -> None:
    layer = fastrnn.GRU(2, 5, seed=0)
    stream = layer.stream(3)
    before = stream.state
    good = np.zeros((3, 2), np.float32)
    short, frozen = np.empty((3, 4), np.float32), np.empty((3, 5), np.float32)
    frozen.flags.writeable = False
    for call, error, message in [
        (lambda: stream.step(good[:2]), ValueError, r"x must have shape \(N, I\) = \(3, 2\)"),
        (lambda: stream.step(good.astype(np.float64)), TypeError, "x must be float32"),
        (lambda: stream.block(good), ValueError, r"x must have shape \(T, N, I\)"),
        (lambda: stream.step(good, short), ValueError, r"out must be .* = \(3, 5\), got shape"),
        (lambda: stream.step(good, frozen), ValueError, "out must be a contiguous, writable"),
        (lambda: layer.stream(0), ValueError, "batch must be at least 1"),
        (lambda: layer.stream(readout=good), TypeError, "readout must be a pair"),
        (lambda: layer.stream(readout=(good, None)), ValueError, r"readout weight must have shape"),
    ]:
        with pytest.raises(error, match=message):
            call()
    np.testing.assert_array_equal(stream.state, before)
    with pytest.raises(ValueError, match="a stream must have one direction"):
        fastrnn.GRU(2, 5, bidirectional=True).stream()


def test_a_stream_keeps_the_parameters_that_it_was_made_of() -> None:
    layer = fastrnn.RNN(2, 5, seed=0)
    x = normal((4, 1, 2), np.float32)
    expected, _ = layer(x)
    stream = layer.stream()
    layer.flat[...] = 0
    np.testing.assert_array_equal(stream.block(x), expected)


@pytest.mark.skipif(PLAIN, reason="compiled code of users needs the JIT")
@DTYPES
def test_compiled_code_of_users_steps_a_stream(dtype: Any) -> None:
    layer = fastrnn.LSTM(1, 9, dtype=dtype, seed=0)
    stream, twin = (layer.stream(readout=(normal((1, 9), dtype), None)) for _ in range(2))
    kernel = stream.kernel

    @numba.njit
    def feed_back(handle: Any, x: Any, out: Any) -> None:
        for t in range(out.size):
            kernel(handle, out[t : t + 1], x)
            x[0] = out[t]

    out = np.empty(50, dtype)
    feed_back(stream.handle, np.ones(1, dtype), out)
    x = np.ones((1, 1), dtype)
    for t in range(50):
        x = twin.step(x)
        assert x[0, 0] == out[t]
