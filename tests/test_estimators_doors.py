"""What the estimators refuse, what they take in more than one form, and what they say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import assert_close, eps, normal

pytest.importorskip("sklearn", reason="the estimators are in its manner")

import fastrnn
from fastrnn.cells import GRU, RNN_TANH
from fastrnn.models import MLPClassifier, SequenceClassifier, SequenceRegressor

COUNT, TIME, INPUTS = 7, 6, 3
NUMBERS = normal((COUNT, TIME, INPUTS), np.float64, 1)
LABELS = np.array([0, 1, 2, 1, 1, 0, 2])
STEP_LABELS = np.random.default_rng(0).integers(0, 3, (COUNT, TIME))


def small(kind: Any = SequenceClassifier, **options: Any) -> Any:
    chosen = {"cell": "gru", "hidden_size": 5, "max_iter": 1, "batch_size": 3, "random_state": 3}
    return kind(**{**chosen, **options})


# --- files ---


@pytest.mark.parametrize("changed", [{"hidden_size": 9, "cell": "lstm"}, {"dtype": np.float64},
                                     {"alpha": -1}])  # fmt: skip
def test_files_hold_the_parameters_of_the_training(changed: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = small().fit(NUMBERS, LABELS)
    model.set_params(**changed).save(path)
    other = SequenceClassifier.load(path)
    np.testing.assert_array_equal(other.predict_proba(NUMBERS), model.predict_proba(NUMBERS))
    assert other.get_params() == small().get_params()
    other.save(path)
    again = SequenceClassifier.load(path).partial_fit(NUMBERS, LABELS)
    again.set_params(alpha=0.5).partial_fit(NUMBERS, LABELS).save(path)
    assert SequenceClassifier.load(path).alpha == 0.5


def test_a_cell_that_is_missing_or_another_is_told(tmp_path: Path) -> None:
    mine = fastrnn.Cell(
        "mine", gates=("a",), states=("h",), forward=RNN_TANH.forward, backward=RNN_TANH.backward
    )  # fmt: skip
    path = tmp_path / "model.safetensors"
    small(cell=mine).fit(NUMBERS, LABELS).save(path)
    with pytest.raises(fastrnn.ModelFileError, match=r"own, 'mine', .* cell=\.\.\.") as told:
        SequenceClassifier.load(path)
    assert "damaged" not in str(told.value)
    with pytest.raises(fastrnn.ModelFileError, match=r"cell must be 'mine', .* got 'gru'"):
        SequenceClassifier.load(path, cell=GRU)


# --- parameters ---


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_of_classes_are_not_negative(weight: float) -> None:
    message = rf"class_weight must be finite and at least 0 .* got {weight:g} for class 1$"
    with pytest.raises(ValueError, match=message):
        small(class_weight={0: 1, 1: weight, 2: 3}).fit(NUMBERS, LABELS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hidden_size": 6}, "before: hidden_size must be 5, got 6$"),
        ({"cell": "lstm"}, "before: cell must be 'gru', got 'lstm'$"),
        ({"dtype": np.float64}, "before: dtype must be 'float32', got 'float64'$"),
        ({"optimizer": "sgd"}, "before: optimizer must be 'adam', got 'sgd'$"),
        ({"vocabulary_size": 2}, "before: vocabulary_size must be None, got 2$"),
    ],
)
def test_what_changed_between_trainings_is_named(changed: Any, message: str) -> None:
    model = small().fit(NUMBERS, LABELS).set_params(**changed)
    x = np.zeros((COUNT, TIME), int) if "vocabulary_size" in changed else NUMBERS
    with pytest.raises(ValueError, match=message):
        model.partial_fit(x, LABELS)


def test_labels_are_told_as_python_writes_them() -> None:
    model = small().fit(NUMBERS, LABELS)
    with pytest.raises(ValueError, match=r"\[0, 1, 2\], got 5 at index 2$"):
        model.partial_fit(NUMBERS, np.array([0, 1, 5, 0, 1, 2, 0]))


def test_what_is_wrong_in_targets_of_steps_has_a_place() -> None:
    lengths = [3, 0, 6, 1, 6, 2, 4]
    model = small(every_step=True).fit(NUMBERS, STEP_LABELS, lengths=lengths)
    labels, numbers = STEP_LABELS.copy(), NUMBERS.copy()
    labels[4, 5], numbers[4, 5, 1] = 7, 1e300
    with pytest.raises(ValueError, match=r"got 7 at step 5, sequence 4$"):
        model.partial_fit(NUMBERS, labels, lengths=lengths)
    with pytest.raises(ValueError, match=r"y must be finite in float32, .* at step 5, sequence 4$"):
        small(SequenceRegressor, every_step=True).fit(NUMBERS, numbers, lengths=lengths)


def test_numbers_that_are_not_finite_are_told_so() -> None:
    with pytest.raises(ValueError, match="alpha must be a number of at least 0, got nan"):
        small(alpha=np.nan).fit(NUMBERS, LABELS)


@pytest.mark.parametrize(
    ("embedding", "error", "message"),
    [
        (fastrnn.data.WordVectors(["a", "b"], np.zeros((2, 3), np.float32)), TypeError,
         r"got WordVectors: fastrnn\.data\.embedding_matrix makes an array"),
        ("glove.txt", TypeError, r"got str: fastrnn\.data\.embedding_matrix makes an array"),
        (Path("glove.txt"), TypeError, r"got \w+Path: fastrnn\.data\.embedding_matrix makes"),
        ((np.zeros((2, 3)), np.zeros(2)), ValueError, "an array, got a tuple that is none"),
    ],
)  # fmt: skip
def test_vectors_that_are_no_array_are_told(embedding: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=f"^embedding must be .*{message}"):
        small(vocabulary_size=2, embedding=embedding).fit([[0, 1], [1, 0]], [0, 1])


# --- forecasts ---


@pytest.mark.parametrize(
    ("numbers", "shape", "every_step"),
    [(2, (4,), False), (2, (2,), False), (2, (2, 1), False), (2, (2,), True), (1, (3,), True),
     (2, (1, 2), False), (1, (), False), (1, (), True), (1, (4,), False), (1, (4, 1), False),
     (1, (1,), True), (1, (2, 2), False)],
)  # fmt: skip
def test_forecasts_need_next_steps(numbers: int, shape: Any, every_step: bool) -> None:
    allowed = {(2, (2,), True), (2, (1, 2), False), (1, (), False), (1, (), True),
               (1, (4,), False), (1, (4, 1), False), (1, (1,), True)}  # fmt: skip
    x = NUMBERS[:, :, :numbers]
    y = normal((COUNT, *(TIME,) * every_step, *shape), np.float64, 2)
    model = small(SequenceRegressor, every_step=every_step).fit(x, y)
    if (numbers, shape, every_step) in allowed:
        assert model.forecast(x, 5).shape == (COUNT, 5, numbers)
        return
    with pytest.raises(ValueError, match=f"y must have been next steps of I = {numbers}"):
        model.forecast(x, 5)


# --- dense layers ---


def test_one_hidden_layer_may_be_a_number() -> None:
    x = NUMBERS[:, 0]
    one, two = (MLPClassifier(h, max_iter=2, random_state=0).fit(x, LABELS) for h in (5, (5,)))
    np.testing.assert_array_equal(one.predict_proba(x), two.predict_proba(x))
    with pytest.raises(TypeError, match=r"hidden_layer_sizes must be an integer, got 2\.5"):
        MLPClassifier(2.5).fit(x, LABELS)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes must be \(5,\), got \(6,\)$"):
        one.set_params(hidden_layer_sizes=6).partial_fit(x, LABELS)


# --- sequences ---

RAGGED = [NUMBERS[n, :length] for n, length in enumerate([3, 0, 6, 1, 6, 2, 4])]


def of_objects(sequences: Any) -> Any:
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array


def test_arrays_of_sequences_are_lists_of_them() -> None:
    (x, y), _ = fastrnn.data.synthetic_imdb(20, 5, 100, seed=0)
    assert x.dtype == object
    reviews = small(vocabulary_size=100).fit(x, y)
    np.testing.assert_array_equal(
        reviews.predict_proba(x), small(vocabulary_size=100).fit(list(x), y).predict_proba(list(x))
    )
    labels = [row[: len(part)] for row, part in zip(STEP_LABELS, RAGGED, strict=True)]
    one = small(every_step=True).fit(of_objects(RAGGED), of_objects(labels))
    two = small(every_step=True).fit(RAGGED, labels)
    np.testing.assert_array_equal(one._learner.flat, two._learner.flat)


def test_lists_of_any_length_are_read_after_a_table() -> None:
    table = NUMBERS[:, :, 0]
    model = small(SequenceRegressor).fit(table, table[:, 0])
    short = table[:, :4]
    found = model.predict(list(short))
    ragged = model.predict([*short, short[0, :2]])
    assert_close(ragged[:-1], found, 64 * eps(np.float32))
    with pytest.raises(ValueError, match="X has 4 features, but SequenceRegressor is expecting 6"):
        model.predict(short)
    of_list = small(SequenceRegressor).fit(table.tolist(), table[:, 0])
    np.testing.assert_array_equal(of_list.predict(list(short)), found)
    assert of_list.forecast(table, 3).shape == (COUNT, 3)


@pytest.mark.parametrize("words", [None, 9])
def test_sequences_without_steps(words: int | None) -> None:
    x = NUMBERS if words is None else np.arange(COUNT * TIME).reshape(COUNT, TIME) % words
    model = small(vocabulary_size=words).fit(x, LABELS)
    both = model.predict_proba([[], x[0]])
    for empty in ([[]], [[], []], ((), ())):
        found = model.predict_proba(empty)
        assert_close(found, both[[0] * len(empty)], 64 * eps(np.float32))
    each = small(vocabulary_size=words, every_step=True).fit(x, STEP_LABELS)
    assert [part.shape for part in each.predict([[], []])] == [(0,), (0,)]
    for data in (([[], []], [[], []], {}), (x, STEP_LABELS, {"lengths": [0] * COUNT})):
        with pytest.raises(ValueError, match="X must have at least one step to be scored"):
            each.score(*data[:2], **data[2])
    with pytest.raises(ValueError, match="X must have at least one step to learn from"):
        each.fit(x, STEP_LABELS, lengths=[0] * COUNT)


def test_what_is_held_out_has_steps() -> None:
    model = small(every_step=True, early_stopping=True, max_iter=2)
    refused = 0
    for seed in range(6):
        lengths = np.zeros(COUNT, int)
        lengths[seed] = TIME
        with pytest.raises(ValueError, match=r"at least one step (that early|to train on)"):
            model.set_params(random_state=seed).fit(NUMBERS, STEP_LABELS, lengths=lengths)
        refused += not hasattr(model, "classes_")
    assert refused == 6


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([NUMBERS[0], np.array([[0, 1, 2], [0, np.nan, 0]])],
         "X must be finite in float32, .* at step 1, sequence 1$"),
        ([NUMBERS[0], NUMBERS[1, :2, :2]], r"^X\[1\] must have entries of shape \(3,\)"),
        ([["a", "b"], ["c", "d"]], "X must be numbers, or tokens with vocabulary_size, got str"),
        ([["a", "b"], ["c"]], r"^X\[0\] must be of dtype float64"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_list_has_a_place(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().fit(x, [0, 1])
