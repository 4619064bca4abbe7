"""The drawn digits: reproducible, disjoint, and what their factors and captions say they are."""

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
from course_lib.data.strokes import FACTORS, STYLES, WORDS, caption, draw, render

STILL = {
    "class": 5, "style": 0, "hand": 11, "slant": 0.0, "angle": 0.0, "width": 2.5, "scale": 0.9,
    "aspect": 1.0, "shift_x": 0.0, "shift_y": 0.0,
}  # fmt: skip
NORMAL = {"class": 7, "slant": 0.0, "angle": 0.0, "width": 2.5, "scale": 0.92, "aspect": 1.0}

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


def test_factors_are_in_range_balanced_and_independent(many: strokes.Strokes) -> None:
    assert list(many.factors) == [name for name in FACTORS if name not in ("ink", "paper")]
    assert torch.equal(many.labels, many.factors["class"])
    for name, value in draw(2_000, size=8, color=True).factors.items():
        low, high, _ = FACTORS[name]
        assert value.dtype == (torch.int64 if name in ("class", "style", "hand") else torch.float32)
        assert (value >= np.float32(low)).all()
        assert (value <= np.float32(high)).all()
    num = len(many.labels)
    for name, count in (("class", 10), ("style", 3)):
        share = torch.bincount(many.factors[name], minlength=count) / num
        assert ((share - 1 / count).abs() < 4.5 * (1 / count / num) ** 0.5).all()
    table = torch.stack([v.double() for k, v in many.factors.items() if k != "hand"])
    for i, name in enumerate(n for n in many.factors if n != "hand"):
        low, high, _ = FACTORS[name]
        assert abs(table[i].mean() - (low + high) / 2) < 4.5 * table[i].std() / num**0.5
    off = torch.corrcoef(table) - torch.eye(len(table))
    assert off.abs().max() < 4.5 / num**0.5


def moments(images: Tensor) -> dict[str, Tensor]:
    """Measure the ink: where its middle, its box and its axis are, in 28ths of the image."""
    ink = images[:, 0].double() / 255
    side = ink.shape[-1]
    at = (torch.arange(side) + 0.5) * 28 / side - 14
    total = ink.sum((1, 2))
    x, y = (ink.sum(1) * at).sum(1) / total, (ink.sum(2) * at).sum(1) / total
    rows = [(line > 0.5).nonzero()[:, 0] for line in ink.amax(2)]
    columns = [(line > 0.5).nonzero()[:, 0] for line in ink.amax(1)]
    box = [torch.tensor([(i[-1] - i[0] + 1) * 28 / side for i in b]) for b in (rows, columns)]
    return {"x": x, "y": y, "height": box[0], "width": box[1], "ink": total * (28 / side) ** 2}


def sweep(name: str, **fixed: float) -> tuple[Tensor, dict[str, Tensor]]:
    low, high, _ = FACTORS[name]
    value = torch.linspace(low, high, 5)
    return value, moments(render({**STILL, **fixed, name: value}, size=224))


@pytest.mark.parametrize("axis", ["x", "y"])
def test_shift_moves_the_ink(axis: str) -> None:
    value, seen = sweep(f"shift_{axis}")
    torch.testing.assert_close(
        seen[axis] - seen[axis][2], value.double(), atol=0.02, rtol=0, check_dtype=False
    )
    other = seen["y" if axis == "x" else "x"]
    assert other.std() < 0.01


def test_scale_is_the_height_of_the_digit() -> None:
    value, seen = sweep("scale")
    height = value * 20 + STILL["width"]  # the pen is half a width above and below the line
    torch.testing.assert_close(seen["height"], height, atol=0.5, rtol=0, check_dtype=False)


def test_aspect_stretches_sideways_only() -> None:
    value, seen = sweep("aspect")
    line = seen["width"] - STILL["width"]
    torch.testing.assert_close(line / line[2], value, atol=0.05, rtol=0, check_dtype=False)
    assert seen["height"].std() < 0.15


def test_width_is_that_of_the_pen() -> None:
    value, seen = sweep("width", **{"class": 1, "style": 0, "hand": 3})
    # A bar with round ends: length times width, and a disc. The pressure varies about the width.
    area = 18 * value + value**2 * np.pi / 4
    torch.testing.assert_close(seen["ink"], area, atol=0, rtol=0.12, check_dtype=False)
    assert (seen["ink"].diff() > 7).all()


@pytest.mark.parametrize(("name", "per_unit"), [("slant", 1.0), ("angle", np.pi / 180)])
def test_slant_and_angle_lean_a_one_to_the_right(name: str, per_unit: float) -> None:
    low, high, _ = FACTORS[name]
    value = torch.linspace(low, high, 5)
    images = render({**STILL, "class": 1, "style": 0, "hand": 3, name: value}, size=224)
    ink = images[:, 0].double() / 255
    at = torch.arange(224.0) + 0.5
    middle = (ink * at).sum(2) / ink.sum(2).clamp(min=1e-9)  # [5, rows]
    lean = (middle[:, 80] - middle[:, 144]) / 64
    expected = torch.tan(value * per_unit) if name == "angle" else value * per_unit
    torch.testing.assert_close(lean - lean[2], (expected - expected[2]).double(), atol=0.03, rtol=0)


def test_hand_class_and_style_change_the_drawing() -> None:
    for name, values in (("hand", range(8)), ("class", range(10)), ("style", range(3))):
        images = render({**STILL, name: list(values)})
        assert len(set(rows(images))) == len(values)
    wobble = render({**STILL, "hand": list(range(50))}).float() / 255
    assert 0.01 < wobble.var(0).mean() < 0.06  # the same five, by one writer


