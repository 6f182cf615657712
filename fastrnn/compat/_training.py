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
    _restore(state, before)
    run(wrong)
    raise not_finite(step, first + wrong)


def _restore(arrays: Sequence[Array], values: Sequence[Array]) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[...] = value


def step_while_finite(
    count: int, weights: Sequence[Array], do: Callable[[int], bool], step: str
) -> None:
    """Do so many steps, or those before one that is not finite.

    Parameters
    ----------
    count : int
    weights : sequence of ndarray
        All that the steps change.
    do : callable
        Does the step of this number, or returns False if what the weights give is not finite.
    step : str
        What a step is called.

    Raises
    ------
    ArithmeticError
        If one is not finite; the weights are those before it.
    """
    before = [array.copy() for array in weights]

    def finite() -> bool:
        return all(np.isfinite(array).all() for array in weights)

    done = 0
    while done < count and do(done):
        done += 1
    if done == count and finite():
        return
    # Which step it was is looked for only now: what is infinite may go on for some steps.
    _restore(weights, before)
    wrong = 0
    while do(wrong) and finite():
        wrong += 1
    _restore(weights, before)
    for number in range(wrong):
        do(number)
    raise not_finite(step, wrong)
