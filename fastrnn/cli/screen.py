"""What a command shows: to people on stdout; or one JSON object there, and the rest on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from fastrnn.training import Progress

#: Seconds between lines of progress where there is no terminal.
LINE_SECONDS = 2.0


class Screen:
    """Where a command talks.

    Parameters
    ----------
    as_json : bool
        Keep stdout for the JSON object that `result` prints.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json
        self._console = Console(stderr=as_json, highlight=False, soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """Show a line as it is, brackets and all."""
        self._console.print(Text(text, style=style))

    def heading(self, text: str) -> None:
        """Show the title of a part."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def text(self, text: str) -> None:
        """Print generated text, tabs and all."""
        print(text, file=self._console.file)

    def quote(self, text: str) -> None:
        """Show generated text, set off from what the command itself says."""
        for line in text.splitlines():
            self._console.print(Text("  | ", style="dim"), Text(line), sep="")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table, its first column to the left and the others to the right."""
        table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header))
        for k in range(len(header) or len(rows[0])):
            right = bool(header) and k > 0
            name = header[k] if header else ""
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table, soft_wrap=False)

    def facts(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show names and values, one pair a line."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self._console.print(Text(f"  {name:<{width}}  ", style="dim"), Text(value), sep="")

    def result(self, report: dict[str, Any]) -> None:
        """Print the JSON object, if one was asked for; what is not finite is null there."""
        if self._as_json:
            json.dump(_finite(report), sys.stdout, indent=2, ensure_ascii=True, allow_nan=False)
            print()

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say that something takes a while, with a sign of life on a terminal."""
        if self._console.is_interactive:
            with self._console.status(Text(text)):
                yield
        else:
            self.say(text)
            yield

    @contextmanager
    def training(
        self, first: int, last: int, unit: str = "character"
    ) -> Iterator[Callable[[Progress], None]]:
        """Show a training from step `first` to step `last`: a bar, or lines at intervals.

        Speed is given in `unit`s a second.

        Yields
        ------
        callable
            For `fastrnn.LanguageModel.fit` as its `progress`.
        """
        shown = self._bar if self._console.is_interactive else self._lines
        with shown(first, last, unit) as show:
            yield show

    @contextmanager
    def _bar(self, first: int, last: int, unit: str) -> Iterator[Callable[[Progress], None]]:
        bar = Bar(
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self._console,
        )
        with bar:
            task = bar.add_task("", total=last - first, figures="starting")

            def show(now: Progress) -> None:
                bar.update(task, completed=now.step - first, figures=_figures(now, unit))

            yield show

    @contextmanager
    def _lines(self, first: int, last: int, unit: str) -> Iterator[Callable[[Progress], None]]:
        yield _Lines(self.say, unit)


class _Lines:
    """Progress in lines, where control codes would fill a log."""

    def __init__(self, say: Callable[[str], None], unit: str) -> None:
        self._say, self._unit = say, unit
        self._first, self._start, self._said = 0, 0.0, 0.0

    def __call__(self, now: Progress) -> None:
        clock = time.perf_counter()
        if not self._start:  # what came before may have been compilation
            self._first, self._start, self._said = now.step, clock, clock
        if now.step < now.total and clock - self._said < LINE_SECONDS:
            return
        self._said = clock
        done = max(1, now.step - self._first)
        left = (clock - self._start) / done * (now.total - now.step)
        self._say(f"  step {now.step}/{now.total}  {_figures(now, self._unit)}  {left:.0f} s left")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figures(now: Progress, unit: str) -> str:
    validation = "" if now.validation is None else f"  validation {now.validation:.3f}"
    return f"loss {now.loss:.3f}{validation}  {now.tokens_per_second / 1000:,.0f}k {unit}s/s"
