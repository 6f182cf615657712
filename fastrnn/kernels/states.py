"""The first and the last states of a layer in one direction."""

from __future__ import annotations

from fastrnn.kernels.jit import kernel
from fastrnn.kernels.primitives import copy, fill_rows, is_zero
from fastrnn.kernels.team import share

LATE = OTHERS = 0
RECURRENT = True
RAGGED = False


@kernel
def start_of(p):
    """The slot of the initial states."""
    return 0 if p.scan.direction > 0 else p.time + 1


def at_rest(h, p):
    """Whether h begins at zero and is multiplied as it is, not as early gates make it.

    Most scans do. One step of an LSTM, 64 rows of 256 units, then takes 0.6 of the time. Weights
    that are not finite spoil the second step only, and their gradients lack the first one's.
    """
    s = p.scan
    at = start_of(p) * s.batch * s.stride + s.column
    return RECURRENT and not LATE and is_zero(h, at, s.stride, s.batch, s.hidden)


def begin_states(h, memory, states, first, stride, given, team, p):
    """Set the initial states, to those that are `given` or to zero."""
    s = p.scan
    slot = start_of(p)
    row, end = share(s.batch, team)
    for n in range(row, end):
        to, of = (slot * s.batch + n) * s.stride + s.column, first + n * s.hidden
        if given:
            copy(h, to, states, of, s.hidden)
        else:
            fill_rows(h, to, 0, states[:0], 1, s.hidden)
        for i in range(OTHERS):
            to = ((i * s.ring + slot % s.ring) * s.batch + n) * s.hidden
            if given:
                copy(memory, to, states, of + (i + 1) * stride, s.hidden)
            else:
                fill_rows(memory, to, 0, states[:0], 1, s.hidden)


def end_states(h, memory, states, lengths, first, stride, team, p):
    """Copy the states after the last step."""
    s = p.scan
    slot = p.time if s.direction > 0 else 1
    row, end = share(s.batch, team)
    for n in range(row, end):
        to = first + n * s.hidden
        of_h = lengths[n] if RAGGED and s.direction > 0 else slot
        copy(states, to, h, (of_h * s.batch + n) * s.stride + s.column, s.hidden)
        for i in range(OTHERS):
            of = ((i * s.ring + slot % s.ring) * s.batch + n) * s.hidden
            copy(states, to + (i + 1) * stride, memory, of, s.hidden)
