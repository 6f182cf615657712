"""The lists of ints in a numpy file of dtype object, read as data: nothing is called or made.

Such a file holds a program for a small machine with a stack, which would make the array and could
make anything else (the reference is CPython's ``pickletools``). Of its instructions only those are
known here that an array of lists of ints is written with, in the protocols 2 to 5 that numpy has
used; what the program would call is noted as a name.
"""

from __future__ import annotations

import re
from typing import Any

#: The functions that numpy's arrays name.
NAMES = frozenset(
    {"numpy ndarray", "numpy dtype", "numpy.core.multiarray _reconstruct"}
    | {"numpy._core.multiarray _reconstruct", "_codecs encode"}
)

#: Ints of one, two and four bytes: all but a few thousand instructions of millions.
_INT = re.compile(rb"K.|M..|J.{4}", re.DOTALL)
_INTS = re.compile(rb"(?:K.|M..|J.{4})+", re.DOTALL)

#: Instructions that push what they are, or numbers and texts whose length in bytes follows in so
#: many bytes.
_CONSTANTS = {b"N": None, b"\x88": True, b"\x89": False, b")": ()}
_TEXTS = {b"U": 1, b"C": 1, b"\x8c": 1, b"T": 4, b"B": 4, b"X": 4, b"\x8a": 1}
#: Tuples of so many of the last values.
_TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
#: Values kept and pushed again, by a number of so many bytes.
_KEPT, _PUSHED = {b"q": 1, b"r": 4}, {b"h": 1, b"j": 4}
#: Of the protocol and of the length of what follows: no use here.
_SKIPPED = {b"\x80": 1, b"\x95": 8}


class NotListsError(ValueError):
    """What is no array of lists of ints; the message says why."""


class _Name(str):
    """A function that the program names."""

    __slots__ = ()


class Made:
    """What a function would have made, and the state that it would have been given."""

    state: Any = None


class _Decoded(dict[bytes, int]):
    """Ints by their instructions, so that equal ones are one object."""

    def __missing__(self, instruction: bytes) -> int:
        signed = instruction.startswith(b"J")
        value = self[instruction] = int.from_bytes(instruction[1:], "little", signed=signed)
        return value


def read_lists(content: bytes) -> list[Any]:
    """The entries of an array of dtype object: lists of ints, if that is what it has.

    Parameters
    ----------
    content : bytes
        What follows the header of the file.

    Returns
    -------
    list
        What is not a list, or not an int in one, stands there as what it is, but for objects:
        these are values without a meaning.

    Raises
    ------
    NotListsError
        If it is damaged, or anything else than an array of simple values.
    """
    machine = _Machine(content)
    try:
        while machine.step():
            pass
        found = machine.stack.pop()
    except NotListsError:
        raise
    except (IndexError, KeyError, ValueError):
        raise NotListsError(f"it is damaged before byte {machine.place}") from None
    state = found.state if isinstance(found, Made) else None
    # (version, shape, dtype, whether in Fortran's order, entries), of numpy's ndarray.__reduce__
    if type(state) is not tuple or len(state) != 5 or type(state[4]) is not list:
        raise NotListsError("it is no array of lists")
    entries: list[Any] = state[4]
    # One list may stand in many places: a small file must not become a large one.
    if sum(len(entry) for entry in entries if type(entry) is list) > len(content):
        raise NotListsError("it has more ints than bytes")
    return entries


class _Machine:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.ints = _Decoded()

    def step(self) -> bool:
        """One instruction, or many ints; whether there are more."""
        run = _INTS.match(self.content, self.place)
        if run:
            self.place = run.end()
            self.stack.extend(map(self.ints.__getitem__, _INT.findall(run.group())))
        code = self.take(1)
        stack = self.stack
        if code == b".":
            return False
        if code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _TEXTS:
            self.push_text(code)
        elif code in _SKIPPED:
            self.take(_SKIPPED[code])
        elif code == b"\x94":
            self.memo[len(self.memo)] = stack[-1]
        elif code in _KEPT:
            self.memo[self.number(_KEPT[code])] = stack[-1]
        elif code in _PUSHED:
            stack.append(self.memo[self.number(_PUSHED[code])])
        elif code == b"(":
            self.marks.append(len(stack))
        elif code == b"]":
            stack.append([])
        elif code in (b"a", b"e"):
            values = self.popped(len(stack) - 1 if code == b"a" else self.marks.pop())
            self.last(list).extend(values)
        elif code == b"t":
            stack.append(tuple(self.popped(self.marks.pop())))
        elif code in _TUPLES:
            stack.append(tuple(self.popped(len(stack) - _TUPLES[code])))
        elif code in (b"c", b"\x93"):
            self.push_name(code)
        elif code == b"R":
            self.popped(len(stack) - 1)
            self.last(_Name)
            stack[-1] = Made()
        elif code == b"b":
            (state,) = self.popped(len(stack) - 1)
            self.last(Made).state = state
        else:
            raise NotListsError(f"it has the instruction {code!r} at byte {self.place - 1}")
        return True

    def take(self, count: int) -> bytes:
        """The next bytes; IndexError if there are not so many."""
        taken = self.content[self.place : self.place + count]
        if len(taken) < count:
            raise IndexError
        self.place += count
        return taken

    def number(self, size: int) -> int:
        """The next bytes as a number."""
        return int.from_bytes(self.take(size), "little")

    def popped(self, start: int) -> list[Any]:
        """The values of the stack from `start` on, which leave it; IndexError if there are none."""
        if not 0 <= start <= len(self.stack):
            raise IndexError
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def last(self, kind: type[Any]) -> Any:
        """The last value of the stack, of this kind; IndexError if it is none."""
        if not isinstance(self.stack[-1], kind):
            raise IndexError
        return self.stack[-1]

    def push_text(self, code: bytes) -> None:
        """Push a text, or a number that is as long as a text."""
        text = self.take(self.number(_TEXTS[code]))
        if code == b"\x8a":
            self.stack.append(int.from_bytes(text, "little", signed=True))
        else:
            self.stack.append(text.decode("utf-8" if code in (b"\x8c", b"X") else "latin-1"))

    def push_name(self, code: bytes) -> None:
        """Push the name of a function, if it is one that numpy's arrays have."""
        if code == b"c":
            end = self.content.index(b"\n", self.content.index(b"\n", self.place) + 1) + 1
            module, name = self.take(end - self.place).decode("utf-8").splitlines()
        else:
            module, name = self.popped(len(self.stack) - 2)
        if not isinstance(module, str) or not isinstance(name, str):
            raise IndexError
        if f"{module} {name}" not in NAMES:
            raise NotListsError(f"it asks for {module} {name}")
        self.stack.append(_Name(f"{module} {name}"))
