"""The product, its panels and the tokens' kernels against NumPy, with and without the JIT."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, FLOATS, PLAIN, eps, normal
from hypothesis import given
from hypothesis import strategies as st

from fastrnn import kernels
from fastrnn.cells import LSTM
from fastrnn.kernels import bound, jit, primitives
from fastrnn.kernels.jit import dots_address, tile_address
from fastrnn.kernels.panels import split_units
from fastrnn.kernels.product import COLUMNS_OF_COPY, FAR, PANEL_BYTES, multiply_panel
from fastrnn.kernels.team import ALONE
from fastrnn.plan import BLOCK_ROWS, tile_shape
from fastrnn.simd import dots
from fastrnn.simd.cpu import VECTOR_BYTES, lanes
from fastrnn.simd.tile import K_BLOCK, ROWS_MAX, TURNED_TILES, VECTORS_MAX, product_scratch, shapes

K_SUM = 4  # k of k*eps*(|A| @ |B|): sums in another order
GUARD = 19  # numbers before and after every array, that nobody may touch
MARK = 12345.0


def guarded(matrix: Any, row_stride: int, column_stride: int) -> tuple[Any, Any]:
    """A matrix at two strides in an array of marks: the array, and the matrix's places in it."""
    rows, columns = matrix.shape
    places = GUARD + row_stride * np.arange(rows)[:, None] + column_stride * np.arange(columns)
    memory = np.full(places.max(initial=0) + 1 + GUARD, MARK, matrix.dtype)
    memory[places] = matrix
    return memory, places


def strides(rows: int, columns: int, transposed: bool, gap: int) -> tuple[int, int]:
    return (1, rows + gap) if transposed else (columns + gap, 1)


