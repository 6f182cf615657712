"""Short phrases that say something good or bad: those of a tutorial, and their grammar."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np

from fastrnn.checks import check_integer, generator_of

GOOD = ("good", "happy")
BAD = ("bad", "sad")
#: How a sentence begins, and how it may end.
TENSES = ((("i am", "this is"), ("", "right now")), (("i was", "this was"), ("earlier",)))


class Phrases(NamedTuple):
    """Phrases and whether each says something good.

    Attributes
    ----------
    texts : list of str
    labels : list of int
        1 for good, 0 for bad.
    """

    texts: list[str]
    labels: list[int]


def sentiment_phrases() -> tuple[Phrases, Phrases]:
    """The 58 phrases to train on and the 20 to test on of V. Zhou's tutorial on RNNs.

    V. Zhou, *An Introduction to Recurrent Neural Networks for Beginners*, 2019.

    Returns
    -------
    train, test : Phrases
    """
    content = pkgutil.get_data("fastrnn.data", "sentiment.tsv")
    assert content is not None
    rows = [line.split("\t") for line in content.decode("ascii").splitlines()[1:]]
    train, test = (
        Phrases([r[2] for r in rows if r[0] == split], [int(r[1]) for r in rows if r[0] == split])
        for split in ("train", "test")
    )
    return train, test


def sentiment_grammar() -> Iterator[tuple[str, int]]:
    """Every phrase of the grammar that the published ones are of, with its label: 324 phrases.

    ::

        phrase    = verdict | present predicate | present predicate "right now"
                  | past predicate "earlier"
        present   = "i am" | "this is"
        past      = "i was" | "this was"
        predicate = verdict | "not at all" quality | "not at all" quality "or" quality
                  | quality "not" quality | plain "and" plain
        verdict   = plain | "very" quality
        plain     = quality | "not" quality
        quality   = "good" | "happy" | "bad" | "sad"

    The label is 1 for "good", "happy" and 0 for "bad", "sad"; "not" and "not at all" turn it round.
    In a predicate of two parts the parts say the same, by different qualities: "good not bad",
    "not at all bad or sad", "not happy and not good".

    Yields
    ------
    phrase : str
    label : int
    """
    for label in (1, 0):
        verdicts = _plain(label) + [f"very {quality}" for quality in _qualities(label)]
        yield from ((verdict, label) for verdict in verdicts)
        for beginnings, ends in TENSES:
            for beginning in beginnings:
                for predicate in verdicts + _compounds(label):
                    for end in ends:
                        yield f"{beginning} {predicate} {end}".rstrip(), label


def _qualities(label: int) -> tuple[str, str]:
    return GOOD if label else BAD


def _plain(label: int) -> list[str]:
    return [*_qualities(label), *(f"not {quality}" for quality in _qualities(1 - label))]


def _compounds(label: int) -> list[str]:
    own, other = _qualities(label), _qualities(1 - label)
    return [
        *(f"not at all {quality}" for quality in other),
        *(f"not at all {one} or {two}" for one, two in permutations(other)),
        *(f"{quality} not {opposite}" for quality in own for opposite in other),
        *(f"{one} and {two}" for one, two in permutations(_plain(label), 2)),
    ]


def draw_sentiment(count: int, *, seed: int | np.random.Generator | None = None) -> Phrases:
    """Different phrases of `sentiment_grammar`, in random order.

    Parameters
    ----------
    count : int
        At most 324.
    seed : int or Generator, optional

    Returns
    -------
    Phrases

    Raises
    ------
    TypeError, ValueError
        For a wrong argument.
    """
    number = check_integer("count", count, least=1)
    phrases = [*sentiment_grammar()]
    if number > len(phrases):
        raise ValueError(f"count must be at most the {len(phrases)} phrases, got {number}")
    chosen = [phrases[i] for i in generator_of(seed).permutation(len(phrases))[:number]]
    return Phrases([text for text, _ in chosen], [label for _, label in chosen])
