"""Between the columns of `fastrnn.compat.word_model` and the kernels."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any

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
    readable,
)
from fastrnn.plan import Regions, plan_layer
from fastrnn.workspaces import ArrayPool

#: Columns (D, 1), by step.
Columns = Mapping[int, ArrayLike] | Sequence[ArrayLike]

_pool = ArrayPool()


class Memory(MutableMapping[str, Any]):
    """What a sentence left: "ht{t}", "yt{t}" and "params{t}" of each word t, and "ht-1".

    Entries are made when they are asked for: columns that are views of `h` and `y`, or copied into
    them when they are set.

    Attributes
    ----------
    h : ndarray (T + 1, H)
        The states, the initial one first.
    y : ndarray (T, K)
    """

    def __init__(
        self, h: Array, y: Array, x: Array, columns: Any, weights: tuple[Array, Array, Array]
    ) -> None:
        self.h, self.y = h, y
        self._x, self._columns, self._weights = x, tuple(columns), weights
        self._others: dict[str, Any] = {}

    def inputs(self, columns: Sequence[ArrayLike]) -> Array | None:
        """What was read (T, D), if that was these very columns."""
        same = len(columns) == len(self._columns)
        return self._x if same and all(map(_is, columns, self._columns)) else None

    def _place(self, key: str) -> Array | None:
        kind, number = key[:2], key[2:]
        if not number.removeprefix("-").isdecimal():
            return None
        t, time = int(number), len(self.y)
        place: Array | None = None
        if kind == "ht" and -1 <= t < time:
            place = self.h[t + 1][:, None]
        elif kind == "yt" and 0 <= t < time:
            place = self.y[t][:, None]
        return place

    def __getitem__(self, key: str) -> Any:
        place = self._place(key)
        if place is not None:
            return place
        if key in self._others:
            return self._others[key]
        number = key.removeprefix("params")
        if number == key or not number.isdecimal() or int(number) >= len(self.y):
            raise KeyError(key)
        t = int(number)
        u, w, v = self._weights
        of_state, of_word = w @ self.h[t][:, None], u @ self._x[t][:, None]
        return [[of_state, of_word, of_state + of_word, v @ self.h[t + 1][:, None]]]

    def __setitem__(self, key: str, value: Any) -> None:
        place = self._place(key)
        if place is None:
            self._others[key] = value
        else:
            array = as_array(key, value)
            check_shape(key, array, place.shape, "a column")
            place[...] = array

    def __delitem__(self, key: str) -> None:
        del self._others[key]

    def __iter__(self) -> Iterator[str]:
        yield "ht-1"
        own = [f"{kind}{t}" for t in range(len(self.y)) for kind in ("ht", "yt", "params")]
        yield from own
        yield from self._others.keys() - set(own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def count_words(memory: Mapping[str, Any]) -> int:
    """T of a memory, or of a mapping of the user's: 1 if there is no word, which it lacks then."""
    if isinstance(memory, Memory):
        return len(memory.y)
    return max(1, sum(key.startswith("yt") for key in memory))


def by_step(given: Any, count: int) -> Any:
    """What is given by step in a row, as many of the first ones as there are."""
    if not isinstance(given, Mapping):
        return given
    return [given[t] for t in range(min(count, len(given))) if t in given]


def first_words(time: int, embeddings: Columns) -> Sequence[ArrayLike]:
    """The first T of the embeddings, or TypeError or ValueError."""
    count = check_integer("T", time, least=1)
    words: Sequence[ArrayLike] = by_step(embeddings, count)
    if len(words) < count:
        raise ValueError(f"embeddings must be at least T = {count} columns, got {len(words)}")
    return words[:count]


def _is(one: Any, other: Any) -> bool:
    return one is other


def check_targets(name: str, targets: Any, count: int, outputs: int) -> Array:
    """`count` targets (outputs,) in a row, or TypeError or ValueError."""
    if len(targets) < count:
        raise ValueError(
            f"{name} must have a target for each of the {count} words, got {len(targets)}: a "
            f"dictionary by word holds a word that comes twice but once, give a list"
        )
    some = targets[:count]
    try:
        array: Array = np.concatenate(some)
        fits = {*map(len, some)} == {outputs}
    except (TypeError, ValueError):
        fits = False
    array = (array if fits else as_array(name, some)).reshape(count, -1)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be numbers, got {array.dtype.name}")
    check_shape(name, array, (count, outputs), "(T, K)")
    return array


