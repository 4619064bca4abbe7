"""Run notebooks and store their outputs in place: python tests/notebooks/store.py notebooks/*.ipynb

Each notebook is run from its first cell in a fresh kernel, on the CPU, with the default data and
the thread count that the tests use. What differs from machine to machine (times, versions, widget
state) is taken out. A notebook that fails is left as it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"


def clean(notebook: nbformat.NotebookNode) -> None:
    """Take out what would differ on another machine or in another run of the same notebook."""
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("collapsed", None)
        if cell.cell_type != "code":
            continue
        for output in cell.outputs:
            # The id of a live widget means nothing to the next kernel; its static twin stays.
            if len(output.get("data", {})) > 1:
                output.data.pop(WIDGET, None)
                output.metadata.pop(WIDGET, None)
        cell.outputs = _joined(cell.outputs)


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join neighbouring pieces of one stream: where a stream was cut is a matter of timing."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def run(path: Path, cell_timeout: int) -> None:
    """Execute one notebook and replace the file by the result in one step."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=cell_timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        record_timing=False,
    )
    client.execute()
    clean(notebook)
    beside = path.with_suffix(".ipynb.part")
    try:
        nbformat.write(notebook, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    """Run the notebooks that are named; return how many of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--cell-timeout", type=int, default=120, metavar="SECONDS")
    options = parser.parse_args(argv)
    for name in ("COURSE_DATASET", "COURSE_THREADS"):
        os.environ.pop(name, None)
    os.environ.setdefault("COURSE_DEVICE", "cpu")
    failed = 0
    with tempfile.TemporaryDirectory() as notes:
        os.environ["COURSE_NOTES"] = notes  # the stored pages show no one's answers
        from course_lib.data import load

        # No page shows the bar of a cold cache.
        load("strokes", progress=False)
        load("strokes", color=True, size=20, num_train=12_000, num_test=2000, progress=False)
        load("strokes", color=True, size=64, num_train=800, num_test=200, progress=False)
        for path in options.notebooks:
            start = time.monotonic()
            try:
                run(path, options.cell_timeout)
                word = "stored"
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                failed += 1
                word = "FAILED, left as it was"
                print(error, file=sys.stderr)
            print(f"{path}: {word} ({time.monotonic() - start:.0f} s)", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
