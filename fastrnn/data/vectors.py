"""Pretrained word vectors: GloVe's and word2vec's files, read as a stream and checked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Container, Iterable
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.checks import check_bool, check_choice, check_integer, check_seed
from fastrnn.data.stored import DataFileError
from fastrnn.data.vector_lines import (
    LONGEST_WORD,
    Source,
    at_most,
    beside_first,
    first_dimension,
    header,
    numbered_lines,
    opened,
    parsed,
    records,
    shown,
    split_line,
)

#: Bytes done and bytes in the file, of a packed file as they are packed.
Progress = Callable[[int, int], object]

#: Lines or words that are converted together.
BLOCK = 1024


class WordVectors(NamedTuple):
    """Words and their vectors.

    Attributes
    ----------
    words : list of V str
        Distinct, in the order of the file.
    vectors : ndarray of float32 (V, D)
    """

    words: list[str]
    vectors: NDArray[np.float32]


def read_glove(
    path: str | os.PathLike[str],
    *,
    dimension: int | None = None,
    vocabulary: Iterable[str] | None = None,
    errors: str = "strict",
    progress: Progress | None = None,
) -> WordVectors:
    """Read a text file of GloVe's: a line for each word, the word and D numbers.

    A line is cut from its end, since there are words with spaces (in ``glove.840B.300d``). A word
    that comes again is left out, with a warning.

    Parameters
    ----------
    path : path
        If its name ends with ``.gz`` it is unpacked on the way.
    dimension : int, optional
        D; that of the first line if not given, whose word must have no space then.
    vocabulary : iterable of str, optional
        The only words to keep, such as a `WordVocabulary`; of the lines of other words the numbers
        are not looked at.
    errors : {"strict", "replace", "ignore"}
        What to do about words that are not UTF-8; see `bytes.decode`.
    progress : callable, optional
        ``progress(done, total)`` is called now and then, with numbers of bytes.

    Returns
    -------
    WordVectors

    Raises
    ------
    OSError
        If the file cannot be opened.
    DataFileError
        For a line with too few or too many numbers or none that is finite, and for a word that is
        empty or not UTF-8: names the file, the line and what is wrong.
    TypeError, ValueError
        For a wrong argument.
    """
    size = None if dimension is None else check_integer("dimension", dimension, least=1)
    found = _Found(path, vocabulary, errors)
    with opened(path) as file:
        lines = numbered_lines(path, file, 1)
        first = next(lines, None)
        if first is None:
            raise DataFileError(f"{path} is empty")
        lines = chain([first], lines)
        if size is None:
            size = first_dimension(path, first[1])
            lines = beside_first(path, lines, size)
        _read_text(found, file, lines, size, progress)
    return found.result(size)


def read_word2vec(
    path: str | os.PathLike[str],
    *,
    binary: bool | None = None,
    vocabulary: Iterable[str] | None = None,
    errors: str = "strict",
    progress: Progress | None = None,
) -> WordVectors:
    """Read a file of word2vec's, text or binary.

    Either begins with a line of two numbers, V and D. Then come V words; in a text file each in a
    line with D numbers, in a binary one each with a space and D float32, the lowest byte first, and
    perhaps a line feed.

    Parameters
    ----------
    path, vocabulary, errors, progress
        As of `read_glove`.
    binary : bool, optional
        If not given, a file is binary if its name ends with ``.bin`` or ``.bin.gz``.

    Returns
    -------
    WordVectors

    Raises
    ------
    OSError
        If the file cannot be opened.
    DataFileError
        For a wrong first line, another number of words than it says, and whatever `read_glove`
        raises it for: names the file, the line (of a binary file the word) and what is wrong.
    TypeError, ValueError
        For a wrong argument.
    """
    if binary is None:
        binary = os.fspath(path).endswith((".bin", ".bin.gz"))
    check_bool("binary", binary)
    found = _Found(path, vocabulary, errors)
    with opened(path) as file:
        count, size = header(path, file.stream.readline(LONGEST_WORD))
        if binary:
            _read_binary(found, file, count, size, progress)
        else:
            lines = numbered_lines(path, file, 2)
            read = _read_text(found, file, at_most(path, lines, count), size, progress)
            if read < count:
                raise DataFileError(f"{path}: line 1 says {count} words, and {read} follow it")
    return found.result(size)


def read_vectors(
    path: str | os.PathLike[str],
    *,
    vocabulary: Iterable[str] | None = None,
    errors: str = "strict",
    progress: Progress | None = None,
) -> WordVectors:
    """Read a file of GloVe's or of word2vec's, whichever it is.

    It is word2vec's if its name ends with ``.bin`` or ``.bin.gz`` (binary), or if its first line
    is two whole numbers (text); else it is GloVe's.

    Parameters
    ----------
    path, vocabulary, errors, progress
        As of `read_glove`.

    Returns
    -------
    WordVectors

    Raises
    ------
    OSError, DataFileError, TypeError, ValueError
        As `read_glove` and `read_word2vec` do.
    """
    of_word2vec = os.fspath(path).endswith((".bin", ".bin.gz"))
    if not of_word2vec:
        with opened(path) as file:
            numbers = file.stream.readline(LONGEST_WORD).split()
        of_word2vec = len(numbers) == 2 and all(number.isdigit() for number in numbers)
    read = read_word2vec if of_word2vec else read_glove
    return read(path, vocabulary=vocabulary, errors=errors, progress=progress)


def embedding_matrix(
    vocabulary: Iterable[str], vectors: WordVectors, seed: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vectors of a vocabulary's words, and random ones of the words that have none.

    The random ones are normal with the mean and the standard deviation that `vectors` have in each
    of their dimensions. Which numbers a word gets depends on its index and on `seed`, and not on
    which other words were found.

    Parameters
    ----------
    vocabulary : iterable of V str
        Such as `WordVocabulary`; row i of the matrix is word i.
    vectors : WordVectors
        D numbers each.
    seed : int, optional

    Returns
    -------
    matrix : ndarray of float32 (V, D)
    found : ndarray of bool (V,)
        Which words have a vector of their own.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, or if there are no words or no vectors.
    """
    words = _words("vocabulary", vocabulary)
    if not isinstance(vectors, WordVectors):
        raise TypeError(f"vectors must be WordVectors, got {type(vectors).__name__}")
    if not words or not vectors.words:
        raise ValueError(
            f"vocabulary and vectors must have words, got {len(words)} and {len(vectors.words)}"
        )
    rng = np.random.default_rng(check_seed(seed))
    matrix = rng.standard_normal((len(words), vectors.vectors.shape[1]), np.float32)
    matrix *= vectors.vectors.std(axis=0)
    matrix += vectors.vectors.mean(axis=0)
    rows = {word: row for row, word in enumerate(vectors.words)}
    places = np.array([rows.get(word, -1) for word in words])
    found: NDArray[np.bool_] = places >= 0
    matrix[found] = vectors.vectors[places[found]]
    return matrix, found


