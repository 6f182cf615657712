"""What the estimators learn, up to their end points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import PLAIN

pytest.importorskip("sklearn", reason="the estimators are in its manner")

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastrnn import data
from fastrnn.models import MLPClassifier, SequenceClassifier, SequenceRegressor

pytestmark = pytest.mark.skipif(PLAIN, reason="some minutes without the compiled kernels")


def test_digits_are_named_row_by_row() -> None:
    images, names = load_digits(return_X_y=True)
    rows = images.reshape(-1, 8, 8) / 16
    x, x_test, y, y_test = train_test_split(rows, names, random_state=0)
    model = SequenceClassifier("lstm", 64, max_iter=40, learning_rate=5e-3, random_state=0)
    assert model.fit(x, y).score(x_test, y_test) > 0.97
    assert (model.predict_proba(x_test).argmax(axis=1) == model.predict(x_test)).all()


def additions(count: int, bits: int, seed: int) -> tuple[Any, Any]:
    """Pairs of bits (N, T, 2) and the bits of their sums (N, T)."""
    task = data.binary_addition(count, bits, seed=seed)
    return task.x.swapaxes(0, 1), task.y[:, :, 0].T


def test_addition_goes_on_to_numbers_of_any_length() -> None:
    model = SequenceClassifier(
        "rnn", 16, every_step=True, learning_rate=0.02, max_iter=60, schedule="cosine",
        random_state=0,
    )  # fmt: skip
    model.fit(*additions(2000, 8, 0))
    assert model.score(*additions(10_000, 64, 1)) == 1


def test_a_sine_is_forecast_at_once_and_step_by_step() -> None:
    series = np.sin(0.1 * np.arange(1000))
    x, y = data.forecast_windows(series, steps=30, horizon=10)
    model = SequenceRegressor("gru", 24, learning_rate=5e-3, max_iter=40, random_state=0)
    model.fit(x[:700], y[:700])
    assert np.abs(model.predict(x[800:]) - y[800:]).max() < 0.05
    ahead = model.forecast(x[800:801], 60)
    assert np.abs(ahead[0] - series[830:890]).max() < 0.1
    each = SequenceRegressor(
        "gru", 24, learning_rate=5e-3, max_iter=40, every_step=True, random_state=0
    )
    after = data.forecast_windows(series[1:], steps=30)[0]
    each.fit(x[:700], after[:700])
    assert np.abs(each.forecast(x[800:801], 5)[0] - series[830:835]).max() < 0.1


def first_words(count: int, seed: int) -> tuple[list[Any], Any]:
    """Sequences of 1 to 30 words, which are of the class that their first word says."""
    generator = np.random.default_rng(seed)
    sequences = [generator.integers(0, 12, n) for n in generator.integers(1, 31, count)]
    return sequences, np.array(["even", "odd"])[[s[0] % 2 for s in sequences]]


@pytest.mark.parametrize("embedding", [None, 8])
def test_the_first_word_is_remembered_to_any_end(embedding: int | None) -> None:
    x, y = first_words(1500, 0)
    model = SequenceClassifier(
        "lstm", 24, vocabulary_size=12, embedding=embedding, learning_rate=0.01, max_iter=30,
        bidirectional=embedding is None, early_stopping=True, n_iter_no_change=15, random_state=0,
    )  # fmt: skip
    model.fit(x, y)
    assert model.score(*first_words(500, 1)) > 0.99


def test_sentiments_are_told() -> None:
    train, test = data.sentiment_phrases()
    words = data.WordVocabulary.of(" ".join(train.texts))
    x, x_test = ([words.encode(text) for text in part.texts] for part in (train, test))
    model = SequenceClassifier(
        "rnn", 32, vocabulary_size=len(words), max_iter=150, learning_rate=0.01, batch_size=16,
        random_state=0,
    )  # fmt: skip
    model.fit(x, train.labels)
    assert model.score(x, train.labels) == 1
    assert model.score(x_test, test.labels) == 1


def test_rare_classes_are_heard_if_they_weigh_more() -> None:
    generator = np.random.default_rng(0)
    y = (generator.random(1200) < 0.06).astype(int)
    x = generator.standard_normal((1200, 5, 1)) + 0.5 * y[:, None, None]
    found = {}
    for weight in (None, "balanced"):
        model = SequenceClassifier("gru", 8, class_weight=weight, max_iter=10, random_state=0)
        found[weight] = model.fit(x, y).predict(x)[y == 1].mean()
    assert found[None] < 0.4
    assert found["balanced"] > 0.6


def test_spirals_reach_the_published_ends() -> None:
    x, y = data.spirals(seed=0)
    for activation, rate, most in (("relu", 0.1, 0.13), ("sigmoid", 0.1, 0.5)):
        model = MLPClassifier(
            (50, 50), activation, optimizer="sgd", learning_rate=rate, batch_size=None,
            alpha=1e-3 * len(x), max_iter=20_000 if activation == "relu" else 1000, random_state=0,
        )  # fmt: skip
        if activation == "sigmoid":  # slow by gradient descent: its end is 50,000 steps away
            model.set_params(optimizer="adam", learning_rate=0.01)
        model.fit(x, y)
        assert model.loss_curve_[-1] < most
        assert model.score(x, y) > 0.95


def test_it_is_an_estimator_among_others() -> None:
    images, names = load_digits(return_X_y=True)
    images, names = images[:400], names[:400]
    mlp = make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=30, random_state=0))
    assert cross_val_score(mlp, images, names, cv=3).mean() > 0.85
    search = GridSearchCV(
        SequenceClassifier("gru", 32, max_iter=30, random_state=0),
        {"learning_rate": [1e-5, 1e-2]},
        cv=2,
    )
    search.fit(images.reshape(-1, 8, 8) / 16, names)
    assert search.best_params_ == {"learning_rate": 1e-2}
    assert search.best_score_ > 0.8
