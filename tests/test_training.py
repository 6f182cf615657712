"""Training against the naive implementation and PyTorch; what stops it, and how it goes on."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import functools
import pickle
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import DTYPES, NAIVE_RULES, PLAIN, assert_close, eps, normal, wide

import fastrnn
from fastrnn import LanguageModel, reference, training
from fastrnn.inference import Inference
from fastrnn.kernels import jit, primitives
from fastrnn.optimizers import OPTIMIZERS, Hyper
from fastrnn.training import Progress, TrainingOptions

K_STEP = 64  # k of k*eps: loss and gradients of one step, the same sums in another order
K_RULE = 16  # k of k*eps: some updates by the same gradients
K_LONG = {np.float32: 2**12, np.float64: 2**20}  # of STEPS steps; Adam divides by small numbers
STEPS = 24
#: Each optimiser and precision compiles its own training step, so here each has one optimiser.
OPTIMIZER = {np.float32: "adagrad", np.float64: "adam"}
RATE = {"adagrad": 0.05, "adam": 0.005}


class Case(NamedTuple):
    """A model, and the blocks that it is trained on."""

    layers: int
    batch: int
    time: int
    hidden: int
    vocabulary: int
    nonlinearity: str = "tanh"
    options: dict[str, Any] = {}  # noqa: RUF012

    def model(self, dtype: Any, seed: int = 0) -> LanguageModel:
        return LanguageModel(
            self.hidden, self.layers, nonlinearity=self.nonlinearity,
            vocabulary=self.vocabulary, dtype=dtype, seed=seed,
        )  # fmt: skip

    def tokens(self) -> Any:
        """Three blocks and a half in every stream, and a rest that does not divide."""
        size = self.batch * (3 * self.time + self.time // 2) + self.batch
        return np.random.default_rng(1).integers(self.vocabulary, size=size)

    def fit(self, dtype: Any, **more: Any) -> dict[str, Any]:
        """Options of `LanguageModel.fit`."""
        optimizer = OPTIMIZER[dtype]
        step = {"sequence_length": self.time, "batch_size": self.batch, "optimizer": optimizer}
        return {"steps": STEPS, "learning_rate": RATE[optimizer], **step, **self.options, **more}


class Naive:
    """The naive training in float64: its own streams, states, clipping and optimiser."""

    def __init__(self, case: Case, model: LanguageModel, options: dict[str, Any]) -> None:
        self.case, self.options = case, options
        self.params = {name: wide(p).copy() for name, p in model.params.items()}
        self.optimizer = NAIVE_RULES[options["optimizer"]](options["learning_rate"])
        tokens, length = case.tokens(), (case.tokens().size - 1) // case.batch
        self.streams = np.array(
            [tokens[n * length : (n + 1) * length + 1] for n in range(case.batch)]
        )
        self.position = 0
        self.begin()

    def begin(self) -> None:
        self.position = 0
        self.h = np.zeros((self.case.layers, self.case.batch, self.case.hidden))

    def step(self) -> tuple[float, float]:
        """Loss, and norm of the gradient before clipping."""
        end = self.position + self.case.time
        if end >= self.streams.shape[1]:
            self.begin()
            end = self.case.time
        block = self.streams[:, self.position : end + 1].T
        loss, grads, self.h = reference.language_model_step(
            block[:-1], block[1:], self.h, self.params,
            num_layers=self.case.layers, nonlinearity=self.case.nonlinearity,
        )  # fmt: skip
        self.position = end
        norm = reference.clip_by_norm(grads, self.options.get("clip_norm") or np.inf)
        if self.options.get("clip_value"):
            reference.clip_by_value(grads, self.options["clip_value"])
        self.optimizer.step(self.params, grads)
        return loss, norm


NO_CLIP = {"clip_norm": None}
CASES = [  # L, N, T, H, V
    Case(1, 1, 1, 1, 2, options=NO_CLIP),
    Case(1, 1, 7, 1, 9, options={"clip_norm": 0.05}),
    Case(1, 5, 7, 13, 11, options={"clip_norm": None, "clip_value": 0.01}),
    Case(2, 33, 7, 9, 5, options={"clip_norm": 0.1, "clip_value": 0.02}),
    Case(3, 5, 1, 17, 8, options=NO_CLIP),
    Case(3, 1, 300, 5, 13, options={"clip_norm": 0.2}),
    Case(2, 5, 300, 7, 3, options=NO_CLIP),
    Case(1, 33, 25, 40, 65, options={"clip_norm": 5.0}),
    Case(1, 5, 7, 13, 11, "relu", options=NO_CLIP),
    Case(3, 33, 7, 9, 13, "relu", options={"clip_norm": 0.1, "clip_value": 0.02}),
    Case(2, 1, 300, 5, 7, "relu", options={"clip_norm": 0.1}),
]
#: In both precisions, but relu in one: a training step takes long to compile.
EACH_CASE = pytest.mark.parametrize(
    ("case", "dtype"),
    [(c, d) for c in CASES for d in OPTIMIZER if c.nonlinearity == "tanh" or d is np.float64],
    ids=lambda value: value.__name__ if isinstance(value, type) else "-".join(map(str, value[:6])),
)
SMALL = Case(2, 3, 5, 9, 11)


class Stop(KeyboardInterrupt):
    """What the tests' Ctrl-C raises."""


