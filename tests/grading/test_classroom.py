"""A folder of submissions becomes grades, once each, whatever stops the run or its workers."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from course_lib.grading import classroom, gradebook, isolation, reports
from course_lib.grading.__main__ import main
from course_lib.grading.classroom import grade_folder, report, settle_seed
from course_lib.grading.gradebook import Mark, graded_notebook, handed_in, marks
from course_lib.grading.isolation import Ended, Limits
from course_lib.grading.records import Record, Records, decides, file_name
from course_lib.grading.reports import all_waiting
from course_lib.grading.submissions import find_submissions
from course_lib.grading.verdicts import ungraded
from course_lib.grading.work import Job, grade_here, grade_on

ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ROOT / "solutions"
reason = isolation.why_not()
needs_sandbox = pytest.mark.skipif(reason is not None, reason=str(reason))
EVIL = "Because <script>alert(1)</script> of <img src=x onerror=alert(2)> $a<b$."
LOOP = "def kl_normal(*given):\n    while True:\n        pass\n"


@pytest.fixture
def hand_in(tmp_path, released, solved):
    """Return a function that writes a notebook to where nbgrader puts it."""

    def write(student: str, notebook: dict | str, words: str = "") -> Path:
        path = tmp_path / "submitted" / student / "03_kl" / "03_kl.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(notebook, dict):
            for cell in notebook["cells"]:
                if words and cell["id"] in ("diagnosis", "question-1"):
                    cell["source"] = words
            notebook = json.dumps(notebook)
        path.write_text(notebook, encoding="utf-8")
        return path

    return write


@pytest.fixture
def grades(tmp_path):
    """Return a function that grades everything and gives what is left to people."""
    options = {"progress": False, "workers": 2}
    folder = tmp_path / "submitted"
    return lambda **more: grade_folder(folder, tmp_path / "grades", SOLUTIONS, **options | more)


def table(folder: Path, name: str = "grades") -> list[dict[str, str]]:
    text = (folder / f"{name}.csv").read_text(encoding="utf-8-sig")
    return list(csv.DictReader(text.splitlines()))


def totals(folder: Path) -> dict[str, float]:
    return {row["student"]: float(row["points"]) for row in table(folder) if row["kind"] == "set"}


@needs_sandbox
def test_a_class_is_graded_marked_and_graded_again(hand_in, grades, solved, released, tmp_path):
    """The whole way of one class; one test, because each step needs the one before."""
    out = tmp_path / "grades"
    hand_in("anna", solved(), EVIL)
    hand_in("ben", solved(kl_normal=LOOP))
    hand_in("chloé =2+3", released())
    hand_in("dirk", "{")
    hand_in("eve", solved(), EVIL)
    done = grades()
    assert (done.graded, done.kept, done.out, done.without, done.to_read) == (4, 0, 5, 1, 2)
    assert totals(out) == {"anna": 14, "ben": 10, "chloé =2+3": 0, "dirk": 0, "eve": 14}
    people = {(one.student, one.sentence.split(":")[0]) for one in done.waiting}
    assert people == {
        ("anna", "Cell for cell the same was handed in by eve."),
        ("ben", "kl_normal"),
        ("dirk", "The file is not a notebook (.ipynb)"),
        ("eve", "Cell for cell the same was handed in by anna."),
    }
    rows = {(row["student"], row["item"]): row for row in table(out)}
    assert rows["ben", "kl_normal"]["reason"] == "timed_out"
    assert rows["anna", "kl_normal"]["points"] == rows["anna", "kl_normal"]["most"] == "4"
    assert rows["anna", "diagnosis"]["points"] == "" and rows["ben", "diagnosis"]["points"] == "0"

    # In pages and graded notebooks nothing of a student's is active.
    for page in ("feedback/anna.html", "feedback/anna/03_kl/03_kl.html"):
        text = (out / page).read_text(encoding="utf-8")
        assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text
        assert "default-src 'none'" in text and "handed in by" not in text and "sandbox" not in text
    kept = (out / "autograded" / "anna" / "03_kl" / "03_kl.ipynb").read_text(encoding="utf-8")
    assert "<script" not in kept and "<img" not in kept and "$a< b$" in kept

    # A person marks an answer in nbgrader; the marks get into table and page.
    with gradebook._open(out) as book:
        for name, score in (("diagnosis", 2), ("question-1", 1)):
            grade = book.find_grade(name, "03_kl", "03_kl", "anna")
            assert grade.needs_manual_grade and grade.auto_score is None
            grade.manual_score, grade.needs_manual_grade = score, False
        book.find_comment("question-1", "03_kl", "03_kl", "anna").manual_comment = "Say <why>."
        book.db.commit()
    again = grades()
    assert (again.graded, again.kept, again.to_read) == (0, 5, 1), "nothing is graded twice"
    assert totals(out)["anna"] == 17
    assert "Say &lt;why&gt;." in (out / "feedback" / "anna.html").read_text(encoding="utf-8")

    # Another submission: its code is graded, the marks stay, and a person has to look again.
    hand_in("anna", solved(kl_normal=LOOP.replace("while True", "if True")), EVIL + " And so on.")
    before = {path: path.stat().st_mtime_ns for path in out.glob("records/*/*.json")}
    third = grades()
    changed = {path.parent.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert (third.graded, changed) == (1, {"anna"})
    found = marks(out)["anna", "03_kl"]
    assert found["diagnosis"].score == 2 and found["diagnosis"].waiting
    assert totals(out)["anna"] == 13
    assert third.to_read == 2


@needs_sandbox
def test_nbgrader_makes_its_own_of_the_grades(hand_in, grades, solved, tmp_path):
    hand_in("anna", solved(), EVIL)
    (tmp_path / "submitted/anna/03_kl/timestamp.txt").write_text("2026-11-27 10:00:00 UTC")
    (tmp_path / "submitted/anna/03_kl/submission_secret.txt").write_text("secret")
    grades()
    out = tmp_path / "grades"
    beside = out / "feedback" / "anna" / "03_kl"
    assert (beside / "submission_secret.txt").read_text() == "secret", "the exchange needs it"
    environment = {**os.environ, "COURSE_CLASSROOM": str(out), "COURSE_PARENT": str(os.getpid())}
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", "--force", "03_kl"]
    run = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    page = (beside / "03_kl.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "Values, shapes, dtypes and gradients agree." in page
    with gradebook._open(out) as book:
        submission = book.find_submission("03_kl", "anna")
        assert (submission.score, submission.max_score) == (14, 20)
        assert str(submission.timestamp).startswith("2026-11-27 10:00")


def command(tmp_path: Path, *more: str) -> subprocess.Popen:
    arguments = ["grade", str(tmp_path / "submitted"), "--out", str(tmp_path / "grades"), *more]
    return subprocess.Popen(
        [sys.executable, "-m", "course_lib.grading", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Background jobs of a shell ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(condition, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@needs_sandbox
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_goes_on_where_it_was(hand_in, released, tmp_path, how):
    for student in ("anna", "ben"):
        hand_in(student, released())
    records = tmp_path / "grades" / "records"
    running = command(tmp_path, "--workers", "1")
    wait_for(lambda: list(records.glob("*/*.json")) or running.poll() is not None)
    running.send_signal(how)
    said = running.communicate(timeout=60)[0]
    if how != signal.SIGKILL:
        assert running.returncode == 130 and "The same command goes on" in said
        assert "Traceback" not in said
    there = {path: path.read_bytes() for path in records.glob("*/*.json")}
    assert len(there) == 1
    again = command(tmp_path, "--workers", "1")
    said = again.communicate(timeout=300)[0]
    assert again.returncode == 0, said
    assert "1 graded now, 1 had their grades already" in said
    assert {path: path.read_bytes() for path in there} == there
    assert len(totals(tmp_path / "grades")) == 2
    wait_for(lambda: not _of(tmp_path), 30)


def _of(tmp_path: Path) -> list[str]:
    """Return what still runs of a command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in line:
            found.append(line)
    return found


