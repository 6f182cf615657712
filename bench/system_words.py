"""S1: the word language model, sentences of 200 words, errors going back 4 of them, float64.

    python bench/systems_word_model.py

Embeddings and hidden state of 100, vocabulary 80, as published. One epoch is a pass forward, the
truncated backpropagation and a step of descent: `train` without its prints.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from typing import Any

import numpy as np

WORDS, D, H, V, REACH = 200, 100, 100, 80, 4
RATE = 1e-3


def sentence(seed: int = 0) -> Any:
    """Embeddings, targets and weights."""
    generator = np.random.default_rng(seed)
    weights = [generator.uniform(-0.1, 0.1, shape) for shape in ((H, D), (H, H), (V, H))]
    table = generator.standard_normal((V, D, 1))
    words = generator.integers(0, V, WORDS + 1)
    return [table[w] for w in words[:-1]], list(np.eye(V)[words[1:]]), weights


def run(module: Any, epochs: int) -> tuple[float, float, list[float]]:
    """Seconds of an epoch of `train`, those of one pass by single calls, and the losses."""
    embeddings, targets, weights = sentence()
    zeros = [np.zeros_like(w) for w in weights]
    state = np.zeros((H, 1))
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        losses = module.train(
            WORDS, embeddings, targets, targets, *weights, *zeros, state, RATE, epochs, 2, REACH
        )
    trained = (time.perf_counter() - start) / epochs
    u, w, v = weights
    start = time.perf_counter()
    for _ in range(epochs):
        _, memory = module.full_forward_prop(WORDS, embeddings, u, w, state, v)
        module.rnn_backprop(embeddings, memory, targets, zeros[0], zeros[2], zeros[1], REACH,
                            u, v, w)  # fmt: skip
    return trained, (time.perf_counter() - start) / epochs, losses


def naive(epochs: int = 6) -> Any:
    """As `run`, of the naive program."""
    from fastrnn.reference import word_model

    return run(word_model, epochs)


def fast(epochs: int = 200) -> Any:
    """As `run`, of the drop-in."""
    from fastrnn.compat import word_model

    return run(word_model, epochs)


def main() -> None:
    fast()
    trains, calls = [], []
    for _ in range(7):
        slow, quick = naive(), fast()
        assert np.abs(np.array(slow[2]) - quick[2][: len(slow[2])]).max() < 1e-12
        trains.append(slow[0] / quick[0])
        calls.append(slow[1] / quick[1])
    print(f"train: naive {1e3 * slow[0]:.1f} ms an epoch, fastrnn {1e3 * quick[0]:.2f} ms, "
          f"ratio {statistics.median(trains):.1f} (least {min(trains):.1f})")  # fmt: skip
    print(f"forward and back: naive {1e3 * slow[1]:.1f} ms, fastrnn {1e3 * quick[1]:.2f} ms, "
          f"ratio {statistics.median(calls):.1f} (least {min(calls):.1f})")  # fmt: skip


if __name__ == "__main__":
    main()
