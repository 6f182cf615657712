"""The language model: whole training steps, evaluation and sampling without returning to Python.

Tokens are gathered, layers run forward, a softmax over the vocabulary gives the loss and its
gradient, BPTT and the optimiser follow; then the next step, the states carried over.

Flat arrays, with V tokens in the vocabulary, L layers and the names of `fastrnn.kernels.scan`:

``h`` (L, T + 1, N, H), ``memory`` (L, S - 1, T + 1, N, H), ``saved`` (L, T, N, number saved, H)
    States of all layers; slot 0 holds the states carried over.
``offsets`` (L + 1, 4)
    Where each layer's weight_ih, weight_hh, bias_ih and bias_hh begin in ``params``, and last
    those of weight_out (V, H), bias_out (V) and, if there is one, the embedding (V, E).
``x``, ``d_x`` (T, N, E)
    The tokens' rows of the embedding, which the first layer reads, and their gradients; empty
    without an embedding, and `d_x` where it is frozen, which is the end of ``params`` beyond that
    of ``grads``.
``data`` (N, length)
    The text as N parallel streams.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn.kernels.layer import Layer
from fastrnn.kernels.primitives import (
    column_sums,
    copy,
    fill_rows,
    flush_denormals,
    gather,
    gradient_norm,
    pack,
    product,
    restore_denormals,
    scatter_add,
    softmax_cross_entropy,
)
from fastrnn.kernels.team import ALONE
from fastrnn.optimizers import Hyper

GATES = STATES = 1
OTHERS = SAVED = 0
pack_forward: Any = None
run_forward: Any = None
run_backward: Any = None
update: Any = None


class Model(NamedTuple):
    """Sizes and workspace of a language model; `fastrnn.training` makes it."""

    #: The first layer reads tokens, or rows of an embedding, the others read states.
    first: Layer
    other: Layer
    layers: int
    vocabulary: int
    #: Rows of logits that exist at one time.
    rows: int
    #: Where the parts of the head's workspace begin.
    logits: int
    forward_panels: int
    backward_panels: int
    row_panels: int
    scratch: int
    #: Numbers of a row of the embedding, 0 without one.
    embedding: int = 0


def load_block(tokens, targets, data, length, position, m):
    """Copy the streams' next tokens and the ones that follow them, time by time."""
    batch = m.first.scan.batch
    for t in range(m.first.time):
        for n in range(batch):
            at = n * length + position + t
            tokens[t * batch + n] = data[at]
            targets[t * batch + n] = data[at + 1]


def embed(x, params, offsets, tokens, m):
    """Look up a block's tokens in the embedding, if there is one."""
    if m.embedding:
        rows = m.first.time * m.first.scan.batch
        table = params[offsets[4 * m.layers + 2] :]
        gather(x, 0, table, 1, m.embedding, tokens, 0, rows, m.embedding)


def embed_backward(grads, offsets, d_x, tokens, m):
    """The gradient of the embedding, unless it is frozen: that of each token's row, added up."""
    if d_x.size:
        size = m.vocabulary * m.embedding
        start = offsets[4 * m.layers + 2]
        rows = m.first.time * m.first.scan.batch
        fill_rows(grads, start, size, grads[:0], 1, size)
        scatter_add(
            grads[start:], 1, m.embedding, d_x, 0, m.embedding, tokens, 0, rows, m.embedding
        )


def forward_layer(layer, params, offsets, h, memory, saved, work, x, tokens, p, packs):
    """Run one layer forward over the times of its plan.

    The first one reads `tokens`, or the numbers `x`.
    """
    scan = p.scan
    step = scan.batch * scan.hidden
    size = (p.time + 1) * step
    rows = GATES * scan.hidden
    o = offsets[4 * layer : 4 * layer + 4]
    w_ih = params[o[0] : o[0] + rows * p.inputs]
    w_hh = params[o[1] : o[1] + rows * scan.hidden]
    if packs:
        b_ih, b_hh = params[o[2] : o[2] + rows], params[o[3] : o[3] + rows]
        pack_forward(work, w_ih, w_hh, b_ih, b_hh, ALONE, p)
    of_layer = h[layer * size : (layer + 1) * size]
    below = h[(layer - 1) * size + step : layer * size] if layer > 0 else x
    memory_size = OTHERS * scan.ring * step
    saved_size = p.time * SAVED * step * scan.keep
    run_forward(
        of_layer, memory[layer * memory_size : (layer + 1) * memory_size],
        saved[layer * saved_size : (layer + 1) * saved_size], work, below, tokens, w_ih, w_hh,
        params[:0], ALONE, p,
    )  # fmt: skip


