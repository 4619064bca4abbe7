"""CIFAR-10 and CelebA from folders in torchvision's layout, made here: nothing is downloaded."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.__main__ import main
from course_lib.checkpoints import read_checkpoint
from course_lib.data import available, load, photos

ATTRIBUTES = (
    "Bald",
    "Male",
    "Wavy_Hair",
    "Smiling",
    "Young",
    *(f"Attribute_{i}" for i in range(35)),
)


@pytest.fixture
def cifar10(cache_folder, tmp_path, monkeypatch):
    """Twenty training and six test images; the sums that the library expects are theirs."""
    root = tmp_path / "data"
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = {"train": [], "test": []}
    for split, number, files in (("train", 4, 5), ("test", 6, 1)):
        for i in range(files):
            name = f"data_batch_{i + 1}" if split == "train" else "test_batch"
            data = rng.integers(0, 256, (number, 3072), dtype=np.uint8)
            # The keys are strings of Python 2, as in the real files.
            entry = {b"data": data, b"labels": [(i + j) % 10 for j in range(number)]}
            packed = pickle.dumps(entry, protocol=3)
            for key in (b"\x04data", b"\x06labels"):
                packed = packed.replace(b"C" + key, b"U" + key)
            (folder / name).write_bytes(packed)
            md5 = hashlib.md5(packed).hexdigest()
            monkeypatch.setitem(photos.CIFAR_MD5[split], name, md5)
            pixels[split].append(data.reshape(-1, 3, 32, 32))
    return root, {split: torch.from_numpy(np.concatenate(p)) for split, p in pixels.items()}


def picture(seed: int) -> Image.Image:
    """A smooth color picture, so that JPEG loses next to nothing."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return small.resize((178, 218), Image.Resampling.BICUBIC)


