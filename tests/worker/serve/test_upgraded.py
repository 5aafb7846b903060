"""Connections that the application takes over: what both sides get, and what nobody gets."""

from __future__ import annotations

import array
import contextlib
import re
import select
import selectors
import socket
import ssl
import tempfile
import threading

import pytest

from superwsgi.config.sections import Limits, TlsSettings
from tests.worker.running import eventually, running

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
UPGRADE = "Connection: Upgrade", "Upgrade: shout"
GOING_AWAY = b"\x88\x02\x03\xe9"
SIZE = 4 << 20

go_on = threading.Event()
kept = []


def shout(environ, start_response):
    """Whatever comes, in capitals."""
    taken = environ["gunicorn.socket"]
    taken.sendall(SWITCHING % b"shout")
    while data := taken.recv(1000):
        taken.sendall(data.upper())
    taken.sendall(b"BYE")
    return []


def answers(how):
    def app(environ, start_response):
        shout(environ, start_response)
        if how == "as Gunicorn wants it":
            raise StopIteration
        if how == "by an error":
            raise LookupError("in the application")
        if how == "without an answer":
            return []
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        if how == "by write()":
            write(b"never")
        return (each for each in [b"never", b"never"]) if how == "by a generator" else [b"never"]

    return app


def frames(environ, start_response):
    """Two WebSocket frames, of which the second comes in two pieces, then whatever the client sends."""
    taken = environ["werkzeug.socket"]
    taken.sendall(SWITCHING % b"WebSocket" + b"\x81\x02hi\x81\x05he")
    go_on.wait(20)
    taken.sendall(b"llo")
    while data := taken.recv(1000):
        taken.sendall(data)
    return []


def page(environ, start_response):
    """It takes over nothing, though it looks at what it could take."""
    offered = environ.get("werkzeug.socket")
    kept.append(offered)
    said = f"{offered is not None} {hasattr(offered, 'resolve')} {bool(repr(offered))}".encode()
    start_response("200 OK", [])
    return [said]


def too_late(environ, start_response):
    write = start_response("200 OK", [("Content-Length", "7")])
    write(b"begun")
    try:
        environ["werkzeug.socket"].recv(1)
    except OSError:
        return [b"ok"]
    return [b"??"]


APPS = {"/shout": shout, "/frames": frames, "/too_late": too_late, "/": page}


def app(environ, start_response):
    return APPS[environ["PATH_INFO"]](environ, start_response)


@pytest.fixture(autouse=True)
def _fresh():
    go_on.clear()
    yield
    go_on.set()
    kept.clear()


@pytest.fixture(params=["plain", "TLS"])
def tls(request, pair, ca):
    """Settings and a client's context."""
    if request.param == "plain":
        return None, None
    return TlsSettings(certificate=str(pair.certificate), key=str(pair.key)), ca.client()


def upgraded(client, path="/shout", protocol="shout"):
    client.get(path, "Connection: Upgrade", f"Upgrade: {protocol}")
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 101 ")
    return client


