"""The file of IMDB's reviews, read as Keras reads it and without trust; a corpus of its shape."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import re
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn.data import DataFileError, load_imdb, pad_sequences, synthetic_imdb

REVIEWS = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=12), min_size=1, max_size=8)


def lists(sequences: list[Any]) -> np.ndarray:
    array = np.empty(len(sequences), object)
    array[:] = sequences
    return array


def write(path: Path, x_train: Any, y_train: Any, x_test: Any, y_test: Any) -> Path:
    """A file as numpy writes it, of which the arrays of lists are pickles."""
    arrays = {
        name: lists(x) if isinstance(x, list) else x
        for name, x in (("x_train", x_train), ("x_test", x_test))
    }
    np.savez(path, **arrays, y_train=np.array(y_train), y_test=np.array(y_test))
    return path


def keras_load_data(
    path: Path, num_words: Any, skip_top: int, maxlen: Any, seed: int, start_char: Any,
    oov_char: Any, index_from: int,
) -> Any:  # fmt: skip
    """What Keras' `imdb.load_data` does, in its order and with its lists, after numpy's reading."""
    with np.load(path, allow_pickle=True) as file:
        data = {name: file[name] for name in file}
    rng = np.random.RandomState(seed)
    halves = []
    for half in ("train", "test"):
        order = np.arange(len(data[f"x_{half}"]))
        rng.shuffle(order)
        reviews, labels = data[f"x_{half}"][order], data[f"y_{half}"][order]
        head = [] if start_char is None else [start_char]
        whole = [head + [w + index_from for w in review] for review in reviews]
        if maxlen:
            kept = [i for i, review in enumerate(whole) if len(review) < maxlen]
            whole, labels = [whole[i] for i in kept], labels[kept]
        halves.append((whole, labels))
    if not num_words:
        num_words = max(max(review) for whole, _ in halves for review in whole)
    result = []
    for whole, labels in halves:
        if oov_char is None:
            cut = [[w for w in review if skip_top <= w < num_words] for review in whole]
        else:
            cut = [[w if skip_top <= w < num_words else oov_char for w in r] for r in whole]
        result.append((cut, labels.tolist()))
    return result


OPTIONS = st.fixed_dictionaries(
    {
        "num_words": st.one_of(st.none(), st.integers(1, 320)),
        "skip_top": st.integers(0, 40),
        "maxlen": st.one_of(st.none(), st.integers(14, 20)),
        "seed": st.integers(0, 200),
        "start_char": st.one_of(st.none(), st.integers(0, 5)),
        "oov_char": st.one_of(st.none(), st.integers(0, 400)),
        "index_from": st.integers(0, 5),
    }
)


@given(REVIEWS, REVIEWS, OPTIONS)
def test_reviews_are_those_that_keras_reads(
    tmp_path_factory: Any, train: Any, test: Any, options: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("imdb") / "imdb.npz"
    labels = [[i % 2 for i in range(len(half))] for half in (train, test)]
    write(path, train, labels[0], test, labels[1])
    found = load_imdb(path, **options)
    for (x, y), (reviews, expected) in zip(found, keras_load_data(path, **options), strict=True):
        assert x.dtype == object
        assert [*x] == reviews
        assert all(type(w) is int for review in x for w in review)
        assert y.dtype == np.int64
        assert y.tolist() == expected


def test_maxlen_keeps_only_what_is_shorter(tmp_path: Path) -> None:
    path = write(tmp_path / "imdb.npz", [[1, 2], [1, 2, 3], [4]], [0, 1, 0], [[1]], [1])
    (x, y), _ = load_imdb(path, maxlen=4)
    # The largest index that is left, 4 + 3, is above what is kept if num_words is not given.
    assert sorted(zip(x, y.tolist(), strict=True)) == [([1, 2], 0), ([1, 4, 5], 0)]
    with pytest.raises(ValueError, match="maxlen must leave reviews that are shorter, got 2"):
        load_imdb(path, maxlen=2)


def test_a_file_of_the_cache_is_found_by_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    for folder in (home / ".keras" / "datasets", here):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.chdir(here)
    with pytest.raises(FileNotFoundError, match=r"is neither here nor in .*; it is https://"):
        load_imdb()
    with pytest.raises(FileNotFoundError):
        load_imdb(here / "imdb.npz")
    write(home / ".keras" / "datasets" / "imdb.npz", [[1]], [0], [[2]], [1])
    assert load_imdb(oov_char=None, num_words=9)[0][0][0] == [1, 4]
    write(here / "imdb.npz", [[5]], [0], [[2]], [1])
    assert load_imdb(oov_char=None, num_words=9)[0][0][0] == [1, 8]


# Files that are no such file, by mistake or by intent.


def member(content: bytes, shape: str = "(1,)", descr: str = "|O") -> bytes:
    """An array of a file: its header, and whatever is behind it."""
    stream = io.BytesIO()
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1))
    stream.write(header.encode("ascii") + b"\n" + content)
    return stream.getvalue()


def archive(path: Path, x_train: bytes) -> Path:
    """A file of one review in each half, whose first array has these bytes."""
    write(path, [[1]], [0], [[2]], [1])
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (parts | {"x_train.npy": x_train}).items():
            file.writestr(name, content)
    return path


class Runs:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(marker: Path) -> dict[str, bytes]:
    touch = f"open({str(marker)!r}, 'w').close()"
    shell = f"touch {marker}"
    real = pickle.dumps(lists([[1]]), protocol=4)
    start = real[: real.index(b"K\x01")]
    return {
        "os.system": pickle.dumps(Runs(os.system, shell)),
        "exec": pickle.dumps(Runs(exec, touch), protocol=0),
        "eval among the reviews": pickle.dumps(lists([[1], Runs(eval, touch)]), protocol=4),
        "an import": b"cos\nsystem\n(V" + shell.encode() + b"\ntR.",
        "an instance": b"(V" + shell.encode() + b"\nios\nsystem\n.",
        "numpy's own runner": pickle.dumps(Runs(subprocess.check_call, ["touch", str(marker)])),
        "an attribute of numpy": b"\x80\x04\x8c\x05numpy\x8c\x0bload.__cal__\x93.",
        "a registered function": pickle.dumps(Runs(copyreg._reconstructor, list, list, [1])),
        "an extension": b"\x80\x02\x82\x01.",
        "an outer object": b"\x80\x02K\x01Q.",
        "a state for a class": b"\x80\x02cnumpy\nndarray\n}b.",
        "attributes for a class": b"\x80\x02cnumpy\ndtype\nN}U\x08__init__K\x01s\x86b.",
        "a call of a state": start + b"cnumpy\nndarray\n)R.",
        "no end": real[:-8],
        "one list many times": pickle.dumps(lists([[*range(1000)]] * 100), protocol=4),
        "too much for memory": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"a.",
    }


@pytest.mark.parametrize("name", hostile(Path("marker")))
def test_nothing_of_a_pickle_is_run(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "was_run"
    path = archive(tmp_path / "imdb.npz", member(hostile(marker)[name]))
    with pytest.raises(DataFileError, match=f"{re.escape(str(path))}: x_train must be"):
        load_imdb(path)
    assert not marker.exists()


def test_the_hostile_files_do_run_where_pickles_are_allowed(tmp_path: Path) -> None:
    for name in ("os.system", "exec", "eval among the reviews", "an import", "an instance"):
        marker = tmp_path / f"{name} was_run".replace(" ", "_")
        path = archive(tmp_path / "imdb.npz", member(hostile(marker)[name]))
        with np.load(path, allow_pickle=True) as file, pytest.MonkeyPatch.context():
            file["x_train"]
        assert marker.exists(), name


@pytest.mark.parametrize("protocol", range(6))
def test_the_protocols_that_numpy_writes_are_read(protocol: int, tmp_path: Path) -> None:
    review = [1, 300, 70_000, *range(2500)]  # longer than what is written at once
    content = member(pickle.dumps(lists([review]), protocol=protocol))
    path = archive(tmp_path / "imdb.npz", content)
    if protocol < 2:
        with pytest.raises(DataFileError, match="x_train must be lists of ints: it has the instr"):
            load_imdb(path)
        return
    (x, _), _ = load_imdb(path, start_char=None, index_from=0, num_words=100_000)
    assert [*x] == [review]


def test_a_file_of_python_2_is_read(tmp_path: Path) -> None:
    # As Python 2.7 pickles it: texts are of bytes, and ints may be long.
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87"
        b"Rq\x03(K\x01K\x01\x85cnumpy\ndtype\nq\x04U\x02O8K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK?tb\x89]q\x06]q\x07(K\x01M,\x01\x8a\x03p\x11\x01eatb."
    )
    pickled = pickle.loads(content)
    assert pickled.tolist() == [[1, 300, 70_000]]
    path = archive(tmp_path / "imdb.npz", member(content))
    (x, _), _ = load_imdb(path, start_char=None, index_from=0, num_words=100_000)
    assert [*x] == [[1, 300, 70_000]]


@settings(max_examples=300)
@given(st.integers(0, 10**6), st.integers(0, 255), st.integers(0, 10**6), st.integers(0, 255))
def test_a_changed_file_is_read_or_named(
    tmp_path_factory: Any, place: int, byte: int, other_place: int, other_byte: int
) -> None:
    content = bytearray(pickle.dumps(lists([[1, 300, 70_000], [5]]), protocol=2 + place % 3))
    content[place % len(content)] = byte
    content[other_place % len(content)] = other_byte
    path = tmp_path_factory.mktemp("imdb") / "imdb.npz"
    write(path, [[1], [2]], [0, 1], [[2]], [1])
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, part in (parts | {"x_train.npy": member(bytes(content), "(2,)")}).items():
            file.writestr(name, part)
    try:
        words, message = [word for review in load_imdb(path)[0][0] for word in review], ""
    except DataFileError as error:
        words, message = [], str(error)
    assert not message or message.startswith(f"{path}: x_train")
    assert all(type(word) is int for word in words)


def test_a_file_that_ends_early_is_named(tmp_path: Path) -> None:
    content = member(pickle.dumps(lists([[1, 300, 70_000]]), protocol=4))
    for end in range(len(content)):
        path = archive(tmp_path / "imdb.npz", content[:end])
        with pytest.raises(DataFileError, match=re.escape(f"{path}: x_train ")):
            load_imdb(path)
    whole = archive(tmp_path / "imdb.npz", content).read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        with pytest.raises(DataFileError, match=re.escape(f"{path} is no whole npz file")):
            load_imdb(path)
    path.write_bytes(whole.replace(b"K\x01", b"K\x02", 1))
    with pytest.raises(DataFileError, match="CRC"):
        load_imdb(path)


RIGHT: dict[str, Any] = {"x_train": [[1], [2]], "y_train": [0, 1], "x_test": [[3]], "y_test": [1]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": [[1], [2], [3]]}, "y_train must have the 3 entries of x_train, got 2"),
        ({"y_test": [2]}, "y_test[0] must be 0 or 1, got 2"),
        ({"y_test": [0.5]}, "y_test must be integers, got float64"),
        ({"y_test": [[1]]}, "y_test must have shape (N,), got (1, 1)"),
        ({"y_train": lists([0, 1])}, "y_train must be integers, got object"),
        ({"x_test": np.zeros((1, 4), int)}, "x_test must have shape (N,), got (1, 4)"),
        ({"x_test": np.zeros(1, int)}, "x_test must be lists of ints (dtype object), got int64"),
        ({"x_train": [[1], 2]}, "x_train[1] must be a list of ints, got int"),
        ({"x_train": [[1], (2, 3)]}, "x_train[1] must be a list of ints, got tuple"),
        ({"x_train": [[1], "23"]}, "x_train[1] must be a list of ints, got str"),
        (
            {"x_train": [[1], np.array([2])]},
            "x_train[1] must be a list of ints, got an array or another object",
        ),
        (
            {"x_train": [[1], [2, 3.0]]},
            "x_train must be lists of ints: it has the instruction",
        ),
        ({"x_train": [[1], [True]]}, "x_train[1][0] must be an int, got bool"),
        ({"x_train": [[1], [[2]]]}, "x_train[1][0] must be an int, got list"),
        ({"x_train": [[1], [2, -3]]}, "x_train[1][1] must be in [0, 16777216), got -3"),
        ({"x_train": [[1], [2**64]]}, "x_train[1][0] must be in [0, 16777216), got 184467"),
    ],
)
def test_what_is_no_review_is_named(changes: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "imdb.npz", **(RIGHT | changes))
    with pytest.raises(DataFileError, match=re.escape(f"{path}: {message}")):
        load_imdb(path)


def test_a_header_that_lies_is_named(tmp_path: Path) -> None:
    pickled = pickle.dumps(lists([[1]]))
    path = tmp_path / "imdb.npz"
    for content, message in (
        (member(pickled, "(2,)"), "x_train must have 2 lists, got 1"),
        (member(pickled, "(-1,)"), "x_train must have -1 lists, got 1"),
        (member(pickled, "(1, 1)"), "x_train must have shape (N,), got (1, 1)"),
        (member(pickled, "x"), "x_train has no readable header"),
        (member(pickle.dumps(b"1" * 8)), "x_train must be lists of ints: it is no array of lists"),
        (b"", "x_train has no readable header"),
    ):
        archive(path, content)
        with pytest.raises(DataFileError, match=re.escape(f"{path}: {message}")):
            load_imdb(path)
    archive(path, member(b"\x01" * 7, descr="<i8"))
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x_train.npy", member(pickled))
        file.writestr("y_train.npy", member(b"\x01" * 7, descr="<i8"))
    with pytest.raises(DataFileError, match="y_train must be 1 numbers, got 7 bytes"):
        load_imdb(path)


def test_other_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "imdb.npz"
    np.savez(path, x_train=np.zeros(1), y=np.zeros(1))
    with pytest.raises(DataFileError, match=re.escape(f"{path}: x_train must be lists of ints")):
        load_imdb(path)
    np.savez(path, y=np.zeros(1))
    with pytest.raises(DataFileError, match=r"has no x_train: it must have .*, and has y\.npy$"):
        load_imdb(path)
    path.write_text("no archive")
    with pytest.raises(DataFileError, match=f"{re.escape(str(path))} is no whole npz file"):
        load_imdb(path)
    with pytest.raises(FileNotFoundError):
        load_imdb(tmp_path / "none.npz")
    archive(path, member(b""))
    content = path.read_bytes()
    size = struct.pack("<I", len(member(b"")))
    path.write_bytes(content.replace(size, struct.pack("<I", (1 << 28) + 1)))
    with pytest.raises(DataFileError, match="x_train is 268435457 bytes, above 268435456"):
        load_imdb(path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_words": 0}, ValueError, "num_words must be at least 1, got 0"),
        ({"skip_top": -1}, ValueError, "skip_top must be at least 0, got -1"),
        ({"maxlen": 0}, ValueError, "maxlen must be at least 1, got 0"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
        ({"start_char": -1}, ValueError, "start_char must be at least 0, got -1"),
        ({"oov_char": 0.5}, TypeError, "oov_char must be an integer, got 0.5"),
        ({"index_from": -1}, ValueError, "index_from must be at least 0, got -1"),
    ],
)
def test_options_that_are_none_are_refused(
    options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load_imdb("none.npz", **options)


def test_large_indices_of_ones_own_are_no_table_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "imdb.npz", [[1, 2]], [0], [[3]], [1])
    (x, _), _ = load_imdb(path, num_words=5, oov_char=10**12)
    assert [*x] == [[1, 4, 10**12]]
    (x, _), _ = load_imdb(path, index_from=10**12, num_words=10**13)
    assert [*x] == [[1, 10**12 + 1, 10**12 + 2]]


# A corpus of their shape.


def test_a_synthetic_corpus_has_the_shape_of_the_real_one() -> None:
    train, test = synthetic_imdb(2000, 500, seed=0)
    for (x, y), count in ((train, 2000), (test, 500)):
        assert x.shape == y.shape == (count,)
        assert y.sum() == count // 2
        lengths = np.array([len(review) for review in x])
        assert lengths.min() >= 11
        assert lengths.max() <= 2494
        assert all(type(review) is list and review[0] == 1 for review in x)
        words = np.concatenate([review[1:] for review in x])
        assert words.min() == 2
        assert words.max() < 10_000
        assert 3 not in words
        # Zipf's law over 88,584 ranks: 18 % of it is beyond the first 9,996.
        assert (words == 2).mean() == pytest.approx(0.182, abs=0.01)
        assert (words == 4).mean() == pytest.approx(0.0835, abs=0.004)
    lengths = np.array([len(review) for review in train[0]])
    assert np.median(lengths) == pytest.approx(176, rel=0.06)
    assert lengths.mean() == pytest.approx(1.3 * 176, rel=0.06)
    padded = pad_sequences(train[0], 500)
    assert padded.shape == (2000, 500)
    assert type(train[0][0][5]) is int


def says(review: list[int]) -> int:
    """How many more of its words are good than bad."""
    ranks = np.array(review) - 3
    polar = ranks[(ranks % 5 == 0) & (ranks >= 40)]
    return int((polar // 5 % 2).sum() * 2 - polar.size)


def test_its_labels_can_be_learned_as_far_as_there_is_a_signal() -> None:
    rates = []
    for signal in (0.0, 0.5, 1.0):
        (x, y), _ = synthetic_imdb(1000, 1, signal=signal, seed=1)
        rates.append(np.mean([says(review) > 0 for review in x] == y.astype(bool)))
    assert rates[0] == pytest.approx(0.5, abs=0.06)
    assert rates[1] > 0.9
    assert rates[2] > 0.99


def test_a_seed_gives_the_same_corpus() -> None:
    one, other = (synthetic_imdb(9, 3, 100, median_length=20, seed=2) for _ in range(2))
    for (x, y), (x_again, y_again) in zip(one, other, strict=True):
        assert [*x] == [*x_again]
        assert y.tolist() == y_again.tolist()
        assert max(map(max, x)) < 100


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train": 0}, ValueError, "train must be at least 1, got 0"),
        ({"num_words": 63}, ValueError, "num_words must be at least 64, got 63"),
        ({"median_length": 10}, ValueError, "median_length must be at least 11, got 10"),
        ({"signal": 1.1}, ValueError, "signal must be at least 0 and at most 1, got 1.1"),
    ],
)
def test_a_corpus_that_cannot_be_is_refused(
    options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        synthetic_imdb(**options)
