"""S3: min-char-rnn, its loss function, its step in the script's own loop, and the whole script.

The script's step has 100 hidden units, 25 characters, a vocabulary of 65, Adagrad. On random text
its rate of 0.1 is chaotic, rounding errors grow tenfold a step: here it is 0.01.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn.cli.corpus import pydoc_corpus
from fastrnn.compat import min_char_rnn
from fastrnn.reference import min_char_rnn as naive

HIDDEN, LENGTH, VOCABULARY, RATE = 100, 25, 65, 0.01
TEXT_LENGTH = 10_000
#: Iterations in one call of `train`.
ITERATIONS = 200
#: Differences in eps that are rounding: of one piece, and of the losses after many.
AGREEMENT, TRAINED_AGREEMENT = 100, 2000
GOAL = 30

SIZES = f"H={HIDDEN} T={LENGTH} V={VOCABULARY}"
#: Sums and products of one step: the states, their gradients, those of Whh, and three of the head.
FLOPS = LENGTH * (3 * 2 * HIDDEN * HIDDEN + 3 * 2 * HIDDEN * VOCABULARY)


def rows(dtype: str) -> list[Row]:
    """The function alone, in a loop, and the script without and with what it prints."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, VOCABULARY, TEXT_LENGTH)
    tokens[:VOCABULARY] = np.arange(VOCABULARY)
    text = "".join(chr(ord("0") + token) for token in tokens.tolist())
    inputs, targets = tokens[:LENGTH].tolist(), tokens[1 : LENGTH + 1].tolist()
    hprev = np.zeros((HIDDEN, 1), dtype)
    modules = (naive, min_char_rnn)

    loss = [_loss(module, dtype, inputs, targets, hprev) for module in modules]
    step = [_step(module, dtype, inputs, targets, hprev) for module in modules]
    quiet, printing = (
        [_script(module, dtype, text, every) for module in modules] for every in (None, 100)
    )
    return [
        _row("lossFun", dtype, loss, AGREEMENT),
        _row("lossFun, the loop's Adagrad", dtype, step, TRAINED_AGREEMENT),
        _row("train", dtype, quiet, TRAINED_AGREEMENT, steps=ITERATIONS, goal=GOAL),
        _row("train, a sample in 100 steps", dtype, printing, TRAINED_AGREEMENT, steps=ITERATIONS),
    ]


def ends() -> list[End]:
    """The script on English: at its own rate of 0.1 rounding decides where it ends."""
    text = pydoc_corpus().training[:100_000]
    vocabulary = len(set(text))

    def reached(module: Any) -> str:
        parameters = _parameters("float64", vocabulary)
        trained = module.train(text, 5000, HIDDEN, LENGTH, 0.02, parameters=parameters, every=None)
        return f"smooth loss {trained.smooth_loss:.1f}"

    return [End("train, 5,000 steps at a rate of 0.02", reached, naive, min_char_rnn)]


def _row(name: str, dtype: str, calls: list[Any], agreement: float, **options: Any) -> Row:
    slow, fast = calls

    def difference() -> float:
        return difference_in_eps(fast(), slow(), dtype)

    return Row(name, SIZES, slow, fast, difference, agreement, FLOPS, **options)


def _parameters(dtype: str, vocabulary: int = VOCABULARY) -> Any:
    generator = np.random.default_rng(1)
    shapes = [(HIDDEN, vocabulary), (HIDDEN, HIDDEN), (vocabulary, HIDDEN)]
    drawn = [generator.standard_normal(shape) * 0.01 for shape in shapes]
    drawn += [np.zeros((HIDDEN, 1)), np.zeros((vocabulary, 1))]
    return tuple(array.astype(dtype) for array in drawn)


def _loss(
    module: Any, dtype: str, inputs: list[int], targets: list[int], hprev: Any
) -> Callable[[], Any]:
    function = module.bind(*_parameters(dtype)).lossFun
    return lambda: function(inputs, targets, hprev)


def _step(
    module: Any, dtype: str, inputs: list[int], targets: list[int], hprev: Any
) -> Callable[[], Any]:
    parameters = _parameters(dtype)
    memories = [np.zeros_like(param) for param in parameters]
    function = module.bind(*parameters).lossFun

    def step() -> float:
        loss, *gradients, _ = function(inputs, targets, hprev)
        for param, dparam, mem in zip(parameters, gradients, memories, strict=True):
            mem += dparam * dparam
            param += -RATE * dparam / np.sqrt(mem + 1e-8)
        return float(loss)

    return step


def _script(module: Any, dtype: str, text: str, every: int | None) -> Callable[[], Any]:
    def script() -> Any:
        return module.train(
            text, ITERATIONS, HIDDEN, LENGTH, RATE, parameters=_parameters(dtype), every=every,
            write=len,
        ).losses  # fmt: skip

    return script
