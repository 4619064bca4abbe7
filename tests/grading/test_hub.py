"""A room with a hub: two students and an instructor, from the release of a set to its feedback.

The hub runs from docs/jupyterhub_config.py as it stands, with only its ports chosen anew. The
three are Linux users who log in with a password, and all that they do goes through the hub to
their own servers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import uuid
from importlib.util import find_spec
from pathlib import Path

import pytest

pwd = pytest.importorskip("pwd", reason="there are no Linux users here")

ROOT = Path(__file__).resolve().parents[2]
SET = "03_kl"
COURSE = "vae-course"
PATIENCE = 180  # seconds; nothing takes that long unless the machine is very busy
PROGRAMS = ("useradd", "userdel", "groupadd", "groupdel", "chpasswd", "setpriv", "unshare", "mount")


def _why_not() -> str | None:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "only root can start a hub for several users"
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    missing += [name for name in ("jupyterhub", "configurable_http_proxy") if not find_spec(name)]
    if not Path("/etc/pam.d/login").exists():
        missing.append("/etc/pam.d/login")
    return f"{', '.join(missing)}: not installed" if missing else None


def _open_to_all(place: Path) -> bool:
    return bool(place.stat().st_mode & stat.S_IXOTH)


def _with_python_for_all(stage: Path) -> list[str]:
    """Return the beginning of a command in which other users can reach this Python.

    Where it lies below a closed folder, such as root's home, the command sees an open folder in
    that one's place, with the Python in it and nothing else. All other commands see what there is.
    """
    lines, back = ["set -e"], []
    closed = set()
    for number, place in enumerate(sorted({Path(sys.prefix), Path(sys.base_prefix)})):
        above = [p for p in reversed(place.resolve().parents) if not _open_to_all(p)]
        if not above:
            continue
        closed.add(above[0])
        (stage / str(number)).mkdir(parents=True)
        here, there = (shlex.quote(str(p)) for p in (place.resolve(), stage / str(number)))
        lines.append(f"mount --rbind {here} {there}")
        back.append(f"mkdir -p {here}; mount --rbind {there} {here}")
    lines += [f"mount -t tmpfs -o mode=755 none {shlex.quote(str(p))}" for p in sorted(closed)]
    script = "\n".join([*lines, *back, 'exec "$@"'])
    return ["unshare", "--mount", "sh", "-c", script, "sh"] if closed else []


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def _end_processes_of(uid: int) -> None:
    for _ in range(100):
        alive = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == uid:
                    state = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        alive.append(int(entry.name))
        if not alive:
            return
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _run(*command: object, **options) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"


class Person:
    """Someone at a browser: logs in with a password, and has a server of their own."""

    def __init__(self, name: str, hub: str) -> None:
        import requests

        self.name, self.hub = name, hub
        self.password = secrets.token_hex(8)
        self.session = requests.Session()
        self.home = Path(pwd.getpwnam(name).pw_dir)
        self.token = ""

    def log_in(self, password: str | None = None) -> int:
        """Return the status of the page that comes after the form was sent."""
        form = self.session.get(f"{self.hub}/hub/login")
        mark = re.search(r'name="_xsrf" value="([^"]*)"', form.text).group(1)
        answer = {"username": self.name, "password": password or self.password, "_xsrf": mark}
        page = self.session.post(f"{self.hub}/hub/login?next=/hub/home", data=answer)
        return page.status_code

    def start_server(self) -> None:
        """Ask for the server that the button on the page asks for; :meth:`wait` for it after."""
        mark = {"X-XSRFToken": self.session.cookies.get("_xsrf", path="/hub/")}
        users = f"{self.hub}/hub/api/users/{self.name}"
        token = self.session.post(f"{users}/tokens", json={"note": "test"}, headers=mark)
        assert token.ok, token.text
        self.token = token.json()["token"]
        assert self.ask("POST", f"{users}/server").status_code in (201, 202)

    def wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            about = self.ask("GET", f"{self.hub}/hub/api/users/{self.name}").json()
            if about["servers"].get("", {}).get("ready"):
                return
            time.sleep(0.2)
        pytest.fail(f"the server of {self.name} did not start")

    def ask(self, method: str, url: str, **options):
        import requests

        head = {"Authorization": f"token {self.token}"}
        return requests.request(method, url, headers=head, timeout=PATIENCE, **options)

    def own(self, method: str, path: str, **options):
        """Return what this person's own server answers, as JSON."""
        answer = self.ask(method, f"{self.hub}/user/{self.name}/{path}", **options)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[-2000:]}"
        return answer.json()

    def assignments(self, action: str = "") -> list[dict]:
        """Press a button of the list of assignments, or look at the list."""
        about = {"course_id": COURSE, "assignment_id": SET}
        method, path = ("POST", f"assignments/{action}") if action else ("GET", "assignments")
        answer = self.own(method, path, params=about)
        assert answer["success"], answer["value"]
        return answer["value"]

    def run(self, code: str) -> str:
        """Run a cell in a new kernel; return what it prints."""
        import websocket

        kernel = self.own("POST", "api/kernels", json={})["id"]
        at = f"{self.hub}/user/{self.name}/api/kernels/{kernel}/channels".replace("http", "ws", 1)
        wire = websocket.create_connection(
            at, timeout=PATIENCE, header={"Authorization": f"token {self.token}"}
        )
        with contextlib.closing(wire):
            number = uuid.uuid4().hex
            content = {"code": code, "silent": False, "store_history": False}
            header = {
                "msg_id": number,
                "msg_type": "execute_request",
                "username": "",
                "session": "",
            }
            request = {"header": {**header, "version": "5.3"}, "parent_header": {}, "metadata": {}}
            wire.send(json.dumps({**request, "content": content, "channel": "shell"}))
            said = ""
            while True:
                message = json.loads(wire.recv())
                if message["parent_header"].get("msg_id") != number:
                    continue
                kind, content = message["msg_type"], message["content"]
                if kind == "stream":
                    said += content["text"]
                elif kind == "error":
                    pytest.fail("\n".join([said, *content["traceback"]]))
                elif kind == "status" and content["execution_state"] == "idle":
                    break
        self.ask("DELETE", f"{self.hub}/user/{self.name}/api/kernels/{kernel}")
        return said


