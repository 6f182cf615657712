"""V. Zhou's sentiment network: the published script on the naive class and on the drop-in."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, PLAIN, assert_close, eps

from fastrnn.compat import sentiment as compat
from fastrnn.data import sentiment_phrases
from fastrnn.reference import sentiment as naive

K_STEP = 16  # k of k*eps after single phrases
K_TRAINED = 4096  # after hundreds of steps, each of which multiplies the errors of those before
K_FINITE = 1e-7  # of central differences with a step of 1e-5 in float64
WEIGHTS = ("Whh", "Wxh", "Why", "bh", "by")
PHRASES = ("good", "not bad", "i am not at all good", "this is good and not bad and good", "bad")
LABELS = (1, 1, 0, 1, 0)


def vocabulary(texts: Any) -> dict[str, int]:
    return {w: i for i, w in enumerate(sorted({w for text in texts for w in text.split(" ")}))}


def createInputs(text: str, word_to_idx: dict[str, int], dtype: Any = np.float64) -> list[Any]:
    inputs = []
    for w in text.split(" "):
        v = np.zeros((len(word_to_idx), 1), dtype)
        v[word_to_idx[w]] = 1
        inputs.append(v)
    return inputs


WORDS = vocabulary(PHRASES)
INPUTS = [createInputs(text, WORDS) for text in PHRASES]


def softmax(xs: Any) -> Any:
    return np.exp(xs) / sum(np.exp(xs))


def both(hidden: int = 64, scale: float = 1.0, classes: int = 2) -> tuple[Any, Any]:
    """The two classes with the same weights, `scale` times the published ones."""
    networks = []
    for module in (naive, compat):
        np.random.seed(3)
        rnn = module.RNN(len(WORDS), classes, hidden)
        for name in ("Whh", "Wxh", "Why"):
            setattr(rnn, name, getattr(rnn, name) * scale)
        networks.append(rnn)
    return networks[0], networks[1]


def assert_same_weights(one: Any, other: Any, tolerance: float) -> None:
    for name in WEIGHTS:
        assert getattr(other, name).shape == getattr(one, name).shape
        assert_close(getattr(other, name), getattr(one, name), tolerance, name)


def processData(rnn: Any, backprop: bool = True) -> list[Any]:
    """The published loop, in a fixed order; every array that it sees."""
    seen = []
    for inputs, target in zip(INPUTS, LABELS, strict=True):
        out, h = rnn.forward(inputs)
        probs = softmax(out)
        seen += [out, h, probs.copy(), np.array(float(-np.log(probs[target, 0])))]
        if backprop:
            probs[target] -= 1
            rnn.backprop(probs)
    return seen


@pytest.mark.parametrize("hidden", [1, 7, 8, 64, 67])
def test_the_published_script_sees_the_same_arrays(hidden: int) -> None:
    one, other = both(hidden, scale=100.0)
    for backprop in (True, True, False):
        for a, b in zip(processData(one, backprop), processData(other, backprop), strict=True):
            assert_close(b, a, K_STEP * eps(np.float64))
        assert_same_weights(one, other, K_STEP * eps(np.float64))
    assert list(other.last_hs) == list(one.last_hs)
    for t, h in one.last_hs.items():
        assert_close(other.last_hs[t], h, K_STEP * eps(np.float64))
    assert other.last_inputs is INPUTS[-1]


def test_weights_are_those_of_the_published_class_after_the_same_seed() -> None:
    np.random.seed(11)
    expected = [np.random.randn(*shape) / 1000 for shape in [(64, 64), (64, 5), (2, 64)]]
    np.random.seed(11)
    rnn = compat.RNN(5, 2)
    for name, array in zip(("Whh", "Wxh", "Why"), expected, strict=True):
        np.testing.assert_array_equal(getattr(rnn, name), array)
    assert not rnn.bh.any()
    assert not rnn.by.any()


def test_one_step_moves_against_the_gradient_by_finite_differences() -> None:
    """And the published backprop, with Whh for Whh.T, does not."""
    _, rnn = both(hidden=5, scale=400.0)
    inputs, target, rate, width = INPUTS[3], LABELS[3], 1e-3, 1e-5

    def loss() -> float:
        return -float(np.log(softmax(rnn.forward(inputs)[0])[target, 0]))

    finite = {}
    for name in WEIGHTS:
        array = getattr(rnn, name).copy()
        slopes = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            values = []
            for step in (width, -width):
                array[place] += step
                setattr(rnn, name, array)
                values.append(loss())
                array[place] -= step
            slopes[place] = (values[0] - values[1]) / (2 * width)
        setattr(rnn, name, array)
        finite[name] = slopes
    assert max(np.abs(g).max() for g in finite.values()) < 1  # so that no clipping acts

    before = {name: getattr(rnn, name).copy() for name in WEIGHTS}
    y, _ = rnn.forward(inputs)
    d_y = softmax(y)
    d_y[target] -= 1
    wrong = published_gradients(rnn, inputs, d_y)
    rnn.backprop(d_y, learn_rate=rate)
    for name, slopes in finite.items():
        moved = (before[name] - getattr(rnn, name)) / rate
        assert_close(moved, slopes, K_FINITE, name)
    for name in ("Whh", "Wxh", "bh"):
        largest = np.abs(finite[name]).max()
        assert np.abs(wrong[name] - finite[name]).max() > 0.1 * largest, name
    for name in ("Why", "by"):
        assert_close(wrong[name], finite[name], K_FINITE, name)


def published_gradients(rnn: Any, inputs: Any, d_y: Any) -> dict[str, Any]:
    """Gradients as the published ``backprop`` takes them."""
    n = len(inputs)
    d_Whh, d_Wxh, d_bh = np.zeros(rnn.Whh.shape), np.zeros(rnn.Wxh.shape), np.zeros(rnn.bh.shape)
    d_h = rnn.Why.T @ d_y
    for t in reversed(range(n)):
        temp = (1 - rnn.last_hs[t + 1] ** 2) * d_h
        d_bh += temp
        d_Whh += temp @ rnn.last_hs[t].T
        d_Wxh += temp @ inputs[t].T
        d_h = rnn.Whh @ temp
    return {"Whh": d_Whh, "Wxh": d_Wxh, "bh": d_bh, "Why": d_y @ rnn.last_hs[n].T, "by": d_y}


def test_gradients_are_clipped_and_the_callers_is_left_alone() -> None:
    one, other = both(hidden=9, scale=2000.0)
    d_y = np.array([[30.0], [-7.0]])
    for rnn in (one, other):
        rnn.forward(INPUTS[3])
        rnn.backprop(d_y)
    np.testing.assert_array_equal(d_y, [[30.0], [-7.0]])
    assert_same_weights(one, other, K_STEP * eps(np.float64))
    np.testing.assert_array_equal(other.by, [[-0.02], [0.02]])


def test_backprop_may_be_called_again() -> None:
    one, other = both(scale=100.0)
    for rnn in (one, other):
        rnn.forward(INPUTS[2])
        for _ in range(3):
            rnn.backprop(np.array([[0.5], [-0.5]]), learn_rate=0.1)
    assert_same_weights(one, other, K_STEP * eps(np.float64))


def test_words_as_indices_columns_of_integers_and_columns_of_any_numbers() -> None:
    one, other = both(scale=100.0)
    indices = [WORDS[w] for w in PHRASES[3].split(" ")]
    expected, _ = one.forward(INPUTS[3])
    for inputs in (indices, np.array(indices), [v.astype(int) for v in INPUTS[3]]):
        y, _ = other.forward(inputs)
        assert_close(y, expected, K_STEP * eps(np.float64))
    columns = [np.random.default_rng(t).standard_normal((len(WORDS), 1)) for t in range(4)]
    for rnn in (one, other):
        rnn.forward(columns)
        rnn.backprop(np.array([[0.5], [-0.5]]))
    assert_same_weights(one, other, K_STEP * eps(np.float64))


@pytest.mark.parametrize("mixed", [False, True])
def test_training_is_the_published_loop(mixed: bool) -> None:
    one, other = both(scale=10.0)
    inputs: list[Any] = list(INPUTS)
    if mixed:
        inputs[::2] = [[WORDS[w] for w in text.split(" ")] for text in PHRASES[::2]]
    expected = one.train(INPUTS, LABELS, epochs=30, learn_rate=0.05, seed=5)
    actual = other.train(inputs, LABELS, epochs=30, learn_rate=0.05, seed=5)
    for a, b in zip(expected, actual, strict=True):
        assert_close(b, a, K_TRAINED * eps(np.float64))
    assert_same_weights(one, other, K_TRAINED * eps(np.float64))
    for a, b in zip(one.evaluate(INPUTS, LABELS), other.evaluate(inputs, LABELS), strict=True):
        assert b == pytest.approx(a, abs=K_TRAINED * eps(np.float64))


@DTYPES
def test_either_precision_is_kept_and_several_classes_are_learned(dtype: Any) -> None:
    np.random.seed(0)
    rnn = compat.RNN(len(WORDS), 3, 16, dtype=dtype)
    inputs = [createInputs(text, WORDS, dtype) for text in PHRASES]
    labels = [0, 1, 2, 1, 2]
    losses, accuracies = rnn.train(inputs, labels, epochs=400, learn_rate=0.1, seed=0)
    assert all(getattr(rnn, name).dtype == dtype for name in WEIGHTS)
    assert rnn.forward(inputs[0])[0].dtype == dtype
    assert losses[-1] < 0.05 < losses[0]
    assert accuracies[-1] == 1


def test_training_goes_on_with_a_generator() -> None:
    _, once = both(scale=10.0)
    twice = copy.deepcopy(once)
    whole = once.train(INPUTS, LABELS, epochs=8, seed=np.random.default_rng(1))
    generator = np.random.default_rng(1)
    parts = [twice.train(INPUTS, LABELS, epochs=count, seed=generator) for count in (3, 0, 5)]
    np.testing.assert_array_equal(whole[0], np.concatenate([losses for losses, _ in parts]))
    for name in WEIGHTS:
        np.testing.assert_array_equal(getattr(once, name), getattr(twice, name))


@pytest.mark.skipif(PLAIN, reason="a thousand epochs of NumPy")
def test_the_published_end_point() -> None:
    """Train loss 0.002, test loss 0.003, both accuracies 1.000, on ten seeds."""
    phrases = dict(zip(("train", "test"), sentiment_phrases(), strict=True))
    words = vocabulary(text for part in phrases.values() for text in part.texts)
    parts = {
        name: ([[words[w] for w in text.split(" ")] for text in part.texts], list(part.labels))
        for name, part in phrases.items()
    }
    assert len(parts["train"][0]) == 58
    assert len(parts["test"][0]) == 20
    right = 0
    for seed in range(10):
        np.random.seed(seed)
        rnn = compat.RNN(len(words), 2)
        rnn.train(*parts["train"], epochs=1000, seed=seed)
        train, test = rnn.evaluate(*parts["train"]), rnn.evaluate(*parts["test"])
        right += train[1] == test[1] == 1 and train[0] < 0.0025
    assert right >= 9


COLUMN = np.zeros((len(WORDS), 1))
V = len(WORDS)


@DTYPES
def test_a_training_that_diverges_stops_before_the_wrong_step(dtype: Any) -> None:
    networks = []
    for _ in range(2):
        np.random.seed(3)
        networks.append(compat.RNN(len(WORDS), 2, 9, dtype=dtype))
    rnn, twin = networks
    rate = float(np.finfo(dtype).max) / 4
    with pytest.raises(ArithmeticError, match="the weights are those before it") as caught:
        rnn.train([INPUTS[0]] * 2, [0, 1], 200, rate, seed=0)
    found = re.search(r"not finite at step (\d+);", str(caught.value))
    assert found
    assert int(found[1]) > 0
    assert all(np.isfinite(getattr(rnn, name)).all() for name in WEIGHTS)
    generator = np.random.default_rng(0)
    order = np.concatenate([generator.permutation(2) for _ in range(200)])
    for label in order[: int(found[1])]:
        twin.train(INPUTS[:1], [label], 1, rate)
    assert_same_weights(rnn, twin, 0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda r: r.forward([]), ValueError, "inputs must have at least one word, got none"),
        (
            lambda r: r.forward([COLUMN, COLUMN[1:]]),
            ValueError,
            f"inputs[1] must have shape (V, 1) = ({V}, 1), got ({V - 1}, 1)",
        ),
        (
            lambda r: r.forward([0, V]),
            ValueError,
            f"inputs must be in [0, input_size) = [0, {V}), got {V} at index 1",
        ),
        (
            lambda r: r.forward([[0.0, 1.0]]),
            ValueError,
            f"inputs[0] must have shape (V, 1) = ({V}, 1), got (2,)",
        ),
        (
            lambda r: r.forward("good"),
            TypeError,
            "inputs must be a sequence of columns (V, 1) or of word indices, got 'good'",
        ),
        (
            lambda r: r.forward([np.full((V, 1), "a")]),
            TypeError,
            "inputs[0] must be numbers, got str32",
        ),
        (
            lambda r: r.backprop(np.zeros((2, 1))),
            RuntimeError,
            "backprop must come after forward: there is no phrase to learn from",
        ),
        (
            lambda r: r.backprop(np.zeros(2)),
            ValueError,
            "d_y must have shape (C, 1) = (2, 1), got (2,)",
        ),
        (
            lambda r: r.train([[0], [1]], [0, 2]),
            ValueError,
            "targets must be in [0, output_size) = [0, 2), got 2 at index 1",
        ),
        (
            lambda r: r.train([[0], [1]], [0.0, 1.0]),
            TypeError,
            "targets must be integers, got float64",
        ),
        (
            lambda r: r.train([[0], []], [0, 1]),
            ValueError,
            "inputs[1] must have at least one word, got none",
        ),
        (
            lambda r: r.train([[0], [COLUMN, COLUMN.T]], [0, 1]),
            ValueError,
            f"inputs[1][1] must have shape (V, 1) = ({V}, 1), got (1, {V})",
        ),
        (
            lambda r: r.train([[0]], [0, 1]),
            ValueError,
            "targets must have shape (number of phrases,) = (1,), got (2,)",
        ),
        (
            lambda r: r.train([], []),
            ValueError,
            "inputs must be a sequence of at least one phrase, got []",
        ),
        (lambda r: r.train([[0]], [0], epochs=-1), ValueError, "epochs must be at least 0, got -1"),
        (
            lambda r: r.train([[0]], [0], learn_rate="fast"),
            TypeError,
            "learn_rate must be a number, got 'fast' of type str",
        ),
        (
            lambda r: r.train([[0]], [0], seed="a"),
            TypeError,
            "seed must be an integer, got 'a' of type str",
        ),
        (lambda r: r.train([[0]], [0], seed=-1), ValueError, "seed must be at least 0, got -1"),
        (
            lambda r: setattr(r, "Whh", np.zeros((2, 2))),
            ValueError,
            "Whh must have shape (H, H) = (64, 64), got (2, 2)",
        ),
        (
            lambda r: compat.RNN(0, 2),
            ValueError,
            "input_size must be at least 1, got 0",
        ),
        (
            lambda r: compat.RNN(3, 2, dtype=np.float16),
            TypeError,
            "dtype must be float32 or float64",
        ),
    ],
)  # fmt: skip
def test_errors_come_before_any_work(call: Any, kind: Any, message: str) -> None:
    _, rnn = both()
    before = [getattr(rnn, name).copy() for name in WEIGHTS]
    with pytest.raises(kind, match=re.escape(message)):
        call(rnn)
    for name, array in zip(WEIGHTS, before, strict=True):
        np.testing.assert_array_equal(getattr(rnn, name), array)
