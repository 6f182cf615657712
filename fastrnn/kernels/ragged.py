"""Sequences of their own lengths: which rows of the batch have a step, and what the others get.

`lengths` (N,) and steps count from one; `fastrnn.kernels.scan` has the layout of the arrays.
"""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.product import fill_rows
from fastrnn.simd.memory import load, store
from fastrnn.simd.vector import lanes_of

GATES = 1
APART = OTHERS = 0
RAGGED = False


@kernel
def shortest(lengths, first, end):
    """Steps that all sequences of rows first .. end - 1 have."""
    least = 1 << 62
    for n in range(first, end):
        least = min(least, lengths[n])
    return least


@kernel
def reaching(lengths, now, batch):
    """Rows of a batch up to the last one that has at least `now` steps, and at least one."""
    while batch > 1 and lengths[batch - 1] < now:
        batch -= 1
    return batch


@kernel
def running(lengths, now, first, end):
    """The rows of first .. end - 1 from the first to the last that have at least `now` steps.

    Where rows lie by their lengths, these are all that do. One row alone is summed in another order
    than several: two are taken, or bits would depend on the team.
    """
    low, high = first, end
    while low < high and lengths[low] < now:
        low += 1
    while low < high and lengths[high - 1] < now:
        high -= 1
    if high - low == 1 and end - first > 1:
        low, high = (low, high + 1) if high < end else (low - 1, high)
    return low, high


def hold(h, memory, now, before, slot_now, slot_before, first_row, end_row, column, end, s):
    """Set the states, units column .. end - 1, of sequences that have no step `now`."""
    batch, hidden = s.batch, s.hidden
    held = load(h, 0, 0)  # zero, as the output of a forward direction is to be
    for n in range(first_row, end_row):
        to_h = (now * batch + n) * s.stride + s.column
        of_h = (before * batch + n) * s.stride + s.column
        for j in range(column, end, lanes_of(h)):
            left = end - j
            if s.direction < 0:
                held = load(h, of_h + j, left)
            store(h, to_h + j, left, held)
            for i in range(OTHERS):
                to = ((i * s.ring + slot_now) * batch + n) * hidden + j
                of = ((i * s.ring + slot_before) * batch + n) * hidden + j
                store(memory, to, left, load(memory, of, left))


def leave_out(x_delta, r_delta, x_delta_offset, r_delta_offset, lengths, now, here, reach,
              first_row, end_row, column, end, s):  # fmt: skip
    """Set the gradients of units column .. end - 1 to zero where a sequence has no step `now`."""
    hidden = s.hidden
    for n in range(first_row, min(end_row, reach)):
        if lengths[n] < now:
            at = (here * reach + n) * GATES * hidden + column
            fill_rows(x_delta, x_delta_offset + at, hidden, x_delta[:0], GATES, end - column)
            if APART:
                fill_rows(r_delta, r_delta_offset + at, hidden, r_delta[:0], GATES, end - column)


def stripes_of(team, p):
    """Stripes of the batch for each thread; of `RAGGED` sequences a team has an even number."""
    if team.size == 1 or not RAGGED or p.scan.by_units or p.unpacked:
        return p.stripes
    return p.stripes + p.stripes % 2


@kernel
def striped(stripe, stripes, batch, team):
    """Rows of the batch in this thread's stripe of this number: (first, end).

    To and fro, so that of sequences from the longest to the shortest a thread that has a longer
    stripe has a shorter one next: 64 of 1 to 100 steps of a GRU of 256 units take 0.74 of the time.
    """
    place = team.member if stripe % 2 == 0 else team.size - 1 - team.member
    number, count = stripe * team.size + place, team.size * stripes
    return batch * number // count, batch * (number + 1) // count
