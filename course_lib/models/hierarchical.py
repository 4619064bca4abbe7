"""VAEs with several layers of latents: inferred from the bottom up, and as a ladder.

Layer 1 is the one next to the data. The generative part is the same in both,

    p(z_n) p(z_{n-1}|z_n) ... p(z_1|z_2) p(x|z_1),

and z is all layers side by side, ``[..., L_1 + ... + L_n]`` with layer 1 first, so that bounds,
training and evaluation see a model like any other. KL(q || p) has no closed form for such chains;
the rate comes from the draws.

Sources: Burda et al. 2016 (arXiv 1509.00519), section 3, for the bottom-up posterior; Sønderby et
al. 2016 (arXiv 1602.02282) for the ladder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import constraints

from course_lib.errors import check_whole
from course_lib.models.likelihoods import make_likelihood
from course_lib.models.priors import make_prior
from course_lib.models.vae import (
    VAE,
    check_shape,
    check_widths,
    dense,
    full_precision,
    initialize,
    normal,
)

__all__ = ["Chain", "HierarchicalVAE", "hierarchical_vae", "layer_rates"]

Step = Callable[[Tensor], td.Distribution]


class Chain(td.Distribution):
    """Layers that are drawn one after the other, each given the one before; z is all of them.

    Args:
        first: the distribution of the layer that is drawn first, event shape ``[L]``.
        steps: for each further layer a function from the layer before, ``[..., L]``, to the
            distribution of this one, batch shape ``[...]``.
        sizes: the number of latents of each layer, in their order in z.
        downwards: whether the last layer in z is drawn first, as a prior does it.
    """

    arg_constraints: dict = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, first: td.Distribution, steps: Sequence[Step], sizes: Sequence[int], downwards: bool
    ):
        self.first, self.steps, self.sizes = first, list(steps), list(sizes)
        self.downwards = downwards
        # The draw, its distributions, and whether these know gradients: the networks need not run
        # again for its density.
        self._drawn: tuple[Tensor, list[td.Distribution], bool] | None = None
        event = torch.Size([sum(self.sizes)])
        super().__init__(first.batch_shape, event, validate_args=False)

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        d = self.first
        z = [d.rsample(sample_shape) if d.has_rsample else d.sample(sample_shape)]
        layers = [d]
        for step in self.steps:
            layers.append(step(z[-1]))
            z.append(layers[-1].rsample())
        joined = torch.cat(self._ordered(z), -1)
        self._drawn = joined, self._ordered(layers), torch.is_grad_enabled()
        return joined

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_probs(self, value: Tensor) -> list[Tensor]:
        """Return the log density of each layer given the one before it, ``[...]`` each, nats."""
        z = value.split(self.sizes, -1)
        known, layers, graded = self._drawn or (None, [], False)
        if value is not known or (torch.is_grad_enabled() and not graded):
            # In the order in which they are drawn, then back.
            drawn = self._ordered(list(z))
            layers = [self.first, *(s(v) for s, v in zip(self.steps, drawn, strict=False))]
            layers = self._ordered(layers)
        return [d.log_prob(v) for d, v in zip(layers, z, strict=True)]

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of all layers, ``[...]`` in nats."""
        return sum(self.log_probs(value))

    def _ordered(self, layers: list) -> list:
        return layers[::-1] if self.downwards else layers


