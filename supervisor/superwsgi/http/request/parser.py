"""Bytes in, requests out: one parser per connection.

Sans-I/O. At most one complete request is held at a time, and the bytes fed after it unparsed, so memory stays
bounded whatever a client sends: by the limits for an incomplete message, and by the size of one feed for the
rest. Parsing stops at the first error, and after a request that asks for the end of the connection.
"""

from __future__ import annotations

import enum
import re
import secrets
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from superwsgi.apps.types import Environ
from superwsgi.config.sections import Limits
from superwsgi.core.chosen import READ_PLAIN, PlainHead, ReadPlain
from superwsgi.http.client.forwarded import believe, is_forwarded, set_scheme
from superwsgi.http.client.peers import UNIX, Trusted
from superwsgi.http.client.proxy_protocol import Announcement
from superwsgi.http.client.request_start import ago
from superwsgi.http.environ import set_ends
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import REQUEST_START
from superwsgi.http.host import HOSTS
from superwsgi.http.request.framing import Chunked, Sized, expect_body, settle_length
from superwsgi.http.request.front import Front
from superwsgi.http.request.head import (
    LLHTTP,
    HeadLimits,
    Request,
    check_fields,
    check_scheme,
    has_bare,
    read_head,
    read_line,
    too_large,
)
from superwsgi.http.request.large import NOTHING, Lender
from superwsgi.http.request.rules import Rules
from superwsgi.http.request.upgrades import asks_for_upgrade


class Phase(enum.Enum):
    """What the next byte belongs to."""

    BETWEEN = "between two requests"
    HEAD = "a head"
    BODY = "a body"


_BETWEEN: Final = Phase.BETWEEN
_HEAD: Final = Phase.HEAD
_BODY: Final = Phase.BODY

_USUAL: Final = Front()
_CR: Final = 13
_SLASH: Final = 47
_FOR_HEAD: Final = re.compile(rb"(?:\r\n)*HEAD ")
_TLS_HANDSHAKE: Final = 22  # RFC 8446 section 5.1; a line end may never come

# The ids that proxies make (UUIDs, hexadecimal, base64, HAProxy's %ci:%cp_%fi:%fp_%Ts_%rt:%pid), and nothing
# that a log, a URL or an application's SQL could stumble over.
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._~:@+/=-]{1,128}")


class RequestIds:
    """Makes an id for each request that did not get one from a trusted peer in X-Request-ID.

    It is in the environ, in the response and in both logs, so that reports by clients and proxies can be
    matched to log lines. It is unique, not secret: a random prefix per worker process, and a number.

    Create this after the fork: siblings would share a prefix. With 64 random bits, two of a million workers
    share one with a probability of 3 in 10^8.
    """

    __slots__ = ("_next", "_prefix")

    def __init__(self) -> None:
        self._prefix = f"{secrets.token_hex(8)}-"
        self._next: Callable[[], int] = count(1).__next__

    def make(self) -> str:
        return self._prefix + str(self._next())


