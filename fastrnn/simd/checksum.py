"""A checksum of numbers as they lie in memory, at nearly the speed of reading them."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastrnn.simd import cpu
from fastrnn.simd.memory import load_at, load_some, pointer
from fastrnn.simd.vector import INT, Vector, splat

#: Vectors that are read at a time, each into a sum of its own: 80 GB/s, with one sum 49.
SUMS = 4
LANES = cpu.VECTOR_BYTES // 8
#: 2^64 over the golden ratio, odd: its multiples are far apart.
GOLDEN = 0x9E3779B97F4A7C15


@intrinsic
def checksum(typing_context: Any, array: Any, first: Any, end: Any, place: Any) -> Any:
    """Sum, modulo 2^64, of what `_mix` makes of the blocks from element `first` to `end`.

    `place` numbers the block at element 0; `first` must be the beginning of a block, so that the
    sums of parts add up to that of the whole.
    """
    vector = Vector(array.dtype)
    words = ir.VectorType(INT, LANES)
    step = vector.lanes * SUMS

    def constant(numbers: list[int]) -> ir.Constant:
        return ir.Constant(words, [number % 2**64 for number in numbers])

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        data = pointer(context, builder, args[0], sig.args[0], INT(0))
        zero = constant([0] * LANES)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in range(SUMS)]

        def add(start: ir.Value, whole: bool) -> None:
            number = builder.add(args[3], builder.sdiv(start, INT(step)))
            key = splat(builder, builder.mul(number, INT(GOLDEN)), LANES)
            for i, total in enumerate(sums):
                at = builder.add(start, INT(i * vector.lanes))
                address = builder.gep(data, [at])
                left = builder.sub(args[2], at)
                loaded = (
                    load_at(builder, vector, address)
                    if whole
                    else load_some(builder, vector, address, left)
                )
                mixed = _mix(builder, builder.bitcast(loaded, words), key)
                builder.store(builder.add(builder.load(total), mixed), total)

        rest = builder.srem(builder.sub(args[2], args[1]), INT(step))
        whole_end = builder.sub(args[2], rest)
        with cgutils.for_range_slice(builder, args[1], whole_end, INT(step)) as (start, _):
            add(start, True)
        with builder.if_then(builder.icmp_signed(">", rest, INT(0))):
            add(whole_end, False)
        # Each lane of each sum counts differently, so that numbers cannot be exchanged.
        result = INT(0)
        for i, total in enumerate(sums):
            weights = [GOLDEN * (2 * (i * LANES + lane) + 1) for lane in range(LANES)]
            lanes = builder.mul(builder.load(total), constant(weights))
            for lane in range(LANES):
                part = builder.extract_element(lanes, ir.IntType(32)(lane))
                result = builder.add(result, part)
        return result

    return types.intp(array, types.intp, types.intp, types.intp), generate


def _mix(builder: ir.IRBuilder, words: ir.Value, key: ir.Value) -> ir.Value:
    """``w + low * high`` of the halves of ``w ^ key``, much as XXH3 (Collet, xxHash 0.8, 2020).

    Turned by 9 bits, so that the signs of numbers move low bits too: the sums of two sets of
    weights are the same with a chance of some 2^-50.
    """
    kind = words.type
    mixed = builder.xor(words, key)
    turned = ir.FunctionType(kind, [kind] * 3)
    turn = cgutils.get_or_insert_function(builder.module, turned, f"llvm.fshl.v{LANES}i64")
    mixed = builder.call(turn, [mixed, mixed, ir.Constant(kind, [9] * LANES)])
    low = builder.and_(mixed, ir.Constant(kind, [2**32 - 1] * LANES))
    high = builder.lshr(mixed, ir.Constant(kind, [32] * LANES))
    return builder.add(words, builder.mul(low, high))
