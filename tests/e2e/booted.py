"""A machine of its own, with this one's systemd as process 1: an overlay of this machine's files, which are
not changed, with name spaces for processes, mounts, network and control groups. It takes a second to boot,
and root.

A project there belongs to an unprivileged user, with a virtual environment below /home, in which superwsgi
and some frameworks are: copies of what the tests run with.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import wait_for
from tests.tools import needed, needed_file

SYSTEMD = Path("/lib/systemd/systemd")
PACKAGES = (
    "superwsgi",
    "click",
    "msgspec",
    "psutil",
    "setproctitle",
    "yaml",
    "httptools",
    "typing_extensions",
)
FRAMEWORKS = (
    "flask",
    "werkzeug",
    "jinja2",
    "markupsafe",
    "itsdangerous",
    "blinker",
    "django",
    "asgiref",
    "sqlparse",
)

PREPARE = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$BOX"
mkdir "$BOX/upper" "$BOX/work" "$BOX/root"
mount -t overlay -o lowerdir=/,upperdir="$BOX/upper",workdir="$BOX/work" overlay "$BOX/root"
cd "$BOX/root"
chmod a+x root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
rm -rf etc/systemd/system/*.wants etc/tmpfiles.d/superwsgi-* etc/systemd/system/superwsgi*
mkdir -p var/log/journal
ip link set lo up
mount --make-rprivate /
pivot_root . mnt
umount -l /mnt
export container=superwsgi-tests
exec /lib/systemd/systemd --unit=multi-user.target --log-target=journal
"""

APART = [
    *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--cgroup", "--net"),
    *("--propagation", "private", "sh", "-c", PREPARE),
]


class BootedMachine:
    def __init__(self):
        """Skips where this machine does not let us have one."""
        if os.geteuid() != 0:
            pytest.skip("only root can boot a machine of its own")
        for program in ("unshare", "nsenter", "systemctl", "ip"):
            needed(program)
        needed_file(SYSTEMD)
        self.box = Path(tempfile.mkdtemp(prefix="booted-"))
        self.log = self.box.with_suffix(".log")
        self.group = _groups() / self.box.name
        self.process = None
        self.init = None

    def boot(self):
        try:
            self.group.mkdir()
        except OSError as error:
            pytest.skip(f"no right to make a control group: {error}")
        enter = f'echo $$ > "{self.group}/cgroup.procs"; exec "$@"'
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", enter, "sh", *APART],
                env={"PATH": os.environ["PATH"], "BOX": str(self.box)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.init = wait_for(self._init, "systemd as process 1", context=self.log.read_text)
        wait_for(self._is_up, "machine", deadline=60, context=self.log.read_text)
        self.run("useradd", "--create-home", "--shell", "/bin/sh", "visitor")
        self.run("useradd", "--create-home", "--shell", "/bin/sh", "neighbour")

    def _init(self):
        if self.process.poll() is not None:
            pytest.skip(f"no machine can be booted here: {self.log.read_text()[-500:]}")
        for child in psutil.Process(self.process.pid).children():
            if child.name() == "systemd":
                return child.pid
        return None

    def _is_up(self):
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in (
            "running",
            "degraded",
        )

    def run(self, *command, user=None, check=True, text=None, cwd="/"):
        """A finished command inside."""
        as_user = ["runuser", "-u", user, "--"] if user else []
        home = f"/home/{user}" if user else "/root"
        environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LANG": "C.UTF-8", "PWD": cwd}
        cd = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", cwd]
        done = subprocess.run(
            ["nsenter", "-t", str(self.init), "-a", "--", *cd, *as_user, *map(str, command)],
            env=environ,
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def path(self, inside):
        """A file of it from out here."""
        return Path(f"/proc/{self.init}/root{inside}")

    def write(self, inside, text, user="visitor"):
        path = self.path(inside)
        self.run("mkdir", "-p", str(Path(inside).parent), user=user)
        path.write_text(textwrap.dedent(text))
        self.run("chown", f"{user}:{user}", inside)

    def environment(self, folder, frameworks=(), user="visitor"):
        """A virtual environment; returns the path of its superwsgi."""
        python = Path(sys.prefix if sys.prefix == sys.base_prefix else sys.base_prefix, "bin", "python3")
        self.run(python, "-m", "venv", "--without-pip", folder, user=user)
        (site,) = self.path(folder).glob("lib/python3*/site-packages")
        for name in (*PACKAGES, *frameworks):
            _copy(name, site)
        # As pip does it. A service may not write there: each of its processes would compile all of it anew.
        self.run(python, "-m", "compileall", "-q", f"{folder}/lib")
        script = f"#!{folder}/bin/python\nimport sys\nfrom superwsgi.cli import main\nsys.exit(main())\n"
        self.write(f"{folder}/bin/superwsgi", script, user)
        self.run("chmod", "+x", f"{folder}/bin/superwsgi")
        self.run("chown", "-R", f"{user}:{user}", folder)
        return f"{folder}/bin/superwsgi"

    def get(self, url):
        """Status and body of a page."""
        program = (
            "import sys, urllib.request, urllib.error\n"
            "try: answer = urllib.request.urlopen(sys.argv[1], timeout=60)\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "print(answer.status, answer.read().decode())"
        )
        done = self.run(sys._base_executable, "-c", program, url)
        status, _, body = done.stdout.rstrip("\n").partition(" ")
        return int(status), body

    def clean_up(self):
        if self.process is not None:
            if self.init is not None:
                psutil.Process(self.init).kill()
            self.process.wait(60)
        if self.group.is_dir():
            for folder, _, _ in os.walk(self.group, topdown=False):
                Path(folder).rmdir()
        shutil.rmtree(self.box, ignore_errors=True)
        self.log.unlink(missing_ok=True)


def _groups():
    """Where control groups of version 2 are mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(point)
    pytest.skip("no control groups of version 2 here")
    raise AssertionError


def _copy(name, site):
    spec = importlib.util.find_spec(name)
    if spec is None:
        return
    if spec.submodule_search_locations:
        source = Path(next(iter(spec.submodule_search_locations)))
        shutil.copytree(source, site / source.name, ignore=shutil.ignore_patterns("*.po"))
    else:
        shutil.copy(spec.origin, site)
