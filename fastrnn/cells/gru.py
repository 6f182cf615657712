"""The GRU of Cho et al. (2014), its reset gate applied after the product, as cuDNN and PyTorch do.

r, z = sigmoid(a_r), sigmoid(a_z)      n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))
h_t = (1 - z) n + z h_{t-1}
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import sigmoid, tanh


def forward(a_r: Any, a_z: Any, n_x: Any, n_h: Any, h: Any) -> Any:
    """One step; `n_x` and `n_h` are the candidate's input part and recurrent part."""
    r, z = sigmoid(a_r), sigmoid(a_z)
    n = tanh(n_x + r * n_h)
    return (n + z * (h - n),), (r, z, n, n_h)


def backward(r: Any, z: Any, n: Any, n_h: Any, h: Any, h_new: Any, dh: Any) -> Any:
    """sigmoid' = s (1 - s), tanh' = 1 - t^2; h passes z of its gradient to the h before."""
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (h - n) * z * (1 - z)
    return (dn * n_h * r * (1 - r), dz, dn, dn * r), (dh * z,)


GRU = Cell(
    "gru", ("r", "z", "n"), ("h",), forward, backward,
    saved=("r", "z", "n", "n_h"), apart=("n",), h_carried=True,
)  # fmt: skip
