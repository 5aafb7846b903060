"""A server as a tree of processes, watched from outside: started on its core, measured, stopped by pid."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

BOOT_SECONDS = 30.0
STOP_SECONDS = 10.0


class BenchError(Exception):
    """A server or a tool did not do its part; the message says which and why."""


@dataclass(frozen=True)
class Cores:
    """Who runs where; the same core for both where there is only one."""

    server: int
    load: int

    @classmethod
    def choose(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[0], usable[-1])


def pinned(cores: set[int], command: list[str]) -> list[str]:
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]


def free_port() -> int:
    """A port that the kernel just gave and took back."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Tree:
    """A running server: its first process and all that came from it."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all processes so far."""
        return sum(_cpu_seconds(process.pid) for process in self.processes())

    def switches(self) -> tuple[int, int]:
        """How often threads of its processes have waited so far, and were preempted."""
        statuses = [status for process in self.processes() for status in _thread_statuses(process.pid)]
        return _sum_of("voluntary_ctxt_switches", statuses), _sum_of("nonvoluntary_ctxt_switches", statuses)

    def pss(self) -> int:
        """Bytes of memory, with what is shared divided by its sharers."""
        return sum(process.memory_full_info().pss for process in self.processes())

    def hang_up(self) -> None:
        self._root.send_signal(signal.SIGHUP)


def others_cpu_seconds(*own: Tree) -> float:
    """CPU time of all that is neither the bench's own nor a finished load generator, up to a constant."""
    times = psutil.cpu_times()
    load = resource.getrusage(resource.RUSAGE_CHILDREN)
    everyone = times.user + times.nice + times.system + times.irq + times.softirq + times.steal
    return float(everyone - sum(tree.cpu_seconds() for tree in own) - load.ru_utime - load.ru_stime)


def _thread_statuses(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/task").glob("*/status"):
        with contextlib.suppress(OSError):  # it has ended
            yield file.read_text()


def _sum_of(field: str, statuses: list[str]) -> int:
    """Of a field of proc_pid_status(5)."""
    return sum(
        int(line.split()[1])
        for status in statuses
        for line in status.splitlines()
        if line.startswith(f"{field}:")
    )


def _cpu_seconds(pid: int) -> float:
    """The CPU clock of another process, which counts nanoseconds where /proc/PID/stat counts hundredths.

    The clock's number is composed as in clock_getcpuclockid(3).
    """
    return time.clock_gettime((~pid << 3) | 2)


@contextlib.contextmanager
def serving(
    command: list[str], cores: set[int], port: int, env: dict[str, str], log: Path, tls: bool = False
) -> Iterator[Tree]:
    """Start `command`, wait until it answers on `port`, and stop all of it at the end. Raises BenchError."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(cores, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            start_new_session=True,
        )
    try:
        _wait_until_it_answers(process, port, log, tls)
        yield Tree(process.pid)
    finally:
        _stop(process)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path, tls: bool) -> None:
    try:
        wait_until(lambda: _answers(process, port, tls), BOOT_SECONDS, "it does not answer")
    except BenchError as error:
        last_words = " | ".join(log.read_text(errors="replace").splitlines()[-2:])
        raise BenchError(f"{error}: {last_words}") from None


def wait_until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Poll until `condition` holds. Raises BenchError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{otherwise} after {seconds:g} s")
        time.sleep(0.02)


def reload(tree: Tree, port: int, path: str, patience: float) -> float:
    """HUP, and the seconds until `path` answers with a monotonic time (ns) after that: when the code that
    answers was loaded, by the clock that all processes have. Raises BenchError after `patience` seconds."""
    sent = time.monotonic_ns()

    def is_newer() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return int(get(port, path)) > sent
        return False

    tree.hang_up()
    wait_until(is_newer, patience, "HUP brought no new code")
    return (time.monotonic_ns() - sent) / 1e9


def get(port: int, path: str = "/", tls: bool = False) -> bytes:
    """The content of a 200 answer. Raises OSError or HTTPException for anything else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    if tls:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{response.status} {response.reason}")
        return response.read()


def _answers(process: subprocess.Popen[bytes], port: int, tls: bool) -> bool:
    if process.poll() is not None:
        raise BenchError(f"it ended with {process.returncode}")
    try:
        get(port, tls=tls)
    except (OSError, http.client.HTTPException):
        return False
    return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    try:
        family = Tree(process.pid).processes()
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for survivor in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    process.wait()
