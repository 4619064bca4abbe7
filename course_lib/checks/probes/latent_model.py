"""A model of the house as an argument: three distributions, and nothing that is not asked of it."""

from __future__ import annotations

from torch import Tensor, nn
from torch import distributions as D


class LinearModel(nn.Module):
    """A linear model with normal distributions, ``D`` pixels in images of any shape, ``L`` latents.

    Nothing says here how prior, encoder and decoder belong together: that is in their values.

    Args:
        prior_mean: ``[L]``.
        prior_std: ``[L]``.
        encoder: ``[D, L]``; the mean of q(z|x) is ``x @ encoder + encoder_bias``.
        encoder_bias: ``[L]``.
        posterior_std: ``[L]``, that of q(z|x).
        decoder: ``[L, D]``; the mean of p(x|z) is ``z @ decoder + decoder_bias``.
        decoder_bias: has the shape of an image.
        pixel_std: a number, that of p(x|z).
    """

    def __init__(self, **parts: Tensor) -> None:
        super().__init__()
        for name, value in parts.items():
            # It shares the memory of the value, so that what is written into it is seen.
            self.register_parameter(name, nn.Parameter(value))
        self.latent_dim = len(self.prior_mean)

    def prior(self) -> D.Independent:
        """p(z): batch ``[]``, event ``[L]``."""
        return D.Independent(D.Normal(self.prior_mean, self.prior_std), 1)

    def posterior(self, x: Tensor) -> D.Independent:
        """q(z|x) for images ``[B, ...]``: batch ``[B]``, event ``[L]``."""
        image = self.decoder_bias.shape
        if x.shape[-len(image) :] != image:
            raise ValueError(
                f"The posterior was given x of shape {list(x.shape)}; [B, "
                f"{', '.join(map(str, image))}] was expected."
            )
        mean = x.flatten(-len(image)) @ self.encoder + self.encoder_bias
        return D.Independent(D.Normal(mean, self.posterior_std.expand_as(mean)), 1)

    def likelihood(self, z: Tensor) -> D.Independent:
        """p(x|z) for ``z: [..., L]``: batch ``[...]``, events of the shape of an image."""
        image = self.decoder_bias.shape
        mean = (z @ self.decoder).unflatten(-1, image) + self.decoder_bias
        return D.Independent(D.Normal(mean, self.pixel_std.expand_as(mean)), len(image))
