"""One row times panels and, between the loads of one panel, a few rows of another product.

c (groups, group * lanes)  =  h (K,) @ panel        Z (ROWS, lanes)  =  X (ROWS, K') @ column

A panel that one row is multiplied by is read at what the cache gives, a vector for each multiply-
add, and the core could do two. What may be multiplied meanwhile, where `fastrnn.simd.cpu.BESIDE`
says so, is another matrix, of which each vector serves `ROWS` rows. Both sum in the order of
`fastrnn.simd.tile`: the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastrnn.simd.memory import load_at, load_some, pointer, store_at, store_some
from fastrnn.simd.microkernel import MicroKernel, call_family, family
from fastrnn.simd.tile import K_BLOCK, UNROLL, VECTORS_MAX, row_order
from fastrnn.simd.vector import INT, Vector, llvm_intrinsic, splat

#: Rows of the other product.
ROWS = 8


class _RowKernel(MicroKernel):
    """What multiplies one row by panels of `vectors` vectors; with 0 `_RowBeside` has X alone."""

    c: ir.Value
    c_stride: ir.Value
    group: ir.Value
    h: ir.Value
    k: ir.Value

    def __init__(
        self, module: ir.Module, name: str, vector: Vector, vectors: int, more: list[ir.Type]
    ) -> None:
        self.vector, self.vectors = vector, vectors
        self.chains, self.unroll = row_order(vectors) if vectors else (1, UNROLL)
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.{name}.{vector.dtype}.{vectors}",
            [element, INT, INT, element, element, INT, *more, INT],
        )
        self.zero = ir.Constant(vector.llvm(), [0.0] * vector.lanes)

    def places(self) -> list[ir.Value]:
        """Where each vector of c stands."""
        builder, lanes, places = self.builder, self.vector.lanes, []
        at, inside = INT(0), INT(0)
        for _ in range(self.vectors):
            places.append(at)
            inside = builder.add(inside, INT(1))
            full = builder.icmp_signed("==", inside, self.group)
            skipped = builder.sub(self.c_stride, builder.mul(self.group, INT(lanes)))
            at = builder.add(at, builder.select(full, builder.add(skipped, INT(lanes)), INT(lanes)))
            inside = builder.select(full, INT(0), inside)
        return places

    def turn(self, steps: int, panel: ir.Value, k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        """Some k of the row."""
        parts = list(sums)
        for step in range(steps):
            parts = self.step(step, panel, self.builder.add(k, INT(step)), parts)
        return parts

    def step(self, step: int, panel: ir.Value, k: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
        """One k of the row."""
        if not self.vectors:
            return sums
        builder, lanes, sums = self.builder, self.vector.lanes, list(sums)
        row = builder.gep(panel, [builder.mul(k, INT(self.vectors * lanes))])
        number = splat(builder, builder.load(builder.gep(self.h, [k])), lanes)
        for v in range(self.vectors):
            weights = load_at(builder, self.vector, builder.gep(row, [INT(v * lanes)]))
            i = step % self.chains * self.vectors + v
            sums[i] = llvm_intrinsic(builder, "fma", [number, weights, sums[i]])
        return sums

    def finish(
        self,
        c: ir.Value,
        places: list[ir.Value],
        panel: ir.Value,
        k: ir.Value,
        sums: list[ir.Value],
    ) -> None:
        """All k from one on that a turn begins with, and c."""
        builder = self.builder
        whole = builder.and_(self.k, INT(-self.unroll))
        turn = functools.partial(self.turn, self.unroll, panel)
        rest = self.loop([k, *sums], whole, self.unroll, turn)
        _, *sums = self.loop(rest, self.k, 1, functools.partial(self.turn, 1, panel))
        for chain in range(1, self.chains):
            part = sums[chain * self.vectors : (chain + 1) * self.vectors]
            sums[: self.vectors] = [builder.fadd(x, y) for x, y in zip(sums, part)]
        for place, value in zip(places, sums):
            store_at(builder, self.vector, builder.gep(c, [place]), value)


class _Row(_RowKernel):
    """The function of one width: some panels, one behind the other, or from the last one on."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int) -> None:
        super().__init__(module, "row", vector, vectors, [INT, INT])
        (self.c, self.c_stride, self.group, self.h, first, self.k, count, forward,
         _) = self.function.args  # fmt: skip
        builder, places = self.builder, self.places()
        size = builder.mul(self.k, INT(vectors * vector.lanes))
        wide = builder.mul(self.group, INT(vector.lanes))

        def panel(i: ir.Value) -> list[ir.Value]:
            last = builder.sub(builder.sub(count, i), INT(1))
            at = builder.select(builder.icmp_signed("!=", forward, INT(0)), i, last)
            here = builder.gep(first, [builder.mul(size, at)])
            c = builder.gep(self.c, [builder.mul(wide, at)])
            self.finish(c, places, here, INT(0), [self.zero] * (vectors * self.chains))
            return []

        self.loop([INT(0)], count, 1, panel)
        builder.ret_void()


