"""How nbgrader works in the servers of the hub; docs/jupyterhub_config.py leads it here."""

import contextlib
import os
import pwd
import subprocess
import tempfile
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect
from nbgrader.utils import parse_utc

c = get_config()  # noqa: F821 - nbgrader hands it in

c.CourseDirectory.course_id = "vae-course"
c.Exchange.root = os.environ["COURSE_EXCHANGE"]


class Collect(ExchangeCollect):
    """Collect from a folder in which any student may put anything.

    nbgrader takes the name of a folder for the student's and follows links with the instructor's
    rights: a student could hand in for another, or hand in the worked solutions.
    """

    def _path_to_record(self, path):
        try:
            record = super()._path_to_record(path)
        except Exception:  # no name that nbgrader gives; one such folder must not stop the rest
            name = os.path.basename(path)
            record = {"filename": name, "timestamp": parse_utc("1970-01-01 00:00:00 UTC")}
        uid = os.lstat(path).st_uid
        record["username"] = str(uid)
        with contextlib.suppress(KeyError):
            record["username"] = pwd.getpwuid(uid).pw_name
        return record

    def do_copy(self, src, dest, log=None):
        if self.get_size(src) > 1000 * self.coursedir.max_dir_size:
            self.log.error("Too large, not collected: %s", src)
            return
        with tempfile.TemporaryDirectory() as place:
            # What was checked before a copy may be something else by the time of the copy, so
            # links are copied as links, out of the student's reach, and left out then.
            copy = Path(place, "copy")
            subprocess.run(["cp", "-r", "--no-dereference", "--", src, copy], check=False)
            for path in [copy, *copy.rglob("*")] if not copy.is_symlink() else [copy]:
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    self.log.error("Not a plain file, left out: %s", Path(src, path.name))
                    path.unlink(missing_ok=True)
            if copy.exists():
                super().do_copy(copy, dest)


if folder := os.environ.get("COURSE_FOLDER"):
    # The instructor's: all else is as it is without a hub.
    load_subconfig("nbgrader_config.py", path=folder)  # noqa: F821 - as is this
    classroom = Path(c.CourseDirectory.submitted_directory).parent
    classroom.mkdir(parents=True, exist_ok=True)  # for the gradebook, which makes no folder
    c.ExchangeFactory.collect = Collect
else:
    # A set that was fetched lies beside the notebooks, so that its links to them lead somewhere.
    fetched = Path.home() / "vae-course" / "exercises"
    fetched.mkdir(parents=True, exist_ok=True)
    c.Exchange.assignment_dir = str(fetched)
