"""Model files: safetensors, written whole or not at all, and read with suspicion."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn.checks import Array

if sys.platform != "win32":
    import fcntl

#: Of the layout of model files; a file with a larger one was written by a newer fastrnn.
FORMAT_VERSION = 1


class ModelFileError(ValueError):
    """A file that is no readable fastrnn model; the message says which and why."""


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace `path` by `content`: after a crash at any moment it is the old file or the new one.

    The content goes to a file beside `path`, to the disk, and then takes its name. Such files that
    processes left there when they died are removed.
    """
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"{path} must be a regular file, and is something else")
    _remove_abandoned(target)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        with _held(name):
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            mode = target.stat().st_mode if target.exists() else 0o666 & ~_umask()
            os.chmod(name, mode)
            os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextlib.contextmanager
def _held(name: str) -> Iterator[None]:
    """Lock a file; the lock ends with this process, whatever ends it."""
    if sys.platform == "win32":
        yield
    else:
        with open(name, "rb") as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _remove_abandoned(target: Path) -> None:
    """Remove what was to become `target` and is not locked; one just made is still empty."""
    if sys.platform != "win32":
        for part in target.parent.glob(f".{glob.escape(target.name)}.????????.part"):
            with contextlib.suppress(OSError), open(part, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if part.stat().st_size:
                    part.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def save_model(
    path: str | os.PathLike[str], kind: str, config: Mapping[str, Any], tensors: Mapping[str, Array]
) -> None:
    """Write a model: its kind, its configuration as JSON, and its tensors."""
    from safetensors.numpy import save

    metadata = {
        "format": f"fastrnn.{kind}",
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(config),
    }
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_atomically(path, save(contiguous, metadata=metadata))


def load_model(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read what `save_model` wrote.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ModelFileError
        If it is truncated, no safetensors, not of this kind, or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    target = Path(path)
    with open(target, "rb"):
        pass
    try:
        with safe_open(target, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            _check_metadata(target, kind, metadata)
            tensors = {name: np.asarray(file.get_tensor(name)) for name in names}
    except (SafetensorError, TypeError, OverflowError) as error:
        raise ModelFileError(
            f"{target} is not a whole safetensors file (truncated, or of another kind): {error}"
        ) from error
    try:
        config = json.loads(metadata["config"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{target} has no readable configuration: {error}") from error
    if not isinstance(config, dict):
        raise ModelFileError(f"{target} has no readable configuration: {config!r}")
    return config, tensors


def _check_metadata(target: Path, kind: str, metadata: Mapping[str, str]) -> None:
    found = metadata.get("format")
    if found != f"fastrnn.{kind}":
        raise ModelFileError(f"{target} must be a file of format 'fastrnn.{kind}', got {found!r}")
    version = metadata.get("format_version", "")
    if not re.fullmatch("[0-9]{1,9}", version):
        raise ModelFileError(f"{target} has no readable format version: {version!r}")
    if int(version) > FORMAT_VERSION:
        raise ModelFileError(
            f"{target} has format version {version}, written by a newer fastrnn; "
            f"this one reads up to {FORMAT_VERSION}: upgrade fastrnn"
        )
