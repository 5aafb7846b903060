"""PEP 3333 and its HTTP, byte by byte, on a real daemon; the connection's state after everything."""

import hashlib
import json
import socket

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.e2e.wire import Wire, request

RIGHT = (
    "write generator late empty no_content not_modified long echo deaf file replaced_head closing"
    " closed_so_far slow pid marked fields_once events last reset endless"
)
WRONG = (
    "raises exits interrupts leaves no_start_response none twice str_body str_piece str_write crlf_in_field"
    " crlf_in_name crlf_in_status short_status bytes_status too_short too_long long_without_end"
    " writes_without_end half_way half_way_with_length replaced_too_late"
)


@pytest.fixture(scope="module")
def site(shared_daemon):
    apps = {f"/{name}": f"e2e_right:{name}" for name in RIGHT.split()}
    apps |= {f"/wrong/{name}": f"e2e_wrong:{name}" for name in WRONG.split()}
    apps["/validated"] = "e2e_validated:app"
    shared_daemon.site(
        app=None,
        apps=apps,
        chdir=str(FIXTURE_APPS),
        workers=1,
        threads=4,
        limits={"line": "1K", "head": "4K", "fields": 20, "body": "4M", "body_memory": "16K"},
    )
    shared_daemon.start()
    (shared_daemon.worker,) = shared_daemon.wait_workers(1)
    yield shared_daemon
    assert shared_daemon.workers() == [shared_daemon.worker], "nothing here may end a worker"


@pytest.fixture
def wire(site):
    with Wire(site.connect()) as wire:
        yield wire


def alive(site, wire):
    """The connection goes on, and with it the worker."""
    return wire.ask("/pid").body == str(site.worker).encode()


@pytest.mark.parametrize(
    ("name", "status", "body", "framing"),
    [
        ("write", 200, b"one two three", "transfer-encoding"),
        ("generator", 200, b"one two", "transfer-encoding"),
        ("late", 200, b"late", "transfer-encoding"),
        ("empty", 200, b"", "content-length"),
        ("no_content", 204, b"", None),
        ("not_modified", 304, b"", None),
        ("long", 200, b"0123456789", "content-length"),
        ("deaf", 200, b"deaf", "content-length"),
        ("file", 200, (bytes(range(256)) * 4096)[256:], "content-length"),
        ("replaced_head", 400, b"replaced", "content-length"),
        ("marked", 404, b"marked", "content-length"),
        ("fields_once", 200, b"once", "content-length"),
        ("events", 200, b"data: 1\n\ndata: 2\n\n", "transfer-encoding"),
        ("reset", 205, b"", "content-length"),
    ],
)
class TestAnswers:
    def test_get(self, site, wire, name, status, body, framing):
        reply = wire.ask(f"/{name}")
        assert (reply.status, reply.body) == (status, body)
        assert {"transfer-encoding", "content-length"} & set(reply.fields) == (
            {framing} if framing else set()
        )
        assert {"date", "server"} <= set(reply.fields)
        assert alive(site, wire)

    def test_head(self, site, wire, name, status, body, framing):
        assert wire.ask(f"/{name}", "HEAD").status == status
        assert alive(site, wire), "not a byte of body was sent"

    def test_post(self, site, wire, name, status, body, framing):
        reply = wire.ask(f"/{name}", "POST", body=b"x" * 100_000)
        assert (reply.status, reply.body) == (status, body)
        assert alive(site, wire), "a body that the application did not read is gone"

    def test_the_protocol_before_chunks(self, site, wire, name, status, body, framing):
        reply = wire.ask(f"/{name}", version="HTTP/1.0")
        assert (reply.status, reply.body) == (status, body)
        assert "transfer-encoding" not in reply.fields
        assert wire.ended()


FAILED = WRONG.split()[: WRONG.split().index("too_short")]


