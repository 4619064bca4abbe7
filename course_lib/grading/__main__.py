"""The classroom's command line: ``python -m course_lib.grading grade|report|release``."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from course_lib.grading.classroom import Summary, grade_folder, report
from course_lib.grading.isolation import COURSE, Ended
from course_lib.grading.releasing import release
from course_lib.grading.verdicts import printable
from course_lib.grading.work import workers_that_fit

MOST_LINES = 40  # of what needs a person, on the screen

DESCRIPTION = """\
Grade what a class has handed in, and make what it is given.

  python -m course_lib.grading grade downloads/03_kl.zip --out grades
  python -m course_lib.grading grade submitted --out grades --workers 4
  python -m course_lib.grading report grades
  python -m course_lib.grading release
  python -m course_lib.grading release --seed 2026 --out ../class-of-2026
"""

GRADE = """\
Grade a folder, a zip, or one notebook: nbgrader's STUDENT/SET/SET.ipynb, a folder of files named by
student, or the zip that Moodle or Canvas exports. Each submission runs in a sandbox of its own, and
what it earns is decided outside of it.

Into GRADES go gradebook.db (nbgrader's), grades.csv, for_a_person.csv, a page for each student in
feedback/, and the graded notebooks in autograded/. With COURSE_CLASSROOM=GRADES nbgrader's
formgrader shows them, and the answers in words are marked there; the command report then brings the
marks into tables and pages.

The run may be stopped at any time, and the same command goes on. What has its grade is not graded
again unless the submission, the set or the checks have changed.
"""

REPORT = """\
Write the tables and the pages in GRADES again, with what was marked in nbgrader's formgrader.
"""

RELEASE = """\
Make what students get from the sets with worked answers: without the answers and the hidden tests.

Without --out that is the folder exercises/ of the course, for all sets or for those that are named.
With --out and --seed a class gets a variant: OUT/solutions and OUT/exercises, whose hidden tests
draw other numbers. What is asked and what a right answer is stay the same. Grade it with the
same --seed. OUT/solutions is for those who let nbgrader run the hidden tests.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the workers must not outlive it
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on where this one ended.", file=sys.stderr)
        return 130
    except (Ended, OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m course_lib.grading", description=DESCRIPTION, formatter_class=raw
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    one = commands.add_parser(
        "grade", help="grade a folder of submissions", description=GRADE, formatter_class=raw
    )
    one.add_argument("submissions", type=Path, help="a folder, a zip, or one notebook")
    one.add_argument("--out", type=Path, required=True, metavar="GRADES", help="where grades go")
    one.add_argument("--set", metavar="NAME", help="which set it is, where no file says so")
    one.add_argument(
        "--workers",
        type=_from_1,
        default=None,
        help="how many submissions at a time (default: as processors and memory allow)",
    )
    one.add_argument("--seed", type=int, help="of the hidden tests (default: 0)")
    one.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster that does the work")
    one.add_argument(
        "--unsafe",
        action="store_true",
        help="run submissions with your own rights and no sandbox; their pages will say so",
    )
    _add_solutions(one)
    one.set_defaults(run=_grade)

    one = commands.add_parser(
        "report", help="write tables and pages again", description=REPORT, formatter_class=raw
    )
    one.add_argument("out", type=Path, metavar="GRADES")
    _add_solutions(one)
    one.set_defaults(run=_report)

    one = commands.add_parser(
        "release", help="make what students get", description=RELEASE, formatter_class=raw
    )
    one.add_argument("sets", nargs="*", metavar="SET", help="such as 03_kl (default: all)")
    one.add_argument("--out", type=Path, help="where to put a variant")
    one.add_argument("--seed", type=int, help="of its hidden tests")
    _add_solutions(one)
    one.set_defaults(run=_release)
    return parser


def _add_solutions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--solutions",
        type=Path,
        default=COURSE / "solutions",
        metavar="FOLDER",
        help="the sets with their worked answers (default: those of the course)",
    )


def _from_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a whole number from 1 up is needed")
    return number


def _grade(args: argparse.Namespace) -> int:
    if args.unsafe:
        print("No sandbox: what was handed in runs with your rights.", file=sys.stderr)
    done = grade_folder(
        args.submissions,
        args.out,
        args.solutions,
        assignment=args.set,
        seed=args.seed,
        workers=args.workers or workers_that_fit(),
        unsafe=args.unsafe,
        scheduler=args.scheduler,
    )
    print(f"{done.graded} graded now, {done.kept} had their grades already.")
    if done.failed:
        print(f"{done.failed} could not be graded here and have no points yet; try them again.")
    _tell(done, args.out)
    return 1 if done.failed else 0


def _report(args: argparse.Namespace) -> int:
    _tell(report(args.out, args.solutions), args.out)
    return 0


def _tell(done: Summary, out: Path) -> None:
    """Say where the grades are, and what needs a person."""
    print(f"{done.out} submissions in {out}: grades.csv, gradebook.db, feedback/.")
    if done.without:
        print(f"{done.without} of them have no grade; see below.")
    if done.to_read:
        print(f"In {done.to_read} of them answers in words wait for somebody to read them.")
    if done.waiting:
        print(f"\n{len(done.waiting)} more things need a person:")
        for one in done.waiting[:MOST_LINES]:
            line = f"{one.student}, {one.assignment or one.file}: {one.sentence}"
            print(f"  {' '.join(printable(line).split())}")
        if len(done.waiting) > MOST_LINES:
            print("  ...")
    if done.to_read or done.waiting:
        print(f"\nAll of it is in {out / 'for_a_person.csv'}.")


def _release(args: argparse.Namespace) -> int:
    for path in release(args.solutions, args.sets, out=args.out, seed=args.seed):
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