class HierarchicalVAE(VAE):
    """Layers of latents above one another: p(z_n) ... p(z_1|z_2) p(x|z_1).

    Args:
        recognition: from images, and then from each layer of latents (bottom up) or of features
            (ladder), to what is above; see :func:`hierarchical_vae`.
        heads: ladder only: from the features of each layer to ``[B, 2 L_i]``; None: bottom up.
        generation: for each layer but the last, from the layer above ``[B, L_{i+1}]`` to
            ``[B, 2 L_i]``, mu beside logvar of p(z_i|z_{i+1}).
        decoder: from layer 1, ``[B, L_1]``, to the likelihood's parameters.
        likelihood: a module from parameters to a distribution with event shape ``[C, H, W]``.
        sizes: L_1, ..., L_n.
        image_shape: ``(C, H, W)``.
        prior: a module that returns p(z_n) when it is called; None for N(0, I).
    """

    def __init__(
        self,
        recognition: Sequence[nn.Module],
        heads: Sequence[nn.Module] | None,
        generation: Sequence[nn.Module],
        decoder: nn.Module,
        likelihood: nn.Module,
        sizes: Sequence[int],
        image_shape: Sequence[int] = (1, 28, 28),
        prior: nn.Module | None = None,
    ):
        super().__init__(
            nn.ModuleList(recognition), decoder, likelihood, sum(sizes), image_shape, prior
        )
        self.sizes, self.ladder = list(sizes), heads is not None
        self.heads = nn.ModuleList(heads or [])
        self.generation = nn.ModuleList(generation)
        self.register_buffer("prior_mean", torch.zeros(self.sizes[-1]), persistent=False)

    def prior(self) -> Chain:
        """p(z_n) ... p(z_1|z_2): batch shape ``[]``, event shape ``[L]``, all layers together."""
        steps = [self._given(network) for network in reversed(self.generation)]
        return Chain(super().prior(), steps, self.sizes, downwards=True)

    def posterior(self, x: Tensor) -> Chain:
        """q(z|x) for ``x: [B, C, H, W]``: batch shape ``[B]``, event shape ``[L]``."""
        self._check_images(x)
        if not self.ladder:
            first = _normal(self.encoder[0](x))
            steps = [self._given(network) for network in self.encoder[1:]]
            return Chain(first, steps, self.sizes, downwards=False)
        features, guesses = x, []
        for network, head in zip(self.encoder, self.heads, strict=True):
            features = network(features)
            guesses.append(full_precision(head(features)))
        steps = [
            self._merged(guess, network)
            for guess, network in zip(guesses[-2::-1], reversed(self.generation), strict=True)
        ]
        return Chain(_normal(guesses[-1]), steps, self.sizes, downwards=True)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``mu, logvar`` of all layers, ``[B, L]``, each given the *mean* of the one before.

        For pictures of what the layers hold; a bound needs draws of :meth:`posterior`.
        """
        q = self.posterior(x)
        layers = [q.first]
        for step in q.steps:
            layers.append(step(layers[-1].mean))
        layers = layers[::-1] if q.downwards else layers
        mu = torch.cat([d.mean for d in layers], -1)
        return mu, torch.cat([d.variance.log() for d in layers], -1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the likelihood's parameters for ``z: [..., L]``; they follow from layer 1."""
        self._check_latents(z)
        lowest = z[..., : self.sizes[0]]
        params = full_precision(self.decoder(lowest.reshape(-1, self.sizes[0])))
        return params.reshape(*z.shape[:-1], *params.shape[1:])

    @torch.no_grad()
    def refill(self, z: Tensor, layers: int) -> Tensor:
        """Keep the ``layers`` uppermost layers of ``z: [..., L]`` and draw those below anew.

        Images of the result share what the kept layers hold; 0 draws everything anew.
        """
        self._check_latents(z)
        layers = check_whole(layers, "layers", 0, len(self.sizes))
        if layers == 0:
            return self.prior().sample(z.shape[:-1])
        parts = list(z.split(self.sizes, -1))
        for i in range(len(self.sizes) - layers - 1, -1, -1):
            parts[i] = self._given(self.generation[i])(parts[i + 1]).sample()
        return torch.cat(parts, -1)

    def _given(self, network: nn.Module) -> Step:
        return lambda above: _normal(network(above))

    def _merged(self, guess: Tensor, network: nn.Module) -> Step:
        """q(z_i|z_{i+1}, x), proportional to p(z_i|z_{i+1}) times N(z_i; the guess from x)."""

        def step(above: Tensor) -> td.Independent:
            mu_p, logvar_p = full_precision(network(above)).chunk(2, -1)
            mu_x, logvar_x = guess.chunk(2, -1)
            logvar = -torch.logaddexp(-logvar_p, -logvar_x)
            mu = mu_p * torch.exp(logvar - logvar_p) + mu_x * torch.exp(logvar - logvar_x)
            return normal(mu, torch.exp(0.5 * logvar))

        return step


