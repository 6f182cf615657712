"""The Elman network: one layer, and the stacked, bidirectional network of ``torch.nn.RNN``.

References
----------
J. L. Elman, "Finding structure in time", Cognitive Science 14 (1990): the network.
P. J. Werbos, "Backpropagation through time", Proc. IEEE 78 (1990): its gradient.
``torch.nn.RNN``: names, shapes and order of the parameters.
"""

from typing import Any

import numpy as np

from fastrnn.reference._types import Array, Params
from fastrnn.reference.stack import Cache, stack_backward, stack_forward


def _activation(a: Array, nonlinearity: str) -> Array:
    """``phi(a)``, elementwise."""
    if nonlinearity == "tanh":
        h: Array = np.tanh(a)
    elif nonlinearity == "relu":
        h = np.maximum(a, 0)
    else:
        raise ValueError(f'nonlinearity must be "tanh" or "relu", got {nonlinearity!r}')
    return h


def _slope(h: Array, nonlinearity: str) -> Array:
    """``phi'(a)``, from the output ``h = phi(a)``."""
    return 1 - h * h if nonlinearity == "tanh" else (h > 0).astype(h.dtype)


def rnn_layer_forward(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    nonlinearity: str = "tanh",
) -> Array:
    """Run one layer in one direction: ``h_t = phi(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``.

    Parameters
    ----------
    x : (T, N, I)
    h0 : (N, H)
        State before the first step.
    w_ih, w_hh : (H, I), (H, H)
    b_ih, b_hh : (H,) or None
        None counts as zero.
    nonlinearity : "tanh" or "relu"

    Returns
    -------
    h : (T, N, H)
        State after each step.
    """
    h = np.empty((len(x), *h0.shape), dtype=x.dtype)
    h_prev = h0
    for t in range(len(x)):
        a = x[t] @ w_ih.T + h_prev @ w_hh.T
        if b_ih is not None:
            a += b_ih
        if b_hh is not None:
            a += b_hh
        h[t] = h_prev = _activation(a, nonlinearity)
    return h


def rnn_layer_backward(
    x: Array,
    h0: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    d_h: Array,
    d_h_last: Array,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, Array, Array, Array]:
    """Backpropagate through time, from the last step to the first.

    With ``a_t`` the argument of ``phi``::

        d_a_t = (d_h_t + W_hh^T d_a_{t+1}) * phi'(a_t)
        d_x_t = W_ih^T d_a_t      d_W_ih = sum_t d_a_t x_t^T
        d_h_0 = W_hh^T d_a_1      d_W_hh = sum_t d_a_t h_{t-1}^T      d_b = sum_t d_a_t

    Parameters
    ----------
    x, h0, w_ih, w_hh, nonlinearity
        As given to `rnn_layer_forward`.
    h : (T, N, H)
        What it returned.
    d_h : (T, N, H)
        Gradient of each output.
    d_h_last : (N, H)
        Further gradient of the state after the last step.

    Returns
    -------
    d_x, d_h0, d_w_ih, d_w_hh : (T, N, I), (N, H), (H, I), (H, H)
    d_b : (H,)
        Gradient of ``b_ih`` and of ``b_hh`` alike.
    """
    d_x = np.empty_like(x)
    d_w_ih, d_w_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
    d_b = np.zeros(len(w_hh), dtype=w_hh.dtype)
    d_h_next = d_h_last
    for t in reversed(range(len(x))):
        h_prev = h[t - 1] if t > 0 else h0
        d_a = (d_h[t] + d_h_next) * _slope(h[t], nonlinearity)
        d_w_ih += d_a.T @ x[t]
        d_w_hh += d_a.T @ h_prev
        d_b += d_a.sum(axis=0)
        d_x[t] = d_a @ w_ih
        d_h_next = d_a @ w_hh
    return d_x, d_h_next, d_w_ih, d_w_hh, d_b


def _results(*args: Any, **options: Any) -> tuple[Array]:
    """`rnn_layer_forward`, its one result in a tuple."""
    return (rnn_layer_forward(*args, **options),)


def rnn_forward(
    x: Array,
    h0: Array | None,
    params: Params,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, Cache]:
    """Run ``torch.nn.RNN``: each layer reads the outputs of the one below, in both directions.

    Parameters
    ----------
    x : (T, N, I)
    h0 : (L*D, N, H) or None
        Layer by layer, forward before reverse; None is zero.
    params : dict
        ``weight_ih_l{k}`` (H, I) or above layer 0 (H, D*H), ``weight_hh_l{k}`` (H, H), and
        if there are biases ``bias_ih_l{k}``, ``bias_hh_l{k}`` (H,); the reverse direction's end
        in ``_reverse``. Other names are ignored.

    Returns
    -------
    output : (T, N, D*H)
    h_n : (L*D, N, H)
    cache : Cache
    """
    output, (h_n,), cache = stack_forward(
        _results,
        x,
        (h0,),
        params,
        num_layers=num_layers,
        bidirectional=bidirectional,
        nonlinearity=nonlinearity,
    )
    return output, h_n, cache


def rnn_backward(
    cache: Cache, d_output: Array | None, d_h_n: Array | None
) -> tuple[Array, Array, Params]:
    """Backpropagate through `rnn_forward`, from the top layer down.

    Parameters
    ----------
    cache : Cache
    d_output : (T, N, D*H) or None
    d_h_n : (L*D, N, H) or None
        None is zero.

    Returns
    -------
    d_x : (T, N, I)
    d_h0 : (L*D, N, H)
    grads : dict
        One gradient, of the same name and shape, for each parameter that was read.
    """
    d_x, (d_h0,), grads = stack_backward(rnn_layer_backward, cache, d_output, (d_h_n,))
    return d_x, d_h0, grads
