"""One row times a panel and, between its loads, a few rows of another product.

c (1, vectors * lanes)  =  h (1, K) @ panel        Z (ROWS, lanes)  =  X (ROWS, K') @ column

A panel that one row is multiplied by is read at what the cache gives, a vector for each multiply-
add, and the core could do two. What is multiplied meanwhile is another matrix, of which each vector
serves `ROWS` rows. Both sum in the order of `fastrnn.simd.tile`: the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastrnn.simd.memory import load_at, load_some, pointer, store_at, store_some
from fastrnn.simd.tile import K_BLOCK, UNROLL, VECTORS_MAX, MicroKernel, row_order
from fastrnn.simd.vector import INT, Vector, llvm_intrinsic, splat

#: Rows of the other product.
ROWS = 8


class _Both(MicroKernel):
    """The function of one width of the panel; of no width it is the other product alone."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int) -> None:
        self.vector, self.vectors = vector, vectors
        self.chains, self.unroll = row_order(vectors) if vectors else (1, UNROLL)
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.both.{vector.dtype}.{vectors}",
            [element, element, element, INT, element, INT, INT, element, INT, element, INT, INT],
        )
        (self.c, self.h, self.panel, self.k, self.z, self.z_stride, self.left, self.x,
         self.x_stride, self.column, self.column_stride, self.x_k) = self.function.args  # fmt: skip
        self._write()

    def _write(self) -> None:
        builder = self.builder
        self.row = [builder.gep(self.x, [builder.mul(self.x_stride, INT(r))]) for r in range(ROWS)]
        self.zero = ir.Constant(self.vector.llvm(), [0.0] * self.vector.lanes)
        k = self.k if self.vectors else INT(0)
        whole = builder.and_(k, INT(-self.unroll))
        shared = builder.and_(self._smaller(k, self.x_k), INT(-self.unroll))
        start: list[ir.Value] = [INT(0), *[self.zero] * (self.vectors * self.chains)]
        block = functools.partial(self._block, shared)
        _, *sums = self.loop(start, self.x_k, K_BLOCK, block)
        if not self.vectors:
            builder.ret_void()
            return
        turn = functools.partial(self._turn, self.unroll)
        rest = self.loop([shared, *sums], whole, self.unroll, turn)
        _, *sums = self.loop(rest, self.k, 1, functools.partial(self._turn, 1))
        for chain in range(1, self.chains):
            part = sums[chain * self.vectors : (chain + 1) * self.vectors]
            sums[: self.vectors] = [builder.fadd(x, y) for x, y in zip(sums, part)]
        for v in range(self.vectors):
            address = builder.gep(self.c, [INT(v * self.vector.lanes)])
            store_at(builder, self.vector, address, sums[v])
        builder.ret_void()

    def _smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.builder.select(self.builder.icmp_signed("<", x, y), x, y)

    def _block(self, shared: ir.Value, start: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        """As many k as a tile takes at once: of both, then of X alone."""
        builder = self.builder
        end = self._smaller(builder.add(start, INT(K_BLOCK)), self.x_k)

        def both(k: ir.Value, *parts: ir.Value) -> list[ir.Value]:
            mine, others = list(parts[: len(sums)]), list(parts[len(sums) :])
            for step in range(self.unroll):
                here = builder.add(k, INT(step))
                others = self._beside(here, others)
                mine = self._step(step, here, mine)
            return [*mine, *others]

        first = [start, *sums, *[self.zero] * ROWS]
        k, *parts = self.loop(first, self._smaller(end, shared), self.unroll, both)
        left, rows = parts[: len(sums)], parts[len(sums) :]
        _, *rows = self.loop([k, *rows], end, 1, lambda k, *rows: self._beside(k, list(rows)))
        self._store(rows, builder.icmp_signed(">", start, INT(0)))
        return left

    def _turn(self, steps: int, k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        parts = list(sums)
        for step in range(steps):
            parts = self._step(step, self.builder.add(k, INT(step)), parts)
        return parts

    def _step(self, step: int, k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        """One k of the row."""
        if not self.vectors:
            return sums
        builder, lanes, sums = self.builder, self.vector.lanes, list(sums)
        row = builder.gep(self.panel, [builder.mul(k, INT(self.vectors * lanes))])
        number = splat(builder, builder.load(builder.gep(self.h, [k])), lanes)
        for v in range(self.vectors):
            weights = load_at(builder, self.vector, builder.gep(row, [INT(v * lanes)]))
            i = step % self.chains * self.vectors + v
            sums[i] = llvm_intrinsic(builder, "fma", [number, weights, sums[i]])
        return sums

    def _beside(self, k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        """One k of the other product."""
        builder, vector = self.builder, self.vector
        address = builder.gep(self.column, [builder.mul(k, self.column_stride)])
        weights = load_at(builder, vector, address)
        numbers = [builder.load(builder.gep(row, [k])) for row in self.row]
        return [
            llvm_intrinsic(builder, "fma", [splat(builder, number, vector.lanes), weights, total])
            for number, total in zip(numbers, sums)
        ]

    def _store(self, rows: list[ir.Value], adds: ir.Value) -> None:
        builder, vector = self.builder, self.vector
        places = [builder.gep(self.z, [builder.mul(self.z_stride, INT(r))]) for r in range(ROWS)]
        whole = builder.icmp_signed(">=", self.left, INT(vector.lanes))
        plain = builder.and_(whole, builder.not_(adds))
        with builder.if_else(plain, likely=True) as (then, otherwise):
            with then:
                for place, value in zip(places, rows):
                    store_at(builder, vector, place, value)
            with otherwise:
                for place, value in zip(places, rows):
                    before = load_some(builder, vector, place, self.left)
                    total = builder.select(adds, builder.fadd(before, value), value)
                    store_some(builder, vector, place, total, self.left)


@intrinsic
def both_family(
    typing_context: Any,
    c: Any,
    h: Any,
    panel: Any,
    k: Any,
    z: Any,
    z_stride: Any,
    left: Any,
    x: Any,
    x_stride: Any,
    column: Any,
    column_stride: Any,
    x_k: Any,
    vectors: Any,
) -> Any:
    """All widths of one precision, on pointers; see `both_products`."""
    size = types.intp
    vector = Vector(c.dtype)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        done = builder.append_basic_block("both.done")
        switch = builder.switch(args[-1], done)
        for vectors in range(VECTORS_MAX + 1):
            case = builder.append_basic_block(f"both.{vectors}")
            switch.add_case(INT(vectors), case)
            builder.position_at_end(case)
            builder.call(_Both(builder.module, vector, vectors).function, args[:-1])
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    arguments = (c, c, c, size, c, size, size, c, size, c, size, size, size)
    return types.void(*arguments), generate


def run_both(c, h, panel, k, z, z_stride, left, x, x_stride, column, column_stride, x_k, vectors):
    """`both_family` as a C function, as `fastrnn.simd.tile.run_tile`."""
    both_family(c, h, panel, k, z, z_stride, left, x, x_stride, column, column_stride, x_k, vectors)


def run_both_signature(dtype: Any) -> Any:
    """Numba's signature of `run_both`."""
    number = types.CPointer(dtype)
    size = types.intp
    return types.void(
        number, number, number, size, number, size, size, number, size, number, size, size, size
    )


@intrinsic
def both_products(
    typing_context: Any,
    address: Any,
    c: Any,
    c_offset: Any,
    h: Any,
    h_offset: Any,
    panels: Any,
    panel_offset: Any,
    k: Any,
    vectors: Any,
    z: Any,
    z_offset: Any,
    z_stride: Any,
    left: Any,
    x: Any,
    x_offset: Any,
    x_stride: Any,
    columns: Any,
    column_offset: Any,
    column_stride: Any,
    x_k: Any,
) -> Any:
    """c = h @ panel, and `ROWS` rows of Z = X @ column; see the module's text.

    `address` is that of `run_both`; `vectors` may be none. Row k of the column, a vector, stands
    `column_stride` elements behind the one before; of each row of Z the first `left` numbers are
    set, a vector at most.
    """
    size = types.intp
    arguments = (
        size, c, size, h, size, panels, size, size, size, z, size, size, size, x, size, size,
        columns, size, size, size,
    )  # fmt: skip

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, h_at, panel_at, z_at, x_at, column_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1])
            for i in (1, 3, 5, 9, 13, 16)
        )
        operands = [
            c_at, h_at, panel_at, args[7], z_at, args[11], args[12], x_at, args[15],
            column_at, args[18], args[19], args[8],
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [x.type for x in operands])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), operands)
        return context.get_dummy_value()

    return types.void(*arguments), generate
