"""The logistic function, of the gates."""

import numpy as np

from fastrnn.reference._types import Array


def sigmoid(a: Array) -> Array:
    """``1 / (1 + exp(-a)) = (1 + tanh(a / 2)) / 2``, of which the latter cannot overflow."""
    s: Array = 0.5 * np.tanh(0.5 * a) + 0.5
    return s
