"""Bits per pixel and images per second of lossless files: the table of docs/figures.md.

    COURSE_DATA=... python tests/benchmarks/compression.py [--checkpoint runs/mnist-quick.pt]

The test images are binarized once (fixed seed) for the model of `train --data mnist --quick`, and
taken as they are, 8 bits a pixel, for the same network with a discretized logistic likelihood.
Without checkpoints the two are trained first, which takes minutes. Each file of `compress` is
decoded and compared. The time is that of the best of three runs.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import torch

from course_lib import default_device
from course_lib.checkpoints import load_model
from course_lib.compression import compress, decompress
from course_lib.compression_others import general_files, sizes
from course_lib.data import fixed_binarization, load
from course_lib.evaluation import evaluate
from course_lib.recipes import fit_options, make_model, recipe
from course_lib.training import fit


def trained(images, likelihood, checkpoint, seed):
    """The model of a checkpoint, or the quick recipe trained as the command line does."""
    if checkpoint is not None:
        return load_model(checkpoint)
    settings = recipe("quick")
    torch.manual_seed(seed)
    model = make_model(settings, images.train.shape[1:], likelihood)
    options = fit_options(settings) | {"binarize": likelihood == "bernoulli", "seed": seed}
    fit(model, images.train, **options, device=default_device(), progress=False)
    return model


def fastest(function, *args, rounds=3):
    """What a function returns, and the shortest time that it took."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = function(*args)
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def row(model, x):
    """Bits per pixel of every file by name, and images per second each way."""
    found = {
        name: 8 * size / x.numel() for name, size in sizes(general_files(x, each=True)).items()
    }
    coded, there = fastest(compress, model, x)
    again, back = fastest(decompress, model, coded.data)
    assert torch.equal(again, x), "the images came back changed"
    report = evaluate(model.eval(), x, num_samples=16)
    found["compress"] = coded.bits_per_dim
    found["−ELBO"] = -report.elbo.mean().item() / (x[0].numel() * math.log(2))
    return found, len(x) / there, len(x) / back


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--limit", type=int, help="the number of test images (default: all)")
    parser.add_argument("--checkpoint", type=Path, help="a model of binary images")
    parser.add_argument("--grey-checkpoint", type=Path, help="a model of 8-bit images")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    images = load(a.data, num_test=a.limit)
    kinds = {
        "binarized": ("bernoulli", a.checkpoint, fixed_binarization(images.test)),
        "8-bit": ("discretized_logistic", a.grey_checkpoint, images.test),
    }
    for number, (kind, (likelihood, checkpoint, x)) in enumerate(kinds.items()):
        model = trained(images, likelihood, checkpoint, a.seed).cpu()
        found, there, back = row(model, x)
        if number == 0:
            print(f"{len(x):,} test images of {a.data}, bits per pixel of whole files\n")
            names = [*found, "compress, images/s", "decompress, images/s"]
            print(f"| images | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
        numbers = [f"{v:.4f}" for v in found.values()] + [f"{there:,.0f}", f"{back:,.0f}"]
        print(f"| {kind} | {' | '.join(numbers)} |", flush=True)


if __name__ == "__main__":
    main()
