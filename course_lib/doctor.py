"""What is installed, on which device, with which data, and how to mend what is wrong.

``python -m course_lib doctor`` prints it; a notebook shows ``course_lib.doctor.report()``.
Nothing that may be broken is imported here: :mod:`course_lib.probe` tries it in a process of its
own, and the answer is judged together with the versions that the packages declare.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from course_lib import probe

MIN_FREE_GB = 1.0


@dataclass(frozen=True)
class Report:
    """What the doctor found; it prints itself as an aligned table.

    Attributes:
        rows: pairs of a subject and what is known about it, in the order to show them.
        problems: for each thing that must be mended, one sentence that ends with what to do.
    """

    rows: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing must be mended."""
        return not self.problems

    def __repr__(self) -> str:
        width = max((len(name) for name, _ in self.rows), default=0)
        lines = [f"{name:<{width}}  {text}" for name, text in self.rows]
        lines += ["", "All is well." if self.ok else "To mend, in this order:"]
        lines += [f"  {i}. {problem}" for i, problem in enumerate(self.problems, 1)]
        return "\n".join(lines)


def report() -> Report:
    """Examine this installation for a notebook: ``%pip`` commands, no folder outside home."""
    return _examine("%pip", in_notebook=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; return 0 when all is well, and 1 when something must be mended."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib doctor",
        description="Say what is installed, on which device and with which data the course would "
        "run, and for each problem the one sentence that mends it.",
        epilog="The exit status is 0 when all is well, and 1 when something must be mended.",
    )
    parser.parse_args(argv)
    found = _examine(f"{_python()} -m pip", in_notebook=False)
    print(found)
    return 0 if found.ok else 1


def _examine(pip: str, *, in_notebook: bool) -> Report:
    answer = probe.ask()
    packages, incomplete = _packages(answer, pip)
    cache, cache_problem = _cache(answer)
    cores = f"{answer['threads']} of " if "threads" in answer else ""
    rows = [
        ("python", f"{platform.python_version()} on {platform.system()} ({platform.machine()})"),
        *packages,
        ("device", answer.get("device", "not known")),
        ("processor", f"{cores}{os.cpu_count()} cores used, {probe.bf16()}"),
        ("compiler", probe.compiler()),
        *((f"data: {name}", text) for name, text in answer.get("data", {}).items()),
        *cache,
    ]
    problems = [
        _pair(answer, pip),  # first: until it is mended, little else can be believed
        incomplete,
        *answer.get("problems", []),
        *_data(answer),
        cache_problem,
    ]
    return Report(
        tuple((name, _short(text, in_notebook)) for name, text in rows),
        tuple(_short(problem, in_notebook) for problem in problems if problem),
    )


def _packages(answer: dict, pip: str) -> tuple[list[tuple[str, str]], str | None]:
    """Return a row for each package the course asks for, and a sentence if one is not as asked."""
    try:
        wanted = _requirements("course-lib", "lab")
    except ImportError:  # no packaging, or PackageNotFoundError: course-lib was not installed
        mend = f"run `make lab`, or `{pip} install -e '.[lab]'` in its folder."
        return [], f"The course is not installed in this Python: {mend}"
    rows, wrong = [], []
    for name, specifier in wanted.items():
        version = answer.get(name) or _version(name)
        rows.append((name, version or "missing"))
        if version is None or not specifier.contains(version, prereleases=True):
            wrong.append(f"{name}{specifier}")
    if not wrong:
        return rows, None
    if any(name.startswith("torch") for name in wrong):  # never one without the other
        wrong = ["torch", "torchvision", *(n for n in wrong if not n.startswith("torch"))]
    command = f"{pip} install --upgrade {shlex.join(wrong)}"
    return rows, f"Packages are missing or too old: run `{command}`."


