"""Recurrent networks at the speed of the machine, from NumPy.

>>> import numpy as np, fastrnn
>>> layer = fastrnn.RNN(input_size=3, hidden_size=5, seed=0)
>>> output, state = layer(np.zeros((7, 2, 3), dtype=np.float32))

Importing the package does not import numba; the first call of a layer does.
"""

import importlib
from typing import Any

from fastrnn import cells, data, functional, truncation
from fastrnn.cells import Cell
from fastrnn.data import Vocabulary
from fastrnn.files import ModelFileError
from fastrnn.gradients import GradCheck, WrongGradientError, gradcheck
from fastrnn.layers import (
    GRU,
    LSTM,
    RNN,
    Grads,
    GRUCell,
    LSTMCell,
    OneHot,
    OneStep,
    Recurrent,
    RNNCell,
    Tape,
)
from fastrnn.models import LanguageModel
from fastrnn.streaming import Stream
from fastrnn.threads import get_threads, set_threads
from fastrnn.training import NonFiniteGradientError

__version__ = "0.1.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "GRUCell",
    "GradCheck",
    "Grads",
    "LSTMCell",
    "LanguageModel",
    "ModelFileError",
    "NonFiniteGradientError",
    "OneHot",
    "OneStep",
    "RNNCell",
    "Recurrent",
    "Stream",
    "Tape",
    "Vocabulary",
    "WrongGradientError",
    "__version__",
    "cells",
    "data",
    "functional",
    "get_threads",
    "gradcheck",
    "set_threads",
    "truncation",
]

#: Packages that few programs need, which are imported when they are asked for.
_LATER = ("compat", "reference")


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
