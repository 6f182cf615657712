"""min-char-rnn, the character model that everyone copies, fast.

A. Karpathy, "Minimal character-level language model with a vanilla recurrent neural network"
(2015, https://gist.github.com/karpathy/d4dee566867f8291f086): a tanh RNN of one layer, softmax,
gradients clipped to +-5, Adagrad, the state carried over. There are three ways to change to it.

In the script, delete the two functions and import them::

    from fastrnn.compat.min_char_rnn import lossFun, sample

They read ``Wxh``, ``Whh``, ``Why``, ``bh`` and ``by`` where they are called, as the published ones
read the script's globals; the loop stays as it is, and its ``param += ...`` is seen. In a program
whose parameters have other names, or live in an object, say which arrays they are::

    lossFun, sample = bind(Wxh, Whh, Why, bh, by)

Of such a step of 100 hidden units and 25 characters, half the time is then Adagrad's in NumPy. The
whole script as one call has that compiled too, and prints what the script prints::

    trained = train(open("input.txt").read(), iterations=100_000)

What differs: the softmax cannot overflow (the published one gives NaN from a logit of 710 on); a
character past the vocabulary, and shapes that do not fit, raise errors, where negative indices
and broadcasting went through; `train` numbers characters in order, not as ``set`` happens to.
``sample`` draws from ``np.random`` as the published one: the same seed gives the same text.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import Array, check_integer, check_number, check_text
from fastrnn.compat._min_char_rnn import NAMES, Five, Loss, Training, Weights, check_arrays
from fastrnn.data import Vocabulary

__all__ = ["MinCharRNN", "Trained", "bind", "lossFun", "sample", "train"]

#: Iterations in one call of the kernels: some 50 ms, then Ctrl-C is heard.
SLICE = 400


class MinCharRNN(NamedTuple):
    """The script's two functions, of `bind`."""

    lossFun: Callable[[ArrayLike, ArrayLike, ArrayLike], Loss]
    sample: Callable[[ArrayLike, int, int], list[int]]


class Trained(NamedTuple):
    """What the script's variables are at the end of `train`."""

    #: ``(Wxh, Whh, Why, bh, by)`` and Adagrad's memories of them.
    parameters: Five
    memories: Five
    #: (H, 1), after the last character.
    hprev: Array
    chars: list[str]
    #: (iterations,), each summed over its characters, in nats.
    losses: Array
    smooth_loss: float


def lossFun(inputs: ArrayLike, targets: ArrayLike, hprev: ArrayLike) -> Loss:
    """Loss and clipped gradients of a piece of text.

    ::

        h_t = tanh(Wxh x_t + Whh h_{t-1} + bh)      p_t = softmax(Why h_t + by)
        loss = -sum_t log p_t[target_t]

    The parameters are the variables of these names where it is called: ``Wxh`` (H, V), ``Whh``
    (H, H), ``Why`` (V, H), ``bh`` (H, 1), ``by`` (V, 1), all float64 or all float32.

    Parameters
    ----------
    inputs, targets : array_like of int (T,)
        In [0, V).
    hprev : array_like (H, 1)
        The state before the first character.

    Returns
    -------
    loss : float
        In nats.
    dWxh, dWhh, dWhy, dbh, dby : ndarray
        Clipped to +-5, in the shapes of the parameters.
    h : ndarray (H, 1)
        The state after the last character.

    Raises
    ------
    NameError
        If there is no variable of such a name.
    TypeError, ValueError
        For a wrong type or shape, or an index past the vocabulary, before any work.
    """
    return Weights.of(*_of_caller("lossFun")).loss(inputs, targets, hprev)


def sample(h: ArrayLike, seed_ix: int, n: int) -> list[int]:
    """Draw the next `n` characters after `seed_ix`, from the distributions that the model gives.

    The parameters are those of `lossFun`; the random numbers are ``np.random``'s.

    Parameters
    ----------
    h : array_like (H, 1)
        The state before `seed_ix`.
    seed_ix, n : int

    Returns
    -------
    ixes : list of int

    Raises
    ------
    NameError, TypeError, ValueError
        As `lossFun`; ValueError also for a model whose logits are not numbers.
    """
    return Weights.of(*_of_caller("sample")).sample(h, seed_ix, n)


