"""Losses fused with their gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastrnn.kernels.jit import kernel
from fastrnn.simd.functions import exp, sigmoid, where
from fastrnn.simd.memory import load, store
from fastrnn.simd.vector import keep_lanes, lane_max, lane_sum, lanes_of

activation: Any = None
activation_back: Any = None


@kernel
def largest_of_row(logits, row, columns):
    """The largest of a row of logits, NaN if one is NaN."""
    lanes = lanes_of(logits)
    largest = keep_lanes(load(logits, row, columns), columns, logits[row])
    for j in range(lanes, columns, lanes):
        left = columns - j
        value = keep_lanes(load(logits, row + j, left), left, logits[row])
        largest = where(largest > value, largest, where(largest <= value, value, largest + value))
    return lane_max(largest)


@kernel
def grow_row(logits, row, columns, top):
    """Replace a row of logits by exp(logits - top); their sum."""
    lanes = lanes_of(logits)
    mass = load(logits, row, 0)
    for j in range(0, columns, lanes):
        left = columns - j
        value = exp(load(logits, row + j, left) - top)
        store(logits, row + j, left, value)
        mass = mass + keep_lanes(value, left, 0)
    return lane_sum(mass)


@kernel
def scale_row(logits, row, columns, factor):
    """Multiply a row by a number."""
    lanes = lanes_of(logits)
    for j in range(0, columns, lanes):
        left = columns - j
        store(logits, row + j, left, load(logits, row + j, left) * factor)


@kernel
def softmax_rows(logits, offset, rows, columns):
    """Replace logits (rows, columns) by the softmax of each row."""
    for i in range(rows):
        row = offset + i * columns
        sum_ = grow_row(logits, row, columns, largest_of_row(logits, row, columns))
        scale_row(logits, row, columns, 1 / sum_)


@kernel
def softmax_cross_entropy(logits, offset, targets, first, rows, columns, scale):
    """Sum over rows of -log softmax(logits)[target], in nats, as a float64.

    The logits (rows, columns) are replaced by their gradient times `scale`:
    (softmax(logits) - onehot(target)) * scale.
    """
    total = 0.0
    for i in range(rows):
        row = offset + i * columns
        target = row + targets[first + i]
        top = largest_of_row(logits, row, columns)
        chosen = logits[target]
        sum_ = grow_row(logits, row, columns, top)
        total += math.log(sum_) - (chosen - top)
        scale_row(logits, row, columns, scale / sum_)
        logits[target] -= scale
    return total


@kernel
def sigmoid_cross_entropy(logits, offset, targets, first, rows, columns, scale):
    """Sum over rows of the mean of -log P(target), P(1) = sigmoid(logit), in nats, as a float64.

    The targets (rows, columns) are 0 or 1; the logits are replaced by their gradient times
    `scale`: (sigmoid(logits) - targets) * scale / columns.
    """
    lanes = lanes_of(logits)
    total = 0.0
    factor = scale / columns
    for i in range(rows * columns):
        value = logits[offset + i]
        wrong = value if targets[first * columns + i] == 0 else -value
        # log(1 + exp(wrong)), whatever its size.
        total += math.log1p(math.exp(-abs(value))) + max(wrong, 0.0)
    for i in range(0, rows * columns, lanes):
        left = rows * columns - i
        store(logits, offset + i, left, sigmoid(load(logits, offset + i, left)) * factor)
    for i in range(rows * columns):
        if targets[first * columns + i] != 0:
            logits[offset + i] -= factor
    return total / columns


def squared_error(outputs, offset, targets, first, rows, columns, scale):
    """Sum over rows of the mean of (g(z) - target)^2, as a float64, g being an `activation`.

    The outputs z (rows, columns) are replaced by their gradient times `scale`:
    2 (g(z) - target) g'(z) * scale / columns.
    """
    lanes = lanes_of(outputs)
    factor = 2 * scale / columns
    total = 0.0
    for i in range(0, rows * columns, lanes):
        left = rows * columns - i
        y = activation(load(outputs, offset + i, left))
        error = y - load(targets, first * columns + i, left)
        total += np.float64(lane_sum(keep_lanes(error * error, left, 0)))
        store(outputs, offset + i, left, activation_back(error, y) * factor)
    return total / columns


@kernel
def subtract_one_hot(d, d_offset, y, wanted, rows, columns):
    """D (rows, columns)  =  y - wanted, as long as the rows of `wanted` are one-hot.

    The number of the first that is not, or -1.
    """
    lanes = lanes_of(y)
    for i in range(rows):
        row = i * columns
        total = largest = load(wanted, row, 0)
        for j in range(0, columns, lanes):
            left = columns - j
            value = load(wanted, row + j, left)
            total, largest = total + abs(value), where(value > largest, value, largest)
            store(d, d_offset + row + j, left, load(y, row + j, left) - value)
        if not (lane_sum(total) == 1 and lane_max(largest) == 1):
            return i
    return -1
