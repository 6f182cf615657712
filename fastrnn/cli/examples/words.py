"""A word language model: words are tokens, rare ones share one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastrnn.cli.examples.example import option
from fastrnn.cli.examples.text import Writer
from fastrnn.data import Tokens, WordVocabulary
from fastrnn.models import LanguageModel

UNKNOWN = "<unk>"


@dataclass(kw_only=True)
class Words(Writer):
    """S1's task."""

    summary = "A word language model, on English or your text"
    share: ClassVar[float] = 0.95
    end_point = f"loss on held-out text: {share} of a table's of pairs of words"
    takes = "about 20 s"
    unit = "word"
    fit_options: ClassVar[dict[str, Any]] = {
        "sequence_length": 30,
        "batch_size": 16,
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "clip_norm": 1.0,
    }

    steps: int = option(2000, "Training steps.", least=1)

    def build(self, training: str, held_out: str) -> tuple[LanguageModel, Tokens, Tokens]:
        """A vocabulary of the words that occur more than once."""
        self.words = WordVocabulary.of(training, min_count=2, unknown=UNKNOWN)
        model = LanguageModel(128, vocabulary=len(self.words), dtype=self.dtype, seed=self.seed)
        return model, self.words.encode(training), self.words.encode(held_out)

    def text_of(self, tokens: Tokens) -> str:
        """Its words, with spaces between."""
        return self.words.decode(tokens)
