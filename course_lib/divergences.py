"""The Kullback-Leibler divergence: closed forms, Monte Carlo estimates, and the average KL split.

Everything is in nats and per example. ``logvar`` is log sigma^2. Nothing is reduced but the
event axes, so a KL between batches of shape ``[B]`` has shape ``[B]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from course_lib.errors import unknown

__all__ = [
    "AverageKL",
    "kl",
    "kl_monte_carlo",
    "kl_normal",
    "kl_standard_normal",
    "kl_values",
    "log_ratio_samples",
    "split_average_kl",
]

ESTIMATORS = ("k1", "k2", "k3")
_BLOCK = 1 << 18  # float64 values in one block of split_average_kl: 2 MB, so that it stays in cache


def _check_parameters(**tensors: Tensor) -> None:
    """Raise unless the tensors are float, have a last axis, and broadcast against each other."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"{name} is {kind}; a float tensor [..., L] was expected.")
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in tensors.items())
    try:
        dims = len(torch.broadcast_shapes(*(value.shape for value in tensors.values())))
    except RuntimeError:
        raise ValueError(
            f"The shapes do not fit together: {shapes}; equal shapes [..., L], or shapes that "
            "broadcast, were expected. Give mu and logvar one value per latent."
        ) from None
    if dims == 0:
        raise ValueError(
            f"The KL is summed over the last axis, but there is none: {shapes}. "
            "Give a latent axis, for example with unsqueeze(-1)."
        )


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, exp logvar) || N(0, I)) of diagonal normals, in nats.

    Kingma & Welling (2014), appendix B: 1/2 sum_l (mu_l^2 + sigma_l^2 - 1 - log sigma_l^2).

    Args:
        mu: means ``[..., L]``.
        logvar: log variances, same shape (or one that broadcasts).

    Returns:
        ``[...]``, summed over the last axis. Never negative.
    """
    _check_parameters(mu=mu, logvar=logvar)
    # expm1 keeps the digits that exp(logvar) - 1 loses where sigma is close to 1.
    return 0.5 * (mu.square() + (torch.expm1(logvar) - logvar)).sum(-1)


def kl_normal(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """Return KL(N(mu_q, exp logvar_q) || N(mu_p, exp logvar_p)) of diagonal normals, in nats.

    Finite, with finite gradients, wherever exp(-logvar_p / 2) and the answer itself can be
    represented: logvar_p > -177 in float32.

    Args:
        mu_q, logvar_q, mu_p, logvar_p: ``[..., L]``, or shapes that broadcast to it.

    Returns:
        ``[...]``, summed over the last axis.
    """
    _check_parameters(mu_q=mu_q, logvar_q=logvar_q, mu_p=mu_p, logvar_p=logvar_p)
    log_ratio = logvar_q - logvar_p
    # Dividing by sigma_p before squaring: exp(-logvar_p) alone overflows at half the exponent,
    # and 0 * inf would be NaN where the means are equal.
    shift = (mu_q - mu_p) * torch.exp(-0.5 * logvar_p)
    return 0.5 * (shift.square() + (torch.expm1(log_ratio) - log_ratio)).sum(-1)


def _check_count(num_samples: int, least: int, why: str = "") -> None:
    if isinstance(num_samples, bool) or not isinstance(num_samples, int) or num_samples < least:
        raise ValueError(
            f"num_samples is {num_samples!r}; a whole number from {least} up was expected{why}."
        )


def _check_events(q: Distribution, p: Distribution) -> torch.Size:
    """Return the common batch shape of ``q`` and ``p``; raise where their events differ."""
    if q.event_shape != p.event_shape:
        raise ValueError(
            f"q has event shape {list(q.event_shape)} and p {list(p.event_shape)}; equal event "
            "shapes were expected. Declare them with torch.distributions.Independent(d, 1)."
        )
    try:
        return torch.broadcast_shapes(q.batch_shape, p.batch_shape)
    except RuntimeError:
        raise ValueError(
            f"q has batch shape {list(q.batch_shape)} and p {list(p.batch_shape)}; batch shapes "
            "that broadcast were expected, such as [B] for q and [] for p."
        ) from None


def _draw(q: Distribution, p: Distribution, num_samples: int) -> tuple[Tensor, Tensor]:
    """Return log q(z) and log p(z) ``[K, *batch]`` at draws z of q, by ``rsample`` if q has it."""
    _check_count(num_samples, 1)
    batch = _check_events(q, p)
    if q.batch_shape != batch:
        q = q.expand(batch)  # fresh draws for every row of p
    draw = q.rsample if q.has_rsample else q.sample
    z = draw(torch.Size([num_samples]))
    return q.log_prob(z), p.log_prob(z)


def log_ratio_samples(q: Distribution, p: Distribution, num_samples: int) -> Tensor:
    """Return log q(z) - log p(z) at independent draws z of q, ``[K, *batch]``.

    Hand it to :func:`kl_values` to compare the estimators on the same draws.
    """
    log_qz, log_pz = _draw(q, p, num_samples)
    return log_qz - log_pz


def kl_values(log_ratio: Tensor, estimator: str = "k1") -> Tensor:
    """Return what each draw contributes to an estimate of KL(q || p); their mean is the estimate.

    With r = p(z) / q(z) and z ~ q (Schulman, "Approximating KL divergence", 2020):

    - ``"k1"``: -log r. Unbiased; single values may be negative.
    - ``"k2"``: (log r)^2 / 2. Never negative and of low variance where q is near p, but biased.
    - ``"k3"``: (r - 1) - log r. Never negative, and unbiased because E_q[r] = 1, which asks that
      q(z) > 0 wherever p(z) > 0. Its variance can be infinite where p has the heavier tails.

    Args:
        log_ratio: log q(z) - log p(z) at draws of q, any shape.
        estimator: ``"k1"``, ``"k2"`` or ``"k3"``.

    Returns:
        The same shape as ``log_ratio``.
    """
    if estimator == "k1":
        return log_ratio
    if estimator == "k2":
        return 0.5 * log_ratio.square()
    if estimator == "k3":
        return torch.expm1(-log_ratio) + log_ratio
    raise unknown("KL estimator", estimator, ESTIMATORS)


def kl_monte_carlo(
    q: Distribution, p: Distribution, num_samples: int, estimator: str = "k1"
) -> Tensor:
    """Estimate KL(q || p) from ``num_samples`` draws of q, in nats.

    Unbiased for ``"k1"`` and ``"k3"``, see :func:`kl_values`. The gradients of these two are
    unbiased as well, for p and for q: through the draws where q has ``rsample``, by the score
    function elsewhere (discrete q, mixtures).

    Args:
        q, p: distributions with equal event shapes and batch shapes that broadcast.
        num_samples: K >= 1.
        estimator: ``"k1"``, ``"k2"`` or ``"k3"``.

    Returns:
        The broadcast batch shape; that of ``q.log_prob`` where p's broadcasts to it.
    """
    if estimator not in ESTIMATORS:
        raise unknown("KL estimator", estimator, ESTIMATORS)
    log_qz, log_pz = _draw(q, p, num_samples)
    values = kl_values(log_qz - log_pz, estimator)
    if not q.has_rsample and log_qz.requires_grad:
        # The value is unchanged; the gradient gains E_q[value * grad log q], which would be lost.
        values = values + values.detach() * (log_qz - log_qz.detach())
    return values.mean(0)


def _plain(d: Distribution) -> Distribution:
    """Return the same distribution with nested ``Independent`` merged, so that types compare."""
    ndims = 0
    while isinstance(d, Independent):
        ndims += d.reinterpreted_batch_ndims
        d = d.base_dist
    return Independent(d, ndims) if ndims else d


def _dense(d: Distribution) -> Distribution:
    """Return a diagonal normal over one event axis as a ``MultivariateNormal``."""
    if (
        isinstance(d, Independent)
        and d.reinterpreted_batch_ndims == 1
        and isinstance(d.base_dist, Normal)
    ):
        return MultivariateNormal(d.mean, scale_tril=torch.diag_embed(d.stddev))
    return d


def kl(q: Distribution, p: Distribution, num_samples: int = 1) -> Tensor:
    """Return KL(q || p) in nats: exact where a closed form is known, else an unbiased estimate.

    Closed forms are those of :func:`torch.distributions.kl_divergence`, and diagonal against
    full-covariance normals. The estimate is :func:`kl_monte_carlo` with ``"k1"``, differentiable
    in q and p.

    Args:
        q, p: distributions with equal event shapes and batch shapes that broadcast, such as a
            posterior (batch ``[B]``, event ``[L]``) and a prior (batch ``[]``, event ``[L]``).
        num_samples: draws of q where there is no closed form.

    Returns:
        The broadcast batch shape.
    """
    batch = _check_events(q, p)
    q, p = _plain(q), _plain(p)
    if isinstance(q, MultivariateNormal) or isinstance(p, MultivariateNormal):
        q, p = _dense(q), _dense(p)
    try:
        return kl_divergence(q, p).expand(batch)
    except NotImplementedError:
        return kl_monte_carlo(q, p, num_samples)


@dataclass(frozen=True)
class AverageKL:
    """The average KL of N posteriors and its two parts, by Monte Carlo; see
    :func:`split_average_kl`.

    Attributes:
        log_qz_x: log q(z | x_n) at the draws z of that posterior, ``[S, N]``.
        log_qz: log q(z) under the aggregate posterior, ``[S, N]``.
        log_pz: log p(z), ``[S, N]``.

    The three estimates are in nats, and each ``..._se`` is a standard error. Because the values
    are per draw, ``average == mutual_information + marginal_kl`` holds draw by draw.
    """

    log_qz_x: Tensor
    log_qz: Tensor
    log_pz: Tensor

    @property
    def average(self) -> float:
        """1/N sum_n KL(q(z|x_n) || p(z)): the average rate."""
        return self._mean(self.log_qz_x - self.log_pz)

    @property
    def average_se(self) -> float:
        return self._se(self.log_qz_x - self.log_pz)

    @property
    def mutual_information(self) -> float:
        """I(n; z), what a code says about which example it came from; at most log N."""
        return self._mean(self.log_qz_x - self.log_qz)

    @property
    def mutual_information_se(self) -> float:
        return self._se(self.log_qz_x - self.log_qz)

    @property
    def marginal_kl(self) -> float:
        """KL(q(z) || p(z)): how far all the codes together are from the prior."""
        return self._mean(self.log_qz - self.log_pz)

    @property
    def marginal_kl_se(self) -> float:
        return self._se(self.log_qz - self.log_pz)

    @staticmethod
    def _mean(values: Tensor) -> float:
        return values.mean().item()

    @staticmethod
    def _se(values: Tensor) -> float:
        # Every posterior is drawn from equally often, so only the spread within each one counts.
        num_draws, num_examples = values.shape
        return (values.var(0).sum() / num_draws).sqrt().item() / num_examples

    def __str__(self) -> str:
        return (
            f"average KL {self.average:.3f} ± {self.average_se:.3f} = "
            f"mutual information {self.mutual_information:.3f} ± {self.mutual_information_se:.3f}"
            f" + marginal KL {self.marginal_kl:.3f} ± {self.marginal_kl_se:.3f} nats"
        )


@torch.no_grad()
def split_average_kl(
    mu: Tensor,
    logvar: Tensor,
    *,
    num_samples: int = 4,
    seed: int = 0,
    prior: Distribution | None = None,
) -> AverageKL:
    """Split the average KL of N diagonal-normal posteriors into two parts, in nats.

    With the aggregate posterior q(z) = 1/N sum_n q(z|x_n) (Hoffman & Johnson, "ELBO surgery",
    2016): 1/N sum_n KL(q(z|x_n) || p(z)) = I(n; z) + KL(q(z) || p(z)).

    All N components enter q(z), so there is no bias; the price is S N^2 L operations (N = 2,000,
    L = 20, S = 4: about two seconds). Memory is O(N (L + S)), whatever N is. The mutual
    information cannot exceed log N: when it comes near, more examples are needed.

    Args:
        mu: posterior means ``[N, L]``.
        logvar: posterior log variances ``[N, L]``.
        num_samples: draws S >= 2 of each posterior (one draw shows no spread).
        seed: of the draws, which leave torch's global generator alone.
        prior: p(z) with event shape ``[L]``; the standard normal by default.

    Returns:
        The estimates with standard errors; computed in float64, but for a flow as the prior, which
        keeps to the precision of its weights. Without gradients.
    """
    _check_parameters(mu=mu, logvar=logvar)
    if mu.dim() != 2 or mu.shape != logvar.shape or mu.numel() == 0:
        raise ValueError(
            f"mu has shape {list(mu.shape)} and logvar {list(logvar.shape)}; both [N, L], "
            "one row per example, were expected."
        )
    if not (mu.isfinite().all() and logvar.isfinite().all()):
        raise ValueError("mu or logvar holds NaN or infinity; finite values were expected.")
    _check_count(num_samples, 2, ", because a standard error needs two draws of each posterior")
    if prior is not None and prior.event_shape != mu.shape[1:]:
        raise ValueError(
            f"The prior has event shape {list(prior.event_shape)}; [{mu.shape[1]}] was expected, "
            "one value per latent."
        )
    mu, logvar = mu.double(), logvar.double()
    # Drawn on the CPU, so that a seed gives the same numbers on every device.
    generator = torch.Generator().manual_seed(seed)
    eps = torch.randn(num_samples, *mu.shape, generator=generator, dtype=mu.dtype).to(mu.device)
    noise = eps * torch.exp(0.5 * logvar)
    z = mu + noise

    def log_normal(standardized: Tensor, logvar: Tensor) -> Tensor:
        return -0.5 * (standardized.square() + logvar + math.log(2 * math.pi)).sum(-1)

    log_pz = log_normal(z, torch.zeros_like(z)) if prior is None else prior.log_prob(z)
    return AverageKL(
        log_qz_x=log_normal(eps, logvar),
        log_qz=_log_aggregate(mu, logvar, noise),
        log_pz=log_pz.double(),
    )


def _log_aggregate(mu: Tensor, logvar: Tensor, noise: Tensor) -> Tensor:
    """Return log 1/N sum_m q(mu_n + noise_sn | x_m), ``[S, N]``, in blocks of bounded memory."""
    num_examples, latent_dim = mu.shape
    inverse_std = torch.exp(-0.5 * logvar)
    constant = -0.5 * (logvar + math.log(2 * math.pi)).sum(-1) - math.log(num_examples)
    rows = max(1, _BLOCK // num_examples)
    out = mu.new_empty(noise.shape[:2])
    for draw, noise_s in enumerate(noise):
        for start in range(0, num_examples, rows):
            block = slice(start, start + rows)
            squares = mu.new_zeros(len(mu[block]), num_examples)
            for latent in range(latent_dim):
                # The difference of the means comes first: a component's distance to its own draw
                # is then exact, however small its sigma is.
                gap = mu[block, latent, None] - mu[:, latent]
                gap += noise_s[block, latent, None]
                gap *= inverse_std[:, latent]
                squares.addcmul_(gap, gap)
            out[draw, block] = torch.logsumexp(constant - 0.5 * squares, dim=1)
    return out
