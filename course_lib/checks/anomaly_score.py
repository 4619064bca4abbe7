"""The judge of an anomaly score, -IWAE of a model.

The score is random, and is judged with models whose log weights are known. Where q(z|x) is the true
posterior, every log weight is log p(x), whatever was drawn: chance has no part in a right answer,
and a wrong formula shows at once ("exact"). Where q is the posterior shifted by ``tilt`` of its
standard deviations, a log weight is log p(x) - tilt^2 / 2 - tilt * e with a standard normal e: that
gives the expectation for every K, and with K = 1 the noise itself can be read off ("tilted").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributions as D

from course_lib.checks import faults, noise
from course_lib.checks.estimates import Estimation, Row, Truth
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.arguments import build, model
from course_lib.checks.probes.latent_model import LinearModel
from course_lib.checks.probes.plain import tensor
from course_lib.checks.result import Result


def _case(
    inputs: Inputs,
    shape: list[int],
    latents: int,
    *,
    tilt: float = 0.0,
    alike: bool = False,
    far: float = 0.0,
    dtype: str = "float64",
) -> list[dict]:
    """Return a model and images ``shape``; each pixel depends on one latent only.

    Args:
        inputs: where the numbers come from.
        shape: of the images, ``[B, ...]``.
        latents: how many.
        tilt: how far the mean of q is off, in standard deviations and all latents together.
        alike: whether the images are copies of one.
        far: how many standard deviations the pixels are off besides.
        dtype: of everything.
    """
    batch, pixels = shape[0], math.prod(shape[1:])
    own = [d % latents for d in range(pixels)]
    sigma = inputs.uniform(0.08, 0.14)  # so that log q(z|x) is far from 0 on average
    weight = [inputs.choice((-1, 1)) * inputs.uniform(0.3, 0.8) for _ in own]
    bias = [inputs.gauss(0.5, 0.3) for _ in own]
    mean = [inputs.choice((-1, 1)) * inputs.uniform(0.6, 1.2) for _ in range(latents)]
    std = [inputs.uniform(0.5, 0.8) for _ in range(latents)]
    squares = [sum(weight[d] ** 2 for d in range(pixels) if own[d] == j) for j in range(latents)]
    precision = [s**-2 + total / sigma**2 for s, total in zip(std, squares, strict=True)]
    encoder = [
        weight[d] / sigma**2 / precision[j] if own[d] == j else 0.0
        for d in range(pixels)
        for j in range(latents)
    ]
    offset = [
        mean[j] / std[j] ** 2 / precision[j]
        - sum(bias[d] * encoder[d * latents + j] for d in range(pixels))
        + inputs.choice((-1, 1)) * tilt / math.sqrt(latents * precision[j])
        for j in range(latents)
    ]

    def image() -> list[float]:
        z = [inputs.gauss(m, s) for m, s in zip(mean, std, strict=True)]
        stray = [inputs.choice((-1, 1)) * inputs.uniform(far, 1.5 * far) for _ in own]
        return [
            bias[d] + weight[d] * z[own[d]] + sigma * (inputs.gauss(0, 1.5) + stray[d])
            for d in range(pixels)
        ]

    x = image() * batch if alike else [v for _ in range(batch) for v in image()]
    decoder = [weight[d] * (own[d] == j) for j in range(latents) for d in range(pixels)]

    def plain(data: list[float], *lengths: int) -> dict:
        return tensor(data, list(lengths), dtype)

    parts = {
        "prior_mean": plain(mean, latents),
        "prior_std": plain(std, latents),
        "encoder": plain(encoder, pixels, latents),
        "encoder_bias": plain(offset, latents),
        "posterior_std": plain([p**-0.5 for p in precision], latents),
        "decoder": plain(decoder, latents, pixels),
        "decoder_bias": plain(bias, *shape[1:]),
        "pixel_std": plain([sigma]),
    }
    return [model(**parts), plain(x, *shape)]


_TILTED = 160  # images in a call: each is an estimate of the same number


def calls(inputs: Inputs) -> list[dict]:
    batch, draws = inputs.choice(((5, 3), (4, 6), (6, 4)))
    tilted = _case(inputs, [_TILTED, 6], 2, tilt=inputs.uniform(1.5, 1.7), alike=True)
    return [
        call(*_case(inputs, [batch, 6], 2), number(draws), times=8, tag="exact"),
        call(*_case(inputs, [3, 1, 2, 4], 3), number(5), times=8, tag="exact", every_device=True),
        call(*_case(inputs, [4, 1, 3, 2], 2, dtype="float32"), number(2), times=5, tag="exact"),
        call(*_case(inputs, [5, 4], 1), number(1), times=4, tag="exact"),
        call(*_case(inputs, [1, 1, 2, 3], 2), number(4), times=6, tag="exact"),
        call(*tilted, number(1), tag="tilted"),
        call(*tilted, number(2), times=4, tag="tilted"),
        call(*tilted, number(8), tag="tilted"),
        call(*_case(inputs, [3, 1, 2, 4], 2, far=25.0), number(3), tag="extreme"),
    ]


def hidden(inputs: Inputs) -> list[dict]:
    return [
        call(*_case(inputs, [2, 1, 28, 28], 5), number(7), tag="exact"),
        call(*_case(inputs, [9, 2, 3, 2], 4, dtype="float32"), number(20), tag="exact"),
        call(*_case(inputs, [200, 5], 1, tilt=1.2, alike=True), number(3), times=2, tag="tilted"),
        call(*_case(inputs, [2, 30], 2, far=30.0), number(12), tag="extreme"),
        call(*_case(inputs, [2, 10], 2, far=18.0, dtype="float32"), number(2), tag="extreme"),
    ]


def _double(m: LinearModel, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    return {name: p.detach().double() for name, p in m.named_parameters()}, x.double().flatten(1)


def _nats(m: LinearModel, x: Tensor) -> Tensor:
    """-log p(x), ``[B]``: x is normal."""
    p, x = _double(m, x)
    loc = p["decoder_bias"].flatten() + p["prior_mean"] @ p["decoder"]
    factor = p["decoder"].T * p["prior_std"]
    spread = p["pixel_std"].square().expand_as(loc)
    return -D.LowRankMultivariateNormal(loc, factor, spread).log_prob(x)


def _tilt(m: LinearModel, x: Tensor) -> float:
    """How many standard deviations the mean of q is off; 0 where it is rounding."""
    p, x = _double(m, x)
    precision = p["prior_std"] ** -2 + p["decoder"].square().sum(1) / p["pixel_std"] ** 2
    pull = (x - p["decoder_bias"].flatten()) @ p["decoder"].T / p["pixel_std"] ** 2
    exact = (p["prior_mean"] / p["prior_std"] ** 2 + pull) / precision
    off = x @ p["encoder"] + p["encoder_bias"] - exact
    tilt = float((off * precision.sqrt()).norm(dim=1)[0])
    return tilt if tilt > 0.01 else 0.0


def _gap(tilt: float, draws: int) -> float:
    """The expectation of log p(x) - IWAE-K: the integral of (exp(-t) - E exp(-t S)) / t is E log S
    (Frullani) for the sum S of the weights, and the weights are independent."""
    e = torch.linspace(-10, 10, 501, dtype=torch.float64)
    density = (-0.5 * e.square()).exp() / math.sqrt(2 * math.pi)
    weight = (-0.5 * tilt**2 - tilt * e).exp()
    u = torch.linspace(-40, 40, 1601, dtype=torch.float64)
    t = u.exp()[:, None]
    each = torch.trapezoid(density * (-t * weight).exp(), e)
    log_sum = torch.trapezoid((-t[:, 0]).exp() - each**draws, u)
    return math.log(draws) - float(log_sum)


def _score_truth(m: LinearModel, x: Tensor, num_samples: int) -> Truth:
    nats, tilt = _nats(m, x), _tilt(m, x)
    if not tilt:
        none = torch.zeros_like(nats)
        return Truth(nats, none, False, none)
    e = torch.randn(4000, num_samples, dtype=torch.float64)
    spread = (-tilt * e).logsumexp(1).std().expand_as(nats)
    return Truth(nats + _gap(tilt, num_samples), spread, True, spread)


class _Terms(NamedTuple):
    """Draws and their log densities: ``z`` is ``[..., K, B, L]``, the densities ``[..., K, B]``."""

    model: LinearModel
    x: Tensor
    q: D.Distribution
    z: Tensor

    @property
    def px(self) -> Tensor:
        return self.model.likelihood(self.z).log_prob(self.x)

    @property
    def pz(self) -> Tensor:
        return self.model.prior().log_prob(self.z)

    @property
    def qz(self) -> Tensor:
        return self.q.log_prob(self.z)

    @property
    def w(self) -> Tensor:
        return self.px + self.pz - self.qz

    @property
    def standard(self) -> Tensor:
        return (-0.5 * (self.z.square() + math.log(2 * math.pi))).sum(-1)

    @property
    def at_mean(self) -> D.Distribution:
        return self.model.likelihood(self.q.mean)

    def kl(self, p: D.Distribution | None = None) -> Tensor:
        return D.kl_divergence(self.q, p or self.model.prior()).expand(*self.z.shape[:-3], -1)


def _bound(w: Tensor, dim: int = -2) -> Tensor:
    return torch.logsumexp(w, dim) - math.log(w.shape[dim])


def _from_q(m: LinearModel, q: D.Distribution, shape: tuple[int, ...]) -> Tensor:
    return q.sample(shape)


def _from_prior(m: LinearModel, q: D.Distribution, shape: tuple[int, ...]) -> Tensor:
    return m.prior().sample((*shape, *q.batch_shape))


def _by_hand(draw: Callable[..., Tensor], scale: Callable) -> Callable[..., Tensor]:
    def source(m: LinearModel, q: D.Distribution, shape: tuple[int, ...]) -> Tensor:
        return q.mean + scale(q) * draw((*shape, *q.mean.shape), dtype=q.mean.dtype)

    return source


class _Score:
    """An estimator made of a formula on the draws, of where they come from, and of their number."""

    def __init__(
        self,
        formula: Callable[[_Terms], Tensor],
        source: Callable[..., Tensor] = _from_q,
        count: Callable[[int], int] = lambda k: k,
    ) -> None:
        self.formula, self.source, self.count = formula, source, count

    def __call__(self, m: LinearModel, x: Tensor, num_samples: int) -> Tensor:
        return self.many(1, m, x, num_samples)[0]

    def many(self, runs: int, m: LinearModel, x: Tensor, num_samples: int) -> Tensor:
        with torch.no_grad():
            q = m.posterior(x)
            z = self.source(m, q, (runs, self.count(num_samples)))
            return self.formula(_Terms(m, x, q, z)).double()


def _scored(mistake: str, formula: Callable[[_Terms], Tensor], sentence: str) -> Row:
    return Row(mistake, _Score(formula), sentence)


def _s(t: _Terms) -> Tensor:
    return -_bound(t.w)


def _range(s: Tensor) -> Tensor:
    return s.amax(-1, keepdim=True) - s.amin(-1, keepdim=True)


_RECONSTRUCTION = (
    "This is the reconstruction alone: how well the decoder copies the image. The prior and q are "
    "missing, so that an image whose code is far from all others costs nothing. The log weight is "
    "log p(x|z) + log p(z) - log q(z|x)."
)
_OTHERS = (
    "The score of an image depends on the other images of the batch: the same image gets another "
    "score in other company, and no threshold fits. Return -IWAE as it is."
)
_ELBO = (
    "This is -ELBO: the logs of the weights are averaged (the KL stands in for a part of them). "
    "The IWAE bound is the log of the mean of the weights."
)
_PRIOR = (
    "The prior of this model is not N(0, I), and a model may have learned it. Ask for it: "
    "model.prior().log_prob(z)."
)


def _standard_kl(t: _Terms) -> Tensor:
    zero = torch.zeros_like(t.q.mean)
    return t.kl(D.Independent(D.Normal(zero, torch.ones_like(zero)), 1))


def _square(t: _Terms) -> Tensor:
    return (t.at_mean.mean - t.x).square().flatten(1).expand(*t.z.shape[:-3], -1, -1)


# fmt: off
_EXACT_ROWS = (
    _scored("sign", lambda t: _bound(t.w), "The sign is turned: a likely image gets the high score. Higher has to be stranger."),
    _scored("missing_log_k", lambda t: -torch.logsumexp(t.w, -2), "The weights are summed. The bound has their mean: log K is subtracted in it, and so added to the score. Without it, scores for different K cannot be compared."),
    _scored("missing_log_k", lambda t: -torch.logsumexp(t.w, -2) - math.log(t.w.shape[-2]), "log K has the wrong sign. The score is log K - logsumexp(log_w)."),
    _scored("mean_of_logs", lambda t: t.kl() - t.px.mean(-2), _ELBO),
    _scored("mean_of_logs", lambda t: t.kl() - t.px[..., 0, :], f"{_ELBO} Besides, there is one draw only."),
    _scored("mean_of_logs", lambda t: t.kl() - t.at_mean.log_prob(t.x), f"{_ELBO} Besides, nothing is drawn: z is the mean of q."),
    _scored("standard_normal_prior", lambda t: _standard_kl(t) - t.px.mean(-2), f"{_PRIOR} Besides: {_ELBO}"),
    _scored("sum_of_logs", lambda t: -t.w.sum(-2), "The log weights are summed over the draws. The bound is the log of the mean of the weights."),
    _scored("log_q_sign", lambda t: -_bound(t.px + t.pz + t.qz), "log q(z|x) is added. It is divided by, so it is subtracted: log p(x|z) + log p(z) - log q(z|x)."),
    _scored("missing_log_q", lambda t: -_bound(t.px + t.pz), "log q(z|x) is missing. The draws come from q and not from the prior; dividing by q makes up for it."),
    _scored("missing_log_q", lambda t: -(t.px + t.pz).mean(-2), "log q(z|x) is missing, and the logs are averaged."),
    _scored("missing_prior", lambda t: -_bound(t.px - t.qz), "log p(z) is missing. The log weight is log p(x|z) + log p(z) - log q(z|x)."),
    _scored("prior_sign", lambda t: -_bound(t.px - t.pz + t.qz), "log p(z) - log q(z|x) has the wrong sign: it is added to log p(x|z)."),
    _scored("prior_sign", lambda t: -_bound(t.px - t.pz - t.qz), "log p(z) is subtracted. The log weight is log p(x|z) + log p(z) - log q(z|x)."),
    _scored("standard_normal_prior", lambda t: -_bound(t.px + t.standard - t.qz), _PRIOR),
    _scored("likelihood_sign", lambda t: -_bound(-t.px + t.pz - t.qz), "log p(x|z) is subtracted. The log weight is log p(x|z) + log p(z) - log q(z|x)."),
    _scored("kl_in_the_weights", lambda t: t.kl() - _bound(t.px), "The KL stands in the weights. It is an average over q; inside the log of a mean each draw needs its own log p(z) - log q(z|x)."),
    _scored("kl_in_the_weights", lambda t: _standard_kl(t) - _bound(t.px), f"The KL to N(0, I) stands in the weights. Each draw needs its own log p(z) - log q(z|x). {_PRIOR}"),
    _scored("kl_sign", lambda t: -t.kl() - t.px.mean(-2), "The KL has the wrong sign, and this is the ELBO besides: average weights, not logs."),
    _scored("reconstruction_only", lambda t: -t.px.mean(-2), _RECONSTRUCTION),
    _scored("reconstruction_only", lambda t: -_bound(t.px), _RECONSTRUCTION),
    _scored("reconstruction_only", lambda t: -t.px[..., 0, :], _RECONSTRUCTION),
    _scored("reconstruction_only", lambda t: -t.px.sum(-2), _RECONSTRUCTION),
    _scored("reconstruction_only", lambda t: -t.at_mean.log_prob(t.x).expand(len(t.z), -1), _RECONSTRUCTION),
    _scored("squared_error", lambda t: _square(t).sum(-1), "This is the squared error of the reconstruction. The score is minus the IWAE bound."),
    _scored("squared_error", lambda t: _square(t).mean(-1), "This is the mean squared error of the reconstruction. The score is minus the IWAE bound."),
    Row("prior_draws", _Score(lambda t: -_bound(t.px), _from_prior), "The draws come from the prior. Few of them explain the image, and the estimate is far off where there are many latents: draw from q(z|x)."),
    _scored("kl_only", lambda t: t.kl(), "This is the KL alone: how far the code is from the prior. The score is minus the IWAE bound."),
    _scored("kl_only", lambda t: (t.qz - t.pz).mean(-2), "log p(x|z) is missing: this estimates the KL alone. The score is minus the IWAE bound."),
    _scored("averaged_over_batch", lambda t: _s(t).mean(-1), "The scores are averaged over the batch. Each image needs its own: [B]."),
    _scored("summed_over_batch", lambda t: _s(t).sum(-1), "The scores are summed over the batch. Each image needs its own: [B]."),
    _scored("standardized", lambda t: (_s(t) - _s(t).mean(-1, keepdim=True)) / _s(t).std(-1, keepdim=True), _OTHERS),
    _scored("standardized", lambda t: (_s(t) - _s(t).mean(-1, keepdim=True)) / _s(t).std(-1, keepdim=True, correction=0), _OTHERS),
    _scored("standardized", lambda t: _s(t) - _s(t).mean(-1, keepdim=True), _OTHERS),
    _scored("standardized", lambda t: _s(t) - _s(t).amin(-1, keepdim=True), _OTHERS),
    _scored("standardized", lambda t: _s(t) - _s(t).median(-1, keepdim=True).values, _OTHERS),
    _scored("standardized", lambda t: (_s(t) - _s(t).amin(-1, keepdim=True)) / _range(_s(t)), _OTHERS),
    _scored("standardized", lambda t: _s(t).softmax(-1), _OTHERS),
    _scored("wrong_axis", lambda t: -_bound(t.w, -1), "The mean is over the batch. log_w is [K, B]: average over the K draws, axis 0."),
    _scored("wrong_axis", lambda t: -torch.logsumexp(t.w, -1) + math.log(t.w.shape[-2]), "The sum is over the batch. log_w is [K, B]: sum over the K draws, axis 0."),
    _scored("wrong_axis", lambda t: -_bound(t.w.flatten(-2), -1), "The mean is over draws and batch. Average over the draws only, axis 0: one score for each image."),
    _scored("wrong_count", lambda t: math.log(t.w.shape[-1]) - torch.logsumexp(t.w, -2), "The log of the batch size is added. Add log K, the number of draws."),
    _scored("wrong_count", lambda t: t.w.shape[-2] - torch.logsumexp(t.w, -2), "K itself is added. Add its logarithm."),
    _scored("wrong_count", lambda t: -torch.logsumexp(t.w, -2) / t.w.shape[-2], "The log of the sum is divided by K. Add log K to the score instead."),
    _scored("not_averaged", lambda t: -t.w, "There is one value for each draw. Average the weights over the draws, axis 0: [B]."),
    _scored("missing_log", lambda t: -t.w.exp().mean(-2), "The log of the mean weight is missing."),
    _scored("missing_log", lambda t: -t.w.exp().sum(-2), "The log is missing, and the weights are summed."),
    _scored("missing_log", lambda t: 1 / t.w.exp().mean(-2), "This is one over the mean weight. Its logarithm is the score."),
    _scored("per_pixel", lambda t: _s(t) / t.x[0].numel(), "The score is divided by the number of pixels. Nats per image are asked."),
    _scored("bits", lambda t: _s(t) / math.log(2), "You return bits. Nats are asked: leave the natural logarithm."),
    _scored("absolute", lambda t: _s(t).abs(), "The absolute value is taken. A density may be above 1, and -log p(x) below 0."),
    _scored("absolute", lambda t: _s(t).clamp(min=0), "The score is cut at 0. A density may be above 1, and -log p(x) below 0."),
    _scored("kept_axis", lambda t: -_bound(t.w)[..., None, :], "The axis of the draws is kept with length 1. Leave out keepdim=True."),
)

_NOT_USED = "Scores for num_samples = 1, 2 and 8 vary alike: num_samples is not used, or one draw stands in for all of them. Draw z for each of the K samples: q.sample((num_samples,))."
_WRONG_NOISE = "Let q draw: q.sample((num_samples,)) has its mean and its standard deviation."

_TILTED_ROWS = (
    _scored("mean_of_logs", lambda t: -t.w.mean(-2), "This is -ELBO: the mean of the logs. The IWAE bound is the log of the mean of the weights."),
    _scored("maximum", lambda t: -t.w.amax(-2), "Only the largest weight counts. The bound is the log of the mean of the weights."),
    _scored("maximum", lambda t: -t.w.amin(-2), "Only the smallest weight counts. The bound is the log of the mean of the weights."),
    _scored("median", lambda t: -t.w.median(-2).values, "This is the median of the log weights. The bound is the log of the mean of the weights."),
    Row("ignores_num_samples", _Score(_s, count=lambda k: 1), _NOT_USED),
    Row("too_few_samples", _Score(_s, count=lambda k: max(k - 1, 1)), "One draw less than num_samples counts."),
    Row("too_few_samples", _Score(_s, count=lambda k: max(k // 2, 1)), "Only half of num_samples are drawn."),
    _scored("weighted_mean", lambda t: -(t.w.softmax(-2) * t.w).sum(-2), "This is the mean of the log weights under the normalized weights. The bound is the log of their mean."),
    Row("prior_draws", _Score(_s, _from_prior), "The draws come from the prior, and are divided by q. Draw from q(z|x)."),
    Row("wrong_noise", _Score(_s, _by_hand(torch.randn, lambda q: q.variance)), f"The noise is scaled by the variance of q. {_WRONG_NOISE}"),
    Row("wrong_noise", _Score(_s, _by_hand(torch.randn, lambda q: 1.0)), f"The noise is not scaled by the standard deviation of q. {_WRONG_NOISE}"),
    Row("wrong_noise", _Score(_s, _by_hand(torch.rand, lambda q: q.stddev)), f"The noise is uniform (rand). {_WRONG_NOISE}"),
)
# fmt: on


def _estimation(table: tuple[Row, ...]) -> Estimation:
    return Estimation(
        truth=_score_truth,
        right=_Score(_s),
        arguments=("model", "x", "num_samples"),
        table=table,
        what="a tensor of shape [B]",
        errors=(
            (
                r"has no attribute '(encode|decode|reparameterize|encoder|decoder)\w*'"
                r"|missing the required .forward",
                "encode_and_decode",
                "Only three things are promised of a model: model.prior(), model.posterior(x) and "
                "model.likelihood(z). Each returns a distribution.",
            ),
        ),
    )


def judge(exercise: Exercise, calls: list[dict], record: list) -> Result:
    faults.finished_runs(calls, record)  # refuses a report with missing runs
    parts = {"exact": _EXACT_ROWS, "tilted": _TILTED_ROWS, "extreme": ()}
    for tag, table in parts.items():
        some = [(c, r) for c, r in zip(calls, record, strict=False) if c["tag"] == tag]
        found = [{**c, "tag": "plain"} for c, _ in some], [runs for _, runs in some]
        if tag == "tilted":
            fault = _noise(exercise, *found)
            if fault:
                return fault
        result = _estimation(table)(exercise, *found)
        if tag == "extreme" and result.mistake in ("not_finite", None) and not result.passed:
            message = (
                "Right on likely images, wrong on one that is stranger: exp(-1000) is zero in floating "
                "point, and -log p(x) of images is that large. Use torch.logsumexp."
            )
            result = replace(result, mistake="unstable", message=message)
        result = result if not result.passed or tag != "tilted" else _spread(exercise, *found)
        if result and not result.passed:
            return result
    for run in (run for runs in record for run in runs):
        if run["value"].get("device") != run["device"]:
            message = f"The images are on {run['device']} and the scores are not."
            return faults.failed(exercise, "wrong_device", message)
    message = "-IWAE for every image: right formula, fresh draws, num_samples of them."
    return Result(exercise.name, True, None, message)


def _noise(exercise: Exercise, calls: list[dict], record: list) -> Result | None:
    """Read the noise off the scores: nothing drawn, shared by images, or num_samples not used."""
    seen: dict[int, Tensor] = {}
    for one, runs in zip(calls, record, strict=True):
        if any("problem" in run for run in runs):
            return None
        m, x, draws = (build(a) for a in one["args"])
        values = [faults.plain_values(run["value"]) for run in runs]
        if any(v.shape != x.shape[:1] for v in values):
            return None
        tilt = _tilt(m, x)
        e = (torch.stack(values) - _nats(m, x) - 0.5 * tilt**2) / tilt
        if not torch.isfinite(e).all():
            return None
        seen[draws] = e
        if (e.abs() < 1e-4).all() and draws == 1:
            message = "Nothing is drawn: z is the mean of q. Draw it: q.sample((num_samples,))."
            return faults.failed(exercise, "no_noise", message)
        if (e.std(1) < 1e-4).all() and (draws == 1 or (e[0] - e[0, 0]).abs().max() < 1e-4):
            message = (
                "All images of the batch get the same noise, so their scores go up and down "
                "together. Draw it for each image: q.sample((num_samples,)) does."
            )
            return faults.failed(exercise, "shared_across_batch", message)
    one, eight = seen.get(1), seen.get(8)
    if one is not None and eight is not None:
        error = (one.var() / one.numel() + eight.var() / eight.numel()).sqrt()
        alike = 0.75 < eight.std() / one.std() < 1.35
        if alike and (one.mean() - eight.mean()).abs() < 4 * error:
            return faults.failed(exercise, "ignores_num_samples", _NOT_USED)
    if one is not None and abs(one.mean()) < 0.3 and not noise.is_standard_normal(one.flatten()):
        off = f"here it has mean {one.mean():.2f} and standard deviation {one.std():.2f}"
        message = f"Scores of one draw tell its noise, which should be a standard normal; {off}. "
        return faults.failed(exercise, "wrong_noise", message + _WRONG_NOISE)
    return None


def _spread(exercise: Exercise, calls: list[dict], record: list) -> Result | None:
    """Compare how far scores vary: too few draws show in it before they show in the mean."""
    for one, runs in zip(calls, record, strict=True):
        m, x, draws = (build(a) for a in one["args"])
        values = torch.stack([faults.plain_values(run["value"]) for run in runs]).flatten()
        right = (-_tilt(m, x) * torch.randn(20_000, draws, dtype=torch.float64)).logsumexp(1)
        right = (right - right.mean()).square()
        error = right.std() / math.sqrt(len(values)) / right.mean()
        ratio = values.var() / right.mean()
        if abs(ratio - 1) > 6 * error:
            message = (
                f"With num_samples = {draws} the variance of the scores is {ratio:.2g} times that of "
                f"scores from {draws} independent draws. Are all of them drawn, and each afresh?"
            )
            mistake = "too_few_samples" if ratio > 1 else "not_independent"
            return faults.failed(exercise, mistake, message)
    return None