def test_bytes_go_both_ways(tls):
    settings, context = tls
    with running(app, tls=settings) as worker, worker.connect(context) as client:
        upgraded(client)
        for each in (b"hello", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"):
            assert client.send(each).rest_of(len(each)) == each.upper()
        assert worker.counters.upgraded == 1
        assert worker.counters.busy == 0


def test_what_the_client_sends_with_its_request_reaches_the_application(tls):
    settings, context = tls
    head = b"GET /shout HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
    with running(app, tls=settings) as worker, worker.connect(context) as client:
        client.send(head + b"early").until(b"\r\n\r\n")
        assert client.rest_of(5) == b"EARLY"


def test_more_than_fits_anywhere(tls):
    settings, context = tls
    data = bytes(range(97, 123)) * (SIZE // 26)
    with running(app, tls=settings) as worker, worker.connect(context) as client:
        upgraded(client)
        assert echo(client.sock, data) == data.upper()


def echo(sock, data):
    """Send it while its answer is read, in one thread: ssl's sockets are not for two at a time."""
    sock.setblocking(False)
    received, sent = bytearray(), 0
    while len(received) < len(data):
        if sent < len(data):
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sent += sock.send(data[sent : sent + (1 << 16)])
        try:
            piece = sock.recv(1 << 20)
        except (BlockingIOError, ssl.SSLWantReadError):
            waiting = select.poll()
            waiting.register(sock, select.POLLIN | (select.POLLOUT if sent < len(data) else 0))
            assert waiting.poll(60_000)
        else:
            assert piece, f"ended after {len(received)} bytes"
            received += piece
    return bytes(received)


@pytest.mark.parametrize(
    "how",
    [
        "as Gunicorn wants it",
        "by an error",
        "without an answer",
        "by write()",
        "by a generator",
        "by a list",
    ],
)
def test_what_the_application_returns_is_for_nobody(how):
    with running(answers(how)) as worker, worker.connect() as client:
        upgraded(client).send(b"x").sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"XBYE"
        eventually(lambda: worker.counters.upgraded == 0)
        eventually(lambda: '"GET /shout HTTP/1.1" 101 ' in worker.access_file.read_text())
        assert ("LookupError" in worker.errors) is (how == "by an error")
        assert worker.counters.counts.upgrades == worker.counters.requests == 1
        assert worker.counters.counts.classes == (1, 0, 0, 0)


def test_a_client_that_leaves():
    with running(app) as worker:
        with worker.connect() as client:
            upgraded(client)
        eventually(lambda: worker.counters.upgraded == 0)
        eventually(lambda: worker.counters.connections == 0)
        assert worker.counters.requests == 1


def test_a_client_that_breaks_off_while_it_is_sent_to():
    def app(environ, start_response):
        taken = environ["werkzeug.socket"]
        taken.sendall(SWITCHING % b"shout")
        try:
            while True:
                taken.sendall(bytes(1 << 16))
        finally:
            kept.append("ended")

    with running(app) as worker:
        with worker.connect() as client:
            upgraded(client).rest_of(1 << 20)
        eventually(lambda: kept == ["ended"])
        eventually(lambda: worker.counters.upgraded == 0)
        assert "Traceback" not in worker.errors


def test_an_application_that_does_not_use_it():
    with running(app) as worker, worker.connect() as client:
        client.get("/", *UPGRADE).get("/")
        status, head, body = client.response()
        assert (status, body) == (200, b"True False True")
        assert "Connection: close" in head, "what follows may be of another protocol"
        assert client.rest() == b""
        assert worker.counters.upgraded == worker.counters.counts.upgrades == 0
        with pytest.raises(ConnectionAbortedError, match="over"):
            kept[0].recv(1)


@pytest.mark.parametrize("upgraded", [0, 5])
def test_only_those_that_ask_can(upgraded):
    with running(app, limits=Limits(upgraded=upgraded)) as worker, worker.connect() as client:
        fields = UPGRADE if not upgraded else ()
        for _ in range(2):
            status, head, body = client.get("/", *fields).response()
            assert (status, body) == (200, b"False False True")
            assert "Connection: close" not in head


def test_after_the_answer_has_begun():
    with running(app) as worker:
        assert worker.fetch("/too_late", *UPGRADE)[::2] == (200, b"begunok")


def test_stacks_and_profiles_see_its_thread():
    with running(app) as worker:
        with upgraded(worker.connect()):
            told = [head for each in worker.loop.threads_at(1) for head in each.threads]
            assert [(head.kind, head.target) for head in told if head.target] == [("request", "/shout")]
            assert "/shout" in [_target(thread) for thread in worker.loop.serving]
        eventually(lambda: worker.counters.upgraded == 0)
        assert "/shout" not in [_target(thread) for thread in worker.loop.serving]


def _target(thread):
    """Of the request that it has in hand."""
    exchange = thread.connection.exchange if thread.connection is not None else None
    return "" if exchange is None else exchange.request.target.decode()


def test_threads_are_left_for_pages():
    with running(app, threads=1) as worker:
        clients = [upgraded(worker.connect()) for _ in range(5)]
        assert worker.fetch("/")[0] == 200
        for client in clients:
            assert client.send(b"x").rest_of(1) == b"X"
            client.sock.close()
        eventually(lambda: worker.counters.upgraded == 0)
        assert worker.fetch("/")[0] == 200
        assert worker.counters.threads == 1


def test_more_than_may_be_are_refused():
    with running(app, limits=Limits(upgraded=1)) as worker:
        with upgraded(worker.connect()):
            assert worker.fetch("/shout", *UPGRADE)[0] == 503
            assert worker.fetch("/")[0] == 200
            assert "limits.upgraded" in worker.errors
            assert worker.counters.counts.not_upgraded == 1
        eventually(lambda: worker.counters.upgraded == 0)
        for _ in range(3):  # its place is free, and stays so
            assert eventually(lambda: worker.fetch("/", *UPGRADE)[0] == 200)
        upgraded(worker.connect()).sock.close()


def test_no_deadline_runs():
    with running(app, request=0.2, keepalive=0.2, head=0.2, body=0.2) as worker, worker.connect() as client:
        upgraded(client)
        go_on.wait(0.7)
        assert client.send(b"x").rest_of(1) == b"X"
        assert "stuck" not in worker.errors


def test_libraries_can_wait_for_it_and_set_timeouts():
    def app(environ, start_response):
        taken = environ["werkzeug.socket"]
        with selectors.DefaultSelector() as selector:
            selector.register(taken, selectors.EVENT_READ)
            taken.send(SWITCHING % b"shout")
            kept.append(selector.select(0.01))
            selector.select(20)
            taken.settimeout(20)
            taken.sendall(taken.recv(10))
            taken.settimeout(0.01)
            try:
                taken.recv(1)
            except TimeoutError:
                taken.sendall(b"!")
        taken.shutdown(socket.SHUT_WR)
        taken.settimeout(20)
        kept.append(taken.recv(10))
        taken.close()

    with running(app) as worker, worker.connect() as client:
        upgraded(client).send(b"hello")
        assert client.rest() == b"hello!"
        client.send(b"after")
        eventually(lambda: kept[1:] == [b"after"])
        eventually(lambda: worker.counters.upgraded == 0)


def test_goodbye_by_a_close_frame_between_two_frames(tls):
    settings, context = tls
    with running(app, tls=settings) as worker, worker.connect(context) as client:
        upgraded(client, "/frames", "websocket")
        assert client.rest_of(8) == b"\x81\x02hi\x81\x05he"
        assert worker.loop.takeovers.say_goodbye()
        client.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.sock.settimeout(20)
        go_on.set()
        assert client.rest_of(7) == b"llo" + GOING_AWAY
        client.send(b"never comes back").sock.close()
        eventually(lambda: worker.counters.upgraded == 0)


def test_goodbye_in_another_protocol():
    with running(app) as worker, worker.connect() as client:
        upgraded(client)
        assert worker.loop.takeovers.say_goodbye()
        assert client.rest() == b"BYE"
        assert eventually(lambda: not worker.loop.takeovers.say_goodbye())


def test_a_drain_waits_for_them():
    with running(app) as worker, worker.connect() as client:
        upgraded(client)
        worker.loop.drain(lame_duck=0)
        assert not worker.loop.join(0.3)
        assert client.send(b"x").rest_of(1) == b"X"
        client.sock.shutdown(socket.SHUT_WR)
        assert worker.loop.join(60)


def test_a_stop_says_goodbye():
    with running(app) as worker, worker.connect() as client:
        upgraded(client, "/frames", "websocket")
        go_on.set()
        assert client.rest_of(11) == b"\x81\x02hi\x81\x05hello"
        worker.loop.stop()
        assert client.rest() == GOING_AWAY
        assert worker.loop.join(60)
        assert worker.counters.requests == 1


# What the application does with the client's own socket.


def taking(speak):
    """An application that takes the connection over and speaks with its client."""

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/page":
            start_response("200 OK", [])
            return [b"page"]
        taken = environ["werkzeug.socket"]
        taken.send(SWITCHING % environ["HTTP_UPGRADE"].encode())
        speak(taken)
        return []

    return app


def send_by_sendmsg(taken):
    assert taken.sendmsg([b"ab", b"cd"]) == 4


def send_by_sendfile(taken):
    with tempfile.TemporaryFile() as file:
        file.write(b"xabcdx")
        file.flush()
        assert taken.sendfile(file, 1, 4) == 4


def send_by_a_file(taken):
    with taken.makefile("wb") as file:
        file.write(b"abcd")


def send_anything(taken):
    taken.sendall(memoryview(bytearray(b"ab")))
    taken.sendall(array.array("B", b"cd"))


def send_without_waiting(taken):
    taken.setblocking(False)
    assert taken.send(b"abcd") == 4
    with pytest.raises(BlockingIOError):
        taken.recv(1)


@pytest.mark.parametrize(
    "speak",
    [
        send_by_sendmsg,
        send_by_sendfile,
        send_by_a_file,
        send_anything,
        send_without_waiting,
    ],
)
def test_however_it_sends_that_is_known(tls, speak):
    settings, context = tls
    with running(taking(speak), tls=settings) as worker, worker.connect(context) as client:
        upgraded(client)
        assert client.rest() == b"abcd"
        size = len(SWITCHING % b"shout") + 4
        eventually(lambda: f'"GET /shout HTTP/1.1" 101 {size} ' in worker.access_file.read_text())


def test_it_closes_the_socket_before_it_returns(tls):
    def speak(taken):
        taken.sendall(b"x")
        taken.close()
        go_on.wait(20)

    settings, context = tls
    with running(taking(speak), tls=settings) as worker, worker.connect(context) as client:
        assert upgraded(client).rest() == b"x"
        assert not go_on.is_set()
        go_on.set()
        eventually(lambda: worker.counters.upgraded == 0)


def test_nothing_that_has_arrived_is_taken_from_it():
    def speak(taken):
        taken.sendall(b"x")
        taken.shutdown(socket.SHUT_WR)
        go_on.wait(20)
        while piece := taken.recv(1000):
            kept.append(piece)

    with running(taking(speak)) as worker:
        with worker.connect() as client:
            assert upgraded(client).rest() == b"x"
            client.send(b"after")
        worker.fetch("/page")  # the loop has looked meanwhile
        go_on.set()
        eventually(lambda: worker.counters.upgraded == 0)
        assert kept == [b"after"]


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sock.close()


def test_a_reset_frees_the_connection_while_the_application_goes_on(tls):
    def speak(taken):
        go_on.wait(20)
        with contextlib.suppress(OSError):
            while True:
                taken.sendall(bytes(1 << 16))
        kept.append("ended")

    settings, context = tls
    with running(taking(speak), tls=settings) as worker:
        client = worker.connect(context)
        reset(upgraded(client))
        eventually(lambda: worker.counters.connections == 0)
        assert worker.counters.upgraded == 1
        others = [worker.connect(context) for _ in range(3)]
        go_on.set()
        eventually(lambda: kept == ["ended"])
        for other in others:  # none of them has its number
            assert other.get("/page").response()[2] == b"page"
            other.sock.close()


def test_a_client_that_takes_nothing(tls):
    def speak(taken):
        with contextlib.suppress(OSError):
            while True:
                taken.sendall(bytes(1 << 20))
        kept.append("ended")

    settings, context = tls
    with running(taking(speak), tls=settings, send=0.3) as worker, worker.connect(context) as client:
        upgraded(client)
        eventually(lambda: kept == ["ended"])
        eventually(lambda: worker.counters.upgraded == worker.counters.connections == 0)
        eventually(lambda: re.search("client too slow .*target=/shout", worker.errors))


def test_a_client_that_is_slow_and_takes_some(tls):
    def speak(taken):
        taken.sendall(bytes(8 * SIZE))
        kept.append("sent")

    settings, context = tls
    with running(taking(speak), tls=settings, send=1.0) as worker, worker.connect(context) as client:
        upgraded(client)
        for _ in range(8):
            client.rest_of(SIZE // 4)
            threading.Event().wait(0.3)
        client.rest_of(6 * SIZE)
        eventually(lambda: kept == ["sent"])


def test_timeouts_are_those_of_sockets(tls):
    def speak(taken):
        taken.settimeout(0.05)
        try:
            for _ in range(1000):
                taken.sendall(bytes(1 << 20))
        except TimeoutError:
            kept.append("timed out")
        go_on.wait(20)

    settings, context = tls
    with running(taking(speak), tls=settings) as worker, worker.connect(context) as client:
        upgraded(client)
        eventually(lambda: kept == ["timed out"])
        reset(client)
        go_on.set()
        eventually(lambda: worker.counters.upgraded == 0)


def duplicate(taken):
    with taken.dup() as other:
        other.sendall(b"\x81\x0a" + b"half")
        while data := other.recv(1000):
            other.sendall(data)
        other.sendall(b"+half.")


def duplicate_and_close(taken):
    with taken.dup() as other:
        taken.close()
        other.sendall(b"\x81\x0a" + b"half")
        while data := other.recv(1000):
            other.sendall(data)
        other.sendall(b"+half.")


def detach(taken):
    with socket.socket(fileno=taken.detach()) as other:
        other.sendall(b"\x81\x0a" + b"half")
        while data := other.recv(1000):
            other.sendall(data)
        other.sendall(b"+half.")


@pytest.mark.parametrize("speak", [duplicate, duplicate_and_close, detach])
def test_no_close_frame_where_it_is_not_known_what_is_sent(speak):
    with running(taking(speak)) as worker, worker.connect() as client:
        upgraded(client, protocol="websocket").send(b"x")
        assert client.rest_of(7) == b"\x81\x0ahalfx"
        assert worker.loop.takeovers.say_goodbye()
        assert client.rest() == b"+half."


def test_who_sends_is_not_interrupted_by_the_goodbye():
    """The client takes nothing of a long frame until it has been said."""
    frame = b"\x82\x7f" + SIZE.to_bytes(8, "big") + bytes(SIZE)

    def speak(taken):
        go_on.set()
        taken.sendall(frame)
        with contextlib.suppress(OSError):
            while taken.recv(1000):
                taken.sendall(b"\x81\x01x")

    with running(taking(speak)) as worker, worker.connect() as client:
        upgraded(client, protocol="websocket")
        go_on.wait(20)
        assert worker.loop.takeovers.say_goodbye()
        assert client.rest_of(len(frame)) == frame
        assert client.rest_of(4) == GOING_AWAY
        client.send(b"never comes back").sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""


def test_a_client_that_was_asked_whether_it_is_there(tls):
    """It has closed its side while its request waited, so it has been sent how each answer begins."""

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/page":
            kept.append("page")
            go_on.wait(20)
        return taking(lambda taken: None)(environ, start_response)

    settings, context = tls
    with contextlib.ExitStack() as stack:
        worker = stack.enter_context(running(app, threads=1, tls=settings))
        first, client = [stack.enter_context(worker.connect(context)) for _ in range(2)]
        first.get("/page")
        eventually(lambda: kept)
        client.get("/shout", *UPGRADE)
        eventually(lambda: worker.counters.queued == 1)
        if context is None:
            client.sock.shutdown(socket.SHUT_WR)
            assert client.until(b" ") == b"HTTP/1.1"
        go_on.set()
        assert client.until(b"\r\n\r\n").endswith(b"shout")
        assert client.rest() == b""
