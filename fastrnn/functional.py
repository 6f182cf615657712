"""Recurrent layers as functions of plain arrays, for those who keep their own parameters.

One layer in one direction, time-major; `fastrnn.RNN` has stacks, directions and other layouts.

>>> import numpy as np
>>> from fastrnn.functional import rnn_backward, rnn_forward
>>> x, h0 = np.ones((7, 2, 3), np.float32), np.zeros((2, 5), np.float32)
>>> w_ih, w_hh = np.ones((5, 3), np.float32), np.eye(5, dtype=np.float32)
>>> output, h_last, tape = rnn_forward(x, h0, w_ih, w_hh)
>>> grads = rnn_backward(tape, d_output=np.ones_like(output))
>>> grads.weight_hh.shape
(5, 5)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import recurrence
from fastrnn.cells import RNN_RELU, RNN_TANH, Cell
from fastrnn.checks import (
    Array,
    as_array,
    check_choice,
    check_dtype,
    check_floats,
    check_shape,
    readable,
)
from fastrnn.plan import WorkspacePool
from fastrnn.recurrence import Input, Kept, Weights

__all__ = ["FunctionGrads", "FunctionTape", "rnn", "rnn_backward", "rnn_forward"]

_pool = {np.dtype(np.float32): WorkspacePool(), np.dtype(np.float64): WorkspacePool()}


class FunctionTape(NamedTuple):
    """What `rnn_backward` needs of one `rnn_forward`.

    It refers to the input and the weights: change those after the backward pass.
    """

    cell: Cell
    inputs: Input
    kept: Kept
    weights: Weights


class FunctionGrads(NamedTuple):
    """Gradients, each in the shape of what it is the gradient of; no biases, no gradients."""

    x: Array
    state: Array
    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None
    bias_hh: Array | None


def rnn(
    x: ArrayLike,
    state: ArrayLike,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
    *,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array]:
    """h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) for inference.

    Parameters
    ----------
    x : array_like (T, N, I)
        float32 or float64; everything else has the same type.
    state : array_like (N, H)
    weight_ih : array_like (H, I)
    weight_hh : array_like (H, H)
    bias_ih, bias_hh : array_like (H,), optional
        Both or neither.
    nonlinearity : {"tanh", "relu"}

    Returns
    -------
    output : ndarray (T, N, H)
    state : ndarray (N, H)
        After the last step.

    Raises
    ------
    TypeError, ValueError
        For a wrong type, precision or shape, before any work.
    """
    tape = _run(x, state, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity, keep=False)
    return tape.kept.output, tape.kept.final(0)[0].copy()


def rnn_forward(
    x: ArrayLike,
    state: ArrayLike,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
    *,
    nonlinearity: str = "tanh",
) -> tuple[Array, Array, FunctionTape]:
    """Run `rnn` and keep, in the tape, what `rnn_backward` needs; the output is read-only."""
    tape = _run(x, state, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity, keep=True)
    output = tape.kept.output
    output.flags.writeable = False
    return output, tape.kept.final(0)[0].copy(), tape


def rnn_backward(
    tape: FunctionTape, d_output: ArrayLike | None = None, d_state: ArrayLike | None = None
) -> FunctionGrads:
    """Backpropagate through time.

    Parameters
    ----------
    tape : FunctionTape
        Of a call of `rnn_forward`.
    d_output : array_like (T, N, H), optional
        Gradient of the loss by the output; zero if None.
    d_state : array_like (N, H), optional
        Gradient of the loss by the state after the last step; zero if None.

    Returns
    -------
    FunctionGrads

    Raises
    ------
    TypeError, ValueError
        For a wrong type, precision or shape, before any work.
    """
    if not isinstance(tape, FunctionTape):
        raise TypeError(f"tape must be what rnn_forward returned, got {type(tape).__name__}")
    x, weights = tape.inputs, tape.weights
    hidden, dtype = tape.kept.h.shape[3], weights.weight_hh.dtype
    d_outputs = recurrence.empty(dtype)
    if d_output is not None:
        array = check_floats("d_output", d_output, dtype)
        check_shape("d_output", array, (x.time, x.batch, hidden), "(T, N, H)")
        d_outputs = readable(array).reshape(-1)
    carry = np.zeros((1, 1, x.batch, hidden), dtype)
    if d_state is not None:
        last = check_floats("d_state", d_state, dtype)
        check_shape("d_state", last, (x.batch, hidden), "(N, H)")
        carry[0, 0] = last
    grads = Weights(*(np.empty_like(w) for w in weights))
    d_x = recurrence.backward(
        tape.cell, x, tape.kept, d_outputs, carry, [weights], [grads], _pool[dtype], wants_x=True
    )
    biases = (grads.bias_ih, grads.bias_hh) if grads.bias_ih.size else (None, None)
    return FunctionGrads(
        d_x.reshape(x.time, x.batch, x.size),
        carry[0, 0],
        grads.weight_ih.reshape(hidden, x.size),
        grads.weight_hh.reshape(hidden, hidden),
        *biases,
    )


def _run(
    x: ArrayLike,
    state: ArrayLike,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None,
    bias_hh: ArrayLike | None,
    nonlinearity: str,
    *,
    keep: bool,
) -> FunctionTape:
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    cell = RNN_TANH if nonlinearity == "tanh" else RNN_RELU
    inputs = as_array("x", x)
    dtype = check_dtype(inputs.dtype)
    if inputs.ndim != 3 or inputs.shape[2] < 1:
        raise ValueError(f"x must have shape (T, N, I) with I at least 1, got {inputs.shape}")
    time, batch, size = inputs.shape
    first = check_floats("state", state, dtype)
    if first.ndim != 2 or first.shape[0] != batch or first.shape[1] < 1:
        raise ValueError(f"state must have shape (N, H) = ({batch}, H), got {first.shape}")
    hidden = first.shape[1]
    if (bias_ih is None) != (bias_hh is None):
        given = "bias_ih" if bias_hh is None else "bias_hh"
        raise ValueError(f"bias_ih and bias_hh must both be given or neither, got {given} alone")
    shapes = {
        "weight_ih": (weight_ih, (hidden, size), "(H, I)"),
        "weight_hh": (weight_hh, (hidden, hidden), "(H, H)"),
        "bias_ih": (bias_ih, (hidden,), "(H,)"),
        "bias_hh": (bias_hh, (hidden,), "(H,)"),
    }
    parts = []
    for name, (value, shape, meaning) in shapes.items():
        if value is None:
            parts.append(recurrence.empty(dtype))
            continue
        array = check_floats(name, value, dtype)
        check_shape(name, array, shape, meaning)
        parts.append(readable(array).reshape(-1))
    parts.append(recurrence.empty(dtype))
    weights = Weights(*parts)
    floats = readable(inputs).reshape(-1)
    read = Input(time, batch, size, False, floats, recurrence.empty(np.int64))
    kept = recurrence.forward(cell, read, [first[None]], hidden, [weights], _pool[dtype], keep=keep)
    return FunctionTape(cell, read, kept, weights)
