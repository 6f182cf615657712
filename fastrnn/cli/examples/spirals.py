"""Three arms of a spiral, told apart by a three-layer network, with either nonlinearity."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastrnn import data
from fastrnn.checks import Array
from fastrnn.cli.examples.example import End, Example, Facts, option
from fastrnn.compat.three_layer_net import relu, sigmoid, three_layer_net
from fastrnn.figures import TRAINING, VALIDATION, dress
from fastrnn.reference import softmax, softmax_cross_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HIDDEN, STEP, REG = 50, 0.1, 1e-3
#: Iterations between two losses.
EVERY = 1000
FUNCTIONS = {"SIGM": sigmoid, "RELU": relu}
NAMES = {"SIGM": "sigmoid", "RELU": "ReLU"}
#: The published losses, which may be missed by a tenth, and accuracies, by two points in 300.
PUBLISHED = {"SIGM": (0.468, 0.96), "RELU": (0.1126, 0.99)}
#: Of the arms, and how far the picture goes.
COLORS, EDGE = ("#4c78a8", "#d1495b", "#e0a030"), 1.1


@dataclass(kw_only=True)
class Spirals(Example):
    """S5's function, twice."""

    summary = "Three arms of a spiral, told apart by three layers, sigmoid and ReLU"
    end_point = "losses of at most 0.515 (sigmoid) and 0.124 (ReLU): the published ones and a tenth"
    takes = "about 9 s"

    iterations: int = option(50_000, "Steps of gradient descent on all 300 points.", least=1)

    def prepare(self) -> Facts:
        """300 points, and small random weights for either network."""
        self.x, self.y = data.spirals(seed=self.seed)
        draw, widths = np.random.default_rng(self.seed), (2, HIDDEN, HIDDEN, 3)
        self.models: dict[str, dict[str, Array]] = {name: {} for name in FUNCTIONS}
        self.sizes: dict[str, list[list[float]]] = {name: [[], []] for name in FUNCTIONS}
        for model in self.models.values():
            for i in (1, 2, 3):
                model[f"W{i}"] = 0.1 * draw.standard_normal((widths[i - 1], widths[i]))
                model[f"b{i}"] = np.zeros((1, widths[i]))
        return [
            ("data", f"{len(self.x)} points of 3 arms"),
            ("network", f"2-{HIDDEN}-{HIDDEN}-3, step {STEP:g}, regularisation {REG:g}"),
        ]

    def train(self) -> None:
        """Train both networks in turns; the function changes the model that it is given."""
        for done in range(0, self.iterations, EVERY):
            some = min(EVERY, self.iterations - done)
            figures = {}
            for name, model in self.models.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    w1, w2, *_ = three_layer_net(
                        name, self.x, self.y, model, STEP, REG, some, dtype=self.dtype
                    )
                for sizes, new in zip(self.sizes[name], (w1, w2), strict=True):
                    sizes += new
                scores = self._scores(name, self.x)
                loss = softmax_cross_entropy(scores, self.y)[0] + 0.5 * REG * sum(
                    float((model[f"W{i}"] ** 2).sum()) for i in (1, 2, 3)
                )
                figures[f"{name}_loss"] = loss
                figures[f"{name}_accuracy"] = float((scores.argmax(axis=1) == self.y).mean())
            self.note(done + some, self.iterations, **figures)

    def _scores(self, name: str, x: Array) -> Array:
        h, model = x, self.models[name]
        for i in (1, 2):
            h = FUNCTIONS[name](h @ model[f"W{i}"] + model[f"b{i}"])
        scores: Array = h @ model["W3"] + model["b3"]
        return scores

    def judge(self) -> list[End]:
        """Where both networks ended."""
        ends = []
        for name, (loss, accuracy) in PUBLISHED.items():
            found, right = (self.rows[-1][f"{name}_{what}"] for what in ("loss", "accuracy"))
            ends += [
                End(f"{NAMES[name]} loss (published: {loss})", found, most=1.1 * loss, form=".4f"),
                End(
                    f"{NAMES[name]} accuracy (published: {accuracy})", right, least=accuracy - 0.02
                ),
            ]
        return ends

    def draw(self, figure: Figure) -> None:
        """Decision regions above, sizes of gradients below."""
        figure.set_size_inches(9, 7.2)
        above, below = figure.subplots(2, 2, height_ratios=(3, 1.4), sharex="row", sharey="row")
        for i, name in enumerate(FUNCTIONS):
            last = self.rows[-1]
            self._regions(above[i], name)
            above[i].set_title(
                f"{NAMES[name]}: loss {last[f'{name}_loss']:.3f}, accuracy "
                f"{last[f'{name}_accuracy']:.2f}", loc="left", fontsize=11,
            )  # fmt: skip
            for sizes, color, label in zip(
                self.sizes[name], (TRAINING, VALIDATION), ("W1", "W2"), strict=True
            ):
                every = max(1, len(sizes) // 1000)
                below[i].plot(range(0, len(sizes), every), sizes[::every], color=color, label=label)
            dress(below[i], "", "iteration", "" if i else "mean absolute gradient")
            below[i].set_yscale("log")
        below[1].legend(frameon=False)

    def _regions(self, axes: Axes, name: str) -> None:
        """The arms' colours, each as strong as the network is sure of it."""
        side = np.linspace(-EDGE, EDGE, 400)
        grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        p = softmax(self._scores(name, grid)).reshape(len(side), len(side), 3)
        inks = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLORS])
        axes.imshow(
            1 - 0.45 * (1 - p @ inks), extent=(-EDGE, EDGE, -EDGE, EDGE), origin="lower",
            interpolation="bilinear",
        )  # fmt: skip
        for k, color in enumerate(COLORS):
            points = self.x[self.y == k]
            axes.scatter(
                points[:, 0], points[:, 1], s=14, color=color, edgecolor="white", linewidth=0.4
            )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
