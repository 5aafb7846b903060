"""Several worker processes on one socket and one scoreboard."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.schema import Site
from tests.worker.running import Client, eventually
from tests.worker.solo import listen, run_worker


def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(6)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


@contextlib.contextmanager
def workers(count: int, threads: int) -> Iterator[tuple[tuple[str, int], Scoreboard, list[int]]]:
    site = Site(name="siblings", apps={"/": "test:app"}, workers=count, threads=threads)
    listener = listen()
    board = Scoreboard.create(count, threads + 1)
    pids = []
    for slot in range(count):
        if (pid := os.fork()) == 0:
            run_worker(app, site, listener, board, slot)
        pids.append(pid)
    address = listener.getsockname()
    listener.close()
    try:
        eventually(lambda: all(board.read(slot).accepting for slot in range(count)))
        yield address, board, pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.alone  # a worker that another test keeps from running can't take its share
@pytest.mark.parametrize("waiting", [False, True])
def test_connections_are_shared_evenly(waiting):
    with workers(4, 2) as (address, board, _):
        clients = []
        for _ in range(200):
            clients.append(Client(address).get())
            if waiting:
                clients[-1].response()
        for client in clients:
            if not waiting:
                client.response()
        shares = [board.read(slot).connections for slot in range(4)]
        assert sum(shares) == 200
        assert max(shares) / min(shares) <= 1.25
        for client in clients:
            client.sock.close()


def test_nobody_waits_for_a_busy_worker_while_another_is_free():
    with workers(4, 1) as (address, board, _), Client(address) as slow:
        slow.get("/slow")
        eventually(lambda: sum(board.read(slot).busy for slot in range(4)) == 1)
        busy = next(slot for slot in range(4) if board.read(slot).busy)
        for _ in range(20):
            with Client(address) as client:
                assert client.get().response()[0] == 200
        assert board.read(busy).busy == 1


def test_idle_workers_do_not_wake():
    with workers(4, 8) as (address, board, pids), Client(address) as client:
        client.get().response()
        eventually(lambda: sum(board.read(slot).connections for slot in range(4)) == 1)
        time.sleep(0.5)  # the baton's monitor falls asleep
        before = [switches(pid) for pid in pids]
        time.sleep(1)
        assert sum(switches(pid) for pid in pids) - sum(before) <= 4


def switches(pid: int) -> int:
    """Times that any thread of the process was woken."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return total
