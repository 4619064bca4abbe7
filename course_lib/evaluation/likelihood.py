"""How likely a model finds held-out images: ELBO, its terms, and IWAE-K, with standard errors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributions import kl_divergence

from course_lib.errors import check_images, check_model, check_rows, check_seed, check_whole
from course_lib.randomness import seeded

__all__ = ["Estimate", "Report", "bits_per_dim", "estimate", "evaluate"]


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, in the unit of what was averaged."""

    mean: float
    se: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.se:.2f}"

    __repr__ = __str__


def estimate(values: Tensor) -> Estimate:
    """Return the mean of independent ``values: [N]`` and its standard error, s / sqrt(N)."""
    if values.numel() < 2:
        raise ValueError(f"{values.numel()} value has no standard error; at least two are needed.")
    values = values.double()
    return Estimate(values.mean().item(), (values.std() / math.sqrt(values.numel())).item())


def bits_per_dim(nats: Tensor | float, num_dims: int) -> Tensor | float:
    """Convert nats per example to bits per dimension: nats / (num_dims ln 2), the sign kept."""
    if num_dims < 1:
        raise ValueError(f"num_dims is {num_dims}; the number of pixels and channels was expected.")
    return nats / (num_dims * math.log(2))


@dataclass(frozen=True)
class Report:
    """The result of :func:`evaluate`; every tensor is ``[N]``, nats per image, float64, on the CPU.

    Attributes:
        distortion: -E_q[log p(x|z)], averaged over the same draws as ``iwae``.
        rate: KL(q(z|x) || p(z)).
        iwae: the IWAE-K bound on log p(x).
        num_samples: K.
        num_dims: pixels times channels, for bits per dimension.
    """

    distortion: Tensor
    rate: Tensor
    iwae: Tensor
    num_samples: int
    num_dims: int

    @property
    def elbo(self) -> Tensor:
        """-(distortion + rate), ``[N]``."""
        return -(self.distortion + self.rate)

    def __str__(self) -> str:
        rows = {
            "ELBO": self.elbo,
            "  distortion": self.distortion,
            "  rate": self.rate,
            f"IWAE-{self.num_samples}": self.iwae,
        }
        lines = [f"{len(self.elbo):,} images      nats per image    bits per dim (sign turned)"]
        for name, values in rows.items():
            bound = not name.startswith(" ")
            bits = f"{bits_per_dim(-values.mean().item(), self.num_dims):.4f}" if bound else ""
            # A single image has no standard error, and a repr must not raise.
            shown = estimate(values) if len(values) > 1 else f"{values.item():.2f}"
            lines.append(f"{name:14s} {shown!s:>20s}    {bits}".rstrip())
        return "\n".join(lines)

    __repr__ = __str__


