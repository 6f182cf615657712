"""fastrnn beside the naive implementation, PyTorch, ONNX Runtime and JAX, in one process.

    python bench/compare.py [--shapes 0,3 | 25,1,65,100 ...] [--mode infer,train] [--out FILE.json]

Each contender is built and called once (the first call, compilation included), compared with the
naive implementation in float64, and only then timed: rounds in which every contender runs in turn,
each long enough to be timed, in an order that rotates. A ratio is taken within each round; its
median and quartiles over the rounds are printed. Above 1, fastrnn is faster.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

if TYPE_CHECKING:
    from shapes import Shape

FLOAT_TYPES, MODES, NONLINEARITIES = ("float32", "float64"), ("infer", "train"), ("tanh", "relu")


def time_rounds(
    calls: dict[str, Callable[[], Any]], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds of one call of each, round by round.

    Parameters
    ----------
    calls : dict of callable
    rounds : int
    seconds : float
        For all rounds of all calls together; each runs at least once a round.
    """
    numbers = {}
    for name, call in calls.items():
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
        numbers[name] = max(1, round(seconds / rounds / len(calls) / best))
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                call, number = calls[name], numbers[name]
                start = time.perf_counter()
                for _ in range(number):
                    call()
                times[name].append((time.perf_counter() - start) / number)
    finally:
        gc.enable()
    return times


def spread(values: list[float], scale: float = 1.0) -> dict[str, float]:
    """Median and quartiles."""
    import numpy as np

    low, middle, high = np.percentile(values, (25, 50, 75)) * scale
    return {"median": float(middle), "q1": float(low), "q3": float(high)}


def ratio(times: dict[str, list[float]], other: str) -> dict[str, float]:
    """How many times as long `other` takes as fastrnn does, round by round."""
    return spread(
        [theirs / ours for theirs, ours in zip(times[other], times["fastrnn"], strict=True)]
    )


def compare_row(
    shape: Shape, mode: str, options: argparse.Namespace, peak: dict[str, Any]
) -> dict[str, Any]:
    """Prepare, check and time every contender on one row.

    Raises
    ------
    SystemExit
        If fastrnn disagrees with the naive implementation.
    """
    from peers import CONTENDERS, PEERS, AbsentError, results
    from shapes import AGREEMENT, case, error_in_eps

    problem, true = case(shape, options.dtype, options.nonlinearity, mode)
    calls: dict[str, Callable[[], Any]] = {}
    found: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    for contender in CONTENDERS:
        name = contender.name
        compiled = machine.kernel_cache()["compile_seconds"]
        start = time.perf_counter()
        try:
            prepared = contender.prepare(problem, options.threads)
        except AbsentError as reason:
            absent[name] = str(reason)
            continue
        call = prepared.infer if mode == "infer" else prepared.train
        if call is None:
            absent[name] = "cannot train"
            continue
        ready = time.perf_counter()
        got = results(prepared, mode)
        first = time.perf_counter()
        error, where = error_in_eps(got, true)
        compiled = machine.kernel_cache()["compile_seconds"] - compiled
        if not error <= AGREEMENT:
            message = f"{name} is wrong by {error:.0f} eps in {where} ({mode}, {shape})"
            if name in ("naive", "fastrnn"):
                raise SystemExit(message)
            absent[name] = message
            continue
        calls[name] = call
        found[name] = {
            "version": contender.version,
            "error_eps": error,
            "prepare_seconds": ready - start,
            "first_call_seconds": first - ready,
            "compile_seconds": compiled,
        }
    machine.limit_blas(options.threads)
    wall, cpu = time.perf_counter(), time.process_time()
    times = time_rounds(calls, options.rounds, options.seconds)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    for name, values in times.items():
        found[name]["microseconds"] = spread(values, 1e6)
    peers = [name for name in PEERS if name in times]
    medians = {name: found[name]["microseconds"]["median"] for name in peers}
    fastest = min(medians, key=medians.__getitem__) if peers else None
    gflops = shape.flops(mode) / found["fastrnn"]["microseconds"]["median"] / 1e3
    return {
        "shape": list(shape),
        "mode": mode,
        "dtype": options.dtype,
        "nonlinearity": options.nonlinearity,
        "contenders": found,
        "absent": absent,
        "fastest_peer": fastest,
        "ratios": {name: ratio(times, name) for name in ["naive", *peers]},
        "gflops": gflops,
        "of_peak": gflops / peak["fma_gflops"] / options.threads,
        "cpu_share": share,
    }


