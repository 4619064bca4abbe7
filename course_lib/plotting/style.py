"""The look that all figures share: colors, fonts and sizes.

Sizes are in CSS pixels, 96 to the inch, so a 10 pt font in the code is 10 pt on the screen. Nothing
here touches matplotlib's global settings: figures are built and drawn inside :func:`style`.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import matplotlib.style
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter

CSS_DPI = 96
WIDTH = 680  # CSS pixels: fits the output area of a notebook on a small laptop

# Okabe and Ito (2008), "Color universal design", without the yellow that is lost on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5A5A5A")
# Tol (2021), "Colour schemes", the muted set: ten classes that color-blind readers can tell apart.
CLASS_COLORS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#DDCC77",
    "#88CCEE",
    "#882255",
    "#44AA99",
    "#999933",
    "#AA4499",
    "#888888",
)
INK, SOFT, FAINT = "#222222", "#555555", "#D8D8D8"
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 11.5, 10.0, 9.0
PAD = 8  # CSS pixels around a figure

_RC = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters on every machine
    "font.size": TEXT_SIZE,
    "axes.titlesize": TEXT_SIZE,
    "axes.labelsize": TEXT_SIZE,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "legend.fontsize": SMALL_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "image.interpolation": "nearest",
    "axes.formatter.useoffset": False,
    "svg.hashsalt": "course",
    "svg.fonttype": "path",
}


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are built and drawn: matplotlib's defaults, then ours."""
    return matplotlib.style.context(["default", _RC])


def check_text(value: object, name: str) -> str:
    """Return ``value`` stripped; raise unless it is a text that says something."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {value!r}; a text that is not empty was expected.")
    return value.strip()


def ink(color: str) -> str:
    """Return ``color`` darkened until it is legible as text on white (WCAG contrast 4.5)."""

    def luminance(rgb: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    rgb = to_rgb(color)
    while 1.05 / (luminance(rgb) + 0.05) < 4.5:
        rgb = tuple(0.95 * c for c in rgb)
    return to_hex(rgb)


def halo(width: float = 2.5) -> list[withStroke]:
    """Return path effects that set a text off from what lies under it."""
    return [withStroke(linewidth=width, foreground="white")]


def plain_log(axis: Axis) -> None:
    """Write 1, 10, 100 on a logarithmic axis where powers of ten would say no more."""
    axis.set_major_formatter(FuncFormatter(_plain_power))


def _plain_power(value: float, _position: int | None = None) -> str:
    if 0.9e-3 <= value <= 1.1e5:
        return f"{value:,.0f}" if value >= 1 else f"{value:g}"
    return f"$10^{{{round(math.log10(value))}}}$" if value > 0 else ""