def job(as_read, assignment, notebook: dict, key: str) -> Job:
    text = json.dumps(as_read(notebook))
    return Job(key, text, assignment, 0, False, Limits(), decides())


@needs_sandbox
def test_a_worker_that_is_killed_costs_nothing(as_read, assignment, released):
    jobs = [job(as_read, assignment, released(), str(number)) for number in range(3)]
    done = grade_here(jobs, 1)
    first = next(done)
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    rest = list(done)
    assert sorted(one.key for one, _ in [first, *rest]) == ["0", "1", "2"]
    assert not [flag for _, graded in rest for flag in graded.flags if flag.kind == "machine"]


def test_what_kills_every_worker_is_left_to_a_person(as_read, assignment, released, monkeypatch):
    monkeypatch.setattr("course_lib.grading.work._serve", os._exit)  # takes a pipe: fails at once
    poison = job(as_read, assignment, released(), "0")
    ((back, graded),) = grade_here([poison], 2)
    assert back == poison and graded.points == 0
    assert graded.flags[0].kind == "machine" and "3 times" in graded.flags[0].sentence
    assert graded.for_a_person


@needs_sandbox
def test_a_grade_that_failed_for_the_machine_is_tried_again(
    hand_in, grades, released, monkeypatch, tmp_path
):
    hand_in("anna", released())
    with monkeypatch.context() as broken:
        broken.setattr("course_lib.grading.work._serve", os._exit)
        done = grades()
        assert "was ended 3 times" in done.waiting[0].sentence
        assert (done.graded, done.failed) == (0, 1), "nobody releases its 0 points by accident"
        reasons = {row["reason"] for row in table(tmp_path / "grades") if row["kind"] == "code"}
        assert reasons == {"machine"}
    done = grades()
    assert (done.graded, done.failed, done.waiting) == (1, 0, ())


