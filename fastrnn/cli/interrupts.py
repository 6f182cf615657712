"""Ctrl-C in a training: heard between slices, and never lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def heard_between_slices() -> Iterator[Callable[[], None]]:
    """Note Ctrl-C, and raise KeyboardInterrupt where the training calls what this yields.

    Raised anywhere, it may fall between the steps that the kernels have done and the count of
    them; or into a callback of LLVM, which swallows it. Before the first slice, when kernels are
    compiled, and when it comes twice, it is raised at once nevertheless.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted, training = False, False

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

    before = signal.signal(signal.SIGINT, note)
    try:
        yield listen
    finally:
        signal.signal(signal.SIGINT, before)
