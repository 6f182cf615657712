"""Pieces of a sequence that run forward one by one, and back together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array, check_bool, check_floats, check_shape
from fastrnn.layers import Grads, OneHot, Recurrent, Tape
from fastrnn.layers.values import State

#: Gradient of the loss by the outputs, or what computes it from those of steps start to stop.
Errors: TypeAlias = ArrayLike | Callable[[Array, int, int], ArrayLike]


class Unrolled(Generic[State]):
    """A layer along a sequence, and the errors that come back to it, all checked; its slices."""

    def __init__(
        self,
        layer: Recurrent[State],
        x: ArrayLike | OneHot,
        d_output: Errors,
        state: Any,
        d_state: Any,
        wants_x: bool,
    ) -> None:
        if not isinstance(layer, Recurrent):
            raise TypeError(f"layer must be a fastrnn layer, got {type(layer).__name__}")
        if layer.bidirectional:
            raise ValueError(
                "layer must have one direction: the second one of a bidirectional layer begins at "
                "the end, which a truncated chain does not know"
            )
        read, batched = layer._input(x)
        if not read.time:
            raise ValueError("x must have at least one step, got none")
        for name, value in (("state", state), ("d_state", d_state)):
            layer._state_arrays(name, value, read.batch, batched)
        self.layer, self.state, self.d_state = layer, state, d_state
        self.wants_x = check_bool("wants_x", wants_x) and not read.is_tokens
        self.time = read.time
        self.axis = 1 if layer.batch_first and batched else 0
        self._is_tokens = read.is_tokens
        self._array = np.asarray(x.tokens if isinstance(x, OneHot) else x)
        self.shape = self._array.shape
        self._function = d_output if callable(d_output) else None
        if not callable(d_output):
            outer = self.shape if read.is_tokens else self.shape[:-1]
            self._d_output = check_floats("d_output", d_output, layer.dtype)
            meaning = "(N, T, H)" if self.axis else "(T, N, H)" if batched else "(T, H)"
            check_shape("d_output", self._d_output, (*outer, layer.hidden_size), meaning)

    def _at(self, begin: int, end: int) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(begin, end),)

    def x(self, begin: int, end: int) -> Array | OneHot:
        """The input of these steps."""
        part = self._array[self._at(begin, end)]
        return OneHot(part) if self._is_tokens else part

    def d_output(self, output: Array, begin: int, end: int) -> Array:
        """The errors of these steps, whose outputs are given."""
        if self._function is None:
            return self._d_output[self._at(begin, end)]
        found = check_floats("d_output(...)", self._function(output, begin, end), self.layer.dtype)
        check_shape("d_output(...)", found, output.shape, "that of the outputs")
        return found

    def last(self, array: Array, steps: int) -> Array:
        """The last steps of an array; zeros before them if it has not so many."""
        have = array.shape[self.axis]
        if have >= steps:
            return array[self._at(have - steps, have)]
        shape = [*array.shape]
        shape[self.axis] = steps - have
        return self.joined([np.zeros(shape, array.dtype), array])

    def joined(self, arrays: list[Array]) -> Array:
        """Arrays one after the other in time."""
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=self.axis)

    def part(self, array: Array, begin: int, end: int) -> Array:
        """Some steps of an array."""
        return array[self._at(begin, end)]

    def grads(self, flat: Array, x: Array | None, state: State) -> Grads[State]:
        """Gradients, those by the parameters from their buffer."""
        return Grads(x, state, flat, self.layer._parameters.places)


class Sum(Generic[State]):
    """The sum of gradients of a whole sequence, from those of parts of it."""

    def __init__(self, unrolled: Unrolled[State]) -> None:
        self.unrolled = unrolled
        self.flat = np.zeros_like(unrolled.layer.flat)
        self.x: Array | None = None
        self.d_state: Any = None
        if unrolled.wants_x:
            self.x = np.zeros(unrolled.shape, unrolled.layer.dtype)

    def add(self, begin: int, end: int, grads: Grads[State]) -> None:
        """Add the gradients of steps begin to end."""
        self.flat += grads.flat
        if self.x is not None:
            self.unrolled.part(self.x, begin, end)[...] += grads.x
        if self.d_state is None:
            self.d_state = each(np.zeros_like, grads.state)
        if begin == 0:
            self.d_state = each(np.add, self.d_state, grads.state)

    def grads(self) -> Grads[State]:
        """All that was added."""
        return self.unrolled.grads(self.flat, self.x, self.d_state)


class Chain(Generic[State]):
    """Pieces of a sequence that run forward one after the other, and then back together."""

    def __init__(self, unrolled: Unrolled[State], state: Any) -> None:
        self.unrolled, self.state = unrolled, state
        self.pieces: list[tuple[int, Tape, float]] = []

    def forward(self, begin: int, end: int, weight: float = 1.0) -> Array:
        """The outputs of one more piece; `weight` is for what comes back to it from the next."""
        output, self.state, tape = self.unrolled.layer.forward(
            self.unrolled.x(begin, end), self.state
        )
        self.pieces.append((end - begin, tape, weight))
        return output

    def backward(self, d_output: Array, d_state: Any) -> Grads[State]:
        """Gradients by errors of the chain's last steps, or of more steps than it has."""
        unrolled = self.unrolled
        end = sum(steps for steps, _, _ in self.pieces)
        errors = unrolled.last(d_output, end)
        flat = np.zeros_like(unrolled.layer.flat)
        d_inputs: list[Any] = []
        for i, (steps, tape, weight) in enumerate(reversed(self.pieces)):
            if i:
                d_state = each(lambda d, w=weight: w * d, d_state)
            d_piece = unrolled.part(errors, end - steps, end)
            grads = unrolled.layer.backward(tape, d_piece, d_state, wants_x=unrolled.wants_x)
            flat += grads.flat
            d_inputs.append(grads.x)
            d_state = grads.state
            end -= steps
        x = unrolled.joined(d_inputs[::-1]) if unrolled.wants_x else None
        return unrolled.grads(flat, x, d_state)


def each(function: Callable[..., Any], *states: Any) -> Any:
    """A function of states, of each of which there may be one or a tuple."""
    if isinstance(states[0], tuple):
        return tuple(function(*one) for one in zip(*states, strict=True))
    return function(*states)
