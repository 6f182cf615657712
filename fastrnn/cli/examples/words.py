"""A word language model: a learned embedding, two layers of GRU, RMSprop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastrnn.cli.examples.example import option
from fastrnn.cli.examples.text import Writer
from fastrnn.data import WordVocabulary
from fastrnn.models import LanguageModel


@dataclass(kw_only=True)
class Words(Writer):
    """S10's model of words."""

    summary = "A word language model (embedding, two layers of GRU), on English or your text"
    share: ClassVar[float] = 0.9
    end_point = f"loss on held-out text: {share} of a table's of pairs of words"
    takes = "about 20 s"
    sample_size = 60
    unit, network = "word", "embedding of 64 numbers, two layers of 128 GRU units"
    fit_options: ClassVar[dict[str, Any]] = {
        "sequence_length": 30,
        "batch_size": 16,
        "optimizer": "rmsprop",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "clip_norm": 1.0,
    }

    steps: int = option(1500, "Training steps.", least=1)

    def build(self, training: str, held_out: str) -> LanguageModel:
        """The words that occur more than once; the others are ``<unk>``."""
        vocabulary = WordVocabulary.of(training, min_count=2, unknown="<unk>")
        return LanguageModel(
            128, 2, cell="gru", vocabulary=vocabulary, embedding=64, dtype=self.dtype,
            seed=self.seed,
        )  # fmt: skip
