"""Find what was handed in: in the layouts that nbgrader, folders and learning platforms have.

- nbgrader: ``submitted/STUDENT/SET/SET.ipynb``, also from one folder higher or deeper;
- a folder for each student: ``anna/03_kl.ipynb``;
- a folder of files: ``anna_03_kl.ipynb``, ``03_kl_anna.ipynb``, ``anna.ipynb``;
- Moodle's zip: ``Anna Muster_123456_assignsubmission_file_/03_kl (1).ipynb``;
- Canvas' zip: ``musteranna_LATE_1234_98765_03_kl-2.ipynb``;
- zips within folders and within those zips.

Nothing is unpacked to the disk, and no link is followed. What is wrong with one file is a sentence
in its :class:`Submission`, and the others are found all the same.
"""

from __future__ import annotations

import io
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from nbformat import NotebookNode

from course_lib.grading.assignments import Assignment, defined
from course_lib.grading.notebooks import read_notebook

__all__ = ["MOST_BYTES", "Submission", "find_submissions"]

MOST_BYTES = 400_000_000  # of one file, after unpacking; a notebook with a huge output is graded
MOST_FILES = 20_000
MOST_OF_ZIP = (20_000_000_000, 2_000_000_000)  # bytes of all files in a zip, and in one inside it
_DEEPEST = 2  # a zip in a zip
_IGNORED = {"__MACOSX", "Thumbs.db", "desktop.ini", "timestamp.txt"}

_MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?(.*)")
_CANVAS = re.compile(
    r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<number>\d+)_\d+_(?P<file>.+)", re.IGNORECASE
)
# Not a bare number: "team 7" and "team 8" are two teams. Canvas adds one to its own names.
_VERSION = re.compile(
    r"[ _-]*(?:\((\d+)\)|[ _-]v(\d{1,3})|[ _-]+copy(?:[ _-]*\(?(\d+)\)?)?)$", re.I
)
_CANVAS_VERSION = re.compile(r"-(\d{1,3})$")
_NOBODY = {"submitted", "submissions", "handed_in", "downloads", "tmp"}  # names of folders


