"""Checks of set 08: straight and great-circle paths between latents, and attribute vectors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.plain import tensor

_BETWEEN = (
    "may be lost where z0 = z1: the angle is 0 there, sin(0) / sin(0) is NaN, and rounding may take the "
    "cosine above 1, whose acos is NaN. The path is then constant: clamp the cosine, and use the "
    "straight line where the angle is (nearly) zero."
)


def _times(z0: Tensor, steps: int) -> Tensor:
    return torch.linspace(0, 1, int(steps), dtype=torch.float64)[:, None].to(z0)


def _line(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    t = _times(z0, steps)
    return (1 - t) * z0 + t * z1


def _cosine(z0: Tensor, z1: Tensor) -> Tensor:
    return (z0 @ z1 / (z0.norm() * z1.norm())).clamp(-1, 1)


def _sines(z0: Tensor, z1: Tensor, t: Tensor, omega: Tensor) -> Tensor:
    return torch.sin((1 - t) * omega) * z0 + torch.sin(t * omega) * z1


def _arc(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    if torch.equal(z0, z1):
        return z0.expand(int(steps), -1)
    omega = torch.acos(_cosine(z0, z1))
    return _sines(z0, z1, _times(z0, steps), omega) / torch.sin(omega)


# --- What is wrong with a path, whichever it is --------------------------------------------------


def _path_rows(path, name: str) -> tuple[Row, ...]:
    """Return the wrong ways to lay out a right path."""
    ends = f"Both ends belong to the {name}: steps places from 0 to 1, torch.linspace(0, 1, steps)."
    return (
        Row(
            "order_turned",
            lambda a, b, n: path(a, b, n).flip(0),
            "The path runs from z1 to z0. At t = 0 it has to be at z0.",
        ),
        Row(
            "end_missing",
            lambda a, b, n: path(a, b, n + 1)[:-1],
            f"The path stops one step before z1. {ends}",
        ),
        Row(
            "end_missing",
            lambda a, b, n: path(a, b, n + 1)[1:],
            f"The path starts one step after z0. {ends}",
        ),
        Row(
            "end_missing",
            lambda a, b, n: path(a, b, n + 2)[1:-1],
            f"Neither z0 nor z1 is on the path. {ends}",
        ),
        Row(
            "wrong_count",
            lambda a, b, n: path(a, b, n + 1),
            f"There is one place too many: steps counts the places, not the intervals. {ends}",
        ),
        Row(
            "wrong_count",
            lambda a, b, n: path(a, b, n + 2),
            f"There are two places too many: steps counts the ends, too. {ends}",
        ),
        Row(
            "wrong_count",
            lambda a, b, n: path(a, b, n)[:-1],
            f"There is one place too few, and z1 is missing. {ends}",
        ),
        Row(
            "transposed",
            lambda a, b, n: path(a, b, n).T,
            "Rows and columns are exchanged: one row for each place, [steps, L].",
        ),
        Row(
            "flattened",
            lambda a, b, n: path(a, b, n).flatten(),
            "The places stand one behind the other in a single axis. One row for each: [steps, L].",
        ),
        Row(
            "kept_axis",
            lambda a, b, n: path(a, b, n)[:, None],
            "There is an axis of length 1 too many. [steps, L] is expected: one row for each place.",
        ),
        Row(
            "ends_only",
            lambda a, b, n: path(a, b, n)[[0] * (int(n) - 1) + [-1]],
            "The path stays at z0 and then jumps to z1. Look for //, or for t made of integers.",
        ),
        Row(
            "one_place",
            lambda a, b, n: path(a, b, 3)[1],
            "Only the middle is returned. One row for each of the places is expected: [steps, L].",
        ),
    )


def _eased(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
    t = _times(z0, steps)
    t = t * t * (3 - 2 * t)
    return (1 - t) * z0 + t * z1


def _pair(
    inputs: Inputs,
    latents: int,
    angle: float,
    n0: float,
    n1: float,
    dtype: str = "float64",
    grad: bool = True,
) -> tuple[dict, dict]:
    """Return plain ``z0, z1: [L]`` with these lengths and this angle (radians) between them."""
    u = [inputs.gauss(0, 1) for _ in range(latents)]
    size = math.hypot(*u)
    u = [a / size for a in u]
    v = [inputs.gauss(0, 1) for _ in range(latents)]
    along = sum(a * b for a, b in zip(u, v, strict=True))
    v = [b - along * a for a, b in zip(u, v, strict=True)]
    size = math.hypot(*v)
    v = [b / size for b in v]
    z0 = [n0 * a for a in u]
    z1 = [n1 * (math.cos(angle) * a + math.sin(angle) * b) for a, b in zip(u, v, strict=True)]
    shape = [latents]
    return tensor(z0, shape, dtype, grad=grad), tensor(z1, shape, dtype, grad=grad)


def _path_calls(inputs: Inputs) -> list[dict]:
    latents, steps = inputs.choice(((3, 5), (4, 6), (6, 4), (5, 7)))

    def acute() -> float:
        return inputs.uniform(0.6, 1.3)

    def obtuse() -> float:
        return inputs.uniform(1.8, 2.5)

    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    same = [1.0, -2.0, 2.0]
    drawn = [inputs.gauss(0, 2) for _ in range(6)]
    return [
        call(*_pair(inputs, 4, acute(), 1.7, 2.9, grad=False), number(5), times=2),
        call(
            *_pair(inputs, latents, obtuse(), 2.2, 1.4),
            number(steps),
            weights=weights(steps, latents),
            every_device=True,
        ),
        call(
            *_pair(inputs, 3, acute(), 2.6, 1.3, "float32"), number(4), weights=weights(4, 3)
        ),
        call(*_pair(inputs, 5, acute(), 0.7, 0.9), number(3), weights=weights(3, 5)),
        call(*_pair(inputs, 3, obtuse(), 0.9, 0.6), number(6), weights=weights(6, 3)),
        call(*_pair(inputs, 2, acute(), 3.0, 1.2), number(7), weights=weights(7, 2)),
        call(*_pair(inputs, 6, obtuse(), 1.5, 3.2), number(2), weights=weights(2, 6)),
        call(tensor([0.0, 2.0, 0.0], [3]), tensor([0.0, 2.0, 0.0], [3]), number(4), tag="extreme"),
        call(tensor(same, [3]), tensor(same, [3]), number(5), tag="extreme"),
        call(tensor(drawn, [6]), tensor(drawn, [6]), number(3), tag="extreme"),
        call(
            tensor(drawn, [6], "float32"), tensor(drawn, [6], "float32"), number(4), tag="extreme"
        ),
    ]  # fmt: skip


def _path_hidden(inputs: Inputs) -> list[dict]:
    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    same = [inputs.gauss(0, 1) for _ in range(20)]
    return [
        call(*_pair(inputs, 64, 1.5, 8.3, 7.6), number(11), weights=weights(11, 64)),
        call(*_pair(inputs, 2, 0.3, 1.0, 1.0), number(9), weights=weights(9, 2)),
        call(*_pair(inputs, 8, 2.5, 0.2, 3.0), number(3), weights=weights(3, 8)),
        call(*_pair(inputs, 10, 1.1, 1.0, 4.0), number(2), weights=weights(2, 10)),
        call(*_pair(inputs, 7, 2.0, 4.0, 3.0, "float32", grad=False), number(13)),
        call(tensor(same, [20]), tensor(same, [20]), number(8), tag="extreme"),
    ]


# --- lerp ----------------------------------------------------------------------------------------

_LERP = (
    *_path_rows(_line, "line"),
    Row(
        "smoothed",
        _eased,
        "The places are not evenly spaced in t. Use torch.linspace(0, 1, steps).",
    ),
    Row(
        "great_circle",
        _arc,
        "This is the path on the great circle: slerp. Here a straight line is asked, with the weights "
        "1 - t and t.",
    ),
    Row(
        "start_missing",
        lambda a, b, n: _times(a, n) * (b - a),
        "This is t (z1 - z0): z0 is not added, so that the path starts at zero.",
    ),
    Row(
        "start_missing",
        lambda a, b, n: _times(a, n) * b,
        "This is t z1: z0 does not appear. The weights are 1 - t for z0 and t for z1.",
    ),
    Row(
        "end_not_subtracted",
        lambda a, b, n: a + _times(a, n) * b,
        "This is z0 + t z1, which ends at z0 + z1. z0 has to fade: z0 + t (z1 - z0).",
    ),
    Row(
        "sign",
        lambda a, b, n: a - _times(a, n) * (b - a),
        "The path starts at z0 and runs away from z1. Turn the sign of the difference.",
    ),
    Row(
        "sign",
        lambda a, b, n: (1 - _times(a, n)) * a - _times(a, n) * b,
        "The path ends at -z1. Add the two parts.",
    ),
    Row(
        "normalized",
        lambda a, b, n: F.normalize(_line(a, b, n), dim=-1),
        "Every place is scaled to length 1. Leave the lengths as they come out.",
    ),
    Row(
        "normalized",
        lambda a, b, n: _line(F.normalize(a, dim=0), F.normalize(b, dim=0), n),
        "z0 and z1 are scaled to length 1 first. Use them as they are: they are on the path.",
    ),
    Row(
        "not_summed",
        lambda a, b, n: _times(a, n) * (a + b),
        "Both have the weight t. z0 has the weight 1 - t.",
    ),
    Row(
        "halved",
        lambda a, b, n: _line(a, b, n) / 2,
        "It is divided by 2. The weights 1 - t and t sum to 1 already.",
    ),
    Row(
        "ends_only",
        lambda a, b, n: torch.stack([a, b]),
        "Only the two ends are returned. One row for each of the places is expected: [steps, L].",
    ),
)

lerp = Exercise(
    "lerp",
    _path_calls,
    Comparison(
        truth=_line,
        arguments=("z0", "z1", "steps"),
        table=_LERP,
        what="a tensor of shape [steps, L]",
        extreme=(
            "equal_ends",
            "Right where the ends differ. Where z0 = z1 the path is constant: look for a division by "
            "their distance.",
        ),
    ),
    hidden=_path_hidden,
)

# --- slerp ---------------------------------------------------------------------------------------


def _with_angle(angle):
    """Return the path that takes ``angle(z0, z1)`` for the angle between the ends."""

    def formula(z0: Tensor, z1: Tensor, steps: int) -> Tensor:
        omega = angle(z0, z1)
        return _sines(z0, z1, _times(z0, steps), omega) / torch.sin(omega)

    return formula


def _unit(path):
    return lambda a, b, n: path(F.normalize(a, dim=0), F.normalize(b, dim=0), n)


def _lengths(a: Tensor, b: Tensor, n: int) -> Tensor:
    t = _times(a, n)
    return (1 - t) * a.norm() + t * b.norm()


def _shorter(a: Tensor, b: Tensor, n: int) -> Tensor:
    return _arc(a, b if a @ b >= 0 else -b, n)


_WITHOUT_LENGTHS = (
    "cos Ω is taken as z0 · z1 without dividing by the two lengths, so that it is the cosine of no "
    "angle. Divide by the norms of z0 and z1."
)

_SLERP = (
    Row(
        "straight_line",
        _line,
        "This is the straight line. The weights are sin((1 - t) Ω) / sin Ω and sin(t Ω) / sin Ω, with "
        "the angle Ω between z0 and z1.",
    ),
    Row(
        "norm_lost",
        _unit(_arc),
        "The path is that of the unit vectors: the lengths are lost, and z0 and z1 are not on it. Unit "
        "vectors are for the angle only; the weights go on the raw z0 and z1.",
    ),
    Row(
        "norm_lost",
        lambda a, b, n: F.normalize(_arc(a, b, n), dim=-1),
        "Every place is scaled to length 1. The weights go on the raw vectors, and nothing is scaled.",
    ),
    Row(
        "norm_lost",
        lambda a, b, n: F.normalize(_line(a, b, n), dim=-1),
        "This is the straight line, pushed out to length 1. It has neither the lengths nor the weights "
        "of slerp.",
    ),
    Row(
        "norm_interpolated",
        lambda a, b, n: _lengths(a, b, n) * _unit(_arc)(a, b, n),
        "Direction and length are interpolated apart. That is another sensible path, but here the "
        "great-circle weights go on the raw vectors.",
    ),
    Row(
        "norm_interpolated",
        lambda a, b, n: (
            a.norm() ** (1 - _times(a, n)) * b.norm() ** _times(a, n) * _unit(_arc)(a, b, n)
        ),
        "Direction and length are interpolated apart. Here the great-circle weights go on the raw "
        "vectors.",
    ),
    Row(
        "line_at_right_length",
        lambda a, b, n: _lengths(a, b, n) * F.normalize(_line(a, b, n), dim=-1),
        "This is the straight line, stretched to the right length: its angles are not even. Use the "
        "weights sin((1 - t) Ω) / sin Ω and sin(t Ω) / sin Ω.",
    ),
    Row("dot_not_normalized", _with_angle(lambda a, b: torch.acos(a @ b)), _WITHOUT_LENGTHS),
    Row(
        "dot_not_normalized",
        _with_angle(lambda a, b: torch.acos((a @ b).clamp(-1 + 1e-6, 1 - 1e-6))),
        _WITHOUT_LENGTHS,
    ),
    Row(
        "dot_not_normalized",
        _with_angle(lambda a, b: torch.acos((a @ b).clamp(-1 + 1e-7, 1 - 1e-7))),
        _WITHOUT_LENGTHS,
    ),
    Row(
        "dot_not_normalized",
        _with_angle(lambda a, b: torch.acos((a @ b).clamp(-1, 1))),
        _WITHOUT_LENGTHS,
    ),
    Row(
        "dot_not_normalized",
        _with_angle(lambda a, b: torch.acos(a @ b / a.norm())),
        "z0 · z1 is divided by one of the two lengths only. Divide by both.",
    ),
    Row(
        "dot_not_normalized",
        _with_angle(lambda a, b: torch.acos(a @ b / b.norm())),
        "z0 · z1 is divided by one of the two lengths only. Divide by both.",
    ),
    Row(
        "shorter_way",
        _shorter,
        "Where the angle is above 90°, z1 is replaced by -z1. That is for rotations, where both are the "
        "same; here the path has to end at z1.",
    ),
    Row(
        "missing_sine",
        lambda a, b, n: _arc(a, b, n) * torch.sin(torch.acos(_cosine(a, b))),
        "The division by sin Ω is missing: at t = 0 the weight of z0 is not 1.",
    ),
    Row(
        "sines_of_quarter",
        _with_angle(lambda a, b: torch.tensor(math.pi / 2).to(a)),
        "The angle is always 90° here: cos and sin of t π/2 are the weights for perpendicular vectors "
        "only. Use the angle between z0 and z1.",
    ),
    Row(
        "missing_acos",
        _with_angle(_cosine),
        "The cosine is used as if it were the angle. Take torch.acos of it.",
    ),
    Row(
        "missing_acos",
        _with_angle(lambda a, b: torch.asin(_cosine(a, b))),
        "The angle is the arcsine of the dot product of the unit vectors. It is the arccosine.",
    ),
    Row(
        "missing_acos",
        _with_angle(lambda a, b: torch.cos(_cosine(a, b))),
        "The cosine of the cosine is used as the angle. Take torch.acos instead.",
    ),
    Row(
        "degrees",
        _with_angle(lambda a, b: torch.rad2deg(torch.acos(_cosine(a, b)))),
        "The angle is in degrees. torch.sin takes radians.",
    ),
    Row(
        "cosines",
        lambda a, b, n: (
            torch.cos((1 - _times(a, n)) * torch.acos(_cosine(a, b))) * a
            + torch.cos(_times(a, n) * torch.acos(_cosine(a, b))) * b
        ),
        "The weights are cosines. They are sines: sin((1 - t) Ω) / sin Ω and sin(t Ω) / sin Ω.",
    ),
    Row(
        "perpendicular_assumed",
        lambda a, b, n: (
            torch.cos(_times(a, n) * torch.acos(_cosine(a, b))) * a
            + torch.sin(_times(a, n) * torch.acos(_cosine(a, b))) * b
        ),
        "cos(t Ω) z0 + sin(t Ω) z1 ends at z1 only if the two are perpendicular. Use the weights "
        "sin((1 - t) Ω) / sin Ω and sin(t Ω) / sin Ω.",
    ),
    *_path_rows(_arc, "arc"),
)

slerp = Exercise(
    "slerp",
    _path_calls,
    Comparison(
        truth=_arc,
        arguments=("z0", "z1", "steps"),
        table=_SLERP,
        what="a tensor of shape [steps, L]",
        extreme=("equal_ends", f"Right where the ends differ. The value {_BETWEEN}"),
        errors=(
            (
                r"ValueError: (math domain error|expected a number in range)|ZeroDivisionError",
                "equal_ends",
                f"It stops on some pair. The value {_BETWEEN}",
            ),
        ),
    ),
    hidden=_path_hidden,
)

# --- attribute_vector ----------------------------------------------------------------------------


def _with(z: Tensor, has: Tensor) -> Tensor:
    return z[has.bool()]


def _without(z: Tensor, has: Tensor) -> Tensor:
    return z[~has.bool()]


def _vector(z: Tensor, has: Tensor) -> Tensor:
    return _with(z, has).mean(0) - _without(z, has).mean(0)


def _attribute(inputs: Inputs, yes: int, no: int) -> dict:
    """Return a plain mask that begins with neither all nor none of those who have it."""
    values = [1.0] * yes + [0.0] * no
    inputs.shuffle(values)
    return tensor(values, [yes + no], "bool")


def _attribute_calls(inputs: Inputs) -> list[dict]:
    latents = inputs.choice((2, 4, 5))

    def weights(length: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, length)

    def z(rows: int, columns: int, dtype: str = "float64") -> dict:
        return inputs.normal(rows, columns, mean=1.3, std=1.5, dtype=dtype, grad=True)

    return [
        call(inputs.normal(7, 3, std=1.5), _attribute(inputs, 2, 5), times=2),
        call(
            z(9, latents), _attribute(inputs, 6, 3), weights=weights(latents), every_device=True
        ),
        call(z(8, 3, "float32"), _attribute(inputs, 3, 5), weights=weights(3)),
        call(z(6, 4), _attribute(inputs, 3, 3), weights=weights(4)),
        call(z(12, 2), _attribute(inputs, 2, 10), weights=weights(2)),
        call(z(11, 5), _attribute(inputs, 9, 2), weights=weights(5)),
    ]  # fmt: skip


def _attribute_hidden(inputs: Inputs) -> list[dict]:
    def weights(length: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, length)

    return [
        call(inputs.normal(40, 16, grad=True), _attribute(inputs, 1, 39), weights=weights(16)),
        call(inputs.normal(30, 7, grad=True), _attribute(inputs, 29, 1), weights=weights(7)),
        call(inputs.normal(13, 1, mean=5.0, grad=True), _attribute(inputs, 4, 9), weights=weights(1)),
        call(inputs.normal(2, 6, grad=True), _attribute(inputs, 1, 1), weights=weights(6)),
    ]  # fmt: skip


def _share(has: Tensor) -> Tensor:
    return has.double().mean()


_ATTRIBUTE = (
    Row(
        "sign",
        lambda z, h: -_vector(z, h),
        "The sign is turned: the mean without the attribute minus the mean with it. Added to a latent, "
        "the vector has to bring the attribute.",
    ),
    Row(
        "minus_mean_of_all",
        lambda z, h: _with(z, h).mean(0) - z.mean(0),
        "The mean of all is subtracted, and it contains those with the attribute: the vector is too "
        "short by their share. Subtract the mean of those without.",
    ),
    Row(
        "minus_mean_of_all",
        lambda z, h: z.mean(0) - _without(z, h).mean(0),
        "The mean without is subtracted from the mean of all, and not from the mean with: the vector is "
        "too short.",
    ),
    Row(
        "only_with",
        lambda z, h: _with(z, h).mean(0),
        "This is the mean with the attribute alone. It holds all that the images have in common, too: "
        "subtract the mean without.",
    ),
    Row(
        "only_with",
        lambda z, h: _without(z, h).mean(0),
        "This is the mean without the attribute alone. The mean with minus the mean without is asked.",
    ),
    Row(
        "divided_by_all",
        lambda z, h: (_with(z, h).sum(0) - _without(z, h).sum(0)) / len(z),
        "Both sums are divided by the number of all examples: multiplied by a mask, the others are in "
        "the mean as zeros. Divide each sum by the size of its own group.",
    ),
    Row(
        "divided_by_all",
        lambda z, h: (_with(z, h).sum(0) - _without(z, h).sum(0)) / h.sum(),
        "Both sums are divided by the number of those with the attribute. Divide each by the size of "
        "its own group.",
    ),
    Row(
        "divided_by_all",
        lambda z, h: (_with(z, h).sum(0) - _without(z, h).sum(0)) / (1 - h.double()).sum(),
        "Both sums are divided by the number of those without the attribute. Divide each by the size of "
        "its own group.",
    ),
    Row(
        "sums",
        lambda z, h: _with(z, h).sum(0) - _without(z, h).sum(0),
        "Sums are subtracted, so that the larger group wins. Subtract means.",
    ),
    Row(
        "wrong_axis",
        lambda z, h: _with(z, h).mean(1)[: _smaller(h)] - _without(z, h).mean(1)[: _smaller(h)],
        "The means are over the latents of each example. Take them over the examples, axis 0.",
    ),
    Row(
        "mask_as_indices",
        lambda z, h: z[h.long()].mean(0) - z[1 - h.long()].mean(0),
        "As integers, a mask is a list of indices: only the rows 0 and 1 are used. Index with the bool "
        "tensor itself, and with ~ in front.",
    ),
    Row(
        "normalized",
        lambda z, h: F.normalize(_vector(z, h), dim=0),
        "The vector is scaled to length 1. Its length says how far the two groups are apart: keep it.",
    ),
    Row(
        "kept_axis",
        lambda z, h: _vector(z, h)[None],
        "There is an axis of length 1 too many. [L] is expected: leave out keepdim=True.",
    ),
    Row(
        "one_number",
        lambda z, h: _vector(z, h).mean(),
        "The mean is over the latents, too. One value for each latent is expected: [L].",
    ),
    Row(
        "one_number",
        lambda z, h: _vector(z, h).norm(),
        "This is the length of the vector. The vector itself is asked: [L].",
    ),
    Row(
        "scaled_by_spread",
        lambda z, h: _vector(z, h) / z.std(0),
        "The difference is divided by the standard deviation of each latent. Leave it as it is: it is "
        "added to latents, and has to be in their units.",
    ),
    Row(
        "scaled_by_spread",
        lambda z, h: _vector(z, h) / z.std(0, unbiased=False),
        "The difference is divided by the standard deviation of each latent. Leave it as it is: it is "
        "added to latents, and has to be in their units.",
    ),
    Row(
        "median",
        lambda z, h: _with(z, h).median(0).values - _without(z, h).median(0).values,
        "These are medians. Means are asked.",
    ),
    Row(
        "halved",
        lambda z, h: _vector(z, h) / 2,
        "It is divided by 2. The whole difference is asked.",
    ),
    Row(
        "one_pair",
        lambda z, h: _with(z, h)[0] - _without(z, h)[0],
        "This is the difference of one pair. What else tells the two apart is in it, too: average "
        "over all of each group.",
    ),
    Row(
        "added",
        lambda z, h: _with(z, h).mean(0) + _without(z, h).mean(0),
        "The two means are added. Subtract the mean without.",
    ),
    Row(
        "absolute_value",
        lambda z, h: _vector(z, h).abs(),
        "The signs are lost: this is an absolute value.",
    ),
    Row(
        "covariance",
        lambda z, h: _vector(z, h) * _share(h) * (1 - _share(h)),
        "This is the covariance of attribute and latents. Divided by the variance of the attribute it "
        "would be right.",
    ),
    Row(
        "not_averaged",
        lambda z, h: z - _without(z, h).mean(0),
        "Every example is returned, less the mean without. Average over those with the attribute.",
    ),
    Row(
        "not_averaged",
        lambda z, h: _with(z, h) - _without(z, h).mean(0),
        "The examples with the attribute are not averaged. One vector is expected: [L].",
    ),
)


def _smaller(has: Tensor) -> int:
    return int(min(has.sum(), (1 - has.double()).sum()))


attribute_vector = Exercise(
    "attribute_vector",
    _attribute_calls,
    Comparison(
        truth=_vector,
        arguments=("z", "has_attribute"),
        table=_ATTRIBUTE,
        what="a tensor of shape [L]",
        errors=(
            (
                r"Error: Subtraction, the `-` operator, with a bool tensor",
                "mask_subtracted",
                "A bool tensor cannot be subtracted from 1. The opposite of a mask is ~has_attribute.",
            ),
            (
                r"RuntimeError: The size of tensor a .* must match the size of tensor b",
                "rows_subtracted",
                "Rows of one group are subtracted from rows of the other, and there are not as many of "
                "both. Average each group over its examples first, axis 0.",
            ),
        ),
    ),
    hidden=_attribute_hidden,
)

EXERCISES = (lerp, slerp, attribute_vector)
