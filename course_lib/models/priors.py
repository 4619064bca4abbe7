"""Priors p(z) that are learned with the model; without one, p(z) = N(0, I).

Each is a module that is called without arguments and returns a ``torch.distributions`` object with
batch shape ``[]`` and event shape ``[L]``.
"""

from __future__ import annotations

import torch
from torch import nn

from course_lib.distributions import NormalMixture
from course_lib.errors import check_whole, unknown

__all__ = ["PRIORS", "MixturePrior", "make_prior"]


class MixturePrior(nn.Module):
    """A mixture of ``components`` diagonal normals whose weights, means and scales are learned.

    The aggregate posterior, the mean of q(z|x) over the data, is the prior that maximizes the
    average ELBO; a mixture comes nearer to it than one normal does. KL(q || p) has no closed form
    then, so bounds take it from the draws.

    Source: Tomczak & Welling 2018 (arXiv 1705.07120), section 3, the "MoG" prior.
    """

    def __init__(self, latent_dim: int, components: int = 100):
        super().__init__()
        latent_dim = check_whole(latent_dim, "latent_dim")
        components = check_whole(components, "components")
        self.logits = nn.Parameter(torch.zeros(components))
        # Apart from each other, or all would receive the same gradient and stay one normal; with
        # these scales the mixture as a whole starts near N(0, I).
        self.means = nn.Parameter(0.7 * torch.randn(components, latent_dim))
        self.log_scales = nn.Parameter(torch.full((components, latent_dim), -0.3))

    def forward(self) -> NormalMixture:
        return NormalMixture(self.logits, self.means, self.log_scales)


PRIORS = ("standard", "mixture")


def make_prior(name: str, latent_dim: int, components: int = 100) -> nn.Module | None:
    """Return the prior of that name, one of ``PRIORS``; None stands for N(0, I)."""
    if name not in PRIORS:
        raise unknown("prior", name, PRIORS)
    return MixturePrior(latent_dim, components) if name == "mixture" else None
