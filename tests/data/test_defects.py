"""Planted defects lie where their masks say, and replaced pixels are as many as asked for."""

import math

import pytest
import torch

from course_lib.data import defects, strokes
from course_lib.data.defects import KINDS, MIN_CHANGE, MIN_PIXELS, plant_defect, replace_pixels


@pytest.fixture(scope="module")
def x():
    return strokes.draw(60).images.float() / 255


@pytest.mark.parametrize("kind", KINDS)
def test_the_mask_is_where_the_image_changed(x, kind):
    before = x.clone()
    images, masks = plant_defect(x, kind, seed=1)
    assert torch.equal(x, before)
    assert images.shape == x.shape and masks.shape == x.shape and masks.dtype == torch.bool
    assert torch.equal(masks, (images - x).abs() >= MIN_CHANGE)
    assert (masks.flatten(1).sum(1) >= MIN_PIXELS).all()
    new = images[masks]
    assert (new == (0 if kind == "missing" else 1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_binary_images_stay_binary_and_change_only_in_the_mask(x, kind):
    binary = x.round()
    images, masks = plant_defect(binary, kind)
    assert torch.equal(images[~masks], binary[~masks])
    assert torch.equal(images[masks], 1 - binary[masks])


def test_a_scratch_is_long_and_thin_and_a_blot_is_round():
    paper = torch.zeros(200, 1, 28, 28)
    for kind, longest, most in (("scratch", (10, 15), 32), ("blot", (3, 7), 33)):
        masks = plant_defect(paper, kind, seed=2)[1][:, 0]
        extent = []
        for mask in masks:
            at = mask.nonzero().double()
            extent.append((torch.cdist(at, at).max() + 1).item())
        assert longest[0] <= min(extent) and max(extent) <= longest[1] + 1
        assert masks.flatten(1).sum(1).max() <= most
    assert len({tuple(mask.nonzero()[0].tolist()) for mask in masks}) > 50  # not all in one place


def test_a_defect_in_color_has_one_mask():
    x = strokes.draw(5, color=True).images.float() / 255
    images, masks = plant_defect(x, "blot")
    assert masks.shape == (5, 1, 28, 28)
    assert (images[masks.expand_as(x)] == 1).all()


def test_a_seed_decides_and_the_session_does_not(x):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b = plant_defect(x, seed=3), replace_pixels(x, 0.3, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(a[0], plant_defect(x, seed=3)[0])
    assert torch.equal(b, replace_pixels(x, 0.3, seed=3))
    assert not torch.equal(a[1], plant_defect(x, seed=4)[1])
    assert not torch.equal(b, replace_pixels(x, 0.3, seed=4))


def test_pixels_are_replaced_as_often_as_asked_by_uniform_values():
    x = torch.full((20, 1, 50, 50), 2.0**-30)
    for p in (0.1, 0.5):
        hit = replace_pixels(x, p) != x
        assert abs(hit.double().mean() - p) < 5 * math.sqrt(p * (1 - p) / x.numel())
    values = replace_pixels(x, 1.0).double()
    assert abs(values.mean() - 0.5) < 5 * math.sqrt(1 / 12 / x.numel())
    assert abs(values.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / x.numel())
    assert torch.equal(replace_pixels(x, 0.0), x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: plant_defect(x, "scrach"), ValueError, "Did you mean 'scratch'"),
        (
            lambda x: plant_defect(torch.zeros_like(x), "missing"),
            ValueError,
            "Image 0 has no place",
        ),
        (lambda x: plant_defect(torch.ones_like(x), "blot"), ValueError, "light ink on dark paper"),
        (lambda x: plant_defect(x * 255), ValueError, "Divide 8-bit images"),
        (lambda x: plant_defect(x, seed=0.5), ValueError, "seed is 0.5"),
        (lambda x: replace_pixels(x, 1.5), ValueError, "probability is 1.5"),
        (lambda x: replace_pixels(x.byte(), 0.5), TypeError, "torch.uint8"),
    ],
)
def test_bad_input_gets_a_sentence(x, call, error, message):
    with pytest.raises(error, match=message):
        call(x)


def test_everything_public_is_named():
    assert set(defects.__all__) >= {"plant_defect", "replace_pixels"}
