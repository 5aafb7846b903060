"""wsgiref.validate looks on: it raises, and so answers 500, where the server breaks PEP 3333."""

from __future__ import annotations

from wsgiref.validate import validator

import pytest

from tests.worker.running import running

BODY = b"line one\nline two\nline three"


@validator
def app(environ, start_response):
    body = environ["wsgi.input"]
    read = {
        "/read": lambda: body.read(len(BODY) + 5),
        "/readline": lambda: body.readline() + body.readline() + body.readline(),
        "/readlines": lambda: b"".join(body.readlines()),
        "/iterate": lambda: b"".join(body),
        "/some": lambda: body.read(5) + body.read(1000),
    }.get(environ["PATH_INFO"], lambda: b"nothing")()
    environ["wsgi.errors"].write("said\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return iter([read]) if environ["QUERY_STRING"] else [read]


REQUESTS = [
    b"GET /%C3%A9?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST /chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize("request_bytes", REQUESTS)
def test_any_request(request_bytes, unix):
    with running(app, unix=unix) as worker, worker.connect() as client:
        client.send(request_bytes)
        assert client.response(body=not request_bytes.startswith(b"HEAD"))[0] == 200
        assert "AssertionError" not in worker.errors
        assert "said" in worker.errors


@pytest.mark.parametrize("path", ["read", "readline", "readlines", "iterate", "some"])
@pytest.mark.parametrize("query", ["", "?pieces"])
def test_any_way_of_reading_the_body(path, query):
    with running(app) as worker, worker.connect() as client:
        client.get(f"/{path}{query}", f"Content-Length: {len(BODY)}", method="POST").send(BODY)
        assert client.response()[::2] == (200, BODY)
