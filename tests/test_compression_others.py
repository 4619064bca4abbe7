"""Files of other programs: what is compared with must hold the same images."""

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.compression_others import general_files, lossy, picture_file, sheet, sizes


def images(channels: int, binary: bool, count: int = 7):
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 2 if binary else 256, (count, channels, 5, 8), generator=generator)
    return levels.float() / (1 if binary else 255)


def opened(data: bytes, channels: int) -> torch.Tensor:
    """A picture as ``[C, H, W]`` in [0, 1]."""
    array = np.asarray(Image.open(io.BytesIO(data)).convert("L" if channels == 1 else "RGB"))
    return torch.from_numpy(array.reshape(*array.shape[:2], channels).copy()).permute(2, 0, 1) / 255


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_file_holds_the_images(channels, binary):
    x = images(channels, binary)
    files = general_files(x, each=True)
    whole = (x * 255).round().to(torch.uint8).numpy()
    bits = np.packbits(whole.reshape(len(x), -1) > 0, axis=1).tobytes()
    openers = {"gzip": gzip.decompress, "bz2": bz2.decompress, "lzma": lzma.decompress}
    for name, unpack in openers.items():
        (data,) = files[name]
        assert unpack(data) in ({whole.tobytes(), bits} if binary else {whole.tobytes()})
    for kind in ("PNG", "WebP"):
        (data,) = files[kind]
        torch.testing.assert_close(opened(data, channels), sheet(x))
        assert len(files[f"{kind}, each"]) == len(x)
        for data, image in zip(files[f"{kind}, each"], x, strict=True):
            torch.testing.assert_close(opened(data, channels), image)
    assert sizes(files)["PNG, each"] == sum(map(len, files["PNG, each"]))


def test_the_smaller_of_bits_and_bytes_counts():
    x = (torch.rand(300, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    size = sizes(general_files(x))
    # Noise can't be made smaller than its bits, which bytes of 0 and 255 hide from gzip.
    assert 300 * 8 <= size["gzip"] < 300 * 8 + 100
    assert Image.open(io.BytesIO(general_files(x)["PNG"][0])).mode == "1"


@pytest.mark.parametrize("count", [1, 2, 3, 10])
@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 2, 9), (1, 9, 2)])
def test_a_sheet_shows_every_image_in_its_place(count, shape):
    x = torch.rand(count, *shape)
    whole = sheet(x)
    _, height, width = shape
    columns = whole.shape[2] // width
    for i, image in enumerate(x):
        top, left = i // columns * height, i % columns * width
        assert torch.equal(whole[:, top : top + height, left : left + width], image)
    assert torch.isclose(whole.double().sum(), x.double().sum())  # and nothing else
    assert columns <= count


def test_bad_input_gets_a_sentence():
    with pytest.raises(ValueError, match="multiples of 1/255"):
        general_files(torch.full((2, 1, 4, 4), 0.3331))
    with pytest.raises(ValueError, match="2 channels; 1"):
        picture_file(torch.zeros(2, 4, 4), "PNG")
    with pytest.raises(ValueError, match="Take fewer images"):
        sheet(torch.zeros(1, 1, 1, 20_000))


def test_no_block_of_colors_holds_parts_of_two_images():
    """JPEG stores colors at half the resolution: its blocks are 16 pixels wide, not 8."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (2, 3, 24, 24), generator=g).float() / 255
    _, before = lossy(x, "JPEG", 20)
    _, after = lossy(torch.stack([x[0], 1 - x[1]]), "JPEG", 20)
    # Readers smooth the colors over the edge of a block, which reaches one pixel far.
    assert torch.equal(before[0, :, 1:-1, 1:-1], after[0, :, 1:-1, 1:-1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["JPEG", "WebP"])
def test_with_losses_images_stay_where_they_were(kind, channels):
    """Each image comes back as itself: nearest to it, and nearer still for more bytes."""
    smooth = torch.linspace(0, 1, 7)[:, None] * torch.linspace(0, 1, 10)
    x = torch.stack([smooth, 1 - smooth, smooth.flip(1), smooth.flip(0), 1 - smooth.flip(0)])
    x = (x * 255).round().div(255)[:, None].expand(-1, channels, -1, -1)
    small, rough = lossy(x, kind, 5)
    large, fine = lossy(x, kind, 95)
    assert rough.shape == fine.shape == x.shape and small < large
    assert torch.cdist(fine.flatten(1), x.flatten(1)).argmin(1).tolist() == list(range(5))
    assert (fine - x).square().mean() < min(1e-3, (rough - x).square().mean())
