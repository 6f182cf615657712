"""Data that is drawn: spirals, a sine, binary addition, phrases."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, eps
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import (
    binary_addition,
    draw_sentiment,
    from_bits,
    sentiment_grammar,
    sentiment_phrases,
    sine,
    spirals,
    to_bits,
)


def published_spirals(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The lines of the published program, whose generator is numpy's old one."""
    draws = np.random.RandomState(seed)
    N, D, K = 100, 2, 3  # noqa: N806
    X = np.zeros((N * K, D))  # noqa: N806
    y = np.zeros(N * K, dtype="uint8")
    for j in range(K):
        ix = range(N * j, N * (j + 1))
        r = np.linspace(0.0, 1, N)
        t = np.linspace(j * 4, (j + 1) * 4, N) + draws.randn(N) * 0.2
        X[ix] = np.c_[r * np.sin(t), r * np.cos(t)]
        y[ix] = j
    return X, y


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_spirals_are_the_published_ones_bit_for_bit(seed: int) -> None:
    expected_x, expected_y = published_spirals(seed)
    X, y = spirals(seed=seed)  # noqa: N806
    np.testing.assert_array_equal(X, expected_x)
    np.testing.assert_array_equal(y, expected_y)
    assert y.dtype == np.int64
    narrow, _ = spirals(seed=seed, dtype=np.float32)
    np.testing.assert_array_equal(narrow, expected_x.astype(np.float32))


def test_spirals_of_other_sizes_follow_the_formula() -> None:
    X, y = spirals(50, 5, noise=0.0)  # noqa: N806
    assert X.shape == (250, 2)
    assert np.bincount(y).tolist() == [50] * 5
    radius = np.hypot(*X.T).reshape(5, 50)
    np.testing.assert_allclose(radius, np.tile(np.arange(50) / 49, (5, 1)), rtol=0, atol=1e-15)
    angle = np.array([4 * (j + np.arange(50) / 49) for j in range(5)])
    np.testing.assert_allclose(X[:, 0].reshape(5, 50), radius * np.sin(angle), atol=1e-14)
    assert not np.array_equal(spirals(seed=1)[0], spirals(seed=2)[0])


def test_a_sine_is_its_formula_and_its_noise_is_normal() -> None:
    truth = sine(noise=0)
    np.testing.assert_allclose(truth, np.sin(0.01 * np.arange(1, 1001)), atol=4 * eps(np.float64))
    noise = sine(100_000, rate=0.3, noise=0.2, seed=0) - sine(100_000, rate=0.3, noise=0)
    assert noise.mean() == pytest.approx(0, abs=4 * 0.2 / np.sqrt(1e5))
    assert noise.std() == pytest.approx(0.2, rel=4 / np.sqrt(2e5))
    np.testing.assert_array_equal(sine(9, seed=3), sine(9, seed=np.random.default_rng(3)))
    assert sine(9, seed=3, dtype=np.float32).dtype == np.float32


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 3))
def test_sums_are_right_in_bits_and_in_ints(bits: int, count: int, seed: int) -> None:
    task = binary_addition(count, bits, seed=seed)
    assert task.x.shape == (bits + 1, count, 2)
    assert task.y.shape == (bits + 1, count, 1)
    assert task.x.dtype == task.y.dtype == np.float32
    assert from_bits(task.x[..., 0]) == task.a
    assert from_bits(task.x[..., 1]) == task.b
    assert [a + b for a, b in zip(task.a, task.b, strict=True)] == task.sums
    assert all(type(s) is int for s in task.sums)
    carry = np.zeros(count)
    for (one, other), bit in zip(task.x.transpose(0, 2, 1), task.y[..., 0], strict=True):
        carry, expected = np.divmod(one + other + carry, 2)
        np.testing.assert_array_equal(bit, expected)
    assert not carry.any()


def test_numbers_of_64_bits_are_uniform_and_exact() -> None:
    task = binary_addition(4000, 64, seed=0)
    assert max(task.a) > 2**63
    assert max(task.sums) > 2**64
    assert task.x[64].max() == 0
    share = task.x[:64].mean(axis=(1, 2))
    assert np.abs(share - 0.5).max() < 4.5 * 0.5 / np.sqrt(8000)
    again = binary_addition(4000, 64, seed=0, dtype=np.float64)
    assert again.a == task.a
    assert again.x.dtype == np.float64


