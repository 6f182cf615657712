"""A matrix of one sequence and one vector: products from both sides that read it as it lies.

Nothing is packed, since such a matrix changes after every sequence. The rows are read in either
direction: what the last pass left in a cache is the first that the next one reads.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastrnn.simd.memory import load_at, load_some, pointer, store_at, store_some
from fastrnn.simd.microkernel import MicroKernel
from fastrnn.simd.vector import INT, Vector, llvm_intrinsic, splat

#: Independent sums that hide the latency of FMA.
CHAINS = 8
#: Vectors of columns whose sums are in registers at one time.
WIDTHS = (8, 4, 2, 1)


class _RowDots(MicroKernel):
    """C (rows,) = or += W (rows, K) x (K,), as many rows at a time as a vector has lanes.

    Of rows past the last one, that one stands for all.
    """

    def __init__(self, module: ir.Module, vector: Vector) -> None:
        self.vector = vector
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.row_dots.{vector.dtype}",
            [element, INT, element, element, INT, ir.IntType(1), ir.IntType(1)],
        )
        self.c, self.count, self.w, self.x, self.k, self.add, self.descending = self.function.args
        builder, lanes = self.builder, vector.lanes
        self.chains = max(1, CHAINS // lanes)
        self.blocks = builder.sdiv(builder.add(self.count, INT(lanes - 1)), INT(lanes))
        self.loop([INT(0)], self.blocks, 1, self._block)
        builder.ret_void()

    def _block(self, turn: ir.Value) -> list[ir.Value]:
        builder, lanes, vector = self.builder, self.vector.lanes, self.vector
        from_end = builder.sub(builder.sub(self.blocks, INT(1)), turn)
        first = builder.mul(builder.select(self.descending, from_end, turn), INT(lanes))
        rows = builder.sub(self.count, first)
        last = builder.sub(rows, INT(1))
        start = builder.gep(self.w, [builder.mul(self.k, first)])
        self.row = []
        for i in range(lanes):
            there = builder.select(builder.icmp_signed("<", last, INT(i)), last, INT(i))
            self.row.append(builder.gep(start, [builder.mul(self.k, there)]))
        zero = ir.Constant(vector.llvm(), [0.0] * lanes)
        carried: list[ir.Value] = [INT(0), *[zero] * (lanes * self.chains)]
        for chains in sorted({self.chains, 1}, reverse=True):
            end = builder.and_(self.k, INT(-lanes * chains))
            turn_ = functools.partial(self._turn, chains, True)
            carried = self.loop(carried, end, lanes * chains, turn_)
        # What is left is less than a vector.
        _, *sums = self.loop(carried, self.k, lanes, functools.partial(self._turn, 1, False))
        for chain in range(1, self.chains):
            sums[:lanes] = [builder.fadd(a, b) for a, b in zip(sums, sums[chain * lanes :])]
        place = builder.gep(self.c, [first])
        count = builder.select(self.add, rows, INT(0))
        old = load_some(builder, vector, place, count)
        store_some(builder, vector, place, builder.fadd(old, self._totals(sums[:lanes])), rows)
        return []

    def _turn(self, chains: int, whole: bool, k: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        lanes, parts = self.vector.lanes, list(sums)
        count = INT(lanes) if whole else self.builder.sub(self.k, k)
        for chain in range(chains):
            at = self.builder.add(k, INT(chain * lanes))
            x = self._load(self.x, at, count)
            for i, row in enumerate(self.row, start=chain * lanes):
                parts[i] = llvm_intrinsic(
                    self.builder, "fma", [self._load(row, at, count), x, parts[i]]
                )
        return parts

    def _load(self, row: ir.Value, at: ir.Value, count: ir.Value) -> ir.Value:
        return load_some(self.builder, self.vector, self.builder.gep(row, [at]), count)

    def _totals(self, sums: list[ir.Value]) -> ir.Value:
        """The sums of the lanes of as many vectors as there are lanes, as one vector.

        Each round adds neighbouring lanes of two vectors into one: log2(lanes) rounds.
        """
        lanes = len(sums)
        order = ir.VectorType(ir.IntType(32), lanes)
        even, odd = (ir.Constant(order, list(range(i, 2 * lanes, 2))) for i in (0, 1))
        while len(sums) > 1:
            pairs = zip(sums[::2], sums[1::2])
            sums = [
                self.builder.fadd(
                    self.builder.shuffle_vector(a, b, even), self.builder.shuffle_vector(a, b, odd)
                )
                for a, b in pairs
            ]
        return sums[0]


class _WeightedRows(MicroKernel):
    """C (columns,) = d (rows,) W (rows, columns) for some vectors of columns."""

    def __init__(self, module: ir.Module, vector: Vector, vectors: int) -> None:
        self.vector, self.vectors = vector, vectors
        element = vector.llvm().element.as_pointer()
        super().__init__(
            module,
            f"fastrnn.weighted_rows.{vector.dtype}.{vectors}",
            [element, INT, element, INT, element, INT, INT],
        )
        self.c, self.columns, self.w, self.stride, self.d, self.step, rows = self.function.args
        builder, lanes = self.builder, vector.lanes
        self.chains = max(1, CHAINS // vectors)
        zero = ir.Constant(vector.llvm(), [0.0] * lanes)
        carried: list[ir.Value] = [INT(0), *[zero] * CHAINS]
        for chains in sorted({self.chains, 1}, reverse=True):
            end = builder.and_(rows, INT(-chains))
            carried = self.loop(carried, end, chains, functools.partial(self._turn, chains))
        _, *sums = carried
        for chain in range(1, self.chains):
            others = sums[chain * vectors :]
            sums[:vectors] = [builder.fadd(a, b) for a, b in zip(sums[:vectors], others)]
        for v, value in enumerate(sums[:vectors]):
            address = builder.gep(self.c, [INT(v * lanes)])
            if vectors > 1:
                store_at(builder, vector, address, value)
            else:
                store_some(builder, vector, address, value, self.columns)
        builder.ret_void()

    def _turn(self, chains: int, row: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        builder, parts = self.builder, list(sums)
        for chain in range(chains):
            at = builder.add(row, INT(chain))
            number = builder.load(builder.gep(self.d, [builder.mul(self.step, at)]))
            weight = splat(builder, number, self.vector.lanes)
            start = builder.gep(self.w, [builder.mul(self.stride, at)])
            for v in range(self.vectors):
                address = builder.gep(start, [INT(v * self.vector.lanes)])
                if self.vectors > 1:
                    value = load_at(builder, self.vector, address)
                else:
                    value = load_some(builder, self.vector, address, self.columns)
                i = chain * self.vectors + v
                parts[i] = llvm_intrinsic(builder, "fma", [weight, value, parts[i]])
        return parts


class _Descent(MicroKernel):
    """W -= rate * clip(D^T X) for some vectors of columns, `high` rows at a time."""

    def __init__(self, module: ir.Module, vector: Vector, high: int, vectors: int) -> None:
        self.vector, self.rows, self.vectors = vector, high, vectors
        number = vector.llvm().element
        element = number.as_pointer()
        super().__init__(
            module,
            f"fastrnn.descent.{vector.dtype}.{high}x{vectors}",
            [element, INT, INT, element, INT, INT, element, INT, INT, number, number, INT],
        )
        (
            self.w, self.columns, self.stride, self.d, self.d_stride, self.step, self.x,
            self.x_stride, self.count, rate, limit, turns,
        ) = self.function.args  # fmt: skip
        builder = self.builder
        self.factor = splat(builder, builder.fneg(rate), vector.lanes)
        self.most = splat(builder, limit, vector.lanes)
        self.least = builder.fneg(self.most)
        self.loop([INT(0)], turns, 1, self._rows)
        builder.ret_void()

    def _rows(self, turn: ir.Value) -> list[ir.Value]:
        builder, lanes = self.builder, self.vector.lanes
        first = builder.mul(turn, INT(self.rows))
        self.d_here = builder.gep(self.d, [builder.mul(first, self.step)])
        zero = ir.Constant(self.vector.llvm(), [0.0] * lanes)
        start: list[ir.Value] = [INT(0), *[zero] * (self.rows * self.vectors)]
        _, *sums = self.loop(start, self.count, 1, self._turn)
        for i, g in enumerate(sums):
            # NaN stays NaN.
            g = builder.select(builder.fcmp_ordered(">", g, self.most), self.most, g)
            g = builder.select(builder.fcmp_ordered("<", g, self.least), self.least, g)
            at = builder.mul(self.stride, builder.add(first, INT(i // self.vectors)))
            address = builder.gep(self.w, [builder.add(at, INT(i % self.vectors * lanes))])
            new = llvm_intrinsic(builder, "fma", [self.factor, g, self._load(address)])
            if self.vectors > 1:
                store_at(builder, self.vector, address, new)
            else:
                store_some(builder, self.vector, address, new, self.columns)
        return []

    def _turn(self, t: ir.Value, *sums: ir.Value) -> list[ir.Value]:
        builder, lanes, parts = self.builder, self.vector.lanes, list(sums)
        x_row = builder.gep(self.x, [builder.mul(self.x_stride, t)])
        d_row = builder.gep(self.d_here, [builder.mul(self.d_stride, t)])
        held = [
            load_at(builder, self.vector, builder.gep(x_row, [INT(v * lanes)]))
            for v in range(self.vectors)
        ]
        for r in range(self.rows):
            number = builder.load(builder.gep(d_row, [builder.mul(self.step, INT(r))]))
            weight = splat(builder, number, lanes)
            for i, x in enumerate(held, start=r * self.vectors):
                parts[i] = llvm_intrinsic(builder, "fma", [weight, x, parts[i]])
        return parts

    def _load(self, address: ir.Value) -> ir.Value:
        if self.vectors > 1:
            return load_at(self.builder, self.vector, address)
        return load_some(self.builder, self.vector, address, self.columns)


@intrinsic
def row_dots(
    typing_context: Any,
    c: Any,
    c_offset: Any,
    w: Any,
    w_offset: Any,
    x: Any,
    x_offset: Any,
    rows: Any,
    k: Any,
    add: Any,
    descending: Any,
) -> Any:
    """C (rows,)  =  or +=  W (rows, k) x (k,)."""
    size = types.intp

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, w_at, x_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (0, 2, 4)
        )
        function = _RowDots(builder.module, Vector(c.dtype)).function
        builder.call(function, [c_at, args[6], w_at, x_at, *args[7:]])
        return context.get_dummy_value()

    flags = (types.boolean,) * 2
    return types.void(c, size, w, size, x, size, size, size, *flags), generate


@intrinsic
def weighted_rows(
    typing_context: Any,
    c: Any,
    c_offset: Any,
    columns: Any,
    w: Any,
    w_offset: Any,
    w_stride: Any,
    d: Any,
    d_offset: Any,
    d_step: Any,
    rows: Any,
    vectors: Any,
) -> Any:
    """The sum of the rows of W, each times its number of d.

    `vectors` is one of `WIDTHS`; of a single one only the first `columns` are read and written.
    """
    size = types.intp
    vector = Vector(c.dtype)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        c_at, w_at, d_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (0, 3, 6)
        )
        operands = [c_at, args[2], w_at, args[5], d_at, args[8], args[9]]
        done = builder.append_basic_block("weighted_rows.done")
        switch = builder.switch(args[10], done)
        for width in WIDTHS:
            case = builder.append_basic_block(f"weighted_rows.{width}")
            switch.add_case(INT(width), case)
            builder.position_at_end(case)
            builder.call(_WeightedRows(builder.module, vector, width).function, operands)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(c, size, size, w, size, size, d, size, size, size, size), generate


#: Rows and vectors of columns that are changed at one time.
DESCENTS = ((2, 4), (1, 4), (2, 1), (1, 1))


@intrinsic
def descent(
    typing_context: Any,
    w: Any,
    w_offset: Any,
    columns: Any,
    w_stride: Any,
    d: Any,
    d_offset: Any,
    d_stride: Any,
    d_step: Any,
    x: Any,
    x_offset: Any,
    x_stride: Any,
    count: Any,
    rate: Any,
    limit: Any,
    turns: Any,
    rows: Any,
    vectors: Any,
) -> Any:
    """W -= rate * clip(D^T X) for `turns` times `rows` rows and `vectors` vectors of columns.

    ``(rows, vectors)`` is one of `DESCENTS`; of a single vector only the first `columns` numbers
    of W are read and written. Rows of X have whole vectors.
    """
    size = types.intp
    vector = Vector(w.dtype)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        w_at, d_at, x_at = (
            pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (0, 4, 8)
        )
        operands = [w_at, *args[2:4], d_at, *args[6:8], x_at, *args[10:15]]
        done = builder.append_basic_block("descent.done")
        switch = builder.switch(builder.add(builder.mul(args[15], INT(8)), args[16]), done)
        for r, v in DESCENTS:
            case = builder.append_basic_block(f"descent.{r}x{v}")
            switch.add_case(INT(8 * r + v), case)
            builder.position_at_end(case)
            builder.call(_Descent(builder.module, vector, r, v).function, operands)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    number, sizes = w.dtype, (size,) * 3
    return types.void(w, *sizes, d, *sizes, x, *sizes, number, number, *sizes), generate
