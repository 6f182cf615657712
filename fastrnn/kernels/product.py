"""The matrix product on register tiles, and the smaller passes beside it."""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.panels import panel_at, split
from fastrnn.simd.cpu import VECTOR_BYTES, second_cache
from fastrnn.simd.dots import dots
from fastrnn.simd.memory import load, load_each, store, store_each
from fastrnn.simd.tile import (
    AHEAD,
    K_BLOCK,
    LINE,
    LINES_AHEAD,
    PLAIN,
    TURNED,
    TURNED_TILES,
    UNROLL,
    tile,
    turned_stride,
)
from fastrnn.simd.vector import add_each, all_zero, lanes_of

#: Bytes of B that all rows of A are multiplied by before those that follow, of which each tile
#: brings a part nearer. Where the third level gives 25 GB/s (Emerald Rapids), such blocks, then
#: half as large, let the input product of an LSTM take 0.66 (H = 512) and 0.43 of the time (1024).
#: So large, more panels share each copy of A's columns: weight gradients take 0.95 of the time
#: (Zen 5).
BLOCK_BYTES = second_cache() // 2
#: Bytes of one panel that all rows are multiplied by before the rest of it. The gradients' scan of
#: an LSTM of 1024 units, whose panels are 1 MB, then runs at 0.84 of the peak, not 0.79
#: (``bench/limits.py recurrent``; Zen 5).
PANEL_BYTES = second_cache() // 4
#: Columns of A this many elements apart fall into few sets of the caches: the rows of some tiles
#: are copied side by side where C has enough columns to share them. The weight gradients of LSTMs
#: of 256, 512 and 1024 units then run at 0.90, 0.89 and 0.87 of the peak, not 0.82, 0.80 and 0.78
#: (Zen 5).
FAR, COLUMNS_OF_COPY = 512, 256
#: Vectors of a row that are summed together: one at a time takes 1.7 to 2.6 times as long
#: with 256 to 512 columns, 9 times with 2048 (Zen 5).
SUMS = 8


