"""gradcheck finds each kind of wrong gradient, and cells that are not what they declare."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, assert_close, eps, normal

import fastrnn
from fastrnn.cells import (
    CELLS,
    GRU,
    GRU_RESET_BEFORE,
    INDRNN,
    LSTM,
    MORE_CELLS,
    PEEPHOLE_LSTM,
    RNN_TANH,
    Cell,
)
from fastrnn.layers import Recurrent

K_PRECISION = 256  # k of k*eps: float32's rounding through 12 steps
#: Errors of differences in float64 with steps of eps^(1/3): eps^(2/3) = 4e-11, times 16.
MOST_ERROR = 6e-10
NAMES = {
    "lstm": ["x", "h", "c", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"],
    "indrnn": ["x", "h", "weight_ih_l0", "bias_ih_l0", "weight_u_l0"],
}


@pytest.mark.parametrize("cell", CELLS + MORE_CELLS, ids=lambda c: c.name)
def test_every_cell_has_the_gradients_that_differences_are(cell: Cell) -> None:
    result = fastrnn.gradcheck(cell)
    assert result.passed
    assert result.wrong == {}
    assert max(result.errors.values()) <= MOST_ERROR
    assert list(result.errors)[: len(NAMES.get(cell.name, []))] == NAMES.get(cell.name, [])
    parts = {name.partition("_l")[2] for name in result.errors if "_l" in name}
    assert parts == {"0", "0_reverse", "1", "1_reverse"}


@pytest.mark.parametrize("cell", [PEEPHOLE_LSTM, INDRNN], ids=lambda c: c.name)
def test_float32_is_float64_rounded(cell: Cell) -> None:
    x = normal((12, 3, 4), np.float32)
    results = []
    for dtype in (np.float32, np.float64):
        layer: Any = Recurrent(cell, 4, 21, dtype=dtype, seed=1)
        output, final, tape = layer.forward(x.astype(dtype))
        grads = layer.backward(tape, np.ones_like(output), final)
        results.append((output, grads.x, grads.flat))
    for actual, desired in zip(*results, strict=True):
        assert actual.dtype == np.float32
        assert_close(actual, desired, K_PRECISION * eps(np.float32))


def test_the_peepholes_and_the_recurrent_weights_of_single_units_are_parameters() -> None:
    layer: Any = Recurrent(PEEPHOLE_LSTM, 3, 5)
    assert [*layer.params][4:] == ["weight_ci_l0", "weight_cf_l0", "weight_co_l0"]
    assert layer.params["weight_ci_l0"].shape == (5,)
    assert [*Recurrent(INDRNN, 3, 5).params] == ["weight_ih_l0", "bias_ih_l0", "weight_u_l0"]


# --- wrong gradients ---


def wrong_forget_gate(*args: Any) -> Any:
    (d_i, d_f, d_g, d_o), d_old = LSTM.backward(*args)
    return (d_i, d_f * 1.001, d_g, d_o), d_old


def wrong_state(*args: Any) -> Any:
    deltas, (dc,) = LSTM.backward(*args)
    return deltas, (dc * 0.999,)


def wrong_carried(*args: Any) -> Any:
    deltas, _ = GRU.backward(*args)
    return deltas, ()


def wrong_peephole(
    i: Any, f: Any, g: Any, o: Any, bent: Any,
    h: Any, c: Any, h_new: Any, c_new: Any, dh: Any, dc: Any, w_ci: Any, w_cf: Any, w_co: Any,
) -> Any:  # fmt: skip
    d_o = dh * bent * o * (1 - o)
    dc = dc + dh * o * (1 - bent * bent) + d_o * w_co
    d_i, d_f = dc * g * i * (1 - i), dc * c * f * (1 - f)
    d_c = dc * f + d_i * w_ci + d_f * w_cf
    return (d_i, d_f, dc * i * (1 - g * g), d_o), (d_c,), (d_i * c, d_o * c_new, d_f * c)


def not_a_number(h: Any, h_new: Any, dh: Any) -> Any:
    return (dh * np.nan,), ()


WRONG = [  # a cell, what replaces its parts, which results of backward are then wrong
    (LSTM, {"backward": wrong_forget_gate}, "d_a_f"),
    (LSTM, {"backward": wrong_state}, "d_previous c"),
    (GRU, {"backward": wrong_carried, "h_carried": False}, "d_previous h (h_carried is False)"),
    (PEEPHOLE_LSTM, {"backward": wrong_peephole}, "d_weight_cf, d_weight_co"),
    (RNN_TANH, {"backward": not_a_number}, "d_a_a"),
]


@pytest.mark.skipif(not PLAIN, reason="test_derive.py runs it without the JIT: compiles much")
@pytest.mark.parametrize(
    ("cell", "parts", "equations"), WRONG, ids=[equations for _, _, equations in WRONG]
)
def test_a_wrong_gradient_is_found_and_named(cell: Cell, parts: Any, equations: str) -> None:
    changed = dataclasses.replace(cell, name="changed", **parts)
    layer: Any = Recurrent(changed, 2, 6, dtype=np.float64, seed=0)
    with pytest.raises(fastrnn.WrongGradientError) as caught:
        fastrnn.gradcheck(layer)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("cell 'changed': ")
    assert lines[-1] == f"  wrong in backward: {equations}"
    result = caught.value.result
    assert not result.passed
    for name, error in result.errors.items():
        assert (name in result.wrong) == (not error <= result.tolerance)
    assert fastrnn.gradcheck(layer, raises=False) == result
    loose = fastrnn.gradcheck(layer, tolerance=1e9, raises=False)
    assert loose.passed == all(np.isfinite(e) for e in result.errors.values())


def test_only_what_is_wrong_is_named() -> None:
    """Exchanged gradients of two peepholes spoil those two alone."""
    cell = dataclasses.replace(PEEPHOLE_LSTM, name="changed", backward=wrong_peephole)
    result = fastrnn.gradcheck(Recurrent(cell, 2, 6, dtype=np.float64, seed=0), raises=False)
    assert set(result.wrong) == {"weight_cf_l0", "weight_co_l0"}


def test_a_layer_is_checked_as_it_is_and_stays_as_it_is() -> None:
    layer = fastrnn.LSTM(3, 7, 2, bidirectional=True, dropout=0.5, batch_first=True, seed=0)
    before = layer.flat.copy()
    result = fastrnn.gradcheck(layer)
    assert set(result.errors) == {"x", "h", "c", *layer.params}
    assert layer.flat.dtype == np.float32
    np.testing.assert_array_equal(layer.flat, before)
    assert result == fastrnn.gradcheck(layer)
    assert result != fastrnn.gradcheck(layer, seed=1)
    layer.flat[...] = 0  # its own parameters: nothing depends on x then, exactly
    assert result.errors["x"] > 0
    assert fastrnn.gradcheck(layer).errors["x"] == 0


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"cell_or_layer": "lstm"}, TypeError, "cell_or_layer must be a Cell or a layer"),
        ({"tolerance": 0}, ValueError, "tolerance must be above 0, got 0"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"raises": 1}, TypeError, "raises must be True or False, got 1"),
    ],
)
def test_a_bad_argument_is_named(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        fastrnn.gradcheck(**{"cell_or_layer": RNN_TANH, **given})


# --- cells that are not what they declare ---


def forward(a: Any, h: Any) -> Any:
    return (a + h,), (a,)


def backward(a: Any, h: Any, h_new: Any, dh: Any) -> Any:
    return (dh,), (dh,)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (
            {"gates": ("a", "b")},
            TypeError,
            "forward must take 3 (a_a, a_b, h), got forward(a: 'Any', h: 'Any') -> 'Any'",
        ),
        ({"forward": tuple}, TypeError, "forward must be a Python function, got type"),
        ({"backward": lambda a, h: ()}, TypeError, "backward must take 4 (a, h, new h, d_h), got"),
        (
            {"forward": lambda a, h: a},
            ValueError,
            "forward must return (tuple states, tuple saved), got ndarray",
        ),
        (
            {"forward": lambda a, h: ((a,), a)},
            ValueError,
            "forward must return (tuple states, tuple saved), got (tuple, ndarray)",
        ),
        (
            {"forward": lambda a, h: ((a, h), (a,))},
            ValueError,
            "the states of forward must be 1 (h), got 2",
        ),
        ({"saved": ()}, ValueError, "forward must give 0 to be saved, got 1"),
        (
            {"forward": lambda a, h: ((1.0,), (a,))},
            ValueError,
            "h of forward must be computed from its arguments, got 1.0",
        ),
        (
            {"forward": lambda a, h: ((a,), (a > 0,))},
            ValueError,
            "saved[0] of forward must be computed from its arguments, got array([ True])",
        ),
        (
            {"forward": lambda a, h: ((a + nothing,), (a,))},  # type: ignore[name-defined]  # noqa: F821
            ValueError,
            "forward must run on NumPy arrays, got NameError: name 'nothing'",
        ),
        (
            {"backward": lambda a, h, h_new, dh: ((dh, dh), (dh,))},
            ValueError,
            "the d_preactivations of backward must be 1 (a_a), got 2",
        ),
        ({"h_carried": False}, ValueError, "the d_previous_states of backward must be 0, got 1"),
        (
            {"backward": lambda a, h, h_new, dh: ((0,), (dh,))},
            ValueError,
            "a_a of backward must be computed from its arguments, got 0",
        ),
        (
            {"weights": ("u",), "forward": lambda a, h, u: forward(a, h),
             "backward": lambda a, h, h_new, dh, u: backward(a, h, h_new, dh)},
            ValueError,
            "backward must return (tuple d_preactivations, tuple d_previous_states, "
            "tuple d_weights), got (tuple, tuple)",
        ),
    ],
)  # fmt: skip
def test_a_cell_that_is_not_what_it_declares_is_refused(
    parts: Any, error: type[Exception], message: str
) -> None:
    right = Cell("odd", ("a",), ("h",), forward, backward, saved=("a",), h_carried=True)
    with pytest.raises(error, match=re.escape(f"cell 'odd': {message}")):
        dataclasses.replace(right, **parts)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"early_kept": ("r",)}, TypeError, "forward must take 3 (a_n, r, h), got forward_before("),
        (
            {"early": lambda r, z, h: (r * h, r, z)},
            ValueError,
            "early must return (modulated, tuple kept), got (ndarray, ndarray, ndarray)",
        ),
        (
            {"early": lambda r, z, h: (1, (r, z))},
            ValueError,
            "modulated of early must be computed from its arguments, got 1",
        ),
        (
            {"early_backward": lambda r, z, n, m, h, dm, dr, dz: ((dr,), dm)},
            ValueError,
            "the d_preactivations of early_backward must be 2 (a_r, a_z), got 1",
        ),
    ],
)
def test_a_cell_of_two_stages_that_is_not_what_it_declares_is_refused(
    parts: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(f"cell 'odd': {message}")):
        dataclasses.replace(GRU_RESET_BEFORE, name="odd", **parts)