def test_a_worker_of_another_version_refuses(as_read, assignment, released):
    other = replace(job(as_read, assignment, released(), "0"), decides=b"other")
    with pytest.raises(Ended, match="another version"):
        list(grade_here([other], 1))


@needs_sandbox
def test_a_cluster_loses_a_worker_and_no_grade(hand_in, grades, released, solved, tmp_path):
    distributed = pytest.importorskip("distributed")
    for number in range(4):
        hand_in(f"student{number}", solved() if number == 3 else released())
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None
    ) as cluster:
        (first, *_) = [nanny.pid for nanny in cluster.workers.values()]
        records = tmp_path / "grades" / "records"
        killer = multiprocessing.get_context("spawn").Process(target=_kill, args=(first, records))
        killer.start()
        done = grades(scheduler=cluster.scheduler_address)
        killer.join()
        assert killer.exitcode == 0, "the worker was killed in mid-run"
        assert (done.graded, done.waiting) == (4, ())
        assert sorted(totals(tmp_path / "grades").values()) == [0, 0, 0, 14]
        assert grades(scheduler=cluster.scheduler_address).graded == 0


def _kill(pid: int, records: Path) -> None:
    """Kill a process as soon as there is a grade."""
    wait_for(lambda: list(records.glob("*/*.json")))
    os.kill(pid, signal.SIGKILL)


def test_a_cluster_that_is_not_there_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("course_lib.grading.work.PATIENCE", 1)
    with pytest.raises(Ended, match="No Dask scheduler answers at tcp://127.0.0.1:9"):
        list(grade_on("tcp://127.0.0.1:9", []))


def test_without_a_sandbox_nothing_runs_unless_told(
    hand_in, released, tmp_path, capsys, monkeypatch
):
    hand_in("anna", released())
    monkeypatch.setattr("course_lib.grading.isolation.why_not", lambda: "There is none here.")
    arguments = ["grade", str(tmp_path / "submitted"), "--out", str(tmp_path / "grades")]
    assert main(arguments) == 2
    assert "error: There is none here." in capsys.readouterr().err
    assert not list((tmp_path / "grades").rglob("*"))
    assert main([*arguments, "--unsafe", "--workers", "1"]) == 0
    for page in (tmp_path / "grades" / "feedback").rglob("*.html"):
        assert "Graded without a sandbox" in page.read_text(encoding="utf-8")
    assert {row["unsafe"] for row in table(tmp_path / "grades")} == {"yes"}


