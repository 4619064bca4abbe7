"""Why a bound is loose: what the family of q can't do, and what the encoder adds to that.

Source: Cremer, Li & Duvenaud 2018, "Inference suboptimality in variational autoencoders" (arXiv
1801.03558), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from course_lib.errors import check_model, check_number, check_rows, check_seed, check_whole
from course_lib.evaluation.likelihood import device_of, estimate, evaluate
from course_lib.randomness import seeded

__all__ = ["Gaps", "inference_gaps", "refine"]


def refine(
    model,
    x: Tensor,
    *context: Tensor,
    steps: int = 200,
    lr: float = 0.1,
    num_samples: int = 8,
    seed: int = 0,
) -> Independent:
    """Climb the ELBO of every image in the mu and logvar of that image alone.

    It starts from the encoder's q(z|x) and takes steps of Adam whose length falls to zero along a
    cosine. Neither the weights of the model, nor their ``.grad``, nor the session's random state
    are touched.

    Args:
        model: one whose posterior is a diagonal normal; in evaluation mode if it has one.
        x: images ``[N, C, H, W]`` (or examples ``[N, ...]``) on any device, all taken at once.
        context: what the model is conditioned on, one row for each image.
        steps: of the gradient.
        lr: length of the first steps, in units of mu and logvar.
        num_samples: draws of z per image and step, an even number: they come in pairs
            mu ± sigma eps, whose odd errors cancel.
        seed: of the draws.

    Returns:
        A diagonal normal: batch ``[N]``, event ``[L]``, on the model's device.

    Raises:
        TypeError: the posterior is no diagonal normal.
        ValueError: a number is out of range, or rows don't match.
    """
    check_model(model, len(context))
    steps, num_samples = check_whole(steps, "steps"), check_whole(num_samples, "num_samples", 2)
    lr = check_number(lr, "lr", lambda v: v > 0, "a number above 0")
    if num_samples % 2:
        raise ValueError(f"num_samples is {num_samples}; an even number was expected.")
    check_rows(context, len(x), "x")
    x, *context = (t.to(device_of(model, x)) for t in (x, *context))
    with torch.no_grad():
        q = model.posterior(x, *context)
    normal = isinstance(q, Independent) and isinstance(q.base_dist, Normal)
    if not normal or q.reinterpreted_batch_ndims != 1:
        raise TypeError(
            f"The posterior is a {type(q).__name__}; Independent(Normal, 1) was expected, since "
            "mu and logvar are what is refined."
        )
    mu = q.mean.detach().clone().requires_grad_()
    logvar = (2 * q.stddev.log()).detach().clone().requires_grad_()
    # A short memory of squared gradients: those of a bad start would slow every later step.
    optimizer = torch.optim.Adam([mu, logvar], lr=lr, betas=(0.9, 0.99))
    with seeded(check_seed(seed), x.device), torch.enable_grad():
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / steps))
            eps = torch.randn(num_samples // 2, *mu.shape, dtype=mu.dtype, device=mu.device)
            z = mu + (0.5 * logvar).exp() * torch.cat([eps, -eps])
            q, p = _normal(mu, logvar), model.prior(*context)
            log_px_z = model.likelihood(z, *context).log_prob(x).mean(0)
            try:
                rate = kl_divergence(q, p)
            except NotImplementedError:
                rate = (q.log_prob(z) - p.log_prob(z)).mean(0)
            # Every image has parameters of its own and Adam treats each number by itself, so the
            # sum over images is as many separate climbs. Only mu and logvar get a gradient.
            loss = (rate - log_px_z).sum()
            mu.grad, logvar.grad = torch.autograd.grad(loss, (mu, logvar))
            optimizer.step()
    return _normal(mu.detach(), logvar.detach())


@dataclass(frozen=True)
class Gaps:
    """The result of :func:`inference_gaps`; every tensor is ``[N]``, nats per image, float64.

    Attributes:
        log_px: the estimate of log p(x), a lower bound on average.
        elbo_best: ELBO of the refined q of each image.
        elbo_encoder: ELBO of the encoder's q.
        num_samples: K, the draws from each of the two q.
    """

    log_px: Tensor
    elbo_best: Tensor
    elbo_encoder: Tensor
    num_samples: int

    @property
    def approximation(self) -> Tensor:
        """log p(x) - ELBO(best q of the family), ``[N]``."""
        return self.log_px - self.elbo_best

    @property
    def amortization(self) -> Tensor:
        """ELBO(best q of the family) - ELBO(encoder's q), ``[N]``."""
        return self.elbo_best - self.elbo_encoder

    @property
    def total(self) -> Tensor:
        """log p(x) - ELBO(encoder's q), ``[N]``: the sum of the two."""
        return self.log_px - self.elbo_encoder

    def __str__(self) -> str:
        rows = {
            f"log p(x), from 2 × {self.num_samples:,} draws": self.log_px,
            "approximation gap": self.approximation,
            "amortization gap": self.amortization,
            "both: log p(x) − ELBO": self.total,
        }
        lines = [f"{len(self.log_px):,} images".ljust(34) + "nats per image"]
        for name, values in rows.items():
            # The gaps are differences image by image, so their errors are far below those of the
            # terms. A single image has none.
            shown = estimate(values) if len(values) > 1 else f"{values.item():.2f}"
            lines.append(f"{name:32s}{shown!s:>16s}")
        return "\n".join(lines)

    __repr__ = __str__


def inference_gaps(
    model,
    x: Tensor,
    *context: Tensor,
    num_samples: int = 1000,
    steps: int = 200,
    lr: float = 0.1,
    seed: int = 0,
    max_rows: int | None = None,
) -> Gaps:
    """Split log p(x) - ELBO of each image in approximation and amortization gap.

    log p(x) is the log of the average of 2 K weights, K from the encoder's q and K from the
    refined one: a lower bound on average, like IWAE. Both ELBOs use the same noise, so that their
    difference is less noisy than either. Two errors remain, which more draws and more steps
    reduce: with log p(x) too low the approximation gap comes out too small, and a q that has not
    arrived moves some of the amortization gap into it.

    Args:
        model: one whose posterior is a diagonal normal.
        x: held-out images ``[N, C, H, W]`` (or examples ``[N, ...]``), as :func:`evaluate` takes.
        context: what the model is conditioned on, one row for each image.
        num_samples: K.
        steps, lr: of :func:`refine`.
        seed: of the draws.
        max_rows: as :func:`evaluate` takes it.

    Raises:
        TypeError, ValueError: as :func:`refine` and :func:`evaluate`.
    """
    options = {"num_samples": num_samples, "seed": seed, "max_rows": max_rows}
    encoder = evaluate(model, x, *context, **options)
    q = refine(model, x, *context, steps=steps, lr=lr, seed=seed)
    x, *context = (t.to(q.mean.device) for t in (x, *context))
    rows = torch.arange(len(x), device=x.device)
    best = evaluate(_WithTable(model, q), x, rows, *context, **options)
    log_px = torch.logaddexp(encoder.iwae, best.iwae) - math.log(2)
    return Gaps(log_px, best.elbo, encoder.elbo, encoder.num_samples)


class _WithTable:
    """A model whose q(z|x) is looked up by the number of the image, its first context."""

    def __init__(self, model, q: Independent) -> None:
        self.model, self.mu, self.std = model, q.mean, q.stddev

    def prior(self, rows: Tensor, *context: Tensor):
        return self.model.prior(*context)

    def posterior(self, x: Tensor, rows: Tensor, *context: Tensor) -> Independent:
        return Independent(Normal(self.mu[rows], self.std[rows], validate_args=False), 1)

    def likelihood(self, z: Tensor, rows: Tensor, *context: Tensor):
        return self.model.likelihood(z, *context)


def _normal(mu: Tensor, logvar: Tensor) -> Independent:
    return Independent(Normal(mu, (0.5 * logvar).exp(), validate_args=False), 1)
