"""The estimators' gradients, options, files and doors."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, assert_close, eps, normal

pytest.importorskip("sklearn", reason="the estimators are in its manner")

from sklearn.exceptions import NotFittedError

import fastrnn
from fastrnn.cells import MGU, RNN_TANH
from fastrnn.models import MLPClassifier, SequenceClassifier, SequenceRegressor

K_TORCH = 256  # k of k*eps: the same sums in another order
GENERATOR = np.random.default_rng(0)
COUNT, TIME, INPUTS, WORDS = 7, 6, 3, 5
LENGTHS = [3, 0, 6, 1, 6, 2, 4]
NUMBERS = normal((COUNT, TIME, INPUTS), np.float64, 1)
TOKENS = GENERATOR.integers(0, WORDS, (COUNT, TIME))
VECTORS = normal((WORDS, 4), np.float64, 2)
LABELS = np.array([0, 1, 2, 1, 1, 0, 2])
STEP_LABELS = GENERATOR.integers(0, 3, (COUNT, TIME))
SEVERAL = GENERATOR.integers(0, 2, (COUNT, 3))
VALUES = normal((COUNT, 2), np.float64, 3)
STEP_VALUES = 0.5 + 0.2 * normal((COUNT, TIME), np.float64, 4)
WEIGHTS = np.array([1.0, 0.5, 0, 2, 1, 3, 1])


def still(kind: Any, **options: Any) -> Any:
    """An estimator whose training changes nothing but what it remembers of the loss."""
    return kind(
        hidden_size=4, optimizer="sgd", learning_rate=1e-30, batch_size=None, random_state=0,
        dtype=np.float64, **options,
    )  # fmt: skip


CLASSIFIER, REGRESSOR = SequenceClassifier, SequenceRegressor
CASES: list[Any] = [
    (CLASSIFIER, {"cell": "lstm"}, NUMBERS, LABELS, {}),
    (CLASSIFIER, {"cell": "lstm", "alpha": 0.5}, NUMBERS, LABELS, {"lengths": LENGTHS}),
    (
        CLASSIFIER,
        {"cell": "gru", "bidirectional": True, "num_layers": 2, "class_weight": "balanced"},
        NUMBERS,
        LABELS,
        {"lengths": LENGTHS, "sample_weight": WEIGHTS},
    ),
    (
        CLASSIFIER,
        {"cell": "rnn", "every_step": True, "class_weight": {0: 1, 1: 3, 2: 0.5}},
        NUMBERS,
        STEP_LABELS,
        {"lengths": LENGTHS, "sample_weight": WEIGHTS},
    ),
    (CLASSIFIER, {"cell": "gru"}, NUMBERS, LABELS == 1, {"lengths": LENGTHS}),
    (CLASSIFIER, {"cell": "rnn", "vocabulary_size": WORDS}, TOKENS, SEVERAL, {}),
    (
        CLASSIFIER,
        {"cell": "lstm", "vocabulary_size": WORDS, "embedding": 2, "bidirectional": True,
         "every_step": True, "num_layers": 2, "alpha": 0.1},
        TOKENS,
        STEP_LABELS == 0,
        {"lengths": LENGTHS},
    ),
    (CLASSIFIER, {"cell": "gru", "embedding": VECTORS}, TOKENS, LABELS, {"lengths": LENGTHS}),
    (
        CLASSIFIER,
        {"cell": "lstm", "embedding": VECTORS, "train_embedding": False},
        TOKENS,
        LABELS,
        {},
    ),
    (REGRESSOR, {"cell": "lstm", "num_layers": 2}, NUMBERS, VALUES, {"lengths": LENGTHS}),
    (
        REGRESSOR,
        {"cell": "gru", "output_activation": "sigmoid", "every_step": True, "alpha": 0.2},
        NUMBERS,
        STEP_VALUES,
        {"lengths": LENGTHS, "sample_weight": WEIGHTS},
    ),
    (REGRESSOR, {"cell": "rnn", "output_activation": "tanh"}, NUMBERS, VALUES, {}),
    (
        REGRESSOR,
        {"cell": MGU, "output_activation": "relu", "bidirectional": True},
        NUMBERS,
        VALUES,
        {"lengths": LENGTHS},
    ),
]  # fmt: skip


def loss_of(model: Any, x: Any, y: Any, data: Any) -> float:
    """The loss of the training that the estimator is in."""
    return float(model.partial_fit(x, y, **data).loss_curve_[-1])


@pytest.mark.parametrize("case", range(len(CASES)))
def test_the_gradient_is_that_of_the_loss(case: int) -> None:
    kind, options, x, y, data = CASES[case]
    model = still(kind, **options)
    first = {"classes": np.unique(y)} if kind is SequenceClassifier else {}
    if y is SEVERAL:
        first = {"classes": np.arange(3)}
    if model.get_params().get("class_weight") == "balanced":  # fit alone knows all data
        model.set_params(max_iter=1).fit(x, y, **data)
        loss = lambda: model.set_params(warm_start=True).fit(x, y, **data).loss_curve_[-1]  # noqa: E731
    else:
        model.partial_fit(x, y, **first, **data)
        loss = lambda: loss_of(model, x, y, data)  # noqa: E731
    flat, step = model._learner.flat, 1e-5
    loss()
    gradient = model._learner.grads.copy()
    assert np.abs(gradient).max() > 1e-3
    for name, view in model.params_.items():
        part = np.zeros_like(flat)
        start = (view.ctypes.data - flat.ctypes.data) // flat.itemsize
        part[start : start + view.size] = normal((view.size,), np.float64, 7)
        part /= np.linalg.norm(part)
        before = flat.copy()
        flat[...] = before + step * part
        above = loss()
        flat[...] = before - step * part
        below = loss()
        flat[...] = before
        assert_close((above - below) / (2 * step), gradient @ part, 1e-8, name)


def test_frozen_vectors_are_no_parameters() -> None:
    model = still(CLASSIFIER, embedding=VECTORS, train_embedding=False).set_params(
        learning_rate=1.0, max_iter=2
    )
    model.fit(TOKENS, LABELS)
    assert "embedding" not in model.params_
    np.testing.assert_array_equal(model._learner.embedding, VECTORS)
    trained = model.set_params(train_embedding=True).fit(TOKENS, LABELS)
    assert (trained.params_["embedding"] != VECTORS).any()


@pytest.mark.parametrize("every_step", [False, True])
def test_loss_and_gradients_are_those_of_torch(every_step: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    lengths, classes = np.array([3, 1, 6, 1, 6, 2, 4]), {0: 1.0, 1: 3.0, 2: 0.5}
    y = STEP_LABELS if every_step else LABELS
    model = still(
        CLASSIFIER, cell="lstm", num_layers=2, bidirectional=True, embedding=VECTORS,
        every_step=every_step, class_weight=classes,
    )  # fmt: skip
    model.partial_fit(TOKENS, y, classes=[0, 1, 2], lengths=lengths)
    params = model.params_
    table = torch.nn.Embedding.from_pretrained(torch.from_numpy(VECTORS), freeze=False)
    layer = torch.nn.LSTM(4, 4, 2, bidirectional=True, dtype=torch.float64)
    head = torch.nn.Linear(8, 3, dtype=torch.float64)
    with torch.no_grad():
        for name, p in layer.named_parameters():
            p.copy_(torch.from_numpy(params[name]))
        head.weight.copy_(torch.from_numpy(params["weight_out"]))
        head.bias.copy_(torch.from_numpy(params["bias_out"]))
    rnn = torch.nn.utils.rnn
    packed = rnn.pack_padded_sequence(
        table(torch.from_numpy(TOKENS)), torch.from_numpy(lengths), True, False
    )
    output, (h, _) = layer(packed)
    target = torch.from_numpy(y)
    if every_step:
        mask = torch.arange(TIME) < torch.from_numpy(lengths)[:, None]
        logits = head(rnn.pad_packed_sequence(output, True)[0])[mask]
        target = target[mask]
    else:
        logits = head(torch.cat([h[-2], h[-1]], dim=1))
    weight = torch.tensor(list(classes.values()), dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(logits, target, weight=weight)
    loss.backward()
    assert_close(model.loss_curve_[-1], loss.item(), K_TORCH * eps(np.float64))
    wanted = {name: p.grad for name, p in layer.named_parameters()}
    wanted |= {"weight_out": head.weight.grad, "bias_out": head.bias.grad}
    wanted["embedding"] = table.weight.grad
    assert set(wanted) == set(params)
    for name, gradient in wanted.items():
        assert_close(
            model._learner._grad_views[name], gradient.numpy(), K_TORCH * eps(np.float64), name
        )


def test_dropout_is_scaled_and_of_training_alone() -> None:
    model = still(REGRESSOR, cell="gru", num_layers=2, dropout=0.5)
    losses = [loss_of(model, NUMBERS, VALUES, {}) for _ in range(400)]
    model.set_params(dropout=0.0)
    plain = still(REGRESSOR, cell="gru", num_layers=2)
    plain.partial_fit(NUMBERS, VALUES)
    assert_close(model.predict(NUMBERS), plain.predict(NUMBERS), 4 * eps(np.float64))
    assert len(set(losses)) == 400
    # An output of the head keeps its mean, and the squared error gains its variance.
    assert plain.loss_curve_[0] < np.mean(losses) < 1.5 * plain.loss_curve_[0]


# --- sequences as users have them ---


def test_lists_arrays_and_any_padding_are_the_same() -> None:
    junk = NUMBERS.copy()
    for n, length in enumerate(LENGTHS):
        junk[n, length:] = np.nan
    parts = [NUMBERS[n, :length] for n, length in enumerate(LENGTHS)]
    options: Any = {"cell": "gru", "max_iter": 3, "bidirectional": True}
    one = still(CLASSIFIER, **options).set_params(learning_rate=0.1)
    two = still(CLASSIFIER, **options).set_params(learning_rate=0.1)
    one.fit(junk, LABELS, lengths=LENGTHS)
    two.fit(parts, LABELS)
    np.testing.assert_array_equal(one._learner.flat, two._learner.flat)
    p = one.predict_proba(junk, lengths=LENGTHS)
    np.testing.assert_array_equal(p, two.predict_proba(parts))
    alone = [two.predict_proba(part[None]) for part in parts if len(part)]
    assert_close(np.delete(p, 1, axis=0), np.concatenate(alone), 64 * eps(np.float64))
    assert one.score(junk, LABELS, lengths=LENGTHS) == two.score(parts, LABELS)


def test_predictions_of_steps_come_as_the_sequences_did() -> None:
    parts = [NUMBERS[n, :length] for n, length in enumerate(LENGTHS)]
    labels = [np.array(["a", "b", "c"])[STEP_LABELS[n, :t]] for n, t in enumerate(LENGTHS)]
    model = still(CLASSIFIER, cell="gru", every_step=True, max_iter=2).fit(parts, labels)
    found = model.predict(parts)
    assert [f.shape for f in found] == [(t,) for t in LENGTHS]
    array = model.predict_proba(NUMBERS, lengths=LENGTHS)
    assert array.shape == (COUNT, TIME, 3)
    for n, length in enumerate(LENGTHS):
        np.testing.assert_array_equal(model.classes_[array[n, :length].argmax(1)], found[n])
        assert (array[n, length:] == 0).all()
    right = sum(int((f == y).sum()) for f, y in zip(found, labels, strict=True))
    assert model.score(parts, labels) == pytest.approx(right / sum(LENGTHS))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
def test_values_come_back_in_the_shape_of_y(shape: tuple[int, ...]) -> None:
    y = normal((COUNT, *shape), np.float64)
    model = still(REGRESSOR, cell="rnn", max_iter=1).fit(NUMBERS, y)
    assert model.predict(NUMBERS).shape == y.shape
    each = normal((COUNT, TIME, *shape), np.float64)
    model = still(REGRESSOR, cell="rnn", max_iter=1, every_step=True).fit(NUMBERS, each)
    assert model.predict(NUMBERS).shape == each.shape


def test_a_table_is_sequences_of_scalars() -> None:
    table = NUMBERS[:, :, 0]
    one = still(REGRESSOR, cell="rnn", max_iter=2).fit(table, VALUES)
    two = still(REGRESSOR, cell="rnn", max_iter=2).fit(table[:, :, None], VALUES)
    assert (one.n_features_in_, two.n_features_in_) == (TIME, 1)
    np.testing.assert_array_equal(one._learner.flat, two._learner.flat)
    assert two.predict(table[:, :3]).shape == (COUNT, 2)  # T is free
    with pytest.raises(ValueError, match="X has 3 features"):
        one.predict(table[:, :3])


def test_long_predictions_are_cut_into_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = still(CLASSIFIER, cell="gru", every_step=True, max_iter=1).fit(NUMBERS, STEP_LABELS)
    whole = model.predict_proba(NUMBERS, lengths=LENGTHS)
    monkeypatch.setattr("fastrnn.models.network.TOGETHER", 2 * TIME)
    parts = model.predict_proba(NUMBERS, lengths=LENGTHS)
    assert_close(parts, whole, 16 * eps(np.float64))


def test_forecasts_read_what_they_predicted() -> None:
    series = normal((3, 9, 2), np.float64)
    model = still(REGRESSOR, cell="gru", max_iter=1).fit(series, normal((3, 4, 2), np.float64))
    ahead = model.forecast(series, 7)
    assert ahead.shape == (3, 7, 2)
    first = model.predict(series)
    np.testing.assert_array_equal(ahead[:, :4], first)
    known = np.concatenate([series[:, 4:], first], axis=1)
    np.testing.assert_array_equal(ahead[:, 4:], model.predict(known)[:, :3])
    each = still(REGRESSOR, cell="gru", max_iter=1, every_step=True).fit(series, series)
    np.testing.assert_array_equal(each.forecast(series, 1)[:, 0], each.predict(series)[:, -1])
    with pytest.raises(ValueError, match="y must have been next steps of I = 2"):
        still(REGRESSOR, max_iter=1).fit(series, series[:, 0, 0]).forecast(series, 2)


# --- training ---


def small(kind: Any = CLASSIFIER, **options: Any) -> Any:
    chosen = {"cell": "gru", "hidden_size": 5, "max_iter": 4, "batch_size": 3, "random_state": 3}
    return kind(**{**chosen, **options})


def test_one_epoch_is_one_call_of_partial_fit() -> None:
    fitted = small(max_iter=1).fit(NUMBERS, LABELS, lengths=LENGTHS)
    parts = small().partial_fit(NUMBERS, LABELS, [0, 1, 2], lengths=LENGTHS)
    np.testing.assert_array_equal(fitted._learner.flat, parts._learner.flat)
    assert fitted.loss_curve_ == parts.loss_curve_
    more = small(max_iter=2).fit(NUMBERS, LABELS, lengths=LENGTHS)
    parts.partial_fit(NUMBERS, LABELS, lengths=LENGTHS)
    np.testing.assert_array_equal(more._learner.flat, parts._learner.flat)
    assert (more.n_iter_, parts.n_iter_) == (2, 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_random_state_is_the_same_model(threads: int) -> None:
    before = fastrnn.get_threads()
    one = small(dropout=0.3, num_layers=2).fit(NUMBERS, LABELS)
    try:
        fastrnn.set_threads(threads)
        two = small(dropout=0.3, num_layers=2).fit(NUMBERS, LABELS)
    finally:
        fastrnn.set_threads(before)
    other = small(dropout=0.3, num_layers=2, random_state=4).fit(NUMBERS, LABELS)
    np.testing.assert_array_equal(one._learner.flat, two._learner.flat)
    assert (one._learner.flat != other._learner.flat).any()


@pytest.mark.parametrize("kind", ["sequence", "mlp"])
def test_many_threads_fit_and_predict_at_once(kind: str) -> None:
    def fit(seed: int) -> Any:
        if kind == "mlp":
            return MLPClassifier((5,), max_iter=3, random_state=seed).fit(NUMBERS[:, 0], LABELS)
        return small(random_state=seed).fit(NUMBERS, LABELS)

    x = NUMBERS[:, 0] if kind == "mlp" else NUMBERS
    alone = [fit(seed).predict_proba(x) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(fit, range(4)))
        for model, p in zip(models, alone, strict=True):
            for found in pool.map(lambda _, model=model: model.predict_proba(x), range(8)):
                np.testing.assert_array_equal(found, p)


def test_weights_of_sequences_are_repetitions() -> None:
    """What scikit-learn's check wants, where all sequences are in one step."""
    times = np.array([1, 2, 0, 3, 1, 1, 2])
    options: Any = {"batch_size": None, "shuffle": False, "dtype": np.float64, "max_iter": 20}
    weighted = small(**options).fit(NUMBERS, LABELS, times)
    repeated = small(**options).fit(np.repeat(NUMBERS, times, axis=0), np.repeat(LABELS, times))
    # Adam's first steps have the sign of gradients: rounding may grow.
    assert_close(
        weighted.predict_proba(NUMBERS), repeated.predict_proba(NUMBERS), 2**20 * eps(np.float64)
    )