def _pair(answer: dict, pip: str) -> str | None:
    """Return the sentence about torch and torchvision, or None where they work together."""
    torch, vision = _version("torch"), _version("torchvision")
    if torch is None or vision is None:
        return None  # said with the other missing packages
    torch = answer.get("torch", torch)  # this one has the build in it, such as 2.13.0+cpu
    restart = " and restart the kernel" if pip.startswith("%") else ""
    mend = f"install the two together with `{_reinstall(pip)}`{restart}."
    if "torch_error" in answer:
        return f"torch {torch} does not load ({answer['torch_error']}): {mend}"
    why = answer.get("torchvision_error")
    with suppress(ImportError):  # a missing packaging is said with the packages
        asked = _requirements("torchvision").get("torch")
        if why is None and asked and not asked.contains(torch, prereleases=True):
            why = f"it asks for torch{asked}"
    if why is None:
        return None
    return f"torchvision {vision} does not belong to the torch {torch} beside it ({why}): {mend}"


def _reinstall(pip: str) -> str:
    """Return the command that brings a matching pair, by the installer that brought this one."""
    installer = metadata.distribution("torch").read_text("INSTALLER") or ""
    if installer.strip() == "conda":
        return "conda install --force-reinstall -c conda-forge pytorch torchvision"
    return f"{pip} install --force-reinstall torch torchvision"


def _requirements(package: str, extra: str = "") -> dict:
    """Return what an installed package asks for: names with their specifiers."""
    from packaging.requirements import Requirement

    found = map(Requirement, metadata.requires(package) or [])
    return {
        r.name: r.specifier for r in found if not r.marker or r.marker.evaluate({"extra": extra})
    }


def _data(answer: dict) -> list[str]:
    """Return sentences about the folder and the data set that the environment names."""
    problems = []
    folder = os.environ.get("COURSE_DATA")
    if folder and not Path(folder).expanduser().is_dir():
        problems.append(
            f"COURSE_DATA names a folder that is not there ({folder}): correct or unset it."
        )
    known = answer.get("data")
    name = os.environ.get("COURSE_DATASET")
    if name and known and name not in known:
        problems.append(
            f"COURSE_DATASET is {name!r}, which is none of {', '.join(known)}: correct or unset it."
        )
    elif name and known and known[name].startswith(("not usable", "not there")):
        problems.append(f"COURSE_DATASET is {name}, {known[name]}: repair COURSE_DATA or unset it.")
    return problems


def _cache(answer: dict) -> tuple[list[tuple[str, str]], str | None]:
    """Return the row of the cache folder, and a sentence if nothing more fits into it."""
    if "cache" not in answer:
        return [], None
    folder = Path(answer["cache"])
    name = str(folder)
    there = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(there).free / 1e9
    problem = None
    if not (there.is_dir() and os.access(there, os.W_OK)):
        problem = f"Nothing can be written to {name}: set COURSE_CACHE to a folder of your own."
    elif free < MIN_FREE_GB:
        problem = (
            f"Only {free:.1f} GB are free for {name}, and {MIN_FREE_GB:.0f} GB are needed: "
            "make room, or set COURSE_CACHE to a folder on another disk."
        )
    return [("cache", f"{name}, {free:.0f} GB free")], problem


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _short(text: str, in_notebook: bool) -> str:
    """Return the text with the home folder as ``~``, and for a notebook no other folder of yours.

    A notebook is stored with its outputs, and they should be the same on every machine.
    """
    for name in ("COURSE_DATA", "COURSE_CACHE"):
        folder = Path(os.environ.get(name, ""))
        if in_notebook and folder.is_absolute() and folder != Path(folder.anchor):
            # Whole names only: /data is neither a part of /database nor of /data.old or /my/data.
            whole = rf"(?<![\w.~/-]){re.escape(str(folder))}(?![\w-]|\.\w)"
            text = re.sub(whole, f"${name}", text)
    home = re.escape(str(Path.home()) + os.sep)
    return re.sub(f"(?<!'){home}", lambda _: "~" + os.sep, text)  # a quoted ~ is no folder


def _python() -> str:
    """Return how to call this Python from where the doctor was called."""
    path = Path(sys.executable)
    if Path(sys.prefix, "conda-meta").is_dir():
        return "python"
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))
