"""Seconds against nats for a recipe: python tests/benchmarks/curve.py [--recipe standard]

Trains the recipe once from a cold start, keeps the weights of some epochs, and evaluates each on
the whole test set (or on held-out training images) afterwards: IWAE-500 for the curve, and
IWAE-5000 for the end, which is timed. The clock starts with the process; imports, loading,
validation and compiling all count. Beside the seconds stands the time of the processors, which
other work on the machine changes little.
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
from course_lib.recipes import RECIPES, fit_options, make_model, recipe  # noqa: E402
from course_lib.training import fit  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="standard", choices=RECIPES)
    parser.add_argument("--prior", help="in place of the recipe's: standard, mixture, vamp, flow")
    parser.add_argument(
        "--held-out",
        type=int,
        metavar="N",
        help="evaluate on the last N training images, kept out, to choose without the test images",
    )
    parser.add_argument("--data", default="mnist")
    parser.add_argument(
        "--points", type=int, default=6, help="rows, spaced evenly in the logarithm of the epoch"
    )
    parser.add_argument("--threads", type=int, help="torch's threads on the CPU (default: torch's)")
    parser.add_argument("--compile", action="store_true", help="compile the objective")
    parser.add_argument("--limit", type=int, help="use the first LIMIT images only, to try it out")
    parser.add_argument("--samples", type=int, default=5000, help="K for the last row")
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    settings = recipe(a.recipe) | ({"prior": a.prior} if a.prior else {})
    images = load(a.data, num_train=a.limit, num_test=a.limit)
    train, test = images.train, images.test
    if a.held_out:
        train, test = train[: -a.held_out], train[-a.held_out :]
    torch.manual_seed(0)
    model = make_model(settings, train.shape[1:])
    wanted = {round(settings["epochs"] ** (i / a.points)) for i in range(1, a.points + 1)}
    kept: dict[int, tuple[float, float, dict]] = {}

    def keep(model: torch.nn.Module, row: dict) -> None:
        if row["epoch"] in wanted:
            seconds = time.perf_counter() - START
            weights = copy.deepcopy(model.state_dict())
            kept[row["epoch"]] = seconds, time.process_time(), weights

    options = fit_options(settings) | {"compile": a.compile, "device": default_device()}
    fit(model, train, binarize=True, after_epoch=keep, **options)

    x = fixed_binarization(test)
    print("| passes | seconds | of the processors | K | -IWAE-K, nats per image | -ELBO |")
    print("|---|---|---|---|---|---|")
    for epoch, (seconds, processors, weights) in kept.items():
        model.load_state_dict(weights)
        draws = a.samples if epoch == settings["epochs"] else 500
        start = time.perf_counter()
        report = evaluate(model, x, num_samples=draws)
        took = time.perf_counter() - start
        nll, elbo = estimate(-report.iwae), estimate(-report.elbo)
        used = f"{seconds:.0f} | {processors:.0f}"
        print(f"| {epoch} | {used} | {draws:,} | {nll} | {elbo} |", flush=True)
    print(f"\nIWAE-{draws:,} of {len(x):,} images took {took:.0f} s.")


if __name__ == "__main__":
    main()
