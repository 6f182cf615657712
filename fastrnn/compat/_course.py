"""Between the arrays of `fastrnn.compat.course` and the layers of fastrnn."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn import recurrence
from fastrnn.cells import LSTM as LSTM_CELL
from fastrnn.cells import RNN_TANH, Cell
from fastrnn.checks import FLOATS, Array, as_array, check_floats, readable
from fastrnn.recurrence import Input, Kept, States, Weights
from fastrnn.workspaces import ArrayPool, WorkspacePool

Axes = tuple[str, ...]
Arrays = dict[str, Array]
Parameters = Mapping[str, ArrayLike]
#: An array that must have certain axes, and its name.
Given = tuple[str, ArrayLike, Axes]

_pool = {dtype: WorkspacePool() for dtype in FLOATS}
_turned = ArrayPool()

#: The gates by the letters of the course, in the order of fastrnn's LSTM, and in the course's.
_GATES, _COURSE_GATES = "ifco", "fico"


class Network(NamedTuple):
    """What tells the two networks apart."""

    name: str
    cell: Cell
    #: Axes of the parameters of the cell, of all parameters, and of what a cell's cache holds
    #: before the parameters.
    recurrent: dict[str, Axes]
    parameters: dict[str, Axes]
    cache: dict[str, Axes]
    #: From the course's parameters to the layer's, and back with gradients (G * n_a, n_a),
    #: (G * n_a, n_x), (G * n_a,).
    weights: Callable[[Arrays], Weights]
    gradients: Callable[[Array, Array, Array], Arrays]


def _rnn_weights(p: Arrays) -> Weights:
    absent = recurrence.empty(p["Wax"].dtype)
    w_ih, w_hh, bias = (readable(p[name]).reshape(-1) for name in ("Wax", "Waa", "ba"))
    return Weights(w_ih, w_hh, bias, absent, absent)


def _rnn_gradients(d_hh: Array, d_ih: Array, d_b: Array) -> Arrays:
    return {"dWax": d_ih, "dWaa": d_hh, "dba": d_b[:, np.newaxis]}


def _lstm_weights(p: Arrays) -> Weights:
    n_a = len(p["bf"])
    w_ih, w_hh = (
        np.concatenate([p[f"W{gate}"][:, part] for gate in _GATES]).reshape(-1)
        for part in (slice(n_a, None), slice(n_a))
    )
    bias = np.concatenate([p[f"b{gate}"] for gate in _GATES]).reshape(-1)
    absent = recurrence.empty(bias.dtype)
    return Weights(w_ih, w_hh, bias, absent, absent)


def _lstm_gradients(d_hh: Array, d_ih: Array, d_b: Array) -> Arrays:
    count = len(_GATES)
    d_w = np.concatenate([d_hh, d_ih], axis=1).reshape(count, d_hh.shape[1], -1)
    d_b = d_b.reshape(count, -1, 1)
    gradients: Arrays = {}
    for gate in _COURSE_GATES:
        place = _GATES.index(gate)
        gradients |= {f"dW{gate}": d_w[place], f"db{gate}": d_b[place]}
    return gradients


INPUT: Axes = ("n_x", "m")
STATE: Axes = ("n_a", "m")
_RNN_CELL: dict[str, Axes] = {"Wax": ("n_a", "n_x"), "Waa": ("n_a", "n_a"), "ba": ("n_a", "1")}
_LSTM_CELL: dict[str, Axes] = {f"W{gate}": ("n_a", "n_a + n_x") for gate in _COURSE_GATES}
_LSTM_CELL |= {f"b{gate}": ("n_a", "1") for gate in _COURSE_GATES}

RNN = Network(
    "rnn",
    RNN_TANH,
    _RNN_CELL,
    {"Wya": ("n_y", "n_a"), "by": ("n_y", "1"), **_RNN_CELL},
    {"a_next": STATE, "a_prev": STATE, "xt": INPUT},
    _rnn_weights,
    _rnn_gradients,
)
LSTM = Network(
    "lstm",
    LSTM_CELL,
    _LSTM_CELL,
    {"Wy": ("n_y", "n_a"), "by": ("n_y", "1"), **_LSTM_CELL},
    {
        **dict.fromkeys(("a_next", "c_next", "a_prev", "c_prev", "ft", "it", "cct", "ot"), STATE),
        "xt": INPUT,
    },
    _lstm_weights,
    _lstm_gradients,
)


class Door:
    """Checks the arrays of a call: one precision, and the same size wherever an axis recurs."""

    def __init__(self, dtype: np.dtype[Any], **sizes: int) -> None:
        self.dtype = dtype
        self._sizes = {"1": 1}
        self._learn(sizes)

    @classmethod
    def of(cls, name: str, value: ArrayLike) -> Door:
        """One for the precision of `value`."""
        dtype = as_array(name, value).dtype
        if dtype not in FLOATS:
            raise TypeError(f"{name} must be float32 or float64, got {dtype.name}")
        return cls(dtype)

    def _learn(self, sizes: dict[str, int]) -> None:
        self._sizes.update(sizes)
        if "n_a" in self._sizes and "n_x" in self._sizes:
            self._sizes["n_a + n_x"] = self._sizes["n_a"] + self._sizes["n_x"]

    def array(self, name: str, value: ArrayLike, axes: Axes) -> Array:
        """`value` with these axes, or TypeError or ValueError."""
        array = check_floats(name, value, self.dtype)
        sizes = tuple(map(self._sizes.get, axes))
        if array.shape == sizes:
            return array
        fits = array.ndim == len(axes) and all(
            found > 0 and size in (None, found)
            for found, size in zip(array.shape, sizes, strict=True)
        )
        if not fits:
            known = [str(size or axis) for axis, size in zip(axes, sizes, strict=True)]
            meaning = f" = ({', '.join(known)})" if any(sizes) else ", none of them 0"
            raise ValueError(
                f"{name} must have shape ({', '.join(axes)}){meaning}, got {array.shape}"
            )
        self._learn(dict(zip(axes, array.shape, strict=True)))
        return array

    def parameters(self, parameters: Parameters, wanted: dict[str, Axes]) -> Arrays:
        """The arrays of these names, or KeyError, TypeError or ValueError."""
        if not isinstance(parameters, Mapping):
            raise TypeError(f"parameters must be a dict of arrays, got {type(parameters).__name__}")
        if missing := [name for name in wanted if name not in parameters]:
            raise KeyError(
                f"parameters must have {', '.join(wanted)}; there is no {', '.join(missing)}"
            )
        return {name: self.array(name, parameters[name], axes) for name, axes in wanted.items()}


#: Types and shapes that were let through: where a cell is called in a loop, they are looked up in
#: 3 to 6 us, not checked in 9 to 17; small steps take 10.
_known: set[Any] = set()
MOST_KNOWN = 4096


def admit(
    parameters: Parameters, wanted: dict[str, Axes], first: Given, *rest: Given
) -> tuple[list[Array], Arrays]:
    """The arrays `first` and `rest`, and the wanted parameters; KeyError, TypeError, ValueError."""
    given = (first, *rest)
    try:
        names, values, _ = zip(*given, strict=True)
        chosen = {name: parameters[name] for name in wanted}
        key = (
            *names,
            *wanted,
            *[(type(a), a.dtype, a.shape) for a in (*values, *chosen.values())],
        )
        if key in _known:
            return list(values), chosen  # type: ignore[return-value]
    except (AttributeError, KeyError, TypeError):
        key = None
    door = Door.of(first[0], first[1])
    arrays = [door.array(*first)]
    checked = door.parameters(parameters, wanted)
    arrays += [door.array(*one) for one in rest]
    if key and all(type(value) is np.ndarray for value in (*values, *chosen.values())):
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known.add(key)
    return arrays, checked


class CellCaches(list[Any]):
    """The cells' caches of a sequence: a list that knows the arrays which its tuples show.

    It may be changed as any list; backpropagation then goes cell by cell.
    """

    def __init__(
        self, cells: Iterable[tuple[Any, ...]], network: Network, x: Array, kept: Kept,
        parameters: Parameters,
    ) -> None:  # fmt: skip
        super().__init__(cells)
        self._made = tuple(self)
        self.network, self.x, self.kept, self.parameters = network, x, kept, parameters

    def made_by(self, network: Network) -> bool:
        """Whether it holds what a sequence of this network made."""
        same = self.network is network and len(self) == len(self._made)
        return same and all(map(operator.is_, self, self._made))


def columns(states: Array) -> Array:
    """Samples (..., m, n) as the columns of a read-only view (..., n, m)."""
    view = states.swapaxes(-1, -2)
    view.flags.writeable = False
    return view


def forward(
    network: Network, x: ArrayLike, a0: ArrayLike, parameters: Parameters
) -> tuple[Array, Kept, Array]:
    """Run a sequence: x as an array, what the kernels kept, and the predictions (n_y, m, T_x)."""
    given: tuple[Given, ...] = ("x", x, ("n_x", "m", "T_x")), ("a0", a0, STATE)
    (array, first), values = admit(parameters, network.parameters, *given)
    states = np.zeros((len(network.cell.states), first.size), array.dtype)
    states[0] = first.T.reshape(-1)
    with _time_major(array) as floats:
        kept = recurrence.forward(
            network.cell, _input(array, floats),
            States(states.reshape(-1), 0, first.size, given=True), len(first),
            [network.weights(values)], _pool[array.dtype], keep=True,
        )  # fmt: skip
    _, m, time = array.shape
    weight, bias, *_ = values.values()
    y = softmax(np.dot(weight, kept.h[1:].reshape(-1, len(first)).T) + bias)
    return array, kept, y.reshape(-1, time, m).transpose(0, 2, 1)


def backward(
    network: Network,
    cell_step: Callable[..., Arrays],
    da: ArrayLike,
    caches: tuple[Sequence[Any], Any],
) -> Arrays:
    """BPTT of a sequence, or cell by cell of caches from elsewhere."""
    if not (isinstance(caches, tuple | list) and len(caches) == 2):
        raise ValueError(
            f"caches must be (list of the cells' caches, x), as {network.name}_forward returns "
            f"them, got {_told(caches)}"
        )
    cells = caches[0]
    if not (isinstance(cells, tuple | list) and cells):
        raise ValueError(f"caches[0] must be a list of the cells' caches, got {_told(cells)}")
    if not (isinstance(cells, CellCaches) and cells.made_by(network)):
        return _cell_by_cell(network, cell_step, da, cells)
    x, kept = cells.x, cells.kept
    _, m, _, n_a = kept.shapes.h
    door = Door(x.dtype, n_a=n_a, m=m, n_x=len(x))
    array = _of_steps(door, da, len(cells))
    values = door.parameters(cells.parameters, network.recurrent)
    time = array.shape[2]
    kept = kept.until(time)
    weights = network.weights(values)
    d = Weights(*(np.empty_like(weight) for weight in weights))
    d_states = np.zeros((1, len(network.cell.states), m, n_a), door.dtype)
    with _time_major(x[:, :, :time]) as floats, _time_major(array) as d_output:
        dx = recurrence.backward(
            network.cell, _input(x[:, :, :time], floats), kept, d_output, d_states, [weights], [d],
            _pool[door.dtype], wants_x=True,
        )  # fmt: skip
    return {
        "dx": dx.reshape(time, m, -1).transpose(2, 1, 0),
        "da0": d_states[0, 0].T,
        **network.gradients(
            d.weight_hh.reshape(-1, n_a), d.weight_ih.reshape(-1, len(x)), d.bias_ih
        ),
    }


def cell_arrays(
    network: Network, d_states: dict[str, ArrayLike], cache: Sequence[Any]
) -> tuple[list[Array], dict[str, Array], dict[str, Array]]:
    """The gradients, the cache and the parameters of one step, checked."""
    names = (*network.cache, "parameters")
    if not (isinstance(cache, tuple | list) and len(cache) == len(names)):
        raise ValueError(
            f"cache must be ({', '.join(names)}), as {network.name}_cell_forward returns it, "
            f"got {_told(cache)}"
        )
    held = [
        (f"the cache's {name}", value, axes)
        for (name, axes), value in zip(network.cache.items(), cache[:-1], strict=True)
    ]
    after = [(name, value, STATE) for name, value in d_states.items()]
    arrays, values = admit(cache[-1], network.recurrent, *held, *after)
    return arrays[len(held) :], dict(zip(network.cache, arrays, strict=False)), values


def sigmoid(z: Array) -> Array:
    """``1 / (1 + exp(-z)) = (1 + tanh(z / 2)) / 2``, of which the latter cannot overflow."""
    s: Array = 0.5 * np.tanh(0.5 * z) + 0.5
    return s


def softmax(z: Array) -> Array:
    """Of each column, in its place; no exponential exceeds 1."""
    z -= z.max(axis=0)
    np.exp(z, out=z)
    z /= z.sum(axis=0)
    return z


def _cell_by_cell(
    network: Network, cell_step: Callable[..., Arrays], da: ArrayLike, cells: Sequence[Any]
) -> Arrays:
    """BPTT of any list of caches, as published, but with both states' gradients carried."""
    array = _of_steps(Door.of("da", da), da, len(cells))
    n_a, m, time = array.shape
    states = ("da_prev", "dc_prev")[: len(network.cell.states)]
    carried = [np.zeros((n_a, m), array.dtype) for _ in states]
    steps: list[Array] = []
    totals: Arrays = {}
    for t in reversed(range(time)):
        gradients = cell_step(array[:, :, t] + carried[0], *carried[1:], cells[t])
        steps.append(gradients.pop("dxt"))
        carried = [gradients.pop(name) for name in states]
        for name, gradient in gradients.items():
            totals[name] = totals[name] + gradient if name in totals else gradient
    return {"dx": np.stack(steps[::-1], axis=2), "da0": carried[0], **totals}


