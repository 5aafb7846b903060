"""Listening sockets that shutdown(2) has made deaf, for all processes that share them."""

from __future__ import annotations

import select
import socket

from superwsgi import unpatched


def is_deaf(listener: socket.socket) -> bool:
    """Whether nobody can connect any more. A TCP socket does not listen then (and can again); one of unix
    says that it does, but has hung up, for good."""
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return True
    looked = unpatched.poll()
    looked.register(listener.fileno(), select.POLLRDHUP)
    return bool(looked.poll(0))
