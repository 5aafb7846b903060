import json
import re
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from importlib.metadata import version
from importlib.resources import files
from os import getpid, getppid
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import pytest

from superwsgi.apps.mount import mount
from superwsgi.demo import application


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The demo at the root and at /demo, served by the standard library under its validator."""
    app = validator(mount({"/": application, "/demo": application}))  # type: ignore[arg-type,unused-ignore]
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def get(port: int, target: str, method: str = "GET") -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, target)
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response, content


def test_the_page_names_who_answered_and_what_to_try(port: int) -> None:
    response, page = get(port, "/?q=")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"<dd>{getpid()}</dd>" in page
    assert f"kill -HUP {getppid()}" in page
    assert f"superwsgi {version('superwsgi')}" in page
    assert '<base href="/">' in page
    assert "{{" not in page


def test_the_page_knows_where_it_is_mounted(port: int) -> None:
    for target in ("/demo?q=", "/demo/?q="):
        assert '<base href="/demo/">' in get(port, target)[1]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = files("superwsgi.demo").joinpath("page.html").read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_what_is_filled_in_is_escaped() -> None:
    told: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": '/"><script>'}
    page = b"".join(application(told, lambda status, headers, exc_info=None: lambda data: None))
    assert b"&quot;&gt;&lt;script&gt;/" in page


def test_who_counts_the_requests_of_its_worker(port: int) -> None:
    first, second = (json.loads(get(port, "/api/who?q=")[1]) for _ in range(2))
    assert set(first) == {"worker", "master", "thread", "requests", "python", "superwsgi"}
    assert second["requests"] == first["requests"] + 1


def test_sleep_is_bounded(port: int) -> None:
    response, content = get(port, "/sleep?s=0.01")
    assert (response.status, json.loads(content)["slept"]) == (200, 0.01)
    for asked in ("11", "-1", "nan", "inf", "x"):
        assert get(port, f"/sleep?s={asked}")[0].status == 400


def test_healthz(port: int) -> None:
    assert get(port, "/healthz?q=")[1] == "ok\n"


def test_head_has_the_length_and_no_content(port: int) -> None:
    response, content = get(port, "/healthz?q=", "HEAD")
    assert (response.headers["Content-Length"], content) == ("3", "")


def test_what_is_not_there_or_not_allowed(port: int) -> None:
    assert get(port, "/nothing?q=")[0].status == 404
    response, _ = get(port, "/?q=", "DELETE")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
