"""How long a check takes: python tests/benchmarks/checks.py

Every right answer of the bank in tests/checks is checked several times, on fresh inputs; of each
exercise the slowest answer is shown, by its median.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from importlib import import_module
from pathlib import Path

import torch

BANK = Path(__file__).resolve().parents[1] / "checks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="checks of each answer")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(2)
    sys.path.insert(0, str(BANK))
    for path in sorted(BANK.glob("bank_*.py")):
        import_module(path.stem)
    from bank import RIGHT

    from course_lib import check

    check("kl_standard_normal", RIGHT[0].code)  # everything is imported before the clock starts
    slowest: dict[str, tuple[float, str]] = {}
    for answer in RIGHT:
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            passed = check(answer.exercise, answer.code).passed
            seconds.append(time.perf_counter() - start)
            assert passed, answer.label
        entry = statistics.median(seconds), answer.code.__name__
        slowest[answer.exercise] = max(slowest.get(answer.exercise, entry), entry)
    print("| exercise | slowest right answer | seconds (median) |\n|---|---|---|")
    for exercise, (seconds, name) in slowest.items():
        print(f"| {exercise} | {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
