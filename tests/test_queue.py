"""Blocks of time that a team takes from a queue.

`test_threads` has that any team gives the same bits.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrnn import threads
from fastrnn.kernels.queue import empty_queue, next_task, rows_of_band
from fastrnn.kernels.team import ALONE, Team, begin, finish, wait
from fastrnn.simd.signals import BROKEN
from fastrnn.teams import LEAST_TASKS, Bands, cut_bands

if not PLAIN:
    import numba

    from fastrnn.simd.barrier import add_to_word, pause, read_word, write_word
    from fastrnn.simd.handles import tuple_at

SIZE, TASKS = 3, 50
#: Of `run_tasks`: who takes the first task waits for all of the other bands, or one thread fails.
STALLS, FAILS = 1, 2


@settings(max_examples=2000)
@given(
    threads=st.integers(2, 64), batch=st.integers(1, 3000), tile=st.integers(3, 6),
    time=st.integers(1, 300), block=st.integers(1, 40), row_work=st.integers(1, 1 << 20),
    makes_parts=st.booleans(),
)  # fmt: skip
def test_bands_have_all_rows_and_none_has_one(
    threads: int, batch: int, tile: int, time: int, block: int, row_work: int, makes_parts: bool
) -> None:
    bands = cut_bands(threads, time, batch, tile, block, batch * row_work, makes_parts=makes_parts)
    if not bands.number:
        assert bands == Bands()
        return
    assert threads < bands.number <= 2 * threads
    assert 1 <= bands.steps <= block
    assert bands.steps * LEAST_TASKS <= time
    assert bands.steps == block or not makes_parts
    ends = [rows_of_band(i, bands.number, bands.rows, 0, 1, batch) for i in range(bands.number)]
    assert ends[0][0] == 0
    assert ends[-1][1] == batch
    assert all(end == first for (_, end), (first, _) in itertools.pairwise(ends))
    assert all(2 <= end - first <= -(-batch // threads) for first, end in ends)


def test_a_band_that_would_have_one_row_is_none() -> None:
    assert cut_bands(2, 100, 14, 6, 8, 10**8, makes_parts=True).rows == 6
    assert cut_bands(2, 100, 13, 6, 8, 10**8, makes_parts=True) == Bands()


@pytest.mark.parametrize(("batch", "tile", "rows"), [(32, 3, [12, 12, 8]), (16, 6, [6, 6, 4])])
def test_few_rows_are_cut_into_whole_tiles(batch: int, tile: int, rows: list[int]) -> None:
    bands = cut_bands(2, 100, batch, tile, 8, 10**8, makes_parts=True)
    ends = [rows_of_band(i, bands.number, bands.rows, 1, 2, 2 * batch) for i in range(3)]
    assert [end - first for first, end in ends] == rows
    assert ends[0][0] == batch


@pytest.mark.parametrize("tasks", [0, 1, 5])
def test_one_thread_does_its_tasks_in_turn(tasks: int) -> None:
    done, task = [], -1
    while True:
        band, task = next_task(0, task, 0, tasks, ALONE)
        if task < 0:
            break
        done.append((band, task))
    assert done == [(0, i) for i in range(tasks)]


def run_tasks(done: Any, order: Any, bands: int, how: int, team: Any, _: Any) -> None:
    """Count all tasks in `done`, and set the place of each in `order` (bands, tasks)."""
    of_team = tuple_at(team, 0, Team)
    if of_team.size == 1:  # the system gave no threads, and a team of one has no queue
        return
    begin(of_team)
    empty_queue(bands, of_team)
    wait(of_team)
    band, task = of_team.member, -1
    while True:
        band, task = next_task(band, task, bands, order.shape[1], of_team)
        if task < 0:
            break
        if how == FAILS and band == 0 and task == order.shape[1] // 2:
            write_word(of_team.barrier, BROKEN)
        while how == STALLS and band == task == 0 and read_word(done.ctypes.data) < order[1:].size:
            pause()
        order[band, task] += add_to_word(done.ctypes.data, 1) + 1
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
@pytest.mark.parametrize("bands", [SIZE + 1, 2 * SIZE])
def test_each_task_is_done_once_and_in_its_turn(bands: int, how: int, driver: Any) -> None:
    for _ in range(20):
        done, order = np.zeros(1, np.int64), np.zeros((bands, TASKS), np.int64)
        threads.run_team(driver, SIZE, np.empty(0), (done, order, bands, how))
        assert sorted(order.ravel()) == list(range(1, order.size + 1))
        assert (np.diff(order) > 0).all()
        if how == STALLS:
            assert order[0, 0] == order[1:].size + 1, "the others take what one leaves"


@pytest.mark.usefixtures("cores")
def test_nobody_takes_tasks_of_a_team_that_failed(driver: Any) -> None:
    done, order = np.zeros(1, np.int64), np.zeros((SIZE + 1, TASKS), np.int64)
    threads.run_team(driver, SIZE, np.empty(0), (done, order, SIZE + 1, FAILS))
    assert done[0] < order.size
