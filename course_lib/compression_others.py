"""The same images as files of general programs and of image formats, for comparison.

All but ``lossy`` is lossless and at a high level. What a program is given matters: gzip, bz2 and
lzma get the pixels of binary images once as bits and once as bytes, and the smaller file counts;
PNG and WebP get one large sheet, so that their headers are paid once, or each image by itself.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import math

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import check_images

__all__ = ["general_files", "lossy", "picture_file", "sheet", "sizes"]

LONGEST = 16383  # pixels to a side of a WebP picture
_GENERAL = {
    "gzip": lambda data: gzip.compress(data, 9, mtime=0),
    "bz2": lambda data: bz2.compress(data, 9),
    "lzma": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}
# WebP at quality 100 searches forty times longer for a file that is 0.2 % smaller.
_LOSSLESS = {"PNG": {"optimize": True}, "WebP": {"lossless": True, "quality": 80, "method": 6}}


def general_files(x: Tensor, *, each: bool = False) -> dict[str, list[bytes]]:
    """Return the files of ``x`` under the names gzip, bz2, lzma, PNG and WebP.

    Args:
        x: ``[N, C, H, W]``, C = 1 or 3, multiples of 1/255. Images of only 0 and 1 are stored with
            one bit a pixel where a format has that.
        each: also "PNG, each" and "WebP, each": N files of one image.

    Raises:
        TypeError, ValueError: no images, or pixels that 8 bits can't hold.
    """
    pixels = _levels(x)
    streams = [pixels.tobytes()]
    if _binary(pixels):
        streams.append(np.packbits(pixels.reshape(len(pixels), -1) > 0, axis=1).tobytes())
    files = {name: [min(map(f, streams), key=len)] for name, f in _GENERAL.items()}
    whole = sheet(x)
    files |= {kind: [picture_file(whole, kind, **o)] for kind, o in _LOSSLESS.items()}
    if each:
        for kind, options in _LOSSLESS.items():
            files[f"{kind}, each"] = [picture_file(image, kind, **options) for image in x]
    return files


def sizes(files: dict[str, list[bytes]]) -> dict[str, int]:
    """Return the bytes of each entry of :func:`general_files`."""
    return {name: sum(map(len, parts)) for name, parts in files.items()}


def sheet(x: Tensor) -> Tensor:
    """Return images ``[N, C, H, W]`` as one picture ``[C, rows * H, columns * W]``, nearly square.

    What is left over in the last row is black.
    """
    check_images(x)
    count, channels, height, width = x.shape
    columns = min(count, max(1, round(math.sqrt(count * height / width))))
    rows = math.ceil(count / columns)
    if max(rows * height, columns * width) > LONGEST:
        raise ValueError(
            f"{count:,} images make a sheet of {rows * height:,} x {columns * width:,} pixels; at "
            f"most {LONGEST:,} to a side can be stored as WebP. Take fewer images."
        )
    full = x.new_zeros(rows * columns, *x.shape[1:])
    full[:count] = x
    tiles = full.reshape(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return tiles.reshape(channels, rows * height, columns * width)


def lossy(x: Tensor, kind: str, quality: int) -> tuple[int, Tensor]:
    """Return the bytes of one sheet with loss, and the images as they look there, ``[N, C, H, W]``.

    Each image is first extended by its border to whole blocks of 16 x 16 pixels, so that no block
    holds parts of two images: 8 x 8 colors, stored at half the resolution, cover that many pixels.

    Args:
        x: ``[N, C, H, W]``, C = 1 or 3, multiples of 1/255.
        kind: ``"JPEG"`` or ``"WebP"``.
        quality: as Pillow takes it, from 0 (WebP) or 1 (JPEG) to 100.
    """
    from PIL import Image

    count, channels, height, width = x.shape
    right, down = -width % 16, -height % 16
    blocks = torch.nn.functional.pad(x, (0, right, 0, down), mode="replicate")
    whole = sheet(blocks)
    data = picture_file(whole, kind, quality=quality)
    picture = Image.open(io.BytesIO(data)).convert("L" if channels == 1 else "RGB")
    seen = torch.from_numpy(np.array(picture).reshape(*whole.shape[1:], channels)).float() / 255
    tall, wide = blocks.shape[2:]
    tiles = seen.reshape(whole.shape[1] // tall, tall, -1, wide, channels).permute(0, 2, 4, 1, 3)
    return len(data), tiles.reshape(-1, channels, tall, wide)[:count, :, :height, :width]


def picture_file(image: Tensor, kind: str, **options: object) -> bytes:
    """Return one image ``[C, H, W]`` as a file, ``kind`` and ``options`` being those of Pillow."""
    from PIL import Image

    pixels = _levels(image[None])[0]
    if len(pixels) not in (1, 3):
        raise ValueError(f"The image has {len(pixels)} channels; 1 (grey) or 3 were expected.")
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    if kind == "PNG" and len(pixels) == 1 and _binary(pixels):
        picture = picture.convert("1")
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def _levels(x: Tensor) -> np.ndarray:
    """Pixels as whole numbers from 0 to 255, uint8, the shape kept."""
    check_images(x)
    scaled = x.detach().cpu() * 255
    if not torch.allclose(scaled, scaled.round(), rtol=0, atol=1e-3):
        raise ValueError("x has pixels that 8 bits can't hold; multiples of 1/255 were expected.")
    return scaled.round().to(torch.uint8).numpy()


def _binary(pixels: np.ndarray) -> bool:
    return bool(((pixels == 0) | (pixels == 255)).all())
