"""The minimal RNN that is stepped by hand: a vector in, a vector out, the state kept inside.

After A. Karpathy, "The unreasonable effectiveness of recurrent neural networks" (2015,
https://karpathy.github.io/2015/05/21/rnn-effectiveness/), whose names these are.
"""

import numpy as np

from fastrnn.reference._types import Array


class RNN:
    """``y = rnn.step(x)``, and a deeper network is ``y = upper.step(lower.step(x))``.

    Parameters
    ----------
    W_hh, W_xh, W_hy : (H, H), (H, I), (O, H)

    Attributes
    ----------
    h : (H,)
        The state, zero at first.
    """

    def __init__(self, W_hh: Array, W_xh: Array, W_hy: Array) -> None:
        self.W_hh, self.W_xh, self.W_hy = W_hh, W_xh, W_hy
        self.h = np.zeros(len(W_hh), W_hh.dtype)

    def step(self, x: Array) -> Array:
        """``h <- tanh(W_hh h + W_xh x)``, ``y = W_hy h``; no biases.

        Parameters
        ----------
        x : (I,)

        Returns
        -------
        y : (O,)
        """
        self.h = np.tanh(self.W_hh @ self.h + self.W_xh @ x)
        y: Array = self.W_hy @ self.h
        return y
