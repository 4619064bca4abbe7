"""Contour figures show a table the right way round, and say what was wrong with a bad one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from course_lib import plotting
from course_lib.plotting import Picture

XS = torch.linspace(-2, 2, 21, dtype=torch.float64)
YS = torch.linspace(-1, 1, 21, dtype=torch.float64)
BOWL = (XS - 1).square() + (YS[:, None] + 0.5).square()  # [y, x], lowest at (1, -0.5)


def draw(values=BOWL, **changes) -> Picture:
    options = {
        "levels": [0.1, 0.5, 1, 2, 4],
        "xlabel": "x",
        "ylabel": "y",
        "value_label": "height",
        "title": "A bowl off the middle",
    }
    return plotting.surface(values, XS, YS, **{**options, **changes})


def brightness(picture: Picture, x: float, y: float, panel: int = 0) -> float:
    """Return how bright the drawn figure is at a point of a panel, 0 to 255."""
    pixels = np.asarray(picture._draw(1.0)).astype(float)
    figure = picture.figure
    along, up = figure.axes[panel].transData.transform((x, y)) / figure.bbox.size
    row, column = round((1 - up) * len(pixels)), round(along * pixels.shape[1])
    return pixels[row - 1 : row + 2, column - 1 : column + 2].mean()


def test_rows_are_ys_and_low_is_light():
    picture = draw()
    low = brightness(picture, 1, -0.5)
    corners = [(-1.9, -0.9), (-1.9, 0.9), (1.9, 0.9)]
    assert all(brightness(picture, *corner) < low - 20 for corner in corners)
    assert "lowest, 0, at (1, −0.5)" in picture.alt


def test_panels_share_the_scale():
    picture = draw({"once": BOWL, "twice": 2 * BOWL})
    assert brightness(picture, 0, 0, panel=1) < brightness(picture, 0, 0, panel=0) - 10
    assert [axes.get_title("left") for axes in picture.figure.axes[:2]] == ["once", "twice"]
    assert "once is lowest" in picture.alt
    assert "twice is lowest" in picture.alt


def test_paths_and_marks_are_drawn_where_they_are():
    path = torch.tensor([[-1.0, 0.5], [0.0, 0.0], [1.0, -0.5]])
    picture = draw({"a": BOWL, "b": BOWL}, paths={"b": [path]}, marks={"start": (-1.0, 0.5)})
    left, right = picture.figure.axes[:2]
    drawn = [line.get_xydata() for line in right.lines]
    assert any(len(at) == 3 and np.allclose(at, path) for at in drawn)
    assert sum(len(line.get_xydata()) == 3 for line in left.lines) == 0
    assert any(np.allclose(line.get_xydata(), [[-1.0, 0.5]]) for line in left.lines)
    assert "A path goes from (−1, 0.5) to (1, −0.5)." in picture.alt
    assert "start at (−1, 0.5)" in picture.alt
    assert any("diamonds" in text.get_text() for text in picture.figure.texts)


def test_stored_output_is_small_and_repeatable():
    data, metadata = draw()._repr_mimebundle_()
    assert sum(map(len, data.values())) + len(str(metadata)) < 100_000
    assert draw().png() == draw().png()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": BOWL[:, :-1]}, "Transpose"),
        ({"values": BOWL * float("nan")}, "NaN"),
        ({"values": {}}, "one to three panels"),
        ({"levels": [1, 1, 2]}, "levels does not rise"),
        ({"paths": {"other": []}}, "'other'"),
        ({"paths": [torch.zeros(3)]}, "two axes"),
        ({"marks": {"a": (1.0, float("inf"))}}, "infinite"),
        ({"value_label": ""}, "value_label"),
    ],
)
def test_bad_input_gets_a_sentence(changes, message):
    changes = dict(changes)
    with pytest.raises(ValueError, match=message):
        draw(changes.pop("values", BOWL), **changes)
