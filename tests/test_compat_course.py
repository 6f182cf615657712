"""The course's functions: one script on the naive version and on the drop-in, published tables."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import DTYPES, assert_close, eps

from fastrnn.compat import course
from fastrnn.reference import course as naive

#: Largest difference from the naive version, in eps of the largest number of an array.
K = 100

BOTH = pytest.mark.parametrize("module", [naive, course], ids=["naive", "drop-in"])
GATES = "fico"

SCRIPT = """
from {module} import (
    lstm_backward, lstm_cell_backward, lstm_cell_forward, lstm_forward,
    rnn_backward, rnn_cell_backward, rnn_cell_forward, rnn_forward,
)

a_next, yt_pred, cache = rnn_cell_forward(x[:, :, 0], a0, rnn)
cell_gradients = rnn_cell_backward(da[:, :, 0], cache)
a, y_pred, caches = rnn_forward(x, a0, rnn)
gradients = rnn_backward(da, caches)
own = (list(caches[0]), caches[1])
own_gradients = rnn_backward(da, own)

la_next, lc_next, lyt_pred, lcache = lstm_cell_forward(x[:, :, 0], a0, c0, lstm)
lcell_gradients = lstm_cell_backward(da[:, :, 0], dc, lcache)
la, ly, lc, lcaches = lstm_forward(x, a0, lstm)
lgradients = lstm_backward(da, lcaches)
lown_gradients = lstm_backward(da, (list(lcaches[0]), lcaches[1]))
begun = lstm_backward(da[:, :, : T_x // 2 + 1], lcaches)
"""

#: n_x, m, n_a, n_y, T_x.
SIZES = [(3, 10, 5, 2, 4), (1, 1, 1, 1, 1), (7, 1, 19, 3, 6), (5, 13, 33, 10, 1), (2, 3, 9, 1, 17)]
EACH_SIZE = pytest.mark.parametrize("sizes", SIZES, ids=lambda s: "-".join(map(str, s)))


def rnn_parameters(n_x: int, n_a: int, n_y: int, draw: Callable[..., Any]) -> dict[str, Any]:
    shapes = {"Waa": (n_a, n_a), "Wax": (n_a, n_x), "Wya": (n_y, n_a), "ba": (n_a, 1),
              "by": (n_y, 1)}  # fmt: skip
    return {name: draw(*shape) for name, shape in shapes.items()}


def lstm_parameters(n_x: int, n_a: int, n_y: int, draw: Callable[..., Any]) -> dict[str, Any]:
    parameters = {}
    for gate in "fioc":
        parameters[f"W{gate}"] = draw(n_a, n_a + n_x)
        parameters[f"b{gate}"] = draw(n_a, 1)
    return parameters | {"Wy": draw(n_y, n_a), "by": draw(n_y, 1)}


def inputs(sizes: tuple[int, ...], dtype: Any, seed: int = 0) -> dict[str, Any]:
    """What the script finds; the weights are small enough for long chains."""
    n_x, m, n_a, n_y, time = sizes
    generator = np.random.default_rng(seed)

    def draw(*shape: int) -> Any:
        return generator.standard_normal(shape).astype(dtype)

    def weights(*shape: int) -> Any:
        return draw(*shape) / dtype(np.sqrt(n_a + n_x))

    return {
        "x": draw(n_x, m, time),
        "a0": draw(n_a, m),
        "c0": draw(n_a, m),
        "da": draw(n_a, m, time),
        "dc": draw(n_a, m),
        "rnn": rnn_parameters(n_x, n_a, n_y, weights),
        "lstm": lstm_parameters(n_x, n_a, n_y, weights),
        "T_x": time,
    }


def run(script: str, module: ModuleType, **found: Any) -> dict[str, Any]:
    namespace = copy.deepcopy(found)
    exec(script.format(module=module.__name__), namespace)
    return {
        name: value
        for name, value in namespace.items()
        if not callable(value) and not name.startswith("__")
    }


def assert_same(actual: Any, desired: Any, tolerance: float, name: str) -> None:
    """Dicts with the same keys in the same order, sequences of the same length, arrays alike."""
    if isinstance(desired, dict):
        assert list(actual) == list(desired), name
        for key, value in desired.items():
            assert_same(actual[key], value, tolerance, f"{name}[{key!r}]")
    elif isinstance(desired, tuple | list):
        assert isinstance(actual, type(desired)), name
        assert len(actual) == len(desired), name
        for i, value in enumerate(desired):
            assert_same(actual[i], value, tolerance, f"{name}[{i}]")
    elif isinstance(desired, np.ndarray):
        assert actual.dtype == desired.dtype, name
        assert_close(actual, desired, tolerance, name)
    else:
        assert actual == desired, name


@DTYPES
@EACH_SIZE
def test_the_same_script_gives_the_same_arrays(sizes: tuple[int, ...], dtype: Any) -> None:
    found = inputs(sizes, dtype)
    desired, actual = run(SCRIPT, naive, **found), run(SCRIPT, course, **found)
    assert set(desired) - set(found) == set(actual) - set(found) != set()
    for name, value in desired.items():
        assert_same(actual[name], value, K * eps(dtype), name)


@DTYPES
def test_results_depend_on_no_memory_layout(dtype: Any) -> None:
    found = inputs((3, 4, 5, 2, 6), dtype)
    turned = {
        name: np.asfortranarray(value) if isinstance(value, np.ndarray) else value
        for name, value in found.items()
    }
    for kind in ("rnn", "lstm"):
        turned[kind] = {name: np.asfortranarray(value) for name, value in found[kind].items()}
    actual, desired = run(SCRIPT, course, **turned), run(SCRIPT, naive, **found)
    for name in set(desired) - set(found):
        assert_same(actual[name], desired[name], K * eps(dtype), name)


# ---- the course's own figures


def seeded(seed: int) -> Callable[..., Any]:
    """The course's ``np.random.randn`` after ``np.random.seed(seed)``."""
    return np.random.RandomState(seed).randn


def course_rnn(order: str, n_x: int, n_a: int, n_y: int, draw: Callable[..., Any]) -> Any:
    """RNN parameters, drawn in the order in which an edition of the course draws them."""
    shapes = {"Waa": (n_a, n_a), "Wax": (n_a, n_x), "Wya": (n_y, n_a), "ba": (n_a, 1),
              "by": (n_y, 1)}  # fmt: skip
    return {name: draw(*shapes[name]) for name in order.split()}


def assert_printed(value: Any, printed: str) -> None:
    """`value` is what is printed, to one unit of each last digit: some tables cut, others round."""
    numbers = printed.strip("[] ").split()
    units = [10.0 ** -len(number.partition(".")[2]) for number in numbers]
    assert np.ravel(value).shape == (len(numbers),)
    error = np.abs(np.ravel(value) - np.array([float(number) for number in numbers]))
    assert (error <= units).all(), (value, printed)


@BOTH
def test_rnn_cell_forward_table(module: Any) -> None:
    randn = seeded(1)
    xt, a_prev = randn(3, 10), randn(5, 10)
    parameters = course_rnn("Waa Wax Wya ba by", 3, 5, 2, randn)
    a_next, yt_pred, cache = module.rnn_cell_forward(xt, a_prev, parameters)
    assert_printed(
        a_next[4],
        "0.59584544 0.18141802 0.61311866 0.99808218 0.85016201 0.99980978 -0.18887155 0.99815551 "
        "0.6531151 0.82872037",
    )
    assert_printed(
        yt_pred[1],
        "0.9888161 0.01682021 0.21140899 0.36817467 0.98988387 0.88945212 0.36920224 0.9966312 "
        "0.9982559 0.17746526",
    )
    assert (a_next.shape, yt_pred.shape, len(cache)) == ((5, 10), (2, 10), 4)


@BOTH
def test_rnn_forward_table(module: Any) -> None:
    randn = seeded(1)
    x, a0 = randn(3, 10, 4), randn(5, 10)
    parameters = course_rnn("Waa Wax Wya ba by", 3, 5, 2, randn)
    a, y_pred, caches = module.rnn_forward(x, a0, parameters)
    assert_printed(a[4][1], "-0.99999375 0.77911235 -0.99861469 -0.99833267")
    assert_printed(y_pred[1][3], "0.79560373 0.86224861 0.11118257 0.81515947")
    assert_printed(caches[1][1][3], "-1.1425182 -0.34934272 -0.20889423 0.58662319")
    assert (a.shape, y_pred.shape, len(caches)) == ((5, 10, 4), (2, 10, 4), 2)


@BOTH
def test_rnn_forward_unit_test(module: Any) -> None:
    randn = seeded(17)
    x, a0 = randn(4, 8, 13), randn(7, 8)
    parameters = course_rnn("Waa Wax Wya ba by", 4, 7, 3, randn)
    a, y_pred, caches = module.rnn_forward(x, a0, parameters)
    assert_printed(a[5, 2, 2:6], "0.99999291 0.99332189 0.9921928 0.99503445")
    assert_printed(y_pred[2, 1, 1:5], "0.19428 0.14292 0.24993 0.00119")
    assert len(caches[0]) == 13
    assert caches[1] is x


@BOTH
def test_rnn_cell_backward_table(module: Any) -> None:
    randn = seeded(1)
    xt, a_prev = randn(3, 10), randn(5, 10)
    parameters = course_rnn("Wax Waa Wya ba by", 3, 5, 2, randn)
    _, _, cache = module.rnn_cell_forward(xt, a_prev, parameters)
    gradients = module.rnn_cell_backward(randn(5, 10), cache)
    assert_printed(gradients["dxt"][1][2], "-1.3872130506")
    assert_printed(gradients["da_prev"][2][3], "-0.152399493774")
    assert_printed(gradients["dWax"][3][1], "0.410772824935")
    assert_printed(gradients["dWaa"][1][2], "1.15034506685")
    assert_printed(gradients["dba"][4], "[ 0.20023491]")


@BOTH
def test_rnn_backward_table(module: Any) -> None:
    randn = seeded(1)
    x, a0 = randn(3, 10, 4), randn(5, 10)
    parameters = course_rnn("Wax Waa Wya ba by", 3, 5, 2, randn)
    _, _, caches = module.rnn_forward(x, a0, parameters)
    gradients = module.rnn_backward(randn(5, 10, 4), caches)
    assert_printed(gradients["dx"][1][2], "[-2.07101689 -0.59255627  0.02466855  0.01483317]")
    assert_printed(gradients["da0"][2][3], "-0.314942375127")
    assert_printed(gradients["dWax"][3][1], "11.2641044965")
    assert_printed(gradients["dWaa"][1][2], "2.30333312658")
    assert_printed(gradients["dba"][4], "[-0.74747722]")
    assert gradients["dx"].shape == (3, 10, 4)


@BOTH
def test_lstm_cell_forward_table(module: Any) -> None:
    randn = seeded(1)
    xt, a_prev, c_prev = randn(3, 10), randn(5, 10), randn(5, 10)
    parameters = lstm_parameters(3, 5, 2, randn)
    a_next, c_next, yt, cache = module.lstm_cell_forward(xt, a_prev, c_prev, parameters)
    assert_printed(
        a_next[4],
        "-0.66408471 0.0036921 0.02088357 0.22834167 -0.85575339 0.00138482 0.76566531 0.34631421 "
        "-0.00215674 0.43827275",
    )
    assert_printed(
        c_next[2],
        "0.63267805 1.00570849 0.35504474 0.20690913 -1.64566718 0.11832942 0.76449811 -0.0981561 "
        "-0.74348425 -0.26810932",
    )
    assert_printed(
        yt[1],
        "0.79913913 0.15986619 0.22412122 0.15606108 0.97057211 0.31146381 0.00943007 0.12666353 "
        "0.39380172 0.07828381",
    )
    assert_printed(
        cache[1][3],
        "-0.16263996 1.03729328 0.72938082 -0.54101719 0.02752074 -0.30821874 0.07651101 "
        "-1.03752894 1.41219977 -0.37647422",
    )
    assert len(cache) == 10


@BOTH
def test_lstm_cell_forward_unit_test(module: Any) -> None:
    randn = seeded(212)
    xt, a_prev, c_prev = randn(4, 8), randn(7, 8), randn(7, 8)
    _, _, yt, cache = module.lstm_cell_forward(xt, a_prev, c_prev, lstm_parameters(4, 7, 3, randn))
    of_cache = {
        4: "0.32969833 0.0574555",  # ft
        5: "0.0036446 0.9806943",  # it
        6: "0.99903873 0.57509956",  # cct
        1: "0.1352798 0.39884899",  # c_next
        7: "0.7477249 0.71588751",  # ot
        0: "0.10053951 0.27129536",  # a_next
    }
    for place, printed in of_cache.items():
        assert_printed(cache[place][0, :2], printed)
    assert_printed(yt[1], "0.417098 0.449528 0.223159 0.278376 0.68453 0.419221 0.564025 0.538475")


@BOTH
def test_lstm_forward_table(module: Any) -> None:
    randn = seeded(1)
    x, a0 = randn(3, 10, 7), randn(5, 10)
    a, y, c, caches = module.lstm_forward(x, a0, lstm_parameters(3, 5, 2, randn))
    assert_printed(a[4][3][6], "0.172117767533")
    assert_printed(y[1][4][3], "0.95087346185")
    assert_printed(c[1][2][1], "-0.855544916718")
    assert_printed(
        caches[1][1][1],
        "0.82797464 0.23009474 0.76201118 -0.22232814 -0.20075807 0.18656139 0.41005165",
    )
    assert (a.shape, y.shape, c.shape, len(caches)) == ((5, 10, 7), (2, 10, 7), (5, 10, 7), 2)


@BOTH
def test_lstm_forward_unit_test(module: Any) -> None:
    randn = seeded(45)
    x, a0 = randn(4, 13, 16), randn(3, 13)
    a, y, c, caches = module.lstm_forward(x, a0, lstm_parameters(4, 3, 2, randn))
    assert_printed(a[2, 1, 4:6], "-0.01606022 0.0243569")
    assert_printed(c[2, 1, 4:6], "-0.02753855 0.05668358")
    assert_printed(y[1, 1, 4:6], "0.70444592 0.70648935")
    assert len(caches[0]) == 16
    assert {len(cache) for cache in caches[0]} == {10}


@BOTH
def test_lstm_cell_backward_table(module: Any) -> None:
    randn = seeded(1)
    xt, a_prev, c_prev = randn(3, 10), randn(5, 10), randn(5, 10)
    _, _, _, cache = module.lstm_cell_forward(xt, a_prev, c_prev, lstm_parameters(3, 5, 2, randn))
    da_next, dc_next = randn(5, 10), randn(5, 10)
    gradients = module.lstm_cell_backward(da_next, dc_next, cache)
    assert_printed(gradients["dxt"][1][2], "3.23055911511")
    assert_printed(gradients["da_prev"][2][3], "-0.0639621419711")
    assert_printed(gradients["dc_prev"][2][3], "0.797522038797")
    assert_printed(gradients["dWf"][3][1], "-0.147954838164")
    assert_printed(gradients["dWi"][1][2], "1.05749805523")
    assert_printed(gradients["dWc"][3][1], "2.30456216369")
    assert_printed(gradients["dWo"][1][2], "0.331311595289")
    assert_printed(gradients["dbf"][4], "[ 0.18864637]")
    assert_printed(gradients["dbi"][4], "[-0.40142491]")
    assert_printed(gradients["dbc"][4], "[ 0.25587763]")
    assert_printed(gradients["dbo"][4], "[ 0.13893342]")


def lstm_backward_case(module: Any) -> tuple[Any, Any]:
    """What both tables of `lstm_backward` are made from: gradients of 4 of the 7 steps."""
    randn = seeded(1)
    x, a0 = randn(3, 10, 7), randn(5, 10)
    parameters = lstm_parameters(3, 5, 0, randn) | {"Wy": np.zeros((2, 5)), "by": np.zeros((2, 1))}
    _, _, _, caches = module.lstm_forward(x, a0, parameters)
    return randn(5, 10, 4), caches


def assert_lstm_table(gradients: dict[str, Any], printed: dict[str, str]) -> None:
    places = {"dx": (1, 2), "da0": (2, 3), "dWf": (3, 1), "dWi": (1, 2), "dWc": (3, 1),
              "dWo": (1, 2), "dbf": (4,), "dbi": (4,), "dbc": (4,), "dbo": (4,)}  # fmt: skip
    for name, text in printed.items():
        assert_printed(gradients[name][places[name]], text)


@BOTH
def test_lstm_backward_table_of_later_editions(module: Any) -> None:
    gradients = module.lstm_backward(*lstm_backward_case(module))
    assert_lstm_table(
        gradients,
        {
            "dx": "[0.00218254  0.28205375 -0.48292508 -0.43281115]",
            "da0": "0.312770310257",
            "dWf": "-0.0809802310938",
            "dWi": "0.40512433093",
            "dWc": "-0.0793746735512",
            "dWo": "0.038948775763",
            "dbf": "[-0.15745657]",
            "dbi": "[-0.50848333]",
            "dbc": "[-0.42510818]",
            "dbo": "[ -0.17958196]",
        },
    )
    assert gradients["dx"].shape == (3, 10, 4)


# ---- what the first editions published, and finite differences


def first_edition_lstm_backward(da: Any, caches: Any) -> dict[str, Any]:
    """As copied: neither da_prevt nor dc_prevt is ever set."""
    cells, x = caches
    n_a, m, T_x = da.shape
    dx = np.zeros((x.shape[0], m, T_x))
    dc_prevt = np.zeros((n_a, m))
    totals: dict[str, Any] = {}
    for t in reversed(range(T_x)):
        gradients = naive.lstm_cell_backward(da[:, :, t], dc_prevt, cells[t])
        dx[:, :, t] = gradients["dxt"]
        for name in (f"d{kind}{gate}" for gate in GATES for kind in "Wb"):
            totals[name] = totals.get(name, 0) + gradients[name]
    return {"dx": dx, "da0": gradients["da_prev"], **totals}


def test_the_first_editions_table_is_that_of_cut_chains() -> None:
    gradients = first_edition_lstm_backward(*lstm_backward_case(naive))
    assert_lstm_table(
        gradients,
        {
            "dx": "[-0.00173313  0.08287442 -0.30545663 -0.43281115]",
            "da0": "-0.095911501954",
            "dWf": "-0.0698198561274",
            "dWi": "0.102371820249",
            "dWc": "-0.0624983794927",
            "dWo": "0.0484389131444",
            "dbf": "[-0.0565788]",
        },
    )


def differences(loss: Callable[[], float], array: Any, step: float = 1e-6) -> Any:
    """Central differences of a loss by each element of an array that it reads."""
    result = np.empty_like(array)
    for place in np.ndindex(array.shape):
        before = array[place]
        losses = []
        for moved in (before + step, before - step):
            array[place] = moved
            losses.append(loss())
        array[place] = before
        result[place] = (losses[0] - losses[1]) / (2 * step)
    return result


#: Of central differences with steps of 1e-6: their rounding, eps / step, times the loss's size.
DIFFERENCE = 1e-7


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    found = inputs((2, 3, 4, 2, 5), np.float64)
    x, a0, da, parameters = found["x"], found["a0"], found["da"], found[kind]
    forward = getattr(course, f"{kind}_forward")

    def loss() -> float:
        return float((forward(x, a0, parameters)[0] * da).sum())

    caches = forward(x, a0, parameters)[-1]
    gradients = getattr(course, f"{kind}_backward")(da, caches)
    of_output = {"Wya", "Wy", "by"}
    true = {f"d{name}": differences(loss, value)
            for name, value in parameters.items() if name not in of_output}  # fmt: skip
    true |= {"dx": differences(loss, x), "da0": differences(loss, a0)}
    assert set(gradients) == set(true)
    for name, value in true.items():
        assert_close(gradients[name], value, DIFFERENCE, name)
    if kind == "lstm":
        wrong = first_edition_lstm_backward(da, caches)
        errors = {name: np.abs(wrong[name] - value).max() for name, value in true.items()}
        assert min(errors.values()) > 1e4 * DIFFERENCE, errors


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_gradients_of_a_cell_are_those_of_finite_differences(kind: str) -> None:
    found = inputs((2, 3, 4, 2, 1), np.float64)
    states = [found["a0"], found["c0"]][: 1 + (kind == "lstm")]
    d_states = [found["da"][:, :, 0], found["dc"]][: len(states)]
    xt, parameters = found["x"][:, :, 0], found[kind]
    forward = getattr(course, f"{kind}_cell_forward")

    def loss() -> float:
        results = forward(xt, *states, parameters)
        return float(sum((r * d).sum() for r, d in zip(results, d_states, strict=False)))

    cache = forward(xt, *states, parameters)[-1]
    gradients = getattr(course, f"{kind}_cell_backward")(*d_states, cache)
    moved = {"dxt": xt} | dict(zip(("da_prev", "dc_prev"), states, strict=False))
    moved |= {f"d{name}": value for name, value in parameters.items()
              if f"d{name}" in gradients}  # fmt: skip
    assert set(moved) == set(gradients)
    for name, array in moved.items():
        assert_close(gradients[name], differences(loss, array), DIFFERENCE, name)


def test_softmax_of_a_column_far_below_the_others() -> None:
    """The published one subtracts the largest of all columns: 0 / 0 here."""
    found = inputs((1, 2, 3, 2, 1), np.float64)
    parameters = found["rnn"] | {"Wya": np.array([[-2000.0, 0, 0], [-2000.0, 0, 0]])}
    parameters |= {"Waa": 40 * np.eye(3), "Wax": np.zeros((3, 1)), "ba": np.zeros((3, 1))}
    a0 = np.array([[1.0, -1.0], [0, 0], [0, 0]])
    a_next, yt_pred, _ = course.rnn_cell_forward(found["x"][:, :, 0], a0, parameters)
    z = parameters["Wya"] @ a_next + parameters["by"]
    with np.errstate(invalid="ignore"):
        published = np.exp(z - z.max()) / np.exp(z - z.max()).sum(axis=0)
    assert np.isnan(published[:, 0]).all()
    assert_close(yt_pred.sum(axis=0), np.ones(2), 4 * eps(np.float64))
    y_pred = course.rnn_forward(found["x"], a0, parameters)[1]
    assert_close(y_pred[:, :, 0], yt_pred, K * eps(np.float64))


# ---- caches


def test_caches_that_were_changed_are_heeded() -> None:
    found = inputs((3, 4, 5, 2, 6), np.float64)
    x, a0, da, parameters = (found[name] for name in ("x", "a0", "da", "lstm"))
    _, _, _, caches = course.lstm_forward(x, a0, parameters)
    _, _, _, plain = naive.lstm_forward(x, a0, parameters)
    caches[0][2], plain[0][2] = caches[0][4], plain[0][4]
    desired = naive.lstm_backward(da, plain)
    assert_same(course.lstm_backward(da, caches), desired, K * eps(np.float64), "changed")
    del caches[0][3:]
    actual = course.lstm_backward(da[:, :, :3], caches)
    assert_same(actual, naive.lstm_backward(da[:, :, :3], plain), K * eps(np.float64), "cut")


def test_backward_reads_parameters_and_x_as_they_are_then() -> None:
    """So does the published version, whose caches refer to them."""
    found = inputs((3, 4, 5, 2, 6), np.float64)
    for kind in ("rnn", "lstm"):
        results = []
        for module in (naive, course):
            case = copy.deepcopy(found)
            caches = getattr(module, f"{kind}_forward")(case["x"], case["a0"], case[kind])[-1]
            case["x"] *= 2
            for value in case[kind].values():
                value *= -1
            results.append(getattr(module, f"{kind}_backward")(case["da"], caches))
        assert_same(results[1], results[0], K * eps(np.float64), kind)


def test_states_of_a_sequence_are_read_only_and_the_rest_is_not() -> None:
    found = inputs((3, 4, 5, 2, 6), np.float64)
    a, y_pred, c, caches = course.lstm_forward(found["x"], found["a0"], found["lstm"])
    for array in (a, c, caches[0][0][0], course.rnn_forward(*_rnn_arguments(found))[0]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    before = course.lstm_backward(found["da"], caches)
    y_pred[...] = 0
    for value in course.lstm_backward(found["da"], caches).values():
        value[...] = 0
    assert_same(course.lstm_backward(found["da"], caches), before, 0, "again")


def _rnn_arguments(found: dict[str, Any]) -> tuple[Any, ...]:
    return found["x"], found["a0"], found["rnn"]


# ---- errors


def changed(found: dict[str, Any], kind: str, **values: Any) -> dict[str, Any]:
    return {**found[kind], **values}


Z = np.zeros


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: course.rnn_forward(f["x"][0], f["a0"], f["rnn"]), ValueError,
         r"x must have shape \(n_x, m, T_x\), none of them 0, got \(10, 4\)"),
        (lambda f: course.rnn_forward(f["x"][:, :, :0], f["a0"], f["rnn"]), ValueError,
         r"x must have shape \(n_x, m, T_x\), none of them 0, got \(3, 10, 0\)"),
        (lambda f: course.rnn_forward(f["x"], f["a0"].T, f["rnn"]), ValueError,
         r"a0 must have shape \(n_a, m\) = \(5, 10\), got \(10, 5\)"),
        (lambda f: course.lstm_forward(f["x"], f["a0"][:, :3], f["lstm"]), ValueError,
         r"a0 must have shape \(n_a, m\) = \(5, 10\), got \(5, 3\)"),
        (lambda f: course.rnn_forward(f["x"], f["a0"], changed(f, "rnn", Wax=Z((5, 4)))),
         ValueError, r"Wax must have shape \(n_a, n_x\) = \(5, 3\), got \(5, 4\)"),
        (lambda f: course.rnn_forward(f["x"], f["a0"], changed(f, "rnn", ba=Z(5))), ValueError,
         r"ba must have shape \(n_a, 1\) = \(5, 1\), got \(5,\)"),
        (lambda f: course.lstm_forward(f["x"], f["a0"], changed(f, "lstm", Wo=Z((5, 5)))),
         ValueError, r"Wo must have shape \(n_a, n_a \+ n_x\) = \(5, 8\), got \(5, 5\)"),
        (lambda f: course.lstm_forward(f["x"], f["a0"], changed(f, "lstm", by=Z((3, 1)))),
         ValueError, r"by must have shape \(n_y, 1\) = \(2, 1\), got \(3, 1\)"),
        (lambda f: course.lstm_forward(f["x"], f["a0"], f["rnn"]), KeyError,
         "parameters must have Wy, by, Wf, Wi, Wc, Wo, bf, bi, bc, bo; "
         "there is no Wy, Wf, Wi, Wc, Wo, bf, bi, bc, bo"),
        (lambda f: course.rnn_forward(f["x"], f["a0"], list(f["rnn"])), TypeError,
         "parameters must be a dict of arrays, got list"),
        (lambda f: course.rnn_forward(f["x"].astype(int), f["a0"], f["rnn"]), TypeError,
         "x must be float32 or float64, got int64"),
        (lambda f: course.rnn_forward(f["x"].astype(np.float32), f["a0"], f["rnn"]), TypeError,
         "Wya must be float32, got float64"),
        (lambda f: course.rnn_cell_forward(f["x"], f["a0"], f["rnn"]), ValueError,
         r"xt must have shape \(n_x, m\), none of them 0, got \(3, 10, 4\)"),
        (lambda f: course.rnn_cell_forward(f["x"][:, :, 0], f["a0"][:4], f["rnn"]), ValueError,
         r"a_prev must have shape \(n_a, m\) = \(5, 10\), got \(4, 10\)"),
        (lambda f: course.lstm_cell_forward(f["x"][:, :, 0], f["a0"], f["c0"].T, f["lstm"]),
         ValueError, r"c_prev must have shape \(n_a, m\) = \(5, 10\), got \(10, 5\)"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_forward_passes(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(inputs((3, 10, 5, 2, 4), np.float64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f, r, c: course.rnn_backward(f["da"][:, :4], r), ValueError,
         r"da must have shape \(n_a, m, T\) = \(5, 10, T\), got \(5, 4, 4\)"),
        (lambda f, r, c: course.rnn_backward(np.repeat(f["da"], 2, axis=2), r), ValueError,
         r"da must have shape \(n_a, m, T\) with T at most T_x = 4, got \(5, 10, 8\)"),
        (lambda f, r, c: course.rnn_backward(f["da"][:, :, :0], r), ValueError,
         r"da must have shape \(n_a, m, T\) = \(5, 10, T\), got \(5, 10, 0\)"),
        (lambda f, r, c: course.rnn_backward(f["da"].astype(np.float32), r), TypeError,
         "da must be float64, got float32"),
        (lambda f, r, c: course.rnn_backward(f["da"], r[0]), ValueError,
         r"caches must be \(list of the cells' caches, x\), as rnn_forward returns them, "
         "got a CellCaches of length 4"),
        (lambda f, r, c: course.rnn_backward(f["da"], ([], f["x"])), ValueError,
         r"caches\[0\] must be a list of the cells' caches, got a list of length 0"),
        (lambda f, r, c: course.lstm_backward(f["da"], r), ValueError,
         r"cache must be \(a_next, c_next, .*, parameters\), as lstm_cell_forward returns it, "
         "got a tuple of length 4"),
        (lambda f, r, c: course.rnn_backward(f["da"], (list(r[0])[:2], f["x"])), ValueError,
         r"da must have shape \(n_a, m, T\) with T at most T_x = 2, got \(5, 10, 4\)"),
        (lambda f, r, c: course.rnn_cell_backward(f["da"], c), ValueError,
         r"da_next must have shape \(n_a, m\) = \(5, 10\), got \(5, 10, 4\)"),
        (lambda f, r, c: course.rnn_cell_backward(f["a0"], c[:3]), ValueError,
         r"cache must be \(a_next, a_prev, xt, parameters\), as rnn_cell_forward returns it, "
         "got a tuple of length 3"),
        (lambda f, r, c: course.rnn_cell_backward(f["a0"], (*c[:2], f["a0"].T, c[3])), ValueError,
         r"the cache's xt must have shape \(n_x, m\) = \(3, 10\), got \(10, 5\)"),
        (lambda f, r, c: course.rnn_cell_backward(f["a0"], (*c[:3], {})), KeyError,
         "parameters must have Wax, Waa, ba; there is no Wax, Waa, ba"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_backward_passes(call: Any, error: Any, message: str) -> None:
    found = inputs((3, 10, 5, 2, 4), np.float64)
    caches = course.rnn_forward(*_rnn_arguments(found))[-1]
    cell = course.rnn_cell_forward(found["x"][:, :, 0], found["a0"], found["rnn"])[-1]
    with pytest.raises(error, match=message):
        call(found, caches, cell)
