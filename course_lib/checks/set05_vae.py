"""Checks of set 05: the ELBO of a VAE, the VAE as a class, and one step of training."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import training_step, vae_class
from course_lib.checks.comparing import Comparison, Row, Seen
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor
from course_lib.checks.vae_terms import DISTORTIONS, RATES, Term, distortion_terms, rate_terms

# --- elbo ----------------------------------------------------------------------------------------


def _elbo_calls(inputs: Inputs) -> list[dict]:
    latents = inputs.choice((3, 5, 6))

    def four(b: int, l: int, dtype: str = "float64", grad: bool = False) -> list[dict]:
        shape = (b, 1, 28, 28)
        return [
            inputs.between(0.0, 1.0, *shape, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.2, 2.0, *shape, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.3, 1.5, b, l, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.4, 1.5, b, l, dtype=dtype, grad=grad),
        ]

    large = [100.0, -100.0, 45.0, -45.0, 30.0, -30.0, 60.0] * 112
    pixels = [1.0, 0.0, 0.0, 1.0, 0.5, 0.25, 1.0, 0.0] * 98
    return [
        call(*four(2, 3), times=2),
        call(
            *four(4, latents, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 4),
            every_device=True,
        ),
        call(*four(3, 4, dtype="float32", grad=True), weights=inputs.away_from_zero(0.5, 1.5, 3)),
        call(
            inputs.between(0.1, 0.9, 5, 1, 28, 28),
            inputs.between(0.1, 0.9, 5, 1, 28, 28),  # these could be probabilities
            inputs.between(0.3, 1.5, 5, 20),
            inputs.between(0.4, 1.5, 5, 20),
        ),
        call(
            tensor(pixels, [1, 1, 28, 28]),
            tensor(large, [1, 1, 28, 28], grad=True),
            inputs.normal(1, 3),
            inputs.normal(1, 3),
            tag="extreme",
            weights=tensor([1.0], [1]),
        ),
    ]


def _sum(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1)


def _mean(terms: Tensor) -> Tensor:
    return terms.flatten(1).mean(1)


# mistake, value from the terms of distortion and rate, sentence
_COMBINATIONS: tuple[tuple[str, Callable[[Tensor, Tensor], Tensor], str], ...] = (
    ("", lambda d, r: -_sum(d) - _sum(r), ""),
    (
        "kl_added",
        lambda d, r: -_sum(d) + _sum(r),
        "The KL is added. The ELBO is the log-likelihood minus the KL.",
    ),
    ("no_kl", lambda d, r: -_sum(d), "The KL is missing: this is the reconstruction alone."),
    (
        "no_reconstruction",
        lambda d, r: -_sum(r),
        "The reconstruction is missing: this is minus the KL alone.",
    ),
    (
        "pixels_averaged",
        lambda d, r: -_mean(d) - _sum(r),
        "The distortion is averaged over the pixels and the KL summed over the latents. That weighs "
        "the KL by the number of pixels: with 784 the posterior collapses.",
    ),
    (
        "both_averaged",
        lambda d, r: -_mean(d) - _mean(r),
        "Distortion and KL are both averaged, one over pixels, the other over latents. Sum both.",
    ),
    (
        "latents_averaged",
        lambda d, r: -_sum(d) - _mean(r),
        "The KL is averaged over the latents. Sum it.",
    ),
    (
        "rescaled",
        lambda d, r: (-_sum(d) - _sum(r)) / d[0].numel(),
        "Your value is the ELBO divided by the number of pixels. The ratio of the terms is right, "
        "but nats per example are asked.",
    ),
    (
        "kl_over_pixels",
        lambda d, r: -_sum(d) - _sum(r) / d[0].numel(),
        "The KL is divided by the number of pixels, which nearly switches it off.",
    ),
    (
        "kl_summed_over_batch",
        lambda d, r: -_sum(d) - r.sum(),
        "The KL is summed over the batch too, so every example pays for all. Sum over the latents "
        "only.",
    ),
    (
        "kl_over_batch",
        lambda d, r: -_sum(d) - _sum(r) / len(r),
        "The KL of every example is divided by the batch size. Sum over the latents only.",
    ),
    (
        "reconstruction_over_batch",
        lambda d, r: -_sum(d) / len(d) - _sum(r),
        "The distortion of every example is divided by the batch size. Sum over the pixels only.",
    ),
    (
        "divided_by_batch",
        lambda d, r: (-_sum(d) - _sum(r)) / len(d),
        "Every example's value is divided by the batch size. Return it whole.",
    ),
    (
        "latents_averaged",
        lambda d, r: -_sum(d) - r.mean(),
        "The KL is averaged over the latents and the batch. Sum it over the latents only.",
    ),
    (
        "kl_averaged_over_batch",
        lambda d, r: -_sum(d) - _sum(r).mean(),
        "The KL is averaged over the batch, so all examples get the same. Sum over the latents only.",
    ),
    (
        "reconstruction_averaged_over_batch",
        lambda d, r: -_sum(d).mean() - _sum(r),
        "The distortion is averaged over the batch, so all examples get the same.",
    ),
    (
        "reconstruction_summed_over_batch",
        lambda d, r: -d.sum() - _sum(r),
        "The distortion is summed over the batch, so all examples get the same. Sum over the pixels "
        "only.",
    ),
    (
        "pixels_averaged",
        lambda d, r: -d.mean() - _sum(r),
        "The distortion is averaged over the pixels and the batch (the default reduction). Sum over "
        "the pixels only.",
    ),
    (
        "averaged_over_batch",
        lambda d, r: (-_sum(d) - _sum(r)).mean(),
        "You averaged over the batch. Return one value per example; a mean is taken where a loss is "
        "needed and nowhere else.",
    ),
    (
        "summed_over_batch",
        lambda d, r: -d.sum() - r.sum(),
        "You summed over the batch. Return one value per example.",
    ),
    (
        "both_averaged",
        lambda d, r: -d.mean() - r.mean(),
        "Distortion and KL are both averaged over everything. Sum over pixels and latents, and keep "
        "the batch.",
    ),
    (
        "pixels_averaged",
        lambda d, r: -d.mean() - _sum(r).mean(),
        "The distortion is averaged over the pixels and the KL summed over the latents. That weighs "
        "the KL by the number of pixels: with 784 the posterior collapses.",
    ),
    (
        "kl_summed_over_batch",
        lambda d, r: -_sum(d).mean() - r.sum(),
        "The KL is summed over the batch while the distortion is averaged over it.",
    ),
    (
        "pixels_averaged",
        lambda d, r: -d.mean() - r.sum(),
        "The distortion is averaged over the pixels and the batch, and the KL summed over both "
        "latents and batch.",
    ),
    (
        "rescaled",
        lambda d, r: -d.mean() - r.sum() / d.numel(),
        "Both terms are divided by batch and pixels. Their ratio is right, but nats per example are "
        "asked, one value for each.",
    ),
    (
        "kl_over_pixels",
        lambda d, r: -_sum(d).mean() - _sum(r).mean() / d[0].numel(),
        "The KL is divided by the number of pixels, which nearly switches it off, and both are "
        "averaged over the batch.",
    ),
    (
        "kl_averaged_over_batch",
        lambda d, r: -d.sum() - _sum(r).mean(),
        "The distortion is summed over the batch and the KL averaged over it.",
    ),
    (
        "latents_averaged",
        lambda d, r: -d.sum() - r.mean(),
        "The distortion is summed over everything and the KL averaged over everything.",
    ),
    (
        "latents_averaged",
        lambda d, r: -_sum(d).mean() - r.mean(),
        "The KL is averaged over the latents. Sum it, and keep the batch.",
    ),
)


def _kept(terms: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Keep the latest terms, for hundreds of rows ask for them one after the other."""
    last: list[Tensor] = []

    def kept(a: Tensor, b: Tensor) -> Tensor:
        if not (last and last[0] is a and last[1] is b):
            last[:] = [a, b, terms(a, b)]
        return last[2]

    return kept


