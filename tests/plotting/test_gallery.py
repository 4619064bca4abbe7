"""What holds for every figure of the course."""

from __future__ import annotations

import io
import subprocess
import sys
from base64 import b64decode, b64encode
from functools import cache
from unittest import mock

import matplotlib
import numpy as np
import pytest
from gallery import GALLERY, picture
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from course_lib.plotting import picture as picture_module
from course_lib.plotting.style import style

every = pytest.mark.parametrize("name", GALLERY)


@cache
def stored(name: str) -> tuple[dict, dict]:
    """Return what a notebook stores, and its metadata."""
    return picture(name)._repr_mimebundle_()


def image(name: str) -> Image.Image:
    """Return the stored image."""
    return Image.open(io.BytesIO(b64decode(stored(name)[0]["image/png"])))


@cache
def texts(name: str) -> list[tuple[str, float, Bbox]]:
    """Return every text that is drawn, its size in points, and its place in CSS pixels."""
    drawn = []
    draw = Text.draw

    def record(self: Text, renderer: object) -> None:
        if self.get_visible() and self.get_text().strip():
            drawn.append((self.get_text(), self.get_fontsize(), self.get_window_extent(renderer)))
        draw(self, renderer)

    figure = picture(name).figure
    with style(), mock.patch.object(Text, "draw", record):
        figure.set_dpi(96)
        figure.canvas.draw()
    return drawn


@every
def test_stored_output_is_small(name):
    data, metadata = stored(name)
    assert sum(map(len, data.values())) + len(str(metadata)) < 100_000


@every
def test_letters_are_large_enough(name):
    assert texts(name)
    assert not [(text, size) for text, size, _ in texts(name) if size < 9]


@every
def test_no_text_is_cut_off(name):
    width, height = picture(name).size
    cut = [
        (text, box)
        for text, _, box in texts(name)
        if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1
    ]
    assert not cut


@every
def test_fits_a_laptop(name):
    assert 380 <= picture(name).size[0] <= 760


@every
def test_alternative_text_says_more_than_the_title(name):
    alt = picture(name).alt
    first = alt.split(".")[0]
    assert len(alt) > len(first) + 20


@pytest.mark.parametrize("name", ["image_rows", "lines", "latent_map", "density", "heatmap"])
def test_same_bytes_twice(name):
    assert b64encode(GALLERY[name]().png()).decode() == stored(name)[0]["image/png"]


def test_drawing_moves_nothing():
    """A layout that is solved anew at each drawing would depend on the drawings before."""
    figure = picture("panels").figure
    before = [axes.get_position().bounds for axes in figure.axes]
    for scale in (1.0, 1.5, 2.0):
        picture("panels")._draw(scale)
    assert [axes.get_position().bounds for axes in figure.axes] == before


@every
def test_background_is_white_and_opaque(name):
    assert "transparency" not in image(name).info
    corners = np.asarray(image(name).convert("RGBA"))[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).all()


@every
def test_one_dot_at_least_to_the_pixel(name):
    assert image(name).width >= picture(name).size[0]


@pytest.mark.parametrize("name", ["lines", "density", "bars", "history", "image_grid"])
def test_charts_are_sharp_on_fine_screens(name):
    assert image(name).width == 2 * picture(name).size[0]


def test_charts_keep_their_colors():
    """Reduction to a palette moves no pixel far, and white not at all."""
    full = np.asarray(picture("lines")._draw(2.0)).astype(int)
    data = picture_module.encode(Image.fromarray(full.astype(np.uint8)), 128)
    reduced = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(full - reduced).max() <= 32
    assert (reduced[(full == 255).all(-1)] == 255).all()


def test_other_peoples_settings_neither_matter_nor_change():
    before = b64decode(stored("lines")[0]["image/png"])
    changed = {"font.size": 30.0, "xtick.direction": "in", "axes.linewidth": 5.0}
    with matplotlib.rc_context(changed):
        saved = dict(matplotlib.rcParams)
        assert GALLERY["lines"]().png() == before
        assert dict(matplotlib.rcParams) == saved


def test_pyplot_is_never_loaded():
    code = (
        "import sys, torch; from course_lib import plotting; "
        "plotting.image_grid(torch.zeros(1, 1, 4, 4), title='t').png(); "
        "print('matplotlib.pyplot' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