def test_warm_starts_go_on() -> None:
    model = small(warm_start=True, max_iter=2)
    model.fit(NUMBERS, LABELS).fit(NUMBERS, LABELS)
    np.testing.assert_array_equal(
        model._learner.flat, small(max_iter=4).fit(NUMBERS, LABELS)._learner.flat
    )
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="to go on, the parameters must be those before"):
        model.set_params(hidden_size=6).fit(NUMBERS, LABELS)
    with pytest.raises(ValueError, match="y must be among the classes"):
        model.set_params(hidden_size=5).fit(NUMBERS, LABELS + 1)


def test_early_stopping_goes_back_to_the_best() -> None:
    x, y = normal((40, 5, 2), np.float64), np.arange(40) % 2  # nothing to be learned
    model = small(
        early_stopping=True, validation_fraction=0.3, n_iter_no_change=5, max_iter=500,
        learning_rate=0.02,
    ).fit(x, y)  # fmt: skip
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 500
    best = int(np.argmax(scores))
    assert len(scores) - 1 - best >= 5
    assert model.best_validation_score_ == scores[best]
    again = small(
        early_stopping=True, validation_fraction=0.3, max_iter=best + 1, learning_rate=0.02
    ).fit(x, y)
    np.testing.assert_array_equal(model._learner.flat, again._learner.flat)


