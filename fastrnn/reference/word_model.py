"""The word language model with truncated backpropagation, one word a column vector.

After the tutorial "Building a Recurrent Neural Network from scratch" whose functions these are, in
their manner: an embedding vector for each word, no biases, the loss in bits::

    h_t = tanh(U x_t + W h_{t-1})      y_t = softmax(V h_t)

U, W, V being ``input_weights``, ``internal_state_weights``, ``output_weights``. Mended here:
``tanh_activation`` divided a number by itself; no state but the first was ever carried on; a step's
error went back through a zero state and the wrong word's embedding, one step less far than
``bptt_truncate`` says; targets were subtracted from the stored predictions in place; gradients were
added to those of all epochs before; between two evaluations of the loss the states stayed as they
were; some names were undefined.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from fastrnn.reference._types import Array


def tanh_activation(Z: Array) -> Array:
    """``(e^Z - e^-Z) / (e^Z + e^-Z)``."""
    h: Array = np.tanh(Z)
    return h


def softmax_activation(Z: Array) -> Array:
    """``e^Z / sum e^Z`` of a column."""
    e_x = np.exp(Z - np.max(Z))
    y: Array = e_x / e_x.sum(axis=0)
    return y


def _forward(
    input_embedding: Array,
    input_weights: Array,
    internal_state_weights: Array,
    prev_memory: Array,
    output_weights: Array,
) -> tuple[Array, Array, list[list[Array]]]:
    W_frd = np.dot(internal_state_weights, prev_memory)
    U_frd = np.dot(input_weights, input_embedding)
    sum_s = W_frd + U_frd
    ht = tanh_activation(sum_s)
    yt_unactivated = np.dot(output_weights, ht)
    return ht, softmax_activation(yt_unactivated), [[W_frd, U_frd, sum_s, yt_unactivated]]


def rnn_forward(
    input_embedding: Array,
    input_weights: Array,
    internal_state_weights: Array,
    prev_memory: Array,
    output_weights: Array,
) -> tuple[Array, Array]:
    """One word.

    Parameters
    ----------
    input_embedding : (D, 1)
    input_weights, internal_state_weights, output_weights : (H, D), (H, H), (V, H)
    prev_memory : (H, 1)
        The state before.

    Returns
    -------
    ht, yt : (H, 1), (V, 1)
        The state, and the probabilities of the next word.
    """
    ht, yt, _ = _forward(
        input_embedding, input_weights, internal_state_weights, prev_memory, output_weights
    )
    return ht, yt


def full_forward_prop(
    T: int,
    embeddings: Sequence[Array],
    input_weights: Array,
    internal_state_weights: Array,
    prev_memory: Array,
    output_weights: Array,
) -> tuple[list[Array], dict[str, Any]]:
    """A sentence of T words.

    Returns
    -------
    outputs : T columns (V, 1)
    memory : dict
        For each word t its state "ht{t}", its probabilities "yt{t}" and, as ``[[W h, U x, their
        sum, V h]]``, "params{t}"; "ht-1" is `prev_memory`.
    """
    outputs = []
    memory: dict[str, Any] = {"ht-1": prev_memory}
    ht = prev_memory
    for t in range(T):
        ht, yt, params = _forward(
            embeddings[t], input_weights, internal_state_weights, ht, output_weights
        )
        outputs.append(yt)
        memory["ht" + str(t)] = ht
        memory["yt" + str(t)] = yt
        memory["params" + str(t)] = params
    return outputs, memory


def calculate_loss(
    output_mapper: Mapping[Any, Array] | Sequence[Array], predicted_output: Sequence[Array]
) -> float:
    """Cross-entropy in bits, averaged over the vocabulary and the steps.

    Parameters
    ----------
    output_mapper : one-hot targets (V,), one for each step
        In order, or the values of a mapping. A mapping by word holds a word but once.
    predicted_output : columns (V, 1)
    """
    targets = output_mapper.values() if isinstance(output_mapper, Mapping) else output_mapper
    total_loss = 0.0
    for y, y_ in zip(targets, predicted_output, strict=True):
        total_loss += float(-np.sum(np.log2(y_[:, 0][y == 1]))) / len(y)
    return total_loss / len(predicted_output)


def delta_cross_entropy(predicted_output: Array, original_t_output: Array) -> Array:
    """Gradient by the logits of ``-log softmax(logits)[target]``, in nats.

    Parameters
    ----------
    predicted_output : (V, 1)
    original_t_output : (V,)
        One-hot.
    """
    return predicted_output - np.reshape(original_t_output, predicted_output.shape)


def multiplication_backward(weights: Array, x: Array, dz: Array) -> tuple[Array, Array]:
    """Gradients of ``z = weights x`` by both: ``dz x^T`` and ``weights^T dz``."""
    return np.dot(dz, x.T), np.dot(weights.T, dz)


def add_backward(x1: Array, x2: Array, dz: Array) -> tuple[Array, Array]:
    """Gradients of ``z = x1 + x2`` by both."""
    return dz * np.ones_like(x1), dz * np.ones_like(x2)


def tanh_activation_backward(x: Array, top_diff: Array) -> Array:
    """Gradient by the argument of tanh."""
    output = np.tanh(x)
    d: Array = (1.0 - np.square(output)) * top_diff
    return d


def single_backprop(
    X: Array,
    input_weights: Array,
    internal_state_weights: Array,
    output_weights: Array,
    ht_activated: Array,
    dLo: Array,
    forward_params_t: list[list[Array]],
    diff_s: Array,
    prev_s: Array,
) -> tuple[Array, Array, Array, Array]:
    """Back through one word.

    Parameters
    ----------
    X : (D, 1)
    input_weights, internal_state_weights, output_weights : (H, D), (H, H), (V, H)
    ht_activated : (H, 1)
    dLo : (V, 1)
        Gradient by the word's logits.
    forward_params_t
        "params{t}" of `full_forward_prop`.
    diff_s : (H, 1)
        What comes from the word after it.
    prev_s : (H, 1)
        The state before the word.

    Returns
    -------
    dprev_s, dU, dW, dV : (H, 1), (H, D), (H, H), (V, H)
    """
    W_frd, U_frd, sum_s, _ = forward_params_t[0]
    dV, dsv = multiplication_backward(output_weights, ht_activated, dLo)
    ds = np.add(dsv, diff_s)
    dadd = tanh_activation_backward(sum_s, ds)
    dmulw, dmulu = add_backward(W_frd, U_frd, dadd)
    dW, dprev_s = multiplication_backward(internal_state_weights, prev_s, dmulw)
    dU, _ = multiplication_backward(input_weights, X, dmulu)
    return dprev_s, dU, dW, dV


def rnn_backprop(
    embeddings: Sequence[Array],
    memory: Mapping[str, Any],
    output_t: Mapping[int, Array] | Sequence[Array],
    dU: Array,
    dV: Array,
    dW: Array,
    bptt_truncate: int,
    input_weights: Array,
    output_weights: Array,
    internal_state_weights: Array,
) -> tuple[Array, Array, Array]:
    """Truncated backpropagation: each word's error goes back at most `bptt_truncate` words.

    Parameters
    ----------
    embeddings : at least T columns (D, 1)
    memory
        Of `full_forward_prop`, which read T words.
    output_t : T one-hot targets (V,)
    dU, dV, dW : (H, D), (V, H), (H, H)
        Are overwritten.
    bptt_truncate : int
        0 for the word alone.

    Returns
    -------
    dU, dV, dW
        Gradients of the sum over the words of ``-log y_t[target]`` in nats.
    """
    for d in (dU, dV, dW):
        d[...] = 0
    T = sum(key.startswith("yt") for key in memory)
    for t in range(T):
        dLo = delta_cross_entropy(memory["yt" + str(t)], output_t[t])
        diff_s = np.zeros_like(memory["ht-1"])
        for i in range(t, max(-1, t - bptt_truncate - 1), -1):
            diff_s, dU_i, dW_i, dV_i = single_backprop(
                embeddings[i],
                input_weights,
                internal_state_weights,
                output_weights,
                memory["ht" + str(i)],
                dLo,
                memory["params" + str(i)],
                diff_s,
                memory["ht" + str(i - 1)],
            )
            dU += dU_i
            dW += dW_i
            dV += dV_i
            dLo = np.zeros_like(dLo)
    return dU, dV, dW


def gd_step(
    learning_rate: float,
    dU: Array,
    dW: Array,
    dV: Array,
    input_weights: Array,
    internal_state_weights: Array,
    output_weights: Array,
) -> tuple[Array, Array, Array]:
    """One step of gradient descent, in place."""
    input_weights -= learning_rate * dU
    internal_state_weights -= learning_rate * dW
    output_weights -= learning_rate * dV
    return input_weights, internal_state_weights, output_weights


def train(
    T: int,
    embeddings: Sequence[Array],
    output_t: Mapping[int, Array] | Sequence[Array],
    output_mapper: Mapping[Any, Array] | Sequence[Array],
    input_weights: Array,
    internal_state_weights: Array,
    output_weights: Array,
    dU: Array,
    dW: Array,
    dV: Array,
    prev_memory: Array,
    learning_rate: float = 0.001,
    nepoch: int = 100,
    evaluate_loss_after: int = 2,
    bptt_truncate: int = 4,
) -> list[float]:
    """Train on one sentence, printing the loss with the time every so many epochs.

    Returns
    -------
    losses : list of float
        Those that were printed.
    """
    losses = []
    for epoch in range(nepoch):
        outputs, memory = full_forward_prop(
            T, embeddings, input_weights, internal_state_weights, prev_memory, output_weights
        )
        if epoch % evaluate_loss_after == 0:
            loss = calculate_loss(output_mapper, outputs)
            losses.append(loss)
            time = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
            print(f"{time}: Loss after  epoch={epoch}: {loss:f}")
            sys.stdout.flush()
        dU, dV, dW = rnn_backprop(
            embeddings,
            memory,
            output_t,
            dU,
            dV,
            dW,
            bptt_truncate,
            input_weights,
            output_weights,
            internal_state_weights,
        )
        input_weights, internal_state_weights, output_weights = gd_step(
            learning_rate, dU, dW, dV, input_weights, internal_state_weights, output_weights
        )
    return losses
