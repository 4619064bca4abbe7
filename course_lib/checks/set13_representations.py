"""Checks of set 13: the mutual information gap."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks import faults
from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor
from course_lib.checks.result import Result


def _gap(mi: Tensor, rank: int = 1) -> Tensor:
    ordered = mi.sort(dim=0, descending=True).values
    return ordered[0] - ordered[rank]


def _gaps(mi: Tensor, entropy: Tensor) -> Tensor:
    return _gap(mi) / entropy


def _mig(mi: Tensor, entropy: Tensor) -> Tensor:
    return _gaps(mi, entropy).mean()


def _table(
    inputs: Inputs,
    latents: int,
    factors: int,
    *,
    tied: int = 0,
    silent: int = 0,
    low: float = 1.0,
    high: float = 3.0,
    dtype: str = "float64",
    grad: bool = False,
) -> tuple[dict, dict]:
    """Return information and entropies.

    ``tied`` factors are known to two latents equally, ``silent`` ones to none of them.
    """
    entropy = [inputs.uniform(low, high) for _ in range(factors)]
    columns = []
    for f, h in enumerate(entropy):
        share = [inputs.uniform(0.02, 0.5) for _ in range(latents)]
        first, second = inputs.sample(range(latents), 2)
        share[first] = inputs.uniform(0.4, 0.95)
        if f < tied:
            share[first] = share[second] = inputs.uniform(0.55, 0.95)
        if tied <= f < tied + silent:
            share = [0.0] * latents
        columns.append([h * s for s in share])
    order = inputs.sample(range(factors), factors)
    mi = [columns[f][latent] for latent in range(latents) for f in order]
    return (
        tensor(mi, [latents, factors], dtype, grad=grad),
        tensor([entropy[f] for f in order], [factors], dtype, grad=grad),
    )


def _calls(inputs: Inputs) -> list[dict]:
    latents, factors = inputs.choice(((6, 3), (7, 4), (5, 3), (8, 5)))
    return [
        call(*_table(inputs, 5, 3), times=2),
        call(*_table(inputs, latents, factors), every_device=True),
        call(*_table(inputs, 4, 4)),
        call(*_table(inputs, 3, 6, grad=True)),
        call(*_table(inputs, 6, 4, tied=2)),
        call(*_table(inputs, 5, 4, silent=1)),
        call(*_table(inputs, 4, 1)),
        call(*_table(inputs, 2, 3)),
        call(*_table(inputs, 5, 2, dtype="float32")),
        call(*_table(inputs, 4, 3, low=0.1, high=0.2), tag="extreme"),
    ]


def _hidden(inputs: Inputs) -> list[dict]:
    return [
        call(*_table(inputs, 32, 9, grad=True)),
        call(*_table(inputs, 2, 12, tied=3, silent=2)),
        call(*_table(inputs, 10, 2, tied=2)),
        call(*_table(inputs, 3, 3, silent=3)),
        call(*_table(inputs, 2, 1, dtype="float32")),
        call(*_table(inputs, 6, 5, low=0.1, high=0.15, dtype="float32"), tag="extreme"),
    ]


def _by_axis(share: Tensor) -> Tensor:
    """The gap of each latent between the factor that it knows best and the next: ``[L]``."""
    return _gap(share.T)


def _best_elsewhere(share: Tensor) -> Tensor:
    """The best latent of each factor against what the same latent knows of others: ``[F]``."""
    best = share.argmax(0)
    own = share[best]  # [F, F]
    others = own.masked_fill(torch.eye(len(own), dtype=torch.bool), -torch.inf)
    return own.diagonal() - others.amax(1)


def _second_value(mi: Tensor) -> Tensor:
    first = mi.amax(0)
    second = mi.where(mi < first, torch.tensor(-torch.inf).double()).amax(0)
    return first - second.where(second.isfinite(), first)


def _known(mi: Tensor, entropy: Tensor) -> Tensor:
    gaps = _gaps(mi, entropy)[mi.amax(0) > 0]
    return gaps.mean() if len(gaps) else entropy.new_zeros(())


def _of_mi(formula: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda mi, entropy: (formula(mi) / entropy).mean()


_AXIS = (
    "The gap is taken between factors: what a latent knows of its best factor and of the next. Take it between "
    "latents, axis 0 of [L, F]: of each factor, what the best latent knows and what the next one does. Yours "
    "stays high when two latents say the same."
)
_ENTROPY = "Each gap is divided by the entropy of its own factor, before the mean."
_OTHERS = "Subtract what the second best latent knows, not {}."
_MEAN = "The mean over the factors is asked."

# fmt: off
_TABLE = (
    Row("gap_over_factors", lambda mi, h: _by_axis(mi / h).mean(), _AXIS),
    Row("gap_over_factors", lambda mi, h: (_by_axis(mi) / h).mean(), _AXIS),
    Row("gap_over_factors", lambda mi, h: _by_axis(mi).mean(), f"{_AXIS} {_ENTROPY}"),
    Row("gap_over_factors", lambda mi, h: _by_axis(mi / h), f"{_AXIS} {_MEAN}"),
    Row("gap_over_factors", lambda mi, h: (_by_axis(mi / h)).sum(), f"{_AXIS} {_MEAN}"),
    Row("gap_over_factors", lambda mi, h: _best_elsewhere(mi / h).mean(), _AXIS),
    Row("gap_over_factors", lambda mi, h: (_best_elsewhere(mi) / h).mean(), _AXIS),
    Row("entropy_of_latents", lambda mi, h: _gap(mi / h[:, None]).mean(), "The rows of mi are divided by the entropies. Rows are latents, and an entropy belongs to a factor: mi / entropy divides the columns."),
    Row("not_normalized", lambda mi, h: _gap(mi).mean(), f"The entropies are missing. {_ENTROPY}"),
    Row("ratio_of_means", lambda mi, h: _gap(mi).mean() / h.mean(), f"The mean gap is divided by the mean entropy. {_ENTROPY}"),
    Row("ratio_of_means", lambda mi, h: _gap(mi).mean() / h.sum(), f"The mean gap is divided by the sum of the entropies. {_ENTROPY}"),
    Row("ratio_of_means", lambda mi, h: _gap(mi).mean() / h.max(), f"Everything is divided by the largest entropy. {_ENTROPY}"),
    *(Row("divided_by_largest", lambda mi, h, f=f: f(_gap(mi) / mi.amax(0)).mean(), f"The gap is divided by the largest information. Then a factor that all latents hardly know may count fully. {_ENTROPY}") for f in (torch.clone, torch.nan_to_num)),
    *(Row("divided_by_sum", lambda mi, h, f=f: f(_gap(mi) / mi.sum(0)).mean(), f"The gap is divided by the information of all latents together. {_ENTROPY}") for f in (torch.clone, torch.nan_to_num)),
    Row("multiplied_by_entropy", lambda mi, h: (_gap(mi) * h).mean(), f"The gap is multiplied by the entropy. {_ENTROPY}"),
    Row("range", _of_mi(lambda mi: _gap(mi, -1)), f"This is the largest minus the smallest information. {_OTHERS.format('the one that knows least')}"),
    Row("largest_only", _of_mi(lambda mi: mi.amax(0)), "This is the largest information. A copy of a latent costs nothing here: subtract the second largest."),
    Row("second_only", _of_mi(lambda mi: mi.amax(0) - _gap(mi)), "This is the second largest information. Subtract it from the largest."),
    Row("smallest_two", _of_mi(lambda mi: _gap(-mi)), "This is the gap between the two smallest. torch.sort goes upwards unless descending=True."),
    Row("sign", lambda mi, h: -_mig(mi, h), "The sign is turned: the largest minus the second largest."),
    Row("not_sorted", _of_mi(lambda mi: mi[0] - mi[1]), "The first two latents are compared, whatever they know. Sort each column first."),
    Row("not_sorted", _of_mi(lambda mi: (mi[0] - mi[1]).abs()), "The first two latents are compared, whatever they know. Sort each column first."),
    Row("third_for_second", _of_mi(lambda mi: _gap(mi, 2)), "The third largest is subtracted. Counting starts at zero: the second is number 1."),
    Row("mean_of_others", _of_mi(lambda mi: mi.amax(0) - (mi.sum(0) - mi.amax(0)) / (len(mi) - 1)), _OTHERS.format("the mean of all others: a single copy of the best latent would drown in it")),
    Row("mean_of_others", _of_mi(lambda mi: mi.amax(0) - mi.mean(0)), _OTHERS.format("the mean of all")),
    Row("sum_of_others", _of_mi(lambda mi: 2 * mi.amax(0) - mi.sum(0)), _OTHERS.format("the sum of all others")),
    Row("ties_dropped", _of_mi(_second_value), "Where two latents know equally much, the second largest is as large as the largest, and the gap is 0. Yours goes on to the next smaller value: equal values must not be merged."),
    Row("silent_factor_skipped", _known, "A factor that no latent knows is left out of the mean. Its gap is 0, and it counts."),
    Row("summed", lambda mi, h: _gaps(mi, h).sum(), f"You sum over the factors. {_MEAN}"),
    Row("wrong_count", lambda mi, h: _gaps(mi, h).sum() / len(mi), f"The sum is divided by the number of latents. {_MEAN}"),
    Row("wrong_count", lambda mi, h: _gaps(mi, h).sum() / mi.numel(), f"The sum is divided by the size of the table. {_MEAN}"),
    Row("over_everything", lambda mi, h: _gap((mi / h).flatten()), "The two largest of the whole table are compared. Take the two largest of each factor, then the mean."),
    Row("over_everything", lambda mi, h: _gap(mi.flatten()), "The two largest of the whole table are compared. Take the two largest of each factor, then the mean."),
    Row("over_everything", lambda mi, h: (_gap(mi.flatten()) / h).mean(), "The two largest of the whole table are compared. Take the two largest of each factor, then the mean."),
    Row("mean_before_gap", lambda mi, h: _gap((mi / h).mean(1)), "The information is averaged over the factors first. Take the gap of each factor, then the mean."),
    Row("mean_before_gap", lambda mi, h: _gap(mi.mean(1)) / h.mean(), "The information is averaged over the factors first. Take the gap of each factor, then the mean."),
    *(Row("best_factor", lambda mi, h, f=f: f(_gaps(mi, h)), f"This is the {name} over the factors. {_MEAN}") for name, f in (("maximum", torch.max), ("minimum", torch.min), ("median", torch.median))),
    Row("not_averaged", _gaps, f"You return one gap for each factor. {_MEAN}"),
    Row("complement", lambda mi, h: 1 - _mig(mi, h), "This is one minus the gap. A gap of 1 is the best there is."),
    Row("summed", lambda mi, h: _gap(mi).sum(), f"You sum over the factors, and the entropies are missing. {_MEAN}"),
    Row("not_averaged", lambda mi, h: _gap(mi), f"You return one gap for each factor, and the entropies are missing. {_MEAN}"),
    Row("squared", _of_mi(lambda mi: _gap(mi) ** 2), "The gap is squared."),
    Row("largest_only", lambda mi, h: mi.amax(0).mean(), f"This is the mean of the largest information. Subtract the second largest. {_ENTROPY}"),
    Row("average_share", lambda mi, h: (mi / h).mean(), "This is the mean of all entries over their entropies. Sort each column, and take the two largest."),
)
# fmt: on


class _OneNumber(Comparison):
    """A comparison that knows a list of gaps, one for each factor, when it sees one."""

    def _kind(self, exercise: Exercise, one: object, fed: str) -> Result | None:
        value = one.run["value"]
        if value.get("kind") == "tuple" and value.get("length") == one.args[1].numel() > 1:
            message = f"You return a list with a gap for each factor. {_MEAN}"
            return faults.failed(exercise, "not_averaged", message, ("fed", fed))
        return super()._kind(exercise, one, fed)


mutual_information_gap = Exercise(
    "mutual_information_gap",
    _calls,
    _OneNumber(
        truth=_mig,
        arguments=("mi", "entropy"),
        table=_TABLE,
        what="a Python float",
        floating=True,
        praise="The right gap, with ties and for every shape.",
        extreme=(
            "small_constant",
            "Right where the entropies are 1 or more, wrong where they are small. They are above 0: leave out "
            "a constant that is added to them, or a clamp.",
        ),
        errors=(
            (
                r"Can't call numpy\(\) on Tensor that requires grad",
                "needs_detach",
                "The information may come with a gradient, and numpy does not take it. Use detach(), or stay "
                "with torch.",
            ),
            (
                r"selected index k out of range|out of (bounds|range)|must match the size|be broadcast",
                "gap_over_factors",
                "It stops on some shapes of the table. mi is [L, F], with two latents or more but perhaps a "
                "single factor, and entropy is [F]: the two largest are sought along axis 0, the latents, "
                "which leaves one gap for each factor.",
            ),
        ),
    ),
    hidden=_hidden,
)

EXERCISES = (mutual_information_gap,)