def test_schedules_clipping_and_optimisers_are_heard() -> None:
    flats = [
        small(**options).fit(NUMBERS, LABELS)._learner.flat
        for options in (
            {},
            {"schedule": "cosine"},
            {"schedule": "linear", "warmup_steps": 2},
            {"clip_norm": 1e-3},
            {"optimizer": "sgd"},
            {"optimizer": "rmsprop", "learning_rate": 0.01},
            {"optimizer": "adamw", "weight_decay": 0.5},
            {"alpha": 10.0},
            {"shuffle": False},
        )
    ]
    for i, flat in enumerate(flats):
        for other in flats[i + 1 :]:
            assert (flat != other).any()


def test_progress_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    small(verbose=True).fit(NUMBERS, LABELS, progress=seen.append)
    assert seen[-1].step == seen[-1].total == 4 * 3
    assert [p.step for p in seen] == sorted({p.step for p in seen})
    assert all(p.tokens_per_second > 0 and np.isfinite(p.loss) for p in seen)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"epoch {i}" for i in range(1, 5)]
    small(verbose=True, early_stopping=True, validation_fraction=0.3).fit(NUMBERS, LABELS)
    assert "validation score" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to oneself")
@pytest.mark.parametrize("kind", ["sequence", "mlp"])
def test_ctrl_c_leaves_what_was_learned(kind: str) -> None:
    def interrupt(now: Any) -> None:
        if now.step > 1:
            os.kill(os.getpid(), signal.SIGINT)

    x = NUMBERS[:, 0] if kind == "mlp" else NUMBERS
    model: Any = small(max_iter=10**6)
    if kind == "mlp":
        model = MLPClassifier((5,), max_iter=10**6, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, LABELS, progress=interrupt)
    assert 0 < model._learner.done < 10**6
    assert len(model.loss_curve_) == model.n_iter_ > 0
    model.predict(x)
    model.partial_fit(x, LABELS)


