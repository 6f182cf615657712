"""The cells, one file of equations each. Tests and benchmarks iterate over `CELLS`."""

from fastrnn.cells.base import Cell
from fastrnn.cells.coupled_lstm import COUPLED_LSTM
from fastrnn.cells.gru import GRU, GRU_RESET_BEFORE
from fastrnn.cells.indrnn import INDRNN
from fastrnn.cells.lstm import LSTM
from fastrnn.cells.mgu import MGU
from fastrnn.cells.peephole_lstm import PEEPHOLE_LSTM
from fastrnn.cells.rnn import RNN_RELU, RNN_TANH

CELLS: tuple[Cell, ...] = (RNN_TANH, RNN_RELU, LSTM, GRU, GRU_RESET_BEFORE)
#: Those that no layer is named after: ``fastrnn.Recurrent(MGU, input_size, hidden_size)``.
MORE_CELLS: tuple[Cell, ...] = (PEEPHOLE_LSTM, COUPLED_LSTM, MGU, INDRNN)

__all__ = [
    "CELLS",
    "COUPLED_LSTM",
    "GRU",
    "GRU_RESET_BEFORE",
    "INDRNN",
    "LSTM",
    "MGU",
    "MORE_CELLS",
    "PEEPHOLE_LSTM",
    "RNN_RELU",
    "RNN_TANH",
    "Cell",
]
