"""VQ-VAE: the code of an image is a grid of entries from a learned codebook.

Source: van den Oord et al. 2017 (arXiv 1711.00937).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import constraints

from course_lib import processes
from course_lib.errors import check_number, check_whole, unknown
from course_lib.models.likelihoods import make_likelihood
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import VAE, check_shape, full_precision, initialize, upsample

__all__ = [
    "VQVAE",
    "PointMass",
    "perplexity",
    "prior_objective",
    "quantize",
    "vq_loss",
    "vq_objective",
    "vq_vae",
]


def quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest code of each row, and which one it is.

    Choosing the nearest has no useful derivative, so the gradient of ``z_q`` goes *straight
    through* to z, as if z_q were z. None reaches the codebook.

    Args:
        z: ``[B, L]``.
        codebook: ``[N, L]``.

    Returns:
        ``z_q: [B, L]`` and ``indices: [B]``, int64.

    Source: van den Oord et al. 2017, eq. 1, 2 and section 3.2.
    """
    indices = _nearest(z, codebook)
    return z + (codebook[indices] - z).detach(), indices


def vq_loss(z: Tensor, codes: Tensor, beta: float) -> Tensor:
    """Return the codebook term and ``beta`` times the commitment term, a scalar.

    The first moves the codes to the encoder's outputs, the second the outputs to their codes;
    each is a mean over all elements.

    Args:
        z: the encoder's outputs, ``[B, L]``.
        codes: the rows of the codebook that were selected, ``[B, L]``, before straight-through.
        beta: weight of the commitment term.

    Source: van den Oord et al. 2017, eq. 3, the second and third term.
    """
    return F.mse_loss(codes, z.detach()) + beta * F.mse_loss(z, codes.detach())


def perplexity(indices: Tensor, num_codes: int) -> float:
    """Return exp of the entropy of how often each code is used: 1 for one code, K for all alike."""
    num_codes = check_whole(num_codes, "num_codes")
    share = torch.bincount(indices.flatten(), minlength=num_codes).double() / indices.numel()
    return torch.special.entr(share).sum().exp().item()


