"""What the benchmarks measure in parts is what the layers compute."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, eps

K_NAIVE = 64  # k of k*eps: the same sums in another order

pytestmark = pytest.mark.skipif(PLAIN, reason="the drivers' parts are kernels")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module ``bench/alone.py``, which imports others of its folder."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "bench"))
    return importlib.import_module("alone")


def test_scans_alone_give_what_the_naive_implementation_gives(alone: Any) -> None:
    scans = alone.Scans("rnn", 4, 3, 20, keep=True)
    got, true = scans.check()
    scans.equations()  # they run
    assert got.keys() == true.keys() == {"output", "x"}
    for name, value in got.items():
        bound = K_NAIVE * eps(np.float32) * max(1.0, np.abs(true[name]).max())
        assert np.abs(value - true[name]).max() <= bound
