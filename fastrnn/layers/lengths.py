"""Sequences of different lengths in one batch, without steps for their padding.

The sequences are sorted by length, the shortest first, and time is cut where sequences end, so
that between two cuts the same sequences run: a segment, which is an ordinary call of the kernels.
Its rows lie in memory time by time, the segments one behind the other. Since the longest sequences
stand last, those that go on into the next segment are the last rows of the one before, right in
front of it: its initial states lie where the kernel reads them.

    segment 0, 3 sequences          segment 1, 2         segment 2, 1
    a0 b0 c0   a1 b1 c1             b2 c2  b3 c3         c4  c5

A call costs about as much as some rows, so segments that differ in few rows are one: a sequence
that ends inside has steps of padding, which read and keep what its last step did, and whose
gradients are zero. A reverse direction runs forward over each sequence turned round.
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


class Segment(NamedTuple):
    """Times in which the same sequences run: all from number `first` on, in their order."""

    start: int
    time: int
    first: int
    batch: int
    #: Its first row among all.
    row: int
    #: Sequences that end in it, from `first` on, and whether some do before its last step.
    ending: int
    padded: bool


@dataclass(frozen=True)
class Runs:
    """What one layer keeps of its forward pass; as `Kept` shows it.

    Attributes
    ----------
    output : ndarray (rows, 1, D * H)
    kept : list of list of Kept
        Of each direction and segment.
    """

    output: Array
    kept: list[list[Kept]]


class Ragged:
    """Where the steps of sequences of different lengths lie, and how layers run over them.

    Parameters
    ----------
    lengths : ndarray (N,)
        Of each sequence, at most `time`.
    time : int
        T of the padded arrays.
    cell, inputs, hidden, tokens
        What runs over them; it says which segments are worth a call.
    """

    def __init__(
        self, lengths: Integers, time: int, cell: Cell, inputs: int, hidden: int, *, tokens: bool
    ) -> None:
        self.time, self.batch = time, lengths.size
        self._borrowed: Borrowed | None = None
        #: The sequences, the shortest first.
        self.order = np.argsort(lengths, kind="stable")
        self._lengths = lengths[self.order]
        weights = len(cell.gates) * hidden * (inputs + hidden * cell.recurrent)
        # A token takes one column of the weights.
        read = 1 if tokens else inputs
        row_work = len(cell.gates) * hidden * (read + hidden * cell.recurrent)
        call_rows = (CALL_WORK + CALL_WEIGHT_WORK * weights) // row_work
        self.segments = list(_segments(self._lengths, call_rows))
        #: The first sequence that is not empty, and all rows of all segments.
        self._first = int(np.searchsorted(self._lengths, 0, side="right"))
        self.rows = sum(s.time * s.batch for s in self.segments)

        #: Of each row, its place in a padded array and what a reverse direction has there; of each
        #: place its row or -1; rows of padding, their sequences' last ones, the last ones of all.
        self._places, self._turned = np.empty((2, self.rows), np.int64)
        self._grid = np.empty(time * self.batch, np.int64)
        self._padding, self._stand_ins = np.empty((2, self.rows - int(lengths.sum())), np.int64)
        ends = np.empty(self.batch, np.int64)
        recurrence.lay_rows(
            self._places, self._turned, self._grid, self._padding, self._stand_ins, ends,
            np.empty(time, np.int64), self._lengths, self.order,
            np.array([s[:5] for s in self.segments], np.int64).reshape(-1, 5),
        )  # fmt: skip
        self._ends = ends[self._first :]

    def borrowing(self, pool: ArrayPool) -> Ragged:
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
        """The rows of a padded array, zero in padding."""
        rows = self.pack(array)
        rows.reshape(-1, array.size // self._grid.size)[self._padding] = 0
        return rows

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
                run = recurrence.forward(
                    cell, self._part(read, s),
                    States(flat, s.first * hidden, self.batch * hidden, True),
                    hidden, [w], pool, keep=keep, all_states=s.padded,
                    layer=layer, threads=threads, into=stretch, repeated=False,
                )  # fmt: skip
                if s.padded:
                    steps = np.minimum(self._lengths[s.first :] - s.start, s.time)
                    memory = run.memory[0]
                    if memory.size:
                        final[1:, s.first :] = memory[:, steps, np.arange(s.batch)]
                    if keep:
                        self._repeat_last_step(run, s)
                if keep:
                    kept.append(run)
            rows = h[running:]
            rows[self._padding] = rows[self._stand_ins]
            final[0, self._first :] = rows[self._ends]
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
        """As `recurrence.backward`: `d_output` (rows, D, H) flat, zero in padding, or empty.

        It is overwritten.
        """
        directions, hidden = len(weights), carry.shape[3]
        size = x.size if wants_x else 0
        d_x = self._empty(self.rows, size, carry.dtype)
        for direction, (w, g) in enumerate(zip(weights, grads, strict=True)):
            if not d_output.size:
                d_h = np.zeros((self.rows, hidden), carry.dtype)
            elif directions == 1:
                d_h = d_output.reshape(self.rows, hidden)
            elif direction == 0:
                d_h = d_output.reshape(self.rows, -1)[:, :hidden].copy()
            else:
                of_reverse = self._take(
                    d_output[hidden:], self._turned, hidden, directions * hidden
                )
                d_h = of_reverse.reshape(self.rows, hidden)
            d_state = carry[direction][:, self.order]
            # An output is the state h: its gradient takes that of the last one.
            d_h[self._ends] += d_state[0, self._first :]
            d_last = d_state[1:].copy()
            d_state[:, self._first :] = 0
            read = self._turn(x) if direction else x
            of_segment = g
            d_rows = self._empty(self.rows, size, carry.dtype) if direction else d_x
            for k, start, end in self._stretches_back(d_last):
                s, kept = self.segments[k], _between(runs.kept[direction][k], start, end)
                now = slice(s.row + start * s.batch, s.row + end * s.batch)
                ends = self._lengths == s.start + end
                d_state[1:, ends] = d_last[:, ends]
                d_running = d_state[:, s.first :].copy()[None]
                recurrence.backward(
                    cell, self._part(read, s, start, end), kept,
                    d_h[now].reshape(-1), d_running, [w], [of_segment], pool,
                    wants_x=wants_x, wants_state=wants_state or k > 0 or start > 0, threads=threads,
                    into=d_rows[now.start * size : now.stop * size],
                )  # fmt: skip
                d_state[:, s.first :] = d_running[0]
                if of_segment is g:  # The first sets all; what others set is added.
                    of_segment = Weights(*(np.empty_like(array) for array in g))
                else:
                    for total, array in zip(g, of_segment, strict=True):
                        total += array
            if of_segment is g:
                for array in g:
                    array[...] = 0
            if wants_x and direction:
                d_x += self._take(d_rows, self._turned, x.size)
            carry[direction][:, self.order] = d_state
        return d_x

    def _stretches_back(self, d_last: Array) -> Iterator[tuple[int, int, int]]:
        """Segments from the last on, cut where gradients of states other than h come in."""
        for k, s in reversed(list(enumerate(self.segments))):
            cuts = [0, s.time]
            ending = slice(s.first, s.first + s.ending)
            if s.padded and d_last[:, ending].any():
                cuts = [0, *np.unique(self._lengths[ending] - s.start).tolist(), s.time]
            for start, end in zip(cuts[-2::-1], cuts[:0:-1], strict=True):
                if end > start:
                    yield k, start, end

    def _turn(self, x: Input) -> Input:
        """The rows as a reverse direction reads them."""
        if x.is_tokens:
            return x._replace(tokens=x.tokens[self._turned])
        return x._replace(floats=self._take(x.floats, self._turned, x.size))

    def _part(self, x: Input, s: Segment, start: int = 0, end: int | None = None) -> Input:
        """The input of a segment, or of its times start .. end - 1."""
        end = s.time if end is None else end
        first, last = s.row + start * s.batch, s.row + end * s.batch
        floats, tokens = x.floats, x.tokens
        if x.is_tokens:
            tokens = tokens[first:last]
        else:
            floats = floats[first * x.size : last * x.size]
        return Input(end - start, s.batch, x.size, x.is_tokens, floats, tokens)

    def _repeat_last_step(self, run: Kept, s: Segment) -> None:
        """Let steps of padding keep what the last step did: finite, whatever padding brought."""
        steps = self._lengths[s.first : s.first + s.ending] - s.start
        times, sequences = np.nonzero(np.arange(s.time)[:, None] >= steps)
        last = steps[sequences]
        for memory in run.memory:
            if memory.size:
                memory[:, times + 1, sequences] = memory[:, last, sequences]
        for saved in run.saved:
            if saved.size:
                saved[times, sequences] = saved[last - 1, sequences]


def _segments(lengths: Integers, call_rows: int) -> Iterator[Segment]:
    """Segments for ascending lengths; one more must spare as many rows as a call costs."""
    ends, counts = np.unique(lengths[lengths > 0], return_counts=True)
    first = lengths.size - int(counts.sum())
    start = end = row = ending = padding = 0
    for length, count in zip(ends.tolist(), counts.tolist(), strict=True):
        more = ending * (length - end)
        if padding + more > call_rows:
            batch = lengths.size - first
            yield Segment(start, end - start, first, batch, row, ending, padding > 0)
            row += (end - start) * batch
            first, start, ending, padding, more = first + ending, end, 0, 0, 0
        padding, end, ending = padding + more, length, ending + count
    if ending:
        yield Segment(start, end - start, first, lengths.size - first, row, ending, padding > 0)


def _between(kept: Kept, start: int, end: int) -> Kept:
    """What one direction keeps of the times start .. end - 1."""
    return Kept(
        kept.h[start : end + 1],
        [memory[:, start : end + 1] if memory.size else memory for memory in kept.memory],
        [saved[start:end] for saved in kept.saved],
    )
