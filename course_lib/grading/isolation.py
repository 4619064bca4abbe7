"""What a program that nobody trusts is shown, and the command that shows it no more.

bubblewrap makes the place: a read-only system, the interpreter with its packages, and a filtered
copy of this library (:func:`view`). Where it cannot be made, :func:`why_not` says why and what to
do. :mod:`course_lib.grading.sandbox` runs programs there.
"""

from __future__ import annotations

import compileall
import functools
import json
import os
import shutil
import site
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO

__all__ = ["LIBRARY", "Ended", "Limits", "command_for", "hand_down", "take_over", "view", "why_not"]

PACKAGE = Path(__file__).resolve().parents[1]
COURSE = PACKAGE.parent
# nbgrader's exchange, with what the others have handed in, lies in a folder that is seen inside.
EXCHANGE = os.environ.get("COURSE_EXCHANGE") or "/usr/local/share/nbgrader/exchange"
LIBRARY = Path("/course")  # where the filtered copy is seen inside
HOME = "/home/student"
ADDRESSES = 8_000_000_000  # torch asks for 3 GB of addresses at its import and uses few of them
BEYOND = 200_000_000  # what a process may ask for beyond what it may use
TMPFS = 64_000_000

_CHECKS = '''"""Stands in for the checks while a submission is graded."""


class _Later:
    passed, mistake, message = None, None, "This is checked when the submission is graded."

    def __repr__(self):
        return self.message


def check(name, answer=None, *, seed=None):
    """Say that the answer is checked later, outside."""
    return _Later()
'''


@dataclass(frozen=True)
class Limits:
    """What a program may take.

    Attributes:
        wall: seconds from its start to its end.
        cpu: seconds of computing, of one process.
        memory: bytes in use by all of its processes together; one process may ask for
            0.2 GB more than that.
        processes: processes and threads at a time.
        file_bytes: the size of one file.
        output_bytes: what it may say in all.
        line_bytes: what it may say at once, see :meth:`Session.ask`.
    """

    wall: float = 300.0
    cpu: float = 300.0
    memory: int = 1_300_000_000
    processes: int = 64
    file_bytes: int = 50_000_000
    output_bytes: int = 100_000_000
    line_bytes: int = 12_000_000


class Ended(Exception):
    """The program is gone, or was ended because it overran a limit; ``.status`` and the text."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


_handed: dict[str, str] = {}  # folders that another process has made, and will remove


def hand_down(*, unsafe: bool = False) -> dict[str, str]:
    """Make the folders that the sandbox needs, for worker processes to share: see ``take_over``.

    Args:
        unsafe: only those that are needed without a sandbox too.

    Raises:
        Ended: ``status="refused"``: they cannot be made; the text says what to do.
    """
    made = {"view": str(view())}
    if os.geteuid() == 0 and not unsafe:
        made["stage"] = _stage()
    return made


def take_over(made: dict[str, str]) -> None:
    """Use the folders that another process on this machine has made with ``hand_down``."""
    _handed.update(made)


def _folder(prefix: str) -> Path:
    """Make a folder that lasts as long as this process, where the other user can reach it.

    What processes that were killed have left behind is removed.
    """
    import fcntl

    place = _locked(prefix)
    # Unlike atexit, this also happens at the end of a process of multiprocessing.
    Finalize(None, shutil.rmtree, (place, True), exitpriority=1)
    for one in place.parent.glob(f"{prefix}*"):
        try:
            if one == place or one.lstat().st_uid != os.getuid():
                continue
            with Path(one, ".in-use").open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(one, ignore_errors=True)
        except OSError:
            continue  # in use, or made just now by another process
    return place


def _locked(prefix: str, attempts: int = 20) -> Path:
    """Make a folder that is locked, so that no other process takes it for left behind."""
    import fcntl

    while True:
        place = Path(tempfile.mkdtemp(prefix=prefix, dir=_for_all()))
        try:
            handle = Path(place, ".in-use").open("w")  # noqa: SIM115, kept open
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # another process was quicker, and removes it
            attempts -= 1
            if not attempts:
                raise
            continue
        _in_use.append(handle)
        return place


_in_use: list[IO[str]] = []  # the kernel lets go of the locks when the process ends


@functools.cache
def view() -> Path:
    """Return a copy of this library without what a submission must not see, for anybody to read.

    Left out are the judges of ``course_lib.checks`` (the probes stay), and ``course_lib.grading``;
    ``course_lib.check`` only says that an answer is checked later. The program ``inside.py`` lies
    beside it. The copy lasts as long as this process.
    """
    if "view" in _handed:
        return Path(_handed["view"])
    place = _folder("course-view-")
    copied = place / PACKAGE.name

    def leave_out(folder: str, names: list[str]) -> list[str]:
        inside = Path(folder).relative_to(PACKAGE).parts
        if inside == ("checks",):
            return [name for name in names if name != "probes"]
        return ["grading"] if inside == () else []

    shutil.copytree(PACKAGE, copied, ignore=leave_out)
    (copied / "checks" / "__init__.py").write_text(_CHECKS, encoding="utf-8")
    shutil.copy2(Path(__file__).with_name("inside.py"), place / "inside.py")
    (place / "matplotlib").mkdir()
    for fonts in _font_lists():
        shutil.copy2(fonts, place / "matplotlib")
    compileall.compile_dir(place, quiet=2)
    for folder, _, files in os.walk(place):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(Path(folder) / name, 0o644)
    return place


def _font_lists() -> list[Path]:
    """Return matplotlib's list of fonts, which takes a second to make anew."""
    import matplotlib
    import matplotlib.font_manager  # makes the list where there is none

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def _environment(home: str, library: Path, answers: int) -> dict[str, str]:
    return {
        "ANSWERS": str(answers),
        "COURSE_DEVICE": "cpu",
        "COURSE_NOTES": f"{home}/notes",
        "COURSE_CACHE": f"{home}/cache",
        "COURSE_THREADS": "1",
        "HOME": home,
        "LANG": "C.UTF-8",
        "LOGNAME": "student",
        "MKL_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        "MPLCONFIGDIR": f"{home}/matplotlib",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(library),
        "TMPDIR": "/tmp",
        "USER": "student",
    }


