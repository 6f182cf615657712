"""S4: the RNN class at the scale of the IMDB reviews.

    python bench/system_imdb.py [--naive BATCHES]

runs one epoch of the drop-in, all of its 25,000 sequences of 500 words (vocabulary 10,000, hidden
32, one output, batches of 32), prints its time and the memory of the process, and beside it what
200 batches of the naive program, and of PyTorch, make of an epoch.

The naive program makes the one-hot rows of each step. Beside it stand a naive one that looks its
rows up, which few such programs do, and PyTorch: an embedding and ``nn.RNN``, its gradients dense
or sparse, whichever is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from systems import End, Row, difference_in_eps

from fastrnn.compat import rnn_class
from fastrnn.data import binary_addition
from fastrnn.reference import rnn_class as naive
from fastrnn.reference.sigmoid import sigmoid

VOCABULARY, TIME, COUNT, HIDDEN, BATCH = 10_000, 500, 25_000, 32, 32
RATE = 0.1
BATCHES = -(-COUNT // BATCH)
#: Differences in eps that are rounding: sums over 16,000 words, 500 steps one after the other.
AGREEMENT = 1000
GOAL, PEER_GOAL = 20, 2

SIZES = f"N={BATCH} T={TIME} H={HIDDEN} V={VOCABULARY}"
#: Of a batch: the states, their gradients, those of Whh; words cost no products.
FLOPS = 3 * 2 * BATCH * TIME * HIDDEN * HIDDEN


class LookingUp(naive.RNN):
    """The naive class for words alone, their weights looked up and their gradients scattered."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.Wxh = np.asfortranarray(self.Wxh)  # a word's weights adjacent

    def forward(self, x: Any) -> Any:
        self.hs = [np.zeros((len(x), self.hidden_size))]
        for t in range(x.shape[1]):
            self.hs.append(np.tanh(self.Wxh.T[x[:, t]] + self.hs[-1] @ self.Whh.T + self.bh))
        return sigmoid(self.hs[-1] @ self.Why.T + self.by)

    def backward(self, x: Any, y_true: Any, y_pred: Any, learning_rate: float) -> None:
        d = (y_pred - np.reshape(y_true, y_pred.shape)) / y_pred.size
        d_Wxh, d_Whh, d_bh = (np.zeros_like(w) for w in (self.Wxh, self.Whh, self.bh))
        d_h = d @ self.Why
        for t in reversed(range(x.shape[1])):
            d_a = d_h * (1 - self.hs[t + 1] ** 2)
            np.add.at(d_Wxh.T, x[:, t], d_a)
            d_Whh += d_a.T @ self.hs[t]
            d_bh += d_a.sum(axis=0)
            d_h = d_a @ self.Whh
        self.Why -= learning_rate * d.T @ self.hs[-1]
        self.by -= learning_rate * d.sum(axis=0)
        self.Wxh -= learning_rate * d_Wxh
        self.Whh -= learning_rate * d_Whh
        self.bh -= learning_rate * d_bh


class Torch:
    """The same network of PyTorch, from the weights of a naive one."""

    def __init__(self, rnn: naive.RNN, sparse: bool) -> None:
        import torch

        torch.set_num_threads(1)
        self.embedding = torch.nn.Embedding(VOCABULARY, HIDDEN, sparse=sparse, dtype=torch.float64)
        self.rnn = torch.nn.RNN(HIDDEN, HIDDEN, batch_first=True, dtype=torch.float64)
        self.head = torch.nn.Linear(HIDDEN, 1, dtype=torch.float64)
        values = {
            self.embedding.weight: rnn.Wxh.T, self.rnn.weight_ih_l0: np.eye(HIDDEN),
            self.rnn.weight_hh_l0: rnn.Whh, self.rnn.bias_ih_l0: rnn.bh,
            self.rnn.bias_hh_l0: 0 * rnn.bh, self.head.weight: rnn.Why, self.head.bias: rnn.by,
        }  # fmt: skip
        with torch.no_grad():
            for parameter, value in values.items():
                parameter[...] = torch.from_numpy(np.ascontiguousarray(value))
        # The embedding is the input's weights: those that it is multiplied by, and one of the two
        # biases, stay what they are.
        for fixed in (self.rnn.weight_ih_l0, self.rnn.bias_hh_l0):
            fixed.requires_grad_(False)
        trained = [parameter for parameter in values if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=RATE)
        self.criterion = torch.nn.BCEWithLogitsLoss()

    def train(self, x: Any, y: Any, epochs: int, learning_rate: float, batch_size: int) -> Any:
        import torch

        words, labels = torch.from_numpy(x), torch.from_numpy(y).double()[:, None]
        total = 0.0
        for first in range(0, len(x), batch_size):
            self.optimizer.zero_grad()
            _, h = self.rnn(self.embedding(words[first : first + batch_size]))
            loss = self.criterion(self.head(h[0]), labels[first : first + batch_size])
            loss.backward()
            self.optimizer.step()
            total += loss.item() * min(batch_size, len(x) - first)
        return [total / len(x)]


