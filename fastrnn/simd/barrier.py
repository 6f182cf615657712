"""A barrier for threads that run compiled code: they spin, and after a while offer their core."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from fastrnn.simd.vector import INT

#: Turns of the waiting loop, some tens of microseconds, before the core is offered to others.
PATIENCE = 100

X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def meet(typing_context: Any, address: Any, size: Any, offer: Any) -> Any:
    """Wait until `size` threads are here.

    `address` is that of an int64 that counts arrivals and starts at 0; if it is made negative,
    nobody waits any more. `offer` is that of a C function without arguments that gives up the core,
    or 0.
    """

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        count = builder.inttoptr(args[0], INT.as_pointer())
        mine = builder.atomic_rmw("add", count, INT(1), "acq_rel")
        generation = builder.add(builder.sdiv(mine, args[1]), INT(1))
        goal = builder.mul(generation, args[1])
        before = builder.block
        head, body, offering, after = (
            builder.append_basic_block(f"meet.{name}") for name in ("head", "body", "offer", "end")
        )
        builder.branch(head)
        builder.position_at_end(head)
        turn = builder.phi(INT)
        turn.add_incoming(INT(0), before)
        seen = builder.load_atomic(count, "acquire", 8)
        broken = builder.icmp_signed("<", seen, INT(0))
        together = builder.icmp_signed(">=", seen, goal)
        builder.cbranch(builder.or_(together, broken), after, body)
        builder.position_at_end(body)
        if X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(
                cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), []
            )
        next_turn = builder.add(turn, INT(1))
        turn.add_incoming(next_turn, body)
        patient = builder.icmp_signed("<", next_turn, INT(PATIENCE))
        alone = builder.icmp_signed("==", args[2], INT(0))
        builder.cbranch(builder.or_(patient, alone), head, offering)
        builder.position_at_end(offering)
        kind = ir.FunctionType(ir.IntType(32), [])
        builder.call(builder.inttoptr(args[2], kind.as_pointer()), [])
        turn.add_incoming(next_turn, offering)
        builder.branch(head)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate
