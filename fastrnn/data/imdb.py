"""The reviews of IMDB: their file without trust in it, and a corpus of their shape."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn.checks import Array, check_integer, check_number, generator_of
from fastrnn.data.object_lists import Made, NotListsError, read_lists
from fastrnn.data.stored import DataFileError

if TYPE_CHECKING:
    from zipfile import ZipFile

Tokens = NDArray[np.int64]
#: Reviews as an object array of lists of int, and their labels.
Reviews = tuple[Array, NDArray[np.int64]]

#: Bytes that one part of the file may have when it is unpacked; the real ones have some 15 million.
MOST_BYTES = 1 << 28
#: Beyond all indices of words; the real ones end at 88,586.
MOST_WORDS = 1 << 24
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/imdb.npz"


def load_imdb(
    path: str | os.PathLike[str] = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> tuple[Reviews, Reviews]:
    """Read ``imdb.npz``: the arguments, their order and the results of Keras' ``imdb.load_data``.

    The file's arrays of lists are pickles, which can execute anything. They are read as data here:
    nothing in them is called or made, and anything but lists of ints is refused.

    Parameters
    ----------
    path : path
        Where the file is; a bare name that is not here is looked for in ``~/.keras/datasets``.
    num_words : int, optional
        Words of this index and above are left out. If not given, the largest index that occurs,
        which is left out then, too, as by Keras.
    skip_top : int
        Words below this index are left out.
    maxlen : int, optional
        Only reviews that are shorter are kept.
    seed : int
        Of the shuffling.
    start_char : int, optional
        Put before each review.
    oov_char : int, optional
        Put for words that are left out; nothing is if None.
    index_from : int
        Added to all indices of words.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x: object array (N,) of lists of int. y: ndarray of int64 (N,), 1 for a good review, 0 for a
        bad one.

    Raises
    ------
    OSError
        If the file cannot be opened.
    DataFileError
        If it is no such file: names the array, the review and what is wrong.
    TypeError, ValueError
        For a wrong argument, or if `maxlen` leaves no review.
    """
    top = check_integer("skip_top", skip_top, least=0)
    shift = check_integer("index_from", index_from, least=0)
    below = None if num_words is None else check_integer("num_words", num_words, least=1)
    longest = None if maxlen is None else check_integer("maxlen", maxlen, least=1)
    start = None if start_char is None else check_integer("start_char", start_char, least=0)
    other = None if oov_char is None else check_integer("oov_char", oov_char, least=0)
    # Keras shuffles with this generator: another one would give the reviews another order.
    rng = np.random.RandomState(check_integer("seed", seed, least=0))
    head = np.array([] if start is None else [start], np.int64)
    splits = []
    for reviews, labels in _read(_found(path)):
        order = np.arange(len(reviews))
        rng.shuffle(order)
        whole = [np.concatenate((head, reviews[i] + shift)) for i in order]
        kept = [i for i, review in enumerate(whole) if longest is None or len(review) < longest]
        splits.append(([whole[i] for i in kept], labels[order][kept]))
    if longest is not None and not all(reviews for reviews, _ in splits):
        raise ValueError(f"maxlen must leave reviews that are shorter, got {longest}")
    most = max(int(r.max(initial=0)) for reviews, _ in splits for r in reviews)
    limit = most if below is None else below
    train, test = (
        (_lists([_cut(r, top, limit, other) for r in reviews], max(most, other or 0)), labels)
        for reviews, labels in splits
    )
    return train, test


def _cut(review: Tokens, top: int, limit: int, other: int | None) -> Tokens:
    inside = (review >= top) & (review < limit)
    return review[inside] if other is None else np.where(inside, review, other)


def _lists(reviews: Sequence[Tokens], most: int) -> Array:
    """An object array of lists; equal ints are one object, which takes a fourth of the memory."""
    ints = np.arange(most + 1 if most < MOST_WORDS else 0).astype(object)
    lists = np.empty(len(reviews), object)
    for i, review in enumerate(reviews):
        lists[i] = (ints[review] if ints.size else review).tolist()
    return lists


def _found(path: str | os.PathLike[str]) -> Path:
    place = Path(path)
    if not place.exists() and place.parent == Path():
        cached = Path.home() / ".keras" / "datasets" / place
        if cached.exists():
            return cached
        raise FileNotFoundError(f"{place} is neither here nor in {cached.parent}; it is {ORIGIN}")
    return place


def _read(path: Path) -> list[tuple[list[Tokens], NDArray[np.int64]]]:
    """Reviews and labels of either half, as they stand in the file."""
    import zipfile
    import zlib

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "rb"))
        try:
            archive = stack.enter_context(zipfile.ZipFile(file))
            halves = []
            for half in ("train", "test"):
                reviews = _reviews(path, archive, f"x_{half}")
                labels = _labels(path, archive, f"y_{half}")
                if len(reviews) != len(labels):
                    raise DataFileError(
                        f"{path}: y_{half} must have the {len(reviews)} entries of x_{half}, "
                        f"got {len(labels)}"
                    )
                halves.append((reviews, labels))
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
            raise DataFileError(f"{path} is no whole npz file: {error}") from error
    return halves


@contextlib.contextmanager
def _array_in(path: Path, archive: ZipFile, name: str) -> Any:
    """One array of the file, behind its header: (stream, shape, dtype)."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise DataFileError(
            f"{path} has no {name}: it must have x_train, y_train, x_test and y_test, "
            f"and has {', '.join(archive.namelist()) or 'nothing'}"
        ) from None
    if info.file_size > MOST_BYTES:
        raise DataFileError(f"{path}: {name} is {info.file_size} bytes, above {MOST_BYTES}")
    with archive.open(info) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read(stream)
        except (KeyError, ValueError) as error:
            raise DataFileError(f"{path}: {name} has no readable header: {error}") from error
        if len(shape) != 1:
            raise DataFileError(f"{path}: {name} must have shape (N,), got {shape}")
        yield stream, shape[0], dtype


