"""Finding out by calls alone what a loss of a VAE consists of; the meter of ``bounds`` reads it.

A loss is called on chosen float64 inputs. If it is a sum of a term in (recon, x) and a term in
(mu, logvar), differences between calls show each term alone, and a line fitted through its values
against those of a known term gives the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.distributions import ContinuousBernoulli
from course_lib.divergences import kl_standard_normal

__all__ = ["Findings", "probe"]

# A loss that computes in float32 has seven digits, and loses some in a sum over a batch.
TOLERANCE = 1e-4

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Term = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Findings:
    """What the calls showed: ``loss = a * mean(reconstruction) + b * mean(rate) + constant``.

    Both means are over images, and both terms are summed over pixels or latents.

    Attributes:
        kind: of the reconstruction term: a key of the table below, or None for none of them.
        recon: what the loss takes its first argument for.
        a: weight of the reconstruction; None where ``kind`` is None.
        b: weight of the rate; None where the term in mu and logvar is no multiple of it.
        constant: what remains; None where ``a`` or ``b`` is.
        wrong: what the wrong term is, in words, where it was recognized.
        a_powers, b_powers: how a and b grow with D, L and B: whole exponents, or None where the
            loss could not be called with another size or follows no power.
    """

    kind: str | None
    recon: str | None
    a: float | None
    b: float | None
    constant: float | None
    wrong: tuple[str, ...]
    a_powers: tuple[int | None, ...]
    b_powers: tuple[int | None, ...]


def _summed(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1).mean()


def _optimal(mean: Tensor, x: Tensor) -> Tensor:
    """D/2 log of the mean squared error of the batch: Rybkin et al. 2021, section 3."""
    return x[0].numel() / 2 * (mean - x).square().mean().log()


def _bce(logits: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, x, reduction="none")


RECONSTRUCTIONS: dict[tuple[str, str], Term] = {
    ("bce", "logits"): lambda r, x: _summed(_bce(r, x)),
    ("bce", "probabilities"): lambda r, x: _summed(_bce(r.logit(), x)),
    ("mse", "the mean"): lambda r, x: _summed((r - x).square()),
    ("mse", "logits, whose sigmoid is the mean"): lambda r, x: _summed((r.sigmoid() - x).square()),
    ("optimal sigma", "the mean"): _optimal,
    ("optimal sigma", "logits, whose sigmoid is the mean"): lambda r, x: _optimal(r.sigmoid(), x),
    ("continuous bernoulli", "logits"): lambda r, x: _summed(-ContinuousBernoulli(r).log_prob(x)),
}

WRONG_RECONSTRUCTIONS: dict[str, Term] = {
    "a sigmoid is taken before a cross-entropy that takes another": lambda r, x: _summed(
        _bce(r.sigmoid(), x)
    ),
    "the arguments of the cross-entropy are swapped": lambda r, x: _summed(_bce(x, r)),
    "an absolute error, which belongs to a Laplace density": lambda r, x: _summed((r - x).abs()),
}

WRONG_RATES: dict[str, Term] = {
    "logvar is taken for log sigma": lambda m, s: m**2 + (2 * s).exp() - 1 - 2 * s,
    "sigma^2 is forgotten (no exp(logvar))": lambda m, s: m**2,
    "the logarithm is forgotten (no -logvar)": lambda m, s: m**2 + s.exp(),
    "mu is not squared": lambda m, s: m + s.exp() - 1 - s,
    "the arguments are swapped: KL(p || q)": lambda m, s: (1 + m**2) / s.exp() - 1 + s,
    "1/2 binds only the exp": lambda m, s: 0.5 * s.exp() + m**2 - 1 - s,
}


def probe(loss_fn: Loss, image_shape: Sequence[int], L: int, B: int) -> Findings:
    """Find the terms of ``loss_fn(recon, x, mu, logvar)`` and their weights.

    Args:
        image_shape: shape of one image; ``[B, D]`` is tried where ``[B, *image_shape]`` fails.
        L, B: latents, and images in a batch.

    Raises:
        TypeError: the loss can't be called, or gives no single number.
        ValueError: it raises, is not finite, gives different values for equal inputs, is no sum of
            two terms, or does not look at the reconstruction.
    """
    caller = _Caller(loss_fn, tuple(image_shape), L, B)
    parts = _Parts(caller)
    (kind, recon), a, wrong_pixels = parts.reconstruction()
    b, wrong_rate = parts.rate()
    constant = None
    if a is not None and b is not None:
        constant = parts.origin - a * parts.term(kind, recon) - b * parts.kl_at_origin
    wrong = tuple(w for w in (wrong_pixels, wrong_rate) if w)
    powers = _powers(caller, (kind, recon), a, b)
    return Findings(kind, recon, a, b, constant, wrong, *powers)


class _Caller:
    """Calls the loss at probes of one size, and raises with a sentence where that goes wrong."""

    def __init__(self, loss_fn: Loss, shape: tuple[int, ...], L: int, B: int, flat=None):
        if not callable(loss_fn):
            raise TypeError(
                f"loss_fn is a {type(loss_fn).__name__}; a function loss_fn(recon, x, mu, logvar) "
                "was expected, or none and the reductions by name."
            )
        self.loss_fn, self.shape, self.L, self.B = loss_fn, shape, L, B
        self.D = math.prod(shape)
        generator = torch.Generator().manual_seed(0)

        def uniform(*size: int) -> Tensor:
            return torch.rand(*size, generator=generator, dtype=torch.float64) * 2 - 1

        # Every probe lies elsewhere, and no two rows, pixels or latents are alike in it. recon is
        # between 0 and 1, so that it may be a probability, a mean or a logit; x is black or white,
        # since some likelihoods refuse grey.
        centers = (0.15, 0.3, 0.45, 0.6, 0.75, 0.85)
        self.pixels = [
            (c + 0.1 * uniform(B, *shape), (uniform(B, *shape) < 1.6 * c - 0.8).double())
            for c in centers
        ]
        points = ((0, 0), (1, 0), (0, 1.4), (0, -2), (2, 1), (-1, 0.5), (0.5, -1))
        self.latents = [(m + 0.5 * uniform(B, L), s + 0.5 * uniform(B, L)) for m, s in points]
        if flat is None:
            flat = self._needs_flat()
        self.flat = flat
        if flat:
            self.pixels = [(r.flatten(1), x.flatten(1)) for r, x in self.pixels]

    def _needs_flat(self) -> bool:
        """Whether the loss takes only rows of pixels; raise if it takes neither."""
        (r, x), z = self.pixels[0], self.latents[0]
        first = None
        for rows in (False, True):
            inputs = (r.flatten(1), x.flatten(1), *z) if rows else (r, x, *z)
            try:
                self.loss_fn(*(t.clone() for t in inputs))
                return rows
            except Exception as error:
                first = first or error
        shapes = ", ".join(str(list(t.shape)) for t in (r, x, *z))
        raise ValueError(
            f"The loss raised {type(first).__name__}: {str(first).strip()[:200]} It was called as "
            f"loss_fn(recon, x, mu, logvar) with shapes {shapes}, and with rows of {self.D} "
            "pixels. Hand over a function that takes these four, such as "
            "lambda recon, x, mu, logvar: my_loss(x, recon, mu, logvar), and its "
            "image_shape, L and B."
        ) from first

    def __call__(self, pixels: tuple[Tensor, Tensor], latents: tuple[Tensor, Tensor]) -> float:
        value = self.loss_fn(*(t.clone() for t in (*pixels, *latents)))
        if isinstance(value, tuple | list | dict):
            raise TypeError(
                f"The loss gives a {type(value).__name__}; one number was expected. Hand over the "
                "total alone, such as lambda *args: my_loss(*args)[0]."
            )
        if isinstance(value, Tensor) and value.numel() != 1:
            raise TypeError(
                f"The loss has shape {list(value.shape)}; one number was expected. Finish it with "
                "what you do to it before backward(), such as .mean()."
            )
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(
                f"The loss is a {type(value).__name__}; a number was expected."
            ) from None
        if not math.isfinite(number):
            raise ValueError(
                f"The loss is {number} for recon between 0 and 1, x of zeros and ones, mu between "
                "-2 and 3 and logvar between -3 and 2. Look for a log of zero or of something "
                "negative, such as log(logvar), or a division by zero."
            )
        return number


class _Parts:
    """The two terms of a loss, each at its probes, as differences from one common point."""

    def __init__(self, call: _Caller):
        self.call = call
        origin = call.pixels[0], call.latents[0]
        self.origin = call(*origin)
        if call(*origin) != self.origin:
            raise ValueError(
                "The loss gave two different values for the same inputs, so it draws random "
                "numbers or changes from call to call. Hand over the part after the draw of z, "
                "with a fixed weight of the KL."
            )
        self.of_pixels = torch.tensor(
            [call(p, origin[1]) for p in call.pixels], dtype=torch.float64
        )
        self.of_latents = torch.tensor(
            [call(origin[0], z) for z in call.latents], dtype=torch.float64
        )
        self.kl_at_origin = kl_standard_normal(*origin[1]).mean().item()
        self._check_sum()

    def _check_sum(self) -> None:
        size = max(self.of_pixels.abs().max().item(), self.of_latents.abs().max().item())
        if _span(self.of_pixels) <= 1e-9 * size:
            raise ValueError(
                "The loss is the same for every reconstruction. Look whether recon is used, and "
                "whether its order is loss_fn(recon, x, mu, logvar)."
            )
        scale = min(_span(self.of_pixels), max(_span(self.of_latents), 1e-9 * size))
        for i, j in ((1, 1), (2, 4), (4, 3)):
            both = self.call(self.call.pixels[i], self.call.latents[j])
            alone = self.of_pixels[i] + self.of_latents[j] - self.origin
            if abs(both - alone.item()) > TOLERANCE * scale + 1e-9 * size:
                raise ValueError(
                    "The loss is no sum of a term in (recon, x) and a term in (mu, logvar): what a "
                    "change of the one does depends on the other. There is no beta to be read off."
                )

    def term(self, kind: str, recon: str) -> float:
        return RECONSTRUCTIONS[kind, recon](*self.call.pixels[0]).item()

    def reconstruction(self) -> tuple[tuple[str | None, str | None], float | None, str]:
        for name, term in RECONSTRUCTIONS.items():
            weight = _weight([term(*p) for p in self.call.pixels], self.of_pixels)
            if weight is not None:
                return name, weight, ""
        for name, term in WRONG_RECONSTRUCTIONS.items():
            if _weight([term(*p) for p in self.call.pixels], self.of_pixels) is not None:
                return (None, None), None, name
        return (None, None), None, ""

    def rate(self) -> tuple[float | None, str]:
        if _span(self.of_latents) <= 1e-9 * self.of_latents.abs().max():
            return 0.0, ""
        rates = [kl_standard_normal(*z).mean() for z in self.call.latents]
        weight = _weight(rates, self.of_latents)
        if weight is not None:
            return weight, ""
        for name, formula in WRONG_RATES.items():
            values = [_summed(formula(*z)) for z in self.call.latents]
            if _weight(values, self.of_latents) is not None:
                return None, name
        return None, ""


def _span(values: Tensor) -> float:
    return (values.max() - values.min()).item()


def _weight(term: Sequence[Tensor], values: Tensor) -> float | None:
    """The slope of ``values`` against those of a term, or None unless they lie on a line."""
    t = torch.stack([torch.as_tensor(v).double() for v in term])
    t, v = t - t.mean(), values - values.mean()
    slope = (t @ v) / (t @ t)
    return slope.item() if (v - slope * t).abs().max() <= TOLERANCE * _span(values) else None


def _powers(caller: _Caller, name, a: float | None, b: float | None):
    """How both weights change with D, L and B: two triples of exponents."""
    D, L, B = caller.shape, caller.L, caller.B
    taller = (*D[:-1], D[-1] + 3)
    others = ((taller, L, B), (D, L + 3, B), (D, L, B + 3))
    exponents: tuple[list[int | None], ...] = ([], [])
    for (shape, latents, batch), old in zip(others, (caller.D, L, B), strict=True):
        new = {0: math.prod(shape), 1: latents, 2: batch}[len(exponents[0])]
        try:
            parts = _Parts(_Caller(caller.loss_fn, shape, latents, batch, caller.flat))
            (kind, recon), new_a, _ = parts.reconstruction()
            new_b, _ = parts.rate()
            pair = (new_a if (kind, recon) == name else None, new_b)
        except Exception:  # a loss may hold to its sizes; then nothing is said about them
            pair = (None, None)
        for found, before, after in zip(exponents, (a, b), pair, strict=True):
            found.append(_exponent(before, after, new / old))
    return tuple(exponents[0]), tuple(exponents[1])


def _exponent(before: float | None, after: float | None, ratio: float) -> int | None:
    if not before or not after or before * after < 0:
        return None
    power = math.log(after / before) / math.log(ratio)
    return round(power) if abs(power - round(power)) < 0.02 else None
