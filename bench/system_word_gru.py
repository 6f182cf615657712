"""S10: the word language model with a learned embedding, two layers of GRU and RMSprop.

Sizes and training are those of ``fastrnn examples words``, whose vocabulary is somewhat larger: 16
streams of 30 words in a step; and one stream alone, a sentence at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn import LanguageModel, reference
from fastrnn.cli.corpus import pydoc_corpus
from fastrnn.data import WordVocabulary, parallel_streams

HIDDEN, LAYERS, EMBEDDING, VOCABULARY, LENGTH = 128, 2, 64, 2000, 30
RATE, CLIP = 2e-3, 1.0
BATCHES = (16, 1)
#: Steps in one call.
STEPS = 10
#: Differences in eps that are rounding: RMSprop divides by the roots of small squares.
AGREEMENT = 1000


def rows(dtype: str) -> list[Row]:
    """A step of training on random words, from the same weights."""
    return [_row(dtype, batch) for batch in BATCHES]


def ends() -> list[End]:
    """On English, whose words that occur once are unknown."""
    text = pydoc_corpus().training
    vocabulary = WordVocabulary.of(text, min_count=2, unknown="<unk>")
    batch, steps = BATCHES[0], 100
    words = vocabulary.encode(text)[: batch * LENGTH * steps + 1]

    def reached(training: Any) -> str:
        losses = training(_model("float64", len(vocabulary)), words, batch)()
        return f"{np.mean(losses[-10:]):.3f} nats a word"

    return [End(f"train, {steps} steps", reached, _naive, _fused)]


def _row(dtype: str, batch: int) -> Row:
    words = np.random.default_rng(0).integers(0, VOCABULARY, batch * LENGTH * STEPS + 1)
    slow, fast = (
        training(_model(dtype, VOCABULARY), words, batch) for training in (_naive, _fused)
    )
    sizes = f"N={batch} T={LENGTH} E={EMBEDDING} H={HIDDEN} V={VOCABULARY}"
    gates = 3 * HIDDEN * (EMBEDDING + HIDDEN) + (LAYERS - 1) * 3 * HIDDEN * 2 * HIDDEN
    flops = 3 * 2 * batch * LENGTH * (gates + VOCABULARY * HIDDEN)

    def difference() -> float:
        return difference_in_eps(fast(), slow(), dtype)

    return Row(f"train, batch {batch}", sizes, slow, fast, difference, AGREEMENT, flops, STEPS)


def _model(dtype: str, vocabulary: int) -> LanguageModel:
    return LanguageModel(
        HIDDEN, LAYERS, cell="gru", vocabulary=vocabulary, embedding=EMBEDDING, dtype=dtype, seed=0
    )


def _naive(model: LanguageModel, words: Any, batch: int) -> Callable[[], Any]:
    """An epoch from the weights that the model has; it returns the losses."""
    first, streams = model.state_dict(), parallel_streams(words, batch, LENGTH)

    def train() -> Any:
        params = {name: p.copy() for name, p in first.items()}
        optimizer, state, losses = reference.RMSprop(RATE), None, []
        for start in range(0, streams.shape[1] - LENGTH, LENGTH):
            block = streams[:, start : start + LENGTH + 1].T
            loss, grads, state = reference.word_language_model_step(
                block[:-1], block[1:], state, params, cell="gru", num_layers=LAYERS
            )
            reference.clip_by_norm(grads, CLIP)
            optimizer.step(params, grads)
            losses.append(loss)
        return losses

    return train


def _fused(model: LanguageModel, words: Any, batch: int) -> Callable[[], Any]:
    first = model.state_dict()

    def train() -> Any:
        model.load_state_dict(first)
        model.fit(
            words, sequence_length=LENGTH, batch_size=batch, optimizer="rmsprop",
            learning_rate=RATE, clip_norm=CLIP,
        )  # fmt: skip
        return model.history_.loss

    return train
