"""Cells of two stages a step: late gates, whose weights multiply what the early ones make of h.

In the original GRU the candidate's weights multiply ``r * h``. A step then has two products. The
first stage runs the early gates and the cell's `early` equations and leaves, in the workspace from
``s.late`` on, the modulated state (N, H) and what is kept for the second stage (N, kept, H).
Backward it comes last: the modulated state's gradient passes through `early_back`.
"""

from __future__ import annotations

from typing import Any

from fastrnn.kernels.panels import ROWS, panel_at, split
from fastrnn.kernels.product import multiply_panel
from fastrnn.simd.memory import load, load_each, store, store_each
from fastrnn.simd.vector import add_each, lanes_of

GATES = EARLY = STATES = LAST = 1
SAVED = OTHERS = EARLY_KEPT = 0
RAGGED = False
early: Any = None
early_back: Any = None


def early_forward(h, memory, scratch, scratch_offset, x_part, x_offset,
                  panels, panel_offset, x_bias, before, slot_before,
                  lengths, now, first_row, end_row, s):  # fmt: skip
    """The first stage of a step, of slot `now`, for some rows.

    Of `RAGGED` sequences, rows of fewer `lengths` are left out.
    """
    lanes = lanes_of(h)
    batch, hidden = s.batch, s.hidden
    panel_count, panel_base, panel_extra = split((hidden + lanes - 1) // lanes, s.width)
    group_count, group_base, group_extra = split(end_row - first_row, ROWS)
    gate_panels = hidden * lanes * ((hidden + lanes - 1) // lanes)
    kept_offset = s.late + batch * hidden
    for panel in range(panel_count):
        column, vectors = panel_at(panel, panel_base, panel_extra, lanes)
        wide = vectors * lanes
        row = first_row
        for group in range(group_count):
            rows = group_base + (group < group_extra)
            for gate in range(EARLY):
                multiply_panel(
                    scratch, scratch_offset + gate * wide, EARLY * wide,
                    h, (before * batch + row) * s.stride + s.column, s.stride,
                    panels, panel_offset + gate * gate_panels + hidden * column,
                    hidden, rows, s.rows, vectors, 0, 0, s.tile,
                )  # fmt: skip
            for n in range(row, row + rows):
                if RAGGED and lengths[n] < now:
                    continue
                at_scratch = scratch_offset + (n - row) * EARLY * wide
                at_x = x_offset + n * GATES * hidden
                from_h = (before * batch + n) * s.stride + s.column
                from_memory = (slot_before * batch + n) * hidden
                slot = s.ring * batch * hidden
                for j in range(column, min(column + wide, hidden), lanes):
                    left = hidden - j
                    a = load_each(x_part, at_x + j, hidden, left, EARLY)
                    a = add_each(a, load_each(x_bias, j, hidden, left, EARLY))
                    r = load_each(scratch, at_scratch + j - column, wide, lanes, EARLY)
                    a = add_each(a, r)
                    states = load_each(h, from_h + j, 0, left, 1)
                    states = states + load_each(memory, from_memory + j, slot, left, OTHERS)
                    modulated, kept = early(*(a + states))
                    store(scratch, s.late + n * hidden + j, left, modulated)
                    at_kept = kept_offset + n * EARLY_KEPT * hidden
                    store_each(scratch, at_kept + j, hidden, left, kept)
            row += rows


def late_backward(x_delta, x_delta_offset, carry, scratch, scratch_offset, h, memory, saved,
                  panels, panel_offset, here, now, before, lengths, reach, first_row,
                  end_row, s):  # fmt: skip
    """Backward through the first stage of the step of slot `now`, for some rows.

    Of `RAGGED` sequences, rows of fewer `lengths` are left out.
    """
    lanes = lanes_of(h)
    batch, hidden = s.batch, s.hidden
    gates_hidden = GATES * hidden
    panel_count, panel_base, panel_extra = split((hidden + lanes - 1) // lanes, s.back_width)
    group_count, group_base, group_extra = split(end_row - first_row, ROWS)
    slot = s.ring * batch * hidden
    for panel in range(panel_count):
        column, vectors = panel_at(panel, panel_base, panel_extra, lanes)
        wide = vectors * lanes
        row = first_row
        for group in range(group_count):
            rows = group_base + (group < group_extra)
            at_row = x_delta_offset + (here * reach + row) * gates_hidden
            multiply_panel(
                scratch, scratch_offset, wide,
                x_delta, at_row + EARLY * hidden, gates_hidden,
                panels, panel_offset + gates_hidden * column + EARLY * hidden * wide,
                LAST * hidden, rows, s.back_rows, vectors, 0, 0, s.tile,
            )  # fmt: skip
            for n in range(row, row + rows):
                if RAGGED and lengths[n] < now:
                    continue
                at_delta = x_delta_offset + (here * reach + n) * gates_hidden
                from_h = (before * batch + n) * s.stride + s.column
                from_memory = (before * batch + n) * hidden
                at_saved = ((now - 1) * batch + n) * SAVED * hidden
                for j in range(column, min(column + wide, hidden), lanes):
                    left = hidden - j
                    kept = load_each(saved, at_saved + j, hidden, left, SAVED)
                    old = load_each(h, from_h + j, 0, left, 1)
                    old = old + load_each(memory, from_memory + j, slot, left, OTHERS)
                    d = load(scratch, scratch_offset + (n - row) * wide + j - column, lanes)
                    so_far = load_each(x_delta, at_delta + j, hidden, left, EARLY)
                    deltas, d_h = early_back(*(kept + old + (d,) + so_far))
                    store_each(x_delta, at_delta + j, hidden, left, deltas)
                    at_carry = n * hidden + j
                    store(carry, at_carry, left, load(carry, at_carry, left) + d_h)
            row += rows
