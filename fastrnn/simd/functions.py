"""The functions that a cell's equations may use, in NumPy.

Called on arrays they are plain NumPy: that is what runs with ``NUMBA_DISABLE_JIT=1``, and what a
debugger steps through. `fastrnn.simd.math` gives each its form on vectors of registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["exp", "sigmoid", "sqrt", "tanh", "where"]


def exp(x: Any) -> Any:
    """Exponential function, e to the power of `x`."""
    return np.exp(x)


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return np.tanh(x)


def sigmoid(x: Any) -> Any:
    """Logistic function, 1 / (1 + exp(-x)), without overflow."""
    decayed = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(decayed), decayed) / (1 + decayed)


def sqrt(x: Any) -> Any:
    """Square root."""
    return np.sqrt(x)


def where(condition: Any, chosen: Any, otherwise: Any) -> Any:
    """`chosen` where the condition holds, `otherwise` elsewhere."""
    return np.where(condition, chosen, otherwise)
