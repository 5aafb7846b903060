"""Where the bytes of a response go, as exchange.py sees it: to a client by its Sender, or nowhere."""

from __future__ import annotations

from typing import Protocol

from superwsgi.http.files import Span


class Recipient(Protocol):
    """Where a response goes; a piece is followed by more from the application, the last one by nothing.
    Sending raises ClientGone."""

    void: bytes
    """What may be sent between two pieces, and means nothing there: to find out whether anybody reads."""

    @property
    def gone(self) -> bool:
        """Whether nobody is left to read it."""

    @property
    def followed(self) -> bool:
        """Whether the client's next request has already arrived."""

    def send(self, data: bytes) -> None: ...
    def send_piece(self, data: bytes) -> None: ...
    def send_last(self, data: bytes) -> None: ...
    def send_file(self, span: Span) -> None: ...
    def end_with_connection(self, on: bool) -> None: ...
    def stream(self) -> None: ...
