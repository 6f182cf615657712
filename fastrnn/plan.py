"""Plans: for given sizes, which tile, how many times in a block, which part of the workspace.

Importing this module does not import numba; making a plan does.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn import teams

if TYPE_CHECKING:
    from fastrnn.cells import Cell
    from fastrnn.kernels.layer import Layer

#: Rows of the large products of one block of time: their panels and results stay in the
#: second-level cache, and the weight gradients are read and written once in so many rows.
BLOCK_ROWS = 256

#: Weights that at most so many rows are multiplied by are not worth packing for one call: batch 1,
#: H = 512 and T = 5 take 0.65 of the time as they lie, H = 1024 0.4 to 0.75; those of a layer of
#: more than `LARGE_BYTES`, which leave the caches when they are read twice, 0.89 to 0.94 if T = 25.
UNPACKED_ROWS = 10
UNPACKED_ROWS_OF_LARGE = 50
LARGE_BYTES = 1 << 24
#: Calls that find them packed, and know it by their version, take 0.81 to 1.0 of the time with 10
#: rows, 0.72 to 1.0 with 5, more than 16 MB 0.84 to 0.93 with 15 to 50. Those that must take the
#: checksum, since somebody may have written, take 1.18 to 1.29 with 5 rows, 1.06 with 10, and 1.0
#: with 25 or 50 of more than 16 MB (Zen 4). Training sums in another order for as many rows.
UNPACKED_ROWS_VERSIONED = 4
#: Of weights with rows of fewer vectors, packed ones are faster from 4 rows on, since the sums of
#: dot products take long: LSTMs of 32, 64 and 96 units take 0.87, 0.94 and 1.02 of the time. Where
#: a part of a vector is left, of 33, 100 and 511 units 0.8, 1.0 and 1.2 (Zen 4).
SHORT_VECTORS = 6
SHORT_VECTORS_AND_REST = 16
#: As they lie, LSTMs of 100, 129 and 511 units take 0.65, 0.54 and 0.34 of the time for one row.
UNPACKED_ROWS_OF_SHORT = 3

#: Packed weights are kept for the next call where at most so many rows are multiplied by them: with
#: more, packing takes less than a hundredth of the time. LSTMs of 64 sequences, T = 50 and 25, take
#: 0.988 to 0.995 of it (Zen 4).
KEPT_ROWS = 4096

#: Weights of one row that take more are read row by row, not 8 rows at a time: 95, not 85 GB/s from
#: the third-level cache (Zen 4).
ONE_STREAM_BYTES = 1 << 21

#: Vectors of hidden units whose unpacked weights are read in one stretch. With 2, an LSTM of batch
#: 1 and H = 512 or 1024 takes 1.03 to 1.09 of the time.
UNPACKED_VECTORS = 8

#: Bytes of a row of a panel for few rows of the batch. With 40 KB of weights, H = 100, there are
#: then two, and the one that is in the first-level cache is taken first: `fastrnn.kernels.scan`.
NARROW_BYTES = 256

#: One row's panels are so narrow if the recurrent weights take so many bytes, more than the first-
#: level cache or nearly so: what of a panel is still there is read first. LSTMs of 48 to 100 units
#: take 0.86 to 0.96 of the time, GRUs of 48 to 150 0.94 to 0.98. Wide ones are faster elsewhere, by
#: 0.95 to 0.98 for RNNs of 256 to 1024 units, and with input parts beside the scan (Zen 4). Panels
#: of other widths sum in other orders: last bits differ between sequences with those and without.
REREAD_ABOVE = 1 << 14
REREAD_BELOW = 3 << 16

#: What a cell keeps for its backward equations is written past the caches if it takes so much: of
#: little of it they would spare the way from memory. With 15 MB the scan of an LSTM takes 0.81 to
#: 0.85 of the time and of a GRU 0.78 to 0.87, training steps 0.92 to 0.98 (Emerald Rapids).
UNCACHED_BYTES = 1 << 23

#: Where `fastrnn.simd.cpu.BESIDE` says so, the input parts of one sequence are made between the
#: loads of its scan if that reads more weights than the first-level cache holds, all weights of a
#: thread are below so many bytes, x has so many numbers, and so many times those of h at most.
#: Batch 1, inputs as units, then takes 0.85 to 0.93 of the time with 128 to 512 units, with four
#: times as many inputs 0.94 (``bench/limits.py beside``; Zen 4). Elsewhere it took more: eight
#: times as many inputs 1.01 to 1.04, 64 KB of weights or less 1.00 to 1.06, 11 MB 1.16, 16 MB 1.5.
BESIDE_BYTES = 1 << 16
BESIDE_BELOW = 9 << 20
BESIDE_INPUTS = 64
BESIDE_RATIO = 4

#: The scan multiplies x itself, in each step and panel by panel beside h, if so many rows are in a
#: batch of cells of several gates: their input parts then stay in the first-level cache, but all of
#: ``weight_ih`` is read in each step. LSTMs and GRUs of 64 rows take 0.92 to 0.98 of the time. Of
#: fewer rows the weights must take fewer bytes: 8 rows of LSTMs of 64, 128 and 256 units take 0.98,
#: 1.02 and 1.05 of the time, 16 rows of 512 and 1024 units 1.0 and 1.1; RNNs 1.01 to 1.03 (Zen 3).
#: All rows of the batch count, not those of a thread: a team of any size adds in one order. A panel
#: of ``weight_ih``, which every tile reads anew, must be a part of the second-level cache: not
#: measured above 128 KB, nor with many times as many inputs as units.
SCAN_ROWS = 32
SCAN_BYTES_A_ROW = 1 << 19
SCAN_ROWS_OF_SMALL = 8
SCAN_BYTES_OF_SMALL = 3 << 17
SCAN_PANEL_BYTES = 1 << 18
#: It multiplies them at once, of cells that want their sum, where a panel of both takes no more
#: bytes, part of the first-level cache. LSTMs of 64 units and inputs take 0.94 of the time, of 128
#: 1.0, of 256 1.04 (Zen 3).
JOINED_BYTES = 3 << 13

#: Tiles of the scan bring the next panel nearer if each step reads so many bytes. LSTMs of 64 rows
#: take 0.88 (1024 units) and 0.96 of the time (512), GRUs 0.99 and 0.95; with fewer bytes those of
#: 256 units 1.0, of 128 and 64 units 1.02: that is more instructions (Zen 3). Where the third level
#: gives 25 GB/s to a core and vectors are wider, it is done always (Emerald Rapids).
FETCHED_BYTES = 3 << 20

#: Bytes to which the workspace and its parts are aligned: a cache line, the widest vector.
ALIGNMENT = 64


def tile_shape(rows: int) -> tuple[int, int]:
    """Rows and vectors of the register tile for a product of `rows` rows."""
    from fastrnn.simd.cpu import ACCUMULATORS, VECTOR_BYTES
    from fastrnn.simd.tile import ROWS_MAX, TURNED_VECTORS

    if rows < 5:
        high = max(1, rows)
        return high, min(NARROW_BYTES // VECTOR_BYTES, ACCUMULATORS // high)
    return ROWS_MAX, TURNED_VECTORS


def scan_shape(rows: int, gates: int, *, wide: bool) -> tuple[int, int]:
    """Rows, and vectors of hidden units for each gate, of the tile of a forward step.

    As many as there can be, if it is `wide`.
    """
    from fastrnn.simd.cpu import ACCUMULATORS
    from fastrnn.simd.tile import ROWS_MAX, VECTORS_MAX, gates_together

    together = gates_together(gates)
    high, vectors = tile_shape(rows)
    if wide:
        vectors = VECTORS_MAX
    if together == 1:
        return high, vectors
    width = max(1, vectors // together)
    return max(1, min(rows, ROWS_MAX, ACCUMULATORS // (width * together))), width


class Regions:
    """Lays the parts of a workspace one behind the other, each on a cache line."""

    def __init__(self, itemsize: int) -> None:
        self._step = ALIGNMENT // itemsize
        self.size = 0

    def add(self, elements: int) -> int:
        """Offset of a new part of so many elements."""
        start = self.size
        self.size += -(-elements // self._step) * self._step
        return start


def flattened(value: tuple[Any, ...]) -> list[int]:
    """The integers of a named tuple, those of the tuples in it at their places."""
    return [x for item in value for x in (flattened(item) if isinstance(item, tuple) else [item])]


class LayerPlan(NamedTuple):
    """A layer's sizes as its kernels take them, and what it needs."""

    layer: Layer
    #: Its integers in one array.
    numbers: np.ndarray[Any, Any]
    #: Elements of the workspace.
    work: int
    #: Threads that run it.
    threads: int
    #: Whether its workspace keeps packed weights for the next call.
    kept: bool
    #: In which order and where: plans of one layer that agree find each other's.
    packing: tuple[int, ...]


