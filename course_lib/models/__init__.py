"""The models, one short file each, every one with ``prior``, ``posterior`` and ``likelihood``."""

from course_lib.models.conditional import ConditionalVAE, conditional_vae
from course_lib.models.hierarchical import HierarchicalVAE, hierarchical_vae
from course_lib.models.likelihoods import LIKELIHOODS, make_likelihood
from course_lib.models.making import MODELS, build
from course_lib.models.multimodal import Modality, MultimodalVAE
from course_lib.models.multimodal_parts import multimodal_vae
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import PRIORS, make_prior
from course_lib.models.residual import residual_vae
from course_lib.models.semi_supervised import SemiSupervisedVAE, semi_supervised_vae
from course_lib.models.vae import VAE, conv_vae, mlp_vae
from course_lib.models.vector_quantized import VQVAE, vq_vae

__all__ = [
    "LIKELIHOODS",
    "MODELS",
    "PRIORS",
    "VAE",
    "VQVAE",
    "ConditionalVAE",
    "HierarchicalVAE",
    "Modality",
    "MultimodalVAE",
    "PixelCNN",
    "SemiSupervisedVAE",
    "build",
    "conditional_vae",
    "conv_vae",
    "hierarchical_vae",
    "make_likelihood",
    "make_prior",
    "mlp_vae",
    "multimodal_vae",
    "residual_vae",
    "semi_supervised_vae",
    "vq_vae",
]
