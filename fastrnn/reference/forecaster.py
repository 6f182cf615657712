"""The forecaster of sine waves: an RNN with an output at every step, squared error, and truncation.

    h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      y_t = g(Why h_t + by)
    L = 1/(T N O) sum (y_t - target_t)^2

Long series are cut into windows of T steps. By random sampling the state begins at zero in each; by
sequential partitioning a window goes on from the state of the one before, through which no gradient
goes back: truncated backpropagation. The gradient of each step may also be multiplied on its way to
the step before, by ``xi_t``: zeros cut the chain there, and zeros and 1/pi with the probabilities
1 - pi and pi are the randomised truncation of Tallec and Ollivier (2017, arXiv:1705.08209), whose
mean is the full gradient. Zhang et al., *Dive into Deep Learning*, 9.7, has both.
"""

from collections.abc import Callable, Iterable

import numpy as np

from fastrnn.reference._types import Array, Params
from fastrnn.reference.optim import clip_by_norm

#: Output activations: g(z), and g'(z) from y = g(z).
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (lambda z: z, np.ones_like),
    "tanh": (np.tanh, lambda y: 1 - y * y),
    "relu": (lambda z: np.maximum(z, 0), lambda y: (y > 0).astype(y.dtype)),
}


def forward(
    x: Array, h0: Array, params: Params, activation: str = "identity"
) -> tuple[Array, Array]:
    """Run windows.

    Parameters
    ----------
    x : (T, N, I)
    h0 : (N, H)
    params : dict
        ``Wxh`` (H, I), ``Whh`` (H, H), ``bh`` (H,), ``Why`` (O, H), ``by`` (O,).
    activation : str
        A key of `ACTIVATIONS`.

    Returns
    -------
    y : (T, N, O)
    hs : (T + 1, N, H)
        The states, the initial one first.
    """
    g, _ = ACTIVATIONS[activation]
    hs, ys = [h0], []
    for x_t in x:
        hs.append(np.tanh(x_t @ params["Wxh"].T + hs[-1] @ params["Whh"].T + params["bh"]))
        ys.append(g(hs[-1] @ params["Why"].T + params["by"]))
    return np.stack(ys), np.stack(hs)


def backward(
    x: Array,
    y: Array,
    hs: Array,
    targets: Array,
    params: Params,
    activation: str = "identity",
    xi: Array | None = None,
) -> tuple[float, Params]:
    """Loss and gradients by backpropagation through time.

    Parameters
    ----------
    y, hs
        What `forward` returned.
    targets : (T, N, O)
    xi : (T - 1,), optional
        What the gradient of state t + 1 by state t is multiplied by; ones, which is full
        backpropagation, if not given.

    Returns
    -------
    loss : float
    grads : dict
        Names and shapes of `params`.
    """
    _, slope = ACTIVATIONS[activation]
    error = y - targets
    d_y = 2 * error / error.size
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    d_h_next = np.zeros_like(hs[0])
    for t in reversed(range(len(x))):
        d_z = d_y[t] * slope(y[t])
        grads["Why"] += d_z.T @ hs[t + 1]
        grads["by"] += d_z.sum(axis=0)
        if xi is not None and t < len(xi):
            d_h_next = xi[t] * d_h_next
        d_a = (d_z @ params["Why"] + d_h_next) * (1 - hs[t + 1] ** 2)
        grads["Wxh"] += d_a.T @ x[t]
        grads["Whh"] += d_a.T @ hs[t]
        grads["bh"] += d_a.sum(axis=0)
        d_h_next = d_a @ params["Whh"]
    return float(np.mean(error * error)), grads


def train(
    windows: Iterable[tuple[Array, Array]],
    params: Params,
    learning_rate: float,
    theta: float,
    activation: str = "identity",
    *,
    carried: bool = False,
) -> list[float]:
    """Gradient descent, a step a window, gradients of norm `theta` at most.

    Parameters
    ----------
    windows : iterable of (x (T, N, I), targets (T, N, O))
    params : dict
        Changed in place.
    theta : float
        ``g <- min(1, theta / norm(g)) g``.
    carried : bool
        Whether a window goes on from the state of the one before: sequential partitioning.

    Returns
    -------
    losses : list of float
        Of each window, before its step.
    """
    losses, h = [], None
    for x, targets in windows:
        if h is None or not carried:
            h = np.zeros((x.shape[1], len(params["Whh"])), params["Whh"].dtype)
        y, hs = forward(x, h, params, activation)
        loss, grads = backward(x, y, hs, targets, params, activation)
        clip_by_norm(grads, theta)
        for name, gradient in grads.items():
            params[name] -= learning_rate * gradient
        losses.append(loss)
        h = hs[-1]
    return losses


def forecast(
    x: Array, steps: int, h0: Array, params: Params, activation: str = "identity"
) -> Array:
    """Read x (T, N, I), then predict (steps, N, I), each read in its turn; O = I."""
    y, hs = forward(x, h0, params, activation)
    found = [y[-1]]
    h = hs[-1]
    for _ in range(steps - 1):
        y, hs = forward(found[-1][np.newaxis], h, params, activation)
        found.append(y[0])
        h = hs[-1]
    return np.stack(found)
