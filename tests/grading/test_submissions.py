"""Everything that was handed in is found, in all layouts, and nothing bad stops the rest."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest

from course_lib.grading import submissions
from course_lib.grading.submissions import find_submissions


def put(place, data):
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return place


def zipped(files, password=False):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(name, data if isinstance(data, bytes) else json.dumps(data))
    data = bytearray(stream.getvalue())
    if password:  # the flags of every entry, in both of its headers
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = data.find(mark)
            while place >= 0:
                data[place + offset] |= 1
                place = data.find(mark, place + 1)
    return bytes(data)


def named(*functions):
    """Return a small notebook without nbgrader's metadata."""
    cells = [
        {"cell_type": "code", "metadata": {}, "source": f"def {name}(): pass"} for name in functions
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}


KL = named("kl_normal")
BLANK = named("something")


def pairs(found):
    assert not [one.problem for one in found if one.problem]
    return [(one.student, one.assignment) for one in found]


@pytest.mark.parametrize("given", ["", "submitted", "submitted/anna", "submitted/anna/03_kl"])
def test_the_tree_of_nbgrader_from_every_height(tmp_path, sets, given):
    put(tmp_path / "submitted/anna/03_kl/03_kl.ipynb", KL)
    put(tmp_path / "submitted/anna/03_kl/timestamp.txt", b"now")
    put(tmp_path / "submitted/anna/03_kl/.ipynb_checkpoints/03_kl-checkpoint.ipynb", BLANK)
    assert pairs(find_submissions(tmp_path / given, sets)) == [("anna", "03_kl")]


def test_the_tree_of_nbgrader_with_renamed_files(tmp_path, sets):
    put(tmp_path / "anna/03_kl/my answers (1).ipynb", KL)
    put(tmp_path / "ben/03_kl/03_kl.ipynb", KL)
    put(tmp_path / "ben/02_elbo/02_elbo.ipynb", named("log_mean_exp"))
    found = find_submissions(tmp_path, sets)
    assert pairs(found) == [("anna", "03_kl"), ("ben", "02_elbo"), ("ben", "03_kl")]


def test_a_folder_of_files(tmp_path, sets):
    for name in ("anna_03_kl", "03_kl_ben", "03-KL carl", "dora", "team 7", "team 8", "Zoë_03_kl"):
        put(tmp_path / f"{name}.ipynb", KL)
    students = ["Zoë", "anna", "ben", "carl", "dora", "team 7", "team 8"]
    assert pairs(find_submissions(tmp_path, sets)) == [(name, "03_kl") for name in students]


def test_a_folder_for_each_student_or_each_set(tmp_path, sets):
    put(tmp_path / "one/anna/03_kl_final.ipynb", KL)
    put(tmp_path / "two/03_kl/anna.ipynb", KL)
    assert pairs(find_submissions(tmp_path / "one", sets)) == [("anna", "03_kl")]
    assert pairs(find_submissions(tmp_path / "two", sets)) == [("anna", "03_kl")]


def test_one_notebook(tmp_path, sets):
    one = put(tmp_path / "submitted/anna/03_kl/03_kl.ipynb", KL)
    other = put(tmp_path / "ben_03_kl.ipynb", KL)
    assert pairs(find_submissions(one, sets)) == [("anna", "03_kl")]
    assert pairs(find_submissions(other, sets)) == [("ben", "03_kl")]


def test_the_zip_of_moodle(tmp_path, sets):
    inner = zipped({"work/03_kl.ipynb": KL})
    files = {
        "Anna Muster_123456_assignsubmission_file_/03_kl (1).ipynb": KL,
        "Ben Muster_123457_assignsubmission_file/lösung.ipynb": KL,
        "Carl_123458_assignsubmission_file_03_kl.ipynb": KL,
        "Dora_123459_assignsubmission_file_/all.zip": inner,
        "Same Name_1_assignsubmission_file_/03_kl.ipynb": KL,
        "Same Name_2_assignsubmission_file_/03_kl.ipynb": KL,
        "__MACOSX/Anna Muster_123456_assignsubmission_file_/._03_kl (1).ipynb": b"x",
    }
    names = ["Anna Muster", "Ben Muster", "Carl", "Dora", "Same Name (1)", "Same Name (2)"]
    given = put(tmp_path / "moodle.zip", zipped(files))
    found = find_submissions(given, sets)
    assert pairs(found) == [(name, "03_kl") for name in names]
    assert all(len(one.read().cells) == 1 for one in found)
    assert found == find_submissions(tmp_path, sets), "and in a folder"


