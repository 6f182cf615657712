"""The gates' input parts of a block of times, where the scan does not multiply x itself."""

from __future__ import annotations

from fastrnn.kernels.primitives import copy, gather, product, product_unpacked
from fastrnn.kernels.ragged import running
from fastrnn.kernels.team import share, share_rows

GATES = 1
RAGGED = False


def input_parts(work, scratch, x, tokens, lengths, w_ih, start, count, at, place, first_row,
                end_row, team, p):  # fmt: skip
    """The gates' input parts for the times start .. start + count - 1.

    They stand from the place of time `at` on; that of time 0 and row 0 is, or would be, `place`.

    A thread makes the rows that it scans next, unless the parts of all stand together; but for
    tokens and `RAGGED` sequences those of all times in one product: time by time, an LSTM of 64
    units and 16 sequences took two threads 1.1 times as long.
    """
    s = p.scan
    gates_hidden = GATES * s.hidden
    first, end = (0, s.batch) if s.together else (first_row, end_row)
    rows = end - first
    if RAGGED and not s.together:
        first, end = running(lengths, start + 1, first, end)
    copies = count > 1 and not (RAGGED or p.tokens) and end - first < s.batch
    rows_of_x = p.row_panels + first * p.block * p.inputs
    if copies:
        numbers = (end - first) * p.inputs
        for time in range(count):
            of_x = ((start + time) * s.batch + first) * p.inputs
            copy(work, rows_of_x + time * numbers, x, of_x, numbers)
    stretches = count
    if copies or end - first == s.batch:
        stretches, end = 1, first + count * (end - first)
    for stretch in range(stretches):
        of_x = (start + stretch) * s.batch
        to = place + (at + stretch) * rows * gates_hidden
        if p.tokens:
            if s.by_units:
                first, end = share(count * s.batch, team)
            gather(work, to + first * gates_hidden, w_ih, p.gate_stride, p.token_stride,
                   tokens, of_x + first, end - first, gates_hidden)  # fmt: skip
        elif p.unpacked:
            tiles = (gates_hidden + p.dot_columns - 1) // p.dot_columns
            tile, end_tile = share(tiles, team)
            column = tile * p.dot_columns
            wide = min(end_tile * p.dot_columns, gates_hidden) - column
            product_unpacked(
                work, to + column, gates_hidden, x, of_x * p.inputs, p.inputs,
                w_ih, column * p.inputs, end, p.inputs, wide, p.dot_rows, p.dot_columns, s.dots,
            )  # fmt: skip
        else:
            if s.by_units:
                first, end = share_rows(count * s.batch, team)
            product(work, to + first * gates_hidden, gates_hidden,
                    work if copies else x, rows_of_x if copies else (of_x + first) * p.inputs,
                    p.inputs, 1, work, p.input_panels, end - first, p.inputs, gates_hidden, False,
                    work, scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
