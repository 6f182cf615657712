"""Layers against the naive implementation, PyTorch and finite differences."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from conftest import (
    DTYPES,
    EACH_CELL,
    FLOATS,
    NONLINEARITIES,
    RNN_CELLS,
    assert_close,
    eps,
    make_layer,
    naive_forward,
    normal,
    reads_weights_alike,
    wide,
)
from hypothesis import assume, given
from hypothesis import strategies as st

import fastrnn
from fastrnn import recurrence, reference
from fastrnn.cells import RNN_TANH
from fastrnn.plan import BLOCK_ROWS
from fastrnn.workspaces import GRADIENTS_MAX

K_NAIVE = 64  # k of k*eps: the same sums in another order, in a whole network
K_TORCH = 64  # the same, both sides rounding
FD_STEP = eps(np.float64) ** (1 / 3)  # central differences err by about step^2 + eps / step
K_FD = 64  # k of k*FD_STEP^2


def compare(
    layer: Any,
    x: Any,
    state: Any = None,
    d_output: Any = None,
    d_state: Any = None,
    tolerance: float | None = None,
) -> bool:
    """Outputs and gradients of a layer (time-major, batched) are the naive network's.

    False, and no gradient compared, if relu's argument was on the other side of zero by rounding.
    """
    if tolerance is None:
        tolerance = K_NAIVE * eps(layer.dtype)
    output, final, tape = layer.forward(x, state)
    naive_output, naive_final, cache = naive_forward(layer, x, state)
    assert output.dtype == final.dtype == layer.dtype
    assert_close(output, naive_output, tolerance, "output")
    assert_close(final, naive_final, tolerance, "state")
    called, called_final = layer(x, state)
    if reads_weights_alike(layer, *x.shape[:2]):
        np.testing.assert_array_equal(called, output)
        np.testing.assert_array_equal(called_final, final)
    assert_close(called, naive_output, tolerance, "output of a call")
    assert_close(called_final, naive_final, tolerance, "state of a call")
    grads = layer.backward(tape, d_output, d_state)
    if layer.nonlinearity == "relu":
        hidden = [h for kept in tape.kept for h in np.moveaxis(kept.h[1 : len(x) + 1], 2, 0)]
        for run, h in zip(cache.runs, hidden, strict=True):
            naive_h = run.h[::-1] if "reverse" in run.suffix else run.h
            assert_close(h, naive_h, tolerance, run.suffix)
            if not np.array_equal(h > 0, naive_h > 0):
                return False
    d_x, d_h0, naive_grads = reference.rnn_backward(cache, wide(d_output), wide(d_state))
    assert_close(grads.x, d_x, tolerance, "x")
    assert_close(grads.state, d_h0, tolerance, "state")
    assert list(grads.params) == list(layer.params)
    for name, gradient in grads.params.items():
        assert gradient.dtype == layer.dtype
        assert np.shares_memory(gradient, grads.flat)
        assert_close(gradient, naive_grads[name], tolerance, name)
    return True


SIZES = st.tuples(
    st.integers(1, 40),
    st.one_of(st.integers(1, 9), st.just(33)),
    st.integers(1, 20),
    st.integers(1, 40),
) | st.tuples(st.integers(1, 3), st.sampled_from([1, 33]), st.integers(1, 20), st.just(515))


@given(
    cell=st.sampled_from(RNN_CELLS),
    dtype=st.sampled_from(FLOATS),
    sizes=SIZES,
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    bias=st.booleans(),
    given_=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 999),
)
def test_random_networks_are_the_naive_ones(
    cell: Any,
    dtype: Any,
    sizes: tuple[int, int, int, int],
    layers: int,
    bidirectional: bool,
    bias: bool,
    given_: tuple[bool, bool, bool],
    seed: int,
) -> None:
    time, batch, inputs, hidden = sizes
    layer = make_layer(
        cell, inputs, hidden, layers, bias=bias, bidirectional=bidirectional, dtype=dtype, seed=seed
    )
    rows = layers * layer.directions
    shapes = [
        (rows, batch, hidden),
        (time, batch, layer.directions * hidden),
        (rows, batch, hidden),
    ]
    wanted = [
        normal(s, dtype, seed + i) if g else None
        for i, (s, g) in enumerate(zip(shapes, given_, strict=True))
    ]
    assume(compare(layer, normal((time, batch, inputs), dtype, seed + 9), *wanted))


LONG = 700


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("batch", [1, 5])
def test_many_blocks_of_time_are_the_naive_network(cell: Any, batch: int, dtype: Any) -> None:
    assert LONG > 2 * BLOCK_ROWS
    assert LONG % BLOCK_ROWS
    layer = make_layer(cell, 3, 9, bidirectional=True, dtype=dtype)
    state, d_state = (normal((2, batch, 9), dtype, seed) for seed in (1, 2))
    d_output = normal((LONG, batch, 18), dtype, 3)
    assert compare(layer, normal((LONG, batch, 3), dtype), state, d_output, d_state)


TORCH_CASES = [  # T, N, I, H, L, bidirectional, bias
    (7, 1, 1, 1, 1, False, True),
    (12, 33, 20, 40, 1, True, True),
    (5, 33, 7, 515, 1, False, True),
    (3, 1, 65, 515, 2, True, False),
    (25, 4, 6, 17, 3, True, True),
    (300, 2, 3, 8, 2, True, True),
]


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("case", TORCH_CASES, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_networks_are_those_of_torch(case: Any, cell: Any, batch_first: bool, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    time, batch, inputs, hidden, layers, bidirectional, bias = case
    layout = {"bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    layer = make_layer(cell, inputs, hidden, layers, dtype=dtype, **layout)
    peer = torch.nn.RNN(
        inputs, hidden, layers, nonlinearity=NONLINEARITIES[cell.name], **layout
    ).to(torch.from_numpy(layer.flat).dtype)
    assert list(layer.params) == [name for name, _ in peer.named_parameters()]
    peer.load_state_dict({k: torch.from_numpy(p) for k, p in layer.state_dict().items()})

    lead = (batch, time) if batch_first else (time, batch)
    rows = layers * layer.directions
    x, d_output = (
        normal((*lead, inputs), dtype),
        normal((*lead, layer.directions * hidden), dtype, 1),
    )
    state, d_state = (normal((rows, batch, hidden), dtype, seed) for seed in (2, 3))
    output, final, tape = layer.forward(x, state)
    grads = layer.backward(tape, d_output, d_state)

    x_peer, state_peer = (torch.from_numpy(a.copy()).requires_grad_() for a in (x, state))
    output_peer, final_peer = peer(x_peer, state_peer)
    torch.autograd.backward(
        [output_peer, final_peer], [torch.from_numpy(d_output), torch.from_numpy(d_state)]
    )
    pairs = {"output": (output, output_peer.detach()), "final": (final, final_peer.detach())}
    pairs |= {"x": (grads.x, x_peer.grad), "state": (grads.state, state_peer.grad)}
    pairs |= {name: (grads.params[name], p.grad) for name, p in peer.named_parameters()}
    for name, (ours, theirs) in pairs.items():
        assert_close(ours, theirs, K_TORCH * eps(dtype), name)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_are_those_of_finite_differences(bidirectional: bool) -> None:
    layer = make_layer(RNN_TANH, 3, 5, 2, bidirectional=bidirectional, dtype=np.float64)
    x, state = normal((6, 2, 3), np.float64), normal((2 * layer.directions, 2, 5), np.float64, 1)
    output, final, tape = layer.forward(x, state)
    d_output, d_state = (normal(a.shape, np.float64, 2) for a in (output, final))
    grads = layer.backward(tape, d_output, d_state)
    pairs = [(x, grads.x), (state, grads.state), (layer.flat, grads.flat)]
    for place, (array, gradient) in enumerate(pairs):
        numeric = np.empty_like(array)
        for i, value in np.ndenumerate(array):
            losses = []
            for moved in (value + FD_STEP, value - FD_STEP):
                array[i] = moved
                output, final = layer(x, state)
                losses.append(float(np.vdot(output, d_output) + np.vdot(final, d_state)))
            array[i] = value
            numeric[i] = (losses[0] - losses[1]) / (2 * FD_STEP)
        assert_close(gradient, numeric, K_FD * FD_STEP**2, f"argument {place}")


# --- tokens ---


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_tokens_are_one_hot_floats(cell: Any, bias: bool, bidirectional: bool, dtype: Any) -> None:
    size, batch = 11, 3
    time = BLOCK_ROWS // batch + 20  # more than a block
    layer = make_layer(cell, size, 6, 2, bias=bias, bidirectional=bidirectional, dtype=dtype)
    tokens = np.random.default_rng(0).integers(size, size=(time, batch))
    d_output = normal((time, batch, layer.directions * 6), dtype)
    results = []
    for x in (fastrnn.OneHot(tokens), np.eye(size, dtype=dtype)[tokens]):
        called, _ = layer(x)
        output, final, tape = layer.forward(x)
        np.testing.assert_array_equal(called, output)
        results.append((output, final, layer.backward(tape, d_output)))
    (output, final, grads), (output_floats, final_floats, grads_floats) = results
    tolerance = K_NAIVE * eps(dtype)
    assert_close(output, output_floats, tolerance)
    assert_close(final, final_floats, tolerance)
    assert grads.x is None
    assert_close(grads.state, grads_floats.state, tolerance)
    for name, gradient in grads.params.items():
        assert_close(gradient, grads_floats.params[name], tolerance, name)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64, ">i4", list])
def test_tokens_of_any_integer_type_and_layout_are_the_same(kind: Any) -> None:
    layer = make_layer(RNN_TANH, 7, 4)
    tokens = np.random.default_rng(0).integers(7, size=(5, 2))
    expected, _ = layer(fastrnn.OneHot(tokens))
    same = tokens.tolist() if kind is list else tokens.astype(kind)
    np.testing.assert_array_equal(layer(fastrnn.OneHot(same))[0], expected)
    np.testing.assert_array_equal(layer(fastrnn.OneHot(np.asfortranarray(tokens)))[0], expected)
    unbatched, _ = layer(fastrnn.OneHot(tokens[:, 1]))
    assert_close(unbatched, expected[:, 1], K_NAIVE * eps(np.float32))
    layer.batch_first = True
    np.testing.assert_array_equal(layer(fastrnn.OneHot(tokens.T))[0], expected.swapaxes(0, 1))


# --- layouts and edges ---


@DTYPES
@EACH_CELL
def test_batch_first_and_unbatched_are_the_batched_network(cell: Any, dtype: Any) -> None:
    sizes, d = (3, 5, 2), 2
    layer = make_layer(cell, *sizes, bidirectional=True, dtype=dtype)
    first = make_layer(cell, *sizes, bidirectional=True, dtype=dtype, batch_first=True)
    x, d_output = normal((8, 4, 3), dtype), normal((8, 4, d * 5), dtype, 1)
    state, d_state = normal((2 * d, 4, 5), dtype, 2), normal((2 * d, 4, 5), dtype, 3)
    output, final, tape = layer.forward(x, state)
    grads = layer.backward(tape, d_output, d_state)

    output_first, final_first, tape_first = first.forward(x.swapaxes(0, 1), state)
    grads_first = first.backward(tape_first, d_output.swapaxes(0, 1), d_state)
    np.testing.assert_array_equal(output_first, output.swapaxes(0, 1))
    np.testing.assert_array_equal(final_first, final)
    np.testing.assert_array_equal(grads_first.x, grads.x.swapaxes(0, 1))
    np.testing.assert_array_equal(grads_first.flat, grads.flat)

    for which in (layer, first):
        total = np.zeros_like(grads.flat)
        for n in range(4):
            one, last, tape = which.forward(x[:, n], state[:, n])
            part = which.backward(tape, d_output[:, n], d_state[:, n])
            tolerance = K_NAIVE * eps(dtype)
            assert_close(one, output[:, n], tolerance)
            assert_close(last, final[:, n], tolerance)
            assert_close(part.x, grads.x[:, n], tolerance)
            assert_close(part.state, grads.state[:, n], tolerance)
            total += part.flat
        assert_close(total, grads.flat, tolerance)


@DTYPES
@EACH_CELL
@pytest.mark.parametrize(("time", "batch"), [(0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_nothing_in_nothing_out(
    cell: Any, time: int, batch: int, bidirectional: bool, dtype: Any
) -> None:
    layer = make_layer(cell, 3, 5, 2, bidirectional=bidirectional, dtype=dtype)
    rows = 2 * layer.directions
    state, d_state = normal((rows, batch, 5), dtype), normal((rows, batch, 5), dtype, 1)
    for x in (np.zeros((time, batch, 3), dtype), fastrnn.OneHot(np.zeros((time, batch), int))):
        output, final, tape = layer.forward(x, state)
        assert output.shape == (time, batch, layer.directions * 5)
        np.testing.assert_array_equal(final, state)  # no step was taken
        np.testing.assert_array_equal(layer(x, state)[1], state)
        grads = layer.backward(tape, np.zeros_like(output), d_state)
        np.testing.assert_array_equal(grads.state, d_state)
        assert not grads.flat.any()
        if isinstance(x, fastrnn.OneHot):
            assert grads.x is None
        else:
            assert grads.x is not None
            assert grads.x.shape == x.shape


@DTYPES
@EACH_CELL
def test_absent_gradients_are_zeros(cell: Any, dtype: Any) -> None:
    layer = make_layer(cell, 3, 5, 2, dtype=dtype)
    output, final, tape = layer.forward(normal((4, 2, 3), dtype))
    d_output, d_state = normal(output.shape, dtype), normal(final.shape, dtype, 1)
    for absent, zeros in [
        ((d_output, None), (d_output, np.zeros_like(d_state))),
        ((None, d_state), (np.zeros_like(d_output), d_state)),
        ((None, None), (np.zeros_like(d_output), np.zeros_like(d_state))),
    ]:
        some, all_ = layer.backward(tape, *absent), layer.backward(tape, *zeros)
        np.testing.assert_array_equal(some.x, all_.x)
        np.testing.assert_array_equal(some.state, all_.state)
        np.testing.assert_array_equal(some.flat, all_.flat)
    unwanted = layer.backward(tape, d_output, wants_x=False, wants_state=False)
    assert unwanted.x is None
    assert unwanted.state is None
    np.testing.assert_array_equal(unwanted.flat, layer.backward(tape, d_output).flat)


@DTYPES
@pytest.mark.parametrize("time", [1, 2, BLOCK_ROWS + 3])
@pytest.mark.parametrize("batch", [1, 5, 9])
def test_a_first_step_from_zero_is_that_of_the_naive_network(
    time: int, batch: int, dtype: Any
) -> None:
    """It does not multiply h, and its gradients are those of a step that does."""
    layer = make_layer(RNN_TANH, 3, 20, 2, bidirectional=True, dtype=dtype)
    x, d_output = normal((time, batch, 3), dtype), normal((time, batch, 40), dtype, 1)
    zeros = np.zeros((4, batch, 20), dtype)
    assert compare(layer, x, None, d_output)
    some = layer.forward(x)
    for one, other in zip(some[:2], layer.forward(x, zeros)[:2], strict=True):
        assert one.tobytes() == other.tobytes()
    # One number that is not zero, and all is multiplied again: sums in another order.
    nearly = zeros.copy()
    nearly[:, -1, -1] = eps(dtype)
    output, _, tape = layer.forward(x, nearly)
    assert_close(output, some[0], K_NAIVE * eps(dtype))
    near = layer.backward(tape, d_output).flat
    assert_close(layer.backward(some[2], d_output).flat, near, K_NAIVE * eps(dtype))


# --- numbers that are not finite ---


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["x", "state", "weight_hh_l1", "bias_ih_l0", "d_output"])
def test_not_finite_numbers_go_where_the_naive_ones_go(
    cell: Any, where: str, poison: float, dtype: Any
) -> None:
    layer = make_layer(cell, 3, 9, 2, dtype=dtype)
    x, state = normal((5, 7, 3), dtype), normal((2, 7, 9), dtype, 1)
    d_output = normal((5, 7, 9), dtype, 2)
    if where in layer.params:
        layer.params[where].flat[4] = poison
    else:
        {"x": x[2, 3], "state": state[0, 3], "d_output": d_output[3, 3]}[where][1] = poison
    with np.errstate(all="ignore"):
        output, final, tape = layer.forward(x, state)
        grads = layer.backward(tape, d_output)
        naive_output, naive_final, cache = naive_forward(layer, x, state)
        d_x, d_h0, naive_grads = reference.rnn_backward(cache, wide(d_output), None)
    pairs = {"output": (output, naive_output), "final": (final, naive_final)}
    gradients = {"x": (grads.x, d_x), "state": (grads.state, d_h0)}
    gradients |= {name: (g, naive_grads[name]) for name, g in grads.params.items()}
    spoilt = 0
    for name, (ours, naive) in (pairs | gradients).items():
        # NaN times the slope 0 of relu is 0 here and in torch, NaN in the naive product.
        if layer.nonlinearity == "tanh" or name in pairs:
            for is_ in (np.isnan, np.isposinf, np.isneginf):
                np.testing.assert_array_equal(is_(ours), is_(naive), err_msg=name)
        ok = np.isfinite(naive)
        spoilt += int((~ok).sum())
        assert_close(ours[ok], naive[ok], K_NAIVE * eps(dtype), name)
    assert spoilt or np.isinf(poison)  # tanh and relu make some infinities finite


# --- tapes ---


@DTYPES
@EACH_CELL
def test_tapes_live_together_and_can_be_used_again(cell: Any, dtype: Any) -> None:
    layer = make_layer(cell, 3, 5, 2, bidirectional=True, dtype=dtype)
    inputs = [normal((t, n, 3), dtype, t) for t, n in [(9, 2), (4, 7)]]
    runs = [layer.forward(x) for x in inputs]
    d_outputs = [normal(output.shape, dtype) for output, _, _ in runs]
    late = [layer.backward(run[2], d) for run, d in zip(runs, d_outputs, strict=True)]
    for x, d_output, run, grads in zip(inputs, d_outputs, runs, late, strict=True):
        output, _, tape = layer.forward(x)
        np.testing.assert_array_equal(output, run[0])
        for again in (layer.backward(tape, d_output), layer.backward(run[2], d_output)):
            np.testing.assert_array_equal(again.flat, grads.flat)
            np.testing.assert_array_equal(again.x, grads.x)
            np.testing.assert_array_equal(again.state, grads.state)
    with pytest.raises(ValueError, match="read-only"):
        runs[0][0][...] = 0


@DTYPES
@EACH_CELL
def test_nothing_reads_what_a_call_left_in_the_workspace(cell: Any, dtype: Any) -> None:
    layer = make_layer(cell, 3, 11, 2, bidirectional=True, dtype=dtype)
    big, small = normal((70, 9, 3), dtype), normal((6, 5, 3), dtype)
    tokens = fastrnn.OneHot(np.ones((6, 5), int))

    def results(x: Any) -> list[Any]:
        output, final, tape = layer.forward(x)
        grads = layer.backward(tape, np.ones_like(output))
        return [*layer(x), output, final, grads.flat, grads.state]

    expected = [results(x) for x in (small, tokens)]
    results(big)
    for x, values in zip((small, tokens), expected, strict=True):
        workspaces = [work for free in layer._pool._free.values() for work in free]
        assert workspaces
        for work in workspaces:
            work.numbers.fill(np.nan)
            work.seal.fill(0)  # the weights in it are gone
            work.version = 0
        for actual, desired in zip(results(x), values, strict=True):
            np.testing.assert_array_equal(actual, desired)


# --- dropout ---


def with_masks(layer: Any, x: Any, masks: list[Any], d_output: Any) -> Any:
    """The naive network with masks between its layers: output, gradients of x and parameters."""
    caches, output = [], wide(x)
    for k in range(layer.num_layers):
        params = {
            n.replace(f"_l{k}", "_l0"): wide(p) for n, p in layer.params.items() if f"_l{k}" in n
        }
        output, _, cache = reference.rnn_forward(
            output, None, params, bidirectional=layer.bidirectional, nonlinearity=layer.nonlinearity
        )
        caches.append(cache)
        if k < len(masks):
            output = output * masks[k]
    grads, d = {}, wide(d_output)
    for k in reversed(range(layer.num_layers)):
        if k < len(masks):
            d = d * masks[k]
        d, _, of_layer = reference.rnn_backward(caches[k], d, None)
        grads |= {n.replace("_l0", f"_l{k}"): g for n, g in of_layer.items()}
    return output, d, grads


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("dropout", [0.3, 1.0])
def test_dropout_is_that_of_its_masks(cell: Any, dropout: float, dtype: Any) -> None:
    layer = make_layer(cell, 3, 8, 3, dropout=dropout, bidirectional=True, dtype=dtype)
    x, d_output = normal((6, 4, 3), dtype), normal((6, 4, 16), dtype, 1)
    output, _, tape = layer.forward(x)
    assert [m.shape for m in tape.masks] == [(6, 4, 16)] * 2
    grads = layer.backward(tape, d_output)
    naive_output, d_x, naive_grads = with_masks(layer, x, tape.masks, d_output)
    tolerance = K_NAIVE * eps(dtype)
    assert_close(output, naive_output, tolerance)
    assert_close(grads.x, d_x, tolerance)
    for name, gradient in grads.params.items():
        assert_close(gradient, naive_grads[name], tolerance, name)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda grads: pickle.loads(pickle.dumps(grads))]
)
def test_gradients_by_name_are_views_also_of_a_copy(duplicate: Any) -> None:
    layer = fastrnn.LSTM(3, 5, seed=0)
    _, _, tape = layer.forward(normal((4, 2, 3), np.float32))
    grads = layer.backward(tape, normal((4, 2, 5), np.float32, 1))
    again = duplicate(grads)
    assert list(grads.params) == list(layer.params) == list(again.params)
    for one in (grads, again):
        assert one.params is one.params
        one.flat[:] = np.arange(one.flat.size)
        for name, view in layer.params.items():
            assert one.params[name].shape == view.shape
            assert np.shares_memory(one.params[name], one.flat)
    assert not np.shares_memory(grads.flat, again.flat)
    np.testing.assert_array_equal(again.x, grads.x)
    assert repr(again).startswith("Grads(x=array(")


@DTYPES
def test_dropout_drops_its_share_in_training_and_nothing_in_inference(dtype: Any) -> None:
    share, sizes = 0.3, (3, 50, 2)
    layer, twin = (make_layer(RNN_TANH, *sizes, dropout=share, dtype=dtype) for _ in range(2))
    plain = make_layer(RNN_TANH, *sizes, dtype=dtype)
    x = normal((100, 20, 3), dtype)
    np.testing.assert_array_equal(layer(x)[0], plain(x)[0])
    masks = [layer.forward(x)[2].masks[0] for _ in range(2)]
    for mask in masks:
        assert mask.dtype == dtype
        assert set(np.unique(mask)) == {0, dtype(1 / (1 - share))}
        dropped = (mask == 0).mean()
        assert abs(dropped - share) < 5 * np.sqrt(share * (1 - share) / mask.size)
    assert not np.array_equal(*masks)
    for mask in masks:  # the same seed, the same masks
        np.testing.assert_array_equal(twin.forward(x)[2].masks[0], mask)


# --- the layer as a value ---


@DTYPES
@EACH_CELL
def test_the_same_call_gives_the_same_bits(cell: Any, dtype: Any) -> None:
    x = normal((30, 6, 4), dtype)
    runs = []
    for _ in range(2):
        layer = make_layer(cell, 4, 21, 2, dtype=dtype, seed=7)
        output, final, tape = layer.forward(x)
        grads = layer.backward(tape, np.ones_like(output))
        runs.append([a.tobytes() for a in (layer.flat, output, final, grads.flat, grads.x)])
    assert runs[0] == runs[1]
    other = make_layer(cell, 4, 21, 2, dtype=dtype, seed=8)
    assert other.flat.tobytes() != runs[0][0]


@DTYPES
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_a_copy_is_a_layer_of_its_own(duplicate: Any, dtype: Any) -> None:
    layer = make_layer(RNN_TANH, 3, 5, 2, dropout=0.4, dtype=dtype)
    x = normal((4, 2, 3), dtype)
    layer.forward(x)
    twin = duplicate(layer)
    assert repr(twin) == repr(layer)
    np.testing.assert_array_equal(twin(x)[0], layer(x)[0])
    np.testing.assert_array_equal(twin.forward(x)[0], layer.forward(x)[0])  # the same dropout
    before = layer.flat.copy()
    twin.flat[...] = 0
    assert not any(p.any() for p in twin.params.values())
    twin.params["weight_ih_l0"] = np.ones((5, 3), dtype)
    assert twin.flat.sum() == 15
    np.testing.assert_array_equal(layer.flat, before)


def test_large_gradients_take_the_memory_of_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurrence, "LENT_BYTES", 1)
    layer = fastrnn.LSTM(20, 64, seed=0)
    x = normal((3, 2, 20), np.float32)
    _, _, tape = layer.forward(x)

    def gradients() -> Any:
        return layer.backward(tape, np.ones((3, 2, 64), np.float32), wants_x=False)

    first, second = gradients(), gradients()
    assert not np.shares_memory(first.flat, second.flat)
    np.testing.assert_array_equal(first.flat, second.flat)
    place, kept = first.flat.ctypes.data, first.params["weight_hh_l0"][5:7, 3]
    before = kept.copy()
    del first
    third = gradients()  # a view is held
    assert third.flat.ctypes.data != place
    np.testing.assert_array_equal(kept, before)
    del kept
    fourth = gradients()
    assert fourth.flat.ctypes.data == place
    np.testing.assert_array_equal(fourth.flat, second.flat)
    many = [fourth, *(gradients() for _ in range(4))]
    del many, fourth
    assert len(layer._pool.gradients._free) == GRADIENTS_MAX
    fourth = gradients()
    alone = pickle.loads(pickle.dumps(fourth.flat))
    np.testing.assert_array_equal(alone, fourth.flat)
