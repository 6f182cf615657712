"""fastrnn beside the naive implementation, PyTorch, ONNX Runtime and JAX, in one process.

    python bench/compare.py [--cell rnn,lstm,gru] [--set table] [--shapes 0 3 | 25,1,65,100 ...]
                            [--mode infer,train] [--threads 1,2] [--out FILE.json]

Each contender is built and called once (the first call, compilation included), compared with the
naive implementation in float64, and only then timed: rounds in which every contender runs in turn,
each long enough to be timed, in an order that rotates. A ratio is taken within each round; its
median and quartiles over the rounds are printed. Above 1, fastrnn is faster.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine

if TYPE_CHECKING:
    from shapes import Row, Shape

CELLS, MODES = ("rnn", "lstm", "gru"), ("infer", "train")
SETS, OWN = ("table", "deepbench", "fastrnns"), "own"
FLOAT_TYPES, NONLINEARITIES = ("float32", "float64"), ("tanh", "relu")
#: What `summaries` compares with fastrnn.
RIVALS = ("fastest peer", "torch")


def time_rounds(
    calls: dict[str, Callable[[], Any]], rounds: int, seconds: float, threads: int
) -> dict[str, list[float]]:
    """Seconds of one call of each, round by round.

    Parameters
    ----------
    calls : dict of callable
    rounds : int
    seconds : float
        For all rounds of all calls together; each runs at least once a round.
    threads : int
        If there are several, those of the last contender come to rest before each turn.
    """
    numbers = {}
    for name, call in calls.items():
        best = float("inf")
        machine.come_to_rest(threads)
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
                machine.come_to_rest(threads)
                start = time.perf_counter()
                for _ in range(number):
                    call()
                times[name].append((time.perf_counter() - start) / number)
    finally:
        gc.enable()
    return times


def undisturbed(
    calls: dict[str, Callable[[], Any]], options: argparse.Namespace
) -> tuple[dict[str, list[float]], float]:
    """`time_rounds`, again if other processes took the cores; the share that they took."""
    from table import BUSY

    found: list[tuple[float, dict[str, list[float]]]] = []
    for _ in range(options.tries):
        start, cpu, busy = time.perf_counter(), time.process_time(), machine.busy_seconds()
        times = time_rounds(calls, options.rounds, options.seconds, options.threads)
        core_seconds = (time.perf_counter() - start) * options.threads
        own, now = time.process_time() - cpu, machine.busy_seconds()
        others = 0.0 if busy is None or now is None else max(0.0, now - busy - own) / core_seconds
        found.append((others, times))
        if others <= BUSY:
            break
    others, times = min(found, key=lambda item: item[0])
    return times, others


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
    cell: str, shape: Shape, mode: str, nonlinearity: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Prepare, check and time every contender on one row.

    Raises
    ------
    SystemExit
        If fastrnn disagrees with the naive implementation.
    """
    from peers import CONTENDERS, PEERS, AbsentError, results
    from shapes import AGREEMENT, case, error_in_eps

    problem, true = case(cell, shape, options.dtype, nonlinearity, mode)
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
            message = f"{name} is wrong by {error:.0f} eps in {where} ({cell}, {mode}, {shape})"
            if name in ("naive", "fastrnn"):
                raise SystemExit(message)
            absent[name] = message
            continue
        calls[name] = call
        found[name] = {
            "version": contender.version,
            "error_eps": error,
            "error_in": where,
            "prepare_seconds": ready - start,
            "first_call_seconds": first - ready,
            "compile_seconds": compiled,
        }
    machine.limit_blas(options.threads)
    times, others = undisturbed(calls, options)
    for name, values in times.items():
        found[name]["microseconds"] = spread(values, 1e6)
    peers = [name for name in PEERS if name in times]
    medians = {name: found[name]["microseconds"]["median"] for name in peers}
    fastest = min(medians, key=medians.__getitem__) if peers else None
    return {
        "cell": cell,
        "shape": list(shape),
        "mode": mode,
        "threads": options.threads,
        "dtype": options.dtype,
        **problem.options,
        "contenders": found,
        "absent": absent,
        "fastest_peer": fastest,
        "ratios": {name: ratio(times, name) for name in ["naive", *peers]},
        "gflops": shape.flops(mode, cell) / found["fastrnn"]["microseconds"]["median"] / 1e3,
        "others_share": others,
    }


