"""A model and its naive twin: that they do the same, and how long each takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from fastrnn import reference
from fastrnn.cli.errors import GoalMissedError
from fastrnn.data import Tokens, Vocabulary
from fastrnn.models import LanguageModel

#: Largest relative difference of a loss from the naive twin's, after some steps in float32.
TOLERANCE = 1e-4

#: Rounds in which the twin and the model take turns, and seconds of each turn.
ROUNDS, TURN_SECONDS = 5, 0.2
MOST_STEPS = 2000


@dataclass(frozen=True)
class Setting:
    """Sizes of the model and of its training; it is Adam's, in float32."""

    hidden: int = 192
    steps: int = 5000
    seed: int = 0
    sequence_length: int = 50
    batch_size: int = 16
    learning_rate: float = 4e-3
    clip_norm: float = 5.0
    check_steps: int = 10

    @property
    def characters_per_step(self) -> int:
        """Characters that one step predicts."""
        return self.sequence_length * self.batch_size

    def model(self, characters: str) -> LanguageModel:
        """A model that has learnt nothing."""
        return LanguageModel(self.hidden, vocabulary=Vocabulary(characters), seed=self.seed)

    def fit_options(self) -> dict[str, Any]:
        """What `fastrnn.LanguageModel.fit` needs for a step like the twin's."""
        return {
            "sequence_length": self.sequence_length,
            "batch_size": self.batch_size,
            "optimizer": "adam",
            "learning_rate": self.learning_rate,
            "clip_norm": self.clip_norm,
        }


class NaiveTwin:
    """The model of `fastrnn.reference`: its own weights from the same seed, and the same blocks."""

    def __init__(self, setting: Setting, vocabulary: int, tokens: Tokens) -> None:
        self.setting, hidden = setting, setting.hidden
        shapes = {
            "weight_ih_l0": (hidden, vocabulary),
            "weight_hh_l0": (hidden, hidden),
            "bias_ih_l0": (hidden,),
            "bias_hh_l0": (hidden,),
            "weight_out": (vocabulary, hidden),
            "bias_out": (vocabulary,),
        }
        generator, limit = np.random.default_rng(setting.seed), 1 / math.sqrt(hidden)
        self.params = {
            name: generator.uniform(-limit, limit, shape).astype(np.float32)
            for name, shape in shapes.items()
        }
        self.optimizer = reference.Adam(setting.learning_rate)
        self.h = np.zeros((1, setting.batch_size, hidden), np.float32)
        length = (tokens.size - 1) // setting.batch_size
        starts = length * np.arange(setting.batch_size)
        self.streams = tokens[starts + np.arange(length + 1)[:, np.newaxis]]
        self.position = 0

    def step(self) -> float:
        """Train one step and return its loss."""
        time_steps = self.setting.sequence_length
        if self.position + time_steps + 1 > len(self.streams):
            self.position, self.h = 0, np.zeros_like(self.h)
        block = self.streams[self.position : self.position + time_steps + 1]
        loss, grads, self.h = reference.language_model_step(
            block[:-1], block[1:], self.h, self.params, num_layers=1
        )
        reference.clip_by_norm(grads, self.setting.clip_norm)
        self.optimizer.step(self.params, grads)
        self.position += time_steps
        return loss


class Twins(NamedTuple):
    """A model and its naive twin, and their losses over the first steps."""

    setting: Setting
    model: LanguageModel
    twin: NaiveTwin
    fused: list[float]
    naive: list[float]

    def differences(self) -> list[float]:
        """Of the losses of each step, relative to the twin's."""
        pairs = zip(self.fused, self.naive, strict=True)
        return [abs(fused - naive) / abs(naive) for fused, naive in pairs]


def agree(setting: Setting, characters: str, tokens: Tokens) -> Twins:
    """Train a model and its twin for some steps; GoalMissedError unless they do the same."""
    model = setting.model(characters)
    model.fit(tokens, steps=setting.check_steps, **setting.fit_options())
    twin = NaiveTwin(setting, len(characters), tokens)
    naive = [twin.step() for _ in range(setting.check_steps)]
    twins = Twins(setting, model, twin, model.history_.loss.copy(), naive)
    if not all(difference <= TOLERANCE for difference in twins.differences()):  # NaN is not
        raise GoalMissedError(
            f"the losses {twins.fused} differ from the naive twin's {naive} by more than "
            f"{TOLERANCE:.0e}: they must not"
        )
    return twins


def race(tokens: Tokens, twins: Twins) -> dict[str, Any]:
    """Seconds per step of both, timed in turns, so that what else the machine does meets both."""
    model, options = twins.model, twins.setting.fit_options()

    def fused(steps: int) -> None:
        model.fit(tokens, steps=len(model.history_.loss) + steps, resume=True, **options)

    def naive(steps: int) -> None:
        for _ in range(steps):
            twins.twin.step()

    contestants = {"naive": naive, "fused": fused}
    counts = {name: _steps_of_a_turn(run) for name, run in contestants.items()}
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, run in contestants.items():
            turns[name].append(_seconds_per_step(run, counts[name]))
    typical = {name: median(found) for name, found in turns.items()}
    size = twins.setting.characters_per_step
    return {
        **typical,
        **{f"{name}_characters_per_second": size / found for name, found in typical.items()},
        "ratio": typical["naive"] / typical["fused"],
        "turns": turns,
        "steps_a_turn": counts,
    }


def _steps_of_a_turn(run: Callable[[int], None]) -> int:
    """So many that what is done once a call, such as cutting the text, does not count."""
    steps = 1
    while steps < MOST_STEPS and steps * _seconds_per_step(run, steps) < TURN_SECONDS / 2:
        steps = min(2 * steps, MOST_STEPS)
    return steps


def _seconds_per_step(run: Callable[[int], None], steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps
