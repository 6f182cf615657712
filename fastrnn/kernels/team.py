"""The threads that run one call together: each does its share, and they meet where they must.

All of them run the same driver on the same arrays. Work is shared by rows of the batch, by columns
or by panels, never by terms of a sum, so that results are the same bits for any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrnn.kernels import jit
from fastrnn.kernels.jit import kernel
from fastrnn.simd.signals import FINISHED, IDLE, POSTED

if not jit.DISABLED:
    from fastrnn.simd.barrier import add_to_word, offer_core, pause, read_word, write_word

#: Turns of a waiting loop, 2 us, before the core is offered to others in each.
PATIENCE = 100
#: Turns that a thread waits for the next call before it goes to sleep: about a millisecond on x86.
#: To wake it takes 0.1 to 0.3 ms. It does not offer its core, which could take it seconds to get
#: back.
REST = 30000


class Team(NamedTuple):
    """What one thread knows of its team."""

    #: Which of the team's threads this is; the first is the caller.
    member: int
    size: int
    #: Address of the barrier: how many have come to it in all.
    barrier: int
    #: Address of the function that offers the core to others, 0 if there is none.
    offer: int
    #: Address of this thread's signal; for the caller, of the addresses of the others' signals.
    signal: int
    #: Address of the queue, a word for each band: twice the tasks that are done, and one more while
    #: a thread is at the next.
    queue: int


#: A team of one.
ALONE = Team(0, 1, 0, 0, 0, 0)


@kernel
def share(total, team):
    """Of `total` things, those of this thread: (first, end)."""
    return total * team.member // team.size, total * (team.member + 1) // team.size


@kernel
def share_rows(rows, team):
    """`share` of the rows of a product, of which a tile never has one alone if there are more.

    A tile of one row adds in another order than those of several: `fastrnn.simd.tile`.
    """
    if rows >= 2 * team.size:
        return share(rows, team)
    return (0, rows) if team.member == 0 else (rows, rows)


@kernel
def wait_a_little(turn, team):
    """Pass some time, in turn after turn."""
    pause()
    if turn >= PATIENCE and team.offer:
        offer_core(team.offer)


@kernel
def wait(team):
    """Wait for the others, unless one has failed."""
    if team.size > 1:
        goal = (add_to_word(team.barrier, 1) // team.size + 1) * team.size
        turn = 0
        while 0 <= read_word(team.barrier) < goal:
            wait_a_little(turn, team)
            turn += 1


@kernel
def begin(team):
    """Call those who rest from the call before; they find what to run."""
    if team.size > 1 and team.member == 0:
        for other in range(team.size - 1):
            write_word(read_word(team.signal + 8 * other), POSTED)


@kernel
def finish(team):
    """Wait until all are done; then all but the caller rest until the next call, for a while."""
    if team.size > 1:
        if team.member:
            write_word(team.signal, IDLE)
        wait(team)
        if team.member == 0:
            if read_word(team.barrier) >= 0:
                write_word(team.barrier, FINISHED)
        elif read_word(team.barrier) >= FINISHED:
            turn = 0
            while turn < REST and read_word(team.signal) != POSTED:
                pause()
                turn += 1
