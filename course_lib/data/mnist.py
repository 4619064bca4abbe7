"""The MNIST family on disk: where the files are, whether they are whole, and how to get them.

All are in the IDX format: a magic number, the sizes of the axes, then one byte per value
(LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). torchvision reads them and
says where they are served; it only looks at file names, so what is in the files is checked here.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import warnings
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from course_lib.data import cache
from course_lib.data.download import fetch
from course_lib.files import replacing

__all__ = ["FAMILY", "describe", "read"]

# Data set -> class in torchvision.datasets, which is also the name of its folder.
FAMILY = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
MEGABYTES = {"mnist": 12, "fashion_mnist": 31, "kmnist": 21}
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# MD5 sums of the unpacked files. torchvision has those of the packed ones, which a folder need
# not hold. None are published for KMNIST: there the header and the length are checked.
MD5 = {
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    "kmnist": {},
}
# Tried after torchvision's own mirrors, of which the last for MNIST often refuses and the other
# two sets have one only. The MD5 sum decides whether a file is the right one.
MORE_MIRRORS = {
    "mnist": ["https://storage.googleapis.com/cvdf-datasets/mnist/"],
    "fashion_mnist": ["https://storage.googleapis.com/tensorflow/tf-keras-datasets/"],
    "kmnist": ["https://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
}


class Split(NamedTuple):
    """Images uint8 ``[N, 28, 28]`` and labels int64 ``[N]``."""

    images: Tensor
    labels: Tensor


def fault(path: Path, md5: str | None) -> str | None:
    """Return what is wrong with the IDX file ``path``, or None if it is whole."""
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
            axes = 3 if "idx3" in path.name else 1
            if len(head) < 4 + 4 * axes or head[:4] != bytes((0, 0, 8, axes)):
                return f"does not start like an IDX file of bytes with {axes} axes"
            sizes = struct.unpack(f">{axes}I", head[4 : 4 + 4 * axes])
            expected = 4 + 4 * axes + math.prod(sizes)
            if length != expected:
                return f"has {length:,} bytes where its header announces {expected:,}"
            if md5 is not None:
                file.seek(0)
                found = hashlib.md5(usedforsecurity=False)
                while chunk := file.read(1 << 20):
                    found.update(chunk)
                if found.hexdigest() != md5:
                    return f"has MD5 sum {found.hexdigest()} where {md5} was expected"
    except (FileNotFoundError, NotADirectoryError):
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return None


def _place(name: str, root: str | os.PathLike[str] | None) -> tuple[Path, bool]:
    """Return the folder of the raw files, and whether the library may write there."""
    named = root if root is not None else os.environ.get("COURSE_DATA") or None
    base = cache.folder() if named is None else Path(named).expanduser()
    return base / FAMILY[name] / "raw", named is None


def _faults(name: str, folder: Path) -> dict[str, str]:
    """Return ``{file: what is wrong}`` for the files of a data set that are not whole."""
    found = {f: fault(folder / f, MD5[name].get(f)) for pair in FILES.values() for f in pair}
    return {file: what for file, what in found.items() if what is not None}


def _unusable(
    name: str, folder: Path, faults: dict[str, str], root: str | os.PathLike[str] | None
) -> OSError | ValueError:
    """Return the error for a folder of the user's that is not as it should be."""
    file, what = next(iter(faults.items()))
    others = f" (and {len(faults) - 1} more of its files are not right)" if len(faults) > 1 else ""
    packed = f" Unpack {file}.gz there first." if (folder / f"{file}.gz").exists() else ""
    given = ["leave out root"] * (root is not None)
    given += ["unset COURSE_DATA"] * bool(os.environ.get("COURSE_DATA"))
    kind = FileNotFoundError if what == "is missing" else ValueError
    return kind(
        f"{folder / file} {what}{others}; the four unpacked IDX files of {FAMILY[name]} were "
        f"expected there, and nothing is downloaded into a folder that you name.{packed} "
        f"Put them there, or {' and '.join(given)} to download them, or set COURSE_DATASET=strokes."
    )


def _download(name: str, folder: Path, files: dict[str, str], progress: bool) -> None:
    """Download ``files`` into ``folder``, each whole or not at all."""
    from torchvision import datasets

    source = getattr(datasets, FAMILY[name])
    mirrors = [*source.mirrors, *MORE_MIRRORS[name]]
    packed_md5 = dict(source.resources)
    for file in files:
        packed = f"{file}.gz"
        try:
            with replacing(folder / file) as partial:
                urls = [mirror + packed for mirror in mirrors]
                partial.write(gzip.decompress(fetch(urls, packed_md5[packed], progress=progress)))
        except ConnectionError as error:
            raise ConnectionError(
                f"{packed} of {FAMILY[name]} could not be downloaded ({error}). Without a "
                f"network set COURSE_DATASET=strokes, which is drawn here, or COURSE_DATA=folder "
                f"with {FAMILY[name]}/raw in it."
            ) from None
        except OSError as error:
            raise OSError(
                f"{folder} cannot be written ({error.strerror or error}), and {FAMILY[name]} has "
                "to be kept there. Set COURSE_CACHE to a folder that you may write."
            ) from None


def read(
    name: str, *, root: str | os.PathLike[str] | None = None, progress: bool = True
) -> dict[str, Split]:
    """Return ``{"train": Split, "test": Split}``, downloaded first where that is allowed.

    Args:
        name: a key of :data:`FAMILY`.
        root: the folder that holds, say, ``MNIST/raw``, as torchvision calls it. Default:
            ``COURSE_DATA``; nothing is written into either. Without them the cache folder, where
            files that are missing or damaged are downloaded.
        progress: show progress bars.

    Raises:
        FileNotFoundError, ValueError: a file in the user's own folder is missing, is damaged.
        ConnectionError: a file had to be downloaded and could not be.
        OSError: the cache folder cannot be written.
    """
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder, ours = _place(name, root)
    if faults := _faults(name, folder):
        if not ours:
            raise _unusable(name, folder, faults, root)
        for file, what in faults.items():
            if what != "is missing":
                warnings.warn(f"{folder / file} {what}; it is downloaded again.", stacklevel=4)
        _download(name, folder, faults, progress)
    splits = {
        split: Split(read_image_file(str(folder / i)), read_label_file(str(folder / l)))
        for split, (i, l) in FILES.items()
    }
    for images, labels in splits.values():
        if len(images) != len(labels):
            raise ValueError(
                f"{folder} holds {len(images):,} images but {len(labels):,} labels; files of one "
                f"release of {FAMILY[name]} were expected. Replace them."
            )
    return splits


def describe(name: str) -> str:
    """Say in a phrase whether a data set is there and what ``load`` would do; no network."""
    folder, ours = _place(name, None)
    faults = _faults(name, folder)
    if not faults:
        return f"in {folder}"
    if ours:
        return f"will be downloaded on first use ({MEGABYTES[name]} MB) to {folder}"
    file, what = next(iter(faults.items()))
    return f"not usable: {folder / file} {what} (COURSE_DATA names this folder)"