@pytest.mark.parametrize("name", FAILED)
def test_a_wrong_application_is_a_500_with_its_traceback_in_the_log_alone(site, wire, name):
    mark = site.mark()
    reply = wire.ask(f"/wrong/{name}")
    assert reply.status == 500
    assert reply.body == b"500 Internal Server Error\n"
    assert "set-cookie" not in reply.fields
    assert alive(site, wire)
    site.wait_log("request failed.*method=GET", since=mark)
    site.wait_log("Traceback|error=.WsgiError|error=.TypeError", since=mark)


@pytest.mark.parametrize("name", FAILED)
def test_a_wrong_application_and_head(site, wire, name):
    assert wire.ask(f"/wrong/{name}", "HEAD").status == 500
    assert alive(site, wire)


@pytest.mark.parametrize("name", ["too_long", "long_without_end"])
def test_a_response_that_is_too_long_is_cut(site, wire, name):
    mark = site.mark()
    assert wire.ask(f"/wrong/{name}").body == b"01234"
    assert alive(site, wire)
    site.wait_log("longer than its Content-Length", since=mark)
    assert site.log.count("longer than its Content-Length", mark) == 1


def test_an_application_that_writes_too_much_is_told(site, wire):
    mark = site.mark()
    assert wire.ask("/wrong/writes_without_end").body == b"01234"
    assert wire.ended()
    site.wait_log("request failed.*write\\(\\) beyond Content-Length 5", since=mark)
    assert site.log.count("request failed", mark) == 1


@pytest.mark.parametrize("name", ["too_short", "half_way", "half_way_with_length", "replaced_too_late"])
def test_a_broken_response_cannot_be_taken_for_a_whole_one(site, wire, name):
    mark = site.mark()
    with pytest.raises(ConnectionError):
        wire.ask(f"/wrong/{name}")
    site.wait_log("shorter than its Content-Length|request failed", since=mark)


@pytest.mark.parametrize("name", ["half_way", "half_way_with_length", "replaced_too_late"])
def test_a_broken_response_without_framing_ends_in_a_reset(site, wire, name):
    with pytest.raises(ConnectionError):
        wire.ask(f"/wrong/{name}", version="HTTP/1.0")


class TestFieldsOfTheServer:
    def test_are_warned_of_once(self, site, wire):
        for _ in range(3):
            assert wire.ask("/events").fields.get("keep-alive") is None
        site.wait_log("warning .*response field left out field=Keep-Alive .*target=/events")
        assert site.log.count("field=Keep-Alive") == 1

    def test_close_is_obeyed(self, wire):
        reply = wire.ask("/last")
        assert (reply.body, reply.fields["connection"]) == (b"last", "close")
        assert wire.ended()


class TestClose:
    @pytest.fixture
    def closed(self, site):
        before = len(site.get("/closed_so_far").json())
        return lambda: site.get("/closed_so_far").json()[before:]

    def test_after_the_response(self, site, wire, closed):
        assert wire.ask("/closing").body == b"begun"
        assert closed() == [""]

    def test_of_head(self, site, wire, closed):
        wire.ask("/closing", "HEAD")
        assert alive(site, wire)
        assert closed() == [""]

    @pytest.mark.parametrize(
        ("method", "status"),
        [("HEAD", "200+OK"), ("GET", "204+No+Content"), ("GET", "205+Reset"), ("GET", "304+Not+Modified")],
    )
    def test_of_a_stream_without_end_that_has_no_content(self, site, wire, closed, method, status):
        reply = wire.ask(f"/endless?{status}", method)
        assert (reply.status, reply.body) == (int(status[:3]), b"")
        assert alive(site, wire)
        assert closed() == ["endless"]

    def test_after_a_failure(self, wire, closed):
        with pytest.raises(ConnectionError):
            wire.ask("/closing?fail")
        assert closed() == ["fail"]

    def test_when_the_client_leaves(self, wire, closed):
        wire.send(request("/closing?endless"))
        assert wire.sock.recv(1024)
        wire.sock.close()
        wire.__exit__()
        wait_for(lambda: closed() == ["endless"], "close()")


