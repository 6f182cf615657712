"""Sequences of different lengths against each one alone, PyTorch and finite differences."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, FLOATS, PLAIN, assert_close, eps, normal, wide
from hypothesis import given
from hypothesis import strategies as st

import fastrnn
from fastrnn import OneHot, reference, threads
from fastrnn.cells import (
    CELLS,
    GRU,
    GRU_RESET_BEFORE,
    INDRNN,
    LSTM,
    MGU,
    MORE_CELLS,
    RNN_TANH,
    Cell,
)
from fastrnn.layers import Recurrent, lengths
from fastrnn.plan import plan_layer
from fastrnn.workspaces import FREE_MAX

K_NAIVE = 64  # k of k*eps: the same sums in another order, in a whole network
K_TORCH = 64  # the same, both sides rounding
FD_STEP = eps(np.float64) ** (1 / 3)
K_FD = 64  # k of k*FD_STEP^2

NAIVE: dict[Cell, Any] = {
    RNN_TANH: (reference.rnn_forward, reference.rnn_backward, {}),
    LSTM: (reference.lstm_forward, reference.lstm_backward, {}),
    GRU: (reference.gru_forward, reference.gru_backward, {}),
    GRU_RESET_BEFORE: (reference.gru_forward, reference.gru_backward, {"reset_after": False}),
}
EACH = pytest.mark.parametrize("cell", [*CELLS, *MORE_CELLS], ids=lambda c: c.name)

#: What sorting costs for each step.
COSTS = {"sorted": -(10**9), "as they lie": 10**9, "as measured": None}
EACH_COST = pytest.mark.parametrize("costs", COSTS)


def set_costs(monkeypatch: pytest.MonkeyPatch, costs: str) -> None:
    if found := COSTS[costs]:
        monkeypatch.setattr(lengths, "SORT_STEP_WORK", found)


def each(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def as_state(arrays: Any) -> Any:
    return tuple(arrays) if len(arrays) > 1 else arrays[0]


class Case:
    """A layer and everything that it takes, random; what lies beyond the lengths is NaN."""

    def __init__(self, layer: Any, steps: Any, time: int, seed: int = 0) -> None:
        self.layer, self.steps = layer, np.asarray(steps)
        batch, dtype = len(self.steps), layer.dtype
        rows = (layer.num_layers * layer.directions, batch, layer.hidden_size)
        names = range(len(layer.cell.states))
        self.x = normal((time, batch, layer.input_size), dtype, seed)
        self.d_output = normal((time, batch, layer.directions * rows[2]), dtype, seed + 1)
        self.state = as_state([normal(rows, dtype, seed + 2 + i) for i in names])
        self.d_state = as_state([normal(rows, dtype, seed + 6 + i) for i in names])
        self.beyond = np.arange(time)[:, None] >= self.steps
        self.x[self.beyond] = np.nan
        self.d_output[self.beyond] = np.nan

    def run(self) -> dict[str, Any]:
        """Everything that the layer returns, by name."""
        layer = self.layer
        output, final, tape = layer.forward(self.x, self.state, self.steps)
        called, called_final = layer(self.x, self.state, self.steps)
        np.testing.assert_array_equal(called, output)
        for one, other in zip(each(called_final), each(final), strict=True):
            np.testing.assert_array_equal(one, other)
        grads = layer.backward(tape, self.d_output, self.d_state)
        again = layer.backward(tape, self.d_output, self.d_state)
        np.testing.assert_array_equal(again.flat, grads.flat)
        np.testing.assert_array_equal(again.x, grads.x)
        alone = layer.backward(tape, self.d_output, self.d_state, wants_x=False, wants_state=False)
        assert alone.x is alone.state is None
        np.testing.assert_array_equal(alone.flat, grads.flat)
        found = {"output": output, "x": grads.x, **grads.params}
        found |= {f"final {i}": s for i, s in enumerate(each(final))}
        found |= {f"state {i}": s for i, s in enumerate(each(grads.state))}
        assert all(array.dtype == layer.dtype for array in found.values())
        assert not output[self.beyond].any()
        assert not grads.x[self.beyond].any()
        return found

    def alone(self, one_run: Any) -> dict[str, Any]:
        """The same of each sequence run alone, cut to its length, as `one_run` does it."""
        layer, total = self.layer, {}
        total["output"] = np.zeros(self.d_output.shape)
        total["x"] = np.zeros(self.x.shape)
        for i, (state, d_state) in enumerate(
            zip(each(self.state), each(self.d_state), strict=True)
        ):
            total[f"final {i}"], total[f"state {i}"] = wide(state).copy(), wide(d_state).copy()
        total |= {name: np.zeros(p.shape) for name, p in layer.params.items()}
        for n, steps in enumerate(self.steps):
            if steps == 0:
                continue
            one = slice(n, n + 1)
            output, final, d_x, d_state, grads = one_run(
                self.x[:steps, one],
                [s[:, one] for s in each(self.state)],
                self.d_output[:steps, one],
                [s[:, one] for s in each(self.d_state)],
            )
            total["output"][:steps, one], total["x"][:steps, one] = output, d_x
            for i, (last, d_first) in enumerate(zip(final, d_state, strict=True)):
                total[f"final {i}"][:, one], total[f"state {i}"][:, one] = last, d_first
            for name, gradient in grads.items():
                total[name] += gradient
        return total

    def naive(self) -> dict[str, Any]:
        layer = self.layer
        forward, backward, options = NAIVE[layer.cell]
        params = {name: wide(p) for name, p in layer.params.items()}
        shape = {"num_layers": layer.num_layers, "bidirectional": layer.bidirectional}

        def run(x: Any, state: Any, d_output: Any, d_state: Any) -> Any:
            first = as_state([wide(s) for s in state])
            output, final, cache = forward(wide(x), first, params, **shape, **options)
            last = as_state([wide(s) for s in d_state])
            d_x, d_first, grads = backward(cache, wide(d_output), last)
            return output, each(final), d_x, each(d_first), grads

        return self.alone(run)

    def by_itself(self) -> dict[str, Any]:
        layer = self.layer

        def run(x: Any, state: Any, d_output: Any, d_state: Any) -> Any:
            output, final, tape = layer.forward(x, as_state(state))
            grads = layer.backward(tape, d_output, as_state(d_state))
            return output, each(final), grads.x, each(grads.state), grads.params

        return self.alone(run)


def assert_same(found: dict[str, Any], wanted: dict[str, Any], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    for name, array in found.items():
        assert_close(array, wanted[name], tolerance, name)


@st.composite
def lengths_and_time(draw: Any) -> tuple[list[int], int]:
    time = draw(st.integers(1, 40))
    steps = st.lists(st.integers(0, time), min_size=1, max_size=9)
    return draw(steps), time + draw(st.integers(0, 2))


@given(
    cell=st.sampled_from(sorted(NAIVE, key=lambda c: c.name)),
    dtype=st.sampled_from(FLOATS),
    steps_and_time=lengths_and_time(),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 40)),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    costs=st.sampled_from(sorted(COSTS)),
    seed=st.integers(0, 99),
)
def test_each_sequence_is_the_naive_network_alone(
    cell: Any, dtype: Any, steps_and_time: Any, sizes: Any, layers: int, bidirectional: bool,
    bias: bool, costs: str, seed: int,
) -> None:  # fmt: skip
    layer: Any = Recurrent(
        cell, *sizes, layers, bias, bidirectional=bidirectional, dtype=dtype, seed=seed
    )
    case = Case(layer, *steps_and_time, seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_costs(monkeypatch, costs)
        assert_same(case.run(), case.naive(), K_NAIVE * eps(dtype))


STEPS = [3, 0, 11, 7, 7, 1, 12, 0, 5]


@EACH_COST
@EACH
@pytest.mark.parametrize("hidden", [9, 16], ids=["a rest", "whole vectors"])
def test_each_sequence_of_any_cell_is_itself_alone(
    hidden: int, cell: Any, costs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_costs(monkeypatch, costs)
    layer: Any = Recurrent(cell, 4, hidden, 2, bidirectional=True, dtype=np.float64, seed=1)
    case = Case(layer, STEPS, 13)
    assert_same(case.run(), case.by_itself(), K_NAIVE * eps(np.float64))


@EACH_COST
@pytest.mark.parametrize("given", [True, False], ids=["states", "zero"])
@pytest.mark.parametrize("cell", [LSTM, GRU_RESET_BEFORE, INDRNN], ids=lambda c: c.name)
def test_many_blocks_of_time_are_one(
    cell: Any, given: bool, costs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sequences end in all blocks, at their borders, and behind longer ones."""
    set_costs(monkeypatch, costs)
    layer: Any = Recurrent(cell, 3, 9, bidirectional=True, dtype=np.float64, seed=1)
    block = plan_layer(cell, layer.dtype, 40, 40, 3, 9, keep=True).layer.block
    assert 1 < block < 20
    borders = np.repeat([block, 2 * block, block + 1, block - 1, 40], 4)
    steps = np.concatenate([np.random.default_rng(0).integers(0, 41, 20), borders])
    case = Case(layer, steps, 40)
    if not given:
        case.state = as_state([np.zeros_like(s) for s in each(case.state)])
    assert_same(case.run(), case.by_itself(), K_NAIVE * eps(np.float64))


