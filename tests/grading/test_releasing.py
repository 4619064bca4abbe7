"""What students get is made from the solutions, and a variant tests the same with other numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from course_lib.checks import plan
from course_lib.grading.hidden import hidden_test
from course_lib.grading.releasing import release, with_seed

ROOT = Path(__file__).resolve().parents[2]
SETS = sorted(path.name for path in (ROOT / "solutions").iterdir())


def text(name: str) -> str:
    return (ROOT / "solutions" / name / f"{name}.ipynb").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SETS)
def test_every_hidden_test_takes_a_seed(name):
    made, source = json.loads(with_seed(text(name), 5)), json.loads(text(name))
    tests = 0
    for before, after in zip(source["cells"], made["cells"], strict=True):
        old, new = "".join(before["source"]), "".join(after["source"])
        tests += old != new
        assert new.replace(", seed=5)", ")") == old
    graded = [c["metadata"].get("nbgrader", {}).get("grade") for c in source["cells"]]
    code = [g for g, c in zip(graded, source["cells"], strict=True) if c["cell_type"] == "code"]
    assert tests == sum(map(bool, code)) > 0
    assert with_seed(with_seed(text(name), 3), 5) == with_seed(text(name), 5)


def test_a_variant_releases_the_same_and_hides_other_numbers(tmp_path):
    (made,) = release(ROOT / "solutions", ["03_kl"], out=tmp_path, seed=9)
    assert made == tmp_path / "exercises" / "03_kl" / "03_kl.ipynb"
    assert made.read_bytes() == (ROOT / "exercises" / "03_kl" / "03_kl.ipynb").read_bytes()
    assert "seed=9" in (tmp_path / "solutions" / "03_kl" / "03_kl.ipynb").read_text()
    assert plan("kl_normal", 1, hidden=True) != plan("kl_normal", 2, hidden=True)


def test_a_test_without_its_call_is_named():
    other = json.loads(text("03_kl"))
    for cell in other["cells"]:
        cell["source"] = "".join(cell["source"]).replace("hidden_test(", "other(")
    with pytest.raises(ValueError, match="kl_standard_normal-check has no hidden_test"):
        with_seed(json.dumps(other), 1)


def test_a_failing_set_leaves_what_was_there(tmp_path):
    folder = tmp_path / "solutions" / "03_kl"
    folder.mkdir(parents=True)
    broken = json.loads(text("03_kl"))
    for cell in broken["cells"]:
        cell["source"] = "".join(cell["source"]).replace("### END SOLUTION", "")
    (folder / "03_kl.ipynb").write_text(json.dumps(broken))
    kept = tmp_path / "exercises" / "03_kl" / "03_kl.ipynb"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    with pytest.raises(RuntimeError, match="nbgrader does not take the set 03_kl"):
        list(release(tmp_path / "solutions"))
    assert kept.read_text() == "kept"


def test_seeds_agree_on_a_right_answer():
    from course_lib.divergences import kl_standard_normal

    for seed in (0, 1, 2026):
        hidden_test("kl_standard_normal", kl_standard_normal, seed=seed)
