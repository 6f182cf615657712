"""The drivers of `fastrnn.kernels.layer` compiled for one cell."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from fastrnn.cells import Cell
from fastrnn.kernels import (
    inputs,
    jit,
    language_model,
    layer,
    mlp,
    own_states,
    phrases,
    pointwise,
    primitives,
    rows,
    sampling,
    sentence,
    sequences,
    states,
    steps,
    stream,
)
from fastrnn.kernels import (
    ragged as ragged_kernels,
)
from fastrnn.kernels.activations import ACTIVATIONS
from fastrnn.optimizers import Optimizer
from fastrnn.simd.tile import gates_together


class Drivers(NamedTuple):
    """What runs one layer of one cell."""

    #: For Python to call, cached on disk.
    forward: Any
    backward: Any
    #: The same and their parts for other drivers to call.
    pack_forward: Any
    run_forward: Any
    run_backward: Any


def cell_names(cell: Cell) -> dict[str, Any]:
    """The numbers by which drivers know a cell."""
    return {
        "GATES": len(cell.gates),
        "TOGETHER": gates_together(1 if cell.late else len(cell.gates)),
        "LATE": len(cell.late),
        "EARLY": len(cell.gates) - len(cell.late) if cell.late else 0,
        "LAST": len(cell.late or cell.gates),
        "EARLY_KEPT": len(cell.early_kept),
        "STATES": len(cell.states),
        "OTHERS": len(cell.states) - 1,
        "SAVED": len(cell.saved),
        "APART": len(cell.apart),
        "UNITS": len(cell.weights),
        "H_CARRIED": cell.h_carried,
        "RECURRENT": cell.recurrent,
    }


def equations(cell: Cell) -> tuple[Any, ...]:
    """What drivers of a cell are compiled from."""
    functions = (cell.forward, cell.backward, cell.early, cell.early_backward)
    return *functions, tuple(cell_names(cell).items())


def drivers(cell: Cell, *, ragged: bool = False) -> Drivers:
    """Bind the drivers to a cell; nothing is compiled before it is called.

    Those of `ragged` sequences, of their own lengths, are compiled apart: looking for lengths takes
    5 % of the time of an LSTM of 32 units at batch 1.
    """
    return _bound_drivers(cell, ragged)  # one entry of its cache, however this is called


@functools.cache
def _bound_drivers(cell: Cell, ragged: bool) -> Drivers:
    names = {**cell_names(cell), "RAGGED": ragged}
    made_from = (*equations(cell), ragged)
    if cell.early and cell.early_backward:
        names["early_forward"] = jit.bind(
            primitives.early_forward, early=jit.bind(cell.early), **names
        )
        names["late_backward"] = jit.bind(
            primitives.late_backward, early_back=jit.bind(cell.early_backward), **names
        )
    step = jit.bind(cell.forward)
    for name, paired in (("run_units", False), ("run_pair", True)):
        names[name] = jit.bind(pointwise.run_vector, inline=True, step=step, PAIRED=paired, **names)
    names["run_rows"] = jit.bind(pointwise.run_rows, inline=True, **names)
    names["hold"] = jit.bind(ragged_kernels.hold, inline=True, **names)
    names["leave_out"] = jit.bind(ragged_kernels.leave_out, **names)
    names["scan_forward"] = jit.bind(primitives.scan_forward, step=step, **names)
    names["scan_own"] = jit.bind(own_states.scan_own, **names)
    names["scan_row"] = jit.bind(primitives.scan_row, **names)
    names["scan_backward"] = jit.bind(
        primitives.scan_backward, step=jit.bind(cell.backward), **names
    )
    names["stripes_of"] = jit.bind(ragged_kernels.stripes_of, **names)
    names["input_parts"] = jit.bind(inputs.input_parts, **names)
    names["set_zero"] = jit.bind(layer.set_zero)
    names["put_copy"] = jit.bind(layer.put_copy)
    names["at_rest"] = jit.bind(states.at_rest, **names)
    names["begin_states"] = jit.bind(states.begin_states, **names)
    names["end_states"] = jit.bind(states.end_states, **names)
    parts = {
        "pack_forward": jit.bind(layer.pack_forward, **names),
        "run_forward": jit.bind(layer.run_forward, **names),
        "run_backward": jit.bind(layer.run_backward, **names),
    }
    return Drivers(
        forward=jit.entry(layer.forward, *made_from, **names, **parts),
        backward=jit.entry(layer.backward, *made_from, **names, **parts),
        **parts,
    )


class StreamDrivers(NamedTuple):
    """What runs a stream of one cell: for Python to call, and for the compiled code of users."""

    pack: Any
    run: Any
    kernel: Any


@functools.cache
def stream_drivers(cell: Cell) -> StreamDrivers:
    """Bind the stream's drivers to a cell."""
    of_layer = drivers(cell)
    names = {**cell_names(cell), "run_forward": of_layer.run_forward}
    made_from = equations(cell)
    return StreamDrivers(
        pack=jit.entry(layer.pack_forward, *made_from, **cell_names(cell)),
        run=jit.entry(stream.run_stream, *made_from, **names),
        kernel=jit.bind(stream.run_stream, **names),
    )


