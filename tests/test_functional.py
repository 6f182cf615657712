"""The functions on plain arrays: the naive network, and the layers' bits."""

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
from fastrnn.functional import (
    gru,
    gru_backward,
    gru_forward,
    lstm,
    lstm_backward,
    lstm_forward,
    rnn,
    rnn_backward,
    rnn_forward,
)

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


# --- LSTM and GRU ---

GATED = {  # the functions, the layer, and the number of gates and of states
    "lstm": (lstm, lstm_forward, lstm_backward, fastrnn.LSTM, 4, 2),
    "gru": (gru, gru_forward, gru_backward, fastrnn.GRU, 3, 1),
}


def as_state(values: list[Any]) -> Any:
    return tuple(values) if len(values) > 1 else values[0]


def as_list(value: Any) -> list[Any]:
    return [*value] if isinstance(value, tuple) else [value]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("time", "batch"), [(40, 9), (300, 1), (0, 3), (4, 0)])
@pytest.mark.parametrize("name", GATED)
def test_gated_functions_are_the_layer_bit_for_bit(
    name: str, time: int, batch: int, bias: bool, dtype: Any
) -> None:
    infer, forward, backward, make, gates, count = GATED[name]
    layer: Any = make(3, 13, bias=bias, dtype=dtype, seed=0)
    assert layer.params["weight_hh_l0"].shape == (gates * 13, 13)
    parts = list(layer.state_dict().values())
    x, d_output = normal((time, batch, 3), dtype), normal((time, batch, 13), dtype, 1)
    state = [normal((batch, 13), dtype, 2 + i) for i in range(count)]
    d_state = [normal((batch, 13), dtype, 5 + i) for i in range(count)]
    output, final, tape = layer.forward(x, as_state([s[None] for s in state]))
    ours, last, our_tape = forward(x, as_state(state), *parts)
    called, called_last = infer(x, as_state(state), *parts)
    assert ours.tobytes() == called.tobytes() == output.tobytes()
    assert not ours.flags.writeable
    for a, b, c in zip(*map(as_list, (last, called_last, final)), strict=True):
        assert a.tobytes() == b.tobytes() == c[0].tobytes()
    for given_output, given_state in ((True, True), (True, False), (False, True)):
        wanted = d_output if given_output else None
        grads = layer.backward(
            tape, wanted, as_state([d[None] for d in d_state]) if given_state else None
        )
        our_grads = backward(our_tape, wanted, as_state(d_state) if given_state else None)
        assert our_grads.x.tobytes() == grads.x.tobytes()
        for a, b in zip(as_list(our_grads.state), as_list(grads.state), strict=True):
            assert a.shape == (batch, 13)
            assert a.tobytes() == b[0].tobytes()
        for parameter in PARAMETERS:
            actual, desired = getattr(our_grads, parameter), grads.params.get(f"{parameter}_l0")
            assert (actual is None) == (desired is None)
            if desired is not None:
                assert actual.shape == desired.shape
                assert actual.tobytes() == desired.tobytes()


def test_a_bad_argument_of_a_gated_function_is_named() -> None:
    x, h = np.zeros((4, 2, 3), F4), np.zeros((2, 5), F4)
    w_ih, w_hh = np.zeros((20, 3), F4), np.zeros((20, 5), F4)
    _, _, tape = lstm_forward(x, (h, h), w_ih, w_hh)
    _, _, rnn_tape = rnn_forward(x, h, w_ih[:5], w_hh[:5])
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: lstm(x, h, w_ih, w_hh), TypeError, "state must be a tuple (h, c), got ndarray"),
        (
            lambda: lstm(x, (h, h[:1]), w_ih, w_hh),
            ValueError,
            "state c must have shape (N, H) = (2, 5), got (1, 5)",
        ),
        (
            lambda: lstm(x, (h[:1], h), w_ih, w_hh),
            ValueError,
            "state h must have shape (N, H) = (2, H), got (1, 5)",
        ),
        (
            lambda: gru(x, h, w_ih, w_hh),
            ValueError,
            "weight_ih must have shape (3*H, I) = (15, 3), got (20, 3)",
        ),
        (
            lambda: gru(x, h, w_ih[:15], w_hh[:15], h[0], h[0]),
            ValueError,
            "bias_ih must have shape (3*H,) = (15,), got (5,)",
        ),
        (
            lambda: lstm_backward(tape, None, h),  # type: ignore[arg-type]
            TypeError,
            "d_state must be a tuple (h, c), got ndarray",
        ),
        (
            lambda: lstm_backward(tape, None, (h, h[0])),
            ValueError,
            "d_state c must have shape (N, H) = (2, 5), got (5,)",
        ),
        (
            lambda: gru_backward(tape),
            ValueError,
            "tape must be what gru_forward returned, got one of lstm",
        ),
        (
            lambda: lstm_backward(rnn_tape),
            ValueError,
            "tape must be what lstm_forward returned, got one of rnn_tanh",
        ),
        (lambda: gru_backward(None), TypeError, "tape must be what gru_forward returned, got None"),  # type: ignore[arg-type]
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=re.escape(message)):
            call()
