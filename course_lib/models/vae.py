"""The variational autoencoder: three distributions, made by an encoder, a decoder and a head.

Sources: Kingma & Welling 2014 (arXiv 1312.6114); Rezende et al. 2014 (arXiv 1401.4082).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch import distributions as td

from course_lib.errors import check_whole, unknown
from course_lib.models.likelihoods import make_likelihood
from course_lib.models.priors import make_prior

__all__ = ["VAE", "conv_vae", "mlp_vae"]

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gated": nn.GLU}


class VAE(nn.Module):
    """p(z) = N(0, I) or learned, q(z|x) = N(mu(x), diag exp logvar(x)), p(x|z) by ``likelihood``.

    Args:
        encoder: images ``[B, C, H, W]`` to ``[B, 2L]``: mu beside logvar.
        decoder: latents ``[B, L]`` to the likelihood's parameters, ``[B, C * k, H, W]``.
        likelihood: a module from parameters to a distribution with event shape ``[C, H, W]``.
        latent_dim: L.
        image_shape: ``(C, H, W)``; images of another shape are refused.
        prior: a module that returns p(z) when it is called, such as
            :class:`course_lib.models.priors.MixturePrior`; None for N(0, I).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        latent_dim: int,
        image_shape: Sequence[int] = (1, 28, 28),
        prior: nn.Module | None = None,
    ):
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, likelihood
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        self.learned_prior = prior
        self.spec: dict | None = None  # what `build` needs to make this model again
        self.register_buffer("prior_mean", torch.zeros(latent_dim), persistent=False)

    def prior(self) -> td.Distribution:
        """p(z): batch shape ``[]``, event shape ``[L]``."""
        if self.learned_prior is not None:
            return self.learned_prior()
        return normal(self.prior_mean, torch.ones_like(self.prior_mean))

    def posterior(self, x: Tensor) -> td.Independent:
        """q(z|x) for ``x: [B, C, H, W]``: batch shape ``[B]``, event shape ``[L]``."""
        mu, logvar = self.encode(x)
        return normal(mu, torch.exp(0.5 * logvar))

    def likelihood(self, z: Tensor) -> td.Distribution:
        """p(x|z) for ``z: [..., L]``: batch shape ``[...]``, event shape ``[C, H, W]``."""
        return self.head(self.decode(z))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``mu, logvar``, each ``[B, L]``; logvar is log sigma^2."""
        self._check_images(x)
        mu, logvar = full_precision(self.encoder(x)).chunk(2, dim=-1)
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Return the likelihood's parameters for ``z: [..., L]``: ``[..., C * k, H, W]``."""
        self._check_latents(z)
        params = full_precision(self.decoder(z.reshape(-1, self.latent_dim)))
        return params.reshape(*z.shape[:-1], *params.shape[1:])

    @torch.no_grad()
    def sample(self, num_images: int, *, mean: bool = False) -> Tensor:
        """Draw images from the model, ``[N, C, H, W]``: z from p(z), then x from p(x|z).

        Args:
            num_images: how many.
            mean: return E[x|z] instead of a draw of x; smoother, and not a sample of the model.
        """
        z = self.prior().sample((check_whole(num_images, "num_images"),))
        return self.mean_image(z) if mean else self.likelihood(z).sample()

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """Return E[x|z] for ``z: [..., L]``, without gradient: ``[..., C, H, W]``."""
        return self.likelihood(z).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return E[x|z] at z = mu(x), ``[B, C, H, W]``."""
        return self.mean_image(self.encode(x)[0])

    def _check_images(self, x: Tensor) -> None:
        self._check_tensor(x, "x")
        if x.dim() != 4 or tuple(x.shape[1:]) != self.image_shape:
            raise ValueError(
                f"x has shape {list(x.shape)}; this model was made for images "
                f"[B, {', '.join(map(str, self.image_shape))}]. Reshape or resize them."
            )

    def _check_latents(self, z: Tensor) -> None:
        self._check_tensor(z, "z")
        if z.dim() == 0 or z.shape[-1] != self.latent_dim:
            raise ValueError(
                f"z has shape {list(z.shape)}; the last axis must hold the "
                f"{self.latent_dim} latents of this model."
            )

    def _check_tensor(self, a: Tensor, name: str) -> None:
        if not isinstance(a, Tensor):
            raise TypeError(
                f"{name} is a {type(a).__name__}; a torch tensor was expected. "
                "Convert it with torch.as_tensor(...)."
            )
        dtype = self.prior_mean.dtype
        if a.dtype != dtype:
            scale = "" if a.is_floating_point() else ", and divide 8-bit images by 255"
            raise TypeError(
                f"{name} holds {a.dtype}, but the weights of this model are {dtype}. "
                f"Convert it with {name}.to({dtype}){scale}."
            )


def mlp_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 20,
    hidden: Sequence[int] = (400,),
    likelihood: str = "bernoulli",
    activation: str = "relu",
    prior: str = "standard",
    components: int = 100,
) -> VAE:
    """Return a VAE of fully connected layers: 784-400-20 and back by default.

    Args:
        image_shape: ``(C, H, W)``.
        latent_dim: L.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        likelihood: a name in ``LIKELIHOODS``.
        activation: of the hidden layers, ``"relu"``, ``"tanh"``, or ``"gated"``: of two linear
            maps one times the sigmoid of the other (Dauphin et al. 2017, arXiv 1612.08083).
        prior: ``"standard"``, N(0, I), or learned: ``"mixture"``, of normals; ``"vamp"``, of the
            posteriors of pseudo-inputs; ``"flow"``, of affine couplings.
        components: of the mixture; pseudo-inputs of ``"vamp"``.
    """
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    act = ACTIVATIONS[activation]
    image_shape, latent_dim = check_shape(image_shape), check_whole(latent_dim, "latent_dim")
    hidden = check_widths(hidden)
    head = make_likelihood(likelihood)
    pixels = math.prod(image_shape)
    channels = image_shape[0] * head.parameters_per_channel
    out_shape = (channels, *image_shape[1:])
    encoder = nn.Sequential(nn.Flatten(), *dense(pixels, *hidden, 2 * latent_dim, act=act))
    decoder = nn.Sequential(
        *dense(latent_dim, *reversed(hidden), math.prod(out_shape), act=act),
        nn.Unflatten(-1, out_shape),
    )
    networks = initialize(encoder), initialize(decoder)
    learned = make_prior(prior, latent_dim, components, networks[0], image_shape)
    model = VAE(*networks, head, latent_dim, image_shape, learned)
    model.spec = {
        "model": "mlp",
        "image_shape": list(image_shape),
        "latent_dim": latent_dim,
        "hidden": hidden,
        "likelihood": likelihood,
        "activation": activation,
        "prior": prior,
        "components": components,
    }
    return model


def conv_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    latent_dim: int = 20,
    width: int = 32,
    hidden: int = 256,
    likelihood: str = "bernoulli",
) -> VAE:
    """Return a convolutional VAE: two layers of stride 2 each way, and one dense layer between.

    Args:
        image_shape: ``(C, H, W)``, any height and width from 4 up.
        latent_dim: L.
        width: channels after the first convolution; the second has twice as many.
        hidden: width of the dense layer.
        likelihood: a name in ``LIKELIHOODS``.
    """
    image_shape = check_shape(image_shape)
    latent_dim = check_whole(latent_dim, "latent_dim")
    width, hidden = check_whole(width, "width"), check_whole(hidden, "hidden")
    if min(image_shape[1:]) < 4:
        raise ValueError(f"image_shape is {tuple(image_shape)}; height and width from 4 up needed.")
    head = make_likelihood(likelihood)
    channels, *full = image_shape
    half = [math.ceil(n / 2) for n in full]
    quarter = [math.ceil(n / 2) for n in half]
    features = 2 * width * math.prod(quarter)
    encoder = nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        *dense(features, hidden, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        *dense(latent_dim, hidden, features),
        nn.ReLU(),
        nn.Unflatten(-1, (2 * width, *quarter)),
        upsample(2 * width, width, quarter, half),
        nn.ReLU(),
        upsample(width, channels * head.parameters_per_channel, half, full),
    )
    model = VAE(initialize(encoder), initialize(decoder), head, latent_dim, image_shape)
    model.spec = {
        "model": "conv",
        "image_shape": list(image_shape),
        "latent_dim": latent_dim,
        "width": width,
        "hidden": hidden,
        "likelihood": likelihood,
    }
    return model


def normal(mean: Tensor, std: Tensor) -> td.Independent:
    """Independent normals over the last axis, without the checks that cost a pass each."""
    return td.Independent(td.Normal(mean, std, validate_args=False), 1, validate_args=False)


def full_precision(a: Tensor) -> Tensor:
    """Undo autocast: layers may compute in 16 bits, densities are taken in 32."""
    return a.float() if a.dtype in (torch.bfloat16, torch.float16) else a


def dense(*widths: int, act: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Linear layers of these widths with an activation between each two."""
    wider = 2 if act is nn.GLU else 1  # a gate halves what it gets
    layers: list[nn.Module] = []
    for before, after in pairwise(widths[:-1]):
        layers += [nn.Linear(before, wider * after), act()]
    return [*layers, nn.Linear(*widths[-2:])]


