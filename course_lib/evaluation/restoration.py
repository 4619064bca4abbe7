"""How good restored images are: near the original, sharp, varied, and honest about what is open.

Several answers to one question are ``samples: [K, B, C, H, W]``. They are *calibrated* if the
original could be one of them: then it is as far from an answer as two answers are from each other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib.errors import check_images, check_number, check_seed, check_whole
from course_lib.evaluation.likelihood import Estimate
from course_lib.evaluation.samples import fraction

__all__ = ["Reliability", "coverage", "diversity", "psnr", "ranks", "reliability", "sharpness"]


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each pair of images, ``[B]`` in dB.

    ``-10 log10(mean squared error)`` over the pixels of one image, because the peak is 1. Half the
    squared error is 3.01 dB more; identical images give inf, which has no gradient.

    Args:
        x, y: ``[B, C, H, W]`` in [0, 1].
    """
    _check_pair(x, y)
    return -10 * torch.log10((x - y).square().flatten(1).mean(1))


def sharpness(x: Tensor) -> Tensor:
    """Return the step from one pixel to the next where there is one, ``[B]`` from 0 to 1.

    The mean of the absolute differences between neighbors, each weighted by itself: sum of d^2
    over sum of abs(d). Flat parts do not count, so that an image with more ink is not sharper; an
    edge from black to white counts 1 if it takes one pixel, and 1/w if it is spread evenly over w.
    The mean of abs(d) alone would not see the spreading: the steps of an edge add up to its height
    however wide it is. A constant image has 0.

    Sharp is not good: noise is sharp. Give it relative to real images, and beside PSNR.

    Args:
        x: ``[B, C, H, W]`` in [0, 1].
    """
    check_images(x)
    steps = torch.cat([x.diff(dim=-1).flatten(1), x.diff(dim=-2).flatten(1)], dim=1).abs()
    total = steps.sum(1)
    return steps.square().sum(1) / torch.where(total > 0, total, 1)


def diversity(samples: Tensor) -> Tensor:
    """Return the root mean squared difference between two answers, ``[B]`` in pixel units.

    Over all pairs of different answers and all pixels. If answers are calibrated, it is what one
    answer is off from the original on average (over images, in the squares).

    Args:
        samples: ``[K, B, C, H, W]``, K from 2 up.
    """
    _check_samples(samples)
    return (2 * samples.var(0).flatten(1).mean(1)).sqrt()


class Reliability(NamedTuple):
    """Predicted against real error, one entry for each bin that has pixels.

    Attributes:
        predicted: root of the mean predicted squared error, from the spread of the answers.
        observed: root mean squared error of the mean of the answers.
        se: the standard error of ``observed``, over images.
        count: pixels in the bin.
    """

    predicted: Tensor
    observed: Tensor
    se: Tensor
    count: Tensor


def reliability(
    samples: Tensor, x: Tensor, bins: int = 10, extra_variance: float = 0.0
) -> Reliability:
    """Compare the spread of the answers, pixel by pixel, with the error of their mean.

    With s^2 the variance of K answers, and an original that could be one of them, the squared
    error of their mean is (1 + 1/K) s^2 on average, plus ``extra_variance`` where the original has
    that beside what the answers have. Pixels of all images are put into bins by that prediction,
    and what the error really was is averaged in each. Calibrated answers lie on the diagonal; above
    it they are too sure. With few answers s^2 is itself uncertain, and bins look flatter than they
    are: give a hundred.

    Args:
        samples: ``[K, B, C, H, W]``, K from 2 up.
        x: the originals, ``[B, C, H, W]``, B from 2 up.
        bins: of equal width in the predicted error.
        extra_variance: what each answer leaves out of its spread, such as sigma^2 where answers
            are E[x|z] under a Gaussian likelihood.
    """
    _check_samples(samples)
    _check_original(samples, x)
    bins = check_whole(bins, "bins")
    good = "a finite number from 0 up"
    extra = check_number(extra_variance, "extra_variance", lambda v: v >= 0, good)
    if len(x) < 2:
        raise ValueError("x holds 1 image; at least two were expected, for a standard error.")
    K = len(samples)
    variance = samples.var(0).flatten(1).double()  # [B, D]
    error = (x - samples.mean(0)).square().flatten(1).double()
    # The mean of K answers misses the truth by its own chance as well: 1/K of their spread, in
    # which what is extra has no part.
    expected = variance * (1 + 1 / K) + extra
    root = expected.sqrt()
    low, high = torch.aminmax(root)
    width = (high - low).clamp(min=1e-12) / bins
    index = ((root - low) / width).long().clamp(max=bins - 1)

    def per_image(values: Tensor) -> Tensor:
        """Sums over the pixels of each image and bin, [B, bins]."""
        return values.new_zeros(len(x), bins).scatter_add_(1, index, values)

    n, e, p = (per_image(v) for v in (torch.ones_like(error), error, expected))
    used = n.sum(0) > 0
    n, e, p = n[:, used], e[:, used], p[:, used]
    count = n.sum(0)
    mse = e.sum(0) / count
    # The pixels of one image go together, so a ratio of sums over images: its linearized error.
    residual = e - mse * n
    se_mse = residual.square().sum(0).sqrt() / count * (len(x) / (len(x) - 1)) ** 0.5
    observed = mse.sqrt()
    se = se_mse / (2 * observed.clamp(min=1e-12))
    return Reliability((p.sum(0) / count).sqrt(), observed, se, count.long())


