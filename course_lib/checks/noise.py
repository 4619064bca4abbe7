"""Is a sample a fresh draw of N(mu, exp logvar), and if not, what was done instead?

The draws are standardized with every formula that people take for the right one, and the residues
are compared with every kind of noise that people use. Thresholds: a right sampler fails with a
probability below 1e-7 in all tests together, on 8 x 64 x 16 draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from course_lib.checks.pictures import Drawing, histogram

_MOMENT = 6.5
_KOLMOGOROV = 3.2
_CORRELATION = 8.0
_DEPENDENCE = 7.0


class Finding(NamedTuple):
    """What is wrong with a sampler."""

    mistake: str | None
    sentence: str
    drawing: Drawing | None = None


class _Form(NamedTuple):
    mistake: str
    shift: Callable[[Tensor, Tensor], Tensor]
    scale: Callable[[Tensor, Tensor], Tensor]
    sentence: str


def _mean(mu: Tensor, logvar: Tensor) -> Tensor:
    return mu


def _std(mu: Tensor, logvar: Tensor) -> Tensor:
    return (0.5 * logvar).exp()


_RIGHT = _Form("", _mean, _std, "")
_FORMS = (
    _RIGHT,
    _Form(
        "variance_as_std",
        _mean,
        lambda mu, logvar: logvar.exp(),
        "The noise is scaled by exp(logvar), the variance. The standard deviation is "
        "exp(logvar / 2).",
    ),
    _Form(
        "logvar_as_std",
        _mean,
        lambda mu, logvar: logvar,
        "The noise is scaled by logvar itself. The standard deviation is exp(logvar / 2).",
    ),
    _Form(
        "logvar_as_std",
        _mean,
        lambda mu, logvar: 0.5 * logvar,
        "The noise is scaled by logvar / 2: the exponential is forgotten.",
    ),
    _Form(
        "scale_forgotten",
        _mean,
        lambda mu, logvar: torch.ones_like(mu),
        "The noise is not scaled. Multiply it by the standard deviation, exp(logvar / 2).",
    ),
    _Form(
        "logvar_sign",
        _mean,
        lambda mu, logvar: (-0.5 * logvar).exp(),
        "The noise is scaled by exp(-logvar / 2), one over the standard deviation.",
    ),
    _Form(
        "logvar_sign",
        _mean,
        lambda mu, logvar: (-logvar).exp(),
        "The noise is scaled by exp(-logvar), one over the variance.",
    ),
    _Form(
        "half_twice",
        _mean,
        lambda mu, logvar: (0.25 * logvar).exp(),
        "The noise is scaled by exp(logvar / 4): the root of the standard deviation. One half, or "
        "one root, is too many.",
    ),
    _Form(
        "variance_as_std",
        _mean,
        lambda mu, logvar: (2 * logvar).exp(),
        "The noise is scaled by exp(2 logvar). The standard deviation is exp(logvar / 2).",
    ),
    _Form(
        "mu_forgotten",
        lambda mu, logvar: torch.zeros_like(mu),
        _std,
        "mu is not added: the draws are centred at zero.",
    ),
    _Form(
        "standard_normal",
        lambda mu, logvar: torch.zeros_like(mu),
        lambda mu, logvar: torch.ones_like(mu),
        "This is a draw of N(0, 1): mu and logvar are not used.",
    ),
    _Form(
        "mu_sign",
        lambda mu, logvar: -mu,
        _std,
        "The mean of the draws is -mu.",
    ),
    _Form(
        "swapped_arguments",
        lambda mu, logvar: logvar,
        lambda mu, logvar: (0.5 * mu).exp(),
        "mu and logvar are swapped.",
    ),
    _Form(
        "mu_scaled",
        lambda mu, logvar: mu * (0.5 * logvar).exp(),
        _std,
        "The standard deviation multiplies mu too. It is mu + std * eps, not std * (mu + eps).",
    ),
    _Form(
        "std_added",
        lambda mu, logvar: mu + (0.5 * logvar).exp(),
        lambda mu, logvar: torch.ones_like(mu),
        "The standard deviation is added to the noise. Multiply them.",
    ),
    _Form(
        "std_for_mu",
        _std,
        lambda mu, logvar: mu,
        "mu and the standard deviation have changed places: it is mu + std * eps.",
    ),
    _Form(
        "mu_multiplied",
        lambda mu, logvar: torch.zeros_like(mu),
        lambda mu, logvar: mu * (0.5 * logvar).exp(),
        "The noise is multiplied by mu. Add mu: it is mu + std * eps.",
    ),
    _Form(
        "softplus_for_exp",
        _mean,
        lambda mu, logvar: softplus(logvar),
        "The noise is scaled by softplus(logvar). logvar is a logarithm: the standard deviation is "
        "exp(logvar / 2).",
    ),
    _Form(
        "softplus_for_exp",
        _mean,
        lambda mu, logvar: softplus(logvar).sqrt(),
        "The variance is taken as softplus(logvar). logvar is its logarithm: the standard deviation "
        "is exp(logvar / 2).",
    ),
    _Form(
        "half_misplaced",
        _mean,
        lambda mu, logvar: 0.5 * logvar.exp(),
        "The noise is scaled by exp(logvar) / 2. The half belongs in the exponent: exp(logvar / 2).",
    ),
    _Form(
        "wrong_base",
        _mean,
        lambda mu, logvar: (0.5 * math.log(2) * logvar).exp(),
        "The noise is scaled by 2 ** (logvar / 2). The logarithm is natural: exp(logvar / 2).",
    ),
    _Form(
        "wrong_base",
        _mean,
        lambda mu, logvar: (0.5 * math.log(10) * logvar).exp(),
        "The noise is scaled by 10 ** (logvar / 2). The logarithm is natural: exp(logvar / 2).",
    ),
)


def _uniform(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda e: ((e - low) / (high - low)).clamp(0, 1)


_UNIFORM = (
    "The noise is uniform ({}), not normal. Use torch.randn_like, with an n, in place of "
    "torch.rand_like."
)
_NOISES: tuple[tuple[str, Callable[[Tensor], Tensor], float, str], ...] = (
    ("uniform_noise", _uniform(0, 1), 1 / 3, _UNIFORM.format("between 0 and 1")),
    ("uniform_noise", _uniform(-1, 1), 1 / 3, _UNIFORM.format("between -1 and 1")),
    ("uniform_noise", _uniform(-0.5, 0.5), 1 / 12, _UNIFORM.format("between -1/2 and 1/2")),
    ("uniform_noise", _uniform(-math.sqrt(3), math.sqrt(3)), 1, _UNIFORM.format("with variance 1")),
    (
        "wrong_noise",
        lambda e: (e > 0) * torch.erf(e.clamp(min=0) / math.sqrt(2)),
        1,
        "The noise is the absolute value of a normal. Leave the sign in.",
    ),
    (
        "wrong_noise",
        lambda e: 0.5 + 0.5 * e.sign() * (1 - (-e.abs()).exp()),
        2,
        "The noise is Laplace, not normal.",
    ),
    (
        "wrong_noise",
        lambda e: 1 - (-e.clamp(min=0)).exp(),
        2,
        "The noise is exponential, not normal.",
    ),
)  # mistake, distribution function, mean square, sentence


def diagnose(z: Tensor, mu: Tensor, logvar: Tensor, *, reseeded: bool = False) -> Finding | None:
    """Return what is wrong with draws of a reparameterized normal; None where nothing is.

    Args:
        z: draws ``[R, B, L]`` in float64, from ``R >= 2`` equal calls.
        mu: means ``[B, L]``, or ``[R, B, L]`` where they differ between the calls.
        logvar: log variances of the same shape, few of them near zero.
        reseeded: whether the calls set the seed of the global generator.
    """
    if not torch.isfinite(z).all():
        return Finding("not_finite", "Some draws are NaN or infinite.")
    found = (
        _frozen(z, mu, logvar, reseeded)
        or _shared(z, mu, logvar)
        or _wrong_density(z, mu, logvar)
        or _dependent((z - mu) / _std(mu, logvar))
    )
    return found and found._replace(drawing=_draw(z, mu, logvar))


def _frozen(z: Tensor, mu: Tensor, logvar: Tensor, reseeded: bool) -> Finding | None:
    if _close(z, mu):
        return Finding(
            "no_noise", "The draw is mu, without noise. Add exp(logvar / 2) times a normal draw."
        )
    for form in _FORMS:
        eps = (z - form.shift(mu, logvar)) / form.scale(mu, logvar)
        if eps.std() < 1e-3 * (1 + eps.abs().mean()):
            return Finding(
                "constant_noise",
                f"The noise is the constant {eps.mean():.3g}: nothing is drawn. Use a fresh "
                "torch.randn_like(mu) at every call.",
            )
    eps = (z - mu) / _std(mu, logvar)
    if not (_close(z, z[:1]) or _close(eps, eps[:1])):
        return None
    if reseeded:
        return Finding(
            "reseeds",
            "Two calls drew the same noise, because the seed is set inside. Seed once at the top "
            "of a notebook, never in here.",
        )
    return Finding(
        "same_noise_each_call",
        "Two calls with the same arguments drew the same noise. Draw it inside the function, afresh "
        "at every call, and with no seed.",
    )


def _shared(z: Tensor, mu: Tensor, logvar: Tensor) -> Finding | None:
    for form in _FORMS:
        eps = (z - form.shift(mu, logvar)) / form.scale(mu, logvar)
        room = 1e-3 * (1 + eps.abs().mean())
        by_row = (eps - eps[:, :1]).abs().max() < room
        by_column = (eps - eps[:, :, :1]).abs().max() < room
        also = f" Besides: {form.sentence}" if form.sentence else ""
        if by_row and by_column:
            return Finding(
                "shared_by_all",
                "One number is drawn for the whole batch and all latents. Draw noise of the shape "
                f"of mu.{also}",
            )
        if by_row:
            return Finding(
                "shared_across_batch",
                "All examples of the batch get the same noise. Draw noise of the shape of mu, "
                f"[B, L], not [L].{also}",
            )
        if by_column:
            return Finding(
                "shared_across_latents",
                "All latents of an example get the same number. Draw noise of the shape of mu, "
                f"[B, L], not [B, 1].{also}",
            )
    return None


def _wrong_density(z: Tensor, mu: Tensor, logvar: Tensor) -> Finding | None:
    for form in _FORMS:
        eps = (z - form.shift(mu, logvar)) / form.scale(mu, logvar)
        if is_standard_normal(eps) and not _depends(eps, mu, logvar):
            return Finding(form.mistake, form.sentence) if form.mistake else None
    for form in _FORMS:
        eps = (z - form.shift(mu, logvar)) / form.scale(mu, logvar)
        for mistake, cdf, square, sentence in _NOISES:
            near = abs(eps.square().mean() - square) < 0.15 * square
            if near and fits(eps, cdf) and not _depends(eps, mu, logvar):
                also = f" Besides: {form.sentence}" if form.sentence else ""
                return Finding(mistake, sentence + also)
    eps = (z - mu) / _std(mu, logvar)
    mean, std = float(eps.mean()), float(eps.std())
    text = (
        f"(z - mu) / exp(logvar / 2) should be a standard normal. Over {eps.numel()} draws it has "
        f"mean {mean:.3f} and standard deviation {std:.3f}"
    )
    if _depends(eps, mu, logvar):
        text += ", and it goes with mu or logvar, which noise must not"
    elif abs(mean) < 0.1 and abs(std - 1) < 0.05:
        return Finding("wrong_noise", f"{text}, as it should, but another distribution.")
    return Finding("wrong_std" if abs(mean) < 0.1 else "wrong_noise", f"{text}.")


def _depends(eps: Tensor, mu: Tensor, logvar: Tensor) -> bool:
    """Whether the mean or the spread of what was read as noise goes with mu or logvar."""
    means, squares = eps - eps.mean(), eps.square() - eps.square().mean()
    for values in (means, squares):
        for given in (mu, logvar, mu.square(), logvar.square()):
            line = (given - given.mean()).expand_as(eps)
            if (values * line).sum().abs() > _DEPENDENCE * values.std() * line.norm():
                return True
    return False


def is_standard_normal(eps: Tensor) -> bool:
    """Whether numbers could be independent draws of N(0, 1)."""
    count = eps.numel()
    if eps.mean().abs() * math.sqrt(count) > _MOMENT:
        return False
    if (eps.square().mean() - 1).abs() * math.sqrt(count / 2) > _MOMENT + 0.5:
        return False
    return fits(eps, lambda e: 0.5 * (1 + torch.erf(e / math.sqrt(2))))


def fits(values: Tensor, cdf: Callable[[Tensor], Tensor]) -> bool:
    """Whether numbers could be independent draws from a distribution (Kolmogorov and Smirnov)."""
    ordered = values.flatten().sort().values
    count = len(ordered)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    expected = cdf(ordered)
    gap = torch.maximum((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    return bool(gap * math.sqrt(count) < _KOLMOGOROV)


def _dependent(eps: Tensor) -> Finding | None:
    """Look for examples, latents or calls whose noise belongs together."""
    for axis, what in ((1, "two examples"), (2, "two latents"), (0, "two calls")):
        lines = eps.movedim(axis, 0).flatten(1)
        products = lines @ lines.T / math.sqrt(lines.shape[1])
        products.fill_diagonal_(0)
        if products.abs().max() > _CORRELATION:
            return Finding(
                "not_independent",
                f"The noise of {what} is correlated. Draw every element afresh.",
            )
    return None


def _close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() < 1e-4 * (1 + b.abs().max()))


def _draw(z: Tensor, mu: Tensor, logvar: Tensor) -> Drawing:
    eps = (z - mu) / _std(mu, logvar)

    def density(x: float) -> float:
        return math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)

    alt = (
        f"Histogram of (z - mu) / exp(logvar / 2) over {eps.numel()} draws: mean "
        f"{eps.mean():.3g}, standard deviation {eps.std():.3g}. Expected is the bell of N(0, 1)."
    )
    label = "(z - mu) / exp(logvar / 2)"
    return histogram(eps.flatten().tolist(), density, low=-4, high=4, label=label, alt=alt)
