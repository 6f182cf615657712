"""What a plan says is what a call does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES

import fastrnn
import fastrnn.plan
from fastrnn import recurrence
from fastrnn.plan import (
    LARGE_BYTES,
    SHORT_VECTORS,
    SHORT_VECTORS_AND_REST,
    UNPACKED_ROWS,
    UNPACKED_ROWS_OF_LARGE,
    UNPACKED_ROWS_OF_SHORT,
    UNPACKED_ROWS_VERSIONED,
    few_rows,
    plan_layer,
)
from fastrnn.simd.cpu import STORES_LINES, VECTOR_BYTES


def test_a_printed_plan_has_each_part_and_its_reasons() -> None:
    layer = fastrnn.LSTM(70, 33, 2, bidirectional=True, threads=1)
    plan = layer.plan(9, 5, training=True)
    assert [part.name for part in plan.parts] == ["l0", "l0_reverse", "l1", "l1_reverse"]
    text = str(plan)
    assert text.startswith("LSTM(70, 33, num_layers=2, bidirectional=True, threads=1, dtype=")
    assert text.count("(45, 70) x (70, 132)") == 2
    assert text.count("(45, 66) x (66, 132)") == 2
    assert text.count("4 gates in one panel") == 4
    expected = plan_layer(layer.cell, layer.dtype, 9, 5, 70, 33, directions=2, keep=True)
    assert plan.parts[0].plan.layer == expected.layer


def test_a_plan_says_what_is_packed_and_why() -> None:
    layer = fastrnn.RNN(2048, 2048, threads=1)
    assert layer.flat.nbytes > LARGE_BYTES
    few, many = (layer.plan(t, training=True).parts[0] for t in (UNPACKED_ROWS_OF_LARGE, 1000))
    assert few.plan.layer.unpacked
    assert few.plan.layer.scan.unpacked
    assert few.choices["scan weights"] == "16 MB read as they are: at most 50 rows use them"
    assert not many.plan.layer.scan.unpacked
    assert many.choices["scan weights"] == "16 MB packed: 1000 rows use them"
    again = fastrnn.RNN(512, 512, threads=1).plan(UNPACKED_ROWS_OF_LARGE).parts[0]
    assert again.plan.kept
    assert again.choices["scan weights"] == (
        "1 MB packed: 50 rows use them; not again before they change"
    )
    of_one = fastrnn.RNN(512, 515, threads=1).plan(2).parts[0]
    assert of_one.choices["scan weights"] == "1.012 MB read as they are: at most 4 rows use them"
    several = fastrnn.RNN(512, 515, threads=1).plan(2, 3, training=True).parts[0]
    assert several.choices["scan weights"].startswith("1.012 MB packed: 6 rows use them, several")
    short = fastrnn.RNN(512, 33, threads=1).plan(4).parts[0]
    assert short.plan.layer.unpacked
    assert short.choices["scan weights"].startswith("4.254 KB packed: 4 rows use them;")
    assert plan_layer(layer.cell, np.dtype("f4"), 5, 1, 512, 512, reuse=True).layer.unpacked == 0


def test_how_many_rows_are_too_few_goes_by_vectors() -> None:
    lanes = 8
    whole, rest = SHORT_VECTORS * lanes, SHORT_VECTORS_AND_REST * lanes
    short, long = UNPACKED_ROWS_OF_SHORT, UNPACKED_ROWS
    for k, few in ((whole - lanes, short), (whole, long), (rest - 1, short), (rest + 1, long)):
        assert few_rows(k, lanes, 1, versioned=False) == few
        assert few_rows(k, lanes, 1, versioned=True) == min(few, UNPACKED_ROWS_VERSIONED)
    large = LARGE_BYTES + 1
    assert few_rows(rest, lanes, large, versioned=False) == UNPACKED_ROWS_OF_LARGE
    assert few_rows(rest, lanes, large, versioned=True) == UNPACKED_ROWS_VERSIONED
    assert few_rows(rest + 1, lanes, large, versioned=False) == long


@pytest.fixture
def forgotten_plans() -> Iterator[Callable[[], None]]:
    """What makes plans anew; they are as before at the end."""

    def forget() -> None:
        plan_layer.cache_clear()
        recurrence.prepared.cache_clear()

    yield forget
    forget()


@DTYPES
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("threads", sorted({1, fastrnn.get_threads()}))
def test_what_is_kept_past_the_caches_is_the_same(
    cell: str,
    dtype: Any,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
    forgotten_plans: Callable[[], None],
) -> None:
    layer = getattr(fastrnn, cell)(5, 64, bidirectional=True, dtype=dtype, seed=0, threads=threads)
    x = np.random.default_rng(0).standard_normal((7, 25, 5)).astype(dtype)
    monkeypatch.setattr("fastrnn.teams.TEAM_WORK", 1)  # small as it is, a team shares it
    results = []
    for limit in (fastrnn.plan.UNCACHED_BYTES, 0):
        monkeypatch.setattr(fastrnn.plan, "UNCACHED_BYTES", limit)
        forgotten_plans()
        plan = layer.plan(7, 25, training=True).parts[0].plan
        assert plan.layer.scan.uncached == (STORES_LINES and not limit)
        assert plan.threads == threads
        output, _, tape = layer.forward(x)
        grads = layer.backward(tape, np.ones_like(output))
        results.append([output, *tape.kept[0].saved, grads.x, grads.flat])
    for through, past in zip(*results, strict=True):
        np.testing.assert_array_equal(through, past)


@DTYPES
def test_bringing_the_next_panel_nearer_changes_nothing(
    dtype: Any, monkeypatch: pytest.MonkeyPatch, forgotten_plans: Callable[[], None]
) -> None:
    x = np.random.default_rng(0).standard_normal((5, 33, 40)).astype(dtype)
    for cell in (fastrnn.RNN, fastrnn.LSTM, fastrnn.GRU):
        layer: Any = cell(40, 65, dtype=dtype, seed=0, threads=1)
        results = []
        for least in (1 << 60, 0):
            monkeypatch.setattr(fastrnn.plan, "FETCHED_BYTES", least)
            forgotten_plans()
            plan = layer.plan(5, 33).parts[0].plan
            assert plan.layer.scan.fetches == (VECTOR_BYTES > 32 or not least)
            results.append(layer(x)[0])
        np.testing.assert_array_equal(*results)


def test_a_plan_keeps_rows_that_are_no_whole_lines_through_the_caches() -> None:
    plan = fastrnn.LSTM(16, 100, threads=1).plan(100, 64, training=True).parts[0]
    assert plan.plan.layer.scan.uncached == 0
    assert plan.choices["kept for BPTT"] == "12.21 MB"


def test_a_plan_says_what_is_kept_for_bptt() -> None:
    layer = fastrnn.LSTM(16, 256, threads=1)
    assert "kept for BPTT" not in layer.plan(50, 64).parts[0].choices
    little, much = (layer.plan(50, n, training=True).parts[0] for n in (1, 64))
    assert little.choices["kept for BPTT"] == "250 KB"
    assert little.plan.layer.scan.uncached == 0
    assert much.choices["kept for BPTT"].startswith("15.62 MB")
    past = "past the caches: more than 8 MB" in much.choices["kept for BPTT"]
    assert past == bool(much.plan.layer.scan.uncached) == STORES_LINES


def test_sizes_of_a_plan_are_checked() -> None:
    layer = fastrnn.GRU(3, 5)
    with pytest.raises(ValueError, match="batch must be at least 0"):
        layer.plan(1, -1)
    with pytest.raises(TypeError, match="time must be an integer"):
        layer.plan(1.5)  # type: ignore[arg-type]
    assert str(layer.plan(0, 0))
