"""What the two language models share: the text, the training, and a table to be better than."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastrnn.cli.corpus import pydoc_corpus
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.cli.train import read_text
from fastrnn.data import Tokens, parallel_streams
from fastrnn.figures import VALIDATION, draw_curve, draw_history, dress
from fastrnn.models import LanguageModel
from fastrnn.training import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The part of a user's text, at its end, that is held out.
HELD_OUT = 0.1
#: Tokens of the held-out text that a sample goes on from.
PRIME = 12
#: Validations on the way.
VALIDATIONS = 16
#: Tokens of all the text that a token's own pairs are mixed with.
WEIGHT = 20.0


@dataclass(kw_only=True)
class Writer(Example):
    """A language model that is to beat a table of pairs on text that was held out."""

    #: What the text is cut into and what reads it, for people; arguments of `LanguageModel.fit`.
    unit: ClassVar[str]
    network: ClassVar[str]
    fit_options: ClassVar[dict[str, Any]]
    #: Tokens of a sample.
    sample_size: ClassVar[int]
    #: The loss to be reached is the table's, times this.
    share: ClassVar[float]

    text: Path | None = option(
        None, "A text in UTF-8; without it, the prose of Python's help topics (pydoc)."
    )
    steps: int = option(0, "Training steps.", least=1)
    #: Steps, and the part of the held-out tokens that the model held likeliest then.
    accuracies: list[tuple[int, float]] = field(default_factory=list, init=False, repr=False)

    def build(self, training: str, held_out: str) -> LanguageModel:
        """A model with the vocabulary of these texts."""
        raise NotImplementedError

    def prepare(self) -> Facts:
        """A text, most of it to train on, and what a table of pairs makes of the rest."""
        if self.text is None:
            source, (training, held_out, _) = "Python's help topics (pydoc)", pydoc_corpus()
        else:
            source, whole = str(self.text), read_text([self.text])
            cut = round((1 - HELD_OUT) * len(whole))
            training, held_out = whole[:cut], whole[cut:]
        self.model = self.build(training, held_out)
        self.tokens, self.validation = map(self.model.encode, (training, held_out))
        batch, time = (self.fit_options[name] for name in ("batch_size", "sequence_length"))
        parallel_streams(self.tokens, batch, time)  # raises if the text is too short
        table = pair_loss(self.tokens, self.validation, self.model.vocabulary_size)
        self.limit = self.share * table
        return [
            ("text", f"{source}: {self.tokens.size:,} {self.unit}s to train on, "
             f"{self.validation.size:,} held out, {self.model.vocabulary_size:,} different"),
            ("network", f"{self.network}; {batch} streams x {time} {self.unit}s a step, "
             f"{self.fit_options['optimizer']}"),
            ("table", f"a table of pairs of {self.unit}s has a loss of {table:.3f} on what is held "
             f"out; to be reached: {self.share:g} of it, {self.limit:.3f}"),
        ]  # fmt: skip

    def train(self) -> None:
        """Train, and validate on the way."""

        def show(now: Progress) -> None:
            self.look(now.step)
            figures = {"loss": now.loss}
            if now.validation is not None:
                figures |= {"validation": now.validation, "accuracy": self.accuracies[-1][1]}
            self.note(now.step, now.total, **figures)

        self.model.fit(
            self.tokens,
            steps=self.steps,
            validation=self.validation,
            validate_every=-(-self.steps // VALIDATIONS),
            progress=show,
            **self.fit_options,
        )
        self.look(self.steps)

    def look(self, step: int) -> None:
        """Look how many of the held-out tokens are right, if there was a validation since."""
        if len(self.model.history_.validation) > len(self.accuracies):
            self.accuracies.append((step, self.model.accuracy(self.validation)))

    def judge(self) -> list[End]:
        """The loss on what was held out."""
        loss = self.model.loss(self.validation)
        return [
            End(f"loss on held-out text, nats per {self.unit}", loss, most=self.limit),
            End("perplexity", float(np.exp(loss)), form=".1f"),
            End(f"accuracy of the next {self.unit}", self.accuracies[-1][1]),
        ]

    def draw(self, figure: Figure) -> None:
        """Losses, validations and what is to be reached at the left, accuracies at the right."""
        source = self.text or "Python's help topics"
        figure.suptitle(f"A language model of {self.unit}s on {source}", x=0.01, ha="left")
        losses, accuracies = figure.subplots(1, 2)
        draw_history(
            losses,
            self.model.history_,
            title="Loss",
            limit=self.limit,
            unit=f"nats per {self.unit}",
        )
        if self.accuracies:
            steps, found = np.array(self.accuracies).T
            draw_curve(accuracies, steps, found, VALIDATION, "validation", ".3f")
            accuracies.legend(frameon=False, loc="lower right")
        dress(accuracies, f"Accuracy of the next {self.unit}", "training step",
              f"part of the {self.unit}s")  # fmt: skip
        accuracies.set(xlim=(0, None), ylim=(0, None))

    def samples(self) -> list[tuple[str, str]]:
        """How the held-out text might go on."""
        assert self.model.vocabulary is not None
        prime = self.validation[:PRIME]
        drawn = self.model.sample(self.sample_size, prime, temperature=0.7, seed=self.seed)
        return [(f"a sample, after {self.model.vocabulary.decode(prime)!r}:", str(drawn))]


def pair_loss(training: Tokens, held_out: Tokens, size: int) -> float:
    """Mean -log P(token | the one before), in nats, by counts of pairs.

    The counts of what follows a token are smoothed by `WEIGHT` tokens drawn from all the text, and
    those of all tokens by one of each: D. MacKay, L. Peto, "A hierarchical Dirichlet language
    model", Natural Language Engineering 1 (1995).
    """
    single = (np.bincount(training, minlength=size) + 1) / (training.size + size)
    before = np.bincount(training[:-1], minlength=size)
    keys, counts = np.unique(training[:-1] * size + training[1:], return_counts=True)
    pairs = held_out[:-1] * size + held_out[1:]
    place = np.minimum(np.searchsorted(keys, pairs), keys.size - 1)
    seen = np.where(keys[place] == pairs, counts[place], 0)
    prior = WEIGHT * single[held_out[1:]]
    return float(-np.log((seen + prior) / (before[held_out[:-1]] + WEIGHT)).mean())
