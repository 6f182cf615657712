"""The character language model: symbols in, a recurrent network, the next symbol's logits out.

Its parameters are one dict: ``weight_ih_l{k}`` (H, V), or (H, H) above layer 0,
``weight_hh_l{k}`` (H, H), ``bias_ih_l{k}``, ``bias_hh_l{k}`` (H,) of each layer k, then
``weight_out`` (V, H), ``bias_out`` (V,).
"""

from collections.abc import Sequence

import numpy as np

from fastrnn.reference._types import Array, IntArray, Params
from fastrnn.reference.loss import softmax_cross_entropy
from fastrnn.reference.rnn import rnn_backward, rnn_forward


def lossFun(
    inputs: Sequence[int], targets: Sequence[int], hprev: Array, params: Params
) -> tuple[float, Params, Array]:
    """Loss and gradients of one short text, one column vector a symbol, one layer.

    This is the step of A. Karpathy's min-char-rnn (2015, BSD licence,
    https://gist.github.com/karpathy/d4dee566867f8291f086), its manner and its names kept::

        h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      p_t = softmax(Why h_t + by)
        loss = -sum_t log p_t[target_t]

    Its ``bh`` is ``bias_ih_l0 + bias_hh_l0``. The gradients are not clipped here, and the
    softmax is the published one, which overflows where a logit passes the exponential's range.

    Parameters
    ----------
    inputs, targets : T integers each
    hprev : (H, 1)
        State before the first symbol.
    params : dict
        A model of one layer.

    Returns
    -------
    loss : float
        Sum over the text, in nats.
    grads : dict
        Names and shapes of ``params``.
    h : (H, 1)
        State after the last symbol.
    """
    Wxh, Whh, Why = params["weight_ih_l0"], params["weight_hh_l0"], params["weight_out"]
    bh = (params["bias_ih_l0"] + params["bias_hh_l0"])[:, np.newaxis]
    by = params["bias_out"][:, np.newaxis]

    xs: dict[int, Array] = {}
    hs: dict[int, Array] = {-1: np.copy(hprev)}
    ys: dict[int, Array] = {}
    ps: dict[int, Array] = {}
    loss = 0.0
    for t in range(len(inputs)):
        xs[t] = np.zeros((Wxh.shape[1], 1), dtype=Wxh.dtype)
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])

    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[-1])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)

    grads = {
        "weight_ih_l0": dWxh,
        "weight_hh_l0": dWhh,
        "bias_ih_l0": dbh[:, 0],
        "bias_hh_l0": dbh[:, 0].copy(),
        "weight_out": dWhy,
        "bias_out": dby[:, 0],
    }
    return float(loss), grads, hs[len(inputs) - 1]


def language_model_step(
    tokens: IntArray,
    targets: IntArray,
    h0: Array,
    params: Params,
    *,
    num_layers: int,
    nonlinearity: str = "tanh",
) -> tuple[float, Params, Array]:
    """Loss and gradients of a batch: one-hot, network, linear layer, softmax cross-entropy.

    Parameters
    ----------
    tokens, targets : (T, N), integers in [0, V)
    h0 : (L, N, H)
    params : dict
        A model of ``num_layers`` layers.

    Returns
    -------
    loss : float
        Mean over all T*N targets, in nats.
    grads : dict
        Names and shapes of ``params``.
    h_n : (L, N, H)
    """
    weight_out, bias_out = params["weight_out"], params["bias_out"]
    x = np.eye(params["weight_ih_l0"].shape[1], dtype=weight_out.dtype)[tokens]
    h, h_n, cache = rnn_forward(x, h0, params, num_layers=num_layers, nonlinearity=nonlinearity)
    loss, d_logits = softmax_cross_entropy(h @ weight_out.T + bias_out, targets)

    _, _, grads = rnn_backward(cache, d_logits @ weight_out, None)
    grads["weight_out"] = np.tensordot(d_logits, h, axes=((0, 1), (0, 1)))
    grads["bias_out"] = d_logits.sum(axis=(0, 1))
    return loss, grads, h_n
