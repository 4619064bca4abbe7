"""How nbgrader works with this repository: `nbgrader generate_assignment`, `autograde`, and so on.

What students must not see (the gradebook, what they handed in, grades and feedback) is kept in a
folder outside the repository: the one in COURSE_CLASSROOM, or else ~/vae-course-classroom.
"""

import os
import sys
from pathlib import Path

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    OverwriteKernelspec,
)

from course_lib.grading.cells import RestoreCells

# nbgrader calls the program alembic, which stands beside the Python that runs it.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
# Threads that wait without spinning: several kernels may be at work at once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

classroom = Path(os.environ.get("COURSE_CLASSROOM") or "~/vae-course-classroom").expanduser()
classroom = classroom.resolve()
if "nbgrader" in sys.argv[0] and "--no-db" not in sys.argv:  # and not for JupyterLab's menu
    classroom.mkdir(parents=True, exist_ok=True)  # for the gradebook, which makes no folder

c = get_config()  # noqa: F821 - nbgrader hands it in

c.CourseDirectory.course_id = "vae-course"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.CourseDirectory.submitted_directory = str(classroom / "submitted")
c.CourseDirectory.autograded_directory = str(classroom / "autograded")
c.CourseDirectory.feedback_directory = str(classroom / "feedback")
c.CourseDirectory.db_url = f"sqlite:///{classroom / 'gradebook.db'}"
# grades.csv is that of python -m course_lib.grading.
c.CsvExportPlugin.to = str(classroom / "nbgrader-grades.csv")

c.ClearSolutions.code_stub = {"python": "raise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer, in two or three sentences.*"

# A warning, a log line or a progress bar below a test is no failure.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = "(?s)."

# What a student deleted or tagged in the test cells is mended before anything is run.
c.OverwriteCells.add_missing_cells = True
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    DeduplicateIds,
    OverwriteKernelspec,
    RestoreCells,
    CheckCellMetadata,
]

# Nothing that is graded needs the demonstrations, and they take most of the time.
c.Execute.skip_cells_with_tag = "demonstration"
# One cell, in seconds. A check stops an endless loop itself, long before this.
c.Execute.timeout = 180
