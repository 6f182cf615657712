"""Reviews as long as IMDB's, good or bad: an LSTM reads up to 500 words of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fastrnn
from fastrnn.checks import Array
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.cli.examples.readout import Classifier, score
from fastrnn.data import load_imdb, pad_sequences, sequence_lengths, synthetic_imdb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS, LENGTH, SEQUENCES, HIDDEN = 10_000, 500, 25_000, 32
BATCH, RATE = 32, 3e-3
#: Reviews that are read at one time where nothing is learnt; those of a point of the curves.
TOGETHER, SOME = 256, 1000
#: Points of the curves in an epoch.
POINTS = 8
#: Accuracies to be reached: on the synthetic corpus, 0.937 was seen; on the real one, a guess.
LIMIT, REAL_LIMIT = 0.92, 0.8


class Reviews(NamedTuple):
    """Words (N, T), steps (N,) and labels (N,)."""

    words: Array
    lengths: Array
    labels: Array

    def some(self, rows: Any) -> Reviews:
        """The reviews of `rows`, without steps that none of them has."""
        most = int(self.lengths[rows].max())
        return Reviews(self.words[rows, :most], self.lengths[rows], self.labels[rows])


@dataclass(kw_only=True)
class Imdb(Example):
    """S4's task at its full size, on an LSTM whose one-hot inputs are never built."""

    summary = f"{SEQUENCES:,} reviews of up to {LENGTH} words, good or bad: IMDB's or synthetic"
    end_point = f"test accuracy of at least {LIMIT}; with IMDB's own reviews {REAL_LIMIT}"
    takes = "about 1 min"

    data: Path | None = option(
        None, "The standard imdb.npz; without it, synthetic reviews of its lengths and words."
    )
    sequences: int = option(SEQUENCES, "Reviews to train on, and to test on, at most.", least=2)
    epochs: int = option(2, "Passes over them.", least=1)

    def prepare(self) -> Facts:
        """Reviews as indices of words, their last 500, filled up behind."""
        if self.data is None:
            source = "SYNTHETIC, like IMDB's in lengths and words' frequencies; --data reads IMDB's"
            count = min(self.sequences, SEQUENCES)
            train, test = synthetic_imdb(count, count, WORDS, seed=self.seed)
        else:
            source = str(self.data)
            train, test = load_imdb(self.data, num_words=WORDS)
        self.training, self.test = (
            Reviews(
                pad_sequences(x[: self.sequences], LENGTH, padding="post"),
                np.minimum(sequence_lengths(x[: self.sequences]), LENGTH),
                y[: self.sequences],
            )
            for x, y in (train, test)
        )
        layer = fastrnn.LSTM(WORDS, HIDDEN, batch_first=True, dtype=self.dtype, seed=self.seed)
        layer.params["bias_ih_l0"][HIDDEN : 2 * HIDDEN] = 1  # forget gates begin open
        self.model = Classifier(layer, 2, rate=RATE, clip_norm=1.0, seed=self.seed)
        counts = f"{len(self.training.labels):,} to train on, {len(self.test.labels):,} to test"
        return [
            ("reviews", source),
            ("", f"{counts}; up to {LENGTH} words each, vocabulary {WORDS:,}"),
            ("network", f"LSTM of {HIDDEN} units on one-hot words; Adam, batches of {BATCH}"),
        ]

    def train(self) -> None:
        """Train by batches, and look at some of the reviews now and then."""
        order, count = np.random.default_rng(self.seed), len(self.training.labels)
        per_epoch = -(-count // BATCH)
        total = self.epochs * per_epoch
        every = -(-per_epoch // POINTS)
        for step in range(total):
            if step % per_epoch == 0:
                rows = order.permutation(count)
            self.model.adam.lr = RATE * (1 - step / total)
            first = step % per_epoch * BATCH
            x, lengths, labels = self.training.some(rows[first : first + BATCH])
            self.model.learn(fastrnn.OneHot(x), labels, lengths)
            if (step + 1) % every == 0 or step + 1 == total:
                some = slice(SOME)
                self.note_learning(
                    step + 1, total, self._score(self.training, some), self._score(self.test, some)
                )

    def _score(self, reviews: Reviews, which: slice) -> tuple[float, float]:
        """Loss and accuracy, a few reviews at a time."""
        stop = len(reviews.labels[which])
        logits = []
        for first in range(0, stop, TOGETHER):
            x, lengths, _ = reviews.some(slice(first, min(first + TOGETHER, stop)))
            logits.append(self.model.logits(fastrnn.OneHot(x), lengths))
        return score(np.concatenate(logits), reviews.labels[which])

    def judge(self) -> list[End]:
        """Read all of the test."""
        loss, accuracy = self._score(self.test, slice(None))
        limit = LIMIT if self.data is None else REAL_LIMIT
        return [
            End(f"test accuracy, {len(self.test.labels):,} reviews", accuracy, least=limit),
            End("test loss", loss),
        ]

    def draw(self, figure: Figure) -> None:
        """Loss and accuracy, training beside some of the test."""
        corpus = "synthetic" if self.data is None else "IMDB's"
        self.draw_learning(
            figure,
            (f"Reviews, {corpus}: loss", "Accuracy"),
            ("cross-entropy (nats)", "part of the reviews"),
            (f"{SOME:,} reviews trained on", f"{SOME:,} of the test"),
            xlabel=f"batches of {BATCH} reviews",
        )
