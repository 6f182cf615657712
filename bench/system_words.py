"""S1: the word language model, sentences of 200 words, errors going back 4 of them.

Embeddings and hidden state of 100, vocabulary 80, as published.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn.compat import word_model
from fastrnn.reference import word_model as naive

WORDS, D, H, V, REACH = 200, 100, 100, 80, 4
RATE = 1e-3
#: Epochs in one call of `train`, and between two losses that it prints, as published.
EPOCHS, EVERY = 20, 2
#: Differences in eps that are rounding: of the gradients, and of what `train` makes of them.
AGREEMENT, TRAINED_AGREEMENT = 200, 1000
GOAL = 30

SIZES = f"T={WORDS} D={D} H={H} V={V} reach={REACH}"
#: Of an epoch: the words forward, each one's error back over `REACH` states, and the gradients.
FLOPS = 2 * WORDS * ((H * D + H * H + V * H) + (V * H + REACH * H * H) + (V * H + H * H + H * D))


def rows(dtype: str) -> list[Row]:
    """The script's `train`, and its pass forward and back by single calls."""
    modules = (naive, word_model)
    return [
        _row("train", dtype, [_train(module, dtype) for module in modules], TRAINED_AGREEMENT,
             steps=EPOCHS),
        _row("forward and rnn_backprop", dtype, [_pass(module, dtype) for module in modules],
             AGREEMENT),
    ]  # fmt: skip


def ends() -> list[End]:
    """The last loss of a training as long as published."""

    def reached(module: Any) -> str:
        losses, _ = _train(module, "float64", epochs=100)()
        return f"{losses[-1]:.4f} bits"

    return [End("train, 100 epochs", reached, naive, word_model)]


def _row(name: str, dtype: str, calls: list[Any], agreement: float, **options: Any) -> Row:
    slow, fast = calls

    def difference() -> float:
        return difference_in_eps(fast(), slow(), dtype)

    return Row(name, SIZES, slow, fast, difference, agreement, FLOPS, goal=GOAL, **options)


def _problem(dtype: str) -> tuple[list[Any], list[Any], list[Any], list[Any], Any]:
    """Embeddings, targets, weights, room for their gradients, the first state."""
    generator = np.random.default_rng(0)
    weights = [
        generator.uniform(-0.1, 0.1, shape).astype(dtype) for shape in ((H, D), (H, H), (V, H))
    ]
    table = generator.standard_normal((V, D, 1)).astype(dtype)
    words = generator.integers(0, V, WORDS + 1)
    zeros = [np.zeros_like(w) for w in weights]
    targets = list(np.eye(V, dtype=dtype)[words[1:]])
    return [table[w] for w in words[:-1]], targets, weights, zeros, np.zeros((H, 1), dtype)


def _train(module: Any, dtype: str, epochs: int = EPOCHS) -> Callable[[], Any]:
    """It returns the losses and the weights, those that it began with having been kept."""
    embeddings, targets, first, zeros, state = _problem(dtype)

    def train() -> Any:
        weights = [w.copy() for w in first]
        with contextlib.redirect_stdout(io.StringIO()):
            losses = module.train(
                WORDS, embeddings, targets, targets, *weights, *zeros, state, RATE, epochs, EVERY,
                REACH,
            )  # fmt: skip
        return losses, weights

    return train


def _pass(module: Any, dtype: str) -> Callable[[], Any]:
    embeddings, targets, (u, w, v), (du, dw, dv), state = _problem(dtype)

    def forward_and_back() -> Any:
        outputs, memory = module.full_forward_prop(WORDS, embeddings, u, w, state, v)
        gradients = module.rnn_backprop(embeddings, memory, targets, du, dv, dw, REACH, u, v, w)
        return outputs, gradients

    return forward_and_back
