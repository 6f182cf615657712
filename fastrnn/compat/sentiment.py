"""The many-to-one sentiment network of V. Zhou, compiled.

For ``from rnn import RNN`` of "An Introduction to Recurrent Neural Networks for Beginners" (2019,
https://victorzhou.com/blog/intro-to-rnns/)::

    h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      y = Why h_n + by

Its ``backprop`` is wrong: it passes a gradient to the state before as ``d_h = Whh @ temp``, while
h_t depends on h_{t-1} through ``Whh``, and the gradient of a product with a matrix is a product
with its transpose, ``Whh.T @ temp``. Finite differences agree with the latter alone: of a phrase of
four words the published gradients of Whh, Wxh and bh are off by a large part of themselves. Here
they are the true ones. Nor does `backprop` here clip the caller's `d_y` in place, as that one does.

With this import alone most of the time of the published script's loop is its own: columns, softmax,
loss. That loop as one call, with the same steps, is several times as fast again; README's table of
systems has both::

    phrases = [createInputs(x) for x in train_data]      # or lists of word indices
    losses, accuracies = rnn.train(phrases, list(train_data.values()), epochs=1000)
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import randn
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.cells import RNN_TANH
from fastrnn.checks import (
    FLOATS,
    Array,
    as_array,
    check_dtype,
    check_integer,
    check_number,
    check_shape,
    check_tokens,
    generator_of,
)
from fastrnn.compat._training import train_while_finite
from fastrnn.compat._weights import NamedWeights
from fastrnn.params import Parameters, Spec
from fastrnn.plan import Regions, flattened
from fastrnn.slices import in_slices
from fastrnn.workspaces import aligned_empty

__all__ = ["RNN"]

#: Gradients are clipped to +- this, number by number.
LIMIT = 1.0

#: A phrase: one-hot columns (V, 1), or the words' indices.
Phrase = Sequence[Any] | Array


class RNN(NamedWeights):
    """A many-to-one network of one layer, as published, and its training loop compiled.

    Parameters
    ----------
    input_size, output_size, hidden_size : int
        V words, C classes, H units.
    dtype : {float64, float32}

    Attributes
    ----------
    Whh, Wxh, Why : ndarray (H, H), (H, V), (C, H)
        Standard normal over 1000, drawn from NumPy's global generator in this order: after
        ``np.random.seed(0)`` they are those of the published class. Assigning copies.
    bh, by : ndarray (H, 1), (C, 1)
        Zero at first.
    last_inputs : sequence
        What `forward` read last.
    last_hs : dict of int to ndarray (H, 1)
        The states of that, the first one, of zeros, under 0.

    Raises
    ------
    TypeError, ValueError
        Here and in all methods for wrong arguments, before any work.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.compat.sentiment import RNN
    >>> np.random.seed(0)
    >>> rnn = RNN(input_size=4, output_size=2)
    >>> good, bad = [0, 1, 2], [0, 3]
    >>> losses, accuracies = rnn.train([good, bad], [1, 0], epochs=200, seed=0)
    >>> rnn.evaluate([good, bad], [1, 0])[1]
    1.0
    """

    _weights = frozenset({"Wxh", "Whh", "bh", "Why", "by"})

    def __init__(
        self,
        input_size: int,
        output_size: int,
        hidden_size: int = 64,
        *,
        dtype: DTypeLike = np.float64,
    ) -> None:
        inputs = check_integer("input_size", input_size, least=1)
        classes = check_integer("output_size", output_size, least=1)
        hidden = check_integer("hidden_size", hidden_size, least=1)
        self._sizes = inputs, hidden, classes
        self._dtype = check_dtype(dtype)
        specs = [
            Spec("Wxh", (hidden, inputs), "(H, V)", transposed=True),
            Spec("Whh", (hidden, hidden), "(H, H)"),
            Spec("bh", (hidden, 1), "(H, 1)"),
            Spec("Why", (classes, hidden), "(C, H)"),
            Spec("by", (classes, 1), "(C, 1)"),
        ]
        self._parameters = Parameters(specs, self._dtype)
        for name in ("Whh", "Wxh", "Why"):
            view = self._parameters.views[name]
            view[...] = randn(*view.shape) / 1000
        self.last_inputs: Phrase = []
        self._steps = 0
        self._reserve(1, inputs)

    def _reserve(self, steps: int, entries: int) -> None:
        """Make room for phrases of so many steps, and so many inputs that are not zero."""
        from fastrnn.kernels.phrases import Phrases
        from fastrnn.simd.cpu import lanes

        inputs, hidden, classes = self._sizes
        width = lanes(self._dtype)
        columns = -(-hidden // width) * width
        _, recurrent, bias, out, out_bias, _ = self._parameters.places.offsets
        regions = Regions(self._dtype.itemsize)
        regions.add((steps + 1) * columns)
        self._plan = Phrases(
            inputs, hidden, classes, columns, recurrent, bias, out, out_bias,
            deltas=regions.add(steps * columns),
            row=regions.add(columns),
            logits=regions.add(-(-classes // width) * width),
            bias_grads=regions.add(hidden),
            input_grads=regions.add(inputs * hidden),
        )  # fmt: skip
        self._numbers = np.array(flattened(self._plan), np.int64)
        self._work = aligned_empty(regions.size, self._dtype)
        self._work[...] = 0
        self._places = np.empty(entries, np.int64)
        self._values = np.empty(entries, self._dtype)
        self._rows = np.empty(steps + 1, np.int64)

    @property
    def last_hs(self) -> dict[int, Array]:
        """The states (H, 1) of the last `forward`, by number."""
        states = range(self._steps + 1 if self._steps else 0)
        return {t: self._column(t * self._plan.columns, self._plan.hidden) for t in states}

    def _column(self, start: int, count: int) -> Array:
        return self._work[start : start + count].reshape(-1, 1).copy()

    def forward(self, inputs: Phrase) -> tuple[Array, Array]:
        """Read a phrase.

        Parameters
        ----------
        inputs : sequence of ndarray (V, 1), or of int
            One column for each word, one-hot or not, or the words' indices in [0, V).

        Returns
        -------
        y : ndarray (C, 1)
            Logits.
        h : ndarray (H, 1)
            The last state.
        """
        x = self._checked("inputs", inputs)
        tokens = x.ndim == 1
        count = x.shape[-1]
        if count >= self._rows.size or x.size > self._places.size:
            self._reserve(2 * count, 2 * x.size)
        if tokens:
            self._places[:count], self._values[:count] = x, 1
            self._rows[: count + 1] = np.arange(count + 1)
        _drivers().read(
            _NO_COLUMNS[self._dtype] if tokens else x.reshape(-1), self._parameters.flat,
            self._work, self._places, self._values, self._rows, count, self._numbers,
        )  # fmt: skip
        self.last_inputs, self._steps = inputs, count
        p = self._plan
        return self._column(p.logits, p.classes), self._column(count * p.columns, p.hidden)

    def backprop(self, d_y: ArrayLike, learn_rate: float = 2e-2) -> None:
        """Backpropagate through the phrase of the last `forward`, and take one step.

        Gradients are clipped to +-1, number by number.

        Parameters
        ----------
        d_y : array_like (C, 1)
            Gradient of the loss by the logits.
        learn_rate : float

        Raises
        ------
        RuntimeError
            If no `forward` came before, or `train` or `evaluate` after it.
        """
        p = self._plan
        gradient = as_array("d_y", d_y)
        check_shape("d_y", gradient, (p.classes, 1), "(C, 1)")
        rate = check_number("learn_rate", learn_rate)
        if not self._steps:
            raise RuntimeError("backprop must come after forward: there is no phrase to learn from")
        self._work[p.logits : p.logits + p.classes] = gradient[:, 0]
        _drivers().learn(
            self._parameters.flat, self._work, self._places, self._values, self._rows,
            self._steps, rate, LIMIT, self._numbers,
        )  # fmt: skip

    def train(
        self,
        inputs: Sequence[Phrase],
        targets: ArrayLike,
        epochs: int = 1000,
        learn_rate: float = 2e-2,
        seed: int | np.random.Generator | None = None,
    ) -> tuple[Array, Array]:
        """The published loop in one call: each epoch all phrases in a new order, a step after each.

        It does what ``processData(train_data)`` of the published script does `epochs` times. Ctrl-C
        is heard about every 50 ms, and the steps done so far stay.

        Parameters
        ----------
        inputs : sequence of phrases, each as `forward` takes it
        targets : array_like of int or bool
            The class of each, in [0, C).
        epochs : int
        learn_rate : float
        seed : int or numpy.random.Generator, optional
            Of the orders, one permutation an epoch.

        Returns
        -------
        losses, accuracies : ndarray (epochs,)
            Means over the phrases, each as it was before its own step; the loss in nats.

        Raises
        ------
        ArithmeticError
            If a loss, or a weight where they are looked at, is not finite; the weights are those
            before that step.
        """
        epochs = check_integer("epochs", epochs, least=0)
        rate = check_number("learn_rate", learn_rate)
        generator = generator_of(seed)
        run, count = self._runner(inputs, targets)
        order = np.array([generator.permutation(count) for _ in range(epochs)], np.int64)
        losses, hits = np.empty((2, epochs * count))
        steps = order.reshape(-1)

        def some(first: int, number: int) -> None:
            def do(count: int) -> None:
                part = slice(first, first + count)
                run(losses[part], hits[part], steps[part], True, rate)

            part = losses[first : first + number]
            train_while_finite(part, [self._parameters.flat, self._work], do, "step", first)

        in_slices(steps.size, some)
        return losses.reshape(epochs, count).mean(axis=1), hits.reshape(epochs, count).mean(axis=1)

    def evaluate(self, inputs: Sequence[Phrase], targets: ArrayLike) -> tuple[float, float]:
        """Mean loss in nats and accuracy over phrases, which are given as to `train`."""
        run, count = self._runner(inputs, targets)
        losses, hits = np.empty((2, count))
        run(losses, hits, np.arange(count), False, 0.0)
        return float(losses.mean()), float(hits.mean())

    def _runner(self, inputs: Sequence[Phrase], targets: ArrayLike) -> tuple[Any, int]:
        """What calls the driver on these phrases, and how many there are."""
        if not isinstance(inputs, Sequence | np.ndarray) or not len(inputs):
            raise ValueError(f"inputs must be a sequence of at least one phrase, got {inputs!r}")
        vocabulary, _, classes = self._sizes
        labels = as_array("targets", targets)
        labels = labels.astype(np.int64) if labels.dtype == np.bool_ else labels
        labels = check_tokens("targets", labels, classes, "output_size")
        check_shape("targets", labels, (len(inputs),), "(number of phrases,)")
        places, values, counts, firsts = [], [], [], [0]
        for i, phrase in enumerate(inputs):
            x = self._checked(f"inputs[{i}]", phrase)
            if x.ndim == 1:
                places.append(x)
                values.append(np.ones(x.size, self._dtype))
                counts.append(np.ones(x.size, np.int64))
            else:
                step, word = x.T.nonzero()
                places.append(word)
                values.append(x[word, step])
                counts.append(np.count_nonzero(x, axis=0))
            firsts.append(firsts[-1] + x.shape[-1])
        self._reserve(int(np.diff(firsts).max()), vocabulary)
        self._steps = 0
        rows = np.cumsum([0, *np.concatenate(counts)])
        fixed = np.concatenate(places), np.concatenate(values), rows, np.array(firsts), labels

        def run(losses: Array, hits: Array, order: Array, trains: bool, rate: float) -> None:
            _drivers().run(
                losses, hits, self._parameters.flat, self._work, *fixed, order, trains, rate, LIMIT,
                self._numbers,
            )  # fmt: skip

        return run, len(inputs)

    def _checked(self, name: str, phrase: Phrase) -> Array:
        """A phrase as columns (V, T) of floats, or as words' indices (T,)."""
        words = self._sizes[0]
        try:
            x: Array = np.concatenate(phrase, axis=1)
            if x.shape == (words, len(phrase)) and x.dtype == self._dtype:
                return x
        except (TypeError, ValueError):
            pass
        if not isinstance(phrase, Sequence | np.ndarray) or isinstance(phrase, str):
            raise TypeError(
                f"{name} must be a sequence of columns (V, 1) or of word indices, got {phrase!r}"
            )
        if not len(phrase):
            raise ValueError(f"{name} must have at least one word, got none")
        if np.ndim(phrase[0]) == 0:
            tokens = check_tokens(name, phrase, words, "input_size")
            check_shape(name, tokens, (len(phrase),), "(number of words,)")
            return tokens
        columns = []
        for t, column in enumerate(phrase):
            array = as_array(f"{name}[{t}]", column)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"{name}[{t}] must be numbers, got {array.dtype.name}")
            check_shape(f"{name}[{t}]", array, (words, 1), "(V, 1)")
            columns.append(array)
        return np.concatenate(columns, axis=1).astype(self._dtype)


_NO_COLUMNS = {dtype: np.empty(0, dtype) for dtype in FLOATS}


@functools.cache
def _drivers() -> Any:
    """The compiled drivers; imports numba when first called."""
    from fastrnn.kernels.bound import phrase_drivers

    return phrase_drivers(RNN_TANH)
