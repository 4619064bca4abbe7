"""Checkpoints: written whole or not at all, and refused with a sentence when damaged."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.files import replacing
from course_lib.models import build

__all__ = ["check_weights", "load_model", "read_checkpoint", "write_checkpoint"]

FORMAT = "course_lib checkpoint 1"


def write_checkpoint(path: str | os.PathLike, content: dict) -> None:
    """Write ``content`` (tensors, numbers, strings, and dicts and lists of them) to ``path``.

    Raises:
        OSError: it can't be written, because the disk is full for example; an older file stays.
        KeyboardInterrupt: the user stopped it; an older file stays.
    """
    try:
        with replacing(path) as file:
            torch.save({"format": FORMAT, **content}, file)
    except (OSError, RuntimeError) as error:
        # torch reports a write that did not end as a RuntimeError, whatever ended it.
        reasons = list(_chain(error))
        if any(isinstance(reason, KeyboardInterrupt) for reason in reasons):
            raise KeyboardInterrupt from error
        cause = next((reason for reason in reasons if isinstance(reason, OSError)), error)
        raise OSError(
            f"The checkpoint {path} could not be written ({str(cause).splitlines()[0]}); if there "
            "was one before, it is still whole. Make room on the disk, then resume from it."
        ) from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, the one during whose handling it was raised, and so on."""
    while error is not None:
        yield error
        error = error.__context__


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Return what :func:`write_checkpoint` wrote, with every tensor on the CPU.

    Nothing in the file is executed: only tensors and plain values are accepted.

    Raises:
        FileNotFoundError, IsADirectoryError, PermissionError: there is no such file to read.
        ValueError: the file is damaged, or not a checkpoint of this library.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(
            f"{path} is a folder; the file of a checkpoint was expected, such as {path / 'run.pt'}."
        )
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
    except PermissionError:
        raise PermissionError(
            f"{path} may not be read by you. Give yourself the permission, or take a copy."
        ) from None
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
    if not isinstance(content.get("result"), dict):
        raise ValueError(f"{path} holds no trained weights. Give the file that training wrote.")
    check_weights(path, content["result"], None, model)
    model.load_state_dict(content["result"])
    return model.eval()


def check_weights(
    path: str | os.PathLike, weights: dict, spec: dict | None, model: nn.Module
) -> None:
    """Raise ValueError unless ``weights``, made by a model of ``spec``, fit ``model``.

    Looks before anything is copied, so that a model that does not fit stays as it was.
    """
    found = {k: list(v.shape) if isinstance(v, Tensor) else v for k, v in weights.items()}
    wanted = {
        k: list(v.shape) if isinstance(v, Tensor) else v for k, v in model.state_dict().items()
    }
    own = getattr(model, "spec", None)
    if isinstance(spec, dict) and isinstance(own, dict) and spec != own:
        found, wanted = spec, own
    for name in [*wanted, *(k for k in found if k not in wanted)]:
        if found.get(name, "missing") != wanted.get(name, "missing"):
            raise ValueError(
                f"The weights in {path} don't fit this model: {name} is "
                f"{found.get(name, 'missing')} there and {wanted.get(name, 'missing')} here. "
                "Make the model that was trained, or choose another file."
            )
