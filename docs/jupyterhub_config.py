"""JupyterHub for a room of students on one machine: see docs/classroom.md.

    sudo /srv/vae-course/.venv/bin/jupyterhub -f /srv/vae-course/docs/jupyterhub_config.py

The hub runs as root and starts a server for each person as that person's own Linux user, so that
the rights of files keep students apart; they log in with their Linux password (PAM). What may
differ from room to room comes from the environment:

    COURSE_INSTRUCTOR   the instructor's user name (instructor)
    COURSE_STUDENTS     the Linux group whose members may log in (students)
    COURSE_FOLDER       the instructor's copy, with solutions (~/vae-course of the instructor)
    COURSE_EXCHANGE     nbgrader's exchange (/usr/local/share/nbgrader/exchange, its own default)
    COURSE_HUB_STATE    the hub's database and secrets (/var/lib/jupyterhub)
    COURSE_MEMORY_GB    what one process of a user may allocate (4)
    COURSE_IDLE_MINUTES after how long a kernel that does nothing is ended (60)

It listens on this machine alone. To open it to the room, put a web server with TLS in front of
port 8000, as docs/classroom.md does with Caddy: passwords must not cross a network in clear text.
"""

import grp
import os
import pwd
import shutil
import sys
from pathlib import Path

docs = Path(__file__).resolve().parent
programs = Path(sys.executable).parent  # of the environment that the hub was started from


def setting(name, otherwise):
    return os.environ.get(name) or otherwise


instructor = setting("COURSE_INSTRUCTOR", "instructor")
students = setting("COURSE_STUDENTS", "students")
exchange = Path(setting("COURSE_EXCHANGE", "/usr/local/share/nbgrader/exchange"))
state = Path(setting("COURSE_HUB_STATE", "/var/lib/jupyterhub"))
memory = int(float(setting("COURSE_MEMORY_GB", "4")) * 1e9)  # bytes
idle = int(float(setting("COURSE_IDLE_MINUTES", "60")) * 60)  # seconds

if os.geteuid() != 0:
    sys.exit("The hub starts servers as other users, which only root can: start it with sudo.")
try:
    home = Path(pwd.getpwnam(instructor).pw_dir)
except KeyError:
    sys.exit(f"There is no user {instructor!r}: name the instructor's in COURSE_INSTRUCTOR.")
try:
    grp.getgrnam(students)
except KeyError:
    sys.exit(f"There is no group {students!r}: name the students' in COURSE_STUDENTS.")
folder = Path(setting("COURSE_FOLDER", home / "vae-course"))
if not (folder / "nbgrader_config.py").is_file():
    sys.exit(f"The instructor's copy of the course is not in {folder}: name it in COURSE_FOLDER.")
if not folder.resolve().is_relative_to(home.resolve()):
    sys.exit(f"{folder} is not in {home}, which is closed to students: move the course there.")

c = get_config()  # noqa: F821 - JupyterHub hands it in

# Addresses, and the proxy that browsers speak to. JupyterHub's own runs on node; where that is
# not installed, one in Python does. It keeps each answer until it is whole, and passes on ten
# requests at a time for at most 20 seconds each, unless told otherwise.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
elsewhere = [p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p != str(programs)]
proxy_on_node = shutil.which("configurable-http-proxy", path=os.pathsep.join(elsewhere))
proxy_in_python = """
from configurable_http_proxy.cli import main
from tornado.httpclient import AsyncHTTPClient
AsyncHTTPClient.configure(None, max_clients=1000, defaults={"request_timeout": 3600.0})
main()
"""
c.ConfigurableHTTPProxy.command = (
    [proxy_on_node] if proxy_on_node else [sys.executable, "-c", proxy_in_python]
)

# What the hub remembers. Nobody else may read it: it holds the secret that signs cookies.
state.mkdir(mode=0o700, parents=True, exist_ok=True)
state.chmod(0o700)
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")

# Who may come in. Administrators see who is there, and can stop and open others' servers.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allowed_users = {instructor}
c.Authenticator.admin_users = {instructor}
c.LocalAuthenticator.allowed_groups = {students}

# nbgrader's exchange. Everybody must be able to write there; the sticky bit keeps students from
# renaming the course's folder in it, which the instructor's first release makes.
exchange.mkdir(parents=True, exist_ok=True)
os.chown(exchange, pwd.getpwnam(instructor).pw_uid, -1)
exchange.chmod(0o1777)

# Each person's server. A limit on processes and on the memory of each (not on all together) is
# the kernel's own; LocalProcessSpawner does not enforce its mem_limit and cpu_limit.
# With systemd and the package jupyterhub-systemdspawner, limits hold for a user as a whole:
#     c.JupyterHub.spawner_class = "systemd"
#     c.SystemdSpawner.mem_limit, c.SystemdSpawner.cpu_limit = "3G", 2.0
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
limits = ["prlimit", f"--data={memory}", "--nproc=2000", "--core=0"]
c.Spawner.cmd = [*(limits if shutil.which("prlimit") else []), sys.executable]
c.Spawner.args = [
    *("-m", "jupyterhub.singleuser"),
    # Memory is what a room runs out of: notebooks that were left open give theirs back.
    f"--MappingKernelManager.cull_idle_timeout={idle}",
    "--MappingKernelManager.cull_connected=True",
    f"--MappingKernelManager.cull_interval={min(idle, 300)}",
    f"--TerminalManager.cull_inactive_timeout={idle}",
    f"--ServerApp.shutdown_no_activity_timeout={2 * idle}",
]
c.Spawner.default_url = "/lab/tree/vae-course/notebooks/00_start_here.ipynb"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180  # seconds: eighty may start at once


c.Spawner.environment = {
    "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
    "JUPYTER_CONFIG_PATH": str(docs / "hub"),  # what nbgrader and JupyterLab read
    "COURSE_EXCHANGE": str(exchange),
    "COURSE_FOLDER": lambda spawner: str(folder) if spawner.user.name == instructor else "",
    # Many kernels share the processors: few threads each, which do not spin while they wait.
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",
}
for name in ("COURSE_DATA", "COURSE_DATASET", "COURSE_DEVICE", "COURSE_THREADS"):
    if name in os.environ:
        c.Spawner.environment[name] = os.environ[name]


def close_home(spawner):
    """Close a home to other users before its server starts, whatever the system's default is."""
    os.chmod(pwd.getpwnam(spawner.user.name).pw_dir, 0o700)


os.chmod(home, 0o700)  # also before the instructor has been here
c.Spawner.pre_spawn_hook = close_home
