"""The frame of every figure: its size, its title above, its legend and its small print below."""

from __future__ import annotations

import math
import re
import textwrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .style import CSS_DPI, PAD, SMALL_SIZE, SOFT, TITLE_SIZE, check_text, style

_LINE = 1.35  # line height in units of the font size
_LEGEND = 22  # CSS pixels for a legend


class Frame:
    """A blank figure with its title above and its note below; the middle is left to the caller.

    Args:
        width: of the whole figure, CSS pixels.
        height: of the middle, CSS pixels; title and note come on top of it.
        title: states the finding; broken into lines where it is long.
        note: one line of small print, such as how many images were drawn; may be empty.
        layout: let matplotlib place axes in the middle (False: the caller places them itself).
        legend: leave room for a line of :meth:`legend` between the middle and the note.

    Attributes:
        figure: the ``matplotlib.figure.Figure``.
        top, bottom: heights taken by the title and the note, CSS pixels.
    """

    def __init__(
        self,
        width: float,
        height: float,
        title: str,
        note: str = "",
        *,
        layout: bool = True,
        legend: bool = False,
    ) -> None:
        inner = width - 2 * PAD
        title = wrap(check_text(title, "title"), inner, TITLE_SIZE, "bold")
        note = wrap(note.strip(), inner, SMALL_SIZE)
        point = CSS_DPI / 72
        self.top = PAD + 4 + math.ceil((title.count("\n") + 1) * TITLE_SIZE * point * _LINE)
        self.bottom = PAD
        if note:
            self.bottom += math.ceil((note.count("\n") + 1) * SMALL_SIZE * point * _LINE)
        self._legend_at = self.bottom
        self.bottom += _LEGEND if legend else 0
        self.width, self.height = math.ceil(width), math.ceil(height + self.top + self.bottom)
        self.figure = Figure(
            figsize=(self.width / CSS_DPI, self.height / CSS_DPI),
            dpi=2 * CSS_DPI,
            layout="constrained" if layout else None,
        )
        FigureCanvasAgg(self.figure)
        self.figure.text(
            PAD / self.width,
            1 - PAD / self.height,
            title,
            fontsize=TITLE_SIZE,
            fontweight="bold",
            va="top",
            linespacing=_LINE - 0.1,
            in_layout=False,
        )
        if note:
            self.figure.text(
                PAD / self.width,
                PAD / self.height,
                note,
                fontsize=SMALL_SIZE,
                color=SOFT,
                va="bottom",
                linespacing=_LINE - 0.1,
                in_layout=False,
            )
        if layout:
            self.figure.get_layout_engine().set(
                rect=(0, self.bottom / self.height, 1, 1 - (self.top + self.bottom) / self.height),
                w_pad=PAD / CSS_DPI,
                h_pad=PAD / 2 / CSS_DPI,
                wspace=0.03,
                hspace=0.03,
            )

    def axes_at(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return bare axes at a place in CSS pixels, measured from the top left of the middle."""
        axes = self.figure.add_axes(
            (
                left / self.width,
                1 - (self.top + top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )
        axes.set_axis_off()
        return axes

    def legend(self, axes: Axes) -> None:
        """Name the lines and bars of ``axes`` in one row below the middle."""
        handles, names = axes.get_legend_handles_labels()
        self.figure.legend(
            handles,
            names,
            loc="lower center",
            bbox_to_anchor=(0.5, self._legend_at / self.height),
            ncols=len(names),
            borderaxespad=0,
            borderpad=0.2,
        ).set_in_layout(False)

    def settle(self) -> None:
        """Lay the figure out once and for all, so that every later drawing of it is the same."""
        for _ in range(2):
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")


def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line of text, CSS pixels, as drawn at two dots to the pixel."""
    with style():
        figure = Figure(dpi=2 * CSS_DPI)
        canvas = FigureCanvasAgg(figure)
        artist = figure.text(0, 0, text, fontsize=size, fontweight=weight)
        return artist.get_window_extent(canvas.get_renderer()).width / 2


def wrap(text: str, width: float, size: float, weight: str = "normal") -> str:
    """Break ``text`` into lines of at most ``width`` CSS pixels."""
    if text_width(text, size, weight) <= width:
        return text

    whole = re.sub(r"\$[^$]*\$", lambda formula: formula[0].replace(" ", "\0"), text)

    def broken(letters: int) -> list[str]:
        lines = textwrap.wrap(whole, letters, break_long_words=False, break_on_hyphens=False)
        return [line.replace("\0", " ") for line in lines]

    def fits(lines: list[str]) -> bool:
        return all(text_width(line, size, weight) <= width for line in lines)

    letters = len(text)
    while letters > 12 and not fits(broken(letters)):
        letters -= 1
    best = broken(letters)
    while letters > 12 and len(broken(letters - 1)) == len(best):  # lines of about equal length
        letters -= 1
    return "\n".join(broken(letters))
