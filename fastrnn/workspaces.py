"""Memory that calls borrow: what one call used is warm for the next one."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from fastrnn.plan import ALIGNMENT, LayerPlan
from fastrnn.simd.signals import SEALED

#: Arrays that a pool keeps for later calls, and how much larger than needed one may be.
FREE_MAX = 16
WASTE_MAX = 4

#: Arrays that a pool of gradients keeps: a training loop holds one while it makes the next.
GRADIENTS_MAX = 2

#: The seal of a call that finds its weights packed, as their version tells.
TRUSTED = np.array([SEALED], np.int64)


def aligned_empty(elements: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A new array that begins on a cache line."""
    raw = np.empty(elements * dtype.itemsize + ALIGNMENT, np.uint8)
    # 0.7 us less than ``raw.ctypes.data``.
    address = ctypes.addressof(ctypes.c_char.from_buffer(raw))  # type: ignore[arg-type]
    return np.ndarray((elements,), dtype, raw, -address % ALIGNMENT)


class ArrayPool:
    """Arrays that calls borrow: of each thread that is inside a call at one time its own.

    At most so many, 1 or more, stay for later ones.
    """

    def __init__(self, most: int = FREE_MAX) -> None:
        self._most = most
        self._free: list[np.ndarray[Any, Any]] = []

    def borrow(self) -> Borrowed:
        """Arrays for one call, which gives them back or is a ``with`` statement."""
        return Borrowed(self._free, self._most)

    def lend(self, elements: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """A flat array to give away: its memory comes back when nobody holds what is made of it."""
        borrowed = self.borrow()
        return np.asarray(_Lent(borrowed.empty(elements, dtype), borrowed))

    def __reduce__(self) -> Any:
        return ArrayPool, (self._most,)


class _Lent:
    """What NumPy holds on to for an array of borrowed memory, and for all views of it."""

    def __init__(self, array: np.ndarray[Any, Any], borrowed: Borrowed) -> None:
        self.__array_interface__ = array.__array_interface__
        self._borrowed = borrowed


class Borrowed:
    """Arrays of one call: their memory is the next one's, which need not ask the system for it.

    They are given back when this is gone, if not before: a tape holds it with them.
    """

    def __init__(self, free: list[np.ndarray[Any, Any]], most: int = FREE_MAX) -> None:
        self._free, self._most = free, most
        self._lent: list[np.ndarray[Any, Any]] = []

    def empty(self, elements: int, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """A flat array, until `give_back`."""
        size = elements * dtype.itemsize
        raw = self._fitting(size)
        if raw is None:
            raw = aligned_empty(size, np.dtype(np.uint8))
        self._lent.append(raw)
        return raw[:size].view(dtype)

    def _fitting(self, size: int) -> np.ndarray[Any, Any] | None:
        """A free array of at least so many bytes, and of not so many that most would lie idle."""
        for _ in range(len(self._free)):
            try:
                raw = self._free.pop()
            except IndexError:  # another thread has taken it
                break
            if size <= raw.size <= WASTE_MAX * max(size, ALIGNMENT):
                return raw
            self._free.insert(0, raw)
        return None

    def __del__(self) -> None:
        self.give_back()

    def __reduce__(self) -> Any:
        return Borrowed, ([], self._most)  # A copy has arrays of its own.

    def __enter__(self) -> Borrowed:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Return all arrays, the first one last: a next call asks in the same order."""
        while self._lent:  # One by one: an interrupt must not return any twice.
            self._free.append(self._lent.pop())
        del self._free[: -self._most]


class Workspace:
    """Memory of one call, and what it still holds of the call before."""

    __slots__ = ("numbers", "plan", "seal", "version")

    plan: LayerPlan

    def __init__(self, plan: LayerPlan, dtype: np.dtype[Any]) -> None:
        self.numbers = aligned_empty(plan.work, dtype)
        self._begin(plan)

    def prepare(self, plan: LayerPlan) -> None:
        """Get ready for another plan; packed weights stay if it has them in the same places."""
        is_larger = plan.work > self.numbers.size
        if is_larger:
            self.numbers = aligned_empty(plan.work, self.numbers.dtype)
        if is_larger or plan.packing != self.plan.packing:
            self._begin(plan)
        self.plan = plan

    def _begin(self, plan: LayerPlan) -> None:
        self.plan = plan
        #: As `fastrnn.kernels.seal` has it; empty if packed weights are not kept.
        self.seal = np.zeros((1 + plan.threads) * plan.kept, np.int64)
        #: `fastrnn.params.Parameters.version` of the packed weights; 0 if it is not known.
        self.version = 0


class WorkspacePool:
    """Workspaces that calls borrow: one for each thread that is inside a call at one time.

    Where packed weights are kept, each layer and direction has its own, for as long as the pool
    lives.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[Workspace]] = {}
        self.arrays, self.gradients = ArrayPool(), ArrayPool(GRADIENTS_MAX)

    def take(self, plan: LayerPlan, dtype: np.dtype[Any], user: int) -> Workspace:
        """A workspace; give it back after use.

        `user` numbers those whose weights differ; where none are kept, all share one.
        """
        try:
            work = self._free[user if plan.kept else -1].pop()
        except (KeyError, IndexError):
            return Workspace(plan, dtype)
        if work.plan is not plan:
            work.prepare(plan)
        return work

    def give(self, work: Workspace, user: int) -> None:
        """Return a workspace, after a call that did not fail."""
        self._free.setdefault(user if work.plan.kept else -1, []).append(work)

    def __reduce__(self) -> Any:
        return WorkspacePool, ()
