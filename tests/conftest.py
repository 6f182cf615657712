"""What the tests share: hypothesis without chance, comparisons in k*eps, a layer and its twin."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import fastrnn
from fastrnn import reference
from fastrnn.cells import RNN_RELU, RNN_TANH, Cell
from fastrnn.layers import Recurrent

#: ``NUMBA_DISABLE_JIT=1``: the same tests on the NumPy form of the kernels, which is slow.
PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")

settings.register_profile(
    "fastrnn",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=8 if PLAIN else 30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("fastrnn")

FLOATS = (np.float32, np.float64)
DTYPES = pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: d.__name__)
RNN_CELLS = (RNN_TANH, RNN_RELU)
EACH_CELL = pytest.mark.parametrize("cell", RNN_CELLS, ids=lambda c: c.name)
#: What the naive implementation calls each cell's activation.
NONLINEARITIES = {"rnn_tanh": "tanh", "rnn_relu": "relu"}
#: The naive optimisers by fastrnn's names.
NAIVE_RULES = {
    "sgd": reference.SGD,
    "momentum": reference.Momentum,
    "nesterov": reference.Nesterov,
    "adagrad": reference.Adagrad,
    "rmsprop": reference.RMSprop,
    "adam": reference.Adam,
    "adamw": reference.AdamW,
}
ROOT = Path(fastrnn.__file__).parent.parent


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def assert_close(actual: Any, desired: Any, tolerance: float, name: str = "") -> None:
    """Same shape, and equal to `tolerance` of the larger of 1 and the largest desired entry."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape, name
    scale = max(1.0, float(np.abs(desired).max(initial=0)))
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * scale, err_msg=name)


def make_layer(cell: Cell, *sizes: int, dtype: Any = np.float32, seed: int = 0, **kw: Any) -> Any:
    """The public layer of a cell, where there is one."""
    nonlinearity = NONLINEARITIES.get(cell.name)
    if nonlinearity is None:
        return Recurrent(cell, *sizes, dtype=dtype, seed=seed, **kw)
    return fastrnn.RNN(*sizes, nonlinearity=nonlinearity, dtype=dtype, seed=seed, **kw)


def reads_weights_alike(layer: Any, time: int, batch: int) -> bool:
    """Whether a call and `forward` both pack weights or both do not: else sums' order differs."""
    called, kept = (
        [(p.plan.layer.unpacked, p.plan.layer.scan.unpacked) for p in plan.parts]
        for plan in (layer.plan(time, batch, training=training) for training in (False, True))
    )
    return called == kept


def normal(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def naive_forward(layer: Any, x: Any, h0: Any = None) -> Any:
    """The naive network in float64 with a layer's parameters: (output, h_n, cache)."""
    params = {name: p.astype(np.float64) for name, p in layer.params.items()}
    return reference.rnn_forward(
        x.astype(np.float64),
        None if h0 is None else h0.astype(np.float64),
        params,
        num_layers=layer.num_layers,
        bidirectional=layer.bidirectional,
        nonlinearity=layer.nonlinearity,
    )


def wide(array: Any) -> Any:
    return None if array is None else np.asarray(array, np.float64)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment of a new process whose kernel cache is empty and warnings are errors."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    return {
        **inherited,
        "NUMBA_CACHE_DIR": str(tmp_path / "kernel_cache"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "PYTHONWARNINGS": "error",
    }