def assert_product(
    dtype: Any,
    rows: int,
    k: int,
    columns: int,
    a_transposed: bool = False,
    b_transposed: bool = False,
    add: bool = False,
    gap: int = 0,
    planned: int | None = None,
) -> None:
    a, b, c = (
        normal((rows, k), dtype),
        normal((k, columns), dtype, 1),
        normal((rows, columns), dtype, 2),
    )
    lane = lanes(dtype)
    # Columns are read by the tile of many rows alone.
    high, width = tile_shape(BLOCK_ROWS if a_transposed else planned or rows)
    a_strides, b_strides = (
        strides(rows, k, a_transposed, gap),
        strides(k, columns, b_transposed, gap),
    )
    a_memory, _ = guarded(a, *a_strides)
    b_memory, _ = guarded(b, *b_strides)
    start = np.full_like(c, np.nan) if not add else c  # what is there before must not be read
    c_memory, c_places = guarded(start, columns + gap, 1)
    panel_size = k * lane * -(-columns // lane)
    scratch_size = product_scratch(high, width, lane)
    work = np.full(GUARD + panel_size + GUARD + scratch_size + GUARD, np.nan, dtype)
    scratch = GUARD + panel_size + GUARD
    primitives.pack(work, GUARD, b_memory, GUARD, *b_strides, k, columns, width, ALONE)
    primitives.product(
        c_memory, GUARD, columns + gap, a_memory, GUARD, *a_strides, work, GUARD,
        rows, k, columns, add, work, scratch, high, width, tile_address(np.dtype(dtype)),
    )  # fmt: skip
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    expected = wide_a @ wide_b + (c if add else 0)
    bound = np.abs(wide_a) @ np.abs(wide_b) + (np.abs(c) if add else 0)
    error = np.abs(c_memory[c_places] - expected)
    assert (error <= K_SUM * eps(dtype) * bound).all()  # NaN fails
    outside = np.ones(c_memory.size, bool)
    outside[c_places] = False
    assert (c_memory[outside] == MARK).all()
    for part in (slice(0, GUARD), slice(scratch - GUARD, scratch), slice(work.size - GUARD, None)):
        assert np.isnan(work[part]).all()


@pytest.mark.skipif(PLAIN, reason="the plain kernels have no tiles")
@DTYPES
def test_a_shape_without_a_tile_leaves_what_is_there(dtype: Any) -> None:
    rows, vectors, k = ROWS_MAX, VECTORS_MAX, 5
    assert (rows, vectors) not in shapes()
    wide = vectors * lanes(dtype)
    c = np.full(rows * wide, MARK, dtype)
    a, panel = np.ones(rows * k, dtype), np.ones(k * wide, dtype)
    multiply_panel(c, 0, wide, a, 0, k, panel, 0, k, rows, rows, vectors, 0, 0,
                   tile_address(np.dtype(dtype)))  # fmt: skip
    assert (c == MARK).all()


@given(
    dtype=st.sampled_from(FLOATS),
    sizes=st.tuples(st.integers(0, 27), st.integers(0, 40), st.integers(0, 70)),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    gap=st.sampled_from([0, 1, 5]),
)
def test_product_is_that_of_numpy(dtype: Any, sizes: Any, flags: Any, gap: int) -> None:
    assert_product(dtype, *sizes, *flags, gap)


@DTYPES
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize(
    ("rows", "k", "columns"),
    [(7, 0, 9), (1, 1, 1), (2, 257, 65), (33, 515, 17), (5, 1000, 3), (256, 3, 515), (13, 513, 64)],
)
def test_product_of_odd_shapes_and_many_blocks_of_k(
    rows: int, k: int, columns: int, add: bool, dtype: Any
) -> None:
    for a_transposed, b_transposed in [(False, False), (True, True)]:
        assert_product(dtype, rows, k, columns, a_transposed, b_transposed, add, 3)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no panels")
@given(
    dtype=st.sampled_from(FLOATS),
    gates=st.integers(1, 4),
    units=st.integers(1, 70),
    k=st.integers(0, 20),
    largest=st.integers(1, 4),
)
def test_panels_hold_all_gates_of_all_units(
    dtype: Any, gates: int, units: int, k: int, largest: int
) -> None:
    lane = lanes(dtype)
    w = normal((gates, units, k), dtype)
    vectors = -(-units // lane)
    size = gates * k * lane * vectors
    work = np.full(GUARD + size + GUARD, np.nan, dtype)
    primitives.pack_gates(work, GUARD, w.reshape(-1), gates, k, units, largest, k, 0, ALONE)
    assert np.isnan(work[:GUARD]).all()
    assert np.isnan(work[GUARD + size :]).all()
    count, base, extra, tail = split_units(units, gates, largest, lane)
    wholes = [lane * (base + (panel < extra)) for panel in range(count - (tail > 0))]
    wide = [*wholes, tail] if tail else wholes
    assert max(wide) <= largest * lane
    # No more vectors than if each gate had its own.
    assert sum(-(-gates * n // lane) for n in wide) <= gates * vectors
    first = 0
    for n in wide:
        across = -(-gates * n // lane) * lane
        start = GUARD + gates * k * first
        panel = work[start : start + k * across].reshape(k, across)[:, : gates * n]
        inside = min(n, units - first)
        rows = w[:, first : first + inside].transpose(2, 0, 1)
        assert (panel.reshape(k, gates, n)[:, :, :inside] == rows).all()
        first += inside
    assert first == units


@DTYPES
def test_every_tile_shape(dtype: Any) -> None:
    for planned in range(1, 8):  # rows that the tile was chosen for
        for rows in range(1, 8):
            for columns in (1, 8, 16, 24, 31, 48, 64, 97):
                assert_product(dtype, rows, 11, columns, planned=planned)
    for planned, rows in ((1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (5, 6)):
        for columns in (8, 16, 24, 64, 97):
            # In two blocks of k, the first of which brings the second nearer.
            assert_product(dtype, rows, K_BLOCK + 11, columns, planned=planned)
            assert_product(dtype, rows, K_BLOCK + 11, columns, a_transposed=True)


@given(
    dtype=st.sampled_from(FLOATS),
    rows=st.integers(1, 27),
    k=st.sampled_from([0, 1, 7, 16, 64, 100, 129, 512]),
    columns=st.integers(1, 40),
    gap=st.sampled_from([0, 5]),
    one_stream=st.booleans(),
)
def test_product_of_unpacked_matrices_is_that_of_numpy(
    dtype: Any, rows: int, k: int, columns: int, gap: int, one_stream: bool
) -> None:
    a, b = normal((rows, k), dtype), normal((columns, k), dtype, 1)
    a_memory, _ = guarded(a, k + gap, 1)
    b_memory, _ = guarded(b, k, 1)
    c_memory, c_places = guarded(np.full((rows, columns), np.nan, dtype), columns + gap, 1)
    high = min(rows, dots.ROWS_MAX)
    wide = 1 if one_stream else dots.columns_for(high)
    primitives.product_unpacked(
        c_memory, GUARD, columns + gap, a_memory, GUARD, k + gap, b_memory, GUARD,
        rows, k, columns, high, wide, dots_address(np.dtype(dtype)),
    )  # fmt: skip
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    bound = K_SUM * eps(dtype) * (np.abs(wide_a) @ np.abs(wide_b.T))
    assert (np.abs(c_memory[c_places] - wide_a @ wide_b.T) <= bound).all()  # NaN fails
    outside = np.ones(c_memory.size, bool)
    outside[c_places] = False
    assert (c_memory[outside] == MARK).all()


@DTYPES
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize("k", [3, 9, 260, 515])
def test_product_of_rows_or_columns_that_are_far_apart(
    k: int, a_transposed: bool, dtype: Any
) -> None:
    for rows in (1, 7, 30):
        assert_product(dtype, rows, k, 150, a_transposed, gap=2 * FAR, planned=30)
        assert_product(dtype, rows, k, 301, a_transposed, add=True, gap=2 * FAR, planned=30)
    assert_product(dtype, 13, k, 1200, a_transposed, gap=2 * FAR, planned=30)
    # Rows of several copies, the last of which is not full, and whose tiles are not all alike.
    for rows in (TURNED_TILES * ROWS_MAX, 2 * TURNED_TILES * ROWS_MAX + 11):
        assert_product(dtype, rows, k, COLUMNS_OF_COPY, a_transposed, gap=2 * FAR, planned=30)
    for few in range(1, 5):
        assert_product(dtype, few, k, 1200, a_transposed, gap=2 * FAR)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no panels")
@DTYPES
@pytest.mark.parametrize("rows", [1, 6, 13])
def test_a_panel_in_parts_is_the_whole_panel(rows: int, dtype: Any) -> None:
    high, vectors = tile_shape(BLOCK_ROWS)
    size = vectors * lanes(dtype)
    k = 2 * (PANEL_BYTES // (vectors * VECTOR_BYTES)) + 7
    a, panel = normal((rows, k), dtype), normal((2, k, size), dtype, 1)
    c = np.full((rows + 1, size), np.nan, dtype)
    flat = panel.reshape(-1)
    multiply_panel(
        c.reshape(-1), 0, size, a.reshape(-1), 0, k, flat, 0, k, rows, high, vectors,
        k * size, k * size, tile_address(np.dtype(dtype)),
    )  # fmt: skip
    wide_a, wide = a.astype(np.float64), panel[0].astype(np.float64)
    bound = K_SUM * eps(dtype) * (np.abs(wide_a) @ np.abs(wide))
    assert (np.abs(c[:rows] - wide_a @ wide) <= bound).all()  # NaN fails
    assert np.isnan(c[rows]).all()


@DTYPES
@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("columns", [1, 17, 128, 301])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_sums_of_columns_are_those_of_numpy(rows: int, columns: int, add: bool, dtype: Any) -> None:
    a, before = normal((rows, columns + 3), dtype), normal((columns,), dtype, 1)
    sums = np.full(columns + GUARD, MARK, dtype)
    sums[:columns] = before if add else np.nan
    primitives.column_sums(sums[:columns], a.reshape(-1), 1, columns + 3, rows, columns, add)
    wide = np.vstack([a[:, 1 : columns + 1], before[None] * add]).astype(np.float64)
    error = np.abs(sums[:columns] - wide.sum(axis=0))
    assert (error <= K_SUM * eps(dtype) * np.abs(wide).sum(axis=0)).all()  # NaN fails
    assert (sums[columns:] == MARK).all()


@DTYPES
@pytest.mark.parametrize("embedding", [False, True])
def test_gather_and_scatter_are_products_with_one_hot_rows(embedding: bool, dtype: Any) -> None:
    size, columns, first, rows = 6, 13, 2, 10
    weights = normal((columns, size), dtype)
    gate_stride, token_stride = (1, columns) if embedding else (size, 1)
    flat = (weights.T if embedding else weights).reshape(-1).copy()
    tokens = np.random.default_rng(0).integers(size, size=first + rows + 3)
    one_hot = np.eye(size, dtype=dtype)[tokens[first : first + rows]]

    memory, places = guarded(np.full((rows, columns), np.nan, dtype), columns, 1)
    primitives.gather(memory, GUARD, flat, gate_stride, token_stride, tokens, first, rows, columns)
    expected = one_hot @ weights.T
    np.testing.assert_array_equal(memory[places], expected)
    assert (memory[:GUARD] == MARK).all()
    assert (memory[-GUARD:] == MARK).all()

    primitives.scatter_add(
        flat, gate_stride, token_stride, memory, GUARD, columns, tokens, first, rows, columns
    )
    result = flat.reshape(size, columns).T if embedding else flat.reshape(columns, size)
    bound = np.abs(weights) + np.abs(expected).T @ one_hot
    assert (np.abs(result - (weights + expected.T @ one_hot)) <= K_SUM * eps(dtype) * bound).all()


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no kernels")
def test_what_depends_on_a_cell_is_bound_to_it() -> None:
    """A kernel that is compiled as it stands would read the numbers of no cell at all."""
    of_cells = {*bound.cell_names(LSTM), "RAGGED", "PAIRED"}
    seen = 0
    for found in pkgutil.iter_modules(kernels.__path__, f"{kernels.__name__}."):
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, jit.Kernel) and value.__module__ == found.name:
                seen += 1
                names = {*value.py_func.__code__.co_names}
                assert not of_cells & names, f"{found.name}.{value.__name__}"
    assert seen > 20
