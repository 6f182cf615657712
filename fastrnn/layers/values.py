"""What layers take and give besides arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from numpy.typing import ArrayLike

from fastrnn.checks import Array
from fastrnn.layers.lengths import Ragged
from fastrnn.params import Parameters, Places
from fastrnn.recurrence import Input, Kept

#: One array, or one for each state of the cell.
State = TypeVar("State")


@dataclass(frozen=True)
class OneHot:
    """Integer tokens that stand for one-hot rows, which are never built.

    Parameters
    ----------
    tokens : array_like of int, shape (T, N), or (N, T) with ``batch_first``, or (T,) unbatched
        Each in [0, input_size).
    """

    tokens: ArrayLike


@dataclass(slots=True)  # frozen, it takes 0.6 us longer to make
class Tape:
    """What `backward` needs of one `forward`. It refers to the input; do not change that before.

    The parameters are read from the layer again by `backward`: change them after it.
    """

    #: The parameters of the layer that it is of.
    layer: Parameters
    batched: bool
    #: How its sequences are run that have lengths of their own.
    ragged: Ragged | None = None
    inputs: list[Input] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    masks: list[Array] = field(default_factory=list)


class Grads(Generic[State]):
    """Gradients of a scalar loss.

    Attributes
    ----------
    x : ndarray of the input's shape, or None
        None if it was not wanted, or if the input was tokens.
    state : ndarray, or tuple of ndarray, or None
        Of the initial state, in its shape; None if it was not wanted.
    params : dict of str to ndarray
        By the parameters' names: views of `flat`.
    flat : ndarray
        All parameters' gradients, in the order of ``layer.flat``.
    """

    __slots__ = ("_flat", "_params", "_places", "state", "x")

    def __init__(self, x: Array | None, state: State | None, flat: Array, places: Places) -> None:
        self.x, self.state, self._flat, self._places = x, state, flat, places
        self._params: dict[str, Array] | None = None

    @property
    def flat(self) -> Array:
        """All parameters' gradients, in the order of ``layer.flat``: change them in place."""
        return self._flat

    @property
    def params(self) -> dict[str, Array]:
        """By the parameters' names: views of `flat`, made when they are first looked at."""
        if self._params is None:
            self._params = self._places.views(self.flat)
        return self._params

    def __reduce__(self) -> Any:
        return Grads, (self.x, self.state, self.flat, self._places)

    def __repr__(self) -> str:
        return f"Grads(x={self.x!r}, state={self.state!r}, params={self.params!r})"
