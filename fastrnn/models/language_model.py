"""A recurrent language model on characters or on token ids."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastrnn.cells import RNN_RELU, RNN_TANH
from fastrnn.checks import (
    Array,
    check_bool,
    check_choice,
    check_dtype,
    check_integer,
    check_number,
    check_tokens,
)
from fastrnn.data import Tokens, Vocabulary, parallel_streams
from fastrnn.files import ModelFileError, load_model, save_model
from fastrnn.params import Parameters, Spec
from fastrnn.plan import aligned_empty
from fastrnn.training import Trainer, TrainingOptions, model_offsets, plan_model

#: Tokens in one block of `loss`, and drawn in one call of the kernels in `sample`.
EVALUATION_STEPS = 256
SAMPLE_SLICE = 1024

KIND = "language_model"


class Progress(NamedTuple):
    """Where a training stands; `fit` passes it to its callback about every 50 ms."""

    step: int
    total: int
    #: Mean loss of the steps of this slice, in nats per token.
    loss: float
    tokens_per_second: float
    #: The last validation loss, if any.
    validation: float | None


@dataclasses.dataclass
class History:
    """What happened in training: of each step its loss and gradient norm, and validations."""

    loss: list[float] = dataclasses.field(default_factory=list)
    gradient_norm: list[float] = dataclasses.field(default_factory=list)
    #: (step, loss) of each validation.
    validation: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    #: Seconds in the training kernels, those of the first call apart: it may have compiled them.
    seconds: float = 0.0
    first_call_seconds: float = 0.0
    stopped_early: bool = False


class LanguageModel:
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
        self.seed = seed
        self.cell = RNN_TANH if nonlinearity == "tanh" else RNN_RELU
        self.history_ = History()
        self.vocabulary: Vocabulary | None = None
        self.vocabulary_size = 0
        self._parameters: Parameters | None = None
        self._trainer: Trainer | None = None
        self._restored: dict[str, Any] | None = None
        if vocabulary is not None:
            self._build(vocabulary)

    def _build(self, vocabulary: Vocabulary | int) -> None:
        if isinstance(vocabulary, Vocabulary):
            self.vocabulary, self.vocabulary_size = vocabulary, len(vocabulary)
        else:
            self.vocabulary_size = check_integer("vocabulary", vocabulary, least=1)
        self._parameters = Parameters(self._specs(), self.dtype)
        limit = 1 / math.sqrt(self.hidden_size)
        generator = np.random.default_rng(self.seed)
        for view in self._parameters.views.values():
            view[...] = generator.uniform(-limit, limit, view.shape)

    def _specs(self) -> list[Spec]:
        hidden, vocabulary, gates = self.hidden_size, self.vocabulary_size, len(self.cell.gates)
        rows, meaning = gates * hidden, "H" if gates == 1 else f"{gates}*H"
        specs = []
        for k in range(self.num_layers):
            inputs, read = (hidden, "H") if k else (vocabulary, "V")
            specs += [
                Spec(f"weight_ih_l{k}", (rows, inputs), f"({meaning}, {read})", transposed=k == 0),
                Spec(f"weight_hh_l{k}", (rows, hidden), f"({meaning}, H)"),
                Spec(f"bias_ih_l{k}", (rows,), f"({meaning},)"),
                Spec(f"bias_hh_l{k}", (rows,), f"({meaning},)"),
            ]
        specs.append(Spec("weight_out", (vocabulary, hidden), "(V, H)"))
        specs.append(Spec("bias_out", (vocabulary,), "(V,)"))
        return specs

    @property
    def _built(self) -> Parameters:
        if self._parameters is None:
            raise RuntimeError(
                "the model has no vocabulary yet: call fit, or give vocabulary= to LanguageModel"
            )
        return self._parameters

    @property
    def params(self) -> dict[str, Array]:
        """Parameters by name, views of `flat`; assigning to a name copies into the view."""
        return self._built.views

    @property
    def flat(self) -> Array:
        """All parameters in one contiguous buffer."""
        return self._built.flat

    def state_dict(self) -> dict[str, Array]:
        """Copies of the parameters by name."""
        return self._built.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy parameters in; nothing is changed unless all names, shapes and types fit."""
        self._built.load_state_dict(state_dict)

    def encode(self, data: str | ArrayLike) -> Tokens:
        """`data` as token ids: a text by the vocabulary, integers checked to be in it.

        Raises
        ------
        TypeError, ValueError
            For a text given to a model of token ids, an unknown character, an id out of range.
        """
        if isinstance(data, str):
            if self.vocabulary is None:
                raise TypeError("data must be token ids, since the model has no characters")
            return self.vocabulary.encode(data)
        tokens = check_tokens("data", data, self.vocabulary_size, "vocabulary size")
        if tokens.ndim != 1:
            raise ValueError(f"data must have one dimension, got shape {tokens.shape}")
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
            How long to train, in steps or in passes over the text; one epoch if neither is given.
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
            Steps between validations, a tenth of the training if None; there is one at the end.
        patience : int, optional
            Stop after so many validations in a row without a new best one, and go back to the
            best parameters.
        resume : bool
            Go on where the last training, or the loaded one, ended, with the optimiser's state
            and the carried states; `data` and the options of a step must be the same ones.
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
        Ctrl-C is heard between slices of about 50 ms. The model then holds the steps done so far;
        it can be used, saved, and trained on with `resume`.
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
        if patience is not None and validation is None:
            raise ValueError("patience must come with validation, got validation=None")
        check_bool("resume", resume)
        text, held_out = self._split(data, validation)
        streams = parallel_streams(text, options.batch_size, options.sequence_length)
        if held_out is not None and held_out.size < 2:
            raise ValueError(f"validation must have at least 2 tokens, got {held_out.size}")
        if steps is None:
            per_epoch = (streams.shape[1] - 1) // options.sequence_length
            steps = round((1.0 if epochs is None else epochs) * per_epoch)
        trainer = self._make_trainer(options, streams, steps, resume)
        self._train(trainer, steps, held_out, validate_every, patience, progress)
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
        if isinstance(validation, float | int):
            fraction = check_number("validation", validation, above=0, below=1)
            cut = text.size - round(fraction * text.size)
            return text[:cut], text[cut:]
        return text, self.encode(validation)

    def _make_trainer(
        self, options: TrainingOptions, streams: Tokens, steps: int, resume: bool
    ) -> Trainer:
        before = self._trainer
        trainer = Trainer(
            self.cell, self._built, self.num_layers, self.hidden_size, self.vocabulary_size,
            options, streams, steps,
        )  # fmt: skip
        if resume:
            if before is not None:
                saved = _training_state(before)
            elif self._restored is not None:
                saved = self._restored
            else:
                raise ValueError("resume must be False for a model without a training to go on")
            _restore(trainer, saved)
            trainer.total = trainer.step + steps
        else:
            self.history_ = History()
        self._trainer, self._restored = trainer, None
        return trainer

    def _train(
        self,
        trainer: Trainer,
        steps: int,
        held_out: Tokens | None,
        validate_every: int | None,
        patience: int | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        history, end = self.history_, trainer.step + steps
        every = validate_every or max(1, steps // 10)
        best, best_flat, waited = math.inf, None, 0
        while trainer.step < end:
            until = end if held_out is None else min(end, trainer.step + every)
            for done in trainer.slices(until - trainer.step):
                history.loss += done.losses.tolist()
                history.gradient_norm += done.norms.tolist()
                if history.first_call_seconds:
                    history.seconds += done.seconds
                else:
                    history.first_call_seconds = done.seconds
                if progress:
                    validation = history.validation[-1][1] if history.validation else None
                    rate = trainer.tokens_per_step * done.losses.size / done.seconds
                    loss = float(done.losses.mean())
                    progress(Progress(trainer.step, end, loss, rate, validation))
            if held_out is None:
                continue
            found = self._loss(held_out)
            history.validation.append((trainer.step, found))
            waited = 0 if found < best else waited + 1
            if found < best:
                best = found
                best_flat = self.flat.copy() if patience else None
            if patience and waited >= patience:
                history.stopped_early = True
                break
        if patience and best_flat is not None:
            self.flat[...] = best_flat

    def loss(self, data: str | ArrayLike) -> float:
        """Mean of -log P(token | all tokens before it), in nats per token, on a text.

        The text is read once from its beginning, from states of zero; its first token is given.

        Raises
        ------
        TypeError, ValueError
            For data that does not fit the model, or with fewer than 2 tokens.
        """
        self._built  # noqa: B018  (raises before the model has parameters)
        tokens = self.encode(data)
        if tokens.size < 2:
            raise ValueError(f"data must have at least 2 tokens, got {tokens.size}")
        return self._loss(tokens)

    def _loss(self, tokens: Tokens) -> float:
        from fastrnn.kernels.bound import model_drivers

        evaluate = model_drivers(self.cell, TrainingOptions().rule).evaluate
        predicted = tokens.size - 1
        whole, rest = divmod(predicted, EVALUATION_STEPS)
        total, start = 0.0, 0
        carried: list[Array] = []
        for time, count in ((EVALUATION_STEPS, whole), (rest, 1)):
            if not time or not count:
                continue
            plan = self._plan(time)
            buffers = plan.buffers(self.dtype)
            h = buffers["h"].reshape(self.num_layers, time + 1, self.hidden_size)
            memory = buffers["memory"]
            if carried:
                h[:, 0], memory[...] = carried
            total += evaluate(
                self.flat, buffers["h"], memory, aligned_empty(plan.work, self.dtype),
                np.empty(time, np.int64), np.empty(time, np.int64),
                model_offsets(self._built, self.num_layers), tokens, tokens.size, start, count,
                plan.model,
            )  # fmt: skip
            start += time * count
            carried = [h[:, 0].copy(), memory]
        return total / predicted

    def perplexity(self, data: str | ArrayLike) -> float:
        """e to the power of `loss`: among how many equally likely tokens the model wavers."""
        return math.exp(self.loss(data))

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
            For wrong arguments, before any work.
        """
        from fastrnn.kernels.bound import model_drivers

        self._built  # noqa: B018
        count = check_integer("n", n, least=0)
        heat = check_number("temperature", temperature, least=0)
        given = np.empty(0, np.int64)
        if prime is not None and np.size(prime):
            given = self.encode(prime) if prime != "" else given
        if not given.size:
            newline = self.vocabulary is not None and "\n" in self.vocabulary.characters
            given = self.encode("\n") if newline else np.zeros(1, np.int64)
        out = np.empty(count, np.int64)
        uniforms = np.random.default_rng(seed).random(count)
        plan = self._plan(1)
        buffers = plan.buffers(self.dtype)
        work = aligned_empty((self.num_layers + 1) * plan.work, self.dtype)
        generate = model_drivers(self.cell, TrainingOptions().rule).generate
        for start in range(0, count, SAMPLE_SLICE):
            part = out[start : start + SAMPLE_SLICE]
            generate(
                part, self.flat, buffers["h"], buffers["memory"], work, plan.work, given,
                uniforms[start : start + SAMPLE_SLICE], model_offsets(self._built, self.num_layers),
                heat, start == 0, plan.model,
            )  # fmt: skip
            given = part[-1:]
        return self.vocabulary.decode(out) if self.vocabulary else out

    def _plan(self, time: int) -> Any:
        return plan_model(
            self.cell, self.dtype, time, 1, self.vocabulary_size, self.hidden_size,
            self.num_layers, keep=False,
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model, and the training that `resume` goes on with, to a safetensors file.

        The file is replaced as a whole: if the process dies while it writes, `path` is what it
        was before.
        """
        tensors = dict(self._built.views)
        config: dict[str, Any] = {
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "nonlinearity": self.nonlinearity,
            "dtype": self.dtype.name,
            "vocabulary_size": self.vocabulary_size,
            "characters": self.vocabulary.characters if self.vocabulary else None,
            "history": dataclasses.asdict(self.history_),
        }
        state = _training_state(self._trainer) if self._trainer else self._restored
        if state:
            config["training"] = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            tensors |= {f"training.{k}": v for k, v in state.items() if isinstance(v, np.ndarray)}
        save_model(path, KIND, config, tensors)

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
        config, tensors = load_model(path, KIND)
        training = {
            name.removeprefix("training."): tensors.pop(name)
            for name in list(tensors)
            if name.startswith("training.")
        }
        try:
            characters = config["characters"]
            model = cls(
                config["hidden_size"],
                config["num_layers"],
                nonlinearity=config["nonlinearity"],
                dtype=config["dtype"],
            )
            size = config["vocabulary_size"]
            shape = (size, config["hidden_size"])
            if "weight_out" not in tensors or tensors["weight_out"].shape != shape:
                raise ValueError(f"weight_out must have shape (V, H) = {shape}")
            model._build(Vocabulary(characters) if characters else size)
            model.load_state_dict(tensors)
            history = dict(config["history"])
            history["validation"] = [tuple(v) for v in history["validation"]]
            model.history_ = History(**history)
            if "training" in config:
                model._restored = {**config["training"], **training}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path} is damaged: {error}") from error
        return model

    def __repr__(self) -> str:
        size = f", vocabulary of {self.vocabulary_size}" if self._parameters else ""
        return (
            f"LanguageModel(hidden_size={self.hidden_size}, num_layers={self.num_layers}, "
            f"nonlinearity={self.nonlinearity!r}, dtype={self.dtype.name}{size})"
        )


def _training_state(trainer: Trainer) -> dict[str, Any]:
    """What `resume` needs: numbers for the configuration, arrays for the tensors."""
    return {
        "step": trainer.step,
        "position": trainer.position,
        "options": dataclasses.asdict(trainer.options),
        "slots": trainer.slots,
        "h": np.array(trainer.carried()),
        "memory": trainer.memory,
    }


def _restore(trainer: Trainer, state: Mapping[str, Any]) -> None:
    """Bring a new trainer to a saved state, if that fits it."""
    now, then = dataclasses.asdict(trainer.options), state["options"]
    for name in ("sequence_length", "batch_size", "optimizer"):
        if now[name] != then[name]:
            raise ValueError(
                f"{name} must be {then[name]!r} to resume this training, got {now[name]!r}"
            )
    arrays = {"slots": trainer.slots, "h": trainer.carried(), "memory": trainer.memory}
    for name, place in arrays.items():
        if place.shape != state[name].shape:
            raise ValueError(
                f"the training's {name} must have shape {place.shape}, got {state[name].shape}"
            )
        place[...] = state[name]
    length = trainer.streams.shape[1]
    if not 0 <= state["position"] <= length:
        raise ValueError(f"position must be in the text of length {length}, got {state['position']}")
    trainer.step, trainer.position = int(state["step"]), int(state["position"])
