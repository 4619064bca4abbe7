"""The program that runs where a submission runs; it is told nothing that has to be kept secret.

It reads lines of JSON from its stdin and writes lines of JSON to the pipe whose number is in
``ANSWERS``. First it gets the cells of the notebook and runs them, in a namespace as a notebook has
it. Then it gets plans, one after the other, and answers each with what ``probe`` brings back. The
submission can do in here what it likes, also to this program; whoever reads the answers must know.

Started with ``python inside.py``, in a folder with ``course_lib`` beside it.
"""

from __future__ import annotations

import builtins
import io
import json
import linecache
import os
import sys
import types
from collections.abc import Callable

_MOST_TEXT = 500


def main() -> None:
    """Run the cells that come first, and then answer plans until there are no more."""
    answers = os.fdopen(int(os.environ.pop("ANSWERS")), "w", encoding="utf-8")
    asked = os.fdopen(os.dup(0), encoding="utf-8")
    _to_nowhere()
    own, say_json, read_json, flush = os.getpid(), json.dumps, json.loads, answers.flush

    def say(**fields: object) -> None:
        if os.getpid() != own:
            os._exit(0)  # a copy that the submission made of this process
        answers.write(say_json(fields) + "\n")
        flush()

    from course_lib.checks.probes import probe

    task = read_json(asked.readline())
    notebook = Notebook(task["seconds"])
    say(event="ready")
    for index, cell in enumerate(task["cells"]):
        say(event="cell", index=index)
        notebook.run(cell)
    say(event="again")
    notebook.run_again()
    names = {name: notebook.about(name) for name in task["names"]}
    say(event="ran", failed=notebook.failed, names=names)
    for line in asked:
        question = read_json(line)
        name = question["name"]
        if name in notebook.names:
            say(token=question["token"], report=probe(question["plan"], notebook.names[name]))
        else:
            say(token=question["token"], missing=True)


def _to_nowhere() -> None:
    """Let nobody read what the submission prints, and give it nothing to read."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.close(nowhere)
    sys.stdin = io.StringIO()  # input() fails instead of waiting


class Notebook:
    """The namespace of a notebook, and what became of its cells.

    Args:
        seconds: how long one cell may run.

    Attributes:
        names: what the cells have defined.
        failed: a dictionary for each cell that did not run to its end: its ``id`` and, as the
            probes tell it, the ``problem``.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        module = types.ModuleType("__main__")
        module.__builtins__ = builtins
        self.names = module.__dict__
        self.names.update(get_ipython=Shell, In=[], Out={}, _="", exit=_leave, quit=_leave)
        self.names["display"] = lambda *things, **options: None
        sys.modules["__main__"] = module
        Shell.notebook = self
        self.failed: list[dict] = []
        self._again: list[dict] = []

    def run(self, cell: dict) -> None:
        """Run a cell, ``{"id": ..., "source": ...}``, and note how it failed if it did."""
        problem = self._problem_of(cell)
        if problem and problem.get("type") == "NameError":
            self._again.append(cell)  # the cells may be in another order than they were run in
        elif problem:
            self.failed.append({"id": cell["id"], "problem": problem})

    def run_again(self) -> None:
        """Run once more, after all the others, the cells that missed a name."""
        waiting, self._again = self._again, []
        for cell in waiting:
            problem = self._problem_of(cell)
            if problem:
                self.failed.append({"id": cell["id"], "problem": problem})

    def about(self, name: str) -> dict:
        """Describe what a name stands for, see :func:`describe`."""
        return self._guarded(describe, self.names.get(name)) or {}

    def execute(self, source: str) -> None:
        """Execute the text of a cell or of a magic in the namespace."""
        exec(compile_cell(source, "<cell>"), self.names)

    def _problem_of(self, cell: dict) -> dict | None:
        return self._guarded(self._run, cell["source"], f"<cell {cell['id']}>")

    def _guarded(self, work: Callable, *args: object) -> dict | None:
        """Return what ``work`` returns, or how it failed."""
        from course_lib.checks.probes import Guard, Pristine, Problem

        with Pristine() as pristine:
            try:
                return Guard(self.seconds, pristine).call(work, *args)
            except Problem as problem:
                return problem.plain

    def _run(self, source: str, name: str) -> None:
        code = compile_cell(source, name)
        lines = source.splitlines(keepends=True)
        linecache.cache[name] = (len(source), None, lines, name)  # for the lines of exceptions
        exec(code, self.names)


def _leave(*arguments: object) -> None:
    """Do nothing, as a notebook that is run from top to bottom would not come back."""


def compile_cell(source: str, name: str) -> types.CodeType:
    """Compile the text of a cell, with IPython's magics if there are any.

    Raises:
        SyntaxError: it is neither Python nor IPython.
    """
    try:
        return compile(source, name, "exec", dont_inherit=True)
    except SyntaxError:
        if not any(mark in source for mark in "%!?"):
            raise
    from IPython.core.inputtransformer2 import TransformerManager

    return compile(TransformerManager().transform_cell(source), name, "exec", dont_inherit=True)


class _Shell:
    """Stands in for IPython's shell: times and captures run their code, other magics do nothing."""

    running = ("time", "timeit", "capture", "prun", "python", "python3")
    notebook: Notebook

    def __call__(self) -> _Shell:
        return self

    def __getattr__(self, name: str) -> object:
        return _leave

    def run_line_magic(self, name: str, line: str, *more: object) -> None:
        """Run the code behind ``%time``; leave out other magics."""
        if name in self.running:
            self.notebook.execute(line)

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        """Run the code below ``%%time``; leave out cells in other languages."""
        if name in self.running:
            self.notebook.execute(cell)

    def getoutput(self, *arguments: object) -> list:
        """Return nothing, for no other program is run."""
        return []


Shell = _Shell()


def describe(found: object) -> dict:
    """Say what a name stands for: whether it can be called, and which file it comes from."""
    kind = type(found)
    told = {"callable": callable(found), "type": str(kind.__name__)[:80]}
    try:
        inner = found
        for _ in range(20):  # functools.wraps and partial
            deeper = getattr(inner, "__wrapped__", None) or getattr(inner, "func", None)
            if deeper is None:
                break
            inner = deeper
        told["module"] = str(getattr(inner, "__module__", ""))[:_MOST_TEXT]
        told["name"] = str(getattr(inner, "__qualname__", ""))[:_MOST_TEXT]
        code = getattr(inner, "__code__", None)
        told["file"] = str(getattr(code, "co_filename", ""))[:_MOST_TEXT]
    except BaseException:  # the submission's own attributes
        told["module"] = ""
    return told


if __name__ == "__main__":
    main()
