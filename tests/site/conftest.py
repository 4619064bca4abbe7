"""The site, built once for all tests of a session, and a server for it."""

from __future__ import annotations

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock  # torch brings it

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_design", "sphinxcontrib.bibtex")


def _missing() -> list[str]:
    roots = {name.partition(".")[0] for name in NEEDED}
    return sorted(name for name in roots if find_spec(name) is None)


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Return the folder of the built pages; build them where no other worker has.

    COURSE_SITE names a folder of pages that are built already, such as build/site/html.
    """
    if missing := _missing():
        pytest.skip(f"the site's packages are missing ({', '.join(missing)}): make site")
    if built := os.environ.get("COURSE_SITE"):
        return Path(built).resolve()
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent  # of all workers
    folder, log = shared / "site", shared / "site.log"
    with FileLock(shared / "site.lock"):
        if not log.exists():
            command = [sys.executable, "docs/site/build.py", "--out", str(folder)]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            log.write_text(f"exit {run.returncode}\n{run.stderr}\n{run.stdout}", encoding="utf-8")
    text = log.read_text(encoding="utf-8")
    assert text.startswith("exit 0\n"), text[-3000:]
    return folder / "html"


@pytest.fixture(scope="session")
def build_log(site) -> str:
    """Return what the build printed."""
    log = site.parents[1] / "site.log"
    if not log.is_file():
        pytest.skip("the site was built before: COURSE_SITE")
    return log.read_text(encoding="utf-8")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="session")
def address(site) -> Iterator[str]:
    """Serve the pages as the README says, on a loopback port; yield the address."""
    handler = functools.partial(_Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
