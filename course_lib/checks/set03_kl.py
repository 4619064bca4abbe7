"""Checks of set 03: the KL divergence in closed form, and its Monte Carlo estimate."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import distributions as D
from torch.nn.functional import kl_div, softplus

from course_lib.checks.comparing import Comparison, crossed
from course_lib.checks.comparing import Row as Formula
from course_lib.checks.estimates import Estimation, Row, Truth
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.arguments import distribution
from course_lib.checks.probes.plain import tensor

# --- kl_standard_normal --------------------------------------------------------------------------


def _standard_terms(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - logvar - 1)


def _standard_calls(inputs: Inputs) -> list[dict]:
    rows, latents = inputs.choice(((4, 3), (3, 5), (5, 6), (4, 7)))

    def two(*shape: int, dtype: str = "float64", grad: bool = False) -> list[dict]:
        return [
            inputs.away_from_zero(0.3, 2.0, *shape, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.4, 2.0, *shape, dtype=dtype, grad=grad),
        ]

    return [
        call(*two(2, 3), times=2),
        call(
            *two(rows, latents, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, rows),
            every_device=True,
        ),
        call(*two(3, 5, dtype="float32", grad=True), weights=inputs.away_from_zero(0.5, 1.5, 3)),
        call(
            inputs.between(0.3, 2.0, 5, grad=True),
            inputs.between(0.4, 2.0, 5, grad=True),  # logarithms taken by mistake exist here
            weights=inputs.away_from_zero(0.5, 1.5),
        ),
        call(*two(2, 3, 5, grad=True), weights=inputs.away_from_zero(0.5, 1.5, 2, 3)),
        call(*two(1, 4)),
        call(  # in float32 digits are lost
            inputs.normal(3, 4, mean=50.0, std=5.0),
            inputs.between(5.0, 7.0, 3, 4),
            tag="extreme",
        ),
        call(
            tensor([0.0, 1e-3, 0.1, 30.0, 0.0, 1.0], [2, 3]),
            tensor([0.0, -32.0, 0.1, 9.0, 0.0, 22.0], [2, 3]),
            tag="extreme",
        ),
    ]


_STANDARD = (
    Formula(
        "missing_half",
        lambda mu, logvar: 2 * _standard_terms(mu, logvar),
        "The factor 1/2 is missing: your value is twice the right one.",
    ),
    Formula(
        "sign",
        lambda mu, logvar: -_standard_terms(mu, logvar),
        "The sign is turned: a KL divergence is never negative.",
    ),
    Formula(
        "logvar_as_log_sigma",
        lambda mu, logvar: _standard_terms(mu, 2 * logvar),
        "logvar is taken for log sigma, so exp(logvar) becomes the standard deviation. It is the "
        "variance: the standard deviation is exp(logvar / 2).",
    ),
    Formula(
        "logvar_as_log_sigma",
        lambda mu, logvar: 0.5 * (mu**2 + (2 * logvar).exp() - logvar - 1),
        "exp(logvar) is squared as if it were the standard deviation. It is the variance already.",
    ),
    Formula(
        "swapped_arguments",
        lambda mu, logvar: 0.5 * ((1 + mu**2) / logvar.exp() + logvar - 1),
        "Your value is the KL with the arguments swapped: KL(p || q), from the prior to q. "
        "KL(q || p) is asked.",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: 0.5 * (mu**2 + logvar - logvar - 1),
        "The exponential is forgotten: the variance is exp(logvar).",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: 0.5 * (mu**2 + logvar - torch.log(logvar) - 1),
        "logvar is used as the variance: the exponential is forgotten.",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: _standard_terms(mu, 2 * torch.log(logvar)),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Formula(
        "mu_not_squared",
        lambda mu, logvar: 0.5 * (mu + logvar.exp() - logvar - 1),
        "mu is not squared.",
    ),
    Formula(
        "mu_not_squared",
        lambda mu, logvar: 0.5 * (mu.abs() + logvar.exp() - logvar - 1),
        "mu stands there as an absolute value; its square is needed.",
    ),
    Formula(
        "missing_minus_one",
        lambda mu, logvar: _standard_terms(mu, logvar) + 0.5,
        "The -1 is missing: at mu = 0, logvar = 0 the divergence has to be 0.",
    ),
    Formula(
        "one_sign",
        lambda mu, logvar: _standard_terms(mu, logvar) + 1,
        "The 1 has the wrong sign: at mu = 0, logvar = 0 the divergence has to be 0.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: mu**2 + 0.5 * logvar.exp() - logvar - 1,
        "The factor 1/2 binds only the exponential. Put brackets around all four terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: 0.5 * mu**2 + logvar.exp() - logvar - 1,
        "The factor 1/2 binds only the square. Put brackets around all four terms.",
    ),
    Formula(
        "logvar_sign",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() + logvar - 1),
        "The term logvar has the wrong sign.",
    ),
    Formula(
        "logvar_sign",
        lambda mu, logvar: 0.5 * (mu**2 + (-logvar).exp() - logvar - 1),
        "The exponential has logvar with the wrong sign: the variance is exp(logvar).",
    ),
    Formula(
        "mu_sign",
        lambda mu, logvar: 0.5 * (-(mu**2) + logvar.exp() - logvar - 1),
        "The square of mu has the wrong sign.",
    ),
    Formula(
        "missing_logvar_term",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1),
        "The term -logvar is missing, so nothing keeps the variance from shrinking to zero.",
    ),
    Formula(
        "missing_mu_term",
        lambda mu, logvar: 0.5 * (logvar.exp() - logvar - 1),
        "The term mu squared is missing.",
    ),
    Formula(
        "missing_variance_term",
        lambda mu, logvar: 0.5 * (mu**2 - logvar - 1),
        "The term exp(logvar) is missing.",
    ),
    Formula(
        "std_for_variance",
        lambda mu, logvar: 0.5 * (mu**2 + (0.5 * logvar).exp() - logvar - 1),
        "The standard deviation exp(logvar / 2) stands where the variance exp(logvar) belongs.",
    ),
    Formula(
        "std_for_variance",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 0.5 * logvar - 1),
        "logvar is halved, though the factor 1/2 stands in front already.",
    ),
    Formula(
        "kl_div_function",
        lambda mu, logvar: kl_div(mu, logvar, reduction="none"),
        "torch.nn.functional.kl_div compares two lists of probabilities. It knows nothing of means "
        "and variances of normals: write the closed form.",
    ),
    Formula(
        "kl_div_function",
        lambda mu, logvar: kl_div(logvar, mu, reduction="none"),
        "torch.nn.functional.kl_div compares two lists of probabilities. It knows nothing of means "
        "and variances of normals: write the closed form.",
    ),
    Formula(
        "mu_logvar_swapped",
        lambda mu, logvar: _standard_terms(logvar, mu),
        "mu and logvar are swapped.",
    ),
    Formula(
        "bits",
        lambda mu, logvar: _standard_terms(mu, logvar) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
    Formula(
        "softplus_for_exp",
        lambda mu, logvar: _standard_terms(mu, torch.log(softplus(logvar))),
        "softplus(logvar) is used as the variance, which is exp(logvar).",
    ),
    Formula(
        "softplus_for_exp",
        lambda mu, logvar: _standard_terms(mu, 2 * torch.log(softplus(logvar))),
        "softplus(logvar) is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Formula(
        "softplus_for_exp",
        lambda mu, logvar: 0.5 * (mu**2 + softplus(logvar) - logvar - 1),
        "softplus(logvar) stands where the variance exp(logvar) belongs.",
    ),
    Formula(
        "relu_before",
        lambda mu, logvar: _standard_terms(mu, torch.relu(logvar)),
        "A ReLU is applied to logvar, which may well be negative.",
    ),
    Formula(
        "relu_before",
        lambda mu, logvar: _standard_terms(torch.relu(mu), logvar),
        "A ReLU is applied to mu, which may well be negative.",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: _standard_terms(mu, torch.log(logvar.abs())),
        "logvar is used as the variance: the exponential is forgotten.",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: _standard_terms(mu, 2 * torch.log(logvar.abs())),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Formula(
        "exp_forgotten",
        lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - logvar - 1),
        "logvar is squared as if it were the standard deviation: the variance is exp(logvar).",
    ),
    Formula(
        "exp_twice",
        lambda mu, logvar: _standard_terms(mu, logvar.exp()),
        "The exponential is taken first, and once more in the formula.",
    ),
    Formula(
        "mu_not_squared",
        lambda mu, logvar: 0.5 * (mu.exp() + logvar.exp() - logvar - 1),
        "The exponential of mu stands there; its square is needed.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: mu**2 + 0.5 * (logvar.exp() - logvar - 1),
        "The factor 1/2 does not reach the square of mu. Put brackets around all four terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: mu**2 + logvar.exp() - logvar - 0.5,
        "The factor 1/2 binds only the 1. Put brackets around all four terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar) - 1,
        "The factor 1/2 does not reach the -1. Put brackets around all four terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: mu**2 + logvar.exp() - 0.5 * logvar - 1,
        "The factor 1/2 binds only logvar. Put brackets around all four terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mu, logvar: mu**2 + logvar.exp() - 0.5 * (1 + logvar),
        "The factor 1/2 binds only 1 + logvar. Put brackets around all four terms.",
    ),
    Formula(
        "variance_sign",
        lambda mu, logvar: 0.5 * (mu**2 - logvar.exp() - logvar - 1),
        "The exponential has the wrong sign.",
    ),
    Formula(
        "mu_scaled",
        lambda mu, logvar: 0.5 * (mu**2 / logvar.exp() + logvar.exp() - logvar - 1),
        "The square of mu is divided by the variance of q. The prior has variance 1: leave it as is.",
    ),
    Formula(
        "symmetric",
        lambda mu, logvar: (
            0.5 * _standard_terms(mu, logvar) + 0.25 * ((1 + mu**2) / logvar.exp() + logvar - 1)
        ),
        "This is the mean of KL(q || p) and KL(p || q). KL(q || p) alone is asked.",
    ),
    Formula(
        "symmetric",
        lambda mu, logvar: (
            _standard_terms(mu, logvar) + 0.5 * ((1 + mu**2) / logvar.exp() + logvar - 1)
        ),
        "This is the sum of KL(q || p) and KL(p || q). KL(q || p) alone is asked.",
    ),
    Formula(
        "entropy",
        lambda mu, logvar: 0.5 * (1 + math.log(2 * math.pi) + logvar),
        "This is the entropy of q. Subtract it from the cross-entropy -E_q[log p].",
    ),
    Formula(
        "density_at_mu",
        lambda mu, logvar: 0.5 * (mu**2 + math.log(2 * math.pi)),
        "This is -log p(mu), the prior at the mean of q. The divergence is an expectation under q.",
    ),
    Formula(
        "cross_entropy",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() + math.log(2 * math.pi)),
        "This is the cross-entropy -E_q[log p]. Subtract the entropy of q.",
    ),
)
_KL_DIV_SENTENCE = (
    "torch.nn.functional.kl_div compares two lists of probabilities. It knows nothing of means and "
    "variances of normals: write the closed form."
)
_KL_DIV = tuple(
    Formula(
        "kl_div_function",
        lambda mu, logvar, how=how: kl_div(mu, logvar, reduction=how),
        _KL_DIV_SENTENCE,
    )
    for how in ("mean", "sum", "batchmean")
)
_KL_DIV_OF_FOUR = tuple(
    Formula("kl_div_function", formula, _KL_DIV_SENTENCE)
    for how in ("none", "mean", "sum", "batchmean")
    for first, second in ((0, 2), (2, 0), (0, 1))
    for formula in (
        lambda *a, i=first, j=second, how=how: _kl_div(a[i], a[j], how),
        lambda *a, i=first, j=second, how=how: _kl_div(a[i].log_softmax(-1), a[j].softmax(-1), how),
        lambda *a, i=first, j=second, how=how: _kl_div(a[i].softmax(-1).log(), a[j], how),
    )
)


def _kl_div(first: Tensor, second: Tensor, how: str) -> Tensor:
    value = kl_div(first, second, reduction=how)
    return value.sum(-1) if how == "none" else value


_MINUS_ONE_INSIDE = (
    "The number of latents is subtracted inside the sum, so it counts for every latent."
)
_MINUS_ONE_OUTSIDE = (
    "The -1 stands outside the sum and is subtracted once. Every latent brings its own."
)


def _free_bits(terms) -> tuple[Formula, ...]:
    sentence = (
        "The divergence of a latent is clamped from below (free bits). That is a change of the "
        "loss; the divergence itself is asked."
    )
    return tuple(
        Formula("free_bits", lambda *a, least=least: terms(*a).clamp(min=least).sum(-1), sentence)
        for least in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0)
    )


def _standard_hidden(inputs: Inputs) -> list[dict]:
    def two(*shape: int) -> list[dict]:
        return [
            inputs.normal(*shape, std=2.0, grad=True),
            inputs.between(-4.0, 3.0, *shape, grad=True),
        ]

    return [
        call(*two(3, 2, 4, 5), weights=inputs.away_from_zero(0.5, 1.5, 3, 2, 4)),
        call(*two(6, 1), weights=inputs.away_from_zero(0.5, 1.5, 6)),
        call(*two(2, 50), weights=inputs.away_from_zero(0.5, 1.5, 2)),
        call(inputs.normal(2, 3, std=100.0), inputs.between(-25.0, 12.0, 2, 3), tag="extreme"),
    ]


kl_standard_normal = Exercise(
    "kl_standard_normal",
    _standard_calls,
    Comparison(
        truth=lambda mu, logvar: _standard_terms(mu, logvar).sum(-1),
        arguments=("mu", "logvar"),
        table=(
            *crossed(_standard_terms, _STANDARD, "last", "latent"),
            *_KL_DIV,
            *_free_bits(_standard_terms),
            Formula(
                "minus_one_outside",
                lambda mu, logvar: 0.5 * ((mu**2 + logvar.exp() - logvar).sum(-1) - 1),
                _MINUS_ONE_OUTSIDE,
            ),
            Formula(
                "minus_one_outside",
                lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - logvar).sum(-1) - 1,
                _MINUS_ONE_OUTSIDE,
            ),
            Formula(
                "minus_one_inside",
                lambda mu, logvar: (_standard_terms(mu, logvar) + 0.5 - mu.shape[-1] / 2).sum(-1),
                _MINUS_ONE_INSIDE,
            ),
        ),
        what="a tensor without the last axis",
        errors=(
            (
                r"Expected parameter scale|argument scale",
                "exp_forgotten",
                "A standard deviation is negative: logvar is used without exp. The standard "
                "deviation is exp(logvar / 2).",
            ),
        ),
    ),
    hidden=_standard_hidden,
)

# --- kl_normal -----------------------------------------------------------------------------------


def _normal_terms(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    square = (logvar_q.exp() + (mu_q - mu_p) ** 2) / logvar_p.exp()
    return 0.5 * (logvar_p - logvar_q + square - 1)


def _normal_calls(inputs: Inputs) -> list[dict]:
    rows, latents = inputs.choice(((4, 3), (3, 5), (5, 6), (4, 7)))

    def four(*shape: int, dtype: str = "float64", grad: bool = False) -> list[dict]:
        return [
            inputs.away_from_zero(low, high, *shape, dtype=dtype, grad=grad)
            for low, high in ((0.2, 1.5), (0.4, 1.5), (0.2, 1.5), (0.4, 1.5))
        ]

    return [
        call(*four(2, 3), times=2),
        call(
            *four(rows, latents, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, rows),
            every_device=True,
        ),
        call(*four(3, 5, dtype="float32", grad=True), weights=inputs.away_from_zero(0.5, 1.5, 3)),
        call(
            *(inputs.between(0.3, 1.5, 5, grad=True) for _ in range(4)),
            weights=inputs.away_from_zero(0.5, 1.5),
        ),
        call(*four(2, 3, 5, grad=True), weights=inputs.away_from_zero(0.5, 1.5, 2, 3)),
        call(
            tensor([0.0, 2.0, 0.0, -1.0, 0.0, 30.0], [2, 3]),
            tensor([-20.0, 10.0, 1.0, 8.0, -32.0, 22.0], [2, 3]),
            tensor([0.0, -2.0, 0.0, 1.0, 0.0, -30.0], [2, 3]),
            tensor([0.0, 12.0, 1.0, -5.0, -31.0, 23.0], [2, 3]),
            tag="extreme",
        ),
        call(*four(1, 4)),
        call(  # in float32 the difference of the means would be lost
            inputs.normal(3, 4, mean=40.0, std=0.05),
            inputs.between(-6.5, -5.5, 3, 4),
            inputs.normal(3, 4, mean=40.0, std=0.05),
            inputs.between(-6.5, -5.5, 3, 4),
            tag="extreme",
        ),
    ]


def _with_square(square) -> object:
    """Return the terms of KL(q || p) with another quotient in place of the right one."""
    return lambda mq, vq, mp, vp: 0.5 * (vp - vq + square(mq, vq, mp, vp) - 1)


_NORMAL = (
    Formula(
        "swapped_arguments",
        lambda mq, vq, mp, vp: _normal_terms(mp, vp, mq, vq),
        "Your value is the KL with the arguments swapped: KL(p || q). KL(q || p) is asked, the "
        "expectation under q.",
    ),
    Formula(
        "missing_half",
        lambda *a: 2 * _normal_terms(*a),
        "The factor 1/2 is missing: your value is twice the right one.",
    ),
    Formula(
        "sign",
        lambda *a: -_normal_terms(*a),
        "The sign is turned: a KL divergence is never negative.",
    ),
    Formula(
        "logvar_as_log_sigma",
        lambda mq, vq, mp, vp: _normal_terms(mq, 2 * vq, mp, 2 * vp),
        "logvar is taken for log sigma, so exp(logvar) becomes the standard deviation. It is the "
        "variance: the standard deviation is exp(logvar / 2).",
    ),
    Formula(
        "missing_minus_one",
        lambda *a: _normal_terms(*a) + 0.5,
        "The -1 is missing: the divergence of a normal from itself has to be 0.",
    ),
    Formula(
        "one_sign",
        lambda *a: _normal_terms(*a) + 1,
        "The 1 has the wrong sign: the divergence of a normal from itself has to be 0.",
    ),
    Formula(
        "difference_not_squared",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + mq - mp) / vp.exp()),
        "The difference of the means is not squared.",
    ),
    Formula(
        "difference_not_squared",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + (mq - mp).abs()) / vp.exp()),
        "The difference of the means is not squared.",
    ),
    Formula(
        "difference_not_squared",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + mp - mq) / vp.exp()),
        "The difference of the means is not squared.",
    ),
    Formula(
        "difference_not_scaled",
        _with_square(lambda mq, vq, mp, vp: (vq - vp).exp() + (mq - mp) ** 2),
        "The squared difference of the means is not divided by the variance of p.",
    ),
    Formula(
        "difference_scaled_by_q",
        _with_square(lambda mq, vq, mp, vp: (vq - vp).exp() + (mq - mp) ** 2 / vq.exp()),
        "The squared difference of the means is divided by the variance of q. Divide by that of p.",
    ),
    Formula(
        "variance_not_scaled",
        _with_square(lambda mq, vq, mp, vp: vq.exp() + (mq - mp) ** 2 / vp.exp()),
        "The variance of q is not divided by the variance of p.",
    ),
    Formula(
        "variance_not_scaled",
        _with_square(lambda mq, vq, mp, vp: vq.exp() + (mq - mp) ** 2),
        "Nothing is divided by the variance of p.",
    ),
    Formula(
        "ratio_turned",
        _with_square(lambda mq, vq, mp, vp: (vp.exp() + (mq - mp) ** 2) / vq.exp()),
        "The quotient of the variances is turned around: those of q stand above, those of p below.",
    ),
    Formula(
        "means_added",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + (mq + mp) ** 2) / vp.exp()),
        "The means are added before they are squared. Take their difference.",
    ),
    Formula(
        "means_added",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + mq**2 + mp**2) / vp.exp()),
        "The means are squared one by one. Square their difference.",
    ),
    Formula(
        "missing_mu_term",
        _with_square(lambda mq, vq, mp, vp: (vq - vp).exp()),
        "The difference of the means is missing.",
    ),
    Formula(
        "exp_forgotten",
        _with_square(lambda mq, vq, mp, vp: (vq + (mq - mp) ** 2) / vp),
        "The exponential is forgotten: the variance is exp(logvar).",
    ),
    Formula(
        "exp_forgotten",
        lambda mq, vq, mp, vp: 0.5 * (vp.log() - vq.log() + (vq + (mq - mp) ** 2) / vp - 1),
        "The exponential is forgotten: the variance is exp(logvar).",
    ),
    Formula(
        "exp_forgotten",
        lambda mq, vq, mp, vp: _normal_terms(mq, 2 * vq.log(), mp, 2 * vp.log()),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Formula(
        "std_for_variance",
        _with_square(lambda mq, vq, mp, vp: ((vq / 2).exp() + (mq - mp) ** 2) / (vp / 2).exp()),
        "Standard deviations exp(logvar / 2) stand where the variances exp(logvar) belong.",
    ),
    Formula(
        "logvar_sign",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, vp) + vq - vp,
        "The difference of the logvars is turned around: logvar_p - logvar_q.",
    ),
    Formula(
        "missing_logvar_term",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, vp) + 0.5 * (vq - vp),
        "The term logvar_p - logvar_q is missing.",
    ),
    Formula(
        "log_ratio_scaled",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, vp) + 0.25 * (vq - vp),
        "The difference of the logvars is halved, though the factor 1/2 stands in front already.",
    ),
    Formula(
        "log_ratio_scaled",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, vp) - 0.5 * (vq - vp),
        "The factor 1/2 does not reach the difference of the logvars.",
    ),
    Formula(
        "half_misplaced",
        lambda mq, vq, mp, vp: 0.5 * (vp - vq) + (vq.exp() + (mq - mp) ** 2) / vp.exp() - 0.5,
        "The factor 1/2 is missing before the quotient. Put brackets around all terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mq, vq, mp, vp: 0.5 * (vp - vq) + (vq.exp() + (mq - mp) ** 2) / (2 * vp.exp()) - 1,
        "The factor 1/2 does not reach the -1. Put brackets around all terms.",
    ),
    Formula(
        "ignores_p",
        lambda mq, vq, mp, vp: _standard_terms(mq, vq),
        "p is ignored: this is the divergence from the standard normal.",
    ),
    Formula(
        "symmetric",
        lambda mq, vq, mp, vp: (
            0.5 * (_normal_terms(mq, vq, mp, vp) + _normal_terms(mp, vp, mq, vq))
        ),
        "This is the mean of KL(q || p) and KL(p || q). KL(q || p) alone is asked.",
    ),
    Formula(
        "symmetric",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, vp) + _normal_terms(mp, vp, mq, vq),
        "This is the sum of KL(q || p) and KL(p || q). KL(q || p) alone is asked.",
    ),
    Formula(
        "difference_of_kls",
        lambda mq, vq, mp, vp: _standard_terms(mq, vq) - _standard_terms(mp, vp),
        "This is the difference of the divergences from the standard normal. KL does not subtract.",
    ),
    Formula(
        "exp_forgotten",
        _with_square(lambda mq, vq, mp, vp: (vq + (mq - mp) ** 2) / vp.exp()),
        "The exponential of logvar_q is forgotten: the variance is exp(logvar_q).",
    ),
    Formula(
        "exp_forgotten",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + (mq - mp) ** 2) / vp),
        "The exponential of logvar_p is forgotten: the variance is exp(logvar_p).",
    ),
    Formula(
        "exp_forgotten",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq.abs().log(), mp, vp.abs().log()),
        "logvar is used as the variance: the exponential is forgotten.",
    ),
    Formula(
        "softplus_for_exp",
        lambda mq, vq, mp, vp: _normal_terms(mq, softplus(vq).log(), mp, softplus(vp).log()),
        "softplus(logvar) is used as the variance, which is exp(logvar).",
    ),
    Formula(
        "softplus_for_exp",
        lambda mq, vq, mp, vp: _normal_terms(
            mq, 2 * softplus(vq).log(), mp, 2 * softplus(vp).log()
        ),
        "softplus(logvar) is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Formula(
        "relu_before",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq.relu(), mp, vp.relu()),
        "A ReLU is applied to the logvars, which may well be negative.",
    ),
    Formula(
        "relu_before",
        lambda mq, vq, mp, vp: _normal_terms(mq.relu(), vq, mp.relu(), vp),
        "A ReLU is applied to the means, which may well be negative.",
    ),
    Formula(
        "ignores_q",
        lambda mq, vq, mp, vp: _standard_terms(mp, vp),
        "q is ignored: this is the divergence of p from the standard normal.",
    ),
    Formula(
        "ignores_p",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, 0 * mp, vp),
        "mu_p has no part in it. The square is of the difference mu_q - mu_p.",
    ),
    Formula(
        "ignores_p",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, mp, 0 * vp),
        "logvar_p has no part in it: p is taken to have variance 1.",
    ),
    Formula(
        "precision_for_variance",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + (mq - mp) ** 2) * vp.exp()),
        "The quotient is multiplied by the variance of p. Divide by it.",
    ),
    Formula(
        "precision_for_variance",
        _with_square(lambda mq, vq, mp, vp: (vq - vp).exp() + (mq - mp) ** 2 * vp.exp()),
        "The squared difference of the means is multiplied by the variance of p. Divide by it.",
    ),
    Formula(
        "missing_variance_term",
        _with_square(lambda mq, vq, mp, vp: (mq - mp) ** 2 / vp.exp()),
        "The variance of q is missing above the variance of p.",
    ),
    Formula(
        "std_for_variance",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + (mq - mp) ** 2) / (vp / 2).exp()),
        "The quotient is divided by the standard deviation of p. Divide by its variance.",
    ),
    Formula(
        "std_for_variance",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq / 2, mp, vp / 2),
        "exp(logvar / 2), the standard deviation, is used as the variance.",
    ),
    Formula(
        "means_added",
        _with_square(lambda mq, vq, mp, vp: (vq.exp() + mq**2 - mp**2) / vp.exp()),
        "The means are squared one by one. Square their difference.",
    ),
    Formula(
        "half_misplaced",
        lambda mq, vq, mp, vp: 0.5 * (vp - vq) + (vq.exp() + (mq - mp) ** 2) / vp.exp() - 1,
        "The factor 1/2 binds only the difference of the logvars. Put brackets around all terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mq, vq, mp, vp: vp - vq + 0.5 * (vq.exp() + (mq - mp) ** 2) / vp.exp() - 1,
        "The factor 1/2 binds only the quotient. Put brackets around all terms.",
    ),
    Formula(
        "half_misplaced",
        lambda mq, vq, mp, vp: 0.5 * (vp - vq) + (vq.exp() + (mq - mp) ** 2) / 2 * vp.exp() - 0.5,
        "x / 2 * variance multiplies by the variance. Write x / (2 * variance).",
    ),
    Formula(
        "cross_entropy",
        lambda mq, vq, mp, vp: (
            0.5 * (math.log(2 * math.pi) + vp + (vq.exp() + (mq - mp) ** 2) / vp.exp())
        ),
        "This is the cross-entropy -E_q[log p]. Subtract the entropy of q.",
    ),
    Formula(
        "density_at_mu",
        lambda mq, vq, mp, vp: 0.5 * (math.log(2 * math.pi) + vp + (mq - mp) ** 2 / vp.exp()),
        "This is -log p(mu_q), p at the mean of q. The divergence is an expectation under q.",
    ),
    Formula(
        "wasserstein",
        lambda mq, vq, mp, vp: (mq - mp) ** 2 + ((vq / 2).exp() - (vp / 2).exp()) ** 2,
        "This is a squared Wasserstein distance, not a KL divergence.",
    ),
    Formula(
        "mu_logvar_swapped",
        lambda mq, vq, mp, vp: _normal_terms(vq, mq, mp, vp),
        "mu_q and logvar_q are swapped.",
    ),
    Formula(
        "mu_logvar_swapped",
        lambda mq, vq, mp, vp: _normal_terms(mq, vq, vp, mp),
        "mu_p and logvar_p are swapped.",
    ),
    Formula(
        "mu_logvar_swapped",
        lambda mq, vq, mp, vp: _normal_terms(vq, mq, vp, mp),
        "mu and logvar are swapped.",
    ),
    Formula(
        "argument_order",
        lambda mq, vq, mp, vp: _normal_terms(mq, mp, vq, vp),
        "The arguments are read in another order. It is mu_q, logvar_q, mu_p, logvar_p.",
    ),
    Formula(
        "bits",
        lambda *a: _normal_terms(*a) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
)


def _normal_hidden(inputs: Inputs) -> list[dict]:
    def four(*shape: int) -> list[dict]:
        return [
            part
            for _ in range(2)
            for part in (
                inputs.normal(*shape, std=1.5, grad=True),
                inputs.between(-2.5, 2.5, *shape, grad=True),
            )
        ]

    return [
        call(*four(3, 2, 4, 5), weights=inputs.away_from_zero(0.5, 1.5, 3, 2, 4)),
        call(*four(6, 1), weights=inputs.away_from_zero(0.5, 1.5, 6)),
        call(*four(2, 50), weights=inputs.away_from_zero(0.5, 1.5, 2)),
    ]


kl_normal = Exercise(
    "kl_normal",
    _normal_calls,
    Comparison(
        truth=lambda *a: _normal_terms(*a).sum(-1),
        arguments=("mu_q", "logvar_q", "mu_p", "logvar_p"),
        table=(
            *crossed(_normal_terms, _NORMAL, "last", "latent"),
            *_KL_DIV_OF_FOUR,
            *_free_bits(_normal_terms),
            Formula(
                "minus_one_outside",
                lambda *a: (_normal_terms(*a) + 0.5).sum(-1) - 0.5,
                _MINUS_ONE_OUTSIDE,
            ),
            Formula(
                "minus_one_outside",
                lambda *a: (_normal_terms(*a) + 0.5).sum(-1) - 1,
                _MINUS_ONE_OUTSIDE,
            ),
            Formula(
                "minus_one_inside",
                lambda *a: (_normal_terms(*a) + 0.5 - a[0].shape[-1] / 2).sum(-1),
                _MINUS_ONE_INSIDE,
            ),
        ),
        what="a tensor without the last axis",
        errors=(
            (
                r"Expected parameter scale|argument scale",
                "exp_forgotten",
                "A standard deviation is negative: logvar is used without exp. The standard "
                "deviation is exp(logvar / 2).",
            ),
        ),
    ),
    hidden=_normal_hidden,
)

# --- kl_monte_carlo ------------------------------------------------------------------------------


def _monte_carlo_calls(inputs: Inputs) -> list[dict]:
    def one(value: float, *shape: int, grad: bool = False) -> dict:
        return tensor([value], list(shape), grad=grad)

    # p is narrower than q, so that every unbiased estimator in use has a finite variance.
    shift, narrow = inputs.uniform(0.45, 0.6), inputs.uniform(0.7, 0.8)
    rare, level = inputs.uniform(0.04, 0.06), inputs.uniform(-2, 2)

    def normals(size: int, grad: bool = False) -> list[dict]:
        q = distribution("Normal", loc=one(level, size), scale=one(1.5, size))
        p = distribution(
            "Normal",
            loc=one(level + 1.5 * shift, size, grad=grad),
            scale=one(1.5 * narrow, size, grad=grad),
        )
        return [q, p]

    def categorical(*probs: float) -> dict:
        return distribution("Categorical", probs=tensor([*probs] * 400, [400, len(probs)]))

    pairs = 60
    shifts = [s for _ in range(pairs) for s in (inputs.uniform(0, 1.4), inputs.gauss(0, 0.2))]
    independent = [  # so different from pair to pair that numbers noted elsewhere are of no use
        distribution("Independent", loc=tensor(loc, [pairs, 2]), scale=scale)
        for loc, scale in (
            ([0.0] * len(shifts), tensor([1.0] * len(shifts), [pairs, 2])),
            ([inputs.choice((-1, 1)) * s for s in shifts], inputs.between(0.7, 0.85, pairs, 2)),
        )
    ]
    mixture = distribution(
        "Mixture",
        probs=tensor([0.3, 0.7] * 200, [200, 2]),
        loc=tensor([level - 1.6, level + 1.2] * 200, [200, 2]),
        scale=tensor([0.8, 0.9] * 200, [200, 2]),
    )
    return [
        call(*independent, number(100), times=2, tag="varied"),
        call(*normals(2000), number(1)),
        call(*normals(500), number(2)),
        call(*normals(400, grad=True), number(100), weights=one(1.0, 400)),
        call(*normals(1), number(64), times=2),
        call(categorical(0.3, 0.3, 0.4), categorical(rare, 0.4 - rare, 0.6), number(50)),
        call(  # this pair has no closed form, and tails too heavy to tell estimators apart
            distribution("Normal", loc=one(level, 200), scale=one(1.0, 200)),
            mixture,
            number(10),
            tag="no closed form",
        ),
    ]


def _monte_carlo_truth(q: D.Distribution, p: D.Distribution, num_samples: int) -> Truth:
    pooled = q.batch_shape.numel() > 10
    with torch.no_grad():
        z = q.sample((max(40_000 // q.batch_shape.numel(), 10),))
        log_ratio = q.log_prob(z) - p.log_prob(z)
        other = torch.expm1(-log_ratio) + log_ratio  # also unbiased, and may be noisier
        if pooled:
            log_ratio, other = log_ratio.flatten(), other.flatten()
        cross = p.log_prob(z).reshape(log_ratio.shape)  # with the entropy of q in closed form
        spreads = torch.stack([t.std(0) for t in (log_ratio, other, cross)])
        spreads = spreads / math.sqrt(num_samples)
        most, least = (s.expand(q.batch_shape) for s in (spreads.amax(0), spreads.amin(0)))
        return Truth(_divergence(q, p), most, pooled, least)


def _divergence(q: D.Distribution, p: D.Distribution) -> Tensor:
    if not isinstance(p, D.MixtureSameFamily):
        return D.kl_divergence(q, p)
    grid = q.loc + q.scale * torch.linspace(-9, 9, 601, dtype=torch.float64)[:, None]
    log_q = q.log_prob(grid)
    return torch.trapezoid(log_q.exp() * (log_q - p.log_prob(grid)), grid, dim=0)


def _divergence_gradients(args: list, leaves: list[Tensor]) -> list[Tensor]:
    total = D.kl_divergence(args[0], args[1]).sum()
    return [g.mean() for g in torch.autograd.grad(total, leaves)]


def _log_ratio(q: D.Distribution, p: D.Distribution, z: Tensor) -> Tensor:
    return q.log_prob(z) - p.log_prob(z)


def _averaging(value, source=lambda q, p: q) -> object:
    """Return the estimator that averages ``value`` (of the log ratio) over draws of ``source``."""

    def estimator(q: D.Distribution, p: D.Distribution, num_samples: int) -> Tensor:
        return value(_log_ratio(q, p, source(q, p).sample((num_samples,)))).mean(0)

    return estimator


def _from_moments(noise, scale=lambda q: q.stddev) -> object:
    """Return the estimator with samples ``q.mean + scale * noise``."""

    def estimator(q: D.Distribution, p: D.Distribution, num_samples: int) -> Tensor:
        shape = (num_samples, *q.batch_shape, *q.event_shape)
        return _log_ratio(q, p, q.mean + scale(q) * noise(shape)).mean(0)

    return estimator


def _of_densities(value) -> object:
    def estimator(q: D.Distribution, p: D.Distribution, num_samples: int) -> Tensor:
        z = q.sample((num_samples,))
        return value(q.log_prob(z), p.log_prob(z)).mean(0)

    return estimator


_MONTE_CARLO = (
    Row(
        "sign",
        _averaging(lambda r: -r),
        "The sign is turned: average log q - log p, not log p - log q.",
    ),
    Row(
        "swapped_arguments",
        _averaging(lambda r: -r, lambda q, p: p),
        "Your value is the KL with the arguments swapped: KL(p || q), with draws of p.",
    ),
    Row(
        "samples_from_p",
        _averaging(lambda r: r, lambda q, p: p),
        "The samples are drawn from p. The expectation is under q: draw from q.",
    ),
    Row(
        "sum_instead_of_mean",
        lambda q, p, k: k * _averaging(lambda r: r)(q, p, k),
        "The samples are summed. Take their mean.",
    ),
    Row(
        "k2",
        _averaging(lambda r: 0.5 * r**2),
        "This is half the squared log ratio, which has less variance and is biased. An unbiased "
        "estimate is asked.",
    ),
    Row("squared", _averaging(lambda r: r**2), "The log ratio is squared."),
    Row(
        "absolute",
        _averaging(lambda r: r.abs()),
        "The absolute value biases the estimate. A single log ratio may be negative; only its "
        "expectation is not.",
    ),
    Row(
        "absolute",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k).abs(),
        "The absolute value biases the estimate. An estimate may be negative; only its "
        "expectation is not.",
    ),
    Row(
        "clamped",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k).clamp(min=0),
        "The estimate is clamped at zero, which biases it. An estimate may be negative; only its "
        "expectation is not.",
    ),
    Row(
        "clamped",
        _averaging(lambda r: r.clamp(min=0)),
        "The log ratio is clamped at zero, which biases the estimate. It may be negative; only its "
        "expectation is not.",
    ),
    Row(
        "one_sample",
        lambda q, p, k: _averaging(lambda r: r)(q, p, 1),
        "It varies like a single draw: num_samples is not used, or all samples are the same.",
    ),
    Row(
        "at_the_mean",
        lambda q, p, k: _log_ratio(q, p, q.mean),
        "The log ratio is evaluated at the mean of q. Average it over draws of q.",
    ),
    Row(
        "wrong_count",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k) * k / max(k - 1, 1),
        "The sum over the samples is divided by num_samples - 1. Divide by num_samples.",
    ),
    Row(
        "wrong_count",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k) * k / (k + 1),
        "The sum over the samples is divided by num_samples + 1. Divide by num_samples.",
    ),
    Row(
        "wrong_count",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k) * (k - 1) / k,
        "One sample is missing in the sum, which is divided by num_samples.",
    ),
    Row(
        "too_few_samples",
        lambda q, p, k: _averaging(lambda r: r)(q, p, max(k // 2, 1)),
        "Only half of num_samples are drawn.",
    ),
    Row(
        "too_few_samples",
        lambda q, p, k: _averaging(lambda r: r)(q, p, max(k - 1, 1)),
        "One sample less than num_samples is drawn.",
    ),
    Row(
        "median",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,))).median(0).values,
        "This is the median of the log ratios. The divergence is their mean.",
    ),
    Row(
        "largest",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,))).amax(0),
        "This is the largest log ratio. The divergence is their mean.",
    ),
    Row(
        "largest",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,))).amin(0),
        "This is the smallest log ratio. The divergence is their mean.",
    ),
    Row(
        "weighted_again",
        lambda q, p, k: k * _of_densities(lambda a, b: a.exp() * (a - b))(q, p, k),
        "The log ratio is weighted by q. The samples come from q, so the weight is in them already.",
    ),
    Row(
        "entropy_sign",
        lambda q, p, k: q.entropy() - p.log_prob(q.sample((k,))).mean(0),
        "The entropy of q is added. It has to be subtracted from -E_q[log p].",
    ),
    Row(
        "shared_noise",
        lambda q, p, k: _log_ratio(
            q,
            p,
            q.mean
            + q.stddev
            * torch.randn(k, *(1 for _ in (*q.batch_shape, *q.event_shape)), dtype=torch.float64),
        ).mean(0),
        "All entries share their noise. Let q draw: q.sample((num_samples,)).",
    ),
    Row(
        "halved",
        _averaging(lambda r: 0.5 * r),
        "Your value is half the right one. No factor 1/2 belongs to log q - log p.",
    ),
    Row(
        "bits",
        _averaging(lambda r: r / math.log(2)),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
    Row(
        "added",
        _of_densities(lambda log_q, log_p: log_q + log_p),
        "log p is added. It has to be subtracted: log q - log p.",
    ),
    Row(
        "samples_from_p",
        lambda q, p, k: q.log_prob(q.sample((k,))).mean(0) - p.log_prob(p.sample((k,))).mean(0),
        "log p is evaluated at draws of p. Both densities are averaged over draws of q.",
    ),
    Row(
        "samples_from_p",
        lambda q, p, k: q.log_prob(p.sample((k,))).mean(0) - p.log_prob(q.sample((k,))).mean(0),
        "log q is evaluated at draws of p. Both densities are averaged over draws of q.",
    ),
    Row(
        "variance_as_scale",
        _from_moments(torch.randn, lambda q: q.variance),
        "The noise is scaled by the variance of q. Let q draw: q.sample((num_samples,)).",
    ),
    Row(
        "uniform_noise",
        _from_moments(torch.rand),
        "The noise is uniform (rand). Let q draw: q.sample((num_samples,)).",
    ),
    Row(
        "samples_not_from_q",
        lambda q, p, k: _log_ratio(
            q, p, torch.randn(k, *q.batch_shape, *q.event_shape, dtype=torch.float64)
        ).mean(0),
        "The samples are standard normal. The expectation is under q: q.sample((num_samples,)).",
    ),
    Row(
        "divided_twice",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k) / k,
        "The mean over the samples is divided by num_samples once more.",
    ),
    Row(
        "not_averaged",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,))),
        "You return one value for each sample. Average over the samples, the first axis.",
    ),
    Row(
        "averaged_over_batch",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k).mean(),
        "You averaged over the batch of distributions too. Average over the samples only, the first "
        "axis.",
    ),
    Row(
        "summed_over_batch",
        lambda q, p, k: _averaging(lambda r: r)(q, p, k).sum(),
        "You summed over the batch of distributions. Average over the samples only, the first axis.",
    ),
    Row(
        "summed_over_batch",
        lambda q, p, k: k * _averaging(lambda r: r)(q, p, k).sum(),
        "You summed over samples and distributions. Average over the samples, the first axis.",
    ),
    Row(
        "averaged_wrong_axis",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,))).mean(-1),
        "You averaged over the last axis. The samples are the first.",
    ),
    Row(
        "density_ratio",
        _averaging(torch.exp),
        "This averages the ratio q / p. Average its logarithm.",
    ),
    Row(
        "density_ratio",
        _averaging(lambda r: (-r).exp()),
        "This averages the ratio p / q, whose mean is 1. Average log q - log p.",
    ),
    Row(
        "density_ratio",
        _of_densities(lambda log_q, log_p: log_q.exp() - log_p.exp()),
        "This averages the difference of the densities. Average the difference of their logarithms.",
    ),
    Row(
        "mean_of_samples",
        lambda q, p, k: _log_ratio(q, p, q.sample((k,)).to(torch.float64).mean(0)),
        "The samples are averaged before the densities are evaluated. Average the log ratios.",
    ),
    Row(
        "weighted_again",
        _of_densities(lambda log_q, log_p: log_q.exp() * (log_q - log_p)),
        "The log ratio is weighted by q. The samples come from q, so the weight is in them already.",
    ),
    Row(
        "missing_log_q",
        _of_densities(lambda log_q, log_p: -log_p),
        "log q is missing: this is the cross-entropy of q and p.",
    ),
    Row(
        "missing_log_p",
        _of_densities(lambda log_q, log_p: log_q),
        "log p is missing: this is minus the entropy of q.",
    ),
    Row(
        "k3_turned",
        _averaging(lambda r: r.exp() - 1 - r),
        "In r - 1 - log r the ratio is turned: with draws of q it has to be r = p / q.",
    ),
    Row(
        "log_of_mean",
        lambda q, p, k: _averaging(torch.exp)(q, p, k).log(),
        "The logarithm is taken after the mean. Average the log ratios.",
    ),
    Row(
        "log_of_mean",
        lambda q, p, k: -_averaging(lambda r: (-r).exp())(q, p, k).log(),
        "The logarithm is taken after the mean. Average the log ratios.",
    ),
    Row(
        "symmetric",
        lambda q, p, k: (
            0.5
            * (_averaging(lambda r: r)(q, p, k) + _averaging(lambda r: -r, lambda q, p: p)(q, p, k))
        ),
        "This is the mean of KL(q || p) and KL(p || q). KL(q || p) alone is asked.",
    ),
)


def _monte_carlo_hidden(inputs: Inputs) -> list[dict]:
    shape, level = [60, 3], inputs.uniform(-3, 3)
    shifts = inputs.between(-0.5, 0.5, *shape)
    q = distribution("Independent", loc=tensor([level], shape), scale=tensor([1.2], shape))
    loc = {**shifts, "data": [level + shift for shift in shifts["data"]]}
    p = distribution("Independent", loc=loc, scale=inputs.between(0.9, 1.1, *shape))
    return [call(q, p, number(70), times=2, tag="varied")]


kl_monte_carlo = Exercise(
    "kl_monte_carlo",
    _monte_carlo_calls,
    Estimation(
        truth=_monte_carlo_truth,
        right=_averaging(lambda r: r),
        arguments=("q", "p", "num_samples"),
        table=_MONTE_CARLO,
        what="a tensor of the shape of q.log_prob of one draw",
        errors=(
            (
                r"No KL\(",
                "closed_form",
                "It asks torch for the closed form, which few pairs of distributions have. Average "
                "log q - log p over draws of q.",
            ),
            (
                r"NotImplementedError.*in rsample",
                "rsample_of_discrete",
                "rsample needs a density that can be reparameterized, and a Categorical has none. "
                "Use sample(), which every distribution has.",
            ),
            (
                r"NotImplementedError.*in (entropy|cdf|icdf|mean|variance|stddev)",
                "closed_form",
                "It asks the distribution for a closed form that not all have. Use sample and "
                "log_prob only.",
            ),
        ),
        gradients=_divergence_gradients,
        replayed=True,
    ),
    hidden=_monte_carlo_hidden,
)

EXERCISES = (kl_standard_normal, kl_normal, kl_monte_carlo)