def bind(Wxh: Array, Whh: Array, Why: Array, bh: Array, by: Array) -> MinCharRNN:
    """`lossFun` and `sample` of these parameters.

    They refer to the arrays, and see what is changed in them. A name that is bound to another
    array, as in ``Wxh = Wxh - rate * dWxh``, they do not see: ``Wxh -= rate * dWxh``.

    Parameters
    ----------
    Wxh, Whh, Why : ndarray (H, V), (H, H), (V, H)
    bh, by : ndarray (H, 1), (V, 1)

    Returns
    -------
    MinCharRNN
        ``(lossFun, sample)``.

    Raises
    ------
    TypeError, ValueError
        For a wrong type or shape.
    """
    five = (Wxh, Whh, Why, bh, by)
    check_arrays("", five)
    Weights.of(*five)
    return MinCharRNN(
        lambda inputs, targets, hprev: Weights.of(*five).loss(inputs, targets, hprev),
        lambda h, seed_ix, n: Weights.of(*five).sample(h, seed_ix, n),
    )


def train(
    data: str,
    iterations: int,
    hidden_size: int = 100,
    seq_length: int = 25,
    learning_rate: float = 1e-1,
    *,
    parameters: Five | None = None,
    memories: Five | None = None,
    every: int | None = 100,
    sample_length: int = 200,
    write: Callable[[str], object] = print,
) -> Trained:
    """The whole script: Adagrad on pieces of `seq_length` characters, the state carried over.

    Where fewer than ``seq_length + 2`` characters are left, the text begins anew, from a state of
    zero.

    Parameters
    ----------
    data : str
    iterations : int
        The script goes on for ever.
    hidden_size : int
        Of new parameters.
    seq_length : int
    learning_rate : float
    parameters, memories : tuple of ndarray, optional
        ``(Wxh, Whh, Why, bh, by)`` and Adagrad's memories of them, changed in place: those of a
        `Trained`, to go on with it. If None, parameters are ``np.random.randn`` times 0.01, in
        float64, and memories are zero.
    every : int, optional
        Iterations between samples and lines with the smooth loss, as the script prints them; none
        if None.
    sample_length : int
        Characters of a sample.
    write : callable
        Takes what the script prints.

    Returns
    -------
    Trained

    Raises
    ------
    TypeError, ValueError
        For wrong arguments, before any work.
    ArithmeticError
        If a loss, or a parameter where they are looked at, is not finite; `parameters` and
        `memories` are those before that iteration.
    """
    vocabulary = Vocabulary.of(check_text("data", data))
    tokens = vocabulary.encode(data)
    count = check_integer("iterations", iterations, least=0)
    time = check_integer("seq_length", seq_length, least=1)
    if tokens.size <= time:
        raise ValueError(
            f"data must have more than seq_length = {time} characters, got {tokens.size}"
        )
    rate = check_number("learning_rate", learning_rate, above=0)
    length = check_integer("sample_length", sample_length, least=0)
    period = count if every is None else check_integer("every", every, least=1)
    size = check_integer("hidden_size", hidden_size, least=1)
    if parameters is None:
        parameters = _drawn(len(vocabulary), size)
    training = Training(parameters, memories, tokens, len(vocabulary), time, rate)
    losses = np.empty(count)
    smooth_loss = math.log(len(vocabulary)) * time
    for n in range(0, count, max(1, period)):
        if every is not None:
            write(f"----\n {vocabulary.decode(training.sample(length))} \n----")
        end = min(count, n + period)
        for start in range(n, end, SLICE):
            part = losses[start : min(end, start + SLICE)]
            training.run(part)
            for i, loss in enumerate(part.tolist(), start=start):
                smooth_loss = smooth_loss * 0.999 + loss * 0.001
                if every is not None and i == n:
                    write(f"iter {n}, loss: {smooth_loss:f}")
    return Trained(
        training.parameters, training.memories, training.hprev, list(vocabulary.characters),
        losses, smooth_loss,
    )  # fmt: skip


def _drawn(vocab_size: int, hidden_size: int) -> Five:
    randn = np.random.randn
    return (
        randn(hidden_size, vocab_size) * 0.01,
        randn(hidden_size, hidden_size) * 0.01,
        randn(vocab_size, hidden_size) * 0.01,
        np.zeros((hidden_size, 1)),
        np.zeros((vocab_size, 1)),
    )


def _of_caller(function: str) -> list[Any]:
    """The variables Wxh, Whh, Why, bh, by where `function`, which calls this, was called."""
    caller = sys._getframe(2)
    places = (caller.f_locals, caller.f_globals, globals())
    found = [next((place[name] for place in places if name in place), None) for name in NAMES]
    if missing := [name for name, value in zip(NAMES, found, strict=True) if value is None]:
        raise NameError(
            f"{function} reads {', '.join(NAMES)} where it is called, and there is no "
            f"{', '.join(missing)}: define them, or use bind"
        )
    return found
