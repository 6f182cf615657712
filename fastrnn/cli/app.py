"""What can be typed: the commands, their options and their help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import fastrnn
from fastrnn.cli.errors import GoalMissedError
from fastrnn.cli.screen import Screen

app = typer.Typer(
    name="fastrnn",
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Recurrent networks at the speed of the machine. Begin with: fastrnn demo",
    epilog="Exit codes: 0 done, 1 failed, 2 bad argument, 130 interrupted by Ctrl-C.",
)

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout; all else goes to stderr.")
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A file that train or demo saved.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Texts in UTF-8.")]


def run(arguments: Sequence[str]) -> int:
    """Run one command; its errors come out as exceptions.

    Raises
    ------
    ValueError
        For options that cannot be understood, beside what the commands raise.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="fastrnn", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except Exception as error:
        # Typer brings its own copy of click, older ones did not: their errors have no one name.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            typer.echo(message())
            return 0
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "fastrnn"
        raise ValueError(f"{message()} See: {path} --help") from None
    if code == 130:
        raise KeyboardInterrupt
    return int(code or 0)


def _number_or_name(value: str | None) -> int | str | None:
    whole = value is not None and value.lstrip("-").isdecimal()
    return int(value) if value is not None and whole else value


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fastrnn {fastrnn.__version__}")
        raise typer.Exit


