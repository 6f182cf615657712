"""Binary addition: two bits in and one out a step, the carry kept in the state."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastrnn import data
from fastrnn.checks import Array
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.compat.rnn_class import RNN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS, BITS, HIDDEN, BATCH, RATE = 1000, 8, 16, 16, 1.0
#: The long numbers: those that are looked at after each epoch, and those of the end point.
LONG, SOME, MANY = 64, 200, 10_000


@dataclass(kw_only=True)
class Addition(Example):
    """S4's network on sums."""

    summary = "Binary addition, learnt on 8-bit numbers, tried on 64-bit ones"
    end_point = f"the sums of {MANY:,} random pairs of 64-bit numbers, all of them right"
    takes = "about 2 s"

    epochs: int = option(100, f"Passes over {PAIRS:,} pairs of 8-bit numbers.", least=1)

    def prepare(self) -> Facts:
        """Numbers as bits (N, T, 2), the least significant first."""
        self.x, self.y = self._pairs(PAIRS, BITS, self.seed)
        self.long = self._pairs(SOME, LONG, self.seed + 1)
        np.random.seed(self.seed)
        self.rnn = RNN(2, HIDDEN, 1, dtype=self.dtype)
        return [
            ("data", f"{PAIRS:,} random pairs of {BITS}-bit numbers"),
            ("network", f"{HIDDEN} tanh units, sigmoid output, batches of {BATCH}, rate {RATE:g}"),
        ]

    def _pairs(self, count: int, bits: int, seed: int) -> tuple[Array, Array]:
        task = data.binary_addition(count, bits, seed=seed, dtype=self.dtype)
        return task.x.swapaxes(0, 1), task.y.swapaxes(0, 1)

    def train(self) -> None:
        """Train epoch by epoch, and look at sums after each."""
        for epoch in range(1, self.epochs + 1):
            with contextlib.redirect_stdout(io.StringIO()):
                self.rnn.train(self.x, self.y, 1, RATE, BATCH, seed=self.seed + epoch)
            self.note_learning(
                epoch,
                self.epochs,
                (self.rnn.evaluate(self.x, self.y)[0], self._right(self.x, self.y) / PAIRS),
                (self.rnn.evaluate(*self.long)[0], self._right(*self.long) / SOME),
            )

    def _right(self, x: Array, y: Array) -> int:
        """How many sums have every bit right."""
        return int(((self.rnn.predict(x) > 0.5) == y).all(axis=(1, 2)).sum())

    def judge(self) -> list[End]:
        """Count sums of numbers that are drawn anew."""
        right = self._right(*self._pairs(MANY, LONG, self.seed + 2))
        return [End(f"{LONG}-bit sums right, of {MANY:,}", right, least=MANY, form=",.0f")]

    def draw(self, figure: Figure) -> None:
        """Loss and right sums, of short numbers beside long ones."""
        self.draw_learning(
            figure,
            ("Binary addition: loss", "Sums with every bit right"),
            ("nats per bit", "part of the sums"),
            (f"{BITS} bits, trained on", f"{LONG} bits, never seen"),
            logarithmic=True,
        )
