"""Images with something wrong on purpose, and where: planted defects, and replaced pixels.

Each function takes images ``[B, C, H, W]`` in [0, 1], grey or color, light ink on dark paper, on
any device. What is random is drawn on the CPU from a seed, so that it is the same on every device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_lib.errors import check_images, check_number, check_seed, unknown

__all__ = ["KINDS", "MIN_CHANGE", "MIN_PIXELS", "plant_defect", "replace_pixels"]

KINDS = ("blot", "missing", "scratch")

MIN_CHANGE = 0.25
"""A pixel belongs to the mask if a channel changed by this much; less can hardly be seen."""

MIN_PIXELS = 6
"""Smaller defects are drawn again elsewhere."""

_TRIES = 100


def plant_defect(x: Tensor, kind: str = "scratch", seed: int = 0) -> tuple[Tensor, Tensor]:
    """Damage every image in one place, and return the images and where they were changed.

    * ``"scratch"``: a straight light line, half as long as the image, a pixel or two wide;
    * ``"blot"``: a light disc, its radius about a twelfth of the image;
    * ``"missing"``: the same disc and twice as large, but dark, around a pixel with ink.

    The mask holds what changed, not what the tool touched: light on light ink leaves no trace that
    anything could find.

    Args:
        x: ``[B, C, H, W]``; what is damaged stays binary if it was.
        kind: one of ``KINDS``.
        seed: of the places, sizes and directions, which differ from image to image.

    Returns:
        images: ``[B, C, H, W]``, a copy.
        masks: bool ``[B, 1, H, W]``, True where the image was changed by ``MIN_CHANGE`` or more.

    Raises:
        ValueError: an unknown kind, or an image in which no such defect changes ``MIN_PIXELS``
            pixels, such as a missing piece of an image without ink.
    """
    check_images(x)
    if kind not in KINDS:
        raise unknown("kind of defect", kind, KINDS)
    generator = torch.Generator().manual_seed(check_seed(seed))
    original = x.detach().cpu()
    images, masks = original.clone(), torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.bool)
    todo = torch.arange(len(x))
    for _ in range(_TRIES):
        some = original[todo]
        touched = _shape(some, kind, generator)
        damaged = some.masked_fill(touched, 0.0 if kind == "missing" else 1.0)
        changed = ((damaged - some).abs() >= MIN_CHANGE).any(1, keepdim=True)
        good = changed.flatten(1).sum(1) >= MIN_PIXELS
        images[todo[good]], masks[todo[good]] = damaged[good], changed[good]
        todo = todo[~good]
        if len(todo) == 0:
            return images.to(x.device), masks.to(x.device)
    raise ValueError(
        f"Image {todo[0].item()} has no place where a {kind} changes {MIN_PIXELS} pixels; "
        "images with light ink on dark paper were expected."
    )


def _shape(x: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """The pixels that the tool touches in each image, bool ``[B, 1, H, W]``."""
    count, height, width = len(x), *x.shape[2:]
    size = min(height, width)
    u = torch.rand(count, 4, generator=generator)
    center = (0.2 + 0.6 * u[:, :2]) * torch.tensor([height, width])  # row, column
    if kind == "missing":
        ink = x.amax(1).flatten(1) + 1e-9  # a blank image gets an error later, not here
        at = torch.multinomial(ink, 1, generator=generator).squeeze(1)
        center = torch.stack([at.div(width, rounding_mode="floor"), at % width], 1) + 0.5
    rows = (torch.arange(height) + 0.5)[:, None] - center[:, 0, None, None]
    columns = (torch.arange(width) + 0.5) - center[:, 1, None, None]
    if kind == "scratch":
        angle = math.pi * u[:, 2, None, None]
        along = rows * angle.sin() + columns * angle.cos()
        across = rows * angle.cos() - columns * angle.sin()
        touched = (along.abs() <= size / 4) & (across.abs() <= (0.6 + 0.4 * u[:, 3, None, None]))
    else:
        radius = size / 28 * (2 + u[:, 2, None, None]) * (2 if kind == "missing" else 1)
        touched = rows.square() + columns.square() <= radius.square()
    return touched.unsqueeze(1)


def replace_pixels(x: Tensor, probability: float, seed: int = 0) -> Tensor:
    """Return the images with some pixels replaced by uniform draws from [0, 1].

    Each pixel is replaced with this probability, on its own. What images have in common, such as
    how much paper there is, stays roughly as it was; what makes them digits fades. A model that is
    trained on them is the background model of a likelihood ratio.

    Args:
        x: ``[B, C, H, W]``; what is drawn for binary images is grey, and becomes a fair coin when
            it is binarized.
        probability: from 0 to 1.
        seed: of the draws.

    Source: Ren et al. 2019 (arXiv 1906.02845), where pixels of 8 bits are replaced.
    """
    check_images(x)
    probability = check_number(
        probability, "probability", lambda p: 0 <= p <= 1, "a number from 0 to 1"
    )
    generator = torch.Generator().manual_seed(check_seed(seed))
    hit = torch.rand(x.shape, generator=generator) < probability
    value = torch.rand(x.shape, generator=generator).to(x.dtype)
    return torch.where(hit.to(x.device), value.to(x.device), x)
