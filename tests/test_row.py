"""Scans of one row, and input parts that they make between their loads: the bits of all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, PLAIN, normal

import fastrnn
from fastrnn import plan, recurrence
from fastrnn.cells import GRU, INDRNN, LSTM, MGU, RNN_TANH
from fastrnn.kernels import jit
from fastrnn.kernels.jit import beside_address, kernel, row_address, tile_address
from fastrnn.kernels.panels import pack, split
from fastrnn.kernels.product import multiply_panel, product
from fastrnn.kernels.row import LEAST_STEPS, ROWS, Beside, make_beside
from fastrnn.kernels.team import ALONE
from fastrnn.plan import tile_shape
from fastrnn.simd import cpu
from fastrnn.simd.functions import sigmoid, tanh
from fastrnn.simd.row import row_product
from fastrnn.simd.tile import K_BLOCK, VECTORS_MAX, product_scratch

pytestmark = pytest.mark.skipif(PLAIN, reason="the plain kernels make all input parts first")

MARK = 12345.0


@kernel
def multiply_row(c, c_stride, group, h, panels, k, vectors, count, forward, address):
    """`row_product`, which is for compiled code."""
    row_product(address, c, 0, c_stride, group, h, 0, panels, 0, k, vectors, count, forward)


@DTYPES
@pytest.mark.parametrize("forward", [0, 1])
@pytest.mark.parametrize(("gates", "across"), [(1, 1), (1, 5), (1, 8), (2, 3), (3, 2), (4, 2)])
@pytest.mark.parametrize(("k", "count"), [(1, 1), (7, 3), (66, 2)])
def test_a_row_times_panels_is_each_of_them_alone(
    k: int, count: int, gates: int, across: int, forward: int, dtype: Any
) -> None:
    lane, vectors = cpu.lanes(dtype), gates * across
    size, wide = vectors * lane, count * across * lane
    h, panels = normal((k,), dtype), normal((count * k * size,), dtype, 1)
    alone = np.empty((count, size), dtype)
    for i in range(count):
        multiply_panel(alone[i], 0, size, h, 0, k, panels, i * k * size, k, 1, 1, vectors,
                       0, 0, tile_address(np.dtype(dtype)))  # fmt: skip
    c = np.full((gates + 1, wide + 3), MARK, dtype)
    multiply_row(c.reshape(-1), wide + 3, across, h, panels, k, vectors, count, forward,
                 row_address(np.dtype(dtype)))  # fmt: skip
    apart = alone.reshape(count, gates, across * lane)
    np.testing.assert_array_equal(c[:gates, :wide].reshape(gates, count, -1), apart.swapaxes(0, 1))
    assert (c[gates] == MARK).all()
    assert (c[:, wide:] == MARK).all()


@DTYPES
@pytest.mark.parametrize("vectors", range(VECTORS_MAX + 1))
@pytest.mark.parametrize(
    ("k", "inputs", "columns"),
    [(1, 1, 1), (7, 40, 33), (40, 7, 64), (5, K_BLOCK + 5, 70), (2 * K_BLOCK + 3, K_BLOCK + 1, 20)],
)
def test_both_products_are_those_that_are_made_alone(
    k: int, inputs: int, columns: int, vectors: int, dtype: Any
) -> None:
    lane, times, later = cpu.lanes(dtype), 2 * ROWS + 3, 5
    h, x = normal((k,), dtype), normal((times, inputs), dtype, 1)
    rows, width = tile_shape(times)
    wide = -(-columns // lane) * lane
    panel = normal((k * vectors * lane,), dtype, 2)
    panels = np.concatenate([panel, np.full(inputs * wide, np.nan, dtype)])
    pack(panels, panel.size, normal((inputs, columns), dtype, 3).reshape(-1), 0,
         columns, 1, inputs, columns, width, ALONE)  # fmt: skip
    tile = tile_address(np.dtype(dtype))
    scratch = np.empty(product_scratch(rows, width, lane), dtype)
    alone = np.empty((times, columns), dtype)
    product(alone.reshape(-1), 0, columns, x.reshape(-1), 0, inputs, 1, panels, panel.size,
            times, inputs, columns, False, scratch, 0, rows, width, tile)  # fmt: skip
    c_alone = np.full((vectors + 1) * lane, MARK, dtype)
    if vectors:
        multiply_panel(c_alone, 0, vectors * lane, h, 0, k, panels, 0, k, 1, 1, vectors,
                       0, 0, tile)  # fmt: skip

    _, base, extra = split(wide // lane, width)
    of = Beside(beside_address(np.dtype(dtype)), inputs, panel.size, base, extra)
    c, made = np.full_like(c_alone, MARK), np.full((times + 1, columns), MARK, dtype)
    for vector in range(wide // lane):
        make_beside(c, 0, 0, vectors, h, 0, panels, 0, k, vectors, made.reshape(-1), 0, columns,
                    later, vector, x.reshape(-1), 0, of)  # fmt: skip
    np.testing.assert_array_equal(c, c_alone)
    np.testing.assert_array_equal(made[later : later + ROWS], alone[later : later + ROWS])
    assert (made[:later] == MARK).all()
    assert (made[later + ROWS :] == MARK).all()


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Scans make input parts whatever the CPU; afterwards plans are as before."""

    def forget() -> None:
        plan.plan_layer.cache_clear()
        recurrence.prepared.cache_clear()

    monkeypatch.setattr(cpu, "BESIDE", True)
    forget()
    yield monkeypatch
    monkeypatch.undo()
    forget()


