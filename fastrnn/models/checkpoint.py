"""A language model as a file, with the training that can go on from it."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.checks import Array, check_floats, check_integer, check_shape
from fastrnn.data import Vocabulary
from fastrnn.files import ModelFileError, load_model, save_model
from fastrnn.model_plan import model_specs
from fastrnn.training import History, TrainingOptions

if TYPE_CHECKING:
    from fastrnn.models.language_model import LanguageModel

KIND = "language_model"

#: Parts of the history with a number for each step: tensors, where the rest is JSON.
SERIES = ("loss", "gradient_norm")


def save(model: LanguageModel, path: str | os.PathLike[str]) -> None:
    """Write a model; see `LanguageModel.save`."""
    history = dataclasses.asdict(model.history_)
    tensors = dict(model.params)
    tensors |= {f"history.{name}": np.array(history[name], np.float64) for name in SERIES}
    config: dict[str, Any] = {
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "nonlinearity": model.nonlinearity,
        "dtype": model.dtype.name,
        "vocabulary_size": model.vocabulary_size,
        "characters": model.vocabulary.characters if model.vocabulary else None,
        "history": {k: v for k, v in history.items() if k not in SERIES},
    }
    state = model._trainer.state() if model._trainer else model._restored
    if state:
        config["training"] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
        tensors |= {f"training.{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
    save_model(path, KIND, config, tensors)


def load(kind: type[LanguageModel], path: str | os.PathLike[str]) -> LanguageModel:
    """Read a model; see `LanguageModel.load`."""
    config, tensors = load_model(path, KIND)

    def pop(prefix: str) -> dict[str, Array]:
        names = [name for name in tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): tensors.pop(name) for name in names}

    training, series = pop("training."), pop("history.")
    try:
        characters = config["characters"]
        model = kind(
            config["hidden_size"],
            config["num_layers"],
            nonlinearity=config["nonlinearity"],
            dtype=config["dtype"],
        )
        size = config["vocabulary_size"]
        _check_sizes(model, size, tensors)
        if characters and len(characters) != size:
            raise ValueError(f"characters must be {size}, got {len(characters)}")
        model._build(Vocabulary(characters) if characters else size)
        model.load_state_dict(tensors)
        history = dict(config["history"])
        history["validation"] = [tuple(v) for v in history["validation"]]
        history |= {name: series[name].tolist() for name in SERIES}
        model.history_ = History(**history)
        if "training" in config:
            model._restored = _training(model, config["training"], training)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from error
    return model


def _check_sizes(model: LanguageModel, vocabulary: int, tensors: dict[str, Array]) -> None:
    """ValueError unless the sizes are those of the tensors: before memory is asked for by them."""
    layers = model.num_layers
    if layers > len(tensors):
        raise ValueError(f"num_layers must be that of its {len(tensors)} tensors, got {layers}")
    for spec in model_specs(model.cell, layers, model.hidden_size, vocabulary):
        if spec.name not in tensors:
            raise ValueError(f"it misses {spec.name}")
        check_shape(spec.name, tensors[spec.name], spec.shape, spec.meaning)


def _training(
    model: LanguageModel, config: dict[str, Any], tensors: dict[str, Array]
) -> dict[str, Any]:
    """What `Trainer.restore` takes, if it is all there and of the right kinds."""
    options = TrainingOptions(**config["options"])
    state: dict[str, Any] = {"options": dataclasses.asdict(options)}
    for name in ("text", "held_out"):
        state[name] = config[name]
    for name in ("step", "position", "total"):
        state[name] = check_integer(name, config[name], least=0)
    for name in ("slots", "h", "memory"):
        state[name] = check_floats(f"training.{name}", tensors[name], model.dtype)
    if state["slots"].shape != (options.rule.slots, model.flat.size):
        raise ValueError(f"training.slots has shape {state['slots'].shape}")
    return state
