"""What the learner predicted: one JSON file, never half written and never lost."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_lib.files import replacing
from course_lib.front_end import is_watched

FILE = "predictions.json"
_VERSION = 1


@dataclass(frozen=True)
class Note:
    """A prediction as it was written.

    Attributes:
        text: the option, number with unit, or words.
        written: ISO date and time with offset.
    """

    text: str
    written: str

    @property
    def day(self) -> str:
        """The date alone, such as ``2025-03-09``."""
        return self.written[:10]


def check_key(key: object) -> str:
    """Return ``key``; raise unless it is a short name of letters, digits, dots and dashes."""
    if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", key):
        raise ValueError(
            f"The key of a prediction is {key!r}; up to 64 letters, digits, '_', '.' or '-' were "
            "expected, for example '02-gap'."
        )
    return key


def folder() -> Path | None:
    """Return the folder of the notes, or None where nobody is there to have any.

    ``COURSE_NOTES`` names it; otherwise it is the user's data folder on this platform, and only
    where somebody watches: what a program stores in a notebook must not depend on whose it is.

    Raises:
        ValueError: ``COURSE_NOTES`` is a file.
    """
    named = os.environ.get("COURSE_NOTES")
    if named:
        path = Path(named).expanduser()
        if path.exists() and not path.is_dir():
            raise ValueError(
                f"COURSE_NOTES is {named!r}, which is a file; a folder was expected. "
                "Name another, or unset it."
            )
        return path
    return _user_folder() / "vae-course" if is_watched() else None


def read(key: str) -> list[Note]:
    """Return what was written under ``key``, oldest first."""
    where = folder()
    return _load(where).get(check_key(key), []) if where is not None else []


def write(key: str, text: str) -> Note:
    """Add a prediction under ``key`` and return it; earlier ones stay.

    Raises:
        OSError: the folder cannot be written.
    """
    where = folder()
    if where is None:
        raise OSError("There is no folder for notes here; set COURSE_NOTES to one.")
    note = Note(text, datetime.now().astimezone().isoformat(timespec="seconds"))
    notes = _load(where)
    notes.setdefault(check_key(key), []).append(note)
    data = {
        "version": _VERSION,
        "predictions": {
            k: [{"prediction": n.text, "written": n.written} for n in v] for k, v in notes.items()
        },
    }
    with replacing(where / FILE) as file:
        file.write(json.dumps(data, ensure_ascii=False, indent=1).encode("utf-8"))
    return note


def _load(where: Path) -> dict[str, list[Note]]:
    """Read the file; one that cannot be understood is renamed, so that nothing overwrites it."""
    path = where / FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        data = json.loads(content.decode("utf-8"))
        if data["version"] != _VERSION:
            raise ValueError("written by another version")
        return {
            check_key(key): [Note(_str(n["prediction"]), _str(n["written"])) for n in notes]
            for key, notes in data["predictions"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        number = 1
        while (aside := where / f"predictions.damaged-{number}.json").exists():
            number += 1
        os.replace(path, aside)
        return {}


def _str(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _user_folder() -> Path:
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / "Application Support"
    if os.name == "nt":
        return Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
    return Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
