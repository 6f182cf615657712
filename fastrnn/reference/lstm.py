"""Long short-term memory: one layer, and the stacked, bidirectional network of ``torch.nn.LSTM``.

References
----------
S. Hochreiter, J. Schmidhuber, "Long short-term memory", Neural Computation 9 (1997): the network.
F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to forget: continual prediction with LSTM",
Neural Computation 12 (2000): its forget gate.
``torch.nn.LSTM``: names, shapes and order of the parameters, order of the gates.
"""

import numpy as np

from fastrnn.reference._types import Array, Params
from fastrnn.reference.sigmoid import sigmoid
from fastrnn.reference.stack import Cache, stack_backward, stack_forward


def lstm_layer_forward(
    x: Array,
    h0: Array,
    c0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
) -> tuple[Array, Array, Array]:
    """Run one layer in one direction.

    With ``a_t = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh``, its rows those of the gates i, f, g, o::

        i_t = sigmoid(a_i_t)      f_t = sigmoid(a_f_t)      c_t = f_t c_{t-1} + i_t g_t
        g_t = tanh(a_g_t)         o_t = sigmoid(a_o_t)      h_t = o_t tanh(c_t)

    Parameters
    ----------
    x : (T, N, I)
    h0, c0 : (N, H)
        States before the first step.
    w_ih, w_hh : (4H, I), (4H, H)
    b_ih, b_hh : (4H,) or None
        None counts as zero.

    Returns
    -------
    h, c : (T, N, H)
        States after each step.
    gates : (4, T, N, H)
        i, f, g, o.
    """
    batch, size = h0.shape
    h = np.empty((len(x), batch, size), dtype=x.dtype)
    c = np.empty_like(h)
    gates = np.empty((4, *h.shape), dtype=x.dtype)
    i, f, g, o = gates
    h_prev, c_prev = h0, c0
    for t in range(len(x)):
        a = x[t] @ w_ih.T + h_prev @ w_hh.T
        if b_ih is not None:
            a += b_ih
        if b_hh is not None:
            a += b_hh
        a_i, a_f, a_g, a_o = a.reshape(batch, 4, size).swapaxes(0, 1)
        i[t] = sigmoid(a_i)
        f[t] = sigmoid(a_f)
        g[t] = np.tanh(a_g)
        o[t] = sigmoid(a_o)
        c[t] = c_prev = f[t] * c_prev + i[t] * g[t]
        h[t] = h_prev = o[t] * np.tanh(c_prev)
    return h, c, gates


def lstm_layer_backward(
    x: Array,
    h0: Array,
    c0: Array,
    h: Array,
    c: Array,
    gates: Array,
    w_ih: Array,
    w_hh: Array,
    d_h: Array,
    d_h_last: Array,
    d_c_last: Array,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Backpropagate through time, from the last step to the first.

    With ``d_H_t`` the gradient of h_t by all its uses, and ``d_a_t`` that of all four gates::

        d_H_t = d_h_t + W_hh^T d_a_{t+1}
        d_c_t = d_H_t o_t (1 - tanh(c_t)^2) + d_c_{t+1} f_{t+1}
        d_a_i_t = d_c_t g_t i_t (1 - i_t)      d_a_f_t = d_c_t c_{t-1} f_t (1 - f_t)
        d_a_g_t = d_c_t i_t (1 - g_t^2)        d_a_o_t = d_H_t tanh(c_t) o_t (1 - o_t)
        d_x_t = W_ih^T d_a_t      d_W_ih = sum_t d_a_t x_t^T
        d_h_0 = W_hh^T d_a_1      d_W_hh = sum_t d_a_t h_{t-1}^T      d_b = sum_t d_a_t
        d_c_0 = d_c_1 f_1

    Parameters
    ----------
    x, h0, c0, w_ih, w_hh
        As given to `lstm_layer_forward`.
    h, c, gates
        What it returned.
    d_h : (T, N, H)
        Gradient of each output.
    d_h_last, d_c_last : (N, H)
        Further gradients of the states after the last step.

    Returns
    -------
    d_x, d_h0, d_c0, d_w_ih, d_w_hh : (T, N, I), (N, H), (N, H), (4H, I), (4H, H)
    d_b : (4H,)
        Gradient of ``b_ih`` and of ``b_hh`` alike.
    """
    d_x = np.empty_like(x)
    d_w_ih, d_w_hh = np.zeros_like(w_ih), np.zeros_like(w_hh)
    d_b = np.zeros(len(w_hh), dtype=w_hh.dtype)
    d_h_next, d_c_next = d_h_last, d_c_last
    for t in reversed(range(len(x))):
        i, f, g, o = gates[:, t]
        h_prev, c_prev = (h[t - 1], c[t - 1]) if t > 0 else (h0, c0)
        tanh_c = np.tanh(c[t])
        d_h_t = d_h[t] + d_h_next
        d_c_t = d_h_t * o * (1 - tanh_c * tanh_c) + d_c_next
        d_a_i = d_c_t * g * i * (1 - i)
        d_a_f = d_c_t * c_prev * f * (1 - f)
        d_a_g = d_c_t * i * (1 - g * g)
        d_a_o = d_h_t * tanh_c * o * (1 - o)
        d_a = np.concatenate([d_a_i, d_a_f, d_a_g, d_a_o], axis=1)
        d_w_ih += d_a.T @ x[t]
        d_w_hh += d_a.T @ h_prev
        d_b += d_a.sum(axis=0)
        d_x[t] = d_a @ w_ih
        d_h_next = d_a @ w_hh
        d_c_next = d_c_t * f
    return d_x, d_h_next, d_c_next, d_w_ih, d_w_hh, d_b


def lstm_forward(
    x: Array,
    state: tuple[Array, Array] | None,
    params: Params,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
) -> tuple[Array, tuple[Array, Array], Cache]:
    """Run ``torch.nn.LSTM``: each layer reads the outputs of the one below, in both directions.

    Parameters
    ----------
    x : (T, N, I)
    state : (h0, c0), each (L*D, N, H), or None
        Layer by layer, forward before reverse; None is zero.
    params : dict
        ``weight_ih_l{k}`` (4H, I) or above layer 0 (4H, D*H), ``weight_hh_l{k}`` (4H, H), and
        if there are biases ``bias_ih_l{k}``, ``bias_hh_l{k}`` (4H,); the reverse direction's end
        in ``_reverse``. Other names are ignored.

    Returns
    -------
    output : (T, N, D*H)
    state_n : (h_n, c_n), each (L*D, N, H)
    cache : Cache
    """
    output, (h_n, c_n), cache = stack_forward(
        lstm_layer_forward,
        x,
        (None, None) if state is None else state,
        params,
        num_layers=num_layers,
        bidirectional=bidirectional,
    )
    return output, (h_n, c_n), cache


def lstm_backward(
    cache: Cache, d_output: Array | None, d_state: tuple[Array, Array] | None
) -> tuple[Array, tuple[Array, Array], Params]:
    """Backpropagate through `lstm_forward`, from the top layer down.

    Parameters
    ----------
    cache : Cache
    d_output : (T, N, D*H) or None
    d_state : (d_h_n, d_c_n), each (L*D, N, H), or None
        None is zero.

    Returns
    -------
    d_x : (T, N, I)
    d_state0 : (d_h0, d_c0), each (L*D, N, H)
    grads : dict
        One gradient, of the same name and shape, for each parameter that was read.
    """
    d_x, (d_h0, d_c0), grads = stack_backward(
        lstm_layer_backward, cache, d_output, (None, None) if d_state is None else d_state
    )
    return d_x, (d_h0, d_c0), grads
