"""A picture: what it stores, what reaches a page, and how it is saved."""

from __future__ import annotations

import io
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from gallery import blobs, picture
from matplotlib.figure import Figure
from PIL import Image

from course_lib import plotting
from course_lib.plotting.picture import LIMIT, encode

AWKWARD = 'Noise is <never> "fine" & it\'s 5 > 3'


class Images(HTMLParser):
    """Collects the attributes of the images of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_bundle_holds_one_picture_in_three_forms():
    grid = plotting.image_grid(blobs(3), title="t", alt=AWKWARD)
    data, metadata = grid._repr_mimebundle_()
    width, height = grid.size
    assert metadata == {"image/png": {"alt": AWKWARD, "width": width, "height": height}}
    assert data["text/plain"] == AWKWARD
    (tag,) = Images(data["text/html"]).found
    assert tag["alt"] == AWKWARD
    assert (tag["width"], tag["height"]) == (str(width), str(height))
    assert tag["src"] == "data:image/png;base64," + data["image/png"]
    stored = Image.open(io.BytesIO(b64decode(data["image/png"])))
    assert stored.size == (2 * width, 2 * height)
    assert set(stored.info) <= {"dpi"}  # no date, no name of a program


def test_alternative_text_reaches_the_page_of_nbconvert():
    nbformat = pytest.importorskip("nbformat.v4")
    nbconvert = pytest.importorskip("nbconvert")
    data, metadata = plotting.image_grid(blobs(3), title="t", alt=AWKWARD)._repr_mimebundle_()
    output = nbformat.new_output("display_data", data=data, metadata=metadata)
    cell = nbformat.new_code_cell("...", outputs=[output])
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nbformat.new_notebook(cells=[cell]))
    assert [tag["alt"] for tag in Images(page).found] == [AWKWARD]


def test_pictures_that_are_too_heavy_give_up_colors_then_dots():
    noise = torch.rand(120, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    grid = plotting.image_grid(noise[:60], title="t")
    stored = grid.png()
    assert len(stored) <= LIMIT
    assert Image.open(io.BytesIO(stored)).width == grid.size[0]
    # Nothing helps here, and then the picture is stored all the same.
    stored = plotting.image_grid(noise, title="t").png()
    assert len(stored) > LIMIT
    assert Image.open(io.BytesIO(stored)).width == grid.size[0]


def test_greys_have_no_bands():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for colors in (128, 32, 16):
        reduced = Image.open(io.BytesIO(encode(Image.fromarray(ramp), colors))).convert("L")
        levels = np.unique(np.asarray(reduced))
        assert len(levels) == colors
        assert np.ptp(np.diff(levels.astype(int))) <= 1  # evenly spaced
        assert levels[0] == 0
        assert levels[-1] == 255


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_saved_files_are_the_same_each_time(tmp_path, suffix):
    lines = picture("lines")
    first, second = (lines.save(tmp_path / f"{name}{suffix}") for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert [p.name for p in sorted(tmp_path.iterdir())] == [f"a{suffix}", f"b{suffix}"]


def test_saved_png_has_two_dots_to_the_pixel(tmp_path):
    path = picture("image_rows").save(tmp_path / "new folder" / "rows.png")
    width, height = picture("image_rows").size
    assert Image.open(path).size == (2 * width, 2 * height)


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.png.txt"])
def test_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf was expected"):
        picture("lines").save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    broken = Figure()
    broken.text(0.5, 0.5, r"$\nosuchsymbol$")
    with pytest.raises(ValueError, match="nosuchsymbol"):
        plotting.Picture(broken, "alt").save(path)
    assert path.read_bytes() == b"old"


def test_figure_may_be_changed_before_it_is_shown():
    bars = plotting.bars({"a": 1.0}, xlabel="x (m)", title="t")
    before = bars.png()
    bars.figure.axes[0].set_xlim(0, 50)
    assert bars.png() != before


def test_alternative_text_is_needed():
    with pytest.raises(ValueError, match="alt is '  '"):
        plotting.Picture(Figure(), "  ")


@pytest.mark.parametrize("title", ["", "  ", None])
def test_title_is_needed(title):
    with pytest.raises(ValueError, match="title"):
        plotting.image_grid(blobs(2), title=title, alt="alt")
