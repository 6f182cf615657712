"""Layers that are fed step by step or block by block."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.cells import Cell
from fastrnn.checks import Array, check_floats, check_shape, named_states, readable
from fastrnn.plan import flattened, plan_layer
from fastrnn.recurrence import Weights
from fastrnn.workspaces import aligned_empty

#: Steps that the kernels take in one turn; the states of so many are held at a time.
BLOCK = 256


class _Buffers(NamedTuple):
    """What the addresses in a handle point to."""

    h: Array
    memory: Array
    work: Array
    units: Array
    weight: Array
    bias: Array


class Stream:
    """A stack of layers that goes on from where it is; made by ``layer.stream``.

    The weights are packed when it is made: later changes of the layer's parameters do not reach
    it. `step` and `block` allocate nothing if `out` is given. A stream is one sequence (or a batch
    of N that go on together) and is to be used by one thread at a time; make one for each.

    Attributes
    ----------
    state : ndarray, or tuple of ndarray, each (L, N, H)
        The present states, copied out and copied in.
    handle : ndarray of int64
        The stream as `kernel` takes it.
    kernel : callable
        ``kernel(handle, out, x)`` for compiled code of yours: a function that Numba compiles can
        call it. `out` and `x` are contiguous arrays of one dimension: T*N*O (or T*N*H) and T*N*I
        numbers. Nothing is checked. Keep the stream alive.
    """

    def __init__(
        self,
        cell: Cell,
        weights: Sequence[Weights],
        inputs: int,
        hidden: int,
        batch: int,
        readout: tuple[ArrayLike, ArrayLike | None] | None,
    ) -> None:
        self._cell = cell
        self._dtype = dtype = weights[0].weight_ih.dtype
        layers, others = len(weights), len(cell.states) - 1
        weight, bias = self._readout(readout, hidden)
        outputs = len(bias)
        self._step_shape = (batch, inputs)
        self._out_width = outputs or hidden
        plans = [
            plan_layer(cell, dtype, BLOCK, batch, size, hidden, reuse=True)
            for size in [inputs] + [hidden] * (layers - 1)
        ]
        lines = 64 // dtype.itemsize
        work_size = -(-max(plan.work for plan in plans) // lines) * lines
        self._buffers = _Buffers(
            np.zeros((layers, BLOCK + 1, batch, hidden), dtype),
            np.zeros((layers, others, 2, batch, hidden), dtype),
            aligned_empty(layers * work_size, dtype).reshape(layers, work_size),
            np.concatenate([w.units for w in weights]),
            weight,
            bias,
        )
        self._drivers = _drivers(cell)
        for plan, w, work in zip(plans, weights, self._buffers.work, strict=True):
            self._drivers.pack(
                work, w.weight_ih, w.weight_hh, w.bias_ih, w.bias_hh, True, _alone(), plan.layer
            )
        self.handle = self._make_handle(plans, batch, inputs, hidden, outputs, work_size)

    def _make_handle(
        self, plans: Any, batch: int, inputs: int, hidden: int, outputs: int, work_size: int
    ) -> Array:
        from fastrnn.kernels.jit import dots_address
        from fastrnn.kernels.stream import Stream as Head
        from fastrnn.simd import dots

        numbers = [plan.numbers for plan in plans]
        marked = flattened(plans[0].layer._replace(time=-1))
        rows = min(dots.ROWS_MAX, BLOCK * batch)
        place = {name: array.ctypes.data for name, array in self._buffers._asdict().items()}
        head = Head(
            layers=len(plans), batch=batch, inputs=inputs, hidden=hidden, outputs=outputs,
            block=BLOCK, time_place=marked.index(-1), plan_size=len(numbers[0]),
            work_size=work_size, dot_rows=rows, dot_columns=1, dots=dots_address(self._dtype),
            **place,
        )  # fmt: skip
        return np.concatenate([np.array(head, np.int64), *numbers])

    def _readout(
        self, readout: tuple[ArrayLike, ArrayLike | None] | None, hidden: int
    ) -> tuple[Array, Array]:
        if readout is None:
            return np.zeros((0, hidden), self._dtype), np.zeros(0, self._dtype)
        if not (isinstance(readout, tuple | list) and len(readout) == 2):
            raise TypeError(
                f"readout must be a pair (weight, bias), bias perhaps None, got {readout!r}"
            )
        weight = check_floats("readout weight", readout[0], self._dtype)
        if weight.ndim != 2 or weight.shape[1] != hidden or not len(weight):
            raise ValueError(
                f"readout weight must have shape (O, H) = (O, {hidden}), got {weight.shape}"
            )
        bias = np.zeros(len(weight), self._dtype)
        if readout[1] is not None:
            given = check_floats("readout bias", readout[1], self._dtype)
            check_shape("readout bias", given, bias.shape, "(O,)")
            bias[...] = given
        return np.array(weight, order="C"), bias

    @functools.cached_property
    def kernel(self) -> Any:
        """See the class."""
        return self._drivers.kernel

    def step(self, x: ArrayLike, out: Array | None = None) -> Array:
        """One time step.

        Parameters
        ----------
        x : array_like (N, I), or (I,) if N is 1
        out : ndarray (N, O), or (N, H) without a readout; contiguous, optional
            Where the result goes; a new array if not given.

        Returns
        -------
        out : ndarray

        Raises
        ------
        TypeError, ValueError
            For a wrong type, precision or shape, before any work.
        """
        if not (
            type(x) is np.ndarray
            and x.shape == self._step_shape
            and x.dtype == self._dtype
            and x.flags.carray
        ):
            x = self._checked(x, self._step_shape)
        if out is None:
            out = np.empty((self._step_shape[0], self._out_width), self._dtype)
        elif not (
            type(out) is np.ndarray
            and out.shape == (self._step_shape[0], self._out_width)
            and out.dtype == self._dtype
            and out.flags.carray
        ):
            self._refuse(out, (self._step_shape[0], self._out_width), "(N, O)")
        self._drivers.run(self.handle, out.ravel(), x.ravel())
        return out

    def block(self, x: ArrayLike, out: Array | None = None) -> Array:
        """Many time steps: x (T, N, I), or (T, I) if N is 1; out (T, N, O). Else as `step`."""
        array = np.asarray(x)
        time = len(array) if array.ndim else 0
        x = self._checked(array, (time, *self._step_shape))
        shape = (time, self._step_shape[0], self._out_width)
        if out is None:
            out = np.empty(shape, self._dtype)
        elif not (
            isinstance(out, np.ndarray)
            and out.shape == shape
            and out.dtype == self._dtype
            and out.flags.carray
        ):
            self._refuse(out, shape, "(T, N, O)")
        if out.size:
            self._drivers.run(self.handle, out.reshape(-1), x.reshape(-1))
        return out

    def _checked(self, x: ArrayLike, shape: tuple[int, ...]) -> Array:
        array = check_floats("x", x, self._dtype)
        meaning = "(N, I)" if len(shape) == 2 else "(T, N, I)"
        if self._step_shape[0] == 1 and array.ndim == len(shape) - 1:
            array = np.expand_dims(array, -2)
        check_shape("x", array, shape, meaning)
        return readable(array)

    def _refuse(self, out: Any, shape: tuple[int, ...], meaning: str) -> None:
        what = getattr(out, "shape", None), getattr(out, "dtype", type(out).__name__)
        raise ValueError(
            f"out must be a contiguous, writable {self._dtype} array of shape {meaning} = {shape}, "
            f"got shape {what[0]} of {what[1]}"
        )

    @property
    def state(self) -> Any:
        """The present states."""
        memory = self._buffers.memory
        states = (self._buffers.h[:, 0].copy(), *(memory[:, i, 0].copy() for i in self._others))
        return states if len(states) > 1 else states[0]

    @state.setter
    def state(self, state: Any) -> None:
        place = self._buffers.h[:, 0]
        checked = []
        for name, value in named_states("state", self._cell.states, state):
            array = check_floats(name, value, self._dtype)
            check_shape(name, array, place.shape, "(L, N, H)")
            checked.append(array)
        place[...] = checked[0]
        for i in self._others:
            self._buffers.memory[:, i, 0] = checked[i + 1]

    @property
    def _others(self) -> range:
        return range(len(self._cell.states) - 1)

    def __reduce__(self) -> Any:
        raise TypeError(
            "a Stream cannot be copied or pickled: make another with layer.stream and give it "
            "this one's state_dict"
        )

    def reset(self) -> None:
        """Begin anew from states of zero."""
        self._buffers.h[:, 0] = 0
        self._buffers.memory[...] = 0

    def state_dict(self) -> dict[str, Array]:
        """Copies of the states by name, for a file; `load_state_dict` takes them again."""
        state = self.state if len(self._cell.states) > 1 else (self.state,)
        return dict(zip(self._cell.states, state, strict=True))

    def load_state_dict(self, states: Mapping[str, Any]) -> None:
        """Set the states to what `state_dict` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            For names that are missing or unknown, another precision, another shape.
        """
        if set(states) != set(self._cell.states):
            raise KeyError(f"states must be {', '.join(self._cell.states)}, got {sorted(states)}")
        values = tuple(states[name] for name in self._cell.states)
        self.state = values if len(values) > 1 else values[0]


@functools.cache
def _drivers(cell: Cell) -> Any:
    from fastrnn.kernels.bound import stream_drivers

    return stream_drivers(cell)


def _alone() -> Any:
    from fastrnn.kernels.team import ALONE

    return ALONE