def print_row(row: dict[str, Any]) -> None:
    """One line of the table."""
    from peers import CONTENDERS
    from table import BUSY

    columns = []
    for contender in CONTENDERS:
        entry = row["contenders"].get(contender.name)
        columns.append(f"{entry['microseconds']['median']:11.1f}" if entry else f"{'-':>11}")
    shown = []
    for name in (row["fastest_peer"], "naive"):
        r = row["ratios"].get(name)
        shown.append(f"{r['median']:5.2f} ({r['q1']:.2f}-{r['q3']:.2f})" if r else "-")
    size = ",".join(map(str, row["shape"]))
    peer = row["fastest_peer"] or "-"
    print(
        f"{size:17} {row['mode']:5} {' '.join(columns)}  {peer:11} {shown[0]:19} "
        f"{shown[1]:21} {row['of_peak']:5.0%}{' busy' if row['cpu_share'] < BUSY else ''}",
        flush=True,
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--shapes",
        nargs="+",
        metavar="ROW|T,N,I,H",
        help="rows of the table by number from 0, or sizes; all rows if not given",
    )
    parser.add_argument("--dtype", choices=FLOAT_TYPES, default="float32")
    parser.add_argument("--mode", default="infer,train", help="infer, train or infer,train")
    parser.add_argument("--nonlinearity", choices=NONLINEARITIES, default="tanh")
    parser.add_argument("--threads", type=int, default=1, help="1 also pins to one core")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing for each row")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    options.modes = options.mode.split(",")
    if not set(options.modes) <= set(MODES):
        parser.error(f"--mode must be infer, train or infer,train, got {options.mode}")
    if options.threads < 1 or options.rounds < 1 or options.seconds <= 0:
        parser.error("--threads and --rounds must be at least 1, --seconds positive")
    try:
        sizes = [[int(n) for n in text.split(",")] for text in options.shapes or []]
    except ValueError:
        parser.error(f"--shapes must be integers, got {' '.join(options.shapes)}")
    if any(len(size) not in (1, 4) or not size[0] >= 0 for size in sizes):
        parser.error("--shapes must each be a row number or four sizes T,N,I,H")
    options.sizes = sizes
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; see the module's text."""
    options = parse(arguments)
    machine.pin(options.threads)
    # From here on: these import NumPy, which must find its threads limited.
    import peak
    from peers import CONTENDERS
    from shapes import TABLE, Shape

    if any(len(size) == 1 and size[0] >= len(TABLE) for size in options.sizes):
        raise SystemExit(f"rows are numbered 0 to {len(TABLE) - 1}")
    chosen = [TABLE[s[0]] if len(s) == 1 else Shape(*s) for s in options.sizes] or list(TABLE)
    measured = peak.measure(options.dtype)
    described = machine.describe()
    print(f"{described['cpu']} ({described['llvm_cpu']}), {options.threads} thread(s)", end=", ")
    print(f"{options.dtype}, {options.nonlinearity}, peak {measured['fma_gflops']} GF/s a core")
    names = " ".join(f"{c.name:>11}" for c in CONTENDERS)
    print(f"{'T,N,I,H':17} {'mode':5} {names}  {'best peer':11} {'best peer/fastrnn':19} ", end="")
    print(f"{'naive/fastrnn':21}  peak", flush=True)
    rows = []
    for shape in chosen:
        for mode in options.modes:
            rows.append(compare_row(shape, mode, options, measured))
            print_row(rows[-1])
    # The machine may have been busy the first time.
    measured = peak.best(measured, peak.measure(options.dtype))
    for row in rows:
        row["of_peak"] = row["gflops"] / measured["fma_gflops"] / options.threads
    result = {
        "kind": "compare",
        "command": [Path(sys.argv[0]).name, *(sys.argv[1:] if arguments is None else arguments)],
        "machine": described,
        "versions": machine.versions(),
        "threads": machine.threads(options.threads),
        "kernel_cache": machine.kernel_cache(),
        "peak": measured,
        "rounds": options.rounds,
        "rows": rows,
    }
    for name, reason in sorted({item for row in rows for item in row["absent"].items()}):
        print(f"absent: {name}: {reason}")
    cache = result["kernel_cache"]
    print(f"kernel cache: {cache['state']}, {cache['compile_seconds']:.1f} s of compiling")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
