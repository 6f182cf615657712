"""The classifier of sequences and of their steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score

from fastrnn.cells import Cell
from fastrnn.checks import Array, Where, check_choice
from fastrnn.models.sequence import Encoded, SequenceEstimator
from fastrnn.models.targets import Classes
from fastrnn.training import Progress


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Names what sequences are, or each of their steps, by recurrent layers.

    The states after the last step, or of every step, go through a linear layer; its softmax, or for
    two classes the logistic function of one number, gives the classes' probabilities.

    Parameters
    ----------
    cell : {"lstm", "gru", "rnn", "rnn_relu", ...} or Cell
        Any name of `fastrnn.cells`, or a cell of one's own.
    hidden_size, num_layers : int
        H, L.
    bidirectional : bool
        Whether a second direction reads each sequence from its end; what is read out is then both
        directions' last states.
    dropout : float
        Probability with which an output of a layer is dropped in training.
    every_step : bool
        Whether each step has a label of its own (many-to-many), and not each sequence one.
    vocabulary_size : int, optional
        X are then tokens in [0, vocabulary_size).
    embedding : int or array_like (V, E), optional
        Size of the tokens' learned vectors, or these vectors, of a file of GloVe's or word2vec's by
        `fastrnn.data.embedding_matrix`; tokens are one-hot if None, which is a gather and costs no
        more, but has a gradient of all V columns.
    train_embedding : bool
        Whether given vectors are learned on, and not frozen.
    loss : {"auto", "cross_entropy", "binary_cross_entropy"}
        "auto" is the latter for two classes and where several classes may hold at once.
    class_weight : dict or "balanced", optional
        Weights of the classes' losses, or such as make all classes count the same.
    optimizer : {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"}
    learning_rate : float, optional
        The optimiser's own default if None.
    schedule : {"constant", "linear", "cosine"}
        What becomes of the rate until the last step; the latter two end at zero.
    warmup_steps : int
        Steps over which the rate first rises linearly.
    clip_norm : float, optional
        Largest norm of a gradient.
    weight_decay : float, optional
        Of "adamw", 0.01 if None.
    alpha : float
        L2, as in scikit-learn's MLPs: ``alpha / (2 * batch size)`` times the sum of squares of all
        weights but biases and words' vectors is part of the loss.
    batch_size : int, optional
        Sequences of one step, all of them if None.
    max_iter : int
        Epochs.
    shuffle : bool
        Whether each epoch has an order of its own.
    early_stopping : bool
        Whether to hold out a part of the data, to stop when the score on it is no better by more
        than `tol` for `n_iter_no_change` epochs, and to go back to the best parameters.
    validation_fraction, n_iter_no_change, tol : float, int, float
    warm_start : bool
        Whether `fit` goes on from the parameters of the last one.
    random_state : int, RandomState or None
    verbose : bool
        Whether to print a line for each epoch.
    dtype : {float32, float64}
        Of parameters and outputs; X is converted to it.

    Attributes
    ----------
    classes_ : ndarray (K,)
    n_features_in_ : int
        Columns of a table; numbers of a step else, 1 for tokens.
    params_ : dict of str to ndarray
        The layers' as `fastrnn.RNN` has them, ``weight_out`` (K, D*H), ``bias_out``, and
        ``embedding`` (V, E) if it is learned.
    loss_curve_, validation_scores_ : list of float
        Of each epoch.
    best_validation_score_ : float
        With early stopping.
    n_iter_ : int
        Epochs done.

    Notes
    -----
    A table X (N, T) of numbers, as scikit-learn's estimators read it, is N sequences of T scalars.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.models import SequenceClassifier
    >>> bits = np.random.default_rng(0).integers(0, 2, (500, 6))
    >>> model = SequenceClassifier("gru", 16, vocabulary_size=2, learning_rate=0.01, random_state=0)
    >>> model = model.fit(bits, bits.sum(axis=1) % 2)
    >>> model.score(bits, bits.sum(axis=1) % 2)
    1.0
    >>> model.predict([[1, 0, 1], [1]]).shape, model.predict_proba(bits[:3]).shape
    ((2,), (3, 2))
    """

    _classes: Classes
    _kind = "sequence_classifier"
    _saved = ("_reads_table",)

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
        loss: str = "auto",
        class_weight: Any = None,
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
    ) -> SequenceClassifier:
        """Train.

        Parameters
        ----------
        X : array_like (N, T, I), or a table (N, T); or a list of N sequences (T_n, I) or (T_n,)
            Numbers; or tokens (N, T), or a list of N sequences (T_n,).
        y : array_like (N,), or (N, K) of 0 and 1 where several classes may hold at once
            With ``every_step`` the same for each step: (N, T) or (N, T, K), or a list of N
            sequences.
        sample_weight : array_like (N,), optional
            Weights of the sequences' losses.
        lengths : array_like of int (N,), optional
            Steps of each sequence of an array, from 0 to T, in any order; what X and y hold from
            there on is not read.
        progress : callable, optional
            Called with a `Progress` about every 50 ms; its tokens are steps of sequences.

        Returns
        -------
        SequenceClassifier
            Itself.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, before any work.
        fastrnn.NonFiniteGradientError
            If a gradient has NaN or infinity; it names the parameter. The model is as it was
            before that step.

        Notes
        -----
        Ctrl-C is heard between slices of about 50 ms, at once if it comes twice. The model then
        holds the steps done so far; it can be used, saved, and trained on.
        """
        return self._fit(X, y, lengths, sample_weight, progress)  # type: ignore[no-any-return]

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> SequenceClassifier:
        """Train one epoch on these data, at the rate with which the schedule begins.

        Nothing is held out of them.

        Parameters
        ----------
        classes : array_like (K,), optional
            All classes; must be given at the first call.
        X, y, sample_weight, lengths, progress
            As `fit` takes them.
        """
        fresh = not hasattr(self, "_learner")
        known = self._known_classes(classes, fresh=fresh)
        self._learn(X, y, lengths, sample_weight, progress, fresh=fresh, epochs=None, known=known)
        return self

    def _encoded(self, rows: Any, known: Any, where: Where, *, fresh: bool) -> Encoded:
        chosen = check_choice("loss", self.loss, ("auto", "cross_entropy", "binary_cross_entropy"))
        y, several = Classes.rows(rows)
        classes = self._classes if not fresh else Classes.of(y, several, known)
        targets, count = classes.encode(y, several, where), len(classes.values)
        if chosen == "auto":
            chosen = "binary_cross_entropy" if several or count == 2 else "cross_entropy"
        if chosen == "cross_entropy" and several:
            raise ValueError(
                "loss must be 'binary_cross_entropy' where several classes may hold at once, got "
                "'cross_entropy'"
            )
        if chosen == "binary_cross_entropy" and not several and count != 2:
            raise ValueError(
                f"loss must be 'cross_entropy' for {count} classes, got 'binary_cross_entropy'"
            )
        self._classes, self.classes_ = classes, classes.values
        if chosen == "cross_entropy":
            return Encoded(targets, count, "softmax_cross_entropy", classes)
        return Encoded(targets, count if several else 1, "sigmoid_cross_entropy", classes)

    def _given(self, targets: Array) -> Array:
        return targets if self._classes.several else self.classes_[targets[..., 0]]

    def _probabilities(self, found: Array) -> Array:
        """Of all classes, from outputs."""
        if self._classes.several or found.shape[-1] > 1 or len(self.classes_) == 1:
            return found
        return np.concatenate([1 - found, found], axis=-1)

    def _decoded(self, found: Array) -> Array:
        p = self._probabilities(found)
        return (p > 0.5).astype(np.int64) if self._classes.several else self.classes_[p.argmax(-1)]

    def _score(self, y: Any, predicted: Array, weights: Array | None) -> float:
        return float(accuracy_score(y, predicted, sample_weight=weights))

    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> float:
        """Accuracy, over all sequences or all their steps.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As `fit` takes them.
        """
        return self._scored(X, y, sample_weight, lengths)

    def predict_proba(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
        """Probabilities of the classes.

        Parameters
        ----------
        X, lengths
            As `fit` takes them.

        Returns
        -------
        ndarray (N, K), or (N, T, K) of every step
            In the order of `classes_`; of each class by itself where several may hold. Where X is
            a list, a list of arrays (T_n, K) instead of the latter.
        """
        found, read = self._found(X, lengths)
        return self._laid_out(self._probabilities(found), read)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
