"""One layer in many threads at once, and in a forked child."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, EACH_CELL, PLAIN, make_layer, normal

import fastrnn
from fastrnn import OneHot, plan, recurrence, threads
from fastrnn.cells import CELLS, LSTM, RNN_TANH
from fastrnn.layers import Recurrent
from fastrnn.simd.cpu import lanes

THREADS = 4
TURNS = 8


def forks(test: Any) -> Any:
    """Mark of the tests that fork."""
    warns = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
    able = "fork" in multiprocessing.get_all_start_methods()
    return pytest.mark.skipif(not able, reason="this system cannot fork")(warns(test))


def each(state: Any) -> tuple[Any, ...]:
    return state if isinstance(state, tuple) else (state,)


def train(layer: Any, x: Any) -> list[bytes]:
    """The bits of everything that a layer computes from x and some initial state."""
    shape = (layer.num_layers * layer.directions, x.shape[1], layer.hidden_size)
    states = [normal(shape, x.dtype, 7 + i) for i in range(len(layer.cell.states))]
    state = tuple(states) if len(states) > 1 else states[0]
    output, final, tape = layer.forward(x, state)
    grads = layer.backward(tape, np.ones_like(output), final)
    called, called_final = layer(x, state)
    arrays = [called, *each(called_final), output, *each(final), grads.x, *each(grads.state)]
    return [a.tobytes() for a in (*arrays, grads.flat)]


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


def in_forked_child(layer: Any, x: Any) -> list[bytes]:
    """What `train` gives in a child."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(theirs, layer, x))
    child.start()
    theirs.close()
    try:
        assert ours.poll(60), "the child does not answer"
        received: list[bytes] = ours.recv()
        child.join(60)
        assert child.exitcode == 0
    finally:
        if child.is_alive():
            child.kill()
            child.join()
        ours.close()
    return received


@forks
@DTYPES
@EACH_CELL
def test_a_forked_child_gets_the_bits_of_its_parent(cell: Any, dtype: Any) -> None:
    layer, x = make_layer(cell, 5, 37, 2, dtype=dtype), normal((30, 6, 5), dtype)
    expected = train(layer, x)
    assert in_forked_child(layer, x) == expected
    assert train(layer, x) == expected


@pytest.fixture
def teams(monkeypatch: Any) -> Any:
    """Teams of up to three threads for the smallest work, however few the cores are."""
    for name in ("TEAM_WORK", "STEP_WORK", "LEAST_TASK_WORK"):
        monkeypatch.setattr(f"fastrnn.teams.{name}", 1)
    monkeypatch.setattr(threads, "available", lambda: 3)
    monkeypatch.setattr(threads._pool, "limit", 3)
    plan.plan_layer.cache_clear()
    recurrence.prepared.cache_clear()
    yield
    plan.plan_layer.cache_clear()
    recurrence.prepared.cache_clear()


BANDED = [  # T, N, I, H
    (50, 45, 17, 19),  # the last block is shorter
    (7, 45, 90, 150),  # of several gates: x is multiplied in the scan
    (7, 520, 5, 7),  # many rows
    (6, 1100, 5, 7),  # stripes of two threads
]
SHAPES = [
    (7, 1, 5, 200),  # the hidden units are shared
    (5, 3, 9, 515),
    (9, 12, 6, 40),  # the batch is shared
    (7, 9, 5, 130),  # the hidden units, or the batch of two threads; x is multiplied in the scan
    (3, 40, 90, 150),
    (9, 13, 30, 33),  # an LSTM's bands would leave one row, so that it has none
    *BANDED,
    (1, 7, 64, 512),  # unpacked
    (1, 9, 64, 512),
    (3, 50, 64, 256),  # unpacked input
    (1, 1, 64, 1024),
]


@pytest.mark.usefixtures("teams")
@DTYPES
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_number_of_threads_gives_the_same_bits(shape: Any, cell: Any, dtype: Any) -> None:
    time, batch, inputs, hidden = shape
    results = []
    for count in (1, 2, 3):
        layer: Any = Recurrent(cell, inputs, hidden, bidirectional=True, dtype=dtype, threads=count)
        layer.flat[...] = normal(layer.flat.shape, dtype) / hidden**0.5
        args = (cell, np.dtype(dtype), time, batch, inputs, hidden)
        alone = cell.late and batch < 4 * count  # late gates share the batch only
        assert plan.plan_layer(*args, threads=count).threads == (1 if alone else count)
        results.append(train(layer, normal((time, batch, inputs), dtype, 1)))
    assert results[0] == results[1] == results[2]


