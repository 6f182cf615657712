"""S8: the many-to-one sentiment network over its 58 phrases.

    python bench/system_sentiment.py

trains ten seeds for all of the 1,000 epochs and prints where they end. The naive program is the
published one, mended: its loop makes the one-hot columns of a phrase whenever it reads it. `train`
of the drop-in is that loop compiled; the other row is the published script with one import changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn import data
from fastrnn.compat import sentiment as compat
from fastrnn.reference import sentiment as naive

EPOCHS = 1000
#: Of which the script's own loop is timed: it takes as long in every one.
TIMED = 100
#: Of which the losses are compared, rounding grows; and what they may differ by, in eps.
COMPARED = 10
AGREEMENT = 1e4


def read() -> tuple[list[str], dict[str, tuple[list[list[int]], list[int]]]]:
    """The words, and the phrases as indices with their labels, by part."""
    parts = dict(zip(("train", "test"), data.sentiment_phrases(), strict=True))
    words = sorted(
        {word for part in parts.values() for text in part.texts for word in text.split()}
    )
    index = {word: i for i, word in enumerate(words)}
    return words, {
        name: ([[index[word] for word in text.split()] for text in part.texts], list(part.labels))
        for name, part in parts.items()
    }


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


def softmax(xs: Any) -> Any:
    """As published."""
    return np.exp(xs) / sum(np.exp(xs))


def script(rnn: Any, columns: Columns, labels: list[int], epochs: int) -> list[float]:
    """The published script's own loop, which is the user's code; mean losses of the epochs."""
    generator = np.random.default_rng(0)
    losses = []
    for _ in range(epochs):
        loss = 0.0
        for i in generator.permutation(len(columns)):
            target = labels[i]
            out, _ = rnn.forward(columns[i])
            probs = softmax(out)
            loss -= float(np.log(probs[target, 0]))
            d_L_d_y = probs
            d_L_d_y[target] -= 1
            rnn.backprop(d_L_d_y)
        losses.append(loss / len(columns))
    return losses


def rows(dtype: str) -> list[Row]:
    """Epochs of training, each from the same weights: by `train`, and in the script's loop."""
    words, parts = read()
    phrases, labels = parts["train"]
    columns = Columns(phrases, len(words))

    def fresh(module: Any) -> Any:
        np.random.seed(0)
        return module.RNN(len(words), 2)

    def train(module: Any, epochs: int) -> Any:
        given = columns if module is naive else phrases
        return fresh(module).train(given, labels, epochs, seed=0)[0]

    def run_script(module: Any, epochs: int) -> Any:
        return script(fresh(module), columns, labels, epochs)

    def row(name: str, run: Callable[[Any, int], Any], epochs: int) -> Row:
        def difference() -> float:
            return difference_in_eps(run(compat, COMPARED), run(naive, COMPARED), dtype)

        slow, fast = (partial(run, module, epochs) for module in (naive, compat))
        return Row(name, sizes, slow, fast, difference, AGREEMENT, steps=epochs, goal=30)

    sizes = f"{len(phrases)} phrases, H=64, V={len(words)}"
    if dtype != "float64":  # as published
        return []
    return [
        row("epoch of train", train, EPOCHS),
        row("epoch, the script's loop", run_script, TIMED),
    ]


def ends() -> list[End]:
    """Losses and accuracies after all epochs."""
    words, parts = read()

    def reached(module: Any) -> str:
        np.random.seed(0)
        rnn = module.RNN(len(words), 2)
        given = parts
        if module is naive:
            given = {name: (Columns(x, len(words)), y) for name, (x, y) in parts.items()}
        rnn.train(*given["train"], EPOCHS, seed=0)
        found = {name: rnn.evaluate(*part) for name, part in given.items()}
        return "; ".join(f"{name} {loss:.3f}, {right:.3f}" for name, (loss, right) in found.items())

    return [End("1,000 epochs, loss and accuracy", reached, naive, compat)]


def main() -> None:
    """Print where ten seeds end."""
    words, parts = read()
    right = 0
    for seed in range(10):
        np.random.seed(seed)
        rnn = compat.RNN(len(words), 2)
        rnn.train(*parts["train"], EPOCHS, seed=seed)
        ends = {name: rnn.evaluate(*part) for name, part in parts.items()}
        right += all(accuracy == 1 for _, accuracy in ends.values())
        print(f"seed {seed}: (loss, accuracy) {ends}", flush=True)
    print(f"both accuracies 1.000 on {right} of 10 seeds")


if __name__ == "__main__":
    main()
