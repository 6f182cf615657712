"""A cell's equations in a forward step; `fastrnn.kernels.scan` has the layout of the arrays."""

from __future__ import annotations

from typing import Any

from fastrnn.simd.memory import load_units, store_units
from fastrnn.simd.vector import add_each, lanes_of, preactivations

GATES = LAST = 1
SAVED = APART = OTHERS = UNITS = EARLY = EARLY_KEPT = 0
PAIRED = False
RECURRENT = True
step: Any = None
run_units: Any = None
run_pair: Any = None


def run_vector(h, memory, saved, scratch, x_part, x_bias, r_bias, units, at_scratch, across, wide,
               x_at, x_row, x_gate, n, j, down, right,
               now, before, slot_now, slot_before, s):  # fmt: skip
    """The cell's equations for a vector of units from unit j on, of row n of the batch.

    The input part of its first gate is at `x_at`, those of other rows and gates `x_row` and
    `x_gate` numbers farther.

    If `PAIRED`, for another vector as well, `down` rows and `right` units farther, both whole:
    their chains of operations run side by side. An LSTM's equations, 32 rows of 128 units at a
    time, then take 0.82 of the time (``bench/limits.py equations``; Emerald Rapids).
    """
    batch, hidden = s.batch, s.hidden
    left = hidden - j
    slot = s.ring * batch * hidden

    at_x = x_at + EARLY * x_gate
    x = load_units(x_part, at_x, down * x_row + right, x_gate, left, LAST, PAIRED)
    x = add_each(x, load_units(x_bias, EARLY * hidden + j, right, hidden, left, LAST, PAIRED))
    if RECURRENT:
        # Behind the last unit stands what was there before: where it happened to be denormal, an
        # LSTM of 8 units took four times as long.
        at_scratch += EARLY * wide
        r = load_units(scratch, at_scratch, down * across + right, wide, left, LAST, PAIRED)
        if APART:
            r = add_each(r, load_units(r_bias, j, right, hidden, left, LAST, PAIRED))
        x = preactivations(x, r, APART)

    at_early = s.late + (batch + n * EARLY_KEPT) * hidden + j
    from_h = (before * batch + n) * s.stride + s.column + j
    from_memory = (slot_before * batch + n) * hidden + j
    apart_early, apart_h = down * EARLY_KEPT * hidden + right, down * s.stride + right
    apart = down * hidden + right
    states = load_units(scratch, at_early, apart_early, hidden, left, EARLY_KEPT, PAIRED)
    states = states + load_units(h, from_h, apart_h, 0, left, 1, PAIRED)
    states = states + load_units(memory, from_memory, apart, slot, left, OTHERS, PAIRED)
    states = states + load_units(units, j, right, hidden, left, UNITS, PAIRED)
    states, kept = step(*(x + states))

    at_h = (now * batch + n) * s.stride + s.column + j
    at_memory = (slot_now * batch + n) * hidden + j
    store_units(h, at_h, apart_h, 0, left, states[:1], False)
    store_units(memory, at_memory, apart, slot, left, states[1:], False)
    if s.keep:
        at_saved = ((now - 1) * batch + n) * SAVED * hidden + j
        apart_saved = down * SAVED * hidden + right
        if s.uncached:
            store_units(saved, at_saved, apart_saved, hidden, left, kept, True)
        else:
            store_units(saved, at_saved, apart_saved, hidden, left, kept, False)


def run_rows(h, memory, saved, scratch, x_part, x_bias, r_bias, units, at_scratch, across, wide,
             x_at, x_row, x_gate, first_row, end_row, column, end,
             now, before, slot_now, slot_before, s):  # fmt: skip
    """The cell's equations for some rows of the batch and the units column .. end - 1.

    Vectors go in pairs: those of two rows where all are whole, else neighbours.
    """
    lanes = lanes_of(h)
    rows, vectors = end_row - first_row, (end - column) // lanes
    down = int(rows > 1 and vectors * lanes == end - column)
    outer, inner = (vectors, rows // 2) if down else (rows, vectors // 2)
    for o in range(outer):
        for i in range(inner):
            row, unit = (2 * i, lanes * o) if down else (o, 2 * lanes * i)
            run_pair(
                h, memory, saved, scratch, x_part, x_bias, r_bias, units,
                at_scratch + row * across + unit, across, wide,
                x_at + row * x_row + unit, x_row, x_gate,
                first_row + row, column + unit, down, 0 if down else lanes,
                now, before, slot_now, slot_before, s,
            )  # fmt: skip
    for row in range(2 * inner if down else 0, rows):
        for unit in range(0 if down else 2 * inner * lanes, end - column, lanes):
            run_units(
                h, memory, saved, scratch, x_part, x_bias, r_bias, units,
                at_scratch + row * across + unit, across, wide,
                x_at + row * x_row + unit, x_row, x_gate,
                first_row + row, column + unit, 0, 0, now, before, slot_now, slot_before, s,
            )  # fmt: skip
