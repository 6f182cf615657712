"""What all estimators share: their options, epochs, early stopping, labels and weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

try:
    from sklearn.base import BaseEstimator
    from sklearn.utils import check_array, check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets, type_of_target
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d
except ModuleNotFoundError as error:
    raise ImportError(
        "fastrnn's estimators need scikit-learn: pip install 'fastrnn[estimators]'"
    ) from error

from fastrnn.checks import (
    Array,
    check_bool,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
)
from fastrnn.training import SCHEDULES, Progress, TrainingOptions

Integers = NDArray[np.int64]
#: Trains steps: order, starts, stops, hypers, and what is called with losses and steps done.
Run = Callable[[Integers, Integers, Integers, Array, Callable[[Array, int], None]], None]

#: Steps of one call, where epochs are short.
STEPS = 4096
#: As scikit-learn words it.
MISSING_Y = "This {} estimator requires y to be passed, but the target y is None"
#: Seeds are below this.
SEEDS = 2**31 - 1


class Learner(Protocol):
    """What an estimator trains."""

    #: Steps done.
    done: int

    @property
    def flat(self) -> Array:
        """All parameters."""


class Estimator(BaseEstimator):
    """A learner that is trained epoch by epoch.

    Subclasses have the parameters that are read here.

    Attributes
    ----------
    loss_curve_ : list of float
        Mean loss of each epoch.
    validation_scores_ : list of float
        With early stopping, of each epoch.
    n_iter_ : int
        Epochs done.
    """

    optimizer: str
    learning_rate: float | None
    schedule: str
    warmup_steps: int
    weight_decay: float | None
    alpha: float
    batch_size: int | None
    max_iter: int
    shuffle: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    tol: float
    warm_start: bool
    random_state: Any
    verbose: bool
    dtype: DTypeLike
    classes_: Array
    _learner: Any
    _generator: np.random.Generator
    loss_curve_: list[float]
    validation_scores_: list[float]

    def _keep(self, parameters: dict[str, Any]) -> None:
        """Keep the arguments of a constructor, unchecked, as scikit-learn wants it."""
        for name in self._get_param_names():
            setattr(self, name, parameters[name])

    def _options(self, progress: Any) -> TrainingOptions:
        """How to train, once all parameters are checked."""
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be callable, got {progress!r}")
        self._dtype = check_dtype(self.dtype)
        check_integer("max_iter", self.max_iter, least=1)
        check_number("alpha", self.alpha, least=0)
        check_number("tol", self.tol, least=0)
        check_integer("n_iter_no_change", self.n_iter_no_change, least=1)
        check_number("validation_fraction", self.validation_fraction, above=0, below=1)
        check_choice("schedule", self.schedule, SCHEDULES)
        for name in ("shuffle", "early_stopping", "warm_start"):
            check_bool(name, getattr(self, name))
        if self.batch_size is not None:
            check_integer("batch_size", self.batch_size, least=1)
        return TrainingOptions(
            batch_size=self.batch_size or 1,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup_steps=self.warmup_steps,
            clip_norm=getattr(self, "clip_norm", None),
            weight_decay=self.weight_decay,
        )

    @staticmethod
    def _check_same(now: tuple[Any, ...], then: tuple[Any, ...]) -> None:
        """ValueError unless a training goes on with what it began with."""
        if now != then:
            raise ValueError(f"to go on, the parameters must be those before, {then}, got {now}")

    def _begin(self) -> int:
        """Forget all training; a seed for what is to be trained."""
        chance = check_random_state(self.random_state)
        self._generator = np.random.default_rng(chance.randint(SEEDS))
        self.loss_curve_, self.validation_scores_ = [], []
        return int(chance.randint(SEEDS))

    @property
    def n_iter_(self) -> int:
        """Epochs done."""
        check_is_fitted(self)
        return len(self.loss_curve_)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_learner")

    def _l2(self, count: int) -> float:
        """The factor of half the sum of squares in the loss: as scikit-learn's `alpha` is meant."""
        return float(self.alpha) / min(self.batch_size or count, count)

    def _held_out(self, count: int) -> tuple[Integers, Integers | None]:
        """Numbers of the examples to train on, and of those to validate on."""
        everything = np.arange(count)
        if not self.early_stopping:
            return everything, None
        size = max(2, round(self.validation_fraction * count))
        if size >= count:
            raise ValueError(
                f"X must have examples to train on beside {size} to validate on, got {count}"
            )
        mixed = self._generator.permutation(everything)
        return np.sort(mixed[size:]), np.sort(mixed[:size])

    def _train(
        self,
        options: TrainingOptions,
        run: Run,
        count: int,
        *,
        epochs: int | None = None,
        validate: Callable[[], float] | None = None,
        progress: Callable[[Progress], None] | None = None,
        steps_each: float = 1.0,
    ) -> None:
        """Train on `count` examples of about so many steps each.

        One call of `partial_fit` has one epoch, at the rate with which the schedule begins.
        """
        learner: Learner = self._learner
        size = min(self.batch_size or count, count)
        starts = np.arange(0, count, size)
        stops = np.minimum(starts + size, count)
        per_epoch, before = len(starts), learner.done
        total = math.inf if epochs is None else epochs * per_epoch
        last = epochs or 1
        together = 1 if validate else max(1, STEPS // per_epoch)
        best, best_flat, waited, done = -math.inf, None, 0, 0
        clock, seen_steps = time.perf_counter(), 0
        while done < last:
            turns = min(together, last - done)
            order = np.concatenate([self._order(count) for _ in range(turns)])
            first, known = done * per_epoch, len(self.loss_curve_)

            def seen(losses: Array, steps: int) -> None:
                nonlocal clock, seen_steps
                for epoch in range(len(self.loss_curve_) - known, steps // per_epoch):
                    of_epoch = losses[epoch * per_epoch : (epoch + 1) * per_epoch]
                    self.loss_curve_.append(float(of_epoch @ (stops - starts)) / count)
                    if self.verbose and not validate:
                        self._say(last)
                now, done_now = time.perf_counter(), first + steps
                if progress and done_now > seen_steps:
                    some = losses[max(0, seen_steps - first) : steps]
                    rate = steps_each * size * (done_now - seen_steps) / max(now - clock, 1e-9)
                    found = self.validation_scores_[-1] if self.validation_scores_ else None
                    progress(
                        Progress(done_now, last * per_epoch, float(some.mean()), rate, found)
                    )
                clock, seen_steps = now, done_now

            shifts = count * np.arange(turns)[:, None]
            hypers = options.hypers(first, turns * per_epoch, total, before=before)
            run(order, (shifts + starts).reshape(-1), (shifts + stops).reshape(-1), hypers, seen)
            done += turns
            if validate is None:
                continue
            score = validate()
            self.validation_scores_.append(score)
            if self.verbose:
                self._say(last)
            waited = 0 if score > best + self.tol else waited + 1
            if score > best:
                best, best_flat = score, learner.flat.copy()
            if waited >= self.n_iter_no_change:
                break
        if best_flat is not None:
            learner.flat[...] = best_flat
            self.best_validation_score_ = best

    def _known_classes(self, classes: ArrayLike | None, *, fresh: bool) -> Array | None:
        """The classes that `partial_fit` is given, as a first call must be."""
        if fresh and classes is None:
            raise ValueError("classes must be given at the first call of partial_fit, got None")
        known = None if classes is None else np.unique(np.asarray(classes))
        if not fresh and known is not None and not np.array_equal(known, self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_.tolist()}, got "
                f"{known.tolist()}"
            )
        return known

    def _order(self, count: int) -> Integers:
        return self._generator.permutation(count) if self.shuffle else np.arange(count)

    def _say(self, last: int) -> None:
        epoch = len(self.loss_curve_)
        scores = self.validation_scores_
        score = f", validation score {scores[-1]:.4f}" if scores else ""
        print(f"epoch {epoch}, loss {self.loss_curve_[-1]:.6f}{score}")


class Classes:
    """Labels as numbers of classes.

    Attributes
    ----------
    values : ndarray (K,)
        The classes in order; 0 .. K - 1 for rows of 0 and 1 of which several may hold.
    several : bool
    """

    def __init__(self, values: Array, several: bool) -> None:
        self.values, self.several = values, several

    @staticmethod
    def rows(y: ArrayLike) -> tuple[Array, bool]:
        """Labels (R,), or (R, K) of 0 and 1; and whether it is the latter."""
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y", allow_nd=True)
        check_classification_targets(array)
        if type_of_target(array) == "multilabel-indicator":
            return array, True
        return column_or_1d(array, warn=True), False

    @classmethod
    def of(cls, y: Array, several: bool, known: Array | None) -> Classes:
        """Those that are known, or those that occur."""
        if known is not None:
            return cls(known, several)
        return cls(np.arange(y.shape[1]) if several else np.unique(y), several)

    def encode(self, y: Array, several: bool) -> Integers:
        """(R, 1) of numbers of classes, or (R, K) of 0 and 1.

        Raises
        ------
        ValueError
            For a label that is no class.
        """
        if several != self.several or (several and y.shape[1] != len(self.values)):
            wanted = f"rows of {len(self.values)} numbers 0 or 1" if self.several else "one label"
            raise ValueError(f"y must have {wanted} for each example, got shape {y.shape}")
        if several:
            return y.astype(np.int64)
        found = np.searchsorted(self.values, y)
        wrong = np.flatnonzero(self.values[np.minimum(found, len(self.values) - 1)] != y)
        if wrong.size:
            raise ValueError(
                f"y must be among the classes {self.values.tolist()}, got {y[wrong[0]]!r} at "
                f"index {wrong[0]}"
            )
        return found[:, None].astype(np.int64)


def row_weights(
    count: int, sample_weight: ArrayLike | None, class_weight: Any, classes: Classes | None,
    targets: Array, owners: Integers, *, dtype: np.dtype[Any],
) -> Array:  # fmt: skip
    """Weights of the rows, (R,), of mean 1: those of their examples times those of their classes.

    `owners` says to which of the `count` examples each row belongs.
    """
    each = _check_sample_weight(
        sample_weight, np.empty((count, 1)), dtype=np.float64, ensure_non_negative=True
    )
    weights = each[owners]
    if class_weight is not None:
        assert classes is not None
        if classes.several:
            raise ValueError("class_weight must be None where several classes may hold at once")
        of_class = compute_class_weight(
            class_weight, classes=classes.values, y=classes.values[targets[:, 0]]
        )
        weights = weights * of_class[targets[:, 0]]
    total = weights.sum()
    if weights.size and not total > 0:
        raise ValueError("sample_weight and class_weight must leave some weight above 0, got none")
    scaled: Array = (weights * (weights.size / max(total, 1e-300))).astype(dtype)
    return scaled
