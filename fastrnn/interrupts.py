"""Ctrl-C between the slices of long work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ctrl_c_noted() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C, and raise KeyboardInterrupt where the training calls what this yields, or after.

    Raised anywhere, it may fall into a callback of LLVM, which swallows it. Before the first slice,
    when kernels are compiled, and when it comes twice, it is raised at once nevertheless. Where the
    signal is not Python's own, or this not its thread, nothing is changed.
    """
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted = training = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        at_once, noted = noted or not training, True
        if at_once:
            raise KeyboardInterrupt

    def listen() -> None:
        nonlocal training
        training = True
        if noted:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    listen()