@pytest.mark.parametrize("steps", [[7], [0], [7, 7, 7]], ids=str)
def test_equal_lengths_are_the_shorter_run(steps: Any) -> None:
    layer: Any = fastrnn.LSTM(3, 9, 2, bidirectional=True, dtype=np.float64, seed=1)
    case = Case(layer, steps, 12)
    assert_same(case.run(), case.by_itself(), K_NAIVE * eps(np.float64))


#: Lengths of 32 sequences of at most 100 steps, layers, and whether sorting them pays in training
#: an LSTM of 64 units.
MIXED = np.random.default_rng(0).permutation(np.arange(100, 4, -3))
WAYS = {
    "nearly full": (100 - MIXED % 8, {}, False),
    "of all lengths": (MIXED, {}, True),
    "the longest first": (np.sort(MIXED)[::-1], {}, False),
    "small layers": (MIXED, {"hidden_size": 4}, False),
    "many small layers": (MIXED, {"hidden_size": 12, "num_layers": 8}, True),
}


@pytest.mark.parametrize("way", WAYS)
def test_sequences_are_sorted_where_that_pays(way: str) -> None:
    steps, sizes, is_sorted = WAYS[way]
    layer = fastrnn.LSTM(**{"input_size": 8, "hidden_size": 64, **sizes}, seed=0)
    ragged = layer.forward(np.zeros((100, 32, 8), np.float32), None, steps)[2].ragged
    assert ragged is not None
    assert (ragged.order is not None) == is_sorted


