"""Is a sample a Gumbel-softmax draw, and if not, what was done instead?

From ``y = softmax((logits + g) / T)`` follows ``T log y - logits = g + c`` with one unknown ``c``
for each row, so the noise can be read off up to its mean over the row and compared with what it
should be. Thresholds: a right sampler fails with a probability below 1e-7, on 8 x 128 rows of 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks.noise import Finding, fits
from course_lib.checks.pictures import histogram

# mean, variance and third central moment of a standard Gumbel
_VARIANCE, _THIRD = math.pi**2 / 6, 2.404113806319

_READINGS: tuple[tuple[str, Callable[[Tensor, Tensor, float], Tensor], str], ...] = (
    ("", lambda log_y, logits, t: t * log_y - logits, ""),
    (
        "temperature_ignored",
        lambda log_y, logits, t: log_y - logits,
        "The temperature is not used. Divide logits plus noise by it.",
    ),
    (
        "temperature_multiplied",
        lambda log_y, logits, t: log_y / t - logits,
        "Logits plus noise are multiplied by the temperature. Divide by it.",
    ),
    (
        "temperature_on_logits_only",
        lambda log_y, logits, t: log_y - logits / t,
        "The temperature divides the logits only. Add the noise first, then divide both.",
    ),
    (
        "temperature_on_noise_only",
        lambda log_y, logits, t: t * (log_y - logits),
        "The temperature divides the noise only. Add the noise first, then divide both.",
    ),
    (
        "softmax_first",
        lambda log_y, logits, t: t * log_y - torch.softmax(logits, -1),
        "A softmax is taken before the noise is added. The noise belongs on the logits.",
    ),
    (
        "logits_ignored",
        lambda log_y, logits, t: t * log_y,
        "The logits are not used: every class is equally likely.",
    ),
    (
        "logits_sign",
        lambda log_y, logits, t: t * log_y + logits,
        "The logits have the wrong sign.",
    ),
)


def diagnose(y: Tensor, logits: Tensor, temperature: float, *, reseeded: bool) -> Finding | None:
    """Return what is wrong with draws of a Gumbel-softmax; None where nothing is.

    Args:
        y: draws ``[R, B, K]`` in float64, from ``R >= 2`` equal calls.
        logits: ``[B, K]``.
        temperature: a positive number other than 1.
        reseeded: whether the calls set the seed of the global generator.
    """
    if not torch.isfinite(y).all():
        return Finding("not_finite", "Some entries are NaN or infinite.")
    found = (
        _not_on_simplex(y)
        or _frozen(y, logits, temperature, reseeded)
        or _shared(y, logits, temperature)
    )
    if found:
        return found
    # A float32 uniform may be exactly 0, about once in ten million: that row says nothing.
    full = (y > 0).all(-1).flatten()
    if full.double().mean() < 0.99:
        return Finding("not_relaxed", "Many entries are exactly zero. A relaxed draw has none.")
    log_y = y.clamp(min=1e-300).log()

    def noise(reading: Callable[[Tensor, Tensor, float], Tensor]) -> Tensor:
        return _centred(reading(log_y, logits, temperature)).flatten(0, 1)[full]

    given = _centred(logits).expand_as(y).flatten(0, 1)[full]
    for mistake, reading, sentence in _READINGS:
        if _is_gumbel(noise(reading), given):
            return Finding(mistake, sentence) if mistake else None
    for mistake, reading, sentence in _READINGS:
        other = _other_noise(noise(reading), given)
        if other:
            also = f" Besides: {sentence}" if mistake else ""
            return other._replace(sentence=other.sentence + also, drawing=_draw(noise(reading)))
    right = noise(_READINGS[0][1])
    return Finding(
        "wrong_noise",
        "The noise on the logits is not Gumbel: -log(-log(u)) with u uniform between 0 and 1. Its "
        f"standard deviation is {right.std():.3g}, expected {_spread(right.shape[-1]):.3g}.",
        _draw(right),
    )


def _not_on_simplex(y: Tensor) -> Finding | None:
    if _close(y.sum(-1), torch.ones(())) and (y >= 0).all():
        hard = ((y == 0) | (y == 1)).all()
        message = "The draws are one-hot. A relaxed draw is asked: the softmax itself (hard=False)."
        return Finding("hard", message) if hard else None
    if _close(y.sum(-2), torch.ones(())):
        message = (
            "The columns sum to 1, not the rows. The softmax belongs on the last axis, dim=-1."
        )
        return Finding("wrong_axis", message)
    if _close(y.exp().sum(-1), torch.ones(())):
        return Finding(
            "log_returned", "You return the logarithm: softmax is asked, not log_softmax."
        )
    return Finding(
        "not_normalized",
        f"The rows sum to numbers from {y.sum(-1).min():.3g} to {y.sum(-1).max():.3g}. They have "
        "to sum to 1: take a softmax over the last axis.",
    )


def _frozen(y: Tensor, logits: Tensor, temperature: float, reseeded: bool) -> Finding | None:
    if (y - y[0]).abs().max() > 1e-9:
        return None
    for scale in (1 / temperature, 1.0, temperature):
        if _close(y[0], torch.softmax(logits * scale, -1)):
            return Finding(
                "no_noise",
                "Nothing is random: this is the softmax of the logits. Add Gumbel noise to every "
                "logit, each with its own draw (one draw for a whole row cancels in the softmax).",
            )
    if reseeded:
        return Finding(
            "reseeds",
            "Two calls drew the same noise, because the seed is set inside. Seed once at the top "
            "of a notebook, never in here.",
        )
    return Finding(
        "same_noise_each_call",
        "Two calls with the same arguments drew the same noise. Draw it inside, afresh at every "
        "call.",
    )


def _shared(y: Tensor, logits: Tensor, temperature: float) -> Finding | None:
    log_y = y.clamp(min=1e-300).log()
    for _, reading, _ in _READINGS:
        read = _centred(reading(log_y, logits, temperature))
        if (read - read[:, :1]).abs().max() < 1e-3:
            return Finding(
                "shared_across_batch",
                "All rows of the batch get the same noise. Draw noise of the shape of logits.",
            )
    return None


def _is_gumbel(noise: Tensor, logits: Tensor) -> bool:
    # The third moment tells g from -g; half of it is six standard deviations away.
    size = noise.shape[-1]
    third = _THIRD * ((1 - 1 / size) ** 3 - (size - 1) / size**3)
    return _is_logistic(noise, logits) and float((noise**3).mean()) > third / 2


def _is_logistic(noise: Tensor, logits: Tensor) -> bool:
    """Whether the differences of pairs of entries are standard logistic, as those of Gumbels are."""
    differences = _differences(noise)
    rows, count = noise.shape[0], differences.numel()
    off = noise.mean(0).abs() * math.sqrt(rows / _VARIANCE)
    # A logistic has variance 2 pi^2 / 6 and kurtosis 4.2.
    spread = (differences.square().mean() / (2 * _VARIANCE) - 1).abs() * math.sqrt(count / 3.2)
    return (
        bool((off < 7).all() and spread < 7.5)
        and not _depends(noise, logits)
        and fits(differences, torch.sigmoid)
    )


def _depends(noise: Tensor, logits: Tensor) -> bool:
    """Whether what was read as noise goes with the logits."""
    product = (noise * logits).sum()
    return bool(product.abs() > 7 * math.sqrt(_VARIANCE) * logits.norm())


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(-1, keepdim=True)


def _differences(noise: Tensor) -> Tensor:
    return noise[:, 0::2] - noise[:, 1::2]


def _other_noise(noise: Tensor, logits: Tensor) -> Finding | None:
    differences = _differences(noise)
    if _is_logistic(noise, logits):
        return Finding(
            "gumbel_sign",
            "The Gumbel noise has the wrong sign: it is g = -log(-log(u)), and it is added.",
        )
    if _depends(noise, logits):
        return None
    for mistake, square, cdf, sentence in _OTHER_NOISES:
        if abs(differences.square().mean() / square - 1) < 0.15 and fits(differences, cdf):
            return Finding(mistake, sentence)
    return None


def _triangle(d: Tensor) -> Tensor:
    d = d.clamp(-1, 1)
    return 0.5 + d - 0.5 * d * d.abs()


_OTHER_NOISES = (
    (
        "normal_noise",
        2.0,
        lambda d: 0.5 * (1 + torch.erf(d / 2)),
        "The noise is normal. Gumbel noise is needed: -log(-log(u)) with u uniform.",
    ),
    (
        "uniform_noise",
        1 / 6,
        _triangle,
        "The noise is uniform. Gumbel noise is needed: -log(-log(u)) with u uniform.",
    ),
    (
        "log_forgotten",
        2.0,
        lambda d: 0.5 + 0.5 * d.sign() * (1 - (-d.abs()).exp()),
        "One logarithm is missing in the noise: it is -log(-log(u)) with u uniform.",
    ),
)  # mistake, mean square and distribution function of the difference of two, sentence


def _spread(size: int) -> float:
    return math.sqrt(_VARIANCE * (1 - 1 / size))


def _close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() < 1e-4)


def _draw(centred: Tensor):
    def logistic(x: float) -> float:
        return math.exp(-abs(x)) / (1 + math.exp(-abs(x))) ** 2

    values = _differences(centred).flatten()
    alt = (
        f"Histogram of the difference of the noise of two classes over {values.numel()} pairs, "
        f"standard deviation {values.std():.3g}; expected is a logistic with 1.81."
    )
    label = "difference of the noise of two classes"
    return histogram(values.tolist(), logistic, low=-8, high=8, label=label, alt=alt)
