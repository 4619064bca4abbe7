"""Images in files for the compressor: an array in a .npy file, or a folder of pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_lib.files import check_writable, replacing

__all__ = ["read_images", "write_images"]

PICTURES = (".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")  # formats that lose nothing


def read_images(path: str | Path) -> Tensor:
    """Return images ``[N, C, H, W]`` in [0, 1], float32, multiples of 1/255 if stored in 8 bits.

    Args:
        path: a ``.npy`` file with ``[N, H, W]`` or ``[N, C, H, W]``, 8-bit or floats in [0, 1]; or
            a folder of pictures of one size, taken in the order of their names: grey or RGB of at
            most 8 bits a channel, one frame each, without transparency.

    Raises:
        FileNotFoundError, ValueError: nothing there, or nothing that can be read as images.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} could not be read as a .npy file ({error}). Save an array with numpy.save, or "
            "give a folder of pictures."
        ) from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds several arrays; one array in a .npy file was expected.")
    if array.dtype == bool:
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.dtype.kind not in "uf" or 0 in array.shape:
        raise ValueError(
            f"{path} holds {array.dtype} of shape {list(array.shape)}; images [N, H, W] or "
            "[N, C, H, W], 8-bit or floats in [0, 1], were expected."
        )
    if array.dtype.kind == "u":
        if array.dtype != np.uint8:
            raise ValueError(f"{path} holds {array.dtype}; 8-bit pixels or floats were expected.")
        return torch.from_numpy(array.astype(np.float32)) / 255
    return torch.from_numpy(array.astype(np.float32))


def _read_folder(folder: Path) -> Tensor:
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in PICTURES)
    if not files:
        raise ValueError(f"{folder} holds no pictures ({', '.join(PICTURES)}).")
    images = []
    for file in files:
        images.append(_read_picture(file))
        if images[-1].shape != images[0].shape:
            raise ValueError(
                f"{file.name} has shape {list(images[-1].shape)} and {files[0].name} "
                f"{list(images[0].shape)}; pictures of one size and kind were expected."
            )
    return torch.from_numpy(np.stack(images).astype(np.float32)) / 255


def _read_picture(file: Path) -> np.ndarray:
    """Return a picture as uint8 ``[C, H, W]``; raise ValueError for what that can't hold."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            frames, mode = getattr(picture, "n_frames", 1), picture.mode
            # Pillow has no mode for colors of 16 bits: it calls them RGB and drops half of each.
            deep = re.search(";16[BLN]", str(getattr(picture, "tile", "")))
            clear = "transparency" in picture.info
            pixels = np.asarray(picture.convert("L" if mode in ("1", "L") else "RGB"))
    except Exception as error:  # Pillow raises errors of many kinds for a damaged file
        raise ValueError(
            f"{file} could not be read as a picture ({error}). Replace it, or take it out of the "
            "folder."
        ) from None
    found = None
    if frames > 1:
        found = f"{frames} frames"
    elif deep:
        found = "pixels of 16 bits"
    elif clear or mode not in ("1", "L", "P", "RGB"):
        found = f"pixels of the kind {mode}{' with transparency' if clear else ''}"
    if found:
        raise ValueError(
            f"{file} holds {found}, of which a part would be lost; one picture was expected, grey "
            "or RGB of at most 8 bits a channel, without transparency. Convert it first."
        )
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def write_images(x: Tensor, path: str | Path) -> None:
    """Write images ``[N, C, H, W]`` as 8 bits: to a ``.npy`` file, or as PNGs into a new folder.

    Raises:
        FileExistsError: there is something already.
    """
    from PIL import Image

    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists. Give another name.")
    pixels = (x * 255).round().to(torch.uint8).numpy()
    if path.suffix == ".npy":
        with replacing(check_writable(path)) as file:
            np.save(file, pixels)
        return
    path.mkdir(parents=True)
    for i, image in enumerate(pixels):
        picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
        picture.save(path / f"{i:06d}.png")
