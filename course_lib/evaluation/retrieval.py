"""Cross-modal retrieval: is the right partner among the first k of all candidates?

Row i of a similarity is a query, column j a candidate, and the partner of query i is candidate i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from course_lib.errors import check_whole
from course_lib.evaluation.likelihood import Estimate, estimate

__all__ = ["chance", "hits_at", "rank_range", "recall_at", "similarity"]


def similarity(queries: Tensor, candidates: Tensor) -> Tensor:
    """Return the cosine of every query ``[N, L]`` with every candidate ``[M, L]``, ``[N, M]``.

    Raises:
        ValueError: shapes that do not fit, or values that are not finite.
    """
    for name, value in (("queries", queries), ("candidates", candidates)):
        if value.dim() != 2 or value.numel() == 0 or not value.isfinite().all():
            raise ValueError(
                f"{name} has shape {list(value.shape)} or values that are not finite; embeddings "
                "[N, L], such as posterior means, were expected."
            )
    if queries.shape[1] != candidates.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} numbers each and candidates {candidates.shape[1]}; "
            "embeddings in one space were expected."
        )
    a, b = (torch.nn.functional.normalize(t.double(), dim=1) for t in (queries, candidates))
    return a @ b.T


def rank_range(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best and the worst place of each partner, int64 ``[N]`` from 0.

    They differ where other candidates are exactly as similar to the query as its partner.

    Args:
        scores: ``[N, N]``, higher is more similar, the partners on the diagonal.
    """
    if scores.dim() != 2 or scores.shape[0] != scores.shape[1] or scores.isnan().any():
        raise ValueError(
            f"scores has shape {list(scores.shape)} or NaN in it; a square [N, N] of numbers was "
            "expected, query i with candidate i on the diagonal."
        )
    own = scores.diagonal().unsqueeze(1)
    return (scores > own).sum(1), (scores >= own).sum(1) - 1


def hits_at(scores: Tensor, k: int) -> Tensor:
    """Return the probability that each partner is among the first k, float64 ``[N]``.

    0 or 1, except where ties are cut by place k: then a random order decides, and this is its
    probability. A similarity that is the same for all pairs gets k / N and not 1.
    """
    k = check_whole(k, "k")
    best, worst = rank_range(scores)
    return ((k - best).double() / (worst - best + 1)).clamp(0, 1)


def recall_at(scores: Tensor, k: int) -> Estimate:
    """Return the recall at k: the share of queries whose partner is among the first k.

    Args:
        scores: ``[N, N]``, higher is more similar, the partners on the diagonal.
        k: from 1 up; compare with :func:`chance`.

    Returns:
        The mean with its standard error over queries. The candidates are the same for all
        queries, and how hard they are is not part of that error.
    """
    return estimate(hits_at(scores, k))


def chance(count: int, k: int) -> float:
    """Return the recall at k of a random order of ``count`` candidates: k / count, at most 1."""
    return min(1.0, check_whole(k, "k") / check_whole(count, "count"))
