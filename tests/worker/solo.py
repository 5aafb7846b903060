"""Workers without a master: N processes that run a Loop on one socket and one scoreboard.

`python -m tests.worker.solo module:app --workers 2 --threads 8` for measurements; `Solo` for tests.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.schema import Site
from superwsgi.config.sections import Timeouts
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.messages import Recycle
from superwsgi.tls.interface import Certificates
from superwsgi.worker.serve.acceptor import Listeners
from superwsgi.worker.serve.loop import Loop


def listen(address: tuple[str, int] = ("127.0.0.1", 0)) -> socket.socket:
    sock = socket.create_server(address, backlog=2048)
    sock.setblocking(False)
    return sock


def make_loop(
    app: Callable[..., Any],
    site: Site,
    listeners: list[socket.socket],
    *,
    board: Scoreboard | None = None,
    slot: int = 0,
    error_fd: int | None = 2,
    access_fd: int | None = None,
    on_recycle: Callable[[Recycle], None] = lambda why: None,
    certificates: Certificates | None = None,
) -> tuple[Loop, AccessLog | None]:
    """A started loop in this process, and its access log."""
    board = board or Scoreboard.create(1, site.most_threads + 1)
    errors = ErrorLog(error_fd, site.log.level)
    access = None
    if access_fd is not None:
        access = AccessLog(access_fd, site.log.format, errors, pid=os.getpid(), worker=slot, generation=1)
        access.start()
    loop = Loop(
        site=site,
        app=app,
        listeners=Listeners(listeners, frozenset(listeners if certificates else ()), certificates),
        board=board.writer(slot),
        errors=errors,
        access=access,
        on_recycle=on_recycle,
    )
    loop.prepare()
    loop.start()
    return loop, access


def run_worker(
    app: Callable[..., Any], site: Site, listener: socket.socket, board: Scoreboard, slot: int
) -> None:
    """Serve until SIGTERM."""
    loop, _ = make_loop(app, site, [listener], board=board, slot=slot)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    loop.drain(lame_duck=0)
    loop.join(60)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("app")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--request-timeout", type=float, default=60)
    options = parser.parse_args()
    site = Site(
        name="solo",
        apps={"/": options.app},
        workers=options.workers,
        threads=options.threads,
        timeouts=Timeouts(request=options.request_timeout),
    )
    listener = listen(("127.0.0.1", options.port))
    board = Scoreboard.create(options.workers, options.threads + 1)
    print(listener.getsockname()[1], flush=True)
    module, _, name = options.app.partition(":")
    app = getattr(importlib.import_module(module), name)
    pids = []
    for slot in range(options.workers):
        if (pid := os.fork()) == 0:
            run_worker(app, site, listener, board, slot)
        pids.append(pid)
    signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in pids])
    for pid in pids:
        os.waitpid(pid, 0)
    for slot in range(options.workers):
        print(board.read(slot), file=sys.stderr)


if __name__ == "__main__":
    main()