def trained(case: Case, dtype: Any, **more: Any) -> LanguageModel:
    """A new model after training, or after its callback has raised Stop."""
    model = case.model(dtype)
    with contextlib.suppress(Stop):
        model.fit(case.tokens(), **case.fit(dtype, **more))
    return model


def bits(model: LanguageModel) -> dict[str, Any]:
    """All that the next step depends on, and the history."""
    assert model._trainer is not None
    state = model._trainer.state()
    arrays = {k: v.tobytes() for k, v in state.items() if isinstance(v, np.ndarray)}
    history = (model.history_.loss, model.history_.gradient_norm, model.history_.validation)
    place = (state["step"], state["position"])
    return {**arrays, "flat": model.flat.tobytes(), "place": place, "history": history}


@EACH_CASE
def test_training_is_the_naive_one(case: Case, dtype: Any) -> None:
    model, options = case.model(dtype), case.fit(dtype)
    naive = Naive(case, model, options)
    assert model.fit(case.tokens(), **options) is model
    losses, norms = np.transpose([naive.step() for _ in range(STEPS)])
    if "clip_norm" in options and options["clip_norm"] not in (None, 5.0):
        assert (norms > options["clip_norm"]).any()  # the case does clip
    tolerance = K_LONG[dtype] * eps(dtype)
    assert_close(model.history_.loss, losses, tolerance, "losses")
    assert_close(model.history_.gradient_norm, norms, tolerance, "norms")
    assert model._trainer is not None
    assert model._trainer.position == naive.position
    assert_close(model._trainer.carried(), naive.h, tolerance, "states")
    for name, p in model.params.items():
        assert p.dtype == dtype
        assert_close(p, naive.params[name], tolerance, name)


