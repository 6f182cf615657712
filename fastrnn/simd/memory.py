"""Loads and stores of vectors.

They take an array, whatever its dimensions, and an element offset from its first element. They do
not check bounds, and they do not wrap negative offsets: Numba's wraparound costs 40 % of a k-loop.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastrnn.simd import cpu
from fastrnn.simd.vector import INT, Vector, halves, joined, lane_mask


def pointer(
    context: Any, builder: ir.IRBuilder, array: ir.Value, kind: types.Array, offset: ir.Value
) -> ir.Value:
    """Address of the element `offset` elements after the first of `array`."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [offset])


def anchored(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    """An address of which LLVM does not know how it was computed.

    Of those that it knows it steps one along for each gate, state and row of a pair, 35 where 15
    registers are. In one loop over the rows the equations of LSTMs then take 0.9 of the time, of
    RNNs 0.98 to 1.0, of GRUs 1.02 to 1.04 (``bench/limits.py equations``; Zen 3).
    """
    shape = ir.FunctionType(address.type, [address.type])
    return builder.asm(shape, "", "=r,0", [address], False)


def _masked(
    builder: ir.IRBuilder, verb: str, vector: Vector, address: ir.Value
) -> tuple[ir.Function, ir.Value]:
    kind = vector.llvm()
    pointer_kind = kind.as_pointer()
    mask = ir.VectorType(ir.IntType(1), vector.lanes)
    suffix = f"v{vector.lanes}f{vector.dtype.bitwidth}.p0"
    if verb == "load":
        shape = ir.FunctionType(kind, [pointer_kind, ir.IntType(32), mask, kind])
    else:
        shape = ir.FunctionType(ir.VoidType(), [kind, pointer_kind, ir.IntType(32), mask])
    function = cgutils.get_or_insert_function(builder.module, shape, f"llvm.masked.{verb}.{suffix}")
    return function, builder.bitcast(address, pointer_kind)


def load_at(builder: ir.IRBuilder, vector: Vector, address: ir.Value) -> ir.Value:
    """Load a whole vector from an address aligned as one number is."""
    loaded = builder.load(builder.bitcast(address, vector.llvm().as_pointer()))
    loaded.align = vector.dtype.bitwidth // 8
    return loaded


def store_at(builder: ir.IRBuilder, vector: Vector, address: ir.Value, value: ir.Value) -> None:
    """Store a whole vector to an address aligned as one number is."""
    stored = builder.store(value, builder.bitcast(address, vector.llvm().as_pointer()))
    stored.align = vector.dtype.bitwidth // 8


def prefetch(builder: ir.IRBuilder, address: ir.Value, writes: bool, locality: int) -> None:
    """Bring a line into a cache, the first level (`locality` 3) or the second (2); never wait."""
    number = ir.IntType(32)
    place = builder.bitcast(address, ir.IntType(8).as_pointer())
    shape = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, shape, "llvm.prefetch.p0")
    builder.call(function, [place, number(int(writes)), number(locality), number(1)])