def one_hot_places(name: str, targets: Any, count: int, outputs: int) -> Array:
    """Where the one of each of `count` one-hot targets is, or TypeError or ValueError."""
    array = check_targets(name, targets, count, outputs)
    places: Array = array.argmax(axis=1)
    ones = array[np.arange(count), places] == 1
    wrong = np.flatnonzero(~ones | (np.count_nonzero(array, axis=1) != 1))
    if wrong.size:
        raise not_one_hot(name, int(wrong[0]))
    return places


def not_one_hot(name: str, t: int) -> ValueError:
    """The error for a target that is no class."""
    return ValueError(f"{name}[{t}] must be one-hot, a 1 among zeros, and is not")


class Model:
    """The weights, checked: U (H, D), W (H, H), V (K, H)."""

    def __init__(self, u: Array, w: Array, v: Array) -> None:
        given = as_array("input_weights", u)
        if given.dtype not in FLOATS:
            raise TypeError(f"input_weights must be float32 or float64, got {given.dtype.name}")
        self.dtype = given.dtype
        if given.ndim != 2 or not given.size:
            raise ValueError(f"input_weights must have shape (H, D), got {given.shape}")
        self.u = given
        hidden = given.shape[0]
        self.w = check_floats("internal_state_weights", w, self.dtype)
        check_shape("internal_state_weights", self.w, (hidden, hidden), "(H, H)")
        self.v = check_floats("output_weights", v, self.dtype)
        if self.v.ndim != 2 or self.v.shape[1] != hidden or not self.v.size:
            raise ValueError(
                f"output_weights must have shape (K, H) = (K, {hidden}), got {self.v.shape}"
            )
        self.outputs = self.v.shape[0]

    def columns(self, name: str, columns: Sequence[ArrayLike]) -> Array:
        """Columns (D, 1) as rows (T, D) of the weights' precision."""
        if not len(columns):
            raise ValueError(f"{name} must be at least one column (D, 1), got none")
        width = self.u.shape[1]
        try:
            joined: Array = np.concatenate(columns)
            fits = joined.ndim == 2 and joined.shape[1] == 1 and {*map(len, columns)} == {width}  # type: ignore[arg-type]
        except (TypeError, ValueError):
            fits = False
        if not fits:
            for t, column in enumerate(columns):
                array = as_array(f"{name}[{t}]", column)
                check_shape(f"{name}[{t}]", array, (width, 1), "(D, 1)")
            joined = np.concatenate(columns)
        if joined.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be numbers, got {joined.dtype.name}")
        with np.errstate(over="ignore"):
            return joined.reshape(len(columns), -1).astype(self.dtype, copy=False)

    def state(self, name: str, value: ArrayLike) -> Array:
        """A state (H, 1) as one dimension."""
        array = as_array(name, value)
        check_shape(name, array, (len(self.u), 1), "(H, 1)")
        with np.errstate(over="ignore"):
            return array[:, 0].astype(self.dtype)

    def check_gradients(self, d_u: Array, d_v: Array, d_w: Array) -> None:
        """TypeError or ValueError unless they are arrays for the gradients."""
        weights = (("dU", d_u, self.u), ("dV", d_v, self.v), ("dW", d_w, self.w))
        for name, given, like in weights:
            if not isinstance(given, np.ndarray) or given.dtype.kind != "f":
                kind = getattr(given, "dtype", type(given).__name__)
                raise TypeError(f"{name} must be an array of floats, got {kind}")
            check_floats(name, given, self.dtype)
            check_shape(name, given, like.shape, "that of its weights")

    def memory(self, given: Mapping[str, Any], x: Array) -> Memory:
        """The same from a mapping of the user's, whose initial state is zero if it has none."""
        first = given.get("ht-1", np.zeros((len(self.u), 1)))
        try:
            states = [first] + [given[f"ht{t}"] for t in range(len(x))]
            outputs = [given[f"yt{t}"] for t in range(len(x))]
        except KeyError as error:
            raise KeyError(
                f"memory must have ht and yt of each of the {len(x)} words, and lacks {error}"
            ) from None
        h = np.stack([self.state(f"memory['ht{t - 1}']", s) for t, s in enumerate(states)])
        for t, column in enumerate(outputs):
            check_shape(f"memory['yt{t}']", as_array("yt", column), (self.outputs, 1), "(K, 1)")
        y = np.ascontiguousarray(np.concatenate(outputs, axis=1).T, self.dtype)
        return Memory(h, y, x, (), (self.u, self.w, self.v))

    def read(self, x: Array, state: Array, columns: Sequence[ArrayLike] | None = None) -> Memory:
        """Run the sentence x (T, D) from a state (H,).

        With the `columns` that it was, the memory outlives a change of the weights.
        """
        time, hidden = len(x), len(self.u)
        plan, sizes, layer_sizes = self._plan(time)
        h, y = np.empty((time + 1, hidden), self.dtype), np.empty((time, self.outputs), self.dtype)
        h[0] = state
        weights = (readable(a) if columns is None else np.array(a, order="C")
                   for a in (self.u, self.w, self.v))  # fmt: skip
        u, w, v = weights
        with _pool.borrow() as memory:
            work, layer_work = (memory.empty(size, self.dtype) for size in (sizes, layer_sizes))
            _drivers().read(
                y.reshape(-1), h.reshape(-1), work, layer_work, x.reshape(-1), _NO_TOKENS,
                u.reshape(-1), w.reshape(-1), v.reshape(-1), plan,
            )  # fmt: skip
        return Memory(h, y, x, () if columns is None else columns, (u, w, v))

    def learn(
        self, name: str, x: Array, memory: Memory, targets: Array, reach: int, gradients: Any
    ) -> None:
        """Set the gradients of U, V and W from one-hot targets; see `fastrnn.kernels.sentence`.

        ValueError, which calls them `name`, if one of them is not.
        """
        plan, sizes, _ = self._plan(len(x))
        fit = [d.flags.carray for d in gradients]
        places = [d if ok else np.empty(d.shape, self.dtype)
                  for d, ok in zip(gradients, fit, strict=True)]  # fmt: skip
        with _pool.borrow() as borrowed:
            work = borrowed.empty(sizes, self.dtype)
            wrong = _drivers().learn(
                *(d.reshape(-1) for d in places), work, memory.y.reshape(-1),
                np.ascontiguousarray(targets, self.dtype).reshape(-1), memory.h.reshape(-1),
                x.reshape(-1), readable(self.w).reshape(-1), readable(self.v).reshape(-1),
                reach, plan,
            )  # fmt: skip
        if wrong >= 0:
            raise not_one_hot(name, wrong)
        for d, place, ok in zip(gradients, places, fit, strict=True):
            if not ok:
                d[...] = place

    def _plan(self, time: int) -> tuple[Any, int, int]:
        return plan_sentence(self.dtype, time, self.u.shape[1], len(self.u), self.outputs)


