"""Plans for people: what was chosen for given sizes, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastrnn.cells import Cell
from fastrnn.plan import (
    BLOCK_ROWS,
    UNCACHED_BYTES,
    LayerPlan,
    few_rows,
    plan_layer,
)
from fastrnn.teams import SHARED_BYTES, TEAM_ROWS, TEAM_WORK


@dataclass(frozen=True)
class PartPlan:
    """The plan of one layer and direction, as `fastrnn.plan` made it, with its reasons.

    Attributes
    ----------
    name : str
        "l0", "l0_reverse", ...
    plan : LayerPlan
        What the kernels get.
    choices : dict of str to str
        Each choice and its reason.
    """

    name: str
    plan: LayerPlan
    choices: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """What a layer does for an input of given sizes. Printing it shows each choice and its reason.

    Attributes
    ----------
    title : str
    parts : list of PartPlan
    """

    title: str
    parts: list[PartPlan]

    def __str__(self) -> str:
        lines = [self.title]
        for part in self.parts:
            lines.append(part.name)
            lines += [f"  {what:<16}{why}" for what, why in part.choices.items()]
        return "\n".join(lines)


def explain(
    title: str,
    cell: Cell,
    dtype: np.dtype[Any],
    time: int,
    batch: int,
    sizes: list[tuple[str, int]],
    hidden: int,
    directions: int,
    *,
    keep: bool,
    threads: int,
) -> Plan:
    """Plan the layers and directions with the names and input sizes of `sizes`."""
    parts = []
    for i, (name, inputs) in enumerate(sizes):
        plan = plan_layer(
            cell, dtype, time, batch, inputs, hidden,
            directions=directions, direction=i % directions, keep=keep, repeated=not keep,
            versioned=not keep, threads=threads,
        )  # fmt: skip
        parts.append(PartPlan(name, plan, _choices(plan, cell, dtype, threads, keep)))
    return Plan(title, parts)


def _choices(
    plan: LayerPlan, cell: Cell, dtype: np.dtype[Any], threads: int, keep: bool
) -> dict[str, str]:
    from fastrnn.simd.cpu import ACCUMULATORS, VECTOR_BYTES, lanes
    from fastrnn.simd.tile import gates_together

    layer, scan = plan.layer, plan.layer.scan
    gates, together = len(cell.gates), gates_together(1 if cell.late else len(cell.gates))
    columns, rows = gates * scan.hidden, layer.time * scan.batch
    of_input, of_state = (columns * n * dtype.itemsize for n in (layer.inputs, scan.hidden))
    few = [
        few_rows(n, lanes(dtype), of_input + of_state, versioned=not keep)
        for n in (layer.inputs, scan.hidden)
    ]
    width = together * scan.width
    shared = f", {together} gates in one panel" if together > 1 else ""
    ahead = ", the next panel is brought nearer" if scan.fetches else ""
    team = f"one thread: {_millions(layer, columns, cell.recurrent)} million multiply-adds"
    if plan.threads > 1:
        split = "hidden units, meeting after every step" if scan.by_units else "rows of the batch"
        if scan.by_units and scan.batch >= TEAM_ROWS * plan.threads:
            read = of_state + of_input * (scan.inputs > 0)
            split += f", which reads {_bytes(read)} of weights" * (read > SHARED_BYTES)
        if layer.bands.number:
            split += (
                f", {layer.bands.number} bands, {layer.bands.steps} of {layer.time} times in a task"
            )
        if layer.own:
            split += ", each with states of its own"
        team = f"{plan.threads} threads share the {split}"
    elif threads > 1:
        team += f", less than {TEAM_WORK / 1e6:.0f} million for each of more or too little a step"
    when = f"{layer.block} times of {layer.time} at once (about {BLOCK_ROWS} rows)"
    if layer.beside.address:
        when += ", all but the first between the loads of the scan"
    if scan.inputs:
        joined = ", in one panel with h" if scan.joined else ""
        when = f"in the steps of the scan, {scan.batch} rows each{joined}"
    return {
        "vectors": f"{VECTOR_BYTES} bytes, {lanes(dtype)} numbers; {ACCUMULATORS} accumulators",
        "input product": f"({rows}, {layer.inputs}) x ({layer.inputs}, {columns}), {when}",
        "input weights": _packing(
            bool(layer.unpacked), of_input, scan.batch, rows, few[0], plan.kept
        ),
        "input tile": (
            f"{layer.dot_rows} x {layer.dot_columns} dot products"
            if layer.unpacked
            else "the scan's"
            if scan.inputs
            else f"{layer.tile_rows} rows x {layer.width} vectors"
        ),
        "scan": f"{layer.time} steps of ({scan.batch}, {scan.hidden}) x ({scan.hidden}, {columns})",
        "scan weights": (
            _packing(bool(scan.unpacked), of_state, scan.batch, rows, few[1], plan.kept)
            if cell.recurrent
            else "none: the cell has no recurrent weights"
        ),
        "scan tile": (
            f"{scan.dot_rows} x {scan.unpacked} dot products"
            if scan.unpacked
            else f"{scan.rows} rows x {width} vectors{shared}{ahead}"
        ),
        **_kept(layer, cell, dtype),
        "backward tile": f"{scan.back_rows} rows x {scan.back_width} vectors",
        "team": team,
        "workspace": _bytes(plan.work * dtype.itemsize),
    }


def _kept(layer: Any, cell: Cell, dtype: np.dtype[Any]) -> dict[str, str]:
    scan = layer.scan
    if not scan.keep:
        return {}
    size = _bytes(layer.time * scan.batch * len(cell.saved) * scan.hidden * dtype.itemsize)
    past = f", past the caches: more than {_bytes(UNCACHED_BYTES)}" if scan.uncached else ""
    return {"kept for BPTT": size + past}


def _packing(unpacked: bool, size: int, batch: int, rows: int, few: int, kept: bool) -> str:
    if unpacked:
        return f"{_bytes(size)} read as they are: at most {few} rows use them"
    at_once = ", several at once" if rows <= few and batch > 1 else ""
    later = "; not again before they change" if kept else ""
    return f"{_bytes(size)} packed: {rows} rows use them{at_once}{later}"


def _millions(layer: Any, columns: int, recurrent: bool) -> str:
    terms = layer.inputs + layer.scan.hidden * recurrent
    work = layer.time * layer.scan.batch * columns * terms
    return f"{work / 1e6:.1f}"


def _bytes(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024  # type: ignore[assignment]
    return f"{size:.4g} GB"