def run_head(params, grads, offsets, h_top, d_top, work, targets, trains, m):
    """Sum of the losses of all rows; where it trains, also the head's gradients and `d_top`."""
    scan = m.first.scan
    hidden, vocabulary = scan.hidden, m.vocabulary
    o = offsets[4 * m.layers]
    o_bias = offsets[4 * m.layers + 1]
    bias = params[o_bias : o_bias + vocabulary]
    tile_rows, width = m.first.tile_rows, m.first.width
    total_rows = m.first.time * scan.batch
    pack(work, m.forward_panels, params, o, 1, hidden, hidden, vocabulary, width, ALONE)
    if trains:
        pack(work, m.backward_panels, params, o, hidden, 1, vocabulary, hidden, width, ALONE)
    loss = 0.0
    for row in range(0, total_rows, m.rows):
        rows = min(m.rows, total_rows - row)
        fill_rows(work, m.logits, vocabulary, bias, rows, vocabulary)
        product(work, m.logits, vocabulary, h_top, row * hidden, hidden, 1,
                work, m.forward_panels, rows, hidden, vocabulary, True,
                work, m.scratch, tile_rows, width, scan.tile)  # fmt: skip
        loss += softmax_cross_entropy(
            work, m.logits, targets, row, rows, vocabulary, 1.0 / total_rows
        )
        if trains:
            product(d_top, row * hidden, hidden, work, m.logits, vocabulary, 1,
                    work, m.backward_panels, rows, vocabulary, hidden, False,
                    work, m.scratch, tile_rows, width, scan.tile)  # fmt: skip
            pack(work, m.row_panels, h_top, row * hidden, hidden, 1, rows, hidden, width, ALONE)
            product(grads, o, hidden, work, m.logits, 1, vocabulary,
                    work, m.row_panels, vocabulary, rows, hidden, row > 0,
                    work, m.scratch, tile_rows, width, scan.tile)  # fmt: skip
            column_sums(grads[o_bias : o_bias + vocabulary], work, m.logits, vocabulary,
                        rows, vocabulary, row > 0)  # fmt: skip
    return loss


def backward_layer(layer, params, grads, offsets, d_output, d_x, carry, work, h, memory, saved, x,
                   tokens, p):  # fmt: skip
    """BPTT of one layer; `d_output` may be empty for zeros, and `d_x` where it is not wanted."""
    scan = p.scan
    step = scan.batch * scan.hidden
    size = (p.time + 1) * step
    rows = GATES * scan.hidden
    ih, hh, b_ih, b_hh = (
        offsets[4 * layer],
        offsets[4 * layer + 1],
        offsets[4 * layer + 2],
        offsets[4 * layer + 3],
    )
    ih_end, hh_end = ih + rows * p.inputs, hh + rows * scan.hidden
    of_layer = h[layer * size : (layer + 1) * size]
    below = h[(layer - 1) * size + step : layer * size] if layer > 0 else x
    memory_size = OTHERS * scan.ring * step
    saved_size = p.time * SAVED * step
    run_backward(
        grads[ih:ih_end], grads[hh:hh_end], grads[b_ih : b_ih + rows], grads[b_hh : b_hh + rows],
        grads[:0], d_x, False, carry, work, d_output, of_layer,
        memory[layer * memory_size : (layer + 1) * memory_size],
        saved[layer * saved_size : (layer + 1) * saved_size], below, tokens,
        params[ih:ih_end], params[hh:hh_end], params[:0], ALONE, p,
    )  # fmt: skip


def carry_states(h, memory, m):
    """Make the last states the first ones of the next block."""
    scan = m.first.scan
    step = scan.batch * scan.hidden
    slots = m.first.time + 1
    for layer in range(m.layers):
        start = layer * slots * step
        copy(h, start, h, start + (slots - 1) * step, step)
    ring = scan.ring
    for part in range(m.layers * OTHERS):
        start = part * ring * step
        copy(memory, start, memory, start + (slots - 1) % ring * step, step)


def reset_states(h, memory, m):
    """Begin anew from states of zero."""
    scan = m.first.scan
    step = scan.batch * scan.hidden
    slots = m.first.time + 1
    for layer in range(m.layers):
        fill_rows(h, layer * slots * step, step, h[:0], 1, step)
    for part in range(m.layers * OTHERS):
        fill_rows(memory, part * scan.ring * step, step, h[:0], 1, step)


