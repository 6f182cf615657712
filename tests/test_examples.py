"""The commands ``fastrnn examples``: end points, figures, errors, exit codes."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, assert_close, eps

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("matplotlib")

from matplotlib import image
from matplotlib.figure import Figure

import fastrnn
from fastrnn.cli import main
from fastrnn.cli.examples.chars import Chars
from fastrnn.cli.examples.example import End
from fastrnn.cli.examples.imdb import Imdb
from fastrnn.cli.examples.readout import Classifier
from fastrnn.cli.examples.sine import FARTHEST, STEPS, Sine
from fastrnn.cli.examples.spirals import Spirals
from fastrnn.cli.examples.text import WEIGHT, pair_loss

NAMES = ["sine", "chars", "words", "addition", "spirals", "sentiment", "digits", "imdb"]
TEXT = "the quick brown fox jumps over the lazy dog. " * 60

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["examples", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def assert_drawn(path: Path) -> None:
    """A figure, with something in it, that a README can show."""
    assert path.read_bytes().startswith(b"\x89PNG")
    pixels = image.imread(path)
    assert min(pixels.shape[:2]) > 500
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 50
    assert path.stat().st_size < 500_000


def needs_sklearn(name: str) -> None:
    if name == "digits":
        pytest.importorskip("sklearn")


def test_list_has_every_example_and_its_end_point(run: Run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    listed = json.loads(run("--json")[1])["examples"]
    assert [one["name"] for one in listed] == NAMES
    for one in listed:
        assert all(one.values())
        assert all(part in out for part in one.values())
        code, text, _ = run(one["name"], "--help")
        assert code == 0
        assert all(f"--{option}" in text for option in ("seed", "dtype", "figure", "json"))


@pytest.mark.skipif(PLAIN, reason="thousands of steps of NumPy")
@pytest.mark.parametrize("name", ["sine", "addition", "sentiment", "digits"])
def test_end_point_is_reached(run: Run, tmp_path: Path, name: str) -> None:
    needs_sklearn(name)
    code, out, err = run(name, "--json")
    report = json.loads(out)
    assert code == 0, report
    assert report["reached"]
    assert not report["interrupted"]
    assert "The end point was reached." in err
    assert_drawn(tmp_path / f"{name}.png")
    if name == "addition":
        assert [end["value"] for end in report["ends"]] == [10_000]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sine", ["--epochs", 1, "--dtype", "float64"]),
        ("chars", ["--text", "book.txt", "--steps", 2]),
        ("words", ["--text", "book.txt", "--steps", 1]),
        ("addition", ["--epochs", 1, "--dtype", "float64"]),
        ("spirals", ["--iterations", 2, "--dtype", "float64"]),
        ("sentiment", ["--epochs", 1, "--dtype", "float32"]),
        ("digits", ["--epochs", 1, "--dtype", "float64"]),
        ("imdb", ["--sequences", 40, "--epochs", 1]),
    ],
)
def test_too_little_training_misses_the_end_point(
    run: Run, tmp_path: Path, name: str, options: list[Any]
) -> None:
    needs_sklearn(name)
    code, out, err = run(name, *options, "--figure", "drawn.png")
    assert code == 1, err
    assert "the end point was not reached: " in err
    assert "not reached" in out
    assert_drawn(tmp_path / "drawn.png")
    assert not (tmp_path / f"{name}.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "No such command 'none'"),
        (["sine", "--epochs", "0"], "--epochs"),
        (["sine", "--dtype", "int8"], "dtype must be float32 or float64, got 'int8'"),
        (["sine", "--figure", "no/sine.png"], "no: no such folder"),
        (["sine", "--figure", "."], ".: is a folder, a file's name is needed"),
        (["chars", "--text", "none.txt"], "none.txt: No such file or directory"),
        (["chars", "--text", "empty.txt"], "empty.txt is empty"),
        (["chars", "--text", "latin.txt"], "must be UTF-8, got byte 0xe9 at position 3"),
        (["chars", "--text", "short.txt"], "text must have at least"),
        (["words", "--text", "short.txt"], "text must have at least"),
        (["chars", "--text", "book.txt", "--figure", "book.txt"], "--figure must not be book.txt"),
        (["imdb", "--data", "none.npz"], "none.npz"),
        (["imdb", "--data", "book.txt"], "book.txt"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "short.txt").write_text("so so so", encoding="utf-8")
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert "step" not in out
    assert list(tmp_path.glob("*.png")) == []
    assert (tmp_path / "book.txt").read_text(encoding="utf-8") == TEXT


def interrupt_at(step: int) -> Callable[[object, int, int, str], None]:
    def show(lines: object, now: int, total: int, text: str) -> None:
        if now >= step:
            raise KeyboardInterrupt

    return show


@pytest.mark.parametrize(
    ("name", "step", "total"), [("sine", 2, 3), ("spirals", 1000, 3000), ("chars", 2, 500)]
)
def test_ctrl_c_draws_what_was_reached(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, step: int, total: int
) -> None:
    monkeypatch.setattr("fastrnn.cli.screen._Lines.__call__", interrupt_at(step))
    for kind in (Sine, Spirals, Chars):
        for method in ("judge", "samples"):
            monkeypatch.setattr(kind, method, lambda example: pytest.fail("goes on"))
    length = {"sine": "--epochs", "spirals": "--iterations", "chars": "--steps"}[name]
    text = ["--text", "book.txt"] if name == "chars" else []
    code, out, err = run(name, *text, length, total, "--json")
    assert code == 130
    assert f"interrupted; {name}.png shows what was reached by then" in err
    report = json.loads(out)
    assert report["interrupted"]
    assert not report["reached"]
    assert report["ends"] == []
    assert_drawn(tmp_path / f"{name}.png")


def test_ctrl_c_before_the_first_step_draws_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(example: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sine, "train", interrupted)
    code, _, err = run("sine")
    assert code == 130
    assert err == "fastrnn: interrupted before there was anything to draw: no sine.png\n"
    assert not (tmp_path / "sine.png").exists()


def test_digits_say_what_they_need(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sklearn" else find_spec(name)
    )
    code, _, err = run("digits")
    assert code == 1
    assert "pip install 'fastrnn[estimators]'" in err


@pytest.mark.parametrize(
    ("end", "reached", "wanted"),
    [
        (End("a", 1.0, least=1), True, "at least 1.000"),
        (End("a", 0.99, least=1), False, "at least 1.000"),
        (End("a", 2.0, most=1.5, form=".1f"), False, "at most 1.5"),
        (End("a", math.nan, most=1), False, "at most 1.000"),
        (End("a", math.inf), True, ""),
    ],
)
def test_end_points(end: End, reached: bool, wanted: str) -> None:
    assert (end.reached, end.wanted) == (reached, wanted)


def prepared(example: Any) -> Any:
    example.prepare()
    example.show = lambda *what: None
    return example


def test_sine_is_forecast_from_what_was_known_then() -> None:
    """Sample s, predicted k steps before, by a network that is stepped by hand."""
    sine = prepared(Sine(epochs=1, dtype="float64"))
    sine.train()
    forecast = {way: sine.forecast(way) for way in sine.models}
    for way, (s, k) in zip(
        ("random", "sequential") * 2, [(300, 1), (300, 1), (90, 7), (90, 7)], strict=True
    ):
        model, known = sine.models[way], s - k
        start = known - STEPS + 1 if way == "random" else 0
        h, state = model.layer(sine.series[start : known + 1])
        for _ in range(k - 1):
            h, state = model.layer(model(h[-1:]), state)
        assert_close(forecast[way][k - 1, s], model(h[-1])[0], 100 * eps("float64"))
    assert forecast["random"].shape[0] == FARTHEST
    assert np.isnan(forecast["random"][4, STEPS + 3])
    assert np.isfinite(forecast["random"][4, STEPS + 4])


def test_spirals_go_on_where_they_were() -> None:
    """Twice 1,000 iterations are 2,000."""
    spirals = prepared(Spirals(iterations=2000, seed=3, dtype="float64"))
    spirals.train()
    other = prepared(Spirals(iterations=1, seed=3))
    from fastrnn.compat.three_layer_net import three_layer_net

    for name, model in other.models.items():
        three_layer_net(name, other.x, other.y, model, 0.1, 1e-3, 2000, dtype=np.float64)
        assert_close(spirals.models[name]["W2"], model["W2"], 1e3 * eps("float64"), name)


def test_accuracy_of_a_text_is_looked_at_after_each_validation(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8")
    chars = prepared(Chars(text=tmp_path / "book.txt", steps=20, dtype="float64"))
    chars.train()
    steps, found = zip(*chars.accuracies, strict=True)
    validated = [step for step, _ in chars.model.history_.validation]
    assert len(steps) == len(validated) == 10
    assert all(a <= b for a, b in zip(validated, steps, strict=True))
    assert steps[-1] == 20
    assert found[-1] == chars.judge()[-1].value == chars.model.accuracy(chars.validation)
    figure = Figure()
    chars.draw(figure)
    names = [axes.get_title(loc="left") for axes in figure.axes]
    assert names == ["Loss", "Accuracy of the next character"]
    (curve,) = figure.axes[1].lines
    np.testing.assert_array_equal(curve.get_xydata(), chars.accuracies)


def test_pair_loss_is_that_of_counts() -> None:
    rng = np.random.default_rng(0)
    training, held_out = rng.integers(0, 5, 300), rng.integers(0, 6, 40)
    single, pairs = Counter(training.tolist()), Counter(itertools.pairwise(training.tolist()))
    total = 0.0
    for a, b in itertools.pairwise(held_out.tolist()):
        before = sum(count for (one, _), count in pairs.items() if one == a)
        chance = (single[b] + 1) / (300 + 6)
        total -= math.log((pairs[a, b] + WEIGHT * chance) / (before + WEIGHT))
    assert pair_loss(training, held_out, 6) == pytest.approx(total / 39, rel=100 * eps("float64"))


def test_classifier_descends_along_its_gradient() -> None:
    """The gradients that Adam is given, against finite differences of the loss."""
    rng = np.random.default_rng(0)
    layer = fastrnn.LSTM(3, 4, 2, batch_first=True, dtype=np.float64, seed=0)
    model = Classifier(layer, 3, rate=0.0, clip_norm=math.inf, seed=0)
    x, classes, lengths = rng.standard_normal((5, 6, 3)), np.arange(5) % 3, [6, 2, 5, 1, 6]
    given: dict[str, Any] = {}
    model.adam.step = lambda params, grads: given.update(grads)  # type: ignore[method-assign]
    loss = model.learn(x, classes, lengths)
    width = eps("float64") ** (1 / 3)
    for name, params in (("layer", layer.flat), ("weight", model.weight), ("bias", model.bias)):
        for place in rng.permutation(params.size)[:10]:
            value, losses = params.flat[place], []
            for moved in (value + width, value - width, value):
                params.flat[place] = moved
                losses.append(model.learn(x, classes, lengths))
            slope = (losses[0] - losses[1]) / (2 * width)
            assert given[name].flat[place] == pytest.approx(slope, abs=10 * width**2)
            assert losses[2] == loss


def test_imdb_reads_the_standard_file(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def reviews(count: int) -> np.ndarray:
        lists = np.empty(count, object)
        lists[:] = [rng.integers(1, 50, n).tolist() for n in rng.integers(5, 600, count)]
        return lists

    labels = np.arange(30) % 2
    np.savez(
        tmp_path / "imdb.npz",
        x_train=reviews(30), y_train=labels, x_test=reviews(30), y_test=labels,
    )  # fmt: skip
    code, out, err = run("imdb", "--data", "imdb.npz", "--sequences", 20, "--epochs", 1)
    assert code == 1, err
    assert "20 to train on, 20 to test" in out
    assert "at least 0.800" in out
    assert "SYNTHETIC" not in out
    assert_drawn(tmp_path / "imdb.png")


def test_imdb_says_that_its_reviews_are_synthetic() -> None:
    facts = Imdb(sequences=20).prepare()
    assert any("SYNTHETIC" in text for _, text in facts)
