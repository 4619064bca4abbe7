r"""Per-example terms of the bounds on log p(x), in nats: distortion, rate, ELBO, weights, IWAE.

Everything here is written once against the three distributions of a model,

* ``model.prior()``: batch shape ``[]``, event shape ``[L]``;
* ``model.posterior(x)``: batch shape ``[B]``, event shape ``[L]``;
* ``model.likelihood(z)``: batch shape ``z.shape[:-1]``, event shape that of one example,

and holds for every model that has them, the oracles included. Nothing is averaged over the
batch: take ``.mean()`` where a loss is needed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from course_lib.bounds_meter import Meter, objective_meter
from course_lib.errors import check_whole

__all__ = [
    "Meter",
    "Terms",
    "elbo",
    "iwae",
    "log_mean_exp",
    "log_weights",
    "objective_meter",
    "terms",
]


class Terms(NamedTuple):
    """The two terms of the negative ELBO, each ``[B]`` in nats per example.

    Attributes:
        distortion: an estimate of -E_q[log p(x|z)].
        rate: KL(q(z|x) || p(z)), exact where a closed form exists, else an estimate.
    """

    distortion: Tensor
    rate: Tensor

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound, ``[B]``: -(distortion + rate)."""
        return -(self.distortion + self.rate)


def terms(model, x: Tensor, *context: Tensor) -> Terms:
    """Return distortion and rate from one reparameterized draw per example.

    This is the objective that :func:`course_lib.training.fit` minimizes.

    Args:
        model: anything with ``prior``, ``posterior`` and ``likelihood``.
        x: examples, ``[B, ...]``.
        context: what the model is conditioned on, handed to all three of its parts.

    Returns:
        ``Terms(distortion [B], rate [B])`` in nats, differentiable in the model's parameters.

    Raises:
        ValueError: the posterior can't be reparameterized although a gradient is asked for.

    Source: Kingma & Welling 2014 (arXiv 1312.6114), eq. 7 with L = 1.
    """
    q = model.posterior(x, *context)
    z = _draw(q, ())
    distortion = -model.likelihood(z, *context).log_prob(x)
    return Terms(distortion, _rate(q, model.prior(*context), z))


def elbo(model, x: Tensor, num_samples: int = 1, *context: Tensor) -> Tensor:
    """Return an unbiased estimate of the ELBO, ``[B]`` in nats per example.

    Args:
        model: anything with ``prior``, ``posterior`` and ``likelihood``.
        x: examples, ``[B, ...]``.
        num_samples: draws of z per example over which the distortion is averaged.
        context: what the model is conditioned on.
    """
    check_whole(num_samples, "num_samples")
    q = model.posterior(x, *context)
    z = _draw(q, (num_samples,))
    log_px_z = model.likelihood(z, *context).log_prob(x)
    rate = _rate(q, model.prior(*context), z)
    return log_px_z.mean(0) - (rate.mean(0) if rate.dim() == log_px_z.dim() else rate)


def log_weights(model, x: Tensor, num_samples: int, *context: Tensor) -> Tensor:
    r"""Return the log importance weights, ``log_w: [K, B]`` for ``K = num_samples`` draws.

    ``log_w = log p(x|z) + log p(z) - log q(z|x)`` with z from q: its mean over K is an ELBO
    estimate, and :func:`iwae` of it is the tighter bound.

    Source: Burda et al. 2016 (arXiv 1509.00519), eq. 8.
    """
    check_whole(num_samples, "num_samples")
    q = model.posterior(x, *context)
    z = _draw(q, (num_samples,))
    log_px_z = model.likelihood(z, *context).log_prob(x)
    return log_px_z + model.prior(*context).log_prob(z) - q.log_prob(z)


def iwae(log_w: Tensor) -> Tensor:
    """Return the IWAE-K bound, ``[B]`` in nats, from ``log_w: [K, B]``.

    Its expectation rises with K from the ELBO (K = 1) towards log p(x).

    Source: Burda et al. 2016 (arXiv 1509.00519), eq. 8 and theorem 1.
    """
    return log_mean_exp(log_w, 0)


def log_mean_exp(a: Tensor, dim: int) -> Tensor:
    """Return log(mean(exp(a))) over ``dim``, finite wherever the true value is."""
    if a.shape[dim] == 0:
        raise ValueError(f"a has shape {list(a.shape)}, with nothing to average on axis {dim}.")
    return torch.logsumexp(a, dim) - math.log(a.shape[dim])


def _rate(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q || p): ``[B]`` in closed form, else ``log q(z) - log p(z)`` for the draws."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)


def _draw(q: Distribution, shape: tuple[int, ...]) -> Tensor:
    if q.has_rsample:
        return q.rsample(shape)
    z = q.sample(shape)
    if torch.is_grad_enabled() and q.log_prob(z).requires_grad:
        raise ValueError(
            f"The posterior is a {type(q).__name__}, which has no reparameterized draw, so no "
            "gradient of the distortion would reach the encoder. Use a posterior with rsample, "
            "or evaluate under torch.no_grad()."
        )
    return z
