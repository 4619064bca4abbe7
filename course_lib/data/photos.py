"""Photographs from folders of the user's: CIFAR-10 and CelebA, as torchvision lays them out.

Nothing is downloaded. torchvision's own readers ask for more than is needed here: of CelebA five
text files, the boxes and landmarks of the faces among them, and of CIFAR-10 the names of the
classes in a file. So what the course needs is read here.

Sources: Krizhevsky 2009 ("Learning multiple layers of features from tiny images") for CIFAR-10;
Liu et al. 2015 (arXiv 1411.7766) for CelebA.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from course_lib.data import cache
from course_lib.errors import check_split_size
from course_lib.files import replacing

__all__ = ["CLASSES", "PHOTOS", "describe", "luma", "read"]

PHOTOS = {"cifar10": 32, "celeba": 64}
"""Name to the height and width that ``load`` gives the images by default."""

CLASSES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "celeba": ("not smiling", "smiling"),
}  # fmt: skip

CIFAR_FOLDER = "cifar-10-batches-py"
# The MD5 sums decide before anything is unpickled: a pickle can hold any program.
CIFAR_MD5 = {
    "train": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    "test": {"test_batch": "40351d587109b95175f43aff81a1287e"},
}

CELEBA_FOLDER, CELEBA_IMAGES = "celeba", "img_align_celeba"
PARTITION, ATTRIBUTES = "list_eval_partition.txt", "list_attr_celeba.txt"
CELEBA_SPLITS = {"train": "0", "test": "2"}  # 1 is for validation, which fit takes from train
CELEBA_SIZE = (178, 218)  # width and height of the aligned pictures
CROP = 140
VERSION = 1  # of how pictures become pixels; another one does not meet what is kept of this
PART = 2_000  # pictures in one kept file, some seconds of reading
SLOW = 2_000  # from this many on, reading takes long enough for a progress bar
LUMA = (19595, 38470, 7471)  # 0.299, 0.587 and 0.114 times 2^16


class Split(NamedTuple):
    """A split, whose images are read when they are asked for.

    Attributes:
        parts: uint8 ``[n, 3, S, S]`` one after the other, ``num_images`` in all.
        num_images: how many.
        labels: int64 ``[N]``.
        factors: int64 ``{name: [N]}``, or None.
    """

    parts: Iterator[Tensor]
    num_images: int
    labels: Tensor
    factors: dict[str, Tensor] | None


def luma(pixels: Tensor) -> Tensor:
    """Return the grey levels of uint8 ``[N, 3, H, W]``, uint8 ``[N, 1, H, W]``.

    0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), rounded as Pillow does.
    """
    weights = torch.tensor(LUMA, dtype=torch.int32).reshape(3, 1, 1)
    total = (pixels.to(torch.int32) * weights).sum(1, keepdim=True)
    return ((total + 2**15) // 2**16).to(torch.uint8)


def read(
    name: str,
    counts: dict[str, int | None],
    *,
    size: int,
    root: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, Split]:
    """Return ``{"train": Split, "test": Split}``.

    Args:
        name: a key of :data:`PHOTOS`.
        counts: for each split how many images to read, the first ones; None for all.
        size: height and width of CelebA's images. CIFAR-10 comes as it is, 32×32.
        root: the folder that holds ``cifar-10-batches-py`` or ``celeba``. Default:
            ``COURSE_DATA``, or else the cache folder. Nothing is written into either.
        progress: show a bar when reading takes more than a moment.

    Raises:
        FileNotFoundError: a file or folder is not there; the message says how to get it.
        ValueError: a file is damaged, or there are fewer images than asked for.
    """
    base = _base(root)
    if name == "cifar10":
        return _read_cifar10(base, counts)
    return _read_celeba(base, counts, size, progress)


def describe(name: str) -> str:
    """Say in a phrase whether a data set is there."""
    base = _base(None)
    if name == "cifar10":
        folder = base / CIFAR_FOLDER
        needed = [folder / file for files in CIFAR_MD5.values() for file in files]
    else:
        folder = base / CELEBA_FOLDER
        needed = [folder / file for file in (CELEBA_IMAGES, PARTITION, ATTRIBUTES)]
    missing = [path for path in needed if not path.exists()]
    if not missing:
        return f"in {folder}"
    if not folder.exists():
        return f"not there (optional, no download): {folder} is missing"
    return f"not usable: {missing[0]} is missing"


def _base(root: str | os.PathLike[str] | None) -> Path:
    named = root if root is not None else os.environ.get("COURSE_DATA") or None
    return cache.folder() if named is None else Path(named).expanduser()


def _missing(path: Path, base: Path, name: str) -> FileNotFoundError:
    """Return the error for a file that is not there."""
    if name == "cifar10":
        what = f"the folder {CIFAR_FOLDER} of CIFAR-10, as torchvision keeps it,"
        how = (
            'Get it (170 MB) with `python -c "from torchvision.datasets import CIFAR10; '
            f"CIFAR10('{base}', download=True)\"`"
        )
    else:
        what = f"the folder {CELEBA_FOLDER} with {CELEBA_IMAGES}, {PARTITION} and {ATTRIBUTES}"
        how = (
            "Get the three (the pictures as a zip of 1.4 GB, to be unpacked there) from "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
        )
    return FileNotFoundError(
        f"{path} is missing; {what} was expected in {base}, and the course does not download it. "
        f"{how}, or set COURSE_DATA to the folder that holds it, or use the data set strokes, "
        "which has a color version."
    )


def _read_cifar10(base: Path, counts: dict[str, int | None]) -> dict[str, Split]:
    splits = {}
    for split, files in CIFAR_MD5.items():
        batches = [_cifar10_batch(base, file, md5) for file, md5 in files.items()]
        pixels = torch.cat([images for images, _ in batches])
        num = check_split_size(counts[split], split, "cifar10", len(pixels))
        labels = torch.cat([labels for _, labels in batches])[:num].clone()
        splits[split] = Split(iter(pixels[:num].split(4096)), num, labels, None)
    return splits


def _cifar10_batch(base: Path, file: str, md5: str) -> tuple[Tensor, Tensor]:
    """Return the images of one file, uint8 ``[N, 3, 32, 32]``, and its labels, int64 ``[N]``."""
    path = base / CIFAR_FOLDER / file
    try:
        packed = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path, base, "cifar10") from None
    found = hashlib.md5(packed, usedforsecurity=False).hexdigest()
    if found != md5:
        raise ValueError(
            f"{path} has MD5 sum {found} where {md5} was expected: it is damaged or of another "
            "release. Delete it and get CIFAR-10 again (the python version)."
        )
    with warnings.catch_warnings():
        # They were pickled by a numpy of 2009, which today's takes note of.
        warnings.simplefilter("ignore")
        entry = pickle.loads(packed, encoding="latin1")
    images = torch.from_numpy(np.array(entry["data"], dtype=np.uint8)).reshape(-1, 3, 32, 32)
    return images, torch.tensor(entry["labels"], dtype=torch.int64)


def _read_celeba(
    base: Path, counts: dict[str, int | None], size: int, progress: bool
) -> dict[str, Split]:
    folder = base / CELEBA_FOLDER
    if not (folder / CELEBA_IMAGES).is_dir():
        raise _missing(folder / CELEBA_IMAGES, base, "celeba")
    names: dict[str, list[str]] = {split: [] for split in CELEBA_SPLITS}
    split_of = {number: split for split, number in CELEBA_SPLITS.items()}
    for i, line in enumerate(_lines(folder / PARTITION, base), 1):
        words = line.split()
        if len(words) != 2 or words[1] not in ("0", "1", "2"):
            raise ValueError(
                f"{folder / PARTITION} is damaged: line {i} is {line[:40]!r}, and the name of a "
                "picture and 0, 1 or 2 were expected. Get it again."
            )
        if words[1] in split_of:
            names[split_of[words[1]]].append(words[0])
    attributes, rows = _attributes(folder / ATTRIBUTES, base)
    splits = {}
    for split, files in names.items():
        num = check_split_size(counts[split], split, "celeba", len(files))
        factors = _factors(folder / ATTRIBUTES, attributes, rows, files[:num])
        parts = _parts(base, split, files, num, size, progress)
        splits[split] = Split(parts, num, factors["Smiling"].clone(), factors)
    return splits


def _lines(path: Path, base: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise _missing(path, base, "celeba") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is damaged: it is no text. Get it again.") from None


def _attributes(path: Path, base: Path) -> tuple[list[str], dict[str, str]]:
    """Return the attributes' names, and for each picture the text of its values."""
    lines = _lines(path, base)
    names = lines[1].split() if len(lines) > 1 else []
    rows = dict(line.split(maxsplit=1) for line in lines[2:] if len(line.split(maxsplit=1)) == 2)
    if "Smiling" not in names or lines[0].strip() != str(len(rows)):
        raise ValueError(
            f"{path} is damaged: the number of pictures, the names of the attributes (Smiling "
            f"among them) and one line for each picture were expected. It has {len(names)} names "
            f"and {len(rows):,} whole lines, and says {lines[0][:20] if lines else ''!r} of them. "
            "Get it again."
        )
    return names, rows


