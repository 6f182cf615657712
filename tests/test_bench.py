"""What the benchmarks measure in parts is what the layers compute."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, eps

K_NAIVE = 64  # k of k*eps: the same sums in another order


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """What imports a module of ``bench/``, which imports others of its folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "bench"))
    return importlib.import_module


def test_the_ceiling_of_a_row_is_that_by_hand(bench: Callable[[str], Any]) -> None:
    peak = {"fma_gflops": 100.0, "load_gbytes": {"L1": 200.0, "L2": 80.0}}
    caches = {"L1": 1 << 15, "L2": 1 << 19}
    row = {"cell": "gru", "shape": [10, 1, 32, 64], "mode": "infer", "threads": 1}
    row["dtype"] = "float32"
    # 48 KB of weights, read 9 times at 80 GB/s, take longer than their 0.22 million operations.
    scan, inputs = 9 * 192 * 64 * 4 / 80e3, 2 * 10 * 192 * 32 / 100e3
    ceiling = bench("ceiling").ceiling
    assert ceiling(row, peak, caches) == pytest.approx(scan + inputs)
    gradient = 2 * 9 * 192 * 64 / 100e3
    trained = 2 * scan + gradient + 2 * inputs
    assert ceiling({**row, "mode": "train"}, peak, caches) == pytest.approx(trained)
    batch = {**row, "shape": [10, 5, 32, 64], "threads": 2}
    assert ceiling(batch, peak, caches) == pytest.approx(5 * (gradient + inputs) / 2)


@pytest.mark.skipif(PLAIN, reason="the drivers' parts are kernels")
def test_scans_alone_give_what_the_naive_implementation_gives(
    bench: Callable[[str], Any],
) -> None:
    scans = bench("alone").Scans("rnn", 4, 3, 20, keep=True)
    got, true = scans.check()
    scans.equations()  # they run
    assert got.keys() == true.keys() == {"output", "x"}
    for name, value in got.items():
        bound = K_NAIVE * eps(np.float32) * max(1.0, np.abs(true[name]).max())
        assert np.abs(value - true[name]).max() <= bound
