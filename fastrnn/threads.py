"""Teams of threads: Python threads that wait, and run compiled drivers, which release the GIL.

A call takes as many idle threads as it wants and there are; it never waits for one that serves
another call, so that calls from many threads cannot block each other. A process that was forked
starts its own.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.checks import check_integer
from fastrnn.simd.signals import ASLEEP, BROKEN, BUSY, FINISHED, IDLE


def available() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _offer_core() -> int:
    """Address of the system's function that gives up the core, 0 if there is none."""
    try:
        library = ctypes.CDLL(None) if os.name == "posix" else ctypes.CDLL("kernel32")
        name = "sched_yield" if os.name == "posix" else "SwitchToThread"
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0
    except (AttributeError, OSError):  # pragma: no cover - no such system here
        return 0


def _core_finder() -> Callable[[], int] | None:
    """The system's function that tells the core on which a thread runs, if threads can be moved."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        finder: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError):  # pragma: no cover - no such system here
        return None
    return finder


def _spread(cores: list[int]) -> None:
    """Move this thread off `cores`, those of its team, if it runs on one; add its own to them.

    Linux often wakes a thread on the core of the one that woke it and takes 40 ms to part them.
    Until then, a batch-1 GRU of 512 units took 6 ms a call, not 1.7.
    """
    if _CORE is None:
        return
    if cores and _CORE() in cores:
        allowed = os.sched_getaffinity(0)
        if free := allowed.difference(cores):
            os.sched_setaffinity(0, free)
            os.sched_setaffinity(0, allowed)
    cores.append(_CORE())


class _Worker(threading.Thread):
    """A thread that runs one task after the other; a daemon, so that it keeps no process alive.

    A task is told apart from none by `_task`, under the lock; compiled code looks at `signal`.
    """

    def __init__(self) -> None:
        super().__init__(name="fastrnn", daemon=True)
        self._lock = threading.Lock()
        self._wake = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        #: One int64: `fastrnn.simd.signals`.
        self._signal = np.full(1, IDLE)
        #: Its address.
        self.signal: int = self._signal.ctypes.data
        self._task: Callable[[], bool] | None = None
        self._begun: Callable[[], bool] | None = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        while True:
            with self._lock:
                task, self._task = self._task, None
                self._signal[0] = ASLEEP if task is None else BUSY
            if task is None:
                self._wake.acquire()
                continue
            told = False
            try:
                told = task()
            except BaseException as error:
                self._error = error
            del task
            if not told:
                self._done.release()

    def begin(self, task: Callable[[], bool]) -> None:
        """Run a task; `finish` must follow, unless the task returns that all know of its end."""
        with self._lock:
            self._begun = self._task = task
            if self._signal[0] == ASLEEP:
                self._wake.release()

    def finish(self, task: Callable[[], bool]) -> BaseException | None:
        """Take a task back, or wait until it is done, whatever interrupts; what it raised."""
        with self._lock:
            begun, taken = self._begun is task, self._task is None
            self._begun = self._task = None
        if not (begun and taken):
            return None
        interrupt: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                break
            except BaseException as error:
                interrupt = error
        failure, self._error = interrupt or self._error, None
        return failure


class _Pool:
    """The idle workers of this process."""

    def __init__(self) -> None:
        self.limit = available()
        self.forget()

    def forget(self) -> None:
        """Start anew, as a forked process must: threads are not inherited."""
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._started = 0

    def take(self, count: int) -> list[_Worker]:
        """At most `count` idle workers, new ones if there may be more."""
        with self._lock:
            taken = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
            while len(taken) < count and self._started < available() - 1:
                taken.append(_Worker())
                self._started += 1
        return taken

    def give(self, workers: list[_Worker]) -> None:
        """Return them."""
        with self._lock:
            self._idle.extend(workers)


_pool = _Pool()
_OFFER = _offer_core()
_CORE = _core_finder()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def set_threads(threads: int) -> None:
    """Set how many threads one call may use; at first all cores that the process may use.

    Small calls use fewer. Results are the same bits for any number.

    Raises
    ------
    TypeError, ValueError
        If `threads` is no integer from 1 to the number of cores that this process may use.
    """
    _pool.limit = check_threads(threads)


def get_threads() -> int:
    """How many threads one call may use."""
    return _pool.limit


def check_threads(threads: int) -> int:
    """`threads` as an int, or TypeError or ValueError."""
    count = check_integer("threads", threads, least=1)
    if count > available():
        raise ValueError(
            f"threads must be at most {available()}, the cores that this process may use, "
            f"got {count}"
        )
    return count


def run_team(driver: Callable[..., Any], size: int, *args: Any) -> None:
    """Call ``driver(*args[:-1], team, args[-1])`` in each of `size` threads, or fewer, at once.

    `team` is a `fastrnn.kernels.team.Team` as an array. All but the caller are threads that were
    idle; a driver does the same with fewer. Without the JIT there is only the caller.

    Threads that rest in compiled code since a call before are called by compiled code too, once
    the caller has given up Python's lock, and nobody waits for them but there: 5 us, not 100.
    """
    workers = _pool.take(size - 1) if size > 1 and not _disabled() else []
    if not workers:
        driver(*args[:-1], _ALONE, args[-1])
        return
    size = len(workers) + 1
    barrier = np.zeros(1, np.int64)
    signals = np.array([worker.signal for worker in workers])
    cores: list[int] = []

    def task(index: int, signal: int) -> bool:
        team = np.array([index, size, barrier.ctypes.data, _OFFER, signal])
        try:
            _spread(cores)
            driver(*args[:-1], team, args[-1])
        except BaseException:  # Ctrl-C before the kernels began: nobody may wait for this thread
            barrier[0] = BROKEN
            raise
        return bool(barrier[0] == FINISHED)

    failure: BaseException | None = None
    tasks = [(w, functools.partial(task, i, w.signal)) for i, w in enumerate(workers, start=1)]
    try:
        for worker, part in tasks:
            worker.begin(part)
        task(0, signals.ctypes.data)
    except BaseException as error:
        failure = error
    if barrier[0] != FINISHED:
        barrier[0] = BROKEN
        while tasks:  # the arrays are theirs until all are done
            worker, part = tasks[-1]
            try:
                found = worker.finish(part)
                failure = failure or found
                tasks.pop()
            except BaseException as error:
                failure = error
    _pool.give(workers)
    if failure:
        raise failure


#: The integers of a `fastrnn.kernels.team.Team` of one.
_ALONE = np.array([0, 1, 0, 0, 0])


@functools.cache
def _disabled() -> bool:
    from fastrnn.kernels.jit import DISABLED

    return DISABLED
