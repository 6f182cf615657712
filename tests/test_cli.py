"""The command line as it is typed: what comes out, on which stream, and with which exit code."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")

from conftest import PLAIN

import fastrnn
from fastrnn import training
from fastrnn.cli import main
from fastrnn.cli.corpus import pydoc_corpus

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
SMALL = ["--hidden", "8", "--sequence-length", "8", "--batch-size", "4", "--seed", "0"]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A saved model with the training that goes on from it; its kernels are compiled."""
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    model = fastrnn.LanguageModel(8, seed=0)
    model.fit(TEXT, steps=20, sequence_length=8, batch_size=4).save(path)
    # From here on no command says on stderr that it compiles.
    model.loss(TEXT)
    model.sample(1)
    return path.read_bytes()


@pytest.fixture
def saved(trained: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "saved.safetensors"
    path.write_bytes(trained)
    return path


def fastrnn_process(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "fastrnn", *map(str, arguments)],
        cwd=Path(fastrnn.__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_train_eval_sample(run: Run, book: Path, saved: Path, tmp_path: Path) -> None:
    model, figure = tmp_path / "model.safetensors", tmp_path / "loss.png"
    code, out, err = run(
        "train", book, "--out", model, *SMALL, "--steps", 30, "--figure", figure, "--layers", 2
    )
    assert (code, err) == (0, "")
    assert "30 steps" in out
    assert figure.read_bytes().startswith(b"\x89PNG")
    loaded = fastrnn.LanguageModel.load(model)
    assert (loaded.num_layers, loaded.hidden_size, len(loaded.history_.loss)) == (2, 8, 30)

    code, out, _ = run("eval", model, book)
    assert code == 0
    assert f"{loaded.loss(TEXT):.4f}" in out

    first, second = (run("sample", model, "--n", 40, "--prime", "the ") for _ in range(2))
    assert first == second
    assert first[0] == 0
    assert first[1] == "the " + str(loaded.sample(40, "the ", 0.8, 0)) + "\n"
    assert run("sample", model, "--n", 40, "--seed", 1)[1] != first[1]


def test_json_is_all_that_stdout_has(run: Run, book: Path, saved: Path, tmp_path: Path) -> None:
    out_model = tmp_path / "model.safetensors"
    reports = {}
    for name, arguments in {
        "train": ("train", book, book, "--out", out_model, *SMALL, "--steps", 10),
        "eval": ("eval", saved, book),
        "sample": ("sample", saved, "--n", 5),
        "info": ("info",),
        "warmup": ("warmup", "--nonlinearity", "tanh"),
    }.items():
        code, out, _ = run(*arguments, "--json")
        assert code == 0
        reports[name] = json.loads(out)
    assert reports["train"]["characters"] == 2 * len(TEXT)
    assert reports["train"]["steps"] == 10
    assert reports["train"]["validation"][-1][0] == 10
    assert reports["eval"]["nats_per_character"] == pytest.approx(
        fastrnn.LanguageModel.load(saved).loss(TEXT)
    )
    assert len(reports["sample"]["text"]) == 5
    assert reports["info"]["versions"]["fastrnn"] == fastrnn.__version__
    if not PLAIN:  # of the tiles: no machine is outside
        assert 0.1 < reports["info"]["one_core"]["float32_gflops"] < 2000
    assert [k["name"] for k in reports["warmup"]["kernels"]] == [
        "RNN tanh float32",
        "LanguageModel tanh float32 adam",
    ]


def test_json_has_null_for_what_is_no_number(run: Run, book: Path, saved: Path) -> None:
    model = fastrnn.LanguageModel.load(saved)
    model.params["bias_out"][0] = np.nan
    model.save(saved)
    code, out, _ = run("eval", saved, book, "--json")
    assert code == 0
    report = json.loads(out, parse_constant=pytest.fail)
    assert report["nats_per_character"] is report["perplexity"] is None
    code, _, err = run("sample", saved)
    assert code == 2
    assert err == ("fastrnn: the logits must be finite to sample from them: bias_out has nan\n")


def test_resume_goes_on_as_if_there_had_been_no_break(run: Run, book: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    common = ["train", book, *SMALL, "--learning-rate", "0.01"]
    assert run(*common, "--out", whole, "--steps", 20)[0] == 0
    assert run(*common, "--out", parts, "--steps", 12)[0] == 0
    code, out, _ = run("train", book, "--out", parts, "--resume", parts, "--steps", 20, "--json")
    assert (code, json.loads(out)["steps"]) == (0, 8)
    expected, found = map(fastrnn.LanguageModel.load, (whole, parts))
    np.testing.assert_array_equal(found.flat, expected.flat)
    assert found.history_.loss == expected.history_.loss


def test_resume_finishes_what_was_planned(
    run: Run, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts, go_on = tmp_path / "whole", tmp_path / "parts", ["--resume", tmp_path / "parts"]
    plan = [*SMALL, "--epochs", "1.5", "--schedule", "cosine", "--validation", "0.2"]
    assert run("train", book, "--out", whole, *plan)[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr(training, "SLICE_SECONDS", 0)  # a slice is a step
        patch.setattr("fastrnn.cli.screen._Lines.__call__", interrupt_at(20))
        assert run("train", book, "--out", parts, *plan)[0] == 130
    code, out, _ = run("train", book, "--out", parts, *go_on)
    expected, found = map(fastrnn.LanguageModel.load, (whole, parts))
    total = len(expected.history_.loss)
    assert code == 0
    assert f"{total} steps of 4 x 8 characters, 20 of them done already" in out
    np.testing.assert_array_equal(found.flat, expected.flat)
    assert found.history_.loss == expected.history_.loss
    assert found.history_.validation == expected.history_.validation

    code, out, _ = run("train", book, "--out", parts, *go_on)
    assert code == 0
    assert "nothing is left to be done" in out
    for more, message in [
        (["--epochs", "1"], "epochs must be at least 1.5, done already, got 1"),
        (["--validation", "0"], "data must be the text that this training began with"),
    ]:
        code, _, err = run("train", book, "--out", parts, *go_on, *more)
        assert code == 2
        assert message in err
    code, out, _ = run("train", book, "--out", parts, *go_on, "--epochs", "2", "--json")
    assert (code, json.loads(out)["steps"]) == (0, round(total / 1.5 * 2) - total)


def interrupt_at(step: int) -> Callable[[object, int, int, str], None]:
    def show(lines: object, now: int, total: int, text: str) -> None:
        if now == step:
            raise KeyboardInterrupt

    return show


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "{saved}", "{tmp}/none.txt"], "none.txt: No such file or directory"),
        (["eval", "{tmp}/none", "{book}"], "none: No such file or directory"),
        (["eval", "{saved}", "{tmp}"], "Is a directory"),
        (["eval", "{saved}", "{empty}"], "is empty"),
        (["eval", "{saved}", "{latin}"], "must be UTF-8, got byte 0xe9 at position 3"),
        (["eval", "{saved}", "{umlaut}"], "text has 'ü' at index 0"),
        (["eval", "{truncated}", "{book}"], "truncated"),
        (["eval", "{book}", "{book}"], "is not a whole safetensors file"),
        (["sample", "{saved}", "--n", "-1"], "n must be at least 0, got -1"),
        (["sample", "{saved}", "--n", "many"], "Invalid value for '--n'"),
        (["sample", "{saved}", "--temperature", "-2"], "temperature must be at least 0"),
        (["train", "{book}", "--out", "{out}", "--optimizer", "adm"], "optimizer must be one of"),
        (["train", "{book}", "--out", "{out}", "--hidden", "-3"], "hidden_size must be at least 1"),
        (["train", "{book}", "--out", "{out}", "--dtype", "int8"], "dtype must be float32 or"),
        (["train", "{book}", "--out", "{out}", "--batch-size", "9999"], "text must have at least"),
        (["train", "{book}", "--out", "{out}", "--validation", "1.5"], "validation must be"),
        (["train", "{book}", "--out", "{tmp}/no/model"], "no such folder"),
        (
            ["train", "{tmp}/none", "--out", "{out}", "--words", "--embedding", "{tmp}/vectors"],
            "vectors: No such file or directory",
        ),
        (["train", "{book}", "--out", "{out}", "--resume", "{saved}", "--hidden", "9"], "be 8"),
        (
            ["train", "{book}", "--out", "{out}", "--steps", "1", "--epochs", "1"],
            "must not both be given",
        ),
        (["train", "{book}"], "Missing option '--out'"),
        (["train", "{book}", "--out", "{out}", "--hiden", "3"], "No such option: --hiden"),
        (["warmup", "--dtype", "float16"], "dtype must be one of"),
        (["trane"], "No such command 'trane'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_a_bad_argument_is_one_line(
    run: Run, book: Path, saved: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    paths = {name: tmp_path / name for name in ("empty", "latin", "umlaut", "truncated", "out")}
    paths["empty"].touch()
    paths["latin"].write_bytes("café".encode("latin-1"))
    paths["umlaut"].write_text("über", encoding="utf-8")
    paths["truncated"].write_bytes(saved.read_bytes()[:-100])
    names = {**paths, "book": book, "saved": saved, "tmp": tmp_path}
    code, _, err = run(*(argument.format(**names) for argument in arguments))
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("fastrnn: ")
    assert message in err
    assert not paths["out"].exists()


def test_a_gradient_that_is_not_finite_fails_and_saves_the_steps_before(
    run: Run, tmp_path: Path
) -> None:
    out, text = tmp_path / "out", tmp_path / "text"
    text.write_text("ab" * 100 + "c" * 100, encoding="utf-8")
    model = fastrnn.LanguageModel(8, vocabulary=fastrnn.Vocabulary("abc"), seed=0)
    model.params["weight_ih_l0"][:, 2] = np.nan
    step = {"sequence_length": 8, "batch_size": 1}
    model.fit(text.read_text(), steps=2, **step).save(out)
    code, printed, err = run(
        "train", text, "--resume", out, "--out", out, "--validation", 0, "--steps", 99, "--json"
    )
    assert code == 1
    assert err.splitlines()[-1].startswith("fastrnn: the gradient of weight_ih_l0 has nan at step")
    assert f"are saved in {out}, and --resume {out} goes on from there" in err
    report = json.loads(printed, parse_constant=pytest.fail)
    saved = fastrnn.LanguageModel.load(out)
    done = len(saved.history_.loss)
    assert report["steps"] == done - 2 == 23
    assert report["failure"] in err
    model.fit(text.read_text(), steps=done, resume=True, **step)
    np.testing.assert_array_equal(saved.flat, model.flat)


def test_a_gradient_that_is_not_finite_at_once_fails_and_writes_nothing(
    run: Run, book: Path, saved: Path
) -> None:
    before = saved.read_bytes()
    model = fastrnn.LanguageModel.load(saved)
    model.params["weight_out"][0, 0] = np.nan
    model.save(saved)
    poisoned = saved.read_bytes()
    assert poisoned != before
    code, _, err = run("train", book, "--resume", saved, "--out", saved, "--steps", 25)
    assert code == 1
    assert err.startswith("fastrnn: the gradient of ")
    assert err.endswith(f"; no step was done, {saved} was not written\n")
    assert err.count("\n") == 1
    assert saved.read_bytes() == poisoned


def test_help_teaches(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for command in ("demo", "train", "sample", "eval", "warmup", "info"):
        assert command in out
        code, text, _ = run(command, "--help")
        assert code == 0
        assert "Example: fastrnn " + command in text
    assert run("--version") == (0, f"fastrnn {fastrnn.__version__}\n", "")


def test_corpus_holds_out_what_it_does_not_train_on() -> None:
    corpus = pydoc_corpus()
    training, validation = (set(text.split("\n\n")) for text in corpus[:2])
    assert 0.03 < len(corpus.validation) / corpus.size < 0.07
    assert len(training & validation) <= 0.01 * len(validation)  # where only a rare letter differed
    assert set(corpus.training + corpus.validation) <= set(corpus.characters)


def test_demo_measures_what_it_claims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastrnn.cli import demo, twin
    from fastrnn.cli.screen import Screen

    monkeypatch.setattr(twin, "TURN_SECONDS", 0.01)
    setting = twin.Setting(hidden=16, steps=40, check_steps=3)
    report = demo.demo(Screen(as_json=True), setting, tmp_path)
    assert json.loads(json.dumps(report)) == report
    assert report["check"]["max_relative_difference"] < 1e-5
    assert len(report["check"]["naive"]) == 3
    assert report["speed"]["demo"]["ratio"] > 0
    assert report["training"]["steps"] == 40
    model = fastrnn.LanguageModel.load(report["files"]["model"])
    assert model.loss(pydoc_corpus().validation) == report["validation"]["nats"]
    assert report["failures"] == [
        f"the validation loss is {report['validation']['nats']:.3f}, "
        f"it must be below 2.0 nats per character"
    ]
    assert Path(report["files"]["figure"]).read_bytes().startswith(b"\x89PNG")
    assert len(report["samples"]["after"]) == 400


def test_text_that_the_locale_lacks_is_escaped(saved: Path) -> None:
    process = fastrnn_process(
        "sample", saved, "--n", 0, "--prime", "ü", env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert "\\xfc" in err


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGINT to send")
def test_ctrl_c_saves_what_was_trained(book: Path, saved: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.safetensors"
    process = fastrnn_process("train", book, "--out", out, *SMALL, "--steps", 10**7)
    assert process.stdout is not None
    try:
        while "step " not in (line := process.stdout.readline()):
            assert line, process.communicate()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("fastrnn: interrupted after ")
    assert "Traceback" not in err
    model = fastrnn.LanguageModel.load(out)
    assert len(model.history_.loss) > 10
    assert model.history_.loss[-1] < model.history_.loss[0]
    steps = str(len(model.history_.loss) + 3)
    assert (
        main(["train", str(book), "--resume", str(out), "--out", str(out), "--steps", steps]) == 0
    )


SAVE_FOREVER = """
import sys, fastrnn
model = fastrnn.LanguageModel.load(sys.argv[1])
print("ready", flush=True)
while True:
    model.save(sys.argv[1])
"""


def test_kill_while_saving_leaves_a_whole_model(saved: Path) -> None:
    chance = random.Random(0)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(saved)],
            cwd=Path(fastrnn.__file__).parent.parent,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.01, 0.2))
            process.kill()
        assert fastrnn.LanguageModel.load(saved).hidden_size == 8


def test_a_reader_that_goes_away_is_no_error(saved: Path) -> None:
    with fastrnn_process("sample", saved, "--n", 200_000) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "Broken" not in err


def test_without_typer_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(name='typer')")
    process = fastrnn_process("info", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert err == "fastrnn: the command line needs typer and rich: pip install 'fastrnn[cli]'\n"
