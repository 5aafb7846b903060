"""TLS by the worker's loop, over real sockets: what clients get, and what the application is told."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from superwsgi.config.sections import Limits, NamedCertificate, Proxy, TlsSettings
from superwsgi.tls.interface import load
from tests.certificates import Authority, with_bytes_for_a_name
from tests.fixtureapps.wsgi_paths import app, content, gate, inside
from tests.worker.running import DEADLINE, eventually, running

GREETING = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def tls(pair):
    return TlsSettings(certificate=str(pair.certificate), key=str(pair.key))


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def context(request, ca):
    context = ca.client()
    context.minimum_version = context.maximum_version = request.param
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Debian's Python sets it
    return context


def test_many_requests_on_one_connection(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        for _ in range(20):
            assert client.get().response()[::2] == (200, b"hello")
        assert worker.counters.connections == worker.counters.counts.accepted == 1


def test_pipelined_requests(tls, context):
    requests = b"".join(
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n%02d" % n for n in range(60)
    )
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.send(requests)
        assert [client.response()[2] for _ in range(60)] == [b"%02d" % n for n in range(60)]


def test_a_request_byte_by_byte(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        for n in range(len(GREETING)):
            client.send(GREETING[n : n + 1])
        assert client.response()[2] == b"hello"


@pytest.mark.parametrize("size", [0, 10, 16384, 16385, 200_000, 20_000_000])
def test_bodies_come_back(tls, context, size):
    body = os.urandom(size)
    limits = Limits(body_memory=100_000)
    with running(app, tls=tls, limits=limits) as worker, worker.connect(context) as client:
        for _ in range(2):
            client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body)
            client.until(b"\r\n\r\n")
            assert client.rest_of(size) == body


@pytest.mark.parametrize("path", ["/big", "/pieces"])
def test_a_large_response_to_a_slow_reader(tls, context, path):
    with running(app, tls=tls, threads=1) as worker, worker.connect(context) as slow:
        slow.get(path)
        slow.until(b"\r\n\r\n")
        eventually(lambda: worker.counters.busy == 0)
        with worker.connect(context) as other:
            assert other.get().response()[0] == 200
        assert slow.rest_of(50 << 20) == b"x" * (50 << 20)
        assert slow.get().response()[2] == b"hello"


def test_a_file(tls, context):
    expected = content()
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        for _ in range(2):
            client.get("/file").until(b"\r\n\r\n")
            assert client.rest_of(len(expected)) == expected


def test_pieces_are_sent_as_they_come(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.get("/piece")
        assert client.until(b"first")
        gate.set()
        assert client.until(b"0\r\n\r\n").endswith(b"second\r\n")


def test_continue_is_said_before_the_body_is_sent(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.get("/echo", "Content-Length: 5", "Expect: 100-continue", method="POST")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        assert client.send(b"hello").response()[2] == b"hello"


def test_what_is_sent_again_may_be_cut_otherwise(tls, ca):
    """Behind a full socket, bytes may be kept in several places, one of them with few."""
    ours, theirs = socket.socketpair()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ca.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = load(tls).accept(ours, {})
    other = threading.Thread(target=agree, args=(session, theirs, incoming, outgoing))
    other.start()
    server.feed(ours.recv(65536))
    while not server.handshake():
        server.feed(ours.recv(65536))
    other.join()
    ours.setblocking(False)
    data, received = os.urandom(2 << 20), bytearray()
    sizes, position = itertools.cycle((1, 200_000, 7, 16384, 65_537, 3, 1 << 20)), 0
    while len(received) < len(data):
        with contextlib.suppress(BlockingIOError):
            while position < len(data):
                position += server.send(memoryview(data)[position : position + next(sizes)])
        with contextlib.suppress(ssl.SSLWantReadError):
            incoming.write(theirs.recv(30_000))
            while piece := session.read(65536):
                received += piece
    assert received == data
    ours.close()
    theirs.close()


# Ends.


def test_the_end_is_said(tls, context):
    """A client that is not told so takes a response without length for cut off (RFC 8446 section 6.1)."""
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.sock.suppress_ragged_eofs = False
        assert client.get(version="1.0").rest().endswith(b"hello")


def test_a_response_that_breaks_off_is_not_ended(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.sock.suppress_ragged_eofs = False
        client.get("/half", version="1.0").until(b"half")
        with pytest.raises(OSError, match=r"EOF|reset"):
            client.sock.recv(1)


@pytest.mark.parametrize("busy", [False, True])
def test_a_client_that_says_goodbye_is_answered_and_left(tls, context, busy):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        if busy:
            client.get("/wait")
            assert inside.acquire(timeout=60)
        threading.Timer(0.1, gate.set).start()
        with pytest.raises(OSError, match="application data") if busy else contextlib.nullcontext():
            client.sock.unwrap()
        eventually(lambda: worker.counters.connections == 0)


def test_a_goodbye_right_behind_a_request(tls, ca):
    """Both arrive in one piece, and the connection stays open for writing."""
    with running(app, tls=tls, keepalive=30) as worker:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = ca.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(worker.address, 10) as sock:
            agree(session, sock, incoming, outgoing)
            session.write(GREETING)
            with pytest.raises(ssl.SSLWantReadError):
                session.unwrap()
            sock.sendall(outgoing.read())
            while data := sock.recv(65536):
                incoming.write(data)
            assert session.read().endswith(b"hello")


def agree(session, sock, incoming, outgoing):
    while True:
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
        else:
            sock.sendall(outgoing.read())
            return


def test_garbage_in_the_middle(tls, ca):
    with running(app, tls=tls) as worker:
        with worker.connect(ca.client()) as client:
            client.get().response()
            raw = socket.socket(fileno=os.dup(client.sock.fileno()))
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            raw.close()
            with pytest.raises(ssl.SSLError):
                client.sock.recv(1)
        eventually(lambda: worker.counters.connections == 0)
        assert worker.errors == ""


def test_garbage_is_answered_with_an_alert_however_much_of_it_there_is(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        client.get().response()
        raw = socket.socket(fileno=os.dup(client.sock.fileno()))
        raw.sendall(b"\x17\x03\x03\x01\x00" + os.urandom(500_000))
        raw.close()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            client.sock.recv(1)


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="Python's clients cannot renegotiate, openssl's can"
)
def test_a_refused_renegotiation_is_told_at_once(tls):
    with running(app, tls=tls) as worker:
        client = subprocess.Popen(
            ["openssl", "s_client", "-tls1_2", "-msg", "-connect", "{}:{}".format(*worker.address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = client.communicate(b"R\n", timeout=DEADLINE)  # renegotiate
        assert b"warning no_renegotiation" in said
        assert client.returncode == 1
        assert worker.counters.requests == 0
        assert worker.errors == ""


# Handshakes.


@pytest.mark.parametrize(
    "data", [GREETING, b"GET", b"\x80\x2e\x01\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\n"]
)
def test_a_client_that_speaks_no_tls_is_told_so(tls, data):
    with running(app, tls=tls) as worker:
        with worker.connect() as client:
            answer = client.send(data).rest()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"Connection: close\r\n" in answer
        assert b"this port speaks TLS: use https://" in answer
        eventually(lambda: worker.counters.connections == 0)
        assert worker.errors == ""


def test_plain_http_that_asks_for_a_head_is_answered_by_one(tls):
    with running(app, tls=tls) as worker:
        with worker.connect() as client:
            head, _, body = client.get("/asked", method="HEAD").rest().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert body == b""
        eventually(lambda: '"HEAD /asked HTTP/1.1" 400 -' in worker.access_file.read_text())


def test_an_https_target_is_answered(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        assert client.get("https://test/").response()[2] == b"hello"


def test_a_failed_handshake_is_a_debug_line(tls, ca):
    other = ca.client()
    other.maximum_version = ssl.TLSVersion.TLSv1_2
    other.set_ciphers("AES256-SHA")
    with running(app, tls=tls, level="debug") as worker:
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
            worker.connect(other)
        with worker.connect() as client:
            client.send(b"\x16\x03\x01\x00\x05hello").rest()
        lines = eventually(lambda: worker.errors).splitlines()
        assert all("handshake failed" in line for line in lines)


def test_a_handshake_that_takes_too_long(tls):
    with running(app, tls=tls, head=0.3) as worker:
        with worker.connect() as silent, worker.connect() as slow:
            slow.send(b"\x16\x03\x01\x02\x00\x01")
            assert silent.rest() == slow.rest() == b""
        assert worker.counters.connections == 0


def test_slow_handshakes_hold_no_thread(tls, ca):
    with running(app, tls=tls, threads=1) as worker:
        slow = [worker.connect().send(b"\x16\x03") for _ in range(60)]
        for _ in range(20):
            for client in slow:
                client.send(b"\x01")
            with worker.connect(ca.client()) as client:
                assert client.get().response()[0] == 200
        for client in slow:
            client.sock.close()


def test_many_handshakes_at_once(tls, ca):
    context = ca.client()
    answers = []

    def ask():
        with worker.connect(context) as client:
            answers.append(client.get().response()[2])

    with running(app, tls=tls) as worker:
        clients = [threading.Thread(target=ask) for _ in range(100)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert answers == [b"hello"] * 100


def test_protocols(tls, ca):
    with running(app, tls=tls) as worker:
        for offered, chosen in (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"), (("h2",), None):
            with worker.connect(ca.client(None, *offered)) as client:
                assert client.sock.selected_alpn_protocol() == chosen
                assert client.get().response()[0] == 200


def test_the_oldest_version(tls, ca):
    newest = TlsSettings(certificate=tls.certificate, key=tls.key, minimum="1.3")
    old = ca.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with running(app, tls=newest) as worker:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            worker.connect(old)
        with worker.connect(ca.client()) as client:
            assert client.sock.version() == "TLSv1.3"


def test_a_session_is_resumed(tls, context):
    with running(app, tls=tls) as worker:
        with worker.connect(context) as first:
            first.get().response()
            session = first.sock.session
        raw = socket.create_connection(worker.address, 10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as again:
            assert again.session_reused


def test_behind_a_proxy_that_says_whose_connection_it_is(tls, ca):
    peers = Proxy(trusted=("127.0.0.1/32",), protocol=True)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ca.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    outgoing.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n")  # in one piece with the handshake's first
    with running(app, tls=tls, peers=peers) as worker:
        with socket.create_connection(worker.address, 10) as sock:
            agree(session, sock, incoming, outgoing)
            session.write(b"GET /said HTTP/1.0\r\nHost: x\r\n\r\n")
            sock.sendall(outgoing.read())
            while data := sock.recv(65536):
                incoming.write(data)
        said = json.loads(session.read(65536).partition(b"\r\n\r\n")[2])
        assert (said["REMOTE_ADDR"], said["SERVER_PORT"]) == ("192.0.2.1", "443")
        assert (said["wsgi.url_scheme"], said["SSL_TLS_SNI"]) == ("https", "localhost")


def test_a_client_that_closes_its_side_is_still_answered(tls, ca):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ca.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with running(app, tls=tls) as worker:
        with socket.create_connection(worker.address, 10) as sock:
            agree(session, sock, incoming, outgoing)
            session.write(GREETING)
            sock.sendall(outgoing.read())
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                incoming.write(data)
        assert session.read(65536).endswith(b"hello")


# Names.


@pytest.mark.parametrize(
    ("name", "common_name"),
    [
        ("localhost", "first"),
        (None, "first"),
        ("unknown.example.com", "first"),
        ("shop.example.com", "shop"),
        ("SHOP.example.com", "shop"),
        ("api.example.com", "wild"),
        ("a.api.example.com", "first"),
        ("given.example.org", "given"),
    ],
)
def test_the_certificate_goes_by_the_name(ca, name, common_name):
    first = ca.pair("localhost", "unknown.example.com", common_name="first")
    shop = ca.pair("shop.example.com", common_name="shop")
    wild = ca.pair("*.example.com", common_name="wild")
    given = ca.pair("other.example.org", common_name="given")
    tls = TlsSettings(
        certificate=str(first.certificate),
        key=str(first.key),
        sni=(
            NamedCertificate(certificate=str(wild.certificate), key=str(wild.key)),
            NamedCertificate(certificate=str(shop.certificate), key=str(shop.key)),
            NamedCertificate(
                certificate=str(given.certificate), key=str(given.key), names=("given.example.org",)
            ),
        ),
    )
    context = ca.client()
    context.check_hostname = False
    with running(app, tls=tls) as worker, worker.connect(context, name) as client:
        subject = dict(part[0] for part in client.sock.getpeercert()["subject"])
        assert subject["commonName"] == common_name
        said = json.loads(client.get("/said").response()[2])
        assert said.get("SSL_TLS_SNI") == (name and name.lower())


# What the application is told.


def test_the_environ(tls, context):
    with running(app, tls=tls) as worker, worker.connect(context) as client:
        said = json.loads(
            client.get("/said", "SSL_CLIENT_S_DN: CN=root", "SSL-Client-Verify: SUCCESS").response()[2]
        )
        assert said["wsgi.url_scheme"] == "https"
        assert said["HTTPS"] == "on"
        assert said["SERVER_PORT"] == str(worker.address[1])
        assert said["SSL_PROTOCOL"] == client.sock.version()
        assert said["SSL_CIPHER"] == client.sock.cipher()[0]
        assert said["SSL_TLS_SNI"] == "localhost"
        assert {key: value for key, value in said.items() if key.startswith("SSL_CLIENT")} == {
            "SSL_CLIENT_VERIFY": "NONE"
        }


def test_a_plain_connection_has_none_of_it():
    with running(app) as worker, worker.connect() as client:
        said = json.loads(client.get("/said", "HTTPS: on", "SSL-Protocol: TLSv1.3").response()[2])
        assert said["wsgi.url_scheme"] == "http"
        assert not [key for key in said if key.startswith(("SSL_", "HTTPS"))]


@pytest.fixture(scope="module")
def staff(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("staff"))


@pytest.mark.parametrize("client", ["required", "optional", None])
def test_a_client_with_a_certificate(tls, ca, staff, context, client):
    asked = TlsSettings(certificate=tls.certificate, key=tls.key, client_ca=str(staff.file), client=client)
    alice = staff.pair(common_name="Alice, of Wonderland", organization="Example")
    context.load_cert_chain(*alice)
    with running(app, tls=asked) as worker, worker.connect(context) as connection:
        said = json.loads(connection.get("/said").response()[2])
        assert said["SSL_CLIENT_VERIFY"] == "SUCCESS"
        assert "CN=Alice\\, of Wonderland" in said["SSL_CLIENT_S_DN"].split(",O")[0]
        assert said["SSL_CLIENT_I_DN"]
        assert int(said["SSL_CLIENT_M_SERIAL"], 16) > 0
        assert ssl.cert_time_to_seconds(said["SSL_CLIENT_V_START"]) < time.time()
        assert ssl.cert_time_to_seconds(said["SSL_CLIENT_V_END"]) > time.time()
        assert said["SSL_CLIENT_CERT"].strip() in alice.certificate.read_text()


def test_a_client_without_a_certificate(tls, ca, staff, context):
    for client, wanted in ("optional", True), ("required", False), (None, False):
        asked = TlsSettings(
            certificate=tls.certificate, key=tls.key, client_ca=str(staff.file), client=client
        )
        with running(app, tls=asked) as worker:
            if wanted:
                with worker.connect(context) as connection:
                    assert json.loads(connection.get("/said").response()[2])["SSL_CLIENT_VERIFY"] == "NONE"
            else:
                with pytest.raises(ssl.SSLError), worker.connect(context) as connection:
                    connection.get().response()


@pytest.mark.parametrize("client", ["required", "optional"])
def test_a_client_whose_certificate_is_not_known(tls, ca, staff, context, client):
    asked = TlsSettings(certificate=tls.certificate, key=tls.key, client_ca=str(staff.file), client=client)
    context.load_cert_chain(*ca.pair(common_name="stranger"))
    with running(app, tls=asked) as worker:
        with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"), worker.connect(context) as connection:
            connection.get().response()
        assert worker.errors == ""


def test_a_client_whose_certificate_python_cannot_read(tls, context, tmp_path):
    """An authority may sign a name of any bytes; ssl decodes them all."""
    odd = with_bytes_for_a_name(tmp_path)
    asked = TlsSettings(certificate=tls.certificate, key=tls.key, client_ca=str(odd.certificate))
    context.load_cert_chain(*odd)
    with running(app, tls=asked, level="debug") as worker:
        with contextlib.suppress(OSError), worker.connect(context) as connection:
            assert connection.get().rest() == b""
        eventually(lambda: worker.counters.connections == 0)
        assert "handshake failed" in worker.errors
        assert "client certificate" in worker.errors
        assert "Traceback" not in worker.errors
