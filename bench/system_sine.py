"""S2: the forecaster of a noisy sine: training on windows, and forecasts, each read in its turn.

32 units and 4 windows of 50 steps, as of ``fastrnn examples sine``; gradient descent, gradients
clipped by norm. fastrnn's version is what its user writes: a layer, its output in NumPy, a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

import fastrnn
from fastrnn.data import random_sampling, sequential_partitioning, sine
from fastrnn.reference import clip_by_norm
from fastrnn.reference import forecaster as naive

HIDDEN, BATCH, STEPS, SAMPLES, AHEAD = 32, 4, 50, 2000, 64
RATE, THETA = 0.1, 1.0
#: Of which the windows are in one call.
EPOCHS = 4
#: Differences in eps that are rounding: of a training's losses and weights, and of forecasts.
TRAINED_AGREEMENT, AGREEMENT = 1000, 100

SHAPES = {
    "Wxh": (HIDDEN, 1), "Whh": (HIDDEN, HIDDEN), "bh": (HIDDEN,), "Why": (1, HIDDEN), "by": (1,),
}  # fmt: skip
#: What the layer calls them; its other bias stays zero.
NAMES = {"Wxh": "weight_ih_l0", "Whh": "weight_hh_l0", "bh": "bias_ih_l0"}
CUTS = {"random sampling": random_sampling, "sequential partitioning": sequential_partitioning}
SIZES = f"N={BATCH} T={STEPS} H={HIDDEN}"
#: Of a step: forward, and back without the input's gradient.
FLOPS = 2 * BATCH * STEPS * (2 * HIDDEN + 3 * HIDDEN * HIDDEN + 3 * HIDDEN)
FORECAST_FLOPS = 2 * BATCH * (STEPS + AHEAD - 1) * (HIDDEN + HIDDEN * HIDDEN + HIDDEN)


def rows(dtype: str) -> list[Row]:
    """A step of training by windows cut in either way, and forecasts after one window."""
    found = []
    for name, cut in CUTS.items():
        windows = _windows(cut, dtype, EPOCHS)
        carried = cut is sequential_partitioning
        calls = [make(windows, dtype, carried) for make in (_train, _train_layer)]
        found.append(
            _row(f"train, {name}", dtype, calls, TRAINED_AGREEMENT, FLOPS, steps=len(windows))
        )
    calls = [make(dtype) for make in (_forecast, _forecast_stream)]
    return [*found, _row(f"forecast, {AHEAD} steps", dtype, calls, AGREEMENT, FORECAST_FLOPS)]


def ends() -> list[End]:
    """The noise's own mean square is 0.04."""
    epochs = 200
    windows = _windows(sequential_partitioning, "float64", epochs)

    def reached(make: Any) -> str:
        losses, _ = make(windows, "float64", True)()
        return f"mean squared error {np.mean(losses[-len(windows) // epochs :]):.4f}"

    return [End(f"train, {epochs} epochs", reached, _train, _train_layer)]


def _row(
    name: str, dtype: str, calls: list[Any], agreement: float, flops: int, **options: Any
) -> Row:
    slow, fast = calls

    def difference() -> float:
        return difference_in_eps(fast(), slow(), dtype)

    return Row(name, SIZES, slow, fast, difference, agreement, flops, **options)


def _windows(cut: Any, dtype: str, epochs: int) -> list[tuple[Any, Any]]:
    series = sine(SAMPLES, rate=0.1, seed=0, dtype=dtype)[:, None]
    return [
        pair
        for epoch in range(epochs)
        for pair in cut(series, BATCH, STEPS, batch_first=False, seed=epoch)
    ]


def _parameters(dtype: str) -> dict[str, Any]:
    generator, limit = np.random.default_rng(0), 1 / np.sqrt(HIDDEN)
    return {name: generator.uniform(-limit, limit, s).astype(dtype) for name, s in SHAPES.items()}


def _layer(parameters: dict[str, Any]) -> fastrnn.RNN:
    layer = fastrnn.RNN(1, HIDDEN, dtype=parameters["Whh"].dtype)
    layer.flat[...] = 0
    for name, ours in NAMES.items():
        layer.params[ours][...] = parameters[name]
    return layer


def _train(windows: list[Any], dtype: str, carried: bool) -> Callable[[], Any]:
    """It returns the losses and the weights, of which it began with the same ones."""

    def train() -> Any:
        parameters = _parameters(dtype)
        return naive.train(windows, parameters, RATE, THETA, carried=carried), parameters

    return train


def _train_layer(windows: list[Any], dtype: str, carried: bool) -> Callable[[], Any]:
    def train() -> Any:
        parameters = _parameters(dtype)
        layer = _layer(parameters)
        parameters |= {name: layer.params[ours] for name, ours in NAMES.items()}
        why, by = parameters["Why"], parameters["by"]
        losses, state = [], None
        for x, targets in windows:
            h, last, tape = layer.forward(x, state)
            state = last if carried else None
            error = h @ why.T + by - targets
            d_y = 2 * error / error.size
            found = layer.backward(tape, d_y @ why, wants_x=False, wants_state=False).params
            grads = {name: found[ours] for name, ours in NAMES.items()}
            grads["Why"] = d_y.reshape(-1, 1).T @ h.reshape(-1, HIDDEN)
            grads["by"] = d_y.sum(axis=(0, 1))
            clip_by_norm(grads, THETA)
            for name, gradient in grads.items():
                parameters[name] -= RATE * gradient
            losses.append(float(np.mean(error * error)))
        return losses, parameters

    return train


def _forecast(dtype: str) -> Callable[[], Any]:
    (x, _), parameters = _windows(random_sampling, dtype, 1)[0], _parameters(dtype)
    h0 = np.zeros((BATCH, HIDDEN), dtype)
    return lambda: naive.forecast(x, AHEAD, h0, parameters)


def _forecast_stream(dtype: str) -> Callable[[], Any]:
    (x, _), parameters = _windows(random_sampling, dtype, 1)[0], _parameters(dtype)
    stream = _layer(parameters).stream(BATCH, readout=(parameters["Why"], parameters["by"]))

    def forecast() -> Any:
        stream.reset()
        found = [stream.block(x)[-1]]
        for _ in range(AHEAD - 1):
            found.append(stream.step(found[-1]))
        return np.stack(found)

    return forecast
