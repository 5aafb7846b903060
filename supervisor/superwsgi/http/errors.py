"""Errors of HTTP, each with its consequence: the status that the client is answered."""

from __future__ import annotations


class HttpError(Exception):
    """The client is answered `status` by the server itself, and the connection ends.

    Where a request could not be understood, nobody knows where the next one begins (RFC 9112 section 9.2).
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


class WsgiError(Exception):
    """The application breaks PEP 3333: an error of the application, so 500 where that can still be said."""


class ClientGone(ConnectionError):
    """Nobody will read what the application sends: the client left, or its request was written off."""
