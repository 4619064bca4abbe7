"""Grids of images show every pixel as it is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from gallery import Decoder, blobs
from PIL import Image
from torch.distributions import Independent, MultivariateNormal, Normal

from course_lib import plotting
from course_lib.plotting import Picture


def dots(picture: Picture) -> np.ndarray:
    """Return the picture at two dots to the pixel, in full colors, ``[H, W, 3]`` in [0, 1]."""
    return np.asarray(picture._draw(2.0)) / 255


def find(sheet: np.ndarray, image: np.ndarray, zoom: int) -> list[tuple[int, int]]:
    """Return the places (row, column) where the enlarged image stands on the sheet."""
    block = np.repeat(np.repeat(image, zoom, 0), zoom, 1)
    high, wide, _ = block.shape
    inside = sheet.shape[0] - high + 1, sheet.shape[1] - wide + 1
    here = np.ones(inside, dtype=bool)  # where the corners agree
    for y, x in ((0, 0), (0, wide - 1), (high - 1, 0), (high - 1, wide - 1)):
        part = sheet[y : y + inside[0], x : x + inside[1]]
        here &= np.abs(part - block[y, x]).max(-1) < 0.003
    return [
        (int(y), int(x))
        for y, x in zip(*np.nonzero(here), strict=True)
        if np.abs(sheet[y : y + high, x : x + wide] - block).max() < 0.003
    ]


def noise(count: int, channels: int, high: int, wide: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count + high)
    return torch.rand(count, channels, high, wide, generator=generator) * 0.7


@pytest.mark.parametrize(
    ("count", "columns", "channels", "size"),
    [(1, 4, 1, 28), (7, 3, 1, 14), (5, 5, 3, 6), (6, 2, 3, 28), (24, 12, 1, 30)],
)
def test_every_pixel_is_shown_in_its_place(count, columns, channels, size):
    x = noise(count, channels, size, size + 2)
    picture = plotting.image_grid(x, title="t", columns=columns)
    sheet, zoom = dots(picture), _zoom(picture)
    places = [find(sheet, np.moveaxis(i.expand(3, -1, -1).numpy(), 0, -1), zoom) for i in x]
    assert all(len(p) == 1 for p in places)
    tops, lefts = ([p[0][k] for p in places] for k in (0, 1))
    wide = min(columns, count)
    assert [sorted(set(tops)).index(top) for top in tops] == [i // wide for i in range(count)]
    assert [sorted(set(lefts)).index(left) for left in lefts] == [i % wide for i in range(count)]


def _zoom(picture: Picture) -> int:
    """Return the dots to a source pixel."""
    axes = picture.figure.axes[0]
    picture.figure.set_dpi(192)
    zoom = axes.get_window_extent().width / axes.images[0].get_array().shape[1]
    assert zoom == pytest.approx(round(zoom))
    return round(zoom)


def test_scale_is_fixed():
    """Two greys close together stay so; nothing is stretched to black and white."""
    sheet = dots(plotting.image_grid(torch.full((1, 1, 8, 8), 0.5), title="t"))
    assert np.median(sheet[80:120, 60:100]) == pytest.approx(0.5, abs=0.003)


def test_stored_grid_keeps_greys():
    x = torch.linspace(0, 1, 100).reshape(1, 1, 10, 10)
    png = plotting.image_grid(x, title="t").png()
    stored = np.asarray(Image.open(io.BytesIO(png)).convert("L")) / 255
    for value in x.flatten():
        assert np.abs(stored - value.item()).min() <= 0.5 / 127 + 0.003


def test_rows_stand_under_each_other():
    x, y = noise(4, 1, 10, 10), 1 - noise(4, 1, 10, 10)
    picture = plotting.image_rows({"x": x, "y": y}, title="t")
    sheet, zoom = dots(picture), _zoom(picture)
    for a, b in zip(x, y, strict=True):
        ((_, left),) = find(sheet, np.moveaxis(a.expand(3, -1, -1).numpy(), 0, -1), zoom)
        ((_, below),) = find(sheet, np.moveaxis(b.expand(3, -1, -1).numpy(), 0, -1), zoom)
        assert left == below


def test_grey_and_color_rows_go_together():
    picture = plotting.image_rows({"grey": blobs(3), "color": blobs(3, 3)}, title="t")
    assert picture.alt == "t. 2 rows of 3 images: grey, color."


def test_note_says_how_many_and_that_none_was_picked():
    figure = plotting.image_grid(blobs(12), title="t").figure
    assert "12 images, none picked" in [t.get_text() for t in figure.texts]
    figure = plotting.image_grid(blobs(1), title="t").figure
    assert "1 image, none picked" in [t.get_text() for t in figure.texts]
    figure = plotting.image_grid(blobs(12), title="t", note="12 draws, none picked").figure
    assert "12 draws, none picked" in [t.get_text() for t in figure.texts]


def test_default_alt_names_labels():
    alt = plotting.image_grid(blobs(4), title="Digits.", columns=2, labels=[7, 2, 1, 0]).alt
    assert alt == "Digits. A grid of 4 images in 2 rows of 2. Labels: 7, 2, 1, 0."


def test_images_may_require_gradients_and_are_not_changed():
    x = blobs(3).requires_grad_()
    before = x.detach().clone()
    plotting.image_grid(x, title="t").png()
    assert torch.equal(x.detach(), before)


def test_manifold_asks_at_equal_quantiles_of_the_prior():
    asked = []

    class Model(Decoder):
        def mean_image(self, z):
            asked.append(z)
            return super().mean_image(z)

    picture = plotting.manifold(Model(), title="t", steps=5)
    (z,) = asked
    z = z.reshape(5, 5, 2)
    share = torch.distributions.Normal(0.0, 1.0).cdf(z.double())
    expected = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64)
    torch.testing.assert_close(share[2, :, 0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(share[:, 2, 1], expected.flip(0), atol=1e-6, rtol=0)
    assert "not draws" not in picture.alt
    assert "5 × 5 decoder means" in picture.alt


def test_manifold_runs_in_the_precision_of_the_model():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Linear(2, 16).double()

        prior = Decoder(2).prior

        def mean_image(self, z):
            return self.net(z).sigmoid().reshape(-1, 1, 4, 4)

    plotting.manifold(Net(), title="t", steps=3)


class Moved(Decoder):
    """A prior of another mean, as one that was learned has."""

    def prior(self):
        return Independent(Normal(torch.tensor([0.0, 1.0]), 1.0), 1)


class Turned(Decoder):
    """Mean 0 and standard deviations of 1, but the latents go together."""

    def prior(self):
        return MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))


def test_counts_may_come_from_numpy():
    plotting.manifold(Decoder(), title="t", steps=np.int64(3))
    plotting.image_grid(blobs(2), title="t", columns=np.int64(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: plotting.image_grid(torch.zeros(0, 1, 4, 4), title="t"), ValueError, "empty"),
        (lambda: plotting.image_grid(torch.zeros(4, 4), title="t"), ValueError, "shape"),
        (lambda: plotting.image_grid(torch.zeros(1, 2, 4, 4), title="t"), ValueError, "2 channels"),
        (lambda: plotting.image_grid(blobs(1) * 255, title="t"), ValueError, "0, 1"),
        (lambda: plotting.image_grid((blobs(1) * 255).byte(), title="t"), TypeError, "uint8"),
        (lambda: plotting.image_grid("x", title="t"), TypeError, "str"),
        (lambda: plotting.image_grid(blobs(2), title="t", columns=0), ValueError, "columns is 0"),
        (lambda: plotting.image_grid(blobs(2), title="t", labels=[1]), ValueError, "1 entries"),
        (lambda: plotting.image_grid(blobs(2), title="t", labels="ab"), ValueError, "one text"),
        (lambda: plotting.image_grid(blobs(2), title="t", row_labels=[]), ValueError, "for 1 rows"),
        (lambda: plotting.image_rows({}, title="t"), ValueError, "rows is empty"),
        (
            lambda: plotting.image_rows({"a": blobs(2), "b": blobs(3)}, title="t"),
            ValueError,
            "2 images of 28 × 28 pixels and 3 images",
        ),
        (lambda: plotting.manifold(Decoder(5), title="t"), ValueError, "latent_dim=2"),
        (lambda: plotting.manifold(Decoder(), title="t", steps=0), ValueError, "steps is 0"),
        (lambda: plotting.manifold(Moved(), title="t"), ValueError, "no standard normal"),
        (lambda: plotting.manifold(Turned(), title="t"), ValueError, "no standard normal"),
    ],
)
def test_bad_input_gets_one_sentence(make, error, message):
    with pytest.raises(error, match=message):
        make()
