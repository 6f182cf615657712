"""The word language model: embedded words in, any recurrent network, the next word's logits out.

    x_t = embedding[word_t]      h_t = network(x_t, h_{t-1})      z_t = weight_out h_t + bias_out

Its parameters are one dict: those of the network as `lstm_forward` and its like have them, its
input being the embedding's E numbers, then ``weight_out`` (V, H), ``bias_out`` (V,) and
``embedding`` (V, E).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from fastrnn.reference._types import Array, IntArray, Params
from fastrnn.reference.gru import gru_backward, gru_forward
from fastrnn.reference.loss import softmax_cross_entropy
from fastrnn.reference.lstm import lstm_backward, lstm_forward
from fastrnn.reference.rnn import rnn_backward, rnn_forward

State: TypeAlias = Array | tuple[Array, Array]

NETWORKS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "rnn": (rnn_forward, rnn_backward),
    "lstm": (lstm_forward, lstm_backward),
    "gru": (gru_forward, gru_backward),
}


def word_language_model_step(
    words: IntArray,
    targets: IntArray,
    state: State | None,
    params: Params,
    *,
    cell: str,
    num_layers: int,
    train_embedding: bool = True,
) -> tuple[float, Params, State]:
    """Loss and gradients of a batch: embedding, network, linear layer, softmax cross-entropy.

    A row of the embedding has the gradients of all places where its word stands::

        d_embedding[v] = sum d_x_t over all t, n with word_t = v

    Parameters
    ----------
    words, targets : (T, N), integers in [0, V)
    state : (L, N, H), or (h, c) of the LSTM, or None
        Before the first word; None is zero.
    params : dict
        A model of `num_layers` layers.
    cell : "rnn", "lstm" or "gru"
    train_embedding : bool
        Whether the embedding has a gradient, and is not frozen.

    Returns
    -------
    loss : float
        Mean over all T*N targets, in nats.
    grads : dict
        Names and shapes of `params`, without ``embedding`` if that is frozen.
    state_n : as `state`
        After the last word.
    """
    forward, backward = NETWORKS[cell]
    embedding, weight_out = params["embedding"], params["weight_out"]
    h, state_n, cache = forward(embedding[words], state, params, num_layers=num_layers)
    loss, d_logits = softmax_cross_entropy(h @ weight_out.T + params["bias_out"], targets)

    d_x, _, grads = backward(cache, d_logits @ weight_out, None)
    grads["weight_out"] = np.tensordot(d_logits, h, axes=((0, 1), (0, 1)))
    grads["bias_out"] = d_logits.sum(axis=(0, 1))
    if train_embedding:
        grads["embedding"] = np.zeros_like(embedding)
        np.add.at(grads["embedding"], words, d_x)
    return loss, grads, state_n
