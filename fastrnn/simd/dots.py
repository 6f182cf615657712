"""Dot products on registers: a small matrix product that reads both matrices as they lie in memory.

C (rows, columns)  =  A (rows, K) @ B (columns, K)^T

The vectors run along K. Nothing is packed, so that a matrix used a few times only is read and not
copied: with H = 1024 and batch 1, packing the weights takes as long as five time steps.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastrnn.simd import cpu
from fastrnn.simd.memory import load_some, pointer
from fastrnn.simd.microkernel import MicroKernel, call_family, family
from fastrnn.simd.vector import INT, Vector, llvm_intrinsic

#: Tallest tile, in rows, and the columns of the wide ones.
ROWS_MAX = 4
COLUMNS = cpu.ACCUMULATORS // ROWS_MAX
#: Columns for one row.
COLUMNS_OF_ONE = 8
CHAINS_MAX = 8


def columns_for(rows: int) -> int:
    """Columns of the widest tile of so many rows."""
    return COLUMNS_OF_ONE if rows == 1 else COLUMNS


def shapes() -> list[tuple[int, int]]:
    """Every (rows, columns) for which a tile is compiled."""
    return [(r, c) for r in range(1, ROWS_MAX + 1) for c in (1, columns_for(r))]


class _Dots(MicroKernel):
    """The function of one shape."""

    def __init__(self, module: ir.Module, vector: Vector, rows: int, columns: int) -> None:
        self.vector, self.rows, self.columns = vector, rows, columns
        self.sums = rows * columns
        self.chains = 1
        while self.chains < CHAINS_MAX and 2 * self.chains * self.sums <= cpu.ACCUMULATORS:
            self.chains *= 2
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.dots.{vector.dtype}.{rows}x{columns}",
            [element, INT, element, INT, element, INT, INT, INT, INT, INT],
        )
        self.c, self.ldc, a, lda, self.b, self.ldb, self.k, count, *_ = self.function.args
        builder = self.builder
        self.row = [builder.gep(a, [builder.mul(lda, INT(r))]) for r in range(rows)]
        self.loop([INT(0)], count, 1, self._tile)
        builder.ret_void()

    def _tile(self, i: ir.Value) -> list[ir.Value]:
        """Tile i of those that lie side by side."""
        builder, lanes = self.builder, self.vector.lanes
        first = builder.mul(i, INT(self.columns))
        self.column = [
            builder.gep(self.b, [builder.mul(self.ldb, builder.add(first, INT(column)))])
            for column in range(self.columns)
        ]
        zero = ir.Constant(self.vector.llvm(), [0.0] * lanes)
        carried: list[ir.Value] = [INT(0), *[zero] * (self.sums * self.chains)]
        for chains in (self.chains, 1):
            step = lanes * chains
            end = builder.and_(self.k, INT(-step))
            carried = self.loop(carried, end, step, functools.partial(self._turn, chains, True))
        # What is left is less than a vector.
        carried = self.loop(carried, self.k, lanes, functools.partial(self._turn, 1, False))
        for r in range(self.rows):
            c_row = builder.gep(self.c, [builder.add(builder.mul(self.ldc, INT(r)), first)])
            for column in range(self.columns):
                sums = carried[1 + r * self.columns + column :: self.sums]
                builder.store(self._total(sums), builder.gep(c_row, [INT(column)]))
        return []

    def _turn(self, chains: int, whole: bool, k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        builder, lanes = self.builder, self.vector.lanes
        count = INT(lanes) if whole else builder.sub(self.k, k)
        parts = list(sums)
        for chain in range(chains):
            at = builder.add(k, INT(chain * lanes))
            held = [self._load(a, at, count) for a in self.row]
            for column, b in enumerate(self.column):
                streamed = self._load(b, at, count)
                for r, row in enumerate(held):
                    i = chain * self.sums + r * self.columns + column
                    parts[i] = llvm_intrinsic(builder, "fma", [row, streamed, parts[i]])
        return parts

    def _load(self, row: ir.Value, at: ir.Value, count: ir.Value) -> ir.Value:
        return load_some(self.builder, self.vector, self.builder.gep(row, [at]), count)

    def _total(self, sums: list[ir.Value]) -> ir.Value:
        builder, kind = self.builder, self.vector.llvm()
        while len(sums) > 1:
            half = len(sums) // 2
            sums = [builder.fadd(x, y) for x, y in zip(sums[:half], sums[half:])]
        name = f"llvm.vector.reduce.fadd.v{kind.count}f{self.vector.dtype.bitwidth}"
        signature = ir.FunctionType(kind.element, [kind.element, kind])
        reduce = cgutils.get_or_insert_function(builder.module, signature, name)
        return builder.call(reduce, [kind.element(-0.0), sums[0]], fastmath=("reassoc",))


def _write_dots(module: ir.Module, vector: Vector) -> dict[int, ir.Function]:
    return {
        rows * (COLUMNS_OF_ONE + 1) + columns: _Dots(module, vector, rows, columns).function
        for rows, columns in shapes()
    }


def _dots_key(builder: ir.IRBuilder, arguments: Sequence[ir.Value]) -> ir.Value:
    rows, columns = arguments[-2:]
    return builder.add(builder.mul(rows, INT(COLUMNS_OF_ONE + 1)), columns)


_dots_family = family("dots", _write_dots, _dots_key)


def dots_family(number):
    """Address of all dot products of the precision of `number`; see `dots`."""
    return _dots_family(number)


@intrinsic
def dots(
    typing_context: Any,
    address: Any,
    c: Any,
    c_offset: Any,
    c_stride: Any,
    a: Any,
    a_offset: Any,
    a_stride: Any,
    b: Any,
    b_offset: Any,
    b_stride: Any,
    k: Any,
    rows: Any,
    columns: Any,
    count: Any,
) -> Any:
    """C = A @ B^T for `count` tiles side by side; see the module's text.

    `address` is that of `dots_family`. Offsets and strides count elements; `rows` and `columns`
    must be one of `shapes`.
    """
    size = types.intp
    arguments = (size, c, size, size, a, size, size, b, size, size, size, size, size, size)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, a_at, b_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (1, 4, 7)
        )
        k, rows, columns, count = args[10:]
        operands = [c_at, args[3], a_at, args[6], b_at, args[9], k, count, rows, columns]
        call_family(builder, args[0], operands)
        return context.get_dummy_value()

    return types.void(*arguments), generate
