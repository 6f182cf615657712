"""What the training loops of the drop-ins share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fastrnn.checks import Array


def not_finite(step: str, number: int) -> ArithmeticError:
    """The error for a training that diverged; `step` is what it calls its steps."""
    return ArithmeticError(
        f"the loss or the gradient is not finite at {step} {number}; the weights are those "
        f"before it: try a lower learning rate"
    )


def train_while_finite(
    losses: Array, state: Sequence[Array], run: Callable[[int], object], step: str, first: int
) -> None:
    """Do the steps first .. first + len(losses) - 1, or those before one that is not finite.

    Parameters
    ----------
    losses : ndarray
        Which `run` sets.
    state : sequence of ndarray
        All that the steps change, the parameters first.
    run : callable
        Does so many steps.
    step : str
        What a step is called.
    first : int

    Raises
    ------
    ArithmeticError
        If a loss, or a parameter in the end, is not finite; the state is that before the step.
    """
    before = [array.copy() for array in state]
    run(len(losses))
    fine = np.isfinite(losses)
    fine[-1] &= np.isfinite(state[0]).all()
    if fine.all():
        return
    wrong = int(fine.argmin())
    for array, value in zip(state, before, strict=True):
        array[...] = value
    run(wrong)
    raise not_finite(step, first + wrong)
