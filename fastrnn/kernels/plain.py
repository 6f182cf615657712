"""The meaning of the kernels in NumPy, for ``NUMBA_DISABLE_JIT=1``.

The same arguments, the same results to rounding, slowly: the drivers above run unchanged, and the
cells' and optimisers' equations run on arrays, where a debugger can stop. A packed matrix is
simply the matrix, row by row.
"""

from __future__ import annotations

import ctypes
import typing
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from fastrnn.simd import functions

GATES = STATES = 1
LAST = 1
SAVED = APART = OTHERS = UNITS = SLOTS = EARLY = LATE = 0
H_CARRIED = RESTS_AT_ZERO = RAGGED = False
RECURRENT = True
step: Any = None
rule: Any = None
early: Any = None
early_back: Any = None
activation: Any = None
activation_back: Any = None


def matrix(a, offset, row_stride, column_stride, rows, columns):
    """The matrix in `a` from `offset` on, at these strides."""
    size = a.itemsize
    start = a[offset:] if rows and columns else a[:0]
    return as_strided(start, (rows, columns), (row_stride * size, column_stride * size))


def pack(panels, panel_offset, b, b_offset, k_stride, column_stride, k, columns, width, team):
    """See `fastrnn.kernels.panels.pack`."""
    packed = matrix(panels, panel_offset, columns, 1, k, columns)
    packed[...] = matrix(b, b_offset, k_stride, column_stride, k, columns)


def pack_steps(panels, panel_offset, b, b_offset, step_stride, row_stride, steps, rows, columns,
               width, team):  # fmt: skip
    """See `fastrnn.kernels.panels.pack_steps`."""
    for t in range(steps):
        source = matrix(b, b_offset + t * step_stride, row_stride, 1, rows, columns)
        matrix(panels, panel_offset + t * rows * columns, columns, 1, rows, columns)[...] = source


def clear_behind(panels, panel_offset, steps, rows, columns, width, lengths, now, team):
    """See `fastrnn.kernels.panels.clear_behind`."""
    every = matrix(panels, panel_offset, columns, 1, steps * rows, columns)
    behind = lengths[:rows] < now + np.arange(steps)[:, None]
    every[behind.ravel()] = 0


def pack_gates(panels, panel_offset, w, gates, k, units, width, panel_k, first_k, team):
    """See `fastrnn.kernels.panels.pack_gates`; here one matrix (k, units) for each gate.

    Without the JIT scans do not multiply x: panels have no other steps.
    """
    for gate in range(gates):
        place = panel_offset + gate * panel_stride(units, w.itemsize) // units * k if units else 0
        pack(panels, place, w, gate * units * k, 1, k, k, units, width, team)


def product(
    c, c_offset, c_stride, a, a_offset, a_row_stride, a_step, panels, panel_offset,
    rows, k, columns, add, scratch, scratch_offset, tile_rows, width, address,
):  # fmt: skip
    """See `fastrnn.kernels.product.product`."""
    left = matrix(a, a_offset, a_row_stride, a_step, rows, k)
    target = matrix(c, c_offset, c_stride, 1, rows, columns)
    # Where ragged sequences have ended input and results may be anything: products warn of nothing.
    with np.errstate(all="ignore"):
        result = left @ matrix(panels, panel_offset, columns, 1, k, columns)
        target[...] = target + result if add else result


def array_at(address, size, like):
    """See `fastrnn.simd.handles.array_at`."""
    memory = (ctypes.c_char * (size * like.itemsize)).from_address(address)
    return np.frombuffer(memory, like.dtype)


def tuple_at(array, offset, cls):
    """See `fastrnn.simd.handles.tuple_at`."""
    numbers = iter(array[offset:].tolist())

    def build(cls):
        hints = typing.get_type_hints(cls)
        return cls(*(next(numbers) if hints[f] is int else build(hints[f]) for f in cls._fields))

    return build(cls)


def product_unpacked(c, c_offset, c_stride, a, a_offset, a_stride, b, b_offset,
                     rows, k, columns, tile_rows, tile_columns, address):  # fmt: skip
    """See `fastrnn.kernels.product.product_unpacked`."""
    result = matrix(a, a_offset, a_stride, 1, rows, k) @ matrix(b, b_offset, 1, k, k, columns)
    matrix(c, c_offset, c_stride, 1, rows, columns)[...] = result


