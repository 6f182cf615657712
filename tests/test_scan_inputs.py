"""Scans that multiply x themselves; `test_threads` has that any team gives the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, PLAIN, assert_close, eps, normal

import fastrnn
from fastrnn import reference
from fastrnn.cells import COUPLED_LSTM, GRU, LSTM, MGU, PEEPHOLE_LSTM, RNN_TANH, Cell
from fastrnn.plan import LayerPlan, multiplied_in_scan, plan_layer

pytestmark = pytest.mark.skipif(PLAIN, reason="the plain kernels make all input parts first")

K = 64  # k of k*eps: the same sums in another order, in a whole network
CASES = [
    (LSTM, 5, 8, 33, 17),
    (LSTM, 4, 16, 64, 64),
    (LSTM, 3, 35, 100, 40),
    (LSTM, 1, 9, 20, 3),
    (LSTM, 3, 100, 7, 65),
    (LSTM, 3, 33, 150, 129),
    (GRU, 5, 8, 33, 17),
    (GRU, 3, 37, 100, 65),
]


def plan_of(cell: Cell, dtype: Any, time: int, batch: int, inputs: int, hidden: int) -> LayerPlan:
    return plan_layer(cell, np.dtype(dtype), time, batch, inputs, hidden)


@DTYPES
@pytest.mark.parametrize(("cell", "time", "batch", "inputs", "hidden"), CASES)
def test_outputs_and_gradients_are_the_naive_ones(
    cell: Cell, time: int, batch: int, inputs: int, hidden: int, dtype: Any
) -> None:
    assert plan_of(cell, dtype, time, batch, inputs, hidden).layer.scan.inputs == inputs
    layer = fastrnn.Recurrent(cell, inputs, hidden, dtype=dtype, seed=0)
    x = normal((time, batch, inputs), dtype)
    state = tuple(normal((1, batch, hidden), dtype, i) for i in range(1, 1 + len(cell.states)))
    start: Any = state if len(state) > 1 else state[0]
    forward = getattr(reference, f"{cell.name}_forward")
    backward = getattr(reference, f"{cell.name}_backward")
    wide = {name: value.astype(np.float64) for name, value in layer.params.items()}
    for given in (None, start):
        naive = None
        if given is not None:
            naive = tuple(s.astype(np.float64) for s in state)
            naive = naive if len(state) > 1 else naive[0]
        true, _, cache = forward(x.astype(np.float64), naive, wide)
        output, _ = layer(x, given)
        kept, _, tape = layer.forward(x, given)
        np.testing.assert_array_equal(output, kept)
        assert_close(output, true, K * eps(dtype), "output")
        grads = layer.backward(tape, np.ones_like(output))
        d_x, _, d_params = backward(cache, np.ones_like(true), None)
        assert_close(grads.x, d_x, K * eps(dtype), "x")
        for name, value in d_params.items():
            assert_close(grads.params[name], value, K * eps(dtype), name)


@pytest.mark.parametrize("batch", [4, 16, 40])
@pytest.mark.parametrize("cell", [LSTM, GRU], ids=lambda c: c.name)
def test_weights_of_h_do_not_matter_in_a_first_step_from_zero(cell: Cell, batch: int) -> None:
    layer, x = fastrnn.Recurrent(cell, 20, 24, seed=0), normal((1, batch, 20), np.float32)
    expected = layer(x)[0]
    layer.params["weight_hh_l0"][:] = np.inf
    np.testing.assert_array_equal(layer(x)[0], expected)
    np.testing.assert_array_equal(layer.forward(x)[0], expected)


def test_panels_of_both_are_not_taken_for_others() -> None:
    layer = fastrnn.LSTM(20, 24, seed=0)
    batches = [normal((3, n, 20), np.float32, n) for n in (4, 16, 64, 1, 9)]
    expected = [fastrnn.LSTM(20, 24, seed=0)(x)[0] for x in batches]
    for order in (range(5), reversed(range(5)), (2, 0, 2, 4, 1, 3)):
        for i in order:
            np.testing.assert_array_equal(layer(batches[i])[0], expected[i])


@pytest.mark.parametrize("inputs", [7, 64, 200])
def test_panels_of_both_are_within_the_workspace(inputs: int) -> None:
    layer = plan_of(LSTM, np.float32, 4, 16, inputs, 33).layer
    assert layer.x_bias - layer.recurrent_panels >= 4 * layer.padded * (inputs + 33)


@pytest.mark.parametrize("cell", [PEEPHOLE_LSTM, COUPLED_LSTM, MGU], ids=lambda c: c.name)
def test_other_cells_agree_with_single_sequences(cell: Cell) -> None:
    layer, x = fastrnn.Recurrent(cell, 20, 24, seed=0), normal((5, 40, 20), np.float32)
    output = layer(x)[0]
    for n in range(40):
        assert_close(output[:, n], layer(x[:, n])[0], K * eps(np.float32))


def test_streams_of_many_rows_give_the_bits_of_the_layer() -> None:
    layer, x = fastrnn.LSTM(20, 24, 2, seed=0), normal((5, 16, 20), np.float32)
    np.testing.assert_array_equal(layer.stream(16).block(x), layer(x)[0])


def test_a_sequence_gives_the_same_bits_in_batches_of_any_size_that_are_planned_alike() -> None:
    layer = fastrnn.LSTM(40, 50, seed=0)
    x = normal((4, 60, 40), np.float32)
    whole = layer(x)[0]
    for first, end in ((0, 33), (13, 60), (20, 28)):
        np.testing.assert_array_equal(layer(x[:, first:end])[0], whole[:, first:end])


def test_sequences_of_their_own_lengths_end_as_each_does_alone() -> None:
    layer = fastrnn.LSTM(20, 24, seed=0)
    lengths = np.arange(16) % 8
    x = normal((8, 16, 20), np.float32)
    output, state = layer(x, lengths=lengths)
    for n, length in enumerate(lengths):
        alone, end = layer(x[:length, n : n + 1])
        assert_close(output[:length, n : n + 1], alone, K * eps(np.float32))
        assert not output[length:, n].any()
        for mine, theirs in zip(state, end, strict=True):
            assert_close(mine[:, n : n + 1], theirs, K * eps(np.float32))


def test_only_sums_of_small_panels_are_multiplied_at_once() -> None:
    def scan(cell: Cell, batch: int, size: int) -> Any:
        return plan_of(cell, np.float32, 4, batch, size, size).layer.scan

    assert scan(LSTM, 16, 32).joined
    assert not scan(LSTM, 64, 512).joined
    assert scan(LSTM, 64, 512).inputs == 512
    assert not scan(GRU, 16, 32).joined
    assert not scan(RNN_TANH, 64, 64).inputs
    assert not scan(LSTM, 4, 64).inputs


def test_a_plan_tells_where_x_is_multiplied() -> None:
    def told(batch: int, size: int) -> str:
        return fastrnn.LSTM(size, size).plan(4, batch).parts[0].choices["input product"]

    assert "in the steps of the scan, 16 rows" in told(16, 32)
    assert "in one panel" in told(16, 32)
    assert "in the steps of the scan, 64 rows" in told(64, 512)
    assert "in one panel" not in told(64, 512)
    assert "times of 4 at once" in told(4, 32)


def test_more_rows_make_up_for_more_weights() -> None:
    assert multiplied_in_scan(8, 1 << 18, 1)
    assert not multiplied_in_scan(8, 1 << 20, 1)
    assert multiplied_in_scan(32, 1 << 24, 1)
    assert not multiplied_in_scan(32, 1 << 25, 1)
    assert not multiplied_in_scan(32, 1 << 24, 1 << 20)
    assert not multiplied_in_scan(7, 1, 1)