@dataclass(frozen=True)
class Submission:
    """One notebook of one student.

    Attributes:
        student: whose it is, as the layout says.
        assignment: the name of the set, or None where that cannot be known.
        path: the file on the disk: the notebook, or the zip that it is in.
        members: its name in the zip, and in the zip within that.
        problem: a sentence if it cannot be graded.
        notes: sentences: handed in late, which of several versions this is.
        misplaced: whether its cells are of another set than its place says.
    """

    student: str
    assignment: str | None
    path: Path
    members: tuple[str, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()
    misplaced: bool = False

    @property
    def name(self) -> str:
        """Where it is, for a person."""
        return "/".join([self.path.name, *self.members])

    def read(self) -> NotebookNode | str:
        """Return the notebook, or a sentence that says why it cannot be read."""
        if self.problem:
            return self.problem
        try:
            return read_notebook(_read(self.path, self.members))
        except _Unreadable as error:
            return str(error)


class _Unreadable(Exception):
    """A file that cannot be read; the text is the sentence."""


@dataclass(frozen=True)
class _File:
    """A file that was found, before anybody knows what it is.

    ``parts`` is its place below the folder that was given, a zip being a folder.
    """

    parts: tuple[str, ...]
    path: Path
    members: tuple[str, ...]
    changed: float
    problem: str | None = None


@dataclass(frozen=True)
class _Owner:
    student: str
    number: str = ""  # the platform's, which tells apart two people of one name
    rest: str = ""  # the file's name without the student's
    version: int = 0
    late: bool = False


def find_submissions(
    path: str | os.PathLike, sets: Mapping[str, Assignment], *, assignment: str | None = None
) -> list[Submission]:
    """Find all submissions below ``path``.

    The set is decided by what is in the notebook: nbgrader's ids, then the names of its functions;
    then by the name of the file. Of several versions the highest number, and then the newest, is
    taken, and a note says so.

    Args:
        path: a folder, a zip, or one notebook.
        sets: the sets of the course by name, from ``read_assignments``.
        assignment: the set that was handed in, where nothing else says so.

    Returns:
        The submissions, sorted by student and set.

    Raises:
        ValueError: there is nothing at ``path``, or no set is called ``assignment``.
    """
    path = Path(path).absolute()
    if assignment is not None and assignment not in sets:
        raise ValueError(f"No set is called {assignment!r}. Known: {', '.join(sorted(sets))}.")
    if not path.exists():
        raise ValueError(f"There is no {path}; a folder, a zip or a notebook was expected.")
    folder = path if path.is_dir() else path.parent
    above = () if zipfile.is_zipfile(path) else (folder.parent.name, folder.name)
    files = list(_files(path))
    # Where some files are named by student, the folder is a class and names nobody.
    of_a_class = any(_names_somebody(file, sets) for file in files if len(file.parts) == 1)
    found: dict[tuple[str, str, str | None], list[tuple[_Owner, _File, Submission]]] = {}
    others: dict[tuple[str, str], list[tuple[_Owner, _File]]] = {}
    for file in files:
        owner = _owner(file, () if of_a_class and len(file.parts) == 1 else above, sets)
        if not owner.student:  # each is of somebody else, as far as is known
            owner = replace(owner, number=str(file.parts))
        if not file.parts[-1].lower().endswith(".ipynb"):
            others.setdefault((owner.student, owner.number), []).append((owner, file))
            continue
        made = _submission(file, owner, sets, assignment, above)
        found.setdefault((owner.student, owner.number, made.assignment), []).append(
            (owner, file, made)
        )
    submissions = [(key[:2], _last(versions)) for key, versions in found.items()]
    having = {key for key, _ in submissions}
    submissions += [(key, _no_notebook(some)) for key, some in others.items() if key not in having]
    names = Counter(name for name, _ in {key for key, _ in submissions})
    told_apart = [
        replace(one, student=f"{name} ({number})") if name and names[name] > 1 and number else one
        for (name, number), one in submissions
    ]
    return sorted(told_apart, key=lambda one: (one.student, one.assignment or "", one.name))


def _names_somebody(file: _File, sets: Mapping[str, Assignment]) -> bool:
    name = file.parts[-1]
    return name.lower().endswith(".ipynb") and bool(_without_set(_stem(name)[0], sets))


def _submission(
    file: _File,
    owner: _Owner,
    sets: Mapping[str, Assignment],
    given: str | None,
    above: tuple[str, ...],
) -> Submission:
    notes = ("It was handed in late.",) if owner.late else ()
    by_name = _set_in_name(owner.rest, sets) or _set_in_name(file.parts[-1], sets)
    folders = (*above, *file.parts[:-1])
    by_name = by_name or next((part for part in reversed(folders) if part in sets), None) or given
    student = owner.student or "?"
    blank = Submission(student, by_name, file.path, file.members, file.problem, notes)
    if file.problem:
        return blank
    read = blank.read()
    if isinstance(read, str):
        return replace(blank, problem=read)
    name = _set_in_cells(read, sets)
    if name is None and by_name is None:
        problem = "Neither the notebook nor the name of the file says which set it belongs to."
        return replace(blank, problem=problem)
    if not owner.student:
        better = f"anna_{name or by_name}.ipynb"
        problem = f"The name {file.parts[-1]} does not say whose it is; {better} would."
        return replace(blank, assignment=name or by_name, problem=problem)
    expected = given or by_name
    misplaced = bool(name and expected and name != expected)
    if misplaced:
        notes += (f"By its place it would be {expected}; by its cells it is {name}.",)
    return replace(blank, assignment=name or by_name, notes=notes, misplaced=misplaced)


def _last(versions: list[tuple[_Owner, _File, Submission]]) -> Submission:
    """Choose among the versions of one student.

    What can be read comes before what cannot, what is in its place before what is not, the file
    that nbgrader itself would grade before its copies; of the others the last.
    """

    def worth(one: tuple[_Owner, _File, Submission]) -> tuple:
        owner, file, made = one
        good = made.problem is None, not made.misplaced
        nbgraders = file.parts[-2:] == (made.assignment, f"{made.assignment}.ipynb")
        return (*good, nbgraders, owner.version, file.changed, made.name)

    order = sorted(versions, key=worth)
    last = order[-1][2]
    if len(order) == 1 or last.student == "?":
        return last
    rest = ", ".join(one[2].name for one in order[:-1])
    note = f"There are {len(order)} versions; this is {last.name}, the others are {rest}."
    zips = {(file.path, file.members[:-1]) if file.members else () for _, file, _ in order}
    if len(zips) > 1:  # a student can name a folder in a zip after another student
        note = f"By its place it may be somebody else's. {note}"
    return replace(last, notes=(*last.notes, note))


def _no_notebook(files: list[tuple[_Owner, _File]]) -> Submission:
    owner, first = files[0]
    problem = next((file.problem for _, file in files if file.problem), None)
    if problem is None:
        names = ", ".join(file.parts[-1] for _, file in files[:5])
        problem = f"There is no notebook (.ipynb), but {names}."
    return Submission(owner.student or "?", None, first.path, first.members, problem)


# Which set


def _set_in_cells(notebook: NotebookNode, sets: Mapping[str, Assignment]) -> str | None:
    ids, functions = set(), set()
    for cell in notebook.cells:
        about = cell.metadata.get("nbgrader")
        if isinstance(about, dict):
            ids.add(about.get("grade_id"))
        if cell.cell_type == "code":
            functions |= set(defined(cell.source))
    by_id = {name: one.grade_ids for name, one in sets.items()}
    by_function = {name: one.functions for name, one in sets.items()}
    return _nearest(ids, by_id) or _nearest(functions, by_function)


def _nearest(found: set, known: dict[str, frozenset[str]]) -> str | None:
    """Return the set that shares most names with what was found, first those that it has alone."""
    owners = Counter(name for names in known.values() for name in names)
    scores = {
        one: (len({n for n in names & found if owners[n] == 1}), len(names & found))
        for one, names in known.items()
    }
    best = max(scores.values(), default=(0, 0))
    winners = [name for name, score in scores.items() if score == best]
    return winners[0] if best > (0, 0) and len(winners) == 1 else None


def _pattern(name: str) -> str:
    """Return the pattern of a set's name in a file's: ``03_kl``, ``03-KL``, ``03 kl``, ``03kl``."""
    return r"[ _-]?".join(map(re.escape, name.split("_")))


def _set_in_name(text: str, sets: Mapping[str, Assignment]) -> str | None:
    found = [n for n in sets if re.search(rf"(?i)(?<![0-9a-z]){_pattern(n)}(?![a-z])", text)]
    return max(found, key=len) if found else None


# Whose


def _owner(file: _File, above: tuple[str, ...], sets: Mapping[str, Assignment]) -> _Owner:
    """Say whose a file is: by a platform's names, by folders, or by its own name.

    Args:
        file: the file.
        above: the names of the folder that was given and of the one that it is in.
        sets: the sets of the course.
    """
    for part in file.parts:
        if found := _MOODLE.fullmatch(part):
            rest, version = _stem(file.parts[-1] if part != file.parts[-1] else found[3])
            return _Owner(_clean(found["name"]), found["number"], rest, version)
    stem, version = _stem(file.parts[-1])
    # The outermost name is the platform's. What is further in, the student has named.
    folders = [p for p in file.parts[:-1] if p not in sets and p.lower() not in _NOBODY]
    if found := _CANVAS.fullmatch(_stem(folders[0])[0] if folders else stem):
        rest, late = stem if folders else found["file"], bool(found["late"])
        if not folders and (number := _CANVAS_VERSION.search(rest)):
            rest, version = rest[: number.start()], int(number[1])
        return _Owner(_clean(found["name"]), found["number"], rest, version, late)
    rest = _without_set(stem, sets)
    return _Owner(_clean(_by_folder(file, above, sets, rest) or rest), "", stem, version)


def _by_folder(
    file: _File, above: tuple[str, ...], sets: Mapping[str, Assignment], rest: str
) -> str | None:
    """Return the student whom a folder names, or None.

    Args:
        file: the file.
        above: as in :func:`_owner`.
        sets: the sets of the course.
        rest: the name of the file without that of the set.
    """
    folders = file.parts[:-1]
    while folders and folders[0].lower() in _NOBODY:
        folders = folders[1:]
    # The first one: what lies in the folder of a student's set is that student's.
    at = next((i for i, part in enumerate(folders) if i and part in sets), None)
    if at is None and folders and folders[0] in sets:
        at = 0
    if folders and at is None:
        return folders[0]  # STUDENT/file
    if at:
        return folders[at - 1]  # STUDENT/SET/file
    parent, given = above if above else ("", "")
    if at == 0:  # SET/file, in the folder of a student or of a class
        return given if given and (not rest or parent.lower() in _NOBODY) else None
    if given in sets and not rest:
        return parent  # in STUDENT/SET
    return given if not rest and given.lower() not in _NOBODY else None  # in STUDENT


def _stem(name: str) -> tuple[str, int]:
    """Return a file's name without its ending and its version, and the version."""
    stem = re.sub(r"\.[A-Za-z0-9]{1,6}$", "", name)
    found = _VERSION.search(stem)
    if found and found.start() > 0:
        number = next((int(n) for n in found.groups() if n), 1)
        return stem[: found.start()], number
    return stem, 0


def _without_set(stem: str, sets: Mapping[str, Assignment]) -> str:
    name = _set_in_name(stem, sets)
    if name is None:
        return stem
    return re.sub(rf"(?i)[ _-]*{_pattern(name)}[ _-]*", " ", stem, count=1).strip(" _-")


def _clean(name: str) -> str:
    """Return a name without what could mean something to a terminal, a page or a path."""
    name = unicodedata.normalize("NFC", name).replace("/", " ").replace("\\", " ")
    name = "".join(c for c in name if unicodedata.category(c)[0] != "C")
    return name.strip(" .")[:100]


# Files, in folders and zips


def _files(path: Path) -> Iterator[_File]:
    if path.is_symlink():
        path = path.resolve()  # the one place that the user has named
    if path.is_file():
        yield from _file_or_zip((path.name,), path, given=True)
        return
    for folder, folders, names in os.walk(path, followlinks=False):
        folders[:] = sorted(name for name in folders if not _ignored(name))
        inside = Path(folder).relative_to(path).parts
        for name in (*names, *(n for n in folders if os.path.islink(os.path.join(folder, n)))):
            if not _ignored(name):
                yield from _file_or_zip((*inside, name), Path(folder, name))


def _ignored(name: str) -> bool:
    return name.startswith((".", "~")) or name in _IGNORED


def _file_or_zip(parts: tuple[str, ...], path: Path, *, given: bool = False) -> Iterator[_File]:
    """Yield a file, or what is in it.

    Args:
        parts: its place below the folder that was given.
        path: where it is.
        given: whether it is not in a folder, but what was given.
    """
    try:
        about = path.lstat()
    except OSError as error:
        yield _File(parts, path, (), 0, f"The file cannot be read: {error.strerror}.")
        return
    if not stat.S_ISREG(about.st_mode):
        what = "a link" if stat.S_ISLNK(about.st_mode) else "no ordinary file"
        problem = f"{parts[-1]} is {what}, which is not followed; the notebook itself is needed."
        yield _File(parts, path, (), about.st_mtime, problem)
    elif path.suffix.lower() == ".zip":
        yield from _members(path, _File(parts, path, (), about.st_mtime), given)
    else:
        yield _File(parts, path, (), about.st_mtime)


def _members(opened: Path | io.BytesIO, own: _File, given: bool = False) -> Iterator[_File]:
    """Yield what is in a zip, and in the zips in it.

    Args:
        opened: the zip.
        own: where it is.
        given: whether it is what the user has named.
    """
    name, depth = own.parts[-1], len(own.members)
    try:
        with zipfile.ZipFile(opened) as packed:
            entries = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, zlib.error) as error:
        yield replace(own, problem=f"The zip {name} is damaged or no zip: {str(error)[:100]}.")
        return
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES or total > MOST_OF_ZIP[depth]:
        size = f"{len(entries):,} files and {total / 1e9:,.1f} GB"
        yield replace(own, problem=f"The zip {name} is not opened: it would unpack to {size}.")
        return
    inside = own.parts[:-1]
    if len(own.parts) == 1 and not _is_a_class(entries, given):
        inside = (re.sub(r"(?i)\.zip$", "", name),)  # the zip of one student
    # The export of a class may be called anything; in it or beside others a name is a student's.
    if _MOODLE.fullmatch(name) or (not given and _CANVAS.fullmatch(_stem(name)[0])):
        inside = own.parts
    for entry in entries:
        names = PurePosixPath(entry.filename.replace("\\", "/")).parts
        if entry.is_dir() or not names or any(_ignored(n) for n in names if n != ".."):
            continue
        kept = tuple(one for one in names if one not in ("..", "/"))
        place = (*inside, *(kept or ("?",)))
        problem = _about_entry(entry, names)
        file = _File(place, own.path, (*own.members, entry.filename), _time(entry), problem)
        if problem or not names[-1].lower().endswith(".zip"):
            yield file
        elif len(file.members) >= _DEEPEST:
            yield replace(file, problem=f"{names[-1]} is a zip in a zip in a zip; not opened.")
        else:
            try:
                packed_inside = io.BytesIO(_read(file.path, file.members))
            except _Unreadable as error:
                yield replace(file, problem=str(error))
            else:
                yield from _members(packed_inside, file)


