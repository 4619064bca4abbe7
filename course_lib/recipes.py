"""Settings that are known to work: those of ``train``, and those of the published table.

A recipe holds the arguments of ``mlp_vae``, ``conv_vae``, ``hierarchical_vae`` or
``residual_vae``, and of ``fit``, under their own names. ``checkpoint`` is the model's, activation
checkpointing. ``iwae`` is K of the last ``final_share`` of the epochs, which minimize -IWAE-K.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from course_lib.bounds_objectives import iwae_loss
from course_lib.errors import check_whole, unknown
from course_lib.models import MODELS, VAE

__all__ = ["RECIPES", "fit_options", "make_model", "recipe"]

_COMMON = {
    "optimizer": "adam",
    "lr": 2e-3,
    "weight_decay": 0.0,
    "schedule": "cosine",
    "beta": 1.0,
    "warmup_epochs": 0.0,
    "clip_norm": None,
    "ema": None,
    "validation": 0.05,
    "patience": None,
    "iwae": 1,
    "final_share": 0.4,
}
_MODEL = (
    "model", "hidden", "latent_dim", "activation", "prior", "components", "sizes", "ladder",
    "width", "blocks", "checkpoint",
)  # fmt: skip

# What mattered for "standard" in single runs on MNIST: the mixture as the prior (1.7 nats after as
# many passes), many small steps (for equal time, batches of 100 or 128 ended about a nat below
# batches of 256), and the warm-up, without which the KL switches latents off before a decoder of
# two layers can use them (about another nat).
RECIPES: dict[str, dict] = {
    "standard": _COMMON
    | {
        "model": "mlp",
        "hidden": [300, 300],
        "latent_dim": 40,
        "prior": "mixture",
        "epochs": 45,
        "batch_size": 100,
        "warmup_epochs": 5.0,
        "validation": 0.02,
        "iwae": 5,
    },
    "quick": _COMMON
    | {
        "model": "mlp",
        "hidden": [400],
        "latent_dim": 20,
        "prior": "standard",
        "epochs": 10,
        "batch_size": 128,
    },
    # Chosen by IWAE-500 on 2,000 training images that were kept out, in runs of 45 or 50 passes: a
    # flow as the prior gained 1.5 nats on the mixture, gated layers 0.8 on ReLU, and weights that
    # start so that signals keep their size another 0.5. Two layers of latents ended a nat above
    # one. Dropout, in the encoder or the decoder, was 3 nats behind after 10 passes and broken off.
    "long": _COMMON
    | {
        "model": "mlp",
        "hidden": [300, 300],
        "latent_dim": 40,
        "activation": "gated",
        "prior": "flow",
        "epochs": 140,
        "batch_size": 200,
        "warmup_epochs": 5.0,
        "validation": 0.005,
        "iwae": 5,
        "final_share": 0.35,
    },
    "conv": _COMMON
    | {"model": "conv", "latent_dim": 20, "width": 32, "epochs": 10, "batch_size": 128},
    "hierarchical": _COMMON
    | {
        "model": "hierarchical",
        "sizes": [40, 20],
        "hidden": [[300, 300], [100]],
        "ladder": False,
        "prior": "mixture",
        "epochs": 45,
        "batch_size": 100,
        "warmup_epochs": 5.0,
        "validation": 0.02,
        "iwae": 5,
    },
    # For color images of 32 to 64 pixels; a GPU is the place for all of a large set. No average of
    # the weights: it would hold what they were 1,000 steps ago in a run that has few more, and a
    # learning rate that falls to zero averages as well. Losses are summed over 12,288 numbers, and
    # in the first epochs at 64 pixels norms of 3e4 to 2e5 are usual: the clip is for the rest.
    "residual": _COMMON
    | {
        "model": "residual",
        "latent_dim": 64,
        "width": 32,
        "blocks": 2,
        "prior": "standard",
        "checkpoint": False,
        "epochs": 20,
        "batch_size": 64,
        "lr": 2e-3,
        "warmup_epochs": 3.0,
        "clip_norm": 1e5,
        "validation": 0.02,
    },
}


def recipe(name: str) -> dict:
    """Return a copy of a recipe by name, one of ``RECIPES``."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return deepcopy(RECIPES[name])


def make_model(settings: dict, image_shape: Sequence[int], likelihood: str = "bernoulli") -> VAE:
    """Return the untrained model of a recipe; its weights follow from torch's random state."""
    options = {k: settings[k] for k in _MODEL if k in settings}
    name = options.pop("model")
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    return MODELS[name](image_shape, likelihood=likelihood, **options)


def fit_options(settings: dict) -> dict:
    """Return what of a recipe is for ``fit``, the final objective included."""
    options = {k: v for k, v in settings.items() if k not in (*_MODEL, "iwae")}
    draws = check_whole(settings["iwae"], "iwae")
    return options | {"final_objective": iwae_loss(draws) if draws > 1 else None}
