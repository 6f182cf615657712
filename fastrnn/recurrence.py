"""One layer of a cell in its directions, between checked arrays and kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.plan import LayerPlan, plan_layer
from fastrnn.threads import get_threads, run_team
from fastrnn.workspaces import TRUSTED, ArrayPool, WorkspacePool, aligned_empty

#: Bytes from which an array that kernels write begins on a cache line: stores of whole vectors
#: then touch one line, not two. An LSTM of T = 50, N = 32, I = 64, H = 128 that keeps its gates
#: takes 0.85 of the time, in float64 and in float32 (Zen 4).
ALIGNED_BYTES = 1 << 15
#: All parameters' gradients of at least so many bytes take the memory of earlier ones that nobody
#: holds: the system would clear new pages in every call, 3.7 ms of 37 for an LSTM of batch 1,
#: T = 25 and H = 1024.
LENT_BYTES = 1 << 24

#: Gives a new flat array.
Allocate = Callable[[int, np.dtype[Any]], Array]


def new(elements: int, dtype: np.dtype[Any], pool: ArrayPool | None = None) -> Array:
    """A new flat array, on a cache line if it is large; a huge one may be lent by a pool."""
    if not elements:
        return empty(dtype)
    size = elements * dtype.itemsize
    if size < ALIGNED_BYTES:
        return np.empty(elements, dtype)
    if pool is not None and size >= LENT_BYTES:
        return pool.lend(elements, dtype)
    return aligned_empty(elements, dtype)


@functools.cache
def empty(dtype: Any) -> Array:
    """An array of nothing: what is absent, in the type that kernels are compiled for."""
    return np.empty(0, dtype)


class Weights(NamedTuple):
    """Parameters of one direction, each as one dimension; those that are absent are empty."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    #: The cell's weights of one number for each unit, one behind the other.
    units: Array


class Input(NamedTuple):
    """What a layer reads: floats (T, N, I), or tokens (T, N) that stand for one-hot rows."""

    time: int
    batch: int
    size: int
    is_tokens: bool
    floats: Array
    tokens: Array
    #: Whether ``weight_ih`` of tokens lies in memory token by token, as an embedding does.
    token_rows: bool = False


class Shapes(NamedTuple):
    """Shapes of what one layer keeps."""

    h: tuple[int, ...]
    memory: tuple[int, ...]
    saved: tuple[int, ...]


class Kept:
    """What one layer keeps of its forward pass.

    Attributes
    ----------
    h : ndarray (T + D, N, D, H)
        Outputs, time t in slot t + 1, the initial states in the outer slots.
    memory : list of ndarray (S - 1, R, N, H)
        The other states of each direction.
    saved : list of ndarray (T, N, number saved, H)
        What the cell's backward equations need, of each direction; not set behind lengths.
    flat_h, flat_memory, flat_saved : ndarray, and lists of ndarray
        The same, each as one dimension, which is how kernels take them.
    shapes : Shapes
    calls : LayerCalls, optional
        The calls that make it, if they are known: of a copy they are not.
    """

    __slots__ = ("calls", "flat_h", "flat_memory", "flat_saved", "shapes")

    flat_h: Array

    def __init__(self, shapes: Shapes, calls: LayerCalls | None = None) -> None:
        self.shapes, self.calls = shapes, calls
        self.flat_memory: list[Array] = []
        self.flat_saved: list[Array] = []

    def __reduce__(self) -> Any:
        return Kept.of, (self.h, self.memory, self.saved)

    @classmethod
    def of(cls, h: Array, memory: list[Array], saved: list[Array]) -> Kept:
        """Kept arrays of their shapes."""
        kept = cls(Shapes(h.shape, memory[0].shape, saved[0].shape))
        kept.flat_h = h.reshape(-1)
        kept.flat_memory += [array.reshape(-1) for array in memory]
        kept.flat_saved += [array.reshape(-1) for array in saved]
        return kept

    @property
    def h(self) -> Array:  # noqa: D102 - the class says
        return self.flat_h.reshape(self.shapes.h)

    @property
    def memory(self) -> list[Array]:  # noqa: D102
        return [array.reshape(self.shapes.memory) for array in self.flat_memory]

    @property
    def saved(self) -> list[Array]:  # noqa: D102
        return [array.reshape(self.shapes.saved) for array in self.flat_saved]

    @property
    def output(self) -> Array:
        """(T, N, D * H), contiguous."""
        slots, batch, directions, hidden = self.shapes.h
        time = slots - directions
        return self.h[1 : time + 1].reshape(time, batch, directions * hidden)

    def until(self, time: int) -> Kept:
        """What the first `time` steps keep, of one direction forward in time."""
        return Kept.of(
            self.h[: time + 1],
            [array[:, : time + 1] for array in self.memory],
            [array[:time] for array in self.saved],
        )


