"""Build the site: ``make site``, or ``python docs/site/build.py``.

The pages are assembled under ``build/site/source`` from the notebooks with their stored outputs,
the exercises, the documents in ``docs`` and the library's docstrings; Sphinx makes
``build/site/html`` of them. Nothing is run and nothing is fetched.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import library
import pages
from outputs import ROOT, picture, write
from pages import Site

HERE = Path(__file__).resolve().parent
GUIDE = ("teaching", "sets", "grading", "classroom", "adding-an-exercise", "several-processes")
LAB = "http://localhost:8888/lab/tree"


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the site into build/site/html.")
    parser.add_argument(
        "--lab",
        default=LAB,
        metavar="ADDRESS",
        help="where JupyterLab opens files of the course, such as "
        f"https://hub.example.org/hub/user-redirect/lab/tree/vae-course (now: {LAB})",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="the folder")
    arguments = parser.parse_args()
    mathjax = _mathjax()
    out = arguments.out.resolve()
    assemble(Site(arguments.lab, out / "extra" / "figures"), out / "source", out / "extra")
    status = _sphinx(out)
    if status == 0:
        _finish(out / "html", mathjax)
        print(f"The site is in {out / 'html'}; to look at it:")
        print(f"  {Path(sys.executable).name} -m http.server --directory {out / 'html'}")
    return status


def _mathjax() -> Path:
    """The folder of MathJax in the package that brings it.

    Raises:
        SystemExit: the packages of the site are not installed.
    """
    missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if not find_spec(name)]
    for folder in map(Path, sys.path):
        found = folder / "sphinx-mathjax-offline" / "static" / "mathjax"
        if found.is_dir() and not missing:
            return found
    sys.exit("The site needs packages that are not here: pip install --editable '.[site]'")


# --- the sources ----------------------------------------------------------------------------------


def assemble(site: Site, source: Path, extra: Path) -> None:
    """Write the sources of all pages, and what goes beside the pages as it is."""
    made = {"references.bib": (HERE / "references.bib").read_text(encoding="utf-8")}
    for path in site.files:
        name = path.relative_to(ROOT).as_posix()
        made[name] = json.dumps(pages.page(site, path), ensure_ascii=False)
        write(extra / name, path.read_bytes())
    for path in sorted((ROOT / "docs").glob("*.md")):
        made[f"docs/{path.name}"] = _document(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "docs").rglob("*.py")):
        if HERE not in path.parents:
            made[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    for name, text in library.pages().items():
        made[f"reference/{name}"] = text
    for path in sorted(HERE.glob("*.md")):
        made[path.name] = _filled(site, path.read_text(encoding="utf-8"))
    for name, text in made.items():
        write(source / name, text.encode())
    for path in source.rglob("*"):  # what an earlier call has made of a file that is gone
        if path.is_file() and path.relative_to(source).as_posix() not in made:
            path.unlink()


def _document(text: str) -> str:
    """A document of the guide: links to the README lead to the start of the site."""
    text = text.replace("(../README.md#map-of-the-course)", "(../index.md#the-course)")
    return text.replace("(../README.md)", "(../index.md)")


def _filled(site: Site, text: str) -> str:
    """Put explorers, tables and lists of pages where comments in a page ask for them."""
    parts = {
        "course-map": lambda: _cards("Map of the course"),
        "exercise-map": lambda: _cards("Exercises"),
        "toctrees": lambda: _toctrees(site),
    }
    for name, still in site.explorers.items():
        html = f'<div class="{name}">{picture(still, ROOT)}</div>'
        parts[name] = lambda html=html: html
    return re.sub(r"<!-- ([\w-]+) -->", lambda m: parts[m[1]]() if m[1] in parts else m[0], text)


def _cards(section: str) -> str:
    """A card for each row of a table of the README."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = readme.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    cards = []
    for row in re.findall(r"^\| (.*\.ipynb.*) \|$", text, re.MULTILINE):
        title, file = re.search(r"\[(.*)\]\((.*)\.ipynb\)", row).groups()
        cells = row.split(" | ")
        if len(cells) == 5:  # a notebook: number, title, what for, two times
            title = f"{cells[0]} · {title}"
            does, times = cells[2], f"runs in {cells[3]} · study {cells[4]}"
        else:
            _, does, times = cells
        lines = [f":::{{grid-item-card}} {title}", f":link: {file}", ":link-type: doc"]
        cards.append("\n".join([*lines, "", does, "+++", times, ":::"]))
    return "\n".join([":::::{grid} 1 1 2 2", ":gutter: 3", "", *cards, ":::::"])


def _toctrees(site: Site) -> str:
    names = {
        "Course": [p.relative_to(ROOT).with_suffix("").as_posix() for p in site.notebooks.values()],
        "Exercises": [p.relative_to(ROOT).with_suffix("").as_posix() for p in site.sets.values()],
        "Beside the course": ["explorers", "notation", "glossary", "bibliography"],
        "The library": ["reference/index", "docs/figures", "docs/contributing"],
        "For teachers": [f"docs/{name}" for name in GUIDE if (ROOT / f"docs/{name}.md").exists()],
    }
    return "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""])
        for caption, entries in names.items()
    )


# --- Sphinx ---------------------------------------------------------------------------------------


def _sphinx(out: Path) -> int:
    from sphinx.cmd.build import main as build

    os.environ["COURSE_SITE_EXTRA"] = str(out / "extra")
    quiet = ["-q"] if not sys.stdout.isatty() else []
    folders = [str(out / "source"), str(out / "html")]
    return build([*quiet, "-b", "html", "-c", str(HERE), "-d", str(out / "doctrees"), *folders])


def _finish(html: Path, mathjax: Path) -> None:
    """Put MathJax beside the pages, and mend what no setting of Sphinx or the theme reaches."""
    source, static = html.parent / "source", html / "_static"
    for part in ("tex-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"):
        for path in [mathjax / part, *(mathjax / part).rglob("*")]:
            if path.is_file():
                write(static / "mathjax" / path.relative_to(mathjax), path.read_bytes())
    for path in (static / "scripts").glob("fontawesome*"):
        path.unlink()  # 1.5 MB for icons that the font of the theme has, too
    for path in static.rglob("*.map"):
        path.unlink()
    for path in html.rglob("*.html"):
        page = source / path.relative_to(html)
        if path.name != "search.html" and not any(
            page.with_suffix(suffix).is_file() for suffix in (".md", ".ipynb")
        ):
            path.unlink()  # its source is gone
            continue
        text = path.read_text(encoding="utf-8")
        unused = ["_static/scripts/fontawesome"]
        if path.name != "search.html":  # elsewhere nothing looks into the index of all pages
            unused += ["_static/searchtools", "_static/language_data", "searchindex"]
        names = "|".join(unused)
        mended = re.sub(rf'<script[^>]*src="[./]*(?:{names})\.js[^>]*></script>\n?', "", text)
        if path.name == "glossary.html":
            mended = re.sub(r"<dt (?=[^>]*>[^<]*[\u4e00-\u9fff])", '<dt lang="zh" ', mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
