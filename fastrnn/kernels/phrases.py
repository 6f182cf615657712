"""One step of gradient descent after every sequence: a vanilla RNN that names a sequence's class.

h_t = f(W_x x_t + W_h h_{t-1} + b),   logits = W_y h_n + c

Flat arrays, with V inputs, H units and C classes, `columns` being H in whole vectors:

``params``
    W_x (V, H), an input's weights adjacent, then W_h (H, H), b (H), W_y (C, H) and c (C).
``places``, ``values``, ``rows``
    The inputs that are not zero, and where each step's begin: those of step t are
    ``rows[t] .. rows[t + 1] - 1``. A one-hot step has one, of value 1.
``firsts`` (number of sequences + 1,)
    Where each sequence's steps begin.
``work``
    States (T + 1, columns), the first of them zero, deltas (T, columns), a row of `columns`, C
    logits in whole vectors, and gradients of b (H) and W_x (V, H), which are zero between steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.primitives import (
    add_row,
    descend,
    descend_row,
    flush_denormals,
    matvec,
    restore_denormals,
    softmax_cross_entropy,
    tuple_at,
    vecmat,
)

advance: Any = None
retreat: Any = None


class Phrases(NamedTuple):
    """Sizes and places; `fastrnn.compat.sentiment` makes it."""

    inputs: int
    hidden: int
    classes: int
    columns: int
    #: Where the parts of `params` begin, W_x being the first.
    recurrent: int
    bias: int
    out: int
    out_bias: int
    #: Where the parts of `work` begin, the states being the first.
    deltas: int
    row: int
    logits: int
    bias_grads: int
    input_grads: int


def read(params, work, places, values, rows, first, count, p):
    """Run the steps first .. first + count - 1 from a state of zero, and set the logits."""
    for t in range(count):
        advance(work, (t + 1) * p.columns, t * p.columns, params, p.recurrent, p.bias, 0,
                places, values, rows[first + t], rows[first + t + 1], p.hidden,
                t == 0, t % 2 == 0)  # fmt: skip
    matvec(work, p.logits, params, p.out, work, count * p.columns, p.classes, p.hidden, False,
           False)  # fmt: skip
    add_row(work, p.logits, 1, params, p.out_bias, p.classes)


def learn(params, work, places, values, rows, first, count, rate, limit, p):
    """Backpropagate the logits' gradient, which stands in their place, and descend."""
    hidden, columns = p.hidden, p.columns
    vecmat(work, p.row, params, p.out, work, p.logits, p.classes, hidden, False)
    for back in range(count):
        t = count - 1 - back
        retreat(work, p.deltas + t * columns, work, p.row, work, (t + 1) * columns, t * columns,
                p.bias_grads, p.input_grads, places, values, rows[first + t], rows[first + t + 1],
                hidden)  # fmt: skip
        if t > 0:
            vecmat(work, p.row, params, p.recurrent, work, p.deltas + t * columns, hidden, hidden,
                   t % 2 == 1)  # fmt: skip
    descend(params, p.out, work, p.logits, 0, work, count * columns, columns,
            1, p.classes, hidden, rate, limit, False)  # fmt: skip
    descend_row(params, p.out_bias, work, p.logits, p.classes, rate, limit)
    if count > 1:
        descend(params, p.recurrent, work, p.deltas + columns, columns, work, columns, columns,
                count - 1, hidden, hidden, rate, limit, True)  # fmt: skip
    descend_row(params, p.bias, work, p.bias_grads, hidden, rate, limit)
    for e in range(rows[first], rows[first + count]):
        # Where an input comes again, its gradient is zero by then.
        descend_row(params, places[e] * hidden, work, p.input_grads + places[e] * hidden, hidden,
                    rate, limit)  # fmt: skip


def read_columns(x, params, work, places, values, rows, count, plan):
    """Read one sequence x (V, T), of floats; its inputs that are not zero are kept for `learn`.

    Where x is empty, they are there already.
    """
    p = tuple_at(plan, 0, Phrases)
    if x.size:
        entries = 0
        for t in range(count):
            rows[t] = entries
            for v in range(p.inputs):
                if x[v * count + t] != 0:
                    places[entries] = v
                    values[entries] = x[v * count + t]
                    entries += 1
        rows[count] = entries
    read(params, work, places, values, rows, 0, count, p)


def learn_columns(params, work, places, values, rows, count, rate, limit, plan):
    """Descend after `read_columns`, the logits' gradient having taken their place in `work`."""
    p = tuple_at(plan, 0, Phrases)
    before = flush_denormals()
    learn(params, work, places, values, rows, 0, count, rate, limit, p)
    restore_denormals(before)


def run_phrases(losses, hits, params, work, places, values, rows, firsts, targets, order,
                trains, rate, limit, plan):  # fmt: skip
    """Read the sequences in the order of `order`, and descend after each one where it `trains`.

    ``losses``, ``hits`` (order.size,)
        Of each, before its own step: -log of its class's probability, and whether that class is
        the likeliest.
    """
    p = tuple_at(plan, 0, Phrases)
    before = flush_denormals()
    for i in range(order.size):
        which = order[i]
        first = firsts[which]
        count = firsts[which + 1] - first
        read(params, work, places, values, rows, first, count, p)
        likeliest = 0
        for c in range(1, p.classes):
            if work[p.logits + c] > work[p.logits + likeliest]:
                likeliest = c
        hits[i] = likeliest == targets[which]
        losses[i] = softmax_cross_entropy(work, p.logits, targets, which, 1, p.classes, 1.0)
        if trains:
            learn(params, work, places, values, rows, first, count, rate, limit, p)
    restore_denormals(before)
