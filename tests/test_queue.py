"""Blocks of time that a team takes from a queue.

`test_threads` has that any team gives the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import PLAIN
from hypothesis import given
from hypothesis import strategies as st

from fastrnn import threads
from fastrnn.kernels.queue import MANY_ROWS, empty_queue, lanes_of_batch, next_task
from fastrnn.kernels.team import ALONE, Team, begin, finish, wait
from fastrnn.simd.signals import BROKEN

if not PLAIN:
    import numba

    from fastrnn.simd.barrier import add_to_word, pause, write_word
    from fastrnn.simd.handles import tuple_at

SIZE, TASKS = 3, 50
#: Of `run_tasks`: who takes the first task waits for all of the other lanes, or one thread fails.
STALLS, FAILS = 1, 2


@given(st.integers(2, 64), st.integers(0, 3000), st.integers(1, 6))
def test_lanes_have_all_rows_and_none_has_one(size: int, batch: int, rows: int) -> None:
    lanes, most = lanes_of_batch(batch, rows, size)
    if not lanes:
        assert batch < 2 * size * MANY_ROWS
        return
    assert size < lanes <= 2 * size
    assert 2 <= batch - (lanes - 1) * most <= most
    assert most <= -(-batch // size), "one lane would keep a thread longer than its share"


@pytest.mark.parametrize("tasks", [0, 1, 5])
def test_one_thread_does_its_tasks_in_turn(tasks: int) -> None:
    done, task = [], -1
    while True:
        lane, task = next_task(0, task, 0, tasks, ALONE)
        if task < 0:
            break
        done.append((lane, task))
    assert done == [(0, i) for i in range(tasks)]


def run_tasks(done: Any, order: Any, lanes: int, how: int, team: Any, _: Any) -> None:
    """Count all tasks in `done`, and set the place of each in `order` (lanes, tasks)."""
    of_team = tuple_at(team, 0, Team)
    begin(of_team)
    empty_queue(lanes, of_team)
    wait(of_team)
    lane, task = of_team.member, -1
    while True:
        lane, task = next_task(lane, task, lanes, order.shape[1], of_team)
        if task < 0:
            break
        if how == FAILS and lane == 0 and task == order.shape[1] // 2:
            write_word(of_team.barrier, BROKEN)
        while how == STALLS and lane == task == 0 and done[0] < order[1:].size:
            pause()
        order[lane, task] += add_to_word(done.ctypes.data, 1) + 1
    finish(of_team)


@pytest.fixture(scope="module")
def driver() -> Any:
    """`run_tasks` compiled."""
    if PLAIN:
        pytest.skip("without the JIT there are no teams")
    return numba.njit(nogil=True)(run_tasks)


@pytest.fixture
def cores(monkeypatch: Any) -> None:
    """As many cores as the team has threads, however few there are."""
    monkeypatch.setattr(threads, "available", lambda: SIZE)


@pytest.mark.usefixtures("cores")
@pytest.mark.parametrize("how", [0, STALLS])
@pytest.mark.parametrize("lanes", [SIZE + 1, 2 * SIZE])
def test_each_task_is_done_once_and_in_its_turn(lanes: int, how: int, driver: Any) -> None:
    for _ in range(20):
        done, order = np.zeros(1, np.int64), np.zeros((lanes, TASKS), np.int64)
        threads.run_team(driver, SIZE, np.empty(0), done, order, lanes, how)
        assert sorted(order.ravel()) == list(range(1, order.size + 1))
        assert (np.diff(order) > 0).all()
        if how == STALLS:
            assert order[0, 0] == order[1:].size + 1, "the others take what one leaves"


@pytest.mark.usefixtures("cores")
def test_nobody_takes_tasks_of_a_team_that_failed(driver: Any) -> None:
    done, order = np.zeros(1, np.int64), np.zeros((SIZE + 1, TASKS), np.int64)
    threads.run_team(driver, SIZE, np.empty(0), done, order, SIZE + 1, FAILS)
    assert done[0] < order.size
