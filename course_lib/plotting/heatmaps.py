"""Tables as colors."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import Normalize, TwoSlopeNorm
from torch import Tensor

from .densities import DENSITY_MAP
from .frame import Frame
from .picture import Picture
from .style import INK, SMALL_SIZE, WIDTH, check_text, style
from .values import array, number, sentence, texts

_BOTH_MAP = matplotlib.colormaps["RdBu_r"].resampled(25)


def heatmap(
    values: Tensor,
    *,
    xlabel: str,
    ylabel: str,
    value_label: str,
    title: str,
    alt: str | None = None,
    row_labels: Sequence[object] | None = None,
    column_labels: Sequence[object] | None = None,
    limits: tuple[float, float] | None = None,
    note: str = "",
) -> Picture:
    """Draw a table as colors, with its numbers where they fit.

    Values of both signs get a scale of two colors that is white at zero.

    Args:
        values: ``[R, C]``; row 0 is at the top.
        xlabel, ylabel: what the columns and rows are.
        value_label: what the colors measure, with its unit.
        title: states the finding.
        alt: for readers who do not see it; by default the title and the extreme values.
        row_labels, column_labels: one for each row and column; by default their numbers.
        limits: ends of the color scale; by default those of the data.
        note: small print.

    Raises:
        TypeError, ValueError: not two axes, values that are not finite, a wrong number of labels.
    """
    for text, name in ((xlabel, "xlabel"), (ylabel, "ylabel"), (value_label, "value_label")):
        check_text(text, name)
    data = array(values, "values", dims=2)
    rows, columns = data.shape
    left = texts(range(rows) if row_labels is None else row_labels, "row_labels", rows, "row")
    names = range(columns) if column_labels is None else column_labels
    below = texts(names, "column_labels", columns, "column")
    low, high = limits or (data.min(), data.max())
    both = low < 0 < high
    if both and limits is None:
        low, high = -max(-low, high), max(-low, high)
    if low == high:
        low, high = low - 0.5, high + 0.5
    # Ends that are not equally far from zero: white stays there, and each side has its own step.
    norm = TwoSlopeNorm(0, low, high) if both and low != -high else Normalize(low, high)
    numbers = [[number(float(f"{v:.3g}")) for v in row] for row in data]
    longest = max(len(text) for row in numbers for text in row)
    write = columns * (longest * 7 + 6) < WIDTH - 160 and rows <= 30
    cell = min(max(26, 380 / rows), 44) if write else min(max(6, 420 / rows), 26)
    with style():
        frame = Frame(WIDTH, max(160, rows * cell + 70), title, note)
        axes = frame.figure.subplots()
        shown = axes.imshow(data, cmap=_BOTH_MAP if both else DENSITY_MAP, norm=norm, aspect="auto")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        every = max(1, -(-columns * max(map(len, below)) * 8 // (WIDTH - 160)))
        axes.set_xticks(range(0, columns, every), below[::every])
        every = max(1, int(-(-14 // cell)))
        axes.set_yticks(range(0, rows, every), left[::every])
        axes.grid(False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        if write:
            for (r, c), v in np.ndenumerate(data):
                red, green, blue, _ = shown.cmap(shown.norm(v))
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
                axes.text(
                    c, r, numbers[r][c], ha="center", va="center", fontsize=SMALL_SIZE,
                    color="white" if dark else INK,
                )  # fmt: skip
        bar = frame.figure.colorbar(shown, ax=axes, pad=0.02, aspect=25)
        bar.set_label(value_label)
        bar.outline.set_visible(False)
        frame.settle()
    if alt is None:
        alt = f"{sentence(title)} Table of colors, {rows} by {columns}: "
        alt += f"{value_label} by {ylabel} and {xlabel}."
        for what, place in (("highest", data.argmax()), ("lowest", data.argmin())):
            r, c = divmod(int(place), columns)
            alt += f" The {what} is {number(data[r, c])} at {left[r]}, {below[c]}."
    return Picture(frame.figure, alt)
