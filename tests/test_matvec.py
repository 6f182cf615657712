"""The kernels of `fastrnn.kernels.matvec` against NumPy, with and without the JIT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, eps, normal

from fastrnn.kernels import primitives
from fastrnn.simd.cpu import lanes

K_SUM = 4  # k of k*eps*(|A| @ |B|): sums in another order
GUARD = 19  # numbers before and after every array, that nobody may touch
MARK = 12345.0

SHAPES = pytest.mark.parametrize(
    ("rows", "columns"),
    [(1, 1), (1, 9), (2, 3), (3, 64), (7, 8), (16, 33), (17, 100), (64, 64), (65, 131)],
)
DIRECTIONS = pytest.mark.parametrize("descending", [False, True])


def guarded(values: Any) -> Any:
    memory = np.full(values.size + 2 * GUARD, MARK, values.dtype)
    memory[GUARD : GUARD + values.size] = values.reshape(-1)
    return memory


def inside(memory: Any, shape: tuple[int, ...]) -> Any:
    """What stands between the guards, which must be as they were."""
    assert (memory[:GUARD] == MARK).all()
    assert (memory[len(memory) - GUARD :] == MARK).all()
    return memory[GUARD:-GUARD].reshape(shape)


def assert_sums(actual: Any, desired: Any, bound: Any) -> None:
    assert (np.abs(actual - desired) <= K_SUM * eps(actual.dtype) * bound).all()


@DTYPES
@SHAPES
@DIRECTIONS
def test_products_from_both_sides(rows: int, columns: int, dtype: Any, descending: bool) -> None:
    w, x, d = (normal(s, dtype, i) for i, s in enumerate([(rows, columns), columns, rows]))
    right, left = guarded(np.full(rows, np.nan, dtype)), guarded(np.full(columns, np.nan, dtype))
    matrix = guarded(w)
    primitives.matvec(
        right, GUARD, matrix, GUARD, guarded(x), GUARD, rows, columns, False, descending
    )
    primitives.vecmat(left, GUARD, matrix, GUARD, guarded(d), GUARD, rows, columns, descending)
    assert_sums(inside(right, (rows,)), w @ x, np.abs(w) @ np.abs(x))
    assert_sums(inside(left, (columns,)), d @ w, np.abs(d) @ np.abs(w))
    primitives.matvec(
        right, GUARD, matrix, GUARD, guarded(x), GUARD, rows, columns, True, descending
    )
    assert_sums(inside(right, (rows,)), 2 * (w @ x), 2 * np.abs(w) @ np.abs(x))
    np.testing.assert_array_equal(inside(matrix, w.shape), w)


@DTYPES
@SHAPES
@DIRECTIONS
@pytest.mark.parametrize("count", [1, 2, 5])
def test_descent_by_a_sum_of_outer_products(
    rows: int, columns: int, count: int, dtype: Any, descending: bool
) -> None:
    width = lanes(dtype)
    whole = -(-columns // width) * width
    w, d = normal((rows, columns), dtype), normal((count, rows), dtype, 1)
    x = np.zeros((count, whole), dtype)
    x[:, :columns] = normal((count, columns), dtype, 7)
    matrix = guarded(w)
    primitives.descend(
        matrix, GUARD, guarded(d), GUARD, rows, guarded(x), GUARD, whole,
        count, rows, columns, 0.25, 1.5, descending,
    )  # fmt: skip
    gradient = d.T @ x[:, :columns]
    bound = np.abs(w) + np.abs(d).T @ np.abs(x[:, :columns])
    assert_sums(inside(matrix, w.shape), w - 0.25 * np.clip(gradient, -1.5, 1.5), bound)


@DTYPES
@pytest.mark.parametrize("columns", [1, 8, 21, 64])
def test_rows(columns: int, dtype: Any) -> None:
    w, g = normal((columns,), dtype), 3 * normal((columns,), dtype, 1)
    weights, gradient = guarded(w), guarded(g)
    primitives.add_row(weights, GUARD, 2.0, gradient, GUARD, columns)
    assert_sums(inside(weights, (columns,)), w + 2 * g, np.abs(w) + np.abs(g))
    w = inside(weights, (columns,)).copy()
    primitives.descend_row(weights, GUARD, gradient, GUARD, columns, 0.5, 1.0)
    assert_sums(inside(weights, (columns,)), w - 0.5 * np.clip(g, -1, 1), np.abs(w) + 1)
    assert not inside(gradient, (columns,)).any()


@DTYPES
def test_nothing_hides_what_is_not_finite(dtype: Any) -> None:
    """NaN is not clipped to a number, and does not stay in a gradient that was used."""
    w, d, x = np.ones(6, dtype), np.array([np.nan, 1], dtype), np.zeros(2 * lanes(dtype), dtype)
    x[:3] = 1
    primitives.descend(w, 0, d, 0, 2, x, 0, x.size, 1, 2, 3, 0.5, 1.0, False)
    np.testing.assert_array_equal(w, np.array([np.nan] * 3 + [0.5] * 3, dtype))
    row, gradient = np.ones(2, dtype), np.array([np.nan, 9], dtype)
    primitives.descend_row(row, 0, gradient, 0, 2, 0.5, 1.0)
    np.testing.assert_array_equal(row, np.array([np.nan, 0.5], dtype))
    assert not gradient.any()
