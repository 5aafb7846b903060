"""The servers: what pip installs, and the command a user would start each with.

Every one is given the same number of workers and threads where it has them, or starts with its own default;
bjoern and FastPySGI have one thread. For real work each is given what its own documentation advises. Programs
are named without their folder: they come from the bench's own environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
OURS = "superwsgi"
BEFORE = "before"
"""This server as another checkout has it, which `--before` names: what a change has cost."""

THREADS, GREEN = "superwsgi-threads", "superwsgi-green"
"""And as a site is set up whose pages wait: as many threads, or green ones."""

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
    `queue`: which waiting request superwsgi runs next, `queue_age`: for how long it may have waited. `files`:
    a folder whose files are at /static, as well as `app`. `env`: what is added to the server's environment.
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
    queue_age: str | None = None
    files: Path | None = None
    env: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


Advice = Callable[[int], int | None]
"""The threads of a worker by the server's documentation, where so many requests may wait at once for what is
not the CPU; None: what it does by itself."""


def _by_itself(waiting: int) -> None:
    return None


def _one_each(waiting: int) -> int:
    return waiting


@dataclass(frozen=True)
class Server:
    """`supervises`: it runs several workers, reloads at HUP and can write an access log; `tls`: it speaks
    TLS; `pools`: it runs several requests at once in a worker, unasked or as one would ask it to; `earlier`:
    it comes from another checkout; `wsgi`: it runs applications; `advice`: how many threads it has for real
    work. `package` is empty where pip does not install it; `needs`: what else pip has to install; `key`: of
    a site file, without which this superwsgi cannot be run so; `waits`: only for work that waits; `alone`: a
    request is alone in it, whatever one sets.
    """

    package: str
    command: Callable[[Job], list[str]]
    supervises: bool = False
    tls: bool = False
    pools: bool = False
    earlier: bool = False
    wsgi: bool = True
    advice: Advice = _by_itself
    needs: tuple[str, ...] = ()
    key: str = ""
    waits: bool = False
    alone: bool = False

    @property
    def installed(self) -> tuple[str, ...]:
        """What pip installs for it; ours is made of a checkout."""
        own = (self.package,) if self.package not in ("", OURS) else ()
        return (*own, *self.needs)


def _superwsgi(job: Job, key: str = "threads") -> list[str]:
    """`key`: what in a site file says how many requests run at once."""
    site = {
        "bind": f"https://{job.address}" if job.tls else job.address,
        "app": job.app,
        "workers": job.workers,
        "chdir": str(REPOSITORY),
        "log": {"access": str(job.access_log or "off")},
        "tls": job.tls._asdict() if job.tls else {},
        "preload": False if job.preload is False else "auto",
        "limits": {"connections": job.connections, **_queue_age(job)},
        **({key: job.threads} if job.threads else {}),
        **({"queue": job.queue} if job.queue else {}),
        **({"static": {"/static": str(job.files)}} if job.files else {}),
    }
    path = job.folder / "site.yaml"
    path.write_text(json.dumps(site))  # JSON is YAML
    return ["superwsgi", "-c", str(path)]


def _queue_age(job: Job) -> dict[str, str]:
    return {"queue_age": job.queue_age} if job.queue_age else {}


def _superwsgi_green(job: Job) -> list[str]:
    return _superwsgi(job, "green")


def _gunicorn(job: Job) -> list[str]:
    """docs/content/reference/settings.md, `threads`: "generally in the 2-4 x $(NUM_CORES) range"."""
    return _of_gunicorn(job, "gthread", "--threads", str(job.threads or GUNICORN_THREADS))


def _gunicorn_gevent(job: Job) -> list[str]:
    """docs/content/design.md, "Gevent": `-k gevent --worker-connections 1000`; a greenlet a connection."""
    return _of_gunicorn(job, "gevent")


def _of_gunicorn(job: Job, kind: str, *size: str) -> list[str]:
    log = ["--access-logfile", str(job.access_log)] if job.access_log else []
    size = ("--workers", str(job.workers), "--worker-connections", str(job.connections), *size)
    tls = ["--certfile", job.tls.certificate, "--keyfile", job.tls.key] if job.tls else []
    more = [*size, *log, *tls, *(["--preload"] if job.preload else [])]
    return ["gunicorn", "--worker-class", kind, "--bind", job.address, *more, _app(job)]


def _waitress(job: Job) -> list[str]:
    """docs/arguments.rst: `connection_limit` is 100; select() ends at 1,024 descriptors, poll() does not."""
    limit = (
        ["--connection-limit", str(job.connections), "--asyncore-use-poll"] if job.connections > 1000 else []
    )
    return ["waitress-serve", *_threads(job, "--threads"), *limit, "--listen", job.address, _app(job)]


def _granian(job: Job) -> list[str]:
    """Its access log goes to the standard output, which is a file here.

    README.md, "Workers and threads": for pages of about a millisecond "a very limited amount of blocking
    threads usually delivers better throughput"; "Backpressure": higher than the connections that are kept.
    """
    log = ["--access-log"] if job.access_log else []
    size = ["--workers", str(job.workers), *_threads(job, "--blocking-threads")]
    if job.connections > 1000:
        size += ["--backpressure", str(job.connections), "--backlog", str(job.connections)]
    tls = ["--ssl-certificate", job.tls.certificate, "--ssl-keyfile", job.tls.key] if job.tls else []
    files = ["--static-path-route", "/static", "--static-path-mount", str(job.files)] if job.files else []
    how = ["--interface", "wsgi", "--http", "1", *size, "--port", str(job.port), *log, *tls, *files]
    return ["granian", *how, job.app]


def _bjoern(job: Job) -> list[str]:
    """README.rst, "Usage"; it has nothing to set but the address."""
    module, attribute = _app(job).split(":")
    code = f"import bjoern, {module} as m; bjoern.run(m.{attribute}, '127.0.0.1', {job.port})"
    return ["python", "-c", code]


def _fastpysgi(job: Job) -> list[str]:
    """README.md, "Quick start": the command; what else it has to set are limits."""
    return ["fastpysgi", "--host", "127.0.0.1", "--port", str(job.port), _app(job)]


def _uwsgi(job: Job) -> list[str]:
    """WSGIquickstart.rst: `--http :9090 --master --processes 4 --threads 2`."""
    return _of_uwsgi(job, *_threads(job, "--threads"))


def _uwsgi_gevent(job: Job) -> list[str]:
    """Gevent.rst: `--gevent 100`, as many as there may be requests at once, and the monkey patch before the
    application is imported, as the pool of its database has to be patched."""
    return _of_uwsgi(job, "--gevent", str(job.threads or 100), "--gevent-early-monkey-patch")


def _of_uwsgi(job: Job, *size: str) -> list[str]:
    """Its HTTP router, the only one of its modes that keeps more connections open than it has threads, and
    the one that HTTP.rst advises where nothing stands in front of it.

    It closes a connection as asked but does not say so, which a client would take for a broken exchange.
    As a wheel it forgets its virtual environment at HUP, unless told which program to execute.
    """
    log = [] if job.access_log else ["--disable-logging"]
    connection = ["--add-header", "Connection: close"] if job.close else ["--http-keepalive=75"]
    life = ["--master", "--die-on-term", "--need-app", "--binary-path", "python"]
    if job.connections > 1000:
        size = (*size, "--listen", "1024")  # what waits for a worker; ThingsToKnow.rst
    files = ["--static-map", f"/static={job.files}"] if job.files else []  # StaticFiles.rst
    many = ["--workers", str(job.workers), *size, *files]
    return ["uwsgi", "--http", job.address, *connection, *life, *many, *log, "--module", job.app]


_NGINX = """\
worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/nginx-body;
    server {{
        listen {address};
        location = / {{ return 200 "Hello, world!"; }}
        location /static/ {{ alias {files}/; }}
    }}
}}
"""


def _nginx(job: Job) -> list[str]:
    """Debian's, with one worker, as all others have."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    path = job.folder / "nginx.conf"
    path.write_text(
        _NGINX.format(workers=job.workers, folder=job.folder, user=user, address=job.address, files=job.files)
    )
    return ["nginx", "-c", str(path)]


