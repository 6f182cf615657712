"""Weights stay packed between calls of inference, and every change of them is seen."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import DTYPES, PLAIN

import fastrnn

jit_only = pytest.mark.skipif(PLAIN, reason="without the JIT nothing is packed")


def fresh(layer: fastrnn.LSTM, x: np.ndarray) -> np.ndarray:
    """The output of a new layer with the same parameters."""
    other = fastrnn.LSTM(layer.input_size, layer.hidden_size, layer.num_layers, dtype=layer.dtype)
    other.load_state_dict(layer.state_dict())
    return other(x)[0]


@DTYPES
def test_a_change_of_any_parameter_is_seen(dtype: type) -> None:
    layer = fastrnn.LSTM(5, 19, num_layers=2, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 5)).astype(dtype)
    before = layer(x)[0]
    np.testing.assert_array_equal(layer(x)[0], before)
    for name, view in layer.params.items():
        for index in (0, view.size // 2, view.size - 1):
            view.reshape(-1)[index] += 0.5
            after = layer(x)[0]
            np.testing.assert_array_equal(after, fresh(layer, x), err_msg=name)
            assert not np.array_equal(after, before), name
            before = after


def test_exchanged_weights_are_seen() -> None:
    layer = fastrnn.GRU(64, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 64), dtype=np.float32)
    before = layer(x)[0]
    for block in (1, 2, 16, 64, 64 * 16):  # numbers, vectors, rows, several rows
        first, second = (layer.params["weight_hh_l0"].reshape(-1)[i : i + block] for i in (0, 4096))
        first[:], second[:] = second.copy(), first.copy()
        after = layer(x)[0]
        assert not np.array_equal(after, before)
        before = after


def test_other_sizes_and_training_in_between_spoil_nothing() -> None:
    layer = fastrnn.LSTM(7, 21, seed=0)
    generator = np.random.default_rng(0)
    inputs = [generator.standard_normal((t, n, 7), dtype=np.float32)
              for t, n in ((13, 1), (40, 2), (13, 1), (1, 1), (200, 8), (13, 1))]  # fmt: skip
    expected = [fresh(layer, x) for x in inputs]
    for _ in range(2):
        for x, right in zip(inputs, expected, strict=True):
            np.testing.assert_array_equal(layer(x)[0], right)
            output, _, tape = layer.forward(x)
            layer.backward(tape, np.ones_like(output))


def test_threads_that_call_at_once_each_have_theirs() -> None:
    layer = fastrnn.LSTM(7, 21, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 7), dtype=np.float32)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            layer.flat *= np.float32(0.9)
            right = fresh(layer, x)
            for output, _ in pool.map(layer, [x] * 40):
                np.testing.assert_array_equal(output, right)


def test_weights_that_another_thread_swaps_during_calls_spoil_no_later_call() -> None:
    layer = fastrnn.LSTM(64, 64, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 64), dtype=np.float32)
    mine, other = layer.flat.copy(), layer.flat * np.float32(0.5)
    right = layer(x)[0]
    ends = threading.Event()

    def swap() -> None:
        while not ends.is_set():
            layer.flat[...] = other
            layer.flat[...] = mine

    for _ in range(20):
        ends.clear()
        swapping = threading.Thread(target=swap)
        swapping.start()
        for _ in range(20):
            layer(x)
        ends.set()
        swapping.join()
        np.testing.assert_array_equal(layer(x)[0], right)


@pytest.mark.skipif(fastrnn.get_threads() < 2, reason="one core only")
@pytest.mark.parametrize("hidden", [256, 320])
def test_a_team_sees_changes_together(hidden: int) -> None:
    x = np.random.default_rng(0).standard_normal((60, 1, hidden), dtype=np.float32)
    layer, alone = (fastrnn.GRU(hidden, hidden, seed=0, threads=n) for n in (2, 1))
    for step in range(4):
        for each in (layer, alone):
            each.params["weight_hh_l0"][step, step] += 1
        for _ in range(2):
            np.testing.assert_array_equal(layer(x)[0], alone(x)[0])


@jit_only
@DTYPES
def test_the_checksum_of_parts_adds_up(dtype: type) -> None:
    from fastrnn.kernels.jit import kernel
    from fastrnn.simd.checksum import SUMS, checksum
    from fastrnn.simd.cpu import lanes

    run = kernel(lambda array, first, end, place: checksum(array, first, end, place))
    step = SUMS * lanes(dtype)
    generator = np.random.default_rng(0)
    for size in (0, 1, step - 1, step, step + 1, 5 * step + 3):
        array = generator.standard_normal(size).astype(dtype)
        whole = run(array, 0, size, 3)
        cut = size // step // 2 * step
        parts = run(array, 0, cut, 3) + run(array, cut, size, 3)
        assert (whole - parts) % 2**64 == 0
        found = {whole}
        for i in range(size):
            array[i] = np.nextafter(array[i], dtype(9))
            found.add(run(array, 0, size, 3))
        assert len(found) == size + 1
