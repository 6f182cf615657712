"""One layer in one direction: input product, scan, and in BPTT the large products of its gradients.

The work goes block by block of time. A block's input parts, where the scan does not make them, or
its gate gradients, stay in the cache between the product that makes them and the scan that uses
them, and what is kept for T times is the states alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastrnn.kernels.primitives import (
    clear_behind,
    column_sums,
    copy,
    fill_rows,
    flush_denormals,
    pack,
    pack_gates,
    pack_steps,
    product,
    restore_denormals,
    scatter_add,
    sealed,
    tuple_at,
)
from fastrnn.kernels.queue import empty_queue, next_task, rows_of_band
from fastrnn.kernels.ragged import reaching, striped
from fastrnn.kernels.row import Beside, before_scan
from fastrnn.kernels.scan import Scan
from fastrnn.kernels.team import Team, begin, finish, share, share_rows, wait
from fastrnn.simd.signals import SEALED
from fastrnn.teams import Bands

GATES = TOGETHER = 1
APART = LATE = EARLY = SAVED = 0
H_CARRIED = RAGGED = False
RECURRENT = True
input_parts: Any = None
scan_forward: Any = None
scan_own: Any = None
scan_row: Any = None
scan_backward: Any = None
stripes_of: Any = None
at_rest: Any = None
begin_states: Any = None
end_states: Any = None


class Layer(NamedTuple):
    """Sizes and workspace of one layer and direction; `fastrnn.plan` makes it."""

    scan: Scan
    time: int
    inputs: int
    #: Whether the input is tokens, and how ``weight_ih`` then lies in memory.
    tokens: int
    gate_stride: int
    token_stride: int
    #: Times in one block.
    block: int
    #: What a team takes from a queue, forward.
    bands: Bands
    #: Stripes of the batch that one thread, or a band, runs one by one, each forward through all
    #: times. Those of ragged sequences it also takes backward, and they may be one more:
    #: `stripes_of`.
    stripes: int
    #: Largest tile of the large products.
    tile_rows: int
    width: int
    #: Whether the input product reads ``weight_ih`` as it is, and the tile of dot products then.
    unpacked: int
    dot_rows: int
    dot_columns: int
    beside: Beside
    #: Where the parts of the workspace begin.
    recurrent_panels: int
    #: Hidden units, filled up to whole vectors.
    padded: int
    input_panels: int
    x_bias: int
    r_bias: int
    #: Of weights and biases as they lie, where packed ones are kept for the next call.
    copies: int
    x_part: int
    r_delta: int
    #: Rows of x, forward those of each thread or band, or packed for gradients.
    row_panels: int
    #: One for each thread of a team, so many elements apart.
    scratch: int
    scratch_size: int
    #: Where each thread, or band, has states of its own while it runs a block, or 0; the elements
    #: of each, and the slots of its h.
    own: int
    own_size: int
    own_slots: int


def pack_forward(work, w_ih, w_hh, b_ih, b_hh, multiplies_h, team, p):
    """Bring the weights into the order of the forward scan, `w_hh` if it `multiplies_h`."""
    hidden = p.scan.hidden
    packs_h = RECURRENT and multiplies_h and not p.scan.unpacked
    inputs, joined = p.scan.inputs, p.scan.joined
    x_panels = p.recurrent_panels if joined else p.input_panels
    # In panels of both, the weights of x stand before those of h.
    x_k, h_k = (inputs + hidden, inputs + hidden) if joined else (inputs, hidden)
    for gate in range(0, GATES, TOGETHER):
        if packs_h:
            pack_gates(work, p.recurrent_panels + gate * h_k * p.padded,
                       w_hh[gate * hidden * hidden :], TOGETHER, hidden, hidden, p.scan.width,
                       h_k, h_k - hidden, team)  # fmt: skip
        if inputs:
            pack_gates(work, x_panels + gate * x_k * p.padded,
                       w_ih[gate * hidden * inputs :], TOGETHER, inputs, hidden, p.scan.width,
                       x_k, 0, team)  # fmt: skip
    if not (p.tokens or p.unpacked or p.scan.inputs):
        pack(work, p.input_panels, w_ih, 0, 1, p.inputs, p.inputs, GATES * hidden, p.width, team)
    summed = (GATES - APART) * hidden
    first, end = share(GATES * hidden, team)
    for j in range(first, end):
        of_x = b_ih[j] if b_ih.size else 0
        of_r = b_hh[j] if b_hh.size else 0
        work[p.x_bias + j] = of_x + of_r if j < summed else of_x
        work[p.r_bias + j] = 0 if j < summed else of_r


def run_forward(h, memory, saved, work, x, tokens, lengths, w_ih, w_hh, units, team, p):
    """Scan all times from the initial states, the weights having been packed.

    Of `RAGGED` sequences `lengths` (N,) says how many steps each has: `fastrnn.kernels.scan`.
    """
    s = p.scan
    gates_hidden = GATES * s.hidden
    x_bias = work[p.x_bias : p.x_bias + gates_hidden]
    r_bias = work[p.r_bias : p.r_bias + gates_hidden]
    scratch = p.scratch + team.member * p.scratch_size
    stripes, bands, steps = stripes_of(team, p), 0, p.block
    if team.size > 1 and p.bands.number and not RAGGED:
        bands, steps = p.bands.number, p.bands.steps
        empty_queue(bands, team)
    blocks = (p.time + steps - 1) // steps
    wait(team)
    rests = at_rest(h, p)
    band, task = team.member, -1
    while True:
        band, task = next_task(band, task, bands, stripes * blocks, team)
        if task < 0:
            break
        stripe, i = task // blocks, task % blocks
        first_row, end_row = 0, s.batch
        if bands:
            first_row, end_row = rows_of_band(band, bands, p.bands.rows, stripe, stripes, s.batch)
        elif not s.by_units:
            first_row, end_row = striped(stripe, stripes, s.batch, team)
        # In all blocks of these rows at one place, the last and shorter one too: what another core
        # wrote there before is slow to come.
        place = p.x_part + (0 if s.together else (p.block - 1) * first_row * gates_hidden)
        start = steps * (i if s.direction > 0 else blocks - 1 - i)
        count = min(steps, p.time - start)
        early = count if RAGGED else before_scan(count, p.beside)
        at = 0 if s.direction > 0 else count - early
        if not s.inputs:
            input_parts(work, scratch, x, tokens, lengths, w_ih, start + at, early, at, place,
                        first_row, end_row, team, p)  # fmt: skip
        # Unpacked weights serve so few rows that there is one block: nobody overwrites what others
        # read.
        if s.together:
            wait(team)
        if p.own and team.size > 1 and not RAGGED:
            scan_own(h, memory, saved, work, p.own + band * p.own_size, scratch, place, w_hh, units,
                     x_bias, r_bias, rests and i == 0, start, count, x, lengths, first_row,
                     end_row, team, p)  # fmt: skip
        elif s.row and not RAGGED:
            scan_row(h, memory, saved, work, scratch, work, place, units,
                     work, p.recurrent_panels, x_bias, r_bias, rests and i == 0,
                     start, count, x, start * p.inputs, p.beside, team, s)  # fmt: skip
        else:
            scan_forward(h, memory, saved, work, scratch, work, place, w_hh, units,
                         work, p.recurrent_panels, x_bias, r_bias, rests and i == 0,
                         start, count, x, lengths, first_row, end_row, team, s)  # fmt: skip


def run_backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, wants_state, work,
                 d_output, h, memory, saved, x, tokens, lengths, w_ih, w_hh, units, team,
                 p):  # fmt: skip
    """BPTT: set the gradients of the parameters and that of the input, or add to the latter.

    `carry` (S, N, H) holds the gradients of the last states, and those of the initial states on
    return if it `wants_state`. `d_x` and `d_output` may be empty: not wanted, and zero. Behind the
    `lengths` of `RAGGED` sequences neither x, h, `saved` nor `d_output` matters, `d_x` is not set.
    """
    s = p.scan
    batch, hidden = s.batch, s.hidden
    gates_hidden = GATES * hidden
    of_h = EARLY * hidden if LATE else gates_hidden
    x_delta, r_delta = p.x_part, p.r_delta
    scratch = p.scratch + team.member * p.scratch_size
    reverse = s.direction < 0
    blocks = (p.time + p.block - 1) // p.block
    first_step = 0
    if RECURRENT and (LATE or wants_state or p.time > 1):
        pack(work, p.recurrent_panels, w_hh, 0, hidden, 1, gates_hidden, hidden, s.back_width, team)
    # States of zero add nothing to the gradient of what multiplies them.
    rests = at_rest(h, p)
    reach, stripes = batch, stripes_of(team, p) if RAGGED else 1
    if d_x.size:
        pack(work, p.input_panels, w_ih, 0, p.inputs, 1, gates_hidden, p.inputs, p.width, team)
    set_zero(d_units, team)
    if p.tokens or not blocks:
        set_zero(d_w_ih, team)
    if not blocks:
        set_zero(d_w_hh, team)
        set_zero(d_b_ih, team)
        set_zero(d_b_hh, team)
    for i in range(blocks):
        start = p.block * (i if reverse else blocks - 1 - i)
        count = min(p.block, p.time - start)
        # Rows that steps of this block have. A reverse direction ends with a sequence in a step
        # that it does not have: the one after its last.
        reach_before = reach
        reach = reaching(lengths, start + (not reverse), batch) if RAGGED else batch
        step, rows = reach * gates_hidden, count * reach
        if i > 0:
            # The last step of the block before is the first one that this block reads.
            after = 0 if reverse else count * step
            last = p.block * reach_before * gates_hidden if reverse else 0
            known = min(reach, reach_before) * gates_hidden
            first, end = share(known, team)
            copy(work, r_delta + after + first, work, r_delta + last + first, end - first)
            set_zero(work[r_delta + after + known : r_delta + after + step], team)
        wait(team)
        for stripe in range(stripes):
            low, high = 0, batch
            if not s.by_units:
                low, high = striped(stripe, stripes, batch, team)
            scan_backward(work, work, x_delta, r_delta, carry, work, scratch, d_output, h, memory,
                          saved, d_units, units, work, p.recurrent_panels, start, count, i == 0,
                          lengths, reach, low, high, team, s)  # fmt: skip
        skipped = step if reverse else 0
        first, end = share_rows(gates_hidden, team)
        # All steps at once, or one by one where they have fewer rows than the batch.
        pieces = 1 if reach == batch else count
        rows_at_once = rows // pieces
        if RECURRENT:
            left_out = int(rests and i == blocks - 1)
            later = 0 if reverse else left_out
            before = (start + (2 if reverse else later)) * batch * s.stride + s.column
            pack_steps(work, p.row_panels, h, before, batch * s.stride, s.stride,
                       count - left_out, reach, hidden, p.width, team)  # fmt: skip
            if RAGGED:
                clear_behind(work, p.row_panels, count - left_out, reach, hidden, p.width, lengths,
                             start + later + 1, team)  # fmt: skip
            wait(team)
            low, high = share_rows(of_h, team)
            product(d_w_hh, low * hidden, hidden,
                    work, r_delta + skipped + later * step + low, 1, gates_hidden,
                    work, p.row_panels, high - low, (count - left_out) * reach, hidden, i > 0,
                    work, scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        if LATE:
            # Of late gates, what their weights multiplied: the last that is saved.
            wait(team)
            modulated = (start * batch * SAVED + SAVED - 1) * hidden
            pack_steps(work, p.row_panels, saved, modulated, batch * SAVED * hidden, SAVED * hidden,
                       count, reach, hidden, p.width, team)  # fmt: skip
            if RAGGED:
                clear_behind(work, p.row_panels, count, reach, hidden, p.width, lengths, start + 1,
                             team)  # fmt: skip
            wait(team)
            low, high = share_rows(gates_hidden - of_h, team)
            product(d_w_hh, (of_h + low) * hidden, hidden, work, r_delta + skipped + of_h + low,
                    1, gates_hidden, work, p.row_panels, high - low, rows, hidden, i > 0,
                    work, scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        wait(team)
        if p.tokens:
            for piece in range(pieces):
                scatter_add(d_w_ih[first * p.gate_stride :], p.gate_stride, p.token_stride,
                            work, x_delta + skipped + piece * step + first, gates_hidden,
                            tokens, (start + piece) * batch, rows_at_once,
                            end - first)  # fmt: skip
        else:
            pack_steps(work, p.row_panels, x, start * batch * p.inputs, batch * p.inputs,
                       p.inputs, count, reach, p.inputs, p.width, team)  # fmt: skip
            if RAGGED:
                clear_behind(work, p.row_panels, count, reach, p.inputs, p.width, lengths,
                             start + 1, team)  # fmt: skip
            wait(team)
            product(d_w_ih, first * p.inputs, p.inputs, work, x_delta + skipped + first,
                    1, gates_hidden, work, p.row_panels, end - first, rows, p.inputs, i > 0,
                    work, scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
            low, high = share_rows(rows_at_once, team)
            for piece in range(pieces if d_x.size else 0):
                product(d_x, ((start + piece) * batch + low) * p.inputs, p.inputs,
                        work, x_delta + skipped + piece * step + low * gates_hidden,
                        gates_hidden, 1, work, p.input_panels, high - low, gates_hidden, p.inputs,
                        add_x, work, scratch, p.tile_rows, p.width, s.tile)  # fmt: skip
        if d_b_ih.size:
            column_sums(d_b_ih[first:end], work, x_delta + skipped + first, gates_hidden,
                        rows, end - first, i > 0)  # fmt: skip
        if d_b_hh.size:
            # Both have the same deltas unless gates are apart.
            if APART or not d_b_ih.size:
                column_sums(d_b_hh[first:end], work, r_delta + skipped + first, gates_hidden,
                            rows, end - first, i > 0)  # fmt: skip
            else:
                copy(d_b_hh, first, d_b_ih, first, end - first)
        first_step = r_delta + (count * step if reverse else 0)
        wait(team)
    if LATE and wants_state and blocks:
        # Panels of the gates that multiply h alone.
        pack(work, p.recurrent_panels, w_hh, 0, hidden, 1, of_h, hidden, s.back_width, team)
        wait(team)
    if RECURRENT and wants_state and blocks:
        low, high = share_rows(reach, team)
        product(carry, low * hidden, hidden, work, first_step + low * gates_hidden,
                gates_hidden, 1, work, p.recurrent_panels, high - low, of_h, hidden,
                H_CARRIED or RAGGED, work, scratch, s.back_rows, s.back_width,
                s.tile)  # fmt: skip
    if not (RECURRENT or H_CARRIED or RAGGED) and blocks:
        set_zero(carry[: batch * hidden], team)


def set_zero(array, team):
    """Set this thread's part of `array` to zero."""
    first, end = share(array.size, team)
    fill_rows(array, first, 0, array[:0], 1, end - first)


