"""The vanilla RNN of Elman (*Finding structure in time*, 1990).

h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh),   f = tanh or relu
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import tanh, where


def tanh_forward(a: Any, h: Any) -> Any:
    """One step: h' = tanh(a)."""
    return (tanh(a),), ()


def tanh_backward(h: Any, h_new: Any, dh_new: Any) -> Any:
    """tanh' = 1 - tanh^2."""
    return (dh_new * (1 - h_new * h_new),), ()


def relu_forward(a: Any, h: Any) -> Any:
    """One step: h' = max(a, 0), NaN where `a` is NaN."""
    return (where(a < 0, 0, a),), ()


def relu_backward(h: Any, h_new: Any, dh_new: Any) -> Any:
    """relu' = 1 above 0, and 0 elsewhere."""
    return (where(h_new > 0, dh_new, 0),), ()


RNN_TANH = Cell("rnn_tanh", ("a",), ("h",), tanh_forward, tanh_backward)
RNN_RELU = Cell("rnn_relu", ("a",), ("h",), relu_forward, relu_backward)
