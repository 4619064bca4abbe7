"""The doctor finds what is wrong with an installation and names the command that mends it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib import doctor, probe
from course_lib.data import DATASETS

NMS = "operator torchvision::nms does not exist"
WELL = {
    "torch": "2.15.0+cu132",
    "torchvision": "0.29.2+cu132",
    "device": "cpu",
    "threads": 2,
    "problems": [],
    "data": {"strokes": "drawn", "mnist": "in a folder", "kmnist": "not usable: a file is missing"},
}
INSTALLED = {"torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.0", "jupyterlab": "4.6.0"}
ASKED = {
    "course-lib": [
        "torch>=2.6",
        "torchvision>=0.21",
        "numpy>=1.26",
        "jupyterlab>=4.2; extra == 'lab'",
        "pytest>=8; extra == 'test'",
    ],
    "torchvision": ["numpy", "torch>=2.14.0", "gdown>=4.7.3; extra == 'gdown'"],
}


class FakeDistribution:
    def __init__(self, installer: str) -> None:
        self.installer = installer

    def read_text(self, name: str) -> str | None:
        return self.installer if name == "INSTALLER" else None


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """An installation in which all is well: what the probe answers, and the packages' metadata."""
    answer = {**WELL, "cache": str(tmp_path / "cache")}
    installed, asked = dict(INSTALLED), {k: list(v) for k, v in ASKED.items()}

    def version(name: str) -> str:
        if name not in installed:
            raise doctor.metadata.PackageNotFoundError(name)
        return installed[name]

    def requires(name: str) -> list[str]:
        if name not in asked:
            raise doctor.metadata.PackageNotFoundError(name)
        return asked[name]

    monkeypatch.setattr(doctor.probe, "ask", lambda: answer)
    monkeypatch.setattr(doctor.metadata, "version", version)
    monkeypatch.setattr(doctor.metadata, "requires", requires)
    monkeypatch.setattr(doctor.metadata, "distribution", lambda name: FakeDistribution("pip\n"))
    for name in ("COURSE_DATA", "COURSE_DATASET", "COURSE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return answer, installed, asked


def test_nothing_to_mend(machine, capsys):
    assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "All is well."
    table = lines[: lines.index("")]
    names = [line.split("  ")[0] for line in table]
    assert names[:3] == ["python", "torch", "torchvision"]
    assert {"jupyterlab", "device", "processor", "data: mnist", "cache"} <= set(names)
    assert "pytest" not in names  # what only the tests need is no learner's business
    assert any(line.split() == ["torch", "2.15.0+cu132"] for line in table)
    column = max(map(len, names)) + 2
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in table)


def test_pair_mismatch_comes_first_with_the_command(machine, capsys, monkeypatch):
    answer, installed, _ = machine
    answer.pop("torchvision")
    answer.update(torch="2.13.0+cpu", torchvision_error=NMS, problems=["Something else."])
    installed.pop("numpy")
    assert doctor.main([]) == 1
    text = capsys.readouterr().out.split("To mend, in this order:\n")[1].splitlines()
    assert [line[:5] for line in text] == ["  1. ", "  2. ", "  3. "]
    assert "torchvision 0.29.2 does not belong to the torch 2.13.0+cpu" in text[0]
    assert NMS in text[0]
    assert "-m pip install --force-reinstall torch torchvision`." in text[0]
    assert "'numpy>=1.26'`" in text[1]
    assert text[2].endswith("Something else.")


def test_pair_mismatch_from_the_metadata_alone(machine):
    answer, _, asked = machine
    asked["torchvision"] = ["torch==2.13.0"]
    (problem,) = doctor.report().problems
    assert "asks for torch==2.13.0" in problem
    assert problem.endswith(
        "`%pip install --force-reinstall torch torchvision` and restart the kernel."
    )
    answer["torch"] = "2.13.0+cpu"  # the build after the + does not break the pair by itself
    assert doctor.report().ok


def test_conda_mends_what_conda_installed(machine, monkeypatch):
    machine[0]["torchvision_error"] = NMS
    monkeypatch.setattr(doctor.metadata, "distribution", lambda name: FakeDistribution("conda"))
    assert "`conda install --force-reinstall -c conda-forge pytorch" in doctor.report().problems[0]


@pytest.mark.parametrize("gone", ["torch", "torchvision"])
def test_a_missing_half_is_installed_with_the_other(machine, gone):
    answer, installed, _ = machine
    installed.pop(gone)
    answer.pop(gone)
    if gone == "torch":
        answer["torch_error"] = "No module named 'torch'"
    (problem,) = doctor.report().problems
    assert "`%pip install --upgrade torch torchvision`" in problem
    assert (gone, "missing") in doctor.report().rows


def test_too_old_counts_as_missing(machine):
    machine[1]["jupyterlab"] = "4.1.9"
    (problem,) = doctor.report().problems
    assert "'jupyterlab>=4.2'" in problem
    assert "torch" not in problem


def test_course_not_installed(machine):
    del machine[2]["course-lib"]
    (problem,) = doctor.report().problems
    assert "`make lab`" in problem


def test_torch_that_does_not_load(machine):
    answer, _, _ = machine
    answer.clear()
    answer["torch_error"] = "libcudart.so.13: cannot open shared object file"
    (problem,) = doctor.report().problems
    assert problem.startswith("torch 2.15.0 does not load (libcudart.so.13")


