"""One layer in many threads at once, and in a forked child."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, EACH_CELL, make_layer, normal

THREADS = 4
TURNS = 8


def train(layer: Any, x: Any) -> list[bytes]:
    """The bits of everything that a layer computes from x."""
    output, final, tape = layer.forward(x)
    grads = layer.backward(tape, np.ones_like(output), final)
    return [a.tobytes() for a in (*layer(x), output, final, grads.x, grads.state, grads.flat)]


@DTYPES
@EACH_CELL
def test_threads_share_a_layer_and_get_the_bits_of_one(cell: Any, dtype: Any) -> None:
    layer = make_layer(cell, 5, 37, 2, bidirectional=True, dtype=dtype)
    inputs = [normal((20 + 9 * i, 1 + 3 * i, 5), dtype, i) for i in range(THREADS)]
    expected = [train(layer, x) for x in inputs]
    together = threading.Barrier(THREADS)

    def work(thread: int) -> list[list[bytes]]:
        together.wait(timeout=60)
        return [train(layer, inputs[(thread + turn) % THREADS]) for turn in range(TURNS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(work, range(THREADS)))
    for thread, of_thread in enumerate(results):
        for turn, bits in enumerate(of_thread):
            assert bits == expected[(thread + turn) % THREADS]


def _in_child(connection: Any, layer: Any, x: Any) -> None:
    connection.send(train(layer, x))
    connection.close()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@DTYPES
@EACH_CELL
def test_a_forked_child_gets_the_bits_of_its_parent(cell: Any, dtype: Any) -> None:
    layer, x = make_layer(cell, 5, 37, 2, dtype=dtype), normal((30, 6, 5), dtype)
    expected = train(layer, x)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(theirs, layer, x))
    child.start()
    theirs.close()
    try:
        assert ours.poll(60), "the child does not answer"
        assert ours.recv() == expected
        child.join(60)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        ours.close()
    assert train(layer, x) == expected