def upsample(channels_in: int, channels_out: int, size: list[int], target: list[int]) -> nn.Module:
    """The transpose of a stride-2 convolution that took ``target`` to ``size``."""
    extra = tuple(t - (2 * s - 1) for s, t in zip(size, target, strict=True))
    return nn.ConvTranspose2d(channels_in, channels_out, 3, 2, padding=1, output_padding=extra)


def initialize(network: nn.Sequential) -> nn.Sequential:
    """Initialize every layer for the activation that it feeds, so that signals keep their size.

    Sources: He et al. 2015 (arXiv 1502.01852) for ReLU, Glorot & Bengio 2010 for tanh.
    """
    for layer, following in pairwise(network):
        if isinstance(layer, nn.Unflatten):
            continue
        if isinstance(following, nn.ReLU):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        elif isinstance(following, nn.Tanh):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        elif isinstance(following, nn.GLU):
            # Of a * sigmoid(b) with b ~ N(0, 1) the mean square is that of a times 0.293.
            a, b = layer.weight.data.chunk(2)
            nn.init.normal_(a, std=math.sqrt(1 / 0.293 / layer.in_features))
            nn.init.normal_(b, std=math.sqrt(1 / layer.in_features))
            nn.init.zeros_(layer.bias)
    return network


def check_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return ``image_shape`` as plain numbers, which a checkpoint can hold."""
    try:
        channels, height, width = (check_whole(n, "image_shape") for n in image_shape)
    except (TypeError, ValueError):
        raise ValueError(
            f"image_shape is {image_shape!r}; (channels, height, width), whole numbers from 1 up, "
            "was expected, such as (1, 28, 28)."
        ) from None
    return channels, height, width


def check_widths(hidden: Sequence[int]) -> list[int]:
    """Return the widths of hidden layers as plain numbers."""
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise TypeError(f"hidden is {hidden!r}; a sequence of widths was expected, such as (400,).")
    return [check_whole(width, "a width in hidden") for width in hidden]
