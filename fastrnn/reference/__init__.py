"""The naive implementation: plain NumPy, one equation a line, one step of Python per time step.

It is the oracle of the tests and the baseline of the benchmarks, and therefore shares no code with
the rest of fastrnn. Symbols: T time, N batch, I input, H hidden, L layers, D directions, V
vocabulary; ``d_a`` is the gradient of the loss with respect to ``a``. Results have the dtype of
the arrays that came in.
"""

from fastrnn.reference import (
    course,
    forecaster,
    min_char_rnn,
    rnn_class,
    sentiment,
    stepped_rnn,
    three_layer_net,
    word_model,
)
from fastrnn.reference.char_model import language_model_step, lossFun
from fastrnn.reference.gru import (
    gru_backward,
    gru_forward,
    gru_layer_backward,
    gru_layer_forward,
)
from fastrnn.reference.loss import softmax, softmax_cross_entropy
from fastrnn.reference.lstm import (
    lstm_backward,
    lstm_forward,
    lstm_layer_backward,
    lstm_layer_forward,
)
from fastrnn.reference.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    RMSprop,
    clip_by_norm,
    clip_by_value,
)
from fastrnn.reference.rnn import (
    rnn_backward,
    rnn_forward,
    rnn_layer_backward,
    rnn_layer_forward,
)
from fastrnn.reference.word_language_model import word_language_model_step

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Momentum",
    "Nesterov",
    "RMSprop",
    "clip_by_norm",
    "clip_by_value",
    "course",
    "forecaster",
    "gru_backward",
    "gru_forward",
    "gru_layer_backward",
    "gru_layer_forward",
    "language_model_step",
    "lossFun",
    "lstm_backward",
    "lstm_forward",
    "lstm_layer_backward",
    "lstm_layer_forward",
    "min_char_rnn",
    "rnn_backward",
    "rnn_class",
    "rnn_forward",
    "rnn_layer_backward",
    "rnn_layer_forward",
    "sentiment",
    "softmax",
    "softmax_cross_entropy",
    "stepped_rnn",
    "three_layer_net",
    "word_language_model_step",
    "word_model",
]
