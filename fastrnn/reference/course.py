"""The recurrent networks of a well-known course, cell by cell, in its own layout.

The functions, names, caches and dicts of the assignment "Building your Recurrent Neural Network -
Step by Step" (deeplearning.ai, "Sequence Models", A. Ng, K. Katanforoosh, Y. Bensouda Mourri,
2018). Samples are columns and time is the last axis: n_x inputs, n_a hidden units, n_y outputs, m
samples, T_x steps. The weights of an LSTM multiply the concatenation ``[a; x]``.

Two things differ from copies that go round: `lstm_backward` carries the gradients of both states
from step to step, and `softmax` subtracts the largest number of each column, not of the array.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from fastrnn.reference._types import Array, Params
from fastrnn.reference.sigmoid import sigmoid

RNNCache: TypeAlias = tuple[Array, Array, Array, Params]
LSTMCache: TypeAlias = tuple[
    Array, Array, Array, Array, Array, Array, Array, Array, Array, Params
]  # fmt: skip


def softmax(z: Array) -> Array:
    """``p_i = exp(z_i) / sum_j exp(z_j)`` of each column.

    Parameters
    ----------
    z : (n_y, m)

    Returns
    -------
    p : (n_y, m)
    """
    e = np.exp(z - z.max(axis=0))
    p: Array = e / e.sum(axis=0)
    return p


def rnn_cell_forward(xt: Array, a_prev: Array, parameters: Params) -> tuple[Array, Array, RNNCache]:
    """One step.

    ``a_next = tanh(Waa a_prev + Wax xt + ba)``, ``yt_pred = softmax(Wya a_next + by)``

    Parameters
    ----------
    xt : (n_x, m)
    a_prev : (n_a, m)
    parameters : dict
        ``Wax`` (n_a, n_x), ``Waa`` (n_a, n_a), ``Wya`` (n_y, n_a), ``ba`` (n_a, 1),
        ``by`` (n_y, 1).

    Returns
    -------
    a_next, yt_pred : (n_a, m), (n_y, m)
    cache : (a_next, a_prev, xt, parameters)
    """
    Wax, Waa, Wya = parameters["Wax"], parameters["Waa"], parameters["Wya"]
    ba, by = parameters["ba"], parameters["by"]
    a_next = np.tanh(np.dot(Waa, a_prev) + np.dot(Wax, xt) + ba)
    yt_pred = softmax(np.dot(Wya, a_next) + by)
    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def rnn_forward(
    x: Array, a0: Array, parameters: Params
) -> tuple[Array, Array, tuple[list[RNNCache], Array]]:
    """All steps of `rnn_cell_forward`.

    Parameters
    ----------
    x : (n_x, m, T_x)
    a0 : (n_a, m)
    parameters : dict

    Returns
    -------
    a, y_pred : (n_a, m, T_x), (n_y, m, T_x)
    caches : (list of the cells' caches, x)
    """
    _, m, T_x = x.shape
    n_y, n_a = parameters["Wya"].shape
    a, y_pred = np.zeros((n_a, m, T_x), x.dtype), np.zeros((n_y, m, T_x), x.dtype)
    caches = []
    a_next = a0
    for t in range(T_x):
        a_next, yt_pred, cache = rnn_cell_forward(x[:, :, t], a_next, parameters)
        a[:, :, t] = a_next
        y_pred[:, :, t] = yt_pred
        caches.append(cache)
    return a, y_pred, (caches, x)


def rnn_cell_backward(da_next: Array, cache: RNNCache) -> Params:
    """Gradients of one step; ``da_next`` (n_a, m) is that of ``a_next`` by all its uses.

    Returns
    -------
    gradients : dict
        ``dxt`` (n_x, m), ``da_prev`` (n_a, m), ``dWax`` (n_a, n_x), ``dWaa`` (n_a, n_a),
        ``dba`` (n_a, 1).
    """
    a_next, a_prev, xt, parameters = cache
    Wax, Waa = parameters["Wax"], parameters["Waa"]
    dtanh = (1 - a_next**2) * da_next
    return {
        "dxt": np.dot(Wax.T, dtanh),
        "da_prev": np.dot(Waa.T, dtanh),
        "dWax": np.dot(dtanh, xt.T),
        "dWaa": np.dot(dtanh, a_prev.T),
        "dba": np.sum(dtanh, axis=1, keepdims=True),
    }


def rnn_backward(da: Array, caches: tuple[Sequence[RNNCache], Array]) -> Params:
    """Backpropagate through the first T steps, of which ``da`` (n_a, m, T) has the gradients.

    Returns
    -------
    gradients : dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWax``, ``dWaa``, ``dba``.
    """
    cells, x = caches
    n_a, m, T_x = da.shape
    n_x = x.shape[0]
    dx = np.zeros((n_x, m, T_x), x.dtype)
    dWax, dWaa = np.zeros((n_a, n_x), x.dtype), np.zeros((n_a, n_a), x.dtype)
    dba = np.zeros((n_a, 1), x.dtype)
    da_prevt = np.zeros((n_a, m), x.dtype)
    for t in reversed(range(T_x)):
        gradients = rnn_cell_backward(da[:, :, t] + da_prevt, cells[t])
        da_prevt = gradients["da_prev"]
        dx[:, :, t] = gradients["dxt"]
        dWax += gradients["dWax"]
        dWaa += gradients["dWaa"]
        dba += gradients["dba"]
    return {"dx": dx, "da0": da_prevt, "dWax": dWax, "dWaa": dWaa, "dba": dba}


def lstm_cell_forward(
    xt: Array, a_prev: Array, c_prev: Array, parameters: Params
) -> tuple[Array, Array, Array, LSTMCache]:
    """One step, of the forget gate f, the update gate i, the candidate cc and the output gate o.

    With ``z = [a_prev; xt]``::

        ft, it, ot = sigmoid(Wf z + bf), sigmoid(Wi z + bi), sigmoid(Wo z + bo)
        cct = tanh(Wc z + bc)
        c_next = ft c_prev + it cct      a_next = ot tanh(c_next)
        yt_pred = softmax(Wy a_next + by)

    Parameters
    ----------
    xt : (n_x, m)
    a_prev, c_prev : (n_a, m)
    parameters : dict
        ``Wf``, ``Wi``, ``Wc``, ``Wo`` (n_a, n_a + n_x), ``bf``, ``bi``, ``bc``, ``bo`` (n_a, 1),
        ``Wy`` (n_y, n_a), ``by`` (n_y, 1).

    Returns
    -------
    a_next, c_next, yt_pred : (n_a, m), (n_a, m), (n_y, m)
    cache : (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    """
    concat = np.concatenate((a_prev, xt), axis=0)
    ft = sigmoid(np.dot(parameters["Wf"], concat) + parameters["bf"])
    it = sigmoid(np.dot(parameters["Wi"], concat) + parameters["bi"])
    cct = np.tanh(np.dot(parameters["Wc"], concat) + parameters["bc"])
    c_next = ft * c_prev + it * cct
    ot = sigmoid(np.dot(parameters["Wo"], concat) + parameters["bo"])
    a_next = ot * np.tanh(c_next)
    yt_pred = softmax(np.dot(parameters["Wy"], a_next) + parameters["by"])
    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, yt_pred, cache


def lstm_forward(
    x: Array, a0: Array, parameters: Params
) -> tuple[Array, Array, Array, tuple[list[LSTMCache], Array]]:
    """All steps of `lstm_cell_forward`, from a memory of zeros.

    Parameters
    ----------
    x : (n_x, m, T_x)
    a0 : (n_a, m)
    parameters : dict

    Returns
    -------
    a, y, c : (n_a, m, T_x), (n_y, m, T_x), (n_a, m, T_x)
    caches : (list of the cells' caches, x)
    """
    _, m, T_x = x.shape
    n_y, n_a = parameters["Wy"].shape
    a, c = np.zeros((n_a, m, T_x), x.dtype), np.zeros((n_a, m, T_x), x.dtype)
    y = np.zeros((n_y, m, T_x), x.dtype)
    caches = []
    a_next, c_next = a0, np.zeros((n_a, m), x.dtype)
    for t in range(T_x):
        a_next, c_next, yt, cache = lstm_cell_forward(x[:, :, t], a_next, c_next, parameters)
        a[:, :, t] = a_next
        c[:, :, t] = c_next
        y[:, :, t] = yt
        caches.append(cache)
    return a, y, c, (caches, x)


def lstm_cell_backward(da_next: Array, dc_next: Array, cache: LSTMCache) -> Params:
    """Gradients of one step; ``da_next``, ``dc_next`` (n_a, m) are those by later steps.

    ``dc_next`` leaves out what reaches ``c_next`` through ``a_next``.

    Returns
    -------
    gradients : dict
        ``dxt`` (n_x, m), ``da_prev``, ``dc_prev`` (n_a, m), and ``dWf``, ``dbf``, ``dWi``,
        ``dbi``, ``dWc``, ``dbc``, ``dWo``, ``dbo``.
    """
    _, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters = cache
    n_a = len(a_prev)
    Wf, Wi, Wc, Wo = (parameters[name] for name in ("Wf", "Wi", "Wc", "Wo"))
    dot = da_next * np.tanh(c_next) * ot * (1 - ot)
    dcct = (dc_next * it + ot * (1 - np.tanh(c_next) ** 2) * it * da_next) * (1 - cct**2)
    dit = (dc_next * cct + ot * (1 - np.tanh(c_next) ** 2) * cct * da_next) * it * (1 - it)
    dft = (dc_next * c_prev + ot * (1 - np.tanh(c_next) ** 2) * c_prev * da_next) * ft * (1 - ft)
    concat = np.concatenate((a_prev, xt), axis=0)
    da_prev = (
        np.dot(Wf[:, :n_a].T, dft)
        + np.dot(Wi[:, :n_a].T, dit)
        + np.dot(Wc[:, :n_a].T, dcct)
        + np.dot(Wo[:, :n_a].T, dot)
    )
    dc_prev = dc_next * ft + ot * (1 - np.tanh(c_next) ** 2) * ft * da_next
    dxt = (
        np.dot(Wf[:, n_a:].T, dft)
        + np.dot(Wi[:, n_a:].T, dit)
        + np.dot(Wc[:, n_a:].T, dcct)
        + np.dot(Wo[:, n_a:].T, dot)
    )
    return {
        "dxt": dxt,
        "da_prev": da_prev,
        "dc_prev": dc_prev,
        "dWf": np.dot(dft, concat.T),
        "dbf": np.sum(dft, axis=1, keepdims=True),
        "dWi": np.dot(dit, concat.T),
        "dbi": np.sum(dit, axis=1, keepdims=True),
        "dWc": np.dot(dcct, concat.T),
        "dbc": np.sum(dcct, axis=1, keepdims=True),
        "dWo": np.dot(dot, concat.T),
        "dbo": np.sum(dot, axis=1, keepdims=True),
    }


def lstm_backward(da: Array, caches: tuple[Sequence[LSTMCache], Array]) -> Params:
    """Backpropagate through the first T steps, of which ``da`` (n_a, m, T) has the gradients.

    Returns
    -------
    gradients : dict
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), and ``dWf``, ``dbf``, ``dWi``, ``dbi``, ``dWc``,
        ``dbc``, ``dWo``, ``dbo``.
    """
    cells, x = caches
    n_a, m, T_x = da.shape
    n_x = x.shape[0]
    dx = np.zeros((n_x, m, T_x), x.dtype)
    sums = {}
    for gate in "fico":
        sums[f"dW{gate}"] = np.zeros((n_a, n_a + n_x), x.dtype)
        sums[f"db{gate}"] = np.zeros((n_a, 1), x.dtype)
    da_prevt, dc_prevt = np.zeros((n_a, m), x.dtype), np.zeros((n_a, m), x.dtype)
    for t in reversed(range(T_x)):
        gradients = lstm_cell_backward(da[:, :, t] + da_prevt, dc_prevt, cells[t])
        da_prevt, dc_prevt = gradients["da_prev"], gradients["dc_prev"]
        dx[:, :, t] = gradients["dxt"]
        for name, total in sums.items():
            total += gradients[name]
    return {"dx": dx, "da0": da_prevt, **sums}
