"""Memory of a training step against what its activations and gradients must take.

    python bench/memory.py

For each length, a new process trains one step of a layer (forward, gradients of all parameters and
of the input) and reports how far its resident memory rose at most, from just before the first of
these steps, the kernels being loaded and warm from a tiny one. What must be there: the input and
the outputs of all times, which BPTT reads, the gradient of the outputs, which the caller gives, the
gradient of the input, and the gradients of the parameters.
"""

from __future__ import annotations

import json
import subprocess
import sys

SHAPES = (
    (100, 32, 64, 128),
    (1_000, 32, 64, 128),
    (10_000, 32, 64, 128),
    (10_000, 1, 64, 512),
    (10_000, 8, 256, 256),
)

SCRIPT = """
import json, sys, threading, time
import numpy as np, fastrnn

T, N, I, H = map(int, sys.argv[1:])
layer = fastrnn.RNN(I, H, seed=0)

def step(x, d_output):
    output, _, tape = layer.forward(x)
    return layer.backward(tape, d_output)

step(np.zeros((2, N, I), np.float32), np.zeros((2, N, H), np.float32))

def resident(name="VmRSS"):
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # resets the peak
before = resident()
x = np.ones((T, N, I), np.float32)
d_output = np.ones((T, N, H), np.float32)
grads = step(x, d_output)
peak = resident("VmHWM") - before
must = 2 * x.nbytes + 2 * d_output.nbytes + layer.flat.nbytes
print(json.dumps({"peak": peak, "must": must}))
"""


def main() -> None:
    print(f"{'T, N, I, H':>24} {'must, MB':>10} {'peak, MB':>10} {'ratio':>7}")
    for shape in SHAPES:
        command = [sys.executable, "-c", SCRIPT, *map(str, shape)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        figures = json.loads(done.stdout)
        ratio = figures["peak"] / figures["must"]
        name = ", ".join(map(str, shape))
        print(
            f"{name:>24} {figures['must'] / 1e6:10.1f} {figures['peak'] / 1e6:10.1f} {ratio:7.2f}"
        )


if __name__ == "__main__":
    main()
