r"""The objective meter: what a VAE's loss really optimizes, from its reductions or from its code.

A loss of the usual form is, averaged over images,

``a * reconstruction + b * rate``

with the reconstruction summed over the D pixels and the rate, KL(N(mu, exp logvar) || N(0, I)),
over the L latents. Whatever sums and means were taken only sets a and b. Their ratio
``beta = b / a`` decides what is learned (Higgins et al. 2017), and for a squared error it says
which Gaussian was meant:

``a * SE + b * rate = b * (SE / (2 sigma^2) + rate)``, ``sigma^2 = b / (2 a)``,

minus the ELBO of N(mean, sigma^2) up to the factor b and the constant ``D/2 log(2 pi sigma^2)``
(Rybkin et al. 2021, arXiv 2006.13202, section 3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from course_lib.bounds_probing import TOLERANCE, probe
from course_lib.errors import check_number, check_whole, unknown

__all__ = ["Meter", "objective_meter"]

_NAMES = {
    "bce": "cross-entropy",
    "mse": "squared error",
    "nll": "−log p(x|z)",
    "continuous bernoulli": "−log p(x|z)",
    "optimal sigma": "D/2 log MSE",
}
_LIKELIHOODS = {
    "bce": "Bernoulli, if pixels are 0 or 1 (grey pixels have no such likelihood)",
    "nll": "the likelihood whose logarithm it holds",
    "continuous bernoulli": "continuous Bernoulli, a density on [0, 1]",
    "optimal sigma": "Gaussian with the best sigma of each batch",
}


@dataclass(frozen=True, repr=False)
class Meter:
    """What :func:`objective_meter` found: ``loss = a * reconstruction + b * rate + constant``.

    Both terms are averaged over images, and summed over pixels or latents.

    Attributes:
        reconstruction: ``"bce"``, ``"mse"``, ``"nll"``, ``"continuous bernoulli"``, ``"optimal
            sigma"``, or None for something else.
        a, b: the weights; None where the term is something else.
        D, L, B: the sizes that they were found at.
        constant: what is added to the two terms, or None where that is unknown.
        a_powers, b_powers: how the weights grow with D, L and B, as exponents; None: unknown.
        recon: what a loss takes its first argument for: ``"logits"``, ``"the mean"``, ...
        wrong: what is wrong with a term, in words.
    """

    reconstruction: str | None
    a: float | None
    b: float | None
    D: int
    L: int
    B: int
    constant: float | None = 0.0
    a_powers: tuple[int | None, ...] = (None, None, None)
    b_powers: tuple[int | None, ...] = (None, None, None)
    recon: str | None = None
    wrong: tuple[str, ...] = ()

    @property
    def beta(self) -> float | None:
        """b / a: what one nat of rate costs, in units of the summed reconstruction term.

        A squared error is taken as it stands, which makes it the distortion of a Gaussian with
        sigma^2 = 1/2; see ``sigma2`` for the other reading. None where a term is something else.
        """
        return None if self.a is None or self.b is None else self.b / self.a

    @property
    def sigma2(self) -> float | None:
        """The variance b / (2 a) that makes beta 1, for a squared error; otherwise None."""
        if self.reconstruction != "mse" or self.beta is None or self.beta <= 0:
            return None
        return self.beta / 2

    @property
    def scale(self) -> float | None:
        """The factor before the distortion, in nats per image: b for a squared error, else a."""
        return self.b if self.sigma2 is not None else self.a

    @property
    def elbo(self) -> str:
        """How the loss is minus an ELBO.

        ``"exactly"``, ``"up to scale"``, ``"up to a constant"``, ``"up to scale and a constant"``
        or ``"no"``. What differs only so has the same gradient directions and the same optimum.
        """
        scale, beta = self.scale, self.beta
        if beta is None or scale <= 0 or (self.sigma2 is None and not _equal(beta, 1)):
            return "no"
        if self.reconstruction == "mse" and self.sigma2 is None:
            return "no"
        missing = self._missing()
        constant = missing is None or abs(missing) > TOLERANCE * scale
        parts = ["scale"] * (not _equal(scale, 1)) + ["a constant"] * constant
        return f"up to {' and '.join(parts)}" if parts else "exactly"

    @property
    def is_elbo(self) -> bool:
        """Whether the loss is minus an ELBO, scale and constants aside."""
        return self.elbo != "no"

    def _missing(self) -> float | None:
        """The constant of the loss less that of minus the ELBO, both times scale."""
        if self.constant is None:
            return None
        of_elbo = 0.0
        if self.sigma2 is not None:
            of_elbo = self.scale * self.D / 2 * math.log(2 * math.pi * self.sigma2)
        elif self.reconstruction == "optimal sigma":
            of_elbo = self.scale * self.D / 2 * (1 + math.log(2 * math.pi))
        return self.constant - of_elbo

    @property
    def units(self) -> str:
        """What the printed number is in: nats per image, pixel or batch, or no known unit."""
        scale = self.scale
        if scale is None:
            return "none that is known"
        if scale > 0:
            units = {"image": 1, "pixel": 1 / self.D, "batch": self.B, "latent": 1 / self.L}
            for name, factor in units.items():
                if _equal(scale, factor):
                    return f"nats per {name}"
        return f"{scale:.4g} × nats per image"

    @property
    def formula(self) -> str | None:
        """beta as a product of D, L and B, such as ``"D / L"``, where it is one."""
        powers = [*zip(self.a_powers, self.b_powers, strict=True)]
        if not self.beta or _equal(self.beta, 1) or any(p is None or q is None for p, q in powers):
            return None
        powers = [q - p for p, q in powers]
        sizes = (self.D, self.L, self.B)
        factor = self.beta / math.prod(s**p for s, p in zip(sizes, powers, strict=True))
        above = [s for s, p in zip("DLB", powers, strict=True) for _ in range(p)]
        below = [s for s, p in zip("DLB", powers, strict=True) for _ in range(-p)]
        if not above + below:
            return None
        if not _equal(factor, 1) or not above:
            above.insert(0, f"{factor:.4g}")
        bottom = " · ".join(below)
        return " · ".join(above) + (
            f" / {f'({bottom})' if len(below) > 1 else bottom}" * bool(below)
        )

    def __str__(self) -> str:
        rows = {"loss": self._loss()}
        if self.beta is not None:
            formula = self.formula
            rows["β"] = f"{self.beta:.4g}" + (f" = {formula}" if formula else "")
        if self.reconstruction == "mse" and self.beta is not None:
            rows["β"] += ", beside the summed squared error"
        if self.sigma2 is not None:
            rows["σ²"] = (
                f"{self.sigma2:.4g} (σ = {math.sqrt(self.sigma2):.4g}) as a Gaussian with β = 1"
            )
        rows["unit"] = self.units
        if self.recon:
            rows["recon"] = f"taken for {self.recon}"
        rows["−ELBO?"] = self._verdict()
        return "\n".join(f"{name:7s} {text}" for name, text in rows.items())

    __repr__ = __str__

    def _loss(self) -> str:
        first = _NAMES.get(self.reconstruction, "another term in recon and x")
        second = "rate"
        if self.b is None:
            second = "a term in mu and logvar that is no KL"
        if self.beta is None:
            return f"{first} + {second}"
        if self.sigma2 is not None:
            inside = f"{first} / {2 * self.sigma2:.4g} + {second}"
        else:
            sign = "−" if self.beta < 0 else "+"
            weight = "" if _equal(abs(self.beta), 1) else f"{abs(self.beta):.4g} × "
            inside = f"{first} {sign} {weight}{second}" if self.beta else first
        whole = inside if _equal(self.scale, 1) else f"{self.scale:.4g} × ({inside})"
        missing = self.constant is not None and abs(self.constant) > TOLERANCE * abs(self.scale)
        return whole + (f" {'+' if self.constant > 0 else '−'} {abs(self.constant):.4g}" * missing)

    def _verdict(self) -> str:
        if self.is_elbo:
            of = _LIKELIHOODS.get(self.reconstruction)
            if self.sigma2 is not None:
                of = f"Gaussian with σ = {math.sqrt(self.sigma2):.4g}"
            return f"{self.elbo}; likelihood: {of}"
        if self.beta is None:
            said = [*self.wrong]
            if not said and self.b is None:
                said = ["the term in mu and logvar is no multiple of the KL to N(0, I)"]
            elif not said:
                said = ["the term in recon and x is no likelihood that the meter knows"]
            return "no: " + "; ".join(said)
        if self.scale < 0 < self.beta:
            return "no: it is the ELBO_β with its own sign, and minimizing it makes the model worse"
        if self.a < 0:
            return "no: the reconstruction term has its sign turned"
        if self.beta < 0:
            return "no: the rate has its sign turned and is paid for, not charged"
        if self.beta == 0:
            return "no: there is no rate, so z may cost any number of nats (an autoencoder)"
        if self.beta > 1:
            return "no: −ELBO_β with β > 1; divided by its scale it lies above −ELBO"
        return "no: −ELBO_β with β < 1; divided by its scale it lies below −ELBO and bounds nothing"


def objective_meter(
    loss_fn: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None = None,
    *,
    reconstruction: str = "bce",
    pixel_reduction: str = "sum",
    kl_reduction: str = "sum",
    batch_reduction: str = "mean",
    kl_batch_reduction: str | None = None,
    reconstruction_weight: float = 1.0,
    kl_weight: float = 1.0,
    D: int | None = None,
    L: int = 20,
    B: int = 128,
    image_shape: Sequence[int] | None = None,
) -> Meter:
    """Say which beta, sigma and unit a loss of a VAE has, and whether it is minus an ELBO.

    Hand over the loss itself, which is then called on chosen inputs and never looked into::

        objective_meter(lambda recon, x, mu, logvar: ...)

    or describe it by its reductions::

        objective_meter(pixel_reduction="mean", kl_reduction="sum")

    The prior is N(0, I) and the posterior N(mu, diag exp logvar).

    Args:
        loss_fn: ``loss_fn(recon, x, mu, logvar)`` gives one number; recon is the decoder's output
            (logits, probabilities or means, between 0 and 1 in the calls) and x black or white,
            both ``[B, *image_shape]`` or ``[B, D]``; mu and logvar are ``[B, L]``; all float64.
        reconstruction: ``"bce"``, ``"mse"`` (without 1/2), or ``"nll"``, minus a log-likelihood
            with all its constants.
        pixel_reduction: over the D pixels, ``"sum"`` or ``"mean"``.
        kl_reduction: over the L latents.
        batch_reduction: over the B images of a batch.
        kl_batch_reduction: the same for the KL; by default as ``batch_reduction``.
        reconstruction_weight, kl_weight: factors before the reduced terms.
        D: pixels times channels; by default 784, or those of ``image_shape``.
        L: latents.
        B: images in a batch.
        image_shape: shape of one image; by default (1, 28, 28), or (D,).

    Raises:
        ValueError, TypeError: a word or number is unusable, or ``loss_fn`` can't be measured: it
            raises, gives no finite number, is random, or is no sum of two terms.
    """
    L, B = check_whole(L, "L"), check_whole(B, "B")
    shape = _check_shape(image_shape, D)
    D = math.prod(shape)
    if loss_fn is not None:
        found = probe(loss_fn, shape, L, B)
        return Meter(
            found.kind, found.a, found.b, D, L, B, found.constant,
            found.a_powers, found.b_powers, found.recon, found.wrong,
        )  # fmt: skip
    if reconstruction not in ("bce", "mse", "nll"):
        raise unknown("reconstruction", reconstruction, ("bce", "mse", "nll"))
    if kl_batch_reduction is None:
        kl_batch_reduction = batch_reduction
    positive = "a number other than 0"
    a = check_number(reconstruction_weight, "reconstruction_weight", lambda w: w != 0, positive)
    b = check_number(kl_weight, "kl_weight", lambda w: True, "a finite number")
    a_powers = (
        _mean(pixel_reduction, "pixel_reduction"),
        0,
        1 + _mean(batch_reduction, "batch_reduction"),
    )
    b_powers = (
        0,
        _mean(kl_reduction, "kl_reduction"),
        1 + _mean(kl_batch_reduction, "kl_batch_reduction"),
    )
    for size, p, q in zip((D, L, B), a_powers, b_powers, strict=True):
        a, b = a * float(size) ** p, b * float(size) ** q
    return Meter(reconstruction, a, b, D, L, B, 0.0, a_powers, b_powers)


def _mean(reduction: object, name: str) -> int:
    """The exponent of a size in a reduction over it: -1 for a mean, 0 for a sum."""
    if reduction not in ("sum", "mean"):
        raise unknown(name, reduction, ("sum", "mean"))
    return -1 if reduction == "mean" else 0


def _check_shape(image_shape: Sequence[int] | None, D: int | None) -> tuple[int, ...]:
    if D is not None:
        D = check_whole(D, "D")
    if image_shape is None:
        return (1, 28, 28) if D in (None, 784) else (D,)
    try:
        shape = tuple(check_whole(n, "image_shape") for n in image_shape)
    except (TypeError, ValueError):
        shape = ()
    if not shape or D not in (None, math.prod(shape)):
        raise ValueError(
            f"image_shape is {image_shape!r}; whole numbers were expected, such as (1, 28, 28)"
            + (f", with a product of D = {D:,}." if D is not None else ".")
        )
    return shape


def _equal(value: float, target: float) -> bool:
    return abs(value - target) <= TOLERANCE * abs(target)