@kernel
def product(
    c, c_offset, c_stride, a, a_offset, a_row_stride, a_step, panels, panel_offset,
    rows, k, columns, add, scratch, scratch_offset, tile_rows, width, address,
):  # fmt: skip
    """C (rows, columns)  =  or +=  A (rows, k) @ B (k, columns), B packed in panels of `width`.

    Of A either `a_step`, from one column to the next, is 1, or `a_row_stride` is. If it is
    `a_row_stride`, A may be read a vector behind its end, and `width` is at most
    `fastrnn.simd.tile.TURNED_VECTORS`.

    B is taken in blocks that a cache holds, and within one the rows are outside: rows of C are
    written in stretches, not a line in each page. `scratch` has room for
    `fastrnn.simd.tile.product_scratch` numbers, a tile that is partly outside of C and what is
    copied. `address` is `fastrnn.kernels.jit.tile_address`.
    """
    lanes = lanes_of(c)
    panel_count, base, extra = split((columns + lanes - 1) // lanes, width)
    at_once = max(1, BLOCK_BYTES // (min(k, K_BLOCK) * width * VECTOR_BYTES)) if k else 1
    for k_start in range(0, k, K_BLOCK):
        k_end = min(k_start + K_BLOCK, k)
        for first in range(0, panel_count, at_once):
            end = min(first + at_once, panel_count)
            _multiply_block(
                c, c_offset, c_stride, a, a_offset, a_row_stride, a_step, panels, panel_offset,
                rows, k, columns, add or k_start > 0, scratch, scratch_offset, tile_rows,
                lanes * width, address, k_start, k_end, first, end, panel_count, base, extra,
            )  # fmt: skip
    if k == 0 and not add:
        fill_rows(c, c_offset, c_stride, c[:0], rows, columns)


@kernel
def _multiply_block(
    c, c_offset, c_stride, a, a_offset, a_row_stride, a_step, panels, panel_offset,
    rows, k, columns, adds, scratch, scratch_offset, tile_rows, tile_columns, address,
    k_start, k_end, first_panel, end_panel, panel_count, base, extra,
):  # fmt: skip
    """The part of `product` of k_start .. k_end - 1 and of some panels of B."""
    lanes = lanes_of(c)
    k_size = k_end - k_start
    tile_count, tile_base, tile_extra = split(rows, tile_rows)
    copy_offset = at_copy = scratch_offset + tile_rows * tile_columns
    copies, across = a_step >= FAR and columns >= COLUMNS_OF_COPY, turned_stride(lanes)
    # What follows: other panels, or the next of k.
    follows_k, follows = (k_end, 0) if end_panel == panel_count else (k_start, end_panel)
    row = 0
    for i in range(tile_count):
        high = tile_base + (i < tile_extra)
        a_start = a_offset + row * a_row_stride + k_start * a_step
        if copies and i % TURNED_TILES == 0:
            at_copy = copy_offset
            copied = min(TURNED_TILES * (tile_base + (i < tile_extra)), rows - row)
            for q in range(k_size):
                for r in range(0, copied, lanes):
                    value = load(a, a_start + q * a_step + r, lanes)
                    store(scratch, copy_offset + q * across + r, lanes, value)
        fetched = i * ahead(k_size, c.itemsize)
        for panel in range(first_panel, end_panel):
            column, vectors = panel_at(panel, base, extra, lanes)
            wide = vectors * lanes
            b = panel_offset + k * column + k_start * wide
            fetch, later = b, follows + panel - first_panel
            if later < panel_count and follows_k < k:
                later_column, later_vectors = panel_at(later, base, extra, lanes)
                later_wide = later_vectors * lanes
                if fetched < k_size * later_wide:
                    fetch = panel_offset + k * later_column + follows_k * later_wide + fetched
            form = PLAIN if fetch == b else AHEAD
            c_start = c_offset + row * c_stride + column
            inside = column + wide <= columns
            target, target_stride = (c_start, c_stride) if inside else (scratch_offset, wide)
            tile(
                address, c if inside else scratch, target, target_stride,
                scratch if copies else a, at_copy if copies else a_start,
                across if copies else max(a_row_stride, a_step), TURNED if a_step != 1 else form,
                panels, b, k_size, adds and inside, fetch, high, vectors,
            )  # fmt: skip
            if not inside:
                _copy_part(c, c_start, c_stride, scratch, scratch_offset, wide,
                           high, columns - column, adds)  # fmt: skip
        row += high
        at_copy += high


@kernel
def ahead(k, itemsize):
    """Elements that a tile of `k` steps brings nearer."""
    return k // UNROLL * LINES_AHEAD * LINE // itemsize


@kernel
def multiply_panel(c, c_offset, c_stride, a, a_offset, a_stride, panels, panel_offset,
                   k, rows, tile_rows, vectors, follows, follows_size, address):  # fmt: skip
    """C (rows, vectors * lanes)  =  A (rows, k) @ one panel.

    Meanwhile the `follows_size` elements of `panels` from `follows` on are brought nearer.
    """
    step_bytes = vectors * VECTOR_BYTES
    # One tile reads it once. That of one row would add in another order, too.
    if rows <= tile_rows or k * step_bytes <= PANEL_BYTES:
        _multiply_steps(c, c_offset, c_stride, a, a_offset, a_stride, panels, panel_offset, k,
                        False, rows, tile_rows, vectors, follows, follows_size,
                        address)  # fmt: skip
        return
    at_once, fetched = PANEL_BYTES // step_bytes, 0
    for start in range(0, k, at_once):
        fetched += _multiply_steps(
            c, c_offset, c_stride, a, a_offset + start, a_stride,
            panels, panel_offset + start * vectors * lanes_of(c), min(at_once, k - start),
            start > 0, rows, tile_rows, vectors, follows + fetched, follows_size - fetched,
            address,
        )  # fmt: skip


@kernel
def _multiply_steps(c, c_offset, c_stride, a, a_offset, a_stride, panels, panel_offset, k, adds,
                    rows, tile_rows, vectors, follows, follows_size, address):  # fmt: skip
    """The part of `multiply_panel` of some steps; how many elements it has brought nearer."""
    # A division takes as long as a small tile.
    count, base, extra = split(rows, tile_rows) if rows > tile_rows else (1, rows, 0)
    at_once = ahead(k, c.itemsize) if follows_size > 0 else 0
    row = 0
    for i in range(count):
        high = base + (i < extra)
        brings = i * at_once < follows_size
        tile(address, c, c_offset + row * c_stride, c_stride,
             a, a_offset + row * a_stride, a_stride, AHEAD if brings else PLAIN,
             panels, panel_offset, k, adds, follows + i * at_once, high, vectors)  # fmt: skip
        row += high
    return count * at_once


@kernel
def multiply_gates(c, c_offset, c_stride, wide, a, a_offset, a_stride, k, panels, panel_offset,
                   panel_k, padded, column, first_gate, gates, together, rows, tile_rows, vectors,
                   next_column, next_wide, address):  # fmt: skip
    """C (rows, gates, wide)  =  A (rows, k) @ the panels of some units of the gates.

    `column` is the first of the units, all of which are `padded`. A panel has `together` gates and
    `panel_k` steps, the first `k` of which are taken. Where `next_wide` is not 0, the panels of so
    many columns from `next_column` on are brought nearer.
    """
    for gate in range(first_gate, gates, together):
        at = panel_offset + gate * panel_k * padded
        multiply_panel(
            c, c_offset + gate * wide, c_stride, a, a_offset, a_stride,
            panels, at + together * panel_k * column, k, rows, tile_rows, vectors,
            at + together * panel_k * next_column, k * next_wide, address,
        )  # fmt: skip


@kernel
def product_unpacked(c, c_offset, c_stride, a, a_offset, a_stride, b, b_offset,
                     rows, k, columns, tile_rows, tile_columns, address):  # fmt: skip
    """C (rows, columns)  =  A (rows, k) @ B (columns, k)^T, B read once and as it is.

    ``(tile_rows, tile_columns)`` is one of the shapes of `fastrnn.simd.dots`, and `address` is
    `fastrnn.kernels.jit.dots_address`.
    """
    count, base, extra = split(rows, tile_rows)
    column = 0
    while column < columns:
        wide = tile_columns if columns - column >= tile_columns else 1
        # One row takes all columns in one call, several rows a stretch of B that stays in a cache.
        tiles = (columns - column) // wide if rows == 1 else 1
        row = 0
        for i in range(count):
            high = base + (i < extra)
            dots(address, c, c_offset + row * c_stride + column, c_stride,
                 a, a_offset + row * a_stride, a_stride,
                 b, b_offset + column * k, k, k, high, wide, tiles)  # fmt: skip
            row += high
        column += wide * tiles


@kernel
def _copy_part(c, c_offset, c_stride, part, part_offset, part_stride, rows, columns, add):
    lanes = lanes_of(c)
    for row in range(rows):
        for j in range(0, columns, lanes):
            at = c_offset + row * c_stride + j
            value = load(part, part_offset + row * part_stride + j, lanes)
            if add:
                value = value + load(c, at, columns - j)
            store(c, at, columns - j, value)


@kernel
def copy(target, target_offset, source, source_offset, count):
    """Copy `count` adjacent numbers; numbers that overlap must move towards the front."""
    lanes = lanes_of(target)
    for i in range(0, count, lanes):
        store(target, target_offset + i, count - i, load(source, source_offset + i, count - i))


@kernel
def fill_rows(c, c_offset, c_stride, row, rows, columns):
    """Set every row of C to `row`, or to zero where `row` is empty."""
    lanes = lanes_of(c)
    value = load(row, 0, 0)
    for i in range(rows):
        for j in range(0, columns, lanes):
            if row.size:
                value = load(row, j, min(columns, row.size) - j)
            store(c, c_offset + i * c_stride + j, columns - j, value)


@kernel
def is_zero(a, a_offset, a_stride, rows, columns):
    """Whether all of A (rows, columns) is zero."""
    lanes = lanes_of(a)
    for i in range(rows):
        for j in range(0, columns, lanes):
            if not all_zero(load(a, a_offset + i * a_stride + j, columns - j)):
                return False
    return True


@kernel
def column_sums(sums, a, a_offset, a_stride, rows, columns, add):
    """sums (columns,)  =  or +=  the sum of the rows of A."""
    lanes = lanes_of(a)
    whole = columns // (SUMS * lanes) * (SUMS * lanes)
    for j in range(0, whole, SUMS * lanes):
        totals = load_each(sums, j, lanes, lanes if add else 0, SUMS)
        for i in range(rows):
            row = load_each(a, a_offset + i * a_stride + j, lanes, lanes, SUMS)
            totals = add_each(totals, row)
        store_each(sums, j, lanes, lanes, totals)
    for j in range(whole, columns, lanes):
        total = load(sums, j, columns - j if add else 0)
        for i in range(rows):
            total = total + load(a, a_offset + i * a_stride + j, columns - j)
        store(sums, j, columns - j, total)
