"""Blocks of time that a team takes one by one, so that a disturbed core does fewer of them.

Where a team shares the rows of the batch, these are cut into bands, more than there are threads
(`fastrnn.teams`). A band's tasks, one for each block, are done one after the other, but by any
thread: who ends one looks which band is behind. Each thread having its rows from the first step to
the last, the call would end with the slower core, and a shared machine's cores are not equally
fast. Sequences of their own lengths have rows of a thread's own: bands of them are not alike.

Beside neighbours, batches of 16 to 512 rows took two threads 0.91 to 1.00 of the time, the fastest
calls up to 1.02: one thread may wait for the last task, and states go to other cores (Zen 3).
"""

from __future__ import annotations

from fastrnn.kernels import jit
from fastrnn.kernels.jit import kernel
from fastrnn.kernels.team import wait_a_little

if not jit.DISABLED:
    from fastrnn.simd.barrier import exchange_word, read_word, write_word

#: A thread leaves its band for one that is behind by more than one of so many parts of the tasks
#: that are left, at first seldom: what it knew of the states is in its own caches. With every
#: chance taken, 32 rows of an LSTM of 128 units took 1.04 of the time of rows of a thread's own,
#: not 0.94.
PARTS = 4
WORD = 8


@kernel
def empty_queue(bands, team):
    """Begin all bands anew. Nobody may be at a task, and the team meets before it takes one."""
    if team.member == 0:
        for band in range(bands):
            write_word(team.queue + WORD * band, 0)


@kernel
def rows_of_band(band, bands, band_rows, stripe, stripes, batch):
    """The rows of a band in one of the stripes of the batch: (first, end)."""
    begin, end = batch * stripe // stripes, batch * (stripe + 1) // stripes
    rows = end - begin
    if band_rows == 0:
        return begin + rows * band // bands, begin + rows * (band + 1) // bands
    if band < bands - 1:
        end = begin + band_rows * (band + 1)
    return begin + band_rows * band, end


@kernel
def next_task(band, task, bands, tasks, team):
    """The task after the one that a thread has done, or -1: (band, task).

    Each band has so many tasks; if there are 0 bands, each thread. A thread begins with task -1 of
    the band of its number.
    """
    if not bands:
        return band, task + 1 if task + 1 < tasks else -1
    if task >= 0:
        write_word(team.queue + WORD * band, 2 * (task + 1))
    turn = 0
    while read_word(team.barrier) >= 0:
        found, word, more_to_come = -1, 2 * tasks, False
        for i in range(bands):
            seen = read_word(team.queue + WORD * i)
            if seen % 2:
                more_to_come |= seen < 2 * tasks - 1
            elif seen < word:
                found, word = i, seen
        if found >= 0:
            own = read_word(team.queue + WORD * band)
            if own % 2 == 0 and PARTS * (own - word) < 2 * tasks - own:
                found, word = band, own
            if exchange_word(team.queue + WORD * found, word, word + 1):
                return found, word // 2
        elif more_to_come:
            wait_a_little(turn, team)
            turn += 1
        else:
            break
    return band, -1