@app.callback()
def _fastrnn(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: fastrnn demo --out /tmp")
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the figure and the model.")] = Path(),
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 5000,
    hidden: Annotated[int, typer.Option(help="Units of the recurrent layer.", min=1)] = 192,
    seed: Annotated[int, typer.Option(help="Of the initial weights.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Train on the English that every Python has on board, beside a naive twin in NumPy.

    Checks that both have the same losses, times both, trains with a progress bar, and shows text
    generated before and after. Takes about a minute, and needs nothing but this package.
    """
    from fastrnn.cli.demo import demo as run_demo
    from fastrnn.cli.twin import Setting

    screen = Screen(as_json=json)
    report = run_demo(screen, Setting(hidden=hidden, steps=steps, seed=seed), out)
    screen.result(report)
    if report["failures"]:
        raise GoalMissedError("; ".join(report["failures"]))


@app.command(
    epilog="Example: fastrnn train book.txt --out book.safetensors --hidden 256 --epochs 5"
)
def train(
    files: Files,
    out: Annotated[Path, typer.Option(help="Where the model goes; replaced as a whole.")],
    hidden: Annotated[
        int | None, typer.Option(help="Units of each layer.", show_default="128")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Layers.", show_default="1")] = None,
    cell: Annotated[str | None, typer.Option(help="rnn, lstm or gru.", show_default="rnn")] = None,
    nonlinearity: Annotated[
        str | None, typer.Option(help="Of the rnn: tanh or relu.", show_default="tanh")
    ] = None,
    words: Annotated[
        bool, typer.Option("--words", help="Read words and punctuation marks, not characters.")
    ] = False,
    min_count: Annotated[
        int | None,
        typer.Option(help="How often a word must occur to be in the vocabulary.", show_default="1"),
    ] = None,
    vocabulary: Annotated[
        int | None, typer.Option(help="Most words of the vocabulary.", show_default="all")
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE|FILE",
            help="Numbers of the vector that stands for a token, to be trained, or a file of "
            "GloVe's or word2vec's with trained ones.",
        ),
    ] = None,
    freeze: Annotated[bool, typer.Option("--freeze", help="Leave those vectors as they are.")] = (
        False
    ),
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64.", show_default="float32")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the initial weights.")] = None,
    sequence_length: Annotated[
        int | None,
        typer.Option(help="Characters or words of one step in each stream.", show_default="64"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Parallel streams of the text.", show_default="32")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.", show_default="adam"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the optimiser.", show_default="the optimiser's own")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Of the learning rate: constant, linear or cosine; the latter two end at zero.",
            show_default="constant",
        ),
    ] = None,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps over which the rate first rises.", show_default="0")
    ] = None,
    clip_norm: Annotated[
        float | None, typer.Option(help="Limit of the gradient's norm, 0: none.", show_default="5")
    ] = None,
    clip_value: Annotated[
        float | None, typer.Option(help="Limit of each of its elements, 0: none.", show_default="0")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps in all; those before a --resume count."),
    ] = None,
    epochs: Annotated[
        float | None,
        typer.Option(help="Or passes over the text in all, likewise.", show_default="1"),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            help="Fraction at the text's end that is held out, 0: none.", show_default="0.05"
        ),
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(help="Steps between validations.", show_default="a tenth")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Stop after so many validations without a new best, and go back to it."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Go on with this model, its vocabulary, sizes, options and text, to the end that "
            "its training had; --steps or --epochs set another, for the schedule too.",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw the loss curve here.")
    ] = None,
    json: Json = False,
) -> None:
    """Train a language model of characters or words on texts.

    Ctrl-C stops after the current 50 ms, saves the steps done so far, and --resume does the rest.
    """
    from fastrnn.cli.train import train as run_train

    sizes: dict[str, Any] = {
        "hidden_size": hidden,
        "num_layers": layers,
        "cell": cell,
        "nonlinearity": nonlinearity,
        "unit": "word" if words else None,
        "min_count": min_count,
        "max_vocabulary": vocabulary,
        "embedding": _number_or_name(embedding),
        "train_embedding": False if freeze else None,
        "dtype": dtype,
        "seed": seed,
    }
    options: dict[str, Any] = {
        "sequence_length": sequence_length,
        "batch_size": batch_size,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup_steps": warmup_steps,
        "clip_norm": clip_norm,
        "clip_value": clip_value,
    }
    run_train(
        Screen(as_json=json),
        files,
        out,
        resume=resume,
        figure=figure,
        sizes=sizes,
        options=options,
        steps=steps,
        epochs=epochs,
        validation=validation,
        validate_every=validate_every,
        patience=patience,
    )


@app.command(epilog='Example: fastrnn sample book.safetensors --prime "It was " --temperature 0.7')
def sample(
    model: Model,
    n: Annotated[int, typer.Option(help="Characters or words to draw.")] = 500,
    prime: Annotated[str, typer.Option(help="What the text begins with.")] = "",
    temperature: Annotated[
        float, typer.Option(help="Below 1 the likelier, above 1 the bolder; 0: the likeliest.")
    ] = 0.8,
    seed: Annotated[int, typer.Option(help="Same seed, same text.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Let a model write."""
    from fastrnn.cli.train import sample as run_sample

    run_sample(Screen(as_json=json), model, n, prime, temperature, seed)


@app.command("eval", epilog="Example: fastrnn eval book.safetensors another.txt")
def evaluate(model: Model, files: Files, json: Json = False) -> None:
    """Say how well a model predicts texts: nats and bits per character or word, perplexity."""
    from fastrnn.cli.train import evaluate as run_evaluate

    run_evaluate(Screen(as_json=json), model, files)


@app.command(epilog="Example: fastrnn warmup --dtype both --optimizer adam --optimizer adagrad")
def warmup(
    dtype: Annotated[str, typer.Option(help="float32, float64 or both.")] = "float32",
    nonlinearity: Annotated[str, typer.Option(help="tanh, relu or both.")] = "both",
    optimizer: Annotated[
        list[str] | None,
        typer.Option(help="Of the language model; can be given again.", show_default="adam"),
    ] = None,
    json: Json = False,
) -> None:
    """Compile the kernels now, so that nothing waits for them later; they are cached on disk."""
    from fastrnn.checks import check_choice
    from fastrnn.cli.machine import warm_up
    from fastrnn.training import TrainingOptions

    check_choice("dtype", dtype, ("float32", "float64", "both"))
    check_choice("nonlinearity", nonlinearity, ("tanh", "relu", "both"))
    optimizers = [TrainingOptions(optimizer=name).optimizer for name in optimizer or ("adam",)]
    warm_up(
        Screen(as_json=json),
        ("float32", "float64") if dtype == "both" else (dtype,),
        ("tanh", "relu") if nonlinearity == "both" else (nonlinearity,),
        optimizers,
    )


@app.command(epilog="Example: fastrnn info --json")
def info(json: Json = False) -> None:
    """Show versions, CPU, threads, the kernel cache, and what one core reaches."""
    from fastrnn.cli.machine import show_info

    show_info(Screen(as_json=json))
