"""An energy-based model: the restricted Boltzmann machine, trained by contrastive divergence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_whole
from course_lib.models.neighbours.vectors import all_binary, check_vectors


class RBM(nn.Module):
    """p(v, h) = exp(-E(v, h)) / Z; h is binary, v ``[D]`` as ``binary`` says. With a = b + W h:
    binary  E = -v.a - c.h                               p(v_d = 1 | h) = sigmoid(a_d)
    real    E = |v - b|^2 / 2 s^2 - v.W h / s^2 - c.h    p(v | h) = N(a, s^2 I)
    Sources: Hinton 2002 (Neural Computation 14); for real v Cho et al. 2011, with one s for all.
    """

    def __init__(self, dim: int, hidden: int = 16, binary: bool = True, cd_steps: int = 1):
        super().__init__()
        self.dim, self.cd_steps = check_whole(dim, "dim"), check_whole(cd_steps, "cd_steps")
        self.binary, self.hidden = binary, check_whole(hidden, "hidden", 1, 20)  # Z: 2^H terms
        self.W = nn.Parameter(torch.randn(dim, hidden) * (0.1 if binary else 1.0))
        self.b, self.c = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(hidden))
        self.log_s = nn.Parameter(torch.zeros(()), requires_grad=not binary)

    def h_logits(self, v: Tensor) -> Tensor:  # of p(h = 1 | v), [B, H]
        return self.c + v @ self.W * (-2 * self.log_s).exp()

    def free_energy(self, v: Tensor) -> Tensor:
        """-log sum_h exp(-E(v, h)), ``[B]``: minus log p(v), but for the constant log Z."""
        check_vectors(v, self.dim, binary=self.binary)
        square = (v - self.b).square().sum(1) * (-2 * self.log_s).exp() / 2
        return (-(v @ self.b) if self.binary else square) - F.softplus(self.h_logits(v)).sum(1)

    def log_weights(self, h: Tensor) -> Tensor:
        """log p(h) + log Z for ``h: [S, H]``, ``[S]``: p(v) is a mixture over the states h."""
        wh, volume = h @ self.W.T, ((2 * torch.pi) ** 0.5 * self.log_s.exp()).log()
        gain = wh * (wh + 2 * self.b) * (-2 * self.log_s).exp() / 2 + volume
        return h @ self.c + (F.softplus(self.b + wh) if self.binary else gain).sum(1)

    def log_prob(self, v: Tensor) -> Tensor:  # exact, in nats, [B]
        log_z = self.log_weights(all_binary(self.hidden, self.b)).logsumexp(0)
        return -self.free_energy(v) - log_z

    def draw_v(self, h: Tensor) -> Tensor:
        a = self.b + h @ self.W.T
        return a.sigmoid().bernoulli() if self.binary else torch.normal(a, self.log_s.exp())

    @torch.no_grad()
    def gibbs(self, v: Tensor, steps: int) -> Tensor:
        for _ in range(steps):
            v = self.draw_v(self.h_logits(v).sigmoid().bernoulli())
        return v

    def loss(self, v: Tensor) -> Tensor:  # its gradient is that of CD-k; its value means nothing
        return self.free_energy(v) - self.free_energy(self.gibbs(v, self.cd_steps))

    def sample(self, n: int, steps: int = 500) -> Tensor:  # n chains from noise, near p if they mix
        noise = torch.rand(check_whole(n, "n"), self.hidden).round().to(self.b)
        return self.gibbs(self.draw_v(noise).detach(), steps)
