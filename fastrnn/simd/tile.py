"""The register tile: a small matrix product whose accumulators never leave the registers.

C (rows, vectors * lanes)  =  or +=  A (rows, K) @ panel (K, vectors * lanes)

`A` is read one number at a time and broadcast. Its rows are contiguous, or, where it is `TURNED`,
its columns are: with two strides that are not known a tenth more instructions are needed, and where
others use the core too these are what takes time. The panel is contiguous. One LLVM function is
emitted for each form and each number of rows and vectors whose accumulators fit in the registers;
`fastrnn.simd.microkernel.family` chooses among them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic, register_jitable

from fastrnn.simd import cpu
from fastrnn.simd.memory import load_at, pointer, prefetch, store_at
from fastrnn.simd.microkernel import MicroKernel, call_family, family
from fastrnn.simd.vector import INT, Vector, llvm_intrinsic, splat

#: Steps of k in one turn of the loop, at most.
UNROLL = 4
#: Loads of a panel in one turn for one row, at most: of 30 or more the prefetcher of Zen 5 loses
#: track. An LSTM of 128 units then reads its weights at 161, not 108 GB/s, an RNN of 256 at 181,
#: not 124 (``bench/limits.py batch1``).
LOADS_MAX = 24
#: Independent sums that hide the latency of FMA (4 cycles, 2 a cycle).
CHAINS = 8
#: Widest panel, in vectors.
VECTORS_MAX = 8
#: Tallest tile, in rows.
ROWS_MAX = 6
#: Steps of k between which tiles of several rows leave their results and come back to them: a panel
#: of two vectors then takes 16 KB, half of the first-level cache.
K_BLOCK = 256
#: Bytes of a cache line.
LINE = 64
#: Lines of what is multiplied later that a tile of several rows brings nearer in one turn.
LINES_AHEAD = 2

#: Most gates that one tile multiplies together.
GATES_MAX = 4


def gates_together(gates: int) -> int:
    """Of a cell's gates, how many share a panel and a tile: all of them or one.

    An LSTM of 8 units then takes one tile a step, not four.
    """
    return gates if gates <= GATES_MAX else 1


#: Forms of a tile: A as it lies; the same, lines of what is multiplied later being brought nearer;
#: A turned, and lines brought nearer.
PLAIN, AHEAD, TURNED = range(3)
#: Widest tile of which A may be turned: that of large products.
TURNED_VECTORS = cpu.ACCUMULATORS // ROWS_MAX
#: Tiles whose rows of a turned A are copied together: some three cache lines of each column.
TURNED_TILES = 8


def shapes(form: int = PLAIN) -> list[tuple[int, int]]:
    """Every (rows, vectors) for which a tile of this form is compiled."""
    return [
        (rows, vectors)
        for rows in range(1, ROWS_MAX + 1)
        for vectors in range(1, VECTORS_MAX + 1)
        if rows * vectors <= cpu.ACCUMULATORS and _is_worth(form, rows, vectors)
    ]


def _is_worth(form: int, rows: int, vectors: int) -> bool:
    """Whether the form has its own tile: each one takes time to compile.

    Tiles of `TURNED` have at most `TURNED_VECTORS`; for those of one row or one vector of `AHEAD`
    the ones of `PLAIN` stand.
    """
    if form == AHEAD:
        return rows > 1 and vectors > 1
    return form == PLAIN or vectors <= TURNED_VECTORS


@register_jitable
def turned_stride(lanes: Any) -> Any:
    """Numbers from one column of a turned copy to the next: whole vectors of all of its rows."""
    return -(-TURNED_TILES * ROWS_MAX // lanes) * lanes


def product_scratch(tile_rows: int, width: int, lanes: int) -> int:
    """Numbers that `fastrnn.kernels.product.product` works in: a tile, a turned part of A."""
    turned: int = K_BLOCK * turned_stride(lanes)
    return tile_rows * width * lanes + turned


def row_order(vectors: int) -> tuple[int, int]:
    """How the tile of one row sums: chains for each of its `vectors`, steps of k in one turn."""
    chains = 1
    while chains < UNROLL and vectors * chains < CHAINS:
        chains *= 2
    return chains, UNROLL // 2 if vectors * UNROLL > LOADS_MAX else UNROLL


class _Tile(MicroKernel):
    """The function of one tile shape."""

    def __init__(
        self, module: ir.Module, vector: Vector, form: int, rows: int, vectors: int
    ) -> None:
        self.vector, self.form, self.rows, self.vectors = vector, form, rows, vectors
        self.sums = rows * vectors
        # Tiles of several rows all add in one order, however many rows there are: a batch can be
        # cut anywhere, and the same bits come out.
        self.chains, self.unroll = row_order(vectors) if rows == 1 else (1, UNROLL)
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.tile.{vector.dtype}.{form}.{rows}x{vectors}",
            [element, INT, element, INT, element, INT, INT, element, INT, INT, INT],
        )
        (self.c, self.ldc, a, lda, self.panel, self.k, self.add, self.ahead,
         *_) = self.function.args  # fmt: skip
        row_stride, self.step = (INT(1), lda) if form == TURNED else (lda, INT(1))
        self.row = [
            self.builder.gep(a, [self.builder.mul(row_stride, INT(r))]) for r in range(rows)
        ]
        self._write()

    def _write(self) -> None:
        builder = self.builder
        if self.rows > 1:
            self._fetch_result()
        zero = ir.Constant(self.vector.llvm(), [0.0] * self.vector.lanes)
        start: list[ir.Value] = [INT(0), *[zero] * (self.sums * self.chains)]
        unrolled_end = builder.and_(self.k, INT(-self.unroll))
        turn = functools.partial(self._turn, self.unroll)
        start = self.loop(start, unrolled_end, self.unroll, turn)
        _, *sums = self.loop(start, self.k, 1, functools.partial(self._turn, 1))
        for chain in range(1, self.chains):
            part = sums[chain * self.sums : (chain + 1) * self.sums]
            sums[: self.sums] = [builder.fadd(x, y) for x, y in zip(sums, part)]
        adds = builder.icmp_signed("!=", self.add, INT(0))
        with builder.if_else(adds) as (then, otherwise):
            with then:
                self._store(sums, add=True)
            with otherwise:
                self._store(sums, add=False)
        builder.ret_void()

    def _turn(self, steps: int, k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        builder = self.builder
        parts = list(sums)
        width = self.vectors * self.vector.lanes
        panel_row = builder.gep(self.panel, [builder.mul(k, INT(width))])
        column = builder.mul(k, self.step)
        rows = [builder.gep(row, [column]) for row in self.row]
        if self.form != PLAIN and self.rows > 1 and steps == UNROLL:
            self._fetch_ahead(k)
        for step in range(steps):
            chain = step % self.chains
            part = slice(chain * self.sums, (chain + 1) * self.sums)
            address = builder.gep(panel_row, [INT(step * width)])
            numbers = [builder.gep(row, [builder.mul(self.step, INT(step))]) for row in rows]
            parts[part] = self._step(numbers, address, parts[part])
        return parts

    def _fetch_ahead(self, k: ir.Value) -> None:
        """Bring the lines of this turn nearer, which other rows will read."""
        elements = LINE // (self.vector.dtype.bitwidth // 8)
        for line in range(LINES_AHEAD):
            at = self.builder.mul(
                self.builder.add(self.builder.mul(k, INT(LINES_AHEAD)), INT(line * UNROLL)),
                INT(elements // UNROLL),
            )
            prefetch(self.builder, self.builder.gep(self.ahead, [at]), False, 2)

    def _fetch_result(self) -> None:
        """Bring the lines of C nearer: they are read or written when all is summed."""
        step = max(1, LINE // (self.vector.lanes * self.vector.dtype.bitwidth // 8))
        for r in range(self.rows):
            c_row = self.builder.gep(self.c, [self.builder.mul(self.ldc, INT(r))])
            for v in range(0, self.vectors, step):
                address = self.builder.gep(c_row, [INT(v * self.vector.lanes)])
                prefetch(self.builder, address, True, 3)

    def _step(
        self, numbers: list[ir.Value], panel: ir.Value, sums: list[ir.Value]
    ) -> list[ir.Value]:
        """One k: hold the shorter side of the tile in registers, stream the longer one.

        The other order needs one register more than AVX2 has and spills: 40 GF/s, not 82.
        """
        sums = list(sums)

        def row(r: int) -> ir.Value:
            return splat(self.builder, self.builder.load(numbers[r]), self.vector.lanes)

        def column(v: int) -> ir.Value:
            address = self.builder.gep(panel, [INT(v * self.vector.lanes)])
            return load_at(self.builder, self.vector, address)

        def multiply(r: int, v: int, x: ir.Value, y: ir.Value) -> None:
            sums[r * self.vectors + v] = llvm_intrinsic(
                self.builder, "fma", [x, y, sums[r * self.vectors + v]]
            )

        if self.vectors <= self.rows:
            held = [column(v) for v in range(self.vectors)]
            for r in range(self.rows):
                streamed = row(r)
                for v in range(self.vectors):
                    multiply(r, v, streamed, held[v])
        else:
            held = [row(r) for r in range(self.rows)]
            for v in range(self.vectors):
                streamed = column(v)
                for r in range(self.rows):
                    multiply(r, v, held[r], streamed)
        return sums

    def _store(self, sums: list[ir.Value], *, add: bool) -> None:
        builder, vector = self.builder, self.vector
        for r in range(self.rows):
            c_row = builder.gep(self.c, [builder.mul(self.ldc, INT(r))])
            for v in range(self.vectors):
                address = builder.gep(c_row, [INT(v * vector.lanes)])
                value = sums[r * self.vectors + v]
                if add:
                    value = builder.fadd(load_at(builder, vector, address), value)
                store_at(builder, vector, address, value)


def _write_tiles(module: ir.Module, vector: Vector) -> dict[int, ir.Function]:
    tiles = {
        (form, rows, vectors): _Tile(module, vector, form, rows, vectors).function
        for form in (PLAIN, AHEAD, TURNED)
        for rows, vectors in shapes(form)
    }
    stand_ins = {(AHEAD, *shape): tiles[(PLAIN, *shape)] for shape in shapes(PLAIN)}
    return {
        (form * (ROWS_MAX + 1) + rows) * (VECTORS_MAX + 1) + vectors: function
        for (form, rows, vectors), function in (stand_ins | tiles).items()
    }


def _tile_key(builder: ir.IRBuilder, arguments: Sequence[ir.Value]) -> ir.Value:
    form, rows, vectors = arguments[-3:]
    key = builder.add(builder.mul(form, INT(ROWS_MAX + 1)), rows)
    return builder.add(builder.mul(key, INT(VECTORS_MAX + 1)), vectors)


_tile_family = family("tile", _write_tiles, _tile_key)


def tile_family(number):
    """Address of all tiles of the precision of `number`; see `tile`."""
    return _tile_family(number)


@intrinsic
def tile(
    typing_context: Any,
    address: Any,
    c: Any,
    c_offset: Any,
    c_stride: Any,
    a: Any,
    a_offset: Any,
    a_stride: Any,
    form: Any,
    panels: Any,
    panel_offset: Any,
    k: Any,
    add: Any,
    ahead_offset: Any,
    rows: Any,
    vectors: Any,
) -> Any:
    """C = A @ panel, or C += A @ panel where `add`; see the module's text.

    `address` is that of `tile_family`. Offsets and strides count elements; `rows` and `vectors`
    must be in ``shapes(form)``, in those of `PLAIN` for `AHEAD`. `a_stride` is that of the rows of
    A, or of the columns if it is `TURNED`. From `ahead_offset` on, some lines of `panels` are
    brought into the second-level cache meanwhile: `fastrnn.kernels.product.ahead` says how many.
    """
    size = types.intp
    arguments = (
        size, c, size, size, a, size, size, size, panels, size,
        size, types.boolean, size, size, size,
    )  # fmt: skip

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, a_at, panel_at, ahead = (
            pointer(context, builder, args[i], sig.args[i], args[offset])
            for i, offset in ((1, 2), (4, 5), (8, 9), (8, 12))
        )
        adds = context.cast(builder, args[11], types.boolean, size)
        operands = [
            c_at, args[3], a_at, args[6], panel_at, args[10], adds, ahead, args[7], *args[13:]
        ]  # fmt: skip
        call_family(builder, args[0], operands)
        return context.get_dummy_value()

    return types.void(*arguments), generate
