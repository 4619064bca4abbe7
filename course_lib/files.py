"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """Write a file so that a reader sees the old one or the whole new one, never a part.

    Used as ``with replacing(path) as file: file.write(...)``. The bytes go to a neighbor in the
    same folder, reach the disk, and take the name ``path`` in one step; after an error, an
    interrupt or a power cut the old file stands as it was.

    Args:
        path: the file to write; its folder is created.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets only the owner read; give the file the mode that open() would have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
