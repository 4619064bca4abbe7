"""The house is in order: one set of bounds, light imports, rooms that know only those below."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch"}
SLOW = ("torchvision", "IPython", "ipywidgets", "sklearn", "scipy", "tqdm", "pandas")


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_conda_and_pip_have_the_same_bounds(project):
    asked = project["dependencies"] + project["optional-dependencies"]["lab"]
    parts = [re.fullmatch(r"([\w.-]+)(.*)", line).groups() for line in asked]
    wanted = {CONDA_NAMES.get(name, name) + bounds for name, bounds in parts}
    wanted |= {f"python{project['requires-python']}", "pip"}
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *listed, last = environment["dependencies"]
    by_pip, course = last["pip"][:-1], last["pip"][-1]
    assert course == "--editable ."
    assert sorted(listed + by_pip) == sorted(wanted)


def test_extras(project):
    assert {"lab", "test", "grade", "site"} <= set(project["optional-dependencies"])
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    assert not [line for lines in lists for line in lines if ">=" not in line], "without a bound"


def _imported(code: str) -> set[str]:
    """Return the modules that a fresh Python has loaded after ``code``."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_importing_the_package_costs_next_to_nothing():
    loaded = _imported("import course_lib")
    assert "course_lib" in loaded
    assert not loaded & {"torch", "numpy", *SLOW}


def test_rooms_import_nothing_slow_but_torch_and_matplotlib():
    # The one file that needs nbgrader is loaded by nbgrader.
    left_out = ("course_lib.__main__", "course_lib.grading.cells")
    rooms = [name for name in map(_module, _sources()) if name not in left_out]
    alone = _imported("import torch, matplotlib.figure, matplotlib.backends.backend_agg")
    extra = _imported("\n".join(f"import {name}" for name in rooms)) - alone
    assert not extra & set(SLOW)


def test_no_room_knows_one_above():
    """Imports at the top of a file follow the order of docs/contributing.md.

    A function may reach further, as ``fit`` does to draw its live curve.
    """
    table = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    floor = {room: i for i, row in enumerate(rows) for room in re.findall(r"`(\w+)`", row)}
    rooms = {_room(_module(path)) for path in _sources()} - {""}
    for room in rooms - set(floor):  # training_run belongs to training
        if room.partition("_")[0] in floor:
            floor[room] = floor[room.partition("_")[0]]
    assert rooms <= set(floor), "rooms that docs/contributing.md does not list"
    upward = [
        f"{_module(path)} imports {name}"
        for path in _sources()
        for name in _top_imports(path)
        if floor.get(_room(name), 0) > floor.get(_room(_module(path)), len(rows))
    ]
    assert not upward


def _sources() -> list[Path]:
    return sorted((ROOT / "course_lib").rglob("*.py"))


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(module: str) -> str:
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "course_lib" else ""


def _top_imports(path: Path) -> list[str]:
    names = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "course_lib":
            names += [f"course_lib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert links
    here = [link for link in links if not link.startswith("https://")]
    assert not [link for link in here if not (ROOT / link).exists()]


def test_readme_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first = re.search(r"```\w*\n(.*?)```", text, re.DOTALL)
    assert "make lab" in first.group(1) and "make test" in first.group(1)
    assert first.start() < 1000


def test_data_files_of_the_library_are_packaged():
    package = ROOT / "course_lib"
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    globs = tool["setuptools"]["package-data"]["course_lib"]
    packaged = {path for glob in globs for path in package.glob(glob)}
    files = {p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert files <= packaged
