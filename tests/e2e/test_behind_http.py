"""Behind nginx and HAProxy that speak HTTP, as config/ has them: what clients get, what applications hear."""

import contextlib
import hashlib
import json
import socket

import psutil
import pytest

from tests.e2e.behind import NAME, Behind
from tests.e2e.wire import Wire, request

pytestmark = pytest.mark.drill

BIG = 50 << 20
SOON = 2.0
"""Seconds that a quick request may take on a loaded machine."""

LIES = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: gopher",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    "Forwarded: for=6.6.6.6;host=evil.example",
    "X-Real-IP: 6.6.6.6",
    "X-Request-ID: evil-666",
    "X-Script-Name: /evil",
]


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def site(tmp_path_factory, request):
    behind = Behind(tmp_path_factory.mktemp("site"))
    try:
        yield getattr(behind, request.param)()
    finally:
        behind.clean_up()


def files_open(site):
    return sum(psutil.Process(pid).num_fds() for pid in site.daemon.workers())


@contextlib.contextmanager
def slow_readers(site, path):
    """20 clients that have read the beginning of a large response."""
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            wire = stack.enter_context(Wire(site.front.connect()))
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.send(request(path))
            assert wire.sock.recv(100)
        yield


class TestClients:
    @pytest.mark.parametrize("port", ["80", "443"])
    def test_what_they_are_is_the_fronts_word_alone(self, site, port):
        sock = site.front.connect(port, source="127.0.0.5")
        if port == "443":
            sock = site.authority.client().wrap_socket(sock, server_hostname=NAME)
        with Wire(sock) as wire:
            answer = wire.ask("/echo/path%20?query", fields=LIES)
        said = json.loads(answer.body)
        assert said["REMOTE_ADDR"] == "127.0.0.5"
        assert said["wsgi.url_scheme"] == {"80": "http", "443": "https"}[port]
        assert said["HTTP_HOST"] == said["SERVER_NAME"] == "example.org"
        assert said["SERVER_PORT"] == str(site.front.address(port)[1])
        assert (said["PATH_INFO"], said["QUERY_STRING"]) == ("/path ", "query")
        assert not [value for value in said.values() if value == "666" or "6.6.6" in value or "evil" in value]
        assert answer.fields["x-request-id"] == said["HTTP_X_REQUEST_ID"]
        site.front.wait_log(f"id={said['HTTP_X_REQUEST_ID']}")

    def test_connections_to_the_site_are_kept(self, site):
        site.quick(2)
        before = files_open(site)
        site.quick(40)
        assert files_open(site) - before < 5


class TestLarge:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_upload(self, site, chunked):
        piece = bytes(range(256)) * 256
        pieces = [piece] * (BIG // len(piece))
        body = iter(pieces) if chunked else b"".join(pieces)
        with site.client() as client:
            client.request("POST", "/echo", body)
            said = json.loads(client.getresponse().read())
        assert said["body"]["size"] == BIG
        assert said["body"]["sha256"] == hashlib.sha256(b"".join(pieces)).hexdigest()

    def test_too_large_an_upload(self, site):
        with Wire(site.front.connect()) as wire:
            wire.send(request("/echo", "POST", [f"Content-Length: {(100 << 20) + 1}"]))
            assert wire.answer("POST").status == 413

    @pytest.mark.parametrize("path", ["/file", "/whole", "/pieces"])
    def test_download(self, site, path):
        with Wire(site.front.connect()) as wire:
            assert len(wire.ask(path).body) == BIG
            assert wire.ask().status == 200

    @pytest.mark.parametrize("path", ["/file?unbuffered", "/whole?unbuffered"])
    def test_slow_readers_hold_up_nobody(self, site, path):
        with slow_readers(site, path):
            assert site.quick(50) < SOON

    def test_a_response_that_must_not_wait_for_its_end(self, site):
        with Wire(site.front.connect()) as wire:
            wire.send(request("/rest/60?unbuffered"))
            received = b""
            while b"begun" not in received:
                received += wire.sock.recv(1000)


def test_no_thread_waits_for_slow_readers_where_nginx_takes_what_an_application_yields(behind):
    behind.nginx()
    with slow_readers(behind, "/pieces"):
        assert behind.quick(50) < SOON
