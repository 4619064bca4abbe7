"""The models, one short file each, every one with ``prior``, ``posterior`` and ``likelihood``."""

from course_lib.models.conditional import ConditionalVAE, conditional_vae
from course_lib.models.likelihoods import LIKELIHOODS, make_likelihood
from course_lib.models.priors import PRIORS, make_prior
from course_lib.models.vae import MODELS, VAE, build, conv_vae, mlp_vae

__all__ = [
    "LIKELIHOODS",
    "MODELS",
    "PRIORS",
    "VAE",
    "ConditionalVAE",
    "build",
    "conditional_vae",
    "conv_vae",
    "make_likelihood",
    "make_prior",
    "mlp_vae",
]
