"""`python -m tests.bench.cores`: what grows with the number of workers, measured without that many cores.

Times are CPU time of the thread that measures, the least of several runs: other processes do not count in it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import time
from collections.abc import Callable
from typing import Final

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.worker.serve.acceptor import over_share

WORKERS: Final = (2, 16, 64)
THREADS: Final = (5, 33, 257)
DISTANCES: Final = (0, 8, 64, 128)
"""Bytes between the words that two processes write."""

LISTENERS: Final = ((2, 32), (4, 200), (64, 640))
"""Workers that have a listener each, by SO_REUSEPORT, and how many connections come."""

_RUNS: Final = 7
_kept: Final[list[socket.socket]] = []  # open until the process ends
_WRITES: Final = 100_000


def main() -> None:
    for workers in WORKERS:
        board = _board(workers, THREADS[0])
        took = least(lambda: over_share(100, board.peers(0)), 1000)  # noqa: B023
        print(f"whether a new connection is for this one of {workers:2} workers: {took:6.2f} us")
    for threads in THREADS:
        board = _board(1, threads)
        took = least(lambda: board.read(0), 200)  # noqa: B023
        print(f"the master's look at a worker with {threads - 1:3} threads: {took:6.2f} us")
    for distance in (None, *DISTANCES):
        beside = "alone" if distance is None else f"beside another process, {distance:3} bytes on"
        print(f"to write a word, {beside}: {min(_write_beside(distance) for _ in range(_RUNS)):6.4f} us")
    for workers, connections in LISTENERS:
        print(f"a listener for each of {workers:2} workers: {_spread(workers, connections)}")


def least(do: Callable[[], object], times: int) -> float:
    """Microseconds that `do` takes."""
    return min(_took(do, times) for _ in range(_RUNS))


def _took(do: Callable[[], object], times: int) -> float:
    began = time.thread_time_ns()
    for _ in range(times):
        do()
    return (time.thread_time_ns() - began) / times / 1000


def _board(workers: int, threads: int) -> Scoreboard:
    """As that of workers that accept connections, and have answered each of them."""
    board = Scoreboard.create(workers, threads)
    for slot in range(workers):
        writer = board.writer(slot)
        for name, value in (("accepting", 1), ("connections", 100), ("free", threads - 1)):
            writer.set(name, value)
    return board


def _write_beside(distance: int | None) -> float:
    """Microseconds to write one word, while another process, on another core, writes one so far from it."""
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    words = memoryview(memory).cast("Q")
    usable = sorted(os.sched_getaffinity(0))
    other = 0 if distance is None else os.fork()
    if distance is not None and not other:
        os.sched_setaffinity(0, {usable[-1]})
        _write(words, distance // 8, 100 * _WRITES)
        os._exit(0)
    os.sched_setaffinity(0, {usable[0]})
    try:
        return _write(words, 0, _WRITES)
    finally:
        os.sched_setaffinity(0, usable)
        if other:
            os.kill(other, 9)
            os.waitpid(other, 0)


def _write(words: memoryview[int], at: int, times: int) -> float:
    began = time.thread_time_ns()
    for value in range(times):
        words[at] = value
    return (time.thread_time_ns() - began) / times / 1000


def _spread(workers: int, connections: int) -> str:
    """How connections spread over listeners of their own, and what is lost with one that is closed before it
    has accepted them."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(_listener(0))]
        port = listeners[0].getsockname()[1]
        listeners += [stack.enter_context(_listener(port)) for _ in range(workers - 1)]
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)
        ]
        shares = [_accepted(listener) for listener in listeners[1:]]
        listeners[0].close()
        lost = sum(map(_is_reset, clients))
        shares.append(connections - sum(shares))
        return (
            f"of {connections} connections {min(shares)} to {max(shares)} each; {lost} reset with one of them"
        )


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.setblocking(False)
    return listener


def _accepted(listener: socket.socket) -> int:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            _kept.append(listener.accept()[0])
            count += 1
    return count


def _is_reset(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


if __name__ == "__main__":
    main()
