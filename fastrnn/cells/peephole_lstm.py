"""The LSTM with peepholes, whose gates see the memory.

Gers and Schmidhuber, *Recurrent nets that time and count* (IJCNN 2000).

i, f = sigmoid(a_i + w_ci c_{t-1}), sigmoid(a_f + w_cf c_{t-1})      g = tanh(a_g)
c_t = f c_{t-1} + i g
o = sigmoid(a_o + w_co c_t)                                          h_t = o tanh(c_t)

The peepholes w_ci, w_cf and w_co are one number for each unit. tanh and not the identity in h_t, as
in Greff et al. (2017).
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import sigmoid, tanh


def forward(
    a_i: Any, a_f: Any, a_g: Any, a_o: Any, h: Any, c: Any, w_ci: Any, w_cf: Any, w_co: Any
) -> Any:
    """One step."""
    i, f, g = sigmoid(a_i + w_ci * c), sigmoid(a_f + w_cf * c), tanh(a_g)
    c_new = f * c + i * g
    o = sigmoid(a_o + w_co * c_new)
    bent = tanh(c_new)
    return (o * bent, c_new), (i, f, g, o, bent)


def backward(
    i: Any, f: Any, g: Any, o: Any, bent: Any,
    h: Any, c: Any, h_new: Any, c_new: Any, dh: Any, dc: Any, w_ci: Any, w_cf: Any, w_co: Any,
) -> Any:  # fmt: skip
    """As in an LSTM; each peephole passes on the gradient of its gate."""
    d_o = dh * bent * o * (1 - o)
    dc = dc + dh * o * (1 - bent * bent) + d_o * w_co
    d_i = dc * g * i * (1 - i)
    d_f = dc * c * f * (1 - f)
    d_gates = (d_i, d_f, dc * i * (1 - g * g), d_o)
    return d_gates, (dc * f + d_i * w_ci + d_f * w_cf,), (d_i * c, d_f * c, d_o * c_new)


PEEPHOLE_LSTM = Cell(
    "peephole_lstm", ("i", "f", "g", "o"), ("h", "c"), forward, backward,
    saved=("i", "f", "g", "o", "bent"), weights=("weight_ci", "weight_cf", "weight_co"),
)  # fmt: skip
