"""Networks of dense layers, between checked arrays and kernels."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastrnn.checks import Array
from fastrnn.optimizers import Optimizer
from fastrnn.plan import Regions, flattened, tile_shape
from fastrnn.slices import in_slices
from fastrnn.workspaces import aligned_empty

#: The nonlinearities, in the order of their codes in `fastrnn.kernels.dense`.
KINDS = ("relu", "sigmoid", "tanh")

#: More rows than a register tile has.
MANY = 256


#: So few rows or columns of a weight gradient are faster by dot products.
FEW = 4

#: Bytes of a unit's activations in a block, over which a weight gradient's product sums at once.
#: One register tile's width of them, 64 or 256 bytes, takes 1.4 times the time without AVX-512,
#: 1.0 with it (2-50-50-3, 300 examples, float64; Zen 4 as Zen 3, and as it is).
BLOCK = 1024


class Trained(NamedTuple):
    """What some steps of training did.

    Attributes
    ----------
    losses : ndarray (steps,)
        NaN where it was not asked for.
    sizes : ndarray (steps, depth)
        Mean of the absolute gradients of each layer's weights, without the regularisation and
        before clipping.
    """

    losses: Array
    sizes: Array


class DenseNetwork:
    """Dense layers with one nonlinearity between them, and softmax cross-entropy behind the last.

    Parameters
    ----------
    widths : sequence of int
        D inputs, units of each hidden layer, K classes.
    kind : {"relu", "sigmoid", "tanh"}
    dtype : {float32, float64}

    Attributes
    ----------
    weights, biases : list of ndarray (inputs, outputs), (outputs,)
        Of each layer: views of `flat`, zero at first.
    flat : ndarray
        All of them in one buffer, with zeros between.
    """

    def __init__(self, widths: Sequence[int], kind: str, dtype: np.dtype[Any]) -> None:
        from fastrnn.kernels.jit import tile_address
        from fastrnn.kernels.mlp import Dense, Mlp
        from fastrnn.simd.cpu import lanes
        from fastrnn.simd.tile import product_scratch

        self.widths, self.kind, self.dtype = tuple(widths), kind, dtype
        lane = lanes(dtype)
        tile_rows, vectors = tile_shape(MANY)
        tile = vectors * lane
        block = max(tile, BLOCK // dtype.itemsize // tile * tile)

        def whole(count: int) -> int:
            return -(-count // lane) * lane

        work = Regions(dtype.itemsize)
        # A layer's activations and their gradients: its units and ones.
        places = [[work.add((n + 1) * block) for _ in range(2)] for n in self.widths]
        layers, offset = [], 0
        for i, (inputs, outputs) in enumerate(zip(self.widths, self.widths[1:], strict=False)):
            turned = 2 * outputs * whole(inputs + 1) < (inputs + 1) * whole(outputs)
            rows, across = (outputs, inputs + 1) if turned else (inputs + 1, outputs)
            columns = whole(across)
            rest = across % lane
            by_products = 0 if rows <= FEW else across - rest if rest <= FEW else across
            dots = (rows if not by_products else across - by_products, rows + across)
            strides = (1, columns) if turned else (columns, 1)
            here, there = places[i], places[i + 1]
            layers.append(
                Dense(
                    inputs,
                    outputs,
                    offset,
                    *strides,
                    int(turned),
                    rows,
                    columns,
                    here[0],
                    there[0],
                    here[1],
                    there[1],
                    whole=by_products,
                    sums=work.add(dots[0] * dots[1] * lane),
                )
            )
            offset += rows * columns
        plan = Mlp(
            self.widths[0], self.widths[-1], len(layers), KINDS.index(kind),
            lane, tile_rows, vectors, tile_address(dtype), block,
            weights=work.add(block),
            panels=work.add(block * whole(max(self.widths) + 1)),
            scratch=work.add(product_scratch(tile_rows, vectors, lane)),
        )  # fmt: skip
        self._layers = np.array([x for p in layers for x in flattened(p)], np.int64)
        self._plan = np.array(flattened(plan), np.int64)
        self._work = aligned_empty(work.size, dtype)
        self._work[...] = 0
        # Products may read a vector behind what they multiply.
        self.flat = aligned_empty(offset + lane, dtype)[:offset]
        self.flat[...] = 0
        self._dense = layers
        self.weights, self.biases = self.views(self.flat)

    def views(self, flat: Array) -> tuple[list[Array], list[Array]]:
        """The weights and biases in a buffer that is laid out like `flat`."""
        weights, biases = [], []
        for p in self._dense:
            matrix = flat[p.weights : p.weights + p.rows * p.columns].reshape(p.rows, p.columns)
            matrix = matrix.T if p.turned else matrix
            weights.append(matrix[: p.inputs, : p.outputs])
            biases.append(matrix[p.inputs, : p.outputs])
        return weights, biases

    def train(
        self,
        x: Array,
        targets: Array,
        optimizer: Optimizer,
        order: Array,
        starts: Array,
        stops: Array,
        hypers: Array,
        slots: Array,
        *,
        weights: Array | None = None,
        l2: float = 0.0,
        clip_norm: float | None = None,
        every: int = 1,
        seen: Any = None,
    ) -> Trained:
        """Train so many steps, in slices between which Ctrl-C is heard.

        Parameters
        ----------
        x : ndarray (N, D)
            Contiguous, of `dtype`.
        targets : ndarray of int64 (N,)
            In [0, K).
        optimizer : Optimizer
        order, starts, stops : ndarray of int64
            Step s has the examples ``order[starts[s]:stops[s]]``, at least one.
        hypers : ndarray (steps, 9)
            A `Hyper` for each step; its `scale` is not looked at.
        slots : ndarray (optimizer.slots, flat.size)
            The optimiser's state.
        weights : ndarray (N,), optional
            Of the examples' losses, of `dtype`; a step's loss is ``sum(weight * loss) / count``.
        l2 : float
            ``l2 / 2 |W|^2`` of all weights but the biases is part of the loss.
        clip_norm : float, optional
            Largest norm of a step's gradient of all parameters, that of `l2` included.
        every : int
            The loss is computed before every so many steps.
        seen : callable, optional
            Called with the losses and the number of steps done after each slice.
        """
        steps, depth = len(starts), len(self.weights)
        losses, sizes = np.full(steps, np.nan), np.empty((steps, depth))
        grads = np.zeros_like(self.flat)
        if weights is None:
            weights = np.empty(0, self.dtype)
        norm_limit = math.inf if clip_norm is None else float(clip_norm)
        train = _drivers(optimizer).train

        def some(first: int, count: int) -> None:
            part = slice(first, first + count)
            train(
                losses[part], sizes[part].reshape(-1), self.flat, grads, slots.reshape(-1),
                self._work, x.reshape(-1), targets, weights, order, starts[part], stops[part],
                hypers[part], l2, norm_limit, every, first, self._layers, self._plan,
            )  # fmt: skip
            if seen:
                seen(losses, first + count)

        # Without the JIT NumPy would warn of what `sizes` tells.
        with np.errstate(all="ignore"):
            in_slices(steps, some)
        return Trained(losses, sizes)

    def logits(self, x: Array) -> Array:
        """(N, K) of examples x (N, D), contiguous and of `dtype`; many threads may ask at once."""
        logits = np.empty((len(x), self.widths[-1]), self.dtype)
        from fastrnn.optimizers import OPTIMIZERS

        work = aligned_empty(self._work.size, self.dtype)
        _drivers(OPTIMIZERS["sgd"]).run(
            logits.reshape(-1), self.flat, work, x.reshape(-1), np.arange(len(x)),
            self._layers, self._plan,
        )  # fmt: skip
        return logits


@functools.cache
def _drivers(optimizer: Optimizer) -> Any:
    """The compiled drivers; imports numba when first called."""
    from fastrnn.kernels.bound import mlp_drivers

    return mlp_drivers(optimizer)
