"""min-char-rnn: the published script on the naive version and on the drop-in."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, assert_close, eps

from fastrnn.compat import min_char_rnn
from fastrnn.reference import min_char_rnn as naive
from fastrnn.reference import softmax_cross_entropy

#: Largest difference of gradients from the naive version, in eps of the largest of an array.
K = 100
#: The same after many iterations.
K_TRAINED = 5000

NAMES = ("Wxh", "Whh", "Why", "bh", "by")

TEXT = "the quick brown fox jumps over the lazy dog. pack my box with five dozen liquor jugs! " * 4

#: The script from where its functions were defined on, Python 3's print, a loop that ends. At the
#: published rate of 0.1 rounding errors grow tenfold in some iterations.
SCRIPT = """
{functions}

n, p = 0, 0
mWxh, mWhh, mWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
mbh, mby = np.zeros_like(bh), np.zeros_like(by)
smooth_loss = -np.log(1.0/vocab_size)*seq_length
printed = []
while n < 101:
  if p+seq_length+1 >= len(data) or n == 0:
    hprev = np.zeros((hidden_size,1), Wxh.dtype)
    p = 0
  inputs = [char_to_ix[ch] for ch in data[p:p+seq_length]]
  targets = [char_to_ix[ch] for ch in data[p+1:p+seq_length+1]]
  if n % 50 == 0:
    sample_ix = sample(hprev, inputs[0], 40)
    printed.append(''.join(ix_to_char[ix] for ix in sample_ix))
  loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)
  smooth_loss = smooth_loss * 0.999 + loss * 0.001
  for param, dparam, mem in zip([Wxh, Whh, Why, bh, by],
                                [dWxh, dWhh, dWhy, dbh, dby],
                                [mWxh, mWhh, mWhy, mbh, mby]):
    mem += dparam * dparam
    param += -learning_rate * dparam / np.sqrt(mem + 1e-8)
  p += seq_length
  n += 1
