"""S5: the three-layer network on spirals, 50,000 iterations with each nonlinearity.

    python bench/systems_three_layer_net.py [--whole]

The naive program is the published one in float64; it is run for a tenth of the iterations, or with
``--whole`` for all of them. The drop-in runs in float32, its default, and in float64.
"""

from __future__ import annotations

import contextlib
import io
import re
import statistics
import sys
import time
from typing import Any

import numpy as np

ITERATIONS = 50_000
STEP, REG = 1e-1, 1e-3
SEEDS = range(5)
NONLINEARITIES = ("SIGM", "RELU")


def problem(seed: int, N: int = 100, D: int = 2, K: int = 3, h: int = 50) -> tuple[Any, ...]:
    """Spirals and the published initial weights."""
    np.random.seed(seed)
    X, y = np.zeros((N * K, D)), np.zeros(N * K, dtype="uint8")
    for j in range(K):
        ix = range(N * j, N * (j + 1))
        r = np.linspace(0.0, 1, N)
        t = np.linspace(j * 4, (j + 1) * 4, N) + np.random.randn(N) * 0.2
        X[ix] = np.c_[r * np.sin(t), r * np.cos(t)]
        y[ix] = j
    model = {}
    for i, (n, m) in enumerate([(D, h), (h, h), (h, K)], start=1):
        model[f"W{i}"], model[f"b{i}"] = 0.1 * np.random.randn(n, m), np.zeros((1, m))
    return X, y, model


def timed(function: Any, *args: Any, **options: Any) -> tuple[float, float, float]:
    """Seconds, and the last loss and the accuracy that were printed."""
    out = io.StringIO()
    start = time.perf_counter()
    with contextlib.redirect_stdout(out):
        function(*args, **options)
    seconds = time.perf_counter() - start
    losses = re.findall(r"loss (\S+)", out.getvalue())
    return seconds, float(losses[-1]), float(out.getvalue().split()[-1])


def naive(nonlinearity: str, seed: int = 0, iterations: int = ITERATIONS // 10) -> Any:
    """Seconds of all iterations, extrapolated, and the loss and the accuracy at the end."""
    from fastrnn.reference.three_layer_net import three_layer_net

    X, y, model = problem(seed)
    seconds, *end = timed(three_layer_net, nonlinearity, X, y, model, STEP, REG, iterations)
    return seconds * ITERATIONS / iterations, *end


def fast(nonlinearity: str, seed: int = 0, dtype: Any = np.float32) -> Any:
    """Seconds, and the loss and the accuracy at the end."""
    from fastrnn.compat.three_layer_net import three_layer_net

    X, y, model = problem(seed)
    return timed(three_layer_net, nonlinearity, X, y, model, STEP, REG, ITERATIONS, dtype=dtype)


def main() -> None:
    iterations = ITERATIONS if "--whole" in sys.argv else ITERATIONS // 10
    for nonlinearity in NONLINEARITIES:
        for dtype in (np.float32, np.float64):
            fast(nonlinearity, dtype=dtype)
            ratios, losses, accuracies = [], [], []
            for seed in SEEDS:
                slow, of_naive, _ = naive(nonlinearity, seed, iterations)
                seconds, loss, accuracy = fast(nonlinearity, seed, dtype)
                ratios.append(slow / seconds)
                losses.append(loss)
                accuracies.append(accuracy)
            print(
                f"{nonlinearity} {np.dtype(dtype)}: {seconds:.2f} s, naive {slow:.1f} s, "
                f"ratio {statistics.median(ratios):.2f} (least {min(ratios):.2f}); "
                f"loss {statistics.median(losses):.4f} (naive here {of_naive:.4f}), "
                f"accuracy {statistics.median(accuracies):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
