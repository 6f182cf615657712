"""Shapes of parameters, and users' layouts as the kernels': time-major, batched, contiguous."""

from __future__ import annotations

from typing import Any, Generic, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import recurrence
from fastrnn.cells import Cell
from fastrnn.checks import (
    Array,
    check_floats,
    check_shape,
    check_tokens,
    named_states,
    readable,
)
from fastrnn.layers.values import OneHot, State
from fastrnn.params import Places, Spec
from fastrnn.recurrence import Input


class Layouts(Generic[State]):
    """What `Recurrent` knows of shapes; it has the sizes."""

    cell: Cell
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    bidirectional: bool
    directions: int
    batch_first: bool
    dtype: np.dtype[Any]
    _spans: list[list[slice]]

    def _specs(self) -> list[Spec]:
        hidden, gates = self.hidden_size, len(self.cell.gates)
        factor = "" if gates == 1 else f"{gates}*"
        specs = []
        for layer in range(self.num_layers):
            inputs = self.input_size if layer == 0 else self.directions * hidden
            read = "I" if layer == 0 else ("2*H" if self.bidirectional else "H")
            for direction in range(self.directions):
                end = f"l{layer}{'_reverse' if direction else ''}"
                rows = gates * hidden
                specs.append(Spec(f"weight_ih_{end}", (rows, inputs), f"({factor}H, {read})"))
                if self.cell.recurrent:
                    specs.append(Spec(f"weight_hh_{end}", (rows, hidden), f"({factor}H, H)"))
                if self.bias:
                    specs.append(Spec(f"bias_ih_{end}", (rows,), f"({factor}H,)"))
                if self.bias and self.cell.recurrent:
                    specs.append(Spec(f"bias_hh_{end}", (rows,), f"({factor}H,)"))
                specs += [Spec(f"{name}_{end}", (hidden,), "(H,)") for name in self.cell.weights]
        return specs

    def _find_spans(self, places: Places) -> list[list[slice]]:
        """Where the `Weights` of each layer and direction lie in the flat buffer."""
        names = [["weight_ih"], ["weight_hh"], ["bias_ih"], ["bias_hh"], [*self.cell.weights]]
        return [
            [places.span([f"{name}_l{layer}{end}" for name in group]) for group in names]
            for layer in range(self.num_layers)
            for end in ("", "_reverse")[: self.directions]
        ]

    def _weights_in(self, flat: Array, layer: int) -> list[list[Array]]:
        """What lies in `flat` as a layer's `Weights` do, of each direction."""
        first = layer * self.directions
        return [
            [flat[span] for span in spans] for spans in self._spans[first : first + self.directions]
        ]

    def _is_plain(self, x: Any) -> TypeGuard[Array]:
        """Whether `x` is an input (T, N, I) as kernels take it."""
        return (
            type(x) is np.ndarray and x.dtype == self.dtype and x.ndim == 3 and x.flags.carray
            and x.shape[2] == self.input_size and not self.batch_first
        )  # fmt: skip

    def _input(self, x: ArrayLike | OneHot) -> tuple[Input, bool]:
        if self._is_plain(x):  # 1 us sooner
            time, batch, size = x.shape
            integers = recurrence.empty(np.int64)
            return Input(time, batch, size, False, x.ravel(), integers), True
        tokens = isinstance(x, OneHot)
        if isinstance(x, OneHot):
            array: Array = check_tokens("tokens", x.tokens, self.input_size, "input_size")
            dims, name = (1, 2), "tokens"
        else:
            array = check_floats("x", x, self.dtype)
            dims, name = (2, 3), "x"
        if array.ndim not in dims:
            order = "N, T" if self.batch_first else "T, N"
            last = "" if tokens else ", I"
            unbatched = "(T,)" if tokens else "(T, I)"
            raise ValueError(
                f"{name} must have shape ({order}{last}) or {unbatched}, got {array.shape}"
            )
        if not tokens and array.shape[-1] != self.input_size:
            raise ValueError(
                f"{name} must have input_size = {self.input_size} numbers in its last dimension, "
                f"got shape {array.shape}"
            )
        batched = array.ndim == dims[1]
        if not batched:
            array = array[:, None]
        elif self.batch_first:
            array = array.swapaxes(0, 1)
        array = readable(array)
        floats, integers = recurrence.empty(self.dtype), recurrence.empty(np.int64)
        if tokens:
            integers = array.reshape(-1)
        else:
            floats = array.reshape(-1)
        read = Input(array.shape[0], array.shape[1], self.input_size, tokens, floats, integers)
        return read, batched

    def _d_output(self, d: Any, shape: tuple[int, int, int], batched: bool) -> Array:
        # What most calls get, sooner.
        plain = type(d) is np.ndarray and d.dtype == self.dtype and d.shape == shape
        if plain and d.flags.carray and batched and not self.batch_first:
            return cast(Array, d.ravel())
        array = check_floats("d_output", d, self.dtype)
        array = self._time_major("d_output", array, shape, "D*H", batched)
        return readable(array).reshape(-1)

    def _time_major(
        self, name: str, array: Array, shape: tuple[int, int, int], width: str, batched: bool
    ) -> Array:
        time, batch, numbers = shape
        if not batched:
            check_shape(name, array, (time, numbers), f"(T, {width})")
            return array[:, None]
        if self.batch_first:
            check_shape(name, array, (batch, time, numbers), f"(N, T, {width})")
            return array.swapaxes(0, 1)
        check_shape(name, array, shape, f"(T, N, {width})")
        return array

    def _laid_out(self, array: Array, batched: bool) -> Array:
        if not batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def _state_arrays(self, name: str, state: Any, batch: int, batched: bool) -> list[Array] | None:
        """Each state as (L*D, N, H); None for zeros."""
        rows = self.num_layers * self.directions
        if state is None:
            return None
        arrays = []
        for label, value in named_states(name, self.cell.states, state):
            array = check_floats(label, value, self.dtype)
            if batched:
                shape: tuple[int, ...] = (rows, batch, self.hidden_size)
                check_shape(label, array, shape, "(L*D, N, H)")
            else:
                check_shape(label, array, (rows, self.hidden_size), "(L*D, H)")
                array = array[:, None]
            arrays.append(array)
        return arrays

    def _state_out(self, states: Array, batched: bool) -> State:
        """Each state of (S, L*D, N, H)."""
        if len(states) == 1:  # 0.3 us less than by the list
            return cast(State, states[0] if batched else states[0, :, 0])
        kinds = range(len(states))  # 0.5 us less than the array's own iterator
        return cast(State, tuple([states[i] if batched else states[i, :, 0] for i in kinds]))
