"""How far the kernels are from what the machine can do: each figure beside its limit and its goal.

    python bench/limits.py [NAME ...] [--quick] [--cell rnn,lstm,gru]
                           [--shapes 0 3 | 25,1,65,100 ...] [--out FILE.json]

NAME is one of

    recurrent   the recurrent part alone at batch 64: share of the measured multiply-add peak
    equations   the forward scans' equations alone: nanoseconds a vector of units
    batch1      the same at batch 1: share of the bandwidth of the cache that holds the weights
    streaming   nanoseconds a sample of a stream with a readout; microseconds of one step
    float64     speed of float64 over that of float32, on the rows of `shapes.TABLE`
    threads     speed of two threads over that of one, at batch 64: layers, then training steps of
                language models
    lengths     time of sequences of their own lengths over that of the padded batch
    growth      time for each step as T grows, for each row as N grows
    first       the first training step of a process, kernels never compiled and cached

and all of them if none is given. A result is compared with the naive implementation, or with that
of one thread, before it is timed. The sides of a ratio take turns, the limit being measured anew
by `peak` in every round; of each side a round counts the best of some runs. Shown are medians and
quartiles over the rounds. All but `threads` runs on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import gc
import importlib.util
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import machine
from compare import spread
from startup import run as run_new_process
from table import BUSY

if TYPE_CHECKING:
    from shapes import Array, Problem, Shape

CELLS = ("rnn", "lstm", "gru")
#: The core that the goals of `streaming` were set for, in 10^9 sums and products a second.
GOAL_CORE = 103.0
#: Nanoseconds a sample there, by hidden units of an LSTM, and microseconds of one step of 32.
STREAM_GOALS = {8: 71.0, 16: 121.0, 32: 262.0, 64: 890.0, 96: 1841.0}
STEP_GOAL = 2.0
#: Of each side the best of so many runs counts in a round, each at least so many seconds long, as
#: those of `peak` are: short enough that other processes miss some.
BEST_OF, RUN_SECONDS = 9, 0.003
#: Seconds that the measurement of a limit takes in a round.
LIMIT_SECONDS = 0.03
#: What a core is taken to have where the system does not tell.
CACHES = {"L1": 1 << 15, "L2": 1 << 20, "L3": 1 << 25}

Side = Callable[[], float]
Spread = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure, and what its goal is for."""

    #: What was measured.
    case: dict[str, Any]
    measured: Spread
    unit: str
    #: What the goal bounds, from below or from above, and in which unit.
    judged: Spread
    judged_unit: str
    at_least: float | None = None
    at_most: float | None = None
    #: The limit, or the other side of the ratio.
    beside: dict[str, float] = dataclasses.field(default_factory=dict)
    #: Share of the core that other processes took.
    others_share: float = 0.0
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, None if there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        value = self.judged["median"]
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


def side(call: Callable[[], Any], seconds: float) -> Side:
    """What gives the seconds of one call: the best of some runs, together at most `seconds`.

    At least one; several calls in a row are one run where a call is short.
    """

    def run(number: int) -> float:
        start = time.perf_counter()
        for _ in range(number):
            call()
        return (time.perf_counter() - start) / number

    run(1)
    once = min(run(1) for _ in range(3))
    number = max(1, int(RUN_SECONDS / once))
    runs = max(1, min(BEST_OF, int(seconds / number / once)))
    return lambda: min(run(number) for _ in range(runs))


class Rounds:
    """Figures of some sides, which took turns, and the share of the core that others took."""

    def __init__(self, sides: dict[str, Side], options: argparse.Namespace) -> None:
        self.others_share = float("inf")
        for _ in range(options.tries):
            with Disturbance() as disturbance:
                figures = self._measure(sides, options.rounds)
            if disturbance.share < self.others_share:
                self.others_share, self.figures = disturbance.share, figures
            if self.others_share <= BUSY:
                break

    @staticmethod
    def _measure(sides: dict[str, Side], rounds: int) -> dict[str, list[float]]:
        figures: dict[str, list[float]] = {name: [] for name in sides}
        names = list(sides)
        gc.collect()
        gc.disable()
        try:
            for turn in range(rounds):
                first = turn % len(names)
                for name in names[first:] + names[:first]:
                    figures[name].append(sides[name]())
        finally:
            gc.enable()
        return figures

    def spread(self, of: Callable[..., float], *names: str) -> Spread:
        """Median and quartiles of a function of the sides `names`, taken within each round."""
        columns = (self.figures[name] for name in names)
        return spread([of(*values) for values in zip(*columns, strict=True)])

    def median(self, name: str) -> float:
        """The median of one side."""
        return spread(self.figures[name])["median"]


