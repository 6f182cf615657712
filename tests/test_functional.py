"""The functions on plain arrays: the naive network, and the layer's bits."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from conftest import assert_close, eps, normal, wide
from hypothesis import assume, given
from hypothesis import strategies as st

import fastrnn
from fastrnn import reference
from fastrnn.functional import rnn, rnn_backward, rnn_forward

K_NAIVE = 64  # k of k*eps: the same sums in another order
#: Each activation in one precision: the layer's tests have them all, and compile them all.
KINDS = [("tanh", np.float32), ("relu", np.float64)]
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def arguments(
    time: int, batch: int, inputs: int, hidden: int, dtype: Any, bias: bool = True, seed: int = 0
) -> tuple[list[Any], list[Any]]:
    """The arguments of `rnn`, and gradients of its results."""
    weight = 1 / np.sqrt(hidden)
    shapes = [(hidden, inputs), (hidden, hidden)] + [(hidden,)] * 2 * bias
    parts = [(weight * normal(s, dtype, seed + i)).astype(dtype) for i, s in enumerate(shapes)]
    x, state = normal((time, batch, inputs), dtype, seed + 9), normal((batch, hidden), dtype, seed)
    wanted = [normal((time, batch, hidden), dtype, seed + 7), normal((batch, hidden), dtype, 8)]
    return [x, state, *parts], wanted


@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 34), st.integers(1, 20), st.integers(1, 40)),
    kind=st.sampled_from(KINDS),
    bias=st.booleans(),
    given_=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 99),
)
def test_functions_are_the_naive_network(
    sizes: Any, kind: Any, bias: bool, given_: Any, seed: int
) -> None:
    nonlinearity, dtype = kind
    args, wanted = arguments(*sizes, dtype, bias, seed)
    d_output, d_state = (d if g else None for d, g in zip(wanted, given_, strict=True))
    before = [a.copy() for a in args]
    output, state, tape = rnn_forward(*args, nonlinearity=nonlinearity)
    for actual, desired in zip(rnn(*args, nonlinearity=nonlinearity), (output, state), strict=True):
        np.testing.assert_array_equal(actual, desired)
    grads = rnn_backward(tape, d_output, d_state)

    x, h0, *parts = (wide(a) for a in args)
    params = {f"{name}_l0": p for name, p in zip(PARAMETERS, parts, strict=False)}
    naive, naive_n, cache = reference.rnn_forward(x, h0[None], params, nonlinearity=nonlinearity)
    assert_close(output, naive, K_NAIVE * eps(dtype), "output")
    assert_close(state, naive_n[0], K_NAIVE * eps(dtype), "state")
    assume(nonlinearity == "tanh" or np.array_equal(output > 0, naive > 0))
    last = None if d_state is None else wide(d_state)[None]
    d_x, d_h0, naive_grads = reference.rnn_backward(cache, wide(d_output), last)
    pairs = {"x": d_x, "state": d_h0[0]} | {n: naive_grads.get(f"{n}_l0") for n in PARAMETERS}
    for name, desired in pairs.items():
        actual = getattr(grads, name)
        if desired is None:
            assert actual is None
        else:
            assert actual.dtype == dtype
            assert_close(actual, desired, K_NAIVE * eps(dtype), name)
    for array, old in zip(args, before, strict=True):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize(("nonlinearity", "dtype"), KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("time", "batch"), [(40, 9), (300, 1), (0, 3), (4, 0)])
def test_functions_are_the_layer_bit_for_bit(
    time: int, batch: int, bias: bool, nonlinearity: str, dtype: Any
) -> None:
    (x, state, *parts), (d_output, d_state) = arguments(time, batch, 3, 13, dtype, bias)
    layer = fastrnn.RNN(3, 13, nonlinearity=nonlinearity, bias=bias, dtype=dtype)
    for place, part in zip(layer.params.values(), parts, strict=True):
        place[...] = part
    output, final, tape = layer.forward(x, state[None])
    grads = layer.backward(tape, d_output, d_state[None])
    ours, last, our_tape = rnn_forward(x, state, *parts, nonlinearity=nonlinearity)
    our_grads = rnn_backward(our_tape, d_output, d_state)
    assert ours.tobytes() == output.tobytes()
    assert last.tobytes() == final[0].tobytes()
    assert our_grads.x.tobytes() == grads.x.tobytes()
    assert our_grads.state.tobytes() == grads.state[0].tobytes()
    for name in PARAMETERS[: 2 + 2 * bias]:
        assert getattr(our_grads, name).tobytes() == grads.params[f"{name}_l0"].tobytes()


def test_any_layout_gives_the_same_bits() -> None:
    args, (d_output, _) = arguments(12, 5, 3, 7, np.float32)

    def results(values: list[Any], d: Any) -> list[bytes]:
        output, state, tape = rnn_forward(*values)
        grads = rnn_backward(tape, d)
        return [a.tobytes() for a in (output, state, *grads)]

    def read_only(a: Any) -> Any:
        copy = a.copy()
        copy.flags.writeable = False
        return copy

    layouts = [np.asfortranarray, read_only, lambda a: np.repeat(a, 2, axis=-1)[..., ::2]]
    expected = results(args, d_output)
    for layout in layouts:
        assert results([layout(a) for a in args], layout(d_output)) == expected
    output, _, tape = rnn_forward(*args)
    assert not output.flags.writeable
    for _ in range(2):  # a tape can be used again
        assert [a.tobytes() for a in rnn_backward(tape, d_output)] == expected[2:]


F4 = np.float32
BAD_ARGUMENTS = [  # argument, what it is instead, the error, its message
    ("x", np.zeros((4, 3), F4), ValueError, "x must have shape (T, N, I) with I at least 1, got"),
    ("x", np.zeros((4, 2, 0), F4), ValueError, "x must have shape (T, N, I) with I at least 1"),
    ("x", np.zeros((4, 2, 3), int), TypeError, "dtype must be float32 or float64, got"),
    ("x", [[1.0], [1.0, 2.0]], ValueError, "x must be an array, got a list"),
    (
        "state",
        np.zeros((3, 5), F4),
        ValueError,
        "state must have shape (N, H) = (2, H), got (3, 5)",
    ),
    (
        "state",
        np.zeros((2, 0), F4),
        ValueError,
        "state must have shape (N, H) = (2, H), got (2, 0)",
    ),
    ("state", np.zeros((2, 5)), TypeError, "state must be float32, got float64"),
    ("weight_ih", np.zeros((3, 5), F4), ValueError, "weight_ih must have shape (H, I) = (5, 3)"),
    ("weight_hh", np.zeros((5, 4), F4), ValueError, "weight_hh must have shape (H, H) = (5, 5)"),
    (
        "bias_ih",
        np.zeros((5, 1), F4),
        ValueError,
        "bias_ih must have shape (H,) = (5,), got (5, 1)",
    ),
    ("bias_hh", np.zeros(4, F4), ValueError, "bias_hh must have shape (H,) = (5,), got (4,)"),
    ("bias_hh", np.zeros(5), TypeError, "bias_hh must be float32, got float64"),
    ("bias_ih", None, ValueError, "bias_ih and bias_hh must both be given or neither, got bias_hh"),
    ("bias_hh", None, ValueError, "bias_ih and bias_hh must both be given or neither, got bias_ih"),
    ("nonlinearity", "gelu", ValueError, "nonlinearity must be one of 'tanh', 'relu', got 'gelu'"),
]


@pytest.mark.parametrize("function", [rnn, rnn_forward])
@pytest.mark.parametrize(("name", "value", "error", "message"), BAD_ARGUMENTS)
def test_a_bad_argument_is_named(
    name: str, value: Any, error: type[Exception], message: str, function: Any
) -> None:
    names = ("x", "state", *PARAMETERS)
    given_ = dict(zip(names, arguments(4, 2, 3, 5, F4)[0], strict=True))
    with pytest.raises(error, match=re.escape(message)):
        function(**{**given_, name: value})


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({"d_output": np.zeros((4, 2, 3), F4)}, ValueError, "d_output must have shape (T, N, H) ="),
        ({"d_output": np.zeros((4, 2, 5))}, TypeError, "d_output must be float32, got float64"),
        (
            {"d_state": np.zeros((1, 2, 5), F4)},
            ValueError,
            "d_state must have shape (N, H) = (2, 5)",
        ),
        ({"d_state": np.zeros((2, 5), int)}, TypeError, "d_state must be float32, got int64"),
        ({"tape": (1, 2)}, TypeError, "tape must be what rnn_forward returned, got tuple"),
    ],
)
def test_a_bad_gradient_is_named(wanted: Any, error: type[Exception], message: str) -> None:
    _, _, tape = rnn_forward(*arguments(4, 2, 3, 5, F4)[0])
    with pytest.raises(error, match=re.escape(message)):
        rnn_backward(**{"tape": tape, **wanted})
