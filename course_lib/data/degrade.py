"""What restoration starts from: images made small, noisy, or hidden in part; and bicubic enlarging.

Each function takes images ``[B, C, H, W]`` in [0, 1], grey or color, on any device. What is random
is drawn on the CPU from a seed, so that it is the same on every device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import check_images, check_number, check_seed, check_whole, unknown

__all__ = ["SIDES", "add_noise", "bicubic", "downsample", "half_mask", "hide", "square_mask"]

SIDES = ("bottom", "left", "right", "top")


def downsample(x: Tensor, factor: int) -> Tensor:
    """Return the averages of blocks of ``factor`` × ``factor`` pixels, ``[B, C, H/f, W/f]``.

    The average over its area is what one pixel of a coarser camera would have seen. It keeps the
    mean of the image, and nothing of what differs inside a block.

    Raises:
        ValueError: height or width is no multiple of ``factor``.
    """
    check_images(x)
    factor, (height, width) = check_whole(factor, "factor"), x.shape[-2:]
    if height % factor or width % factor:
        raise ValueError(
            f"Images of {height} × {width} pixels can't be cut into blocks of {factor} × {factor}; "
            "a factor that divides height and width was expected."
        )
    return F.avg_pool2d(x, factor).clamp(0, 1)  # sums in another order may end a bit above 1


def bicubic(x: Tensor, size: int) -> Tensor:
    """Return ``x`` at ``[B, C, size, size]`` by bicubic interpolation, clamped to [0, 1].

    A cubic through the neighboring pixels overshoots at edges; the clamp cuts that off. It looks
    at no other image, so it knows nothing about what is usually seen.

    Source: Keys 1981 (Cubic convolution interpolation), with a = -0.75 as torch has it.
    """
    check_images(x)
    size = check_whole(size, "size")
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=False).clamp(0, 1)


def add_noise(x: Tensor, sigma: float, seed: int = 0) -> Tensor:
    """Return ``x + sigma * eps`` with fresh normal noise for each pixel, **not** clamped.

    A clamp would make the noise depend on the image, and throw away what it cuts off. Use
    ``.clamp(0, 1)`` to show the result.

    Args:
        x: ``[B, C, H, W]``.
        sigma: the standard deviation of the noise, in units of the pixel range; from 0 up.
        seed: of the noise.
    """
    check_images(x)
    sigma = check_number(sigma, "sigma", lambda s: s >= 0, "a finite number from 0 up")
    generator = torch.Generator().manual_seed(check_seed(seed))
    eps = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    return x + sigma * eps.to(x.device)


def hide(x: Tensor, mask: Tensor) -> Tensor:
    """Return the images without their hidden pixels and the mask beside them, ``[B, C + 1, H, W]``.

    Hidden pixels are 0, which black paper is as well: only the mask in the last channel, 1 where
    hidden, tells them apart.

    Args:
        x: ``[B, C, H, W]``.
        mask: bool ``[B, 1, H, W]``, True where a pixel is hidden.
    """
    check_images(x)
    expected = (len(x), 1, *x.shape[2:])
    if not isinstance(mask, Tensor):
        raise TypeError(
            f"mask is a {type(mask).__name__}; a bool tensor {list(expected)} was expected, such "
            "as half_mask(x, 'bottom')."
        )
    if mask.dtype != torch.bool or tuple(mask.shape) != expected:
        raise ValueError(
            f"mask is {mask.dtype} with shape {list(mask.shape)}; a bool tensor {list(expected)} "
            "was expected, True where a pixel is hidden, such as half_mask(x, 'bottom')."
        )
    return torch.cat([x.masked_fill(mask, 0), mask.to(x.dtype)], dim=1)


def half_mask(x: Tensor, side: str = "bottom") -> Tensor:
    """Return the mask that hides one half of each image, bool ``[B, 1, H, W]``.

    Args:
        x: the images, for their number and size.
        side: the half that is hidden, one of ``SIDES``; a middle row or column is hidden too.
    """
    check_images(x)
    if side not in SIDES:
        raise unknown("side", side, SIDES)
    along = 2 if side in ("top", "bottom") else 3
    length = x.shape[along]
    place = torch.arange(length, device=x.device)
    place = place if side in ("top", "left") else place.flip(0)
    shape = [1, 1, 1, 1]
    shape[along] = length
    hidden = (2 * place < length).reshape(shape)
    return hidden.expand(len(x), 1, *x.shape[2:]).clone()


def square_mask(x: Tensor, size: int, seed: int = 0) -> Tensor:
    """Return a mask that hides a square somewhere in each image, bool ``[B, 1, H, W]``.

    Args:
        x: the images, for their number and size.
        size: height and width of the square in pixels; it lies inside the image as a whole.
        seed: of the places, which are uniform and differ from image to image.
    """
    check_images(x)
    height, width = x.shape[-2:]
    size = check_whole(size, "size", 1, min(height, width))
    generator = torch.Generator().manual_seed(check_seed(seed))
    inside = []
    for length in (height, width):
        start = torch.randint(length - size + 1, (len(x), 1), generator=generator)
        place = torch.arange(length)
        inside.append((place >= start) & (place < start + size))  # [B, length]
    rows, columns = inside
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(x.device)
