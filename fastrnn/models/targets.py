"""What is to be learned: classes as numbers, and the weights of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _check_sample_weight, column_or_1d

from fastrnn.checks import Array, Where, at_index

Integers = NDArray[np.int64]


class Classes:
    """Labels as numbers of classes.

    Attributes
    ----------
    values : ndarray (K,)
        The classes in order; 0 .. K - 1 for rows of 0 and 1 of which several may hold.
    several : bool
    """

    def __init__(self, values: Array, several: bool) -> None:
        self.values, self.several = values, several

    @staticmethod
    def rows(y: ArrayLike) -> tuple[Array, bool]:
        """Labels (R,), or (R, K) of 0 and 1; and whether it is the latter."""
        array = check_array(y, ensure_2d=False, dtype=None, input_name="y", allow_nd=True)
        check_classification_targets(array)
        if type_of_target(array) == "multilabel-indicator":
            return array, True
        return column_or_1d(array, warn=True), False

    @classmethod
    def of(cls, y: Array, several: bool, known: Array | None) -> Classes:
        """Those that are known, or those that occur."""
        if known is not None:
            return cls(known, several)
        return cls(np.arange(y.shape[1]) if several else np.unique(y), several)

    def encode(self, y: Array, several: bool, where: Where = at_index) -> Integers:
        """(R, 1) of numbers of classes, or (R, K) of 0 and 1.

        Raises
        ------
        ValueError
            For a label that is no class.
        """
        if several != self.several or (several and y.shape[1] != len(self.values)):
            wanted = f"rows of {len(self.values)} numbers 0 or 1" if self.several else "one label"
            raise ValueError(f"y must have {wanted} for each example, got shape {y.shape}")
        if several:
            return y.astype(np.int64)
        found = np.searchsorted(self.values, y)
        wrong = np.flatnonzero(self.values[np.minimum(found, len(self.values) - 1)] != y)
        if wrong.size:
            raise ValueError(
                f"y must be among the classes {self.values.tolist()}, got "
                f"{y[wrong[:1]].tolist()[0]!r} at {where(wrong[0])}"
            )
        return found[:, None].astype(np.int64)


def row_weights(
    count: int, sample_weight: ArrayLike | None, class_weight: Any, classes: Classes | None,
    targets: Array, owners: Integers, *, dtype: np.dtype[Any],
) -> Array:  # fmt: skip
    """Weights of the rows, (R,), of mean 1: those of their examples times those of their classes.

    `owners` says to which of the `count` examples each row belongs.
    """
    each = _check_sample_weight(sample_weight, np.empty((count, 1)), dtype=np.float64)
    negative = np.flatnonzero(each < 0)
    if negative.size:
        raise ValueError(
            f"sample_weight must be at least 0 for each example, got {each[negative[0]]:g} at "
            f"index {negative[0]}"
        )
    weights = each[owners]
    if class_weight is not None:
        assert classes is not None
        if classes.several:
            raise ValueError("class_weight must be None where several classes may hold at once")
        of_class = compute_class_weight(
            class_weight, classes=classes.values, y=classes.values[targets[:, 0]]
        )
        wrong = np.flatnonzero(~((of_class >= 0) & np.isfinite(of_class)))
        if wrong.size:
            name, bad = classes.values[wrong].tolist()[0], float(of_class[wrong[0]])
            raise ValueError(
                f"class_weight must be finite and at least 0 for each class, got {bad:g} for "
                f"class {name!r}"
            )
        weights = weights * of_class[targets[:, 0]]
    total = weights.sum()
    if weights.size and not total > 0:
        raise ValueError("sample_weight and class_weight must leave some weight above 0, got none")
    scaled: Array = (weights * (weights.size / max(total, 1e-300))).astype(dtype)
    return scaled
