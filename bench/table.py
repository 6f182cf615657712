"""Write the figures of a JSON file into README.md as a Markdown table.

    python bench/table.py [--check] [--readme README.md] [NAME=FILE.json ...]

Replaces what stands between ``<!-- table:NAME -->`` and ``<!-- /table -->`` by the table of
bench/results/NAME.json, or of the FILE given for NAME: an output of `compare.py` or of
pytest-benchmark. With ``--check`` nothing is written; the exit code is 1 if a block is not what
its file gives.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BLOCK = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- /table -->)", re.DOTALL)
#: A row during which the process got less than this share of its core was disturbed.
BUSY = 0.95
MODES = {"infer": "Inference", "train": "Training (forward and all parameters' gradients)"}


def markdown(result: dict[str, Any]) -> str:
    """The tables of one JSON file."""
    return _compared(result) if result.get("kind") == "compare" else _benchmarked(result)


def _compared(result: dict[str, Any]) -> str:
    """Of `compare.py`: one table for inference, one for training."""
    rows = result["rows"]
    parts = [_machine(result, result["threads"]["wanted"])]
    for mode, title in MODES.items():
        chosen = [row for row in rows if row["mode"] == mode]
        if not chosen:
            continue
        names = list(dict.fromkeys(name for row in chosen for name in row["contenders"]))
        peers = [row["fastest_peer"] for row in chosen]
        head = ["T, batch, input, hidden", *names, "fastest peer / fastrnn", "naive / fastrnn"]
        lines = []
        for row, peer in zip(chosen, peers, strict=True):
            cells = [", ".join(map(str, row["shape"]))]
            for name in names:
                entry = row["contenders"].get(name)
                cells.append(f"{entry['microseconds']['median']:,.0f}" if entry else "-")
            cells.append(f"{_ratio(row['ratios'][peer])} {peer}" if peer else "-")
            cells.append(_ratio(row["ratios"]["naive"]))
            lines.append(cells)
        wins = sum(
            row["ratios"][peer]["median"] >= 1
            for row, peer in zip(chosen, peers, strict=True)
            if peer
        )
        compared = sum(peer is not None for peer in peers)
        kinds = " ".join(dict.fromkeys(f"{row['dtype']} {row['nonlinearity']}" for row in chosen))
        busy = sum(row["cpu_share"] < BUSY for row in chosen)
        note = f" Rows disturbed by other processes, to measure again: {busy}." if busy else ""
        parts.append(
            f"{title}, {kinds}, microseconds; fastrnn is no slower than the fastest peer in "
            f"{wins} of {compared} rows.{note}\n\n{_table(head, lines)}"
        )
    return "\n\n".join(parts)


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
    return f"{_machine(result['machine_info']['fastrnn'], 1)}\n\n{_table(head, lines)}"


def _machine(info: dict[str, Any], threads: int) -> str:
    machine, versions, peak = info["machine"], info["versions"], info["peak"]
    named = ", ".join(
        f"{name} {versions[key]}"
        for name, key in (
            ("Python", "python"), ("NumPy", "numpy"), ("numba", "numba"), ("PyTorch", "torch"),
            ("ONNX Runtime", "onnxruntime"), ("JAX", "jax"),
        )
        if key in versions
    )  # fmt: skip
    use = "1 thread on one core" if threads == 1 else f"{threads} threads"
    return (
        f"{machine['cpu']} ({machine['llvm_cpu']}, {peak['fma_gflops']:.0f} GF/s a core), {use}; "
        f"{named}. Medians; ratios with their quartiles where rounds were interleaved."
    )


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
        name = match["name"]
        used.add(name)
        path = files.get(name, HERE / "results" / f"{name}.json")
        try:
            table = markdown(json.loads(path.read_text()))
        except FileNotFoundError:
            raise SystemExit(f"table:{name} needs {path}") from None
        return f"{match[1]}{table}\n{match[4]}"

    result = BLOCK.sub(replace, text)
    if unknown := set(files) - used:
        raise SystemExit(f"no block <!-- table:{min(unknown)} --> to write into")
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
    if options.check:
        if new != text:
            print(f"{options.readme} is not what the JSON gives: run python bench/table.py")
        return int(new != text)
    options.readme.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
