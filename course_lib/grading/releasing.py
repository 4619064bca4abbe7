"""What students get, made by nbgrader from the sets with worked answers; and variants of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from course_lib.files import replacing
from course_lib.grading.assignments import read_assignments
from course_lib.grading.gradebook import generate, missing_nbgrader
from course_lib.grading.isolation import COURSE

__all__ = ["release", "with_seed"]

_TEST = re.compile(r'(?m)^([ \t]*hidden_test\("\w+", \w+)(?:, seed=-?\d+)?\)')


def release(
    solutions: Path,
    sets: Sequence[str] = (),
    *,
    out: Path | None = None,
    seed: int | None = None,
) -> Iterator[Path]:
    """Make the released sets and yield the path of each.

    Args:
        solutions: the folder of the sets.
        sets: their names; empty for all.
        out: a folder for ``solutions`` and ``exercises`` of a variant; None for the ``exercises``
            beside ``solutions``.
        seed: of the hidden tests of the variant.

    Raises:
        ValueError: an argument is unusable; the sentence says what to do.
        RuntimeError: nbgrader refuses a set; the text says why.
        OSError: something cannot be written.
    """
    if refusal := missing_nbgrader():
        raise ValueError(refusal)
    if seed is not None and out is None:
        raise ValueError("--seed makes a variant, which needs a folder of its own: give --out.")
    solutions = Path(solutions).resolve()
    known = read_assignments(solutions)
    if unknown := [name for name in sets if name not in known]:
        raise ValueError(f"No set is called {unknown[0]!r}. Known: {', '.join(sorted(known))}.")
    if out is not None and (Path(out) / "course_lib").exists():
        raise ValueError(f"{out} holds a course already; give a folder of its own for the variant.")
    source, target = solutions, solutions.parent / "exercises"
    if out is not None:
        source, target = Path(out).resolve() / "solutions", Path(out).resolve() / "exercises"
    for name in sets or sorted(known):
        if out is not None:
            text = (solutions / name / f"{name}.ipynb").read_text(encoding="utf-8")
            with replacing(source / name / f"{name}.ipynb") as file:
                file.write(with_seed(text, seed or 0).encode())
        generate(COURSE, source, target, name)
        yield target / name / f"{name}.ipynb"


def with_seed(text: str, seed: int) -> str:
    """Return a set, as the text of its notebook, whose hidden tests draw from ``seed``.

    Raises:
        ValueError: it has a test without a call of ``hidden_test`` on a line of its own.
    """
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        about = cell["metadata"].get("nbgrader") or {}
        if cell["cell_type"] == "code" and about.get("grade"):
            source = "".join(cell["source"])
            source, count = _TEST.subn(rf"\g<1>, seed={seed})", source)
            if count != 1:
                raise ValueError(f"The cell {about['grade_id']} has no hidden_test(...) to change.")
            cell["source"] = source.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
