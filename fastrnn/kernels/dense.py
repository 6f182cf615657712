"""What dense layers do to blocks of examples, apart from products."""

from __future__ import annotations

import math

from fastrnn.kernels.jit import kernel
from fastrnn.simd.functions import exp, sigmoid, tanh, where
from fastrnn.simd.memory import load, store
from fastrnn.simd.vector import keep_lanes, lane_sum, lanes_of

#: Codes of nonlinearities.
RELU, SIGMOID, TANH = 0, 1, 2


@kernel
def activate(c, offset, count, kind):
    """Apply a nonlinearity to `count` numbers, which are whole vectors."""
    lanes = lanes_of(c)
    if kind == RELU:
        for i in range(offset, offset + count, lanes):
            value = load(c, i, lanes)
            store(c, i, lanes, where(value < 0, 0, value))
    elif kind == SIGMOID:
        for i in range(offset, offset + count, lanes):
            store(c, i, lanes, sigmoid(load(c, i, lanes)))
    else:
        for i in range(offset, offset + count, lanes):
            store(c, i, lanes, tanh(load(c, i, lanes)))


@kernel
def slope(d, d_offset, c, offset, count, kind):
    """Multiply gradients by the nonlinearity's slope, from its values `c`."""
    lanes = lanes_of(d)
    for i in range(0, count, lanes):
        value, gradient = load(c, offset + i, lanes), load(d, d_offset + i, lanes)
        if kind == RELU:
            result = where(value <= 0, 0, gradient)
        elif kind == SIGMOID:
            result = gradient * (value * (1 - value))
        else:
            result = gradient * (1 - value * value)
        store(d, d_offset + i, lanes, result)


@kernel
def add_dots(sums, s_offset, a, a_offset, b, b_offset, rows, columns, wide, adds):
    """Dot products of the rows of A (rows, wide) and of B (columns, wide), set or added.

    Each is a vector of sums that `fold_dots` adds up: ``sums`` (rows, columns, lanes).
    """
    lanes = lanes_of(a)
    kept = lanes if adds else 0
    step = columns * lanes
    # Four rows share what is loaded of B, and their sums are independent.
    whole = rows - rows % 4
    for i in range(0, whole, 4):
        left = a_offset + i * wide
        for j in range(columns):
            right, place = b_offset + j * wide, s_offset + (i * columns + j) * lanes
            first = load(sums, place, kept)
            second = load(sums, place + step, kept)
            third = load(sums, place + 2 * step, kept)
            fourth = load(sums, place + 3 * step, kept)
            for k in range(0, wide, lanes):
                value = load(b, right + k, lanes)
                first = first + value * load(a, left + k, lanes)
                second = second + value * load(a, left + wide + k, lanes)
                third = third + value * load(a, left + 2 * wide + k, lanes)
                fourth = fourth + value * load(a, left + 3 * wide + k, lanes)
            store(sums, place, lanes, first)
            store(sums, place + step, lanes, second)
            store(sums, place + 2 * step, lanes, third)
            store(sums, place + 3 * step, lanes, fourth)
    for i in range(whole, rows):
        for j in range(columns):
            place = s_offset + (i * columns + j) * lanes
            total = load(sums, place, kept)
            for k in range(0, wide, lanes):
                value = load(b, b_offset + j * wide + k, lanes)
                total = total + value * load(a, a_offset + i * wide + k, lanes)
            store(sums, place, lanes, total)


@kernel
def fold_dots(c, c_offset, row_stride, column_stride, sums, s_offset, rows, columns):
    """C (rows, columns), at any strides, from what `add_dots` summed."""
    lanes = lanes_of(c)
    for i in range(rows):
        for j in range(columns):
            total = lane_sum(load(sums, s_offset + (i * columns + j) * lanes, lanes))
            c[c_offset + i * row_stride + j * column_stride] = total


@kernel
def softmax_columns(d, d_offset, z, offset, weights, w_offset, targets, order, first, count, wide,
                    rows, scale, wants):  # fmt: skip
    """Gradient of the logits z (rows, wide) of `count` examples, zero behind them.

    (softmax(z) - onehot(target)) * scale * weight. Where it `wants` it, the sum of the losses
    -weight * log softmax(z)[target] is returned, otherwise 0; the class of column n is
    ``targets[order[first + n]]``, its weight ``weights[w_offset + n]``.
    """
    lanes = lanes_of(z)
    loss = 0.0
    for j in range(0, wide, lanes):
        top = load(z, offset + j, lanes)
        for c in range(1, rows):
            value = load(z, offset + c * wide + j, lanes)
            # NaN, once there, stays.
            top = where(top > value, top, where(top <= value, value, top + value))
        mass = load(z, offset, 0)
        for c in range(rows):
            grown = exp(load(z, offset + c * wide + j, lanes) - top)
            store(d, d_offset + c * wide + j, lanes, grown)
            mass = mass + grown
        factor = load(weights, w_offset + j, lanes) * scale / mass
        for c in range(rows):
            at = d_offset + c * wide + j
            share = load(d, at, lanes) * factor
            store(d, at, lanes, keep_lanes(share, count - j, 0))
    for n in range(count):
        target, weight = targets[order[first + n]], weights[w_offset + n]
        if wants:
            largest = z[offset + n]
            for c in range(1, rows):
                value = z[offset + c * wide + n]
                largest = value if value > largest else largest
            total = 0.0
            for c in range(rows):
                total += math.exp(z[offset + c * wide + n] - largest)
            loss += weight * (math.log(total) - (z[offset + target * wide + n] - largest))
        d[d_offset + target * wide + n] -= scale * weight
    return loss


@kernel
def decay(grads, params, offset, rows, columns, stride, rate):
    """Add ``rate * W`` to the gradient of W (rows, columns).

    Sum of the gradient's absolute values before that, and of the squares of W.
    """
    lanes = lanes_of(grads)
    size = square = load(grads, offset, 0)
    for i in range(rows):
        for j in range(0, columns, lanes):
            at, left = offset + i * stride + j, columns - j
            g, w = load(grads, at, left), load(params, at, left)
            size = size + abs(g)
            square = square + w * w
            store(grads, at, left, g + rate * w)
    return float(lane_sum(size)), float(lane_sum(square))
