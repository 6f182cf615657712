"""Some steps of some of a team's rows on states of their own.

Where threads write their rows of h and of the other states into the same pages, each one's
prefetchers fetch the other's lines, which must then be taken back before each store. In one stretch
of time, presumably between cores without a common third-level cache, two threads took 1.04 of the
time of one for 16 rows of an RNN of 64 units and 0.74 for 32 rows of an LSTM; in a trial with whole
arrays of their own 0.61 and 0.53 (Zen 5). Each thread, or band, therefore has its own states for
the steps of a block, and h goes where it belongs after the last of them. That form was measured
only between cores that share the cache, where the copies cost 2 % of the time, of RNNs of 64 units
6.
"""

from __future__ import annotations

from typing import Any

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.primitives import copy

OTHERS = 0
scan_forward: Any = None


def scan_own(h, memory, saved, work, at, scratch, place, w_hh, units, x_bias, r_bias, rests,
             start, count, x, lengths, first_row, end_row, team, p):  # fmt: skip
    """`fastrnn.kernels.scan.scan_forward` of the times start .. start + count - 1.

    Nothing is kept but h, so that the other states have two slots. Those of its own stand in `work`
    from `at` on, slot `start` of h being the first.
    """
    s = p.scan
    own_h = work[at : at + p.own_slots * s.batch * s.stride]
    own_memory = work[at + own_h.size : at + p.own_size]
    before, last = (0, count) if s.direction > 0 else (count + 1, 1)
    _copy_h(own_h, before, h, start + before, first_row, end_row, s)
    _copy_others(own_memory, before, memory, start + before, OTHERS, first_row, end_row, s)
    scan_forward(own_h, own_memory, saved, work, scratch, work, place, w_hh, units,
                 work, p.recurrent_panels, x_bias, r_bias, rests, 0, count,
                 x[start * s.batch * s.inputs :], lengths, first_row, end_row, team, s)  # fmt: skip
    for slot in range(1, count + 1):
        _copy_h(h, start + slot, own_h, slot, first_row, end_row, s)
    _copy_others(memory, start + last, own_memory, last, OTHERS, first_row, end_row, s)


@kernel
def _copy_others(to, to_slot, of, of_slot, others, first_row, end_row, s):
    """Copy the other states of some rows and one time."""
    at, count = first_row * s.hidden, (end_row - first_row) * s.hidden
    for i in range(others):
        copy(to, (2 * i + to_slot % 2) * s.batch * s.hidden + at,
             of, (2 * i + of_slot % 2) * s.batch * s.hidden + at, count)  # fmt: skip


@kernel
def _copy_h(to, to_slot, of, of_slot, first_row, end_row, s):
    """Copy h of some rows and one time."""
    rows, wide = end_row - first_row, s.hidden
    if s.stride == s.hidden:
        rows, wide = 1, rows * s.hidden
    for n in range(rows):
        at = (first_row + n) * s.stride + s.column
        copy(to, to_slot * s.batch * s.stride + at, of, of_slot * s.batch * s.stride + at, wide)
