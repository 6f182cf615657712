"""What the estimators on sequences share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_array
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from fastrnn.cells import CELLS, MORE_CELLS, Cell
from fastrnn.checks import (
    Array,
    Where,
    as_array,
    at_index,
    check_bool,
    check_choice,
    check_integer,
    check_number,
)
from fastrnn.data.vectors import WordVectors
from fastrnn.models.estimator import MISSING_Y, Estimator
from fastrnn.models.examples import Examples, Sizes
from fastrnn.models.inputs import (
    Sequences,
    are_empty,
    listed,
    read_numbers,
    read_tokens,
    rows_of_steps,
    without_steps,
)
from fastrnn.models.network import SequenceNetwork
from fastrnn.models.targets import Classes, row_weights
from fastrnn.training import Progress, TrainingOptions

#: The cells by name; "rnn" is that of `fastrnn.RNN`.
NAMED = {cell.name: cell for cell in CELLS + MORE_CELLS} | {"rnn": CELLS[0]}


class Encoded(NamedTuple):
    """What is to be learned, as the network has it."""

    #: (R, W).
    targets: Array
    outputs: int
    loss: str
    classes: Classes | None


class SequenceEstimator(Estimator):
    """What the classifier and the regressor share: reading sequences, and the network."""

    cell: str | Cell
    hidden_size: int
    num_layers: int
    bidirectional: bool
    dropout: float
    every_step: bool
    vocabulary_size: int | None
    embedding: int | ArrayLike | None
    train_embedding: bool
    clip_norm: float | None
    n_features_in_: int
    _learner: SequenceNetwork
    _reads_table: bool

    # --- what subclasses say ---

    def _encoded(self, rows: Any, known: Any, where: Where, *, fresh: bool) -> Encoded:
        """Rows as targets; `known` are the classes, if a first call was given them.

        Errors say `where` a row is.
        """
        raise NotImplementedError

    def _given(self, targets: Array) -> Array:
        """What was encoded as targets (R, W)."""
        raise NotImplementedError

    def _decoded(self, found: Array) -> Array:
        """Predictions, in the manner of y, from outputs (..., K)."""
        raise NotImplementedError

    def _score(self, y: Any, predicted: Array, weights: Array | None) -> float:
        """How well rows are predicted."""
        raise NotImplementedError

    # --- reading ---

    def _checked_cell(self) -> Cell:
        if isinstance(self.cell, Cell):
            return self.cell
        return NAMED[check_choice("cell", self.cell, tuple(NAMED))]

    def _vectors(self, *, fresh: bool) -> tuple[int | None, int, Array | None]:
        """Words in the vocabulary, numbers of a word's vector, and the vectors if given.

        The vectors are only read where they are to begin with.
        """
        words, given = self.vocabulary_size, self.embedding
        if words is not None:
            words = check_integer("vocabulary_size", words, least=1)
        check_bool("train_embedding", self.train_embedding)
        if given is None:
            return words, 0, None
        if isinstance(given, WordVectors | str | os.PathLike):
            raise TypeError(
                f"embedding must be an integer or an array (V, E), got {type(given).__name__}: "
                "fastrnn.data.embedding_matrix makes an array of a vocabulary's words and of what "
                "fastrnn.data.read_vectors reads"
            )
        table = as_array("embedding", given)
        if not table.ndim:
            if words is None:
                raise ValueError(
                    "vocabulary_size must be the number of words for an embedding, got None"
                )
            return words, check_integer("embedding", given, least=1), None
        if fresh:
            table = check_array(table, dtype=self._dtype, input_name="embedding")
        if words not in (None, len(table)):
            raise ValueError(
                f"embedding must have vocabulary_size = {words} rows, got {len(table)}"
            )
        return len(table), table.shape[1], table

    def _read(
        self, X: Any, lengths: ArrayLike | None, words: int | None, *, fresh: bool
    ) -> Sequences:
        """Sequences of numbers, or of tokens if there are `words`."""
        x = listed(X)
        if are_empty(x) and lengths is None and not (fresh and words is None):
            width = None if words is not None else self._learner.sizes.inputs
            read = without_steps(len(x), width, self._dtype)
        elif words is not None:
            read = read_tokens(x, lengths, words)
        else:
            read = read_numbers(x, lengths, self._dtype, self, fresh=fresh)
        numbers = 1 if words is not None else read.x.shape[2]
        if fresh:
            self._reads_table = read.table
            if not read.table:
                self.n_features_in_ = numbers
                self.__dict__.pop("feature_names_in_", None)
        elif words is None and numbers != self._learner.sizes.inputs:
            raise ValueError(
                f"X must have {self._learner.sizes.inputs} numbers for each step, as when it was "
                f"fitted, got {numbers}"
            )
        return read

    def _read_again(self, X: Any, lengths: ArrayLike | None) -> Sequences:
        """Sequences such as those that it was fitted to."""
        sizes = self._learner.sizes
        return self._read(X, lengths, sizes.inputs if sizes.tokens else None, fresh=False)

    def _rows(self, y: Any, read: Sequences) -> Array:
        """Targets as rows: of every step there is, or of every sequence."""
        if y is None:
            raise ValueError(MISSING_Y.format(type(self).__name__))
        if self.every_step:
            return rows_of_steps("y", y, read)
        check_consistent_length(read.mask, y)
        return y  # type: ignore[no-any-return]

    def _owners(self, mask: Array) -> tuple[Array, Where]:
        """Of each row of targets the sequence, and what says where it is."""
        if not self.every_step:
            return np.arange(len(mask)), at_index
        sequences, steps = np.nonzero(mask)
        return sequences, lambda row, *_: f"step {steps[row]}, sequence {sequences[row]}"

    def _check_steps(self, mask: Array, what: str) -> None:
        """ValueError unless there is a step that has a target of its own, if all have."""
        if self.every_step and not mask.any():
            raise ValueError(f"X must have at least one step {what}, got lengths that are all 0")

    def _padded(self, rows: Array, read: Sequences) -> Array:
        """Rows as `Examples` has them."""
        if not self.every_step:
            return rows
        mask = read.mask
        padded = np.zeros((*mask.shape, *rows.shape[1:]), rows.dtype)
        padded[mask] = rows
        return np.ascontiguousarray(padded.swapaxes(0, 1))

    # --- training ---

    def _learn(
        self,
        X: Any,
        y: Any,
        lengths: ArrayLike | None,
        sample_weight: ArrayLike | None,
        progress: Callable[[Progress], None] | None,
        *,
        fresh: bool,
        epochs: int | None,
        known: ArrayLike | None = None,
    ) -> None:
        with self._as_before_if_refused():
            prepared = self._prepared(
                X, y, lengths, sample_weight, self._options(progress), known, fresh, bool(epochs)
            )
        self._train(**prepared, epochs=epochs, progress=progress)

    def _prepared(
        self,
        X: Any,
        y: Any,
        lengths: ArrayLike | None,
        sample_weight: ArrayLike | None,
        options: TrainingOptions,
        known: ArrayLike | None,
        fresh: bool,
        validates: bool,
    ) -> dict[str, Any]:
        """Check all, build the network where it is `fresh`; what `_train` takes."""
        cell = self._checked_cell()
        hidden = check_integer("hidden_size", self.hidden_size, least=1)
        layers = check_integer("num_layers", self.num_layers, least=1)
        dropout = check_number("dropout", self.dropout, least=0, below=1)
        for name in ("bidirectional", "every_step"):
            check_bool(name, getattr(self, name))
        words, width, table = self._vectors(fresh=fresh)
        read = self._read(X, lengths, words, fresh=fresh)
        mask = read.mask
        self._check_steps(mask, "to learn from")
        owners, where = self._owners(mask)
        targets, outputs, loss, classes = self._encoded(
            self._rows(y, read), known, where, fresh=fresh
        )
        weights = row_weights(
            len(mask), sample_weight, getattr(self, "class_weight", None), classes, targets, owners,
            dtype=self._dtype,
        )  # fmt: skip
        examples = Examples(
            read.x, read.lengths, self._padded(targets, read), self._padded(weights, read)
        )
        sizes = Sizes(
            cell, read.x.shape[2] if words is None else words, words is not None, hidden, layers,
            bool(self.bidirectional), dropout, outputs, bool(self.every_step), loss,
            getattr(self, "output_activation", "identity"), width,
            bool(self.train_embedding) or table is None,
        )  # fmt: skip
        if fresh:
            seed = self._begin()
            self._learner = SequenceNetwork(sizes, self._dtype, options.optimizer, seed, table)
        network = self._learner
        self._check_same(
            sizes.parameters() | {"optimizer": options.optimizer, "dtype": self._dtype},
            network.sizes.parameters()
            | {"optimizer": network.optimizer.name, "dtype": network.flat.dtype},
        )
        kept, held = self._held_out(len(mask)) if validates else (np.arange(len(mask)), None)
        validate = None
        if held is not None:
            self._check_steps(mask[held], "that early_stopping holds out to validate on")
            self._check_steps(mask[kept], "to train on beside what early_stopping holds out")
            held_out, examples = examples.take(held), examples.take(kept)
            validate = lambda: self._held_out_score(held_out)  # noqa: E731
        clip = np.inf if options.clip_norm is None else float(options.clip_norm)
        l2 = self._l2(len(kept))

        def run(*steps: Any) -> None:
            *how, seen = steps
            network.train(examples, *how, l2=l2, clip_norm=clip, seen=seen)

        return {
            "options": options,
            "run": run,
            "count": len(kept),
            "validate": validate,
            "steps_each": mask.sum() / len(mask),
        }

    def _fit(self, *data: Any) -> Any:
        fresh = not (self.warm_start and hasattr(self, "_learner"))
        self._learn(*data, fresh=fresh, epochs=check_integer("max_iter", self.max_iter, least=1))
        return self

    def _held_out_score(self, held: Examples) -> float:
        found, targets = self._learner.outputs(held), held.targets
        if self.every_step:
            mask = Sequences(held.x, held.lengths, listed=False, table=False).mask
            found, targets = found[mask], targets.swapaxes(0, 1)[mask]
        return self._score(self._given(targets), self._decoded(found), None)

    # --- predicting ---

    def _found(self, X: Any, lengths: ArrayLike | None) -> tuple[Array, Sequences]:
        """Outputs (N, K), or (N, T, K) of every step."""
        check_is_fitted(self)
        read = self._read_again(X, lengths)
        return self._learner.outputs(Examples(read.x, read.lengths)), read

    def _laid_out(self, values: Array, read: Sequences) -> Any:
        """Predictions (N, ...), or of every step: (N, T, ...), or a list as the sequences came."""
        if not (self.every_step and read.listed):
            return values
        return [v[:length] for v, length in zip(values, read.mask.sum(axis=1), strict=True)]

    def _scored(
        self, X: Any, y: Any, sample_weight: ArrayLike | None, lengths: ArrayLike | None
    ) -> float:
        """The score over all sequences or steps."""
        found, read = self._found(X, lengths)
        self._check_steps(read.mask, "to be scored")
        rows, mask = self._rows(y, read), read.mask
        weights = None
        if sample_weight is not None:
            weights = np.asarray(sample_weight)
            weights = weights[np.nonzero(mask)[0]] if self.every_step else weights
        decoded = self._decoded(found[mask] if self.every_step else found)
        return self._score(rows, decoded, weights)

    def _restore(self, config: dict[str, Any], tensors: dict[str, Array]) -> None:
        self._learner = SequenceNetwork.restored(config, tensors, self._checked_cell(), self._dtype)

    @property
    def params_(self) -> dict[str, Array]:
        """The parameters by name, views of the buffer that is trained."""
        check_is_fitted(self)
        return self._learner.parameters.views

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def predict(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
        """Labels or values, one for each sequence, or with ``every_step`` for each step.

        Parameters
        ----------
        X, lengths
            As `fit` takes them.

        Returns
        -------
        ndarray (N, ...), or (N, T, ...) of every step
            Steps beyond a sequence's length mean nothing. Where X is a list, a list of arrays
            (T_n, ...) instead of the latter.
        """
        found, read = self._found(X, lengths)
        return self._laid_out(self._decoded(found), read)
