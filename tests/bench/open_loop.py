"""Clients that come at their own pace, whatever becomes of those before them: what a closed loop as wrk's
cannot do is ask for more than is answered.

Each request goes out on a connection that is idle, or on a new one, at the time when it is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

TICK = 0.002
"""Seconds between two looks at what is due."""

PATIENCE = 5.0
"""Seconds after the last request for the last answers."""


class Reply(NamedTuple):
    """`status` 0: there was none. `began` in monotonic seconds."""

    began: float
    status: int
    seconds: float


@dataclass(frozen=True)
class Phase:
    """So many seconds with so many requests a second."""

    seconds: float
    rate: float


@dataclass(frozen=True)
class Replies:
    """To the requests that went out in `seconds`."""

    all: Sequence[Reply]
    seconds: float

    @property
    def served(self) -> list[Reply]:
        return [reply for reply in self.all if reply.status == 200]

    @property
    def refused(self) -> list[Reply]:
        return [reply for reply in self.all if reply.status == 503]

    @property
    def lost(self) -> list[Reply]:
        return [reply for reply in self.all if reply.status not in (200, 503)]

    @property
    def rate(self) -> float:
        """Served a second."""
        return len(self.served) / self.seconds

    def p99(self) -> float:
        """Seconds of those that were served."""
        times = sorted(reply.seconds for reply in self.served)
        return times[int(len(times) * 0.99)] if times else float("inf")

    def since(self, seconds: float) -> Replies:
        """To those that went out so long after the first, or later."""
        first = self.all[0].began
        return Replies([each for each in self.all if each.began >= first + seconds], self.seconds - seconds)


def offer(port: int, path: str, *phases: Phase) -> list[Replies]:
    """Ask as often as each of the phases says, one after the other; what came of each."""
    return asyncio.run(_Load(port, path).run(phases))


class _Load:
    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self.request = f"GET {path} HTTP/1.1\r\nHost: load\r\n\r\n".encode()
        self.idle: list[_Client] = []
        self._clients: list[_Client] = []
        self.replies: list[Reply] = []
        self.pending: set[asyncio.Task[None]] = set()

    async def run(self, phases: Sequence[Phase]) -> list[Replies]:
        ends = [time.monotonic()]
        for phase in phases:
            await self._phase(phase)
            ends.append(time.monotonic())
        if self.pending:
            await asyncio.wait(self.pending, timeout=PATIENCE)
        self.replies.sort()
        for client in self._clients:
            client.close()
        await asyncio.sleep(TICK)  # which is when they are closed
        return [self._between(*span) for span in itertools.pairwise(ends)]

    async def _phase(self, phase: Phase) -> None:
        began, sent = time.monotonic(), 0
        while (passed := time.monotonic() - began) < phase.seconds:
            for _ in range(int(passed * phase.rate) - sent):
                task = asyncio.ensure_future(self._ask())
                self.pending.add(task)
                task.add_done_callback(self.pending.discard)
                sent += 1
            await asyncio.sleep(TICK)

    async def _ask(self) -> None:
        began, status = time.monotonic(), 0
        with contextlib.suppress(OSError):
            status = await (await self._client()).ask()
        self.replies.append(Reply(began, status, time.monotonic() - began))

    async def _client(self) -> _Client:
        if self.idle:
            return self.idle.pop()
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self._port)
        self._clients.append(client)
        return client

    def _between(self, begin: float, end: float) -> Replies:
        return Replies([each for each in self.replies if begin <= each.began < end], end - begin)


class _Client(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._received = b""
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    async def ask(self) -> int:
        """The status of the answer. Raises OSError."""
        assert self._transport is not None
        self._received = b""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(self._load.request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]):
            return
        if b"\r\nConnection: close" not in head:
            self._load.idle.append(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._load.idle:
            self._load.idle.remove(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed"))
