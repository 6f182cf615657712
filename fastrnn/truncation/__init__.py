"""Truncated backpropagation through time: by a rule, or at random and without bias."""

from fastrnn.truncation.drawn import cut_probability, randomized_bptt, weighted_bptt
from fastrnn.truncation.rule import Turn, truncated_bptt, truncated_turns

__all__ = [
    "Turn",
    "cut_probability",
    "randomized_bptt",
    "truncated_bptt",
    "truncated_turns",
    "weighted_bptt",
]