class ModelDrivers(NamedTuple):
    """What runs a language model of one cell, for Python to call."""

    train_steps: Any
    evaluate: Any
    generate: Any


@functools.cache
def _update(optimizer: Optimizer) -> Any:
    return jit.bind(
        primitives.update,
        rule=jit.bind(optimizer.rule),
        SLOTS=optimizer.slots,
        RESTS_AT_ZERO=optimizer.rests_at_zero,
    )


@functools.cache
def model_drivers(cell: Cell, optimizer: Optimizer) -> ModelDrivers:
    """Bind the language model's drivers to a cell and an optimiser."""
    of_layer = drivers(cell)
    names = {
        **cell_names(cell),
        "pack_forward": of_layer.pack_forward,
        "run_forward": of_layer.run_forward,
        "run_backward": of_layer.run_backward,
        "update": _update(optimizer),
        "set_zero": jit.bind(layer.set_zero),
    }
    for part in (
        language_model.load_block,
        language_model.embed,
        language_model.embed_backward,
        language_model.forward_layer,
        language_model.run_head,
        language_model.backward_layer,
        language_model.carry_states,
        language_model.reset_states,
        language_model.norm_together,
        sampling.draw,
    ):
        names[part.__name__] = jit.bind(part, **names)
    made_from = equations(cell)
    return ModelDrivers(
        train_steps=jit.entry(
            language_model.train_steps, *made_from, optimizer.rule, optimizer.slots, **names
        ),
        evaluate=jit.entry(language_model.evaluate, *made_from, **names),
        generate=jit.entry(sampling.generate, *made_from, **names),
    )


@functools.cache
def sequence_driver(cell: Cell, optimizer: Optimizer, loss: str) -> Any:
    """Bind `fastrnn.kernels.sequences` to a cell, an optimiser and the name of a loss."""
    of_layer = drivers(cell)
    names = {
        **cell_names(cell),
        "pack_forward": of_layer.pack_forward,
        "run_forward": of_layer.run_forward,
        "run_backward": of_layer.run_backward,
        "update": _update(optimizer),
        # The head of the language model calls its loss by this name.
        "softmax_cross_entropy": getattr(primitives, loss),
    }
    for part in (
        language_model.forward_layer,
        language_model.run_head,
        language_model.backward_layer,
        language_model.reset_states,
        sequences.load_batch,
    ):
        names[part.__name__] = jit.bind(part, **names)
    return jit.entry(
        sequences.train_batches, *equations(cell), optimizer.rule, optimizer.slots, loss, **names
    )


class RowDrivers(NamedTuple):
    """What moves rows of sequences of different lengths, for Python to call."""

    sort: Any
    unsort: Any
    clear: Any
    take: Any


