"""The published table that the course reproduces: train from a clean start, evaluate, compare."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from course_lib.checkpoints import load_model
from course_lib.data import fixed_binarization, load
from course_lib.errors import check_number, check_whole, unknown
from course_lib.evaluation import Estimate, estimate, evaluate
from course_lib.files import replacing
from course_lib.recipes import fit_options, make_model, recipe
from course_lib.training import fit

__all__ = ["ROWS", "Row", "reproduce"]

BURDA = "Burda et al. 2016 (arXiv 1509.00519), table 1"

# Their network, 784-200-200-50 with tanh; their objective from the first step to the last. Theirs
# were 3,280 passes at batches of 20; these are shorter runs at larger batches.
_BURDA = recipe("quick") | {
    "hidden": [200, 200],
    "latent_dim": 50,
    "activation": "tanh",
    "batch_size": 100,
    "validation": 0.02,
    "final_share": 1.0,
}


@dataclass(frozen=True)
class Row:
    """A row of the table: what is trained, and what was published, -log p(x) in nats per image."""

    name: str
    settings: dict
    published: float
    source: str


ROWS: dict[str, Row] = {
    "vae": Row("VAE", _BURDA | {"epochs": 100}, 86.76, BURDA),
    "iwae-5": Row("IWAE, K = 5", _BURDA | {"epochs": 60, "iwae": 5}, 85.54, BURDA),
    "iwae-50": Row("IWAE, K = 50", _BURDA | {"epochs": 10, "iwae": 50}, 84.78, BURDA),
    "standard": Row("the recipe of train", recipe("standard"), 86.76, f"{BURDA}, the VAE"),
}


def reproduce(
    rows: Sequence[str],
    *,
    out: Path,
    data: str = "mnist",
    num_samples: int = 5000,
    limit: int | None = None,
    passes: float = 1.0,
    compile: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, Estimate]:
    """Train and evaluate ``rows``, print the table, and return -IWAE-K of each row.

    The runs are kept in ``out``: what was interrupted there is taken up again, and what was
    finished is not done twice.

    Args:
        rows: keys of ``ROWS``.
        out: a folder, made if need be.
        data: the data set; the published figures are those of ``"mnist"``.
        num_samples: K of the evaluation on the test images, which are binarized once.
        limit: use the first so many training and test images only.
        passes: times as many epochs as the rows say.
        compile: compile the objective.
        device: where to train and evaluate.

    Raises:
        ValueError: an unknown row, or a number out of range.
        KeyboardInterrupt: a run was stopped; the same call goes on from there.
    """
    for name in rows:
        if name not in ROWS:
            raise unknown("row", name, ROWS)
    passes = check_number(passes, "passes", lambda v: v > 0, "a positive number")
    num_samples = check_whole(num_samples, "num_samples")
    images = load(data, num_train=limit, num_test=limit)
    x = fixed_binarization(images.test)
    out.mkdir(parents=True, exist_ok=True)
    found = {}
    for key in dict.fromkeys(rows):
        settings = dict(ROWS[key].settings)
        settings["epochs"] = max(1, round(passes * settings["epochs"]))
        print(f"\n{ROWS[key].name}: {settings['epochs']} passes")
        checkpoint = out / f"{key}.pt"
        seconds = _train(settings, images.train, checkpoint, compile, device)
        found[key] = _evaluate(checkpoint, x, num_samples, device) | {
            "passes": settings["epochs"],
            "seconds": seconds,
        }
    print(f"\n{_table(found, data, len(x), num_samples)}")
    return {key: Estimate(row["mean"], row["se"]) for key, row in found.items()}


def _train(settings: dict, train: Tensor, checkpoint: Path, compile: bool, device) -> float:
    """Train one row, or go on with it; return the seconds of its epochs."""
    torch.manual_seed(0)
    model = make_model(settings, train.shape[1:])
    options = fit_options(settings) | {"binarize": True, "compile": compile, "device": device}
    run = fit(model, train, **options, checkpoint=checkpoint, resume=True)
    if run.stopped == "interrupted":
        raise KeyboardInterrupt
    return sum(row["seconds"] for row in run.history)


def _evaluate(checkpoint: Path, x: Tensor, num_samples: int, device) -> dict:
    """Return mean and standard error of -IWAE-K, or read them where they were kept."""
    about = {"K": num_samples, "images": len(x), "trained": checkpoint.stat().st_mtime}
    kept = checkpoint.with_suffix(".json")
    if kept.exists():
        row = json.loads(kept.read_text(encoding="utf-8"))
        if all(row.get(name) == value for name, value in about.items()):
            return row
    model = load_model(checkpoint).to(device)
    start = time.perf_counter()
    report = evaluate(model, x, num_samples=num_samples, progress=True)
    nll, elbo = estimate(-report.iwae), estimate(-report.elbo)
    row = about | {"mean": nll.mean, "se": nll.se, "elbo": elbo.mean}
    row["evaluation_seconds"] = time.perf_counter() - start
    with replacing(kept) as file:
        file.write(json.dumps(row).encode())
    return row


def _table(found: dict[str, dict], data: str, count: int, num_samples: int) -> str:
    """The table as Markdown, fit for a page."""
    lines = [
        f"-log p(x) in nats per image, estimated by IWAE-{num_samples:,} on {count:,} test images "
        f"of {data}, binarized once.",
        "",
        "| model | passes | training | obtained ± s.e. | published | source |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in found.items():
        about, value = ROWS[key], Estimate(row["mean"], row["se"])
        minutes = f"{row['seconds'] / 60:.1f} min"
        lines.append(
            f"| {about.name} | {row['passes']:,} | {minutes} | {value} | {about.published:.2f} "
            f"| {about.source} |"
        )
    if data != "mnist" or count != 10_000:
        lines += ["", "The published figures are for all 10,000 test images of mnist."]
    return "\n".join(lines)
