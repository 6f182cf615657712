"""The losses' kernels against NumPy in float64, with and without the JIT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, eps, normal

from fastrnn.kernels import primitives
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.kernels.bound import loss_driver

K_LOSS = 16  # k of k*eps
GUARD = 11  # numbers before and after the logits, that nobody may touch
MARK = 12345.0

SHAPES = pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 2), (7, 17), (32, 1), (5, 80)])


def guarded(matrix: Any) -> Any:
    memory = np.full(matrix.size + 2 * GUARD, MARK, matrix.dtype)
    memory[GUARD:-GUARD] = matrix.reshape(-1)
    return memory


def inside(memory: Any, shape: tuple[int, ...]) -> Any:
    assert (memory[:GUARD] == MARK).all()
    assert (memory[-GUARD:] == MARK).all()
    return memory[GUARD:-GUARD].reshape(shape)


@DTYPES
@SHAPES
def test_sigmoid_cross_entropy(rows: int, columns: int, dtype: Any) -> None:
    z = 4 * normal((rows, columns), dtype)
    wanted = np.random.default_rng(1).integers(0, 2, (rows + 2, columns))
    memory = guarded(z)
    loss = primitives.sigmoid_cross_entropy(
        memory, GUARD, wanted.reshape(-1), 2, rows, columns, 0.5
    )
    wide, y = z.astype(np.float64), wanted[2:]
    p = 1 / (1 + np.exp(-wide))
    expected = -np.log(np.where(y == 1, p, 1 - p)).mean(axis=1).sum()
    assert loss == pytest.approx(expected, rel=K_LOSS * eps(dtype))
    gradient = inside(memory, z.shape)
    assert np.abs(gradient - 0.5 * (p - y) / columns).max() <= K_LOSS * eps(dtype)


@DTYPES
def test_sigmoid_cross_entropy_of_any_logits(dtype: Any) -> None:
    z = np.array([1e4, -1e4, 1e4, -1e4, 0], dtype)
    wanted = np.array([1, 0, 0, 1, 1])
    losses = [
        primitives.sigmoid_cross_entropy(z[i : i + 1].copy(), 0, wanted, i, 1, 1, 1.0)
        for i in range(5)
    ]
    np.testing.assert_allclose(losses, [0, 0, 1e4, 1e4, np.log(2)], rtol=1e-7)
    primitives.sigmoid_cross_entropy(z, 0, wanted, 0, 5, 1, 1.0)
    np.testing.assert_allclose(z, [0, 0, 1, -1, -0.5], rtol=0, atol=eps(dtype))
    nan = np.array([np.nan], dtype)
    assert np.isnan(primitives.sigmoid_cross_entropy(nan, 0, wanted, 0, 1, 1, 1.0))
    assert np.isnan(nan[0])


@DTYPES
@SHAPES
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_squared_error_of_weighted_rows(
    rows: int, columns: int, activation: str, dtype: Any
) -> None:
    z, wanted = (normal((rows, columns), dtype, seed) for seed in (0, 1))
    weights = np.abs(normal((rows,), dtype, 2))
    weights[0] = 0
    memory = z.copy()
    driver = loss_driver("squared_error", activation)
    loss = driver(memory.reshape(-1), wanted.reshape(-1), weights, columns, 0.5)
    wide, y = z.astype(np.float64), wanted.astype(np.float64)
    found = {
        "identity": wide,
        "relu": np.maximum(wide, 0),
        "sigmoid": 1 / (1 + np.exp(-wide)),
        "tanh": np.tanh(wide),
    }[activation]
    slope = {
        "identity": np.ones_like(wide),
        "relu": (wide > 0).astype(float),
        "sigmoid": found * (1 - found),
        "tanh": 1 - found * found,
    }[activation]
    expected = (weights * np.square(found - y).mean(axis=1)).sum()
    assert loss == pytest.approx(expected, rel=K_LOSS * eps(dtype), abs=K_LOSS * eps(dtype))
    gradient = 2 * (found - y) * slope * 0.5 * weights[:, None] / columns
    assert np.abs(memory - gradient).max() <= K_LOSS * eps(dtype) * max(1, np.abs(gradient).max())


@DTYPES
@SHAPES
def test_softmax_of_rows(rows: int, columns: int, dtype: Any) -> None:
    z = 4 * normal((rows, columns), dtype) + 500
    memory = guarded(z)
    primitives.softmax_rows(memory, GUARD, rows, columns)
    grown = np.exp(z.astype(np.float64) - 500)
    expected = grown / grown.sum(axis=1, keepdims=True)
    found = inside(memory, z.shape)
    assert (np.abs(found - expected) <= K_LOSS * eps(dtype) * expected).all()


@DTYPES
@SHAPES
def test_targets_are_subtracted_if_they_are_one_hot(rows: int, columns: int, dtype: Any) -> None:
    y = normal((rows, columns), dtype)
    places = np.random.default_rng(0).integers(0, columns, rows)
    wanted = np.eye(columns, dtype=dtype)[places]
    memory = guarded(np.zeros_like(y))

    def subtract(targets: Any) -> int:
        return int(
            primitives.subtract_one_hot(
                memory, GUARD, y.reshape(-1), targets.reshape(-1), rows, columns
            )
        )

    assert subtract(wanted) == -1
    np.testing.assert_array_equal(inside(memory, y.shape), y - wanted)
    last = rows - 1
    for value, place in ((0, places[last]), (2, places[last]), (-1, places[last]), (np.nan, 0)):
        wrong = wanted.copy()
        wrong[last, place] = value
        assert subtract(wrong) == last
    if columns > 1:
        for value in (1, 0.5, -1):
            wrong = wanted.copy()
            wrong[last, (places[last] + 1) % columns] = value
            assert subtract(wrong) == last
