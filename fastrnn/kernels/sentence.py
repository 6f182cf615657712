"""One sentence of vectors, and truncated backpropagation through every step of it.

h_t = f(U x_t + W h_{t-1}),   y_t = softmax(V h_t)

Each step's error goes back at most so many steps. Step by step that is a loop in a loop; here it is
Horner's scheme on all steps at once: d^0_t = e_t, the errors that arise in the steps themselves,
and d^k_t = e_t + W^T (f' d^{k-1})_{t+1}, each a product of one matrix of all steps with W.

Flat arrays, with T steps: ``x`` (T, D), ``h`` (T + 1, H) from the initial state on, ``y`` and
``wanted`` (T, K), ``u`` (H, D), ``w`` (H, H), ``v`` (K, H).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.layer import Layer
from fastrnn.kernels.primitives import (
    flush_denormals,
    pack,
    product,
    restore_denormals,
    softmax_rows,
    subtract_one_hot,
)
from fastrnn.kernels.team import ALONE

pack_forward: Any = None
run_forward: Any = None
retreat_rows: Any = None


class Sentence(NamedTuple):
    """Sizes and workspace; `fastrnn.compat._sentence` makes it."""

    layer: Layer
    outputs: int
    #: Where the parts of the second workspace begin: panels, gradients of the logits, the errors
    #: (T, H) that arise in each step, those that reach it, and the gradients of pre-activations.
    panels: int
    d_logits: int
    arising: int
    d_h: int
    deltas: int
    scratch: int


def multiply(c, c_stride, a, a_offset, a_stride, a_step, b, b_offset, k_stride, column_stride,
             rows, k, columns, work, p):  # fmt: skip
    """C (rows, columns)  =  A (rows, k) @ B (k, columns), B at any strides, A as in `product`."""
    tile_rows, width = p.layer.tile_rows, p.layer.width
    pack(work, p.panels, b, b_offset, k_stride, column_stride, k, columns, width, ALONE)
    product(c, 0, c_stride, a, a_offset, a_stride, a_step, work, p.panels, rows, k, columns, False,
            work, p.scratch, tile_rows, width, p.layer.scan.tile)  # fmt: skip


def read_sentence(y, h, work, layer_work, x, tokens, u, w, v, p):
    """Set all states but the first one, and the probabilities."""
    none = y[:0]
    time, hidden = p.layer.time, p.layer.scan.hidden
    pack_forward(layer_work, u, w, none, none, True, ALONE, p.layer)
    run_forward(h, none, none, layer_work, x, tokens, tokens[:0], u, w, none, ALONE,
                p.layer)  # fmt: skip
    multiply(y, p.outputs, h, hidden, hidden, 1, v, 0, 1, hidden, time, hidden, p.outputs,
             work, p)  # fmt: skip
    softmax_rows(y, 0, time, p.outputs)


def learn_sentence(d_u, d_v, d_w, work, y, wanted, h, x, w, v, reach, p):
    """Gradients of the sum of -log y_t[target], errors going back at most `reach` steps.

    The number of the first of the rows of `wanted` that is not one-hot is returned, nothing having
    been done then, or -1.
    """
    time, hidden, inputs, outputs = p.layer.time, p.layer.scan.hidden, p.layer.inputs, p.outputs
    tile_rows, width, tile = p.layer.tile_rows, p.layer.width, p.layer.scan.tile
    wrong = subtract_one_hot(work, p.d_logits, y, wanted, time, outputs)
    if wrong >= 0:
        return wrong
    before = flush_denormals()
    arising = work[p.arising : p.arising + time * hidden]
    multiply(arising, hidden, work, p.d_logits, outputs, 1, v, 0, hidden, 1, time, outputs, hidden,
             work, p)  # fmt: skip
    steps = min(reach, time - 1)
    if steps > 0:
        pack(work, p.panels, w, 0, hidden, 1, hidden, hidden, width, ALONE)
    retreat_rows(work, p.deltas, work, p.arising, work, 0, False, h, hidden, 0, time * hidden)
    for _ in range(steps):
        # No error comes to the last step from later ones.
        product(work, p.d_h, hidden, work, p.deltas + hidden, hidden, 1, work, p.panels,
                time - 1, hidden, hidden, False, work, p.scratch, tile_rows, width,
                tile)  # fmt: skip
        retreat_rows(work, p.deltas, work, p.arising, work, p.d_h, True, h, hidden, 0,
                     (time - 1) * hidden)  # fmt: skip
    multiply(d_w, hidden, work, p.deltas, 1, hidden, h, 0, hidden, 1, hidden, time, hidden,
             work, p)  # fmt: skip
    multiply(d_u, inputs, work, p.deltas, 1, hidden, x, 0, inputs, 1, hidden, time, inputs,
             work, p)  # fmt: skip
    multiply(d_v, hidden, work, p.d_logits, 1, outputs, h, hidden, hidden, 1, outputs, time,
             hidden, work, p)  # fmt: skip
    restore_denormals(before)
    return wrong
