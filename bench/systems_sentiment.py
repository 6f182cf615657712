"""S8: the many-to-one sentiment network, 1,000 epochs over the 58 phrases, float64.

    python bench/systems_sentiment.py FILE

The naive program is the published one, mended: its loop makes the one-hot columns of a phrase
whenever it reads it.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

EPOCHS = 1000
#: The naive loop takes as long in every epoch: this many stand for all.
NAIVE_EPOCHS = 50


def read(path: Path) -> tuple[list[str], dict[str, tuple[list[list[int]], list[int]]]]:
    """The words, and the phrases as indices with their labels, by part."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    words = sorted({word for _, _, text in rows for word in text.split(" ")})
    index = {word: i for i, word in enumerate(words)}
    parts: dict[str, Any] = {"train": ([], []), "test": ([], [])}
    for part, label, text in rows:
        parts[part][0].append([index[word] for word in text.split(" ")])
        parts[part][1].append(int(label))
    return words, parts


class Columns(list[Any]):
    """Phrases whose columns are made when they are asked for, as the published loop does."""

    def __init__(self, phrases: list[list[int]], words: int) -> None:
        super().__init__(phrases)
        self.words = words

    def __getitem__(self, i: Any) -> Any:
        inputs = []
        for token in super().__getitem__(i):
            v = np.zeros((self.words, 1))
            v[token] = 1
            inputs.append(v)
        return inputs


def naive(path: Path, seed: int = 0) -> tuple[float, float]:
    """Seconds of all epochs, extrapolated, and the loss of the last one that was run."""
    from fastrnn.reference.sentiment import RNN

    words, parts = read(path)
    np.random.seed(seed)
    rnn = RNN(len(words), 2)
    phrases = Columns(parts["train"][0], len(words))
    start = time.perf_counter()
    losses, _ = rnn.train(phrases, parts["train"][1], NAIVE_EPOCHS, seed=seed)
    return (time.perf_counter() - start) * EPOCHS / NAIVE_EPOCHS, float(losses[-1])


def fast(path: Path, seed: int = 0) -> tuple[float, Any, Any, float]:
    """Seconds, (loss, accuracy) on both parts, and the loss after as many epochs as the naive."""
    from fastrnn.compat.sentiment import RNN

    words, parts = read(path)
    np.random.seed(seed)
    rnn = RNN(len(words), 2)
    start = time.perf_counter()
    losses, _ = rnn.train(*parts["train"], EPOCHS, seed=seed)
    seconds = time.perf_counter() - start
    ends = [rnn.evaluate(*parts[part]) for part in ("train", "test")]
    return seconds, *ends, float(losses[NAIVE_EPOCHS - 1])


def main() -> None:
    path = Path(sys.argv[1])
    fast(path)
    ratios, right = [], 0
    for seed in range(10):
        of_naive, loss = naive(path, seed)
        of_fast, train, test, same = fast(path, seed)
        assert abs(loss - same) < 1e-9, (loss, same)
        ratios.append(of_naive / of_fast)
        right += train[1] == test[1] == 1
        print(
            f"seed {seed}: naive {of_naive:.2f} s, fastrnn {of_fast:.3f} s, train {train}, {test}"
        )
    print(f"median ratio {statistics.median(ratios):.1f}, least {min(ratios):.1f}")
    print(f"both accuracies 1.000 on {right} of 10 seeds")


if __name__ == "__main__":
    main()
