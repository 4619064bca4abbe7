"""The instructor's guide keeps true: sets, points, syllabi, what checks say, links and commands."""

from __future__ import annotations

import argparse
import ast
import math
import re
import sys
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from course_lib import check
from course_lib.__main__ import _parser

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SETS = sorted(path.name for path in (ROOT / "solutions").iterdir())
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
TEXTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
WORDS = ("diagnosis", "question-1", "question-2")
IN_WORDS = ("diagnosis", "question 1", "question 2")  # the same, as the page calls them


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def sections(path: Path) -> dict[str, str]:
    """The text below each heading of the second level."""
    parts = re.split(r"^## (.*)$", text_of(path), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def rows(text: str, columns: int) -> list[list[str]]:
    """The rows of the tables with this many columns, headers and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    tables = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rule = [i for i, cells in enumerate(tables) if set("".join(cells)) <= set("-:")]
    skipped = {*rule, *(i - 1 for i in rule)}
    return [c for i, c in enumerate(tables) if i not in skipped and len(c) == columns]


# --- docs/sets.md against the notebooks --------------------------------------------------------


def section_of(name: str) -> str:
    """The section of a set; empty where there is none, which a test of its own reports."""
    parts = sections(DOCS / "sets.md").items()
    return next((text for title, text in parts if title.split()[0] == name), "")


@cache
def source(name: str) -> nbformat.NotebookNode:
    return nbformat.read(ROOT / "solutions" / name / f"{name}.ipynb", as_version=4)


def points_of(name: str) -> dict[str, float]:
    """The points of every graded cell, by the name of what is asked."""
    about = [c.metadata.get("nbgrader", {}) for c in source(name).cells]
    return {a["grade_id"].removesuffix("-check"): a["points"] for a in about if a.get("grade")}


def minutes_of(name: str) -> dict[str, int]:
    """The minutes that the notebook allows for each function, from the text above its cell."""
    allowed, minutes = 0, {}
    for cell in source(name).cells:
        for said in re.findall(r"up to (\d+) minutes", cell.source):
            allowed = int(said)
        about = cell.metadata.get("nbgrader", {})
        if about.get("solution") and not about.get("grade"):
            minutes[about["grade_id"]] = allowed
    return minutes


def stub_of(name: str, function: str) -> list[str] | None:
    """The names of the arguments of a function that is asked, or None where it is a class."""
    for cell in source(name).cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == function:
            made = ast.parse(cell.source).body[0]
            if isinstance(made, ast.FunctionDef):
                return [argument.arg for argument in made.args.args]
    return None


def test_sets_are_those_of_solutions():
    named = [t.split()[0] for t in sections(DOCS / "sets.md") if re.match(r"\d\d_", t)]
    assert SETS and named == SETS


@pytest.mark.parametrize("name", SETS)
def test_points_and_minutes_of_a_set(name):
    text, points = section_of(name), points_of(name)
    asked = {cells[0].strip("`"): cells[1:3] for cells in rows(text, 4) if cells[1].isdigit()}
    by_code = {k: v for k, v in points.items() if k not in WORDS}
    assert {k: int(v[0]) for k, v in asked.items()} == by_code
    assert {k: int(v[1]) for k, v in asked.items()} == minutes_of(name)
    said = re.search(r"Points: (\d+) code \+ (\d+) words", text)
    assert said, "a line 'Points: .. code + .. words.' is missing"
    assert int(said[1]) == sum(by_code.values())
    assert int(said[2]) == sum(points[k] for k in WORDS)


@pytest.mark.parametrize("name", SETS)
def test_every_answer_in_words_has_a_rubric_and_one_an_example(name):
    text = section_of(name)
    graded = {cells[0]: cells[1:] for cells in rows(text, 4) if cells[0] in IN_WORDS}
    assert list(graded) == list(IN_WORDS)
    assert all(cell for cells in graded.values() for cell in cells)
    assert len(re.findall(r'^\*Half, (?:diagnosis|question [12]):\* ".+" ', text, re.M)) == 1
    assert "**Prediction.**" in text and "**The fault.**" in text


# --- what the checks say -----------------------------------------------------------------------

SAID = re.compile(r'`(\w+)` "(.*)"')


def mistakes_of(name: str) -> list[tuple[str, str, str, str]]:
    """Function, answer, identifier and words of each row of the table of wrong answers."""
    asked = [k for k in points_of(name) if k not in WORDS]
    found = []
    for function, answer, says, _ in rows(section_of(name), 4):
        said = SAID.fullmatch(says)
        if said:
            assert function.strip("`") in asked, function
            plain = (part.replace("\\|", "|") for part in (answer, said[1], said[2]))
            found.append((function.strip("`"), *plain))
    return found


MISTAKES = [(name, *row) for name in SETS for row in mistakes_of(name)]
SCOPE = {"torch": torch, "F": torch.nn.functional, "math": math, "Normal": Normal}
SCOPE |= {"kl_divergence": kl_divergence}


def written(name: str, function: str, answer: str) -> Callable | None:
    """The function whose body is the code in the table; None where the answer is told in words."""
    arguments = stub_of(name, function)
    code = re.fullmatch(r"`([^`]+)`", answer)
    if arguments is None or code is None:
        return None
    try:
        tree = ast.parse(code[1], mode="eval")
    except SyntaxError:
        return None
    inner = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    if not inner & set(arguments) or inner - set(arguments) - set(SCOPE) - {"int"}:
        return None
    return eval(f"lambda {', '.join(arguments)}: {code[1]}", dict(SCOPE))


@cache
def wrong_answers() -> list:
    """The bank of tests/checks, which holds the answers that the table tells in words."""
    folder = ROOT / "tests" / "checks"
    sys.path.insert(0, str(folder))
    for path in sorted(folder.glob("bank_*.py")):
        import_module(path.stem)
    return import_module("bank").WRONG


@pytest.mark.parametrize(
    ("name", "function", "answer", "mistake", "words"),
    MISTAKES,
    ids=[f"{row[1]}-{row[3]}-{i}" for i, row in enumerate(MISTAKES)],
)
def test_the_check_says_what_the_guide_says(name, function, answer, mistake, words):
    seed = zlib.crc32(f"{function} {mistake}".encode())
    code = written(name, function, answer)
    if code is not None:
        result = check(function, code, seed=seed)
        assert result.mistake == mistake, str(result)
        assert words in result.message
        return
    bank = [a for a in wrong_answers() if a.exercise == function and mistake in a.mistakes]
    assert bank, f"tests/checks has no answer to {function} that is called {mistake}"
    said = [check(function, a.code, seed=seed) for a in bank]
    messages = [r.message for r in said if r.mistake == mistake]
    assert any(words in message for message in messages), messages


@pytest.mark.parametrize("name", SETS)
def test_every_function_has_its_mistakes(name):
    listed = [row[0] for row in mistakes_of(name)]
    for function in stub_names(name):
        assert listed.count(function) >= 2, function


def stub_names(name: str) -> list[str]:
    return [k for k in points_of(name) if k not in WORDS and not k.startswith("mended_")]


# --- docs/teaching.md against the notebooks ------------------------------------------------------

NUMBERED = re.compile(r"\[(\d\d)[^\]]*\]\(\.\./notebooks/(\w+)\.ipynb\)")


def syllabus(title: str) -> str:
    return next(text for t, text in sections(DOCS / "teaching.md").items() if t.startswith(title))


def taught(text: str) -> set[str]:
    return {stem for _, stem in NUMBERED.findall(text)}


@pytest.mark.parametrize("title", ["Fourteen weeks", "Three days"])
def test_every_notebook_is_taught_or_left_out(title):
    plan, _, left_out = syllabus(title).partition("**Left out")
    assert taught(plan) | taught(left_out) == set(NOTEBOOKS)
    assert not taught(plan) & taught(left_out)


def test_numbers_of_notebooks_are_those_of_their_files():
    for number, stem in NUMBERED.findall(text_of(DOCS / "teaching.md")):
        assert stem.startswith(number)


def test_every_set_is_handed_in_once():
    weeks = rows(syllabus("Fourteen weeks"), 7)
    assert [cells[0] for cells in weeks] == [str(week) for week in range(1, 15)]
    assert [s for cells in weeks for s in re.findall(r"\d\d_\w+", cells[4])] == SETS


def test_minutes_of_the_notebooks_are_those_that_they_state():
    said = dict(re.findall(r"notebooks/(\w+)\.ipynb\), (\d+) min", syllabus("Fourteen weeks")))
    assert set(said) == set(NOTEBOOKS)
    for stem in NOTEBOOKS:
        cells = nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4).cells
        stated = re.search(r"Time:(?:\*\*)?\D{0,10}(\d+) minutes", cells[0].source)
        assert stated and stated[1] == said[stem], stem


# --- links and commands of all documents -------------------------------------------------------


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(path: Path) -> set[str]:
    """What a link may name: headings, spelled as a site does, and anchors set by hand."""
    text = without_code(text_of(path))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
    return made | set(re.findall(r'<a (?:name|id)="([^"]+)"', text))


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_links_lead_to_files_and_headings(path):
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(path))):
        if link.startswith("https://"):
            continue
        file, _, heading = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (heading and heading not in anchors(target)):
            lost.append(link)
    assert not lost


def shell(path: Path) -> list[str]:
    """The commands in fenced shell blocks, without comments."""
    blocks = re.findall(r"^```(?:bash|sh)\n(.*?)^```", text_of(path), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_commands_exist(path):
    targets = re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE)
    options = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction))
    for line in shell(path):
        for target in re.findall(r"(?:^|[;&] *|\s)make ([a-z-]+)", line):
            assert target in targets, line
        for command in re.findall(r"-m course_lib (\w+)", line):
            assert command in options.choices, line


def test_the_lab_without_network_has_what_builds_the_course():
    """pip builds the course when it installs it, and asks for what [build-system] names."""
    asked = tomllib.loads(text_of(ROOT / "pyproject.toml"))["build-system"]["requires"]
    download = [line for line in shell(DOCS / "teaching.md") if " pip download " in line]
    assert download
    for line in download:
        assert all(f"'{requirement}'" in line for requirement in asked), line
    commands = "\n".join(shell(DOCS / "teaching.md"))
    assert "make lab" in commands and "--no-index" in commands
