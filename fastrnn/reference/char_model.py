"""The character language model: symbols in, a recurrent network, the next symbol's logits out.

Its parameters are one dict: ``weight_ih_l{k}`` (H, V), or (H, H) above layer 0,
``weight_hh_l{k}`` (H, H), ``bias_ih_l{k}``, ``bias_hh_l{k}`` (H,) of each layer k, then
``weight_out`` (V, H), ``bias_out`` (V,).
"""

from collections.abc import Sequence

import numpy as np

from fastrnn.reference._types import Array, IntArray, Params
from fastrnn.reference.loss import softmax_cross_entropy
from fastrnn.reference.min_char_rnn import loss_and_gradients
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

    loss, dWxh, dWhh, dWhy, dbh, dby, h = loss_and_gradients(
        inputs, targets, hprev, (Wxh, Whh, Why, bh, by)
    )
    grads = {
        "weight_ih_l0": dWxh,
        "weight_hh_l0": dWhh,
        "bias_ih_l0": dbh[:, 0],
        "bias_hh_l0": dbh[:, 0].copy(),
        "weight_out": dWhy,
        "bias_out": dby[:, 0],
    }
    return loss, grads, h


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
