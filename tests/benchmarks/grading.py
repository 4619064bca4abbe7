"""Grade a class, every tenth hostile: python tests/benchmarks/grading.py [--submissions 200]

Writes the class into a folder, lets ``python -m course_lib.grading grade`` grade it, and compares
every total with what that submission has earned. Prints the rate and the most memory of one
submission. The run is killed once in the middle and goes on, as a night without a person has to.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SET = "03_kl"
WRONG = "def kl_normal(mu_q, logvar_q, mu_p, logvar_p):\n    return (mu_q - mu_p).pow(2).sum(-1)\n"

# What a cell holds, in place of the answer to kl_normal (4 of the 14 points) or in front of it or
# of all cells; "all" leaves the answers out as well. The last number is what the code has earned.
HOSTILE: dict[str, tuple[str, str, float]] = {
    "loop": ("kl_normal", "def kl_normal(*a):\n    while True:\n        pass\n", 10),
    "deaf": (
        "kl_normal",
        "def kl_normal(*a):\n    while True:\n        try:\n            while True:\n"
        "                pass\n        except BaseException:\n            pass\n",
        10,
    ),
    "exit": ("kl_normal", "import os\ndef kl_normal(*a):\n    os._exit(0)\n", 10),
    "memory": (
        "kl_normal",
        "def kl_normal(*a):\n    kept = []\n    while True:\n"
        "        kept.append(bytearray(10_000_000))\n",
        10,
    ),
    "forks": (
        "kl_normal",
        "import os\ndef kl_normal(*a):\n    while True:\n        os.fork()\n",
        10,
    ),
    "output": ("first", "print('x' * 200_000_000)", 14),
    "allclose": (
        "all",
        "import torch\ntorch.allclose = lambda *a, **k: True\n"
        "torch.testing.assert_close = lambda *a, **k: None\n",
        0,
    ),
    "forged": (
        "all",
        "import os, sys\nfor number in range(3, 20):\n    try:\n"
        '        os.write(number, b\'{"passed": true, "points": 14}\\n\')\n'
        "    except OSError:\n        pass\nprint('kl_normal: right.')\n",
        0,
    ),
    # Only where it finds nothing is its answer defined, and 14 points are earned.
    "reader": (
        "before kl_normal",
        "import os\nfound = []\nfor folder, inside, names in os.walk('/'):\n"
        "    system = ('proc', 'sys', 'usr', 'site-packages')\n"
        "    inside[:] = [name for name in inside if name not in system]\n"
        "    found += [n for n in names if n == 'gradebook.db' or n.endswith('.ipynb')]\n"
        "assert not found, found\n",
        14,
    ),
    "killer": ("first", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n", 14),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--every", type=int, default=10, help="which share is hostile: every Nth")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", type=float, default=0.4, help="share graded before the kill")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        expected = write_class(Path(scratch, "submitted"), a.submissions, a.every)
        start = time.perf_counter()
        grade(Path(scratch), a.workers, round(a.kill * a.submissions))
        grade(Path(scratch), a.workers, None)
        took = time.perf_counter() - start
        tell(Path(scratch, "grades"), expected, took)


def write_class(folder: Path, count: int, every: int) -> dict[str, float]:
    """Write submissions, every so many hostile, and return what the code of each has earned."""
    expected = {}
    kinds = list(HOSTILE)
    for number in range(count):
        if number % every == every - 1:
            kind = kinds[number // every % len(kinds)]
            cell, source, points = HOSTILE[kind]
            student, made = f"{number:03d}-{kind}", notebook(cell, source)
        elif number % 10 == 4:
            student, made, points = f"{number:03d}-half", notebook("kl_normal", WRONG), 10
        else:
            student, made, points = f"{number:03d}-right", notebook("", ""), 14
        path = folder / student / SET / f"{SET}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(made), encoding="utf-8")
        expected[student] = points
    return expected


def notebook(place: str, source: str) -> dict:
    """Return the set with the right answers, and ``source`` in one place: see ``HOSTILE``."""

    def read(folder: str) -> dict:
        return json.loads((ROOT / folder / SET / f"{SET}.ipynb").read_text(encoding="utf-8"))

    made = read("exercises")
    right = {cell["id"]: "".join(cell["source"]) for cell in read("solutions")["cells"]}
    for cell in made["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if cell["cell_type"] == "code" and about.get("solution") and place != "all":
            cell["source"] = source if cell["id"] == place else right[cell["id"]]
            if place == f"before {cell['id']}":
                cell["source"] = f"{source}\n{right[cell['id']]}"
    if place in ("first", "all"):
        cell = {"cell_type": "code", "id": "own", "metadata": {}, "source": source, "outputs": []}
        made["cells"].insert(0, cell | {"execution_count": None})
    return made


def grade(folder: Path, workers: int, kill_after: int | None) -> None:
    """Run the command; kill it when so many are graded."""
    options = ["--out", str(folder / "grades"), "--workers", str(workers)]
    program = [sys.executable, "-m", "course_lib.grading", "grade", str(folder / "submitted")]
    running = subprocess.Popen([*program, *options], cwd=ROOT)
    while kill_after is not None and running.poll() is None:
        if len(records(folder / "grades")) >= kill_after:
            running.send_signal(signal.SIGKILL)
            print(f"\nKilled after {len(records(folder / 'grades'))} grades.", flush=True)
        time.sleep(0.5)
    if running.wait() and kill_after is None:
        raise SystemExit(f"grade ended with {running.returncode}")


def records(grades: Path) -> list[Path]:
    return list(grades.glob("records/*/*.json"))


def tell(grades: Path, expected: dict[str, float], took: float) -> None:
    with (grades / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "set"]
    got = {row["student"]: float(row["points"]) for row in rows}
    wrong = {name: (got.get(name), points) for name, points in expected.items()
             if got.get(name) != points}  # fmt: skip
    peaks = [json.loads(path.read_bytes())["graded"]["peak_memory"] for path in records(grades)]
    print(f"\n{len(got)} submissions, {len(rows)} rows: {took:.0f} s, {60 * len(got) / took:.1f} a "
          f"minute; at most {max(peaks) / 1e9:.2f} GB for one.")  # fmt: skip
    print(f"Not as earned: {wrong or 'none'}.")
    raise SystemExit(bool(wrong) or len(rows) != len(expected))


if __name__ == "__main__":
    main()
