"""Losses for training other than the negative ELBO, per example and in nats.

Each function here returns an objective, ``objective(model, x, *context)``, for
:func:`course_lib.training.fit`. What it gives is no ELBO and is not called one: evaluate with
:func:`course_lib.evaluation.evaluate`, whatever the model was trained on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from course_lib import bounds, processes
from course_lib.errors import check_number, check_whole

__all__ = ["RateParts", "free_bits", "iwae_loss", "rate_parts", "total_correlation"]


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
        free = _mean_over_batch(per_latent) < floor
        rate = torch.where(free, floor, per_latent).sum(-1)
        z = q.rsample()
        return bounds.Terms(-model.likelihood(z, *context).log_prob(x), rate)

    return objective


def _mean_over_batch(value: Tensor) -> Tensor:
    """The mean over the first axis, over all of a batch that several processes share."""
    count = value.new_full((1,), len(value))
    *sums, count = processes.total(torch.cat([value.detach().sum(0), count]))
    return torch.stack(sums) / count


def kl_per_latent(q: Independent, p: Independent) -> Tensor:
    """Return KL(q || p) of each latent, ``[B, L]`` in nats, for factorized q and p.

    Raises:
        TypeError: q or p is not a product over its latents (``Independent`` over one axis).
    """
    _check_products(q, p)
    return kl_divergence(q.base_dist, p.base_dist)


def _check_products(q: Distribution, p: Distribution) -> None:
    for name, d in (("The posterior", q), ("The prior", p)):
        if not isinstance(d, Independent) or d.reinterpreted_batch_ndims != 1:
            raise TypeError(
                f"{name} is a {type(d).__name__}; a product over the latents was expected, "
                "Independent(d, 1), since only then does each latent have a KL of its own."
            )


class RateParts(NamedTuple):
    """What log q(z|x) - log p(z) is made of at one draw of z each, ``[B]`` in nats.

    Single values may be negative; the averages of the first and the last two are KL divergences
    where q(z) is known exactly.

    Attributes:
        mutual_information: log q(z|x) - log q(z), what z says about which example it came from.
        total_correlation: log q(z) - sum_l log q(z_l), how much the latents depend on each other.
        dimension_wise_kl: sum_l log q(z_l) - log p(z), how far each latent alone is from its prior.
    """

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_wise_kl: Tensor

    @property
    def rate(self) -> Tensor:
        """log q(z|x) - log p(z), ``[B]``: the sum of the three."""
        return self.mutual_information + self.total_correlation + self.dimension_wise_kl


def total_correlation(beta: float, num_data: int) -> Callable[..., bounds.Terms]:
    """Return the objective of the beta-TCVAE: the total correlation alone weighs ``beta``.

    Its terms hold the distortion and mutual information + beta * total correlation +
    dimension-wise KL. With beta = 1 that is the negative ELBO with its KL by one draw; leave
    ``fit``'s own ``beta`` at 1, which would multiply all three.

    Args:
        beta: weight of the total correlation, from 0 up.
        num_data: N, the number of training examples.

    Source: Chen et al. 2018 (arXiv 1802.04942), eq. 2 and section 3.2; how q(z) is estimated from
    a batch is said in :func:`rate_parts`.
    """
    beta = check_number(beta, "beta", lambda v: v >= 0, "a number from 0 up")
    num_data = check_whole(num_data, "num_data")

    def objective(model, x: Tensor, *context: Tensor) -> bounds.Terms:
        q = model.posterior(x, *context)
        z = q.rsample()
        parts = rate_parts(q, model.prior(*context), z, num_data)
        distortion = -model.likelihood(z, *context).log_prob(x)
        return bounds.Terms(distortion, parts.rate + (beta - 1) * parts.total_correlation)

    return objective


def rate_parts(q: Independent, p: Independent, z: Tensor, num_data: int) -> RateParts:
    r"""Split log q(z|x) - log p(z) into three, with q(z) estimated from the batch itself.

    The aggregate posterior q(z) = 1/N sum_n q(z|x_n) of all N examples at the draw of example i is
    estimated by strata: example i itself has its true share, the others in the batch stand for the
    rest,

    .. math:: \hat q(z_i) = \tfrac1N q(z_i|x_i)
              + \tfrac{N-1}{N} \tfrac{1}{B-1} \textstyle\sum_{j \ne i} q(z_i|x_j),

    and so is each q(z_l). This is unbiased for q(z) over random batches, though not for its
    logarithm, and exact for B = N. Equal weights 1/(NB) for all, "minibatch-weighted sampling",
    are simpler; even for B = N they make log q(z) low by log N and the total correlation high by
    (L - 1) log N. A batch of one knows no others: all of its rate then counts as dimension-wise KL.

    Args:
        q: posterior of the batch, batch shape ``[B]``, a product over its latents.
        p: prior, a product over its latents.
        z: one draw of each posterior, ``[B, L]``.
        num_data: N, at least B.

    Returns:
        Three tensors ``[B]`` that add up to log q(z|x) - log p(z) for these very draws.

    Raises:
        TypeError: q or p is no product over the latents.
        ValueError: fewer data than examples in the batch.

    Source: Chen et al. 2018 (arXiv 1802.04942), eq. 2; sections C.1 (weighted) and C.2 (strata).
    """
    _check_products(q, p)
    size = len(z)
    if check_whole(num_data, "num_data") < size:
        raise ValueError(
            f"num_data is {num_data} but the batch holds {size} examples; the number of all "
            "training examples was expected, such as len(data.train)."
        )
    log_q = q.base_dist.log_prob(z.unsqueeze(1))  # [B, B, L]: row i at its draw, column j by x_j
    log_share = log_q.new_zeros(size, size)
    if size > 1:
        log_share.fill_(math.log((num_data - 1) / (num_data * (size - 1))))
        log_share.fill_diagonal_(-math.log(num_data))
    log_qz_x = q.log_prob(z)
    log_qz = torch.logsumexp(log_q.sum(-1) + log_share, 1)
    log_qz_l = torch.logsumexp(log_q + log_share.unsqueeze(-1), 1).sum(-1)
    return RateParts(log_qz_x - log_qz, log_qz - log_qz_l, log_qz_l - p.log_prob(z))
