"""The latent explorer: what it shows is the model's answer to the z that its controls say."""

from __future__ import annotations

import re

import pytest
import torch

from course_lib import oracles
from course_lib.models import conv_vae, mlp_vae
from course_lib.widgets import explore_latents, explorer, pad

SHAPE = (1, 6, 7)


@pytest.fixture
def model():
    return mlp_vae(SHAPE, 5, (16,))


@pytest.fixture
def explore(watched):
    def run(*args, **kwargs):
        watched.clear()
        explore_latents(*args, **kwargs)
        return watched[1].parts

    return run


def answer(model, z: torch.Tensor) -> torch.Tensor:
    return (model.mean_image(z[None])[0].clamp(0, 1).double() * 255).round() / 255


def test_slider_moves_one_latent_and_the_picture_follows(explore, model, decoded):
    form = explore(model, torch.rand(20, *SHAPE))
    latent = list(form.sliders)[1]
    before = form.image.value
    form.sliders[latent].value = 1.5
    z = torch.zeros(5)
    z[latent] = 1.5
    assert torch.equal(form.z, z)
    assert form.image.value != before
    torch.testing.assert_close(
        decoded(form.image, 6), answer(model, z), atol=1e-9, rtol=0, check_dtype=False
    )
    assert f"z[{latent}] = 1.50" in form.image.value
    assert "‖z‖ = 1.5 " in form.readout.value
    log_pz = model.prior().log_prob(z).item()
    assert f"log p(z) = {log_pz:.2f}".replace("-", "−").rstrip("0") in form.readout.value


def test_latents_are_the_active_ones_most_active_first(explore, model):
    with torch.no_grad():
        last = model.encoder[-1]
        last.weight[:5] *= torch.tensor([0.0, 3.0, 0.0, 9.0, 1.0])[:, None]
    x = torch.rand(200, *SHAPE)
    activity = model.encode(x)[0].var(0)
    assert (activity > 0.01).sum() == 3  # or this test would ask nothing
    assert list(explore(model, x).sliders) == activity.argsort(descending=True)[:3].tolist()


def test_at_most_twelve_and_at_least_two(explore):
    many = mlp_vae(SHAPE, 30, (16,))
    with torch.no_grad():
        many.encoder[-1].weight[:30] *= 5
    assert len(explore(many, torch.rand(50, *SHAPE)).sliders) == 12
    with torch.no_grad():
        many.encoder[-1].weight.zero_()
    assert len(explore(many, torch.rand(50, *SHAPE)).sliders) == 2


def test_one_latent_has_no_pad(explore):
    form = explore(mlp_vae(SHAPE, 1, (16,)), torch.rand(5, *SHAPE))
    assert form.pad is None and list(form.sliders) == [0]
    form.random.click()


def test_pad_moves_the_two_most_active_latents_at_once(explore, model, decoded):
    form = explore(model, torch.rand(20, *SHAPE))
    a, b = list(form.sliders)[:2]
    dot = form.pad._dot.value
    form.pad.field.value = "0.7500 0.2500"  # what the surface writes where the pointer is
    assert (form.sliders[a].value, form.sliders[b].value) == (1.5, -1.5)  # of -3 to 3
    assert form.pad._dot.value != dot
    torch.testing.assert_close(
        decoded(form.image, 6), answer(model, form.z), atol=1e-9, rtol=0, check_dtype=False
    )
    form.pad.field.value = "7 -7"  # the pointer has left the pad
    assert (form.sliders[a].value, form.sliders[b].value) == (3.0, -3.0)
    form.pad.field.value = "not a place"
    assert (form.sliders[a].value, form.sliders[b].value) == (3.0, -3.0)


def test_dot_is_where_the_sliders_are(explore, model):
    form = explore(model, torch.rand(20, *SHAPE))
    a, b = list(form.sliders)[:2]
    form.sliders[a].value, form.sliders[b].value = -3.0, 3.0
    x, y = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', form.pad._dot.value).groups()
    assert (float(x), float(y)) == (0.0, 0.0)  # the left upper corner
    form.zero.click()
    x, y = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', form.pad._dot.value).groups()
    assert (float(x), float(y)) == (pad.SIZE / 2, pad.SIZE / 2)


