"""The way from image to image: both ends, both paths, and the norm of z."""

from __future__ import annotations

import math
import re

import pytest
import torch

from course_lib.models import mlp_vae
from course_lib.widgets import scrub_interpolation
from course_lib.widgets.scrubber import linear, spherical

SHAPE = (1, 6, 7)


@pytest.fixture
def model():
    return mlp_vae(SHAPE, 4, (16,))


def test_spherical_path_keeps_the_norm_and_turns_evenly():
    z0, z1 = torch.tensor([3.0, 0, 0]).double(), torch.tensor([0, 3.0, 0]).double()
    for t in (0.0, 0.25, 0.5, 1.0):
        z = spherical(z0, z1, t)
        assert z.norm().item() == pytest.approx(3)
        assert math.atan2(z[1], z[0]) == pytest.approx(t * math.pi / 2)
    assert linear(z0, z1, 0.5).norm().item() == pytest.approx(3 / math.sqrt(2))


@pytest.mark.parametrize("scale", [2.0, -2.0, 0.0])
def test_spherical_path_without_a_plane_is_straight(scale):
    z = torch.randn(5)
    torch.testing.assert_close(spherical(z, scale * z, 0.3), linear(z, scale * z, 0.3))


def test_slider_and_toggle(watched, model, decoded):
    x = torch.rand(2, *SHAPE)
    scrub_interpolation(model, x[0], x[1:])  # with and without an axis for the batch
    form = watched[1].parts
    mu = model.encode(x)[0].detach()

    def expect(z):
        image = (model.mean_image(z[None])[0].double() * 255).round() / 255
        torch.testing.assert_close(
            decoded(form.image, 6), image, atol=1e-9, rtol=0, check_dtype=False
        )
        assert f"‖z‖ = {z.norm().item():.2f}".rstrip("0") in form.readout.value

    expect(mu[0])
    before = form.image.value
    form.t.value = 1.0
    assert form.image.value != before
    expect(mu[1])
    form.t.value = 0.4
    expect(linear(mu[0], mu[1], 0.4))
    form.path.value = "spherical"
    expect(spherical(mu[0], mu[1], 0.4))
    assert "t = 0.40 of the spherical path" in form.image.value


def test_still_picture_shows_both_paths(shown, model):
    x = torch.rand(2, *SHAPE)
    scrub_interpolation(model, x[0], x[1])
    assert "linear, spherical" in shown[0].alt
    z0, z1 = model.encode(x)[0].detach()
    said = f"is {linear(z0, z1, 0.5).norm().item():.2f}".rstrip("0")
    assert said in shown[0].alt


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (torch.rand(1, 5, 5), "x0 has shape [1, 1, 5, 5]; this model was made"),
        (torch.rand(3, *SHAPE), "x0 holds 3 images; one image"),
        (torch.rand(6, 7), "x0 has shape [6, 7]"),
    ],
)
def test_bad_input_gets_one_sentence(shown, model, x0, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        scrub_interpolation(model, x0, torch.rand(*SHAPE))
    with pytest.raises(TypeError, match="x1 is a NoneType"):
        scrub_interpolation(model, torch.rand(*SHAPE), None)
    with pytest.raises(TypeError, match="without a prior"):
        scrub_interpolation(object(), torch.rand(*SHAPE), torch.rand(*SHAPE))
    assert not shown
