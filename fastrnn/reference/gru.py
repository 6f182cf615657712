"""The gated recurrent unit: one layer, and the stacked, bidirectional network of ``torch.nn.GRU``.

References
----------
K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
translation", EMNLP 2014: the network, whose reset gate acts before the product.
``torch.nn.GRU``: the form whose reset gate acts after it; names, shapes and order of the
parameters, order of the gates.
``keras.layers.GRU``: both forms, and the name ``reset_after`` of their difference.
"""

import numpy as np

from fastrnn.reference._types import Array, Params
from fastrnn.reference.sigmoid import sigmoid
from fastrnn.reference.stack import Cache, stack_backward, stack_forward


def _affine(x: Array, w: Array, b: Array | None) -> Array:
    """``W x + b``; None counts as zero."""
    a: Array = x @ w.T
    if b is not None:
        a += b
    return a


def gru_layer_forward(
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    reset_after: bool = True,
) -> tuple[Array, Array]:
    """Run one layer in one direction.

    The rows of the parameters are those of the gates r, z, n::

        r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n_t = tanh(W_in x_t + b_in + r_t p_t)    p_t = W_hn h_{t-1} + b_hn          if reset_after
        n_t = tanh(W_in x_t + b_in + p_t)        p_t = W_hn (r_t h_{t-1}) + b_hn    if not
        h_t = (1 - z_t) n_t + z_t h_{t-1}

    Parameters
    ----------
    x : (T, N, I)
    h0 : (N, H)
        State before the first step.
    w_ih, w_hh : (3H, I), (3H, H)
    b_ih, b_hh : (3H,) or None
        None counts as zero.
    reset_after : bool
        Whether the reset gate acts after the product with ``W_hn``.

    Returns
    -------
    h : (T, N, H)
        State after each step.
    gates : (4, T, N, H)
        r, z, n, p.
    """
    batch, size = h0.shape
    rows = 2 * size  # of r and z
    w_rz, w_n = w_hh[:rows], w_hh[rows:]
    b_rz, b_n = (None, None) if b_hh is None else (b_hh[:rows], b_hh[rows:])
    h = np.empty((len(x), batch, size), dtype=x.dtype)
    gates = np.empty((4, *h.shape), dtype=x.dtype)
    r, z, n, p = gates
    h_prev = h0
    for t in range(len(x)):
        x_r, x_z, x_n = _affine(x[t], w_ih, b_ih).reshape(batch, 3, size).swapaxes(0, 1)
        h_r, h_z = _affine(h_prev, w_rz, b_rz).reshape(batch, 2, size).swapaxes(0, 1)
        r[t] = sigmoid(x_r + h_r)
        z[t] = sigmoid(x_z + h_z)
        if reset_after:
            p[t] = _affine(h_prev, w_n, b_n)
            n[t] = np.tanh(x_n + r[t] * p[t])
        else:
            p[t] = _affine(r[t] * h_prev, w_n, b_n)
            n[t] = np.tanh(x_n + p[t])
        h[t] = h_prev = (1 - z[t]) * n[t] + z[t] * h_prev
    return h, gates