class States(NamedTuple):
    """Where a layer's initial states are, and on return the last ones: (D, N, H) of each kind."""

    flat: Array
    #: The first element, and those from one kind of state to the next.
    first: int
    stride: int
    #: Whether the initial ones are given; they are zero otherwise.
    given: bool


@functools.cache
def _drivers(cell: Cell, ragged: bool) -> Any:
    """The compiled drivers of a cell; imports numba when first called."""
    from fastrnn.kernels.bound import drivers

    return drivers(cell, ragged=ragged)


class Prepared(NamedTuple):
    """The calls of one direction, all that its sizes say."""

    forward: Any
    backward: Any
    plan: LayerPlan
    #: Shapes of `Kept`'s arrays, and their elements.
    memory: tuple[int, ...]
    memory_size: int
    saved: tuple[int, ...]
    saved_size: int


@functools.lru_cache(maxsize=4096)
def prepared(
    cell: Cell, dtype: np.dtype[Any], time: int, batch: int, inputs: int, hidden: int,
    directions: int, direction: int, tokens: bool, token_rows: bool, keep: bool,
    ragged: bool, threads: int, versioned: bool = False,
) -> Prepared:  # fmt: skip
    """Prepare calls: `ragged` with lengths, `versioned` with the weights' version."""
    plan = plan_layer(
        cell, dtype, time, batch, inputs, hidden, directions=directions, direction=direction,
        tokens=tokens, token_rows=token_rows, keep=keep, repeated=not keep, versioned=versioned,
        threads=threads,
    )  # fmt: skip
    scan, others = plan.layer.scan, len(cell.states) - 1
    memory = (others, scan.ring, batch, hidden)
    saved = (time, batch, len(cell.saved) * scan.keep, hidden)
    drivers = _drivers(cell, ragged)
    return Prepared(
        drivers.forward, drivers.backward, plan, memory, math.prod(memory), saved, math.prod(saved)
    )  # fmt: skip


class LayerCalls:
    """The calls of one layer, in its directions, for inputs of one shape.

    All that sizes say is worked out once: a call of a step of few units takes most of its time
    before and after the kernels.
    """

    __slots__ = ("_calls", "_dtype", "_nothing", "_shapes", "_size", "_unit", "_user", "_x_size",
                 "output", "threads")  # fmt: skip

    def __init__(
        self, cell: Cell, dtype: np.dtype[Any], x: Input, hidden: int, directions: int, *,
        keep: bool, ragged: bool, threads: int, versioned: bool = False, layer: int = 0,
    ) -> None:  # fmt: skip
        self.threads, self._dtype, self._nothing = threads, dtype, empty(dtype)
        self._calls = [
            prepared(
                cell, dtype, x.time, x.batch, x.size, hidden, directions, direction, x.is_tokens,
                x.token_rows, keep, ragged, threads, versioned,
            )
            for direction in range(directions)
        ]  # fmt: skip
        self._unit, self._user = x.batch * hidden, layer * directions
        slot = directions * self._unit
        self._size, self._x_size = (x.time + directions) * slot, x.time * x.batch * x.size
        #: Which numbers of h are the output.
        self.output = slice(slot, (1 + x.time) * slot)
        h = (x.time + directions, x.batch, directions, hidden)
        self._shapes = Shapes(h, self._calls[0].memory, self._calls[0].saved)

    def forward(
        self, flat: Array, first: int, stride: int, given: bool, floats: Array, tokens: Array,
        weights: Sequence[Weights], pool: WorkspacePool, version: int = 0,
        lengths: Array | None = None, allocate: Allocate = new, kept: Kept | None = None,
    ) -> Array:  # fmt: skip
        """Run the layer and return h as `Kept` has it, flat; what else there is goes to `kept`.

        From `first` on, `flat` holds the initial states (D, N, H) if they are `given`, those of
        each kind `stride` numbers behind the others, and on return the last ones. `version` is that
        of the weights if it is not 0: those that lie packed in a workspace need then not be looked
        at. `lengths` (N,) are the steps of each sequence, T if None. Behind them the output is
        zero, but that of a reverse direction is its initial state. `allocate` gives the memory of
        h.
        """
        dtype, user = self._dtype, self._user
        memory = saved = self._nothing
        h = allocate(self._size, dtype)
        if kept is not None:
            kept.flat_h = h
        for direction, call in enumerate(self._calls):
            plan = call.plan
            if call.memory_size:
                memory = new(call.memory_size, dtype)
            if kept is not None:
                saved = new(call.saved_size, dtype)
                kept.flat_memory.append(memory)
                kept.flat_saved.append(saved)
            work = pool.take(plan, dtype, user)
            seal = TRUSTED if plan.kept and version and work.version == version else work.seal
            args = (
                h, memory, saved, flat, first, stride, given, work.numbers, seal, floats, tokens,
                *weights[direction],
            )  # fmt: skip
            run_team(call.forward, plan.threads, _integers(plan, lengths), args)
            work.version = version
            pool.give(work, user)
            first += self._unit
            user += 1
        return h

    def keeping(self) -> Kept:
        """Room for what one call of `forward` keeps."""
        return Kept(self._shapes, self)

    def backward(
        self, x: Input, kept: Kept, d_output: Array, carry: Array, weights: Sequence[Weights],
        grads: Sequence[Sequence[Array]], pool: WorkspacePool, *, wants_x: bool, wants_state: bool,
        lengths: Array | None = None, allocate: Allocate = new,
    ) -> Array:  # fmt: skip
        """See `backward`; `carry` is flat.

        `lengths` are those of `forward`; behind them `d_output` is not read, the result not set.
        `allocate` gives the memory of the result.
        """
        dtype = self._dtype
        d_x = allocate(self._x_size, dtype) if wants_x else self._nothing
        size = carry.size // len(weights)
        for direction, call in enumerate(self._calls):
            plan, w = call.plan, weights[direction]
            work = pool.take(plan, dtype, 0)
            of_direction = carry[direction * size : (direction + 1) * size]
            args = (
                *grads[direction], d_x, direction > 0, of_direction, wants_state, work.numbers,
                d_output, kept.flat_h, kept.flat_memory[direction], kept.flat_saved[direction],
                x.floats, x.tokens, w.weight_ih, w.weight_hh, w.units,
            )  # fmt: skip
            run_team(call.backward, plan.threads, _integers(plan, lengths), args)
            pool.give(work, 0)
        return d_x


