"""Images per second by what threads do while they wait: python tests/benchmarks/waiting.py

GNU's OpenMP, which torch brings along on Linux, lets a thread spin ``GOMP_SPINCOUNT`` times before
it sleeps. The 784-400-20 VAE is trained with two threads, alone and in two processes at once, as
where a browser, a second notebook or another student wants the processor too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

WAYS = {
    "torch's default": {},
    "sleep at once (OMP_WAIT_POLICY=PASSIVE)": {"OMP_WAIT_POLICY": "PASSIVE"},
    "and GOMP_SPINCOUNT=1000 (`make lab`)": {
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "1000",
    },
}


def work() -> None:
    import torch

    from course_lib.data import load
    from course_lib.models import mlp_vae
    from course_lib.training import fit

    torch.set_num_threads(2)
    x = load("strokes", num_train=12_800, num_test=1).train
    options = {"validation": 0, "device": "cpu", "progress": False, "binarize": True}
    model = mlp_vae()
    fit(model, x[:2_560], epochs=1, **options)
    start = time.perf_counter()
    fit(model, x, epochs=4, **options)
    print(4 * len(x) / (time.perf_counter() - start))


def speeds(count: int, settings: dict[str, str]) -> list[float]:
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    command = [sys.executable, __file__, "--work"]
    started = [
        subprocess.Popen(command, env=clean | settings, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    return [float(one.communicate()[0]) for one in started]


def main() -> None:
    print("| what a waiting thread does | alone, images/s | two at once, images/s each |")
    print("|---|---|---|")
    for name, settings in WAYS.items():
        alone = max(speeds(1, settings)[0] for _ in range(2))
        both = sum(speeds(2, settings)) / 2
        print(f"| {name} | {alone:,.0f} | {both:,.0f} |", flush=True)


if __name__ == "__main__":
    work() if sys.argv[1:] == ["--work"] else main()
