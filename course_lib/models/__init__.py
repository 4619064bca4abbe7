"""The models, one short file each, every one with ``prior``, ``posterior`` and ``likelihood``."""

from course_lib.models.likelihoods import LIKELIHOODS, make_likelihood
from course_lib.models.vae import MODELS, VAE, build, conv_vae, mlp_vae

__all__ = ["LIKELIHOODS", "MODELS", "VAE", "build", "conv_vae", "make_likelihood", "mlp_vae"]
