"""The commands of a user's own text: train, evaluate, sample."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fastrnn.checks import check_number
from fastrnn.cli.errors import GoalMissedError, StoppedError
from fastrnn.cli.screen import Screen
from fastrnn.data import WordVocabulary, join_words, tokenize
from fastrnn.figures import loss_curve, require_matplotlib
from fastrnn.files import load_model
from fastrnn.models import LanguageModel
from fastrnn.training import NonFiniteGradientError, TrainingOptions

#: Steps whose mean is called the training loss at the end.
LAST_STEPS = 100

#: Fraction at a text's end that is held out for validation.
HELD_OUT = 0.05


def read_text(paths: Sequence[Path]) -> str:
    """The texts of UTF-8 files, one after the other.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If a file is empty or not UTF-8; the message names it and the byte's position.
    """
    parts = []
    for path in paths:
        content = path.read_bytes()
        if not content:
            raise ValueError(f"{path} is empty")
        try:
            parts.append(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} must be UTF-8, got byte 0x{content[error.start]:02x} at position "
                f"{error.start}"
            ) from None
    return "".join(parts)


def check_target(path: Path) -> None:
    """OSError if no file can be written at `path`: better before a training than after it."""
    folder = path.parent
    if path.is_dir():
        raise IsADirectoryError(21, "is a folder, a file's name is needed", str(path))
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "cannot write there", str(folder))


def make_model(resume: Path | None, given: dict[str, Any]) -> LanguageModel:
    """A new model, or the one at `resume`, whose own sizes are kept.

    Raises
    ------
    ValueError
        If a size in `given` is not None, nor that of the model at `resume`.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if resume is None:
        return LanguageModel(**chosen)
    model = LanguageModel.load(resume)
    for name, value in chosen.items():
        kept = {"dtype": model.dtype.name, "embedding": model.embedding_size or None}
        own = kept[name] if name in kept else getattr(model, name)
        if name != "seed" and value != own:
            raise ValueError(f"{name} must be {own!r}, that of {resume}, got {value!r}")
    return model


def count_units(model: LanguageModel, text: str) -> int:
    """Characters or words of a text, as the model reads it."""
    if model.unit == "character":
        return len(text)
    vocabulary = model.vocabulary
    by = vocabulary.tokenizer if isinstance(vocabulary, WordVocabulary) else "words"
    return len(tokenize(text, by))


