"""Truncated backpropagation through time, by a rule and at random."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import assert_close, eps, normal
from hypothesis import given
from hypothesis import strategies as st

import fastrnn
from fastrnn.truncation import (
    cut_probability,
    randomized_bptt,
    truncated_bptt,
    truncated_turns,
    weighted_bptt,
)

#: Sums of some hundred products of numbers of about one, in other orders.
TOLERANCE = 64 * eps(np.float64)
LAYERS = {
    "rnn": lambda: fastrnn.RNN(3, 5, dtype=np.float64, seed=1),
    "two lstm": lambda: fastrnn.LSTM(3, 5, 2, dtype=np.float64, seed=2),
    "gru": lambda: fastrnn.GRU(3, 5, batch_first=True, dtype=np.float64, seed=3),
}
EACH_LAYER = pytest.mark.parametrize("name", LAYERS)


def problem(name: str, time: int, batch: int = 2) -> tuple[Any, ...]:
    """A layer and all that its gradients depend on: (layer, x, d_output, state, d_state)."""
    layer = LAYERS[name]()
    outer = (batch, time) if layer.batch_first else (time, batch)
    rows = (layer.num_layers, batch, 5)
    states = [normal(rows, np.float64, seed) for seed in (3, 4, 5, 6)]
    if name == "two lstm":
        state, d_state = (states[0], states[1]), (states[2], states[3])
    else:
        state, d_state = states[0], states[2]
    x, d_output = normal((*outer, 3), np.float64, 1), normal((*outer, 5), np.float64, 2)
    return layer, x, d_output, state, d_state


def full(problem: tuple[Any, ...]) -> tuple[Any, ...]:
    layer, x, d_output, state, d_state = problem
    output, final, tape = layer.forward(x, state)
    return output, final, layer.backward(tape, d_output, d_state)


def assert_same(found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    for name, one, other in zip(("output", "state"), found[:2], expected[:2], strict=True):
        assert_close(np.array(one), np.array(other), TOLERANCE, name)
    assert_same_grads(found[2], expected[2])


def assert_same_grads(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    assert found.params.keys() == expected.params.keys()
    for name, array in expected.params.items():
        assert_close(found.params[name], array, tolerance, name)
    assert_close(found.flat, expected.flat, tolerance, "flat")
    assert_close(found.x, expected.x, tolerance, "x")
    assert_close(np.array(found.state), np.array(expected.state), tolerance, "state")


@EACH_LAYER
@pytest.mark.parametrize("k1", range(1, 9))
def test_it_is_full_backpropagation_where_k2_covers_the_sequence(name: str, k1: int) -> None:
    given = problem(name, 7)
    layer, x, d_output, state, d_state = given
    for k2 in (7, 8, 100):
        found = truncated_bptt(layer, x, d_output, k1, k2, state, d_state=d_state)
        assert_same(found, full(given))


def by_definition(
    layer: Any, x: Any, d_output: Any, k1: int, k2: int, h0: Any
) -> dict[str, np.ndarray]:
    """Every error goes back alone, step by step, as long as its turn's window allows."""
    w_ih, w_hh = (layer.params[f"weight_{part}_l0"] for part in ("ih", "hh"))
    bias = layer.params["bias_ih_l0"] + layer.params["bias_hh_l0"]
    h = [h0[0]]
    for x_t in x:
        h.append(np.tanh(x_t @ w_ih.T + h[-1] @ w_hh.T + bias))
    found = {"ih": 0 * w_ih, "hh": 0 * w_hh, "bias": 0 * bias, "x": 0 * x, "state": 0 * h0}
    for start in range(0, len(x), k1):
        stop = min(start + k1, len(x))
        window = max(0, stop - k2)
        for t in range(max(start, window), stop):
            delta = d_output[t]
            for u in range(t, window - 1, -1):
                d_a = delta * (1 - h[u + 1] ** 2)
                found["ih"] += d_a.T @ x[u]
                found["hh"] += d_a.T @ h[u]
                found["bias"] += d_a.sum(0)
                found["x"][u] += d_a @ w_ih
                delta = d_a @ w_hh
            if window == 0:
                found["state"][0] += delta
    return found