def _is_a_class(entries: list[zipfile.ZipInfo], given: bool) -> bool:
    """Whether a zip is the work of several, and not the folder of one student."""
    names = [PurePosixPath(e.filename).parts for e in entries]
    names = [parts for parts in names if parts and parts[-1].lower().endswith((".ipynb", ".zip"))]
    platform = any(
        pattern.fullmatch(part)
        for parts in names
        for part in parts
        for pattern in (_MOODLE, _CANVAS)
    )
    return platform or (given and len(names) != 1) or any(len(parts) > 2 for parts in names)


def _about_entry(entry: zipfile.ZipInfo, names: tuple[str, ...]) -> str | None:
    shown = names[-1]
    if ".." in names or names[0] in ("/", "\\") or re.match(r"[A-Za-z]:", names[0]):
        return f"The zip names a place outside of itself ({entry.filename[:100]!r}); not opened."
    if stat.S_ISLNK(entry.external_attr >> 16):
        return f"{shown} is a link, which is not followed; the notebook itself is needed."
    if entry.flag_bits & 1:
        return f"{shown} is in a zip with a password."
    if entry.file_size > MOST_BYTES:
        return _too_large(shown)
    return None


def _too_large(name: str) -> str:
    return f"{name} is larger than {MOST_BYTES / 1e6:,.0f} MB, unpacked."


def _time(entry: zipfile.ZipInfo) -> float:
    try:
        return datetime(*entry.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _read(path: Path, members: tuple[str, ...]) -> bytes:
    """Return a file, from the disk or out of a zip, and never more than MOST_BYTES of it.

    Raises:
        _Unreadable: it is too large, damaged, or away.
    """
    name = PurePosixPath((members or (path.name,))[-1]).name
    try:
        # A link that has come in the place of the file since it was found is not followed either.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(descriptor, "rb") as file:
            opened: io.BufferedIOBase = file
            for member in members:
                with zipfile.ZipFile(opened) as packed, packed.open(member) as inner:
                    opened = io.BytesIO(inner.read(MOST_BYTES + 1))
            data = opened.read(MOST_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _Unreadable(f"{name} cannot be unpacked: {str(error)[:100]}.") from None
    except (OSError, ValueError, KeyError) as error:
        raise _Unreadable(f"{name} cannot be read: {str(error)[:100]}.") from None
    if len(data) > MOST_BYTES:
        raise _Unreadable(_too_large(name))
    return data
