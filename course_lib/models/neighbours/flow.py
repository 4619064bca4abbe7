"""A normalizing flow of affine couplings: an invertible network and the change of variables."""

import math

import torch
from torch import Tensor, nn

from course_lib.errors import check_whole
from course_lib.models.neighbours.parts import dense
from course_lib.models.neighbours.vectors import check_vectors


class Flow(nn.Module):
    """x = f(z), z ~ N(0, I): log p(x) = log N(z; 0, I) + log |det dz/dx|, z = f^{-1}(x).
    Each layer rescales and shifts half of the values by amounts that depend on the other half.
    The halves take turns, and after every two layers they are cut anew.
    Source: Dinh et al. 2017 (arXiv 1605.08803, section 3).
    """

    def __init__(self, dim: int, layers: int = 8, hidden: int = 64):
        super().__init__()
        self.dim, layers = check_whole(dim, "dim", 2), check_whole(layers, "layers")
        hidden = check_whole(hidden, "hidden")
        generator = torch.Generator().manual_seed(0)  # the cuts are part of the architecture
        cuts = [torch.randperm(dim, generator=generator) % 2 for _ in range(0, layers, 2)]
        masks = torch.stack([(cuts[k // 2] + k) % 2 for k in range(layers)])
        self.register_buffer("masks", masks.to(torch.get_default_dtype()))  # 1: left as it is
        self.nets = nn.ModuleList(dense(dim, hidden, hidden, 2 * dim, zero=True) for _ in masks)

    def _coupling(self, k: int, x: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, shift = self.nets[k](self.masks[k] * x).chunk(2, dim=1)
        moved = 1 - self.masks[k]
        return 3 * torch.tanh(log_scale / 3) * moved, shift * moved  # bounded: no overflow

    def to_z(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``z = f^{-1}(x): [B, D]`` and ``log |det dz/dx|: [B]``."""
        check_vectors(x, self.dim)
        log_det = x.new_zeros(len(x))
        for k in range(len(self.nets)):
            log_scale, shift = self._coupling(k, x)
            x, log_det = x * log_scale.exp() + shift, log_det + log_scale.sum(1)
        return x, log_det

    def to_x(self, z: Tensor) -> Tensor:  # the layers undone in reverse
        check_vectors(z, self.dim)
        for k in reversed(range(len(self.nets))):
            log_scale, shift = self._coupling(k, z)
            z = (z - shift) * (-log_scale).exp()
        return z

    def log_prob(self, x: Tensor) -> Tensor:  # exact, in nats, [B]
        z, log_det = self.to_z(x)
        return log_det - z.square().sum(1) / 2 - self.dim * math.log(2 * math.pi) / 2

    def loss(self, x: Tensor) -> Tensor:
        return -self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:  # [n, D], one pass
        return self.to_x(torch.randn(check_whole(n, "n"), self.dim).to(self.masks))
