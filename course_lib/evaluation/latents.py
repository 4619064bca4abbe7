"""Which latents a model uses: active units, and the rate of each latent, on held-out data."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.bounds_objectives import kl_per_latent
from course_lib.errors import check_examples, check_model, check_number, check_rows, check_whole
from course_lib.evaluation.likelihood import device_of

__all__ = ["active_units", "latent_rates", "predicted_active"]


def active_units(mu: Tensor, threshold: float = 0.01) -> int:
    """Count the latents whose posterior mean moves with the image: A_u = Var_x(E_q[z_u]).

    A latent that is switched off has the mean of the prior for every image, so A_u = 0; one that
    says all there is to say has A_u near 1, the variance of the prior.

    Args:
        mu: posterior means ``[N, L]`` of held-out images, such as ``model.posterior(x).mean``.
        threshold: A_u must be strictly above it.

    Source: Burda et al. 2016 (arXiv 1509.00519), section 5, with their threshold of 0.01.
    """
    if not isinstance(mu, Tensor) or not mu.is_floating_point():
        kind = mu.dtype if isinstance(mu, Tensor) else type(mu).__name__
        raise TypeError(
            f"mu is {kind}; the posterior means, a float tensor [N, L], were expected, such as "
            "model.posterior(x).mean."
        )
    if mu.dim() != 2 or len(mu) < 2:
        raise ValueError(
            f"mu has shape {list(mu.shape)}; [N, L] with at least two images was expected, because "
            "a variance over the data is asked."
        )
    if not mu.isfinite().all():
        raise ValueError("mu holds NaN or infinity; finite posterior means were expected.")
    threshold = check_number(threshold, "threshold", lambda t: t >= 0, "a number from 0 up")
    return int((mu.detach().double().var(0) > threshold).sum())


@torch.no_grad()
def latent_rates(model, x: Tensor, *context: Tensor, batch_size: int = 1000) -> Tensor:
    """Return KL(q(z_l|x) || p(z_l)) of every image and latent, ``[N, L]``, nats, float64, CPU.

    Its sum over the latents is the rate. Whoever averages it over the images sees which latents
    carry something: ``latent_rates(model, x).mean(0)``.

    Args:
        model: one whose posterior and prior are products over the latents.
        x: held-out images ``[N, C, H, W]`` on any device.
        context: what the model is conditioned on, one row for each image.
        batch_size: images encoded at a time.

    Raises:
        TypeError: the posterior or the prior is no product over the latents.
        ValueError: no images, or context with another number of rows.
    """
    check_model(model, len(context))
    batch_size = check_whole(batch_size, "batch_size")
    check_examples(x)
    check_rows(context, len(x), "x")
    device = device_of(model, x)
    parts = []
    for start in range(0, len(x), batch_size):
        batch, *rest = (t[start : start + batch_size].to(device) for t in (x, *context))
        parts.append(
            kl_per_latent(model.posterior(batch, *rest), model.prior(*rest)).double().cpu()
        )
    return torch.cat(parts)


def predicted_active(x: Tensor, sigma: float, beta: float = 1.0) -> int:
    r"""Count the latents that the best *linear* VAE uses on ``x``: eigenvalues above beta sigma^2.

    For p(x|z) = N(W z + b, sigma^2 I) with sigma held fixed and any diagonal q, the maximum of
    E_q[log p(x|z)] - beta KL(q || p) over W, b and q is that of probabilistic PCA with noise
    beta sigma^2: dividing the objective by beta turns the likelihood into one of that variance, up
    to a constant. There column i of W is the i-th principal axis, of length
    sqrt(lambda_i - beta sigma^2) where the eigenvalue lambda_i of the data's covariance is larger
    than beta sigma^2, and zero elsewhere. A latent in use has A_u = 1 - beta sigma^2 / lambda_i
    and a mean rate of log(lambda_i / (beta sigma^2)) / 2 nats.

    Args:
        x: the training data ``[N, ...]``, as the likelihood sees them.
        sigma: standard deviation of the likelihood, in units of a pixel.
        beta: weight of the rate in the loss.

    Returns:
        The number of eigenvalues above beta sigma^2. A model with L latents uses at most L.

    Source: Tipping & Bishop 1999, appendix A; Lucas et al. 2019 (arXiv 1911.02469), section 4.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2 or len(x) < 2:
        found = (
            f"has shape {list(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else f"is {x!r:.40}"
        )
        raise ValueError(f"x {found}; at least two examples of floats, [N, ...], were expected.")
    sigma = check_number(sigma, "sigma", lambda s: s > 0, "a standard deviation above 0")
    beta = check_number(beta, "beta", lambda b: b > 0, "a number above 0")
    rows = x.detach().flatten(1).double()
    covariance = torch.atleast_2d(torch.cov(rows.T, correction=0))
    eigenvalues = torch.linalg.eigvalsh(covariance)
    return int((eigenvalues > beta * sigma**2).sum())
