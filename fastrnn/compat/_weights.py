"""Weights that are attributes of published classes, and lie in one buffer all the same."""

from __future__ import annotations

from typing import Any, ClassVar

from fastrnn.checks import Array, as_array
from fastrnn.params import Parameters


class NamedWeights:
    """A class whose attributes `_weights` are views of its `_parameters`; assigning copies."""

    _weights: ClassVar[frozenset[str]]
    _parameters: Parameters

    def __getattr__(self, name: str) -> Array:
        if name in type(self)._weights:
            return self._parameters.views[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self)._weights:
            super().__setattr__(name, value)
            return
        view = self._parameters.views[name]
        array = as_array(name, value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be numbers, got {array.dtype.name}")
        if array.shape != view.shape:
            meaning = next(s.meaning for s in self._parameters.specs if s.name == name)
            raise ValueError(f"{name} must have shape {meaning} = {view.shape}, got {array.shape}")
        view[...] = array
