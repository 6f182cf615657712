"""Model files: whole or not at all, and read with suspicion."""

from __future__ import annotations

import ast
import json
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, ROOT
from safetensors.numpy import load_file, save_file

import fastrnn
from fastrnn.files import FORMAT_VERSION, load_model, save_model, write_atomically

KIND = "language_model"
CHARACTERS = "\n aé\U0001f600"
TEXT = "a é\U0001f600\n" * 9


def untrained(seed: int = 0, **options: Any) -> fastrnn.LanguageModel:
    vocabulary = fastrnn.Vocabulary(CHARACTERS)
    return fastrnn.LanguageModel(6, 2, vocabulary=vocabulary, seed=seed, **options)


STEP: dict[str, Any] = {"sequence_length": 5, "batch_size": 2, "optimizer": "adam"}


def trained(**options: Any) -> fastrnn.LanguageModel:
    return untrained(dtype=np.float64).fit(TEXT, validation=0.2, steps=4, **STEP, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.fastrnn"


@DTYPES
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_a_model_comes_back_as_it_was(path: Path, nonlinearity: str, dtype: Any) -> None:
    model = untrained(dtype=dtype, nonlinearity=nonlinearity)
    model.save(path)
    twin = fastrnn.LanguageModel.load(path)
    assert repr(twin) == repr(model)
    assert twin.vocabulary == model.vocabulary
    assert list(twin.params) == list(model.params)
    assert twin.flat.dtype == dtype
    assert twin.flat.tobytes() == model.flat.tobytes()
    assert twin.history_ == model.history_


def test_a_training_comes_back_as_it_was(path: Path) -> None:
    model = trained(patience=9)
    model.save(path)
    twin = fastrnn.LanguageModel.load(path)
    assert twin.history_ == model.history_
    assert twin.flat.tobytes() == model.flat.tobytes()
    assert twin.loss(TEXT) == model.loss(TEXT)
    assert twin.sample(20, "a", seed=3) == model.sample(20, "a", seed=3)
    before = path.read_bytes()
    twin.save(path)  # a loaded model can be saved, with the training that it can go on with
    assert load_model(path, KIND)[0] == load_model_of(before, path)[0]
    for name, tensor in load_model(path, KIND)[1].items():
        np.testing.assert_array_equal(tensor, load_model_of(before, path)[1][name])


def load_model_of(content: bytes, beside: Path) -> Any:
    other = beside.with_name("other")
    other.write_bytes(content)
    return load_model(other, KIND)


def test_a_model_of_token_ids_comes_back(path: Path) -> None:
    model = fastrnn.LanguageModel(3, vocabulary=7, seed=0)
    model.save(path)
    twin = fastrnn.LanguageModel.load(path)
    assert twin.vocabulary is None
    assert twin.vocabulary_size == 7
    assert twin.flat.tobytes() == model.flat.tobytes()


def test_the_file_is_safetensors_that_others_can_read(path: Path) -> None:
    model = untrained()
    model.save(path)
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    metadata = header["__metadata__"]
    assert metadata["format"] == "fastrnn.language_model"
    assert metadata["format_version"] == str(FORMAT_VERSION)
    assert json.loads(metadata["config"])["characters"] == CHARACTERS
    tensors = load_file(path)
    for name, p in model.params.items():
        np.testing.assert_array_equal(tensors[name], p)


def test_nobody_imports_pickle() -> None:
    for source in (ROOT / "fastrnn").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"pickle", "cPickle", "marshal", "shelve", "joblib"}, source
            assert getattr(node, "arg", None) != "allow_pickle", source


# --- files that are no models ---


class Trap:
    """Executes when it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a file was unpickled",)


def whole() -> bytes:
    """A model's file, small enough to cut in many places."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        untrained().save(Path(folder) / "model")
        return (Path(folder) / "model").read_bytes()


