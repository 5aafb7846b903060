"""103 Early Hints, by the callable in the environ: who gets them, when, and what they may say."""

from __future__ import annotations

import threading

import pytest

from tests.worker.running import eventually, running

LINK = ("Link", "</style.css>; rel=preload; as=style")
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n"


def hinting(*lists, then=200):
    def app(environ, start_response):
        for fields in lists:
            environ["wsgi.early_hints"](fields)
        write = start_response(f"{then} Whatever", [("Content-Length", "2")])
        write(b"o")
        environ["wsgi.early_hints"]([LINK])
        return [b"k"]

    return app


def test_once_or_more_often_before_the_answer():
    with running(hinting([LINK], [LINK, ("X-More", "1")])) as worker, worker.connect() as client:
        for _ in range(2):
            client.get()
            assert client.until(b"\r\n\r\n") + b"\r\n\r\n" == HINTS
            assert client.until(b"\r\n\r\n").endswith(b"as=style\r\nX-More: 1")
            assert client.response()[::2] == (200, b"ok")
        eventually(lambda: worker.counters.requests == 2)


def test_bytes_as_gunicorn_takes_them():
    with running(hinting([[each.encode() for each in LINK]])) as worker, worker.connect() as client:
        assert client.get().until(b"\r\n\r\n") + b"\r\n\r\n" == HINTS


def test_not_to_http_1_0():
    with running(hinting([LINK])) as worker, worker.connect() as client:
        assert client.get(version="1.0").response()[0] == 200


@pytest.mark.parametrize(
    "fields",
    [[], [("Connection", "close")], [("Transfer-Encoding", "chunked"), ("content-length", "5")]],
)
def test_nothing_is_sent_of_what_frames_a_message(fields):
    with running(hinting(fields)) as worker:
        assert worker.fetch()[0] == 200


@pytest.mark.parametrize(
    "fields",
    [
        [("Link", "a\r\nX: b")],
        [("Li nk", "a")],
        [("Link:", "a")],
        [("", "a")],
        [("Link", 1)],
        [("Link",)],
        ["Link"],
        [("Link", "\u2603")],
        [(b"Link", b"a\n")],
    ],
)
def test_what_is_no_field_is_the_applications_mistake(fields):
    with running(hinting(fields)) as worker, worker.connect() as client:
        assert client.get().response()[0] == 500
        assert "WsgiError" in worker.errors


def test_other_threads_have_no_request():
    def app(environ, start_response):
        thread = threading.Thread(target=environ["wsgi.early_hints"], args=([LINK],))
        thread.start()
        thread.join()
        start_response("200 OK", [])
        return [b"ok"]

    with running(app) as worker:
        assert worker.fetch()[::2] == (200, b"ok")


def test_a_504_may_still_follow():
    forever = threading.Event()

    def app(environ, start_response):
        environ["wsgi.early_hints"]([LINK])
        forever.wait(20)
        start_response("200 OK", [])
        return []

    with running(app, request=0.3) as worker, worker.connect() as client:
        assert client.get().until(b"\r\n\r\n") + b"\r\n\r\n" == HINTS
        assert client.response()[0] == 504
        forever.set()
