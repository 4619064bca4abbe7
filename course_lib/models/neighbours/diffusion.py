"""A diffusion model: T steps of noise, and a network that learns to take them back."""

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Normal, kl_divergence

from course_lib.errors import check_whole
from course_lib.models.neighbours.parts import dense
from course_lib.models.neighbours.vectors import check_vectors


class Diffusion(nn.Module):
    """q(z_t | x) = N(alpha_t x, sigma_t^2 I) for t = 0 (clean) ... T (noise), log SNR linear in t.
    p(z_{t-1} | z_t) is q(z_{t-1} | z_t, x) at the denoiser's guess of x. Binary x counts as -1, 1.
    Sources: Ho et al. 2020 (arXiv 2006.11239); Kingma et al. 2021 (2107.00630, sec. 3, 4)."""

    def __init__(self, dim: int, steps: int = 100, hidden: int = 256, binary: bool = False):
        super().__init__()
        self.dim, self.steps = check_whole(dim, "dim"), check_whole(steps, "steps")
        first = 3.0 if binary else 5.0  # pixels of -1 and 1 show through more noise than places do
        log_snr = torch.linspace(first, -6.0, self.steps + 1)[:, None]
        self.register_buffer("snr", log_snr.exp())
        self.register_buffer("alpha", log_snr.sigmoid().sqrt())
        self.register_buffer("sigma", (-log_snr).sigmoid().sqrt())
        self.binary, self.net = binary, dense(dim + 2, *3 * [check_whole(hidden, "hidden")], dim)

    def denoise(self, z: Tensor, t: Tensor) -> Tensor:  # the guess of x from z_t, [B, D]
        alpha, sigma = self.alpha[t], self.sigma[t]
        out = self.net(torch.cat([z, 2 * alpha, sigma.log()], 1))  # alpha, sigma say which t
        # Binary: the net says what the other pixels tell, alpha z / sigma^2 what the pixel itself.
        return torch.tanh(out + alpha * z / sigma**2) if self.binary else alpha * z - sigma * out

    def step_back(self, z: Tensor, x: Tensor, t: Tensor) -> Normal:  # q(z_{t-1} | z_t, x)
        c, s = 1 - self.snr[t] / self.snr[t - 1], t - 1
        return Normal(self.alpha[s] * ((1 - c) * z / self.alpha[t] + c * x), self.sigma[s] * c**0.5)

    def p_x(self, z: Tensor) -> Distribution:  # p(x | z_0), proportional to q(z_0 | x)
        normal = Normal(z / self.alpha[0], self.sigma[0] / self.alpha[0])
        return Bernoulli(logits=2 * normal.mean * self.snr[0]) if self.binary else normal

    def loss(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """-ELBO, ``[B]`` nats, unbiased: -log p(x|z_0) + KL at T + T times the KL at a random t."""
        check_vectors(x, self.dim, binary=self.binary)
        t = torch.randint(1, self.steps + 1, x.shape[:1], device=x.device) if t is None else t
        pm = 2 * x - 1 if self.binary else x
        z0, zt = (self.alpha[i] * pm + self.sigma[i] * torch.randn_like(x) for i in (0 * t, t))
        last = kl_divergence(Normal(self.alpha[-1] * pm, self.sigma[-1]), Normal(0.0, 1.0))
        gain = self.steps / 2 * (self.snr[t - 1] - self.snr[t])
        return (-self.p_x(z0).log_prob(x) + last + gain * (pm - self.denoise(zt, t)) ** 2).sum(1)

    def elbo(self, x: Tensor) -> Tensor:  # every t once: T passes, a quieter estimate
        t = torch.arange(1, self.steps + 1, device=self.snr.device)[:, None]
        return -torch.stack([self.loss(x, one.expand(len(x))) for one in t]).mean(0)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:  # noise, then T steps back, each a pass of the network
        z = torch.randn(check_whole(n, "n"), self.dim).to(self.snr)
        for t in torch.arange(self.steps, 0, -1, device=z.device):
            z = self.step_back(z, self.denoise(z, t.expand(n)), t.expand(n)).sample()
        return self.p_x(z).sample()
