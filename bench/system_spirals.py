"""S5: the three-layer network on spirals.

    python bench/system_spirals.py

trains five seeds for all of the 50,000 iterations, with each nonlinearity, and prints where they
end.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import statistics
from functools import partial
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn.compat.three_layer_net import three_layer_net
from fastrnn.reference.three_layer_net import three_layer_net as naive

ITERATIONS = 50_000
#: Of which those that are timed: one takes as long as the other.
TIMED = 500
STEP, REG = 1e-1, 1e-3
NONLINEARITIES = ("SIGM", "RELU")
#: The weights after `TIMED` iterations may differ by, in eps.
AGREEMENT = 1e4


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


def silent(function: Any, *args: Any, **options: Any) -> tuple[Any, str]:
    """What it returns, and what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        result = function(*args, **options)
    return result, out.getvalue()


def rows(dtype: str) -> list[Row]:
    """Iterations of training, each from the same weights: as naive, and in float32."""
    if dtype != "float64":  # as published
        return []
    return [_row(*which) for which in itertools.product(NONLINEARITIES, ("float64", "float32"))]


def ends() -> list[End]:
    """Loss and accuracy after all iterations."""
    return [
        End(f"50,000 iterations, {n}", partial(reached, n), naive, three_layer_net)
        for n in NONLINEARITIES
    ]


def reached(nonlinearity: str, function: Any, seed: int = 0) -> str:
    """What it prints last, of some data."""
    _, text = silent(function, nonlinearity, *problem(seed), STEP, REG, ITERATIONS)
    losses = re.findall(r"loss (\S+)", text)
    return f"loss {float(losses[-1]):.4f}, accuracy {text.split()[-1]}"


def _row(nonlinearity: str, dtype: str) -> Row:
    def slow() -> Any:
        return silent(naive, nonlinearity, *problem(0), STEP, REG, TIMED)[0]

    def fast() -> Any:
        return silent(
            three_layer_net, nonlinearity, *problem(0), STEP, REG, TIMED, dtype=np.dtype(dtype)
        )[0]

    def difference() -> float:
        return difference_in_eps(list(fast()), list(slow()), dtype)

    # Products of 300 points with 2 x 50, 50 x 50 and 50 x 3 weights, three times but the first.
    flops = 2 * 300 * (2 * 2 * 50 + 3 * (50 * 50 + 50 * 3)) if dtype == "float64" else 0
    name = f"iteration, {nonlinearity}, {dtype}"
    goal = 5 if dtype == "float64" else None
    return Row(name, "300 points, 2-50-50-3", slow, fast, difference, AGREEMENT, flops, TIMED, goal)


def main() -> None:
    """Print where five seeds end."""
    for nonlinearity in NONLINEARITIES:
        found = [reached(nonlinearity, three_layer_net, seed) for seed in range(5)]
        losses, accuracies = zip(
            *([float(number) for number in re.findall(r"[\d.]+\d", text)] for text in found),
            strict=True,
        )
        print(
            f"{nonlinearity}: median loss {statistics.median(losses):.4f}, "
            f"accuracy {statistics.median(accuracies):.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