def test_what_an_empty_sequence_begins_from_spoils_nothing() -> None:
    layer = fastrnn.GRU(3, 7, bidirectional=True, seed=0)
    case = Case(layer, [5, 0, 9], 9)
    case.state[:, 1] = np.nan
    _, _, tape = layer.forward(case.x, case.state, case.steps)
    grads = layer.backward(tape, case.d_output, case.d_state)
    assert np.isfinite(grads.flat).all()
    assert np.isfinite(grads.x).all()


@EACH_COST
def test_tapes_and_calls_do_not_share_memory(costs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_costs(monkeypatch, costs)
    layer = fastrnn.LSTM(3, 7, 2, dropout=0.3, seed=0)
    cases = [Case(layer, STEPS, 13, seed) for seed in range(3)]
    tapes = [layer.forward(case.x, case.state, case.steps)[2] for case in cases]
    first = layer.backward(tapes[0], cases[0].d_output).flat.copy()
    twin, twins_tape = copy.deepcopy((layer, tapes[0]))
    assert not twin._pool.arrays._free
    del tapes[1]
    for case in cases:
        layer(case.x, case.state, case.steps)
        layer.backward(tapes[1], cases[2].d_output)
    np.testing.assert_array_equal(layer.backward(tapes[0], cases[0].d_output).flat, first)
    np.testing.assert_array_equal(twin.backward(twins_tape, cases[0].d_output).flat, first)
    many = [layer.forward(cases[0].x, None, STEPS)[2] for _ in range(30)]
    del many, tapes
    assert len(layer._pool.arrays._free) <= FREE_MAX


def test_many_threads_of_python_call_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    set_costs(monkeypatch, "sorted")
    layer = fastrnn.LSTM(3, 7, bidirectional=True, seed=0)
    cases = [Case(layer, np.roll(STEPS, i), 13, i) for i in range(6)]
    alone = [case.run() for case in cases]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(Case.run, cases), alone, strict=True):
                for name, array in found.items():
                    np.testing.assert_array_equal(array, wanted[name])


