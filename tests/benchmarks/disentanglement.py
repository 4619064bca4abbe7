"""MIG, DCI and total correlation over seeds: python tests/benchmarks/disentanglement.py

Trains beta-VAEs and beta-TCVAEs on images of one handwritten 3 with four known factors (notebook
13 does the same, smaller), or with --data digits on strokes as they are. The scores are those of
held-out images: one draw of each posterior for MIG and DCI, all images for the aggregate q(z).
"""

from __future__ import annotations

import argparse
import math
import statistics

import torch
from torch import Tensor

from course_lib import bounds, models, training
from course_lib.bounds_objectives import total_correlation
from course_lib.data import load, strokes
from course_lib.evaluation.disentanglement import average_rate_parts, dci, mig
from course_lib.evaluation.judge import FACTORS, factor_table

KNOBS = ("slant", "width", "shift_x", "shift_y")
FIXED = {"class": 3, "style": 0, "angle": 0.0, "scale": 0.92, "aspect": 1.0, "hand": 7}
SIZE, SIGMA = 20, 0.25
SETTINGS = (("beta-VAE", 1.0), ("beta-VAE", 4.0), ("beta-VAE", 12.0), ("beta-TCVAE", 8.0))


def draw_world(count: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return images ``[N, 1, 20, 20]`` and the four factors, evenly spread and independent."""
    g, factors = torch.Generator().manual_seed(seed), {}
    for name in KNOBS:
        low, high, _ = strokes.FACTORS[name]
        factors[name] = torch.empty(count).uniform_(low, high, generator=g).clamp(low, high)
    return strokes.render(FIXED | factors, size=SIZE).float() / 255, factors


def draw_digits(train: int, test: int) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Return training and test images of strokes, and the factors of the test images."""
    data = load("strokes", size=SIZE, num_train=train, num_test=test)
    table = dict(zip(FACTORS, factor_table(data.test_factors).T, strict=True))
    return data.train, data.test, {"class": data.test_labels} | table


def make_model(latents: int, seed: int) -> models.VAE:
    """Return a VAE whose sigma is fixed: a learned one would undo what beta does."""
    torch.manual_seed(seed)
    model = models.mlp_vae((1, SIZE, SIZE), latents, (128, 128), "gaussian")
    torch.nn.init.constant_(model.head.log_sigma, math.log(SIGMA)).requires_grad_(False)
    return model


def scores(model: models.VAE, x: Tensor, factors: dict[str, Tensor]) -> dict[str, float]:
    """Return what the table shows of one model."""
    torch.manual_seed(0)
    with torch.no_grad():
        z, terms = model.posterior(x).sample(), bounds.terms(model, x)
    result, parts = dci(z, factors), average_rate_parts(model, x[:2000])
    return {
        "MIG": mig(z, factors),
        "D": result.disentanglement,
        "C": result.completeness,
        "I": result.informativeness,
        "-ELBO": -terms.elbo.mean().item(),
        "rate": terms.rate.mean().item(),
        "TC": parts.total_correlation.mean().item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="knobs", choices=("knobs", "digits"))
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--images", type=int, default=6000)
    a = parser.parse_args()
    if a.data == "knobs":
        (x, _), (x_test, factors) = draw_world(a.images, 1), draw_world(3000, 2)
        latents = 6
    else:
        (x, x_test, factors), latents = draw_digits(a.images, 3000), 10
    print(f"# {a.images:,} images of {a.data}, {a.epochs} passes, {a.seeds} seeds")
    rows = {}
    for kind, beta in SETTINGS:
        tc = kind == "beta-TCVAE"
        rows[kind, beta] = []
        for seed in range(a.seeds):
            model = training.fit(
                make_model(latents, seed), x, epochs=a.epochs, batch_size=64, lr=3e-3, seed=seed,
                objective=total_correlation(beta, len(x)) if tc else bounds.terms,
                beta=1.0 if tc else beta, validation=0, device="cpu", progress=False,
            ).model.eval()  # fmt: skip
            rows[kind, beta].append(scores(model, x_test, factors))
            found = rows[kind, beta][-1]["MIG"]
            print(f"# {kind} {beta:g}, seed {seed}: MIG {found:.3f}", flush=True)
    names = list(rows[SETTINGS[0]][0])
    print("| objective | beta | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 2) + "|")
    for (kind, beta), values in rows.items():
        columns = []
        for name in names:
            column = [v[name] for v in values]
            mean, spread = statistics.mean(column), statistics.stdev(column)
            digits = 1 if name in ("-ELBO", "rate") else 2
            columns.append(f"{mean:.{digits}f} ± {spread:.{digits}f}")
        print(f"| {kind} | {beta:g} | " + " | ".join(columns) + " |")
    print("Mean ± standard deviation over the seeds, held-out images; nats per image.")


if __name__ == "__main__":
    main()
