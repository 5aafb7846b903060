"""Health checks: whether this worker lives, and whether the machine is to get requests.

The thread that polls answers them, before there is any talk of a free thread, the queue or the application,
and no log or counter has them. So they are answered whatever the application does, unless it holds the GIL.

A path is compared as the application would see it, in PATH_INFO: decoded (RFC 3986 section 6.2.2.2), without
the query, and whatever the Host. Below the site's root as it is, too: probes rarely come by a proxy.
"""

from __future__ import annotations

import enum
from typing import Final

from superwsgi.http.errors import ClientGone
from superwsgi.http.request.head import Request
from superwsgi.http.response.head import Refusal, check_answer
from superwsgi.worker.connection.connection import Connection
from superwsgi.worker.connection.delivery import NO_LEASE
from superwsgi.worker.connection.states import NEXT, Event
from superwsgi.worker.serve.connections import Step
from superwsgi.worker.serve.context import Context
from superwsgi.worker.serve.ending import Ending


class Going(enum.IntEnum):
    """How a worker leaves, if it does. What is further down is the last word."""

    STAYS = 0  # it serves
    TOLD = 1  # by a signal to it alone: its siblings serve, if it has any
    RELIEVED = 2  # others have taken over, or go on
    LAST = 3  # nobody serves once it has gone: the site stops, or it has to go before its successor begins


def is_ready(going: Going, siblings: bool) -> bool:
    """Whether requests are to be sent to this machine; `siblings` says whether others of the generation
    accept connections. That a single worker goes is no reason to send them elsewhere."""
    return going in (Going.STAYS, Going.RELIEVED) or (going is Going.TOLD and siblings)


_READS: Final = ("GET", "HEAD")


class HealthChecks:
    """`paths` has the site's health paths, and for each whether it asks for readiness."""

    def __init__(self, context: Context, ending: Ending) -> None:
        health = context.site.health
        named = ((health.live, False), (health.ready, True))
        self.paths = {path: ready for path, ready in named if path is not None}
        self._going = Going.STAYS
        self._gateway = context.gateway
        self._board = context.board
        self._ending = ending
        self._script_name = context.site.script_name

    def leave(self, going: Going) -> None:
        """The worker is to leave. Any thread."""
        self._going = max(self._going, going)

    def is_asked(self, connection: Connection) -> bool:
        """Whether its next request, which is complete, is for us."""
        return connection.for_checks or connection.parser.requests[0].environ["PATH_INFO"] in self.paths

    def answer(self, connection: Connection, now: int) -> Step | None:
        """Answer its next request; the next step, or None if the client has taken all of the answer."""
        request = connection.parser.pop()
        if request.body is not None:
            request.body.close()
        connection.state = NEXT[connection.state][Event.RUN]
        sender = connection.sender
        keep_alive = request.keep_alive and (not self._gateway.closing or sender.followed)
        if not keep_alive:
            connection.follows = Event.LAST if request.keep_alive else Event.CLOSE
        sender.begin(NO_LEASE)
        try:
            sender.send_last(bytes(self._response(request, keep_alive, now)))
        except ClientGone:
            return self._ending.close(connection)
        if not sender.outbox.size:
            return None
        connection.become(Event.BLOCK, now)
        return Step.REST

    def _response(self, request: Request, keep_alive: bool, now: int) -> Refusal:
        status, word = self._verdict(request)
        fields = "Allow: GET, HEAD\r\n" if status == 405 else ""
        if not keep_alive:
            fields += "Connection: close\r\n"
        elif request.version == "HTTP/1.0":
            fields += "Connection: keep-alive\r\n"
        date = self._gateway.clock.date(now)
        return check_answer(status, word, date, request.id, fields=fields, body=request.method != "HEAD")

    def _verdict(self, request: Request) -> tuple[int, str]:
        """Status and word."""
        path: str = request.environ["PATH_INFO"]
        about_readiness = self.paths.get(path)
        if about_readiness is None:  # by an address of health.bind
            about_readiness = self.paths.get(path.removeprefix(self._script_name))
        if about_readiness is None:
            return 404, "not a health path"
        if request.method not in _READS:
            return 405, "GET or HEAD"
        if about_readiness and not is_ready(self._going, any(True for _ in self._board.peers())):
            return 503, "draining"
        return 200, "ok"
