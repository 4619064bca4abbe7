"""What can be known of a submission by reading it: what of the library its answers use."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

__all__ = ["Source", "read_source"]

LIBRARY = "course_lib"
# Ways to get at something without naming it.
_BUILTINS = {"__import__", "exec", "eval", "compile", "globals", "vars"}
_MODULES = {"builtins", "ctypes", "gc", "importlib", "inspect", "pkgutil", "runpy", "subprocess"}
_ATTRIBUTES = {"__builtins__", "__closure__", "__code__", "__dict__", "__globals__", "f_back"}
_ATTRIBUTES |= {"__subclasses__"}


@dataclass
class Source:
    """The code of a notebook: which names it binds at its top level, and to what.

    Attributes:
        bound: the nodes that bind a name.
        imported: the dotted name that an import gives a name.
        stars: the modules of which everything is imported.
        replaced: what it sets in other modules, such as ``"torch.allclose"``.
    """

    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    stars: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)

    def uses(self, name: str) -> tuple[set[str], set[str]]:
        """Return what the function ``name`` reaches, itself or by other functions of the notebook.

        Returns:
            The dotted names of the library, and ways to get at something without naming it.
        """
        library, roundabout = {f"{star}.*" for star in self.stars}, set()
        seen, waiting = set(), [name]
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if _of_library(self.imported.get(one, "")):
                library.add(self.imported[one])
            for node in self.bound.get(one, ()):
                own = set(_locals(node))
                for used in _used(node):
                    first, *rest = used.split(".")
                    if first in own:
                        continue
                    full = ".".join([self.imported.get(first, first), *rest])
                    if _is_roundabout(full):
                        roundabout.add(full)
                    if _of_library(full):
                        library.add(full)
                    else:
                        waiting.append(first)
        return library, roundabout


def _is_roundabout(name: str) -> bool:
    first, *rest = name.split(".")
    if first in _MODULES or name.startswith("sys.modules") or name.startswith("sys._"):
        return True
    return (first in _BUILTINS and not rest) or any(one in _ATTRIBUTES for one in (first, *rest))


def _of_library(name: str) -> bool:
    return name == LIBRARY or name.startswith(f"{LIBRARY}.")


def read_source(cells: Iterable[str]) -> Source:
    """Read the code cells of a notebook; a cell that is not Python is passed over."""
    source = Source()
    for text in cells:
        lines = ["" if line.startswith(("%", "!")) else line for line in text.splitlines()]
        try:
            for node in _at_top(ast.parse("\n".join(lines)).body):
                _note(node, source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return source


def _at_top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a cell runs, also inside of ``if``, ``try`` and so on."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for part in ("body", "orelse", "finalbody"):
            yield from _at_top(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _at_top(handler.body)


def _note(node: ast.stmt, source: Source) -> None:
    match node:
        case ast.Import(names=names):
            for alias in names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                source.imported[alias.asname or name] = name
        case ast.ImportFrom(module=str(module), names=names):
            for alias in names:
                if alias.name == "*":
                    source.stars |= {module} if _of_library(module) else set()
                else:
                    source.imported[alias.asname or alias.name] = f"{module}.{alias.name}"
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            source.bound.setdefault(name, []).append(node)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.With():
            for target in ast.walk(node):
                if isinstance(getattr(target, "ctx", None), ast.Store):
                    if isinstance(target, ast.Name):
                        source.bound.setdefault(target.id, []).append(node)
                    elif isinstance(target, ast.Attribute):
                        name = _dotted(target) or ""
                        first = name.partition(".")[0]
                        if first in source.imported:
                            source.replaced.add(name)
        case ast.Expr(ast.Call(func=ast.Name("setattr"), args=[ast.Name(place), first, *_])):
            if place in source.imported:
                what = first.value if isinstance(first, ast.Constant) else "something"
                source.replaced.add(f"{place}.{what}")


def _locals(node: ast.AST) -> Iterator[str]:
    """Yield the names that a function or the methods of a class have for themselves."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        shared = {n for one in ast.walk(node) if isinstance(one, ast.Global) for n in one.names}
        for one in ast.walk(node):
            if isinstance(one, ast.arg):
                yield one.arg
            elif isinstance(one, ast.Name) and type(one.ctx) is ast.Store and one.id not in shared:
                yield one.id


def _used(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names in a piece of code, and the modules of the library that it names."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        match one:
            case ast.Attribute() if name := _dotted(one):
                yield name
                continue
            case ast.Attribute(attr=attr):
                yield attr  # of something that has no name: ().__class__
            case ast.Name(id=name):
                yield name
            case ast.Constant(str(text)) if _of_library(text):
                yield text
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)
        for name, value in ast.iter_fields(one):
            if name in ("annotation", "returns"):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [child for child in children if isinstance(child, ast.AST)]


def _dotted(node: ast.Attribute) -> str | None:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