def test_every_digit_has_three_styles_with_names() -> None:
    assert len(STYLES) == 10
    assert all(len(set(names)) == 3 for names in STYLES)
    assert FACTORS["style"].high == 2


def test_colors_are_those_of_the_factors() -> None:
    hue = torch.tensor([0.0, 1 / 6, 1 / 3, 0.5, 2 / 3, 0.8])
    grid = torch.cartesian_prod(hue, hue)
    images = render({**STILL, "ink": grid[:, 0], "paper": grid[:, 1]}, color=True).double()
    paper = images[:, :, 0, 0]
    grey = render(STILL)[0, 0]
    full = (grey == 255).nonzero()[0]
    ink = images[:, :, full[0], full[1]]
    bright = torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
    assert (ink @ bright > paper @ bright + 30).all()  # legible whatever the hues
    for colors, h in ((ink, grid[:, 0]), (paper, grid[:, 1])):
        for channel, name in enumerate(("red", "green", "blue")):
            pure = (h - channel / 3).abs() < 1e-6
            assert (colors[pure].argmax(1) == channel).all(), name
    # Between ink and paper a pixel is their mixture.
    share = grey.double() / 255
    mixed = paper[..., None, None] + share * (ink - paper)[..., None, None]
    assert (mixed - images).abs().max() <= 1.5  # each of the three was rounded to 8 bits


# Captions


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ({}, "a seven"),
        ({"class": 8}, "an eight"),
        ({"width": 3.2, "slant": -0.2}, "a thick seven leaning left"),
        ({"scale": 0.83, "width": 1.6, "class": 3}, "a small thin three"),
        ({"scale": 1.0, "aspect": 0.85, "class": 8}, "a large narrow eight"),
        ({"aspect": 1.15, "slant": 0.15, "angle": 5.0}, "a wide seven leaning right"),
        ({"slant": 0.25, "angle": -8.0}, "a seven"),  # turned back upright
        ({"ink": 0.0, "paper": 0.65}, "a red seven on blue"),
    ],
)
def test_caption_says_what_the_factors_are(factors: dict, words: str) -> None:
    assert caption({**NORMAL, **factors}) == words


def test_captions_are_lazy_and_of_the_vocabulary() -> None:
    drawn = draw(3_000, size=8, color=True)
    captions = drawn.captions
    assert len(captions) == 3_000
    texts = [*captions, *draw(3_000, size=8).captions]  # "an eight" has no color
    assert {word for text in texts for word in text.split()} == set(WORDS)
    assert captions[7] == drawn.caption(7) == caption({k: v[7] for k, v in drawn.factors.items()})
    assert captions[-1] == captions[2_999]
    assert captions[5:8] == [captions[5], captions[6], captions[7]]
    assert drawn.captions[:50] == draw(50, size=30, color=True).captions[:]
    with pytest.raises(IndexError):
        captions[3_000]


def test_every_word_depends_on_its_factor_alone() -> None:
    drawn = draw(2_000, size=8)
    f = drawn.factors
    for word, is_so in (
        ("small", f["scale"] < 0.88),
        ("thick", f["width"] > 2.9),
        ("narrow", f["aspect"] < 0.9),
        ("seven", f["class"] == 7),
        ("left", f["slant"].double() + f["angle"].double() * np.pi / 180 < -0.1),
    ):
        said = torch.tensor([word in text.split() for text in drawn.captions])
        assert torch.equal(said, is_so), word
        assert 0.05 < said.double().mean() < 0.5, word


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class": 10}, "'class' is 10; 0 to 9 was expected"),
        ({"class": 1.5}, "'class' is 1.5; 0 to 9"),
        ({"style": -1}, "'style' is -1; 0 to 2"),
        ({"slant": [0.0, 2.0]}, "'slant' is 2.0; -0.25 to 0.35"),
        ({"shift_x": -2}, "'shift_x' is -2.0; -1.5 to 1.5"),
        ({"width": float("nan")}, "'width' is nan"),
        ({"angle": torch.zeros(2), "slant": torch.zeros(3)}, "2 values where another has 3"),
        ({"angle": torch.zeros(2, 2)}, r"'angle' has shape \[2, 2\]"),
        ({"angle": []}, r"'angle' has shape \[0\]"),
        ({"angle": "left"}, "'angle' has shape"),
        ({"slent": 0.1}, "Unknown factor 'slent'. Did you mean 'slant'"),
        ({"hand": None}, "No value for the factor.* hand; render needs each of class, style"),
    ],
)
def test_render_says_which_factor_is_wrong(change: dict, message: str) -> None:
    factors = {**STILL, **change}
    if change.get("hand", 0) is None:
        del factors["hand"]
    with pytest.raises(ValueError, match=message):
        render(factors)


def test_color_needs_its_factors_and_captions_theirs() -> None:
    with pytest.raises(ValueError, match="No value for the factor.* ink, paper"):
        render(STILL, color=True)
    with pytest.raises(ValueError, match="factor.* class"):
        caption({name: value for name, value in NORMAL.items() if name != "class"})
    with pytest.raises(ValueError, match="class is 12"):
        caption({**NORMAL, "class": 12})


def test_ends_of_every_range_can_be_drawn() -> None:
    for name, (low, high, _) in FACTORS.items():
        ends = torch.tensor([low, high]) if isinstance(low, float) else [low, high]
        images = render({**STILL, "ink": 0.1, "paper": 0.5, name: ends}, color=True)
        assert images.shape == (2, 3, 28, 28)
        assert images.float().std() > 0


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
    drawn = draw(10_000, threads=2)
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
