"""A classifier of dense layers, in the manner of scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from fastrnn.checks import Array, check_choice, check_floats, check_integer, check_shape
from fastrnn.mlp import KINDS, DenseNetwork
from fastrnn.models.estimator import MISSING_Y, Estimator
from fastrnn.models.inputs import finite
from fastrnn.models.network import softmax
from fastrnn.models.targets import Classes, Integers, row_weights
from fastrnn.optimizers import OPTIMIZERS
from fastrnn.training import Progress, TrainingOptions


class Dense:
    """Dense layers in training.

    Parameters
    ----------
    widths : sequence of int
        D inputs, units of each hidden layer, K classes.
    kind : {"relu", "sigmoid", "tanh"}
    dtype : {float32, float64}
    optimizer : str
    """

    def __init__(
        self, widths: tuple[int, ...], kind: str, dtype: np.dtype[Any], optimizer: str
    ) -> None:
        self.network, self.optimizer = DenseNetwork(widths, kind, dtype), optimizer
        self.slots = np.zeros((OPTIMIZERS[optimizer].slots, self.flat.size), dtype)
        self.done = 0

    @property
    def flat(self) -> Array:
        """All parameters."""
        return self.network.flat

    def draw(self, seed: int) -> None:
        """Draw weights uniform in the bounds of Glorot and Bengio 2010."""
        generator = np.random.default_rng(seed)
        for w in self.network.weights:
            limit = math.sqrt(6 / sum(w.shape))
            w[...] = generator.uniform(-limit, limit, w.shape)

    def train(
        self, x: Array, targets: Integers, order: Integers, starts: Integers, stops: Integers,
        hypers: Array, seen: Callable[[Array, int], None], *, weights: Array | None, l2: float,
        clip_norm: float | None,
    ) -> None:  # fmt: skip
        """Train so many steps; see `fastrnn.mlp.DenseNetwork.train`.

        Raises
        ------
        ArithmeticError
            If a loss is not finite; the parameters are those of some steps before.
        """
        good, before = self.flat.copy(), self.done

        def finite(losses: Array, done: int) -> None:
            if not (np.isfinite(losses[:done]).all() and np.isfinite(self.flat).all()):
                self.flat[...] = good
                raise ArithmeticError(
                    f"the loss or a parameter is not finite after {done} steps; the parameters "
                    f"are those of some steps before: try a lower learning_rate or a clip_norm"
                )
            good[...] = self.flat
            self.done = before + done
            seen(losses, done)

        self.network.train(
            x, targets, OPTIMIZERS[self.optimizer], order, starts, stops, hypers, self.slots,
            weights=weights, l2=l2, clip_norm=clip_norm, seen=finite,
        )  # fmt: skip

    @classmethod
    def restored(
        cls, widths: tuple[int, ...], kind: str, dtype: np.dtype[Any], optimizer: str, flat: Array,
        slots: Array, done: int,
    ) -> Dense:  # fmt: skip
        """One with these parameters and this state."""
        dense = cls(widths, kind, dtype, optimizer)
        dense.flat[...], dense.slots[...], dense.done = flat, slots, done
        return dense

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a file keeps: JSON and tensors."""
        net = self.network
        tensors = {f"weight_{i}": w for i, w in enumerate(net.weights)}
        tensors |= {f"bias_{i}": b for i, b in enumerate(net.biases)}
        config = {"kind": net.kind, "optimizer": self.optimizer, "done": self.done}
        return config, tensors | {"training.slots": self.slots}

    def __reduce__(self) -> Any:
        net = self.network
        kept = net.widths, net.kind, net.dtype, self.optimizer, self.flat, self.slots, self.done
        return Dense.restored, kept


def _named(
    widths: tuple[int, ...], kind: str, optimizer: str, dtype: np.dtype[Any]
) -> dict[str, Any]:
    """What a network is like, by the names that users know."""
    return {
        "numbers of an example": widths[0],
        "hidden_layer_sizes": tuple(widths[1:-1]),
        "number of classes": widths[-1],
        "activation": kind,
        "optimizer": optimizer,
        "dtype": dtype,
    }


