"""Sequences of different lengths in one batch.

The kernels know of lengths (`fastrnn.kernels.scan`): a sequence that has ended keeps its states,
its gradients begin at its last step, and its equations run no further. Rows at either end of the
batch that have all ended are not multiplied either; those behind the last one that has not are left
out of the large products, too. Where that spares more than it costs, the sequences are therefore
sorted on the way in, the longest first, and brought back into their order on the way out; otherwise
they run as they lie.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import recurrence
from fastrnn.checks import Array
from fastrnn.recurrence import Allocate, Input
from fastrnn.workspaces import ArrayPool, Borrowed

Integers = NDArray[np.int64]

#: What sorting costs, in multiply-adds: once, for each step of a sequence, and for each number that
#: it reads and writes. Set by times of RNN, GRU and LSTM of 32 to 128 units both ways (Zen 1);
#: ``bench/limits.py lengths`` shows what comes out.
SORT_WORK = 1_000_000
SORT_STEP_WORK = 600
SORT_NUMBER_WORK = 20


class Ragged:
    """How sequences of their own lengths run through layers of a cell.

    Parameters
    ----------
    lengths : ndarray (N,)
        Of each sequence, at most `time`.
    time : int
        T of the padded arrays.
    longest, total : int
        The largest length and the sum of all. No more times are run than the longest sequence has.
    step_work : int
        Multiply-adds of one step of one sequence, in all layers.
    step_numbers : int
        What the first layer reads and the last one writes in it.
    """

    def __init__(
        self,
        lengths: Integers,
        time: int,
        longest: int,
        total: int,
        *,
        step_work: int,
        step_numbers: int,
    ) -> None:
        self.time, self.batch = time, lengths.size
        #: Times that are run.
        self.steps = longest
        #: Where the sequences come from, if they are sorted.
        self.order: Integers | None = None
        self._lengths = lengths
        #: What the kernels are told: nothing where all have as many steps.
        self.kernel_lengths = None if total == longest * self.batch else lengths
        self._borrowed: Borrowed | None = None
        cost = SORT_WORK + total * (SORT_STEP_WORK + SORT_NUMBER_WORK * step_numbers)
        if (longest * self.batch - total) * step_work <= cost:
            return
        # As they lie, all rows run up to the first and down to the last that is long enough.
        reached = np.minimum(
            np.maximum.accumulate(lengths), np.maximum.accumulate(lengths[::-1])[::-1]
        )
        if (int(np.add.reduce(reached)) - total) * step_work > cost:
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

    def allocate(self, elements: int, dtype: np.dtype[Any]) -> Array:
        """A flat array for the layers to write, borrowed if the sequences are sorted."""
        if self._borrowed:
            return self._borrowed.empty(elements, dtype)
        return recurrence.new(elements, dtype)

    def states(self, states: Array) -> Array:
        """Of padded states (..., N, H), or gradients of theirs, those that are run."""
        return states if self.order is None else states.take(self.order, axis=-2)

    def padded_states(self, states: Array) -> Array:
        """What was run of them, padded."""
        if self.order is None:
            return states
        padded = np.empty_like(states)
        padded[..., self.order, :] = states
        return padded

    def take(self, array: Array, width: int) -> Array:
        """What is run of a padded array (T, N, width), all flat."""
        elements = self.steps * self.batch * width
        if self.order is None:
            return array[:elements]
        out = self.allocate(elements, array.dtype)
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


def ways(ragged: Ragged | None) -> tuple[Integers | None, Allocate]:
    """What kernels are told of lengths, and what gives layers memory."""
    return (ragged.kernel_lengths, ragged.allocate) if ragged else (None, recurrence.new)
