"""The drawn digits: reproducible, disjoint, and laid out like MNIST."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from course_lib.data import strokes
from course_lib.data.strokes import draw, render

# (num_images, size, color, seed, split) -> SHA-256 of the pixels and of the factors. A change of
# the code that changes one must raise strokes.VERSION.
HASHES = {
    (64, 28, False, 0, "train"): "8266cd38b0b3f8f9deede92b2d56575142385cb9a75a31e4e6220ba857f9ad2d",
    (64, 28, False, 0, "test"): "e099bb3eed1430139a8ebdaaa9bf18cf898dcc4e20afde610f938dedbffa0c4a",
    (
        64,
        28,
        False,
        123456789,
        "train",
    ): "2b90fd4b6f9ad1d3945b4e8d97169171db89d2e92964fae2df5d999270905926",
    (64, 14, False, 0, "train"): "4bba57d1545d00c7962fdb3d9b3f37d5c89070b86794da21691ea16ca1d061c0",
    (32, 56, False, 1, "train"): "a28ca20dece128d46c14eeef3e6882e3ec187aa6dc9c854d68956ee419d1f1a6",
    (32, 28, True, 0, "train"): "f3724e7c7f5edd4a8e9471d25ead12c9a6b3ae4363a26765e088e1260c187a37",
    (32, 64, True, 2, "test"): "1ed82d4d20f2eaf12b303577c2662a74b22d02577723738e7ef5b4fb01f7e541",
}


def digest(drawn: strokes.Strokes) -> str:
    sha = hashlib.sha256(drawn.images.numpy().tobytes())
    for name, value in drawn.factors.items():
        sha.update(name.encode() + value.numpy().tobytes())
    return sha.hexdigest()


def case(key: tuple) -> strokes.Strokes:
    num_images, size, color, seed, split = key
    return draw(num_images, size=size, color=color, seed=seed, split=split)


def rows(images: Tensor) -> list[bytes]:
    return [image.tobytes() for image in images.numpy()]


@pytest.fixture(scope="module")
def many() -> strokes.Strokes:
    return draw(8_000)


# The same on every machine, and however it is drawn


@pytest.mark.parametrize("key", HASHES, ids=str)
def test_pixels_and_factors_are_the_stored_ones(key: tuple) -> None:
    assert digest(case(key)) == HASHES[key], "bits changed: raise VERSION if that was meant"


def test_same_without_vector_instructions() -> None:
    # Another code path of every numpy loop: as near to another machine as one machine comes.
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("numpy uses no optional vector instructions on this machine")
    key = (64, 28, False, 0, "train")
    code = (
        "import numpy as np\n"
        "assert not np.show_config(mode='dicts')['SIMD Extensions'].get('found'), 'still on'\n"
        f"from test_strokes import case, digest; print(digest(case({key})))"
    )
    env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    run = [sys.executable, "-W", "ignore", "-c", code]
    here = Path(__file__).parent
    out = subprocess.run(run, env=env, cwd=here, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert out.stdout.split() == [HASHES[key]]


@pytest.mark.parametrize("color", [False, True])
def test_an_image_depends_on_its_index_only(color: bool) -> None:
    long = draw(700, color=color, threads=1)
    for num_images, threads in ((1, 1), (129, 2), (700, 3)):
        short = draw(num_images, color=color, threads=threads)
        assert torch.equal(short.images, long.images[:num_images])
        for name, value in short.factors.items():
            assert torch.equal(value, long.factors[name][:num_images])


def test_render_draws_the_factors_of_a_draw_in_any_order() -> None:
    drawn = draw(300, size=20, color=True)
    order = torch.randperm(300)
    shuffled = {name: value[order] for name, value in drawn.factors.items()}
    assert torch.equal(render(shuffled, size=20, color=True), drawn.images[order])
    assert torch.equal(render(shuffled, size=20), draw(300, size=20).images[order])


def test_size_and_color_change_the_drawing_but_not_what_is_drawn() -> None:
    small, large, colored = draw(200), draw(200, size=56), draw(200, size=14, color=True)
    for name, value in small.factors.items():
        assert torch.equal(value, large.factors[name])
        assert torch.equal(value, colored.factors[name])
    assert set(colored.factors) - set(small.factors) == {"ink", "paper"}
    pooled = torch.nn.functional.avg_pool2d(large.images.float(), 2)
    apart = (pooled - small.images).abs().mean() / 255
    assert apart < 0.01  # a tenth of what two draws differ by, below
    assert (pooled - small.images.flip(0)).abs().mean() / 255 > 0.1


def test_splits_and_seeds_share_no_image() -> None:
    draws = [draw(4_000, size=16, seed=s, split=p) for s in (0, 1) for p in ("train", "test")]
    images = [row for drawn in draws for row in rows(drawn.images)]
    assert len(set(images)) == len(images) == 16_000
    hands = torch.cat([drawn.factors["hand"] for drawn in draws])
    assert len(hands.unique()) == len(hands)
    last = draw(3, seed=2**30 - 1, split="test").factors["hand"]
    assert last.tolist() == [2**63 - 2**32 + i for i in range(3)]  # no overflow


# What is drawn


def test_layout_is_that_of_mnist(many: strokes.Strokes) -> None:
    assert many.images.shape == (8_000, 1, 28, 28)
    assert many.images.dtype == torch.uint8
    assert many.labels.dtype == torch.int64
    pixels = many.images.float() / 255
    assert 0.12 < pixels.mean() < 0.15  # MNIST: 0.131
    assert 0.08 < ((pixels > 0.05) & (pixels < 0.95)).float().mean() < 0.12  # MNIST: 0.103
    border = torch.ones(28, 28, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert (pixels[:, 0, border].amax(1) > 0.1).float().mean() < 0.01  # a margin all around
    assert (pixels.amax((1, 2, 3)) > 0.5).all()


def test_classes_are_separable_and_varied(many: strokes.Strokes) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    x, y = many.images.flatten(1).numpy() / 255.0, many.labels.numpy()
    knn = KNeighborsClassifier(3).fit(x[:5000], y[:5000])
    assert 0.95 < knn.score(x[5000:6500], y[5000:6500]) < 0.99
    spectrum = torch.linalg.svdvals(torch.as_tensor(x[:2000] - x[:2000].mean(0))) ** 2
    kept = (spectrum.cumsum(0) / spectrum.sum() < 0.9).sum()
    assert kept > 50  # dimensions for 90 % of the variance; MNIST: 82


# At the door


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "num_images is 0; a whole number from 1"),
        ({"num_images": 2.5}, "num_images is 2.5"),
        ({"num_images": True}, "num_images is True"),
        ({"size": 7}, "size is 7; a whole number from 8"),
        ({"size": "28"}, "size is '28'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**30}, "seed is 1073741824"),
        ({"split": "tran"}, "Unknown split 'tran'. Did you mean 'train'"),
        ({"split": ["train"]}, "Unknown split"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_draw_says_what_is_wrong(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("'", ".").replace("[", ".")):
        draw(**{"num_images": 2, **arguments})


def test_progress_counts_every_image_and_may_stop_the_drawing() -> None:
    seen: list[int] = []
    draw(700, threads=2, progress=seen.append)
    assert sum(seen) == 700
    assert len(seen) > 2

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw(700, threads=2, progress=stop)


def test_memory_beyond_the_result_is_bounded() -> None:
    draw(1)
    tracemalloc.start()
    drawn = draw(3_000, threads=2)  # tracing makes it slow
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    result = drawn.images.numel() + sum(v.nbytes for v in drawn.factors.values())
    assert peak - result < 40e6


def test_contact_sheet_is_a_small_picture(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "sheet.png"
    strokes.contact_sheet(str(path))
    assert Image.open(path).size == (18 * 40, 10 * 40)
    assert path.stat().st_size < 100_000
    committed = Path(__file__).parents[2] / "docs" / "images" / "strokes.png"
    with Image.open(committed) as old, Image.open(path) as new:
        apart = np.abs(np.asarray(old.convert("RGB"), int) - np.asarray(new.convert("RGB"), int))
    assert apart.mean() < 3, "docs/images/strokes.png is out of date: draw it again"