@pytest.fixture
def celeba(cache_folder, tmp_path):
    """Seven training, two validation and three test pictures, not in this order."""
    root = tmp_path / "data"
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    splits = [0, 2, 0, 1, 0, 0, 2, 0, 1, 0, 2, 0]
    lines, values = [], []
    for i, split in enumerate(splits):
        name = f"{i + 1:06d}.jpg"
        picture(i).save(folder / name, quality=95, subsampling=0)
        lines.append(f"{name} {split}")
        row = [1 if (i >> k) & 1 else -1 for k in range(len(ATTRIBUTES))]
        values.append(f"{name} " + " ".join(f"{v:2d}" for v in row))
    (root / "celeba" / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    head = f"{len(splits)}\n{' '.join(ATTRIBUTES)} \n"
    (root / "celeba" / "list_attr_celeba.txt").write_text(head + "\n".join(values) + "\n")
    return root


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


def test_cifar10_is_what_the_files_hold(cifar10, cache_folder, capsys):
    root, pixels = cifar10
    data = load("cifar10", root=root)
    for split, images, labels in (
        ("train", data.train, data.labels), ("test", data.test, data.test_labels),
    ):  # fmt: skip
        assert images.dtype == torch.float32 and images.is_contiguous()
        assert torch.equal((images * 255).round().to(torch.uint8), pixels[split])
        assert labels.dtype == torch.int64 and len(labels) == len(images)
    assert data.labels[:6].tolist() == [0, 1, 2, 3, 1, 2]
    assert data.classes[0] == "airplane" and data.classes[9] == "truck"
    assert data.factors is None and data.captions is None
    assert not cache_folder.exists() and capsys.readouterr() == ("", "")


def test_the_sets_are_found_in_the_folder_that_the_environment_names(cifar10, celeba, monkeypatch):
    root, _ = cifar10
    assert "not there" in available()["cifar10"]
    monkeypatch.setenv("COURSE_DATA", str(root))
    assert available()["cifar10"] == f"in {root / 'cifar-10-batches-py'}"
    assert available()["celeba"] == f"in {root / 'celeba'}"
    assert load("cifar10").train.shape == (20, 3, 32, 32)
    monkeypatch.setenv("COURSE_DATASET", "celeba")
    assert load().name == "celeba"
    (root / "celeba" / "list_attr_celeba.txt").unlink()
    assert available()["celeba"].startswith("not usable")


def test_size_color_and_number(cifar10):
    root, pixels = cifar10
    data = load("cifar10", root=root, num_train=3, num_test=2, size=16)
    assert data.train.shape == (3, 3, 16, 16) and data.test.shape == (2, 3, 16, 16)
    assert len(data.labels) == 3 and len(data.test_labels) == 2
    halves = torch.nn.functional.avg_pool2d(pixels["train"][:3].float() / 255, 2)
    assert torch.corrcoef(torch.stack([halves.flatten(), data.train.flatten()]))[0, 1] > 0.9
    grey = load("cifar10", root=root, color=False)
    expected = [
        np.asarray(Image.fromarray(p.permute(1, 2, 0).contiguous().numpy()).convert("L"))
        for p in pixels["train"]
    ]
    found = (grey.train * 255).round().to(torch.uint8)
    assert torch.equal(found, torch.from_numpy(np.stack(expected))[:, None])
    with pytest.raises(ValueError, match="num_train is 21, but cifar10 has 20 train images"):
        load("cifar10", root=root, num_train=21)


def test_the_command_line_trains_in_color_and_evaluates_on_the_same(
    cifar10, monkeypatch, tmp_path, capsys
):
    root, _ = cifar10
    monkeypatch.setenv("COURSE_DATA", str(root))
    out = tmp_path / "model.pt"
    model = ["--model", "residual", "--width", "4", "--blocks", "1", "--latent-dim", "2"]
    rest = ["--likelihood", "discretized_logistic", "--epochs", "1", "--out", str(out)]
    assert main(["train", "--data", "cifar10", *model, *rest]) == 0
    assert read_checkpoint(out)["notes"] == {"data": "cifar10", "size": 32, "color": True}
    assert main(["evaluate", str(out), "--samples", "2", "--limit", "4"]) == 0
    assert "4 images" in capsys.readouterr().out


def test_the_sums_and_names_are_torchvisions():
    from torchvision import datasets

    real = datasets.CIFAR10
    assert real.base_folder == photos.CIFAR_FOLDER
    assert dict(real.train_list) == photos.CIFAR_MD5["train"]
    assert dict(real.test_list) == photos.CIFAR_MD5["test"]
    assert datasets.CelebA.base_folder == photos.CELEBA_FOLDER
    files = {name for *_, name in datasets.CelebA.file_list}
    assert {photos.PARTITION, photos.ATTRIBUTES, f"{photos.CELEBA_IMAGES}.zip"} <= files


@pytest.mark.parametrize("name", ["cifar10", "celeba"])
def test_what_is_not_there_is_named_with_the_way_to_get_it(cache_folder, tmp_path, name):
    for root in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError) as error:
            load(name, root=root)
        text = str(error.value)
        assert str(root or cache_folder) in text and "\n" not in text
        assert "does not download" in text and "COURSE_DATA" in text and "strokes" in text
    assert ("download=True" if name == "cifar10" else "mmlab.ie.cuhk.edu.hk") in text


def test_a_damaged_pickle_is_never_opened(cifar10, monkeypatch):
    root, _ = cifar10
    path = root / "cifar-10-batches-py" / "data_batch_3"

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(root / "ran"),)

    for content in (b"", path.read_bytes()[:-9], pickle.dumps(Bad())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"data_batch_3 has MD5 sum .* get CIFAR-10 again"):
            load("cifar10", root=root)
    assert not (root / "ran").exists()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="data_batch_3 is missing"):
        load("cifar10", root=root)


