"""Every image data set of the course as tensors in memory: ``load(name) -> Images``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.data import drawn, mnist, photos, strokes
from course_lib.errors import check_split_size, check_whole, unknown

__all__ = ["DATASETS", "Images", "available", "load"]

DATASETS = ("strokes", *mnist.FAMILY, *photos.PHOTOS)
DIGITS = tuple("0123456789")
NUM_TRAIN, NUM_TEST, MOST = 60_000, 10_000, 10_000_000


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A data set in memory, split into training and test images.

    Attributes:
        name: the data set.
        train, test: images, float32 ``[N, C, H, W]`` in [0, 1].
        labels, test_labels: the class of each image, int64 ``[N]``, an index into ``classes``.
        factors, test_factors: true generative factors, ``{name: [N]}``, or None if unknown.
        captions, test_captions: a sentence for each image, or None.
        classes: names of the classes.
    """

    name: str
    train: Tensor
    test: Tensor
    labels: Tensor
    test_labels: Tensor
    factors: dict[str, Tensor] | None
    test_factors: dict[str, Tensor] | None
    captions: Sequence[str] | None
    test_captions: Sequence[str] | None
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.train.dim() == self.test.dim() == 4, "images are [N, C, H, W]"
        assert self.train.shape[1:] == self.test.shape[1:], "both splits have one image shape"
        for images, labels, factors, captions in (
            (self.train, self.labels, self.factors, self.captions),
            (self.test, self.test_labels, self.test_factors, self.test_captions),
        ):
            parts = [labels, *(factors or {}).values(), *([] if captions is None else [captions])]
            assert all(len(part) == len(images) for part in parts), "one entry for each image"

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.train.shape[1:]))
        extras = []
        if self.factors is not None:
            names = list(self.factors)
            some = names if len(names) <= 12 else [*names[:3], "...", names[-1]]
            extras.append(f"factors {', '.join(some)}")
        if self.captions is not None:
            extras.append("captions")
        return (
            f"{self.name}: {len(self.train):,} training and {len(self.test):,} test images "
            f"of {shape}, {len(self.classes)} classes"
            + (f"\n  with {'; '.join(extras)}" * bool(extras))
        )


def _as_float(pixels: Tensor, size: int) -> Tensor:
    """Turn uint8 ``[N, C, H, W]`` into float32 ``[N, C, size, size]`` in [0, 1].

    Other sizes are resampled bilinearly, with a wider kernel where the image shrinks, in slices
    that keep the extra memory small.
    """
    if pixels.shape[-1] == size:
        return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    out = torch.empty(*pixels.shape[:2], size, size)
    for part, into in zip(pixels.split(4096), out.split(4096), strict=True):
        grey = part.to(torch.float32).div_(255)
        into.copy_(F.interpolate(grey, (size, size), mode="bilinear", antialias=True))
    return out.clamp_(0, 1)


def _load_strokes(size: int, color: bool, counts: dict[str, int | None], progress: bool) -> Images:
    n, m = counts["train"] or NUM_TRAIN, counts["test"] or NUM_TEST
    train = drawn.read("train", n, size=size, color=color, progress=progress)
    test = drawn.read("test", m, size=size, color=color, progress=progress)
    return Images(
        name="strokes",
        train=_as_float(train.images, size),
        test=_as_float(test.images, size),
        labels=train.labels,
        test_labels=test.labels,
        factors=train.factors,
        test_factors=test.factors,
        captions=train.captions,
        test_captions=test.captions,
        classes=DIGITS,
    )


def _load_idx(
    name: str,
    size: int,
    color: bool,
    counts: dict[str, int | None],
    root: str | os.PathLike[str] | None,
    progress: bool,
) -> Images:
    from torchvision import datasets

    splits = mnist.read(name, root=root, progress=progress)
    pixels = {}
    for split, count in counts.items():
        whole = splits[split].images
        count = check_split_size(count, split, name, len(whole))
        channels = whole[:count].unsqueeze(1).expand(-1, 3 if color else 1, -1, -1)
        pixels[split] = _as_float(channels, size)
    return Images(
        name=name,
        train=pixels["train"],
        test=pixels["test"],
        labels=splits["train"].labels[: counts["train"]].clone(),
        test_labels=splits["test"].labels[: counts["test"]].clone(),
        factors=None,
        test_factors=None,
        captions=None,
        test_captions=None,
        classes=DIGITS if name == "mnist" else tuple(getattr(datasets, mnist.FAMILY[name]).classes),
    )


