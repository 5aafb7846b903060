"""A daemon's admin process, asked from outside."""

import contextlib
import http.client
import json

import psutil

from tests.e2e.daemon import DEADLINE, Answer, wait_for

TOKEN = "0123456789abcdef"
ADMIN = {"bind": "127.0.0.1:0", "token": TOKEN}


def port(daemon, since=0):
    return int(daemon.wait_log(r"listening address=http://127\.0\.0\.1:(\d+) only=admin", since)[1])


def ask(daemon, path, method="GET", headers=None, at=None, body=None, timeout=DEADLINE):
    connection = http.client.HTTPConnection("127.0.0.1", at or port(daemon), timeout=timeout)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())


def act(daemon, path, what, **headers):
    """What came of it, with the token."""
    fields = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", **headers}
    return ask(daemon, path, "POST", fields, body=json.dumps(what))


def admin_process(daemon):
    """The one process, once there is one."""

    def found():
        processes = [
            child
            for child in psutil.Process(daemon.pid).children()
            if " ".join(child.cmdline()).startswith("superwsgi: admin ")
        ]
        daemon.family.update(processes)
        return processes[0] if len(processes) == 1 else None

    def looked():
        with contextlib.suppress(psutil.Error):
            return found()

    return wait_for(looked, "an admin process", context=lambda: daemon.log)


@contextlib.contextmanager
def stream(daemon):
    """The lines of /api/events, and the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port(daemon), timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", "/api/events")
        response = connection.getresponse()
        yield response


def next_event(response):
    while line := response.readline():
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))
    return None
