"""Time to the first result, each figure from new processes: import, first call, compilation.

    python bench/startup.py [--rounds 5]

`import` is what fastrnn adds to NumPy's own import. `first forward` is the first call of a layer
after numba's import, its kernels in the cache; `kernels never compiled` are the same calls with an
empty cache. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

IMPORT = """
import time, json, sys
import numpy
start = time.perf_counter()
import fastrnn
seconds = time.perf_counter() - start
assert "numba" not in sys.modules
print(json.dumps({"import fastrnn, over NumPy's": seconds}))
"""

LAYER = """
import time, json
import numpy as np, fastrnn, numba
start = time.perf_counter()
layer = fastrnn.RNN(3, 5)
x = np.zeros((4, 2, 3), np.float32)
layer(x)
first = time.perf_counter()
output, _, tape = layer.forward(x)
layer.backward(tape, output)
print(json.dumps({"first forward": first - start,
                  "first forward and backward": time.perf_counter() - start}))
"""

MODEL = """
import time, json
import numpy as np, fastrnn, numba
start = time.perf_counter()
model = fastrnn.LanguageModel(8, vocabulary=8, seed=0)
model.fit(np.arange(200) % 8, steps=1, sequence_length=5, batch_size=2)
print(json.dumps({"first training step of a language model": time.perf_counter() - start}))
"""


def run(script: str, cache: str) -> dict[str, float]:
    """Figures that a new process prints."""
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as cache:
        for script in (LAYER, MODEL):
            with tempfile.TemporaryDirectory() as empty:
                for name, seconds in run(script, empty).items():
                    print(f"{seconds:8.3f} s  {name}, kernels never compiled", flush=True)
            run(script, cache)
        for _ in range(rounds):
            for script in (IMPORT, LAYER, MODEL):
                for name, seconds in run(script, cache).items():
                    figures.setdefault(name, []).append(seconds)
    for name, times in figures.items():
        spread = f"{min(times):.3f} to {max(times):.3f}"
        print(f"{statistics.median(times):8.3f} s  {name}, kernels cached ({spread})")


if __name__ == "__main__":
    main()