class Disturbance:
    """The share of this process's cores that others take meanwhile."""

    def __enter__(self) -> Disturbance:
        self.share = 0.0
        self._start, self._own, self._busy = self._now()
        return self

    def __exit__(self, *error: object) -> None:
        start, own, busy = self._now()
        if busy is None or self._busy is None:
            return
        available = (start - self._start) * max(1, len(machine.cores()))
        self.share = max(0.0, (busy - self._busy) - (own - self._own)) / available

    @staticmethod
    def _now() -> tuple[float, float, float | None]:
        return time.perf_counter(), sum(os.times()[:4]), machine.busy_seconds()


def agree(got: Mapping[str, Array], true: Mapping[str, Array], what: str) -> None:
    """Compare with the truth, as `compare` does.

    Raises
    ------
    SystemExit
        If it is wrong.
    """
    from shapes import AGREEMENT, error_in_eps

    error, where = error_in_eps(got, true)
    if not error <= AGREEMENT:
        raise SystemExit(f"wrong by {error:.0f} eps in {where} ({what})")


def make_layer(problem: Problem, threads: int = 1) -> Any:
    """A layer with the problem's parameters."""
    import fastrnn

    kind = getattr(fastrnn, problem.cell.upper())
    shape = problem.shape
    layer = kind(shape.inputs, shape.hidden, dtype=problem.dtype, threads=threads)
    layer.load_state_dict(problem.params)
    return layer


def calls_of(
    layer: Any, problem: Problem, lengths: Any = None
) -> dict[str, Callable[[], dict[str, Array]]]:
    """Inference and training, which return their results by name."""
    x, ones = problem.x, problem.ones

    def train() -> dict[str, Array]:
        output, _, tape = layer.forward(x, lengths=lengths)
        return {
            "output": output,
            **layer.backward(tape, ones, wants_x=False, wants_state=False).params,
        }

    return {"infer": lambda: {"output": layer(x, lengths=lengths)[0]}, "train": train}


def recurrent(options: argparse.Namespace) -> Iterator[Row]:
    """Scans of several rows, which multiply-adds bound."""
    from alone import Scans
    from peak import fma_gflops

    limit = functools.partial(fma_gflops, "float32", LIMIT_SECONDS)
    for cell, hidden in itertools.product(options.cell, (256,) if options.quick else SIZES):
        scans = Scans(cell, 24, 64, hidden, keep=True)
        agree(*scans.check(), f"recurrent, {cell}, {hidden}")
        for mode, call, flops in (
            ("forward", scans.forward, scans.forward_flops),
            ("backward", scans.backward, scans.backward_flops),
        ):
            sides: dict[str, Side] = {"seconds": side(call, options.seconds), "peak": limit}
            found = Rounds(sides, options)
            speed = functools.partial(_speed, flops)
            yield Row(
                {"cell": cell, "hidden": hidden, "mode": mode},
                found.spread(speed, "seconds"), "GF/s",
                found.spread(lambda s, peak, speed=speed: speed(s) / peak, "seconds", "peak"),
                "of peak", at_least=0.85,
                beside={"peak": found.median("peak")}, others_share=found.others_share,
            )  # fmt: skip


#: Hidden units of the larger measurements.
SIZES = (256, 512, 1024)


def _speed(number: int, seconds: float) -> float:
    return number / seconds / 1e9