def test_without_limits_not_even_trusted_code_runs(
    hand_in, released, tmp_path, capsys, monkeypatch
):
    hand_in("anna", released())
    monkeypatch.setattr("course_lib.grading.isolation.sys.platform", "darwin")
    arguments = ["grade", str(tmp_path / "submitted"), "--out", str(tmp_path / "grades")]
    assert main([*arguments, "--unsafe"]) == 2
    assert "Grading needs Linux" in capsys.readouterr().err
    assert not (tmp_path / "grades").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["grade", "{tmp}/none", "--out", "{tmp}/g"], "There is no"),
        (["grade", "{tmp}", "--out", "{tmp}/g"], "There is nothing to grade"),
        (["grade", "{tmp}", "--out", "{tmp}/g", "--set", "3_kl"], "No set is called '3_kl'"),
        (["grade", "{tmp}", "--out", "{tmp}/g", "--solutions", "{tmp}"], "There is no set in"),
        (["report", "{tmp}"], "There are no grades in"),
        (["release", "3_kl"], "No set is called '3_kl'"),
        (["release", "--seed", "3"], "give --out"),
        (["release", "--out", str(ROOT)], "holds a course already"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, sentence, tmp_path, capsys):
    assert main([one.format(tmp=tmp_path) for one in arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1


def test_one_seed_for_all_grades_of_a_folder(tmp_path):
    assert settle_seed(tmp_path, 7) == settle_seed(tmp_path, None) == settle_seed(tmp_path, 7) == 7
    with pytest.raises(ValueError, match="--seed 7, and not 8"):
        settle_seed(tmp_path, 8)
    assert settle_seed(tmp_path / "other", None) == 0


def test_a_file_of_nobody_is_named_until_it_has_a_better_name(tmp_path, solved, grades, hand_in):
    folder = tmp_path / "submitted"
    folder.mkdir()
    (folder / "03_kl.ipynb").write_text("{", encoding="utf-8")
    (folder / "ben_03_kl.ipynb").write_text("{", encoding="utf-8")
    out = tmp_path / "grades"
    done = grades()
    assert {one.student for one in done.waiting} == {"03_kl.ipynb", "ben"}
    assert not (out / "feedback" / "03_kl.ipynb.html").exists()
    (folder / "03_kl.ipynb").rename(folder / "anna_03_kl.ipynb")
    assert {one.student for one in grades().waiting} == {"anna", "ben"}


def test_a_damaged_record_is_graded_anew(tmp_path, hand_in, grades):
    hand_in("anna", "{")
    grades()
    (path,) = (tmp_path / "grades" / "records" / "anna").iterdir()
    hand_in("ben", "{")
    grades()
    path.write_text('{"key": 1')
    assert ("anna", "03_kl.json") in {
        (one.student, one.file) for one in report(tmp_path / "grades", SOLUTIONS).waiting
    }
    assert grades().kept == 1
    assert [one.student for one in Records(tmp_path / "grades")] == ["anna", "ben"]


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "x" * 300, "é" * 120, "", "\udce9"])
def test_a_name_is_one_file(name, tmp_path):
    made = file_name(name)
    (tmp_path / f"{made}.json").touch()
    assert (tmp_path / f"{made}.json").parent == tmp_path
    assert len(list(tmp_path.iterdir())) == 1 and made not in (".", "..")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x" * 300, "x" * 301),
        ("a/b", "a b"),
        ("anna\xa0", "anna"),
        ("settings.json", "settings"),
        ("anna.html", "anna"),
    ],
)
def test_names_that_differ_stay_apart(one, other):
    made = file_name(one)
    assert made != file_name(other) and not made.endswith((".json", ".html"))


def test_report_alone_needs_no_submissions(tmp_path, hand_in, grades):
    path = hand_in("anna", "{")
    grades()
    path.unlink()
    assert report(tmp_path / "grades", SOLUTIONS).without == 1


