"""One layer of a cell in its directions, between checked arrays and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.plan import WorkspacePool, plan_layer


class Weights(NamedTuple):
    """Parameters of one direction, each as one dimension; absent biases are empty."""

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array


@dataclass(frozen=True)
class Input:
    """What a layer reads: floats (T, N, I), or tokens (T, N) that stand for one-hot rows."""

    time: int
    batch: int
    size: int
    floats: Array
    tokens: Array

    @property
    def is_tokens(self) -> bool:
        return self.floats.size == 0 and self.tokens.size > 0


@dataclass(frozen=True)
class Kept:
    """What one layer keeps of its forward pass.

    Attributes
    ----------
    h : ndarray (T + D, N, D, H)
        Outputs, time t in slot t + 1, the initial states in the outer slots.
    memory : list of ndarray (S - 1, R, N, H)
        The other states of each direction.
    saved : list of ndarray (T, N, number saved, H)
        What the cell's backward equations need, of each direction.
    """

    h: Array
    memory: list[Array]
    saved: list[Array]

    @property
    def output(self) -> Array:
        """(T, N, D * H), contiguous."""
        slots, batch, directions, hidden = self.h.shape
        time = slots - directions
        return self.h[1 : time + 1].reshape(time, batch, directions * hidden)

    def final(self, direction: int) -> list[Array]:
        """The states (N, H) after the last step of a direction."""
        slot = 1 if direction else self.h.shape[0] - self.h.shape[2]
        return [self.h[slot, :, direction], *(m[slot % m.shape[0]] for m in self.memory[direction])]


def forward(
    cell: Cell,
    x: Input,
    initial: Sequence[Sequence[Array]],
    weights: Sequence[Weights],
    pool: WorkspacePool,
    *,
    keep: bool,
) -> Kept:
    """Run one layer; ``initial[direction]`` are its states, each (N, H)."""
    from fastrnn.kernels.bound import drivers

    directions = len(weights)
    dtype = weights[0].weight_hh.dtype
    hidden = initial[0][0].shape[1]
    others = len(cell.states) - 1
    h = np.empty((x.time + directions, x.batch, directions, hidden), dtype)
    kept = Kept(h, [], [])
    for direction, (states, w) in enumerate(zip(initial, weights)):
        plan = plan_layer(
            cell, dtype, x.time, x.batch, x.size, hidden,
            directions=directions, direction=direction, tokens=x.is_tokens, keep=keep,
        )  # fmt: skip
        scan = plan.layer.scan
        first = x.time + 1 if direction else 0
        memory = np.empty((others, scan.ring, x.batch, hidden), dtype)
        saved = np.empty((x.time, x.batch, scan.keep * len(cell.saved), hidden), dtype)
        h[first, :, direction] = states[0]
        for place, state in zip(memory, states[1:]):
            place[first % scan.ring] = state
        kept.memory.append(memory)
        kept.saved.append(saved)
        with pool.borrow(plan.work, dtype) as work:
            drivers(cell).forward(
                h.reshape(-1), memory.reshape(-1), saved.reshape(-1), work,
                x.floats, x.tokens, *w, plan.layer,
            )  # fmt: skip
    return kept


def backward(
    cell: Cell,
    x: Input,
    kept: Kept,
    d_output: Array,
    d_final: Sequence[Array],
    weights: Sequence[Weights],
    grads: Sequence[Weights],
    pool: WorkspacePool,
    *,
    wants_x: bool,
) -> Array:
    """BPTT of one layer: set `grads`, replace ``d_final[direction]`` (S, N, H) by the
    gradients of the initial states, and return that of the input, empty if not wanted."""
    from fastrnn.kernels.bound import drivers

    directions = len(weights)
    dtype = d_final[0].dtype
    d_x = np.empty(x.time * x.batch * x.size if wants_x else 0, dtype)
    for direction, (w, g) in enumerate(zip(weights, grads)):
        plan = plan_layer(
            cell, dtype, x.time, x.batch, x.size, kept.h.shape[3],
            directions=directions, direction=direction, tokens=x.is_tokens, keep=True,
        )  # fmt: skip
        with pool.borrow(plan.work, dtype) as work:
            drivers(cell).backward(
                *g, d_x, direction > 0, d_final[direction].reshape(-1), work, d_output,
                kept.h.reshape(-1), kept.memory[direction].reshape(-1),
                kept.saved[direction].reshape(-1), x.floats, x.tokens,
                w.weight_ih, w.weight_hh, plan.layer,
            )  # fmt: skip
    return d_x


def empty(dtype: Any) -> Array:
    """An array of nothing: what is absent, in the type that kernels are compiled for."""
    return np.empty(0, dtype)
