"""AUROC of five anomaly scores: python tests/benchmarks/anomaly.py [--data mnist --other strokes]

First each class of ``--data`` in turn is left out of training and must be found among the test
images; then a model of each of the two data sets must find the test images of the other. Every
training is done with several seeds; a cell is the mean over them and its standard error. Nothing
was chosen by these numbers: the settings are those of notebook 12.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from course_lib import default_device, models
from course_lib.data import assert_disjoint, fixed_binarization, load
from course_lib.data.defects import replace_pixels
from course_lib.evaluation import estimate, evaluate
from course_lib.evaluation.anomaly import auroc, typicality
from course_lib.training import fit

REPLACED = 0.2  # of the pixels in the training images of the background model
COLUMNS = ("reconstruction", "−ELBO", "−IWAE", "typicality", "likelihood ratio", "ink alone")


def train(x: Tensor, seed: int, a: argparse.Namespace):
    torch.manual_seed(seed)
    model = models.mlp_vae(x.shape[1:], latent_dim=10, hidden=(200,))
    options = {"validation": 0, "binarize": True, "seed": seed, "progress": False}
    return fit(model, x, epochs=a.epochs, device=default_device(), **options).model


def scores(model, background, x: Tensor, validation: Tensor, samples: int) -> dict[str, Tensor]:
    """Score every image of ``x``; ``validation`` are normal images that were not trained on."""
    own, other = (evaluate(m, x, num_samples=samples) for m in (model, background))
    typical = -evaluate(model, validation, num_samples=samples).iwae
    values = (
        own.distortion, -own.elbo, -own.iwae, typicality(typical, -own.iwae),
        other.iwae - own.iwae, x.flatten(1).sum(1),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def row(name: str, results: list[dict[str, float]]) -> None:
    cells = (estimate(torch.tensor([r[c] for r in results])) for c in COLUMNS)
    print(f"| {name} | " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--other", default="strokes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--train", type=int, default=8_000, help="training images")
    parser.add_argument("--test", type=int, default=2_000, help="test images")
    parser.add_argument("--samples", type=int, default=8, help="K of IWAE-K")
    a = parser.parse_args()
    begin = time.perf_counter()
    held, sets = 1_000, {}
    for name in (a.data, a.other):
        data = load(name, num_train=a.train + held, num_test=a.test)
        assert_disjoint(data.train, data.test)
        sets[name] = data, fixed_binarization(data.test), fixed_binarization(data.train[a.train :])

    print("| trained on | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    data, x_test, x_held = sets[a.data]
    for c, label in enumerate(data.classes):
        normal = data.train[: a.train][data.labels[: a.train] != c]
        validation = x_held[data.labels[a.train :] != c]
        results = []
        for seed in range(a.seeds):
            model = train(normal, seed, a)
            background = train(replace_pixels(normal, REPLACED, seed), seed, a)
            found = scores(model, background, x_test, validation, a.samples)
            results.append({k: auroc(v, data.test_labels == c) for k, v in found.items()})
        row(f"{a.data} without {label}", results)

    for own, other in ((a.data, a.other), (a.other, a.data)):
        data, x_own, validation = sets[own]
        x, normal = torch.cat([x_own, sets[other][1]]), data.train[: a.train]
        is_other, results = torch.arange(len(x)) >= len(x_own), []
        for seed in range(a.seeds):
            model = train(normal, seed, a)
            background = train(replace_pixels(normal, REPLACED, seed), seed, a)
            found = scores(model, background, x, validation, a.samples)
            results.append({k: auroc(v, is_other) for k, v in found.items()})
        row(f"{own}, to find {other}", results)
    print(f"\nMean over {a.seeds} seeds ± standard error; {time.perf_counter() - begin:.0f} s.")


if __name__ == "__main__":
    main()
