"""The input product of a sequence, made between the loads of its scan: `fastrnn.simd.beside`.

The input parts of the first steps are there before the scan begins. While it runs through some
steps, those of as many later ones are made, some columns in each step.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.team import share
from fastrnn.simd.beside import ROWS, both_products
from fastrnn.simd.vector import lanes_of

#: Steps of a sequence for which some of its input parts are left to the scan: an LSTM of 25 takes
#: 0.97 of the time with 100 units, 0.93 with 128 (Zen 4).
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


@kernel
def before_scan(count, beside):
    """Of the input parts of `count` steps, how many must be there when the scan begins."""
    return ROWS + count % ROWS if beside.address and count >= LEAST_STEPS else count


@kernel
def due(i, count, direction, columns, lanes, team, beside):
    """What a thread makes in step i: (time, first, end), vectors of `ROWS` times from there on."""
    if beside.address == 0:
        return 0, 0, 0
    early = before_scan(count, beside)
    since = i - (early - ROWS)
    time = early + since // ROWS * ROWS
    if since < 0 or time >= count:
        return 0, 0, 0
    vectors = (columns + lanes - 1) // lanes
    each = (vectors + ROWS - 1) // ROWS
    begin = min(since % ROWS * each, vectors)
    first, end = share(min(each, vectors - begin), team)
    return time if direction > 0 else count - ROWS - time, begin + first, begin + end


@kernel
def multiply_beside(c, c_offset, h, h_offset, panels, panel_offset, k, vectors,
                    x_part, x_offset, columns, time, vector, x, x_start, beside):  # fmt: skip
    """c = h @ panel, and a vector of the input parts (`ROWS` times from `time` on, columns)."""
    lanes = lanes_of(c)
    wide, first = beside.base + 1, 0
    if vector >= beside.extra * wide:
        first, wide = beside.extra * wide, beside.base
    first += (vector - first) // wide * wide
    column = beside.panels + (beside.inputs * first + vector - first) * lanes
    both_products(
        beside.address, c, c_offset, h, h_offset, panels, panel_offset, k, vectors,
        x_part, x_offset + time * columns + vector * lanes, columns, columns - vector * lanes,
        x, x_start + time * beside.inputs, beside.inputs,
        panels, column, wide * lanes, beside.inputs,
    )  # fmt: skip
