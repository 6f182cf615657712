"""The cells, one file of equations each. Tests and benchmarks iterate over `CELLS`."""

from fastrnn.cells.base import Cell
from fastrnn.cells.rnn import RNN_RELU, RNN_TANH

CELLS: tuple[Cell, ...] = (RNN_TANH, RNN_RELU)

__all__ = ["CELLS", "RNN_RELU", "RNN_TANH", "Cell"]
