"""No descriptors left, for connections or for files: served is who can be, the log says why not more."""

import contextlib

import pytest

from superwsgi.worker.connection.storage import BODIES
from tests.e2e.daemon import COMMAND, wait_for
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

APP = """
    import os

    hoard = []

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/hoard":
            try:
                while True:
                    hoard.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
        elif path == "/release":
            while hoard:
                os.close(hoard.pop())
        elif path == "/file":
            start_response("200 OK", [])
            return environ["wsgi.file_wrapper"](open(__file__, "rb") if not hoard else hoarded())
        start_response("200 OK", [])
        return [str(len(environ["wsgi.input"].read())).encode()]

    def hoarded():
        \"\"\"A file for which a descriptor had to be given up.\"\"\"
        os.close(hoard.pop())
        return open(__file__, "rb")
"""


def start(daemon, descriptors, **limits):
    daemon.write("app.py", APP)
    daemon.site(workers=1, threads=2, limits=limits)
    script = f'ulimit -n {descriptors}; exec "$@"'
    daemon.spawn(["sh", "-c", script, "sh", *COMMAND, "-c", "site.yaml"])
    return daemon


def test_the_limit_is_raised_as_far_as_connections_need(daemon):
    site = start(daemon, "-S 64")
    assert "out of reach" not in site.log
    clients = [site.connect() for _ in range(200)]
    for client in clients:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    for client in clients:
        client.close()


def test_more_connections_than_descriptors(daemon):
    """Those that are idle make room; the operator is told what the site file promises in vain."""
    site = start(daemon, 100, connections=400)
    assert "limits.connections out of reach" in site.log
    clients = [site.connect() for _ in range(150)]
    for client in clients[:40]:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
    site.wait_log("no more connections")
    assert site.get().status == 200
    assert site.log.count("no more connections") == 1
    for client in clients:
        client.close()
    assert site.get().status == 200


@pytest.fixture
def exhausted(daemon):
    """A daemon whose application has taken every descriptor, and a connection to it."""
    site = start(daemon, 200)
    with Wire(site.connect()) as wire:
        assert wire.ask("/hoard").status == 200
        yield site, wire


def test_connections_wait_until_there_are_descriptors(exhausted):
    site, wire = exhausted
    waiting = [site.connect() for _ in range(5)]
    site.wait_log("connection not accepted")
    assert wire.ask().status == 200
    wire.ask("/release")
    for client in waiting:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in client.recv(4096)
        client.close()
    assert site.log.count("connection not accepted") == 1


def test_a_body_that_needs_a_file_is_a_503(exhausted):
    site, wire = exhausted
    large = b"x" * (BODIES + 300_000)
    answer = wire.ask(method="POST", body=large)
    assert answer.status == 503
    assert "retry-after" in answer.fields
    site.wait_log("body could not be stored")
    wire.ended()
    wait_for(lambda: _asks(site, "/release"), "answer")
    assert site.get("/", "POST", body=large).text == str(len(large))


def _asks(site, path):
    """Whether there is a descriptor for one more connection: the last was closed."""
    with contextlib.suppress(OSError):
        return site.get(path).status == 200


def test_a_file_is_sent_though_it_cannot_be_kept_open(exhausted):
    site, wire = exhausted
    answer = wire.ask("/file")
    assert answer.status == 200
    assert answer.body == (site.folder / "app.py").read_bytes()
