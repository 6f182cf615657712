"""Named parameters as views of one flat buffer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from fastrnn.checks import Array, check_floats, check_shape
from fastrnn.workspaces import aligned_empty


class Spec(NamedTuple):
    """One parameter: its name, shape, what the shape means, and whether it lies transposed."""

    name: str
    shape: tuple[int, ...]
    meaning: str
    #: The memory holds the transpose, so that a column is contiguous.
    transposed: bool = False


class Views(dict[str, Array]):
    """The parameters by name. Assigning to a name copies into its view; names are fixed."""

    def __init__(self, views: Mapping[str, Array], specs: tuple[Spec, ...]) -> None:
        super().__init__(views)
        self._meanings = {s.name: s.meaning for s in specs}

    def __setitem__(self, name: str, value: Any) -> None:
        self[name][...] = self.checked(name, value)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("parameters cannot be added or removed, only assigned")

    __delitem__ = pop = popitem = clear = setdefault = _refuse

    # dict's own has two overloads, for which one body with Any stands.
    def __ior__(self, values: Any) -> Views:  # type: ignore[override,misc]
        self.update(values)
        return self

    def __reduce__(self) -> Any:
        return dict, (dict(self),)

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Copy values into the named views."""
        for name, value in dict(*args, **kwargs).items():
            self[name] = value

    def checked(self, name: str, value: Any) -> Array:
        """`value` as an array that fits the parameter, or KeyError, TypeError or ValueError."""
        if name not in self:
            raise KeyError(f"unknown parameter {name!r}; there are {', '.join(self)}")
        view = self[name]
        array = check_floats(name, value, view.dtype)
        if array.shape != view.shape:
            raise ValueError(
                f"{name} must have shape {self._meanings[name]} = {view.shape}, got {array.shape}"
            )
        return array


class Parameters:
    """Parameters in one contiguous buffer.

    Parameters
    ----------
    specs : sequence of Spec
        In the order in which they lie in the buffer.
    flat : ndarray (size,), optional
        The buffer; zeros of `dtype`, on a cache line, if not given.

    Attributes
    ----------
    flat : ndarray (size,)
    parts : list of ndarray
        Each parameter as one dimension, a view of `flat`.
    views : dict of str to ndarray
        Each parameter with its shape, a view of `flat`.
    """

    def __init__(self, specs: Iterable[Spec], dtype: np.dtype[Any], flat: Array | None = None):
        self.specs = tuple(specs)
        self.offsets = tuple(accumulate((math.prod(s.shape) for s in self.specs), initial=0))
        if flat is None:
            flat = aligned_empty(self.offsets[-1], dtype)
            flat[...] = 0
        self.flat: Array = flat
        self._slices = [slice(*ends) for ends in pairwise(self.offsets)]
        self.parts = self.parts_of(self.flat)
        self.views = Views(self.views_of(self.parts), self.specs)

    def parts_of(self, flat: Array) -> list[Array]:
        """The parameters in a buffer that is laid out like `flat`, each as one dimension."""
        return [flat[part] for part in self._slices]

    def span(self, names: Sequence[str]) -> slice:
        """Where these neighbours, of which some may be absent, lie in the buffer."""
        places = [i for i, s in enumerate(self.specs) if s.name in names]
        if not places:
            return slice(0, 0)
        return slice(self.offsets[places[0]], self.offsets[places[-1] + 1])

    def views_of(self, parts: list[Array]) -> dict[str, Array]:
        """The parameters by name and with their shapes, from their `parts`."""
        return {
            s.name: part.reshape(s.shape[::-1]).T if s.transposed else part.reshape(s.shape)
            for s, part in zip(self.specs, parts, strict=True)
        }

    def __reduce__(self) -> Any:
        return Parameters, (self.specs, self.flat.dtype, self.flat)

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters by name."""
        return {name: np.array(view, order="C") for name, view in self.views.items()}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Copy all parameters from `values`; nothing is changed if anything does not fit.

        Raises
        ------
        KeyError
            If names are missing or unknown.
        TypeError, ValueError
            If a value has another precision or shape.
        """
        missing = [name for name in self.views if name not in values]
        unknown = [name for name in values if name not in self.views]
        if missing or unknown:
            parts = [f"{what} {', '.join(names)}" for what, names in
                     (("misses", missing), ("has unknown", unknown)) if names]  # fmt: skip
            raise KeyError(f"state_dict {' and '.join(parts)}")
        # Copies, since the values may be views of the very buffer that they are copied to.
        checked = {name: self.views.checked(name, values[name]).copy() for name in self.views}
        self.views.update(checked)

    def owner(self, index: int) -> str:
        """Name of the parameter that the flat buffer's element `index` belongs to."""
        place = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.specs[place].name


class HasParameters:
    """What layers and models show of their parameters."""

    _parameters: Parameters

    @property
    def _held(self) -> Parameters:
        return self._parameters

    @property
    def params(self) -> dict[str, Array]:
        """Parameters by name: views of `flat`. Assigning to a name copies into the view."""
        return self._held.views

    @property
    def flat(self) -> Array:
        """All parameters in one contiguous buffer. Assigning copies into it."""
        return self._held.flat

    @flat.setter
    def flat(self, value: Any) -> None:
        held = self._held.flat
        array = check_floats("flat", value, held.dtype)
        check_shape("flat", array, held.shape, "(all parameters,)")
        held[...] = array

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return self._held.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy parameters in; nothing is changed unless all names, shapes and types fit.

        Raises
        ------
        KeyError, TypeError, ValueError
            For names that are missing or unknown, another precision, another shape.
        """
        self._held.load_state_dict(state_dict)