@torch.no_grad()
def evaluate(
    model,
    x: Tensor,
    *context: Tensor,
    num_samples: int = 64,
    seed: int = 0,
    max_rows: int | None = None,
    progress: bool = False,
) -> Report:
    """Estimate distortion, rate, ELBO and IWAE-K of every image, with bounded memory.

    The session's random state is left as it was; the result depends on ``seed`` alone.

    Args:
        model: anything with ``prior``, ``posterior`` and ``likelihood``; put it in evaluation
            mode first if it has one.
        x: held-out images ``[N, C, H, W]`` (or examples ``[N, ...]``), on any device. They must
            be what the likelihood is over: binary for a Bernoulli, drawn once for all
            evaluations (:func:`course_lib.data.fixed_binarization`).
        context: what the model is conditioned on, one row for each image.
        num_samples: K, the draws of z per image.
        seed: of the draws.
        max_rows: the most latents decoded at a time, whatever K and N are; by default 1,024 on the
            CPU, where the images of one piece then stay in its cache, and 65,536 on CUDA; fewer for
            images of more than 28×28 colored pixels.
        progress: show a bar.

    Raises:
        ValueError: no images, K below 1, values that are not finite, pixels outside [0, 1], or
            grey pixels for a binary likelihood.
        TypeError: ``x`` is no tensor of floats, or ``model`` no model for this context.

    Source: Burda et al. 2016 (arXiv 1509.00519), eq. 8, computed in chunks of draws.
    """
    check_model(model, len(context))
    num_samples, seed = check_whole(num_samples, "num_samples"), check_seed(seed)
    if max_rows is not None:
        max_rows = check_whole(max_rows, "max_rows")
    head = getattr(model, "head", None)
    if head is not None or not isinstance(x, Tensor):
        check_images(x)
    if len(x) == 0 or not x.isfinite().all():
        raise ValueError(
            f"x (shape {list(x.shape)}) is empty or has values that are NaN or infinite; "
            "at least one example of finite numbers was expected."
        )
    check_rows(context, len(x), "x")
    check_binary(model, x)
    device = device_of(model, x)
    if max_rows is None:
        max_rows = _rows_at_a_time(device, x)
    # Pieces of equal size: 5,000 draws are five times 1,000, not four times 1,024 and a rest.
    per_pass = math.ceil(num_samples / math.ceil(num_samples / max_rows))
    images = max(1, max_rows // per_pass)
    # Written in place: small results kept one by one lie between the large blocks of memory that
    # come and go, and a run of an hour was seen to grow by 10 GB.
    terms = torch.empty(3, len(x), dtype=torch.float64)
    starts = range(0, len(x), images)
    if progress:
        from tqdm import tqdm

        starts = tqdm(starts, unit="batch", desc=f"IWAE-{num_samples}")
    with seeded(seed, device):
        for start in starts:
            batch = [t[start : start + images].to(device) for t in (x, *context)]
            part = _evaluate_batch(model, batch, num_samples, per_pass)
            terms[:, start : start + images] = part
    distortion, rate, bound = terms
    return Report(distortion, rate, bound, num_samples, math.prod(x.shape[1:]))


def _rows_at_a_time(device: torch.device, x: object) -> int:
    cuda = device.type == "cuda"
    if isinstance(x, Tensor) and x[0].numel() > 3 * 28 * 28:
        # Convolutions keep dozens of numbers for each pixel: some 2 MB a row at 64×64.
        return max(16, (2**24 if cuda else 2**20) // x[0].numel())
    return 65_536 if cuda else 1024


def check_binary(model, x: Tensor) -> None:
    """Raise ValueError where the likelihood of ``model`` is Bernoulli and ``x`` has grey pixels."""
    binary = getattr(getattr(model, "head", None), "binary", False)
    if binary and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "x has grey pixels but the likelihood is Bernoulli, so the result would be no "
            "likelihood. Pass course_lib.data.fixed_binarization(x)."
        )


def device_of(model, x: Tensor) -> torch.device:
    """Return where a model's weights are, or where ``x`` is for a model that has none."""
    weights = model.parameters() if isinstance(model, nn.Module) else ()
    return next((p.device for p in weights), x.device)


def _evaluate_batch(model, batch: list[Tensor], num_samples: int, per_pass: int) -> Tensor:
    """Distortion, rate and IWAE-K of one batch, ``[3, B]``; ``per_pass`` draws at a time."""
    x, context = batch[0], batch[1:]
    q, p = model.posterior(x, *context), model.prior(*context)
    log_px, log_ratio, log_sum = 0.0, 0.0, None
    for done in range(0, num_samples, per_pass):
        z = q.sample((min(per_pass, num_samples - done),))
        log_px_z = model.likelihood(z, *context).log_prob(x).double()
        log_pz_qz = (p.log_prob(z) - q.log_prob(z)).double()
        log_px = log_px + log_px_z.sum(0)
        log_ratio = log_ratio + log_pz_qz.sum(0)
        part = torch.logsumexp(log_px_z + log_pz_qz, 0)
        log_sum = part if log_sum is None else torch.logaddexp(log_sum, part)
    try:
        rate = kl_divergence(q, p).double()
    except NotImplementedError:
        rate = -log_ratio / num_samples
    distortion = -log_px / num_samples
    return torch.stack([distortion, rate, log_sum - math.log(num_samples)]).cpu()