@pytest.mark.parametrize("kind", ["sequence", "mlp"])
def test_a_model_that_blows_up_says_so(kind: str) -> None:
    if kind == "mlp":
        with (
            np.errstate(all="ignore"),
            pytest.raises(ArithmeticError, match="lower learning_rate"),
        ):
            MLPClassifier((5,), optimizer="sgd", learning_rate=1e30, max_iter=50).fit(
                NUMBERS[:, 0], LABELS
            )
        return
    model = small(
        REGRESSOR, cell="rnn_relu", optimizer="sgd", learning_rate=1e30, clip_norm=None, max_iter=50
    )
    with (
        np.errstate(all="ignore"),
        pytest.raises(fastrnn.NonFiniteGradientError, match="at step"),
    ):
        model.fit(NUMBERS, VALUES)
    assert np.isfinite(model._learner.flat).all()


# --- dense layers ---


def dense(*hidden: int, **options: Any) -> MLPClassifier:
    chosen: Any = {"batch_size": None, "random_state": 3, "dtype": np.float64, **options}
    return MLPClassifier(hidden or (5, 4), "tanh", **chosen)


def test_the_loss_of_dense_layers_weighs_examples_and_classes() -> None:
    x, of_class, alpha = NUMBERS[:, 0], {0: 1, 1: 3, 2: 0.5}, 0.3
    model = dense(
        alpha=alpha, class_weight=of_class, optimizer="sgd", learning_rate=1e-30, max_iter=1
    ).fit(x, LABELS, WEIGHTS)
    weights = WEIGHTS * [of_class[y] for y in LABELS]
    p = model.predict_proba(x)[np.arange(COUNT), LABELS]
    square = sum((w**2).sum() for w in model.coefs_)
    wanted = np.average(-np.log(p), weights=weights) + alpha / (2 * COUNT) * square
    assert model.loss_curve_[0] == pytest.approx(wanted, rel=1e-12)
    right = model.predict(x) == LABELS
    assert model.score(x, LABELS, WEIGHTS) == pytest.approx(np.average(right, weights=WEIGHTS))


