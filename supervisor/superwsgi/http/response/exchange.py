"""One request and the application's answer to it, turned into bytes: the server's side of PEP 3333.

Sans-I/O: bytes and files go to a `Recipient`. Whatever the application does (raises, exits, breaks the
specification, sends too much or too little), the client gets the right response, the traceback goes to the
error log, and the worker goes on. Values from the application are Any until they are checked: a compiled
function refuses an argument of another type than it declares, even one that would do (a list for a tuple).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from superwsgi.apps.types import Environ
from superwsgi.http.errors import ClientGone, WsgiError
from superwsgi.http.fields import HOP_BY_HOP
from superwsgi.http.files import FileWrapper, Span, path_of, span_of
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import RequestIds
from superwsgi.http.request.trace import named
from superwsgi.http.response.entry import access_entry
from superwsgi.http.response.handed_over import LEAVING, NOBODY
from superwsgi.http.response.head import SECOND, Clock, ResponseHead, ResponseHeads, refusal
from superwsgi.http.response.recipient import Recipient
from superwsgi.log.access import AccessEntry
from superwsgi.log.error import ErrorLog

App = Callable[[Environ, Callable[..., Callable[[bytes], object]]], Iterable[bytes]]


class Framing(enum.Enum):
    """How the client knows where the body ends: RFC 9112 section 6.3."""

    NONE = "it has none"
    LENGTH = "Content-Length"
    CHUNKED = "the last chunk"
    CLOSE = "the end of the connection"


_JOINED: Final = 64 << 10
"""A body smaller than this is sent in one call with its head; copying a larger one costs more than a call."""

_NONE: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH
_CHUNKED: Final = Framing.CHUNKED
_CLOSE: Final = Framing.CLOSE


_DIGIT: Final = b"0"
"""The size of the next chunk, and of the last one, may begin with it: RFC 9112 section 7.1 has a number."""


_COMMENT: Final = b":\n"
"""A line of an event stream that means nothing, wherever a line may begin (HTML, 9.2.6)."""


CLIENT_CLOSED: Final = 499
"""In the access log, as in nginx's: the client left before it had everything. Never sent to a client."""


class Gateway:
    """What all exchanges of a worker share. `closing`: each response is its connection's last; so are the
    next `parting` ones, as others are to serve these clients. `came_back` ends a child that the application
    forked, if it raises something. An error that is `ended_by` is how a request learns that it has been
    ended already."""

    def __init__(self, app: App, errors: ErrorLog, *, closing: bool = False) -> None:
        self.app = app
        self.errors = errors
        self.clock = Clock()
        self.heads = ResponseHeads()
        self.ids = RequestIds()
        self.closing = closing
        self.parting = 0
        self.came_back: Callable[[BaseException], object] | None = None
        self.ended_by: tuple[type[BaseException], ...] = ()
        self._unsaid = set(HOP_BY_HOP)  # fields that the error log has not mentioned yet

    def tell_dropped(self, head: ResponseHead, request: Request) -> None:
        """The application set a field that is the server's business: logged once per name, as every response
        may have it."""
        for name in head.dropped:
            with suppress(KeyError):
                self._unsaid.remove(name.lower())
                self.errors.notice(
                    "response field left out",
                    field=name,
                    **named(request),
                    target=request.target.decode("latin-1"),
                    reason="hop-by-hop: connection and framing are the server's (PEP 3333)",
                    next="left out of all responses; Connection: close is obeyed",
                )


