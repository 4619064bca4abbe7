"""Seconds against nats for the standard recipe: python tests/benchmarks/curve.py [--data mnist]

Trains the standard recipe once from a cold start, keeps the weights of some epochs, and evaluates
each on the whole test set afterwards: IWAE-500 for the curve and IWAE-5000 for the end. The clock
starts with the process and stands still for nothing: imports, data and validation count.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import copy  # noqa: E402

import torch  # noqa: E402

from course_lib import default_device  # noqa: E402
from course_lib.data import fixed_binarization, load  # noqa: E402
from course_lib.evaluation import estimate, evaluate  # noqa: E402
from course_lib.recipes import fit_options, make_model, recipe  # noqa: E402
from course_lib.training import fit  # noqa: E402
from course_lib.training_run import Run  # noqa: E402

POINTS = 7  # weights kept on the way, spaced evenly in the logarithm of the epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--samples", type=int, default=5000, help="K for the last row")
    a = parser.parse_args()
    device = default_device()
    settings = recipe("standard")
    images = load(a.data)
    torch.manual_seed(0)
    model = make_model(settings, images.train.shape[1:])
    kept: dict[int, tuple[float, dict]] = {}
    epochs = {round(settings["epochs"] ** (i / POINTS)) for i in range(1, POINTS + 1)}
    save = Run.save

    def keep(run: Run) -> None:
        save(run)
        if run.epoch in epochs:
            kept[run.epoch] = (time.perf_counter() - START, copy.deepcopy(run._weights()))

    Run.save = keep
    try:
        fit(
            model, images.train, binarize=True, compile=a.compile, device=device,
            **fit_options(settings),
        )  # fmt: skip
    finally:
        Run.save = save

    x = fixed_binarization(images.test)
    print("| passes | seconds | K | -IWAE-K, nats per image | -ELBO |\n|---|---|---|---|---|")
    for epoch, (seconds, weights) in sorted(kept.items()):
        model.load_state_dict(weights)
        for k in (500, a.samples) if epoch == settings["epochs"] else (500,):
            start = time.perf_counter()
            report = evaluate(model, x, num_samples=k)
            took = time.perf_counter() - start
            print(
                f"| {epoch} | {seconds:.0f} | {k:,} | {estimate(-report.iwae)} "
                f"| {estimate(-report.elbo)} |", flush=True,
            )  # fmt: skip
    print(f"\nIWAE-{k:,} of {len(x):,} images took {took:.0f} s.")


if __name__ == "__main__":
    main()
