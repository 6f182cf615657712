"""The one place that knows `numba.njit`: its flags, its cache and its messages."""

from __future__ import annotations

import functools
import hashlib
import sys
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
import numba.core.event
import numpy as np
from numba.core import config
from numba.core.registry import CPUDispatcher
from numba.core.sigutils import normalize_signature
from numba.core.types import unliteral

#: ``NUMBA_DISABLE_JIT=1``: the drivers run as Python on the NumPy form of the kernels.
DISABLED = bool(config.DISABLE_JIT)

#: Kernels allocate nothing, and who calls them holds the arrays: without Numba's run-time no
#: references are counted, and a call from Python takes 1.7 us less (RNN 12.8, not 14.5 us).
OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}

_PACKAGE = Path(__file__).parent.parent
#: Folders and files that every kernel is compiled from.
_SOURCES = ("simd", "kernels", "cells", "optimizers.py")


class Kernel(CPUDispatcher):
    """A compiled function that entries call; it is cached as part of them.

    Numba would compile it anew for every combination of constants that it is called with, and
    each time down to machine code with wrappers for Python. Without that, the first training step
    of a language model takes 12 to 16 s to compile, not 25.
    """

    def __init__(self, function: Callable[..., Any], *, inline: bool = False) -> None:
        options = {"nopython": True, "forceinline": inline, **OPTIONS}
        super().__init__(function, targetoptions=options)
        self._compiler._customize_flags = self._stop_at_llvm
        self._from_python: Any = None

    def __call__(self, *args: Any) -> Any:
        """Call it from Python, through an entry made for that: for tests and profiling."""
        if self._from_python is None:
            this = self
            self._from_python = numba.njit(**OPTIONS)(lambda *args: this(*args))
        return self._from_python(*args)

    @staticmethod
    def _stop_at_llvm(flags: Any) -> Any:
        flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        return flags

    def add_overload(self, result: Any) -> None:
        """Keep a compiled form for callers, known to them by its description."""
        self.overloads[tuple(result.signature.args)] = result
        self.targetctx.insert_user_function(result.fndesc, result.fndesc, [result.library])

    def get_overload(self, signature: Any) -> Any:
        """By what callers know the compiled form of a signature."""
        arguments, _ = normalize_signature(signature)
        return self.overloads[tuple(arguments)].fndesc

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """The compiled form for the types of `args`, of whatever value the constants are."""
        named = {name: unliteral(kind) for name, kind in kws.items()}
        return super().get_call_template(tuple(map(unliteral, args)), named)


def kernel(function: Callable[..., Any], *, inline: bool = False) -> Any:
    """Compile a function that entries call; `inline` makes it a part of each of its callers."""
    return function if DISABLED else Kernel(function, inline=inline)


def bind(template: Callable[..., Any], *, inline: bool = False, **names: Any) -> Any:
    """Compile a copy of `template` whose globals also hold `names`; `inline` as for `kernel`.

    Numba numbers the functions of a process in their symbols; of two cached entries from two
    processes with the same symbol, the one loaded first would serve both. The copy's qualified
    name, of which the symbol is made, therefore carries a digest of the template and of `names`.
    """
    copy, digest = _copy(template, names), hashlib.sha256()
    for part in (template, *(part for pair in sorted(names.items()) for part in pair)):
        _fingerprint(part, digest.update, set())
    copy.__qualname__ = f"{template.__qualname__}_{digest.hexdigest()[:16]}"
    return kernel(copy, inline=inline)


def entry(template: Callable[..., Any], *made_from: Any, **names: Any) -> Any:
    """Compile a copy of `template`, as `bind` does, that Python calls and the disk caches.

    Numba keys a cached function on its own file's time stamp alone and would miss an edit of what
    the function calls. The copy's qualified name, which names its cache file, therefore carries a
    digest of the sources of all kernels and of `made_from`: functions, whose bytecode and globals
    count, and values.
    """
    copy = _copy(template, names)
    digest = hashlib.sha256(_sources_digest())
    for part in made_from:
        _fingerprint(part, digest.update, set())
    copy.__qualname__ = f"{template.__qualname__}_{digest.hexdigest()[:16]}"
    _announce_compilation()
    return numba.njit(cache=True, **OPTIONS)(copy)


@functools.cache
def tile_address(dtype: np.dtype[Any]) -> int:
    """Address of the compiled tiles of one precision, 0 without the JIT.

    `fastrnn.simd.microkernel` says why kernels call them through it.
    """
    from fastrnn.simd.tile import tile_family

    return _address(tile_family, dtype)


@functools.cache
def dots_address(dtype: np.dtype[Any]) -> int:
    """Address of the compiled dot products of one precision, as `tile_address`."""
    from fastrnn.simd.dots import dots_family

    return _address(dots_family, dtype)


@functools.cache
def row_address(dtype: np.dtype[Any]) -> int:
    """Address of the compiled rows of one precision, as `tile_address`."""
    from fastrnn.simd.row import row_family

    return _address(row_family, dtype)


@functools.cache
def beside_address(dtype: np.dtype[Any]) -> int:
    """Address of the compiled rows beside which others are multiplied, as `tile_address`."""
    from fastrnn.simd.row import beside_family

    return _address(beside_family, dtype)


def _address(family: Callable[..., Any], dtype: np.dtype[Any]) -> int:
    if DISABLED:
        return 0
    compiled = entry(family)
    _FAMILIES.append(compiled)
    return int(compiled(dtype.type(0)))


#: Keeps the code at these addresses alive.
_FAMILIES: list[Any] = []


def _copy(function: Callable[..., Any], names: dict[str, Any]) -> types.FunctionType:
    assert isinstance(function, types.FunctionType)
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
    )
    functools.update_wrapper(copy, function)
    return copy


@functools.cache
def _sources_digest() -> bytes:
    """Digest of every source file that kernels are compiled from."""
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted([_PACKAGE / folder, *(_PACKAGE / folder).rglob("*.py")]):
            if not path.is_file():
                continue
            digest.update(path.relative_to(_PACKAGE).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.digest()


def _fingerprint(value: Any, update: Callable[[bytes], None], seen: set[int]) -> None:
    """Feed a digest with a function's bytecode, constants, and what they name, recursively."""
    function = getattr(value, "py_func", value)
    if isinstance(function, types.FunctionType):
        if id(function) in seen:
            return
        seen.add(id(function))
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
        for part in (function.__code__, function.__defaults__, *closure):
            _fingerprint(part, update, seen)
        for name in _names(function.__code__):
            if name in function.__globals__:
                update(name.encode())
                _fingerprint(function.__globals__[name], update, seen)
    elif isinstance(value, types.CodeType):
        update(value.co_code)
        update(repr((value.co_names, value.co_varnames)).encode())
        for constant in value.co_consts:
            _fingerprint(constant, update, seen)
    elif isinstance(value, types.ModuleType):
        update(value.__name__.encode())
    elif isinstance(value, tuple | list):
        update(str(len(value)).encode())
        for part in value:
            _fingerprint(part, update, seen)
    else:
        update(repr(value).encode())


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


class _Notice(numba.core.event.Listener):
    """Says on stderr that kernels are being compiled, once, and what it took at the end."""

    def __init__(self) -> None:
        self.said = False
        self.seconds = 0.0
        self._depth = 0
        self._since = 0.0

    def on_start(self, event: Any) -> None:
        if self._depth == 0:
            self._since = time.perf_counter()
            if not self.said and self._ours(event):
                self.said = True
                print(
                    "fastrnn: compiling kernels for this machine (once, some seconds; "
                    "they are cached)",
                    file=sys.stderr,
                    flush=True,
                )
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._since

    @staticmethod
    def _ours(event: Any) -> bool:
        dispatcher = event.data.get("dispatcher")
        module = getattr(getattr(dispatcher, "py_func", None), "__module__", "")
        return str(module).startswith("fastrnn.")


_notice = _Notice()


@functools.cache
def _announce_compilation() -> None:
    numba.core.event.register("numba:compile", _notice)


def compile_seconds() -> float:
    """Seconds that this process has spent compiling kernels, not loading them from the cache."""
    return _notice.seconds


@contextmanager
def silent() -> Iterator[None]:
    """Say nothing of compilation: the caller shows it itself."""
    said, _notice.said = _notice.said, True
    try:
        yield
    finally:
        _notice.said = said
