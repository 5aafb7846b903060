"""Clients of event streams, as one process: `python -m tests.bench.streams PORT PATH COUNT SECONDS PATIENCE`.

Each event is `data: NUMBER SENT`, SENT in monotonic nanoseconds, of a clock that all processes share. Says
`begun` once every stream has had an event, and after SECONDS more its figures as JSON. The streams stay until
its input ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import statistics
import subprocess
import sys
import time

from tests.bench.process import BenchError, Tree, pinned
from tests.bench.servers import REPOSITORY
from tests.bench.wrk import Figures

BEGIN_SECONDS = 60.0
BEGUN = "begun"
AT_ONCE = 50
"""Connections that are begun together: fewer than any listener's backlog."""

SPARE = 100
"""Descriptors beside the streams."""

_EVENT = re.compile(rb"data: (\d+) (\d+)\n\n")
_REQUEST = "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"


class Streams:
    """A run of that process on `core`. Raises BenchError where not all of its streams begin."""

    def __init__(self, port: int, path: str, count: int, seconds: float, core: int) -> None:
        command = [sys.executable, "-m", "tests.bench.streams"]
        command += map(str, (port, path, count, seconds, BEGIN_SECONDS))
        self._process = subprocess.Popen(
            pinned({core}, command),
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Streams:
        try:
            self._expect(BEGUN)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes the pipes and waits
            self._process.kill()

    @property
    def tree(self) -> Tree:
        return Tree(self._process.pid)

    def figures(self) -> Figures:
        """Wait for them; the streams stay until the end of the `with` block. Raises BenchError."""
        return Figures(**json.loads(self._expect("{")))

    def _expect(self, begin: str) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline().strip()
        if not line.startswith(begin):
            raise BenchError(line or "the clients have ended")
        return line


class Stream(asyncio.Protocol):
    """One client. `delays` in seconds, of events since `measure`; `wrong`: events that are not the next."""

    def __init__(self, path: str = "/") -> None:
        self._path = path
        self.delays: list[float] = []
        self.next = 0
        self.wrong = 0
        self.ended = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_REQUEST.format(self._path).encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._rest += data
        end = 0
        for event in _EVENT.finditer(self._rest):
            end = event.end()
            self.wrong += int(event[1]) != self.next
            self.next = int(event[1]) + 1
            self.delays.append((now - int(event[2])) / 1e9)
        self._rest = self._rest[end:]

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True

    def measure(self) -> None:
        self.delays = []

    def close(self) -> None:
        if self._transport:
            self._transport.abort()


async def follow(port: int, path: str, count: int, seconds: float, patience: float) -> None:
    """Tell the figures of `count` streams. Raises BenchError where not all of them begin."""
    streams = [Stream(path) for _ in range(count)]
    try:
        await _begin(streams, port, patience)
        for stream in streams:
            stream.measure()
        print(BEGUN, flush=True)
        began = time.monotonic()
        await asyncio.sleep(seconds)
        print(json.dumps(figures(streams, time.monotonic() - began)), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        for stream in streams:
            stream.close()
        await asyncio.sleep(0)  # which is when they are closed


async def _begin(streams: list[Stream], port: int, patience: float) -> None:
    loop, deadline = asyncio.get_running_loop(), time.monotonic() + patience
    for first in range(0, len(streams), AT_ONCE):
        some = streams[first : first + AT_ONCE]
        await asyncio.gather(*(loop.create_connection(lambda it=it: it, "127.0.0.1", port) for it in some))
    while waiting := sum(stream.next == 0 for stream in streams):
        if time.monotonic() > deadline:
            begun = len(streams) - waiting
            raise BenchError(f"{begun} of {len(streams)} streams have begun after {patience:g} s")
        await asyncio.sleep(0.02)


def figures(streams: list[Stream], seconds: float) -> dict[str, float]:
    delays = sorted(delay for stream in streams for delay in stream.delays)
    if not delays:
        raise BenchError("no event came once all streams had begun")
    return {
        "requests": len(delays),
        "seconds": seconds,
        "p50_ms": statistics.median(delays) * 1e3,
        "p99_ms": delays[int(len(delays) * 0.99)] * 1e3,
        "errors": sum(stream.wrong + stream.ended for stream in streams),
    }


def main(port: int, path: str, count: int, seconds: float, patience: float) -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + SPARE, most), most))
    try:
        asyncio.run(follow(port, path, count, seconds, patience))
    except (BenchError, OSError) as error:
        print(error, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    _port, _path, _count, _seconds, _patience = sys.argv[1:]
    sys.exit(main(int(_port), _path, int(_count), float(_seconds), float(_patience)))
