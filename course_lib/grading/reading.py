"""What can be known of a submission by reading it: what of the library its answers use."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from course_lib.grading.inside import Shell

__all__ = ["Source", "read_source"]

LIBRARY = "course_lib"
# Ways to get at something without naming it.
_BUILTINS = {"__import__", "exec", "eval", "compile", "globals", "vars"}
_MODULES = {"builtins", "ctypes", "gc", "importlib", "inspect", "pkgutil", "runpy", "subprocess"}
_ATTRIBUTES = {"__builtins__", "__closure__", "__code__", "__dict__", "__globals__", "f_back"}
_ATTRIBUTES |= {"__subclasses__", "run_cell_magic", "run_line_magic"}
_HARMLESS = {"gc.collect", "inspect.getsource", "inspect.signature"}

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
# A line of IPython: what it is assigned to, the magic, and what stands behind that; or a question.
_IPYTHON = re.compile(r"([^\s=%!?][^=%!?]*=\s*)?(?:%(\w+)(.*)|[%!?].*)|[\w.]+\?\??\s*")


@dataclass
class Source:
    """The code of a notebook: which names it binds at its top level, and to what.

    Attributes:
        bound: the nodes that bind a name.
        imported: the dotted name that an import gives a name.
        stars: the modules of which everything is imported.
        replaced: what it sets in other modules, such as ``"torch.allclose"``.
        top: the statements at its top level, of all cells.
    """

    bound: dict[str, list[ast.AST]] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)
    stars: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    top: list[ast.stmt] = field(default_factory=list)

    def binds(self, name: str) -> bool:
        """Whether the notebook defines, assigns or imports a name where it can be read."""
        return name in self.bound or name in self.imported

    def uses(self, name: str) -> tuple[set[str], set[str]]:
        """Return what the function ``name`` reaches, itself or by other functions of the notebook.

        Returns:
            The dotted names of the library, and ways to get at something without naming it.
        """
        reached = _Reached(self)
        reached.follow([name])
        return reached.library | {f"{star}.*" for star in self.stars}, reached.roundabout

    def detours(self) -> set[str]:
        """Return the ways to get at something without naming it that the cells take when they run.

        What stands in a function counts where a statement at the top level reaches that function.
        """
        reached = _Reached(self)
        waiting = [name for node in self.top for name in reached.look(node, at_top=True)]
        reached.follow(waiting)
        return reached.roundabout


class _Reached:
    """What is found on the way from one name to the next.

    Attributes:
        library: the dotted names of the library.
        roundabout: ways to get at something without naming it.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.library: set[str] = set()
        self.roundabout: set[str] = set()

    def follow(self, waiting: list[str]) -> None:
        """Note what these names reach."""
        seen, imported = set(), self.source.imported
        while waiting:
            one = waiting.pop()
            if one in seen:
                continue
            seen.add(one)
            if _of_library(imported.get(one, "")):
                self.library.add(imported[one])
            for node in self.source.bound.get(one, ()):
                waiting += self.look(node)

    def look(self, node: ast.AST, *, at_top: bool = False) -> list[str]:
        """Note what a piece of code uses, and return the names at which to look next."""
        own = {} if at_top else dict(pair for one in ast.walk(node) for pair in _imports(one))
        following = []
        for used in _used(node, at_top=at_top):
            first, *rest = used.split(".")
            # All that the name may stand for: an import further in may be one of another scope.
            known = (first, self.source.imported.get(first, first), own.get(first, first))
            names = {".".join([one, *rest]) for one in known}
            self.roundabout |= {name.lstrip(".") for name in names if _is_roundabout(name)}
            library = {name for name in names if _of_library(name)}
            self.library |= library
            if not library:
                following.append(first)
        return following


def _is_roundabout(name: str) -> bool:
    if name in _HARMLESS:
        return False
    first, *rest = parts = name.split(".")
    if not _MODULES.isdisjoint(parts) or "sys" in rest:  # also as another module's: torch.inspect
        return True
    if first == "sys" and rest and (rest[0] == "modules" or rest[0].startswith("_")):
        return True
    return (first in _BUILTINS and not rest) or not _ATTRIBUTES.isdisjoint(parts)


def _of_library(name: str) -> bool:
    return name == LIBRARY or name.startswith(f"{LIBRARY}.")


def read_source(cells: Iterable[str]) -> Source:
    """Read the code cells of a notebook; a cell that is not Python is passed over."""
    source = Source()
    for text in cells:
        for piece in _pieces(text):
            try:
                body = ast.parse(piece).body
                for node in _at_top(body):
                    _note(node, source)
                source.top += body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return source


