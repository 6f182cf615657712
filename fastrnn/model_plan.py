"""The plan of a language model: its layers' plans, its head, and its buffers."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array
from fastrnn.params import Parameters, Spec
from fastrnn.plan import Regions, plan_layer, tile_shape

#: Rows of logits that exist at one time, at most.
HEAD_ROWS = 256

#: Name of the parameter that the first layer reads tokens by.
EMBEDDING = "embedding"


class ModelPlan(NamedTuple):
    """A language model's sizes as its kernels take them, and what they need."""

    model: Any
    #: Elements of the workspace of a layer and of the head.
    work: int
    hidden: int
    layers: int
    time: int
    batch: int
    #: Threads that run it.
    threads: int
    #: States beside h, slots of each, and numbers saved of a unit and time.
    others: int
    ring: int
    saved: int

    def states(self, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """New arrays `h` and `memory` for the kernels, of zeros."""
        unit = self.batch * self.hidden
        h = np.zeros(self.layers * (self.time + 1) * unit, dtype)
        return h, np.zeros(self.layers * self.others * self.ring * unit, dtype)


@functools.lru_cache(maxsize=256)
def plan_model(
    cell: Cell,
    dtype: np.dtype[Any],
    time: int,
    batch: int,
    vocabulary: int,
    hidden: int,
    layers: int,
    *,
    keep: bool,
    embedding: int = 0,
    threads: int = 1,
) -> ModelPlan:
    """Plan a language model's passes over blocks of `time` tokens in `batch` streams.

    The first layer reads rows of an embedding of so many numbers, or without one the tokens.
    Passes over single tokens use packed weights again and again. `threads` is the largest team.
    """
    from fastrnn.kernels.language_model import Model
    from fastrnn.simd.cpu import lanes
    from fastrnn.simd.tile import product_scratch

    width = lanes(dtype)

    def padded(columns: int) -> int:
        return -(-columns // width) * width

    one_hot = not embedding
    unit_work = time * batch * len(cell.gates) * hidden
    of_first, of_other = unit_work * (hidden + embedding), unit_work * 2 * hidden
    work = of_first + (layers - 1) * of_other + time * batch * hidden * vocabulary
    first = plan_layer(
        cell, dtype, time, batch, vocabulary if one_hot else embedding, hidden, tokens=one_hot,
        token_rows=one_hot, keep=keep, reuse=time == 1, threads=threads, more_work=work - of_first,
    )  # fmt: skip
    other = plan_layer(
        cell, dtype, time, batch, hidden, hidden, keep=keep, reuse=time == 1, threads=threads,
        more_work=work - of_other,
    )  # fmt: skip
    size = first.threads
    assert other.threads == size, "one team runs all layers"
    rows = min(HEAD_ROWS, time * batch)
    tile_rows, vectors = tile_shape(HEAD_ROWS)
    scratch_size = product_scratch(tile_rows, vectors, width)
    regions = Regions(dtype.itemsize)
    model = Model(
        first=first.layer,
        other=other.layer,
        layers=layers,
        vocabulary=vocabulary,
        rows=rows,
        logits=regions.add(rows * vocabulary),
        forward_panels=regions.add(hidden * padded(vocabulary)),
        backward_panels=regions.add(vocabulary * padded(hidden)) if keep else 0,
        row_panels=regions.add(rows * padded(hidden)) if keep else 0,
        scratch=regions.add(size * scratch_size),
        scratch_size=scratch_size,
        embedding=embedding,
    )
    elements = max(first.work, other.work if layers > 1 else 0, regions.size)
    return ModelPlan(
        model, elements, hidden, layers, time, batch, size,
        len(cell.states) - 1, first.layer.scan.ring, len(cell.saved) if keep else 0,
    )  # fmt: skip


def model_offsets(parameters: Parameters, layers: int) -> Array:
    """Where the kernels find each layer's parameters and the head's; see `language_model`."""
    offsets = np.zeros(4 * (layers + 1), np.int64)
    starts = parameters.places.offsets[: 4 * layers + 3]
    offsets[: len(starts)] = starts
    return offsets


def embedding_size(parameters: Parameters) -> int:
    """Numbers of a row of the embedding, 0 without one."""
    table = parameters.views.get(EMBEDDING)
    return 0 if table is None else int(table.shape[1])


def model_specs(
    cell: Cell, layers: int, hidden: int, vocabulary: int, embedding: int = 0
) -> list[Spec]:
    """The parameters of a language model, in their order; see `fastrnn.LanguageModel`.

    The embedding is the last: frozen, it is what the gradients and the optimiser do not reach.
    """
    gates = len(cell.gates)
    rows, meaning = gates * hidden, "H" if gates == 1 else f"{gates}*H"
    lowest = (embedding, "E") if embedding else (vocabulary, "V")
    specs = []
    for k in range(layers):
        inputs, read = (hidden, "H") if k else lowest
        one_hot = k == 0 and not embedding
        specs += [
            Spec(f"weight_ih_l{k}", (rows, inputs), f"({meaning}, {read})", transposed=one_hot),
            Spec(f"weight_hh_l{k}", (rows, hidden), f"({meaning}, H)"),
            Spec(f"bias_ih_l{k}", (rows,), f"({meaning},)"),
            Spec(f"bias_hh_l{k}", (rows,), f"({meaning},)"),
        ]
    specs.append(Spec("weight_out", (vocabulary, hidden), "(V, H)"))
    specs.append(Spec("bias_out", (vocabulary,), "(V,)"))
    if embedding:
        specs.append(Spec(EMBEDDING, (vocabulary, embedding), "(V, E)"))
    return specs