class PointMass(td.Distribution):
    """All probability on one grid of codes: q(z|x) of a VQ-VAE, batch ``[B]``, event ``[E]``.

    Args:
        value: int64 ``[B, E]``.
        source: what the value was computed from. No gradient passes the choice; the density
            depends on ``source`` with gradient zero, so that bounds see that an encoder stands
            behind it, and refuse to train as if it could learn from them.
    """

    arg_constraints: dict = {}  # noqa: RUF012
    support = constraints.independent(constraints.nonnegative_integer, 1)
    has_rsample = False

    def __init__(self, value: Tensor, source: Tensor):
        self.value, self.source = value, source
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return 0 where ``value: [..., B, E]`` is the code, minus infinity elsewhere."""
        log_p = (value == self.value).all(-1).to(self.source.dtype).log()
        return log_p + 0 * self.source.sum() if self.source.requires_grad else log_p

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return self.value.expand(self._extended_shape(torch.Size(sample_shape)))


class VQVAE(VAE):
    """p(z) over grids of codes, q(z|x) all on one grid, p(x|z) from the codebook's rows.

    It keeps the contract of the three distributions, z being int64 ``[..., H W]``: with one-hot
    q the ELBO is log p(x|z(x)) + log p(z(x)), a true bound, and evaluation and sampling hold
    unchanged. What does not hold: q has no reparameterized draw, so it is trained by
    :func:`vq_objective` and the prior afterwards by :func:`prior_objective`; q has no width, so
    IWAE-K is the ELBO for every K; and there is no mu to encode.

    Args:
        encoder: images ``[B, C, H, W]`` to ``[B, L, *grid]``.
        decoder: ``[B, L, *grid]`` to the likelihood's parameters, ``[B, C * k, H, W]``.
        likelihood: a module from parameters to a distribution with event shape ``[C, H, W]``.
        grid: ``(H, W)`` of the codes.
        num_codes: K, rows of the codebook.
        code_dim: L, the length of a row.
        image_shape: ``(C, H, W)``.
        prior: a module that returns p(z) when it is called, such as :class:`PixelCNN`; None for
            the uniform one, whose rate is H W log K.
        beta: weight of the commitment term.
        decay: of the moving averages that make the codebook; None trains it by the loss.
        revive: move a code that is hardly used to an encoder's output of the batch that is far
            from all codes. In the first batch that is every code, so that the codebook starts
            where the data are.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        grid: Sequence[int],
        num_codes: int,
        code_dim: int,
        image_shape: Sequence[int] = (1, 28, 28),
        prior: nn.Module | None = None,
        beta: float = 0.25,
        decay: float | None = 0.99,
        revive: bool = True,
    ):
        super().__init__(encoder, decoder, likelihood, math.prod(grid), image_shape, prior)
        self.grid, self.num_codes, self.code_dim = tuple(grid), num_codes, code_dim
        self.beta, self.decay, self.revive = beta, decay, revive
        rows = torch.randn(num_codes, code_dim)
        self.codebook = nn.Parameter(rows, requires_grad=decay is None)
        # Moving averages of how many outputs in a batch choose a code, and of their sum.
        self.register_buffer("usage", torch.zeros(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, code_dim))

    def prior(self) -> td.Distribution:
        """p(z): batch shape ``[]``, event shape ``[H W]``."""
        if self.learned_prior is not None:
            return self.learned_prior()
        logits = torch.zeros_like(self.usage).expand(self.latent_dim, -1)
        return td.Independent(td.Categorical(logits=logits, validate_args=False), 1)

    def posterior(self, x: Tensor) -> PointMass:
        """q(z|x) for ``x: [B, C, H, W]``: batch shape ``[B]``, event shape ``[H W]``."""
        z = self.features(x)
        return PointMass(_nearest(z, self.codebook), z)

    def features(self, x: Tensor) -> Tensor:
        """Return the encoder's outputs before they are rounded to codes, ``[B, H W, L]``."""
        self._check_images(x)
        return full_precision(self.encoder(x)).flatten(2).mT

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """Return the code of each image, int64 ``[B, H W]``."""
        return _nearest(self.features(x), self.codebook)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Return E[x|z] at the code of x, ``[B, C, H, W]``."""
        return self.mean_image(self.codes(x))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise TypeError(
            "A VQ-VAE has no mu and logvar: the code of an image is a grid of whole numbers. Take "
            "codes(x), or features(x) for the encoder's outputs before they are rounded."
        )

    def decode(self, z: Tensor) -> Tensor:
        """Return the likelihood's parameters for int64 ``z: [..., H W]``, ``[..., C k, H, W]``."""
        self._check_latents(z)
        params = self._decode_rows(self.codebook[z.reshape(-1, self.latent_dim)])
        return params.reshape(*z.shape[:-1], *params.shape[1:])

    def _decode_rows(self, rows: Tensor) -> Tensor:
        grid = rows.mT.reshape(len(rows), self.code_dim, *self.grid)
        return full_precision(self.decoder(grid))

    def _check_latents(self, z: Tensor) -> None:
        if not isinstance(z, Tensor) or z.dtype != torch.int64:
            found = z.dtype if isinstance(z, Tensor) else type(z).__name__
            raise TypeError(f"z is {found}; codes, int64 [..., {self.latent_dim}], were expected.")
        if z.dim() == 0 or z.shape[-1] != self.latent_dim:
            raise ValueError(
                f"z has shape {list(z.shape)}; the last axis must hold the {self.latent_dim} "
                "codes of an image."
            )

    @torch.no_grad()
    def revive_codes(self, z: Tensor) -> None:
        """Move each code with under 2 % of a fair share of the usage to a row of ``z: [M, L]``.

        Rows are drawn in proportion to their squared distance from the nearest living code, one
        after the other: drawn evenly, most would be empty paper, which has a code already.

        Where several processes train together, the first one's rows are chosen from.

        Source: Arthur & Vassilvitskii 2007 ("k-means++"), section 2.2.
        """
        # Of the whole batch, which all count alike: they must go the same way, since those who
        # have no dead code would miss what the others send.
        count = processes.total(torch.tensor([len(z)], device=z.device))
        fair = count.item() / self.num_codes
        dead = (self.usage < 0.02 * fair).nonzero()[:, 0].tolist()
        if not dead:
            return
        living = self.codebook[self.usage >= 0.02 * fair]
        distance = (
            torch.cdist(z, living).amin(1).square() if len(living) else torch.ones_like(z[:, 0])
        )
        for k in dead:
            chosen = z[torch.multinomial(distance + 1e-12, 1)]
            self.codebook[k], self.usage[k], self.sums[k] = chosen, 0.1 * fair, 0.1 * fair * chosen
            distance = torch.minimum(distance, (z - chosen).square().sum(1))
        processes.follow(self.codebook, self.usage, self.sums)

    @torch.no_grad()
    def update_usage(self, z: Tensor, indices: Tensor) -> None:
        """Take a batch, ``z: [M, L]``, into the moving averages, and the codebook from them.

        Source: van den Oord et al. 2017, appendix A.1, eq. 6 to 8.
        """
        decay = 0.99 if self.decay is None else self.decay
        chosen = F.one_hot(indices, self.num_codes).to(z.dtype)
        with torch.autocast(z.device.type, enabled=False):  # 16 bits would round the codebook
            sums = chosen.T @ z
        self.usage.lerp_(processes.total(chosen.sum(0)), 1 - decay)
        self.sums.lerp_(processes.total(sums), 1 - decay)
        if self.decay is not None:
            used = self.usage > 1e-6  # of the others the averages know nothing
            self.codebook[used] = self.sums[used] / self.usage[used, None]