@DTYPES
@EACH_COST
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_are_packed_sequences_of_torch(
    batch_first: bool, name: str, costs: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    set_costs(monkeypatch, costs)
    layout = {"batch_first": batch_first, "bidirectional": True}
    layer = getattr(fastrnn, name)(5, 9, 2, **layout, dtype=dtype, seed=2)
    peer = getattr(torch.nn, name)(5, 9, 2, **layout).to(torch.from_numpy(layer.flat).dtype)
    peer.load_state_dict({k: torch.from_numpy(p) for k, p in layer.state_dict().items()})
    steps = np.array([s for s in STEPS if s])  # torch refuses empty sequences
    case = Case(layer, steps, 13)
    lay = (lambda a: a.swapaxes(0, 1).copy()) if batch_first else (lambda a: a)
    x, d_output = lay(np.nan_to_num(case.x)), lay(np.nan_to_num(case.d_output))

    x_peer = torch.from_numpy(x.copy()).requires_grad_()
    first = [torch.from_numpy(s.copy()).requires_grad_() for s in each(case.state)]
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        x_peer, torch.from_numpy(steps), batch_first=batch_first, enforce_sorted=False
    )
    output_peer, final_peer = peer(packed, as_state(first))
    output_peer, _ = torch.nn.utils.rnn.pad_packed_sequence(
        output_peer, batch_first=batch_first, total_length=13
    )
    torch.autograd.backward(
        [output_peer, *each(final_peer)],
        [torch.from_numpy(a) for a in (d_output, *each(case.d_state))],
    )
    output, final, tape = layer.forward(x, case.state, steps)
    grads = layer.backward(tape, d_output, case.d_state)
    pairs = [("output", output, output_peer), ("x", grads.x, x_peer.grad)]
    pairs += [("final", a, b) for a, b in zip(each(final), each(final_peer), strict=True)]
    pairs += [("state", a, b.grad) for a, b in zip(each(grads.state), first, strict=True)]
    pairs += [(name, grads.params[name], p.grad) for name, p in peer.named_parameters()]
    for what, ours, theirs in pairs:
        assert_close(ours, theirs.detach(), K_TORCH * eps(dtype), what)


