"""Predictions are kept: every one, whole, and nowhere that they should not be."""

from __future__ import annotations

import json
import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from course_lib.widgets import notes


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("COURSE_NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def test_what_is_written_is_read_again_with_its_date(folder):
    before = datetime.now().astimezone() - timedelta(seconds=1)
    note = notes.write("02-gap", "3 nats, “größer” <&>")
    assert notes.read("02-gap") == [note]
    assert note.text == "3 nats, “größer” <&>"
    assert before <= datetime.fromisoformat(note.written) <= datetime.now().astimezone()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", note.day)
    assert [p.name for p in folder.iterdir()] == [notes.FILE]


def test_earlier_predictions_stay(folder):
    for text in ("first", "second"):
        notes.write("a", text)
    notes.write("b", "other")
    assert [note.text for note in notes.read("a")] == ["first", "second"]
    assert [note.text for note in notes.read("b")] == ["other"]
    assert notes.read("c") == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"version": 1}',
     b'{"version": 99, "predictions": {}}',
     b'{"version": 1, "predictions": {"a": [{"prediction": 3, "written": "x"}]}}',
     b'{"version": 1, "predictions": {"../a": []}}'],
)  # fmt: skip
def test_damaged_file_is_set_aside_and_never_lost(folder, content):
    folder.mkdir()
    (folder / notes.FILE).write_bytes(content)
    assert notes.read("a") == []
    assert (folder / "predictions.damaged-1.json").read_bytes() == content
    notes.write("a", "new")
    (folder / notes.FILE).write_bytes(b"damaged again")
    assert notes.read("a") == []
    assert (folder / "predictions.damaged-1.json").read_bytes() == content
    assert (folder / "predictions.damaged-2.json").read_bytes() == b"damaged again"


def test_interrupted_write_leaves_the_old_file(folder, monkeypatch):
    notes.write("a", "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        notes.write("a", "new")
    monkeypatch.undo()
    os.environ["COURSE_NOTES"] = str(folder)
    data = json.loads((folder / notes.FILE).read_text(encoding="utf-8"))
    assert [n["prediction"] for n in data["predictions"]["a"]] == ["old"]
    assert [p.name for p in folder.iterdir()] == [notes.FILE]


@pytest.mark.parametrize("key", ["", " a", "../a", "a/b", "a b", "é", "x" * 65, None, 3])
def test_unfit_keys_are_refused(folder, key):
    with pytest.raises(ValueError, match="key of a prediction"):
        notes.read(key)
    with pytest.raises(ValueError, match="key of a prediction"):
        notes.write(key, "text")
    assert not folder.exists()


def test_course_notes_must_not_be_a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("COURSE_NOTES", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="which is a file; a folder was expected"):
        notes.read("a")


def test_programs_have_no_notes_of_their_own(monkeypatch, tmp_path):
    """What is stored in a notebook must not depend on whose machine executed it."""
    monkeypatch.delenv("COURSE_NOTES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert notes.folder() is None
    assert notes.read("a") == []
    with pytest.raises(OSError, match="set COURSE_NOTES"):
        notes.write("a", "text")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the folder differs from platform to platform")
def test_readers_have_a_folder_of_their_own(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_NOTES")
    monkeypatch.setattr(notes, "is_watched", lambda: True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    notes.write("a", "text")
    assert (tmp_path / "vae-course" / notes.FILE).is_file()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert notes.folder() == Path("/home/somebody/.local/share/vae-course")
