"""Users without a name who run sites and commands: nobody else's sites are in their way."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.daemon import COMMAND, Daemon

AGAIN = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import superwsgi'], check=True)"

_numbers = itertools.count(100_000 + os.getpid() * 20)  # of this test process alone


@cache
def becoming():
    """The options with which setpriv(1) lets another user run this Python, wherever it is installed; also
    from there, with no right of root's left."""
    for more in ([], ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]):
        options = ["--clear-groups", *more]
        trial = ["setpriv", "--reuid=100000", "--regid=100000", *options, sys.executable, "-c", AGAIN]
        if subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return options
    return None


@contextlib.contextmanager
def people():
    """Makes users, in a folder that all may enter, which pytest's own are not."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)

        def make(**more):
            user = User(folder, **more)
            stack.callback(user.clean_up)
            return user

        yield make


class User:
    """`environ` is that of a session with a folder for sockets, or of one without."""

    def __init__(self, folder, *, session):
        self.folder = folder
        self.sites = []
        self.uid = os.geteuid()
        self.prefix = []
        if self.uid == 0:
            if becoming() is None:
                pytest.skip("this Python cannot be run by another user than root")
            self.uid = next(_numbers)
            self.prefix = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", *becoming()]
        self.temporary = Path(f"/tmp/superwsgi-{self.uid}")
        self.session = folder / f"session-{self.uid}"
        self.session.mkdir(mode=0o700)
        os.chown(self.session, self.uid, -1)
        runtime = str(self.session) if session else ""
        self.environ = {**os.environ, "XDG_RUNTIME_DIR": runtime, "RUNTIME_DIRECTORY": ""}

    def site(self, path, **keys):
        """A site's file in a folder, and its daemon."""
        (self.folder / path).mkdir(parents=True, exist_ok=True)
        site = UsersDaemon(self.folder / path, self)
        site.write("app.py", APP)
        site.site(workers=1, preload=False, rollout={"confirm": "100ms"}, **{"name": None, **keys})
        self.sites.append(site)
        return site

    def command(self, *arguments):
        """A finished command of theirs, in a folder of no site."""
        return subprocess.run(
            [*self.prefix, *COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def clean_up(self):
        for site in self.sites:
            site.clean_up()
        if os.geteuid() == 0:  # else it is the one of whoever runs the tests
            if self.temporary.is_symlink():
                self.temporary.unlink()
            shutil.rmtree(self.temporary, ignore_errors=True)


APP = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


def served(user, *which):
    """Site → process id of its master, by `superwsgi status`."""
    done = user.command("status", "--json", *which)
    assert done.returncode == 0, done.stderr
    return {(said := json.loads(line))["site"]: said["pid"] for line in done.stdout.splitlines()}


class UsersDaemon(Daemon):
    """Started by a User; its log is made by whoever runs the tests."""

    def __init__(self, folder, user):
        super().__init__(folder)
        self.user = user
        while self.log_file.exists():
            self.log_file = self.log_file.with_suffix(f"{self.log_file.suffix}.log")
        self.log_file.touch()

    @property
    def environ(self):
        return self.user.environ

    def spawn(self, command, **more):
        return super().spawn([*self.user.prefix, *command], **more)
