"""The naive implementation against finite differences, against PyTorch, and against itself."""

import ast
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import reference as ref

T, N, I, H, V = 5, 3, 4, 6, 7  # noqa: E741
K_SAME = 64  # k of k*eps: the same sums in another order
K_OPTIM = 16  # k of k*eps: five optimiser steps
# (f(-2s) - 8 f(-s) + 8 f(s) - f(2s)) / 12 s errs by about s^4 f^(5) / 30 + eps f / s
FD_STEP = float(np.finfo(np.float64).eps) ** (1 / 4)
K_FD = 64  # k of k*eps/FD_STEP
KINK_MARGIN = 64 * FD_STEP  # nearest to zero that an argument of relu comes

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
STACKS = pytest.mark.parametrize(
    ("num_layers", "bidirectional"), [(1, False), (1, True), (2, False), (3, True)]
)
BIASES = pytest.mark.parametrize("bias", [True, False])


@dataclass(frozen=True)
class Network:
    """The functions of a recurrent network, its states a tuple of arrays: (h,) or (h, c)."""

    name: str
    gates: int = 1
    states: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def forward(self, x: Any, states: Any, params: Any, **stack: Any) -> tuple[Any, Any, Any]:
        if states is not None and self.states == 1:
            (states,) = states
        forward = getattr(ref, f"{self.name}_forward")
        output, states_n, cache = forward(x, states, params, **stack, **self.options)
        return output, states_n if self.states > 1 else (states_n,), cache

    def backward(self, cache: Any, d_output: Any, d_states: Any) -> tuple[Any, Any, Any]:
        if d_states is not None and self.states == 1:
            (d_states,) = d_states
        d_x, d_states0, grads = getattr(ref, f"{self.name}_backward")(cache, d_output, d_states)
        return d_x, d_states0 if self.states > 1 else (d_states0,), grads

    def layer_forward(self, *args: Any) -> tuple[Any, ...]:
        results = getattr(ref, f"{self.name}_layer_forward")(*args, **self.options)
        return results if isinstance(results, tuple) else (results,)

    def layer_backward(self, *args: Any) -> tuple[Any, ...]:
        gradients: tuple[Any, ...]
        gradients = getattr(ref, f"{self.name}_layer_backward")(*args, **self.options)
        return gradients


NETWORKS = {
    "rnn": Network("rnn"),
    "rnn, relu": Network("rnn", options={"nonlinearity": "relu"}),
    "lstm": Network("lstm", gates=4, states=2),
    "gru": Network("gru", gates=3),
    "gru, reset before": Network("gru", gates=3, options={"reset_after": False}),
}


