"""S6: the course's RNN and LSTM over whole sequences, and their cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn.compat import course
from fastrnn.reference import course as naive

N_X, M, N_A, N_Y, T_X = 64, 32, 128, 10, 50
#: Differences in eps that are rounding: sums of up to T_x * m = 1600 products.
AGREEMENT = 200
GOAL = 8
#: Gates of each network.
NETWORKS = {"rnn": 1, "lstm": 4}


def rows(dtype: str) -> list[Row]:
    """Four of the sequence, four of a cell."""
    found = []
    for kind, gates in NETWORKS.items():
        x, a0, da, parameters = _arrays(kind, dtype)
        sequence: dict[Any, Any] = {m: _call(m, f"{kind}_forward", x, a0, parameters)
                                    for m in (naive, course)}  # fmt: skip
        caches = {m: call()[-1] for m, call in sequence.items()}
        back = {m: _call(m, f"{kind}_backward", da, caches[m]) for m in sequence}
        flops = 2 * gates * N_A * (N_A + N_X) * M
        sizes = f"n_x={N_X} m={M} n_a={N_A} n_y={N_Y} T_x={T_X}"
        outputs = 2 * N_Y * N_A * M
        found.append(_row(f"{kind}_forward", dtype, sizes, sequence, T_X * (flops + outputs), GOAL))
        found.append(_row(f"{kind}_backward", dtype, sizes, back, 2 * T_X * flops, GOAL))
        states = (a0,) if kind == "rnn" else (a0, a0)
        cell = {m: _call(m, f"{kind}_cell_forward", x[:, :, 0], *states, parameters)
                for m in sequence}  # fmt: skip
        cache = {m: call()[-1] for m, call in cell.items()}
        d_states = (da[:, :, 0], da[:, :, 1])[: len(states)]
        cell_back = {m: _call(m, f"{kind}_cell_backward", *d_states, cache[m]) for m in sequence}
        found.append(_row(f"{kind}_cell_forward", dtype, sizes[:-7], cell, flops + outputs))
        found.append(_row(f"{kind}_cell_backward", dtype, sizes[:-7], cell_back, 2 * flops))
    return found


def ends() -> list[End]:
    """A number of the course's notebook, whose seed is 1."""

    def reached(module: Any) -> str:
        np.random.seed(1)
        shapes = {"x": (3, 10, 4), "a0": (5, 10), "Waa": (5, 5), "Wax": (5, 3), "Wya": (2, 5)}
        shapes |= {"ba": (5, 1), "by": (2, 1)}
        drawn = {name: np.random.randn(*shape) for name, shape in shapes.items()}
        a, *_ = module.rnn_forward(drawn.pop("x"), drawn.pop("a0"), drawn)
        return f"{a[4, 1, 0]:.8f}"

    return [End("rnn_forward's a[4][1][0], published -0.99999375", reached, naive, course)]


def _arrays(kind: str, dtype: str) -> tuple[Any, Any, Any, dict[str, Any]]:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(dtype)

    def weights(*shape: int) -> Any:
        return draw(*shape) / np.sqrt(N_A + N_X).astype(dtype)

    if kind == "rnn":
        shapes = {"Wax": (N_A, N_X), "Waa": (N_A, N_A), "ba": (N_A, 1), "Wya": (N_Y, N_A)}
    else:
        shapes = {f"W{gate}": (N_A, N_A + N_X) for gate in "fico"}
        shapes |= {f"b{gate}": (N_A, 1) for gate in "fico"} | {"Wy": (N_Y, N_A)}
    parameters = {name: weights(*shape) for name, shape in (shapes | {"by": (N_Y, 1)}).items()}
    return draw(N_X, M, T_X), draw(N_A, M), draw(N_A, M, T_X), parameters


def _call(module: Any, name: str, *arguments: Any) -> Any:
    function = getattr(module, name)
    return lambda: function(*arguments)


def _row(
    name: str, dtype: str, sizes: str, calls: Any, flops: int, goal: float | None = None
) -> Row:
    slow, fast = calls[naive], calls[course]

    def difference() -> float:
        return difference_in_eps(_arrays_of(fast()), _arrays_of(slow()), dtype)

    return Row(name, sizes, slow, fast, difference, AGREEMENT, flops, goal=goal)


def _arrays_of(results: Any) -> Any:
    """Of a forward pass, the arrays without the caches."""
    return results[:-1] if isinstance(results, tuple) else results
