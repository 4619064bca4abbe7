"""The instructor's side of the exercises: the hidden tests that nbgrader runs."""

from __future__ import annotations

from course_lib.grading.hidden import WrongAnswer, hidden_test

__all__ = ["WrongAnswer", "hidden_test"]
