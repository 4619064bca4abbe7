"""Checks of set 11: how many bits a code by bits-back costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call
from course_lib.checks.probes.plain import tensor

_LOG_2 = math.log(2)


def _nats(px: Tensor, pz: Tensor, q: Tensor) -> Tensor:
    return q - px - pz


def _bits(px: Tensor, pz: Tensor, q: Tensor) -> Tensor:
    return _nats(px, pz, q) / _LOG_2


def _logs(
    inputs: Inputs,
    batch: int,
    *,
    pixels: tuple[float, float] = (5.0, 150.0),
    latents: tuple[float, float] = (-30.0, -1.0),
    posterior: tuple[float, float] = (-20.0, 20.0),
    dtype: str = "float64",
    grad: bool = True,
) -> list[dict]:
    """Return the three logs for a batch: pixels are discrete, and so their log is below zero."""
    low, high = pixels
    return [
        inputs.between(-high, -low, batch, dtype=dtype, grad=grad),
        inputs.between(*latents, batch, dtype=dtype, grad=grad),
        inputs.between(*posterior, batch, dtype=dtype, grad=grad),
    ]


def _more_back_than_paid(inputs: Inputs, batch: int) -> list[dict]:
    """Return unlikely draws of q: they cost less than nothing, for more bits come back."""
    return _logs(inputs, batch, pixels=(0.2, 1.5), latents=(-5, -1), posterior=(-20, -9))


def _calls(inputs: Inputs) -> list[dict]:
    batch = inputs.choice((4, 5, 6, 7))
    small = {"pixels": (5.0, 40.0), "dtype": "float32"}

    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    return [
        call(*_logs(inputs, 3, pixels=(60.0, 120.0), grad=False), times=2),
        call(*_logs(inputs, batch), weights=weights(batch), every_device=True),
        call(*_logs(inputs, 4, **small), weights=weights(4)),
        call(*_logs(inputs, 5, posterior=(2.0, 25.0)), weights=weights(5)),
        call(*_logs(inputs, 3, latents=(2.0, 6.0), posterior=(5.0, 20.0)), weights=weights(3)),
        call(*_logs(inputs, 3, posterior=(-40.0, -31.0)), weights=weights(3)),
        call(*_more_back_than_paid(inputs, 4), weights=weights(4)),
        call(*_logs(inputs, 1, pixels=(90.0, 140.0)), weights=weights(1)),
        call(*_logs(inputs, 2, pixels=(200.0, 230.0), grad=False)),
        *(
            call(*_logs(inputs, 3, pixels=p, dtype="float32"), tag="extreme", weights=weights(3))
            for p in ((400.0, 600.0), (2000.0, 4000.0))
        ),
    ]


def _hidden(inputs: Inputs) -> list[dict]:
    def weights(b: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, b)

    nothing = tensor([0.0] * 9, [9], grad=True)
    same = inputs.normal(9, mean=-12.0, std=3.0, grad=True)
    return [
        call(*_logs(inputs, 40), weights=weights(40)),
        call(*_logs(inputs, 8, pixels=(100.0, 200.0), dtype="float32"), weights=weights(8)),
        call(*_more_back_than_paid(inputs, 9), weights=weights(9)),
        call(nothing, same, same, weights=weights(9)),
        call(
            *_logs(inputs, 11, pixels=(5e3, 5e4), dtype="float32"),
            tag="extreme",
            weights=weights(11),
        ),
    ]


def _signed(*signs: int) -> Callable[..., Tensor]:
    def formula(*logs: Tensor) -> Tensor:
        return sum(s * a for s, a in zip(signs, logs, strict=True)) / _LOG_2

    return formula


def _in_bits(*which: bool) -> Callable[..., Tensor]:
    """Terms of the right signs, only some of them divided by log 2."""

    def formula(px: Tensor, pz: Tensor, q: Tensor) -> Tensor:
        terms = zip((-px, -pz, q), which, strict=True)
        return sum(a / _LOG_2 if bits else a for a, bits in terms)

    return formula


_NAMED_SIGNS = {
    (1, 1, -1): (
        "sign",
        "The sign is turned: this is the logarithm of a weight, in bits. What is likely is short.",
    ),
    (-1, -1, -1): (
        "posterior_sign",
        "The bits that chose z are paid here. They come back: whoever decodes knows x and z by then, so also "
        "q(z|x), and reads them off. They are -log q(z|x), and are subtracted.",
    ),
    (-1, -1, 0): (
        "no_bits_back",
        "The bits back are missing. Without them z has no length at all: log p(z) is a density, and a number "
        "with all its digits would take bits without end. Take away the -log q(z|x) that chose z.",
    ),
    (-1, 0, 1): ("prior_missing", "The latents cost nothing here: -log p(z) is missing."),
    (-1, 0, 0): (
        "pixels_only",
        "These are the bits of the pixels, given z. Whoever decodes must be told z first, and what chose it "
        "comes back: the rate, log q(z|x) - log p(z), is missing.",
    ),
    (0, -1, 1): (
        "rate_only",
        "This is the cost of the latents. The pixels cost something besides: -log p(x|z).",
    ),
    (-1, 1, -1): (
        "rate_sign",
        "The rate is subtracted, or log p(z) and log q(z|x) are swapped. It has to be paid: "
        "log q(z|x) - log p(z), which on average is a KL and not negative.",
    ),
    (-1, 1, 1): (
        "prior_sign",
        "The sign of log p(z) is turned. An unlikely z costs more: -log p(z).",
    ),
    (1, -1, -1): (
        "swapped",
        "log p(x|z) and log q(z|x) are swapped. Pixels and latents are paid, and the bits of q come back.",
    ),
}


def _other_signs() -> list[Row]:
    shown = {-1: "-", 0: None, 1: "+"}
    names = ("log p(x|z)", "log p(z)", "log q(z|x)")
    rows = []
    for signs in itertools.product((-1, 0, 1), repeat=3):
        if signs in _NAMED_SIGNS or signs == (-1, -1, 1) or not any(signs):
            continue
        terms = [f"{shown[s]} {n}" for s, n in zip(signs, names, strict=True) if s]
        text = f"({' '.join(terms).removeprefix('+ ')}) / log 2"
        sentence = (
            f"This is {text}. Paid are -log p(x|z) and -log p(z); what comes back is -log q(z|x)."
        )
        rows.append(Row("wrong_signs", _signed(*signs), sentence))
    return rows


_CLAMPED = (
    "A part is cut off at zero, or its sign is lost. {} Only the difference of two densities' logs is a "
    "length, and for one draw even that can be negative. Leave out clamp, relu, max and abs."
)
_BACK = _CLAMPED.format(
    "Where q(z|x) is narrow, log q(z|x) is positive and takes bits away from what comes back: log q is the log "
    "of a density, not of a probability."
)
_RATE = _CLAMPED.format("KL is never negative, but this is one draw of it.")
_TOTAL = _CLAMPED.format("More bits can come back than are paid, for an unlikely draw of q(z|x).")
_MIXED = (
    "A part of it is still in nats: a sum of nats and bits is neither. Divide the whole by math.log(2), and "
    "mind the brackets."
)
_BATCH = "Return one length for each image: [B]. A mean is taken where a loss is needed and nowhere else."
_UNSTABLE = (
    "Right on short codes, wrong on long ones: exp(-1000) is zero in floating point, and images cost that "
    "much. The logs need no exponential: changing the base of a logarithm is a division."
)


def _clamped(formula: Callable[..., Tensor], sentence: str) -> Row:
    return Row("clamped", lambda *logs: formula(*logs) / _LOG_2, sentence)


# fmt: off
_TABLE = (
    Row("missing_log_2", _nats, "These are nats. One bit is log 2 = 0.693 nats: divide by math.log(2)."),
    Row("multiplied_by_log_2", lambda *a: _nats(*a) * _LOG_2, "log 2 stands on the wrong side. A bit is less than a nat, so there are more of them: divide."),
    *(Row(mistake, _signed(*signs), sentence) for signs, (mistake, sentence) in _NAMED_SIGNS.items()),
    *(Row("mixed_units", _in_bits(*w), _MIXED) for w in itertools.product((True, False), repeat=3) if 0 < sum(w) < 3),
    _clamped(lambda px, pz, q: -px - pz - (-q).clamp(min=0), _BACK),
    _clamped(lambda px, pz, q: -px - pz - q.abs(), _BACK),
    _clamped(lambda px, pz, q: -px + (q - pz).clamp(min=0), _RATE),
    _clamped(lambda px, pz, q: -px + (q - pz).abs(), _RATE),
    _clamped(lambda *a: _nats(*a).clamp(min=0), _TOTAL),
    _clamped(lambda *a: _nats(*a).abs(), _TOTAL),
    Row("averaged_over_batch", lambda *a: _bits(*a).mean(), f"You average over the batch. {_BATCH}"),
    Row("summed_over_batch", lambda *a: _bits(*a).sum(), f"You sum over the batch. {_BATCH}"),
    Row("averaged_over_batch", lambda *a: _bits(*a) / len(a[0]), f"Each length is divided by the batch size. {_BATCH}"),
    Row("averaged_over_batch", lambda *a: _nats(*a).mean(), f"You average over the batch, and these are nats. {_BATCH}"),
    _clamped(lambda px, pz, q: px.abs() + pz.abs() - q.abs(), _BACK),
    _clamped(lambda px, pz, q: px.abs() + pz.abs() + q.abs(), "All three are paid, and their signs are lost. The bits of q(z|x) come back, and logs of densities can have either sign."),
    _clamped(lambda px, pz, q: -px + (-pz).clamp(min=0) + q, _CLAMPED.format("log p(z) is that of a density, which can be above 1.")),
    _clamped(lambda px, pz, q: -px + pz.abs() + q, _CLAMPED.format("log p(z) is that of a density, which can be above 1.")),
    Row("wrong_base", lambda *a: _nats(*a) / math.log(10), "Divided by log 10 these are decimal digits. Bits need log 2."),
    Row("wrong_base", lambda *a: _nats(*a) / math.log10(2), "The logarithm of 2 is taken to the base 10. Nats are natural logarithms: math.log(2)."),
    Row("wrong_base", lambda *a: _nats(*a) * math.log10(2), "The logarithm of 2 is taken to the base 10, and stands on the wrong side."),
    Row("in_bytes", lambda *a: _bits(*a) / 8, "These are bytes. Bits are asked: eight times as many."),
    Row("log_2_twice", lambda *a: _bits(*a) / _LOG_2, "It is divided by log 2 twice."),
    Row("log_of_logs", lambda *a: -(-_nats(*a)).log2(), "The logarithm is taken once more. The three arguments are logs already: change the base by a division."),
    Row("log_of_logs", lambda *a: _nats(*a).log2(), "The logarithm is taken once more. The three arguments are logs already: change the base by a division."),
    *(Row("rounded", lambda *a, f=f: f(_bits(*a)), "The length is rounded. The coder packs all images onto one stack, and parts of bits are not lost: leave it as it is.") for f in (torch.ceil, torch.round, torch.floor)),
    *(Row("unstable", lambda *a, c=c: -((-_nats(*a)).exp() + c).log2(), _UNSTABLE) for c in (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6)),
    *_other_signs(),
    *(Row(mistake, lambda *a, s=signs: _signed(*s)(*a) * _LOG_2, f"{sentence} Besides: these are nats, not bits.") for signs, (mistake, sentence) in _NAMED_SIGNS.items()),
    *(Row(mistake, lambda *a, s=signs: _signed(*s)(*a).mean(), f"{sentence} Besides: one length for each image is asked.") for signs, (mistake, sentence) in _NAMED_SIGNS.items()),
)
# fmt: on

bits_back_length = Exercise(
    "bits_back_length",
    _calls,
    Comparison(
        truth=_bits,
        arguments=("log_px_z", "log_pz", "log_qz_x"),
        table=_TABLE,
        what="a tensor of shape [B]",
        extreme=("unstable", _UNSTABLE),
    ),
    hidden=_hidden,
)

EXERCISES = (bits_back_length,)
