"""Notebooks as pages: a header with what a reader asks first, and folded hints and solutions."""

from __future__ import annotations

import json
import re
from pathlib import Path

import bibliography
import outputs
from outputs import ROOT, Picture, relative

_TIME = re.compile(r"(\*\*Before:\*\*|(?:\*\*)?Time:).*?(?:\n\n|\Z)", re.DOTALL)
_SOLVED = re.compile(r"\[Worked solution\]\([^)]*\)")
_DETAILS = re.compile(r"<details><summary>(.*?)</summary>(.*?)</details>", re.DOTALL)


class Site:
    """What the pages need to know of each other, and where their pictures go.

    Attributes:
        lab: the address below which JupyterLab opens files of the course.
        figures: the folder for the pictures.
        explorers: a picture for each explorer, as the notebooks stored it.
    """

    def __init__(self, lab: str, figures: Path) -> None:
        self.lab, self.figures = lab.rstrip("/"), figures
        self.notebooks = {p.stem[:2]: p for p in sorted((ROOT / "notebooks").glob("*.ipynb"))}
        self.sets = {p.stem[:2]: p for p in sorted((ROOT / "exercises").glob("*/*.ipynb"))}
        self.titles = {p: read(p)["cells"][0]["source"].partition("\n")[0][2:] for p in self.files}
        self.explorers: dict[str, Picture] = {}

    @property
    def files(self) -> list[Path]:
        return [*self.notebooks.values(), *self.sets.values()]

    def link(self, path: Path, start: Path) -> str:
        """A link in Markdown to the page of a notebook, from a page in the folder ``start``."""
        return f"[{self.titles[path]}]({relative(path, start)})"


def read(path: Path) -> dict:
    """A notebook as nested dictionaries, the sources and texts of its cells joined."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def page(site: Site, path: Path) -> dict:
    """Return the notebook that Sphinx reads for the page of ``path``."""
    notebook = read(path)
    cells = notebook["cells"]
    number, later = path.stem[:2], f"{int(path.stem[:2]) + 1:02d}"
    if path.parent.parent.name == "exercises":
        solution = ROOT / "solutions" / path.parent.name / path.name
        _fold_solutions(cells, read(solution)["cells"])
        following = [site.notebooks.get(later), site.sets.get(later)]
    else:
        following = [site.sets.get(number), site.notebooks.get(later)]
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "markdown":
            cell["source"] = bibliography.cited(_folded(cell["source"]))
        else:
            site.explorers |= outputs.show(path, i, cell, site.figures)
    cells[0]["source"] = _with_header(site, path, cells[0]["source"], following)
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


# --- the header ---------------------------------------------------------------------------------


def facts(text: str) -> tuple[str, str, str]:
    """Time and prerequisites that the first cell of a notebook tells, and the cell without them.

    Raises:
        ValueError: the cell does not tell its time.
    """
    found = _TIME.search(text)
    if not found:
        title = text.partition("\n")[0]
        raise ValueError(f"'{title}' tells no time: write a paragraph that begins with 'Time:'.")
    said = re.sub(r"\s+", " ", found[0].replace("**", "")).strip()
    rest = text[: found.start()] + text[found.end() :]
    before = re.match(r"Before: (.*?)\. ", said)
    if before:  # an exercise set: prerequisites, time, points
        said = said[before.end() :]
    time, _, more = said.removeprefix("Time: ").partition(". ")
    if before:
        return time, f"{before[1]}. {more}".strip(), rest
    return time, more.removeprefix("Assumed: "), rest


def _with_header(site: Site, path: Path, text: str, following: list[Path | None]) -> str:
    time, needed, text = facts(text)
    folder = path.parent
    if path in site.notebooks.values():  # whose prerequisites are numbers of others
        needed = re.sub(r"\b([01]\d)\b", lambda m: _numbered(site, m[1], folder), needed)
    title, _, rest = text.partition("\n")
    file = path.relative_to(ROOT).as_posix()
    start = f"[the start]({relative(ROOT / 'index.md', folder)})"
    ahead = " · ".join(site.link(p, folder) for p in following if p) or start
    lines = [
        title,
        "",
        "::::{div} course-facts",
        f"**Time** {time}",
        "",
        f"**Prerequisites** {needed}",
        "",
        f"**Next** {ahead}",
        "",
        f'<a class="course-download" href="{path.name}" download>Download this notebook</a> '
        f'<a class="course-lab" href="{site.lab}/{file}">Open it in JupyterLab</a>',
        "::::",
    ]
    return "\n".join(lines) + "\n" + rest


def _numbered(site: Site, number: str, folder: Path) -> str:
    path = site.notebooks.get(number)
    return f"[{number}]({relative(path, folder)})" if path else number


# --- folded hints and solutions -----------------------------------------------------------------


def dropdown(title: str, content: str) -> str:
    """A block that opens when its title is clicked."""
    return f"\n:::::{{dropdown}} {title}\n{content.strip()}\n:::::\n"


def _folded(text: str) -> str:
    return _DETAILS.sub(lambda found: dropdown(found[1], found[2]), text)


def _fold_solutions(cells: list[dict], solved: list[dict]) -> None:
    """Put the worked solutions, and the outputs of the cells that need none, into a set's cells."""
    if len(cells) != len(solved):
        raise ValueError(f"{len(cells)} cells of an exercise, {len(solved)} of its solution.")
    answer = ""
    for cell, model in zip(cells, solved, strict=True):
        about = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "code":
            if about.get("solution"):
                code = re.sub(r"^ *### (BEGIN|END) SOLUTION\n?", "", model["source"], flags=re.M)
                answer = dropdown("Worked solution", f"```python\n{code.strip()}\n```")
            elif not about:
                cell["outputs"] = model["outputs"]
        elif about.get("solution"):
            text = model["source"].partition("\n*Marking:")[0]
            cell["source"] += "\n" + dropdown("An answer that earns all points", text)
        else:
            cell["source"] = _SOLVED.sub(lambda _, folded=answer: folded, cell["source"])