def each_network(*left_out: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("network", [n for n in NETWORKS if n not in left_out])


SMOOTH = each_network("rnn, relu")  # finite differences would meet the kink


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def assert_close(actual: Any, desired: Any, tolerance: float) -> None:
    """Same shape and dtype, and equal to ``tolerance`` of the larger of 1 and the largest entry."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    assert actual.dtype == desired.dtype
    scale = max(1.0, float(np.abs(desired).max()))
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * scale)


def assert_gradient(loss: Callable[[], float], array: Any, gradient: Any) -> None:
    """``gradient`` is that of ``loss()`` with respect to ``array``, by finite differences."""
    numeric = np.empty_like(array)
    for i, value in np.ndenumerate(array):
        losses = []
        for steps in (-2, -1, 1, 2):
            array[i] = value + steps * FD_STEP
            losses.append(loss())
        array[i] = value
        numeric[i] = np.dot([1, -8, 8, -1], losses) / (12 * FD_STEP)
    assert_close(gradient, numeric, K_FD * eps(np.float64) / FD_STEP)


def network_case(
    network: Network,
    num_layers: int = 1,
    bidirectional: bool = False,
    dtype: Any = np.float64,
    bias: bool = True,
    sizes: tuple[int, ...] = (3, 2, 3, 2),
) -> tuple[Any, Any, dict[str, Any], Any, Any]:
    """Random x, states, params, and weights of output and last states in a loss linear in both.

    ``sizes`` are T, N, I, H.
    """
    rng = np.random.default_rng(7)
    t, n, i, h = sizes
    directions = ["", "_reverse"] if bidirectional else [""]
    d, rows = len(directions), network.gates * h
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(num_layers):
        for direction in directions:
            suffix = f"_l{layer}{direction}"
            shapes["weight_ih" + suffix] = (rows, d * h if layer else i)
            shapes["weight_hh" + suffix] = (rows, h)
            if bias:
                shapes["bias_ih" + suffix] = shapes["bias_hh" + suffix] = (rows,)
    params = {name: (0.4 * rng.standard_normal(s)).astype(dtype) for name, s in shapes.items()}
    states = (network.states, num_layers * d, n, h)
    x, states0, d_output, d_states = (
        rng.standard_normal(s).astype(dtype) for s in [(t, n, i), states, (t, n, d * h), states]
    )
    return x, tuple(states0), params, d_output, tuple(d_states)


def char_case(num_layers: int, batch: int, dtype: Any = np.float64) -> tuple[Any, Any, Any, Any]:
    """Random tokens and targets (T, batch), h0 (L, batch, H) and params."""
    rng = np.random.default_rng(8)
    tokens, targets = rng.integers(V, size=(2, T, batch))
    shapes: dict[str, tuple[int, ...]] = {"weight_out": (V, H), "bias_out": (V,)}
    for k in range(num_layers):
        shapes |= {f"weight_ih_l{k}": (H, H if k else V), f"weight_hh_l{k}": (H, H)}
        shapes |= {f"bias_ih_l{k}": (H,), f"bias_hh_l{k}": (H,)}
    params = {name: (0.4 * rng.standard_normal(s)).astype(dtype) for name, s in shapes.items()}
    h0 = (0.4 * rng.standard_normal((num_layers, batch, H))).astype(dtype)
    return tokens, targets, h0, params


# --- the recurrent networks ---


@SMOOTH
@BIASES
def test_layer_gradients_are_those_of_finite_differences(network: str, bias: bool) -> None:
    net = NETWORKS[network]
    x, states0, params, d_h, d_states = network_case(net, bias=bias)
    state0, d_last = [s[0] for s in states0], [d[0] for d in d_states]
    w_ih, w_hh, *biases = params.values()
    args = [x, *state0, w_ih, w_hh, *(biases or [None, None])]

    def loss() -> float:
        results = net.layer_forward(*args)
        last = sum(np.vdot(d, s[-1]) for d, s in zip(d_last, results, strict=False))
        return float(np.vdot(d_h, results[0]) + last)

    results = net.layer_forward(*args)
    gradients = net.layer_backward(x, *state0, *results, w_ih, w_hh, d_h, *d_last)
    gradients += gradients[-1:] * (len(args) - len(gradients))  # one for both biases
    for array, gradient in zip(args, gradients, strict=True):
        if array is not None:
            assert_gradient(loss, array, gradient)


def test_relu_gradients_are_those_of_finite_differences_away_from_the_kink() -> None:
    for seed in count():
        rng = np.random.default_rng(seed)
        shapes = [(T, N, I), (N, H), (H, I), (H, H), (H,), (H,)]
        x, h0, w_ih, w_hh, b_ih, b_hh = (0.6 * rng.standard_normal(s) for s in shapes)
        h = ref.rnn_layer_forward(x, h0, w_ih, w_hh, b_ih, b_hh, "relu")
        a = x @ w_ih.T + np.concatenate([h0[None], h[:-1]]) @ w_hh.T + b_ih + b_hh
        if np.abs(a).min() > KINK_MARGIN:
            break
    assert 0.2 < (a > 0).mean() < 0.8
    d_h, d_h_last = rng.standard_normal(h.shape), rng.standard_normal(h0.shape)

    def loss() -> float:
        h = ref.rnn_layer_forward(x, h0, w_ih, w_hh, b_ih, b_hh, "relu")
        return float(np.vdot(d_h, h) + np.vdot(d_h_last, h[-1]))

    *grads, d_b = ref.rnn_layer_backward(x, h0, h, w_ih, w_hh, d_h, d_h_last, "relu")
    for array, gradient in zip((x, h0, w_ih, w_hh, b_ih, b_hh), (*grads, d_b, d_b), strict=True):
        assert_gradient(loss, array, gradient)


@SMOOTH
@BIASES
@STACKS
def test_network_gradients_are_those_of_finite_differences(
    num_layers: int, bidirectional: bool, bias: bool, network: str
) -> None:
    net = NETWORKS[network]
    x, states0, params, d_output, d_states = network_case(net, num_layers, bidirectional, bias=bias)
    stack: Any = {"num_layers": num_layers, "bidirectional": bidirectional}

    def loss() -> float:
        output, states_n, _ = net.forward(x, states0, params, **stack)
        return float(np.vdot(d_output, output) + np.vdot(d_states, states_n))

    cache = net.forward(x, states0, params, **stack)[2]
    d_x, d_states0, grads = net.backward(cache, d_output, d_states)
    assert grads.keys() == params.keys()
    assert_gradient(loss, x, d_x)
    for state0, d_state0 in zip(states0, d_states0, strict=True):
        assert_gradient(loss, state0, d_state0)
    for name, p in params.items():
        assert_gradient(loss, p, grads[name])


@pytest.mark.parametrize("seed", range(3))
@DTYPES
@each_network("gru, reset before")
@BIASES
@STACKS
def test_network_is_that_of_torch(
    num_layers: int, bidirectional: bool, bias: bool, network: str, dtype: Any, seed: int
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    net = NETWORKS[network]
    sizes = tuple(int(size) for size in np.random.default_rng(seed).integers(1, 13, size=4))
    x, states0, params, d_output, d_states = network_case(
        net, num_layers, bidirectional, dtype, bias, sizes
    )
    stack: Any = {"num_layers": num_layers, "bidirectional": bidirectional}
    output, states_n, cache = net.forward(x, states0, params, **stack)
    d_x, d_states0, grads = net.backward(cache, d_output, d_states)

    peer = getattr(torch.nn, net.name.upper())(*sizes[2:], bias=bias, **stack, **net.options)
    peer.to(torch.from_numpy(x).dtype)
    peer.load_state_dict({name: torch.from_numpy(p) for name, p in params.items()})
    x_peer, *states_peer = (torch.from_numpy(a).requires_grad_() for a in (x, *states0))
    output_peer, states_n_peer = peer(
        x_peer, tuple(states_peer) if net.states > 1 else states_peer[0]
    )
    if net.states == 1:
        states_n_peer = (states_n_peer,)
    torch.autograd.backward(
        [output_peer, *states_n_peer], [torch.from_numpy(d) for d in (d_output, *d_states)]
    )

    tolerance = K_SAME * eps(dtype)
    assert_close(output, output_peer.detach(), tolerance)
    assert_close(d_x, x_peer.grad, tolerance)
    for actual, desired in zip(states_n, states_n_peer, strict=True):
        assert_close(actual, desired.detach(), tolerance)
    for actual, desired in zip(d_states0, states_peer, strict=True):
        assert_close(actual, desired.grad, tolerance)
    assert grads.keys() == dict(peer.named_parameters()).keys()
    for name, p in peer.named_parameters():
        assert_close(grads[name], p.grad, tolerance)


@DTYPES
@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_resets_before_or_after_the_product(reset_after: bool, dtype: Any) -> None:
    x, (h0,), params, _, _ = network_case(NETWORKS["gru"], dtype=dtype)
    output, _, _ = ref.gru_forward(x, h0, params, reset_after=reset_after)
    (w_ir, w_iz, w_in), (w_hr, w_hz, w_hn), (b_ir, b_iz, b_in), (b_hr, b_hz, b_hn) = (
        np.split(p, 3) for p in params.values()
    )
    for k in range(x.shape[1]):
        h = h0[0, k]
        for t in range(len(x)):
            r = 1 / (1 + np.exp(-(w_ir @ x[t, k] + b_ir + w_hr @ h + b_hr)))
            z = 1 / (1 + np.exp(-(w_iz @ x[t, k] + b_iz + w_hz @ h + b_hz)))
            p = r * (w_hn @ h + b_hn) if reset_after else w_hn @ (r * h) + b_hn
            h = (1 - z) * np.tanh(w_in @ x[t, k] + b_in + p) + z * h
            assert_close(output[t, k], h, K_SAME * eps(dtype))


@DTYPES
@each_network("rnn, relu")
def test_extreme_arguments_saturate_the_gates(network: str, dtype: Any) -> None:
    net = NETWORKS[network]
    x, states0, params, d_output, d_states = network_case(net, dtype=dtype)
    output, states_n, cache = net.forward(dtype(1e6) * x, states0, params)
    d_x, d_states0, grads = net.backward(cache, d_output, d_states)
    for array in (output, *states_n, d_x, *d_states0, *grads.values()):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


@each_network()
def test_none_is_zero(network: str) -> None:
    net = NETWORKS[network]
    x, states0, params, d_output, d_states = network_case(net, 2, True)
    zeros0 = tuple(np.zeros_like(s) for s in states0)
    stack: Any = {"num_layers": 2, "bidirectional": True}
    output, states_n, cache = net.forward(x, None, params, **stack)
    output_zero, states_n_zero, _ = net.forward(x, zeros0, params, **stack)
    np.testing.assert_array_equal(output, output_zero)
    np.testing.assert_equal(states_n, states_n_zero)
    for pair, zeros in [
        ((d_output, None), (d_output, zeros0)),
        ((None, d_states), (np.zeros_like(d_output), d_states)),
    ]:
        for actual, desired in zip(
            net.backward(cache, *pair), net.backward(cache, *zeros), strict=True
        ):
            np.testing.assert_equal(actual, desired)


@each_network()
def test_gradients_of_a_network_share_no_memory(network: str) -> None:
    net = NETWORKS[network]
    x, states0, params, d_output, d_states = network_case(net)
    _, _, grads = net.backward(net.forward(x, states0, params)[2], d_output, d_states)
    assert not np.shares_memory(grads["bias_ih_l0"], grads["bias_hh_l0"])


def test_gradients_of_a_model_share_no_memory() -> None:
    tokens, targets, h0, params = char_case(1, 1)
    _, batched, _ = ref.language_model_step(tokens, targets, h0, params, num_layers=1)
    _, single, _ = ref.lossFun(tokens[:, 0], targets[:, 0], h0[0].T, params)
    for grads in (batched, single):
        assert not np.shares_memory(grads["bias_ih_l0"], grads["bias_hh_l0"])


def test_unknown_nonlinearity_is_refused() -> None:
    x, (h0,), params, _, _ = network_case(NETWORKS["rnn"])
    with pytest.raises(ValueError, match='nonlinearity must be "tanh" or "relu", got \'sigmoid\''):
        ref.rnn_forward(x, h0, params, nonlinearity="sigmoid")


# --- the loss ---


def test_cross_entropy_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((T, N, V)), rng.integers(V, size=(T, N))
    _, d_logits = ref.softmax_cross_entropy(logits, targets)
    assert_gradient(lambda: ref.softmax_cross_entropy(logits, targets)[0], logits, d_logits)


@DTYPES
@pytest.mark.parametrize("scale", [1, 1e4])
def test_cross_entropy_is_that_of_torch(scale: float, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    rng = np.random.default_rng(1)
    logits = (scale * rng.standard_normal((T, N, V))).astype(dtype)
    targets = rng.integers(V, size=(T, N))
    peer = torch.from_numpy(logits).requires_grad_()
    loss_peer = torch.nn.functional.cross_entropy(
        peer.reshape(-1, V), torch.from_numpy(targets).reshape(-1)
    )
    loss_peer.backward()

    loss, d_logits = ref.softmax_cross_entropy(logits, targets)
    tolerance = K_SAME * eps(dtype)
    assert type(loss) is float
    assert_close(dtype(loss), loss_peer.detach(), tolerance)
    assert_close(d_logits, peer.grad, tolerance)
    assert_close(ref.softmax(logits), torch.softmax(peer.detach(), -1), tolerance)


@DTYPES
def test_extreme_logits_have_exact_losses(dtype: Any) -> None:
    logits = np.array([[1e4, 0], [0, -1e4]], dtype=dtype)
    for target, loss, d_row in [(1, 1e4, [0.5, -0.5]), (0, 0.0, [0, 0])]:
        actual, d_logits = ref.softmax_cross_entropy(logits, np.array([target, target]))
        assert actual == loss
        np.testing.assert_array_equal(d_logits, [d_row, d_row])


# --- clipping and optimisers ---


@DTYPES
def test_clip_by_value_limits_each_entry_in_place(dtype: Any) -> None:
    g = np.array([-7, -5, 0.5, 5, 9], dtype=dtype)
    ref.clip_by_value({"g": g}, 5)
    np.testing.assert_array_equal(g, [-5, -5, 0.5, 5, 5])


@DTYPES
def test_clip_by_norm_scales_all_gradients_by_one_factor_in_place(dtype: Any) -> None:
    a, b = np.array([3], dtype=dtype), np.array([[0, 4]], dtype=dtype)
    grads = {"a": a, "b": b}
    assert ref.clip_by_norm(grads, 5) == 5
    np.testing.assert_array_equal(a, [3])
    assert ref.clip_by_norm(grads, 2.5) == 5
    np.testing.assert_array_equal(a, [1.5])
    np.testing.assert_array_equal(b, [[0, 2]])
    assert a.dtype == b.dtype == dtype
    assert ref.clip_by_norm({"zero": np.zeros(2, dtype)}, 1) == 0


def test_clip_by_norm_survives_squares_beyond_float32() -> None:
    g = np.array([3e30, 4e30], dtype=np.float32)
    assert ref.clip_by_norm({"g": g}, 5) == pytest.approx(5e30)
    assert_close(g, np.array([3, 4], dtype=np.float32), K_OPTIM * eps(np.float32))


# Adagrad's eps stands under the root here and outside it in torch: compared without eps.
OPTIMISERS: dict[str, tuple[Callable[[], Any], str, dict[str, Any]]] = {
    "SGD": (lambda: ref.SGD(0.1), "SGD", {"lr": 0.1}),
    "Momentum": (lambda: ref.Momentum(0.1), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "Nesterov": (
        lambda: ref.Nesterov(0.1, 0.8),
        "SGD",
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    "Adagrad": (lambda: ref.Adagrad(0.1, eps=0.0), "Adagrad", {"lr": 0.1, "eps": 0.0}),
    "RMSprop": (lambda: ref.RMSprop(0.01), "RMSprop", {"lr": 0.01}),
    "RMSprop, options": (
        lambda: ref.RMSprop(0.01, rho=0.9, eps=1e-2),
        "RMSprop",
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-2},
    ),
    "Adam": (lambda: ref.Adam(0.01), "Adam", {"lr": 0.01}),
    "Adam, options": (
        lambda: ref.Adam(0.01, (0.8, 0.95), 1e-2),
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-2},
    ),
    "AdamW": (lambda: ref.AdamW(0.01), "AdamW", {"lr": 0.01}),
    "AdamW, options": (
        lambda: ref.AdamW(0.01, weight_decay=0.5),
        "AdamW",
        {"lr": 0.01, "weight_decay": 0.5},
    ),
}


@DTYPES
@pytest.mark.parametrize("case", OPTIMISERS)
def test_five_steps_are_those_of_torch_optim(case: str, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    make, peer_name, options = OPTIMISERS[case]
    rng = np.random.default_rng(2)
    params = {"w": rng.standard_normal((H, I)).astype(dtype), "b": np.zeros(H, dtype)}
    arrays = dict(params)
    peers = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
    optimiser, peer = make(), getattr(torch.optim, peer_name)(peers.values(), **options)
    for _ in range(5):
        grads = {name: rng.standard_normal(p.shape).astype(dtype) for name, p in params.items()}
        optimiser.step(params, grads)
        for name, g in grads.items():
            peers[name].grad = torch.from_numpy(g)
        peer.step()
    for name, p in params.items():
        assert p is arrays[name]
        assert_close(p, peers[name].detach(), K_OPTIM * eps(dtype))


@DTYPES
def test_adagrad_has_eps_under_the_root(dtype: Any) -> None:
    p = np.zeros(2, dtype)
    optimiser = ref.Adagrad(0.5, eps=1.0)
    for expected in (0.5 * 3 / np.sqrt(10), 0.5 * 3 / np.sqrt(10) + 0.5 * 3 / np.sqrt(19)):
        optimiser.step({"p": p}, {"p": np.array([3, 0], dtype)})
        assert_close(p, np.array([-expected, 0], dtype), K_OPTIM * eps(dtype))


# --- the character model ---


@pytest.mark.parametrize("num_layers", [1, 2])
def test_language_model_gradients_are_those_of_finite_differences(num_layers: int) -> None:
    tokens, targets, h0, params = char_case(num_layers, N)

    def step() -> tuple[float, dict[str, Any], Any]:
        return ref.language_model_step(tokens, targets, h0, params, num_layers=num_layers)

    loss, grads, h_n = step()
    assert type(loss) is float
    assert h_n.shape == h0.shape
    assert grads.keys() == params.keys()
    for name, p in params.items():
        assert_gradient(lambda: step()[0], p, grads[name])


@DTYPES
def test_loss_fun_is_the_batched_step_times_its_length(dtype: Any) -> None:
    tokens, targets, h0, params = char_case(1, 1, dtype)
    mean, grads_mean, h_n = ref.language_model_step(tokens, targets, h0, params, num_layers=1)
    loss, grads, h = ref.lossFun(tokens[:, 0], targets[:, 0], h0[0].T, params)
    tolerance = K_SAME * eps(dtype)
    assert_close(loss, T * mean, tolerance)
    assert_close(h, h_n[0].T, tolerance)
    assert grads.keys() == grads_mean.keys() == params.keys()
    for name in params:
        assert_close(grads[name], T * grads_mean[name], tolerance)


def test_relu_language_model_has_the_gradients_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    tokens, targets, h0, params = char_case(2, N)
    loss, grads, _ = ref.language_model_step(
        tokens, targets, h0, params, num_layers=2, nonlinearity="relu"
    )
    peers = {name: torch.tensor(p, requires_grad=True) for name, p in params.items()}
    rnn = torch.nn.RNN(V, H, 2, nonlinearity="relu").double()
    recurrent = {name: p for name, p in peers.items() if not name.endswith("_out")}
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(tokens), V).double()
    h, _ = torch.func.functional_call(rnn, recurrent, (one_hot, torch.from_numpy(h0)))
    logits = torch.nn.functional.linear(h, peers["weight_out"], peers["bias_out"])
    peer = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.from_numpy(targets).flatten()
    )
    peer.backward()
    tolerance = K_SAME * eps(np.float64)
    assert_close(loss, peer.item(), tolerance)
    for name, p in peers.items():
        assert_close(grads[name], p.grad, tolerance)


# --- the word model ---


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_word_model_gradients_are_those_of_finite_differences(num_layers: int, cell: str) -> None:
    x, states, params, _, _ = network_case(NETWORKS[cell], num_layers)
    words = np.array([[0, 1], [1, 3], [0, 1]])  # one thrice and in both streams, one nowhere
    rng = np.random.default_rng(9)
    hidden, size = states[0].shape[-1], words.max() + 1
    targets = rng.integers(size, size=words.shape)
    shapes = {"weight_out": (size, hidden), "bias_out": (size,), "embedding": (size, x.shape[-1])}
    params |= {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    state = states if len(states) > 1 else states[0]

    def step(train_embedding: bool = True) -> tuple[float, dict[str, Any], Any]:
        return ref.word_language_model_step(
            words, targets, state, params, cell=cell, num_layers=num_layers,
            train_embedding=train_embedding,
        )  # fmt: skip

    loss, grads, _ = step()
    assert type(loss) is float
    assert grads.keys() == params.keys()
    for name, p in params.items():
        assert_gradient(lambda: step()[0], p, grads[name])
    del grads["embedding"]
    np.testing.assert_equal(step(train_embedding=False)[:2], (loss, grads))


# --- the judge stands alone ---


def test_reference_imports_only_numpy_and_itself() -> None:
    allowed = sys.stdlib_module_names | {"numpy"}
    for file in Path(ref.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert f"{name}.".startswith("fastrnn.reference.") or name.split(".")[0] in allowed