def test_the_zip_of_canvas(tmp_path, sets):
    files = {
        "musteranna_LATE_1234_98765_03_kl-2.ipynb": KL,
        "musteranna_1234_98764_03_kl-1.ipynb": BLANK,
        "benben_1235_98766_answers.ipynb": KL,
    }
    found = find_submissions(put(tmp_path / "canvas.zip", zipped(files)), sets)
    assert pairs(found) == [("benben", "03_kl"), ("musteranna", "03_kl")]
    late, versions = found[1].notes
    assert "late" in late and "2 versions" in versions
    assert found[1].members == ("musteranna_LATE_1234_98765_03_kl-2.ipynb",)


def test_the_zip_of_one_student(tmp_path, sets):
    put(tmp_path / "anna.zip", zipped({"03_kl.ipynb": KL, "notes.txt": b"x"}))
    put(tmp_path / "ben/work.zip", zipped({"here/03_kl.ipynb": KL}))
    assert pairs(find_submissions(tmp_path, sets)) == [("anna", "03_kl"), ("ben", "03_kl")]
    assert pairs(find_submissions(tmp_path / "anna.zip", sets)) == [("anna", "03_kl")]


def test_the_highest_number_and_then_the_newest_wins(tmp_path, sets):
    for age, name in enumerate(("03_kl (2)", "03_kl (10)", "03_kl", "03_kl (1)")):
        place = put(tmp_path / "anna" / f"{name}.ipynb", KL)
        os.utime(place, (1e9 - age, 1e9 - age))
    old = put(tmp_path / "ben" / "b.ipynb", KL)
    put(tmp_path / "ben" / "a.ipynb", KL)
    os.utime(old, (1e9, 1e9))
    anna, ben = find_submissions(tmp_path, sets)
    assert anna.path.name == "03_kl (10).ipynb" and "4 versions" in anna.notes[0]
    assert ben.path.name == "a.ipynb" and "b.ipynb" in ben.notes[0]


def test_a_version_that_can_be_read_wins(tmp_path, sets):
    put(tmp_path / "anna" / "03_kl.ipynb", KL)
    put(tmp_path / "anna" / "03_kl (1).ipynb", b"{")
    (one,) = find_submissions(tmp_path, sets)
    assert one.path.name == "03_kl.ipynb" and one.problem is None and one.notes


def test_the_cells_decide_on_the_set(tmp_path, sets, released):
    put(tmp_path / "anna_02_elbo.ipynb", released("03_kl"))
    put(tmp_path / "ben_02_elbo.ipynb", BLANK)
    put(tmp_path / "carl_02_elbo.ipynb", named("mended_log_likelihood", "gaussian_log_likelihood"))
    anna, ben, carl = find_submissions(tmp_path, sets)
    assert anna.assignment == "03_kl" and "By its place it would be 02_elbo" in anna.notes[0]
    assert (ben.assignment, ben.notes) == ("02_elbo", ())
    assert carl.assignment == "06_likelihoods"


def test_every_released_set_is_known_by_its_cells(sets, released, as_read):
    for name in sets:
        assert submissions._set_in_cells(as_read(released(name)), sets) == name
        stripped = released(name)
        for cell in stripped["cells"]:
            cell["metadata"] = {}
        assert submissions._set_in_cells(as_read(stripped), sets) == name


