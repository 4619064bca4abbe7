"""How good and how varied generated images are: the Fréchet distance, and control.

What generated images are compared with are test images, never training images: a model that gave
back its training images would be perfect otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.evaluation.likelihood import Estimate

__all__ = ["fraction", "frechet_distance"]


def frechet_distance(features: Tensor, other: Tensor) -> float:
    r"""Return the squared Fréchet distance of two sets of features, as if both were normal.

    :math:`|m_1 - m_2|^2 + \mathrm{tr}(C_1 + C_2 - 2 (C_1 C_2)^{1/2})`, in the squared units of the
    features: compare it only within one feature network and at equal numbers of images, since
    the estimate is biased upwards when there are few. Its floor is not zero but what real images
    have against others.

    Args:
        features, other: ``[N, D]`` and ``[M, D]``, such as ``judge.features(x)``; more rows than D.

    Raises:
        TypeError: no tensors.
        ValueError: too few rows, another number of columns, or values that are not finite.

    Source: Heusel et al. 2017 (arXiv 1706.08500), eq. 6.
    """
    moments = []
    for name, rows in (("features", features), ("other", other)):
        if not isinstance(rows, Tensor):
            raise TypeError(
                f"{name} is a {type(rows).__name__}; features [N, D] were expected, such as "
                "judge.features(x)."
            )
        if rows.dim() != 2 or len(rows) <= rows.shape[1] or not rows.isfinite().all():
            raise ValueError(
                f"{name} has shape {list(rows.shape)}; finite features [N, D] of more images than "
                "features were expected, or the covariance is not known."
            )
        rows = rows.detach().double().cpu()
        moments.append((rows.mean(0), torch.atleast_2d(torch.cov(rows.T))))
    (m1, c1), (m2, c2) = moments
    if len(m1) != len(m2):
        raise ValueError(
            f"features has {len(m1)} columns and other {len(m2)}; as many in both were "
            "expected, from one network."
        )
    # tr (C1 C2)^(1/2) from the symmetric R C2 R with R = C1^(1/2), which has the same eigenvalues.
    values, vectors = torch.linalg.eigh(c1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    cross = torch.linalg.eigvalsh(root @ c2 @ root).clamp(min=0).sqrt().sum()
    distance = (m1 - m2).square().sum() + c1.trace() + c2.trace() - 2 * cross
    return max(0.0, distance.item())


def fraction(hits: Tensor) -> Estimate:
    """Return the fraction of True among ``hits: [N]`` and its standard error, sqrt(p (1-p) / N).

    At 0 or 1 that error would be zero, which no finite number of images shows; one hit or miss
    more is then assumed for it.
    """
    if not isinstance(hits, Tensor):
        raise TypeError(f"hits is a {type(hits).__name__}; a tensor of booleans was expected.")
    if hits.dtype != torch.bool or hits.dim() != 1 or len(hits) == 0:
        raise ValueError(
            f"hits is {hits.dtype} with shape {list(hits.shape)}; booleans [N] were expected."
        )
    n, k = len(hits), int(hits.sum())
    p = min(max(k, 1), n - 1) / n if n > 1 else 0.5
    return Estimate(k / n, (p * (1 - p) / n) ** 0.5)
