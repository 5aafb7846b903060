"""What stands for the connection in the environ of a request that asks for another protocol.

It is as good as a socket, but nothing happens until it is used as one: many applications never look at it,
and answer as usual. Runs in threads of the application.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any, Final

KEYS: Final = ("werkzeug.socket", "gunicorn.socket")
"""Where libraries look for it: the names that Werkzeug's and Gunicorn's servers have given it."""

_USES: Final = frozenset(name for name in dir(socket.socket) if not name.startswith("_"))


class SocketOffer:
    """`take` is called once, when it is first used; it returns the socket, or raises OSError."""

    def __init__(self, take: Callable[[], socket.socket]) -> None:
        self._take = take
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._over = False

    def __getattr__(self, name: str) -> Any:
        if name not in _USES:
            raise AttributeError(f"a socket has no {name!r}")
        return getattr(self._sock or self._taken(), name)

    def withdraw(self) -> None:
        """The request is over: it cannot be used any more, unless it has been."""
        with self._lock:
            self._over = True

    def _taken(self) -> socket.socket:
        with self._lock:
            if self._sock is None:
                if self._over:
                    raise ConnectionAbortedError("the request whose connection this was is over")
                self._sock = self._take()
            return self._sock
