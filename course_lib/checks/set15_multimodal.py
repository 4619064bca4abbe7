"""Checks of set 15: the product of experts, for whichever modalities are there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks.comparing import Row
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.pairs import PairComparison
from course_lib.checks.probes.plain import tensor

Pair = tuple[Tensor, Tensor]
Shape = tuple[int, int, int]
_RUBBISH = 40.0  # what stands in the means of missing experts goes up to this


def _product(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
    log_precision = torch.where(mask.bool().unsqueeze(-1), -logvars, -torch.inf)
    log_precision = torch.cat([torch.zeros_like(logvars[:1]), log_precision])
    share = torch.softmax(log_precision, 0)[1:]
    return (share * mus).sum(0), -torch.logsumexp(log_precision, 0)


# --- inputs --------------------------------------------------------------------------------------


def _mask(inputs: Inputs, experts: int, batch: int, *, most: int | None = None) -> list[bool]:
    """Return a mask [M, B]: in each row something is there; the first expert misses a row."""
    most = experts if most is None else most
    rows = []
    for b in range(batch):
        lowest = 1 if experts > 1 else 0
        candidates = range(lowest, experts) if b == 0 else range(experts)
        count = inputs.randint(1, min(most, len(candidates)))
        there = set(inputs.sample(candidates, count))
        rows.append([m in there for m in range(experts)])
    return [rows[b][m] for m in range(experts) for b in range(batch)]


def _experts(
    inputs: Inputs,
    shape: Shape,
    *,
    mask: list[bool] | None = None,
    logvars: tuple[float, float] = (-3.0, 2.0),
    tag: str = "plain",
    dtype: str = "float64",
    grad: bool = True,
    times: int = 1,
) -> dict:
    experts, batch, latents = shape
    mask = _mask(inputs, experts, batch) if mask is None else mask
    mus = inputs.normal(*shape, std=2.0, dtype=dtype, grad=grad)
    spread = inputs.between(*logvars, *shape, dtype=dtype, grad=grad)
    for i, there in enumerate(mask):
        if not there:
            cells = slice(i * latents, (i + 1) * latents)
            mus["data"][cells] = [inputs.uniform(-_RUBBISH, _RUBBISH) for _ in range(latents)]
            spread["data"][cells] = [inputs.uniform(-5.0, 5.0) for _ in range(latents)]
    weights = [inputs.away_from_zero(0.5, 1.5, batch, latents) for _ in range(2)]
    plain_mask = tensor([float(there) for there in mask], [experts, batch], "bool")
    return call(mus, spread, plain_mask, tag=tag, times=times, weights=weights if grad else None)


def _calls(inputs: Inputs) -> list[dict]:
    latents = inputs.choice((4, 6))
    rows_with_none = [True, False, True, False, False, True, False, False]  # [2, 4]
    return [
        _experts(inputs, (3, 5, 2), grad=False, times=2),
        _experts(inputs, (2, 5, latents)) | {"every_device": True},
        _experts(inputs, (4, 3, 2), dtype="float32"),
        _experts(inputs, (3, 4, 6), mask=[True] * 12),
        _experts(inputs, (4, 6, 3), logvars=(0.5, 3.0)),
        _experts(inputs, (1, 3, 5), mask=[True] * 3),
        _experts(inputs, (2, 4, 3), mask=rows_with_none, tag="extreme"),
        _experts(inputs, (3, 4, 2), logvars=(-25.0, -15.0), tag="extreme"),
        _experts(inputs, (3, 4, 5), logvars=(-30.0, 30.0), tag="extreme", dtype="float32"),
    ]


def _hidden(inputs: Inputs) -> list[dict]:
    return [
        _experts(inputs, (7, 20, 8)),
        _experts(inputs, (2, 9, 1)),
        _experts(inputs, (5, 1, 3), dtype="float32"),
        _experts(inputs, (3, 4, 7), mask=[False] * 12, tag="extreme"),
        _experts(inputs, (3, 6, 4), logvars=(-32.0, 32.0), tag="extreme"),
    ]


# --- wrong products ------------------------------------------------------------------------------


def _precisions(mus: Tensor, logvars: Tensor, mask: Tensor) -> Tensor:
    return torch.exp(-logvars) * mask.unsqueeze(-1)


def _joined(
    precisions: Callable[..., Tensor] = _precisions,
    prior: Callable[[Tensor], Tensor] | float = 1.0,
    out: Callable[[Tensor], Tensor] = lambda total: -total.log(),
    axis: int = 0,
) -> Callable[..., Pair]:
    """Return the product with other precisions, another prior, or another second part."""

    def formula(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
        T = precisions(mus, logvars, mask)
        total = T.sum(axis) + (prior(mask) if callable(prior) else prior)
        return (T * mus).sum(axis) / total, out(total)

    return formula


def _prepared(change: Callable[..., tuple[Tensor, Tensor, Tensor]], **other) -> Callable[..., Pair]:
    return lambda *args: _joined(**other)(*change(*args))


def _half(mu: Callable[..., Pair], logvar: Callable[..., Pair]) -> Callable[..., Pair]:
    """Take the mean of one formula and the log variance of another."""
    return lambda *args: (mu(*args)[0], logvar(*args)[1])


def _mean_of(count_prior: bool, values: Callable[[Tensor, Tensor], Pair]) -> Callable[..., Pair]:
    """Average values of the experts that are there, with or without the prior's (0 and 0, or 1)."""

    def formula(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
        keep = mask.unsqueeze(-1)
        count = keep.sum(0) + float(count_prior)
        first, second = values(mus, logvars)
        prior = values(torch.zeros(1, dtype=mus.dtype), torch.zeros(1, dtype=mus.dtype))
        extra = prior if count_prior else (0.0, 0.0)
        return tuple(
            ((v * keep).sum(0) + p) / count for v, p in zip((first, second), extra, strict=True)
        )

    return formula


def _averaged(prior: bool) -> Callable[..., Pair]:
    return _mean_of(prior, lambda m, lv: (m, lv))


def _averaged_variance(prior: bool) -> Callable[..., Pair]:
    inner = _mean_of(prior, lambda m, lv: (m, lv.exp()))
    return lambda *args: (inner(*args)[0], inner(*args)[1].log())


def _mixture(prior: bool) -> Callable[..., Pair]:
    inner = _mean_of(prior, lambda m, lv: (m, lv.exp() + m.square()))

    def formula(*args: Tensor) -> Pair:
        mean, second = inner(*args)
        return mean, (second - mean.square()).log()

    return formula


def _summed_logvars(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
    return _product(mus, logvars, mask)[0], (logvars * mask.unsqueeze(-1)).sum(0)


def _summed_variances(prior: float, back: Callable[[Tensor], Tensor] = torch.log):
    def formula(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
        var = (logvars.exp() * mask.unsqueeze(-1)).sum(0) + prior
        return _product(mus, logvars, mask)[0], back(var)

    return formula


def _divided(more: int) -> Callable[..., Pair]:
    def formula(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
        mu, logvar = _product(mus, logvars, mask)
        return mu, logvar + (_counted(mask) + more).log()

    return formula


def _divided_mean(more: int) -> Callable[..., Pair]:
    def formula(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
        mu, logvar = _product(mus, logvars, mask)
        return mu / (_counted(mask) + more), logvar

    return formula


def _not_normalised(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
    T = _precisions(mus, logvars, mask)
    return (T * mus).sum(0), -(1 + T.sum(0)).log()


def _shares_detached(mus: Tensor, logvars: Tensor, mask: Tensor) -> Pair:
    mu, _ = _product(mus, logvars.detach(), mask)
    return mu, _product(mus, logvars, mask)[1]


def _raw(mus: Tensor, logvars: Tensor, mask: Tensor) -> Tensor:
    return torch.exp(-logvars)


def _counted(mask: Tensor) -> Tensor:
    return mask.double().sum(0).unsqueeze(-1)


_NO_PRIOR = (
    "The prior is missing. It is an expert that is always there, with mean 0 and variance 1: it adds 1 to the "
    "sum of the precisions, and nothing to the sum of precision times mean."
)
_PRIOR_OFTEN = "The prior's precision is added once for every modality. There is one prior, however many modalities are there."
_AS_PRIOR = (
    "A missing expert is given mean 0 or log variance 0: that is an expert with variance 1, which says something "
    "and makes the result surer. What is missing has the precision 0: set the precisions to zero by the mask, not "
    "the parameters."
)
_AVERAGE = (
    "You average over the experts. In a product the precisions, exp(-logvar), add up, and each mean counts by its "
    "precision: experts that agree make the result surer than each of them."
)
_ADDED = (
    "You add variances. In a product the precisions, 1 / variance, add up; sums of variances belong to sums of "
    "variables, not to products of densities."
)
_COUNT = (
    "You divide by the number of experts. The precisions of a product add up, and their sum is not divided: two "
    "experts are surer than one."
)
_MIX = (
    "These are mean and variance of a mixture, in which one expert or another is right. In a product all are: the "
    "precisions add up."
)
_SECOND = "The second part is the log of the variance, -log of the summed precision."
_OTHER_AXIS = (
    "You sum over {}. The experts stand on axis 0 of mus and logvars, and the sum is over them."
)
_LOOSE = (
    "Right on ordinary inputs. Two are left. Where nothing is there, the result is the prior, mu 0 and logvar 0. "
    "And an expert may be very sure or very vague, with logvars of -30 or 30: then a clamp, a small constant beside "
    "exp(logvar), or a difference such as 1 - gain spoils the digits."
)
# fmt: off
_OUT = (
    Row("log_precision_returned", lambda t: t.log(), f"The sign of logvar is turned: this is the log of the precision. {_SECOND}"),
    Row("precision_returned", lambda t: t, f"The precision is returned. {_SECOND}"),
    Row("variance_returned", lambda t: 1 / t, f"The variance is returned, and not its logarithm. {_SECOND}"),
    Row("std_returned", lambda t: t.rsqrt(), f"The standard deviation is returned. {_SECOND}"),
    Row("log_std_returned", lambda t: -0.5 * t.log(), f"This is the log of the standard deviation, half of logvar. {_SECOND}"),
)
_SIGN = "The precision of an expert is exp(-logvar); with exp(logvar) its variance is taken for it, and the vaguest expert counts most."
_STD = "The precision is 1 / variance, exp(-logvar). exp(-logvar / 2) is 1 / standard deviation."
_LOG_STD = "logvar is taken for the log of the standard deviation. It is the log of the variance: the precision is exp(-logvar)."
_WHOLE = (
    Row("swapped", lambda *a: _product(*a)[::-1], "The two parts are swapped: mu comes first, then logvar."),
    Row("prior_missing", _joined(prior=0.0), _NO_PRIOR),
    Row("prior_missing", _half(_joined(prior=0.0), _product), f"{_NO_PRIOR} It is missing from the mean only."),
    Row("prior_missing", _half(_product, _joined(prior=0.0)), f"{_NO_PRIOR} It is missing from the variance only."),
    *(Row("prior_missing", _joined(prior=c), f"{_NO_PRIOR} A small constant is no prior.") for c in (1e-8, 1e-6, 1e-5, 1e-4, 1e-3)),
    Row("prior_per_expert", _joined(prior=_counted), _PRIOR_OFTEN),
    Row("prior_per_expert", _joined(prior=lambda m: float(len(m))), _PRIOR_OFTEN),
    Row("prior_per_expert", _joined(prior=lambda m: 1 + _counted(m)), _PRIOR_OFTEN),
    Row("mask_ignored", _joined(_raw), "The mask is not used: missing experts count as if they were there."),
    Row("mask_ignored", _joined(_raw, 0.0), f"The mask is not used: missing experts count as if they were there. Besides: {_NO_PRIOR}"),
    Row("mask_ignored", _half(_joined(_raw), _product), "The mask is not used for the mean: missing experts count as if they were there."),
    Row("mask_ignored", _half(_product, _joined(_raw)), "The mask is not used for the variance: missing experts count as if they were there."),
    Row("mask_inverted", _prepared(lambda m, lv, t: (m, lv, t.logical_not())), "The mask is turned round: it is True where an expert is there."),
    Row("mask_inverted", _prepared(lambda m, lv, t: (m, lv, t.logical_not()), prior=0.0), f"The mask is turned round: it is True where an expert is there. Besides: {_NO_PRIOR}"),
    *(Row("missing_as_prior", _prepared(lambda m, lv, t: (m * t.unsqueeze(-1), lv * t.unsqueeze(-1), t), precisions=_raw, prior=p), _AS_PRIOR) for p in (1.0, 0.0)),
    *(Row("missing_as_prior", _prepared(lambda m, lv, t: (m, lv * t.unsqueeze(-1), t), precisions=_raw, prior=p), _AS_PRIOR) for p in (1.0, 0.0)),
    *(Row("mus_masked_only", _prepared(lambda m, lv, t: (m * t.unsqueeze(-1), lv, t), precisions=_raw, prior=p), "Only the means are masked. A missing expert has no precision either: leave it out of the sum of the precisions.") for p in (1.0, 0.0)),
    *(Row("averaged", _averaged(p), _AVERAGE) for p in (False, True)),
    *(Row("averaged", _half(_averaged(p), _product), f"{_AVERAGE} Here it is the mean that is averaged.") for p in (False, True)),
    *(Row("averaged", _half(_product, _averaged(p)), f"{_AVERAGE} Here it is logvar that is averaged.") for p in (False, True)),
    *(Row("averaged", _averaged_variance(p), f"{_AVERAGE} Means and variances are averaged here.") for p in (False, True)),
    *(Row("averaged", _half(_product, _averaged_variance(p)), f"{_AVERAGE} Here it is the variance that is averaged.") for p in (False, True)),
    *(Row("mixture", _mixture(p), _MIX) for p in (False, True)),
    Row("averaged", lambda m, lv, t: (_averaged(False)(m, lv, t)[0], _summed_logvars(m, lv, t)[1]), f"{_AVERAGE} And the variances are multiplied."),
    Row("averaged", lambda m, lv, t: (m.mean(0), lv.mean(0)), f"{_AVERAGE} Besides: the mask is not used."),
    *(Row("variances_added", _summed_variances(p), _ADDED) for p in (1.0, 0.0)),
    *(Row("variances_added", _half(_averaged(q), _summed_variances(p)), f"{_ADDED} And the means are averaged.") for p in (1.0, 0.0) for q in (False, True)),
    *(Row("variances_added", _summed_variances(p, lambda v: -v.log()), f"{_ADDED} Besides: the sign is turned.") for p in (1.0, 0.0)),
    Row("logvars_added", _summed_logvars, "You add the log variances: that multiplies the variances. Add the precisions, exp(-logvar), and take -log of the sum."),
    *(Row("divided_by_count", _divided(k), _COUNT) for k in (0, 1)),
    *(Row("divided_by_count", _divided_mean(k), f"{_COUNT} Here the mean is divided.") for k in (0, 1)),
    *(Row("logvar_sign", _joined(lambda m, lv, t: lv.exp() * t.unsqueeze(-1), p, out), _SIGN) for p in (1.0, 0.0) for out in (lambda t: -t.log(), torch.log)),
    *(Row("std_as_variance", _joined(lambda m, lv, t: (-0.5 * lv).exp() * t.unsqueeze(-1), p, lambda t, k=k: -k * t.log()), _STD) for p in (1.0, 0.0) for k in (1, 2)),
    *(Row("logvar_as_log_std", _joined(lambda m, lv, t: (-2 * lv).exp() * t.unsqueeze(-1), p, lambda t, k=k: -k * t.log()), _LOG_STD) for p in (1.0, 0.0) for k in (1, 0.5)),
    *(Row(r.mistake, _joined(out=r.formula), r.sentence) for r in _OUT),
    *(Row("prior_missing", _joined(prior=0.0, out=r.formula), f"{_NO_PRIOR} Besides: {r.sentence}") for r in _OUT),
    *(Row("small_constant", _joined(lambda m, lv, t, c=c: t.unsqueeze(-1) / (lv.exp() + c)), "A small constant is added to the variance. exp(-logvar) needs none, and a very sure expert is spoiled by it.") for c in (1e-6, 1e-5, 1e-4, 1e-3)),
    Row("not_normalised", _not_normalised, "The mean is not divided by the total precision: mu is the sum of precision times mean, divided by the sum of the precisions."),
    Row("zero_mean", lambda *a: (torch.zeros_like(_product(*a)[0]), _product(*a)[1]), "The mean is zero on every input. The prior's mean is 0; those of the experts are in mus."),
    *(Row("summed_wrong_axis", _joined(prior=p, axis=axis), _OTHER_AXIS.format(over)) for axis, over in ((1, "the batch"), (2, "the latents")) for p in (1.0, 0.0)),
)
# fmt: on

product_of_experts = Exercise(
    "product_of_experts",
    _calls,
    PairComparison(
        truth=_product,
        arguments=("mus", "logvars", "mask"),
        table=_WHOLE,
        what="a pair mu, logvar",
        parts={"mu": "a tensor of shape [B, L]", "logvar": "a tensor of shape [B, L]"},
        gradients=(
            Row(
                "shares_detached",
                _shares_detached,
                "The value is right, but the weights of the means pass no gradient on to logvars: they are computed "
                "without gradient. The encoders learn from them how sure to be.",
            ),
        ),
        extreme=("extreme_or_empty", _LOOSE),
        errors=(
            (
                r"RuntimeError: The size of tensor a \(\d+\) must match",
                "mask_axis",
                "Two shapes do not fit. Is it the mask? It is [M, B], and mus and logvars are [M, B, L]: "
                "mask.unsqueeze(-1) gives it an axis for the latents. The results are [B, L].",
            ),
        ),
    ),
    hidden=_hidden,
)

EXERCISES = (product_of_experts,)