def test_celeba_has_its_splits_attributes_and_the_middle_of_the_pictures(celeba, cache_folder):
    data = load("celeba", root=celeba)
    assert data.train.shape == (7, 3, 64, 64) and data.test.shape == (3, 3, 64, 64)
    assert data.train.min() >= 0 and data.train.max() <= 1
    numbers = {"train": [0, 2, 4, 5, 7, 9, 11], "test": [1, 6, 10]}
    for split, images, labels, factors in (
        ("train", data.train, data.labels, data.factors),
        ("test", data.test, data.test_labels, data.test_factors),
    ):
        assert tuple(factors) == ATTRIBUTES
        for k, name in enumerate(ATTRIBUTES):
            assert factors[name].tolist() == [(i >> k) & 1 for i in numbers[split]]
        assert torch.equal(labels, factors["Smiling"])
        for i, image in zip(numbers[split], images, strict=True):
            middle = picture(i).crop((19, 39, 159, 179)).resize((64, 64), Image.Resampling.BOX)
            expected = torch.from_numpy(np.array(middle)).permute(2, 0, 1) / 255
            assert (image - expected).abs().mean() < 0.02
    assert data.classes == ("not smiling", "smiling")
    assert len(repr(data)) < 200 and "Smiling" not in repr(data)
    assert len(kept(cache_folder)) == 2


def test_celeba_is_read_once_for_each_size_and_in_grey_from_the_same_file(
    celeba, cache_folder, monkeypatch
):
    read = []
    real = photos._picture
    monkeypatch.setattr(
        photos, "_picture", lambda path, *rest: read.append(path.name) or real(path, *rest)
    )
    color = load("celeba", root=celeba, size=20)
    assert len(read) == 10
    assert torch.equal(load("celeba", root=celeba, size=20).train, color.train)
    grey = load("celeba", root=celeba, size=20, color=False)
    assert len(read) == 10 and grey.train.shape == (7, 1, 20, 20)
    weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)
    expected = (color.train * weights).sum(1, keepdim=True)
    torch.testing.assert_close(grey.train, expected, rtol=0, atol=0.5 / 255 + 1e-4)
    few = load("celeba", root=celeba, size=20, num_train=2, num_test=1)
    assert len(read) == 10 and torch.equal(few.train, color.train[:2])
    load("celeba", root=celeba, size=24)
    assert len(read) == 20


def test_num_train_limits_what_is_read_and_parts_make_the_whole(celeba, cache_folder, monkeypatch):
    whole = load("celeba", root=celeba, size=10)
    for path in kept(cache_folder):
        path.unlink()
    monkeypatch.setattr(photos, "PART", 3)
    read = []
    real = photos._picture
    monkeypatch.setattr(
        photos, "_picture", lambda path, *rest: read.append(path.name) or real(path, *rest)
    )
    few = load("celeba", root=celeba, size=10, num_train=4, num_test=1)
    assert read == ["000001.jpg", "000003.jpg", "000005.jpg", "000006.jpg", "000002.jpg"]
    assert torch.equal(few.train, whole.train[:4]) and torch.equal(few.labels, whole.labels[:4])
    read.clear()
    again = load("celeba", root=celeba, size=10)
    # The first part of the training images is whole; of the other two and the test there is more.
    assert len(read) == 7 - 3 + 3
    assert torch.equal(again.train, whole.train) and torch.equal(again.test, whole.test)


def test_another_folder_does_not_meet_the_kept_images(celeba):
    first = load("celeba", root=celeba, size=10)
    picture(99).save(celeba / "celeba" / "img_align_celeba" / "000001.jpg", quality=95)
    assert not torch.equal(load("celeba", root=celeba, size=10).train, first.train)


@pytest.mark.parametrize("how", ["truncated", "empty", "another shape"])
def test_a_damaged_kept_file_is_read_again(celeba, cache_folder, how):
    whole = load("celeba", root=celeba, size=10)
    path = next(p for p in kept(cache_folder) if p.name.startswith("train"))
    if how == "another shape":
        np.savez(path, images=np.zeros((7, 3, 5, 5), np.uint8))
    else:
        path.write_bytes(path.read_bytes()[: 300 if how == "truncated" else 0])
    with pytest.warns(UserWarning, match="is damaged .* read again") as notice:
        again = load("celeba", root=celeba, size=10)
    assert len(notice) == 1 and notice[0].filename == __file__
    assert torch.equal(again.train, whole.train)
    load("celeba", root=celeba, size=10)  # without a warning, which pytest would make an error


