"""Long work in slices: each step once, in order, and Ctrl-C heard between slices."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise

import pytest

from fastrnn.slices import in_slices


@pytest.mark.parametrize("total", [0, 1, 7, 5000])
def test_every_step_is_done_once_in_order(total: int) -> None:
    calls: list[tuple[int, int]] = []
    in_slices(total, lambda first, count: calls.append((first, count)))
    assert [step for first, count in calls for step in range(first, first + count)] == list(
        range(total)
    )
    for (_, before), (_, after) in pairwise(calls[:-1]):
        assert 1 <= after <= 8 * before


def test_slow_steps_are_done_one_by_one() -> None:
    counts = []

    def run(first: int, count: int) -> None:
        counts.append(count)
        time.sleep(0.06)

    in_slices(4, run)
    assert counts == [1, 1, 1, 1]


def test_an_interrupt_is_heard_after_the_slice() -> None:
    done = []

    def run(first: int, count: int) -> None:
        if first > 2:
            os.kill(os.getpid(), signal.SIGINT)
        done.append(first)

    with pytest.raises(KeyboardInterrupt):
        in_slices(10**6, run)
    assert done[-1] > 2
    assert done[-2] <= 2