def training_options(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What was given, completed by the options of the training before, or by the defaults."""
    options = {**asdict(TrainingOptions()), **before}
    options.update({name: value for name, value in given.items() if value is not None})
    for limit in ("clip_norm", "clip_value"):  # 0 on the command line: no limit
        options[limit] = options[limit] or None
    return asdict(TrainingOptions(**options))


def train(
    screen: Screen,
    files: Sequence[Path],
    out: Path,
    *,
    resume: Path | None,
    figure: Path | None,
    sizes: dict[str, Any],
    options: dict[str, Any],
    steps: int | None,
    epochs: float | None,
    validation: float | None,
    validate_every: int | None,
    patience: int | None,
) -> None:
    """``fastrnn train``.

    Raises
    ------
    StoppedError
        After Ctrl-C; the steps done so far are saved.
    GoalMissedError
        After a gradient that is not finite; the steps before it are saved.
    """
    from fastrnn.kernels import jit

    model, training = make_model(resume, sizes), {}
    if resume is not None:
        training = load_model(resume, "language_model")[0].get("training", {})
    chosen = training_options(training.get("options", {}), options)
    if validation is None:
        validation = training.get("held_out", HELD_OUT) or 0.0
    for target in filter(None, (out, figure)):
        check_target(target)
        if target.resolve() in {path.resolve() for path in files}:
            raise ValueError(f"{target} must not be one of the texts, which it would replace")
    if figure is not None and figure.resolve() == out.resolve():
        raise ValueError(f"--figure and --out must be two files, got {out} for both")
    if epochs is not None:
        check_number("epochs", epochs, least=0)
    check_number("validation", validation, least=0, below=1)
    if figure is not None:
        require_matplotlib()
    text = read_text(files)

    before, start = len(model.history_.loss), time.perf_counter()
    unit, count = model.unit, count_units(model, text)
    screen.say(f"{count:,} {unit}s of {', '.join(map(str, files))}")
    total = steps
    if total is None and epochs is None:
        total = training.get("total")
    if total is None:
        total = _steps(count, chosen, 1.0 if epochs is None else epochs, validation)
    screen.say(
        f"{total} steps of {chosen['batch_size']} x {chosen['sequence_length']} {unit}s"
        + (f", {before} of them done already" if before else "")
    )
    if before and total == before:
        screen.say("nothing is left to be done; --steps or --epochs set a later end")
    interrupted, failure = False, None
    try:
        with screen.training(before, total, unit) as progress:
            model.fit(
                text,
                steps=steps,
                epochs=epochs,
                validation=validation or None,
                validate_every=validate_every,
                patience=patience,
                resume=resume is not None,
                progress=progress,
                **chosen,
            )
    except KeyboardInterrupt:
        interrupted = True
    except NonFiniteGradientError as error:
        failure = str(error)
    history = model.history_
    done = len(history.loss) - before
    if interrupted and not done:
        raise StoppedError(f"interrupted before the first step was done; {out} was not written")
    if failure and not done:
        raise GoalMissedError(f"{failure}; no step was done, {out} was not written")
    model.save(out)
    if figure is not None:
        loss_curve(figure, history, title=f"Training on {', '.join(f.name for f in files)}")
    last = history.loss[-min(done, LAST_STEPS) :] if done else []
    report = {
        "model": str(out),
        "figure": str(figure) if figure else None,
        "characters": len(text),
        "unit": unit,
        "tokens": count,
        "vocabulary": model.vocabulary_size,
        "pretrained_words": model.pretrained_words_,
        "parameters": model.flat.size,
        "options": chosen,
        "steps": done,
        "loss": math.fsum(last) / len(last) if last else None,
        "validation": [list(pair) for pair in history.validation],
        "stopped_early": history.stopped_early,
        "interrupted": interrupted,
        "failure": failure,
        "compile_seconds": jit.compile_seconds(),
        "seconds": time.perf_counter() - start,
    }
    screen.result(report)
    if interrupted:
        raise StoppedError(
            f"interrupted after {done} steps; they are saved in {out}, "
            f"and --resume {out} goes on from there"
        )
    if failure:
        raise GoalMissedError(
            f"{failure}; the {done} steps before it are saved in {out}, "
            f"and --resume {out} goes on from there"
        )
    if history.stopped_early:
        screen.say("no better validation loss came: stopped early, back to the best parameters")
    if history.validation:
        last_found, best = history.validation[-1][1], min(loss for _, loss in history.validation)
        screen.say(f"validation loss {last_found:.4f}, best {best:.4f} nats/{unit}")
    screen.say(
        f"{done} steps in {report['seconds']:.1f} s, of which {jit.compile_seconds():.1f} s "
        f"compiling; saved in {out}"
    )


def _steps(count: int, options: dict[str, Any], epochs: float, validation: float) -> int:
    """How many steps `fastrnn.LanguageModel.fit` makes of so many epochs over `count` tokens."""
    length = count - round(validation * count)
    per_epoch = (length - 1) // options["batch_size"] // options["sequence_length"]
    return round(epochs * int(per_epoch))


def evaluate(screen: Screen, path: Path, files: Sequence[Path]) -> None:
    """``fastrnn eval``."""
    model, text = LanguageModel.load(path), read_text(files)
    nats, unit, count = model.loss(text), model.unit, count_units(model, text)
    report: dict[str, Any] = {
        "model": str(path),
        f"{unit}s": count,
        f"nats_per_{unit}": nats,
        f"bits_per_{unit}": nats / math.log(2),
        "perplexity": math.exp(min(nats, 709.0)),
    }
    facts = [
        (f"nats/{unit}", f"{nats:.4f}"),
        (f"bits/{unit}", f"{report[f'bits_per_{unit}']:.4f}"),
        ("perplexity", f"{report['perplexity']:.3f}"),
        (f"{unit}s", f"{count:,}"),
    ]
    if isinstance(model.vocabulary, WordVocabulary) and (unknown := model.vocabulary.unknown):
        left_out = model.vocabulary.encode(text) == model.vocabulary.words.index(unknown)
        report["unknown_words"] = int(left_out.sum())
        facts.append(("unknown words", f"{report['unknown_words']:,}"))
    screen.facts(facts)
    screen.result(report)


def gap(vocabulary: object, before: str, after: str) -> str:
    """The space between a text of words and what was drawn after it, if there is one."""
    if not isinstance(vocabulary, WordVocabulary) or not before or not after:
        return ""
    if before[-1].isspace() or vocabulary.tokenizer != "words":
        return "" if before[-1].isspace() else " "
    first = tokenize(after)[0]
    return " " if join_words([*tokenize(before), first]).endswith(f" {first}") else ""


def sample(
    screen: Screen, path: Path, n: int, prime: str, temperature: float, seed: int | None
) -> None:
    """``fastrnn sample``."""
    model = LanguageModel.load(path)
    drawn = model.sample(n, prime=prime, temperature=temperature, seed=seed)
    text = drawn if isinstance(drawn, str) else " ".join(map(str, drawn))
    screen.text(prime + gap(model.vocabulary, prime, text) + text)
    screen.result(
        {
            "model": str(path),
            "prime": prime,
            "text": text,
            "temperature": temperature,
            "seed": seed,
        }
    )