class Room:
    def __init__(self, place: Path, hub: str, people: dict[str, Person]) -> None:
        self.place, self.hub = place, hub
        self.instructor, self.ada, self.ben = (people[n] for n in ("teacher", "ada", "ben"))
        self.outsider = people["outsider"]


def _make_course(place: Path, *left_out: str) -> None:
    ignored = (".*", "runs", "build", "*.egg-info", "__pycache__", "notebooks", *left_out)
    shutil.copytree(ROOT, place, ignore=shutil.ignore_patterns(*ignored))


@pytest.fixture(scope="module")
def room():
    """A hub with three servers that run."""
    if reason := _why_not():
        pytest.skip(reason)
    with contextlib.ExitStack() as undo:
        place = Path(tempfile.mkdtemp(prefix="course-hub-", dir="/tmp"))
        undo.callback(shutil.rmtree, place, ignore_errors=True)
        place.chmod(0o755)
        for name in ("home", "stage"):
            (place / name).mkdir()
        _make_course(place / "course", "solutions", "tests")

        begin = _with_python_for_all(place / "stage")
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable]
        look = [*begin, *as_nobody, "-c", "import jupyterhub"]
        seen = subprocess.run(look, capture_output=True, text=True, check=False, cwd="/")
        if seen.returncode != 0:
            pytest.skip(f"other users cannot run this Python: {seen.stderr.strip()[-300:]}")

        mark = f"vae{os.getpid()}"
        _run("groupadd", mark)
        undo.callback(subprocess.run, ["groupdel", mark], capture_output=True, check=False)
        proxy, hub, api = _free_ports(3)
        people = {}
        for name in ("teacher", "ada", "ben", "outsider"):
            user = f"{mark}-{name}"
            group = ["--groups", mark] if name in ("ada", "ben") else []
            _run("useradd", "--create-home", "--base-dir", place / "home", *group, user)
            undo.callback(subprocess.run, ["userdel", user], capture_output=True, check=False)
            undo.callback(_end_processes_of, pwd.getpwnam(user).pw_uid)
            people[name] = Person(user, f"http://127.0.0.1:{proxy}")
            _run("chpasswd", input=f"{user}:{people[name].password}")
        teacher = people["teacher"]
        _make_course(teacher.home / COURSE, "tests", "docs")
        _run("chown", "-R", f"{teacher.name}:", teacher.home / COURSE)

        environment = {
            **os.environ,
            "COURSE_INSTRUCTOR": teacher.name,
            "COURSE_STUDENTS": mark,
            "COURSE_EXCHANGE": str(place / "exchange"),
            "COURSE_HUB_STATE": str(place / "state"),
            "PYTHONPATH": str(place / "course"),  # in place of an installation
        }
        ports = [f"--JupyterHub.bind_url=http://127.0.0.1:{proxy}", f"--JupyterHub.hub_port={hub}"]
        ports += [f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{api}"]
        config = ["-f", str(place / "course" / "docs" / "jupyterhub_config.py")]
        log = place / "hub.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                [*begin, sys.executable, "-m", "jupyterhub", *config, *ports],
                cwd=place,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        undo.callback(_stop, process)
        for person in people.values():  # which the hub would wait for, one by one
            undo.callback(_end_processes_of, pwd.getpwnam(person.name).pw_uid)
        try:
            _wait_for(f"http://127.0.0.1:{proxy}/hub/health", process)
            three = [people[name] for name in ("teacher", "ada", "ben")]
            for person in three:
                assert person.log_in() == 200
                person.start_server()
            for person in three:
                person.wait()
            yield Room(place, f"http://127.0.0.1:{proxy}", people)
        except BaseException:
            print(log.read_text(encoding="utf-8", errors="replace")[-6000:])
            raise


def _stop(process: subprocess.Popen) -> None:
    process.terminate()  # the hub then stops the servers and the proxy
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _wait_for(url: str, process: subprocess.Popen) -> None:
    import requests

    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=PATIENCE).ok:
                return
        time.sleep(0.2)
    pytest.fail("the hub did not start")


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("COURSE_INSTRUCTOR", "no-such-user", "There is no user 'no-such-user'"),
        ("COURSE_STUDENTS", "no-such-group", "There is no group 'no-such-group'"),
        ("COURSE_FOLDER", "/no/such/folder", "is not in /no/such/folder"),
        ("COURSE_FOLDER", str(ROOT), "which is closed to students"),
        (None, None, "start it with sudo"),
    ],
)
def test_a_hub_that_cannot_work_says_why(setting, value, sentence, monkeypatch):
    loader = pytest.importorskip("traitlets.config.loader")
    import grp

    user = pwd.getpwall()[1]  # anyone but root, whose home might hold the course
    monkeypatch.setenv("COURSE_INSTRUCTOR", user.pw_name)
    monkeypatch.setenv("COURSE_STUDENTS", grp.getgrall()[0].gr_name)
    if setting:
        monkeypatch.setenv(setting, value)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if setting else 1000)
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        loader.PyFileConfigLoader("jupyterhub_config.py", str(ROOT / "docs")).load_config()


