"""Draw how fast fastrnn is beside the fastest peer, row by row.

    python bench/figure.py [FILE.json] [--out FILE.png]

The table's rows from an output of `compare.py`, bench/results/compare.json if not given; the PNG
lies beside it. A column of panels for each cell, a line of them for each number of threads. Dots
are medians over the rounds, bars their quartiles, the last line the medians' geometric mean.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from table import CELLS, FIGURE_SOURCE, digest, of_table

#: Title, colour, marker and place in the row of each mode.
MODES = {
    "infer": ("inference", "#2f6db3", "o", -0.17),
    "train": ("training", "#e0742b", "s", 0.17),
}
INK, FAINT, BEHIND = "#333333", "#d9d9d9", "#f3f1ee"
#: Labels of the axis, where they fall within it.
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20)


def draw(result: dict[str, Any]) -> Any:
    """The figure of a comparison.

    Raises
    ------
    SystemExit
        If it has no rows of the table.
    """
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if row["set"] == "table" and row["fastest_peer"]]
    if not rows:
        raise SystemExit("no rows of the table with a peer in this file")
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    cells = [cell for cell in CELLS if any(row["cell"] == cell for row in rows)]
    counts = list(dict.fromkeys(row["threads"] for row in rows))
    size = (max(8.5, 2.0 + 3.1 * len(cells)), 1.0 + (1.0 + 0.27 * len(shapes)) * len(counts))
    figure = Figure(figsize=size, dpi=160)
    figure.set_layout_engine("constrained", h_pad=0.1)
    grid = figure.subplots(len(counts), len(cells), sharex=True, sharey=True, squeeze=False)
    for panels, threads in zip(grid, counts, strict=True):
        for axes, cell in zip(panels, cells, strict=True):
            chosen = [row for row in of_table(result, threads) if row["cell"] == cell]
            means = {
                entry["mode"]: entry["geometric_mean"]
                for entry in result["summary"]
                if entry["rival"] == "fastest peer"
                and (entry["set"], entry["threads"], entry["cell"]) == ("table", threads, cell)
            }
            _panel(axes, chosen, means, shapes)
            plural = "s" if threads > 1 else ""
            axes.set_title(
                f"{CELLS[cell]}, {threads} thread{plural}", loc="left", fontsize=11, color=INK
            )
        panels[0].set_ylabel("T, batch, input, hidden", fontsize=9, color=INK)
    _scale(grid[0][0], rows)
    handles = [
        grid[0][0].plot([], [], marker, color=colour, markersize=6, label=title)[0]
        for title, colour, marker, _ in MODES.values()
    ]
    figure.legend(
        handles=handles, loc="upper right", ncols=2, frameon=False, fontsize=10,
        borderaxespad=0.1, labelcolor=INK, handletextpad=0.2,
    )  # fmt: skip
    figure.suptitle(
        "Speed of fastrnn over the fastest of PyTorch, ONNX Runtime and JAX",
        x=0.01, ha="left", fontsize=12.5, color=INK,
    )  # fmt: skip
    figure.supxlabel(
        "time of the fastest peer / time of fastrnn (logarithmic; right of 1, fastrnn is faster)",
        fontsize=9.5, color=INK,
    )  # fmt: skip
    return figure


def _panel(
    axes: Any,
    rows: list[dict[str, Any]],
    means: dict[str, float],
    shapes: list[tuple[int, ...]],
) -> None:
    mean_line = len(shapes) + 0.4
    for row in rows:
        _, colour, marker, shift = MODES[row["mode"]]
        y = shapes.index(tuple(row["shape"])) + shift
        ratio = row["ratios"][row["fastest_peer"]]
        axes.plot([ratio["q1"], ratio["q3"]], [y, y], color=colour, linewidth=2.2, alpha=0.4)
        axes.plot(ratio["median"], y, marker, color=colour, markersize=5, markeredgewidth=0)
    for mode, mean in means.items():
        _, colour, marker, shift = MODES[mode]
        y = mean_line + 2 * shift
        axes.plot(mean, y, marker, color=colour, markersize=7, markeredgewidth=0)
        side = 1 if mean >= 1 else -1
        axes.annotate(
            f"{mean:.2f}", (mean, y), xytext=(7 * side, 0), textcoords="offset points",
            ha="left" if side > 0 else "right", va="center", fontsize=8.5, color=colour,
            fontweight="bold",
        )  # fmt: skip
    axes.axvline(1, color=INK, linewidth=1.1, zorder=1)
    axes.axvspan(1e-3, 1, color=BEHIND, zorder=0)
    for y in range(1, len(shapes)):
        axes.axhline(y - 0.5, color=FAINT, linewidth=0.5, zorder=0.5)
    axes.axhline(len(shapes) - 0.5, color=INK, linewidth=0.8)
    labels = [", ".join(map(str, shape)) for shape in shapes]
    axes.set_yticks([*range(len(shapes)), mean_line], [*labels, "geometric mean"])
    axes.set_ylim(len(shapes) + 1.1, -0.6)
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _scale(axes: Any, rows: list[dict[str, Any]]) -> None:
    """One logarithmic axis for all panels, wide enough for all dots and for 1."""
    ratios = [row["ratios"][row["fastest_peer"]]["median"] for row in rows]
    low, high = min(0.85, *(r / 1.2 for r in ratios)), max(1.2, *(r * 1.2 for r in ratios))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    for each in axes.figure.axes:
        each.tick_params(axis="x", labelbottom=True)
        each.grid(axis="x", color=FAINT, linewidth=0.5)
        each.set_axisbelow(True)


def main(arguments: list[str] | None = None) -> int:
    """Draw; see the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=FIGURE_SOURCE, metavar="FILE.json")
    parser.add_argument("--out", type=Path, metavar="FILE.png")
    options = parser.parse_args(arguments)
    figure = draw(json.loads(options.file.read_text()))
    source = f"{options.file.name}, sha256 {digest(options.file).decode()}"
    figure.savefig(
        options.out or options.file.with_suffix(".png"), format="png", metadata={"Source": source}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
