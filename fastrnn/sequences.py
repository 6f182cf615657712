"""Training on batches of sequences, between checked arrays and kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.model_plan import HEAD_ROWS
from fastrnn.optimizers import Optimizer
from fastrnn.params import Parameters
from fastrnn.plan import Regions, plan_layer, tile_shape
from fastrnn.slices import in_slices
from fastrnn.workspaces import aligned_empty

#: The losses, by the names of their kernels: one class of K, or K times 0 or 1.
LOSSES = {
    "softmax_cross_entropy": lambda outputs: 1,
    "sigmoid_cross_entropy": lambda outputs: outputs,
}


class Sizes(NamedTuple):
    """What a network of recurrent layers and a linear head is like."""

    cell: Cell
    inputs: int
    hidden: int
    layers: int
    outputs: int
    #: Whether it reads tokens, and whether the head reads every state or the last one.
    tokens: bool
    every_step: bool
    loss: str

    @property
    def width(self) -> int:
        """Numbers that the loss takes for a row of logits."""
        return 1 if self.loss == "softmax_cross_entropy" else self.outputs


class BatchPlan(NamedTuple):
    """The sizes of one batch as the kernels take them, and what they need."""

    model: Any
    head: Any
    work: int
    time: int
    batch: int


@functools.lru_cache(maxsize=256)
def plan_batch(sizes: Sizes, dtype: np.dtype[Any], time: int, batch: int) -> BatchPlan:
    """Plan steps on batches of so many sequences of so many steps."""
    from fastrnn.kernels.language_model import Model
    from fastrnn.simd.cpu import lanes
    from fastrnn.simd.tile import product_scratch

    width, hidden, outputs = lanes(dtype), sizes.hidden, sizes.outputs

    def padded(columns: int) -> int:
        return -(-columns // width) * width

    first = plan_layer(
        sizes.cell, dtype, time, batch, sizes.inputs, hidden,
        tokens=sizes.tokens, token_rows=sizes.tokens, keep=True,
    )  # fmt: skip
    other = plan_layer(sizes.cell, dtype, time, batch, hidden, hidden, keep=True)
    steps = time if sizes.every_step else 1
    rows = min(HEAD_ROWS, steps * batch)
    tile_rows, vectors = tile_shape(HEAD_ROWS)
    regions = Regions(dtype.itemsize)
    model = Model(
        first=first.layer,
        other=other.layer,
        layers=sizes.layers,
        vocabulary=outputs,
        rows=rows,
        logits=regions.add(rows * outputs),
        forward_panels=regions.add(hidden * padded(outputs)),
        backward_panels=regions.add(outputs * padded(hidden)),
        row_panels=regions.add(rows * padded(hidden)),
        scratch=regions.add(product_scratch(tile_rows, vectors, width)),
        scratch_size=0,
    )
    head = model._replace(first=first.layer._replace(time=steps))
    work = max(first.work, other.work if sizes.layers > 1 else 0, regions.size)
    return BatchPlan(model, head, work, time, batch)


class Trainer:
    """Gradient descent on batches of sequences of one length.

    Parameters
    ----------
    sizes : Sizes
    parameters : Parameters
        They are trained in place.
    offsets : ndarray of int64 (4 * layers + 2,)
        Where those of each layer begin, as `fastrnn.model_plan.model_offsets` has it; one that is
        absent at the end of the buffer.
    optimizer : Optimizer
    """

    def __init__(
        self, sizes: Sizes, parameters: Parameters, offsets: Array, optimizer: Optimizer
    ) -> None:
        self.sizes, self.parameters, self.offsets = sizes, parameters, offsets
        self.optimizer = optimizer
        flat = parameters.flat
        self.slots = np.zeros((optimizer.slots, flat.size), flat.dtype)
        self._grads = np.zeros_like(flat)
        self._sums = np.empty(HEAD_ROWS)
        self._room: dict[BatchPlan, tuple[Array, ...]] = {}

    def _arrays(self, plan: BatchPlan) -> tuple[Array, ...]:
        """Buffers for batches of one size, kept for the next ones."""
        if plan not in self._room:
            dtype = self.parameters.flat.dtype
            s, cell = self.sizes, self.sizes.cell
            unit, others = plan.batch * s.hidden, len(cell.states) - 1
            ring = plan.model.first.scan.ring
            count = plan.time * plan.batch
            rows = count if s.every_step else plan.batch
            needed = [
                s.layers * (plan.time + 1) * unit,
                s.layers * others * ring * unit,
                s.layers * plan.time * len(cell.saved) * unit,
                min(2, s.layers) * plan.time * unit if s.every_step or s.layers > 1 else 0,
                (1 + others) * unit,
                plan.work,
                0 if s.tokens else count * s.inputs,
            ]
            integers = [count if s.tokens else 0, rows * s.width]
            self._room[plan] = (
                *(aligned_empty(size, dtype) for size in needed),
                *(np.empty(size, np.int64) for size in integers),
            )
        return self._room[plan]

    def run(
        self,
        x: Array,
        tokens: Array,
        targets: Array,
        time: int,
        batch: int,
        order: Array,
        starts: Array,
        hypers: Array,
        *,
        clip_norm: float = math.inf,
        seen: Callable[[Array, int], None] | None = None,
    ) -> Array:
        """Train so many steps, in slices between which Ctrl-C is heard.

        Parameters
        ----------
        x, tokens : ndarray (M, T, I), ndarray of int64 (M, T)
            Contiguous; one of them is empty.
        targets : ndarray of int64 (M, T, K), or (M, K) where the head reads the last state
            A class, or for each output 0 or 1.
        time, batch : int
            T, and sequences of one step; (T + 1, batch, H) states of each layer are kept.
        order, starts : ndarray of int64
            Step s has the sequences ``order[starts[s]:starts[s] + batch]``.
        hypers : ndarray (steps, 9)
            A `Hyper` for each step.
        clip_norm : float
            Largest norm of a gradient.
        seen : callable, optional
            Called with the losses and the number of steps done after each slice.

        Returns
        -------
        losses : ndarray (steps,)
            Means, in nats, each before its step.

        Raises
        ------
        ArithmeticError
            If a loss is not finite; the parameters are those before that step.
        """
        sizes = self.sizes
        plan = plan_batch(sizes, self.parameters.flat.dtype, time, batch)
        *buffers, x_block, token_block, target_block = self._arrays(plan)
        losses = np.empty(len(starts))
        driver = _driver(sizes.cell, self.optimizer, sizes.loss)
        flat = (x.reshape(-1), tokens.reshape(-1), targets.reshape(-1))

        def some(first: int, count: int) -> None:
            part = slice(first, first + count)
            done = driver(
                losses[part], self.parameters.flat, self._grads, self.slots.reshape(-1),
                *buffers, self._sums, x_block, token_block, target_block, *flat, order,
                starts[part], hypers[part], self.offsets, sizes.width,
                not sizes.every_step, clip_norm,
                plan.head, plan.model,
            )  # fmt: skip
            if done < count:
                raise ArithmeticError(
                    f"the loss or the gradient is not finite at step {first + done}; the "
                    f"parameters are those before it: try a lower learning rate"
                )
            if seen:
                seen(losses, first + count)

        in_slices(len(starts), some)
        return losses


@functools.cache
def _driver(cell: Cell, optimizer: Optimizer, loss: str) -> Any:
    """The compiled driver; imports numba when first called."""
    from fastrnn.kernels.bound import sequence_driver

    return sequence_driver(cell, optimizer, loss)
