"""Figures of a training, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

import numpy as np

from fastrnn.checks import Array
from fastrnn.training import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Steps of which each is drawn; more of them are a wall.
MOST_SINGLE = 20_000

TRAINING, VALIDATION, LIMIT = "#4c78a8", "#d1495b", "#5a5a5a"


def require_matplotlib() -> None:
    """ImportError with the one line that helps, if figures cannot be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("figures need matplotlib: pip install 'fastrnn[plot]'")


def new_figure(width: float = 8, height: float = 4.5) -> Figure:
    """A figure without axes, of so many inches."""
    require_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def dress(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Give axes their names and the looks of all figures here."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def draw_limit(axes: Axes, value: float, text: str, *, below: bool = False) -> None:
    """Draw a value across, and say at the right what it is, above or below the line."""
    axes.axhline(value, color=LIMIT, linestyle="--", linewidth=1)
    axes.annotate(
        text, (1, value), xycoords=("axes fraction", "data"),
        xytext=(-4, -3 if below else 3), textcoords="offset points", ha="right",
        va="top" if below else "bottom", color=LIMIT, fontsize=9,
    )  # fmt: skip


def draw_curve(axes: Axes, x: Array, y: Array, color: str, label: str, form: str) -> None:
    """Draw a line whose label has its last value."""
    marker = "o" if len(x) < 3 else ""
    axes.plot(x, y, color=color, linewidth=1.6, label=f"{label}: {y[-1]:{form}}", marker=marker)


def loss_curve(
    path: str | os.PathLike[str],
    history: History,
    *,
    title: str,
    limit: float | None = None,
    unit: str = "nats per character",
) -> None:
    """Draw the loss of every step, its running mean, and the validations, as a PNG.

    Parameters
    ----------
    path : str or path
    history : History
        Of a `fastrnn.LanguageModel`, as its ``history_``.
    title : str
    limit : float, optional
        A loss to be reached, drawn across.
    unit : str
        Of the loss.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    figure = new_figure()
    draw_history(figure.add_subplot(), history, title=title, limit=limit, unit=unit)
    figure.savefig(path, format="png")


def draw_history(
    axes: Axes, history: History, *, title: str, limit: float | None, unit: str
) -> None:
    """Draw what `loss_curve` has on axes."""
    loss = np.asarray(history.loss)
    steps = np.arange(1, loss.size + 1)
    window = max(1, loss.size // 100)
    mean = np.convolve(loss, np.full(window, 1 / window), "valid")
    if loss.size <= MOST_SINGLE:
        axes.plot(steps, loss, color=TRAINING, alpha=0.2, linewidth=0.6)
    centre = steps[window - 1 :] - (window - 1) / 2
    label = f"training, mean of {window} steps" if window > 1 else "training"
    axes.plot(centre, mean, color=TRAINING, linewidth=1.6, label=label)
    if history.validation:
        at, found = zip(*history.validation, strict=True)
        axes.plot(at, found, "o-", color=VALIDATION, markersize=4, linewidth=1, label="validation")
        axes.annotate(
            f"{found[-1]:.2f}", (at[-1], found[-1]), color=VALIDATION,
            xytext=(6, 0), textcoords="offset points", va="center",
        )  # fmt: skip
    if limit is not None:
        draw_limit(axes, limit, f"to be reached: below {limit:.1f}")
    dress(axes, title, "training step", f"loss ({unit})")
    axes.set_xlim(0, None)
    axes.legend(frameon=False)