def copy(target, target_offset, source, source_offset, count):
    """See `fastrnn.kernels.product.copy`."""
    target[target_offset : target_offset + count] = source[source_offset : source_offset + count]


def flush_denormals():
    """See `fastrnn.simd.denormals`; NumPy takes denormals as they are."""
    return 0


def restore_denormals(before):
    """See `fastrnn.simd.denormals`."""


def fill_rows(c, c_offset, c_stride, row, rows, columns):
    """See `fastrnn.kernels.product.fill_rows`."""
    matrix(c, c_offset, c_stride, 1, rows, columns)[...] = row if row.size else 0


def is_zero(a, a_offset, a_stride, rows, columns):
    """See `fastrnn.kernels.product.is_zero`."""
    return not matrix(a, a_offset, a_stride, 1, rows, columns).any()


def column_sums(sums, a, a_offset, a_stride, rows, columns, add):
    """See `fastrnn.kernels.product.column_sums`."""
    result = matrix(a, a_offset, a_stride, 1, rows, columns).sum(axis=0)
    sums[:columns] = sums[:columns] + result if add else result


def _token_rows(weights, gate_stride, token_stride, columns):
    tokens = weights.size // columns
    return matrix(weights, 0, token_stride, gate_stride, tokens, columns)


def gather(c, c_offset, weights, gate_stride, token_stride, tokens, first, rows, columns):
    """See `fastrnn.kernels.tokens.gather`."""
    table = _token_rows(weights, gate_stride, token_stride, columns)
    matrix(c, c_offset, columns, 1, rows, columns)[...] = table[tokens[first : first + rows]]


def scatter_add(
    weights, gate_stride, token_stride, d, d_offset, d_stride, tokens, first, rows, columns
):
    """See `fastrnn.kernels.tokens.scatter_add`."""
    table = _token_rows(weights, gate_stride, token_stride, columns)
    np.add.at(table, tokens[first : first + rows], matrix(d, d_offset, d_stride, 1, rows, columns))


def sealed(seal, w_ih, w_hh, b_ih, b_hh, team):
    """See `fastrnn.kernels.seal.sealed`; packs whenever it is asked."""
    return False, 0


class _Slots:
    """The states of one direction as arrays: a slot of time gives a tuple of (N, H)."""

    def __init__(self, h, memory, s, others):
        slots = h.size // max(1, s.batch * s.stride)
        every = h[: slots * s.batch * s.stride].reshape(slots, s.batch, s.stride)
        self.h = every[:, :, s.column : s.column + s.hidden]
        self.memory = memory.reshape(others, s.ring, s.batch, s.hidden) if others else ()

    def __getitem__(self, slot):
        return (self.h[slot], *(m[slot % m.shape[0]] for m in self.memory))

    def __setitem__(self, slot, states):
        for place, state in zip(self[slot], states):
            place[...] = state


def scan_forward(h, memory, saved, scratch, scratch_offset, x_part, x_offset,
                 w_hh, units, panels, panel_offset, x_bias, r_bias,
                 rests, first, count, x, lengths, first_row, end_row, team, s):  # fmt: skip
    """See `fastrnn.kernels.scan.scan_forward`."""
    if not h.size:
        return
    hidden, summed = s.hidden, GATES - APART
    gate_panels = panel_stride(hidden, h.itemsize)
    if not RECURRENT:
        weights = []
    elif s.unpacked:
        weights = [matrix(w_hh, g * hidden * hidden, 1, hidden, hidden, hidden)
                   for g in range(GATES)]  # fmt: skip
    else:
        weights = [matrix(panels, panel_offset + g * gate_panels, hidden, 1, hidden, hidden)
                   for g in range(GATES)]  # fmt: skip
    inputs = x_part[x_offset : x_offset + count * s.batch * GATES * hidden]
    inputs = inputs.reshape(count, s.batch, GATES, hidden)
    states = _Slots(h, memory, s, OTHERS)
    for i, turn in enumerate(range(count) if s.direction > 0 else range(count - 1, -1, -1)):
        now = first + turn + 1
        old = states[now - s.direction]
        inside = inside_of(lengths, now, s.batch)
        parts = [np.where(inside, inputs[turn, :, g], 0) + b
                 for g, b in enumerate(x_bias.reshape(GATES, hidden))]  # fmt: skip
        between = ()
        if LATE:
            modulated, between = early_forward(parts, old, weights)
            parts, r = parts[EARLY:], [modulated @ w for w in weights[EARLY:]]
        elif rests and i == 0:
            r = [np.zeros_like(old[0]) for _ in weights]
        else:
            r = [old[0] @ w for w in weights]
        if APART:
            r = [part + b for part, b in zip(r, r_bias.reshape(GATES, hidden))]
        sums = [a + b for a, b in zip(parts[:summed], r)] if RECURRENT else parts
        apart = [*parts[summed:], *r[summed:]] if RECURRENT else []
        new, kept = step(*sums, *apart, *between, *old, *units.reshape(UNITS, hidden))
        held = (0, *old[1:]) if s.direction > 0 else old
        states[now] = [np.where(inside, a, b) for a, b in zip(new, held)]
        if s.keep and SAVED:
            keep = saved.reshape(-1, s.batch, SAVED, hidden)[now - 1]
            for c, value in enumerate(kept):
                keep[:, c] = np.where(inside, value, 0)