def _pieces(text: str) -> list[str]:
    """Return the Python in a cell: all of it, and what magics such as ``%time`` run."""
    lines, start = text.split("\n"), 0  # a form feed or U+2028 may stand in a text
    while start < len(lines) and (found := re.match(r"\s*$|%%(\w*)", lines[start])):
        if found[1] and found[1] not in Shell.running:
            return []  # a cell in another language
        start += 1
    lines, pieces = lines[start:], []
    try:
        ast.parse("\n".join(lines))
        return ["\n".join(lines)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        joined = re.sub(r"\\\n[ \t]*", " ", "\n".join(lines))
    lines = textwrap.dedent(joined).split("\n")
    for index, line in enumerate(lines):
        bare = line.lstrip()
        if found := _IPYTHON.fullmatch(bare):
            target, magic, code = found.groups(default="")
            if magic in Shell.running:
                pieces.append(re.sub(r"^(?:\s*%\w+)+", "", code).strip())
            indent = line[: len(line) - len(bare)]
            lines[index] = f"{indent}{target}{'None' if target else 'pass'}"
    return ["\n".join(lines), *pieces]


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
        case ast.Import() | ast.ImportFrom():
            for name, full in _imports(node):
                if name != "*":
                    source.imported[name] = full
                elif _of_library(full):
                    source.stars.add(full.removesuffix(".*"))
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            source.bound.setdefault(name, []).append(node)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.With():
            for target in ast.walk(node):
                if isinstance(getattr(target, "ctx", None), ast.Store):
                    if isinstance(target, ast.Name):
                        source.bound.setdefault(target.id, []).append(node)
                    elif isinstance(target, ast.Attribute):
                        base, parts = _chain(target)
                        if isinstance(base, ast.Name) and base.id in source.imported:
                            source.replaced.add(".".join([base.id, *parts]))
        case ast.Expr(ast.Call(func=ast.Name("setattr"), args=[ast.Name(place), first, *_])):
            if place in source.imported:
                what = first.value if isinstance(first, ast.Constant) else "something"
                source.replaced.add(f"{place}.{what}")


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that an import gives, each with the dotted name that it stands for."""
    match node:
        case ast.Import(names=names):
            for alias in names:
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                yield alias.asname or name, name
        case ast.ImportFrom(module=str(module), names=names):
            for alias in names:
                yield alias.asname or alias.name, f"{module}.{alias.name}"


def _scope(node: ast.AST) -> tuple[list[ast.AST], list[ast.AST], set[str]] | None:
    """Take apart what has names of its own: a function, a lambda or a comprehension.

    Returns:
        The parts that see the names around it, those that see its own, and its own; None for
        another node.
    """
    if isinstance(node, _COMPREHENSIONS):
        first, *others = node.generators
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        targets = [one.target for one in node.generators]
        own = {one.id for target in targets for one in ast.walk(target) if _is_stored(one)}
        return [first.iter], [*parts, *targets, *first.ifs, *others], own
    if not isinstance(node, (*_FUNCTIONS, ast.Lambda)):
        return None
    about = node.args
    outside = [*about.defaults, *(one for one in about.kw_defaults if one)]
    outside += getattr(node, "decorator_list", [])
    body = node.body if isinstance(node.body, list) else [node.body]
    arguments = [*about.posonlyargs, *about.args, *about.kwonlyargs, about.vararg, about.kwarg]
    own, shared, waiting = {one.arg for one in arguments if one}, set(), [*body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (ast.Global, ast.Nonlocal)):
            shared |= set(one.names)
        elif isinstance(one, (*_FUNCTIONS, ast.ClassDef)):
            own.add(one.name)
        elif _is_stored(one):
            own.add(one.id)
        elif isinstance(one, ast.comprehension):
            waiting += [one.iter, *one.ifs]  # its target stays inside; what := sets does not
        elif not isinstance(one, ast.Lambda):
            waiting += ast.iter_child_nodes(one)
    return outside, body, own - shared


def _is_stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def _used(node: ast.AST, *, at_top: bool = False) -> Iterator[str]:
    """Yield the dotted names that a piece of code takes from around it, and what it imports.

    Also the modules of the library that it names in texts, and with a dot before it an attribute of
    something that has no name.

    Args:
        node: the piece of code.
        at_top: as a statement that runs with its cell: without its imports, which alone get at
            nothing, and without the bodies of functions.
    """
    waiting: list[tuple[ast.AST, frozenset[str]]] = [(node, frozenset())]
    while waiting:
        one, own = waiting.pop()
        match one:
            case ast.Attribute():
                base, parts = _chain(one)
                if not isinstance(base, ast.Name):
                    yield from (f".{part}" for part in parts)  # ().__class__
                    waiting.append((base, own))
                elif base.id not in own:
                    yield ".".join([base.id, *parts])
                continue
            case ast.Name(id=name) if name not in own:
                yield name
            case ast.Constant(str(text)) if _of_library(text):
                yield text
            case ast.Import(names=names) if not at_top:
                yield from (alias.name for alias in names)
            case ast.ImportFrom() if not at_top:
                yield from (full for _, full in _imports(one))
            case ast.Call(
                func=ast.Attribute(attr="run_line_magic" | "run_cell_magic", value=shell),
                args=[ast.Constant(magic), *more],
            ) if magic not in Shell.running:
                waiting += [(part, own) for part in (shell, *more)]
                continue
        if scope := _scope(one):
            outside, inside, names = scope
            waiting += [(part, own) for part in outside]
            if not (at_top and isinstance(one, _FUNCTIONS)):
                waiting += [(part, own | names) for part in inside]
            continue
        for name, value in ast.iter_fields(one):
            if name in ("annotation", "returns"):
                continue
            children = value if isinstance(value, list) else [value]
            waiting += [(child, own) for child in children if isinstance(child, ast.AST)]


def _chain(node: ast.AST) -> tuple[ast.AST, list[str]]:
    """Take ``base.a.b`` apart into the node of its base and the names behind it."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return node, parts[::-1]
