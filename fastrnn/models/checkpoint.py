"""A language model as a file, with the training that can go on from it."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn.checks import Array, check_floats, check_integer, check_shape
from fastrnn.data import Vocabulary
from fastrnn.data.words import WordVocabulary
from fastrnn.files import ModelFileError, load_model, save_model
from fastrnn.model_plan import model_specs
from fastrnn.training import History, TrainingOptions

if TYPE_CHECKING:
    from fastrnn.models.language_model import LanguageModel

KIND = "language_model"

#: Parts of the history with a number for each step: tensors, where the rest is JSON.
SERIES = ("loss", "gradient_norm")

#: What the files say of models that there have been since there are words; older ones say nothing.
BEFORE_WORDS = {
    "cell": "rnn", "unit": "character", "min_count": 1, "max_vocabulary": None, "words": None,
    "embedding_size": 0, "train_embedding": True,
}  # fmt: skip


def save(model: LanguageModel, path: str | os.PathLike[str]) -> None:
    """Write a model; see `LanguageModel.save`."""
    history = dataclasses.asdict(model.history_)
    tensors = dict(model.params)
    tensors |= {f"history.{name}": np.array(history[name], np.float64) for name in SERIES}
    config: dict[str, Any] = {
        "hidden_size": model.hidden_size,
        "num_layers": model.num_layers,
        "cell": model.cell,
        "nonlinearity": model.nonlinearity,
        "unit": model.unit,
        "min_count": model.min_count,
        "max_vocabulary": model.max_vocabulary,
        "embedding_size": model.embedding_size,
        "train_embedding": model.train_embedding,
        "dtype": model.dtype.name,
        "vocabulary_size": model.vocabulary_size,
        "characters": None,
        "words": None,
        "history": {k: v for k, v in history.items() if k not in SERIES},
    }
    if model.vocabulary:
        kind = model.vocabulary.kind
        config |= {
            kind: model.vocabulary.config() if kind == "words" else "".join(model.vocabulary)
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
        if not BEFORE_WORDS.keys() & config.keys():
            config = config | BEFORE_WORDS
        model = kind(
            config["hidden_size"],
            config["num_layers"],
            cell=config["cell"],
            nonlinearity=config["nonlinearity"],
            unit=config["unit"],
            min_count=config["min_count"],
            max_vocabulary=config["max_vocabulary"],
            embedding=config["embedding_size"] or None,
            train_embedding=config["train_embedding"],
            dtype=config["dtype"],
        )
        size = config["vocabulary_size"]
        _check_sizes(model, size, config["embedding_size"], tensors)
        model._build(_vocabulary(config, size))
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


def _vocabulary(config: dict[str, Any], size: int) -> Vocabulary | WordVocabulary | int:
    """The vocabulary of a file, or the number of its token ids."""
    found: Vocabulary | WordVocabulary
    if config["words"] is not None:
        found = WordVocabulary.from_config(config["words"])
    elif config["characters"]:
        found = Vocabulary(config["characters"])
    else:
        return size
    if len(found) != size:
        raise ValueError(f"{found.kind} must be {size}, got {len(found)}")
    return found


def _check_sizes(
    model: LanguageModel, vocabulary: int, embedding: int, tensors: dict[str, Array]
) -> None:
    """ValueError unless the sizes are those of the tensors: before memory is asked for by them."""
    layers = model.num_layers
    if layers > len(tensors):
        raise ValueError(f"num_layers must be that of its {len(tensors)} tensors, got {layers}")
    specs = model_specs(model.equations, layers, model.hidden_size, vocabulary, embedding)
    for spec in specs:
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
    # Whether the embedding was trained may have changed since.
    sizes = model.flat.size, model.flat.size - model.vocabulary_size * model.embedding_size
    if state["slots"].shape not in [(options.rule.slots, size) for size in sizes]:
        raise ValueError(f"training.slots has shape {state['slots'].shape}")
    return state
