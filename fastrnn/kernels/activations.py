"""What may stand between a linear output and a squared error, as equations.

Each is a pair of plain functions: y = g(z), and the gradient by z from the one by y and from y.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastrnn.simd.functions import sigmoid, tanh, where


def identity(z: Any) -> Any:
    """The output itself."""
    return z


def identity_back(d: Any, y: Any) -> Any:
    """Its gradient."""
    return d


def relu(z: Any) -> Any:
    """max(z, 0)."""
    return where(z < 0, 0, z)


def relu_back(d: Any, y: Any) -> Any:
    """Its gradient, 0 at 0."""
    return where(y <= 0, 0, d)


def logistic(z: Any) -> Any:
    """1 / (1 + exp(-z))."""
    return sigmoid(z)


def logistic_back(d: Any, y: Any) -> Any:
    """Gradient of the logistic function."""
    return d * (y * (1 - y))


def hyperbolic(z: Any) -> Any:
    """tanh(z)."""
    return tanh(z)


def hyperbolic_back(d: Any, y: Any) -> Any:
    """Gradient of the hyperbolic tangent."""
    return d * (1 - y * y)


ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "identity": (identity, identity_back),
    "relu": (relu, relu_back),
    "sigmoid": (logistic, logistic_back),
    "tanh": (hyperbolic, hyperbolic_back),
}
