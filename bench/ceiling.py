"""How much faster the rows of a comparison could be: beside multiply-adds and reads alone.

    python bench/ceiling.py [FILE.json]

FILE is an output of `compare.py`, by default the one of the README's tables. The ceiling is that of
the same run: products at the multiply-add peak of its cores, and for one sequence the recurrent
weights read at the bandwidth of the cache that holds them. Equations, packing, the traffic of
gradients, weights that no cache holds, and the waiting of a step for the one before are left out;
what of the weights a nearer cache still holds is not: an estimate, not a bound.

Printed for each row: its share of the ceiling, the fastest peer's time over its own, and what that
would be at the ceiling; for each mode and number of threads the geometric means, and the share that
this project's goal for them asks for.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from limits import bytes_of, holder
from table import FIGURE_SOURCE, MODES, of_table

#: This project's goals: geometric means over the fastest peer, and the least of a row.
MEANS, LEAST = {"infer": 1.5, "train": 1.7}, 1.05
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def ceiling(row: dict[str, Any], peak: dict[str, Any], caches: dict[str, int]) -> float:
    """Microseconds that multiply-adds and reads of weights alone take."""
    time, batch, inputs, hidden = row["shape"]
    outputs = GATES[row["cell"]] * hidden
    itemsize = 4 if row["dtype"] == "float32" else 8

    def product(k: int) -> float:
        """Nanoseconds of one core."""
        return 2 * time * batch * outputs * k / peak["fma_gflops"]

    steps = (time - 1) / time  # none for the first one, which begins at zero
    recurrent, weights = product(hidden) * steps, outputs * hidden * itemsize
    level = holder(weights // row["threads"], caches)
    if batch == 1 and level in peak["load_gbytes"]:
        recurrent = max(recurrent, (time - 1) * weights / peak["load_gbytes"][level])
    total = recurrent + product(inputs)
    if row["mode"] == "train":
        # Through time once more, then the gradients of both weights.
        total += recurrent + product(hidden) * steps + product(inputs)
    return total / 1e3 / row["threads"]


def describe(
    row: dict[str, Any], peak: dict[str, Any], caches: dict[str, int]
) -> tuple[float, float]:
    """Print a row; its ratio now and at the ceiling."""
    least = ceiling(row, peak, caches)
    own = row["contenders"]["fastrnn"]["microseconds"]["median"]
    ratio = row["ratios"][row["fastest_peer"]]["median"]
    at_ceiling = ratio * own / least
    shape = ", ".join(map(str, row["shape"]))
    note = "" if at_ceiling >= LEAST else f"  below {LEAST} even there"
    print(
        f"  {row['cell']:4} {shape:20} {least / own:5.2f} of the ceiling, {row['fastest_peer']:11} "
        f"{ratio:5.2f}, at the ceiling {at_ceiling:6.2f}{note}"
    )
    return ratio, at_ceiling


def main(arguments: list[str] | None = None) -> None:
    """Print all rows of the set "table"."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, default=FIGURE_SOURCE)
    result = json.loads(parser.parse_args(arguments).file.read_text())
    caches = bytes_of(result["machine"]["caches"])
    for run in result["runs"]:
        threads, peak = run["threads"]["wanted"], run["peak"]
        for mode, name in MODES.items():
            rows = [row for row in of_table(result, threads) if row["mode"] == mode]
            if not rows:
                continue
            print(f"{name}, threads: {threads}")
            pairs = [describe(row, peak, caches) for row in rows]
            now, there = (statistics.geometric_mean(column) for column in zip(*pairs, strict=True))
            print(
                f"  geometric mean {now:.2f}, at the ceiling {there:.2f}: {now / there:.2f} of it, "
                f"{MEANS[mode]} asks for {MEANS[mode] / there:.2f}\n"
            )


if __name__ == "__main__":
    main()
