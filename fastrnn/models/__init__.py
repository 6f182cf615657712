"""Models: layers, a loss and training in one; the estimators need scikit-learn."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from fastrnn.models.language_model import LanguageModel

if TYPE_CHECKING:
    from fastrnn.models.classifier import SequenceClassifier
    from fastrnn.models.mlp import MLPClassifier
    from fastrnn.models.regressor import SequenceRegressor

#: Where the estimators are, which import scikit-learn when they are asked for.
_HOMES = {
    "MLPClassifier": "fastrnn.models.mlp",
    "SequenceClassifier": "fastrnn.models.classifier",
    "SequenceRegressor": "fastrnn.models.regressor",
}

__all__ = ["LanguageModel", "MLPClassifier", "SequenceClassifier", "SequenceRegressor"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        if importlib.util.find_spec("sklearn") is None:
            raise ImportError(f"{name} needs scikit-learn: pip install 'fastrnn[estimators]'")
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
