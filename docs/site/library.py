"""The library's reference: a page for each room, from the docstrings of what it makes public."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Rooms and files that no learner and no teacher imports from.
INSIDE = {"errors", "files", "front_end", "probe", "doctor", "progress", "__main__", "checks"}
INSIDE |= {"bounds_probing", "training_graph", "training_input", "training_run"}


def rooms() -> dict[str, tuple[str, list[Path]]]:
    """Rooms of the library in the order of docs/contributing.md: what each does, and its files."""
    table = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
    found = {"course_lib": ("what every notebook begins with", [ROOT / "course_lib/__init__.py"])}
    for row, does in re.findall(r"^\| (`.*?`) \| (.*) \|$", table, re.MULTILINE):
        for room in re.findall(r"`(\w+)`", row):
            files = [path for path in _files(room) if public(path) and path.stem not in INSIDE]
            if files and room not in INSIDE:
                found[room] = does, files
    return found


def _files(room: str) -> list[Path]:
    library = ROOT / "course_lib"
    if (library / room).is_dir():
        return sorted((library / room).rglob("*.py"), key=lambda p: (p.stem != "__init__", p))
    return [library / f"{room}.py", *sorted(library.glob(f"{room}_*.py"))]


def public(path: Path) -> list[str]:
    """The names in ``__all__`` of a file."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def pages() -> dict[str, str]:
    """Return the pages of the reference, ``{file: Markdown}``."""
    index = [
        "# The library",
        "",
        "The reference of `course_lib`, from its docstrings. A room knows the rooms above it, and "
        "none below; [how the house is built](../docs/contributing.md) says why. Names stand where "
        "they are imported from: `from course_lib import models`, then `models.mlp_vae(...)`.",
        "",
        "| room | what it does |",
        "|---|---|",
    ]
    made = {}
    for room, (does, files) in rooms().items():
        index.append(f"| [{room}]({room}.md) | {does} |")
        made[f"{room}.md"] = _page(room, files)
    index += ["", "```{toctree}", ":hidden:", *(name.removesuffix(".md") for name in made), "```"]
    return {"index.md": "\n".join(index) + "\n", **made}


def _page(room: str, files: list[Path]) -> str:
    lines, shown = [f"# {room}", ""], set()
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if len(files) > 1:
            lines += [f"## `{module}`", ""]
        # What the room itself offers is documented there, and not again in the file it comes from.
        again = shown & set(public(path))
        shown |= set(public(path))
        lines += ["```{eval-rst}", f".. automodule:: {module}", "   :members:"]
        if again:
            lines.append(f"   :exclude-members: {', '.join(sorted(again))}")
        lines += ["```", ""]
    return "\n".join(lines)
