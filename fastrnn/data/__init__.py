"""Data for sequences: vocabularies, minibatches of long series, generators, readers of files.

Nothing here needs more than NumPy, and nothing executes what a file says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastrnn.data.series import (
    forecast_windows,
    parallel_streams,
    random_sampling,
    sequential_partitioning,
)
from fastrnn.data.vocabulary import Tokens, Vocabulary

if TYPE_CHECKING:
    from fastrnn.data.generators import (
        Additions,
        binary_addition,
        from_bits,
        sine,
        spirals,
        to_bits,
    )
    from fastrnn.data.imdb import load_imdb, synthetic_imdb
    from fastrnn.data.padding import pad_sequences, sequence_lengths
    from fastrnn.data.sentiment import Phrases, draw_sentiment, sentiment_grammar, sentiment_phrases
    from fastrnn.data.stored import DataFileError
    from fastrnn.data.vectors import (
        WordVectors,
        embedding_matrix,
        read_glove,
        read_vectors,
        read_word2vec,
    )
    from fastrnn.data.words import WordVocabulary, join_words, tokenize

#: Where the rest is, which is imported when it is asked for: with all of it, `import fastrnn` took
#: 0.10 s over NumPy's import, not 0.08.
_HOMES = {
    "fastrnn.data.generators": (
        "Additions",
        "binary_addition",
        "from_bits",
        "sine",
        "spirals",
        "to_bits",
    ),
    "fastrnn.data.imdb": (
        "load_imdb",
        "synthetic_imdb",
    ),
    "fastrnn.data.padding": (
        "pad_sequences",
        "sequence_lengths",
    ),
    "fastrnn.data.sentiment": (
        "Phrases",
        "draw_sentiment",
        "sentiment_grammar",
        "sentiment_phrases",
    ),
    "fastrnn.data.stored": ("DataFileError",),
    "fastrnn.data.vectors": (
        "WordVectors",
        "embedding_matrix",
        "read_glove",
        "read_vectors",
        "read_word2vec",
    ),
    "fastrnn.data.words": (
        "WordVocabulary",
        "join_words",
        "tokenize",
    ),
}

__all__ = [
    "Additions",
    "DataFileError",
    "Phrases",
    "Tokens",
    "Vocabulary",
    "WordVectors",
    "WordVocabulary",
    "binary_addition",
    "draw_sentiment",
    "embedding_matrix",
    "forecast_windows",
    "from_bits",
    "join_words",
    "load_imdb",
    "pad_sequences",
    "parallel_streams",
    "random_sampling",
    "read_glove",
    "read_vectors",
    "read_word2vec",
    "sentiment_grammar",
    "sentiment_phrases",
    "sequence_lengths",
    "sequential_partitioning",
    "sine",
    "spirals",
    "synthetic_imdb",
    "to_bits",
    "tokenize",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
