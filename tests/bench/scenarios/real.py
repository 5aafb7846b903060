"""Real work: pages with a database, uploads, streams and files; each server as its own documentation advises.

What a server answers is looked at before the load. One that cannot do a kind of work, or does it wrongly, is
named with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench import wrk
from tests.bench.apps import GREETING
from tests.bench.bench import Bench, Sample, Scenario
from tests.bench.environment import FILE
from tests.bench.process import BenchError, Tree, free_port
from tests.bench.real import checks
from tests.bench.real.checks import UPLOAD
from tests.bench.real.data import POOL, POSTGRES
from tests.bench.scenarios import streams, work
from tests.bench.servers import Job, Server

FLASK, DJANGO, PLAIN = "tests.bench.real.flask_app:app", "tests.bench.real.django_app:app", "tests.bench.apps"
SLEEPERS = 1000
MANY = 100
"""Requests that wait at once and are too many for who answers one at a time."""


@dataclass(frozen=True)
class Real:
    """`waiting`: requests that may wait at once for something else than the CPU. `check`: of its page."""

    title: str
    app: str
    check: Callable[[Bench], checks.Check]
    path: str = "/"
    waiting: int = 1
    connections: int = 32
    upload: int = 0
    database: bool = False
    files: bool = False
    streams: bool = False

    @property
    def waits(self) -> bool:
        """A site would be set up for it: for its pool of connections, streams or sleepers."""
        return self.database or self.waiting >= MANY

    def job(self, server: Server, bench: Bench) -> Job:
        more = work.served(bench) if self.files else {}
        if self.database:
            more["env"] = {POSTGRES: str(bench.postgres.folder())}
        return Job(
            self.app,
            free_port(),
            bench.folder,
            threads=server.advice(self.waiting),
            connections=max(1000, 3 * self.connections),
            **more,
        )


def _says(path: str, kind: str, content: bytes) -> Callable[[Bench], checks.Check]:
    return lambda bench: checks.says(path, kind, content)


def _is(check: checks.Check) -> Callable[[Bench], checks.Check]:
    return lambda bench: check


_FILE = f"/static/{FILE}"
_DATABASE = {"database": True, "waiting": POOL}

REAL = {
    "real-json": Real("Flask: 20 products as JSON", FLASK, _is(checks.listed), "/json"),
    "real-row": Real("Flask: one row of PostgreSQL", FLASK, _is(checks.row), "/row", **_DATABASE),
    "real-rows": Real("Flask: twenty rows of PostgreSQL", FLASK, _is(checks.rows), "/rows", **_DATABASE),
    "real-fortunes": Real(
        "Flask: fortunes, a query, a sort and a template",
        FLASK,
        _is(checks.fortunes),
        "/fortunes",
        **_DATABASE,
    ),
    "real-django": Real("Django: fortunes", DJANGO, _is(checks.fortunes), "/fortunes", **_DATABASE),
    "real-upload": Real(
        "Flask: upload of 10 MB",
        FLASK,
        _is(checks.uploaded),
        "/upload",
        waiting=8,
        connections=8,
        upload=len(UPLOAD),
    ),
    "real-streams": Real(
        "Event streams, an event a second each",
        streams.BARE,
        _says("/", "text/plain", GREETING),
        "/ticks",
        waiting=streams.STREAMS,
        connections=streams.STREAMS,
        streams=True,
    ),
    "real-sleepers": Real(
        "Pages that wait 100 ms",
        f"{PLAIN}:long_sleep",
        _says("/", "text/plain", GREETING),
        waiting=SLEEPERS,
        connections=SLEEPERS,
    ),
    "real-static": Real(
        "10 KB file",
        f"{PLAIN}:hello",
        lambda bench: checks.file(_FILE, bench.environment.files / FILE),
        _FILE,
        files=True,
    ),
}


def measure(real: Real, server: Server, bench: Bench) -> Sample:
    if server.alone and real.waiting >= MANY:
        raise BenchError(f"it answers one request at a time: {real.waiting:,} cannot wait together")
    job = real.job(server, bench)
    with bench.serving(server, job) as tree:
        real.check(bench)(job.port)
        if real.streams:
            return streams.follow(tree, job.port, real.path, real.connections, bench)
        return _requests(real, tree, job.port, bench)


def _requests(real: Real, tree: Tree, port: int, bench: Bench) -> Sample:
    load = partial(
        wrk.run,
        port,
        connections=real.connections,
        core=bench.cores.load,
        path=real.path,
        upload=real.upload,
    )
    helpers = [bench.postgres.tree()] if real.database else []
    return work.under_load(tree, load, bench.pace, *helpers)


def prepare(real: Real, bench: Bench) -> None:
    if real.database:
        bench.postgres.folder()


def fits(real: Real, server: Server) -> bool:
    return (server.wsgi or real.files) and (real.waits or not server.waits)


def title(real: Real) -> str:
    clients = "streams" if real.streams else "keep-alive connections"
    return f"{real.title}: 1 worker, {real.connections:,} {clients}"


SCENARIOS = {
    name: Scenario(
        title(real),
        streams.COLUMNS if real.streams else work.COLUMNS,
        partial(measure, real),
        partial(fits, real),
        partial(prepare, real),
    )
    for name, real in REAL.items()
}
