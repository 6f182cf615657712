"""Backpropagation through time that is truncated at random, without bias."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array, check_integer, check_number, generator_of
from fastrnn.layers import Grads, OneHot, Recurrent
from fastrnn.layers.values import State
from fastrnn.truncation.chain import Chain, Errors, Sum, Unrolled


def randomized_bptt(
    layer: Recurrent[State],
    x: ArrayLike | OneHot,
    d_output: Errors,
    mean_length: float,
    state: Any = None,
    *,
    every: int = 1,
    alpha: float | None = None,
    d_state: Any = None,
    wants_x: bool = True,
    seed: int | np.random.Generator | None = None,
) -> tuple[Array, State, Grads[State]]:
    """Backpropagation through time that is cut at random, and whose mean is the full gradient.

    Between two blocks of steps the chain is cut with probability c; where it is not, what goes back
    is multiplied by 1/(1 - c)::

        dL/dh_t = dL_t/dh_t + xi_t dL/dh_(t+1) dh_(t+1)/dh_t,
        xi_t = 0 with probability c_t, else 1/(1 - c_t), so that E[xi_t] = 1

    By induction from the end, the mean of each dL/dh_t is that of BPTT. This is Tallec and
    Ollivier's *Unbiasing truncated backpropagation through time* (2017, arXiv:1705.08209), the
    randomised truncation of *Dive into Deep Learning*. All sequences of a batch are cut at the same
    steps. Only one chain's steps are kept for going back at a time.

    Parameters
    ----------
    layer, x, d_output, state, d_state, wants_x
        As of `truncated_turns`, but a callable d_output is called for each block.
    mean_length : float
        Mean length of a chain in steps, above `every`, if the sequence had no end.
    every : int
        Unrolled of a block. Larger ones run faster; with 1, any two steps may be cut apart.
    alpha : float, optional
        If not given, c is constant and long chains are exponentially rare, with weights as large:
        the variance may have no bound where gradients do not vanish. Above 1, c falls with the
        length of the chain, and chains longer than l have a probability of about l to the -alpha;
        see `cut_probability`.
    seed : int or Generator, optional

    Returns
    -------
    output : ndarray, of the layer's
    state : ndarray, or tuple of ndarray
        After the last step.
    grads : Grads
        The mean of each over all draws is that of `layer.backward`.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, a sequence without steps, or a bidirectional layer, before any work.
    """
    unrolled = Unrolled(layer, x, d_output, state, d_state, wants_x)
    steps = check_integer("every", every, least=1)
    cut_probability(1, check_number("mean_length", mean_length, above=steps) / steps, alpha)
    rng = generator_of(seed)
    weights = []
    length = 1
    for draw in rng.random(_boundaries(unrolled.time, steps)).tolist():
        cut = cut_probability(length, mean_length / steps, alpha)
        weights.append(0.0 if draw < cut else 1 / (1 - cut))
        length = 1 if draw < cut else length + 1
    return _weighted(unrolled, weights, steps)


def weighted_bptt(
    layer: Recurrent[State],
    x: ArrayLike | OneHot,
    d_output: Errors,
    weights: Sequence[float],
    state: Any = None,
    *,
    every: int = 1,
    d_state: Any = None,
    wants_x: bool = True,
) -> tuple[Array, State, Grads[State]]:
    """Backpropagation through time in which what goes back is weighted between blocks of steps.

    Weights of 1 give the full gradient, 0 cuts the chain. `randomized_bptt` draws them.

    Parameters
    ----------
    layer, x, d_output, state, every, d_state, wants_x
        As of `randomized_bptt`.
    weights : sequence of float
        One for each boundary between blocks, ceil(T / every) - 1 in all: what the gradient by the
        state there is multiplied by.

    Returns
    -------
    output, state, grads
        As of `randomized_bptt`.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument, a sequence without steps, or a bidirectional layer, before any work.
    """
    unrolled = Unrolled(layer, x, d_output, state, d_state, wants_x)
    steps = check_integer("every", every, least=1)
    numbers = [check_number(f"weights[{i}]", weight) for i, weight in enumerate(weights)]
    expected = _boundaries(unrolled.time, steps)
    if len(numbers) != expected:
        raise ValueError(
            f"weights must be ceil(T / every) - 1 = {expected} numbers for T = {unrolled.time} "
            f"steps, got {len(numbers)}"
        )
    return _weighted(unrolled, numbers, steps)


def cut_probability(length: int, mean_length: float, alpha: float | None = None) -> float:
    """With which probability a chain of `length` blocks is cut behind its last one.

    It is c = 1/m for a mean length m, or, with alpha, c = alpha / ((alpha - 1) m + length). The
    mean is m then, too: with a = (alpha - 1) m and the gamma function G, a chain is longer than k
    with probability G(a+1) G(a+1-alpha+k) / (G(a+1-alpha) G(a+1+k)), which adds up to m over k and
    falls as k to the -alpha.

    Parameters
    ----------
    length : int
        At least 1.
    mean_length : float
        m, in blocks, above 1.
    alpha : float, optional
        Above 1.

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    """
    blocks = check_integer("length", length, least=1)
    mean = check_number("mean_length", mean_length, above=1)
    if alpha is None:
        return 1 / mean
    exponent = check_number("alpha", alpha, above=1)
    return exponent / ((exponent - 1) * mean + blocks)


def _boundaries(time: int, every: int) -> int:
    return -(-time // every) - 1


def _weighted(
    unrolled: Unrolled[State], weights: Sequence[float], every: int
) -> tuple[Array, State, Grads[State]]:
    time = unrolled.time
    cuts = [(every * (i + 1), weight) for i, weight in enumerate(weights) if weight != 1]
    outputs: list[Array] = []
    d_outputs: list[Array] = []
    total = Sum(unrolled)
    chain, start, begin = Chain(unrolled, unrolled.state), 0, 0
    for end, weight in [*cuts, (time, 0.0)]:
        outputs.append(chain.forward(begin, end, weight))
        d_outputs.append(unrolled.d_output(outputs[-1], begin, end))
        begin = end
        if weight == 0:
            d_state = unrolled.d_state if end == time else None
            total.add(start, end, chain.backward(unrolled.joined(d_outputs), d_state))
            chain, start = Chain(unrolled, chain.state), end
            d_outputs.clear()
    return unrolled.joined(outputs), chain.state, total.grads()
