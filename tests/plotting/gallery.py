"""One of every figure, with long texts and awkward data, for the tests that hold for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from course_lib import plotting
from course_lib.plotting import Picture

LONG = "A title that states the finding at such length that it needs a second line to say it all"


class Decoder:
    """A model with a two-dimensional latent space whose images are blobs that follow z."""

    def __init__(self, latent_dim: int = 2) -> None:
        self.latent_dim = latent_dim

    def prior(self) -> Independent:
        return Independent(Normal(torch.zeros(self.latent_dim), 1.0), 1)

    def mean_image(self, z: Tensor) -> Tensor:
        at = torch.linspace(-2.5, 2.5, 28)
        x, y = z[:, 0, None, None], -z[:, 1, None, None]
        return torch.exp(-(((at[None, None] - x) ** 2) + (at[None, :, None] - y) ** 2))[:, None]


def blobs(count: int, channels: int = 1, size: int = 28, seed: int = 0) -> Tensor:
    """Return images of one soft spot each, ``[count, channels, size, size]``."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, count, 1, 1, generator=generator) * 2 - 1
    at = torch.linspace(-1, 1, size)
    images = torch.exp(-12 * ((at[None, None] - x) ** 2 + (at[None, :, None] - y) ** 2))[:, None]
    return images * torch.rand(count, channels, 1, 1, generator=generator)


def ring() -> MixtureSameFamily:
    """Return five normals on a circle."""
    angle = torch.arange(5) * 2 * math.pi / 5
    middle = 2 * torch.stack([angle.cos(), angle.sin()], -1)
    return MixtureSameFamily(
        Categorical(torch.ones(5)), Independent(Normal(middle, torch.tensor(0.3)), 1)
    )


def rows(epochs: int, *, validation: bool = True) -> list[dict]:
    """Return a history as training.fit makes it."""
    return [
        {
            "epoch": epoch,
            "beta": min(1.0, epoch / 3),
            "lr": 1e-3,
            "train_distortion": 80 + 60 / epoch,
            "train_rate": 20 + epoch / 2,
            "valid_distortion": 82 + 55 / epoch if validation else None,
            "valid_rate": 20.5 + epoch / 2 if validation else None,
            "seconds": 1.0,
        }
        for epoch in range(1, epochs + 1)
    ]


def _lines() -> Picture:
    k = torch.tensor([1, 2, 4, 8, 16, 32, 64])
    bound = -94 - 6 / k.sqrt()
    series = {
        "ELBO": (k, torch.full((7,), -100.0), torch.full((7,), 0.3)),
        "IWAE-k with a long name": (k, bound, torch.full((7,), 0.3)),
        "IWAE-k, best q": (k, bound + 0.05),
    }
    return plotting.lines(
        series, xlabel="importance samples k", ylabel="bound (nats per image)", title=LONG,
        logx=True, reference={"exact log p(x)": -93.9}, vertical={"published": 8},
    )  # fmt: skip


def _panels() -> Picture:
    latents = [1, 10, 100]
    parts = [
        plotting.Panel(
            {"pathwise": (latents, [a, a, a]), "score": (latents, [a, 10 * a, 100 * a])},
            "latents L", "variance", heading=f"{int(1 / a)} samples", logx=True, logy=True,
        )
        for a in (1.0, 0.1, 0.01)
    ]  # fmt: skip
    return plotting.panels(parts, title=LONG, sharey=True, note="Over 100 runs.")


def _latent_map() -> Picture:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5000) % 10
    mu = torch.randn(5000, 2, generator=generator) * 0.4
    mu = mu + torch.stack([labels % 4, labels % 3], -1) * 0.6 - 0.8
    return plotting.latent_map(mu, labels, title="Ten classes in two dimensions")


def _histogram() -> Picture:
    generator = torch.Generator().manual_seed(0)
    draws = {"k1": torch.randn(3000, generator=generator) + 0.5, "k3": torch.rand(2000)}
    return plotting.histogram(
        draws, xlabel="estimate (nats)", title="k3 never goes below zero", limits=(-2, 3),
        curves={"normal": lambda x: torch.exp(-((x - 0.5) ** 2) / 2) / math.sqrt(2 * math.pi)},
        reference={"exact KL": 0.5},
    )  # fmt: skip


GALLERY: dict[str, Callable[[], Picture]] = {
    "image_grid": lambda: plotting.image_grid(blobs(23), title=LONG, note="23 draws, none picked"),
    "image_grid with labels": lambda: plotting.image_grid(
        blobs(20, 3), title="Colors", columns=5, labels=torch.arange(20), row_labels=list("abcd"),
        column_labels=["first", "second", "third", "fourth", "fifth"],
    ),
    "image_grid on paper": lambda: plotting.image_grid(1 - blobs(7), title="Ink", columns=4),
    "image_rows": lambda: plotting.image_rows(
        {"original": blobs(10), "a long reconstruction": blobs(10) / 2}, title="Rows"
    ),
    "manifold": lambda: plotting.manifold(Decoder(), title="Neighbors decode to neighbors"),
    "history": lambda: plotting.history(rows(8)),
    "history of one epoch": lambda: plotting.history(rows(1, validation=False)),
    "lines": _lines,
    "panels": _panels,
    "density": lambda: plotting.density(
        ring(), samples=ring().sample((500,)), title="Five modes", limits=(-3, 3)
    ),
    "density, three": lambda: plotting.density(
        {"target": ring(), "normal": lambda x: -(x**2).sum(-1) / 2, "samples only": None},
        samples={"samples only": ring().sample((3000,))}, title="Three densities",
    ),
    "latent_map": _latent_map,
    "bars": lambda: plotting.bars(
        {"a bar with a long name": (205.5, 0.4), "another": 97.0, "below": -12.0},
        xlabel="−ELBO (nats per image)", title="Bars", reference={"published": 97},
    ),
    "bars in groups": lambda: plotting.bars(
        {f"fault {i}": {"printed": 100.0 + i, "true": (200.0, 2.0)} for i in range(4)},
        xlabel="−ELBO (nats per image)", title="Printed losses lie",
    ),
    "histogram": _histogram,
    "heatmap": lambda: plotting.heatmap(
        torch.eye(10) * 90 + 1, xlabel="predicted", ylabel="true", value_label="images",
        title="Confusions",
    ),
    "heatmap of both signs": lambda: plotting.heatmap(
        torch.linspace(-1, 2, 1200).reshape(30, 40), xlabel="epoch", ylabel="latent",
        value_label="correlation", title="Signs",
    ),
}  # fmt: skip


@cache
def picture(name: str) -> Picture:
    """Return a picture of the gallery, drawn once."""
    torch.manual_seed(0)
    return GALLERY[name]()