_LIMITED = """
import json, resource, sys
for name, value in json.loads(sys.argv[1]).items():
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
import os
os.execv(sys.executable, [sys.executable, "-s", *sys.argv[2:]])
"""


def command_for(
    program: Sequence[str], limits: Limits, answers: int, scratch: str | None
) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs Python within the limits, and its environment."""
    rlimits = {
        "RLIMIT_AS": ADDRESSES,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(limits.cpu),
        "RLIMIT_DATA": limits.memory + BEYOND,
        "RLIMIT_FSIZE": limits.file_bytes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_NPROC": limits.processes + (_threads_of_user() if scratch else 0),
    }
    python = [sys.executable, "-I", "-S", "-c", _LIMITED, json.dumps(rlimits), *program]
    if scratch is None:
        return _sandboxed(python, _environment(HOME, LIBRARY, answers)), {"PATH": _PATH}
    shutil.copytree(view() / "matplotlib", Path(scratch) / "matplotlib")
    return python, _environment(scratch, view(), answers)


def _threads_of_user() -> int:
    """Return how many threads this user has; the kernel counts them together with the program's."""
    count, own = 0, os.getuid()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == own:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return count


def _sandboxed(python: list[str], environment: dict[str, str]) -> list[str]:
    """Return the command that runs another one in a sandbox."""
    user = _other_user() if os.geteuid() == 0 else None
    sources: dict[str, str] = {}  # what that user cannot reach, and where it can
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"),
        *("--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", "--clearenv"),
        *("--size", str(TMPFS), "--tmpfs", "/tmp"),
        *("--size", str(TMPFS), "--tmpfs", HOME),
    ]
    for top in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(top):
            arguments += ["--symlink", os.readlink(top), top]
    for place in _system():
        source = place
        if user is not None and not _reachable(place):
            source = sources.setdefault(place, f"{_stage()}/{len(sources)}")
        arguments += ["--ro-bind", source, place]
        for hidden in (str(COURSE), str(PACKAGE), EXCHANGE):
            if hidden.startswith(f"{place.rstrip('/')}/") and os.path.isdir(hidden):
                arguments += ["--tmpfs", hidden, "--remount-ro", hidden]
    arguments += ["--ro-bind", str(view()), str(LIBRARY)]
    for fonts in (view() / "matplotlib").iterdir():
        arguments += ["--ro-bind", str(fonts), f"{HOME}/matplotlib/{fonts.name}"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--size", str(TMPFS), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    arguments += ["--chdir", HOME, "--remount-ro", "/"]
    command = [shutil.which("bwrap") or "bwrap", *arguments, "--", *python]
    if user is None:
        return command
    drop = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"]
    command = [*drop, "--inh-caps=-all", "--", *command]
    if not sources:
        return command
    # Mounts that only this command sees.
    pairs = [part for pair in sources.items() for part in pair]
    return ["unshare", "--mount", "sh", "-c", _MOUNT, "sh", str(len(sources)), *pairs, *command]


_MOUNT = """
set -e
n=$1; shift
while [ "$n" -gt 0 ]; do mount --rbind "$1" "$2"; shift 2; n=$((n-1)); done
exec "$@"
"""


def _system() -> list[str]:
    """Return the folders and files that are seen inside, a folder before those in it."""
    places = {"/usr", "/etc/ld.so.cache", "/etc/fonts", "/etc/localtime", "/etc/alternatives"}
    places.add("/sys/devices/system/cpu")  # torch asks how many there are
    places |= {top for top in ("/bin", "/sbin", "/lib", "/lib64") if not os.path.islink(top)}
    paths = sysconfig.get_paths()
    python = {sys.prefix, sys.base_prefix, sys.exec_prefix, paths["stdlib"], paths["purelib"]}
    python |= {paths["platlib"], paths["platstdlib"], *site.getsitepackages()}
    if site.ENABLE_USER_SITE:
        python.add(site.getusersitepackages())
    executable = sys.executable
    for _ in range(10):  # a chain of links, each in a folder that has to be there
        python.add(str(Path(executable).parent))
        if not os.path.islink(executable):
            break
        executable = os.path.join(os.path.dirname(executable), os.readlink(executable))
    python |= {os.path.realpath(place) for place in python}
    places |= {os.path.normpath(place) for place in python}
    kept: list[str] = []
    for place in sorted(places):
        below = any(place.startswith(f"{one}/") for one in kept)
        if os.path.exists(place) and place != "/" and not below:
            kept.append(place)
    return kept


def _other_user() -> int:
    """Return the number of a user that nobody is, another for each process that grades."""
    return 61_184 + os.getpid() % 4_000


def _reachable(place: str) -> bool:
    """Whether any user can go there and read it."""
    path = Path(place).resolve()
    through = all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)
    needed = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
    return through and path.stat().st_mode & needed == needed