def _labels(path: Path, archive: ZipFile, name: str) -> NDArray[np.int64]:
    with _array_in(path, archive, name) as (stream, count, dtype):
        if dtype.kind not in "biu":
            raise DataFileError(f"{path}: {name} must be integers, got {dtype}")
        content = stream.read()
        if len(content) != count * dtype.itemsize:
            raise DataFileError(f"{path}: {name} must be {count} numbers, got {len(content)} bytes")
    labels = np.frombuffer(content, dtype).astype(np.int64)
    wrong = np.flatnonzero((labels != 0) & (labels != 1))
    if wrong.size:
        i = int(wrong[0])
        raise DataFileError(f"{path}: {name}[{i}] must be 0 or 1, got {labels[i]}")
    return labels


def _reviews(path: Path, archive: ZipFile, name: str) -> list[Tokens]:
    with _array_in(path, archive, name) as (stream, count, dtype):
        if not dtype.hasobject or dtype.names:
            raise DataFileError(f"{path}: {name} must be lists of ints (dtype object), got {dtype}")
        try:
            lists = read_lists(stream.read())
        except NotListsError as error:
            raise DataFileError(f"{path}: {name} must be lists of ints: {error}") from None
    if len(lists) != count:
        raise DataFileError(f"{path}: {name} must have {count} lists, got {len(lists)}")
    for i, one in enumerate(lists):
        if type(one) is not list:
            raise DataFileError(f"{path}: {name}[{i}] must be a list of ints, got {_kind(one)}")
    if not set(map(type, chain.from_iterable(lists))) <= {int}:
        i, j = next((i, j) for i, one in enumerate(lists) for j, w in enumerate(one)
                    if type(w) is not int)  # fmt: skip
        raise DataFileError(f"{path}: {name}[{i}][{j}] must be an int, got {_kind(lists[i][j])}")
    flat = list(chain.from_iterable(lists))
    if flat and not 0 <= min(flat) <= max(flat) < MOST_WORDS:
        i, j, word = next((i, j, w) for i, one in enumerate(lists) for j, w in enumerate(one)
                          if not 0 <= w < MOST_WORDS)  # fmt: skip
        raise DataFileError(
            f"{path}: {name}[{i}][{j}] must be in [0, {MOST_WORDS}), got {str(word)[:20]}"
        )
    return [np.array(one, np.int64) for one in lists]


def _kind(value: Any) -> str:
    return "an array or another object" if isinstance(value, Made) else type(value).__name__


def synthetic_imdb(
    train: int = 25_000,
    test: int = 25_000,
    num_words: int = 10_000,
    *,
    median_length: int = 176,
    signal: float = 0.5,
    seed: int | np.random.Generator | None = None,
) -> tuple[Reviews, Reviews]:
    """A corpus that looks like that of `load_imdb` to a program, of words that mean nothing.

    Lengths are log-normal between 11 and 2,494, with a mean of 1.3 medians, as those of the real
    reviews; words follow Zipf's law with 88,584 ranks, of which `num_words` leaves the frequent
    ones; each review begins with 1, 2 stands for the rest, and words begin at 4. Every fifth
    word from the 40th on says something, good and bad in turn: it is told to agree with the label
    in a share `signal` of the cases where it does not. Labels are balanced.

    Parameters
    ----------
    train, test : int
        Reviews to train and to test on.
    num_words : int
        All indices are below it; at least 64.
    median_length : int
        Of a review.
    signal : float
        Between 0, where labels cannot be learned, and 1.
    seed : int or Generator, optional

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        As of `load_imdb`.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    """
    counts = [check_integer("train", train, least=1), check_integer("test", test, least=1)]
    limit = check_integer("num_words", num_words, least=64)
    middle = check_integer("median_length", median_length, least=11)
    agrees = check_number("signal", signal, least=0, most=1)
    rng = generator_of(seed)
    share = np.cumsum(1 / np.arange(1, 88_585))
    share /= share[-1]
    splits = []
    for count in counts:
        labels = rng.permutation(np.arange(count) % 2)
        drawn = np.exp(rng.normal(np.log(middle), 0.72, count))
        lengths = np.clip(drawn, 11, 2_494).astype(np.int64)
        ranks = np.searchsorted(share, rng.random(int(lengths.sum()))) + 1
        wanted = np.repeat(labels, lengths)
        says = (ranks % 5 == 0) & (ranks >= 40)
        against = says & (ranks // 5 % 2 != wanted) & (rng.random(ranks.size) < agrees)
        ranks += np.where(against, np.where(ranks // 5 % 2 == 0, 5, -5), 0)
        words = np.where(ranks + 3 < limit, ranks + 3, 2)
        ends = np.cumsum(lengths)
        words[ends - lengths] = 1
        splits.append((_lists(np.split(words, ends[:-1]), limit), labels))
    return splits[0], splits[1]
