"""The two commands, on a machine whose Python only writes down what it is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")

# `-c` is answered by the real Python; `-m venv` makes a folder with this same script in it.
STAND_IN = """\
#!/bin/sh
case "$1 $2" in
    "-c "*|-V*) exec {python} "$@" ;;
    "-m venv")
        for folder; do :; done
        mkdir -p "$folder/bin"
        rm -f "$folder"/.??*
        cp "$0" "$folder/bin/python" ;;
esac
echo "$@" >> {log}
case "$*" in *"$(cat {failing})"*) exit 1 ;; esac
exit 0
"""


class Course:
    """A folder with the Makefile and pyproject.toml, and a Python that keeps a log."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.failing = folder, folder / "log", folder / "failing"
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy2(ROOT / name, folder)
        self.python = self.script(
            STAND_IN.format(python=sys.executable, log=self.log, failing=self.failing)
        )

    def script(self, text: str) -> Path:
        path = self.folder / "a-python"
        path.write_text(text)
        path.chmod(0o755)
        return path

    def make(self, *arguments: str, failing: str = "nothing fails") -> tuple[int, str, list[str]]:
        """Return the exit status, what was printed, and what Python was asked to do."""
        self.log.write_text("")
        self.failing.write_text(failing)
        # What a surrounding make was told is not meant for this one.
        told = ("MAKE", "MFLAGS", "VENV", "LAB", "TESTS", "ARGS", "NOTEBOOKS", "SETS")
        env = {name: value for name, value in os.environ.items() if not name.startswith(told)}
        run = subprocess.run(
            ["make", *arguments, f"PYTHON={self.python}"],
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
        )
        return run.returncode, run.stdout + run.stderr, self.log.read_text().splitlines()


@pytest.fixture
def course(tmp_path) -> Course:
    return Course(tmp_path)


VENV = "-m venv --clear .venv"
LAB = "-m pip install --editable .[lab]"
TEST = "-m pip install --editable .[lab,test,grade,hub,cluster,site]"
SITE = "-m pip install --editable .[site]"
DOCTOR = "-m course_lib doctor"


def test_lab_installs_once_and_opens_the_first_notebook(course):
    status, _, asked = course.make("lab")
    assert status == 0
    assert asked[:3] == [VENV, LAB, DOCTOR]
    assert asked[3].startswith("-m jupyterlab")
    assert asked[3].endswith("notebooks/00_start_here.ipynb")
    assert ("--allow-root" in asked[3]) == (os.getuid() == 0)
    assert course.make("lab", "LAB=--no-browser")[2] == [
        asked[3].replace(" notebooks", " --no-browser notebooks")
    ]


def test_test_runs_everything_in_one_call_of_pytest(course):
    status, _, asked = course.make("test")
    assert status == 0
    assert asked[:3] == [VENV, TEST, DOCTOR]
    assert asked[3:5] == ["-m ruff check", "-m ruff format --check"]
    assert asked[5].startswith("-m pytest -n 2 --dist loadscope --nbval-lax --nbval-current-env ")
    assert "--nbval-cell-timeout=" in asked[5]
    assert asked[5].endswith(" tests notebooks solutions")
    assert len(asked) == 6
    assert course.make("test")[2] == asked[3:]
    assert len(course.make("lab")[2]) == 1, "what the tests need includes what the lab needs"


def test_lab_first_then_test_installs_only_what_is_missing(course):
    course.make("lab")
    assert course.make("test")[2][:2] == [TEST, DOCTOR]


def test_exercises_are_made_set_by_set_and_none_after_a_failure(course):
    for name in ("02_a", "03_b"):
        (course.folder / "solutions" / name).mkdir(parents=True)
    course.make("test")
    command = "-m nbgrader generate_assignment --force --no-db"
    assert course.make("exercises")[2] == [f"{command} 02_a", f"{command} 03_b"]
    assert course.make("exercises", "SETS=03_b")[2] == [f"{command} 03_b"]
    status, _, asked = course.make("exercises", failing="02_a")
    assert status != 0 and asked == [f"{command} 02_a"]


def test_site_installs_once_and_builds(course):
    status, _, asked = course.make("site")
    assert status == 0
    assert asked == [VENV, SITE, "docs/site/build.py"]
    assert course.make("site", "ARGS=--lab there")[2] == ["docs/site/build.py --lab there"]


def test_what_the_tests_need_includes_what_the_site_needs(course):
    course.make("test")
    assert course.make("site")[2] == ["docs/site/build.py"]


@pytest.mark.parametrize("step", [LAB, DOCTOR])
def test_a_broken_installation_is_taken_up_again(course, step):
    status, _, asked = course.make("lab", failing=step)
    assert status != 0
    assert asked[-1] == step, "nothing is opened"
    status, _, asked = course.make("lab")
    assert status == 0
    assert asked[:2] == [LAB, DOCTOR]


def test_other_dependencies_are_installed(course):
    course.make("lab")
    project = course.folder / "pyproject.toml"
    later = (course.folder / ".venv" / ".lab").stat().st_mtime + 10
    os.utime(project, (later, later))
    assert course.make("lab")[2][0] == LAB


def test_a_python_that_is_gone_is_replaced(course):
    course.make("lab")
    (course.folder / ".venv" / "bin" / "python").unlink()
    assert course.make("lab")[2][:3] == [VENV, LAB, DOCTOR]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("exit 1", "needs Python 3.10 or newer, and"),
        ('case "$*" in *ensurepip*) exit 1 ;; esac', "apt install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_gets_one_sentence(course, source, sentence):
    course.script(f"#!/bin/sh\n{source}\n")
    status, text, _ = course.make("lab")
    assert status != 0
    said = [line for line in text.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert sentence in said[0]
    assert not (course.folder / ".venv").exists()


def test_no_python_gets_one_sentence(course):
    course.python = Path("no-such-python")
    status, text, _ = course.make("test")
    assert status != 0
    assert text.startswith("There is no 'no-such-python' here: install Python 3.10 or newer")


def test_help_lists_every_target(course):
    status, text, asked = course.make("help")
    assert status == 0 and asked == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = makefile.split(".PHONY:")[1].splitlines()[0].split()
    listed = [line.split()[1] for line in text.splitlines()]
    assert sorted(listed) == sorted(set(phony) - {"check-python"})


def test_the_script_for_clean_checkouts_is_bash():
    script = ROOT / ".ci" / "run"
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"
