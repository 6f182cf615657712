"""The language model: whole training steps and evaluation without returning to Python.

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
``sums`` (at least `PARTS`, and rows of logits), float64
    Losses of rows and squares of parts, which every thread of a team adds in one order.

A team runs a block together: its threads share each layer as `fastrnn.kernels.layer` says, rows of
logits, then words of the output's gradient, and parts of the parameters.
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
    sum_of_squares,
    tuple_at,
)
from fastrnn.kernels.team import Team, begin, finish, share, share_rows, wait
from fastrnn.optimizers import Hyper

#: The squares of a gradient are summed in at most so many parts, of at least so many numbers.
PARTS = 64
PART = 1 << 14

GATES = STATES = 1
OTHERS = SAVED = 0
pack_forward: Any = None
run_forward: Any = None
run_backward: Any = None
update: Any = None
set_zero: Any = None


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
    #: One for each thread of a team, so many elements apart.
    scratch: int
    scratch_size: int
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


def embed(x, params, offsets, tokens, team, m):
    """Look up a block's tokens in the embedding, if there is one."""
    if m.embedding:
        first, end = share(m.first.time * m.first.scan.batch, team)
        table = params[offsets[4 * m.layers + 2] :]
        gather(x, first * m.embedding, table, 1, m.embedding, tokens, first, end - first,
               m.embedding)  # fmt: skip


def embed_backward(grads, offsets, d_x, tokens, team, m):
    """The gradient of the embedding, unless it is frozen: that of each token's row, added up."""
    if d_x.size:
        start = offsets[4 * m.layers + 2]
        rows = m.first.time * m.first.scan.batch
        set_zero(grads[start : start + m.vocabulary * m.embedding], team)
        wait(team)
        first, end = share(m.embedding, team)
        scatter_add(grads[start + first :], 1, m.embedding, d_x, first, m.embedding,
                    tokens, 0, rows, end - first)  # fmt: skip


def forward_layer(layer, params, offsets, h, memory, saved, work, x, tokens, packs, team, p):
    """Run one layer forward over the times of its plan.

    The first one reads `tokens`, or the numbers `x`.
    """
    # The workspace is that of the layer before, too.
    wait(team)
    scan = p.scan
    step = scan.batch * scan.hidden
    size = (p.time + 1) * step
    rows = GATES * scan.hidden
    o = offsets[4 * layer : 4 * layer + 4]
    w_ih = params[o[0] : o[0] + rows * p.inputs]
    w_hh = params[o[1] : o[1] + rows * scan.hidden]
    if packs:
        b_ih, b_hh = params[o[2] : o[2] + rows], params[o[3] : o[3] + rows]
        pack_forward(work, w_ih, w_hh, b_ih, b_hh, True, team, p)
    of_layer = h[layer * size : (layer + 1) * size]
    below = h[(layer - 1) * size + step : layer * size] if layer > 0 else x
    memory_size = OTHERS * scan.ring * step
    saved_size = p.time * SAVED * step * scan.keep
    run_forward(
        of_layer, memory[layer * memory_size : (layer + 1) * memory_size],
        saved[layer * saved_size : (layer + 1) * saved_size], work, below, tokens, tokens[:0], w_ih,
        w_hh, params[:0], team, p,
    )  # fmt: skip


def run_head(params, grads, offsets, h_top, d_top, work, targets, sums, trains, team, m):
    """Sum of the losses of all rows; where it trains, also the head's gradients and `d_top`."""
    scan = m.first.scan
    hidden, vocabulary = scan.hidden, m.vocabulary
    o = offsets[4 * m.layers]
    o_bias = offsets[4 * m.layers + 1]
    bias = params[o_bias : o_bias + vocabulary]
    tile_rows, width = m.first.tile_rows, m.first.width
    total_rows = m.first.time * scan.batch
    scratch = m.scratch + team.member * m.scratch_size
    first_word, end_word = share_rows(vocabulary, team)
    words = end_word - first_word
    # The workspace is that of the layers, too.
    wait(team)
    pack(work, m.forward_panels, params, o, 1, hidden, hidden, vocabulary, width, team)
    if trains:
        pack(work, m.backward_panels, params, o, hidden, 1, vocabulary, hidden, width, team)
    loss = 0.0
    for row in range(0, total_rows, m.rows):
        rows = min(m.rows, total_rows - row)
        first, end = share_rows(rows, team)
        logits = m.logits + first * vocabulary
        of_h = (row + first) * hidden
        wait(team)
        fill_rows(work, logits, vocabulary, bias, end - first, vocabulary)
        product(work, logits, vocabulary, h_top, of_h, hidden, 1,
                work, m.forward_panels, end - first, hidden, vocabulary, True,
                work, scratch, tile_rows, width, scan.tile)  # fmt: skip
        for i in range(first, end):
            sums[i] = softmax_cross_entropy(
                work, m.logits + i * vocabulary, targets, row + i, 1, vocabulary, 1.0 / total_rows
            )
        if trains:
            product(d_top, of_h, hidden, work, logits, vocabulary, 1,
                    work, m.backward_panels, end - first, vocabulary, hidden, False,
                    work, scratch, tile_rows, width, scan.tile)  # fmt: skip
            pack(work, m.row_panels, h_top, row * hidden, hidden, 1, rows, hidden, width, team)
        wait(team)
        for i in range(rows):
            loss += sums[i]
        if trains:
            product(grads, o + first_word * hidden, hidden, work, m.logits + first_word,
                    1, vocabulary, work, m.row_panels, words, rows, hidden, row > 0,
                    work, scratch, tile_rows, width, scan.tile)  # fmt: skip
            column_sums(grads[o_bias + first_word : o_bias + end_word], work,
                        m.logits + first_word, vocabulary, rows, words, row > 0)  # fmt: skip
    return loss