def equations(options: argparse.Namespace) -> Iterator[Row]:
    """What scans do besides products, where nothing of it leaves the second-level cache."""
    from alone import Scans

    from fastrnn.simd.cpu import lanes

    for cell, (batch, hidden) in itertools.product(options.cell, ((1, 32), (16, 64), (32, 128))):
        scans = Scans(cell, 128, batch, hidden, keep=False)
        agree(*scans.check(), f"equations, {cell}, {batch}, {hidden}")
        vectors = 128 * batch * -(-hidden // lanes("float32"))
        found = Rounds({"seconds": side(scans.equations, options.seconds)}, options)
        each = found.spread(lambda s, count=vectors: s / count * 1e9, "seconds")
        yield Row(
            {"cell": cell, "N": batch, "hidden": hidden}, each, "ns a vector", each, "ns",
            others_share=found.others_share,
        )  # fmt: skip


def batch1(options: argparse.Namespace) -> Iterator[Row]:
    """Scans of one row, which reading the weights bounds."""
    from alone import Scans
    from peak import load_gbytes

    sizes = (128, 1024) if options.quick else (128, *SIZES)
    for cell, hidden, steps in itertools.product(options.cell, sizes, (512, 50)):
        scans = Scans(cell, steps, 1, hidden, keep=False)
        unpacked = bool(scans.plan.layer.scan.unpacked)
        if steps == 50 and not unpacked:
            continue  # the same kernel as with more steps
        agree(*scans.check(), f"batch1, {cell}, {hidden}, {steps}")
        level = holder(scans.weight_bytes, caches())
        limit = functools.partial(load_gbytes, level, LIMIT_SECONDS)
        sides: dict[str, Side] = {"seconds": side(scans.forward, options.seconds), level: limit}
        found = Rounds(sides, options)
        speed = functools.partial(_speed, (steps - 1) * scans.weight_bytes)
        yield Row(
            {"cell": cell, "hidden": hidden, "T": steps},
            found.spread(speed, "seconds"), "GB/s",
            found.spread(lambda s, load, speed=speed: speed(s) / load, "seconds", level),
            f"of {level}", at_least=0.8,
            beside={level: found.median(level)}, others_share=found.others_share,
            note=f"{scans.weight_bytes >> 10} KB, {'as they are' if unpacked else 'packed'}",
        )  # fmt: skip


def holder(size: int, caches: Mapping[str, int]) -> str:
    """The smallest cache of which so many bytes leave something for the rest, or "memory"."""
    for level, bytes_ in caches.items():
        if size < bytes_:
            return level
    return "memory"


def bytes_of(caches: Mapping[str, str]) -> dict[str, int]:
    """Bytes of caches as the system tells them: "512K"."""
    units = {"K": 1 << 10, "M": 1 << 20}
    return {level: int(text[:-1]) * units[text[-1]] for level, text in caches.items()}


def caches() -> dict[str, int]:
    """Bytes of the data caches of one core."""
    sizes = bytes_of(machine.describe()["caches"])
    return sizes if set(sizes) == set(CACHES) else CACHES


def streaming(options: argparse.Namespace) -> Iterator[Row]:
    """Streams of one input, with a linear output of one number."""
    import numpy as np
    from peak import fma_gflops
    from shapes import Shape, case

    samples = 2000
    limit = functools.partial(fma_gflops, "float32", LIMIT_SECONDS)
    sizes = (8, 32) if options.quick else tuple(STREAM_GOALS)
    wanted = [cell for cell in ("lstm", "gru") if cell in options.cell]
    for cell, hidden in itertools.product(wanted, sizes):
        problem, true = case(cell, Shape(samples, 1, 1, hidden), "float32", "tanh", "infer")
        generator = np.random.default_rng(1)
        weight = (generator.standard_normal((1, hidden)) / hidden**0.5).astype(np.float32)
        bias = generator.standard_normal(1).astype(np.float32)
        expected = {"output": true["output"] @ weight.T.astype(np.float64) + bias}
        stream = make_layer(problem).stream(readout=(weight, bias))
        out = np.empty((samples, 1, 1), np.float32)
        block = functools.partial(stream.block, problem.x, out)
        block()
        agree({"output": out}, expected, f"stream, {cell}, {hidden}")
        sides: dict[str, Side] = {"seconds": side(block, options.seconds), "peak": limit}
        found = Rounds(sides, options)
        goal = STREAM_GOALS[hidden] if cell == "lstm" else None
        beside = {"peak": found.median("peak")}
        if goal:
            beside["goal here, ns"] = goal * GOAL_CORE / beside["peak"]
        yield Row(
            {"cell": cell, "hidden": hidden},
            found.spread(lambda s: s / samples * 1e9, "seconds"), "ns",
            found.spread(lambda s, peak: s / samples * 1e9 * peak / GOAL_CORE, "seconds", "peak"),
            f"ns at {GOAL_CORE:.0f} GF/s", at_most=goal,
            beside=beside, others_share=found.others_share,
        )  # fmt: skip
        if hidden == 32:
            x, one = problem.x[0], out[0]
            stream.reset()
            for step, value in zip(problem.x, expected["output"], strict=True):
                stream.step(step, one)
                agree({"output": one}, {"output": value}, f"step, {cell}, {hidden}")
            found = Rounds(
                {"step": side(functools.partial(stream.step, x, one), options.seconds)}, options
            )
            each = found.spread(lambda s: s * 1e6, "step")
            yield Row(
                {"cell": cell, "hidden": hidden, "call": "step"}, each, "us a step", each, "us",
                at_most=STEP_GOAL, others_share=found.others_share,
            )  # fmt: skip


def float64(options: argparse.Namespace) -> Iterator[Row]:
    """Speed of float64 as a fraction of that of float32."""
    from shapes import case

    for cell, shape in itertools.product(options.cell, chosen_shapes(options)):
        calls: dict[str, dict[str, Callable[[], Any]]] = {}
        for dtype in ("float32", "float64"):
            problem, true = case(cell, shape, dtype, "tanh", "train")
            calls[dtype] = calls_of(make_layer(problem), problem)
            what = f"{cell}, {shape}, {dtype}"
            agree(calls[dtype]["train"](), true, what)
            agree(calls[dtype]["infer"](), {"output": true["output"]}, what)
        for mode in ("infer", "train"):
            sides = {dtype: side(calls[dtype][mode], options.seconds) for dtype in calls}
            found = Rounds(sides, options)
            yield Row(
                {"cell": cell, "shape": str(shape), "mode": mode},
                found.spread(lambda s: s * 1e6, "float64"), "us",
                found.spread(lambda single, double: single / double, "float32", "float64"),
                "of float32", at_least=0.45,
                beside={"float32, us": found.median("float32") * 1e6},
                others_share=found.others_share,
            )  # fmt: skip


def chosen_shapes(options: argparse.Namespace) -> list[Shape]:
    """The shapes that were asked for, or those of the table."""
    from shapes import TABLE, Shape

    if not options.shapes:
        return [TABLE[i] for i in (0, 2, 6, 7)] if options.quick else list(TABLE)
    return [TABLE[size[0]] if len(size) == 1 else Shape(*size) for size in options.shapes]


def threads(options: argparse.Namespace) -> Iterator[Row]:
    """Speed of two threads over that of one."""
    import numpy as np
    from shapes import Shape, make_problem

    import fastrnn

    count = fastrnn.get_threads()
    one_core = machine.cores()
    if len(options.cores) < 2:
        raise SkippedError("this process may use only one core")
    use_cores(options.cores)
    fastrnn.set_threads(2)
    try:
        for cell, hidden in itertools.product(options.cell, (256,) if options.quick else SIZES):
            problem = make_problem(cell, Shape(25 if hidden == 1024 else 50, 64, hidden, hidden))
            calls = {n: calls_of(make_layer(problem, n), problem) for n in (1, 2)}
            for mode in ("infer", "train"):
                alone, shared = (calls[n][mode]() for n in (1, 2))
                for name, value in alone.items():
                    if not np.array_equal(value, shared[name]):
                        raise SystemExit(f"two threads give another {name} ({cell}, {hidden})")
                sides = {str(n): side(calls[n][mode], options.seconds) for n in calls}
                found = Rounds(sides, options)
                yield Row(
                    {"cell": cell, "hidden": hidden, "mode": mode},
                    found.spread(lambda s: s * 1e6, "2"), "us",
                    found.spread(lambda one, two: one / two, "1", "2"),
                    "times one thread", at_least=1.8,
                    beside={"one thread, us": found.median("1") * 1e6},
                    others_share=found.others_share,
                )  # fmt: skip
        yield from _threads_of_models(options)
    finally:
        fastrnn.set_threads(count)
        use_cores(one_core)


#: Layers and hidden units of language models, by cell, and rows and steps of what they train on.
MODELS = (("rnn", 1, 256), ("lstm", 1, 256), ("lstm", 2, 128))
MODEL_ROWS, MODEL_STEPS, MODEL_WORDS = 64, 50, 65


def _threads_of_models(options: argparse.Namespace) -> Iterator[Row]:
    """The same of a language model's whole training step."""
    import numpy as np

    import fastrnn
    from fastrnn.data import parallel_streams
    from fastrnn.training import History, Trainer, TrainingOptions

    tokens = np.random.default_rng(0).integers(0, MODEL_WORDS, 100 * MODEL_ROWS * MODEL_STEPS)
    streams = parallel_streams(tokens, MODEL_ROWS, MODEL_STEPS)
    how = TrainingOptions(MODEL_STEPS, MODEL_ROWS, "adam", 1e-4, clip_norm=5.0)

    def trainer(cell: str, layers: int, hidden: int) -> Trainer:
        model = fastrnn.LanguageModel(hidden, layers, cell=cell, vocabulary=MODEL_WORDS, seed=0)
        return Trainer(
            model.equations, model._parameters, layers, hidden, MODEL_WORDS, how, streams,
            1, History(),
        )  # fmt: skip

    def run(trainer: Trainer, count: int) -> None:
        fastrnn.set_threads(count)
        trainer.run(1)

    for cell, layers, hidden in MODELS:
        if cell not in options.cell:
            continue
        trainers = {count: trainer(cell, layers, hidden) for count in (1, 2)}
        for count, one in trainers.items():
            run(one, count)
        if not np.array_equal(*(one.parameters.flat for one in trainers.values())):
            raise SystemExit(f"two threads train otherwise ({cell}, {layers} x {hidden})")
        sides = {
            str(count): side(functools.partial(run, one, count), options.seconds)
            for count, one in trainers.items()
        }
        found = Rounds(sides, options)
        yield Row(
            {"cell": cell, "hidden": f"{layers} x {hidden}", "mode": "language model"},
            found.spread(lambda s: s * 1e6, "2"), "us",
            found.spread(lambda one, two: one / two, "1", "2"),
            "times one thread",
            beside={"one thread, us": found.median("1") * 1e6},
            others_share=found.others_share,
        )  # fmt: skip


def use_cores(cores: Iterable[int]) -> None:
    """Let this process use these cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def lengths(options: argparse.Namespace) -> Iterator[Row]:
    """Time of 32 sequences of their own lengths over that of the padded batch."""
    import numpy as np
    from shapes import Shape, make_problem

    # Steps, and the fewest of a sequence: lengths are drawn evenly between.
    spans = [(100, 1), (100, 80)] if options.quick else [(100, 1), (100, 80), (500, 1), (500, 469)]
    for cell, hidden, (steps, least) in itertools.product(options.cell, (32, 128), spans):
        problem = make_problem(cell, Shape(steps, 32, hidden, hidden))
        layer = make_layer(problem)
        drawn = np.random.default_rng(0).integers(least, steps + 1, 32)
        drawn[0] = steps
        padded, own = calls_of(layer, problem), calls_of(layer, problem, drawn)
        inside = (np.arange(steps)[:, None] < drawn)[:, :, None]
        true = {"output": padded["infer"]()["output"] * inside}
        agree(own["infer"](), true, f"lengths, {cell}, {hidden}")
        for mode in ("infer", "train"):
            calls = {"padded": padded[mode], "own": own[mode]}
            sides = {name: side(call, options.seconds) for name, call in calls.items()}
            found = Rounds(sides, options)
            yield Row(
                {"cell": cell, "hidden": hidden, "T": steps, "from": least, "mode": mode},
                found.spread(lambda s: s * 1e6, "own"), "us",
                found.spread(lambda own, padded: own / padded, "own", "padded"),
                "of the padded", at_most=1.0,
                beside={"steps inside": float(inside.mean())},
                others_share=found.others_share,
            )  # fmt: skip


def beside(options: argparse.Namespace) -> Iterator[Row]:
    """Inference of one sequence over that with its whole input product before the scan.

    There panels are as the plan has them then, narrow ones of 16 to 192 KB of recurrent weights.
    """
    from shapes import Shape, make_problem

    from fastrnn import plan, recurrence
    from fastrnn.simd import cpu

    def built(problem: Problem, wanted: bool) -> tuple[Any, bool]:
        """A layer that has run once, and keeps how; whether its scan makes input parts."""
        was, cpu.BESIDE = cpu.BESIDE, wanted
        plan.plan_layer.cache_clear()
        recurrence.prepared.cache_clear()
        try:
            layer = make_layer(problem)
            layer(problem.x)
            plan_of_first = layer.plan(*problem.x.shape[:2]).parts[0].plan
        finally:
            cpu.BESIDE = was
        return layer, bool(plan_of_first.layer.beside.address)

    sizes = [(100, 128, 128), (100, 256, 256), (50, 512, 512), (100, 512, 128), (25, 65, 100)]
    for cell, (steps, inputs, hidden) in itertools.product(options.cell, sizes):
        problem = make_problem(cell, Shape(steps, 1, inputs, hidden))
        layers = {"before": built(problem, False)[0]}
        layers["beside"], makes = built(problem, True)
        if not makes:
            continue
        calls = {name: calls_of(layer, problem)["infer"] for name, layer in layers.items()}
        agree(calls["beside"](), calls["before"](), f"beside, {cell}, {hidden}")
        found = Rounds({n: side(call, options.seconds) for n, call in calls.items()}, options)
        yield Row(
            {"cell": cell, "T": steps, "inputs": inputs, "hidden": hidden},
            found.spread(lambda s: s * 1e6, "beside"), "us",
            found.spread(lambda beside, before: beside / before, "beside", "before"),
            "of the time before", others_share=found.others_share,
        )  # fmt: skip


class SkippedError(Exception):
    """Why a measurement cannot be made here."""


def growth(options: argparse.Namespace) -> Iterator[Row]:
    """Time for each step as T grows, and for each row as N grows."""
    for cell in (cell for cell in ("rnn", "lstm") if cell in options.cell):
        yield from _growth_of_time(cell, options)
    for cell in (cell for cell in ("rnn", "lstm") if cell in options.cell):
        yield from _growth_of_batch(cell, options)


def _growth_of_time(cell: str, options: argparse.Namespace) -> Iterator[Row]:
    """Inference at batch 1, 32 units. That of T = 10^4 is the measure of the longer ones.

    What a new page of the output costs is measured apart: the system gives long outputs fresh
    memory, and takes it back, in every call.
    """
    import numpy as np
    from shapes import Shape, make_problem, naive

    lengths = [10**i for i in range(1, 6 if options.quick else 7)]
    hidden, unit = 32, 10_000
    problem = make_problem(cell, Shape(lengths[-1], 1, hidden, hidden))
    layer = make_layer(problem)
    x = problem.x
    output, state = layer(x[:unit])
    exact = dataclasses.replace(
        problem,
        x=x[:unit].astype(np.float64),
        params={name: value.astype(np.float64) for name, value in problem.params.items()},
    )
    agree({"output": output}, {"output": naive(exact)[0]}, f"growth, {cell}")
    pieces = [output]
    for start in range(unit, lengths[-1], unit):
        output, state = layer(x[start : start + unit], state)
        pieces.append(output)
    true = {"output": np.concatenate(pieces).astype(np.float64)}
    agree({"output": layer(x)[0]}, true, f"growth, {cell}, in one call and in pieces")
    del pieces, true, output

    sides: dict[str, Side] = {}
    for length in lengths:
        sides[str(length)] = side(functools.partial(layer, x[:length]), options.seconds)
        touch = functools.partial(_touch_new, (length + 1) * hidden)
        sides[f"pages {length}"] = side(touch, options.seconds / 4)
    found = Rounds(sides, options)
    for length in lengths:
        each = found.spread(lambda s, length=length: s / length * 1e9, str(length))
        case = {"cell": cell, "T": length}
        if length < 1000:
            over = found.spread(
                lambda s, long, length=length: (s - long * length / unit) * 1e6,
                str(length),
                str(unit),
            )
            row = Row(case, each, "ns a step", over, "us a call")
            note = "what a call takes besides its steps"
        else:
            over = found.spread(
                lambda s, long, length=length: s / length / (long / unit), str(length), str(unit)
            )
            row = Row(case, each, "ns a step", over, "of T = 10^4", at_least=0.9, at_most=1.1)
            pages = found.median(f"pages {length}") / length * 1e9
            call = (found.median("10") - 10 * found.median(str(unit)) / unit) / length * 1e9
            note = f"of that, in ns: the call {call:.2g}, new pages of the output {pages:.2g}"
        yield dataclasses.replace(row, others_share=found.others_share, note=note)


def _touch_new(size: int) -> None:
    """Take memory for so many numbers and touch its pages."""
    import numpy as np

    np.empty(size, np.float32)[::1024] = 0


def _growth_of_batch(cell: str, options: argparse.Namespace) -> Iterator[Row]:
    """Inference of 20 steps, 128 units; the fastest N is the measure of all."""
    from shapes import Shape, case

    from fastrnn.plan import plan_layer

    steps, hidden = 20, 128
    batches = [4**i for i in range(2, 6 if options.quick else 7)]
    sides: dict[str, Side] = {}
    sizes: dict[int, int] = {}
    for batch in batches:
        problem, true = case(cell, Shape(steps, batch, hidden, hidden), "float32", "tanh", "infer")
        layer = make_layer(problem)
        agree({"output": layer(problem.x)[0]}, true, f"growth, {cell}, N = {batch}")
        sides[str(batch)] = side(functools.partial(layer, problem.x), options.seconds)
        touch = functools.partial(_touch_new, (steps + 1) * batch * hidden)
        sides[f"pages {batch}"] = side(touch, options.seconds / 4)
        plan = plan_layer(layer.cell, layer.dtype, steps, batch, hidden, hidden, threads=1).layer
        sizes[batch] = plan.block * batch * len(layer.cell.gates) * hidden * layer.dtype.itemsize
    found = Rounds(sides, options)
    best = min(batches, key=lambda batch: found.median(str(batch)) / batch)
    for batch in batches:
        pages = found.median(f"pages {batch}") / batch / steps * 1e9
        yield Row(
            {"cell": cell, "N": batch},
            found.spread(lambda s, batch=batch: s / batch / steps * 1e9, str(batch)),
            "ns a row",
            found.spread(
                lambda s, b, batch=batch: s / batch / (b / best), str(batch), str(best)
            ),
            f"of N = {best}", at_most=1.1, others_share=found.others_share,
            note=f"of that new pages of the output {pages:.2g} ns; "
            f"input parts of a block, if not made in the scan, {sizes[batch] >> 10} KB, "
            f"L2 {caches()['L2'] >> 10} KB",
        )  # fmt: skip


FIRST = """
import json, time
import numpy as np, fastrnn, numba
x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
start = time.perf_counter()
layer = fastrnn.LSTM(3, 5, seed=0)
output, _, tape = layer.forward(x)
grads = layer.backward(tape, np.ones_like(output)).params
seconds = time.perf_counter() - start
from fastrnn import reference
expected, _, cache = reference.lstm_forward(x, None, layer.params)
true = reference.lstm_backward(cache, np.ones_like(output), None)[2]
np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)
for name in true:
    np.testing.assert_allclose(grads[name], true[name], rtol=0, atol=1e-4)
