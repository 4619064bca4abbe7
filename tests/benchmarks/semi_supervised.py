"""M2 with 100 labels beside probes: python tests/benchmarks/semi_supervised.py [--seeds 3]

For each seed, 100 of the 60,000 training images keep their label (10 of each class); the others
are used without theirs. Nothing is chosen by test error: the weight of the cross-entropy is the
paper's, the other settings are fixed in advance, and the probes choose theirs within the 100
labels. Prints a table of test errors, mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import default_device
from course_lib.data import load
from course_lib.evaluation.representation import codes, labeled_subset, pca_codes, probe
from course_lib.models import mlp_vae
from course_lib.models.semi_supervised import SemiSupervisedVAE, m2_objective, semi_supervised_vae
from course_lib.training import fit

PUBLISHED = "11.97 ± 1.71"  # M2, 100 labels, Kingma et al. 2014 (arXiv 1406.5298), table 1
LABELS = 100


def supervised(model: SemiSupervisedVAE, x: Tensor, y: Tensor) -> Tensor:
    """The loss of q(y|x) alone, [B]."""
    return F.cross_entropy(model.classify(x).logits, y, reduction="none")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50, help="passes of M2 over the images")
    parser.add_argument("--vae-epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--latents", type=int, default=50, help="of M2, the VAE, and PCA")
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight", type=float, default=1.0, help="of the labeled bound")
    parser.add_argument("--limit", type=int, help="use the first LIMIT images only, to try it out")
    a = parser.parse_args()
    device = default_device()
    images = load(a.data, num_train=a.limit, num_test=a.limit)
    x, y, x_test, y_test = images.train, images.labels, images.test, images.test_labels
    errors: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def right(model: SemiSupervisedVAE) -> float:
        return (model.predict(x_test) == y_test).double().mean().item()

    def note(name: str, accuracy: float, start: float) -> None:
        errors.setdefault(name, []).append(100 * (1 - accuracy))
        seconds[name] = seconds.get(name, 0) + (time.perf_counter() - start) / a.seeds
        print(f"seed {seed}  {name:30s} {errors[name][-1]:6.2f} %", flush=True)

    common = {"device": device, "binarize": True, "validation": 0, "progress": False}
    start = time.perf_counter()
    torch.manual_seed(0)
    vae = mlp_vae(x.shape[1:], a.latents, (a.hidden,))
    vae = fit(vae, x, epochs=a.vae_epochs, batch_size=a.batch, **common).model
    known = {
        "pixels": (x, x_test),
        f"{a.latents} principal components": pca_codes(x, x_test, a.latents),
        f"{a.latents} latents of a VAE": (codes(vae, x), codes(vae, x_test)),
    }
    print(f"VAE for the probes: {time.perf_counter() - start:.0f} s")
    for seed in range(a.seeds):
        rows = labeled_subset(y, LABELS, seed)
        assert torch.bincount(y[rows]).tolist() == [LABELS // 10] * 10
        few, names = x[rows], y[rows]
        for method in ("logistic", "knn"):
            for name, (train, test) in known.items():
                start = time.perf_counter()
                found = probe(train[rows], names, test, y_test, method, seed=seed)
                note(f"{method} on {name}", found.mean, start)

        start = time.perf_counter()
        torch.manual_seed(seed)
        model = semi_supervised_vae(x.shape[1:], 10, a.latents, (a.hidden,))
        options = common | {"seed": seed, "lr": a.lr}
        again = few.repeat(100, 1, 1, 1), names.repeat(100)  # 100 passes in an epoch
        fit(model, again, objective=supervised, epochs=3, **options)
        note("the classifier of M2 alone", right(model), start)

        start = time.perf_counter()
        unlabeled = torch.ones(len(x), dtype=torch.bool).index_fill(0, rows, False)
        torch.manual_seed(seed)
        model = semi_supervised_vae(x.shape[1:], 10, a.latents, (a.hidden,))
        alpha = a.weight * 0.1 * len(x) / LABELS  # eq. 9, per labeled image
        objective = m2_objective(few, names, alpha, weight=a.weight, binarize=True)
        options |= {"epochs": a.epochs, "batch_size": a.batch}
        fit(model, x[unlabeled], objective=objective, **options)
        note("M2", right(model), start)

    print(
        f"\n{a.seeds} seeds, {len(x):,} training and {len(x_test):,} test images of {images.name}"
    )
    print("\n| from 100 labels | test error, % | seconds for a seed |\n|---|---|---|")
    for name, values in errors.items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        print(f"| {name} | {statistics.mean(values):.2f}{spread} | {seconds[name]:.0f} |")
    print(f"| M2, published | {PUBLISHED} | |")


if __name__ == "__main__":
    main()