@given(st.lists(st.integers(0, 2**130 - 1), max_size=9), st.integers(130, 150))
def test_bits_are_numbers_and_numbers_are_bits(numbers: list[int], steps: int) -> None:
    bits = to_bits(numbers, steps)
    assert bits.shape == (steps, len(numbers))
    expected = [[(n >> t) & 1 for n in numbers] for t in range(steps)]
    assert bits.tolist() == expected
    assert from_bits(bits) == numbers
    assert from_bits(bits.astype(bool)[..., None]) == numbers


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: spirals(0), ValueError, "points must be at least 1, got 0"),
        (lambda: spirals(5, 0), ValueError, "arms must be at least 1, got 0"),
        (lambda: spirals(noise=-1), ValueError, "noise must be at least 0, got -1"),
        (lambda: spirals(seed=1.5), TypeError, "seed must be an integer, got 1.5"),
        (lambda: spirals(dtype=int), TypeError, "dtype must be float32 or float64"),
        (lambda: sine(0), ValueError, "length must be at least 1, got 0"),
        (lambda: sine(rate=np.inf), ValueError, "rate must be finite, got inf"),
        (lambda: binary_addition(0), ValueError, "count must be at least 1, got 0"),
        (lambda: binary_addition(1, 0), ValueError, "bits must be at least 1, got 0"),
        (lambda: to_bits([1, 8], 3), ValueError, "numbers[1] must be below 2**3, got 8"),
        (lambda: to_bits([-1], 3), ValueError, "numbers[0] must be at least 0, got -1"),
        (lambda: to_bits([1.0], 3), TypeError, "numbers[0] must be an integer, got 1.0"),
        (lambda: from_bits([[1], [0.5]]), ValueError, "got 0.5 at time 1 of number 0"),
        (lambda: from_bits([[np.nan]]), ValueError, "got nan at time 0 of number 0"),
        (lambda: from_bits([1, 0]), ValueError, "shape (T, N) or (T, N, 1), got (2,)"),
        (lambda: from_bits(np.zeros((2, 3, 2))), ValueError, "got (2, 3, 2)"),
        (lambda: from_bits([["1"]]), TypeError, "bits must be numbers, got <U1"),
        (lambda: draw_sentiment(0), ValueError, "count must be at least 1, got 0"),
        (lambda: draw_sentiment(325), ValueError, "count must be at most the 324 phrases, got 325"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


# Phrases.


def test_the_published_phrases_are_all_there() -> None:
    train, test = sentiment_phrases()
    assert (len(train.texts), len(test.texts)) == (58, 20)
    assert len(set(train.texts) | set(test.texts)) == 78
    assert len(set(" ".join(train.texts).split())) == 18
    assert set(" ".join(test.texts).split()) <= set(" ".join(train.texts).split())
    assert (train.texts[0], train.labels[0]) == ("good", 1)
    assert (train.texts[-1], train.labels[-1]) == ("this was not happy and not good earlier", 0)
    assert (test.texts[0], test.labels[0]) == ("this is happy", 1)
    assert (sum(train.labels), sum(test.labels)) == (26, 10)


def test_they_are_the_published_file_byte_for_byte() -> None:
    content = (ROOT / "fastrnn/data/sentiment.tsv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == (
        "388d44b6f64918b26f92b5ab63d943a85ccae60af6913a01fe82d1531b7d547b"
    )


def test_the_grammar_has_every_published_phrase_with_its_label() -> None:
    phrases = list(sentiment_grammar())
    grammar = dict(phrases)
    assert len(phrases) == len(grammar) == 324
    assert sum(grammar.values()) == 162
    for published in sentiment_phrases():
        for text, label in zip(*published, strict=True):
            assert grammar[text] == label, text
    assert len(set(" ".join(grammar).split())) == 18


def verdict(text: str) -> set[int]:
    """What each part of a phrase says, read from left to right without the grammar."""
    text = re.sub(r"not at all (\w+) or (\w+)", r"not \1 and not \2", text)
    text = text.replace("not at all", "not")
    said, negated = set(), False
    for word in text.split():
        if word == "not":
            negated = True
        elif word in ("good", "happy", "bad", "sad"):
            said.add(int((word in ("good", "happy")) != negated))
            negated = False
    return said


def test_every_part_of_a_phrase_says_its_label() -> None:
    for text, label in sentiment_grammar():
        assert verdict(text) == {label}, text
        assert ("was" in text.split()) == text.endswith("earlier")


def test_phrases_are_drawn_without_repetition() -> None:
    every = draw_sentiment(324, seed=0)
    assert dict(zip(*every, strict=True)) == dict(sentiment_grammar())
    assert every.texts != [text for text, _ in sentiment_grammar()]
    some = draw_sentiment(10, seed=0)
    assert some.texts == every.texts[:10]
    assert draw_sentiment(10, seed=1) != some


def test_the_package_brings_its_phrases() -> None:
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"fastrnn.data" = ["sentiment.tsv"]' in settings