def test_weights_of_examples_are_repetitions() -> None:
    x, times = NUMBERS[:, 0], np.array([1, 2, 0, 3, 1, 1, 2])
    options: Any = {"alpha": 0, "shuffle": False, "max_iter": 20}
    weighted = dense(**options).fit(x, LABELS, times)
    repeated = dense(**options).fit(np.repeat(x, times, axis=0), np.repeat(LABELS, times))
    # Adam's first steps have the sign of gradients: rounding may grow.
    assert_close(weighted.predict_proba(x), repeated.predict_proba(x), 2**20 * eps(np.float64))
    parts = dense(**options).partial_fit(x, LABELS, [0, 1, 2], times)
    once = dense(**options | {"max_iter": 1}).fit(x, LABELS, times)
    np.testing.assert_array_equal(parts._learner.flat, once._learner.flat)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_of_dense_layers_that_are_the_same(early_stopping: bool) -> None:
    x = NUMBERS[:, 0]
    options: Any = {
        "batch_size": 3, "max_iter": 5, "early_stopping": early_stopping,
        "validation_fraction": 0.3, "dtype": np.float32,
    }  # fmt: skip
    none = dense(**options).fit(x, LABELS)._learner.flat
    for more in ({"class_weight": {0: 2.0, 1: 2.0, 2: 2.0}}, {"clip_norm": 1e9}):
        np.testing.assert_array_equal(dense(**options, **more).fit(x, LABELS)._learner.flat, none)
    ones = dense(**options).fit(x, LABELS, np.ones(COUNT))
    np.testing.assert_array_equal(ones._learner.flat, none)
    # N / (K count of the class), as scikit-learn defines it.
    explicit = dict(enumerate(COUNT / (3 * np.bincount(LABELS))))
    found = [
        dense(**options, class_weight=weight).fit(x, LABELS)._learner.flat
        for weight in ("balanced", explicit)
    ]
    np.testing.assert_array_equal(*found)
    assert (found[0] != none).any()


