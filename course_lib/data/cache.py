"""Where the library keeps what it has drawn or downloaded, and how it writes there."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["folder", "replacing"]


def folder() -> Path:
    """Return the cache folder: ``COURSE_CACHE``, or ``vae-course`` in the user's cache folder.

    The folder is not created here, so that asking costs nothing and cannot fail.
    """
    if named := os.environ.get("COURSE_CACHE"):
        return Path(named).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "vae-course"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that a reader sees the old one or the whole new one, never a part.

    Used as ``with replacing(path) as file: file.write(...)``. The bytes go to a neighbor in the
    same folder, reach the disk, and take the name ``path`` in one step; after an error, an
    interrupt or a power cut the old file stands as it was.

    Args:
        path: the file to write; its folder is created.

    Raises:
        OSError: the folder or the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp lets only the owner read; a cache may be shared by a class.
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
