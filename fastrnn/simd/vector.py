"""An opaque vector of registers for Numba: its type, arithmetic, comparisons and tuples.

A value of type `Vector` holds `cpu.lanes(dtype)` numbers. ``+ - * /``, unary ``-``, comparisons
and `where` work on it as they do on a NumPy array of that length, so one plain function of
equations compiles to registers and also runs on arrays. A product that is added to is not rounded
before: ``a * b - a * b`` is the rounding error of the second product.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from fastrnn.simd import cpu, functions

INT = ir.IntType(64)


class Vector(types.Type):
    """`lanes` numbers of type `dtype` in registers; twice as many as a register has in a `pair`.

    LLVM cuts each operation on a pair in two, one beside the other: two chains of operations that
    wait for nothing of each other.
    """

    def __init__(self, dtype: types.Float, *, pair: bool = False) -> None:
        self.dtype = dtype
        self.pair = pair
        self.lanes = cpu.VECTOR_BYTES * 8 // dtype.bitwidth * (1 + pair)
        super().__init__(name=f"Vector({dtype} x {self.lanes})")

    def llvm(self) -> ir.VectorType:
        """LLVM's type of it."""
        return ir.VectorType(scalar_llvm(self.dtype), self.lanes)


class Mask(types.Type):
    """One truth value for each lane of a vector."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Vector) -> None:
        super().__init__(manager, fe_type, fe_type.llvm())


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Mask) -> None:
        super().__init__(manager, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


def scalar_llvm(dtype: types.Float) -> ir.Type:
    """LLVM's type of one number."""
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def llvm_intrinsic(builder: ir.IRBuilder, name: str, operands: list[ir.Value]) -> ir.Value:
    """Call ``llvm.<name>`` on vectors of one type (``builder.fma`` fails on vectors)."""
    vector = operands[0].type
    suffix = f"v{vector.count}f{32 if isinstance(vector.element, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [x.type for x in operands]),
        f"llvm.{name}.{suffix}",
    )
    return builder.call(function, operands)


def splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector of `lanes` copies of `scalar`."""
    undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def as_vector(
    context: Any, builder: ir.IRBuilder, value: ir.Value, kind: Any, to: Vector
) -> ir.Value:
    """A number in every lane of a vector; a vector as it is."""
    if isinstance(kind, Vector):
        return value
    return splat(builder, context.cast(builder, value, kind, to.dtype), to.lanes)


def vector_of(args: tuple[Any, ...]) -> Vector | None:
    """The one vector type among `args`, if all others are it too or plain numbers."""
    vectors = {a for a in args if isinstance(a, Vector)}
    if len(vectors) != 1:
        return None
    if any(not isinstance(a, Vector | types.Number) for a in args):
        return None
    return vectors.pop()


def _define_operator(
    function: Any,
    emit: Callable[[ir.IRBuilder, list[ir.Value]], ir.Value],
    arity: int = 2,
    compares: bool = False,
) -> None:
    """Give Python's operator `function` its meaning on vectors, numbers being broadcast."""

    class Operator(AbstractTemplate):
        def generic(self, args: tuple[Any, ...], kws: Any) -> Any:
            vector = vector_of(args)
            if kws or vector is None or len(args) != arity:
                return None
            return signature(Mask(vector.lanes) if compares else vector, *args)

    def lower(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        vector = vector_of(sig.args)
        assert vector is not None
        return emit(
            builder,
            [as_vector(context, builder, a, k, vector) for a, k in zip(args, sig.args)],
        )

    infer_global(function)(Operator)
    kinds = ([Vector], [Vector, types.Number], [types.Number, Vector])
    for kind in [[Vector]] if arity == 1 else [[Vector, Vector], *kinds[1:]]:
        lower_builtin(function, *kind)(lower)


def _comparison(symbol: str) -> Callable[[ir.IRBuilder, list[ir.Value]], ir.Value]:
    return lambda builder, operands: builder.fcmp_ordered(symbol, *operands)


def _is_product(value: ir.Value) -> bool:
    return isinstance(value, ir.Instruction) and value.opname == "fmul"


def _fused_sum(builder: ir.IRBuilder, operands: list[ir.Value]) -> ir.Value:
    """x + y in one rounding if one of them is a product, the first one if both are.

    LLVM would fuse them too, but of ``f * c + i * g`` it chose one product here and the other
    there: an LSTM's bits differed from one size of a team to another.
    """
    x, y = operands
    if _is_product(x):
        return llvm_intrinsic(builder, "fma", [*x.operands, y])
    if _is_product(y):
        return llvm_intrinsic(builder, "fma", [*y.operands, x])
    return builder.fadd(x, y)


def _fused_difference(builder: ir.IRBuilder, operands: list[ir.Value]) -> ir.Value:
    """x - y, as `_fused_sum`."""
    x, y = operands
    if _is_product(x):
        return llvm_intrinsic(builder, "fma", [*x.operands, builder.fneg(y)])
    if _is_product(y):
        a, b = y.operands
        return llvm_intrinsic(builder, "fma", [builder.fneg(a), b, x])
    return builder.fsub(x, y)


_define_operator(operator.add, _fused_sum)
_define_operator(operator.sub, _fused_difference)
_define_operator(operator.mul, lambda b, x: b.fmul(*x))
_define_operator(operator.truediv, lambda b, x: b.fdiv(*x))
_define_operator(operator.neg, lambda b, x: b.fneg(*x), arity=1)
_define_operator(abs, lambda b, x: llvm_intrinsic(b, "fabs", x), arity=1)
for _compare, _symbol in (
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _define_operator(_compare, _comparison(_symbol), compares=True)


@intrinsic
def _select(typing_context: Any, mask: Any, chosen: Any, otherwise: Any) -> Any:
    vector = vector_of((chosen, otherwise))
    if not isinstance(mask, Mask) or vector is None:
        return None

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        values = [as_vector(context, builder, a, k, vector) for a, k in zip(args[1:], sig.args[1:])]
        # The fence keeps LLVM from making one masked store of a load, this and a store in one
        # place, which takes 12 cycles a vector where there is no AVX-512 (Zen 4 as Zen 3).
        return llvm_intrinsic(builder, "arithmetic.fence", [builder.select(args[0], *values)])

    return vector(mask, chosen, otherwise), generate


@overload(functions.where)
def _where(condition, chosen, otherwise):
    if isinstance(condition, Mask):
        return lambda condition, chosen, otherwise: _select(condition, chosen, otherwise)
    return None


def halves(builder: ir.IRBuilder, value: ir.Value) -> list[ir.Value]:
    """The first and the second half of a vector's lanes."""
    half = value.type.count // 2
    kind = ir.VectorType(ir.IntType(32), half)
    return [
        builder.shuffle_vector(value, value, ir.Constant(kind, list(range(start, start + half))))
        for start in (0, half)
    ]


def joined(builder: ir.IRBuilder, first: ir.Value, second: ir.Value) -> ir.Value:
    """A vector of the lanes of two."""
    lanes = 2 * first.type.count
    order = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
    return builder.shuffle_vector(first, second, order)


@intrinsic
def lanes_of(typing_context: Any, array: Any) -> Any:
    """Numbers of an array in one vector, as a constant: no kernel divides by it at run time."""
    lanes = Vector(array.dtype).lanes

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return INT(lanes)

    return types.intp(array), generate


def lane_mask(builder: ir.IRBuilder, count: ir.Value, lanes: int) -> ir.Value:
    """True for the first `count` lanes."""
    index = ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))
    return builder.icmp_signed("<", index, splat(builder, count, lanes))


