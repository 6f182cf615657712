"""The word language model of a much copied tutorial, with its functions, compiled.

For the functions of "Building a Recurrent Neural Network from scratch": an embedding vector for
each word, no biases, the loss in bits::

    h_t = tanh(U x_t + W h_{t-1})      y_t = softmax(V h_t)

U, W, V being ``input_weights``, ``internal_state_weights``, ``output_weights``. What is published
is wrong in these places, and right here:

- ``tanh_activation`` divides a number by itself: every state is 1.
- ``full_forward_prop`` gives each word the initial state, not the one before.
- ``rnn_backprop`` multiplies by a zero state where the previous one belongs, for an earlier word
  by that of another one; it takes the embedding of the word whose error it is, not of the word
  that the error has reached; it knows only sentences of four words, and the undefined names
  ``hidden_dim`` and ``output_dim``. An error goes back one step less than ``bptt_truncate``. Finite
  differences agree with none of its gradients of U and W.
- ``delta_cross_entropy`` subtracts the targets from the stored predictions themselves.
- Gradients are added to those that come in, which are those of all epochs before.
- ``train`` calls ``sgd_step``, which is undefined, and goes forward only in the epochs whose loss
  is printed.
- ``output_mapper`` is a dictionary by word, which holds a word but once: for sentences that repeat
  words, give the targets as a list.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array, as_array, check_finite, check_integer, check_number, check_shape
from fastrnn.compat._sentence import (
    Columns,
    Memory,
    Model,
    by_step,
    check_targets,
    count_words,
    first_words,
    one_hot_places,
)
from fastrnn.compat._training import step_while_finite

__all__ = [
    "add_backward",
    "calculate_loss",
    "delta_cross_entropy",
    "full_forward_prop",
    "gd_step",
    "multiplication_backward",
    "rnn_backprop",
    "rnn_forward",
    "single_backprop",
    "softmax_activation",
    "tanh_activation",
    "tanh_activation_backward",
    "train",
]

#: One-hot targets (K,), by step, or as values of a dictionary in the order of the steps.
Targets = Mapping[Any, ArrayLike] | Sequence[ArrayLike] | Array


def tanh_activation(Z: ArrayLike) -> Array:
    """``(e^Z - e^-Z) / (e^Z + e^-Z)``."""
    h: Array = np.tanh(Z)
    return h


def softmax_activation(Z: ArrayLike) -> Array:
    """``e^Z / sum e^Z`` of a column."""
    e_x = np.exp(Z - np.max(Z))
    y: Array = e_x / e_x.sum(axis=0)
    return y


def rnn_forward(
    input_embedding: ArrayLike,
    input_weights: Array,
    internal_state_weights: Array,
    prev_memory: ArrayLike,
    output_weights: Array,
) -> tuple[Array, Array]:
    """One word.

    Parameters
    ----------
    input_embedding : array_like (D, 1)
    input_weights, internal_state_weights, output_weights : ndarray (H, D), (H, H), (K, H)
        float64 or float32.
    prev_memory : array_like (H, 1)
        The state before.

    Returns
    -------
    ht, yt : ndarray (H, 1), (K, 1)
        The state, and the probabilities of the next word.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or shape.
    """
    model = Model(input_weights, internal_state_weights, output_weights)
    column = as_array("input_embedding", input_embedding)
    check_shape("input_embedding", column, (model.u.shape[1], 1), "(D, 1)")
    x = model.columns("input_embedding", [column])
    memory = model.read(x, model.state("prev_memory", prev_memory), [column])
    return memory["ht0"], memory["yt0"]


def full_forward_prop(
    T: int,
    embeddings: Columns,
    input_weights: Array,
    internal_state_weights: Array,
    prev_memory: ArrayLike,
    output_weights: Array,
) -> tuple[list[Array], Memory]:
    """A sentence of T words.

    Parameters
    ----------
    T : int
        At least 1.
    embeddings : sequence of at least T columns (D, 1), or mapping by step
    input_weights, internal_state_weights, prev_memory, output_weights
        As those of `rnn_forward`.

    Returns
    -------
    outputs : list of T ndarray (K, 1)
    memory : Memory
        A mapping: of each word t its state "ht{t}" (H, 1), its probabilities "yt{t}" (K, 1) and,
        as ``[[W h, U x, their sum, V h]]``, "params{t}"; "ht-1" is the initial state.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or shape.
    """
    words = first_words(T, embeddings)
    model = Model(input_weights, internal_state_weights, output_weights)
    x = model.columns("embeddings", words)
    memory = model.read(x, model.state("prev_memory", prev_memory), words)
    return list(memory.y[:, :, None]), memory


def calculate_loss(output_mapper: Targets, predicted_output: Sequence[ArrayLike]) -> float:
    """Cross-entropy in bits, averaged over the vocabulary and the steps.

    Parameters
    ----------
    output_mapper : sequence of one-hot targets (K,), or mapping with such values
        As many as there are predictions.
    predicted_output : sequence of array_like (K, 1)

    Raises
    ------
    ValueError
        For a target that is not one-hot, fewer of them than predictions, no prediction, or one that
        is no column.
    """
    if not len(predicted_output):
        raise ValueError("predicted_output must be at least one column (K, 1), got none")
    columns = []
    for t, column in enumerate(predicted_output):
        columns.append(as_array(f"predicted_output[{t}]", column))
        check_shape(f"predicted_output[{t}]", columns[t], (columns[0].size, 1), "(K, 1)")
    y = np.concatenate(columns, axis=1).T
    places = one_hot_places("output_mapper", _in_order(output_mapper), *y.shape)
    return _bits(y, places)


def _bits(y: Array, places: Array) -> float:
    with np.errstate(divide="ignore"):
        return float(-np.log2(y[np.arange(len(y)), places]).sum()) / y.size


def _in_order(targets: Targets) -> Any:
    return list(targets.values()) if isinstance(targets, Mapping) else targets


def delta_cross_entropy(predicted_output: ArrayLike, original_t_output: ArrayLike) -> Array:
    """Gradient by the logits of ``-log softmax(logits)[target]``, in nats.

    Parameters
    ----------
    predicted_output : array_like (K, 1)
        It is not changed.
    original_t_output : array_like (K,)
        One-hot.
    """
    predicted = as_array("predicted_output", predicted_output)
    original = as_array("original_t_output", original_t_output)
    if original.size != predicted.size:
        raise ValueError(
            f"original_t_output must be as long as predicted_output = {predicted.size}, "
            f"got {original.size}"
        )
    return predicted - original.reshape(predicted.shape)


def multiplication_backward(weights: Array, x: Array, dz: Array) -> tuple[Array, Array]:
    """Gradients of ``z = weights x`` by both: ``dz x^T`` and ``weights^T dz``."""
    return np.dot(dz, np.transpose(x)), np.dot(np.transpose(weights), dz)


def add_backward(x1: Array, x2: Array, dz: Array) -> tuple[Array, Array]:
    """Gradients of ``z = x1 + x2`` by both."""
    return dz * np.ones_like(x1), dz * np.ones_like(x2)


def tanh_activation_backward(x: ArrayLike, top_diff: ArrayLike) -> Array:
    """Gradient by the argument `x` of tanh."""
    d: Array = (1.0 - np.square(np.tanh(x))) * np.asarray(top_diff)
    return d


def single_backprop(
    X: Array,
    input_weights: Array,
    internal_state_weights: Array,
    output_weights: Array,
    ht_activated: Array,
    dLo: Array,
    forward_params_t: Sequence[Sequence[Array]],
    diff_s: Array,
    prev_s: Array,
) -> tuple[Array, Array, Array, Array]:
    """Back through one word.

    Parameters
    ----------
    X : ndarray (D, 1)
    input_weights, internal_state_weights, output_weights : ndarray (H, D), (H, H), (K, H)
    ht_activated : ndarray (H, 1)
    dLo : ndarray (K, 1)
        Gradient by the word's logits.
    forward_params_t : sequence
        "params{t}" of the memory.
    diff_s : ndarray (H, 1)
        What comes from the word after it.
    prev_s : ndarray (H, 1)
        The state before the word.

    Returns
    -------
    dprev_s, dU, dW, dV : ndarray (H, 1), (H, D), (H, H), (K, H)
    """
    W_frd, U_frd, sum_s, _ = forward_params_t[0]
    dV, dsv = multiplication_backward(output_weights, ht_activated, dLo)
    dadd = tanh_activation_backward(sum_s, np.add(dsv, diff_s))
    dmulw, dmulu = add_backward(W_frd, U_frd, dadd)
    dW, dprev_s = multiplication_backward(internal_state_weights, prev_s, dmulw)
    dU, _ = multiplication_backward(input_weights, X, dmulu)
    return dprev_s, dU, dW, dV


def rnn_backprop(
    embeddings: Columns,
    memory: Mapping[str, Any],
    output_t: Targets,
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
    embeddings : sequence of at least T columns (D, 1), or mapping by step
    memory : Memory
        Of `full_forward_prop`, which read T words, or a mapping like it.
    output_t : sequence of T one-hot targets (K,), or mapping by step
    dU, dV, dW : ndarray (H, D), (K, H), (H, H)
        Are overwritten.
    bptt_truncate : int
        0 for the word alone; with T - 1 or more the gradients are the full ones.

    Returns
    -------
    dU, dV, dW
        Gradients of the sum over the words of ``-log y_t[target]`` in nats.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or shape, or a target that is not one-hot.
    """
    model = Model(input_weights, internal_state_weights, output_weights)
    words = first_words(count_words(memory), embeddings)
    x = memory.inputs(words) if isinstance(memory, Memory) else None
    if x is None or x.dtype != model.dtype or x.shape[1] != model.u.shape[1]:
        x = model.columns("embeddings", words)
    if not isinstance(memory, Memory) or memory.y.dtype != model.dtype:
        memory = model.memory(memory, x)
    check_shape("memory", memory.y, (len(x), model.outputs), "(T, K)")
    reach = check_integer("bptt_truncate", bptt_truncate, least=0)
    model.check_gradients(dU, dV, dW)
    wanted = by_step(output_t, len(x))
    targets = check_targets("output_t", wanted, len(x), model.outputs)
    model.learn("output_t", x, memory, targets, reach, (dU, dV, dW))
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
    embeddings: Columns,
    output_t: Targets,
    output_mapper: Targets,
    input_weights: Array,
    internal_state_weights: Array,
    output_weights: Array,
    dU: Array,
    dW: Array,
    dV: Array,
    prev_memory: ArrayLike,
    learning_rate: float = 0.001,
    nepoch: int = 100,
    evaluate_loss_after: int = 2,
    bptt_truncate: int = 4,
) -> list[float]:
    """Train on one sentence, printing the loss with the time every so many epochs.

    Parameters
    ----------
    T, embeddings, prev_memory
        As those of `full_forward_prop`.
    output_t : sequence of one-hot targets (K,), or mapping by step
    output_mapper : sequence or mapping of the same targets
        Those that the loss is computed for.
    input_weights, internal_state_weights, output_weights : ndarray (H, D), (H, H), (K, H)
        Are trained in place.
    dU, dW, dV : ndarray (H, D), (H, H), (K, H)
        Hold the last gradients in the end.
    learning_rate : float
    nepoch, evaluate_loss_after, bptt_truncate : int

    Returns
    -------
    losses : list of float
        Those that were printed: `calculate_loss`.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, before any work.
    ArithmeticError
        If the weights or what they give are not finite; they are the last ones that were.
    """
    rate = check_number("learning_rate", learning_rate)
    epochs = check_integer("nepoch", nepoch, least=0)
    every = check_integer("evaluate_loss_after", evaluate_loss_after, least=1)
    reach = check_integer("bptt_truncate", bptt_truncate, least=0)
    words = first_words(T, embeddings)
    model = Model(input_weights, internal_state_weights, output_weights)
    x = model.columns("embeddings", words)
    state = model.state("prev_memory", prev_memory)
    numbers = {
        "embeddings": x, "prev_memory": state, "input_weights": model.u,
        "internal_state_weights": model.w, "output_weights": model.v,
    }  # fmt: skip
    for name, array in numbers.items():
        check_finite(name, array, f" in {model.dtype.name}")
    model.check_gradients(dU, dV, dW)
    targets = check_targets("output_t", by_step(output_t, len(x)), len(x), model.outputs)
    one_hot_places("output_t", targets, len(x), model.outputs)
    places = one_hot_places("output_mapper", _in_order(output_mapper), len(x), model.outputs)
    wanted = targets.astype(model.dtype)
    weights = (input_weights, internal_state_weights, output_weights)
    losses: list[float] = []

    def step(epoch: int) -> bool:
        memory = model.read(x, state)
        # Of what is no number anywhere, the last word's probabilities all are not.
        if not math.isfinite(memory.y[-1, 0]):
            return False
        if epoch == every * len(losses):  # and not if it is done again
            losses.append(_bits(memory.y, places))
            now = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
            print(f"{now}: Loss after  epoch={epoch}: {losses[-1]:f}")
            sys.stdout.flush()
        model.learn("output_t", x, memory, wanted, reach, (dU, dV, dW))
        with np.errstate(over="ignore", invalid="ignore"):
            gd_step(rate, dU, dW, dV, *weights)
        return True

    step_while_finite(epochs, weights, step, "epoch")
    return losses
