"""What the CPU that Numba compiles for can do."""

from __future__ import annotations

import functools
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
from numba.core import config


@functools.cache
def features() -> frozenset[str]:
    """Names of the CPU features that LLVM may use, as Numba chooses them.

    ``NUMBA_CPU_NAME`` and ``NUMBA_CPU_FEATURES`` are honoured, so that an AVX-512 machine can
    compile and test the AVX2 kernels.
    """
    if config.CPU_FEATURES is not None:
        chosen = config.CPU_FEATURES.split(",")
    elif config.CPU_NAME not in (None, "host"):
        return frozenset()
    else:
        chosen = llvm.get_host_cpu_features().flatten().split(",")
    return frozenset(name[1:] for name in chosen if name.startswith("+"))


def name() -> str:
    """LLVM's name of the CPU that the kernels are compiled for."""
    chosen = config.CPU_NAME
    return llvm.get_host_cpu_name() if chosen in (None, "host") else str(chosen)


_AVX512 = "avx512f" in features()

#: Bytes of one logical vector. LLVM splits it where registers are narrower (NEON).
VECTOR_BYTES = 64 if _AVX512 else 32

#: Whether one store writes a whole cache line, which may then go past the caches.
STORES_LINES = _AVX512

#: Accumulators of the largest register tile: 12 and 2 + 1 operands fill AVX2's 16 registers.
#: AVX-512 has 32: batch 64, H = 1024 runs at 110 GF/s of 117, with AVX2's tile at 100 (Zen 4).
ACCUMULATORS = 24 if _AVX512 else 12

#: Whether rows of another product are multiplied beside one row: `fastrnn.simd.row`. With AVX-512
#: registers are left for them. On a Zen 4 it gains (`fastrnn.plan`), on the Intel core that was
#: measured it loses: LSTMs and GRUs of 100 to 512 units then take 1.00 to 1.40 of the time at batch
#: 1 (``bench/limits.py beside``; Emerald Rapids).
BESIDE = _AVX512 and name().startswith("znver")


def lanes(dtype: np.typing.DTypeLike) -> int:
    """Numbers of `dtype` in one vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


@functools.cache
def second_cache() -> int:
    """Bytes of the second-level cache of one core; those of the smallest where nothing tells."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            level, size = (Path(folder, name).read_text().strip() for name in ("level", "size"))
            if level == "2" and size.endswith("K"):
                return int(size[:-1]) << 10
        except (OSError, ValueError):
            continue
    return 1 << 19
