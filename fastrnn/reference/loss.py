"""Softmax and its cross-entropy, in nats."""

import numpy as np

from fastrnn.reference._types import Array, IntArray


def softmax(logits: Array) -> Array:
    """``p_i = exp(z_i - max z) / sum_j exp(z_j - max z)`` over the last axis.

    Subtracting the maximum changes nothing but the range: no exponential exceeds 1.

    Parameters
    ----------
    logits : (..., V)

    Returns
    -------
    p : (..., V)
    """
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p: Array = e / e.sum(axis=-1, keepdims=True)
    return p


def softmax_cross_entropy(logits: Array, targets: IntArray) -> tuple[float, Array]:
    """Mean of ``-log softmax(z)[target]`` over all targets, and its gradient.

    With M targets, ``d_z = (softmax(z) - onehot(target)) / M``; see C. M. Bishop, "Pattern
    Recognition and Machine Learning" (2006), eq. 4.109. The logarithm is taken of the sum, as
    ``log p = z - max z - log sum exp(z - max z)``, so that it stays finite where p underflows.

    Parameters
    ----------
    logits : (..., V)
    targets : (...), integers in [0, V)

    Returns
    -------
    loss : float
        In nats.
    d_logits : (..., V)
    """
    target = np.expand_dims(targets, -1)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -np.take_along_axis(log_p, target, axis=-1).mean()

    d_logits = softmax(logits)
    p_target = np.take_along_axis(d_logits, target, axis=-1)
    np.put_along_axis(d_logits, target, p_target - 1, axis=-1)
    d_logits /= targets.size
    return float(loss), d_logits
