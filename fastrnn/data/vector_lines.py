"""The lines and records of files of word vectors, and what is wrong with one."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from fastrnn.data.stored import DataFileError

#: Bytes that are read from a binary file at once.
CHUNK = 1 << 20
#: Bytes of a line and of a word, and numbers of a vector, beyond which a file is of another kind.
LONGEST_LINE, LONGEST_WORD, MOST_NUMBERS = 1 << 20, 10_000, 1 << 16
#: The largest float32.
MOST = float(np.finfo(np.float32).max)

Path = str | os.PathLike[str]
_BLANK = re.compile(rb"[ \t]")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Source(NamedTuple):
    """A file that is read, packed perhaps, and the one that is on the disk."""

    stream: IO[bytes]
    raw: IO[bytes]
    total: int

    def done(self) -> int:
        """Bytes of the file on the disk that were read."""
        return self.raw.tell()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """A file to read, unpacked if its name ends with ``.gz``; DataFileError if that fails."""
    import gzip
    import zlib

    with open(path, "rb") as raw:
        total = os.fstat(raw.fileno()).st_size
        if not os.fspath(path).endswith(".gz"):
            yield Source(raw, raw, total)
            return
        with gzip.open(raw) as stream:
            try:
                yield Source(cast("IO[bytes]", stream), raw, total)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise DataFileError(f"{path} is no whole gzip file: {error}") from error


def shown(text: bytes) -> str:
    """How bytes of a file stand in a message."""
    try:
        first = repr(text[:40].decode())
    except UnicodeDecodeError:
        first = repr(text[:40])[1:]
    return first + ("..." if len(text) > 40 else "")


def is_number(piece: bytes) -> bool:
    """Whether it is written as a number in decimals."""
    return _NUMBER.fullmatch(piece) is not None


def numbered_lines(path: Path, file: Source, first: int) -> Iterator[tuple[int, bytes]]:
    """The lines from here on, without their ends, and their numbers."""
    number = first
    while line := file.stream.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            raise DataFileError(
                f"{path}, line {number}: must be shorter than {LONGEST_LINE} bytes; is it a text "
                "file of vectors?"
            )
        yield number, line.rstrip(b" \r\n")
        number += 1


def at_most(
    path: Path, lines: Iterable[tuple[int, bytes]], count: int
) -> Iterator[tuple[int, bytes]]:
    """The lines behind a first one that says how many; DataFileError if there are more."""
    for number, line in lines:
        if number > count + 1:
            raise DataFileError(
                f"{path}, line {number}: must not be, since line 1 says {count} words"
            )
        yield number, line


def beside_first(
    path: Path, lines: Iterator[tuple[int, bytes]], dimension: int
) -> Iterator[tuple[int, bytes]]:
    """The lines, of which the first has the `dimension`; DataFileError if the second has another.

    Either may be the wrong one then, so that the error says what both have.
    """
    first = next(lines)
    yield first
    for number, line in islice(lines, 1):
        try:
            split_line(path, number, line, dimension)
        except DataFileError as error:
            word = shown(first[1].split(b" ", 1)[0])
            raise DataFileError(
                f"{error}; line 1 has {word} and {dimension}: one of the two is wrong"
            ) from None
        yield number, line
    yield from lines


def split_line(path: Path, number: int, line: bytes, dimension: int) -> tuple[bytes, bytes]:
    """The word of a line, and its numbers as they are written."""
    parts = line.count(b" ")
    if parts >= dimension:
        exactly = parts == dimension
        word = line.partition(b" ")[0] if exactly else line.rsplit(b" ", dimension)[0]
        *before, last = _BLANK.split(word)
        if not word or (last and not (before and is_number(last))):
            return word, line[len(word) + 1 :]
    pieces = line.split(b" ")
    numbered = 0
    while numbered < parts and is_number(pieces[-1 - numbered]):
        numbered += 1
    if numbered == dimension:
        raise DataFileError(
            f"{path}, line {number}: must have a word and {dimension} numbers with one space "
            f"between them, got {shown(line)}"
        )
    wrong = ""
    if numbered < min(parts, dimension):
        wrong = f" behind {shown(pieces[-1 - numbered])}, which is none"
    raise DataFileError(
        f"{path}, line {number}: must have a word and {dimension} numbers, got {shown(pieces[0])} "
        f"and {numbered} numbers{wrong}"
    )


def parsed(path: Path, rows: list[tuple[int, bytes]], dimension: int) -> NDArray[np.float32]:
    """The numbers of many lines, which come with their own numbers, as (lines, dimension)."""
    texts = [row.decode("latin-1") for _, row in rows]
    with contextlib.suppress(ValueError):
        block = np.loadtxt(texts, np.float32, comments=None, delimiter=" ", ndmin=2)
        if block.shape == (len(rows), dimension) and np.isfinite(block).all():
            return block
    return np.array([_one_by_one(path, *row, dimension) for row in rows], np.float32)


def _one_by_one(path: Path, number: int, row: bytes, dimension: int) -> list[float]:
    values = []
    for i, piece in enumerate(row.split(b" ")):
        value = float(piece) if is_number(piece) else np.inf
        if abs(value) > MOST:
            raise DataFileError(
                f"{path}, line {number}: number {i + 1} of {dimension} must be a finite float32, "
                f"got {shown(piece)}"
            )
        values.append(value)
    return values


def records(
    path: Path, file: Source, count: int, dimension: int
) -> Iterator[tuple[bytes, NDArray[Any]]]:
    """Words and vectors of a binary file behind its first line."""
    size = 4 * dimension
    data, place = b"", 0
    for i in range(1, count + 1):
        while True:
            space = data.find(b" ", place)
            if (space if space >= 0 else len(data)) - place > LONGEST_WORD:
                raise DataFileError(
                    f"{path}, word {i} of {count}: no word ends within {LONGEST_WORD} bytes; are "
                    f"there {dimension} numbers to a word, as line 1 says?"
                )
            if space >= 0 and len(data) >= space + 1 + size:
                break
            more = file.stream.read(CHUNK)
            if not more:
                where = "before its end"
                if space >= 0:
                    last = shown(data[place:space].lstrip(b"\n"))
                    where = f"{len(data) - space - 1} of {size} bytes behind {last}"
                raise DataFileError(f"{path}, word {i} of {count}: the file ends {where}")
            data, place = data[place:] + more, 0
        word = data[place:space].lstrip(b"\n")
        yield word, np.frombuffer(data, "<f4", dimension, space + 1)
        place = space + 1 + size
    rest = (data[place:] + file.stream.read(CHUNK)).strip(b"\n")
    if rest:
        raise DataFileError(f"{path}: more follows the {count} words that line 1 says")


def header(path: Path, line: bytes) -> tuple[int, int]:
    """V and D of the first line of a word2vec file."""
    parts = line.split()
    if len(parts) == 2 and line.endswith(b"\n") and all(p.isdigit() for p in parts):
        count, size = (int(p) for p in parts) if len(line) < 64 else (0, 0)
        if count >= 1 and 1 <= size <= MOST_NUMBERS:
            return count, size
    raise DataFileError(
        f"{path}, line 1: must be the number of words and that of the numbers of each, from 1 to "
        f"{MOST_NUMBERS}, got {shown(line.rstrip())}"
    )


def first_dimension(path: Path, line: bytes) -> int:
    """D, by the first line of a GloVe file."""
    _, *pieces = line.split(b" ")
    if not pieces:
        raise DataFileError(f"{path}, line 1: must have a word and numbers, got {shown(line)}")
    if len(pieces) == 1 and all(part.isdigit() for part in line.split(b" ")):
        raise DataFileError(f"{path}, line 1: {shown(line)} is of word2vec: use read_word2vec")
    for piece in pieces:
        if not is_number(piece):
            raise DataFileError(
                f"{path}, line 1: must have a word and numbers, got {shown(piece)} among them (if "
                "it is a part of the word, give dimension)"
            )
    if len(pieces) > MOST_NUMBERS:
        raise DataFileError(f"{path}, line 1: must have at most {MOST_NUMBERS} numbers")
    return len(pieces)
