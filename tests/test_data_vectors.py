"""Files of word vectors, whole and damaged; the matrix of a vocabulary."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrnn.data import (
    DataFileError,
    Vocabulary,
    WordVectors,
    WordVocabulary,
    embedding_matrix,
    read_glove,
    read_word2vec,
)
from fastrnn.data.vectors import BLOCK

#: Words as the real files have them: a space of another kind, marks, other alphabets, a number.
WORDS = [
    "the",
    ",",
    "\u00a0",
    "it's",
    "été",
    "\U0001f600",
    "\x85",
    "42",
    "1.5",
    "nan",
    "a\tb",
    "\u2028",
]
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def text_of(words: list[str], vectors: np.ndarray, *, head: bool = False, end: str = "\n") -> bytes:
    lines = [f"{len(words)} {vectors.shape[1]}"] if head else []
    lines += [" ".join([w, *map(str, row.tolist())]) for w, row in zip(words, vectors, strict=True)]
    return "".join(line + end for line in lines).encode()


def binary_of(words: list[str], vectors: np.ndarray, *, feeds: bool = True) -> bytes:
    records = [
        word.encode() + b" " + row.astype("<f4").tobytes() + b"\n" * feeds
        for word, row in zip(words, vectors, strict=True)
    ]
    return f"{len(words)} {vectors.shape[1]}\n".encode() + b"".join(records)


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


FORMS = {
    "glove.txt": (read_glove, text_of),
    "glove.txt.gz": (read_glove, text_of),
    "word2vec.txt": (read_word2vec, lambda *a: text_of(*a, head=True)),
    "word2vec trailing spaces.vec": (read_word2vec, lambda *a: text_of(*a, head=True, end=" \n")),
    "word2vec windows.txt.gz": (read_word2vec, lambda *a: text_of(*a, head=True, end="\r\n")),
    "word2vec.bin": (read_word2vec, binary_of),
    "gensim.bin.gz": (read_word2vec, lambda *a: binary_of(*a, feeds=False)),
}
EACH_FORM = pytest.mark.parametrize("form", FORMS)


@EACH_FORM
@given(data=st.data())
def test_vectors_survive_every_form(form: str, data: Any, tmp_path_factory: Any) -> None:
    words = data.draw(st.lists(st.sampled_from(WORDS), min_size=1, unique=True))
    size = data.draw(st.integers(1, 4))
    numbers = data.draw(st.lists(FINITE, min_size=size * len(words), max_size=size * len(words)))
    vectors = np.array(numbers, np.float32).reshape(-1, size)
    read, write = FORMS[form]
    if form.startswith("glove") and size == 1 and words[0].isdigit():
        words[0] = "first"  # such a line would be that of a file of word2vec
    path = written(tmp_path_factory.mktemp("vectors"), form, write(words, vectors))
    found = read(path)
    assert found.words == words
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, vectors)
    wanted = data.draw(st.sets(st.sampled_from([*WORDS, "absent"])))
    some = read(path, vocabulary=wanted)
    rows = [i for i, word in enumerate(words) if word in wanted]
    assert some.words == [words[i] for i in rows]
    np.testing.assert_array_equal(some.vectors, vectors[rows])
    assert some.vectors.shape == (len(rows), size)


@EACH_FORM
def test_blocks_are_joined_and_progress_is_told(form: str, tmp_path: Path) -> None:
    count = 2 * BLOCK + 7
    vectors = np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)
    words = [f"w{i}" for i in range(count)]
    read, write = FORMS[form]
    path = written(tmp_path, form, write(words, vectors))
    told: list[tuple[int, int]] = []
    found = read(path, progress=lambda done, total: told.append((done, total)))
    assert found.words == words
    np.testing.assert_array_equal(found.vectors, vectors)
    done, totals = zip(*told, strict=True)
    assert len(told) == 3
    assert set(totals) == {path.stat().st_size}
    assert 0 < done[0] <= done[1] <= done[2] == path.stat().st_size
    vocabulary = WordVocabulary(["<unk>", "w1", f"w{count - 1}"])
    some = read(path, vocabulary=vocabulary)
    assert some.words == ["w1", f"w{count - 1}"]
    np.testing.assert_array_equal(some.vectors, vectors[[1, -1]])


def test_words_with_spaces_are_cut_from_the_right(tmp_path: Path) -> None:
    # As in glove.840B.300d: ". . .", "at name@domain.com", and one that ends with a number's name.
    path = written(
        tmp_path, "glove.txt", b"the 1 2 3\n. . . 4 5 6\nat name@domain.com 7 8 9\nto nan 1 1 1\n"
    )
    found = read_glove(path)
    assert found.words == ["the", ". . .", "at name@domain.com", "to nan"]
    assert found.vectors.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [1, 1, 1]]
    assert read_glove(path, vocabulary=[". . ."]).vectors.tolist() == [[4, 5, 6]]
    path.write_bytes(b". . . 4 5 6\nthe 1 2 3")
    with pytest.raises(DataFileError, match=r"line 1: .* got '.' among them .*give dimension"):
        read_glove(path)
    assert read_glove(path, dimension=3).words == [". . .", "the"]


def test_a_word_twice_is_kept_once_and_told(tmp_path: Path) -> None:
    path = written(tmp_path, "glove.txt", b"a 1\nb 2\na 3\nb 4\nb 5\n")
    with pytest.warns(UserWarning, match=r"twice, .*'a' \(line 3\), 'b' \(line 4\), .*3 in"):
        found = read_glove(path)
    assert found.words == ["a", "b"]
    assert found.vectors.tolist() == [[1], [2]]


def test_words_that_are_not_utf8_are_named_or_replaced(tmp_path: Path) -> None:
    path = written(tmp_path, "glove.txt", b"a 1\nb\xff 2\n")
    with pytest.raises(DataFileError, match=r"line 2: the word 'b.*xff' is not UTF-8"):
        read_glove(path)
    assert read_glove(path, errors="replace").words == ["a", "b\ufffd"]
    assert read_glove(path, errors="ignore").words == ["a", "b"]


LONG = b"x" * (1 << 20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is empty"),
        (b"a 1 2\nb 3\n", ", line 2: must have a word and 2 numbers, got 'b' and 1 numbers"),
        (b"a 1 2\nb 3 4\nc\n", ", line 3: must have a word and 2 numbers, got 'c' and 0 numbers"),
        (
            b"a 1\nb 1 2\nc 1 2\n",
            ", line 2: must have a word and 1 numbers, got 'b' and 2 numbers; "
            "line 1 has 'a' and 1: one of the two is wrong",
        ),
        (
            b"a 1 2\nb  3 4\n",
            ", line 2: must have a word and 2 numbers with one space between them, got 'b  3 4'",
        ),
        (
            b"a 1 2\n  3 4\n",
            ", line 2: must have a word and 2 numbers with one space between them, got '  3",
        ),
        (b"a 1 2\nb\t3 4 5\n", " with one space between them, got 'b\\t3 4 5'"),
        (b"a 1 2\n\nb 3 4\n", ", line 2: must have a word and 2 numbers, got '' and 0 numbers"),
        (b"a 1 2\nb 3 4 5\n", ", line 2: must have a word and 2 numbers, got 'b' and 3 numbers"),
        (b"a 1 2\nb c 4\n", ", line 2: number 1 of 2 must be a finite float32, got 'c'"),
        (b"a 1 2\nb 3 0x1\n", ", line 2: number 2 of 2 must be a finite float32, got '0x1'"),
        (b"a 1 2\nb 3 1_0\n", ", line 2: number 2 of 2 must be a finite float32, got '1_0'"),
        (b"a 1 2\nb nan 4\n", ", line 2: number 1 of 2 must be a finite float32, got 'nan'"),
        (b"a 1 2\nb 3 -inf\n", ", line 2: number 2 of 2 must be a finite float32, got '-inf'"),
        (b"a 1 2\nb 3 1e39\n", ", line 2: number 2 of 2 must be a finite float32, got '1e39'"),
        (
            b"a 1 2\nb 3  4\n",
            "got 'b' and 1 numbers behind '', which is none",
        ),
        (b"a 1 2\nb 3 \xb2\n", ", line 2: number 2 of 2 must be a finite float32, got '\\xb2'"),
        (b"a 1 2\nb x y 4\n", ", line 2: number 1 of 2 must be a finite float32, got 'y'"),
        (
            b"a 1 2\nb 3 y 4\n",
            "got 'b' and 1 numbers behind 'y', which is none",
        ),
        (b"a 1 2\n 3 4\n", ", line 2: there is no word"),
        (b"a\n", ", line 1: must have a word and numbers, got 'a'"),
        (b"a 1 x\n", ", line 1: must have a word and numbers, got 'x' among them"),
        (b"400000 50\nthe 1 2\n", ", line 1: '400000 50' is of word2vec: use read_word2vec"),
        (b"a 1 2\n" + LONG, ", line 2: must be shorter than 1048576 bytes"),
        (b"a" + b" 1" * 65537, ", line 1: must have at most 65536 numbers"),
    ],
)
def test_a_wrong_line_of_glove_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "glove.txt", content)
    with pytest.raises(DataFileError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        read_glove(path)


def test_a_wrong_number_is_named_wherever_it_is(tmp_path: Path) -> None:
    lines = [f"w{i} {i} 0.5" for i in range(3 * BLOCK)]
    for place in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 5, 3 * BLOCK - 1):
        wrong = [*lines]
        wrong[place] = f"w{place} 1 o.5"
        path = written(tmp_path, "glove.txt", "\n".join(wrong).encode())
        with pytest.raises(DataFileError, match=f"line {place + 1}: number 2 of 2 must"):
            read_glove(path, dimension=2)
        # A line that is not wanted is counted, and not more.
        found = read_glove(path, dimension=2, vocabulary=["w7", f"w{BLOCK + 3}"])
        assert found.vectors.tolist() == [[7, 0.5], [BLOCK + 3, 0.5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ", line 1: must be the number of words and that of the numbers of each"),
        (b"the 1 2\n", ", line 1: must be the number of words"),
        (b"2 3 4\n", ", line 1: must be the number of words"),
        (b"2 -3\n", ", line 1: must be the number of words"),
        (b"2 3", ", line 1: must be the number of words"),
        (b"0 3\n", ", line 1: must be the number of words"),
        (b"2 0\n", ", line 1: must be the number of words"),
        (b"1 99999\n", ", line 1: must be the number of words"),
        (b"1 " + b"9" * 5000 + b"\n", ", line 1: must be the number of words"),
        (b"2 2\na 1 2\n", ": line 1 says 2 words, and 1 follow it"),
        (b"1 2\na 1 2\nb 3 4\n", ", line 3: must not be, since line 1 says 1 words"),
        (b"1 3\na 1 2\n", ", line 2: must have a word and 3 numbers, got 'a' and 2 numbers"),
        (b"1 1\na 1 2\n", ", line 2: must have a word and 1 numbers, got 'a' and 2 numbers"),
        (b"2 2\na 1 2\nb 1 z\n", ", line 3: number 2 of 2 must be a finite float32, got 'z'"),
    ],
)
def test_a_wrong_line_of_word2vec_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "vectors.txt", content)
    with pytest.raises(DataFileError, match=re.escape(f"{path}{message}")):
        read_word2vec(path)


VECTOR = np.array([[1, -2], [0.5, 3e38]], np.float32)


def test_a_binary_file_that_ends_early_is_named(tmp_path: Path) -> None:
    content = binary_of(["a", "été"], VECTOR)
    path = tmp_path / "vectors.bin"
    for end in range(len(b"2 2\n"), len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(DataFileError) as caught:
            read_word2vec(path)
        number = 1 if end < len(b"2 2\na 12345678") else 2
        assert str(caught.value).startswith(f"{path}, word {number} of 2: the file ends ")
    assert str(caught.value).endswith("the file ends 7 of 8 bytes behind 'été'")
    for end in range(len(b"2 2\n")):
        path.write_bytes(content[:end])
        with pytest.raises(DataFileError, match="line 1: must be the number of words"):
            read_word2vec(path)
    path.write_bytes(content[:-1])  # without the last line feed
    assert read_word2vec(path).words == ["a", "été"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary_of(["a", "b"], VECTOR) + b"c", ": more follows the 2 words that line 1 says"),
        (b"1 1\n" + b"x" * 10_001, ", word 1 of 1: no word ends within 10000 bytes; are there 1"),
        (b"1 1\n" + b"x" * 10_001 + b" 1234", ", word 1 of 1: no word ends within 10000 bytes"),
        (b"1 1\n 1234", ", word 1 of 1: there is no word"),
        (b"1 1\n\xff 1234", ", word 1 of 1: the word '\\xff' is not UTF-8"),
        (
            binary_of(["a", "b"], np.array([[1, 2], [3, np.nan]])),
            ", word 2 of 2 ('b'): number 2 of 2 must be finite, got nan",
        ),
        (
            binary_of(["a"], np.array([[-np.inf, 2]])),
            ", word 1 of 1 ('a'): number 1 of 2 must be finite, got -inf",
        ),
        (b"1000000000000 65536\na ", ", word 1 of 1000000000000: the file ends 0 of 262144 bytes"),
    ],
)
def test_a_wrong_word_of_a_binary_file_is_named(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "vectors.bin", content)
    with pytest.raises(DataFileError, match=re.escape(f"{path}{message}")):
        read_word2vec(path)


def test_binary_is_what_it_is_said_to_be(tmp_path: Path) -> None:
    path = written(tmp_path, "vectors.dat", binary_of(["a", "b"], VECTOR))
    assert read_word2vec(path, binary=True).words == ["a", "b"]
    with pytest.raises(DataFileError):
        read_word2vec(path)
    text = written(tmp_path, "text.bin", text_of(["a", "b"], VECTOR, head=True))
    assert read_word2vec(text, binary=False).vectors.tolist() == VECTOR.tolist()
    with pytest.raises(DataFileError):
        read_word2vec(text)


@pytest.mark.parametrize("form", ["glove.txt.gz", "gensim.bin.gz"])
def test_a_damaged_gzip_file_is_named(form: str, tmp_path: Path) -> None:
    read, write = FORMS[form]
    rows = np.random.default_rng(0).standard_normal((200, 9)).astype(np.float32)
    path = written(tmp_path, form, write([f"w{i}" for i in range(200)], rows))
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"no gzip", content[:-8] + b"12345678"):
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match=f"{re.escape(str(path))} is no whole gzip file"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.gz")


# The matrix of a vocabulary.

FOUND = WordVectors(["a", "b", "c"], np.array([[1, 10], [3, 30], [5, 80]], np.float32))


def test_words_that_are_found_have_their_vectors() -> None:
    vocabulary = WordVocabulary(["<unk>", "c", "x", "a"], unknown="<unk>")
    matrix, found = embedding_matrix(vocabulary, FOUND, seed=0)
    assert matrix.dtype == np.float32
    assert matrix.shape == (4, 2)
    assert found.tolist() == [False, True, False, True]
    assert matrix[found].tolist() == [[5, 80], [1, 10]]
    again, _ = embedding_matrix([*vocabulary], FOUND, seed=0)
    np.testing.assert_array_equal(again, matrix)
    # A word's random numbers are its own, whatever others are found.
    fewer, _ = embedding_matrix(["<unk>", "y", "x", "z"], FOUND, seed=0)
    np.testing.assert_array_equal(fewer[[0, 2]], matrix[[0, 2]])
    assert (embedding_matrix(vocabulary, FOUND, seed=1)[0][~found] != matrix[~found]).all()
    _, letters = embedding_matrix(Vocabulary("abd"), FOUND)
    assert letters.tolist() == [True, True, False]


def test_words_that_are_not_found_are_like_those_that_are() -> None:
    matrix, found = embedding_matrix([f"w{i}" for i in range(40_000)], FOUND, seed=0)
    assert not found.any()
    deviation = FOUND.vectors.std(axis=0)
    error = np.abs(matrix.mean(axis=0) - FOUND.vectors.mean(axis=0)) / deviation
    assert error.max() < 4 / np.sqrt(40_000)
    np.testing.assert_allclose(matrix.std(axis=0) / deviation, 1, atol=4 / np.sqrt(80_000))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: embedding_matrix("abc", FOUND), TypeError, "vocabulary must be words, got str"),
        (lambda: embedding_matrix(3, FOUND), TypeError, "vocabulary must be words, got int"),
        (lambda: embedding_matrix(["a", 2], FOUND), TypeError, "words of str, got 2 at index 1"),
        (lambda: embedding_matrix(["a"], {}), TypeError, "vectors must be WordVectors, got dict"),
        (lambda: embedding_matrix([], FOUND), ValueError, "must have words, got 0 and 3"),
        (
            lambda: embedding_matrix(["a"], WordVectors([], np.zeros((0, 2), np.float32))),
            ValueError,
            "must have words, got 1 and 0",
        ),
        (lambda: embedding_matrix(["a"], FOUND, -1), ValueError, "seed must be at least 0, got -1"),
        (lambda: read_glove("x", dimension=0), ValueError, "dimension must be at least 1, got 0"),
        (lambda: read_glove("x", vocabulary="ab"), TypeError, "vocabulary must be words, got str"),
        (lambda: read_glove("x", errors="no"), ValueError, "errors must be one of 'strict'"),
        (lambda: read_word2vec("x", binary=1), TypeError, "binary must be True or False, got 1"),
        (lambda: read_word2vec("x", vocabulary=[1]), TypeError, "words of str, got 1 at index 0"),
    ],
)
def test_what_is_no_argument_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        call()
