"""``fastrnn demo``: a language model on real English, beside its naive twin.

What it claims it measures: the twin's losses are the model's, the twin's time is so many times the
model's, and what is learnt holds on text that was not trained on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastrnn.cli import machine
from fastrnn.cli.corpus import HELD_OUT_ONE_IN, STRETCH, Corpus, pydoc_corpus
from fastrnn.cli.screen import Screen
from fastrnn.cli.twin import ROUNDS, TOLERANCE, Setting, Twins, agree, race
from fastrnn.data import Tokens
from fastrnn.figures import loss_curve, require_matplotlib
from fastrnn.models import LanguageModel

#: Validation loss, in nats per character, that the training must reach.
LIMIT = 2.0

#: Sizes of min-char-rnn, for which the time goes into Python and not into NumPy's products.
MIN_CHAR_RNN = {"hidden": 100, "sequence_length": 25, "batch_size": 1}

#: Validations on the way.
VALIDATIONS = 16

PRIME, SAMPLE_SIZE, TEMPERATURE = "The ", 400, 0.6


def demo(screen: Screen, setting: Setting, out: Path) -> dict[str, Any]:
    """Run the whole of it; figure and model are written to the folder `out`.

    Returns
    -------
    dict
        All that was measured, in numbers and texts that JSON can hold; ``failures`` lists what was
        not as it must be.

    Raises
    ------
    GoalMissedError
        If the twin's losses are not the model's: what follows would mean nothing.
    """
    require_matplotlib()
    out.mkdir(parents=True, exist_ok=True)
    clock: dict[str, float] = {}
    begin = time.perf_counter()
    corpus = pydoc_corpus()
    model = setting.model(corpus.characters)
    tokens = model.encode(corpus.training)
    report: dict[str, Any] = {"header": _header(screen, setting, corpus, model)}
    with _timed(clock, "kernels"):
        report["kernels"] = _prepare(screen, setting, model, tokens)
    with _timed(clock, "check"):
        twins = agree(setting, corpus.characters, tokens)
        report["check"] = _show_check(screen, twins)
    with _timed(clock, "speed"):
        classic = agree(replace(setting, **MIN_CHAR_RNN), corpus.characters, tokens)
        report["speed"] = _speed(screen, tokens, twins, classic)

    model = setting.model(corpus.characters)
    report["samples"] = {"prime": PRIME, "temperature": TEMPERATURE, "seed": setting.seed}
    screen.heading("A sample before training")
    report["samples"]["before"] = _sample(screen, model, setting)
    with _timed(clock, "training"):
        report["training"] = _train(screen, setting, model, tokens, corpus.validation)
    report["validation"] = _validate(screen, model, corpus.validation)
    screen.heading("A sample after training")
    report["samples"]["after"] = _sample(screen, model, setting)
    with _timed(clock, "files"):
        report["files"] = _write(model, out, setting)
    clock["total"] = time.perf_counter() - begin
    report["seconds"] = clock

    nats = report["validation"]["nats"]
    missed = f"the validation loss is {nats:.3f}, it must be below {LIMIT} nats per character"
    report["failures"] = [] if nats < LIMIT else [missed]
    _summary(screen, report)
    return report


@contextmanager
def _timed(clock: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    clock[phase] = time.perf_counter() - start


def _header(
    screen: Screen, setting: Setting, corpus: Corpus, model: LanguageModel
) -> dict[str, Any]:
    header: dict[str, Any] = {
        "machine": machine.one_line(),
        "versions": machine.versions(),
        "corpus": {
            "text": "pydoc_data.topics, each paragraph once",
            "characters": corpus.size,
            "training": len(corpus.training),
            "validation": len(corpus.validation),
            "vocabulary": len(corpus.characters),
            "held_out": f"one in {HELD_OUT_ONE_IN} stretches of {STRETCH} characters",
        },
        "model": {
            "hidden": setting.hidden,
            "parameters": model.flat.size,
            "sequence_length": setting.sequence_length,
            "batch_size": setting.batch_size,
            "steps": setting.steps,
            "optimizer": "adam",
            "learning_rate": setting.learning_rate,
            "seed": setting.seed,
        },
    }
    versions = header["versions"]
    screen.heading(f"fastrnn {versions['fastrnn']}: a character language model on real English")
    screen.facts(
        [
            ("machine", header["machine"]),
            ("software", ", ".join(f"{k} {versions[k]}" for k in ("python", "numpy", "numba"))),
            (
                "text",
                f"Python's help topics (pydoc_data.topics), each paragraph once: {corpus.size:,} "
                f"characters, {len(corpus.characters)} different",
            ),
            (
                "held out",
                f"{len(corpus.validation):,} characters: one in {HELD_OUT_ONE_IN} stretches of "
                f"about {STRETCH:,}, from all over the text",
            ),
            (
                "model",
                f"recurrent layer of {setting.hidden} tanh units, {model.flat.size:,} parameters, "
                f"float32",
            ),
            (
                "step",
                f"{setting.batch_size} streams x {setting.sequence_length} characters, gradient "
                f"norm clipped at {setting.clip_norm:g}, Adam, learning rate "
                f"{setting.learning_rate:g}",
            ),
        ]
    )
    return header


def _prepare(
    screen: Screen, setting: Setting, model: LanguageModel, tokens: Tokens
) -> dict[str, Any]:
    """Compile all kernels, or load them: what comes later is not timed with it."""
    from fastrnn.kernels import jit

    screen.heading("Kernels")
    start = time.perf_counter()
    with jit.silent(), screen.busy("  compiling for this CPU, or loading from the cache ..."):
        model.fit(tokens, steps=1, **setting.fit_options())
        model.loss(tokens[: 2 * setting.sequence_length])
        model.sample(1, seed=0)
    seconds, compiled = time.perf_counter() - start, jit.compile_seconds()
    found = f"compiled in {compiled:.1f} s; the next time they come from the cache"
    screen.say(f"  {found if compiled else f'from the cache, ready in {seconds:.1f} s'}")
    return {"seconds": seconds, "compile_seconds": compiled}


def _show_check(screen: Screen, twins: Twins) -> dict[str, Any]:
    differences = twins.differences()
    screen.heading("Check: the naive twin, plain NumPy, from the same seed")
    screen.table(
        ["step", "loss, naive", "loss, fastrnn", "relative difference"],
        [
            [str(step), f"{naive:.6f}", f"{fused:.6f}", f"{difference:.1e}"]
            for step, (naive, fused, difference) in enumerate(
                zip(twins.naive, twins.fused, differences, strict=True), start=1
            )
        ],
    )
    screen.say(
        f"  the same losses: largest difference {max(differences):.1e}, allowed {TOLERANCE:.0e}"
    )
    return {
        "naive": twins.naive,
        "fused": twins.fused,
        "max_relative_difference": max(differences),
        "tolerance": TOLERANCE,
    }


def _speed(screen: Screen, tokens: Tokens, twins: Twins, classic: Twins) -> dict[str, Any]:
    screen.heading("Speed of a training step: gather, forward, loss, BPTT, clip, update")
    found = {"demo": race(tokens, twins), "min_char_rnn": race(tokens, classic)}
    rows = []
    for timed, contestants in zip(found.values(), (twins, classic), strict=True):
        setting = contestants.setting
        size = f"{setting.hidden} units, {setting.batch_size} x {setting.sequence_length}"
        for name, label in (("naive", "naive NumPy"), ("fused", "fastrnn")):
            ratio = f"{timed['ratio']:.1f}x" if name == "fused" else ""
            milliseconds = f"{1000 * timed[name]:.3f}"
            rate = f"{timed[f'{name}_characters_per_second']:,.0f}"
            rows.append([f"{size}, {label}", milliseconds, rate, ratio])
    screen.table(["", "ms/step", "characters/s", "speed"], rows)
    screen.say(
        f"  medians of {ROUNDS} turns each; fastrnn uses one thread, NumPy's BLAS may use "
        f"{machine.cores()}.\n"
        f"  The smaller size is that of A. Karpathy's min-char-rnn."
    )
    return found


def _train(
    screen: Screen, setting: Setting, model: LanguageModel, tokens: Tokens, validation: str
) -> dict[str, Any]:
    screen.heading("Training, the learning rate falling to zero along a cosine")
    with screen.training(0, setting.steps) as progress:
        model.fit(
            tokens,
            steps=setting.steps,
            schedule="cosine",
            validation=validation,
            validate_every=math.ceil(setting.steps / VALIDATIONS),
            progress=progress,
            **setting.fit_options(),
        )
    history = model.history_
    seconds = history.seconds + history.first_call_seconds
    rate = setting.characters_per_step * len(history.loss) / seconds
    last = history.loss[-100:]
    return {
        "steps": len(history.loss),
        "loss": math.fsum(last) / len(last),
        "kernel_seconds": seconds,
        "characters_per_second": rate,
        "validation": [list(pair) for pair in history.validation],
    }


def _sample(screen: Screen, model: LanguageModel, setting: Setting) -> str:
    text = str(model.sample(SAMPLE_SIZE, PRIME, TEMPERATURE, setting.seed))
    screen.quote(PRIME + text)
    return text


def _validate(screen: Screen, model: LanguageModel, text: str) -> dict[str, float]:
    nats = model.loss(text)
    found = {"nats": nats, "bits": nats / math.log(2), "perplexity": math.exp(nats), "limit": LIMIT}
    screen.heading("On the text that was held out")
    guessing = math.log(model.vocabulary_size)
    screen.say(
        f"  {nats:.3f} nats/character, {found['bits']:.3f} bits, perplexity "
        f"{found['perplexity']:.2f} (blind guessing: {guessing:.3f} nats)"
    )
    return found


def _write(model: LanguageModel, out: Path, setting: Setting) -> dict[str, str]:
    figure, saved = out / "fastrnn-demo.png", out / "fastrnn-demo.safetensors"
    title = (
        f"fastrnn demo: {setting.hidden} tanh units on Python's help topics, "
        f"{setting.characters_per_step} characters a step"
    )
    loss_curve(figure, model.history_, title=title, limit=LIMIT)
    model.save(saved)
    return {"figure": str(figure), "model": str(saved)}


def _summary(screen: Screen, report: dict[str, Any]) -> None:
    check, speed, seconds = report["check"], report["speed"], report["seconds"]
    reached = "below" if not report["failures"] else "NOT below"
    screen.heading("Summary")
    screen.facts(
        [
            (
                "same numbers",
                f"{len(check['naive'])} losses within {check['max_relative_difference']:.1e} of "
                f"the naive twin's",
            ),
            (
                "speed",
                f"{speed['demo']['ratio']:.1f} times the naive twin at this size, "
                f"{speed['min_char_rnn']['ratio']:.1f} times at min-char-rnn's",
            ),
            ("learnt", f"{report['validation']['nats']:.3f} nats/character, {reached} {LIMIT}"),
            (
                "time",
                f"{seconds['total']:.0f} s, of which {report['kernels']['compile_seconds']:.0f} s "
                f"compiling and {seconds['training']:.0f} s training, "
                f"{report['training']['characters_per_second']:,.0f} characters/s",
            ),
            ("figure", report["files"]["figure"]),
            ("model", report["files"]["model"]),
            ("next", f"fastrnn sample {report['files']['model']}"),
        ]
    )
