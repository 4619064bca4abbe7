"""Each submission gets the points that it has earned, whatever else it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course_lib.checks import plan, probe
from course_lib.grading import isolation, verdicts
from course_lib.grading.isolation import Limits
from course_lib.grading.reading import read_source
from course_lib.grading.verdicts import grade, ungraded, verdict

reason = isolation.why_not()
needs_sandbox = pytest.mark.skipif(reason is not None, reason=str(reason))
ROOT = Path(__file__).resolve().parents[2]
KL = "def kl_standard_normal(mu, logvar):\n    "
RIGHT = "return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)"
OTHERS = sorted(p.name for p in (ROOT / "solutions").iterdir() if p.name != "03_kl")
NAMES = ("kl_standard_normal", "kl_normal", "kl_monte_carlo", "mended_rate")


def code(source: str, **more) -> dict:
    return {"cell_type": "code", "id": "own", "metadata": {}, "source": source, **more}


def earned(graded) -> dict[str, float]:
    return {one.function: one.points for one in graded.verdicts}


def by_name(graded) -> dict[str, verdicts.Verdict]:
    return {one.function: one for one in graded.verdicts}


def kinds(graded) -> list[str]:
    return [flag.kind for flag in graded.flags]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(verdicts, "CELL_SECONDS", 5.0)


# One process


@needs_sandbox
def test_right_answers_earn_all_points(solved, as_read, assignment):
    graded = grade(as_read(solved()), ROOT / "solutions/03_kl/03_kl.ipynb")
    assert (graded.points, graded.most, graded.starts) == (14, 14, 1)
    assert all(one.passed and one.sentence.endswith(".") for one in graded.verdicts)
    assert graded.flags == () and graded.for_a_person == ()
    assert 1e8 < graded.peak_memory < 1.5e9
    assert not graded.unsafe


@needs_sandbox
@pytest.mark.parametrize("name", OTHERS)
def test_the_model_answers_of_every_set_earn_all_points(name, solved, as_read, sets):
    graded = grade(as_read(solved(name)), sets[name], seed=1)
    assert [one for one in graded.verdicts if not one.passed] == []
    assert (graded.points, graded.flags, graded.starts) == (14, (), 1)


@needs_sandbox
def test_an_untouched_notebook_earns_nothing(released, as_read, assignment):
    graded = grade(as_read(released()), assignment)
    assert graded.points == 0 and graded.starts == 1
    for one in graded.verdicts:
        assert one.mistake == "not_implemented" and "is not written yet" in one.sentence
    assert [answer.text for answer in graded.answers] == ["", "", ""]
    assert graded.for_a_person == ()


@needs_sandbox
def test_cells_may_be_moved_copied_renamed_and_deleted(solved, released, as_read, assignment):
    answers_nothing = """
import os
def chatter():
    for number in range(3, 40):
        try:
            os.write(number, b'{"token": 1, "report": {}}\\n[]\\n')
        except OSError:
            pass
