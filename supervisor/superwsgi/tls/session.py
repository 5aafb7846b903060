"""TLS on one connection: ciphertext from its socket in, plaintext out, and back.

OpenSSL works on memory, never on the socket: reading costs one system call instead of OpenSSL's two per
record, the epoll's edges are those of a plain connection, and MSG_PEEK and SO_LINGER work as usual. The
caller holds the connection's write lock around every call: a session is not thread-safe.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any, Final

from superwsgi.apps.types import Environ
from superwsgi.http.errors import HttpError
from superwsgi.tls.environ import client_environ, tls_environ

RECORD: Final = 16 << 10
"""Maximum plaintext of one record (RFC 8446 section 5.1): what OpenSSL reads and writes at a time."""

PIECE: Final = 4 * RECORD
"""Maximum plaintext that is encrypted before it is sent."""

UNASKED: Final = 64 << 10
"""Bytes that a client may cause OpenSSL to send, with requests for key updates, without reading any."""

_HANDSHAKE: Final = 22  # ContentType, RFC 8446 section 5.1


class NamedSession(ssl.SSLObject):
    """A server's session that knows which name its client asked for."""

    server_name: str = ""


class Tls:
    """`feed` it arriving bytes and take one `handshake` step after another until it is done; then `open` what
    arrives, `send`, and `part`."""

    __slots__ = (
        "_claimed",
        "_context",
        "_environ",
        "_incoming",
        "_outgoing",
        "_session",
        "_sock",
        "_unsent",
        "begun",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, environ: Environ) -> None:
        """`environ` is the connection's: it gets the session's keys when the handshake is done."""
        self._sock = sock
        self._context = context
        self._environ = environ
        self.begun = False
        self._session: ssl.SSLObject | None = None  # made at the first step: it costs as much as all the rest
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent = b""  # ciphertext that the socket has not taken
        self._claimed = 0  # bytes of plaintext already encrypted, but reported to the caller as unsent

    def feed(self, data: bytes) -> None:
        """Keep ciphertext for the next step of the handshake. Raises HttpError if it is not TLS."""
        if not self.begun and self._incoming.pending == 0 and data[0] != _HANDSHAKE:
            raise HttpError(400, "this port speaks TLS: use https://")
        self._incoming.write(data)

    def handshake(self) -> bool:
        """Take a step; True when the handshake is done. Raises OSError, after telling the client."""
        if self._session is None:
            self._session = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
            self.begun = True
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            self._answer()
            return False
        except ssl.SSLError as error:
            self._answer()
            raise OSError(reason(error)) from None
        self._answer()
        try:
            self._environ.update(environ_of(self._session))
        except UnicodeDecodeError:  # getpeercert() takes all names for UTF-8, whatever an authority signed
            raise OSError("a name in the client certificate is not UTF-8") from None
        return True

    def _answer(self) -> None:
        """Send OpenSSL's side of the handshake; an empty socket buffer takes all of it at once."""
        data = self._outgoing.read()
        if data and self._sock.send(data) < len(data):
            raise OSError("client does not read")

    def open(self, data: bytes) -> bytes:
        """The plaintext of the records that have arrived completely. Raises OSError.

        If the client has announced that it will send no more, the socket is shut for reading: from then on it
        reads as ended, like that of a plain connection.
        """
        session, incoming = self._session, self._incoming
        if session is None:
            raise OSError("parted")
        incoming.write(data)
        try:
            plain = session.read(RECORD)
            if incoming.pending and plain:
                plain += self._open_on(session)
            if not plain:
                self._sock.shutdown(socket.SHUT_RD)
        except ssl.SSLWantReadError:
            plain = b""
        except ssl.SSLError as error:
            self._speak()
            raise OSError(reason(error)) from None
        if self._outgoing.pending:
            self._speak()
        return plain

    def _speak(self) -> None:
        """Send OpenSSL's own messages, such as the alert that refuses a renegotiation: at once if nothing is
        queued before them, else with the next bytes."""
        if not self._unsent:
            self._unsent = self._outgoing.read()
            self._push()
        if self._outgoing.pending > UNASKED:
            raise OSError("client asks for more than it reads")

    def _open_on(self, session: ssl.SSLObject) -> bytes:
        """The plaintext of further records; a session reads one at a time."""
        pieces = []
        try:
            while self._incoming.pending:
                if not (piece := session.read(RECORD)):
                    self._sock.shutdown(socket.SHUT_RD)
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)

    def send(self, data: bytes | memoryview) -> int:
        """Like socket.send. If it sent less than all, or raised BlockingIOError, the rest has to come next,
        in pieces of any size: some of it may be encrypted already."""
        sent = 0
        while sent < len(data):
            if not self._claimed:
                self._seal(data[sent : sent + PIECE] if len(data) > PIECE else data)
            if not self._push():
                break
            told = min(self._claimed, len(data) - sent)
            self._claimed -= told
            sent += told
        if not sent:
            raise BlockingIOError
        return sent

    def _push(self) -> bool:
        """Send ciphertext. Whether the socket has taken all of it."""
        try:
            sent = self._sock.send(self._unsent)
        except BlockingIOError:
            return False
        self._unsent = self._unsent[sent:]
        return not self._unsent

    def _seal(self, data: bytes | memoryview) -> None:
        """Encrypt all of `data`. A session writes one record at a time."""
        session = self._session
        if session is None:
            raise OSError("parted")
        sealed = session.write(data)
        while sealed < len(data):
            sealed += session.write(data[sealed:])
        self._unsent += self._outgoing.read()
        self._claimed = sealed

    def part(self) -> None:
        """Announce that nothing more follows (RFC 8446 section 6.1), unless that would fall inside a record,
        and as far as the socket takes it."""
        session, self._session = self._session, None
        if session is None or self._unsent:
            return
        with suppress(OSError):
            session.unwrap()
        with suppress(OSError):
            self._sock.send(self._outgoing.read())


def environ_of(session: ssl.SSLObject) -> Environ:
    """The environ keys that describe a session."""
    name = session.server_name if isinstance(session, NamedSession) else ""
    cipher = session.cipher()
    environ = tls_environ(session.version() or "", cipher[0] if cipher else "", name)
    if certificate := session.getpeercert():
        der = session.getpeercert(True)
        environ |= client_environ(certificate, ssl.DER_cert_to_PEM_cert(der) if der else "")
    return environ


def reason(error: Any) -> str:
    """The reason of an SSLError, in words: OpenSSL says `NO_SHARED_CIPHER`, or None, despite typeshed."""
    return str(error.reason or error).lower().replace("_", " ")
