"""The RNN class of tutorials: tables, binary addition and words, naive and on the drop-in."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, assert_close, eps

import fastrnn
from fastrnn.compat import rnn_class as compat
from fastrnn.reference import rnn_class as naive

K_STEP = 32  # k of k*eps after single steps
K_TRAINED = 1024  # after tens of steps
K_FINITE = 1e-7  # of central differences with a step of 1e-5 in float64
WEIGHTS = ("Wxh", "Whh", "Why", "bh", "by")
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[0], [1], [1], [0]])


def both(*sizes: int, **options: Any) -> tuple[Any, Any]:
    networks = []
    for module in (naive, compat):
        np.random.seed(3)
        networks.append(module.RNN(*sizes, **options))
    return networks[0], networks[1]


def assert_same_weights(one: Any, other: Any, tolerance: float) -> None:
    for name in WEIGHTS:
        assert_close(getattr(other, name), getattr(one, name), tolerance, name)


def additions(count: int, bits: int, seed: int = 0) -> tuple[Any, Any]:
    """Two bits a step, the lowest first, and the bits of the sum."""
    a, b = np.random.default_rng(seed).integers(0, 2 ** (bits - 1), (2, count), dtype=np.uint64)
    places = np.arange(bits, dtype=np.uint64)
    x, y, total = (n[:, None] >> places & np.uint64(1) for n in (a, b, a + b))
    return np.stack([x, y], axis=2), total


def words(count: int = 33, time: int = 11, seed: int = 0) -> tuple[Any, Any]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 50, (count, time)), generator.integers(0, 2, count)


SETS = {
    "a table of integers": (2, 1, *XOR),
    "a table of floats": (2, 1, XOR[0] * 0.5, XOR[1][:, 0]),
    "sequences of bits": (2, 1, *additions(20, 8)),
    "sequences, the last output": (2, 3, additions(9, 5)[0], np.eye(3, dtype=int)[[0, 1, 2] * 3]),
    "every output of several": (2, 2, *(a[:7] for a in additions(9, 6)[:1] * 2)),
    "words": (50, 1, *words()),
    "words, every output": (50, 1, words()[0], words()[0] % 2),
}


@pytest.mark.parametrize("name", SETS)
def test_the_same_script_sees_the_same_arrays(name: str, capsys: Any) -> None:
    inputs, outputs, x, y = SETS[name]
    one, other = both(inputs, 9, outputs)
    seen: list[list[Any]] = [[], []]
    for rnn, arrays in zip((one, other), seen, strict=True):
        arrays.append(rnn.predict(x))
        arrays.append(rnn.train(x, y, 21, 0.1))
        y_pred = rnn.forward(x)
        arrays += [y_pred, rnn.loss(y, y_pred)]
        rnn.backward(x, y, y_pred, 0.3)
        arrays += [rnn.predict(x), *rnn.evaluate(x, y, 4)]
        arrays.append(rnn.train(x, y, 5, 0.1, batch_size=4, seed=1))
        arrays.append(rnn.train(x, y, 2, 0.1, batch_size=3))
    for a, b in zip(*seen, strict=True):
        assert_close(b, a, K_TRAINED * eps(np.float64))
    assert_same_weights(one, other, K_TRAINED * eps(np.float64))
    lines = capsys.readouterr().out.splitlines()
    half = len(lines) // 2
    assert lines[:half] == lines[half:]
    assert [line.split(",")[0] for line in lines[:3]] == ["Epoch 0", "Epoch 10", "Epoch 20"]


@pytest.mark.parametrize("every", [False, True])
def test_one_step_moves_against_the_gradient_by_finite_differences(every: bool) -> None:
    inputs, outputs = 3, 2
    np.random.seed(4)
    rnn = compat.RNN(inputs, 4, outputs, return_sequences=every)
    x = np.random.randn(5, 6, inputs)
    y = np.random.randint(0, 2, (5, 6, outputs) if every else (5, outputs))
    finite, width, rate = {}, 1e-5, 1e-2
    for name in WEIGHTS:
        array = getattr(rnn, name)
        slopes = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            values = []
            for step in (width, -2 * width):
                array[place] += step
                values.append(rnn.loss(y, rnn.predict(x)))
            array[place] += width
            slopes[place] = (values[0] - values[1]) / (2 * width)
        finite[name] = slopes
    for move in (
        lambda: rnn.backward(x, y, rnn.forward(x), rate),
        lambda: rnn.train(x, y, 1, rate),
    ):
        before = {name: getattr(rnn, name).copy() for name in WEIGHTS}
        move()
        for name, slopes in finite.items():
            assert_close((before[name] - getattr(rnn, name)) / rate, slopes, K_FINITE, name)
            setattr(rnn, name, before[name])


def test_backward_uses_the_predictions_that_it_is_given() -> None:
    x, y = additions(6, 5)
    one, other = both(2, 7, 1)
    for rnn in (one, other):
        y_pred = rnn.forward(x)
        rnn.backward(x, y, 0.5 * y_pred, 0.3)
    assert_same_weights(one, other, K_STEP * eps(np.float64))


def test_backward_of_another_batch_than_the_last_runs_it_again() -> None:
    x, y = additions(6, 5)
    one, other = both(2, 7, 1)
    y_pred = one.forward(x)
    one.backward(x, y, y_pred, 0.3)
    given = other.forward(x)
    other.forward(x[:2])
    other.backward(x, y, given, 0.3)
    assert_same_weights(one, other, K_STEP * eps(np.float64))


@pytest.mark.skipif(PLAIN, reason="thousands of steps of NumPy")
def test_xor_is_learned(capsys: Any) -> None:
    x, y = XOR
    for seed in range(3):
        np.random.seed(seed)
        rnn = compat.RNN(2, 8, 1)
        rnn.train(x, y, 4000, 1.0)
        np.testing.assert_array_equal(rnn.predict(x) > 0.5, y == 1)
        score, acc = rnn.evaluate(x, y, 4)
        assert score < 0.05
        assert acc == 1


@pytest.mark.skipif(PLAIN, reason="thousands of steps of NumPy")
def test_addition_is_learned_on_8_bits_and_right_on_64(capsys: Any) -> None:
    np.random.seed(0)
    rnn = compat.RNN(2, 16, 1)
    rnn.train(*additions(1000, 8), 200, 1.0, batch_size=16, seed=0)
    x, y = additions(10_000, 64, seed=1)
    np.testing.assert_array_equal(rnn.predict(x)[:, :, 0] > 0.5, y == 1)


@pytest.mark.skipif(PLAIN, reason="hundreds of long sequences in NumPy")
def test_sentiment_of_many_words_is_learned(capsys: Any) -> None:
    """A vocabulary of 10,000; the words near the end tell."""
    generator = np.random.default_rng(0)
    x = generator.integers(100, 10_000, (1152, 20))
    y = generator.integers(0, 2, 1152)
    x[:, -4:] = generator.integers(0, 50, (1152, 4)) + 50 * y[:, None]
    np.random.seed(0)
    rnn = compat.RNN(10_000, 32, 1, dtype=np.float32)
    rnn.train(x[:1024], y[:1024], 60, 0.1, batch_size=32, seed=0)
    score, acc = rnn.evaluate(x[1024:], y[1024:], 32)
    assert acc > 0.98
    assert score < 0.1


def test_words_are_told_from_tables() -> None:
    """Integers as wide as the input are numbers if they cannot be words, or what was trained on."""
    one, other = both(3, 5, 1)
    table = np.array([[0, 1, 2], [2, 1, 0]])
    for numbers in (table // 2, table + 1, table - 1):
        expected = one.predict(numbers.astype(float))
        assert_close(other.predict(numbers), expected, K_STEP * eps(np.float64))
    with pytest.raises(ValueError, match="OneHot if it holds words, or floats if"):
        other.predict(table)
    y = np.array([0, 1])
    other.train(table.astype(float), y, 1, 0.0)
    numbers = other.predict(table)
    assert_close(numbers, one.predict(table.astype(float)), K_STEP * eps(np.float64))
    read = other.predict(fastrnn.OneHot(table))
    assert np.abs(read - numbers).min() > 0
    rows = np.eye(3)[table]
    one.return_sequences = False
    assert_close(read, one.predict(rows), K_STEP * eps(np.float64))
    # And after words, tables again, until words are trained on.
    assert_close(other.predict(table), numbers, K_STEP * eps(np.float64))
    other.return_sequences = False
    two = np.array([[0, 1], [2, 1]])
    for call in (other.predict, lambda x: other.train(x, y, 1, 0.0)):
        with pytest.raises(ValueError, match=re.escape("(N, I), I = 3, got (2, 2)")):
            call(two)
    other.train(fastrnn.OneHot(two), y, 1, 0.0)
    assert other.predict(two).shape == (2, 1)
    np.testing.assert_array_equal(other.predict(table), read)
    np.testing.assert_array_equal(
        other.predict(table // 2), other.predict(fastrnn.OneHot(table // 2))
    )
    other.backward(table.astype(float), y, other.predict(table.astype(float)), 0.0)
    assert_close(other.predict(table), numbers, K_STEP * eps(np.float64))


@pytest.mark.parametrize(
    "train",
    [
        lambda rnn, x, y: rnn.train(x, y, 1, 0.1),
        lambda rnn, x, y: rnn.backward(x, y, rnn.forward(x), 0.1),
    ],
)
def test_one_sequence_is_no_table_after_training_on_sequences(train: Any, capsys: Any) -> None:
    """Its T steps would be read as T sequences of one."""
    x, y = additions(6, 5)
    rnn = compat.RNN(2, 7, 1)
    assert rnn.predict(x[0]).shape == (5, 1)
    train(rnn, x, y)
    message = re.escape("x must have shape (N, T, I), I = 2, as what was trained on, a single ")
    for one in (x[0], x[0].astype(float)):
        for call in (rnn.forward, rnn.predict, lambda one: rnn.evaluate(one, y[0])):
            with pytest.raises(ValueError, match=message):
                call(one)
    assert_close(rnn.predict(x[:1]), rnn.predict(x)[:1], K_STEP * eps(np.float64))
    rnn.train(x[:, 0], y[:, :1], 1, 0.1)
    assert rnn.predict(x[0]).size == 5


@pytest.mark.parametrize("kind", ["words", "numbers"])
def test_weights_are_the_same_arrays_for_life(kind: str, capsys: Any) -> None:
    """A list of them, as gradient checks hold it, sees training and is seen by what follows."""
    rnn, same = both(20, 7, 1)[1], both(20, 7, 1)[1]
    x, y = np.random.default_rng(0).integers(0, 20, (6, 5)), np.array([0, 1] * 3)
    x = x if kind == "words" else np.eye(20)[x]
    weights = [getattr(rnn, name) for name in sorted(compat.RNN._weights)]
    others = np.eye(20)[:2, None]
    for network in (rnn, same):
        network.return_sequences = False
        network.train(x, y, 2, 0.1)
        network.backward(x, y, network.forward(x), 0.1)
        network.predict(others)
    for array, name in zip(weights, sorted(compat.RNN._weights), strict=True):
        np.testing.assert_array_equal(array, getattr(same, name))
        array += 1
        assert array is getattr(rnn, name)
        assert array.flags.c_contiguous
    assert np.abs(rnn.predict(x) - same.predict(x)).max() > 0
    for name in compat.RNN._weights:
        setattr(same, name, getattr(same, name) + 1)
    np.testing.assert_array_equal(rnn.predict(x), same.predict(x))


def test_a_training_that_diverges_keeps_the_steps_before(capsys: Any) -> None:
    """The sixth sequence has a word whose weights are no numbers."""
    rnn, same = both(20, 7, 1)[1], both(20, 7, 1)[1]
    x, y = np.random.default_rng(0).integers(0, 3, (6, 5)), np.array([0, 1] * 3)
    x[5] = 3
    rnn.Wxh[:, 3] = same.Wxh[:, 3] = np.nan
    before = rnn.Wxh.copy()
    with pytest.raises(ArithmeticError, match="not finite at step 5"):
        rnn.train(x, y, 1, 0.1, batch_size=1)
    same.train(x[:5], y[:5], 1, 0.1, batch_size=1)
    assert not np.array_equal(rnn.Wxh, before, equal_nan=True)
    for name in compat.RNN._weights:
        np.testing.assert_array_equal(getattr(rnn, name), getattr(same, name))


def test_single_precision_is_kept() -> None:
    x, y = words()
    one, _ = both(50, 9, 1)
    np.random.seed(3)
    other = compat.RNN(50, 9, 1, dtype=np.float32)
    for rnn in (one, other):
        rnn.train(x, y, 5, 0.5, batch_size=8)
    assert other.predict(x).dtype == np.float32
    assert_same_weights(one, other, K_TRAINED * eps(np.float32))


def test_extreme_predictions_have_a_loss() -> None:
    """The naive program's training loss would be infinite; here it comes from the logits."""
    np.random.seed(0)
    rnn = compat.RNN(1, 2, 1)
    rnn.Why, rnn.Wxh = [[2000.0, 0.0]], [[5.0], [0.0]]
    losses = rnn.train(np.array([[1.0], [-1.0]]), np.array([0, 1]), 1, 0.0)
    assert losses[0] == pytest.approx(2000, rel=1e-3)
    assert rnn.loss(np.array([0]), np.array([[1.0]])) == np.inf