WHOLE = whole()
HEADER = 8 + int.from_bytes(WHOLE[:8], "little")
BROKEN = {
    "empty": b"",
    **{f"cut at {n}": WHOLE[:n] for n in (1, 7, 8, 9, HEADER // 2, HEADER - 1, HEADER)},
    **{f"short by {n}": WHOLE[:-n] for n in (1, 4, 1000)},
    "too long": WHOLE + b"\0",
    "random": np.random.default_rng(0).bytes(5000),
    "zeros": bytes(5000),
    "text": b"To be, or not to be, that is the question.",
    "header of all that there is": b"\xff" * 8 + WHOLE[8:],
    "pickle": pickle.dumps(Trap()),
}


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(fastrnn.ModelFileError, match=message) as caught:
        fastrnn.LanguageModel.load(path)
    assert path.name in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert_refused(path, "not a whole safetensors file")


def test_any_byte_of_the_header_may_be_wrong(path: Path) -> None:
    for place in range(0, HEADER, 17):
        path.write_bytes(WHOLE[:place] + bytes([WHOLE[place] ^ 0x15]) + WHOLE[place + 1 :])
        try:
            fastrnn.LanguageModel.load(path)
        except fastrnn.ModelFileError:
            continue


METADATA = json.loads(WHOLE[8:HEADER])["__metadata__"]
CONFIG = json.loads(METADATA["config"])
BAD_METADATA: list[tuple[Any, str]] = [
    (None, "must be a file of format 'fastrnn.language_model', got None"),
    ({"format": "pt"}, "must be a file of format 'fastrnn.language_model', got 'pt'"),
    ({**METADATA, "format": "fastrnn.rnn"}, "got 'fastrnn.rnn'"),
    ({**METADATA, "format_version": str(FORMAT_VERSION + 1)}, "newer fastrnn.*: upgrade"),
    ({**METADATA, "format_version": "100000"}, "newer fastrnn"),
    ({**METADATA, "format_version": "new"}, "no readable format version: 'new'"),
    ({**METADATA, "format_version": "-1"}, "no readable format version"),
    ({**METADATA, "format_version": "\N{SUPERSCRIPT TWO}"}, "no readable format version"),
    ({"format": METADATA["format"]}, "no readable format version"),
    ({k: v for k, v in METADATA.items() if k != "config"}, "no readable configuration"),
    ({**METADATA, "config": "{"}, "no readable configuration"),
    ({**METADATA, "config": "[1]"}, "no readable configuration"),
]
BAD_CONFIG: list[dict[str, Any]] = [
    {"hidden_size": 7},
    {"hidden_size": "six"},
    {"hidden_size": None},
    {"hidden_size": 10**30},
    {"num_layers": 1},
    {"num_layers": 3},
    {"num_layers": -2},
    {"num_layers": 10**12},
    {"nonlinearity": "gelu"},
    {"dtype": "float64"},
    {"dtype": "float16"},
    {"dtype": 3},
    {"vocabulary_size": 4},
    {"vocabulary_size": 10**30},
    {"characters": "abcd"},
    {"characters": "abcdef"},
    {"characters": "aacde"},
    {"characters": 3},
    {"history": None},
    {"history": {}},
    {"history": {"validation": [], "unknown": 1}},
    {"history": {"validation": 3}},
    {"training": 3},
]


def rewrite(path: Path, metadata: Any, **tensors: Any) -> None:
    """Another file with a model's tensors; None leaves one out."""
    path.write_bytes(WHOLE)
    kept = {k: v for k, v in {**load_file(path), **tensors}.items() if v is not None}
    save_file(kept, path, metadata=metadata)


@pytest.mark.parametrize(("metadata", "message"), BAD_METADATA)
def test_a_foreign_or_newer_file_is_refused(path: Path, metadata: Any, message: str) -> None:
    rewrite(path, metadata)
    assert_refused(path, message)


@pytest.mark.parametrize("change", BAD_CONFIG, ids=str)
def test_a_damaged_configuration_is_refused(path: Path, change: Any) -> None:
    rewrite(path, {**METADATA, "config": json.dumps({**CONFIG, **change})})
    assert_refused(path, "is damaged")


@pytest.mark.parametrize("name", CONFIG)
def test_a_configuration_with_something_missing_is_refused(path: Path, name: str) -> None:
    config = {k: v for k, v in CONFIG.items() if k != name}
    rewrite(path, {**METADATA, "config": json.dumps(config)})
    assert_refused(path, f"is damaged.*{name}")


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight_hh_l1": None},
        {"weight_out": None},
        {"loss": None, "history.loss": None},
        {"weight_hh_l0": np.zeros((6, 5), np.float32)},
        {"bias_out": np.zeros(5, np.float64)},
        {"weight_out": np.zeros(30, np.float32)},
        {"unknown": np.zeros(3, np.float32)},
    ],
    ids=lambda t: ",".join(t),
)
def test_damaged_tensors_are_refused(path: Path, tensors: Any) -> None:
    rewrite(path, METADATA, **tensors)
    assert_refused(path, "is damaged.*" + next(iter(tensors)))