@pytest.mark.usefixtures("teams")
@DTYPES
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
@pytest.mark.parametrize("lengths", [None, [5, 0, 4, *[5] * 8, 2]], ids=["whole", "ragged"])
def test_large_weights_are_shared_by_units(
    lengths: Any, cell: Any, dtype: Any, monkeypatch: Any
) -> None:
    sizes, results = (5, 12, 9, 3 * 4 * lanes(dtype)), []
    for limit in (fastrnn.teams.SHARED_BYTES, 0):
        monkeypatch.setattr("fastrnn.teams.SHARED_BYTES", limit)
        plan.plan_layer.cache_clear()
        recurrence.prepared.cache_clear()
        planned = plan.plan_layer(cell, np.dtype(dtype), *sizes, threads=3)
        by_units = cell.weights or (limit == 0 and cell.recurrent and not cell.late)
        assert (planned.threads, planned.layer.scan.by_units) == (3, bool(by_units))
        layer: Any = Recurrent(cell, 9, sizes[3], dtype=dtype, threads=3)
        layer.flat[...] = normal(layer.flat.shape, dtype) / 4
        x = normal((5, 12, 9), dtype, 1)
        output, _, tape = layer.forward(x, lengths=lengths)
        grads = layer.backward(tape, np.ones_like(output))
        results.append([layer(x, lengths=lengths)[0], output, grads.x, grads.flat])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("shape", BANDED, ids=str)
def test_large_batches_are_cut_into_bands(shape: Any) -> None:
    planned = [plan.plan_layer(LSTM, np.dtype(np.float32), *shape, threads=n) for n in (1, 2, 3)]
    assert [p.layer.bands.number > 0 for p in planned] == [False, True, True]
    assert [p.layer.own > 0 for p in planned] == [False, True, True]


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_rows_of_a_team_have_states_of_their_own_where_that_pays(monkeypatch: Any) -> None:
    def own(*shape: int, **more: Any) -> bool:
        planned = plan.plan_layer(LSTM, np.dtype(np.float32), *shape, threads=2, **more)
        assert planned.threads == 2
        return planned.layer.own > 0

    assert own(9, 12, 6, 40)
    assert own(9, 12, 6, 40, directions=2, direction=1)
    assert not own(9, 12, 6, 40, keep=True)
    assert not own(7, 1, 5, 200)  # a team shares the units
    monkeypatch.setattr("fastrnn.teams.OWN_BYTES", 12 * 40 * 4 - 1)
    plan.plan_layer.cache_clear()
    assert not own(9, 12, 6, 40)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_a_plan_says_that_units_are_shared_for_their_weights(monkeypatch: Any) -> None:
    layer = fastrnn.LSTM(9, 200, threads=2)
    assert "rows of the batch" in str(layer.plan(5, 12))
    monkeypatch.setattr("fastrnn.teams.SHARED_BYTES", 0)
    monkeypatch.setattr("fastrnn.explain.SHARED_BYTES", 0)
    plan.plan_layer.cache_clear()
    assert "hidden units, meeting after every step, which reads 6" in str(layer.plan(5, 12))


def test_a_call_like_one_before_sees_what_has_changed() -> None:
    layer = fastrnn.LSTM(3, 5, seed=0)
    x = normal((4, 4, 3), np.float32)
    for change in (
        lambda: None,
        lambda: layer.load_state_dict(fastrnn.LSTM(3, 5, seed=1).state_dict()),
        lambda: layer.flat.__setitem__(slice(3), 7.0),
        lambda: setattr(layer, "threads", 1),
        lambda: setattr(layer, "batch_first", True),
    ):
        for _ in range(2):
            layer(x)
        change()
        fresh = fastrnn.LSTM(3, 5, batch_first=layer.batch_first)
        fresh.load_state_dict(layer.state_dict())
        np.testing.assert_array_equal(layer(x)[0], fresh(x)[0])