@functools.lru_cache(maxsize=256)
def plan_sentence(
    dtype: np.dtype[Any], time: int, inputs: int, hidden: int, outputs: int
) -> tuple[Any, int, int]:
    """The plan of a sentence, and the elements of its two workspaces."""
    from fastrnn.kernels.sentence import Sentence
    from fastrnn.simd.cpu import lanes
    from fastrnn.simd.tile import product_scratch

    width = lanes(dtype)

    def panels(k: int, columns: int) -> int:
        return k * (-(-columns // width) * width)

    of_layer = plan_layer(RNN_TANH, dtype, time, 1, inputs, hidden, keep=True)
    layer = of_layer.layer
    products = [(hidden, outputs), (outputs, hidden), (hidden, hidden), (time, hidden),
                (time, inputs)]  # fmt: skip
    work = Regions(dtype.itemsize)
    plan = Sentence(
        layer,
        outputs,
        panels=work.add(max(panels(*shape) for shape in products)),
        d_logits=work.add(time * outputs),
        arising=work.add(time * hidden),
        d_h=work.add(time * hidden),
        deltas=work.add(time * hidden),
        scratch=work.add(product_scratch(layer.tile_rows, layer.width, width)),
    )
    return plan, work.size, of_layer.work


_NO_TOKENS = np.empty(0, np.int64)


@functools.cache
def _drivers() -> Any:
    """The compiled drivers; imports numba when first called."""
    from fastrnn.kernels.bound import sentence_drivers

    return sentence_drivers(RNN_TANH)
