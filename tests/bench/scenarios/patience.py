"""Clients that hold connections and take their time: what others notice of them, and what they cost."""

from __future__ import annotations

import contextlib
import itertools
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.bench import wrk
from tests.bench.bench import Bench, Column, Sample, Scenario
from tests.bench.process import BenchError, free_port
from tests.bench.servers import Job, Server

SLOW = 60
IDLE = 5000
CONNECTIONS = 4
"""Of the ordinary requests."""

STEP_SECONDS = 0.05
"""Between two bytes of each client that trickles, and two sips of each that reads slowly. They take turns:
all at once would be a burst, which is felt on the core of the load too."""

SETTLE_SECONDS = 2.0
"""For 60 times 50 MB to be handed over, which takes a while, of whoever has to copy them; for the kernel to
be done with 5,000 new connections."""

SIP = 1024
HEAD = b"POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 100000\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: bench\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\r\n\r\n"

Step = Callable[[socket.socket], object]


def slow(begin: bytes, step: Step, server: Server, bench: Bench) -> Sample:
    """`SLOW` clients send `begin`, and go on with `step` every now and then."""
    job = Job("tests.bench.apps:large", free_port(), bench.folder)
    with bench.serving(server, job):
        quiet = _load(job, bench)
        with _clients(job, SLOW) as clients:
            for client in clients:
                client.sendall(begin)
            with _going_on(clients, step):
                time.sleep(SETTLE_SECONDS)
                busy = _load(job, bench)
    return _sample(quiet, busy)


def idle(server: Server, bench: Bench) -> Sample:
    """`IDLE` clients have asked once, and keep their connections."""
    job = Job("tests.bench.apps:large", free_port(), bench.folder, connections=IDLE + 1000)
    _allow_descriptors(IDLE + 200)
    with bench.serving(server, job) as tree:
        quiet, before = _load(job, bench), tree.pss()
        with _clients(job, IDLE) as clients:
            for client in clients:
                client.sendall(GET % b"/")
                if not client.recv(4096):
                    raise BenchError("it does not keep idle connections")
            time.sleep(SETTLE_SECONDS)
            per_connection = (tree.pss() - before) / IDLE
            busy = _load(job, bench)
    return {**_sample(quiet, busy), "bytes": per_connection}


def _sample(quiet: wrk.Figures, busy: wrk.Figures) -> Sample:
    ratio = busy.p99_ms / quiet.p99_ms
    return {"quiet_ms": quiet.p99_ms, "busy_ms": busy.p99_ms, "ratio": ratio, "errors": busy.errors}


def _load(job: Job, bench: Bench) -> wrk.Figures:
    return wrk.run(job.port, bench.pace.load, CONNECTIONS, bench.cores.load)


@contextlib.contextmanager
def _clients(job: Job, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(_connect(job.port)) for _ in range(count)]


def _connect(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    return client


@contextlib.contextmanager
def _going_on(clients: list[socket.socket], step: Step) -> Iterator[None]:
    stop = threading.Event()
    for client in clients:
        client.setblocking(False)

    def go_on() -> None:
        turns = itertools.cycle(clients)
        while not stop.wait(STEP_SECONDS / len(clients)):
            with contextlib.suppress(OSError):
                step(next(turns))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise BenchError(f"ulimit -n allows {hard} descriptors, not {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _trickle(client: socket.socket) -> object:
    return client.send(b"x")


def _sip(client: socket.socket) -> object:
    return client.recv(SIP)


COLUMNS = {
    "quiet_ms": Column("p99 quiet (ms)", ",.2f"),
    "busy_ms": Column("p99 with them (ms)", ",.2f"),
    "ratio": Column("ratio", ",.2f"),
    "errors": Column("errors", ",.0f"),
}
SCENARIOS = {
    "slow-head": Scenario(
        f"{SLOW} clients that trickle a head: hello world, 8 threads, {CONNECTIONS} ordinary connections",
        COLUMNS,
        partial(slow, HEAD + b"X-Long: ", _trickle),
    ),
    "slow-body": Scenario(
        f"{SLOW} clients that trickle a body: hello world, 8 threads, {CONNECTIONS} ordinary connections",
        COLUMNS,
        partial(slow, HEAD + b"\r\n", _trickle),
    ),
    "slow-read": Scenario(
        f"{SLOW} clients that sip at 50 MB: hello world, 8 threads, {CONNECTIONS} ordinary connections",
        COLUMNS,
        partial(slow, GET % b"/large", _sip),
    ),
    "idle-connections": Scenario(
        f"{IDLE} idle keep-alive connections: hello world, 1 worker, {CONNECTIONS} ordinary connections",
        {**COLUMNS, "bytes": Column("memory per idle connection, PSS (bytes)", ",.0f")},
        idle,
        fits=lambda server: server.supervises,
    ),
}