@pytest.mark.skipif(fastrnn.get_threads() < 2, reason="there is one core")
def test_other_threads_may_be_wanted_for_the_way_back() -> None:
    layer = fastrnn.GRU(30, 200, seed=0, threads=2)
    x, d_output = normal((20, 16, 30), np.float32), normal((20, 16, 200), np.float32, 1)
    _, _, tape = layer.forward(x)
    grads = layer.backward(tape, d_output)
    layer.threads = 1
    np.testing.assert_array_equal(layer.backward(tape, d_output).flat, grads.flat)


@pytest.mark.usefixtures("teams")
def test_tokens_are_shared_too() -> None:
    tokens = np.random.default_rng(0).integers(7, size=(20, 9))
    for cell in (RNN_TANH,):
        results = []
        for count in (1, 3):
            layer: Any = Recurrent(cell, 7, 70, threads=count, seed=1)
            output, _, tape = layer.forward(OneHot(tokens))
            grads = layer.backward(tape, np.ones_like(output))
            results.append([output.tobytes(), grads.flat.tobytes()])
        assert results[0] == results[1]


@pytest.mark.usefixtures("teams")
def test_teams_of_many_callers_do_not_wait_for_each_other() -> None:
    layer: Any = Recurrent(LSTM, 5, 70, threads=3)
    x = normal((30, 13, 5), np.float32)
    expected = train(layer, x)
    assert PLAIN or threads._pool._started == 2
    together = threading.Barrier(THREADS)

    def work(_: int) -> bool:
        together.wait(timeout=60)
        return all(train(layer, x) == expected for _ in range(TURNS))

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))


@forks
@pytest.mark.usefixtures("teams")
def test_a_forked_child_starts_its_own_team() -> None:
    layer: Any = Recurrent(LSTM, 5, 70, threads=3)
    x = normal((30, 13, 5), np.float32)
    expected = train(layer, x)
    assert PLAIN or threads._pool._started
    assert in_forked_child(layer, x) == expected


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
@pytest.mark.parametrize("who", [0, 1])
def test_a_thread_that_fails_before_the_kernels_stops_its_team(who: int, monkeypatch: Any) -> None:
    layer: Any = Recurrent(LSTM, 5, 200, threads=3)
    x = normal((7, 1, 5), np.float32)
    expected = train(layer, x)
    driver = recurrence._drivers(LSTM, False).forward

    def interrupted(*args: Any) -> None:
        if args[-2][0] == who:
            raise KeyboardInterrupt
        driver(*args)

    prepared = recurrence.prepared
    monkeypatch.setattr(
        recurrence, "prepared", lambda *args: prepared(*args)._replace(forward=interrupted)
    )
    layer._calls.clear()
    with pytest.raises(KeyboardInterrupt):
        layer(x)
    monkeypatch.undo()
    layer._calls.clear()
    assert train(layer, x) == expected


def test_threads_are_checked() -> None:
    cores = threads.available()
    with pytest.raises(ValueError, match=f"threads must be at most {cores}, the cores"):
        fastrnn.set_threads(cores + 1)
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        fastrnn.LSTM(3, 5, threads=0)
    with pytest.raises(TypeError, match="threads must be an integer"):
        fastrnn.set_threads("2")  # type: ignore[arg-type]
    before = fastrnn.get_threads()
    try:
        fastrnn.set_threads(1)
        assert fastrnn.get_threads() == 1
    finally:
        fastrnn.set_threads(before)


