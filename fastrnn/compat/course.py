"""The RNN and LSTM of a well-known course, cells and sequences, in its own layout.

The functions, names, caches and dicts of the assignment "Building your Recurrent Neural Network -
Step by Step" (deeplearning.ai, "Sequence Models", 2018)::

    from fastrnn.compat.course import *

in place of one's own ``rnn_forward``, ``lstm_cell_backward`` and so on. Samples are columns and
time is the last axis: n_x inputs, n_a hidden units, n_y outputs, m samples, T_x steps. The weights
of an LSTM multiply the concatenation ``[a; x]``. All arrays of a call are float64, or all float32.

What is fast is the sequence functions. A single cell has nothing to fuse, and its weights would be
packed for one step: the cell functions are NumPy (n_x = 64, m = 32, n_a = 128: 53 us, by the
kernels 95), and so is the backward pass over a list of caches that they made.

What differs from the published versions:

- `lstm_backward` gives the true gradients. The table of the first editions, which copies in
  circulation reproduce (``dx[1][2] = [-0.00173313 0.08287442 -0.30545663 -0.43281115]``), comes
  from a loop that calls ``lstm_cell_backward(da[:, :, t], dc_prevt, caches[t])`` and never sets
  ``da_prevt`` or ``dc_prevt``: both recurrent chains are cut, and no step's error reaches the
  steps before it. Finite differences refute it. Later editions print what comes out here.
- The softmax subtracts the largest number of each column. The published one subtracts that of the
  whole array, so that a column whose numbers are 746 below it becomes 0 / 0.
- The hidden states `a` and `c` of a sequence are read-only, since they are the very memory that
  the caches show; copy them to change them.
- Wrong shapes raise ValueError, missing parameters KeyError, other types TypeError, before any
  work. The published functions broadcast some of them into wrong results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array
from fastrnn.compat._course import (
    INPUT,
    LSTM,
    RNN,
    STATE,
    CellCaches,
    admit,
    backward,
    cell_arrays,
    columns,
    forward,
    sigmoid,
    softmax,
)

__all__ = [
    "lstm_backward",
    "lstm_cell_backward",
    "lstm_cell_forward",
    "lstm_forward",
    "rnn_backward",
    "rnn_cell_backward",
    "rnn_cell_forward",
    "rnn_forward",
]


def rnn_cell_forward(
    xt: ArrayLike, a_prev: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, Array, tuple[Any, ...]]:
    """One step.

    ``a_next = tanh(Waa a_prev + Wax xt + ba)``, ``yt_pred = softmax(Wya a_next + by)``

    Parameters
    ----------
    xt : array_like (n_x, m)
    a_prev : array_like (n_a, m)
    parameters : dict of array_like
        ``Wax`` (n_a, n_x), ``Waa`` (n_a, n_a), ``Wya`` (n_y, n_a), ``ba`` (n_a, 1), ``by``
        (n_y, 1).

    Returns
    -------
    a_next, yt_pred : ndarray (n_a, m), (n_y, m)
    cache : tuple (a_next, a_prev, xt, parameters)

    Raises
    ------
    KeyError, TypeError, ValueError
        For a parameter that is missing, a wrong type or shape, before any work.
    """
    given = ("xt", xt, INPUT), ("a_prev", a_prev, STATE)
    (array, a), p = admit(parameters, RNN.parameters, *given)
    a_next = np.tanh(np.dot(p["Waa"], a) + np.dot(p["Wax"], array) + p["ba"])
    yt_pred = softmax(np.dot(p["Wya"], a_next) + p["by"])
    return a_next, yt_pred, (a_next, a_prev, xt, parameters)


def lstm_cell_forward(
    xt: ArrayLike, a_prev: ArrayLike, c_prev: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, Array, Array, tuple[Any, ...]]:
    """One step, of the forget gate f, the update gate i, the candidate cc and the output gate o.

    With ``z = [a_prev; xt]``::

        ft, it, ot = sigmoid(Wf z + bf), sigmoid(Wi z + bi), sigmoid(Wo z + bo)
        cct = tanh(Wc z + bc)
        c_next = ft c_prev + it cct      a_next = ot tanh(c_next)
        yt_pred = softmax(Wy a_next + by)

    Parameters
    ----------
    xt : array_like (n_x, m)
    a_prev, c_prev : array_like (n_a, m)
    parameters : dict of array_like
        ``Wf``, ``Wi``, ``Wc``, ``Wo`` (n_a, n_a + n_x), ``bf``, ``bi``, ``bc``, ``bo`` (n_a, 1),
        ``Wy`` (n_y, n_a), ``by`` (n_y, 1).

    Returns
    -------
    a_next, c_next, yt_pred : ndarray (n_a, m), (n_a, m), (n_y, m)
    cache : tuple (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    given = ("xt", xt, INPUT), ("a_prev", a_prev, STATE), ("c_prev", c_prev, STATE)
    (array, a, c), p = admit(parameters, LSTM.parameters, *given)
    z = np.concatenate((a, array))
    ft, it, ot = (sigmoid(np.dot(p[f"W{gate}"], z) + p[f"b{gate}"]) for gate in "fio")
    cct = np.tanh(np.dot(p["Wc"], z) + p["bc"])
    c_next = ft * c + it * cct
    a_next = ot * np.tanh(c_next)
    yt_pred = softmax(np.dot(p["Wy"], a_next) + p["by"])
    cache = (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)
    return a_next, c_next, yt_pred, cache


def rnn_forward(
    x: ArrayLike, a0: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, Array, tuple[CellCaches, Any]]:
    """All steps of `rnn_cell_forward`.

    Parameters
    ----------
    x : array_like (n_x, m, T_x)
    a0 : array_like (n_a, m)
    parameters : dict of array_like
        As for `rnn_cell_forward`.

    Returns
    -------
    a : ndarray (n_a, m, T_x)
        Read-only.
    y_pred : ndarray (n_y, m, T_x)
    caches : tuple (list of the cells' caches, x)

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    array, kept, y_pred = forward(RNN, x, a0, parameters)
    h = columns(kept.h[:, :, 0])
    cells = zip(h[1:], h[:-1], array.transpose(2, 0, 1), repeat(parameters), strict=False)
    caches = CellCaches(cells, RNN, array, kept, parameters)
    return h[1:].transpose(1, 2, 0), y_pred, (caches, x)


def lstm_forward(
    x: ArrayLike, a0: ArrayLike, parameters: Mapping[str, ArrayLike]
) -> tuple[Array, Array, Array, tuple[CellCaches, Any]]:
    """All steps of `lstm_cell_forward`, from a memory of zeros.

    Parameters
    ----------
    x : array_like (n_x, m, T_x)
    a0 : array_like (n_a, m)
    parameters : dict of array_like
        As for `lstm_cell_forward`.

    Returns
    -------
    a, y, c : ndarray (n_a, m, T_x), (n_y, m, T_x), (n_a, m, T_x)
        `a` and `c` are read-only.
    caches : tuple (list of the cells' caches, x)

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    array, kept, y = forward(LSTM, x, a0, parameters)
    h, c = columns(kept.h[:, :, 0]), columns(kept.memory[0][0])
    it, ft, cct, ot, _ = columns(kept.saved[0].transpose(2, 0, 1, 3))
    steps = (h[1:], c[1:], h[:-1], c[:-1], ft, it, cct, ot, array.transpose(2, 0, 1))
    cells = zip(*steps, repeat(parameters), strict=False)
    caches = CellCaches(cells, LSTM, array, kept, parameters)
    return h[1:].transpose(1, 2, 0), y, c[1:].transpose(1, 2, 0), (caches, x)


def rnn_cell_backward(da_next: ArrayLike, cache: Sequence[Any]) -> dict[str, Array]:
    """Backpropagate through one step.

    Parameters
    ----------
    da_next : array_like (n_a, m)
        Gradient of the loss by ``a_next``, by all its uses.
    cache : tuple (a_next, a_prev, xt, parameters)

    Returns
    -------
    gradients : dict of ndarray
        ``dxt`` (n_x, m), ``da_prev`` (n_a, m), ``dWax`` (n_a, n_x), ``dWaa`` (n_a, n_a),
        ``dba`` (n_a, 1).

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    (da,), held, p = cell_arrays(RNN, {"da_next": da_next}, cache)
    dz = (1 - held["a_next"] ** 2) * da
    return {
        "dxt": np.dot(p["Wax"].T, dz),
        "da_prev": np.dot(p["Waa"].T, dz),
        "dWax": np.dot(dz, held["xt"].T),
        "dWaa": np.dot(dz, held["a_prev"].T),
        "dba": dz.sum(axis=1, keepdims=True),
    }


def lstm_cell_backward(
    da_next: ArrayLike, dc_next: ArrayLike, cache: Sequence[Any]
) -> dict[str, Array]:
    """Backpropagate through one step.

    Parameters
    ----------
    da_next, dc_next : array_like (n_a, m)
        Gradients of the loss by ``a_next`` and ``c_next``; the latter by later steps alone, without
        what reaches it through ``a_next``.
    cache : tuple (a_next, c_next, a_prev, c_prev, ft, it, cct, ot, xt, parameters)

    Returns
    -------
    gradients : dict of ndarray
        ``dxt`` (n_x, m), ``da_prev``, ``dc_prev`` (n_a, m), ``dWf``, ``dWi``, ``dWc``, ``dWo``
        (n_a, n_a + n_x), ``dbf``, ``dbi``, ``dbc``, ``dbo`` (n_a, 1).

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    (da, dc), held, p = cell_arrays(LSTM, {"da_next": da_next, "dc_next": dc_next}, cache)
    ft, it, cct, ot = (held[name] for name in ("ft", "it", "cct", "ot"))
    bent = np.tanh(held["c_next"])
    dc = dc + da * ot * (1 - bent**2)
    d_gates = {
        "f": dc * held["c_prev"] * ft * (1 - ft),
        "i": dc * cct * it * (1 - it),
        "c": dc * it * (1 - cct**2),
        "o": da * bent * ot * (1 - ot),
    }
    z = np.concatenate((held["a_prev"], held["xt"]))
    dz = np.zeros_like(z)
    gradients: dict[str, Array] = {}
    for gate, d in d_gates.items():
        dz += np.dot(p[f"W{gate}"].T, d)
        gradients |= {f"dW{gate}": np.dot(d, z.T), f"db{gate}": d.sum(axis=1, keepdims=True)}
    n_a = len(da)
    return {"dxt": dz[n_a:], "da_prev": dz[:n_a], "dc_prev": dc * ft, **gradients}


def rnn_backward(da: ArrayLike, caches: tuple[Sequence[Any], Any]) -> dict[str, Array]:
    """Backpropagate through the sequence, or through its first T steps.

    Parameters
    ----------
    da : array_like (n_a, m, T)
        Gradients of the loss by the hidden states of the steps 0 to T - 1, by what is computed
        from them outside of the network.
    caches : tuple (list of the cells' caches, x)
        What `rnn_forward` returned, or one made of the caches of `rnn_cell_forward`, whose steps
        then go one by one.

    Returns
    -------
    gradients : dict of ndarray
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWax`` (n_a, n_x), ``dWaa`` (n_a, n_a), ``dba``
        (n_a, 1).

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    return backward(RNN, rnn_cell_backward, da, caches)


def lstm_backward(da: ArrayLike, caches: tuple[Sequence[Any], Any]) -> dict[str, Array]:
    """Backpropagate through the sequence, or through its first T steps.

    See the module's text for the published version of the first editions, which is wrong.

    Parameters
    ----------
    da : array_like (n_a, m, T)
        As for `rnn_backward`.
    caches : tuple (list of the cells' caches, x)
        What `lstm_forward` returned, or one made of the caches of `lstm_cell_forward`.

    Returns
    -------
    gradients : dict of ndarray
        ``dx`` (n_x, m, T), ``da0`` (n_a, m), ``dWf``, ``dWi``, ``dWc``, ``dWo`` (n_a, n_a + n_x),
        ``dbf``, ``dbi``, ``dbc``, ``dbo`` (n_a, 1).

    Raises
    ------
    KeyError, TypeError, ValueError
        As `rnn_cell_forward`.
    """
    return backward(LSTM, lstm_cell_backward, da, caches)
