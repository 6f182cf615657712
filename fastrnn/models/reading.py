"""How a language model reads a text: its units, its vocabulary, its embedding."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.checks import (
    Array,
    check_bool,
    check_choice,
    check_finite,
    check_floats,
    check_integer,
    check_shape,
    check_text,
)
from fastrnn.data import Vocabulary
from fastrnn.data.words import WordVocabulary

if TYPE_CHECKING:
    from fastrnn.data.vectors import WordVectors

    #: What `embedding` may be.
    Embedding = int | Array | WordVectors | os.PathLike[str] | str | None

UNITS = ("character", "word")
#: Stands for the words that a vocabulary leaves out.
UNKNOWN = "<unk>"


class Reading(NamedTuple):
    """What a model was told about its units before it had a text."""

    unit: str
    min_count: int
    max_vocabulary: int | None

    def vocabulary_of(self, data: str) -> Vocabulary | WordVocabulary:
        """The vocabulary of a text; ValueError if it has no characters, or too few words."""
        if self.unit == "character":
            return Vocabulary.of(check_text("data", data))
        if not data or data.isspace():
            raise ValueError(f"data must have words, got {len(data)} characters of white space")
        cut = self.min_count > 1 or self.max_vocabulary is not None
        return WordVocabulary.of(
            data, min_count=self.min_count, max_size=self.max_vocabulary,
            unknown=UNKNOWN if cut else None,
        )  # fmt: skip


def check_reading(
    unit: str,
    min_count: int,
    max_vocabulary: int | None,
    vocabulary: Vocabulary | WordVocabulary | int | None,
) -> Reading:
    """The arguments of that name, or TypeError or ValueError."""
    check_choice("unit", unit, UNITS)
    least = check_integer("min_count", min_count, least=1)
    most = max_vocabulary
    if most is not None:
        most = check_integer("max_vocabulary", most, least=2)
    cut = least > 1 or most is not None
    if isinstance(vocabulary, WordVocabulary):
        unit = "word"
    if isinstance(vocabulary, Vocabulary) and unit == "word":
        raise ValueError("vocabulary must be a WordVocabulary for unit='word', got a Vocabulary")
    if cut and (unit != "word" or vocabulary is not None):
        name = "min_count" if least > 1 else "max_vocabulary"
        given = least if least > 1 else most
        why = "unit='word'" if unit != "word" else "the vocabulary that fit makes"
        raise ValueError(f"{name} must be given for {why} alone, got {given}")
    return Reading(unit, least, most)


def check_embedding(embedding: Embedding, trains: bool, dtype: np.dtype[Any]) -> Any:
    """`embedding` as a size, an array (V, E), vectors, a path or None.

    Raises
    ------
    OSError
        If a file cannot be opened.
    TypeError, ValueError
    """
    check_bool("train_embedding", trains)
    if embedding is None:
        if not trains:
            raise ValueError("train_embedding must be True without an embedding, got False")
        return None
    if isinstance(embedding, str | os.PathLike):
        with open(embedding, "rb"):  # before the text is read, which may take long
            return embedding
    if _is_vectors(embedding):
        return embedding
    if isinstance(embedding, np.ndarray) and embedding.ndim:
        array = check_floats("embedding", embedding, dtype)
        if array.ndim != 2 or not array.size:
            raise ValueError(f"embedding must have shape (V, E), got {array.shape}")
        check_finite("embedding", array)
        return array.copy()
    return check_integer("embedding", embedding, least=1)


def embedding_values(
    embedding: Any,
    vocabulary: Vocabulary | WordVocabulary | None,
    size: int,
    dtype: np.dtype[Any],
    seed: int | None,
) -> tuple[int, Array | None, int]:
    """Numbers of a row of the embedding, its values if they are pretrained, and rows found.

    Raises
    ------
    OSError
        If a file cannot be opened.
    TypeError, ValueError
        For vectors without a vocabulary of words, a wrong file, a wrong number of rows.
    """
    if embedding is None or isinstance(embedding, int):
        return embedding or 0, None, 0
    if isinstance(embedding, np.ndarray):
        check_shape("embedding", embedding, (size, embedding.shape[1]), "(V, E)")
        return embedding.shape[1], embedding, size
    from fastrnn.data.vectors import embedding_matrix, read_vectors

    if not isinstance(vocabulary, WordVocabulary):
        raise TypeError("embedding must be an int or an array (V, E) for a model without words")
    name, vectors = "embedding", embedding
    if not _is_vectors(embedding):
        name, vectors = os.fspath(embedding), read_vectors(embedding, vocabulary=vocabulary)
    if not any(word in vocabulary for word in vectors.words):
        raise ValueError(f"{name} has none of the {len(vocabulary)} words of the vocabulary")
    matrix, found = embedding_matrix(vocabulary, vectors, seed)
    check_finite("embedding", matrix)
    return matrix.shape[1], matrix.astype(dtype), int(found.sum())


def _is_vectors(value: Any) -> bool:
    if not isinstance(value, tuple):
        return False
    from fastrnn.data.vectors import WordVectors

    return isinstance(value, WordVectors)
