"""Images in files, and the two commands that code them."""

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
