"""Asking the master: one connection a request, which the master makes and passes over our channel; then as
any command does (control.py). From any thread.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from typing import Final

from superwsgi.channel import Channel
from superwsgi.control import Answer, NotUnderstood, Progress, Refused, Request, decode_answer, encode
from superwsgi.log.rate_limit import TokenBucket
from superwsgi.messages import Connect

PATIENCE: Final = 10.0
"""Seconds that the master may take for a connection, and for an answer to what is not work."""

AT_ONCE: Final = 8
"""Requests to the master at a time; who comes later waits, at most as long as for a connection."""

MOST: Final = 64 << 20
"""Bytes of an answer."""

_PIECE: Final = 64 << 10
"""Bytes that are read at once."""

_BURST: Final = 40
"""Requests to the master at once, and a quarter of that in each second: far below what makes it end us."""

_PAUSE: Final = 0.1
"""Seconds until it is tried again where there were as many."""


class Unanswered(Exception):
    """The master does not answer, or not to this; the text says why."""


class Declined(Unanswered):
    """The master does not do that, and says why."""


class Asking:
    """`connected` takes what the master passes, in the thread that reads the channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._places = threading.BoundedSemaphore(AT_ONCE)
        self._arrived: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._bucket = TokenBucket(_BURST)

    def connected(self, fd: int) -> None:
        self._arrived.put(fd)

    def ask(self, request: Request, patience: float = PATIENCE) -> Answer:
        """The last answer to a request, for which the master may take `patience` seconds. Raises
        Unanswered."""
        if not self._places.acquire(timeout=PATIENCE):
            raise Unanswered("too many requests to the master at a time")
        try:
            with self._connection() as sock:
                sock.settimeout(patience)
                sock.sendall(encode(request))
                return _last(sock, time.monotonic() + patience)
        except (OSError, NotUnderstood) as error:
            raise Unanswered(f"the master does not answer: {error}") from None
        finally:
            self._places.release()

    def _connection(self) -> socket.socket:
        """Raises OSError, Unanswered."""
        while not self._may_ask():
            time.sleep(_PAUSE)
        self._channel.offer(Connect())
        try:
            return socket.socket(fileno=self._arrived.get(timeout=PATIENCE))
        except queue.Empty:
            raise Unanswered("the master does not answer") from None

    def _may_ask(self) -> bool:
        with self._lock:
            return self._bucket.take(time.monotonic_ns())

    def close(self) -> None:
        """Close what nobody has taken."""
        while True:
            try:
                os.close(self._arrived.get_nowait())
            except queue.Empty:
                return


def _last(sock: socket.socket, until: float) -> Answer:
    """Raises OSError, NotUnderstood, Unanswered."""
    said = bytearray()
    while piece := sock.recv(_PIECE):
        said += piece
        if len(said) > MOST:
            raise Unanswered("its answer is too long")
        sock.settimeout(max(0.001, until - time.monotonic()))
    lines = bytes(said).splitlines()
    if not lines:
        raise Unanswered("the master has closed the connection")
    answer = decode_answer(lines[-1])
    if isinstance(answer, Refused):
        raise Declined(answer.reason)
    if isinstance(answer, Progress):
        raise Unanswered("the master has closed the connection before it was done")
    return answer
