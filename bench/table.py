"""Write the figures of JSON files into README.md as Markdown tables.

    python bench/table.py [--check] [--readme README.md] [NAME=FILE.json ...]

Replaces what stands between ``<!-- table:BLOCK -->`` and ``<!-- /table -->`` by a table of
bench/results/NAME.json, or of the FILE given for NAME: an output of `compare.py`, of `systems.py`
or of pytest-benchmark. NAME is "compare" for the blocks summary, rnn, lstm and gru, and for others
the block's own. With ``--check`` nothing is written; the exit code is 1 if a block, or the figure
that `figure.py` draws, is not what its file gives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- /table -->)", re.DOTALL)
#: A row during which others took more than this share of the cores was disturbed.
BUSY = 0.05
MODES = {"infer": "inference", "train": "training (forward and all parameters' gradients)"}
CELLS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
#: Blocks that are not called as their file.
SOURCES = dict.fromkeys(["summary", *CELLS], "compare")
#: What `figure.py` draws, and from what.
FIGURE, FIGURE_SOURCE = HERE / "results" / "compare.png", HERE / "results" / "compare.json"


def markdown(result: dict[str, Any], block: str) -> str:
    """The tables of one JSON file for one block."""
    if result.get("kind") == "systems":
        return _systems(result)
    if result.get("kind") != "compare":
        return _benchmarked(result)
    if block == "summary":
        return _summarised(result)
    if block not in CELLS:
        return f"{_machine(result)}\n\n{_compared(result['rows'])}"
    rows = of_table(result, result["rows"][0]["threads"])
    return _compared([row for row in rows if row["cell"] == block])


def of_table(result: dict[str, Any], threads: int) -> list[dict[str, Any]]:
    """The rows of the set "table" with so many threads."""
    rows: list[dict[str, Any]] = result["rows"]
    return [row for row in rows if (row["set"], row["threads"]) == ("table", threads)]


def digest(path: Path) -> bytes:
    """Of the JSON file of a figure, which carries it."""
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()


def _compared(rows: list[dict[str, Any]]) -> str:
    """Of `compare.py`: one table for inference, one for training, each for every thread count."""
    parts = []
    kinds = list(dict.fromkeys(_kind(row) for row in rows))
    for threads, mode in dict.fromkeys((row["threads"], row["mode"]) for row in rows):
        chosen = [row for row in rows if (row["threads"], row["mode"]) == (threads, mode)]
        names = list(dict.fromkeys(name for row in chosen for name in row["contenders"]))
        head = ["T, batch, input, hidden", *names, "fastest peer / fastrnn", "naive / fastrnn"]
        lines = []
        for row in chosen:
            kind = f"{_kind(row)} " if len(kinds) > 1 else ""
            line = [f"{kind}{_sizes(row['shape'])}"]
            for name in names:
                entry = row["contenders"].get(name)
                line.append(f"{entry['microseconds']['median']:,.0f}" if entry else "-")
            peer = row["fastest_peer"]
            line.append(f"{_ratio(row['ratios'][peer])} {peer}" if peer else "-")
            line.append(_ratio(row["ratios"]["naive"]))
            lines.append(line)
        best = [row["ratios"][peer]["median"] for row in chosen if (peer := row["fastest_peer"])]
        dtypes = ", ".join(dict.fromkeys(row["dtype"] for row in chosen))
        busy = sum(row["others_share"] > BUSY for row in chosen)
        note = f" Rows disturbed by other processes, to measure again: {busy}." if busy else ""
        parts.append(
            f"{', '.join(kinds)}: {MODES[mode]}, {dtypes}, {_threads(threads)}, microseconds; "
            f"fastrnn is no slower than the fastest peer in {sum(r >= 1 for r in best)} of "
            f"{len(best)} rows.{note}\n\n{_table(head, lines)}"
        )
    return "\n\n".join(parts) or "Not measured yet."


def _summarised(result: dict[str, Any]) -> str:
    """Of `compare.py`: geometric means and worst rows of the table, and the figure."""
    entries = {
        (entry["rival"], entry["cell"], entry["mode"], entry["threads"]): entry
        for entry in result["summary"]
        if entry["set"] == "table"
    }
    columns = list(dict.fromkeys(key[2:] for key in entries))
    lines = []
    for rival, cell in sorted(dict.fromkeys(key[:2] for key in entries), key=lambda key: key[0]):
        line = [f"{rival}, {CELLS.get(cell, 'all rows')}"]
        lines.append(line + [_summary(entries.get((rival, cell, *column))) for column in columns])
    head = ["rival / fastrnn"]
    head += [f"{MODES[mode].partition(' ')[0]}, {_threads(count)}" for mode, count in columns]
    parts = [
        _machine(result),
        "Geometric mean of the rows, in brackets the worst row (T, batch, input, hidden); above 1, "
        "fastrnn is faster.",
        _table(head, lines),
    ]
    if FIGURE.exists():
        place = FIGURE.relative_to(HERE.parent).as_posix()
        parts.append(f"![Speed of fastrnn over the fastest peer, row by row]({place})")
    return "\n\n".join(parts)


def _summary(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "-"
    cell = "" if entry["cell"] in CELLS else f"{CELLS[entry['worst_cell']]} "
    worst = f"{entry['worst']:.2f}: {cell}{_sizes(entry['worst_shape'])}"
    return f"**{entry['geometric_mean']:.2f}** ({worst})"


def _systems(result: dict[str, Any]) -> str:
    """Of `systems.py`: a row for each function of each published program."""
    lines = [
        [
            f"{row['number']} {row['system']}: {row['name']}{rival(row)}",
            *(f"{row[f'{name}_microseconds']['median']:,.0f}" for name in ("naive", "fastrnn")),
            _ratio(row["ratio"]),
            f"{row['goal']:g}" if row["goal"] else "-",
            f"{row['most']:.1f}" if row["most"] else "-",
        ]
        for row in result["rows"]
    ]
    head = ["microseconds", "naive", "fastrnn", "naive / fastrnn", "goal", "at the core's peak"]
    parts = [_machine({**result, "runs": [result]}), _table(head, lines)]
    if result.get("ends"):
        ends = [
            [f"{end['number']} {end['system']}: {end['name']}", end["naive"], end["fastrnn"]]
            for end in result["ends"]
        ]
        parts.append(_table(["where it ends", "naive", "fastrnn"], ends))
    return "\n\n".join(parts)


def rival(row: dict[str, Any]) -> str:
    """Who stands in the column of the naive version, if not that."""
    against = row.get("against", "naive")
    return "" if against == "naive" else f", beside {against}"


def _benchmarked(result: dict[str, Any]) -> str:
    """Of pytest-benchmark: a row for each group, a column for each contender."""
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for entry in result["benchmarks"]:
        name = entry["extra_info"].get("contender")
        if name and entry["group"]:
            groups.setdefault(entry["group"], {})[name] = entry["stats"]
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    lines = []
    for group, stats in groups.items():
        cells = [group]
        cells += [f"{stats[n]['median'] * 1e6:,.1f}" if n in stats else "-" for n in names]
        both = "naive" in stats and "fastrnn" in stats
        cells.append(
            f"{stats['naive']['median'] / stats['fastrnn']['median']:.1f}" if both else "-"
        )
        lines.append(cells)
    head = ["microseconds", *names, "naive / fastrnn"]
    info = result["machine_info"]["fastrnn"]
    return f"{_machine({**info, 'runs': [info]})}\n\n{_table(head, lines)}"


def _machine(info: dict[str, Any]) -> str:
    machine, versions, runs = info["machine"], info["versions"], info["runs"]
    named = ", ".join(
        f"{name} {versions[key]}"
        for name, key in (
            ("Python", "python"), ("NumPy", "numpy"), ("numba", "numba"), ("PyTorch", "torch"),
            ("ONNX Runtime", "onnxruntime"), ("JAX", "jax"),
        )
        if key in versions
    )  # fmt: skip
    peak = max(run["peak"]["fma_gflops"] for run in runs)
    counts = " or ".join(str(run["threads"]["wanted"]) for run in runs)
    use = "1 thread on one core" if counts == "1" else f"{counts} threads on as many cores"
    return (
        f"{machine['cpu']} ({machine['llvm_cpu']}, {peak:.0f} GF/s a core), {use}; {named}. "
        "Medians; ratios with their quartiles where rounds were interleaved."
    )


def _kind(row: dict[str, Any]) -> str:
    return " ".join([CELLS[row["cell"]], *([row["nonlinearity"]] if "nonlinearity" in row else [])])


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"


def _sizes(shape: Iterable[int]) -> str:
    return ", ".join(map(str, shape))


def _ratio(ratio: dict[str, float]) -> str:
    digits = 2 if ratio["median"] < 10 else 1
    middle, low, high = (f"{ratio[key]:.{digits}f}" for key in ("median", "q1", "q3"))
    return f"**{middle}** ({low}-{high})"


def _table(head: list[str], lines: Iterable[list[str]]) -> str:
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def rewritten(text: str, files: dict[str, Path]) -> str:
    """`text` with every block replaced.

    Raises
    ------
    SystemExit
        If a block has no file, or a file of `files` no block.
    """
    used: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        name = SOURCES.get(match["name"], match["name"])
        used.add(name)
        path = files.get(name, HERE / "results" / f"{name}.json")
        try:
            table = markdown(json.loads(path.read_text()), match["name"])
        except FileNotFoundError:
            raise SystemExit(f"table:{match['name']} needs {path}") from None
        return f"{match[1]}{table}\n{match[4]}"

    result = BLOCK.sub(replace, text)
    if unknown := set(files) - used:
        raise SystemExit(f"no block of {min(unknown)} to write into")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Write or check; see the module's text."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", metavar="NAME=FILE.json")
    parser.add_argument("--readme", type=Path, default=HERE.parent / "README.md")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it would differ")
    options = parser.parse_args(arguments)
    if wrong := [item for item in options.files if "=" not in item]:
        parser.error(f"expected NAME=FILE.json, got {wrong[0]}")
    files = {name: Path(path) for name, path in (item.split("=", 1) for item in options.files)}
    text = options.readme.read_text()
    new = rewritten(text, files)
    if not options.check:
        options.readme.write_text(new)
        return 0
    wrong = []
    if new != text:
        wrong.append(f"{options.readme} is not what the JSON gives: run python bench/table.py")
    if FIGURE.exists() and digest(FIGURE_SOURCE) not in FIGURE.read_bytes():
        wrong.append(f"{FIGURE} is not of {FIGURE_SOURCE.name}: run python bench/figure.py")
    print("\n".join(wrong), end="\n" if wrong else "")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
