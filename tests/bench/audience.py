"""Clients of event streams: executed, it opens as many as it is told and counts what they are sent.

`python -m tests.bench.audience PORT PATH STREAMS SECONDS` writes a line once each stream has had an event,
and SECONDS later one with how many came since, and how many streams have ended.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import sys
import time

from tests.bench.stream_app import EVENT

_PATIENCE = 60.0
"""Seconds for the first event of all."""


class Audience:
    """`streams` open connections."""

    def __init__(self, port: int, path: str, streams: int) -> None:
        self._epoll = select.epoll()
        self._clients = dict(self._open(port, path) for _ in range(streams))
        self.silent = set(self._clients)
        self.ended = 0

    def _open(self, port: int, path: str) -> tuple[int, socket.socket]:
        client = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n".encode())
        client.setblocking(False)
        self._epoll.register(client, select.EPOLLIN)
        return client.fileno(), client

    def listen(self, until: float, *, for_all: bool = False) -> int:
        """How many events come until then, or until all have had one."""
        events = 0
        while (left := until - time.monotonic()) > 0 and not (for_all and not self.silent):
            for fd, _ in self._epoll.poll(left):
                events += self._hear(fd)
        return events

    def _hear(self, fd: int) -> int:
        data = b""
        with contextlib.suppress(OSError):
            data = self._clients[fd].recv(65536)
        if not data:
            self._epoll.unregister(fd)
            self.ended += 1
        if events := data.count(EVENT):
            self.silent.discard(fd)
        return events


def main(port: int, path: str, streams: int, seconds: float) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, streams + 100), hard))
    audience = Audience(port, path, streams)
    audience.listen(time.monotonic() + _PATIENCE, for_all=True)
    print("all" if not audience.silent else f"{len(audience.silent)} without an event", flush=True)
    print(audience.listen(time.monotonic() + seconds), audience.ended, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
