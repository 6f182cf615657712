"""A network of dense layers: whole training runs without returning to Python.

A_{l+1} = f(W_l A_l),   logits = W_L A_L,   loss = mean of -log softmax(logits)[target]

Examples are columns: a block of them goes through all layers forward and back while its activations
are in the caches. Every activation ends with a row of ones, which the biases multiply.

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
    #: Examples of a block, whole vectors.
    block: int
    #: Where the parts of the workspace begin.
    weights: int
    #: What is on the right of a product.
    panels: int
    scratch: int


def load_block(work, x, order, first, count, wide, m, layers):
    """Copy `count` examples into the columns of the first activation, zeros after them."""
    start = tuple_at(layers, 0, Dense).before
    for n in range(wide):
        row = order[first + n] * m.inputs if n < count else 0
        for d in range(m.inputs):
            work[start + d * wide + n] = x[row + d] if n < count else 0


def packed(work, offset, rows, wide, m):
    """Where a block (rows, wide) stands in panels: where it is, if it is one."""
    if wide <= m.lanes * m.width:
        return offset
    pack(work, m.panels, work, offset, wide, 1, rows, wide, m.width, ALONE)
    return m.panels


def forward(work, params, wide, m, layers):
    """Run a block through all layers."""
    for i in range(m.depth):
        p = tuple_at(layers, i * DENSE, Dense)
        for n in range(wide):
            work[p.before + p.inputs * wide + n] = 1
        right = packed(work, p.before, p.inputs + 1, wide, m)
        product(work, p.after, wide, params, p.weights, p.output_stride, p.input_stride,
                work, right, p.outputs, p.inputs + 1, wide, False,
                work, m.scratch, m.tile_rows, m.width, m.tile)  # fmt: skip
        if i + 1 < m.depth:
            activate(work, p.after, p.outputs * wide, m.kind)


def backward(grads, work, params, wide, adds, m, layers):
    """Backpropagate a block, and set or add its part of the gradients."""
    for back in range(m.depth):
        i = m.depth - 1 - back
        p = tuple_at(layers, i * DENSE, Dense)
        # Sums over examples: what is on the left as it lies, what is on the right transposed.
        left, right, across = p.before, p.d_after, p.outputs
        if p.turned:
            left, right, across = p.d_after, p.before, p.inputs + 1
        if p.whole:
            pack(work, m.panels, work, right, 1, wide, wide, p.whole, m.width, ALONE)
            product(grads, p.weights, p.columns, work, left, wide, 1,
                    work, m.panels, p.rows, wide, p.whole, adds,
                    work, m.scratch, m.tile_rows, m.width, m.tile)  # fmt: skip
            add_dots(work, p.sums, work, left, work, right + p.whole * wide,
                     p.rows, across - p.whole, wide, adds)  # fmt: skip
        else:
            add_dots(work, p.sums, work, right, work, left, across, p.rows, wide, adds)
        if i > 0:
            right = packed(work, p.d_after, p.outputs, wide, m)
            product(work, p.d_before, wide, params, p.weights, p.input_stride, p.output_stride,
                    work, right, p.inputs, p.outputs, wide, False,
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
    last = tuple_at(layers, (m.depth - 1) * DENSE, Dense)
    before = flush_denormals()
    for n in range(m.block):
        work[m.weights + n] = 1
    for step in range(starts.size):
        start, count = starts[step], stops[step] - starts[step]
        wants = (done + step) % every == 0
        loss = 0.0
        for column in range(0, count, m.block):
            inside = min(m.block, count - column)
            wide = (inside + m.lanes - 1) // m.lanes * m.lanes
            load_block(work, x, order, start + column, inside, wide, m, layers)
            if weights.size:
                for n in range(inside):
                    work[m.weights + n] = weights[order[start + column + n]]
            forward(work, params, wide, m, layers)
            loss += softmax_columns(work, last.d_after, work, last.after, work, m.weights,
                                    targets, order, start + column, inside, wide, m.classes,
                                    1.0 / count, wants)  # fmt: skip
            backward(grads, work, params, wide, column > 0, m, layers)
        total = 0.0
        for i in range(m.depth):
            p = tuple_at(layers, i * DENSE, Dense)
            across = p.inputs + 1 if p.turned else p.outputs
            if p.whole:
                fold_dots(grads, p.weights + p.whole, p.columns, 1, work, p.sums,
                          p.rows, across - p.whole)  # fmt: skip
            else:
                fold_dots(grads, p.weights, 1, p.columns, work, p.sums, across, p.rows)
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
    last = tuple_at(layers, (m.depth - 1) * DENSE, Dense)
    for column in range(0, order.size, m.block):
        inside = min(m.block, order.size - column)
        wide = (inside + m.lanes - 1) // m.lanes * m.lanes
        load_block(work, x, order, column, inside, wide, m, layers)
        forward(work, params, wide, m, layers)
        for n in range(inside):
            for c in range(m.classes):
                logits[(column + n) * m.classes + c] = work[last.after + c * wide + n]