def ranks(values: Tensor, truth: Tensor, seed: int = 0) -> Tensor:
    """Return how many of K answers lie below the truth, int64 ``[N]`` from 0 to K.

    For a number that is read off each answer, such as its ink. If the truth could be one of the
    answers, all K + 1 ranks are equally likely: the histogram is flat. Answers that are too much
    alike put the truth at the ends (a U), answers that are too varied in the middle.

    Args:
        values: ``[K, N]``.
        truth: ``[N]``.
        seed: of the order among equal values, which is random.

    Source: Hamill 2001 (Interpretation of rank histograms); Talts et al. 2018 (arXiv 1804.06788).
    """
    for name, a, axes in (("values", values, "[K, N]"), ("truth", truth, "[N]")):
        if not isinstance(a, Tensor) or a.dim() != (2 if name == "values" else 1):
            found = list(a.shape) if isinstance(a, Tensor) else type(a).__name__
            raise ValueError(f"{name} is {found}; a tensor {axes} was expected.")
    if values.shape[1] != len(truth) or values.numel() == 0:
        raise ValueError(
            f"values has shape {list(values.shape)} and truth {list(truth.shape)}; [K, N] and [N] "
            "were expected, K answers for each truth."
        )
    if not (values.isfinite().all() and truth.isfinite().all()):
        raise ValueError("values or truth holds NaN or inf; finite numbers were expected.")
    below, equal = (values < truth).sum(0).cpu(), (values == truth).sum(0).cpu()
    u = torch.rand(len(truth), generator=torch.Generator().manual_seed(check_seed(seed)))
    return below + (u * (equal + 1)).long()


def coverage(rank: Tensor, num_answers: int, level: float) -> Estimate:
    """Return how often the truth lies in the central interval of the answers, beside ``level``.

    The interval leaves out equally many ranks at both ends, so that calibrated answers cover
    exactly ``level``.

    Args:
        rank: from :func:`ranks`, ``[N]``.
        num_answers: K.
        level: such as 0.9; (1 - level) / 2 must be a whole number of ranks out of K + 1.
    """
    K = check_whole(num_answers, "num_answers")
    level = check_number(level, "level", lambda v: 0 < v < 1, "a number between 0 and 1")
    if not isinstance(rank, Tensor) or rank.dtype != torch.int64 or rank.dim() != 1:
        raise ValueError("rank is no int64 tensor [N]; the result of ranks(...) was expected.")
    if len(rank) == 0 or rank.min() < 0 or rank.max() > K:
        raise ValueError(f"rank has values outside 0 to {K}, or none; give the K of ranks(...).")
    cut = (1 - level) / 2 * (K + 1)
    if abs(cut - round(cut)) > 1e-6 or round(cut) == 0:
        raise ValueError(
            f"With {K} answers no central interval covers exactly {level:g}: {cut:g} of {K + 1} "
            "ranks would be cut off at each end. Take 19, 39 or 99 answers and a level such as "
            "0.9, 0.8 or 0.5."
        )
    return fraction((rank >= round(cut)) & (rank <= K - round(cut)))


def _check_pair(x: Tensor, y: Tensor) -> None:
    check_images(x)
    check_images(y, "y")
    if x.shape != y.shape:
        raise ValueError(
            f"x has shape {list(x.shape)} and y {list(y.shape)}; the same shape was expected, one "
            "image of y for each of x."
        )


def _check_samples(samples: Tensor) -> None:
    if not isinstance(samples, Tensor) or samples.dim() != 5:
        found = list(samples.shape) if isinstance(samples, Tensor) else type(samples).__name__
        raise ValueError(
            f"samples is {found}; answers [K, B, C, H, W] were expected, K for each image."
        )
    if len(samples) < 2:
        raise ValueError("samples holds one answer for each image; two or more were expected.")
    check_images(samples.flatten(0, 1), "samples")


def _check_original(samples: Tensor, x: Tensor) -> None:
    check_images(x)
    if samples.shape[1:] != x.shape:
        raise ValueError(
            f"samples has shape {list(samples.shape)} and x {list(x.shape)}; [K, B, C, H, W] and "
            "[B, C, H, W] were expected."
        )
