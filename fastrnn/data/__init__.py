"""Data for sequences: vocabularies, minibatches of long series, generators, readers of files.

Nothing here needs more than NumPy, and nothing executes what a file says.
"""

from fastrnn.data.generators import Additions, binary_addition, from_bits, sine, spirals, to_bits
from fastrnn.data.imdb import load_imdb, synthetic_imdb
from fastrnn.data.padding import pad_sequences, sequence_lengths
from fastrnn.data.sentiment import Phrases, draw_sentiment, sentiment_grammar, sentiment_phrases
from fastrnn.data.series import (
    forecast_windows,
    parallel_streams,
    random_sampling,
    sequential_partitioning,
)
from fastrnn.data.stored import DataFileError
from fastrnn.data.vectors import WordVectors, embedding_matrix, read_glove, read_word2vec
from fastrnn.data.vocabulary import Tokens, Vocabulary
from fastrnn.data.words import WordVocabulary, tokenize

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
    "load_imdb",
    "pad_sequences",
    "parallel_streams",
    "random_sampling",
    "read_glove",
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