def _factors(
    path: Path, attributes: list[str], rows: dict[str, str], files: list[str]
) -> dict[str, Tensor]:
    """Return for each attribute 0 or 1 for each of ``files``, int64 ``[N]``."""
    unknown = next((file for file in files if file not in rows), None)
    if unknown is not None:
        raise ValueError(
            f"{path} has no line for {unknown}, which {PARTITION} lists; files of one release "
            "were expected. Get both again."
        )
    words = [rows[file].split() for file in files]
    wrong = next((f for f, w in zip(files, words, strict=True) if len(w) != len(attributes)), None)
    values = np.array([] if wrong else words)
    if wrong or not ((values == "1") | (values == "-1")).all():
        raise ValueError(
            f"{path} is damaged{f' at {wrong}' if wrong else ''}: {len(attributes)} times 1 or -1 "
            "were expected for each picture. Get it again."
        )
    table = torch.from_numpy((values == "1").astype(np.int64))
    return {name: table[:, i].clone() for i, name in enumerate(attributes)}


def _parts(
    base: Path, split: str, files: list[str], num_images: int, size: int, progress: bool
) -> Iterator[Tensor]:
    """Yield the first ``num_images`` pictures of a split in parts of up to ``PART``."""
    from tqdm.auto import tqdm

    show = progress and num_images >= SLOW
    with tqdm(
        total=num_images, desc=f"reading celeba ({split})", disable=not show, leave=False
    ) as bar:
        for start in range(0, num_images, PART):
            num = min(PART, num_images - start)
            yield _part(base, split, files[start : start + PART], num, start // PART, size, bar)


def _part(
    base: Path, split: str, files: list[str], num_images: int, number: int, size: int, bar
) -> Tensor:
    """Return the first ``num_images`` of ``files``, uint8 ``[N, 3, S, S]``, kept or read.

    A kept file holds as many as were ever asked for at once. Its name holds the version of this
    code and a fingerprint: the names of the pictures, and the bytes of the first.
    """
    folder = base / CELEBA_FOLDER / CELEBA_IMAGES
    try:
        fingerprint = hashlib.sha256("\n".join(files).encode() + (folder / files[0]).read_bytes())
    except FileNotFoundError:
        raise _missing(folder / files[0], base, "celeba") from None
    mark = f"v{VERSION}-{fingerprint.hexdigest()[:12]}"
    path = cache.folder() / f"celeba-{size}" / f"{split}-{number:03d}-{mark}.npz"
    if path.exists():
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                kept = file["images"]
            if kept.shape[1:] != (3, size, size) or kept.dtype != np.uint8:
                raise ValueError(f"it holds {kept.dtype} {list(kept.shape)}")
            if len(kept) >= num_images:
                bar.update(num_images)
                return torch.from_numpy(kept[:num_images])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"{path} is damaged ({error}); its pictures are read again.", stacklevel=5
            )
    images = np.empty((num_images, 3, size, size), dtype=np.uint8)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        try:
            paths = [folder / file for file in files[:num_images]]
            for i, image in enumerate(pool.map(lambda p: _picture(p, base, size), paths)):
                images[i] = image
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)  # do not make Ctrl-C wait for the rest
            raise
    try:
        with replacing(path) as file:
            np.savez(file, images=images)
    except OSError as error:
        warnings.warn(
            f"The small images could not be kept in {path.parent} ({error.strerror or error}), so "
            "the pictures will be read again next time. Set COURSE_CACHE to a folder that you may "
            "write and that has room.",
            stacklevel=5,
        )
    return torch.from_numpy(images)


def _picture(path: Path, base: Path, size: int) -> np.ndarray:
    """Return the middle 140×140 pixels of a picture as uint8 ``[3, S, S]``.

    Source: Tolstikhin et al. 2018 (arXiv 1711.01558), appendix, for the crop, which keeps the face
    and leaves out most of what is behind it.
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            found = picture.size
            color = picture.convert("RGB") if found == CELEBA_SIZE else None
    except FileNotFoundError:
        raise _missing(path, base, "celeba") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error}). Unpack {CELEBA_IMAGES}.zip again."
        ) from None
    if color is None:
        raise ValueError(
            f"{path} has {found[0]}×{found[1]} pixels where {CELEBA_SIZE[0]}×{CELEBA_SIZE[1]} "
            f"were expected. Take the pictures of {CELEBA_IMAGES}.zip as they are."
        )
    left, top = (CELEBA_SIZE[0] - CROP) // 2, (CELEBA_SIZE[1] - CROP) // 2
    middle = color.crop((left, top, left + CROP, top + CROP))
    small = middle.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(small).transpose(2, 0, 1)
