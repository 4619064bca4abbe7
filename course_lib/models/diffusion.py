"""A diffusion model as what it is: a VAE of T + 1 layers whose encoder is fixed.

Layer t holds the image with more noise the higher t is, ``z_t ~ N(alpha_t x, sigma_t^2 I)``, and
nothing of the posterior is learned. The model learns to take one step back. All bounds of the
course hold as they are, with the latents ``z_0, ..., z_T`` side by side; training takes the rate
of one layer, drawn at random, in place of the sum over all.

Sources: Ho et al. 2020 (arXiv 2006.11239); Kingma et al. 2021 (arXiv 2107.00630), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.errors import check_whole
from course_lib.models.hierarchical import Chain
from course_lib.models.neighbours import Diffusion
from course_lib.models.vae import VAE, check_shape, normal

__all__ = ["DiffusionVAE", "diffusion_vae", "one_step_loss"]


class DiffusionVAE(VAE):
    """p(z_T) = N(0, I), p(z_{t-1}|z_t) by a denoiser, p(x|z_0); q(z|x) is given.

    Args:
        core: the noise schedule and the denoiser, over flattened images.
        image_shape: ``(C, H, W)`` of binary images.
    """

    def __init__(self, core: Diffusion, image_shape: Sequence[int]):
        sizes = [core.dim] * (core.steps + 1)
        nothing, head = nn.Identity(), nn.Identity()  # no encoder, no decoder, no head with weights
        # The likelihood is Bernoulli, which training and evaluation ask the head, to refuse grey.
        head.binary = True
        super().__init__(nothing, nothing, head, sum(sizes), image_shape)
        self.core, self.sizes = core, sizes
        self.register_buffer("prior_mean", torch.zeros(core.dim), persistent=False)

    def prior(self) -> Chain:
        """p(z_T) ... p(z_0|z_1): batch shape ``[]``, event shape ``[(T + 1) D]``."""
        first = normal(self.prior_mean, torch.ones_like(self.prior_mean))
        return Chain(first, [self._back(t) for t in self._times()], self.sizes, downwards=True)

    def posterior(self, x: Tensor) -> Chain:
        """q(z_T|x) q(z_{T-1}|z_T, x) ...: batch shape ``[B]``; no weight of the model is in it.

        The same density as that of adding noise step by step, q(z_0|x) q(z_1|z_0) ..., in the
        order in which the model draws, so that every layer has a KL of its own.
        """
        self._check_images(x)
        pm = 2 * x.flatten(1) - 1
        c = self.core
        first = normal(c.alpha[-1] * pm, c.sigma[-1].expand_as(pm))
        steps = [self._back(t, pm) for t in self._times()]
        return Chain(first, steps, self.sizes, downwards=True)

    def noising(self, x: Tensor) -> Chain:
        """The posterior from the image to the noise: q(z_0|x) q(z_1|z_0) ... q(z_T|z_{T-1})."""
        self._check_images(x)
        pm = 2 * x.flatten(1) - 1
        c = self.core
        first = normal(c.alpha[0] * pm, c.sigma[0].expand_as(pm))

        def step(t: int):
            ratio = c.alpha[t] / c.alpha[t - 1]
            std = (c.sigma[t] ** 2 - (ratio * c.sigma[t - 1]) ** 2).sqrt()
            return lambda z: normal(ratio * z, std.expand_as(z))

        steps = [step(t) for t in range(1, c.steps + 1)]
        return Chain(first, steps, self.sizes, downwards=False)

    def likelihood(self, z: Tensor) -> td.Independent:
        """p(x|z_0), independent binary pixels: batch shape ``[...]``, event ``[C, H, W]``."""
        self._check_latents(z)
        logits = self.core.p_x(z[..., : self.core.dim]).logits
        pixels = logits.reshape(*z.shape[:-1], *self.image_shape)
        return td.Independent(td.Bernoulli(logits=pixels, validate_args=False), 3, False)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise TypeError(
            "A diffusion model has no code of an image to read: its latents are the image itself "
            "with noise. Draw them with posterior(x)."
        )

    def _times(self) -> range:
        return range(self.core.steps, 0, -1)

    def _back(self, t: int, x: Tensor | None = None):
        """p(z_{t-1}|z_t), or q(z_{t-1}|z_t, x) where x is known."""
        core = self.core

        def step(z: Tensor) -> td.Independent:
            rows = z.reshape(-1, core.dim)
            index = torch.full((len(rows),), t, device=z.device)
            guess = core.denoise(rows, index) if x is None else x.expand_as(z).reshape(rows.shape)
            d = core.step_back(rows, guess, index)
            return normal(d.mean.reshape(z.shape), d.stddev.reshape(*z.shape[:-1], -1).expand_as(z))

        return step


def diffusion_vae(
    image_shape: Sequence[int] = (1, 28, 28), steps: int = 50, hidden: int = 512
) -> DiffusionVAE:
    """Return a diffusion model of binary images with a fully connected denoiser.

    Args:
        image_shape: ``(C, H, W)``.
        steps: T; each is a pass of the network when an image is drawn.
        hidden: width of the denoiser's three hidden layers.
    """
    image_shape, steps = check_shape(image_shape), check_whole(steps, "steps")
    core = Diffusion(math.prod(image_shape), steps, check_whole(hidden, "hidden"), binary=True)
    model = DiffusionVAE(core, image_shape)
    model.spec = {
        "model": "diffusion",
        "image_shape": list(image_shape),
        "steps": steps,
        "hidden": hidden,
    }
    return model


def one_step_loss(model: DiffusionVAE, x: Tensor) -> Tensor:
    """Return an unbiased estimate of -ELBO, ``[B]`` in nats, from one layer drawn at random.

    An objective for :func:`course_lib.training.fit`: one pass of the network in place of T. Of the
    KL between two normals of equal variance only the distance of the means is left.

    Source: Kingma et al. 2021 (arXiv 2107.00630), eq. 13 to 15.
    """
    return model.core.loss(x.flatten(1))