def corpus(count: int = COUNT) -> tuple[Any, Any]:
    """Random words, some of which tell the label."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, VOCABULARY, (count, TIME))
    y = generator.integers(0, 2, count)
    x[:, -5:] = 2 + y[:, None]
    return x, y


def make(kind: Any) -> Any:
    """A network of the class, from the same weights."""
    np.random.seed(0)
    return kind(VOCABULARY, HIDDEN, 1)


def peers() -> dict[str, Any]:
    """PyTorch's network by its kind of gradients, if it is there."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return {}
    return {
        f"PyTorch, {name}": Torch(make(naive.RNN), name == "sparse") for name in ("dense", "sparse")
    }


def train(rnn: Any, x: Any, y: Any) -> Any:
    """The losses of one epoch, whose print nobody needs."""
    with contextlib.redirect_stdout(io.StringIO()):
        return rnn.train(x, y, 1, RATE, batch_size=BATCH)


def rows(dtype: str) -> list[Row]:
    """A batch of training, each going on from the one before."""
    if dtype != "float64":  # as published
        return []
    x, y = corpus(BATCH)
    fast = make(rnn_class.RNN)

    def row(name: str, slow: Any, fresh: Callable[[], Any], **options: Any) -> Row:
        def difference() -> float:
            one, other = fresh(), make(rnn_class.RNN)
            losses = [[train(rnn, x, y) for _ in range(2)] for rnn in (one, other)]
            return difference_in_eps(losses[1], losses[0], dtype)

        return Row(
            name, SIZES, lambda: train(slow, x, y), lambda: train(fast, x, y), difference,
            AGREEMENT, FLOPS, **options,
        )  # fmt: skip

    found = [
        row("batch", make(naive.RNN), lambda: make(naive.RNN), goal=GOAL),
        row("batch, naive with look-up", make(LookingUp), lambda: make(LookingUp)),
    ]
    if networks := peers():
        name = min(networks, key=lambda name: min(seconds(networks[name], x, y) for _ in range(3)))
        found.append(
            row("batch", networks[name], lambda: peers()[name], goal=PEER_GOAL, against=name)
        )
    return found


def ends() -> list[End]:
    """The same class on binary addition: learnt on 8 bits, tried on 64."""
    x, y = bits(1000, 8, 0)
    long, sums = bits(1000, 64, 1)

    def reached(module: Any) -> str:
        np.random.seed(0)
        rnn = module.RNN(2, 16, 1)
        with contextlib.redirect_stdout(io.StringIO()):
            rnn.train(x, y, 100, 1.0, batch_size=16)
        right = ((rnn.predict(long) > 0.5) == sums).all(axis=(1, 2)).sum()
        return f"{right:,} of {len(sums):,}"

    return [End("binary addition, sums of 64 bits right", reached, naive, rnn_class)]


def bits(count: int, length: int, seed: int) -> tuple[Any, Any]:
    """Pairs of numbers (N, T, 2) and their sums (N, T, 1), the least significant bit first."""
    task = binary_addition(count, length, seed=seed, dtype=np.float64)
    return task.x.swapaxes(0, 1).copy(), task.y.swapaxes(0, 1).copy()


def seconds(rnn: Any, x: Any, y: Any) -> float:
    """Of one epoch."""
    start = time.perf_counter()
    train(rnn, x, y)
    return time.perf_counter() - start


def resident() -> int:
    """The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(arguments: list[str] | None = None) -> None:
    """Print times and memory of one epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--naive", type=int, default=200, metavar="BATCHES")
    batches = parser.parse_args(sys.argv[1:] if arguments is None else arguments).naive
    if batches < 1:
        parser.error("--naive must be at least 1")
    few = corpus(2 * BATCH)
    train(make(rnn_class.RNN), *few)  # compiles
    before, (x, y) = resident(), corpus()
    data, fast = resident(), seconds(make(rnn_class.RNN), x, y)
    print(f"fastrnn: {fast:.2f} s; memory {resident()} MB, {before} before the words and "
          f"{data} before the epoch", flush=True)  # fmt: skip
    x, y = x[: batches * BATCH].copy(), y[: batches * BATCH].copy()
    scale = BATCHES * BATCH / len(x)
    rivals = {"naive": make(naive.RNN), "naive with look-up": make(LookingUp)} | peers()
    for name, rnn in rivals.items():
        train(rnn, *few)
        epoch = scale * seconds(rnn, x, y)
        print(f"{name}: {epoch:.1f} s, {epoch / fast:.1f} times as long", flush=True)


if __name__ == "__main__":
    import machine

    machine.limit_blas(1)
    main()