class MLPClassifier(ClassifierMixin, Estimator):
    """Dense layers with one nonlinearity between them, and a softmax; whole runs are compiled.

    ::

        h1 = f(x W1 + b1)      h2 = f(h1 W2 + b2)      ...      p = softmax(h W + b)
        loss = -1 / B sum_n w_n log p_n[y_n] + alpha / (2 B) (|W1|^2 + |W2|^2 + ...)

    over the B examples of a batch. ``w_n`` is ``sample_weight[n] * class_weight[y_n]`` over the
    mean of these products for all examples, those held out included; 1 where neither is given.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, or int
        Units of each hidden layer, or of the only one; none for logistic regression.
    activation : {"relu", "sigmoid", "tanh"}
        f.
    class_weight : dict or "balanced", optional
        Weights of the classes' losses, or such as make all classes count the same.
    clip_norm : float, optional
        Largest norm of a gradient g of all parameters, that of L2 included:
        ``g <- min(1, clip_norm / |g|) g``.
    batch_size : int, optional
        Examples of one step, all of them if None.
    optimizer, learning_rate, schedule, warmup_steps, weight_decay, alpha, max_iter, shuffle, \
early_stopping, validation_fraction, n_iter_no_change, tol, warm_start, random_state, verbose, dtype
        As those of `SequenceClassifier`.

    Attributes
    ----------
    classes_ : ndarray (K,)
    coefs_, intercepts_ : list of ndarray (inputs, outputs), (outputs,)
        Of each layer, views of the buffer that is trained.
    n_features_in_, loss_curve_, validation_scores_, best_validation_score_, n_iter_
        As those of `SequenceClassifier`.

    Examples
    --------
    >>> from fastrnn import data
    >>> from fastrnn.models import MLPClassifier
    >>> x, y = data.spirals(seed=0)
    >>> model = MLPClassifier(
    ...     (50, 50), optimizer="sgd", batch_size=None, alpha=0.3, max_iter=5000, random_state=0
    ... )
    >>> model.fit(x, y).score(x, y) > 0.95
    True
    """

    hidden_layer_sizes: Any
    activation: str
    _learner: Dense
    _classes: Classes
    _kind = "mlp_classifier"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        class_weight: Any = None,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        schedule: str = "constant",
        warmup_steps: int = 0,
        clip_norm: float | None = None,
        weight_decay: float | None = None,
        alpha: float = 1e-4,
        batch_size: int | None = 200,
        max_iter: int = 200,
        shuffle: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
        dtype: DTypeLike = np.float32,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> MLPClassifier:
        """Train.

        Parameters
        ----------
        X : array_like (N, D)
        y : array_like (N,)
            Labels.
        sample_weight : array_like (N,), optional
            Weights of the examples' losses.
        progress : callable, optional
            Called with a `Progress` about every 50 ms; its tokens are examples.

        Returns
        -------
        MLPClassifier
            Itself.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, before any work.
        ArithmeticError
            If a loss is not finite; the parameters are those of some steps before.
        """
        fresh = not (self.warm_start and hasattr(self, "_learner"))
        epochs = check_integer("max_iter", self.max_iter, least=1)
        return self._learn(X, y, sample_weight, progress, fresh=fresh, epochs=epochs)

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> MLPClassifier:
        """Train one epoch on these data, at the rate with which the schedule begins.

        Parameters
        ----------
        classes : array_like (K,), optional
            All classes; must be given at the first call.
        X, y, sample_weight, progress
            As `fit` takes them.
        """
        fresh = not hasattr(self, "_learner")
        known = self._known_classes(classes, fresh=fresh)
        return self._learn(X, y, sample_weight, progress, fresh=fresh, epochs=None, known=known)

    def _learn(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        progress: Callable[[Progress], None] | None,
        *,
        fresh: bool,
        epochs: int | None,
        known: Array | None = None,
    ) -> MLPClassifier:
        with self._as_before_if_refused():
            prepared = self._prepared(
                X, y, sample_weight, self._options(progress), known, fresh, bool(epochs)
            )
        self._train(**prepared, epochs=epochs, progress=progress)
        return self

    def _prepared(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None,
        options: TrainingOptions,
        known: Array | None,
        fresh: bool,
        validates: bool,
    ) -> dict[str, Any]:
        """Check all, build the network where it is `fresh`; what `_train` takes."""
        kind = check_choice("activation", self.activation, KINDS)
        units = self.hidden_layer_sizes
        hidden = tuple(
            check_integer("hidden_layer_sizes", size, least=1)
            for size in (units if np.iterable(units) else (units,))
        )
        x = self._read(X, fresh=fresh)
        if y is None:
            raise ValueError(MISSING_Y.format(type(self).__name__))
        labels, several = Classes.rows(y)
        check_consistent_length(x, labels)
        if several:
            raise ValueError(f"y must be labels (N,), got shape {labels.shape}")
        classes = Classes.of(labels, several, known) if fresh else self._classes
        encoded = classes.encode(labels, several)
        targets, weights = encoded[:, 0], None
        if sample_weight is not None or self.class_weight is not None:
            weights = row_weights(
                len(x), sample_weight, self.class_weight, classes, encoded, np.arange(len(x)),
                dtype=self._dtype,
            )  # fmt: skip
        widths = (x.shape[1], *hidden, len(classes.values))
        if fresh:
            self._classes, self.classes_ = classes, classes.values
            seed = self._begin()
            self._learner = Dense(widths, kind, self._dtype, options.optimizer)
            self._learner.draw(seed)
        learner = self._learner
        self._check_same(
            _named(widths, kind, options.optimizer, self._dtype),
            _named(
                learner.network.widths,
                learner.network.kind,
                learner.optimizer,
                learner.flat.dtype,
            ),
        )
        kept, held = self._held_out(len(x)) if validates else (np.arange(len(x)), None)
        validate = None
        if held is not None:
            held_x, held_y = x[held], targets[held]
            x, targets = x[kept], targets[kept]
            weights = None if weights is None else weights[kept]
            validate = lambda: float(  # noqa: E731
                np.mean(learner.network.logits(held_x).argmax(axis=1) == held_y)
            )
        l2 = self._l2(len(kept))

        def run(*how: Any) -> None:
            learner.train(x, targets, *how, weights=weights, l2=l2, clip_norm=options.clip_norm)

        return {"options": options, "run": run, "count": len(kept), "validate": validate}

    def _restore(self, config: dict[str, Any], tensors: dict[str, Array]) -> None:
        depth = (len(tensors) - 1) // 2
        weights = [check_floats(f"weight_{i}", tensors[f"weight_{i}"], self._dtype)
                   for i in range(depth)]  # fmt: skip
        widths = (weights[0].shape[0], *(w.shape[1] for w in weights))
        kind = check_choice("kind", config["kind"], KINDS)
        self._learner = dense = Dense(widths, kind, self._dtype, config["optimizer"])
        net = dense.network
        for name, places in (("weight", net.weights), ("bias", net.biases)):
            for i, place in enumerate(places):
                value = check_floats(f"{name}_{i}", tensors[f"{name}_{i}"], self._dtype)
                check_shape(f"{name}_{i}", value, place.shape, "as the others")
                place[...] = value
        slots = check_floats("training.slots", tensors["training.slots"], self._dtype)
        check_shape("training.slots", slots, dense.slots.shape, "(slots, all parameters)")
        dense.slots[...] = slots
        dense.done = check_integer("done", config["done"], least=0)

    def _read(self, X: ArrayLike, *, fresh: bool) -> Array:
        x = validate_data(self, X, reset=fresh, dtype=(np.float64, np.float32))
        return finite("X", x, self._dtype)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities (N, K) of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array_like (N, D)
        """
        check_is_fitted(self)
        return softmax(self._learner.network.logits(self._read(X, fresh=False)))

    def predict(self, X: ArrayLike) -> Array:
        """The likeliest labels (N,).

        Parameters
        ----------
        X : array_like (N, D)
        """
        p = self.predict_proba(X)
        labels: Array = self.classes_[p.argmax(axis=1)]
        return labels

    @property
    def coefs_(self) -> list[Array]:
        """Weights of each layer."""
        check_is_fitted(self)
        return self._learner.network.weights

    @property
    def intercepts_(self) -> list[Array]:
        """Biases of each layer."""
        check_is_fitted(self)
        return self._learner.network.biases