def test_a_step_of_dense_layers_is_as_long_as_clip_norm_says() -> None:
    options: Any = {"optimizer": "sgd", "alpha": 2.0, "max_iter": 1}

    def after(rate: float, **more: Any) -> Any:
        model = dense(**options, learning_rate=rate, **more).fit(NUMBERS[:, 0], LABELS, WEIGHTS)
        return model._learner.flat

    begin = after(1e-30)
    gradient = begin - after(1.0)
    norm = np.linalg.norm(gradient)
    for clip_norm in (norm / 10, norm * 10):
        wanted = begin - min(1, clip_norm / norm) * gradient
        assert_close(after(1.0, clip_norm=clip_norm), wanted, 8 * eps(np.float64))


@pytest.mark.parametrize(
    ("options", "weights", "message"),
    [
        ({}, [1, 1, -0.5, 1, 1, 1, -1], "sample_weight must be at least 0 .* got -0.5 at index 2"),
        ({}, [1, 1, np.nan, 1, 1, 1, 1], "sample_weight contains NaN"),
        ({}, [1, 1, np.inf, 1, 1, 1, 1], "sample_weight contains infinity"),
        ({}, np.ones(3), r"sample_weight.shape == \(3,\), expected \(7,\)"),
        ({}, np.zeros(COUNT), "at least one non-zero"),
        ({"class_weight": {0: 0, 1: 0, 2: 0}}, None, "some weight above 0, got none"),
        ({"class_weight": {0: 1, 1: -2, 2: 1}}, None, "class_weight must .* got -2 for class 1"),
        ({"class_weight": {7: 1.0}}, None, "not in class_weight"),
        ({"clip_norm": 0}, None, "clip_norm must be above 0, got 0"),
    ],
)
def test_bad_weights_of_dense_layers_are_told(options: Any, weights: Any, message: str) -> None:
    x, model = NUMBERS[:, 0], dense(max_iter=2).fit(NUMBERS[:, 0], LABELS)
    before = model._learner.flat.copy()
    model.set_params(**options)
    with pytest.raises(ValueError, match=message):
        model.fit(x, LABELS, weights)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(x, LABELS, sample_weight=weights)
    np.testing.assert_array_equal(model._learner.flat, before)


# --- files and copies ---


def three_models() -> list[Any]:
    words = small(
        embedding=VECTORS, train_embedding=False, class_weight={"no": 2.0, "yes": 1.0},
        bidirectional=True,
    )  # fmt: skip
    labels = np.array(["no", "yes"])[LABELS % 2]
    return [
        (small(cell="lstm", early_stopping=True, validation_fraction=0.3), NUMBERS, LABELS),
        (words, TOKENS, labels),
        (small(vocabulary_size=WORDS, embedding=2), TOKENS, SEVERAL),
        (small(REGRESSOR, output_activation="tanh", dtype="float64"), NUMBERS[:, :, 0], VALUES),
        (
            dense(
                6, 4, max_iter=3, class_weight={0: 1, 1: 2, 2: 1}, clip_norm=0.1, dtype="float32"
            ),
            NUMBERS[:, 0],
            LABELS,
        ),
    ]


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("way", ["file", "pickle", "copy"])
def test_saved_models_are_the_same_bits_and_go_on(which: int, way: str, tmp_path: Path) -> None:
    model, x, y = three_models()[which]
    model.fit(x, y)
    if way == "file":
        model.save(tmp_path / "model.safetensors")
        other = type(model).load(tmp_path / "model.safetensors")
    else:
        other = pickle.loads(pickle.dumps(model)) if way == "pickle" else copy.deepcopy(model)
    assert str(other.get_params()) == str(
        {**model.get_params(), "dtype": other.dtype} if way == "file" else model.get_params()
    )
    for _ in range(2):
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
        for name in ("n_iter_", "loss_curve_", "validation_scores_", "n_features_in_"):
            assert getattr(other, name) == getattr(model, name), name
        if hasattr(model, "predict_proba"):
            np.testing.assert_array_equal(other.predict_proba(x), model.predict_proba(x))
            np.testing.assert_array_equal(other.classes_, model.classes_)
        model.partial_fit(x, y)
        other.partial_fit(x, y)
    # Another model, not another name for it.
    before = model.predict(x).copy()
    other._learner.flat[...] = 0
    np.testing.assert_array_equal(model.predict(x), before)


