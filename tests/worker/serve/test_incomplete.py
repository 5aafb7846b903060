"""Responses that end before they are complete: what was sent arrives, and then an end that HTTP takes for
none (RFC 9112 section 8): no last chunk, less than Content-Length, or, where only the end of the connection
would mark it, a reset."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import subprocess

import pytest

from superwsgi.config.sections import TlsSettings
from tests.fixtureapps.wsgi_paths import gate, inside
from tests.worker.running import eventually, running

EVENT = b"data: one\n\n"
ENDED = {"stream": b"", "length": b"", "old": ConnectionResetError}
"""What a client reads after what was sent, by its path: nothing, or an error."""


def app(environ, start_response):
    """One event, and then nothing while the gate is closed; at /fails an error."""
    path = environ["PATH_INFO"]
    length = [("Content-Length", "100")] if path.startswith("/length") else []
    start_response("200 OK", [("Content-Type", "text/event-stream"), *length])
    yield EVENT
    inside.release()
    if path.endswith("/fails"):
        raise ValueError("no more events")
    gate.wait(60)


@pytest.fixture(params=["plain", "TLS"])
def served(request, pair, ca):
    """A worker of these settings, and how to reach it."""
    over_tls = request.param == "TLS"
    settings = TlsSettings(certificate=str(pair.certificate), key=str(pair.key)) if over_tls else None

    @contextlib.contextmanager
    def serve(**more):
        gate.clear()
        with running(app, tls=settings, **more) as worker:
            yield worker, lambda: worker.connect(ca.client() if over_tls else None)

    return serve


def ask(client, path):
    """And wait for the event. Some versions of Python take a reset below TLS for a ragged end."""
    if path.startswith("old") and isinstance(client.sock, ssl.SSLSocket):
        client.sock.suppress_ragged_eofs = False
    client.get(f"/{path}", version="1.0" if path.startswith("old") else "1.1")
    client.until(EVENT)
    assert inside.acquire(timeout=60)


def end_of(client):
    """What is read at last: bytes, or the error."""
    whole = b""
    try:
        while piece := client.sock.recv(100):
            whole += piece
    except (ConnectionResetError, ssl.SSLEOFError):
        return ConnectionResetError
    return whole.removeprefix(b"\r\n")


@pytest.mark.parametrize("path", ENDED)
def test_at_its_deadline(served, path):
    with served(request=0.3) as (worker, connect), connect() as client:
        ask(client, path)
        assert end_of(client) == ENDED[path]
        eventually(
            lambda: f'"GET /{path} HTTP/1.{0 if path == "old" else 1}" 504 {len(EVENT)}' in log(worker)
        )
        assert f"sent={len(EVENT)}" in worker.errors


@pytest.mark.parametrize("path", ENDED)
def test_when_the_application_fails(served, path):
    with served() as (worker, connect), connect() as client:
        ask(client, f"{path}/fails")
        assert end_of(client) == ENDED[path]
        assert "no more events" in worker.errors


@pytest.mark.parametrize("path", ENDED)
def test_when_its_worker_ends(served, path):
    with served() as (worker, connect), connect() as client:
        ask(client, path)
        client.send(b"unread")
        worker.loop.stop()
        assert worker.loop.join(0), "its process may end now, and loses no line of the access log"
        assert end_of(client) == ENDED[path]
        eventually(lambda: f" 503 {len(EVENT)}" in log(worker))
        assert "responses broken off" in worker.errors


def test_one_that_is_whole_ends_well(served):
    with served() as (_, connect), connect() as client:
        ask(client, "old")
        gate.set()
        assert end_of(client) == b""


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
@pytest.mark.parametrize(("version", "code"), [("--http1.1", 18), ("--http1.0", 56)])
def test_curl_shows_what_came_and_says_that_it_is_not_all(version, code):
    gate.clear()
    with running(app, request=0.3) as worker:
        host, port = worker.address
        command = ["curl", "--silent", "--no-buffer", version, f"http://{host}:{port}/stream"]
        done = subprocess.run(command, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout) == (code, EVENT)


def log(worker):
    return worker.access_file.read_text()
