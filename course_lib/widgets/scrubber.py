"""From one image to another on a straight and on a curved path through the latents."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_lib import plotting
from course_lib.plotting.values import number

from .decoding import check_decoder, codes, mean_image, prior_draws
from .live import enlarged, image, present, row, slider

_STEPS = 9


def linear(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """Return the point at ``t`` of the straight path from ``z0: [L]`` to ``z1: [L]``."""
    return (1 - t) * z0 + t * z1


def spherical(z0: Tensor, z1: Tensor, t: float) -> Tensor:
    """Return the point at ``t`` of the path that turns from ``z0: [L]`` to ``z1: [L]`` evenly.

    Where the two directions are equal or opposite, or an end is zero, there is no plane to turn in
    and the path is the straight one.

    Source: Shoemake 1985; for latents White 2016 (arXiv 1609.04468), section 2.1.
    """
    a, b = z0.double(), z1.double()
    lengths = (a.norm() * b.norm()).item()
    angle = math.acos(max(-1.0, min(1.0, (a @ b).item() / lengths))) if lengths else 0.0
    if math.sin(angle) < 1e-4:
        return linear(z0, z1, t)
    return (math.sin((1 - t) * angle) * z0 + math.sin(t * angle) * z1) / math.sin(angle)


PATHS = {"linear": linear, "spherical": spherical}


def scrub_interpolation(model: object, x0: Tensor, x1: Tensor) -> None:
    """Slide from image ``x0`` to image ``x1`` through the latents, and watch the norm of z.

    The ends are the posterior means of the two images; shown is E[x|z]. A straight path passes
    nearer to zero than its ends, where a normal prior in many dimensions has next to no draws.
    Without somebody watching, a still picture shows both paths.

    Args:
        model: with ``prior()``, ``posterior(x)`` and ``likelihood(z)`` over images.
        x0, x1: images ``[C, H, W]`` or ``[1, C, H, W]``.

    Raises:
        TypeError, ValueError: no such model, or images of another size.
    """
    zero = check_decoder(model)
    z0, z1 = (_code(model, x, name, zero) for x, name in ((x0, "x0"), (x1, "x1")))
    usual = prior_draws(model, 2000, seed=0).double().norm(dim=-1).mean().item()
    present(_still(model, z0, z1, usual), lambda: Scrubber(model, z0, z1, usual))


class Scrubber:
    """The live form.

    Attributes:
        t, path: the slider and the choice between the paths.
        image, readout: the picture of E[x|z], as HTML, and the norm of z.
        box: all of them.
    """

    def __init__(self, model: object, z0: Tensor, z1: Tensor, usual: float) -> None:
        import ipywidgets

        self._model, self._ends, self._usual = model, (z0, z1), usual
        self.t = slider("t", 0.0, 0.0, 1.0, 0.01, "0 is the first image, 1 the second")
        self.path = ipywidgets.ToggleButtons(options=list(PATHS), value="linear")
        self.path.style.button_width = "7em"
        self.readout = ipywidgets.HTML()
        self.image = ipywidgets.HTML()
        self.box = ipywidgets.VBox([row(self.t, self.path), row(self.image, self.readout)])
        for control in (self.t, self.path):
            control.observe(lambda _: self._redraw(), "value")
        self._redraw()

    @property
    def z(self) -> Tensor:
        """What is shown, ``[L]``."""
        return PATHS[self.path.value](*self._ends, self.t.value)

    def _redraw(self) -> None:
        z = self.z
        said = f"E[x|z] at t = {self.t.value:.2f} of the {self.path.value} path"
        self.image.value = image(enlarged(mean_image(self._model, z[None])[0]), said)
        self.readout.value = (
            f"‖z‖ = {number(round(z.norm().item(), 2))}<br>"
            f"(prior: {number(round(self._usual, 2))} on average)"
        )


def _code(model: object, x: object, name: str, zero: Tensor) -> Tensor:
    """Return the posterior mean of one image, ``[L]``."""
    whole = x[None] if isinstance(x, Tensor) and x.dim() == 3 else x
    if isinstance(whole, Tensor) and whole.dim() == 4 and len(whole) != 1:
        raise ValueError(
            f"{name} holds {len(whole)} images; one image [C, H, W] was expected, such as x[0]."
        )
    return codes(model, whole, zero, name)[0]


def _still(model: object, z0: Tensor, z1: Tensor, usual: float) -> plotting.Picture:
    ts = [i / (_STEPS - 1) for i in range(_STEPS)]
    paths = {name: torch.stack([path(z0, z1, t) for t in ts]) for name, path in PATHS.items()}
    norms = {name: z.double().norm(dim=-1).tolist() for name, z in paths.items()}
    ends = " and ".join(number(round(norms["linear"][i], 2)) for i in (0, -1))
    straight, curved = (number(round(norms[name][_STEPS // 2], 2)) for name in PATHS)
    return plotting.image_rows(
        {name: mean_image(model, z) for name, z in paths.items()},
        labels=[f"t = {t:g}" for t in ts],
        title=f"Half-way, ‖z‖ is {straight} on the straight path and {curved} on the curved one",
        note=f"E[x|z]. ‖z‖ is {ends} at the ends; a draw of the prior has {usual:.2f} on average.",
    )
