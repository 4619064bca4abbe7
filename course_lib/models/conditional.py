"""The conditional VAE: p(z|c), q(z|x,c) and p(x|z,c), and guidance of its samples.

Source: Sohn et al. 2015 (Learning structured output representation using deep conditional
generative models); guidance as Ho & Salimans 2022 (arXiv 2207.12598), on the decoder's parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib import bounds
from course_lib.errors import check_number, check_whole
from course_lib.models.likelihoods import make_likelihood
from course_lib.models.vae import (
    VAE,
    check_shape,
    check_widths,
    dense,
    full_precision,
    initialize,
    normal,
)

__all__ = ["ConditionalVAE", "cfg_logits", "conditional_vae", "sometimes_hidden"]


def cfg_logits(logits_cond: Tensor, logits_uncond: Tensor, weight: float) -> Tensor:
    """Return guided logits; weight 0 is unconditional, 1 conditional, more exaggerates.

    For binary pixels that is p(x|z,c)^w p(x|z)^(1-w), normalized. With a weight above 1 it is no
    likelihood of the model any more: quality is bought with variety.

    Source: Ho & Salimans 2022 (arXiv 2207.12598), eq. 6, with w = 1 + their w.
    """
    return logits_uncond + weight * (logits_cond - logits_uncond)


class ConditionalVAE(VAE):
    """A VAE whose three distributions all depend on a context ``c`` of one row for each image.

    Args:
        encoder: ``[B, pixels + E]`` (flattened x beside the condition) to ``[B, 2L]``.
        decoder: ``[N, L + E]`` (z beside the condition) to ``[N, C * k, H, W]``.
        likelihood: a module from parameters to a distribution with event shape ``[C, H, W]``.
        latent_dim: L.
        image_shape: ``(C, H, W)``.
        condition: a module of ``course_lib.models.conditions``, from the context to ``[B, E]``.
        prior_network: ``[B, E]`` to ``[B, 2L]``, mu beside logvar of p(z|c); None for N(0, I),
            which makes z and c independent in the model, though not in the codes of images.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
        image_shape: Sequence[int],
        condition: nn.Module,
        prior_network: nn.Module | None = None,
    ):
        super().__init__(encoder, decoder, likelihood, latent_dim, image_shape)
        self.condition, self.prior_network = condition, prior_network

    def prior(self, *context: Tensor) -> td.Independent:
        """p(z|c): batch shape ``[B]``, or ``[]`` where the prior does not look at c."""
        if self.prior_network is None:
            return super().prior()
        mu, logvar = full_precision(self.prior_network(self._vector(context))).chunk(2, dim=-1)
        return normal(mu, torch.exp(0.5 * logvar))

    def posterior(self, x: Tensor, *context: Tensor) -> td.Independent:
        """q(z|x,c) for ``x: [B, C, H, W]``: batch shape ``[B]``, event shape ``[L]``."""
        mu, logvar = self.encode(x, *context)
        return normal(mu, torch.exp(0.5 * logvar))

    def likelihood(self, z: Tensor, *context: Tensor) -> td.Distribution:
        """p(x|z,c) for ``z: [..., B, L]``: batch shape ``[..., B]``, event ``[C, H, W]``."""
        return self.head(self.decode(z, *context))

    def encode(self, x: Tensor, *context: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``mu, logvar`` of q(z|x,c), each ``[B, L]``."""
        self._check_images(x)
        c = self._vector(context)
        if len(c) != len(x):
            raise ValueError(f"{len(x)} images came with {len(c)} rows of context; one each.")
        output = self.encoder(torch.cat([x.flatten(1), c], dim=-1))
        mu, logvar = full_precision(output).chunk(2, dim=-1)
        return mu, logvar

    def decode(self, z: Tensor, *context: Tensor) -> Tensor:
        """Return the likelihood's parameters for ``z: [..., B, L]``: ``[..., B, C * k, H, W]``."""
        self._check_latents(z)
        c = self._vector(context)
        if z.dim() < 2 or z.shape[-2] != len(c):
            raise ValueError(
                f"z has shape {list(z.shape)} beside {len(c)} rows of context; [..., "
                f"{len(c)}, {self.latent_dim}] was expected, a row of context for each z."
            )
        both = torch.cat([z, c.expand(*z.shape[:-1], -1)], dim=-1)
        params = full_precision(self.decoder(both.reshape(-1, both.shape[-1])))
        return params.reshape(*z.shape[:-1], *params.shape[1:])

    def guided(self, z: Tensor, *context: Tensor, weight: float = 1.0) -> td.Distribution:
        """The likelihood with guided parameters; needs training with :func:`sometimes_hidden`.

        Args:
            z: ``[..., B, L]``.
            context: one row for each z.
            weight: 0 unconditional, 1 the model itself, above 1 exaggerated.
        """
        good = "a finite number, such as 2.0,"
        weight = check_number(weight, "weight", lambda v: True, good)
        nothing = self.hide_all(*context)
        return self.head(cfg_logits(self.decode(z, *context), self.decode(z, *nothing), weight))

    def hide_all(self, *context: Tensor) -> tuple[Tensor, ...]:
        """Return a context of the same shape that says nothing."""
        rows = torch.ones(self._rows(context), dtype=torch.bool, device=context[0].device)
        return self.condition.hide(rows, *context)

    @torch.no_grad()
    def sample(self, *context: Tensor, mean: bool = False, weight: float = 1.0) -> Tensor:
        """Draw one image for each row of the context, ``[B, C, H, W]``: z from p(z|c), then x.

        z comes from p(z|c) at every weight, so that with a learned prior weight 0 still knows c;
        what knows nothing of it is ``sample(*hide_all(*context))``.

        Args:
            context: what to make, on the device of the model.
            mean: return E[x|z,c] instead of a draw of x.
            weight: of the guidance, see :meth:`guided`.
        """
        p, count = self.prior(*context), self._rows(context)
        z = p.sample() if p.batch_shape else p.sample((count,))
        if weight == 1:
            px = self.likelihood(z, *context)
        else:
            px = self.guided(z, *context, weight=weight)
        return px.mean if mean else px.sample()

    @torch.no_grad()
    def mean_image(self, z: Tensor, *context: Tensor) -> Tensor:
        """Return E[x|z,c] for ``z: [..., B, L]``, without gradient: ``[..., B, C, H, W]``."""
        return self.likelihood(z, *context).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor, *context: Tensor) -> Tensor:
        """Return E[x|z,c] at z = mu(x,c), ``[B, C, H, W]``."""
        return self.mean_image(self.encode(x, *context)[0], *context)

    def _rows(self, context: Sequence[Tensor]) -> int:
        if len(context) != self.condition.tensors:
            raise TypeError(
                f"{len(context)} tensors of context were given; this model is conditioned on "
                f"{self.condition.tensors}, one row for each image."
            )
        for t in context:
            if not isinstance(t, Tensor) or t.dim() == 0:
                raise TypeError(
                    f"A context is {t if isinstance(t, Tensor) else type(t).__name__}; a tensor "
                    "with one row for each image was expected."
                )
        counts = [len(t) for t in context]
        if len(set(counts)) > 1:
            raise ValueError(f"The context has {counts} rows; as many of each were expected.")
        return counts[0]

    def _vector(self, context: Sequence[Tensor]) -> Tensor:
        """The condition, ``[B, E]``, in the precision of the weights."""
        self._rows(context)
        return full_precision(self.condition(*context)).to(self.prior_mean.dtype)


