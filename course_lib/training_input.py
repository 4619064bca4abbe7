"""What :func:`course_lib.training.fit` accepts, checked before anything is run or written."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.checkpoints import check_weights, read_checkpoint
from course_lib.errors import (
    check_images,
    check_number,
    check_rows,
    check_seed,
    check_whole,
    unknown,
)
from course_lib.files import check_writable
from course_lib.training_run import OPTIMIZERS

__all__ = [
    "check_compiler",
    "check_data",
    "check_graph",
    "check_plain",
    "check_settings",
    "count_validation",
    "find_checkpoint",
    "fingerprint",
    "warn_of_grey",
]

SCHEDULES = ("constant", "cosine")


def check_data(data: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Return ``data`` as a list: the images, then what belongs to them row by row."""
    tensors = list(data) if isinstance(data, tuple | list) else [data]
    if not tensors:
        raise ValueError("data is empty; a tensor of images [N, C, H, W] was expected.")
    if isinstance(getattr(tensors[0], "train", None), Tensor):
        raise TypeError(
            f"data is a whole {type(tensors[0]).__name__}, test images included; give fit the "
            "training images alone: data.train."
        )
    check_images(tensors[0], "data")
    check_rows(tensors[1:], len(tensors[0]), "data")
    return tensors


def fingerprint(tensors: list[Tensor]) -> str:
    """Shapes, mean and order: enough to notice that a run is resumed on other data."""
    shapes = ", ".join("x".join(map(str, t.shape)) for t in tensors)
    x = tensors[0].flatten(1).mean(1, dtype=torch.float64)
    place = torch.linspace(-1, 1, len(x), dtype=torch.float64, device=x.device)
    slope = round((place * x).sum().item(), 3) + 0.0  # no -0.0, whose sign is chance
    return f"{shapes}, mean {x.mean().item():.6f}, slope {slope:.3f}"


def warn_of_grey(model: nn.Module, x: Tensor, stacklevel: int) -> None:
    """Warn if a Bernoulli likelihood is about to meet grey pixels; looks at some images only."""
    some = x[:1000]
    if getattr(getattr(model, "head", None), "binary", False) and not some.eq(some.round()).all():
        warnings.warn(
            "data has grey pixels but the likelihood is Bernoulli, so the loss is a cross-entropy "
            "and no bound on log p(x). Pass binarize=True, or use another likelihood.",
            stacklevel=stacklevel + 1,
        )


def check_settings(settings: dict) -> dict:
    """Return the settings as plain numbers, which a checkpoint can hold."""
    s = dict(settings)
    if s["optimizer"] not in OPTIMIZERS:
        raise unknown("optimizer", s["optimizer"], OPTIMIZERS)
    if s["schedule"] not in SCHEDULES:
        raise unknown("schedule", s["schedule"], SCHEDULES)
    for name in ("epochs", "batch_size", "patience"):
        if name != "patience" or s[name] is not None:
            s[name] = check_whole(s[name], name)
    s["seed"] = check_seed(s["seed"])
    s["lr"] = check_number(s["lr"], "lr", lambda v: v > 0, "a positive number, such as 1e-3,")
    for name in ("beta", "warmup_epochs", "weight_decay"):
        s[name] = check_number(s[name], name, lambda v: v >= 0, "a finite number from 0 up")
    if s["clip_norm"] is not None:
        good = "a positive number, such as 5.0, or None"
        s["clip_norm"] = check_number(s["clip_norm"], "clip_norm", lambda v: v > 0, good)
    if s["ema"] is not None:
        good = "a decay between 0 and 1, such as 0.999, or None"
        s["ema"] = check_number(s["ema"], "ema", lambda v: 0 < v < 1, good)
    s["final_share"] = check_number(
        s["final_share"], "final_share", lambda v: 0 < v <= 1, "a share above 0 and up to 1"
    )
    for name in ("binarize", "compile", "bf16", "graph"):
        if s[name] not in (True, False):
            raise ValueError(f"{name} is {s[name]!r}; True or False was expected.")
        s[name] = bool(s[name])
    good = "a share from 0 to below 1, or a whole number of examples,"
    if isinstance(s["validation"], float):
        s["validation"] = check_number(s["validation"], "validation", lambda v: 0 <= v < 1, good)
    else:
        try:
            s["validation"] = check_whole(s["validation"], "validation", 0)
        except ValueError:
            raise ValueError(f"validation is {s['validation']!r}; {good} was expected.") from None
    return s


def count_validation(validation: float | int, count: int, patience: int | None) -> int:
    """Return how many of ``count`` examples are kept out."""
    held_out = round(validation * count) if isinstance(validation, float) else validation
    if held_out >= count:
        raise ValueError(
            f"validation is {validation}, which leaves no training data: there are {count} "
            "examples. Give a smaller share or number."
        )
    if patience is not None and held_out == 0:
        raise ValueError("patience needs a validation split; set validation, such as 0.05.")
    return held_out


def check_compiler(device: torch.device) -> None:
    """Raise unless ``torch.compile`` finds what it needs."""
    from course_lib.probe import find_compiler  # the doctor's question, asked where torch is not

    if device.type == "cpu" and find_compiler() is None:
        raise ValueError(
            "compile=True needs a C++ compiler, and none was found on this machine. Install one "
            "(Debian and Ubuntu: apt install g++), name yours in the variable CXX, or train with "
            "compile=False."
        )


def check_graph(device: torch.device, processes: int) -> None:
    """Raise unless a training step can be recorded as a CUDA graph there."""
    if device.type != "cuda" or processes > 1:
        where = f"in {processes} processes" if processes > 1 else f"on {device}"
        raise ValueError(
            f"graph=True records the step of one process on a CUDA device, and this one runs "
            f"{where}. Train with graph=False."
        )


def check_plain(value: object, name: str) -> None:
    """Raise unless a checkpoint would give ``value`` back: better now than after the training."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    except Exception as error:
        raise TypeError(
            f"{name} is {value!r}, which can't be read back from a checkpoint; numbers, strings, "
            "tensors, and lists and dicts of them were expected. Convert a Path with str() and a "
            "numpy value with .item()."
        ) from error


def find_checkpoint(
    checkpoint: str | Path | None, resume: bool, settings: dict, model: nn.Module
) -> dict | None:
    """Return the saved state to go on from, or None for a fresh run.

    Raises:
        FileExistsError, OSError, ValueError: it may not or can't be written, or is of another run.
    """
    if checkpoint is None:
        if resume:
            raise ValueError("resume=True needs checkpoint=..., the file to go on from.")
        return None
    path = check_writable(checkpoint)
    if not path.exists():
        return None
    if not resume:
        raise FileExistsError(
            f"{path} exists. Pass resume=True to go on from it, or choose another name."
        )
    saved = read_checkpoint(path)
    if any(part not in saved for part in ("settings", "weights", "optimizer", "history")):
        raise ValueError(
            f"{path} holds a model but no training run to go on from. Choose another name."
        )
    before = {"graph": False} | saved["settings"]  # checkpoints are older than that switch
    changed = [k for k in settings if before.get(k) != settings[k]]
    if changed:
        detail = ", ".join(f"{k} was {before.get(k)} and is {settings[k]}" for k in changed)
        raise ValueError(
            f"{path} is of a run with other settings: {detail}. "
            "Resume with the same ones, or choose another name."
        )
    check_weights(path, saved["weights"], saved.get("spec"), model)
    return saved
