"""Forward and backpropagation through time of the vanilla RNN, naive beside fused.

    pytest bench/test_rnn.py [--peers torch,onnxruntime,jax] [--benchmark-json=FILE.json]

`compare.py` interleaves its contenders and is the judge; this suite follows one over time.
"""

from __future__ import annotations

from typing import Any

import pytest
from peers import AbsentError, Contender, results
from shapes import AGREEMENT, TABLE, Shape, case, error_in_eps

#: All rows in float32; in float64 one of each kind: latency, a matrix times a vector, arithmetic.
CASES = [(shape, "float32") for shape in TABLE] + [
    (shape, "float64") for shape in (TABLE[0], TABLE[3], TABLE[7])
]
IDS = ["x".join(map(str, shape)) + f"-{dtype}" for shape, dtype in CASES]


@pytest.mark.parametrize("mode", ["infer", "train"])
@pytest.mark.parametrize(("shape", "dtype"), CASES, ids=IDS)
def test_rnn(benchmark: Any, shape: Shape, dtype: str, mode: str, rnn_contender: Contender) -> None:
    """A whole layer: inference, or forward and the gradients of all parameters."""
    problem, true = case(shape, dtype, "tanh", mode)
    try:
        calls = rnn_contender.prepare(problem, threads=1)
    except AbsentError as reason:
        pytest.skip(f"{rnn_contender.name}: {reason}")
    call = calls.infer if mode == "infer" else calls.train
    if call is None:
        pytest.skip(f"{rnn_contender.name} cannot train")
    error, where = error_in_eps(results(calls, mode), true)
    assert error <= AGREEMENT, f"{rnn_contender.name} is wrong by {error:.0f} eps in {where}"

    benchmark.group = f"{mode} {shape} {dtype}"
    benchmark.extra_info.update(
        contender=rnn_contender.name,
        version=rnn_contender.version,
        shape=list(shape),
        mode=mode,
        dtype=dtype,
        flops=shape.flops(mode),
        error_eps=error,
    )
    benchmark(call)
