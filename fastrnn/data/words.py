"""Text as integers: words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fastrnn.checks import check_choice, check_integer, check_tokens
from fastrnn.data.stored import Stored
from fastrnn.data.vocabulary import Tokens

_WORD_OR_MARK = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_KERAS_FILTERED = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


def _words_and_marks(text: str) -> list[str]:
    return _WORD_OR_MARK.findall(text.lower())


def _as_keras(text: str) -> list[str]:
    return [word for word in text.lower().translate(_KERAS_FILTERED).split(" ") if word]


TOKENIZERS: dict[str, Callable[[str], list[str]]] = {
    "whitespace": str.split,
    "words": _words_and_marks,
    "keras": _as_keras,
}


def tokenize(text: str, tokenizer: str = "words") -> list[str]:
    r"""Cut a text into words.

    Parameters
    ----------
    text : str
    tokenizer : {"words", "whitespace", "keras"}
        ``"words"``: in lower case, runs of letters, digits and underscores, with the apostrophes
        inside them; every other character that is no white space is a word of its own.
        ``"whitespace"``: what white space separates, as it stands.
        ``"keras"``: as Keras' ``text_to_word_sequence``, in lower case, what is separated by spaces
        or by any of ``!"#$%&()*+,-./:;<=>?@[\]^_`{|}~``, tabs and line feeds.

    Returns
    -------
    list of str

    Raises
    ------
    TypeError, ValueError
        If `text` is no str, or there is no such tokenizer.

    Examples
    --------
    >>> tokenize("Don't panic: it's ONLY 42.")
    ["don't", 'panic', ':', "it's", 'only', '42', '.']
    """
    check_choice("tokenizer", tokenizer, tuple(TOKENIZERS))
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")
    return TOKENIZERS[tokenizer](text)


#: Marks without a space before them, without one after them, and with none on either side.
_CLOSING = frozenset(".,;:!?)]}%\u2026\u2019\u201d\u00bb")
_OPENING = frozenset("([{$#@\u00a3\u20ac\u201c\u2018\u00ab")
_TIGHT = frozenset("-/\u2013\u2014")
#: Marks that open, and then close.
_QUOTES = frozenset("\"'")


def join_words(words: Iterable[str]) -> str:
    r"""A text of words and marks, spaced as in print: what ``tokenize(text, "words")`` cuts.

    There is no space before ``. , ; : ! ? ) ] } %``, after opening brackets and signs of
    currencies, on either side of hyphens, dashes and slashes, inside quotes (the first opens, the
    second closes), and after a full stop or a colon between numbers.

    Parameters
    ----------
    words : iterable of str

    Returns
    -------
    str

    Examples
    --------
    >>> join_words(["she", "said", ":", '"', "it's", "3", ".", "14", "(", "or", "so", ")", '"'])
    'she said: "it\'s 3.14 (or so)"'
    """
    parts: list[str] = []
    quoted: set[str] = set()
    last, before_last, glued = "", "", True
    for word in words:
        closes = word in _CLOSING or word in quoted
        tight = word in _TIGHT
        between_numbers = last in (".", ":") and before_last.isdigit() and word.isdigit()
        if not (glued or closes or tight or between_numbers):
            parts.append(" ")
        parts.append(word)
        if word in _QUOTES:
            quoted ^= {word}
        glued = tight or word in _OPENING or word in quoted
        before_last, last = last, word
    return "".join(parts)


class WordVocabulary(Stored):
    """Words, numbered.

    Parameters
    ----------
    words : sequence of str
        Distinct, none empty; word i is token i.
    unknown : str, optional
        The one of `words` that stands for every word that is not among them. If not given, such a
        word is an error.
    tokenizer : {"words", "whitespace", "keras"}
        How `encode` cuts a text; see `tokenize`.

    Attributes
    ----------
    words : tuple of str

    Examples
    --------
    >>> text = "the cat and the dog and the bird"
    >>> vocabulary = WordVocabulary.of(text, min_count=2, unknown="<unk>")
    >>> vocabulary.words
    ('<unk>', 'the', 'and')
    >>> vocabulary.encode("the fish and the bird")
    array([1, 0, 2, 1, 0])
    """

    kind: ClassVar[str] = "words"

    def __init__(
        self, words: Sequence[str], *, unknown: str | None = None, tokenizer: str = "words"
    ) -> None:
        if isinstance(words, str):
            raise TypeError("words must be a sequence of str, got one str")
        self.words = tuple(words)
        if not self.words:
            raise ValueError("words must not be empty")
        for i, word in enumerate(self.words):
            if not isinstance(word, str) or not word:
                raise ValueError(f"words must be str of at least a character, got {word!r} at {i}")
        self._tokens = {word: token for token, word in enumerate(self.words)}
        if len(self._tokens) != len(self.words):
            twice = next(w for i, w in enumerate(self.words) if self._tokens[w] != i)
            raise ValueError(f"words must be distinct, got {twice!r} twice")
        if unknown is not None and unknown not in self._tokens:
            raise ValueError(f"unknown must be one of words, got {unknown!r}")
        self.unknown = unknown
        self.tokenizer = check_choice("tokenizer", tokenizer, tuple(TOKENIZERS))

    @classmethod
    def of(
        cls,
        texts: str | Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        unknown: str | None = None,
        reserved: Sequence[str] = (),
        tokenizer: str = "words",
    ) -> WordVocabulary:
        """The vocabulary of one text or of many.

        Its order is: `reserved`, `unknown`, then the words from the most frequent to the rarest,
        those that are equally frequent in the order of their code points.

        Parameters
        ----------
        texts : str, or iterable of str
        min_count : int
            How often a word must occur to be in the vocabulary.
        max_size : int, optional
            Most words that the vocabulary has, with `reserved` and `unknown`; the rarest are left
            out.
        unknown : str, optional
            A word for all that are left out, such as ``"<unk>"``.
        reserved : sequence of str
            Words that come first, such as ``"<pad>"``, which is token 0 then.
        tokenizer : {"words", "whitespace", "keras"}
            See `tokenize`.

        Raises
        ------
        TypeError, ValueError
            For a wrong argument, or if no word is left.
        """
        least = check_integer("min_count", min_count, least=1)
        if isinstance(reserved, str):
            raise TypeError("reserved must be a sequence of str, got one str")
        first = [*reserved]
        if unknown is not None and unknown not in first:
            first.append(unknown)
        most = None
        if max_size is not None:
            most = check_integer("max_size", max_size, least=len(first) + 1) - len(first)
        counts: Counter[str] = Counter()
        for text in [texts] if isinstance(texts, str) else texts:
            counts.update(tokenize(text, tokenizer))
        for word in first:
            counts.pop(word, None)
        kept = [(-count, word) for word, count in counts.items() if count >= least]
        if not kept:
            raise ValueError(
                f"texts must have words that occur at least min_count = {least} times, got "
                f"{len(counts)} distinct words, the most frequent "
                f"{max(counts.values(), default=0)} times"
            )
        chosen = [word for _, word in sorted(kept)[:most]]
        return cls([*first, *chosen], unknown=unknown, tokenizer=tokenizer)

    def encode(self, text: str | Sequence[str]) -> Tokens:
        """Tokens of a text, or of words that are given one by one.

        Returns
        -------
        ndarray of int64 (number of words,)

        Raises
        ------
        TypeError
            If `text` is neither.
        ValueError
            Names the first word that is not in the vocabulary, if no word stands for the unknown.
        """
        words = tokenize(text, self.tokenizer) if isinstance(text, str) else self._given(text)
        tokens, otherwise = self._tokens, self._tokens.get(self.unknown or "", -1)
        found = np.fromiter((tokens.get(w, otherwise) for w in words), np.int64, len(words))
        if otherwise < 0 and (found < 0).any():
            first = int(np.argmin(found >= 0))
            raise ValueError(
                f"text has {words[first]!r} as word {first}, which is not among the {len(self)} "
                "words of the vocabulary, and the vocabulary has no unknown word: make it with "
                "one, as WordVocabulary.of(..., unknown='<unk>') does, LanguageModel(min_count=2) "
                "and fastrnn train --words --min-count 2"
            )
        return found

    def _given(self, words: Sequence[str]) -> list[str]:
        if not isinstance(words, Sequence | np.ndarray) or isinstance(words, bytes | bytearray):
            raise TypeError(f"text must be a str or a sequence of str, got {type(words).__name__}")
        for i, word in enumerate(words):
            if not isinstance(word, str):
                raise TypeError(f"text must be words of str, got {word!r} at index {i}")
        return list(words)

    def decode(self, tokens: ArrayLike) -> str:
        """The words of `tokens`, one space between them.

        Raises
        ------
        TypeError, ValueError
            Unless all are in the vocabulary.
        """
        return " ".join(self._words_of(tokens))

    def join(self, tokens: ArrayLike) -> str:
        """The text of `tokens`: by `join_words` where ``"words"`` cuts texts, else as `decode`."""
        words = self._words_of(tokens)
        return join_words(words) if self.tokenizer == "words" else " ".join(words)

    def _words_of(self, tokens: ArrayLike) -> list[str]:
        found = check_tokens("tokens", tokens, len(self), "vocabulary size")
        if found.ndim != 1:
            raise ValueError(f"tokens must have one dimension, got shape {found.shape}")
        return [self.words[token] for token in found.tolist()]

    def config(self) -> dict[str, Any]:
        """What `from_config` makes this vocabulary of, as JSON can hold it."""
        return {"words": [*self.words], "unknown": self.unknown, "tokenizer": self.tokenizer}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> WordVocabulary:
        """The vocabulary that `config` described."""
        return cls(config["words"], unknown=config["unknown"], tokenizer=config["tokenizer"])

    def __len__(self) -> int:
        return len(self.words)

    def __iter__(self) -> Iterator[str]:
        return iter(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._tokens

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordVocabulary) and self.config() == other.config()

    def __hash__(self) -> int:
        return hash((self.words, self.unknown, self.tokenizer))

    def __repr__(self) -> str:
        unknown = "" if self.unknown is None else f", unknown={self.unknown!r}"
        return f"WordVocabulary({len(self)} words{unknown}, tokenizer={self.tokenizer!r})"
