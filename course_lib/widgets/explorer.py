"""A walk through the latents of a trained model: E[x|z] while z is moved."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import plotting
from course_lib.errors import check_seed
from course_lib.plotting.values import number
from course_lib.randomness import seeded

from .decoding import check_decoder, codes, mean_image, prior_device, prior_draws
from .live import enlarged, image, present, row, slider
from .pad import Pad

_MOST = 12  # sliders
_ROWS = 6  # of the still picture
_STEPS = 9  # images in a row of it
_IMAGES = 2000  # at most, to find the active latents
_ACTIVE = 0.01  # as in course_lib.evaluation.active_units
_DOTS = 200  # images marked on the pad


class _Space(NamedTuple):
    """What is known of the latents before anything is shown."""

    zero: Tensor  # [L]
    mu: Tensor  # [N, L], codes of the images
    activity: list[float]  # Var_x of mu for each latent
    shown: list[int]  # latents, most active first
    low: list[float]  # range of each latent
    high: list[float]
    norm: float  # mean length of z under the prior


def explore_latents(model: object, x: Tensor | None = None, *, seed: int = 0) -> None:
    """Move z by hand and see E[x|z]: a pad over the two most active latents, a slider for each.

    A latent counts as active where its posterior mean has a variance above 0.01 over the images;
    at most twelve are shown, the most active first. The ranges hold the prior up to three standard
    deviations. Without somebody watching, a still picture shows what each latent does.

    Args:
        model: with ``prior()``, ``posterior(x)`` and ``likelihood(z)`` over images.
        x: held-out images ``[N, C, H, W]``, of which the first 2,000 are encoded; by default 500
            images drawn from the model.
        seed: of the images drawn and of the button "random".

    Raises:
        TypeError, ValueError: no such model, images of another size, or fewer than two.
    """
    seed = check_seed(seed)
    space = _space(model, x, seed)
    present(_still(model, space, x is None), lambda: Explorer(model, space, seed))


class Explorer:
    """The live form.

    Attributes:
        z: what is shown, ``[L]``.
        sliders: latent to its slider.
        pad: None for a model of one latent.
        image, readout: the picture of E[x|z], as HTML, and what is said about z.
        random, zero: the buttons.
        box: all of them.
    """

    def __init__(self, model: object, space: _Space, seed: int) -> None:
        import ipywidgets

        self._model, self._space, self._seed = model, space, seed
        self._draws, self._quiet = 0, False
        self.z = space.zero.clone()
        self.sliders = {}
        for latent in space.shown:
            said = f"z[{latent}]; its posterior mean has variance {space.activity[latent]:.2f}"
            control = slider(f"z[{latent}]", 0.0, space.low[latent], space.high[latent], 0.05, said)
            control.observe(lambda change, k=latent: self._slid(k, change["new"]), "value")
            self.sliders[latent] = control
        self.random = ipywidgets.Button(description="random", tooltip="Draw z from the prior")
        self.zero = ipywidgets.Button(description="zero", tooltip="Set all latents to zero")
        self.random.on_click(lambda _: self.show(self._draw()))
        self.zero.on_click(lambda _: self.show(space.zero))
        self.readout = ipywidgets.HTML()
        self.pad = self._make_pad() if len(space.shown) > 1 else None
        self.image = ipywidgets.HTML()
        beside = ipywidgets.VBox([self.random, self.zero, self.readout])
        top = [self.pad.box] if self.pad else []
        self.box = ipywidgets.VBox([row(*top, self.image, beside), row(*self.sliders.values())])
        self._redraw()

    def show(self, z: Tensor) -> None:
        """Move everything to ``z: [L]``; a slider grows where it must to hold its value."""
        self.z = z.clone()
        self._quiet = True
        for latent, control in self.sliders.items():
            value = z[latent].item()
            control.min, control.max = min(control.min, value), max(control.max, value)
            control.value = value
        self._quiet = False
        self._redraw()

    def _slid(self, latent: int, value: float) -> None:
        if not self._quiet:
            self.z[latent] = value
            self._redraw()

    def _dragged(self, x: float, y: float) -> None:
        z = self.z.clone()
        for latent, share in zip(self._space.shown[:2], (x, y), strict=True):
            low, high = self._space.low[latent], self._space.high[latent]
            z[latent] = low + share * (high - low)
        self.show(z)

    def _draw(self) -> Tensor:
        self._draws += 1
        return prior_draws(self._model, 1, (self._seed + self._draws) % 2**63)[0]

    def _redraw(self) -> None:
        at = ", ".join(f"z[{k}] = {self.z[k].item():.2f}" for k in self.sliders)
        png = enlarged(mean_image(self._model, self.z[None])[0])
        self.image.value = image(png, f"E[x|z] at {at}")
        self._tell()

    @torch.no_grad()
    def _tell(self) -> None:
        log_pz = self._model.prior().log_prob(self.z).item()
        self.readout.value = (
            f"‖z‖ = {number(round(self.z.norm().item(), 2))} "
            f"(prior: {number(round(self._space.norm, 2))} on average)<br>"
            f"log p(z) = {number(round(log_pz, 2))} nats"
        )
        if self.pad:
            a, b = self._space.shown[:2]
            self.pad.put(self._share(a, self.z[a].item()), self._share(b, self.z[b].item()))

    def _share(self, latent: int, value: float) -> float:
        """How far along the pad a value lies, from 0 to 1."""
        low, high = self._space.low[latent], self._space.high[latent]
        return (value - low) / (high - low)

    def _make_pad(self) -> Pad:
        a, b = self._space.shown[:2]
        points = [
            (self._share(a, x), self._share(b, y))
            for x, y in self._space.mu[:_DOTS, [a, b]].tolist()
        ]
        zero = self._share(a, 0.0), self._share(b, 0.0)
        return Pad((f"z[{a}]", f"z[{b}]"), points, zero, self._dragged)


@torch.no_grad()
def _space(model: object, x: Tensor | None, seed: int) -> _Space:
    zero = check_decoder(model)
    draws = prior_draws(model, _IMAGES, seed)
    if x is None:
        with seeded(seed, prior_device(model)):
            x = model.likelihood(draws[:500]).sample().clamp(0, 1)
    mu = codes(model, x[:_IMAGES], zero) if isinstance(x, Tensor) else codes(model, x, zero)
    if len(mu) < 2:
        raise ValueError(
            "x holds one image; at least two were expected, because a latent is active where its "
            "posterior mean differs between images."
        )
    activity = mu.double().var(0)
    order = activity.argsort(descending=True).tolist()
    shown = [k for k in order if activity[k] > _ACTIVE][:_MOST]
    if len(shown) < 2:
        shown = order[:2]
    # In steps of one half: exactly -3 and 3 for a standard normal prior.
    middle, spread = draws.double().mean(0), draws.double().std(0)
    low = ((middle - 3 * spread) * 2).round().div(2).clamp(max=0)
    high = ((middle + 3 * spread) * 2).round().div(2).clamp(min=0)
    flat = low == high
    low, high = torch.where(flat, -0.5, low), torch.where(flat, 0.5, high)
    norm = draws.double().norm(dim=-1).mean().item()
    return _Space(zero, mu, activity.tolist(), shown, low.tolist(), high.tolist(), norm)


def _still(model: object, space: _Space, drawn: bool) -> plotting.Picture:
    """Return the picture: each row turns one latent through its range, the others at zero."""
    latents = space.shown[:_ROWS]
    z = space.zero.repeat(len(latents), _STEPS, 1)
    for i, k in enumerate(latents):
        z[i, :, k] = torch.linspace(space.low[k], space.high[k], _STEPS)
    active = sum(a > _ACTIVE for a in space.activity)
    names = [f"z[{k}]: {number(space.low[k])} to {number(space.high[k])}" for k in latents]
    variances = ", ".join(number(round(space.activity[k], 2)) for k in latents)
    over = f"{len(space.mu):,} images" + (" drawn from the model" if drawn else "")
    return plotting.image_grid(
        mean_image(model, z.flatten(0, 1)),
        columns=_STEPS,
        row_labels=names,
        title=f"{active} of {len(space.activity)} latents are active; each row turns one of them",
        note=f"E[x|z] with all other latents at zero. Variance of the posterior mean over {over}, "
        f"row by row: {variances}.",
    )
