"""Checks of set 02: two log-likelihoods, the log of a mean, and the ELBO of a discrete latent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, logsigmoid, one_hot, softplus

from course_lib.checks.comparing import Comparison, Row, crossed
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.plain import tensor

LOG_2PI = math.log(2 * math.pi)

# --- log_bernoulli -------------------------------------------------------------------------------


def _log_bernoulli_terms(logits: Tensor, x: Tensor) -> Tensor:
    return x * logits - softplus(logits)


def _log_bernoulli_calls(inputs: Inputs) -> list[dict]:
    rows, pixels = inputs.randint(3, 4), inputs.randint(5, 8)
    extremes = [100.0, -100.0, 60.0, -60.0, 38.0, -38.0, 25.0, -25.0]
    signs = [float(k % 4 < 2) for k in range(2 * len(extremes))]

    def extreme(dtype: str) -> dict:
        return call(
            tensor(extremes * 2, [2, 8], dtype, grad=True),
            tensor(signs, [2, 8], dtype),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 2),
        )

    return [
        call(inputs.normal(2, 3, std=1.5), tensor([1.0, 0.0, 1.0, 0.0, 1.0, 1.0], [2, 3]), times=2),
        call(
            inputs.normal(rows, pixels, std=2.0, grad=True),
            inputs.bits(rows, pixels, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, rows),
            every_device=True,
        ),
        call(
            inputs.normal(3, 1, 4, 5, std=2.0, dtype="float32", grad=True),
            inputs.bits(3, 1, 4, 5, dtype="float32"),
            weights=inputs.away_from_zero(0.5, 1.5, 3),
        ),
        call(inputs.normal(2, 1, 28, 28, std=3.0), inputs.bits(2, 1, 28, 28)),
        call(inputs.normal(1, 3, 4, std=2.0), inputs.bits(1, 3, 4)),
        call(inputs.between(0.1, 0.9, 3, 4), inputs.bits(3, 4)),  # these could be probabilities
        extreme("float64"),
        extreme("float32"),
    ]


_LOG_BERNOULLI = (
    Row(
        "sign",
        lambda logits, x: -_log_bernoulli_terms(logits, x),
        "You return the cross-entropy, which is minus the log-likelihood. Turn the sign.",
    ),
    Row(
        "swapped_arguments",
        lambda logits, x: _log_bernoulli_terms(x, logits),
        "The two arguments are swapped: x stands where the logits belong. In "
        "binary_cross_entropy_with_logits the logits come first.",
    ),
    Row(
        "sigmoid_twice",
        lambda logits, x: _log_bernoulli_terms(torch.sigmoid(logits), x),
        "A sigmoid is applied twice: once by you, and once inside the function that takes logits.",
    ),
    Row(
        "logits_as_probabilities",
        lambda logits, x: x * torch.log(logits) + (1 - x) * torch.log(1 - logits),
        "The logits are used as if they were probabilities.",
    ),
    Row(
        "logits_as_probabilities",
        lambda logits, x: -binary_cross_entropy(logits.clamp(0, 1), x, reduction="none"),
        "The logits are clamped to [0, 1] and used as if they were probabilities.",
    ),
    Row(
        "swapped_arguments",
        lambda logits, x: _log_bernoulli_terms(x, torch.sigmoid(logits)),
        "The two arguments are swapped, and a sigmoid stands before the logits.",
    ),
    Row(
        "swapped_arguments",
        lambda logits, x: -binary_cross_entropy(x, torch.sigmoid(logits), reduction="none"),
        "The two arguments are swapped: x stands where the probabilities belong.",
    ),
    Row(
        "activation_before",
        lambda logits, x: _log_bernoulli_terms(torch.tanh(logits), x),
        "A tanh is applied to the logits. They are log odds already: use them as they are.",
    ),
    Row(
        "activation_before",
        lambda logits, x: _log_bernoulli_terms(torch.relu(logits), x),
        "A ReLU is applied to the logits. They are log odds already: use them as they are.",
    ),
    Row(
        "activation_before",
        lambda logits, x: -binary_cross_entropy((torch.tanh(logits) + 1) / 2, x, reduction="none"),
        "The probability is sigmoid(logits), and a tanh stands in its place.",
    ),
    Row(
        "missing_zero_pixels",
        lambda logits, x: x * logsigmoid(logits),
        "Only the pixels with x = 1 count. Add (1 - x) log(1 - p) for the others.",
    ),
    Row(
        "missing_one_pixels",
        lambda logits, x: (1 - x) * logsigmoid(-logits),
        "Only the pixels with x = 0 count. Add x log p for the others.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -((torch.sigmoid(logits) - x) ** 2),
        "This is a squared error between pixels and probabilities, not a Bernoulli log-likelihood.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -((logits - x) ** 2),
        "This is a squared error between pixels and logits, not a Bernoulli log-likelihood.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -0.5 * ((torch.sigmoid(logits) - x) ** 2),
        "This is a squared error between pixels and probabilities, not a Bernoulli log-likelihood.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -0.5 * (logits - x) ** 2,
        "This is a squared error between pixels and logits, not a Bernoulli log-likelihood.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -0.5 * ((torch.sigmoid(logits) - x) ** 2 + LOG_2PI),
        "This is the log-likelihood of a normal around the probabilities, not of a Bernoulli.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -0.5 * ((logits - x) ** 2 + LOG_2PI),
        "This is the log-likelihood of a normal around the logits, not of a Bernoulli.",
    ),
    Row(
        "squared_error",
        lambda logits, x: -(torch.sigmoid(logits) - x).abs(),
        "This is the distance between pixels and probabilities, not a Bernoulli log-likelihood.",
    ),
    Row(
        "one_term_sign",
        lambda logits, x: x * logsigmoid(logits) - (1 - x) * logsigmoid(-logits),
        "The two terms are subtracted: x log p and (1 - x) log(1 - p) are added.",
    ),
    Row(
        "missing_normalizer",
        lambda logits, x: x * logits,
        "The term - log(1 + exp(logits)) is missing, so the two probabilities do not sum to one.",
    ),
    Row(
        "logits_sign",
        lambda logits, x: _log_bernoulli_terms(-logits, x),
        "The logits have the wrong sign: this is the likelihood of the inverted image.",
    ),
    Row(
        "softplus_sign",
        lambda logits, x: x * logits - softplus(-logits),
        "The argument of the softplus has the wrong sign: log(1 + exp(logits)) is needed.",
    ),
    Row(
        "bits",
        lambda logits, x: _log_bernoulli_terms(logits, x) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
    Row(
        "probability_not_log",
        lambda logits, x: torch.exp(_log_bernoulli_terms(logits, x)),
        "You sum probabilities. Take the logarithm of each before the sum.",
    ),
)
_LIKELIHOOD_NOT_LOG = Row(
    "probability_not_log",
    lambda logits, x: _log_bernoulli_terms(logits, x).flatten(1).sum(1).exp(),
    "You return the likelihood itself. Leave it in logarithms: for an image it underflows to zero.",
)


def _log_bernoulli_hidden(inputs: Inputs) -> list[dict]:
    far = [inputs.choice((-100.0, 100.0)) for _ in range(12)]
    return [
        call(
            inputs.normal(6, 2, 9, std=2.0, grad=True),
            inputs.bits(6, 2, 9),
            weights=inputs.away_from_zero(0.5, 1.5, 6),
        ),
        call(inputs.normal(4, 3, 5, 7, std=2.0), inputs.bits(4, 3, 5, 7)),
        call(
            tensor(far, [3, 2, 2], grad=True),
            inputs.bits(3, 2, 2),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 3),
        ),
    ]


log_bernoulli = Exercise(
    "log_bernoulli",
    _log_bernoulli_calls,
    Comparison(
        truth=lambda logits, x: _log_bernoulli_terms(logits, x).flatten(1).sum(1),
        arguments=("logits", "x"),
        table=(
            *crossed(_log_bernoulli_terms, _LOG_BERNOULLI, "rest", "pixel"),
            _LIKELIHOOD_NOT_LOG,
        ),
        what="a tensor of shape [B]",
        extreme=(
            "unstable",
            "Right on moderate logits, wrong on large ones: in floating point sigmoid(40) is 1, and "
            "the log of 1 - 1 is lost. A clamp or a small constant hides this without mending it. "
            "Work with the logits: softplus, logsigmoid or a function that takes logits.",
        ),
        errors=(
            (
                r"between 0 and 1|argument probs|Expected parameter probs",
                "logits_as_probabilities",
                "A function that takes probabilities got the logits. Use the one that takes logits.",
            ),
            (
                r"argument logits .*GreaterThan|support \(Boolean|support.*Boolean",
                "swapped_arguments",
                "The two arguments are swapped: x stands where the logits belong.",
            ),
        ),
        optional=("x",),  # pixels are data: no contract asks how the value changes with them
    ),
    hidden=_log_bernoulli_hidden,
)

# --- log_normal ----------------------------------------------------------------------------------


def _log_normal_terms(x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar.exp())


def _log_normal_calls(inputs: Inputs) -> list[dict]:
    rows, latents = inputs.randint(4, 5), inputs.choice((3, 6, 7))

    def three(b: int, l: int, spread: float, dtype: str = "float64", grad: bool = False) -> list:
        return [
            inputs.normal(b, l, dtype=dtype, grad=grad),
            inputs.normal(b, l, dtype=dtype, grad=grad),
            inputs.away_from_zero(0.4, spread, b, l, dtype=dtype, grad=grad),
        ]

    return [
        call(*three(2, 3, 1.5), times=2),
        call(
            *three(rows, latents, 2.0, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, rows),
            every_device=True,
        ),
        call(*three(3, 5, 2.0, "float32", grad=True), weights=inputs.away_from_zero(0.5, 1.5, 3)),
        call(inputs.normal(3, 4), inputs.normal(3, 4), inputs.between(0.4, 2.0, 3, 4)),
        call(  # in float32 the difference x - mu would be lost
            inputs.normal(3, 4, mean=40.0, std=0.05),
            inputs.normal(3, 4, mean=40.0, std=0.05),
            inputs.between(-6.5, -5.5, 3, 4),
            tag="extreme",
        ),
        call(  # the density is zero in floating point
            inputs.normal(2, 20, std=15.0),
            inputs.normal(2, 20),
            inputs.between(0.0, 1.0, 2, 20),
            tag="extreme",
        ),
        call(
            tensor([0.5, -1.0, 3.0, 0.0, 9e3], [1, 5]),
            tensor([0.5 - 1e-2, 2.0, 3.0, 0.0, -9e3], [1, 5]),
            tensor([-9.0, 9.0, -8.0, -32.0, 22.0], [1, 5]),
            tag="extreme",
        ),
    ]


_LOG_NORMAL = (
    Row(
        "missing_half",
        lambda x, mu, logvar: 2 * _log_normal_terms(x, mu, logvar),
        "The factor 1/2 is missing: your value is twice the right one.",
    ),
    Row(
        "sign", lambda *a: -_log_normal_terms(*a), "The sign is turned: log N is asked, not -log N."
    ),
    Row(
        "missing_constant",
        lambda x, mu, logvar: _log_normal_terms(x, mu, logvar) + 0.5 * LOG_2PI,
        "The constant -(1/2) log(2 pi) for each latent is missing.",
    ),
    Row(
        "variance_as_scale",
        lambda x, mu, logvar: _log_normal_terms(x, mu, 2 * logvar),
        "exp(logvar) is used as the standard deviation. It is the variance: the standard deviation "
        "is exp(logvar / 2).",
    ),
    Row(
        "exp_forgotten",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / logvar),
        "logvar is used as the variance: the exponential is forgotten.",
    ),
    Row(
        "exp_forgotten",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + torch.log(logvar) + (x - mu) ** 2 / logvar),
        "logvar is used as the variance: the exponential is forgotten.",
    ),
    Row(
        "exp_forgotten",
        lambda x, mu, logvar: _log_normal_terms(x, mu, 2 * torch.log(logvar)),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Row(
        "missing_logvar_term",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + (x - mu) ** 2 / logvar.exp()),
        "The term -(1/2) logvar is missing, so the density does not integrate to one.",
    ),
    Row(
        "logvar_sign",
        lambda x, mu, logvar: -0.5 * (LOG_2PI - logvar + (x - mu) ** 2 / logvar.exp()),
        "The logvar term has the wrong sign: a wider normal is lower, not higher.",
    ),
    Row(
        "logvar_not_halved",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + (x - mu) ** 2 / logvar.exp()) - logvar,
        "The term is log sigma = logvar / 2, and logvar stands there whole.",
    ),
    Row(
        "logvar_not_halved",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + 0.5 * logvar + (x - mu) ** 2 / logvar.exp()),
        "logvar is halved twice: once as log sigma, and once by the factor 1/2 in front.",
    ),
    Row(
        "precision_for_variance",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 * logvar.exp()),
        "The squared difference is multiplied by the variance. Divide by it.",
    ),
    Row(
        "divided_by_sigma",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar + (x - mu) ** 2 / (0.5 * logvar).exp()),
        "The squared difference is divided by sigma. Divide by the variance, exp(logvar).",
    ),
    Row(
        "not_squared",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar + (x - mu).abs() / logvar.exp()),
        "The difference x - mu is not squared.",
    ),
    Row(
        "not_squared",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar + (x - mu) / logvar.exp()),
        "The difference x - mu is not squared.",
    ),
    Row(
        "half_misplaced",
        lambda x, mu, logvar: -0.5 * (x - mu) ** 2 / logvar.exp() - logvar - LOG_2PI,
        "The factor 1/2 belongs to all three terms, and stands before the square only.",
    ),
    Row(
        "missing_square_term",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + logvar),
        "The term -(x - mu)^2 / (2 variance) is missing.",
    ),
    Row(
        "ignores_logvar",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + (x - mu) ** 2),
        "logvar has no part in it: this is a normal with variance 1.",
    ),
    Row(
        "ignores_logvar",
        lambda x, mu, logvar: -0.5 * (x - mu) ** 2,
        "This is a squared error: logvar and the constant have no part in it.",
    ),
    Row(
        "ignores_logvar",
        lambda x, mu, logvar: -((x - mu) ** 2),
        "This is a squared error: logvar and the constant have no part in it.",
    ),
    Row(
        "sign",
        lambda x, mu, logvar: 0.5 * (logvar + (x - mu) ** 2 / logvar.exp()),
        "The sign is turned, and the constant is missing (gaussian_nll_loss leaves it out).",
    ),
    Row(
        "missing_constant",
        lambda x, mu, logvar: -0.5 * (x - mu) ** 2 / logvar.exp(),
        "The normalization is missing: -(1/2)(log(2 pi) + logvar) for each latent.",
    ),
    Row(
        "wrong_constant",
        lambda x, mu, logvar: _log_normal_terms(x, mu, logvar) - 0.5 * LOG_2PI,
        "The constant is log(2 pi) where (1/2) log(2 pi) is right.",
    ),
    Row(
        "wrong_constant",
        lambda x, mu, logvar: (
            _log_normal_terms(x, mu, logvar) + 0.5 * (LOG_2PI - math.log(math.pi))
        ),
        "The constant holds log(pi) where log(2 pi) is right.",
    ),
    Row(
        "probability_not_log",
        lambda *a: _log_normal_terms(*a).exp(),
        "You sum densities. Take the logarithm of each before the sum.",
    ),
    Row(
        "swapped_arguments",
        lambda x, mu, logvar: _log_normal_terms(x, logvar, mu),
        "mu and logvar are swapped.",
    ),
    Row(
        "wrong_constant",
        lambda *a: _log_normal_terms(*a) + LOG_2PI,
        "The constant has the wrong sign: -(1/2) log(2 pi) belongs to each latent.",
    ),
    Row(
        "wrong_constant",
        lambda *a: _log_normal_terms(*a) + 0.5 * (LOG_2PI - 2 * math.pi),
        "The constant is 2 pi where its logarithm, log(2 pi), is right.",
    ),
    Row(
        "wrong_constant",
        lambda *a: _log_normal_terms(*a) + 0.5 * (LOG_2PI - math.log10(2 * math.pi)),
        "The constant is a logarithm to the base 10. Take the natural one.",
    ),
    Row(
        "half_misplaced",
        lambda x, mu, logvar: _log_normal_terms(x, mu, logvar) - 0.5 * (x - mu) ** 2 / logvar.exp(),
        "The factor 1/2 does not reach the square. Put brackets around all three terms.",
    ),
    Row(
        "half_misplaced",
        lambda x, mu, logvar: 2 * _log_normal_terms(x, mu, logvar) + 0.5 * LOG_2PI,
        "The factor 1/2 reaches the constant only. Put brackets around all three terms.",
    ),
    Row(
        "square_sign",
        lambda x, mu, logvar: _log_normal_terms(x, mu, logvar) + (x - mu) ** 2 / logvar.exp(),
        "The square has the wrong sign: a point far from mu is less likely.",
    ),
    Row(
        "means_added",
        lambda x, mu, logvar: _log_normal_terms(x, -mu, logvar),
        "x and mu are added. The square is of their difference.",
    ),
    Row(
        "std_for_variance",
        lambda x, mu, logvar: _log_normal_terms(x, mu, 0.5 * logvar),
        "The standard deviation exp(logvar / 2) stands where the variance exp(logvar) belongs.",
    ),
    Row(
        "exp_forgotten",
        lambda x, mu, logvar: _log_normal_terms(x, mu, 2 * torch.log(logvar.abs())),
        "logvar is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Row(
        "softplus_for_exp",
        lambda x, mu, logvar: _log_normal_terms(x, mu, 2 * torch.log(softplus(logvar))),
        "softplus(logvar) is used as the standard deviation, which is exp(logvar / 2).",
    ),
    Row(
        "softplus_for_exp",
        lambda x, mu, logvar: _log_normal_terms(x, mu, torch.log(softplus(logvar))),
        "softplus(logvar) is used as the variance, which is exp(logvar).",
    ),
    Row(
        "relu_before",
        lambda x, mu, logvar: _log_normal_terms(x, mu, torch.relu(logvar)),
        "A ReLU is applied to logvar, which may well be negative.",
    ),
    Row(
        "relu_before",
        lambda x, mu, logvar: _log_normal_terms(x, torch.relu(mu), logvar),
        "A ReLU is applied to mu, which may well be negative.",
    ),
    Row(
        "ignores_mu",
        lambda x, mu, logvar: -0.5 * (LOG_2PI + x**2),
        "This is the standard normal: mu and logvar have no part in it.",
    ),
    Row(
        "ignores_mu",
        lambda x, mu, logvar: _log_normal_terms(x, torch.zeros_like(mu), logvar),
        "mu has no part in it: the square is of the difference x - mu.",
    ),
    Row(
        "entropy",
        lambda x, mu, logvar: -0.5 * (1 + LOG_2PI + logvar),
        "This is minus the entropy of the normal. Its log density at x is asked.",
    ),
    Row(
        "swapped_arguments",
        lambda x, mu, logvar: _log_normal_terms(logvar, mu, x),
        "x and logvar are swapped.",
    ),
    Row(
        "swapped_arguments",
        lambda x, mu, logvar: _log_normal_terms(logvar, x, mu),
        "The arguments are read in another order. It is x, mu, logvar.",
    ),
    Row(
        "bits",
        lambda *a: _log_normal_terms(*a) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
)
_CONSTANT_ONCE = Row(
    "constant_once",
    lambda x, mu, logvar: -0.5 * (LOG_2PI + (logvar + (x - mu) ** 2 / logvar.exp()).sum(-1)),
    "The constant log(2 pi) is counted once, outside the sum. Every latent brings its own.",
)

_CONSTANT_PER_ROW = Row(
    "constant_once",
    lambda x, mu, logvar: (
        -0.5 * (len(x) * LOG_2PI + (logvar + (x - mu) ** 2 / logvar.exp()).sum(-1))
    ),
    "The constant log(2 pi) is counted once for each example of the batch. It belongs to each latent.",
)

_DENSITY = Row(
    "probability_not_log",
    lambda *a: _log_normal_terms(*a).sum(-1).exp(),
    "You return the density. Its logarithm is asked.",
)


def _log_normal_hidden(inputs: Inputs) -> list[dict]:
    def three(b: int, l: int) -> list[dict]:
        return [
            inputs.normal(b, l, std=2.0, grad=True),
            inputs.normal(b, l, std=2.0, grad=True),
            inputs.between(-4.0, 4.0, b, l, grad=True),
        ]

    return [
        call(*three(7, 11), weights=inputs.away_from_zero(0.5, 1.5, 7)),
        call(*three(2, 1), weights=inputs.away_from_zero(0.5, 1.5, 2)),
        call(*three(1, 60), tag="extreme", weights=inputs.away_from_zero(0.5, 1.5, 1)),
    ]


log_normal = Exercise(
    "log_normal",
    _log_normal_calls,
    Comparison(
        truth=lambda *a: _log_normal_terms(*a).sum(-1),
        arguments=("x", "mu", "logvar"),
        table=(
            *crossed(_log_normal_terms, _LOG_NORMAL, "last", "latent"),
            _CONSTANT_ONCE,
            _CONSTANT_PER_ROW,
            _DENSITY,
        ),
        what="a tensor of shape [B]",
        extreme=(
            "unstable",
            "Right on moderate inputs, wrong where logvar is large or the latents are many. Look for "
            "a clamp, a small constant added to the variance (such as the eps of a library function), "
            "or a product of densities that underflows.",
        ),
        errors=(
            (
                r"Expected parameter scale|argument scale|var has negative",
                "exp_forgotten",
                "A standard deviation or variance is negative: logvar is used without exp. The "
                "standard deviation is exp(logvar / 2).",
            ),
        ),
    ),
    hidden=_log_normal_hidden,
)

# --- log_mean_exp --------------------------------------------------------------------------------


def _log_mean_exp(a: Tensor, dim: int) -> Tensor:
    return torch.logsumexp(a, dim) - math.log(a.shape[dim])


def _log_mean_exp_calls(inputs: Inputs) -> list[dict]:
    rows, columns = inputs.choice(((3, 5), (5, 4), (4, 6)))
    far = [-1000.0 + inputs.gauss(0, 1) for _ in range(6)] + [0.5, -1000.0, -400.0]
    high = [900.0 + inputs.gauss(0, 1) for _ in range(6)]
    return [
        call(inputs.normal(2, 3, std=1.5), number(1), times=2),
        call(
            inputs.normal(rows, columns, std=1.5, grad=True),
            number(0),
            weights=inputs.away_from_zero(0.5, 1.5, columns),
            every_device=True,
        ),
        call(
            inputs.normal(rows, columns, std=1.5, dtype="float32", grad=True),
            number(-1),
            weights=inputs.away_from_zero(0.5, 1.5, rows),
        ),
        call(inputs.normal(2, 3, 4), number(1)),
        call(inputs.normal(2, 3, 4), number(-3)),
        call(inputs.normal(1, 4, 3), number(1)),
        call(inputs.normal(7), number(0)),
        call(
            tensor(far, [3, 3], grad=True),
            number(1),
            tag="extreme",
            weights=inputs.away_from_zero(0.5, 1.5, 3),
        ),
        call(tensor(far, [3, 3], "float32"), number(1), tag="extreme"),
        call(tensor(high, [2, 3]), number(-1), tag="extreme"),
    ]


def _wrong_axis(axis: int) -> Row:
    return Row(
        "wrong_axis",
        lambda a, dim: _log_mean_exp(a, axis),
        f"The axis is always {axis}: the argument dim is not used.",
    )


_LOG_MEAN_EXP = (
    Row(
        "missing_log_k",
        lambda a, dim: torch.logsumexp(a, dim),
        "This is the log of the sum. For the mean, subtract log K, where K is the length of dim.",
    ),
    Row(
        "mean_of_logs",
        lambda a, dim: a.mean(dim),
        "This is the mean of a: the mean of the logs, not the log of the mean. By Jensen's "
        "inequality it is smaller.",
    ),
    Row(
        "plus_log_k",
        lambda a, dim: torch.logsumexp(a, dim) + math.log(a.shape[dim]),
        "log K is added. A mean divides by K, so log K is subtracted.",
    ),
    Row("maximum", lambda a, dim: a.amax(dim), "This is only the largest entry of a."),
    Row(
        "maximum",
        lambda a, dim: a.amax(dim) - math.log(a.shape[dim]),
        "Only the largest entry of a counts; the others are lost.",
    ),
    Row("missing_log", lambda a, dim: a.exp().mean(dim), "The log of the mean is missing."),
    Row("missing_log", lambda a, dim: a.exp().sum(dim), "The log is missing, and the mean too."),
    Row(
        "missing_exp",
        lambda a, dim: a.mean(dim).log(),
        "The exponential is missing: this is the log of the mean of a.",
    ),
    Row(
        "divided_by_k",
        lambda a, dim: torch.logsumexp(a, dim) / a.shape[dim],
        "The log of the sum is divided by K. Dividing inside the log is subtracting log K outside.",
    ),
    Row(
        "shift_not_added_back",
        lambda a, dim: _log_mean_exp(a, dim) - a.amax(dim),
        "The maximum is subtracted inside and not added back outside.",
    ),
    Row(
        "shift_not_added_back",
        lambda a, dim: torch.logsumexp(a, dim) - a.amax(dim),
        "The maximum is subtracted inside and not added back outside, and log K is missing.",
    ),
    _wrong_axis(0),
    _wrong_axis(-1),
    _wrong_axis(1),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.shape[0]),
        "K is the length of the first axis. It has to be the length of the axis dim.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.shape[-1]),
        "K is the length of the last axis. It has to be the length of the axis dim.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.numel()),
        "K counts all entries of a. It has to be the length of the axis dim.",
    ),
    Row(
        "kept_axis",
        lambda a, dim: _log_mean_exp(a, dim).unsqueeze(dim),
        "The axis dim is kept with length 1. It should be gone: leave out keepdim=True, or squeeze.",
    ),
    Row(
        "over_everything",
        lambda a, dim: _log_mean_exp(a.flatten(), 0),
        "The mean is over all axes. It has to be over dim only.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - a.shape[dim],
        "K itself is subtracted. For the mean, subtract its logarithm.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) / math.log(a.shape[dim]),
        "The log of the sum is divided by log K. For the mean, subtract log K.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.shape[dim] - 1),
        "The sum is divided by K - 1. A mean divides by K.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.shape[dim] + 1),
        "The sum is divided by K + 1. A mean divides by K.",
    ),
    Row(
        "wrong_count",
        lambda a, dim: torch.logsumexp(a, dim) - math.log(a.dim()),
        "K is the number of axes. It has to be the length of the axis dim.",
    ),
    Row(
        "wrong_base",
        lambda a, dim: torch.logsumexp(a, dim) - math.log2(a.shape[dim]),
        "log K is taken to the base 2. Take the natural logarithm.",
    ),
    Row(
        "wrong_base",
        lambda a, dim: torch.logsumexp(a, dim) - math.log10(a.shape[dim]),
        "log K is taken to the base 10. Take the natural logarithm.",
    ),
    Row(
        "sum_divided_before_exp",
        lambda a, dim: torch.logsumexp(a / a.shape[dim], dim),
        "a is divided by K before the exponential. Divide after it, or subtract log K outside.",
    ),
    Row(
        "weighted_mean",
        lambda a, dim: (torch.softmax(a, dim) * a).sum(dim),
        "This is the mean of a under the softmax weights, not the log of a mean.",
    ),
    Row(
        "mean_of_logs",
        lambda a, dim: torch.log_softmax(a, dim).mean(dim),
        "This is the mean of a log_softmax. The log of the mean of exp(a) is asked.",
    ),
    Row("sign", lambda a, dim: -_log_mean_exp(a, dim), "The sign is turned."),
    Row(
        "sign_of_a",
        lambda a, dim: -_log_mean_exp(-a, dim),
        "The sign of a is turned inside, and that of the result outside.",
    ),
    Row(
        "sign_of_a",
        lambda a, dim: _log_mean_exp(-a, dim),
        "This is the log of the mean of exp(-a).",
    ),
    Row(
        "bits",
        lambda a, dim: _log_mean_exp(a, dim) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
    Row(
        "not_reduced",
        lambda a, dim: torch.logcumsumexp(a, dim) - math.log(a.shape[dim]),
        "This is a cumulative sum: the axis dim is still there.",
    ),
    Row(
        "not_reduced",
        lambda a, dim: torch.log_softmax(a, dim),
        "This is log_softmax: nothing is averaged over dim.",
    ),
)


def _log_mean_exp_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(
            inputs.normal(2, 5, 3, 4, grad=True),
            number(2),
            weights=inputs.away_from_zero(0.5, 1.5, 2, 5, 4),
        ),
        call(inputs.normal(6, 1, std=2.0), number(-2)),
        call(inputs.normal(3, 40, std=3.0), number(1)),
        call(inputs.normal(4, 5, mean=-4000.0, std=30.0), number(0), tag="extreme"),
        call(inputs.normal(4, 5, mean=3000.0, std=30.0), number(1), tag="extreme"),
    ]


log_mean_exp = Exercise(
    "log_mean_exp",
    _log_mean_exp_calls,
    Comparison(
        truth=_log_mean_exp,
        arguments=("a", "dim"),
        table=_LOG_MEAN_EXP,
        what="a tensor without the axis dim",
        extreme=(
            "unstable",
            "Right on moderate values, wrong on large ones: in floating point exp(-1000) is zero and "
            "exp(900) infinite, and a clamp or a small constant does not mend it. Subtract the "
            "maximum along dim inside and add it back outside; torch.logsumexp does so.",
        ),
    ),
    hidden=_log_mean_exp_hidden,
)

# --- elbo_discrete -------------------------------------------------------------------------------


def _elbo_discrete(joint: Tensor, q: Tensor) -> Tensor:
    return torch.xlogy(q, joint).sum() - torch.xlogy(q, q).sum()


def _elbo_discrete_calls(inputs: Inputs) -> list[dict]:
    size = inputs.randint(4, 7)
    one = tensor([inputs.choice((-1, 1)) * inputs.uniform(0.5, 1.5)], [])

    def pair(k: int, total: float, zeros: int = 0, dtype: str = "float64", grad: bool = True):
        return (
            inputs.probabilities(k, total=total, dtype=dtype, grad=grad),
            inputs.probabilities(k, zeros=zeros, dtype=dtype, grad=grad),
        )

    return [
        call(*pair(3, 0.3, grad=False), times=6),
        call(*pair(size, 0.2), weights=one, every_device=True),
        call(*pair(5, 0.05, dtype="float32"), weights=one),
        call(*pair(size, 1e-3), weights=one),
        call(*pair(size, 0.1, zeros=2), tag="extreme", weights=one),
        call(*pair(5, 0.1, zeros=4, dtype="float32"), tag="extreme", weights=one),
        call(*pair(4, 1e-9, zeros=1, grad=False), tag="extreme"),
        call(  # images have tiny probabilities, and q may be small without being zero
            inputs.probabilities(4, total=1e-60),
            tensor([1e-3, 0.4, 0.399, 0.2], [4]),
            tag="extreme",
        ),
    ]


def _determined(index: int, gradient: Tensor, args: list) -> Tensor:
    """Leave out what q = 0 and the sum of q leave open."""
    q = args[1]
    kept = gradient[q > 0]
    # q stays on the simplex, so a constant added to its gradient (by normalizing) has no meaning.
    return kept - kept.mean() if index == 1 else kept


def _posterior_discrete(joint: Tensor) -> Tensor:
    return joint / joint.sum()


_ELBO_DISCRETE = (
    Row("sign", lambda j, q: -_elbo_discrete(j, q), "The sign is turned: this is -ELBO, the loss."),
    Row(
        "missing_entropy",
        lambda j, q: torch.xlogy(q, j).sum(),
        "The entropy of q is missing: subtract E_q[log q].",
    ),
    Row(
        "entropy_sign",
        lambda j, q: torch.xlogy(q, j).sum() + torch.xlogy(q, q).sum(),
        "E_q[log q] is added. It has to be subtracted: ELBO = E_q[log joint - log q].",
    ),
    Row(
        "evidence",
        lambda j, q: j.sum().log() + 0 * q.sum(),
        "This is log p(x), the evidence. The ELBO is below it by KL(q || p(z|x)).",
    ),
    Row(
        "log_outside",
        lambda j, q: torch.log((q * j).sum()) - torch.xlogy(q, q).sum(),
        "The log of the joint is taken after averaging over q. Take it before: E_q[log joint].",
    ),
    Row(
        "log_outside",
        lambda j, q: torch.log((q * j).sum()),
        "This is the log of an average of the joint. Average log joint - log q instead.",
    ),
    Row(
        "posterior_for_joint",
        lambda j, q: _elbo_discrete(_posterior_discrete(j), q),
        "The joint is normalized first, so this is -KL(q || p(z|x)): log p(x) is missing.",
    ),
    Row(
        "posterior_for_joint",
        lambda j, q: -_elbo_discrete(_posterior_discrete(j), q),
        "This is KL(q || p(z|x)), the gap between log p(x) and the ELBO.",
    ),
    Row(
        "unweighted",
        lambda j, q: (j.log() - q.log()).mean(),
        "Every k counts alike. Weigh log joint - log q by q[k].",
    ),
    Row(
        "unweighted",
        lambda j, q: (j.log() - q.log()).sum(),
        "The terms log joint - log q are not weighted by q[k].",
    ),
    Row(
        "weighted_by_joint",
        lambda j, q: (j * (j.log() - q.log())).sum(),
        "The terms are weighted by the joint. The expectation is under q: weigh by q[k].",
    ),
    Row(
        "not_summed",
        lambda j, q: torch.xlogy(q, j) - torch.xlogy(q, q),
        "You return one term for each k: the sum is missing.",
    ),
    Row(
        "mean_instead_of_sum",
        lambda j, q: _elbo_discrete(j, q) / len(q),
        "You took the mean over k. The weights q[k] make the average: sum.",
    ),
    Row(
        "log_forgotten",
        lambda j, q: (q * j).sum() - torch.xlogy(q, q).sum(),
        "The joint is used where log joint belongs.",
    ),
    Row(
        "log_forgotten",
        lambda j, q: (q * (j - q)).sum(),
        "Both logarithms are missing: log joint - log q.",
    ),
    Row(
        "log_forgotten",
        lambda j, q: (q * (j.log() - q)).sum(),
        "q is subtracted where log q belongs.",
    ),
    Row(
        "exponential",
        lambda j, q: _elbo_discrete(j, q).exp(),
        "This is exp(ELBO). The ELBO is in nats: leave out the exponential.",
    ),
    Row(
        "missing_log_joint",
        lambda j, q: -torch.xlogy(q, q).sum(),
        "This is the entropy of q alone. E_q[log joint] is missing.",
    ),
    Row(
        "missing_log_joint",
        lambda j, q: torch.xlogy(q, q).sum(),
        "This is minus the entropy of q alone. E_q[log joint] is missing.",
    ),
    Row(
        "unweighted",
        lambda j, q: torch.xlogy(q, j).sum() - q.log().sum(),
        "log q is not weighted by q[k].",
    ),
    Row(
        "weighted_by_posterior",
        lambda j, q: (_posterior_discrete(j) * (j.log() - q.log())).sum(),
        "The terms are weighted by the posterior. The expectation is under q: weigh by q[k].",
    ),
    Row(
        "reverse_kl",
        lambda j, q: (
            j.sum().log() - torch.xlogy(_posterior_discrete(j), _posterior_discrete(j) / q).sum()
        ),
        "The KL is turned around: log p(x) - KL(q || p(z|x)) is right, with the expectation under q.",
    ),
    Row(
        "log_of_mean",
        lambda j, q: torch.logsumexp(j.log() - q.log(), 0) - math.log(len(q)),
        "The log is taken after averaging the weights joint / q. Average log joint - log q under q.",
    ),
    Row(
        "prior_twice",
        lambda j, q: _elbo_discrete(j, q) - math.log(len(q)),
        "A uniform prior is put in once more: the joint holds the prior already.",
    ),
    Row(
        "half_entropy",
        lambda j, q: torch.xlogy(q, j).sum() - 0.5 * torch.xlogy(q, q).sum(),
        "The entropy of q counts by half. It has the weight 1.",
    ),
    Row(
        "softmax_of_q",
        lambda j, q: _elbo_discrete(j, torch.softmax(q, 0)),
        "A softmax is applied to q, which holds probabilities already.",
    ),
    Row(
        "softmax_of_q",
        lambda j, q: (q * (j.log() - torch.log_softmax(q, 0))).sum(),
        "A log_softmax is applied to q, which holds probabilities already: take its log.",
    ),
    Row(
        "most_likely_only",
        lambda j, q: j[q.argmax()].log(),
        "Only the most likely k counts. The expectation is over all of them.",
    ),
    Row(
        "swapped_arguments",
        lambda j, q: _elbo_discrete(q, j),
        "The two arguments are swapped: joint comes first, q second.",
    ),
    Row(
        "bits",
        lambda j, q: _elbo_discrete(j, q) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
)


def _elbo_discrete_hidden(inputs: Inputs) -> list[dict]:
    one = tensor([inputs.uniform(0.5, 1.5)], [])
    return [
        call(
            inputs.probabilities(30, total=0.4, grad=True),
            inputs.probabilities(30, grad=True),
            weights=one,
        ),
        call(inputs.probabilities(2, total=0.7), inputs.probabilities(2)),
        call(
            inputs.probabilities(20, total=1e-4, grad=True),
            inputs.probabilities(20, zeros=13, grad=True),
            tag="extreme",
            weights=one,
        ),
        call(inputs.probabilities(6, total=1e-40), inputs.probabilities(6), tag="extreme"),
    ]


elbo_discrete = Exercise(
    "elbo_discrete",
    _elbo_discrete_calls,
    Comparison(
        truth=_elbo_discrete,
        arguments=("joint", "q"),
        table=_ELBO_DISCRETE,
        what="a scalar tensor (shape [])",
        extreme=(
            "zero_times_log_zero",
            "Right for ordinary inputs, wrong where q has zeros or small values, or the joint is "
            "small. A zero of q adds nothing: 0 log 0 counts as 0, where the computer says NaN "
            "(torch.xlogy knows better, or select q > 0). A constant inside a log is no cure.",
        ),
        comparable=_determined,
    ),
    hidden=_elbo_discrete_hidden,
)

# --- posterior_discrete --------------------------------------------------------------------------


def _posterior_discrete_calls(inputs: Inputs) -> list[dict]:
    size = inputs.randint(4, 7)

    def joint(k: int, total: float, dtype: str = "float64", grad: bool = True) -> dict:
        return inputs.probabilities(k, total=total, dtype=dtype, grad=grad)

    return [
        call(joint(3, 0.3, grad=False), times=2),
        call(joint(size, 0.2), weights=inputs.away_from_zero(0.5, 1.5, size), every_device=True),
        call(joint(5, 0.05, "float32"), weights=inputs.away_from_zero(0.5, 1.5, 5)),
        call(joint(size, 1.7), weights=inputs.away_from_zero(0.5, 1.5, size)),
        call(joint(4, 1e-10, grad=False), tag="extreme"),
    ]


_POSTERIOR_DISCRETE = (
    Row(
        "softmax_of_probabilities",
        lambda j: torch.softmax(j, 0),
        "A softmax takes logarithms, and the joint holds probabilities. Divide by the sum, or take "
        "the softmax of log joint.",
    ),
    Row("not_normalized", lambda j: j, "This is the joint itself. Divide it by its sum, p(x)."),
    Row(
        "divided_by_maximum", lambda j: j / j.max(), "You divide by the maximum. Divide by the sum."
    ),
    Row("divided_by_mean", lambda j: j / j.mean(), "You divide by the mean. Divide by the sum."),
    Row("divided_by_norm", lambda j: j / j.norm(), "You divide by the length. Divide by the sum."),
    Row(
        "divided_by_count",
        lambda j: j / len(j),
        "You divide by the number of values. Divide by the sum, p(x).",
    ),
    Row(
        "log_posterior",
        lambda j: _posterior_discrete(j).log(),
        "This is the log of the posterior. Return the probabilities.",
    ),
    Row(
        "log_posterior",
        lambda j: torch.log_softmax(j, 0),
        "This is a log_softmax of probabilities. Divide the joint by its sum.",
    ),
    Row(
        "uniform",
        lambda j: torch.full_like(j, 1 / len(j)),
        "Every value of z gets the same probability.",
    ),
    Row(
        "one_hot",
        lambda j: one_hot(j.argmax(), len(j)).double(),
        "This is the most likely z only. Return the probability of each.",
    ),
    Row(
        "one_hot",
        lambda j: j.argmax(),
        "This is the most likely z. Return the probability of each.",
    ),
    Row("evidence", lambda j: j.sum(), "This is p(x), the sum. Divide the joint by it."),
    Row("evidence", lambda j: j.sum().log(), "This is log p(x). Divide the joint by p(x)."),
    Row("evidence_added", lambda j: j * j.sum(), "You multiply by p(x). Divide by it."),
    Row("log_posterior", lambda j: j.log(), "This is log joint. Return p(z|x), a probability."),
    Row(
        "log_posterior",
        lambda j: -_posterior_discrete(j).log(),
        "This is minus the log of the posterior. Return the probabilities.",
    ),
    Row(
        "log_posterior",
        lambda j: j.log() / j.log().sum(),
        "The logarithms are normalized. Normalize the joint itself.",
    ),
    Row(
        "log_posterior",
        lambda j: j / j.sum().log(),
        "You divide by log p(x). Divide by p(x).",
    ),
    Row("evidence_added", lambda j: j - j.sum(), "You subtract p(x). Divide by it."),
    Row("inverted", lambda j: j.sum() / j, "The quotient is turned around: joint / p(x)."),
    Row("inverted", lambda j: 1 - _posterior_discrete(j), "This is 1 - p(z|x)."),
    Row(
        "other_values_only",
        lambda j: j / (j.sum() - j),
        "You divide by the sum of the others (these are odds). Divide by the sum of all.",
    ),
    Row("divided_by_one", lambda j: j / j[0], "You divide by the first entry. Divide by the sum."),
    Row("divided_by_one", lambda j: j / j[-1], "You divide by the last entry. Divide by the sum."),
    Row(
        "prior_twice",
        lambda j: _posterior_discrete(j) / len(j),
        "A uniform prior is put in once more: the joint holds the prior already.",
    ),
    Row(
        "square_root",
        lambda j: _posterior_discrete(j).sqrt(),
        "This is the square root of the posterior.",
    ),
    Row(
        "sigmoid",
        lambda j: j / (1 + j),
        "A sigmoid of log joint does not normalize over z. Divide by the sum.",
    ),
    Row(
        "cumulative",
        lambda j: _posterior_discrete(j).cumsum(0),
        "These are cumulative probabilities. Return the probability of each z.",
    ),
    Row(
        "order_changed",
        lambda j: _posterior_discrete(j).sort().values,
        "The order of the entries is changed. Entry k belongs to z = k.",
    ),
    Row(
        "order_changed",
        lambda j: _posterior_discrete(j).sort(descending=True).values,
        "The order of the entries is changed. Entry k belongs to z = k.",
    ),
    Row(
        "order_changed",
        lambda j: _posterior_discrete(j).flip(0),
        "The order of the entries is changed. Entry k belongs to z = k.",
    ),
    Row(
        "squared",
        lambda j: j**2 / (j**2).sum(),
        "The joint is squared: multiplied by itself before it is normalized.",
    ),
)


def _posterior_discrete_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(
            inputs.probabilities(25, total=0.4, grad=True),
            weights=inputs.away_from_zero(0.5, 1.5, 25),
        ),
        call(inputs.probabilities(2, total=0.6)),
        call(inputs.probabilities(6, total=3e-11), tag="extreme"),
    ]


posterior_discrete = Exercise(
    "posterior_discrete",
    _posterior_discrete_calls,
    Comparison(
        truth=_posterior_discrete,
        arguments=("joint",),
        table=_POSTERIOR_DISCRETE,
        what="a tensor of shape [K]",
        extreme=(
            "epsilon",
            "Right for an ordinary joint, wrong for a small one: probabilities of images are tiny, "
            "and a constant added to the denominator is not. The joint is positive: leave it out.",
        ),
    ),
    hidden=_posterior_discrete_hidden,
)

EXERCISES = (log_bernoulli, log_normal, log_mean_exp, elbo_discrete, posterior_discrete)