def test_a_workers_error_reaches_the_caller_and_the_worker_lives_on() -> None:
    worker = threads._Worker()

    def fail() -> None:
        raise KeyError("here")

    for _ in range(3):
        failing = threads._Part(fail)
        worker.begin(failing)
        while not failing.taken:
            pass
        assert isinstance(worker.finish(failing), KeyError)
        begun, end = threading.Event(), threading.Event()
        working = threads._Part(lambda begun=begun, end=end: (begun.set(), end.wait(timeout=60)))
        worker.begin(working)
        assert begun.wait(timeout=60)
        end.set()
        assert worker.finish(working) is None
        assert working.ended
        assert worker.finish(working) is None
    never = threads._Part(fail)
    assert worker.finish(never) is None


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_after_a_worker_that_failed_first_the_next_call_goes_on(monkeypatch: Any) -> None:
    layer: Any = Recurrent(LSTM, 5, 70, threads=2)
    x = normal((30, 13, 5), np.float32)
    expected = layer(x)[0]
    prepared = recurrence.prepared
    driver = recurrence._drivers(LSTM, False).forward
    failed = threading.Event()

    def worker_first(*args: Any) -> None:
        if args[-2][0] == 1:
            failed.set()
            raise KeyError("here")
        assert failed.wait(timeout=60)
        time.sleep(0.05)  # the worker goes to sleep meanwhile
        driver(*args)

    monkeypatch.setattr(
        recurrence, "prepared", lambda *args: prepared(*args)._replace(forward=worker_first)
    )
    layer._calls.clear()
    with pytest.raises(KeyError, match="here"):
        layer(x)
    monkeypatch.undo()
    layer._calls.clear()
    for _ in range(3):
        np.testing.assert_array_equal(layer(x)[0], expected)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_an_interrupt_after_the_kernels_hangs_nothing(monkeypatch: Any) -> None:
    layer: Any = Recurrent(LSTM, 5, 70, threads=3)
    x = normal((30, 13, 5), np.float32)
    expected = layer(x)[0]
    prepared = recurrence.prepared
    driver = recurrence._drivers(LSTM, False).forward

    def interrupted(*args: Any) -> None:
        driver(*args)
        if args[-2][0] == 0:
            time.sleep(0.05)  # the others know that all have finished
            raise KeyboardInterrupt

    monkeypatch.setattr(
        recurrence, "prepared", lambda *args: prepared(*args)._replace(forward=interrupted)
    )
    layer._calls.clear()
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            layer(x)
    monkeypatch.undo()
    layer._calls.clear()
    np.testing.assert_array_equal(layer(x)[0], expected)


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_threads_that_rest_hold_nothing_for_long() -> None:
    layer: Any = Recurrent(LSTM, 5, 70, threads=3)
    x = normal((30, 13, 5), np.float32)
    output = layer(x)[0]
    held = [weakref.ref(array if array.base is None else array.base) for array in (x, output)]
    del x, output
    end = time.monotonic() + 60
    while any(reference() is not None for reference in held) and time.monotonic() < end:
        time.sleep(0.01)
        gc.collect()
    assert [reference() for reference in held] == [None, None]


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_a_team_that_failed_is_there_again() -> None:
    def fail(*args: Any) -> None:
        raise KeyError("here")

    threads._pool.give(threads._pool.take(2))
    before = len(threads._pool._idle)
    with pytest.raises(KeyError, match="here"):
        threads.run_team(fail, 3, None, ())
    assert len(threads._pool._idle) == before == 2


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.usefixtures("teams")
def test_an_interrupt_before_a_thread_has_begun_does_not_hang(monkeypatch: Any) -> None:
    def begin(self: Any, task: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(threads._Worker, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        threads.run_team(lambda *args: None, 3, None, ())


#: Cell, layers, hidden units, tokens of a sequence, streams: shared by rows, and by hidden units.
MODELS = [("lstm", 2, 64, 40, 17, 12), ("rnn", 1, 300, 99, 2, None), ("gru", 1, 300, 50, 3, 20)]


@pytest.mark.skipif(PLAIN, reason="without the JIT there are no teams")
@pytest.mark.parametrize("size", MODELS, ids=str)
def test_a_language_model_gets_the_bits_of_one_thread(size: Any, monkeypatch: Any) -> None:
    cell, layers, hidden, time, batch, embedding = size
    text = np.random.default_rng(0).integers(37, size=4000)
    found = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads._pool, "limit", count)
        model = fastrnn.LanguageModel(
            hidden, layers, cell=cell, vocabulary=37, embedding=embedding, seed=0
        )
        model.fit(text, steps=5, sequence_length=time, batch_size=batch)
        assert model._trainer is not None
        assert model._trainer._plan_for(count).threads == count
        found.append((model.flat.copy(), model.history_.loss, model.loss(text)))
    for flat, losses, loss in found[1:]:
        assert (flat == found[0][0]).all()
        assert losses == found[0][1]
        assert loss == found[0][2]
