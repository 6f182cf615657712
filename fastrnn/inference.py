"""Evaluation and sampling of a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.data import Tokens
from fastrnn.model_plan import (
    HEAD_ROWS,
    ModelPlan,
    embedding_size,
    model_offsets,
    plan_model,
)
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.params import Parameters
from fastrnn.threads import get_threads, run_team
from fastrnn.workspaces import aligned_empty

#: Tokens in one block of `Inference.loss`: all its logits stand in the workspace at one time, where
#: `Inference.accuracy` finds them.
BLOCK = HEAD_ROWS

#: Tokens read or drawn in one call of the kernels: some 50 ms, then Ctrl-C is heard.
SLICE = 1024


class Inference(NamedTuple):
    """A language model's parameters and sizes."""

    cell: Cell
    parameters: Parameters
    layers: int
    hidden: int
    vocabulary: int

    def without(self, token: int) -> Inference:
        """The same model, whose samples never have one of the tokens."""
        held = self.parameters
        parameters = Parameters(held.specs, held.flat.dtype, held.flat.copy())
        parameters.views["bias_out"][token] = -np.inf
        return self._replace(parameters=parameters)

    def _plan(self, time: int, threads: int = 1) -> ModelPlan:
        return plan_model(
            self.cell, self.parameters.flat.dtype, time, 1, self.vocabulary, self.hidden,
            self.layers, keep=False, embedding=embedding_size(self.parameters), threads=threads,
        )  # fmt: skip

    def _drivers(self) -> Any:
        from fastrnn.kernels.bound import model_drivers

        return model_drivers(self.cell, OPTIMIZERS["sgd"])

    def loss(self, tokens: Tokens) -> float:
        """Mean of -log P(token | all tokens before it) in nats, from states of zero."""
        return self._read(tokens)

    def accuracy(self, tokens: Tokens) -> float:
        """The part of the tokens that are the likeliest ones after all tokens before them."""
        hits = 0

        def count(d_logits: Array, targets: Tokens) -> None:
            nonlocal hits
            # They are (softmax - one-hot) / rows; between equals rounding decides.
            d_logits[np.arange(targets.size), targets] += 1 / targets.size
            hits += int((d_logits.argmax(axis=1) == targets).sum())

        self._read(tokens, count)
        return hits / (tokens.size - 1)

    def _read(self, tokens: Tokens, seen: Callable[[Array, Tokens], None] | None = None) -> float:
        """The loss; `seen` is given the gradient by each block's logits (T, V), and its targets."""
        flat, offsets = self.parameters.flat, model_offsets(self.parameters, self.layers)
        predicted = tokens.size - 1
        total, start = np.zeros(1), 0
        carried: list[Array] = []
        for time in (BLOCK, predicted % BLOCK):
            end = start + (predicted - start) // max(1, time) * time
            if end == start:
                continue
            plan = self._plan(time, get_threads())
            h, memory = plan.states(flat.dtype)
            slots = h.reshape(self.layers, time + 1, self.hidden)
            if carried:
                slots[:, 0], memory[...] = carried
            work = aligned_empty(plan.work, flat.dtype)
            x = np.empty(time * plan.model.embedding, flat.dtype)
            block, targets = np.empty(time, np.int64), np.empty(time, np.int64)
            sums = np.empty(time)
            while start < end:
                count = 1 if seen else min((end - start) // time, max(1, SLICE // time))
                args = (
                    total, flat, h, memory, work, x, block, targets, sums, offsets,
                    tokens, tokens.size, start, count,
                )  # fmt: skip
                run_team(self._drivers().evaluate, plan.threads, plan.model, args)
                start += count * time
                if seen:
                    left = work[plan.model.logits :][: time * self.vocabulary]
                    seen(left.reshape(time, self.vocabulary), targets)
            carried = [slots[:, 0].copy(), memory]
        return float(total[0]) / predicted

    def draw(
        self, given: Tokens, uniforms: Array, temperature: float, state: Array | None = None
    ) -> Tokens:
        """Read `given`, then draw a token for each of the uniform numbers.

        It begins from the `state` h (L, 1, H), or from zeros.

        Raises
        ------
        ValueError
            If the logits are not numbers: token 0 would be drawn for ever.
        """
        flat, offsets = self.parameters.flat, model_offsets(self.parameters, self.layers)
        out = np.empty(uniforms.size, np.int64)
        plan = self._plan(1)
        h, memory = plan.states(flat.dtype)
        if state is not None:
            h.reshape(self.layers, 2, 1, self.hidden)[:, 0] = state
        work = aligned_empty((self.layers + 1) * plan.work, flat.dtype)
        start = self.layers * plan.work + plan.model.logits
        logits, token = work[start : start + self.vocabulary], np.empty(1, np.int64)
        x = np.empty(plan.model.embedding, flat.dtype)
        generate, fresh = self._drivers().generate, True

        def run(tokens: Tokens, drawn: slice) -> None:
            nonlocal fresh
            generate(
                out[drawn], flat, h, memory, work, plan.work, x, token, tokens, uniforms[drawn],
                offsets, temperature, fresh, plan.model,
            )  # fmt: skip
            fresh = False

        # A call that draws nothing leaves its last token unread: the next one begins with it.
        reads = [given[i : i + SLICE + 1] for i in range(0, max(1, given.size - 1), SLICE)]
        for part in reads[:-1]:
            run(part, slice(0, 0))
        last = reads[-1]
        for start in range(0, out.size, SLICE):
            run(last, slice(start, start + SLICE))
            self._check_drawn_from(logits)
            last = out[start : start + SLICE][-1:]
        return out

    def _check_drawn_from(self, logits: Array) -> None:
        # -inf is a token that never comes, as long as there are others.
        if not np.isnan(logits).any() and not np.isneginf(logits).all():
            return
        wrong = np.flatnonzero(np.isnan(self.parameters.flat))
        cause = "they overflow"
        if wrong.size:
            cause = f"{self.parameters.places.owner(int(wrong[0]))} has nan"
        raise ValueError(f"the logits must be finite to sample from them: {cause}")