def test_a_cache_that_cannot_be_written_costs_only_the_cache(celeba, monkeypatch, tmp_path):
    whole = load("celeba", root=celeba, size=10)
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a file" / "cache"))
    with pytest.warns(UserWarning, match=r"could not be kept .* COURSE_CACHE"):
        assert torch.equal(load("celeba", root=celeba, size=10).train, whole.train)


def test_a_long_reading_shows_its_progress(celeba, monkeypatch, capsys):
    monkeypatch.setattr(photos, "SLOW", 5)
    load("celeba", root=celeba, size=10)
    assert "reading celeba (train)" in capsys.readouterr().err
    load("celeba", root=celeba, size=11, progress=False)
    assert capsys.readouterr() == ("", "")


def _cut(path, size=None):
    path.write_bytes(path.read_bytes()[: size or path.stat().st_size // 2])


def _swap(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("harm", "kind", "message"),
    [
        (lambda c: _cut(c / "img_align_celeba" / "000003.jpg"), ValueError, r"000003.jpg is damag"),
        (
            lambda c: (c / "img_align_celeba" / "000003.jpg").write_bytes(b"<html>"),
            ValueError,
            "000003.jpg is damaged .* Unpack",
        ),
        (
            lambda c: Image.new("RGB", (64, 64)).save(c / "img_align_celeba" / "000003.jpg"),
            ValueError,
            "64×64 pixels where 178×218",
        ),
        (
            lambda c: (c / "img_align_celeba" / "000005.jpg").unlink(),
            FileNotFoundError,
            "000005.jpg is missing",
        ),
        (
            lambda c: (c / "img_align_celeba" / "000001.jpg").unlink(),
            FileNotFoundError,
            "000001.jpg is missing",
        ),
        (
            lambda c: (c / "list_eval_partition.txt").unlink(),
            FileNotFoundError,
            "list_eval_partition.txt is missing",
        ),
        (lambda c: (c / "list_attr_celeba.txt").unlink(), FileNotFoundError, "list_attr_celeba"),
        (lambda c: _cut(c / "list_attr_celeba.txt"), ValueError, "list_attr_celeba.txt is damaged"),
        (lambda c: _cut(c / "list_attr_celeba.txt", 1), ValueError, "list_attr_celeba.txt is dam"),
        (lambda c: _swap(c / "list_attr_celeba.txt", " -1", " x"), ValueError, "times 1 or -1"),
        (lambda c: _swap(c / "list_attr_celeba.txt", " -1", ""), ValueError, "times 1 or -1"),
        (
            lambda c: _swap(c / "list_attr_celeba.txt", "000002.jpg", "900002.jpg"),
            ValueError,
            "no line for 000002.jpg",
        ),
        (
            lambda c: _swap(c / "list_eval_partition.txt", "000004.jpg 1", "000004.jpg"),
            ValueError,
            "line 4 is '000004.jpg'",
        ),
        (
            lambda c: (c / "list_eval_partition.txt").write_bytes(b"\x89PNG\xff"),
            ValueError,
            "is no text",
        ),
    ],
)
def test_a_missing_or_damaged_file_of_celeba_is_named(celeba, cache_folder, harm, kind, message):
    harm(celeba / "celeba")
    with pytest.raises(kind, match=message) as error:
        load("celeba", root=celeba)
    assert "\n" not in str(error.value)
    assert not any(path.name.startswith("train") for path in kept(cache_folder)) or "2" in message


def test_the_defaults_of_the_other_sets_are_as_before(cache_folder):
    assert load("strokes", num_train=2, num_test=2).train.shape == (2, 1, 28, 28)
    assert load("strokes", num_train=2, num_test=2, color=True).train.shape == (2, 3, 28, 28)
