"""HTTP errors, each with its consequence: the status that the client gets."""

from __future__ import annotations

_SERVERS_OWN: tuple[int, ...] = (500, 503)


class HttpError(Exception):
    """The server itself answers with `status`, and the connection ends.

    If a request could not be understood, nobody knows where the next one begins (RFC 9112 section 9.2).
    `reason` never quotes what the client sent: it appears as it is in the answer and in the error log.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason

    @property
    def advice(self) -> str:
        """What the client may know about the reason: all of it, unless the problem is the server's own."""
        return "" if self.status in _SERVERS_OWN else self.reason


class ProxyHeaderError(Exception):
    """A connection does not begin with the required PROXY protocol header: it ends without an answer."""


class WsgiError(Exception):
    """The application breaks PEP 3333: an error of the application, so 500 if that can still be sent."""


class ClientGone(ConnectionError):
    """Nobody will read the application's output: the client left, or its request was written off.

    `unsent` bytes of it are lost.
    """

    def __init__(self, unsent: int = 0) -> None:
        super().__init__()
        self.unsent = unsent
