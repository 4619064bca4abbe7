"""From one image to another on a straight and on a curved path through the latents."""

from __future__ import annotations

from torch import Tensor

from course_lib import plotting
from course_lib.editing import lerp, slerp
from course_lib.plotting.values import number

from .decoding import check_decoder, codes, mean_image, prior_draws
from .live import enlarged, image, present, row, slider

_SHOWN = 9
_POINTS = 201  # of a path: the steps of the slider and of the still picture are among them


def paths(z0: Tensor, z1: Tensor) -> dict[str, Tensor]:
    """Return the straight and the turning path from ``z0`` to ``z1``, ``[201, L]`` each.

    Where no turn is singled out, between opposite codes or from zero, both are straight.
    """
    straight = lerp(z0, z1, _POINTS)
    try:
        return {"linear": straight, "spherical": slerp(z0, z1, _POINTS)}
    except ValueError:
        return {"linear": straight, "spherical": straight}


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

        self._model, self._paths, self._usual = model, paths(z0, z1), usual
        self.t = slider("t", 0.0, 0.0, 1.0, 0.01, "0 is the first image, 1 the second")
        self.path = ipywidgets.ToggleButtons(options=list(self._paths), value="linear")
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
        return self._paths[self.path.value][round(self.t.value * (_POINTS - 1))]

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
    every = (_POINTS - 1) // (_SHOWN - 1)
    shown = {name: path[::every] for name, path in paths(z0, z1).items()}
    norms = {name: z.double().norm(dim=-1).tolist() for name, z in shown.items()}
    ends = " and ".join(number(round(norms["linear"][i], 2)) for i in (0, -1))
    straight, curved = (number(round(n[_SHOWN // 2], 2)) for n in norms.values())
    return plotting.image_rows(
        {name: mean_image(model, z) for name, z in shown.items()},
        labels=[f"t = {i / (_SHOWN - 1):g}" for i in range(_SHOWN)],
        title=f"Half-way, ‖z‖ is {straight} on the straight path and {curved} on the curved one",
        note=f"E[x|z]. ‖z‖ is {ends} at the ends; a draw of the prior has {usual:.2f} on average.",
    )
