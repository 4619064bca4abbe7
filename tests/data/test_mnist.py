"""The MNIST family: read from the user's folder, or downloaded from the first mirror that works."""

from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path

import pytest
import torch

from course_lib.data import available, load, mnist
from course_lib.data.download import fetch

TRAIN = "train-images-idx3-ubyte"


@pytest.fixture
def mirrors(monkeypatch):
    """Say what torchvision's mirrors are: ``mirrors(first, second, ...)``."""
    from torchvision import datasets

    def use(*urls):
        monkeypatch.setattr(datasets.MNIST, "mirrors", list(urls))

    return use


def closed_port() -> str:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/"


def assert_is(data, release):
    for split, images, labels in (
        ("train", data.train, data.labels),
        ("test", data.test, data.test_labels),
    ):
        assert images.dtype == torch.float32
        assert torch.equal((images * 255).round().to(torch.uint8)[:, 0], release.images[split])
        assert torch.equal(labels, release.labels[split].long())


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_downloads_once_into_the_cache_folder(cache_folder, release, mirror, mirrors, capsys):
    good = mirror(release.packed)
    mirrors(good.url)
    assert "will be downloaded" in available()["mnist"]
    assert_is(load("mnist"), release)
    assert sorted(good.asked) == sorted(release.packed)
    assert kept(cache_folder) == set(release.files)
    assert TRAIN in capsys.readouterr().err  # the progress bar
    assert available()["mnist"] == f"in {cache_folder / 'MNIST' / 'raw'}"

    good.asked.clear()
    assert_is(load("mnist"), release)
    assert good.asked == []
    assert capsys.readouterr().err == ""


def test_can_download_without_a_word(cache_folder, release, mirror, mirrors, capsys):
    mirrors(mirror(release.packed).url)
    load("mnist", progress=False)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["404", "wrong", "cut", "closed", "empty", "nonsense"])
def test_takes_the_second_mirror_when_the_first_fails(
    cache_folder, release, mirror, mirrors, fault
):
    first = {
        "404": lambda: mirror().url,
        "wrong": lambda: mirror(dict.fromkeys(release.packed, gzip.compress(b"a login page"))).url,
        "cut": lambda: mirror(release.packed, cut=40).url,
        "closed": closed_port,
        "empty": lambda: mirror(dict.fromkeys(release.packed, b"")).url,
        "nonsense": lambda: "no url at all/",
    }[fault]()
    second = mirror(release.packed)
    mirrors(first, second.url)
    assert_is(load("mnist", progress=False), release)
    assert sorted(second.asked) == sorted(release.packed)


def test_knows_mirrors_that_torchvision_does_not(
    cache_folder, release, mirror, mirrors, monkeypatch
):
    mirrors(closed_port())
    monkeypatch.setitem(mnist.MORE_MIRRORS, "mnist", [mirror(release.packed).url])
    assert_is(load("mnist", progress=False), release)