class TestValidator:
    """wsgiref.validate raises where the server breaks the specification, which would be a 500."""

    @pytest.mark.parametrize("path", ["/validated", "/validated/", "/validated/a%20b?q=1"])
    def test_get(self, site, wire, path):
        assert wire.ask(path).body == b"ok "
        assert alive(site, wire)

    def test_post(self, site, wire):
        assert wire.ask("/validated", "POST", body=b"form").body == b"ok form"
        assert wire.ask("/validated", "POST", body=b"x" * 50_000).body == b"ok " + b"x" * 50_000
        assert alive(site, wire)

    def test_head_and_the_old_protocol(self, site, wire):
        assert wire.ask("/validated", "HEAD").status == 200
        assert wire.ask("/validated", version="HTTP/1.0").body == b"ok "


class TestEnviron:
    def test_what_a_request_says(self, wire):
        said = json_of(
            wire.ask("/echo/a%2Fb%20%C3%A4?q=%20&r", fields=["Accept: x", "accept: y", "Cookie: a=1"])
        )
        assert said["SCRIPT_NAME"] == "/echo"
        assert said["PATH_INFO"] == "/a/b ä".encode().decode("latin-1")
        assert said["QUERY_STRING"] == "q=%20&r"
        assert said["HTTP_ACCEPT"] == "x,y"
        assert (said["HTTP_HOST"], said["HTTP_COOKIE"]) == ("example.org", "a=1")
        assert (said["REQUEST_METHOD"], said["SERVER_PROTOCOL"]) == ("GET", "HTTP/1.1")
        assert said["REMOTE_ADDR"] == "127.0.0.1"

    def test_names_that_could_pass_for_others_never_reach_the_application(self, wire):
        fields = ["X_Forwarded_For: evil", "Proxy: http://evil/", "Content_Length: 5", "X-Good: yes"]
        said = json_of(wire.ask("/echo", fields=fields))
        assert said["HTTP_X_GOOD"] == "yes"
        assert not {"HTTP_X_FORWARDED_FOR", "HTTP_PROXY", "HTTP_CONTENT_LENGTH"} & set(said)
        assert "evil" not in str(said)
        assert said.get("CONTENT_LENGTH", "") in ("", "0")


def json_of(reply):
    assert reply.status == 200
    return json.loads(reply.body)


