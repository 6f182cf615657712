"""The naive forecaster against finite differences, and the layers and tools that stand for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import assert_close, eps, normal

import fastrnn
from fastrnn.data import random_sampling, sequential_partitioning, sine
from fastrnn.reference import forecaster
from fastrnn.truncation import weighted_bptt

SIZES = {"Wxh": (5, 2), "Whh": (5, 5), "bh": (5,), "Why": (3, 5), "by": (3,)}
#: Sums of some hundred products of numbers of about one, in other orders.
TOLERANCE = 64 * eps(np.float64)
K_FINITE = 1e-8  # of central differences with a step of 1e-6 in float64
RATE, THETA = 0.1, 0.5


def problem(time: int = 6, batch: int = 4) -> tuple[Any, ...]:
    """Inputs, targets, first states, parameters."""
    shapes = [(time, batch, 2), (time, batch, 3), (batch, 5)]
    x, targets, h0 = (normal(shape, np.float64, i) for i, shape in enumerate(shapes))
    params = {name: normal(s, np.float64, 5 + i) / 2 for i, (name, s) in enumerate(SIZES.items())}
    return x, targets, h0, params


def layer_of(params: dict[str, Any]) -> fastrnn.RNN:
    hidden, inputs = params["Wxh"].shape
    layer = fastrnn.RNN(inputs, hidden, dtype=np.float64)
    layer.params["weight_ih_l0"][...] = params["Wxh"]
    layer.params["weight_hh_l0"][...] = params["Whh"]
    layer.params["bias_ih_l0"][...], layer.params["bias_hh_l0"][...] = params["bh"], 0
    return layer


@pytest.mark.parametrize("activation", forecaster.ACTIVATIONS)
def test_gradients_are_those_of_finite_differences(activation: str) -> None:
    x, targets, h0, params = problem()
    y, hs = forecaster.forward(x, h0, params, activation)
    loss, grads = forecaster.backward(x, y, hs, targets, params, activation)
    assert loss == pytest.approx(np.mean((y - targets) ** 2))
    for name, value in params.items():
        for place in np.ndindex(value.shape):
            losses = []
            for step in (1e-6, -1e-6):
                before = value[place]
                value[place] = before + step
                moved, _ = forecaster.forward(x, h0, params, activation)
                losses.append(np.mean((moved - targets) ** 2))
                value[place] = before
            assert abs((losses[0] - losses[1]) / 2e-6 - grads[name][place]) < K_FINITE


@pytest.mark.parametrize("xi", [None, (1, 0, 1, 2.5, 0), (0, 0, 0, 0, 0)], ids=str)
def test_the_layer_and_its_truncations_give_the_naive_gradients(xi: Any) -> None:
    x, targets, h0, params = problem()
    y, hs = forecaster.forward(x, h0, params)
    factors = None if xi is None else np.array(xi)
    _, grads = forecaster.backward(x, y, hs, targets, params, xi=factors)
    layer = layer_of(params)
    d_output = 2 * (y - targets) / y.size @ params["Why"]
    weights = [1.0] * 5 if xi is None else list(xi)
    output, state, found = weighted_bptt(layer, x, d_output, weights, h0[None])
    assert_close(output, hs[1:], TOLERANCE, "output")
    assert_close(state[0], hs[-1], TOLERANCE, "state")
    names = {"Wxh": "weight_ih_l0", "Whh": "weight_hh_l0", "bh": "bias_ih_l0"}
    for name, ours in names.items():
        assert_close(found.params[ours], grads[name], TOLERANCE, name)


@pytest.mark.parametrize("carried", [False, True])
def test_a_series_is_learnt_as_layers_learn_it(carried: bool) -> None:
    """By windows at random from states of zero, and by windows that go on."""
    series = sine(400, rate=0.2, noise=0.1, seed=0)[:, None].astype(np.float64)
    cut = sequential_partitioning if carried else random_sampling
    windows = [pair for epoch in range(3)
               for pair in cut(series, 4, 20, batch_first=False, seed=epoch)]  # fmt: skip
    first = {name: normal(s, np.float64, i) / 3 for i, (name, s) in enumerate(
        {"Wxh": (8, 1), "Whh": (8, 8), "bh": (8,), "Why": (1, 8), "by": (1,)}.items())}  # fmt: skip
    params = {name: value.copy() for name, value in first.items()}
    losses = forecaster.train(windows, params, RATE, THETA, carried=carried)
    assert losses[-1] < losses[0] / 2

    layer, why, by = layer_of(first), first["Why"].copy(), first["by"].copy()
    state = None
    for (x, targets), loss in zip(windows, losses, strict=True):
        h, last, tape = layer.forward(x, state if carried else None)
        state = last
        error = h @ why.T + by - targets
        assert np.mean(error * error) == pytest.approx(loss, rel=1e-9)
        d_y = 2 * error / error.size
        of_layer = layer.backward(tape, d_y @ why, wants_x=False).params
        d_why, d_by = np.tensordot(d_y, h, ((0, 1), (0, 1))), d_y.sum(axis=(0, 1))
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
        squares = [np.square(of_layer[name]).sum() for name in names]
        norm = np.sqrt(sum(squares) + np.square(d_why).sum() + np.square(d_by).sum())
        rate = RATE * min(1, THETA / norm)
        for name in names:
            layer.params[name][...] -= rate * of_layer[name]
        why -= rate * d_why
        by -= rate * d_by
    assert_close(layer.params["weight_hh_l0"], params["Whh"], 1e-9, "Whh")


def test_a_forecast_reads_what_it_predicted() -> None:
    _, _, h0, params = problem()
    params["Why"], params["by"] = params["Why"][:2], params["by"][:2]
    x = normal((6, 4, 2), np.float64, 9)
    found = forecaster.forecast(x, 4, h0, params)
    known = x
    for ahead in found:
        y, _ = forecaster.forward(known, h0, params)
        assert_close(ahead, y[-1], TOLERANCE, "ahead")
        known = np.concatenate([known, ahead[None]])