@EACH_CASE
def test_gradients_are_those_of_torch(case: Case, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    model = case.model(dtype)
    before = model.state_dict()
    model.fit(case.tokens(), **case.fit(dtype, steps=1))
    assert model._trainer is not None

    kind = torch.from_numpy(model.flat).dtype
    peer = torch.nn.RNN(
        case.vocabulary, case.hidden, case.layers, nonlinearity=case.nonlinearity
    ).to(kind)
    head = torch.nn.Linear(case.hidden, case.vocabulary).to(kind)
    both = [*peer.named_parameters(), ("weight_out", head.weight), ("bias_out", head.bias)]
    assert list(model.params) == [name for name, _ in both]
    with torch.no_grad():
        for name, p in both:
            p.copy_(torch.from_numpy(before[name]))
    streams = torch.from_numpy(Naive(case, model, case.fit(dtype)).streams[:, : case.time + 1].T)
    x = torch.nn.functional.one_hot(streams[:-1], case.vocabulary).to(kind)
    logits = head(peer(x)[0]).flatten(0, 1)
    loss = torch.nn.functional.cross_entropy(logits, streams[1:].flatten())
    loss.backward()
    assert_close(model.history_.loss, [loss.item()], K_STEP * eps(dtype), "loss")
    for name, p in both:
        assert_close(model._trainer.gradients[name], p.grad, K_STEP * eps(dtype), name)


@pytest.mark.parametrize("layers", [1, 3])
def test_gradients_are_those_of_finite_differences(layers: int) -> None:
    step = eps(np.float64) ** (1 / 3)  # central differences err by about step^2 + eps / step
    case = Case(layers, 1, 260, 6, 7, options=NO_CLIP)  # more than a block of `loss`
    model, text = case.model(np.float64), case.tokens()[:261]
    before = model.flat.copy()
    model.fit(text, **case.fit(np.float64, steps=1))
    assert model._trainer is not None
    gradients = model._trainer.gradients
    model.flat[...] = before
    assert_close(model.history_.loss, [model.loss(text)], K_STEP * eps(np.float64))
    for name, p in model.params.items():
        for place in {0, p.size // 2, p.size - 1}:
            index = np.unravel_index(place, p.shape)
            value, losses = p[index], []
            for moved in (value + step, value - step):
                p[index] = moved
                losses.append(model.loss(text))
            p[index] = value
            numeric = (losses[0] - losses[1]) / (2 * step)
            assert_close(gradients[name][index], numeric, 64 * step**2, name)


def test_the_classic_model_is_min_char_rnn() -> None:
    dtype, length = np.float32, 25
    limit = 5 / length  # its loss and gradients are sums over the text, ours are means
    case = Case(1, 1, length, 100, 65, options={"clip_norm": None, "clip_value": limit})
    model, options = case.model(dtype), case.fit(dtype, learning_rate=0.1)
    for name, p in model.params.items():
        p[...] = 0.01 * normal(p.shape, dtype, 3) if name.startswith("weight") else 0
    naive = Naive(case, model, options)
    model.fit(case.tokens(), **options)
    h, losses = np.zeros((100, 1)), []
    for step in range(STEPS):
        position = step % 3 * length
        block = naive.streams[0, position : position + length + 1].tolist()
        loss, grads, h = reference.lossFun(
            block[:-1], block[1:], h if position else np.zeros_like(h), naive.params
        )
        losses.append(loss / length)
        grads = {name: g / length for name, g in grads.items()}
        reference.clip_by_value(grads, limit)
        naive.optimizer.step(naive.params, grads)
    assert_close(model.history_.loss, losses, K_LONG[dtype] * eps(dtype))
    for name, p in model.params.items():
        # Adagrad divides: where gradients are all but zero, a parameter is all but random.
        error = np.sqrt(np.square(p - naive.params[name]).mean())
        assert error <= K_LONG[dtype] * eps(dtype), name


# --- optimisers ---


@functools.cache
def update_by(rule: Any, slots: int, rests_at_zero: bool) -> Any:
    """The update as `fastrnn.kernels.bound` has it, alone: a whole step takes long to compile."""
    rule = jit.kernel(rule)
    return jit.bind(primitives.update, rule=rule, SLOTS=slots, RESTS_AT_ZERO=rests_at_zero)


def updated(
    name: str, dtype: Any, size: int, hypers: list[Hyper], gradients: Any, start: Any
) -> Any:
    """Parameters after some updates by the kernels, between numbers that nobody may touch."""
    optimizer = OPTIMIZERS[name]
    update = update_by(optimizer.rule, optimizer.slots, optimizer.rests_at_zero)
    params = np.full(size + 19, 7, dtype)
    params[:size] = start
    slots = np.zeros(optimizer.slots * size, dtype)
    for hyper, gradient in zip(hypers, gradients, strict=True):
        grads = gradient.copy()
        # In parts, as the threads of a team share them.
        cut = size // 3
        update(params, grads, slots, cut, size, hyper)
        update(params, grads, slots, 0, cut, hyper)
        np.testing.assert_array_equal(grads, gradient)
    assert (params[size:] == 7).all()
    return params[:size]


def hypers(name: str, rate: float, steps: int, **more: float) -> list[Hyper]:
    optimizer, limit = OPTIMIZERS[name], more.pop("limit", np.inf)
    decay = optimizer.weight_decay
    return [
        optimizer.hyper(step, rate, limit=limit, weight_decay=decay)._replace(**more)
        for step in range(1, steps + 1)
    ]


def test_every_optimizer_has_a_naive_one() -> None:
    assert list(OPTIMIZERS) == list(NAIVE_RULES)


@DTYPES
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rules_are_the_naive_ones(name: str, dtype: Any) -> None:
    steps, rate = 6, 0.05
    for size, limit, scale in [(1, np.inf, 1.0), (37, 0.5, 1.0), (1000, 0.3, 0.25)]:
        start, gradients = normal((size,), dtype), normal((steps, size), dtype, 1)
        gradients[:, 0] = gradients[2:, 16:80] = 0  # there a rule may rest, or go on
        ours = updated(
            name, dtype, size, hypers(name, rate, steps, limit=limit, scale=scale), gradients, start
        )
        naive, params = NAIVE_RULES[name](rate), {"p": wide(start).copy()}
        for gradient in wide(gradients):
            naive.step(params, {"p": np.clip(gradient * scale, -limit, limit)})
        assert_close(ours, params["p"], K_RULE * eps(dtype), name)


@DTYPES
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_rules_are_those_of_torch(name: str, dtype: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    peers = {
        "sgd": (torch.optim.SGD, {}),
        "momentum": (torch.optim.SGD, {"momentum": 0.9}),
        "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "adagrad": (torch.optim.Adagrad, {"eps": 0}),  # torch has eps outside of the root
        "rmsprop": (torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8}),
        "adam": (torch.optim.Adam, {}),
        "adamw": (torch.optim.AdamW, {"weight_decay": 0.01}),
    }
    steps, rate, size = 6, 0.05, 37
    start, gradients = normal((size,), dtype), normal((steps, size), dtype, 1)
    eps_ = {"eps": 0.0} if name == "adagrad" else {}
    ours = updated(name, dtype, size, hypers(name, rate, steps, **eps_), gradients, start)
    p = torch.from_numpy(start.copy()).requires_grad_()
    kind, options = peers[name]
    peer = kind([p], lr=rate, **options)
    for gradient in gradients:
        p.grad = torch.from_numpy(gradient.copy())
        peer.step()
    assert_close(ours, p.detach(), K_RULE * eps(dtype), name)


def test_training_leaves_denormals_as_they_were() -> None:
    tiny = np.full(3, np.finfo(np.float32).smallest_subnormal)
    trained(SMALL, np.float64, steps=2)
    with contextlib.suppress(fastrnn.NonFiniteGradientError):
        model = SMALL.model(np.float64)
        model.params["bias_out"] = np.full(11, np.nan)
        model.fit(SMALL.tokens(), **SMALL.fit(np.float64))
    assert (tiny * np.float32(1) > 0).all()
    assert (tiny + np.float32(0) > 0).all()


@DTYPES
@pytest.mark.parametrize("size", [1, 5, 64, 511, 513, 2049, 5000])
def test_the_norm_is_summed_without_overflow(size: int, dtype: Any) -> None:
    a = normal((size + 9,), dtype)
    exact = float(np.square(wide(a[:size])).sum())
    assert abs(primitives.sum_of_squares(a, size) / exact - 1) <= K_STEP * eps(dtype)
    big = np.full(size, np.finfo(np.float32).max, dtype)  # the square overflows float32
    exact = float(np.square(wide(big)).sum())
    assert abs(primitives.sum_of_squares(big, size) / exact - 1) <= K_STEP * eps(dtype)
    for poison in (np.nan, np.inf, -np.inf):
        for place in {0, size // 2, size - 1}:
            spoilt = a[:size].copy()
            spoilt[place] = poison
            assert not np.isfinite(primitives.sum_of_squares(spoilt, size))


# --- schedules ---

BASE = 0.5
SCHEDULED = [  # options, rates of the 4 or so first steps of a training of 4
    ({}, [1, 1, 1, 1]),
    ({"schedule": "linear"}, [1, 3 / 4, 1 / 2, 1 / 4, 0, 0]),
    ({"schedule": "cosine"}, [1, (1 + 0.5**0.5) / 2, 1 / 2, (1 - 0.5**0.5) / 2, 0, 0]),
    ({"warmup_steps": 2}, [1 / 2, 1, 1, 1]),
    ({"schedule": "linear", "warmup_steps": 2}, [1 / 2, 1, 1, 1 / 2, 0]),
    ({"schedule": "cosine", "warmup_steps": 1}, [1, 1, 3 / 4, 1 / 4, 0]),
    ({"schedule": "cosine", "warmup_steps": 8}, [1 / 8, 2 / 8, 3 / 8, 4 / 8]),
]


@pytest.mark.parametrize(("options", "rates"), SCHEDULED, ids=str)
def test_schedules_have_the_values_of_their_names(options: Any, rates: list[float]) -> None:
    made = TrainingOptions(learning_rate=BASE, **options)
    found = [made.rate(step, 4) for step in range(1, len(rates) + 1)]
    np.testing.assert_allclose(found, BASE * np.array(rates), rtol=0, atol=eps(np.float64))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rate_is_the_optimizers_own_if_none_is_given(optimizer: str) -> None:
    assert TrainingOptions(optimizer=optimizer).rate(1, 1) == OPTIMIZERS[optimizer].rate


def test_training_follows_its_schedule() -> None:
    dtype, schedule = np.float64, {"schedule": "cosine", "warmup_steps": 5}
    model, options = SMALL.model(dtype), SMALL.fit(dtype, **schedule)
    naive = Naive(SMALL, model, options)
    model.fit(SMALL.tokens(), **options)
    made = TrainingOptions(learning_rate=options["learning_rate"], **schedule)
    for step in range(1, STEPS + 1):
        naive.optimizer.lr = made.rate(step, STEPS)
        naive.step()
    for name, p in model.params.items():
        assert_close(p, naive.params[name], K_LONG[dtype] * eps(dtype), name)


# --- the same numbers ---


@DTYPES
@pytest.mark.parametrize("case", [SMALL, Case(1, 33, 25, 40, 65), Case(2, 1, 300, 5, 7)])
def test_one_call_is_many_calls_bit_for_bit(case: Case, dtype: Any) -> None:
    expected = trained(case, dtype)
    sliced = trained(case, dtype, steps=0)
    trainer = sliced._trainer
    assert trainer is not None
    for count in [1] * 5 + [2, 3, 4] + [1] * (STEPS - 14):
        for buffer in (trainer._saved, trainer._d_h, trainer._carry, trainer._work, trainer._grads):
            buffer.fill(np.nan)  # nothing may be read that a step has not written
        trainer.h.reshape(case.layers, case.time + 1, -1)[:, 1:] = np.nan
        trainer.run(count)
    assert bits(sliced) == bits(expected)


@DTYPES
def test_the_same_seed_gives_the_same_bits(dtype: Any) -> None:
    one, same = (trained(SMALL, dtype) for _ in range(2))
    assert bits(one) == bits(same)
    other = SMALL.model(dtype, seed=1)
    assert other.flat.tobytes() != SMALL.model(dtype).flat.tobytes()


def test_streams_that_end_begin_anew_from_zeros() -> None:
    case = Case(2, 3, 5, 9, 11, options={"learning_rate": 1e-300})  # the parameters stay
    model = trained(case, np.float64, steps=7)
    losses = model.history_.loss
    assert losses[0:3] == losses[3:6]  # three blocks a stream
    assert losses[0] == losses[6]
    assert len(set(losses)) == 3
    assert model._trainer is not None
    assert model._trainer.position == 5


@DTYPES
@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_resuming_is_going_on(
    schedule: str, saved: bool, tmp_path: Path, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(SMALL, dtype, schedule=schedule)
    monkeypatch.setattr(training, "SLICE_SECONDS", 0)  # a slice is a step
    model = trained(SMALL, dtype, schedule=schedule, progress=interrupt_at(8))
    assert len(model.history_.loss) == 8
    if saved:
        model.save(tmp_path / "model")
        model = LanguageModel.load(tmp_path / "model")
    rest = SMALL.fit(dtype, steps=None, schedule=schedule)
    model.fit(SMALL.tokens(), resume=True, **rest)
    assert bits(model) == bits(whole)
    model.fit(SMALL.tokens(), resume=True, **rest)  # nothing is left
    assert bits(model) == bits(whole)


def test_a_resumed_training_may_have_another_end(monkeypatch: pytest.MonkeyPatch) -> None:
    text, step = SMALL.tokens(), SMALL.fit(np.float64, steps=None)
    model = SMALL.model(np.float64).fit(text, epochs=1, **step)
    scheduled, rate = [], TrainingOptions.rate

    def seen(options: TrainingOptions, step: int, total: int) -> float:
        scheduled.append((step, total))
        return rate(options, step, total)

    monkeypatch.setattr(TrainingOptions, "rate", seen)
    model.fit(text, epochs=3, resume=True, **step)
    assert scheduled == [(n, 9) for n in range(4, 10)]  # three steps an epoch, and all count
    for end, message in [
        ({"epochs": 2}, "epochs must be at least 3, done already, got 2"),
        ({"steps": 8}, "steps must be at least 9, done already, got 8"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(text, resume=True, **{**step, **end})


def test_resuming_goes_on_with_validation() -> None:
    text = SMALL.tokens()
    often = {"validation": text[::-1], "validate_every": 4}
    model = trained(SMALL, np.float64, steps=8, **often)
    model.fit(text, resume=True, **SMALL.fit(np.float64, steps=20, **often))
    assert bits(model) == bits(trained(SMALL, np.float64, steps=20, **often))


def interrupt_at(step: int) -> Any:
    """A callback that presses Ctrl-C after a step."""

    def progress(now: Progress) -> None:
        if now.step >= step:
            raise Stop

    return progress


def test_progress_tells_where_training_is() -> None:
    seen: list[Progress] = []
    text = SMALL.tokens()
    options = SMALL.fit(np.float64, validation=text, validate_every=10)
    model = SMALL.model(np.float64).fit(text, progress=seen.append, **options)
    steps = [p.step for p in seen]
    assert steps == sorted(set(steps))
    assert {10, 20, STEPS} <= set(steps)
    assert steps[-1] == STEPS
    assert {p.total for p in seen} == {STEPS}
    assert all(p.tokens_per_second > 0 for p in seen)
    history = model.history_
    for last, p in zip([0, *steps[:-1]], seen, strict=True):
        assert p.loss == np.mean(history.loss[last : p.step])
        found = [loss for step, loss in history.validation if step <= last]
        assert p.validation == (found[-1] if found else None)
    model.fit(text, resume=True, progress=seen.append, **{**options, "steps": STEPS + 6})
    assert (seen[-1].step, seen[-1].total) == (STEPS + 6, STEPS + 6)


# --- what stops a training ---


@DTYPES
@pytest.mark.parametrize(
    ("name", "index", "poison"),
    [
        ("bias_out", 3, np.nan),
        ("bias_out", 3, np.inf),  # -inf is a token that never comes
        ("weight_out", (3, 2), np.inf),
        ("weight_out", (3, 2), -np.inf),
        ("bias_ih_l1", 2, np.nan),
    ],
)
def test_a_gradient_that_is_not_finite_changes_nothing(
    name: str, index: Any, poison: float, dtype: Any
) -> None:
    model = trained(SMALL, dtype, steps=2)
    model.params[name][index] = poison
    before = bits(model)
    again = SMALL.fit(dtype, steps=9, resume=True)
    with np.errstate(all="ignore"), pytest.raises(fastrnn.NonFiniteGradientError) as caught:
        model.fit(SMALL.tokens(), **again)
    assert (caught.value.parameter, caught.value.step) == ("weight_ih_l0", 3)
    assert not np.isfinite(caught.value.value)
    assert "the gradient of weight_ih_l0 has " in str(caught.value)
    assert "at step 3" in str(caught.value)
    assert bits(model) == before
    twin = pickle.loads(pickle.dumps(caught.value))
    assert (str(twin), twin.parameter, twin.step) == (str(caught.value), "weight_ih_l0", 3)


@DTYPES
def test_the_parameter_whose_gradient_is_not_finite_is_named(dtype: Any) -> None:
    model = trained(SMALL, dtype, steps=2)
    model.params["weight_out"] = np.zeros_like(model.params["weight_out"])
    assert model._trainer is not None
    model._trainer.carried()[1, 0, 3] = np.nan  # of the second layer: the first one is sound
    model.params["weight_hh_l1"] = np.zeros_like(model.params["weight_hh_l1"])
    with pytest.raises(fastrnn.NonFiniteGradientError) as caught:
        model.fit(SMALL.tokens(), **SMALL.fit(dtype, steps=3, resume=True))
    wrong = [n for n, g in model._trainer.gradients.items() if not np.isfinite(g).all()]
    assert caught.value.parameter == wrong[0]


@DTYPES
def test_steps_before_one_that_is_not_finite_are_done(dtype: Any) -> None:
    case = SMALL._replace(options=NO_CLIP)
    text = np.where(case.tokens() == 10, 0, case.tokens())
    text[2 * case.time + 1] = 10  # first read in the third step
    models = []
    for steps in (2, 9):
        model = case.model(dtype)
        model.params["weight_ih_l0"][:, 10] = np.nan
        options = case.fit(dtype, steps=0)
        models.append(model.fit(text, **options))
        assert model._trainer is not None
        if steps == 2:
            model._trainer.run(steps)
            continue
        with pytest.raises(fastrnn.NonFiniteGradientError) as caught:
            model.fit(text, resume=True, **{**options, "steps": steps})
        assert caught.value.step == 3
    assert bits(models[0]) == bits(models[1])


@DTYPES
def test_a_gradient_whose_squares_overflow_is_clipped(dtype: Any) -> None:
    """It is finite; the sum of its squares is a float64, which float32 cannot overflow."""
    model = SMALL.model(dtype)
    model.params["weight_out"] *= dtype(1e25 if dtype is np.float32 else 1e200)
    before = model.flat.copy()
    options = SMALL.fit(dtype, steps=1, clip_norm=1.0)
    if dtype is np.float64:
        model.fit(SMALL.tokens(), **options)  # the naive norm overflows, this one is scaled
        assert 1e190 < model.history_.gradient_norm[0] < np.inf
        assert np.isfinite(model.flat).all()
        assert (model.flat != before).any()
        return
    naive = Naive(SMALL, model, options)
    model.fit(SMALL.tokens(), **options)
    _, norm = naive.step()
    assert norm > np.sqrt(np.finfo(np.float32).max)
    assert abs(model.history_.gradient_norm[0] / norm - 1) <= K_LONG[dtype] * eps(dtype)
    for name, p in model.params.items():
        assert_close(p, naive.params[name], K_LONG[dtype] * eps(dtype), name)


def test_ctrl_c_in_the_callback_leaves_a_model_that_goes_on() -> None:
    model, text = SMALL.model(np.float64), SMALL.tokens()
    with pytest.raises(KeyboardInterrupt):
        model.fit(text, progress=interrupt_at(1), **SMALL.fit(np.float64))
    done = len(model.history_.loss)
    assert 1 <= done < STEPS
    assert bits(model) == bits(trained(SMALL, np.float64, steps=done))
    model.fit(text, resume=True, **SMALL.fit(np.float64))
    assert bits(model) == bits(trained(SMALL, np.float64))


@pytest.mark.skipif(PLAIN, reason="without the JIT the kernels themselves hear Ctrl-C")
@pytest.mark.parametrize("seconds", [0.11, 0.2, 0.29])
def test_ctrl_c_in_the_kernels_leaves_a_model_that_goes_on(seconds: float) -> None:
    trained(SMALL, np.float64, steps=1)  # compiles
    model = SMALL.model(np.float64)
    key = threading.Timer(seconds, _thread.interrupt_main)
    options = SMALL.fit(np.float64, steps=500_000)
    key.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(SMALL.tokens(), **options)
    key.join()
    assert model._trainer is not None
    done = model._trainer.step
    assert done > 1
    twin = trained(SMALL, np.float64, steps=done)
    whole = bits(twin)
    assert bits(model) | {"history": whole["history"]} == whole
    assert model.history_.loss == twin.history_.loss


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", [0, 5, STEPS - 1])
def test_ctrl_c_that_a_callback_of_c_swallows_is_heard_after_the_slice(
    step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def press(self: training.Trainer, steps: int) -> training.Slice:
        if self.step == step:
            ctypes.CFUNCTYPE(None)(lambda: signal.raise_signal(signal.SIGINT))()
        return run(self, steps)

    run = training.Trainer.run
    monkeypatch.setattr(training.Trainer, "run", press)
    monkeypatch.setattr(training, "SLICE_SECONDS", 0)  # a slice is a step
    model = SMALL.model(np.float64)
    with pytest.raises(KeyboardInterrupt):
        model.fit(SMALL.tokens(), **SMALL.fit(np.float64))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert bits(model) == bits(trained(SMALL, np.float64, steps=step + 1))


def test_ctrl_c_at_the_last_moment_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def press(self: Inference, tokens: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return 1.0

    monkeypatch.setattr(Inference, "loss", press)
    model, text = SMALL.model(np.float64), SMALL.tokens()
    options = SMALL.fit(np.float64, validation=text, validate_every=STEPS)
    with pytest.raises(KeyboardInterrupt):
        model.fit(text, **options)
    assert model.history_.validation == [(STEPS, 1.0)]


def test_ctrl_c_is_left_to_those_who_handle_it() -> None:
    heard: list[int] = []

    def progress(now: Progress) -> None:
        signal.raise_signal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        heard.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        trained(SMALL, np.float64, progress=progress)
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard


def test_training_in_a_thread_leaves_ctrl_c_alone() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(trained, SMALL, np.float64).result()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- validation ---


def test_validation_is_the_loss_on_the_text_held_out() -> None:
    text = np.random.default_rng(2).integers(11, size=400)
    options = SMALL.fit(np.float64, steps=10, validate_every=4)
    by_fraction = SMALL.model(np.float64).fit(text, validation=0.25, **options)
    by_text = SMALL.model(np.float64).fit(text[:300], validation=text[300:], **options)
    assert bits(by_fraction) == bits(by_text)
    assert [step for step, _ in by_text.history_.validation] == [4, 8, 10]
    assert by_text.history_.validation[-1][1] == by_text.loss(text[300:])
    assert not by_text.history_.stopped_early
    default = SMALL.model(np.float64).fit(text, validation=0.25, **SMALL.fit(np.float64, steps=20))
    assert [step for step, _ in default.history_.validation] == list(range(2, 21, 2))


def test_patience_stops_and_restores_the_best() -> None:
    constant, noise = np.zeros(200, int), np.random.default_rng(0).integers(11, size=200)
    options = SMALL.fit(np.float64, steps=1000, validate_every=2, validation=noise)
    model = SMALL.model(np.float64).fit(constant, patience=3, **options)  # it gets worse at once
    history = model.history_
    assert history.stopped_early
    losses = [loss for _, loss in history.validation]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4
    assert len(history.loss) == 2 * len(losses)
    assert model.loss(noise) == losses[best]
    twin = SMALL.model(np.float64).fit(constant, **{**options, "steps": 2 * (best + 1)})
    assert model.flat.tobytes() == twin.flat.tobytes()


@pytest.mark.parametrize(("epochs", "steps"), [(None, 3), (1, 3), (2.5, 8), (0, 0)])
def test_epochs_are_passes_over_the_text(epochs: float | None, steps: int) -> None:
    options = {**SMALL.fit(np.float64), "steps": None, "epochs": epochs}
    model = SMALL.model(np.float64).fit(SMALL.tokens(), **options)
    assert len(model.history_.loss) == len(model.history_.gradient_norm) == steps


# --- without the JIT ---

SUBSET = "naive_one or min_char or many_calls or resuming"


@pytest.mark.skipif(PLAIN, reason="this is without the JIT")
def test_training_without_the_jit_is_the_same(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", SUBSET]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'plain'}", Path(__file__).name],
        cwd=Path(__file__).parent,
        env={**environment, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"\b[1-9]\d+ passed", done.stdout)
