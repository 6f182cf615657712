"""The whole of min-char-rnn: loss and gradients, sampling, and the training loop.

A. Karpathy, "Minimal character-level language model with a vanilla recurrent neural network"
(2015, BSD licence, https://gist.github.com/karpathy/d4dee566867f8291f086), its names and its manner
kept. `lossFun` and `sample` read the parameters where they are called, as the script's read its
globals; `bind` gives them theirs.
"""

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastrnn.reference._types import Array

#: The script's Wxh, Whh, Why, bh, by, or what belongs to each.
Five = tuple[Array, Array, Array, Array, Array]
#: Loss, gradients of the five, and the last state.
Loss = tuple[float, Array, Array, Array, Array, Array, Array]


class MinCharRNN(NamedTuple):
    """The script's two functions."""

    #: ``lossFun(inputs, targets, hprev) -> loss, dWxh, dWhh, dWhy, dbh, dby, h``
    lossFun: Callable[[Sequence[int], Sequence[int], Array], Loss]
    #: ``sample(h, seed_ix, n) -> ixes``
    sample: Callable[[Array, int, int], list[int]]


class Trained(NamedTuple):
    """What the script's variables are in the end."""

    parameters: Five
    memories: Five
    hprev: Array
    chars: list[str]
    #: Of each iteration, summed over its characters, in nats.
    losses: Array
    smooth_loss: float


def loss_and_gradients(
    inputs: Sequence[int], targets: Sequence[int], hprev: Array, parameters: Five
) -> Loss:
    """The script's ``lossFun`` before it clips the gradients, its global parameters given."""
    Wxh, Whh, Why, bh, by = parameters
    xs, hs, ys, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0.0
    for t in range(len(inputs)):
        xs[t] = np.zeros((len(by), 1), Wxh.dtype)
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        ys[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(ys[t]) / np.sum(np.exp(ys[t]))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    return float(loss), dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


def lossFun(inputs: Sequence[int], targets: Sequence[int], hprev: Array) -> Loss:
    """The script's, on the variables Wxh, Whh, Why, bh, by where it is called, or NameError."""
    return bind(*_of_caller()).lossFun(inputs, targets, hprev)


def sample(h: Array, seed_ix: int, n: int) -> list[int]:
    """The script's, on the variables Wxh, Whh, Why, bh, by where it is called, or NameError."""
    return bind(*_of_caller()).sample(h, seed_ix, n)


def _of_caller() -> Five:
    """The five where the function was called that calls this."""
    caller = sys._getframe(2)
    seen = {**caller.f_globals, **caller.f_locals}
    try:
        return seen["Wxh"], seen["Whh"], seen["Why"], seen["bh"], seen["by"]
    except KeyError as error:
        raise NameError(f"name {error} is not defined where the function is called") from None


def bind(Wxh: Array, Whh: Array, Why: Array, bh: Array, by: Array) -> MinCharRNN:
    """The script's functions, on these parameters, which may change in place.

    Parameters
    ----------
    Wxh, Whh, Why : (H, V), (H, H), (V, H)
    bh, by : (H, 1), (V, 1)
    """
    vocab_size = len(by)

    def lossFun(inputs: Sequence[int], targets: Sequence[int], hprev: Array) -> Loss:
        loss, *gradients, h = loss_and_gradients(inputs, targets, hprev, (Wxh, Whh, Why, bh, by))
        for dparam in gradients:
            np.clip(dparam, -5, 5, out=dparam)
        dWxh, dWhh, dWhy, dbh, dby = gradients
        return loss, dWxh, dWhh, dWhy, dbh, dby, h

    def sample(h: Array, seed_ix: int, n: int) -> list[int]:
        x = np.zeros((vocab_size, 1), Wxh.dtype)
        x[seed_ix] = 1
        ixes = []
        for _ in range(n):
            h = np.tanh(np.dot(Wxh, x) + np.dot(Whh, h) + bh)
            y = np.dot(Why, h) + by
            p = np.exp(y) / np.sum(np.exp(y))
            ix = np.random.choice(range(vocab_size), p=p.ravel())  # noqa: NPY002 - as published
            x = np.zeros((vocab_size, 1), Wxh.dtype)
            x[ix] = 1
            ixes.append(int(ix))
        return ixes

    return MinCharRNN(lossFun, sample)


def train(
    data: str,
    iterations: int,
    hidden_size: int = 100,
    seq_length: int = 25,
    learning_rate: float = 1e-1,
    *,
    parameters: Five | None = None,
    every: int | None = 100,
    sample_length: int = 200,
    write: Callable[[str], object] = print,
) -> Trained:
    """The script's loop: `seq_length` characters an iteration, Adagrad, the state carried over.

    Parameters
    ----------
    data : str
    iterations : int
        Where the script goes on for ever.
    hidden_size : int
        Of new parameters.
    parameters : tuple, optional
        ``(Wxh, Whh, Why, bh, by)``, changed in place; drawn by ``np.random.randn`` times 0.01 if
        None.
    every : int, optional
        Iterations between samples and lines with the smooth loss; none if None.
    sample_length : int
        Characters of a sample.
    write : callable
        Takes each line.

    Returns
    -------
    Trained
    """
    chars = sorted(set(data))
    vocab_size = len(chars)
    char_to_ix = {ch: i for i, ch in enumerate(chars)}
    if parameters is None:
        randn = np.random.randn
        parameters = (
            randn(hidden_size, vocab_size) * 0.01,
            randn(hidden_size, hidden_size) * 0.01,
            randn(vocab_size, hidden_size) * 0.01,
            np.zeros((hidden_size, 1)),
            np.zeros((vocab_size, 1)),
        )
    lossFun, sample = bind(*parameters)
    mWxh, mWhh, mWhy, mbh, mby = (np.zeros_like(param) for param in parameters)
    memories = (mWxh, mWhh, mWhy, mbh, mby)
    losses = np.zeros(iterations)
    smooth_loss = -float(np.log(1.0 / vocab_size)) * seq_length
    p = 0
    hprev = np.zeros_like(parameters[3])
    for n in range(iterations):
        if p + seq_length + 1 >= len(data) or n == 0:
            hprev = np.zeros_like(parameters[3])
            p = 0
        inputs = [char_to_ix[ch] for ch in data[p : p + seq_length]]
        targets = [char_to_ix[ch] for ch in data[p + 1 : p + seq_length + 1]]
        if every and n % every == 0:
            txt = "".join(chars[ix] for ix in sample(hprev, inputs[0], sample_length))
            write(f"----\n {txt} \n----")
        loss, *gradients, hprev = lossFun(inputs, targets, hprev)
        losses[n] = loss
        smooth_loss = smooth_loss * 0.999 + loss * 0.001
        if every and n % every == 0:
            write(f"iter {n}, loss: {smooth_loss:f}")
        for param, dparam, mem in zip(parameters, gradients, memories, strict=True):
            mem += dparam * dparam
            param += -learning_rate * dparam / np.sqrt(mem + 1e-8)
        p += seq_length
    return Trained(parameters, memories, hprev, chars, losses, smooth_loss)
