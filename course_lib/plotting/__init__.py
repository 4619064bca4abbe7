"""Every figure of the notebooks.

Each function returns a :class:`Picture`, which a notebook shows as a PNG with alternative text and
which ``.save(path)`` writes to a file. A title states what the figure shows.
"""

from .bars import bars
from .curves import lines, panels
from .densities import density
from .heatmaps import heatmap
from .histograms import histogram
from .images import image_grid, image_rows
from .latents import latent_map, manifold
from .picture import Picture
from .series import Panel
from .style import CLASS_COLORS, COLORS
from .surfaces import surface
from .training_runs import LiveHistory, history, live_history

__all__ = [
    "CLASS_COLORS",
    "COLORS",
    "LiveHistory",
    "Panel",
    "Picture",
    "bars",
    "density",
    "heatmap",
    "histogram",
    "history",
    "image_grid",
    "image_rows",
    "latent_map",
    "lines",
    "live_history",
    "manifold",
    "panels",
    "surface",
]
