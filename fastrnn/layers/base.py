"""What all recurrent layers share: parameters, checks, stacking, directions, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import (
    Array,
    FixedSizes,
    check_bool,
    check_dtype,
    check_integer,
    check_lengths,
    check_number,
    check_seed,
)
from fastrnn.explain import Plan, explain
from fastrnn.layers.calls import PreparedLayers
from fastrnn.layers.layouts import Layouts
from fastrnn.layers.lengths import Ragged, ways
from fastrnn.layers.values import Grads, OneHot, State, Tape
from fastrnn.params import HasParameters, Parameters
from fastrnn.recurrence import Input, Weights, calls_of
from fastrnn.streaming import Stream
from fastrnn.threads import check_threads, get_threads
from fastrnn.workspaces import WorkspacePool

#: Shapes of inputs for which a layer remembers how it runs them.
SHAPES_MAX = 256


class Recurrent(FixedSizes, HasParameters, Layouts[State]):
    """Stacked, optionally bidirectional layers of one cell; `RNN` describes the parameters."""

    _fixed = frozenset(
        {"cell", "input_size", "hidden_size", "num_layers", "bias", "bidirectional"}
        | {"directions", "dtype", "nonlinearity", "reset_after"}
    )

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        if not isinstance(cell, Cell):
            raise TypeError(f"cell must be a Cell, such as fastrnn.cells.MGU, got {cell!r}")
        self.cell = cell
        self.input_size = check_integer("input_size", input_size, least=1)
        self.hidden_size = check_integer("hidden_size", hidden_size, least=1)
        self.num_layers = check_integer("num_layers", num_layers, least=1)
        self.bias = check_bool("bias", bias)
        self.batch_first = check_bool("batch_first", batch_first)
        self.dropout = check_number("dropout", dropout, least=0, most=1)
        self.bidirectional = check_bool("bidirectional", bidirectional)
        self.dtype = check_dtype(dtype)
        self.threads = None if threads is None else check_threads(threads)
        self.directions = 2 if bidirectional else 1
        #: Numbers that a step of all layers multiplies, but for the input's.
        self._later_reads = self.hidden_size * (
            self.directions * (self.num_layers - 1) + self.num_layers * self.cell.recurrent
        )
        self._parameters = Parameters(self._specs(), self.dtype)
        self._spans = self._find_spans(self._parameters.places)
        self._own_weights: dict[int, list[Weights]] = {}
        self._calls: dict[tuple[Any, ...], PreparedLayers] = {}
        self._pool = WorkspacePool()
        seeds = np.random.SeedSequence(check_seed(seed)).spawn(2)
        limit = 1 / np.sqrt(self.hidden_size)
        self.flat[...] = np.random.default_rng(seeds[0]).uniform(-limit, limit, self.flat.size)
        self._dropout_seed = seeds[1]

    def move_to(self, flat: Array) -> None:
        """Let the parameters lie in `flat` (all parameters,), a part of a larger buffer."""
        flat[...] = self.flat
        self._parameters = Parameters(self._parameters.specs, self.dtype, flat)
        self._own_weights, self._calls = {}, {}

    def __call__(
        self, x: ArrayLike | OneHot, state: Any = None, lengths: ArrayLike | None = None
    ) -> tuple[Array, State]:
        """Run the layers for inference; nothing is kept, and dropout does not act.

        Parameters
        ----------
        x : array_like (T, N, I), or (N, T, I) with ``batch_first``, or (T, I); or OneHot
        state : ndarray (L*D, N, H), or (L*D, H) unbatched, or a tuple of them; zeros if None
        lengths : array_like of int (N,), or () unbatched, optional
            Steps of each sequence, from 0 to T, in any order; T if None. What `x` holds from
            there on is not read, and the second direction begins at the sequence's last step: as
            ``torch.nn``'s layers run what ``pack_padded_sequence`` packs.

        Returns
        -------
        output : ndarray (T, N, D*H), or as `x` is laid out
            The last layer's h of every time; zero beyond a sequence's length.
        state : as `state`
            Each layer's and direction's state after each sequence's last step, the initial one
            where there is none.

        Raises
        ------
        TypeError, ValueError
            For a wrong type, precision or shape, or lengths outside [0, T], before any work.
        """
        if state is None and lengths is None and self._is_plain(x):
            # As most calls, of a shape that has come before: 1 us sooner.
            found = self._calls.get((x.shape, self._team))
            if found is not None:
                output, ends = found(x.ravel(), self._parameters.version())
                return output, self._state_out(ends, True)
        current, batched = self._input(x)
        states = self._state_arrays("state", state, current.batch, batched)
        ragged = self._ragged(lengths, current, batched, keep=False)
        if ragged:
            output, ends = self._call_ragged(current, states, ragged)
        else:
            run = self._prepared(current, keep=False)
            version = self._parameters.version()
            output, ends = run(current.floats, version, current.tokens, states)
        return self._laid_out(output, batched), self._state_out(ends, batched)

    def forward(
        self, x: ArrayLike | OneHot, state: Any = None, lengths: ArrayLike | None = None
    ) -> tuple[Array, State, Tape]:
        """Run the layers and keep, in the tape, what `backward` needs; dropout acts.

        Arguments, results and errors are those of calling the layer. The output is read-only,
        since the tape may hold the same memory.
        """
        current, batched = self._input(x)
        states = self._state_arrays("state", state, current.batch, batched)
        ragged = self._ragged(lengths, current, batched, keep=True)
        if ragged:
            current = ragged.input(current)
            states = [ragged.states(value) for value in states] if states else None
        told, allocate = ways(ragged)
        run = self._prepared(current, keep=True, ragged=told is not None)
        tape = Tape(self._parameters, batched, ragged)
        ends = run.initial_states(states)
        flat = ends.ravel()
        for layer, (calls, weights, first, stride) in enumerate(run.layers):
            kept = calls.keeping()
            h = calls.forward(
                flat, first, stride, states is not None, current.floats, current.tokens, weights,
                self._pool, 0, told, allocate, kept,
            )  # fmt: skip
            tape.inputs.append(current)
            tape.kept.append(kept)
            floats = h[calls.output]
            if layer < self.num_layers - 1:
                if self.dropout:
                    tape.masks.append(self._mask(run.output))
                    floats = floats * tape.masks[-1].reshape(-1)
                current = run.as_input(floats)
        output = floats.reshape(run.output)
        if ragged:
            output = self._padded(ragged, output, states, keep=True)
            ends = ragged.padded_states(ends)
        output = self._laid_out(output, batched)
        output.flags.writeable = False
        return output, self._state_out(ends, batched), tape

    def backward(
        self,
        tape: Tape,
        d_output: ArrayLike | None = None,
        d_state: Any = None,
        *,
        wants_x: bool = True,
        wants_state: bool = True,
    ) -> Grads[State]:
        """Backpropagate through time.

        Parameters
        ----------
        tape : Tape
            Of a call of `forward`. It can be used again.
        d_output : array_like, of the output's shape, optional
            Gradient of the loss by the output; zero if None. What it holds beyond a sequence's
            length is not read, and the input's gradient is zero there.
        d_state : as the final state, optional
            Gradient of the loss by the final state; zero if None.
        wants_x, wants_state : bool
            Whether to compute the gradients of the input and of the initial state.

        Returns
        -------
        Grads

        Raises
        ------
        TypeError, ValueError
            For a wrong type, precision or shape, before any work.
        """
        if not isinstance(tape, Tape):
            raise TypeError(f"tape must be what forward returned, got {type(tape).__name__}")
        wants_x = check_bool("wants_x", wants_x)
        wants_state = check_bool("wants_state", wants_state)
        if tape.layer is not self._parameters:
            raise ValueError("tape must be of this layer, got one of another layer")
        if not tape.inputs:
            raise ValueError("tape must be what forward returned, got an empty one")
        read, ragged = tape.inputs[0], tape.ragged
        padded = ragged or read
        ragged = ragged and ragged.borrowing(self._pool.arrays)
        d_outputs = recurrence.empty(self.dtype)
        if d_output is not None:
            shape = (padded.time, padded.batch, self.directions * self.hidden_size)
            d_outputs = self._d_output(d_output, shape, tape.batched)
            d_outputs = ragged.take(d_outputs, shape[2]) if ragged else d_outputs
        d_final = self._state_arrays("d_state", d_state, padded.batch, tape.batched)
        rows = self.num_layers * self.directions
        carry = np.zeros((rows, len(self.cell.states), padded.batch, self.hidden_size), self.dtype)
        for i, values in enumerate(d_final or ()):
            carry[:, i] = values
        carry = ragged.states(carry) if ragged else carry
        told, allocate = ways(ragged)
        flat = recurrence.new(self._parameters.flat.size, self.dtype, self._pool.gradients)
        carries, unit = carry.ravel(), carry.size // self.num_layers
        threads = self._team
        for layer in reversed(range(self.num_layers)):
            if layer < self.num_layers - 1 and tape.masks:
                # In padding is anything.
                with np.errstate(all="ignore"):
                    d_outputs = d_outputs * tape.masks[layer].reshape(-1)
            x, kept = tape.inputs[layer], tape.kept[layer]
            calls = calls_of(self.cell, self.dtype, x, kept, threads, ragged=told is not None)
            d_outputs = calls.backward(
                x, kept, d_outputs, carries[layer * unit : (layer + 1) * unit],
                self._weights(layer), self._weights_in(flat, layer), self._pool,
                wants_x=layer > 0 or (wants_x and not read.is_tokens), wants_state=wants_state,
                lengths=told, allocate=allocate,
            )  # fmt: skip
        d_x = None
        if wants_x and not read.is_tokens:
            if ragged:
                d_outputs = ragged.padded(d_outputs, self.input_size, clear=True)
            array = d_outputs.reshape(padded.time, padded.batch, self.input_size)
            d_x = self._laid_out(array, tape.batched)
        d_initial = None
        if wants_state:
            carry = ragged.padded_states(carry) if ragged else carry
            d_initial = self._state_out(carry.swapaxes(0, 1), tape.batched)
        if ragged:
            ragged.give_back()
        return Grads(d_x, d_initial, flat, self._parameters.places)

    def stream(
        self, batch: int = 1, *, readout: tuple[ArrayLike, ArrayLike | None] | None = None
    ) -> Stream:
        """A stream of these layers with their present parameters, from states of zero.

        Parameters
        ----------
        batch : int
            N, sequences that go on together.
        readout : pair of array_like (O, H) and (O,), optional
            Weight and bias (or None) of a linear output of the last layer's h.

        Returns
        -------
        Stream

        Raises
        ------
        ValueError
            If the layers are bidirectional: the second direction begins at the end.
        """
        if self.bidirectional:
            raise ValueError("a stream must have one direction, and the layers are bidirectional")
        count = check_integer("batch", batch, least=1)
        weights = [self._weights(layer)[0] for layer in range(self.num_layers)]
        return Stream(self.cell, weights, self.input_size, self.hidden_size, count, readout)

    def plan(self, time: int, batch: int = 1, *, training: bool = False) -> Plan:
        """What a call for an input of (T, N, I) does, and why; print it.

        Parameters
        ----------
        time, batch : int
            T and N.
        training : bool
            Whether it is `forward`, which keeps what `backward` needs.
        """
        sizes = [
            (
                f"l{layer}{end}",
                self.input_size if layer == 0 else self.directions * self.hidden_size,
            )
            for layer in range(self.num_layers)
            for end in ("", "_reverse")[: self.directions]
        ]
        return explain(
            f"{self!r} on x ({time}, {batch}, {self.input_size})", self.cell, self.dtype,
            check_integer("time", time, least=0), check_integer("batch", batch, least=0),
            sizes, self.hidden_size, self.directions,
            keep=training, threads=self._team,
        )  # fmt: skip

    def _call_ragged(
        self, x: Input, states: list[Array] | None, ragged: Ragged
    ) -> tuple[Array, Array]:
        read = ragged.input(x)
        told, allocate = ways(ragged)
        own = [ragged.states(value) for value in states] if states else None
        run = self._prepared(read, keep=False, ragged=told is not None)
        version = self._parameters.version()
        output, ends = run(read.floats, version, read.tokens, own, told, allocate)
        output = self._padded(ragged, output, states, keep=False)
        ragged.give_back()
        return output, ragged.padded_states(ends)

    def _padded(
        self, ragged: Ragged, output: Array, states: list[Array] | None, *, keep: bool
    ) -> Array:
        # In padding stands what a reverse direction began from.
        clear = bool(states and self.bidirectional)
        return ragged.padded(output.reshape(-1), output.shape[2], clear=clear, spare_rows=keep)

    def _prepared(self, x: Input, *, keep: bool, ragged: bool = False) -> PreparedLayers:
        """What runs inputs of the shape of `x`, for training if they `keep`."""
        threads = self._team
        # Inference of floats has the shortest, that of most calls.
        key: tuple[Any, ...] = ((x.time, x.batch, x.size), threads)
        if x.is_tokens or keep or ragged:
            key += (x.is_tokens, keep, ragged)
        calls = self._calls  # `move_to` replaces it
        found = calls.get(key)
        if found is None:
            weights = [self._weights(layer) for layer in range(self.num_layers)]
            found = PreparedLayers(
                self.cell, x, self.hidden_size, weights, self._pool,
                keep=keep, ragged=ragged, threads=threads,
            )  # fmt: skip
            if len(calls) >= SHAPES_MAX:
                calls.clear()
            calls[key] = found
        return found

    def _ragged(
        self, lengths: ArrayLike | None, x: Input, batched: bool, *, keep: bool
    ) -> Ragged | None:
        """How sequences are run that do not all have T steps."""
        if lengths is None:
            return None
        shape = (x.batch,) if batched else ()
        checked, longest, total = check_lengths("lengths", lengths, x.time, shape)
        if total == x.time * x.batch:
            return None
        # A token takes one column of the weights.
        read, width = 1 if x.is_tokens else self.input_size, self.directions * self.hidden_size
        work = len(self.cell.gates) * width * (read + self._later_reads)
        # Training multiplies thrice, and sorts the gradients, too.
        ragged = Ragged(
            checked, x.time, longest, total, step_work=work * (3 if keep else 1),
            step_numbers=(read + width) * (2 if keep else 1),
        )  # fmt: skip
        return ragged.borrowing(self._pool.arrays)

    def _mask(self, shape: tuple[int, ...]) -> Array:
        (seed,) = self._dropout_seed.spawn(1)
        kept = np.random.default_rng(seed).random(shape, np.float32) >= self.dropout
        mask: Array = kept * self.dtype.type(1 / (1 - self.dropout) if self.dropout < 1 else 0)
        return mask

    @property
    def _team(self) -> int:
        """How many threads a call may use."""
        return self.threads or get_threads()

    def _weights(self, layer: int) -> list[Weights]:
        if layer not in self._own_weights:
            parts = self._weights_in(self._parameters.flat, layer)
            self._own_weights[layer] = [Weights._make(of_direction) for of_direction in parts]
        return self._own_weights[layer]

    def __getstate__(self) -> dict[str, Any]:
        # A deep copy has parameters of its own.
        return self.__dict__ | {"_own_weights": {}, "_calls": {}}

    def __repr__(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if type(self) is Recurrent:
            parts.insert(0, self.cell.name)
        for name, default in (
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0.0),
            ("bidirectional", False),
            ("nonlinearity", "tanh"),
            ("reset_after", True),
            ("threads", None),
        ):
            if getattr(self, name, default) != default:
                parts.append(f"{name}={getattr(self, name)!r}")
        parts.append(f"dtype={self.dtype.name}")
        return f"{type(self).__name__}({', '.join(parts)})"
