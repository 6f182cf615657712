"""The LSTM of Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000).

i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)      g = tanh(a_g)
c_t = f c_{t-1} + i g                                   h_t = o tanh(c_t)

with ``a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, the gates in the order i, f, g, o.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import sigmoid, tanh


def forward(a_i: Any, a_f: Any, a_g: Any, a_o: Any, h: Any, c: Any) -> Any:
    """One step."""
    i, f, g, o = sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)
    c_new = f * c + i * g
    bent = tanh(c_new)
    return (o * bent, c_new), (i, f, g, o, bent)


def backward(
    i: Any, f: Any, g: Any, o: Any, bent: Any,
    h: Any, c: Any, h_new: Any, c_new: Any, dh: Any, dc: Any,
) -> Any:  # fmt: skip
    """sigmoid' = s (1 - s), tanh' = 1 - t^2; c carries its own gradient."""
    dc = dc + dh * o * (1 - bent * bent)
    d_gates = (
        dc * g * i * (1 - i),
        dc * c * f * (1 - f),
        dc * i * (1 - g * g),
        dh * bent * o * (1 - o),
    )
    return d_gates, (dc * f,)


LSTM = Cell(
    "lstm", ("i", "f", "g", "o"), ("h", "c"), forward, backward, saved=("i", "f", "g", "o", "bent")
)
