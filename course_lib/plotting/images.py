"""Grids of images: no axes, whole dots to the pixel, on the fixed scale from 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.errors import check_images, check_whole

from .frame import Frame, text_width
from .picture import Picture
from .style import CSS_DPI, PAD, SMALL_SIZE, TEXT_SIZE, style
from .values import sentence, texts

_WIDEST = 740  # CSS pixels, labels included
_TILE = 56  # preferred width of one image, CSS pixels
_LINE = math.ceil(SMALL_SIZE * CSS_DPI / 72 * 1.4)  # height of a line of labels, CSS pixels
_LINE_GREY = 0.8
SCALES = (2.0, 1.0)  # dots to the CSS pixel: whole, so that all source pixels stay equal


def image_grid(
    images: Tensor,
    *,
    title: str,
    alt: str | None = None,
    columns: int = 10,
    labels: Sequence[object] | Tensor | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    note: str | None = None,
) -> Picture:
    """Show images row by row, as many as were given.

    Args:
        images: ``[N, C, H, W]``, floats in [0, 1], C = 1 (grey) or 3 (color).
        title: states the finding.
        alt: for readers who do not see it; by default the title, the number of images and labels.
        columns: images in a row.
        labels: one under each image.
        row_labels: one to the left of each row.
        column_labels: one above each column.
        note: small print; by default "N images, none picked". Say what they are and how they were
            chosen: "20 draws, none picked", "7 values of the slant".

    Raises:
        TypeError, ValueError: anything else in ``images``, or a wrong number of labels.
    """
    images = tiles_of(images, "images")
    columns = min(check_whole(columns, "columns"), len(images))
    rows = math.ceil(len(images) / columns)
    note = f"{_count(len(images), 'image')}, none picked" if note is None else note
    if labels is not None:
        labels = texts(labels, "labels", len(images), "image")
    if row_labels is not None:
        row_labels = texts(row_labels, "row_labels", rows, "row")
    if column_labels is not None:
        column_labels = texts(column_labels, "column_labels", columns, "column")
    if alt is None:
        shape = f"{_count(rows, 'row')} of {columns}" if rows > 1 else "one row"
        alt = f"{sentence(title)} A grid of {_count(len(images), 'image')} in {shape}."
        for name, values in (
            ("Rows", row_labels),
            ("Columns", column_labels),
            ("Labels", labels if labels is not None and len(labels) <= 20 else None),
        ):
            alt += f" {name}: {', '.join(values)}." if values else ""
    with style():
        return Picture(
            draw_grid(images, columns, title, note, labels, row_labels, column_labels), alt
        )


def image_rows(
    rows: Mapping[str, Tensor],
    *,
    title: str,
    alt: str | None = None,
    labels: Sequence[object] | Tensor | None = None,
    note: str | None = None,
) -> Picture:
    """Show rows of images that belong together column by column, such as inputs and outputs.

    Args:
        rows: label to images ``[N, C, H, W]``, all of one shape (grey rows may join color rows).
        title: states the finding.
        alt: for readers who do not see it; by default the title and what the rows hold.
        labels: one above each column.
        note: small print; by default "N columns, none picked".

    Raises:
        TypeError, ValueError: no rows, or rows of different shapes.
    """
    if not isinstance(rows, Mapping) or not rows:
        raise ValueError(
            'rows is empty or no mapping; something like {"original": x, "reconstruction": y} '
            "was expected."
        )
    tiles = {name: tiles_of(x, f"rows[{name!r}]") for name, x in rows.items()}
    shapes = {name: list(x.shape[:3]) for name, x in tiles.items()}
    first, *others = shapes
    for name in others:
        if shapes[name] != shapes[first]:
            raise ValueError(
                f"The rows {first!r} and {name!r} hold {_size(shapes[first])} and "
                f"{_size(shapes[name])}; the same number of images of the same size was expected."
            )
    count = shapes[first][0]
    return image_grid(
        torch.cat([torch.from_numpy(x).permute(0, 3, 1, 2) for x in tiles.values()]),
        title=title,
        alt=alt
        or f"{sentence(title)} {_count(len(tiles), 'row')} of {count} images: {', '.join(tiles)}.",
        columns=count,
        row_labels=list(tiles),
        column_labels=labels,
        note=f"{_count(count, 'column')}, none picked" if note is None else note,
    )


def tiles_of(images: object, name: str) -> np.ndarray:
    """Check images ``[N, C, H, W]`` and return them as ``[N, H, W, 3]``."""
    check_images(images, name)
    if images.shape[1] not in (1, 3):
        raise ValueError(
            f"{name} has {images.shape[1]} channels; 1 (grey) or 3 (color) were expected."
        )
    images = images.detach().float().cpu().expand(-1, 3, -1, -1)
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def draw_grid(
    tiles: np.ndarray,
    columns: int,
    title: str,
    note: str,
    labels: list[str] | None = None,
    row_labels: list[str] | None = None,
    column_labels: list[str] | None = None,
    gap: int = 2,
) -> Figure:
    """Return the figure. One source pixel is a whole number of dots, so that none looks wider.

    Args:
        tiles: ``[N, H, W, 3]``.
        gap: between images, source pixels.
    """
    count, high, wide, _ = tiles.shape
    rows = math.ceil(count / columns)
    edges = np.concatenate([tiles[:, [0, -1]].reshape(-1), tiles[:, :, [0, -1]].reshape(-1)])
    border = 0
    if gap and edges.mean() > 0.8:  # white paper needs a line around each image
        gap = border = 1
    left = 0
    if row_labels:
        left = math.ceil(max(text_width(t, TEXT_SIZE) for t in row_labels)) + 10
    across = columns * (wide + gap) - gap + 2 * border
    zoom = _zoom(wide, across, columns, _WIDEST - 2 * PAD - left)
    under = _LINE if labels is not None else 0
    over = _LINE if column_labels is not None else 0
    pitch = (high + gap + (2 * border if under else 0)) * zoom + under  # from row to row
    height = over + rows * pitch - (0 if under else (gap - 2 * border) * zoom)
    frame = Frame(max(left + across * zoom + 2 * PAD, 400), height + PAD, title, note, layout=False)

    def text(x: float, y: float, value: str, **options: object) -> None:
        """Write at a place in CSS pixels from the top left of the middle."""
        place = x / frame.width, 1 - (frame.top + y) / frame.height
        frame.figure.text(*place, value, **{"fontsize": SMALL_SIZE, "ha": "center", **options})

    per_strip = columns if under else count  # labels come between the rows
    for start in range(0, count, per_strip):
        strip = _mosaic(tiles[start : start + per_strip], columns, gap, border)
        top = over + (start // columns) * pitch
        axes = frame.axes_at(PAD + left, top, across * zoom, strip.shape[0] * zoom)
        eight_bits = np.rint(255 * strip).astype(np.uint8)  # matplotlib would cut, not round
        axes.imshow(eight_bits, interpolation="nearest", aspect="auto")
    for i in range(count):
        row, column = divmod(i, columns)
        x = PAD + left + (border + column * (wide + gap) + wide / 2) * zoom
        y = over + row * pitch + border * zoom
        if labels is not None:
            text(x, y + (high + border) * zoom + 1, labels[i], va="top")
        if column_labels is not None and row == 0:
            text(x, over - 3, column_labels[column], va="bottom")
        if row_labels is not None and column == 0:
            x, y = PAD + left - 10, y + high * zoom / 2
            text(x, y, row_labels[row], ha="right", va="center", fontsize=TEXT_SIZE)
    return frame.figure


def _zoom(wide: int, across: int, columns: int, room: float) -> float:
    """Return CSS pixels to the source pixel: a whole number, or one half, or what fits."""
    wished = _TILE * max(1.0, 6 / columns) / wide
    zoom = math.floor(min(max(wished, 1.0), room / across))
    return zoom or min(0.5, room / across)


def _mosaic(tiles: np.ndarray, columns: int, gap: int, border: int) -> np.ndarray:
    """Lay images ``[N, H, W, 3]`` out on white, or on grey lines where there is a border."""
    count, high, wide, _ = tiles.shape
    rows = math.ceil(count / columns)
    sheet = np.ones(
        (rows * (high + gap) - gap + 2 * border, columns * (wide + gap) - gap + 2 * border, 3)
    )
    for i, tile in enumerate(tiles):
        y, x = (
            border + k * (size + gap)
            for k, size in zip(divmod(i, columns), (high, wide), strict=True)
        )
        if border:
            sheet[y - border : y + high + border, x - border : x + wide + border] = _LINE_GREY
        sheet[y : y + high, x : x + wide] = tile
    return sheet


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _size(shape: list[int]) -> str:
    return f"{shape[0]} images of {shape[1]} × {shape[2]} pixels"
