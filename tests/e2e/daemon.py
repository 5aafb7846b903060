"""A real superwsgi daemon, watched from outside: HTTP, signals, its log and its exit status.

Every wait has a deadline, and what the daemon wrote is in the failure's text.
"""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

DEADLINE = 60.0
STARTED = 180.0
"""For a start, which nothing is proved by yet: twenty processes that want each CPU make it take a minute."""
FIXTURE_APPS = Path(__file__).parents[1] / "fixtureapps"
COMMAND = [sys.executable, "-m", "superwsgi"]


def dying(code):
    """An application whose processes end with that exit code as soon as they serve."""
    return f"""
        import os, threading, time

        def die():
            while f"pid={{os.getpid()}} serving " not in open("daemon.log").read():
                time.sleep(0.01)
            os._exit({code})

        threading.Thread(target=die, daemon=True).start()

        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"dying"]
    """


def saying(text):
    """An application that answers everything with it."""
    return f"""
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [{text.encode()!r}]
    """


HOLDS = """
    def after_fork():
        import os, time

        try:
            os.close(os.open("first", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            while not os.path.exists("go"):
                time.sleep(0.01)
"""
"""A hook for the end of an application: all workers but the first one wait for the file `go`."""


def heed_interrupts():
    """A shell has what it starts in the background ignore SIGINT, and so would all that the tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition, what="condition", deadline=DEADLINE, context=lambda: ""):
    """Return the first true value of `condition()`; fail with `what` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {deadline:g}s\n{context()}")
        time.sleep(0.01)


IN_ALL_MODELS = pytest.mark.parametrize(
    "daemon",
    [
        pytest.param("fixed", marks=[pytest.mark.models, pytest.mark.drill]),
        pytest.param("elastic", marks=pytest.mark.models),
        pytest.param("green", marks=pytest.mark.models),
    ],
    indirect=True,
)
"""For what has to be the same with a fixed number of threads, where they come and go, and with greenlets:
504s, drains, reloads, limits of memory, deaths, incidents, stacks, streams and taken-over connections."""


def whole_lines(text):
    """The lines of a log; the last one may still be written."""
    return text[: text.rfind("\n") + 1].splitlines()


