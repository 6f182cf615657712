"""Vocabularies, and one text as parallel streams."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastrnn
from fastrnn.data import parallel_streams

#: Every plane of Unicode, and surrogates that stand alone.
TEXTS = st.text(st.characters(exclude_categories=()), min_size=1, max_size=60)
ASTRAL = "a\U0001f600é\U0010ffff\0\ud800\n\u2028z\U0001f600"


@given(TEXTS)
def test_a_text_survives_its_own_vocabulary(text: str) -> None:
    vocabulary = fastrnn.Vocabulary.of(text)
    assert vocabulary.characters == "".join(sorted(set(text)))
    tokens = vocabulary.encode(text)
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [vocabulary.characters.index(c) for c in text]
    assert vocabulary.decode(tokens) == text


@given(st.permutations(ASTRAL[:-1]), TEXTS)
def test_characters_keep_the_order_they_are_given_in(order: list[str], extra: str) -> None:
    vocabulary = fastrnn.Vocabulary(order)
    assert len(vocabulary) == len(order)
    assert vocabulary.encode("".join(order)).tolist() == list(range(len(order)))
    assert vocabulary.decode(range(len(order))) == "".join(order)
    unknown = [i for i, c in enumerate(extra) if c not in order]
    if unknown:
        message = f"text has {extra[unknown[0]]!r} at index {unknown[0]}, which is not among the"
        with pytest.raises(ValueError, match=re.escape(message)):
            vocabulary.encode(extra)
    else:
        assert vocabulary.decode(vocabulary.encode(extra)) == extra


def test_a_character_beyond_the_basic_plane_is_one_token() -> None:
    vocabulary = fastrnn.Vocabulary.of(ASTRAL)
    assert vocabulary.encode(ASTRAL).size == len(ASTRAL) == len(vocabulary) + 1


def test_vocabularies_are_equal_by_their_characters() -> None:
    one, same, other = (fastrnn.Vocabulary(c) for c in ("ab", ["a", "b"], "ba"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "ab"
    assert repr(one) == "Vocabulary(2 characters)"
    assert one.encode("").tolist() == []
    assert one.decode([]) == ""


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fastrnn.Vocabulary(""), ValueError, "characters must not be empty"),
        (lambda: fastrnn.Vocabulary(["a", "bc"]), ValueError, "single characters, got 'bc'"),
        (lambda: fastrnn.Vocabulary(["a", 1]), ValueError, "single characters, got 1"),
        (lambda: fastrnn.Vocabulary("aba"), ValueError, "characters must be distinct"),
        (lambda: fastrnn.Vocabulary.of(""), ValueError, "text must not be empty"),
        (lambda: fastrnn.Vocabulary.of(b"a"), TypeError, "text must be a str, got bytes"),
        (lambda: fastrnn.Vocabulary("ab").encode(3), TypeError, "text must be a str, got int"),
        (
            lambda: fastrnn.Vocabulary("ab").encode("ab\U0001f600"),
            ValueError,
            "text has '\U0001f600' at index 2, which is not among the 2 characters",
        ),
        (
            lambda: fastrnn.Vocabulary("ab").decode([0, -1]),
            ValueError,
            "tokens must be in [0, vocabulary size) = [0, 2), got -1 at index 1",
        ),
        (lambda: fastrnn.Vocabulary("ab").decode([2]), ValueError, "got 2 at index 0"),
        (
            lambda: fastrnn.Vocabulary("ab").decode([0.5]),
            TypeError,
            "must be integers, got float64",
        ),
        (lambda: fastrnn.Vocabulary("ab").decode([[0]]), ValueError, "got shape (1, 1)"),
    ],
)
def test_what_is_no_text_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


@given(st.integers(2, 300), st.integers(1, 12), st.integers(1, 30))
def test_streams_have_every_transition_once(size: int, batch: int, steps: int) -> None:
    tokens = np.arange(size)  # token i is followed by i + 1 and by nothing else
    if size < batch * steps + 1:
        least = f"at least batch_size * sequence_length + 1 = {batch} * {steps} + 1"
        with pytest.raises(ValueError, match=re.escape(least) + f".* got {size}$"):
            parallel_streams(tokens, batch, steps)
        return
    streams = parallel_streams(tokens, batch, steps)
    rows, length = streams.shape
    assert rows == batch
    assert length > steps
    assert streams.flags.c_contiguous
    assert (np.diff(streams, axis=1) == 1).all()
    assert streams[:, :-1].ravel().tolist() == list(range(batch * (length - 1)))
    assert size - 1 - batch * (length - 1) < batch  # what is lost does not divide
