"""The LSTM with coupled gates, which forgets as much as it takes in.

CIFG of Greff et al., *LSTM: a search space odyssey* (IEEE Transactions on Neural Networks and
Learning Systems, 2017).

i, o = sigmoid(a_i), sigmoid(a_o)      g = tanh(a_g)
c_t = (1 - i) c_{t-1} + i g            h_t = o tanh(c_t)

with ``a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, the gates in the order i, g, o.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import sigmoid, tanh


def forward(a_i: Any, a_g: Any, a_o: Any, h: Any, c: Any) -> Any:
    """One step."""
    i, g, o = sigmoid(a_i), tanh(a_g), sigmoid(a_o)
    c_new = c + i * (g - c)
    bent = tanh(c_new)
    return (o * bent, c_new), (i, g, o, bent)


def backward(
    i: Any, g: Any, o: Any, bent: Any,
    h: Any, c: Any, h_new: Any, c_new: Any, dh: Any, dc: Any,
) -> Any:  # fmt: skip
    """As in an LSTM whose f is 1 - i."""
    dc = dc + dh * o * (1 - bent * bent)
    d_gates = (dc * (g - c) * i * (1 - i), dc * i * (1 - g * g), dh * bent * o * (1 - o))
    return d_gates, (dc * (1 - i),)


COUPLED_LSTM = Cell(
    "coupled_lstm", ("i", "g", "o"), ("h", "c"), forward, backward, saved=("i", "g", "o", "bent")
)
