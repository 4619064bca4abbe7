"""What a training run shows while it runs: a live curve in a notebook, a bar elsewhere."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from typing import Protocol

from course_lib.errors import unknown

__all__ = ["Progress", "in_notebook", "make_progress"]


class Progress(AbstractContextManager, Protocol):
    """Told of every batch and every epoch; closed at the end, whatever the end is."""

    def batch(self) -> None: ...
    def epoch(self, rows: list[dict]) -> None: ...


class _Silent(AbstractContextManager):
    def batch(self) -> None:
        pass

    def epoch(self, rows: list[dict]) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        pass


class _Curve(_Silent):
    """One figure that is redrawn as epochs end."""

    def __init__(self) -> None:
        from course_lib.plotting import live_history

        self._display = live_history()

    def epoch(self, rows: list[dict]) -> None:
        self._display.update(rows)

    def __exit__(self, *exception: object) -> None:
        self._display.close()


class _Bar(_Silent):
    """A tqdm bar over all batches of the run, with the latest bound beside it."""

    def __init__(self, total: int, done: int):
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="batch", dynamic_ncols=True)

    def batch(self) -> None:
        self._bar.update()

    def epoch(self, rows: list[dict]) -> None:
        row = rows[-1]
        shown = {"epoch": row["epoch"], "train": f"{row['train_loss']:.2f}"}
        if row["valid_loss"] is not None:
            shown["valid"] = f"{row['valid_loss']:.2f}"
        self._bar.set_postfix(shown)

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def in_notebook() -> bool:
    """Say whether this code runs in a Jupyter kernel."""
    if "IPython" not in sys.modules:  # a kernel has always imported it
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and shell.has_trait("kernel")


def make_progress(kind: str | bool, total: int, done: int) -> Progress:
    """Return the display: ``"auto"``, ``"notebook"``, ``"bar"``, or ``False`` for none."""
    if kind == "auto" or kind is True:
        kind = "notebook" if in_notebook() else "bar"
    if kind is False:
        return _Silent()
    if kind not in ("notebook", "bar"):
        raise unknown("progress", kind, ["auto", "notebook", "bar"])
    return _Curve() if kind == "notebook" else _Bar(total, done)