def conditional_vae(
    condition: nn.Module,
    image_shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 20,
    hidden: Sequence[int] = (400,),
    likelihood: str = "bernoulli",
    learned_prior: bool = False,
) -> ConditionalVAE:
    """Return a conditional VAE of fully connected layers.

    Args:
        condition: a module of ``course_lib.models.conditions``.
        image_shape: ``(C, H, W)``.
        latent_dim: L.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        likelihood: a name in ``LIKELIHOODS``.
        learned_prior: p(z|c) from a network with one hidden layer. Samples then obey c far more
            often than with N(0, I), where z may land where no image of this c has its code.
    """
    image_shape, latent_dim = check_shape(image_shape), check_whole(latent_dim, "latent_dim")
    hidden = check_widths(hidden)
    head, pixels = make_likelihood(likelihood), math.prod(image_shape)
    out_shape = (image_shape[0] * head.parameters_per_channel, *image_shape[1:])
    encoder = nn.Sequential(*dense(pixels + condition.width, *hidden, 2 * latent_dim))
    decoder = nn.Sequential(
        *dense(latent_dim + condition.width, *reversed(hidden), math.prod(out_shape)),
        nn.Unflatten(-1, out_shape),
    )
    network = None
    if learned_prior:
        network = initialize(nn.Sequential(*dense(condition.width, hidden[-1], 2 * latent_dim)))
    networks = initialize(encoder), initialize(decoder)
    return ConditionalVAE(*networks, head, latent_dim, image_shape, condition, network)


def sometimes_hidden(share: float):
    """Return the objective of the ELBO with the condition hidden for a random ``share`` of rows.

    What it trains is conditional and unconditional at once, which guidance needs. For the rows
    that are hidden the terms bound log p(x), for the others log p(x|c).

    Source: Ho & Salimans 2022 (arXiv 2207.12598), algorithm 1.
    """
    share = check_number(share, "share", lambda v: 0 <= v <= 1, "a share from 0 to 1")

    def objective(model: ConditionalVAE, x: Tensor, *context: Tensor) -> bounds.Terms:
        rows = torch.rand(len(x), device=x.device) < share
        return bounds.terms(model, x, *model.condition.hide(rows, *context))

    return objective
