"""The contenders: one small class each, all made to do the same work on the same numbers.

infer: the whole layer, biases, default state, all outputs. train: the same, and the gradients of
all parameters for a gradient of ones at every output. Every contender is written as its own users
would write it for speed; what was tried and lost is noted where it stands.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from shapes import GATES, Array, Problem, naive

#: Gates of PyTorch's order (LSTM: i, f, g, o; GRU: r, z, n) in that of ONNX (i, o, f, c; z, r, h).
ONNX_GATES = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
#: The arrays of a cell's final state.
STATES = {"rnn": ("h",), "lstm": ("h", "c"), "gru": ("h",)}


class Calls(NamedTuple):
    """What is timed; everything else was done before."""

    #: Returns the output.
    infer: Callable[[], Any]
    #: Returns the output and the gradients by name. None if the contender cannot train.
    train: Callable[[], tuple[Any, Mapping[str, Any]]] | None
    #: An array of the contender's own layout as PyTorch lays it out, by its name; for the check.
    laid_out: Callable[[str, Any], Any] = lambda name, array: array


class AbsentError(Exception):
    """The contender is not installed, or does not know this precision."""


class Contender(Protocol):
    """One implementation."""

    name: str

    @property
    def version(self) -> str: ...

    def prepare(self, problem: Problem, threads: int) -> Calls:
        """Build the layer with the problem's parameters.

        Raises
        ------
        AbsentError
            With the reason.
        """


class Naive:
    """`fastrnn.reference`: plain NumPy, one time step after the other."""

    name = "naive"

    @property
    def version(self) -> str:
        return f"numpy {np.__version__}"

    def prepare(self, problem: Problem, threads: int) -> Calls:
        ones = problem.ones
        return Calls(lambda: naive(problem)[0], lambda: naive(problem, ones))


class Fastrnn:
    """The package itself, through its public door."""

    name = "fastrnn"

    @property
    def version(self) -> str:
        import fastrnn

        return str(fastrnn.__version__)

    def prepare(self, problem: Problem, threads: int) -> Calls:
        import fastrnn

        shape = problem.shape
        fastrnn.set_threads(threads)
        kind = getattr(fastrnn, problem.cell.upper())
        layer = kind(shape.inputs, shape.hidden, dtype=problem.dtype, **problem.options)
        layer.load_state_dict(problem.params)
        x, ones = problem.x, problem.ones

        def train() -> tuple[Any, Mapping[str, Any]]:
            output, _, tape = layer.forward(x)
            return output, layer.backward(
                tape, d_output=ones, wants_x=False, wants_state=False
            ).params

        return Calls(lambda: layer(x)[0], train)


class Torch:
    """``torch.nn``, eager, with oneDNN as it is by default: it runs the LSTM in float32 whole.

    Without it the LSTM takes up to 7 times as long, most in training at batch 1; ``eval()`` changes
    nothing, nor does ``torch.autograd.grad`` (AMD Zen 4, PyTorch 2.13).
    """

    name = "torch"

    @property
    def version(self) -> str:
        return _version("torch")

    def prepare(self, problem: Problem, threads: int) -> Calls:
        try:
            import torch
        except ImportError as error:
            raise AbsentError("not installed") from error

        torch.set_num_threads(threads)
        shape = problem.shape
        kind = getattr(torch.nn, problem.cell.upper())
        layer = kind(shape.inputs, shape.hidden, **problem.options)
        layer = layer.to(torch.float32 if problem.dtype == np.float32 else torch.float64)
        layer.load_state_dict({name: torch.tensor(v) for name, v in problem.params.items()})
        named = dict(layer.named_parameters())
        x, ones = torch.tensor(problem.x), torch.tensor(problem.ones)

        def infer() -> Any:
            with torch.inference_mode():
                return layer(x)[0]

        def train() -> tuple[Any, Mapping[str, Any]]:
            for parameter in named.values():
                parameter.grad = None
            output = layer(x)[0]
            output.backward(ones)
            return output.detach(), {name: p.grad for name, p in named.items()}

        return Calls(infer, train)


class OnnxRuntime:
    """The ONNX operator, weights as initializers, input and outputs bound (10 % over `run`)."""

    name = "onnxruntime"

    @property
    def version(self) -> str:
        return _version("onnxruntime")

    def prepare(self, problem: Problem, threads: int) -> Calls:
        try:
            import onnxruntime as ort

            model = _onnx_model(problem)
        except ImportError as error:
            raise AbsentError("not installed (onnxruntime and onnx)") from error
        if problem.dtype != np.float32:
            raise AbsentError("its CPU kernels of the recurrent operators are float32 only")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        binding = session.io_binding()
        x = ort.OrtValue.ortvalue_from_numpy(problem.x)
        binding.bind_ortvalue_input("x", x)
        outputs = {}
        for name, size in _onnx_outputs(problem).items():
            outputs[name] = ort.OrtValue.ortvalue_from_numpy(np.empty(size, problem.dtype))
            binding.bind_ortvalue_output(name, outputs[name])

        def infer() -> Any:
            session.run_with_iobinding(binding)
            return outputs["output"].numpy()[:, 0]

        return Calls(infer, None)


def _onnx_outputs(problem: Problem) -> dict[str, list[int]]:
    time, batch, _, hidden = problem.shape
    states = {name: [1, batch, hidden] for name in STATES[problem.cell]}
    return {"output": [time, 1, batch, hidden], **states}


def _onnx_model(problem: Problem) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    kind = TensorProto.FLOAT if problem.dtype == np.float32 else TensorProto.DOUBLE
    time, batch, inputs, hidden = problem.shape

    def gates(name: str) -> Array:
        parts = np.split(problem.params[name], GATES[problem.cell])
        return np.concatenate([parts[i] for i in ONNX_GATES[problem.cell]])

    initializers = {
        "W": gates("weight_ih_l0")[None],
        "R": gates("weight_hh_l0")[None],
        "B": np.concatenate([gates("bias_ih_l0"), gates("bias_hh_l0")])[None],
    }
    options: dict[str, dict[str, Any]] = {
        "rnn": {"activations": [problem.nonlinearity.capitalize()]},
        "gru": {"linear_before_reset": 1},
    }
    outputs = _onnx_outputs(problem)
    node = helper.make_node(
        problem.cell.upper(),
        ["x", "W", "R", "B"],
        list(outputs),
        hidden_size=hidden,
        **options.get(problem.cell, {}),
    )
    graph = helper.make_graph(
        [node],
        problem.cell,
        [helper.make_tensor_value_info("x", kind, [time, batch, inputs])],
        [helper.make_tensor_value_info(name, kind, size) for name, size in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Jax:
    """``lax.scan`` under ``jit``, the input product hoisted by hand, weights as (inputs, units).

    Not hoisted, inference takes 1.3 to 5 times as long. Weights as PyTorch lays them out are
    transposed in every call: 1.7 times as long for 1024 units at batch 1, no different in small
    rows. ``unroll=4`` makes training at batch 1 twice as slow and nothing clearly faster; sigmoid
    by tanh, two gates at once, and the GRU's inner biases added outside, change nothing (AMD Zen 4,
    JAX 0.10).
    """

    name = "jax"

    @property
    def version(self) -> str:
        return _version("jax")

    def prepare(self, problem: Problem, threads: int) -> Calls:
        try:
            import jax
        except ImportError as error:
            raise AbsentError("not installed") from error

        jax.config.update("jax_enable_x64", problem.dtype == np.float64)  # type: ignore[no-untyped-call]
        numpy, count = jax.numpy, GATES[problem.cell]
        step, inner = _jax_step(problem)
        x = numpy.asarray(problem.x)
        params = {name: numpy.asarray(value.T) for name, value in problem.params.items()}

        def forward(params: Any, x: Any) -> Any:
            w_hh, b_hh = params["weight_hh_l0"], params["bias_hh_l0"]
            outer = params["bias_ih_l0"] + (0 if inner else b_hh)
            x_part = x @ params["weight_ih_l0"] + outer

            def scanned(state: Any, a: Any) -> Any:
                product = state[0] @ w_hh + b_hh if inner else state[0] @ w_hh
                state = step(state, numpy.split(a, count, -1), numpy.split(product, count, -1))
                return state, state[0]

            zeros = numpy.zeros((x.shape[1], w_hh.shape[0]), x.dtype)
            return jax.lax.scan(scanned, (zeros,) * len(STATES[problem.cell]), x_part)[1]

        def forward_backward(params: Any, x: Any) -> Any:
            output, pullback = jax.vjp(lambda p: forward(p, x), params)
            return output, pullback(numpy.ones_like(output))[0]

        infer, train = jax.jit(forward), jax.jit(forward_backward)
        return Calls(
            lambda: infer(params, x).block_until_ready(),
            lambda: jax.block_until_ready(train(params, x)),  # type: ignore[no-untyped-call]
            lambda name, array: array.T,
        )


def _jax_step(problem: Problem) -> tuple[Callable[..., tuple[Any, ...]], bool]:
    """The next state from the last one, the input's parts and the products; is b_hh in these?"""
    import jax

    tanh, sigmoid = jax.numpy.tanh, jax.nn.sigmoid
    activation = tanh if problem.nonlinearity == "tanh" else jax.nn.relu

    def rnn(state: Any, a: Any, p: Any) -> tuple[Any, ...]:
        return (activation(a[0] + p[0]),)

    def lstm(state: Any, a: Any, p: Any) -> tuple[Any, ...]:
        i, f, g, o = (x + y for x, y in zip(a, p, strict=True))
        c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c

    def gru(state: Any, a: Any, p: Any) -> tuple[Any, ...]:
        r, z = sigmoid(a[0] + p[0]), sigmoid(a[1] + p[1])
        n = tanh(a[2] + r * p[2])
        return (n + z * (state[0] - n),)

    return {"rnn": (rnn, False), "lstm": (lstm, False), "gru": (gru, True)}[problem.cell]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


#: All contenders; the first is the baseline, the second is what is judged.
CONTENDERS: tuple[Contender, ...] = (Naive(), Fastrnn(), Torch(), OnnxRuntime(), Jax())
#: Those whose fastest is the measure of fastrnn.
PEERS = tuple(c.name for c in CONTENDERS[2:])


def results(calls: Calls, mode: str) -> dict[str, Any]:
    """Call once, for the check: the arrays by name, named and laid out as `shapes.case`'s."""
    if mode == "infer":
        return {"output": calls.infer()}
    assert calls.train is not None
    output, grads = calls.train()
    return {"output": output, **{name: calls.laid_out(name, g) for name, g in grads.items()}}
