"""Checks of set 16: the nearest code, straight through, and the two terms of the VQ loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.pairs import PairComparison
from course_lib.checks.probes.plain import tensor, to_tensor

# --- quantize: which code ------------------------------------------------------------------------


def _differences(z: Tensor, codebook: Tensor) -> Tensor:
    return z[:, None] - codebook  # [B, N, L]


def _squares(z: Tensor, codebook: Tensor) -> Tensor:
    return _differences(z, codebook).square().sum(-1)  # [B, N]


def _product(z: Tensor, codebook: Tensor) -> Tensor:
    return z @ codebook.mT


def _lengths(codebook: Tensor) -> Tensor:
    return codebook.square().sum(-1)


_LEAST = "Take the least of the squared distances |z - e|², the sum over the latents of (z - e)²."

# What people minimize over the codes in place of the squared distance, [B, N].
_SCORES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor], str]] = {
    "farthest": (
        "farthest",
        lambda z, e: -_squares(z, e),
        "These are the farthest codes: argmin, not argmax, of the distances. (In the expanded square the "
        "product stands with a minus.)",
    ),
    "dot": (
        "dot_product",
        lambda z, e: -_product(z, e),
        "The code with the largest product z·e is taken, which prefers long codes. Written out, "
        "|z - e|² = |z|² - 2 z·e + |e|²: only |z|² is the same for every code, |e|² is not.",
    ),
    "cosine": (
        "cosine",
        lambda z, e: -_product(z, F.normalize(e, dim=1)),
        f"The code in the most similar direction is taken, whatever its length. {_LEAST}",
    ),
    "l1": (
        "l1_distance",
        lambda z, e: _differences(z, e).abs().sum(-1),
        f"The distance is a sum of absolute values (the 1-norm). {_LEAST}",
    ),
    "largest": (
        "largest_difference",
        lambda z, e: _differences(z, e).abs().amax(-1),
        f"Only the largest difference counts. {_LEAST}",
    ),
    "half": (
        "factor_two_missing",
        lambda z, e: _lengths(e) - _product(z, e),
        "A factor is missing in the expanded square: |z - e|² = |z|² - 2 z·e + |e|².",
    ),
    "four": (
        "factor_two_missing",
        lambda z, e: _lengths(e) - 4 * _product(z, e),
        "A factor is too large in the expanded square: |z - e|² = |z|² - 2 z·e + |e|².",
    ),
    "length": (
        "square_missing",
        lambda z, e: _lengths(e).sqrt() - 2 * _product(z, e),
        "The length of the code is not squared in |z - e|² = |z|² - 2 z·e + |e|².",
    ),
    "added": (
        "product_added",
        lambda z, e: _lengths(e) + 2 * _product(z, e),
        "The product is added: these are distances of -z. It is |z - e|² = |z|² - 2 z·e + |e|².",
    ),
    "least": (
        "least_product",
        _product,
        f"The code with the least product z·e is taken; the product is a similarity. {_LEAST}",
    ),
    "signed": (
        "sum_of_differences",
        lambda z, e: _differences(z, e).sum(-1),
        f"The differences are added up as they are, without a square. {_LEAST}",
    ),
    "signed, turned": (
        "sum_of_differences",
        lambda z, e: -_differences(z, e).sum(-1),
        f"The differences are added up as they are, without a square. {_LEAST}",
    ),
    "sum": (
        "sum_of_differences",
        lambda z, e: _differences(z, e).sum(-1).abs(),
        f"The differences are added up before they are squared, and cancel. {_LEAST}",
    ),
    "first": (
        "first_latent_only",
        lambda z, e: _differences(z, e)[..., 0].abs(),
        f"Only the first latent is compared. {_LEAST}",
    ),
    "last": (
        "last_latent_only",
        lambda z, e: _differences(z, e)[..., -1].abs(),
        f"Only the last latent is compared. {_LEAST}",
    ),
    "second": (
        "second_nearest",
        lambda z, e: _squares(z, e).argsort(-1).argsort(-1).eq(1).to(z).neg(),
        "This is the second nearest code: the nearest stands at place 0 of a sorted list.",
    ),
}

_CANDIDATES = 150


def _fed(
    inputs: Inputs,
    batch: int,
    codes: int,
    latents: int,
    *,
    spread: float = 1.0,
    around: float = 0.0,
    dtype: str = "float64",
) -> tuple[dict, dict]:
    """Return plain z and codebook at which the wrong choices differ from the right one.

    No two codes are nearly at the same distance, so that rounding decides nothing.
    """
    rows = [
        [inputs.gauss(0, 1) * inputs.uniform(0.5, 1.5) for _ in range(latents)]
        for _ in range(codes)
    ]
    codebook = torch.tensor(rows, dtype=torch.float64)
    drawn = [[inputs.gauss(0, 1.3) for _ in range(latents)] for _ in range(_CANDIDATES)]
    z = torch.tensor(drawn, dtype=torch.float64)
    ordered = _squares(z, codebook).sort(-1).values
    if codes > 1:
        z = z[ordered[:, 1] - ordered[:, 0] > 0.03 * (1 + ordered[:, 0])]
    z = z[_telling(z, codebook, batch)]
    order = inputs.sample(range(batch), batch)
    z = z[order]
    data = [
        tensor((around + spread * a).flatten().tolist(), list(a.shape), dtype, grad=True)
        for a in (z, codebook)
    ]
    return data[0], data[1]


def _telling(z: Tensor, codebook: Tensor, batch: int) -> Tensor:
    """Return the places of ``batch`` rows, chosen one by one to tell most pairs of choices apart."""
    choices = [_squares(z, codebook), *(score(z, codebook) for _, score, _ in _SCORES.values())]
    found = torch.stack([c.argmin(-1) for c in choices])
    pairs = torch.triu_indices(len(found), len(found), 1)
    differ = (found[pairs[0]] != found[pairs[1]]).double()  # [pairs, candidates]
    chosen: list[int] = []
    open_pairs = torch.ones(len(differ), dtype=torch.float64)
    for _ in range(batch):
        gain = open_pairs @ differ
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        open_pairs = open_pairs * (1 - differ[:, best])
    return torch.tensor(chosen)


def _asked(inputs: Inputs, batch: int, codes: int, latents: int, **more) -> dict:
    tag = more.pop("tag", "plain")
    weights = [inputs.away_from_zero(0.5, 1.5, batch, latents), None]
    return call(*_fed(inputs, batch, codes, latents, **more), tag=tag, weights=weights)


def _square_call(inputs: Inputs) -> dict:
    """Return a call with as many examples as codes, where the wrong axis gives the right shapes."""
    while True:
        made = _asked(inputs, 6, 6, 3)
        distance = _squares(*(to_tensor(a) for a in made["args"]))
        if not torch.equal(distance.argmin(0), distance.argmin(1)):
            return made


def _quantize_calls(inputs: Inputs) -> list[dict]:
    batch, codes, latents = inputs.choice(((8, 5, 3), (9, 6, 4), (10, 7, 3)))
    return [
        _asked(inputs, 7, 5, 3) | {"times": 2},
        _asked(inputs, batch, codes, latents) | {"times": 2, "every_device": True},
        _asked(inputs, 8, 6, 3, dtype="float32"),
        _square_call(inputs),
        _asked(inputs, 4, 9, 2),
        _asked(inputs, 1, 5, 3),
        _asked(inputs, 5, 4, 3, spread=0.1),
    ]


def _quantize_hidden(inputs: Inputs) -> list[dict]:
    return [
        _asked(inputs, 40, 64, 8),
        _asked(inputs, 30, 32, 16, dtype="float32"),
        _asked(inputs, 12, 3, 5, spread=20.0),
        _asked(inputs, 6, 8, 1),
        _asked(inputs, 5, 1, 3),
        _asked(inputs, 11, 10, 4, spread=1e-2),
        _asked(inputs, 13, 7, 6, around=100.0),
    ]


# --- quantize: what is returned ------------------------------------------------------------------


def _nearest(z: Tensor, codebook: Tensor) -> Tensor:
    return _squares(z, codebook).argmin(-1)


def _quantize(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    indices = _nearest(z, codebook)
    return z + (codebook[indices] - z).detach(), indices


def _chosen_by(
    choose: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def formula(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        indices = choose(z, codebook)
        return codebook[indices], indices

    return formula


def _made_of(
    change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the formula that returns ``change(z, codes, indices)``, these being right."""

    def formula(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        indices = _nearest(z, codebook)
        return change(z, codebook[indices], indices)

    return formula


def _soft(
    scale: float, distance: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    def formula(z: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.softmax(-scale * distance(z, codebook), -1)
        return weights @ codebook, _nearest(z, codebook)

    return formula


_AXIS = (
    "The least is taken over the wrong axis. With distances [B, N] it is taken over the codes, axis 1, and "
    "every row of z gets one index: [B]."
)
_ALL = "Every row of z gets the same code. Each has a nearest code of its own: argmin over the codes, axis 1."
_MIXTURE = (
    "z_q is a weighted mean of codes, a soft choice. Quantized means one code and no mixture: the row with the "
    "index of the least distance."
)
_STRAIGHT = "Add to z what it lacks to be its code, and detach all that you add, and nothing else."
# fmt: off
_QUANTIZE = (
    *(Row(mistake, _chosen_by(lambda z, e, s=score: s(z, e).argmin(-1)), sentence) for mistake, score, sentence in _SCORES.values()),
    Row("wrong_axis", _chosen_by(lambda z, e: _squares(z, e).argmin(0)), _AXIS),
    Row("wrong_axis", _chosen_by(lambda z, e: _differences(z, e).square().sum(1).argmin(1)), "The squares are summed over the codes instead of over the latents: the differences are [B, N, L], and the distance is the sum over the last axis."),
    Row("one_for_all", _chosen_by(lambda z, e: _squares(z, e).mean(0).argmin().expand(len(z))), _ALL),
    Row("one_for_all", _chosen_by(lambda z, e: _squares(z, e).amin(0).argmin().expand(len(z))), _ALL),
    Row("z_returned", _made_of(lambda z, e, i: (z, i)), f"z_q is z: the straight-through is the wrong way round. The value has to be that of the code, and the gradient that of z. {_STRAIGHT}"),
    Row("difference", _made_of(lambda z, e, i: (e - z, i)), f"z_q is the difference between code and z. z itself is missing. {_STRAIGHT}"),
    Row("difference", _made_of(lambda z, e, i: (z - e, i)), f"z_q is the difference between z and code. {_STRAIGHT}"),
    Row("difference", _made_of(lambda z, e, i: (2 * z - e, i)), f"The difference has the wrong sign, so z_q lies on the far side of z. {_STRAIGHT}"),
    Row("code_added", _made_of(lambda z, e, i: (z + e, i)), f"z_q is z plus its code: the - z is missing. {_STRAIGHT}"),
    Row("halfway", _made_of(lambda z, e, i: ((z + e) / 2, i)), f"z_q lies halfway between z and its code. {_STRAIGHT}"),
    Row("swapped", _made_of(lambda z, e, i: (i, e)), "The two are swapped: return z_q first, then the indices."),
    Row("one_based", _made_of(lambda z, e, i: (e, i + 1)), "The indices count from 1. Rows of a tensor count from 0, as argmin does."),
    Row("one_hot", lambda z, e: (e[_nearest(z, e)], F.one_hot(_nearest(z, e), len(e))), "The indices are one-hot rows, [B, N]. The number of the code is asked, [B]: leave out one_hot, or take argmax(1)."),
    Row("kept_axis", _made_of(lambda z, e, i: (e, i[:, None])), "The indices are a column, [B, 1]. One for each row of z is asked, [B]: leave out keepdim."),
    Row("kept_axis", _made_of(lambda z, e, i: (e[:, None], i[:, None])), "Both have an axis of length 1 too many: leave out keepdim. z_q is [B, L], and indices is [B]."),
    Row("kept_axis", _made_of(lambda z, e, i: (e[:, None], i)), "z_q has an axis of length 1 too many. It has the shape of z, [B, L]."),
    Row("distance_returned", lambda z, e: (_squares(z, e).amin(-1), _nearest(z, e)), "The first thing is the distance of the nearest code: min returns values and indices. Take the row of the codebook at the index."),
    Row("distance_returned", lambda z, e: (_squares(z, e).amin(-1).sqrt(), _nearest(z, e)), "The first thing is the distance of the nearest code: min returns values and indices. Take the row of the codebook at the index."),
    Row("codes_normalized", lambda z, e: ((unit := F.normalize(e, dim=1))[(i := _product(z, unit).argmax(-1))], i), f"The code in the most similar direction is taken, and it is returned with length 1. {_LEAST}"),
    Row("codes_normalized", _made_of(lambda z, e, i: (F.normalize(e, dim=1), i)), "The code is returned with length 1. Return the row of the codebook as it is."),
    *(Row("soft_assignment", _soft(scale, d), _MIXTURE) for scale, d in itertools.product((1.0, 0.5, 2.0, 10.0), (_squares, lambda z, e: _squares(z, e).sqrt(), lambda z, e: -_product(z, e)))),
)
# fmt: on
_GRADIENTS = (
    Row(
        "no_straight_through",
        lambda z, e: _chosen_by(_nearest)(z, e),
        "The values are right, but the gradient goes to the codebook and none reaches z, so an encoder would "
        f"learn nothing from the decoder. {_STRAIGHT}",
    ),
    Row(
        "codebook_not_detached",
        _made_of(lambda z, e, i: (e + z - z.detach(), i)),
        "The gradient reaches z, but the codebook as well. Straight-through hands it to z alone (the codebook "
        f"learns from vq_loss). {_STRAIGHT}",
    ),
    Row(
        "detached",
        _made_of(lambda z, e, i: (e.detach(), i)),
        "The values are right, but no gradient reaches z: everything is detached, or z cancels out, as in "
        f"z + (codes.detach() - z). {_STRAIGHT}",
    ),
    Row(
        "gradient_sign",
        _made_of(lambda z, e, i: (e.detach() + z.detach() - z, i)),
        f"The gradient that reaches z has the wrong sign: the wrong z is detached. {_STRAIGHT}",
    ),
    Row(
        "gradient_sign",
        _made_of(lambda z, e, i: (e + z.detach() - z, i)),
        f"The gradient that reaches z has the wrong sign, and the codebook gets one: the wrong part is detached. {_STRAIGHT}",
    ),
    Row(
        "gradient_sign",
        _made_of(lambda z, e, i: (2 * z - e + 2 * (e - z).detach(), i)),
        f"The codebook gets a gradient, of the wrong sign. {_STRAIGHT}",
    ),
)  # fmt: skip

quantize = Exercise(
    "quantize",
    _quantize_calls,
    PairComparison(
        truth=_quantize,
        arguments=("z", "codebook"),
        table=_QUANTIZE,
        gradients=_GRADIENTS,
        what="a tuple z_q, indices",
        parts={"z_q": "a tensor of shape [B, L]", "indices": "an integer tensor of shape [B]"},
        integers=("indices",),
        errors=(
            (
                r"IndexError: .*out of (bounds|range)",
                "index_out_of_range",
                "An index lies outside of the codebook. The least is taken over the N codes, for each row of z: "
                "with distances [B, N] over axis 1.",
            ),
        ),
    ),
    hidden=_quantize_hidden,
)

# --- vq_loss -------------------------------------------------------------------------------------


def _vq_loss(z: Tensor, codes: Tensor, beta: float) -> Tensor:
    return F.mse_loss(codes, z.detach()) + beta * F.mse_loss(z, codes.detach())


def _loss_call(inputs: Inputs, batch: int, latents: int, beta: float, *, dtype="float64", std=1.0):
    z, codes = (inputs.normal(batch, latents, std=std, dtype=dtype, grad=True) for _ in range(2))
    return call(z, codes, number(beta), weights=inputs.away_from_zero(0.5, 1.5))


def _loss_calls(inputs: Inputs) -> list[dict]:
    batch, latents = inputs.choice(((6, 3), (7, 4), (5, 3), (8, 5)))
    beta = inputs.choice((0.3, 0.4, 0.6, 0.7))
    return [
        _loss_call(inputs, 5, 3, 0.25) | {"times": 2},
        _loss_call(inputs, batch, latents, beta) | {"every_device": True},
        _loss_call(inputs, 6, 4, 0.8, dtype="float32"),
        _loss_call(inputs, 3, 5, 1.7),
        _loss_call(inputs, 1, 4, 0.35),
        _loss_call(inputs, 4, 2, 0.45, std=3.0),
    ]


def _loss_hidden(inputs: Inputs) -> list[dict]:
    return [
        _loss_call(inputs, 49, 8, 0.25),
        _loss_call(inputs, 30, 16, 0.1, dtype="float32"),
        _loss_call(inputs, 7, 1, 2.5),
        _loss_call(inputs, 9, 6, 0.5, std=20.0),
        _loss_call(inputs, 10, 3, 1.0, std=0.05),
    ]


_PROMISE = "Both terms are means over all elements, over the B rows and the L latents, as F.mse_loss takes them."
_REDUCTIONS: tuple[tuple[str, Callable[[Tensor], Tensor], str], ...] = (
    ("sum_instead_of_mean", lambda s: s.sum(), f"The squares are summed over everything. {_PROMISE}"),
    ("summed_over_latents", lambda s: s.sum(1).mean(), f"The squares are summed over the latents, and averaged over the rows only. {_PROMISE}"),
    ("summed_over_batch", lambda s: s.mean(1).sum(), f"The squares are averaged over the latents, and summed over the rows. {_PROMISE}"),
    ("not_reduced", lambda s: s.mean(1), f"There is one value for each row. {_PROMISE}"),
    ("not_reduced", lambda s: s.sum(1), f"There is one value for each row, a sum over the latents. {_PROMISE}"),
    ("not_reduced", lambda s: s, f"There is one value for each element. {_PROMISE}"),
    ("not_reduced", lambda s: s.mean(0), f"There is one value for each latent: only the rows are averaged. {_PROMISE}"),
)  # fmt: skip
_ROOT = "A square root is taken. The terms are mean squares, without a root."
_SHAPES: tuple[tuple[str, Callable[[Tensor], Tensor], str], ...] = (
    ("root", lambda d: d.square().mean().sqrt(), _ROOT),
    ("root", lambda d: d.norm(dim=1).mean(), f"{_ROOT} (norm takes one.)"),
    ("root", lambda d: d.norm(), f"{_ROOT} (norm takes one, of the sum over everything.)"),
    ("root", lambda d: d.norm(dim=1).sum(), f"{_ROOT} (norm takes one.)"),
    ("l1_distance", lambda d: d.abs().mean(), "These are absolute differences. The terms are mean squares."),
    ("l1_distance", lambda d: d.abs().sum(1).mean(), "These are absolute differences. The terms are mean squares."),
    ("huber", lambda d: F.smooth_l1_loss(d, 0 * d), "Large differences count by their size and not by their square, as in F.smooth_l1_loss. The terms are mean squares."),
    ("square_of_mean", lambda d: d.mean().square(), "The mean is taken before the square, so that differences cancel. Square first."),
    ("square_of_mean", lambda d: d.mean(1).square().mean(), "A mean is taken before the square, so that differences cancel. Square first."),
)  # fmt: skip
_WEIGHTS: tuple[tuple[str, Callable[[float], float], str], ...] = (
    ("beta_missing", lambda b: 2.0, "beta is missing: the commitment term counts beta times."),
    ("one_term_only", lambda b: 1.0, "The value is that of one term alone, or of weights that add up to 1. Add both: the codebook term with weight 1, the commitment term with weight beta."),
    ("one_term_only", lambda b: b, "The value is that of the commitment term alone. Add the codebook term, with weight 1."),
    ("beta_on_both", lambda b: 2 * b, "beta stands before both terms. It weighs the commitment term only: look at the brackets."),
    ("beta_fixed", lambda b: 1.25, "beta is 0.25 whatever is handed in. Use the argument."),
    ("half", lambda b: (1 + b) / 2, "The value is half of the right one: there is a factor 1/2, or a mean over the two terms. Add them as they are."),
    ("sign", lambda b: -1 - b, "The sign is turned. Both terms are squares that are made small: the loss is positive."),
    ("term_subtracted", lambda b: 1 - b, "The commitment term is subtracted. Add it: both terms bring z and codes together."),
    ("term_subtracted", lambda b: b - 1, "The codebook term is subtracted. Add it: both terms bring z and codes together."),
    ("beta_squared", lambda b: 1 + b * b, "beta is squared. It is a plain factor of the commitment term."),
    ("beta_squared", lambda b: 1 + b**0.5, "The root of beta is taken. It is a plain factor of the commitment term."),
    ("beta_divides", lambda b: 1 + 1 / b, "The commitment term is divided by beta. Multiply it."),
)  # fmt: skip


def _weighed(value: Callable[[Tensor], Tensor], weight: Callable[[float], float]):
    return lambda z, codes, beta: weight(beta) * value(codes - z)


def _of_squares(reduce: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda difference: reduce(difference.square())


def _whole(beta: float) -> float:
    return 1 + beta


def _mixed(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]):
    return lambda z, codes, beta: first((codes - z).square()) + beta * second((z - codes).square())


_MIXED = f"One of the two terms is a sum, the other a mean. {_PROMISE}"
# fmt: off
_LOSS = (
    *(Row(m, _weighed(lambda d: d.square().mean(), w), sentence) for m, w, sentence in _WEIGHTS),
    *(Row(m, _weighed(_of_squares(r), _whole), sentence) for m, r, sentence in _REDUCTIONS),
    *(Row(m, _weighed(s, _whole), sentence) for m, s, sentence in _SHAPES),
    *(Row("one_term_summed", _mixed(*pair), _MIXED) for r in (torch.sum, lambda s: s.sum(1).mean()) for pair in ((r, torch.mean), (torch.mean, r))),
    Row("no_square", lambda z, c, b: (c - z).mean() + b * (z - c).mean(), "The differences are not squared, and cancel."),
    Row("no_square", lambda z, c, b: (1 + b) * (z - c).mean(), "The differences are not squared, and cancel."),
    Row("no_square", lambda z, c, b: (1 + b) * (c - z).mean(), "The differences are not squared, and cancel."),
    *(Row(m, _weighed(value, w), f"{sentence} Besides: {besides}") for m, value, sentence in (*((m, _of_squares(r), s) for m, r, s in _REDUCTIONS), *_SHAPES) for _, w, besides in _WEIGHTS),
)
# fmt: on

_SG = "The codebook term moves the codes only, so z is detached in it; the commitment term moves z only, so codes is detached in it."


def _live(
    z1: bool, codes1: bool, z2: bool, codes2: bool
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """Return the loss in which the gradient passes where it is said, in either term."""

    def kept(a: Tensor, passes: bool) -> Tensor:
        return a if passes else a.detach()

    def formula(z: Tensor, codes: Tensor, beta: float) -> Tensor:
        first = F.mse_loss(kept(codes, codes1), kept(z, z1))
        return first + beta * F.mse_loss(kept(z, z2), kept(codes, codes2))

    return formula


_RIGHT_PASSAGE = (False, True, True, False)
_PASSAGES = {
    (True, False, False, True): (
        "terms_swapped",
        "The value is right, but beta stands before the wrong term, or the two detaches are swapped: the term with "
        f"weight 1 moves z, and the one with beta the codes. {_SG}",
    ),
    (True, True, True, True): (
        "not_detached",
        "The value is right, but nothing is detached: both terms move z and codes, each with weight 1 + beta. "
        f"{_SG}",
    ),
    (True, True, True, False): (
        "z_not_detached",
        f"The value is right, but the codebook term moves z as well: z is not detached in it. {_SG}",
    ),
    (False, True, True, True): (
        "codes_not_detached",
        f"The value is right, but the commitment term moves the codes as well: codes is not detached in it. {_SG}",
    ),
    (False, True, False, True): (
        "z_always_detached",
        f"The value is right, but z is detached in both terms, so that nothing commits the encoder to its codes. {_SG}",
    ),
    (False, True, False, False): (
        "z_always_detached",
        f"The value is right, but no gradient reaches z: in the commitment term both are detached. {_SG}",
    ),
    (True, False, True, False): (
        "codes_always_detached",
        f"The value is right, but codes is detached in both terms, so that the codebook never moves. {_SG}",
    ),
    (False, False, True, False): (
        "codes_always_detached",
        f"The value is right, but no gradient reaches codes: in the codebook term both are detached. {_SG}",
    ),
}
_LOSS_GRADIENTS = (
    *(Row(mistake, _live(*passes), sentence) for passes, (mistake, sentence) in _PASSAGES.items()),
    Row(
        "straight_through_inside",
        lambda z, c, b: (1 + b) * F.mse_loss(z, c).detach() + (b - 1) * F.mse_loss(z, c.detach()) - (b - 1) * F.mse_loss(z, c).detach(),
        "The value is right, but the codes get no gradient, and z is pushed away from them by the codebook term: the "
        "codes have been sent straight through to z. vq_loss takes the rows of the codebook as they are.",
    ),
    *(
        Row("wrong_detach", _live(*passes), f"The value is right, but the wrong things are detached. {_SG}")
        for passes in itertools.product((False, True), repeat=4)
        if passes not in _PASSAGES and passes != _RIGHT_PASSAGE and any(passes)
    ),
)  # fmt: skip

vq_loss = Exercise(
    "vq_loss",
    _loss_calls,
    Comparison(
        truth=_vq_loss,
        arguments=("z", "codes", "beta"),
        table=_LOSS,
        gradients=_LOSS_GRADIENTS,
        what="a 0-d tensor",
    ),
    hidden=_loss_hidden,
)

EXERCISES = (quantize, vq_loss)
