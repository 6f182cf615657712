"""exp, tanh and sigmoid on vectors.

All reduce their argument by a multiple of ln 2 (Cody and Waite, *Software Manual for the Elementary
Functions*, 1980), tanh of half of it. exp and sigmoid take a polynomial for
``e^r - 1 = r + r^2 Q(r)``, tanh one for ``tanh h = h + h^3 P(h^2)``; ``bench/fit_math.py`` derives
and prints their coefficients. NaN stays NaN: limits are applied with comparisons that NaN fails,
never with LLVM's minnum and maxnum. ``bench/math_error.py`` proves the errors: at most 2 ulp in
float32 over all floats, and at most 4 ulp in float64 on its samples; where sigmoid is less than the
smallest normal number, it may be 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.core import types
from numba.extending import overload, register_jitable

from fastrnn.simd import functions
from fastrnn.simd.elementary import (
    copysign,
    fma,
    polynomial,
    shift_integer,
    shifted_power_of_two,
    square_root,
    unshift_integer,
)
from fastrnn.simd.vector import Vector


class Constants(NamedTuple):
    """Numbers of one precision."""

    #: Coefficients of Q and of P, the highest power first.
    q: tuple[float, ...]
    p: tuple[float, ...]
    #: ln 2 in two parts: n times the first is exact for every n that occurs.
    ln2_high: float
    ln2_low: float
    #: Beyond these exp is 0 and infinite.
    exp_min: float
    exp_max: float
    #: From here on tanh rounds to 1.
    tanh_max: float
    #: Beyond these sigmoid is less than the smallest normal number, and rounds to 1; between them
    #: the power of two in it is a normal number.
    sigmoid_min: float
    sigmoid_max: float


LOG2_E = 1.4426950408889634
#: In one part: in float32 it is wrong by 1e-9, which counts from tanh = 1/4 on, 0.03 ulp there.
HALF_LN2 = 0.34657359027997264

FLOAT32 = Constants(
    q=(0.001388251025, 0.00836658033, 0.04166720178, 0.1666654318, 0.4999999814),
    p=(-0.05115788221, 0.1332215333, -0.3333320604),
    ln2_high=0.693145751953125,
    ln2_low=1.4286068203094172e-06,
    exp_min=-104.0,
    exp_max=89.0,
    tanh_max=9.011,
    sigmoid_min=-88.37,
    sigmoid_max=87.0,
)
FLOAT64 = Constants(
    q=(
        2.50537769981003928e-8,
        2.76261614109181621e-7,
        2.75574078630658347e-6,
        0.0000248015049789177942,
        0.000198412697183444652,
        0.00138888889317949603,
        0.00833333333338995753,
        0.0416666666665761088,
        0.166666666666665886,
        0.500000000000000523,
    ),
    p=(
        -0.0013037559215307768,
        0.00357554890036595058,
        -0.00886228833598372255,
        0.0218694586624532325,
        -0.0539682534631981021,
        0.133333333329279553,
        -0.333333333333322318,
    ),
    ln2_high=0.6931471803691238,
    ln2_low=1.9082149292705877e-10,
    exp_min=-746.0,
    exp_max=710.0,
    tanh_max=19.07,
    sigmoid_min=-709.4,
    sigmoid_max=708.0,
)


def _constants(x: Any) -> Constants:
    return FLOAT32 if x.dtype == types.float32 else FLOAT64


#: How far beyond the middle between two multiples of ln(2) / 2 tanh goes on with the first: where
#: tanh is nearly 1/4, the roundings of a quotient there are small, those from the second are not.
TANH_LATER = 0.09

#: Both parts of sigmoid's fraction are as many times larger than they need be: their mantissas are
#: then seldom near 1, where rounding counts twice: 1.93 ulp over all floats, more than 2 without.
SIGMOID_SCALE = 1.75


def _rest(c: Constants) -> Any:
    """The function (x, n) -> x - n ln 2."""
    ln2_high, ln2_low = c.ln2_high, c.ln2_low

    @register_jitable
    def rest(x, n):
        return fma(n, -ln2_low, fma(n, -ln2_high, x))

    return rest


@overload(functions.exp)
def _exp(x):
    if not isinstance(x, Vector):
        return None
    c = _constants(x)
    smallest, largest = c.exp_min, c.exp_max
    rest, q = _rest(c), polynomial(c.q)

    def exp(x):
        x = functions.where(x < smallest, smallest, x)
        x = functions.where(x > largest, largest, x)
        n = unshift_integer(shift_integer(x, LOG2_E))
        r = rest(x, n)
        # 1 + r, its rounding error, and the rest of the series: 0.8 ulp, not 1.0.
        head = 1 + r
        grown = head + fma(r * r, q(r), r - (head - 1))
        # In two steps, so that the exponents of subnormals and of infinity are in range.
        half = shift_integer(n, 0.5)
        other = shift_integer(n - unshift_integer(half), 1)
        return grown * shifted_power_of_two(half) * shifted_power_of_two(other)

    return exp


@overload(functions.tanh)
def _tanh(x):
    if not isinstance(x, Vector):
        return None
    c = _constants(x)
    largest = c.tanh_max
    p = polynomial(c.p)

    def tanh(x):
        # tanh |x| = (y - 1) / (y + 1) with y = exp(2 |x|) = scale (1 + t) / (1 - t), t = tanh h
        size = functions.where(abs(x) > largest, largest, abs(x))
        shifted = shift_integer(size - TANH_LATER, 2 * LOG2_E)
        scale = shifted_power_of_two(shifted)
        h = fma(unshift_integer(shifted), -HALF_LN2, size)
        square = h * h
        t = fma(h * square, p(square), h)
        above = fma(scale + 1, t, scale - 1)
        # The sum and not fma(scale - 1, t, scale + 1): what `above` is wrong by then counts less.
        return copysign(above / (above + fma(-2, t, 2)), x)

    return tanh


@overload(functions.sigmoid)
def _sigmoid(x):
    if not isinstance(x, Vector):
        return None
    c = _constants(x)
    smallest, largest = c.sigmoid_min, c.sigmoid_max
    rest = _rest(c)
    growth = polynomial((*(SIGMOID_SCALE * q for q in c.q), SIGMOID_SCALE))

    def sigmoid(x):
        # 1 / (1 + exp(-x)), with exp(-x) = scale (1 + r + r^2 Q(r)). At the least x the sum is
        # infinite, and its inverse 0.
        x = functions.where(x < smallest, smallest, x)
        x = functions.where(x > largest, largest, x)
        shifted = shift_integer(x, -LOG2_E)
        scale = shifted_power_of_two(shifted)
        r = rest(-x, unshift_integer(shifted))
        head = fma(scale, SIGMOID_SCALE, SIGMOID_SCALE)
        return SIGMOID_SCALE / fma(scale, r * growth(r), head)

    return sigmoid


@overload(functions.sqrt)
def _sqrt(x):
    if isinstance(x, Vector):
        return lambda x: square_root(x)
    return None
