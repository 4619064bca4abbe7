r"""One latent behind several modalities: a VAE of images, captions, tones or what you bring.

p(z) prod_m p(x_m|z), with one *expert* q_m(z|x_m) for each modality, joined by a product, a mixture
or a mixture of products, so that every subset of the modalities gives a posterior.

The parts obey the contract of the house with the first modality as x and the others as context:
``bounds.terms(model, x, *others)`` and ``evaluate(model, x, *others)`` are about the *joint*
log p(x, others), and ``evaluate(model, x)`` about log p(x) of the first modality alone. For the
others see :meth:`MultimodalVAE.only`; for x given others, ``multimodal_conditional``.

Sources: Wu & Goodman 2018 (arXiv 1802.05335), Shi et al. 2019 (arXiv 1911.03393), Sutter et al.
2021 (arXiv 2105.02470).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.errors import check_whole, unknown
from course_lib.models.vae import full_precision, normal

__all__ = ["EXPERTS", "Modality", "MultimodalVAE", "product_of_experts"]

EXPERTS = ("product", "mixture", "mixture_of_products")


def product_of_experts(mus: Tensor, logvars: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``mu, logvar: [B, L]`` of the normalized product of normals and the prior N(0, I).

    Precisions add up, and each mean counts with the precision of its expert; the prior is an
    expert with mean 0 and precision 1, so that a row without any other is the prior itself.

    Args:
        mus: ``[M, B, L]``.
        logvars: ``[M, B, L]``.
        mask: bool ``[M, B]``, True where the expert is there. What stands in ``mus`` and
            ``logvars`` elsewhere, be it NaN, matters neither to the values nor to the gradients.

    Source: Wu & Goodman 2018 (arXiv 1802.05335), section 2; Cao & Fleet 2014 (arXiv 1410.7827).
    """
    there = mask.unsqueeze(-1)
    log_precision = torch.where(there, -logvars, -torch.inf)  # log 0 for one that is not there
    log_precision = torch.cat([torch.zeros_like(logvars[:1]), log_precision])
    share = torch.softmax(log_precision, 0)[1:]  # of the total precision, the prior's left out
    mu = (share * torch.where(there, mus, 0.0)).sum(0)
    return mu, -torch.logsumexp(log_precision, 0)


