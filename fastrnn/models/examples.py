"""What networks on sequences learn from, and what they are like."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn.cells import Cell
from fastrnn.checks import Array

Integers = NDArray[np.int64]


class Sizes(NamedTuple):
    """What a network is like."""

    cell: Cell
    #: Numbers of a step or, where it reads tokens, their vocabulary.
    inputs: int
    tokens: bool
    hidden: int
    layers: int
    bidirectional: bool
    dropout: float
    outputs: int
    every_step: bool
    #: Name of the loss's kernel, and g of a squared error.
    loss: str
    activation: str
    #: Numbers of a word's vector, 0 for one-hot words, and whether they are learned.
    embedding: int
    trains_embedding: bool

    def parameters(self) -> dict[str, Any]:
        """What users know, by the names by which they know it."""
        losses = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}
        return {
            "cell": self.cell,
            "vocabulary_size": self.inputs if self.tokens else None,
            "numbers of a step": None if self.tokens else self.inputs,
            "hidden_size": self.hidden,
            "num_layers": self.layers,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            "every_step": self.every_step,
            "loss": losses.get(self.loss.split("_")[0], self.loss),
            "numbers of y": self.outputs,
            "output_activation": self.activation,
            "size of the embedding": self.embedding,
            "train_embedding": self.trains_embedding,
        }


class Examples(NamedTuple):
    """Sequences, and what is to be learned of them.

    Attributes
    ----------
    x : ndarray (T, N, I), or of int64 (T, N)
    lengths : ndarray of int64 (N,), or None
        T of each if None.
    targets : ndarray (T, N, W), or (N, W) where the last state alone is read
        One class, or a number for each output.
    weights : ndarray (T, N), or (N,)
        Of each row's loss; 0 beyond a sequence's length.
    """

    x: Array
    lengths: Integers | None
    targets: Array = np.empty(0)
    weights: Array = np.empty(0)

    @property
    def number(self) -> int:
        """N."""
        return int(self.x.shape[1])

    @property
    def rows(self) -> int:
        """Of how many rows the loss is the mean."""
        if self.weights.ndim == 1:
            return self.number
        if self.lengths is None:
            return self.number * len(self.x)
        return int(self.lengths.sum())

    def take(self, order: Integers) -> Examples:
        """Some of them, as long as the longest one."""
        lengths, time = None, len(self.x)
        if self.lengths is not None:
            lengths = self.lengths[order]
            time = max(1, int(lengths.max()))
        x, targets, weights = np.take(self.x[:time], order, axis=1), self.targets, self.weights
        if weights.ndim == 2:
            targets, weights = (np.take(a[:time], order, axis=1) for a in (targets, weights))
        elif weights.size:
            targets, weights = targets[order], weights[order]
        return Examples(x, lengths, targets, weights)
