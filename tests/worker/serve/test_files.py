"""Files that are not what their size says: whose fault that is, and what is said of it, over TCP and TLS."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from superwsgi.config.sections import TlsSettings
from tests.worker.running import eventually, running

SIZE = 64 << 20
ATTRIBUTES = [
    "/sys/class/net/lo/mtu",
    "/sys/kernel/uevent_seqnum",
    "/sys/kernel/mm/transparent_hugepage/enabled",
]


@pytest.fixture(params=["TCP", "TLS"])
def secure(request, pair, ca):
    """What `running` and `connect` have to be told."""
    if request.param == "TCP":
        return TlsSettings(), None
    return TlsSettings(certificate=str(pair.certificate), key=str(pair.key)), ca.client()


@pytest.fixture
def large(tmp_path):
    """A large file; the disk has nothing of it."""
    path = tmp_path / "large file"
    path.touch()
    os.truncate(path, SIZE)
    return path


def sends(path, *fields):
    def app(environ, start_response):
        if environ["PATH_INFO"] != "/file":
            start_response("200 OK", [])
            return [b"hello"]
        start_response("200 OK", list(fields))
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    return app


def told(worker, path):
    """The line in the error log, and the one in the access log."""
    line = eventually(lambda: next((x for x in worker.errors.splitlines() if " error " in x), ""))
    assert str(path) in line
    assert "client" not in line
    assert "Traceback" not in worker.errors
    eventually(lambda: '"GET /file HTTP/1.1" 200 ' in worker.access_file.read_text())
    return line


class TestAFileThatShrinks:
    def test_while_it_is_sent_on(self, secure, large):
        tls, context = secure
        with running(sends(large), tls=tls) as worker, worker.connect(context) as client:
            client.get("/file")
            assert f"Content-Length: {SIZE}".encode() in client.until(b"\r\n\r\n")
            eventually(lambda: worker.counters.busy == 0)
            os.truncate(large, 100)
            assert len(client.rest()) < SIZE
            assert "response broken off" in told(worker, large)
            assert worker.counters.connections == 0

    def test_to_where_nothing_is_left_of_it(self, secure, large):
        tls, context = secure
        with running(sends(large), tls=tls) as worker, worker.connect(context) as client:
            client.get("/file").until(b"\r\n\r\n")
            eventually(lambda: worker.counters.busy == 0)
            os.truncate(large, 0)
            client.rest()
            told(worker, large)
            with worker.connect(context) as other:
                assert other.get().response()[2] == b"hello"

    def test_where_there_is_no_descriptor_to_keep_it_open_with(self, secure, large):
        """Then the application's thread reads it."""
        tls, context = secure
        with running(sends(large), tls=tls) as worker, worker.connect(context) as client:
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            client.get().response()
            with open(large) as free:
                resource.setrlimit(resource.RLIMIT_NOFILE, (free.fileno() + 1, limits[1]))
            try:
                client.get("/file").until(b"\r\n\r\n")
                os.truncate(large, 100)
                client.rest()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            told(worker, large)


def test_a_file_without_what_its_size_promises(secure):
    path = next((path for path in ATTRIBUTES if os.access(path, os.R_OK)), None)
    if path is None:
        pytest.skip("no sysfs, whose files are a page by their size and less by their content")
    tls, context = secure
    with running(sends(path), tls=tls) as worker, worker.connect(context) as client:
        client.get("/file").until(b"\r\n\r\n")
        assert client.rest() == Path(path).read_bytes()
        told(worker, Path(path).resolve())


def test_a_file_that_does_not_know_its_size(secure):
    """As those in /proc, which sendfile(2) refuses."""
    tls, context = secure
    with running(sends("/proc/self/mounts"), tls=tls) as worker, worker.connect(context) as client:
        status, head, body = client.get("/file").response()
        assert (status, body) == (200, Path("/proc/self/mounts").read_bytes())
        assert "chunked" in head


def test_a_file_with_less_than_the_length_that_the_application_said(secure, tmp_path):
    path = tmp_path / "short"
    path.write_bytes(b"short")
    tls, context = secure
    app = sends(path, ("Content-Length", "10"))
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.get("/file").until(b"\r\n\r\n")
        assert client.rest() == b"short"
        assert "shorter than its Content-Length 10" in told(worker, path)


@pytest.mark.parametrize("size", [0, 1, 1 << 20])
def test_a_file_that_is_what_its_size_says(secure, tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(b"x" * size)
    tls, context = secure
    with running(sends(path), tls=tls) as worker, worker.connect(context) as client:
        for _ in range(2):
            status, head, body = client.get("/file").response()
            assert (status, body) == (200, b"x" * size)
            assert f"Content-Length: {size}" in head
        assert not worker.errors
