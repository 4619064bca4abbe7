"""A small network that looks at images for us: features, the class, and factors of ``strokes``.

It is trained by the course on training images, in seconds, and judges what generative models make:
:func:`course_lib.evaluation.samples.frechet_distance` in its features, whether a generated image is
of the class that was asked for, and how it leans. Its own errors on real test images belong beside
every number that it gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import check_images, check_rows, check_seed
from course_lib.randomness import seeded
from course_lib.training import fit

__all__ = ["FACTORS", "Judge", "factor_table", "train_judge"]

FACTORS = ("lean", "width", "scale", "aspect", "shift_x", "shift_y")
"""What is read off an image of ``strokes``. ``lean`` is slant + angle in radians, as captions say
it: the two make nearly the same picture, so that no one could tell them apart."""


def factor_table(factors: Mapping[str, Tensor]) -> Tensor:
    """Return the :data:`FACTORS` of images as columns, float32 ``[N, 6]``, in their own units."""
    missing = [k for k in ("slant", "angle", *FACTORS[1:]) if k not in factors]
    if missing:
        raise ValueError(
            f"The factors lack {', '.join(missing)}; those of strokes were expected, such as "
            "load('strokes').factors."
        )
    lean = factors["slant"] + factors["angle"] * (math.pi / 180)
    return torch.stack([lean.float(), *(factors[k].float() for k in FACTORS[1:])], dim=1)


class Judge(nn.Module):
    """A convolutional classifier with a second head for the factors.

    Args:
        image_shape: ``(C, H, W)``.
        num_classes: how many.
        factors: training values ``[N, 6]`` from :func:`factor_table`, which give the units; None
            where the factors are not known.
        num_features: width of the layer under the heads.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        num_classes: int = 10,
        factors: Tensor | None = None,
        num_features: int = 64,
    ):
        super().__init__()
        channels, height, width = image_shape
        self.image_shape = tuple(image_shape)
        size = 32 * math.ceil(height / 4) * math.ceil(width / 4)
        self.body = nn.Sequential(
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(size, num_features),
            nn.ReLU(),
        )
        self.classes = nn.Linear(num_features, num_classes)
        self.estimates = nn.Linear(num_features, len(FACTORS)) if factors is not None else None
        if factors is not None:
            self.register_buffer("mean", factors.mean(0))
            self.register_buffer("std", factors.std(0).clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of images ``[B, C, H, W]``, ``[B, num_features]``."""
        if tuple(x.shape[1:]) != self.image_shape:
            raise ValueError(
                f"x has shape {list(x.shape)}; this judge was trained on images "
                f"[B, {', '.join(map(str, self.image_shape))}]."
            )
        return self.body(x)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """Return the features of any number of images ``[N, C, H, W]``, ``[N, D]``, on the CPU."""
        return torch.cat([self(part).cpu() for part in self._parts(x)])

    @torch.no_grad()
    def probabilities(self, x: Tensor) -> Tensor:
        """Return the probability of each class, ``[N, num_classes]``, on the CPU.

        The largest one is how sure the judge is, not how good an image is: a classifier is sure of
        much that nobody would write.
        """
        return torch.cat([self.classes(self(part)).softmax(1).cpu() for part in self._parts(x)])

    @torch.no_grad()
    def classify(self, x: Tensor) -> Tensor:
        """Return the likeliest class of each image, int64 ``[N]``, on the CPU."""
        return torch.cat([self.classes(self(part)).argmax(1).cpu() for part in self._parts(x)])

    @torch.no_grad()
    def estimate(self, x: Tensor) -> dict[str, Tensor]:
        """Return the factors of each image, ``{name: [N]}``, in their own units, on the CPU.

        Raises:
            ValueError: the judge was trained on images whose factors are not known.
        """
        if self.estimates is None:
            raise ValueError(
                "This judge knows no factors, because its training images had none; train it on "
                "strokes, with factors=data.factors."
            )
        values = torch.cat(
            [(self.estimates(self(p)) * self.std + self.mean).cpu() for p in self._parts(x)]
        )
        return dict(zip(FACTORS, values.T, strict=True))

    def _parts(self, x: Tensor) -> list[Tensor]:
        check_images(x)
        weight = self.classes.weight
        return [part.to(weight.device, weight.dtype) for part in x.split(1024)]


def train_judge(
    x: Tensor,
    labels: Tensor,
    factors: Mapping[str, Tensor] | None = None,
    *,
    epochs: int = 5,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: str | bool = "auto",
) -> Judge:
    """Train a judge on training images; 20,000 take about half a minute on two CPU cores.

    Args:
        x: training images ``[N, C, H, W]`` in [0, 1], grey levels and all.
        labels: int64 ``[N]``.
        factors: those of ``strokes``, or None.
        epochs: passes.
        seed: of weights, order and split.
        device: where to train; default: CUDA where there is one.
        progress: as for :func:`course_lib.training.fit`.

    Returns:
        The judge in evaluation mode. It depends on ``seed`` alone, and the session's random state
        is left as it was.

    Raises:
        TypeError, ValueError: images, labels or factors that do not fit together.
    """
    check_images(x)
    table = None if factors is None else factor_table(factors)
    data = [x, labels] if table is None else [x, labels, table]
    check_rows(data[1:], len(x), "x")
    if labels.dtype != torch.int64 or labels.dim() != 1 or labels.min() < 0:
        raise ValueError(
            f"labels is {labels.dtype} with shape {list(labels.shape)}; the class of each image, "
            "int64 [N] from 0 up, was expected."
        )
    seed = check_seed(seed)
    with seeded(seed, torch.device("cpu")):
        judge = Judge(tuple(x.shape[1:]), int(labels.max()) + 1, table)

    def objective(judge: Judge, x: Tensor, y: Tensor, *table: Tensor) -> Tensor:
        features = judge(x)
        loss = F.cross_entropy(judge.classes(features), y, reduction="none")
        if table:
            error = judge.estimates(features) - (table[0] - judge.mean) / judge.std
            loss = loss + error.square().mean(1)
        return loss

    run = fit(
        judge, data, objective=objective, epochs=epochs, seed=seed, device=device, progress=progress
    )
    return run.model.eval()