def against(row: dict[str, Any], rival: str) -> dict[str, float] | None:
    """The ratio of one of `RIVALS`, None if it is absent."""
    name = row["fastest_peer"] if rival == "fastest peer" else rival
    ratios: dict[str, dict[str, float]] = row["ratios"]
    return ratios.get(name)


def summaries(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of rival / fastrnn, by set, threads, mode and cell: geometric mean and worst of the rows.

    Of each row its median counts; cell "all" is all rows.
    """
    result = []
    keys = ("set", "threads", "mode")
    for group in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        members = [row for row in rows if tuple(row[key] for key in keys) == group]
        for cell in [*dict.fromkeys(row["cell"] for row in members), "all"]:
            for rival in RIVALS:
                found = [
                    (ratio["median"], row)
                    for row in members
                    if cell in (row["cell"], "all") and (ratio := against(row, rival))
                ]
                if found:
                    worst, row = min(found, key=lambda item: item[0])
                    result.append(
                        {
                            **dict(zip(keys, group, strict=True)),
                            "cell": cell,
                            "rival": rival,
                            "rows": len(found),
                            "no_slower": sum(median >= 1 for median, _ in found),
                            "geometric_mean": statistics.geometric_mean(m for m, _ in found),
                            "worst": worst,
                            "worst_cell": row["cell"],
                            "worst_shape": row["shape"],
                        }
                    )
    return result


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
        f"{row['cell']:4} {size:17} {row['mode']:5} {' '.join(columns)}  {peer:11} {shown[0]:19} "
        f"{shown[1]:21} {row['of_peak']:5.0%}{' busy' if row['others_share'] > BUSY else ''}",
        flush=True,
    )


def print_summaries(entries: list[dict[str, Any]]) -> None:
    """One line for each set, number of threads, mode and cell."""
    titles = "".join(f"{f'{rival} / fastrnn':34}" for rival in RIVALS)
    print(f"\n{'geometric mean, worst row':31}{titles}")
    lines: dict[tuple[Any, ...], str] = {}
    for entry in entries:
        key = (entry["set"], entry["threads"], entry["mode"], entry["cell"])
        at = f"{entry['worst_cell']} {','.join(map(str, entry['worst_shape']))}"
        text = f"{entry['geometric_mean']:5.2f} {entry['worst']:5.2f} {at:22}"
        lines[key] = lines.get(key, "") + text
    for (kind, threads, mode, cell), text in lines.items():
        print(f"{kind:10}{threads} thread{'s' if threads > 1 else ' '}  {mode:6}{cell:5}{text}")


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", default=",".join(CELLS), metavar="CELL,...", help="default all")
    parser.add_argument("--set", choices=(*SETS, "all"), default="table", help="rows to choose of")
    parser.add_argument(
        "--shapes",
        nargs="+",
        metavar="ROW|T,N,I,H",
        help="rows of the set by number, from 0 for each cell, or sizes; all rows if not given",
    )
    parser.add_argument("--dtype", choices=FLOAT_TYPES, default="float32")
    parser.add_argument("--mode", default=",".join(MODES), metavar="MODE,...", help="default both")
    parser.add_argument(
        "--nonlinearity", choices=NONLINEARITIES, help="of rnn; if not given, as the set has it"
    )
    parser.add_argument(
        "--threads", default="1", metavar="N,...", help="as many cores; a process for each number"
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=3.0, help="of timing for each row")
    parser.add_argument("--tries", type=int, default=3, help="to time a row undisturbed")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    for name, known in (("cell", CELLS), ("mode", MODES)):
        chosen = getattr(options, name).split(",")
        if not set(chosen) <= set(known):
            parser.error(f"--{name} must be of {', '.join(known)}, got {getattr(options, name)}")
        setattr(options, name, [value for value in known if value in chosen])
    try:
        options.threads = [int(number) for number in options.threads.split(",")]
        sizes = [[int(n) for n in text.split(",")] for text in options.shapes or []]
    except ValueError:
        parser.error("--threads and --shapes must be integers")
    if min(*options.threads, options.rounds, options.tries) < 1 or options.seconds <= 0:
        parser.error("--threads, --rounds and --tries must be at least 1, --seconds positive")
    if any(len(size) not in (1, 4) or not size[0] >= 0 for size in sizes):
        parser.error("--shapes must each be a row number or four sizes T,N,I,H")
    if (available := len(machine.cores())) and max(options.threads) > available:
        parser.error(f"--threads must be at most {available}, the cores of this process")
    options.shapes = sizes
    return options


def chosen_rows(options: argparse.Namespace) -> list[tuple[str, Row]]:
    """The rows that were asked for, each behind its set's name.

    Raises
    ------
    SystemExit
        For a number that no cell of the set has.
    """
    from shapes import SETS as ROWS
    from shapes import Row, Shape

    names = SETS if options.set == "all" else (options.set,)
    known = [
        list(enumerate((name, row) for row in ROWS[name] if row.cell == cell))
        for name in names
        for cell in options.cell
    ]
    numbers = {size[0] for size in options.shapes if len(size) == 1}
    if unknown := numbers - {number for of_cell in known for number, _ in of_cell}:
        raise SystemExit(f"the set {options.set} has no row {min(unknown)} of such a cell")
    sizes = [Shape(*size) for size in options.shapes if len(size) == 4]
    return [
        row for of_cell in known for n, row in of_cell if n in numbers or not options.shapes
    ] + [(OWN, Row(cell, size)) for cell in options.cell for size in sizes]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all rows in this process, which is pinned."""
    machine.pin(options.threads)
    # From here on: these import NumPy, which must find its threads limited.
    import peak
    from peers import CONTENDERS

    measured = peak.measure(options.dtype)
    described = machine.describe()
    print(f"{described['cpu']} ({described['llvm_cpu']}), {options.threads} thread(s)", end=", ")
    print(f"{options.dtype}, peak {measured['fma_gflops']} GF/s a core")
    names = " ".join(f"{c.name:>11}" for c in CONTENDERS)
    print(f"{'cell':4} {'T,N,I,H':17} {'mode':5} {names}  {'best peer':11} ", end="")
    print(f"{'best peer/fastrnn':19} {'naive/fastrnn':21}  peak", flush=True)

    def of_peak(row: dict[str, Any]) -> float:
        return float(row["gflops"] / measured["fma_gflops"] / options.threads)

    rows = []
    for name, (cell, shape, modes, nonlinearity) in chosen_rows(options):
        for mode in (mode for mode in options.mode if mode in modes):
            kind = options.nonlinearity or nonlinearity
            row = {"set": name, **compare_row(cell, shape, mode, kind, options)}
            rows.append(row | {"of_peak": of_peak(row)})
            print_row(rows[-1])
    # The machine may have been busy the first time.
    measured = peak.best(measured, peak.measure(options.dtype))
    for row in rows:
        row["of_peak"] = of_peak(row)
    for name, reason in sorted({item for row in rows for item in row["absent"].items()}):
        print(f"absent: {name}: {reason}")
    cache = machine.kernel_cache()
    print(f"kernel cache: {cache['state']}, {cache['compile_seconds']:.1f} s of compiling")
    run = {"threads": machine.threads(options.threads), "kernel_cache": cache, "peak": measured}
    return {
        "kind": "compare",
        "machine": described,
        "versions": machine.versions(),
        "rounds": options.rounds,
        "runs": [run],
        "rows": rows,
    }


def compare_each(arguments: list[str], threads: list[int]) -> dict[str, Any]:
    """Measure with each number of threads in a process of its own: libraries read theirs once.

    Raises
    ------
    SystemExit
        If one of them failed.
    """
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number in threads:
            out = Path(folder, f"{number}.json")
            changed = [*arguments, "--threads", str(number), "--out", str(out)]
            if code := subprocess.run([sys.executable, __file__, *changed]).returncode:
                raise SystemExit(code)
            results.append(json.loads(out.read_text()))
    return {
        **results[0],
        "runs": [run for result in results for run in result["runs"]],
        "rows": [row for result in results for row in result["rows"]],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; see the module's text."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    if len(options.threads) > 1:
        result = compare_each(arguments, options.threads)
    else:
        (options.threads,) = options.threads
        result = compare(options)
    result["summary"] = summaries(result["rows"])
    print_summaries(result["summary"])
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