def test_sizes_that_the_tensors_do_not_have_take_no_memory(path: Path) -> None:
    units = 10**6  # whose weight_hh_l0 would take 4 TB
    config = json.dumps({**CONFIG, "hidden_size": units, "vocabulary_size": 1})
    rewrite(path, {**METADATA, "config": config}, weight_out=np.zeros((1, units), np.float32))
    assert_refused(path, r"is damaged: weight_ih_l0 must have shape \(H, V\) = \(1000000, 1\)")


def test_a_training_that_does_not_fit_is_refused(path: Path) -> None:
    trained().save(path)
    config, tensors = load_model(path, KIND)
    training = config["training"]
    missing = {k: v for k, v in training.items() if k != "options"}
    wrong = {**tensors, "training.slots": np.zeros((2, 3))}
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        (missing, tensors, "options"),
        (training, wrong, "slots"),
        ({**training, "position": 999}, tensors, "position must be in the text of length"),
        ({**training, "text": "cafe"}, tensors, "data must be the text"),
        ({**training, "total": -1}, tensors, "total must be at least 0, got -1"),
    ]
    for changed, parts, message in cases:
        save_model(path, KIND, {**config, "training": changed}, parts)
        with pytest.raises(ValueError, match=message):  # now, or when it goes on
            fastrnn.LanguageModel.load(path).fit(TEXT, resume=True, steps=9, validation=0.2, **STEP)


def test_what_cannot_be_opened_says_so(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=path.name):
        fastrnn.LanguageModel.load(path)
    with pytest.raises(OSError, match=r"(?i)director|denied"):
        fastrnn.LanguageModel.load(tmp_path)


def test_a_model_without_a_vocabulary_is_not_saved(path: Path) -> None:
    with pytest.raises(RuntimeError, match="no vocabulary"):
        fastrnn.LanguageModel(3).save(path)
    assert not path.exists()


# --- writing ---


def test_writing_replaces_the_file_and_keeps_its_mode(path: Path) -> None:
    for content in (b"first", b"second, longer", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
        path.chmod(0o640)
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]
    new = path.with_name("new")
    write_atomically(str(new), b"")
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert new.stat().st_mode == plain.stat().st_mode


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        untrained().save(tmp_path / "missing" / "model")


FULL_DISK = """
import resource, sys
import fastrnn
model = fastrnn.LanguageModel(50, vocabulary=9, seed=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    model.save(sys.argv[1])
except OSError as error:
    print("refused:", error.strerror)
"""
SAVE_FOR_EVER = """
import sys
import fastrnn
models = [fastrnn.LanguageModel(200, vocabulary=9, seed=seed) for seed in range(2)]
while True:
    for model in models:
        model.save(sys.argv[1])
        print("saved", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_a_disk_that_fills_up_leaves_the_old_file(path: Path, environment: dict[str, str]) -> None:
    path.write_bytes(WHOLE)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("refused:")
    assert path.read_bytes() == WHOLE
    assert list(path.parent.glob("*")) == [path]


HANG_WHILE_SAVING = """
import os, sys, time
import fastrnn
def hang(handle):
    print("hanging", flush=True)
    time.sleep(600)
os.fsync = hang
fastrnn.LanguageModel(20, vocabulary=9).save(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_what_a_dead_process_left_is_removed_by_the_next_save(
    path: Path, environment: dict[str, str]
) -> None:
    others = [path.with_name(f".{name}.abcd1234.part") for name in ("other", path.name + ".x")]
    for other in others:
        other.write_bytes(b"of another file")
    with subprocess.Popen(
        [sys.executable, "-c", HANG_WHILE_SAVING, str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as saving:
        assert saving.stdout is not None
        assert saving.stdout.readline() == "hanging\n"
        (part,) = path.parent.glob(f".{path.name}.????????.part")
        write_atomically(path, b"by another process")
        assert part.exists()  # its process is alive
        saving.send_signal(signal.SIGKILL)
        saving.stdout.read()
    assert part.exists()
    write_atomically(path, b"next")
    assert path.read_bytes() == b"next"
    kept = {entry for entry in path.parent.iterdir() if entry.is_file()}
    assert kept == {path, *others}


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX's")
def test_kill_9_while_saving_leaves_a_whole_file(path: Path, environment: dict[str, str]) -> None:
    expected = {
        fastrnn.LanguageModel(200, vocabulary=9, seed=seed).flat.tobytes() for seed in range(2)
    }
    for delay in (0.0, 0.003, 0.011):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(path)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as saving:
            assert saving.stdout is not None
            for _ in range(3):
                saving.stdout.readline()
            time.sleep(delay)  # somewhere in the middle of a save
            saving.send_signal(signal.SIGKILL)
            saving.stdout.read()
        assert fastrnn.LanguageModel.load(path).flat.tobytes() in expected
