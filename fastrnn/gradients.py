"""Gradients checked against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.cells.declaration import preactivation_names
from fastrnn.cells.trace import rebound
from fastrnn.checks import Array, check_bool, check_number, check_seed
from fastrnn.layers import Recurrent

#: Steps of the differences. The second is for those that meet a kink with the first, as relu's.
STEPS = (float(np.finfo(np.float64).eps) ** (1 / 3), 1e-8)
#: Elements of each array that are moved, drawn at random where there are more.
MOST_ELEMENTS = 16


class GradCheck(NamedTuple):
    """What `gradcheck` found.

    Attributes
    ----------
    errors : dict of str to float
        By the name of an input, a state or a parameter, the largest difference between its gradient
        and the finite difference, relative to the largest of 1, the largest finite difference, and
        a thousandth of what the loss adds up, which bounds the rounding errors of the latter.
    tolerance : float
    wrong : dict of str to str
        For each name whose error is above the tolerance, where it is worst and what was there.
    """

    errors: dict[str, float]
    tolerance: float
    wrong: dict[str, str]

    @property
    def passed(self) -> bool:
        """Whether no gradient is wrong."""
        return not self.wrong


class WrongGradientError(ValueError):
    """A gradient is not what finite differences are; `result` is the `GradCheck`."""

    def __init__(self, message: str, result: GradCheck) -> None:
        super().__init__(message, result)
        self.result = result

    def __str__(self) -> str:
        return str(self.args[0])


def gradcheck(
    cell_or_layer: Any, *, tolerance: float = 1e-6, seed: int | None = 0, raises: bool = True
) -> GradCheck:
    """Compare all gradients with central finite differences, in float64.

    Parameters
    ----------
    cell_or_layer : Cell, or a layer such as Recurrent
        A cell is checked in layers of random small sizes, with and without a second direction, a
        second layer and biases; a layer in a float64 copy of its own size, without dropout. Larger
        arrays are checked at elements drawn at random.
    tolerance : float
        Largest error that is no mistake.
    seed : int, optional
        For sizes, inputs, states and elements.
    raises : bool
        Whether a wrong gradient is raised, and not only reported.

    Returns
    -------
    GradCheck

    Raises
    ------
    WrongGradientError
        Names every gradient that is wrong, and the gate or the place where it is worst.
    TypeError, ValueError
        For a wrong argument.

    Examples
    --------
    >>> import fastrnn
    >>> fastrnn.gradcheck(fastrnn.cells.MGU).passed
    True
    """
    tolerance = check_number("tolerance", tolerance, above=0)
    check_bool("raises", raises)
    rng = np.random.default_rng(check_seed(seed))
    if isinstance(cell_or_layer, Cell):
        cell, layers = cell_or_layer, _small_layers(cell_or_layer, rng)
    elif isinstance(cell_or_layer, Recurrent):
        cell, layers = cell_or_layer.cell, [_wide(cell_or_layer)]
    else:
        raise TypeError(
            "cell_or_layer must be a Cell or a layer, such as fastrnn.Recurrent, "
            f"got {type(cell_or_layer).__name__}"
        )
    errors: dict[str, float] = {}
    wrong: dict[str, str] = {}
    for layer in layers:
        for name, (error, place) in _compare(layer, rng).items():
            if name not in errors or not error <= errors[name]:
                errors[name] = error
                if not error <= tolerance:
                    wrong[name] = place
    result = GradCheck(errors, tolerance, wrong)
    if wrong and raises:
        lines = [f"cell {cell.name!r}: {len(wrong)} of {len(errors)} gradients are wrong"]
        lines += [f"  {name}: error {errors[name]:.2g} {place}" for name, place in wrong.items()]
        right = [name for name in errors if name not in wrong]
        lines += [f"  right: {', '.join(right)}"] if right else []
        if not cell.late:
            equations = ", ".join(_wrong_equations(cell, tolerance, rng))
            lines.append(f"  wrong in backward: {equations or 'nothing, by NumPy'}")
        raise WrongGradientError("\n".join(lines), result)
    return result


def _wrong_equations(cell: Cell, tolerance: float, rng: np.random.Generator) -> list[str]:
    """Which results of `cell.backward` alone, on NumPy arrays, are not what differences are."""
    forward, backward = (rebound(function, {}) for function in (cell.forward, cell.backward))
    gates = preactivation_names(cell)
    arguments = [rng.standard_normal(1) for _ in (*gates, *cell.states, *cell.weights)]
    old, weights = np.split(np.array(arguments), [len(gates), len(gates) + len(cell.states)])[1:]
    d_states = [rng.standard_normal(1) for _ in cell.states]

    def loss() -> float:
        states, _ = forward(*arguments)
        return float(sum(np.vdot(s, d) for s, d in zip(states, d_states, strict=True)))

    new, saved = forward(*arguments)
    d_gates, d_old, *d_weights = backward(*saved, *old, *new, *d_states, *weights)
    names = [f"d_{gate}" for gate in gates]
    names += [f"d_previous {state}" for state in cell.states]
    names += [f"d_{weight}" for weight in cell.weights]
    if not cell.h_carried:
        names[len(gates)] += " (h_carried is False)"
        d_old = (np.zeros(1), *d_old)
    gradients = [*d_gates, *d_old, *(d for group in d_weights for d in group)]
    found = []
    for name, argument, gradient in zip(names, arguments, gradients, strict=True):
        if not _worst(loss, argument, gradient, 1.0, rng)[0] <= tolerance:
            found.append(name)
    return found


def _small_layers(cell: Cell, rng: np.random.Generator) -> list[Recurrent[Any]]:
    layers = []
    for number, bias, bidirectional in ((1, True, False), (2, True, True), (1, False, False)):
        # So many units are some vectors and a part of one.
        inputs, hidden = int(rng.integers(1, 5)), int(rng.integers(5, 12))
        layer: Recurrent[Any] = Recurrent(
            cell, inputs, hidden, number, bias, bidirectional=bidirectional,
            dtype=np.float64, seed=int(rng.integers(1 << 31)),
        )  # fmt: skip
        layers.append(layer)
    return layers


def _wide(layer: Recurrent[Any]) -> Recurrent[Any]:
    twin: Recurrent[Any] = Recurrent(
        layer.cell, layer.input_size, layer.hidden_size, layer.num_layers, layer.bias,
        bidirectional=layer.bidirectional, dtype=np.float64, seed=0,
    )  # fmt: skip
    twin.flat[...] = layer.flat
    return twin


def _compare(layer: Recurrent[Any], rng: np.random.Generator) -> dict[str, tuple[float, str]]:
    """By name, the largest error and where it is."""
    time, batch = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    names = layer.cell.states
    rows = (layer.num_layers * layer.directions, batch, layer.hidden_size)
    x = rng.standard_normal((time, batch, layer.input_size))
    states = [rng.standard_normal(rows) for _ in names]
    state = tuple(states) if len(names) > 1 else states[0]
    d_output = rng.standard_normal((time, batch, layer.directions * layer.hidden_size))
    d_states = [rng.standard_normal(rows) for _ in names]
    _, _, tape = layer.forward(x, state)
    grads = layer.backward(tape, d_output, tuple(d_states) if len(names) > 1 else d_states[0])

    def terms() -> list[Array]:
        output, final = layer(x, state)
        finals = final if len(names) > 1 else (final,)
        return [output * d_output, *(f * d for f, d in zip(finals, d_states, strict=True))]

    def loss() -> float:
        return float(sum(part.sum() for part in terms()))

    least = max(1.0, 1e-3 * float(sum(np.abs(part).sum() for part in terms())))
    d_firsts: Any = grads.state if len(names) > 1 else (grads.state,)
    pairs = {"x": (x, grads.x)}
    pairs |= {n: (s, d) for n, s, d in zip(names, states, d_firsts, strict=True)}
    pairs |= {name: (p, grads.params[name]) for name, p in layer.params.items()}
    found = {}
    for name, (array, gradient) in pairs.items():
        error, place, ours, numeric = _worst(loss, array, gradient, least, rng)
        where = f"at {tuple(map(int, place))}"
        if name.startswith(("weight_ih", "weight_hh", "bias_")):
            where += f" (gate {layer.cell.gates[int(place[0]) // layer.hidden_size]})"
        found[name] = (error, f"{where}: {ours:.6g}, by differences {numeric:.6g}")
    return found


def _worst(
    loss: Callable[[], float], array: Array, gradient: Any, least: float, rng: np.random.Generator
) -> tuple[float, tuple[Any, ...], float, float]:
    """The largest error, its place, the gradient there, and the difference.

    Errors are relative to the largest difference, if it is larger than `least`.
    """
    places = rng.choice(array.size, min(array.size, MOST_ELEMENTS), replace=False)
    found = []
    for flat_place in places:
        place = np.unravel_index(int(flat_place), array.shape)
        ours = float(gradient[place])
        slopes = [_slope(loss, array, place, step) for step in STEPS]
        numeric = min(slopes, key=lambda slope: abs(ours - slope))
        found.append((place, ours, numeric))
    scale = max(least, *(abs(numeric) for _, _, numeric in found))
    errors = [abs(ours - numeric) / scale for _, ours, numeric in found]
    errors = [error if np.isfinite(error) else np.inf for error in errors]
    worst = int(np.argmax(errors))
    return errors[worst], *found[worst]


def _slope(loss: Callable[[], float], array: Array, place: tuple[Any, ...], step: float) -> float:
    before = array[place]
    array[place] = before + step
    above, moved = loss(), array[place]
    array[place] = before - step
    slope = (above - loss()) / float(moved - array[place])
    array[place] = before
    return slope