@pytest.mark.parametrize(
    "words",
    [
        "[a](javascript:alert(1))",
        "![a](//example.org/a.png)",
        "[a][b]\n\n[b]: javascript:alert(1)",
        "<script>alert(1)</script>",
        "$a<img src=x onerror=alert(1)>$",
    ],
)
def test_an_answer_is_text_in_the_formgrader(words, as_read, released, assignment):
    from nbconvert.filters import markdown2html

    notebook = released()
    notebook["cells"] = [{"cell_type": "markdown", "metadata": {}, "source": words}]
    made = graded_notebook(as_read(notebook), assignment, ungraded(assignment, "It is broken."))
    page = markdown2html(made.cells[0].source)
    assert not any(tag in page for tag in ("<a", "<img", "<script")), page


def test_a_formula_with_less_than_can_be_read(as_read, assignment):
    from nbconvert.filters import markdown2html

    notebook = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "$a<b$"}]}
    made = graded_notebook(as_read(notebook), assignment, ungraded(assignment, "It is broken."))
    assert "$a&lt; b$" in markdown2html(made.cells[0].source)


def test_names_are_text_on_the_terminal_and_in_the_formgrader(tmp_path, hand_in, grades, capsys):
    hand_in('<img src=x>";alert(1);"', "{")
    (tmp_path / "submitted" / "\x1b[2J.pdf").write_text("")
    (tmp_path / "submitted" / os.fsdecode(b"\xe9.ipynb")).write_text("{")
    out = tmp_path / "grades"
    assert main(["grade", str(tmp_path / "submitted"), "--out", str(out), "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "3 submissions" in said and "\x1b" not in said
    with gradebook._open(out) as book:
        (name,) = [one.id for one in book.students]
    assert name == "_img src=x__;alert(1);_"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("\t@x", "'@x"),
        ("＝1", "'＝1"),
        ('a;"=1"', 'a;\'"=1"'),
        ("a; b = 1-1", "a; b = 1-1"),
    ],
)
def test_no_cell_is_a_formula(value, cell):
    assert reports._cell(value) == cell


def test_what_stands_beside_a_submission_is_not_trusted(tmp_path, hand_in, grades):
    path = hand_in("anna", "{")
    secret, when = path.with_name("submission_secret.txt"), path.with_name("timestamp.txt")
    (tmp_path / "private").write_text("private")
    secret.symlink_to(tmp_path / "private")
    when.write_text("2026-11-27 10:00:00 UTC")
    hand_in("ben", "{").with_name("timestamp.txt").write_text("soon")
    hand_in("chloé", "{").with_name("timestamp.txt").symlink_to(when)
    assert grades().out == 3
    beside = tmp_path / "grades" / "feedback" / "anna" / "03_kl"
    assert (beside / "timestamp.txt").exists() and not (beside / secret.name).exists()
    times = {one.student: handed_in(one) for one in Records(tmp_path / "grades")}
    assert times == {"anna": "2026-11-27 10:00:00 UTC", "ben": None, "chloé": None}


def test_a_gradebook_that_cannot_be_used_is_told(tmp_path, hand_in, grades, capsys):
    hand_in("anna", "{")
    grades()
    (tmp_path / "grades" / "gradebook.db").write_text("nothing that SQLite knows" * 100)
    assert main(["report", str(tmp_path / "grades")]) == 2
    assert "gradebook.db cannot be used: file is not a database" in capsys.readouterr().err


def test_grades_do_not_lie_among_the_submissions(tmp_path, hand_in):
    hand_in("anna", "{")
    submitted = tmp_path / "submitted"
    for out in (submitted, submitted / "grades"):
        with pytest.raises(ValueError, match="give --out another place"):
            grade_folder(submitted, out, SOLUTIONS)


def test_a_file_that_was_no_notebook_is_forgotten_when_there_is_one(tmp_path, hand_in, grades):
    other = tmp_path / "submitted" / "ben" / "answers.pdf"
    other.parent.mkdir(parents=True)
    other.write_text("")
    assert [one.assignment for one in grades().waiting] == [""]
    hand_in("ben", "{")
    assert [one.assignment for one in grades().waiting] == ["03_kl"]


