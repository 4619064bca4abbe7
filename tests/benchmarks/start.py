"""How long a newcomer waits: the import of the library, and notebook 00 up to its generated grid.

    python tests/benchmarks/start.py

The import is timed against that of torch alone, in fresh processes that take turns. The notebook
is run in a fresh kernel, from the kernel's start until the cell with the generated images is done.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"


def import_seconds(module: str) -> float:
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


def seconds_to_grid() -> float:
    """Seconds from the kernel's start to the end of the cell whose picture is called Generated."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(ROOT)}})
    start = time.perf_counter()
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
            for output in cell.get("outputs", []):
                picture = output.get("metadata", {}).get("image/png", {})
                if picture.get("alt", "").startswith("Generated"):
                    return time.perf_counter() - start
    raise RuntimeError(f"{NOTEBOOK.name} shows no picture whose text begins with 'Generated'.")


def main() -> None:
    # `import course_lib` puts off torch itself; training is the room that needs nearly all others.
    for module in ("course_lib", "course_lib.training"):
        import_seconds(module)  # once before, so that all files are in the disk cache
        pairs = [(import_seconds("torch"), import_seconds(module)) for _ in range(7)]
        ratio = statistics.median(ours / torch for torch, ours in pairs)
        print(f"import {module}: {ratio:.2f} times import torch (median of {len(pairs)} pairs)")
    print(f"notebook 00, kernel start to generated grid: {seconds_to_grid():.0f} s")


if __name__ == "__main__":
    main()
