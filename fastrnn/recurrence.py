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


class Kept(NamedTuple):
    """What one layer keeps of its forward pass.

    Attributes
    ----------
    h : ndarray (T + D, N, D, H)
        Outputs, time t in slot t + 1, the initial states in the outer slots.
    memory : list of ndarray (S - 1, R, N, H)
        The other states of each direction.
    saved : list of ndarray (T, N, number saved, H)
        What the cell's backward equations need, of each direction; not set behind lengths.
    calls : list of Prepared
        The calls that made it, if they are known: of a copy they are not.
    """

    h: Array
    memory: list[Array]
    saved: list[Array]
    calls: Sequence[Prepared] = ()

    def __reduce__(self) -> Any:
        return Kept, self[:3]

    @property
    def output(self) -> Array:
        """(T, N, D * H), contiguous."""
        slots, batch, directions, hidden = self.h.shape
        time = slots - directions
        return self.h[1 : time + 1].reshape(time, batch, directions * hidden)


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
    """A forward call of one direction, all that its sizes say."""

    forward: Any
    backward: Any
    threads: int
    plan: LayerPlan
    dtype: np.dtype[Any]
    #: Shapes of `Kept`'s arrays, and their elements.
    memory: tuple[int, ...]
    memory_size: int
    saved: tuple[int, ...]
    saved_size: int

    def run(
        self, h: Array, memory: Array, saved: Array, states: tuple[Array, int, int, bool],
        floats: Array, tokens: Array, weights: Weights, pool: WorkspacePool, user: int,
        version: int, lengths: Array | None = None,
    ) -> None:  # fmt: skip
        """Make the call, all arrays flat, `states` what `States` holds: a tuple takes less time.

        `user` numbers the layer and direction whose weights they are, `version` says which they are
        if it is not 0: those that lie packed in a workspace need then not be looked at.
        """
        plan = self.plan
        work = pool.take(plan, self.dtype, user)
        seal = TRUSTED if plan.kept and version and work.version == version else work.seal
        run_team(
            self.forward, plan.threads, _integers(plan, lengths), h, memory, saved, *states,
            work.numbers, seal, floats, tokens, *weights,
        )  # fmt: skip
        work.version = version
        pool.give(work, user)


@functools.lru_cache(maxsize=4096)
def prepared(
    cell: Cell, dtype: np.dtype[Any], time: int, batch: int, inputs: int, hidden: int,
    directions: int, direction: int, tokens: bool, token_rows: bool, keep: bool,
    ragged: bool, threads: int, versioned: bool = False,
) -> Prepared:  # fmt: skip
    """Prepare a forward call: `ragged` with lengths, `versioned` with the weights' version."""
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
        drivers.forward, drivers.backward, threads, plan, dtype, memory, math.prod(memory), saved,
        math.prod(saved),
    )  # fmt: skip


def forward(
    cell: Cell,
    x: Input,
    states: States,
    hidden: int,
    weights: Sequence[Weights],
    pool: WorkspacePool,
    *,
    keep: bool,
    layer: int = 0,
    threads: int | None = None,
    allocate: Allocate = new,
    lengths: Array | None = None,
) -> Kept:
    """Run one layer from its initial states, in whose place its last ones are on return.

    `layer` is its number among those that share the pool.
    `allocate` gives the memory of ``Kept.h``.
    `threads` is the largest team, as `fastrnn.set_threads` says if None.
    `lengths` (N,) are the steps of each sequence, T if None. Behind them the output is zero, but
    that of a reverse direction is its initial state.
    """
    directions = len(weights)
    dtype = weights[0].weight_ih.dtype
    slots, unit = x.time + directions, x.batch * hidden
    h = allocate(slots * directions * unit, dtype)
    calls: list[Prepared] = []
    kept = Kept(h.reshape(slots, x.batch, directions, hidden), [], [], calls)
    for direction, w in enumerate(weights):
        call = prepared(
            cell, dtype, x.time, x.batch, x.size, hidden, directions, direction, x.is_tokens,
            x.token_rows, keep, lengths is not None, threads or get_threads(),
        )  # fmt: skip
        memory, saved = new(call.memory_size, dtype), new(call.saved_size, dtype)
        if keep:
            calls.append(call)
            kept.memory.append(memory.reshape(call.memory))
            kept.saved.append(saved.reshape(call.saved))
        of_direction = (
            states.flat, states.first + direction * unit, states.stride, states.given
        )  # fmt: skip
        user = layer * directions + direction
        call.run(h, memory, saved, of_direction, x.floats, x.tokens, w, pool, user, 0, lengths)
    return kept


def backward(
    cell: Cell,
    x: Input,
    kept: Kept,
    d_output: Array,
    carry: Array,
    weights: Sequence[Weights],
    grads: Sequence[Weights],
    pool: WorkspacePool,
    *,
    wants_x: bool,
    wants_state: bool = True,
    threads: int | None = None,
    allocate: Allocate = new,
    lengths: Array | None = None,
) -> Array:
    """BPTT of one layer: set `grads` and return the gradient of the input, empty if not wanted.

    `carry` (D, S, N, H) holds the gradients of the last states, and on return those of the initial
    states if they are wanted. `allocate` gives the memory of the input's gradient.
    `lengths` are those of `forward`; behind them `d_output` is not read, the result not set.
    """
    directions = len(weights)
    dtype = carry.dtype
    d_x = allocate(x.time * x.batch * x.size, dtype) if wants_x else empty(dtype)
    threads = threads or get_threads()
    for direction, (w, g) in enumerate(zip(weights, grads, strict=True)):
        # The forward call's, if it is known and nobody has wanted other threads since.
        call = kept.calls[direction] if kept.calls else None
        if call is None or call.threads != threads:
            call = prepared(
                cell, dtype, x.time, x.batch, x.size, kept.h.shape[3], directions, direction,
                x.is_tokens, x.token_rows, True, lengths is not None, threads,
            )  # fmt: skip
        plan = call.plan
        work = pool.take(plan, dtype, 0)
        run_team(
            call.backward, plan.threads, _integers(plan, lengths),
            *g, d_x, direction > 0, carry[direction].reshape(-1), wants_state, work.numbers,
            d_output, kept.h.reshape(-1), kept.memory[direction].reshape(-1),
            kept.saved[direction].reshape(-1), x.floats, x.tokens,
            w.weight_ih, w.weight_hh, w.units,
        )  # fmt: skip
        pool.give(work, 0)
    return d_x


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
