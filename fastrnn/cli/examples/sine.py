"""A noisy sine, forecast by recurrent networks that were trained on windows cut in two ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastrnn
from fastrnn.checks import Array
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.cli.examples.readout import Readout
from fastrnn.data import forecast_windows, random_sampling, sequential_partitioning, sine
from fastrnn.figures import TRAINING, VALIDATION, draw_limit, dress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Samples in all and to train on, radians from one to the next, and the noise's deviation.
LENGTH, KNOWN, SPEED, NOISE = 2500, 2000, 0.1, 0.2
HIDDEN, BATCH, STEPS, RATE, CLIP = 32, 4, 50, 3e-3, 1.0
#: Steps ahead that the end point is about, and most of them.
AHEAD, FARTHEST = 16, 64
#: The largest root of the mean squared error one step and several steps ahead.
LIMITS = {1: 0.1, AHEAD: 0.15}
SAMPLES, TRUTH = "#b5b5b5", "#303030"
WAYS = {"random": "random sampling", "sequential": "sequential partitioning"}


@dataclass(kw_only=True)
class Sine(Example):
    """S2's forecaster."""

    summary = "A noisy sine, forecast; windows by random sampling and by sequential partitioning"
    end_point = f"errors of at most {LIMITS[1]} one and {LIMITS[AHEAD]} {AHEAD} steps ahead"
    takes = "about 3 s"

    epochs: int = option(400, "Passes over the series, of either network.", least=1)

    def prepare(self) -> Facts:
        """A noisy series, the truth beneath it, and two networks alike."""
        self.series, self.truth = (
            sine(LENGTH, rate=SPEED, noise=noise, seed=self.seed, dtype=self.dtype)[:, None]
            for noise in (NOISE, 0)
        )
        self.models = {}
        for way in WAYS:
            layer = fastrnn.RNN(1, HIDDEN, dtype=self.dtype, seed=self.seed)
            self.models[way] = Readout(layer, 1, rate=RATE, clip_norm=CLIP, seed=self.seed)
        return [
            ("data", f"sin({SPEED} t) and noise of {NOISE}: {KNOWN:,} samples to train on, then "
             f"{LENGTH - KNOWN} to forecast"),
            ("network", f"{HIDDEN} tanh units, linear output, mean squared error"),
            ("training", f"truncated to {STEPS} steps, {BATCH} windows at a time; Adam, gradients "
             f"of norm {CLIP:g} at most"),
            ("errors", "root of the mean square, against the truth beneath the noise"),
        ]  # fmt: skip

    def train(self) -> None:
        """Train both networks in turns, an epoch each."""
        draw, known = np.random.default_rng(self.seed), self.series[:KNOWN]
        windows: dict[str, Any] = {"batch_first": False, "seed": draw}
        for epoch in range(1, self.epochs + 1):
            for model in self.models.values():
                model.adam.lr = RATE * (1 - (epoch - 1) / self.epochs)
            drawn = [
                self._learn("random", x, y, None)[0]
                for x, y in random_sampling(known, BATCH, STEPS, **windows)
            ]
            state, following = None, []
            for x, y in sequential_partitioning(known, BATCH, STEPS, **windows):
                loss, state = self._learn("sequential", x, y, state)  # it goes on
                following.append(loss)
            losses = {"random": np.mean(drawn), "sequential": np.mean(following)}
            self.note(epoch, self.epochs, **{way: float(loss) for way, loss in losses.items()})

    def _learn(self, way: str, x: Array, y: Array, state: Array | None) -> tuple[float, Array]:
        """One step on windows (T, N, 1): the loss, and the state at their end."""
        model = self.models[way]
        h, state, tape = model.layer.forward(x, state)
        error = model(h) - y
        d_y = 2 / error.size * error
        d_h = model.back(d_y)
        grads = model.layer.backward(tape, d_output=d_h, wants_x=False, wants_state=False)
        model.descend(grads.flat, h, d_y)
        return float(np.square(error).mean()), state

    def forecast(self, way: str) -> Array:
        """Predictions (K, S): row k - 1 has what was said about each sample k steps before it.

        The network that was trained on windows reads the last window of samples, the other one
        all of them.
        """
        model = self.models[way]
        if way == "random":
            windows, _ = forecast_windows(self.series, STEPS, batch_first=False)
            state = model.layer(windows)[1]
        else:
            state = model.layer(self.series)[0][None, STEPS - 1 : -1]
        predicted = np.full((FARTHEST, LENGTH), np.nan)
        for k in range(FARTHEST):
            x = model(state[0])
            predicted[k, STEPS + k :] = x[: LENGTH - STEPS - k, 0]
            state = model.layer(x[None], state)[1]
        return predicted

    def errors(self, way: str) -> Array:
        """Root mean squared errors (K,), on samples that none of it was trained on."""
        unseen = slice(KNOWN + FARTHEST, None)
        wrong = (self.forecast(way) - self.truth[:, 0])[:, unseen]
        rms: Array = np.sqrt(np.square(wrong).mean(axis=1))
        return rms

    def judge(self) -> list[End]:
        """Errors of both networks."""
        return [
            End(f"{name}, {steps} ahead", float(errors[steps - 1]), most=most)
            for way, name in WAYS.items()
            for errors in [self.errors(way)]
            for steps, most in LIMITS.items()
        ]

    def draw(self, figure: Figure) -> None:
        """Truth beside predictions; errors by how far ahead, and losses."""
        figure.set_size_inches(9, 6.5)
        grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
        above = figure.add_subplot(grid[0, :])
        shown = np.arange(LENGTH - 220, LENGTH)
        predicted = self.forecast("sequential")
        above.plot(shown, self.series[shown], ".", color=SAMPLES, markersize=4, label="samples")
        for k, color in ((1, TRAINING), (AHEAD, VALIDATION)):
            label = f"predicted {k} step{'s' * (k > 1)} before"
            above.plot(shown, predicted[k - 1, shown], color=color, linewidth=1.6, label=label)
        above.plot(shown, self.truth[shown], "--", color=TRUTH, linewidth=1.2, label="truth")
        dress(above, "A noisy sine, forecast beyond what was trained on", "sample", "")
        above.margins(x=0.01)
        above.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, -0.01))
        above.set_ylim(-2.1, 1.8)
        left, right = (figure.add_subplot(grid[1, i]) for i in (0, 1))
        for (way, name), color in zip(WAYS.items(), (TRAINING, VALIDATION), strict=True):
            left.plot(range(1, FARTHEST + 1), self.errors(way), color=color, label=name)
            right.plot(self.noted("step"), self.noted(way), color=color, label=name)
        dress(left, "Error against the truth", "steps ahead", "root mean square")
        draw_limit(left, NOISE, "the samples' noise")
        left.set_ylim(0, 1.5 * max(NOISE, *(self.errors(way).max() for way in WAYS)))
        left.legend(frameon=False, loc="upper left")
        dress(right, "Training", "epoch", "mean squared error")
        draw_limit(right, NOISE**2, "the noise's square", below=True)
        right.set_yscale("log")
        right.set_ylim(0.03, None)