def _threads(job: Job, option: str) -> list[str]:
    return [option, str(job.threads)] if job.threads else []


def _app(job: Job) -> str:
    """With WhiteNoise around it where there are files, for servers that have no way of their own."""
    return "tests.bench.static_app:app" if job.files else job.app


SERVERS = {
    OURS: Server("superwsgi", _superwsgi, supervises=True, tls=True, pools=True),
    "gunicorn": Server(
        "gunicorn", _gunicorn, supervises=True, tls=True, pools=True, advice=lambda waiting: max(waiting, 4)
    ),
    "waitress": Server("waitress", _waitress, pools=True, advice=lambda waiting: max(waiting, 4)),
    "granian": Server("granian", _granian, supervises=True, tls=True, pools=True, advice=_one_each),
    "bjoern": Server("bjoern-binary", _bjoern, alone=True),
    "fastpysgi": Server("fastpysgi", _fastpysgi, alone=True),
    # uWSGI as a wheel: no compiler needed
    "uwsgi": Server("pyuwsgi", _uwsgi, supervises=True, advice=lambda waiting: max(waiting, 2)),
    "nginx": Server("", _nginx, wsgi=False),
}
PEERS = tuple(name for name in SERVERS if name != OURS)
USUAL_PEERS = ("gunicorn", "waitress", "granian", "bjoern", "nginx")
QUICK_PEERS = ("gunicorn", "granian", "bjoern")

SERVERS[BEFORE] = replace(SERVERS[OURS], earlier=True)
SERVERS[THREADS] = replace(SERVERS[OURS], advice=_one_each, waits=True)
SERVERS[GREEN] = replace(
    SERVERS[OURS],
    command=_superwsgi_green,
    advice=lambda waiting: max(waiting, 1000),
    needs=("gevent",),
    key="green",
)
SERVERS["gunicorn-gevent"] = replace(
    SERVERS["gunicorn"],
    command=_gunicorn_gevent,
    needs=("gevent", "packaging"),  # its extra
)
SERVERS["uwsgi-gevent"] = replace(
    SERVERS["uwsgi"], command=_uwsgi_gevent, advice=lambda waiting: max(waiting, 100), needs=("gevent",)
)

OWN = (OURS, THREADS, GREEN, BEFORE)
"""Those that are no peers."""

REAL = (
    THREADS,
    GREEN,
    "gunicorn",
    "gunicorn-gevent",
    "granian",
    "uwsgi",
    "uwsgi-gevent",
    "waitress",
    "bjoern",
    "fastpysgi",
)
"""Beside superwsgi by its defaults, for real work."""

CHOICE = tuple(name for name in SERVERS if name not in (OURS, BEFORE))
