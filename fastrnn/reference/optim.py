"""Gradient clipping and optimisers, on dicts of arrays that they change in place.

Each optimiser has ``step(params, grads)``: it moves the parameters named in ``grads`` and leaves
the others alone. What it remembers starts at zero, with the shape and dtype of the gradient.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from fastrnn.reference._types import Array, Params


def clip_by_value(grads: Params, limit: float) -> None:
    """``g <- min(max(g, -limit), limit)``, elementwise and in place."""
    for g in grads.values():
        np.clip(g, -limit, limit, out=g)


def clip_by_norm(grads: Params, limit: float) -> float:
    """``g <- min(1, limit / norm) g`` in place, norm being that of all gradients together.

    R. Pascanu, T. Mikolov, Y. Bengio, "On the difficulty of training recurrent neural networks",
    ICML 2013, algorithm 1.

    Returns
    -------
    norm : float
        Before clipping. Squares are summed in float64, where those of float32 cannot overflow.
    """
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in grads.values()))
    if norm > limit:
        for g in grads.values():
            g *= limit / norm
    return norm


def _remembered(memory: Params, name: str, g: Array) -> Array:
    """``memory[name]``, zeros like g at first."""
    if name not in memory:
        memory[name] = np.zeros_like(g)
    return memory[name]


@dataclass
class SGD:
    """Gradient descent: ``p -= lr g``."""

    lr: float

    def step(self, params: Params, grads: Params) -> None:
        for name, g in grads.items():
            p = params[name]
            p -= self.lr * g


@dataclass
class Momentum:
    """``v = momentum v + g``, ``p -= lr v``: ``torch.optim.SGD(momentum=...)``.

    B. T. Polyak, "Some methods of speeding up the convergence of iteration methods" (1964).
    """

    lr: float
    momentum: float = 0.9
    velocity: Params = field(default_factory=dict, init=False)

    def step(self, params: Params, grads: Params) -> None:
        for name, g in grads.items():
            p, v = params[name], _remembered(self.velocity, name, g)
            v[...] = self.momentum * v + g
            p -= self.lr * v


@dataclass
class Nesterov:
    """``v = momentum v + g``, ``p -= lr (g + momentum v)``: ``torch.optim.SGD(nesterov=True)``.

    I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013, in the form that keeps the parameters at the point of the gradient.
    """

    lr: float
    momentum: float = 0.9
    velocity: Params = field(default_factory=dict, init=False)

    def step(self, params: Params, grads: Params) -> None:
        for name, g in grads.items():
            p, v = params[name], _remembered(self.velocity, name, g)
            v[...] = self.momentum * v + g
            p -= self.lr * (g + self.momentum * v)


@dataclass
class Adagrad:
    """``m += g^2``, ``p -= lr g / sqrt(m + eps)``: min-char-rnn's form, eps under the root.

    J. Duchi, E. Hazan, Y. Singer, "Adaptive subgradient methods", JMLR 12 (2011).
    """

    lr: float
    eps: float = 1e-8
    memory: Params = field(default_factory=dict, init=False)

    def step(self, params: Params, grads: Params) -> None:
        for name, g in grads.items():
            p, m = params[name], _remembered(self.memory, name, g)
            m += g * g
            p -= self.lr * g / np.sqrt(m + self.eps)


@dataclass
class RMSprop:
    """``v = rho v + (1 - rho) g^2``, ``p -= lr g / (sqrt(v) + eps)``: ``torch.optim.RMSprop``.

    T. Tieleman, G. Hinton, "Neural networks for machine learning", lecture 6.5 (2012).
    """

    lr: float
    rho: float = 0.99
    eps: float = 1e-8
    square: Params = field(default_factory=dict, init=False)

    def step(self, params: Params, grads: Params) -> None:
        for name, g in grads.items():
            p, v = params[name], _remembered(self.square, name, g)
            v[...] = self.rho * v + (1 - self.rho) * g * g
            p -= self.lr * g / (np.sqrt(v) + self.eps)


@dataclass
class Adam:
    """``p -= lr m' / (sqrt(v') + eps)``, of the bias-corrected moments of the gradient.

    With ``m = beta1 m + (1 - beta1) g`` and ``v = beta2 v + (1 - beta2) g^2``, at the t-th step
    ``m' = m / (1 - beta1^t)`` and ``v' = v / (1 - beta2^t)``. D. P. Kingma, J. Ba, "Adam: a method
    for stochastic optimization", ICLR 2015, algorithm 1.
    """

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    mean: Params = field(default_factory=dict, init=False)
    square: Params = field(default_factory=dict, init=False)
    steps: int = field(default=0, init=False)

    def step(self, params: Params, grads: Params) -> None:
        self.steps += 1
        beta1, beta2 = self.betas
        for name, g in grads.items():
            p = params[name]
            m = _remembered(self.mean, name, g)
            v = _remembered(self.square, name, g)
            m[...] = beta1 * m + (1 - beta1) * g
            v[...] = beta2 * v + (1 - beta2) * g * g
            m_hat = m / (1 - beta1**self.steps)
            v_hat = v / (1 - beta2**self.steps)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


@dataclass
class AdamW(Adam):
    """``p -= lr weight_decay p``, then Adam's step: ``torch.optim.AdamW``.

    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    weight_decay: float = 0.01

    def step(self, params: Params, grads: Params) -> None:
        for name in grads:
            p = params[name]
            p -= self.lr * self.weight_decay * p
        super().step(params, grads)
