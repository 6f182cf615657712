"""exp, tanh and sigmoid on vectors: errors in ulp, and what is not an ordinary number.

``bench/math_error.py`` goes through every float32; these are a part of its arguments.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, FLOATS, PLAIN

pytestmark = pytest.mark.skipif(PLAIN, reason="vectors of registers need the JIT")

ULP = {np.float32: 2.0, np.float64: 4.0}
STRIDE = 4099  # every so many float32, a prime
NAMES = pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid"])


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parent.parent / "bench" / "math_error.py"
    spec = importlib.util.spec_from_file_location("math_error", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def vector_forms(bench: ModuleType) -> Any:
    kernels = {name: bench.kernel(name) for name in ("exp", "tanh", "sigmoid")}

    def apply(name: str, x: Any) -> Any:
        y = np.full_like(x, 77)
        kernels[name](y, x, 32 // x.itemsize)
        return y

    return apply


def arguments(bench: ModuleType, dtype: Any) -> Any:
    if dtype is np.float32:
        return np.arange(0, 2**32, STRIDE, dtype=np.uint64).astype(np.uint32).view(np.float32)
    return np.concatenate([block[:200_000] for block in bench.samples_float64(1)])


@NAMES
@DTYPES
def test_errors_are_a_few_ulp(name: str, dtype: Any, bench: Any, vector_forms: Any) -> None:
    wide = np.float64 if dtype is np.float32 else np.longdouble
    if np.finfo(wide).nmant <= np.finfo(dtype).nmant:
        pytest.skip("no wider type here to judge float64 by")
    x = arguments(bench, dtype)
    with np.errstate(all="ignore"):
        truth = bench.exact(name, x.astype(wide))
        y = vector_forms(name, x)
        nan = np.isnan(truth)
        np.testing.assert_array_equal(np.isnan(y), nan)
        error = bench.ulp_error(name, y[~nan], truth[~nan])
    assert error.max() <= ULP[dtype], x[~nan][np.argmax(error)]
    lowest, highest = {"exp": (0, np.inf), "tanh": (-1, 1), "sigmoid": (0, 1)}[name]
    assert y[~nan].min() >= lowest
    assert y[~nan].max() <= highest


def limits(dtype: Any) -> dict[str, float]:
    kind = np.finfo(dtype)
    return {
        "tiny": float(kind.smallest_subnormal),
        "below normal": float(kind.smallest_normal) / 3,
        "largest": float(kind.max),
        "overflow": float(np.log(kind.max)) * 1.001,
        "underflow": float(np.log(kind.smallest_subnormal)) * 1.01,
    }


@DTYPES
def test_special_values(dtype: Any, vector_forms: Any) -> None:
    a = limits(dtype)
    nan, inf = np.nan, np.inf
    table = {
        "exp": [
            (nan, nan), (inf, inf), (-inf, 0), (0.0, 1), (-0.0, 1), (a["tiny"], 1), (-a["tiny"], 1),
            (a["below normal"], 1), (a["largest"], inf), (-a["largest"], 0),
            (a["overflow"], inf), (a["underflow"], 0),
        ],
        "tanh": [
            (nan, nan), (inf, 1), (-inf, -1), (0.0, 0.0), (-0.0, -0.0), (a["tiny"], a["tiny"]),
            (-a["tiny"], -a["tiny"]), (-a["below normal"], -a["below normal"]),
            (a["largest"], 1), (-a["largest"], -1),
        ],
        "sigmoid": [
            (nan, nan), (inf, 1), (-inf, 0), (0.0, 0.5), (-0.0, 0.5), (a["tiny"], 0.5),
            (-a["below normal"], 0.5), (a["largest"], 1), (-a["largest"], 0),
        ],
    }  # fmt: skip
    for name, pairs in table.items():
        x, expected = np.array(pairs, dtype).T.copy()
        y = vector_forms(name, x)
        np.testing.assert_array_equal(y, expected, err_msg=name)
        ok = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(y[ok]), np.signbit(expected[ok]), err_msg=name)


@NAMES
@pytest.mark.parametrize("size", [1, 3, 4, 7, 8, 9])
def test_lanes_do_not_touch_each_other(name: str, size: int, vector_forms: Any) -> None:
    for dtype in FLOATS:
        x = np.linspace(-3, 3, size).astype(dtype)
        y = vector_forms(name, x)
        for i in range(size):
            spoilt = x.copy()
            spoilt[i] = np.nan
            expected = y.copy()
            expected[i] = np.nan
            np.testing.assert_array_equal(vector_forms(name, spoilt), expected)


@DTYPES
def test_the_numpy_forms_have_the_same_meaning(dtype: Any, vector_forms: Any) -> None:
    from fastrnn.simd import functions

    x = np.concatenate([np.linspace(-30, 30, 999), [0.0, -0.0, 1e4, -1e4]]).astype(dtype)
    for name in ("exp", "tanh", "sigmoid"):
        with np.errstate(over="ignore", under="ignore"):
            plain = getattr(functions, name)(x)
        assert plain.dtype == dtype
        np.testing.assert_allclose(
            vector_forms(name, x), plain, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny
        )
