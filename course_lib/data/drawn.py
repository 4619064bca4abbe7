"""The drawn data set on disk, so that it is drawn once and read after."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch

from course_lib.data import cache, strokes
from course_lib.data.strokes import Strokes
from course_lib.files import replacing

__all__ = ["describe", "read"]

SAMPLE = 128  # images in the fingerprint, 20 ms at 28 pixels: nearly every digit in every style
SLOW = 2_000  # from this many images on, drawing takes long enough for a progress bar


def _path(split: str, size: int, color: bool) -> Path:
    """Return where a split is kept.

    The name holds the version of the drawing code, and a fingerprint of the first images for the
    day when somebody changes the code and forgets to raise the version.
    """
    few = strokes.draw(SAMPLE, size=size, seed=0, split=split, color=color)
    fingerprint = hashlib.sha256(few.images.numpy().tobytes())
    for name, values in few.factors.items():
        fingerprint.update(name.encode() + values.numpy().tobytes())
    kind = f"{size}-{'color' if color else 'grey'}-{split}"
    mark = f"v{strokes.VERSION}-{fingerprint.hexdigest()[:12]}"
    return cache.folder() / f"strokes-{kind}-{mark}.npz"


def _load(path: Path, num_images: int) -> Strokes | None:
    """Return the first ``num_images`` of a kept file, or None if it holds fewer.

    An ``.npz`` is a zip file, so every array carries a CRC-32 sum that is checked while reading.
    """
    # Opened here, since numpy leaves a file that is no zip file open.
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    images = arrays.pop("images")
    if {len(values) for values in arrays.values()} != {len(images)}:
        raise ValueError("its arrays have different lengths")
    if len(images) < num_images:
        return None
    factors = {name: torch.from_numpy(values[:num_images]) for name, values in arrays.items()}
    return Strokes(torch.from_numpy(images[:num_images]), factors["class"], factors)


def _save(path: Path, drawn: Strokes) -> None:
    """Keep ``drawn``; where the folder cannot be written, warn and go on."""
    factors = {name: values.numpy() for name, values in drawn.factors.items()}
    try:
        with replacing(path) as file:
            np.savez(file, images=drawn.images.numpy(), **factors)
    except OSError as error:
        warnings.warn(
            f"The drawn images could not be kept in {path.parent} ({error.strerror or error}), so "
            "they will be drawn again next time. Set COURSE_CACHE to a folder that you may write.",
            stacklevel=5,
        )


def read(
    split: str, num_images: int, *, size: int = 28, color: bool = False, progress: bool = True
) -> Strokes:
    """Return the first ``num_images`` of a split, read from the cache or drawn and then kept.

    The file holds as many images as were ever asked for at once: fewer are its first rows, more
    are drawn from the start, which gives the same rows first.

    Args:
        split: "train" or "test".
        num_images: how many.
        size: height and width in pixels.
        color: three channels in place of one.
        progress: show a bar when a drawing takes more than a moment.
    """
    path = _path(split, size, color)
    if path.exists():
        try:
            if (kept := _load(path, num_images)) is not None:
                return kept
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(f"{path} is damaged ({error}); it is drawn again.", stacklevel=4)
    drawn = _draw(split, num_images, size, color, progress and num_images >= SLOW)
    _save(path, drawn)
    return drawn


def _draw(split: str, num_images: int, size: int, color: bool, progress: bool) -> Strokes:
    from tqdm.auto import tqdm

    name = f"drawing strokes ({split}, once)"
    with tqdm(total=num_images, desc=name, disable=not progress, leave=False) as bar:
        return strokes.draw(
            num_images, size=size, seed=0, split=split, color=color, progress=bar.update
        )


def describe() -> str:
    """Say in a phrase whether the default images have been drawn already."""
    train, test = (_path(split, 28, False) for split in ("train", "test"))
    if train.exists() and test.exists():
        return f"drawn, kept in {train.parent}"
    return f"will be drawn on first use (some seconds) and kept in {train.parent}"