def test_a_cell_of_ones_own_is_asked_for(tmp_path: Path) -> None:
    mine = fastrnn.Cell(
        "mine", gates=("a",), states=("h",), forward=RNN_TANH.forward, backward=RNN_TANH.backward
    )  # fmt: skip
    path = tmp_path / "model.safetensors"
    model = small(cell=mine, max_iter=1).fit(NUMBERS, LABELS)
    model.save(path)
    with pytest.raises(fastrnn.ModelFileError, match="a cell of one's own, 'mine'"):
        SequenceClassifier.load(path)
    other = SequenceClassifier.load(path, cell=mine)
    np.testing.assert_array_equal(other.predict_proba(NUMBERS), model.predict_proba(NUMBERS))


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    small(max_iter=1).fit(NUMBERS, LABELS).save(path)
    with pytest.raises(fastrnn.ModelFileError, match="sequence_regressor"):
        SequenceRegressor.load(path)
    with pytest.raises(NotFittedError):
        small().save(path)
    whole = path.read_bytes()
    for name in (b'\\"hidden\\": 5', b'\\"inputs\\": 3', b'\\"layers\\": 1', b'\\"done\\": 3'):
        assert whole.count(name) == 1, name
        path.write_bytes(whole.replace(name, name[:-1] + b"9"))
        if b"done" not in name:
            with pytest.raises(fastrnn.ModelFileError, match="damaged"):
                SequenceClassifier.load(path)
    path.write_bytes(whole[:-40])
    with pytest.raises(fastrnn.ModelFileError, match="not a whole"):
        SequenceClassifier.load(path)


# --- doors ---


@pytest.mark.parametrize(
    ("options", "x", "y", "data", "message"),
    [
        ({}, NUMBERS, LABELS, {"lengths": [7, 1, 1, 1, 1, 1, 1]}, r"lengths .* \[0, 6\], got 7"),
        ({}, NUMBERS, LABELS, {"lengths": [1, 1]}, r"lengths must have shape \(N,\) = \(7,\)"),
        ({}, NUMBERS, LABELS[:3], {}, "inconsistent numbers of samples"),
        ({}, NUMBERS[:0], LABELS[:0], {}, "0 sample"),
        ({}, NUMBERS[:, :0], LABELS, {}, "at least one sequence, step and number"),
        ({}, [], [], {}, "2D array"),
        ({}, np.full_like(NUMBERS, np.nan), LABELS, {}, "NaN"),
        ({}, 1e300 * NUMBERS, LABELS, {}, "X must be finite in float32"),
        ({}, NUMBERS, np.full(COUNT, 0.5), {}, "Unknown label type"),
        ({}, NUMBERS, None, {}, "y"),
        ({"vocabulary_size": 4}, TOKENS, LABELS, {}, r"X must be in \[0, vocabulary_size\) = "),
        ({"vocabulary_size": WORDS}, NUMBERS, LABELS, {}, "X must be tokens"),
        ({"embedding": 3}, TOKENS, LABELS, {}, "vocabulary_size must be"),
        ({"embedding": VECTORS, "vocabulary_size": 9}, TOKENS, LABELS, {}, "9 rows, got 5"),
        ({"cell": "lstn"}, NUMBERS, LABELS, {}, "cell must be one of .*'lstm'.* got 'lstn'"),
        ({"hidden_size": 0}, NUMBERS, LABELS, {}, "hidden_size must be at least 1, got 0"),
        ({"dropout": 1.0}, NUMBERS, LABELS, {}, "dropout must be .* below 1"),
        ({"optimizer": "adan"}, NUMBERS, LABELS, {}, "optimizer must be one of"),
        ({"schedule": "step"}, NUMBERS, LABELS, {}, "schedule must be one of"),
        ({"alpha": -1}, NUMBERS, LABELS, {}, "alpha must be at least 0"),
        ({"loss": "mse"}, NUMBERS, LABELS, {}, "loss must be one of"),
        ({"loss": "binary_cross_entropy"}, NUMBERS, LABELS, {}, "for 3 classes"),
        ({"loss": "cross_entropy"}, NUMBERS, SEVERAL, {}, "several classes"),
        ({"class_weight": "balanced"}, NUMBERS, SEVERAL, {}, "class_weight must be None"),
        ({"class_weight": {7: 1.0}}, NUMBERS, LABELS, {}, "not in class_weight"),
        ({}, NUMBERS, LABELS, {"sample_weight": np.zeros(COUNT)}, "weight"),
        ({"every_step": True}, NUMBERS, LABELS, {}, r"y must .*\(N, T\) = \(7, 6\), got shape"),
        ({"early_stopping": True}, NUMBERS[:2], LABELS[:2], {}, "more than the 2 samples"),
    ],
)  # fmt: skip
def test_bad_input_is_told(options: Any, x: Any, y: Any, data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options).fit(x, y, **data)


