"""Checks of set 09: an image beside its label, and guided logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.checks.comparing import Comparison, Row, Seen
from course_lib.checks.exercise import Exercise, Inputs, call, number
from course_lib.checks.probes.plain import tensor

# --- condition -----------------------------------------------------------------------------------


def _code(y: Tensor, classes: int) -> Tensor:
    return F.one_hot(y.long(), int(classes))


def _beside(x: Tensor, code: Tensor) -> Tensor:
    return torch.cat([x.flatten(1), code.to(x)], 1)


def _condition(x: Tensor, y: Tensor, classes: int) -> Tensor:
    return _beside(x, _code(y, classes))


def _labels(inputs: Inputs, batch: int, classes: int, most: int | None = None) -> dict:
    """Return plain labels in no order, of which some differ; none is above ``most``."""
    most = classes - 1 if most is None else most
    while True:
        y = [inputs.randint(0, most) for _ in range(batch)]
        turned = (y[1:] + y[:1], y[-1:] + y[:-1], y[::-1], sorted(y), sorted(y, reverse=True))
        if y not in turned and max(y) == most:
            return tensor([float(v) for v in y], [batch], "int64")


def _condition_calls(inputs: Inputs) -> list[dict]:
    batch, classes = inputs.choice(((5, 4), (6, 7), (4, 6), (7, 5)))

    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    return [
        call(inputs.between(0.1, 0.9, 4, 1, 2, 3), _labels(inputs, 4, 5), number(5), times=2),
        call(
            inputs.between(0.1, 0.9, batch, 1, 3, 2, grad=True),
            _labels(inputs, batch, classes),
            number(classes),
            weights=weights(batch, 6 + classes),
            every_device=True,
        ),
        call(
            inputs.between(0.1, 0.9, 4, 1, 2, 2, dtype="float32", grad=True),
            _labels(inputs, 4, 3),
            number(3),
            weights=weights(4, 7),
        ),
        call(  # the highest class does not occur
            inputs.normal(5, 3, grad=True),
            _labels(inputs, 5, 10, most=7),
            number(10),
            weights=weights(5, 13),
        ),
        call(
            inputs.between(0.1, 0.9, 6, 3, 2, 4, grad=True),
            _labels(inputs, 6, 4),
            number(4),
            weights=weights(6, 28),
        ),
    ]


def _condition_hidden(inputs: Inputs) -> list[dict]:
    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    return [
        call(
            inputs.between(0.0, 1.0, 3, 1, 28, 28, grad=True),
            _labels(inputs, 3, 10, most=8),
            number(10),
            weights=weights(3, 794),
        ),
        call(inputs.normal(1, 5, grad=True), tensor([2.0], [1], "int64"), number(4), weights=weights(1, 9)),
        call(inputs.normal(9, 2, 3, grad=True), _labels(inputs, 9, 2), number(2), weights=weights(9, 8)),
        call(inputs.normal(3, 4), tensor([0.0] * 3, [3], "int64"), number(1)),
        call(inputs.normal(8, 16, std=100.0), _labels(inputs, 8, 100), number(100)),
    ]  # fmt: skip


def _reshaped(y: Tensor, classes: int) -> Tensor:
    """The one-hot codes made with the classes first, and reshaped where they should be transposed."""
    return _code(y, classes).T.reshape(len(y), int(classes))


_OTHERS = (
    "The labels are one-hot, but those of other images: row i of the result has to hold image i and "
    "label i. Keep the order of y."
)

_CONDITION = (
    Row(
        "label_first",
        lambda x, y, n: torch.cat([_code(y, n).to(x), x.flatten(1)], 1),
        "The label stands before the image. The image comes first, then the one-hot label.",
    ),
    Row(
        "labels_scrambled",
        lambda x, y, n: _beside(x, _reshaped(y, n)),
        "The labels are scrambled: made as [num_classes, B] and then reshaped. A reshape does not "
        "transpose; it only cuts the same numbers into other rows. Use .T, or make them [B, num_classes].",
    ),
    Row(
        "label_as_number",
        lambda x, y, n: _beside(x, y[:, None]),
        "The label is appended as a number, as if class 7 were more than class 1. Make a one-hot row "
        "of it: num_classes zeros, with a one at y.",
    ),
    Row(
        "label_as_number",
        lambda x, y, n: _beside(x, y[:, None] / n),
        "The label is appended as a scaled number, as if classes had an order. Make a one-hot row of "
        "it: num_classes zeros, with a one at y.",
    ),
    Row(
        "label_as_number",
        lambda x, y, n: _beside(x, y[:, None] / max(n - 1, 1)),
        "The label is appended as a scaled number, as if classes had an order. Make a one-hot row of "
        "it: num_classes zeros, with a one at y.",
    ),
    Row(
        "label_as_number",
        lambda x, y, n: _beside(x, y[:, None].expand(-1, int(n))),
        "The number of the class is repeated num_classes times. Make a one-hot row of it: zeros, with "
        "a one at y.",
    ),
    Row(
        "label_as_number",
        lambda x, y, n: _beside(x, _code(y, n).double() * y[:, None]),
        "The number of the class stands where a one should be. A one-hot row holds zeros and a one.",
    ),
    Row(
        "classes_from_batch",
        lambda x, y, n: _beside(x, F.one_hot(y.long())),
        "The number of classes is taken from the batch, so that the width changes with the labels that "
        "happen to occur. Use num_classes: F.one_hot(y, num_classes).",
    ),
    Row(
        "labels_of_others",
        lambda x, y, n: _condition(x, y.roll(1), n),
        _OTHERS,
    ),
    Row("labels_of_others", lambda x, y, n: _condition(x, y.flip(0), n), _OTHERS),
    Row("labels_of_others", lambda x, y, n: _condition(x, y.sort().values, n), _OTHERS),
    Row(
        "off_by_one",
        lambda x, y, n: _condition(x, (y - 1) % n, n),
        "The one stands one place too early: classes are counted from 0.",
    ),
    Row(
        "off_by_one",
        lambda x, y, n: _condition(x, (y + 1) % n, n),
        "The one stands one place too late: classes are counted from 0.",
    ),
    Row(
        "off_by_one",
        lambda x, y, n: _condition(x, n - 1 - y, n),
        "The classes are counted from the end. The one belongs to place y, counted from 0.",
    ),
    Row(
        "pixels_scrambled",
        lambda x, y, n: _beside(x.transpose(0, 1).reshape(len(x), -1), _code(y, n)),
        "The pixels of different images are mixed: the batch axis was moved before the reshape. Flatten "
        "each image by itself: x.flatten(1).",
    ),
    Row(
        "pixels_scrambled",
        lambda x, y, n: _beside(x.transpose(1, -1), _code(y, n)),
        "The pixels are in another order. Flatten each image as it is: x.flatten(1).",
    ),
    Row(
        "label_missing",
        lambda x, y, n: x.flatten(1),
        "This is the flattened image alone. The one-hot label belongs beside it.",
    ),
    Row(
        "label_missing",
        lambda x, y, n: _beside(x, torch.zeros(len(x), int(n))),
        "The place of the label holds zeros only.",
    ),
    Row(
        "image_missing",
        lambda x, y, n: _code(y, n),
        "This is the one-hot label alone. The flattened image belongs before it.",
    ),
    Row(
        "one_class_too_many",
        lambda x, y, n: _condition(x, y, n + 1),
        "There is one class too many. The width is D + num_classes.",
    ),
    Row(
        "not_one_hot",
        lambda x, y, n: _beside(x, 0.9 * _code(y, n).double() + 0.1 / n),
        "The labels are smoothed. That is a trick for the targets of a classifier; here the label is an "
        "input that is known: a one and zeros.",
    ),
    Row(
        "not_one_hot",
        lambda x, y, n: _beside(x, torch.softmax(_code(y, n).double(), 1)),
        "A softmax went over the one-hot labels. They are probabilities already: a one and zeros.",
    ),
    Row(
        "not_one_hot",
        lambda x, y, n: _beside(x, 1 - _code(y, n)),
        "Ones and zeros are exchanged: one zero among ones.",
    ),
    Row(
        "not_one_hot",
        lambda x, y, n: _beside(x, 2 * _code(y, n) - 1),
        "The labels hold 1 and -1. One-hot labels hold 1 and 0.",
    ),
    Row(
        "not_one_hot",
        lambda x, y, n: _beside(x, torch.arange(int(n)).to(y) <= y[:, None]),
        "All places up to y hold a one. One-hot means a single one, at y.",
    ),
    Row(
        "same_label_for_all",
        lambda x, y, n: _condition(x, y[:1].expand(len(y)), n),
        "The label of the first image stands beside all of them. Each image has its own.",
    ),
    Row(
        "pixels_rounded",
        lambda x, y, n: _beside(x.long().double(), _code(y, n)),
        "The pixels are rounded to whole numbers. Bring the labels to the dtype of x, not the other way.",
    ),
    Row(
        "added",
        lambda x, y, n: (
            torch.cat([x.flatten(1), torch.zeros(len(x), int(n)).to(x)], 1) + _wide(x, y, n)
        ),
        "The label is added to the first pixels. It belongs beside them: torch.cat.",
    ),
    Row(
        "labels_twice",
        lambda x, y, n: _beside(_condition(x, y, n), _code(y, n)),
        "The label stands there twice.",
    ),
)


def _wide(x: Tensor, y: Tensor, classes: int) -> Tensor:
    width = x.flatten(1).shape[1] + int(classes)
    return F.pad(_code(y, classes), (0, width - int(classes))).to(x)


def _mixed_up(seen: list[Seen]) -> tuple[str, str] | None:
    """Say what is in another order, whatever the order."""
    parts = []
    for one in seen:
        _, _, n = one.args
        if one.got.shape != one.want.shape:
            return None
        pixels = one.want.shape[1] - int(n)
        parts.append(
            (one.got[:, :pixels], one.want[:, :pixels], one.got[:, pixels:], one.want[:, pixels:])
        )
    images_right = all(torch.allclose(g, w) for g, w, _, _ in parts)
    labels_right = all(torch.equal(g, w) for _, _, g, w in parts)
    if images_right and labels_right:
        return None
    if images_right and all(_same_classes(g, w) for _, _, g, w in parts):
        return "labels_of_others", _OTHERS
    if images_right and all(_sorted_alike(g, w) for _, _, g, w in parts):
        return (
            "labels_scrambled",
            "The place of the label holds as many ones as there are images, but not one in each row. "
            "Row i has a single one, at place y[i].",
        )
    if labels_right and all(_sorted_alike(g, w) for g, w, _, _ in parts):
        return (
            "pixels_scrambled",
            "The pixels are all there, in another order. Flatten each image as it is: x.flatten(1).",
        )
    return None


def _same_classes(got: Tensor, want: Tensor) -> bool:
    return bool((got.sum(1) == 1).all()) and torch.equal(got.sum(0), want.sum(0))


def _sorted_alike(a: Tensor, b: Tensor) -> bool:
    a, b = a.flatten().sort().values, b.flatten().sort().values
    return a.shape == b.shape and torch.allclose(a, b)


condition = Exercise(
    "condition",
    _condition_calls,
    Comparison(
        truth=_condition,
        arguments=("x", "y", "num_classes"),
        table=_CONDITION,
        what="a tensor of shape [B, D + num_classes]",
        fallback=_mixed_up,
        errors=(
            (
                r"RuntimeError: Tensors must have same number of dimensions",
                "not_flattened",
                "Image and label have not the same number of axes, so that they cannot be joined. "
                "Flatten the images first: x.flatten(1).",
            ),
            (
                r"RuntimeError: one_hot is only applicable to index tensor",
                "label_dtype",
                "F.one_hot wants whole numbers. Hand over y as it is, before any change of dtype.",
            ),
        ),
    ),
    hidden=_condition_hidden,
)

# --- cfg_logits ----------------------------------------------------------------------------------


def _guided(c: Tensor, u: Tensor, w: float) -> Tensor:
    return u + w * (c - u)


def _cfg_calls(inputs: Inputs) -> list[dict]:
    batch, width = inputs.choice(((3, 5), (4, 2), (2, 6), (5, 3)))

    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    def pair(*shape: int, dtype: str = "float64", std: float = 1.5) -> tuple[dict, dict]:
        return tuple(inputs.normal(*shape, std=std, dtype=dtype, grad=True) for _ in range(2))

    def between(low: float, high: float) -> dict:
        return number(round(64 * inputs.uniform(low, high)) / 64)  # exact in float32, too

    return [
        call(inputs.normal(2, 3), inputs.normal(2, 3), between(1.5, 3.0), times=2),
        call(
            *pair(batch, width),
            between(0.2, 0.4),
            weights=weights(batch, width),
            every_device=True,
        ),
        call(*pair(3, 4, dtype="float32"), between(1.5, 2.5), weights=weights(3, 4)),
        call(*pair(2, 1, 3, 2), between(3.0, 6.0), weights=weights(2, 1, 3, 2)),
        call(*pair(3, 5), between(-2.0, -0.5), weights=weights(3, 5)),
        call(inputs.normal(4, 2), inputs.normal(4, 2), number(0.0)),
        call(inputs.normal(4, 3), inputs.normal(4, 3), number(1.0)),
        call(*pair(2, 4, std=600.0), between(1.5, 2.5), tag="extreme", weights=weights(2, 4)),
    ]


def _cfg_hidden(inputs: Inputs) -> list[dict]:
    def weights(*shape: int) -> dict:
        return inputs.away_from_zero(0.5, 1.5, *shape)

    return [
        call(
            *(inputs.normal(2, 1, 28, 28, std=4.0, grad=True) for _ in range(2)),
            number(7.5),
            weights=weights(2, 1, 28, 28),
        ),
        call(*(inputs.normal(6, grad=True) for _ in range(2)), number(-3), weights=weights(6)),
        call(*(inputs.normal(1, 1, 4, grad=True) for _ in range(2)), number(2), weights=weights(1, 1, 4)),
        call(*(inputs.normal(3, 7, std=1e4) for _ in range(2)), number(0.5), tag="extreme"),
    ]  # fmt: skip


_CFG = (
    Row(
        "sides_swapped",
        lambda c, u, w: c + w * (u - c),
        "The two sides are exchanged: weight 1 gives the unconditional logits. Weight 0 is "
        "unconditional, 1 conditional.",
    ),
    Row(
        "other_convention",
        lambda c, u, w: c + w * (c - u),
        "This is the other convention, (1 + w) cond - w uncond, whose 0 is conditional. Here weight 0 is "
        "unconditional, and 1 conditional: yours acts like a weight of w + 1.",
    ),
    Row(
        "difference_turned",
        lambda c, u, w: u + w * (u - c),
        "The difference is turned: it leads away from the condition. Add weight * (cond - uncond).",
    ),
    Row(
        "difference_turned",
        lambda c, u, w: u - w * u + w * -c,
        "The sign of the conditional logits is turned.",
    ),
    Row(
        "not_subtracted",
        lambda c, u, w: u + w * c,
        "The unconditional logits are not subtracted inside: weight 1 has to give cond alone. Use "
        "uncond + weight * (cond - uncond).",
    ),
    Row(
        "weights_do_not_sum",
        lambda c, u, w: w * c - u,
        "The two weights do not sum to 1. They are weight and 1 - weight.",
    ),
    Row(
        "weights_do_not_sum",
        lambda c, u, w: w * c - (1 - w) * u,
        "A sign is turned: the weights are weight and 1 - weight, and they are added.",
    ),
    Row(
        "weights_do_not_sum",
        lambda c, u, w: c + w * c - u,
        "The brackets are missing: weight multiplies the difference of the two.",
    ),
    Row(
        "base_missing",
        lambda c, u, w: w * (c - u),
        "Only the difference is returned. Add the unconditional logits: weight 0 has to give them.",
    ),
    Row(
        "weights_do_not_sum",
        lambda c, u, w: w * c + w * u,
        "Both have the same weight. They are weight and 1 - weight.",
    ),
    Row(
        "averaged",
        lambda c, u, w: _guided(c, u, w) / 2,
        "It is divided by 2. The weights, weight and 1 - weight, sum to 1 already.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: u.sigmoid() + w * (c.sigmoid() - u.sigmoid()),
        "Probabilities are mixed. With a weight above 1 they leave the range from 0 to 1: mix the "
        "logits, and return logits.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: (u.sigmoid() + w * (c.sigmoid() - u.sigmoid())).clamp(0, 1),
        "Probabilities are mixed, and cut off at 0 and 1. Mix the logits, and return logits.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: _guided(c, u, w).sigmoid(),
        "This is the sigmoid of the guided logits. Return the logits themselves.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: torch.softmax(_guided(c, u, w), -1),
        "This is the softmax of the guided logits. Return the logits themselves.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: u.softmax(-1) + w * (c.softmax(-1) - u.softmax(-1)),
        "Probabilities of a softmax are mixed. Mix the logits, and return logits.",
    ),
    Row(
        "weight_clamped",
        lambda c, u, w: _guided(c, u, min(max(w, 0.0), 1.0)),
        "The weight is cut off at 0 and 1. Guidance is of interest above 1: any real number is allowed.",
    ),
    Row(
        "weight_clamped",
        lambda c, u, w: _guided(c, u, max(w, 0.0)),
        "A negative weight is cut off at 0. Any real number is allowed: a negative one leads away.",
    ),
    Row(
        "weight_clamped",
        lambda c, u, w: _guided(c, u, min(w, 1.0)),
        "The weight is cut off at 1. Guidance is of interest above 1: any real number is allowed.",
    ),
    Row(
        "weight_clamped",
        lambda c, u, w: _guided(c, u, abs(w)),
        "The sign of the weight is lost. A negative weight leads away from the condition.",
    ),
    Row(
        "weight_ignored",
        lambda c, u, w: (c + u) / 2,
        "This is the middle of the two, whatever the weight.",
    ),
    Row(
        "weight_ignored",
        lambda c, u, w: c,
        "These are the conditional logits, whatever the weight.",
    ),
    Row(
        "weight_ignored",
        lambda c, u, w: u,
        "These are the unconditional logits, whatever the weight.",
    ),
    Row("weight_ignored", lambda c, u, w: c - u, "The weight is not used."),
    Row(
        "unconditional_ignored",
        lambda c, u, w: w * c,
        "Only the conditional logits are scaled. The unconditional ones have the weight 1 - weight; are "
        "there brackets around the difference?",
    ),
    Row(
        "unconditional_ignored",
        lambda c, u, w: (1 + w) * c,
        "Only the conditional logits are scaled. The unconditional ones have the weight 1 - weight.",
    ),
    Row(
        "probabilities",
        lambda c, u, w: torch.logit(
            (u.sigmoid() + w * (c.sigmoid() - u.sigmoid())).clamp(1e-6, 1 - 1e-6)
        ),
        "Probabilities are mixed, and made logits again. With a weight above 1 they leave the range "
        "from 0 to 1: mix the logits.",
    ),
    Row(
        "log_probabilities",
        lambda c, u, w: _guided(F.logsigmoid(c), F.logsigmoid(u), w),
        "Logs of probabilities are mixed: they are no logits, for that of the other pixel value is "
        "missing. Mix the logits as they are.",
    ),
    Row(
        "log_probabilities",
        lambda c, u, w: _guided(c.log_softmax(-1), u.log_softmax(-1), w),
        "A log-softmax went over the logits. Pixels are Bernoulli: mix the logits as they are.",
    ),
    Row(
        "averaged_over_batch",
        lambda c, u, w: _guided(c, u, w).mean(),
        "You average at the end. The result has the shape of the logits.",
    ),
    Row(
        "averaged_over_batch",
        lambda c, u, w: _guided(c, u, w).mean(0),
        "You average over the batch. The result has the shape of the logits.",
    ),
    Row("sign", lambda c, u, w: -_guided(c, u, w), "The sign is turned."),
)

cfg_logits = Exercise(
    "cfg_logits",
    _cfg_calls,
    Comparison(
        truth=_guided,
        arguments=("logits_cond", "logits_uncond", "weight"),
        table=_CFG,
        what="a tensor of the shape of the logits",
        extreme=(
            "unstable",
            "Right on moderate logits, wrong on large ones. No exponential and no logarithm is needed: "
            "guidance is linear in the logits.",
        ),
    ),
    hidden=_cfg_hidden,
)

EXERCISES = (condition, cfg_logits)
