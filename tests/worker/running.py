"""A Loop in this process, and a client that speaks bytes."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from superwsgi.board.counts import WorkerCounters
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.schema import Site
from superwsgi.config.sections import HealthSettings, Limits, Log, Proxy, Requests, Timeouts, TlsSettings
from superwsgi.messages import Recycle
from superwsgi.tls import interface
from tests.fixtureapps.wsgi_paths import gate
from tests.worker.solo import listen, make_loop

DEADLINE = 60.0
"""Seconds after which a test gives up; nothing is expected to take as long."""


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until `condition()` is true, and return it."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return result


class Client:
    """One connection; with `tls`, by TLS, for a server of that name."""

    def __init__(
        self, address: Any, tls: ssl.SSLContext | None = None, name: str | None = "localhost"
    ) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(address)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=name)
        self._rest = b""

    def send(self, data: bytes) -> Client:
        self.sock.sendall(data)
        return self

    def get(self, path: str = "/", *fields: str, method: str = "GET", version: str = "1.1") -> Client:
        lines = [f"{method} {path} HTTP/{version}", "Host: test", *fields]
        return self.send(("\r\n".join(lines) + "\r\n\r\n").encode())

    def until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            piece = self.sock.recv(65536)
            assert piece, f"closed after {self._rest!r}"
            self._rest += piece
        found, _, self._rest = self._rest.partition(mark)
        return found

    def response(self, *, body: bool = True) -> tuple[int, str, bytes]:
        """Status, head, body (by Content-Length or chunks)."""
        head = self.until(b"\r\n\r\n").decode("latin-1")
        status = int(head.split()[1])
        if not body or "Content-Length:" not in head:
            return status, head, self.chunks() if body and "chunked" in head else b""
        size = int(head.split("Content-Length:")[1].split()[0])
        return status, head, self.rest_of(size)

    def chunks(self) -> bytes:
        whole = b""
        while size := int(self.until(b"\r\n"), 16):
            self.until_size(size)
            whole += self._rest[:size]
            self._rest = self._rest[size + 2 :]
        self.until(b"\r\n")
        return whole

    def until_size(self, size: int) -> None:
        while len(self._rest) < size + 2:
            self._rest += self.sock.recv(65536)

    def rest_of(self, size: int) -> bytes:
        """The next `size` bytes."""
        whole = bytearray(self._rest)
        while len(whole) < size:
            piece = self.sock.recv(1 << 20)
            assert piece, f"closed after {len(whole)} bytes"
            whole += piece
        self._rest = bytes(whole[size:])
        return bytes(whole[:size])

    def rest(self) -> bytes:
        """Everything until the server closes."""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.sock.recv(65536):
                self._rest += piece
        found, self._rest = self._rest, b""
        return found

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


class Running:
    """A worker's loop, seen from outside."""

    def __init__(
        self, app: Callable[..., Any], site: Site, unix: bool = False, early: Sequence[str] = ()
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.error_file = Path(self.folder.name, "error.log")
        self.access_file = Path(self.folder.name, "access.log")
        if unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(f"{self.folder.name}/sock")
            self.listener.listen(100)
            self.listener.setblocking(False)
        else:
            self.listener = listen()
        self.address = self.listener.getsockname()
        self.early = [self.connect().get(path) for path in early]
        self.board = Scoreboard.create(1, site.most_threads + 1)
        self.recycled: list[Recycle] = []
        self._fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in self._files]
        self.loop, self.access = make_loop(
            app,
            site,
            [self.listener],
            board=self.board,
            error_fd=self._fds[0],
            access_fd=self._fds[1],
            on_recycle=self.recycled.append,
            certificates=interface.load(site.tls),
        )

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.error_file, self.access_file

    @property
    def errors(self) -> str:
        return self.error_file.read_text()

    @property
    def counters(self) -> WorkerCounters:
        return self.board.read(0)

    def connect(self, tls: ssl.SSLContext | None = None, name: str | None = "localhost") -> Client:
        return Client(self.address, tls, name)

    def fetch(self, path: str = "/", *fields: str) -> tuple[int, str, bytes]:
        with self.connect() as client:
            return client.get(path, *fields).response()

    def close(self) -> None:
        """And wait for threads that are still in the application: they write into the log."""
        self.loop.stop()
        assert self.loop.join(DEADLINE)
        gate.set()
        for thread in threading.enumerate():
            if thread.name.startswith("thread-"):
                thread.join(DEADLINE)
        if self.access is not None:
            self.access.close()
        for client in self.early:
            client.sock.close()
        for fd in self._fds:
            os.close(fd)
        self.folder.cleanup()


@contextlib.contextmanager
def running(
    app: Callable[..., Any],
    *,
    threads: int = 2,
    unix: bool = False,
    early: Sequence[str] = (),
    requests: Requests | None = None,
    limits: Limits | None = None,
    peers: Proxy | None = None,
    health: HealthSettings | None = None,
    tls: TlsSettings | None = None,
    level: Literal["debug", "info"] = "info",
    format: str = "combined",
    slow: float = 5.0,
    **timeouts: float,
) -> Iterator[Running]:
    """`early` are paths that clients ask for before the worker starts: it finds all of them at once."""
    site = Site(
        name="test",
        apps={"/": "test:app"},
        workers=1,
        threads=threads,
        timeouts=Timeouts(**timeouts),
        limits=limits or Limits(),
        requests=requests or Requests(),
        proxy=peers or Proxy(),
        health=health or HealthSettings(),
        tls=tls or TlsSettings(),
        log=Log(level=level, format=format, slow=slow),
    )
    worker = Running(app, site, unix, early)
    try:
        yield worker
    finally:
        worker.close()