def _load_photos(
    name: str,
    size: int,
    color: bool,
    counts: dict[str, int | None],
    root: str | os.PathLike[str] | None,
    progress: bool,
) -> Images:
    splits = photos.read(name, counts, size=size, root=root, progress=progress)
    pixels = {}
    for split, there in splits.items():
        # Part by part, so that never more than one of them is in memory twice.
        pixels[split] = torch.empty(there.num_images, 3 if color else 1, size, size)
        done = 0
        for part in there.parts:
            part = _as_float(part if color else photos.luma(part), size)
            pixels[split][done : done + len(part)] = part
            done += len(part)
    train, test = splits["train"], splits["test"]
    return Images(
        name=name,
        train=pixels["train"],
        test=pixels["test"],
        labels=train.labels,
        test_labels=test.labels,
        factors=train.factors,
        test_factors=test.factors,
        captions=None,
        test_captions=None,
        classes=photos.CLASSES[name],
    )


def load(
    name: str | None = None,
    *,
    size: int | None = None,
    color: bool | None = None,
    root: str | os.PathLike[str] | None = None,
    num_train: int | None = None,
    num_test: int | None = None,
    progress: bool = True,
) -> Images:
    """Return a data set as float tensors in memory.

    ``strokes`` is drawn on first use, any number of images at any size, and kept in the cache
    folder. ``mnist``, ``fashion_mnist`` and ``kmnist`` (60,000 and 10,000 images of 28×28) are
    read from ``root``, or the folder that ``COURSE_DATA`` names, as torchvision lays it out;
    without either they are downloaded on first use into the cache folder.

    ``cifar10`` (50,000 and 10,000 color photographs of 32×32 pixels, 10 classes) and ``celeba``
    (162,770 and 19,962 faces, of which the middle 140×140 pixels are taken; 40 attributes as
    factors, "Smiling" as the class) are never downloaded: they are read from ``root`` or
    ``COURSE_DATA``, as torchvision lays them out. All of CelebA takes minutes to read for the
    first time; at 64 pixels its small images are then kept in the cache folder (2.2 GB), and the
    tensors need 9.0 GB of memory. ``num_train=20_000, num_test=2_000`` needs 1.1 GB.

    Args:
        name: one of :data:`DATASETS`; by default ``COURSE_DATASET``, or else "strokes".
        size: height and width in pixels; all but strokes are resampled where it differs. By
            default the set's own: 28, of "cifar10" 32, of "celeba" 64.
        color: three channels, or one. By default the photographs have color and the others have
            none. ``strokes`` are drawn in colored ink on colored paper; the MNIST family is grey
            in all three; photographs in one channel have the grey levels of
            :func:`course_lib.data.photos.luma`.
        root: folder of the downloaded sets, see above; "strokes" does not use it.
        num_train, num_test: take the first so many images; by default all, of "strokes" 60,000
            and 10,000.
        progress: show what takes a while.

    Raises:
        ValueError: an unknown name, a bad size or number, or a damaged file.
        FileNotFoundError: a file is not in the folder that the user named, or is one of a set that
            is never downloaded.
        ConnectionError: a download was needed and failed.
    """
    name = name or os.environ.get("COURSE_DATASET") or "strokes"
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    if size is None:
        size = photos.PHOTOS.get(name, 28)
    if color is None:
        color = name in photos.PHOTOS
    size = check_whole(size, "size", strokes.MIN_SIZE, strokes.MAX_SIZE)
    counts = {"train": num_train, "test": num_test}
    for split, count in counts.items():
        if count is not None:
            counts[split] = check_whole(count, f"num_{split}", 1, MOST)
    if name == "strokes":
        return _load_strokes(size, color, counts, progress)
    if name in photos.PHOTOS:
        return _load_photos(name, size, color, counts, root, progress)
    return _load_idx(name, size, color, counts, root, progress)


def available() -> dict[str, str]:
    """Say for each data set whether it is there and where, or what ``load`` will do.

    Nothing is written, drawn or downloaded. For the doctor of the command line.
    """
    found = {"strokes": drawn.describe()} | {name: mnist.describe(name) for name in mnist.FAMILY}
    return found | {name: photos.describe(name) for name in photos.PHOTOS}
