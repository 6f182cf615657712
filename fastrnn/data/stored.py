"""What is wrong with a data file, and vocabularies as files of JSON."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from fastrnn.files import write_atomically

#: Of the layout of vocabulary files; a file with a larger one was written by a newer fastrnn.
FORMAT_VERSION = 1

Self = TypeVar("Self", bound="Stored")


class DataFileError(ValueError):
    """A file that does not hold the data it should; the message says which, where and why."""


class Stored(ABC):
    """A vocabulary that is saved as JSON and loaded again."""

    #: What kind of vocabulary its file says it is.
    kind: ClassVar[str]

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What `from_config` makes this vocabulary of, as JSON can hold it."""

    @classmethod
    @abstractmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """The vocabulary that `config` described.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it describes none.
        """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a file of JSON, whole or not at all."""
        head = {"format": f"fastrnn.vocabulary.{self.kind}", "format_version": FORMAT_VERSION}
        write_atomically(path, json.dumps(head | self.config()).encode("ascii"))

    @classmethod
    def load(cls: type[Self], path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        OSError
            If the file cannot be opened.
        DataFileError
            If it is no vocabulary of this kind, damaged, or of a newer format.
        """
        with open(path, "rb") as file:
            content = file.read()
        try:
            found = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise DataFileError(f"{path} is no file of JSON: {error}") from error
        config = found if isinstance(found, dict) else {}
        wanted = f"fastrnn.vocabulary.{cls.kind}"
        if config.get("format") != wanted:
            raise DataFileError(
                f"{path} must be a file of format {wanted!r}, got {config.get('format')!r}"
            )
        version = config.get("format_version")
        if type(version) is not int:
            raise DataFileError(f"{path} has no readable format version: {version!r}")
        if version > FORMAT_VERSION:
            raise DataFileError(
                f"{path} has format version {version}, written by a newer fastrnn; "
                f"this one reads up to {FORMAT_VERSION}: upgrade fastrnn"
            )
        try:
            return cls.from_config(config)
        except KeyError as error:
            raise DataFileError(f"{path} is damaged: it misses {error}") from error
        except (TypeError, ValueError) as error:
            raise DataFileError(f"{path} is damaged: {error}") from error