"""
    notebook = solved(kl_standard_normal=f"{answers_nothing}\n{KL}chatter()\n    {RIGHT}")
    stubs = [c for c in released()["cells"] if c["id"] in NAMES]
    cells = [c for c in notebook["cells"] if not c["id"].endswith("-check")]
    for cell in cells:
        cell["metadata"].pop("nbgrader", None)
        cell["id"] = f"x{cell['id']}"
    notebook["cells"] = cells[::-1] + stubs  # the imports come last, and copies of the stubs
    graded = grade(as_read(notebook), assignment)
    assert graded.points == 14
    without_imports = solved()
    del without_imports["cells"][1]
    without_imports["cells"] += [c for c in without_imports["cells"] if c["id"] == "kl_normal"]
    for cell in without_imports["cells"]:
        if cell["id"] == "kl_normal-check":
            cell["source"] = "print('all right')"
    without_imports["cells"] = [
        c for c in without_imports["cells"] if c["id"] != "mended_rate-check"
    ]
    graded = grade(as_read(without_imports), assignment)
    assert graded.points == 14
    assert kinds(graded) == ["missing", "changed", "copied"]
    assert graded.for_a_person == ()


@needs_sandbox
def test_only_some_are_right_and_the_cells_are_a_mess(solved, as_read, assignment):
    notebook = solved(
        kl_normal="def kl_normal(mu_q, logvar_q, mu_p, logvar_p)\n    return 0",
        kl_standard_normal=f"%time x = 1\n!ls\nprint('x' * 200_000_000)\n{KL}{RIGHT}\nassert False",
        mended_rate="def mended_rate(mu, logvar):\n"
        "    return (mu**2 + logvar.exp() - 1 - logvar).sum(-1)",
    )
    place = next(i for i, c in enumerate(notebook["cells"]) if c["id"] == "kl_normal") + 1
    notebook["cells"].insert(2, code("%matplotlib inline\nexit()\ninput('?')"))
    notebook["cells"].insert(3, code("%%bash\nrm -rf /"))
    notebook["cells"].insert(4, code("1 / 0"))
    notebook["cells"].append(code("while True:\n    pass"))
    graded = grade(as_read(notebook), assignment)
    assert earned(graded) == dict(zip(NAMES, (4, 0, 4, 0), strict=True))
    said = by_name(graded)
    assert f"cell {place + 3} failed: SyntaxError" in said["kl_normal"].sentence
    assert said["mended_rate"].mistake == "missing_half"
    assert graded.starts == 1


@needs_sandbox
def test_nothing_is_earned_by_patches_and_forged_words(released, as_read, assignment):
    notebook = released()
    notebook["cells"].append(
        code(
            """
import builtins, json, os, sys, torch
import course_lib.checks.probes as probes
torch.allclose = torch.equal = lambda *a, **k: True
builtins.abs = lambda x: 0
json.dumps = lambda *a, **k: '{"passed": true}'
probes.probe = lambda plan, function: {"record": [], "printed": ""}
print('{"report": {"passed": true}}')
names = {n: {"callable": True} for n in ("kl_normal", "mended_rate")}
for number in range(3, 30):
    try:
        os.write(number, b'{"event": "ran", "failed": [], "names": {}}\\n' * 3)
        os.write(number, b'{"event": "cell", "index": 1e9}\\n[1]\\n{"token": null}\\n')
        os.write(number, b'[' * 100_000 + b'\\n')
    except OSError:
        pass
"""
        )
    )
    graded = grade(as_read(notebook), assignment)
    assert graded.points == 0
    assert "replaced" in kinds(graded) and "machinery" in kinds(graded)
    assert any("machinery" in sentence for sentence in graded.for_a_person)


@needs_sandbox
def test_the_library_in_place_of_an_answer_is_flagged(solved, as_read, assignment):
    notebook = solved(
        kl_standard_normal="from course_lib.divergences import kl_standard_normal",
        mended_rate="import course_lib.divergences as d\ndef mended_rate(mu, logvar):\n"
        "    return d.kl_standard_normal(mu, logvar)",
    )
    graded = grade(as_read(notebook), assignment)
    flagged = [flag.sentence for flag in graded.flags if flag.kind == "library"]
    assert [one.split()[0] for one in flagged] == ["kl_standard_normal", "mended_rate"]
    assert len(graded.for_a_person) == 2


@needs_sandbox
def test_an_answer_that_cannot_be_read_is_flagged(solved, as_read, assignment):
    notebook = solved(
        kl_standard_normal="from course_lib.divergences import kl_standard_normal as z\n"
        "globals()['kl_standard_normal'] = lambda mu, logvar: z(mu, logvar)",
    )
    graded = grade(as_read(notebook), assignment)
    assert graded.points == 14
    said = [flag.sentence for flag in graded.flags if flag.kind == "roundabout"]
    assert said == [
        "kl_standard_normal is right, but where it is defined cannot be read from the cells.",
        "Its cells reach for things by globals.",
    ]
    assert len(graded.for_a_person) == 2


@needs_sandbox
def test_a_helper_may_stand_in_a_demonstration_or_a_test_cell(solved, as_read, sets):
    name = "04_reparameterization"
    notebook = solved(
        name,
        reparameterize="def reparameterize(mu, logvar):\n"
        "    return mu + std_of(logvar) * noise_like(mu)",
    )
    cells = {cell["id"]: cell for cell in notebook["cells"]}
    shown = next(c for c in notebook["cells"] if "demonstration" in c["metadata"].get("tags", []))
    shown["source"] += "\n\ndef std_of(logvar):\n    return (logvar / 2).exp()\nraise SystemExit"
    test = cells["reparameterize-check"]
    test["source"] += "\n\ndef noise_like(mu):\n    return torch.randn_like(mu)\n1 / 0"
    graded = grade(as_read(notebook), sets[name])
    assert (graded.points, kinds(graded)) == (14, ["changed"])


# Several processes


@needs_sandbox
def test_functions_that_end_the_process_cost_only_their_own_points(solved, as_read, assignment):
    notebook = solved(
        kl_standard_normal=f"import os\n{KL}os._exit(0)",
        kl_normal="""
