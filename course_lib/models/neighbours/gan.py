"""A generative adversarial network: two players, and no likelihood."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_seed, check_whole
from course_lib.models.neighbours.parts import dense
from course_lib.models.neighbours.vectors import check_vectors
from course_lib.randomness import seeded


class GAN(nn.Module):
    """x = g(z), z ~ N(0, I); d(x) is a logit, "how sure am I that x is real?".
    With ``binary`` g ends in a sigmoid, for no gradient flows through a coin flip, and d sees all
    through noise, or it would only tell grey from black and white. ``sample`` rounds. Sources:
    Goodfellow et al. 2014 (arXiv 1406.2661); the noise, Arjovsky & Bottou 2017 (1701.04862)."""

    def __init__(self, dim: int, latent_dim: int = 8, hidden: int = 128, binary: bool = False):
        super().__init__()
        self.dim, self.latent_dim = check_whole(dim, "dim"), check_whole(latent_dim, "latent_dim")
        hidden, self.binary = check_whole(hidden, "hidden"), binary
        self.g, self.d = dense(latent_dim, hidden, hidden, dim), dense(dim, hidden, hidden, 1)

    def logit(self, x: Tensor) -> Tensor:  # of "x is real", [B]
        return self.d(x + 0.5 * torch.randn_like(x) if self.binary else x)[:, 0]

    def generate(self, n: int) -> Tensor:  # [n, D], differentiable in the weights of g
        x = self.g(torch.randn(check_whole(n, "n"), self.latent_dim).to(self.g[0].weight))
        return x.sigmoid() if self.binary else x

    def d_loss(self, x: Tensor, fake: Tensor) -> Tensor:  # -log D(x) - log(1 - D(fake)), [B]
        check_vectors(x, self.dim, binary=self.binary)
        return F.softplus(-self.logit(x)) + F.softplus(self.logit(fake.detach()))

    def g_loss(self, fake: Tensor) -> Tensor:  # -log D(fake), [B]
        return F.softplus(-self.logit(fake))

    def sample(self, n: int) -> Tensor:  # [n, D], one pass
        x = self.generate(n).detach()
        return x.round() if self.binary else x


def fit_gan(
    gan: GAN, x: Tensor, *, steps: int, batch_size: int = 128, lr: float = 1e-3, seed: int = 0
) -> Tensor:
    """Let the players take turns on ``x: [N, D]``; return both losses, ``[steps, 2]``."""
    d_opt, g_opt = (torch.optim.Adam(p.parameters(), lr, betas=(0.5, 0.9)) for p in (gan.d, gan.g))
    history, steps = [], check_whole(steps, "steps")
    with seeded(check_seed(seed), next(gan.parameters()).device):
        for index in torch.randint(len(x), (steps, batch_size)):
            for opt in (d_opt, g_opt):
                fake = gan.generate(batch_size)
                loss = gan.d_loss(x[index], fake) if opt is d_opt else gan.g_loss(fake)
                gan.zero_grad()
                loss.mean().backward()
                opt.step()
                history.append(loss.detach().mean())
    return torch.stack(history).unflatten(0, (steps, 2))
