"""The word language model: the tutorial's script on the naive functions and on the drop-in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, assert_close, eps

from fastrnn.compat import word_model as compat
from fastrnn.reference import word_model as naive

K_STEP = 64  # k of k*eps: the same sums in another order
K_FINITE = 1e-7  # of central differences with a step of 1e-5 in float64


class Problem:
    """A sentence with its embeddings, targets and weights, as the tutorial makes them."""

    def __init__(
        self, T: int, D: int = 10, H: int = 9, V: int = 8, scale: float = 0.5, dtype: Any = float
    ) -> None:
        generator = np.random.default_rng(T)
        shapes = {"U": (H, D), "W": (H, H), "V": (V, H)}
        self.U, self.W, self.V = (
            (scale * generator.uniform(-1, 1, shape)).astype(dtype) for shape in shapes.values()
        )
        table = generator.standard_normal((V, D, 1)).astype(dtype)
        self.words = generator.integers(0, V, T + 1)
        self.T = T
        self.embeddings = [table[word] for word in self.words[:-1]]
        identity = np.eye(V)
        self.output_t = {t: identity[word] for t, word in enumerate(self.words[1:])}
        self.targets = list(self.output_t.values())
        self.prev_memory = (0.3 * generator.standard_normal((H, 1))).astype(dtype)

    def forward(self, module: Any) -> tuple[Any, Any]:
        result: tuple[Any, Any] = module.full_forward_prop(
            self.T, self.embeddings, self.U, self.W, self.prev_memory, self.V
        )
        return result

    def gradients(self, fill: float = 0.0) -> list[Any]:
        """Arrays for dU, dV, dW."""
        return [np.full_like(a, fill) for a in (self.U, self.V, self.W)]

    def backprop(self, module: Any, memory: Any, reach: int, fill: float = 0.0) -> Any:
        return module.rnn_backprop(
            self.embeddings, memory, self.output_t, *self.gradients(fill), reach,
            self.U, self.V, self.W,
        )  # fmt: skip


@pytest.mark.parametrize("sizes", [(10, 9, 8), (3, 1, 2), (5, 40, 33), (100, 100, 80)])
@pytest.mark.parametrize("T", [1, 2, 6, 23])
def test_every_array_of_a_sentence(T: int, sizes: tuple[int, ...]) -> None:
    p = Problem(T, *sizes, scale=1 / np.sqrt(sizes[1]))
    expected, of_naive = p.forward(naive)
    outputs, memory = p.forward(compat)
    for a, b in zip(expected, outputs, strict=True):
        assert_close(b, a, K_STEP * eps(np.float64))
    assert isinstance(memory, Mapping | dict)
    assert sorted(memory) == sorted(of_naive)
    assert len(memory) == 3 * T + 1
    for key, value in of_naive.items():
        found = memory[key]
        if key.startswith("params"):
            assert len(found) == 1
            for a, b in zip(value[0], found[0], strict=True):
                assert_close(b, a, K_STEP * eps(np.float64), key)
        else:
            assert_close(found, value, K_STEP * eps(np.float64), key)
    assert compat.calculate_loss(p.targets, outputs) == pytest.approx(
        naive.calculate_loss(p.targets, expected), rel=1e-12
    )
    for reach in (0, 1, 4, T - 1, T + 5):
        for a, b in zip(
            p.backprop(naive, of_naive, reach),
            p.backprop(compat, memory, reach, fill=7.0),  # what comes in does not count
            strict=True,
        ):
            assert_close(b, a, K_STEP * eps(np.float64), str(reach))


def test_the_helpers_are_the_naive_ones() -> None:
    p = Problem(4)
    _, memory = p.forward(naive)
    _, of_compat = p.forward(compat)
    for module, mem in ((naive, memory), (compat, of_compat)):
        ht, yt = module.rnn_forward(p.embeddings[0], p.U, p.W, p.prev_memory, p.V)
        assert_close(ht, memory["ht0"], K_STEP * eps(np.float64))
        assert_close(yt, memory["yt0"], K_STEP * eps(np.float64))
        dLo = module.delta_cross_entropy(mem["yt2"], p.output_t[2])
        assert_close(dLo, memory["yt2"] - p.output_t[2][:, None], K_STEP * eps(np.float64))
        back = module.single_backprop(
            p.embeddings[2], p.U, p.W, p.V, mem["ht2"], dLo, mem["params2"],
            np.ones_like(p.prev_memory), mem["ht1"],
        )  # fmt: skip
        if module is naive:
            expected = back
        for a, b in zip(expected, back, strict=True):
            assert_close(b, a, K_STEP * eps(np.float64))
    z = np.linspace(-3, 3, 8)[:, None]
    for name, arguments in (
        ("tanh_activation", (z,)),
        ("softmax_activation", (z,)),
        ("tanh_activation_backward", (z, 2 * z)),
        ("multiplication_backward", (p.V, p.prev_memory, z)),
        ("add_backward", (z, z, 3 * z)),
        ("gd_step", (0.1, *(a.copy() for a in (p.U, p.W, p.V, p.U, p.W, p.V)))),
    ):
        found, wanted = getattr(compat, name)(*arguments), getattr(naive, name)(*arguments)
        pairs = zip(wanted, found, strict=True) if isinstance(wanted, tuple) else [(wanted, found)]
        for a, b in pairs:
            assert_close(b, a, K_STEP * eps(np.float64), name)


def published_backprop(p: Problem, memory: Any, bptt_truncate: int) -> list[Any]:
    """``rnn_backprop`` as published, for sentences of any length and with its names defined."""
    dU, dV, dW = p.gradients()
    hidden = len(p.U)
    for t in range(p.T):
        prev_s_t = np.zeros((hidden, 1))
        diff_s = np.zeros((hidden, 1))
        dLo = memory["yt" + str(t)] - p.output_t[t][:, None]
        dprev_s, dU_t, dW_t, dV_t = naive.single_backprop(
            p.embeddings[t], p.U, p.W, p.V, memory["ht" + str(t)], dLo, memory["params" + str(t)],
            diff_s, prev_s_t,
        )  # fmt: skip
        prev = t - 1
        dLo = np.zeros_like(dLo)
        for i in range(t - 1, max(-1, t - bptt_truncate), -1):
            prev_s_i = np.zeros((hidden, 1)) if i == 0 else memory["ht" + str(prev)]
            dprev_s, dU_i, dW_i, _ = naive.single_backprop(
                p.embeddings[t], p.U, p.W, p.V, memory["ht" + str(i)], dLo,
                memory["params" + str(i)], dprev_s, prev_s_i,
            )  # fmt: skip
            dU_t += dU_i
            dW_t += dW_i
        dV += dV_t
        dU += dU_t
        dW += dW_t
    return [dU, dV, dW]


@pytest.mark.parametrize("reach", [0, 2, 6])
def test_gradients_by_finite_differences(reach: int) -> None:
    """Truncated ones too: each loss is a function of weights that its last steps alone see anew.

    The published gradients of U and W are others, however far they go back; V's is right.
    """
    p = Problem(7)
    weights = {"U": p.U, "V": p.V, "W": p.W}
    fixed = p.forward(naive)[1]

    def loss(t: int) -> float:
        """Of word t, its last ``reach + 1`` steps made with the weights as they are."""
        first = max(0, t - reach)
        h = fixed[f"ht{first - 1}"]
        for i in range(first, t + 1):
            h = np.tanh(p.U @ p.embeddings[i] + p.W @ h)
        z = (p.V @ h)[:, 0]
        return float(np.log(np.exp(z).sum()) - z[p.words[t + 1]])

    finite, width = {}, 1e-5
    for name, array in weights.items():
        slopes = np.zeros_like(array)
        for place in np.ndindex(*array.shape):
            values = []
            for step in (width, -2 * width):
                array[place] += step
                values.append(sum(loss(t) for t in range(p.T)))
            array[place] += width
            slopes[place] = (values[0] - values[1]) / (2 * width)
        finite[name] = slopes
    found = p.backprop(compat, p.forward(compat)[1], reach)
    for (name, slopes), gradient in zip(finite.items(), found, strict=True):
        assert_close(gradient, slopes, K_FINITE, name)
    published = dict(zip(weights, published_backprop(p, fixed, reach + 1), strict=True))
    assert_close(published["V"], finite["V"], K_FINITE)
    assert np.abs(published["W"] - finite["W"]).max() > 0.1 * np.abs(finite["W"]).max()
    if reach:
        assert np.abs(published["U"] - finite["U"]).max() > 0.1 * np.abs(finite["U"]).max()


def test_the_published_activation_was_none() -> None:
    z = np.array([[0.5], [-2.0]])
    published = (np.exp(z) - np.exp(-z)) / (np.exp(z) - np.exp(-z))
    np.testing.assert_array_equal(published, 1)
    assert_close(compat.tanh_activation(z), np.tanh(z), eps(np.float64))


@pytest.mark.parametrize("every", [1, 2, 3])
def test_training_is_the_naive_loop(every: int, capsys: Any) -> None:
    p = Problem(30)
    results = []
    for module in (naive, compat):
        weights = [a.copy() for a in (p.U, p.W, p.V)]
        dU, dV, dW = p.gradients(fill=3.0)
        losses = module.train(
            p.T, p.embeddings, p.output_t, p.targets, *weights, dU, dW, dV, p.prev_memory,
            learning_rate=0.01, nepoch=7, evaluate_loss_after=every, bptt_truncate=4,
        )  # fmt: skip
        results.append([np.array(losses), *weights, dU, dW, dV])
    for a, b in zip(*results, strict=True):
        assert_close(b, a, K_STEP * eps(np.float64))
    assert results[1][0][-1] < results[1][0][0]
    lines = capsys.readouterr().out.splitlines()
    half = len(lines) // 2
    assert half == len(range(0, 7, every))
    assert [line[19:] for line in lines[:half]] == [line[19:] for line in lines[half:]]
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: Loss after  epoch=0: \d\.\d{6}"
    assert re.fullmatch(stamp, lines[half])


def test_the_tutorials_own_sizes(capsys: Any) -> None:
    """Four words, weights from uniform(0, 1): the states saturate, and V alone learns."""
    np.random.seed(0)
    D = H = 100
    V, T = 80, 4
    weights = [np.random.uniform(0, 1, shape) for shape in ((H, D), (H, H), (V, H))]
    embeddings = [np.random.randn(D, 1) for _ in range(T)]
    identity = np.eye(V)
    output_mapper = {word: identity[word, :] for word in (2, 45, 10, 65)}
    output_t = dict(enumerate(output_mapper.values()))
    dU, dW, dV = (np.zeros_like(w) for w in weights)
    twins = [w.copy() for w in weights]
    arguments = T, embeddings, output_t, output_mapper
    rest = np.zeros((H, 1)), 0.0001, 10, 2
    losses = compat.train(*arguments, *weights, dU, dW, dV, *rest)
    expected = naive.train(*arguments, *twins, dU.copy(), dW.copy(), dV.copy(), *rest)
    assert len(losses) == 5
    assert_close(losses, expected, K_STEP * eps(np.float64))
    for a, b in zip(twins, weights, strict=True):
        assert_close(b, a, K_STEP * eps(np.float64))
    assert losses[-1] < losses[0]


@DTYPES
def test_either_precision_is_kept(dtype: Any) -> None:
    p = Problem(12, dtype=dtype)
    outputs, memory = p.forward(compat)
    assert outputs[0].dtype == memory["ht3"].dtype == dtype
    wide = Problem(12)
    for name in ("U", "W", "V", "prev_memory"):
        setattr(wide, name, getattr(p, name).astype(float))
    wide.embeddings = [e.astype(float) for e in p.embeddings]
    expected = wide.backprop(naive, wide.forward(naive)[1], 4)
    for a, b in zip(expected, p.backprop(compat, memory, 4), strict=True):
        assert b.dtype == dtype
        assert_close(b, a, K_STEP * eps(dtype))


def test_a_memory_is_what_was_read_whatever_becomes_of_the_weights() -> None:
    p = Problem(5)
    _, memory = p.forward(compat)
    _, expected = p.forward(naive)
    p.U *= 2
    p.V -= 1
    for key, value in expected.items():
        if key.startswith("params"):
            for a, b in zip(value[0], memory[key][0], strict=True):
                assert_close(b, a, K_STEP * eps(np.float64), key)
        else:
            assert_close(memory[key], value, K_STEP * eps(np.float64), key)


def test_a_memory_may_be_changed_or_be_a_dictionary() -> None:
    p = Problem(6)
    _, of_naive = p.forward(naive)
    _, memory = p.forward(compat)
    better = np.full_like(of_naive["yt3"], 1 / 8)
    of_naive["yt3"] = better
    memory["yt3"] = better
    memory["note"] = "mine"
    assert memory["note"] == "mine"
    assert len(memory) == 20
    del memory["note"]
    expected = p.backprop(naive, of_naive, 3)
    for given in (memory, dict(memory), of_naive):
        for a, b in zip(expected, p.backprop(compat, given, 3), strict=True):
            assert_close(b, a, K_STEP * eps(np.float64))
    with pytest.raises(KeyError, match="yt6"):
        memory["yt6"]
    with pytest.raises(KeyError, match="params6"):
        memory["params6"]
    with pytest.raises(ValueError, match=re.escape("ht0 must have shape a column = (9, 1)")):
        memory["ht0"] = np.zeros(9)
    del of_naive["ht2"]
    with pytest.raises(KeyError, match="memory must have ht and yt of each of the 6 words"):
        p.backprop(compat, of_naive, 3)


def test_other_embeddings_than_were_read_count_as_given() -> None:
    """The gradient of U is formed with the embeddings of the call."""
    p = Problem(6)
    memories = [p.forward(module)[1] for module in (naive, compat)]
    p.embeddings = [2 * e for e in p.embeddings]
    expected = p.backprop(naive, memories[0], 3)
    for a, b in zip(expected, p.backprop(compat, memories[1], 3), strict=True):
        assert_close(b, a, K_STEP * eps(np.float64))


def test_a_sentence_is_as_long_as_its_memory() -> None:
    """The lists may go on behind it, as they may in full_forward_prop."""
    p, short = Problem(6), Problem(6)
    short.T, short.embeddings = 4, p.embeddings[:4]
    of_naive, memory = (short.forward(module)[1] for module in (naive, compat))
    expected = short.backprop(naive, of_naive, 2)
    for a, b in zip(expected, p.backprop(naive, of_naive, 2), strict=True):
        np.testing.assert_array_equal(b, a)
    for given in (memory, dict(memory), of_naive):
        for a, b in zip(expected, p.backprop(compat, given, 2), strict=True):
            assert_close(b, a, K_STEP * eps(np.float64))


@pytest.mark.parametrize("form", [dict, np.array])
@pytest.mark.parametrize("count", [1, 4])
def test_embeddings_may_be_an_array_or_a_mapping(form: Any, count: int) -> None:
    """As ``embeddings[t]`` of the published loops takes them."""
    p, other = Problem(count), Problem(count)
    other.embeddings = form(list(enumerate(p.embeddings)) if form is dict else p.embeddings)
    one, two = p.forward(compat), other.forward(compat)
    np.testing.assert_array_equal(one[0], two[0])
    for a, b in zip(p.backprop(compat, one[1], 2), other.backprop(compat, two[1], 2), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("factor", [1, 1e300])
def test_a_training_that_diverges_leaves_the_last_finite_weights(
    factor: float, capsys: Any
) -> None:
    """It says at which epoch; infinite ones may give probabilities that are finite."""
    p = Problem(5)
    weights = {
        "input_weights": p.U, "internal_state_weights": p.W, "output_weights": p.V
    }  # fmt: skip
    p.V *= factor
    start = {name: array.copy() for name, array in weights.items()}
    with pytest.raises(ArithmeticError, match=r"not finite at epoch (\d+);") as caught:
        call("train", **weights, learning_rate=1e307, nepoch=9)
    epoch = int(re.findall(r"epoch (\d+)", str(caught.value))[0])
    call("train", **start, learning_rate=1e307, nepoch=epoch)
    for name, array in weights.items():
        assert np.isfinite(array).all()
        np.testing.assert_array_equal(array, start[name])


def call(name: str, **change: Any) -> Any:
    """A call of the drop-in on a sentence of 5 words with some argument changed."""
    p = Problem(5)
    dU, dV, dW = p.gradients()
    arguments = {
        "T": 5, "embeddings": p.embeddings, "input_weights": p.U, "internal_state_weights": p.W,
        "prev_memory": p.prev_memory, "output_weights": p.V, "output_mapper": p.targets,
        "output_t": p.output_t, "dU": dU, "dV": dV, "dW": dW, "bptt_truncate": 2,
        "memory": p.forward(compat)[1], "predicted_output": p.forward(compat)[0],
    }  # fmt: skip
    function = getattr(compat, name)
    wanted = function.__code__.co_varnames[: function.__code__.co_argcount]
    given = {**arguments, **change}
    return function(**{key: given[key] for key in wanted if key in given})


ONE_HOT = list(np.eye(8)[[0, 1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("name", "change", "kind", "message"),
    [
        ("full_forward_prop", {"T": 0}, ValueError, "T must be at least 1, got 0"),
        (
            "full_forward_prop",
            {"T": 6},
            ValueError,
            "embeddings must be at least T = 6 columns, got 5",
        ),
        (
            "full_forward_prop",
            {"embeddings": [np.zeros((10, 1))] * 4 + [np.zeros((9, 1))]},
            ValueError,
            "embeddings[4] must have shape (D, 1) = (10, 1), got (9, 1)",
        ),
        (
            "full_forward_prop",
            {"embeddings": [np.zeros(10)] * 5},
            ValueError,
            "embeddings[0] must have shape (D, 1) = (10, 1), got (10,)",
        ),
        (
            "full_forward_prop",
            {"embeddings": [np.full((10, 1), "a")] * 5},
            TypeError,
            "embeddings must be numbers, got str32",
        ),
        (
            "full_forward_prop",
            {"prev_memory": np.zeros(9)},
            ValueError,
            "prev_memory must have shape (H, 1) = (9, 1), got (9,)",
        ),
        (
            "full_forward_prop",
            {"internal_state_weights": np.zeros((9, 8))},
            ValueError,
            "internal_state_weights must have shape (H, H) = (9, 9), got (9, 8)",
        ),
        (
            "full_forward_prop",
            {"output_weights": np.zeros((8, 8))},
            ValueError,
            "output_weights must have shape (K, H) = (K, 9), got (8, 8)",
        ),
        (
            "full_forward_prop",
            {"output_weights": np.zeros((8, 9), np.float32)},
            TypeError,
            "output_weights must be float64, got float32",
        ),
        (
            "full_forward_prop",
            {"input_weights": np.zeros((9, 10), int)},
            TypeError,
            "input_weights must be float32 or float64, got int64",
        ),
        (
            "rnn_forward",
            {"input_embedding": np.zeros(10)},
            ValueError,
            "input_embedding must have shape (D, 1) = (10, 1), got (10,)",
        ),
        (
            "rnn_forward",
            {"input_embedding": np.full((10, 1), "a")},
            TypeError,
            "input_embedding must be numbers, got str32",
        ),
        (
            "rnn_backprop",
            {"embeddings": [np.zeros((10, 1))] * 4},
            ValueError,
            "embeddings must be at least T = 5 columns, got 4",
        ),
        (
            "rnn_backprop",
            {"output_t": ONE_HOT[:4]},
            ValueError,
            "output_t must have a target for each of the 5 words, got 4",
        ),
        (
            "rnn_backprop",
            {"output_t": [*ONE_HOT[:3], np.zeros(8), ONE_HOT[0]]},
            ValueError,
            "output_t[3] must be one-hot, a 1 among zeros, and is not",
        ),
        (
            "rnn_backprop",
            {"output_t": [*ONE_HOT[:2], ONE_HOT[0] + ONE_HOT[1], *ONE_HOT[:2]]},
            ValueError,
            "output_t[2] must be one-hot",
        ),
        (
            "rnn_backprop",
            {"output_t": list(np.eye(7)[:5])},
            ValueError,
            "output_t must have shape (T, K) = (5, 8), got (5, 7)",
        ),
        (
            "rnn_backprop",
            {"bptt_truncate": -1},
            ValueError,
            "bptt_truncate must be at least 0, got -1",
        ),
        (
            "rnn_backprop",
            {"dW": np.zeros((3, 3))},
            ValueError,
            "dW must have shape that of its weights = (9, 9), got (3, 3)",
        ),
        (
            "rnn_backprop",
            {"dU": None},
            TypeError,
            "dU must be an array of floats, got NoneType",
        ),
        (
            "rnn_backprop",
            {"dV": np.zeros((8, 9), np.float32)},
            TypeError,
            "dV must be float64, got float32",
        ),
        (
            "calculate_loss",
            {"output_mapper": [], "predicted_output": []},
            ValueError,
            "predicted_output must be at least one column (K, 1), got none",
        ),
        (
            "calculate_loss",
            {"predicted_output": [np.full((8, 1), 1 / 8), np.full(8, 1 / 8)] * 2},
            ValueError,
            "predicted_output[1] must have shape (K, 1) = (8, 1), got (8,)",
        ),
        (
            "calculate_loss",
            {"output_mapper": {1: ONE_HOT[1], 2: ONE_HOT[2]}},
            ValueError,
            "output_mapper must have a target for each of the 5 words, got 2: a dictionary by word",
        ),
        (
            "calculate_loss",
            {"output_mapper": [*ONE_HOT[:4], 2 * ONE_HOT[0]]},
            ValueError,
            "output_mapper[4] must be one-hot",
        ),
        ("train", {"nepoch": -1}, ValueError, "nepoch must be at least 0, got -1"),
        (
            "train",
            {"embeddings": [*np.zeros((4, 10, 1)), np.full((10, 1), np.nan)]},
            ValueError,
            "embeddings must be finite in float64, got nan at (4, 0)",
        ),
        (
            "full_forward_prop",
            {"embeddings": {0: np.zeros((10, 1))}},
            ValueError,
            "embeddings must be at least T = 5 columns, got 1",
        ),
        (
            "train",
            {"learning_rate": "fast"},
            TypeError,
            "learning_rate must be a number, got 'fast'",
        ),
        (
            "train",
            {"output_t": ONE_HOT[:3]},
            ValueError,
            "output_t must have a target for each of the 5 words, got 3",
        ),
    ],
)  # fmt: skip
def test_errors_come_before_any_work(name: str, change: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        call(name, **change)


def test_delta_cross_entropy_leaves_the_predictions_alone() -> None:
    y, target = np.array([[0.25], [0.75]]), np.array([0.0, 1.0])
    np.testing.assert_array_equal(compat.delta_cross_entropy(y, target), [[0.25], [-0.25]])
    np.testing.assert_array_equal(y, [[0.25], [0.75]])
    with pytest.raises(ValueError, match="original_t_output must be as long as predicted_output"):
        compat.delta_cross_entropy(y, np.zeros(3))
