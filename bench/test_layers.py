"""Forward and backpropagation through time of every cell's layer, naive beside fused.

    pytest bench/test_layers.py [--peers torch,onnxruntime,jax] [--benchmark-json=FILE.json]

`compare.py` interleaves its contenders and is the judge; this suite follows one over time.
"""

from __future__ import annotations

from typing import Any

import pytest
from peers import AbsentError, Contender, results
from shapes import AGREEMENT, GATES, SETS, TABLE, Row, case, error_in_eps

#: All rows in float32; in float64 one of each kind: latency, a matrix times a vector, arithmetic.
CASES = [(row, "float32") for row in SETS["table"]] + [
    (Row(cell, shape), "float64") for cell in GATES for shape in (TABLE[0], TABLE[3], TABLE[7])
]
IDS = [f"{row.cell}-{'x'.join(map(str, row.shape))}-{dtype}" for row, dtype in CASES]


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(("row", "dtype"), CASES, ids=IDS)
def test_layer(benchmark: Any, row: Row, dtype: str, mode: str, layer_contender: Contender) -> None:
    """A whole layer: inference, or forward and the gradients of all parameters."""
    cell, shape = row.cell, row.shape
    problem, true = case(cell, shape, dtype, row.nonlinearity, mode)
    try:
        calls = layer_contender.prepare(problem, threads=1)
    except AbsentError as reason:
        pytest.skip(f"{layer_contender.name}: {reason}")
    call = calls.infer if mode == "infer" else calls.train
    if call is None:
        pytest.skip(f"{layer_contender.name} cannot train")
    error, where = error_in_eps(results(calls, mode), true)
    assert error <= AGREEMENT, f"{layer_contender.name} is wrong by {error:.0f} eps in {where}"

    benchmark.group = f"{cell} {mode} {shape} {dtype}"
    benchmark.extra_info.update(
        contender=layer_contender.name,
        version=layer_contender.version,
        cell=cell,
        shape=list(shape),
        mode=mode,
        dtype=dtype,
        flops=shape.flops(mode, cell),
        error_eps=error,
    )
    benchmark(call)
