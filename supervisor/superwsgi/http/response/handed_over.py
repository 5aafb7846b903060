"""What becomes of the answer of an application that has taken over the connection: libraries end their
requests in many ways, and none of them may reach the client."""

from __future__ import annotations

from typing import Final

from superwsgi.http.errors import ClientGone, WsgiError
from superwsgi.http.files import Span

LEAVING: Final = (StopIteration, OSError, WsgiError)
"""How they end: as Gunicorn wants it, as the client has left, or without an answer."""


class Nobody:
    """The Recipient of what is for nobody: see exchange.py."""

    void = b""
    gone = True
    followed = False

    def send(self, data: bytes) -> None:
        raise ClientGone

    def send_piece(self, data: bytes) -> None:
        raise ClientGone

    def send_last(self, data: bytes) -> None:
        raise ClientGone

    def send_file(self, span: Span) -> None:
        raise ClientGone

    def end_with_connection(self, on: bool) -> None: ...
    def stream(self) -> None: ...


NOBODY: Final = Nobody()
