"""The GRU of Cho et al. (2014), its reset gate applied after the product or, as there, before it.

r, z = sigmoid(a_r), sigmoid(a_z)      h_t = (1 - z) n + z h_{t-1}
after, as cuDNN and PyTorch do:        n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))
before:                                n = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn)
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


def gates_before(a_r: Any, a_z: Any, h: Any) -> Any:
    """The state that the candidate's weights multiply, and both gates."""
    r, z = sigmoid(a_r), sigmoid(a_z)
    return r * h, (r, z)


def forward_before(a_n: Any, r: Any, z: Any, h: Any) -> Any:
    """One step from the candidate's pre-activation."""
    n = tanh(a_n)
    return (n + z * (h - n),), (r, z, n, r * h)


def backward_before(r: Any, z: Any, n: Any, m: Any, h: Any, h_new: Any, dh: Any) -> Any:
    """What reaches the candidate, z and the previous h; r waits for `m`, the modulated state."""
    dn = dh * (1 - z) * (1 - n * n)
    dz = dh * (h - n) * z * (1 - z)
    return (dz * 0, dz, dn), (dh * z,)


def gates_before_backward(r: Any, z: Any, n: Any, m: Any, h: Any, dm: Any, dr: Any, dz: Any) -> Any:
    """From the gradient of ``m = r h``."""
    return (dm * h * r * (1 - r), dz), dm * r


GRU_RESET_BEFORE = Cell(
    "gru_reset_before", ("r", "z", "n"), ("h",), forward_before, backward_before,
    saved=("r", "z", "n", "m"), h_carried=True, late=("n",), early=gates_before,
    early_backward=gates_before_backward, early_kept=("r", "z"),
)  # fmt: skip
