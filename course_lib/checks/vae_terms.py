"""The two terms of a VAE's loss, and the wrong terms that people write for them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, kl_div, softplus

Term = tuple[str, Callable[[Tensor, Tensor], Tensor], str]
"""A mistake (empty for the right term), the terms before any sum, and what to say of it."""


def distortion_terms(x: Tensor, logits: Tensor) -> Tensor:
    """Return -log p(x|z) of every pixel."""
    return softplus(logits) - x * logits


def rate_terms(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(q || p) of every latent."""
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


DISTORTIONS: tuple[Term, ...] = (
    ("", distortion_terms, ""),
    (
        "sigmoid_twice",
        lambda x, logits: distortion_terms(x, torch.sigmoid(logits)),
        "In the distortion a sigmoid is applied twice: once by you, and once inside the function "
        "that takes logits.",
    ),
    (
        "swapped_bce_arguments",
        lambda x, logits: distortion_terms(logits, x),
        "The arguments of the cross-entropy are swapped. The logits come first, the pixels second.",
    ),
    (
        "logits_as_probabilities",
        lambda x, logits: -(x * logits.log() + (1 - x) * (1 - logits).log()),
        "The logits are used as if they were probabilities.",
    ),
    (
        "squared_error",
        lambda x, logits: (torch.sigmoid(logits) - x) ** 2,
        "The distortion is a squared error. It is no Bernoulli likelihood: use the cross-entropy.",
    ),
    (
        "squared_error",
        lambda x, logits: 0.5 * (torch.sigmoid(logits) - x) ** 2,
        "The distortion is a squared error. It is no Bernoulli likelihood: use the cross-entropy.",
    ),
    (
        "squared_error",
        lambda x, logits: (logits - x) ** 2,
        "The distortion is a squared error between pixels and logits. Use the cross-entropy.",
    ),
    (
        "binarized",
        lambda x, logits: distortion_terms((x > 0.5).to(x), logits),
        "The pixels are rounded to 0 or 1 first. Use them as they are.",
    ),
    (
        "missing_zero_pixels",
        lambda x, logits: x * softplus(-logits),
        "The distortion counts x log p only. Add (1 - x) log(1 - p).",
    ),
    (
        "missing_one_pixels",
        lambda x, logits: (1 - x) * softplus(logits),
        "The distortion counts (1 - x) log(1 - p) only. Add x log p.",
    ),
    (
        "logits_sign",
        lambda x, logits: distortion_terms(x, -logits),
        "The logits have the wrong sign in the distortion.",
    ),
    (
        "swapped_bce_arguments",
        lambda x, logits: binary_cross_entropy(x, torch.sigmoid(logits), reduction="none"),
        "The arguments of the cross-entropy are swapped. What the model gives comes first, the "
        "pixels second.",
    ),
    (
        "absolute_error",
        lambda x, logits: (torch.sigmoid(logits) - x).abs(),
        "The distortion is an absolute error. It is no Bernoulli likelihood: use the cross-entropy.",
    ),
    (
        "log_forgotten",
        lambda x, logits: -(x * torch.sigmoid(logits) + (1 - x) * torch.sigmoid(-logits)),
        "The distortion lacks the logarithm: it is -x log p - (1 - x) log(1 - p).",
    ),
)
RATES: tuple[Term, ...] = (
    ("", rate_terms, ""),
    (
        "missing_half",
        lambda mu, logvar: 2 * rate_terms(mu, logvar),
        "The factor 1/2 of the KL is missing.",
    ),
    (
        "swapped_kl",
        lambda mu, logvar: 0.5 * ((1 + mu**2) / logvar.exp() + logvar - 1),
        "The KL has its arguments swapped: KL(p || q), from the prior to q. KL(q || p) is asked.",
    ),
    (
        "logvar_as_log_sigma",
        lambda mu, logvar: rate_terms(mu, 2 * logvar),
        "In the KL logvar is taken for log sigma. exp(logvar) is the variance.",
    ),
    (
        "logvar_as_log_sigma",
        lambda mu, logvar: 0.5 * (mu**2 + (2 * logvar).exp() - 1 - logvar),
        "In the KL exp(logvar) is squared as if it were sigma. It is the variance already.",
    ),
    (
        "missing_minus_one",
        lambda mu, logvar: rate_terms(mu, logvar) + 0.5,
        "The -1 in the KL is missing.",
    ),
    (
        "minus_one_outside",
        lambda mu, logvar: rate_terms(mu, logvar) + 0.5 - 0.5 / mu.shape[-1],
        "In the KL the 1 stands outside the sum over the latents. It belongs to every latent.",
    ),
    (
        "minus_one_outside",
        lambda mu, logvar: rate_terms(mu, logvar) + 0.5 - 1 / mu.shape[-1],
        "In the KL the 1 stands outside the sum over the latents, and outside the factor 1/2. It "
        "belongs to every latent.",
    ),
    (
        "exp_forgotten",
        lambda mu, logvar: 0.5 * (mu**2 - 1),
        "The exponential in the KL is forgotten: the variance is exp(logvar).",
    ),
    (
        "mu_not_squared",
        lambda mu, logvar: 0.5 * (mu + logvar.exp() - 1 - logvar),
        "mu is not squared in the KL.",
    ),
    (
        "half_misplaced",
        lambda mu, logvar: mu**2 + 0.5 * logvar.exp() - 1 - logvar,
        "The factor 1/2 of the KL binds only the exponential. Put brackets around all four terms.",
    ),
    (
        "std_for_variance",
        lambda mu, logvar: 0.5 * (mu**2 + (0.5 * logvar).exp() - 1 - logvar),
        "In the KL the standard deviation exp(logvar / 2) stands for the variance exp(logvar).",
    ),
    (
        "missing_logvar_term",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1),
        "The term -logvar of the KL is missing.",
    ),
    (
        "missing_variance_term",
        lambda mu, logvar: 0.5 * (mu**2 - 1 - logvar),
        "The term exp(logvar) of the KL is missing.",
    ),
    (
        "missing_mu_term",
        lambda mu, logvar: 0.5 * (logvar.exp() - 1 - logvar),
        "The term mu ** 2 of the KL is missing.",
    ),
    (
        "missing_variance_term",
        lambda mu, logvar: 0.5 * mu**2,
        "The KL is that of a unit variance: the terms of logvar are missing.",
    ),
    (
        "mu_sign",
        lambda mu, logvar: 0.5 * (-(mu**2) + logvar.exp() - 1 - logvar),
        "The term mu ** 2 of the KL has the wrong sign.",
    ),
    (
        "kl_div_function",
        lambda mu, logvar: kl_div(mu, logvar, reduction="none"),
        "torch.nn.functional.kl_div compares two lists of probabilities. It knows nothing of means "
        "and variances of normals.",
    ),
    (
        "kl_div_function",
        lambda mu, logvar: kl_div(logvar, mu, reduction="none"),
        "torch.nn.functional.kl_div compares two lists of probabilities. It knows nothing of means "
        "and variances of normals.",
    ),
    (
        "logvar_sign",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 + logvar),
        "The term logvar of the KL has the wrong sign.",
    ),
    (
        "mu_logvar_swapped",
        lambda mu, logvar: rate_terms(logvar, mu),
        "mu and logvar are swapped in the KL.",
    ),
)
