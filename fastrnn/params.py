"""Named parameters as views of one flat buffer."""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, count, pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from fastrnn.checks import Array, check_floats, check_shape
from fastrnn.workspaces import aligned_empty

#: Numbers of all versions of all parameters.
_VERSIONS = count(1)


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


class Places:
    """Where parameters lie in a flat buffer, and in the buffer of their gradients."""

    __slots__ = ("_forms", "_slices", "offsets", "specs")

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.specs = tuple(specs)
        self.offsets = tuple(accumulate((math.prod(s.shape) for s in self.specs), initial=0))
        self._slices = [slice(*ends) for ends in pairwise(self.offsets)]
        #: Names, shapes in memory, and whether the view is that transposed.
        self._forms = [
            (s.name, s.shape[::-1] if s.transposed else s.shape, s.transposed) for s in self.specs
        ]

    def __reduce__(self) -> Any:
        return Places, (self.specs,)

    def parts(self, flat: Array) -> list[Array]:
        """Each parameter of a buffer as one dimension."""
        return [flat[part] for part in self._slices]

    def views(self, flat: Array) -> dict[str, Array]:
        """Each parameter of a buffer by its name and with its shape."""
        return {
            name: flat[part].reshape(shape).T if transposed else flat[part].reshape(shape)
            for (name, shape, transposed), part in zip(self._forms, self._slices, strict=True)
        }

    def span(self, names: Sequence[str]) -> slice:
        """Where these neighbours lie, if they are there."""
        places = [i for i, s in enumerate(self.specs) if s.name in names]
        return slice(self.offsets[places[0]], self.offsets[places[-1] + 1]) if places else slice(0)

    def owner(self, index: int) -> str:
        """Name of the parameter that a buffer's element `index` belongs to."""
        place = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return self.specs[place].name


class Parameters:
    """Parameters in one contiguous buffer.

    Parameters
    ----------
    specs : sequence of Spec
        In the order in which they lie in the buffer.
    flat : ndarray (size,), optional
        The buffer; zeros of `dtype`, on a cache line, if not given.
    is_lent : bool
        Whether others may write to that buffer at any time; if not, only those who have `flat`.

    Attributes
    ----------
    flat : ndarray (size,)
    places : Places
    views : dict of str to ndarray
        Each parameter with its shape, a view of `flat`.

    These are for the package. Users of layers get `shown` and `shown_views`; what is made of them
    holds on to them, in whatever library, and `version` knows of it.
    """

    def __init__(
        self,
        specs: Iterable[Spec],
        dtype: np.dtype[Any],
        flat: Array | None = None,
        *,
        is_lent: bool = True,
    ) -> None:
        self.places = Places(specs)
        if flat is None:
            flat = aligned_empty(self.places.offsets[-1], dtype)
            flat[...] = 0
            self._is_lent, self.flat, self._shown = False, flat, _apart(flat)
        else:
            # What NumPy makes of an array holds on to the first of a chain: that must be `flat`.
            self._is_lent = is_lent or isinstance(flat.base, np.ndarray)
            self.flat, self._shown = flat if self._is_lent else _apart(flat), flat
        #: So many references to what is shown there are if no user has one.
        self._nobody = _NOBODY + (self._shown is flat)
        #: The views that users have, if they do, together and one by one.
        self._views: Callable[[], Views | None] = _nothing
        self._each: weakref.WeakValueDictionary[str, Array] = weakref.WeakValueDictionary()
        self._version = next(_VERSIONS)
        self.views = Views(self.places.views(self.flat), self.specs)

    @property
    def specs(self) -> tuple[Spec, ...]:
        """What there is, in the order of the buffer."""
        return self.places.specs

    def renamed(self, name_of: Callable[[str], str]) -> Parameters:
        """The same values under other names."""
        specs = [spec._replace(name=name_of(spec.name)) for spec in self.specs]
        renamed = Parameters(specs, self.flat.dtype)
        renamed.flat[...] = self.flat
        return renamed

    def shown(self) -> Array:
        """`flat` for users."""
        # First it is held, then the number changes: whoever sees the new one sees the holder, too.
        shown = self._shown
        self._version = next(_VERSIONS)
        return shown

    def shown_views(self) -> Views:
        """`views` for users."""
        shown, views = self.shown(), self._views()
        if views is None:
            fresh = self.places.views(shown)
            same = {name: self._each.setdefault(name, view) for name, view in fresh.items()}
            views = Views(same, self.specs)
            self._views = weakref.ref(views)
        return views

    def version(self) -> int:
        """A number that stays as it is as long as nobody can write; 0 while somebody can.

        An address kept as an integer, a weak reference and the base of what is shown are not known
        of: hold an array as well.
        """
        version = self._version
        return 0 if self._is_lent or _holders(self) > self._nobody else version

    def __reduce__(self) -> Any:
        # Who is copied together with it, and has what is shown, has that of the copy.
        return _again, (self.specs, self._shown, self._is_lent)

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
        self.shown_views().update(checked)


def _again(specs: tuple[Spec, ...], flat: Array, is_lent: bool) -> Parameters:
    return Parameters(specs, flat.dtype, flat, is_lent=is_lent)


def _apart(flat: Array) -> Array:
    """An array of the same memory to which views of the other do not hold on, nor its to that."""
    buffer = memoryview(flat)  # type: ignore[arg-type]
    return np.frombuffer(buffer, flat.dtype)


def _holders(parameters: Any) -> int:
    """References to what users are shown."""
    return sys.getrefcount(parameters._shown)


#: So many there are if no user has one.
_NOBODY = _holders(SimpleNamespace(_shown=object()))


def _nothing() -> None:
    """A reference to what is gone."""


class HasParameters:
    """What layers and models show of their parameters."""

    _parameters: Parameters

    @property
    def _held(self) -> Parameters:
        return self._parameters

    @property
    def params(self) -> dict[str, Array]:
        """Parameters by name: views of `flat`. Assigning to a name copies into the view.

        Layers see what is written to an array of them, or to anything made of one, as long as that
        is held; a layer's calls are faster once none is. Whoever keeps an address as a number must
        hold one.
        """
        return self._held.shown_views()

    @property
    def flat(self) -> Array:
        """All parameters in one contiguous buffer. Assigning copies into it."""
        return self._held.shown()

    @flat.setter
    def flat(self, value: Any) -> None:
        held = self._held.shown()
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
