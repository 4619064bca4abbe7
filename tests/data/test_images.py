"""load("strokes"): drawn once, kept, and drawn again whenever what was kept cannot be trusted."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import DATASETS, Images, available, cache, load, strokes
from course_lib.data.images import _as_float as as_float


@pytest.fixture
def drawings(cache_folder, monkeypatch):
    """The numbers of images drawn, in order; the 128 of the fingerprint do not count."""
    numbers = []
    draw = strokes.draw

    def counted(num_images, **options):
        if num_images != 128:
            numbers.append(num_images)
        return draw(num_images, **options)

    monkeypatch.setattr(strokes, "draw", counted)
    return numbers


def small(**options) -> Images:
    return load("strokes", num_train=40, num_test=20, size=14, **options)


def assert_equal(one: Images, other: Images) -> None:
    for field in dataclasses.fields(Images):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            assert all(torch.equal(a[key], b[key]) for key in a)
        elif isinstance(a, torch.Tensor):
            assert torch.equal(a, b)
        else:
            assert list(a) == list(b)


def test_images_are_what_was_drawn(cache_folder):
    data = small()
    assert data.name == "strokes"
    assert data.classes == tuple("0123456789")
    for split, images, labels, factors, captions in (
        ("train", data.train, data.labels, data.factors, data.captions),
        ("test", data.test, data.test_labels, data.test_factors, data.test_captions),
    ):
        drawn = strokes.draw(len(images), size=14, split=split)
        assert images.dtype == torch.float32
        assert (images.min(), images.max()) == (0, 1)
        assert torch.equal((images * 255).round().to(torch.uint8), drawn.images)
        assert torch.equal(labels, drawn.labels)
        assert factors.keys() == drawn.factors.keys()
        assert all(torch.equal(factors[key], drawn.factors[key]) for key in factors)
        assert list(captions) == list(drawn.captions)


def test_color(cache_folder):
    data = small(color=True)
    assert data.train.shape == (40, 3, 14, 14)
    assert "ink" in data.factors
    assert "ink" not in small().factors


def test_draws_once_and_reads_after(drawings):
    first = small()
    assert drawings == [40, 20]
    assert_equal(small(), first)
    assert drawings == [40, 20]


def test_each_size_and_version_is_kept_apart(drawings):
    small()
    load("strokes", num_train=40, num_test=20, size=16)
    small(color=True)
    assert drawings == [40, 20] * 3
    small()
    small(color=True)
    assert drawings == [40, 20] * 3


def test_fewer_are_the_first_rows_and_more_are_drawn(drawings):
    few = load("strokes", num_train=10, num_test=5, size=14)
    many = small()
    assert drawings == [10, 5, 40, 20]
    assert torch.equal(few.train, many.train[:10])
    again = load("strokes", num_train=10, num_test=5, size=14)
    assert drawings == [10, 5, 40, 20]
    assert_equal(again, few)


def test_another_drawing_code_does_not_meet_the_old_images(drawings, monkeypatch):
    old = small()
    draw = strokes.draw

    def inverted(num_images, **options):
        drawn = draw(num_images, **options)
        return dataclasses.replace(drawn, images=255 - drawn.images)

    monkeypatch.setattr(strokes, "draw", inverted)
    new = small()
    torch.testing.assert_close(new.train, 1 - old.train)
    monkeypatch.setattr(strokes, "draw", draw)
    drawings.clear()
    monkeypatch.setattr(strokes, "VERSION", strokes.VERSION + 1)
    small()
    assert drawings == [40, 20]


@pytest.mark.parametrize("how", ["truncated", "empty", "a flipped bit", "another format"])
def test_a_damaged_file_is_drawn_again(cache_folder, how):
    whole = small()
    (path,) = cache_folder.glob("*train*")
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    elif how == "a flipped bit":
        data[3000] ^= 1  # a pixel
    else:
        data = bytearray(b"hello")
    path.write_bytes(data)
    with pytest.warns(UserWarning, match=r"is damaged .* drawn again") as notice:
        again = small()
    assert len(notice) == 1
    assert "\n" not in str(notice[0].message)
    assert notice[0].filename == __file__  # the warning points at the caller of load
    assert_equal(again, whole)
    assert_equal(small(), whole)  # without a warning, which pytest would make an error


def test_a_cache_that_cannot_be_written_costs_only_the_cache(
    drawings, cache_folder, monkeypatch, tmp_path
):
    whole = small()
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "a file" / "cache"))
    with pytest.warns(UserWarning, match=r"could not be kept .* COURSE_CACHE"):
        assert_equal(small(), whole)
    assert drawings == [40, 20] * 2


def test_a_drawing_of_many_shows_its_progress(drawings, capsys):
    load("strokes", num_train=2000, num_test=5, size=14)
    assert "2000" in capsys.readouterr().err
    load("strokes", num_train=2000, num_test=5, size=14)
    load("strokes", num_train=2001, num_test=5, size=14, progress=False)
    assert capsys.readouterr() == ("", "")


def test_the_default_data_set(drawings, monkeypatch):
    assert load(num_train=3, num_test=3).name == "strokes"
    monkeypatch.setenv("COURSE_DATASET", "")
    assert load(num_train=3, num_test=3).name == "strokes"
    monkeypatch.setenv("COURSE_DATASET", "mnits")
    with pytest.raises(ValueError, match="Unknown data set 'mnits'. Did you mean 'mnist'"):
        load()


def test_a_name_is_met_with_the_nearest(cache_folder):
    with pytest.raises(ValueError, match="'fashion-mnist'. Did you mean 'fashion_mnist'"):
        load("fashion-mnist")


@given(
    name=st.sampled_from(DATASETS),
    option=st.sampled_from(["num_train", "num_test", "size"]),
    value=st.integers(max_value=0) | st.floats() | st.booleans() | st.text(max_size=3),
)
def test_bad_numbers_are_refused_at_the_door(name, option, value):
    with pytest.raises(ValueError, match=f"{option} is .* a whole number from [18] to"):
        load(name, **{option: value})


def test_shrinking_averages_what_it_drops():
    stripes = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    stripes[..., ::2] = 255
    for size in (9, 10, 14):
        grey = as_float(stripes, size)[..., 1:-1, 1:-1]
        assert (grey - 0.5).abs().max() < 0.1  # sampling alone would leave some of the stripes


def test_repr_is_short_and_says_what_there_is(cache_folder):
    first, second = repr(small()).split("\n")
    assert first == "strokes: 40 training and 20 test images of 1×14×14, 10 classes"
    assert "slant" in second
    assert "captions" in second


def test_inconsistent_parts_are_refused(cache_folder):
    data = small()
    for change in (
        {"labels": data.labels[:-1]},
        {"test_labels": data.labels},
        {"factors": {"slant": torch.zeros(3)}},
        {"captions": ["one"]},
        {"test": data.test[:, :, 1:]},
        {"train": data.train[0]},
    ):
        with pytest.raises(AssertionError):
            dataclasses.replace(data, **change)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "another"


def test_available_says_what_load_will_do(cache_folder):
    said = available()
    assert tuple(said) == DATASETS
    assert said["strokes"].startswith("will be drawn")
    assert said["kmnist"].startswith("will be downloaded")
    assert str(cache_folder) in said["kmnist"]
    assert not cache_folder.exists()
    load("strokes", num_train=5, num_test=5)
    assert available()["strokes"] == f"drawn, kept in {cache_folder}"


@pytest.mark.parametrize(
    ("platform", "settings", "expected"),
    [
        ("linux", {}, ".cache/vae-course"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/vae-course"),
        ("darwin", {"XDG_CACHE_HOME": "/elsewhere"}, "Library/Caches/vae-course"),
        ("win32", {}, "AppData/Local/vae-course"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/vae-course"),
        ("linux", {"COURSE_CACHE": "/mine"}, "/mine"),
        ("linux", {"COURSE_CACHE": "~/mine"}, "mine"),
    ],
)
def test_the_cache_folder_is_where_the_platform_keeps_its_own(
    monkeypatch, platform, settings, expected
):
    for name in ("COURSE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert cache.folder() == Path.home() / expected


def test_importing_the_room_imports_nothing_slow():
    code = (
        "import sys, course_lib.data; "
        "print(*{'torchvision', 'matplotlib', 'sklearn', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
