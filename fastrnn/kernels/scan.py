"""The time loop of any cell, forward and backward.

Each step multiplies some rows of the batch by a panel of the recurrent weights, those of many rows
by one of the input's as well, and runs the cell's equations on the result while it is in the
first-level cache. `step`, `GATES`, `OTHERS`, `SAVED`, `APART`, `UNITS`, `H_CARRIED` and `RECURRENT`
stand for one cell, `RAGGED` for sequences of their own lengths; `fastrnn.kernels.jit.bind` gives
their values.

Layout, with T times, N rows of the batch, H hidden units, G gates and D directions:

``h`` (T + 1 or T + 2, N, D, H)
    The output, time t in slot t + 1. A forward direction starts from slot 0, a reverse one from
    slot T + 1. `column` is the first unit of the direction, ``stride = D * H``.
``memory`` (S - 1, R, N, H)
    The states other than h, with as many slots as `h`, or R = 2 used in turn if nothing is kept.
``saved`` (T, N, number saved, H)
    What the cell keeps for its backward equations, if anything is kept; not set behind `lengths`.
``units``, ``d_units`` (number of them, H)
    The cell's weights of one number for each unit, and their gradients, which are added to.
``x_part`` (count, N, G, H)
    The gates' input parts for the times of this call. If they do not stand `together`, those of
    the call's rows do: ``(count, end_row - first_row, G, H)``, row n of a time being `n` rows
    behind the offset all the same.
    Not there where the scan multiplies x itself, if `inputs` is not 0: those of a panel's units are
    then made in the scratch, a part of the same array. Zeros stand there if they are `joined`.
``x`` (T, N, I)
    The input, not looked at unless the scan multiplies it.
``lengths`` (N,)
    Of each sequence, not looked at unless `RAGGED`. Behind them its states stand still, so that a
    reverse direction finds the initial ones at its last step; but h of a forward direction is zero,
    as the output is to be. The gradients of the pre-activations are zero there.

Every other step takes the panels from the last to the first: what the step before left in a cache
is used before it is evicted. With H = 100 and batch 1 (40 KB of weights) that gained 10 % forward
and 15 % backward.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.panels import (
    ROWS,
    panel_at,
    panels_of,
    split,
    split_units,
    to_and_fro,
    units_at,
    units_between,
)
from fastrnn.kernels.product import (
    copy,
    fill_rows,
    multiply_gates,
    multiply_panel,
    product_unpacked,
)
from fastrnn.kernels.ragged import running, shortest
from fastrnn.kernels.team import wait
from fastrnn.simd.memory import finish_uncached, load, load_each, store, store_each
from fastrnn.simd.vector import add_each, input_deltas, lanes_of, recurrent_deltas

GATES = TOGETHER = 1
SAVED = APART = OTHERS = UNITS = EARLY = LATE = 0
H_CARRIED = RAGGED = False
RECURRENT = True
step: Any = None
run_rows: Any = None
hold: Any = None
leave_out: Any = None
early_forward: Any = None
late_backward: Any = None


class Scan(NamedTuple):
    """Sizes of one scan, as the module's text names them."""

    batch: int
    hidden: int
    stride: int
    column: int
    #: Slots of `memory`.
    ring: int
    #: 1 forward in time, -1 in reverse.
    direction: int
    #: Whether `saved` is written.
    keep: int
    #: Whether it is written past the caches.
    uncached: int
    #: Largest tile forward: rows of the batch and vectors of hidden units, as many for each gate.
    rows: int
    width: int
    #: Largest tile backward.
    back_rows: int
    back_width: int
    #: Address of the compiled tiles.
    tile: int
    #: Of compiled rows where `fastrnn.kernels.row` scans, but for `RAGGED` sequences, else 0.
    row: int
    #: Numbers of a row of x, which each step multiplies by a panel of ``weight_ih`` before those of
    #: h, and where these panels begin; 0 if input parts are made before the scan.
    inputs: int
    input_panels: int
    #: Where in the scratch of a thread rows of x and h stand one behind the other, as their weights
    #: do in the panels of h, and are multiplied at once; or 0.
    joined: int
    #: Whether tiles bring the next panel nearer.
    fetches: int
    #: Columns of the dot products that read ``weight_hh`` as it is, forward; 0 if it is packed.
    unpacked: int
    dot_rows: int
    #: Address of the compiled dot products.
    dots: int
    #: Where the workspace of cells with late gates begins: `fastrnn.kernels.late`.
    late: int
    #: Whether a team shares the hidden units, and meets after every step, or the rows of the batch.
    by_units: int
    #: Whether the input parts of all rows stand together: where a team shares the units, or weights
    #: are read unpacked, whose dot products of other rows would add in another order.
    together: int


