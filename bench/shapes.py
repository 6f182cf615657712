"""The rows of the comparison: their sizes, their weights and inputs, and their truth."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn import reference

Array = NDArray[np.floating[Any]]

#: Largest error of anything that is timed, in units of eps(dtype) times the largest number of the
#: true array. At most 17 was seen, of any contender in any row, tanh and relu.
AGREEMENT = 100


class Shape(NamedTuple):
    """Sizes of one row."""

    time: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def flops(self, mode: str) -> int:
        """Sums and products in the matrix products of ``"infer"`` or ``"train"``.

        Training adds dW_ih, dW_hh and the states' gradients; nobody needs the input's gradient.
        """
        time, batch, inputs, hidden = self
        forward = 2 * time * batch * hidden * (inputs + hidden)
        if mode == "infer":
            return forward
        return 2 * forward + 2 * time * batch * hidden * hidden


#: The table of DESIGN.md, section 5.
TABLE = (
    Shape(25, 1, 65, 100),
    Shape(100, 1, 32, 32),
    Shape(100, 1, 128, 128),
    Shape(100, 1, 256, 256),
    Shape(50, 1, 512, 512),
    Shape(25, 1, 1024, 1024),
    Shape(100, 16, 64, 64),
    Shape(100, 32, 128, 128),
    Shape(50, 64, 256, 256),
    Shape(50, 64, 512, 512),
    Shape(25, 64, 1024, 1024),
)


@dataclass(frozen=True)
class Problem:
    """What every contender gets: x (T, N, I) and the parameters by ``torch.nn.RNN``'s names."""

    shape: Shape
    nonlinearity: str
    x: Array
    params: Mapping[str, Array]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of everything."""
        return self.x.dtype


def make_problem(
    shape: Shape, dtype: str = "float32", nonlinearity: str = "tanh", seed: int = 0
) -> Problem:
    """Normal inputs, and weights and biases uniform in +-1/sqrt(H)."""
    time, batch, inputs, hidden = shape
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((time, batch, inputs)).astype(dtype)
    limit = hidden**-0.5
    sizes = {
        "weight_ih_l0": (hidden, inputs),
        "weight_hh_l0": (hidden, hidden),
        "bias_ih_l0": (hidden,),
        "bias_hh_l0": (hidden,),
    }
    params = {
        name: generator.uniform(-limit, limit, size).astype(dtype) for name, size in sizes.items()
    }
    return Problem(shape, nonlinearity, x, params)


def truth(problem: Problem, mode: str) -> dict[str, Array]:
    """The naive implementation's results in float64: ``output``, and gradients by name."""
    x = problem.x.astype(np.float64)
    params: dict[str, Array] = {
        name: value.astype(np.float64) for name, value in problem.params.items()
    }
    output, _, cache = reference.rnn_forward(x, None, params, nonlinearity=problem.nonlinearity)
    if mode == "infer":
        return {"output": output}
    grads = reference.rnn_backward(cache, np.ones_like(output), None)[2]
    return {"output": output, **grads}


@functools.lru_cache(maxsize=2)
def case(
    shape: Shape, dtype: str, nonlinearity: str, mode: str
) -> tuple[Problem, dict[str, Array]]:
    """A problem and its truth."""
    problem = make_problem(shape, dtype, nonlinearity)
    return problem, truth(problem, mode)


def error_in_eps(got: Mapping[str, Any], true: Mapping[str, Array]) -> tuple[float, str]:
    """The largest error over all arrays, as `AGREEMENT` counts it, and where it is.

    Raises
    ------
    AssertionError
        If a name, a shape or a type is not that of the truth.
    """
    assert set(got) == set(true), f"got {sorted(got)}, expected {sorted(true)}"
    worst, place = 0.0, ""
    for name, expected in true.items():
        value = np.asarray(got[name])
        assert value.shape == expected.shape, f"{name}: {value.shape}, expected {expected.shape}"
        kind = np.finfo(value.dtype)
        unit = max(kind.eps * np.abs(expected).max(), kind.smallest_subnormal)
        error = float(np.abs(value - expected).max() / unit)
        error = np.inf if np.isnan(error) else error
        if error > worst:
            worst, place = error, name
    return worst, place
