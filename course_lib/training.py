"""One training loop for every model of the course."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib import bounds, default_device
from course_lib.checkpoints import read_checkpoint
from course_lib.data import binarize as binarize_images
from course_lib.errors import check_images, unknown
from course_lib.progress import make_progress
from course_lib.training_run import OPTIMIZERS, Fit, Objective, Run

__all__ = ["Fit", "fit"]

SCHEDULES = ("constant", "cosine")


def fit(
    model: nn.Module,
    data: Tensor | Sequence[Tensor],
    *,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 2e-3,
    optimizer: str = "adam",
    weight_decay: float = 0.0,
    schedule: str = "cosine",
    objective: Objective = bounds.terms,
    beta: float = 1.0,
    warmup_epochs: float = 0.0,
    binarize: bool = False,
    clip_norm: float | None = None,
    ema: float | None = None,
    validation: float | int = 0.05,
    patience: int | None = None,
    compile: bool = False,
    bf16: bool = False,
    device: torch.device | str | None = None,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    notes: dict | None = None,
    progress: str | bool = "auto",
) -> Fit:
    """Minimize ``distortion + beta * rate``, averaged over batches, and return model and history.

    The session's random state is left as it was; the run depends on ``seed`` alone. Ctrl-C
    ends it and returns what there is. A run that was killed and is called again with
    ``resume=True`` gives bit for bit what the unbroken run gives (on one device and thread count).

    Args:
        model: anything with ``prior``, ``posterior``, ``likelihood``, or what ``objective`` takes.
        data: training images ``[N, C, H, W]``, or a sequence of tensors of equal length whose
            first holds the images; the others go to the objective as context (labels, captions).
        epochs: passes over the data.
        batch_size: examples in a step; the last batch of an epoch may be smaller.
        lr: the learning rate, at its highest.
        optimizer: ``"adam"`` or ``"adamw"``.
        weight_decay: as torch's optimizers take it.
        schedule: ``"cosine"`` takes the learning rate to zero over the run; or ``"constant"``.
        objective: ``objective(model, x, *context)`` gives :class:`Terms`, or a loss ``[B]``.
        beta: weight of the rate. Only 1 makes the loss the negative ELBO.
        warmup_epochs: epochs over which beta rises linearly from 0.
        binarize: draw every image's binary pixels anew at each step (dynamic binarization);
            the validation images are drawn once.
        clip_norm: largest norm of the gradient.
        ema: decay of an exponential moving average of the weights; the average is then what is
            validated and returned.
        validation: share of the data (below 1), or number of examples, kept out for validation.
        patience: epochs without a better validation loss after which to stop; the best weights
            are then returned.
        compile: compile the objective with ``torch.compile`` (needs a C++ compiler on the CPU).
        bf16: compute the layers in bfloat16 (autocast); densities stay in float32.
        device: where to train; default: CUDA where there is one.
        seed: of the split, the order, the binarization and the noise.
        checkpoint: file that holds the whole state of the run after each epoch.
        resume: go on from ``checkpoint`` if it exists; without it an existing file is refused.
        notes: plain values to keep in the checkpoint, such as the name of the data set.
        progress: ``"auto"``, ``"notebook"``, ``"bar"`` or ``False``.

    Raises:
        ValueError, TypeError: an argument is unusable; the sentence says what to do.
        FileExistsError: ``checkpoint`` exists and ``resume`` is False.
        FloatingPointError: the loss became NaN or infinite; the sentence says where.
    """
    tensors = _check_data(data)
    _check_settings(epochs, batch_size, lr, optimizer, schedule, beta, warmup_epochs, ema, patience)
    settings = {
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "optimizer": optimizer,
        "weight_decay": weight_decay, "schedule": schedule, "beta": beta,
        "warmup_epochs": warmup_epochs, "binarize": binarize, "clip_norm": clip_norm, "ema": ema,
        "validation": validation, "patience": patience, "compile": compile, "bf16": bf16,
        "seed": seed, "data": _fingerprint(tensors),
    }  # fmt: skip
    device = torch.device(device) if device is not None else default_device()
    if compile:
        _check_compiler(device)
    saved = _find_checkpoint(checkpoint, resume, settings)

    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        held_out = _count_validation(validation, len(tensors[0]), patience)
        order = torch.randperm(len(tensors[0])).to(device)
        data = [t.to(device) for t in tensors]
        valid = [t[order[:held_out]] for t in data] if held_out else None
        if valid and binarize:
            valid[0] = binarize_images(valid[0])
        run = Run(
            model.to(device), data, order[held_out:], valid, objective, settings, checkpoint, notes
        )
        if saved is not None:
            run.restore(saved)
        with make_progress(progress, epochs * run.steps, run.epoch * run.steps) as display:
            return run.go(display)


def _check_data(data: Tensor | Sequence[Tensor]) -> list[Tensor]:
    tensors = [data] if isinstance(data, Tensor) else list(data)
    if not tensors:
        raise ValueError("data is empty; a tensor of images [N, C, H, W] was expected.")
    check_images(tensors[0], "data")
    for t in tensors[1:]:
        if not isinstance(t, Tensor) or len(t) != len(tensors[0]):
            found = f"{len(t)} rows" if isinstance(t, Tensor) else f"a {type(t).__name__}"
            raise ValueError(
                f"data holds {len(tensors[0])} images but {found} beside them; "
                "tensors with one row for each image were expected."
            )
    return tensors


def _fingerprint(tensors: list[Tensor]) -> str:
    """Shapes and mean pixel: enough to notice that a run is resumed on other data."""
    shapes = ", ".join("x".join(map(str, t.shape)) for t in tensors)
    return f"{shapes}, mean {tensors[0].mean(dtype=torch.float64).item():.6f}"


def _check_settings(
    epochs, batch_size, lr, optimizer, schedule, beta, warmup_epochs, ema, patience
) -> None:
    if optimizer not in OPTIMIZERS:
        raise unknown("optimizer", optimizer, OPTIMIZERS)
    if schedule not in SCHEDULES:
        raise unknown("schedule", schedule, SCHEDULES)
    whole = {"epochs": epochs, "batch_size": batch_size}
    if patience is not None:
        whole["patience"] = patience
    for name, value in whole.items():
        if value != int(value) or value < 1:
            raise ValueError(f"{name} is {value}; a whole number from 1 up was expected.")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr is {lr}; a positive number was expected, such as 1e-3.")
    if not (beta >= 0 and warmup_epochs >= 0):
        raise ValueError(f"beta is {beta}, warmup_epochs {warmup_epochs}; neither may be negative.")
    if ema is not None and not 0 < ema < 1:
        raise ValueError(f"ema is {ema}; a decay between 0 and 1 was expected, such as 0.999.")


def _count_validation(validation: float | int, count: int, patience: int | None) -> int:
    held_out = round(validation * count) if 0 <= validation < 1 else int(validation)
    if not 0 <= held_out < count:
        raise ValueError(
            f"validation is {validation}, which leaves no training data: there are {count} "
            "examples. Give a share below 1, or a number of examples."
        )
    if patience is not None and held_out == 0:
        raise ValueError("patience needs a validation split; set validation, such as 0.05.")
    return held_out


def _check_compiler(device: torch.device) -> None:
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "cl"))):
        raise ValueError(
            "compile=True needs a C++ compiler, and none was found on this machine. Install one "
            "(Debian and Ubuntu: apt install g++), or train with compile=False."
        )


def _find_checkpoint(checkpoint: str | Path | None, resume: bool, settings: dict) -> dict | None:
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs checkpoint=..., the file to go on from.")
        return None
    if not Path(checkpoint).exists():
        return None
    if not resume:
        raise FileExistsError(
            f"{checkpoint} exists. Pass resume=True to go on from it, or choose another name."
        )
    saved = read_checkpoint(checkpoint)
    before = saved["settings"]
    changed = [k for k in settings if before.get(k) != settings[k]]
    if changed:
        detail = ", ".join(f"{k} was {before.get(k)} and is {settings[k]}" for k in changed)
        raise ValueError(
            f"{checkpoint} is of a run with other settings: {detail}. "
            "Resume with the same ones, or choose another name."
        )
    return saved
