"""The LSTM layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn.cells import LSTM as CELL
from fastrnn.checks import Array
from fastrnn.layers.base import Recurrent


class LSTM(Recurrent[tuple[Array, Array]]):
    """Long short-term memory, with the names, shapes and meaning of ``torch.nn.LSTM``.

    i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o); g = tanh(a_g); c_t = f c_{t-1} + i g;
    h_t = o tanh(c_t), with ``a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`` (Hochreiter and
    Schmidhuber, *Long short-term memory*, 1997; forget gate: Gers et al., 2000).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed,
    threads
        As those of `fastrnn.RNN`.

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih_l0`` (4*H, I), ``weight_hh_l0`` (4*H, H), ``bias_ih_l0`` and ``bias_hh_l0``
        (4*H,), the gates in the order i, f, g, o; for layer k ``_lk``, for the second direction
        with ``_reverse`` behind it.
    flat : ndarray
        The buffer that `params` are views of.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.LSTM(3, 5, seed=0)
    >>> output, (h, c) = layer(np.ones((7, 2, 3), np.float32))
    >>> output.shape, h.shape, c.shape
    ((7, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(
            CELL, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype, seed=seed, threads=threads,
        )  # fmt: skip
