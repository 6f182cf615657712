"""Integer tokens: rows of the input weights gathered, their gradients added where they came from.

A token stands for a row of the one-hot matrix that nobody builds: its product with the weights is
a column of ``weight_ih``.
"""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.simd.memory import load, store
from fastrnn.simd.vector import lanes_of


@kernel
def gather(c, c_offset, weights, gate_stride, token_stride, tokens, first, rows, columns):
    """Row i of C (rows, columns)  =  the weights of token ``tokens[first + i]``."""
    lanes = lanes_of(c)
    for i in range(rows):
        source = tokens[first + i] * token_stride
        target = c_offset + i * columns
        if gate_stride == 1:
            for j in range(0, columns, lanes):
                left = columns - j
                store(c, target + j, left, load(weights, source + j, left))
        else:
            for j in range(columns):
                c[target + j] = weights[source + j * gate_stride]


@kernel
def scatter_add(
    weights, gate_stride, token_stride, d, d_offset, d_stride, tokens, first, rows, columns
):
    """Add row i of D (rows, columns) to the weights of token ``tokens[first + i]``."""
    lanes = lanes_of(d)
    for i in range(rows):
        target = tokens[first + i] * token_stride
        source = d_offset + i * d_stride
        if gate_stride == 1:
            for j in range(0, columns, lanes):
                left = columns - j
                value = load(weights, target + j, left) + load(d, source + j, left)
                store(weights, target + j, left, value)
        else:
            for j in range(columns):
                weights[target + j * gate_stride] += d[source + j]
