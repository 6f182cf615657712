"""Figures of a training, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import importlib.util
import os

import numpy as np

from fastrnn.training import History

TRAINING, VALIDATION, LIMIT = "#4c78a8", "#d1495b", "#5a5a5a"


def require_matplotlib() -> None:
    """ImportError with the one line that helps, if figures cannot be drawn."""
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("figures need matplotlib: pip install 'fastrnn[plot]'")


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
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    loss = np.asarray(history.loss)
    steps = np.arange(1, loss.size + 1)
    window = max(1, loss.size // 100)
    mean = np.convolve(loss, np.full(window, 1 / window), "valid")
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
        axes.axhline(limit, color=LIMIT, linestyle="--", linewidth=1)
        axes.annotate(
            f"to be reached: below {limit:.1f}", (1, limit), xycoords=("axes fraction", "data"),
            xytext=(-4, 3), textcoords="offset points", ha="right", color=LIMIT, fontsize=9,
        )  # fmt: skip
    axes.set(xlabel="training step", ylabel=f"loss ({unit})", xlim=(0, None))
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, format="png")