class Modality(nn.Module):
    """What the model needs to know of one modality: how it is read, and its likelihood.

    Args:
        encoder: examples ``[B, ...]`` to ``[B, 2L]``, mu beside logvar of its expert.
        decoder: latents ``[N, L]`` to the parameters of the likelihood, ``[N, ...]``.
        head: parameters ``[..., *P]`` to a ``torch.distributions`` object with batch shape
            ``[...]``: the axes of one example are declared, by ``Independent`` for instance.

    An all-zero example stands in for one that is missing in a row, so the encoder must take it.
    Any VAE of the course gives one: ``Modality(vae.encoder, vae.decoder, vae.head)``.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    def likelihood(self, z: Tensor) -> td.Distribution:
        """p(x_m|z) for ``z: [..., L]``: batch shape ``[...]``, the event one example."""
        params = full_precision(self.decoder(z.reshape(-1, z.shape[-1])))
        p = self.head(params.reshape(*z.shape[:-1], *params.shape[1:]))
        if p.batch_shape != z.shape[:-1]:
            raise ValueError(
                f"The likelihood has batch shape {list(p.batch_shape)} for z of shape "
                f"{list(z.shape)}; {list(z.shape[:-1])} was expected. Declare the axes of one "
                "example with torch.distributions.Independent(p, number_of_axes)."
            )
        return p


class MultimodalVAE(nn.Module):
    """p(z) = N(0, I), p(x_1, ..., x_M|z) = prod_m p(x_m|z), and q(z|any subset of x_1, ..., x_M).

    Args:
        modalities: by name, in the order in which their examples are handed in.
        latent_dim: L.
        experts: ``"product"``: p(z) prod q_m, normalized; ``"mixture"``: the mean of the q_m;
            ``"mixture_of_products"``: the mean of the products of all non-empty subsets. A row
            with nothing in it has the posterior p(z) in all three.

    ``x`` and ``context`` below are examples of the modalities in this order; None, or none at the
    end, for a modality that is missing in all rows. ``mask``, bool ``[M, B]``, is False where it is
    missing in a row; what stands there is not looked at.
    """

    def __init__(
        self, modalities: Mapping[str, Modality], latent_dim: int, experts: str = "product"
    ):
        super().__init__()
        if experts not in EXPERTS:
            raise unknown("way to join experts", experts, EXPERTS)
        if not modalities:
            raise ValueError("No modality was given; at least one was expected.")
        self.modalities = nn.ModuleDict(modalities)
        self.names = list(modalities)
        self.latent_dim, self.experts = check_whole(latent_dim, "latent_dim"), experts
        self.spec: dict | None = None  # what `build` needs to make this model again
        self.register_buffer("prior_mean", torch.zeros(latent_dim), persistent=False)

    @property
    def head(self) -> nn.Module | None:
        """The first modality's head if it is one of pixels, by which images are checked."""
        head = self.modalities[self.names[0]].head
        return head if hasattr(head, "binary") else None

    def only(self, *names: str) -> MultimodalVAE:
        """Return the model of some of the modalities, in this order, with the same weights."""
        for name in names:
            if name not in self.names:
                raise unknown("modality", name, self.names)
        part = MultimodalVAE({k: self.modalities[k] for k in names}, self.latent_dim, self.experts)
        return part.to(self.prior_mean).train(self.training)

    def prior(self, *context: Tensor | None) -> td.Independent:
        """p(z): batch shape ``[]``, event shape ``[L]``."""
        return normal(self.prior_mean, torch.ones_like(self.prior_mean))

    def posterior(
        self, x: Tensor | None, *context: Tensor | None, mask: Tensor | None = None
    ) -> td.Distribution:
        """q(z|what is there): batch shape ``[B]``, event shape ``[L]``."""
        return self.join(*self.encode_each(x, *context, mask=mask))

    def likelihood(
        self, z: Tensor, *context: Tensor | None, mask: Tensor | None = None
    ) -> td.Distribution:
        """p(x, context|z) as a function of x, the context fixed; without context p(x|z).

        Args:
            z: ``[..., B, L]`` beside a context of B rows, else ``[..., L]``.
        """
        if not any(c is not None for c in context) and mask is None:
            return self.modalities[self.names[0]].likelihood(z)
        return JointLikelihood(self, z, context, mask)

    def encode_each(
        self, *parts: Tensor | None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``mus, logvars: [M, B, L]`` of all experts, and ``mask: [M, B]``."""
        parts, mask = self.check(parts, mask)
        mus = self.prior_mean.new_zeros(*mask.shape, self.latent_dim)
        experts = [(m, m) for m in mus]
        for i, (name, x) in enumerate(zip(self.names, parts, strict=True)):
            if x is not None:
                output = full_precision(self.modalities[name].encoder(x))
                if output.shape != (len(x), 2 * self.latent_dim):
                    raise ValueError(
                        f"The encoder of {name!r} returned shape {list(output.shape)}; "
                        f"[{len(x)}, {2 * self.latent_dim}] was expected, mu beside logvar."
                    )
                experts[i] = output.chunk(2, dim=-1)
        mus, logvars = (torch.stack(side) for side in zip(*experts, strict=True))
        return mus, logvars, mask

    def components(self, mus: Tensor, logvars: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Return ``mus, logvars: [S, B, L]`` of the normals that are mixed, and ``logits: [S, B]``.

        S is 1 for a product, M for a mixture, and the number of non-empty subsets for a mixture of
        products. Those with a missing member have logit -inf; where all have, they are the prior.
        """
        if self.experts == "product":
            mu, logvar = product_of_experts(mus, logvars, mask)
            return mu[None], logvar[None], torch.zeros_like(mask[:1], dtype=mu.dtype)
        if self.experts == "mixture":
            there = mask
        else:
            every = range(len(mask))
            subsets = [s for k in every for s in combinations(every, k + 1)]
            rows = [torch.tensor([[m in s] for m in every], device=mask.device) for s in subsets]
            there = torch.stack([(mask | ~row).all(0) for row in rows])
            products = [product_of_experts(mus, logvars, mask & row) for row in rows]
            mus, logvars = (torch.stack(side) for side in zip(*products, strict=True))
        keep = there.unsqueeze(-1)
        mus, logvars = torch.where(keep, mus, 0.0), torch.where(keep, logvars, 0.0)
        logits = torch.zeros_like(there, dtype=mus.dtype)
        return mus, logvars, logits.masked_fill(~there & there.any(0), -torch.inf)

    def join(self, mus: Tensor, logvars: Tensor, mask: Tensor) -> td.Distribution:
        """Return q(z|...) from what :meth:`encode_each` returns."""
        mus, logvars, logits = self.components(mus, logvars, mask)
        if len(mus) == 1:
            return normal(mus[0], torch.exp(0.5 * logvars[0]))
        parts = normal(mus.transpose(0, 1), torch.exp(0.5 * logvars).transpose(0, 1))
        weights = td.Categorical(logits=logits.T, validate_args=False)
        return td.MixtureSameFamily(weights, parts, validate_args=False)

    @torch.no_grad()
    def sample(self, num: int, *, mean: bool = False) -> Tensor:
        """Draw from the first modality: z from p(z), then x from p(x|z), or E[x|z]."""
        z = self.prior().sample((check_whole(num, "num"),))
        return self.mean_image(z) if mean else self.likelihood(z).sample()

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """Return E[x|z] of the first modality for ``z: [..., L]``, without gradient."""
        return self.likelihood(z).mean

    def check(
        self, parts: tuple[Tensor | None, ...], mask: Tensor | None
    ) -> tuple[list[Tensor | None], Tensor]:
        """Return one part for each modality, zeros in missing rows, and the mask ``[M, B]``."""
        if len(parts) > len(self.names):
            raise TypeError(
                f"{len(parts)} modalities were given; this model has {len(self.names)}: "
                f"{', '.join(self.names)}, in this order."
            )
        parts = [*parts, *[None] * (len(self.names) - len(parts))]
        counts = {n: len(x) for n, x in zip(self.names, parts, strict=True) if x is not None}
        if len(set(counts.values())) != 1:
            raise ValueError(
                f"The modalities have {counts or 'no'} rows; at least one of them, and as many "
                "rows of each, were expected. With nothing given, use prior()."
            )
        shape = (len(parts), *set(counts.values()))
        if mask is None:
            mask = torch.ones(shape, dtype=torch.bool, device=self.prior_mean.device)
        elif not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape != shape:
            found = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else type(mask)
            raise ValueError(f"mask is {found}; a bool tensor {list(shape)}, [M, B], was expected.")
        else:  # zeros, because a NaN in an input is a NaN in the gradient of the weights
            parts = [x if x is None else _blank(x, ~m) for x, m in zip(parts, mask, strict=True)]
        given = torch.tensor([x is not None for x in parts], device=mask.device)
        return parts, mask & given[:, None]


class JointLikelihood(td.Distribution):
    """p(x_1, x_2, ..., x_M|z) as a function of x_1, with the others given: see ``likelihood``.

    ``sample`` and ``mean`` are those of x_1 given z, to which the others add nothing.
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, model: MultimodalVAE, z: Tensor, context: tuple, mask: Tensor | None):
        self.model, self.z, self.context, self.mask = model, z, context, mask
        self.first = model.modalities[model.names[0]].likelihood(z)
        super().__init__(self.first.batch_shape, self.first.event_shape, validate_args=False)

    def log_prob(self, value: Tensor | None) -> Tensor:
        """Return sum_m log p(x_m|z) over what is there, ``[..., B]`` in nats; x_1 may be None."""
        parts, mask = self.model.check((value, *self.context), self.mask)
        total = 0.0
        for m, (name, x) in enumerate(zip(self.model.names, parts, strict=True)):
            if x is not None:
                p = self.first if m == 0 else self.model.modalities[name].likelihood(self.z)
                total = total + torch.where(mask[m], p.log_prob(x), 0.0)
        return total

    @property
    def mean(self) -> Tensor:
        return self.first.mean

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return self.first.sample(sample_shape)


def _blank(x: Tensor, rows: Tensor) -> Tensor:
    return x.masked_fill(rows.reshape(-1, *[1] * (x.dim() - 1)), 0)
