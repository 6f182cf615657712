"""Panels: a matrix copied into the order in which the register tile reads it.

A matrix B (K, columns) is cut into panels of whole vectors, at most `width` vectors each and as
equal as they can be; what fills the last vector is never used. Panel by panel, row k of a panel
stands in ``vectors * lanes`` adjacent numbers; the panel of column j begins at element ``K * j``.
"""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.team import share
from fastrnn.simd.memory import copy_transposed, load, store
from fastrnn.simd.vector import lanes_of

#: Rows of the batch that are multiplied by a panel before a cell's equations run on them.
ROWS = 96
#: Rows that are copied to all panels before the next ones: so many pages are open at a time.
ROWS_AT_A_TIME = 16


@kernel
def split(total, largest):
    """Cut `total` into the fewest parts of at most `largest`: (parts, base, extra).

    The first `extra` parts are ``base + 1`` long, the others `base`.
    """
    parts = max(1, (total + largest - 1) // largest)
    return parts, total // parts, total % parts


@kernel
def panel_at(panel, base, extra, lanes):
    """First column of a panel of whole vectors, as `split` cuts them, and its vectors."""
    return lanes * (panel * base + min(panel, extra)), base + (panel < extra)


@kernel
def panels_of(panels, team, s):
    """The panels of this thread: (first, end)."""
    if s.by_units:
        return share(panels, team)
    return 0, panels


@kernel
def to_and_fro(panel, turn, first, end):
    """The panel that every other turn takes from the other end, and the way to the next one."""
    return (panel, 1) if turn % 2 == 0 else (first + end - 1 - panel, -1)


@kernel
def split_units(units, gates, largest, lanes):
    """Cut hidden units into panels that hold all gates of theirs: (panels, base, extra, tail).

    All but the last panel have whole vectors of units, as `split` cuts them. The units that fill no
    vector, if any, are the last one, the `tail`: their gates stand one behind the other in fewer
    vectors. Where that spares none, or one panel would do, there is no tail: a second one is later,
    not shorter. LSTM and GRU of 65 and 100 units, batch 32, take 0.94 to 0.99 of the time (Zen 4).
    """
    vectors = (units + lanes - 1) // lanes
    tail = units % lanes
    spares = (gates * tail + lanes - 1) // lanes < gates
    if tail and tail == units and spares:
        return 1, 0, 0, tail
    if not spares or vectors <= largest:
        tail = 0
    count, base, extra = split(vectors - (tail > 0), largest)
    return count + (tail > 0), base, extra, tail


@kernel
def units_at(panel, hidden, gates, count, base, extra, tail, lanes):
    """First unit of a panel that `split_units` cut, its units, and vectors of all gates."""
    if tail and panel == count - 1:
        return hidden - tail, tail, (gates * tail + lanes - 1) // lanes
    first, vectors = panel_at(panel, base, extra, lanes)
    return first, lanes * vectors, gates * vectors


@kernel
def units_between(first_panel, end_panel, hidden, gates, count, base, extra, tail, lanes):
    """The hidden units of some panels that `split_units` cut: (first, end)."""
    first, _, _ = units_at(first_panel, hidden, gates, count, base, extra, tail, lanes)
    end = hidden
    if end_panel < count:
        end, _, _ = units_at(end_panel, hidden, gates, count, base, extra, tail, lanes)
    return first, end


@kernel
def pack(panels, panel_offset, b, b_offset, k_stride, column_stride, k, columns, width, team):
    """Copy B, whose element (k, j) is ``b[b_offset + k * k_stride + j * column_stride]``.

    The team shares the panels.
    """
    if column_stride == 1:
        pack_steps(panels, panel_offset, b, b_offset, 0, k_stride, 1, k, columns, width, team)
        return
    lanes = lanes_of(b)
    count, base, extra = split((columns + lanes - 1) // lanes, width)
    first_panel, end_panel = share(count, team)
    column, _ = panel_at(first_panel, base, extra, lanes)
    for panel in range(first_panel, end_panel):
        wide = lanes * (base + (panel < extra))
        start = panel_offset + k * column
        for v in range(0, wide, lanes):
            source = b_offset + column * column_stride
            _pack_strided(
                panels, start + v, wide, b, source, k_stride, column_stride, k, columns - column
            )
            column += lanes


@kernel
def pack_steps(panels, panel_offset, b, b_offset, step_stride, row_stride, steps, rows, columns,
               width, team):  # fmt: skip
    """`pack` of the first `rows` rows of some steps: (steps * rows, columns).

    Element (t, n, j) is ``b[b_offset + t * step_stride + n * row_stride + j]``.
    """
    lanes = lanes_of(b)
    count, base, extra = split((columns + lanes - 1) // lanes, width)
    first_panel, end_panel = share(count, team)
    first_column, _ = panel_at(first_panel, base, extra, lanes)
    if step_stride == rows * row_stride:
        steps, rows = 1, steps * rows
    k = steps * rows
    for step in range(steps):
        # Some rows at a time: with all of them, a matrix of 1024 rows took five times as long.
        for first in range(0, rows, ROWS_AT_A_TIME):
            column = first_column
            for panel in range(first_panel, end_panel):
                wide = lanes * (base + (panel < extra))
                start = panel_offset + k * column + step * rows * wide
                for i in range(first, min(rows, first + ROWS_AT_A_TIME)):
                    source = b_offset + step * step_stride + i * row_stride + column
                    for v in range(0, wide, lanes):
                        values = load(b, source + v, columns - column - v)
                        store(panels, start + i * wide + v, lanes, values)
                column += wide


@kernel
def clear_behind(panels, panel_offset, steps, rows, columns, width, lengths, now, team):
    """Set rows of what `pack_steps` packed to zero where sequences have no such step.

    `now` is the number of the first step.
    """
    lanes = lanes_of(panels)
    count, base, extra = split((columns + lanes - 1) // lanes, width)
    first_panel, end_panel = share(count, team)
    k = steps * rows
    nothing = load(panels, panel_offset, 0)
    for panel in range(first_panel, end_panel):
        column, vectors = panel_at(panel, base, extra, lanes)
        start, wide = panel_offset + k * column, vectors * lanes
        for n in range(rows):
            for i in range(max(0, lengths[n] + 1 - now) * rows + n, k, rows):
                for j in range(0, wide, lanes):
                    store(panels, start + i * wide + j, lanes, nothing)


@kernel
def pack_gates(panels, panel_offset, w, gates, k, units, width, panel_k, first_k, team):
    """Copy weights W (gates * units, k), transposed, so that a panel holds all gates of its units.

    They are the steps first_k .. first_k + k - 1 of panels of `panel_k`.

    Row k of a panel has its units of the first gate, then of the second, and so on; the panel of
    unit j begins at element ``gates * panel_k * j``. `split_units` says which units they have.
    """
    lanes = lanes_of(w)
    count, base, extra, tail = split_units(units, gates, width, lanes)
    first_panel, end_panel = share(count, team)
    if tail and end_panel == count:
        end_panel -= 1
        wide = (gates * tail + lanes - 1) // lanes * lanes
        start = panel_offset + gates * panel_k * (units - tail) + first_k * wide
        for i in range(k):
            for j in range(wide):
                gate, unit = j // tail, units - tail + j % tail
                inside = gate < gates
                panels[start + i * wide + j] = w[(gate * units + unit) * k + i] if inside else 0
    for panel in range(first_panel, end_panel):
        first, vectors = panel_at(panel, base, extra, lanes)
        start = panel_offset + gates * (panel_k * first + first_k * vectors * lanes)
        for gate in range(gates):
            for v in range(vectors):
                unit = first + v * lanes
                _pack_strided(panels, start + (gate * vectors + v) * lanes, gates * vectors * lanes,
                              w, (gate * units + unit) * k, 1, k, k, units - unit)  # fmt: skip


@kernel
def _pack_strided(panels, start, wide, b, b_offset, k_stride, column_stride, k, columns):
    """Copy the next `lanes` columns of B, or the fewer that are left."""
    lanes = lanes_of(b)
    if k_stride == 1 and k >= lanes:
        for i in range(0, k, lanes):
            i = min(i, k - lanes)
            copy_transposed(panels, start + i * wide, wide, b, b_offset + i, column_stride, columns)
    else:
        for i in range(k):
            for j in range(lanes):
                inside = j < columns
                panels[start + i * wide + j] = (
                    b[b_offset + i * k_stride + j * column_stride] if inside else 0
                )