def test_the_set_may_be_given(tmp_path, sets):
    put(tmp_path / "anna.ipynb", BLANK)
    (unknown,) = find_submissions(tmp_path, sets)
    assert "which set" in unknown.problem and unknown.student == "anna"
    assert pairs(find_submissions(tmp_path, sets, assignment="03_kl")) == [("anna", "03_kl")]
    with pytest.raises(ValueError, match="No set is called '03'"):
        find_submissions(tmp_path, sets, assignment="03")
    with pytest.raises(ValueError, match="There is no"):
        find_submissions(tmp_path / "nowhere", sets)


def problems(found):
    return {one.student: one.problem for one in found if one.problem}


def test_bad_files_are_sentences_and_the_rest_is_found(tmp_path, sets):
    secret = put(tmp_path / "secret" / "gradebook.ipynb", KL)
    place = tmp_path / "handed_in"
    put(place / "good.ipynb", KL)
    put(place / "damaged.ipynb", b"{")
    put(place / "latin.ipynb", "é".encode("latin-1"))
    put(place / "report.pdf", b"%PDF")
    put(place / "nozip.zip", b"PK nothing")
    put(place / "secretive.zip", zipped({"03_kl.ipynb": KL}, password=True))
    put(place / "cut.zip", zipped({"03_kl.ipynb": KL})[:-60])
    (place / "link.ipynb").symlink_to(secret)
    (place / "folder").symlink_to(secret.parent)
    os.mkfifo(place / "pipe.ipynb")
    found = find_submissions(place, sets)
    assert [one.student for one in found if not one.problem] == ["good"]
    said = problems(found)
    assert "link" in said["link"] and "link" in said["folder"]
    for student, words in {
        "damaged": "not a notebook",
        "latin": "UTF-8",
        "report": "no notebook",
        "nozip": "damaged",
        "secretive": "password",
        "cut": "damaged",
        "pipe": "no ordinary file",
    }.items():
        assert words in said[student], student
    assert all(sentence.endswith(".") for sentence in said.values())
    assert all(isinstance(one.read(), str) for one in found if one.problem)


def test_a_zip_cannot_reach_out_or_fill_the_memory(tmp_path, sets, monkeypatch):
    link = zipfile.ZipInfo("link/03_kl.ipynb")
    link.external_attr = 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(link, "/etc/passwd")
        packed.writestr("../../out/03_kl.ipynb", json.dumps(KL))
        packed.writestr("/root/03_kl.ipynb", json.dumps(KL))
        packed.writestr("C:/dos/03_kl.ipynb", json.dumps(KL))
        packed.writestr("bomb/03_kl.ipynb", b"0" * 3_000_000)
        packed.writestr("good/03_kl.ipynb", json.dumps(KL))
    put(tmp_path / "class.zip", stream.getvalue())
    monkeypatch.setattr(submissions, "MOST_BYTES", 1_000_000)
    found = find_submissions(tmp_path / "class.zip", sets)
    assert [one.student for one in found if not one.problem] == ["good"]
    said = [one.problem for one in found if one.problem]
    assert len(said) == 5
    assert sum("outside of itself" in one for one in said) == 3
    assert sum("larger than 1 MB" in one for one in said) == 1
    monkeypatch.setattr(submissions, "MOST_OF_ZIP", (1_000_000, 1_000_000))
    (one,) = find_submissions(tmp_path / "class.zip", sets)
    assert "would unpack to" in one.problem


def test_a_size_that_is_a_lie(tmp_path, sets):
    data = zipped({"03_kl.ipynb": b"0" * 100_000})
    size = (100_000).to_bytes(4, "little")
    put(tmp_path / "anna.zip", data.replace(size, (10).to_bytes(4, "little")))
    (one,) = find_submissions(tmp_path, sets)
    assert one.problem and one.student == "anna"


def test_zips_in_zips_come_to_an_end(tmp_path, sets):
    third = zipped({"anna.zip": zipped({"03_kl.ipynb": KL})})
    put(tmp_path / "anna.zip", zipped({"b.zip": third, "03_kl.ipynb": KL}))
    found = find_submissions(tmp_path, sets)
    assert {one.problem is None for one in found} == {True, False} or len(found) == 1
    assert [one.student for one in found if not one.problem] == ["anna"]


