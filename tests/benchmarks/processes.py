"""Images per second of ``fit`` in one process and in several: python tests/benchmarks/processes.py

The 784-400-20 VAE on binarized images of strokes, on the CPU, with one thread in each process; the
same batches, split among the processes. They take turns with a single process of one thread and of
as many threads as there are processes, and ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys

import torch

from course_lib import processes
from course_lib.data import load
from course_lib.models import mlp_vae
from course_lib.training import fit


def work(batch: int, images: int) -> None:
    """Train for two epochs and print the images per second of the second."""
    with processes.joined("cpu") as device:
        x = processes.one_first(lambda: load("strokes", num_train=images, num_test=1)).train
        torch.manual_seed(0)
        model = mlp_vae()
        options = {"device": device, "binarize": True, "validation": 0, "progress": False}
        history = fit(model, x, epochs=2, batch_size=batch, **options).history
        if processes.team().first:
            size = sum(p.numel() for p in model.parameters())
            print(json.dumps({"speed": len(x) / history[1]["seconds"], "parameters": size}))


def ask(count: int, threads: int, batch: int, images: int) -> dict:
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    command += [__file__, "--work", str(batch), "--images", str(images)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512, 2048])
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.work:
        work(a.work, a.images)
        return
    count = a.processes
    ways = {
        "one process, one thread": (1, 1),
        f"one process, {count} threads": (1, count),
        f"{count} processes, one thread each": (count, 1),
    }
    size = 0
    print("| batch | " + " | ".join(f"{w}: images/s" for w in ways) + " | times one thread |")
    print("|---" * (len(ways) + 2) + "|")
    for batch in a.batches:
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(a.rounds):
            for way, (number, threads) in ways.items():
                answer = ask(number, threads, batch, a.images)
                speeds[way].append(answer["speed"])
                size = answer["parameters"]
        first, last = speeds[next(iter(ways))], speeds[list(ways)[-1]]
        ratio = statistics.median(b / a for a, b in zip(first, last, strict=True))
        cells = [f"{statistics.median(v):,.0f}" for v in speeds.values()]
        print(f"| {batch} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)
    print(f"\nEach step sums {4 * size / 1e6:.1f} MB of gradients over the processes.")


if __name__ == "__main__":
    main()