@pytest.mark.parametrize("fault", ["404", "wrong", "cut", "closed"])
def test_a_failed_download_says_what_to_do_and_leaves_nothing(
    cache_folder, release, mirror, mirrors, fault
):
    url, reason = {
        "404": lambda: (mirror().url, "HTTP 404"),
        "wrong": lambda: (mirror(dict.fromkeys(release.packed, b"?")).url, "another MD5 sum"),
        "cut": lambda: (mirror(release.packed, cut=40).url, ""),
        "closed": lambda: (closed_port(), "refused"),
    }[fault]()
    mirrors(url)
    with pytest.raises(ConnectionError) as error:
        load("mnist", progress=False)
    for part in (reason, f"{TRAIN}.gz", "COURSE_DATASET=strokes", "COURSE_DATA=folder"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert kept(cache_folder) == set()


def test_an_interrupted_download_leaves_no_file_behind(
    cache_folder, release, mirror, mirrors, monkeypatch
):
    mirrors(mirror(release.packed).url)
    arrived = []

    def ctrl_c_in_the_second(*args, **options):
        arrived.append(args)
        if len(arrived) == 2:
            raise KeyboardInterrupt
        return fetch(*args, **options)

    monkeypatch.setattr(mnist, "fetch", ctrl_c_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        load("mnist", progress=False)
    assert kept(cache_folder) == {TRAIN}
    assert_is(load("mnist", progress=False), release)


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    elif how == "a flipped bit":
        data[-1] ^= 1
    elif how == "another format":
        data[:4] = b"\x89PNG"
    path.write_bytes(data)


DAMAGES = {
    "truncated": "bytes where its header announces",
    "empty": "does not start like",
    "a flipped bit": "MD5 sum",
    "another format": "does not start like",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_in_the_cache_is_downloaded_again(
    cache_folder, release, mirror, mirrors, how
):
    raw = release.write(cache_folder)
    damage(raw / TRAIN, how)
    good = mirror(release.packed)
    mirrors(good.url)
    with pytest.warns(UserWarning, match=f"(?s){TRAIN}.*{DAMAGES[how]}.*downloaded again"):
        assert_is(load("mnist", progress=False), release)
    assert good.asked == [f"{TRAIN}.gz"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_of_the_user_is_named_and_left_alone(
    cache_folder, release, mirror, mirrors, monkeypatch, tmp_path, how
):
    raw = release.write(tmp_path / "mine")
    damage(raw / TRAIN, how)
    before = (raw / TRAIN).read_bytes()
    good = mirror(release.packed)
    mirrors(good.url)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    with pytest.raises(ValueError, match=DAMAGES[how]) as error:
        load("mnist")
    assert str(raw / TRAIN) in str(error.value)
    assert "COURSE_DATASET=strokes" in str(error.value)
    assert "not usable" in available()["mnist"]
    assert (raw / TRAIN).read_bytes() == before
    assert good.asked == []
    assert not cache_folder.exists()


def test_a_missing_file_of_the_user_is_named_and_not_downloaded(
    cache_folder, release, mirror, mirrors, tmp_path
):
    good = mirror(release.packed)
    mirrors(good.url)
    raw = release.write(tmp_path / "mine")
    (raw / TRAIN).unlink()
    with pytest.raises(FileNotFoundError, match="is missing; the four"):
        load("mnist", root=tmp_path / "mine")
    (raw / f"{TRAIN}.gz").write_bytes(release.packed[f"{TRAIN}.gz"])
    with pytest.raises(FileNotFoundError, match=rf"Unpack {TRAIN}\.gz"):
        load("mnist", root=tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match="and 3 more"):
        load("mnist", root=tmp_path / "nowhere")
    assert good.asked == []
    assert not (tmp_path / "nowhere").exists()


def test_reads_the_folder_of_the_user(cache_folder, release, monkeypatch, tmp_path):
    release.write(tmp_path / "mine")
    assert_is(load("mnist", root=tmp_path / "mine"), release)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "mine"))
    monkeypatch.setenv("COURSE_DATASET", "mnist")
    assert_is(load(), release)
    assert not cache_folder.exists()


def test_images_and_labels_must_belong_together(cache_folder, release, tmp_path, monkeypatch):
    raw = release.write(tmp_path)
    (raw / "train-labels-idx1-ubyte").write_bytes(release.files["t10k-labels-idx1-ubyte"])
    monkeypatch.setitem(mnist.MD5, "mnist", {})
    with pytest.raises(ValueError, match="40 images but 20 labels"):
        load("mnist", root=tmp_path)


def test_a_cache_folder_that_cannot_be_written_is_named(
    cache_folder, release, mirror, mirrors, monkeypatch, tmp_path
):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a file" / "cache"))
    mirrors(mirror(release.packed).url)
    with pytest.raises(OSError, match=r"cannot be written .* COURSE_CACHE") as error:
        load("mnist", progress=False)
    assert "(None)" not in str(error.value)


def test_an_error_without_a_number_keeps_its_words(cache_folder, release, mirrors, monkeypatch):
    def full(path):
        raise OSError("no room")

    mirrors(closed_port())
    monkeypatch.setattr(mnist, "replacing", full)
    with pytest.raises(OSError, match=r"cannot be written \(no room\)"):
        load("mnist", progress=False)
    monkeypatch.setattr(Path, "stat", full)
    assert mnist.fault(Path("x-idx3-ubyte"), None) == "cannot be read (no room)"


@pytest.mark.parametrize(
    ("root", "variable", "advice"),
    [
        (True, False, "or leave out root to download"),
        (False, True, "or unset COURSE_DATA to download"),
        (True, True, "or leave out root and unset COURSE_DATA to download"),
    ],
)
def test_the_advice_names_what_was_given(
    cache_folder, monkeypatch, tmp_path, root, variable, advice
):
    if variable:
        monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=advice):
        load("mnist", root=tmp_path if root else None)


def test_takes_the_first_images(cache_folder, release, tmp_path):
    release.write(tmp_path)
    data = load("mnist", root=tmp_path, num_train=7, num_test=3)
    whole = load("mnist", root=tmp_path)
    assert torch.equal(data.train, whole.train[:7])
    assert torch.equal(data.test, whole.test[:3])
    assert torch.equal(data.labels, whole.labels[:7])
    assert torch.equal(data.test_labels, whole.test_labels[:3])
    with pytest.raises(ValueError, match="num_train is 41, but mnist has 40 train images"):
        load("mnist", root=tmp_path, num_train=41)


@pytest.mark.parametrize("size", [14, 40, 56])
def test_other_sizes_keep_the_range_and_the_brightness(cache_folder, release, tmp_path, size):
    release.write(tmp_path)
    whole = load("mnist", root=tmp_path)
    data = load("mnist", root=tmp_path, size=size)
    assert data.train.shape == (40, 1, size, size)
    assert data.train.min() >= 0
    assert data.train.max() <= 1
    # Noise is the hardest picture: the kernel's weights differ a little from pixel to pixel.
    torch.testing.assert_close(
        data.train.mean((1, 2, 3)), whole.train.mean((1, 2, 3)), atol=0.02, rtol=0
    )
    if size == 14:
        halves = torch.nn.functional.avg_pool2d(whole.train, 2)
        assert torch.corrcoef(torch.stack([halves.flatten(), data.train.flatten()]))[0, 1] > 0.9


def test_color_repeats_the_grey_level(cache_folder, release, tmp_path):
    release.write(tmp_path)
    data = load("mnist", root=tmp_path, color=True)
    grey = load("mnist", root=tmp_path)
    assert data.train.shape == (40, 3, 28, 28)
    assert data.train.is_contiguous()
    for channel in range(3):
        assert torch.equal(data.train[:, channel : channel + 1], grey.train)


@pytest.mark.parametrize(
    ("name", "folder"), [("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_the_rest_of_the_family(cache_folder, release, monkeypatch, tmp_path, name, folder):
    release.write(tmp_path, folder)
    monkeypatch.setitem(mnist.MD5, name, {})
    data = load(name, root=tmp_path)
    assert_is(data, release)
    assert data.name == name
    assert len(data.classes) == 10
    assert data.classes[0] == {"fashion_mnist": "T-shirt/top", "kmnist": "o"}[name]


def test_torchvision_still_serves_what_the_library_checks():
    from torchvision import datasets

    for name, folder in mnist.FAMILY.items():
        source = getattr(datasets, folder)
        files = {file for pair in mnist.FILES.values() for file in pair}
        assert {n for n, _ in source.resources} == {f"{file}.gz" for file in files}
        assert all(url.endswith("/") for url in [*source.mirrors, *mnist.MORE_MIRRORS[name]])
        assert len([*source.mirrors, *mnist.MORE_MIRRORS[name]]) >= 2
        assert set(mnist.MD5[name]) in (files, set())


def test_the_real_mnist():
    if "COURSE_DATA" not in os.environ:
        pytest.skip("COURSE_DATA is not set: no folder with the real MNIST")
    if not (Path(os.environ["COURSE_DATA"]) / "MNIST" / "raw").is_dir():
        pytest.skip("the folder COURSE_DATA holds no MNIST/raw")
    data = load("mnist")
    assert data.train.shape == (60_000, 1, 28, 28)
    assert data.test.shape == (10_000, 1, 28, 28)
    assert data.train.dtype == data.test.dtype == torch.float32
    assert (data.train.min(), data.train.max()) == (0, 1)
    # The mean pixel of the training set, the number in every normalization recipe.
    assert data.train.mean(dtype=torch.float64).item() == pytest.approx(0.1306604762)
    assert data.labels.bincount().tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert data.test_labels.bincount().tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    train = {image.numpy().tobytes() for image in (data.train * 255).to(torch.uint8)}
    test = {image.numpy().tobytes() for image in (data.test * 255).to(torch.uint8)}
    assert not train & test
