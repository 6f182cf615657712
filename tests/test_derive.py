"""Backward equations derived from forward ones: against those by hand, and from run to run."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from conftest import PLAIN, ROOT, assert_close, eps, normal
from test_cache import MESSAGE, TIMEOUT, Run

import fastrnn
from fastrnn.cells import CELLS, GRU_RESET_BEFORE, LSTM, MORE_CELLS, PEEPHOLE_LSTM, Cell
from fastrnn.layers import Recurrent
from fastrnn.simd import functions as functions_module
from fastrnn.simd.functions import exp, sigmoid, sqrt, tanh, where

K = 16  # k of k*eps: the same few operations in another order
ONE_STAGE = [cell for cell in CELLS + MORE_CELLS if not cell.late]
EACH = pytest.mark.parametrize("cell", ONE_STAGE, ids=lambda c: c.name)

pytest.importorskip("sympy", reason="derives the equations")


def derived(cell: Cell) -> Cell:
    """The cell from its forward equations alone."""
    return Cell(
        cell.name, cell.gates, cell.states, cell.forward,
        apart=cell.apart, weights=cell.weights, recurrent=cell.recurrent,
        late=cell.late, early=cell.early, early_kept=cell.early_kept,
    )  # fmt: skip


def arguments(cell: Cell, seed: int = 0) -> list[Any]:
    count = len(cell.gates) + len(cell.apart) + len(cell.states) + len(cell.weights)
    return [normal((200,), np.float64, seed + i) for i in range(count)]


def backward(cell: Cell, values: list[Any], d_states: list[Any]) -> list[Any]:
    """All results of the backward equations, one behind the other."""
    first = len(cell.gates) + len(cell.apart)
    old, weights = values[first : first + len(cell.states)], values[first + len(cell.states) :]
    new, saved = cell.forward(*values)
    results = cell.backward(*saved, *old, *new, *d_states, *weights)
    return [value for group in results for value in group]


@EACH
def test_derived_equations_are_those_by_hand(cell: Cell) -> None:
    ours = derived(cell)
    assert ours.h_carried == cell.h_carried
    assert ours.backward is not cell.backward
    values = arguments(cell)
    for a, b in zip(ours.forward(*values)[0], cell.forward(*values)[0], strict=True):
        np.testing.assert_array_equal(a, b)
    d_states = [normal((200,), np.float64, 50 + i) for i in range(len(cell.states))]
    pairs = zip(backward(ours, values, d_states), backward(cell, values, d_states), strict=True)
    for i, (actual, desired) in enumerate(pairs):
        assert_close(actual, desired, K * eps(np.float64), f"result {i}")


@EACH
def test_derived_equations_cost_what_those_by_hand_do(cell: Cell) -> None:
    """No function is evaluated again, and no more is saved; relu saves what it decides by."""
    ours = derived(cell)
    decides = "where" in cell.forward.__code__.co_names
    assert len(ours.saved) <= len(cell.saved) + decides
    assert {"exp", "sigmoid", "sqrt", "tanh"}.isdisjoint(ours.backward.__code__.co_names)


def test_a_derived_lstm_is_the_built_in_one() -> None:
    x = normal((40, 3, 5), np.float32)
    results = []
    for cell in (LSTM, derived(LSTM)):
        layer: Any = Recurrent(cell, 5, 21, seed=0)
        output, (h, c), tape = layer.forward(x)
        grads = layer.backward(tape, np.ones_like(output), (h, c))
        results.append((output, c, grads.x, grads.flat, *grads.state))
    for actual, desired in zip(*results, strict=True):
        assert_close(actual, desired, K * eps(np.float32))


# --- what equations may be ---

GAIN, HALF = np.float32(1.5), np.array(0.5)


@numba.njit  # type: ignore[untyped-decorator]
def softsign(a: Any) -> Any:
    return a / (1 + abs(a))


def everything(a: Any, b: Any, h: Any, c: Any, u: Any) -> Any:
    c_new = where(a > h, c * HALF, exp(-abs(b)) + where(b <= 0, -2, 1)) - 2 * u / 3
    root = sqrt(1 + b * b + c_new * c_new)
    chosen = where(h < 0, c, 1 - sigmoid(u))
    return (softsign(GAIN * a + h) / root + chosen * (2 / root), c_new), ()


def unused(a: Any, b: Any, h: Any, c: Any) -> Any:
    return (a, h), ()


def twice(a: Any, h: Any, c: Any) -> Any:
    new = tanh(a)
    return (new, new), (a,)


def plain_numpy(a: Any, h: Any) -> Any:
    grown = np.sqrt(1 + np.exp(-np.absolute(h)))
    return (np.tanh(a) * grown + np.where(a >= h, np.negative(a), np.float64(0.3) * h),), ()


def powers(a: Any, h: Any) -> Any:
    return (functions_module.sigmoid(a) ** 3 - tanh(a + h) ** 2,), ()


def cubic(gain: float) -> Any:
    def bent(a: Any) -> Any:
        return gain * a * a * a

    return lambda a, h: ((bent(a) - fastrnn.cells.trace.functions.tanh(h),), ())


ALLOWED = {  # gates, states, forward, weights, h_carried
    "everything": (("a", "b"), ("h", "c"), everything, ("u",), True),
    "unused": (("a", "b"), ("h", "c"), unused, (), True),
    "twice": (("a",), ("h", "c"), twice, (), False),
    "NumPy": (("a",), ("h",), plain_numpy, (), True),
    "powers": (("a",), ("h",), powers, (), True),
    "closure": (("a",), ("h",), cubic(0.25), (), True),
    "odd names": (("a", "lambda"), ("t", "d_t"), unused, (), True),
    "names twice": (("x y", "xy"), ("sigmoid", "1"), unused, (), True),
}
#: The others are compiled from nothing that these do not have.
COMPILED = ("everything", "unused")


@pytest.mark.parametrize("name", ALLOWED)
def test_all_that_equations_may_use_can_be_derived(name: str) -> None:
    gates, states, forward, weights, h_carried = ALLOWED[name]
    cell = Cell(name, gates, states, forward, weights=weights)
    assert cell.h_carried == h_carried
    plain = fastrnn.cells.trace.rebound(forward, {})  # as NumPy runs it
    values = arguments(cell)
    for a, b in zip(cell.forward(*values)[0], plain(*values)[0], strict=True):
        assert_close(a, b, K * eps(np.float64))
    if PLAIN or name in COMPILED:
        assert fastrnn.gradcheck(cell).passed


def branches(a: Any, h: Any) -> Any:
    return (a if a > 0 else h,), ()


def truth(a: Any, h: Any) -> Any:
    return (a and h,), ()


def equal(a: Any, h: Any) -> Any:
    return (where(a == 0, a, h),), ()


def both(a: Any, h: Any) -> Any:
    return (where((a > 0) & (h > 0), a, h),), ()


def sine(a: Any, h: Any) -> Any:
    return (np.sin(a),), ()


def summed(a: Any, h: Any) -> Any:
    return (np.sum(a) + h,), ()


def fractional(a: Any, h: Any) -> Any:
    return (a**0.5,), ()


def endless(a: Any, h: Any) -> Any:
    return (a + np.inf,), ()


def vector(a: Any, h: Any) -> Any:
    return (a * np.ones(3),), ()


def number_chosen(a: Any, h: Any) -> Any:
    return (where(a, a, h),), ()


def python_only(a: Any, h: Any) -> Any:
    return (float(a),), ()


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (branches, "Python cannot branch on values: write where(condition, a, b)"),
        (truth, "Python cannot branch on values: write where(condition, a, b)"),
        (equal, "== and != are not known; compare with < <= > >="),
        (both, "conditions cannot be combined: nest where"),
        (sine, "numpy.sin is not known; equations may use + - * /, comparisons, abs and"),
        (summed, "numpy.sum is not known; equations may use"),
        (fractional, "powers must be integers above 0, got 0.5"),
        (endless, "numbers must be finite, got inf"),
        (vector, "is neither a value nor a number"),
        (number_chosen, "where's condition must be a comparison, got Value"),
        (python_only, "float"),
    ],
)
def test_what_cannot_be_derived_is_said(forward: Any, message: str) -> None:
    start = "cell 'odd': backward cannot be derived from forward, give it or change forward: "
    with pytest.raises(ValueError, match=re.escape(start) + ".*" + re.escape(message)):
        Cell("odd", ("a",), ("h",), forward)


def test_without_sympy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(ImportError, match=re.escape("pip install fastrnn[symbolic]")):
        derived(LSTM)
    dataclasses.replace(LSTM, name="by hand")


# --- cells of two stages ---

RECURRENT = 0.7  # stands for the late gates' recurrent weights


def two_stages(cell: Any, values: list[Any], d_states: list[Any]) -> tuple[Any, list[Any]]:
    """The new states, and the gradients of the gates and the states."""
    gates, early = len(cell.gates), len(cell.gates) - len(cell.late)
    old = values[gates:]
    modulated, kept = cell.early(*values[:early], *old)
    assert len(kept) == len(cell.early_kept)
    late = [a + RECURRENT * modulated for a in values[early:gates]]
    new, saved = cell.forward(*late, *kept, *old)
    assert len(saved) == len(cell.saved)
    np.testing.assert_array_equal(saved[-1], modulated)
    deltas, d_old = cell.backward(*saved, *old, *new, *d_states)
    d_modulated = RECURRENT * sum(deltas[early:])
    d_early, d_h = cell.early_backward(*saved, *old, d_modulated, *deltas[:early])
    return new, [*d_early, *deltas[early:], d_old[0] + d_h, *d_old[1:]]


def lopsided_early(a_r: Any, h: Any, c: Any) -> Any:
    """What is kept and what is made of h share a value; a gate's own input is kept."""
    r = sigmoid(a_r) * h
    return tanh(r), (r * 2, a_r)


