"""What a trained language model says: how likely a text is, and what comes next."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.cells import Cell
from fastrnn.checks import check_integer, check_number, check_seed, check_tokens
from fastrnn.data import Tokens, Vocabulary
from fastrnn.data.words import WordVocabulary
from fastrnn.inference import Inference
from fastrnn.params import HasParameters


class Predictor(HasParameters):
    """The part of `fastrnn.LanguageModel` that reads and writes texts."""

    equations: Cell
    num_layers: int
    hidden_size: int
    vocabulary: Vocabulary | WordVocabulary | None
    vocabulary_size: int

    def encode(self, data: str | ArrayLike, name: str = "data") -> Tokens:
        """`data` as token ids: a text by the vocabulary, integers checked to be in it.

        Errors call it `name`.

        Raises
        ------
        TypeError, ValueError
            For a text given to a model of token ids, an unknown character or word, an id out of
            range.
        """
        if isinstance(data, str):
            if self.vocabulary is None:
                raise TypeError(f"{name} must be token ids, since the model has no characters")
            return self.vocabulary.encode(data)
        tokens = check_tokens(name, data, self.vocabulary_size, "vocabulary size")
        if tokens.ndim != 1:
            raise ValueError(f"{name} must have one dimension, got shape {tokens.shape}")
        return tokens

    def _inference(self) -> Inference:
        return Inference(
            self.equations, self._held, self.num_layers, self.hidden_size, self.vocabulary_size
        )

    def loss(self, data: str | ArrayLike) -> float:
        """Mean of -log P(token | all tokens before it), in nats per token, on a text.

        The text is read once from its beginning, from states of zero; its first token is given.

        Raises
        ------
        TypeError, ValueError
            For data that does not fit the model, or with fewer than 2 tokens.
        """
        return self._inference().loss(self._judged(data))

    def _judged(self, data: str | ArrayLike) -> Tokens:
        tokens = self.encode(data)
        if tokens.size < 2:
            raise ValueError(f"data must have at least 2 tokens, got {tokens.size}")
        return tokens

    def perplexity(self, data: str | ArrayLike) -> float:
        """e to the power of `loss`: among how many equally likely tokens the model wavers.

        At most 8e307.
        """
        return float(np.exp(np.minimum(self.loss(data), 709.0)))

    def bits(self, data: str | ArrayLike) -> float:
        """`loss` in bits per token."""
        return self.loss(data) / math.log(2)

    def accuracy(self, data: str | ArrayLike) -> float:
        """The part of a text's tokens that the model holds likeliest where they come.

        The text is read as by `loss`, with its errors.
        """
        return self._inference().accuracy(self._judged(data))

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
            What was read before. If None or empty, a newline, or of words a full stop; token 0 if
            there is none.
        temperature : float
            The logits are divided by it; 0 takes the likeliest token always.
        seed : int, optional
            Same seed, same tokens.

        Returns
        -------
        str, or ndarray of int64 for a model of token ids
            Without `prime`. Words are spaced as in print (`fastrnn.data.join_words`), and the
            unknown one is never drawn.

        Raises
        ------
        TypeError, ValueError
            For wrong arguments, before any work; for a model whose logits are not numbers.
        """
        inference = self._inference()
        count = check_integer("n", n, least=0)
        heat = check_number("temperature", temperature, least=0)
        given = self.encode([] if prime is None else prime, "prime")
        vocabulary = self.vocabulary
        if not given.size:
            begin = "." if isinstance(vocabulary, WordVocabulary) else "\n"
            known = vocabulary is not None and begin in vocabulary
            given = self.encode(begin) if known else np.zeros(1, np.int64)
        if isinstance(vocabulary, WordVocabulary) and vocabulary.unknown and len(vocabulary) > 1:
            inference = inference.without(vocabulary.words.index(vocabulary.unknown))
        uniforms = np.random.default_rng(check_seed(seed)).random(count)
        out = inference.draw(given, uniforms, heat)
        return out if vocabulary is None else vocabulary.join(out)
