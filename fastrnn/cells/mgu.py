"""The minimal gated unit.

Zhou et al., *Minimal gated unit for recurrent neural networks* (International Journal of Automation
and Computing, 2016).

f = sigmoid(a_f)      n = tanh(W_in x_t + b_in + f (W_hn h_{t-1} + b_hn))
h_t = (1 - f) h_{t-1} + f n

The paper multiplies h_{t-1} by f before the product with W_hn; here f comes after it, as the reset
gate of `fastrnn.cells.gru` does, so that one product serves both gates.
"""

from __future__ import annotations

from typing import Any

from fastrnn.cells.base import Cell
from fastrnn.simd.functions import sigmoid, tanh


def forward(a_f: Any, n_x: Any, n_h: Any, h: Any) -> Any:
    """One step; `n_x` and `n_h` are the candidate's input part and recurrent part."""
    f = sigmoid(a_f)
    n = tanh(n_x + f * n_h)
    return (h + f * (n - h),), (f, n, n_h)


def backward(f: Any, n: Any, n_h: Any, h: Any, h_new: Any, dh: Any) -> Any:
    """f is given gradients by both of its uses; h passes 1 - f of its own to the h before."""
    dn = dh * f * (1 - n * n)
    df = dh * (n - h) + dn * n_h
    return (df * f * (1 - f), dn, dn * f), (dh * (1 - f),)


MGU = Cell(
    "mgu", ("f", "n"), ("h",), forward, backward,
    saved=("f", "n", "n_h"), apart=("n",), h_carried=True,
)  # fmt: skip