@given(st.integers(1, 9), st.integers(1, 10), st.integers(1, 10))
def test_each_error_goes_back_as_far_as_the_definition_says(time: int, k1: int, k2: int) -> None:
    layer, x, d_output, state, _ = problem("rnn", time)
    expected = by_definition(layer, x, d_output, k1, k2, state)
    output, final, grads = truncated_bptt(layer, x, d_output, k1, k2, state)
    reference = layer(x, state)
    assert_close(output, reference[0], TOLERANCE)
    assert_close(final, reference[1], TOLERANCE)
    for name, array in (
        ("ih", grads.params["weight_ih_l0"]),
        ("hh", grads.params["weight_hh_l0"]),
        ("bias", grads.params["bias_ih_l0"]),
        ("bias", grads.params["bias_hh_l0"]),
        ("x", grads.x),
        ("state", grads.state),
    ):
        assert_close(array, expected[name], TOLERANCE, name)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 9))
def test_a_callable_sees_each_step_once_and_in_order(time: int, k1: int, k2: int) -> None:
    layer, x, weights, state, _ = problem("gru", time)
    seen: list[tuple[int, int]] = []

    def d_output(output: Any, start: int, stop: int) -> Any:
        seen.append((start, stop))
        assert output.shape == (2, stop - start, 5)
        return 2 * output * weights[:, start:stop]

    found = truncated_bptt(layer, x, d_output, k1, k2, state)
    assert seen == [(i, min(i + k1, time)) for i in range(0, time, k1)]
    expected = truncated_bptt(layer, x, 2 * layer(x, state)[0] * weights, k1, k2, state)
    assert_same(found, expected)


@pytest.mark.parametrize(("k1", "k2"), [(2, 5), (1, 3), (3, 3), (3, 1), (2, 20)])
def test_a_turn_has_the_gradient_of_the_parameters_of_now(k1: int, k2: int) -> None:
    layer, x, d_output, state, d_state = problem("two lstm", 9)
    twin = LAYERS["two lstm"]()
    place, carried = 0, state
    turns = truncated_turns(layer, x, d_output, k1, k2, state, d_state=d_state)
    for turn in turns:
        start, stop, window = turn.start, turn.stop, turn.window
        assert (stop, window) == (min(start + k1, 9), max(0, stop - k2))
        _, before = twin(x[place:window], carried)
        _, after, tape = twin.forward(x[window:stop], before)
        errors = np.zeros((stop - window, 2, 5))
        errors[-(stop - start) :] = d_output[start:stop][-(stop - window) :]
        expected = twin.backward(tape, errors, d_state if stop == 9 else None)
        assert_same_grads(turn.grads, expected)
        assert_close(np.array(turn.state), np.array(after), TOLERANCE)
        following = max(window, min(stop + k1, 9) - k2)
        place = min(following, stop)
        carried = twin(x[window:place], before)[1]
        # The next turn has other parameters.
        layer.flat[...] -= 0.05 * turn.grads.flat
        twin.flat[...] = layer.flat
    assert stop == 9
    assert not np.array_equal(layer.flat, LAYERS["two lstm"]().flat)


def test_one_sequence_and_tokens_go_as_the_layer_takes_them() -> None:
    layer = fastrnn.RNN(6, 5, dtype=np.float64, seed=0)
    tokens, d_output = np.array([3, 1, 4, 1, 5, 0]), normal((6, 5), np.float64)
    one_hot = np.eye(6)[tokens]
    found = truncated_bptt(layer, fastrnn.OneHot(tokens), d_output, 2, 3)
    dense = truncated_bptt(layer, one_hot, d_output, 2, 3)
    assert found[2].x is None
    assert found[0].shape == (6, 5)
    assert dense[2].x.shape == (6, 6)
    assert_close(found[2].flat, dense[2].flat, TOLERANCE)
    assert truncated_bptt(layer, one_hot, d_output, 2, 3, wants_x=False)[2].x is None
    for k1 in (2, 6):
        _, _, tape = layer.forward(fastrnn.OneHot(tokens))
        found = truncated_bptt(layer, fastrnn.OneHot(tokens), d_output, k1, 6)
        assert_close(found[2].flat, layer.backward(tape, d_output).flat, TOLERANCE)


def test_float32_stays_float32() -> None:
    layer = fastrnn.GRU(3, 5, seed=0)
    x, d_output = normal((6, 2, 3), np.float32), normal((6, 2, 5), np.float32)
    for _, _, grads in (
        truncated_bptt(layer, x, d_output, 2, 3),
        randomized_bptt(layer, x, d_output, 2.5, seed=0),
    ):
        assert {a.dtype for a in (grads.x, grads.state, grads.flat)} == {np.dtype(np.float32)}