WHO = """
import getpass, os, resource
print(getpass.getuser(), os.getuid(), resource.getrlimit(resource.RLIMIT_DATA)[1])
"""
READ = """
import os, pathlib
for name in {names}:
    try:
        os.listdir(name) if os.path.isdir(name) else pathlib.Path(name).read_bytes()
    except PermissionError:
        print("closed")
    else:
        print("open", name)
"""


RENAME = """
import os
try:
    os.rename("{course}", "{course}-of-mine")
except PermissionError:
    print("refused")
"""


def test_each_server_runs_as_its_user_and_within_limits(room):
    name, uid, data = room.ada.run(WHO).split()
    assert (name, int(uid)) == (room.ada.name, pwd.getpwnam(room.ada.name).pw_uid)
    assert int(data) == 4_000_000_000


def test_who_is_no_student_or_mistypes_does_not_come_in(room):
    assert room.outsider.log_in() == 403
    assert Person(room.ada.name, room.hub).log_in("wrong") == 403


def test_a_server_answers_nobody_but_its_owner_and_the_instructor(room):
    other = f"{room.hub}/user/{room.ben.name}/api/contents"
    assert room.ben.ask("GET", other).status_code == 200
    assert room.instructor.ask("GET", other).status_code == 200
    assert room.ada.ask("GET", other).status_code == 403
    page = f"{room.hub}/user/{room.instructor.name}/formgrader/manage_assignments"
    assert room.instructor.ask("GET", page).status_code == 200
    assert room.ada.ask("GET", page).status_code == 403


@pytest.fixture(scope="module")
def handed_in(room):
    """The set is released; ada hands in right answers and ben half of them; all is collected."""
    teacher, ada, ben = room.instructor, room.ada, room.ben
    for step in ("assign", "release"):
        done = teacher.own("POST", f"{MANAGE}/{step}")
        assert done["success"], done
    for student, missing in ((ada, ()), (ben, ("kl_monte_carlo", "mended_rate"))):
        assert [one["status"] for one in student.assignments()] == ["released"]
        assert [one["status"] for one in student.assignments("fetch")] == ["fetched"]
        given = student.own("GET", FETCHED)["content"]
        assert not re.search("BEGIN (SOLUTION|HIDDEN)|hidden_test", json.dumps(given))
        student.own("PUT", FETCHED, json={"type": "notebook", "content": _answered(*missing)})
        listed = student.assignments("submit")
        assert [one["status"] for one in listed] == ["fetched", "submitted"]
    _collect(room)
    return room


