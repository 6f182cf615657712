"""What a cell is: the names of its gates and states, and its equations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from fastrnn.cells.declaration import check_equations


@dataclass(frozen=True)
class Cell:
    """A recurrent cell, as its equations.

    The equations are plain functions of arrays, elementwise over batch and hidden units. Called
    on NumPy arrays they compute with NumPy; compiled, each argument is one vector of registers.
    They may use ``+ - * /``, comparisons, `abs` and the functions of `fastrnn.simd.functions`.

    Parameters
    ----------
    name : str
        Its name in plans, benchmarks and files.
    gates : tuple of str
        Gates, in the order in which their rows stand in ``weight_ih`` and ``weight_hh``.
    states : tuple of str
        States; the first is `h`, the one that the recurrent weights multiply.
    forward : callable
        ``forward(*preactivations, *states, *weights) -> (states, saved)``, both tuples. A gate's
        pre-activation is ``W_ih x + b_ih + W_hh h + b_hh``; a gate named in `apart` gives two
        arguments instead, ``W_ih x + b_ih`` and ``W_hh h + b_hh``, the latter ones after all
        the others.
    backward : callable
        ``backward(*saved, *previous_states, *states, *d_states, *weights) -> (d_preactivations,
        d_previous_states)``. The second result holds what reaches the previous states other than
        through the recurrent weights: for `h` only where `h_carried`, then for every other state.
        Left out, it is derived from `forward` by SymPy (``pip install fastrnn[symbolic]``), and
        so are `saved`, `h_carried` and `early_backward`; `forward` then becomes one that returns
        what is saved, and `early` one that keeps it.
    saved : tuple of str
        What `forward` keeps for `backward` besides the states.
    apart : tuple of str
        Gates whose input part and recurrent part are not simply summed; they stand last in
        `gates`.
    h_carried : bool
        Whether a gradient passes from `h` to the previous `h` other than through the recurrent
        weights, as it does in a GRU.
    weights : tuple of str
        Parameters of one number for each hidden unit, such as peepholes. They are the last
        arguments of `forward` and of `backward`, and their gradients are a third result of the
        latter.
    recurrent : bool
        Whether there are recurrent weights; without them a pre-activation is ``W_ih x + b_ih``.
    late : tuple of str
        Gates, the last ones, whose recurrent weights multiply not `h` but what `early` makes of
        it, as ``r * h`` in the original GRU. `forward` then takes the pre-activations of these
        alone, what `early` kept, and the states; the last of `saved` is the modulated state.
    early : callable, with `late`
        ``early(*preactivations of the other gates, *states) -> (modulated, kept)``.
    early_backward : callable, with `late`
        ``early_backward(*saved, *previous_states, d_modulated, *d_preactivations of the other
        gates so far) -> (d_preactivations of the other gates, d_h)``; the latter is what
        reaches the previous `h`.
    early_kept : tuple of str
        Names of what `early` keeps.

    Raises
    ------
    TypeError, ValueError
        If the equations take or give something else than is declared here, or if `backward`
        cannot be derived from `forward`.
    ImportError
        If it is to be derived and SymPy is not installed.

    Examples
    --------
    >>> from fastrnn import Cell, Recurrent
    >>> from fastrnn.simd.functions import sigmoid, tanh
    >>> def forward(a_f, a_n, h):
    ...     f = sigmoid(a_f)
    ...     return (f * h + (1 - f) * tanh(a_n),), ()
    >>> layer = Recurrent(Cell("light", ("f", "n"), ("h",), forward), 3, 5)
    """

    name: str
    gates: tuple[str, ...]
    states: tuple[str, ...]
    forward: Callable[..., Any]
    #: Never None once the cell is made.
    backward: Callable[..., Any] = None  # type: ignore[assignment]
    saved: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    h_carried: bool = False
    weights: tuple[str, ...] = ()
    recurrent: bool = True
    late: tuple[str, ...] = ()
    early: Callable[..., Any] | None = None
    early_backward: Callable[..., Any] | None = None
    early_kept: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    def __post_init__(self) -> None:
        if not self.gates or not self.states:
            raise ValueError(f"cell {self.name!r} must name at least one gate and one state")
        names = (*self.gates, *self.states, *self.weights)
        taken = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
        if len(set(names)) < len(names) or taken & set(names):
            raise ValueError(
                f"gates, states and weights must have different names, none of {sorted(taken)}, "
                f"got {names}"
            )
        split = len(self.gates) - len(self.apart)
        if self.gates[split:] != self.apart:
            raise ValueError(f"apart must be the last of the gates {self.gates}, got {self.apart}")
        if self.apart and not self.recurrent:
            raise ValueError(f"apart must be empty without recurrent weights, got {self.apart}")
        if self.late:
            self._check_late()
        if self.backward is None:
            from fastrnn.cells.derive import derive

            for name, value in derive(self)._asdict().items():
                object.__setattr__(self, name, value)
        check_equations(self)

    def _check_late(self) -> None:
        before = len(self.gates) - len(self.late)
        if self.gates[before:] != self.late or not before:
            raise ValueError(f"late must be the last of the gates {self.gates}, got {self.late}")
        has_backward = self.early_backward and self.saved and self.h_carried
        if not self.early or (self.backward is not None and not has_backward):
            raise ValueError(
                "a cell with late gates must have early, early_backward, h_carried, and the "
                "modulated state as the last of saved"
            )
        if self.apart or self.weights or not self.recurrent:
            raise ValueError(
                "a cell with late gates must be recurrent, and have neither gates apart nor "
                "weights of its own"
            )

    def __deepcopy__(self, memo: Any) -> Cell:
        return self

    def __reduce__(self) -> Any:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        equation: dict[str, Any] | None = getattr(self.backward, "derived_from", None)
        if equation is not None:  # Derived functions stand in no module to be found in again.
            values |= equation
        return functools.partial(type(self), **values), ()
