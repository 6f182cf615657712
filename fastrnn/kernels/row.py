"""The forward time loop of a batch of one, as `fastrnn.kernels.scan` has it for any batch.

A step multiplies the row by all panels in one call and then runs the equations of all units: what
else it does must be little. `run_units` and `run_pair` stand for a cell, with `GATES`, `TOGETHER`.

Weights that do not fit in the first-level cache leave the core idle while they are loaded. There,
where `fastrnn.simd.cpu.BESIDE` says so, the input parts of the first steps alone are made before
the scan. While it runs through some steps it makes those of as many later ones, a vector of columns
beside each panel: `fastrnn.simd.row`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.panels import panel_at, panels_of, split_units, to_and_fro, units_between
from fastrnn.kernels.product import fill_rows
from fastrnn.kernels.team import share, wait
from fastrnn.simd.memory import finish_uncached
from fastrnn.simd.row import ROWS, beside_product, row_product
from fastrnn.simd.vector import lanes_of

GATES = TOGETHER = 1
run_units: Any = None
run_pair: Any = None

#: Steps of a sequence for which some of its input parts are left to the scan: an LSTM of 25
#: and 100 units takes 0.95 of the time (``bench/limits.py beside``; Zen 4).
LEAST_STEPS = 3 * ROWS


class Beside(NamedTuple):
    """What a scan of one row makes besides; `fastrnn.plan` makes it."""

    #: Address of the compiled kernel; 0 where all input parts are there.
    address: int
    #: Numbers in a row of x.
    inputs: int
    #: Where the panels of ``weight_ih`` begin, and their vectors, as `split` gives them.
    panels: int
    base: int
    extra: int


class Cut(NamedTuple):
    """The units of one thread, and their panels."""

    first_unit: int
    end_unit: int
    #: Numbers in the vectors that they take, but for the tail: units of a last panel of less.
    wide: int
    tail: int
    #: Panels of ``across + 1`` vectors of each gate, and those of `across` behind them.
    broad: int
    narrow: int
    across: int


@kernel
def before_scan(count, beside):
    """Of the input parts of `count` steps, how many must be there when the scan begins."""
    return ROWS + count % ROWS if beside.address and count >= LEAST_STEPS else count


@kernel
def due(i, count, direction, columns, lanes, team, beside):
    """What a thread makes in step i: (time, first, end), vectors of `ROWS` times from there on."""
    early = before_scan(count, beside)
    since = i - (early - ROWS)
    time = early + since // ROWS * ROWS
    if since < 0 or time >= count:
        return 0, 0, 0
    vectors, turn = (columns + lanes - 1) // lanes, since % ROWS
    begin, end = turn * vectors // ROWS, (turn + 1) * vectors // ROWS
    first, end = share(end - begin, team)
    return time if direction > 0 else count - ROWS - time, begin + first, begin + end


@kernel
def cut_units(hidden, gates, width, lanes, team, s):
    """What `split_units` gives this thread."""
    count, base, extra, tail = split_units(hidden, gates, width, lanes)
    first, end = panels_of(count, team, s)
    first_unit, end_unit = units_between(first, end, hidden, gates, count, base, extra, tail, lanes)
    has_tail = tail > 0 and end == count and first < end
    tail = tail if has_tail else 0
    wide = (end_unit - first_unit - tail + lanes - 1) // lanes * lanes
    panels = end - first - has_tail
    broad = max(0, min(panels, extra - first))
    return Cut(first_unit, end_unit, wide, tail, broad, panels - broad, base)


@kernel
def multiply_beside(c, c_offset, h, h_offset, panels, panel_offset, hidden, gates, turn, cut,
                    x_part, x_offset, columns, time, vector, end_vector, x, x_start, beside,
                    address):  # fmt: skip
    """c (gates, cut.wide)  =  h (hidden,) @ the panels of `cut`, but for the tail's.

    Of the input parts (`ROWS` times from `time` on, columns) it makes a vector beside each panel,
    from `vector` on up to `end_vector`; it returns the first that is not made.
    """
    lanes = lanes_of(c)
    count = cut.broad + cut.narrow
    for panel in range(count):
        panel, _ = to_and_fro(panel, turn, 0, count)
        unit, across = panel_at(panel, cut.across, cut.broad, lanes)
        to, at = c_offset + unit, panel_offset + gates * hidden * (cut.first_unit + unit)
        if vector < end_vector:
            make_beside(c, to, cut.wide, across, h, h_offset, panels, at, hidden, gates * across,
                        x_part, x_offset, columns, time, vector, x, x_start, beside)  # fmt: skip
            vector += 1
        else:
            row_product(address, c, to, cut.wide, across, h, h_offset, panels, at, hidden,
                        gates * across, 1, 1)  # fmt: skip
    return vector


@kernel
def make_beside(c, c_offset, c_stride, group, h, h_offset, panels, panel_offset, k, vectors,
                x_part, x_offset, columns, time, vector, x, x_start, beside):  # fmt: skip
    """c = h @ panel, and a vector of the input parts (`ROWS` times from `time` on, columns)."""
    lanes = lanes_of(c)
    wide, first = beside.base + 1, 0
    if vector >= beside.extra * wide:
        first, wide = beside.extra * wide, beside.base
    first += (vector - first) // wide * wide
    column = beside.panels + (beside.inputs * first + vector - first) * lanes
    beside_product(
        beside.address, c, c_offset, c_stride, group, h, h_offset, panels, panel_offset, k, vectors,
        x_part, x_offset + time * columns + vector * lanes, columns, columns - vector * lanes,
        x, x_start + time * beside.inputs, beside.inputs,
        panels, column, wide * lanes, beside.inputs,
    )  # fmt: skip


def scan_row(h, memory, saved, scratch, scratch_offset, x_part, x_offset, units, panels,
             panel_offset, x_bias, r_bias, rests, first, count, x, x_start, beside, team,
             s):  # fmt: skip
    """Steps of the times first .. first + count - 1, as `fastrnn.kernels.scan.scan_forward`.

    A team shares the units.

    Input parts that are not there yet are made from `x`, whose first time is at `x_start`: `beside`
    says which.
    """
    lanes = lanes_of(h)
    hidden = s.hidden
    cut = cut_units(hidden, TOGETHER, s.width, lanes, team, s)
    end_whole, tail_vectors = cut.end_unit, (TOGETHER * cut.tail + lanes - 1) // lanes
    if cut.tail:
        end_whole = cut.first_unit + cut.wide
    gate_panels = hidden * lanes * ((hidden + lanes - 1) // lanes)
    for i in range(count):
        turn = i if s.direction > 0 else count - 1 - i
        now = first + turn + 1
        before = now - s.direction
        # All slots or two: no division, of which four took 5 ns of the 110 of an LSTM of 8 units.
        slot_now = now & 1 if s.ring == 2 else now
        slot_before = before & 1 if s.ring == 2 else before
        at_x = x_offset + turn * GATES * hidden
        from_h = before * s.stride + s.column
        later, vector, end_vector = 0, 0, 0
        if beside.address:
            later, vector, end_vector = due(
                i, count, s.direction, GATES * hidden, lanes, team, beside
            )
        starts = rests and i == 0
        if starts:
            fill_rows(scratch, scratch_offset, 0, scratch[:0], 1, GATES * (cut.wide + lanes))
        for gate in range(GATES if starts else 0, GATES, TOGETHER):
            to, at = scratch_offset + gate * cut.wide, panel_offset + gate * gate_panels
            with_beside = vector < end_vector
            if with_beside:
                vector = multiply_beside(
                    scratch, to, h, from_h, panels, at, hidden, TOGETHER, i, cut,
                    x_part, x_offset, GATES * hidden, later, vector, end_vector, x, x_start, beside,
                    s.row,
                )  # fmt: skip
            # Written here, not called: an LSTM of 32 units takes 0.97, an RNN of 64 0.81 of the
            # time. Panels are broad, then narrow, then the tail's, and every other time the other
            # way round.
            forward = 1 - i % 2
            for n in range(3):
                piece = n if forward else 2 - n
                group, panel_count = cut.across + (piece == 0), cut.narrow
                unit, vectors = cut.broad * (cut.across + 1) * lanes, TOGETHER * group
                place = unit
                if piece == 0:
                    panel_count, unit, place = cut.broad, 0, 0
                elif piece == 2:
                    # Its gates stand one behind the other, in fewer vectors.
                    panel_count, unit, place = int(cut.tail > 0), cut.wide, TOGETHER * cut.wide
                    group = vectors = tail_vectors
                if panel_count and not (with_beside and piece < 2):
                    row_product(
                        s.row, scratch, to + place, cut.wide, group, h, from_h, panels,
                        at + TOGETHER * hidden * (cut.first_unit + unit), hidden, vectors,
                        panel_count, forward,
                    )  # fmt: skip
        while vector < end_vector:
            make_beside(scratch, scratch_offset, 0, 0, h, 0, panels, panel_offset, hidden, 0,
                        x_part, x_offset, GATES * hidden, later, vector, x, x_start,
                        beside)  # fmt: skip
            vector += 1
        j = cut.first_unit
        while j + 2 * lanes <= end_whole:
            run_pair(h, memory, saved, scratch, x_part, x_bias, r_bias, units,
                     scratch_offset + j - cut.first_unit, 0, cut.wide,
                     at_x + j, 0, hidden, 0, j, 0, lanes,
                     now, before, slot_now, slot_before, s)  # fmt: skip
            j += 2 * lanes
        while j < cut.end_unit:
            of_tail = j >= end_whole
            at_scratch = GATES * cut.wide if of_tail else j - cut.first_unit
            run_units(h, memory, saved, scratch, x_part, x_bias, r_bias, units,
                      scratch_offset + at_scratch, 0, cut.tail if of_tail else cut.wide,
                      at_x + j, 0, hidden, 0, j, 0, 0,
                      now, before, slot_now, slot_before, s)  # fmt: skip
            j += lanes
        if s.by_units:
            wait(team)
    if s.uncached:
        finish_uncached()
