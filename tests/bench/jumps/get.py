"""One GET, with the access log on: on a connection that is kept alive, and on a new one.

A worker serves `app` below, which has the worker's threads recorded and tells what they did. What stands
between two polls belongs to one event, so a GET is what happened between the polls around it.
"""

from __future__ import annotations

import http.client
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.bench.jumps.record import Recorder, report
from tests.e2e.daemon import Daemon

_RECORDER = Recorder()
_REPOSITORY = Path(__file__).parents[3]

Step = tuple[int, str]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Each request leaves its path as a mark; `/steps` answers what was recorded until then."""
    _RECORDER.mark(environ["PATH_INFO"])
    content = json.dumps(_RECORDER.steps()).encode() if environ["PATH_INFO"] == "/steps" else b"Hello, world!"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
    return [content]


def recorded_app() -> Callable[..., Iterable[bytes]]:
    """The application's factory, called before the worker starts its threads."""
    _RECORDER.start()
    return app


def main() -> None:
    steps = _record()
    print(report("GET on a connection that is kept alive", between(steps, "/before", "/kept")))
    print(report("GET on a new connection", between(steps, "/kept", "/new")))


def between(steps: list[Step], before: str, path: str) -> list[str]:
    """The files of whichever threads work on connections, from the poll after the request for `before` up to
    the one after the request for `path`."""
    names = [name for _, name in steps]
    workers = {thread for thread, name in steps if name.startswith("#/")}
    first = names.index("#poll", names.index(f"#{before}"))
    last = names.index("#poll", names.index(f"#{path}"))
    return [name for thread, name in steps[first:last] if thread in workers and not name.startswith("#")]


def _record() -> list[Step]:
    """Ask a worker for a few pages, and then for what it did."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        daemon.site(
            app="tests.bench.jumps.get:recorded_app()", workers=1, preload=False, log={"access": "access.log"}
        )
        daemon.start(env={"PYTHONPATH": str(_REPOSITORY)})
        try:
            kept, new = daemon.client(), daemon.client()
            for path in ("/first", "/second", "/before", "/kept"):
                _get(kept, path)
            _get(new, "/new")
            steps: list[Step] = [tuple(step) for step in json.loads(_get(new, "/steps"))]
            kept.close()
            new.close()
            return steps
        finally:
            daemon.stop()


def _get(connection: http.client.HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers={"User-Agent": "jumps", "Accept": "*/*"})
    return connection.getresponse().read()
