"""An autoregressive model: one network gives all the conditionals of the chain rule at once."""

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.errors import check_whole
from course_lib.models.neighbours.parts import Masked
from course_lib.models.neighbours.vectors import check_vectors


class Autoregressive(nn.Module):
    """log p(x) = sum_d log p(x_d | x_1 ... x_{d-1}): MADE, after Germain et al. 2015
    (arXiv 1502.03509, sections 3, 4); with Gaussian mixtures, Uria et al. 2013 (1306.0186).

    Args:
        dim: D.
        hidden: units in each of two hidden layers.
        components: 0 for binary x (Bernoullis), else Gaussians in the mixture of each conditional.
    """

    def __init__(self, dim: int, hidden: int = 512, components: int = 0):
        super().__init__()
        self.dim, hidden = check_whole(dim, "dim"), check_whole(hidden, "hidden")
        self.components = check_whole(components, "components", 0)
        order = torch.arange(1, dim + 1)  # x_d has the number d, and h sees x_d up to its degree
        degree = torch.arange(hidden) * max(dim - 1, 1) // hidden + 1
        out = order.repeat_interleave(3 * self.components or 1)
        masks = degree[:, None] >= order, degree[:, None] >= degree, out[:, None] > degree
        first, second, last = map(Masked, masks)
        self.net = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), last)
        nn.init.normal_(last.bias)  # the Gaussians of a mixture must not start as one

    def conditionals(self, x: Tensor) -> td.Distribution:
        """All p(x_d | x_1 ... x_{d-1}) for ``x: [B, D]``: batch shape ``[B, D]``."""
        check_vectors(x, self.dim, binary=not self.components)
        params = self.net(x)
        if not self.components:
            return td.Bernoulli(logits=params)
        logits, mu, log_sigma = params.unflatten(1, (self.dim, 3, -1)).unbind(2)
        return td.MixtureSameFamily(td.Categorical(logits=logits), td.Normal(mu, log_sigma.exp()))

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log p(x), ``[B]``, in nats: one pass, since all x_d are known."""
        return self.conditionals(x).log_prob(x).sum(1)

    def loss(self, x: Tensor) -> Tensor:
        return -self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, given: Tensor | None = None) -> Tensor:
        """Draw ``[n, D]`` in D passes; ``given: [n, d]`` fixes the first d values of each."""
        x = self.net[0].bias.new_zeros(check_whole(n, "n"), self.dim)
        start = 0 if given is None else given.shape[1]
        x[:, :start] = 0 if given is None else given
        for d in range(start, self.dim):
            x[:, d] = self.conditionals(x).sample()[:, d]
        return x
