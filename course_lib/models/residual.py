"""A residual convolutional VAE for color images, and activations computed twice to save memory.

Sources: He et al. 2016 (arXiv 1603.05027), figure 4e, for blocks whose activations stand before
the convolutions; Wu & He 2018 (arXiv 1803.08494) for GroupNorm; Odena et al. 2016 ("Deconvolution
and checkerboard artifacts") for repeating pixels before a convolution in the decoder; Chen et al.
2016 (arXiv 1604.06174), section 4, for activation checkpointing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as computed_twice

from course_lib.errors import check_whole
from course_lib.models.likelihoods import make_likelihood
from course_lib.models.priors import make_prior
from course_lib.models.vae import VAE, check_shape

__all__ = ["ResidualBlock", "residual_vae"]

SMALLEST = 5  # the images are halved until no side is longer
MOST = 8  # times ``width``: the channels double from stage to stage up to here


class Segment(nn.Sequential):
    """Layers of which, with ``checkpoint``, only the input is kept for the backward pass.

    What lies between is then computed once more when the gradient needs it: the same values, a
    forward pass more, less memory. Only in training mode, and only where a gradient is asked for.
    """

    checkpoint = False

    def forward(self, x: Tensor) -> Tensor:
        if self.checkpoint and self.training and torch.is_grad_enabled():
            # Nothing in here is drawn at random, so no random state has to be kept for later.
            again = {"use_reentrant": False, "preserve_rng_state": False}
            return computed_twice(super().forward, x, **again)
        return super().forward(x)


class ResidualBlock(Segment):
    """x + f(x), f being (GroupNorm, SiLU, convolution) twice; at first f(x) = 0.

    Args:
        channels: of x, ``[B, channels, H, W]``, and of the result.

    Source: He et al. 2016 (arXiv 1603.05027), figure 4e. That f starts at zero: Goyal et al. 2017
    (arXiv 1706.02677), section 5.1, there by the scale of the last normalization.
    """

    def __init__(self, channels: int):
        super().__init__(*activated(channels, channels), *activated(channels, channels))
        nn.init.zeros_(self[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def residual_vae(
    image_shape: Sequence[int] = (3, 64, 64),
    latent_dim: int = 64,
    width: int = 32,
    blocks: int = 2,
    likelihood: str = "discretized_logistic",
    prior: str = "standard",
    components: int = 100,
    checkpoint: bool = False,
) -> VAE:
    """Return a convolutional VAE of residual blocks, for images of any size from 8 up.

    A convolution of stride 2 halves the image at the start of every stage, until no side is longer
    than 5: 64, 32, 16, 8, 4. The stages have ``width``, twice, four times and from then on eight
    times as many channels. The decoder is the mirror image. At first mu and logvar are near 0, so
    that q(z|x) is near N(0, I), and the likelihood's parameters are near 0 too.

    Args:
        image_shape: ``(C, H, W)``.
        latent_dim: L.
        width: channels of the first stage.
        blocks: residual blocks in each stage, each way.
        likelihood: a name in ``LIKELIHOODS``; the default is for 8-bit pixels.
        prior: ``"standard"``, N(0, I), or learned, as in :func:`course_lib.models.mlp_vae`.
        components: of the mixture; pseudo-inputs of ``"vamp"``.
        checkpoint: in training keep only the input of each block, and compute what is inside it
            again in the backward pass: less memory, one forward pass more, the same values and
            gradients (Chen et al. 2016).

    Raises:
        ValueError: a name is unknown, or a number can't be used.
    """
    image_shape, latent_dim = check_shape(image_shape), check_whole(latent_dim, "latent_dim")
    width, blocks = check_whole(width, "width"), check_whole(blocks, "blocks")
    if min(image_shape[1:]) < 8:
        raise ValueError(
            f"image_shape is {image_shape}; height and width from 8 up were expected. conv_vae "
            "takes images from 4 up."
        )
    if not isinstance(checkpoint, bool):
        raise TypeError(f"checkpoint is {checkpoint!r}; True or False was expected.")
    head = make_likelihood(likelihood)
    channels = image_shape[0]
    sizes = [image_shape[1:]]
    while max(sizes[-1]) > SMALLEST:
        sizes.append(tuple(math.ceil(n / 2) for n in sizes[-1]))
    widths = [min(2**i, MOST) * width for i in range(len(sizes) - 1)]
    features = widths[-1] * math.prod(sizes[-1])

    # No normalization stands at the two ends, where no path leads around it: of an image that is
    # flat it would take away how light it is (half a bit per dimension after four short epochs).
    down: list[nn.Module] = []
    for before, after in pairwise([channels, *widths]):
        down += [linear(nn.Conv2d(before, after, 3, stride=2, padding=1))]
        down += [ResidualBlock(after) for _ in range(blocks)]
    encoder = nn.Sequential(
        *down,
        nn.SiLU(),
        nn.Flatten(),
        start_small(nn.Linear(features, 2 * latent_dim)),
    )

    up: list[nn.Module] = []
    # Back through the sizes; the last convolution gives the full size as many channels as the
    # first stage has.
    targets = zip(reversed(widths), [*reversed(widths[:-1]), width], sizes[-2::-1], strict=True)
    for before, after, size in targets:
        up += [ResidualBlock(before) for _ in range(blocks)]
        conv = linear(nn.Conv2d(before, after, 3, padding=1))
        up += [Segment(nn.Upsample(size=size, mode="nearest"), conv)]
    last = nn.Conv2d(width, channels * head.parameters_per_channel, 3, padding=1)
    out = Segment(nn.SiLU(), start_small(last))
    decoder = nn.Sequential(
        linear(nn.Linear(latent_dim, features)),
        nn.Unflatten(-1, (widths[-1], *sizes[-1])),
        *up,
        out,
    )

    learned = make_prior(prior, latent_dim, components, encoder, image_shape)
    model = VAE(encoder, decoder, head, latent_dim, image_shape, learned)
    for module in model.modules():
        if isinstance(module, Segment):
            module.checkpoint = checkpoint
    model.spec = {
        "model": "residual",
        "image_shape": list(image_shape),
        "latent_dim": latent_dim,
        "width": width,
        "blocks": blocks,
        "likelihood": likelihood,
        "prior": prior,
        "components": components,
        "checkpoint": checkpoint,
    }
    return model


def normalized(channels: int) -> list[nn.Module]:
    """GroupNorm and SiLU, which see one image at a time: a batch of 1 and evaluation are alike.

    Eight groups where the channels can be shared out among them, two or more to each.
    """
    groups = math.gcd(channels, 8) if channels >= 16 else 1
    return [nn.GroupNorm(groups, channels), nn.SiLU()]


def activated(channels_in: int, channels_out: int) -> list[nn.Module]:
    """GroupNorm, SiLU and then a convolution, which starts as if after a ReLU.

    Source: He et al. 2015 (arXiv 1502.01852).
    """
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    return [*normalized(channels_in), conv]


def linear(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Initialize a layer that no activation follows or precedes: signals keep their size."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    nn.init.zeros_(layer.bias)
    return layer


def start_small(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """Initialize an output layer so that its values start at about a twentieth."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    layer.weight.data.mul_(0.1)
    nn.init.zeros_(layer.bias)
    return layer
