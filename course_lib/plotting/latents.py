"""Maps of a two-dimensional latent space: where the encoder goes, and what the decoder answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from torch import Tensor
from torch.distributions import Independent, Normal

from course_lib.errors import check_whole
from course_lib.evaluation.likelihood import device_of

from .frame import Frame
from .images import SCALES, draw_grid, tiles_of
from .picture import Picture
from .scatter import dots, place, shown
from .style import CLASS_COLORS, SMALL_SIZE, SOFT, TITLE_SIZE, halo, ink, style
from .values import points, sentence

_APART = 17  # points between the names of two classes


def latent_map(
    mu: Tensor,
    labels: Tensor | Sequence[int] | None = None,
    *,
    title: str,
    alt: str | None = None,
    classes: Sequence[str] | None = None,
    xlabel: str = "z₁ (posterior mean)",
    ylabel: str = "z₂ (posterior mean)",
    prior: bool = True,
    note: str | None = None,
) -> Picture:
    """Show where the encoder puts images: a dot for each, the name of each class at its middle.

    Args:
        mu: ``[N, 2]`` posterior means.
        labels: ``[N]`` whole numbers from 0; without them all dots look alike.
        title: states the finding.
        alt: for readers who do not see it; by default the title and the middle of each class.
        classes: names of the classes; by default their numbers.
        xlabel, ylabel: the names of the axes.
        prior: draw circles that hold 50 % and 95 % of a standard normal prior.
        note: small print; by default the number of images.

    Raises:
        TypeError, ValueError: other shapes, labels that are no whole numbers, too few classes.
    """
    mu = points(mu, "mu")
    kinds = _labels(labels, len(mu))
    names = list(map(str, range(kinds.max() + 1))) if classes is None else list(map(str, classes))
    if kinds.max() >= len(names):
        raise ValueError(
            f"labels go up to {kinds.max()}, but classes names only {len(names)}; "
            "a name for each class was expected."
        )
    present = np.unique(kinds) if labels is not None else []
    middles = {int(k): np.median(mu[kinds == k], axis=0) for k in present}
    with style():
        frame = Frame(560, 500, title, shown(len(mu), "image") if note is None else note)
        axes = frame.figure.subplots()
        if prior:
            _circles(axes)
        dots(axes, mu, CLASS_COLORS, kinds, size=7)
        axes.set(aspect="equal", xlabel=xlabel, ylabel=ylabel)
        axes.set_adjustable("datalim")
        axes.grid(False)
        frame.settle()
        for (k, middle), away in zip(middles.items(), _apart(axes, middles), strict=True):
            color = ink(CLASS_COLORS[k % len(CLASS_COLORS)])
            axes.annotate(
                names[k], middle, away, textcoords="offset points", fontsize=TITLE_SIZE + 2,
                fontweight="bold", ha="center", va="center", color=color, path_effects=halo(4),
                zorder=6,
                arrowprops={"arrowstyle": "-", "color": color, "shrinkA": 6, "shrinkB": 0},
            )  # fmt: skip
    if alt is None:
        alt = f"{sentence(title)} Scatter plot of {len(mu)} images over {xlabel} and {ylabel}."
        places = [f"{names[k]} at {place(*middle)}" for k, middle in middles.items()]
        alt += f" Middles of the classes: {', '.join(places)}." if places else ""
    return Picture(frame.figure, alt)


@torch.no_grad()
def manifold(
    model: object,
    *,
    title: str,
    alt: str | None = None,
    steps: int = 11,
    note: str | None = None,
) -> Picture:
    """Show what a two-dimensional latent space decodes to, at equal quantiles of the prior.

    The first latent grows to the right, the second upwards. Shown are decoder means, not draws.

    Args:
        model: with ``prior()``, two independent standard normals, and
            ``mean_image(z) -> [B, C, H, W]``.
        title: states the finding.
        alt: for readers who do not see it.
        steps: images along each side; an odd number has the decoding of zero in the middle.

    Raises:
        ValueError: the latent space is not two-dimensional, or its prior no standard normal.
    """
    steps = check_whole(steps, "steps")
    prior = model.prior()
    latent = list(prior.event_shape)
    if latent != [2]:
        raise ValueError(
            f"The model's prior has event shape {latent}; a latent space of two dimensions was "
            "expected. Train one with latent_dim=2."
        )
    standard = isinstance(prior, Independent) and isinstance(prior.base_dist, Normal)
    if not (standard and (prior.mean == 0).all() and (prior.stddev == 1).all()):
        raise ValueError(
            f"The model's prior ({type(prior).__name__}) is no standard normal, at whose quantiles "
            "the images stand; Independent(Normal(0, 1), 1) was expected. Decode points of your "
            "own with model.mean_image(z) and show them with image_grid."
        )
    levels = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    quantile = torch.special.ndtri(levels)
    z2, z1 = torch.meshgrid(quantile.flip(0), quantile, indexing="ij")
    z = torch.stack([z1, z2], -1).reshape(-1, 2)
    dtype = next((p.dtype for p in getattr(model, "parameters", list)()), torch.get_default_dtype())
    images = model.mean_image(z.to(device_of(model, z), dtype))
    span = f"{quantile[-1]:.1f}"
    if note is None:
        note = (
            f"{steps} × {steps} decoder means at equal quantiles of the prior: "
            f"z₁ from −{span} (left) to {span} (right), z₂ from −{span} (bottom) to {span} (top)"
        )
    tiles = tiles_of(images, "model.mean_image(z)")
    with style():
        figure = draw_grid(tiles, steps, title, note, gap=0)
    return Picture(figure, alt or f"{sentence(title)} A grid of {note}.", SCALES)


def _labels(labels: object, count: int) -> np.ndarray:
    if labels is None:
        return np.zeros(count, dtype=int)
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.shape != (count,):
        raise ValueError(
            f"labels has shape {list(values.shape)}; one for each of {count} points was expected."
        )
    if values.dtype.kind not in "iu" or values.min() < 0:
        raise ValueError("labels must be whole numbers from 0 up, such as int64 class labels.")
    return values.astype(int)


def _apart(axes: Axes, middles: Mapping[int, np.ndarray]) -> np.ndarray:
    """Return, in points, how far to move each name until none covers another, ``[K, 2]``."""
    if not middles:
        return np.zeros((0, 2))
    start = axes.transData.transform(np.array(list(middles.values()))) * 72 / axes.figure.dpi
    at = start.copy()
    for _ in range(300):
        gap = at[:, None] - at[None]
        distance = np.hypot(gap[..., 0], gap[..., 1]) + 1e-9
        push = np.clip(_APART - distance, 0, None)
        np.fill_diagonal(push, 0)
        if not push.any():
            break
        at = at + 0.25 * (gap / distance[..., None] * push[..., None]).sum(1)
    return at - start


def _circles(axes: Axes) -> None:
    for share, radius in (("50 %", 1.1774), ("95 %", 2.4477)):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor=SOFT, linestyle="--", zorder=4))
        axes.text(
            0, -radius, f"{share} of the prior", ha="center", va="center", fontsize=SMALL_SIZE,
            color=SOFT, path_effects=halo(3), zorder=5,
        )  # fmt: skip
