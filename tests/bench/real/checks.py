"""What a server's answers must be, asked on one connection before the load: a wrong page is a fast one."""

from __future__ import annotations

import contextlib
import http.client
import json
import zlib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from tests.bench.process import BenchError
from tests.bench.real.data import LISTED, PRODUCTS, ROWS, number, shown_fortunes

Check = Callable[[int], None]
"""Asks on a port, and raises BenchError with what is wrong."""

ASKED = 3
"""Times: on a connection that is kept, and of more than one thread."""

PATIENCE = 30.0
UPLOAD = b"0123456789" * 1_000_000
HTML, JSON = "text/html", "application/json"


def says(path: str, kind: str, content: bytes) -> Check:
    """The same each time."""
    return _pages(path, kind, lambda found: _expect(path, found == content, found))


def listed(port: int) -> None:
    _pages("/json", JSON, lambda found: _expect("/json", json.loads(found) == PRODUCTS, found))(port)


def row(port: int) -> None:
    _pages("/row", JSON, lambda found: _expect("/row", _is_row(json.loads(found)), found))(port)


def rows(port: int) -> None:
    def check(found: bytes) -> None:
        listing = json.loads(found)
        _expect("/rows", len(listing) == LISTED and all(map(_is_row, listing)), found)

    _pages("/rows", JSON, check)(port)


def fortunes(port: int) -> None:
    """Sorted, complete, and what looks like a script is none."""

    def check(found: bytes) -> None:
        page = _Page()
        page.feed(found.decode())
        _expect("/fortunes", page.cells == shown_fortunes() and page.scripts == 0, found)

    _pages("/fortunes", HTML, check)(port)


def uploaded(port: int) -> None:
    """All of it, and in the right order."""
    answers = {"/upload": len(UPLOAD), "/upload/checked": zlib.crc32(UPLOAD)}
    for path, answer in answers.items():
        right = str(answer).encode()
        _pages(
            path, HTML, lambda found, path=path, right=right: _expect(path, found == right, found), UPLOAD
        )(port)


def file(path: str, on_disk: Path) -> Check:
    return lambda port: says(path, "application/octet-stream", on_disk.read_bytes())(port)


def _is_row(found: dict[str, int]) -> bool:
    return 1 <= found["id"] <= ROWS and found["number"] == number(found["id"])


def _expect(path: str, right: bool, found: bytes) -> None:
    if not right:
        raise BenchError(f"{path} has the wrong content: {len(found)} bytes, {found[:60]!r}")


def _pages(path: str, kind: str, check: Callable[[bytes], None], body: bytes | None = None) -> Check:
    def asked(port: int) -> None:
        with _client(port) as client:
            for _ in range(ASKED):
                check(_page(client, path, kind, body))

    return asked


@contextlib.contextmanager
def _client(port: int) -> Iterator[http.client.HTTPConnection]:
    """Raises BenchError where what it gets is no HTTP, or no JSON where that is asked for."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as client:
        try:
            yield client
        except (http.client.HTTPException, OSError, ValueError, LookupError) as error:
            raise BenchError(f"it answers wrongly: {error!r}") from error


def _page(client: http.client.HTTPConnection, path: str, kind: str, body: bytes | None) -> bytes:
    client.request("POST" if body else "GET", path, body)
    response = client.getresponse()
    content = response.read()
    if response.status != http.HTTPStatus.OK:
        raise BenchError(f"{path} answers {response.status} {response.reason}: {content[-60:]!r}")
    if response.headers.get_content_type() != kind:
        raise BenchError(f"{path} is {response.headers.get_content_type()}, not {kind}")
    return content


class _Page(HTMLParser):
    """`cells`: the text of each row's second cell, as a browser shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.scripts = 0
        self._column = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"
        self._column = {"tr": 0, "td": self._column + 1}.get(tag, self._column)
        if tag == "td" and self._column == 2:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self._column == 2 and data != "\n":
            self.cells[-1] += data
