"""Backpropagation through time that is truncated by a rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic

from numpy.typing import ArrayLike

from fastrnn.checks import Array, check_integer
from fastrnn.layers import Grads, OneHot, Recurrent
from fastrnn.layers.values import State
from fastrnn.truncation.chain import Chain, Errors, Sum, Unrolled


@dataclass(frozen=True)
class Turn(Generic[State]):
    """One turn of `truncated_turns`.

    Attributes
    ----------
    start, stop : int
        The steps that are new in this turn.
    output : ndarray
        Their outputs, laid out as the layer's.
    state : ndarray, or tuple of ndarray
        After them.
    window : int
        The first of the steps that were backpropagated through.
    grads : Grads
        Of the new steps' errors: by the parameters, by x from `window` to `stop`, and by the state
        before `window`.
    """

    start: int
    stop: int
    output: Array
    state: State
    window: int
    grads: Grads[State]


def truncated_turns(
    layer: Recurrent[State],
    x: ArrayLike | OneHot,
    d_output: Errors,
    k1: int,
    k2: int,
    state: Any = None,
    *,
    d_state: Any = None,
    wants_x: bool = True,
) -> Iterator[Turn[State]]:
    """Truncated backpropagation through time, TBPTT(k1, k2), turn by turn.

    Each turn goes k1 steps forward, and from there k2 steps back. What goes back are the errors of
    the turn's own k1 steps, so that each step's error goes back once, through k2 steps at most and
    k2 - k1 + 1 at least::

        turn i: sum for t = (i-1) k1 + 1 to i k1 of dL/dh_t dh_t/dtheta, with h_(i k1 - k2) constant

    The rule is BPTT(h; h') of Williams and Peng (*An efficient gradient-based algorithm for on-line
    training of recurrent network trajectories*, 1990) with h = k2 and h' = k1, and the truncated
    BPTT of Sutskever's thesis (2013). k1 = k2 cuts the sequence into chunks (a last turn of fewer
    steps still goes k2 back), k1 = 1 sends each error k2 steps back, and with k2 of at least T the
    turns' gradients add up to the full one. With k2 below k1, the errors of a turn's first k1 - k2
    steps are not used.

    The parameters may be changed between two turns. The state before a window is carried as it was
    computed, without a gradient; the window runs forward again, with the parameters of now, so that
    its gradient is a true one.

    Parameters
    ----------
    layer : Recurrent
        Of one direction.
    x : array_like (T, N, I), or (N, T, I) with ``batch_first``, or (T, I); or OneHot
    d_output : array_like, of the output's shape, or callable
        Gradient of the loss by the output. A callable is called in each turn, as
        ``d_output(output, start, stop)`` with the outputs of the new steps, and returns the
        gradient by them.
    k1, k2 : int
    state : as the layer's, optional
        Before the first step; zeros if None.
    d_state : as `state`, optional
        Gradient of the loss by the state after the last step; zero if None.
    wants_x : bool
        Whether to compute the gradient by x.

    Yields
    ------
    Turn

    Raises
    ------
    TypeError, ValueError
        At the call: for a wrong argument, a sequence without steps, or a bidirectional layer.
    """
    unrolled = Unrolled(layer, x, d_output, state, d_state, wants_x)
    forth, back = check_integer("k1", k1, least=1), check_integer("k2", k2, least=1)
    return _turns(unrolled, forth, back)


def truncated_bptt(
    layer: Recurrent[State],
    x: ArrayLike | OneHot,
    d_output: Errors,
    k1: int,
    k2: int,
    state: Any = None,
    *,
    d_state: Any = None,
    wants_x: bool = True,
) -> tuple[Array, State, Grads[State]]:
    """Truncated backpropagation through time, TBPTT(k1, k2), of a whole sequence.

    Parameters and errors are those of `truncated_turns`.

    Returns
    -------
    output : ndarray, of the layer's
    state : ndarray, or tuple of ndarray
        After the last step.
    grads : Grads
        The sum of all turns' gradients: with k2 of at least T those of `layer.backward`.

    Examples
    --------
    >>> import numpy as np, fastrnn
    >>> layer = fastrnn.RNN(3, 5, seed=0)
    >>> x = np.ones((7, 2, 3), np.float32)
    >>> output, state, grads = truncated_bptt(layer, x, np.ones((7, 2, 5), np.float32), 1, 4)
    >>> grads.params["weight_hh_l0"].shape
    (5, 5)
    """
    unrolled = Unrolled(layer, x, d_output, state, d_state, wants_x)
    forth, back = check_integer("k1", k1, least=1), check_integer("k2", k2, least=1)
    total = Sum(unrolled)
    outputs = []
    for turn in _turns(unrolled, forth, back):
        total.add(turn.window, turn.stop, turn.grads)
        outputs.append(turn.output)
    return unrolled.joined(outputs), turn.state, total.grads()


def _turns(unrolled: Unrolled[State], k1: int, k2: int) -> Iterator[Turn[State]]:
    layer, time, state = unrolled.layer, unrolled.time, unrolled.state
    place = 0  # the step before which `state` is
    for start in range(0, time, k1):
        stop = min(start + k1, time)
        window = max(0, stop - k2)
        outputs = []
        if place < window:  # only with k2 < k1
            skipped, state = layer(unrolled.x(place, window), state)
            outputs.append(skipped)
        # The next window begins at `cut`: the state there is the one that is carried.
        cut = min(max(window, min(stop + k1, time) - k2), stop)
        chain = Chain(unrolled, state)
        if window < cut:
            outputs.append(chain.forward(window, cut))
        state = chain.state
        if cut < stop:
            outputs.append(chain.forward(cut, stop))
        output = unrolled.last(unrolled.joined(outputs), stop - start)
        d_output = unrolled.d_output(output, start, stop)
        grads = chain.backward(d_output, unrolled.d_state if stop == time else None)
        yield Turn(start, stop, output, chain.state, window, grads)
        place = cut