class _Found:
    """Words that were read and are wanted, each once, and their vectors in blocks."""

    def __init__(
        self, path: str | os.PathLike[str], vocabulary: Iterable[str] | None, errors: str
    ) -> None:
        self.path = path
        self.errors = check_choice("errors", errors, ("strict", "replace", "ignore"))
        self.wanted: Container[str] | None = None
        if vocabulary is not None:
            self.wanted = frozenset(_words("vocabulary", vocabulary))
        self.words: dict[str, None] = {}
        self.blocks: list[NDArray[np.float32]] = []
        self.again: list[str] = []

    def takes(self, word: bytes, place: str) -> bool:
        """Note a word; whether its vector is wanted."""
        try:
            text = word.decode("utf-8", self.errors)
        except UnicodeDecodeError as error:
            raise DataFileError(
                f"{self.path}, {place}: the word {shown(word)} is not UTF-8 ({error.reason})"
            ) from None
        if not text:
            raise DataFileError(f"{self.path}, {place}: there is no word")
        if self.wanted is not None and text not in self.wanted:
            return False
        if text in self.words:
            self.again.append(f"{text!r} ({place})")
            return False
        self.words[text] = None
        return True

    def result(self, dimension: int) -> WordVectors:
        """All that was found; the blocks are gone then, so that memory holds everything once."""
        if self.again:
            warnings.warn(
                f"{self.path} has words twice, of which the first was kept: "
                f"{', '.join(self.again[:3])}, {len(self.again)} in all",
                stacklevel=3,
            )
        vectors = np.empty((len(self.words), dimension), np.float32)
        row = len(vectors)
        while self.blocks:
            block = self.blocks.pop()
            row -= len(block)
            vectors[row : row + len(block)] = block
        return WordVectors(list(self.words), vectors)


def _read_text(
    found: _Found,
    file: Source,
    lines: Iterable[tuple[int, bytes]],
    dimension: int,
    progress: Progress | None,
) -> int:
    """Read the lines, which come with their numbers; how many there were."""
    taken: list[tuple[int, bytes]] = []
    count = 0

    def convert() -> None:
        if taken:
            found.blocks.append(parsed(found.path, taken, dimension))
            taken.clear()
        if progress:
            progress(file.done(), file.total)

    for number, line in lines:
        count += 1
        word, numbers = split_line(found.path, number, line, dimension)
        if found.takes(word, f"line {number}"):
            taken.append((number, numbers))
        if count % BLOCK == 0:
            convert()
    convert()
    return count


def _read_binary(
    found: _Found, file: Source, count: int, dimension: int, progress: Progress | None
) -> None:
    rows: list[NDArray[np.float32]] = []

    def convert() -> None:
        if rows:
            found.blocks.append(np.array(rows))
            rows.clear()
        if progress:
            progress(file.done(), file.total)

    for i, (word, vector) in enumerate(records(found.path, file, count, dimension), 1):
        if found.takes(word, f"word {i} of {count}"):
            if not np.isfinite(vector).all():
                wrong = int(np.argmin(np.isfinite(vector)))
                raise DataFileError(
                    f"{found.path}, word {i} of {count} ({shown(word)}): number {wrong + 1} of "
                    f"{dimension} must be finite, got {vector[wrong]}"
                )
            rows.append(vector.astype(np.float32))
        if i % BLOCK == 0:
            convert()
    convert()


def _words(name: str, words: Iterable[str]) -> list[str]:
    listed = list(words) if isinstance(words, Iterable) and not isinstance(words, str) else None
    if listed is None:
        raise TypeError(f"{name} must be words, got {type(words).__name__}")
    for i, word in enumerate(listed):
        if not isinstance(word, str):
            raise TypeError(f"{name} must be words of str, got {word!r} at index {i}")
    return listed
