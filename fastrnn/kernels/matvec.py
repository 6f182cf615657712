"""What one step of gradient descent after one short sequence is made of.

Matrices are read as they lie, and changed in the pass that forms their gradient: with 64 units and
four words a sequence the step took 10 us when they were packed and gradients stored, and takes 3.4.
`descending` says from which end the rows are read: a pass that begins where the one before ended
finds a part of the matrix in the first-level cache, 0.92 of the time of the step.
"""

from __future__ import annotations

from typing import Any

from fastrnn.kernels.jit import kernel
from fastrnn.simd.functions import where
from fastrnn.simd.matvec import descent, row_dots, weighted_rows
from fastrnn.simd.memory import load, store
from fastrnn.simd.vector import lanes_of

step_forward: Any = None
step_backward: Any = None


@kernel
def matvec(c, c_offset, w, w_offset, x, x_offset, rows, k, add, descending):
    """C (rows,)  =  or +=  W (rows, k) x (k,)."""
    row_dots(c, c_offset, w, w_offset, x, x_offset, rows, k, add, descending)


@kernel
def vecmat(c, c_offset, w, w_offset, d, d_offset, rows, columns, descending):
    """C (columns,)  =  d (rows,) W (rows, columns)."""
    lanes = lanes_of(c)
    start, stride, first, step = w_offset, columns, d_offset, 1
    if descending:
        start, stride = w_offset + (rows - 1) * columns, -columns
        first, step = d_offset + rows - 1, -1
    j = 0
    while j < columns:
        left = columns - j
        vectors = 1
        while vectors < 8 and 2 * vectors * lanes <= left:
            vectors *= 2
        weighted_rows(c, c_offset + j, left, w, start + j, stride, d, first, step, rows, vectors)
        j += vectors * lanes


@kernel
def clipped(g, limit):
    """Each number of a vector, at most `limit` and at least -`limit`; NaN stays NaN."""
    return where(g > limit, limit, where(g < -limit, -limit, g))


@kernel
def descend(w, w_offset, d, d_offset, d_stride, x, x_offset, x_stride,
            count, rows, columns, rate, limit, descending):  # fmt: skip
    """W (rows, columns)  -=  rate * clip(D^T X) with D (count, rows) and X (count, columns).

    Rows of X have whole vectors, with zeros behind their last number.
    """
    lanes = lanes_of(w)
    start, stride, first, step = w_offset, columns, d_offset, 1
    if descending:
        start, stride = w_offset + (rows - 1) * columns, -columns
        first, step = d_offset + rows - 1, -1
    for high in range(2, 0, -1):
        # Pairs of rows, then the one that is left.
        done = 0 if high == 2 else rows // 2 * 2
        j = 0
        while j < columns:
            left = columns - j
            vectors = 4 if left >= 4 * lanes else 1
            descent(w, start + done * stride + j, left, stride, d, first + done * step, d_stride,
                    step, x, x_offset + j, x_stride, count, rate, limit,
                    (rows - done) // high, high, vectors)  # fmt: skip
            j += vectors * lanes


@kernel
def _subtract(w, at, left, value):
    store(w, at, left, load(w, at, left) - value)


@kernel
def descend_row(w, w_offset, g, g_offset, columns, rate, limit):
    """W (columns,)  -=  rate * clip(g); `g` is zero after it."""
    lanes = lanes_of(w)
    for j in range(0, columns, lanes):
        left = columns - j
        value = load(g, g_offset + j, left)
        _subtract(w, w_offset + j, left, rate * clipped(value, limit))
        store(g, g_offset + j, left, load(g, g_offset, 0))


@kernel
def add_row(c, c_offset, weight, row, r_offset, columns):
    """C (columns,)  +=  weight * row."""
    lanes = lanes_of(c)
    for j in range(0, columns, lanes):
        left = columns - j
        value = load(c, c_offset + j, left) + weight * load(row, r_offset + j, left)
        store(c, c_offset + j, left, value)


def advance(h, now, before, w, w_offset, bias, x, places, values, first, end, units,
            starts, descending):  # fmt: skip
    """The state (units,) at `now`  =  f(W h + b + the inputs first .. end - 1 times their weights).

    Where it `starts`, the state at `before` is zero and not multiplied. The weights W (units,
    units), b and those of an input, ``x + place * units``, stand in `w` from these offsets on.
    """
    lanes = lanes_of(h)
    if not starts:
        matvec(h, now, w, w_offset, h, before, units, units, False, descending)
    for j in range(0, units, lanes):
        left = units - j
        z = load(w, bias + j, left)
        for e in range(first, end):
            z = z + values[e] * load(w, x + places[e] * units + j, left)
        z = z + load(h, now + j, 0 if starts else left)
        states, _ = step_forward(z, load(h, before + j, left))
        store(h, now + j, left, states[0])


def retreat(delta, d_offset, d_h, dh_offset, h, now, before, bias, x, places, values, first, end,
            units):  # fmt: skip
    """The gradient of the pre-activations from that of the state at `now`.

    It is also added to the gradients of the bias and of the weights of the inputs
    first .. end - 1, which stand in `delta` from `bias` and from ``x + place * units`` on.
    """
    lanes = lanes_of(h)
    for j in range(0, units, lanes):
        left = units - j
        old, new = load(h, before + j, left), load(h, now + j, left)
        deltas, _ = step_backward(old, new, load(d_h, dh_offset + j, left))
        d = deltas[0]
        store(delta, d_offset + j, left, d)
        store(delta, bias + j, left, load(delta, bias + j, left) + d)
        for e in range(first, end):
            at = x + places[e] * units + j
            store(delta, at, left, load(delta, at, left) + values[e] * d)


def retreat_rows(delta, d_offset, d_h, dh_offset, e, e_offset, adds, h, now, before, count):
    """Gradients of the pre-activations of `count` numbers, whichever steps and units they are.

    Those of the states are `d_h`, and `e` besides where it `adds`.
    """
    lanes = lanes_of(h)
    for j in range(0, count, lanes):
        left = count - j
        old, new = load(h, before + j, left), load(h, now + j, left)
        d = load(d_h, dh_offset + j, left) + load(e, e_offset + j, left if adds else 0)
        deltas, _ = step_backward(old, new, d)
        store(delta, d_offset + j, left, deltas[0])
