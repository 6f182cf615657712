"""The machine that the kernels run on: what it is, what it reaches, and its kernel cache."""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastrnn
from fastrnn.cli.screen import Screen

#: What the kernels can gain from.
FEATURES = ("sse4.2", "avx2", "fma", "avx512f", "neon", "sve")

#: Steps of k of the measured product: its panel of 2 vectors a step fills 128 KB, which the tile
#: reads faster than it needs them.
STEPS = 2048


def cpu_model() -> str:
    """The maker's name of the CPU, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def used_features() -> list[str]:
    """Those of `FEATURES` that the kernels are compiled for."""
    from fastrnn.simd import cpu

    return [name for name in FEATURES if name in cpu.features()]


def one_line() -> str:
    """CPU, its features, and its cores."""
    return f"{cpu_model()} ({', '.join(used_features())}), {cores()} cores"


def versions() -> dict[str, str]:
    """Of Python and of what fastrnn runs on."""
    found = {"fastrnn": fastrnn.__version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "llvmlite", "safetensors"):
        found[name] = importlib.metadata.version(name)
    return found


def peak_gflops(dtype: str) -> float | None:
    """10^9 sums and products a second of one core, by a tile of 6 x 2 vectors; None without JIT.

    A quarter of the product is timed too and taken off, and with it the call from Python (1 us).
    """
    from fastrnn.kernels.jit import tile_address
    from fastrnn.simd.cpu import lanes

    address = tile_address(np.dtype(dtype))
    if not address:
        return None
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    tile = ctypes.CFUNCTYPE(
        None, pointer, size, pointer, size, pointer, size, size, pointer, size, size, size
    )(address)
    rows, vectors = 6, 2
    width = vectors * lanes(dtype)
    c, a = np.zeros((rows, width), dtype), np.full(STEPS, 0.5, dtype)
    panel = np.full((STEPS, width), 0.5, dtype)

    def seconds(k: int, calls: int = 200) -> float:
        of_panel = panel.ctypes.data
        operands = (c.ctypes.data, width, a.ctypes.data, 0, of_panel, k, 0, of_panel, 0)
        start = time.perf_counter()
        for _ in range(calls):
            tile(*operands, rows, vectors)
        return (time.perf_counter() - start) / calls

    # Others use the machine too: the best of many short runs met them least.
    short, long = (min(seconds(k) for _ in range(60)) for k in (STEPS // 4, STEPS))
    return 2 * rows * width * (STEPS - STEPS // 4) / (long - short) / 1e9


def cache() -> dict[str, Any]:
    """Where Numba keeps the compiled kernels of this package, and how much is there."""
    from fastrnn.cells import RNN_TANH
    from fastrnn.kernels import jit
    from fastrnn.kernels.bound import drivers

    if jit.DISABLED:
        return {"folder": None, "chosen_by": "NUMBA_DISABLE_JIT", "files": 0, "bytes": 0}
    folder = Path(drivers(RNN_TANH).forward.stats.cache_path)
    chosen = "the user's cache, since the package's folder cannot be written"
    if os.environ.get("NUMBA_CACHE_DIR"):
        chosen = "NUMBA_CACHE_DIR"
    elif folder.name == "__pycache__":
        chosen = "default: beside the sources"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    sizes = [path.stat().st_size for path in folder.glob("*.nb[ic]")]
    return {
        "folder": str(folder),
        "chosen_by": chosen,
        "writable": os.access(existing, os.W_OK),
        "files": len(sizes),
        "bytes": sum(sizes),
    }


def threads() -> dict[str, Any]:
    """What the kernels use, and what the pools beside them are set to."""
    return {
        "kernels": 1,
        "cores": cores(),
        "NUMBA_NUM_THREADS": os.environ.get("NUMBA_NUM_THREADS"),
        "threading_layer": os.environ.get("NUMBA_THREADING_LAYER", "default"),
        "blas": _blas_pools(),
    }


def _blas_pools() -> list[str] | None:
    """BLAS libraries that are loaded and their threads; None without threadpoolctl."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return None
    pools = importlib.import_module("threadpoolctl").threadpool_info()
    return [
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
        for pool in pools
        if pool["user_api"] == "blas"
    ]