@EACH_COST
@pytest.mark.parametrize("cell", [LSTM, MGU], ids=lambda c: c.name)
def test_gradients_are_those_of_finite_differences(
    cell: Any, costs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_costs(monkeypatch, costs)
    layer: Any = Recurrent(cell, 2, 3, 2, bidirectional=True, dtype=np.float64, seed=0)
    case = Case(layer, [4, 0, 6, 2], 6)
    case.x, case.d_output = np.nan_to_num(case.x), np.nan_to_num(case.d_output)
    output, _, tape = layer.forward(case.x, case.state, case.steps)
    grads = layer.backward(tape, case.d_output, case.d_state)
    pairs = [(case.x, grads.x), (layer.flat, grads.flat)]
    pairs += zip(each(case.state), each(grads.state), strict=True)
    for place, (array, gradient) in enumerate(pairs):
        numeric = np.empty_like(array)
        for i, value in np.ndenumerate(array):
            losses = []
            for moved in (value + FD_STEP, value - FD_STEP):
                array[i] = moved
                output, final = layer(case.x, case.state, case.steps)
                states = zip(each(final), each(case.d_state), strict=True)
                losses.append(np.vdot(output, case.d_output) + sum(np.vdot(*s) for s in states))
            array[i] = value
            numeric[i] = (losses[0] - losses[1]) / (2 * FD_STEP)
        assert_close(gradient, numeric, K_FD * FD_STEP**2, f"argument {place}")


@DTYPES
@EACH_COST
def test_tokens_are_one_hot_floats(costs: str, dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_costs(monkeypatch, costs)
    layer = fastrnn.LSTM(6, 5, 2, bidirectional=True, dtype=dtype, seed=0)
    case = Case(layer, STEPS, 13)
    tokens = np.random.default_rng(0).integers(6, size=(13, len(STEPS)))
    case.x = np.eye(6, dtype=dtype)[tokens]
    floats = case.run()
    output, final, tape = layer.forward(OneHot(tokens), case.state, STEPS)
    grads = layer.backward(tape, case.d_output, case.d_state)
    assert grads.x is None
    found = {"output": output, **grads.params}
    found |= {f"final {i}": s for i, s in enumerate(each(final))}
    found |= {f"state {i}": s for i, s in enumerate(each(grads.state))}
    del floats["x"]
    assert_same(found, floats, K_NAIVE * eps(dtype))


def test_full_lengths_are_the_ordinary_run() -> None:
    layer = fastrnn.GRU(3, 7, 2, bidirectional=True, seed=0)
    case = Case(layer, [8] * 5, 8)
    output, final, tape = layer.forward(case.x, case.state, case.steps)
    ordinary, ordinary_final, ordinary_tape = layer.forward(case.x, case.state)
    assert tape.ragged is None
    np.testing.assert_array_equal(output, ordinary)
    np.testing.assert_array_equal(final, ordinary_final)
    grads = layer.backward(tape, case.d_output, case.d_state)
    expected = layer.backward(ordinary_tape, case.d_output, case.d_state)
    np.testing.assert_array_equal(grads.flat, expected.flat)


def test_no_step_at_all_gives_the_initial_state() -> None:
    layer = fastrnn.LSTM(3, 7, 2, bidirectional=True, seed=0)
    case = Case(layer, [0] * 4, 6)
    found = case.run()
    for i in range(2):
        np.testing.assert_array_equal(found[f"final {i}"], case.state[i])
        np.testing.assert_array_equal(found[f"state {i}"], case.d_state[i])
    assert not any(found[name].any() for name in ("output", "x", *layer.params))


def test_what_is_absent_is_zero() -> None:
    layer = fastrnn.LSTM(3, 7, 2, bidirectional=True, dtype=np.float64, seed=0)
    case = Case(layer, STEPS, 13)
    shape = case.state[0].shape
    zeros = np.zeros(shape), np.zeros(shape)
    output, final, tape = layer.forward(case.x, None, STEPS)
    expected, expected_final, zero_tape = layer.forward(case.x, zeros, STEPS)
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(final, expected_final)
    d_zero = np.zeros(output.shape)
    for given_, full in (((case.d_output, None), (case.d_output, zeros)),
                         ((None, case.d_state), (d_zero, case.d_state))):  # fmt: skip
        grads, wanted = layer.backward(tape, *given_), layer.backward(zero_tape, *full)
        np.testing.assert_array_equal(grads.flat, wanted.flat)
        np.testing.assert_array_equal(grads.x, wanted.x)
    assert layer.backward(tape, case.d_output, wants_x=False).x is None


def test_an_unbatched_sequence_has_one_length() -> None:
    layer = fastrnn.LSTM(3, 7, bidirectional=True, seed=0)
    x = normal((9, 3), np.float32)
    output, final, tape = layer.forward(x, lengths=4)
    wanted, wanted_final = layer(x[:4])
    np.testing.assert_array_equal(output[:4], wanted)
    assert not output[4:].any()
    np.testing.assert_array_equal(final, wanted_final)
    assert layer.backward(tape, np.ones_like(output)).x.shape == x.shape


@EACH_COST
def test_dropout_acts_on_steps_alone(costs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_costs(monkeypatch, costs)
    layer = fastrnn.RNN(3, 7, 2, dropout=1.0, dtype=np.float64, seed=0)
    case = Case(layer, STEPS, 13)
    output, _, tape = layer.forward(case.x, case.state, case.steps)
    top = fastrnn.RNN(7, 7, dtype=np.float64, seed=0)
    names = [name.replace("_l1", "_l0") for name in layer.params if "_l1" in name]
    top.load_state_dict({name: layer.params[name.replace("_l0", "_l1")] for name in names})
    expected, _ = top(np.zeros((13, len(STEPS), 7)), case.state[1:], case.steps)
    np.testing.assert_array_equal(output, expected)
    grads = layer.backward(tape, case.d_output, case.d_state)
    assert not grads.params["weight_ih_l1"].any()
    assert not layer.backward(tape, case.d_output).x.any()


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@EACH_COST
@pytest.mark.parametrize(
    ("name", "batch"),
    [("RNN", 40), ("LSTM", 40), ("LSTM", 3), ("GRU", 25), ("GRU", 1100), ("GRU before", 40)],
)
def test_any_number_of_threads_gives_the_same_bits(
    name: str, batch: int, costs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_costs(monkeypatch, costs)
    monkeypatch.setattr(threads, "available", lambda: 3)
    results = []
    for team in (1, 2, 3):
        kind, _, before = name.partition(" ")
        options = {"reset_after": False} if before else {}
        layer = getattr(fastrnn, kind)(48, 160, bidirectional=True, seed=0, threads=team, **options)
        time = 40 if batch < 100 else 5
        steps = np.random.default_rng(0).integers(0, time + 1, size=batch)
        found = Case(layer, steps, time).run()
        results.append([array.tobytes() for array in found.values()])
    assert results[0] == results[1] == results[2]


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_growing_states_in_padding_spoil_nothing() -> None:
    layer = fastrnn.RNN(1, 2, bias=False, nonlinearity="relu", seed=0)
    layer.flat = np.abs(layer.flat) * 50
    case = Case(layer, [1, 60], 60)
    case.x[1:, 1], case.x[0] = 0, 1
    case.x[:, 1] = -1
    case.state = np.zeros_like(case.state)
    found = case.run()
    assert all(np.isfinite(array).all() for array in found.values())
    assert_same(found, case.by_itself(), K_NAIVE * eps(np.float32))


T, N = 6, 3
WRONG = {
    "float": (TypeError, [1.0, 2.0, 3.0], "lengths must be integers, got float64"),
    "bool": (TypeError, [True, False, True], "lengths must be integers, got bool"),
    "shape": (ValueError, [1, 2], r"lengths must have shape \(N,\) = \(3,\), got \(2,\)"),
    "column": (ValueError, [[1], [2], [3]], r"lengths must have shape \(N,\) = \(3,\)"),
    "long": (ValueError, [6, 7, 9], r"lengths must be in \[0, T\] = \[0, 6\], got 7 at index 1"),
    "negative": (ValueError, [6, 1, -2], r"must be in \[0, T\] = \[0, 6\], got -2 at index 2"),
    "huge": (ValueError, np.array([1, 2, 2**64 - 1], np.uint64), "got 18446744073709551615"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("tokens", [False, True])
def test_wrong_lengths_are_refused(tokens: bool, wrong: str) -> None:
    error, steps, message = WRONG[wrong]
    layer = fastrnn.LSTM(4, 5)
    x = OneHot(np.zeros((T, N), int)) if tokens else np.zeros((T, N, 4), np.float32)
    for call in (layer, layer.forward):
        with pytest.raises(error, match=message):
            call(x, None, steps)


def test_an_unbatched_sequence_takes_no_list_of_lengths() -> None:
    layer = fastrnn.LSTM(4, 5)
    with pytest.raises(ValueError, match=r"lengths must have shape \(\) = \(\), got \(1,\)"):
        layer(np.zeros((T, 4), np.float32), None, [3])
    with pytest.raises(ValueError, match=r"lengths must be in \[0, T\] = \[0, 6\], got 7$"):
        layer(np.zeros((T, 4), np.float32), None, 7)