def train_steps(
    losses, norms, params, grads, slots, h, memory, saved, d_h, carry, work, x, d_x, tokens,
    targets, hypers, offsets, data, length, counters, norm_limit, m,
):  # fmt: skip
    """Train ``losses.size`` steps, or fewer if a gradient is not finite; the number of steps done.

    ``counters`` (2,) holds the steps done ever and the position in the streams; they change with
    the parameters, whatever becomes of the caller. Gradients that are not finite stay in `grads`,
    all else as it was before that step. `losses` and `norms` get the mean loss and the norm of the
    gradient of each step; a row of `hypers` holds a step's `Hyper`.
    """
    size = grads.size
    denormals = flush_denormals()
    done = 0
    for step in range(losses.size):
        if counters[1] + m.first.time + 1 > length:
            counters[1] = 0
            reset_states(h, memory, m)
        load_block(tokens, targets, data, length, counters[1], m)
        embed(x, params, offsets, tokens, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            forward_layer(layer, params, offsets, h, memory, saved, work, x, tokens, p, True)
        top = m.layers - 1
        stride = m.first.scan.batch * m.first.scan.hidden
        half = m.first.time * stride
        top_start = (top * (m.first.time + 1) + 1) * stride
        d_top = d_h[(top % 2) * half : (top % 2 + 1) * half]
        loss = run_head(params, grads, offsets, h[top_start : top_start + half], d_top,
                        work, targets, True, m)  # fmt: skip
        for back in range(m.layers):
            layer = top - back
            p = m.first if layer == 0 else m.other
            fill_rows(carry, 0, carry.size, carry[:0], 1, carry.size)
            # One half of `d_h` is read, the gradient of the input written to the other.
            mine, other = (layer % 2) * half, half - (layer % 2) * half
            d_below = d_h[other : other + half] if layer > 0 else d_x
            backward_layer(
                layer, params, grads, offsets, d_h[mine : mine + half], d_below, carry, work, h,
                memory, saved, x, tokens, p,
            )  # fmt: skip
        embed_backward(grads, offsets, d_x, tokens, m)
        norm = gradient_norm(grads, size)
        losses[step] = loss / (m.first.time * m.first.scan.batch)
        norms[step] = norm
        if not np.isfinite(norm):
            break
        scale = norm_limit / norm if norm > norm_limit else 1.0
        g = hypers[step]
        update(params, grads, slots, size,
               Hyper(scale, g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]))  # fmt: skip
        carry_states(h, memory, m)
        counters[0] += 1
        counters[1] += m.first.time
        done += 1
    restore_denormals(denormals)
    return done


def evaluate(
    params, h, memory, work, x, tokens, targets, offsets, data, length, position, count, m
):
    """Sum of the losses of `count` blocks from `position` on, the states carried over."""
    total = 0.0
    stride = m.first.scan.batch * m.first.scan.hidden
    top_start = ((m.layers - 1) * (m.first.time + 1) + 1) * stride
    h_top = h[top_start : top_start + m.first.time * stride]
    for block in range(count):
        load_block(tokens, targets, data, length, position + block * m.first.time, m)
        embed(x, params, offsets, tokens, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            forward_layer(layer, params, offsets, h, memory, params[:0], work, x, tokens, p, True)
        total += run_head(params, params[:0], offsets, h_top, params[:0], work, targets, False, m)
        carry_states(h, memory, m)
    return total


def generate(
    out, params, h, memory, work, work_size, x, token, given, uniforms, offsets, temperature,
    fresh, m,
):  # fmt: skip
    """Read the tokens `given`, then draw ``out.size`` tokens, each read in its turn.

    ``work`` (L + 1, work_size) keeps every layer's packed weights; they are packed where `fresh`.
    ``token`` (1,) is for the one that is being read.
    The last token of `given` is the first that is predicted from. A temperature of 0 takes the
    likeliest token.
    """
    hidden, vocabulary = m.first.scan.hidden, m.vocabulary
    o, o_bias = offsets[4 * m.layers], offsets[4 * m.layers + 1]
    bias = params[o_bias : o_bias + vocabulary]
    head = work[m.layers * work_size :]
    if fresh:
        pack(head, m.forward_panels, params, o, 1, hidden, hidden, vocabulary, m.first.width,
             ALONE)  # fmt: skip
    for step in range(given.size + out.size - 1):
        token[0] = given[step] if step < given.size else out[step - given.size]
        embed(x, params, offsets, token, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            part = work[layer * work_size : (layer + 1) * work_size]
            forward_layer(layer, params, offsets, h, memory, params[:0], part, x, token, p,
                          fresh and step == 0)  # fmt: skip
        carry_states(h, memory, m)
        drawn = step - given.size + 1
        if drawn >= 0:
            last = (2 * m.layers - 1) * hidden
            fill_rows(head, m.logits, vocabulary, bias, 1, vocabulary)
            product(head, m.logits, vocabulary, h, last, hidden, 1, head, m.forward_panels,
                    1, hidden, vocabulary, True, head, m.scratch, m.first.tile_rows,
                    m.first.width, m.first.scan.tile)  # fmt: skip
            out[drawn] = draw(head[m.logits : m.logits + vocabulary], temperature, uniforms[drawn])


def draw(logits, temperature, uniform):
    """A token from softmax(logits / temperature), by inversion of its distribution."""
    best = 0
    for i in range(logits.size):
        if logits[i] > logits[best]:
            best = i
    if temperature == 0:
        return best
    top = logits[best]
    mass = 0.0
    for i in range(logits.size):
        mass += np.exp((np.float64(logits[i]) - top) / temperature)
    left = uniform * mass
    for i in range(logits.size):
        left -= np.exp((np.float64(logits[i]) - top) / temperature)
        if left < 0:
            return i
    return best
