"""Images in files, and the two commands that code them."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.__main__ import main
from course_lib.compression_files import read_images, write_images
from course_lib.models import mlp_vae
from course_lib.training import fit

pytest.importorskip("constriction")


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "model.pt"
    x = (torch.rand(50, 1, 6, 5) < 0.3).float()
    fit(mlp_vae((1, 6, 5), 2, (8,)), x, epochs=1, checkpoint=path, progress=False)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["images.npy", "folder"])
def test_what_is_written_is_read(tmp_path, channels, name):
    x = torch.randint(0, 256, (4, channels, 5, 6)).float() / 255
    write_images(x, tmp_path / name)
    assert torch.equal(read_images(tmp_path / name), x)
    with pytest.raises(FileExistsError, match="exists"):
        write_images(x, tmp_path / name)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.full((2, 3, 4), 51, np.uint8), 0.2),
        (np.full((2, 1, 3, 4), 0.2), 0.2),
        (np.ones((2, 3, 4), bool), 1.0),
    ],
)
def test_arrays_of_several_kinds(tmp_path, array, expected):
    np.save(tmp_path / "a.npy", array)
    x = read_images(tmp_path / "a.npy")
    assert x.shape == (2, 1, 3, 4) and x.dtype == torch.float32
    torch.testing.assert_close(x, torch.full_like(x, expected))


def test_what_is_no_image_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        read_images(tmp_path / "nothing")
    with pytest.raises(ValueError, match="holds no pictures"):
        read_images(tmp_path)
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(ValueError, match="could not be read"):
        read_images(tmp_path / "text.npy")
    np.savez(tmp_path / "several.npz", a=np.zeros(2))
    with pytest.raises(ValueError, match="several arrays"):
        read_images(tmp_path / "several.npz")
    for bad in (np.zeros((2, 3)), np.zeros((0, 3, 3)), np.zeros((2, 3, 3), np.int64)):
        np.save(tmp_path / "bad.npy", bad)
        with pytest.raises(ValueError, match="images"):
            read_images(tmp_path / "bad.npy")
    for i, size in enumerate([(3, 4), (4, 4)]):
        Image.new("L", size).save(tmp_path / f"{i}.png")
    with pytest.raises(ValueError, match="of one size"):
        read_images(tmp_path)


def deep_png(width: int, height: int) -> bytes:
    """A PNG with colors of 16 bits, which Pillow reads and can't write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = (b"\0" + b"\x12\x34" * 3 * width) * height
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_pictures_that_would_lose_something_are_refused(tmp_path):
    def refused(message, name="0.png"):
        with pytest.raises(ValueError, match=message) as error:
            read_images(tmp_path)
        assert name in str(error.value) and "\n" not in str(error.value)
        (tmp_path / name).unlink()

    file = tmp_path / "0.png"
    Image.fromarray(np.full((3, 4), 1000, np.uint16)).save(file)
    refused("pixels of 16 bits")
    file.write_bytes(deep_png(4, 3))
    refused("pixels of 16 bits")
    for mode in ("LA", "RGBA"):
        Image.new(mode, (4, 3)).save(file)
        refused(f"of the kind {mode}")
    for mode in ("L", "P", "RGB"):
        clear = (1, 2, 3) if mode == "RGB" else 0
        Image.new(mode, (4, 3)).save(file, transparency=clear)
        refused(f"of the kind {mode} with transparency")
    Image.new("CMYK", (4, 3)).save(tmp_path / "0.tif")
    refused("of the kind CMYK", "0.tif")
    pages = [Image.new("L", (4, 3), grey) for grey in range(3)]
    pages[0].save(tmp_path / "0.tif", save_all=True, append_images=pages[1:])
    refused("3 frames", "0.tif")
    file.write_bytes(b"hello")
    refused("could not be read as a picture")
    Image.effect_noise((40, 30), 50).save(file)
    file.write_bytes(file.read_bytes()[:500])
    refused("could not be read as a picture")


def test_pictures_of_one_bit_and_with_a_palette_are_read(tmp_path):
    x = Image.fromarray(np.eye(4, dtype=np.uint8) * 255)
    x.convert("1").save(tmp_path / "0.png")
    assert torch.equal(read_images(tmp_path), torch.eye(4)[None, None])
    x.convert("P").save(tmp_path / "0.png")
    assert torch.equal(read_images(tmp_path), torch.eye(4).expand(1, 3, 4, 4))


def test_the_commands_code_and_decode(tmp_path, checkpoint, capsys):
    x = (np.random.default_rng(0).random((30, 6, 5)) < 0.3).astype(np.uint8) * 255
    np.save(tmp_path / "x.npy", x)
    model = ["--model", str(checkpoint)]
    coded, again = str(tmp_path / "x.vae"), str(tmp_path / "again.npy")
    assert main(["compress", str(tmp_path / "x.npy"), coded, *model]) == 0
    assert "30 images in" in capsys.readouterr().out
    assert main(["decompress", coded, again, *model]) == 0
    assert np.array_equal(np.load(again)[:, 0], x)
    assert main(["decompress", coded, str(tmp_path / "pictures"), *model]) == 0
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 30

    for command in (["compress", str(tmp_path / "x.npy"), coded], ["decompress", coded, again]):
        assert main([*command, *model]) == 2
        assert "exists" in capsys.readouterr().err
    np.save(tmp_path / "grey.npy", x // 2)
    assert main(["compress", str(tmp_path / "grey.npy"), str(tmp_path / "g.vae"), *model]) == 2
    assert "binarize" in capsys.readouterr().err
    grey = ["compress", str(tmp_path / "grey.npy"), str(tmp_path / "g.vae"), *model, "--binarize"]
    assert main(grey) == 0
    (tmp_path / "cut.vae").write_bytes((tmp_path / "x.vae").read_bytes()[:-5])
    assert main(["decompress", str(tmp_path / "cut.vae"), str(tmp_path / "y.npy"), *model]) == 2
    assert "truncated or altered" in capsys.readouterr().err
