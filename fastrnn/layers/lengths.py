"""Sequences of different lengths in one batch, in whichever of two ways takes less work.

`Padded` runs the batch as it lies: the kernels let the states of a sequence that has ended stand
still, and step over those at the batch's ends.

`Packed` runs no steps for padding, or few. The sequences are sorted by length, the shortest first,
and time is cut where sequences end, so that between two cuts the same sequences run: a segment,
which is an ordinary call of the kernels. Its rows lie in memory time by time, the segments one
behind the other. Since the longest sequences stand last, those that go on into the next segment
are the last rows of the one before, right in front of it: its initial states lie where the kernel
reads them.

    segment 0, 3 sequences          segment 1, 2         segment 2, 1
    a0 b0 c0   a1 b1 c1             b2 c2  b3 c3         c4  c5

A call costs about as much as some rows, so segments that differ in few rows are one: its kernels
know of the lengths. A reverse direction runs forward over each sequence turned round.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.recurrence import Input, Kept, States, Weights
from fastrnn.workspaces import ArrayPool, Borrowed, WorkspacePool

Integers = NDArray[np.int64]
Dtype = np.dtype[Any]

#: What one more call of the kernels costs, in multiply-adds: its way through Python, and for each
#: weight that is packed and whose gradient is added up. Between half and four times of both, the
#: training times of an LSTM of 32 units and 500 steps, and of 128 and 100, differ by 4 %.
CALL_WORK = 500_000
CALL_WEIGHT_WORK = 32
#: What packing costs for each row, and for each number of its input and output.
ROW_WORK = 1_000
NUMBER_WORK = 10


class Segment(NamedTuple):
    """Times in which the same sequences run: all from number `first` on, in their order."""

    start: int
    time: int
    first: int
    batch: int
    #: Its first row among all.
    row: int
    #: Whether sequences end in it before its last step.
    padded: bool


@dataclass(frozen=True)
class Runs:
    """What one layer keeps of its forward pass; as `Kept` shows it.

    Attributes
    ----------
    output : ndarray (T, N, D * H) or (rows, 1, D * H)
    kept : list of list of Kept
        Of each segment, direction by direction; of a padded batch one.
    """

    output: Array
    kept: list[list[Kept]]


def arranged(
    lengths: Integers, time: int, cell: Cell, inputs: int, hidden: int, *, tokens: bool
) -> Padded | Packed:
    """How to run sequences of these lengths (N,), at most `time`, through layers of a cell."""
    # A token takes one column of the weights.
    read = 1 if tokens else inputs
    row_work = len(cell.gates) * hidden * (read + hidden * cell.recurrent)
    packed_row_work = row_work + ROW_WORK + NUMBER_WORK * (read + hidden)
    padded = int(lengths.max()) * lengths.size * row_work
    if padded <= int(lengths.sum()) * packed_row_work:
        return Padded(lengths, time)
    weights = len(cell.gates) * hidden * (inputs + hidden * cell.recurrent)
    call_work = CALL_WORK + CALL_WEIGHT_WORK * weights
    segments = list(_segments(np.sort(lengths), call_work // row_work))
    packed = sum(s.time * s.batch for s in segments) * packed_row_work
    packed += (len(segments) - 1) * call_work
    return Packed(lengths, time, segments) if packed < padded else Padded(lengths, time)


class Padded:
    """Sequences of different lengths as they lie in a padded batch.

    Parameters
    ----------
    lengths : ndarray (N,)
        Of each sequence, at most `time`.
    time : int
        T of the padded arrays. No more times are run than the longest sequence has.
    """

    def __init__(self, lengths: Integers, time: int) -> None:
        self.time, self.batch = time, lengths.size
        self._lengths = lengths
        self._steps = int(lengths.max())

    def borrowing(self, pool: ArrayPool) -> Padded:
        """Itself: it makes nothing but what it returns."""
        return self

    def give_back(self) -> None:
        """Give back nothing."""

    def _cut(self, array: Array) -> Array:
        """Of a flat array (T, N, width) the times that are run."""
        return array[: array.size // max(1, self.time) * self._steps]

    def pack_gradient(self, array: Array) -> Array:
        """Of a padded array the times that are run; what is in padding is not read."""
        return self._cut(array)

    def unpack(self, rows: Array, width: int) -> Array:
        """The padded array (T, N, width), of what is zero in padding."""
        run = rows.reshape(self._steps, self.batch, width)
        if self._steps == self.time:
            return run
        padded = np.zeros((self.time, self.batch, width), rows.dtype)
        padded[: self._steps] = run
        return padded

    def input(self, x: Input) -> Input:
        """The input of the times that are run."""
        floats, tokens = self._cut(x.floats), self._cut(x.tokens)
        return x._replace(time=self._steps, floats=floats, tokens=tokens)

    def forward(
        self,
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
    ) -> Runs:
        """As `recurrence.forward`; the last states are those after each sequence's last step."""
        kept = recurrence.forward(
            cell, x, states, hidden, weights, pool, keep=keep, layer=layer, threads=threads,
            lengths=self._lengths,
        )  # fmt: skip
        output = kept.output
        if keep and states.given and len(weights) > 1:
            # Where a sequence has ended stands what its reverse direction began from.
            output = output.copy()
        recurrence.clear_padding(output.reshape(-1), output.shape[2], self._lengths)
        return Runs(output, [[kept]])

    def backward(
        self,
        cell: Cell,
        x: Input,
        runs: Runs,
        d_output: Array,
        carry: Array,
        weights: Sequence[Weights],
        grads: Sequence[Weights],
        pool: WorkspacePool,
        **wanted: Any,
    ) -> Array:
        """As `recurrence.backward`; what `d_output` holds in padding is not read."""
        return recurrence.backward(
            cell, x, runs.kept[0][0], d_output, carry, weights, grads, pool,
            lengths=self._lengths, **wanted,
        )  # fmt: skip


