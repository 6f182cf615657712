"""Prove the errors of the vector exp, tanh and sigmoid.

float32: every one of the 2^32 floats against NumPy's float64. float64: 10^7 samples and the hard
cases against 80-bit long double (x86 only).

    python bench/math_error.py [--quick] [exp tanh sigmoid]
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numba
import numpy as np

import fastrnn.simd.math  # noqa: F401  (gives the functions their vector form)
from fastrnn.simd import functions
from fastrnn.simd.memory import load, store

NAMES = ("exp", "tanh", "sigmoid")


def kernel(name: str) -> Any:
    """The vector form of a function as a function of arrays."""
    function = getattr(functions, name)

    def run(y, x, lanes):  # type: ignore[no-untyped-def]
        for i in range(0, x.size, lanes):
            store(y, i, x.size - i, function(load(x, i, x.size - i)))

    return numba.njit(run, nogil=True)


def exact(name: str, x: Any) -> Any:
    """The same in the precision of `x`."""
    with np.errstate(all="ignore"):
        if name == "exp":
            return np.exp(x)
        if name == "tanh":
            return np.tanh(x)
        return np.where(x >= 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x)))


def ulp_error(name: str, y: Any, truth: Any) -> Any:
    """Distance in units of the last place of `y`'s type at the true value.

    Where sigmoid is below the smallest normal number, any such number will do.
    """
    kind = np.finfo(y.dtype)
    with np.errstate(all="ignore"):
        rounded = truth.astype(y.dtype)
        size = np.maximum(np.abs(truth), kind.smallest_normal)
        ulp = 2.0 ** (np.floor(np.log2(size)) - kind.nmant)
        error = np.abs(y.astype(truth.dtype) - truth) / ulp
    same = (y == rounded) | (np.isnan(y) & np.isnan(truth))
    if name == "sigmoid":
        tiny = kind.smallest_normal
        error = np.where((truth < tiny) & (y >= 0) & (y < tiny), 0, error)
    return np.where(same & ~np.isfinite(error), 0, error)


def worst(name: str, blocks: Any, wide: Any) -> tuple[float, float, int]:
    """Largest error in ulp, where it is, and the number of arguments tried."""
    run = kernel(name)
    np.seterr(all="ignore")
    error, place, count = 0.0, 0.0, 0
    for x in blocks:
        y = np.empty_like(x)
        run(y, x, 32 // x.itemsize)
        found = ulp_error(name, y, exact(name, x.astype(wide)))
        found = np.where(np.isnan(found), np.inf, found)
        i = int(np.argmax(found))
        count += x.size
        if found[i] > error:
            error, place = float(found[i]), float(x[i])
    return error, place, count


def all_float32(step: int) -> Any:
    """Every `step`-th float32, NaN and infinities included, in blocks."""
    for start in range(0, 2**32, 2**22 * step):
        stop = min(start + 2**22 * step, 2**32)
        yield np.arange(start, stop, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


def samples_float64(count: int) -> Any:
    """Hard cases, then samples: uniform where the functions vary, and of every exponent."""
    generator = np.random.default_rng(0)
    tiny = np.finfo(np.float64).smallest_subnormal
    hard = [0, tiny, 2.3e-308, 1e-300, 1e-16, 1e-8, 0.34657359, 0.6931471805599453, 1, 19.06, 19.07]
    hard += [708.4, 709.78, 709.79, 745.1, 745.14, 746, 1e3, 1e300, np.inf, np.nan]
    hard += list(np.arange(1, 1024) * 0.34657359027997264)
    yield np.concatenate([hard, -np.array(hard)])
    for _ in range(max(1, count // 10**6 // 2)):
        yield generator.uniform(-40, 40, 10**6)
        x = np.exp2(generator.uniform(-1074, 10, 10**6))
        yield x * generator.choice([-1, 1], 10**6)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every 997th float32, fewer samples")
    parser.add_argument("names", nargs="*", help="functions, all if none is given")
    arguments = parser.parse_args()
    quick = arguments.quick
    failed = False
    for name in arguments.names or NAMES:
        error, place, count = worst(name, all_float32(997 if quick else 1), np.float64)
        print(f"float32 {name:8} {error:.3f} ulp at {place!r}, {count:,} arguments", flush=True)
        failed |= error > 2
        error, place, count = worst(name, samples_float64(10**6 if quick else 10**7), np.longdouble)
        print(f"float64 {name:8} {error:.3f} ulp at {place!r}, {count:,} arguments", flush=True)
        failed |= error > 4
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