def few_rows(k: int, lanes: int, weight_bytes: int, *, versioned: bool) -> int:
    """How many rows are too few to pack the rows of k weights for, of a layer of so many bytes."""
    rest = k % lanes > 0
    if k < lanes * (SHORT_VECTORS_AND_REST if rest else SHORT_VECTORS):
        return UNPACKED_ROWS_OF_SHORT
    if versioned:
        return UNPACKED_ROWS_VERSIONED
    return UNPACKED_ROWS_OF_LARGE if weight_bytes > LARGE_BYTES and not rest else UNPACKED_ROWS


def multiplied_in_scan(rows: int, weight_bytes: int, panel_bytes: int) -> bool:
    """Whether x is multiplied in the steps of the scan, of a batch of so many rows."""
    if panel_bytes > SCAN_PANEL_BYTES:
        return False
    if rows < SCAN_ROWS:
        return rows >= SCAN_ROWS_OF_SMALL and weight_bytes <= SCAN_BYTES_OF_SMALL
    return weight_bytes <= rows * SCAN_BYTES_A_ROW


@functools.lru_cache(maxsize=4096)
def plan_layer(
    cell: Cell,
    dtype: np.dtype[Any],
    time: int,
    batch: int,
    inputs: int,
    hidden: int,
    *,
    directions: int = 1,
    direction: int = 0,
    tokens: bool = False,
    token_rows: bool = False,
    keep: bool = False,
    reuse: bool = False,
    repeated: bool = False,
    versioned: bool = False,
    threads: int = 1,
    more_work: int = 0,
) -> LayerPlan:
    """Plan one layer and direction.

    Parameters
    ----------
    direction : int
        0 forward in time, 1 in reverse.
    tokens : bool
        Whether the input is integers in [0, inputs).
    token_rows : bool
        Whether ``weight_ih`` of tokens lies in memory token by token, as an embedding does.
    keep : bool
        Whether all states are kept, for BPTT, and what the cell saves.
    reuse : bool
        Whether packed weights serve many calls.
    repeated : bool
        Whether they do as long as they are the same, as a checksum tells.
    versioned : bool
        Whether most often their version tells that, and nobody need read them.
    threads : int
        Largest team.
    more_work : int
        Multiply-adds of the same call besides this layer's.
    """
    from fastrnn.kernels.jit import (
        DISABLED,
        beside_address,
        dots_address,
        row_address,
        tile_address,
    )
    from fastrnn.kernels.layer import Layer
    from fastrnn.kernels.panels import ROWS
    from fastrnn.kernels.row import LEAST_STEPS, Beside
    from fastrnn.kernels.scan import Scan
    from fastrnn.simd import dots
    from fastrnn.simd.cpu import BESIDE, STORES_LINES, VECTOR_BYTES, lanes
    from fastrnn.simd.tile import product_scratch

    width = lanes(dtype)
    if not batch:
        time = 0

    def padded(columns: int) -> int:
        return -(-columns // width) * width

    gates = len(cell.gates)
    gates_hidden = gates * hidden
    kept_bytes = time * batch * len(cell.saved) * hidden * dtype.itemsize
    whole_lines = STORES_LINES and hidden * dtype.itemsize % ALIGNMENT == 0
    block = max(1, min(time, -(-BLOCK_ROWS // max(1, batch))))
    back_rows, back_vectors = tile_shape(batch)
    tile_rows, tile_width = tile_shape(BLOCK_ROWS)

    kept = repeated and time * batch <= KEPT_ROWS
    recurrent_bytes = gates_hidden * hidden * dtype.itemsize
    weight_bytes = recurrent_bytes + gates_hidden * inputs * dtype.itemsize
    large = weight_bytes > LARGE_BYTES

    def packs(rows: int, k: int) -> bool:
        return reuse or rows > few_rows(k, width, weight_bytes, versioned=versioned)

    # Dot products of several rows read the weights at fewer bytes a second; those of one step most
    # often not at all, as it begins at zero. A team that shares rows would add in another order.
    unpacked = 0
    counts = 1 if time == 1 and batch < 2 * teams.TEAM_ROWS and not large else batch
    if not (cell.late or packs(time * batch * counts, hidden)):
        unpacked = 1 if recurrent_bytes > ONE_STREAM_BYTES else dots.columns_for(batch)
    unpacked_input = not tokens and not packs(time * batch, inputs)
    packed_size = gates_hidden * (
        inputs * (not (tokens or unpacked_input)) + hidden * (not unpacked) + 2
    )
    one_row = batch == 1 and cell.recurrent and not (cell.late or unpacked)
    beside = (
        BESIDE and one_row and time >= LEAST_STEPS and not (tokens or unpacked_input)
        and BESIDE_INPUTS <= inputs <= BESIDE_RATIO * hidden and recurrent_bytes > BESIDE_BYTES
    )  # fmt: skip
    # As in layers of other inputs, which have the same team.
    wide = one_row and not REREAD_ABOVE < recurrent_bytes <= REREAD_BELOW
    rows, vectors = scan_shape(batch, 1 if cell.late else gates, wide=wide)
    if unpacked:
        # Panels only say how many columns are multiplied before the equations run on them.
        vectors = UNPACKED_VECTORS
    dot_rows = min(dots.ROWS_MAX, max(1, block * batch))
    panels = -(-padded(hidden) // width // max(vectors, back_vectors))
    k_bytes = vectors * gates * VECTOR_BYTES
    multiplies_x = (
        cell.recurrent and gates > 1 and not (cell.late or unpacked or unpacked_input or tokens)
        and multiplied_in_scan(batch, weight_bytes, inputs * k_bytes) and not DISABLED
    )  # fmt: skip
    scan_bytes = weight_bytes if multiplies_x else recurrent_bytes
    size, by_units = teams.team_size(
        threads, cell, time, batch, 0 if tokens else inputs, hidden, panels, scan_bytes, more_work
    )  # fmt: skip
    if beside:
        _, vectors = scan_shape(batch, gates, wide=True)
    beside = beside and weight_bytes // size < BESIDE_BELOW
    joins = multiplies_x and not cell.apart and (inputs + hidden) * k_bytes <= JOINED_BYTES
    # The plain kernels scan all rows at once.
    together = by_units or unpacked_input
    whole = together or DISABLED
    stripes = 1 if whole else max(1, batch // (BLOCK_ROWS * size))
    bands = teams.Bands()
    if size > 1 and not whole:
        step_work = batch * gates_hidden * (inputs * (not tokens) + hidden * cell.recurrent)
        bands = teams.cut_bands(
            size, time * stripes, batch // stripes, rows, block, step_work // stripes,
            makes_parts=not multiplies_x,
        )  # fmt: skip
    lines = ALIGNMENT // dtype.itemsize
    tile = max(
        width * min(batch, ROWS) * max(vectors * gates * (1 + multiplies_x), back_vectors),
        width * one_row * gates * (padded(hidden) // width + 1),
        product_scratch(tile_rows, tile_width, width),
    )
    joined_size = joins * batch * (inputs + hidden)  # rows of the batch in each: teams may shrink
    scratch_size = -(-(tile + joined_size) // lines) * lines
    regions = Regions(dtype.itemsize)
    # First what is kept for the next call, at the same places whatever times and rows it has.
    # Panels of x and h together take both of the first two parts.
    recurrent_panels = regions.add(gates_hidden * padded(hidden))
    input_size = max(inputs * gates * padded(hidden), gates_hidden * padded(inputs))
    input_panels = 0 if tokens else regions.add(input_size)
    x_bias, r_bias = regions.add(gates_hidden), regions.add(gates_hidden)
    copies = regions.add(kept * packed_size)
    in_scan = multiplies_x + joins
    packing = kept, size, vectors, unpacked > 0, unpacked_input, tokens, in_scan, x_bias, copies
    late = regions.add((1 + len(cell.early_kept)) * batch * hidden) if cell.late else 0
    delta = regions.add((block + 1) * batch * gates_hidden)
    slots, others = (bands.steps or block) + 2, len(cell.states) - 1
    own_size = batch * hidden * (slots * directions + 2 * others) + teams.PAGE // dtype.itemsize
    owns = size > 1 and not (whole or keep) and batch * hidden * dtype.itemsize <= teams.OWN_BYTES
    columns = padded(gates_hidden) // width
    shared = -(-columns // tile_width) if columns else 1
    layer = Layer(
        scan=Scan(
            batch=batch,
            hidden=hidden,
            stride=directions * hidden,
            column=direction * hidden,
            ring=time + directions if keep else 2,
            direction=1 - 2 * direction,
            keep=int(keep and bool(cell.saved)),
            uncached=int(keep and whole_lines and kept_bytes > UNCACHED_BYTES),
            rows=rows,
            width=vectors,
            back_rows=back_rows,
            back_width=back_vectors,
            tile=tile_address(dtype),
            row=row_address(dtype) if one_row else 0,
            inputs=inputs * multiplies_x,
            input_panels=input_panels,
            joined=tile if joins else 0,
            fetches=int(batch > 1 and (VECTOR_BYTES > 32 or scan_bytes >= FETCHED_BYTES)),
            unpacked=unpacked,
            dot_rows=min(dots.ROWS_MAX, max(1, batch)),
            dots=dots_address(dtype),
            late=late,
            by_units=int(by_units),
            together=int(together),
        ),
        time=time,
        inputs=inputs,
        tokens=int(tokens),
        gate_stride=1 if token_rows else inputs,
        token_stride=gates_hidden if token_rows else 1,
        block=block,
        bands=bands,
        stripes=stripes,
        tile_rows=tile_rows,
        width=tile_width,
        unpacked=int(unpacked_input),
        dot_rows=dot_rows,
        dot_columns=dots.columns_for(dot_rows),
        beside=Beside(
            address=beside_address(dtype) if beside else 0,
            inputs=inputs,
            panels=input_panels,
            base=columns // shared,
            extra=columns % shared,
        ),
        recurrent_panels=recurrent_panels,
        padded=padded(hidden),
        input_panels=input_panels,
        x_bias=x_bias,
        r_bias=r_bias,
        copies=copies,
        x_part=delta,
        r_delta=regions.add((block + 1) * batch * gates_hidden) if cell.apart else delta,
        row_panels=regions.add(
            block * batch * max(padded(hidden), 0 if tokens else padded(inputs))
        ),
        scratch=regions.add(size * scratch_size),
        scratch_size=scratch_size,
        own=regions.add((bands.number or size) * own_size) if owns else 0,
        own_size=own_size,
        own_slots=slots,
    )
    numbers = np.array(flattened(layer), np.int64)
    return LayerPlan(layer, numbers, regions.size, size, kept, packing)
