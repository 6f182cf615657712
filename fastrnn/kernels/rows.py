"""Rows of sequences of different lengths: where they lie, and moving them there and back.

``segments`` (K, 5) holds of each segment of time its first time, how many there are, its first
sequence, how many there are, and its first row; `fastrnn.layers.lengths` has the layout. NumPy's
own indexing takes 2 to 2.5 times as long to lay and to gather them.
"""

from __future__ import annotations

from fastrnn.kernels.primitives import copy, fill_rows


def lay_rows(places, turned, grid, padding, stand_ins, ends, begins, lengths, order, segments):
    """Set where the rows lie, for sequences of ascending `lengths` (N,), `order` (N,) in the batch.

    ``places``, ``turned`` (rows,)
        Where a padded array (T * N,) has each row, the sequence's last step in padding; the row
        that a reverse direction has in its place, itself in padding.
    ``grid`` (T * N,)
        The row of each place of a padded array, -1 where there is none.
    ``padding``, ``stand_ins`` (number of them,)
        The rows of padding, and those of their sequences' last steps.
    ``ends`` (N,)
        The row of each sequence's last step, -1 where there is none.
    ``begins`` (T,)
        Scratch.
    """
    batch = lengths.size
    for i in range(grid.size):
        grid[i] = -1
    for n in range(batch):
        ends[n] = -1
    for k in range(segments.shape[0]):
        for turn in range(segments[k, 1]):
            begins[segments[k, 0] + turn] = segments[k, 4] + turn * segments[k, 3] - segments[k, 2]
    found = 0
    for k in range(segments.shape[0]):
        for t in range(segments[k, 0], segments[k, 0] + segments[k, 1]):
            for n in range(segments[k, 2], batch):
                row, last = begins[t] + n, lengths[n] - 1
                if t <= last:
                    places[row] = t * batch + order[n]
                    turned[row] = begins[last - t] + n
                    grid[places[row]] = row
                else:
                    places[row] = last * batch + order[n]
                    turned[row] = row
                    padding[found], stand_ins[found] = row, begins[last] + n
                    found += 1
                if t == last:
                    ends[n] = row


def take_rows(out, out_stride, source, stride, width, places):
    """Copy to row i of `out` the row ``places[i]`` of `source`, zeros if that is negative."""
    for i in range(places.size):
        if places[i] >= 0:
            copy(out, i * out_stride, source, places[i] * stride, width)
        else:
            fill_rows(out, i * out_stride, 0, out[:0], 1, width)
