"""The three-layer network on spirals: the published script, naive and on the drop-in."""

from __future__ import annotations

import copy
import os
import re
import signal
from typing import Any

import numpy as np
import pytest
from conftest import PLAIN, assert_close, eps

from fastrnn.compat import three_layer_net as compat
from fastrnn.mlp import DenseNetwork
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.reference import three_layer_net as naive

K_TRAINED = 256  # k of k*eps after hundreds of small steps
K_STEP = 16  # k of k*eps after one step
K_FINITE = 1e-7  # of central differences with a step of 1e-5 in float64
NONLINEARITIES = pytest.mark.parametrize("nonlinearity", ["SIGM", "RELU"])
WEIGHTS = ("W1", "W2", "W3", "b1", "b2", "b3")
STEP, REG = 1e-1, 1e-3


def spirals(N: int = 100, D: int = 2, K: int = 3) -> tuple[Any, Any]:
    X = np.zeros((N * K, D))
    y = np.zeros(N * K, dtype="uint8")
    for j in range(K):
        ix = range(N * j, N * (j + 1))
        r = np.linspace(0.0, 1, N)
        t = np.linspace(j * 4, (j + 1) * 4, N) + np.random.randn(N) * 0.2
        X[ix] = np.c_[r * np.sin(t), r * np.cos(t)]
        y[ix] = j
    return X, y


def toy_model(D: int = 2, h: int = 50, h2: int = 50, K: int = 3, dtype: Any = np.float64) -> Any:
    sides = [(D, h), (h, h2), (h2, K)]
    model: dict[str, Any] = {"h": h, "h2": h2}
    for i, (n, m) in enumerate(sides, start=1):
        model[f"W{i}"] = (0.1 * np.random.randn(n, m)).astype(dtype)
        model[f"b{i}"] = np.zeros((1, m), dtype)
    return model


def problem(seed: int = 0, **sizes: Any) -> tuple[Any, Any, Any]:
    np.random.seed(seed)
    X, y = spirals()
    return X, y, toy_model(**sizes)


@NONLINEARITIES
def test_the_published_script_sees_the_same_arrays_and_prints_the_same(
    nonlinearity: str, capsys: Any
) -> None:
    X, y, model = problem()
    iterations = 1201
    twin = copy.deepcopy(model)
    expected = naive.three_layer_net(nonlinearity, X, y, twin, STEP, REG, iterations)
    lines = capsys.readouterr().out
    actual = compat.three_layer_net(nonlinearity, X, y, model, STEP, REG, iterations)
    assert capsys.readouterr().out == lines
    assert lines.count("iteration") == 2
    assert [len(series) for series in actual[:2]] == [iterations] * 2
    for i, (a, b) in enumerate(zip(expected, actual, strict=True)):
        assert_close(b, a, K_TRAINED * eps(np.float64), str(i))
    for name, array in zip(WEIGHTS, actual[2:], strict=True):
        assert array is model[name]


@NONLINEARITIES
def test_single_precision_gives_back_what_came(nonlinearity: str) -> None:
    X, y, model = problem(1)
    twin = copy.deepcopy(model)
    expected = naive.three_layer_net(nonlinearity, X, y, twin, STEP, REG, 300)
    actual = compat.three_layer_net(nonlinearity, X, y, model, STEP, REG, 300, dtype=np.float32)
    for i, (a, b) in enumerate(zip(expected, actual, strict=True)):
        assert_close(b, a, K_TRAINED * eps(np.float32), str(i))
    assert all(model[name].dtype == np.float64 for name in WEIGHTS)
    _, _, single = problem(1, dtype=np.float32)
    compat.three_layer_net(nonlinearity, X, y, single, STEP, REG, 300, dtype=np.float32)
    for name in WEIGHTS:
        assert single[name].dtype == np.float32
        assert_close(single[name], model[name], 4 * eps(np.float32), name)


