"""Whether a test set really is held out: no image of it among the training images."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

__all__ = ["assert_disjoint", "shared_rows"]


def shared_rows(train: Tensor, test: Tensor) -> Tensor:
    """Return the numbers of the test images that are also among the training images, ``[M]``.

    Images are the same when all their pixels are. A shifted or otherwise similar image is not
    found, nor are two images of one writer or one scene, so an empty answer is necessary for an
    honest test set and not sufficient. Compare the images as loaded, before they are binarized.

    Args:
        train, test: ``[N, ...]`` and ``[M, ...]`` of one shape and dtype.
    """
    for name, t in (("train", train), ("test", test)):
        if not isinstance(t, Tensor) or t.dim() < 2:
            found = list(t.shape) if isinstance(t, Tensor) else type(t).__name__
            raise TypeError(f"{name} is {found}; a tensor of images [N, ...] was expected.")
    if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
        raise ValueError(
            f"train is {list(train.shape)}, {train.dtype}, and test {list(test.shape)}, "
            f"{test.dtype}; images of one shape and dtype were expected."
        )
    known = set(_digests(train))
    found = [i for i, digest in enumerate(_digests(test)) if digest in known]
    return torch.tensor(found, dtype=torch.int64)


def assert_disjoint(train: Tensor, test: Tensor) -> None:
    """Raise unless no test image is among the training images; see :func:`shared_rows`.

    Raises:
        ValueError: some are; the sentence says how many, and which is the first.
    """
    shared = shared_rows(train, test)
    if len(shared):
        raise ValueError(
            f"{len(shared):,} of {len(test):,} test images are also among the {len(train):,} "
            f"training images, the first in row {shared[0]}. What is measured on them says "
            "nothing about new images; leave them out of one of the two."
        )


def _digests(images: Tensor) -> list[bytes]:
    """Return 128 bits for each image, equal for equal images."""
    # Adding zero turns -0.0 into 0.0, which is equal to it but has other bytes.
    rows = (images.detach().flatten(1) + 0).cpu().contiguous().numpy()
    return [blake2b(row.data, digest_size=16).digest() for row in rows]
