"""Sequences of different lengths in one batch.

The kernels know of lengths (`fastrnn.kernels.scan`): a sequence that has ended keeps its states,
its gradients begin at its last step, and rows at either end of the batch that have all ended take
no steps; those behind the last one that has not are left out of the large products, too. Where that
spares more than it costs, the sequences are therefore sorted on the way in, the longest first, and
brought back into their order on the way out; otherwise they run as they lie.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.recurrence import Input, Kept, States, Weights
from fastrnn.workspaces import ArrayPool, Borrowed, WorkspacePool

Integers = NDArray[np.int64]

#: What sorting costs, in multiply-adds: once, for each step of a sequence, and for each number that
#: it reads and writes. Set by times of RNN and LSTM of 16 to 128 units both ways (Zen 5);
#: ``bench/limits.py lengths`` shows what comes out.
SORT_WORK = 1_500_000
SORT_STEP_WORK = 700
SORT_NUMBER_WORK = 25


class Ragged:
    """How sequences of their own lengths run through layers of a cell.

    Parameters
    ----------
    lengths : ndarray (N,)
        Of each sequence, at most `time`.
    time : int
        T of the padded arrays. No more times are run than the longest sequence has.
    step_work : int
        Multiply-adds of one step of one sequence, in all layers.
    step_numbers : int
        What the first layer reads and the last one writes in it.
    """

    def __init__(self, lengths: Integers, time: int, *, step_work: int, step_numbers: int) -> None:
        self.time, self.batch = time, lengths.size
        #: Times that are run, and steps in all.
        self.steps = int(np.maximum.reduce(lengths, initial=0))
        self.inside = int(np.add.reduce(lengths))
        #: Where the sequences come from, if they are sorted.
        self.order: Integers | None = None
        self._lengths = lengths
        #: What the kernels are told: nothing where all have as many steps.
        self.kernel_lengths = None if self.inside == self.steps * self.batch else lengths
        self._borrowed: Borrowed | None = None
        cost = SORT_WORK + self.inside * (SORT_STEP_WORK + SORT_NUMBER_WORK * step_numbers)
        if (self.steps * self.batch - self.inside) * step_work <= cost:
            return
        # As they lie, all rows run up to the first and down to the last that is long enough.
        reached = np.minimum(
            np.maximum.accumulate(lengths), np.maximum.accumulate(lengths[::-1])[::-1]
        )
        if (int(np.add.reduce(reached)) - self.inside) * step_work > cost:
            self.order = np.argsort(-lengths, kind="stable")
            self._lengths = self.kernel_lengths = lengths[self.order]

    def borrowing(self, pool: ArrayPool) -> Ragged:
        """The same for one call and its tape, after which the pool gets back what is sorted."""
        if self.order is None:
            return self
        borrower = copy.copy(self)
        borrower._borrowed = pool.borrow()
        return borrower

    def give_back(self) -> None:
        """Give back what was borrowed."""
        if self._borrowed:
            self._borrowed.give_back()

    def _empty(self, elements: int, dtype: np.dtype[Any]) -> Array:
        """A flat array of what is sorted, borrowed if any is."""
        if self._borrowed:
            return self._borrowed.empty(elements, dtype)
        return np.empty(elements, dtype)

    def take(self, array: Array, width: int) -> Array:
        """What is run of a padded array (T, N, width), all flat."""
        elements = self.steps * self.batch * width
        if self.order is None:
            return array[:elements]
        out = self._empty(elements, array.dtype)
        recurrence.sort_rows(out, array, width, self._lengths, self.order)
        return out

    def padded(self, rows: Array, width: int, *, clear: bool, spare_rows: bool = False) -> Array:
        """The padded array (T, N, width) of what was run, zero in padding.

        `clear` says that `rows` are not zero in padding yet. It takes their memory where it can, if
        it is not to `spare_rows`.
        """
        elements = self.time * self.batch * width
        out = rows
        if self.order is not None:
            out = np.empty(elements, rows.dtype)
            recurrence.unsort_rows(out, rows, width, self._lengths, self.order)
        elif rows.size < elements:
            out = np.zeros(elements, rows.dtype)
            out[: rows.size] = rows
        elif clear and spare_rows:
            out = rows.copy()
        if clear and self.order is None:
            recurrence.clear_padding(out, width, self._lengths)
        return out.reshape(self.time, self.batch, width)

    def input(self, x: Input) -> Input:
        """What is run of an input."""
        if self.order is None and self.steps == self.time:
            return x
        if not x.is_tokens:
            return x._replace(time=self.steps, floats=self.take(x.floats, x.size))
        tokens = x.tokens[: self.steps * self.batch]
        if self.order is not None:
            tokens = tokens.reshape(-1, self.batch).take(self.order, axis=1).reshape(-1)
        return x._replace(time=self.steps, tokens=tokens)

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
    ) -> Kept:
        """As `recurrence.forward`; the last states are those after each sequence's last step."""
        if self.order is None:
            return recurrence.forward(
                cell, x, states, hidden, weights, pool, keep=keep, layer=layer, threads=threads,
                lengths=self.kernel_lengths,
            )  # fmt: skip
        directions, kinds = len(weights), len(cell.states)
        row = states.first // hidden
        ends = states.flat.reshape(kinds, -1, hidden)[:, row : row + directions * self.batch]
        ends = ends.reshape(kinds, directions, self.batch, hidden)
        own = ends.take(self.order, axis=2)
        size = (self.steps + directions) * directions * self.batch * hidden
        kept = recurrence.forward(
            cell, x, States(own.reshape(-1), 0, own[0].size, states.given), hidden, weights, pool,
            keep=keep, layer=layer, threads=threads, lengths=self.kernel_lengths,
            into=self._empty(size, own.dtype) if self._borrowed else None,
        )  # fmt: skip
        ends[:, :, self.order] = own
        return kept

    def backward(
        self,
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
    ) -> Array:
        """As `recurrence.backward`; in padding `d_output` is not read, the result not set."""
        own, into = carry, None
        if self.order is not None:
            own = carry.take(self.order, axis=2)
            into = self._empty(x.time * x.batch * x.size, carry.dtype) if wants_x else None
        d_x = recurrence.backward(
            cell, x, kept, d_output, own, weights, grads, pool, wants_x=wants_x,
            wants_state=wants_state, threads=threads, into=into, lengths=self.kernel_lengths,
        )  # fmt: skip
        if self.order is not None:
            carry[:, :, self.order] = own
        return d_x