@functools.cache
def row_drivers() -> RowDrivers:
    """Bind the kernels of rows."""
    return RowDrivers(
        sort=jit.entry(rows.sort_rows),
        unsort=jit.entry(rows.unsort_rows),
        clear=jit.entry(rows.clear_padding),
        take=jit.entry(rows.take_rows),
    )


class PhraseDrivers(NamedTuple):
    """What trains on sequences one by one, for Python to call."""

    run: Any
    #: One sequence, and the step after it.
    read: Any
    learn: Any


@functools.cache
def phrase_drivers(cell: Cell) -> PhraseDrivers:
    """Bind `fastrnn.kernels.phrases` to a vanilla cell."""
    names = {
        "advance": jit.bind(primitives.advance, step_forward=jit.bind(cell.forward)),
        "retreat": jit.bind(primitives.retreat, step_backward=jit.bind(cell.backward)),
    }
    parts = {part.__name__: jit.bind(part, **names) for part in (phrases.read, phrases.learn)}
    made_from = equations(cell)
    return PhraseDrivers(
        run=jit.entry(phrases.run_phrases, *made_from, **parts),
        read=jit.entry(phrases.read_columns, *made_from, **parts),
        learn=jit.entry(phrases.learn_columns, *made_from, **parts),
    )


class SentenceDrivers(NamedTuple):
    """What reads one sentence and goes back through it, for Python to call."""

    read: Any
    learn: Any


@functools.cache
def sentence_drivers(cell: Cell) -> SentenceDrivers:
    """Bind `fastrnn.kernels.sentence` to a vanilla cell."""
    of_layer = drivers(cell)
    names = {
        "multiply": jit.bind(sentence.multiply),
        "pack_forward": of_layer.pack_forward,
        "run_forward": of_layer.run_forward,
        "retreat_rows": jit.bind(primitives.retreat_rows, step_backward=jit.bind(cell.backward)),
    }
    made_from = equations(cell)
    return SentenceDrivers(
        read=jit.entry(sentence.read_sentence, *made_from, **names),
        learn=jit.entry(sentence.learn_sentence, *made_from, **names),
    )


class MlpDrivers(NamedTuple):
    """What runs a network of dense layers, for Python to call."""

    train: Any
    run: Any


@functools.cache
def mlp_drivers(optimizer: Optimizer) -> MlpDrivers:
    """Bind `fastrnn.kernels.mlp` to an optimiser."""
    packed = jit.bind(mlp.packed)
    names = {
        "load_block": jit.bind(mlp.load_block),
        "forward": jit.bind(mlp.forward, packed=packed),
        "backward": jit.bind(mlp.backward, packed=packed),
        "update": _update(optimizer),
    }
    return MlpDrivers(
        train=jit.entry(mlp.train, optimizer.rule, optimizer.slots, **names),
        run=jit.entry(mlp.run, **names),
    )


class StepDrivers(NamedTuple):
    """What a step of training does besides the layers, for Python to call."""

    add_embedded: Any
    decay: Any
    descend: Any


@functools.cache
def step_drivers(optimizer: Optimizer) -> StepDrivers:
    """Bind `fastrnn.kernels.steps` to an optimiser."""
    return StepDrivers(
        add_embedded=jit.entry(steps.add_embedded),
        decay=jit.entry(steps.decay_weights),
        descend=jit.entry(
            steps.descend, optimizer.rule, optimizer.slots, update=_update(optimizer)
        ),
    )


@functools.cache
def loss_driver(loss: str, activation: str) -> Any:
    """Bind the weighted loss to the kernel that `loss` names, and to an output activation."""
    row_loss = getattr(primitives, loss)
    if loss == "squared_error":
        forward, backward = (jit.bind(f) for f in ACTIVATIONS[activation])
        row_loss = jit.bind(row_loss, activation=forward, activation_back=backward)
    return jit.entry(steps.weighted_loss, loss, activation, row_loss=row_loss)
