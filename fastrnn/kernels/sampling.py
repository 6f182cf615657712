"""Tokens drawn from a language model, each read in its turn; see `language_model`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn.kernels.primitives import fill_rows, pack, product
from fastrnn.kernels.team import ALONE

embed: Any = None
forward_layer: Any = None
carry_states: Any = None


def generate(
    out, params, h, memory, work, work_size, x, token, given, uniforms, offsets, temperature,
    fresh, m,
):  # fmt: skip
    """Read the tokens `given`, then draw ``out.size`` tokens, each read in its turn.

    ``work`` (L + 1, work_size) keeps every layer's packed weights; they are packed where `fresh`.
    ``token`` (1,) is for the one that is being read.
    The last token of `given` is the first that is predicted from. A temperature of 0 takes the
    likeliest token.
    """
    hidden, vocabulary = m.first.scan.hidden, m.vocabulary
    o, o_bias = offsets[4 * m.layers], offsets[4 * m.layers + 1]
    bias = params[o_bias : o_bias + vocabulary]
    head = work[m.layers * work_size :]
    if fresh:
        pack(head, m.forward_panels, params, o, 1, hidden, hidden, vocabulary, m.first.width,
             ALONE)  # fmt: skip
    for step in range(given.size + out.size - 1):
        token[0] = given[step] if step < given.size else out[step - given.size]
        embed(x, params, offsets, token, ALONE, m)
        for layer in range(m.layers):
            p = m.first if layer == 0 else m.other
            part = work[layer * work_size : (layer + 1) * work_size]
            forward_layer(layer, params, offsets, h, memory, params[:0], part, x, token,
                          fresh and step == 0, ALONE, p)  # fmt: skip
        carry_states(h, memory, m)
        drawn = step - given.size + 1
        if drawn >= 0:
            last = (2 * m.layers - 1) * hidden
            fill_rows(head, m.logits, vocabulary, bias, 1, vocabulary)
            product(head, m.logits, vocabulary, h, last, hidden, 1, head, m.forward_panels,
                    1, hidden, vocabulary, True, head, m.scratch, m.first.tile_rows,
                    m.first.width, m.first.scan.tile)  # fmt: skip
            out[drawn] = draw(head[m.logits : m.logits + vocabulary], temperature, uniforms[drawn])


def draw(logits, temperature, uniform):
    """A token from softmax(logits / temperature), by inversion of its distribution."""
    best = 0
    for i in range(logits.size):
        if logits[i] > logits[best]:
            best = i
    if temperature == 0:
        return best
    top = logits[best]
    mass = 0.0
    for i in range(logits.size):
        mass += np.exp((np.float64(logits[i]) - top) / temperature)
    left = uniform * mass
    for i in range(logits.size):
        left -= np.exp((np.float64(logits[i]) - top) / temperature)
        if left < 0:
            return i
    return best
