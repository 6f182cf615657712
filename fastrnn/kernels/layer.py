"""One layer in one direction: input product, scan, and in BPTT the large products of its gradients.

The work goes block by block of time. A block's input parts, or its gate gradients, stay in the
cache between the product that makes them and the scan that uses them, and what is kept for T
times is the states alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.primitives import (
    column_sums,
    copy,
    fill_rows,
    flush_denormals,
    gather,
    pack,
    product,
    product_unpacked,
    restore_denormals,
    scatter_add,
)
from fastrnn.kernels.scan import Scan

GATES = 1
APART = 0
H_CARRIED = False
RECURRENT = True
scan_forward: Any = None
scan_backward: Any = None


class Layer(NamedTuple):
    """Sizes and workspace of one layer and direction; `fastrnn.plan` makes it."""

    scan: Scan
    time: int
    inputs: int
    #: Elements from one row of the input to the next.
    x_stride: int
    #: Whether the input is tokens, and how ``weight_ih`` then lies in memory.
    tokens: int
    gate_stride: int
    token_stride: int
    #: Times in one block.
    block: int
    #: Largest tile of the large products.
    tile_rows: int
    width: int
    #: Whether the input product reads ``weight_ih`` as it is, and the tile of dot products then.
    unpacked: int
    dot_rows: int
    dot_columns: int
    #: Where the parts of the workspace begin.
    recurrent_panels: int
    gate_panels: int
    input_panels: int
    x_bias: int
    r_bias: int
    x_part: int
    r_delta: int
    row_panels: int
    scratch: int


def pack_forward(work, w_ih, w_hh, b_ih, b_hh, p):
    """Bring the weights into the order of the forward scan."""
    hidden = p.scan.hidden
    for gate in range(GATES if RECURRENT and not p.scan.unpacked else 0):
        pack(work, p.recurrent_panels + gate * p.gate_panels, w_hh, gate * hidden * hidden,
             1, hidden, hidden, hidden, p.scan.width)  # fmt: skip
    if not (p.tokens or p.unpacked):
        pack(work, p.input_panels, w_ih, 0, 1, p.inputs, p.inputs, GATES * hidden, p.width)
    summed = (GATES - APART) * hidden
    for j in range(GATES * hidden):
        of_x = b_ih[j] if b_ih.size else 0
        of_r = b_hh[j] if b_hh.size else 0
        work[p.x_bias + j] = of_x + of_r if j < summed else of_x
        work[p.r_bias + j] = 0 if j < summed else of_r


def run_forward(h, memory, saved, work, x, tokens, w_ih, w_hh, units, p):
    """Scan all times from the initial states, the weights having been packed."""
    s = p.scan
    gates_hidden = GATES * s.hidden
    x_bias = work[p.x_bias : p.x_bias + gates_hidden]
    r_bias = work[p.r_bias : p.r_bias + gates_hidden]
    blocks = (p.time + p.block - 1) // p.block
    for i in range(blocks):
        start = p.block * (i if s.direction > 0 else blocks - 1 - i)
        count = min(p.block, p.time - start)
        rows = count * s.batch
        if p.tokens:
            gather(work, p.x_part, w_ih, p.gate_stride, p.token_stride,
                   tokens, start * s.batch, rows, gates_hidden)  # fmt: skip
        elif p.unpacked:
            product_unpacked(
                work, p.x_part, gates_hidden, x, start * s.batch * p.x_stride, p.x_stride,
                w_ih, 0, rows, p.inputs, gates_hidden, p.dot_rows, p.dot_columns, s.dots,
            )  # fmt: skip
        else:
            product(work, p.x_part, gates_hidden, x, start * s.batch * p.x_stride, p.x_stride, 1,
                    work, p.input_panels, rows, p.inputs, gates_hidden, False,
                    work, p.scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        scan_forward(h, memory, saved, work, p.scratch, work, p.x_part,
                     w_hh, units, work, p.recurrent_panels, x_bias, r_bias,
                     start, count, s)  # fmt: skip


def run_backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, work, d_output,
                 h, memory, saved, x, tokens, w_ih, w_hh, units, p):  # fmt: skip
    """BPTT: set the gradients of the parameters and that of the input, or add to the latter.

    `carry` (S, N, H) holds the gradients of the last states, and those of the initial states on
    return. `d_x` and `d_output` may be empty: not wanted, and zero.
    """
    s = p.scan
    batch, hidden = s.batch, s.hidden
    gates_hidden = GATES * hidden
    step = batch * gates_hidden
    x_delta, r_delta = p.x_part, p.r_delta
    fill_rows(d_units, 0, d_units.size, d_units[:0], 1, d_units.size)
    if RECURRENT:
        pack(work, p.recurrent_panels, w_hh, 0, hidden, 1, gates_hidden, hidden, s.width)
    if d_x.size:
        pack(work, p.input_panels, w_ih, 0, p.inputs, 1, gates_hidden, p.inputs, p.width)
    reverse = s.direction < 0
    blocks = (p.time + p.block - 1) // p.block
    first_step = 0
    if p.tokens or not blocks:
        fill_rows(d_w_ih, 0, d_w_ih.size, d_w_ih[:0], 1, d_w_ih.size)
    if not blocks:
        fill_rows(d_w_hh, 0, d_w_hh.size, d_w_hh[:0], 1, d_w_hh.size)
        fill_rows(d_b_ih, 0, d_b_ih.size, d_b_ih[:0], 1, d_b_ih.size)
        fill_rows(d_b_hh, 0, d_b_hh.size, d_b_hh[:0], 1, d_b_hh.size)
    for i in range(blocks):
        start = p.block * (i if reverse else blocks - 1 - i)
        count = min(p.block, p.time - start)
        rows = count * batch
        if i > 0:
            after = 0 if reverse else count * step
            last = p.block * step if reverse else 0
            copy(work, r_delta + after, work, r_delta + last, step)
        scan_backward(work, work, x_delta, r_delta, carry, work, p.scratch, d_output, h, memory,
                      saved, d_units, units, work, p.recurrent_panels,
                      start, count, i == 0, s)  # fmt: skip
        skipped = step if reverse else 0
        if RECURRENT:
            before = (start + (2 if reverse else 0)) * batch * s.stride + s.column
            pack(work, p.row_panels, h, before, s.stride, 1, rows, hidden, p.width)
            product(d_w_hh, 0, hidden, work, r_delta + skipped, 1, gates_hidden,
                    work, p.row_panels, gates_hidden, rows, hidden, i > 0,
                    work, p.scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        if p.tokens:
            scatter_add(d_w_ih, p.gate_stride, p.token_stride, work, x_delta + skipped,
                        tokens, start * batch, rows, gates_hidden)  # fmt: skip
        else:
            row = start * batch
            pack(work, p.row_panels, x, row * p.x_stride, p.x_stride, 1, rows, p.inputs, p.width)
            product(d_w_ih, 0, p.inputs, work, x_delta + skipped, 1, gates_hidden,
                    work, p.row_panels, gates_hidden, rows, p.inputs, i > 0,
                    work, p.scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
            if d_x.size:
                product(d_x, row * p.x_stride, p.x_stride, work, x_delta + skipped, gates_hidden, 1,
                        work, p.input_panels, rows, gates_hidden, p.inputs, add_x,
                        work, p.scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        if d_b_ih.size:
            column_sums(d_b_ih, work, x_delta + skipped, gates_hidden, rows, gates_hidden, i > 0)
        if d_b_hh.size:
            column_sums(d_b_hh, work, r_delta + skipped, gates_hidden, rows, gates_hidden, i > 0)
        first_step = r_delta + (count * step if reverse else 0)
    if RECURRENT and blocks:
        product(carry, 0, hidden, work, first_step, gates_hidden, 1,
                work, p.recurrent_panels, batch, gates_hidden, hidden, H_CARRIED,
                work, p.scratch, s.rows, s.width, s.tile)  # fmt: skip


def forward(h, memory, saved, work, x, tokens, w_ih, w_hh, b_ih, b_hh, units, p):
    """The whole layer in one call."""
    pack_forward(work, w_ih, w_hh, b_ih, b_hh, p)
    run_forward(h, memory, saved, work, x, tokens, w_ih, w_hh, units, p)


def backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, work, d_output,
             h, memory, saved, x, tokens, w_ih, w_hh, units, p):  # fmt: skip
    """`run_backward` in one call, denormals being taken as zero."""
    before = flush_denormals()
    run_backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, work, d_output,
                 h, memory, saved, x, tokens, w_ih, w_hh, units, p)  # fmt: skip
    restore_denormals(before)
