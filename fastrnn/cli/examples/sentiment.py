"""Phrases that say something good or bad: a many-to-one network reads them word by word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastrnn import data
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.compat.sentiment import RNN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Epochs between two points of the curves.
EVERY = 10


@dataclass(kw_only=True)
class Sentiment(Example):
    """S8's network, and its training loop in one call."""

    summary = "58 phrases, good or bad, read word by word"
    end_point = "all of the 58 phrases and of the 20 of the test right"
    takes = "about 2 s"

    epochs: int = option(1000, "Passes over the phrases.", least=1)
    dtype: str = option("float64", "float32 or float64.")

    def prepare(self) -> Facts:
        """The published phrases, as indices of words."""
        texts = data.sentiment_phrases()
        words = data.WordVocabulary.of(text for part in texts for text in part.texts)
        self.parts = [([words.encode(text) for text in part.texts], part.labels) for part in texts]
        np.random.seed(self.seed)
        self.rnn = RNN(len(words), 2, dtype=self.dtype)
        return [
            ("data", f"{len(texts[0].texts)} phrases and {len(texts[1].texts)} to test on"),
            ("network", f"{len(words)} words, 64 tanh units, 2 classes; a step for each phrase"),
        ]

    def train(self) -> None:
        """Train, and look at both parts every few epochs."""
        order = np.random.default_rng(self.seed)
        for done in range(0, self.epochs, EVERY):
            some = min(EVERY, self.epochs - done)
            self.rnn.train(*self.parts[0], some, seed=order)
            train, test = (self.rnn.evaluate(*part) for part in self.parts)
            self.note_learning(done + some, self.epochs, train, test)

    def judge(self) -> list[End]:
        """Where both parts ended."""
        last = self.rows[-1]
        return [
            End("train accuracy", last["accuracy"], least=1),
            End("test accuracy", last["validation_accuracy"], least=1),
            End("train loss (published: 0.002)", last["loss"], form=".4f"),
            End("test loss (published: 0.003)", last["validation_loss"], form=".4f"),
        ]

    def draw(self, figure: Figure) -> None:
        """Loss and accuracy, train beside test."""
        self.draw_learning(
            figure,
            ("Sentiment of phrases: loss", "Accuracy"),
            ("cross-entropy (nats)", "part of the phrases"),
            ("58 phrases to train on", "20 to test on"),
            logarithmic=True,
        )
