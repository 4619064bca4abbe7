"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["check_writable", "replacing"]


def check_writable(path: str | os.PathLike) -> Path:
    """Return ``path`` if a file of that name could be written, and leave nothing behind.

    For work that takes long before it writes.

    Raises:
        OSError: it names a folder, or its folder can't be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file, one in it perhaps.")
    folder = path.parent
    while not os.path.lexists(folder):
        folder = folder.parent
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def _cannot_write(path: Path, error: OSError) -> OSError:
    return type(error)(
        f"{path} can't be written: {error.strerror or error}. "
        "Make room or give the permission, or choose a place where there are both."
    )


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise _cannot_write(path, error) from error
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