def backward_layer(layer, params, grads, offsets, d_output, d_x, carry, work, h, memory, saved, x,
                   tokens, team, p):  # fmt: skip
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
        grads[:0], d_x, False, carry, False, work, d_output, of_layer,
        memory[layer * memory_size : (layer + 1) * memory_size],
        saved[layer * saved_size : (layer + 1) * saved_size], below, tokens, tokens[:0],
        params[ih:ih_end], params[hh:hh_end], params[:0], team, p,
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


def norm_together(grads, sums, team):
    """`gradient_norm`, of which each thread sums some parts."""
    parts = min(PARTS, 1 + grads.size // PART)
    first, end = share(parts, team)
    for i in range(first, end):
        start, stop = i * grads.size // parts, (i + 1) * grads.size // parts
        sums[i] = sum_of_squares(grads[start:stop], stop - start)
    wait(team)
    total = 0.0
    for i in range(parts):
        total += sums[i]
    return np.sqrt(total) if np.isfinite(total) else gradient_norm(grads, grads.size)


def train_steps(
    losses, norms, params, grads, slots, h, memory, saved, d_h, carry, work, x, d_x, tokens,
    targets, sums, hypers, offsets, data, length, counters, norm_limit, team_of, m,
):  # fmt: skip
    """Train ``losses.size`` steps, or fewer if a gradient is not finite.

    ``counters`` (2,) holds the steps done ever and the position in the streams; they change with
    the parameters, whatever becomes of the caller. Gradients that are not finite stay in `grads`,
    all else as it was before that step. `losses` and `norms` get the mean loss and the norm of the
    gradient of each step; a row of `hypers` holds a step's `Hyper`. `team_of` is the integers of a
    `Team`.
    """
    team = tuple_at(team_of, 0, Team)
    begin(team)
    first, end = share(grads.size, team)
    denormals = flush_denormals()
    for step in range(losses.size):
        if team.member == 0:
            if counters[1] + m.first.time + 1 > length:
                counters[1] = 0
                reset_states(h, memory, m)
            load_block(tokens, targets, data, length, counters[1], m)
        wait(team)
        embed(x, params, offsets, tokens, team, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            forward_layer(layer, params, offsets, h, memory, saved, work, x, tokens, True, team, p)
        top = m.layers - 1
        stride = m.first.scan.batch * m.first.scan.hidden
        half = m.first.time * stride
        top_start = (top * (m.first.time + 1) + 1) * stride
        d_top = d_h[(top % 2) * half : (top % 2 + 1) * half]
        loss = run_head(params, grads, offsets, h[top_start : top_start + half], d_top,
                        work, targets, sums, True, team, m)  # fmt: skip
        for back in range(m.layers):
            layer = top - back
            p = m.first if layer == 0 else m.other
            wait(team)
            set_zero(carry, team)
            # One half of `d_h` is read, the gradient of the input written to the other.
            mine, other = (layer % 2) * half, half - (layer % 2) * half
            d_below = d_h[other : other + half] if layer > 0 else d_x
            backward_layer(
                layer, params, grads, offsets, d_h[mine : mine + half], d_below, carry, work, h,
                memory, saved, x, tokens, team, p,
            )  # fmt: skip
        embed_backward(grads, offsets, d_x, tokens, team, m)
        wait(team)
        norm = norm_together(grads, sums, team)
        if team.member == 0:
            losses[step] = loss / (m.first.time * m.first.scan.batch)
            norms[step] = norm
        if not np.isfinite(norm):
            break
        scale = norm_limit / norm if norm > norm_limit else 1.0
        g = hypers[step]
        update(params, grads, slots, first, end,
               Hyper(scale, g[1], g[2], g[3], g[4], g[5], g[6], g[7], g[8]))  # fmt: skip
        if team.member == 0:
            carry_states(h, memory, m)
            counters[0] += 1
            counters[1] += m.first.time
    restore_denormals(denormals)
    finish(team)


def evaluate(
    total, params, h, memory, work, x, tokens, targets, sums, offsets, data, length, position,
    count, team_of, m,
):  # fmt: skip
    """Add the losses of `count` blocks from `position` on to ``total`` (1,).

    The states are carried over. `team_of` is the integers of a `Team`.
    """
    team = tuple_at(team_of, 0, Team)
    begin(team)
    stride = m.first.scan.batch * m.first.scan.hidden
    top_start = ((m.layers - 1) * (m.first.time + 1) + 1) * stride
    h_top = h[top_start : top_start + m.first.time * stride]
    for block in range(count):
        wait(team)
        if team.member == 0:
            if block:
                carry_states(h, memory, m)
            load_block(tokens, targets, data, length, position + block * m.first.time, m)
        wait(team)
        embed(x, params, offsets, tokens, team, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            forward_layer(layer, params, offsets, h, memory, params[:0], work, x, tokens, True,
                          team, p)  # fmt: skip
        loss = run_head(params, params[:0], offsets, h_top, params[:0], work, targets, sums, False,
                        team, m)  # fmt: skip
        if team.member == 0:
            total[0] += loss
    finish(team)
    if team.member == 0 and count:
        carry_states(h, memory, m)
