"""Densities, latent maps, bars, histograms and heat maps show the numbers that they are given."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch.distributions import Independent, MultivariateNormal, Normal

from course_lib import plotting
from course_lib.plotting.style import style

NORMAL = MultivariateNormal(torch.tensor([1.0, -2.0]), torch.eye(2) / 4)


def filled(axes) -> object:
    """Return the contours of the axes."""
    return next(c for c in axes.collections if hasattr(c, "levels"))


def test_density_is_drawn_where_it_is():
    picture = plotting.density(NORMAL, title="t", limits=(-3, 3))
    contours = filled(picture.figure.axes[0])
    peak = 1 / (2 * math.pi / 4)
    assert contours.levels[-1] == pytest.approx(peak, rel=0.01)
    inner = max(contours.get_paths()[-1].vertices.tolist(), key=lambda p: p[0])
    radius = 0.5 * math.sqrt(2 * math.log(1 / 0.9))  # where the density is 0.9 of its peak
    assert inner == pytest.approx([1 + radius, -2], abs=0.02)
    assert "highest, 0.6362, at (1, −2)" in picture.alt


def test_density_takes_functions_and_single_precision():
    weight = torch.ones(2)  # float32: multiplying it with float64 points is an error
    picture = plotting.density(lambda x: -((x @ weight) ** 2), title="t")
    assert "The density is highest, 1," in picture.alt


def test_a_density_that_is_zero_in_view_is_blank():
    def nowhere(x):
        return x[:, 0] * 0 - math.inf

    picture = plotting.density(nowhere, title="t")
    assert "The density is 0 everywhere in view." in picture.alt
    assert "a is 0 everywhere" in plotting.density({"a": nowhere, "b": NORMAL}, title="t").alt


def test_samples_are_counted_and_drawn_in_their_panel():
    torch.manual_seed(0)
    clouds = {"b": NORMAL.sample((40,)), "c": NORMAL.sample((5000,)) + 100}
    picture = plotting.density({"a": NORMAL, "b": None, "c": None}, samples=clouds, title="t")
    a, b, c, _bar = picture.figure.axes
    dots = [sum(len(s.get_offsets()) for s in axes.collections) for axes in (b, c)]
    assert dots == [40, 2500]
    assert not any(len(s.get_offsets()) > 1 for s in a.collections)
    assert "40 samples of b, 100% in view" in picture.alt
    assert "5,000 samples of c, 0% in view" in picture.alt
    assert any("2,500 of them shown" in t.get_text() for t in picture.figure.texts)


def test_one_scale_for_densities_side_by_side():
    sharp = MultivariateNormal(torch.zeros(2), torch.eye(2) / 100)
    first, second, _bar = plotting.density({"a": NORMAL, "b": sharp}, title="t").figure.axes
    np.testing.assert_allclose(filled(first).levels, filled(second).levels)
    assert filled(first).levels[-1] == pytest.approx(1)  # each relative to its own peak


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (Normal(torch.zeros(2), 1.0), {}, ValueError, r"Independent\(\.\.\., 1\)"),
        (lambda x: "no", {}, ValueError, "has shape str"),
        (lambda x: x[:, 0] * math.nan, {}, ValueError, "NaN"),
        (3.0, {}, TypeError, "is a float"),
        ({}, {}, ValueError, "target is empty"),
        (NORMAL, {"limits": (2, 1)}, ValueError, "limits"),
        (NORMAL, {"samples": torch.zeros(3, 4)}, ValueError, r"points \[N, 2\]"),
        ({"a": NORMAL}, {"samples": {"b": torch.zeros(3, 2)}}, ValueError, "label 'b'"),
    ],
)
def test_bad_density_gets_one_sentence(target, options, error, message):
    with pytest.raises(error, match=message):
        plotting.density(target, title="t", **options)


def test_latent_map_names_each_class_at_its_middle():
    middles = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    labels = torch.arange(300) % 3
    torch.manual_seed(0)
    mu = middles[labels] + 0.1 * torch.randn(300, 2)
    picture = plotting.latent_map(mu, labels, title="t", classes=["zero", "one", "two"])
    (axes,) = picture.figure.axes
    names = {text.get_text(): text.xy for text in axes.texts if hasattr(text, "xy")}
    assert set(names) == {"zero", "one", "two"}
    for name, middle in zip(["zero", "one", "two"], middles, strict=True):
        np.testing.assert_allclose(names[name], middle, atol=0.05)
    assert "one at (2, 0)" in picture.alt
    assert len(axes.collections[0].get_offsets()) == 300


def test_latent_map_moves_names_apart():
    labels = torch.arange(40) % 4
    mu = torch.randn(40, 2) * 0.01
    mu[:2] = torch.tensor([[-9.0, 0.0], [9.0, 0.0]])  # so that the rest is one spot
    figure = plotting.latent_map(mu, labels, title="t", prior=False).figure
    with style():
        figure.canvas.draw()
        boxes = [Text.get_window_extent(t) for t in figure.axes[0].texts]
    assert len(boxes) == 4
    for i, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:i])


def test_circles_hold_their_share_of_the_prior():
    picture = plotting.latent_map(torch.randn(10, 2), title="t")
    radii = [patch.radius for patch in picture.figure.axes[0].patches]
    prior = Independent(Normal(torch.zeros(2), 1.0), 1)
    torch.manual_seed(0)
    distance = prior.sample((40_000,)).norm(dim=1)
    shares = [(distance < radius).float().mean().item() for radius in radii]
    assert shares == pytest.approx([0.5, 0.95], abs=0.012)  # about five standard errors


@pytest.mark.parametrize(
    ("mu", "labels", "options", "message"),
    [
        (torch.zeros(3, 5), None, {}, r"z\[:, :2\]"),
        (torch.zeros(0, 2), None, {}, "empty"),
        (torch.zeros(3, 2), torch.zeros(4).long(), {}, r"labels has shape \[4\]"),
        (torch.zeros(3, 2), torch.zeros(3), {}, "whole numbers"),
        (torch.zeros(3, 2), torch.tensor([-1, 0, 1]), {}, "whole numbers"),
        (torch.zeros(3, 2), torch.tensor([0, 1, 2]), {"classes": ["a"]}, "go up to 2"),
    ],
)
def test_bad_latent_map_gets_one_sentence(mu, labels, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.latent_map(mu, labels, title="t", **options)


def test_bars_are_as_long_as_their_numbers():
    picture = plotting.bars({"a": 3.0, "b": (-2.0, 0.5)}, xlabel="x (m)", title="t")
    (axes,) = picture.figure.axes
    assert [bar.get_width() for bar in axes.patches] == [3, -2]
    assert [text.get_text() for text in axes.texts] == ["3", "−2.00 ± 0.50"]
    fine = plotting.bars({"a": (41.9812, 0.0339), "b": (1234.5, 31.0)}, xlabel="x", title="t")
    assert "a 41.981 ± 0.034; b 1,234 ± 31" in fine.alt  # no digit below the error's second
    assert picture.alt == "t. Bars of x (m): a 3; b −2.00 ± 0.50."
    assert any("± 2 standard errors" in t.get_text() for t in picture.figure.texts)


def test_bars_in_groups():
    values = {"f": {"printed": 1, "true": torch.tensor(2.0)}, "g": {"printed": 3, "true": 4}}
    picture = plotting.bars(values, xlabel="x (m)", title="t")
    assert [bar.get_width() for bar in picture.figure.axes[0].patches] == [1, 3, 2, 4]
    fine = plotting.bars({"a": (41.9812, 0.0339), "b": (1234.5, 31.0)}, xlabel="x", title="t")
    assert "a 41.981 ± 0.034; b 1,234 ± 31" in fine.alt  # no digit below the error's second
    assert picture.alt == "t. Bars of x (m): f printed 1; f true 2; g printed 3; g true 4."


def test_members_may_be_numbers():
    picture = plotting.bars({"a": {1: 0.5, 2: 3}, "b": {1: 1, 2: 4}}, xlabel="x", title="t")
    assert picture.alt == "t. Bars of x: a 1 0.5; a 2 3; b 1 1; b 2 4."


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {}, "values is empty"),
        ([1, 2], {}, "no mapping"),
        ({"a": math.nan}, {}, "NaN"),
        ({"a": 1, "b": {"c": 1}}, {}, "mixes"),
        ({"a": {"x": 1}, "b": {"y": 1}}, {}, "group 'b'"),
        ({"a": -1}, {"log": True}, "not positive"),
        ({"a": 1}, {"xlabel": ""}, "xlabel"),
        ({"a": (1.0, -0.1)}, {}, r"values\['a'\] has a negative standard error"),
        ({"a": (1.0, 0.1, 0.2)}, {}, r"values\['a'\] is no pair"),
        ({"a": (1.0,)}, {}, r"values\['a'\] is no pair"),
    ],
)
def test_bad_bars_get_one_sentence(values, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.bars(values, **{"xlabel": "x", "title": "t", **options})


def test_histogram_has_area_one_and_counts_what_is_outside():
    values = torch.cat([torch.rand(900), torch.full((100,), 5.0)])
    picture = plotting.histogram(values, xlabel="x", title="t", bins=10, limits=(0, 1))
    steps = picture.figure.axes[0].patches[0].get_data()
    assert (steps.values * np.diff(steps.edges)).sum() == pytest.approx(0.9)
    assert any("1,000 values; 100 outside" in t.get_text() for t in picture.figure.texts)
    whole = plotting.histogram(values, xlabel="x", title="t").figure.axes[0].patches[0].get_data()
    assert (whole.values * np.diff(whole.edges)).sum() == pytest.approx(1)


def test_histogram_of_equal_values_and_its_alt():
    picture = plotting.histogram({"a": [2.0, 2.0]}, xlabel="x (m)", title="t")
    assert picture.alt == ("t. Histogram of x (m). a: mean 2, standard deviation 0, from 2 to 2.")


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {}, "values is empty"),
        (torch.zeros(2, 2), {}, "shape"),
        (torch.tensor([1.0, math.inf]), {}, "infinite"),
        (torch.zeros(2), {"bins": 0}, "bins is 0"),
        (torch.zeros(2), {"limits": (1, 1)}, "limits"),
    ],
)
def test_bad_histogram_gets_one_sentence(values, options, message):
    with pytest.raises(ValueError, match=message):
        plotting.histogram(values, xlabel="x", title="t", **options)


def heatmap(values, **options):
    options = {"xlabel": "factor", "ylabel": "latent", "value_label": "share", **options}
    return plotting.heatmap(values, title="t", **options)


def test_heatmap_shows_its_numbers_and_extremes():
    picture = heatmap(torch.tensor([[1.0, 2.0], [0.25, 4.0]]), row_labels=["a", "b"])
    axes = picture.figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 2], [0.25, 4]])
    assert [text.get_text() for text in axes.texts] == ["1", "2", "0.25", "4"]
    assert "The highest is 4 at b, 1. The lowest is 0.25 at b, 0." in picture.alt


def test_heatmap_of_both_signs_is_white_at_zero():
    image = heatmap(torch.tensor([[-1.0, 0.0, 3.0]])).figure.axes[0].images[0]
    assert (image.norm.vmin, image.norm.vmax) == (-3, 3)
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.96
    for limits in ((-1, 1), (-1, 3)):
        image = heatmap(torch.tensor([[-0.5, 0.5]]), limits=limits).figure.axes[0].images[0]
        assert (image.norm.vmin, image.norm.vmax) == limits
        assert min(image.cmap(image.norm(0.0))[:3]) > 0.96
        low, high = (image.cmap(image.norm(v)) for v in limits)
        assert low[2] > low[0] and high[0] > high[2]  # blue below zero, red above


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (torch.zeros(3), {}, "two axes"),
        (torch.zeros(0, 3), {}, "empty"),
        (torch.zeros(2, 3), {"row_labels": ["a"]}, "for 2 rows"),
        (torch.zeros(2, 3), {"column_labels": ["a"]}, "for 3 columns"),
        (torch.zeros(2, 3), {"value_label": " "}, "value_label"),
        (torch.full((2, 2), math.nan), {}, "NaN"),
    ],
)
def test_bad_heatmap_gets_one_sentence(values, options, message):
    with pytest.raises(ValueError, match=message):
        heatmap(values, **options)
