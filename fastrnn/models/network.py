"""A network on sequences: word vectors, recurrent layers, a linear head, a loss, and its steps.

There is one way through it, whatever the options. On batches of 32 sequences, one thread, a step
spends 70 us outside of the kernels (Zen 4). Whole epochs in one call of `fastrnn.sequences` took
1/2.1 of the time for 20 steps of an RNN of 32 units, 1/1.3 for 100, and 1/1.05 for LSTMs of 128
units; but it knows one length, one direction and one thread, and neither weights nor words'
vectors, and two threads take 0.6 of its time for the latter.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import Array, check_floats, check_integer, check_shape
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.layers import OneHot, Recurrent, Tape
from fastrnn.models.examples import Examples, Integers, Sizes
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.params import Parameters, Spec
from fastrnn.simd.functions import sigmoid
from fastrnn.slices import in_slices
from fastrnn.training import NonFiniteGradientError

#: Steps of sequences that inference reads at one time, about.
TOGETHER = 1 << 15


class SequenceNetwork:
    """Recurrent layers between words' vectors and a linear head, trained by gradient descent.

    Parameters
    ----------
    sizes : Sizes
    dtype : {float32, float64}
    optimizer : str
        One of `fastrnn.optimizers.OPTIMIZERS`.
    seed : int
        Of the initial parameters, uniform in one over the root of what each reads, of words'
        vectors, normal, and of dropout.
    embedding : ndarray (V, E), optional
        Words' vectors to begin with.

    Attributes
    ----------
    layer : Recurrent
    parameters : Parameters
        Those of the layers, then weight_out (K, D*H), bias_out (K,), and embedding (V, E) if it is
        learned.
    grads, slots : ndarray (size,), (slots of the optimiser, size)
    done : int
        Steps of training.
    """

    def __init__(
        self,
        sizes: Sizes,
        dtype: np.dtype[Any],
        optimizer: str,
        seed: int,
        embedding: Array | None = None,
    ) -> None:
        self.sizes, self.optimizer = sizes, OPTIMIZERS[optimizer]
        self.layer: Recurrent[Any] = Recurrent(
            sizes.cell, sizes.embedding or sizes.inputs, sizes.hidden, sizes.layers,
            bidirectional=sizes.bidirectional, dropout=sizes.dropout, dtype=dtype, seed=seed,
        )  # fmt: skip
        self.width = self.layer.directions * sizes.hidden
        specs = [
            *self.layer._parameters.specs,
            Spec("weight_out", (sizes.outputs, self.width), "(K, D*H)"),
            Spec("bias_out", (sizes.outputs,), "(K,)"),
        ]
        table = (sizes.inputs, sizes.embedding)
        if sizes.embedding and sizes.trains_embedding:
            specs.append(Spec("embedding", table, "(V, E)"))
        self.parameters = Parameters(specs, dtype)
        flat, views = self.flat, self.parameters.views
        self._inner = self.layer.flat.size
        self._generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2])
        limit = 1 / math.sqrt(self.width)
        for name in ("weight_out", "bias_out"):
            views[name][...] = self._generator.uniform(-limit, limit, views[name].shape)
        self._table = np.empty(0 if sizes.trains_embedding else table, dtype)
        if sizes.embedding:
            self.embedding[...] = (
                self._generator.standard_normal(table) if embedding is None else embedding
            )
        self.slots = np.zeros((self.optimizer.slots, flat.size), dtype)
        self.done = 0
        self._spans = self._decayed()
        self._connect()

    def _connect(self) -> None:
        """Let the layers lie in the buffer of all parameters; gradients are laid out like it."""
        self.layer.move_to(self.flat[: self._inner])
        self.grads = np.zeros_like(self.flat)
        self._grad_views = self.parameters.places.views(self.grads)

    @property
    def flat(self) -> Array:
        """All parameters."""
        return self.parameters.flat

    @property
    def embedding(self) -> Array:
        """Words' vectors (V, E), learned or frozen."""
        return self.parameters.views["embedding"] if self.sizes.trains_embedding else self._table

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file keeps: JSON and tensors, by which `restored` makes another one."""
        sizes = self.sizes._asdict() | {"cell": self.sizes.cell.name}
        config = {
            "sizes": sizes,
            "optimizer": self.optimizer.name,
            "done": self.done,
            "generator": self._generator.bit_generator.state,
        }
        tensors = dict(self.parameters.views) | {"training.slots": self.slots}
        if self.sizes.embedding:
            tensors["embedding"] = self.embedding
        return config, tensors

    @classmethod
    def restored(
        cls, config: dict[str, Any], tensors: dict[str, Array], cell: Cell, dtype: np.dtype[Any]
    ) -> SequenceNetwork:
        """One from its `state`; KeyError, TypeError or ValueError if that is none."""
        sizes = Sizes(**config["sizes"] | {"cell": cell})
        _check_sizes(sizes, tensors)
        table = tensors["embedding"] if sizes.embedding else None
        network = cls(sizes, dtype, config["optimizer"], 0, table)
        slots = check_floats("training.slots", tensors.pop("training.slots"), dtype)
        check_shape("training.slots", slots, network.slots.shape, "(slots, all parameters)")
        if not sizes.trains_embedding and sizes.embedding:
            del tensors["embedding"]
        network.parameters.load_state_dict(tensors)
        network.slots[...] = slots
        network.done = check_integer("done", config["done"], least=0)
        network._generator.bit_generator.state = config["generator"]
        return network

    def __getstate__(self) -> dict[str, Any]:
        kept = dict(vars(self))
        for name in ("grads", "_grad_views", "_drivers", "_weighted_loss"):
            kept.pop(name, None)
        return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        # Copies, since what was pickled may lie in a file.
        old = self.parameters
        self.parameters = Parameters(old.specs, old.flat.dtype, np.array(old.flat))
        self.slots, self._table = np.array(self.slots), np.array(self._table)
        self._connect()

    @functools.cached_property
    def _drivers(self) -> Any:
        """What a step does besides the layers; imports numba when first asked for."""
        from fastrnn.kernels.bound import step_drivers

        return step_drivers(self.optimizer)

    @functools.cached_property
    def _weighted_loss(self) -> Any:
        from fastrnn.kernels.bound import loss_driver

        return loss_driver(self.sizes.loss, self.sizes.activation)

    def _decayed(self) -> Integers:
        """Where the weights lie that L2 draws to zero: all but biases and words' vectors."""
        offsets = self.parameters.places.offsets
        spans = [
            offsets[i : i + 2]
            for i, spec in enumerate(self.parameters.specs)
            if not spec.name.startswith("bias") and spec.name != "embedding"
        ]
        return np.array(spans, np.int64).reshape(-1)

    def _read(self, x: Array) -> Any:
        """What the layers read."""
        if not self.sizes.tokens:
            return x
        if not self.sizes.embedding:
            return OneHot(x)
        rows = recurrence.take_rows(self.embedding.reshape(-1), x.reshape(-1), self.sizes.embedding)
        return rows.reshape(*x.shape, self.sizes.embedding)

    def _states(self, output: Array, state: Any) -> Array:
        """What the head reads: the outputs of all steps, or the last states, as rows."""
        if self.sizes.every_step:
            return output.reshape(-1, self.width)
        h = state if isinstance(state, np.ndarray) else state[0]
        return h[-self.layer.directions :].swapaxes(0, 1).reshape(-1, self.width)

    def outputs(self, examples: Examples) -> Array:
        """Probabilities or values, (N, K), or (N, T, K) of every step, zero beyond the lengths."""
        count, time = examples.number, len(examples.x)
        views, sizes = self.parameters.views, self.sizes
        shape = (count, time) if sizes.every_step else (count,)
        found = np.zeros((*shape, sizes.outputs), self.flat.dtype)
        together = max(1, TOGETHER // time)
        for start in range(0, count, together):
            some = np.arange(start, min(start + together, count))
            batch = examples._replace(targets=np.empty(0), weights=np.empty(0)).take(some)
            output, state = self.layer(self._read(batch.x), lengths=batch.lengths)
            z = self._states(output, state) @ views["weight_out"].T + views["bias_out"]
            values = self._activated(z)
            if sizes.every_step:
                steps = len(batch.x)
                values = values.reshape(steps, len(some), -1).swapaxes(0, 1)
                found[some, :steps] = values
            else:
                found[some] = values
        if sizes.every_step and examples.lengths is not None:
            found[np.arange(time) >= examples.lengths[:, None]] = 0
        return found

    def _activated(self, z: Array) -> Array:
        if self.sizes.loss == "softmax_cross_entropy":
            return softmax(z)
        g = ACTIVATIONS[self.sizes.activation][0]
        values: Array = sigmoid(z) if self.sizes.loss == "sigmoid_cross_entropy" else g(z)
        return values

    def gradient(self, batch: Examples, l2: float = 0.0) -> float:
        """Set `grads` to the gradient of the loss; the loss.

        It is the mean over rows, weighted, plus ``l2 / 2`` times the sum of squares of all
        weights but biases and words' vectors.
        """
        sizes, views, grads = self.sizes, self.parameters.views, self._grad_views
        layer = self.layer
        output, state, tape = layer.forward(self._read(batch.x), lengths=batch.lengths)
        read = self._states(output, state)
        mask = None
        if sizes.dropout:
            mask = self._mask(read.shape)
            read = read * mask
        z = read @ views["weight_out"].T
        z += views["bias_out"]
        scale = 1 / max(1, batch.rows)
        loss = scale * self._weighted_loss(
            z.reshape(-1), batch.targets.reshape(-1), batch.weights.reshape(-1), sizes.outputs,
            scale,
        )  # fmt: skip
        np.matmul(z.T, read, out=grads["weight_out"])
        np.sum(z, axis=0, out=grads["bias_out"])
        d_read = z @ views["weight_out"]
        if mask is not None:
            d_read *= mask
        d_x = self._through_layers(tape, d_read, batch)
        if d_x is not None:
            grads["embedding"][...] = 0
            self._drivers.add_embedded(
                grads["embedding"].reshape(-1), d_x.reshape(-1), batch.x.reshape(-1),
                sizes.embedding,
            )  # fmt: skip
        if l2:
            square = self._drivers.decay(self.grads, self.flat, self._spans, l2)
            loss += 0.5 * l2 * square
        return float(loss)

    def _through_layers(self, tape: Tape, d_read: Array, batch: Examples) -> Array | None:
        """Set the layers' gradients; that of words' vectors in their order, if they are learned."""
        layer, sizes, count = self.layer, self.sizes, batch.number
        d_output, d_state = None, None
        if sizes.every_step:
            d_output = d_read.reshape(len(batch.x), count, self.width)
        else:
            states = len(sizes.cell.states)
            shape = (states, sizes.layers * layer.directions, count, sizes.hidden)
            d_states = np.zeros(shape, layer.dtype)
            by_direction = d_read.reshape(count, layer.directions, sizes.hidden).swapaxes(0, 1)
            d_states[0, -layer.directions :] = by_direction
            d_state = tuple(d_states) if states > 1 else d_states[0]
        wants_x = bool(sizes.embedding) and sizes.trains_embedding
        found = layer.backward(tape, d_output, d_state, wants_x=wants_x, wants_state=False)
        self.grads[: self._inner] = found.flat
        return found.x

    def _mask(self, shape: tuple[int, ...]) -> Array:
        rate, dtype = self.sizes.dropout, self.layer.dtype
        kept = self._generator.random(shape, np.float32) >= rate
        mask: Array = kept * dtype.type(1 / (1 - rate))
        return mask

    def step(self, batch: Examples, hyper: Array, l2: float, clip_norm: float) -> float:
        """One step of training; the loss before it.

        Raises
        ------
        NonFiniteGradientError
            The parameters are those before the step.
        """
        loss = self.gradient(batch, l2)
        norm = self._drivers.descend(
            self.flat, self.grads, self.slots.reshape(-1), clip_norm, hyper
        )
        if not math.isfinite(norm):
            first = int(np.flatnonzero(~np.isfinite(self.grads))[0])
            name = self.parameters.places.owner(first)
            raise NonFiniteGradientError(name, self.done + 1, float(self.grads[first]))
        self.done += 1
        return loss

    def train(
        self,
        examples: Examples,
        order: Integers,
        starts: Integers,
        stops: Integers,
        hypers: Array,
        *,
        l2: float,
        clip_norm: float,
        seen: Callable[[Array, int], None],
    ) -> None:
        """Train so many steps, in slices between which Ctrl-C is heard.

        Parameters
        ----------
        examples : Examples
        order, starts, stops : ndarray of int64
            Step s has the examples ``order[starts[s]:stops[s]]``.
        hypers : ndarray (steps, 9)
            A `Hyper` for each step.
        l2, clip_norm : float
        seen : callable
            Called with the losses and the number of steps done after each slice.
        """
        losses = np.empty(len(starts))

        def some(first: int, count: int) -> None:
            for k in range(first, first + count):
                batch = examples.take(order[starts[k] : stops[k]])
                losses[k] = self.step(batch, hypers[k], l2, clip_norm)
            seen(losses, first + count)

        in_slices(len(starts), some)


def _check_sizes(sizes: Sizes, tensors: dict[str, Array]) -> None:
    """ValueError unless the sizes are those of tensors: before memory is asked for by them."""
    directions = 2 if sizes.bidirectional else 1
    wanted = {
        "weight_ih_l0": (len(sizes.cell.gates) * sizes.hidden, sizes.embedding or sizes.inputs),
        "weight_out": (sizes.outputs, directions * sizes.hidden),
    }
    if sizes.embedding:
        wanted["embedding"] = (sizes.inputs, sizes.embedding)
    for name, shape in wanted.items():
        check_shape(name, tensors[name], shape, "its sizes")
    if sizes.layers > len(tensors):
        raise ValueError(f"layers must be those of {len(tensors)} tensors, got {sizes.layers}")


def softmax(z: Array) -> Array:
    """Probabilities (R, K) from logits."""
    grown = np.exp(z - z.max(axis=1, keepdims=True))
    p: Array = grown / grown.sum(axis=1, keepdims=True)
    return p
