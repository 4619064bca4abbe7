"""Distributions over the plane that torch lacks, from which the toys are made."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import Transform

__all__ = ["Bend", "Checkerboard", "EqualGaussians"]


class EqualGaussians(Distribution):
    """K isotropic Gaussians with equal weights and one standard deviation.

    ``MixtureSameFamily`` says the same, but its ``sample`` draws from all K and keeps one.

    Args:
        centers: ``[K, 2]``.
        scale: the standard deviation, ``[]``.
    """

    arg_constraints = {  # noqa: RUF012 - torch declares it so
        "centers": constraints.independent(constraints.real, 2),
        "scale": constraints.positive,
    }
    support = constraints.real_vector

    def __init__(
        self, centers: Tensor, scale: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.centers = centers
        self.scale = torch.as_tensor(scale, dtype=centers.dtype, device=centers.device)
        super().__init__(torch.Size(), torch.Size([2]), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        return self.centers.mean(0)

    @property
    def variance(self) -> Tensor:
        return self.centers.var(0, unbiased=False) + self.scale**2

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        shape = torch.Size(sample_shape)
        with torch.no_grad():
            which = torch.randint(len(self.centers), shape, device=self.centers.device)
            center = self.centers[which]
            return center + self.scale * torch.randn_like(center)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        # Squared distances coordinate by coordinate: [..., K] and never [..., K, 2].
        square = (value[..., :1] - self.centers[:, 0]).square()
        square = square + (value[..., 1:] - self.centers[:, 1]).square()
        log_kernel = torch.logsumexp(square / (-2 * self.scale**2), -1)
        return log_kernel - math.log(2 * math.pi * len(self.centers)) - 2 * self.scale.log()


class Checkerboard(Distribution):
    """Uniform on the black squares of a board centered at the origin; -inf nats elsewhere.

    The square at the lower left is black.

    Args:
        width: side of the board, ``[]``.
        squares: squares along a side, an even number so that half of them are black.
    """

    arg_constraints = {"width": constraints.positive}  # noqa: RUF012 - torch declares it so
    # The whole plane, so that a point on a white square has density 0 and is not an error.
    support = constraints.real_vector

    def __init__(self, width: Tensor, squares: int = 4, validate_args: bool | None = None) -> None:
        self.width = width
        self.squares = squares
        super().__init__(torch.Size(), torch.Size([2]), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        # Columns are equally likely, and so are rows: each coordinate alone is uniform.
        return self.width.new_zeros(2)

    @property
    def variance(self) -> Tensor:
        return (self.width**2 / 12).expand(2)

    def sample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        shape, device, dtype = torch.Size(sample_shape), self.width.device, self.width.dtype
        column = torch.randint(self.squares, shape, device=device)
        half = torch.randint(self.squares // 2, shape, device=device)
        corner = torch.stack([column, 2 * half + column % 2], -1)
        # Rounding must not push a point over the edge of its square, to where its density is 0.
        edge = 4 * self.squares * torch.finfo(dtype).eps
        inside = torch.rand(*shape, 2, device=device, dtype=dtype).clamp_(edge, 1 - edge)
        return (corner + inside) * (self.width / self.squares) - self.width / 2

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        square = ((value + self.width / 2) * (self.squares / self.width)).floor()
        on_board = ((square >= 0) & (square < self.squares)).all(-1)
        black = on_board & (square.sum(-1) % 2 == 0)
        log_density = math.log(2) - 2 * self.width.log()
        return torch.where(black, log_density, -math.inf)


class Bend(Transform):
    """``(a, b) -> (a, b + bend * (a^2 - offset))``: a shear, so it keeps areas."""

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, bend: float, offset: float = 1.0) -> None:
        super().__init__()
        self.bend = bend
        self.offset = offset

    def _shift(self, a: Tensor) -> Tensor:
        return self.bend * (a.square() - self.offset)

    def _call(self, x: Tensor) -> Tensor:
        a, b = x.unbind(-1)
        return torch.stack([a, b + self._shift(a)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        a, b = y.unbind(-1)
        return torch.stack([a, b - self._shift(a)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.zeros_like(x[..., 0])