def lopsided(a_n: Any, twice: Any, a_r: Any, h: Any, c: Any) -> Any:
    n = tanh(a_n + twice) + a_r * c
    return (n + h, n * twice), ()


def identity_early(a_r: Any, h: Any) -> Any:
    return h, (sigmoid(a_r),)


def gated(a_n: Any, r: Any, h: Any) -> Any:
    return (tanh(a_n) * r,), ()


TWO_STAGES = {
    "GRU": derived(GRU_RESET_BEFORE),
    "lopsided": Cell(
        "lopsided", ("r", "n"), ("h", "c"), lopsided,
        late=("n",), early=lopsided_early, early_kept=("twice", "a_r"),
    ),
    "identity": Cell(
        "identity", ("r", "n"), ("h",), gated,
        late=("n",), early=identity_early, early_kept=("r",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TWO_STAGES)
def test_both_stages_are_derived(name: str) -> None:
    cell = TWO_STAGES[name]
    values = [normal((50,), np.float64, i) for i in range(len(cell.gates) + len(cell.states))]
    d_states = [normal((50,), np.float64, 20 + i) for i in range(len(cell.states))]
    _, gradients = two_stages(cell, values, d_states)
    step = eps(np.float64) ** (1 / 3)
    for place, gradient in enumerate(gradients):
        losses = []
        for sign in (1, -1):
            moved = list(values)
            moved[place] = moved[place] + sign * step
            new, _ = two_stages(cell, moved, d_states)
            losses.append(sum(d * s for d, s in zip(d_states, new, strict=True)))
        numeric = (losses[0] - losses[1]) / (2 * step)
        assert_close(gradient, numeric, 64 * step**2, f"argument {place}")


def test_a_derived_gru_of_two_stages_is_the_one_by_hand() -> None:
    values = [normal((50,), np.float64, i) for i in range(4)]
    d_states = [normal((50,), np.float64, 20)]
    ours, theirs = (
        two_stages(cell, values, d_states) for cell in (TWO_STAGES["GRU"], GRU_RESET_BEFORE)
    )
    for a, b in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        assert_close(a, b, K * eps(np.float64))
    assert len(TWO_STAGES["GRU"].saved) == len(GRU_RESET_BEFORE.saved)
    assert fastrnn.gradcheck(TWO_STAGES["lopsided"]).passed


def test_early_equations_that_cannot_be_derived_are_refused() -> None:
    def of_c(a_r: Any, h: Any, c: Any) -> Any:
        return h * c, (a_r, a_r)

    def branches(a_r: Any, h: Any, c: Any) -> Any:
        return (a_r if h else c), (a_r, a_r)

    for early, message in (
        (of_c, "early_backward has no result for states but h"),
        (branches, "backward cannot be derived from early, .*Python cannot branch"),
    ):
        with pytest.raises(ValueError, match=message):
            Cell(
                "odd", ("r", "n"), ("h", "c"), lopsided,
                late=("n",), early=early, early_kept=("twice", "a_r"),
            )  # fmt: skip


# --- a derived cell as a value ---


def test_a_derived_cell_can_be_copied_and_pickled() -> None:
    cell = derived(PEEPHOLE_LSTM)
    assert copy.deepcopy(cell) == cell
    layer: Any = Recurrent(cell, 2, 3, seed=0)
    for same in (pickle.loads(pickle.dumps(cell)), copy.deepcopy(layer).cell,
                 dataclasses.replace(cell, name="other")):  # fmt: skip
        assert same.saved == cell.saved
        assert inspect.getsource(same.backward) == inspect.getsource(cell.backward)
    assert pickle.loads(pickle.dumps(PEEPHOLE_LSTM)) == PEEPHOLE_LSTM
    late = pickle.loads(pickle.dumps(TWO_STAGES["lopsided"]))
    assert inspect.getsource(late.early) == inspect.getsource(TWO_STAGES["lopsided"].early)
    again = pickle.loads(pickle.dumps(dataclasses.replace(cell, name="other")))
    assert again.name == "other"
    assert again.saved == cell.saved


#: Everything that the fingerprint of compiled kernels is made from.
PRINT_CODE = """
from test_derive import ALLOWED, ONE_STAGE, TWO_STAGES, Cell, derived
cells = [*TWO_STAGES.values(), *(derived(cell) for cell in ONE_STAGE)]
for name, (gates, states, forward, weights, _) in ALLOWED.items():
    cells.append(Cell(name, gates, states, forward, weights=weights))
for cell in cells:
    for function in filter(None, (cell.forward, cell.backward, cell.early, cell.early_backward)):
        code = function.__code__
        print(cell.name, code.co_code.hex(), code.co_consts, code.co_names, code.co_varnames)
"""


def test_every_process_derives_the_same_code(environment: dict[str, str]) -> None:
    printed = set()
    for seed in ("0", "1", "2"):
        path = environment["PYTHONPATH"] + ":" + str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", PRINT_CODE], text=True, capture_output=True, timeout=TIMEOUT,
            env={**environment, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed.add(done.stdout)
    assert len(printed) == 1
    assert printed.pop().count("\n") == 2 * (len(ONE_STAGE) + len(ALLOWED) + 2 * len(TWO_STAGES))


CELL = """
from fastrnn import Cell
from fastrnn.simd.functions import sigmoid, tanh

GAIN = {gain}

def bent(a):
    return tanh(a * GAIN)

def forward(a_f, a_n, h):
    f = sigmoid(a_f)
    return (f * h + (1 - f) * bent(a_n),), ()

LIGHT = Cell("light", ("f", "n"), ("h",), forward)
"""
SCRIPT = """
import json
import numpy as np
from fastrnn.layers import Recurrent
from cell_of_the_user import LIGHT
layer = Recurrent(LIGHT, 2, 3, seed=1)
output, _, tape = layer.forward(np.ones((4, 1, 2), dtype=np.float32))
grads = layer.backward(tape, np.ones_like(output))
from fastrnn.kernels import jit
print(json.dumps({
    "output": output.ravel().tolist(),
    "grads": grads.flat.ravel().tolist(),
    "seconds": jit.compile_seconds(),
}))
"""


@pytest.mark.skipif(PLAIN, reason="this is about compiled kernels")
def test_derived_cells_are_cached_and_compiled_again_after_an_edit(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment |= {"PYTHONDONTWRITEBYTECODE": "1"}
    results = []
    for gain, seed, compiles in ((1, "1", True), (1, "2", False), (2, "1", True)):
        (tmp_path / "cell_of_the_user.py").write_text(CELL.format(gain=gain))
        result, error = Run(tmp_path, {**environment, "PYTHONHASHSEED": seed}).result()
        assert error.startswith(MESSAGE) if compiles else error == ""
        assert (result["seconds"] > 0) == compiles
        results.append((result["output"], result["grads"]))
    assert results[0] == results[1]
    assert results[0][0] != results[2][0]
    assert results[0][1] != results[2][1]


@pytest.mark.skipif(PLAIN, reason="this is without the JIT already")
def test_cells_of_all_kinds_are_right_without_the_jit(environment: dict[str, str]) -> None:
    files = ["test_derive.py", "test_gradcheck.py", "test_one_step.py"]
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-x", "-W", "error", "-p", "no:cacheprovider",
            *(str(Path(__file__).parent / name) for name in files),
        ],
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        cwd=ROOT, text=True, capture_output=True, timeout=TIMEOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
