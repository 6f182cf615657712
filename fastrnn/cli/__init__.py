"""The command line: ``fastrnn`` and ``python -m fastrnn``.

`app` says what can be typed, `demo`, `train` and `machine` do it, `screen` shows it. A command
raises what went wrong; here it becomes one line on stderr and an exit code.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

#: What the extra ``cli`` brings, and what may be missing in its place.
_NEEDED = frozenset({"typer", "rich", "click"})

FAILED, BAD_ARGUMENT, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        `sys.argv` without its first one if None.

    Returns
    -------
    int
        0 if all went well, 1 if the work failed, 2 for a bad argument, 130 after Ctrl-C.
    """
    try:
        from fastrnn.cli.app import run
    except ModuleNotFoundError as missing:
        if missing.name not in _NEEDED:
            raise
        _complain("the command line needs typer and rich: pip install 'fastrnn[cli]'")
        return FAILED
    from fastrnn.cli.errors import GoalMissedError, StoppedError
    from fastrnn.training import NonFiniteGradientError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # generated text has what a locale may lack
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer must not be written, and complained about, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (KeyboardInterrupt, StoppedError) as error:
        _complain(str(error) or "interrupted")
        return INTERRUPTED
    except (GoalMissedError, NonFiniteGradientError) as error:
        _complain(str(error))
        return FAILED
    except ImportError as error:
        if error.name:  # not of an extra that is missing
            raise
        _complain(str(error))
        return FAILED
    except OSError as error:
        _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        bad = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
        return BAD_ARGUMENT if isinstance(error, bad) else FAILED
    except MemoryError as error:
        _complain(f"out of memory: {error}")
        return FAILED
    except (ValueError, TypeError, OverflowError) as error:
        _complain(str(error))
        return BAD_ARGUMENT
    return code


def _complain(text: str) -> None:
    print("fastrnn:", " ".join(text.split()), file=sys.stderr)
