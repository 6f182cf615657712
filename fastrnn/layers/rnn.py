"""The vanilla recurrent layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastrnn.cells import RNN_RELU, RNN_TANH
from fastrnn.checks import Array, check_choice
from fastrnn.layers.base import Recurrent


class RNN(Recurrent[Array]):
    """Vanilla recurrent layers: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh).

    Names, shapes and meaning are those of ``torch.nn.RNN``; the equation is Elman's (*Finding
    structure in time*, 1990).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int
        L; each layer reads the outputs of the one below it.
    bias : bool
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool
        Whether inputs and outputs are (N, T, .) and not (T, N, .). Outputs are then views of
        time-major memory.
    dropout : float
        Probability with which `forward` drops each output of every layer but the last.
    bidirectional : bool
        Whether a second direction reads each sequence from its end; its outputs stand behind the
        first one's.
    nonlinearity : {"tanh", "relu"}
    dtype : {float32, float64}
        Of parameters, inputs and outputs alike.
    seed : int, optional
        For the initial parameters, uniform in +-1/sqrt(H), and for dropout.
    threads : int, optional
        Threads that one call may use; if not given, as `fastrnn.set_threads` says.

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih_l0`` (H, I), ``weight_hh_l0`` (H, H), ``bias_ih_l0`` and ``bias_hh_l0`` (H,),
        for layer k ``_lk``, for the second direction with ``_reverse`` behind it.
    flat : ndarray
        The buffer that `params` are views of.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.RNN(3, 5, seed=0)
    >>> output, state, tape = layer.forward(np.ones((7, 2, 3), np.float32))
    >>> output.shape, state.shape
    ((7, 2, 5), (1, 2, 5))
    >>> grads = layer.backward(tape, d_output=np.ones_like(output))
    >>> grads.params["weight_hh_l0"].shape
    (5, 5)
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
        nonlinearity: str = "tanh",
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            RNN_TANH if nonlinearity == "tanh" else RNN_RELU,
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            dtype=dtype, seed=seed, threads=threads,
        )  # fmt: skip
