"""A client's socket in the hands of the application: as any other one of the kernel's, but that what it sends
is read along. Plain, and gevent's where that has patched: libraries may do with it what they want.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from superwsgi import unpatched
from superwsgi.worker.connection.passage import Direct

if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


class TakenSocket(_Base):
    """`passage` is told of what is sent, and of the end; None once there is nothing more to tell."""

    passage: Direct | None = None

    def send(self, data: Any, flags: int = 0) -> int:
        passage = self.passage
        if passage is None:
            return super().send(data, flags)
        return passage.send(super().send, data, flags, self.gettimeout())

    def sendall(self, data: Any, flags: int = 0) -> None:
        passage = self.passage
        if passage is None:
            super().sendall(data, flags)
        else:
            passage.send_all(super().send, data, flags, self.gettimeout())

    def sendto(self, data: Any, *flags_and_address: Any) -> int:
        return self.send(data, *flags_and_address[:-1])

    def sendmsg(
        self, buffers: Iterable[Any], ancdata: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        return self.send(b"".join(buffers), flags)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        return self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined, no-any-return]

    def shutdown(self, how: int) -> None:
        if self.passage is not None and how != socket.SHUT_RD:
            self.passage.says_no_more()
        super().shutdown(how)

    def dup(self) -> socket.socket:  # type: ignore[override]
        """What is sent by it, nobody reads along."""
        self._hide()
        other = socket.socket(self.family, self.type, self.proto, os.dup(self.fileno()))
        other.settimeout(self.gettimeout())
        return other

    def detach(self) -> int:
        self._hide()
        self.passage = None
        return super().detach()

    def _hide(self) -> None:
        if self.passage is not None:
            self.passage.unseen = True

    def _real_close(self, *args: Any) -> None:
        """The client learns of it at once, though the server has the connection still; unless there is a
        duplicate that goes on."""
        passage, self.passage = self.passage, None
        if passage is not None and not passage.unseen:
            passage.says_no_more()
            with suppress(OSError):
                self.shutdown(socket.SHUT_WR)
        super()._real_close(*args)  # type: ignore[misc]


@cache
def _kind(base: type) -> Any:
    """gevent may have replaced socket.socket since this module was imported."""
    return type("TakenSocket", (TakenSocket, base), {})


def taken_from(sock: socket.socket) -> TakenSocket:
    """Another descriptor of that socket. Raises OSError."""
    fd = os.dup(sock.fileno())
    try:
        return cast(TakenSocket, _kind(socket.socket)(sock.family, sock.type, sock.proto, fd))
    except BaseException:
        unpatched.close(fd)
        raise
