"""Errors that a reader can act on: what was wrong, what was expected, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import torch
from torch import Tensor


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name, with the nearest known one where there is one.

    Args:
        kind: what the name stands for, such as ``"data set"``.
        name: what was given.
        known: the names that would have been accepted.
    """
    known = sorted(known)
    near = get_close_matches(str(name).lower(), [k.lower() for k in known], n=1, cutoff=0.5)
    hint = next((f" Did you mean '{k}'?" for k in known if near and k.lower() == near[0]), "")
    return ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


def check_images(x: object, name: str = "x", *, binary: bool = False) -> None:
    """Raise unless ``x`` is a non-empty float tensor ``[B, C, H, W]`` with values in [0, 1].

    Args:
        x: the value to check.
        name: how the message calls it.
        binary: also require every pixel to be 0 or 1.

    Raises:
        TypeError: not a tensor, or integer pixels.
        ValueError: wrong shape, an empty batch, NaN, or pixels outside [0, 1].
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} is a {type(x).__name__}; a torch tensor [B, C, H, W] of pixels in [0, 1] "
            "was expected. Convert it with torch.as_tensor(...)."
        )
    if x.dim() != 4:
        raise ValueError(
            f"{name} has shape {list(x.shape)}; images [B, C, H, W] were expected, for example "
            "[64, 1, 28, 28]. Add the missing axes with reshape or unsqueeze."
        )
    if x.numel() == 0:
        raise ValueError(f"{name} is empty (shape {list(x.shape)}); at least one image is needed.")
    if not x.is_floating_point():
        raise TypeError(
            f"{name} holds {x.dtype} pixels; floats in [0, 1] were expected. "
            "For 8-bit images use x.float() / 255."
        )
    low, high = torch.aminmax(x)
    low, high = low.item(), high.item()
    if not (low >= 0 and high <= 1):  # written so that a NaN fails too
        raise ValueError(
            f"{name} has pixels from {low:g} to {high:g}; values in [0, 1] without NaN were "
            "expected. Divide 8-bit images by 255, and undo any mean/std normalization."
        )
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            f"{name} has grey pixels; 0 or 1 was expected. Binarize it first, "
            "for example with course_lib.data.binarize(x)."
        )
