"""The recurrent part of a layer alone: the layer's own drivers without the large products.

In copies of the drivers, the input's product, the packing and the products of the gradients are
replaced by nothing; their scans are those of every call, but that they make no input parts besides
(`fastrnn.kernels.row`) and multiply no x (`fastrnn.kernels.scan`). Each block of time then reads
the input parts that lie in the workspace, which a whole call left there: those of the last block.
They are right for every block since the input repeats itself from block to block.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import numpy as np
from shapes import GATES, Array, Shape, make_problem

from fastrnn import reference
from fastrnn.cells import GRU, LSTM, RNN_TANH, Cell
from fastrnn.kernels import bound, jit
from fastrnn.kernels.team import ALONE
from fastrnn.plan import LayerPlan, plan_layer
from fastrnn.workspaces import aligned_empty

CELLS = {"rnn": RNN_TANH, "lstm": LSTM, "gru": GRU}


def nothing(*arguments: Any) -> None:
    """What stands in the place of a product."""


class Drivers(NamedTuple):
    """The parts of a layer's drivers, for Python to call."""

    pack_forward: Any
    run_forward: Any
    run_backward: Any
    #: The last two with nothing but their scans.
    scan_forward: Any
    scan_backward: Any
    #: The forward scan without its products either: the cell's equations alone.
    equations: Any


@functools.cache
def drivers_of(cell: Cell) -> Drivers:
    """Made from `bound.drivers`, whatever these call."""
    drivers, none = bound.drivers(cell), jit.bind(nothing)
    forward, backward = drivers.run_forward.py_func, drivers.run_backward.py_func
    names = forward.__globals__
    scan = jit.bind(names["scan_forward"].py_func, multiply_gates=none)
    row = jit.bind(names["scan_row"].py_func, row_product=none)
    left_out = dict.fromkeys(("pack", "product", "column_sums", "set_zero"), none)
    return Drivers(
        jit.entry(drivers.pack_forward.py_func, cell.name),
        jit.entry(forward, cell.name),
        jit.entry(backward, cell.name),
        jit.entry(forward, cell.name, "scan alone", input_parts=none),
        jit.entry(backward, cell.name, "scan alone", **left_out),
        jit.entry(
            forward, cell.name, "equations alone", input_parts=none, scan_forward=scan, scan_row=row
        ),
    )


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Where layers have it too, on a cache line."""
    array = aligned_empty(math.prod(shape), dtype).reshape(shape)
    array[...] = 0
    return array


class Scans:
    """A layer of as many inputs as units, ready to run its scans in one thread.

    `check` must be called first: it packs the weights.

    Parameters
    ----------
    cell : str
    time, batch, hidden : int
        T must be a whole number of the plan's blocks.
    keep : bool
        Whether what BPTT needs is kept; `backward` needs it.

    Attributes
    ----------
    plan : LayerPlan
    forward_flops, backward_flops : int
        Sums and products of the recurrent products; the first step, from a state of zero, and the
        last step's gradient have none.
    weight_bytes : int
        Of the recurrent weights, which every step but the first reads.
    """

    def __init__(self, cell: str, time: int, batch: int, hidden: int, *, keep: bool) -> None:
        self._cell, self._keep = CELLS[cell], keep
        self._problem = problem = make_problem(cell, Shape(time, batch, hidden, hidden))
        dtype, params = problem.dtype, problem.params
        plan = plan_layer(
            self._cell, dtype, time, batch, hidden, hidden, keep=keep, versioned=not keep, threads=1
        )
        # All input parts are there when the scan begins.
        p = plan.layer
        self.plan: LayerPlan = plan._replace(
            layer=p._replace(
                beside=p.beside._replace(address=0), scan=p.scan._replace(inputs=0, joined=0)
            )
        )
        block, ring = self.plan.layer.block, self.plan.layer.scan.ring
        assert time % block == 0, f"T must be a multiple of {block}, got {time}"
        problem.x[...] = np.tile(problem.x[:block], (time // block, 1, 1))
        step = 2 * batch * GATES[cell] * hidden * hidden
        self.forward_flops = self.backward_flops = (time - 1) * step
        self.weight_bytes = params["weight_hh_l0"].nbytes

        states, none = len(self._cell.states), np.empty(0, dtype)
        self._h = _zeros((time + 1, batch, hidden), dtype)
        self._memory = _zeros((states - 1, ring, batch, hidden), dtype)
        self._carry = _zeros((states, batch, hidden), dtype)
        self._work = aligned_empty(self.plan.work, dtype)
        self._back_work = aligned_empty(self.plan.work if keep else 0, dtype)
        saved = (time, batch, len(self._cell.saved), hidden)
        kept: list[Array] = [self._h, self._memory, _zeros(saved if keep else (0,), dtype)]
        flat = {name: value.reshape(-1) for name, value in params.items()}
        integers = np.empty(0, np.int64)
        read = [problem.x.reshape(-1), integers, integers]
        weights = [flat["weight_ih_l0"], flat["weight_hh_l0"]]
        biases = [flat["bias_ih_l0"], flat["bias_hh_l0"]]
        end: list[Any] = [none, ALONE, self.plan.layer]
        before: list[Any] = [array.reshape(-1) for array in kept]
        back: list[Any] = [
            *(np.empty_like(value) for value in flat.values()), none, none, False,
            self._carry.reshape(-1), True, self._back_work, problem.ones.reshape(-1), *before,
            *read, *weights, *end,
        ]  # fmt: skip
        drivers = drivers_of(self._cell)
        before += [self._work, *read, *weights, *end]
        #: The scan of all times, its equations, and the gradients' scan, which begins from it.
        self.forward = functools.partial(drivers.scan_forward, *before)
        self.equations = functools.partial(drivers.equations, *before)
        self.backward = functools.partial(drivers.scan_backward, *back)
        self._whole = (
            functools.partial(drivers.pack_forward, self._work, *weights, *biases, True, *end[1:]),
            functools.partial(drivers.run_forward, *before),
            functools.partial(drivers.run_backward, *back),
        )

    def check(self) -> tuple[dict[str, Array], dict[str, Array]]:
        """What the scans give, and what the naive implementation gives in float64.

        The output, and if states are kept the input's gradient for the times of the first block.
        """
        problem, p = self._problem, self.plan.layer
        params = {name: value.astype(np.float64) for name, value in problem.params.items()}
        exact = dataclasses.replace(problem, x=problem.x.astype(np.float64), params=params)
        naive = getattr(reference, f"{exact.cell}_forward")
        true, _, cache = naive(exact.x, None, exact.params)

        pack_forward, run_forward, run_backward = self._whole
        pack_forward()
        run_forward()
        self._h[1:] = np.nan
        self._memory[:, 0] = 0
        self.forward()
        got = {"output": self._h[1:].copy()}
        if not self._keep:
            return got, {"output": true}
        run_backward()
        self._carry[...] = 0
        self.backward()
        w_ih = problem.params["weight_ih_l0"]
        rows, columns = p.block * p.scan.batch, len(w_ih)
        deltas = self._back_work[p.x_part :][: rows * columns].reshape(rows, columns)
        got["x"] = (deltas @ w_ih).reshape(p.block, p.scan.batch, -1)
        naive = getattr(reference, f"{exact.cell}_backward")
        return got, {"output": true, "x": naive(cache, exact.ones, None)[0][: p.block]}
