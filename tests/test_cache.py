"""The kernel cache across processes and edits, and the package without the JIT."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, ROOT, eps

pytestmark = pytest.mark.skipif(PLAIN, reason="this is about compiled kernels")

TIMEOUT = 300
MESSAGE = "fastrnn: compiling kernels"
K_NAIVE = 64  # k of k*eps
#: A cell of the user's whose equation calls a helper that reads a constant.
CELL = """
import numba
from fastrnn.cells import Cell
from fastrnn.simd.functions import tanh

GAIN = {gain}

@numba.njit
def bent(a):
    return tanh(a * GAIN)

def forward(a, h):
    return (bent(a),), ()

def backward(h, h_new, dh_new):
    return (dh_new * GAIN * (1 - h_new * h_new),), ()

BENT = Cell("bent", ("a",), ("h",), forward, backward)
"""
#: One tiny forward pass; what it gave, and what was compiled for it.
SCRIPT = """
import json
import numpy as np
import fastrnn
from fastrnn.layers import Recurrent
from cell_of_the_user import BENT
layer = Recurrent(BENT, 2, 3, seed=1)
x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 1, 2)
output, _ = layer(x)
from fastrnn.kernels import jit
print(json.dumps({
    "output": output.ravel().tolist(),
    "weights": {k: v.tolist() for k, v in layer.params.items()},
    "seconds": jit.compile_seconds(),
    "tiles_from_cache": [sum(f.stats.cache_hits.values()) for f in jit._FAMILIES],
    "package": fastrnn.__file__,
}))
"""


class Run:
    """A process that runs the script."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "script.py"], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def result(self) -> tuple[dict[str, Any], str]:
        try:
            out, error = self.process.communicate(timeout=TIMEOUT)
        finally:
            self.process.kill()
        assert self.process.returncode == 0, error
        return json.loads(out), error


def expected(result: dict[str, Any], gain: float, factor: float) -> Any:
    """What the script must give, by NumPy."""
    p = {name: np.array(value) for name, value in result["weights"].items()}
    x, h, outputs = np.linspace(-1, 1, 8).reshape(4, 2), np.zeros(3), []
    for row in x:
        a = p["weight_ih_l0"] @ row + p["bias_ih_l0"] + p["weight_hh_l0"] @ h + p["bias_hh_l0"]
        h = factor * np.tanh(a * gain)
        outputs.append(h)
    return np.concatenate(outputs)


def assert_output(result: dict[str, Any], gain: float, factor: float = 1) -> None:
    np.testing.assert_allclose(
        result["output"], expected(result, gain, factor), rtol=0, atol=K_NAIVE * eps(np.float32)
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a copy of the package, a cell of the user's and the script."""
    folder = tmp_path / "project"
    shutil.copytree(
        ROOT / "fastrnn", folder / "fastrnn", ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "cell_of_the_user.py").write_text(CELL.format(gain=1))
    (folder / "script.py").write_text(SCRIPT)
    return folder


def in_copy(environment: dict[str, str], project: Path) -> dict[str, str]:
    return {**environment, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}


def test_kernels_are_compiled_once_and_again_after_each_edit(
    project: Path, environment: dict[str, str]
) -> None:
    environment = in_copy(environment, project)
    both = [Run(project, environment) for _ in range(2)]  # at the same time, from nothing
    for run in both:
        result, error = run.result()
        assert Path(result["package"]).is_relative_to(project)
        assert error.startswith(MESSAGE)
        assert error.count("\n") == 1
        assert result["seconds"] > 0
        assert_output(result, 1)

    result, error = Run(project, environment).result()
    assert error == ""
    assert result["seconds"] == 0
    assert result["tiles_from_cache"] == [1, 1, 1]  # tiles, rows, dot products
    assert_output(result, 1)

    (project / "cell_of_the_user.py").write_text(CELL.format(gain=3))
    result, error = Run(project, environment).result()
    assert error.startswith(MESSAGE)
    assert_output(result, 3)

    helper = project / "fastrnn" / "simd" / "math.py"
    source, line = helper.read_text(), "return copysign(above / (above + fma(-2, t, 2)), x)"
    assert source.count(line) == 1
    stat = helper.stat()
    helper.write_text(source.replace(line, line.replace("(above /", "(5 * above /")))
    os.utime(helper, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # not even the time stamp tells
    result, error = Run(project, environment).result()
    assert error.startswith(MESSAGE)
    assert_output(result, 3, 5)


#: Gradients of the layers that are named, in that order.
BITS = """
import json, sys
import numpy as np
import fastrnn
bits = {}
for name in sys.argv[1:]:
    kind, _, option = name.partition(":")
    kw = {"nonlinearity": option} if option else {}
    layer = getattr(fastrnn, kind)(2, 3, seed=1, **kw)
    output, _, tape = layer.forward(np.linspace(-1, 1, 8, dtype=np.float32).reshape(4, 1, 2))
    bits[name] = output.tobytes().hex() + layer.backward(tape, output).flat.tobytes().hex()
print(json.dumps(bits))
"""


def test_entries_cached_by_several_processes_do_not_share_symbols(
    environment: dict[str, str],
) -> None:
    def run(*names: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-c", BITS, *names], env=environment, capture_output=True, text=True,
            timeout=TIMEOUT, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    names = ["RNN:relu", "RNN:tanh", "GRU", "LSTM"]
    alone: dict[str, str] = {}
    for name in names:  # each in a process of its own, which numbers its kernels from the start
        alone |= run(name)
    assert run(*names) == alone
    assert run(*reversed(names)) == alone


def test_a_package_that_cannot_be_written_to_works(
    project: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    environment = in_copy(environment, project)
    del environment["NUMBA_CACHE_DIR"]
    home = tmp_path / "home"
    home.mkdir()
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    folders = [path for path in (project / "fastrnn").rglob("*") if path.is_dir()]
    for folder in folders:  # a file in its place: not even root can write into the folder
        (folder / "__pycache__").write_text("")
    for wanted in (MESSAGE, ""):
        result, error = Run(project, environment).result()
        assert error.startswith(wanted)
        assert (result["seconds"] > 0) == bool(wanted)
        assert_output(result, 1)
    assert list(home.rglob("*.nbi"))
    assert all((folder / "__pycache__").is_file() for folder in folders)


def test_importing_does_not_import_numba(environment: dict[str, str]) -> None:
    code = "import sys, fastrnn; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=TIMEOUT)


def test_layers_and_cells_are_right_without_the_jit(environment: dict[str, str]) -> None:
    """The same tests, in NumPy: where a user steps through a cell in a debugger."""
    files = ["test_layers.py", "test_cells.py", "test_checks.py", "test_kernels.py"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-x", "-W", "error", "-p", "no:cacheprovider",
            *(str(Path(__file__).parent / name) for name in files),
        ],
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parent.parent, text=True, capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
    assert not list(Path(environment["NUMBA_CACHE_DIR"]).glob("**/*.nbi"))
