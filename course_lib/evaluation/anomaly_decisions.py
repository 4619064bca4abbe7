"""How well a score tells anomalies from normal images, and from which value on to raise an alarm.

Every score is ``[N]``, one number for each image, and higher is stranger.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import check_number
from course_lib.evaluation.likelihood import Estimate

__all__ = ["AlarmRate", "alarm_rate", "auroc", "auroc_estimate", "pixel_auroc", "threshold"]


def auroc(scores: Tensor, is_anomaly: Tensor) -> float:
    """Return the area under the ROC curve: P(an anomaly scores higher than a normal image).

    Ties count one half. 0.5 is chance; below 0.5 the score is inverted, and its sign must not be
    turned after the fact: nobody knows beforehand from which side an anomaly comes.

    Args:
        scores: ``[N]``, higher is stranger.
        is_anomaly: bool ``[N]``, True for anomalies.

    Raises:
        ValueError: other shapes, a score that is NaN, or one of the two classes is missing.
        TypeError: no tensors.
    """
    _check(scores, is_anomaly)
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(is_anomaly.cpu().numpy(), _finite_order(scores).numpy()))


def auroc_estimate(scores: Tensor, is_anomaly: Tensor) -> Estimate:
    r"""Return :func:`auroc` and its standard error over the draw of the images.

    Each anomaly :math:`i` has a placement :math:`V_i`, the share of normal images that score lower
    (ties one half), each normal image :math:`j` one, :math:`W_j`, the share of anomalies that score
    higher. Both average to the AUROC :math:`A`, and :math:`\mathrm{Var}\,A \approx
    s^2_V / m + s^2_W / n`.

    It holds for one trained model. Models differ between seeds as well: report that beside it.
    If the classes are apart, the placements do not vary; then one example of the smaller class is
    taken to lie on the wrong side, as :func:`course_lib.evaluation.fraction` does.

    Args:
        scores, is_anomaly: as for :func:`auroc`, at least two of each class.

    Source: DeLong, DeLong & Clarke-Pearson 1988 (Biometrics 44); by ranks as in
    Sun & Xu 2014 (IEEE Signal Processing Letters 21).
    """
    _check(scores, is_anomaly)
    scores = scores.detach().double().cpu()
    strange, usual = scores[is_anomaly.cpu()], scores[~is_anomaly.cpu()]
    m, n = len(strange), len(usual)
    if min(m, n) < 2:
        raise ValueError(
            f"{m} anomalies and {n} normal images have no standard error; at least two of each "
            "are needed."
        )
    v = _share_below(usual, strange)
    w = 1 - _share_below(strange, usual)
    se = math.sqrt(v.var().item() / m + w.var().item() / n)
    if se == 0:
        k = min(m, n)
        se = math.sqrt((k - 1) / k**3)
    return Estimate(v.mean().item(), se)


def pixel_auroc(heat: Tensor, masks: Tensor) -> Tensor:
    """Return for each image the :func:`auroc` of its pixels, ``[N]`` float64 on the CPU.

    Pixels of one image go together, so there is no standard error over pixels: take it over images
    with :func:`course_lib.evaluation.estimate`.

    Args:
        heat: ``[N, H, W]`` or ``[N, 1, H, W]``, higher is stranger.
        masks: bool, as many elements, True in the defect.
    """
    if not isinstance(heat, Tensor) or not isinstance(masks, Tensor):
        raise TypeError("heat and masks must be tensors, such as heat_map(model, x) and a mask.")
    if heat.dim() < 3 or len(heat) != len(masks) or heat.numel() != masks.numel():
        raise ValueError(
            f"heat has shape {list(heat.shape)} and masks {list(masks.shape)}; a map [N, H, W] "
            "and a mask [N, 1, H, W] of the same images were expected."
        )
    pairs = zip(heat.flatten(1), masks.flatten(1), strict=True)
    return torch.tensor([auroc(h, m) for h, m in pairs], dtype=torch.float64)


def threshold(scores_validation: Tensor, false_alarm_rate: float) -> float:
    r"""Return a value that a new normal image exceeds with at most this probability.

    It is the k-th smallest of n validation scores, :math:`k = \lceil (n+1)(1-a) \rceil`. If a new
    score and the n are exchangeable (drawn alike, none used to train the model), the new one is
    equally likely to take each of n + 1 ranks, so that P(it is higher) = (n + 1 - k)/(n + 1) <= a,
    whatever the scores' distribution; less with ties. That is an average over validation sets:
    for one of them the rate of false alarms is a draw from Beta(n + 1 - k, k).

    Args:
        scores_validation: ``[n]``, of normal images that were not trained on.
        false_alarm_rate: a, between 0 and 1.

    Raises:
        ValueError: a rate out of range, or fewer images than 1/a - 1, which can't promise it.

    Source: Vovk, Gammerman & Shafer 2005 (Algorithmic Learning in a Random World), chapter 2.
    """
    _check_scores(scores_validation, "scores_validation")
    a = check_number(
        false_alarm_rate, "false_alarm_rate", lambda a: 0 < a < 1, "a number between 0 and 1"
    )
    n = len(scores_validation)
    above = math.floor((n + 1) * a + 1e-9)  # as (1 - 0.9) * 10 is a bit below 1
    if above == 0:
        raise ValueError(
            f"{n} validation scores can't promise a false-alarm rate of {a:g}; at least "
            f"{math.ceil(1 / a - 1e-9) - 1} are needed."
        )
    ordered = scores_validation.detach().double().cpu().sort().values
    return ordered[n - above].item()


class AlarmRate(NamedTuple):
    """The share of images above a threshold, and an interval for what it estimates.

    Attributes:
        rate: alarms over images.
        low, high: ends of the exact binomial interval.
        count: images.
    """

    rate: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.rate:.1%} [{self.low:.1%}, {self.high:.1%}]"

    __repr__ = __str__


def alarm_rate(scores: Tensor, threshold: float, level: float = 0.95) -> AlarmRate:
    """Return how many of the images score above the threshold, with a binomial interval.

    Of normal test images it is the rate of false alarms, of anomalies the power.

    Args:
        scores: ``[N]``.
        threshold: an alarm is a score above it.
        level: the interval covers with at least this probability.

    Source: Clopper & Pearson 1934 (Biometrika 26).
    """
    _check_scores(scores, "scores")
    level = check_number(level, "level", lambda p: 0 < p < 1, "a number between 0 and 1")
    from scipy.stats import beta

    n, k = len(scores), int((scores > threshold).sum())
    tail = (1 - level) / 2
    low = beta.ppf(tail, k, n - k + 1) if k > 0 else 0.0
    high = beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0
    return AlarmRate(k / n, float(low), float(high), n)


def _share_below(others: Tensor, values: Tensor) -> Tensor:
    """For each value the share of the others that are smaller, ties one half."""
    others = others.sort().values
    left = torch.searchsorted(others, values.contiguous())
    right = torch.searchsorted(others, values.contiguous(), right=True)
    return (left + right).double() / (2 * len(others))


def _finite_order(scores: Tensor) -> Tensor:
    """Scores in double precision; infinite ones, which sklearn refuses, as a rank beyond all."""
    scores = scores.detach().double().cpu()
    if scores.isfinite().all():
        return scores
    return scores.unique(return_inverse=True)[1].double()


def _check_scores(scores: object, name: str) -> None:
    if not isinstance(scores, Tensor):
        raise TypeError(f"{name} is a {type(scores).__name__}; a tensor of scores was expected.")
    if scores.dim() != 1 or len(scores) == 0 or scores.isnan().any():
        raise ValueError(
            f"{name} has shape {list(scores.shape)}; scores [N], one for each image and none NaN, "
            "were expected."
        )


def _check(scores: object, is_anomaly: object) -> None:
    _check_scores(scores, "scores")
    if not isinstance(is_anomaly, Tensor):
        raise TypeError(
            f"is_anomaly is a {type(is_anomaly).__name__}; a tensor of booleans was expected."
        )
    if is_anomaly.dtype != torch.bool or is_anomaly.shape != scores.shape:
        raise ValueError(
            f"is_anomaly is {is_anomaly.dtype} with shape {list(is_anomaly.shape)}; "
            f"booleans {list(scores.shape)} were expected, True for anomalies."
        )
    anomalies = int(is_anomaly.sum())
    if anomalies in (0, len(scores)):
        missing = "anomalies" if anomalies == 0 else "normal images"
        raise ValueError(
            f"There are no {missing} among the {len(scores)} images; an AUROC compares two "
            "classes and needs both."
        )
