"""Functions written in LLVM's own language, and what chooses among those of a family.

The kernels call a family through one address: compiled into each kernel, at each level of calls,
tiles took three quarters of the time of a first compilation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastrnn.simd.vector import INT, Vector


class MicroKernel:
    """Writes one LLVM function that works on pointers."""

    def __init__(self, module: ir.Module, name: str, arguments: list[ir.Type]) -> None:
        signature = ir.FunctionType(ir.VoidType(), arguments)
        self.function = ir.Function(module, signature, name=name)
        self.function.linkage = "internal"
        self.function.attributes.add("noinline")
        for argument in self.function.args:
            if isinstance(argument.type, ir.PointerType):
                argument.add_attribute("noalias")
        self.builder = ir.IRBuilder(self.function.append_basic_block("entry"))

    def loop(
        self,
        start: list[ir.Value],
        end: ir.Value,
        step: int,
        body: Callable[..., list[ir.Value]],
    ) -> list[ir.Value]:
        """Emit ``for k in range(start[0], end, step)`` and return what it carries, k first.

        ``body(*carried)`` emits one turn and returns what it carries but k.
        """
        builder = self.builder
        before = builder.block
        head, turn, after = (
            self.function.append_basic_block(name) for name in ("head", "body", "after")
        )
        builder.branch(head)
        builder.position_at_end(head)
        carried = [builder.phi(value.type) for value in start]
        for phi, value in zip(carried, start):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", carried[0], end), turn, after)
        builder.position_at_end(turn)
        values = body(*carried)
        for phi, value in zip(carried, [builder.add(carried[0], INT(step)), *values]):
            phi.add_incoming(value, builder.block)
        builder.branch(head).set_metadata("llvm.loop", self._as_written())
        builder.position_at_end(after)
        return carried

    def _as_written(self) -> ir.MDValue:
        """The mark of a loop that LLVM must not unroll: how far, it does not know."""
        module = self.function.module
        rule = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
        mark = ir.MDValue(module, [], str(len(module.metadata)))
        mark.operands = (mark, rule)  # What marks a loop names itself first.
        return mark


def family(
    name: str,
    write: Callable[[ir.Module, Vector], dict[int, ir.Function]],
    key: Callable[[ir.IRBuilder, Sequence[ir.Value]], ir.Value],
) -> Any:
    """The intrinsic that gives the address of the family `name` for the precision of a number.

    ``write(module, vector)`` emits them, all of the same arguments, by their keys, and
    ``key(builder, arguments)`` says which of them is called; if none has that key, nothing is done.

    What chooses passes its arguments on as they are, one by one. A C function of Numba's copies
    those on the stack several at once, and a wide load waits until the narrow stores before it are
    in the cache: a step of one row began when the one before had left the core. Without that,
    streams of LSTMs of 8 to 32 units take 0.85 to 0.90 of the time, an RNN of 32 units at batch 1
    0.88 (Emerald Rapids).
    """

    def address(typing_context: Any, number: Any) -> Any:
        vector = Vector(number)

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            cases = write(builder.module, vector)
            kind = next(iter(cases.values())).function_type
            chooser = ir.Function(builder.module, kind, f"fastrnn.{name}.{vector.dtype}")
            chooser.linkage = "internal"
            choose = ir.IRBuilder(chooser.append_basic_block("entry"))
            none = chooser.append_basic_block("none")
            switch = choose.switch(key(choose, chooser.args), none)
            for case, function in cases.items():
                block = chooser.append_basic_block("case")
                switch.add_case(INT(case), block)
                choose.position_at_end(block)
                choose.call(function, chooser.args, tail=True)
                choose.ret_void()
            choose.position_at_end(none)
            choose.ret_void()
            return builder.ptrtoint(chooser, INT)

        return types.intp(number), generate

    return intrinsic(address)


def call_family(builder: ir.IRBuilder, address: ir.Value, operands: list[ir.Value]) -> None:
    """Call what `family` has given the address of."""
    kind = ir.FunctionType(ir.VoidType(), [x.type for x in operands])
    builder.call(builder.inttoptr(address, kind.as_pointer()), operands)
