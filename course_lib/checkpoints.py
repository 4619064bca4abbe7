"""Checkpoints: written whole or not at all, and refused with a sentence when damaged."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import torch
from torch import nn

from course_lib.files import replacing
from course_lib.models import build

__all__ = ["load_model", "read_checkpoint", "write_checkpoint"]

FORMAT = "course_lib checkpoint 1"


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    """Write ``content`` (tensors, numbers, strings, and dicts and lists of them) to ``path``."""
    with replacing(path) as file:
        torch.save({"format": FORMAT, **content}, file)


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Return what :func:`write_checkpoint` wrote, with every tensor on the CPU.

    Nothing in the file is executed: only tensors and plain values are accepted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or not a checkpoint of this library.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {path}. Train one with "
            f"`python -m course_lib train --out {path}`."
        )
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not compare the checksums
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(damaged)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is not a whole checkpoint: it is truncated, damaged or of another kind "
            f"({type(error).__name__}). Restore it from a copy, or train again."
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{path} was written by something else (format {found!r}); '{FORMAT}' was expected."
        )
    return content


def load_model(path: str | os.PathLike, model: nn.Module | None = None) -> nn.Module:
    """Return the trained model of a checkpoint, in evaluation mode, on the CPU.

    Args:
        path: what ``fit(checkpoint=...)`` or ``python -m course_lib train`` wrote.
        model: the model to fill; needed only if it was not made by ``course_lib.models``.

    Raises:
        FileNotFoundError, ValueError: see :func:`read_checkpoint`, or the model does not fit.
    """
    content = read_checkpoint(path)
    if model is None:
        if content.get("spec") is None:
            raise ValueError(
                f"{path} holds the weights of a model that this library did not make; "
                "make it yourself and hand it in: load_model(path, model)."
            )
        model = build(content["spec"])
    try:
        model.load_state_dict(content["result"])
    except (KeyError, RuntimeError) as error:
        detail = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"The weights in {path} don't fit this model: {detail}") from error
    return model.eval()
