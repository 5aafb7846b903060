"""Bytes in, requests out: one parser a connection, around llhttp.

Sans-I/O. Whatever a client sends, memory stays bounded: by the limits for the message in the making, and by
the size of what is fed at once for pipelined requests. The first error is the last thing that is parsed.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from superwsgi.config.schema import Limits
from superwsgi.http.body import Body
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import FROM_OTHERS, FROM_TRUSTED
from superwsgi.http.forwarded import believe, is_forwarded
from superwsgi.http.identity import REQUEST_ID, RequestIds
from superwsgi.http.peers import Trusted
from superwsgi.http.request import Environ, Request, check_head, fill_environ


class Phase(enum.Enum):
    """What the next byte will belong to."""

    BETWEEN = "between two requests"
    HEAD = "a head"
    BODY = "a body"


_BETWEEN: Final = Phase.BETWEEN
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY

_VERSIONS: Final = {"1.1": "HTTP/1.1", "1.0": "HTTP/1.0"}
_LENGTH_DIGITS: Final = 18  # int() refuses thousands of digits, which a client may send

_METHODS: Final[dict[bytes, str]] = {}


class Parser:
    """Feeds on bytes; `requests` fills with what is complete, `error` is set where the client is refused.

    `environ` is what all requests of this connection have in common; `trusted`, where its peer is one of
    them, the peers that are believed about their clients.
    """

    __deletable__ = ("_llhttp",)  # mypyc wants to be told

    def __init__(
        self, limits: Limits, environ: Environ, ids: RequestIds, trusted: Trusted | None = None
    ) -> None:
        self.requests: deque[Request] = deque()
        self.error: HttpError | None = None
        self.phase = _BETWEEN
        self.received = 0  # bytes of the body in the making
        self._limits = limits
        self._environ = environ
        self._ids = ids
        self._trusted = trusted
        self._keys = FROM_OTHERS if trusted is None else FROM_TRUSTED
        self._request = Request()
        self._unframed = 0  # bytes fed that may all belong to the present head, or to chunk framing alone
        self._replaying = False
        self._llhttp: HttpRequestParser = HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Parse `data`. Nothing is raised; see `error`."""
        if self.error is not None:
            return
        self._unframed += len(data)
        try:
            self._execute(data)
            if self.phase is not _BETWEEN:
                self._check_unfinished()
        except HttpParserCallbackError as error:
            self._fail(error.__context__)
        except HttpParserError as error:
            self._fail(error)
        except HttpError as error:
            self._fail(error)

    def close(self) -> None:
        """Let go of llhttp, whose callbacks would keep this object alive until a garbage collection."""
        del self._llhttp

    @property
    def next(self) -> Request | None:
        """The request that has to be answered next; None where its head is not here yet."""
        if self.requests:
            return self.requests[0]
        return self._request if self.phase is not _BETWEEN and self._request.id else None

    def wants_continue(self) -> bool:
        """True once where the client waits for `100 Continue` before the body (RFC 9110 section 10.1.1)."""
        if self.phase is not _BODY or self.received or self.requests:
            return False
        return (
            self._request.environ.pop("HTTP_EXPECT", None) is not None and self._request.version == "HTTP/1.1"
        )

    def _execute(self, data: bytes) -> None:
        try:
            self._llhttp.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._go_on(data[upgrade.args[0] :])

    def _go_on(self, rest: bytes) -> None:
        """Behind the head of a request that asks for another protocol: this server stays with this one.

        llhttp skips the body of such a request, so its head is told again to a new llhttp, without `Upgrade`.
        """
        if self.phase is _BODY:
            self._llhttp = HttpRequestParser(self)
            self._replaying = True
            self._llhttp.feed_data(self._framing())
            self._replaying = False
        if rest:
            self._execute(rest)

    def _framing(self) -> bytes:
        environ = self._request.environ
        if "HTTP_TRANSFER_ENCODING" in environ:
            return b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        return f"POST / HTTP/1.1\r\nContent-Length: {environ['CONTENT_LENGTH']}\r\n\r\n".encode("latin-1")

    def _fail(self, error: BaseException | None) -> None:
        if isinstance(error, HttpError):
            self.error = error
        elif isinstance(error, OSError):
            self.error = HttpError(500, f"body could not be stored: {error.strerror}")
        elif isinstance(error, HttpParserError):
            self.error = HttpError(400, str(error) or "not HTTP")
        elif error is not None:
            raise error

    def _check_unfinished(self) -> None:
        """The limits, for what has not ended yet."""
        limits, request = self._limits, self._request
        if self.phase is _HEAD and not request.fields and len(request.target) > limits.line:
            raise HttpError(414, "request line over limits.line")
        if len(request.fields) > limits.fields:
            raise HttpError(431, "fields over limits.fields")
        if self._unframed > limits.head:
            raise HttpError(431, "head over limits.head")

    # What llhttp calls, in this order.

    def on_message_begin(self) -> None:
        if not self._replaying:
            self._request = Request()
            self.phase = _HEAD

    def on_url(self, part: bytes) -> None:
        if not self._replaying:
            self._request.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._replaying:
            self._request.fields.append((name, value))

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        llhttp, request, limits = self._llhttp, self._request, self._limits
        method = llhttp.get_method()
        request.method = _METHODS.get(method) or _METHODS.setdefault(method, method.decode("ascii"))
        version = _VERSIONS.get(llhttp.get_http_version())
        if version is None:
            raise HttpError(505, "version is neither 1.0 nor 1.1")
        request.version = version
        if len(request.target) + len(method) + len(" HTTP/1.1") + 1 > limits.line:
            raise HttpError(414, "request line over limits.line")
        if len(request.fields) > limits.fields:
            raise HttpError(431, "fields over limits.fields")
        if self._unframed > limits.head and request.head_size() > limits.head:
            raise HttpError(431, "head over limits.head")
        fill_environ(self._environ.copy(), request, self._keys)
        self._identify(request)
        check_head(request)
        if self._trusted is not None and is_forwarded(request.environ):
            believe(request.environ, self._trusted)
        request.keep_alive = llhttp.should_keep_alive()
        if request.has_body:
            self._expect_body()

    def _identify(self, request: Request) -> None:
        said = request.environ.get("HTTP_X_REQUEST_ID")  # from a trusted peer: FROM_OTHERS has no such key
        if said is None or not REQUEST_ID.fullmatch(said):
            request.environ["HTTP_X_REQUEST_ID"] = said = self._ids.make()
        request.id = said

    def _expect_body(self) -> None:
        length = self._request.environ.get("CONTENT_LENGTH", "").lstrip("0")
        if len(length) > _LENGTH_DIGITS or int(length or 0) > self._limits.body:
            raise HttpError(413, "body over limits.body")
        self._request.body = Body(self._limits.body_memory)
        self._request.fields = []  # from here on: trailer fields, which are counted and dropped
        self._unframed = 0
        self.received = 0
        self.phase = _BODY

    def on_body(self, data: bytes) -> None:
        body = self._request.body
        assert body is not None
        self._unframed = 0
        self.received += len(data)
        if self.received > self._limits.body:
            raise HttpError(413, "body over limits.body")
        body.write(data)

    def on_message_complete(self) -> None:
        request = self._request
        if request.body is not None:
            if self._skipped():
                return
            _settle_length(request.environ, self.received)
        self.phase = _BETWEEN
        self._unframed = 0
        self.requests.append(request)

    def _skipped(self) -> bool:
        """Whether llhttp took the message for complete although its body is still to come."""
        return self.phase is _BODY and bool(self._llhttp.should_upgrade())


def _settle_length(environ: Environ, size: int) -> None:
    """The body is here as a whole: applications read CONTENT_LENGTH, and need not know of chunks."""
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ.pop("HTTP_EXPECT", None)
    environ["CONTENT_LENGTH"] = str(size)
