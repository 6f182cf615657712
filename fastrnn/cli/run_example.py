"""The commands ``fastrnn examples``: what can be typed is what the examples' fields say."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fastrnn.cli.app import Json
from fastrnn.cli.errors import GoalMissedError, StoppedError
from fastrnn.cli.examples.addition import Addition
from fastrnn.cli.examples.chars import Chars
from fastrnn.cli.examples.digits import Digits
from fastrnn.cli.examples.example import End, Example
from fastrnn.cli.examples.imdb import Imdb
from fastrnn.cli.examples.sentiment import Sentiment
from fastrnn.cli.examples.sine import Sine
from fastrnn.cli.examples.spirals import Spirals
from fastrnn.cli.examples.words import Words
from fastrnn.cli.screen import Screen
from fastrnn.cli.train import check_target
from fastrnn.figures import new_figure, require_matplotlib

EXAMPLES: tuple[type[Example], ...] = (
    Sine, Chars, Words, Addition, Spirals, Sentiment, Digits, Imdb,
)  # fmt: skip


def show_list(screen: Screen) -> None:
    """``fastrnn examples``."""
    for example in EXAMPLES:
        screen.say(f"  {_name(example):<10} {example.summary}")
        screen.say(f"  {'':<10} {example.end_point}; {example.takes}", style="dim")
    screen.say(
        "\n  Run one: fastrnn examples NAME; its options: fastrnn examples NAME --help\n"
        "  The first run also compiles kernels for this machine, which takes 5 to 20 s."
    )
    screen.result(
        {
            "examples": [
                {
                    "name": _name(example),
                    "summary": example.summary,
                    "end_point": example.end_point,
                    "takes": example.takes,
                }
                for example in EXAMPLES
            ]
        }
    )


def commands() -> dict[str, Any]:
    """The commands by name, as typer's groups hold them."""
    app = typer.Typer()
    for example in EXAMPLES:
        text = f"{example.summary}.\n\nEnd point: {example.end_point}. Takes {example.takes}."
        app.command(_name(example), help=text)(_command(example))
    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = group.commands
    return found


def _name(example: type[Example]) -> str:
    return example.__name__.lower()


def _command(kind: type[Example]) -> Callable[..., None]:
    """A function with the parameters that typer makes options of."""

    def command(*, figure: Path, json: bool, **options: Any) -> None:
        run(Screen(as_json=json), kind(**options), figure)

    def parameter(name: str, default: Any, type_: Any, help_: str, **more: Any) -> Any:
        annotation = Annotated[type_, typer.Option(help=help_, **more)]
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(name, keyword, default=default, annotation=annotation)

    types = get_type_hints(kind)
    options = sorted(
        (field for field in fields(kind) if field.init),
        key=lambda field: field.name in Example.__dataclass_fields__,
    )
    parameters = [
        parameter(o.name, o.default, types[o.name], o.metadata["help"], min=o.metadata["least"])
        for o in options
    ]
    picture = Path(f"{_name(kind)}.png")
    parameters += [
        parameter("figure", picture, Path, "The PNG to draw.", metavar="PNG"),
        inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json),
    ]
    vars(command)["__signature__"] = inspect.Signature(parameters)
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def run(screen: Screen, example: Example, figure: Path) -> None:
    """Run an example: prepare, train, judge, draw.

    Raises
    ------
    GoalMissedError
        If the end point was not reached; the figure is drawn.
    StoppedError
        After Ctrl-C; the figure shows what was reached before it, which is not judged.
    """
    from fastrnn.kernels import jit

    require_matplotlib()
    check_target(figure)
    taken = [value for value in vars(example).values() if isinstance(value, Path)]
    if figure.resolve() in {path.resolve() for path in taken}:
        raise ValueError(f"--figure must not be {figure}, which is read and would be replaced")
    name, start, interrupted = _name(type(example)), time.perf_counter(), False
    screen.heading(f"{name}: {example.summary}")
    with screen.busy("  preparing the data ..."):
        facts = example.prepare()
    screen.facts([*facts, ("end point", example.end_point)])
    try:
        with screen.steps() as example.show:
            example.train()
    except KeyboardInterrupt:
        interrupted = True
    if not example.rows:
        raise StoppedError(f"interrupted before there was anything to draw: no {figure}")
    canvas = new_figure()
    example.draw(canvas)
    canvas.savefig(figure, format="png")
    ends: list[End] = []
    if not interrupted:
        with screen.busy("  testing ..."):
            ends = example.judge()
    seconds, compiling = time.perf_counter() - start, jit.compile_seconds()
    missed = [end for end in ends if not end.reached]
    if not interrupted:
        _show_ends(screen, example, ends)
    screen.result(
        {
            "example": name,
            "end_point": example.end_point,
            "ends": [{**e._asdict(), "reached": e.reached} for e in ends],
            "reached": not interrupted and not missed,
            "interrupted": interrupted,
            "figure": str(figure),
            "seconds": seconds,
            "compile_seconds": compiling,
        }
    )
    screen.say(f"  {seconds:.1f} s, of which {compiling:.1f} s compiling; figure: {figure}")
    if interrupted:
        raise StoppedError(f"interrupted; {figure} shows what was reached by then")
    if missed:
        raise GoalMissedError(
            "the end point was not reached: "
            + "; ".join(f"{end.what}: {end.value:{end.form}}" for end in missed)
        )
    screen.say("  The end point was reached.")


def _show_ends(screen: Screen, example: Example, ends: list[End]) -> None:
    screen.table(
        ["", "reached", "end point", ""],
        [[e.what, f"{e.value:{e.form}}", e.wanted, _mark(e)] for e in ends],
    )
    for title, text in example.samples():
        screen.say(f"  {title}")
        screen.quote(text)


def _mark(end: End) -> str:
    return ("reached" if end.reached else "not reached") if end.wanted else ""
