"""Outputs of notebooks as a page shows them without a kernel: pictures as files, live quizzes."""

from __future__ import annotations

import ast
import json
import re
from base64 import b64decode
from html import escape
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# The live figures that the page itself can run, by the call that shows them in a notebook.
EXPLORERS = {
    "explore_latents": "latent-explorer",
    "explore_kl": "kl-explorer",
    "explore_reparameterization": "reparameterization-explorer",
}
_IMAGE = re.compile(r'<img alt="([^"]*)" width="(\d+)" height="(\d+)"')


class Picture(NamedTuple):
    """A picture in the folder of figures; the texts are those of HTML."""

    name: str
    alt: str
    width: str
    height: str


def relative(path: Path, start: Path) -> str:
    """The way from a folder to a file, both below the root of the course."""
    ups = len(start.relative_to(ROOT).parts)
    return "../" * ups + path.relative_to(ROOT).as_posix()


def show(path: Path, number: int, cell: dict, figures: Path) -> dict[str, Picture]:
    """Make the outputs of a cell what the page can show; return the pictures of its explorers.

    Args:
        path: the notebook.
        number: the place of the cell in it.
        cell: gets other outputs, and tags that say what Sphinx hides.
        figures: the folder for the pictures.
    """
    explorers = {}
    calls = _calls(cell["source"])
    tags = cell["metadata"].setdefault("tags", [])
    if "quiz" in calls or (set(calls) == {"prediction"} and _is_one_call(cell["source"])):
        tags.append("remove-input")
    elif path.parent.parent.name == "exercises" and cell["outputs"]:
        tags.append("hide-output")  # the reader predicts before looking
    shown = []
    for i, output in enumerate(cell["outputs"]):
        data = output.get("data", {})
        html = "".join(data.get("text/html", ""))
        if "image/png" in data:
            name = f"{path.stem[:2]}-{path.parent.name[0]}-{number}-{i}.png"
            still = stored(figures / name, output)
            html = picture(still, path.parent)
            for explorer in (EXPLORERS[call] for call in EXPLORERS if call in calls):
                explorers[explorer] = still
                html = f'<div class="{explorer}">{html}</div>'
        elif "course-quiz" in html:
            html = quiz(calls["quiz"], html)
        elif "course-prediction" in html or "course-recall" in html:
            key = calls.get("prediction") or calls.get("recall")
            html = html.replace("<div class", f'<div data-key="{escape(key)}" class', 1)
        if html:
            output = {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}
        shown.append(output)
    cell["outputs"] = shown
    return explorers


def stored(file: Path, output: dict) -> Picture:
    """Write the picture of an output into a file of its own."""
    write(file, b64decode("".join(output["data"]["image/png"])))
    found = _IMAGE.search("".join(output["data"]["text/html"]))
    return Picture(file.name, *found.groups())


def picture(still: Picture, start: Path) -> str:
    """HTML of a picture that fits its column, and opens in full size when it is followed."""
    address = relative(ROOT / "figures" / still.name, start)
    return (
        f'<a class="course-figure" href="{address}"><img src="{address}" alt="{still.alt}" '
        f'width="{still.width}" height="{still.height}" loading="lazy"></a>'
    )


def quiz(name: str, html: str) -> str:
    """The quiz as the notebook stored it, which opens without a script, and its data beside it."""
    from course_lib import quizzes
    from course_lib.widgets.cards import marked

    data = [
        {
            "question": marked(question.text),
            "options": [
                {
                    "text": marked(option.text),
                    "correct": option.correct,
                    "feedback": marked(option.feedback),
                }
                for option in question.options
            ],
        }
        for question in quizzes.load(name).questions
    ]
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    html = re.sub(r'href="([^"]*)\.ipynb"', r'href="\1.html"', html)
    html = html.replace("<div class", f'<div data-quiz="{escape(name)}" class', 1)
    return html.replace(">", f'><script type="application/json">{text}</script>', 1)


def _calls(source: str) -> dict[str, str]:
    """The functions that a cell calls, each with its first argument where that is a string."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a line for IPython
        return {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {}
    for call in calls:
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        first = call.args[0] if call.args else None
        text = first.value if isinstance(first, ast.Constant) else ""
        named[name] = text if isinstance(text, str) else ""
    return named


def _is_one_call(source: str) -> bool:
    return len(ast.parse(source).body) == 1


def write(path: Path, content: bytes) -> None:
    """Write a file only where it is new, so that Sphinx takes up only what has changed."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
