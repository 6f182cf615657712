"""What a user writes around a recurrent layer: a linear read-out of its states, and Adam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array
from fastrnn.layers import OneHot, Recurrent
from fastrnn.reference import Adam, clip_by_norm, softmax_cross_entropy


class Readout:
    """``y = W h + b`` of the states of a layer, both trained together by Adam.

    Parameters
    ----------
    layer : Recurrent
        Of H units.
    outputs : int
        O.
    rate : float
        Adam's learning rate.
    clip_norm : float
        Largest norm of a gradient.
    seed : int
        Of W (O, H) and b (O,), uniform in +-1/sqrt(H).
    """

    def __init__(
        self, layer: Recurrent[Any], outputs: int, *, rate: float, clip_norm: float, seed: int
    ) -> None:
        self.layer, self.clip_norm, self.adam = layer, clip_norm, Adam(rate)
        limit, generator = 1 / math.sqrt(layer.hidden_size), np.random.default_rng(seed)
        self.weight, self.bias = (
            generator.uniform(-limit, limit, shape).astype(layer.dtype)
            for shape in ((outputs, layer.hidden_size), (outputs,))
        )
        self._params = {"layer": layer.flat, "weight": self.weight, "bias": self.bias}

    def __call__(self, h: Array) -> Array:
        """Outputs (..., O) of states (..., H)."""
        y: Array = h @ self.weight.T + self.bias
        return y

    def back(self, d_y: Array) -> Array:
        """The gradient by the states (..., H) from that by the outputs (..., O)."""
        d_h: Array = d_y @ self.weight
        return d_h

    def descend(self, d_layer: Array, h: Array, d_y: Array) -> None:
        """One step of Adam from the gradients of the layer's flat buffer and of the outputs."""
        rows, states = d_y.reshape(-1, len(self.bias)), h.reshape(-1, self.layer.hidden_size)
        grads = {"layer": d_layer, "weight": rows.T @ states, "bias": rows.sum(axis=0)}
        clip_by_norm(grads, self.clip_norm)
        self.adam.step(self._params, grads)


class Classifier(Readout):
    """An LSTM whose last state says which class a sequence is of."""

    def logits(self, x: ArrayLike | OneHot, lengths: ArrayLike | None = None) -> Array:
        """(N, K) of sequences as the layer takes them."""
        return self(self.layer(x, lengths=lengths)[1][0][-1])

    def learn(
        self, x: ArrayLike | OneHot, classes: Array, lengths: ArrayLike | None = None
    ) -> float:
        """One step of Adam on sequences of classes (N,); their mean loss before it, in nats."""
        _, (h, _), tape = self.layer.forward(x, lengths=lengths)
        loss, d_logits = softmax_cross_entropy(self(h[-1]), classes)
        d_h = np.zeros_like(h)
        d_h[-1] = self.back(d_logits)
        d_state = d_h, np.zeros_like(h)
        grads = self.layer.backward(tape, d_state=d_state, wants_x=False, wants_state=False)
        self.descend(grads.flat, h[-1], d_logits)
        return loss


def score(logits: Array, classes: Array) -> tuple[float, float]:
    """Mean loss in nats, and the part of the classes that is right."""
    loss, _ = softmax_cross_entropy(logits, classes)
    return loss, float((logits.argmax(axis=1) == classes).mean())