def test_data_named_by_the_environment(machine, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("COURSE_DATASET", "mnits")
    folder, name = doctor.report().problems
    assert folder.startswith("COURSE_DATA names a folder that is not there")
    assert "strokes, mnist" in name
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("COURSE_DATASET", "kmnist")
    (unusable,) = doctor.report().problems
    assert "not usable: a file is missing" in unusable
    monkeypatch.setenv("COURSE_DATASET", "mnist")
    assert doctor.report().ok


def test_cache_must_hold_something(machine, monkeypatch, tmp_path):
    usage = doctor.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=2 * 10**8))
    (problem,) = doctor.report().problems
    assert "Only 0.2 GB are free" in problem
    monkeypatch.undo()
    assert doctor._cache({"cache": str(tmp_path)})[1] is None
    file = tmp_path / "file"
    file.touch()
    assert "set COURSE_CACHE" in doctor._cache({"cache": str(file / "inside")})[1]


def test_a_notebook_shows_no_folder_of_this_machine(machine, monkeypatch, tmp_path):
    answer, _, _ = machine
    home, data = tmp_path / "home", tmp_path / "data"
    data.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setenv("COURSE_DATA", str(data))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    answer["data"] = {"strokes": f"kept in {home}/.cache/vae", "mnist": f"in {data}/MNIST"}
    text = repr(doctor.report())
    assert str(tmp_path) not in text
    assert "kept in ~/.cache/vae" in text
    assert "in $COURSE_DATA/MNIST" in text


@pytest.mark.parametrize(
    ("named", "text", "expected"),
    [
        ("/data/", "in /data/MNIST/raw", "in $COURSE_DATA/MNIST/raw"),
        ("/data", "not there (/data): mend /data.", "not there ($COURSE_DATA): mend $COURSE_DATA."),
        ("/data", "/my/data /database /data.old /data-2", "/my/data /database /data.old /data-2"),
        (".", "torch 2.6.0, in data/MNIST.", "torch 2.6.0, in data/MNIST."),
        ("data", "data: mnist in data/MNIST", "data: mnist in data/MNIST"),
        ("/", "in /MNIST/raw, torch/2", "in /MNIST/raw, torch/2"),
    ],
)
def test_only_whole_names_of_a_folder_are_replaced(monkeypatch, named, text, expected):
    monkeypatch.delenv("COURSE_CACHE", raising=False)
    monkeypatch.setenv("COURSE_DATA", named)
    assert doctor._short(text, in_notebook=True) == expected
    assert doctor._short(text, in_notebook=False) == text


def test_command_names_this_python(monkeypatch, tmp_path):
    python = tmp_path / "my course" / ".venv" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.chdir(tmp_path)
    assert shlex.split(doctor._python()) == ["my course/.venv/bin/python"]
    (tmp_path / "my course").mkdir()
    monkeypatch.chdir(tmp_path / "my course")
    assert doctor._python() == ".venv/bin/python"
    monkeypatch.chdir("/")
    assert Path("/", shlex.split(doctor._python())[0]) == python


# ------------------------------------------------------------------------- the probe, for real


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """A folder in front of the installed packages, and a function that puts a fake one there."""

    def put(name: str, source: str) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(textwrap.dedent(source))

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return put


def test_this_installation_works():
    answer = probe.ask()
    assert "torch_error" not in answer
    assert "torchvision_error" not in answer
    assert answer["problems"] == []
    assert set(answer["data"]) == set(DATASETS)
    assert answer["threads"] == int(os.environ.get("COURSE_THREADS", "2"))


def test_torchvision_that_raises_at_import(fakes):
    fakes("torchvision", f"raise RuntimeError({NMS!r})")
    answer = probe.ask()
    assert answer["torchvision_error"] == NMS
    assert "torch" in answer
    assert "torchvision" not in answer
    assert answer["problems"] == []  # the data room does not need torchvision to be looked at


def test_torchvision_without_its_operators(monkeypatch):
    """An import may succeed where no operator is there; the probe calls one."""

    def nms(*_: object) -> None:
        raise RuntimeError(NMS)

    fake = SimpleNamespace(__version__="0.28.0", ops=SimpleNamespace(nms=nms))
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    assert probe.look()["torchvision_error"] == NMS


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('libtorch.so is damaged')", "libtorch.so is damaged"),
        ("import os; os.abort()", "Python stopped with status"),
        ("print('a word'); raise SystemExit(3)", "Python stopped with status 3"),
    ],
)
def test_torch_that_breaks(fakes, source, reason):
    fakes("torch", source)
    assert reason in probe.ask()["torch_error"]


def test_torch_that_hangs(fakes, monkeypatch):
    fakes("torch", "import time; time.sleep(60)")
    monkeypatch.setattr(probe, "SECONDS", 0.5)
    assert "no answer" in probe.ask()["torch_error"]


def test_unknown_device_is_a_problem(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "abacus")
    assert any("COURSE_DEVICE is 'abacus'" in problem for problem in probe.look()["problems"])


def test_command_line_without_torch(fakes, tmp_path):
    """The one command that must run where nothing else does."""
    fakes("torch", "raise ImportError('no torch here')")
    run = subprocess.run(
        [sys.executable, "-m", "course_lib", "doctor"], capture_output=True, text=True
    )
    assert run.returncode == 1, run.stderr
    assert "no torch here" in run.stdout
    assert "--force-reinstall torch torchvision" in run.stdout


def test_compiler_and_bf16_are_named(monkeypatch):
    assert probe.bf16().startswith(("bf16 in hardware (", "no bf16 in hardware"))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(probe.shutil, "which", lambda name: None)
    assert "a C++ compiler" in probe.compiler()
