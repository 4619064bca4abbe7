"""Checks of set 06: a Gaussian likelihood, its best sigma, and the beta that a loss implies."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row, Seen, crossed
from course_lib.checks.exercise import Exercise, Inputs, call, number, word
from course_lib.checks.probes.plain import tensor

LOG_2PI = math.log(2 * math.pi)

# --- gaussian_log_likelihood ---------------------------------------------------------------------


def _like(sigma: Tensor | float, x: Tensor) -> Tensor:
    """Return sigma, a number or a tensor, in the shape of x."""
    return torch.as_tensor(sigma, dtype=x.dtype).expand_as(x)


def _square(x: Tensor, mean: Tensor, sigma: Tensor | float) -> Tensor:
    return ((x - mean) / sigma) ** 2


def _gaussian_terms(x: Tensor, mean: Tensor, sigma: Tensor | float) -> Tensor:
    return -0.5 * (_square(x, mean, sigma) + LOG_2PI) - _like(sigma, x).log()


# Powers of two over small numbers: exact in float32, where learners may make a tensor of them.
_NUMBERS = (0.25, 0.375, 0.625, 1.5, 1.75)


def _gaussian_calls(inputs: Inputs) -> list[dict]:
    rows, pixels = inputs.choice(((4, 6), (3, 5), (5, 7), (4, 9)))

    def two(*shape: int, dtype: str = "float64", grad: bool = True) -> list[dict]:
        """Pixels and means that stay in [0, 1] here and there, as those of images do."""
        return [
            inputs.normal(*shape, mean=0.5, std=0.7, dtype=dtype, grad=grad),
            inputs.normal(*shape, mean=0.5, std=0.7, dtype=dtype, grad=grad),
        ]

    def sigma(*shape: int, dtype: str = "float64") -> dict:
        return inputs.between(0.3, 2.2, *shape, dtype=dtype, grad=True)

    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    return [
        call(*two(2, 3, grad=False), number(inputs.choice(_NUMBERS)), times=2),
        call(*two(rows, pixels), sigma(), weights=weights(rows), every_device=True),
        call(*two(3, 1, 2, 4), number(inputs.choice(_NUMBERS)), weights=weights(3)),
        call(*two(rows, pixels), sigma(1), weights=weights(rows)),
        call(*two(rows, pixels), sigma(pixels), weights=weights(rows)),
        call(*two(rows, pixels), sigma(rows, 1), weights=weights(rows)),
        call(
            *two(3, 5, dtype="float32"),
            sigma(3, 5, dtype="float32"),
            weights=weights(3),
        ),
        call(*two(3, 2, 4, 5), sigma(3, 2, 4, 5), weights=weights(3)),
        call(*two(2, 1, 28, 28, grad=False), sigma()),
        call(*two(3, 1, 4, 5), sigma(3, 1, 1, 1), weights=weights(3)),
        call(  # a decoder that is sure of itself
            inputs.between(0.0, 1.0, 3, 4),
            inputs.between(0.0, 1.0, 3, 4),
            inputs.between(2e-5, 1e-4, 3, 1, grad=True),
            tag="extreme",
            weights=weights(3),
        ),
        call(  # the density of an image is zero or infinite in floating point
            inputs.between(0.0, 1.0, 2, 600),
            inputs.between(0.0, 1.0, 2, 600),
            tensor([0.02, 300.0], [2, 1]),
            tag="extreme",
        ),
    ]


_GAUSSIAN = (
    Row(
        "missing_log_sigma",
        lambda x, m, s: -0.5 * (_square(x, m, s) + LOG_2PI),
        "The term -log sigma is missing. Without it a larger sigma is always better, and a sigma "
        "that is learned runs away.",
    ),
    Row(
        "variance_as_scale",
        lambda x, m, s: _gaussian_terms(x, m, s**2),
        "sigma squared is used as the standard deviation. torch.distributions.Normal takes sigma "
        "itself; in the formula the square is divided by sigma squared, once.",
    ),
    Row(
        "sigma_as_variance",
        lambda x, m, s: _gaussian_terms(x, m, s**0.5),
        "sigma is used as the variance. It is the standard deviation: the variance is sigma squared.",
    ),
    Row(
        "sigma_as_variance",
        lambda x, m, s: _gaussian_terms(x, m, s**0.5) + 0.5 * LOG_2PI,
        "sigma is used as the variance, and the constant log(2 pi) is missing. gaussian_nll_loss "
        "takes the variance, and leaves the constant out unless full=True.",
    ),
    Row(
        "missing_constant",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * LOG_2PI,
        "The constant -(1/2) log(2 pi) for each pixel is missing. gaussian_nll_loss leaves it out "
        "unless full=True.",
    ),
    Row(
        "missing_half",
        lambda x, m, s: _gaussian_terms(x, m, s) - 0.5 * _square(x, m, s),
        "The factor 1/2 before the square is missing.",
    ),
    Row("sign", lambda *a: -_gaussian_terms(*a), "The sign is turned: log p is asked, not -log p."),
    Row(
        "divided_by_sigma",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * (_square(x, m, s) - (x - m) ** 2 / s),
        "The squared difference is divided by sigma. Divide by the variance, sigma squared.",
    ),
    Row(
        "squared_error",
        lambda x, m, s: -((x - m) ** 2),
        "This is a squared error. A likelihood has sigma in it twice, in the square and as "
        "-log sigma, and the constant -(1/2) log(2 pi).",
    ),
    Row(
        "squared_error",
        lambda x, m, s: -0.5 * (x - m) ** 2,
        "This is half a squared error. A likelihood has sigma in it twice, in the square and as "
        "-log sigma, and the constant -(1/2) log(2 pi).",
    ),
    Row(
        "missing_normalizer",
        lambda x, m, s: -0.5 * _square(x, m, s),
        "Only the square is there. -log sigma and -(1/2) log(2 pi) belong to each pixel, or the "
        "density does not integrate to one.",
    ),
    Row(
        "missing_normalizer",
        lambda x, m, s: -_square(x, m, s),
        "Only the square is there, without its 1/2. -log sigma and -(1/2) log(2 pi) belong to each "
        "pixel, too.",
    ),
    Row(
        "log_sigma_weight",
        lambda x, m, s: _gaussian_terms(x, m, s) - _like(s, x).log(),
        "log sigma counts twice: it is (1/2) log(sigma squared), so the square is gone already.",
    ),
    Row(
        "log_sigma_weight",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * _like(s, x).log(),
        "log sigma counts by half. With the 1/2 in front it has to be log(sigma squared).",
    ),
    Row(
        "log_sigma_sign",
        lambda x, m, s: _gaussian_terms(x, m, s) + 2 * _like(s, x).log(),
        "log sigma has the wrong sign: a wider normal is lower, not higher.",
    ),
    Row(
        "missing_half",
        lambda x, m, s: 2 * _gaussian_terms(x, m, s),
        "Your value is twice the right one.",
    ),
    Row(
        "missing_half",
        lambda x, m, s: -(_square(x, m, s) + _like(s, x).log() + LOG_2PI),
        "The factors 1/2 are missing, before the square and before log(2 pi).",
    ),
    Row(
        "missing_half",
        lambda x, m, s: -_square(x, m, s) - _like(s, x).log(),
        "The factor 1/2 before the square is missing, and the constant log(2 pi) with it.",
    ),
    Row(
        "missing_half",
        lambda x, m, s: -_square(x, m, s) - _like(s, x).log() * 2,
        "The factor 1/2 is missing, and the constant log(2 pi) with it.",
    ),
    Row(
        "wrong_constant",
        lambda x, m, s: _gaussian_terms(x, m, s) - 0.5 * LOG_2PI,
        "The constant is log(2 pi) where (1/2) log(2 pi) is right.",
    ),
    Row(
        "wrong_constant",
        lambda x, m, s: _gaussian_terms(x, m, s) + LOG_2PI,
        "The constant has the wrong sign: -(1/2) log(2 pi) belongs to each pixel.",
    ),
    Row(
        "wrong_constant",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * (LOG_2PI - math.log(math.pi)),
        "The constant holds log(pi) where log(2 pi) is right.",
    ),
    Row(
        "wrong_constant",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * (LOG_2PI - 2 * math.pi),
        "The constant is 2 pi where its logarithm, log(2 pi), is right.",
    ),
    Row(
        "log_forgotten",
        lambda x, m, s: _gaussian_terms(x, m, s) + _like(s, x).log() - s,
        "sigma is subtracted where log sigma belongs.",
    ),
    Row(
        "square_sign",
        lambda x, m, s: _gaussian_terms(x, m, s) + _square(x, m, s),
        "The square has the wrong sign: a pixel far from its mean is less likely.",
    ),
    Row(
        "not_squared",
        lambda x, m, s: (
            _gaussian_terms(x, m, s) + 0.5 * (_square(x, m, s) - _square(x, m, s).sqrt())
        ),
        "The difference x - mean is not squared.",
    ),
    Row(
        "ignores_sigma",
        lambda x, m, s: _gaussian_terms(x, m, 1.0),
        "sigma has no part in it: this is a normal with sigma = 1.",
    ),
    Row(
        "sigma_as_log",
        lambda x, m, s: _gaussian_terms(x, m, _like(s, x).exp()),
        "exp(sigma) is used as the standard deviation. What is handed over is sigma itself, not its "
        "logarithm.",
    ),
    Row(
        "sigma_as_log",
        lambda x, m, s: _gaussian_terms(x, m, (0.5 * _like(s, x)).exp()),
        "sigma is used as if it were logvar. What is handed over is sigma itself.",
    ),
    Row(
        "probability_not_log",
        lambda *a: _gaussian_terms(*a).exp(),
        "You sum densities. Take the logarithm of each before the sum.",
    ),
    Row(
        "sigmoid_of_mean",
        lambda x, m, s: _gaussian_terms(x, torch.sigmoid(m), s),
        "A sigmoid is applied to the mean. What is handed over is the mean itself, not a logit.",
    ),
    Row(
        "clamped_mean",
        lambda x, m, s: _gaussian_terms(x, m.clamp(0, 1), s),
        "The mean is clamped to [0, 1]. A normal has its mean anywhere, and a clamp cuts the gradient.",
    ),
    Row(
        "missing_square_term",
        lambda x, m, s: -0.5 * LOG_2PI - _like(s, x).log(),
        "The term -(x - mean)^2 / (2 sigma^2) is missing.",
    ),
    Row(
        "laplace",
        lambda x, m, s: -(2 * _like(s, x)).log() - _square(x, m, s).sqrt(),
        "This is a Laplace likelihood, with the absolute difference. A Gaussian has its square.",
    ),
    Row(
        "multiplied_by_sigma",
        lambda x, m, s: _gaussian_terms(x, m, s) + 0.5 * (_square(x, m, s) - _square(x, m, 1 / s)),
        "The squared difference is multiplied by the variance. Divide by it.",
    ),
    Row(
        "means_added",
        lambda x, m, s: _gaussian_terms(x, -m, s),
        "x and mean are added. The square is of their difference.",
    ),
    Row(
        "bits",
        lambda *a: _gaussian_terms(*a) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
)


def _per_image(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1)


def _log_sigma_once(x: Tensor, mean: Tensor, sigma: Tensor | float, constants: float) -> Tensor:
    """Count log sigma and ``constants`` times (1/2) log(2 pi) once, outside the sum over pixels."""
    squares = _per_image(-0.5 * _square(x, mean, sigma))
    return squares - torch.as_tensor(sigma).log() - 0.5 * constants * LOG_2PI


_ONCE = "Every pixel brings its own, so it belongs inside the sum."
_GAUSSIAN_WHOLE = (
    Row(
        "constant_once",
        lambda x, m, s: _log_sigma_once(x, m, s, 1),
        f"log sigma and log(2 pi) are counted once, outside the sum over pixels. {_ONCE}",
    ),
    Row(
        "constant_once",
        lambda x, m, s: _log_sigma_once(x, m, s, x[0].numel()),
        f"log sigma is counted once, outside the sum over pixels. {_ONCE}",
    ),
    Row(
        "constant_once",
        lambda x, m, s: _log_sigma_once(x, m, s, 0),
        f"log sigma is counted once, outside the sum over pixels, and log(2 pi) is missing. {_ONCE}",
    ),
    Row(
        "constant_once",
        lambda x, m, s: _per_image(_gaussian_terms(x, m, s) + 0.5 * LOG_2PI) - 0.5 * LOG_2PI,
        f"The constant log(2 pi) is counted once, outside the sum over pixels. {_ONCE}",
    ),
    Row(
        "probability_not_log",
        lambda *a: _per_image(_gaussian_terms(*a)).exp(),
        "You return the density itself. Its logarithm is asked: for an image the density is zero or "
        "infinite in floating point.",
    ),
)


def _flattened_terms(x: Tensor, mean: Tensor, sigma: Tensor | float) -> Tensor:
    return -0.5 * (_square(x, mean, sigma) + LOG_2PI) - torch.as_tensor(sigma).log()


def _flattened_too_early(seen: list[Seen]) -> tuple[str, str] | None:
    """Explain values that are right except where sigma needs the axes of the image."""
    for one in seen:
        x, mean, sigma = one.args
        image = x.dim() > 2 and isinstance(sigma, Tensor) and sigma.dim() > 2
        if one.agrees:
            continue
        if not image:
            return None
        try:
            terms = _flattened_terms(x.flatten(1), mean.flatten(1), sigma)
        except RuntimeError:
            return None
        likely = [terms.sum(-1), terms.sum(1), terms.flatten(1).sum(1)]
        if not any(v.shape == one.got.shape and torch.allclose(v, one.got) for v in likely):
            return None
    return "flattened_before_sigma", _FLATTENED


_FLATTENED = (
    "Right where sigma is one number, wrong where it has the axes of an image: x is flattened before "
    "sigma meets it, and sigma of shape [B, 1, 1, 1] then no longer fits. It broadcasts against x as "
    "it is: flatten the log density, not the images."
)


def _gaussian_hidden(inputs: Inputs) -> list[dict]:
    def two(*shape: int) -> list[dict]:
        return [inputs.normal(*shape, grad=True), inputs.normal(*shape, grad=True)]

    return [
        call(
            *two(6, 3, 3, 5),
            inputs.between(0.2, 3.0, 3, 1, 1, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 6),
        ),
        call(
            *two(7, 2, 3),
            inputs.between(0.2, 3.0, 3, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 7),
        ),
        call(*two(5, 1), number(0.875), weights=inputs.away_from_zero(0.5, 1.5, 5)),
        call(*two(1, 40), number(0.0625), weights=inputs.away_from_zero(0.5, 1.5, 1)),
        call(
            *two(2, 3, 6),
            tensor([1e-3], [], grad=True),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 2),
        ),
        call(
            *two(2, 5),
            tensor([3e-5, 1e-3, 1.0, 1e3, 1e6], [5], grad=True),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 2),
        ),
    ]


_A_NUMBER = (
    "sigma may be a plain number, and this works for tensors only. torch.as_tensor(sigma, "
    "dtype=x.dtype) takes both; torch.distributions.Normal does so, too."
)
_A_TENSOR = (
    "sigma may be a tensor of many values, and math.log, float() and .item() take one, and cut its "
    "gradient besides. Use torch.log of a tensor; torch.as_tensor(sigma, dtype=x.dtype) makes one "
    "of a number."
)

gaussian_log_likelihood = Exercise(
    "gaussian_log_likelihood",
    _gaussian_calls,
    Comparison(
        truth=lambda *a: _per_image(_gaussian_terms(*a)),
        arguments=("x", "mean", "sigma"),
        table=(*crossed(_gaussian_terms, _GAUSSIAN, "rest", "pixel"), *_GAUSSIAN_WHOLE),
        what="a tensor of shape [B]",
        extreme=(
            "unstable",
            "Right on moderate inputs, wrong where sigma is small or the pixels are many. Look for a "
            "clamp, a small constant added to the variance (gaussian_nll_loss has one, its eps), or "
            "a product of densities.",
        ),
        errors=(
            (
                r"must be Tensor, not (float|int)|'(float|int)' object has no attribute",
                "sigma_is_a_number",
                _A_NUMBER,
            ),
            (
                r"only one element tensors|a Tensor with \d+ elements cannot be converted"
                r"|only integer tensors of a single|only length-1 arrays"
                r"|Boolean value of Tensor",
                "sigma_is_a_tensor",
                _A_TENSOR,
            ),
            (
                r"(size|shape).* (must match|of tensor|mismatch)|var is of incorrect size"
                r"|not broadcastable|incompatible",
                "shape_of_sigma",
                "sigma may have any shape that broadcasts against x: one number, one for each pixel "
                "([D]), one for each example ([B, 1]) or one for each image ([B, 1, 1, 1]). Leave x "
                "as it is until sigma has met it, or expand sigma to the shape of x.",
            ),
        ),
        fallback=_flattened_too_early,
    ),
    hidden=_gaussian_hidden,
)

# --- optimal_sigma -------------------------------------------------------------------------------


def _mse(x: Tensor, mean: Tensor) -> Tensor:
    return ((x - mean) ** 2).mean()


def _optimal_calls(inputs: Inputs) -> list[dict]:
    rows, pixels = inputs.choice(((4, 6), (3, 5), (5, 7), (4, 9)))
    one = tensor([inputs.choice((-1, 1)) * inputs.uniform(0.5, 1.5)], [])
    signs = itertools.cycle((1, -1))

    def two(*shape: int, size: float = 0.5, dtype: str = "float64", grad: bool = True) -> list:
        """Images that differ in how far they are from their means, and a shift common to all."""
        x = inputs.normal(*shape, mean=0.5, std=0.4, dtype=dtype, grad=grad)
        per_image = len(x["data"]) // shape[0]
        far = [size * (0.4 + 1.2 * b / shape[0]) for b in range(shape[0])]
        shift = next(signs) * 0.5 * size
        mean = [v + shift + inputs.gauss(0, far[k // per_image]) for k, v in enumerate(x["data"])]
        return [x, tensor(mean, list(shape), dtype, grad=grad)]

    return [
        call(*two(2, 3, grad=False), times=2),
        call(*two(rows, pixels), weights=one, every_device=True),
        call(*two(3, 5, dtype="float32"), weights=one),
        call(*two(3, 1, 4, 5), weights=one),
        call(*two(rows, pixels, size=2.5), weights=one),
        call(*two(2, 1, 28, 28, size=0.2, grad=False)),
        call(*two(1, 4), weights=one),
        call(*two(3, 4, size=2e-4), tag="extreme", weights=one),
        call(*two(2, 5, size=2e-4, dtype="float64", grad=False), tag="extreme"),
    ]


def _flat(x: Tensor, mean: Tensor) -> Tensor:
    return (x - mean).flatten(1)


_OPTIMAL = (
    Row(
        "mse_instead_of_root",
        _mse,
        "This is the mean squared error, the best variance. sigma is its square root.",
    ),
    Row(
        "per_example",
        lambda x, m: _flat(x, m).square().mean(1).sqrt(),
        "You return one sigma per example. One sigma for the whole batch is asked: average the "
        "squares over examples and pixels.",
    ),
    Row(
        "per_pixel",
        lambda x, m: (x - m).square().mean(0).sqrt(),
        "You return one sigma per pixel. One sigma for the whole batch is asked: average the squares "
        "over examples and pixels.",
    ),
    Row(
        "root_before_mean",
        lambda x, m: _flat(x, m).square().mean(1).sqrt().mean(),
        "The root is taken for each example, and then averaged. Average the squares over everything "
        "first, and take the root last.",
    ),
    Row(
        "root_before_mean",
        lambda x, m: (x - m).square().mean(0).sqrt().mean(),
        "The root is taken for each pixel, and then averaged. Average the squares over everything "
        "first, and take the root last.",
    ),
    Row(
        "summed_over_pixels",
        lambda x, m: _flat(x, m).square().sum(1).mean().sqrt(),
        "The squares are summed over the pixels, or their sum is divided by the batch size only. "
        "There is one sigma for all pixels: average over examples and pixels, x.numel() in all.",
    ),
    Row(
        "summed_over_pixels",
        lambda x, m: _flat(x, m).square().sum(1).mean(),
        "The squares are summed over the pixels, and the root is missing. Average over examples and "
        "pixels.",
    ),
    Row(
        "summed_over_batch",
        lambda x, m: (x - m).square().sum().sqrt(),
        "The squares are summed. Average them over examples and pixels.",
    ),
    Row(
        "summed_over_batch",
        lambda x, m: (x - m).square().sum(),
        "The squares are summed, and the root is missing. Average over examples and pixels.",
    ),
    Row(
        "unbiased",
        lambda x, m: ((x - m).square().sum() / (x.numel() - 1)).sqrt(),
        "The sum of squares is divided by n - 1. The likelihood is largest with n: the mean is given "
        "here, and not estimated from the same numbers.",
    ),
    Row(
        "std_of_residuals",
        lambda x, m: (x - m).std(),
        "This is the standard deviation of x - mean, which subtracts the average of the differences "
        "first. The squared differences themselves are averaged.",
    ),
    Row(
        "std_of_residuals",
        lambda x, m: (x - m).std(unbiased=False),
        "This is the standard deviation of x - mean, which subtracts the average of the differences "
        "first. The squared differences themselves are averaged.",
    ),
    Row(
        "std_of_residuals",
        lambda x, m: (x - m).var(),
        "This is the variance of x - mean, which subtracts the average of the differences first, and "
        "the root is missing.",
    ),
    Row(
        "std_of_residuals",
        lambda x, m: (x - m).var(unbiased=False),
        "This is the variance of x - mean, which subtracts the average of the differences first, and "
        "the root is missing.",
    ),
    Row(
        "std_of_data",
        lambda x, m: x.std() + 0 * m.sum(),
        "This is the standard deviation of the pixels. What counts is how far they are from mean.",
    ),
    Row(
        "std_of_data",
        lambda x, m: x.std(unbiased=False) + 0 * m.sum(),
        "This is the standard deviation of the pixels. What counts is how far they are from mean.",
    ),
    Row(
        "absolute_error",
        lambda x, m: (x - m).abs().mean(),
        "This is the mean absolute error, the best scale of a Laplace. A Gaussian wants the root of "
        "the mean square.",
    ),
    Row(
        "absolute_error",
        lambda x, m: (x - m).abs().mean().sqrt(),
        "The differences are not squared: this is the root of the mean absolute error.",
    ),
    Row(
        "half_inside",
        lambda x, m: (0.5 * _mse(x, m)).sqrt(),
        "The mean square is halved. Set the derivative of the log-likelihood to zero: the 1/2 "
        "cancels.",
    ),
    Row(
        "half_inside",
        lambda x, m: 0.5 * _mse(x, m).sqrt(),
        "The root is halved. Set the derivative of the log-likelihood to zero: the 1/2 cancels.",
    ),
    Row(
        "half_inside",
        lambda x, m: 0.5 * _mse(x, m),
        "This is half the mean squared error. sigma is the root of the mean squared error.",
    ),
    Row(
        "doubled",
        lambda x, m: (2 * _mse(x, m)).sqrt(),
        "The mean square is doubled. Set the derivative of the log-likelihood to zero: the 2 cancels.",
    ),
    Row(
        "log_sigma",
        lambda x, m: 0.5 * _mse(x, m).log(),
        "This is log sigma. sigma itself is asked.",
    ),
    Row("log_sigma", lambda x, m: _mse(x, m).log(), "This is log sigma squared. sigma is asked."),
    Row(
        "precision",
        lambda x, m: _mse(x, m).rsqrt(),
        "This is 1 / sigma. Take the root, not its inverse.",
    ),
    Row("precision", lambda x, m: 1 / _mse(x, m), "This is 1 / sigma squared, the precision."),
    Row(
        "squared_again", lambda x, m: _mse(x, m) ** 2, "The mean square is squared. Take its root."
    ),
    Row(
        "divided_by_root",
        lambda x, m: _mse(x, m).sqrt() / math.sqrt(x.numel()),
        "The root is divided once more by the root of the number of pixels: this is a standard error.",
    ),
    Row(
        "not_squared",
        lambda x, m: (x - m).mean(),
        "The differences are not squared before the mean.",
    ),
    Row(
        "not_squared",
        lambda x, m: (x - m).mean().sqrt(),
        "The differences are not squared before the mean, so that they cancel.",
    ),
    Row(
        "not_squared",
        lambda x, m: (m - x).mean().sqrt(),
        "The differences are not squared before the mean, so that they cancel.",
    ),
    Row("sign", lambda x, m: -_mse(x, m).sqrt(), "The sign is turned: sigma is positive."),
    Row(
        "not_reduced",
        lambda x, m: (x - m).abs(),
        "Nothing is averaged: the root of each square is its absolute value. Average the squares "
        "first.",
    ),
    Row(
        "not_reduced",
        lambda x, m: (x - m).square(),
        "Nothing is averaged. Average the squares over examples and pixels, then take the root.",
    ),
    Row(
        "per_example",
        lambda x, m: _flat(x, m).square().mean(1),
        "You return the mean square of each example. Average over the batch too, and take the root.",
    ),
    Row(
        "per_example",
        lambda x, m: _flat(x, m).square().sum(1).sqrt(),
        "You return one value per example, from a sum over pixels. Average over everything.",
    ),
    Row(
        "per_pixel",
        lambda x, m: (x - m).square().mean(0),
        "You return the mean square of each pixel. Average over the pixels too, and take the root.",
    ),
    Row(
        "mean_over_last_axis",
        lambda x, m: (x - m).square().mean(-1).sqrt(),
        "The mean is over the last axis only. Average over all axes.",
    ),
    Row(
        "relative",
        lambda x, m: _mse(x, m).sqrt() / x.std(),
        "The root is divided by the spread of the pixels. sigma is in units of the pixels.",
    ),
)


def _optimal_hidden(inputs: Inputs) -> list[dict]:
    one = tensor([inputs.uniform(0.5, 1.5)], [])

    def two(*shape: int, std: float) -> list[dict]:
        return [
            inputs.normal(*shape, std=std, grad=True),
            inputs.normal(*shape, mean=0.6 * std, std=std, grad=True),
        ]

    return [
        call(*two(7, 3, 2, 5, std=1.0), weights=one),
        call(*two(5, 1, std=0.3), weights=one),
        call(*two(2, 3, 4, std=40.0), weights=one),
        call(*two(4, 3, std=1e-5), tag="extreme", weights=one),
    ]


optimal_sigma = Exercise(
    "optimal_sigma",
    _optimal_calls,
    Comparison(
        truth=lambda x, m: _mse(x, m).sqrt(),
        arguments=("x", "mean"),
        table=_OPTIMAL,
        what="a scalar tensor (shape [])",
        extreme=(
            "unstable",
            "Right on moderate inputs, wrong where x is close to mean and sigma is small. Look for a "
            "clamp or a small constant: here the formula alone is asked.",
        ),
    ),
    hidden=_optimal_hidden,
)

# --- implied_beta --------------------------------------------------------------------------------

_WORDS = ("sum", "mean")


def _scalar(value: float) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def _beta(pixels: str, kl: str, D: float, L: float) -> Tensor:
    return _scalar((D if pixels == "mean" else 1) / (L if kl == "mean" else 1))


def _beta_calls(inputs: Inputs) -> list[dict]:
    # Apart from the usual pair no multiples of each other, and D above L and below it.
    latents = inputs.randint(5, 13)
    pixels = latents * inputs.randint(8, 30) + inputs.randint(1, latents - 1)
    sizes = [(784, 16), (pixels, latents), (inputs.randint(11, 19), inputs.randint(21, 60))]
    made = []
    for index, (pixels, latents) in enumerate(sizes):
        for pixel_reduction in _WORDS:
            for kl_reduction in _WORDS:
                made.append(
                    call(
                        word(pixel_reduction),
                        word(kl_reduction),
                        number(pixels),
                        number(latents),
                        times=2 if index == 0 else 1,
                    )
                )
    return made[4:] + made[:4]


def _row(mistake: str, formula, sentence: str) -> Row:
    return Row(
        mistake, lambda p, k, D, L: _scalar(formula(p == "mean", k == "mean", D, L)), sentence
    )


_BETA = (
    _row(
        "inverted",
        lambda p, k, D, L: (L if k else 1) / (D if p else 1),
        "This is 1 / beta. Multiply the loss by what makes the distortion whole, a sum over pixels; "
        "beta is what then stands before the sum over latents.",
    ),
    _row(
        "product",
        lambda p, k, D, L: (D if p else 1) * (L if k else 1),
        "A mean over the latents multiplies beta by L here. It divides the rate by L: that lowers "
        "beta, while a mean over the pixels raises it.",
    ),
    _row(
        "product",
        lambda p, k, D, L: 1 / ((D if p else 1) * (L if k else 1)),
        "Both means divide beta here. A mean over the pixels makes the distortion small, so the rate "
        "weighs more: that raises beta.",
    ),
    _row(
        "ignores_kl_reduction",
        lambda p, k, D, L: D if p else 1,
        "kl_reduction has no part in it. A mean over the L latents divides the rate by L.",
    ),
    _row(
        "ignores_kl_reduction",
        lambda p, k, D, L: 1 / (D if p else 1),
        "kl_reduction has no part in it, and D is on the wrong side: a mean over the pixels makes "
        "the distortion small, so that the rate weighs more.",
    ),
    _row(
        "ignores_pixel_reduction",
        lambda p, k, D, L: 1 / (L if k else 1),
        "pixel_reduction has no part in it. A mean over the D pixels divides the distortion by D, so "
        "that the rate weighs D times as much beside it.",
    ),
    _row(
        "ignores_pixel_reduction",
        lambda p, k, D, L: L if k else 1,
        "pixel_reduction has no part in it, and L is on the wrong side: a mean over the latents "
        "divides the rate.",
    ),
    _row(
        "always_one",
        lambda p, k, D, L: 1,
        "beta is always 1 here. Only two sums give 1: a mean divides its term, and the other term "
        "then weighs more.",
    ),
    _row(
        "always_d_over_l",
        lambda p, k, D, L: D / L,
        "This is D / L whatever the reductions are. It belongs to two means.",
    ),
    _row("always_d_over_l", lambda p, k, D, L: L / D, "This is L / D whatever the reductions are."),
    _row("always_d_over_l", lambda p, k, D, L: D, "This is D whatever the reductions are."),
    _row("always_d_over_l", lambda p, k, D, L: 1 / L, "This is 1 / L whatever the reductions are."),
    _row(
        "sum_and_mean_swapped",
        lambda p, k, D, L: (1 if p else D) / (1 if k else L),
        '"sum" and "mean" are taken for each other: a sum leaves its term whole, a mean divides it.',
    ),
    _row(
        "sum_and_mean_swapped",
        lambda p, k, D, L: (1 if k else L) / (1 if p else D),
        '"sum" and "mean" are taken for each other, and the quotient is turned around.',
    ),
    _row(
        "d_and_l_swapped",
        lambda p, k, D, L: (L if p else 1) / (D if k else 1),
        "D and L are swapped: D counts the pixels, L the latents.",
    ),
    _row(
        "arguments_swapped",
        lambda p, k, D, L: (D if k else 1) / (L if p else 1),
        "The two reductions are swapped: pixel_reduction comes first, kl_reduction second.",
    ),
    _row(
        "arguments_swapped",
        lambda p, k, D, L: (L if p else 1) * (D if k else 1),
        "The reductions, or D and L, are swapped, and one of them is on the wrong side.",
    ),
    _row(
        "both_means_cancel",
        lambda p, k, D, L: 1 if p == k else D if p else 1 / L,
        "Two means do not cancel: the one divides by the D pixels, the other by the L latents. What "
        "is left is D / L.",
    ),
    _row(
        "numbers_fixed",
        lambda p, k, D, L: (784 if p else 1) / (L if k else 1),
        "784 is written into the code. Use D: other images have other numbers of pixels.",
    ),
    _row(
        "numbers_fixed",
        lambda p, k, D, L: (784 if p else 1) / (16 if k else 1),
        "784 and 16 are written into the code. Use D and L.",
    ),
    _row(
        "whole_division",
        lambda p, k, D, L: (D if p else 1) // (L if k else 1),
        "// cuts off what is behind the decimal point, and makes 0 of 1 / L. Use /.",
    ),
    _row(
        "logarithm",
        lambda p, k, D, L: math.log(D if p else 1) - math.log(L if k else 1),
        "This is log beta. beta itself is asked.",
    ),
    _row(
        "square_root",
        lambda p, k, D, L: ((D if p else 1) / (L if k else 1)) ** 0.5,
        "This is the square root of beta.",
    ),
    _row(
        "difference",
        lambda p, k, D, L: (D if p else 1) - (L if k else 1),
        "The two factors are subtracted. beta is their quotient.",
    ),
    _row(
        "share",
        lambda p, k, D, L: (1 / (L if k else 1)) / (1 / (L if k else 1) + 1 / (D if p else 1)),
        "This is the share of the rate in both weights. beta is the weight of the rate beside a "
        "distortion of weight 1: their quotient.",
    ),
    _row("sign", lambda p, k, D, L: -(D if p else 1) / (L if k else 1), "The sign is turned."),
)


def _one_case(seen: list[Seen]) -> tuple[str, str] | None:
    """Name the cases that are wrong, where others are right."""
    wrong = {tuple(one.args[:2]) for one in seen if not one.agrees}
    right = {tuple(one.args[:2]) for one in seen} - wrong
    if not wrong or len(right) < 2 or wrong & {tuple(o.args[:2]) for o in seen if o.agrees}:
        return None
    cases = " and ".join(f"pixel_reduction={p!r}, kl_reduction={k!r}" for p, k in sorted(wrong))
    return (
        "one_case_wrong",
        f"Right in some cases, wrong for {cases}. Write down the weight of each term after its "
        "reduction, 1 or 1/D before the distortion and 1 or 1/L before the rate, and divide.",
    )


def _beta_hidden(inputs: Inputs) -> list[dict]:
    pixels, latents = inputs.randint(2000, 5000), inputs.randint(30, 90)
    return [
        call(word(p), word(k), number(d), number(l))
        for d, l in ((pixels, latents), (3, 128), (49, 1), (1, 10))
        for p in _WORDS
        for k in _WORDS
    ]


implied_beta = Exercise(
    "implied_beta",
    _beta_calls,
    Comparison(
        truth=_beta,
        arguments=("pixel_reduction", "kl_reduction", "D", "L"),
        table=_BETA,
        what="a number",
        fallback=_one_case,
    ),
    hidden=_beta_hidden,
)

EXERCISES = (gaussian_log_likelihood, optimal_sigma, implied_beta)