def _elbo_row(distortion: Term, rate: Term, combination: tuple, turned: bool) -> Row:
    wrong = [part for part in (combination, distortion, rate) if part[0]]
    sentences = [part[2] for part in wrong]
    if turned and wrong:
        sentences.append("Besides: the sign is turned, this is a loss.")
    elif turned:
        sentences.append("This is -ELBO, the loss. Turn the sign.")

    terms_of_x, terms_of_z = distortion[1], rate[1]

    def formula(x: Tensor, logits: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        value = combination[1](terms_of_x(x, logits), terms_of_z(mu, logvar))
        return -value if turned else value

    return Row(wrong[0][0] if wrong else "sign", formula, " ".join(sentences))


def _elbo_table() -> tuple[Row, ...]:
    """Return every combination of one to three mistakes, the simple ones first."""
    rows = []
    distortions, rates = ([(m, _kept(f), s) for m, f, s in t] for t in (DISTORTIONS, RATES))
    for parts in itertools.product(distortions, rates, _COMBINATIONS):
        distortion, rate, combination = (part[0] for part in parts)
        lost = (combination == "no_kl" and rate) or (
            combination == "no_reconstruction" and distortion
        )
        wrong = sum(map(bool, (distortion, rate, combination)))
        for turned in (False, True):
            if (wrong or turned) and not lost:
                rows.append((wrong + 0.5 * turned, _elbo_row(*parts, turned)))
    rows.sort(key=lambda pair: pair[0])
    return tuple(row for mistakes, row in rows if mistakes <= 2.5)


def _weighted(seen: list[Seen]) -> tuple[str, str] | None:
    """Explain a value by weights on distortion and rate that are the same in every example."""
    columns, got = [], []
    for one in seen:
        if one.got is None or one.got.shape != one.want.shape or one.single:
            return None
        x, logits, mu, logvar = one.args
        parts = (distortion_terms(x, logits), rate_terms(mu, logvar))
        columns.append(torch.stack([_sum(part) for part in parts], 1))
        got.append(-one.got)
    design, value = torch.cat(columns), torch.cat(got)
    if not (torch.isfinite(design).all() and torch.isfinite(value).all()):
        return None  # LAPACK would print a complaint to the terminal
    weights = torch.linalg.lstsq(design, value[:, None]).solution.flatten()
    if (design @ weights - value).abs().max() > 1e-4 * value.abs().max():
        return None
    a, b = weights.tolist()
    if max(abs(a - 1), abs(b - 1)) < 1e-3:
        return None  # the right weights, and something else
    if abs(a - 1) < 1e-4:
        message = (
            f"The KL is weighted by {b:.4g}. The ELBO weighs it by 1; with another weight it is a "
            "beta-VAE's loss and has another name."
        )
        return "weighted_kl", message
    return "weighted_terms", (
        f"Your value is -({a:.4g} x distortion + {b:.4g} x KL). In the ELBO both weights are 1."
    )


def _elbo_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(
            inputs.between(0.0, 1.0, 7, 1, 28, 28),
            inputs.normal(7, 1, 28, 28, std=3.0, grad=True),
            inputs.normal(7, 12, std=1.5, grad=True),
            inputs.between(-4.0, 2.0, 7, 12, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 7),
        ),
        call(
            inputs.bits(2, 1, 28, 28),
            inputs.normal(2, 1, 28, 28, std=60.0, grad=True),
            inputs.normal(2, 1, std=3.0, grad=True),
            inputs.between(-8.0, 3.0, 2, 1, grad=True),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 2),
        ),
    ]


