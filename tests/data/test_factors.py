"""The factors of the drawn digits: independent, checked, and measured again on the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from course_lib.data.strokes import FACTORS, STYLES, draw, render

STILL = {
    "class": 5, "style": 0, "hand": 11, "slant": 0.0, "angle": 0.0, "width": 2.5, "scale": 0.9,
    "aspect": 1.0, "shift_x": 0.0, "shift_y": 0.0,
}  # fmt: skip


def test_factors_are_in_range_balanced_and_independent() -> None:
    many = draw(8_000, size=8)
    assert list(many.factors) == [name for name in FACTORS if name not in ("ink", "paper")]
    assert torch.equal(many.labels, many.factors["class"])
    for name, value in draw(2_000, size=8, color=True).factors.items():
        low, high, _ = FACTORS[name]
        assert value.dtype == (torch.int64 if name in ("class", "style", "hand") else torch.float32)
        assert (value >= np.float32(low)).all()
        assert (value <= np.float32(high)).all()
    num = len(many.labels)
    for name, count in (("class", 10), ("style", 3)):
        share = torch.bincount(many.factors[name], minlength=count) / num
        assert ((share - 1 / count).abs() < 4.5 * (1 / count / num) ** 0.5).all()
    table = torch.stack([v.double() for k, v in many.factors.items() if k != "hand"])
    for i, name in enumerate(n for n in many.factors if n != "hand"):
        low, high, _ = FACTORS[name]
        assert abs(table[i].mean() - (low + high) / 2) < 4.5 * table[i].std() / num**0.5
    off = torch.corrcoef(table) - torch.eye(len(table))
    assert off.abs().max() < 4.5 / num**0.5


def moments(images: Tensor) -> dict[str, Tensor]:
    """Measure the ink: where its middle, its box and its axis are, in 28ths of the image."""
    ink = images[:, 0].double() / 255
    side = ink.shape[-1]
    at = (torch.arange(side) + 0.5) * 28 / side - 14
    total = ink.sum((1, 2))
    x, y = (ink.sum(1) * at).sum(1) / total, (ink.sum(2) * at).sum(1) / total
    rows = [(line > 0.5).nonzero()[:, 0] for line in ink.amax(2)]
    columns = [(line > 0.5).nonzero()[:, 0] for line in ink.amax(1)]
    box = [torch.tensor([(i[-1] - i[0] + 1) * 28 / side for i in b]) for b in (rows, columns)]
    return {"x": x, "y": y, "height": box[0], "width": box[1], "ink": total * (28 / side) ** 2}


def sweep(name: str, **fixed: float) -> tuple[Tensor, dict[str, Tensor]]:
    low, high, _ = FACTORS[name]
    value = torch.linspace(low, high, 5)
    return value, moments(render({**STILL, **fixed, name: value}, size=224))


@pytest.mark.parametrize("axis", ["x", "y"])
def test_shift_moves_the_ink(axis: str) -> None:
    value, seen = sweep(f"shift_{axis}")
    torch.testing.assert_close(
        seen[axis] - seen[axis][2], value.double(), atol=0.02, rtol=0, check_dtype=False
    )
    other = seen["y" if axis == "x" else "x"]
    assert other.std() < 0.01


def test_scale_is_the_height_of_the_digit() -> None:
    value, seen = sweep("scale")
    height = value * 20 + STILL["width"]  # the pen is half a width above and below the line
    torch.testing.assert_close(seen["height"], height, atol=0.5, rtol=0, check_dtype=False)


def test_aspect_stretches_sideways_only() -> None:
    value, seen = sweep("aspect")
    line = seen["width"] - STILL["width"]
    torch.testing.assert_close(line / line[2], value, atol=0.05, rtol=0, check_dtype=False)
    assert seen["height"].std() < 0.15


def test_width_is_that_of_the_pen() -> None:
    value, seen = sweep("width", **{"class": 1, "style": 0, "hand": 3})
    # A bar with round ends: length times width, and a disc. The pressure varies about the width.
    area = 18 * value + value**2 * np.pi / 4
    torch.testing.assert_close(seen["ink"], area, atol=0, rtol=0.12, check_dtype=False)
    assert (seen["ink"].diff() > 7).all()


@pytest.mark.parametrize(("name", "per_unit"), [("slant", 1.0), ("angle", np.pi / 180)])
def test_slant_and_angle_lean_a_one_to_the_right(name: str, per_unit: float) -> None:
    low, high, _ = FACTORS[name]
    value = torch.linspace(low, high, 5)
    images = render({**STILL, "class": 1, "style": 0, "hand": 3, name: value}, size=224)
    ink = images[:, 0].double() / 255
    at = torch.arange(224.0) + 0.5
    middle = (ink * at).sum(2) / ink.sum(2).clamp(min=1e-9)  # [5, rows]
    lean = (middle[:, 80] - middle[:, 144]) / 64
    expected = torch.tan(value * per_unit) if name == "angle" else value * per_unit
    torch.testing.assert_close(lean - lean[2], (expected - expected[2]).double(), atol=0.03, rtol=0)


def test_hand_class_and_style_change_the_drawing() -> None:
    for name, values in (("hand", range(8)), ("class", range(10)), ("style", range(3))):
        images = render({**STILL, name: list(values)})
        assert len({image.tobytes() for image in images.numpy()}) == len(values)
    wobble = render({**STILL, "hand": list(range(50))}).float() / 255
    assert 0.01 < wobble.var(0).mean() < 0.06  # the same five, by one writer


def test_every_digit_has_three_styles_with_names() -> None:
    assert len(STYLES) == 10
    assert all(len(set(names)) == 3 for names in STYLES)
    assert FACTORS["style"].high == 2


def test_colors_are_those_of_the_factors() -> None:
    hue = torch.tensor([0.0, 1 / 6, 1 / 3, 0.5, 2 / 3, 0.8])
    grid = torch.cartesian_prod(hue, hue)
    images = render({**STILL, "ink": grid[:, 0], "paper": grid[:, 1]}, color=True).double()
    paper = images[:, :, 0, 0]
    grey = render(STILL)[0, 0]
    full = (grey == 255).nonzero()[0]
    ink = images[:, :, full[0], full[1]]
    bright = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    assert (ink @ bright > paper @ bright + 30).all()  # legible whatever the hues
    for colors, h in ((ink, grid[:, 0]), (paper, grid[:, 1])):
        for channel, name in enumerate(("red", "green", "blue")):
            pure = (h - channel / 3).abs() < 1e-6
            assert (colors[pure].argmax(1) == channel).all(), name
    # Between ink and paper a pixel is their mixture.
    share = grey.double() / 255
    mixed = paper[..., None, None] + share * (ink - paper)[..., None, None]
    assert (mixed - images).abs().max() <= 1.5  # each of the three was rounded to 8 bits


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": 10}, "'class' is 10; 0 to 9 was expected"),
        ({"class": 1.5}, "'class' is 1.5; 0 to 9"),
        ({"style": -1}, "'style' is -1; 0 to 2"),
        ({"slant": [0.0, 2.0]}, "'slant' is 2.0; -0.25 to 0.35"),
        ({"shift_x": -2}, "'shift_x' is -2.0; -1.5 to 1.5"),
        ({"width": float("nan")}, "'width' is nan"),
        ({"angle": torch.zeros(2), "slant": torch.zeros(3)}, "2 values where another has 3"),
        ({"angle": torch.zeros(2, 2)}, r"'angle' has shape \[2, 2\]"),
        ({"angle": []}, r"'angle' has shape \[0\]"),
        ({"angle": "left"}, "'angle' has shape"),
        ({"slent": 0.1}, "Unknown factor 'slent'. Did you mean 'slant'"),
        ({"hand": None}, "No value for the factor.* hand; render needs each of class, style"),
    ],
)
def test_render_says_which_factor_is_wrong(change: dict, message: str) -> None:
    factors = {**STILL, **change}
    if change.get("hand", 0) is None:
        del factors["hand"]
    with pytest.raises(ValueError, match=message):
        render(factors)


def test_color_needs_its_factors() -> None:
    with pytest.raises(ValueError, match="No value for the factor.* ink, paper"):
        render(STILL, color=True)


def test_ends_of_every_range_can_be_drawn() -> None:
    for name, (low, high, _) in FACTORS.items():
        ends = torch.tensor([low, high]) if isinstance(low, float) else [low, high]
        images = render({**STILL, "ink": 0.1, "paper": 0.5, name: ends}, color=True)
        assert images.shape == (2, 3, 28, 28)
        assert images.float().std() > 0
