"""Optimisers, as their equations.

A rule is a plain function of one gradient, one parameter and the optimiser's state for it, so
it compiles to registers and also runs on NumPy arrays, as a cell's equations do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from fastrnn.simd.functions import sqrt


class Hyper(NamedTuple):
    """The numbers of one step, as rules see them."""

    #: Every gradient is multiplied by this, then clipped to +- `limit`.
    scale: float
    limit: float
    #: Learning rate.
    rate: float
    #: Decay of the mean of gradients, and of the mean of their squares.
    momentum: float
    decay: float
    eps: float
    weight_decay: float
    #: Adam's corrections for means that began at zero.
    mean_correction: float
    square_correction: float


@dataclass(frozen=True)
class Optimizer:
    """An optimiser: its rule, how many numbers it keeps of each parameter, and its defaults."""

    name: str
    rule: Callable[..., Any]
    slots: int
    rate: float
    momentum: float = 0.0
    decay: float = 0.0
    eps: float = 1e-8
    weight_decay: float = 0.0
    #: Whether parameter and state stay as they are where a gradient is zero: such stretches, the
    #: weights of tokens that did not occur, are passed over.
    rests_at_zero: bool = False

    def hyper(self, step: int, rate: float, *, limit: float, weight_decay: float) -> Hyper:
        """The numbers of a step, the first one being 1."""
        return Hyper(
            scale=1.0,
            limit=limit,
            rate=rate,
            momentum=self.momentum,
            decay=self.decay,
            eps=self.eps,
            weight_decay=weight_decay,
            mean_correction=1 - self.momentum**step,
            square_correction=1 - self.decay**step,
        )


def sgd(h: Hyper, g: Any, p: Any) -> Any:
    """Stochastic gradient descent."""
    return p - h.rate * g, ()


def compensated_sgd(h: Hyper, g: Any, p: Any, c: Any) -> Any:
    """Gradient descent that keeps what each step rounds away, and puts it into the next one.

    W. Kahan, "Further remarks on reducing truncation errors", CACM 8 (1965). The parameter is
    ``p - c``, as exact in float32 as if it were a float64.
    """
    step = -h.rate * g - c
    new = p + step
    return new, ((new - p) - step,)


def momentum(h: Hyper, g: Any, p: Any, v: Any) -> Any:
    """Heavy ball, Polyak 1964, as ``torch.optim.SGD`` has it."""
    v = h.momentum * v + g
    return p - h.rate * v, (v,)


def nesterov(h: Hyper, g: Any, p: Any, v: Any) -> Any:
    """Nesterov's momentum, as ``torch.optim.SGD`` has it (Sutskever et al. 2013)."""
    v = h.momentum * v + g
    return p - h.rate * (g + h.momentum * v), (v,)


def adagrad(h: Hyper, g: Any, p: Any, s: Any) -> Any:
    """Duchi, Hazan and Singer 2011, eps under the root as min-char-rnn has it."""
    s = s + g * g
    return p - h.rate * g / sqrt(s + h.eps), (s,)


def rmsprop(h: Hyper, g: Any, p: Any, s: Any) -> Any:
    """Tieleman and Hinton 2012."""
    s = h.decay * s + (1 - h.decay) * g * g
    return p - h.rate * g / (sqrt(s) + h.eps), (s,)


def adam(h: Hyper, g: Any, p: Any, m: Any, s: Any) -> Any:
    """Kingma and Ba 2015; AdamW (Loshchilov and Hutter 2019) with a weight decay."""
    p = p * (1 - h.rate * h.weight_decay)
    m = h.momentum * m + (1 - h.momentum) * g
    s = h.decay * s + (1 - h.decay) * g * g
    mean = m * (1 / h.mean_correction)
    return p - h.rate * mean / (sqrt(s * (1 / h.square_correction)) + h.eps), (m, s)


OPTIMIZERS: dict[str, Optimizer] = {
    optimizer.name: optimizer
    for optimizer in (
        Optimizer("sgd", sgd, 0, rate=0.1, rests_at_zero=True),
        Optimizer("momentum", momentum, 1, rate=0.05, momentum=0.9),
        Optimizer("nesterov", nesterov, 1, rate=0.05, momentum=0.9),
        Optimizer("adagrad", adagrad, 1, rate=0.1, rests_at_zero=True),
        Optimizer("rmsprop", rmsprop, 1, rate=2e-3, decay=0.99),
        Optimizer("adam", adam, 2, rate=2e-3, momentum=0.9, decay=0.999),
        Optimizer("adamw", adam, 2, rate=2e-3, momentum=0.9, decay=0.999, weight_decay=0.01),
    )
}

#: For long trainings by small steps; not among those that `fit` takes.
COMPENSATED_SGD = Optimizer("compensated_sgd", compensated_sgd, 1, rate=0.1)
