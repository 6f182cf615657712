"""Rows of padded arrays (T, N, width), all flat, of sequences of different lengths.

In an order, `lengths` (N,) are those of its first, second, ... sequence, `order` (N,) says which
each is in the array that they come from.
"""

from __future__ import annotations

from fastrnn.kernels.primitives import copy, fill_rows


def sort_rows(out, source, width, lengths, order):
    """Copy the rows of a padded `source` to `out`, whose T may be smaller; not what is padding."""
    batch = lengths.size
    for t in range(out.size // (batch * width)):
        for n in range(batch):
            if t < lengths[n]:
                copy(out, (t * batch + n) * width, source, (t * batch + order[n]) * width, width)


def unsort_rows(out, source, width, lengths, order):
    """Copy them back; what is padding in `out` is set to zero."""
    batch = lengths.size
    for t in range(out.size // (batch * width)):
        for n in range(batch):
            to = (t * batch + order[n]) * width
            if t < lengths[n]:
                copy(out, to, source, (t * batch + n) * width, width)
            else:
                fill_rows(out, to, 0, out[:0], 1, width)


def clear_padding(padded, width, lengths):
    """Set a padded array (T, N, width), flat, to zero behind its sequences' `lengths` (N,)."""
    batch = lengths.size
    for n in range(batch):
        for t in range(lengths[n], padded.size // (batch * width)):
            fill_rows(padded, (t * batch + n) * width, 0, padded[:0], 1, width)


def take_rows(out, source, width, places):
    """Copy to row i of `out` the row ``places[i]`` of `source`."""
    for i in range(places.size):
        copy(out, i * width, source, places[i] * width, width)