def _for_all() -> str | None:
    """Return the folder for what the other user has to reach; None for the usual one."""
    if os.geteuid() != 0 or _reachable(tempfile.gettempdir()):
        return None
    return next(filter(_reachable, filter(os.path.isdir, ("/tmp", "/var/tmp", "/dev/shm"))), None)


@functools.cache
def _stage() -> str:
    """Return a folder with folders to mount others on."""
    if "stage" in _handed:
        return _handed["stage"]
    place = _folder("course-stage-")
    for number, source in enumerate(one for one in _system() if not _reachable(one)):
        mode = Path(source).stat().st_mode
        if not mode & stat.S_IROTH or (stat.S_ISDIR(mode) and not mode & stat.S_IXOTH):
            raise Ended(
                "refused",
                f"Submissions run as another user than root, and that user cannot read {source}. "
                f"Let everybody read it (chmod -R a+rX {source}), or do not start as root.",
            )
        if stat.S_ISDIR(mode):
            (place / str(number)).mkdir()
        else:
            (place / str(number)).touch()
    os.chmod(place, 0o755)
    return str(place)


def no_limits() -> str | None:
    """Return None where a program can be held to its limits, and else a sentence: what to do."""
    if sys.platform.startswith("linux"):
        return None
    return (
        "Grading needs Linux, with a sandbox or without: grade on a Linux machine, which may be a "
        "virtual one, or WSL 2 on Windows."
    )


@functools.cache
def why_not() -> str | None:
    """Return None where submissions can be run in a sandbox, and else a sentence: what to do."""
    if refusal := no_limits():
        return refusal
    needed = ["bwrap", *(["setpriv", "unshare", "mount"] if os.geteuid() == 0 else [])]
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        package = "bubblewrap" if missing == ["bwrap"] else "bubblewrap util-linux"
        return (
            f"The sandbox needs the program {missing[0]}, which is not installed here: "
            f"sudo apt install {package} (or dnf, pacman)."
        )
    try:
        command = _sandboxed([sys.executable, "-c", "pass"], _environment(HOME, LIBRARY, 2))
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": _PATH}
        )
    except Ended as refused:
        return str(refused)
    except (OSError, subprocess.SubprocessError) as error:
        return f"The sandbox does not start: {error}"
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or ["no reason was given"])[-1][:300]
    if "nknown option" in said:
        return f"The sandbox does not start ({said}): bubblewrap 0.8 or newer is needed."
    return f"The sandbox does not start ({said}). {_cure()}"


_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _cure() -> str:
    """Return what to do where the kernel does not let bubblewrap make its namespaces."""
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor keeps user namespaces from programs that it does not know, as in Ubuntu "
            "24.04. Add the profile that comes with it, sudo apt install apparmor-profiles && sudo "
            "ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && "
            "sudo systemctl reload apparmor, or switch the rule off: sudo sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0."
        )
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1."
    if _setting("user/max_user_namespaces") == "0":
        return "Allow user namespaces: sudo sysctl user.max_user_namespaces=10000."
    return (
        "In a container, user namespaces have to be allowed from outside (docker run "
        "--security-opt seccomp=unconfined --security-opt systempaths=unconfined)."
    )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""