def test_extra_credit_counts(tmp_path, hand_in, grades):
    hand_in("anna", "{")
    grades()
    out = tmp_path / "grades"
    with gradebook._open(out) as book:
        book.find_grade("kl_normal-check", "03_kl", "03_kl", "anna").extra_credit = 1.5
        book.db.commit()
    report(out, SOLUTIONS)
    assert totals(out) == {"anna": 1.5}


def test_a_marked_answer_that_was_deleted_is_listed(assignment):
    record = Record("key", "anna", "03_kl", "f", (), ungraded(assignment, "It is broken."))
    marked = {("anna", "03_kl"): {"diagnosis": Mark(2, True, True, "")}}
    assert "To be read: diagnosis." in [one.sentence for one in all_waiting([record], marked)]


def test_what_the_machine_failed_on_is_not_the_same_work(assignment):
    graded = ungraded(assignment, "It is broken.")
    graded = replace(graded, verdicts=(replace(graded.verdicts[0], points=1),))
    records = [Record("", name, "03_kl", "f", (), graded) for name in ("anna", "ben")]
    assert not [one for one in all_waiting(records, {}) if "the same" in one.sentence]


def test_two_runs_report_one_after_the_other(tmp_path, hand_in, grades):
    hand_in("anna", "{")
    grades()
    other = threading.Thread(target=report, args=(tmp_path / "grades", SOLUTIONS))
    with classroom._one_at_a_time(tmp_path / "grades"):
        other.start()
        other.join(1)
        assert other.is_alive()
    other.join(60)
    assert not other.is_alive()


def test_a_set_whose_cells_have_changed_is_refused_before_anything_is_graded(
    tmp_path, hand_in, grades, monkeypatch
):
    hand_in("anna", "{")
    grades()
    notebook = json.loads((SOLUTIONS / "03_kl" / "03_kl.ipynb").read_text(encoding="utf-8"))
    cells = notebook["cells"]
    cells.remove(next(cell for cell in cells if cell["id"] == "question-1"))
    changed = tmp_path / "solutions" / "03_kl" / "03_kl.ipynb"
    changed.parent.mkdir(parents=True)
    changed.write_text(json.dumps(notebook), encoding="utf-8")
    monkeypatch.setattr("course_lib.grading.classroom._prepare", None)
    with pytest.raises(RuntimeError, match="a folder of their own"):
        grade_folder(tmp_path / "submitted", tmp_path / "grades", changed.parents[1])


def test_a_time_out_that_somebody_has_marked_is_done(assignment):
    graded = ungraded(assignment, "It was stopped.")
    first, *rest = graded.verdicts
    graded = replace(graded, flags=(), verdicts=(replace(first, mistake="timed_out"), *rest))
    record = Record("key", "anna", "03_kl", "f", (), graded)
    assert [one.sentence for one in all_waiting([record], {})] == [
        f"{first.function}: It was stopped."
    ]
    marked = {("anna", "03_kl"): {first.grade_id: Mark(2, True, False, "")}}
    assert not all_waiting([record], marked)


def test_what_a_student_made_of_a_test_is_shown(as_read, released, assignment):
    notebook = released()
    cell = next(one for one in notebook["cells"] if one["id"] == "kl_normal-check")
    cell["source"] = "kl_normal = mine"
    made = graded_notebook(as_read(notebook), assignment, ungraded(assignment, "It is broken."))
    own, test = [
        one
        for before, one in zip([None, *made.cells], made.cells, strict=False)
        if "kl_normal = mine" in (one.source, before and before.source)
    ]
    assert own.source == "kl_normal = mine" and "nbgrader" not in own.metadata
    assert test.source == assignment.tests["kl_normal-check"]


def test_a_notebook_in_the_place_of_another_set_needs_a_person(tmp_path, hand_in, sets, solved):
    hand_in("anna", solved("04_reparameterization"))
    (one,) = find_submissions(tmp_path / "submitted", sets)
    record, _ = classroom._prepare(one, sets, SOLUTIONS, 0, False, Limits())
    assert record.assignment == "04_reparameterization"
    assert record.for_a_person[0].startswith("By its place it would be 03_kl")