"""

NAIVE = "from fastrnn.reference.min_char_rnn import bind\nlossFun, sample = bind({names})"
DROP_INS = {
    "the naive import": "from fastrnn.reference.min_char_rnn import lossFun, sample",
    "import": "from fastrnn.compat.min_char_rnn import lossFun, sample",
    "bind": "from fastrnn.compat.min_char_rnn import bind\nlossFun, sample = bind({names})",
}


def parameters(hidden: int, vocabulary: int, dtype: Any, scale: float = 0.3) -> Any:
    generator = np.random.default_rng(0)
    shapes = [(hidden, vocabulary), (hidden, hidden), (vocabulary, hidden), (hidden, 1),
              (vocabulary, 1)]  # fmt: skip
    return tuple((generator.standard_normal(s) * scale).astype(dtype) for s in shapes)


def piece(length: int, hidden: int, vocabulary: int, dtype: Any) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(1)
    inputs, targets = generator.integers(0, vocabulary, (2, length)).tolist()
    return inputs, targets, generator.standard_normal((hidden, 1)).astype(dtype)


def run_script(functions: str, dtype: Any) -> dict[str, Any]:
    chars = sorted(set(TEXT))
    namespace = {
        "np": np,
        "data": TEXT,
        "vocab_size": len(chars),
        "char_to_ix": {ch: i for i, ch in enumerate(chars)},
        "ix_to_char": dict(enumerate(chars)),
        "hidden_size": 19,
        "seq_length": 11,
        "learning_rate": 0.01,
        **dict(zip(NAMES, parameters(19, len(chars), dtype), strict=True)),
    }
    np.random.seed(0)  # noqa: NPY002 - the script's generator
    exec(SCRIPT.format(functions=functions.format(names=", ".join(NAMES))), namespace)
    return namespace


@pytest.mark.parametrize("form", list(DROP_INS))
def test_the_published_loop_gives_the_same_arrays_and_text(form: str) -> None:
    desired = run_script(NAIVE, np.float64)
    actual = run_script(DROP_INS[form], np.float64)
    assert actual["printed"] == desired["printed"]
    tolerance = K_TRAINED * eps(np.float64)
    for name in (*NAMES, *(f"m{name}" for name in NAMES), *(f"d{name}" for name in NAMES)):
        assert_close(actual[name], desired[name], tolerance, name)
    for name in ("hprev", "loss", "smooth_loss"):
        assert_close(actual[name], desired[name], tolerance, name)


#: Characters of the piece, hidden units, vocabulary; more characters than one block of the head.
SIZES = [(25, 100, 65), (1, 1, 1), (1, 7, 3), (13, 33, 9), (300, 5, 17)]


@DTYPES
@pytest.mark.parametrize("sizes", SIZES, ids=lambda s: "-".join(map(str, s)))
def test_loss_fun(sizes: tuple[int, int, int], dtype: Any) -> None:
    length, hidden, vocabulary = sizes
    five = parameters(hidden, vocabulary, dtype, 1 / np.sqrt(hidden))
    arguments = piece(length, hidden, vocabulary, dtype)
    before = copy.deepcopy((five, arguments))
    desired = naive.bind(*five).lossFun(*arguments)
    actual = min_char_rnn.bind(*five).lossFun(*arguments)
    assert len(actual) == len(desired) == 7
    assert isinstance(actual[0], float)
    for name, value, true in zip(("loss", *NAMES, "h"), actual, desired, strict=True):
        if name != "loss":
            assert value.dtype == dtype
            assert value.flags.writeable
        assert_close(value, true, K * eps(dtype), name)
    for name, array, old in zip(NAMES, five, before[0], strict=True):
        np.testing.assert_array_equal(array, old, name)
    np.testing.assert_array_equal(arguments[2], before[1][2])


def test_gradients_are_clipped() -> None:
    """Of a long run of one character, whose errors all add up."""
    five = parameters(20, 5, np.float64, 0.15)
    arguments = [1] * 200, [2] * 200, np.zeros((20, 1))
    desired = naive.bind(*five).lossFun(*arguments)
    actual = min_char_rnn.bind(*five).lossFun(*arguments)
    for name, gradient, true in zip(NAMES, actual[1:6], desired[1:6], strict=True):
        assert np.abs(gradient).max() == 5, name
        assert (np.abs(gradient) < 5).any() == (name != "by"), name
        # Before clipping, sums of 200.
        assert_close(gradient, true, 200 * K * eps(np.float64), name)


def test_gradients_are_those_of_finite_differences() -> None:
    five = parameters(6, 4, np.float64, 0.5)
    arguments = piece(7, 6, 4, np.float64)
    loss_fun = min_char_rnn.bind(*five).lossFun
    gradients = loss_fun(*arguments)[1:6]
    step = 1e-6
    for name, array, gradient in zip(NAMES, five, gradients, strict=True):
        for place in np.ndindex(array.shape):
            old = array[place]
            losses = []
            for moved in (old + step, old - step):
                array[place] = moved
                losses.append(loss_fun(*arguments)[0])
            array[place] = old
            difference = (losses[0] - losses[1]) / (2 * step)
            assert abs(gradient[place] - difference) < 1e-7 * max(1, abs(difference)), name


def test_logits_past_the_range_of_exp() -> None:
    """The published softmax gives NaN."""
    five = parameters(5, 4, np.float64)
    five[4][:, 0] = [1000, -1000, 0, 999]
    inputs, targets, hprev = piece(6, 5, 4, np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        assert np.isnan(naive.bind(*five).lossFun(inputs, targets, hprev)[0])
    loss, *_ = min_char_rnn.bind(*five).lossFun(inputs, targets, hprev)
    h, logits = hprev, []
    for ix in inputs:
        h = np.tanh(five[0][:, [ix]] + five[1] @ h + five[3])
        logits.append((five[2] @ h + five[4])[:, 0])
    mean, _ = softmax_cross_entropy(np.array(logits), np.array(targets))
    assert_close(loss, 6 * mean, K * eps(np.float64))
    assert set(min_char_rnn.bind(*five).sample(hprev, 0, 50)) <= {0, 3}


def test_sample_draws_what_the_published_one_draws() -> None:
    five = parameters(11, 6, np.float64, 0.7)
    _, _, h = piece(1, 11, 6, np.float64)
    drawn = []
    for module in (naive, min_char_rnn):
        np.random.seed(5)  # noqa: NPY002 - the script's generator
        sample = module.bind(*five).sample
        drawn.append([sample(h, 2, 300), sample(h, 5, 0), sample(h, 5, 7)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[1][0])) > 1
    five32 = [array.astype(np.float32) for array in five]
    assert len(min_char_rnn.bind(*five32).sample(h.astype(np.float32), 2, 9)) == 9


def of_caller(hprev: Any) -> Any:
    """The drop-in, called where the parameters are local variables."""
    Wxh, Whh, Why, bh, by = parameters(5, 4, np.float64)
    results = min_char_rnn.lossFun([0, 1], [1, 2], hprev)
    return Wxh, Whh, Why, bh, by, results


def test_parameters_are_found_where_the_functions_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hprev = np.zeros((5, 1))
    *five, results = of_caller(hprev)
    desired = naive.bind(*five).lossFun([0, 1], [1, 2], hprev)
    assert_close(results[1], desired[1], K * eps(np.float64))
    with pytest.raises(NameError, match="lossFun reads Wxh, Whh, Why, bh, by where it is called, "
                       "and there is no Wxh, Whh, Why, bh, by"):  # fmt: skip
        min_char_rnn.lossFun([0, 1], [1, 2], hprev)
    for name, array in zip(NAMES, five, strict=True):
        monkeypatch.setattr(min_char_rnn, name, array, raising=False)
    assert_close(min_char_rnn.lossFun([0, 1], [1, 2], hprev)[1], desired[1], K * eps(np.float64))
    monkeypatch.delattr(min_char_rnn, "by")
    with pytest.raises(NameError, match=r"sample reads .* there is no by: define them"):
        min_char_rnn.sample(hprev, 0, 3)
    for call in (lambda: naive.lossFun([0], [1], hprev), lambda: naive.sample(hprev, 0, 3)):
        with pytest.raises(NameError, match="name 'Wxh' is not defined where the function"):
            call()


# ---- the whole script as one call


def trained(module: Any, iterations: int, **options: Any) -> tuple[Any, list[str]]:
    np.random.seed(0)  # noqa: NPY002 - the script's generator
    lines: list[str] = []
    result = module.train(TEXT, iterations, 32, 7, 0.01, sample_length=30, write=lines.append,
                          **options)  # fmt: skip
    return result, lines


@pytest.mark.parametrize("every", [100, 1, None])
def test_train_is_the_script(every: int | None) -> None:
    count = 5 if every == 1 else 201
    desired, printed = trained(naive, count, every=every)
    actual, lines = trained(min_char_rnn, count, every=every)
    assert lines == printed
    assert len(lines) == (0 if every is None else 2 * -(-count // every))
    assert actual.chars == desired.chars
    tolerance = K_TRAINED * eps(np.float64)
    assert_close(actual.losses, desired.losses, tolerance)
    assert_close(actual.smooth_loss, desired.smooth_loss, tolerance)
    assert_close(actual.hprev, desired.hprev, tolerance)
    for kind in ("parameters", "memories"):
        for name, value, true in zip(
            NAMES, getattr(actual, kind), getattr(desired, kind), strict=True
        ):
            assert_close(value, true, tolerance, f"{kind} {name}")


@DTYPES
def test_train_changes_the_arrays_that_it_is_given(dtype: Any) -> None:
    vocabulary = len(set(TEXT))
    five = parameters(8, vocabulary, dtype)
    # Any memory layout: the arrays are the user's.
    five = (np.asfortranarray(five[0]), np.ascontiguousarray(five[1].T).T, *five[2:])
    twins = tuple(array.copy() for array in five)
    actual = min_char_rnn.train(TEXT, 30, 3, 11, 0.01, parameters=five, every=None)
    naive.train(TEXT, 30, 3, 11, 0.01, parameters=twins, every=None)
    for name, mine, given, twin in zip(NAMES, actual.parameters, five, twins, strict=True):
        assert mine is given, name
        assert mine.dtype == dtype
        assert_close(mine, twin, K_TRAINED * eps(dtype), name)
    memories = tuple(memory.copy() for memory in actual.memories)
    again = min_char_rnn.train(
        TEXT, 10, 3, 11, 0.01, parameters=five, memories=actual.memories, every=None
    )
    for before, after, mine in zip(memories, again.memories, actual.memories, strict=True):
        assert after is mine
        assert (after >= before).all()
        assert (after > before).any()
    # The script's next iterations, the text begun anew.
    loss_fun = naive.bind(*twins).lossFun
    chars = sorted(set(TEXT))
    tokens = [chars.index(ch) for ch in TEXT[:12]]
    loss = loss_fun(tokens[:-1], tokens[1:], np.zeros((8, 1), dtype))[0]
    assert_close(again.losses[0], loss, K_TRAINED * eps(dtype))


@DTYPES
def test_a_training_that_diverges_stops_before_the_wrong_iteration(dtype: Any) -> None:
    five = parameters(5, len(set(TEXT)), dtype)
    twins = tuple(array.copy() for array in five)
    rate = float(np.finfo(dtype).max) / 8
    with pytest.raises(ArithmeticError, match="not finite at iteration") as caught:
        min_char_rnn.train(TEXT, 2000, 5, 11, rate, parameters=five, every=None)
    wrong = int(str(caught.value).split("iteration ")[1].split(";")[0])
    assert wrong > 0
    actual = min_char_rnn.train(TEXT, wrong, 5, 11, rate, parameters=twins, every=None)
    assert np.isfinite(actual.losses).all()
    for name, array, twin in zip(NAMES, five, twins, strict=True):
        assert np.isfinite(array).all(), name
        np.testing.assert_array_equal(array, twin, name)


def test_train_learns() -> None:
    np.random.seed(0)  # noqa: NPY002 - the script's generator
    result = min_char_rnn.train("hello world. " * 30, 600, 32, 25, every=None)
    assert result.losses[0] == pytest.approx(25 * np.log(9), rel=0.01)
    assert result.losses[-50:].mean() < 0.1 * result.losses[0]
    ixes = min_char_rnn.bind(*result.parameters).sample(
        np.zeros((32, 1)), result.chars.index("h"), 40
    )
    assert "hello world" in "".join(result.chars[ix] for ix in ixes)


def test_a_text_of_one_piece_begins_anew_each_time() -> None:
    for length in (8, 9, 10):
        results = []
        for module in (naive, min_char_rnn):
            np.random.seed(0)  # noqa: NPY002 - the script's generator
            results.append(module.train(TEXT[:length], 4, 5, 7, 0.01, every=None))
        assert_close(results[1].losses, results[0].losses, K_TRAINED * eps(np.float64))


# ---- errors

FIVE = parameters(5, 4, np.float64)


def with_(**changed: Any) -> list[Any]:
    return [changed.get(name, array) for name, array in zip(NAMES, FIVE, strict=True)]


H0 = np.zeros((5, 1))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: min_char_rnn.bind(*with_(Wxh=np.zeros(5))), ValueError,
         r"Wxh must have shape \(H, V\), none of them 0, got \(5,\)"),
        (lambda: min_char_rnn.bind(*with_(Whh=np.zeros((5, 4)))), ValueError,
         r"Whh must have shape \(H, H\) = \(5, 5\), got \(5, 4\)"),
        (lambda: min_char_rnn.bind(*with_(bh=np.zeros(5))), ValueError,
         r"bh must have shape \(H, 1\) = \(5, 1\), got \(5,\)"),
        (lambda: min_char_rnn.bind(*with_(by=np.zeros((4, 1), np.float32))), TypeError,
         "by must be float64, got float32"),
        (lambda: min_char_rnn.bind(*with_(Wxh=np.zeros((5, 4), int))), TypeError,
         "Wxh must be float32 or float64, got int64"),
        (lambda: min_char_rnn.bind(*with_(Why=[[1.0]])), TypeError,
         "Why must be an ndarray, got list"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([0, 4], [1, 1], H0), ValueError,
         r"inputs must be in \[0, V\) = \[0, 4\), got 4 at index 1"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([0, 1], [1, -1], H0), ValueError,
         r"targets must be in \[0, V\) = \[0, 4\), got -1 at index 1"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([0, 1], [1], H0), ValueError,
         r"targets must have shape \(T,\) = \(2,\), got \(1,\)"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([], [], H0), ValueError,
         r"inputs must have shape \(T,\), T not 0, got \(0,\)"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([0.5], [1], H0), TypeError,
         "inputs must be integers, got float64"),
        (lambda: min_char_rnn.bind(*FIVE).lossFun([0], [1], H0[:, 0]), ValueError,
         r"hprev must have shape \(H, 1\) = \(5, 1\), got \(5,\)"),
        (lambda: min_char_rnn.bind(*FIVE).sample(H0, 4, 3), ValueError,
         r"seed_ix must be in \[0, V\) = \[0, 4\), got 4"),
        (lambda: min_char_rnn.bind(*FIVE).sample(H0, 0, -1), ValueError,
         "n must be at least 0, got -1"),
        (lambda: min_char_rnn.bind(*FIVE).sample(H0.T, 0, 1), ValueError,
         r"h must have shape \(H, 1\) = \(5, 1\), got \(1, 5\)"),
        (lambda: min_char_rnn.train("", 1), ValueError, "data must not be empty"),
        (lambda: min_char_rnn.train(["a"], 1), TypeError, "data must be a str, got list"),
        (lambda: min_char_rnn.train("abc", 1, seq_length=3), ValueError,
         "data must have more than seq_length = 3 characters, got 3"),
        (lambda: min_char_rnn.train(TEXT, -1), ValueError, "iterations must be at least 0, got -1"),
        (lambda: min_char_rnn.train(TEXT, 1, learning_rate=0), ValueError,
         "learning_rate must be above 0, got 0"),
        (lambda: min_char_rnn.train(TEXT, 1, every=0), ValueError,
         "every must be at least 1, got 0"),
        (lambda: min_char_rnn.train("abcde" * 9, 1, parameters=FIVE), ValueError,
         r"Wxh must have shape \(H, V\) = \(H, 5\), one column for each character of data, "
         r"got \(5, 4\)"),
        (lambda: min_char_rnn.train("abcd" * 9, 1, parameters=FIVE[:4]), TypeError,
         r"parameters must be \(Wxh, Whh, Why, bh, by\)"),
        (lambda: min_char_rnn.train("abcd" * 9, 1, parameters=FIVE, memories=FIVE[::-1]),
         ValueError, r"memories' Wxh must have shape that of Wxh = \(5, 4\), got \(4, 1\)"),
    ],
)  # fmt: skip
def test_wrong_arguments(call: Any, error: Any, message: str) -> None:
    before = copy.deepcopy(FIVE)
    with pytest.raises(error, match=message):
        call()
    for array, old in zip(FIVE, before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_arrays_that_cannot_be_written_to() -> None:
    five = parameters(5, 4, np.float64)
    five[1].flags.writeable = False
    with pytest.raises(ValueError, match="Whh must be writable, got a read-only array"):
        min_char_rnn.train("abcd" * 9, 1, parameters=five)
    loss, *_ = min_char_rnn.bind(*five).lossFun([0, 1, 2], [1, 2, 3], H0)
    assert_close(loss, naive.bind(*five).lossFun([0, 1, 2], [1, 2, 3], H0)[0], K * eps(np.float64))
