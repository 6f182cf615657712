"""Streaming: some time steps now, more later, from weights packed once and states that stay.

A stream is one array of int64, its handle, as `Stream` lays it out: sizes, addresses, and for each
layer the plan of its block. Whoever holds it must keep alive what the addresses point to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.layer import Layer
from fastrnn.kernels.primitives import array_at, copy, product_unpacked, tuple_at
from fastrnn.kernels.team import ALONE

OTHERS = UNITS = 0
run_forward: Any = None


class Stream(NamedTuple):
    """The head of a handle."""

    layers: int
    batch: int
    inputs: int
    hidden: int
    #: Numbers of the readout, 0 without one.
    outputs: int
    #: Most steps of one turn.
    block: int
    #: Where `time` stands in a plan, and how long a plan is.
    time_place: int
    plan_size: int
    #: Addresses of (L, block + 1, N, H), (L, S - 1, 2, N, H), (L, work_size), (L, units, H).
    h: int
    memory: int
    work: int
    work_size: int
    units: int
    #: Readout: tile of its dot products, their address, and those of (O, H) and (O,).
    dot_rows: int
    dot_columns: int
    dots: int
    weight: int
    bias: int


#: Integers before the first plan.
HEAD = len(Stream._fields)


def run_stream(handle, out, x):
    """Read x (T, N, I) and write out (T, N, H), or (T, N, O) with a readout, each as one dimension.

    T is as long as `x` is; the states go on from call to call.
    """
    s = tuple_at(handle, 0, Stream)
    item = out.itemsize
    step = s.batch * s.hidden
    of_x = s.batch * s.inputs
    of_out = s.batch * (s.outputs if s.outputs else s.hidden)
    steps = x.size // of_x
    nothing = array_at(s.h, 0, out)
    weight = array_at(s.weight, s.outputs * s.hidden, out)
    bias = array_at(s.bias, s.outputs, out)
    for start in range(0, steps, s.block):
        count = min(s.block, steps - start)
        source = array_at(x.ctypes.data + start * of_x * item, count * of_x, out)
        for layer in range(s.layers):
            place = HEAD + layer * s.plan_size
            handle[place + s.time_place] = count
            p = tuple_at(handle, place, Layer)
            h_size = (s.block + 1) * step
            h = array_at(s.h + layer * h_size * item, h_size, out)
            memory_size = OTHERS * 2 * step
            memory = array_at(s.memory + layer * memory_size * item, memory_size, out)
            work = array_at(s.work + layer * s.work_size * item, s.work_size, out)
            units = array_at(s.units + layer * UNITS * s.hidden * item, UNITS * s.hidden, out)
            run_forward(h, memory, nothing, work, source, handle[:0], handle[:0], nothing, nothing,
                        units, ALONE, p)  # fmt: skip
            source = h[step : (count + 1) * step]
            copy(h, 0, h, count * step, step)
            for part in range(OTHERS if count % 2 else 0):
                copy(memory, part * 2 * step, memory, (part * 2 + 1) * step, step)
        if s.outputs:
            product_unpacked(
                out, start * of_out, s.outputs, source, 0, s.hidden, weight, 0,
                count * s.batch, s.hidden, s.outputs,
                min(s.dot_rows, count * s.batch), s.dot_columns, s.dots,
            )  # fmt: skip
            for row in range(count * s.batch):
                for j in range(s.outputs):
                    out[start * of_out + row * s.outputs + j] += bias[j]
        else:
            copy(out, start * of_out, source, 0, count * step)
