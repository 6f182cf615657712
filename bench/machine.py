"""The machine of a benchmark: pinned before it is used, and described beside the figures."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

PACKAGES = ("numpy", "numba", "llvmlite", "torch", "onnxruntime", "jax", "jaxlib")


def pin(threads: int) -> None:
    """Let this process use so many threads, and as many cores.

    Call it before NumPy and the peers are imported: OpenBLAS, OpenMP and XLA read these settings
    once. What is imported already is limited where it can be, by `limit_blas`.
    """
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ["NPROC"] = str(threads)  # the size of XLA's own pool
    if threads == 1:
        os.environ["XLA_FLAGS"] = (
            "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores()[-threads:])


def cores() -> list[int]:
    """Those that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def busy_seconds() -> float | None:
    """How long these cores have been busy, with whatever, since they started; None if unknown."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    names = {f"cpu{core}" for core in cores()}
    # user, nice, system, idle, iowait, irq, softirq, steal
    busy = [line.split()[1:9] for line in lines if line.partition(" ")[0] in names]
    ticks = sum(int(fields[i]) for fields in busy for i in (0, 1, 2, 5, 6, 7))
    return ticks / os.sysconf("SC_CLK_TCK")


def limit_blas(threads: int) -> Any:
    """Limit the BLAS and OpenMP libraries loaded so far; the returned object can undo it."""
    import threadpoolctl

    return threadpoolctl.threadpool_limits(threads)


def come_to_rest(threads: int, most: float = 0.3) -> None:
    """Where there are several threads, sleep until those that spin for more work have given up.

    ONNX Runtime's do so for 45 ms, OpenMP's for 8.
    """
    end = time.perf_counter() + most
    while threads > 1 and time.perf_counter() < end:
        cpu = time.process_time()
        time.sleep(0.01)
        if time.process_time() - cpu < 0.001:
            break


def describe() -> dict[str, Any]:
    """CPU, caches, cores and load."""
    from fastrnn.simd import cpu

    wanted = {"sse4.2", "avx", "avx2", "fma", "avx512f", "neon", "sve"}
    return {
        "cpu": _cpu_model(),
        "llvm_cpu": cpu.name(),
        "features": sorted(wanted & cpu.features()),
        "vector_bytes": cpu.VECTOR_BYTES,
        "caches": _caches(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else [],
    }


def versions() -> dict[str, str]:
    """Of Python, fastrnn, and every package of the comparison that is installed."""
    import fastrnn

    found = {"python": sys.version.split()[0], "fastrnn": fastrnn.__version__}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def threads(wanted: int) -> dict[str, Any]:
    """The threads that were asked for, their cores, and the pools that the process has loaded."""
    import threadpoolctl

    keys = ("user_api", "internal_api", "version", "num_threads", "architecture", "prefix")
    pools = [{k: pool.get(k) for k in keys} for pool in threadpoolctl.threadpool_info()]
    names = ("XLA_FLAGS", "NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {name: os.environ.get(name) for name in names}
    return {"wanted": wanted, "cores": cores(), "pools": pools, "environment": environment}


def kernel_cache() -> dict[str, Any]:
    """Whether this process found its kernels in the cache.

    Returns
    -------
    dict
        ``state`` is "warm" if nothing had to be compiled, ``compile_seconds`` what was spent on
        compiling.
    """

    import fastrnn.kernels.jit

    seconds = fastrnn.kernels.jit.compile_seconds()
    return {
        "state": "disabled" if fastrnn.kernels.jit.DISABLED else "cold" if seconds else "warm",
        "compile_seconds": seconds,
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Sizes of the data caches of one core, as Linux names them."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text().strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found
