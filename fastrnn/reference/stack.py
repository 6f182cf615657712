"""Layers of any recurrent network stacked, in one direction or both, as ``torch.nn`` has them.

The network is told by the two functions of one layer in one direction. ``state`` stands for h, or
for h and c, ``results`` for what the layer returned, first of it its state after each step::

    results = layer_forward(x, *state0, w_ih, w_hh, b_ih, b_hh, **options)
    d_x, *d_state0, d_w_ih, d_w_hh, *d_b = layer_backward(
        x, *state0, *results, w_ih, w_hh, d_h, *d_state_last, **options
    )

``d_b`` is one gradient for both biases, or that of ``b_ih`` and that of ``b_hh``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn.reference._types import Array, Params


class Run(NamedTuple):
    """One layer in one direction: what it read, in the order of reading, and what it returned."""

    suffix: str  # of its parameters, such as "_l0_reverse"
    x: Array  # (T, N, I), above layer 0 (T, N, D*H)
    results: tuple[Array, ...]  # first of them the states, (T, N, H) each

    @property
    def h(self) -> Array:
        """(T, N, H): its output."""
        return self.results[0]


class Cache(NamedTuple):
    """What the backward pass needs of a forward pass."""

    params: Params
    state0: list[Array]  # (L*D, N, H) each
    runs: list[Run]  # L*D, layer by layer, forward before reverse
    directions: int
    options: dict[str, Any]


def stack_forward(
    layer_forward: Callable[..., tuple[Array, ...]],
    x: Array,
    state0: Sequence[Array | None],
    params: Params,
    *,
    num_layers: int,
    bidirectional: bool,
    **options: Any,
) -> tuple[Array, list[Array], Cache]:
    """Run all layers: each reads the outputs of the one below, in both directions.

    Parameters
    ----------
    layer_forward
        See above.
    x : (T, N, I)
    state0 : sequence of (L*D, N, H) or None
        Layer by layer, forward before reverse; None is zero.
    params : dict
        ``weight_ih_l{k}``, ``weight_hh_l{k}``, and if there are biases ``bias_ih_l{k}``,
        ``bias_hh_l{k}``; the reverse direction's end in ``_reverse``. Other names are ignored.
    options
        Passed to both functions of a layer.

    Returns
    -------
    output : (T, N, D*H)
    state_n : list of (L*D, N, H)
    cache : Cache
    """
    directions = ["", "_reverse"] if bidirectional else [""]
    hidden_size = params["weight_hh_l0"].shape[1]
    zeros = np.zeros((num_layers * len(directions), x.shape[1], hidden_size), dtype=x.dtype)
    states = [zeros if s is None else s for s in state0]
    runs: list[Run] = []
    output = x
    for layer in range(num_layers):
        outputs = []
        for direction in directions:
            suffix = f"_l{layer}{direction}"
            w_ih, w_hh = params["weight_ih" + suffix], params["weight_hh" + suffix]
            b_ih, b_hh = params.get("bias_ih" + suffix), params.get("bias_hh" + suffix)
            x_read = output[::-1] if direction else output
            state = [s[len(runs)] for s in states]
            run = Run(
                suffix, x_read, layer_forward(x_read, *state, w_ih, w_hh, b_ih, b_hh, **options)
            )
            outputs.append(run.h[::-1] if direction else run.h)
            runs.append(run)
        output = np.concatenate(outputs, axis=2)
    state_n = [np.stack([run.results[k][-1] for run in runs]) for k in range(len(states))]
    return output, state_n, Cache(params, states, runs, len(directions), options)


def stack_backward(
    layer_backward: Callable[..., tuple[Array, ...]],
    cache: Cache,
    d_output: Array | None,
    d_state_n: Sequence[Array | None],
) -> tuple[Array, list[Array], Params]:
    """Backpropagate through `stack_forward`, from the top layer down.

    Parameters
    ----------
    layer_backward
        See above.
    cache : Cache
    d_output : (T, N, D*H) or None
    d_state_n : sequence of (L*D, N, H) or None
        None is zero.

    Returns
    -------
    d_x : (T, N, I)
    d_state0 : list of (L*D, N, H)
    grads : dict
        One gradient, of the same name and shape, for each parameter that was read.
    """
    params, states, runs, directions, options = cache
    if d_output is None:
        d_output = np.concatenate([np.zeros_like(run.h) for run in runs[-directions:]], axis=2)
    d_states_n = [
        np.zeros_like(s) if d is None else d for s, d in zip(states, d_state_n, strict=True)
    ]
    d_state0 = [np.empty_like(s) for s in states]
    grads: Params = {}
    for first in reversed(range(0, len(runs), directions)):
        d_outputs = np.split(d_output, directions, axis=2)
        d_output = np.zeros_like(runs[first].x)  # from here on, of the layer below
        for i, d_h in enumerate(d_outputs, start=first):
            suffix, x, results = runs[i]
            order = -1 if suffix.endswith("_reverse") else 1
            w_ih, w_hh = params["weight_ih" + suffix], params["weight_hh" + suffix]
            state, d_last = [s[i] for s in states], [d[i] for d in d_states_n]
            d_x, *d_rest = layer_backward(
                x, *state, *results, w_ih, w_hh, d_h[::order], *d_last, **options
            )
            d_output += d_x[::order]
            for d_s in d_state0:
                d_s[i] = d_rest.pop(0)
            d_w_ih, d_w_hh, *d_b = d_rest
            grads["weight_ih" + suffix], grads["weight_hh" + suffix] = d_w_ih, d_w_hh
            if "bias_ih" + suffix in params:
                grads["bias_ih" + suffix] = d_b[0]
            if "bias_hh" + suffix in params:
                grads["bias_hh" + suffix] = d_b[-1].copy()  # d_b[0] perhaps
    return d_output, d_state0, grads
