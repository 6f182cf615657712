"""Models: layers, a loss and training in one."""

from fastrnn.models.language_model import LanguageModel

__all__ = ["LanguageModel"]
