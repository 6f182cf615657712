"""Optimiser updates: one fused pass over the flat parameters, gradients and optimiser state."""

from __future__ import annotations

from typing import Any

from fastrnn.kernels.jit import kernel
from fastrnn.simd.cpu import VECTOR_BYTES
from fastrnn.simd.functions import where
from fastrnn.simd.vector import lane_sum, load, load_each, store, store_each

SLOTS = 0
rule: Any = None

#: Vectors whose squares are summed in the gradient's own precision before float64 takes over.
CHUNK = 64


def update(params, grads, slots, size, h):
    """Apply an optimiser's `rule`; ``slots`` (number, size) is its state, `h` its numbers.

    Gradients are first multiplied by ``h.scale`` and clipped to +- ``h.limit``.
    """
    lanes = VECTOR_BYTES // params.itemsize
    for i in range(0, size, lanes):
        left = size - i
        g = load(grads, i, left) * h.scale
        g = where(g > h.limit, h.limit, where(g < -h.limit, -h.limit, g))
        state = load_each(slots, i, size, left, SLOTS)
        p, state = rule(h, g, load(params, i, left), *state)
        store(params, i, left, p)
        store_each(slots, i, size, left, state)


@kernel
def sum_of_squares(a, size):
    """Sum of the squares of `a`, as a float64; NaN or infinite only if an element is."""
    lanes = VECTOR_BYTES // a.itemsize
    total = 0.0
    for start in range(0, size, CHUNK * lanes):
        end = min(size, start + CHUNK * lanes)
        part = load(a, start, 0)
        for i in range(start, end, lanes):
            value = load(a, i, size - i)
            part = part + value * value
        summed = float(lane_sum(part))
        if not summed < 1e30:
            summed = 0.0
            for i in range(start, end):
                summed += float(a[i]) * float(a[i])
        total += summed
    return total