@pytest.mark.parametrize("points", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("weights", [np.float32, np.float64])
def test_the_precision_is_that_in_which_numpy_would_compute(weights: Any, points: Any) -> None:
    X, y, _ = problem(1)
    found = []
    precision = np.result_type(points, weights)
    for options in ({}, {"dtype": precision}):
        np.random.seed(1)
        model = toy_model(dtype=weights)
        plots = compat.three_layer_net(
            "SIGM", (4 * X).astype(points), y, model, STEP, REG, 20, **options
        )[:2]
        found.append(plots)
        assert all(model[name].dtype == weights for name in WEIGHTS)
    assert found[0] == found[1]
    other = np.float32 if precision == np.float64 else np.float64
    np.random.seed(1)
    plots = compat.three_layer_net(
        "SIGM", (4 * X).astype(points), y, toy_model(dtype=weights), STEP, REG, 20, dtype=other
    )[:2]
    assert plots != found[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "sizes",
    [
        {"D": 2, "h": 1, "h2": 1, "K": 3},
        {"D": 1, "h": 5, "h2": 70, "K": 4},
        {"D": 9, "h": 33, "h2": 18, "K": 3},
        {"D": 2, "h": 64, "h2": 49, "K": 20},
        {"D": 40, "h": 7, "h2": 3, "K": 40},
    ],
)
@NONLINEARITIES
def test_any_sizes(nonlinearity: str, sizes: Any, dtype: Any) -> None:
    np.random.seed(2)
    model = toy_model(**sizes)
    X = np.random.randn(83, sizes["D"])
    y = np.random.randint(0, sizes["K"], 83)
    twin = copy.deepcopy(model)
    # In float32, sooner or later one example is on the other side of a unit's kink.
    steps = 2 if nonlinearity == "RELU" and dtype == np.float32 else 20
    expected = naive.three_layer_net(nonlinearity, X, y, twin, STEP, REG, steps)
    actual = compat.three_layer_net(nonlinearity, X, y, model, STEP, REG, steps, dtype=dtype)
    for i, (a, b) in enumerate(zip(expected, actual, strict=True)):
        assert_close(b, a, K_TRAINED * eps(dtype), str(i))


@NONLINEARITIES
def test_one_iteration_moves_against_the_gradient_by_finite_differences(nonlinearity: str) -> None:
    """And the published series are no means."""
    X, y, model = problem(3, h=6, h2=5)
    X, y = X[::9], y[::9]
    for name in WEIGHTS:
        model[name] += 0.1 * np.random.randn(*model[name].shape)
    f = naive.relu if nonlinearity == "RELU" else naive.sigmoid

    def loss(reg: float) -> float:
        m = model
        scores = f(f(X @ m["W1"] + m["b1"]) @ m["W2"] + m["b2"]) @ m["W3"] + m["b3"]
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        data = -log_p[range(len(y)), y].mean()
        return float(data + 0.5 * reg * sum((m[f"W{i}"] ** 2).sum() for i in (1, 2, 3)))

    def slopes(name: str, reg: float) -> Any:
        array, width = model[name], 1e-5
        found = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            values = []
            for step in (width, -2 * width):
                array[place] += step
                values.append(loss(reg))
            array[place] += width
            found[place] = (values[0] - values[1]) / (2 * width)
        return found

    finite = {name: slopes(name, REG) for name in WEIGHTS}
    without = {name: slopes(name, 0.0) for name in ("W1", "W2")}
    before = copy.deepcopy(model)
    one, two, *_ = compat.three_layer_net(nonlinearity, X, y, model, STEP, REG, 1, dtype=np.float64)
    for name, expected in finite.items():
        assert_close((before[name] - model[name]) / STEP, expected, K_FINITE, name)
    for series, d in zip((one, two), without.values(), strict=True):
        assert series[0] == pytest.approx(np.abs(d).mean(), rel=1e-5)
        published = np.sum(np.abs(d)) / np.sum(np.abs(d.shape))
        assert published > 1.4 * series[0]


@pytest.mark.skipif(PLAIN, reason="fifty thousand iterations of NumPy")
@pytest.mark.parametrize(
    ("nonlinearity", "end", "accuracy"), [("SIGM", 0.468, 0.95), ("RELU", 0.1126, 0.98)]
)
def test_the_published_end_point(
    nonlinearity: str, end: float, accuracy: float, capsys: Any
) -> None:
    """Loss 0.468 and accuracy 0.96 with sigmoids, 0.1126 and 0.99 with ReLU."""
    X, y, model = problem(0)
    compat.three_layer_net(nonlinearity, X, y, model, STEP, REG)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 51
    last, found = float(lines[49].split()[-1]), float(lines[50].split()[-1])
    assert last == pytest.approx(end, rel=0.1)
    assert found >= accuracy - 0.01


@pytest.mark.parametrize("widths", [(3, 7, 5, 2), (2, 9, 6, 4), (5, 70, 18), (2, 50, 50, 3)])
@pytest.mark.parametrize("count", [1, 127, 128, 129, 256, 391])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_on_so_many_examples(widths: tuple[int, ...], count: int, dtype: Any) -> None:
    """Blocks of 128 or 256 examples, and what is left of them."""
    random = np.random.default_rng(0)
    network = DenseNetwork(widths, "sigmoid", np.dtype(dtype))
    for place in network.weights + network.biases:
        place[...] = random.standard_normal(place.shape)
    weights, biases = (
        [p.astype(np.float64) for p in group] for group in (network.weights, network.biases)
    )
    x = random.standard_normal((count, widths[0])).astype(dtype)
    y = random.integers(0, widths[-1], count)
    sgd = OPTIMIZERS["sgd"]
    network.train(
        x, y, sgd, np.arange(count), np.array([0]), np.array([count]),
        np.array([sgd.hyper(1, 1.0, limit=np.inf, weight_decay=0)]),
        np.zeros((0, network.flat.size), dtype),
    )  # fmt: skip
    h = [x.astype(np.float64)]
    for w, b in zip(weights, biases, strict=True):
        z = h[-1] @ w + b
        h.append(1 / (1 + np.exp(-z)))
    p = np.exp(z - z.max(axis=1, keepdims=True))
    d = p / p.sum(axis=1, keepdims=True)
    d[range(count), y] -= 1
    d /= count
    for i in reversed(range(len(weights))):
        assert_close(network.weights[i], weights[i] - h[i].T @ d, K_STEP * eps(dtype))
        assert_close(network.biases[i], biases[i] - d.sum(axis=0), K_STEP * eps(dtype))
        d = (d @ weights[i].T) * h[i] * (1 - h[i])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clip_norm", [None, 0.12])
def test_examples_in_batches_of_any_order(weighted: bool, clip_norm: float | None) -> None:
    """What estimators need of the same kernels: steps on some of the examples."""
    X, y, model = problem(4)
    network = DenseNetwork([2, 20, 3], "tanh", np.dtype(np.float64))
    W1, W2 = model["W1"][:, :20].copy(), 0.1 * np.random.randn(20, 3)
    network.weights[0][...], network.weights[1][...] = W1, W2
    b1, b2 = np.zeros(20), np.zeros(3)
    order = np.random.default_rng(0).permutation(len(X))
    starts, stops = np.array([0, 130, 131, 250]), np.array([130, 131, 250, 300])
    targets = y.astype(np.int64)
    sgd = OPTIMIZERS["sgd"]
    hypers = np.tile(sgd.hyper(1, 0.5, limit=np.inf, weight_decay=0), (4, 1))
    slots = np.zeros((0, network.flat.size))
    weights = np.random.default_rng(1).integers(0, 3, len(X)) / 2 if weighted else None
    trained = network.train(
        X, targets, sgd, order, starts, stops, hypers, slots,
        weights=weights, l2=REG, clip_norm=clip_norm,
    )  # fmt: skip
    each = np.ones(len(X)) if weights is None else weights
    norms = []
    for step, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        some = order[start:stop]
        h = np.tanh(X[some] @ W1 + b1)
        scores = h @ W2 + b2
        p = np.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        loss = -(each[some] * np.log(p[range(len(some)), y[some]])).mean()
        loss += 0.5 * REG * ((W1**2).sum() + (W2**2).sum())
        assert trained.losses[step] == pytest.approx(loss, rel=1e-12)
        p[range(len(some)), y[some]] -= 1
        d = p * each[some, None] / len(some)
        d_h = (d @ W2.T) * (1 - h * h)
        assert trained.sizes[step, 0] == pytest.approx(np.abs(X[some].T @ d_h).mean(), rel=1e-12)
        gradients = [
            X[some].T @ d_h + REG * W1, h.T @ d + REG * W2, d_h.sum(axis=0), d.sum(axis=0)
        ]  # fmt: skip
        norms.append(np.sqrt(sum((g**2).sum() for g in gradients)))
        scale = min(1, clip_norm / norms[-1]) if clip_norm else 1
        W1, W2, b1, b2 = (
            p - 0.5 * scale * g for p, g in zip((W1, W2, b1, b2), gradients, strict=True)
        )
    if clip_norm:
        assert min(norms) < clip_norm < max(norms)
    for found, expected in zip(network.weights + network.biases, [W1, W2, b1, b2], strict=True):
        assert_close(found, expected, K_TRAINED * eps(np.float64))
    expected = np.tanh(X @ W1 + b1) @ W2 + b2
    assert_close(network.logits(X), expected, K_TRAINED * eps(np.float64))


@pytest.mark.skipif(PLAIN, reason="slices of NumPy are not interrupted in time")
def test_an_interrupt_leaves_the_weights_so_far(monkeypatch: Any) -> None:
    X, y, model = problem(5)
    compat.three_layer_net("RELU", X, y, model, STEP, REG, 5)
    before = copy.deepcopy(model)

    def interrupt(*line: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(compat, "print", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        compat.three_layer_net("RELU", X, y, model, STEP, REG, 10**7)
    for name in WEIGHTS:
        assert np.isfinite(model[name]).all()
        assert np.abs(model[name] - before[name]).max() > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("rate", "reg"), [(1e9, REG), (0.1, 25.0)])
def test_a_training_that_diverges_stops_before_the_wrong_iteration(
    rate: float, reg: float, dtype: Any, capsys: Any
) -> None:
    """At once, and after the losses of some thousands of iterations."""
    X, y, model = problem(5, h=7, h2=5)
    twin = copy.deepcopy(model)
    with pytest.raises(ArithmeticError, match="not finite at iteration") as caught:
        compat.three_layer_net("RELU", X, y, model, rate, reg, 10**6, dtype=dtype)
    assert "nan" not in capsys.readouterr().out
    assert all(np.isfinite(model[name]).all() for name in WEIGHTS)
    found = re.search(r"iteration (\d+); the weights are those before it", str(caught.value))
    assert found
    wrong = int(found[1])
    assert wrong > 0
    compat.three_layer_net("RELU", X, y, twin, rate, reg, wrong, dtype=dtype)
    for name in WEIGHTS:
        np.testing.assert_array_equal(model[name], twin[name])
    before = copy.deepcopy(model)
    with pytest.raises(ArithmeticError, match="not finite at iteration 0;"):
        compat.three_layer_net("RELU", X, y, model, rate, reg, 1, dtype=dtype)
    for name in WEIGHTS:
        np.testing.assert_array_equal(model[name], before[name])


X2, Y2 = np.zeros((4, 2)), np.array([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (
            {"NONLINEARITY": "TANH"},
            ValueError,
            "NONLINEARITY must be one of 'RELU', 'SIGM', got 'TANH'",
        ),
        (
            {"X": np.array([[0, 0], [0, np.nan], [1, 1], [2, 2]])},
            ValueError,
            "X must be finite in float64, got nan at (1, 1)",
        ),
        (
            {"X": np.full((4, 2), 1e39), "dtype": np.float32},
            ValueError,
            "X must be finite in float32, got inf at (0, 0)",
        ),
        ({"X": np.zeros(4)}, ValueError, "X must have shape (N, D), neither of them 0, got (4,)"),
        ({"X": np.zeros((0, 2))}, ValueError, "neither of them 0, got (0, 2)"),
        ({"X": [["a", "b"]]}, TypeError, "X must be numbers, got str"),
        ({"y": [0, 1, 2, 3]}, ValueError, "y must be in [0, K) = [0, 3), got 3 at index 3"),
        ({"y": [0.0, 1, 2, 0]}, TypeError, "y must be integers, got float64"),
        ({"y": [0, 1, 2]}, ValueError, "y must have shape (N,) = (4,), got (3,)"),
        ({"step_size": None}, TypeError, "step_size must be a number, got None of type NoneType"),
        ({"iterations": -1}, ValueError, "iterations must be at least 0, got -1"),
        ({"dtype": int}, TypeError, "dtype must be float32 or float64"),
    ],
)  # fmt: skip
def test_wrong_arguments(change: Any, kind: Any, message: str) -> None:
    arguments = {
        "NONLINEARITY": "RELU", "X": X2, "y": Y2, "model": toy_model(), "step_size": 0.1,
        "reg": 0.0, "iterations": 1,
    }  # fmt: skip
    with pytest.raises(kind, match=re.escape(message)):
        compat.three_layer_net(**(arguments | change))


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"W2": None}, TypeError, "model['W2'] must be a float32 or float64 array, got NoneType"),
        (
            {"W1": np.zeros((3, 50))},
            ValueError,
            "model['W1'] must have shape (D, h) = (2, h), got (3, 50)",
        ),
        (
            {"W2": np.zeros((40, 50))},
            ValueError,
            "model['W2'] must have shape (h, h2) = (50, h2), got (40, 50)",
        ),
        (
            {"b3": np.zeros(3)},
            ValueError,
            "model['b3'] must have shape (1, K) = (1, 3), got (3,)",
        ),
        ({"h2": 60}, ValueError, "model['h2'] must be the columns of W2 = 50, got 60"),
        ({"W3": np.zeros((50, 3), int)}, TypeError, "float32 or float64 array, got int64"),
    ],
)  # fmt: skip
def test_wrong_models(change: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        compat.three_layer_net("RELU", X2, Y2, toy_model() | change, 0.1, 0.0, 1)


def test_a_model_that_lacks_something_or_cannot_be_written() -> None:
    model = toy_model()
    del model["b2"]
    with pytest.raises(KeyError, match="got none of b2"):
        compat.three_layer_net("RELU", X2, Y2, model, 0.1, 0.0, 1)
    model = toy_model()
    model["W1"].flags.writeable = False
    with pytest.raises(ValueError, match=r"model\['W1'\] must be writable: it is trained in place"):
        compat.three_layer_net("RELU", X2, Y2, model, 0.1, 0.0, 1)


def test_the_published_helpers() -> None:
    x = np.linspace(-3, 3, 7)
    np.testing.assert_array_equal(compat.sigmoid(x), naive.sigmoid(x))
    np.testing.assert_array_equal(compat.sigmoid_grad(x), x * (1 - x))
    np.testing.assert_array_equal(compat.relu(x), np.maximum(0, x))
