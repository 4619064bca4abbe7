"""Models trained with different weights of the rate, side by side on one slider."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from course_lib import plotting
from course_lib.errors import check_number
from course_lib.evaluation.likelihood import Estimate, estimate, evaluate
from course_lib.plotting.values import number

from .decoding import check_decoder, codes, mean_image, prior_draws
from .live import enlarged, image, present, row

_COLUMNS = 8
_MOST = 5  # models in the still picture
_SIDE = 560  # of a strip of images, CSS pixels


class Entry(NamedTuple):
    """What one model makes of the images; rate and distortion in nats per image."""

    reconstructions: Tensor  # [n, C, H, W]
    samples: Tensor  # [8, C, H, W]
    rate: Estimate
    distortion: Estimate

    def __str__(self) -> str:
        return f"rate {self.rate}, distortion {self.distortion}"


def explore_beta(models: Mapping[float, object], x: Tensor) -> None:
    """Slide through β: what each model makes of the images, and what it makes up.

    Reconstructions are E[x|z] at the posterior mean, samples E[x|z] at draws of the prior. Rate and
    distortion are means over all of ``x`` with their standard errors, one draw of z for each
    image; all is computed when this is called. Without somebody watching, a still picture shows
    at most five of the models.

    Args:
        models: β to a model that was trained with it, all for images of one size.
        x: held-out images ``[N, C, H, W]``, at least two; the first eight are shown. Binary where
            the likelihood is.

    Raises:
        TypeError, ValueError: no models, a β that is no number from 0 up, a value that is no
            model, or images of another size.
    """
    entries = _entries(models, x)
    present(_still(entries, x), lambda: Betas(entries, x))


class Betas:
    """The live form.

    Attributes:
        beta: the slider over the models.
        reconstructions, samples: strips of images, as HTML.
        readout: rate and distortion.
        box: all of them.
    """

    def __init__(self, entries: dict[float, Entry], x: Tensor) -> None:
        import ipywidgets

        self._entries = entries
        options = [(number(beta), beta) for beta in entries]
        self.beta = ipywidgets.SelectionSlider(
            options=options, value=options[0][1], description="β", continuous_update=True
        )
        shown = ipywidgets.HTML(image(strip(x[:_COLUMNS]), "Held-out images"))
        self.reconstructions, self.samples, self.readout = (ipywidgets.HTML() for _ in range(3))
        lines = {"images": shown, "reconstructions": self.reconstructions, "samples": self.samples}
        self.box = ipywidgets.VBox(
            [
                row(self.beta, self.readout),
                *(
                    ipywidgets.HBox([ipywidgets.Label(name, layout={"width": "110px"}), widget])
                    for name, widget in lines.items()
                ),
            ]
        )
        self.beta.observe(lambda _: self._redraw(), "value")
        self._redraw()

    def _redraw(self) -> None:
        beta = self.beta.value
        entry, at = self._entries[beta], f"β = {number(beta)}"
        self.reconstructions.value = image(strip(entry.reconstructions), f"Reconstructions at {at}")
        self.samples.value = image(strip(entry.samples), f"Samples at {at}")
        self.readout.value = f"{at}: {entry} nats per image"


def strip(images: Tensor) -> bytes:
    """Return images ``[N, C, H, W]`` side by side as a PNG."""
    gap = torch.nn.functional.pad(images.detach().float().cpu(), (0, 1), value=1.0)
    return enlarged(torch.cat(list(gap), -1)[..., :-1], _SIDE)


@torch.no_grad()
def _entries(models: object, x: Tensor) -> dict[float, Entry]:
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            "models is empty or no mapping; something like {1.0: model, 4.0: another} was "
            "expected, each trained with that weight of the rate."
        )
    by_beta = {
        check_number(beta, "A β in models", lambda b: b >= 0, "a number from 0 up"): model
        for beta, model in models.items()
    }
    entries = {}
    for beta, model in sorted(by_beta.items(), key=lambda item: item[0]):
        zero = check_decoder(model, f"models[{beta:g}]")
        codes_x = codes(model, x[:_COLUMNS] if isinstance(x, Tensor) and x.dim() else x, zero)
        report = evaluate(model, x, num_samples=1)
        entries[beta] = Entry(
            mean_image(model, codes_x),
            mean_image(model, prior_draws(model, _COLUMNS, seed=0)),
            estimate(report.rate),
            estimate(report.distortion),
        )
    return entries


def _still(entries: dict[float, Entry], x: Tensor) -> plotting.Picture:
    betas = list(entries)
    if len(betas) > _MOST:  # evenly, and both ends
        betas = [betas[round(i * (len(betas) - 1) / (_MOST - 1))] for i in range(_MOST)]
    rows = {"images": x[:_COLUMNS]}
    columns = len(rows["images"])
    for beta in betas:
        rows[f"β = {number(beta)}, reconstructions"] = entries[beta].reconstructions
        rows[f"β = {number(beta)}, samples"] = entries[beta].samples[:columns]
    said = "; ".join(f"β = {number(beta)}: {entries[beta]}" for beta in betas)
    low, high = (f"{entries[b].rate.mean:.1f}" for b in (betas[0], betas[-1]))
    title = f"β = {number(betas[0])}: a rate of {low} nats per image"
    if len(betas) > 1:
        title = (
            f"From β = {number(betas[0])} to {number(betas[-1])} the rate goes from {low} to "
            f"{high} nats per image"
        )
    return plotting.image_rows(
        rows,
        title=title,
        alt=f"{title}. Rows of {columns} images: {', '.join(rows)}. {said}, in nats per image.",
        note=f"{said} (nats per image). None picked.",
    )