def scan_forward(h, memory, saved, scratch, scratch_offset, x_part, x_offset,
                 w_hh, units, panels, panel_offset, x_bias, r_bias,
                 rests, first, count, x, lengths, first_row, end_row, team, s):  # fmt: skip
    """Steps of the times first .. first + count - 1, in the scan's direction, of some rows.

    Where it `rests`, the first of them is one from zero: h is not multiplied by its weights.

    `panels` holds `w_hh` transposed, `TOGETHER` gates in each panel, behind the input's weights if
    rows are `joined`; where `w_hh` is read unpacked, they are not looked at. `x_bias` and `r_bias`
    (G * H) are what is added to the gates' input parts and, for gates that are apart, to their
    recurrent parts.
    """
    lanes = lanes_of(h)
    batch, hidden = s.batch, s.hidden
    together = 1 if s.unpacked else TOGETHER
    streams = GATES // together
    panel_count, panel_base, panel_extra, tail = split_units(hidden, together, s.width, lanes)
    first_panel, end_panel = panels_of(panel_count, team, s)
    all_groups = split(end_row - first_row, ROWS)
    x_rows = batch if s.together else end_row - first_row
    padded = (hidden + lanes - 1) // lanes * lanes
    least = shortest(lengths, first_row, end_row) if RAGGED else 0
    first_unit, end_unit = units_between(
        first_panel, end_panel, hidden, together, panel_count, panel_base, panel_extra, tail, lanes
    )
    widest = GATES * s.width * lanes
    parts_at = scratch_offset + min(end_row - first_row, ROWS) * widest
    panel_k, joined_at = hidden, scratch_offset + s.joined
    if s.joined:
        panel_k = s.inputs + hidden
        fill_rows(scratch, parts_at, 0, scratch[:0], 1, widest)
    for i in range(count):
        turn = i if s.direction > 0 else count - 1 - i
        now = first + turn + 1
        before = now - s.direction
        # All slots or two: no division, of which four took 5 ns of the 110 of an LSTM of 8 units.
        slot_now = now & 1 if s.ring == 2 else now
        slot_before = before & 1 if s.ring == 2 else before
        low, high = first_row, end_row
        group_count, group_base, group_extra = all_groups
        some_ended = now > least
        if RAGGED and some_ended:
            low, high = running(lengths, now, first_row, end_row)
            group_count, group_base, group_extra = split(high - low, ROWS)
        at_x = x_offset + turn * x_rows * GATES * hidden
        if LATE:
            early_forward(h, memory, scratch, scratch_offset, x_part, at_x,
                          panels, panel_offset, x_bias, before, slot_before,
                          lengths, now, low, high, s)  # fmt: skip
        at_rest = rests and i == 0
        # What the panels of h are multiplied by: so many numbers of rows so far apart.
        source, of_rows, row_stride, k = h, before * batch * s.stride + s.column, s.stride, hidden
        if s.joined:
            source, of_rows, row_stride = scratch, joined_at, panel_k
            k = s.inputs if at_rest else panel_k
            for n in range(low, high):
                at = joined_at + n * panel_k
                copy(scratch, at, x, ((now - 1) * batch + n) * s.inputs, s.inputs)
                from_h = (before * batch + n) * s.stride + s.column
                copy(scratch, at + s.inputs, h, from_h, k - s.inputs)
        for panel in range(first_panel, end_panel):
            # Where it `fetches`, each tile of several rows brings a part of the next panel nearer.
            follows = s.fetches and panel + 1 < end_panel
            panel, onward = to_and_fro(panel, i, first_panel, end_panel)
            column, wide, vectors = units_at(
                panel, hidden, together, panel_count, panel_base, panel_extra, tail, lanes
            )
            next_column, next_wide = 0, 0
            if follows:
                next_column, _, next_vectors = units_at(
                    panel + onward, hidden, together,
                    panel_count, panel_base, panel_extra, tail, lanes,
                )  # fmt: skip
                next_wide = next_vectors * lanes
            # Numbers in a row of the scratch.
            across = streams * vectors * lanes
            end = min(column + wide, hidden)
            row = low
            for group in range(group_count):
                rows = group_base + (group < group_extra)
                from_row = of_rows + row * row_stride
                later = 0 if group else next_wide
                x_at, x_row, x_gate = at_x + row * GATES * hidden + column, GATES * hidden, hidden
                if s.inputs:
                    x_at, x_row, x_gate = parts_at, 0 if s.joined else across, wide
                if s.inputs and not s.joined:
                    multiply_gates(
                        scratch, x_at, across, wide,
                        x, ((now - 1) * batch + row) * s.inputs, s.inputs, s.inputs,
                        panels, s.input_panels, s.inputs, padded, column,
                        0, GATES, TOGETHER, rows, s.rows, vectors, next_column, later, s.tile,
                    )  # fmt: skip
                if at_rest and not s.joined:
                    fill_rows(scratch, scratch_offset, across, scratch[:0], rows, across)
                elif RECURRENT and s.unpacked:
                    for gate in range(GATES):
                        product_unpacked(
                            scratch, scratch_offset + gate * wide, across,
                            h, from_row, s.stride, w_hh, (gate * hidden + column) * hidden,
                            rows, hidden, min(wide, hidden - column), s.dot_rows, s.unpacked,
                            s.dots,
                        )  # fmt: skip
                elif LATE:
                    multiply_gates(
                        scratch, scratch_offset, across, wide,
                        scratch, s.late + row * hidden, hidden, hidden,
                        panels, panel_offset, hidden, padded, column,
                        EARLY, GATES, 1, rows, s.rows, vectors, 0, 0, s.tile,
                    )  # fmt: skip
                elif RECURRENT:
                    multiply_gates(
                        scratch, scratch_offset, across, wide, source, from_row, row_stride, k,
                        panels, panel_offset, panel_k, padded, column,
                        0, GATES, TOGETHER, rows, s.rows, vectors, next_column, later, s.tile,
                    )  # fmt: skip
                n = row
                while n < row + rows:
                    stop = row + rows
                    if RAGGED and some_ended:
                        stop = n
                        while stop < row + rows and lengths[stop] >= now:
                            stop += 1
                        if stop == n:
                            hold(h, memory, now, before, slot_now, slot_before, n, n + 1,
                                 column, end, s)  # fmt: skip
                            n += 1
                            continue
                    run_rows(
                        h, memory, saved, scratch, x_part, x_bias, r_bias, units,
                        scratch_offset + (n - row) * across, across, wide,
                        x_at + (n - row) * x_row, x_row, x_gate, n, stop,
                        column, end, now, before, slot_now, slot_before, s,
                    )  # fmt: skip
                    n = stop
                row += rows
        if RAGGED and some_ended:
            for first_of, end_of in ((first_row, low), (high, end_row)):
                hold(h, memory, now, before, slot_now, slot_before, first_of, end_of,
                     first_unit, end_unit, s)  # fmt: skip
        if s.by_units:
            wait(team)
    if s.uncached:
        finish_uncached()