class TestBody:
    @pytest.mark.parametrize("size", [1, 10_000, 16 << 10, (16 << 10) + 1, 3 << 20])
    def test_with_its_length(self, site, wire, size):
        body = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
        self.check(wire.ask("/echo", "POST", body=body[:size]), body[:size])
        assert alive(site, wire)

    @pytest.mark.parametrize("size", [1, 3 << 20])
    def test_in_chunks(self, site, wire, size):
        body = bytes(i % 251 for i in range(1000)) * (size // 1000 + 1)
        pieces = [body[i : min(i + 70_000, size)] for i in range(0, size, 70_000)]
        chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        wire.send(
            request("/echo", "POST", ["Transfer-Encoding: chunked"]) + chunks + b"0\r\nX-Sum: x\r\n\r\n"
        )
        self.check(wire.answer(), body[:size])
        assert alive(site, wire)

    def check(self, reply, body):
        said = json_of(reply)
        assert said["CONTENT_LENGTH"] == str(len(body))
        assert said["body"]["size"] == len(body)
        assert said["body"]["sha256"] == hashlib.sha256(body).hexdigest()
        assert said["body"]["large"] == (len(body) > 16 << 10), "over limits.body_memory"

    @pytest.mark.parametrize("name", ["echo", "deaf", "wrong/raises"])
    def test_that_waits_to_be_invited(self, site, wire, name):
        wire.send(request(f"/{name}", "POST", ["Expect: 100-continue", "Content-Length: 4"]))
        assert wire.answer().status == 100
        wire.send(b"body")
        assert wire.answer().status == (500 if name.startswith("wrong") else 200)
        assert alive(site, wire)

    def test_that_is_not_invited(self, site, wire):
        wire.send(request("/echo", "POST", ["Expect: 100-continue", f"Content-Length: {5 << 20}"]))
        assert wire.answer().status == 413
        assert wire.ended()

    def test_that_comes_without_waiting(self, site, wire):
        wire.send(request("/echo", "POST", ["Expect: 100-continue"], b"body"))
        reply = wire.answer()
        if reply.status == 100:  # allowed, though needless
            reply = wire.answer()
        assert json_of(reply)["body"]["size"] == 4
        assert alive(site, wire)


class TestKeepAlive:
    def test_the_old_protocol_has_to_ask(self, site, wire):
        reply = wire.ask("/long", fields=["Connection: keep-alive"], version="HTTP/1.0")
        assert reply.fields["connection"].lower() == "keep-alive"
        assert wire.ask("/long", version="HTTP/1.0").body == b"0123456789"
        assert wire.ended()

    def test_the_old_protocol_without_a_length_ends(self, wire):
        reply = wire.ask("/generator", fields=["Connection: keep-alive"], version="HTTP/1.0")
        assert reply.body == b"one two"
        assert wire.ended()

    def test_a_client_may_end_it(self, wire):
        reply = wire.ask("/long", fields=["Connection: close"])
        assert reply.fields["connection"] == "close"
        assert wire.ended()

    def test_pipelined_requests_are_answered_in_their_order(self, site, wire):
        paths = ["/long", "/generator", "/wrong/raises", "/no_content", "/file", "/echo?1", "/write"] * 5
        wire.send(
            b"".join(map(request, paths)) + request("/echo", "POST", body=b"x" * 20_000) + request("/pid")
        )
        statuses = [wire.answer().status for _ in paths]
        assert statuses == [200, 200, 500, 204, 200, 200, 200] * 5
        assert json_of(wire.answer())["body"]["size"] == 20_000
        assert wire.answer().body == str(site.worker).encode()

    def test_a_request_that_comes_while_others_are_in_hand(self, site, wire):
        wire.send(request("/slow") + request("/slow"))
        assert wire.sock.recv(1, socket.MSG_PEEK)
        wire.send(request("/pid"))
        assert [wire.answer().body for _ in range(2)] == [b"begun done", b"begun done"]
        assert wire.answer().body == str(site.worker).encode()

    def test_a_client_that_closes_its_side_is_answered(self, wire):
        wire.send(request("/long") + request("/generator"))
        wire.sock.shutdown(socket.SHUT_WR)
        assert [wire.answer().body for _ in range(2)] == [b"0123456789", b"one two"]
        assert wire.ended()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/" + "x" * 1100), 414),
        (b"GET /" + b"x" * 5000, 414),
        (request(fields=[f"X-{i}: y" for i in range(30)]), 431),
        (request(fields=["X: " + "y" * 5000]), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 5000, 431),
        (request("/", "POST", [f"Content-Length: {5 << 20}"]), 413),
        (request("/", "POST", ["Transfer-Encoding: chunked"]) + b"500000\r\n" + b"x" * (5 << 20), 413),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (request(fields=["Host: other"]), 400),
        (request(fields=["Name : x"]), 400),
        (request(fields=["X: a\x00b"]), 400),
        (request(fields=["Content-Length: 1", "Content-Length: 2"]), 400),
        (request(fields=["Content-Length: 1", "Transfer-Encoding: chunked"]), 400),
        (request(fields=["Content-Length: -1"]), 400),
        (request(fields=["Content-Length: +1"]), 400),
        (request("/", "POST", ["Transfer-Encoding: chunked"]) + b"nonsense\r\n", 400),
        (request(fields=["Transfer-Encoding: gzip, chunked"]), 501),
        (request(fields=["Expect: wonders"]), 417),
        (request(version="HTTP/2.0"), (400, 505)),
        (request("example.org:443", "CONNECT"), (400, 501)),
    ],
)
def test_what_is_refused_and_then_ends(site, wire, data, status):
    wire.send(data)
    reply = wire.answer()
    assert reply.status in (status if isinstance(status, tuple) else (status,))
    assert reply.fields["connection"] == "close"
    wire.sock.shutdown(socket.SHUT_WR)
    assert wire.ended()
