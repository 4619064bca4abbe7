"""Two formulas with knobs: the KL divergence of normals, and the reparameterized draw."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from course_lib import plotting
from course_lib.evaluation import estimate
from course_lib.plotting.values import number

from .live import figure, present, row, slider

_MU, _LOGVAR = (-3.0, 3.0), (-4.0, 2.0)
_GRID = torch.linspace(-20, 20, 8001, dtype=torch.float64)


def explore_kl() -> None:
    """Move q = N(μ, σ²) against p = N(0, 1): both densities, both divergences, both integrands.

    No pair of normals is left out: a KL divergence does not change when z is shifted and scaled,
    so p can always be brought to N(0, 1). Values are exact (``torch.distributions``), in nats.
    Without somebody watching, a still picture shows q = N(1, exp(−1.5)).
    """
    start = 1.0, -1.5
    present(kl_picture(*start), lambda: Knobs(kl_picture, *start))


def explore_reparameterization() -> None:
    """Move μ and log σ² under eight fixed draws of ε: z = μ + σε, and the slopes that follow it.

    The function is the one of notebook 04, f(z) = log sigmoid(3z − 1), the log-likelihood of a
    white pixel in nats. Each draw's derivatives in μ and log σ² come from autograd, along the
    path from f through z; their means stand beside the exact derivatives of E[f(z)], which are
    integrated on a grid. Without somebody watching, a still picture shows μ = 0.5, log σ² = −0.5.
    """
    start = 0.5, -0.5
    present(path_picture(*start), lambda: Knobs(path_picture, *start))


class Knobs:
    """The live form: two sliders over a picture that is a function of them.

    Attributes:
        mu, logvar: the sliders.
        image: the picture, as HTML with its alternative text.
        box: all of them.
    """

    def __init__(
        self, draw: Callable[[float, float], plotting.Picture], mu: float, logvar: float
    ) -> None:
        import ipywidgets

        self._draw = draw
        self.mu = slider("μ", mu, *_MU, 0.05, "The mean of q")
        self.logvar = slider("log σ²", logvar, *_LOGVAR, 0.05, "The log variance of q")
        self.image = ipywidgets.HTML()
        self.box = ipywidgets.VBox([row(self.mu, self.logvar), self.image])
        for control in (self.mu, self.logvar):
            control.observe(lambda _: self._redraw(), "value")
        self._redraw()

    def _redraw(self) -> None:
        self.image.value = figure(self._draw(self.mu.value, self.logvar.value))


def kl_picture(mu: float, logvar: float) -> plotting.Picture:
    """Return densities and integrands of q = N(mu, exp logvar) and p = N(0, 1)."""
    q, p = _normal(mu, logvar), _normal(0.0, 0.0)
    reverse, forward = kl_divergence(q, p).item(), kl_divergence(p, q).item()
    reach = 5 * q.stddev.item()
    low, high = min(-6.0, mu - reach), max(6.0, mu + reach)
    z = _GRID[_GRID.ge(low) & _GRID.le(high)][::8]
    log_q, log_p = q.log_prob(z), p.log_prob(z)
    inside = log_q.exp() * (log_q - log_p), log_p.exp() * (log_p - log_q)
    peaks = [number(round(d.log_prob(d.mean).exp().item(), 2)) for d in (q, p)]
    return plotting.panels(
        [
            plotting.Panel({"q": (z, log_q.exp()), "p": (z, log_p.exp())}, "z", "density"),
            *(
                plotting.Panel(
                    {name: (z, values)},
                    "z",
                    "nats per unit of z",
                    heading=heading,
                    reference={"0": 0.0},
                )
                for name, heading, values in (
                    ("q log q/p", f"KL(q ‖ p) = {reverse:.2f} nats", inside[0]),
                    ("p log p/q", f"KL(p ‖ q) = {forward:.2f} nats", inside[1]),
                )
            ),
        ],
        title=f"One pair of densities, two divergences: {reverse:.2f} and {forward:.2f} nats",
        alt=f"One pair of densities, two divergences. Left, the bell of q around {number(mu)}, "
        f"{peaks[0]} high, and that of p around 0, "
        f"{peaks[1]} high. Middle, the integrand q log q/p, highest near "
        f"{_highest(z, inside[0])}, with the area KL(q ‖ p) = {reverse:.2f} nats. Right, the "
        f"integrand p log p/q, highest near {_highest(z, inside[1])}, with the area "
        f"KL(p ‖ q) = {forward:.2f} nats.",
        note=f"q = N({number(mu)}, σ²) with log σ² = {number(logvar)}, p = N(0, 1). "
        "A divergence is the area above zero minus the area below.",
    )


def path_picture(mu: float, logvar: float) -> plotting.Picture:
    """Return the eight draws, where they fall on f, and what each says about the gradient."""
    eps = _eps()
    parameters = [torch.full_like(eps, value).requires_grad_() for value in (mu, logvar)]
    z = parameters[0] + (0.5 * parameters[1]).exp() * eps
    slopes = torch.autograd.grad(white_pixel(z).sum(), parameters)
    exact = exact_gradient(mu, logvar)
    z, curve = z.detach(), torch.linspace(-7, 7, 141, dtype=torch.float64)
    names = "df/dμ", "df/d log σ²"
    means = [
        f"{name} {estimate(own)} (exact {truth.item():.2f})".replace("-", "−")
        for name, own, truth in zip(names, slopes, exact, strict=True)
    ]
    sigma = number(round(math.exp(0.5 * logvar), 2))
    ends = [number(round(z[i].item(), 2)) for i in (0, -1)]
    picture = plotting.panels(
        [
            plotting.Panel({"ε": (eps, eps), "z": (eps, z)}, "ε", "z", heading="z = μ + σε"),
            plotting.Panel(
                {"f": (curve, white_pixel(curve)), "draws": (z, white_pixel(z))},
                "z",
                "f(z) (nats)",
                heading="where the draws fall",
            ),
            plotting.Panel(
                {name: (eps, own) for name, own in zip(names, slopes, strict=True)},
                "ε",
                "derivative (nats)",
                heading="what each draw says",
            ),
        ],
        title=f"Eight draws: {', '.join(means)}",
        alt=f"Left, z against ε for eight fixed draws: a straight line of height {number(mu)} at "
        f"ε = 0 and slope σ = {sigma}, beside the line z = ε. Middle, f(z) = log sigmoid(3z − 1), "
        f"which rises to zero, with the draws on it from z = {ends[0]} to {ends[1]}. Right, each "
        f"draw's derivatives; their means: {', '.join(means)}.",
        note=f"Eight fixed draws of ε; μ = {number(mu)}, log σ² = {number(logvar)}, so "
        f"σ = {sigma}. f(z) = log sigmoid(3z − 1), in nats. ± one standard error.",
    )
    # The same scales for all values of the knobs, so that it is the draws that are seen to move.
    left, middle, right = picture.figure.axes
    left.set(ylim=(-8, 8), yticks=(-6, -3, 0, 3, 6))
    middle.set(xlim=(-7, 7), ylim=(-22, 1.5))
    middle.lines[1].set_linestyle("none")
    right.set(ylim=(-9, 6), yticks=(-8, -4, 0, 4))
    return picture


def white_pixel(z: Tensor) -> Tensor:
    """The function of notebook 04: the log-likelihood of a white pixel, nats."""
    return F.logsigmoid(3 * z - 1)


def exact_gradient(mu: float, logvar: float) -> tuple[Tensor, Tensor]:
    """Return the derivatives of E[f(z)] in mu and logvar, by integration on a grid."""
    parameters = [
        torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (mu, logvar)
    ]
    q = Normal(parameters[0], (0.5 * parameters[1]).exp())
    expected = torch.trapezoid(q.log_prob(_GRID).exp() * white_pixel(_GRID), _GRID)
    return torch.autograd.grad(expected, parameters)


def _normal(mu: float, logvar: float) -> Normal:
    mean, log_variance = torch.tensor([mu, logvar], dtype=torch.float64)
    return Normal(mean, (0.5 * log_variance).exp())


def _highest(z: Tensor, values: Tensor) -> str:
    return number(round(z[values.argmax()].item(), 1))


def _eps() -> Tensor:
    """The eight draws, always the same, in rising order."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(8, generator=generator, dtype=torch.float64).sort().values