def _of_steps(door: Door, da: ArrayLike, steps: int) -> Array:
    """`da` checked: it may be of fewer steps than there are, the first ones."""
    array = door.array("da", da, ("n_a", "m", "T"))
    if array.shape[2] > steps:
        raise ValueError(
            f"da must have shape (n_a, m, T) with T at most T_x = {steps}, got {array.shape}"
        )
    return array


def _told(value: Any) -> str:
    """What `value` is, for a message."""
    size = f" of length {len(value)}" if isinstance(value, tuple | list) else ""
    return f"a {type(value).__name__}{size}"


def _input(x: Array, floats: Array) -> Input:
    n_x, m, time = x.shape
    return Input(time, m, n_x, False, floats, recurrence.empty(np.int64))


@contextmanager
def _time_major(array: Array) -> Iterator[Array]:
    """(n, m, T) as the kernels read it, (T, m, n) in one dimension, where it need not last.

    The memory is borrowed, and warm. For n_x = 64, m = 32, n_a = 128, T_x = 50 in float64 the
    copies take 0.1 of the 2.2 ms of `rnn_forward`, and 0.4 of the 4.5 of `rnn_backward`; arrays
    that lie in memory as the `a` of the former does need none.
    """
    turned = array.transpose(2, 1, 0)
    if turned.flags.c_contiguous:
        yield readable(turned).reshape(-1)
        return
    with _turned.borrow() as memory:
        floats = memory.empty(array.size, array.dtype)
        floats.reshape(turned.shape)[...] = turned
        yield floats