@pytest.fixture
def anywhere(beside: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """They make them whatever the sizes."""
    beside.setattr(plan, "BESIDE_BYTES", 0)
    beside.setattr(plan, "BESIDE_INPUTS", 1)
    beside.setattr(plan, "UNPACKED_ROWS", 0)
    beside.setattr(plan, "REREAD_BELOW", 0)  # panels as wide with it and without
    return beside


@pytest.mark.usefixtures("beside")
def test_sizes_for_which_it_is_done() -> None:
    def made(cell: str, time: int, batch: int, inputs: int, hidden: int, **more: Any) -> bool:
        layer = getattr(fastrnn, cell)(inputs, hidden, **more)
        part = layer.plan(time, batch).parts[0]
        told = "between the loads of the scan" in part.choices["input product"]
        assert told == bool(part.plan.layer.beside.address)
        return told

    assert made("LSTM", 100, 1, 128, 128)
    assert made("LSTM", 100, 1, 128, 128, threads=fastrnn.get_threads())
    assert made("GRU", 100, 1, 512, 128, bidirectional=True)
    assert not made("LSTM", LEAST_STEPS - 1, 1, 128, 128)
    assert not made("LSTM", 100, 2, 128, 128)
    assert not made("LSTM", 100, 1, 63, 128)
    assert not made("LSTM", 100, 1, 513, 128)
    assert not made("LSTM", 100, 1, 64, 64)  # 64 KB
    assert made("GRU", 100, 1, 512, 512)
    assert made("LSTM", 100, 1, 512, 512, threads=1)  # 8 MB
    assert not made("LSTM", 100, 1, 600, 600, threads=1)  # 11 MB
    assert not made("GRU", 100, 1, 128, 128, reset_after=False)
    tokens = plan.plan_layer(fastrnn.cells.LSTM, np.dtype("f4"), 100, 1, 128, 128, tokens=True)
    assert not tokens.layer.beside.address


@pytest.mark.parametrize("time", [LEAST_STEPS - 1, LEAST_STEPS])
def test_elsewhere_panels_are_narrow(time: int, beside: pytest.MonkeyPatch) -> None:
    def layer() -> Any:
        plan.plan_layer.cache_clear()
        return plan.plan_layer(fastrnn.cells.LSTM, np.dtype("f4"), time, 1, 65, 100).layer

    makes = layer()
    beside.setattr(cpu, "BESIDE", False)
    alone = layer()
    assert not alone.beside.address
    assert bool(makes.beside.address) == (time == LEAST_STEPS)
    for made, wide in ((alone, False), (makes, time == LEAST_STEPS)):
        assert made.scan.width == plan.scan_shape(1, 4, wide=wide)[1]


@pytest.mark.parametrize(
    ("chosen", "host", "told"),
    [(None, "znver4", "znver4"), ("host", "znver4", "znver4"), ("haswell", "znver4", "haswell")],
)
def test_name_of_the_cpu(
    chosen: str | None, host: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.config, "CPU_NAME", chosen)
    monkeypatch.setattr(cpu.llvm, "get_host_cpu_name", lambda: host)
    assert cpu.name() == told


def _five(a: Any, b: Any, c: Any, d: Any, e: Any, h: Any) -> Any:
    return (sigmoid(a) * h + sigmoid(b) * tanh(c) + sigmoid(d) * tanh(e),), ()


#: More gates than one panel has.
FIVE = fastrnn.Cell("five", ("a", "b", "c", "d", "e"), ("h",), _five)


@DTYPES
@pytest.mark.parametrize("hidden", [1, 7, 16, 17, 40, 67, 100, 131])
@pytest.mark.parametrize("cell", [RNN_TANH, LSTM, GRU, MGU, FIVE], ids=lambda cell: cell.name)
def test_a_scan_of_one_row_gives_the_bits_of_that_of_any_batch(
    cell: Any, hidden: int, dtype: Any, anywhere: pytest.MonkeyPatch
) -> None:
    anywhere.setattr("fastrnn.teams.TEAM_WORK", 1)
    anywhere.setattr("fastrnn.teams.STEP_WORK", 1)
    shape = (2, 1, hidden)
    states = [normal(shape, dtype, i) for i in range(len(cell.states))]
    state = tuple(states) if len(states) > 1 else states[0]

    def run(threads: int) -> list[Any]:
        layer = fastrnn.Recurrent(cell, 19, hidden, bidirectional=True, dtype=dtype, seed=0)
        layer.threads = threads
        found = []
        for time in (1, 4, LEAST_STEPS + 9):
            x = normal((time, 1, 19), dtype, 9)
            for given in (None, state):
                output, final = layer(x, given)
                found += [output, *(final if isinstance(final, tuple) else [final])]
        return found

    rows = [run(threads) for threads in range(1, min(3, fastrnn.get_threads()) + 1)]
    anywhere.setattr(cpu, "BESIDE", False)
    anywhere.setattr(jit, "row_address", lambda dtype: 0)
    plan.plan_layer.cache_clear()
    recurrence.prepared.cache_clear()
    expected = run(1)
    for found in rows:
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@DTYPES
@pytest.mark.parametrize("time", [LEAST_STEPS, 2 * LEAST_STEPS + 1])
def test_blocks_of_a_stream_give_the_same_bits(
    time: int, dtype: Any, anywhere: pytest.MonkeyPatch
) -> None:
    x = normal((time, 1, 19), dtype)

    def run() -> Any:
        layer = fastrnn.LSTM(19, 33, 2, dtype=dtype, seed=0, threads=1)
        stream = layer.stream(1)
        return np.concatenate([stream.block(x), stream.block(x[: LEAST_STEPS + 3])])

    beside = run()
    anywhere.setattr(cpu, "BESIDE", False)
    plan.plan_layer.cache_clear()
    recurrence.prepared.cache_clear()
    np.testing.assert_array_equal(beside, run())


@pytest.mark.skipif(fastrnn.get_threads() < 2, reason="there is one core")
@DTYPES
def test_a_team_makes_the_same_bits(dtype: Any, anywhere: pytest.MonkeyPatch) -> None:
    anywhere.setattr("fastrnn.teams.TEAM_WORK", 1)
    anywhere.setattr("fastrnn.teams.STEP_WORK", 1)
    x = normal((61, 1, K_BLOCK + 9), dtype)
    outputs = []
    for threads in (1, 2):
        layer = fastrnn.GRU(K_BLOCK + 9, 70, bidirectional=True, dtype=dtype, seed=0)
        layer.threads = threads
        part = layer.plan(61, 1).parts[0].plan
        assert part.threads == threads
        assert part.layer.beside.address
        outputs.append(layer(x)[0])
    np.testing.assert_array_equal(*outputs)


@DTYPES
@pytest.mark.parametrize(
    "time", [LEAST_STEPS - 1, LEAST_STEPS, LEAST_STEPS + ROWS + 3, plan.BLOCK_ROWS + 21]
)
@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU", "mgu", "indrnn"])
def test_layers_give_the_same_bits(
    cell: str, time: int, dtype: Any, anywhere: pytest.MonkeyPatch
) -> None:
    others = {"mgu": MGU, "indrnn": INDRNN}
    more = {"dtype": dtype, "bidirectional": True, "num_layers": 2, "seed": 0, "threads": 1}
    x = normal((time, 1, 19), dtype)
    d_output = normal((time, 1, 66), dtype, 1)

    def run() -> tuple[list[Any], list[bool]]:
        if cell in others:
            layer = fastrnn.Recurrent(others[cell], 19, 33, **more)
        else:
            layer = getattr(fastrnn, cell)(19, 33, **more)
        output, state = layer(x)
        kept, _, tape = layer.forward(x)
        grads = layer.backward(tape, d_output)
        shorter, ends = layer(x, lengths=[time - 2])
        states = [np.asarray(s) for s in (state, ends)]
        made = [bool(part.plan.layer.beside.address) for part in layer.plan(time, 1).parts]
        return [output, kept, shorter, *states, grads.flat, grads.x], made

    beside, made = run()
    assert made == [time >= LEAST_STEPS and cell != "indrnn"] * 4
    anywhere.setattr(cpu, "BESIDE", False)
    plan.plan_layer.cache_clear()
    recurrence.prepared.cache_clear()
    alone, made = run()
    assert not any(made)
    for ours, theirs in zip(beside, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
