"""The three-layer network on spirals of Stanford's CS224n, compiled.

For the function of that name in the notebook "Vanishing Gradients Demonstration"
(``vanishing_grad_example``), after A. Karpathy's CS231n notes. Its series are called averages of
the absolute gradients, but divide their sum by ``np.sum(np.abs(dW.shape))``, the sum of the two
sides of the matrix: 25 times the mean for W2 and 1.9 times the mean for W1, so that the two layers
were not on one scale. Here they are means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.checks import (
    Array,
    as_array,
    check_choice,
    check_dtype,
    check_finite,
    check_integer,
    check_number,
    check_shape,
    check_tokens,
)
from fastrnn.compat._training import not_finite
from fastrnn.mlp import DenseNetwork, Trained
from fastrnn.optimizers import COMPENSATED_SGD, OPTIMIZERS

__all__ = ["relu", "sigmoid", "sigmoid_grad", "three_layer_net"]

#: What the names of the published program mean.
KINDS = {"RELU": "relu", "SIGM": "sigmoid"}
#: Iterations between two losses that are printed.
EVERY = 1000


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, for arrays of the user's."""
    s: Array = 1 / (1 + np.exp(-x))
    return s


def sigmoid_grad(x: Array) -> Array:
    """sigmoid'(a) from x = sigmoid(a)."""
    slope: Array = x * (1 - x)
    return slope


def relu(x: Array) -> Array:
    """``max(0, x)``."""
    h: Array = np.maximum(0, x)
    return h


def three_layer_net(
    NONLINEARITY: str,
    X: ArrayLike,
    y: ArrayLike,
    model: Mapping[str, Any],
    step_size: float,
    reg: float,
    iterations: int = 50_000,
    *,
    dtype: DTypeLike | None = None,
) -> tuple[list[float], list[float], Array, Array, Array, Array, Array, Array]:
    """Train by gradient descent on all examples at once.

    ::

        h1 = f(X W1 + b1)      h2 = f(h1 W2 + b2)      scores = h2 W3 + b3
        loss = -mean log softmax(scores)[y] + reg / 2 (|W1|^2 + |W2|^2 + |W3|^2)

    The loss is printed every 1,000 iterations, and the accuracy at the end. Ctrl-C is heard about
    every 50 ms; `model` then holds the weights so far.

    Parameters
    ----------
    NONLINEARITY : {"RELU", "SIGM"}
        f.
    X : array_like (N, D)
    y : array_like of int (N,)
        In [0, K).
    model : mapping
        ``W1`` (D, h), ``W2`` (h, h2), ``W3`` (h2, K), ``b1`` (1, h), ``b2`` (1, h2), ``b3`` (1, K):
        float32 or float64, and changed in place, as published. ``h`` and ``h2`` may be there.
    step_size, reg : float
    iterations : int
    dtype : {float64, float32}, optional
        Precision of the iterations; that of `X` and `model`, as NumPy promotes their types, if
        None: float64, as published, unless all of them are float32. With float32 the roundings of
        the steps are kept and put back (`fastrnn.optimizers.COMPENSATED_SGD`), so that weights go
        from float64 to float64: after 50,000 iterations those of the sigmoid network differed by
        1e-5 from the ones that NumPy finds in float64, those of the ReLU network by 5e-4 (its kinks
        are not differentiable).
        With float64 they differ by 1e-11, in 2.1 times the time.

    Returns
    -------
    plot_array_1, plot_array_2 : list of float
        In each iteration the mean of the absolute gradients of W1 and of W2, without the part of
        the regularisation.
    W1, W2, W3, b1, b2, b3 : ndarray
        Those of `model`.

    Raises
    ------
    KeyError, TypeError, ValueError
        For wrong arguments, or numbers that are not finite in this precision, before any work.
    ArithmeticError
        If a gradient, or a loss or a weight where they are looked at, is not finite; `model` then
        holds the weights before that iteration.
    """
    kind = KINDS[check_choice("NONLINEARITY", NONLINEARITY, tuple(KINDS))]
    rate, l2 = check_number("step_size", step_size), check_number("reg", reg)
    steps = check_integer("iterations", iterations, least=0)
    examples = _examples(X)
    weights, biases = _parameters(model, examples.shape[1])
    precision = check_dtype(_own(examples, *weights, *biases) if dtype is None else dtype)
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(examples, precision)
        check_finite("X", x, f" in {precision.name}")
        for letter, arrays in (("W", weights), ("b", biases)):
            for i, array in enumerate(arrays, start=1):
                name = f"model['{letter}{i}']"
                check_finite(name, array.astype(precision), f" in {precision.name}")
    widths = [x.shape[1], *(w.shape[1] for w in weights)]
    targets = check_tokens("y", y, widths[-1], "K")
    check_shape("y", targets, (len(x),), "(N,)")

    optimizer = COMPENSATED_SGD if precision == np.float32 else OPTIMIZERS["sgd"]
    network = DenseNetwork(widths, kind, precision)
    slots = np.zeros((optimizer.slots, network.flat.size), precision)
    places = network.weights + network.biases
    lost = [part for flat in slots for group in network.views(flat) for part in group]
    given = weights + [b[0] for b in biases]
    for i, (place, value) in enumerate(zip(places, given, strict=True)):
        place[...] = value
        if lost:
            lost[i][...] = place - value
    hyper = optimizer.hyper(1, rate, limit=math.inf, weight_decay=0.0)

    def run(first: int, count: int) -> Trained:
        def show(losses: Array, done: int) -> None:
            if done == 1 and np.isfinite(losses[0]):
                print(f"iteration {first}: loss {losses[0]:f}")

        return network.train(
            x, targets, optimizer, np.arange(len(x)), np.zeros(count, np.int64),
            np.full(count, len(x)), np.tile(hyper, (count, 1)), slots,
            l2=l2, every=EVERY, seen=show,
        )  # fmt: skip

    sizes = [np.empty((0, len(weights)))]
    try:
        for first in range(0, steps, EVERY):
            before = network.flat.copy(), slots.copy()
            trained = run(first, min(EVERY, steps - first))
            fine = np.array(np.isfinite(trained.sizes).all(axis=1))
            fine[0] &= np.isfinite(trained.losses[0])
            fine[-1] &= np.isfinite(network.flat).all()
            if not fine.all():
                wrong = int(fine.argmin())
                network.flat[...], slots[...] = before
                run(first, wrong)
                raise not_finite("iteration", first + wrong)
            sizes.append(trained.sizes)
    finally:
        for i, (place, value) in enumerate(zip(places, given, strict=True)):
            value[...] = place.astype(np.float64) - lost[i] if lost else place
    predicted_class = np.argmax(network.logits(x), axis=1)
    print(f"training accuracy: {np.mean(predicted_class == targets):.2f}")
    plots = np.concatenate(sizes)
    return plots[:, 0].tolist(), plots[:, 1].tolist(), *weights, *biases


