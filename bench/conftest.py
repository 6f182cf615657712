"""One thread on one core for every benchmark, and the machine in the JSON.

A benchmark that `table.py` shall show sets ``benchmark.group`` to its row and
``benchmark.extra_info["contender"]`` to its column; one contender is "naive", one "fastrnn".
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import machine
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--peers``."""
    parser.addoption("--peers", default="", help="also time these, such as torch,onnxruntime,jax")


@pytest.hookimpl(trylast=True)  # the innermost loop: contenders of a row run one after the other
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a `layer_contender` its values: the naive one, fastrnn, and the peers asked for."""
    if "layer_contender" in metafunc.fixturenames:
        from peers import CONTENDERS

        wanted = ["naive", "fastrnn", *filter(None, metafunc.config.getoption("peers").split(","))]
        known = {c.name: c for c in CONTENDERS}
        if unknown := [name for name in wanted if name not in known]:
            raise pytest.UsageError(f"--peers: {unknown[0]} is not one of {', '.join(known)}")
        metafunc.parametrize("layer_contender", [known[name] for name in wanted], ids=wanted)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Pin the process and limit its BLAS; undone at the end of the session."""
    pinnable = hasattr(os, "sched_setaffinity")
    before = os.sched_getaffinity(0) if pinnable else set()
    machine.pin(1)
    limits = machine.limit_blas(1)
    try:
        yield
    finally:
        limits.restore_original_limits()
        if pinnable:
            os.sched_setaffinity(0, before)


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    """Called when the figures are saved, thus after the kernels were compiled or loaded."""
    import peak

    machine_info.pop("node", None)  # the host's name
    machine_info["fastrnn"] = {
        "machine": machine.describe(),
        "versions": machine.versions(),
        "threads": machine.threads(1),
        "kernel_cache": machine.kernel_cache(),
        "peak": peak.measure(),
    }
