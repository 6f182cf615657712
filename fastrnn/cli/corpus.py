"""Real English that every Python has on board: the prose of ``pydoc``'s help topics."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

#: Characters that occur less often are dropped, so that each has something to be learnt from.
RARE = 10

#: The text is cut into stretches of about so many characters, of which one in twenty is held out:
#: the topics differ, and the end of the text is not like the rest of it.
STRETCH = 2000
HELD_OUT_ONE_IN = 20


class Corpus(NamedTuple):
    """A text to train on, one held out, and the characters of both."""

    training: str
    validation: str
    characters: str

    @property
    def size(self) -> int:
        """Characters of both texts."""
        return len(self.training) + len(self.validation)


def pydoc_corpus() -> Corpus:
    """The prose of `pydoc_data.topics`, in the order of its topics' names.

    Topics quote each other at length: a paragraph counts where it first occurs, so that none that
    is held out was trained on.
    """
    from pydoc_data.topics import topics

    paragraphs = dict.fromkeys(
        paragraph.rstrip()
        for name in sorted(topics)
        for paragraph in topics[name].split("\n\n")
        if paragraph.strip()
    )
    counts = Counter("\n\n".join(paragraphs))
    rare = {ord(character): None for character, count in counts.items() if count < RARE}
    training: list[str] = []
    held_out: list[str] = []
    position = 0
    for paragraph in paragraphs:
        stretch = position // STRETCH
        validating = stretch % HELD_OUT_ONE_IN == HELD_OUT_ONE_IN // 2
        (held_out if validating else training).append(paragraph.translate(rare))
        position += len(paragraph) + 2
    characters = "".join(sorted(character for character in counts if ord(character) not in rare))
    return Corpus("\n\n".join(training), "\n\n".join(held_out), characters)
