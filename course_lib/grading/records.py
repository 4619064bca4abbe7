"""Grades that outlast the run: one file for each student and set, written whole or not at all.

``GRADES/records/STUDENT/SET.json`` holds a grade and the key of what it is the grade of: the cells
of the submission, the set with its tests, the code that decides, and the seed. A run that finds the
key again does nothing. ::

    records = Records("grades")
    records.keep(Record(key, "anna", "03_kl", "anna_03_kl.ipynb", (), graded))
    records.find("anna", "03_kl").graded.points
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from nbformat import NotebookNode

from course_lib.files import replacing
from course_lib.grading.verdicts import Answer, Flag, Graded, Verdict

__all__ = ["Record", "Records", "from_plain", "key_of", "to_plain"]

_PACKAGE = Path(__file__).resolve().parents[1]
_DECIDES = ("checks", "grading/assignments.py", "grading/hidden.py", "grading/inside.py")
_DECIDES += ("grading/notebooks.py", "grading/reading.py", "grading/verdicts.py")
_LONGEST = 150  # bytes of a file's name, which most disks end at 255


@dataclass(frozen=True)
class Record:
    """The grade of one submission, and where it came from.

    Attributes:
        key: of what was graded, see :func:`key_of`.
        student: whose it is; for a file of nobody its own name.
        assignment: the name of the set, or ``""`` where that cannot be known.
        file: what was handed in, for a person to find.
        notes: sentences about how it was handed in.
        graded: the grade; None where not even the set is known.
        problem: why there is no grade.
        known: whether it is known whose it is.
        path: of the notebook on the disk, or of the zip that it is in.
    """

    key: str
    student: str
    assignment: str
    file: str
    notes: tuple[str, ...]
    graded: Graded | None
    problem: str | None = None
    known: bool = True
    path: str = ""

    @property
    def for_a_person(self) -> tuple[str, ...]:
        """What a person has to look at, in sentences."""
        said = self.graded.for_a_person if self.graded else ()
        # It may have taken the place of the right one, or have come after its last day.
        said += tuple(note for note in self.notes if note.startswith("By its place "))
        return said if self.problem is None or self.problem in said else (self.problem, *said)


class Records:
    """The folder of all grades; made when the first one is kept.

    Args:
        folder: the one that the user named for the grades.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder) / "records"

    def keep(self, record: Record) -> None:
        """Write a record, in place of the one of the same student and set."""
        graded = to_plain(record.graded) if record.graded else None
        plain = {**{k: v for k, v in vars(record).items() if k != "graded"}, "graded": graded}
        path = self._path(record.student, record.assignment)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(json.dumps(plain, indent=1).encode())

    def drop(self, record: Record) -> None:
        """Forget a record."""
        self._path(record.student, record.assignment).unlink(missing_ok=True)

    def find(self, student: str, assignment: str) -> Record | None:
        """Return the record of a student and a set; None where there is none."""
        return _read(self._path(student, assignment))

    def __iter__(self) -> Iterator[Record]:
        """Yield all records, by student and set."""
        found = filter(None, map(_read, self.folder.glob("*/*.json")))
        return iter(sorted(found, key=lambda one: (one.student, one.assignment)))

    def damaged(self) -> list[Path]:
        """Return the files that are no record, or one of another version of this library."""
        return [path for path in sorted(self.folder.glob("*/*.json")) if _read(path) is None]

    def _path(self, student: str, assignment: str) -> Path:
        return self.folder / file_name(student) / f"{file_name(assignment or 'unknown')}.json"


def file_name(name: str) -> str:
    """Return a name as that of a file: no path, not hidden, not too long for a disk.

    Names that differ stay apart, and none is taken for a page or a record.
    """
    kept = name.encode("utf-8", "replace").decode().replace("/", " ").replace("\0", " ").strip()
    kept = f"_{kept}" if kept.startswith(".") or not kept else kept
    taken = kept.lower().endswith((".html", ".json"))
    if kept != name or taken or len(kept.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        kept = kept.encode()[: _LONGEST - 13].decode(errors="ignore") + f"-{digest}"
    return kept


def _read(path: Path) -> Record | None:
    """Return a record; None where there is none, or one of another version of this library."""
    try:
        plain = json.loads(path.read_bytes())
        if not all(isinstance(plain[one], str) for one in ("key", "student", "assignment")):
            return None
        graded = from_plain(plain["graded"]) if plain["graded"] else None
        return Record(**plain | {"notes": tuple(plain["notes"]), "graded": graded})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def to_plain(graded: Graded) -> dict:
    """Return a grade in the kinds of JSON."""
    return asdict(graded)


def from_plain(plain: dict) -> Graded:
    """Return the grade that :func:`to_plain` took apart.

    Raises:
        KeyError, TypeError: it is none.
    """
    verdicts = tuple(
        Verdict(**one | {"details": tuple((h, t) for h, t in one["details"])})
        for one in plain["verdicts"]
    )
    answers = tuple(Answer(**one) for one in plain["answers"])
    flags = tuple(Flag(**one) for one in plain["flags"])
    return Graded(**plain | {"verdicts": verdicts, "answers": answers, "flags": flags})


def key_of(notebook: NotebookNode | str, tests: bytes, seed: int, unsafe: bool) -> str:
    """Return what stands for all that a grade depends on.

    Args:
        notebook: what was handed in, or the sentence that says why it cannot be read.
        tests: the file of the set in ``solutions``.
        seed: of the hidden inputs.
        unsafe: whether it runs without a sandbox.
    """
    text = json.dumps([notebook, seed, unsafe], sort_keys=True)
    return hashlib.sha256(b"\n".join([text.encode(), tests, decides()])).hexdigest()


@cache
def decides() -> bytes:
    """Return a digest of the code that decides what an answer is worth."""
    digest = hashlib.sha256()
    for name in _DECIDES:
        place = _PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.digest()
