"""Long work in slices of about 50 ms, between which Python is in control."""

from __future__ import annotations

import time
from collections.abc import Callable

from fastrnn.interrupts import ctrl_c_noted
from fastrnn.training import SLICE_SECONDS

#: How much longer than the one before a slice may be.
GROWTH = 8


def in_slices(total: int, run: Callable[[int, int], None]) -> None:
    """Call ``run(first, count)`` for `total` steps, one after the other, in slices.

    Ctrl-C is heard after each of them. A first slice of one step may compile.

    Parameters
    ----------
    total : int
    run : callable
        Does the steps first .. first + count - 1.
    """
    with ctrl_c_noted() as listen:
        done, count = 0, 1
        while done < total:
            count = min(count, total - done)
            start = time.perf_counter()
            run(done, count)
            took = time.perf_counter() - start
            done += count
            listen()
            count = max(1, min(GROWTH * count, int(count * SLICE_SECONDS / max(took, 1e-9))))
