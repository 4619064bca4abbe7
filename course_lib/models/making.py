"""Models by name, and a model made again from what its checkpoint says of it."""

from __future__ import annotations

from torch import nn

from course_lib.errors import unknown
from course_lib.models.diffusion import diffusion_vae
from course_lib.models.hierarchical import hierarchical_vae
from course_lib.models.multimodal_parts import multimodal_vae
from course_lib.models.residual import residual_vae
from course_lib.models.vae import conv_vae, mlp_vae
from course_lib.models.vector_quantized import vq_vae

__all__ = ["MODELS", "build"]

MODELS = {
    "mlp": mlp_vae,
    "conv": conv_vae,
    "hierarchical": hierarchical_vae,
    "diffusion": diffusion_vae,
    "vq": vq_vae,
    "multimodal": multimodal_vae,
    "residual": residual_vae,
}


def build(spec: dict) -> nn.Module:
    """Make a model from its ``spec``, as a checkpoint stores it (the weights are fresh)."""
    if not isinstance(spec, dict):
        raise TypeError(
            f"spec is a {type(spec).__name__}; a dict was expected, such as mlp_vae().spec."
        )
    arguments = dict(spec)
    name = arguments.pop("model", None)
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(
            f"spec {spec} describes no {name} model of this version: {error}. "
            "Give what the spec of such a model holds."
        ) from error
