"""Where the library keeps what it has drawn or downloaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["folder"]


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
