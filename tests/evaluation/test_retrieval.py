"""Recall at k against slow counting, its ties, and chance."""

import math

import pytest
import torch

from course_lib.evaluation.retrieval import chance, hits_at, rank_range, recall_at, similarity


def test_recall_is_what_sorting_every_row_gives():
    scores = torch.randn(40, 40, dtype=torch.float64)
    for k in (1, 5, 40):
        slow = [i in scores[i].argsort(descending=True)[:k].tolist() for i in range(40)]
        assert hits_at(scores, k).bool().tolist() == slow
        assert recall_at(scores, k).mean == pytest.approx(sum(slow) / 40)


def test_rows_are_queries_and_columns_are_candidates():
    scores = torch.tensor([[1.0, 2.0], [0.0, 3.0]])  # query 0 prefers candidate 1
    assert hits_at(scores, 1).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ties_get_what_a_random_order_would_give_them(k):
    assert recall_at(torch.zeros(10, 10), k).mean == pytest.approx(k / 10) == chance(10, k)
    group = torch.arange(10) // 2  # pairs that nobody could tell apart
    scores = (group[:, None] == group).double()
    assert recall_at(scores, 1).mean == 0.5 and recall_at(scores, 2).mean == 1.0
    best, worst = rank_range(scores)
    assert (best == 0).all() and (worst == 1).all()


def test_shares_of_ties_are_in_float64():
    share = hits_at(torch.zeros(3, 3), 1)
    assert share.dtype == torch.float64 and share.tolist() == [1 / 3] * 3


def test_random_scores_have_recall_at_chance():
    hits = torch.cat([hits_at(torch.randn(100, 100), 10) for _ in range(50)])
    assert abs(hits.mean() - chance(100, 10)) < 4 * math.sqrt(0.1 * 0.9 / len(hits))


def test_chance_is_never_above_one():
    assert chance(5, 10) == 1.0


def test_similarity_is_the_cosine_in_float64():
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    expected = torch.nn.functional.cosine_similarity(a[:, None].double(), b.double(), dim=-1)
    assert torch.allclose(similarity(a, b), expected, rtol=0, atol=1e-12)
    assert torch.allclose(similarity(a, 7 * a).diagonal(), torch.ones(3).double())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall_at(torch.zeros(2, 3), 1), "square"),
        (lambda: recall_at(torch.full((2, 2), torch.nan), 1), "NaN"),
        (lambda: recall_at(torch.zeros(2, 2), 0), "k is 0"),
        (lambda: similarity(torch.zeros(2, 3), torch.zeros(2, 4)), "one space"),
        (lambda: similarity(torch.zeros(2), torch.zeros(2, 4)), "queries"),
    ],
)
def test_what_cannot_be_ranked_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
