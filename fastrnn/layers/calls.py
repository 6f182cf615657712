"""Layers run on inputs of one shape, nothing being kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.recurrence import Allocate, Input, Weights
from fastrnn.workspaces import WorkspacePool


class PreparedLayers:
    """Stacked layers for inputs of the shape of `x`; what that says is worked out once.

    A layer's call then takes 5 us of Python, not 7.5 (``bench/limits.py growth``).
    """

    def __init__(
        self,
        cell: Cell,
        x: Input,
        hidden: int,
        weights: Sequence[Sequence[Weights]],
        pool: WorkspacePool,
        *,
        ragged: bool,
        threads: int,
    ) -> None:
        self._pool, self._dtype = pool, weights[0][0].weight_ih.dtype
        directions, unit = len(weights[0]), x.batch * hidden
        rows = len(weights) * directions
        width = directions * hidden
        self._states = (len(cell.states), rows, x.batch, hidden)
        self._output = (x.time, x.batch, width)
        #: Numbers of a layer's h, and those that are its output.
        self._size = (x.time + directions) * directions * unit
        self._rows = slice(directions * unit, (1 + x.time) * directions * unit)
        self._layers = [
            [
                (
                    recurrence.prepared(
                        cell, self._dtype, x.time, x.batch, width if layer else x.size, hidden,
                        directions, direction, x.is_tokens and not layer, x.token_rows, False,
                        ragged, threads, True,
                    ),
                    w,
                    layer * directions + direction,
                    # Where its states are, and those of the next kind.
                    ((layer * directions + direction) * unit, rows * unit),
                )
                for direction, w in enumerate(of_layer)
            ]
            for layer, of_layer in enumerate(weights)
        ]  # fmt: skip

    def __call__(
        self,
        x: Input,
        states: Sequence[Array] | None,
        version: int,
        lengths: Array | None = None,
        allocate: Allocate = recurrence.new,
    ) -> tuple[Array, Array]:
        """The output (T, N, D * H) and the last states (S, L * D, N, H).

        `states` are the initial ones, each (L * D, N, H), zeros if None; `version` is that of the
        weights, 0 if it is not known; `lengths` and `allocate` are as `recurrence.forward` has
        them.
        """
        dtype = self._dtype
        ends = np.empty(self._states, dtype)
        for i, value in enumerate(states or ()):
            ends[i] = value
        flat, given = ends.ravel(), states is not None
        nothing = recurrence.empty(dtype)
        floats, tokens = x.floats, x.tokens
        for layer in self._layers:
            h = allocate(self._size, dtype)
            for call, w, user, place in layer:
                memory = recurrence.new(call.memory_size, dtype) if call.memory_size else nothing
                own = (flat, *place, given)
                call.run(h, memory, nothing, own, floats, tokens, w, self._pool, user, version,
                         lengths)  # fmt: skip
            floats, tokens = h[self._rows], recurrence.empty(np.int64)
        return floats.reshape(self._output), ends
