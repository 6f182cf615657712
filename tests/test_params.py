"""Parameters by name over one flat buffer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, EACH_CELL, make_layer, normal

import fastrnn
from fastrnn.cells import RNN_TANH

SPOILERS: dict[str, tuple[Any, type[Exception], str]] = {
    "missing": (lambda d: d.pop("bias_hh_l1"), KeyError, "state_dict misses bias_hh_l1"),
    "unknown": (
        lambda d: d.update(weight_xx=d["bias_hh_l0"]),
        KeyError,
        "state_dict has unknown weight_xx",
    ),
    "shape": (
        lambda d: d.update(weight_hh_l1=np.zeros((4, 5), d["weight_hh_l1"].dtype)),
        ValueError,
        r"weight_hh_l1 must have shape \(H, H\) = \(5, 5\), got \(4, 5\)",
    ),
    "integers": (
        lambda d: d.update(bias_hh_l1=np.zeros(5, np.int64)),
        TypeError,
        r"bias_hh_l1 must be float\d\d, got int64",
    ),
    "half": (
        lambda d: d.update(bias_hh_l1=np.zeros(5, np.float16)),
        TypeError,
        r"bias_hh_l1 must be float\d\d, got float16",
    ),
}


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_params_are_views_of_one_buffer(
    cell: Any, bidirectional: bool, bias: bool, dtype: Any
) -> None:
    layer = make_layer(cell, 3, 5, 2, bias=bias, bidirectional=bidirectional, dtype=dtype)
    assert layer.flat.flags.c_contiguous
    assert layer.flat.dtype == dtype
    assert sum(p.size for p in layer.params.values()) == layer.flat.size
    layer.flat[...] = np.arange(layer.flat.size)
    joined = np.concatenate([p.reshape(-1) for p in layer.params.values()])
    np.testing.assert_array_equal(joined, layer.flat)
    assert all(np.shares_memory(p, layer.flat) for p in layer.params.values())


def test_initial_parameters_are_uniform_within_their_limit() -> None:
    flat = make_layer(RNN_TANH, 30, 100).flat
    assert np.abs(flat).max() <= 0.1
    assert np.abs(flat).max() > 0.0999
    assert abs(flat.mean()) < 5 * 0.1 / np.sqrt(3 * flat.size)


@DTYPES
def test_state_dict_holds_copies_that_load(dtype: Any) -> None:
    layer, other = (make_layer(RNN_TANH, 3, 5, 2, dtype=dtype, seed=seed) for seed in (0, 1))
    saved = layer.state_dict()
    assert list(saved) == list(layer.params)
    assert not any(np.shares_memory(p, layer.flat) for p in saved.values())
    views = dict(other.params)
    other.load_state_dict({name: np.asfortranarray(p) for name, p in reversed(saved.items())})
    np.testing.assert_array_equal(other.flat, layer.flat)
    assert all(other.params[name] is view for name, view in views.items())
    saved["bias_ih_l0"][...] = 9
    assert not (layer.flat == 9).any()


@DTYPES
def test_the_values_of_a_state_dict_may_be_views_of_the_layer_itself(dtype: Any) -> None:
    layer = make_layer(RNN_TANH, 5, 5, dtype=dtype)
    before, views = layer.state_dict(), dict(layer.params)
    swapped = {"weight_ih_l0": "weight_hh_l0", "weight_hh_l0": "weight_ih_l0"}
    layer.load_state_dict({name: views[swapped.get(name, name)] for name in views})
    for name, view in layer.params.items():
        np.testing.assert_array_equal(view, before[swapped.get(name, name)])


@DTYPES
@pytest.mark.parametrize("case", SPOILERS)
def test_a_state_dict_that_does_not_fit_changes_nothing(case: str, dtype: Any) -> None:
    spoil, error, message = SPOILERS[case]
    layer, other = (make_layer(RNN_TANH, 3, 5, 2, dtype=dtype, seed=seed) for seed in (0, 1))
    values = other.state_dict()
    spoil(values)
    before = layer.flat.copy()
    with pytest.raises(error, match=message):
        layer.load_state_dict(values)
    np.testing.assert_array_equal(layer.flat, before)


@DTYPES
def test_assigning_copies_into_the_view(dtype: Any) -> None:
    layer = make_layer(RNN_TANH, 3, 5, dtype=dtype)
    x, view, value = normal((4, 2, 3), dtype), layer.params["weight_hh_l0"], normal((5, 5), dtype)
    output, _ = layer(x)
    layer.params["weight_hh_l0"] = value
    layer.params.update(bias_ih_l0=np.ones(5, dtype))
    assert layer.params["weight_hh_l0"] is view
    np.testing.assert_array_equal(view, value)
    assert np.shares_memory(view, layer.flat)
    assert not np.shares_memory(view, value)
    np.testing.assert_array_equal(layer.params["bias_ih_l0"], 1)
    assert not np.array_equal(layer(x)[0], output)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.__setitem__("weight", np.ones(5)), KeyError, "unknown parameter 'weight'"),
        (
            lambda p: p.__setitem__("bias_hh_l0", np.ones(4, np.float32)),
            ValueError,
            r"bias_hh_l0 must have shape \(H,\) = \(5,\), got \(4,\)",
        ),
        (lambda p: p.__setitem__("bias_hh_l0", 1.0), TypeError, "bias_hh_l0 must be float32"),
        (lambda p: p.__delitem__("bias_hh_l0"), TypeError, "cannot be added or removed"),
        (lambda p: p.pop("bias_hh_l0"), TypeError, "cannot be added or removed"),
        (lambda p: p.popitem(), TypeError, "cannot be added or removed"),
        (lambda p: p.clear(), TypeError, "cannot be added or removed"),
        (lambda p: p.setdefault("weight", 1), TypeError, "cannot be added or removed"),
        (lambda p: p.__ior__({"bias_hh_l0": 1}), TypeError, "bias_hh_l0 must be float32"),
    ],
    ids=["name", "shape", "scalar", "del", "pop", "popitem", "clear", "setdefault", "ior"],
)
def test_names_and_shapes_are_fixed(change: Any, error: Any, message: str) -> None:
    layer = make_layer(RNN_TANH, 3, 5)
    views, before = dict(layer.params), layer.flat.copy()
    with pytest.raises(error, match=message):
        change(layer.params)
    assert list(layer.params) == list(views)
    assert all(layer.params[name] is view for name, view in views.items())
    np.testing.assert_array_equal(layer.flat, before)


def test_the_gates_stand_in_the_meaning_of_a_shape() -> None:
    from test_cells import LSTM

    layer = make_layer(LSTM, 3, 5, 2, bidirectional=True)
    message = r"weight_ih_l1_reverse must have shape \(4\*H, 2\*H\) = \(20, 10\), got \(20, 5\)"
    with pytest.raises(ValueError, match=message):
        layer.params["weight_ih_l1_reverse"] = np.zeros((20, 5), np.float32)


@pytest.mark.parametrize("made", [lambda: fastrnn.GRU(3, 5, seed=0), lambda: fastrnn.LSTMCell(3, 5),
                                  lambda: fastrnn.LanguageModel(4, vocabulary=7)])  # fmt: skip
def test_assigning_to_flat_copies_into_it(made: Any) -> None:
    holder = made()
    flat = holder.flat
    before = flat.copy()
    holder.flat -= np.float32(0.5)
    assert holder.flat is flat
    np.testing.assert_array_equal(flat, before - np.float32(0.5))
    holder.flat = before
    np.testing.assert_array_equal(flat, before)
    with pytest.raises(ValueError, match=r"flat must have shape \(all parameters,\) = "):
        holder.flat = before[1:]
    with pytest.raises(TypeError, match="flat must be float32, got float64"):
        holder.flat = before.astype(np.float64)
