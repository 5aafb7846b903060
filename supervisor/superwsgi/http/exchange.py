"""One request and the application's answer to it, turned into bytes: the server's side of PEP 3333.

Sans-I/O: bytes and files go to a `Channel`. Whatever the application does (raises, exits, breaks the
specification, sends too much or too little), the client gets what is right for it, the traceback goes to the
error log, and the worker goes on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Protocol

from superwsgi.http.errors import ClientGone, WsgiError
from superwsgi.http.files import FileWrapper, Span, span_of
from superwsgi.http.head import Clock, ResponseHead, refusal
from superwsgi.http.request import Environ, Request
from superwsgi.log.error import ErrorLog

Fields = Sequence[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType]
App = Callable[[Environ, Callable[..., Callable[[bytes], object]]], Iterable[bytes]]


class Channel(Protocol):
    """Where a response goes; after a piece the application has more to say. All raise ClientGone."""

    def send(self, data: bytes) -> None: ...
    def send_piece(self, data: bytes) -> None: ...
    def send_file(self, span: Span) -> None: ...


class Framing(enum.Enum):
    """How the client knows where the body ends: RFC 9112 section 6.3."""

    NONE = "it has none"
    LENGTH = "Content-Length"
    CHUNKED = "the last chunk"
    CLOSE = "the end of the connection"


_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE


class Gateway:
    """What all exchanges of a worker share. `closing` is true from the time on when connections are to end."""

    def __init__(self, app: App, errors: ErrorLog) -> None:
        self.app = app
        self.errors = errors
        self.clock = Clock()
        self.closing = False


class Exchange:
    """Run `answer` once; then `status`, `sent` (bytes of body) and `keep_alive` say how it went.

    `broken` tells a response that the client must not take for complete. `now` is monotonic ns.
    """

    __slots__ = (
        "_begun", "_channel", "_framing", "_gateway", "_head", "_now", "_request",
        "broken", "keep_alive", "sent", "status",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, request: Request, channel: Channel, now: int) -> None:
        self._gateway = gateway
        self._request = request
        self._channel = channel
        self._now = now
        self._head: ResponseHead | None = None
        self._begun = False  # the head has been sent
        self._framing = _NONE
        self.keep_alive = request.keep_alive
        self.broken = False
        self.status = 500
        self.sent = 0

    def answer(self) -> None:
        """Call the application and send what it says. Never raises."""
        request = self._request
        result: Any = None
        try:
            request.environ["wsgi.input"] = request.input()
            result = self._gateway.app(request.environ, self.start_response)
            self._deliver(result)
        except ClientGone:
            self.broken = True
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: a view may not end the worker
            self._failed(error)
        if hasattr(result, "close"):
            self._close(result)
        if request.body is not None:
            request.body.file.close()

    def start_response(
        self, status: str, fields: Fields, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333: a second call is only for errors, and only while nothing has been sent."""
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through this frame
        elif self._head is not None:
            raise WsgiError("start_response called twice")
        self._head = ResponseHead(status, fields)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body at once."""
        if not isinstance(data, bytes):
            raise WsgiError(f"body of {type(data).__name__}, not bytes")
        if not self._begun:
            head = self._start(None)
            self._channel.send_piece(head + self._framed(data))
        elif data and (framed := self._framed(data)):
            self._channel.send_piece(framed)

    def _deliver(self, result: Any) -> None:
        if isinstance(result, (list, tuple)):
            self._deliver_whole(b"".join(result))
        elif type(result) is FileWrapper and (span := span_of(result.filelike)) is not None:
            self._deliver_file(span)
        else:
            for piece in result:
                if piece or not isinstance(piece, bytes):
                    self.write(piece)
            self._finish()

    def _deliver_whole(self, body: bytes) -> None:
        """All of the body is here, so its length is known (PEP 3333 "Handling the Content-Length Header")."""
        if self._begun:
            self.write(body)
            self._finish()
            return
        head = self._start(len(body))
        if self._framing is _LENGTH:
            body = self._measured(body)
        else:
            body = b""
        self._channel.send(head + body)
        if self._framing is _LENGTH:
            self._check_length()

    def _deliver_file(self, span: Span) -> None:
        if self._begun:
            raise WsgiError("file_wrapper after write()")
        head = self._start(span.size)
        self._channel.send(head)
        if self._framing is _LENGTH:
            assert self._head is not None
            size = min(span.size, self._head.length or 0)
            self._channel.send_file(Span(span.fd, span.offset, size))
            self.sent = size
        self._finish()

    def _start(self, size: int | None) -> bytes:
        """The head's bytes; `size` is that of the whole body where it is known."""
        head = self._head
        if head is None:
            raise WsgiError("the application did not call start_response")
        gateway, request = self._gateway, self._request
        self.status = head.status
        self._begun = True
        framing = self._frame(head, size)
        if gateway.closing or self._framing is _CLOSE:
            self.keep_alive = False
        if not self.keep_alive:
            framing += "Connection: close\r\n"
        elif request.version == "HTTP/1.0":
            framing += "Connection: keep-alive\r\n"
        server = "" if head.named else "Server: superwsgi\r\n"
        date = "" if head.dated else gateway.clock.date(self._now)
        return f"{head.status_line}{server}{date}{head.fields}{framing}\r\n".encode("latin-1")

    def _frame(self, head: ResponseHead, size: int | None) -> str:
        """Choose the framing; the fields that announce it."""
        if head.bodiless or self._request.method == "HEAD":
            self._framing = _NONE
            return "" if head.length is None or head.status == 204 else f"Content-Length: {head.length}\r\n"
        if head.length is None:
            head.length = size
        if head.length is not None:
            self._framing = _LENGTH
            return f"Content-Length: {head.length}\r\n"
        if self._request.version == "HTTP/1.1":
            self._framing = _CHUNKED
            return "Transfer-Encoding: chunked\r\n"
        self._framing = _CLOSE
        return ""

    def _framed(self, data: bytes) -> bytes:
        framing = self._framing
        if framing is _NONE or not data:
            return b""
        if framing is _LENGTH:
            return self._measured(data)
        self.sent += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if framing is _CHUNKED else data

    def _measured(self, data: bytes) -> bytes:
        """Never more than Content-Length: the rest would be read as the next response."""
        assert self._head is not None
        assert self._head.length is not None
        room = self._head.length - self.sent
        if len(data) > room:
            self._complain("response longer than its Content-Length", cut=len(data) - room)
            data = data[:room]
        self.sent += len(data)
        return data

    def _finish(self) -> None:
        if not self._begun:
            self._channel.send(self._start(0))
        if self._framing is _CHUNKED:
            self._channel.send(b"0\r\n\r\n")
        elif self._framing is _LENGTH:
            self._check_length()

    def _check_length(self) -> None:
        assert self._head is not None
        if self.sent != self._head.length:
            self.broken = True
            self._complain("response shorter than its Content-Length", sent=self.sent, length=self._head.length)

    def _failed(self, error: BaseException) -> None:
        request = self._request
        self._gateway.errors.exception(
            "request failed", error, method=request.method, path=request.environ.get("PATH_INFO", "")
        )
        if self._begun:
            self.broken = True
            return
        self.status, self._begun = 500, True
        if self._gateway.closing:
            self.keep_alive = False
        date = self._gateway.clock.date(self._now)
        try:
            self._channel.send(refusal(500, date, close=not self.keep_alive, body=request.method != "HEAD"))
        except ClientGone:
            self.broken = True

    def _close(self, result: Any) -> None:
        """PEP 3333: always, however the request ended."""
        try:
            result.close()
        except BaseException as error:
            self._gateway.errors.exception("close() failed", error, path=self._request.environ.get("PATH_INFO", ""))

    def _complain(self, event: str, **facts: int) -> None:
        self._gateway.errors.error(event, path=self._request.environ.get("PATH_INFO", ""), **facts)
