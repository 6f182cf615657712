"""The published systems: each one's naive version beside fastrnn's, in one process and one run.

    python bench/systems.py [chars spirals ...] [--dtype float32] [--ends]
                            [--out bench/results/systems.json]

Both do the same work on the same arrays, and their results are compared before anything is timed:
rounds in which they take turns, each long enough to be timed. A ratio is taken within each round;
its median and quartiles over the rounds are printed, beside what it is to reach, and beside `most`:
how many times as long as the multiply-adds alone would take at the core's measured peak the naive
version takes. No program that does them one by one can have a higher ratio.

A system is a module of this folder, ``system_NAME.py``, whose ``rows(dtype)`` gives its rows, and
whose ``ends()`` says where trainings of both versions end, from the same weights: with ``--ends``
these are run, which takes about two minutes.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import machine

#: Name of each system, and its number in the list of systems.
SYSTEMS = {
    "words": "S1", "sine": "S2", "chars": "S3", "imdb": "S4", "spirals": "S5", "course": "S6",
    "sentiment": "S8", "word_gru": "S10",
}  # fmt: skip


class Row(NamedTuple):
    """One thing that both versions do."""

    name: str
    #: Sizes, in words.
    sizes: str
    naive: Callable[[], Any]
    fast: Callable[[], Any]
    #: Runs both once; the largest difference in eps, relative to the largest number of each array.
    difference: Callable[[], float]
    #: What `difference` may be.
    agreement: float
    #: Sums and products that the result needs, of matrix products alone; 0 if they do not matter.
    flops: int = 0
    #: Steps of which one call is made.
    steps: int = 1
    #: What the ratio is to reach.
    goal: float | None = None
    #: Who stands in the naive version's place.
    against: str = "naive"


class End(NamedTuple):
    """Where one training, or what a program is known by, ends."""

    name: str
    #: Runs one version's module, and says what it reached.
    reached: Callable[[Any], str]
    #: The naive module, and fastrnn's.
    naive: Any
    fast: Any


def difference_in_eps(actual: Any, desired: Any, dtype: str) -> float:
    """Of arrays and numbers in whatever dicts and sequences, in eps of `dtype`."""
    import numpy as np

    if isinstance(desired, dict):
        return max(difference_in_eps(actual[k], value, dtype) for k, value in desired.items())
    if isinstance(desired, tuple | list):
        pairs = zip(actual, desired, strict=True)
        return max((difference_in_eps(*pair, dtype) for pair in pairs), default=0.0)
    actual, desired = np.asarray(actual), np.asarray(desired)
    if desired.dtype.kind != "f":
        return 0.0 if (actual == desired).all() else float("inf")
    if actual.shape != desired.shape:
        return float("inf")
    scale = max(1.0, float(np.abs(desired).max(initial=0))) * float(np.finfo(dtype).eps)
    return float(np.abs(actual - desired).max(initial=0)) / scale


def measure(
    system: str, row: Row, options: argparse.Namespace, peak: dict[str, Any]
) -> dict[str, Any]:
    """Check one row, then time it.

    Raises
    ------
    SystemExit
        If the two versions disagree.
    """
    from compare import spread, undisturbed

    error = row.difference()
    if not error <= row.agreement:
        raise SystemExit(f"{system}: {row.name}: the versions differ by {error:.0f} eps")
    machine.limit_blas(1)
    times, others = undisturbed({"naive": row.naive, "fastrnn": row.fast}, options)
    pairs = zip(times["naive"], times["fastrnn"], strict=True)
    naive = spread(times["naive"], 1e6 / row.steps)
    least = row.flops / peak["fma_gflops"] / 1e3
    return {
        "system": system,
        "number": SYSTEMS[system],
        "name": row.name,
        "sizes": row.sizes,
        "dtype": options.dtype,
        "naive_microseconds": naive,
        "fastrnn_microseconds": spread(times["fastrnn"], 1e6 / row.steps),
        "ratio": spread([slow / fast for slow, fast in pairs]),
        "goal": row.goal,
        "against": row.against,
        "peak_microseconds": least or None,
        "most": naive["median"] / least if least else None,
        "error_eps": error,
        "others_share": others,
    }


def print_row(row: dict[str, Any]) -> None:
    """One line of the table."""
    from table import BUSY, rival

    r, goal, most = row["ratio"], row["goal"], row["most"]
    columns = [
        f"{row['number']:3} {row['name'] + rival(row):30} {row['sizes']:34}",
        *(f"{row[f'{which}_microseconds']['median']:11,.1f}" for which in ("naive", "fastrnn")),
        f"{r['median']:7.2f} ({r['q1']:.2f}-{r['q3']:.2f})".ljust(23),
        f"{goal:5.0f}" if goal else "    -",
        f"{most:6.1f}" if most else "     -",
        "SHORT" if goal and r["median"] < goal else "",
        "busy" if row["others_share"] > BUSY else "",
    ]
    print(" ".join(columns).rstrip(), flush=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="*", metavar="SYSTEM", help=f"of {', '.join(SYSTEMS)}")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing for each row")
    parser.add_argument("--tries", type=int, default=3, help="to time a row undisturbed")
    parser.add_argument("--ends", action="store_true", help="say where both versions end")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.systems if name not in SYSTEMS]:
        parser.error(f"SYSTEM must be of {', '.join(SYSTEMS)}, got {', '.join(unknown)}")
    if min(options.rounds, options.tries) < 1 or options.seconds <= 0:
        parser.error("--rounds and --tries must be at least 1, --seconds positive")
    options.systems = options.systems or list(SYSTEMS)
    options.threads = 1
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command; see the module's text."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    machine.pin(options.threads)
    # From here on: these import NumPy, which must find its threads limited.
    import peak

    import fastrnn

    fastrnn.set_threads(options.threads)
    found, described = peak.measure(options.dtype), machine.describe()
    print(f"{described['cpu']} ({described['llvm_cpu']}), 1 thread, {options.dtype}, ", end="")
    print(f"peak {found['fma_gflops']} GF/s")
    print(f"{'microseconds':69} {'naive':>11} {'fastrnn':>11}   naive/fastrnn         goal   most")
    rows, ends = [], []
    modules = {system: importlib.import_module(f"system_{system}") for system in options.systems}
    for system, module in modules.items():
        for row in module.rows(options.dtype):
            rows.append(measure(system, row, options, found))
            print_row(rows[-1])
    for system, module in modules.items() if options.ends else ():
        for end in module.ends():
            reached = {"naive": end.reached(end.naive), "fastrnn": end.reached(end.fast)}
            ends.append({"number": SYSTEMS[system], "system": system, "name": end.name, **reached})
            print(f"{SYSTEMS[system]:3} {end.name}: ", end="")
            print(", ".join(f"{who} {what}" for who, what in reached.items()), flush=True)
    if options.out:
        result = {
            "kind": "systems",
            "machine": described,
            "versions": machine.versions(),
            "rounds": options.rounds,
            "threads": machine.threads(options.threads),
            "kernel_cache": machine.kernel_cache(),
            "peak": found,
            "rows": rows,
            "ends": ends,
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