def test_a_drag_draws_once(explore, model, monkeypatch):
    """Two sliders that follow the pad are one redraw, not three."""
    form = explore(model, torch.rand(20, *SHAPE))
    drawn, mean_image = [], explorer.mean_image
    monkeypatch.setattr(explorer, "mean_image", lambda *a: drawn.append(a) or mean_image(*a))
    form.pad.field.value = "0.9 0.1"
    assert len(drawn) == 1


def test_buttons(explore, model, decoded):
    x = torch.rand(20, *SHAPE)
    form, again, other = (explore(model, x, seed=seed) for seed in (1, 1, 2))
    for each in (form, again, other):
        each.random.click()
    assert torch.equal(form.z, again.z) and not torch.equal(form.z, other.z)
    for latent, slider in form.sliders.items():
        assert slider.value == pytest.approx(form.z[latent].item())
    first = form.z
    form.random.click()
    assert not torch.equal(form.z, first)
    form.zero.click()
    assert not form.z.any() and all(s.value == 0 for s in form.sliders.values())
    torch.testing.assert_close(
        decoded(form.image, 6), answer(model, form.z), atol=1e-9, rtol=0, check_dtype=False
    )


def test_slider_grows_for_a_value_beyond_its_end(explore, model):
    form = explore(model, torch.rand(20, *SHAPE))
    form.show(torch.full((5,), 4.5))
    assert all(s.value == 4.5 and s.min == -3.0 for s in form.sliders.values())


def test_learned_prior_and_color(explore, decoded):
    model = mlp_vae((3, 4, 5), 3, (8,), likelihood="gaussian", prior="mixture", components=2)
    with torch.no_grad():
        model.learned_prior.means.fill_(4.0)  # far from zero
        model.learned_prior.log_scales.fill_(-2.0)
    form = explore(model)
    for slider in form.sliders.values():  # exp(-2) = 0.135: 4 - 3 sd and 4 + 3 sd, and zero
        assert (slider.min, slider.max) == (0.0, 4.5)
    form.random.click()
    assert (form.z - 4).abs().max() < 1
    torch.testing.assert_close(
        decoded(form.image, 4), answer(model, form.z), atol=1e-9, rtol=0, check_dtype=False
    )


def test_double_precision_and_convolutions(explore, decoded):
    model = conv_vae((1, 5, 6), 2, width=4, hidden=8).double()
    form = explore(model, torch.rand(4, 1, 5, 6, dtype=torch.float64))
    next(iter(form.sliders.values())).value = -2.0
    torch.testing.assert_close(decoded(form.image, 5), answer(model, form.z), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("vae",), TypeError, "a str, without a prior"),
        ((oracles.LinearGaussian.example(seed=0),), ValueError, "decodes z to shape [4]"),
        (("model", torch.rand(3, 1, 9, 9)), ValueError, "made for images [N, 1, 6, 7]"),
        (("model", torch.rand(6, 7)), ValueError, "shape [6, 7]"),
        (("model", torch.rand(1, *SHAPE)), ValueError, "at least two"),
        (("model", [1, 2]), TypeError, "x is a list"),
        (("model", 255 * torch.ones(3, *SHAPE)), ValueError, "pixels from 255 to 255"),
    ],
)
def test_bad_input_gets_one_sentence(shown, model, arguments, error, message):
    arguments = [model if isinstance(a, str) and a == "model" else a for a in arguments]
    with pytest.raises(error, match=re.escape(message)):
        explore_latents(*arguments)
    with pytest.raises(ValueError, match="seed is 'a'"):
        explore_latents(model, seed="a")
    assert not shown


def test_still_picture_names_the_latents(shown, model):
    explore_latents(model, torch.rand(30, *SHAPE))
    assert re.search(r"Rows: z\[\d\]: −3 to 3", shown[0].alt)
