"""The RNN class of tutorials, compiled: tables, sequences of vectors, sequences of words.

One tanh layer and a sigmoid on each output, trained by binary cross-entropy::

    h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      y_t = sigmoid(Why h_t + by)

It learns XOR-like tables, binary addition (two bits in and one out a step, for numbers of any
length afterwards), and sentiment at the scale of the IMDB reviews: words are read as indices, their
one-hot rows are never made.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn import recurrence
from fastrnn.cells import RNN_TANH
from fastrnn.checks import (
    Array,
    as_array,
    check_bool,
    check_dtype,
    check_integer,
    check_number,
    check_seed,
    check_shape,
)
from fastrnn.compat._sequences import Sequences, check_bits, read_sequences, same_sequences
from fastrnn.compat._weights import NamedWeights
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.params import Parameters, Spec
from fastrnn.recurrence import Input, Kept, States, Weights
from fastrnn.sequences import Sizes, Trainer
from fastrnn.workspaces import WorkspacePool

__all__ = ["RNN"]

#: Epochs between two losses that are printed.
EVERY = 10
#: Steps of one call, where epochs are short.
STEPS = 4096
#: Sequences that `predict` reads at one time.
TOGETHER = 256


class RNN(NamedWeights):
    """A recurrent network of one layer.

    Wherever sequences are given, they are

    - words, integers (N, T) in [0, input_size), or ``fastrnn.OneHot`` of them;
    - or vectors (N, T, I) of numbers of any type;
    - or a table (N, I), whose rows are sequences of one step. After a training on vectors of
      several steps a table is refused, since it may be meant as one sequence: that is (1, T, I).

    Integers of two dimensions are what the network was trained on last. Before that they are words;
    but (N, I) are a table if they are bits or no words, and else refused: words must come as
    ``OneHot`` then, and numbers as floats.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        I, the numbers of a step or the words of the vocabulary; H; O.
    return_sequences : bool, optional
        Whether there is an output for every step, and not for the last one alone. If None, the
        first `train` goes by the shape of its targets; before that, sequences of vectors have one
        for every step, and words for the last.
    dtype : {float64, float32}

    Attributes
    ----------
    Wxh, Whh, Why : ndarray (H, I), (H, H), (O, H)
        Uniform in +-1/sqrt(H), drawn from NumPy's global generator in this order. Assigning copies;
        they are the same arrays as long as the network lives.
    bh, by : ndarray (H,), (O,)
        Zero at first.

    Raises
    ------
    TypeError, ValueError
        Here and in all methods for wrong arguments, before any work.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.compat.rnn_class import RNN
    >>> np.random.seed(0)
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> rnn = RNN(input_size=2, hidden_size=8, output_size=1)
    >>> losses = rnn.train(x, y, epochs=1, learning_rate=1.0)
    Epoch 0, loss 0.692357
    >>> rnn.predict(x).shape
    (4, 1)
    """

    _weights = frozenset({"Wxh", "Whh", "bh", "Why", "by"})

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        return_sequences: bool | None = None,
        dtype: DTypeLike = np.float64,
    ) -> None:
        self.input_size = check_integer("input_size", input_size, least=1)
        self.hidden_size = check_integer("hidden_size", hidden_size, least=1)
        self.output_size = check_integer("output_size", output_size, least=1)
        if return_sequences is not None:
            check_bool("return_sequences", return_sequences)
        self.return_sequences = return_sequences
        self.dtype = check_dtype(dtype)
        self._pool = WorkspacePool()
        self._last: tuple[Input, Kept] | None = None
        self._trained_on_words: bool | None = None
        self._trained_in_time = False
        self._parameters = Parameters(self._specs(words=False), self.dtype)
        #: The same for sequences of words, of which Wxh lies word by word: `_laid_out`.
        self._of_words = Parameters(self._specs(words=True), self.dtype)
        self._trainers: dict[tuple[bool, bool], Trainer] = {}
        limit = 1 / math.sqrt(self.hidden_size)
        for name in ("Wxh", "Whh", "Why"):
            view = self._parameters.views[name]
            view[...] = np.random.uniform(-limit, limit, view.shape)

    def _specs(self, *, words: bool) -> list[Spec]:
        """The parameters, each word's weights adjacent if they are for `words`."""
        inputs, hidden, outputs = self.input_size, self.hidden_size, self.output_size
        return [
            Spec("Wxh", (hidden, inputs), "(H, I)", transposed=words),
            Spec("Whh", (hidden, hidden), "(H, H)"),
            Spec("bh", (hidden,), "(H,)"),
            Spec("Why", (outputs, hidden), "(O, H)"),
            Spec("by", (outputs,), "(O,)"),
        ]

    def _laid_out(self, read: Input) -> Parameters:
        """The present parameters as kernels take them that read such sequences."""
        if not read.is_tokens:
            return self._parameters
        self._copy(self._parameters, self._of_words)
        return self._of_words

    def _copy(self, source: Parameters, to: Parameters) -> None:
        if source is not to:
            to.views["Wxh"][...] = source.views["Wxh"]
            others = self.hidden_size * self.input_size
            to.flat[others:] = source.flat[others:]

    def _weights_of(self, parameters: Parameters, flat: Array) -> Weights:
        w_ih, w_hh, bias = parameters.places.parts(flat)[:3]
        absent = recurrence.empty(self.dtype)
        return Weights(w_ih, w_hh, bias, absent, absent)

    def forward(self, x: Sequences) -> Array:
        """Outputs of a batch; `backward` goes back through it.

        Parameters
        ----------
        x : sequences

        Returns
        -------
        y : ndarray (N, T, O), or (N, O)
            Of every step, or of the last one; between 0 and 1.
        """
        read = self._read("x", x)
        y, kept = self._run(read, self._laid_out(read), keep=True)
        self._last = read, kept
        return y

    def _run(self, read: Input, held: Parameters, *, keep: bool) -> tuple[Array, Kept]:
        last = np.empty((read.batch, self.hidden_size), self.dtype)
        kept = recurrence.forward(
            RNN_TANH, read, States(last.reshape(-1), 0, last.size, given=False), self.hidden_size,
            [self._weights_of(held, held.flat)], self._pool, keep=keep,
        )  # fmt: skip
        h = kept.output.swapaxes(0, 1) if self._every_step(read) else last
        logits = h @ self.Why.T + self.by
        y: Array = 0.5 * np.tanh(0.5 * logits) + 0.5
        return y, kept

    def _every_step(self, read: Input) -> bool:
        if self.return_sequences is None:
            return not read.is_tokens and read.time > 1
        return self.return_sequences

    def backward(
        self, x: Sequences, y_true: ArrayLike, y_pred: ArrayLike, learning_rate: float
    ) -> None:
        """Backpropagate the loss through time, and take one step of gradient descent.

        Parameters
        ----------
        x : sequences
            As given to the last `forward`, which otherwise runs again.
        y_true : array_like of 0 and 1
            As many as there are predictions.
        y_pred : ndarray (N, T, O) or (N, O)
            What `forward` returned.
        learning_rate : float
        """
        rate = check_number("learning_rate", learning_rate)
        read = self._read("x", x)
        y = as_array("y_pred", y_pred)
        every = self._every_step(read)
        shape = (
            (read.batch, read.time, self.output_size) if every else (read.batch, self.output_size)
        )
        check_shape("y_pred", y, shape, "(N, T, O)" if every else "(N, O)")
        targets = self._targets("y_true", y_true, read, every)
        last, held = self._last, self._laid_out(read)
        if last is None or not same_sequences(last[0], read):
            last = read, self._run(read, held, keep=True)[1]
        d = ((y - targets.reshape(shape)) / y.size).astype(self.dtype)
        kept = last[1]
        grads = np.empty_like(held.flat)
        views = held.places.views(grads)
        carry = np.zeros((1, 1, read.batch, self.hidden_size), self.dtype)
        d_output = recurrence.empty(self.dtype)
        if every:
            rows = np.ascontiguousarray(d.swapaxes(0, 1)).reshape(-1, self.output_size)
            h = kept.output.reshape(-1, self.hidden_size)
            d_output = (rows @ self.Why).reshape(-1)
        else:
            rows, h = d, kept.output[-1]
            carry[0, 0] = rows @ self.Why
        views["Why"][...], views["by"][...] = rows.T @ h, rows.sum(axis=0)
        recurrence.backward(
            RNN_TANH, read, kept, d_output, carry, [self._weights_of(held, held.flat)],
            [self._weights_of(held, grads)], self._pool, wants_x=False, wants_state=False,
        )  # fmt: skip
        held.flat[...] -= self.dtype.type(rate) * grads
        self._copy(held, self._parameters)
        self._last = None
        self._note_trained_on(read)

    def loss(self, y_true: ArrayLike, y_pred: ArrayLike) -> float:
        """Mean of ``-log P(y_true)`` in nats, predictions being probabilities of 1."""
        p = as_array("y_pred", y_pred)
        y = as_array("y_true", y_true)
        check_bits("y_true", y)
        if y.size != p.size:
            raise ValueError(f"y_true must be as many as y_pred = {p.shape}, got {y.shape}")
        with np.errstate(divide="ignore"):
            right = np.where(y.reshape(p.shape) == 1, p, 1 - p)
            return float(-np.mean(np.log(right)))

    def train(
        self,
        x_train: Sequences,
        y_train: ArrayLike,
        epochs: int,
        learning_rate: float,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> list[float]:
        """Gradient descent, compiled; the loss is printed every 10 epochs.

        Ctrl-C is heard about every 50 ms, and the steps done so far stay.

        Parameters
        ----------
        x_train : sequences
        y_train : array_like of 0 and 1
            (N, T, O), or (N, T) for one output, for every step; (N, O) or (N,) for the last one.
        epochs : int
        learning_rate : float
        batch_size : int, optional
            Sequences of one step, all of them if None, as published. A step's states take
            ``(T + 1) * batch_size * H`` numbers: of all 25,000 reviews of the IMDB, 500 words each
            and H = 32, these are 3.2 GB; ``batch_size=32`` takes 4 MB, and learns in 782 steps an
            epoch instead of one.
        seed : int, optional
            Of the orders, one permutation an epoch; as given if None.

        Returns
        -------
        losses : list of float
            Of each epoch the mean over the sequences, each as it was before its own step.

        Raises
        ------
        ArithmeticError
            If a loss is not finite; the weights are those before that step.
        """
        read = self._read("x_train", x_train, time_major=False, tables=True)
        if self.return_sequences is None:
            y = as_array("y_train", y_train)
            in_time = y.ndim == 2 and self.output_size == 1 and 1 < read.time == y.shape[1]
            every = y.ndim == 3 or in_time
        else:
            every = self._every_step(read)
        targets = self._targets("y_train", y_train, read, every)
        epochs = check_integer("epochs", epochs, least=0)
        rate = check_number("learning_rate", learning_rate)
        size = read.batch
        if batch_size is not None:
            size = min(size, check_integer("batch_size", batch_size, least=1))
        generator = np.random.default_rng(check_seed(seed))
        self.return_sequences, self._last = every, None
        self._note_trained_on(read)
        held = self._laid_out(read)
        trainer = self._trainer(held, every, words=read.is_tokens)
        hyper = OPTIMIZERS["sgd"].hyper(1, rate, limit=math.inf, weight_decay=0.0)
        count, rest = read.batch, read.batch % size
        whole = count // size
        group = 1 if rest else max(1, STEPS // whole)
        losses: list[float] = []
        while len(losses) < epochs:
            turns = min(group, epochs - len(losses))
            order = np.tile(np.arange(count), turns)
            if seed is not None:
                order = np.concatenate([generator.permutation(count) for _ in range(turns)])
            starts = (count * np.arange(turns)[:, None] + size * np.arange(whole)).reshape(-1)
            total = np.zeros(turns)
            for batch, begin in ((size, starts), (rest, np.array([whole * size]))):
                if batch:
                    try:
                        found = trainer.run(
                            read.floats, read.tokens, targets, read.time, batch, order, begin,
                            np.tile(hyper, (len(begin), 1)),
                        )  # fmt: skip
                    finally:
                        self._copy(held, self._parameters)
                    total += batch * found.reshape(turns, -1).sum(axis=1)
            for loss in total / count:
                if len(losses) % EVERY == 0:
                    print(f"Epoch {len(losses)}, loss {loss:f}")
                losses.append(float(loss))
        return losses

    def predict(self, x: Sequences) -> Array:
        """Outputs of a batch, between 0 and 1; nothing is kept for `backward`."""
        return self._outputs(self._read("x", x, time_major=False), TOGETHER)

    def evaluate(self, x: Sequences, y: ArrayLike, batch_size: int = 32) -> tuple[float, float]:
        """How good the predictions are.

        Parameters
        ----------
        x : sequences
        y : array_like of 0 and 1
            As `train` takes it.
        batch_size : int
            Sequences that are read at one time.

        Returns
        -------
        score : float
            Mean loss.
        acc : float
            The part of all outputs that are on the right side of 0.5.
        """
        read = self._read("x", x, time_major=False)
        targets = self._targets("y", y, read, self._every_step(read))
        p = self._outputs(read, check_integer("batch_size", batch_size, least=1))
        right = (p > 0.5) == (targets.reshape(p.shape) == 1)
        return self.loss(targets, p), float(right.mean())

    def _outputs(self, read: Input, together: int) -> Array:
        """Outputs of sequences that are given batch by batch."""
        parts, held = [], self._laid_out(read)
        for start in range(0, read.batch, together):
            part = slice(start, min(start + together, read.batch))
            batch = part.stop - part.start
            if read.is_tokens:
                block = read.tokens.reshape(read.batch, -1)[part].T
                some = read._replace(batch=batch, tokens=np.ascontiguousarray(block).reshape(-1))
            else:
                rows = read.floats.reshape(read.batch, read.time, -1)[part].swapaxes(0, 1)
                some = read._replace(batch=batch, floats=np.ascontiguousarray(rows).reshape(-1))
            parts.append(self._run(some, held, keep=False)[0])
        return np.concatenate(parts)

    def _trainer(self, held: Parameters, every: bool, *, words: bool) -> Trainer:
        if (every, words) not in self._trainers:
            sizes = Sizes(
                RNN_TANH, self.input_size, self.hidden_size, 1, self.output_size,
                words, every, "sigmoid_cross_entropy",
            )  # fmt: skip
            w_ih, w_hh, bias, out, out_bias, end = held.places.offsets
            offsets = np.array([w_ih, w_hh, bias, end, out, out_bias])
            self._trainers[every, words] = Trainer(sizes, held, offsets, OPTIMIZERS["sgd"])
        return self._trainers[every, words]

    def _note_trained_on(self, read: Input) -> None:
        """Keep what decides how later sequences are read."""
        self._trained_on_words = read.is_tokens
        self._trained_in_time = not read.is_tokens and read.time > 1

    def _read(
        self, name: str, x: Sequences, *, time_major: bool = True, tables: bool = False
    ) -> Input:
        """Sequences as the kernels take them."""
        return read_sequences(
            name, x, self.input_size, self.dtype, time_major=time_major,
            trained_on_words=self._trained_on_words,
            tables=tables or not self._trained_in_time,
        )  # fmt: skip

    def _targets(self, name: str, value: ArrayLike, read: Input, every: bool) -> Array:
        """Targets as (rows, O) of 0 and 1."""
        y = as_array(name, value)
        check_bits(name, y)
        shape = self._shape(read, every)
        short = shape[:-1] if self.output_size == 1 else shape
        if y.shape not in (shape, short):
            meaning = "(N, T, O)" if every else "(N, O)"
            raise ValueError(f"{name} must have shape {meaning} = {shape}, got {y.shape}")
        return y.astype(np.int64)

    def _shape(self, read: Input, every: bool) -> tuple[int, ...]:
        """Of the outputs."""
        return (read.batch, *([read.time] if every else []), self.output_size)