def vq_objective(model: VQVAE, x: Tensor) -> Tensor:
    """Return the loss of a VQ-VAE, ``[B]``: -log p(x|z_q) plus codebook and commitment terms.

    The squares are summed over the grid and the rows' elements. No bound on log p(x): the price
    of the codes, -log p(z), is not in it. In training mode the codebook moves too.

    Source: van den Oord et al. 2017, eq. 3.
    """
    z = model.features(x)
    rows = z.detach().flatten(0, 1)
    if model.training and model.revive:
        model.revive_codes(rows)
    flat, indices = quantize(z.flatten(0, 1), model.codebook)
    codes = model.codebook[indices].reshape(z.shape)
    distortion = -model.head(model._decode_rows(flat.reshape(z.shape))).log_prob(x)
    loss = distortion + model.beta * (z - codes.detach()).square().sum((1, 2))
    if model.decay is None:
        loss = loss + (codes - z.detach()).square().sum((1, 2))
    if model.training:
        model.update_usage(rows, indices)
    return loss


def prior_objective(model: VQVAE, x: Tensor) -> Tensor:
    """Return -log p(z(x)), ``[B]`` in nats: the prior is trained, and nothing else moves."""
    if model.learned_prior is None:
        raise ValueError(
            "This VQ-VAE has the uniform prior, which has no weights; make it with "
            "vq_vae(prior='pixelcnn'), or set model.learned_prior."
        )
    return -model.prior().log_prob(model.codes(x))


def vq_vae(
    image_shape: Sequence[int] = (1, 28, 28),
    num_codes: int = 64,
    code_dim: int = 8,
    width: int = 32,
    likelihood: str = "bernoulli",
    prior: str = "uniform",
    prior_width: int = 32,
    prior_layers: int = 5,
    beta: float = 0.25,
    decay: float | None = 0.99,
    revive: bool = True,
) -> VQVAE:
    """Return a VQ-VAE of two convolutions of stride 2 each way: a grid of 7 x 7 codes for 28 x 28.

    Args:
        image_shape: ``(C, H, W)``, any height and width from 4 up.
        num_codes: K.
        code_dim: L.
        width: channels after the first convolution; the second has twice as many.
        likelihood: a name in ``LIKELIHOODS``.
        prior: ``"uniform"`` or ``"pixelcnn"``, which is trained after the rest.
        prior_width, prior_layers: of the PixelCNN.
        beta, decay, revive: see :class:`VQVAE`.
    """
    image_shape = check_shape(image_shape)
    num_codes, code_dim = check_whole(num_codes, "num_codes", 2), check_whole(code_dim, "code_dim")
    width = check_whole(width, "width")
    beta = check_number(beta, "beta", lambda v: v >= 0, "a number from 0 up")
    if decay is not None:
        good = "a number between 0 and 1, such as 0.99, or None"
        decay = check_number(decay, "decay", lambda v: 0 < v < 1, good)
    if prior not in ("uniform", "pixelcnn"):
        raise unknown("prior", prior, ("uniform", "pixelcnn"))
    if min(image_shape[1:]) < 4:
        raise ValueError(f"image_shape is {image_shape}; height and width from 4 up needed.")
    head = make_likelihood(likelihood)
    channels, *full = image_shape
    half = [math.ceil(n / 2) for n in full]
    grid = [math.ceil(n / 2) for n in half]
    encoder = nn.Sequential(
        nn.Conv2d(channels, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * width, code_dim, 1),
    )
    decoder = nn.Sequential(
        nn.Conv2d(code_dim, 2 * width, 3, padding=1),
        nn.ReLU(),
        upsample(2 * width, width, grid, half),
        nn.ReLU(),
        upsample(width, channels * head.parameters_per_channel, half, full),
    )
    learned = PixelCNN(num_codes, grid, prior_width, prior_layers) if prior == "pixelcnn" else None
    model = VQVAE(
        initialize(encoder), initialize(decoder), head, grid, num_codes, code_dim, image_shape,
        learned, beta, decay, bool(revive),
    )  # fmt: skip
    model.spec = {
        "model": "vq",
        "image_shape": list(image_shape),
        "num_codes": num_codes,
        "code_dim": code_dim,
        "width": width,
        "likelihood": likelihood,
        "prior": prior,
        "prior_width": prior_width,
        "prior_layers": prior_layers,
        "beta": beta,
        "decay": decay,
        "revive": bool(revive),
    }
    return model


def _nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """The index of the nearest row of the codebook, ``[...]`` for ``z: [..., L]``."""
    # |z - e|^2 but for |z|^2, which is the same for every code. In 16 bits near codes would tie.
    with torch.autocast(z.device.type, enabled=False):
        return (codebook.square().sum(-1) - 2 * z @ codebook.mT).argmin(-1)