class Answer:
    """A response: status, header fields by lower-case name, body."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Daemon:
    """`superwsgi` run in `folder`, on a port that the kernel chose."""

    def __init__(self, folder: Path, model: str | None = None):
        self.folder = folder
        self.model = model
        self.log_file = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.family: set[psutil.Process] = set()
        self.count = 1

    @property
    def environ(self):
        """Its control socket is in its own folder."""
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "RUNTIME_DIRECTORY": str(self.folder)}

    def command(self, *arguments, deadline=60, **more):
        """The finished `superwsgi` command of an operator, in the site's folder."""
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=deadline,
            stdin=subprocess.DEVNULL,
            **more,
        )

    # Its files.

    def write(self, name, text):
        """Write a file of the site; no cached bytecode of its last version is left."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        for cached in path.parent.glob(f"__pycache__/{path.stem}.*"):
            cached.unlink()
        return path

    def site(self, text="", bind="127.0.0.1:0", app="app:app", **keys):
        """Its site file; `app=None` where `apps` or `text` has the application, `name=None` for one that has
        the name of its folder. Reloads are confirmed sooner than by default."""
        self.count = keys.get("workers", 1)
        if self.model is not None:
            keys |= self._at_once(keys.pop("threads", 8))
        keys = {"name": "site", "bind": bind, "rollout": {"confirm": "1s"}, "app": app, **keys}
        lines = [f"{k}: {json.dumps(v)}" for k, v in keys.items() if v is not None]
        return self.write("site.yaml", "\n".join(lines) + "\n" + textwrap.dedent(text))

    def _at_once(self, most):
        """The key of its model for so many requests at once."""
        elastic = {"min": 1, "max": most, "idle": "200ms"}
        return {"fixed": {"threads": most}, "elastic": {"threads": elastic}, "green": {"green": most}}[
            self.model
        ]

    # Its life.

    def start(self, *arguments, ready=True, env=None):
        arguments = arguments or ("-c", "site.yaml")
        return self.spawn([*COMMAND, *map(str, arguments)], ready=ready, env=env)

    def spawn(self, command, *, ready=True, env=None, pass_fds=()):
        mark = self.mark()
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                env={**self.environ, **(env or {})},
            )
        if ready:
            self.wait_ready(since=mark)
        return self

    def wait_ready(self, since=0):
        """Until as many workers as the site file wants have begun to serve: before, connections go to the
        others."""
        self.wait_log("(?s)" + ".*\\bserving\\b" * self.count, since, STARTED)

    @property
    def pid(self):
        assert self.process is not None
        return self.process.pid

    def send(self, number, pid=None):
        os.kill(pid or self.pid, number)

    def reload(self, outcome="reload complete"):
        """HUP, and the match of `outcome` in what the log says of it."""
        mark = self.mark()
        self.send(signal.SIGHUP)
        return self.wait_log(outcome, since=mark)

    def wait_exit(self, deadline=DEADLINE):
        """The exit code (negative: signal)."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(deadline)
        raise AssertionError(f"still running after {deadline:g}s\n{self.log}")

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait_exit()

    def clean_up(self):
        """End whatever is left of it, by process id; for fixtures."""
        if self.process is not None:
            end(self.process, signal.SIGQUIT, self.family)

    # What it says.

    @property
    def log(self):
        """Whole lines, while it runs: the last one may still be written."""
        ended = self.process is None or self.process.poll() is not None
        said = self.log_file.read_text(errors="replace") if self.log_file.exists() else ""
        return said if ended else said[: said.rfind("\n") + 1]

    def mark(self):
        """The log's length now, for `since`."""
        return len(self.log)

    def wait_log(self, pattern, since=0, deadline=DEADLINE):
        """The match of `pattern` in the log after `since`."""

        def found():
            ended = self.process is not None and self.process.poll() is not None
            match = re.search(pattern, self.log[since:])
            if ended and not match:
                raise AssertionError(f"ended with {self.process.returncode} before {pattern!r}\n{self.log}")
            return match

        return wait_for(found, f"{pattern!r} in the log", deadline, lambda: self.log)

    # What it serves.

    @property
    def address(self):
        """(host, port) of its first TCP address, by its log."""
        host, port = self.wait_log(r"listening.*?address\W+\S*?([\d.]+|\[[\da-f:]+\]):(\d+)").groups()
        return host.strip("[]"), int(port)

    def connect(self, timeout=DEADLINE):
        return socket.create_connection(self.address, timeout)

    def client(self, timeout=DEADLINE):
        """A keep-alive connection."""
        return http.client.HTTPConnection(*self.address, timeout=timeout)

    def get(self, path="/", method="GET", timeout=DEADLINE, **more):
        """One request on a connection of its own."""
        connection = self.client(timeout)
        try:
            connection.request(method, path, **more)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, data, timeout=DEADLINE):
        """Send bytes as they are, and return all that comes until the server closes."""
        with self.connect(timeout) as sock:
            sock.sendall(data)
            return read_all(sock)

    # Its processes.

    def children(self):
        return psutil.Process(self.pid).children(recursive=True)

    def mold(self):
        """The process id of the mold, once there is one, and no other."""

        def only():
            found = [child.pid for child, title in self._titles() if title.startswith("superwsgi: mold ")]
            return found[0] if len(found) == 1 else None

        return wait_for(only, "one mold", context=lambda: self.log)

    def workers(self):
        """Process ids of the workers, by number then generation, from their titles."""
        found = {}
        for child, title in self._titles():
            match = re.match(r"superwsgi: worker (\d+) gen (\d+)", title)
            if match:
                self.family.add(child)
                found[int(match[2]), int(match[1]), child.pid] = child.pid
        return [found[key] for key in sorted(found)]

    def _titles(self):
        for child in psutil.Process(self.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just ended
                yield child, " ".join(child.cmdline())

    def wait_workers(self, count):
        """Until exactly `count` workers exist; returns their process ids."""
        return wait_for(
            lambda: w if len(w := self.workers()) == count else None,
            f"{count} workers",
            context=lambda: self.log,
        )


def read_all(sock):
    received = bytearray()
    while chunk := sock.recv(65536):
        received += chunk
    return bytes(received)


def end(process, number, family=()):
    """Ask a process to end by a signal, and kill whatever is left of it, its children and `family`: each by
    what it is, since process ids are used again."""
    left = {*family}
    with contextlib.suppress(psutil.Error):
        own = psutil.Process(process.pid)
        left |= {own, *own.children(recursive=True)}
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.send_signal(number)
        process.wait(5)
    for each in list(left):
        with contextlib.suppress(psutil.Error):
            left.update(each.children(recursive=True))
    for each in left:
        with contextlib.suppress(psutil.Error):
            each.kill()
    process.wait(DEADLINE)
    wait_for(lambda: not any(map(is_alive, left)), "end of all that was killed")


def is_alive(process):
    """Whether it runs; one that has ended may stay until its parent looks."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
