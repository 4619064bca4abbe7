"""The quadrature behind the check of ``anomaly_score``: E[-IWAE-K] of a model with a tilted q."""

from __future__ import annotations

import math

import pytest
import torch

from course_lib.checks.anomaly_score import _gap


@pytest.mark.parametrize("tilt", [0.7, 1.5, 1.7])
@pytest.mark.parametrize("draws", [1, 2, 3, 8, 20])
def test_the_gap_of_a_tilted_posterior_against_simulation(tilt, draws):
    """There log w = log p(x) - t^2/2 - t e with e ~ N(0, 1)."""
    torch.manual_seed(draws)
    e = torch.randn(50_000, draws, dtype=torch.float64)
    gap = -(torch.logsumexp(-tilt * tilt / 2 - tilt * e, 1) - math.log(draws))
    error = gap.std().item() / math.sqrt(len(gap))
    assert abs(gap.mean().item() - _gap(tilt, draws)) < 5 * error


def test_one_draw_costs_the_divergence():
    """With K = 1 it is -ELBO, and the gap is KL(q || p(z|x)) = t^2 / 2."""
    assert _gap(1.5, 1) == pytest.approx(1.5**2 / 2, abs=1e-9)