MANAGE = f"formgrader/api/assignment/{SET}"
FETCHED = f"api/contents/{COURSE}/exercises/{SET}/{SET}.ipynb"


def _answered(*missing: str) -> dict:
    """Return the set with right answers in it, but for some that were left as they are."""
    given, right = (
        json.loads((ROOT / folder / SET / f"{SET}.ipynb").read_text(encoding="utf-8"))
        for folder in ("exercises", "solutions")
    )
    answers = {cell["id"]: cell["source"] for cell in right["cells"]}
    for cell in given["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("solution") and cell["cell_type"] == "code" and cell["id"] not in missing:
            cell["source"] = answers[cell["id"]]
    return given


def _collect(room: Room) -> None:
    done = room.instructor.own("POST", f"{MANAGE}/collect")
    assert done["success"], done


def _submitted(room: Room) -> dict[str, dict[str, str]]:
    """Return what was collected: the files of each student."""
    top = room.instructor.home / "vae-course-classroom" / "submitted"
    return {
        student.name: {f.name: f.read_text(encoding="utf-8") for f in (student / SET).iterdir()}
        for student in top.iterdir()
    }


def test_the_rights_of_files_keep_students_apart(handed_in):
    room = handed_in
    closed = [
        room.instructor.home / COURSE / "solutions" / SET / f"{SET}.ipynb",
        room.instructor.home,
        room.ada.home / COURSE / "exercises" / SET / f"{SET}.ipynb",
        room.place / "exchange" / COURSE / "inbound",
        room.place / "state" / "jupyterhub.sqlite",
    ]
    said = room.ben.run(READ.format(names=list(map(str, closed))))
    assert said.split("\n") == ["closed"] * len(closed) + [""]
    course = room.place / "exchange" / COURSE
    said = room.ben.run(RENAME.format(course=course))
    assert said == "refused\n" and course.is_dir()


def test_from_what_was_handed_in_to_the_feedback(handed_in):
    room = handed_in
    assert set(_submitted(room)) == {room.ada.name, room.ben.name}
    room.instructor.run(GRADE)
    done = room.instructor.own("POST", f"{MANAGE}/release_feedback")
    assert done["success"], done
    for student, points in ((room.ada, 14), (room.ben, 8)):
        score = room.instructor.own("GET", f"formgrader/api/submission/{SET}/{student.name}")
        assert (score["code_score"], score["max_score"]) == (points, 20)
        _, listed = student.assignments("fetch_feedback")
        (submission,) = listed["submissions"]
        page = f"api/contents/{submission['local_feedback_path']}/{SET}.html"
        assert f"Code: {points} of 14 points" in student.own("GET", page)["content"]


def test_nobody_hands_in_for_another_or_by_a_link(handed_in):
    """ben puts folders into the exchange by hand."""
    room = handed_in
    before = _submitted(room)[room.ada.name]
    inbound = room.place / "exchange" / COURSE / "inbound"
    solution = room.instructor.home / COURSE / "solutions" / SET / f"{SET}.ipynb"
    room.ben.run(FORGE.format(inbound=inbound, ada=room.ada.name, SET=SET, solution=solution))
    _collect(room)
    after = _submitted(room)
    assert set(after) == {room.ada.name, room.ben.name}
    assert after[room.ada.name] == before
    assert set(after[room.ben.name]) == {"forged.txt", "timestamp.txt"}


FORGE = """
import os, pathlib
inbound = pathlib.Path("{inbound}")
os.mkdir(inbound / "..+{SET}+whenever")
when = "2100-01-01 00:00:00.000000 UTC"
place = inbound / ("{ada}+{SET}+" + when + "+AAAAAAAAAAAA")
place.mkdir()
(place / "timestamp.txt").write_text(when)
(place / "forged.txt").write_text("by ben")
(place / "{SET}.ipynb").symlink_to("{solution}")
(place / "solutions").symlink_to(pathlib.Path("{solution}").parent)
os.mkfifo(place / "fifo")
"""
GRADE = f"""
import os, subprocess, sys
classroom = os.path.expanduser("~/vae-course-classroom")
command = [sys.executable, "-m", "course_lib.grading", "grade", classroom + "/submitted"]
done = subprocess.run(
    [*command, "--out", classroom], cwd=os.path.expanduser("~/{COURSE}"), capture_output=True,
    text=True,
)
print(done.stdout, done.stderr)
if done.returncode != 0:
    raise SystemError("grading failed")
"""
