"""Single steps, for loops of one's own."""

from __future__ import annotations

from typing import Any, Generic, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.cells import GRU, GRU_RESET_BEFORE, LSTM, RNN_RELU, RNN_TANH, Cell
from fastrnn.checks import (
    Array,
    FixedSizes,
    check_bool,
    check_choice,
    check_floats,
    check_shape,
    named_states,
)
from fastrnn.layers.base import Recurrent
from fastrnn.layers.values import Grads, State, Tape
from fastrnn.params import HasParameters


class OneStep(FixedSizes, HasParameters, Generic[State]):
    """One step of a cell: a `Recurrent` of one layer that reads one time.

    Parameters
    ----------
    cell : Cell
    input_size, hidden_size, bias, dtype, seed
        As those of `fastrnn.RNN`.

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih``, ``weight_hh``, ``bias_ih`` and ``bias_hh``, in the shapes that the layer of
        the cell has them.
    flat : ndarray
        The buffer that `params` are views of.
    """

    _fixed = frozenset({"cell", "input_size", "hidden_size", "bias", "dtype", "nonlinearity"})

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        layer: Recurrent[Any] = Recurrent(
            cell, input_size, hidden_size, bias=bias, dtype=dtype, seed=seed
        )
        self._layer = layer
        self.cell = cell
        self.input_size = layer.input_size
        self.hidden_size = layer.hidden_size
        self.bias = layer.bias
        self.dtype = layer.dtype
        # One object, so that the layer knows who may write to it. It has read no weights before.
        self._parameters = layer._parameters.renamed(lambda name: name.removesuffix("_l0"))
        layer._parameters = self._parameters

    def __call__(self, x: ArrayLike, state: Any = None) -> State:
        """One step for inference.

        Parameters
        ----------
        x : array_like (N, I) or (I,)
        state : ndarray (N, H), or (H,) unbatched, or a tuple of them; zeros if None

        Returns
        -------
        state : as `state`
            After the step; its first or only array is the output.

        Raises
        ------
        TypeError, ValueError
            For a wrong type, precision or shape, before any work.
        """
        _, final = self._layer(*self._as_sequence(x, state))
        return self._as_step(final)

    def forward(self, x: ArrayLike, state: Any = None) -> tuple[State, Tape]:
        """One step that keeps, in the tape, what `backward` needs."""
        _, final, tape = self._layer.forward(*self._as_sequence(x, state))
        return self._as_step(final), tape

    def backward(
        self, tape: Tape, d_state: Any, *, wants_x: bool = True, wants_state: bool = True
    ) -> Grads[State]:
        """Backpropagate through the step.

        Parameters
        ----------
        tape : Tape
            Of a call of `forward`. It can be used again.
        d_state : as the state
            Gradient of the loss by the state after the step.
        wants_x, wants_state : bool
            Whether to compute the gradients of the input and of the state before.

        Returns
        -------
        Grads
            For several steps add them up; ``grads.state`` is the `d_state` of the step before.

        Raises
        ------
        TypeError, ValueError
            For a wrong type, precision or shape, before any work.
        """
        d_last = None
        if isinstance(tape, Tape) and tape.inputs:  # What else it may be, the layer refuses.
            d_last = self._states("d_state", d_state, tape.inputs[0].batch, tape.batched)
        grads = self._layer.backward(tape, None, d_last, wants_x=wants_x, wants_state=wants_state)
        x = None if grads.x is None else grads.x[0]
        state = None if grads.state is None else self._as_step(grads.state)
        return Grads(x, state, grads.flat, self._parameters.places)

    def _as_sequence(self, x: ArrayLike, state: Any) -> tuple[Array, Any]:
        """The layer's arguments."""
        array = check_floats("x", x, self.dtype)
        size = self.input_size
        if array.ndim not in (1, 2) or array.shape[-1] != size:
            raise ValueError(f"x must have shape (N, I) or (I,) with I = {size}, got {array.shape}")
        batched = array.ndim == 2
        first = None if state is None else self._states("state", state, len(array), batched)
        return array[None], first

    def _states(self, name: str, state: Any, batch: int, batched: bool) -> Any:
        """The states (N, H) as the layer's (1, N, H)."""
        hidden = self.hidden_size
        shape = (batch, hidden) if batched else (hidden,)
        meaning = "(N, H)" if batched else "(H,)"
        arrays = []
        for label, value in named_states(name, self.cell.states, state):
            array = check_floats(label, value, self.dtype)
            check_shape(label, array, shape, meaning)
            arrays.append(array[None])
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def _as_step(self, states: Any) -> State:
        several = isinstance(states, tuple)
        return cast(State, tuple(s[0] for s in states) if several else states[0])

    def __repr__(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [] if self.bias else ["bias=False"]
        return f"{type(self).__name__}({', '.join(parts)}, dtype={self.dtype.name})"


class RNNCell(OneStep[Array]):
    """One step of `fastrnn.RNN`, with the names, shapes and meaning of ``torch.nn.RNNCell``.

    Parameters, methods and attributes are those of `OneStep`; `nonlinearity` is "tanh" or "relu".

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> cell = fastrnn.RNNCell(3, 5, seed=0)
    >>> h = cell(np.ones((2, 3), np.float32))
    >>> h = cell(np.ones((2, 3), np.float32), h)
    >>> h.shape
    (2, 5)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        cell = RNN_TANH if nonlinearity == "tanh" else RNN_RELU
        super().__init__(cell, input_size, hidden_size, bias, dtype=dtype, seed=seed)


class LSTMCell(OneStep[tuple[Array, Array]]):
    """One step of `fastrnn.LSTM`, with the names, shapes and meaning of ``torch.nn.LSTMCell``.

    Parameters, methods and attributes are those of `OneStep`; the state is a tuple (h, c).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        super().__init__(LSTM, input_size, hidden_size, bias, dtype=dtype, seed=seed)


class GRUCell(OneStep[Array]):
    """One step of `fastrnn.GRU`, with the names, shapes and meaning of ``torch.nn.GRUCell``.

    Parameters, methods and attributes are those of `OneStep`; `reset_after` is that of
    `fastrnn.GRU`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        reset_after: bool = True,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        cell = GRU if check_bool("reset_after", reset_after) else GRU_RESET_BEFORE
        super().__init__(cell, input_size, hidden_size, bias, dtype=dtype, seed=seed)