# Truncation at random.


@EACH_LAYER
@pytest.mark.parametrize("every", [1, 2, 3, 20])
def test_weights_of_one_are_full_backpropagation(name: str, every: int) -> None:
    given = problem(name, 7)
    layer, x, d_output, state, d_state = given
    boundaries = -(-7 // every) - 1
    # Pieces whose boundary has the weight 1 run as one; the number beside 1 keeps them apart.
    for weights in ([1] * boundaries, [1 + eps(np.float64)] * boundaries):
        found = weighted_bptt(layer, x, d_output, weights, state, every=every, d_state=d_state)
        assert_same(found, full(given))


@EACH_LAYER
@pytest.mark.parametrize("every", [1, 2, 3, 20])
def test_weights_of_zero_are_chunks(name: str, every: int) -> None:
    layer, x, d_output, state, d_state = problem(name, 6)
    weights = [0] * (-(-6 // every) - 1)
    found = weighted_bptt(layer, x, d_output, weights, state, every=every, d_state=d_state)
    assert_same(found, truncated_bptt(layer, x, d_output, every, every, state, d_state=d_state))


def patterns(boundaries: int, mean_length: float, alpha: float | None) -> Any:
    """Every way to cut or not to cut, with its probability and its weights."""
    for cuts in product((False, True), repeat=boundaries):
        probability, weights, length = 1.0, [], 1
        for cut in cuts:
            c = cut_probability(length, mean_length, alpha)
            probability *= c if cut else 1 - c
            weights.append(0.0 if cut else 1 / (1 - c))
            length = 1 if cut else length + 1
        yield probability, weights


@EACH_LAYER
@pytest.mark.parametrize(("time", "every"), [(8, 1), (7, 2)])
@pytest.mark.parametrize(("mean_length", "alpha"), [(1.5, None), (3.0, None), (2.0, 3.0)])
def test_the_mean_of_all_truncations_is_the_full_gradient(
    name: str, time: int, every: int, mean_length: float, alpha: float | None
) -> None:
    given = problem(name, time)
    layer, x, d_output, state, d_state = given
    boundaries = -(-time // every) - 1
    total, mean_flat, mean_x, mean_state = 0.0, 0.0, 0.0, 0.0
    for probability, weights in patterns(boundaries, mean_length, alpha):
        output, final, grads = weighted_bptt(
            layer, x, d_output, weights, state, every=every, d_state=d_state
        )
        total += probability
        mean_flat += probability * grads.flat
        mean_x += probability * grads.x
        mean_state += probability * np.array(grads.state)
    expected = full(given)
    assert total == pytest.approx(1, abs=TOLERANCE)
    assert_close(output, expected[0], TOLERANCE)
    assert_close(np.array(final), np.array(expected[1]), TOLERANCE)
    # Up to 2**7 terms are added, each with the rounding of a full gradient.
    assert_close(mean_flat, expected[2].flat, 2 * TOLERANCE, "parameters")
    assert_close(mean_x, expected[2].x, 2 * TOLERANCE, "x")
    assert_close(mean_state, np.array(expected[2].state), 2 * TOLERANCE, "state")


def test_draws_have_the_full_gradient_as_their_mean() -> None:
    layer, x, d_output, state, d_state = given = problem("rnn", 6)
    expected = full(given)[2].flat
    rng = np.random.default_rng(0)
    draws = np.array(
        [
            randomized_bptt(layer, x, d_output, 2.0, state, alpha=4.0, d_state=d_state, seed=rng)[
                2
            ].flat
            for _ in range(2000)
        ]
    )
    error = draws.std(axis=0) / math.sqrt(len(draws))
    # Of 50 coordinates none is beyond four standard errors in 99.7 % of all seeds.
    assert error.min() > 0
    assert (np.abs(draws.mean(axis=0) - expected) / error).max() < 4
    # The same would not be said of a truncation without weights.
    biased = truncated_bptt(layer, x, d_output, 2, 2, state, d_state=d_state)[2].flat
    assert (np.abs(biased - expected) / error).max() > 10


def test_the_same_seed_draws_the_same_cuts() -> None:
    layer, x, d_output, state, _ = problem("gru", 9)

    def draw(seed: Any) -> list[float]:
        grads = randomized_bptt(layer, x, d_output, 4, state, every=2, seed=seed)[2]
        return grads.flat.tolist()

    assert draw(7) == draw(7) == draw(np.random.default_rng(7))
    assert len({tuple(draw(seed)) for seed in range(20)}) > 5


@pytest.mark.parametrize(("mean", "alpha"), [(1.5, None), (4.0, None), (1.5, 3.0), (4.0, 6.0)])
def test_chains_have_the_mean_length(mean: float, alpha: float | None) -> None:
    longer, total = 1.0, 0.0
    for length in range(1, 200_001):
        total += longer
        longer *= 1 - cut_probability(length, mean, alpha)
    # What is beyond 2e5 adds about 2e5**(1 - alpha) of 1e5, and rounding 2e5 eps of total.
    assert total == pytest.approx(mean, abs=1e-8)


ARRAYS = {"x": np.zeros((4, 2, 3)), "d_output": np.zeros((4, 2, 5)), "k1": 1, "k2": 2}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"layer": 3}, TypeError, "layer must be a fastrnn layer, got int"),
        (
            {"layer": fastrnn.RNN(3, 5, bidirectional=True, dtype=np.float64)},
            ValueError,
            "layer must have one direction",
        ),
        ({"x": np.zeros((0, 2, 3))}, ValueError, "x must have at least one step, got none"),
        ({"x": np.zeros((4, 2, 4))}, ValueError, "x must have input_size = 3 numbers"),
        ({"x": np.zeros((4, 2, 3), np.float32)}, TypeError, "x must be float64, got float32"),
        ({"d_output": np.zeros((4, 2, 3))}, ValueError, "(T, N, H) = (4, 2, 5), got (4, 2, 3)"),
        ({"d_output": np.zeros((4, 2, 5), np.float32)}, TypeError, "d_output must be float64"),
        (
            {"d_output": lambda output, start, stop: output[:0]},
            ValueError,
            "d_output(...) must have shape that of the outputs = (1, 2, 5), got (0, 2, 5)",
        ),
        ({"k1": 0}, ValueError, "k1 must be at least 1, got 0"),
        ({"k2": 0}, ValueError, "k2 must be at least 1, got 0"),
        ({"k2": 1.5}, TypeError, "k2 must be an integer, got 1.5"),
        ({"state": np.zeros((1, 3, 5))}, ValueError, "state must have shape (L*D, N, H)"),
        ({"d_state": np.zeros((1, 2, 4))}, ValueError, "d_state must have shape (L*D, N, H)"),
        ({"wants_x": 1}, TypeError, "wants_x must be True or False, got 1"),
    ],
)
def test_what_cannot_be_truncated_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"layer": LAYERS["rnn"](), **ARRAYS, **changes}
    with pytest.raises(error, match=re.escape(message)):
        truncated_bptt(**arguments)
    if not callable(arguments["d_output"]):
        with pytest.raises(error, match=re.escape(message)):
            truncated_turns(**arguments)  # at the call, before the first turn


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"mean_length": 1}, ValueError, "mean_length must be above 1, got 1"),
        ({"mean_length": 2, "every": 2}, ValueError, "mean_length must be above 2, got 2"),
        ({"every": 0}, ValueError, "every must be at least 1, got 0"),
        ({"alpha": 1}, ValueError, "alpha must be above 1, got 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": "a"}, TypeError, "seed must be an integer, got 'a'"),
    ],
)
def test_a_law_that_is_none_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    arrays = {"x": np.zeros((4, 2, 3)), "d_output": np.zeros((4, 2, 5))}
    with pytest.raises(error, match=re.escape(message)):
        randomized_bptt(**{"layer": LAYERS["rnn"](), **arrays, "mean_length": 3, **changes})


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1, 1], ValueError, "weights must be ceil(T / every) - 1 = 3 numbers for T = 4 steps"),
        ([1, float("nan"), 1], ValueError, "weights[1] must be finite, got nan"),
        ([1, 1, "a"], TypeError, "weights[2] must be a number, got 'a'"),
    ],
)
def test_weights_that_are_none_are_refused(
    weights: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        weighted_bptt(LAYERS["rnn"](), ARRAYS["x"], ARRAYS["d_output"], weights)
