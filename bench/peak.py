"""What one core can do: multiply-adds a second, and bytes read a second from each cache.

    python bench/peak.py

Multiply-adds: a loop of 12 independent chains of ``llvm.fma`` that never touch memory. Loads: a
loop that reads an array in order again and again, 8 vectors a turn, and keeps their exclusive or.
Both in vectors of 32 bytes and, where the CPU has AVX-512, of 64; the faster counts, in the best
of several runs. They are LLVM IR compiled here for this CPU, apart from numba and from fastrnn, so
that what is judged does not measure its own limit.
"""

from __future__ import annotations

import ctypes
import functools
import json
import time
from typing import Any

import llvmlite.binding as llvm
import numpy as np

CHAINS = 12
STREAMS = 8
#: Bytes read to measure each level; powers of two.
LEVELS = {"L1": 1 << 14, "L2": 1 << 18, "L3": 1 << 22, "memory": 1 << 27}

_LOOP = """
define void @run(ptr %out, ptr %a, i64 %turns, i64 %mask) #0 {{
entry:
  {start}
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {phis}
  {body}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %turns
  br i1 %more, label %loop, label %end
end:
  {stores}
  ret void
}}
{declare}
attributes #0 = {{ "prefer-vector-width"="512" "min-legal-vector-width"="512" }}
"""


def _fma_ir(element: str, lanes: int) -> str:
    kind = f"<{lanes} x {element}>"
    name = f"@llvm.fma.v{lanes}f{32 if element == 'float' else 64}"
    align = f"align {4 if element == 'float' else 8}"
    each = range(CHAINS)
    lines = {
        "start": [f"%x = load {kind}, ptr %a, {align}"]
        + [
            line
            for c in each
            for line in (
                f"%p{c} = getelementptr {element}, ptr %a, i64 {c}",
                f"%b{c} = load {kind}, ptr %p{c}, {align}",
            )
        ],
        "phis": [f"%s{c} = phi {kind} [ %b{c}, %entry ], [ %t{c}, %loop ]" for c in each],
        "body": [f"%t{c} = call {kind} {name}({kind} %s{c}, {kind} %x, {kind} %x)" for c in each],
        "stores": _stores(kind, CHAINS, align),
        "declare": [f"declare {kind} {name}({kind}, {kind}, {kind})"],
    }
    return _LOOP.format(**{key: "\n  ".join(value) for key, value in lines.items()})


def _load_ir(lanes: int) -> str:
    kind = f"<{lanes} x i32>"
    each = range(STREAMS)
    body = [f"%far = mul i64 %i, {lanes * STREAMS}", "%at = and i64 %far, %mask"]
    for s in each:
        body += [
            f"%o{s} = add i64 %at, {s * lanes}",
            f"%q{s} = getelementptr i32, ptr %a, i64 %o{s}",
            f"%v{s} = load {kind}, ptr %q{s}, align 64",
            f"%t{s} = xor {kind} %s{s}, %v{s}",
        ]
    lines = {
        "start": [],
        "phis": [f"%s{s} = phi {kind} [ zeroinitializer, %entry ], [ %t{s}, %loop ]" for s in each],
        "body": body,
        "stores": _stores(kind, STREAMS, "align 4"),
        "declare": [],
    }
    return _LOOP.format(**{key: "\n  ".join(value) for key, value in lines.items()})


def _stores(kind: str, count: int, align: str) -> list[str]:
    lines = []
    for i in range(count):
        lines.append(f"%r{i} = getelementptr {kind}, ptr %out, i64 {i}")
        lines.append(f"store {kind} %t{i}, ptr %r{i}, {align}")
    return lines


class _Kernel:
    """Compiled IR, and the engine that owns its memory."""

    def __init__(self, text: str) -> None:
        module = llvm.parse_assembly(text)
        module.verify()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
        )
        self._engine = llvm.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        kind = ctypes.CFUNCTYPE(
            None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
        )
        self._run = kind(self._engine.get_function_address("run"))
        self._out = np.empty(4096, np.uint8)

    def turns_per_second(self, array: Any, mask: int, seconds: float, best_of: int = 9) -> float:
        """The best of several runs that take about `seconds` together."""

        def run(turns: int) -> float:
            start = time.perf_counter()
            self._run(self._out.ctypes.data, array.ctypes.data, turns, mask)
            return time.perf_counter() - start

        turns = 1000
        while run(turns) < seconds / best_of / 4:
            turns *= 2
        return max(turns * 4 / run(turns * 4) for _ in range(best_of))


@functools.cache
def _start_llvm() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _vector_bytes() -> tuple[int, ...]:
    return (32, 64) if llvm.get_host_cpu_features().get("avx512f") else (32,)


def fma_gflops(dtype: str = "float32", seconds: float = 0.2) -> float:
    """Peak of one core in 10^9 sums and products a second."""
    _start_llvm()
    size = np.dtype(dtype).itemsize
    numbers = np.full(256, 0.5, dtype)
    return max(
        2 * CHAINS * lanes * kernel.turns_per_second(numbers, 0, seconds) / 1e9
        for lanes in (width // size for width in _vector_bytes())
        for kernel in [_Kernel(_fma_ir("float" if size == 4 else "double", lanes))]
    )


def load_gbytes(level: str, seconds: float = 0.2) -> float:
    """10^9 bytes read a second by one core from "L1", "L2", "L3" or "memory"."""
    _start_llvm()
    count = LEVELS[level] // 4
    raw = np.ones(count + 16, np.int32)
    numbers = raw[-raw.ctypes.data % 64 // 4 :][:count]
    return max(
        STREAMS * width * kernel.turns_per_second(numbers, count - 1, seconds) / 1e9
        for width in _vector_bytes()
        for kernel in [_Kernel(_load_ir(width // 4))]
    )


def measure(dtype: str = "float32", levels: tuple[str, ...] = ("L1", "L2", "L3")) -> dict[str, Any]:
    """The peaks of one core, for the JSON of a comparison."""
    return {
        "method": "LLVM IR: 12 chains of fma; loads of 8 vectors a turn; best of 9",
        "fma_gflops": round(fma_gflops(dtype), 1),
        "load_gbytes": {level: round(load_gbytes(level), 1) for level in levels},
    }


def best(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The larger figures of two results of `measure`."""
    loads = {k: max(v, other["load_gbytes"][k]) for k, v in one["load_gbytes"].items()}
    fma = max(one["fma_gflops"], other["fma_gflops"])
    return {**one, "fma_gflops": fma, "load_gbytes": loads}


if __name__ == "__main__":
    for kind in ("float32", "float64"):
        print(json.dumps({kind: measure(kind, tuple(LEVELS) if kind == "float32" else ())}))
