"""Training of a language model: schedules, the trainer's state, and slices of many steps."""

from __future__ import annotations

import functools
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastrnn.cells import Cell
from fastrnn.checks import Array, check_choice, check_integer, check_number
from fastrnn.data import Tokens
from fastrnn.interrupts import ctrl_c_noted
from fastrnn.model_plan import HEAD_ROWS, ModelPlan, embedding_size, model_offsets, plan_model
from fastrnn.optimizers import OPTIMIZERS, Hyper, Optimizer
from fastrnn.params import Parameters
from fastrnn.threads import get_threads, run_team
from fastrnn.workspaces import aligned_empty

#: Seconds that a call of the kernels should take: a progress bar moves, Ctrl-C is heard.
SLICE_SECONDS = 0.05

SCHEDULES = ("constant", "linear", "cosine")


class NonFiniteGradientError(ArithmeticError):
    """A gradient has NaN or infinity; the parameters are as they were before the step.

    Attributes
    ----------
    parameter : str
        The first parameter whose gradient is not finite.
    step : int
        The step, the first one being 1.
    """

    def __init__(self, parameter: str, step: int, value: float) -> None:
        super().__init__(
            f"the gradient of {parameter} has {value} at step {step}; the model is as it was "
            f"before that step: try a lower learning_rate or a clip_norm"
        )
        self.parameter, self.step, self.value = parameter, step, value

    def __reduce__(self) -> Any:
        return NonFiniteGradientError, (self.parameter, self.step, self.value)


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; see `fastrnn.LanguageModel.fit` for the meaning of each."""

    sequence_length: int = 64
    batch_size: int = 32
    optimizer: str = "adam"
    learning_rate: float | None = None
    schedule: str = "constant"
    warmup_steps: int = 0
    clip_norm: float | None = 5.0
    clip_value: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        check_integer("sequence_length", self.sequence_length, least=1)
        check_integer("batch_size", self.batch_size, least=1)
        check_choice("optimizer", self.optimizer, tuple(OPTIMIZERS))
        check_choice("schedule", self.schedule, SCHEDULES)
        check_integer("warmup_steps", self.warmup_steps, least=0)
        for name in ("learning_rate", "clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), above=0)
        if self.weight_decay is not None:
            check_number("weight_decay", self.weight_decay, least=0)
            if self.weight_decay and self.optimizer != "adamw":
                raise ValueError(
                    f"weight_decay must be None or 0 for {self.optimizer!r}; 'adamw' has one"
                )

    @property
    def rule(self) -> Optimizer:
        """The optimiser that `optimizer` names."""
        return OPTIMIZERS[self.optimizer]

    def rate(self, step: int, total: float) -> float:
        """Learning rate of a step, the first one being 1, of a training of `total` steps."""
        base = self.rule.rate if self.learning_rate is None else self.learning_rate
        if step <= self.warmup_steps:
            return base * step / self.warmup_steps
        done = (step - 1 - self.warmup_steps) / max(1, total - self.warmup_steps)
        if self.schedule == "linear":
            return base * max(0.0, 1 - done)
        if self.schedule == "cosine":
            return base * (1 + math.cos(math.pi * min(1.0, done))) / 2
        return base

    def hypers(self, done: int, steps: int, total: float, *, before: int = 0) -> Array:
        """A `Hyper` for each of the `steps` after those that are `done`, (steps, 9).

        Another training of `before` steps may have come before this one of `total` steps.
        """
        limit = math.inf if self.clip_value is None else self.clip_value
        decay = self.rule.weight_decay if self.weight_decay is None else self.weight_decay
        numbers: list[Hyper] = [
            self.rule.hyper(before + step, self.rate(step, total), limit=limit, weight_decay=decay)
            for step in range(done + 1, done + 1 + steps)
        ]
        return np.array(numbers).reshape(steps, 9)


class Slice(NamedTuple):
    """What some steps of training did."""

    #: Mean loss in nats per token, and norm of the gradient before clipping, of each step.
    losses: Array
    norms: Array
    seconds: float


class Progress(NamedTuple):
    """Where a training stands; `fit` passes it to its callback about every 50 ms."""

    step: int
    total: int
    #: Mean loss of the steps of this slice, in nats per token.
    loss: float
    tokens_per_second: float
    #: The last validation loss, if any.
    validation: float | None


@dataclass
class History:
    """What happened in training: of each step its loss and gradient norm, and validations."""

    loss: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    #: (step, loss) of each validation.
    validation: list[tuple[int, float]] = field(default_factory=list)
    #: Seconds in the training kernels, those of the first call apart: it may have compiled them.
    seconds: float = 0.0
    first_call_seconds: float = 0.0
    stopped_early: bool = False

    def add(self, done: Slice) -> None:
        """Append what some steps did."""
        self.loss += done.losses.tolist()
        self.gradient_norm += done.norms.tolist()
        if self.first_call_seconds:
            self.seconds += done.seconds
        else:
            self.first_call_seconds = done.seconds


@dataclass
class Trainer:
    """A training in progress: everything that the next step depends on.

    Attributes
    ----------
    total : int
        Steps of the whole training, by which the learning rate is scheduled.
    held_out : float, optional
        Fraction of the text at its end that is kept for validation, and is not in `streams`.
    frozen : bool
        Whether the embedding, the end of the parameters, stays as it is.
    slots : ndarray (number of slots, parameters that are trained)
        The optimiser's state.
    h, memory : ndarray
        The states carried over, in their first slots.
    """

    cell: Cell
    parameters: Parameters
    layers: int
    hidden: int
    vocabulary: int
    options: TrainingOptions
    streams: Tokens
    total: int
    history: History
    held_out: float | None = None
    frozen: bool = False
    slots: Array = field(init=False)
    h: Array = field(init=False)
    memory: Array = field(init=False)

    def __post_init__(self) -> None:
        options, dtype = self.options, self.parameters.flat.dtype
        self._plan = plan = self._plan_for(1)
        embedded = plan.time * plan.batch * plan.model.embedding
        table = self.vocabulary * plan.model.embedding if self.frozen else 0
        self.slots = np.zeros((options.rule.slots, self.parameters.flat.size - table), dtype)
        self.h, self.memory = plan.states(dtype)
        unit = plan.batch * plan.hidden
        self._saved = np.empty(plan.layers * plan.time * plan.saved * unit, dtype)
        self._d_h = np.empty(min(2, plan.layers) * plan.time * unit, dtype)
        self._carry = np.empty((1 + plan.others) * unit, dtype)
        self._work = aligned_empty(plan.work, dtype)
        self._sums = np.empty(HEAD_ROWS)
        self._x = np.empty(embedded, dtype)
        self._d_x = np.empty(0 if self.frozen else embedded, dtype)
        self._grads = np.zeros_like(self.parameters.flat)
        self._tokens = np.empty(plan.time * plan.batch, np.int64)
        self._targets = np.empty_like(self._tokens)
        self._offsets = model_offsets(self.parameters, self.layers)
        self._counters = np.zeros(2, np.int64)
        self._seconds_per_step = 0.0

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._counters[0])

    @property
    def position(self) -> int:
        """Where in the streams the next block begins."""
        return int(self._counters[1])

    @functools.cached_property
    def text(self) -> str:
        """Digest of the tokens that are trained on."""
        return hashlib.sha256(self.streams.astype("<i8", copy=False).data).hexdigest()

    def carried(self) -> Array:
        """View (L, N, H) of the states of h that the next block begins with."""
        plan = self._plan
        return self.h.reshape(plan.layers, plan.time + 1, plan.batch, plan.hidden)[:, 0]

    @property
    def gradients(self) -> dict[str, Array]:
        """The last step's gradients by name, before clipping; zeros of what is frozen."""
        return self.parameters.places.views(self._grads)

    @property
    def tokens_per_step(self) -> int:
        """Tokens that one step predicts."""
        return self._plan.time * self._plan.batch

    def _plan_for(self, threads: int) -> ModelPlan:
        options = self.options
        return plan_model(
            self.cell, self.parameters.flat.dtype, options.sequence_length, options.batch_size,
            self.vocabulary, self.hidden, self.layers, keep=True,
            embedding=embedding_size(self.parameters), threads=threads,
        )  # fmt: skip

    def run(self, steps: int) -> Slice:
        """Train exactly so many steps in one call of the kernels, without the GIL.

        Raises
        ------
        NonFiniteGradientError
            If a gradient is not finite; the steps before it are done.
        """
        from fastrnn.kernels.bound import model_drivers

        options, plan = self.options, self._plan_for(get_threads())
        if self._work.size < plan.work:
            self._work = aligned_empty(plan.work, self._work.dtype)
        hypers = options.hypers(self.step, steps, self.total)
        losses, norms = np.empty(steps), np.empty(steps)
        norm_limit = math.inf if options.clip_norm is None else options.clip_norm
        before, start = self.step, time.perf_counter()
        args = (
            losses, norms, self.parameters.flat, self._grads[: self.slots.shape[1]],
            self.slots.reshape(-1), self.h, self.memory, self._saved, self._d_h, self._carry,
            self._work, self._x, self._d_x, self._tokens, self._targets, self._sums, hypers,
            self._offsets, self.streams.reshape(-1), self.streams.shape[1], self._counters,
            float(norm_limit),
        )  # fmt: skip
        driver = model_drivers(self.cell, options.rule).train_steps
        try:
            run_team(driver, plan.threads, plan.model, args)
        finally:
            # Ctrl-C is raised when the kernels return: what they did is recorded all the same.
            done = self.step - before
            took = Slice(losses[:done], norms[:done], time.perf_counter() - start)
            self.history.add(took)
        if done < steps:
            wrong = np.flatnonzero(~np.isfinite(self._grads))
            first = int(wrong[0])
            raise NonFiniteGradientError(
                self.parameters.places.owner(first), self.step + 1, float(self._grads[first])
            )
        return took

    def slices(self, steps: int) -> Iterator[Slice]:
        """Train so many steps in slices of about 50 ms; between them Python is in control."""
        end = self.step + steps
        while self.step < end:
            count = 1
            if self._seconds_per_step:
                count = max(1, int(SLICE_SECONDS / self._seconds_per_step))
            done = self.run(min(count, end - self.step))
            # The first step of a process may have compiled the kernels: do not learn from it.
            if self.step > 1 or done.seconds < SLICE_SECONDS:
                self._seconds_per_step = max(done.seconds / done.losses.size, 1e-6)
            yield done

    def state(self) -> dict[str, Any]:
        """Copies of all that the next step depends on besides the parameters and the text."""
        return {
            "step": self.step,
            "position": self.position,
            "total": self.total,
            "text": self.text,
            "held_out": self.held_out,
            "options": asdict(self.options),
            "slots": self.slots.copy(),
            "h": self.carried().copy(),
            "memory": self.memory.copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`; ValueError if it does not fit."""
        now, then = asdict(self.options), state["options"]
        for name in ("sequence_length", "batch_size", "optimizer"):
            if now[name] != then[name]:
                raise ValueError(
                    f"{name} must be {then[name]!r} to resume this training, got {now[name]!r}"
                )
        if self.text != state["text"]:
            raise ValueError(
                "data must be the text that this training began with, the same part of it held "
                "out for validation, got another one"
            )
        arrays = {"slots": self.slots, "h": self.carried(), "memory": self.memory}
        for name, place in arrays.items():
            if place.shape != state[name].shape:
                raise ValueError(
                    f"the training's {name} must have shape {place.shape}, got {state[name].shape}"
                )
            place[...] = state[name]
        length = self.streams.shape[1]
        if not 0 <= state["position"] <= length:
            raise ValueError(
                f"position must be in the text of length {length}, got {state['position']}"
            )
        self._counters[:] = state["step"], state["position"]
        self.total = state["total"]

    def set_end(self, steps: int | None, epochs: float | None) -> None:
        """Set `total`, if either is given; ValueError if more than that is done already."""
        done, per_epoch = self.step, (self.streams.shape[1] - 1) // self._plan.time
        if steps is not None:
            if steps < done:
                raise ValueError(f"steps must be at least {done}, done already, got {steps}")
            self.total = steps
        if epochs is not None:
            self.total = round(epochs * per_epoch)
            if self.total < done:
                least = math.ceil(100 * done / per_epoch) / 100
                raise ValueError(f"epochs must be at least {least:g}, done already, got {epochs:g}")


def train(
    trainer: Trainer,
    validate: Callable[[], float] | None,
    validate_every: int | None,
    patience: int | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Train to the end; see `fastrnn.LanguageModel.fit` for the meaning of each argument."""
    end, flat, history = trainer.total, trainer.parameters.flat, trainer.history
    if trainer.step < end:
        history.stopped_early = False
    every = validate_every or max(1, end // 10)
    best, best_flat, waited = math.inf, None, 0
    with ctrl_c_noted() as listen:
        while trainer.step < end:
            until = min(end, (trainer.step // every + 1) * every) if validate else end
            for done in trainer.slices(until - trainer.step):
                if progress:
                    validation = history.validation[-1][1] if history.validation else None
                    rate = trainer.tokens_per_step * done.losses.size / done.seconds
                    loss = float(done.losses.mean())
                    progress(Progress(trainer.step, end, loss, rate, validation))
                listen()
            if validate is None:
                continue
            found = validate()
            history.validation.append((trainer.step, found))
            waited = 0 if found < best else waited + 1
            if found < best:
                best, best_flat = found, flat.copy() if patience else None
            if patience and waited >= patience:
                history.stopped_early = True
                break
        if best_flat is not None:
            flat[...] = best_flat