def hierarchical_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    sizes: Sequence[int] = (20, 10),
    hidden: Sequence[Sequence[int]] | Sequence[int] = (200, 100),
    ladder: bool = False,
    likelihood: str = "bernoulli",
    prior: str = "standard",
    components: int = 100,
) -> HierarchicalVAE:
    """Return a VAE of several layers of latents, all networks fully connected.

    Args:
        image_shape: ``(C, H, W)``.
        sizes: latents of each layer, the one next to the data first.
        hidden: for each layer the widths of the networks between it and what is below it; a plain
            number is one hidden layer.
        ladder: infer from the top down, every layer merged with what the model expects there.
        likelihood: a name in ``LIKELIHOODS``.
        prior: of the uppermost layer, ``"standard"``, ``"mixture"`` or ``"flow"``.
        components: of the mixture.
    """
    image_shape = check_shape(image_shape)
    sizes = [check_whole(size, "a size in sizes") for size in sizes]
    widths = [check_widths([h] if isinstance(h, int) else h) for h in hidden]
    if len(widths) != len(sizes) or not all(widths):
        raise ValueError(
            f"hidden holds the widths of {len(widths)} layers and sizes has {len(sizes)}; at least "
            "one width for each layer of latents was expected, such as sizes=(20, 10), "
            "hidden=(200, 100)."
        )
    head = make_likelihood(likelihood)
    pixels = math.prod(image_shape)
    out_shape = (image_shape[0] * head.parameters_per_channel, *image_shape[1:])
    recognition, heads, generation = [], [], []
    below = pixels
    for size, layer in zip(sizes, widths, strict=True):
        flat = [nn.Flatten()] if not recognition else []
        if ladder:
            recognition.append(nn.Sequential(*flat, *dense(below, *layer), nn.ReLU()))
            heads.append(initialize(nn.Sequential(*dense(layer[-1], 2 * size))))
            below = layer[-1]
        else:
            recognition.append(nn.Sequential(*flat, *dense(below, *layer, 2 * size)))
            below = size
    for lower, upper, layer in zip(sizes, sizes[1:], widths[1:], strict=False):
        generation.append(nn.Sequential(*dense(upper, *reversed(layer), 2 * lower)))
    decoder = nn.Sequential(
        *dense(sizes[0], *reversed(widths[0]), math.prod(out_shape)), nn.Unflatten(-1, out_shape)
    )
    for network in (*recognition, *generation, decoder):
        initialize(network)
    model = HierarchicalVAE(
        recognition, heads if ladder else None, generation, decoder, head, sizes, image_shape,
        make_prior(prior, sizes[-1], components),
    )  # fmt: skip
    model.spec = {
        "model": "hierarchical",
        "image_shape": list(image_shape),
        "sizes": sizes,
        "hidden": widths,
        "ladder": bool(ladder),
        "likelihood": likelihood,
        "prior": prior,
        "components": components,
    }
    return model


def layer_rates(model: HierarchicalVAE, x: Tensor, num_samples: int = 1) -> Tensor:
    """Return the rate of each layer, ``[n, B]`` in nats, layer 1 first; their sum is the rate.

    Of layer i it is E_q[log q(z_i|...) - log p(z_i|z_{i+1})]. In a ladder that is a KL averaged
    over the layers above and so never negative, but for noise. In a bottom-up posterior the layers
    are drawn in other orders by q and by p, and only the sum is a KL.

    Source: Sønderby et al. 2016 (arXiv 1602.02282), section 3.
    """
    num_samples = check_whole(num_samples, "num_samples")
    q, p = model.posterior(x), model.prior()
    z = q.rsample((num_samples,))
    pairs = zip(q.log_probs(z), p.log_probs(z), strict=True)
    return torch.stack([(log_q - log_p).mean(0) for log_q, log_p in pairs])


def _normal(params: Tensor) -> td.Independent:
    mu, logvar = full_precision(params).chunk(2, dim=-1)
    return normal(mu, torch.exp(0.5 * logvar))