class Exchange:
    """Run `answer` once; then `status`, `sent` (bytes of body) and `keep_alive` say how it went.

    `complete` as soon as the whole response was sent, though the application may still be closing. `broken`:
    the client must not take the response for complete. `now`, when it `began`, is in monotonic ns, as when
    the request had completely `arrived`.
    """

    __slots__ = (
        "_begun",
        "_comments",
        "_framing",
        "_gateway",
        "_head",
        "_length",
        "_recipient",
        "_streams",
        "arrived",
        "began",
        "broken",
        "complete",
        "keep_alive",
        "request",
        "sent",
        "status",
        "taken",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, request: Request, recipient: Recipient, now: int) -> None:
        self._gateway = gateway
        self.request = request
        self._recipient = recipient
        self.arrived = self.began = now
        self._head: ResponseHead | None = None
        self._begun = False  # the head has been sent
        self._comments = False  # between its lines there may be comments, and nothing else marks pieces
        self._framing = _NONE
        self._length: int | None = None  # of the body, if it is known
        self._streams = False  # the application is asked for one piece after another
        self.keep_alive = request.keep_alive
        self.broken = False
        self.complete = False
        self.taken = False  # the application has taken over the connection
        self.status = 500
        self.sent = 0

    @property
    def streams(self) -> bool:
        """Whether it is being sent piece by piece, as the application has them."""
        return (self._streams or self._begun) and not self.complete

    @property
    def begun(self) -> bool:
        return self._begun

    def answer(self) -> None:
        """Call the application and send its response. Never raises."""
        request = self.request
        result: Any = None
        try:
            request.environ["wsgi.input"] = request.input()
            result = self._gateway.app(request.environ, self.start_response)
            self._deliver(result)
        except ClientGone as gone:
            self.broken = True
            self.status = CLIENT_CLOSED
            self.sent = max(0, self.sent - gone.unsent)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: a view must not end the worker
            self._failed(error)
        if type(result) is not list:
            self._close(result)
        if request.body is not None:
            request.body.close()

    def entry(self, remote: str, now: int) -> AccessEntry:
        """Its entry for the access log; `remote` is the connection's peer. The application is done `now`."""
        app, queued = self.times(now)
        return access_entry(remote, self.request, self.request.id, self.status, self.sent, app, queued)

    def times(self, now: int) -> tuple[float, float]:
        """Seconds in the application, which is done `now`, and in the queue before."""
        return (now - self.began) / SECOND, (self.began - self.arrived) / SECOND

    def hand_over(self) -> bool:
        """Whatever it answers from now on goes nowhere: the application speaks for itself. Not once begun."""
        if self._begun:
            return False
        self.taken = self._begun = True
        self._recipient = NOBODY
        return True

    def start_response(self, status: Any, fields: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        """PEP 3333: a second call is only for errors, and only while nothing has been sent."""
        if exc_info:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through this frame
        elif self._head is not None:
            raise WsgiError("start_response called twice")
        self._head = head = self._gateway.heads.check(status, fields)
        if head.dropped:
            self._gateway.tell_dropped(head, self.request)
        return self

    def __call__(self, data: Any) -> None:
        """PEP 3333's write(): send a piece of the body at once. Raises WsgiError for more than Content-Length
        has room for."""
        if self.complete:
            raise WsgiError("write() after the end of the response")
        if not self._put(exact_bytes(data)):
            raise WsgiError(f"write() beyond Content-Length {self._length}")

    def _put(self, data: bytes) -> bool:
        """Send a piece; False if it exceeded Content-Length and was cut."""
        head = b"" if self._begun else self._start(None)
        before = self.sent
        framed = self._framed(data)
        if self._comments:
            self._recipient.void = b""  # before it is sent, as what follows may be inside a line
        if head:
            self._send(head + framed)
        elif framed:
            self._send(framed)
        elif self._recipient.gone:
            raise ClientGone
        if self._comments and framed.endswith(b"\n"):
            self._recipient.void = _COMMENT
        return self._framing is not _LENGTH or self.sent - before == len(data)

    def _send(self, data: bytes) -> None:
        if self._framing is _LENGTH and self.sent == self._length:
            self._recipient.send_last(data)
        else:
            self._recipient.send_piece(data)

    def _deliver(self, result: Any) -> None:
        if type(result) is list or _is_whole(type(result)):
            self._deliver_whole(b"".join(result))
        elif type(result) is FileWrapper and (span := span_of(result.filelike)) is not None:
            self._deliver_file(span)
        else:
            self._deliver_pieces(result)

    def _deliver_pieces(self, result: Any) -> None:
        """Send until the application has nothing more to say, or no more can be sent: after the head of a
        response without content, or beyond Content-Length."""
        self._streams = True
        self._recipient.stream()
        for piece in result:
            data = exact_bytes(piece)
            if data:
                if not self._put(data):
                    if type(result) is not FileWrapper:  # it may be part of a file, as in PEP 3333
                        self._complain_of_length()
                    break
                if self._framing is _NONE:
                    break
            elif self._recipient.gone:
                raise ClientGone
        self._finish()

    def _deliver_whole(self, body: bytes) -> None:
        """The body is complete, so its length is known (PEP 3333 "Handling the Content-Length Header")."""
        before = self.sent
        if self._begun:
            self._put(body)
        else:
            head = self._start(len(body))
            framed = self._framed(body)
            if len(framed) < _JOINED:
                self._send(head + framed)
            else:
                self._recipient.send(head)
                self._recipient.send(framed)
        if self._framing is _LENGTH and self.sent - before != len(body):
            self._complain_of_length()
        self._finish()

    def _deliver_file(self, span: Span) -> None:
        if self._begun:
            raise WsgiError("file_wrapper after write()")
        self._recipient.send(self._start(span.size))
        if self._framing is _LENGTH:
            self.sent = min(span.size, self._length or 0)
            self._recipient.send_file(span._replace(size=self.sent))
        self._finish(span)

    def _start(self, size: int | None) -> bytes:
        """Choose the framing; returns the head's bytes. `size` is that of the whole body, if known."""
        head, gateway = self._head, self._gateway
        if head is None:
            raise WsgiError("the application did not call start_response")
        self._begun = True
        self.status = head.status
        self._length = size if head.length is None else head.length
        self._framing = self._choose_framing(head)
        ending = gateway.closing or gateway.parting > 0
        if self._framing is _CHUNKED:
            self._recipient.void = _DIGIT
        elif self._framing is _CLOSE:
            self._recipient.end_with_connection(True)
            self._comments = _has_comments(head)
        if self._framing is _CLOSE or head.closes or (ending and not self._recipient.followed):
            if self.keep_alive and gateway.parting > 0:
                gateway.parting -= 1
            self.keep_alive = False
        connection = "" if self.keep_alive else "Connection: close\r\n"
        if self._framing is _CHUNKED:
            connection += "Transfer-Encoding: chunked\r\n"
        elif self.keep_alive and self.request.version == "HTTP/1.0":
            connection = "Connection: keep-alive\r\n"
        return head.spell(gateway.clock, self.began, self.request.id, self._length, connection)

    def _choose_framing(self, head: ResponseHead) -> Framing:
        """RFC 9112 section 6.3; without a body, only the application's own length is sent."""
        if head.bodiless or self.request.method == "HEAD":
            self._length = head.length
            return _NONE
        if self._length is not None:
            return _LENGTH
        return _CHUNKED if self.request.version == "HTTP/1.1" else _CLOSE

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
        size, room = len(data), (self._length or 0) - self.sent
        if size > room:
            data, size = data[:room], room
        self.sent += size
        return data

    def _finish(self, span: Span | None = None) -> None:
        """The application has nothing more to say; `span` is its file, if the response was one."""
        if not self._begun:
            self._recipient.send(self._start(0))
        if self._framing is _CHUNKED:
            self._recipient.void = b""
            self._recipient.send(b"0\r\n\r\n")
        elif self._framing is _CLOSE:
            self._recipient.void = b""
            self._recipient.end_with_connection(False)
        elif self._framing is _LENGTH and self.sent != self._length:
            self.broken = True
            file = {} if span is None else {"file": path_of(span.fd)}
            self._complain(
                f"response shorter than its Content-Length {self._length}, connection closed", **file
            )
            return
        self.complete = True

    def _failed(self, error: BaseException) -> None:
        if self._gateway.came_back is not None:
            self._gateway.came_back(error)
        if isinstance(error, self._gateway.ended_by):
            self.broken = True
            return
        if self.taken and isinstance(error, LEAVING):
            return
        request = self.request
        self._gateway.errors.exception(
            "request failed", error, **named(request), method=request.method, path=self._path
        )
        if self._begun:
            self.broken = True
            return
        self._begun = True
        self.keep_alive &= not self._gateway.closing and request.version == "HTTP/1.1"
        response = refusal(
            500,
            self._gateway.clock.date(self.began),
            request.id,
            close=not self.keep_alive,
            body=request.method != "HEAD",
        )
        self.status, self.sent = 500, len(response.body)
        with suppress(ClientGone):
            self._recipient.send(bytes(response))

    def _close(self, result: Any) -> None:
        """PEP 3333: close() is always called, however the request ended."""
        try:
            if hasattr(result, "close"):
                result.close()
        except BaseException as error:
            errors = self._gateway.errors
            errors.exception("close() failed", error, **named(self.request), path=self._path)

    @property
    def _path(self) -> str:
        """The path as the client spelled it: the application may have put anything into the environ."""
        return self.request.target.decode("latin-1").partition("?")[0]

    def _complain_of_length(self) -> None:
        self._complain(f"response longer than its Content-Length {self._length}, cut")

    def _complain(self, event: str, **more: str) -> None:
        self._gateway.errors.notice(
            event, level="error", **named(self.request), path=self._path, sent=self.sent, **more
        )


def exact_bytes(piece: Any) -> bytes:
    """A piece of a body as plain bytes, copied unless it is that already: it may be a bytearray that the
    application reuses, or a subclass with a length of its own. Raises WsgiError if it has no bytes."""
    if type(piece) is bytes:
        return piece
    try:
        return b"".join((piece,))
    except TypeError:
        raise WsgiError(f"body of {type(piece).__name__}, not bytes") from None


def _has_comments(head: ResponseHead) -> bool:
    """Whether it is the head of an event stream, as it is."""
    fields = f"\r\n{head.fields.lower()}"
    return "\r\ncontent-type: text/event-stream" in fields and "\r\ncontent-encoding:" not in fields


def _is_whole(kind: type) -> bool:
    """Whether objects of this class are plain lists or tuples."""
    if issubclass(kind, list):
        return kind.__iter__ is list.__iter__
    return issubclass(kind, tuple) and kind.__iter__ is tuple.__iter__