def gru_layer_backward(
    x: Array,
    h0: Array,
    h: Array,
    gates: Array,
    w_ih: Array,
    w_hh: Array,
    d_h: Array,
    d_h_last: Array,
    reset_after: bool = True,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Backpropagate through time, from the last step to the first.

    With ``d_H_t`` the gradient of h_t by all its uses, ``a`` the arguments of sigmoid and tanh,
    ``q_t`` what ``W_hn`` multiplies in ``p_t``, and ``d_q_t = W_hn^T d_p_t``::

        d_a_n_t = d_H_t (1 - z_t) (1 - n_t^2)
        d_a_z_t = d_H_t (h_{t-1} - n_t) z_t (1 - z_t)      d_a_r_t = d_r_t r_t (1 - r_t)
        d_p_t = d_a_n_t r_t    d_r_t = d_a_n_t p_t      q_t = h_{t-1}        if reset_after
        d_p_t = d_a_n_t        d_r_t = d_q_t h_{t-1}    q_t = r_t h_{t-1}    if not

        d_x_t = W_ih^T d_a_t      d_W_ih = sum_t d_a_t x_t^T      d_b_ih = sum_t d_a_t
        d_W_hr, d_W_hz = sum_t d_a_r_t h_{t-1}^T, sum_t d_a_z_t h_{t-1}^T
        d_b_hr, d_b_hz = sum_t d_a_r_t, sum_t d_a_z_t
        d_W_hn = sum_t d_p_t q_t^T      d_b_hn = sum_t d_p_t

    and h_{t-1} receives ``z_t d_H_t + W_hr^T d_a_r_t + W_hz^T d_a_z_t``, and ``d_q_t`` if
    reset_after, ``r_t d_q_t`` if not.

    Parameters
    ----------
    x, h0, w_ih, w_hh, reset_after
        As given to `gru_layer_forward`.
    h, gates
        What it returned.
    d_h : (T, N, H)
        Gradient of each output.
    d_h_last : (N, H)
        Further gradient of the state after the last step.

    Returns
    -------
    d_x, d_h0, d_w_ih, d_w_hh : (T, N, I), (N, H), (3H, I), (3H, H)
    d_b_ih, d_b_hh : (3H,)
    """
    rows = 2 * h0.shape[1]  # of r and z
    w_rz, w_n = w_hh[:rows], w_hh[rows:]
    d_x = np.empty_like(x)
    d_w_ih, d_w_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
    d_b_ih = np.zeros(len(w_hh), dtype=w_hh.dtype)
    d_b_hh = np.zeros_like(d_b_ih)
    d_h_next = d_h_last
    for t in reversed(range(len(x))):
        r, z, n, p = gates[:, t]
        h_prev = h[t - 1] if t > 0 else h0
        d_h_t = d_h[t] + d_h_next
        d_a_n = d_h_t * (1 - z) * (1 - n * n)
        d_a_z = d_h_t * (h_prev - n) * z * (1 - z)
        d_h_next = d_h_t * z
        if reset_after:
            q, d_p = h_prev, d_a_n * r
            d_r = d_a_n * p
            d_h_next += d_p @ w_n
        else:
            q, d_p = r * h_prev, d_a_n
            d_q = d_p @ w_n
            d_r = d_q * h_prev
            d_h_next += d_q * r
        d_a_r = d_r * r * (1 - r)
        d_a_rz = np.concatenate([d_a_r, d_a_z], axis=1)
        d_a = np.concatenate([d_a_rz, d_a_n], axis=1)
        d_w_ih += d_a.T @ x[t]
        d_w_hh[:rows] += d_a_rz.T @ h_prev
        d_w_hh[rows:] += d_p.T @ q
        d_b_ih += d_a.sum(axis=0)
        d_b_hh[:rows] += d_a_rz.sum(axis=0)
        d_b_hh[rows:] += d_p.sum(axis=0)
        d_x[t] = d_a @ w_ih
        d_h_next += d_a_rz @ w_rz
    return d_x, d_h_next, d_w_ih, d_w_hh, d_b_ih, d_b_hh


def gru_forward(
    x: Array,
    h0: Array | None,
    params: Params,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    reset_after: bool = True,
) -> tuple[Array, Array, Cache]:
    """Run ``torch.nn.GRU``: each layer reads the outputs of the one below, in both directions.

    Parameters
    ----------
    x : (T, N, I)
    h0 : (L*D, N, H) or None
        Layer by layer, forward before reverse; None is zero.
    params : dict
        ``weight_ih_l{k}`` (3H, I) or above layer 0 (3H, D*H), ``weight_hh_l{k}`` (3H, H), and
        if there are biases ``bias_ih_l{k}``, ``bias_hh_l{k}`` (3H,); the reverse direction's end
        in ``_reverse``. Other names are ignored.
    reset_after : bool
        False is the original form, which ``torch.nn.GRU`` lacks.

    Returns
    -------
    output : (T, N, D*H)
    h_n : (L*D, N, H)
    cache : Cache
    """
    output, (h_n,), cache = stack_forward(
        gru_layer_forward,
        x,
        (h0,),
        params,
        num_layers=num_layers,
        bidirectional=bidirectional,
        reset_after=reset_after,
    )
    return output, h_n, cache


def gru_backward(
    cache: Cache, d_output: Array | None, d_h_n: Array | None
) -> tuple[Array, Array, Params]:
    """Backpropagate through `gru_forward`, from the top layer down.

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
    d_x, (d_h0,), grads = stack_backward(gru_layer_backward, cache, d_output, (d_h_n,))
    return d_x, d_h0, grads
