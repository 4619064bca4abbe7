"""Likelihoods p(x|z) for pixels: from the decoder's output to a distribution over images.

Each is a module that takes ``params: [..., C * parameters, H, W]`` and returns a
``torch.distributions`` object with event shape ``[C, H, W]``.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as td

from course_lib import distributions
from course_lib.errors import check_number, check_whole, unknown

__all__ = [
    "LIKELIHOODS",
    "Bernoulli",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "make_likelihood",
]


def _image(pixels: td.Distribution) -> td.Independent:
    """Declare the last three axes of independent pixels to be one image."""
    return td.Independent(pixels, 3, validate_args=False)


class Bernoulli(nn.Module):
    """Pixels in {0, 1}; ``params`` are logits.

    Grey pixels give the binary cross-entropy, which is not a likelihood: it has a floor above
    zero and can't be compared with other likelihoods. Binarize, or use another likelihood.
    """

    parameters_per_channel = 1
    binary = True

    def forward(self, params: Tensor) -> td.Independent:
        return _image(distributions.Bernoulli(logits=params, validate_args=False))


class ContinuousBernoulli(nn.Module):
    """Pixels in [0, 1]; ``params`` are logits.

    Source: Loaiza-Ganem & Cunningham 2019 (arXiv 1907.06845).
    """

    parameters_per_channel = 1
    binary = False

    def forward(self, params: Tensor) -> td.Independent:
        return _image(distributions.ContinuousBernoulli(logits=params, validate_args=False))


class Gaussian(nn.Module):
    """Pixels on the real line; the mean is the sigmoid of ``params``, one sigma for all pixels.

    Args:
        sigma: the standard deviation, in units of the pixel range; ``None`` learns it
            (Rybkin et al. 2021, arXiv 2006.13202, there called sigma-VAE).
    """

    parameters_per_channel = 1
    binary = False

    def __init__(self, sigma: float | None = None):
        super().__init__()
        if sigma is not None:
            sigma = check_number(sigma, "sigma", lambda s: s > 0, "a positive number or None")
        log_sigma = torch.tensor(math.log(0.3 if sigma is None else sigma))
        if sigma is None:
            self.log_sigma = nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma)

    def forward(self, params: Tensor) -> td.Independent:
        mean = torch.sigmoid(params)
        sigma = self.log_sigma.exp().expand_as(mean)
        return _image(td.Normal(mean, sigma, validate_args=False))


class DiscretizedLogistic(nn.Module):
    """8-bit pixels 0, 1/255, ..., 1; ``params`` hold a mean and a log scale for each channel.

    Source: Kingma et al. 2016 (arXiv 1606.04934), appendix C.5, with the tails in the edge bins.
    """

    parameters_per_channel = 2
    binary = False

    def __init__(self, levels: int = 256):
        super().__init__()
        self.levels = check_whole(levels, "levels", 2)

    def forward(self, params: Tensor) -> td.Independent:
        mean, raw = params.chunk(2, dim=-3)
        # A soft floor: below a scale of exp(-7), a quarter of a grey level, nothing is gained,
        # and a hard clamp would cut the gradient. At raw = 0 the log scale is -2.
        log_scale = F.softplus(raw + 5.0) - 7.0
        return _image(distributions.DiscretizedLogistic(mean + 0.5, log_scale, levels=self.levels))


LIKELIHOODS = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
    "discretized_logistic": DiscretizedLogistic,
}


def make_likelihood(name: str) -> nn.Module:
    """Return a fresh likelihood by name: one of ``LIKELIHOODS``."""
    if name not in LIKELIHOODS:
        raise unknown("likelihood", name, LIKELIHOODS)
    return LIKELIHOODS[name]()
