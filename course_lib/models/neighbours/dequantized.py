"""A density over real vectors, made a model of binary ones."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_whole
from course_lib.models.neighbours.vectors import check_vectors


class Dequantized(nn.Module):
    """Binary x from real w: x_d = 1 where w_d > 0.

    A density can be made as high as one likes on the 2^D points themselves, so noise u in (0, 1)
    spreads each over a cube before it is learned: y = (x + u) / 2 fills (0, 1), and w = logit(y)
    the line. With P(x) the density's mass over the cube of x, Jensen's inequality gives

        log P(x) >= E_u[ log p(w) + log |dw/du| ],  dw/du = 1 / (2 y (1 - y)) for each pixel.

    Sources: Theis et al. 2016 (arXiv 1511.01844, section 3.1); Ho et al. 2019 (1902.00275, 3.1).

    Args:
        density: a model with ``log_prob: [B, D] -> [B]`` and ``sample(n)``, such as a Flow.
    """

    def __init__(self, density: nn.Module):
        super().__init__()
        self.density, self.dim = density, density.dim

    def spread(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One draw of ``w: [B, D]`` for ``x: [B, D]``, and ``log |dw/du|: [B]``."""
        check_vectors(x, self.dim, binary=True)
        edge = torch.finfo(x.dtype).eps  # u = 0 would send w to minus infinity
        y = (x + torch.rand_like(x).clamp(edge, 1 - edge)) / 2
        w = torch.logit(y)
        # log 1 / (y (1 - y)) = softplus(w) + softplus(-w), without y's rounding at the ends
        return w, (F.softplus(w) + F.softplus(-w) - math.log(2)).sum(1)

    def elbo(self, x: Tensor) -> Tensor:
        """A lower bound on log P(x), ``[B]``, in nats per image; unbiased, from one u for each."""
        w, log_det = self.spread(x)
        return self.density.log_prob(w) + log_det

    def loss(self, x: Tensor) -> Tensor:
        return -self.elbo(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw ``[n, D]`` of 0 and 1."""
        w = self.density.sample(check_whole(n, "n"))
        return (w > 0).to(w.dtype)
