"""A folder of submissions becomes a folder of grades; what is there already is not done again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from tqdm import tqdm

from course_lib.files import check_writable, replacing
from course_lib.grading import gradebook, isolation, reports
from course_lib.grading.assignments import Assignment, read_assignments
from course_lib.grading.isolation import Ended, Limits
from course_lib.grading.records import Record, Records, decides, key_of
from course_lib.grading.submissions import Submission, find_submissions
from course_lib.grading.verdicts import MACHINE, Graded, ungraded
from course_lib.grading.work import Job, grade_here, grade_on

__all__ = ["Summary", "grade_folder", "report", "settle_seed"]


@dataclass(frozen=True)
class Summary:
    """What a run did, and what is left to people.

    Attributes:
        graded: how many submissions were graded in this run.
        kept: how many had their grades already.
        out: how many are in the folder of the grades, from all runs.
        without: how many of those have no grade.
        to_read: how many of those have answers in words that wait for somebody.
        waiting: all that needs a person, the answers in words left out.
        failed: how many this run could not grade, for no fault of theirs; the next one tries again.
    """

    graded: int
    kept: int
    out: int
    without: int
    to_read: int
    waiting: tuple[reports.Waiting, ...]
    failed: int = 0


def grade_folder(
    submissions: Path,
    out: Path,
    solutions: Path,
    *,
    assignment: str | None = None,
    seed: int | None = None,
    workers: int = 1,
    unsafe: bool = False,
    scheduler: str | None = None,
    limits: Limits | None = None,
    progress: bool = True,
) -> Summary:
    """Grade all that was handed in and has no grade yet, and write gradebook, tables and pages.

    Every grade is on the disk as soon as it is known, so the run may be stopped at any point.

    Args:
        submissions: a folder, a zip, or one notebook; see ``find_submissions``.
        out: the folder of the grades. What another run has put there stays.
        solutions: the folder of the sets.
        assignment: the set that was handed in, where nothing else says so.
        seed: of the hidden inputs, one for all grades in ``out``; None for the one in use, or 0.
        workers: how many submissions to grade at a time.
        unsafe: without a sandbox, with this user's rights.
        scheduler: the address of a Dask cluster that does the work, or None.
        limits: what each submission may take.
        progress: whether to show a bar.

    Raises:
        ValueError: nothing can be graded with these arguments; the sentence says what to do.
        Ended: ``status="refused"``: there is no sandbox here, or on a worker.
        OSError: the grades cannot be written.
        RuntimeError: nbgrader refuses a set; the grades are kept.
    """
    if refusal := gradebook.missing_nbgrader():
        raise ValueError(refusal)
    sets = read_assignments(solutions)
    found = find_submissions(submissions, sets, assignment=assignment)
    if not found:
        raise ValueError(f"There is nothing to grade in {submissions}: no notebook (.ipynb).")
    if Path(out).resolve().is_relative_to(Path(submissions).resolve()):
        raise ValueError(
            f"{out} lies in {submissions}, where the graded notebooks would be taken for "
            "submissions the next time; give --out another place."
        )
    check_writable(out / "grades.csv")
    refusal = isolation.no_limits() if unsafe else isolation.why_not()
    if scheduler is None and refusal:
        raise Ended("refused", refusal)
    records, seed = Records(out), settle_seed(out, seed)
    with _one_at_a_time(out):  # what it refuses should not be known after an hour of grading
        gradebook.enter_sets(out, {one.assignment for one in found if one.assignment}, solutions)
    todo: list[tuple[Job, Record]] = []
    kept, failed, there = 0, 0, set()
    with tqdm(total=len(found), unit="submission", disable=not progress, dynamic_ncols=True) as bar:
        for one in found:
            record, job = _prepare(one, sets, solutions, seed, unsafe, limits or Limits())
            there.add((record.student, record.assignment))
            before = records.find(record.student, record.assignment)
            if before is not None and before.key == record.key:
                record = replace(record, graded=before.graded)
                kept += 1
            elif job is not None:
                todo.append((replace(job, key=f"{len(todo)}-{job.key}"), record))
                continue
            if before != record:
                records.keep(record)
            bar.update()
        _forget_what_is_away(records, Path(submissions).resolve(), there)
        by_key = {job.key: (job, record) for job, record in todo}
        jobs = [job for job, _ in todo]
        with contextlib.closing(
            grade_on(scheduler, jobs) if scheduler else grade_here(jobs, workers)
        ) as done:
            for job, graded in done if jobs else ():
                record = by_key[job.key][1]
                if any(flag.kind == MACHINE for flag in graded.flags):
                    record = replace(record, key="")  # not its fault: to be tried again
                    failed += 1
                record = replace(record, graded=graded)
                notebook = nbformat.from_dict(json.loads(job.notebook))
                gradebook.write_notebook(out, record, notebook, sets[record.assignment])
                records.keep(record)
                bar.update()
    done = report(out, solutions)
    return replace(done, graded=len(jobs) - failed, kept=kept, failed=failed)


def settle_seed(out: Path, seed: int | None) -> int:
    """Return the seed of the grades in a folder, which the first run decides.

    Raises:
        ValueError: another one is in use there.
    """
    path = out / "records" / "settings.json"
    try:
        used = json.loads(path.read_bytes())["seed"]
    except FileNotFoundError:
        with replacing(path) as file:
            file.write(json.dumps({"seed": seed or 0}).encode())
        return seed or 0
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged; it should read {{'seed': 0}}.") from None
    if seed not in (None, used):
        raise ValueError(
            f"The grades in {out} were made with --seed {used}, and not {seed}. Grades with "
            "another seed need a folder of their own (--out)."
        )
    return used


def _forget_what_is_away(records: Records, place: Path, there: set[tuple[str, str]]) -> None:
    """Forget files that had no grade and are not there any more, perhaps under a better name.

    Args:
        records: all of them.
        place: where submissions were looked for.
        there: the students and sets that were found.
    """
    for record in list(records):
        path, who = Path(record.path), (record.student, record.assignment)
        away = who not in there and (not path.exists() or path.resolve().is_relative_to(place))
        if away and (record.graded is None or not record.known):
            records.drop(record)


def _prepare(
    one: Submission,
    sets: Mapping[str, Assignment],
    solutions: Path,
    seed: int,
    unsafe: bool,
    limits: Limits,
) -> tuple[Record, Job | None]:
    """Return the record of a submission, and the job to grade it; None where it has no grade."""
    known, name = one.student != "?", one.assignment or ""
    tests = (solutions / name / f"{name}.ipynb").read_bytes() if name else b""
    read = one.read()
    problem = read if isinstance(read, str) else None
    key = key_of(read, tests, seed, unsafe)
    # nbgrader's formgrader puts names into its pages, and into their scripts, as they are.
    student = (one.student if known else one.name).translate(dict.fromkeys(map(ord, '<>"'), "_"))
    record = Record(
        key,
        student,
        name,
        one.name,
        one.notes,
        ungraded(sets[name], problem, seed=seed) if name and problem else None,
        problem,
        known,
        str(one.path),
    )
    if problem:
        return record, None
    text = json.dumps(read)
    return record, Job(key, text, sets[name], seed, unsafe, limits, decides())


def report(out: Path, solutions: Path) -> Summary:
    """Write the gradebook, the tables and the pages again, with what people have marked since.

    Raises:
        ValueError: there are no grades in ``out``.
        RuntimeError: nbgrader refuses a set.
    """
    if refusal := gradebook.missing_nbgrader():
        raise ValueError(refusal)
    if not any(Records(out)):
        raise ValueError(f"There are no grades in {out}; the command grade makes some.")
    with _one_at_a_time(out):
        return _report(out, solutions)


@contextlib.contextmanager
def _one_at_a_time(out: Path) -> Iterator[None]:
    """Wait until no other run writes the gradebook and the tables of the same folder."""
    with contextlib.ExitStack() as until_then:
        with contextlib.suppress(ImportError, OSError):  # a system or a disk without locks
            import fcntl

            file = until_then.enter_context((out / "records" / ".lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _report(out: Path, solutions: Path) -> Summary:
    everything = list(Records(out))
    gradebook.enter(out, [one for one in everything if one.graded and one.known], solutions)
    marks = gradebook.marks(out)
    waiting = reports.all_waiting(everything, marks)
    missing = "Its record cannot be read, so no table has it; the command grade makes it anew."
    waiting += [
        reports.Waiting(path.parent.name, path.stem, missing, path.name)
        for path in Records(out).damaged()
    ]
    reports.write_tables(out, everything, marks, waiting)
    reports.write_pages(out, everything, marks)
    unread = {(w.student, w.assignment) for w in waiting if w.sentence.startswith(Graded.to_read)}
    rest = tuple(one for one in waiting if not one.sentence.startswith(Graded.to_read))
    without = sum(one.problem is not None for one in everything)
    return Summary(0, len(everything), len(everything), without, len(unread), rest)