def scan_row(*arguments):
    """`fastrnn.kernels.row.scan_row`, for which `scan_forward` stands."""


def scan_backward(
    x_delta, r_delta, x_delta_offset, r_delta_offset, carry, scratch, scratch_offset,
    d_output, h, memory, saved, d_units, units, panels, panel_offset, first, count, begins,
    lengths, reach, first_row, end_row, team, s,
):  # fmt: skip
    """See `fastrnn.kernels.scan.scan_backward`."""
    if not h.size:
        return
    hidden = s.hidden
    if RECURRENT:
        weights = matrix(panels, panel_offset, hidden, 1, GATES * hidden, hidden)
    of_units = units.reshape(UNITS, hidden)
    x_slots, r_slots = (
        d[offset : offset + (count + 1) * reach * GATES * hidden].reshape(
            count + 1, reach, GATES, hidden
        )
        for d, offset in ((x_delta, x_delta_offset), (r_delta, r_delta_offset))
    )
    carries = carry.reshape(STATES, s.batch, hidden)[:, :reach]
    steps = lengths[:reach]
    outputs = d_output.reshape(-1, s.batch, s.stride)[:, :, s.column : s.column + hidden]
    states = _Slots(h, memory, s, OTHERS)
    for i, turn in enumerate(range(count - 1, -1, -1) if s.direction > 0 else range(count)):
        now = first + turn + 1
        here = turn + (s.direction < 0)
        starts = begins and i == 0
        inside = inside_of(steps, now, reach)
        begun = inside & starts
        if RAGGED and s.direction > 0:
            begun = begun | (steps == now)[:, None]
        dh = np.zeros_like(carries[0])
        if d_output.size:
            dh = np.where(inside, outputs[now - 1, :reach], 0)
        if RECURRENT and not starts:
            of_h = (EARLY if LATE else GATES) * hidden
            deltas = r_slots[here + s.direction].reshape(reach, -1)[:, :of_h]
            through = deltas @ weights[:of_h]
            dh = dh + np.where(begun, 0, through)
            if RAGGED and s.direction < 0:
                carries[0] += np.where((steps + 1 == now)[:, None], through, 0)
        dh = dh + np.where(begun | H_CARRIED, carries[0], 0)
        if RAGGED and not H_CARRIED:
            carries[0][...] = np.where(begun, 0, carries[0])
        kept = ()
        if SAVED:
            keep = saved.reshape(-1, s.batch, SAVED, hidden)[now - 1, :reach]
            kept = tuple(keep[:, c] for c in range(SAVED))
        old, new = ([a[:reach] for a in states[slot]] for slot in (now - s.direction, now))
        d_states = (dh, *carries[1:])
        deltas, d_old, *d_weights = step(*kept, *old, *new, *d_states, *of_units)
        for place, value in zip(d_units.reshape(UNITS, hidden), *d_weights):
            place += np.where(inside, value, 0).sum(axis=0)
        deltas = [np.where(inside, value, 0) for value in deltas]
        for gate in range(GATES):
            x_slots[here][:, gate] = deltas[gate]
        if APART:
            for gate in range(GATES):
                r_slots[here][:, gate] = deltas[gate if gate < GATES - APART else gate + APART]
        for place, value in zip(carries if H_CARRIED else carries[1:], d_old):
            place[...] = np.where(inside, value, place)
        if LATE:
            late = x_slots[here][:, EARLY:].reshape(reach, -1)
            d_modulated = late @ weights[EARLY * hidden :]
            late_backward(x_slots[here], carries[0], kept, old, d_modulated, inside)


