"""The character language model of min-char-rnn: its sizes and its Adagrad, on eight streams.

With one stream, as published, two of ten seeds ended far from the others: Adagrad's first steps
are large. Eight streams and a rate that rises at first end within 0.02 nats of each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastrnn.cli.examples.example import option
from fastrnn.cli.examples.text import Writer
from fastrnn.data import Vocabulary
from fastrnn.models import LanguageModel


@dataclass(kw_only=True)
class Chars(Writer):
    """S3's model on characters."""

    summary = "The character language model of min-char-rnn, on English or your text"
    share: ClassVar[float] = 0.7
    end_point = f"loss on held-out text: {share} of a table's of pairs of characters"
    takes = "about 10 s"
    sample_size = 240
    unit, network = "character", "100 tanh units"
    fit_options: ClassVar[dict[str, Any]] = {
        "sequence_length": 25,
        "batch_size": 8,
        "optimizer": "adagrad",
        "learning_rate": 0.1,
        "warmup_steps": 500,
        "clip_norm": None,
        "clip_value": 5.0,
    }

    steps: int = option(15_000, "Training steps.", least=1)

    def build(self, training: str, held_out: str) -> LanguageModel:
        """The characters of both texts, so that none is unknown."""
        vocabulary = Vocabulary.of(training + held_out)
        return LanguageModel(100, vocabulary=vocabulary, dtype=self.dtype, seed=self.seed)
