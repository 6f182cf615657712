"""A recurrent language model on characters, on words or on token ids."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.cells import GRU, LSTM, RNN_RELU, RNN_TANH
from fastrnn.checks import (
    FixedSizes,
    check_bool,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
    check_seed,
    check_tokens,
)
from fastrnn.data import Tokens, Vocabulary, parallel_streams
from fastrnn.data.words import WordVocabulary
from fastrnn.model_plan import EMBEDDING, model_specs
from fastrnn.models import checkpoint
from fastrnn.models.predictor import Predictor
from fastrnn.models.reading import check_embedding, check_reading, embedding_values
from fastrnn.params import Parameters
from fastrnn.training import History, Progress, Trainer, TrainingOptions, train

if TYPE_CHECKING:
    from fastrnn.models.reading import Embedding

#: The equations of each cell.
EQUATIONS = {"rnn": RNN_TANH, "lstm": LSTM, "gru": GRU}


class LanguageModel(FixedSizes, Predictor):
    """Predicts the next token of a text from all tokens before it, by recurrent layers.

    The layers are those of `fastrnn.RNN`, `fastrnn.LSTM` or `fastrnn.GRU` on one-hot tokens, or on
    the tokens' rows of an embedding; a linear layer on the last one's h gives logits, their softmax
    the distribution of the next token.

    Parameters
    ----------
    hidden_size, num_layers : int
    cell : {"rnn", "lstm", "gru"}
    nonlinearity : {"tanh", "relu"}
        Of the RNN.
    unit : {"character", "word"}
        What a text is cut into; words and punctuation marks as `fastrnn.data.tokenize` does, in
        lower case.
    min_count, max_vocabulary : int, optional
        Of words: how often one must be in the text to be in the vocabulary, and how large that is
        at most. If either cuts, ``"<unk>"`` stands for all words that are left out.
    vocabulary : Vocabulary, WordVocabulary or int, optional
        Characters, words, or the number of token ids. If not given, the first `fit` takes it from
        its data: all units of a text, or the largest id and one.
    embedding : int, ndarray (V, E), WordVectors or path, optional
        Size of the tokens' learned vectors; or pretrained ones, a row for each token, or by word,
        or in a file of GloVe's or word2vec's (`fastrnn.data.read_vectors`). Words that have none
        get random ones like theirs.
    train_embedding : bool
        Whether the embedding is learned, and not frozen; may be set between trainings.
    dtype : {float32, float64}
    seed : int, optional
        For the initial parameters, uniform in +-1/sqrt(hidden_size), an embedding's standard
        normal.

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih_l0`` (G*H, V), ``weight_hh_l0`` (G*H, H), ``bias_ih_l0`` and ``bias_hh_l0``
        (G*H,) and so on for each layer, then ``weight_out`` (V, H) and ``bias_out`` (V,): views of
        `flat`, G gates as of the layers. ``weight_ih_l0`` lies in memory token by token. With an
        embedding it is (G*H, E), and last comes ``embedding`` (V, E).
    vocabulary : Vocabulary, WordVocabulary or None
    pretrained_words_ : int
        Words of the vocabulary that had a pretrained vector.
    history_ : History
        Of all training so far.

    Examples
    --------
    >>> import fastrnn
    >>> text = "the quick brown fox jumps over the lazy dog. " * 50
    >>> model = fastrnn.LanguageModel(hidden_size=32, seed=0)
    >>> model = model.fit(text, steps=300, sequence_length=16, batch_size=4)
    >>> model.loss(text) < 1.5
    True
    >>> len(model.sample(20, prime="the ", seed=1))
    20
    """

    _fixed = frozenset(
        {"cell", "hidden_size", "num_layers", "nonlinearity", "dtype", "unit", "min_count"}
        | {"vocabulary", "vocabulary_size", "max_vocabulary", "embedding_size"}
    )

    def __init__(
        self,
        hidden_size: int = 128,
        num_layers: int = 1,
        *,
        cell: str = "rnn",
        nonlinearity: str = "tanh",
        unit: str = "character",
        min_count: int = 1,
        max_vocabulary: int | None = None,
        vocabulary: Vocabulary | WordVocabulary | int | None = None,
        embedding: Embedding = None,
        train_embedding: bool = True,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.hidden_size = check_integer("hidden_size", hidden_size, least=1)
        self.num_layers = check_integer("num_layers", num_layers, least=1)
        self.cell = check_choice("cell", cell, tuple(EQUATIONS))
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        if nonlinearity == "relu" and cell != "rnn":
            raise ValueError(f"nonlinearity must be 'tanh' for cell={cell!r}, got 'relu'")
        self.equations = RNN_RELU if nonlinearity == "relu" else EQUATIONS[cell]
        self.dtype = check_dtype(dtype)
        self.seed = check_seed(seed)
        self._reading = check_reading(unit, min_count, max_vocabulary, vocabulary)
        self.unit, self.min_count, self.max_vocabulary = self._reading
        self._embedding = check_embedding(embedding, train_embedding, self.dtype)
        self.train_embedding = train_embedding
        self.history_ = History()
        self.vocabulary: Vocabulary | WordVocabulary | None = None
        self.vocabulary_size = self.embedding_size = self.pretrained_words_ = 0
        self._parameters: Parameters | None = None  # type: ignore[assignment]
        self._trainer: Trainer | None = None
        self._restored: dict[str, Any] | None = None
        if vocabulary is not None:
            self._build(vocabulary)

    def _build(self, vocabulary: Vocabulary | WordVocabulary | int) -> None:
        units = vocabulary if isinstance(vocabulary, Vocabulary | WordVocabulary) else None
        size = len(units) if units else check_integer("vocabulary", vocabulary, least=1)
        width, values, found = embedding_values(self._embedding, units, size, self.dtype, self.seed)
        specs = model_specs(self.equations, self.num_layers, self.hidden_size, size, width)
        parameters = Parameters(specs, self.dtype)
        limit = 1 / math.sqrt(self.hidden_size)
        generator = np.random.default_rng(self.seed)
        for name, view in parameters.views.items():
            if name != EMBEDDING:
                view[...] = generator.uniform(-limit, limit, view.shape)
            else:
                view[...] = generator.standard_normal(view.shape) if values is None else values
        self.vocabulary, self.vocabulary_size, self.embedding_size = units, size, width
        self._parameters, self.pretrained_words_ = parameters, found

    def _forget_vocabulary(self) -> None:
        vars(self).update(
            vocabulary=None, vocabulary_size=0, embedding_size=0, pretrained_words_=0,
            _parameters=None,
        )  # fmt: skip

    @property
    def _held(self) -> Parameters:
        if self._parameters is None:
            raise RuntimeError(
                "the model has no vocabulary yet: call fit, or give vocabulary= to LanguageModel"
            )
        return self._parameters

    def fit(
        self,
        data: str | ArrayLike,
        *,
        steps: int | None = None,
        epochs: float | None = None,
        sequence_length: int = 64,
        batch_size: int = 32,
        optimizer: str = "adam",
        learning_rate: float | None = None,
        schedule: str = "constant",
        warmup_steps: int = 0,
        clip_norm: float | None = 5.0,
        clip_value: float | None = None,
        weight_decay: float | None = None,
        validation: float | str | ArrayLike | None = None,
        validate_every: int | None = None,
        patience: int | None = None,
        resume: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> LanguageModel:
        """Train by truncated backpropagation through time.

        The text is cut into `batch_size` parallel streams. A step reads the next
        `sequence_length` tokens of each, the states carried over from the step before; at the
        streams' end it begins anew from states of zero.

        Parameters
        ----------
        data : str, or array_like of int (length,)
        steps, epochs : int, float
            How long to train in all, in steps or in passes over the text. If neither is given, one
            epoch; with `resume`, what was planned when the training began.
        sequence_length, batch_size : int
            T and N of a step.
        optimizer : {"sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw"}
        learning_rate : float, optional
            The optimiser's own default if None.
        schedule : {"constant", "linear", "cosine"}
            What becomes of the learning rate until the last step; the latter two end at zero.
        warmup_steps : int
            Steps over which the rate first rises linearly.
        clip_norm, clip_value : float, optional
            Limits of the gradient's global norm, and after it of each of its elements.
        weight_decay : float, optional
            Of "adamw", 0.01 if None.
        validation : float, str or array_like of int, optional
            A text to validate on, or the fraction at the end of `data` that is held out for it.
        validate_every : int, optional
            Steps between validations, a tenth of all if None; there is one at the end.
        patience : int, optional
            Stop after so many validations in a row without a new best one, and go back to the
            best parameters.
        resume : bool
            Go on where the last training, or the loaded one, ended, with the optimiser's state
            and the carried states, to its end; `data`, what is held out of it, and the options of
            a step must be the same ones. `steps` or `epochs` count from the training's beginning
            and set another end, for the learning rate's schedule too.
        progress : callable, optional
            Called with a `Progress` about every 50 ms.

        Returns
        -------
        LanguageModel
            Itself.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, before any work.
        NonFiniteGradientError
            If a gradient has NaN or infinity; it names the parameter. The model is as it was
            before that step.

        Notes
        -----
        Ctrl-C is heard between slices of about 50 ms, at once if it comes twice. The model then
        holds the steps done so far; it can be used, saved, and trained on with `resume`.
        """
        options = TrainingOptions(
            sequence_length, batch_size, optimizer, learning_rate, schedule, warmup_steps,
            clip_norm, clip_value, weight_decay,
        )  # fmt: skip
        if steps is not None and epochs is not None:
            raise ValueError(f"steps and epochs must not both be given, got {steps} and {epochs}")
        if steps is not None:
            steps = check_integer("steps", steps, least=0)
        if epochs is not None:
            epochs = check_number("epochs", epochs, least=0)
        for name, value in (("validate_every", validate_every), ("patience", patience)):
            if value is not None:
                check_integer(name, value, least=1)
                if validation is None:
                    raise ValueError(f"{name} must come with validation, got validation=None")
        check_bool("resume", resume)
        if progress is not None and not callable(progress):
            raise TypeError(f"progress must be callable, got {progress!r}")
        fresh = self._parameters is None
        try:
            text, held_out = self._split(data, validation)
            streams = parallel_streams(text, options.batch_size, options.sequence_length)
            if held_out is not None and held_out.size < 2:
                raise ValueError(f"validation must have at least 2 tokens, got {held_out.size}")
            trainer = self._make_trainer(options, streams, steps, epochs, resume)
        except BaseException:
            if fresh:
                self._forget_vocabulary()
            raise
        trainer.held_out = float(validation) if isinstance(validation, Real) else None
        validate = None if held_out is None else lambda: self._inference().loss(held_out)
        train(trainer, validate, validate_every, patience, progress)
        return self

    def _split(
        self, data: str | ArrayLike, validation: float | str | ArrayLike | None
    ) -> tuple[Tokens, Tokens | None]:
        """Tokens to train on and to validate on; builds the model on its first data."""
        if self._parameters is None:
            if isinstance(data, str):
                self._build(self._reading.vocabulary_of(data))
            else:
                tokens = check_tokens("data", data, np.iinfo(np.int64).max, "2**63 - 1")
                if not tokens.size:
                    raise ValueError("data must not be empty")
                self._build(int(tokens.max()) + 1)
        text = self.encode(data)
        if validation is None:
            return text, None
        if isinstance(validation, Real):
            fraction = check_number("validation", validation, above=0, below=1)
            cut = text.size - round(fraction * text.size)
            return text[:cut], text[cut:]
        return text, self.encode(validation, "validation")

    def _make_trainer(
        self,
        options: TrainingOptions,
        streams: Tokens,
        steps: int | None,
        epochs: float | None,
        resume: bool,
    ) -> Trainer:
        before, epoch = self._trainer, (streams.shape[1] - 1) // options.sequence_length
        trainer = Trainer(
            self.equations, self._held, self.num_layers, self.hidden_size, self.vocabulary_size,
            options, streams, epoch, self.history_ if resume else History(),
            frozen=bool(self.embedding_size) and not self.train_embedding,
        )  # fmt: skip
        if resume:
            if before is not None:
                saved = before.state()
            elif self._restored is not None:
                saved = self._restored
            else:
                raise ValueError("resume must be False for a model without a training to go on")
            trainer.restore(saved)
        trainer.set_end(steps, epochs)
        self.history_ = trainer.history
        self._trainer, self._restored = trainer, None
        return trainer

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, and the training that `resume` goes on with, to a safetensors file.

        The file is replaced as a whole: if the process dies while it writes, `path` is what it
        was before.
        """
        checkpoint.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LanguageModel:
        """Read a model that `save` wrote.

        Raises
        ------
        OSError
            If the file cannot be opened.
        fastrnn.ModelFileError
            If it is truncated, foreign, damaged or of a newer format.
        """
        return checkpoint.load(cls, path)

    def __repr__(self) -> str:
        kind = (
            f"nonlinearity={self.nonlinearity!r}" if self.cell == "rnn" else f"cell={self.cell!r}"
        )
        size = f", vocabulary of {self.vocabulary_size}" if self._parameters else ""
        embedding = f", embedding of {self.embedding_size}" if self.embedding_size else ""
        return (
            f"LanguageModel(hidden_size={self.hidden_size}, num_layers={self.num_layers}, "
            f"{kind}, dtype={self.dtype.name}{size}{embedding})"
        )