def test_bad_input_leaves_a_fitted_model() -> None:
    model = small(max_iter=2).fit(NUMBERS, LABELS)
    before = model.predict_proba(NUMBERS)
    for x, y in ((NUMBERS[:, :, :2], SEVERAL[:3]), (NUMBERS[:, :, 0], LABELS + 0.5)):
        with pytest.raises(ValueError, match=r"inconsistent|Unknown"):
            model.fit(x, y)
    np.testing.assert_array_equal(model.predict_proba(NUMBERS), before)
    assert (model.n_features_in_, model.classes_.tolist()) == (3, [0, 1, 2])


def test_more_bad_input() -> None:
    parts = [NUMBERS[n, :length] for n, length in enumerate(LENGTHS)]
    with pytest.raises(ValueError, match="lengths must be None where X is a list"):
        small().fit(parts, LABELS, lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"y\[0\] must have 3 steps as X\[0\], got 2"):
        small(every_step=True).fit(parts, [[0, 1], *STEP_LABELS[1:]])
    with pytest.raises(TypeError, match="progress must be callable"):
        small().fit(NUMBERS, LABELS, progress=3)
    with pytest.raises(ValueError, match="classes must be given at the first call"):
        small().partial_fit(NUMBERS, LABELS)
    model = small(max_iter=1).fit(NUMBERS, LABELS)
    with pytest.raises(ValueError, match=r"y must be among the classes \[0, 1, 2\], got .*5.* at"):
        model.partial_fit(NUMBERS, [0, 1, 5, 0, 1, 2, 0])
    with pytest.raises(ValueError, match="classes must be those of the first call"):
        model.partial_fit(NUMBERS, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="X must have 3 numbers for each step"):
        model.predict(NUMBERS[:, :, :2])
    with pytest.raises(ValueError, match="'balanced'"):
        small(class_weight="balanced").partial_fit(NUMBERS, LABELS, [0, 1, 2])
    with pytest.raises(ValueError, match="class_weight must not be 'balanced' for partial_fit"):
        dense(class_weight="balanced").partial_fit(NUMBERS[:, 0], LABELS, [0, 1, 2])
    with pytest.raises(NotFittedError):
        small().predict(NUMBERS)
    with pytest.raises(ValueError, match=r"y must have shape \(N, 2\)"):
        small(REGRESSOR, max_iter=1).fit(NUMBERS, VALUES).partial_fit(NUMBERS, VALUES[:, :1])
    with pytest.raises(ValueError, match="hidden_layer_sizes must be at least 1"):
        MLPClassifier((4, 0)).fit(NUMBERS[:, 0], LABELS)


def test_scikit_learn_is_imported_for_estimators_alone() -> None:
    code = """
import sys, fastrnn, fastrnn.models
fastrnn.models.LanguageModel
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None
try:
    fastrnn.models.SequenceClassifier
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'fastrnn[estimators]'" in done.stdout


@pytest.mark.skipif(PLAIN, reason="it is what the others run on")
def test_plain_kernels_train_the_same_model(tmp_path: Path) -> None:
    code = f"""
import sys, numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_estimators import *
model = small(bidirectional=True, alpha=0.1, dtype=np.float64)
np.save(sys.argv[1], model.fit(NUMBERS, LABELS, lengths=LENGTHS)._learner.flat)
model = small(REGRESSOR, output_activation="sigmoid", embedding=2, vocabulary_size=WORDS,
              dtype=np.float64)
np.save(sys.argv[2], model.fit(TOKENS, VALUES)._learner.flat)
"""
    found = {}
    for disabled in ("0", "1"):
        paths = [str(tmp_path / f"{name}_{disabled}.npy") for name in ("a", "b")]
        environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
        subprocess.run([sys.executable, "-c", code, *paths], check=True, env=environment)
        found[disabled] = [np.load(path) for path in paths]
    for compiled, plain in zip(found["0"], found["1"], strict=True):
        assert_close(compiled, plain, 2**20 * eps(np.float64))