def inside_of(lengths, now, batch):
    """Whether each sequence has a step `now`, (N, 1)."""
    return (lengths >= now if lengths.size else np.ones(batch, bool))[:, None]


def early_forward(x, states, weights):
    """The first stage of a cell with late gates: (modulated state, what is kept)."""
    return early(*(a + states[0] @ w for a, w in zip(x[:EARLY], weights)), *states)


def late_backward(deltas, d_h, kept, states, d_modulated, inside):
    """Backward through it: replaces the early gates' `deltas` (N, G, H), adds to `d_h`.

    Only of rows that are `inside` their sequences.
    """
    so_far = [deltas[:, gate] for gate in range(EARLY)]
    values, through = early_back(*kept, *states, d_modulated, *so_far)
    for gate, value in enumerate(values):
        deltas[:, gate] = np.where(inside, value, 0)
    d_h += np.where(inside, through, 0)


def panel_stride(hidden, itemsize):
    """Elements between two gates' panels: whole vectors, as the compiled kernels have it."""
    from fastrnn.simd.cpu import VECTOR_BYTES

    lanes = VECTOR_BYTES // itemsize
    return hidden * lanes * -(-hidden // lanes)


def softmax_cross_entropy(logits, offset, targets, first, rows, columns, scale):
    """See `fastrnn.kernels.loss.softmax_cross_entropy`."""
    block = matrix(logits, offset, columns, 1, rows, columns)
    scales = np.full(rows, scale, block.dtype)
    losses = softmax_losses(block, targets[first : first + rows], scales)
    return float(losses.sum(dtype=np.float64))


def softmax_losses(block, targets, scales):
    """Cross-entropies (rows,) of logits (rows, columns), which their scaled gradients replace."""
    chosen = (np.arange(len(block)), targets)
    shifted = block - block.max(axis=1, keepdims=True) if len(block) else block
    grown = np.exp(shifted)
    mass = grown.sum(axis=1)
    losses = np.log(mass) - shifted[chosen]
    block[...] = grown * (scales / mass)[:, None]
    block[chosen] -= scales
    return losses


def sigmoid_cross_entropy(logits, offset, targets, first, rows, columns, scale):
    """See `fastrnn.kernels.loss.sigmoid_cross_entropy`."""
    block = matrix(logits, offset, columns, 1, rows, columns)
    wanted = matrix(targets, first * columns, columns, 1, rows, columns)
    losses = np.maximum(block, 0) - block * wanted + np.log1p(np.exp(-np.abs(block)))
    block[...] = (functions.sigmoid(block) - wanted) * (scale / columns)
    return float(losses.sum(dtype=np.float64)) / columns


def squared_error(outputs, offset, targets, first, rows, columns, scale):
    """See `fastrnn.kernels.loss.squared_error`."""
    block = matrix(outputs, offset, columns, 1, rows, columns)
    y = activation(block)
    error = y - matrix(targets, first * columns, columns, 1, rows, columns)
    block[...] = activation_back(error, y) * (2 * scale / columns)
    return float(np.square(error, dtype=np.float64).sum()) / columns


def sum_of_squares(a, size):
    """See `fastrnn.kernels.update.sum_of_squares`."""
    return float(np.square(a[:size], dtype=np.float64).sum())


def gradient_norm(a, size):
    """See `fastrnn.kernels.update.gradient_norm`."""
    largest = float(np.abs(a[:size]).max(initial=0))
    if not np.isfinite(largest) or largest == 0:
        return largest
    return largest * float(np.sqrt(sum_of_squares(a / largest, size)))


def update(params, grads, slots, first, end, h):
    """See `fastrnn.kernels.update.update`."""
    g = np.clip(grads[first:end] * params.dtype.type(h.scale), -h.limit, h.limit)
    state = slots.reshape(SLOTS, -1)[:, first:end] if SLOTS else ()
    params[first:end], state_new = rule(h, g, params[first:end], *state)
    for place, value in zip(state, state_new):
        place[...] = value
