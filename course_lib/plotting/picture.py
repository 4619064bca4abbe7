"""A finished figure: what a notebook stores, shows and reads aloud."""

from __future__ import annotations

import io
import os
from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from course_lib.files import replacing

from .style import CSS_DPI, check_text, style

SUFFIXES = (".png", ".svg", ".pdf")
# A notebook stores the picture twice (see Picture), each copy as base64: 100 kB in all.
LIMIT = 36_000


@dataclass(frozen=True)
class Picture:
    """A figure with the sentence that stands in for it.

    A notebook shows it as a PNG. The alternative text is stored in the metadata of the PNG and,
    because neither JupyterLab nor nbconvert's page reads it from there, once more in an HTML
    ``<img>`` that both prefer.

    Attributes:
        figure: the matplotlib figure, free to be changed before it is shown.
        alt: what a reader who does not see the figure should know.
        scales: dots to the CSS pixel, in the order in which :meth:`png` tries them.
    """

    figure: Figure = field(repr=False)
    alt: str
    scales: tuple[float, ...] = (2.0, 1.5, 1.0)

    def __post_init__(self) -> None:
        check_text(self.alt, "alt")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on the page, CSS pixels."""
        width, height = self.figure.get_size_inches()
        return round(width * CSS_DPI), round(height * CSS_DPI)

    def png(self) -> bytes:
        """Return the PNG a notebook stores, the same bytes at every call.

        It is drawn at two dots to the CSS pixel for sharp screens and reduced to a palette; colors
        first, then dots, are given up to stay below 36 kB. Only a grid of several hundred images
        stays above.
        """
        last = self.scales[-1]
        for scale in self.scales:
            image = self._draw(scale)
            for colors in (128, 64, 32, 16) if scale == last else (128, 32):
                data = encode(image, colors)
                if len(data) <= LIMIT:
                    return data
                if len(data) > 2 * LIMIT and scale != last:  # fewer colors will not be enough
                    break
        return data

    def _draw(self, scale: float) -> Image.Image:
        with style():
            dpi = self.figure.dpi
            try:
                self.figure.set_dpi(CSS_DPI * scale)
                self.figure.canvas.draw()
                pixels = np.asarray(self.figure.canvas.buffer_rgba())[..., :3].copy()
            finally:
                self.figure.set_dpi(dpi)
        return Image.fromarray(pixels)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure to ``path`` (.png, .svg or .pdf, full colors) and return the path.

        The folder is created; an existing file is replaced only when the new one is complete.

        Raises:
            ValueError: unknown suffix.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            raise ValueError(
                f"A figure cannot be saved as {path.name!r}; a name ending in "
                f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} was expected."
            )
        undated = {  # what would differ from one day, or one release of matplotlib, to the next
            ".png": {"Software": None},
            ".svg": {"Date": None},
            ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        }[suffix]
        buffer = io.BytesIO()
        with style():
            self.figure.savefig(buffer, format=suffix[1:], dpi=2 * CSS_DPI, metadata=undated)
        with replacing(path) as file:
            file.write(buffer.getvalue())
        return path

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        width, height = self.size
        png = b64encode(self.png()).decode("ascii")
        html = (
            f'<img alt="{escape(self.alt)}" width="{width}" height="{height}" '
            f'style="max-width: 100%; height: auto" src="data:image/png;base64,{png}">'
        )
        data = {"image/png": png, "text/html": html, "text/plain": self.alt}
        return data, {"image/png": {"alt": self.alt, "width": width, "height": height}}

    def __str__(self) -> str:
        return self.alt


def encode(image: Image.Image, colors: int) -> bytes:
    """Return ``image`` (RGB) as a PNG of at most ``colors`` colors.

    Pictures without color keep evenly spaced greys, so that a row of images shows no bands.
    """
    pixels = np.asarray(image)
    if not (pixels == pixels[..., :1]).all():
        # Maximal coverage keeps thin lines, which a median cut averages away.
        indexed = image.quantize(colors, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        indexed.putpalette(_centers(np.asarray(indexed), pixels))
        return _write(indexed)
    index = np.rint(pixels[..., 0] * ((colors - 1) / 255)).astype(np.uint8)
    greys = np.rint(np.arange(colors) * (255 / (colors - 1))).astype(np.uint8)
    if colors > 16:  # PNG filters make use of the order of greys, which a palette hides
        return _write(Image.fromarray(greys[index]))
    indexed = Image.frombytes("P", image.size, index.tobytes())
    indexed.putpalette(np.repeat(greys, 3).tobytes())
    return _write(indexed)


def _centers(index: np.ndarray, pixels: np.ndarray) -> bytes:
    """Return the palette of mean colors: the white of the paper stays white."""
    flat = index.reshape(-1)
    count = np.maximum(np.bincount(flat), 1)
    means = [np.bincount(flat, pixels[..., c].reshape(-1)) / count for c in range(3)]
    return np.rint(np.stack(means, -1)).astype(np.uint8).tobytes()


def _write(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