def forward(
    cell: Cell, x: Input, states: States, hidden: int, weights: Sequence[Weights],
    pool: WorkspacePool, *, keep: bool,
) -> Kept:  # fmt: skip
    """Run one layer from its initial states, in whose place its last ones are on return."""
    calls = LayerCalls(
        cell, weights[0].weight_ih.dtype, x, hidden, len(weights), keep=keep, ragged=False,
        threads=get_threads(),
    )  # fmt: skip
    kept = calls.keeping()
    calls.forward(*states, x.floats, x.tokens, weights, pool, kept=kept)
    return kept


def backward(
    cell: Cell, x: Input, kept: Kept, d_output: Array, carry: Array, weights: Sequence[Weights],
    grads: Sequence[Weights], pool: WorkspacePool, *, wants_x: bool, wants_state: bool = True,
) -> Array:  # fmt: skip
    """BPTT of one layer: set `grads` and return the gradient of the input, empty if not wanted.

    `carry` (D, S, N, H) holds the gradients of the last states, and on return those of the initial
    states if they are wanted.
    """
    calls = calls_of(cell, carry.dtype, x, kept, get_threads(), ragged=False)
    return calls.backward(
        x, kept, d_output, carry.reshape(-1), weights, grads, pool, wants_x=wants_x,
        wants_state=wants_state,
    )  # fmt: skip


def calls_of(
    cell: Cell, dtype: np.dtype[Any], x: Input, kept: Kept, threads: int, *, ragged: bool
) -> LayerCalls:
    """Those that made what is kept, if they are known and as many threads are wanted."""
    if kept.calls is not None and kept.calls.threads == threads:
        return kept.calls
    _, _, directions, hidden = kept.shapes.h
    return LayerCalls(cell, dtype, x, hidden, directions, keep=True, ragged=ragged, threads=threads)


def _integers(plan: LayerPlan, lengths: Array | None) -> Array:
    """What drivers take as a plan."""
    return plan.numbers if lengths is None else np.concatenate((plan.numbers, lengths))


def sort_rows(out: Array, source: Array, width: int, lengths: Array, order: Array) -> None:
    """See `fastrnn.kernels.rows.sort_rows`."""
    _row_drivers().sort(out, source, width, lengths, order)


def unsort_rows(out: Array, source: Array, width: int, lengths: Array, order: Array) -> None:
    """See `fastrnn.kernels.rows.unsort_rows`."""
    _row_drivers().unsort(out, source, width, lengths, order)


def clear_padding(padded: Array, width: int, lengths: Array) -> None:
    """See `fastrnn.kernels.rows.clear_padding`."""
    _row_drivers().clear(padded, width, lengths)


def take_rows(source: Array, places: Array, width: int) -> Array:
    """Row ``places[i]`` of `source`, flat, as row i of a new array."""
    out = np.empty(places.size * width, source.dtype)
    _row_drivers().take(out, source, width, places)
    return out


@functools.cache
def _row_drivers() -> Any:
    from fastrnn.kernels.bound import row_drivers

    return row_drivers()
