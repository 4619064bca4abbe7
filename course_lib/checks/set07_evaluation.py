"""Checks of set 07: the IWAE bound, bits per dimension, and active units."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.plain import tensor

# --- iwae_bound ----------------------------------------------------------------------------------


def _iwae(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(log_w.shape[0])


def _iwae_calls(inputs: Inputs) -> list[dict]:
    draws, batch = inputs.choice(((3, 5), (5, 4), (4, 6), (6, 5)))

    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    far = [-1000.0 + inputs.gauss(0, 1) for _ in range(6)] + [0.5, -1000.0, -400.0]
    high = [1000.0 + inputs.gauss(0, 1) for _ in range(6)]
    apart = [v for _ in range(3) for v in (-1000.0 + inputs.gauss(0, 1), inputs.gauss(0, 1))]
    return [
        call(inputs.normal(2, 3, std=1.5), times=2),
        call(
            inputs.normal(draws, batch, std=1.5, grad=True),
            weights=weights(batch),
            every_device=True,
        ),
        call(inputs.normal(3, 4, std=1.5, dtype="float32", grad=True), weights=weights(4)),
        call(inputs.between(0.2, 3.0, 5, 2, grad=True), weights=weights(2)),
        call(inputs.normal(7, 3, mean=-4.0, std=2.0, grad=True), weights=weights(3)),
        call(inputs.normal(1, 4, grad=True), weights=weights(4)),
        call(inputs.normal(4, 1)),
        call(tensor(far, [3, 3], grad=True), tag="extreme", weights=weights(3)),
        call(tensor(far, [3, 3], "float32"), tag="extreme"),
        call(tensor(high, [3, 2], grad=True), tag="extreme", weights=weights(2)),
        call(tensor(apart, [3, 2], grad=True), tag="extreme", weights=weights(2)),
    ]


_IWAE = (
    Row(
        "mean_of_logs",
        lambda w: w.mean(0),
        "This is the mean of the logs: the ELBO, from K draws. IWAE is the log of the mean of the "
        "weights, which by Jensen's inequality is larger.",
    ),
    Row(
        "missing_log_k",
        lambda w: torch.logsumexp(w, 0),
        "This is the log of the sum of the weights. IWAE has their mean: subtract log K. Without it "
        "the value is no bound, and it grows with K by log K for nothing.",
    ),
    Row(
        "maximum",
        lambda w: w.amax(0),
        "This is only the largest log weight. It can be above log p(x), and is no bound.",
    ),
    Row(
        "maximum",
        lambda w: w.amax(0) - math.log(w.shape[0]),
        "Only the largest weight counts here; the others are lost.",
    ),
    Row(
        "plus_log_k",
        lambda w: torch.logsumexp(w, 0) + math.log(w.shape[0]),
        "log K is added. A mean divides by K, so log K is subtracted.",
    ),
    Row("missing_log", lambda w: w.exp().mean(0), "The log of the mean weight is missing."),
    Row(
        "missing_log",
        lambda w: w.exp().sum(0),
        "The log is missing, and the weights are summed instead of averaged.",
    ),
    Row(
        "missing_exp",
        lambda w: w.mean(0).log(),
        "The exponential is missing: log_w holds the logs of the weights, and the weights are averaged.",
    ),
    Row(
        "wrong_axis",
        lambda w: torch.logsumexp(w, 1) - math.log(w.shape[1]),
        "The mean is over the batch. log_w is [K, B]: average over the K draws, axis 0, and keep the "
        "images apart. Over the batch it is no bound, and training on it fails.",
    ),
    Row(
        "wrong_axis",
        lambda w: torch.logsumexp(w, 1) - math.log(w.shape[0]),
        "The sum is over the batch. log_w is [K, B]: sum over the K draws, axis 0.",
    ),
    Row(
        "wrong_axis",
        lambda w: torch.logsumexp(w, 1),
        "The sum is over the batch, and nothing is subtracted. log_w is [K, B]: average over the K "
        "draws, axis 0.",
    ),
    Row(
        "wrong_axis",
        lambda w: w.mean(1),
        "This is a mean over the batch, and one of logs besides. Average the weights over the K "
        "draws, axis 0.",
    ),
    Row(
        "wrong_count",
        lambda w: torch.logsumexp(w, 0) - math.log(w.shape[1]),
        "The log of the batch size is subtracted. Subtract log K, the number of draws: axis 0.",
    ),
    Row(
        "wrong_count",
        lambda w: torch.logsumexp(w, 0) - w.shape[0],
        "K itself is subtracted. Subtract its logarithm.",
    ),
    Row(
        "wrong_count",
        lambda w: torch.logsumexp(w, 0) - math.log(w.numel()),
        "The log of the number of all weights is subtracted. Subtract log K: axis 0.",
    ),
    Row(
        "wrong_count",
        lambda w: torch.logsumexp(w, 0) - math.log(w.shape[0] + 1),
        "The sum is divided by K + 1. A mean divides by K.",
    ),
    Row(
        "wrong_base",
        lambda w: torch.logsumexp(w, 0) - math.log2(w.shape[0]),
        "log K is taken to the base 2. Take the natural logarithm.",
    ),
    Row(
        "wrong_base",
        lambda w: torch.logsumexp(w, 0) - math.log10(w.shape[0]),
        "log K is taken to the base 10. Take the natural logarithm.",
    ),
    Row(
        "divided_by_k",
        lambda w: torch.logsumexp(w, 0) / w.shape[0],
        "The log of the sum is divided by K. Dividing inside the log is subtracting log K outside.",
    ),
    Row(
        "divided_by_k",
        lambda w: torch.logsumexp(w / w.shape[0], 0),
        "log_w is divided by K before the exponential. Divide the weights, or subtract log K.",
    ),
    Row(
        "over_everything",
        lambda w: _iwae(w.flatten()),
        "The mean is over draws and batch. Average over the K draws only: one value per image.",
    ),
    Row(
        "over_everything",
        lambda w: torch.logsumexp(w.flatten(), 0) - math.log(w.shape[0]),
        "The sum is over draws and batch. Sum over the K draws only: one value per image.",
    ),
    Row(
        "over_everything",
        lambda w: torch.logsumexp(w.flatten(), 0),
        "The sum is over draws and batch. Average over the K draws only: one value per image.",
    ),
    Row(
        "averaged_over_batch",
        lambda w: _iwae(w).mean(),
        "You average over the batch at the end. Return one value per image; a mean is taken where a "
        "loss is needed and nowhere else.",
    ),
    Row(
        "averaged_over_batch",
        lambda w: _iwae(w).sum(),
        "You sum over the batch at the end. Return one value per image.",
    ),
    Row(
        "mean_of_logs",
        lambda w: w.mean(),
        "This is the mean of all log weights, over draws and batch. Average the weights over the "
        "draws, take the log, and return one value per image.",
    ),
    Row(
        "averaged_over_batch",
        lambda w: torch.logsumexp(w, 0).mean(),
        "You average over the batch at the end, and log K is missing.",
    ),
    Row(
        "mean_of_logs",
        lambda w: w.sum(0),
        "This is the sum of the logs. IWAE is the log of the mean of the weights.",
    ),
    Row("sign", lambda w: -_iwae(w), "The sign is turned: this is -IWAE, the loss."),
    Row(
        "sign",
        lambda w: math.log(w.shape[0]) + torch.logsumexp(-w, 0),
        "The signs of log_w and of log K are turned.",
    ),
    Row(
        "sign_of_log_w",
        lambda w: -_iwae(-w),
        "The sign of log_w is turned inside, and of the result.",
    ),
    Row("sign_of_log_w", lambda w: _iwae(-w), "The sign of log_w is turned inside."),
    Row(
        "sign",
        lambda w: -torch.logsumexp(w, 0),
        "The sign is turned, and log K is missing.",
    ),
    Row("sign", lambda w: -w.mean(0), "The sign is turned, and it is the mean of the logs: -ELBO."),
    Row(
        "sign",
        lambda w: -_iwae(w).mean(),
        "This is the loss, -IWAE averaged over the batch. The bound of each image is asked.",
    ),
    Row(
        "weighted_mean",
        lambda w: (torch.softmax(w, 0) * w).sum(0),
        "This is the mean of log_w under the normalized weights. They belong to the gradient; the "
        "bound is the log of the mean weight.",
    ),
    Row(
        "weighted_mean",
        lambda w: torch.softmax(w, 0),
        "These are the normalized weights. The bound is the log of the mean weight.",
    ),
    Row(
        "weighted_mean",
        lambda w: torch.log_softmax(w, 0),
        "These are the logs of the normalized weights. The bound is the log of the mean weight.",
    ),
    Row(
        "shift_not_added_back",
        lambda w: _iwae(w) - w.amax(0),
        "The maximum is subtracted inside and not added back outside.",
    ),
    Row(
        "shift_not_added_back",
        lambda w: torch.logsumexp(w, 0) - w.amax(0),
        "The maximum is subtracted inside and not added back outside, and log K is missing.",
    ),
    Row(
        "kept_axis",
        lambda w: _iwae(w)[None],
        "The axis of the draws is kept with length 1. It should be gone: leave out keepdim=True.",
    ),
    Row(
        "bits",
        lambda w: _iwae(w) / math.log(2),
        "You return bits (log to the base 2). Nats are asked: the natural logarithm.",
    ),
    Row("median", lambda w: w.median(0).values, "This is the median of the log weights."),
    Row(
        "one_draw",
        lambda w: w[0],
        "Only the first draw counts: that is the ELBO from one draw. Average the weights of all K.",
    ),
    Row(
        "not_reduced",
        lambda w: torch.logcumsumexp(w, 0) - math.log(w.shape[0]),
        "This is a cumulative sum: its last row is the bound.",
    ),
)


def _iwae_hidden(inputs: Inputs) -> list[dict]:
    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    return [
        call(inputs.normal(50, 7, mean=-100.0, std=3.0, grad=True), weights=weights(7)),
        call(inputs.normal(2, 9, std=3.0, grad=True), weights=weights(9)),
        call(inputs.normal(1, 1, grad=True), weights=weights(1)),
        call(
            inputs.normal(8, 5, mean=-4000.0, std=30.0, grad=True),
            tag="extreme",
            weights=weights(5),
        ),
        call(inputs.normal(8, 3, mean=3000.0, std=200.0), tag="extreme"),
        call(tensor([-1e5, -1e5, -1e5, 1e5], [2, 2]), tag="extreme"),
    ]


iwae_bound = Exercise(
    "iwae_bound",
    _iwae_calls,
    Comparison(
        truth=_iwae,
        arguments=("log_w",),
        table=_IWAE,
        what="a tensor of shape [B]",
        extreme=(
            "unstable",
            "Right on moderate log weights, wrong on large ones: in floating point exp(-1000) is "
            "zero and exp(1000) infinite, and the log weights of images are that large. A constant "
            "does not mend it. Subtract each image's own maximum inside and add it back outside; "
            "torch.logsumexp does so.",
        ),
    ),
    hidden=_iwae_hidden,
)

# --- bits_per_dim --------------------------------------------------------------------------------


def _tensor(nats: Tensor | float) -> Tensor:
    return torch.as_tensor(nats, dtype=torch.float64)


def _bits(nats: Tensor | float, num_dims: int) -> Tensor:
    return _tensor(nats) / (num_dims * math.log(2))


def _bits_calls(inputs: Inputs) -> list[dict]:
    batch, dims = inputs.choice(((3, 12), (4, 7), (5, 20), (6, 31)))
    return [
        call(inputs.normal(3, mean=1.0, std=30.0), number(784), times=2),
        call(
            inputs.away_from_zero(2.0, 90.0, batch, grad=True),
            number(dims),
            weights=inputs.away_from_zero(0.5, 1.5, batch),
            every_device=True,
        ),
        call(
            inputs.between(20.0, 90.0, 4, dtype="float32", grad=True),
            number(11),
            weights=inputs.away_from_zero(0.5, 1.5, 4),
        ),
        call(
            inputs.between(2.0, 90.0, 3, 2, grad=True),
            number(3),
            weights=inputs.away_from_zero(0.5, 1.5, 3, 2),
        ),
        call(
            inputs.between(20.0, 90.0, grad=True),
            number(dims),
            weights=inputs.away_from_zero(0.5, 1.5),
        ),
        call(number(inputs.uniform(40.0, 90.0)), number(dims)),
    ]


_BITS = (
    Row(
        "missing_log_2",
        lambda n, d: _tensor(n) / d,
        "These are nats per dimension. A nat is 1 / log 2 bits: divide by math.log(2), about 0.693.",
    ),
    Row(
        "missing_dims",
        lambda n, d: _tensor(n) / math.log(2),
        "These are the bits of the whole image. Divide by num_dims.",
    ),
    Row(
        "multiplied_by_log_2",
        lambda n, d: _bits(n, d) * math.log(2) ** 2,
        "log 2 stands on the wrong side. A bit is smaller than a nat, so there are more of them: "
        "divide by math.log(2).",
    ),
    Row(
        "multiplied_by_log_2",
        lambda n, d: _tensor(n) * math.log(2),
        "log 2 stands on the wrong side, and num_dims is missing.",
    ),
    Row("log_2_twice", lambda n, d: _bits(n, d) / math.log(2), "It is divided by log 2 twice."),
    Row("dims_twice", lambda n, d: _bits(n, d) / d, "It is divided by num_dims twice."),
    Row(
        "multiplied_by_dims",
        lambda n, d: _tensor(n) * d / math.log(2),
        "It is multiplied by num_dims. Divide by it; in a / (b * c) the brackets matter.",
    ),
    Row(
        "multiplied_by_dims",
        lambda n, d: _tensor(n) * d * math.log(2),
        "It is multiplied by num_dims and by log 2. Divide by both.",
    ),
    Row(
        "wrong_base",
        lambda n, d: _tensor(n) / (d * math.log(10)),
        "It is divided by log 10, which gives decimal digits. Bits need log 2.",
    ),
    Row(
        "wrong_base",
        lambda n, d: _tensor(n) / (d * math.log10(2)),
        "The logarithm of 2 is taken to the base 10. Nats are natural logarithms: math.log(2).",
    ),
    Row(
        "wrong_base",
        lambda n, d: _tensor(n) * math.log10(2) / d,
        "It is multiplied by the logarithm of 2 to the base 10. Divide by math.log(2).",
    ),
    Row("sign", lambda n, d: -_bits(n, d), "The sign is turned. Hand over what is given as it is."),
    Row(
        "absolute_value",
        lambda n, d: _bits(n, d).abs(),
        "The sign is lost: this is an absolute value. A density can have negative nats, too.",
    ),
    Row(
        "absolute_value",
        lambda n, d: _bits(n, d).clamp(min=0),
        "Negative values are cut off at zero. A density can have negative nats, too.",
    ),
    Row(
        "log_of_nats",
        lambda n, d: _tensor(n).log2() / d,
        "The logarithm of the nats is taken. They are logarithms already: change the base by a "
        "division.",
    ),
    Row(
        "log_of_nats",
        lambda n, d: (_tensor(n) / d).log2(),
        "The logarithm of the nats is taken. They are logarithms already: change the base by a "
        "division.",
    ),
    Row(
        "log_of_nats",
        lambda n, d: _tensor(n).log2(),
        "The logarithm of the nats is taken. They are logarithms already: change the base by a "
        "division.",
    ),
    Row(
        "exponential",
        lambda n, d: 2 ** _bits(n, d),
        "This is two to the power of the bits: a perplexity. The bits themselves are asked.",
    ),
    Row(
        "exponential",
        lambda n, d: (_tensor(n) / d).exp(),
        "This is the exponential of nats per dimension: a perplexity. Divide by log 2 instead.",
    ),
    Row(
        "log_of_dims",
        lambda n, d: _tensor(n) / math.log2(d),
        "It is divided by the logarithm of num_dims. Divide by num_dims and by log 2.",
    ),
    Row(
        "log_of_dims",
        lambda n, d: _tensor(n) / math.log(d),
        "It is divided by the logarithm of num_dims. Divide by num_dims and by log 2.",
    ),
    Row(
        "log_of_dims",
        lambda n, d: _tensor(n) / math.log(2 * d),
        "num_dims has slipped into the logarithm: num_dims * log(2) is needed.",
    ),
    Row(
        "halved",
        lambda n, d: _tensor(n) / (2 * d),
        "It is divided by 2. The base of a logarithm is changed by its logarithm: divide by log 2.",
    ),
    Row(
        "subtracted",
        lambda n, d: _tensor(n) / d - math.log(2),
        "log 2 is subtracted. The base of a logarithm is changed by a division.",
    ),
    Row(
        "subtracted",
        lambda n, d: _tensor(n) / d + 8,
        "The 8 bits of a change of scale are added, and log 2 is missing. Hand over what is given.",
    ),
    Row(
        "averaged_over_batch",
        lambda n, d: _bits(n, d).mean(),
        "You average over the batch. The result has the shape of nats.",
    ),
    Row(
        "averaged_over_batch",
        lambda n, d: _bits(n, d).sum(),
        "You sum over the batch. The result has the shape of nats.",
    ),
    Row(
        "averaged_over_batch",
        lambda n, d: _bits(n, d) / max(_tensor(n).numel(), 1),
        "You divide by the number of values, too. Divide by num_dims and by log 2 only.",
    ),
    Row(
        "numbers_fixed",
        lambda n, d: _bits(n, 784),
        "784 is written into the code. Use num_dims.",
    ),
    Row("inverted", lambda n, d: 1 / _bits(n, d), "The quotient is turned around."),
    Row(
        "inverted",
        lambda n, d: d / _tensor(n) / math.log(2),
        "num_dims is divided by the nats. Divide the nats by num_dims.",
    ),
    Row(
        "bytes",
        lambda n, d: _bits(n, d) / 8,
        "These are bytes. Bits are asked: leave out the division by 8.",
    ),
)


def _bits_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(
            inputs.normal(2, 3, 4, std=1000.0, grad=True),
            number(3072),
            weights=inputs.away_from_zero(0.5, 1.5, 2, 3, 4),
        ),
        call(inputs.away_from_zero(1.0, 9.0, 1), number(1)),
        call(inputs.between(1e5, 1e6, 8), number(3 * 256 * 256)),
        call(number(-inputs.uniform(40.0, 90.0)), number(17)),
    ]


bits_per_dim = Exercise(
    "bits_per_dim",
    _bits_calls,
    Comparison(
        truth=_bits,
        arguments=("nats", "num_dims"),
        table=_BITS,
        what="a value of the shape of nats",
        errors=(
            (
                r"'float' object has no attribute|must be Tensor, not float",
                "nats_is_a_number",
                "nats may be a plain number as well as a tensor. Divide with /, which takes both.",
            ),
        ),
    ),
    hidden=_bits_hidden,
)

# --- active_units --------------------------------------------------------------------------------


def _active(mu: Tensor, threshold: float = 0.01) -> Tensor:
    return (mu.var(0, unbiased=False) > threshold).sum()


# Kinds of latents: the range of variances, and the size of their mean. No variance is so close to
# a threshold, 0.01 or 0.1, that the division by N or by N - 1 would matter.
_LATENTS = {
    "active": ((0.3, 2.0), 0.3),
    "moderate": ((0.03, 0.05), 0.0),  # below the threshold of the calls that have one of 0.1
    "small": ((1e-3, 4e-3), 0.0),  # its standard deviation is above 0.01
    "dead": ((1e-6, 5e-6), 0.0),
    "shifted": ((1e-6, 5e-6), 0.7),  # a mean away from zero, and no variance to speak of
    "shifted_active": ((0.3, 2.0), 1.5),
    "constant": (None, 0.0),
    "constant_shifted": (None, 0.5),
}


def _means(
    inputs: Inputs, examples: int, *, dtype: str = "float64", grad: bool = False, **counts: int
) -> dict:
    """Return plain ``mu: [N, L]``, with ``counts`` latents of each kind in random order."""
    columns = []
    for kind, count in counts.items():
        spread, center = _LATENTS[kind]
        for _ in range(count):
            center = inputs.choice((-1, 1)) * center
            if spread is None:
                columns.append([center] * examples)
                continue
            values = [inputs.gauss(0, 1) for _ in range(examples)]
            mean = sum(values) / examples
            size = math.sqrt(sum((v - mean) ** 2 for v in values) / examples)
            std = math.sqrt(inputs.uniform(*spread))
            columns.append([center + std * (v - mean) / size for v in values])
    inputs.shuffle(columns)
    data = [column[n] for n in range(examples) for column in columns]
    return tensor(data, [examples, len(columns)], dtype, grad=grad)


def _active_calls(inputs: Inputs) -> list[dict]:
    def some(most: int = 3) -> int:
        return inputs.randint(1, most)

    return [
        call(_means(inputs, 8, active=2, small=1, shifted=3), times=2),
        call(
            _means(inputs, 30, active=some(), small=5, dead=some(), shifted=some(), grad=True),
            every_device=True,
        ),
        call(_means(inputs, 16, active=some(), shifted_active=some(), small=2, shifted=4)),
        call(
            _means(inputs, 25, active=some(), moderate=4, small=some(), shifted=2, dtype="float32"),
            number(0.1),
        ),
        call(
            _means(inputs, 12, active=1, moderate=2, small=3, dead=4, shifted=some(), constant=2),
            number(1e-4),
        ),
        call(  # strictly above
            _means(inputs, 8, active=some(), dead=2, constant=3, constant_shifted=2), number(0.0)
        ),
        call(_means(inputs, 20, active=some(), moderate=some(), shifted_active=2), number(0.01)),
        call(_means(inputs, 40, dead=3, shifted=2, small=12)),
        call(_means(inputs, 10, active=9, moderate=some())),
        call(_means(inputs, 20, active=1, small=12, moderate=7, dead=10), number(0.1)),
    ]


def _counted(formula):
    """Return the count of what exceeds the threshold."""
    return lambda mu, threshold=0.01: (formula(mu) > threshold).sum()


_ACTIVE = (
    Row(
        "wrong_axis",
        _counted(lambda mu: mu.var(1)),
        "The variance is over the latents of each example. Take it over the data, axis 0, one for "
        "each latent.",
    ),
    Row(
        "wrong_axis",
        _counted(lambda mu: mu.var(1, unbiased=False)),
        "The variance is over the latents of each example. Take it over the data, axis 0, one for "
        "each latent.",
    ),
    Row(
        "std_for_variance",
        _counted(lambda mu: mu.std(0, unbiased=False)),
        "The standard deviation is compared with the threshold, or the variance with its square. "
        "Compare the variance with the threshold itself.",
    ),
    Row(
        "not_strict",
        lambda mu, threshold=0.01: (mu.var(0) >= threshold).sum(),
        "A latent at the threshold counts here. It has to be strictly above: with threshold 0 a "
        "constant latent is not active.",
    ),
    Row(
        "mean_of_squares",
        _counted(lambda mu: (mu**2).mean(0)),
        "This is the mean of mu squared. The variance subtracts the mean over the data first: a "
        "latent with the same mu for every example says nothing, wherever that mu is.",
    ),
    Row(
        "mean_of_squares",
        _counted(lambda mu: 0.5 * (mu**2).mean(0)),
        "This is the mean of mu squared over two, a part of the KL. The variance of mu is asked.",
    ),
    Row(
        "mean_instead_of_variance",
        _counted(lambda mu: mu.mean(0).abs()),
        "The mean of mu over the data is compared. Its variance is asked.",
    ),
    Row(
        "mean_instead_of_variance",
        _counted(lambda mu: mu.mean(0)),
        "The mean of mu over the data is compared. Its variance is asked.",
    ),
    Row(
        "mean_instead_of_variance",
        _counted(lambda mu: mu.abs().mean(0)),
        "The mean size of mu is compared. Its variance is asked.",
    ),
    Row(
        "threshold_ignored",
        lambda mu, threshold=0.01: _active(mu),
        "The threshold is always 0.01 here. Use the argument.",
    ),
    Row(
        "counts_inactive",
        lambda mu, threshold=0.01: (mu.var(0) < threshold).sum(),
        "These are the latents below the threshold, the inactive ones.",
    ),
    Row(
        "counts_inactive",
        lambda mu, threshold=0.01: (mu.var(0) <= threshold).sum(),
        "These are the latents that are not above the threshold, the inactive ones.",
    ),
    Row(
        "counts_all",
        lambda mu, threshold=0.01: torch.tensor(mu.shape[1]),
        "This is the number of all latents. len of a mask counts False, too: sum it.",
    ),
    Row(
        "mean_of_variances",
        lambda mu, threshold=0.01: (mu.var(0).mean() > threshold).int(),
        "The variances are averaged over the latents before they are compared. Compare each, then "
        "count.",
    ),
    Row(
        "mean_of_variances",
        lambda mu, threshold=0.01: mu.var(0).mean(),
        "This is the mean of the variances. Compare each with the threshold, then count.",
    ),
    Row(
        "mean_of_variances",
        lambda mu, threshold=0.01: mu.var(0, unbiased=False).mean(),
        "This is the mean of the variances. Compare each with the threshold, then count.",
    ),
    Row(
        "sum_of_variances",
        lambda mu, threshold=0.01: mu.var(0).sum(),
        "This is the sum of the variances. Compare each with the threshold, then count.",
    ),
    Row(
        "fraction",
        lambda mu, threshold=0.01: (mu.var(0) > threshold).double().mean(),
        "This is the share of the latents that are active. Their number is asked.",
    ),
    Row(
        "not_counted",
        lambda mu, threshold=0.01: mu.var(0) > threshold,
        "You return which latents are active. Count them: an int is asked.",
    ),
    Row(
        "not_counted",
        lambda mu, threshold=0.01: mu.var(0),
        "You return the variance of each latent. Compare with the threshold, and count.",
    ),
    Row(
        "not_counted",
        lambda mu, threshold=0.01: mu.var(0, unbiased=False),
        "You return the variance of each latent. Compare with the threshold, and count.",
    ),
    Row(
        "not_counted",
        lambda mu, threshold=0.01: (mu.var(0) > threshold).nonzero().flatten(),
        "You return the indices of the active latents. Their number is asked.",
    ),
    Row(
        "not_counted",
        lambda mu, threshold=0.01: (mu.var(0) > threshold).any().int(),
        "You return whether any latent is active. Their number is asked.",
    ),
    Row(
        "elementwise",
        lambda mu, threshold=0.01: (mu.abs() > threshold).sum(),
        "Every single mu is compared and counted. Take the variance over the data first.",
    ),
    Row(
        "elementwise",
        lambda mu, threshold=0.01: (mu > threshold).sum(),
        "Every single mu is compared and counted. Take the variance over the data first.",
    ),
    Row(
        "elementwise",
        lambda mu, threshold=0.01: (mu.abs() > threshold).any(0).sum(),
        "A latent counts here as soon as one mu exceeds the threshold. Compare its variance.",
    ),
    Row(
        "sum_of_squares",
        lambda mu, threshold=0.01: (((mu - mu.mean(0)) ** 2).sum(0) > threshold).sum(),
        "The squares are summed over the data. A variance is their mean.",
    ),
    Row(
        "range_for_variance",
        lambda mu, threshold=0.01: (mu.amax(0) - mu.amin(0) > threshold).sum(),
        "The range of mu, largest minus smallest, is compared. Its variance is asked.",
    ),
    Row(
        "threshold_ignored",
        lambda mu, threshold=0.1: _active(mu, threshold),
        "Without an argument the threshold has to be 0.01; yours seems to be 0.1.",
    ),
    Row(
        "variance_of_everything",
        lambda mu, threshold=0.01: (mu.var() > threshold).int(),
        "This is one variance over examples and latents together. Take one for each latent, axis 0.",
    ),
    Row(
        "sum_of_variances",
        lambda mu, threshold=0.01: (mu.var(0).sum() > threshold).int(),
        "The variances are summed before they are compared. Compare each, then count.",
    ),
    Row(
        "one_less",
        lambda mu, threshold=0.01: _active(mu, threshold) + 1,
        "Your count is one too high.",
    ),
    Row(
        "one_less",
        lambda mu, threshold=0.01: _active(mu, threshold) - 1,
        "Your count is one too low.",
    ),
    Row(
        "variance_squared",
        _counted(lambda mu: mu.var(0) ** 2),
        "The variance is squared before it is compared.",
    ),
)


def _active_hidden(inputs: Inputs) -> list[dict]:
    return [
        call(_means(inputs, 100, active=11, small=7, dead=5, shifted=6, shifted_active=4)),
        call(_means(inputs, 60, active=1, grad=True)),
        call(_means(inputs, 60, shifted=1, grad=True)),
        call(_means(inputs, 50, active=3, moderate=8, shifted=5, dtype="float32"), number(0.1)),
        call(_means(inputs, 4, active=3, constant=4, constant_shifted=5), number(0.0)),
    ]


active_units = Exercise(
    "active_units",
    _active_calls,
    Comparison(
        truth=_active,
        arguments=("mu", "threshold"),
        table=_ACTIVE,
        what="a Python int",
        errors=(
            (
                r"Can't call numpy\(\) on Tensor that requires grad",
                "needs_detach",
                "mu may come from an encoder and require a gradient, and numpy does not take it. Use "
                "detach(), or stay with torch.",
            ),
        ),
        integer=True,
    ),
    hidden=_active_hidden,
)

EXERCISES = (iwae_bound, bits_per_dim, active_units)
