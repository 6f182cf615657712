"""The estimators against scikit-learn's own checks."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pytest

pytest.importorskip("sklearn", reason="the estimators are in its manner")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastrnn.models import MLPClassifier, SequenceClassifier, SequenceRegressor


def expected_failures(estimator: Any) -> dict[str, str]:
    failures = {}
    if "sample_weight" in signature(estimator.fit).parameters:
        failures["check_sample_weight_equivalence_on_dense_data"] = (
            "in minibatches, what is there twice is in two steps, and what weighs 2 in one; if a "
            "step has all data they are the same: test_weights_of_sequences_are_repetitions"
        )
    if isinstance(estimator, MLPClassifier):
        failures["check_sample_weight_equivalence_on_dense_data"] = (
            "alpha / B counts what is there twice as two examples and what weighs 2 as one, and "
            "float32 rounds their sums apart; without alpha and in float64 they are the same: "
            "test_weights_of_examples_are_repetitions"
        )
    if isinstance(estimator, SequenceRegressor):
        failures["check_regressor_multioutput"] = (
            "wants float64 predictions of a float32 network: they have the precision of `dtype`"
        )
    return failures


@parametrize_with_checks(
    [
        SequenceClassifier(batch_size=16, random_state=0),
        SequenceRegressor(batch_size=16, random_state=0),
        MLPClassifier(random_state=0),
    ],
    expected_failed_checks=expected_failures,
)
def test_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)
