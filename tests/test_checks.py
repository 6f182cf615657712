"""The door: what users may give, and what they read when they give something else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, EACH_CELL, PLAIN, make_layer, normal

import fastrnn
from fastrnn import checks
from fastrnn.cells import RNN_TANH

T, N, I, H = 6, 4, 3, 5  # noqa: E741


def unaligned(array: Any) -> Any:
    raw = np.zeros(array.nbytes + 1, np.uint8)[1:]
    copy = raw.view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def read_only(array: Any) -> Any:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def strided(array: Any) -> Any:
    room = np.full([2 * n for n in array.shape], np.nan, array.dtype)
    view = room[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def backwards(array: Any) -> Any:
    return array[::-1].copy()[::-1]


LAYOUTS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "backwards": backwards,
    "read-only": read_only,
    "read-only fortran": lambda a: read_only(np.asfortranarray(a)),
    "unaligned": unaligned,
    "subclass": lambda a: a.view(np.recarray),
}


@DTYPES
@EACH_CELL
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_layout_gives_the_same_bits_and_is_not_written_to(
    layout: str, cell: Any, dtype: Any
) -> None:
    layer = make_layer(cell, I, H, 2, bidirectional=True, dtype=dtype)
    plain = [normal((T, N, I), dtype), normal((4, N, H), dtype, 1)]
    plain += [normal((T, N, 2 * H), dtype, 2), normal((4, N, H), dtype, 3)]

    def run(x: Any, state: Any, d_output: Any, d_state: Any) -> list[Any]:
        output, final, tape = layer.forward(x, state)
        grads = layer.backward(tape, d_output, d_state)
        return [*layer(x, state), output, final, grads.x, grads.state, grads.flat]

    expected, compiled = run(*plain), compile_seconds()
    given = [LAYOUTS[layout](a) for a in plain]
    before = [a.tobytes() for a in (*given, layer.flat)]
    for actual, desired in zip(run(*given), expected, strict=True):
        assert type(actual) is np.ndarray
        np.testing.assert_array_equal(actual, desired)
    assert [a.tobytes() for a in (*given, layer.flat)] == before
    assert compile_seconds() == compiled  # no kernel is compiled for a layout


def compile_seconds() -> float:
    from fastrnn.kernels import jit

    return jit.compile_seconds()


@DTYPES
def test_broadcast_arrays_and_lists_are_arrays(dtype: Any) -> None:
    layer = make_layer(RNN_TANH, I, H, dtype=dtype)
    row, state = normal((I,), dtype), normal((1, 1, H), dtype, 1)
    wide, states = np.broadcast_to(row, (T, N, I)), np.broadcast_to(state, (1, N, H))
    expected, _ = layer(wide.copy(), states.copy())
    np.testing.assert_array_equal(layer(wide, states)[0], expected)
    output, _, tape = layer.forward(wide, states)
    grads = layer.backward(tape, np.broadcast_to(dtype(1), output.shape))
    np.testing.assert_array_equal(grads.flat, layer.backward(tape, np.ones_like(output)).flat)
    if dtype is np.float64:
        np.testing.assert_array_equal(layer(wide.tolist(), states.tolist())[0], expected)
    else:
        with pytest.raises(TypeError, match="x must be float32, got float64"):
            layer(wide.tolist())


WRONG_TYPES = ["f2", "f8", "i4", "i8", "u1", "?", "c8", "O"]


@pytest.mark.parametrize("kind", WRONG_TYPES)
@pytest.mark.parametrize("name", ["x", "state", "d_output", "d_state"])
def test_other_types_are_refused_by_name(name: str, kind: str) -> None:
    layer = make_layer(RNN_TANH, I, H)
    wrong = np.dtype(kind)
    good = {"x": (T, N, I), "state": (1, N, H), "d_output": (T, N, H), "d_state": (1, N, H)}
    given: Any = {n: np.ones(s, wrong if n == name else np.float32) for n, s in good.items()}
    message = rf"^{name} must be float32, got {wrong.name}: convert it"
    if name in ("x", "state"):
        for run in (layer, layer.forward):
            with pytest.raises(TypeError, match=message):
                run(given["x"], given["state"])
    else:
        tape = layer.forward(given["x"])[2]
        with pytest.raises(TypeError, match=message):
            layer.backward(tape, given["d_output"], given["d_state"])


@DTYPES
def test_the_other_byte_order_is_refused_and_named(dtype: Any) -> None:
    layer = make_layer(RNN_TANH, I, H, dtype=dtype)
    swapped = np.dtype(dtype).newbyteorder()
    with pytest.raises(TypeError, match=r"^x must be float\d\d.*(byte|endian|order|'>f\d')"):
        layer(np.zeros((T, N, I), swapped))


X, STATE = np.zeros((T, N, I), np.float32), np.zeros((1, N, H), np.float32)
WRONG_SHAPES: list[tuple[str, Any, str]] = [
    ("x", X[0, 0], r"x must have shape \(T, N, I\) or \(T, I\), got \(3,\)"),
    ("x", X[None], r"x must have shape \(T, N, I\) or \(T, I\), got \(1, 6, 4, 3\)"),
    ("x", X[0, 0, 0], r"x must have shape \(T, N, I\) or \(T, I\), got \(\)"),
    ("x", X[..., :2], r"x must have input_size = 3 numbers .*, got shape \(6, 4, 2\)"),
    ("x", X[0, :, :2], r"x must have input_size = 3 numbers .*, got shape \(4, 2\)"),
    ("x", X[..., :0], r"x must have input_size = 3 numbers .*, got shape \(6, 4, 0\)"),
    ("state", STATE[0], r"state must have shape \(L\*D, N, H\) = \(1, 4, 5\), got \(4, 5\)"),
    ("state", STATE[:, :1], r"state must have shape .* = \(1, 4, 5\), got \(1, 1, 5\)"),
    ("state", STATE[..., :4], r"state must have shape .* = \(1, 4, 5\), got \(1, 4, 4\)"),
    ("state", np.zeros((2, N, H), np.float32), r"state .* = \(1, 4, 5\), got \(2, 4, 5\)"),
    ("d_output", X, r"d_output must have shape \(T, N, D\*H\) = \(6, 4, 5\), got \(6, 4, 3\)"),
    ("d_output", STATE, r"d_output must have shape .* = \(6, 4, 5\), got \(1, 4, 5\)"),
    ("d_output", STATE[0, 0, 0], r"d_output must have shape .* = \(6, 4, 5\), got \(\)"),
    ("d_state", STATE[0], r"d_state must have shape \(L\*D, N, H\) = \(1, 4, 5\), got \(4, 5\)"),
]


@pytest.mark.parametrize(("name", "wrong", "message"), WRONG_SHAPES)
def test_wrong_shapes_are_refused_before_any_work(name: str, wrong: Any, message: str) -> None:
    layer = make_layer(RNN_TANH, I, H)
    before, tape = layer.flat.tobytes(), layer.forward(X)[2]
    given = {"x": X, "state": None, "d_output": None, "d_state": None, name: wrong}

    def run() -> None:
        if name in ("x", "state"):
            layer.forward(given["x"], given["state"])
        layer.backward(tape, given["d_output"], given["d_state"])

    with pytest.raises(ValueError, match=message):
        run()
    assert layer.flat.tobytes() == before


def test_layouts_of_batch_first_and_unbatched_are_named() -> None:
    first = make_layer(RNN_TANH, I, H, batch_first=True)
    with pytest.raises(ValueError, match=r"x must have shape \(N, T, I\) or \(T, I\), got \(3,\)"):
        first(X[0, 0])
    tape = first.forward(X)[2]  # N = 6, T = 4
    with pytest.raises(
        ValueError, match=r"d_output .* \(N, T, D\*H\) = \(6, 4, 5\), got \(4, 6, 5\)"
    ):
        first.backward(tape, np.zeros((4, 6, 5), np.float32))
    with pytest.raises(ValueError, match=r"state .* \(L\*D, H\) = \(1, 5\), got \(1, 4, 5\)"):
        first(X[0], STATE)
    tape = first.forward(X[0])[2]
    with pytest.raises(ValueError, match=r"d_output .* \(T, D\*H\) = \(4, 5\), got \(4, 4\)"):
        first.backward(tape, np.zeros((4, 4), np.float32))


WRONG_TOKENS: list[tuple[Any, type[Exception], str]] = [
    ([[0, 1], [2, 3]], ValueError, r"tokens must be in .* \[0, 3\), got 3 at index \(1, 1\)"),
    ([0, -1, 2], ValueError, r"tokens must be in \[0, input_size\) = \[0, 3\), got -1 at index 1"),
    (np.array([0, 2**63 + 5], np.uint64), ValueError, r"tokens .*, got 9223372036854775813 at"),
    (np.array([0, -(2**63)]), ValueError, r"tokens .*, got -9223372036854775808 at index 1"),
    ([0.0, 1.0], TypeError, "tokens must be integers, got float64"),
    (np.zeros((0, 2), np.float32), TypeError, "tokens must be integers, got float32"),
    ([True, False], TypeError, "tokens must be integers, got bool"),
    ("ab", TypeError, "tokens must be integers, got str"),
    (None, TypeError, "tokens must be integers, got object"),
    (1, ValueError, r"tokens must have shape \(T, N\) or \(T,\), got \(\)"),
    (np.zeros((1, 2, 3), int), ValueError, r"tokens must have .* or \(T,\), got \(1, 2, 3\)"),
]  # fmt: skip


@pytest.mark.parametrize(("tokens", "error", "message"), WRONG_TOKENS)
def test_wrong_tokens_are_refused(tokens: Any, error: Any, message: str) -> None:
    layer = make_layer(RNN_TANH, 3, H)
    before = layer.flat.tobytes()
    for run in (layer, layer.forward):
        with pytest.raises(error, match=message):
            run(fastrnn.OneHot(tokens))
    assert layer.flat.tobytes() == before


@pytest.mark.parametrize("x", [None, "text", object(), [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_is_refused_by_name(x: Any) -> None:
    layer = make_layer(RNN_TANH, I, H)
    with pytest.raises((TypeError, ValueError), match=r"^x must be"):
        layer(x)


def test_a_tape_is_that_of_the_layer() -> None:
    layer = make_layer(RNN_TANH, I, H)
    with pytest.raises(TypeError, match="tape must be what forward returned, got tuple"):
        layer.backward(layer.forward(X))
    others = [
        make_layer(RNN_TANH, I, H + 1),
        make_layer(RNN_TANH, I + 1, H),
        make_layer(RNN_TANH, I, H, 2),
        make_layer(RNN_TANH, I, H, bidirectional=True),
        make_layer(RNN_TANH, I, H, dtype=np.float64),
    ]
    for other in others:
        x = np.zeros((T, N, other.input_size), other.dtype)
        tape = other.forward(x)[2]
        with pytest.raises((TypeError, ValueError), match=r"^tape must be"):
            layer.backward(tape)


WRONG_LAYERS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"input_size": 0}, ValueError, "input_size must be at least 1, got 0"),
    ({"hidden_size": -1}, ValueError, "hidden_size must be at least 1, got -1"),
    ({"hidden_size": 2.0}, TypeError, "hidden_size must be an integer, got 2.0 of type float"),
    ({"num_layers": True}, TypeError, "num_layers must be an integer, got True of type bool"),
    ({"num_layers": "2"}, TypeError, "num_layers must be an integer, got '2' of type str"),
    ({"bias": 1}, TypeError, "bias must be True or False, got 1"),
    ({"batch_first": None}, TypeError, "batch_first must be True or False, got None"),
    ({"bidirectional": "no"}, TypeError, "bidirectional must be True or False, got 'no'"),
    ({"dropout": 1.5}, ValueError, "dropout must be at least 0 and at most 1, got 1.5"),
    ({"dropout": -0.1}, ValueError, "dropout must be at least 0 and at most 1, got -0.1"),
    ({"dropout": np.nan}, ValueError, "a number of at least 0 and at most 1, got nan"),
    ({"dropout": "0.5"}, TypeError, "dropout must be a number, got '0.5' of type str"),
    ({"dropout": True}, TypeError, "dropout must be a number, got True of type bool"),
    ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64, got .*float16"),
    ({"dtype": int}, TypeError, "dtype must be float32 or float64, got <class 'int'>"),
    ({"dtype": "nonsense"}, TypeError, "dtype must be float32 or float64, got 'nonsense'"),
    ({"dtype": np.dtype("f4").newbyteorder()}, TypeError, "dtype must be float32 or float64"),
    ({"nonlinearity": "sigmoid"}, ValueError, "nonlinearity must be one of .*, got 'sigmoid'"),
    ({"nonlinearity": None}, ValueError, "nonlinearity must be one of 'tanh', 'relu', got None"),
    ({"seed": -1}, ValueError, "seed must be"),
    ({"seed": "x"}, TypeError, "seed must be"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), WRONG_LAYERS, ids=str)
def test_wrong_layers_are_refused(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        fastrnn.RNN(**{"input_size": 3, "hidden_size": 5, **options})


def test_numpy_scalars_are_numbers() -> None:
    layer = fastrnn.RNN(
        np.int64(3), np.uint8(5), bias=np.bool_(True), dropout=np.float32(0.5), dtype="float64"
    )
    assert layer.params["weight_ih_l0"].shape == (5, 3)
    assert layer.dtype == np.float64
    assert checks.check_number("rate", np.float32(0.5), above=0) == 0.5
    wrong = ((0, "above 0"), (np.inf, "finite and above 0"), (np.nan, "a number above 0"))
    for value, wanted in wrong:
        with pytest.raises(ValueError, match=f"rate must be {wanted}, got {value:g}"):
            checks.check_number("rate", value, above=0)
    with pytest.raises(ValueError, match="rate must be finite, got inf"):
        checks.check_number("rate", np.inf)
    assert PLAIN or layer(np.zeros((T, I)))[0].shape == (T, 5)
