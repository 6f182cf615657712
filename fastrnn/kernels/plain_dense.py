"""The meaning of the kernels for single sequences and dense layers in NumPy; see `plain`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.kernels.plain import matrix, panel_stride, softmax_losses
from fastrnn.simd import functions

step_forward: Any = None
step_backward: Any = None


def matvec(c, c_offset, w, w_offset, x, x_offset, rows, k, add, descending):
    """See `fastrnn.kernels.matvec.matvec`."""
    result = matrix(w, w_offset, k, 1, rows, k) @ x[x_offset : x_offset + k]
    c[c_offset : c_offset + rows] = c[c_offset : c_offset + rows] + result if add else result


def vecmat(c, c_offset, w, w_offset, d, d_offset, rows, columns, descending):
    """See `fastrnn.kernels.matvec.vecmat`."""
    result = d[d_offset : d_offset + rows] @ matrix(w, w_offset, columns, 1, rows, columns)
    c[c_offset : c_offset + columns] = result


def descend(w, w_offset, d, d_offset, d_stride, x, x_offset, x_stride,
            count, rows, columns, rate, limit, descending):  # fmt: skip
    """See `fastrnn.kernels.matvec.descend`."""
    deltas = matrix(d, d_offset, d_stride, 1, count, rows)
    gradient = deltas.T @ matrix(x, x_offset, x_stride, 1, count, columns)
    matrix(w, w_offset, columns, 1, rows, columns)[...] -= rate * np.clip(gradient, -limit, limit)


def descend_row(w, w_offset, g, g_offset, columns, rate, limit):
    """See `fastrnn.kernels.matvec.descend_row`."""
    row = g[g_offset : g_offset + columns]
    w[w_offset : w_offset + columns] -= rate * np.clip(row, -limit, limit)
    row[...] = 0


def add_row(c, c_offset, weight, row, r_offset, columns):
    """See `fastrnn.kernels.matvec.add_row`."""
    c[c_offset : c_offset + columns] += weight * row[r_offset : r_offset + columns]


def advance(h, now, before, w, w_offset, bias, x, places, values, first, end, units,
            starts, descending):  # fmt: skip
    """See `fastrnn.kernels.matvec.advance`."""
    old = h[before : before + units]
    z = w[bias : bias + units]
    for place, value in zip(places[first:end].tolist(), values[first:end]):
        z = z + value * w[x + place * units : x + (place + 1) * units]
    if not starts:
        z = z + matrix(w, w_offset, units, 1, units, units) @ old
    (h[now : now + units],), _ = step_forward(z, old)


def retreat(delta, d_offset, d_h, dh_offset, h, now, before, bias, x, places, values, first, end,
            units):  # fmt: skip
    """See `fastrnn.kernels.matvec.retreat`."""
    states = h[before : before + units], h[now : now + units]
    (result,), _ = step_backward(*states, d_h[dh_offset : dh_offset + units])
    delta[d_offset : d_offset + units] = result
    delta[bias : bias + units] += result
    for place, value in zip(places[first:end].tolist(), values[first:end]):
        delta[x + place * units : x + (place + 1) * units] += value * result


def retreat_rows(delta, d_offset, d_h, dh_offset, e, e_offset, adds, h, now, before, count):
    """See `fastrnn.kernels.matvec.retreat_rows`."""
    states = h[before : before + count], h[now : now + count]
    d = d_h[dh_offset : dh_offset + count]
    d = d + e[e_offset : e_offset + count] if adds else d
    (result,), _ = step_backward(*states, d)
    delta[d_offset : d_offset + count] = result


def subtract_one_hot(d, d_offset, y, wanted, rows, columns):
    """See `fastrnn.kernels.loss.subtract_one_hot`."""
    block = matrix(wanted, 0, columns, 1, rows, columns)
    wrong = np.flatnonzero((np.abs(block).sum(axis=1) != 1) | (block.max(axis=1) != 1))
    if wrong.size:
        return int(wrong[0])
    d[d_offset : d_offset + rows * columns] = y[: rows * columns] - block.reshape(-1)
    return -1


def softmax_rows(logits, offset, rows, columns):
    """See `fastrnn.kernels.loss.softmax_rows`."""
    block = matrix(logits, offset, columns, 1, rows, columns)
    grown = np.exp(block - block.max(axis=1, keepdims=True))
    block[...] = grown / grown.sum(axis=1, keepdims=True)


def activate(c, offset, count, kind):
    """See `fastrnn.kernels.dense.activate`."""
    block = c[offset : offset + count]
    block[...] = (np.maximum(block, 0), functions.sigmoid(block), np.tanh(block))[kind]


def slope(d, d_offset, c, offset, count, kind):
    """See `fastrnn.kernels.dense.slope`."""
    value = c[offset : offset + count]
    d[d_offset : d_offset + count] *= (value > 0, value * (1 - value), 1 - value * value)[kind]


def add_dots(sums, s_offset, a, a_offset, b, b_offset, rows, columns, wide, adds):
    """See `fastrnn.kernels.dense.add_dots`; here the first number of each vector is the sum."""
    lanes = panel_stride(1, a.itemsize)
    left, right = (
        matrix(a, a_offset, wide, 1, rows, wide),
        matrix(b, b_offset, wide, 1, columns, wide),
    )
    place = matrix(sums, s_offset, columns * lanes, lanes, rows, columns)
    place[...] = place + left @ right.T if adds else left @ right.T


def fold_dots(c, c_offset, row_stride, column_stride, sums, s_offset, rows, columns):
    """See `fastrnn.kernels.dense.fold_dots`."""
    lanes = panel_stride(1, c.itemsize)
    place = matrix(c, c_offset, row_stride, column_stride, rows, columns)
    place[...] = matrix(sums, s_offset, columns * lanes, lanes, rows, columns)


def softmax_columns(d, d_offset, z, offset, weights, w_offset, targets, order, first, count, wide,
                    rows, scale, wants):  # fmt: skip
    """See `fastrnn.kernels.dense.softmax_columns`."""
    place = matrix(d, d_offset, wide, 1, rows, wide)
    logits = np.ascontiguousarray(matrix(z, offset, wide, 1, rows, wide)[:, :count].T)
    weight = weights[w_offset : w_offset + count]
    losses = softmax_losses(logits, targets[order[first : first + count]], weight * scale)
    place[:, :count], place[:, count:] = logits.T, 0
    return float((weight * losses).sum(dtype=np.float64)) if wants else 0.0


def decay(grads, params, offset, rows, columns, stride, rate):
    """See `fastrnn.kernels.dense.decay`."""
    g, w = (matrix(a, offset, stride, 1, rows, columns) for a in (grads, params))
    size, square = float(np.abs(g).sum()), float(np.square(w).sum())
    g += rate * w
    return size, square
