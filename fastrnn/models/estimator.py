"""What all estimators share: their options, epochs, early stopping, labels and weights."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from fastrnn.cells import Cell
from fastrnn.checks import (
    Array,
    check_bool,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
)
from fastrnn.models import saved
from fastrnn.training import SCHEDULES, Progress, TrainingOptions

Integers = NDArray[np.int64]
Self = TypeVar("Self", bound="Estimator")
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

    class_weight: Any
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
    #: Of files, and private attributes that they hold.
    _kind: str
    _saved: tuple[str, ...] = ()
    _learner: Any
    _generator: np.random.Generator
    #: The parameters of the last training, which files keep.
    _trained_with: dict[str, Any]
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
    def _check_same(now: dict[str, Any], then: dict[str, Any]) -> None:
        """ValueError unless a training goes on with what it began with; it names the first."""
        for name, value in now.items():
            if value != then[name]:
                raise ValueError(
                    f"to go on, the parameters must be those before: {name} must be "
                    f"{_spelled(then[name])}, got {_spelled(value)}"
                )

    @contextmanager
    def _as_before_if_refused(self) -> Iterator[None]:
        """Be as before where what is done inside fails: bad input leaves a fitted estimator."""
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _begin(self) -> int:
        """Forget all training; a seed for what is to be trained."""
        chance = check_random_state(self.random_state)
        self._generator = np.random.default_rng(chance.randint(SEEDS))
        self.loss_curve_, self.validation_scores_ = [], []
        self.__dict__.pop("best_validation_score_", None)
        return int(chance.randint(SEEDS))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to a safetensors file, whole or not at all; never pickle.

        After `load`, predictions are the same bits, and `partial_fit` goes on as it would have
        done, but for masks between layers of a dropout, which are drawn anew. The parameters are
        those of the last training, whatever was set since. A ``random_state`` that is a
        RandomState is not kept.

        Raises
        ------
        TypeError
            If classes are neither numbers nor strings.
        """
        check_is_fitted(self)
        saved.save(self, self._kind, path)

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str], *, cell: Cell | None = None) -> Self:
        """Read an estimator that `save` wrote.

        Parameters
        ----------
        path : str or path
        cell : Cell, optional
            That of the saved one, if it is of one's own.

        Raises
        ------
        OSError
            If the file cannot be opened.
        fastrnn.ModelFileError
            If it is truncated, foreign, damaged or of a newer format.
        """
        loaded: Self = saved.load(cls, cls._kind, path, cell)
        return loaded

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
                f"X must have more than the {size} samples that early_stopping validates on, got "
                f"{count} sample{'s' * (count != 1)}"
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
        self._trained_with = self.get_params(deep=False)
        size = min(self.batch_size or count, count)
        starts = np.arange(0, count, size)
        stops = np.minimum(starts + size, count)
        steps, before, last = len(starts), learner.done, epochs or 1
        total = math.inf if epochs is None else epochs * steps
        watch = _Watch(self, stops - starts, last, steps_each, progress, quiet=validate is not None)
        together = 1 if validate else max(1, STEPS // steps)
        best, best_flat, waited, done = -math.inf, None, 0, 0
        while done < last and waited < self.n_iter_no_change:
            turns = min(together, last - done)
            order = np.concatenate([self._order(count) for _ in range(turns)])
            shifts = count * np.arange(turns)[:, None]
            hypers = options.hypers(done * steps, turns * steps, total, before=before)
            watch.begin(done)
            run(order, (shifts + starts).reshape(-1), (shifts + stops).reshape(-1), hypers, watch)
            done += turns
            if validate:
                score = validate()
                self.validation_scores_.append(score)
                watch.say()
                waited = 0 if score > best + self.tol else waited + 1
                if score > best:
                    best, best_flat = score, learner.flat.copy()
        if best_flat is not None:
            learner.flat[...] = best_flat
            self.best_validation_score_ = best

    def _order(self, count: int) -> Integers:
        return self._generator.permutation(count) if self.shuffle else np.arange(count)

    def _known_classes(self, classes: ArrayLike | None, *, fresh: bool) -> Array | None:
        """The classes that `partial_fit` is given, as a first call must be."""
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight must not be 'balanced' for partial_fit, which does not see all data: "
                "give a dict"
            )
        if fresh and classes is None:
            raise ValueError("classes must be given at the first call of partial_fit, got None")
        known = None if classes is None else np.unique(np.asarray(classes))
        if not fresh and known is not None and not np.array_equal(known, self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_.tolist()}, got "
                f"{known.tolist()}"
            )
        return known


def _spelled(value: Any) -> str:
    """A parameter in messages."""
    return repr(value.name if isinstance(value, Cell | np.dtype) else value)


class _Watch:
    """Makes epochs of the steps of a training: its loss curve, its lines, its progress.

    Parameters
    ----------
    estimator : Estimator
    sizes : ndarray (steps,)
        Examples of each step of an epoch.
    last : int
        Epochs in all.
    steps_each : float
        Steps of an example.
    progress : callable, optional
    quiet : bool
        Whether the lines wait for a validation's score.
    """

    def __init__(
        self,
        estimator: Estimator,
        sizes: Integers,
        last: int,
        steps_each: float,
        progress: Callable[[Progress], None] | None,
        *,
        quiet: bool,
    ) -> None:
        self._estimator, self._sizes, self._last = estimator, sizes, last
        self._steps_each, self._progress, self._quiet = steps_each, progress, quiet
        self._clock = time.perf_counter()

    def begin(self, epochs: int) -> None:
        """A run begins, after so many epochs."""
        self._epochs, self._seen = epochs, 0
        self._known = len(self._estimator.loss_curve_)

    def __call__(self, losses: Array, done: int) -> None:
        """So many steps of the run are done."""
        curve, sizes = self._estimator.loss_curve_, self._sizes
        steps = len(sizes)
        for epoch in range(len(curve) - self._known, done // steps):
            of_epoch = losses[epoch * steps : (epoch + 1) * steps]
            curve.append(float(of_epoch @ sizes) / int(sizes.sum()))
            if not self._quiet:
                self.say()
        now = time.perf_counter()
        if self._progress:
            examples = sizes[np.arange(self._seen, done) % steps].sum()
            scores = self._estimator.validation_scores_
            self._progress(
                Progress(
                    self._epochs * steps + done,
                    self._last * steps,
                    float(losses[self._seen : done].mean()),
                    float(examples) * self._steps_each / max(now - self._clock, 1e-9),
                    scores[-1] if scores else None,
                )
            )
        self._clock, self._seen = now, done

    def say(self) -> None:
        """Print the last epoch, if the estimator is to be verbose."""
        estimator = self._estimator
        if estimator.verbose:
            curve, scores = estimator.loss_curve_, estimator.validation_scores_
            score = f", validation score {scores[-1]:.4f}" if scores else ""
            print(f"epoch {len(curve)}, loss {curve[-1]:.6f}{score}")
