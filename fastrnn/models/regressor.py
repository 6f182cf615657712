"""The regressor on sequences and on their steps, which forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from fastrnn.cells import Cell
from fastrnn.checks import Array, Where, check_choice, check_integer
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.models.examples import Examples
from fastrnn.models.inputs import finite
from fastrnn.models.sequence import Encoded, SequenceEstimator
from fastrnn.training import Progress


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    r"""Predicts numbers from sequences, or from each of their steps, by recurrent layers.

    The states after the last step, or of every step, go through a linear layer and the output's
    activation; the loss is the mean squared error. To forecast several steps ahead, give as many
    numbers in y: all are predicted at once. `forecast` goes on from there, as far as one likes.

    Parameters
    ----------
    cell, hidden_size, num_layers, bidirectional, dropout, every_step, vocabulary_size, embedding, \
train_embedding, optimizer, learning_rate, schedule, warmup_steps, clip_norm, weight_decay, alpha, \
batch_size, max_iter, shuffle, early_stopping, validation_fraction, n_iter_no_change, tol, \
warm_start, random_state, verbose, dtype
        As those of `SequenceClassifier`; the score is R^2.
    output_activation : {"identity", "relu", "sigmoid", "tanh"}
        Of the predictions.

    Attributes
    ----------
    n_features_in_, params_, loss_curve_, validation_scores_, best_validation_score_, n_iter_
        As those of `SequenceClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn import data
    >>> from fastrnn.models import SequenceRegressor
    >>> series = np.sin(np.arange(400) / 5)
    >>> x, y = data.forecast_windows(series, steps=20, horizon=4)
    >>> model = SequenceRegressor("gru", 16, learning_rate=0.01, max_iter=30, random_state=0)
    >>> model = model.fit(x, y)
    >>> model.predict(x[:1]).shape, model.forecast(x[:1], steps=50).shape
    ((1, 4), (1, 50))
    >>> model.score(x, y) > 0.99
    True
    """

    _kind = "sequence_regressor"
    _y_shape: tuple[int, ...]
    _saved = ("_reads_table", "_y_shape")

    def __init__(
        self,
        cell: str | Cell = "lstm",
        hidden_size: int = 64,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        every_step: bool = False,
        vocabulary_size: int | None = None,
        embedding: int | ArrayLike | None = None,
        train_embedding: bool = True,
        output_activation: str = "identity",
        optimizer: str = "adam",
        learning_rate: float | None = None,
        schedule: str = "constant",
        warmup_steps: int = 0,
        clip_norm: float | None = 5.0,
        weight_decay: float | None = None,
        alpha: float = 0.0,
        batch_size: int | None = 32,
        max_iter: int = 100,
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
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SequenceRegressor:
        """Train.

        Parameters
        ----------
        y : array_like (N, ...)
            Numbers for each sequence, any many: (N, horizon), or (N, horizon, I), to forecast.
            With ``every_step`` for each step: (N, T, ...), or a list of N sequences (T_n, ...).
        X, sample_weight, lengths, progress
            As `SequenceClassifier.fit` takes them, with its errors and its notes.

        Returns
        -------
        SequenceRegressor
            Itself.
        """
        return self._fit(X, y, lengths, sample_weight, progress)  # type: ignore[no-any-return]

    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SequenceRegressor:
        """Train one epoch on these data, at the rate with which the schedule begins.

        Nothing is held out of them. Arguments are those of `fit`.
        """
        fresh = not hasattr(self, "_learner")
        self._learn(X, y, lengths, sample_weight, progress, fresh=fresh, epochs=None)
        return self

    def _encoded(self, rows: Any, known: Any, where: Where, *, fresh: bool) -> Encoded:
        check_choice("output_activation", self.output_activation, tuple(ACTIVATIONS))
        y = check_array(
            rows, dtype=np.float64, ensure_2d=False, allow_nd=True, input_name="y",
            ensure_min_features=0,
        )  # fmt: skip
        shape, count = y.shape[1:], int(np.prod(y.shape[1:]))
        if not count:
            raise ValueError(f"y must have numbers for each row, got shape {y.shape}")
        if not fresh and shape != self._y_shape:
            raise ValueError(
                f"y must have shape (N, {', '.join(map(str, self._y_shape))}) as when it was "
                f"fitted, got {y.shape}"
            )
        targets = finite("y", y, self._dtype, where).reshape(-1, count)
        self._y_shape = shape
        return Encoded(targets, count, "squared_error", None)

    def _given(self, targets: Array) -> Array:
        return targets

    def _decoded(self, found: Array) -> Array:
        return found.reshape(*found.shape[:-1], *self._y_shape)

    def _score(self, y: Any, predicted: Array, weights: Array | None) -> float:
        rows = len(predicted)
        return float(
            r2_score(np.reshape(y, (rows, -1)), predicted.reshape(rows, -1), sample_weight=weights)
        )

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> float:
        """Coefficient of determination R^2, over all sequences or all their steps.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As `fit` takes them.
        """
        return self._scored(X, y, sample_weight, lengths)

    def forecast(self, X: Any, steps: int) -> Array:
        """Go on with series: what is predicted is read in its turn, the oldest steps forgotten.

        Parameters
        ----------
        X : array_like (N, T, I), or (N, T)
            The last T steps of N series.
        steps : int

        Returns
        -------
        ndarray (N, steps, I), or (N, steps)
            As X.

        Raises
        ------
        ValueError
            If it was not fitted to predict next steps: y of shape (N, horizon, I), or with
            ``every_step`` (N, T, I), where I = 1 may be left out.
        """
        check_is_fitted(self)
        count = check_integer("steps", steps, least=1)
        read = self._read_again(X, None)
        if read.lengths is not None or read.x.ndim != 3:
            raise ValueError("X must be an array of numbers, (N, T, I) or (N, T), to go on with")
        time, series, numbers = read.x.shape
        ahead_of_each = 0 if self.every_step else 1
        is_next = self._y_shape[ahead_of_each:] == (numbers,)
        if not is_next and not (numbers == 1 and len(self._y_shape) <= ahead_of_each):
            raise ValueError(
                f"y must have been next steps of I = {numbers} numbers to go on with them, and was "
                f"of shape {self._y_shape} for each {'step' if self.every_step else 'sequence'}"
            )
        known = read.x
        while len(known) < time + count:
            found = self._learner.outputs(Examples(known[-time:], None))
            found = (found[:, -1] if self.every_step else found).reshape(series, -1, numbers)
            known = np.concatenate([known, found.swapaxes(0, 1)])
        ahead = known[time : time + count].swapaxes(0, 1)
        return ahead[:, :, 0] if read.table else ahead

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