def _examples(value: ArrayLike) -> Array:
    x = as_array("X", value)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"X must be numbers, got {x.dtype.name}")
    if x.ndim != 2 or not x.size:
        raise ValueError(f"X must have shape (N, D), neither of them 0, got {x.shape}")
    return x


def _own(*arrays: Array) -> np.dtype[Any]:
    """In what NumPy would compute with these, of the two types that there are kernels for."""
    single = np.result_type(*arrays) == np.float32
    return np.dtype(np.float32 if single else np.float64)


def _parameters(model: Mapping[str, Any], inputs: int) -> tuple[list[Array], list[Array]]:
    """The weights and the biases of the model, checked."""
    missing = [name for name in ("W1", "W2", "W3", "b1", "b2", "b3") if name not in model]
    if missing:
        raise KeyError(f"model must have W1, W2, W3, b1, b2, b3, got none of {', '.join(missing)}")
    weights, biases = [], []
    before, side = inputs, "D"
    for i, unit in enumerate(("h", "h2", "K"), start=1):
        w, b = model[f"W{i}"], model[f"b{i}"]
        for name, array in ((f"W{i}", w), (f"b{i}", b)):
            if not isinstance(array, np.ndarray) or array.dtype not in (np.float32, np.float64):
                kind = getattr(array, "dtype", type(array).__name__)
                raise TypeError(f"model[{name!r}] must be a float32 or float64 array, got {kind}")
            if not array.flags.writeable:
                raise ValueError(f"model[{name!r}] must be writable: it is trained in place")
        if w.ndim != 2 or w.shape[0] != before or not w.shape[1]:
            raise ValueError(
                f"model['W{i}'] must have shape ({side}, {unit}) = ({before}, {unit}), "
                f"got {w.shape}"
            )
        check_shape(f"model['b{i}']", b, (1, w.shape[1]), f"(1, {unit})")
        if model.get(unit, w.shape[1]) != w.shape[1]:
            raise ValueError(
                f"model[{unit!r}] must be the columns of W{i} = {w.shape[1]}, got {model[unit]!r}"
            )
        weights.append(w)
        biases.append(b)
        before, side = w.shape[1], unit
    return weights, biases
