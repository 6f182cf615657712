"""What an example is: options, a training that shows where it stands, an end point, a figure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from fastrnn.checks import Array, check_dtype
from fastrnn.figures import TRAINING, VALIDATION, draw_curve, dress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Names and values that are shown, one pair a line.
Facts = list[tuple[str, str]]


def option(default: Any, help: str, *, least: int | None = None) -> Any:
    """A field that the command line has as an option."""
    return field(default=default, metadata={"help": help, "least": least})


class End(NamedTuple):
    """What a training reached, and what it was to reach."""

    what: str
    value: float
    least: float = -math.inf
    most: float = math.inf
    form: str = ".3f"

    @property
    def reached(self) -> bool:
        """Whether the value is within its limits; NaN is not."""
        return self.least <= self.value <= self.most

    @property
    def wanted(self) -> str:
        """The limits, in words."""
        if self.least == self.most:
            return format(self.least, self.form)
        limits = [("at least", self.least), ("at most", self.most)]
        return ", ".join(f"{w} {x:{self.form}}" for w, x in limits if math.isfinite(x))


@dataclass(kw_only=True)
class Example:
    """One run of an example; its fields are the command's options.

    Attributes
    ----------
    rows : list of dict
        What was noted on the way: the step, and figures by name.
    """

    #: What it does, where it ends, and how long that takes, as they are listed; no full stops.
    summary: ClassVar[str]
    end_point: ClassVar[str]
    takes: ClassVar[str]

    seed: int = option(0, "Of all that is drawn.", least=0)
    dtype: str = option("float32", "float32 or float64.")
    rows: list[dict[str, float]] = field(default_factory=list, init=False, repr=False)
    #: Shows a step, of how many, and what is said about it.
    show: Callable[[int, int, str], None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_dtype(self.dtype)

    def prepare(self) -> Facts:
        """Read or draw the data and make the model; errors come from here, before the training."""
        raise NotImplementedError

    def train(self) -> None:
        """Train, and `note` how it goes; Ctrl-C leaves what was reached so far."""
        raise NotImplementedError

    def judge(self) -> list[End]:
        """What was reached."""
        raise NotImplementedError

    def draw(self, figure: Figure) -> None:
        """Draw it."""
        raise NotImplementedError

    def samples(self) -> list[tuple[str, str]]:
        """Texts that the model wrote, each with a line that introduces it."""
        return []

    def note(self, step: int, total: int, /, **figures: float) -> None:
        """Show where the training stands, and keep it for the figure."""
        self.rows.append({"step": step, **figures})
        text = "  ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in figures.items())
        self.show(step, total, text)

    def noted(self, name: str) -> Array:
        """All values of a figure that was noted, or of ``"step"``."""
        return np.array([row[name] for row in self.rows])

    def note_learning(
        self, step: int, total: int, training: tuple[float, float], held_out: tuple[float, float]
    ) -> None:
        """Note loss and accuracy on what is trained on, and on what is not."""
        self.note(
            step,
            total,
            loss=training[0],
            validation_loss=held_out[0],
            accuracy=training[1],
            validation_accuracy=held_out[1],
        )

    def draw_learning(
        self,
        figure: Figure,
        titles: tuple[str, str],
        units: tuple[str, str],
        parts: tuple[str, str] = ("training", "validation"),
        *,
        xlabel: str = "epoch",
        logarithmic: bool = False,
    ) -> None:
        """Draw what `note_learning` noted: losses at the left, accuracies at the right."""
        panels = figure.subplots(1, 2)
        for axes, name, title, unit in zip(
            panels, ("loss", "accuracy"), titles, units, strict=True
        ):
            for key, color, part in zip(
                (name, f"validation_{name}"), (TRAINING, VALIDATION), parts, strict=True
            ):
                draw_curve(axes, self.noted("step"), self.noted(key), color, part, ".3g")
            dress(axes, title, xlabel, unit)
            axes.legend(frameon=False, loc="upper right" if name == "loss" else "lower right")
        panels[0].margins(y=0.2)  # room for the legend
        if logarithmic:
            panels[0].set_yscale("log")
        else:
            panels[0].set_ylim(bottom=0)
        panels[1].set_ylim(max(0.0, panels[1].get_ylim()[0]), 1.02)
