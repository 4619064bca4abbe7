"""The slider over β: each model's own images and numbers."""

from __future__ import annotations

import re

import pytest
import torch

from course_lib.evaluation import estimate, evaluate
from course_lib.models import mlp_vae
from course_lib.widgets import explore_beta

SHAPE = (1, 6, 7)


@pytest.fixture
def models():
    return {beta: mlp_vae(SHAPE, 3, (8,)) for beta in (4.0, 0.5, 1)}


@pytest.fixture
def x():
    return torch.rand(10, *SHAPE).round()


def test_slider_goes_through_the_models_in_order(watched, models, x, decoded):
    explore_beta(models, x)
    form = watched[1].parts
    assert [value for _, value in form.beta.options] == [0.5, 1.0, 4.0]
    seen = set()
    for beta in (4.0, 0.5, 1.0):
        form.beta.value = beta
        strip = decoded(form.reconstructions, 6)
        for i in range(8):
            expected = (models[beta].reconstruct(x[:8])[i].double() * 255).round() / 255
            own = strip[:, :, 8 * i : 8 * i + 7]  # seven pixels and a white gap
            torch.testing.assert_close(own, expected, atol=1e-9, rtol=0, check_dtype=False)
        report = evaluate(models[beta], x, num_samples=1)
        for name in ("rate", "distortion"):
            assert f"{name} {estimate(getattr(report, name))}" in form.readout.value
        assert f"β = {beta:g}" in form.samples.value
        seen.add((form.reconstructions.value, form.samples.value))
    assert len(seen) == 3


def test_still_picture_says_rate_and_distortion(shown, models, x):
    explore_beta(models, x)
    report = evaluate(models[4.0], x, num_samples=1)
    assert f"β = 4: rate {estimate(report.rate)}" in shown[0].alt
    assert shown[0].alt.startswith("From β = 0.5 to 4 the rate goes from")


def test_still_picture_of_many_models_shows_both_ends(shown, x):
    model = mlp_vae(SHAPE, 3, (8,))
    explore_beta(dict.fromkeys(range(1, 13), model), x)
    assert re.findall(r"β = (\d+), samples", shown[0].alt) == ["1", "4", "7", "9", "12"]


def test_fewer_images_than_columns_and_one_model(shown, models, x):
    explore_beta({1.0: models[1]}, x[:3])
    assert shown[0].alt.startswith("β = 1: a rate of")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "models is empty"),
        ([1.0], "models is empty or no mapping"),
        ({"high": None}, "A β in models is 'high'; a number from 0 up"),
        ({-1.0: None}, "A β in models is -1.0"),
    ],
)
def test_bad_models_get_one_sentence(shown, x, given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explore_beta(given, x)
    assert not shown


def test_bad_values_and_images_get_one_sentence(shown, models, x):
    with pytest.raises(TypeError, match="a str, without a prior"):
        explore_beta({1.0: "model"}, x)
    with pytest.raises(ValueError, match=re.escape("x has shape [5, 1, 9, 9]")):
        explore_beta(models, torch.rand(5, 1, 9, 9).round())
    with pytest.raises(ValueError, match="grey pixels"):
        explore_beta(models, torch.rand(5, *SHAPE))
    with pytest.raises(ValueError, match="at least two are needed"):
        explore_beta(models, x[:1])
    assert not shown
