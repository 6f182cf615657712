"""Between the arrays of `fastrnn.compat.min_char_rnn` and its kernels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.cells import RNN_TANH
from fastrnn.checks import (
    FLOATS,
    Array,
    as_array,
    check_floats,
    check_integer,
    check_shape,
    check_tokens,
    readable,
)
from fastrnn.compat._training import train_while_finite
from fastrnn.data import Tokens
from fastrnn.inference import Inference
from fastrnn.model_plan import HEAD_ROWS, model_specs, plan_model
from fastrnn.params import Parameters, Spec
from fastrnn.plan import flattened, plan_layer
from fastrnn.workspaces import ArrayPool, aligned_empty

Five = tuple[Array, Array, Array, Array, Array]
Loss = tuple[float, Array, Array, Array, Array, Array, Array]

NAMES = ("Wxh", "Whh", "Why", "bh", "by")

_pool = ArrayPool()


class Weights(NamedTuple):
    """The parameters, checked."""

    Wxh: Array
    Whh: Array
    Why: Array
    bh: Array
    by: Array

    @classmethod
    def of(cls, *five: ArrayLike) -> Weights:
        """Check them, or TypeError or ValueError."""
        first = as_array("Wxh", five[0])
        if first.dtype not in FLOATS:
            raise TypeError(f"Wxh must be float32 or float64, got {first.dtype.name}")
        if first.ndim != 2 or not first.size:
            raise ValueError(f"Wxh must have shape (H, V), none of them 0, got {first.shape}")
        H, V = first.shape
        shapes = ((H, V), (H, H), (V, H), (H, 1), (V, 1))
        meanings = ("(H, V)", "(H, H)", "(V, H)", "(H, 1)", "(V, 1)")
        arrays = []
        for name, value, shape, meaning in zip(NAMES, five, shapes, meanings, strict=True):
            array = check_floats(name, value, first.dtype)
            check_shape(name, array, shape, meaning)
            arrays.append(array)
        return cls(*arrays)

    def loss(self, inputs: ArrayLike, targets: ArrayLike, hprev: ArrayLike) -> Loss:
        """See `fastrnn.compat.min_char_rnn.lossFun`."""
        from fastrnn.kernels.char_rnn import drivers

        H, V = self.Wxh.shape
        dtype = self.Wxh.dtype
        read = check_tokens("inputs", inputs, V, "V")
        wanted = check_tokens("targets", targets, V, "V")
        if read.ndim != 1 or not read.size:
            raise ValueError(f"inputs must have shape (T,), T not 0, got {read.shape}")
        check_shape("targets", wanted, read.shape, "(T,)")
        before = self._state("hprev", hprev)
        T = read.size
        plan = _plan(dtype, T, V, H, token_rows=False)
        h = np.empty((T + 1) * H, dtype)
        h[:H] = before[:, 0]
        d_head = np.empty(V * H + V, dtype)
        dWxh, dWhh, dbh = (np.empty_like(a, order="C") for a in (self.Wxh, self.Whh, self.bh))
        with _pool.borrow() as memory:
            loss = drivers().loss_fun(
                dWxh.reshape(-1), dWhh.reshape(-1), dbh.reshape(-1), d_head, h,
                memory.empty(T * H, dtype), memory.empty(H, dtype), memory.empty(plan.work, dtype),
                memory.empty(HEAD_ROWS, np.dtype(np.float64)), read, wanted,
                *(readable(array).reshape(-1) for array in (self.Wxh, self.Whh, self.bh)),
                np.concatenate((self.Why.reshape(-1), self.by[:, 0])), plan.offsets, plan.numbers,
            )  # fmt: skip
        dWhy, dby = d_head[: V * H].reshape(V, H), d_head[V * H :].reshape(V, 1)
        return loss, dWxh, dWhh, dWhy, dbh, dby, h[T * H :].reshape(H, 1).copy()

    def sample(self, h: ArrayLike, seed_ix: int, n: int) -> list[int]:
        """See `fastrnn.compat.min_char_rnn.sample`."""
        H, V = self.Wxh.shape
        state = self._state("h", h)
        first = check_tokens("seed_ix", check_integer("seed_ix", seed_ix, least=0), V, "V")
        count = check_integer("n", n, least=0)
        model = Parameters(model_specs(RNN_TANH, 1, H, V), self.Wxh.dtype)
        model.views.update(
            {
                "weight_ih_l0": self.Wxh,
                "weight_hh_l0": self.Whh,
                "bias_ih_l0": self.bh[:, 0],
                "weight_out": self.Why,
                "bias_out": self.by[:, 0],
            }
        )
        uniforms = np.random.random_sample(count)  # noqa: NPY002 - as np.random.choice draws them
        inference = Inference(RNN_TANH, model, 1, H, V)
        ixes: list[int] = inference.draw(first.reshape(1), uniforms, 1.0, state[:, 0]).tolist()
        return ixes

    def _state(self, name: str, value: ArrayLike) -> Array:
        array = check_floats(name, value, self.bh.dtype)
        check_shape(name, array, self.bh.shape, "(H, 1)")
        return array


class Training:
    """The script's loop on flat copies of its arrays, which are written back after every run.

    Parameters
    ----------
    parameters, memories : tuple of ndarray
        The user's, memories of zero if None.
    data : ndarray of int64
    vocabulary : int
    time : int
        Characters of a piece.
    rate : float
    """

    def __init__(
        self, parameters: Five, memories: Five | None, data: Tokens, vocabulary: int, time: int,
        rate: float,
    ) -> None:  # fmt: skip
        check_arrays("", parameters, writes=True)
        weights = Weights.of(*parameters)
        H, V = weights.Wxh.shape
        if vocabulary != V:
            raise ValueError(
                f"Wxh must have shape (H, V) = (H, {vocabulary}), one column for each character "
                f"of data, got {weights.Wxh.shape}"
            )
        if memories is None:
            Wxh, Whh, Why, bh, by = (np.zeros_like(array) for array in parameters)
            memories = (Wxh, Whh, Why, bh, by)
        check_arrays("memories' ", memories, writes=True)
        for name, memory, array in zip(NAMES, memories, parameters, strict=True):
            check_floats(f"memories' {name}", memory, array.dtype)
            check_shape(f"memories' {name}", memory, array.shape, f"that of {name}")
        self.parameters, self.memories = parameters, memories
        self._data, self._time, self._rate = data, time, rate
        specs = [
            Spec("Wxh", (H, V), "(H, V)", transposed=True),
            Spec("Whh", (H, H), "(H, H)"),
            Spec("bh", (H, 1), "(H, 1)"),
            Spec("Why", (V, H), "(V, H)"),
            Spec("by", (V, 1), "(V, 1)"),
        ]
        dtype = weights.Wxh.dtype
        self._flat, self._squares = (Parameters(specs, dtype) for _ in range(2))
        for flat, arrays in self._pairs():
            flat.views.update(dict(zip(NAMES, arrays, strict=True)))
        plan = _plan(dtype, time, V, H, token_rows=True)
        self._plan, self._work = plan, aligned_empty(plan.work, dtype)
        self._grads = np.zeros_like(self._flat.flat)
        self._h = np.zeros((time + 1) * H, dtype)
        self._d_h, self._carry = np.empty(time * H, dtype), np.empty(H, dtype)
        self._place, self._sums = np.zeros(1, np.int64), np.empty(HEAD_ROWS)
        self._done = 0

    @property
    def hprev(self) -> Array:
        """(H, 1): a copy of the state."""
        H = len(self.parameters[3])
        return self._h[:H].reshape(H, 1).copy()

    def run(self, losses: Array) -> None:
        """Train ``losses.size`` iterations and set the losses.

        ArithmeticError if one is not finite; all is then as it was before that iteration.
        """
        from fastrnn.kernels.char_rnn import drivers

        def do(count: int) -> None:
            drivers().train_pieces(
                losses[:count], self._flat.flat, self._grads, self._squares.flat, self._h,
                self._d_h, self._carry, self._work, self._sums, self._data, self._place,
                self._plan.offsets, self._rate, self._plan.numbers,
            )  # fmt: skip

        state = [self._flat.flat, self._squares.flat, self._grads, self._h, self._work, self._place]
        try:
            train_while_finite(losses, state, do, "iteration", self._done)
            self._done += losses.size
        finally:
            for flat, arrays in self._pairs():
                for name, array in zip(NAMES, arrays, strict=True):
                    array[...] = flat.views[name]

    def sample(self, n: int) -> list[int]:
        """Characters drawn from where the training stands."""
        if self._place[0] + self._time + 1 >= self._data.size:  # as the next iteration will
            self._place[0] = 0
            self._h[: len(self.parameters[3])] = 0
        first = int(self._data[self._place[0]])
        return Weights.of(*self.parameters).sample(self.hprev, first, n)

    def _pairs(self) -> Sequence[tuple[Parameters, Five]]:
        return (self._flat, self.parameters), (self._squares, self.memories)


def check_arrays(of: str, five: Any, *, writes: bool = False) -> None:
    """TypeError or ValueError unless these are five arrays, and may be written to."""
    if not (isinstance(five, tuple | list) and len(five) == len(NAMES)):
        raise TypeError(f"{of or 'parameters'} must be ({', '.join(NAMES)})")
    for name, array in zip(NAMES, five, strict=True):
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{of}{name} must be an ndarray, got {type(array).__name__}")
        if writes and not array.flags.writeable:
            raise ValueError(f"{of}{name} must be writable, got a read-only array")


class _Plan(NamedTuple):
    """Sizes as the kernels take them, and what they need."""

    numbers: Array
    work: int
    #: Where `run_head` finds the output's weight and bias.
    offsets: Array


@functools.lru_cache(maxsize=256)
def _plan(
    dtype: np.dtype[Any], time: int, vocabulary: int, hidden: int, *, token_rows: bool
) -> _Plan:
    """Plan a piece; with `token_rows`, Wxh lies in memory token by token."""
    plan = plan_model(RNN_TANH, dtype, time, 1, vocabulary, hidden, 1, keep=True)
    first = plan_layer(
        RNN_TANH, dtype, time, 1, vocabulary, hidden, tokens=True, token_rows=token_rows, keep=True
    )
    numbers = np.array(flattened(plan.model._replace(first=first.layer)), np.int64)
    offsets = np.array([0, 0, 0, 0, 0, vocabulary * hidden, 0, 0])
    return _Plan(numbers, max(plan.work, first.work), offsets)