def put_copy(work, at, array, team):
    """Copy `array` into the workspace, each thread a part; where the copy ends."""
    first, end = share(array.size, team)
    copy(work, at + first, array, first, end - first)
    return at + array.size


def forward(h, memory, saved, states, first, stride, given, work, seal, x, tokens, w_ih, w_hh,
            b_ih, b_hh, units, team, plan):  # fmt: skip
    """The whole layer in one call.

    From `first` on, `states` (S, N, H) holds the initial states if they are `given`, and the last
    ones on return: those of each kind `stride` numbers behind the others.

    `work` keeps packed weights for the next call, unless `seal` is empty: `sealed`. Where it is
    `SEALED`, they are those of this one.

    `team` and `plan` are the integers of a `Team` and a `Layer`: as tuples they would take 3 us to
    come from Python. Behind those of the latter are the lengths of `RAGGED` sequences.
    """
    of_team, p = tuple_at(team, 0, Team), tuple_at(plan, 0, Layer)
    lengths = plan[plan.size - p.scan.batch if RAGGED else plan.size :]
    begin(of_team)
    begin_states(h, memory, states, first, stride, given, of_team, p)
    packed, checksum = False, 0
    of_input, of_state, of_x, of_r = w_ih, w_hh, b_ih, b_hh
    if seal.size:
        of_input = w_ih[: 0 if p.tokens or p.unpacked else w_ih.size]
        of_state = w_hh[: 0 if p.scan.unpacked else w_hh.size]
        packed, checksum = seal[0] == SEALED, seal[0]
        if not packed:
            packed, checksum = sealed(seal, of_input, of_state, b_ih, b_hh, of_team)
        if not packed:
            # Another thread may write other weights meanwhile, and these again: the checksum must
            # be that of what is packed.
            start = p.copies
            end_input = put_copy(work, start, of_input, of_team)
            end_state = put_copy(work, end_input, of_state, of_team)
            end_x = put_copy(work, end_state, b_ih, of_team)
            end_r = put_copy(work, end_x, b_hh, of_team)
            of_input, of_state = work[start:end_input], work[end_input:end_state]
            of_x, of_r = work[end_state:end_x], work[end_x:end_r]
            wait(of_team)
            _, checksum = sealed(seal, of_input, of_state, of_x, of_r, of_team)
    if not packed:
        multiplies_h = True
        # Panels that are kept serve other states, too.
        if p.time == 1 and not seal.size:
            wait(of_team)
            multiplies_h = not at_rest(h, p)
        pack_forward(work, of_input, of_state, of_x, of_r, multiplies_h, of_team, p)
    run_forward(h, memory, saved, work, x, tokens, lengths, w_ih, w_hh, units, of_team, p)
    wait(of_team)
    end_states(h, memory, states, lengths, first, stride, of_team, p)
    if seal.size and of_team.member == 0:
        seal[0] = checksum
    finish(of_team)


def backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, wants_state, work,
             d_output, h, memory, saved, x, tokens, w_ih, w_hh, units, team, plan):  # fmt: skip
    """`run_backward` in one call, denormals being taken as zero; see `forward`."""
    of_team, p = tuple_at(team, 0, Team), tuple_at(plan, 0, Layer)
    lengths = plan[plan.size - p.scan.batch if RAGGED else plan.size :]
    begin(of_team)
    before = flush_denormals()
    run_backward(d_w_ih, d_w_hh, d_b_ih, d_b_hh, d_units, d_x, add_x, carry, wants_state, work,
                 d_output, h, memory, saved, x, tokens, lengths, w_ih, w_hh, units, of_team,
                 p)  # fmt: skip
    restore_denormals(before)
    finish(of_team)
