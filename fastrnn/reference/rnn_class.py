"""The RNN class of tutorials: tables, sequences of vectors, sequences of words; sigmoid outputs.

One tanh layer and a sigmoid on each output, trained by binary cross-entropy::

    h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      y_t = sigmoid(Why h_t + by)

Words are one-hot rows, made step by step and multiplied, as such programs do.
"""

import numpy as np

from fastrnn.reference._types import Array, IntArray
from fastrnn.reference.sigmoid import sigmoid


class RNN:
    """A recurrent network of one layer.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        I, H, O.
    return_sequences : bool, optional
        Whether there is an output for every step, and not for the last one alone; if None, `train`
        goes by its targets, and before that sequences of vectors have one for every step.

    Attributes
    ----------
    Wxh, Whh, Why : (H, I), (H, H), (O, H)
        Uniform in +-1/sqrt(H), drawn from NumPy's global generator in this order.
    bh, by : (H,), (O,)
        Zero at first.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        return_sequences: bool | None = None,
    ) -> None:
        self.input_size, self.hidden_size, self.output_size = input_size, hidden_size, output_size
        self.return_sequences = return_sequences
        limit = 1 / np.sqrt(hidden_size)
        self.Wxh = np.random.uniform(-limit, limit, (hidden_size, input_size))
        self.Whh = np.random.uniform(-limit, limit, (hidden_size, hidden_size))
        self.Why = np.random.uniform(-limit, limit, (output_size, hidden_size))
        self.bh = np.zeros(hidden_size)
        self.by = np.zeros(output_size)

    def _is_words(self, x: Array | IntArray) -> bool:
        """A table of integers, as wide as the input, holds numbers and not words."""
        return x.ndim == 2 and x.dtype.kind in "iu" and x.shape[1] != self.input_size

    def _time(self, x: Array | IntArray) -> int:
        return x.shape[1] if x.ndim == 3 or self._is_words(x) else 1

    def _rows(self, x: Array | IntArray, t: int) -> Array:
        """What step t reads, (N, I)."""
        if self._is_words(x):
            rows = np.zeros((len(x), self.input_size))
            rows[np.arange(len(x)), x[:, t]] = 1
            return rows
        return np.asarray(x[:, t] if x.ndim == 3 else x, float)

    def _every_step(self, x: Array | IntArray) -> bool:
        if self.return_sequences is None:
            return not self._is_words(x) and self._time(x) > 1
        return self.return_sequences

    def forward(self, x: Array | IntArray) -> Array:
        """Outputs of a batch.

        Parameters
        ----------
        x : (N, T, I), or (N, I) for sequences of one step, or integers (N, T) for words

        Returns
        -------
        y : (N, T, O), or (N, O)
            Of every step, or of the last one.
        """
        self.hs = [np.zeros((len(x), self.hidden_size))]
        for t in range(self._time(x)):
            a = self._rows(x, t) @ self.Wxh.T + self.hs[-1] @ self.Whh.T + self.bh
            self.hs.append(np.tanh(a))
        h = np.stack(self.hs[1:], axis=1) if self._every_step(x) else self.hs[-1]
        return sigmoid(h @ self.Why.T + self.by)

    def backward(
        self, x: Array | IntArray, y_true: Array | IntArray, y_pred: Array, learning_rate: float
    ) -> None:
        """Backpropagate the loss through time, and take one step.

        Parameters
        ----------
        x : as given to the last `forward`
        y_true : 0 or 1, as many as y_pred
        y_pred : (N, T, O) or (N, O)
            What it returned.
        learning_rate : float
        """
        d = (y_pred - np.reshape(y_true, y_pred.shape)) / y_pred.size
        d_Wxh, d_Whh, d_Why = (np.zeros_like(w) for w in (self.Wxh, self.Whh, self.Why))
        d_bh, d_by = np.zeros_like(self.bh), np.zeros_like(self.by)
        d_h = np.zeros_like(self.hs[0])
        last = self._time(x) - 1
        for t in reversed(range(last + 1)):
            if y_pred.ndim == 3 or t == last:
                d_y = d[:, t] if y_pred.ndim == 3 else d
                d_Why += d_y.T @ self.hs[t + 1]
                d_by += d_y.sum(axis=0)
                d_h = d_h + d_y @ self.Why
            d_a = d_h * (1 - self.hs[t + 1] ** 2)
            d_Wxh += d_a.T @ self._rows(x, t)
            d_Whh += d_a.T @ self.hs[t]
            d_bh += d_a.sum(axis=0)
            d_h = d_a @ self.Whh
        self.Wxh -= learning_rate * d_Wxh
        self.Whh -= learning_rate * d_Whh
        self.Why -= learning_rate * d_Why
        self.bh -= learning_rate * d_bh
        self.by -= learning_rate * d_by

    def loss(self, y_true: Array | IntArray, y_pred: Array) -> float:
        """Mean of ``-log P(y_true)``, in nats."""
        y = np.reshape(y_true, y_pred.shape)
        return float(-np.mean(np.log(np.where(y == 1, y_pred, 1 - y_pred))))

    def train(
        self,
        x_train: Array | IntArray,
        y_train: Array | IntArray,
        epochs: int,
        learning_rate: float,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> list[float]:
        """Gradient descent; the loss is printed every 10 epochs.

        Parameters
        ----------
        x_train : as `forward` takes it
        y_train : 0 or 1, (N, T, O), or (N, T) for one output, for every step; (N, O) or (N,) for
            the last one
        epochs : int
        learning_rate : float
        batch_size : int, optional
            Sequences of one step, all of them if None.
        seed : int, optional
            Of the orders, one permutation an epoch; as given if None.

        Returns
        -------
        losses : list of float
            Of each epoch the mean over the sequences, each as it was before its own step.
        """
        count = len(x_train)
        y: IntArray = np.asarray(y_train)
        steps = self._time(x_train)
        if self.return_sequences is None:
            in_time = y.ndim == 2 and self.output_size == 1 and steps > 1 and y.shape[1] == steps
            self.return_sequences = y.ndim == 3 or in_time
        size = count if batch_size is None else batch_size
        generator = np.random.default_rng(seed)
        losses = []
        for epoch in range(epochs):
            order = np.arange(count) if seed is None else generator.permutation(count)
            total = 0.0
            for start in range(0, count, size):
                some = order[start : start + size]
                y_pred = self.forward(x_train[some])
                total += self.loss(y[some], y_pred) * len(some)
                self.backward(x_train[some], y[some], y_pred, learning_rate)
            losses.append(total / count)
            if epoch % 10 == 0:
                print(f"Epoch {epoch}, loss {losses[-1]:f}")
        return losses

    def predict(self, x: Array | IntArray) -> Array:
        """Outputs of a batch, between 0 and 1."""
        return self.forward(x)

    def evaluate(
        self, x: Array | IntArray, y: Array | IntArray, batch_size: int = 32
    ) -> tuple[float, float]:
        """Mean loss, and the part of all outputs that are on the right side of 0.5."""
        total, right, numbers = 0.0, 0, 0
        for start in range(0, len(x), batch_size):
            part = slice(start, start + batch_size)
            y_pred = self.forward(x[part])
            y_true: IntArray = np.reshape(y[part], y_pred.shape)
            total += self.loss(y_true, y_pred) * y_pred.size
            right += int(np.sum((y_pred > 0.5) == y_true))
            numbers += y_pred.size
        return total / numbers, right / numbers
