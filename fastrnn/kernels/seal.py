"""Seals: whether a workspace still holds the weights of this call packed, from a call before.

Whoever changes parameters writes into arrays and tells nobody. Their checksum costs a third of
what packing does, or less, and it is taken at each call, but where nobody has an array of them:
`fastrnn.params.Parameters.version`. That spares an LSTM of 100 units, batch 1 and T = 25, 0.07 of
the time, of 512 units and T = 50 0.12 (Zen 4). What is packed is a copy, whose checksum
is the seal: the arrays may change, and change back, while they are packed.
"""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.team import share, wait
from fastrnn.simd.checksum import SUMS, checksum
from fastrnn.simd.vector import lanes_of


@kernel
def _part(array, place, team):
    """Of the checksum of an array, the part of one thread; the first block has number `place`."""
    step = SUMS * lanes_of(array)
    first, end = share((array.size + step - 1) // step, team)
    return checksum(array, first * step, min(end * step, array.size), place)


@kernel
def sealed(seal, w_ih, w_hh, b_ih, b_hh, team):
    """Whether `seal` is that of these arrays: (so, their checksum).

    ``seal[0]`` is the checksum of what is packed, 0 if nothing is; the others are the threads'.
    """
    total, place = 0, 1
    for array in (w_ih, w_hh, b_ih, b_hh):
        total += _part(array, place, team)
        place += array.size
    if team.size > 1:
        seal[1 + team.member] = total
        wait(team)
        total = 0
        for member in range(team.size):
            total += seal[1 + member]
    same = seal[0] == (total | 1)
    if not same:
        wait(team)
        seal[0] = 0
    return same, total | 1