def test_two_files_of_nobody_stay_two(tmp_path, sets):
    first = put(tmp_path / "submitted" / "03_kl.ipynb", KL)
    put(tmp_path / "submitted" / "02_elbo.ipynb", named("log_mean_exp"))
    found = find_submissions(first.parent, sets)
    assert [one.student for one in found] == ["?", "?"]
    assert all("whose it is" in one.problem for one in found)


def test_a_link_that_came_later_is_not_followed(tmp_path, sets):
    place = put(tmp_path / "anna_03_kl.ipynb", KL)
    (one,) = find_submissions(tmp_path, sets)
    place.unlink()
    place.symlink_to(put(tmp_path / "other", KL))
    assert "cannot be read" in one.read()


def test_what_is_in_its_place_comes_before_what_is_newer_and_misplaced(tmp_path, sets):
    right = put(tmp_path / "anna/03_kl/03_kl.ipynb", KL)
    stray = put(tmp_path / "anna/02_elbo/02_elbo.ipynb", KL)
    os.utime(right, (1, 1))
    (found,) = find_submissions(tmp_path, sets)
    assert (found.assignment, found.path) == ("03_kl", right) and "2 versions" in found.notes[0]
    right.unlink()
    (found,) = find_submissions(tmp_path, sets)
    assert (found.assignment, found.path, found.misplaced) == ("03_kl", stray, True)


def test_what_lies_in_a_students_folder_is_of_that_student(tmp_path, sets):
    put(tmp_path / "submitted/anna/03_kl/03_kl.ipynb", KL)
    put(tmp_path / "submitted/anna/03_kl/bob/03_kl/03_kl (9).ipynb", KL)
    bobs = put(tmp_path / "submitted/bob/03_kl/03_kl.ipynb", KL)
    anna, bob = find_submissions(tmp_path, sets)
    assert (anna.student, bob.student, bob.path, bob.notes) == ("anna", "bob", bobs, ())


def test_a_name_as_canvas_makes_it_counts_at_the_top_only(tmp_path, sets):
    put(tmp_path / "carl/exercise_03_2026_kl.ipynb", KL)
    put(tmp_path / "dora/musterbob_77_98765_03_kl-9.ipynb", KL)
    assert pairs(find_submissions(tmp_path, sets)) == [("carl", "03_kl"), ("dora", "03_kl")]
    inner = zipped({"musterbob_77_98765_03_kl-9.ipynb": KL})
    export = {
        "musteranna_1234_98766_work.zip": inner,
        "musterbob_LATE_77_98765_03_kl-2.ipynb": KL,
    }
    for name in ("export.zip", "course_2026_11_export.zip"):
        anna, bob = find_submissions(put(tmp_path / "given" / name, zipped(export)), sets)
        assert (anna.student, bob.student) == ("musteranna", "musterbob")
        assert bob.members == ("musterbob_LATE_77_98765_03_kl-2.ipynb",) and len(bob.notes) == 1


def test_versions_from_different_zips_are_for_a_person(tmp_path, sets):
    put(tmp_path / "anna.zip", zipped({"bob/03_kl/03_kl (9).ipynb": KL}))
    put(tmp_path / "bob.zip", zipped({"03_kl.ipynb": KL}))
    (bob,) = find_submissions(tmp_path, sets)
    assert bob.notes[0].startswith("By its place it may be somebody else's. There are 2 versions")


def test_the_file_that_nbgrader_grades_comes_before_its_copies(tmp_path, sets):
    right = put(tmp_path / "bob/03_kl/03_kl.ipynb", KL)
    os.utime(right, (1, 1))
    put(tmp_path / "bob/03_kl/03_kl-Copy1.ipynb", KL)
    put(tmp_path / "bob/03_kl/Untitled.ipynb", KL)
    (bob,) = find_submissions(tmp_path, sets)
    assert bob.path == right and "3 versions" in bob.notes[0]
