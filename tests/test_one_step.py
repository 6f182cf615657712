"""Single steps: PyTorch's, and those that a layer takes."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, assert_close, eps, normal

import fastrnn
from fastrnn.cells import INDRNN, PEEPHOLE_LSTM

K_TORCH = 32  # k of k*eps: the same sums in another order
#: The class, what torch calls it, and the arguments of its own.
KINDS = {
    "RNNCell": (fastrnn.RNNCell, {}),
    "RNNCell relu": (fastrnn.RNNCell, {"nonlinearity": "relu"}),
    "LSTMCell": (fastrnn.LSTMCell, {}),
    "GRUCell": (fastrnn.GRUCell, {}),
}
KIND = pytest.mark.parametrize("kind", KINDS)


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def as_state(values: Any) -> Any:
    return tuple(values) if len(values) > 1 else values[0]


@KIND
@DTYPES
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (1,), (5,)], ids=str)
@pytest.mark.parametrize("given", [True, False])
def test_a_step_is_that_of_torch(
    given: bool, batch: tuple[int, ...], bias: bool, dtype: Any, kind: str
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    make, own = KINDS[kind]
    cell = make(3, 13, bias, **own, dtype=dtype, seed=0)
    peer = getattr(torch.nn, kind.split()[0])(3, 13, bias, **own).to(
        torch.from_numpy(cell.flat).dtype
    )
    assert list(cell.params) == [name for name, _ in peer.named_parameters()]
    peer.load_state_dict({name: torch.from_numpy(p) for name, p in cell.state_dict().items()})

    count = len(cell.cell.states)
    x = normal((*batch, 3), dtype)
    state = [normal((*batch, 13), dtype, 1 + i) for i in range(count)]
    d_state = [normal((*batch, 13), dtype, 4 + i) for i in range(count)]
    first = as_state(state) if given else None
    final, tape = cell.forward(x, first)
    for a, b in zip(as_tuple(cell(x, first)), as_tuple(final), strict=True):
        np.testing.assert_array_equal(a, b)
    grads = cell.backward(tape, as_state(d_state))
    assert cell.backward(tape, as_state(d_state), wants_x=False).x is None

    x_peer, *peers = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, *state))
    final_peer = as_tuple(peer(x_peer, as_state(peers)) if given else peer(x_peer))
    torch.autograd.backward(final_peer, [torch.from_numpy(d) for d in d_state])
    pairs = [("x", grads.x, x_peer.grad)]
    pairs += [("state", *pair) for pair in zip(as_tuple(final), final_peer, strict=True)]
    if given:
        firsts = [p.grad for p in peers]
        pairs += [("d_state", *p) for p in zip(as_tuple(grads.state), firsts, strict=True)]
    pairs += [(name, grads.params[name], p.grad) for name, p in peer.named_parameters()]
    for name, ours, theirs in pairs:
        assert ours.dtype == dtype
        assert_close(ours, theirs.detach(), K_TORCH * eps(dtype), name)


@pytest.mark.parametrize("cell", [PEEPHOLE_LSTM, INDRNN], ids=lambda c: c.name)
def test_steps_of_any_cell_are_those_of_its_layer(cell: Any) -> None:
    layer: Any = fastrnn.Recurrent(cell, 3, 9, seed=5)
    step: Any = fastrnn.OneStep(cell, 3, 9, seed=5)
    assert [f"{name}_l0" for name in step.params] == list(layer.params)
    assert step.flat.tobytes() == layer.flat.tobytes()  # one seed, the same parameters
    # With fewer rows one step would read its weights as they lie, and six pack them.
    x = normal((6, 4, 3), np.float32)
    output, final, tape = layer.forward(x)
    state, tapes = None, []
    for t in range(6):
        state, tape_t = step.forward(x[t], state)
        tapes.append(tape_t)
        assert as_tuple(state)[0].tobytes() == output[t].tobytes()
    desired = layer.backward(tape, None, final)
    d_state, total = state, np.zeros_like(step.flat)
    for t in reversed(range(6)):
        grads = step.backward(tapes[t], d_state)
        d_state = grads.state
        total += grads.flat
        assert_close(grads.x, desired.x[t], K_TORCH * eps(np.float32))
    assert_close(total, desired.flat, K_TORCH * eps(np.float32))


def test_parameters_are_views_and_copies_are_cells_of_their_own() -> None:
    cell: Any = fastrnn.GRUCell(3, 5, dtype=np.float64, seed=0)
    assert cell.params["weight_ih"].shape == (15, 3)
    x, before = np.ones((2, 3)), cell(np.ones((2, 3)))
    for twin in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        np.testing.assert_array_equal(twin(x), before)
        twin.params["bias_hh"] = np.ones(15)
        assert twin.flat[-1] == 1
        assert not np.array_equal(twin(x), before)
    np.testing.assert_array_equal(cell(x), before)
    saved = cell.state_dict()
    cell.flat[...] = 0
    np.testing.assert_array_equal(cell(x), np.zeros((2, 5)))
    cell.load_state_dict(saved)
    np.testing.assert_array_equal(cell(x), before)
    assert repr(cell) == "GRUCell(3, 5, dtype=float64)"
    assert repr(fastrnn.RNNCell(3, 5, False)) == "RNNCell(3, 5, bias=False, dtype=float32)"
    with pytest.raises(AttributeError, match="hidden_size is fixed once it is set"):
        cell.hidden_size = 7
    with pytest.raises(AttributeError, match="bidirectional is fixed once it is set"):
        fastrnn.RNN(3, 5).bidirectional = True


F4 = np.float32
BAD = [
    ({"x": np.zeros((2, 4), F4)}, ValueError, "x must have shape (N, I) or (I,) with I = 3, got"),
    ({"x": np.zeros((1, 2, 3), F4)}, ValueError, "x must have shape (N, I) or (I,) with I = 3"),
    ({"x": F4(1)}, ValueError, "x must have shape (N, I) or (I,) with I = 3, got ()"),
    ({"x": np.zeros((2, 3))}, TypeError, "x must be float32, got float64"),
    ({"state": np.zeros((2, 5), F4)}, TypeError, "state must be a tuple (h, c), got ndarray"),
    (
        {"state": (np.zeros((2, 5), F4), np.zeros((1, 5), F4))},
        ValueError,
        "state c must have shape (N, H) = (2, 5), got (1, 5)",
    ),
    (
        {"x": np.zeros(3, F4), "state": (np.zeros((1, 5), F4),) * 2},
        ValueError,
        "state h must have shape (H,) = (5,), got (1, 5)",
    ),
]


@pytest.mark.parametrize("method", ["__call__", "forward"])
@pytest.mark.parametrize(("given", "error", "message"), BAD, ids=lambda v: str(v)[:40])
def test_a_bad_argument_is_named(
    given: Any, error: type[Exception], message: str, method: str
) -> None:
    cell = fastrnn.LSTMCell(3, 5, seed=0)
    with pytest.raises(error, match=re.escape(message)):
        getattr(cell, method)(**{"x": np.zeros((2, 3), F4), "state": None, **given})


def test_a_bad_gradient_is_named() -> None:
    cell = fastrnn.LSTMCell(3, 5, seed=0)
    _, tape = cell.forward(np.zeros((2, 3), F4))
    _, other = fastrnn.LSTMCell(3, 5).forward(np.zeros((2, 3), F4))
    good = (np.zeros((2, 5), F4),) * 2
    for wrong, d_state, error, message in [
        (tape, good[0], TypeError, "d_state must be a tuple (h, c), got ndarray"),
        (tape, None, TypeError, "d_state must be a tuple (h, c), got NoneType"),
        (tape, (good[0], good[0][0]), ValueError, "d_state c must have shape (N, H) = (2, 5)"),
        ((1, 2), good, TypeError, "tape must be what forward returned, got tuple"),
        (other, good, ValueError, "tape must be of this layer, got one of another layer"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            cell.backward(wrong, d_state)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="nonlinearity must be one of 'tanh', 'relu', got 'elu'"):
        fastrnn.RNNCell(3, 5, nonlinearity="elu")
