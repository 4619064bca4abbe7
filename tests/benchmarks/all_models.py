"""All models of the course on one data set, each trained for the same time: one markdown table.

    python tests/benchmarks/all_models.py --seconds 60 --out runs/all_models

Binarized images of strokes. A row that stands in OUT.json is not made again, so that the run can be
broken off; OUT.md holds the table. Time is the processor's, on one thread, so that other work on
the machine takes none of it away. What a model says of an image is an exact likelihood, a bound on
it, or nothing, and the column says which. The Fréchet distance compares draws with as many test
images in the features of one judge; its floor are training images.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import course_lib
from course_lib import models, training
from course_lib.data import fixed_binarization, load
from course_lib.evaluation import estimate, evaluate, frechet_distance, train_judge
from course_lib.files import replacing
from course_lib.models.diffusion import diffusion_vae, one_step_loss
from course_lib.models.neighbours import GAN, RBM, Autoregressive, Dequantized, Flow, fit_gan
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import VampPrior
from course_lib.models.vector_quantized import prior_objective, vq_objective, vq_vae

PIXELS, SHAPE = 784, (1, 28, 28)
COLUMNS = ("parameters", "training s", "nats per image", "what it is", "Fréchet distance")
COLUMNS += ("passes per image", "ms per image")


class Row:
    """One model: how it is made, trained, asked for its likelihood, and drawn from.

    Args:
        make: without arguments, a fresh model.
        objectives: of :func:`fit`, one after the other, with equal shares of the time.
        kind: the name of what ``score`` gives.
        score: ``score(model, x) -> [B]``, the negative log-likelihood or bound, nats.
        passes: of a network for one image.
        lr: learning rate.
    """

    def __init__(
        self, make: Callable, objectives: list, kind: str, score: Callable | None,
        passes: int, lr: float = 2e-3,
    ):  # fmt: skip
        self.make, self.objectives, self.kind, self.score = make, objectives, kind, score
        self.passes, self.lr = passes, lr

    def train(self, model: nn.Module, x: Tensor, seconds: float) -> float:
        """Train for about ``seconds``, after a trial on a copy; return how long it really took."""
        took = 0.0
        for objective in self.objectives:
            options = {"objective": objective, "lr": self.lr, "progress": False, "validation": 0}
            trial = x[: max(1000, len(x) // 8)]
            share = seconds / len(self.objectives)

            def train(rows: Tensor, epochs: int, net: nn.Module, options: dict = options) -> float:
                start = time.process_time()
                training.fit(net, rows, epochs=epochs, **options)
                return time.process_time() - start

            train(trial, 1, copy.deepcopy(model))  # the first time torch makes its plans
            each = train(trial, 1, copy.deepcopy(model)) * len(x) / len(trial)
            took += train(x, max(1, round(share / each)), model)
        return took

    def draw(self, model: nn.Module, count: int) -> Tensor:
        return model.sample(count).reshape(count, *SHAPE).float()


class GANRow(Row):
    def train(self, model: GAN, x: Tensor, seconds: float) -> float:
        x = x.flatten(1)
        fit_gan(copy.deepcopy(model), x, steps=10)
        start = time.process_time()
        fit_gan(copy.deepcopy(model), x, steps=50)
        each = (time.process_time() - start) / 50
        start = time.process_time()
        fit_gan(model, x, steps=max(50, round(seconds / each)))
        return time.process_time() - start


def flat_loss(model: nn.Module, x: Tensor) -> Tensor:
    return model.loss(x.flatten(1))


def pixel_loss(model: PixelCNN, x: Tensor) -> Tensor:
    return -model.log_prob(x[:, 0].long())


def iwae(model: nn.Module, x: Tensor) -> Tensor:
    return -evaluate(model, x, num_samples=64).iwae


def bound(model: nn.Module, x: Tensor) -> Tensor:
    return -evaluate(model, x, num_samples=1).elbo


def exact(model: nn.Module, x: Tensor) -> Tensor:
    return -model.log_prob(x.flatten(1))


def dequantized(model: Dequantized, x: Tensor) -> Tensor:
    return -torch.stack([model.elbo(x.flatten(1)) for _ in range(8)]).mean(0)


def mlp(prior: str) -> Callable:
    return lambda: models.mlp_vae(SHAPE, 20, (400,), prior=prior, components=200)


def rows(width: int) -> dict[str, Row]:
    """The models by name; ``width`` is that of the PixelCNN over pixels."""
    terms, two = [course_lib.bounds.terms], (300, 100)
    vae = {f"VAE, {p} prior": mlp(p) for p in models.PRIORS}
    vae["VAE, convolutional"] = lambda: models.conv_vae(SHAPE, 20, 16, 128)
    vae["two layers of latents"] = lambda: models.hierarchical_vae(SHAPE, (20, 10), two)
    made = {name: Row(make, terms, "IWAE-64, a bound", iwae, 1) for name, make in vae.items()}
    steps = 50
    return made | {
        "VQ-VAE and PixelCNN": Row(
            lambda: vq_vae(SHAPE, 64, 8, 16, prior="pixelcnn"), [vq_objective, prior_objective],
            "ELBO, a bound", bound, 50, 3e-3,
        ),
        "PixelCNN": Row(
            lambda: PixelCNN(2, SHAPE[1:], width, 6), [pixel_loss], "exact", pixel_loss, PIXELS
        ),
        "autoregressive (MADE)": Row(
            lambda: Autoregressive(PIXELS, 500), [flat_loss], "exact", exact, PIXELS
        ),
        "flow": Row(
            lambda: Dequantized(Flow(PIXELS, 6, 256)), [flat_loss], "dequantized, a bound",
            dequantized, 1, 1e-3,
        ),
        "diffusion": Row(
            lambda: diffusion_vae(SHAPE, steps), [one_step_loss], "ELBO, a bound", bound, steps
        ),
        "RBM": Row(lambda: RBM(PIXELS, 20), [flat_loss], "exact", exact, 500),
        "GAN": GANRow(lambda: GAN(PIXELS, 16, 256, binary=True), [], "none", None, 1),
    }  # fmt: skip


def measure(row: Row, x: Tensor, x_test: Tensor, features: Tensor, judge, seconds: float) -> dict:
    """Train one model and return its row of the table."""
    torch.manual_seed(0)
    model = row.make()
    prior = getattr(model, "learned_prior", None)
    if isinstance(prior, VampPrior):
        prior.start_from(x[: len(prior.input_logits)])
    took = row.train(model, x, seconds)
    model.eval()
    size = sum(p.numel() for p in model.parameters())
    found = {"parameters": f"{size:,}", "training s": round(took)}
    with torch.no_grad():
        if row.score is None:
            found |= {"nats per image": "", "what it is": row.kind}
        else:
            torch.manual_seed(1)
            nats = torch.cat([row.score(model, part) for part in x_test.split(500)])
            found |= {"nats per image": str(estimate(nats)), "what it is": row.kind}
        torch.manual_seed(2)
        start = time.process_time()
        images = torch.cat([row.draw(model, n) for n in pieces(len(x_test))])
        ms = 1000 * (time.process_time() - start) / len(images)
    found["Fréchet distance"] = f"{frechet_distance(judge.features(images), features):.1f}"
    found |= {"passes per image": row.passes, "ms per image": f"{ms:.2g}"}
    return found


def pieces(count: int, size: int = 500) -> list[int]:
    return [min(size, count - start) for start in range(0, count, size)]


def table(found: dict, floor: float, head: str) -> str:
    lines = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, row in found.items():
        lines.append(f"| {name} | " + " | ".join(str(row[c]) for c in COLUMNS) + " |")
    real = ["0", "", "", "", f"{floor:.1f}", "", ""]
    lines.append(f"| *training images* | {' | '.join(real)} |")
    return "\n".join([*lines, "", head, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="strokes")
    parser.add_argument("--seconds", type=float, default=60, help="training time of each model")
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--width", type=int, default=24, help="channels of the PixelCNN")
    parser.add_argument("--rows", nargs="*", help="some of the models, by name (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/all_models"))
    a = parser.parse_args()
    course_lib.start(seed=0)
    torch.set_num_threads(1)
    data = load(a.data, num_train=a.train, num_test=a.test)
    x, x_test = fixed_binarization(data.train, seed=1), fixed_binarization(data.test)
    settings = {k: getattr(a, k) for k in ("data", "seconds", "train", "test", "width")}
    stored = a.out.with_suffix(".json")
    stored.parent.mkdir(parents=True, exist_ok=True)
    kept = json.loads(stored.read_text(encoding="utf-8")) if stored.exists() else {}
    if kept.get("settings", settings) != settings:
        raise SystemExit(f"{stored} was made with {kept['settings']}; give another --out.")
    found = kept.get("rows", {})
    judge = train_judge(x, data.labels, epochs=3, progress=False, device="cpu")
    features = judge.features(x_test)
    floor = frechet_distance(judge.features(x[: len(x_test)]), features)
    head = (
        f"{len(x):,} binarized images of {a.data} to train on, {len(x_test):,} test images; every "
        f"model about {a.seconds:g} s of training on one core, and at least one pass; "
        "nats are means over the test images with standard errors; draws in batches of 500."
    )
    every = rows(a.width)
    for name in a.rows or every:
        if name not in every:
            raise SystemExit(f"Unknown row {name!r}; known: {', '.join(every)}.")
        if name not in found:
            found[name] = measure(every[name], x, x_test, features, judge, a.seconds)
            print(name, found[name], flush=True)
        ordered = {n: found[n] for n in every if n in found}
        with replacing(stored) as file:
            file.write(json.dumps({"settings": settings, "rows": ordered}).encode())
        a.out.with_suffix(".md").write_text(table(ordered, floor, head), encoding="utf-8")
    print(table({n: found[n] for n in every if n in found}, floor, head))


if __name__ == "__main__":
    main()
