"""Real work, where the bench could be wrong about a server: what it takes for right, how it counts."""

from __future__ import annotations

import json
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import psutil
import pytest

from tests.bench.process import BenchError
from tests.bench.real import checks, data, postgres
from tests.bench.scenarios.real import REAL, fits
from tests.bench.servers import OURS, SERVERS, THREADS

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

CORE = min(os.sched_getaffinity(0))


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Of the standard library: a thread a connection."""

    daemon_threads = True
    block_on_close = False


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(app: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]) -> Iterator[int]:
    """The port."""
    server = Server(("127.0.0.1", 0), Quiet)
    server.set_app(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(kind: str, content: bytes, status: str = "200 OK") -> Callable[..., list[bytes]]:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"] or 0))
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
        return [content]

    return app


def refused(check: checks.Check, kind: str, content: bytes, status: str = "200 OK") -> str:
    with serving(answering(kind, content, status)) as port, pytest.raises(BenchError) as error:
        check(port)
    return str(error.value)


def page(messages: list[str], write: Callable[[str], str] = escape) -> bytes:
    rows = "".join(f"<tr><td>{n}</td><td>{write(text)}</td></tr>\n" for n, text in enumerate(messages))
    return f"<table><tr><th>id</th><th>message</th></tr>\n{rows}</table>".encode()


def test_a_right_page_is_right() -> None:
    with serving(answering(checks.HTML, page(data.shown_fortunes()))) as port:
        checks.fortunes(port)
    with serving(answering(checks.JSON, json.dumps(data.PRODUCTS).encode())) as port:
        checks.listed(port)
    with serving(answering(checks.JSON, b'{"id": 3, "number": 3757}')) as port:
        checks.row(port)


def test_fortunes_are_sorted_complete_and_escaped() -> None:
    right = data.shown_fortunes()
    assert "wrong content" in refused(checks.fortunes, checks.HTML, page(right[::-1]))
    assert "wrong content" in refused(checks.fortunes, checks.HTML, page(right[:-1]))
    assert "wrong content" in refused(checks.fortunes, checks.HTML, page(right, write=str))


@pytest.mark.parametrize(
    "content", [b'{"id": 3, "number": 1}', b'{"id": 0, "number": 0}', b"{}", b"no JSON", b""]
)
def test_a_row_that_is_not_in_the_database_is_wrong(content: bytes) -> None:
    assert "wrong" in refused(checks.row, checks.JSON, content)


def test_a_status_and_a_kind_of_content_that_are_wrong_are_named() -> None:
    assert "/json answers 503 Busy" in refused(checks.listed, checks.JSON, b"[]", "503 Busy")
    assert "text/plain, not application/json" in refused(checks.listed, "text/plain", b"[]")


def test_an_upload_that_arrives_in_part_is_wrong() -> None:
    assert "/upload has the wrong content" in refused(checks.uploaded, checks.HTML, b"9999999")


def test_threads_are_set_up_for_work_that_waits_alone() -> None:
    waiting = [name for name, real in REAL.items() if fits(real, SERVERS[THREADS])]
    with_a_database = ["real-row", "real-rows", "real-fortunes", "real-django"]
    assert waiting == [*with_a_database, "real-streams", "real-sleepers"]
    assert all(fits(real, SERVERS[OURS]) for real in REAL.values())


def test_a_postgresql_that_is_missing_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PROGRAMS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="PostgreSQL is missing: apt-get install postgresql"):
        postgres.Postgres(CORE).folder()


def _has_postgres() -> bool:
    try:
        return all(postgres.program(name) for name in ("initdb", "pg_ctl", "psql"))
    except BenchError:
        return False


@pytest.mark.drill
@pytest.mark.skipif(
    not _has_postgres() or not shutil.which("taskset"), reason="no PostgreSQL: apt-get install postgresql"
)
def test_a_postgresql_is_filled_and_gone_afterwards() -> None:
    with postgres.Postgres(CORE) as server:
        folder, tree = server.folder(), server.tree()
        assert server.folder() == folder
        psql = [postgres.program("psql"), "-h", str(folder), "-U", data.USER, "-d", data.DATABASE, "-Atc"]
        query = "SELECT number FROM world WHERE id = 3 UNION ALL SELECT count(*) FROM fortune"
        said = subprocess.run([*psql, query], capture_output=True, text=True, check=True).stdout.split()
        assert said == [str(data.number(3)), str(len(data.FORTUNES))]
        processes = tree.processes()
    assert not folder.exists()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
