"""A recurrent language model on characters or on token ids."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.cells import RNN_RELU, RNN_TANH
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
from fastrnn.inference import Inference
from fastrnn.model_plan import model_specs
from fastrnn.models import checkpoint
from fastrnn.params import HasParameters, Parameters
from fastrnn.training import History, Progress, Trainer, TrainingOptions, train


class LanguageModel(FixedSizes, HasParameters):
    """Predicts the next token of a text from all tokens before it, by recurrent layers.

    The layers are those of `fastrnn.RNN` on one-hot tokens; a linear layer on the last one's h
    gives logits, their softmax the distribution of the next token.

    Parameters
    ----------
    hidden_size, num_layers : int
    nonlinearity : {"tanh", "relu"}
    vocabulary : Vocabulary or int, optional
        Characters, or the number of token ids. If not given, the first `fit` takes it from its
        data: all characters of a text, or the largest id and one.
    dtype : {float32, float64}
    seed : int, optional
        For the initial parameters, uniform in +-1/sqrt(hidden_size).

    Attributes
    ----------
    params : dict of str to ndarray
        ``weight_ih_l0`` (H, V), ``weight_hh_l0`` (H, H), ``bias_ih_l0`` and ``bias_hh_l0`` (H,)
        and so on for each layer, then ``weight_out`` (V, H) and ``bias_out`` (V,): views of
        `flat`. ``weight_ih_l0`` lies in memory token by token, as an embedding does.
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
        {"cell", "hidden_size", "num_layers", "nonlinearity", "dtype"}
        | {"vocabulary", "vocabulary_size"}
    )

    def __init__(
        self,
        hidden_size: int = 128,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
        vocabulary: Vocabulary | int | None = None,
        dtype: DTypeLike = np.float32,
        seed: int | None = None,
    ) -> None:
        self.hidden_size = check_integer("hidden_size", hidden_size, least=1)
        self.num_layers = check_integer("num_layers", num_layers, least=1)
        self.nonlinearity = check_choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        self.dtype = check_dtype(dtype)
        self.seed = check_seed(seed)
        self.cell = RNN_TANH if nonlinearity == "tanh" else RNN_RELU
        self.history_ = History()
        self.vocabulary: Vocabulary | None = None
        self.vocabulary_size = 0
        self._parameters: Parameters | None = None  # type: ignore[assignment]
        self._trainer: Trainer | None = None
        self._restored: dict[str, Any] | None = None
        if vocabulary is not None:
            self._build(vocabulary)

    def _build(self, vocabulary: Vocabulary | int) -> None:
        if isinstance(vocabulary, Vocabulary):
            self.vocabulary, self.vocabulary_size = vocabulary, len(vocabulary)
        else:
            self.vocabulary_size = check_integer("vocabulary", vocabulary, least=1)
        specs = model_specs(self.cell, self.num_layers, self.hidden_size, self.vocabulary_size)
        self._parameters = Parameters(specs, self.dtype)
        limit = 1 / math.sqrt(self.hidden_size)
        generator = np.random.default_rng(self.seed)
        for view in self._parameters.views.values():
            view[...] = generator.uniform(-limit, limit, view.shape)

    def _forget_vocabulary(self) -> None:
        vars(self).update(vocabulary=None, vocabulary_size=0, _parameters=None)

    @property
    def _held(self) -> Parameters:
        if self._parameters is None:
            raise RuntimeError(
                "the model has no vocabulary yet: call fit, or give vocabulary= to LanguageModel"
            )
        return self._parameters

    def encode(self, data: str | ArrayLike, name: str = "data") -> Tokens:
        """`data` as token ids: a text by the vocabulary, integers checked to be in it.

        Errors call it `name`.

        Raises
        ------
        TypeError, ValueError
            For a text given to a model of token ids, an unknown character, an id out of range.
        """
        if isinstance(data, str):
            if self.vocabulary is None:
                raise TypeError(f"{name} must be token ids, since the model has no characters")
            return self.vocabulary.encode(data)
        tokens = check_tokens(name, data, self.vocabulary_size, "vocabulary size")
        if tokens.ndim != 1:
            raise ValueError(f"{name} must have one dimension, got shape {tokens.shape}")
        return tokens

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
                self._build(Vocabulary.of(data))
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
            self.cell, self._held, self.num_layers, self.hidden_size, self.vocabulary_size,
            options, streams, epoch, self.history_ if resume else History(),
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

    def loss(self, data: str | ArrayLike) -> float:
        """Mean of -log P(token | all tokens before it), in nats per token, on a text.

        The text is read once from its beginning, from states of zero; its first token is given.

        Raises
        ------
        TypeError, ValueError
            For data that does not fit the model, or with fewer than 2 tokens.
        """
        inference = self._inference()
        tokens = self.encode(data)
        if tokens.size < 2:
            raise ValueError(f"data must have at least 2 tokens, got {tokens.size}")
        return inference.loss(tokens)

    def perplexity(self, data: str | ArrayLike) -> float:
        """e to the power of `loss`: among how many equally likely tokens the model wavers.

        At most 8e307.
        """
        return float(np.exp(np.minimum(self.loss(data), 709.0)))

    def bits(self, data: str | ArrayLike) -> float:
        """`loss` in bits per token."""
        return self.loss(data) / math.log(2)

    def sample(
        self,
        n: int,
        prime: str | ArrayLike | None = None,
        temperature: float = 1.0,
        seed: int | None = None,
    ) -> str | Tokens:
        """Draw the next `n` tokens after `prime`.

        Parameters
        ----------
        n : int
        prime : str or array_like of int, optional
            What was read before; a newline, or token 0 if there is none, if None or empty.
        temperature : float
            The logits are divided by it; 0 takes the likeliest token always.
        seed : int, optional
            Same seed, same tokens.

        Returns
        -------
        str, or ndarray of int64 for a model of token ids
            Without `prime`.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, before any work; for a model whose logits are not numbers.
        """
        inference = self._inference()
        count = check_integer("n", n, least=0)
        heat = check_number("temperature", temperature, least=0)
        given = self.encode([] if prime is None else prime, "prime")
        if not given.size:
            newline = self.vocabulary is not None and "\n" in self.vocabulary.characters
            given = self.encode("\n") if newline else np.zeros(1, np.int64)
        uniforms = np.random.default_rng(check_seed(seed)).random(count)
        out = inference.draw(given, uniforms, heat)
        return self.vocabulary.decode(out) if self.vocabulary else out

    def _inference(self) -> Inference:
        return Inference(
            self.cell, self._held, self.num_layers, self.hidden_size, self.vocabulary_size
        )

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
        size = f", vocabulary of {self.vocabulary_size}" if self._parameters else ""
        return (
            f"LanguageModel(hidden_size={self.hidden_size}, num_layers={self.num_layers}, "
            f"nonlinearity={self.nonlinearity!r}, dtype={self.dtype.name}{size})"
        )