elbo = Exercise(
    "elbo",
    _elbo_calls,
    Comparison(
        truth=lambda x, logits, mu, logvar: (
            -_sum(distortion_terms(x, logits)) - _sum(rate_terms(mu, logvar))
        ),
        arguments=("x", "logits", "mu", "logvar"),
        table=_elbo_table(),
        what="a tensor of shape [B]",
        fallback=_weighted,
        extreme=(
            "unstable",
            "Right on moderate logits, wrong on large ones: in floating point sigmoid(40) is 1, and "
            "the log of 1 - 1 is lost. Work with the logits.",
        ),
        errors=(
            (
                r"between 0 and 1|argument probs|Expected parameter probs",
                "logits_as_probabilities",
                "A function that takes probabilities got the logits. Use the one that takes logits.",
            ),
            (
                r"support",
                "binary_pixels_only",
                "The distribution refuses grey pixels. Pass validate_args=False, or use the "
                "cross-entropy, which takes values between 0 and 1.",
            ),
            (
                r"Expected parameter scale|argument scale",
                "exp_forgotten",
                "A standard deviation is negative: logvar is used without exp.",
            ),
        ),
    ),
    hidden=_elbo_hidden,
)

VAE = Exercise("VAE", vae_class.calls, vae_class.judge, probe="vae", seconds=60.0)
train_step = Exercise("train_step", training_step.calls, training_step.judge, probe="step")

EXERCISES = (elbo, VAE, train_step)