print(json.dumps({"seconds": seconds}))
"""


def first(options: argparse.Namespace) -> Iterator[Row]:
    """The first training step of an LSTM in new processes, after numba's import."""
    scipy = "" if importlib.util.find_spec("scipy") is None else "SciPy is there: numba imports it"
    cold: list[float] = []
    with Disturbance() as disturbance:
        for _ in range(1 if options.quick else 3):
            with tempfile.TemporaryDirectory() as empty:
                cold.append(run_new_process(FIRST, empty)["seconds"])
    yield Row(
        {"cell": "lstm", "kernels": "never compiled"}, spread(cold), "s", spread(cold), "s",
        at_most=20, others_share=disturbance.share, note=scipy,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as cache:
        run_new_process(FIRST, cache)
        with Disturbance() as disturbance:
            warm = [run_new_process(FIRST, cache)["seconds"] for _ in range(options.rounds)]
    yield Row(
        {"cell": "lstm", "kernels": "cached"}, spread(warm), "s", spread(warm), "s",
        at_most=0.3, others_share=disturbance.share, note=scipy,
    )  # fmt: skip


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    function.__name__: function
    for function in (
        recurrent,
        equations,
        batch1,
        beside,
        streaming,
        float64,
        threads,
        lengths,
        growth,
        first,
    )
}