X, Y = words(4, 5)
BITS = additions(4, 5)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda r, w: w.forward(np.array([[1, 50]])),
            ValueError,
            "x must be in [0, input_size) = [0, 50), got 50 at index (0, 1)",
        ),
        (
            lambda r, w: w.train(X, np.array([0, 1, 2, 0]), 1, 0.1),
            ValueError,
            "y_train must be 0 or 1, got 2 at index 2",
        ),
        (
            lambda r, w: w.train(X, Y[:3], 1, 0.1),
            ValueError,
            "y_train must have shape (N, O) = (4, 1), got (3,)",
        ),
        (
            lambda r, w: r.train(BITS[0], BITS[1][:, :4], 1, 0.1),
            ValueError,
            "y_train must have shape (N, O) = (4, 1), got (4, 4)",
        ),
        (
            lambda r, w: r.forward(np.zeros((4, 5, 3))),
            ValueError,
            "x must have shape (N, T, I) or (N, I), I = 2, got (4, 5, 3)",
        ),
        (
            lambda r, w: r.forward(np.zeros((0, 5, 2))),
            ValueError,
            "x must have shape (N, T, I) or (N, I), I = 2, neither of them 0, got (0, 5, 2)",
        ),
        (
            lambda r, w: w.predict(np.zeros((3, 0), int)),
            ValueError,
            "x must have shape (N, T), neither of them 0, got (3, 0)",
        ),
        (lambda r, w: r.forward(np.zeros(2)), ValueError, "I = 2, got (2,)"),
        (
            lambda r, w: r.train(np.array([[0, 1], [0, np.nan]]), [0, 1], 1, 0.1),
            ValueError,
            "x_train must be finite in float64, got nan at (1, 1)",
        ),
        (
            lambda r, w: r.evaluate(np.full((4, 5, 2), np.inf), BITS[1]),
            ValueError,
            "x must be finite in float64, got inf at (0, 0, 0)",
        ),
        (lambda r, w: r.forward([["a", "b"]]), TypeError, "x must be numbers, got str"),
        (
            lambda r, w: w.forward(fastrnn.OneHot([0.5])),
            TypeError,
            "x must be integers, got float64",
        ),
        (
            lambda r, w: r.backward(BITS[0], BITS[1], np.zeros((4, 1)), 0.1),
            ValueError,
            "y_pred must have shape (N, T, O) = (4, 5, 1), got (4, 1)",
        ),
        (
            lambda r, w: r.backward(BITS[0], BITS[1] + 1, np.zeros((4, 5, 1)), 0.1),
            ValueError,
            "y_true must be 0 or 1, got 2",
        ),
        (
            lambda r, w: r.loss(np.zeros(3), np.zeros((2, 1))),
            ValueError,
            "y_true must be as many as y_pred = (2, 1), got (3,)",
        ),
        (
            lambda r, w: w.evaluate(X, Y, 0),
            ValueError,
            "batch_size must be at least 1, got 0",
        ),
        (lambda r, w: w.train(X, Y, -1, 0.1), ValueError, "epochs must be at least 0, got -1"),
        (
            lambda r, w: w.train(X, Y, 1, "fast"),
            TypeError,
            "learning_rate must be a number, got 'fast'",
        ),
        (
            lambda r, w: setattr(r, "Whh", np.zeros((3, 3))),
            ValueError,
            "Whh must have shape (H, H) = (6, 6), got (3, 3)",
        ),
        (lambda r, w: compat.RNN(2, 0, 1), ValueError, "hidden_size must be at least 1, got 0"),
        (
            lambda r, w: compat.RNN(2, 3, 1, return_sequences=1),
            TypeError,
            "return_sequences must be True or False, got 1",
        ),
    ],
)  # fmt: skip
def test_errors_come_before_any_work(call: Any, kind: Any, message: str) -> None:
    np.random.seed(0)
    networks = compat.RNN(2, 6, 1), compat.RNN(50, 6, 1)
    before = [getattr(rnn, name).copy() for rnn in networks for name in WEIGHTS]
    with pytest.raises(kind, match=re.escape(message)):
        call(*networks)
    after = [getattr(rnn, name) for rnn in networks for name in WEIGHTS]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
