"""The many-to-one sentiment network: words in, after the last one the logits of the classes out.

V. Zhou, "An Introduction to Recurrent Neural Networks for Beginners" (2019, MIT licence,
https://victorzhou.com/blog/intro-to-rnns/), its names, its column vectors and its loop::

    h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      y = Why h_n + by

The published ``backprop`` multiplies by ``Whh`` where the chain rule has ``Whh.T``: mended here.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import randn

from fastrnn.reference._types import Array


class RNN:
    """A many-to-one network of one layer.

    Parameters
    ----------
    input_size, output_size, hidden_size : int
        V words, C classes, H units.

    Attributes
    ----------
    Whh, Wxh, Why : (H, H), (H, V), (C, H)
        Standard normal over 1000, drawn from NumPy's global generator in this order.
    bh, by : (H, 1), (C, 1)
        Zero at first.
    """

    def __init__(self, input_size: int, output_size: int, hidden_size: int = 64) -> None:
        self.Whh = randn(hidden_size, hidden_size) / 1000
        self.Wxh = randn(hidden_size, input_size) / 1000
        self.Why = randn(output_size, hidden_size) / 1000
        self.bh = np.zeros((hidden_size, 1))
        self.by = np.zeros((output_size, 1))

    def forward(self, inputs: Sequence[Array]) -> tuple[Array, Array]:
        """Read a phrase.

        Parameters
        ----------
        inputs : n columns (V, 1)
            One-hot words.

        Returns
        -------
        y : (C, 1)
            Logits.
        h : (H, 1)
            The last state.
        """
        h = np.zeros((self.Whh.shape[0], 1))
        self.last_inputs = inputs
        self.last_hs = {0: h}
        for i, x in enumerate(inputs):
            h = np.tanh(self.Wxh @ x + self.Whh @ h + self.bh)
            self.last_hs[i + 1] = h
        y = self.Why @ h + self.by
        return y, h

    def backprop(self, d_y: Array, learn_rate: float = 2e-2) -> None:
        """Backpropagate through the phrase of the last `forward`, and take one step.

        Gradients are clipped to +-1, number by number.

        Parameters
        ----------
        d_y : (C, 1)
            Gradient of the loss by the logits.
        learn_rate : float
        """
        n = len(self.last_inputs)
        d_Why = d_y @ self.last_hs[n].T
        d_by = d_y.copy()
        d_Whh = np.zeros(self.Whh.shape)
        d_Wxh = np.zeros(self.Wxh.shape)
        d_bh = np.zeros(self.bh.shape)
        d_h = self.Why.T @ d_y
        for t in reversed(range(n)):
            temp = (1 - self.last_hs[t + 1] ** 2) * d_h
            d_bh += temp
            d_Whh += temp @ self.last_hs[t].T
            d_Wxh += temp @ self.last_inputs[t].T
            d_h = self.Whh.T @ temp
        for d in [d_Wxh, d_Whh, d_Why, d_bh, d_by]:
            np.clip(d, -1, 1, out=d)
        self.Whh -= learn_rate * d_Whh
        self.Wxh -= learn_rate * d_Wxh
        self.Why -= learn_rate * d_Why
        self.bh -= learn_rate * d_bh
        self.by -= learn_rate * d_by

    def train(
        self,
        inputs: Sequence[Sequence[Array]],
        targets: Sequence[int],
        epochs: int = 1000,
        learn_rate: float = 2e-2,
        seed: int | None = None,
    ) -> tuple[Array, Array]:
        """The published loop: each epoch all phrases in a new order, a step after each.

        Parameters
        ----------
        inputs : phrases, each as `forward` takes it
        targets : a class in [0, C) for each
        epochs : int
        learn_rate : float
        seed : int, optional
            Of the orders, one permutation an epoch.

        Returns
        -------
        losses, accuracies : (epochs,)
            Means over the phrases, each as it was before its own step; the loss in nats.
        """
        generator = np.random.default_rng(seed)
        results = np.empty((epochs, 2))
        for epoch in range(epochs):
            order = generator.permutation(len(inputs)).tolist()
            results[epoch] = self._process(inputs, targets, order, learn_rate)
        return results[:, 0], results[:, 1]

    def evaluate(
        self, inputs: Sequence[Sequence[Array]], targets: Sequence[int]
    ) -> tuple[float, float]:
        """Mean loss and accuracy over phrases."""
        return self._process(inputs, targets, range(len(inputs)), None)

    def _process(
        self,
        inputs: Sequence[Sequence[Array]],
        targets: Sequence[int],
        order: Sequence[int],
        learn_rate: float | None,
    ) -> tuple[float, float]:
        loss, correct = 0.0, 0
        for i in order:
            out, _ = self.forward(inputs[i])
            probs = softmax(out)
            loss -= np.log(probs[targets[i], 0])
            correct += int(np.argmax(probs) == targets[i])
            if learn_rate is not None:
                d_y = probs
                d_y[targets[i]] -= 1
                self.backprop(d_y, learn_rate)
        return loss / len(inputs), correct / len(inputs)


def softmax(xs: Array) -> Array:
    """``exp(x_i) / sum_j exp(x_j)`` of a column."""
    p: Array = np.exp(xs) / sum(np.exp(xs))
    return p
