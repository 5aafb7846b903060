"""A site under load to which something happens, seen as its operator and its clients see it: what `superwsgi
why` says first, what `superwsgi status` shows meanwhile, and what clients have lost.
"""

import contextlib
import json
import os
import re
import signal
import socket
import time

from tests.e2e.daemon import COMMAND, DEADLINE, FIXTURE_APPS, read_all, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import Wire, request

CLIENTS = 4

WHEN = r"#\d+ \d\d:\d\d:\d\d \(\S+ ago\) "
"""How a line of `superwsgi why` begins."""


def count_lost(incident):
    """How many requests it says were lost."""
    return int(re.match(r"(\d+) requests? lost", incident["consequence"])[1])


AGAIN = r"; replaced, served again after \S+( \(\d+ times\))?"
"""How it ends where a worker was replaced."""


def lost(path):
    """What such a line says of a request that was in hand, beside which others may have been: the oldest one
    is named, which may be any of the load that it has then come with."""
    return rf"GET ({path} \S+ \S+( and \d+ more)?|/ \S+ \S+ and \d+ more); \d+ requests? lost"


class Drill:
    """`daemon`, with the application of the drills, which is in the folder `code`."""

    def __init__(self, daemon, code=FIXTURE_APPS):
        self.daemon = daemon
        self.code = code
        self.control = daemon.folder / "control.sock"
        self._since = 0.0  # when the fault was begun

    def begin(self, prefix=(), env=None, **keys):
        """Start it, with `prefix` before the command."""
        keys = {"workers": 2, "monitor": {"interval": "200ms"}, "log": {"access": "off"}, **keys}
        self.daemon.site(app="e2e_faulty:app", chdir=str(self.code), **keys)
        self.daemon.spawn([*prefix, *COMMAND, "-c", "site.yaml"], ready=False, env=env)
        wait_for(lambda: self.serves() == keys["workers"], "start", context=lambda: self.daemon.log)
        self._since = time.monotonic()
        return self

    def serves(self):
        """How many workers do; none where no master can be asked."""
        with contextlib.suppress(OSError):
            return len(self.workers())
        return 0

    @property
    def address(self):
        """As status shows it: the log may be nowhere."""
        return self.status()["addresses"][0].removeprefix("http://").rpartition(":")[::2]

    @contextlib.contextmanager
    def under_load(self, **how):
        """Clients that keep asking; what they have lost is printed."""
        with Load(self.address, **{"clients": CLIENTS, "pause": 0.01, **how}) as load:
            wait_for(lambda: len(load.answers) > 2 * CLIENTS, "answers")
            yield load
            load.bodies_from_now()
        slowest = max(answer.seconds for answer in load.answers)
        said = f"{len(load.answers)} answers, slowest {slowest:.2f}s, {len(load.broken)} broken"
        print(f"{said}: {sorted({*load.broken})}")

    # What happens.

    def kill(self, pid, number=signal.SIGKILL):
        self._since = time.monotonic()
        os.kill(pid, number)

    def ask(self, path, **more):
        """The answer; None where there is none."""
        self._since = time.monotonic()
        with contextlib.suppress(ConnectionError), self._wire() as wire:
            return wire.ask(path, **more)
        return None

    @contextlib.contextmanager
    def asked(self, path):
        """A client that has asked for it."""
        self._since = time.monotonic()
        with self._wire() as wire:
            wire.send(request(path))
            yield wire

    def _wire(self):
        return Wire(socket.create_connection(self.address, DEADLINE))

    # What its operator sees.

    def status(self):
        """The site as `superwsgi status --json` shows it, without a process for each look."""
        return self._command("status")

    def incidents(self, about=None):
        """Those that `superwsgi why --json` shows, the newest first."""
        return self._command("why", concerning=None if about is None else str(about))["incidents"]

    def _command(self, kind, **fields):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(str(self.control))
            sock.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")
            return json.loads(read_all(sock))

    def says(self, pattern, about=None):
        """Wait until the newest incident is told like this by `superwsgi why`, and return it."""
        arguments = ["why", "--short", *([] if about is None else [about])]

        def told():
            done = self.daemon.command(*arguments)
            assert done.returncode == 0, done.stderr
            first = done.stdout.partition("\n")[0]
            return first if re.fullmatch(WHEN + pattern, first) else None

        print(
            wait_for(told, pattern, context=lambda: self.daemon.command(*arguments).stdout + self.daemon.log)
        )
        return self.incidents(about)[0]

    def shows(self, state, pid=None):
        """Wait until `superwsgi status` shows a worker in that state, this one or any."""

        def shown():
            seen = {w["pid"] for w in self.status()["workers"] if w["state"] == state}
            return pid in seen if pid else seen

        wait_for(shown, f"worker that {state}", context=lambda: str(self.status()))

    def workers(self):
        """Process ids of those that serve and are not to be replaced, by number."""
        workers = self.status()["workers"]
        return {w["number"]: w["pid"] for w in workers if w["state"] == "serving" and not w["recycle"]}

    def whole(self, before):
        """Wait until as many serve as should, one of them new; returns how many seconds that took since the
        fault, and prints it."""
        wanted = self.status()["wanted"]

        def serves():
            now = self.workers()
            return len(now) == wanted and now != before

        wait_for(serves, "full capacity", context=lambda: f"{self.status()}\n{self.daemon.log}")
        took = time.monotonic() - self._since
        print(f"full capacity after {took:.2f}s")
        return took
