"""`python -m tests.bench.many_streams`: thousands of event streams on one worker, with greenlets.

Each stream gets one event a second. Whether all of them come, in their order, is what this is for; what an
event costs is measured while all streams are open. It measures the superwsgi of this very interpreter, or by
`--python` one that is installed elsewhere: such as a compiled one.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from tests.bench.many_streams_app import event
from tests.bench.process import BenchError, Cores, Tree, free_port, get, serving
from tests.bench.servers import REPOSITORY

APPS = {"bare": "tests.bench.many_streams_app:bare", "flask": "tests.bench.many_streams_app:flask"}
AT_ONCE = 200
"""Connections that are opened before the first of them is answered."""

PATIENCE = 60.0
"""Seconds in which something has to come from somebody."""


class Stream:
    """One client: what it has received."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.sendall(b"GET /events HTTP/1.1\r\nHost: bench\r\n\r\n")
        self.sock.setblocking(False)
        self.received = bytearray()
        self.events = 0

    def read(self) -> bool:
        """Whether more will come."""
        data = self.sock.recv(65536)
        self.received += data
        self.events += data.count(b"data: ")
        return bool(data) and not self.received.endswith(b"\r\n0\r\n\r\n")

    def is_whole(self) -> bool:
        """Whether events came one after another, and then an end."""
        head, _, chunks = bytes(self.received).partition(b"\r\n\r\n")
        *pieces, last = _chunks(chunks)
        events = b"".join(map(event, range(self.events)))
        return head.startswith(b"HTTP/1.1 200 ") and b"".join(pieces) == events and last == b""


class Clients:
    """All of them, in one thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._epoll = select.epoll()
        self._open: dict[int, Stream] = {}
        self.all: list[Stream] = []

    def begin(self, count: int) -> None:
        """Open so many; each has had its first event."""
        for at in range(0, count, AT_ONCE):
            some = [Stream(self._port) for _ in range(min(AT_ONCE, count - at))]
            for each in some:
                self._open[each.sock.fileno()] = each
                self._epoll.register(each.sock, select.EPOLLIN)
            self.all += some
            while not all(each.events for each in some):
                self._read(PATIENCE)

    def read_for(self, seconds: float) -> int:
        """Read; how many events came."""
        before, end = self.events, time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            self._read(end - now, quiet=True)
        return self.events - before

    def read_all(self) -> None:
        """Until all have ended."""
        while self._open:
            self._read(PATIENCE)

    def close(self) -> None:
        self._epoll.close()
        for each in self.all:
            each.sock.close()

    @property
    def events(self) -> int:
        return sum(each.events for each in self.all)

    @property
    def open(self) -> int:
        return len(self._open)

    def _read(self, timeout: float, quiet: bool = False) -> None:
        """Raises BenchError where nothing comes, unless that may be."""
        ready = self._epoll.poll(timeout)
        if not ready and not quiet:
            raise BenchError(f"{self.open} streams are open, and nothing comes")
        for fd, _ in ready:
            if not self._open[fd].read():
                self._epoll.unregister(fd)
                del self._open[fd]


@click.command()
@click.option("--app", type=click.Choice([*APPS]), default="bare", help="Bare WSGI, or Flask.")
@click.option("--streams", type=click.IntRange(min=1), default=10_000, help="At once.")
@click.option("--seconds", type=click.IntRange(min=1), default=15, help="To measure, with all streams open.")
@click.option("--key", type=click.Choice(["green", "threads"]), default="green", help="The site file's key.")
@click.option("--python", default=sys.executable, help="The interpreter that has superwsgi.")
def main(app: str, streams: int, seconds: int, key: str, python: str) -> None:
    """Open so many event streams on one worker, and tell what an event costs."""
    _allow_descriptors(streams + 200)
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(APPS[app], streams, seconds, key, python, Path(folder))
        except (BenchError, OSError) as error:
            raise click.ClickException(str(error)) from None


def measure(app: str, count: int, seconds: int, key: str, python: str, folder: Path) -> None:
    """Raises BenchError, OSError."""
    port, environ = free_port(), {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [python, "-m", "superwsgi", "-c", str(_site(folder, port, app, key, count))]
    with serving(command, {Cores.choose().server}, port, environ, folder / "log") as tree:
        empty, clients = tree.pss(), Clients(port)
        try:
            clients.begin(count)
            _measure_open(clients, tree, seconds, empty)
            get(port, "/end")
            clients.read_all()
            sent = int(get(port, "/sent"))
        finally:
            clients.close()
    whole = sum(each.is_whole() for each in clients.all)
    click.echo(f"{whole:,} of {count:,} streams are whole, {clients.events:,} of {sent:,} events came")


def _measure_open(clients: Clients, tree: Tree, seconds: int, empty: int) -> None:
    count, before, began = clients.open, tree.cpu_seconds(), time.monotonic()
    events = clients.read_for(seconds)
    took, cpu, memory = time.monotonic() - began, tree.cpu_seconds() - before, tree.pss() - empty
    if clients.open < count or not events:
        raise BenchError(f"{clients.open} of {count} streams lasted, {events} events came")
    click.echo(f"{count:,} open: {events / took:,.0f} events/s, {cpu / events * 1e6:.1f} us of CPU each")
    click.echo(f"{memory / count / 1024:.1f} KB a stream (PSS)")


def _site(folder: Path, port: int, app: str, key: str, count: int) -> Path:
    size = count + count // 5
    site = {
        "bind": f"127.0.0.1:{port}",
        "app": app,
        "workers": 1,
        "chdir": str(REPOSITORY),
        "log": {"access": "off"},
        "limits": {"connections": size},
        key: size,
    }
    path = folder / "site.yaml"
    path.write_text(json.dumps(site))  # JSON is YAML
    return path


def _allow_descriptors(count: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise click.ClickException(f"ulimit -n allows {hard} descriptors, not {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _chunks(data: bytes) -> Iterator[bytes]:
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        yield data[:length]
        data = data[length + 2 :]


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.many_streams")
