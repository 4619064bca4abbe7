"""The way from image to image: both ends, both paths, and the norm of z."""

from __future__ import annotations

import re

import pytest
import torch

from course_lib.editing import slerp
from course_lib.models import mlp_vae
from course_lib.widgets import scrub_interpolation
from course_lib.widgets.scrubber import paths

SHAPE = (1, 6, 7)


@pytest.fixture
def model():
    return mlp_vae(SHAPE, 4, (16,))


@pytest.mark.parametrize("scale", [2.0, -2.0, 0.0])
def test_spherical_path_without_a_plane_is_straight(scale):
    z = torch.randn(5)
    both = paths(z, scale * z)
    torch.testing.assert_close(both["spherical"], both["linear"])
    torch.testing.assert_close(both["linear"][60], (0.7 + 0.3 * scale) * z)


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
    expect(torch.lerp(mu[0], mu[1], 0.4))
    form.path.value = "spherical"
    expect(slerp(mu[0], mu[1], 6)[2])
    assert "t = 0.40 of the spherical path" in form.image.value


def test_still_picture_shows_both_paths(shown, model):
    x = torch.rand(2, *SHAPE)
    scrub_interpolation(model, x[0], x[1])
    assert "linear, spherical" in shown[0].alt
    z0, z1 = model.encode(x)[0].detach()
    said = f"is {torch.lerp(z0, z1, 0.5).norm().item():.2f}".rstrip("0")
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
