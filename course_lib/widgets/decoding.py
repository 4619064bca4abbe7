"""What the live figures ask of a model: codes of images, draws of the prior, E[x|z]."""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.errors import check_images, check_model
from course_lib.evaluation.likelihood import device_of
from course_lib.randomness import seeded

_ROWS = 1000  # images encoded at a time


@torch.no_grad()
def check_decoder(model: object, name: str = "model") -> Tensor:
    """Return z = 0, ``[L]``, as the model wants it; raise unless it decodes to an image.

    Raises:
        TypeError: no model of prior, posterior and likelihood.
        ValueError: a prior that is no distribution over vectors, or a likelihood over no images.
    """
    check_model(model)
    zero = torch.zeros_like(prior_draws(model, 1, seed=0)[0])
    if zero.dim() != 1 or not zero.is_floating_point():
        raise ValueError(
            f"A draw from the prior of {name} has shape {list(zero.shape)} and {zero.dtype}; "
            "a vector [L] of floats was expected."
        )
    image = mean_image(model, zero)
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(
            f"{name} decodes z to shape {list(image.shape)}; an image [C, H, W] with C = 1 (grey) "
            "or 3 (color) was expected, such as course_lib.models.mlp_vae() makes."
        )
    return zero


@torch.no_grad()
def mean_image(model: object, z: Tensor) -> Tensor:
    """Return E[x|z] for ``z: [..., L]``, pixels in [0, 1]: ``[..., C, H, W]``."""
    return model.likelihood(z).mean.clamp(0, 1)


@torch.no_grad()
def codes(model: object, x: Tensor, zero: Tensor, name: str = "x") -> Tensor:
    """Return the posterior means of images ``x: [N, C, H, W]``, ``[N, L]``.

    Args:
        model: a model that has been checked.
        x: images of the model's size, on any device.
        zero: what :func:`check_decoder` returned.
        name: how a message calls the images.

    Raises:
        TypeError, ValueError: no images, or images of another size.
    """
    check_images(x, name)
    expected = mean_image(model, zero).shape
    if x.shape[1:] != expected:
        raise ValueError(
            f"{name} has shape {list(x.shape)}; this model was made for images "
            f"[N, {', '.join(map(str, expected))}]. Reshape or resize them."
        )
    device = device_of(model, x)
    return torch.cat([model.posterior(part.to(device)).mean for part in x.split(_ROWS)])


@torch.no_grad()
def prior_draws(model: object, count: int, seed: int) -> Tensor:
    """Return draws from the prior, ``[count, L]``; the session's random state stays as it was."""
    prior = model.prior()
    with seeded(seed, prior_device(model)):
        return prior.sample((count,))


@torch.no_grad()
def prior_device(model: object) -> torch.device:
    """Return where the model's draws live."""
    return device_of(model, torch.empty(0))
