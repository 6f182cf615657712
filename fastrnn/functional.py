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

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import recurrence
from fastrnn.cells import GRU, LSTM, RNN_RELU, RNN_TANH, Cell
from fastrnn.checks import (
    Array,
    as_array,
    check_choice,
    check_dtype,
    check_floats,
    check_shape,
    named_states,
    readable,
)
from fastrnn.recurrence import Input, Kept, States, Weights
from fastrnn.workspaces import WorkspacePool

__all__ = [
    "FunctionGrads",
    "FunctionTape",
    "gru",
    "gru_backward",
    "gru_forward",
    "lstm",
    "lstm_backward",
    "lstm_forward",
    "rnn",
    "rnn_backward",
    "rnn_forward",
]

_pool = {np.dtype(np.float32): WorkspacePool(), np.dtype(np.float64): WorkspacePool()}


class FunctionTape(NamedTuple):
    """What `rnn_backward` needs of one `rnn_forward`, `lstm_backward` of one `lstm_forward`.

    It refers to the input and the weights: change those after the backward pass.
    """

    cell: Cell
    inputs: Input
    kept: Kept
    weights: Weights


class FunctionGrads(NamedTuple):
    """Gradients, each in the shape of what it is the gradient of; no biases, no gradients.

    `state` is an array, for an LSTM a tuple of two.
    """

    x: Array
    state: Any
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
    cell = _rnn_cell(nonlinearity)
    tape, final = _run(cell, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=False)
    return tape.kept.output, final


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
    cell = _rnn_cell(nonlinearity)
    tape, final = _run(cell, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=True)
    return _read_only_output(tape), final, tape


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
    return _run_backward("rnn", (RNN_TANH, RNN_RELU), tape, d_output, d_state)


def lstm(
    x: ArrayLike,
    state: tuple[ArrayLike, ArrayLike],
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
) -> tuple[Array, tuple[Array, Array]]:
    """What `fastrnn.LSTM` computes, for inference.

    Arguments, results and errors are those of `rnn`, but `state` is a tuple (h, c), and weights and
    biases have 4*H rows, for the gates i, f, g, o.
    """
    tape, final = _run(LSTM, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=False)
    return tape.kept.output, final


def lstm_forward(
    x: ArrayLike,
    state: tuple[ArrayLike, ArrayLike],
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
) -> tuple[Array, tuple[Array, Array], FunctionTape]:
    """Run `lstm` and keep, in the tape, what `lstm_backward` needs; the output is read-only."""
    tape, final = _run(LSTM, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=True)
    return _read_only_output(tape), final, tape


def lstm_backward(
    tape: FunctionTape,
    d_output: ArrayLike | None = None,
    d_state: tuple[ArrayLike, ArrayLike] | None = None,
) -> FunctionGrads:
    """Backpropagate through time, as `rnn_backward`; `d_state` is a tuple (h, c)."""
    return _run_backward("lstm", (LSTM,), tape, d_output, d_state)


