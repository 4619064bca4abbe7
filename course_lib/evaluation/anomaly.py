"""How strange a model finds images: scores and heat maps; their own file says what to do with them.

A score is ``[N]``, float64 on the CPU, in nats, one number for each image, and **higher is
stranger**. Everything is written once against ``prior``, ``posterior`` and ``likelihood``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import distributions as td

from course_lib.errors import check_images, check_model, check_number, check_seed, check_whole
from course_lib.evaluation.anomaly_decisions import (
    AlarmRate,
    alarm_rate,
    auroc,
    auroc_estimate,
    pixel_auroc,
    threshold,
)
from course_lib.evaluation.likelihood import check_binary, device_of, evaluate
from course_lib.randomness import seeded

__all__ = [
    "AlarmRate",
    "alarm_rate",
    "auroc",
    "auroc_estimate",
    "heat_map",
    "likelihood_ratio",
    "negative_elbo",
    "negative_iwae",
    "pixel_auroc",
    "reconstruction_error",
    "threshold",
    "typicality",
]

CHUNK = 500  # images at a time in a heat map


def reconstruction_error(model, x: Tensor, num_samples: int = 16, seed: int = 0) -> Tensor:
    """Return the distortion -E_q[log p(x|z)] of each image: what the latents fail to say of it.

    For a Gaussian likelihood it is the squared error, scaled and shifted.

    Args:
        model, x, num_samples, seed: as for :func:`course_lib.evaluation.evaluate`, which gives
            this score and the next two from one set of draws.
    """
    return evaluate(model, x, num_samples=num_samples, seed=seed).distortion


def negative_elbo(model, x: Tensor, num_samples: int = 16, seed: int = 0) -> Tensor:
    """Return -ELBO of each image: :func:`reconstruction_error` plus KL(q(z|x) || p(z))."""
    return -evaluate(model, x, num_samples=num_samples, seed=seed).elbo


def negative_iwae(model, x: Tensor, num_samples: int = 64, seed: int = 0) -> Tensor:
    """Return minus the IWAE-K bound of each image, the nearest that we have to -log p(x).

    Source: Burda et al. 2016 (arXiv 1509.00519), eq. 8.
    """
    return -evaluate(model, x, num_samples=num_samples, seed=seed).iwae


def typicality(score_validation: Tensor, score: Tensor) -> Tensor:
    """Return how far each score is from what is typical: abs(score - mean validation score).

    With ``negative_iwae`` for the score this is the test for typicality of one image: an image may
    be too likely as well as too unlikely. It sees only the score: an anomaly whose likelihood is
    ordinary gets a low value.

    Args:
        score_validation: ``[M]``, the score of normal images that were not trained on.
        score: ``[N]``, the same score of the images in question.

    Source: Nalisnick et al. 2019 (arXiv 1906.02994), for a batch of one image.
    """
    for value, name in ((score_validation, "score_validation"), (score, "score")):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is a {type(value).__name__}; a tensor of scores was expected.")
        if value.dim() != 1 or len(value) == 0 or not value.isfinite().all():
            raise ValueError(
                f"{name} has shape {list(value.shape)}; finite scores [N] were expected, such as "
                "negative_iwae(model, x)."
            )
    typical = score_validation.detach().double().mean().cpu()
    return (score.detach().double().cpu() - typical).abs()


def likelihood_ratio(model, background, x: Tensor, num_samples: int = 64, seed: int = 0) -> Tensor:
    """Return log p_background(x) - log p(x) of each image, both by their IWAE bounds.

    The background model was trained on damaged images, see
    :func:`course_lib.data.defects.replace_pixels`. What both explain alike, such as how much of
    an image is paper, cancels; what only the model explains is left.

    Source: Ren et al. 2019 (arXiv 1906.02845), with the sign turned.
    """
    own = negative_iwae(model, x, num_samples, seed)
    return own - negative_iwae(background, x, num_samples, seed)


def heat_map(
    model,
    x: Tensor,
    num_samples: int = 16,
    *,
    broken: float = 0.0,
    steps: int = 50,
    seed: int = 0,
) -> Tensor:
    r"""Return the surprise of each pixel, -log p(x_d|z), ``[N, H, W]`` float64 on the CPU.

    With ``broken = 0`` it is averaged over draws of z from q(z|x): the map adds up to
    :func:`reconstruction_error`. But q has seen the defect, and z describes what it can of it.

    With ``broken = b > 0`` z is found anew, as if each pixel were broken with probability b and
    then anything: it maximizes :math:`\sum_d \log((1 - b)\, p(x_d|z) + b\, u) + \log p(z)`, with u
    the uniform density, by gradient ascent from the mean of q. No pixel costs more than
    :math:`-\log(b u)`, so that it does not pay to bend z towards a few strange ones. There is
    nothing to tune b on without anomalies; 0.5 says that nobody knows.

    Args:
        model: its likelihood must have independent pixels.
        x: ``[N, C, H, W]`` of what the likelihood is over, binary for a Bernoulli; channels are
            added up.
        num_samples: draws of z, where b is 0.
        broken: b, from 0 to below 1.
        steps: of Adam, where b is not 0.
        seed: of the draws.

    Raises:
        TypeError: the likelihood is no ``Independent`` distribution over pixels.
        ValueError: no images in [0, 1], or grey pixels for a binary likelihood.
    """
    check_model(model)
    check_images(x)
    check_binary(model, x)
    num_samples, steps = check_whole(num_samples, "num_samples"), check_whole(steps, "steps")
    broken = check_number(broken, "broken", lambda b: 0 <= b < 1, "a number from 0 to below 1")
    device = device_of(model, x)
    maps = []
    with seeded(check_seed(seed), device):
        for part in x.detach().split(CHUNK):
            part = part.to(device)
            if broken:
                z = [_robust_latents(model, part, broken, steps)]
            else:
                with torch.no_grad():
                    q = model.posterior(part)
                    z = [q.sample() for _ in range(num_samples)]
            with torch.no_grad():
                total = sum(-_pixels(model, one).log_prob(part).double() for one in z)
            maps.append((total / len(z)).sum(1).cpu())
    return torch.cat(maps)


def _pixels(model, z: Tensor) -> td.Distribution:
    """p(x_d|z) for every pixel: the likelihood without its event axes."""
    likelihood = model.likelihood(z)
    if not isinstance(likelihood, td.Independent) or likelihood.base_dist.event_shape:
        raise TypeError(
            f"The likelihood is a {type(likelihood).__name__}; a heat map needs independent "
            "pixels, torch.distributions.Independent over them."
        )
    return likelihood.base_dist


def _robust_latents(model, x: Tensor, broken: float, steps: int) -> Tensor:
    head = getattr(model, "head", None)
    levels = 2 if getattr(head, "binary", False) else getattr(head, "levels", 1)
    floor = math.log(broken / levels)
    with torch.no_grad():
        z = model.posterior(x).mean.clone()
    z.requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=0.1)
    with torch.enable_grad():
        for _ in range(steps):
            log_px_z = _pixels(model, z).log_prob(x) + math.log1p(-broken)
            log_px_z = torch.logaddexp(log_px_z, torch.full_like(log_px_z, floor))
            loss = -(log_px_z.flatten(1).sum(1) + model.prior().log_prob(z)).sum()
            (z.grad,) = torch.autograd.grad(loss, [z])
            optimizer.step()
    return z.detach()
