"""The rows of the comparison: their sizes, their weights and inputs, and their truth."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn import reference

Array = NDArray[np.floating[Any]]

#: Largest error of anything that is timed, in units of eps(dtype) times the largest number of the
#: true array. Of all contenders in all rows of `SETS` at most 26 was seen, in the gradient of a
#: bias, a sum of 9,600 terms; in the table 17, and in float64, where the truth errs too, 23.
AGREEMENT = 100

#: Rows of the weights, in units of H.
GATES: Mapping[str, int] = {"rnn": 1, "lstm": 4, "gru": 3}


class Shape(NamedTuple):
    """Sizes of one row."""

    time: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return ",".join(map(str, self))

    def flops(self, mode: str, cell: str) -> int:
        """Sums and products in the matrix products of ``"infer"`` or ``"train"``.

        Training adds dW_ih, dW_hh and the states' gradients; nobody needs the input's gradient, nor
        that of the initial state, which is zero and multiplied by nothing.
        """
        time, batch, inputs, hidden = self
        step = 2 * batch * GATES[cell] * hidden
        of_x, of_h = time * step * inputs, (time - 1) * step * hidden
        return of_x + of_h if mode == "infer" else 2 * of_x + 3 * of_h


class Row(NamedTuple):
    """What is measured in one place: a cell, its sizes, and in which modes."""

    cell: str
    shape: Shape
    modes: tuple[str, ...] = ("infer", "train")
    nonlinearity: str = "tanh"


#: The table of DESIGN.md, section 5: for every cell the same sizes.
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


#: By mode and cell, all of baidu-research/DeepBench, code/kernels/rnn_problems.h (da81ba7): hidden
#: units, which are as many as inputs, batches and times, each with each. Mode "train" is its
#: training set, "infer" its server's and device's. There the input's product is not timed, and a
#: GRU's n is relu; here every row is a whole layer of ``torch.nn``'s.
_DEEPBENCH: Mapping[tuple[str, str], tuple[tuple[tuple[int, ...], ...], ...]] = {
    ("train", "rnn"): (((1760, 2048, 2560), (16, 32, 64, 128), (50,)),),
    ("train", "lstm"): (
        ((512, 1024, 2048, 4096), (16, 32, 64, 128), (25,)),
        ((1536,), (8, 16, 32), (50,)),
        ((256,), (16, 32, 64), (150,)),
    ),
    ("train", "gru"): (
        ((2816, 2048, 1536, 2560), (32,), (1500, 750, 375, 187)),
        ((512,), (32,), (1,)),
        ((1024,), (32, 64), (1500,)),
    ),
    ("infer", "rnn"): (((32,), (1,), (672,)), ((64,), (1,), (96,))),
    ("infer", "lstm"): (
        ((512, 1024, 2048), (1, 2, 4), (25,)),
        ((1536,), (1, 2, 4), (50,)),
        ((256,), (1, 2, 4), (150,)),
    ),
    ("infer", "gru"): (
        ((2816, 2048, 1536, 2560), (1, 2, 4), (1500, 750, 375, 187)),
        ((512,), (1, 2, 4), (1,)),
        ((1024,), (1, 2, 4), (1500,)),
    ),
}

#: Rows of DeepBench with more sums and products forward than this are left out: some take minutes.
DEEPBENCH_FLOPS = 20e9


def _deepbench() -> Iterator[Row]:
    for (mode, cell), groups in _DEEPBENCH.items():
        # Its RNNs are relu. Trained, they are tanh here: among these millions of units rounding
        # decides some signs, and no two implementations' gradients agree (1e5 eps apart).
        nonlinearity = "relu" if (mode, cell) == ("infer", "rnn") else "tanh"
        for group in groups:
            for hidden, batch, time in itertools.product(*group):
                shape = Shape(time, batch, hidden, hidden)
                if shape.flops("infer", cell) <= DEEPBENCH_FLOPS:
                    yield Row(cell, shape, (mode,), nonlinearity)


#: What ``compare.py --set`` chooses from. fastrnns: the defaults of PyTorch's benchmarks/fastrnns.
SETS: Mapping[str, tuple[Row, ...]] = {
    "table": tuple(Row(cell, shape) for cell in GATES for shape in TABLE),
    "deepbench": tuple(_deepbench()),
    "fastrnns": (Row("lstm", Shape(100, 64, 512, 512)),),
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """What every contender gets: x (T, N, I) and the parameters by ``torch.nn``'s names."""

    cell: str
    shape: Shape
    nonlinearity: str
    x: Array
    params: Mapping[str, Array]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of everything."""
        return self.x.dtype

    @property
    def ones(self) -> Array:
        """The gradient of every output, in training."""
        time, batch, _, hidden = self.shape
        return np.ones((time, batch, hidden), self.dtype)

    @property
    def options(self) -> dict[str, str]:
        """What an RNN is told besides its sizes."""
        return {"nonlinearity": self.nonlinearity} if self.cell == "rnn" else {}


def make_problem(
    cell: str, shape: Shape, dtype: str = "float32", nonlinearity: str = "tanh", seed: int = 0
) -> Problem:
    """Normal inputs, and weights and biases uniform in +-1/sqrt(H)."""
    time, batch, inputs, hidden = shape
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((time, batch, inputs)).astype(dtype)
    limit = hidden**-0.5
    rows = GATES[cell] * hidden
    sizes = {
        "weight_ih_l0": (rows, inputs),
        "weight_hh_l0": (rows, hidden),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }
    params = {
        name: generator.uniform(-limit, limit, size).astype(dtype) for name, size in sizes.items()
    }
    return Problem(cell, shape, nonlinearity, x, params)


def naive(problem: Problem, d_output: Array | None = None) -> tuple[Array, dict[str, Array]]:
    """The naive implementation's output, and for a `d_output` the parameters' gradients."""
    forward = getattr(reference, f"{problem.cell}_forward")
    output, _, cache = forward(problem.x, None, problem.params, **problem.options)
    if d_output is None:
        return output, {}
    backward = getattr(reference, f"{problem.cell}_backward")
    return output, backward(cache, d_output, None)[2]


@functools.lru_cache(maxsize=2)
def case(
    cell: str, shape: Shape, dtype: str, nonlinearity: str, mode: str
) -> tuple[Problem, dict[str, Array]]:
    """A problem, and its truth: the naive implementation's results in float64."""
    problem = make_problem(cell, shape, dtype, nonlinearity)
    params = {name: value.astype(np.float64) for name, value in problem.params.items()}
    exact = dataclasses.replace(problem, x=problem.x.astype(np.float64), params=params)
    output, grads = naive(exact, exact.ones if mode == "train" else None)
    return problem, {"output": output, **grads}


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