class Parser:
    """Takes bytes; `requests` has the next complete request, `error` is set if the client is refused.

    `environ` is what all requests of this connection have in common. `trusted` are the peers that are
    believed about their clients, if its peer is one of them. If it is not, `on_claim` is called with its
    address and the field by which it makes a claim anyway. `rules` are those by path, if there are any;
    `front` is what holds for the way to the site, if that is anything unusual. `lender` has memory for large
    bodies.
    """

    __slots__ = (
        "_at", "_body", "_deaf", "_environ", "_for_head", "_front", "_head_limits", "_ids", "_keys",
        "_lender", "_limits", "_lined", "_looked", "_on_claim", "_read_plain", "_request", "_rest", "_root",
        "_rules", "_trusted", "behind", "early", "error", "phase", "requests",
    )  # fmt: skip

    def __init__(
        self,
        limits: Limits,
        environ: Environ,
        ids: RequestIds,
        trusted: Trusted | None = None,
        on_claim: Callable[[str, str], None] | None = None,
        rules: Rules | None = None,
        front: Front | None = None,
        lender: Lender = NOTHING,
    ) -> None:
        self.requests: list[Request] = []
        self.error: HttpError | None = None
        self.phase = _BETWEEN
        self.early = b""  # what has arrived behind a request that asks for another protocol
        self.behind = False  # more has arrived than was parsed in one go: call `go_on` after others
        self._limits = limits
        self._head_limits = HeadLimits(limits)
        self._environ = environ
        self._ids = ids
        self._trusted = trusted
        self._on_claim = on_claim
        self._rules = rules
        self._lender = lender
        self._read_plain: ReadPlain | None = READ_PLAIN  # takes plain heads
        self._front = front or _USUAL
        self._root = self._front.root
        self._keys = self._front.others if trusted is None else self._front.believed
        self._rest: bytes | bytearray = b""  # bytes that were fed, unparsed from `_at` on
        self._at = 0
        self._looked = 0  # how far the end of a head has been searched for in vain
        self._lined = False  # the request line of that head is known to be valid
        self._request: Request | None = None  # one whose head has arrived, but not all of its body
        self._body: Sized | Chunked | None = None
        self._deaf = False  # whether all further bytes are ignored
        self._for_head = False  # a request that could not be understood began as a HEAD request

    def introduce(self, who: Announcement, trusted: Trusted) -> None:
        """Before the first request: the peer says whose connection this is.

        From then on, claims in the requests are the client's own, not the peer's, which sees only a stream of
        bytes.
        """
        if who.secure:
            set_scheme(self._environ, "https")
        if who.relayed:
            set_ends(self._environ, who.server, who.client)
            believed = trusted.peer(who.client[0] if who.client else UNIX).trusted
            self._trusted = trusted if believed else None
            self._keys = self._front.believed if believed else self._front.others

    def feed(self, data: bytes) -> None:
        """Take in `data`. Nothing is raised; see `error`."""
        if self._deaf or not data:
            return
        if self._rest:
            self._keep()
            self._rest += data
        else:
            self._rest = data
        if not self.requests:
            self._parse()

    def room(self) -> memoryview | None:
        """Memory to receive the next bytes into, which spares a copy; None if they have to be fed."""
        body = self._body
        return body.room() if isinstance(body, Sized) and not (self._rest or self.requests) else None

    def filled(self, size: int) -> None:
        """So many bytes are in the last `room` now."""
        body = self._body
        assert isinstance(body, Sized)
        body.filled(size)
        if body.done:
            self._end_body()

    def go_on(self) -> None:
        """Parse bytes that have arrived but were not parsed yet."""
        self._parse()

    def pop(self) -> Request:
        """Take the complete request; the next one, if it has arrived, replaces it."""
        request = self.requests.pop()
        if self._rest:
            self._parse()
        return request

    def close(self) -> None:
        """No more requests: release everything."""
        self._drop_body()
        self.requests.clear()
        self._stop()

    @property
    def received(self) -> int:
        """Bytes received of the body that is arriving."""
        return 0 if self._request is None or self._request.body is None else self._request.body.size

    @property
    def next(self) -> Request | None:
        """The request that has to be answered next; None if its head has not arrived yet."""
        return self.requests[0] if self.requests else self._request

    @property
    def for_head(self) -> bool:
        """Whether the request to be answered next is a HEAD request, as far as can be seen: then a refusal
        must not have a body either (RFC 9110 section 9.3.2)."""
        request = self.next
        return self._for_head or self._begins_head() if request is None else request.method == "HEAD"

    def wants_continue(self) -> bool:
        """True, once, if the client waits for `100 Continue` before the body (RFC 9110 section 10.1.1)."""
        request = self._request
        if request is None or self._rest or self.received or self.requests:
            return False
        expects, request.expects = request.expects, False
        return expects

    def _parse(self) -> None:
        """Parse until a request is complete or more bytes are needed."""
        try:
            if self._body is None:
                self._read_head()
            if self._body is not None and self._rest:
                self._read_body()
        except HttpError as error:
            self._fail(error)
        except OSError as error:
            self._fail(HttpError(503, f"body could not be stored: {error.strerror}"))

    def _read_head(self) -> None:
        rest, at = self._rest, self._at
        if rest[at] == _CR:  # RFC 9112 section 2.2: empty lines before a request
            while rest.startswith(b"\r\n", at):
                at += 2
        limits, looked = self._head_limits, self._looked
        if self._read_plain is not None and isinstance(rest, bytes):  # it is not, once some was kept
            known, size, line, fields = self._keys.known, limits.bytes, limits.line, limits.fields
            found = self._read_plain(rest, at, self._environ, known, HOSTS, size, line, fields)
            if found is not None:
                self._take_plain(found)
                return
        end = rest.find(b"\r\n\r\n", looked - 3 if looked > at + 3 else at, at + limits.bytes)
        if end < 0:
            self._await_head(at)
            return
        head = rest[at:end] if isinstance(rest, bytes) else bytes(rest[at:end])
        request = read_head(head, self._environ.copy(), self._keys, limits)
        self._move(end + 4)
        if looked:
            self._looked = 0
            self._lined = False
        self._request = request
        if request.claim and self._on_claim is not None:
            self._on_claim(self._environ["REMOTE_ADDR"], request.claim)
        self._identify(request)
        check_fields(request)
        self._place(request)
        environ = request.environ
        framed = "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ
        if framed:
            self._body = expect_body(request, self._limits, self._lender)
        upgrades = "HTTP_UPGRADE" in environ
        if upgrades:
            request.upgrade = self._limits.upgraded > 0 and asks_for_upgrade(request)
        if framed or upgrades or not request.plain:
            request.plain = False
            last = self._body is not None or not request.keep_alive or upgrades
            LLHTTP.check(head + b"\r\n\r\n", last=last)
        if self._body is None:
            self._complete(request)
        else:
            self.phase = _BODY

    def _take_plain(self, found: PlainHead) -> None:
        """What does not concern the way to the site has been checked, and there is no body."""
        end, environ, method, target, version, keep_alive = found
        self._move(end)
        self._request = request = Request(method, target, version, environ)
        request.keep_alive = keep_alive
        self._identify(request)
        self._place(request)
        self._complete(request)

    def _place(self, request: Request) -> None:
        """Find out who its client is, by the word of trusted peers, and where in the site it belongs."""
        environ = request.environ
        hops = 0
        if self._trusted is not None:
            hops = 1
            if self._keys.claimed and is_forwarded(environ):
                hops = believe(environ, self._trusted)
            if self._keys.timed and REQUEST_START in environ:
                said = environ[REQUEST_START]
                request.before, request.read = ago(said, time.time_ns()), time.monotonic_ns()
        if request.target[0] != _SLASH:
            check_scheme(request)
        if self._root is not None:
            self._root.enter(request, hops)
        if self._rules is not None:
            request.rule = self._rules.find(environ)

    def _identify(self, request: Request) -> None:
        said = request.environ.get("HTTP_X_REQUEST_ID")  # from a trusted peer: FROM_OTHERS has no such key
        if said is None or not REQUEST_ID.fullmatch(said):
            request.environ["HTTP_X_REQUEST_ID"] = said = self._ids.make()
        request.id = said

    def _await_head(self, at: int) -> None:
        """Look for errors in an incomplete head: the client may be waiting for an answer."""
        self._move(at)
        if not self._rest:
            self.phase = _BETWEEN
            return
        self.phase = _HEAD
        self._keep()
        unseen = self._looked - 1 if self._lined else 0
        if not self._lined:
            self._lined = self._check_line()
        rest, limits = self._rest, self._limits
        if len(rest) >= limits.head:
            raise too_large(rest[: limits.head], "head over limits.head")
        if self._lined and has_bare(rest, unseen, len(rest)):
            raise HttpError(400, "bare CR or LF")
        self._looked = len(rest)

    def _check_line(self) -> bool:
        """Whether the request line is complete. Raises HttpError if it is wrong."""
        rest = self._rest
        longest = min(self._limits.line, self._limits.head - 2)
        end = rest.find(b"\n", 0, longest + 2)
        if end >= 0:
            read_line(rest[: end + 1].removesuffix(b"\r\n").decode("latin-1"), longest)
        elif len(rest) >= longest + 2 or rest[0] == _TLS_HANDSHAKE:
            read_line(rest[: longest + 2].decode("latin-1"), longest)
        return end >= 0

    def _read_body(self) -> None:
        body = self._body
        assert body is not None
        self._move(body.read(self._rest, self._at))
        self.behind = isinstance(body, Chunked) and body.behind
        if not body.done:
            if not self.behind:
                self._keep()
            return
        self._end_body()

    def _end_body(self) -> None:
        request = self._request
        assert request is not None
        settle_length(request.environ, self.received)
        self._body = None
        self._complete(request)

    def _complete(self, request: Request) -> None:
        self.phase = _BETWEEN
        self._request = None
        self.requests.append(request)
        if request.upgrade:
            request.keep_alive = False
            self.early = bytes(self._rest[self._at :])
        if not request.keep_alive:
            self._stop()

    def _fail(self, error: HttpError) -> None:
        self.error = error
        self._for_head = self._begins_head()
        self._stop()
        self._drop_body()

    def _drop_body(self) -> None:
        """Drop the body of a request that nobody will answer."""
        request = self.next
        if request is not None and request.body is not None:
            request.body.close()

    def _begins_head(self) -> bool:
        return _FOR_HEAD.match(self._rest, self._at) is not None

    def _stop(self) -> None:
        """Ignore further bytes: they are not a request (RFC 9112 section 9.6)."""
        self.behind = False
        self._deaf = True
        self._rest = b""
        self._at = 0

    def _move(self, at: int) -> None:
        """Note that everything before `at` is parsed."""
        if at == len(self._rest):
            self._rest = b""
            self._at = 0
        else:
            self._at = at

    def _keep(self) -> None:
        """Keep unparsed bytes, so that more can be appended, and release the rest."""
        if self._at or isinstance(self._rest, bytes):
            self._rest = bytearray(self._rest[self._at :])
            self._at = 0
