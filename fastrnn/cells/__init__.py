"""The cells, one file of equations each. Tests and benchmarks iterate over `CELLS`."""

from fastrnn.cells.base import Cell
from fastrnn.cells.gru import GRU, GRU_RESET_BEFORE
from fastrnn.cells.lstm import LSTM
from fastrnn.cells.rnn import RNN_RELU, RNN_TANH

CELLS: tuple[Cell, ...] = (RNN_TANH, RNN_RELU, LSTM, GRU, GRU_RESET_BEFORE)

__all__ = ["CELLS", "GRU", "GRU_RESET_BEFORE", "LSTM", "RNN_RELU", "RNN_TANH", "Cell"]
