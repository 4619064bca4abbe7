"""Checks of set 04: draws that carry a gradient, and two estimators of a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D

from course_lib.checks import noise, relaxed
from course_lib.checks.estimates import Estimation, Row, Truth
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.arguments import function
from course_lib.checks.probes.plain import tensor
from course_lib.checks.sampling import Sampling

# --- reparameterize ------------------------------------------------------------------------------


def _draw_calls(inputs: Inputs) -> list[dict]:
    def two(*shape: int, dtype: str = "float64", grad: bool = False) -> list[dict]:
        return [
            inputs.away_from_zero(0.5, 3.0, *shape, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.5, 2.5, *shape, dtype=dtype, grad=grad),
        ]

    return [
        call(*two(2, 3)),
        call(*two(64, 16), tag="many", times=8),
        call(
            *two(5, 4, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 5, 4),
            every_device=True,
        ),
        call(
            *two(3, 6, dtype="float32", grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 3, 6),
        ),
    ]


def _draw_hidden(inputs: Inputs) -> list[dict]:
    def two(*shape: int) -> list[dict]:
        return [inputs.normal(*shape, grad=True), inputs.between(-3.0, 3.0, *shape, grad=True)]

    shapes = ((7, 1), (1, 9), (11, 30))
    return [call(*two(*s), weights=inputs.away_from_zero(0.5, 1.5, *s)) for s in shapes]


reparameterize = Exercise(
    "reparameterize",
    _draw_calls,
    Sampling(
        arguments=("mu", "logvar"),
        diagnose=lambda z, args, reseeded: noise.diagnose(z, *args, reseeded=reseeded),
        # z = mu + std eps with std = exp(logvar / 2), so dz/dlogvar = std eps / 2 = (z - mu) / 2
        gradients=lambda z, args, weights: [weights, weights * (z - args[0]) / 2],
        what="a tensor of the shape of mu",
        errors=(
            (
                r"Expected parameter scale|argument scale|std >= 0",
                "logvar_as_std",
                "A standard deviation is negative: logvar is used without exp. The standard "
                "deviation is exp(logvar / 2).",
            ),
        ),
    ),
    hidden=_draw_hidden,
)

# --- gumbel_softmax ------------------------------------------------------------------------------


def _gumbel_calls(inputs: Inputs) -> list[dict]:
    return [
        call(inputs.normal(2, 3), number(0.8)),
        call(inputs.normal(128, 8, std=0.8), number(0.7), tag="many", times=8),
        call(inputs.normal(128, 8, std=0.8), number(2.5), tag="many", times=8),
        call(
            inputs.normal(5, 4, grad=True),
            number(1.5),
            weights=inputs.away_from_zero(0.5, 1.5, 5, 4),
            every_device=True,
        ),
        call(
            inputs.normal(3, 6, dtype="float32", grad=True),
            number(1.0),
            weights=inputs.away_from_zero(0.5, 1.5, 3, 6),
        ),
    ]


def _gumbel_gradient(y: Tensor, args: list, weights: Tensor) -> list[Tensor]:
    return [y * (weights - (weights * y).sum(-1, keepdim=True)) / args[1]]


def _gumbel_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(
            inputs.normal(9, 5, std=2.0, grad=True),
            number(inputs.uniform(0.7, 3.0)),
            weights=inputs.away_from_zero(0.5, 1.5, 9, 5),
        ),
        call(inputs.normal(1, 12), number(1)),
    ]


gumbel_softmax = Exercise(
    "gumbel_softmax",
    _gumbel_calls,
    Sampling(
        arguments=("logits", "temperature"),
        diagnose=lambda y, args, reseeded: relaxed.diagnose(y, *args, reseeded=reseeded),
        gradients=_gumbel_gradient,
        what="a tensor of the shape of logits",
    ),
    hidden=_gumbel_hidden,
)

# --- the two estimators of a gradient ------------------------------------------------------------


def _one(value: float) -> dict:
    return tensor([value], [])


def _away(mu: list[float], logvar: list[float], far: float) -> list[float]:
    """Return thresholds ``far`` standard deviations above the means."""
    return [m + far * math.exp(v / 2) for m, v in zip(mu, logvar, strict=True)]


def _point(inputs: Inputs, *shape: int, low: float, high: float) -> tuple[dict, dict]:
    """Return mu and a logvar of both signs, away from zero."""
    size = math.prod(shape)
    logvar = [(-1) ** k * inputs.uniform(low, high) for k in range(size)]
    inputs.shuffle(logvar)
    return inputs.away_from_zero(0.3, 1.0, *shape), tensor(logvar, list(shape))


def _pathwise_calls(inputs: Inputs) -> list[dict]:
    def linear(*shape: int, dtype: str = "float64", grad: bool = False) -> list[dict]:
        return [
            function("linear", weight=inputs.away_from_zero(0.5, 2.0, *shape)),
            inputs.away_from_zero(0.5, 1.0, *shape, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.5, 1.5, *shape, dtype=dtype, grad=grad),
        ]

    mu, logvar = _point(inputs, 2, 3, low=1.2, high=1.7)
    # Every latent has the same part in the spread of the sum, so that noise shared by any of them
    # widens it, and the flank of the sum, far out, tells.
    mix = [inputs.uniform(0.9, 1.1) * math.exp(-v / 2) for v in logvar["data"]]
    joint_mean = sum(w * m for w, m in zip(mix, mu["data"], strict=True))
    joint_var = sum(w * w * math.exp(v) for w, v in zip(mix, logvar["data"], strict=True))
    bends = function(
        "bends",
        weight=tensor([inputs.uniform(0.3, 0.6) * w for w in mix], [2, 3]),
        at=tensor(_away(mu["data"], logvar["data"], 0.8), [2, 3]),
        mix=tensor(mix, [2, 3]),
        mix_at=_one(joint_mean + 1.5 * math.sqrt(joint_var)),
    )
    return [
        call(*linear(3), number(4), times=2),
        call(bends, mu, logvar, number(350), times=4),
        call(bends, mu, logvar, number(1), times=60),
        call(*linear(2, 3, dtype="float32", grad=True), number(1)),
        call(*linear(2, 2, grad=True), number(7)),
    ]


def _pathwise_truth(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Truth:
    """Estimate mean and spread with many draws, by the derivative of f itself."""
    mu, logvar = mu.detach().double(), logvar.detach().double()
    half = torch.randn(10_000, *mu.shape, dtype=torch.float64)
    eps = torch.cat([half, -half])
    slopes = _slopes(f, mu + (0.5 * logvar).exp() * eps)
    spread = slopes.std(0)
    spread = torch.where(spread < 1e-9, 0.0, spread)
    # What these draws leave open is small beside the room of the judge.
    spread = spread / math.sqrt(num_samples)
    covariance = None
    if num_samples >= 100 and (spread > 0).all():
        # What the draws here leave open adds to what the learner's do.
        covariance = slopes.flatten(1).T.cov() * (1 / num_samples + 4 / len(slopes))
    return Truth(slopes.mean(0), spread, False, spread, covariance, rare=True)


def _slopes(f: Callable, z: Tensor) -> Tensor:
    z = z.detach().requires_grad_()
    return torch.autograd.grad(f(z).sum(), z)[0]


def _path(
    scale: Callable[[Tensor], Tensor] = lambda logvar: (0.5 * logvar).exp(),
    draw: Callable[..., Tensor] = torch.randn,
    finish: Callable[[Tensor], Tensor] = lambda slopes: slopes.mean(0),
) -> Callable[..., Tensor]:
    """Return a pathwise estimator with one thing changed; its ``many`` runs it several times."""

    def many(runs: int, f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
        mu, logvar = mu.detach().double(), logvar.detach().double()
        noise = [draw(num_samples, *mu.shape, dtype=torch.float64) for _ in range(runs)]
        z = mu + scale(logvar) * torch.stack(noise)
        slopes = _slopes(f, z.flatten(0, 1)).reshape(z.shape)
        return torch.stack([finish(s) for s in slopes])

    def estimator(*args: object) -> Tensor:
        return many(1, *args)[0]

    estimator.many = many
    return estimator


def _one_for_all_latents(num_samples: int, *shape: int, dtype: torch.dtype) -> Tensor:
    eps = torch.randn(num_samples, *[1] * len(shape), dtype=dtype)
    return eps.expand(num_samples, *shape)


def _one_for_rows(num_samples: int, *shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(num_samples, *[1] * (len(shape) - 1), shape[-1], dtype=dtype).expand(
        num_samples, *shape
    )


def _one_for_last_axis(num_samples: int, *shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(num_samples, *shape[:-1], 1, dtype=dtype).expand(num_samples, *shape)


def _one_for_all_draws(num_samples: int, *shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(1, *shape, dtype=dtype).expand(num_samples, *shape)


def _path_of_logvar(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
    mu, logvar = mu.detach().double(), logvar.detach().double()
    noise = (0.5 * logvar).exp() * torch.randn(num_samples, *mu.shape, dtype=torch.float64)
    return (_slopes(f, mu + noise) * noise / 2).mean(0)


def _path_times(power: float) -> Callable[..., Tensor]:
    """Return a pathwise estimator that is multiplied by a power of the variance."""

    def estimator(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
        return _path()(f, mu, logvar, num_samples) * (power * logvar.detach().double()).exp()

    return estimator


def _score(
    scale: Callable[[Tensor], Tensor] = lambda logvar: (0.5 * logvar).exp(),
    divide: Callable[[Tensor], Tensor] = torch.exp,
    values: Callable[[Tensor], Tensor] = lambda f: f,
    finish: Callable[[Tensor, Tensor], Tensor] = lambda f, score: (f * score).mean(0),
    draw: Callable[..., Tensor] = torch.randn,
) -> Callable[..., Tensor]:
    """Return a score-function estimator with one thing changed."""

    def estimator(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
        mu, logvar = mu.detach().double(), logvar.detach().double()
        eps = draw(num_samples, *mu.shape, dtype=torch.float64)
        noise = scale(logvar) * eps
        weights = values(f(mu + noise).detach()).reshape(num_samples, *[1] * mu.dim())
        return finish(weights, noise / divide(logvar))

    return estimator


_ONE_DRAW = (
    "It varies like a single draw: the num_samples draws share one noise, or only one is made. Draw "
    "noise of shape [num_samples, *mu.shape]."
)
_PATHWISE = (
    Row(
        "sum_instead_of_mean",
        _path(finish=lambda s: s.sum(0)),
        "The draws are summed. Take their mean: f(z).mean() before the gradient.",
    ),
    Row("sign", _path(finish=lambda s: -s.mean(0)), "The sign is turned."),
    Row(
        "divided_twice",
        _path(finish=lambda s: s.mean(0) / len(s)),
        "The mean over the draws is divided by num_samples once more.",
    ),
    Row(
        "not_averaged",
        _path(finish=lambda s: s),
        "You return one gradient for each draw. Average over the draws, the first axis.",
    ),
    Row(
        "not_averaged",
        _path(finish=lambda s: s / len(s)),
        "You return one gradient for each draw: the one for z. The gradient for mu is asked, the "
        "sum of these over the first axis.",
    ),
    Row(
        "detached_draw",
        _path(finish=lambda s: 0 * s.mean(0)),
        "The result is zero: mu has no part in the draws, or was detached. Draw z = mu + "
        "exp(logvar / 2) eps with mu as a leaf.",
    ),
    Row(
        "summed_over_latents",
        _path(finish=lambda s: s.mean(0).sum()),
        "The gradient is summed over its entries. It has the shape of mu.",
    ),
    Row(
        "variance_as_std",
        _path(scale=torch.exp),
        "The noise is scaled by exp(logvar), the variance. The standard deviation is "
        "exp(logvar / 2).",
    ),
    Row(
        "logvar_as_std",
        _path(scale=lambda v: v),
        "The noise is scaled by logvar. The standard deviation is exp(logvar / 2).",
    ),
    Row(
        "logvar_sign",
        _path(scale=lambda v: (-0.5 * v).exp()),
        "The noise is scaled by exp(-logvar / 2), one over the standard deviation.",
    ),
    Row(
        "scale_forgotten",
        _path(scale=torch.ones_like),
        "The noise is not scaled by the standard deviation, exp(logvar / 2).",
    ),
    Row(
        "no_noise",
        _path(scale=torch.zeros_like),
        "This is the gradient of f at mu: no noise is drawn. The gradient of an expectation is the "
        "average gradient at the draws.",
    ),
    Row(
        "constant_noise",
        _path(draw=torch.ones),
        "The noise is 1 everywhere: nothing is drawn.",
    ),
    Row(
        "uniform_noise",
        _path(draw=torch.rand),
        "The noise is uniform, not normal. Use torch.randn, with an n.",
    ),
    Row(
        "shared_across_latents",
        _path(draw=_one_for_all_latents),
        "All latents of a draw get the same noise. Draw noise of shape [num_samples, *mu.shape].",
    ),
    Row(
        "shared_across_batch",
        _path(draw=_one_for_rows),
        "All rows of mu get the same noise. Draw noise of shape [num_samples, *mu.shape].",
    ),
    Row(
        "shared_across_latents",
        _path(draw=_one_for_last_axis),
        "The latents of an example get the same noise. Draw noise of shape [num_samples, *mu.shape].",
    ),
    Row("one_sample", _path(draw=_one_for_all_draws), _ONE_DRAW),
    Row(
        "score_function",
        _score(),
        "This is the score-function estimator: unbiased, but noisy, and it does not use that f can "
        "be differentiated. Differentiate f along z = mu + exp(logvar / 2) eps.",
    ),
    Row(
        "gradient_of_logvar",
        _path_of_logvar,
        "This is the gradient for logvar. The one for mu is asked.",
    ),
    Row(
        "gradient_of_sigma",
        lambda f, mu, logvar, k: 2 * _path_of_logvar(f, mu, logvar, k) / (0.5 * logvar).exp(),
        "This is the gradient for the standard deviation. The one for mu is asked.",
    ),
    *(
        Row(
            "wrong_factor",
            _path_times(power),
            f"The gradient is {word}. Along z = mu + exp(logvar / 2) eps the derivative of z for mu "
            "is 1, so nothing is left to multiply by.",
        )
        for power, word in (
            (0.5, "multiplied by the standard deviation"),
            (-0.5, "divided by the standard deviation, as the score is"),
            (1.0, "multiplied by the variance"),
            (-1.0, "divided by the variance, as the score is"),
        )
    ),
    *(
        Row(
            mistake,
            _path(scale=scale, finish=lambda s: s.sum(0)),
            f"{sentence} Besides: the draws are summed. Take their mean.",
        )
        for mistake, scale, sentence in (
            (
                "variance_as_std",
                torch.exp,
                "The noise is scaled by exp(logvar), the variance. The standard deviation is "
                "exp(logvar / 2).",
            ),
            (
                "scale_forgotten",
                torch.ones_like,
                "The noise is not scaled by the standard deviation, exp(logvar / 2).",
            ),
            (
                "no_noise",
                torch.zeros_like,
                "This is the gradient of f at mu: no noise is drawn.",
            ),
        )
    ),
)

_GRADIENT_ARGUMENTS = ("f", "mu", "logvar", "num_samples")
_WHAT = "a tensor of the shape of mu"
_SCALE_ERROR = (
    r"Expected parameter scale|argument scale",
    "logvar_as_std",
    "A standard deviation is negative: logvar is used without exp. The standard deviation is "
    "exp(logvar / 2).",
)
_SHAPE_ERROR = (
    r"f was given a tensor of shape",
    "wrong_draws",
    "f was called with something that is not a batch of draws. It takes [K, ...], the draws first, "
    "and returns one value for each.",
)


def _pathwise_hidden(inputs: Inputs) -> list[dict]:
    weight = inputs.away_from_zero(0.5, 2.0, 3, 2, 2)
    mu, logvar = inputs.normal(3, 2, 2), inputs.between(-1.5, 1.5, 3, 2, 2)
    return [call(function("linear", weight=weight), mu, logvar, number(5), times=2)]


pathwise_gradient = Exercise(
    "pathwise_gradient",
    _pathwise_calls,
    Estimation(
        truth=_pathwise_truth,
        right=_path(),
        arguments=_GRADIENT_ARGUMENTS,
        table=_PATHWISE,
        what=_WHAT,
        errors=(
            _SCALE_ERROR,
            _SHAPE_ERROR,
            (
                r"does not require grad|not have been used in the graph",
                "detached_draw",
                "f(z) has no gradient for mu: the draws are not connected to it, or it asks for none. Make a leaf "
                "(mu.detach().requires_grad_()), and draw with rsample() or as mu + exp(logvar / 2) "
                "eps, without no_grad().",
            ),
        ),
    ),
    hidden=_pathwise_hidden,
)


def _jumps(inputs: Inputs, mu: dict, logvar: dict, form: str = "jumps") -> dict:
    # At the mean for a wide normal, in the flank of a narrow one: there the gradient tells how
    # wide the draws are from how the score is scaled.
    where = zip(mu["data"], logvar["data"], strict=True)
    at = [m + (0.9 * math.exp(v / 2) if v < 0 else 0.0) for m, v in where]
    return function(
        form,
        weight=inputs.between(1.1, 1.4, *mu["shape"]),
        at=tensor(at, mu["shape"]),
        level=_one(1.0),
    )


def _problem(
    inputs: Inputs, *shape: int, dtype: str = "float64", grad: bool = False, form: str = "jumps"
) -> list[dict]:
    mu, logvar = _point(inputs, *shape, low=1.3, high=1.8)
    leaves = ({**t, "dtype": dtype, "grad": grad} for t in (mu, logvar))
    return [_jumps(inputs, mu, logvar, form), *leaves]


def _score_calls(inputs: Inputs) -> list[dict]:
    one = [inputs.away_from_zero(0.3, 1.0, 1), tensor([inputs.uniform(1.3, 1.8)], [1])]
    single = [_jumps(inputs, *one), *one]
    return [
        call(*_problem(inputs, 2), number(400), times=5),
        call(*single, number(1), times=150),
        call(*single, number(2), times=260),
        call(*_problem(inputs, 3, dtype="float32", grad=True), number(40), times=2),
        call(*_problem(inputs, 2, 2, grad=True, form="decoys"), number(40), times=2),
    ]


def _score_hidden(inputs: Inputs) -> list[dict]:
    return [call(*_problem(inputs, 4), number(300), times=3)]


def _score_truth(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Truth:
    mu, logvar = mu.detach().double(), logvar.detach().double()
    std = (0.5 * logvar).exp()
    half = torch.randn(10_000, *mu.shape, dtype=torch.float64)
    eps = torch.cat([half, -half])
    terms = f(mu + std * eps).reshape(-1, *[1] * mu.dim()) * eps / std
    # Antithetic draws, or a baseline from the one other draw, are right and may be noisier.
    wider = 1.5 if num_samples == 2 else 1.25
    spread = terms.std(0) / math.sqrt(num_samples)
    return Truth(terms.mean(0), wider * spread, pooled=False, least=spread)


def _score_and_slope(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
    """Differentiate f(z) log q(z) with z moving in f only."""
    leaf = mu.detach().double().requires_grad_()
    std = (0.5 * logvar.detach().double()).exp()
    z = leaf + std * torch.randn(num_samples, *mu.shape, dtype=torch.float64)
    log_q = D.Normal(leaf, std).log_prob(z.detach()).flatten(1).sum(1)
    return torch.autograd.grad((log_q * f(z)).mean(), leaf)[0]


def _mu_not_subtracted(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
    mu, variance = mu.detach().double(), logvar.detach().double().exp()
    z = mu + variance.sqrt() * torch.randn(num_samples, *mu.shape, dtype=torch.float64)
    return (f(z).reshape(-1, *[1] * mu.dim()) * z / variance).mean(0)


_SCORE = (
    Row("sign", _score(values=torch.neg), "The sign is turned."),
    Row(
        "sum_instead_of_mean",
        _score(finish=lambda f, s: (f * s).sum(0)),
        "The draws are summed. Take their mean.",
    ),
    Row(
        "divided_by_sigma",
        _score(divide=lambda v: (0.5 * v).exp()),
        "z - mu is divided by the standard deviation. The derivative of log N for mu is "
        "(z - mu) / variance.",
    ),
    Row(
        "not_divided",
        _score(divide=torch.ones_like),
        "z - mu is not divided by the variance: the derivative of log N for mu is "
        "(z - mu) / exp(logvar).",
    ),
    Row(
        "exp_forgotten",
        _score(divide=lambda v: v),
        "z - mu is divided by logvar. The variance is exp(logvar).",
    ),
    Row(
        "biased_baseline",
        _score(finish=lambda f, s: ((f - f.mean(0)) * s).mean(0)),
        "The mean of f over all draws is subtracted, the draw itself included, which shrinks the "
        "estimate by (K - 1) / K, to nothing at K = 1. Leave the draw's own value out of its "
        "baseline.",
    ),
    Row(
        "biased_baseline",
        _score(finish=lambda f, s: ((f - (f.mean(0) if len(f) > 1 else 0)) * s).mean(0)),
        "The mean of f over all draws is subtracted, the draw itself included, which shrinks the "
        "estimate by (K - 1) / K. Leave the draw's own value out of its baseline.",
    ),
    Row(
        "biased_baseline",
        _score(finish=lambda f, s: ((f - 0.5 * f.mean(0)) * s).mean(0)),
        "A part of the mean of f over all draws is subtracted, the draw itself included, which "
        "shrinks the estimate. Leave the draw's own value out of its baseline.",
    ),
    Row(
        "differentiates_f",
        _score_and_slope,
        "f is differentiated too, for its draw moves with mu. The score function needs only the "
        "values of f: detach the draw.",
    ),
    Row(
        "wrong_factor",
        _score(finish=lambda f, s: 2 * (f * s).mean(0)),
        "It is twice the right one. The derivative of log N for mu is (z - mu) / exp(logvar): the "
        "factor 1/2 of the exponent cancels the 2 of the square.",
    ),
    Row(
        "wrong_factor",
        _score(finish=lambda f, s: 0.5 * (f * s).mean(0)),
        "It is half the right "
        "one. The derivative of log N for mu is (z - mu) / exp(logvar), without a half.",
    ),
    Row(
        "divided_by_sigma_cubed",
        _score(divide=lambda v: (1.5 * v).exp()),
        "eps is divided by the variance. The derivative of log N for mu is (z - mu) / variance, "
        "which is eps / sigma.",
    ),
    Row(
        "logvar_as_std",
        _score(scale=lambda v: v, divide=torch.square),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Row(
        "logvar_as_std",
        _score(scale=lambda v: v),
        "The draws have the standard deviation logvar. It is exp(logvar / 2).",
    ),
    Row(
        "gradient_of_logvar",
        _score(divide=lambda v: (0.5 * v).exp(), finish=lambda f, s: (f * (s**2 - 1)).mean(0) / 2),
        "This is the gradient for logvar. The one for mu is asked.",
    ),
    Row(
        "latents_averaged",
        lambda f, mu, logvar, k: _score()(f, mu, logvar, k) / mu.numel(),
        "The log-density is averaged over the latents. Sum it over them.",
    ),
    Row(
        "mu_not_subtracted",
        _mu_not_subtracted,
        "z is divided by the variance. The derivative of log N for mu is (z - mu) / variance.",
    ),
    Row(
        "divided_by_one_less",
        _score(finish=lambda f, s: (f * s).sum(0) / max(len(f) - 1, 1)),
        "The sum over the draws is divided by num_samples - 1. Take the mean.",
    ),
    Row(
        "missing_f",
        _score(values=torch.ones_like),
        "f has no part in it: this is the mean score, whose expectation is zero.",
    ),
    Row(
        "product_of_means",
        _score(finish=lambda f, s: f.mean(0) * s.mean(0)),
        "The mean of f is multiplied by the mean score. Multiply draw by draw, then average.",
    ),
    Row(
        "divided_twice",
        _score(finish=lambda f, s: (f * s).mean(0) / len(f)),
        "The mean over the draws is divided by num_samples once more.",
    ),
    Row(
        "gradient_through_sample",
        _score(finish=lambda f, s: 0 * s.mean(0)),
        "The result is zero. If the log-density is differentiated at a draw that itself moves with "
        "mu, the two changes cancel: use sample() or detach() for the draw.",
    ),
    Row("one_sample", _score(draw=_one_for_all_draws), _ONE_DRAW),
    Row(
        "one_sample",
        lambda f, mu, logvar, k: _score()(f, mu, logvar, 1),
        _ONE_DRAW,
    ),
    Row(
        "variance_as_std",
        _score(scale=torch.exp),
        "The draws have the standard deviation exp(logvar), which is the variance. It is "
        "exp(logvar / 2).",
    ),
    Row(
        "variance_as_std",
        _score(scale=torch.exp, divide=lambda v: (2 * v).exp()),
        "exp(logvar) is used as the standard deviation. It is the variance: the standard deviation "
        "is exp(logvar / 2).",
    ),
    Row(
        "variance_as_std",
        _score(divide=lambda v: (2 * v).exp()),
        "z - mu is divided by exp(logvar) squared. exp(logvar) is the variance already.",
    ),
    Row(
        "not_averaged",
        _score(finish=lambda f, s: f * s),
        "You return one term for each draw. Average over the draws, the first axis.",
    ),
    Row(
        "uniform_noise",
        _score(draw=torch.rand),
        "The noise is uniform, not normal. Use torch.randn, with an n.",
    ),
    Row(
        "shared_across_latents",
        _score(draw=_one_for_all_latents),
        "All latents of a draw get the same noise. Draw noise of shape [num_samples, *mu.shape].",
    ),
    Row(
        "shared_across_batch",
        _score(draw=_one_for_rows),
        "All rows of mu get the same noise. Draw noise of shape [num_samples, *mu.shape].",
    ),
)


def _density_gradient(f: Callable, mu: Tensor, logvar: Tensor, num_samples: int) -> Tensor:
    mu, logvar = mu.detach().double(), logvar.detach().double()
    eps = torch.randn(num_samples, *mu.shape, dtype=torch.float64)
    std = (0.5 * logvar).exp()
    density = (-0.5 * eps**2 - 0.5 * math.log(2 * math.pi)).exp() / std
    density = density.flatten(1).prod(1).reshape(-1, *[1] * mu.dim())
    return (f(mu + std * eps).reshape(density.shape) * density * eps / std).mean(0)


score_function_gradient = Exercise(
    "score_function_gradient",
    _score_calls,
    Estimation(
        truth=_score_truth,
        right=_score(),
        arguments=_GRADIENT_ARGUMENTS,
        table=(
            *_SCORE,
            Row(
                "density_gradient",
                _density_gradient,
                "The gradient of the density is averaged. Under draws from the density it is the "
                "gradient of its logarithm that counts.",
            ),
        ),
        what=_WHAT,
        errors=(
            _SCALE_ERROR,
            _SHAPE_ERROR,
            (
                r"does not require grad|not have been used in the graph",
                "differentiates_f",
                "It differentiates f, which cannot be differentiated here. The score function needs "
                "only the values of f: average f(z) (z - mu) / exp(logvar).",
            ),
        ),
    ),
    hidden=_score_hidden,
)

EXERCISES = (reparameterize, pathwise_gradient, score_function_gradient, gumbel_softmax)
