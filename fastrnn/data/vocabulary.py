"""Text as integers: characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastrnn.checks import check_text, check_tokens
from fastrnn.data.stored import Stored

Tokens = NDArray[np.int64]


class Vocabulary(Stored):
    """The characters of a text, numbered in the order of their code points.

    Parameters
    ----------
    characters : sequence of str
        Distinct single characters; character i is token i.
    """

    kind: ClassVar[str] = "characters"

    def __init__(self, characters: Sequence[str]) -> None:
        wrong = [c for c in characters if not isinstance(c, str) or len(c) != 1]
        if wrong:
            raise ValueError(f"characters must be single characters, got {wrong[0]!r}")
        if len(set(characters)) != len(characters):
            raise ValueError("characters must be distinct")
        if not characters:
            raise ValueError("characters must not be empty")
        self.characters = "".join(characters)
        points = _code_points(self.characters)
        self._order = np.argsort(points)
        self._sorted = points[self._order]

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The vocabulary of all characters in `text`."""
        points = np.unique(_code_points(check_text("text", text)))
        return cls([chr(point) for point in points])

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Tokens:
        """Tokens of `text`; ValueError names the first character that is not in the vocabulary."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, got {type(text).__name__}")
        points = _code_points(text)
        places = np.minimum(np.searchsorted(self._sorted, points), len(self) - 1)
        unknown = np.flatnonzero(self._sorted[places] != points)
        if unknown.size:
            first = int(unknown[0])
            raise ValueError(
                f"text has {text[first]!r} at index {first}, which is not among the "
                f"{len(self)} characters of the vocabulary"
            )
        return self._order[places].astype(np.int64)

    def decode(self, tokens: ArrayLike) -> str:
        """The text of `tokens`; TypeError or ValueError unless all are in the vocabulary."""
        found = check_tokens("tokens", tokens, len(self), "vocabulary size")
        if found.ndim != 1:
            raise ValueError(f"tokens must have one dimension, got shape {found.shape}")
        return "".join(self.characters[token] for token in found.tolist())

    def join(self, tokens: ArrayLike) -> str:
        """The text of `tokens`, as `decode` has it."""
        return self.decode(tokens)

    def config(self) -> dict[str, Any]:
        """What `from_config` makes this vocabulary of, as JSON can hold it."""
        return {"characters": self.characters}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `config` described."""
        return cls(config["characters"])

    def __iter__(self) -> Iterator[str]:
        return iter(self.characters)

    def __contains__(self, character: object) -> bool:
        return isinstance(character, str) and len(character) == 1 and character in self.characters

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} characters)"


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