def kl_normal(*args):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
""",
        kl_monte_carlo="def kl_monte_carlo(q, p, n):\n    return bytearray(10**10)",
    )
    graded = grade(as_read(notebook), assignment)
    assert earned(graded) == dict(zip(NAMES, (0, 0, 0, 2), strict=True))
    said = by_name(graded)
    assert said["kl_standard_normal"].mistake == "process_ended"
    assert said["kl_normal"].mistake == "timed_out"
    assert "MemoryError" in said["kl_monte_carlo"].sentence
    assert graded.starts <= 3


@needs_sandbox
def test_cells_that_end_the_process_are_left_out(solved, as_read, assignment):
    notebook = solved(kl_normal="import os\ndef kl_normal(*args): pass\nos._exit(3)")
    notebook["cells"].append(
        code("import os\nwhile True:\n    try: os.fork()\n    except Exception: os._exit(1)")
    )
    graded = grade(as_read(notebook), assignment)
    assert earned(graded) == dict(zip(NAMES, (4, 0, 4, 2), strict=True))
    assert by_name(graded)["kl_normal"].mistake == "nothing_returned"
    processes = [flag.sentence for flag in graded.flags if flag.kind == "process"]
    assert "exit code 3" in processes[0] and "definitions only" in processes[0]


@needs_sandbox
def test_when_every_process_ends_there_is_a_sentence(solved, as_read, assignment, monkeypatch):
    monkeypatch.setattr(verdicts, "MOST_STARTS", 2)
    notebook = solved(kl_normal="import os\nclass kl_normal: x = os._exit(5)")
    graded = grade(as_read(notebook), assignment)
    assert graded.points == 0 and graded.starts == 2
    assert all("ends every process" in one.sentence for one in graded.verdicts)


@needs_sandbox
def test_the_time_of_the_whole_notebook_is_limited(solved, as_read, assignment, monkeypatch):
    monkeypatch.setattr(verdicts, "_LEAST_SECONDS", 60)
    notebook = solved(kl_normal="import os\nos._exit(1)")
    graded = grade(as_read(notebook), assignment, limits=Limits(wall=61))
    assert graded.points == 0 and graded.starts == 1
    assert "61 s of the whole notebook were used up" in graded.verdicts[0].sentence


@needs_sandbox
def test_what_fills_the_memory_is_stopped(solved, as_read, assignment):
    notebook = solved(
        mended_rate="""
import os, time
def mended_rate(mu, logvar):
    for _ in range(6):
        if os.fork() == 0:
            x = bytearray(os.urandom(1)) * 700_000_000
            time.sleep(30)
    time.sleep(8)
"""
    )
    graded = grade(as_read(notebook), assignment)
    assert earned(graded) == dict(zip(NAMES, (4, 4, 4, 0), strict=True))
    assert by_name(graded)["mended_rate"].mistake == "memory"


@needs_sandbox
def test_what_one_function_leaves_behind_is_not_charged_to_the_next(solved, as_read, assignment):
    hoard = """
kept = []
def kl_normal(*args):
    while len(kept) < 400:
        kept.append(bytearray(5_000_000))