class _RowBeside(_RowKernel):
    """The function of one width of a panel; of no width it is the other product alone."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int) -> None:
        element = vector.llvm().element.as_pointer()
        more = [element, INT, INT, element, INT, element, INT, INT]
        super().__init__(module, "beside", vector, vectors, more)
        (self.c, self.c_stride, self.group, self.h, self.panel, self.k, self.z, self.z_stride,
         self.left, self.x, self.x_stride, self.column, self.column_stride, self.x_k,
         _) = self.function.args  # fmt: skip
        self._write()

    def _write(self) -> None:
        builder = self.builder
        self.row = [builder.gep(self.x, [builder.mul(self.x_stride, INT(r))]) for r in range(ROWS)]
        k = self.k if self.vectors else INT(0)
        shared = builder.and_(self._smaller(k, self.x_k), INT(-self.unroll))
        start: list[ir.Value] = [INT(0), *[self.zero] * (self.vectors * self.chains)]
        block = functools.partial(self._block, shared)
        _, *sums = self.loop(start, self.x_k, K_BLOCK, block)
        if self.vectors:
            self.finish(self.c, self.places(), self.panel, shared, sums)
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
                mine = self.step(step, self.panel, here, mine)
            return [*mine, *others]

        first = [start, *sums, *[self.zero] * ROWS]
        k, *parts = self.loop(first, self._smaller(end, shared), self.unroll, both)
        left, rows = parts[: len(sums)], parts[len(sums) :]
        _, *rows = self.loop([k, *rows], end, 1, lambda k, *rows: self._beside(k, list(rows)))
        self._store(rows, builder.icmp_signed(">", start, INT(0)))
        return left

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


def _write_rows(module: ir.Module, vector: Vector) -> dict[int, ir.Function]:
    return {v: _Row(module, vector, v).function for v in range(1, VECTORS_MAX + 1)}


def _write_besides(module: ir.Module, vector: Vector) -> dict[int, ir.Function]:
    return {v: _RowBeside(module, vector, v).function for v in range(VECTORS_MAX + 1)}


def _vectors(builder: ir.IRBuilder, arguments: Sequence[ir.Value]) -> ir.Value:
    return arguments[-1]


_row_family = family("row", _write_rows, _vectors)
_beside_family = family("beside", _write_besides, _vectors)


def row_family(number):
    """Address of `_Row` of all widths, of the precision of `number`; see `row_product`."""
    return _row_family(number)


def beside_family(number):
    """Address of `_RowBeside` of all widths; see `beside_product`."""
    return _beside_family(number)


@intrinsic
def row_product(
    typing_context: Any,
    address: Any,
    c: Any,
    c_offset: Any,
    c_stride: Any,
    group: Any,
    h: Any,
    h_offset: Any,
    panels: Any,
    panel_offset: Any,
    k: Any,
    vectors: Any,
    count: Any,
    forward: Any,
) -> Any:
    """c = h @ panel for `count` panels; `forward` or from the last one on.

    `address` is that of `row_family`. Of a panel's vectors each `group` stands `c_stride` elements
    behind the one before; the next panel's first group follows the first of this one.
    """
    size = types.intp
    arguments = (size, c, size, size, size, h, size, panels, size, size, size, size, size)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, h_at, panel_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (1, 5, 7)
        )
        operands = [c_at, *args[3:5], h_at, panel_at, args[9], *args[11:], args[10]]
        call_family(builder, args[0], operands)
        return context.get_dummy_value()

    return types.void(*arguments), generate


@intrinsic
def beside_product(
    typing_context: Any,
    address: Any,
    c: Any,
    c_offset: Any,
    c_stride: Any,
    group: Any,
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
    """c = h @ panel as `row_product` of one, and `ROWS` rows of Z = X @ column.

    `address` is that of `beside_family`; `vectors` may be none. Row k of the column, a vector,
    stands `column_stride` elements behind the one before; of each row of Z the first `left` numbers
    are set, a vector at most.
    """
    size = types.intp
    arguments = (
        size, c, size, size, size, h, size, panels, size, size, size, z, size, size, size,
        x, size, size, columns, size, size, size,
    )  # fmt: skip

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, h_at, panel_at, z_at, x_at, column_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1])
            for i in (1, 5, 7, 11, 15, 18)
        )
        operands = [
            c_at, *args[3:5], h_at, panel_at, args[9], z_at, *args[13:15], x_at, args[17],
            column_at, *args[20:], args[10],
        ]  # fmt: skip
        call_family(builder, args[0], operands)
        return context.get_dummy_value()

    return types.void(*arguments), generate
