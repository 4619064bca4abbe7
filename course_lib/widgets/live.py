"""What the live figures share: a still picture for every page, controls where somebody watches."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from html import escape

import numpy as np
from PIL import Image
from torch import Tensor

from course_lib.front_end import is_watched
from course_lib.plotting import Picture

from .cards import show

SIDE = 224  # CSS pixels: the longer side of an image, about

# Where the live form is on the page, it takes the place of the still picture above it. A form from
# an earlier session has lost its kernel: then the picture stays, and the message that JupyterLab
# would print in place of the form is hidden.
_STYLE = (
    "<style>.jp-OutputArea-child:has(.course-still):has(+ .jp-OutputArea-child .course-live), "
    ".jp-OutputArea-child:has(.course-still) + .jp-OutputArea-child > "
    ".jp-OutputArea-output.jupyter-widgets { display: none }</style>"
)


class Still:
    """A picture that steps aside while the live form below it is on the page."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data, metadata = self.picture._repr_mimebundle_()
        html = f'<div class="course-still">{data["text/html"]}</div>{_STYLE}'
        return {**data, "text/html": html}, metadata


class Live:
    """The live form.

    Attributes:
        parts: what was built: an object whose ``box`` is the outermost widget.
    """

    def __init__(self, parts: object) -> None:
        self.parts = parts
        parts.box.add_class("course-live")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, object]:
        # Where the form cannot be shown, nothing stands in its place: the picture is above it.
        view = self.parts.box._repr_mimebundle_() or {}
        return {**view, "text/html": "", "text/plain": ""}


def present(picture: Picture, build: Callable[[], object]) -> None:
    """Show the picture, and the form that ``build()`` makes where somebody watches."""
    if not is_watched():
        show(picture)
        return
    form = Live(build())
    show(Still(picture))
    show(form)


def enlarged(image: Tensor, side: int = SIDE) -> bytes:
    """Return ``image: [C, H, W]`` in [0, 1] as a PNG, each pixel a square of whole dots.

    Args:
        image: C = 1 (grey) or 3 (color).
        side: the longer side becomes at most this many dots, unless it is longer already.
    """
    pixels = np.rint(255 * image.detach().float().clamp(0, 1).cpu().numpy()).astype(np.uint8)
    whole = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    zoom = max(1, side // max(whole.size))
    whole = whole.resize((whole.width * zoom, whole.height * zoom), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    whole.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def image(png: bytes, alt: str, size: tuple[int, int] | None = None) -> str:
    """Return a PNG as HTML with its alternative text.

    Args:
        png: the file.
        alt: for readers who do not see it.
        size: width and height on the page, CSS pixels; by default those of the file.
    """
    width, height = size or Image.open(io.BytesIO(png)).size
    # Decoded at once, so that nothing flickers when one picture replaces another.
    return (
        f'<img alt="{escape(alt)}" width="{width}" height="{height}" decoding="sync" '
        f'style="display: block; max-width: none" '
        f'src="data:image/png;base64,{b64encode(png).decode("ascii")}">'
    )


def figure(picture: Picture) -> str:
    """Return a picture as HTML at the resolution of a live figure, which is drawn sooner."""
    png = Picture(picture.figure, picture.alt, scales=(1.5,)).png()
    return image(png, picture.alt, picture.size)


def slider(name: str, value: float, low: float, high: float, step: float, said: str) -> object:
    """Return a slider that reports while it moves; ``said`` is shown over it."""
    import ipywidgets

    return ipywidgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=name, tooltip=said,
        readout_format=".2f", continuous_update=True, layout={"width": "320px"},
    )  # fmt: skip


def row(*widgets: object) -> object:
    """Return widgets side by side, broken into lines where the page is narrow."""
    import ipywidgets

    box = ipywidgets.HBox(widgets)
    box.layout.flex_flow = "row wrap"
    box.layout.align_items = "center"
    return box