"""
    graded = grade(as_read(solved(kl_normal=hoard)), assignment)
    assert earned(graded) == dict(zip(NAMES, (4, 0, 4, 2), strict=True))
    assert graded.starts > 1


@needs_sandbox
def test_a_damaged_notebook_keeps_what_can_be_read(solved, assignment):
    from course_lib.grading.notebooks import read_notebook

    whole = json.dumps(solved()).encode()
    notebook = read_notebook(whole[: whole.index(b"def kl_monte_carlo")])
    graded = grade(notebook, assignment)
    assert earned(graded) == dict(zip(NAMES, (4, 4, 0, 0), strict=True))
    assert "There is no mended_rate" in by_name(graded)["mended_rate"].sentence
    assert "damaged" in graded.for_a_person[0]


def test_without_a_sandbox_it_says_so(solved, as_read, assignment):
    graded = grade(as_read(solved()), assignment, unsafe=True, limits=Limits(wall=200))
    assert graded.points == 14 and graded.unsafe


def test_without_a_sandbox_it_refuses(solved, as_read, assignment, monkeypatch):
    monkeypatch.setattr("course_lib.grading.sandbox.why_not", lambda: "There is none.")
    with pytest.raises(isolation.Ended, match="There is none"):
        grade(as_read(solved()), assignment)


# Reports that are forged, and what is told without running anything


def report_of(name: str, function, seed: int = 1) -> tuple[dict, dict]:
    made = plan(name, seed, hidden=True)
    return made, json.loads(json.dumps(probe(made, function)))


def right(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def test_an_honest_report_is_judged():
    assert verdict(*report_of("kl_standard_normal", right)).passed
    assert verdict(*report_of("kl_standard_normal", lambda m, s: 2 * right(m, s))).mistake


def test_the_report_on_other_inputs_is_wrong():
    made, _ = report_of("kl_standard_normal", right)
    _, other = report_of("kl_standard_normal", right, seed=2)
    assert not verdict(made, other).passed


@pytest.mark.parametrize(
    "forge",
    [
        lambda r: None,
        lambda r: [],
        lambda r: {},
        lambda r: {"record": []},
        lambda r: {"record": None},
        lambda r: {"record": [[]] * len(r["record"])},
        lambda r: {"problem": 3},
        lambda r: {"problem": {"kind": "timeout", "seconds": "soon"}},
        lambda r: {"record": [[{"value": {"kind": "tensor"}}]]},
        lambda r: r["record"][0][0]["value"].update(data=[1.0], shape=[10**11]) or r,
        lambda r: r["record"][0][0]["value"].update(shape=[-1, -1]) or r,
        lambda r: r["record"][0][0]["value"].update(shape=[True]) or r,
        lambda r: r["record"][0][0]["value"].update(data=["x"] * 4) or r,
        lambda r: r["record"][0][0]["value"].update(data={"a": 1}) or r,
        lambda r: r["record"][0][0]["value"].update(dtype="manual_seed") or r,
        lambda r: r["record"][0][0]["value"].update(kind="list", data=[[]] * 10**6) or r,
        lambda r: [run.update(grads=[]) for runs in r["record"] for run in runs] and r,
        lambda r: [run.update(grads=[[[]]] * 2) for runs in r["record"] for run in runs] and r,
        lambda r: r["record"][0][0].update(x=[0] * 2_000_000) or r,
        lambda r: r["record"][0][0].update(x=10**30) or r,
        lambda r: r | {"x": "y" * 10_000},
        lambda r: r | {"y" * 10_000: 1},
    ],
)
def test_a_forged_report_is_a_wrong_answer(forge):
    made, report = report_of("kl_standard_normal", right)
    result = verdict(made, forge(report))
    assert not result.passed and result.message


LONG = b'{"a": ' + b"9" * 5_000 + b"}"


@pytest.mark.parametrize(
    "line",
    [b"", b"[1]", b"{", b"nan", b'{"a": NaN}', b'{"a": Infinity}', b"\xff", b"[" * 100_000, LONG],
)
def test_a_line_that_says_nothing(line):
    assert verdicts._parsed(line) == {}


def test_another_seed_gives_other_inputs(assignment, monkeypatch):
    seen = []

    class Answers:
        def ask(self, line, seconds):
            question = json.loads(line)
            seen.append(question["plan"])
            function = right if question["plan"]["exercise"] == "kl_standard_normal" else None
            report = probe(question["plan"], function)
            return json.dumps({"token": question["token"], "report": report}).encode()

    for seed in (0, 0, 1):
        work = verdicts._Work(assignment, [], seed, Limits(), False)
        work._test(Answers(), assignment.asked[0])
        assert work.verdicts["kl_standard_normal"].points == 4
    first, second = seen[:2], seen[4:]
    assert seen[:2] == seen[2:4] and first[0] != first[1]
    assert not [made for made in second if made in first]


def test_answers_in_words_are_collected(released, as_read, assignment):
    notebook = released()
    cells = {cell["id"]: cell for cell in notebook["cells"]}
    cells["diagnosis"]["source"] = ["The arguments ", "are swapped. \n"]
    cells["question-1"]["metadata"] = {}
    cells["question-1"]["source"] = "The rate rises."
    cells["question-2"]["metadata"], cells["question-2"]["id"] = {}, "other"
    cells["question-2"]["source"] = "One peak."
    texts = [verdicts._answer(as_read(notebook), one) for one in assignment.written]
    assert [one.text for one in texts] == [
        "The arguments are swapped.",
        "The rate rises.",
        "One peak.",
    ]
    assert [one.most for one in texts] == [2, 2, 2]


def test_nothing_that_a_terminal_would_obey_is_passed_on(assignment):
    made, report = report_of("kl_standard_normal", right)
    report = {"problem": {"kind": "raised", "type": "\x1b[2JError", "text": "\x1b]0;mine\x07"}}
    result = verdict(made, report)
    asked = assignment.asked[0]
    told = verdicts.Verdict("", asked.function, "", 0, 4, False, "", result.message, result.details)
    assert "\x1b" in result.message and "\x1b" not in told.sentence + str(told.details)
    assert verdicts.Flag("x", "a\x1bb").sentence == "a\ufffdb"


def test_a_submission_that_cannot_be_read_waits_for_a_person(assignment):
    graded = ungraded(assignment, "The file is empty.")
    assert (graded.points, graded.most) == (0, 14)
    assert graded.for_a_person == ("The file is empty.",)


def test_every_set_is_understood(sets):
    for one in sets.values():
        assert sum(a.points for a in one.asked) + sum(a.points for a in one.written) == 20
        assert all(asked.stub.endswith("raise NotImplementedError") for asked in one.asked)
        assert all(
            "Question" in w.question or "fault" in w.question.lower() or w.question
            for w in one.written
        )


def test_of_a_changed_demonstration_only_the_definitions_are_run(released, as_read, sets):
    one, notebook = sets["04_reparameterization"], released("04_reparameterization")
    shown = next(c for c in notebook["cells"] if "demonstration" in c["metadata"].get("tags", []))
    shown["source"] = "import math\ndef helper():\n    return math.pi\nhelper()\nplot(helper)"
    cell = next(c for c in verdicts._cells(as_read(notebook), one) if "helper" in c.source)
    assert cell.text == "import math\n\ndef helper():\n    return math.pi"


def test_nothing_of_the_worked_answers_cannot_be_read(sets):
    """All that is given and all answers are bound in the cells, and get at nothing in a detour."""
    for one in sets.values():
        source = read_source([*one.given, *one.answers])
        assert source.detours() == set(), one.name
        for asked in one.asked:
            assert source.binds(asked.function) and source.uses(asked.function)[1] == set()


def test_what_is_released_is_what_is_expected(sets, released, as_read):
    """The stubs, tests and demonstrations that are left out are those that students have."""
    for name, one in sets.items():
        cells = verdicts._cells(as_read(released(name)), one)
        expected = len(one.given) + len(one.asked)
        assert len(cells) == expected, name
        assert not list(verdicts._about_cells(as_read(released(name)), one))


def test_a_notebook_without_a_test_is_no_set(tmp_path):
    from course_lib.grading.assignments import read_assignment, read_assignments

    place = tmp_path / "x.ipynb"
    place.write_text('{"cells": []}', encoding="utf-8")
    with pytest.raises(ValueError, match="asks for nothing"):
        read_assignment(place)
    place.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="is not a notebook"):
        read_assignment(place)
    with pytest.raises(ValueError, match="There is no set"):
        read_assignments(tmp_path)
