"""S4: the RNN class at the scale of the IMDB reviews, one epoch.

    python bench/systems_rnn_class.py [--naive BATCHES]

25,000 sequences of 500 words, vocabulary 10,000, hidden 32, one output, batches of 32. The naive
program makes the one-hot rows of each step; it is run for some batches. Beside it stands a naive
one that looks its rows up, and PyTorch: an embedding (with sparse gradients) and ``nn.RNN``.
"""

from __future__ import annotations

import contextlib
import io
import resource
import statistics
import sys
import time
from typing import Any

import numpy as np

VOCABULARY, TIME, COUNT, HIDDEN, BATCH = 10_000, 500, 25_000, 32, 32
RATE = 0.1
BATCHES = -(-COUNT // BATCH)


def corpus(count: int = COUNT) -> tuple[Any, Any]:
    """Random words, some of which tell the label."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, VOCABULARY, (count, TIME))
    y = generator.integers(0, 2, count)
    x[:, -5:] = 2 + y[:, None]
    return x, y


def quietly(function: Any, *args: Any, **options: Any) -> float:
    """Seconds of a call whose prints nobody needs."""
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        function(*args, **options)
    return time.perf_counter() - start


def naive(batches: int = 20) -> float:
    """Seconds of an epoch, extrapolated."""
    from fastrnn.reference.rnn_class import RNN

    np.random.seed(0)
    x, y = corpus(batches * BATCH)
    rnn = RNN(VOCABULARY, HIDDEN, 1)
    return quietly(rnn.train, x, y, 1, RATE, batch_size=BATCH) * BATCHES / batches


def naive_gather(batches: int = 50) -> float:
    """The same with rows looked up and gradients scattered, which few such programs do."""
    from fastrnn.reference.sigmoid import sigmoid

    np.random.seed(0)
    x, y = corpus(batches * BATCH)
    limit = 1 / np.sqrt(HIDDEN)
    Wxh = np.random.uniform(-limit, limit, (VOCABULARY, HIDDEN))
    Whh = np.random.uniform(-limit, limit, (HIDDEN, HIDDEN))
    Why, bh, by = np.random.uniform(-limit, limit, (1, HIDDEN)), np.zeros(HIDDEN), np.zeros(1)
    start = time.perf_counter()
    for first in range(0, len(x), BATCH):
        words, labels = x[first : first + BATCH], y[first : first + BATCH, None]
        hs = [np.zeros((BATCH, HIDDEN))]
        for t in range(TIME):
            hs.append(np.tanh(Wxh[words[:, t]] + hs[-1] @ Whh.T + bh))
        d = (sigmoid(hs[-1] @ Why.T + by) - labels) / BATCH
        d_Wxh, d_Whh, d_bh = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(bh)
        d_h = d @ Why
        for t in reversed(range(TIME)):
            d_a = d_h * (1 - hs[t + 1] ** 2)
            np.add.at(d_Wxh, words[:, t], d_a)
            d_Whh += d_a.T @ hs[t]
            d_bh += d_a.sum(axis=0)
            d_h = d_a @ Whh
        Why -= RATE * d.T @ hs[-1]
        by -= RATE * d.sum(axis=0)
        Wxh -= RATE * d_Wxh
        Whh -= RATE * d_Whh
        bh -= RATE * d_bh
    return (time.perf_counter() - start) * BATCHES / batches


def torch_epoch(batches: int = 50, sparse: bool = True) -> float:
    """Seconds of an epoch of PyTorch, extrapolated."""
    import torch

    torch.manual_seed(0)
    x, y = corpus(batches * BATCH)
    words, labels = torch.from_numpy(x), torch.from_numpy(y).float()[:, None]
    embedding = torch.nn.Embedding(VOCABULARY, HIDDEN, sparse=sparse)
    rnn = torch.nn.RNN(HIDDEN, HIDDEN, batch_first=True)
    head = torch.nn.Linear(HIDDEN, 1)
    parameters = [*embedding.parameters(), *rnn.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=RATE)
    criterion = torch.nn.BCEWithLogitsLoss()
    start = time.perf_counter()
    for first in range(0, len(x), BATCH):
        optimizer.zero_grad()
        _, h = rnn(embedding(words[first : first + BATCH]))
        criterion(head(h[0]), labels[first : first + BATCH]).backward()
        optimizer.step()
    return (time.perf_counter() - start) * BATCHES / batches


def fast(dtype: Any = np.float64, count: int = COUNT) -> float:
    """Seconds of an epoch, all of it."""
    from fastrnn.compat.rnn_class import RNN

    np.random.seed(0)
    x, y = corpus(count)
    rnn = RNN(VOCABULARY, HIDDEN, 1, dtype=dtype)
    return quietly(rnn.train, x, y, 1, RATE, batch_size=BATCH)


def main() -> None:
    batches = int(sys.argv[2]) if "--naive" in sys.argv else 20
    for dtype in (np.float64, np.float32):
        fast(dtype, 2 * BATCH)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = {np.dtype(d).name: statistics.median(fast(d) for _ in range(3))
               for d in (np.float64, np.float32)}  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"fastrnn {seconds}, resident {after / 1024:.0f} MB, before {before / 1024:.0f} MB")
    slow = naive(batches)
    print(f"naive {slow:.0f} s: " + ", ".join(f"{n} {slow / s:.0f}x" for n, s in seconds.items()))
    looked_up = naive_gather()
    print(f"naive with rows looked up {looked_up:.1f} s: "
          + ", ".join(f"{n} {looked_up / s:.1f}x" for n, s in seconds.items()))  # fmt: skip
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)
    peer = min(torch_epoch(sparse=sparse) for sparse in (True, False))
    print(f"PyTorch {peer:.1f} s: " + ", ".join(f"{n} {peer / s:.1f}x" for n, s in seconds.items()))


if __name__ == "__main__":
    main()
