"""The GRU layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn.cells import GRU as CELL
from fastrnn.cells import GRU_RESET_BEFORE
from fastrnn.checks import Array, check_bool
from fastrnn.layers.base import Recurrent


class GRU(Recurrent[Array]):
    """Gated recurrent units, with the names, shapes and meaning of ``torch.nn.GRU``.

    r, z = sigmoid(a_r), sigmoid(a_z); n = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn));
    h_t = (1 - z) n + z h_{t-1}, with ``a = W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`` (Cho et al.,
    *Learning phrase representations using RNN encoder-decoder*, 2014, the reset gate applied
    after the product).

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, seed,
    threads
        As those of `fastrnn.RNN`.
    reset_after : bool
        Whether the reset gate is applied after the product, as above; else
        ``n = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn)``, as in the paper and in Keras
        with the same name.

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih_l0`` (3*H, I), ``weight_hh_l0`` (3*H, H), ``bias_ih_l0`` and ``bias_hh_l0``
        (3*H,), the gates in the order r, z, n; for layer k ``_lk``, for the second direction with
        ``_reverse`` behind it.
    flat : ndarray
        The buffer that `params` are views of.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.GRU(3, 5, seed=0)
    >>> output, h = layer(np.ones((7, 2, 3), np.float32))
    >>> output.shape, h.shape
    ((7, 2, 5), (1, 2, 5))
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
        reset_after: bool = True,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.reset_after = check_bool("reset_after", reset_after)
        super().__init__(
            CELL if reset_after else GRU_RESET_BEFORE,
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype, seed=seed, threads=threads,
        )  # fmt: skip
