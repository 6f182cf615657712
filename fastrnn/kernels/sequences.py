"""Training on batches of sequences of one length, whole runs without returning to Python.

The layers, and the linear head on the last one's h, are those of
`fastrnn.kernels.language_model`; the head reads the state after the last step, or that of every
step. Every sequence begins with states of zero. Flat arrays besides those of that module, with M
sequences of T steps:

``x`` (M, T, I), or ``tokens`` (M, T), the other one being empty
``targets`` (M, U, K) or (M, K)
    Of U = T steps or one; K numbers each, what the loss takes for one row of logits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.kernels.primitives import (
    fill_rows,
    flush_denormals,
    gradient_norm,
    restore_denormals,
)
from fastrnn.kernels.team import ALONE
from fastrnn.optimizers import Hyper

forward_layer: Any = None
backward_layer: Any = None
run_head: Any = None
reset_states: Any = None
update: Any = None


def load_batch(
    x_block, token_block, target_block, x, tokens, targets, order, start, width, head, m
):
    """Copy a batch's sequences time by time, and its targets in the order of the logits."""
    batch, time = m.first.scan.batch, m.first.time
    steps = head.first.time
    for n in range(batch):
        row = order[start + n]
        if m.first.tokens:
            for t in range(time):
                token_block[t * batch + n] = tokens[row * time + t]
        else:
            for t in range(time):
                for i in range(m.first.inputs):
                    at = (row * time + t) * m.first.inputs
                    x_block[(t * batch + n) * m.first.inputs + i] = x[at + i]
        for t in range(steps):
            for k in range(width):
                at = (row * steps + t) * width
                target_block[(t * batch + n) * width + k] = targets[at + k]


def train_batches(
    losses, params, grads, slots, h, memory, saved, d_h, carry, work, sums, x_block, token_block,
    target_block, x, tokens, targets, order, starts, hypers, offsets, width, last, norm_limit,
    head, m,
):  # fmt: skip
    """Train ``starts.size`` steps, step s on the sequences ``order[starts[s]]`` and those after it.

    The number of steps done is returned: fewer if a gradient is not finite, and then all is as it
    was before that step. `head` is `m`, with one step instead of T where the `last` state alone is
    read.
    """
    scan = m.first.scan
    step_size = scan.batch * scan.hidden
    of_all = m.first.time * step_size
    top = m.layers - 1
    rows = head.first.time * scan.batch
    # States that the head reads, and where their gradients go.
    top_end = (top + 1) * (of_all + step_size)
    d_start = (top % 2) * of_all
    denormals = flush_denormals()
    done = 0
    for step in range(starts.size):
        load_batch(x_block, token_block, target_block, x, tokens, targets, order, starts[step],
                   width, head, m)  # fmt: skip
        reset_states(h, memory, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            forward_layer(
                layer, params, offsets, h, memory, saved, work, x_block, token_block, True, ALONE, p
            )
        read = h[top_end - rows * scan.hidden : top_end]
        d_read = carry[:step_size] if last else d_h[d_start : d_start + of_all]
        fill_rows(carry, 0, carry.size, carry[:0], 1, carry.size)
        loss = run_head(params, grads, offsets, read, d_read, work, target_block, sums, True,
                        ALONE, head)  # fmt: skip
        for back in range(m.layers):
            layer = top - back
            p = m.first if layer == 0 else m.other
            mine, other = (layer % 2) * of_all, of_all - (layer % 2) * of_all
            d_output = d_h[:0] if last and layer == top else d_h[mine : mine + of_all]
            d_x = d_h[other : other + of_all] if layer > 0 else d_h[:0]
            backward_layer(
                layer, params, grads, offsets, d_output, d_x, carry, work, h, memory, saved,
                x_block, token_block, ALONE, p,
            )  # fmt: skip
            fill_rows(carry, 0, carry.size, carry[:0], 1, carry.size)
        losses[step] = loss / rows
        norm = gradient_norm(grads, params.size) if np.isfinite(norm_limit) else 0.0
        if not np.isfinite(losses[step]) or not np.isfinite(norm):
            break
        scale = norm_limit / norm if norm > norm_limit else 1.0
        g = hypers[step]
        update(params, grads, slots, 0, params.size,
               Hyper(scale, g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]))  # fmt: skip
        done += 1
    restore_denormals(denormals)
    return done
