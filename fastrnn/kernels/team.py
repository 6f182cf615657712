"""The threads that run one call together: each does its share, and they meet where they must.

All of them run the same driver on the same arrays. Work is shared by rows of the batch, by columns
or by panels, never by terms of a sum, so that results are the same bits for any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

from fastrnn.kernels import jit
from fastrnn.kernels.jit import kernel

if not jit.DISABLED:
    from fastrnn.simd.barrier import meet


class Team(NamedTuple):
    """What one thread knows of its team."""

    #: Which of the team's threads this is.
    member: int
    size: int
    #: Addresses of the barrier's counter and of the function that offers the core to others.
    barrier: int
    offer: int


#: A team of one.
ALONE = Team(0, 1, 0, 0)


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
def wait(team):
    """Wait for the others."""
    if team.size > 1:
        meet(team.barrier, team.size, team.offer)
