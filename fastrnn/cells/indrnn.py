"""The IndRNN, each of whose units is followed by itself alone.

Li et al., *Independently recurrent neural network (IndRNN)* (CVPR 2018).

h_t = relu(W_ih x_t + b_ih + u h_{t-1})

u is one number for each unit.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import where


def forward(a: Any, h: Any, u: Any) -> Any:
    """One step."""
    total = a + u * h
    return (where(total < 0, 0, total),), ()


def backward(h: Any, h_new: Any, dh: Any, u: Any) -> Any:
    """relu' = 1 above 0, and 0 elsewhere."""
    da = where(h_new > 0, dh, 0)
    return (da,), (da * u,), (da * h,)


INDRNN = Cell(
    "indrnn", ("a",), ("h",), forward, backward,
    h_carried=True, weights=("weight_u",), recurrent=False,
)  # fmt: skip
