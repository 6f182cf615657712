"""Recurrent layers with the names, shapes and meaning of ``torch.nn``'s."""

from fastrnn.layers.base import Recurrent
from fastrnn.layers.gru import GRU
from fastrnn.layers.lstm import LSTM
from fastrnn.layers.one_step import GRUCell, LSTMCell, OneStep, RNNCell
from fastrnn.layers.rnn import RNN
from fastrnn.layers.values import Grads, OneHot, Tape

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "Grads",
    "LSTMCell",
    "OneHot",
    "OneStep",
    "RNNCell",
    "Recurrent",
    "Tape",
]
