"""What threads in compiled code tell each other: words of memory, read and written whole."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastrnn.simd.vector import INT

X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def add_to_word(typing_context: Any, address: Any, number: Any) -> Any:
    """Add to the int64 at `address` and return what it was; all that was written before is seen."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.atomic_rmw(
            "add", builder.inttoptr(args[0], INT.as_pointer()), args[1], "acq_rel"
        )

    return types.intp(types.intp, types.intp), generate


@intrinsic
def read_word(typing_context: Any, address: Any) -> Any:
    """The int64 at `address`, and with it all that was written before it."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.load_atomic(builder.inttoptr(args[0], INT.as_pointer()), "acquire", 8)

    return types.intp(types.intp), generate


@intrinsic
def write_word(typing_context: Any, address: Any, number: Any) -> Any:
    """Write the int64 at `address`; who reads it also sees all that was written before."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        place = builder.inttoptr(args[0], INT.as_pointer())
        builder.store_atomic(args[1], place, "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@intrinsic
def exchange_word(typing_context: Any, address: Any, expected: Any, number: Any) -> Any:
    """Write the int64 at `address` if it is as `expected`; whether it was."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        place = builder.inttoptr(args[0], INT.as_pointer())
        found = builder.cmpxchg(place, args[1], args[2], "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.intp, types.intp, types.intp), generate


@intrinsic
def pause(typing_context: Any) -> Any:
    """Tell the CPU that this is a loop that waits."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def offer_core(typing_context: Any, offer: Any) -> Any:
    """Call the C function without arguments at this address, which gives the core to others."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.intp), generate
