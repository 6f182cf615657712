"""What exp, tanh and sigmoid are made of: polynomials and powers of two."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from fastrnn.simd.vector import Vector, as_vector, llvm_intrinsic, vector_of


def _elementwise(name: str, arity: int) -> Any:
    """The LLVM intrinsic `name` as a function of `arity` vectors, numbers being broadcast."""

    def build(args: tuple[Any, ...]) -> Any:
        vector = vector_of(args)
        if vector is None:
            return None

        def generate(context: Any, builder: ir.IRBuilder, sig: Any, values: Any) -> ir.Value:
            operands = [as_vector(context, builder, a, k, vector) for a, k in zip(values, sig.args)]
            return llvm_intrinsic(builder, name, operands)

        return vector(*args), generate

    if arity == 1:
        return intrinsic(lambda typing_context, x: build((x,)))
    if arity == 2:
        return intrinsic(lambda typing_context, x, y: build((x, y)))
    return intrinsic(lambda typing_context, x, y, z: build((x, y, z)))


fma = _elementwise("fma", 3)
copysign = _elementwise("copysign", 2)
square_root = _elementwise("sqrt", 1)


def polynomial(coefficients: tuple[float, ...]) -> Any:
    """The polynomial with these coefficients, the highest power first, by Horner's rule."""

    @intrinsic
    def evaluate(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
            constants = [ir.Constant(x.llvm(), [c] * x.lanes) for c in coefficients]
            total = constants[0]
            for constant in constants[1:]:
                total = llvm_intrinsic(builder, "fma", [total, args[0], constant])
            return total

        return x(x), generate

    return evaluate


def _shifter(vector: Vector) -> tuple[int, int, ir.Constant]:
    """Mantissa bits, exponent bias, and the number that moves an integer into the low bits.

    A float plus 1.5 * 2^mantissa has its nearest integer in its lowest bits. With the bias of
    exponents on top, a shift makes a power of two of them. AVX2 cannot convert 64-bit integers.
    """
    mantissa, bias = (23, 127) if vector.dtype.bitwidth == 32 else (52, 1023)
    return mantissa, bias, ir.Constant(vector.llvm(), [1.5 * 2.0**mantissa + bias] * vector.lanes)


@intrinsic
def shift_integer(typing_context: Any, x: Any, factor: Any) -> Any:
    """The integer nearest to ``x * factor``, for the two functions below."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        by = as_vector(context, builder, args[1], sig.args[1], x)
        return llvm_intrinsic(builder, "fma", [args[0], by, _shifter(x)[2]])

    return x(x, factor), generate


@intrinsic
def unshift_integer(typing_context: Any, shifted: Any) -> Any:
    """That integer as a float."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        return builder.fsub(args[0], _shifter(shifted)[2])

    return shifted(shifted), generate


@intrinsic
def shifted_power_of_two(typing_context: Any, shifted: Any) -> Any:
    """2 to the power of that integer, which must be an exponent of a normal number."""

    def generate(context: Any, builder: ir.IRBuilder, sig: Any, args: Any) -> ir.Value:
        whole = ir.VectorType(ir.IntType(shifted.dtype.bitwidth), shifted.lanes)
        mantissa = ir.Constant(whole, [_shifter(shifted)[0]] * shifted.lanes)
        return builder.bitcast(
            builder.shl(builder.bitcast(args[0], whole), mantissa), shifted.llvm()
        )

    return shifted(shifted), generate