def gru(
    x: ArrayLike,
    state: ArrayLike,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """What `fastrnn.GRU` computes, for inference.

    Arguments, results and errors are those of `rnn`, but weights and biases have 3*H rows, for the
    gates r, z, n.
    """
    tape, final = _run(GRU, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=False)
    return tape.kept.output, final


def gru_forward(
    x: ArrayLike,
    state: ArrayLike,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None = None,
    bias_hh: ArrayLike | None = None,
) -> tuple[Array, Array, FunctionTape]:
    """Run `gru` and keep, in the tape, what `gru_backward` needs; the output is read-only."""
    tape, final = _run(GRU, x, state, weight_ih, weight_hh, bias_ih, bias_hh, keep=True)
    return _read_only_output(tape), final, tape


def gru_backward(
    tape: FunctionTape, d_output: ArrayLike | None = None, d_state: ArrayLike | None = None
) -> FunctionGrads:
    """Backpropagate through time, as `rnn_backward`."""
    return _run_backward("gru", (GRU,), tape, d_output, d_state)


def _rnn_cell(nonlinearity: str) -> Cell:
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
    return RNN_TANH if nonlinearity == "tanh" else RNN_RELU


def _run(
    cell: Cell,
    x: ArrayLike,
    state: Any,
    weight_ih: ArrayLike,
    weight_hh: ArrayLike,
    bias_ih: ArrayLike | None,
    bias_hh: ArrayLike | None,
    *,
    keep: bool,
) -> tuple[FunctionTape, Any]:
    inputs = as_array("x", x)
    dtype = check_dtype(inputs.dtype)
    if inputs.ndim != 3 or inputs.shape[2] < 1:
        raise ValueError(f"x must have shape (T, N, I) with I at least 1, got {inputs.shape}")
    time, batch, size = inputs.shape
    states: list[Array] = []
    for name, value in named_states("state", cell.states, state):
        array = check_floats(name, value, dtype)
        if states:
            check_shape(name, array, states[0].shape, "(N, H)")
        elif array.ndim != 2 or array.shape[0] != batch or array.shape[1] < 1:
            raise ValueError(f"{name} must have shape (N, H) = ({batch}, H), got {array.shape}")
        states.append(array)
    hidden = states[0].shape[1]
    if (bias_ih is None) != (bias_hh is None):
        given = "bias_ih" if bias_hh is None else "bias_hh"
        raise ValueError(f"bias_ih and bias_hh must both be given or neither, got {given} alone")
    gates = len(cell.gates)
    rows, read = gates * hidden, "H" if gates == 1 else f"{gates}*H"
    shapes = {
        "weight_ih": (weight_ih, (rows, size), f"({read}, I)"),
        "weight_hh": (weight_hh, (rows, hidden), f"({read}, H)"),
        "bias_ih": (bias_ih, (rows,), f"({read},)"),
        "bias_hh": (bias_hh, (rows,), f"({read},)"),
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
    source = Input(time, batch, size, False, floats, recurrence.empty(np.int64))
    both = np.array(states)
    ends = States(both.reshape(-1), 0, both[0].size, given=True)
    kept = recurrence.forward(cell, source, ends, hidden, [weights], _pool[dtype], keep=keep)
    return FunctionTape(cell, source, kept, weights), _as_given([*both])


def _as_given(states: list[Array]) -> Array | tuple[Array, ...]:
    return states[0] if len(states) == 1 else tuple(states)


def _read_only_output(tape: FunctionTape) -> Array:
    output = tape.kept.output
    output.flags.writeable = False
    return output


def _run_backward(
    name: str, cells: tuple[Cell, ...], tape: FunctionTape, d_output: Any, d_state: Any
) -> FunctionGrads:
    if not isinstance(tape, FunctionTape):
        raise TypeError(f"tape must be what {name}_forward returned, got {type(tape).__name__}")
    if tape.cell not in cells:
        raise ValueError(f"tape must be what {name}_forward returned, got one of {tape.cell.name}")
    x, weights = tape.inputs, tape.weights
    hidden, dtype = tape.kept.shapes.h[3], weights.weight_hh.dtype
    d_outputs = recurrence.empty(dtype)
    if d_output is not None:
        array = check_floats("d_output", d_output, dtype)
        check_shape("d_output", array, (x.time, x.batch, hidden), "(T, N, H)")
        d_outputs = readable(array).reshape(-1)
    carry = np.zeros((1, len(tape.cell.states), x.batch, hidden), dtype)
    if d_state is not None:
        for i, (label, value) in enumerate(named_states("d_state", tape.cell.states, d_state)):
            last = check_floats(label, value, dtype)
            check_shape(label, last, (x.batch, hidden), "(N, H)")
            carry[0, i] = last
    grads = Weights(*(np.empty_like(w) for w in weights))
    d_x = recurrence.backward(
        tape.cell, x, tape.kept, d_outputs, carry, [weights], [grads], _pool[dtype], wants_x=True
    )
    biases = (grads.bias_ih, grads.bias_hh) if grads.bias_ih.size else (None, None)
    return FunctionGrads(
        d_x.reshape(x.time, x.batch, x.size),
        _as_given([*carry[0]]),
        grads.weight_ih.reshape(-1, x.size),
        grads.weight_hh.reshape(-1, hidden),
        *biases,
    )
