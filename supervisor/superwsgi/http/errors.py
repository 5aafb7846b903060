"""HTTP errors, each with its consequence: the status that the client gets."""

from __future__ import annotations

_SERVERS_OWN: tuple[int, ...] = (500, 503)


class HttpError(Exception):
    """The server itself answers with `status`, and the connection ends.

    If a request could not be understood, nobody knows where the next one begins (RFC 9112 section 9.2).
    `reason` never quotes what the client sent: it appears as it is in the answer and in the error log. A
    client that may come back is told when, in `retry_after` seconds (RFC 9110 section 10.2.3). `remedy` is
    what an operator does if the proxy in front is the one who is wrong.
    """

    def __init__(self, status: int, reason: str, retry_after: int | None = None, remedy: str = "") -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.remedy = remedy
        self.retry_after = 1 if retry_after is None and status in (429, 503) else retry_after

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