def _tuple_function(arrange: Callable[..., list[Any]]) -> Any:
    """An intrinsic on one or two tuples of vectors and a literal number: rearranges, may add."""

    def build(tuples: tuple[Any, ...], number: Any) -> Any:
        vectors = tuples[0][0]

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            values = [cgutils.unpack_tuple(builder, a) for a in args[:-1]]
            arranged = arrange(builder, *values, number.literal_value)
            return context.make_tuple(builder, sig.return_type, arranged)

        lengths = [[None] * len(t) for t in tuples]
        count = len(arrange(None, *lengths, number.literal_value))
        return types.Tuple([vectors] * count)(*tuples, number), generate

    return build


def _arrange_preactivations(builder: Any, x: list[Any], r: list[Any], apart: int) -> list[Any]:
    summed = len(x) - apart
    sums = [builder.fadd(a, b) if builder else None for a, b in zip(x[:summed], r[:summed])]
    return [*sums, *x[summed:], *r[summed:]]


@intrinsic(prefer_literal=True)
def preactivations(typing_context: Any, x: Any, r: Any, apart: Any) -> Any:
    """Sums of the gates' input parts `x` and recurrent parts `r`.

    For the last `apart` gates they stand one by one instead: all input parts, then all recurrent
    parts, behind the sums.
    """
    return _tuple_function(_arrange_preactivations)((x, r), apart)


@intrinsic
def add_each(typing_context: Any, x: Any, y: Any) -> Any:
    """Sums of two tuples of vectors."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        pairs = zip(*(cgutils.unpack_tuple(builder, a) for a in args))
        return context.make_tuple(builder, x, [builder.fadd(*p) for p in pairs])

    return x(x, y), generate


@intrinsic(prefer_literal=True)
def input_deltas(typing_context: Any, deltas: Any, apart: Any) -> Any:
    """Of the gradients of `preactivations`, those of the gates' input parts."""
    return _tuple_function(lambda b, d, n: d[: len(d) - n])((deltas,), apart)


@intrinsic(prefer_literal=True)
def recurrent_deltas(typing_context: Any, deltas: Any, apart: Any) -> Any:
    """Of the gradients of `preactivations`, those of the gates' recurrent parts."""
    return _tuple_function(lambda b, d, n: [*d[: len(d) - 2 * n], *d[len(d) - n :]])(
        (deltas,), apart
    )


@intrinsic
def keep_lanes(typing_context: Any, value: Any, count: Any, otherwise: Any) -> Any:
    """The first `count` lanes of `value`, and the number `otherwise` in the others."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        other = as_vector(context, builder, args[2], sig.args[2], value)
        return builder.select(lane_mask(builder, args[1], value.lanes), args[0], other)

    return value(value, types.intp, otherwise), generate


@intrinsic
def all_zero(typing_context: Any, value: Any) -> Any:
    """Whether every lane is zero."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        zero = ir.Constant(value.llvm(), [0.0] * value.lanes)
        lanes = builder.fcmp_unordered("!=", args[0], zero)
        bits = ir.IntType(value.lanes)
        return builder.icmp_unsigned("==", builder.bitcast(lanes, bits), bits(0))

    return types.boolean(value), generate


@intrinsic
def lane_sum(typing_context: Any, value: Any) -> Any:
    """Sum of a vector's lanes, by halves."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return _fold(builder, args[0], lambda b, x, y: b.fadd(x, y))

    return value.dtype(value), generate


@intrinsic
def lane_max(typing_context: Any, value: Any) -> Any:
    """Largest of a vector's lanes, NaN if one is NaN."""

    def larger(builder: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
        unordered = builder.fcmp_unordered("uno", x, x)
        return builder.select(builder.or_(unordered, builder.fcmp_ordered(">", x, y)), x, y)

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return _fold(builder, args[0], larger)

    return value.dtype(value), generate


def _fold(
    builder: ir.IRBuilder,
    value: ir.Value,
    combine: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value],
) -> ir.Value:
    while value.type.count > 1:
        value = combine(builder, *halves(builder, value))
    return builder.extract_element(value, ir.IntType(32)(0))
