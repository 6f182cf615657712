"""Rows of sequences of different lengths: where they lie, and moving them there and back.

``segments`` (K, 5) holds of each segment of time its first time, how many there are, its first
sequence, how many there are, and its first row; `fastrnn.layers.lengths` has the layout. NumPy's
own indexing takes 2 to 2.5 times as long to lay and to gather them.
"""

from __future__ import annotations

from fastrnn.kernels.primitives import copy, fill_rows


def lay_rows(places, turned, grid, begins, lengths, order, segments):
    """Set where the rows lie, for sequences of ascending `lengths` (N,), `order` (N,) in the batch.

    ``places``, ``turned`` (rows,)
        Where a padded array (T * N,) has each row, -1 in padding; the row that a reverse direction
        has in its place, itself in padding.
    ``grid`` (T * N,)
        The row of each place of a padded array, -1 where there is none.
    ``begins`` (T,)
        Scratch.
    """
    batch = lengths.size
    for i in range(grid.size):
        grid[i] = -1
    for k in range(segments.shape[0]):
        for turn in range(segments[k, 1]):
            begins[segments[k, 0] + turn] = segments[k, 4] + turn * segments[k, 3] - segments[k, 2]
    for k in range(segments.shape[0]):
        for t in range(segments[k, 0], segments[k, 0] + segments[k, 1]):
            for n in range(segments[k, 2], batch):
                row, last = begins[t] + n, lengths[n] - 1
                places[row], turned[row] = -1, row
                if t <= last:
                    places[row], turned[row] = t * batch + order[n], begins[last - t] + n
                    grid[places[row]] = row


def take_rows(out, out_stride, source, stride, width, places):
    """Copy to row i of `out` the row ``places[i]`` of `source`, zeros if that is negative."""
    for i in range(places.size):
        if places[i] >= 0:
            copy(out, i * out_stride, source, places[i] * stride, width)
        else:
            fill_rows(out, i * out_stride, 0, out[:0], 1, width)


def clear_padding(padded, width, lengths):
    """Set a padded array (T, N, width), flat, to zero behind its sequences' `lengths` (N,)."""
    batch = lengths.size
    for n in range(batch):
        for t in range(lengths[n], padded.size // (batch * width)):
            fill_rows(padded, (t * batch + n) * width, 0, padded[:0], 1, width)
