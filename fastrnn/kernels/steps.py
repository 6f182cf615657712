"""What a step of training does besides the layers: the loss, weights' decay, and the update."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.kernels.primitives import decay, gradient_norm, scatter_add, sum_of_squares
from fastrnn.optimizers import Hyper

row_loss: Any = None
update: Any = None


def weighted_loss(logits, targets, weights, columns, scale):
    """Sum over the rows of a loss times the row's weight, in float64.

    The logits (rows, columns) are replaced by their gradient times `scale`.
    """
    total = 0.0
    for i in range(weights.size):
        weight = weights[i]
        total += weight * row_loss(logits, i * columns, targets, i, 1, columns, scale * weight)
    return total


def add_embedded(grads, d, tokens, width):
    """Add the rows of `d` to the gradients of the vectors of their `tokens`."""
    scatter_add(grads, 1, width, d, 0, width, tokens, 0, tokens.size, width)


def decay_weights(grads, params, spans, rate):
    """Add ``rate * W`` to the gradients of the weights W in `spans`; sum of the squares of W.

    ``spans`` holds where each stretch begins and ends, one after the other.
    """
    total = 0.0
    for k in range(0, spans.size, 2):
        start, count = spans[k], spans[k + 1] - spans[k]
        decay(grads, params, start, 1, count, count, rate)
        total += sum_of_squares(params[start : start + count], count)
    return total


def descend(params, grads, slots, norm_limit, h):
    """Clip the gradients by their norm and update, unless it is not finite; the norm.

    ``h`` (9,) holds a `Hyper`; its `scale` is not looked at.
    """
    norm = gradient_norm(grads, params.size)
    if np.isfinite(norm):
        scale = norm_limit / norm if norm > norm_limit else 1.0
        update(params, grads, slots, 0, params.size,
               Hyper(scale, h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]))  # fmt: skip
    return norm