def print_row(row: Row) -> None:
    """One line of the table."""

    def shown(value: float) -> str:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

    def with_spread(s: Spread) -> str:
        return f"{shown(s['median'])} ({shown(s['q1'])}-{shown(s['q3'])})"

    case = ", ".join(
        value if isinstance(value, str) else f"{name} {value:,}" for name, value in row.case.items()
    )
    goals = [f">= {shown(row.at_least)}"] if row.at_least is not None else []
    goals += [f"<= {shown(row.at_most)}"] if row.at_most is not None else []
    verdict = {None: "", True: "met", False: "SHORT"}[row.met]
    busy = f"busy {row.others_share:.0%}" if row.others_share > BUSY else ""
    notes = [f"{name} {shown(value)}" for name, value in row.beside.items()] + [row.note, busy]
    print(
        f"{case:28} {with_spread(row.measured):26} {row.unit:9} "
        f"{with_spread(row.judged):20} {row.judged_unit:16} {', '.join(goals):14} {verdict:6}"
        f"{'; '.join(note for note in notes if note)}",
        flush=True,
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the list above; default all")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--cell", default=",".join(CELLS), metavar="CELL,...", help="default all")
    parser.add_argument(
        "--shapes",
        nargs="+",
        metavar="ROW|T,N,I,H",
        help="of float64: rows of shapes.TABLE by number, from 0, or sizes; all if not given",
    )
    parser.add_argument("--rounds", type=int, help="default 9, quick 5")
    parser.add_argument(
        "--seconds",
        type=float,
        default=0.1,
        help="of each side in a round, at most, if its call is short",
    )
    parser.add_argument("--tries", type=int, help="to measure undisturbed; default 3, quick 1")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (5 if options.quick else 9)
    options.tries = options.tries or (1 if options.quick else 3)
    cells = options.cell.split(",")
    for what, chosen, known in (("NAME", options.names, MEASUREMENTS), ("--cell", cells, CELLS)):
        if unknown := set(chosen) - set(known):
            parser.error(f"{what} must be of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    options.names = [name for name in MEASUREMENTS if name in options.names or not options.names]
    options.cell = [cell for cell in CELLS if cell in cells]
    try:
        options.shapes = [[int(n) for n in text.split(",")] for text in options.shapes or []]
    except ValueError:
        parser.error("--shapes must be integers")
    if any(not (len(s) == 4 or (len(s) == 1 and 0 <= s[0] < 11)) for s in options.shapes):
        parser.error("--shapes must each be a row number, 0 to 10, or four sizes T,N,I,H")
    if min(options.rounds, options.tries) < 1 or options.seconds <= 0:
        parser.error("--rounds and --tries must be at least 1, --seconds positive")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for; see the module's text."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    options.cores = machine.cores()
    machine.pin(1)
    # From here on: these import NumPy, which must find its threads limited.
    import peak

    measured, described = peak.measure(), machine.describe()
    print(f"{described['cpu']} ({described['llvm_cpu']})", end=", ")
    print(f"peak {measured['fma_gflops']} GF/s, reads in GB/s: {measured['load_gbytes']}")
    rows: list[tuple[str, Row]] = []
    skipped = {}
    for name in options.names:
        print(f"\n{name}: {str(MEASUREMENTS[name].__doc__).splitlines()[0]}")
        try:
            for row in MEASUREMENTS[name](options):
                rows.append((name, row))
                print_row(row)
        except SkippedError as reason:
            skipped[name] = str(reason)
            print(f"skipped: {reason}")
    goals = [row.met for _, row in rows if row.met is not None]
    print(f"\n{sum(goals)} of {len(goals)} goals met")
    if options.out:
        result = {
            "kind": "limits",
            "machine": described,
            "versions": machine.versions(),
            "peak": peak.best(measured, peak.measure()),
            "rounds": options.rounds,
            "skipped": skipped,
            "rows": [
                {"measurement": name, **dataclasses.asdict(row), "met": row.met}
                for name, row in rows
            ],
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
