"""The servers: what pip installs, and the command a user would start each with.

Every one is given the same number of workers and threads where it has them, or starts with its own default;
bjoern and FastPySGI have one thread. Programs are named without their folder: they come from the bench's
own environment.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
OURS = "superwsgi"
BEFORE = "before"
"""This server as another checkout has it, which `--before` names: what a change has cost."""

GUNICORN_THREADS = 64
"""Where each server has as many as it likes: Gunicorn's own default is one, which nobody means by gthread."""


class Pair(NamedTuple):
    """PEM files of a certificate and its key."""

    certificate: str
    key: str


@dataclass(frozen=True)
class Job:
    """What a server is asked to run: an `app` as module:attribute, on a port of 127.0.0.1.

    `threads`, `preload` (whether to import it before the fork): None for what the server does by itself.
    `queue`: which waiting request superwsgi runs next.
    """

    app: str
    port: int
    folder: Path
    workers: int = 1
    threads: int | None = 8
    close: bool = False
    access_log: Path | None = None
    tls: Pair | None = None
    preload: bool | None = None
    connections: int = 1000
    queue: str | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Server:
    """`supervises`: it runs several workers, reloads at HUP and can write an access log; `tls`: it speaks
    TLS; `pools`: it runs several requests at once in a worker, unasked or as one would ask it to; `earlier`:
    it comes from another checkout."""

    package: str
    command: Callable[[Job], list[str]]
    supervises: bool = False
    tls: bool = False
    pools: bool = False
    earlier: bool = False


def _superwsgi(job: Job) -> list[str]:
    site = {
        "bind": f"https://{job.address}" if job.tls else job.address,
        "app": job.app,
        "workers": job.workers,
        "chdir": str(REPOSITORY),
        "log": {"access": str(job.access_log or "off")},
        "tls": job.tls._asdict() if job.tls else {},
        "preload": False if job.preload is False else "auto",
        "limits": {"connections": job.connections},
        **({"threads": job.threads} if job.threads else {}),
        **({"queue": job.queue} if job.queue else {}),
    }
    path = job.folder / "site.yaml"
    path.write_text(json.dumps(site))  # JSON is YAML
    return ["superwsgi", "-c", str(path)]


def _gunicorn(job: Job) -> list[str]:
    log = ["--access-logfile", str(job.access_log)] if job.access_log else []
    size = ["--workers", str(job.workers), "--threads", str(job.threads or GUNICORN_THREADS)]
    size += ["--worker-connections", str(job.connections)]
    tls = ["--certfile", job.tls.certificate, "--keyfile", job.tls.key] if job.tls else []
    more = [*size, *log, *tls, *(["--preload"] if job.preload else [])]
    return ["gunicorn", "--worker-class", "gthread", "--bind", job.address, *more, job.app]


def _waitress(job: Job) -> list[str]:
    return ["waitress-serve", *_threads(job, "--threads"), "--listen", job.address, job.app]


def _granian(job: Job) -> list[str]:
    """Its access log goes to the standard output, which is a file here."""
    log = ["--access-log"] if job.access_log else []
    size = ["--workers", str(job.workers), *_threads(job, "--blocking-threads")]
    tls = ["--ssl-certificate", job.tls.certificate, "--ssl-keyfile", job.tls.key] if job.tls else []
    how = ["--interface", "wsgi", "--http", "1", *size, "--port", str(job.port), *log, *tls]
    return ["granian", *how, job.app]


def _bjoern(job: Job) -> list[str]:
    module, attribute = job.app.split(":")
    code = f"import bjoern, {module} as m; bjoern.run(m.{attribute}, '127.0.0.1', {job.port})"
    return ["python", "-c", code]


def _fastpysgi(job: Job) -> list[str]:
    return ["fastpysgi", "--host", "127.0.0.1", "--port", str(job.port), job.app]


def _uwsgi(job: Job) -> list[str]:
    """Its HTTP router, the only one of its modes that keeps more connections open than it has threads.

    It closes a connection as asked but does not say so, which a client would take for a broken exchange.
    As a wheel it forgets its virtual environment at HUP, unless told which program to execute.
    """
    size = ["--workers", str(job.workers), *_threads(job, "--threads")]
    log = [] if job.access_log else ["--disable-logging"]
    connection = ["--add-header", "Connection: close"] if job.close else ["--http-keepalive=75"]
    life = ["--master", "--die-on-term", "--need-app", "--binary-path", "python"]
    return ["uwsgi", "--http", job.address, *connection, *life, *size, *log, "--module", job.app]


def _threads(job: Job, option: str) -> list[str]:
    return [option, str(job.threads)] if job.threads else []


SERVERS = {
    OURS: Server("superwsgi", _superwsgi, supervises=True, tls=True, pools=True),
    "gunicorn": Server("gunicorn", _gunicorn, supervises=True, tls=True, pools=True),
    "waitress": Server("waitress", _waitress, pools=True),
    "granian": Server("granian", _granian, supervises=True, tls=True, pools=True),
    "bjoern": Server("bjoern-binary", _bjoern),
    "fastpysgi": Server("fastpysgi", _fastpysgi),
    "uwsgi": Server("pyuwsgi", _uwsgi, supervises=True),  # uWSGI as a wheel: no compiler needed
}
PEERS = tuple(name for name in SERVERS if name != OURS)
SERVERS[BEFORE] = replace(SERVERS[OURS], earlier=True)
USUAL_PEERS = ("gunicorn", "waitress", "granian", "bjoern")
QUICK_PEERS = ("gunicorn", "granian", "bjoern")
