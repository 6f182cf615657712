"""A network of dense layers: whole training runs without returning to Python.

A_{l+1} = f(W_l A_l),   logits = W_L A_L,   loss = mean of -log softmax(logits)[target]

Examples are columns: a panel of them, as wide as a register tile, goes through all layers forward
and back while its activations are in the near caches, and an activation is at once the packed
right side of the next layer's product. Every activation ends with a row of ones, which the biases
multiply.

Flat arrays, with N examples, D inputs, and for each layer I inputs and O outputs:

``x`` (N, D), ``targets`` (N,)
``weights`` (N,)
    Of each example's loss; none of them where all are 1.
``params``, ``grads``
    Of each layer W (I + 1, O in whole vectors), the biases being the last row; or, where it is
    `turned`, W (O, I + 1 in whole vectors), the biases being the last column.
``layers``
    The integers of a `Dense` for each layer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn.kernels.panels import split
from fastrnn.kernels.primitives import (
    activate,
    add_dots,
    decay,
    flush_denormals,
    fold_dots,
    gradient_norm,
    pack,
    product,
    restore_denormals,
    slope,
    softmax_columns,
    tuple_at,
)
from fastrnn.kernels.team import ALONE
from fastrnn.optimizers import Hyper

update: Any = None


class Dense(NamedTuple):
    """One layer; `fastrnn.mlp` makes it."""

    inputs: int
    outputs: int
    #: Where W begins in `params`, and its strides.
    weights: int
    input_stride: int
    output_stride: int
    turned: int
    #: Rows and columns of W as it lies, the latter in whole vectors.
    rows: int
    columns: int
    #: Where the activations that it reads and makes begin in `work`, and their gradients.
    before: int
    after: int
    d_before: int
    d_after: int
    #: Columns of the gradient of W that are made by products; those that are left, or all of them
    #: where there are few rows, are dot products, summed lane by lane from `sums` on in `work`.
    whole: int
    sums: int


#: Integers of one.
DENSE = len(Dense._fields)


class Mlp(NamedTuple):
    """Sizes and workspace of a network."""

    inputs: int
    classes: int
    depth: int
    #: Code of the nonlinearity: `fastrnn.kernels.dense`.
    kind: int
    #: Numbers in one vector, largest tile, and the address of the tiles.
    lanes: int
    tile_rows: int
    width: int
    tile: int
    #: Where the parts of the workspace begin.
    logits: int
    weights: int
    turned_panels: int
    scratch: int


def load_panel(work, x, order, first, count, wide, m, layers):
    """Copy `count` examples into the columns of the first activation, zeros after them."""
    start = layers[8]
    for n in range(wide):
        row = order[first + n] * m.inputs if n < count else 0
        for d in range(m.inputs):
            work[start + d * wide + n] = x[row + d] if n < count else 0
    ones = start + m.inputs * wide
    for n in range(wide):
        work[ones + n] = 1


def forward(work, params, wide, m, layers):
    """Run a panel through all layers."""
    for i in range(m.depth):
        p = tuple_at(layers, i * DENSE, Dense)
        product(work, p.after, wide, params, p.weights, p.output_stride, p.input_stride,
                work, p.before, p.outputs, p.inputs + 1, wide, False,
                work, m.scratch, m.tile_rows, m.width, m.tile)  # fmt: skip
        if i + 1 < m.depth:
            activate(work, p.after, p.outputs * wide, m.kind)
            for n in range(wide):
                work[p.after + p.outputs * wide + n] = 1


def backward(grads, work, params, wide, adds, m, layers):
    """Backpropagate a panel, and set or add its part of the gradients."""
    for back in range(m.depth):
        i = m.depth - 1 - back
        p = tuple_at(layers, i * DENSE, Dense)
        # Sums over examples: what is on the left as it lies, what is on the right transposed.
        left, right, across = p.before, p.d_after, p.outputs
        if p.turned:
            left, right, across = p.d_after, p.before, p.inputs + 1
        if p.whole:
            pack(work, m.turned_panels, work, right, 1, wide, wide, p.whole, m.width, ALONE)
            product(grads, p.weights, p.columns, work, left, wide, 1,
                    work, m.turned_panels, p.rows, wide, p.whole, adds,
                    work, m.scratch, m.tile_rows, m.width, m.tile)  # fmt: skip
            add_dots(work, p.sums, work, right + p.whole * wide, work, left, across - p.whole,
                     p.rows, wide, adds)  # fmt: skip
        else:
            add_dots(work, p.sums, work, left, work, right, p.rows, across, wide, adds)
        if i > 0:
            product(work, p.d_before, wide, params, p.weights, p.input_stride, p.output_stride,
                    work, p.d_after, p.inputs, p.outputs, wide, False,
                    work, m.scratch, m.tile_rows, m.width, m.tile)  # fmt: skip
            slope(work, p.d_before, work, p.before, p.inputs * wide, m.kind)


def train(losses, sizes, params, grads, slots, work, x, targets, weights, order, starts, stops,
          hypers, l2, norm_limit, every, done, layers, plan):  # fmt: skip
    """Train ``starts.size`` steps, step s on the examples ``order[starts[s]:stops[s]]``.

    ``losses`` (steps,)
        With the regularisation ``l2 / 2 |W|^2``, which leaves out the biases; of every so many
        steps, `done` having been before, and otherwise as it was.
    ``sizes`` (steps, depth)
        Mean of the absolute gradients of each W, without the regularisation and unclipped.
    """
    m = tuple_at(plan, 0, Mlp)
    before = flush_denormals()
    for n in range(m.lanes * m.width):
        work[m.weights + n] = 1
    for step in range(starts.size):
        start, count = starts[step], stops[step] - starts[step]
        wants = (done + step) % every == 0
        panels, base, extra = split((count + m.lanes - 1) // m.lanes, m.width)
        loss = 0.0
        column = 0
        for panel in range(panels):
            wide = m.lanes * (base + (panel < extra))
            inside = min(wide, count - column)
            load_panel(work, x, order, start + column, inside, wide, m, layers)
            if weights.size:
                for n in range(inside):
                    work[m.weights + n] = weights[order[start + column + n]]
            forward(work, params, wide, m, layers)
            last = tuple_at(layers, (m.depth - 1) * DENSE, Dense)
            loss += softmax_columns(work, last.d_after, work, last.after, work, m.weights,
                                    targets, order, start + column, inside, wide, m.classes,
                                    1.0 / count, wants)  # fmt: skip
            backward(grads, work, params, wide, panel > 0, m, layers)
            column += wide
        total = 0.0
        for i in range(m.depth):
            p = tuple_at(layers, i * DENSE, Dense)
            if p.whole:
                across = p.inputs + 1 if p.turned else p.outputs
                fold_dots(grads, p.weights + p.whole, 1, p.columns, work, p.sums,
                          across - p.whole, p.rows)  # fmt: skip
            else:
                across = p.inputs + 1 if p.turned else p.outputs
                fold_dots(grads, p.weights, p.columns, 1, work, p.sums, p.rows, across)
            # The biases, a row or a column, are left out.
            rows, columns = (p.outputs, p.inputs) if p.turned else (p.inputs, p.outputs)
            size, square = decay(grads, params, p.weights, rows, columns, p.columns, l2)
            sizes[step * m.depth + i] = size / (p.inputs * p.outputs)
            total += square
        if wants:
            losses[step] = loss / count + 0.5 * l2 * total
        norm = gradient_norm(grads, params.size) if np.isfinite(norm_limit) else 0.0
        scale = norm_limit / norm if norm > norm_limit else 1.0
        h = hypers[step]
        update(params, grads, slots, 0, params.size,
               Hyper(scale, h[1], h[2], h[3], h[4], h[5], h[6], h[7], h[8]))  # fmt: skip
    restore_denormals(before)


def run(logits, params, work, x, order, layers, plan):
    """The logits (N, classes) of all examples, in the order of `order`."""
    m = tuple_at(plan, 0, Mlp)
    count = order.size
    panels, base, extra = split((count + m.lanes - 1) // m.lanes, m.width)
    column = 0
    for panel in range(panels):
        wide = m.lanes * (base + (panel < extra))
        inside = min(wide, count - column)
        load_panel(work, x, order, column, inside, wide, m, layers)
        forward(work, params, wide, m, layers)
        last = tuple_at(layers, (m.depth - 1) * DENSE, Dense)
        for n in range(inside):
            for c in range(m.classes):
                logits[(column + n) * m.classes + c] = work[last.after + c * wide + n]
        column += wide
