"""Priors p(z) that are learned with the model; without one, p(z) = N(0, I).

Each is a module that is called without arguments and returns a ``torch.distributions`` object with
batch shape ``[]`` and event shape ``[L]``. KL(q || p) has no closed form for any of them, so bounds
take it from the draws.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import constraints

from course_lib.distributions import NormalMixture
from course_lib.errors import check_images, check_whole, unknown
from course_lib.models.neighbours.flow import Flow

__all__ = ["PRIORS", "FlowDistribution", "FlowPrior", "MixturePrior", "VampPrior", "make_prior"]


class MixturePrior(nn.Module):
    """A mixture of ``components`` diagonal normals whose weights, means and scales are learned.

    The aggregate posterior, the mean of q(z|x) over the data, is the prior that maximizes the
    average ELBO; a mixture comes nearer to it than one normal does.

    Source: Tomczak & Welling 2018 (arXiv 1705.07120), section 3, the "MoG" prior.
    """

    def __init__(self, latent_dim: int, components: int = 100):
        super().__init__()
        latent_dim = check_whole(latent_dim, "latent_dim")
        components = check_whole(components, "components")
        self.logits = nn.Parameter(torch.zeros(components))
        # Apart from each other, or all would receive the same gradient and stay one normal; with
        # these scales the mixture as a whole starts near N(0, I).
        self.means = nn.Parameter(0.7 * torch.randn(components, latent_dim))
        self.log_scales = nn.Parameter(torch.full((components, latent_dim), -0.3))

    def forward(self) -> NormalMixture:
        return NormalMixture(self.logits, self.means, self.log_scales)


class VampPrior(nn.Module):
    """p(z) = 1/C sum_c q(z|u_c): the posteriors of C made-up images u_c, which are learned.

    The aggregate posterior is the same mean over all training images; C pseudo-inputs stand for
    them. The encoder is shared, so the prior follows it as it moves, and each step pays for C more
    passes of the encoder. Weights are equal, as in the paper.

    Args:
        encoder: of the model, from images ``[C, ...]`` to ``[C, 2L]``: mu beside logvar. It is
            used and not owned: the model holds its weights once.
        image_shape: ``(channels, H, W)``.
        components: C.

    Source: Tomczak & Welling 2018 (arXiv 1705.07120), eq. 9.
    """

    def __init__(self, encoder: nn.Module, image_shape: Sequence[int], components: int = 100):
        super().__init__()
        shape = [check_whole(n, "a number in image_shape") for n in image_shape]
        components = check_whole(components, "components")
        # In a tuple, where nn.Module does not look: the encoder is the model's own, and a copy of
        # the model still shares it with its prior.
        self._encoder = (encoder,)
        # As the sigmoid of logits pixels stay in (0, 1). Apart from each other, or all would
        # receive the same gradient and stay one.
        self.input_logits = nn.Parameter(torch.randn(components, *shape) - 2.0)

    @property
    def inputs(self) -> Tensor:
        """The pseudo-inputs u, ``[C, channels, H, W]`` in (0, 1)."""
        return torch.sigmoid(self.input_logits)

    @torch.no_grad()
    def start_from(self, x: Tensor) -> None:
        """Let the pseudo-inputs start as training images ``[C, channels, H, W]``.

        Black and white ones become nearly so (0.02 and 0.98): at 0 and 1 no gradient would pass.
        """
        check_images(x)
        if x.shape != self.input_logits.shape:
            raise ValueError(
                f"x has shape {list(x.shape)}; as many training images as pseudo-inputs were "
                f"expected, {list(self.input_logits.shape)}."
            )
        self.input_logits.copy_(torch.logit(x, eps=0.02))

    def forward(self) -> NormalMixture:
        # Layers may compute in 16 bits, the density is taken in the precision of the weights.
        params = self._encoder[0](self.inputs).to(self.input_logits.dtype)
        mu, logvar = params.chunk(2, dim=-1)
        return NormalMixture(mu.new_zeros(len(mu)), mu, 0.5 * logvar)


class FlowDistribution(td.Distribution):
    """The density of a :class:`Flow` as a distribution: batch shape ``[]``, event shape ``[L]``."""

    arg_constraints: dict = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, flow: Flow):
        self.flow = flow
        super().__init__(torch.Size(), torch.Size([flow.dim]), validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(torch.Size(sample_shape))
        masks = self.flow.masks
        noise = torch.randn(shape, dtype=masks.dtype, device=masks.device)
        return self.flow.to_x(noise.reshape(-1, self.flow.dim)).reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the exact log density of ``value: [..., L]``, ``[...]`` in nats.

        It is taken in the precision of the flow's weights.
        """
        rows = value.reshape(-1, self.flow.dim).to(self.flow.masks.dtype)
        return self.flow.log_prob(rows).reshape(value.shape[:-1])


class FlowPrior(nn.Module):
    """z = f(eps) with eps ~ N(0, I) and f a flow of affine couplings; it starts as N(0, I).

    The density is exact both ways: z goes back through f for its density, eps forth for a draw.

    Args:
        latent_dim: L, from 2 up, since a coupling moves one half by what it reads in the other.
        layers: couplings.
        hidden: width of the two hidden layers of each.

    Sources: Dinh et al. 2017 (arXiv 1605.08803), section 3; as a prior, Chen et al. 2017 (arXiv
    1611.02731), section 3.2.
    """

    def __init__(self, latent_dim: int, layers: int = 6, hidden: int = 64):
        super().__init__()
        self.flow = Flow(check_whole(latent_dim, "latent_dim", 2), layers, hidden)

    def forward(self) -> FlowDistribution:
        return FlowDistribution(self.flow)


PRIORS = ("standard", "mixture", "vamp", "flow")


def make_prior(
    name: str,
    latent_dim: int,
    components: int = 100,
    encoder: nn.Module | None = None,
    image_shape: Sequence[int] | None = None,
) -> nn.Module | None:
    """Return the prior of that name, one of ``PRIORS``; None stands for N(0, I).

    Args:
        name: ``"standard"``, ``"mixture"``, ``"vamp"`` or ``"flow"``.
        latent_dim: L.
        components: of the mixture; pseudo-inputs of ``"vamp"``.
        encoder, image_shape: for ``"vamp"`` only, see :class:`VampPrior`.
    """
    if name not in PRIORS:
        raise unknown("prior", name, PRIORS)
    if name == "vamp":
        if encoder is None or image_shape is None:
            raise ValueError(
                "The prior 'vamp' is made of posteriors and needs an encoder from images straight "
                "to the latents that it is over; mlp_vae has one. Here choose 'standard', "
                "'mixture' or 'flow'."
            )
        return VampPrior(encoder, image_shape, components)
    if name == "flow":
        return FlowPrior(latent_dim)
    return MixturePrior(latent_dim, components) if name == "mixture" else None
