"""Drop-ins for published from-scratch NumPy programs: change one import, and the script is fast.

Each module has the names, argument orders, array layouts and results of one program, and runs on
fastrnn's kernels. Arrays are float32 or float64 throughout, never mixed. Where the published
version is wrong, the drop-in is right, and its docstring says what was wrong.

==================  ==============================================================================
module              program
==================  ==============================================================================
`word_model`        a word language model of word vectors, its functions one by one
`min_char_rnn`      min-char-rnn, the character language model of one file
`rnn_class`         ``RNN`` with ``train`` and ``predict``: XOR-like tables, binary addition, words
`three_layer_net`   the three-layer network on spirals, ReLU or sigmoid
`course`            a course's RNN and LSTM, cells and sequences, forward and backward
`sentiment`         the many-to-one RNN that tells good phrases from bad ones
==================  ==============================================================================

A module is imported when it is asked for, as ``fastrnn.compat.course`` too. The naive version of
each has the same name in `fastrnn.reference`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.compat import (
        course,
        min_char_rnn,
        rnn_class,
        sentiment,
        three_layer_net,
        word_model,
    )

__all__ = [
    "course",
    "min_char_rnn",
    "rnn_class",
    "sentiment",
    "three_layer_net",
    "word_model",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
