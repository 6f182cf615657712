"""Words as tokens, and vocabularies as files."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import DataFileError, Vocabulary, WordVocabulary, tokenize

TEXTS = st.lists(st.sampled_from(["the", "cat", "Sat", "on", "a", "mat", "é", "42"]), min_size=1)
TOKENIZERS = ("words", "whitespace", "keras")


@pytest.mark.parametrize(
    ("tokenizer", "text", "words"),
    [
        ("words", "Don't PANIC: it\u2019s 42!", ["don't", "panic", ":", "it\u2019s", "42", "!"]),
        ("words", "'quoted' rock'n'roll o'", ["'", "quoted", "'", "rock'n'roll", "o", "'"]),
        (
            "words",
            "snake_case straße\tÉTÉ\n日本語。",
            ["snake_case", "straße", "été", "日本語", "。"],
        ),
        ("whitespace", " Don't  PANIC:\tnow\n", ["Don't", "PANIC:", "now"]),
        (
            "keras",
            "Don't PANIC: it's\t(42) a-b_c!",
            ["don't", "panic", "it's", "42", "a", "b", "c"],
        ),
        ("words", "", []),
        ("whitespace", " \n", []),
        ("keras", "...", []),
    ],
)
def test_texts_are_cut_as_stated(tokenizer: str, text: str, words: list[str]) -> None:
    assert tokenize(text, tokenizer) == words


@given(TEXTS, st.integers(1, 4), st.one_of(st.none(), st.integers(3, 8)), st.booleans())
def test_the_most_frequent_words_are_kept(
    words: list[str], min_count: int, max_size: int | None, with_unknown: bool
) -> None:
    unknown = "<unk>" if with_unknown else None
    arguments: dict[str, Any] = {
        "min_count": min_count, "max_size": max_size, "unknown": unknown,
        "reserved": ("<pad>",), "tokenizer": "whitespace",
    }  # fmt: skip
    counts = Counter(words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    first = ["<pad>", *([unknown] if unknown else [])]
    expected = [word for word in ranked if counts[word] >= min_count]
    expected = expected[: None if max_size is None else max_size - len(first)]
    if not expected:
        with pytest.raises(ValueError, match=f"at least min_count = {min_count} times"):
            WordVocabulary.of(" ".join(words), **arguments)
        return
    vocabulary = WordVocabulary.of(" ".join(words), **arguments)
    assert vocabulary.words == (*first, *expected)
    assert WordVocabulary.of([" ".join(words[:2]), *words[2:]], **arguments) == vocabulary
    assert len(vocabulary) == len(list(vocabulary)) == len(first) + len(expected)
    known = [word for word in words if word in vocabulary]
    tokens = vocabulary.encode(" ".join(known))
    assert tokens.dtype == np.int64
    assert tokens.tolist() == [vocabulary.words.index(word) for word in known]
    assert vocabulary.encode(known).tolist() == tokens.tolist()
    assert vocabulary.decode(tokens) == " ".join(known)
    missing = next((i for i, word in enumerate(words) if word not in vocabulary), None)
    if missing is not None and unknown is None:
        message = f"text has {words[missing]!r} as word {missing}, which is not among the"
        with pytest.raises(ValueError, match=rf"{re.escape(message)} .*--min-count 2$"):
            vocabulary.encode(words)
    else:
        replaced = [word if word in vocabulary else unknown for word in words]
        assert vocabulary.decode(vocabulary.encode(words)) == " ".join(map(str, replaced))


def test_a_word_of_the_text_may_be_a_reserved_one() -> None:
    vocabulary = WordVocabulary.of(
        "a <unk> a b <unk> <unk>", unknown="<unk>", max_size=2, tokenizer="whitespace"
    )
    assert vocabulary.words == ("<unk>", "a")
    assert vocabulary.encode("b a c").tolist() == [0, 1, 0]


def test_vocabularies_of_words_are_equal_by_all_that_they_do() -> None:
    one, same = (WordVocabulary(words) for words in (("a", "b"), ["a", "b"]))
    assert one == same
    assert hash(one) == hash(same)
    for other in (
        WordVocabulary(["b", "a"]),
        WordVocabulary(["a", "b"], unknown="a"),
        WordVocabulary(["a", "b"], tokenizer="keras"),
        Vocabulary("ab"),
    ):
        assert one != other
    assert repr(one) == "WordVocabulary(2 words, tokenizer='words')"
    assert one.encode("").tolist() == []
    assert one.decode([]) == ""
    assert "c" not in one
    assert 3 not in one


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: WordVocabulary("ab"), TypeError, "words must be a sequence of str, got one str"),
        (lambda: WordVocabulary([]), ValueError, "words must not be empty"),
        (lambda: WordVocabulary(["a", 1]), ValueError, "of at least a character, got 1 at 1"),
        (lambda: WordVocabulary(["a", ""]), ValueError, "of at least a character, got '' at 1"),
        (lambda: WordVocabulary(["a", "b", "a"]), ValueError, "must be distinct, got 'a' twice"),
        (lambda: WordVocabulary(["a"], unknown="b"), ValueError, "one of words, got 'b'"),
        (lambda: WordVocabulary(["a"], tokenizer="b"), ValueError, "tokenizer must be one of"),
        (lambda: WordVocabulary.of(""), ValueError, "at least min_count = 1 times, got 0 distinct"),
        (lambda: WordVocabulary.of([]), ValueError, "got 0 distinct words, the most frequent 0"),
        (lambda: WordVocabulary.of("a a b", min_count=3), ValueError, "most frequent 2 times"),
        (lambda: WordVocabulary.of("a", min_count=0), ValueError, "min_count must be at least 1"),
        (
            lambda: WordVocabulary.of("a", max_size=2, unknown="u", reserved=["p"]),
            ValueError,
            "max_size must be at least 3, got 2",
        ),
        (lambda: WordVocabulary.of("a", reserved="p"), TypeError, "reserved must be a sequence"),
        (lambda: WordVocabulary.of([b"a"]), TypeError, "text must be a str, got bytes"),
        (lambda: WordVocabulary.of("a", tokenizer="b"), ValueError, "tokenizer must be one of"),
        (
            lambda: WordVocabulary(["a"]).encode("a a c"),
            ValueError,
            "text has 'c' as word 2",
        ),
        (lambda: WordVocabulary(["a"]).encode(3), TypeError, "a str or a sequence of str, got int"),
        (lambda: WordVocabulary(["a"]).encode(b"a"), TypeError, "sequence of str, got bytes"),
        (
            lambda: WordVocabulary(["a"]).encode(["a", 2]),
            TypeError,
            "got 2 at index 1",
        ),
        (lambda: WordVocabulary(["a"]).decode([1]), ValueError, "vocabulary size) = [0, 1), got 1"),
        (lambda: WordVocabulary(["a"]).decode([[0]]), ValueError, "got shape (1, 1)"),
        (lambda: tokenize(3), TypeError, "text must be a str, got int"),
    ],
)
def test_what_is_no_word_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()


VOCABULARIES = [
    WordVocabulary(["<pad>", "été", "\U0001f600", "it's"], unknown="<pad>", tokenizer="keras"),
    WordVocabulary(["a"]),
    Vocabulary("a\U0001f600\ud800\n\u2028"),
]


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=repr)
def test_a_vocabulary_survives_its_file(vocabulary: Any, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    vocabulary.save(path)
    assert type(vocabulary).load(path) == vocabulary
    assert list(tmp_path.iterdir()) == [path]
    assert type(vocabulary).from_config(json.loads(path.read_text("ascii"))) == vocabulary
    assert [*type(vocabulary).load(path)] == [*vocabulary]
    assert all(word in vocabulary for word in vocabulary)


WHOLE = {
    "format": "fastrnn.vocabulary.words", "format_version": 1,
    "words": ["a", "b"], "unknown": None, "tokenizer": "words",
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no file of JSON"),
        ("{", "is no file of JSON"),
        ("[" * 100_000, "is no file of JSON"),
        ("[]", "must be a file of format 'fastrnn.vocabulary.words', got None"),
        ({"format": "fastrnn.vocabulary.characters"}, "got 'fastrnn.vocabulary.characters'"),
        ({"format_version": "1"}, "has no readable format version: '1'"),
        ({"format_version": True}, "has no readable format version: True"),
        ({"format_version": 2}, "has format version 2, written by a newer fastrnn"),
        ({"words": None}, "is damaged: "),
        ({"words": "ab"}, "is damaged: words must be a sequence of str"),
        ({"words": ["a", 2]}, "is damaged: words must be str of at least a character, got 2"),
        ({"words": []}, "is damaged: words must not be empty"),
        ({"unknown": "c"}, "is damaged: unknown must be one of words, got 'c'"),
        ({"unknown": ["a"]}, "is damaged: "),
        ({"tokenizer": "none"}, "is damaged: tokenizer must be one of"),
    ],
)
def test_a_damaged_file_is_named(content: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(content if isinstance(content, str) else json.dumps(WHOLE | content))
    with pytest.raises(DataFileError, match=re.escape(f"{path} ") + ".*" + re.escape(message)):
        WordVocabulary.load(path)


@pytest.mark.parametrize("name", ["words", "unknown", "tokenizer"])
def test_what_a_file_misses_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(json.dumps({k: v for k, v in WHOLE.items() if k != name}))
    with pytest.raises(DataFileError, match=f"it misses '{name}'"):
        WordVocabulary.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataFileError, match="is no file of JSON"):
        WordVocabulary.load(path)
    with pytest.raises(FileNotFoundError):
        WordVocabulary.load(tmp_path / "none.json")
