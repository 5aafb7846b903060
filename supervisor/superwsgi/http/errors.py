"""Errors of HTTP, each with its consequence: the status that the client is answered."""

from __future__ import annotations

_SERVERS_OWN: tuple[int, ...] = (500, 503)


class HttpError(Exception):
    """The client is answered `status` by the server itself, and the connection ends.

    Where a request could not be understood, nobody knows where the next one begins (RFC 9112 section 9.2).
    `reason` never quotes what the client sent: it stands in the answer and in the error log as it is.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason

    @property
    def advice(self) -> str:
        """What the client may know of the reason: all, unless the trouble is the server's own."""
        return "" if self.status in _SERVERS_OWN else self.reason


class ProxyHeaderError(Exception):
    """A connection does not begin with the PROXY protocol header that it needs: it ends without an answer."""


class WsgiError(Exception):
    """The application breaks PEP 3333: an error of the application, so 500 where that can still be said."""


class ClientGone(ConnectionError):
    """Nobody will read what the application sends: the client left, or its request was written off.

    `unsent` bytes of what was to be sent are lost.
    """

    def __init__(self, unsent: int = 0) -> None:
        super().__init__()
        self.unsent = unsent