def scan_backward(
    x_delta, r_delta, x_delta_offset, r_delta_offset, carry, scratch, scratch_offset,
    d_output, h, memory, saved, d_units, units, panels, panel_offset, first, count, begins,
    lengths, reach, first_row, end_row, team, s,
):  # fmt: skip
    """Gradients of some rows' pre-activations, times first .. first + count - 1, last step first.

    ``x_delta``, ``r_delta`` (count + 1, reach, G, H)
        Gradients of the gates' input and recurrent parts, one array where no gate is apart. A
        forward direction has time t in slot t - first and finds the step after the last one in
        slot `count`; a reverse one has t in slot t - first + 1 and finds it in slot 0.
    ``carry`` (S, N, H)
        Gradients of the states after the last step of a sequence, until the scan begins with it;
        what has reached the states other than through the recurrent weights, on return. With
        `lengths` this takes in what came through them where a reverse direction is done with a
        sequence before its time ends.
    ``d_output`` (T, N, D, H), or empty where there is none.
    `panels` holds ``weight_hh`` (G * H, H) as it is.
    """
    lanes = lanes_of(h)
    batch, hidden = s.batch, s.hidden
    gates_hidden = GATES * hidden
    panel_count, panel_base, panel_extra = split((hidden + lanes - 1) // lanes, s.back_width)
    first_panel, end_panel = panels_of(panel_count, team, s)
    all_groups = split(end_row - first_row, ROWS)
    slot, slot_carry = s.ring * batch * hidden, batch * hidden
    least = shortest(lengths, first_row, end_row) if RAGGED else 0
    first_unit, end_unit = units_between(
        first_panel, end_panel, hidden, 1, panel_count, panel_base, panel_extra, 0, lanes
    )
    for i in range(count):
        turn = count - 1 - i if s.direction > 0 else i
        now = first + turn + 1
        before = now - s.direction
        here = turn + (s.direction < 0)
        starts = begins and i == 0
        low, high = first_row, end_row
        group_count, group_base, group_extra = all_groups
        if RAGGED and now > least:
            low, high = running(lengths, now - (s.direction < 0), first_row, end_row)
            group_count, group_base, group_extra = split(high - low, ROWS)
            leave_out(x_delta, r_delta, x_delta_offset, r_delta_offset, lengths, now, here,
                      reach, first_row, end_row, first_unit, end_unit, s)  # fmt: skip
        for panel in range(first_panel, end_panel):
            follows = s.fetches and panel + 1 < end_panel
            panel, onward = to_and_fro(panel, i, first_panel, end_panel)
            column, vectors = panel_at(panel, panel_base, panel_extra, lanes)
            next_column, next_size = 0, 0
            if follows:
                next_column, next_vectors = panel_at(panel + onward, panel_base, panel_extra, lanes)
                next_size = gates_hidden * next_vectors * lanes
            wide = vectors * lanes
            end = min(column + wide, hidden)
            row = low
            for group in range(group_count):
                rows = group_base + (group < group_extra)
                if RECURRENT and not starts:
                    after = (here + s.direction) * reach + row
                    multiply_panel(
                        scratch, scratch_offset, wide,
                        r_delta, r_delta_offset + after * gates_hidden, gates_hidden,
                        panels, panel_offset + gates_hidden * column,
                        EARLY * hidden if LATE else gates_hidden,
                        rows, s.back_rows, vectors,
                        panel_offset + gates_hidden * next_column,
                        0 if group else next_size, s.tile,
                    )  # fmt: skip
                for n in range(row, row + rows):
                    at_scratch = scratch_offset + (n - row) * wide
                    at_delta = (here * reach + n) * gates_hidden
                    at_output = ((now - 1) * batch + n) * s.stride + s.column
                    at_h = (now * batch + n) * s.stride + s.column
                    from_h = (before * batch + n) * s.stride + s.column
                    at_memory = (now * batch + n) * hidden
                    from_memory = (before * batch + n) * hidden
                    at_saved = ((now - 1) * batch + n) * SAVED * hidden
                    at_carry = n * hidden
                    begun = starts
                    # In its last step a sequence begins.
                    if RAGGED and now >= least:
                        if lengths[n] < now:
                            if RECURRENT and not starts and lengths[n] == now + s.direction:
                                for j in range(column, end, lanes):
                                    left = hidden - j
                                    through = load(scratch, at_scratch + j - column, lanes)
                                    so_far = load(carry, at_carry + j, left)
                                    store(carry, at_carry + j, left, so_far + through)
                            continue
                        begun = starts or (s.direction > 0 and lengths[n] == now)
                    for j in range(column, end, lanes):
                        left = hidden - j
                        dh = load(d_output, at_output + j, left if d_output.size else 0)
                        if RECURRENT and not begun:
                            dh = dh + load(scratch, at_scratch + j - column, lanes)
                        if begun or H_CARRIED:
                            dh = dh + load(carry, at_carry + j, left)
                        # What comes later is added.
                        if RAGGED and begun and not H_CARRIED:
                            store(carry, at_carry + j, left, load(carry, at_carry, 0))
                        d_others = load_each(
                            carry, at_carry + slot_carry + j, slot_carry, left, OTHERS
                        )
                        kept = load_each(saved, at_saved + j, hidden, left, SAVED)
                        old = load_each(h, from_h + j, 0, left, 1)
                        old = old + load_each(memory, from_memory + j, slot, left, OTHERS)
                        new = load_each(h, at_h + j, 0, left, 1)
                        new = new + load_each(memory, at_memory + j, slot, left, OTHERS)
                        weights = load_each(units, j, hidden, left, UNITS)
                        results = step(*(kept + old + new + (dh,) + d_others + weights))
                        deltas, d_old = results[0], results[1]
                        if UNITS:
                            sums = add_each(load_each(d_units, j, hidden, left, UNITS), results[2])
                            store_each(d_units, j, hidden, left, sums)
                        store_each(
                            x_delta,
                            x_delta_offset + at_delta + j,
                            hidden,
                            left,
                            input_deltas(deltas, APART),
                        )
                        if APART:
                            store_each(
                                r_delta,
                                r_delta_offset + at_delta + j,
                                hidden,
                                left,
                                recurrent_deltas(deltas, APART),
                            )
                        skipped = at_carry + (0 if H_CARRIED else slot_carry)
                        store_each(carry, skipped + j, slot_carry, left, d_old)
                row += rows
        if LATE:
            late_backward(x_delta, x_delta_offset, carry, scratch, scratch_offset, h, memory, saved,
                          panels, panel_offset, here, now, before, lengths, reach, low,
                          high, s)  # fmt: skip
        if s.by_units:
            wait(team)
