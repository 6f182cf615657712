"""Whole training steps of the character language model, naive beside fused.

The classic one is min-char-rnn's: hidden 100, 25 steps, vocabulary 65, batch 1, gradients clipped
to +-5, Adagrad; its naive form is the published loop, `fastrnn.reference.lossFun`. Both train on
the same tokens from the same parameters, and agree on the loss of each of the first steps before
anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastrnn import LanguageModel, reference
from fastrnn.data import parallel_streams
from fastrnn.training import History, Trainer, TrainingOptions

#: Steps in one timed call of the small cases, as in training: a call covers about 50 ms.
STEPS = 50
#: Steps over which the losses must agree, and how well, in eps of the type.
CHECKED_STEPS, K_LOSS = 20, 1000

LIMIT = 5.0

#: On random tokens, min-char-rnn's rate of 0.1 is chaotic: rounding errors grow tenfold a step.
RATES = {"adagrad": 0.01, "adam": 1e-3}


class Case(NamedTuple):
    """One model and way of training."""

    name: str
    hidden: int
    layers: int
    steps: int
    batch: int
    vocabulary: int
    optimizer: str
    dtype: str


CASES = (
    Case("classic", 100, 1, 25, 1, 65, "adagrad", "float32"),
    Case("classic-float64", 100, 1, 25, 1, 65, "adagrad", "float64"),
    Case("batch", 128, 1, 50, 32, 65, "adam", "float32"),
    Case("stacked", 256, 2, 64, 32, 65, "adam", "float32"),
)


def make_trainer(case: Case) -> Trainer:
    """A training on random tokens, the same ones for the same case."""
    model = LanguageModel(
        case.hidden, case.layers, vocabulary=case.vocabulary, dtype=case.dtype, seed=0
    )
    tokens = np.random.default_rng(0).integers(0, case.vocabulary, 200_000)
    options = TrainingOptions(
        case.steps,
        case.batch,
        case.optimizer,
        RATES[case.optimizer],
        clip_norm=None,
        clip_value=LIMIT,
    )
    streams = parallel_streams(tokens, case.batch, case.steps)
    return Trainer(
        model.equations, model._parameters, case.layers, case.hidden, case.vocabulary,
        options, streams, STEPS, History(),
    )  # fmt: skip


def naive_steps(case: Case, trainer: Trainer) -> Callable[[int], list[float]]:
    """The same training in NumPy, as a function of the number of steps to do next."""
    params = trainer.parameters.state_dict()
    streams, time = trainer.streams, case.steps
    optimizer: Any = {"adagrad": reference.Adagrad, "adam": reference.Adam}[case.optimizer](
        lr=RATES[case.optimizer]
    )
    classic = case.batch == 1
    shape = (case.hidden, 1) if classic else (case.layers, case.batch, case.hidden)
    state = np.zeros(shape, case.dtype)
    position = 0

    def run(count: int) -> list[float]:
        nonlocal state, position
        losses = []
        for _ in range(count):
            if position + time + 1 > streams.shape[1]:
                position, state = 0, np.zeros_like(state)
            inputs = streams[:, position : position + time].T
            targets = streams[:, position + 1 : position + time + 1].T
            if classic:
                loss, grads, state = reference.lossFun(inputs[:, 0], targets[:, 0], state, params)
                loss /= time
                # The published step minimises the sum over time, the fused one its mean.
                for grad in grads.values():
                    grad /= time
            else:
                loss, grads, state = reference.language_model_step(
                    inputs, targets, state, params, num_layers=case.layers
                )
            reference.clip_by_value(grads, LIMIT)
            optimizer.step(params, grads)
            position += time
            losses.append(float(loss))
        return losses

    return run


@pytest.mark.parametrize("contender", ["naive", "fastrnn"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_training_step(benchmark: Any, case: Case, contender: str) -> None:
    trainer = make_trainer(case)
    naive = naive_steps(case, trainer)
    fused = trainer.run(CHECKED_STEPS).losses
    tolerance = K_LOSS * np.finfo(case.dtype).eps
    np.testing.assert_allclose(fused, naive(CHECKED_STEPS), rtol=tolerance)
    number = STEPS if case.batch == 1 else 2
    benchmark.group = f"training step, {case.name}"
    benchmark.extra_info |= {"contender": contender, "steps": number, **case._asdict()}
    run: Callable[[int], Any] = trainer.run if contender == "fastrnn" else naive
    benchmark.pedantic(run, args=(number,), rounds=15, warmup_rounds=2)
    benchmark.extra_info["microseconds_per_step"] = benchmark.stats.stats.median / number * 1e6