def show_info(screen: Screen) -> None:
    """``fastrnn info``."""
    from fastrnn.kernels import jit
    from fastrnn.simd import cpu

    with screen.busy("measuring"), jit.silent():
        measured = {
            "float32_gflops": peak_gflops("float32"),
            "float64_gflops": peak_gflops("float64"),
        }
    report: dict[str, Any] = {
        "versions": versions(),
        "cpu": {
            "model": cpu_model(),
            "llvm": cpu.name(),
            "features": used_features(),
            "vector_bytes": cpu.VECTOR_BYTES,
        },
        "threads": threads(),
        "cache": cache(),
        "one_core": measured,
    }
    pools = report["threads"]["blas"]
    kept = report["cache"]
    screen.heading("Versions")
    screen.facts(list(report["versions"].items()))
    screen.heading("CPU")
    screen.facts(
        [
            ("model", f"{cpu_model()}, {cpu.name()} to LLVM"),
            ("features", ", ".join(used_features()) or "none of " + ", ".join(FEATURES)),
            ("vectors", f"{cpu.VECTOR_BYTES} bytes: {cpu.lanes('float32')} float32"),
            ("float32", _rate(measured["float32_gflops"])),
            ("float64", _rate(measured["float64_gflops"])),
        ]
    )
    screen.heading("Threads")
    screen.facts(
        [
            ("kernels", "one thread, without the GIL"),
            ("cores", f"{cores()} for this process"),
            ("numba", _numba_threads(report["threads"])),
            ("BLAS", "install threadpoolctl to see" if pools is None else "; ".join(pools)),
        ]
    )
    screen.heading("Kernel cache")
    writable = "" if kept.get("writable", True) else ", NOT WRITABLE"
    screen.facts(
        [
            ("folder", f"{kept['folder']}{writable}"),
            ("chosen by", kept["chosen_by"]),
            ("holds", f"{kept['files']} files, {kept['bytes'] / 1e6:.1f} MB"),
        ]
    )
    screen.result(report)


def _rate(value: float | None) -> str:
    if value is None:
        return "not measured: the JIT is off"
    return f"{value:.0f} GF/s, the kernels' 6 x 2 tile on one core"


def _numba_threads(found: dict[str, Any]) -> str:
    number = found["NUMBA_NUM_THREADS"] or "all cores"
    return f"{number}, threading layer {found['threading_layer']}; no kernel uses them yet"


def kernels_to_warm(
    dtypes: Sequence[str], nonlinearities: Sequence[str], optimizers: Sequence[str]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Name and first call of all kernels that a user of these needs."""
    for dtype in dtypes:
        for nonlinearity in nonlinearities:
            yield f"RNN {nonlinearity} {dtype}", _layer_calls(dtype, nonlinearity)
            for optimizer in optimizers:
                name = f"LanguageModel {nonlinearity} {dtype} {optimizer}"
                yield name, _model_calls(dtype, nonlinearity, optimizer)


def _layer_calls(dtype: str, nonlinearity: str) -> Callable[[], object]:
    from fastrnn.kernels import jit
    from fastrnn.simd import cpu

    def call() -> None:
        layer = fastrnn.RNN(3, 4, nonlinearity=nonlinearity, dtype=dtype, seed=0)
        x = np.zeros((2, 1, 3), dtype)
        layer(x)
        output, _, tape = layer.forward(x)
        layer.backward(tape, np.ones_like(output))
        if cpu.BESIDE:
            jit.beside_address(np.dtype(dtype))

    return call


def _model_calls(dtype: str, nonlinearity: str, optimizer: str) -> Callable[[], object]:
    def call() -> None:
        model = fastrnn.LanguageModel(4, nonlinearity=nonlinearity, dtype=dtype, seed=0)
        text = "warm " * 10
        model.fit(text, steps=1, sequence_length=4, batch_size=2, optimizer=optimizer)
        model.loss(text)
        model.sample(1, seed=0)

    return call


def warm_up(
    screen: Screen, dtypes: Sequence[str], nonlinearities: Sequence[str], optimizers: Sequence[str]
) -> None:
    """``fastrnn warmup``."""
    from fastrnn.kernels import jit

    report: dict[str, Any] = {"kernels": [], "cache": None}
    begin = time.perf_counter()
    for name, call in kernels_to_warm(dtypes, nonlinearities, optimizers):
        compiled, start = jit.compile_seconds(), time.perf_counter()
        with screen.busy(f"{name} ..."), jit.silent():
            call()
        seconds, compiled = time.perf_counter() - start, jit.compile_seconds() - compiled
        entry = {"name": name, "seconds": seconds, "compile_seconds": compiled}
        report["kernels"].append(entry)
        found = f"compiled in {compiled:.1f} s" if compiled else "from the cache"
        screen.say(f"{name}: {found}, ready after {seconds:.1f} s")
    report["cache"] = cache()
    report["seconds"] = time.perf_counter() - begin
    kept = report["cache"]
    screen.say(
        f"ready in {report['seconds']:.1f} s; {kept['files']} files, "
        f"{kept['bytes'] / 1e6:.1f} MB in {kept['folder']}"
    )
    screen.result(report)
