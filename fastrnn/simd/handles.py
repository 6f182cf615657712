"""Arrays and named tuples from plain integers, so that one array of them says all of a call."""

from __future__ import annotations

import itertools
import typing
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from fastrnn.simd.vector import INT


@intrinsic
def array_at(typing_context: Any, address: Any, size: Any, like: Any) -> Any:
    """The `size` numbers at an address as an array of the type of `like`, which keeps no owner."""
    kind = types.Array(like.dtype, 1, "C")

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        array = context.make_array(kind)(context, builder)
        item = INT(like.dtype.bitwidth // 8)
        array.data = builder.inttoptr(args[0], array.data.type)
        array.nitems = args[1]
        array.itemsize = item
        array.shape = builder.insert_value(array.shape, args[1], 0)
        array.strides = builder.insert_value(array.strides, item, 0)
        for owner in ("meminfo", "parent"):
            setattr(array, owner, ir.Constant(getattr(array, owner).type, None))
        return array._getvalue()

    return kind(types.intp, types.intp, like), generate


def _type_of(cls: Any) -> types.Type:
    hints = typing.get_type_hints(cls)
    kinds = [types.intp if hints[name] is int else _type_of(hints[name]) for name in cls._fields]
    if len(set(kinds)) == 1:
        return types.NamedUniTuple(kinds[0], len(kinds), cls)
    return types.NamedTuple(kinds, cls)


@intrinsic
def tuple_at(typing_context: Any, array: Any, offset: Any, cls: Any) -> Any:
    """The named tuple `cls` of integers, and of tuples of them, in `array` from `offset` on."""
    kind = _type_of(cls.instance_class)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        data = context.make_array(array)(context, builder, args[0]).data
        places = itertools.count()

        def build(kind: Any) -> ir.Value:
            if isinstance(kind, types.BaseTuple):
                return context.make_tuple(builder, kind, [build(item) for item in kind])
            return builder.load(builder.gep(data, [builder.add(args[1], INT(next(places)))]))

        return build(kind)

    return kind(array, types.intp, cls), generate
