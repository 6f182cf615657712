"""Weights stay packed between calls of inference, and every change of them is seen."""

from __future__ import annotations

import copy
import ctypes
import gc
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, PLAIN

import fastrnn

jit_only = pytest.mark.skipif(PLAIN, reason="checksums are compiled code")


def fresh(layer: fastrnn.LSTM, x: np.ndarray) -> np.ndarray:
    """The output of a new layer with the same parameters."""
    sizes = layer.input_size, layer.hidden_size, layer.num_layers
    other = fastrnn.LSTM(*sizes, bidirectional=layer.bidirectional, dtype=layer.dtype)
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


def as_a_pointer(flat: np.ndarray) -> Any:
    kind = ctypes.c_float if flat.dtype == np.float32 else ctypes.c_double
    return flat.ctypes.data_as(ctypes.POINTER(kind))


def as_a_tensor(flat: np.ndarray) -> Any:
    torch = pytest.importorskip("torch")
    return torch.from_numpy(flat)[3:]


#: Ways to hold the memory of the parameters, and to write to it.
HOLDERS: dict[str, Callable[[fastrnn.LSTM], Any]] = {
    "flat": lambda layer: layer.flat,
    "part of flat": lambda layer: layer.flat[2:9][::3],
    "view": lambda layer: layer.params["weight_hh_l0"].reshape(-1),
    "view of a view": lambda layer: layer.params["weight_ih_l0"].T[1:].T[4],
    "bytes": lambda layer: layer.flat.view("u1")[1:],
    "windows": lambda layer: np.lib.stride_tricks.as_strided(layer.flat, (2,), (8,)),
    "memoryview": lambda layer: memoryview(layer.params["bias_hh_l0"]),
    "pointer": lambda layer: as_a_pointer(layer.flat),
    "tensor": lambda layer: as_a_tensor(layer.flat),
}


@DTYPES
@pytest.mark.parametrize("way", HOLDERS)
def test_weights_are_read_again_as_long_as_somebody_may_write(way: str, dtype: type) -> None:
    layer = fastrnn.LSTM(5, 19, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 5)).astype(dtype)
    outputs = [layer(x)[0] for _ in range(2)]
    holder = HOLDERS[way](layer)
    for number in (1, 2, 1):
        holder[1] = number
        outputs.append(layer(x)[0])
        np.testing.assert_array_equal(outputs[-1], fresh(layer, x))
        assert not np.array_equal(outputs[-1], outputs[-2])
    holder[1] = 2
    del holder
    gc.collect()
    for _ in range(2):
        np.testing.assert_array_equal(layer(x)[0], outputs[-2])
    # Whoever has none of these arrays cannot do this; it shows that nobody looks.
    layer._parameters.flat[...] = 0
    np.testing.assert_array_equal(layer(x)[0], outputs[-2])
    layer.flat[:1] = 0
    assert not layer(x)[0].any()


@DTYPES
def test_weights_stay_packed_for_other_times(dtype: type) -> None:
    layer = fastrnn.LSTM(5, 19, 2, bidirectional=True, dtype=dtype, seed=0)
    x = np.random.default_rng(0).standard_normal((20, 1, 5)).astype(dtype)
    times = (20, 13, 17)
    expected = [fresh(layer, x[:time]) for time in times]
    layer(x)
    # Whoever has no array of them cannot do this; it shows that nobody looks.
    layer._parameters.flat[...] = 0
    for time, right in [*zip(times, expected, strict=True)] * 2:
        np.testing.assert_array_equal(layer(x[:time])[0], right)


def test_tokens_and_numbers_in_turns_spoil_nothing() -> None:
    layer = fastrnn.LSTM(5, 19, seed=0)
    tokens = np.random.default_rng(0).integers(0, 5, (13, 1))
    numbers = np.eye(5, dtype=np.float32)[tokens]
    expected = fresh(layer, numbers)
    for _ in range(3):
        for x in (numbers, fastrnn.OneHot(tokens), numbers[:11], fastrnn.OneHot(tokens[:12])):
            output = layer(x)[0]
            np.testing.assert_allclose(output, expected[: len(output)], rtol=1e-5, atol=1e-6)


def test_a_cell_knows_who_writes_to_its_layer() -> None:
    cell, x = fastrnn.LSTMCell(5, 40, seed=0), np.ones((8, 5), np.float32)
    before = [cell(x)[0] for _ in range(3)][-1]
    bias = cell.params["bias_hh"]
    bias[...] = 0.5
    changed = cell(x)[0]
    assert not np.array_equal(changed, before)
    del bias
    for _ in range(2):
        np.testing.assert_array_equal(cell(x)[0], changed)
    cell._parameters.flat[...] = 0
    np.testing.assert_array_equal(cell(x)[0], changed)


def test_all_that_layers_do_with_weights_is_seen() -> None:
    layer = fastrnn.LSTM(5, 19, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 5), dtype=np.float32)
    half = {name: value / 2 for name, value in layer.state_dict().items()}
    quarter = layer.flat / 4

    def assign() -> None:
        layer.flat = quarter

    for change in (
        lambda: layer.load_state_dict(half),
        assign,
        lambda: layer.params.update(half),
        lambda: layer.params.__setitem__("bias_hh_l0", half["bias_hh_l0"] + 1),
        lambda: layer.flat.fill(0.1),
    ):
        before = [layer(x)[0] for _ in range(3)][-1]
        change()
        np.testing.assert_array_equal(layer(x)[0], fresh(layer, x))
        assert not np.array_equal(layer(x)[0], before)
    elsewhere = np.empty_like(quarter)
    before = layer(x)[0]
    layer.move_to(elsewhere)
    np.testing.assert_array_equal(layer(x)[0], before)
    elsewhere *= 2
    np.testing.assert_array_equal(layer(x)[0], fresh(layer, x))
    assert not np.array_equal(layer(x)[0], before)


def test_who_is_copied_with_a_layer_writes_to_the_copy() -> None:
    layer = fastrnn.GRU(5, 19, seed=0)
    x = np.random.default_rng(0).standard_normal((13, 1, 5), dtype=np.float32)
    for other, flat in (
        copy.deepcopy((layer, layer.flat)),
        pickle.loads(pickle.dumps((layer, layer.flat))),
    ):
        before = [other(x)[0] for _ in range(3)][-1]
        np.testing.assert_array_equal(before, layer(x)[0])
        flat *= 2
        doubled = other(x)[0]
        assert not np.array_equal(doubled, before)
        np.testing.assert_array_equal(layer(x)[0], before)
    del flat
    np.testing.assert_array_equal(other(x)[0], doubled)
    other._parameters.flat[...] = 0
    # Nobody has the copy's, and it does not look.
    np.testing.assert_array_equal(other(x)[0], doubled)


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
