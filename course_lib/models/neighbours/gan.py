"""A generative adversarial network: two players, and no likelihood."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_seed, check_whole
from course_lib.models.neighbours.parts import dense
from course_lib.models.neighbours.vectors import check_vectors


class GAN(nn.Module):
    """x = g(z), z ~ N(0, I); d(x) is a logit, "how sure am I that x is real?".
    With ``binary`` g ends in a sigmoid. No gradient flows through a coin flip, so d compares its
    grey levels with real black and white, and ``sample`` rounds them.
    Source: Goodfellow et al. 2014 (arXiv 1406.2661), with the loss of its section 3 for g.
    """

    def __init__(self, dim: int, latent_dim: int = 8, hidden: int = 128, binary: bool = False):
        super().__init__()
        self.dim, self.latent_dim = check_whole(dim, "dim"), check_whole(latent_dim, "latent_dim")
        hidden, self.binary = check_whole(hidden, "hidden"), binary
        self.g, self.d = dense(latent_dim, hidden, hidden, dim), dense(dim, hidden, hidden, 1)

    def generate(self, n: int) -> Tensor:
        """``[n, D]``, differentiable in the weights of g."""
        z = torch.randn(check_whole(n, "n"), self.latent_dim).to(self.g[0].weight)
        return self.g(z).sigmoid() if self.binary else self.g(z)

    def d_loss(self, x: Tensor, fake: Tensor) -> Tensor:
        """-log D(x) - log(1 - D(fake)), ``[B]``, with D = sigmoid(d); fake gets no gradient."""
        check_vectors(x, self.dim, binary=self.binary)
        return (F.softplus(-self.d(x)) + F.softplus(self.d(fake.detach())))[:, 0]

    def g_loss(self, fake: Tensor) -> Tensor:  # -log D(fake), [B]
        return F.softplus(-self.d(fake))[:, 0]

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:  # [n, D], one pass
        return self.generate(n).round() if self.binary else self.generate(n)


def fit_gan(
    gan: GAN, x: Tensor, *, steps: int, batch_size: int = 128, lr: float = 1e-3, seed: int = 0
) -> Tensor:
    """Let the players take turns on ``x: [N, D]``; return both losses, ``[steps, 2]``, in nats."""
    d_opt, g_opt = (torch.optim.Adam(p.parameters(), lr, betas=(0.5, 0.9)) for p in (gan.d, gan.g))
    history = []
    with torch.random.fork_rng():
        torch.manual_seed(check_seed(seed))
        for _ in range(check_whole(steps, "steps")):
            real, losses = x[torch.randint(len(x), (batch_size,))], []
            for player, opt in ((gan.d_loss, d_opt), (lambda _, fake: gan.g_loss(fake), g_opt)):
                loss = player(real, gan.generate(batch_size)).mean()
                gan.zero_grad()
                loss.backward()
                opt.step()
                losses.append(loss.detach())
            history.append(torch.stack(losses))
    return torch.stack(history)
