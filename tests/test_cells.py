"""LSTM and GRU against PyTorch, and the equations of every cell against their derivatives."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, FLOATS, PLAIN, assert_close, eps, normal, reads_weights_alike
from hypothesis import given
from hypothesis import strategies as st

from fastrnn import gradcheck, reference
from fastrnn.cells import CELLS, GRU, GRU_RESET_BEFORE, LSTM, MORE_CELLS, Cell
from fastrnn.layers import Recurrent
from fastrnn.plan import BLOCK_ROWS
from fastrnn.simd.functions import sigmoid, tanh

K_TORCH = 64  # k of k*eps: the same sums in another order, both sides rounding
K_NAIVE = 128  # k of k*eps: the other side in float64, errors of 5000 steps
K_EQUATIONS = 64  # k of k*FD_STEP^2
FD_STEP = eps(np.float64) ** (1 / 3)


TORCH_NAMES = {LSTM: "LSTM", GRU: "GRU"}
BOTH = pytest.mark.parametrize("cell", TORCH_NAMES, ids=TORCH_NAMES.get)
CASES = [  # T, N, I, H, L, bidirectional, bias
    (BLOCK_ROWS * 2 + 77, 1, 3, 9, 1, True, True),
    (BLOCK_ROWS, 3, 5, 12, 2, True, True),
    (6, 33, 4, 19, 1, False, False),
    (9, 7, 1, 1, 3, True, True),
]


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


@DTYPES
@BOTH
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("given", ["all", "no state", "no d_output", "no d_state"])
def test_lstm_and_gru_are_those_of_torch(given: str, case: Any, cell: Any, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    time, batch, inputs, hidden, layers, bidirectional, bias = case
    layer: Any = Recurrent(
        cell, inputs, hidden, layers, bias, bidirectional=bidirectional, dtype=dtype, seed=3
    )
    peer = getattr(torch.nn, TORCH_NAMES[cell])(
        inputs, hidden, layers, bias=bias, bidirectional=bidirectional
    ).to(torch.from_numpy(layer.flat).dtype)
    assert list(layer.params) == [name for name, _ in peer.named_parameters()]
    peer.load_state_dict({k: torch.from_numpy(p) for k, p in layer.state_dict().items()})

    rows = (layers * layer.directions, batch, hidden)
    x, d_output = (
        normal((time, batch, inputs), dtype),
        normal((time, batch, layer.directions * hidden), dtype, 1),
    )
    state = tuple(normal(rows, dtype, 2 + i) for i in range(len(cell.states)))
    d_state = tuple(normal(rows, dtype, 5 + i) for i in range(len(cell.states)))

    def wrapped(values: Any) -> Any:
        return values if len(values) > 1 else values[0]

    state_given = None if given == "no state" else wrapped(state)
    output, final, tape = layer.forward(x, state_given)
    called, called_final = layer(x, state_given)
    np.testing.assert_array_equal(called, output)
    for a, b in zip(as_tuple(called_final), as_tuple(final), strict=True):
        np.testing.assert_array_equal(a, b)
    grads = layer.backward(
        tape,
        None if given == "no d_output" else d_output,
        None if given == "no d_state" else wrapped(d_state),
    )

    x_peer, *state_peer = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, *state))
    if given == "no state":
        state_peer = [torch.zeros(rows, dtype=x_peer.dtype, requires_grad=True) for _ in state]
    output_peer, final_peer = peer(x_peer, wrapped(state_peer))
    scales = {"no d_output": (0, 1), "no d_state": (1, 0)}.get(given, (1, 1))
    torch.autograd.backward(
        [output_peer, *as_tuple(final_peer)],
        [
            scales[0] * torch.from_numpy(d_output),
            *(scales[1] * torch.from_numpy(d) for d in d_state),
        ],
    )
    pairs = [("output", output, output_peer), ("x", grads.x, x_peer.grad)]
    pairs += zip(cell.states, as_tuple(final), as_tuple(final_peer), strict=True)
    d_names, d_peers = [f"d_{n}" for n in cell.states], [s.grad for s in state_peer]
    pairs += zip(d_names, as_tuple(grads.state), d_peers, strict=True)
    pairs += [(name, grads.params[name], p.grad) for name, p in peer.named_parameters()]
    for name, ours, theirs in pairs:
        assert ours.dtype == dtype
        assert_close(ours, theirs.detach(), K_TORCH * eps(dtype), name)


NAIVE: dict[Cell, Any] = {
    LSTM: (reference.lstm_forward, reference.lstm_backward, {}),
    GRU: (reference.gru_forward, reference.gru_backward, {}),
    GRU_RESET_BEFORE: (reference.gru_forward, reference.gru_backward, {"reset_after": False}),
}
#: T, N, I, H: any, one step of many units, whole vectors that are read unpacked.
SIZES = (
    st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 20), st.integers(1, 40))
    | st.tuples(st.integers(1, 3), st.sampled_from([1, 33]), st.integers(1, 20), st.just(259))
    | st.tuples(st.integers(1, 12), st.integers(1, 4), st.just(64), st.sampled_from([64, 256]))
    | st.tuples(st.just(5000), st.just(1), st.just(2), st.just(5))
)


@given(
    cell=st.sampled_from(sorted(NAIVE, key=lambda c: c.name)),
    dtype=st.sampled_from(FLOATS),
    sizes=SIZES,
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    given_=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_random_networks_are_the_naive_ones(
    cell: Any, dtype: Any, sizes: Any, layers: int, bidirectional: bool, bias: bool, given_: Any
) -> None:
    time, batch, inputs, hidden = sizes
    layer: Any = Recurrent(
        cell, inputs, hidden, layers, bias, bidirectional=bidirectional, dtype=dtype, seed=4
    )
    rows = (layers * layer.directions, batch, hidden)

    def states(seed: int, wanted: bool) -> Any:
        values = tuple(normal(rows, dtype, seed + i) for i in range(len(cell.states)))
        return None if not wanted else values if len(values) > 1 else values[0]

    def wide(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(wide(v) for v in value)
        return None if value is None else value.astype(np.float64)

    x, state, d_state = normal((time, batch, inputs), dtype), states(1, given_[0]), states(7, True)
    shape = (time, batch, layer.directions * hidden)
    d_output = normal(shape, dtype, 5) if given_[1] else None
    d_state = d_state if given_[2] or not time else None
    output, final, tape = layer.forward(x, state)
    called, called_final = layer(x, state)
    if reads_weights_alike(layer, time, batch):
        np.testing.assert_array_equal(called, output)
    grads = layer.backward(tape, d_output, d_state)

    if not time:
        return  # the naive network has no last state then: tests/test_layers.py
    forward, backward, options = NAIVE[cell]
    params = {name: p.astype(np.float64) for name, p in layer.params.items()}
    naive, naive_final, cache = forward(
        wide(x), wide(state), params, num_layers=layers, bidirectional=bidirectional, **options
    )
    d_x, d_start, d_params = backward(cache, wide(d_output), wide(d_state))
    pairs = [("output", output, naive), ("called", called, naive), ("x", grads.x, d_x)]
    pairs += [("state", *both) for both in zip(as_tuple(final), as_tuple(naive_final), strict=True)]
    pairs += [("called", *b) for b in zip(as_tuple(called_final), as_tuple(final), strict=True)]
    pairs += [("d_state", *b) for b in zip(as_tuple(grads.state), as_tuple(d_start), strict=True)]
    pairs += [(name, grads.params[name], d_params[name]) for name in layer.params]
    for name, ours, theirs in pairs:
        assert ours.dtype == dtype
        assert_close(ours, theirs, K_NAIVE * eps(dtype), name)


@pytest.mark.parametrize("cell", [c for c in CELLS if not c.late], ids=lambda c: c.name)
def test_backward_equations_are_the_derivatives_of_the_forward_ones(cell: Any) -> None:
    count = len(cell.gates) + len(cell.apart)
    arguments = [normal((50,), np.float64, seed) for seed in range(count + len(cell.states))]
    d_states = [normal((50,), np.float64, 20 + i) for i in range(len(cell.states))]
    old = arguments[count:]
    new, saved = cell.forward(*arguments)
    assert len(new) == len(cell.states)
    assert len(saved) == len(cell.saved)
    deltas, d_old = cell.backward(*saved, *old, *new, *d_states)
    others = slice(0 if cell.h_carried else 1, None)
    assert len(deltas) == count
    assert len(d_old) == len(old[others])
    places = [*range(count), *range(count, len(arguments))[others]]
    for place, gradient in zip(places, [*deltas, *d_old], strict=True):
        losses = []
        for step in (FD_STEP, -FD_STEP):
            moved = list(arguments)
            moved[place] = moved[place] + step
            states, _ = cell.forward(*moved)
            losses.append(sum(d * s for d, s in zip(d_states, states, strict=True)))
        numeric = (losses[0] - losses[1]) / (2 * FD_STEP)
        assert_close(gradient, numeric, K_EQUATIONS * FD_STEP**2, f"argument {place}")


@pytest.mark.parametrize("cell", [c for c in CELLS if c.late], ids=lambda c: c.name)
def test_both_stages_backward_are_the_derivatives_of_the_forward_ones(cell: Any) -> None:
    weight, early, gates = 0.7, len(cell.gates) - len(cell.late), len(cell.gates)
    arguments = [normal((50,), np.float64, seed) for seed in range(gates + len(cell.states))]
    d_states = [normal((50,), np.float64, 20 + i) for i in range(len(cell.states))]

    def run(values: Any) -> Any:
        modulated, kept = cell.early(*values[:early], *values[gates:])
        late = [a + weight * modulated for a in values[early:gates]]
        return cell.forward(*late, *kept, *values[gates:])

    new, saved = run(arguments)
    assert len(saved) == len(cell.saved)
    old = arguments[gates:]
    deltas, d_old = cell.backward(*saved, *old, *new, *d_states)
    d_modulated = weight * sum(deltas[early:])
    d_early, d_h = cell.early_backward(*saved, *old, d_modulated, *deltas[:early])
    gradients = [*d_early, *deltas[early:], d_old[0] + d_h, *d_old[1:]]
    for place, gradient in enumerate(gradients):
        losses = []
        for step in (FD_STEP, -FD_STEP):
            moved = list(arguments)
            moved[place] = moved[place] + step
            losses.append(sum(d * s for d, s in zip(d_states, run(moved)[0], strict=True)))
        numeric = (losses[0] - losses[1]) / (2 * FD_STEP)
        assert_close(gradient, numeric, K_EQUATIONS * FD_STEP**2, f"argument {place}")


#: What its late gate's weights multiply is not zero where h is.
RAISED = dataclasses.replace(
    GRU_RESET_BEFORE,
    name="raised",
    early=lambda a_r, a_z, h: (sigmoid(a_r) * h + 1, (sigmoid(a_r), sigmoid(a_z))),
    forward=lambda a_n, r, z, h: ((tanh(a_n) + z * (h - tanh(a_n)),), (r, z, tanh(a_n), r * h + 1)),
)


@DTYPES
@pytest.mark.parametrize("time", [1, 3])
@pytest.mark.parametrize("cell", [*CELLS, *MORE_CELLS, RAISED], ids=lambda cell: cell.name)
def test_a_first_step_from_zero_is_like_one_from_nearly_zero(
    cell: Any, time: int, dtype: Any
) -> None:
    """The first does not multiply h, nor does it read what a call before left."""
    layer: Any = Recurrent(cell, 3, 20, bidirectional=True, dtype=dtype, seed=0)
    x, d_output = normal((time, 5, 3), dtype), normal((time, 5, 40), dtype, 1)
    near = [np.zeros((2, 5, 20), dtype) for _ in cell.states]
    near[0][:, -1, -1] = eps(dtype)
    output, _, tape = layer.forward(x, near[0] if len(near) == 1 else tuple(near))
    expected = layer.backward(tape, d_output)
    for work in (work for free in layer._pool._free.values() for work in free):
        work.numbers.fill(np.nan)
        work.seal.fill(0)
    at_rest, _, tape = layer.forward(x)
    assert_close(at_rest, output, K_TORCH * eps(dtype))
    assert_close(layer(x)[0], output, K_TORCH * eps(dtype))
    for wants_state in (True, False):
        grads = layer.backward(tape, d_output, wants_state=wants_state)
        assert_close(grads.flat, expected.flat, K_TORCH * eps(dtype))
        assert_close(grads.x, expected.x, K_TORCH * eps(dtype))
        assert (grads.state is None) == (not wants_state)


@pytest.mark.skipif(PLAIN, reason="about pairs of vectors, which need the JIT")
@DTYPES
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_row_has_the_same_bits_alone_and_in_a_pair(cell: Any, dtype: Any) -> None:
    """Products and sums are fused alike where equations run on two vectors at once."""
    layer: Any = Recurrent(cell, 5, 64, dtype=dtype, seed=0)
    x = normal((6, 12, 5), dtype)
    whole, _ = layer(x)
    # The last row is alone in every other one; plans of fewer than 8 rows add in another order.
    for rows in (9, 10, 11):
        np.testing.assert_array_equal(layer(x[:, :rows])[0], whole[:, :rows])


def test_states_of_a_cell_with_several_are_named_in_errors() -> None:
    layer: Any = Recurrent(LSTM, 3, 5)
    x, good = np.zeros((4, 2, 3), np.float32), np.zeros((1, 2, 5), np.float32)
    for state, error, message in [
        (good, TypeError, r"state must be a tuple \(h, c\), got ndarray"),
        ((good,), TypeError, r"state must be a tuple \(h, c\)"),
        ((good, good[:, :1]), ValueError, r"state c must have shape \(L\*D, N, H\) = \(1, 2, 5\)"),
        ((good.astype(np.float64), good), TypeError, "state h must be float32, got float64"),
    ]:
        with pytest.raises(error, match=message):
            layer(x, state)


@pytest.mark.parametrize(
    ("gates", "states", "apart", "message"),
    [
        ((), ("h",), (), "cell 'odd' must name at least one gate and one state"),
        (("a",), (), (), "cell 'odd' must name at least one gate and one state"),
        (("a", "b"), ("h",), ("a",), "apart must be the last of the gates"),
        (("a",), ("h",), ("z", "a"), "apart must be the last of the gates"),
    ],
)
def test_a_cell_that_contradicts_itself_is_refused(
    gates: Any, states: Any, apart: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Cell("odd", gates, states, LSTM.forward, LSTM.backward, apart=apart)


def test_a_cell_whose_h_is_not_read_again_has_no_gradient_there() -> None:
    """As in an SRU: only c is carried."""

    def forward(a_f: Any, a_z: Any, h: Any, c: Any) -> Any:
        f, z = sigmoid(a_f), tanh(a_z)
        c_new = f * c + (1 - f) * z
        return (tanh(c_new), c_new), (f, z)

    def backward(f: Any, z: Any, h: Any, c: Any, h_new: Any, c_new: Any, dh: Any, dc: Any) -> Any:
        dc = dc + dh * (1 - h_new * h_new)
        return (dc * (c - z) * f * (1 - f), dc * (1 - f) * (1 - z * z)), (dc * f,)

    cell = Cell("sru", ("f", "z"), ("h", "c"), forward, backward, saved=("f", "z"), recurrent=False)
    gradcheck(cell)
    layer: Any = Recurrent(cell, 3, 5)
    _, final, tape = layer.forward(normal((4, 2, 3), np.float32))
    grads = layer.backward(tape, d_state=tuple(np.ones_like(s) for s in final))
    assert not grads.state[0].any()
    assert grads.state[1].all()


def test_a_cell_is_a_cell_and_its_names_are_its_own() -> None:
    with pytest.raises(TypeError, match="cell must be a Cell"):
        Recurrent("lstm", 3, 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must have different names, none of"):
        Cell("odd", ("a",), ("h",), LSTM.forward, LSTM.backward, weights=("weight_ih",))
