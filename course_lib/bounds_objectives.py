"""Losses for training other than the negative ELBO, per example and in nats.

Each function here returns an objective, ``objective(model, x, *context)``, for
:func:`course_lib.training.fit`. What it gives is no ELBO and is not called one: evaluate with
:func:`course_lib.evaluation.evaluate`, whatever the model was trained on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence

from course_lib import bounds
from course_lib.errors import check_number, check_whole

__all__ = ["free_bits", "iwae_loss"]


def iwae_loss(num_samples: int) -> Callable[..., Tensor]:
    """Return the objective -IWAE-K, ``[B]`` in nats, for ``K = num_samples`` draws per example.

    Source: Burda et al. 2016 (arXiv 1509.00519), eq. 8 and section 3.
    """
    num_samples = check_whole(num_samples, "num_samples")

    def objective(model, x: Tensor, *context: Tensor) -> Tensor:
        return -bounds.iwae(bounds.log_weights(model, x, num_samples, *context))

    return objective


def free_bits(floor: float) -> Callable[..., bounds.Terms]:
    """Return the objective whose rate counts at least ``floor`` nats for every latent.

    A latent whose KL, averaged over the batch, lies below the floor costs the floor and feels no
    pull towards the prior. The floor is per latent: on the sum it would leave most of them
    collapsed. The rate in the terms is the floored one, so their ``elbo`` is below the ELBO.

    Args:
        floor: lambda, in nats per latent; 0 gives the ELBO's terms.

    Source: Kingma et al. 2016 (arXiv 1606.04934), appendix C.8.
    """
    floor = check_number(floor, "floor", lambda v: v >= 0, "a number from 0 up, in nats per latent")

    def objective(model, x: Tensor, *context: Tensor) -> bounds.Terms:
        q, p = model.posterior(x, *context), model.prior(*context)
        per_latent = kl_per_latent(q, p)
        # The mean decides whether a latent is below the floor; where it is not, every example
        # keeps its own rate, so that nothing is averaged early.
        free = per_latent.mean(0) < floor
        rate = torch.where(free, floor, per_latent).sum(-1)
        z = q.rsample()
        return bounds.Terms(-model.likelihood(z, *context).log_prob(x), rate)

    return objective


def kl_per_latent(q: Independent, p: Independent) -> Tensor:
    """Return KL(q || p) of each latent, ``[B, L]`` in nats, for factorized q and p.

    Raises:
        TypeError: q or p is not a product over its latents (``Independent`` over one axis).
    """
    for name, d in (("The posterior", q), ("The prior", p)):
        if not isinstance(d, Independent) or d.reinterpreted_batch_ndims != 1:
            raise TypeError(
                f"{name} is a {type(d).__name__}; a product over the latents was expected, "
                "Independent(d, 1), since only then does each latent have a KL of its own."
            )
    return kl_divergence(q.base_dist, p.base_dist)
