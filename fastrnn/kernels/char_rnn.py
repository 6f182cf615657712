"""min-char-rnn: one layer on one text, loss and clipped gradients, or whole training steps.

The loss of a piece of T characters is the sum over them, where `fastrnn.kernels.language_model`
takes the mean: gradients are multiplied by T before they are clipped. Parameters, as flat arrays:
``w_ih``, ``w_hh`` (H, H), ``b_h`` (H,), and ``head``, the output's weight (V, H) and bias (V,) one
behind the other.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import RNN_TANH
from fastrnn.kernels import bound, jit, language_model, primitives
from fastrnn.kernels.language_model import Model
from fastrnn.kernels.primitives import (
    copy,
    fill_rows,
    flush_denormals,
    restore_denormals,
    tuple_at,
)
from fastrnn.kernels.team import ALONE
from fastrnn.optimizers import OPTIMIZERS, Hyper

pack_forward: Any = None
run_forward: Any = None
run_backward: Any = None
run_head: Any = None
clip: Any = None
update: Any = None
gradients: Any = None

#: What the published script clips gradients to, and adds under Adagrad's root.
LIMIT, EPS = 5.0, 1e-8


def gradients_of_piece(
    d_w_ih, d_w_hh, d_b_h, d_head, h, d_h, carry, work, sums, tokens, targets,
    w_ih, w_hh, b_h, head, offsets, m,
):  # fmt: skip
    """Sum of the losses of a piece; sets the gradients of their mean."""
    p = m.first
    hidden = p.scan.hidden
    none = h[:0]
    pack_forward(work, w_ih, w_hh, b_h, none, True, ALONE, p)
    run_forward(h, none, none, work, none, tokens, tokens[:0], w_ih, w_hh, none, ALONE, p)
    loss = run_head(head, d_head, offsets, h[hidden:], d_h, work, targets, sums, True, ALONE, m)
    fill_rows(carry, 0, hidden, none, 1, hidden)
    run_backward(d_w_ih, d_w_hh, d_b_h, none, none, none, False, carry, False, work, d_h,
                 h, none, none, none, tokens, tokens[:0], w_ih, w_hh, none, ALONE, p)  # fmt: skip
    return loss


def loss_fun(
    d_w_ih, d_w_hh, d_b_h, d_head, h, d_h, carry, work, sums, tokens, targets,
    w_ih, w_hh, b_h, head, offsets, plan,
):  # fmt: skip
    """The loss of a piece; sets its gradients, clipped. `plan` is the integers of a `Model`."""
    m = tuple_at(plan, 0, Model)
    denormals = flush_denormals()
    loss = gradients(d_w_ih, d_w_hh, d_b_h, d_head, h, d_h, carry, work, sums, tokens, targets,
                     w_ih, w_hh, b_h, head, offsets, m)  # fmt: skip
    x = Hyper(np.float64(m.first.time), LIMIT, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    clip(d_w_ih, d_w_ih, h, 0, d_w_ih.size, x)
    clip(d_w_hh, d_w_hh, h, 0, d_w_hh.size, x)
    clip(d_b_h, d_b_h, h, 0, d_b_h.size, x)
    clip(d_head, d_head, h, 0, d_head.size, x)
    restore_denormals(denormals)
    return loss


def train_pieces(
    losses, params, grads, memories, h, d_h, carry, work, sums, data, place, offsets, rate, plan
):
    """Train ``losses.size`` iterations: the next piece each, Adagrad, the state carried over.

    ``place`` (1,) is where the next piece begins in `data`; where fewer than T + 2 characters are
    left, the text begins anew from a state of zero. `params`, `grads` and `memories` hold w_ih,
    token by token, w_hh, b_h and head one behind the other; `offsets` is that of `run_head`.
    """
    m = tuple_at(plan, 0, Model)
    p = m.first
    time, hidden = p.time, p.scan.hidden
    hh = p.inputs * hidden
    b_h = hh + hidden * hidden
    head = b_h + hidden
    x = Hyper(np.float64(time), LIMIT, rate, 0.0, 0.0, EPS, 0.0, 0.0, 0.0)
    denormals = flush_denormals()
    for n in range(losses.size):
        if place[0] + time + 1 >= data.size:
            place[0] = 0
            fill_rows(h, 0, hidden, h[:0], 1, hidden)
        start = place[0]
        losses[n] = gradients(
            grads[:hh], grads[hh:b_h], grads[b_h:head], grads[head:], h, d_h, carry, work, sums,
            data[start : start + time], data[start + 1 : start + time + 1],
            params[:hh], params[hh:b_h], params[b_h:head], params[head:], offsets, m,
        )  # fmt: skip
        update(params, grads, memories, 0, params.size, x)
        copy(h, 0, h, time * hidden, hidden)
        place[0] = start + time
    restore_denormals(denormals)


def clipped(h, g, p):
    """Not an optimiser's rule but the gradient itself, which `update` has scaled and clipped."""
    return g, ()


class Drivers(NamedTuple):
    """What Python calls."""

    loss_fun: Any
    train_pieces: Any


@functools.cache
def drivers() -> Drivers:
    """Bind the drivers; nothing is compiled before it is called."""
    layer, adagrad = bound.drivers(RNN_TANH), OPTIMIZERS["adagrad"]
    rest = {"RESTS_AT_ZERO": True}
    names = {
        "pack_forward": layer.pack_forward,
        "run_forward": layer.run_forward,
        "run_backward": layer.run_backward,
        "run_head": jit.bind(language_model.run_head),
        "clip": jit.bind(primitives.update, rule=jit.bind(clipped), SLOTS=0, **rest),
        "update": jit.bind(primitives.update, rule=jit.bind(adagrad.rule), SLOTS=1, **rest),
    }
    names["gradients"] = jit.bind(gradients_of_piece, **names)
    made_from = (*bound.equations(RNN_TANH), adagrad.rule)
    return Drivers(
        jit.entry(loss_fun, *made_from, **names), jit.entry(train_pieces, *made_from, **names)
    )
