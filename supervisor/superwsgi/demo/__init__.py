"""The bundled example: a page that shows which worker and thread answered, and what to try first.

Plain WSGI without any dependency, served like every other application: nothing here knows the server.
It shows process ids to whoever asks, so it is for trying things out, not for the internet.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterable
from html import escape
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from superwsgi import __version__
from superwsgi.apps.types import Environ, StartResponse

SLEEP_LIMIT: Final = 10.0
"""Seconds that /sleep takes at most."""

_PAGE: Final = Path(__file__).with_name("page.html").read_text("utf-8")
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'self'; frame-ancestors 'none'"
)
_answered = count(1)  # by this worker; `next` needs no lock


class Answer(NamedTuple):
    status: str
    type: str
    text: str


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """`/`, `/api/who`, `/sleep?s=1` and `/healthz`; nothing else, and only to look at."""
    answer = _answer(environ)
    content = answer.text.encode()
    headers = [
        ("Content-Type", f"{answer.type}; charset=utf-8"),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", _POLICY),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if answer.status.startswith("405"):
        headers.append(("Allow", "GET, HEAD"))
    start_response(answer.status, headers)
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else content]


def _answer(environ: Environ) -> Answer:
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return Answer("405 Method Not Allowed", "text/plain", "Only GET and HEAD.\n")
    page = _PAGES.get(environ.get("PATH_INFO") or "/")
    return page(environ) if page else Answer("404 Not Found", "text/plain", "No such page.\n")


def _who() -> dict[str, str | int]:
    return {
        "worker": os.getpid(),
        "master": os.getppid(),
        "thread": threading.current_thread().name,
        "requests": next(_answered),
        "python": platform.python_version(),
        "superwsgi": __version__,
    }


def _home(environ: Environ) -> Answer:
    values = {**_who(), "base": environ.get("SCRIPT_NAME", "") + "/"}
    filled = re.sub(r"{{(\w+)}}", lambda name: escape(str(values[name[1]])), _PAGE)
    return Answer("200 OK", "text/html", filled)


def _api_who(environ: Environ) -> Answer:
    return Answer("200 OK", "application/json", json.dumps(_who()))


def _sleep(environ: Environ) -> Answer:
    asked = parse_qs(environ.get("QUERY_STRING", "")).get("s", ["1"])[-1]
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= SLEEP_LIMIT:
        return Answer("400 Bad Request", "text/plain", f"s: seconds from 0 to {SLEEP_LIMIT:g}\n")
    time.sleep(seconds)
    return Answer("200 OK", "application/json", json.dumps({**_who(), "slept": seconds}))


def _healthz(environ: Environ) -> Answer:
    return Answer("200 OK", "text/plain", "ok\n")


_PAGES: Final[dict[str, Callable[[Environ], Answer]]] = {
    "/": _home,
    "/api/who": _api_who,
    "/sleep": _sleep,
    "/healthz": _healthz,
}
