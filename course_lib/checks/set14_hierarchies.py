"""Checks of set 14: the ELBO of a VAE with two layers of latents."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor

_NAMES = ("log p(x|z1)", "log p(z1|z2)", "log p(z2)", "log q(z1|x)", "log q(z2|z1)")
_SIGNS = (1, 1, 1, -1, -1)
Range = tuple[float, float]


def _signed(*signs: int) -> Callable[..., Tensor]:
    def formula(*logs: Tensor) -> Tensor:
        return sum(s * a for s, a in zip(signs, logs, strict=True))

    return formula


_elbo = _signed(*_SIGNS)


def _logs(
    inputs: Inputs,
    batch: int,
    *,
    px: Range = (-150.0, -5.0),
    p1: Range = (-30.0, -1.0),
    p2: Range = (-20.0, -1.0),
    q1: Range = (-20.0, 20.0),
    q2: Range = (-12.0, 12.0),
    dtype: str = "float64",
    grad: bool = True,
) -> list[dict]:
    """Return the five logs for a batch: pixels are discrete, and so their log is below zero."""
    return [
        inputs.between(*limits, batch, dtype=dtype, grad=grad) for limits in (px, p1, p2, q1, q2)
    ]


# Draws at which a layer, or both, cost less than nothing; the third time for less than the pixels.
_CHEAP_1 = {"p1": (5.0, 9.0), "q1": (-4.0, 3.0), "p2": (-30.0, -25.0), "q2": (0.0, 10.0)}
_CHEAP_2 = {"p1": (-40.0, -30.0), "q1": (0.0, 10.0), "p2": (-3.0, -1.0), "q2": (-12.0, -6.0)}
_CHEAP = {"p1": (-4.0, 3.0), "q1": (-20.0, -9.0), "p2": (-3.0, -1.0), "q2": (-12.0, -6.0)}
_ABOVE_ZERO = {**_CHEAP, "px": (-1.5, -0.2)}
_NARROW = {"q1": (2.0, 25.0), "q2": (2.0, 15.0)}
_NARROW_BOTH = {"p1": (2.0, 6.0), "p2": (1.0, 4.0), "q1": (8.0, 20.0), "q2": (6.0, 12.0)}
_SMALL = {"px": (-25.0, -5.0), "p1": (-10.0, -1.0), "p2": (-8.0, -1.0), "q1": (-6.0, 6.0),
          "q2": (-6.0, 6.0), "dtype": "float32"}  # fmt: skip


def _weighted(inputs: Inputs, batch: int, tag: str = "plain", **ranges) -> dict:
    weights = inputs.away_from_zero(0.5, 1.5, batch)
    return call(*_logs(inputs, batch, **ranges), tag=tag, weights=weights)


def _calls(inputs: Inputs) -> list[dict]:
    everywhere = _weighted(inputs, inputs.choice((4, 6, 7))) | {"every_device": True}
    return [
        call(*_logs(inputs, 3, px=(-120.0, -60.0), grad=False), times=2),
        everywhere,
        _weighted(inputs, 4, **_SMALL),
        _weighted(inputs, 5, **_NARROW),
        _weighted(inputs, 3, **_NARROW_BOTH),
        _weighted(inputs, 3, **_CHEAP_1),
        _weighted(inputs, 3, **_CHEAP_2),
        _weighted(inputs, 3, **_CHEAP),
        _weighted(inputs, 4, **_ABOVE_ZERO),
        _weighted(inputs, 1, px=(-140.0, -90.0)),
        call(*_logs(inputs, 2, px=(-230.0, -200.0), grad=False)),
        _weighted(inputs, 3, "extreme", px=(-600.0, -400.0), dtype="float32"),
        _weighted(inputs, 3, "extreme", px=(-4000.0, -2000.0), dtype="float32"),
    ]


def _hidden(inputs: Inputs) -> list[dict]:
    nothing = tensor([0.0] * 9, [9], grad=True)
    same = inputs.normal(9, mean=-12.0, std=3.0, grad=True)
    other = inputs.normal(9, mean=4.0, std=3.0, grad=True)
    return [
        _weighted(inputs, 40),
        _weighted(inputs, 8, px=(-200.0, -100.0), dtype="float32"),
        _weighted(inputs, 9, **_ABOVE_ZERO),
        _weighted(inputs, 6, **_CHEAP_1),
        call(nothing, same, other, same, other, weights=inputs.away_from_zero(0.5, 1.5, 9)),
        _weighted(inputs, 11, "extreme", px=(-5e4, -5e3), dtype="float32"),
    ]


_PLUS_MINUS = "The densities of the model, p, are added; those of the posterior, q, are subtracted."
_NAMED_SIGNS = {
    (-1, -1, -1, 1, 1): ("sign", "The sign is turned: this is the loss, -ELBO. Return the ELBO."),
    (1, 1, 1, 0, 0): (
        "posteriors_missing",
        "This is log p(x, z1, z2). Both posteriors are missing: subtract log q(z1|x) and log q(z2|z1).",
    ),
    (1, 1, 1, 1, 1): ("posteriors_added", f"All five are added. {_PLUS_MINUS}"),
    (1, -1, -1, 1, 1): (
        "rate_sign",
        "The rate, log q - log p of both layers, is added. It is a cost: subtract it.",
    ),
    (1, 1, 0, -1, 0): (
        "upper_rate_missing",
        "Layer 2 costs nothing here. The decoder sees only z1, but whoever is told z2 for free knows z1 from "
        "p(z1|z2): its rate, log q(z2|z1) - log p(z2), has to be paid as well.",
    ),
    (1, 0, 1, 0, -1): (
        "lower_rate_missing",
        "Only layer 2 is paid for. z1 is drawn, too: its rate, log q(z1|x) - log p(z1|z2), is missing.",
    ),
    (1, 0, 1, -1, 0): (
        "one_layer",
        "This is the bound of one layer, with the density of z2 as the prior of z1. z1 belongs with "
        "log p(z1|z2) and z2 with log q(z2|z1); both are missing.",
    ),
    (1, 0, 0, 0, 0): ("likelihood_only", "The rate of both layers is missing: this is log p(x|z1) alone."),
    (0, 1, 1, -1, -1): ("likelihood_missing", "The image is missing: add log p(x|z1)."),
    (0, -1, -1, 1, 1): ("rate_only", "This is the rate of both layers. The ELBO is log p(x|z1) minus the rate."),
    (1, -1, 1, 1, -1): (
        "lower_swapped",
        f"log p(z1|z2) and log q(z1|x) are swapped: both are densities of z1. {_PLUS_MINUS}",
    ),
    (1, 1, -1, -1, 1): (
        "upper_swapped",
        f"log p(z2) and log q(z2|z1) are swapped: both are densities of z2. {_PLUS_MINUS}",
    ),
}  # fmt: skip
_KINDS = ("likelihood", "step", "prior", "lower_posterior", "upper_posterior")
for _i, (_kind, _term) in enumerate(zip(_KINDS, _NAMES, strict=True)):
    _turned = tuple(-s if i == _i else s for i, s in enumerate(_SIGNS))
    _NAMED_SIGNS[_turned] = (f"{_kind}_sign", f"The sign of {_term} is turned. {_PLUS_MINUS}")
    _missing = tuple(0 if i == _i else s for i, s in enumerate(_SIGNS))
    _NAMED_SIGNS.setdefault(_missing, (f"{_kind}_missing", f"{_term} is missing. {_PLUS_MINUS}"))


def _other_signs() -> list[Row]:
    rows = []
    for signs in itertools.product((-1, 0, 1), repeat=5):
        if signs in _NAMED_SIGNS or signs == _SIGNS or not any(signs):
            continue
        terms = [f"{'+' if s > 0 else '-'} {n}" for s, n in zip(signs, _NAMES, strict=True) if s]
        shown = " ".join(terms).removeprefix("+ ")
        rows.append(Row("wrong_signs", _signed(*signs), f"This is {shown}. {_PLUS_MINUS}"))
    return rows


def _rates(px: Tensor, p1: Tensor, p2: Tensor, q1: Tensor, q2: Tensor) -> tuple[Tensor, Tensor]:
    return q1 - p1, q2 - p2


def _cut(formula: Callable[..., Tensor], why: str) -> Row:
    sentence = (
        f"A part is cut off at zero, or its sign is lost. {why} Leave out clamp, relu, max and abs."
    )
    return Row("clamped", formula, sentence)


def _changed_rates(change: Callable[[Tensor], Tensor], *which: bool) -> Callable[..., Tensor]:
    def formula(*logs: Tensor) -> Tensor:
        rates = zip(_rates(*logs), which, strict=True)
        return logs[0] - sum(change(r) if chosen else r for r, chosen in rates)

    return formula


def _changed_logs(change: Callable[[Tensor], Tensor], *which: bool) -> Callable[..., Tensor]:
    def formula(*logs: Tensor) -> Tensor:
        return _elbo(*(change(a) if c else a for a, c in zip(logs, which, strict=True)))

    return formula


_ONE_DRAW = (
    "On average over draws the rate of both layers together is a KL and not negative. This is one draw, and "
    "one layer: neither has to be positive."
)
_TOTAL = "At one draw log q can be below log p, and the ELBO can even be above zero: only means are bounded."
_DENSITY = "These are logs of densities, which can be above 1, and then the log is positive."
_BATCH = "Return one ELBO per image; a mean is taken where a loss is needed and nowhere else."
_UNSTABLE = (
    "Right on moderate inputs. Real images have log p(x|z1) of hundreds of nats, and exp() of that is zero, "
    "and so is what a small constant leaves of it. Stay with the logs: add and subtract them."
)


def _columns(*logs: Tensor) -> Tensor:
    return torch.stack([s * a for s, a in zip(_SIGNS, logs, strict=True)], -1)


_NOT_SUMMED = "The terms are not added up: return one number per image, their sum."
_REDUCED = (
    Row("averaged_over_batch", lambda *a: _elbo(*a).mean(), f"You average over the batch. {_BATCH}"),
    Row("summed_over_batch", lambda *a: _elbo(*a).sum(), f"You sum over the batch. {_BATCH}"),
    Row("averaged_over_batch", lambda *a: _elbo(*a) / len(a[0]), f"Each ELBO is divided by the batch size. {_BATCH}"),
)  # fmt: skip
# fmt: off
_TABLE = (
    *(Row(mistake, _signed(*signs), sentence) for signs, (mistake, sentence) in _NAMED_SIGNS.items()),
    *_REDUCED,
    *(Row(r.mistake, lambda *a, f=r.formula: -f(*a), f"{r.sentence} Besides: this is -ELBO, a loss.") for r in _REDUCED),
    Row("rate_averaged_over_batch", lambda *a: a[0] - sum(_rates(*a)).mean(), f"The rate is averaged over the batch. {_BATCH}"),
    *(_cut(_changed_rates(torch.relu, *which), _ONE_DRAW) for which in ((True, True), (True, False), (False, True))),
    *(_cut(_changed_rates(torch.abs, *which), _ONE_DRAW) for which in ((True, True), (True, False), (False, True))),
    *(_cut(lambda *a, f=f: a[0] - f(sum(_rates(*a))), _TOTAL) for f in (torch.relu, torch.abs)),
    _cut(lambda *a: _elbo(*a).clamp(max=0), _TOTAL),
    *(_cut(_changed_logs(lambda a: a.clamp(max=0), False, *which), _DENSITY) for which in itertools.product((False, True), repeat=4) if any(which)),
    *(Row("free_bits", _changed_rates(lambda r, m=m: r.clamp(min=m), *which), "A layer costs at least a fixed number of nats here: these are free bits, an objective for training and not the ELBO. Leave out the clamp.") for m in (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0) for which in ((True, True), (True, False), (False, True))),
    Row("larger_rate", lambda *a: a[0] - torch.maximum(*_rates(*a)), "Only the larger of the two rates is subtracted. Both layers are drawn and both are paid: add them."),
    Row("larger_rate", lambda *a: a[0] - torch.minimum(*_rates(*a)), "Only the smaller of the two rates is subtracted. Both layers are drawn and both are paid: add them."),
    Row("averaged_over_layers", lambda *a: a[0] - sum(_rates(*a)) / 2, "The rate is averaged over the layers. Both are paid: add them."),
    Row("averaged_over_terms", lambda *a: _elbo(*a) / 5, "You take the mean of the five terms. Add them."),
    Row("not_summed", _columns, _NOT_SUMMED),
    Row("not_summed", lambda *a: _columns(*a).mT, _NOT_SUMMED),
    Row("not_summed", lambda *a: torch.stack([a[0], *(-r for r in _rates(*a))], -1), _NOT_SUMMED),
    Row("summed_over_batch", lambda *a: _columns(*a).sum(0), "You stack the terms and sum over the batch instead of over the terms."),
    Row("in_bits", lambda *a: _elbo(*a) / math.log(2), "These are bits. Logs of densities are in nats here, and so is the ELBO."),
    Row("log_mean_weight", lambda *a: _elbo(*a).logsumexp(0) - math.log(len(a[0])), "You average weights over the batch, as IWAE does over draws. Each image has a bound of its own."),
    Row("log_mean_weight", lambda *a: _elbo(*a).logsumexp(0), "You add up weights over the batch. Each image has a bound of its own."),
    Row("weights", lambda *a: _elbo(*a).exp(), "The weight is returned, not its logarithm: leave out exp()."),
    *(Row("unstable", lambda *a, c=c: (_elbo(*a).exp() + c).log(), _UNSTABLE) for c in (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)),
    *_other_signs(),
    *(Row(mistake, lambda *a, s=signs: _signed(*s)(*a).mean(), f"{sentence} Besides: you average over the batch. {_BATCH}") for signs, (mistake, sentence) in _NAMED_SIGNS.items() if mistake != "sign"),
)
# fmt: on

elbo_two_layers = Exercise(
    "elbo_two_layers",
    _calls,
    Comparison(
        truth=_elbo,
        arguments=("log_px_z1", "log_pz1_z2", "log_pz2", "log_qz1_x", "log_qz2_z1"),
        table=_TABLE,
        what="a tensor of shape [B]",
        extreme=("unstable", _UNSTABLE),
    ),
    hidden=_hidden,
)

EXERCISES = (elbo_two_layers,)
