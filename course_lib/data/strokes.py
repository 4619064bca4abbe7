"""Strokes: handwritten digits drawn from curves, with every cause of a picture known.

White ink on black paper in the layout of MNIST (about a 20-pixel digit on 28 pixels, a margin, a
little shift), at any size, or colored ink on colored paper. An image is a function of its factors
(:data:`FACTORS`, independent of each other) and of nothing else: two images of equal ``class``,
``style``, ``slant``, ... differ by the ``hand``, a serial number that decides how the pen wobbles.

Reproducible on every machine: factors and wobble come from splitmix64 in 64-bit integers, indexed
by the hand, and what follows is one array operation at a time, in a fixed order, of those that
IEEE 754 rounds exactly (see :mod:`course_lib.data.pen`), rounded to 8 bits at the end. The tests
hold the SHA-256 of small draws, and draw them without the processor's vector instructions too;
numpy 1.26 and 2.4 on x86-64 and numpy 1.24 on an emulated AArch64 gave the same sums.
Image i of a seed is the same whether 10 or 60,000 are drawn, by one thread or by many.

Disjoint by construction: image i has the hand ``seed * 2**33 + (split == "test") * 2**32 + i``, so
that no two images of any seeds and splits share one, and their factors and wobble are unrelated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course_lib.data.captions import WORDS, Captions, caption
from course_lib.data.factors import FACTORS, Factor, check_factors, draw_factors
from course_lib.data.glyphs import STYLES
from course_lib.data.pen import draw_ink, trace
from course_lib.errors import check_whole, unknown

__all__ = [
    "FACTORS", "STYLES", "VERSION", "WORDS", "Captions", "Factor", "Strokes", "caption",
    "contact_sheet", "draw", "render",
]  # fmt: skip

VERSION = 1
"""Goes up whenever a change of the code changes an image; caches keep versions apart."""

MIN_SIZE, MAX_SIZE = 8, 1024
MAX_SEED = 2**30 - 1
SPLITS = {"train": 0, "test": 1}


@dataclass(frozen=True, eq=False)
class Strokes:
    """Drawn images and what they were drawn from.

    Attributes:
        images: uint8 ``[N, C, S, S]``, C = 1, or 3 in the color version.
        labels: int64 ``[N]``, the digits 0 to 9 (the factor ``class``).
        factors: for each name of :data:`FACTORS` a tensor ``[N]``, int64 for ``class``, ``style``
            and ``hand``, else float32; ``ink`` and ``paper`` only in the color version.
    """

    images: Tensor
    labels: Tensor
    factors: dict[str, Tensor]

    @property
    def captions(self) -> Captions:
        """The captions of all images, a lazy sequence of ``str``."""
        return Captions(self.factors)

    def caption(self, i: int) -> str:
        """Return the caption of image ``i``."""
        return self.captions[i]


def draw(
    num_images: int,
    *,
    size: int = 28,
    seed: int = 0,
    split: str = "train",
    color: bool = False,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Strokes:
    """Draw random digits, the same for a seed and split on every machine.

    The same digits come at every ``size`` and in both versions, grey and color.

    Args:
        num_images: how many; the first k of a longer draw are the draw of k.
        size: pixels along a side, from 8 up.
        seed: 0 to 2**30 - 1; another seed gives other images.
        split: ``"train"`` or ``"test"``, which share no image.
        color: draw ``[N, 3, S, S]``, colored ink on darker paper.
        threads: how many to use; as many as torch if not given.
        progress: called now and then with the number of images drawn since the last call.

    Raises:
        ValueError: a number out of range or an unknown split.
    """
    num_images = check_whole(num_images, "num_images", 1, 2**32)
    seed = check_whole(seed, "seed", 0, MAX_SEED)
    if not isinstance(split, str) or split not in SPLITS:
        raise unknown("split", split, SPLITS)
    serial = np.arange(num_images, dtype=np.int64) + (seed * 2 + SPLITS[split]) * 2**32
    factors = draw_factors(serial, color)
    images = render(factors, size=size, color=color, threads=threads, progress=progress)
    return Strokes(images, factors["class"], factors)


def render(
    factors: Mapping[str, object],
    *,
    size: int = 28,
    color: bool = False,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Draw the images of given factors.

    To change one factor and nothing else, take a row of a draw and replace that factor::

        row = {name: value[:1] for name, value in draw(1).factors.items()}
        images = render({**row, "slant": torch.linspace(-0.25, 0.35, 7)})

    Args:
        factors: for each name of :data:`FACTORS` N numbers, or one for all images. ``ink`` and
            ``paper`` are needed in color, and have no effect in grey.
        size: pixels along a side, from 8 up.
        color: draw ``[N, 3, S, S]``.
        threads: how many to use; as many as torch if not given.
        progress: called now and then with the number of images drawn since the last call.

    Returns:
        uint8 ``[N, C, size, size]``.

    Raises:
        ValueError: a factor that is unknown, missing, out of range or of another length.
    """
    size = check_whole(size, "size", MIN_SIZE, MAX_SIZE)
    values = check_factors(factors, color)
    num = len(values["hand"])
    if threads is None:
        threads = torch.get_num_threads()
    threads = check_whole(threads, "threads", 1, 256)
    images = np.empty((num, 3 if color else 1, size, size), dtype=np.uint8)
    chunk = max(1, min(128, 2**17 // size**2))  # a chunk's arrays stay in a core's cache

    def fill(start: int) -> int:
        part = {name: value[start : start + chunk] for name, value in values.items()}
        ink = draw_ink(*trace(part, size), size)[:, None]
        if color:
            paper = _rgb(part["paper"], saturation=0.8, value=0.32)
            ink = paper + ink * (_rgb(part["ink"], saturation=0.62, value=1.0) - paper)
        images[start : start + chunk] = np.floor(ink * 255 + np.float32(0.5))
        return len(ink)

    with ThreadPoolExecutor(threads) as pool:
        try:
            for done in pool.map(fill, range(0, num, chunk)):
                if progress is not None:
                    progress(done)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # do not make Ctrl-C wait for the rest
            raise
    return torch.from_numpy(images)


def _rgb(hue: np.ndarray, saturation: float, value: float) -> np.ndarray:
    """Return the color ``[N, 3, 1, 1]`` of a hue in turns ``[N]``, float32."""
    h = hue.astype(np.float32) * 6
    rgb = np.stack([np.abs(h - 3) - 1, 2 - np.abs(h - 2), 2 - np.abs(h - 4)], axis=1)
    rgb = np.minimum(np.maximum(rgb, 0), 1)
    return ((1 - saturation + saturation * rgb) * value)[:, :, None, None]


def contact_sheet(path: str, *, size: int = 40, columns: int = 18, seed: int = 0) -> None:
    """Write a PNG with the first images of each digit in a row, a third of them in color.

    The picture in the README is ``contact_sheet("docs/images/strokes.png")``.

    Args:
        path: the file to write.
        size: pixels along a side of each image.
        columns: images in a row.
        seed: of the draw.
    """
    from PIL import Image

    drawn = draw(60 * columns, size=size, seed=seed, color=True)
    grey = render(drawn.factors, size=size).expand(-1, 3, -1, -1)
    num_grey = columns - columns // 3
    rows = []
    for digit in range(10):
        first = (drawn.labels == digit).nonzero()[:columns, 0]
        rows.append(torch.cat([*grey[first[:num_grey]], *drawn.images[first[num_grey:]]], dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(sheet).quantize(256).save(path, optimize=True)
