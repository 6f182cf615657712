"""A cell's equations in a forward step; `fastrnn.kernels.scan` has the layout of the arrays."""

from __future__ import annotations

from typing import Any

from fastrnn.simd.memory import load_units, store_units
from fastrnn.simd.vector import add_each, preactivations

GATES = LAST = 1
SAVED = APART = OTHERS = UNITS = EARLY = EARLY_KEPT = 0
PAIRED = False
RECURRENT = True
step: Any = None


def run_units(h, memory, saved, scratch, x_part, x_bias, r_bias, units, at_scratch, across, wide,
              x_offset, n, j, down, right, now, before, slot_now, slot_before, s):  # fmt: skip
    """The cell's equations for a vector of units from unit j on, of row n of the batch.

    If `PAIRED`, for another vector as well, `down` rows and `right` units farther, both whole:
    their chains of operations run side by side. An LSTM's equations, 32 rows of 128 units at a
    time, then take 0.82 of the time (``bench/limits.py equations``; Emerald Rapids).
    """
    batch, hidden = s.batch, s.hidden
    left = hidden - j
    slot = s.ring * batch * hidden

    at_x = x_offset + (n * GATES + EARLY) * hidden + j
    x = load_units(x_part, at_x, down * GATES * hidden + right, hidden, left, LAST, PAIRED)
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
