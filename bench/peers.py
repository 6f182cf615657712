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
from shapes import Problem


class Calls(NamedTuple):
    """What is timed; everything else was done before."""

    #: Returns the output.
    infer: Callable[[], Any]
    #: Returns the output and the gradients by name. None if the contender cannot train.
    train: Callable[[], tuple[Any, Mapping[str, Any]]] | None


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
        from fastrnn import reference

        ones = np.ones((*problem.x.shape[:2], problem.shape.hidden), problem.dtype)

        def run() -> Any:
            return reference.rnn_forward(
                problem.x, None, dict(problem.params), nonlinearity=problem.nonlinearity
            )

        def train() -> tuple[Any, Mapping[str, Any]]:
            output, _, cache = run()
            return output, reference.rnn_backward(cache, ones, None)[2]

        return Calls(lambda: run()[0], train)


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
        layer = fastrnn.RNN(
            shape.inputs, shape.hidden, nonlinearity=problem.nonlinearity, dtype=problem.dtype
        )
        layer.load_state_dict(problem.params)
        x = problem.x
        ones = np.ones((shape.time, shape.batch, shape.hidden), problem.dtype)

        def train() -> tuple[Any, Mapping[str, Any]]:
            output, _, tape = layer.forward(x)
            return output, layer.backward(tape, d_output=ones, wants_x=False).params

        return Calls(lambda: layer(x)[0], train)


class Torch:
    """``torch.nn.RNN``, eager, with oneDNN as it is by default."""

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
        layer = torch.nn.RNN(shape.inputs, shape.hidden, nonlinearity=problem.nonlinearity)
        layer = layer.to(torch.float32 if problem.dtype == np.float32 else torch.float64)
        layer.load_state_dict({name: torch.tensor(v) for name, v in problem.params.items()})
        named = dict(layer.named_parameters())
        x = torch.tensor(problem.x)
        ones = torch.ones(shape.time, shape.batch, shape.hidden, dtype=x.dtype)

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
    """The ONNX operator RNN, weights as initializers, input and outputs bound (10 % over `run`)."""

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
            raise AbsentError("its CPU kernel of the operator RNN is float32 only")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        time, batch, _, hidden = problem.shape
        output = np.empty((time, 1, batch, hidden), problem.dtype)
        state = np.empty((1, batch, hidden), problem.dtype)
        values = {
            name: ort.OrtValue.ortvalue_from_numpy(array)
            for name, array in (("x", problem.x), ("output", output), ("state", state))
        }
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", values["x"])
        binding.bind_ortvalue_output("output", values["output"])
        binding.bind_ortvalue_output("state", values["state"])

        def infer() -> Any:
            session.run_with_iobinding(binding)
            return values["output"].numpy()[:, 0]

        return Calls(infer, None)


def _onnx_model(problem: Problem) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    kind = TensorProto.FLOAT if problem.dtype == np.float32 else TensorProto.DOUBLE
    time, batch, inputs, hidden = problem.shape
    params = problem.params
    initializers = {
        "W": params["weight_ih_l0"][None],
        "R": params["weight_hh_l0"][None],
        "B": np.concatenate([params["bias_ih_l0"], params["bias_hh_l0"]])[None],
    }
    node = helper.make_node(
        "RNN",
        ["x", "W", "R", "B"],
        ["output", "state"],
        hidden_size=hidden,
        activations=[problem.nonlinearity.capitalize()],
    )
    graph = helper.make_graph(
        [node],
        "rnn",
        [helper.make_tensor_value_info("x", kind, [time, batch, inputs])],
        [
            helper.make_tensor_value_info("output", kind, [time, 1, batch, hidden]),
            helper.make_tensor_value_info("state", kind, [1, batch, hidden]),
        ],
        [numpy_helper.from_array(value, name) for name, value in initializers.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Jax:
    """``lax.scan`` under ``jit``, the input product hoisted by hand.

    Not hoisted, inference takes 1.3 to 5 times as long; ``unroll=4`` makes training at batch 1
    twice as slow and nothing clearly faster (AMD Zen 4, JAX 0.10).
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
        numpy = jax.numpy
        activation = numpy.tanh if problem.nonlinearity == "tanh" else jax.nn.relu
        x = numpy.asarray(problem.x)
        params = {name: numpy.asarray(value) for name, value in problem.params.items()}

        def forward(params: Any, x: Any) -> Any:
            x_part = x @ params["weight_ih_l0"].T + (params["bias_ih_l0"] + params["bias_hh_l0"])
            w_hh = params["weight_hh_l0"].T

            def step(h: Any, a: Any) -> Any:
                h = activation(a + h @ w_hh)
                return h, h

            return jax.lax.scan(step, numpy.zeros(x_part.shape[1:], x.dtype), x_part)[1]

        def forward_backward(params: Any, x: Any) -> Any:
            output, pullback = jax.vjp(lambda p: forward(p, x), params)
            return output, pullback(numpy.ones_like(output))[0]

        infer, train = jax.jit(forward), jax.jit(forward_backward)
        return Calls(
            lambda: infer(params, x).block_until_ready(),
            lambda: jax.block_until_ready(train(params, x)),  # type: ignore[no-untyped-call]
        )


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
    """Call once, for the check: the arrays by name, as `shapes.truth` names them."""
    if mode == "infer":
        return {"output": calls.infer()}
    assert calls.train is not None
    output, grads = calls.train()
    return {"output": output, **grads}
