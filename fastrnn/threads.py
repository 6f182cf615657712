"""Teams of threads: Python threads that wait, and run compiled drivers, which release the GIL.

A call takes as many idle threads as it wants and there are; it never waits for one that serves
another call, so that calls from many threads cannot block each other. A process that was forked
starts its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from fastrnn.checks import check_integer
from fastrnn.simd.signals import BROKEN, FINISHED, IDLE


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
    """Move this worker off `cores`, those of its team, if it runs on one; add its own to them.

    Linux often wakes a thread on the core of the one that woke it and takes 40 ms to part them.
    Until then, a batch-1 GRU of 512 units took 6 ms a call, not 1.7.
    """
    if _CORE is None:
        return
    if cores and _CORE() in cores:
        allowed = os.sched_getaffinity(0)
        if free := allowed.difference(cores):
            with contextlib.suppress(OSError):  # a sandbox may refuse: then they share a core
                try:
                    os.sched_setaffinity(0, free)
                finally:
                    os.sched_setaffinity(0, allowed)
    cores.append(_CORE())


class _Part:
    """What one worker does of a call. Its fields change under the worker's lock."""

    __slots__ = ("ended", "error", "run", "taken", "waiter")

    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.taken = self.ended = False
        self.error: BaseException | None = None
        #: Set at the end, if somebody waits for it.
        self.waiter: threading.Event | None = None


class _Worker(threading.Thread):
    """A thread that runs one part after the other; a daemon, so that it keeps no process alive."""

    def __init__(self) -> None:
        super().__init__(name="fastrnn", daemon=True)
        self._lock = threading.Lock()
        self._wake = threading.Semaphore(0)
        self._part: _Part | None = None
        #: Whether it must be woken. Compiled code looks at `signal` alone, and Python never does.
        self._asleep = False
        self._signal = np.full(1, IDLE, np.int64)
        #: Its address.
        self.signal: int = self._signal.ctypes.data
        self.start()

    def run(self) -> None:
        while True:
            with self._lock:
                part, self._part = self._part, None
                self._asleep = part is None
                if part is not None:
                    part.taken = True
            if part is None:
                self._wake.acquire()
                continue
            try:
                part.run()
            except BaseException as error:
                part.error = error
            with self._lock:
                part.ended = True
                if part.waiter:
                    part.waiter.set()
            del part

    def begin(self, part: _Part) -> None:
        """Run a part."""
        with self._lock:
            self._part = part
            if self._asleep:
                self._wake.release()

    def finish(self, part: _Part) -> BaseException | None:
        """Take a part back, or wait until it has ended, whatever interrupts; what it raised."""
        with self._lock:
            if self._part is part:
                self._part = None
            if not part.taken or part.ended:
                return part.error
            part.waiter = threading.Event()
        interrupt: BaseException | None = None
        while not part.ended:
            try:
                part.waiter.wait()
            except BaseException as error:
                interrupt = error
        return interrupt or part.error


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
            with contextlib.suppress(RuntimeError):  # the system has no more threads
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


def run_team(driver: Callable[..., Any], size: int, plan: Any, args: tuple[Any, ...]) -> None:
    """Call ``driver(*args, team, plan)`` in each of `size` threads, or fewer, at once.

    Their queue has room for twice as many bands as `size`.

    `team` is a `fastrnn.kernels.team.Team` as an array. All but the caller are threads that were
    idle; a driver does the same with fewer. Without the JIT there is only the caller.

    Threads that rest in compiled code since a call before are called by compiled code too, once
    the caller has given up Python's lock, and the end of all is met there as well: 5 us, not 100.
    While they rest they hold the arrays of that call.
    """
    workers = _pool.take(size - 1) if size > 1 and not _disabled() else []
    if not workers:
        driver(*args, _ALONE, plan)
        return
    try:
        _run_together(driver, workers, 2 * size, plan, args)
    finally:
        _pool.give(workers)


def _run_together(
    driver: Callable[..., Any], workers: list[_Worker], bands: int, plan: Any, args: tuple[Any, ...]
) -> None:
    size = len(workers) + 1
    # The barrier, the addresses of the others' signals, the queue; `run` holds them in their rest.
    words = np.array([0, *(worker.signal for worker in workers), *[0] * bands], np.int64)
    barrier, address = words[:1], words.ctypes.data
    queue = address + size * words.itemsize
    cores = [] if _CORE is None else [_CORE()]

    def run(index: int, signal: int) -> None:
        try:
            team = np.array([index, size, address, _OFFER, signal, queue], np.int64)
            if index:
                _spread(cores)
            driver(*args, team, plan)
        except BaseException:  # Ctrl-C before the kernels began: nobody may wait for this thread
            if barrier[0] != FINISHED:
                barrier[0] = BROKEN
            raise

    failure: BaseException | None = None
    parts = [
        (worker, _Part(functools.partial(run, index, worker.signal)))
        for index, worker in enumerate(workers, start=1)
    ]
    try:
        for worker, part in parts:
            worker.begin(part)
        run(0, address + words.itemsize)
    except BaseException as error:
        failure = error
    if barrier[0] != FINISHED:
        barrier[0] = BROKEN
        while parts:  # the arrays are theirs until all have ended
            worker, part = parts[-1]
            try:
                found = worker.finish(part)
                failure = failure or found
                parts.pop()
            except BaseException as error:
                failure = error
    if failure:
        raise failure


#: The integers of a `fastrnn.kernels.team.Team` of one.
_ALONE = np.array([0, 1, 0, 0, 0, 0], np.int64)


@functools.cache
def _disabled() -> bool:
    from fastrnn.kernels.jit import DISABLED

    return DISABLED
