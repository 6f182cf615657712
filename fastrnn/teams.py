"""Teams: how many threads a call is worth, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fastrnn.cells import Cell

#: Multiply-adds that keep one thread busy for some 80 us: with fewer a team is not worth calling.
TEAM_WORK = 4_000_000
#: Multiply-adds of one time step that keep one thread busy for some 0.6 us, as long as it takes to
#: meet. Batch 1: an RNN of 256 units takes 0.63 of the time, an LSTM of 128 0.93.
STEP_WORK = 30_000
#: Rows of the batch for each thread of a team that shares them, at least.
TEAM_ROWS = 4
#: A team shares the units where a step reads more bytes of weights, however large the batch: each
#: thread then reads its own, not all. On two cores LSTMs of 1024 units, batch 64, take 0.80 of the
#: time at inference and 0.88 in training, batch 16 0.85 and 0.89, 256 0.93 and 1.00; GRUs 0.88 and
#: 0.94. Of 8 MB and less it is 0.98 to 1.02, in training 0.99 to 1.1 (Zen 5), and who is slow is
#: waited for.
SHARED_BYTES = 1 << 23

#: Of a team that shares the rows each thread, or band, has states of its own while it runs a block,
#: if one time's h of a direction takes at most so many bytes: `fastrnn.kernels.own_states`. Each
#: has room for all rows, and a page between; what belongs to others is never touched.
OWN_BYTES = 1 << 16
PAGE = 1 << 12

#: Multiply-adds of one task of a team's queue, some 60 us, where it makes no input parts: those are
#: made for a whole block. With 10 us the fastest calls of 16 rows of an LSTM of 64 units took 1.26
#: of the time of rows that are a thread's own, with 30 and 60 us 1.03 and 1.04 (Zen 3). With fewer
#: than the least there is no queue, nor for a few tasks: the last ones cannot be shared well.
TASK_WORK = 3_000_000
LEAST_TASK_WORK = 500_000
LEAST_TASKS = 6
#: Tiles of a band that has few, and rows of one that has many.
FEW_TILES = 8
MANY_ROWS = 32


def team_size(
    threads: int, cell: Cell, time: int, batch: int, inputs: int, hidden: int, panels: int,
    step_bytes: int, more_work: int,
) -> tuple[int, bool]:  # fmt: skip
    """How many of `threads` are worth waking, and whether they share the hidden units.

    `panels` are those of the units, `step_bytes` the weights' that a step reads, and `more_work`
    is what multiply-adds the same call does besides this layer's.
    """
    step = batch * len(cell.gates) * hidden * hidden if cell.recurrent else 0
    work = time * (step + batch * len(cell.gates) * hidden * inputs) + more_work
    threads = max(1, min(threads, work // TEAM_WORK))
    if cell.late and batch < TEAM_ROWS * threads:
        return 1, False
    # The gradient of a cell's own weights is a sum over the rows: who has the unit adds it.
    shares_rows = batch >= TEAM_ROWS * threads and not cell.weights
    is_large = step_bytes > SHARED_BYTES and panels >= threads and cell.recurrent
    if shares_rows and (cell.late or not is_large):
        return threads, False
    threads = max(1, min(threads, panels, step // STEP_WORK))
    return threads, threads > 1


class Bands(NamedTuple):
    """Rows of the batch that any thread may take for some steps: `fastrnn.kernels.queue`."""

    #: 0 if each thread has rows of its own.
    number: int = 0
    #: Of all bands but the last, which has what is left; 0 if they are as equal as they can be.
    rows: int = 0
    #: Times in one task.
    steps: int = 0


def cut_bands(
    threads: int, time: int, batch: int, tile_rows: int, block: int, step_work: int, *,
    makes_parts: bool,
) -> Bands:  # fmt: skip
    """Cut a batch, or a stripe of it, for `threads` that share its rows.

    There are two bands for each thread of many rows, all of which end at once if nothing disturbs;
    else one more than there are threads. Those of few rows have whole tiles, unless that leaves
    nothing for the last: with AVX2, 32 rows of an LSTM are 12, 12 and 8, together 11 tiles; 10, 11
    and 11 would be 12. None has one row, as a tile of one row adds in another order than those of
    several.

    Parameters
    ----------
    time : int
        Steps of one band, of all stripes together.
    block : int
        Times whose input parts are made at once, if a task `makes_parts`; the most in any case.
    step_work : int
        Multiply-adds of one step of all bands.
    """
    many = batch >= 2 * threads * MANY_ROWS
    count = 2 * threads if many else threads + 1
    most, rows = -(-batch // count), 0
    if not many and most <= FEW_TILES * tile_rows:
        whole = -(-most // tile_rows) * tile_rows
        if batch - threads * whole > 1:
            rows = whole
        elif most < 2 * tile_rows:
            return Bands()
    band_work = max(1, step_work // count)
    steps = block
    if not makes_parts:
        steps = max(1, min(block, TASK_WORK // band_work, time // LEAST_TASKS))
    if steps * band_work < LEAST_TASK_WORK or time < LEAST_TASKS * steps:
        return Bands()
    return Bands(count, rows, steps)
