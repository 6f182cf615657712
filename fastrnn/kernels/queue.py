"""Blocks of time that a team takes one by one, so that a disturbed core does fewer of them.

Where a team shares the rows of the batch, these are cut into lanes, more than there are threads. A
lane's tasks, one for each block, are done one after the other, but by any thread: who ends one
looks which lane is behind. Each thread having its rows from the first step to the last, the call
would end with the slower core, and the cores of a shared machine differ by 1 to 2.3.

Beside neighbours, batches of 16 to 2048 rows took two threads 0.90 to 0.99 of the time, the fastest
calls 1.00 to 1.03: one thread may wait for the last task, and states go to other cores (Zen 3).
"""

from __future__ import annotations

from fastrnn.kernels import jit
from fastrnn.kernels.jit import kernel
from fastrnn.kernels.team import wait_a_little

if not jit.DISABLED:
    from fastrnn.simd.barrier import exchange_word, read_word, write_word

#: A thread leaves its lane for one that is behind by more than one of so many parts of the tasks
#: that are left, at first seldom: what it knew of the states is in its own caches. With every
#: chance taken, 32 rows of an LSTM of 128 units took 1.06 of the time.
PARTS = 4
#: Tiles of a lane that has few, and rows of one that has many.
FEW_TILES = 8
MANY_ROWS = 32
WORD = 8


@kernel
def lanes_of_batch(batch, rows, threads):
    """Lanes for so many rows, and how many of them all lanes but the last have; 0 lanes: no queue.

    Two for each thread of many rows, all of which end at once if nothing disturbs; else one more
    than there are threads. Few rows are cut into whole tiles of `rows`: 32 of an LSTM are 12, 12
    and 8, together 11 tiles; 10, 11 and 11 would be 12. The last lane has what is left, if that is
    several: a tile of one row adds in another order.
    """
    lanes = 2 * threads if batch >= 2 * threads * MANY_ROWS else threads + 1
    most = (batch + lanes - 1) // lanes
    if most <= FEW_TILES * rows:
        most = (most + rows - 1) // rows * rows
    return (lanes, most) if batch - (lanes - 1) * most > 1 else (0, 0)


@kernel
def rows_of_lane(lane, lanes, lane_rows, stripe, stripes, batch):
    """The rows of a lane in one of the stripes of the batch: (first, end)."""
    first = batch * stripe // stripes + lane * lane_rows
    if lane == lanes - 1:
        return first, batch * (stripe + 1) // stripes
    return first, first + lane_rows


@kernel
def empty_queue(lanes, team):
    """Begin all lanes anew. Nobody may be at a task, and the team meets before it takes one."""
    if team.member == 0:
        for lane in range(lanes):
            write_word(team.queue + WORD * lane, 0)


@kernel
def next_task(lane, task, lanes, tasks, team):
    """The task after the one that a thread has done, or -1: (lane, task).

    Each lane has so many tasks; if there are 0 lanes, each thread. A thread begins with task -1 of
    the lane of its number.
    """
    if not lanes:
        return lane, task + 1 if task + 1 < tasks else -1
    if task >= 0:
        write_word(team.queue + WORD * lane, 2 * (task + 1))
    turn = 0
    while read_word(team.barrier) >= 0:
        behind, least, more_to_come = -1, 2 * tasks, False
        for i in range(lanes):
            done = read_word(team.queue + WORD * i)
            if done % 2:
                more_to_come |= done < 2 * tasks - 1
            elif done < least:
                behind, least = i, done
        if behind >= 0:
            done = read_word(team.queue + WORD * lane)
            if done % 2 == 0 and PARTS * (done - least) < 2 * tasks - done:
                behind, least = lane, done
            if exchange_word(team.queue + WORD * behind, least, least + 1):
                return behind, least // 2
        elif more_to_come:
            wait_a_little(turn, team)
            turn += 1
        else:
            break
    return lane, -1
