"""The figures with knobs say what the formulas say."""

from __future__ import annotations

import math
from html import escape

import numpy as np
import pytest
import torch

from course_lib.divergences import kl_normal, kl_standard_normal
from course_lib.widgets import explainers, explore_kl, explore_reparameterization


@pytest.mark.parametrize(("mu", "logvar"), [(0.0, 0.0), (1.0, -1.5), (-3.0, 2.0), (2.5, -4.0)])
def test_kl_both_ways(mu, logvar):
    picture = explainers.kl_picture(mu, logvar)
    q, zero = [torch.tensor([v], dtype=torch.float64) for v in (mu, logvar)], torch.zeros(1)
    reverse, forward = kl_standard_normal(*q).item(), kl_normal(zero, zero, *q).item()
    assert f"KL(q ‖ p) = {reverse:.2f} nats" in picture.alt
    assert f"KL(p ‖ q) = {forward:.2f} nats" in picture.alt
    # The area under what is drawn is the number that is written.
    for axes, value in zip(picture.figure.axes[1:], (reverse, forward), strict=True):
        z, integrand = axes.lines[0].get_data()
        assert np.trapezoid(integrand, z) == pytest.approx(value, abs=0.02 + 0.01 * value)


@pytest.mark.parametrize(("mu", "logvar"), [(0.5, -0.5), (-2.0, 2.0), (3.0, -4.0)])
def test_draws_move_and_noise_does_not(mu, logvar):
    picture = explainers.path_picture(mu, logvar)
    left, middle, right = picture.figure.axes
    eps, z = left.lines[1].get_data()
    assert np.array_equal(eps, explainers._eps().numpy())  # whatever the knobs say
    sigma = math.exp(logvar / 2)
    np.testing.assert_allclose(z, mu + sigma * eps, rtol=1e-12)
    x, f = middle.lines[1].get_data()
    np.testing.assert_allclose(f, -np.log1p(np.exp(1 - 3 * x)), rtol=1e-9)
    slope = 3 / (1 + np.exp(3 * z - 1))  # f'(z), by hand
    np.testing.assert_allclose(right.lines[0].get_data()[1], slope, rtol=1e-9)
    np.testing.assert_allclose(
        right.lines[1].get_data()[1], slope * eps * sigma / 2, rtol=1e-9, atol=1e-15
    )


def test_exact_gradient_is_the_mean_of_many_draws():
    mu, logvar, n = 0.5, -0.5, 200_000
    eps = torch.randn(n, dtype=torch.float64)
    sigma = math.exp(logvar / 2)
    slope = 3 * torch.sigmoid(1 - 3 * (mu + sigma * eps))
    for exact, values in zip(
        explainers.exact_gradient(mu, logvar), (slope, slope * eps * sigma / 2), strict=True
    ):
        assert abs(values.mean() - exact) < 5 * values.std() / n**0.5


@pytest.mark.parametrize("explore", [explore_kl, explore_reparameterization])
def test_knobs_redraw(watched, explore):
    explore()
    form = watched[1].parts
    draw = explainers.kl_picture if explore is explore_kl else explainers.path_picture
    before = form.image.value
    form.mu.value = -2.0
    assert form.image.value != before
    assert escape(draw(-2.0, form.logvar.value).alt) in form.image.value
    form.logvar.value = -3.0
    assert escape(draw(-2.0, -3.0).alt) in form.image.value
