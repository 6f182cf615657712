"""Training on batches of sequences against the layers, which the naive networks judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import assert_close, eps, normal

import fastrnn
from fastrnn.cells import LSTM, RNN_TANH
from fastrnn.model_plan import model_offsets
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.params import Parameters, Spec
from fastrnn.sequences import Sizes, Trainer

K_TRAINED = 256  # k of k*eps after some steps
LAYERS = {RNN_TANH: fastrnn.RNN, LSTM: fastrnn.LSTM}


def network(sizes: Sizes, dtype: Any) -> tuple[Parameters, Any]:
    """Parameters for the kernels, and the layers that are their twin."""
    layer: Any = LAYERS[sizes.cell](sizes.inputs, sizes.hidden, sizes.layers, dtype=dtype, seed=1)  # type: ignore[operator]
    specs = [
        Spec(name, view.shape, "", transposed=sizes.tokens and name == "weight_ih_l0")
        for name, view in layer.params.items()
    ]
    specs += [
        Spec("weight_out", (sizes.outputs, sizes.hidden), ""),
        Spec("bias_out", (sizes.outputs,), ""),
    ]
    parameters = Parameters(specs, np.dtype(dtype))
    for name, view in layer.params.items():
        parameters.views[name] = view
    parameters.views["weight_out"] = normal((sizes.outputs, sizes.hidden), dtype, 5)
    return parameters, layer


def twin_step(
    layer: Any, parameters: Parameters, sizes: Sizes, x: Any, targets: Any, rate: float
) -> float:
    """One step of descent by the layers and NumPy; the loss before it."""
    w, b = (parameters.views[name] for name in ("weight_out", "bias_out"))
    read = fastrnn.OneHot(x.T) if sizes.tokens else x.swapaxes(0, 1)
    output, _, tape = layer.forward(read)
    h = output if sizes.every_step else output[-1:]
    logits = (h @ w.T + b).astype(np.float64)
    if sizes.loss == "softmax_cross_entropy":
        wanted = np.eye(sizes.outputs)[targets.T if sizes.every_step else targets[None]]
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        loss = -(wanted * log_p).sum(axis=-1).mean()
        d = (np.exp(log_p) - wanted) / wanted[..., 0].size
    else:
        wanted = targets.swapaxes(0, 1) if sizes.every_step else targets[None]
        p = 1 / (1 + np.exp(-logits))
        loss = -np.log(np.where(wanted == 1, p, 1 - p)).mean()
        d = (p - wanted) / p.size
    d = d.astype(layer.dtype)
    d_output = np.zeros_like(output)
    d_output[-len(h) :] = d @ w
    grads = layer.backward(tape, d_output)
    for name, gradient in grads.params.items():
        layer.params[name][...] -= layer.dtype.type(rate) * gradient
    d_w = np.tensordot(d, h, axes=((0, 1), (0, 1)))
    parameters.views["weight_out"] = w - layer.dtype.type(rate) * d_w
    parameters.views["bias_out"] = b - layer.dtype.type(rate) * d.sum(axis=(0, 1))
    return float(loss)


#: Two kernels, which compile once each.
SIGMOID: Any = RNN_TANH, "sigmoid_cross_entropy", np.float64
SOFTMAX: Any = LSTM, "softmax_cross_entropy", np.float32


@pytest.mark.parametrize(
    ("kernel", "layers", "tokens", "every_step", "time"),
    [
        (SIGMOID, 1, True, False, 7),
        (SIGMOID, 3, True, True, 40),
        (SIGMOID, 2, False, False, 7),
        (SOFTMAX, 2, False, True, 7),
        (SOFTMAX, 1, False, False, 1),
        (SOFTMAX, 3, True, False, 30),
    ],
)
def test_steps_are_those_of_the_layers(
    kernel: Any, layers: int, tokens: bool, every_step: bool, time: int
) -> None:
    cell, loss, dtype = kernel
    sizes = Sizes(cell, 6, 9, layers, 3, tokens, every_step, loss)
    parameters, layer = network(sizes, dtype)
    twin = Parameters(parameters.specs, np.dtype(dtype))
    twin.flat[...] = parameters.flat
    generator = np.random.default_rng(0)
    count, batch, rate = 11, 4, 0.5
    x = normal((count, time, 6), dtype)
    words = generator.integers(0, 6, (count, time))
    rows = (count, time) if every_step else (count,)
    targets = generator.integers(0, 3, rows)
    if loss == "sigmoid_cross_entropy":
        targets = generator.integers(0, 2, (*rows, 3))
    order = generator.permutation(count)
    starts = np.array([0, 4, 7, 2])
    offsets = model_offsets(parameters, layers)
    sgd = OPTIMIZERS["sgd"]
    trainer = Trainer(sizes, parameters, offsets, sgd)
    nothing = np.empty(0, dtype), np.empty(0, np.int64)
    given = (nothing[0], words) if tokens else (x, nothing[1])
    hypers = np.tile(sgd.hyper(1, rate, limit=np.inf, weight_decay=0), (len(starts), 1))
    losses = trainer.run(*given, targets, time, batch, order, starts, hypers)
    for start, found in zip(starts, losses, strict=True):
        some = order[start : start + batch]
        read = words[some] if tokens else x[some]
        expected = twin_step(layer, twin, sizes, read, targets[some], rate)
        assert found == pytest.approx(expected, abs=K_TRAINED * eps(dtype))
    for name, view in parameters.views.items():
        desired = layer.params.get(name, twin.views[name])
        assert_close(view, desired, K_TRAINED * eps(dtype), name)


def test_gradients_are_clipped_by_their_norm() -> None:
    sizes = Sizes(RNN_TANH, 3, 5, 1, 2, False, False, "sigmoid_cross_entropy")
    x, targets = normal((6, 4, 3), np.float64), np.eye(2, dtype=int)[[0, 1, 1, 0, 1, 0]]
    moved, sgd = [], OPTIMIZERS["sgd"]
    for clip_norm in (1e-3, np.inf):
        parameters, _ = network(sizes, np.float64)
        before = parameters.flat.copy()
        trainer = Trainer(sizes, parameters, model_offsets(parameters, 1), sgd)
        hypers = np.array([sgd.hyper(1, 0.1, limit=np.inf, weight_decay=0)])
        trainer.run(
            x, np.empty(0, np.int64), targets, 4, 6, np.arange(6), np.zeros(1, np.int64), hypers,
            clip_norm=clip_norm,
        )  # fmt: skip
        moved.append(parameters.flat - before)
    norms = [np.linalg.norm(m) for m in moved]
    assert norms[0] == pytest.approx(0.1 * 1e-3)
    assert norms[1] > 10 * norms[0]
    assert_close(moved[0] / norms[0], moved[1] / norms[1], 1e-9)


def test_a_loss_that_is_not_finite_stops_before_its_step() -> None:
    sizes = Sizes(RNN_TANH, 1, 2, 1, 1, False, False, "sigmoid_cross_entropy")
    parameters, _ = network(sizes, np.float64)
    x = np.ones((3, 2, 1))
    x[2] = np.nan
    sgd = OPTIMIZERS["sgd"]
    trainer = Trainer(sizes, parameters, model_offsets(parameters, 1), sgd)
    hypers = np.tile(sgd.hyper(1, 0.1, limit=np.inf, weight_decay=0), (3, 1))
    with pytest.raises(ArithmeticError, match="not finite at step 2"):
        trainer.run(
            x, np.empty(0, np.int64), np.ones((3, 1), np.int64), 2, 1, np.arange(3), np.arange(3),
            hypers,
        )  # fmt: skip
    assert np.isfinite(parameters.flat).all()
