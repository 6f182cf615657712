"""Estimators as files, with the training that `partial_fit` goes on from."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array, check_integer
from fastrnn.files import ModelFileError, load_model, save_model

#: Fitted attributes that JSON can hold, where there are any.
FITTED = ("n_features_in_", "loss_curve_", "validation_scores_", "best_validation_score_")
#: Prefixes of the tensors that belong to the training and to a parameter.
TRAINING, PARAMETER, CLASSES = "training.", "parameter.", "classes"


def save(estimator: Any, kind: str, path: str | os.PathLike[str]) -> None:
    """Write a fitted estimator; see `Estimator.save`."""
    fitted = vars(estimator)
    tensors: dict[str, Array] = {}
    parameters: dict[str, Any] = {}
    for name, value in estimator._trained_with.items():
        if name == "embedding" and np.ndim(value) == 2:
            tensors[PARAMETER + name] = np.asarray(value)
            value = None
        parameters[name] = np.dtype(value).name if name == "dtype" else _plain(value)
    learner, of_learner = estimator._learner.state()
    config = {
        "parameters": parameters,
        "learner": learner,
        "generator": estimator._generator.bit_generator.state,
        "fitted": {name: _plain(fitted[name]) for name in FITTED if name in fitted},
        "more": {name: _plain(fitted[name]) for name in estimator._saved if name in fitted},
    }
    if "feature_names_in_" in fitted:
        config["feature_names"] = fitted["feature_names_in_"].tolist()
    if "classes_" in fitted:
        values = estimator.classes_
        config["classes"] = {"several": estimator._classes.several}
        if values.dtype.kind in "biuf":
            tensors[CLASSES] = values
        elif all(isinstance(value, str) for value in values):
            config["classes"] |= {"labels": values.tolist(), "dtype": values.dtype.str}
        else:
            raise TypeError(f"classes_ must be numbers or strings to be saved, got {values!r}")
    save_model(path, kind, config, tensors | of_learner)


def load(
    estimator_of: Callable[..., Any], kind: str, path: str | os.PathLike[str], cell: Cell | None
) -> Any:
    """Read a fitted estimator; see `Estimator.load`."""
    from fastrnn.models.targets import Classes

    config, tensors = load_model(path, kind)
    _check_cell(path, config, cell)
    try:
        parameters = {name: _parameter(name, v) for name, v in config["parameters"].items()}
        for name in [name for name in tensors if name.startswith(PARAMETER)]:
            parameters[name.removeprefix(PARAMETER)] = tensors.pop(name)
        if cell is not None:
            parameters["cell"] = cell
        estimator = estimator_of(**parameters)
        for name in FITTED:
            if name in config["fitted"]:
                setattr(estimator, name, config["fitted"][name])
        for name in estimator._saved:
            if name in config["more"]:
                setattr(estimator, name, _parameter(name, config["more"][name]))
        check_integer("n_features_in_", estimator.n_features_in_, least=1)
        if "feature_names" in config:
            estimator.feature_names_in_ = np.array(config["feature_names"], object)
        if "classes" in config:
            labels = config["classes"]
            values = tensors.pop(CLASSES) if CLASSES in tensors else None
            if values is None:
                values = np.array(labels["labels"], np.dtype(labels["dtype"]))
            estimator._classes = Classes(values, bool(labels["several"]))
            estimator.classes_ = values
        estimator._options(None)
        estimator._trained_with = parameters
        estimator._generator = generator_at(config["generator"])
        estimator._restore(config["learner"], tensors)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged or cannot be used: {error}") from error
    return estimator


def _check_cell(path: str | os.PathLike[str], config: dict[str, Any], cell: Cell | None) -> None:
    """ModelFileError unless the cell is known by its name, or is the one given."""
    from fastrnn.models.sequence import NAMED

    of_file = config.get("parameters")
    name = of_file.get("cell") if isinstance(of_file, dict) else None
    if cell is None and isinstance(name, str) and name not in NAMED:
        raise ModelFileError(
            f"{path} has a cell of one's own, {name!r}, that no file can hold: give it, load(path, "
            f"cell=...)"
        )
    if cell is not None and cell.name != name:
        raise ModelFileError(
            f"cell must be {name!r}, with which the estimator in {path} was fitted, got "
            f"{cell.name!r}"
        )


def generator_at(state: dict[str, Any]) -> np.random.Generator:
    """A generator in this state."""
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    return generator


def _plain(value: Any) -> Any:
    """A parameter as JSON can hold it."""
    if isinstance(value, Cell):
        return value.name
    if isinstance(value, np.random.RandomState):
        return None
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {"pairs": [[_plain(k), _plain(v)] for k, v in value.items()]}
    if isinstance(value, tuple | list | np.ndarray):
        return [_plain(v) for v in value]
    return value


def _parameter(name: str, value: Any) -> Any:
    """What `_plain` was given, or as good."""
    if name == "dtype":
        return np.dtype(value).type
    if isinstance(value, dict):
        return dict(map(tuple, value["pairs"]))
    return tuple(value) if isinstance(value, list) else value
