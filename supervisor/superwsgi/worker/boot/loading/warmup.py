"""Warm-up: an application's first requests come from the server itself, before any client waits for them.

They take the same path as a client's, parser and gateway included, but without a socket and an access log.
Runs in the mold, whose workers then share what the requests created, or in a worker that imports by itself.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from superwsgi.apps.locks import is_locked_out
from superwsgi.apps.types import Environ, StartResponse, WSGIApp
from superwsgi.config.listening import TcpAddress, speaks_tls
from superwsgi.config.schema import Site
from superwsgi.http.environ import base_environ, connection_environ
from superwsgi.http.errors import HttpError
from superwsgi.http.files import Span
from superwsgi.http.request.front import front_of
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import Parser, RequestIds
from superwsgi.http.response.exchange import Exchange, Gateway
from superwsgi.log.error import ErrorLog
from superwsgi.log.frames import application_traceback, raised_at
from superwsgi.log.spelling import duration, spell_exception
from superwsgi.worker import forks
from superwsgi.worker.boot.loading.application import Unloadable

AGENT: Final = "superwsgi-warmup"
"""The User-Agent, by which an application can leave these requests out of its statistics."""

_ANYWAY: Final = "serves all the same; its first clients may meet the same"

_WILD: Final = frozenset({"0.0.0.0", "::", ""})


@dataclass(frozen=True)
class Failure:
    """A page that was answered with 5xx, or refused; `error` is what the application raised, if anything."""

    page: str
    status: int
    error: BaseException | None

    def __str__(self) -> str:
        if self.error is None:
            return f"{self.page} {self.status}"
        at = raised_at(self.error)
        return f"{self.page} {spell_exception(self.error)}" + (f" ({at})" if at else "")


def warm_up(site: Site, app: WSGIApp, errors: ErrorLog, *, required: bool) -> None:
    """Request the pages of `warmup`, one after the other.

    Raises Unloadable if all of them fail and success is `required`; other failures are logged.
    """
    failures = list(failing(site, app, errors))
    if required and failures and len(failures) == len(site.warmup):
        raised = [failure.error for failure in failures if failure.error is not None]
        reason = f"every warm-up request failed: {', '.join(map(str, failures))}"
        locked = any(map(is_locked_out, raised))
        raise Unloadable(reason, "\n".join(map(application_traceback, raised)), locked=locked)
    for failure in failures:
        if failure.error is not None:
            errors.fault("warm-up failed", failure.error, page=failure.page, next=_ANYWAY)
        else:
            errors.warning("warm-up failed", page=failure.page, status=failure.status, next=_ANYWAY)


def failing(site: Site, app: WSGIApp, errors: ErrorLog) -> Iterable[Failure]:
    """Request the pages; those that failed."""
    watched = _Watched(app)
    gateway = Gateway(watched, errors)
    base = base_environ(errors.stream(), multithread=site.most_threads > 1, multiprocess=True)
    for page in site.warmup:
        began = time.monotonic()
        request = _request(site, page, base)
        if isinstance(request, HttpError):
            yield Failure(page, request.status, None)
            continue
        watched.raised = None
        exchange = Exchange(gateway, request, _Nowhere(), time.monotonic_ns())
        with forks.staying():
            exchange.answer()
        errors.lines.end_request()
        if exchange.status >= 500:
            yield Failure(page, exchange.status, watched.raised)
        else:
            took = duration(time.monotonic() - began)
            errors.info("warmed up", page=page, status=exchange.status, took=took)


def _request(site: Site, page: str, base: Environ) -> Request | HttpError:
    """The request for a page below the site's root as a local client would send it to the first address of
    `bind`, or why it is refused: the site's limits apply here too."""
    address = site.bind[0]
    tcp = (_name(address.host), address.port) if isinstance(address, TcpAddress) else None
    environ = connection_environ(base, tcp, ("127.0.0.1", 0) if tcp else None)
    environ["wsgi.url_scheme"] = "https" if speaks_tls(address) else "http"
    host, slash, path = page.partition("/")
    target = quote(site.root.rstrip("/")) + slash + path
    head = f"GET {target} HTTP/1.1\r\nHost: {host or _authority(tcp)}\r\nUser-Agent: {AGENT}\r\n\r\n"
    parser = Parser(site.limits, environ, RequestIds(), front=front_of(site))
    parser.feed(head.encode())
    return parser.error or parser.pop()


def _name(host: str) -> str:
    """A host to connect to: the wildcard address is not one."""
    return "localhost" if host in _WILD else host


def _authority(address: tuple[str, int] | None) -> str:
    if address is None:
        return "localhost"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Watched:
    """The application; keeps what it raised, which becomes a 500 as it would for a client."""

    def __init__(self, app: WSGIApp) -> None:
        self._app = app
        self.raised: BaseException | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except BaseException as error:  # a view that exits does not end a worker either
            self.raised = error
            start_response("500 Internal Server Error", [], sys.exc_info())
            return []


class _Nowhere:
    """A client that accepts whatever it is sent."""

    followed = False
    gone = False
    void = b""

    def send(self, data: bytes) -> None:
        pass

    send_piece = send
    send_last = send

    def send_file(self, span: Span) -> None:
        pass

    def end_with_connection(self, on: bool) -> None:
        pass

    def stream(self) -> None:
        pass
