"""The input product of a sequence, made between the loads of its scan: `fastrnn.simd.beside`.

The input parts of the first steps are there before the scan begins. While it runs through some
steps, those of as many later ones are made, some columns in each step.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrnn.kernels.jit import kernel
from fastrnn.simd.beside import ROWS, beside
from fastrnn.simd.cpu import VECTOR_BYTES

#: Steps of a sequence for which some of its input parts are left to the scan.
LEAST = 2 * ROWS


class Beside(NamedTuple):
    """What a scan of one row makes besides."""

    #: Address of the compiled kernel; 0 where all input parts are there.
    address: int
    #: Where x (times, inputs) begins, and from one row to the next.
    x: int
    x_stride: int
    inputs: int
    #: Where the panels of ``weight_ih`` begin, and their vectors, as `split` gives them.
    panels: int
    base: int
    extra: int


@kernel
def before_scan(count, address):
    """Of the input parts of `count` steps, how many must be there when the scan begins."""
    return ROWS + count % ROWS if address and count >= LEAST else count


@kernel
def due(i, count, direction, columns, lanes, of):
    """What step i of a scan makes: (time, first, end), some vectors of `ROWS` times from it on."""
    if of.address == 0:
        return 0, 0, 0
    early = before_scan(count, of.address)
    since = i - (early - ROWS)
    time = early + since // ROWS * ROWS
    if since < 0 or time >= count:
        return 0, 0, 0
    vectors = (columns + lanes - 1) // lanes
    each = (vectors + ROWS - 1) // ROWS
    first = since % ROWS * each
    return time if direction > 0 else count - ROWS - time, first, min(first + each, vectors)


@kernel
def multiply_beside(c, c_offset, h, h_offset, panels, panel_offset, k, vectors,
                    x_part, x_offset, columns, time, vector, x, of):  # fmt: skip
    """c = h @ panel, and a vector of the input parts (`ROWS` times from `time` on, columns)."""
    lanes = VECTOR_BYTES // c.itemsize
    wide, first = of.base + 1, 0
    if vector >= of.extra * wide:
        first, wide = of.extra * wide, of.base
    first += (vector - first) // wide * wide
    beside(of.address, c, c_offset, h, h_offset, panels, panel_offset, k, vectors,
           x_part, x_offset + time * columns + vector * lanes, columns, columns - vector * lanes,
           x, of.x + time * of.x_stride, of.x_stride,
           panels, of.panels + (of.inputs * first + vector - first) * lanes, wide * lanes,
           of.inputs)  # fmt: skip
