"""Stacked layers run on inputs of one shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.recurrence import Allocate, Input, LayerCalls, Weights
from fastrnn.workspaces import WorkspacePool


class PreparedLayers:
    """Stacked layers for inputs of the shape of `x`; what that says is worked out once.

    If they `keep`, it is for training.
    """

    def __init__(
        self,
        cell: Cell,
        x: Input,
        hidden: int,
        weights: Sequence[Sequence[Weights]],
        pool: WorkspacePool,
        *,
        keep: bool,
        ragged: bool,
        threads: int,
    ) -> None:
        dtype, directions = weights[0][0].weight_ih.dtype, len(weights[0])
        self._pool, self._dtype, self._no_tokens = pool, dtype, recurrence.empty(np.int64)
        rows, width, unit = len(weights) * directions, directions * hidden, x.batch * hidden
        self._states = (len(cell.states), rows, x.batch, hidden)
        self.output = (x.time, x.batch, width)
        #: Of each layer its calls, its weights, where its states are, and those of the next kind.
        self.layers: list[tuple[LayerCalls, Sequence[Weights], int, int]] = []
        for layer, of_layer in enumerate(weights):
            calls = LayerCalls(
                cell, dtype, x, hidden, directions, keep=keep, ragged=ragged, threads=threads,
                versioned=not keep, layer=layer,
            )  # fmt: skip
            self.layers.append((calls, of_layer, layer * directions * unit, rows * unit))
            x = self.as_input(recurrence.empty(dtype))

    def as_input(self, floats: Array) -> Input:
        """The output of a layer as the next one's input."""
        return Input(*self.output, False, floats, self._no_tokens)

    def initial_states(self, states: Sequence[Array] | None) -> Array:
        """The initial states (S, L * D, N, H), to become the last ones; not set if None."""
        ends = np.empty(self._states, self._dtype)
        if states is not None:
            for i, value in enumerate(states):
                ends[i] = value
        return ends

    def __call__(
        self,
        floats: Array,
        version: int,
        tokens: Array | None = None,
        states: Sequence[Array] | None = None,
        lengths: Array | None = None,
        allocate: Allocate = recurrence.new,
    ) -> tuple[Array, Array]:
        """The output (T, N, D * H) and the last states (S, L * D, N, H), nothing being kept.

        `states` are the initial ones, each (L * D, N, H), zeros if None; `version` is that of the
        weights, 0 if it is not known; `lengths` and `allocate` are as `LayerCalls.forward` has
        them.
        """
        ends = self.initial_states(states)
        flat, given = ends.ravel(), states is not None
        if tokens is None:
            tokens = self._no_tokens
        for calls, weights, first, stride in self.layers:
            h = calls.forward(
                flat, first, stride, given, floats, tokens, weights, self._pool, version, lengths,
                allocate,
            )  # fmt: skip
            floats, tokens = h[calls.output], self._no_tokens
        return floats.reshape(self.output), ends