def load_some(
    builder: ir.IRBuilder, vector: Vector, address: ir.Value, count: ir.Value
) -> ir.Value:
    """Load the first `count` numbers, zeros after them; a whole vector if more."""
    if isinstance(count, ir.Constant) and count.constant >= vector.lanes:
        return load_at(builder, vector, address)
    whole = builder.icmp_signed(">=", count, INT(vector.lanes))
    with builder.if_else(whole, likely=True) as (then, otherwise):
        with then:
            all_lanes = load_at(builder, vector, address)
            then_block = builder.block
        with otherwise:
            function, cast = _masked(builder, "load", vector, address)
            mask = lane_mask(builder, count, vector.lanes)
            zero = ir.Constant(vector.llvm(), [0.0] * vector.lanes)
            align = ir.IntType(32)(vector.dtype.bitwidth // 8)
            some_lanes = builder.call(function, [cast, align, mask, zero])
            other_block = builder.block
    merged = builder.phi(vector.llvm())
    merged.add_incoming(all_lanes, then_block)
    merged.add_incoming(some_lanes, other_block)
    return merged


def store_some(
    builder: ir.IRBuilder, vector: Vector, address: ir.Value, value: ir.Value, count: ir.Value
) -> None:
    """Store the first `count` numbers of `value`, all of them if `count` is more."""
    whole = builder.icmp_signed(">=", count, INT(vector.lanes))
    with builder.if_else(whole, likely=True) as (then, otherwise):
        with then:
            store_at(builder, vector, address, value)
        with otherwise:
            function, cast = _masked(builder, "store", vector, address)
            align = ir.IntType(32)(vector.dtype.bitwidth // 8)
            mask = lane_mask(builder, count, vector.lanes)
            builder.call(function, [value, cast, align, mask])


@intrinsic
def load(typing_context: Any, array: Any, offset: Any, count: Any) -> Any:
    """The first `count` numbers from `offset` on, zeros after them; a whole vector if more."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = pointer(context, builder, args[0], sig.args[0], args[1])
        return load_some(builder, vector, address, args[2])

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store(typing_context: Any, array: Any, offset: Any, count: Any, value: Any) -> Any:
    """Store the first `count` numbers of `value`, all of them if `count` is more."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = pointer(context, builder, args[0], sig.args[0], args[1])
        store_some(builder, value, address, args[3], args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@intrinsic(prefer_literal=True)
def load_each(
    typing_context: Any, array: Any, offset: Any, stride: Any, count: Any, number: Any
) -> Any:
    """A tuple of `number` (a literal) vectors, `stride` elements apart; see `load` for `count`."""
    vector = Vector(array.dtype)
    several = types.Tuple([vector] * number.literal_value)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = pointer(context, builder, args[0], sig.args[0], args[1])
        values = []
        for _ in range(number.literal_value):
            values.append(load_some(builder, vector, address, args[3]))
            address = builder.gep(address, [args[2]])
        return context.make_tuple(builder, several, values)

    return several(array, types.intp, types.intp, types.intp, number), generate


@intrinsic
def store_each(
    typing_context: Any, array: Any, offset: Any, stride: Any, count: Any, values: Any
) -> Any:
    """Store a tuple of vectors, `stride` elements apart."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = pointer(context, builder, args[0], sig.args[0], args[1])
        for value, kind in zip(cgutils.unpack_tuple(builder, args[4]), values):
            store_some(builder, kind, address, value, args[3])
            address = builder.gep(address, [args[2]])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp, values), generate


@intrinsic(prefer_literal=True)
def load_units(
    typing_context: Any, array: Any, offset: Any, apart: Any, stride: Any, count: Any, number: Any,
    paired: Any,
) -> Any:  # fmt: skip
    """As `load_each`; if `paired` (a literal), whole ones with those `apart` elements behind."""
    vector = Vector(array.dtype)
    pair = bool(paired.literal_value)
    several = types.Tuple([Vector(array.dtype, pair=pair)] * number.literal_value)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = anchored(builder, pointer(context, builder, args[0], sig.args[0], args[1]))
        values = []
        for _ in range(number.literal_value):
            if pair:
                places = (address, builder.gep(address, [args[2]]))
                value = joined(builder, *(load_at(builder, vector, place) for place in places))
            else:
                value = load_some(builder, vector, address, args[4])
            values.append(value)
            address = builder.gep(address, [args[3]])
        return context.make_tuple(builder, several, values)

    size = types.intp
    return several(array, size, size, size, size, number, paired), generate


@intrinsic(prefer_literal=True)
def store_units(
    typing_context: Any, array: Any, offset: Any, apart: Any, stride: Any, count: Any, values: Any,
    uncached: Any,
) -> Any:  # fmt: skip
    """As `store_each`; of pairs, which are whole, the second half `apart` elements behind.

    If `uncached` (a literal), past the caches where all are whole cache lines: a store through the
    caches first reads the line that it overwrites. `finish_uncached` must follow at the end.
    """
    vector = Vector(array.dtype)
    size = types.intp

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        address = anchored(builder, pointer(context, builder, args[0], sig.args[0], args[1]))
        places = []
        for value, kind in zip(cgutils.unpack_tuple(builder, args[5]), values):
            parts = halves(builder, value) if kind.pair else [value]
            for i, part in enumerate(parts):
                places.append((builder.gep(address, [args[2]]) if i else address, part))
            address = builder.gep(address, [args[3]])

        pair = len(places) > len(values)

        def store_cached() -> None:
            for place, part in places:
                if pair:
                    store_at(builder, vector, place, part)
                else:
                    store_some(builder, vector, place, part, args[4])

        if not (uncached.literal_value and cpu.STORES_LINES and places):
            store_cached()
            return context.get_dummy_value()
        bits = builder.ptrtoint(places[0][0], INT)
        for distance in args[2:4]:
            bits = builder.or_(bits, builder.mul(distance, INT(array.dtype.bitwidth // 8)))
        aligned = builder.icmp_signed("==", builder.and_(bits, INT(cpu.VECTOR_BYTES - 1)), INT(0))
        whole = builder.icmp_signed(">=", args[4], INT(vector.lanes))
        with builder.if_else(builder.and_(aligned, whole), likely=True) as (then, otherwise):
            with then:
                for place, part in places:
                    stored = builder.store(part, builder.bitcast(place, part.type.as_pointer()))
                    stored.align = cpu.VECTOR_BYTES
                    one = builder.module.add_metadata([ir.IntType(32)(1)])
                    stored.set_metadata("nontemporal", one)
            with otherwise:
                store_cached()
        return context.get_dummy_value()

    return types.void(array, size, size, size, size, values, uncached), generate


@intrinsic
def finish_uncached(typing_context: Any) -> Any:
    """Order what `store_units` stored past the caches before what follows, for other threads."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        if cpu.STORES_LINES:
            kind = ir.FunctionType(ir.VoidType(), [])
            fence = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse.sfence")
            builder.call(fence, [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def copy_transposed(
    typing_context: Any,
    target: Any,
    target_offset: Any,
    target_stride: Any,
    source: Any,
    source_offset: Any,
    source_stride: Any,
    rows: Any,
) -> Any:
    """Copy as many numbers of each of the first `rows` rows as a vector has lanes, transposed.

    Where there are fewer rows than lanes, the last row stands for those that are missing.
    """
    vector = Vector(source.dtype)
    lanes = vector.lanes
    size = types.intp

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        to, of = (pointer(context, builder, args[i], sig.args[i], args[i + 1]) for i in (0, 3))
        last = builder.sub(args[6], INT(1))

        def row_at(i: int) -> ir.Value:
            there = builder.select(builder.icmp_signed("<", last, INT(i)), last, INT(i))
            return builder.gep(of, [builder.mul(args[5], there)])

        rows = [load_at(builder, vector, row_at(i)) for i in range(lanes)]
        # log2(lanes) rounds, each interleaving row i with row i + lanes / 2.
        pairs = [i // 2 + lanes * (i % 2) for i in range(2 * lanes)]
        low, high = (
            ir.Constant(ir.VectorType(ir.IntType(32), lanes), part)
            for part in (pairs[:lanes], pairs[lanes:])
        )
        for _ in range(lanes.bit_length() - 1):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + lanes // 2], order)
                for i in range(lanes // 2)
                for order in (low, high)
            ]
        for i, row in enumerate(rows):
            store_at(builder, vector, builder.gep(to, [builder.mul(args[2], INT(i))]), row)
        return context.get_dummy_value()

    return types.void(target, size, size, source, size, size, size), generate