class Packed:
    """Where the steps of sequences of different lengths lie, and how layers run over them.

    Parameters
    ----------
    lengths : ndarray (N,)
        Of each sequence, at most `time`.
    time : int
        T of the padded arrays.
    segments : list of Segment
        What times are cut into.
    """

    def __init__(self, lengths: Integers, time: int, segments: list[Segment]) -> None:
        self.time, self.batch = time, lengths.size
        self.segments = segments
        self._borrowed: Borrowed | None = None
        #: The sequences, the shortest first.
        self.order = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self.order]
        #: The first sequence that is not empty, and all rows of all segments.
        self._first = int(np.searchsorted(self._lengths, 0, side="right"))
        self.rows = sum(s.time * s.batch for s in segments)

        #: Of each row, its place in a padded array, -1 in padding, and what a reverse direction
        #: has there; of each place its row or -1.
        self._places, self._turned = np.empty((2, self.rows), np.int64)
        self._grid = np.empty(time * self.batch, np.int64)
        recurrence.lay_rows(
            self._places, self._turned, self._grid, np.empty(time, np.int64),
            self._lengths, self.order, np.array([s[:5] for s in segments], np.int64).reshape(-1, 5),
        )  # fmt: skip

    def _lengths_in(self, s: Segment) -> Integers | None:
        """Of the sequences of a segment, if they are not all its own."""
        return np.minimum(self._lengths[s.first :] - s.start, s.time) if s.padded else None

    def borrowing(self, pool: ArrayPool) -> Packed:
        """The same for one call, after which all but padded arrays is given back to the pool."""
        borrower = copy.copy(self)
        borrower._borrowed = pool.borrow()
        return borrower

    def give_back(self) -> None:
        """Give back what was borrowed."""
        if self._borrowed:
            self._borrowed.give_back()

    def _empty(self, rows: int, width: int, dtype: Dtype) -> Array:
        """Memory (rows * width,), borrowed if any is."""
        size = rows * width
        return self._borrowed.empty(size, dtype) if self._borrowed else np.empty(size, dtype)

    def _take(self, source: Array, places: Integers, width: int, stride: int = 0) -> Array:
        out = self._empty(self.rows, width, source.dtype)
        return recurrence.take_rows(source, places, width, stride=stride or width, out=out)

    def pack(self, array: Array) -> Array:
        """The rows, flat, of a padded array (T, N, width) that is flat too."""
        return self._take(array, self._places, array.size // self._grid.size)

    def pack_gradient(self, array: Array) -> Array:
        """The rows of a padded array."""
        return self.pack(array)

    def unpack(self, rows: Array, width: int) -> Array:
        """The padded array (T, N, width) of flat rows, zero where no sequence is."""
        padded = recurrence.take_rows(rows, self._grid, width)
        return padded.reshape(self.time, self.batch, width)

    def input(self, x: Input) -> Input:
        """The rows of an input."""
        if x.is_tokens:
            return Input(self.rows, 1, x.size, True, x.floats, x.tokens[self._places])
        return Input(self.rows, 1, x.size, False, self.pack(x.floats), x.tokens)

    def forward(
        self,
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
    ) -> Runs:
        """As `recurrence.forward` over the rows `x`.

        The last states are those after each sequence's last step.
        """
        dtype = weights[0].weight_ih.dtype
        directions, both = len(weights), len(weights) * hidden
        output = self._empty(self.rows if directions > 1 else 0, both, dtype).reshape(-1, 1, both)
        all_kept = []
        kinds = (len(cell.states), self.batch, hidden)
        for direction, w in enumerate(weights):
            row = states.first // hidden + direction * self.batch
            ends = states.flat.reshape(kinds[0], -1, hidden)[:, row : row + self.batch]
            final = ends.take(self.order, axis=1) if states.given else np.zeros(kinds, dtype)
            flat = final.reshape(-1)
            # The initial states of the first segment, and all outputs.
            running = self.batch - self._first
            h = self._empty(running + self.rows, hidden, dtype).reshape(-1, hidden)
            read = self._turn(x) if direction else x
            kept = []
            for s in self.segments:
                stretch = h[running + s.row - s.batch : running + s.row + s.time * s.batch]
                kept.append(recurrence.forward(
                    cell, self._part(read, s),
                    States(flat, s.first * hidden, self.batch * hidden, True),
                    hidden, [w], pool, keep=keep, layer=layer, threads=threads,
                    into=stretch, repeated=False, lengths=self._lengths_in(s),
                ))  # fmt: skip
            rows = h[running:]
            if directions == 1:
                output = rows[:, None]
            elif direction == 0:
                output[:, 0, :hidden] = rows
            else:
                recurrence.take_rows(
                    rows.reshape(-1), self._turned, hidden,
                    out=output.reshape(-1)[hidden:], out_stride=both,
                )  # fmt: skip
            ends[:, self.order] = final
            all_kept.append(kept)
        return Runs(output, all_kept)

    def backward(
        self,
        cell: Cell,
        x: Input,
        runs: Runs,
        d_output: Array,
        carry: Array,
        weights: Sequence[Weights],
        grads: Sequence[Weights],
        pool: WorkspacePool,
        *,
        wants_x: bool,
        wants_state: bool = True,
        threads: int | None = None,
    ) -> Array:
        """As `recurrence.backward`: `d_output` (rows, D, H) flat, or empty."""
        directions, hidden = len(weights), carry.shape[3]
        size = x.size if wants_x else 0
        d_x = self._empty(self.rows, size, carry.dtype)
        for direction, (w, g) in enumerate(zip(weights, grads, strict=True)):
            d_h = d_output
            if d_output.size and directions > 1:
                if direction == 0:
                    d_h = d_output.reshape(self.rows, -1)[:, :hidden].reshape(-1)
                else:
                    d_h = self._take(d_output[hidden:], self._turned, hidden, directions * hidden)
            d_state = carry[direction][:, self.order]
            read = self._turn(x) if direction else x
            of_segment = g
            d_rows = self._empty(self.rows, size, carry.dtype) if direction else d_x
            for k, s in reversed(list(enumerate(self.segments))):
                d_running = d_state[:, s.first :].copy()[None]
                end = s.row + s.time * s.batch
                recurrence.backward(
                    cell, self._part(read, s), runs.kept[direction][k],
                    d_h[s.row * hidden : end * hidden], d_running, [w], [of_segment], pool,
                    wants_x=wants_x, wants_state=wants_state or k > 0, threads=threads,
                    into=d_rows[s.row * size : end * size], lengths=self._lengths_in(s),
                )  # fmt: skip
                d_state[:, s.first :] = d_running[0]
                if of_segment is g:  # The first sets all; what others set is added.
                    of_segment = Weights(*(np.empty_like(array) for array in g))
                else:
                    for total, array in zip(g, of_segment, strict=True):
                        total += array
            if wants_x and direction:
                d_x += self._take(d_rows, self._turned, x.size)
            carry[direction][:, self.order] = d_state
        return d_x

    def _turn(self, x: Input) -> Input:
        """The rows as a reverse direction reads them."""
        if x.is_tokens:
            return x._replace(tokens=x.tokens[self._turned])
        return x._replace(floats=self._take(x.floats, self._turned, x.size))

    def _part(self, x: Input, s: Segment) -> Input:
        """The input of a segment."""
        first, last = s.row, s.row + s.time * s.batch
        floats, tokens = x.floats, x.tokens
        if x.is_tokens:
            tokens = tokens[first:last]
        else:
            floats = floats[first * x.size : last * x.size]
        return Input(s.time, s.batch, x.size, x.is_tokens, floats, tokens)


def _segments(lengths: Integers, call_rows: int) -> Iterator[Segment]:
    """Segments for ascending lengths; one more must spare as many rows as a call costs."""
    ends, counts = np.unique(lengths[lengths > 0], return_counts=True)
    first = lengths.size - int(counts.sum())
    start = end = row = ending = padding = 0
    for length, count in zip(ends.tolist(), counts.tolist(), strict=True):
        more = ending * (length - end)
        if padding + more > call_rows:
            batch = lengths.size - first
            yield Segment(start, end - start, first, batch, row, padding > 0)
            row += (end - start) * batch
            first, start, ending, padding, more = first + ending, end, 0, 0, 0
        padding, end, ending = padding + more, length, ending + count
    if ending:
        yield Segment(start, end - start, first, lengths.size - first, row, padding > 0)
