"""Two-dimensional densities that can be drawn, sampled and evaluated exactly.

Each is a :class:`torch.distributions.Distribution` over the plane: ``log_prob`` maps ``[..., 2]``
to ``[...]`` nats, and ``sample(shape)`` returns ``[*shape, 2]`` from that very density. With the
default options 99 % of the draws lie within [-4, 4] on both axes.

A curved shape is a chain of equal Gaussians, closer together than they are wide: the density is
that of the chain, and not that of a curve which the sampler follows and the formula only resembles.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, TransformedDistribution

from course_lib.data.planar import Bend, Checkerboard, EqualGaussians
from course_lib.errors import check_number, check_whole, unknown

__all__ = ["TOYS", "banana", "checkerboard", "load_toy", "ring", "spiral", "two_moons"]


def _positive(**values: float) -> None:
    for name, value in values.items():
        check_number(value, name, lambda v: v > 0, "a finite number above 0")


def _polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


def _chain(centers: Tensor, scale: float, dtype: torch.dtype | None) -> EqualGaussians:
    # Centers are computed in float64, so that a toy is the same at every precision.
    return EqualGaussians(centers.to(dtype or torch.get_default_dtype()), scale)


def ring(
    modes: int = 8, radius: float = 2.0, scale: float = 0.2, *, dtype: torch.dtype | None = None
) -> Distribution:
    """Return ``modes`` equal Gaussians on a circle.

    Args:
        modes: how many, from 1 up.
        radius: distance of their centers from the origin.
        scale: standard deviation of each.
        dtype: of the samples; torch's default if None.
    """
    modes = check_whole(modes, "modes")
    _positive(radius=radius, scale=scale)
    angle = 2 * math.pi * torch.arange(modes, dtype=torch.float64) / modes
    return _chain(_polar(radius, angle), scale, dtype)


def banana(
    bend: float = 0.4,
    width: float = 1.0,
    thickness: float = 0.4,
    *,
    dtype: torch.dtype | None = None,
) -> Distribution:
    """Return a Gaussian bent into a parabola by a shear, which keeps areas and so the density.

    ``x_0 = a`` and ``x_1 = b + bend * (a^2 - width^2)`` for independent normal a and b, so the
    mean is the origin (after Haario, Saksman and Tamminen 1999, section 4). ``rsample`` works.

    Args:
        bend: curvature; 0 gives the Gaussian, a negative number an arch.
        width: standard deviation of a.
        thickness: standard deviation of b.
        dtype: of the samples; torch's default if None.
    """
    check_number(bend, "bend", lambda _: True, "a finite number")
    _positive(width=width, thickness=thickness)
    scale = torch.tensor([width, thickness], dtype=dtype or torch.get_default_dtype())
    straight = Independent(Normal(torch.zeros_like(scale), scale), 1)
    return TransformedDistribution(straight, Bend(bend, offset=width**2))


def two_moons(
    radius: float = 1.5, scale: float = 0.15, *, dtype: torch.dtype | None = None
) -> Distribution:
    """Return two interleaved half circles, each a chain of 32 Gaussians.

    With the default ratio of ``scale`` to ``radius`` the chain is smooth to the eighth digit.

    Args:
        radius: of the half circles.
        scale: standard deviation around them.
        dtype: of the samples; torch's default if None.
    """
    _positive(radius=radius, scale=scale)
    angle = math.pi * (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    upper = _polar(radius, angle) - radius * torch.tensor([0.5, 0.25])
    return _chain(torch.cat([upper, -upper]), scale, dtype)


def spiral(
    turns: float = 1.75,
    radius: float = 3.0,
    scale: float = 0.15,
    *,
    dtype: torch.dtype | None = None,
) -> Distribution:
    """Return one arm of an Archimedean spiral, a chain of Gaussians evenly spaced along it.

    Args:
        turns: how often it winds around the origin.
        radius: of its outer end.
        scale: standard deviation around the arm.
        dtype: of the samples; torch's default if None.
    """
    _positive(turns=turns, radius=radius, scale=scale)
    count = max(8, math.ceil(math.pi * turns * radius / scale))
    # The length of the arm out to radius r grows with r^2 once it has left the middle.
    part = torch.linspace(0.01, 1, count, dtype=torch.float64).sqrt()
    return _chain(_polar(radius * part, 2 * math.pi * turns * part), scale, dtype)


def checkerboard(
    squares: int = 4, width: float = 6.0, *, dtype: torch.dtype | None = None
) -> Distribution:
    """Return the uniform density on the black squares of a board; 0 (-inf nats) elsewhere.

    Args:
        squares: along a side; an even number.
        width: side of the board, centered at the origin.
        dtype: of the samples; torch's default if None.
    """
    squares = check_whole(squares, "squares", 2)
    if squares % 2:
        raise ValueError(f"squares is {squares!r}; an even whole number from 2 up was expected.")
    _positive(width=width)
    return Checkerboard(torch.tensor(width, dtype=dtype or torch.get_default_dtype()), squares)


TOYS: dict[str, Callable[..., Distribution]] = {
    "ring": ring,
    "banana": banana,
    "two_moons": two_moons,
    "checkerboard": checkerboard,
    "spiral": spiral,
}


def load_toy(name: str, **options: object) -> Distribution:
    """Return the toy called ``name``, one of :data:`TOYS`, made with ``options``.

    Raises:
        ValueError: an unknown name; the message gives the nearest known one.
    """
    if name not in TOYS:
        raise unknown("toy", name, TOYS)
    return TOYS[name](**options)
