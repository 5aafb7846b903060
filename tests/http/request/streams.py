"""Byte streams for property tests: requests of the corpus, changed and put together, and how they are cut.

For a longer run:
`FUZZ_EXAMPLES=100000 python -m pytest tests/http/request/test_fuzz.py tests/worker/serve/test_fuzz.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from superwsgi.config.schema import Site
from superwsgi.config.sections import Limits, Proxy
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.front import front_of
from superwsgi.http.request.parser import Parser, RequestIds
from tests.http.request import feeding
from tests.http.request.feeding import pieces
from tests.http.request.legitimate import LEGITIMATE
from tests.http.request.malformed import MALFORMED

SMALL: Final = {"line": 60, "head": 200, "fields": 5, "body": 40, "body_memory": 10}
"""Limits that are soon met."""

_LONGEST: Final = 400
_CASES: Final = [case.data for case in LEGITIMATE + MALFORMED if len(case.data) <= _LONGEST]

# What makes the difference between one reading of a message and another.
WORDS: Final = [
    *(b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\x80", b"\xff"),
    *(b":", b",", b";", b"=", b'"', b"/", b"?", b"#", b"@", b"*", b"%", b"[", b"]", b"_", b"0", b"5", b"F"),
    *(b"GET ", b"POST ", b"OPTIONS ", b"CONNECT ", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"http://b"),
    *(b"Host: a\r\n", b"Host: b\r\n", b"A: b\r\n", b"\r\n c", b"Connection: close\r\n", b"Upgrade: h2c\r\n"),
    *(b"Connection: Upgrade\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked"),
    *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\n", b";a=b", b"hello", b"x" * 70),
    *(b"/sub", b"/sub/", b"/%73ub", b"/..", b"%2F", b"X-Forwarded-Prefix: /shop\r\n", b"User_Name: joe\r\n"),
    *(b"X-Forwarded-For: 10.0.0.2\r\n", b"User-Name: evil\r\n", b"user_name: evil\r\n"),
]  # fmt: skip

_places: Final = st.integers(0, _LONGEST)
_changes: Final = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "repeat", "flip"]),
    _places,
    st.integers(1, 20),
    st.sampled_from(WORDS),
)


def _changed(data: bytes, changes: Iterable[tuple[str, int, int, bytes]]) -> bytes:
    for kind, place, size, word in changes:
        at = place % (len(data) + 1)
        end = min(len(data), at + size)
        if kind == "insert":
            data = data[:at] + word + data[at:]
        elif kind == "replace":
            data = data[:at] + word + data[at + len(word) :]
        elif kind == "delete":
            data = data[:at] + data[end:]
        elif kind == "repeat":
            data = data[:end] + data[at:end] + data[end:]
        else:
            data = data[:at] + data[at:end].swapcase() + data[end:]
    return data


messages: Final = st.builds(_changed, st.sampled_from(_CASES), st.lists(_changes, max_size=3))
streams: Final = st.builds(
    lambda parts, missing: b"".join(parts)[: -missing or None],
    st.lists(messages, min_size=1, max_size=4),
    st.just(0) | st.integers(1, 60),
)
cuts: Final = st.lists(st.integers(0, 2 * _LONGEST), max_size=8)
limits: Final = st.sampled_from([{}, SMALL])

fuzzing: Final = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,  # a test that fails does so for everybody
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Outcome(NamedTuple):
    """What became of a stream: requests as (method, target, version, goes on, environ, body), the refusal's
    status, what the parser waits for."""

    requests: list[tuple[str, bytes, str, bool, dict[str, Any], bytes]]
    error: int | None
    phase: str


_PROXY: Final = Proxy(prefix=True, fields=("User_*", "REMOTE_USER"))
BELIEVING: Final = Site(apps={"/": "a:b"}, name="site", proxy=_PROXY)
"""A site whose proxies say what they have taken from the path, and who a user is."""

MOUNTED: Final = Site(apps={"/": "a:b"}, name="site", root="/sub", proxy=_PROXY)
"""The same below a path."""

TRUSTED: Final = Trusted(["10.0.0.0/8"])
_SCRIPT_NAME: Final = re.compile(r"(?:/[A-Za-z0-9._~@:+=\x80-\xff-]+)+")


def outcome(parts: Iterable[bytes], site: Site | None = None, **small: int) -> Outcome:
    """Feed them to a new parser, of a usual site or of this one behind a trusted proxy; checks what must hold
    after each, whatever they are."""
    limits = Limits(**small)
    front, trusted = (None, None) if site is None else (front_of(site), TRUSTED)
    environ = {"REMOTE_ADDR": "10.0.0.1", "SERVER_NAME": "10.0.0.9", "wsgi.url_scheme": "http"}
    parser = Parser(limits, environ, RequestIds(), trusted, front=front)
    parser._read_plain = feeding.READ_PLAIN
    requests = []
    for part in parts:
        parser.feed(part)
        assert len(parser.requests) <= 1
        assert parser.received <= limits.body
        while parser.requests:
            request = parser.pop()
            environ = {key: value for key, value in request.environ.items() if key != "HTTP_X_REQUEST_ID"}
            assert "" not in environ
            if site is None:
                assert environ["REMOTE_ADDR"] == "10.0.0.1"
                assert environ["PATH_INFO"].startswith("/")
            elif site.root != "/":
                _check_mounted(environ)
            assert request.version == "HTTP/1.0" or environ["HTTP_HOST"]
            with request.input() as body:
                content = body.read()
            requests.append(
                (request.method, request.target, request.version, request.keep_alive, environ, content)
            )
    error = parser.error.status if parser.error is not None else None
    phase = "" if error else parser.phase.name
    parser.close()
    return Outcome(requests, error, phase)


def _check_mounted(environ: dict[str, Any]) -> None:
    assert _SCRIPT_NAME.fullmatch(environ["SCRIPT_NAME"])
    assert ".." not in environ["SCRIPT_NAME"].split("/")
    assert environ["PATH_INFO"][:1] in ("", "/")


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    return list(pieces(data, places))
