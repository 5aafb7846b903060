"""`python -m tests.drills.chaos`: a site under load that is reloaded, upgraded and killed at random.

Holds when every answer is the one that was asked for, no exchange breaks but on workers that were killed, and
at the end nothing is left: no process, no file, no descriptor of the master's. Prints what it saw, and ends
with exit code 1 where something does not hold.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from tests.e2e.daemon import FIXTURE_APPS, Daemon, wait_for

CLIENTS = {"/": 3, "/kept": 1, "/run": 1, "/left": 1, "/pool": 1, "/submitted": 1}
SETTLED = 60.0
PERSISTENT = Path("/dev/shm")
"""Where semaphores and shared memory are kept that a process has left."""


@dataclass
class Seen:
    """What clients saw; `lost` are the workers that answered last on connections that broke."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[int | None] = field(default_factory=list)


class Client(threading.Thread):
    """Asks for one path on a kept connection, and for a token of its own each time."""

    def __init__(self, address: tuple[str, int], path: str, seen: Seen, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._address, self._path, self._seen, self._end = address, path, seen, stop

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self._address, timeout=30)
        last: int | None = None
        while not self._end.is_set():
            token = uuid.uuid4().hex
            try:
                connection.request("GET", f"{self._path}?{token}")
                response = connection.getresponse()
                body = response.read().decode()
            except (OSError, http.client.HTTPException):
                self._seen.lost.append(last)
                last = None
                connection.close()
            else:
                last = self._judge(response.status, token, body)
            self._end.wait(0.005)
        connection.close()

    def _judge(self, status: int, token: str, body: str) -> int | None:
        said, _, pid = body.partition(" ")
        if status != 200 or said != token:
            self._seen.wrong.append(f"{self._path}: {status} {body[:100]!r} instead of {token}")
            return None
        self._seen.answers[self._path] += 1
        return int(pid)


class Drill:
    """One site in a folder of its own; every process of it has a mark in its environment."""

    def __init__(self, folder: Path, *, seed: int, hazard: bool) -> None:
        self.mark = uuid.uuid4().hex
        self.killed: set[int] = set()
        self.done: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._folder = folder
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        self._shared_before = set(PERSISTENT.iterdir())
        self.site = Daemon(folder)
        keys = {"log": {"access": "off"}, "timeouts": {"graceful": "10s"}, "rollout": {"confirm": "200ms"}}
        self.site.site(app="drill_busy:app", chdir=str(FIXTURE_APPS), workers=2, **keys)
        environ = {"DRILL_MARK": self.mark, "TMPDIR": str(self._temporary)}
        self.site.start(env={**environ, **({"DRILL_HAZARD": "1"} if hazard else {})})

    def steps(self, seconds: float) -> None:
        """Something every now and then."""
        happens: list[tuple[Callable[[], None], int]] = [
            (self._reload, 4), (self._kill_worker, 4), (self._kill_mold, 1),
            (self._upgrade, 2), (self._recycle, 2), (self._reopen, 1),
        ]  # fmt: skip
        actions, weights = zip(*happens, strict=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (action,) = self._random.choices(actions, weights)
            self.done[action.__name__.strip("_")] += 1
            action()
            time.sleep(self._random.uniform(0.1, 2.0))

    def settle(self) -> None:
        """Until one generation is left, and its workers serve."""
        wait_for(
            lambda: self._titles().keys() <= {"master", "mold", "worker"} and self._is_settled(),
            "peace",
            SETTLED,
            lambda: self.site.log[-4000:],
        )

    def descriptors(self) -> int:
        return psutil.Process(self.site.pid).num_fds()

    def left_processes(self) -> list[str]:
        return [f"{process.pid} {' '.join(process.cmdline())[:80]}" for process in self._marked()]

    def left_files(self) -> list[str]:
        shared = set(PERSISTENT.iterdir()) - self._shared_before
        return [str(path) for path in [*self._temporary.rglob("*"), *shared]]

    def _is_settled(self) -> bool:
        status = self.site.command("status", "-c", "site.yaml", "--json").stdout
        titles = self._titles()
        return (
            titles["mold"] == 1 and titles["worker"] == 2 and '"phase":"running"' in status.replace(" ", "")
        )

    def _titles(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for child in psutil.Process(self.site.pid).children():
            with contextlib.suppress(psutil.Error):
                words = " ".join(child.cmdline()).split()
                if words[:1] == ["superwsgi:"]:
                    found[words[1]] += 1
        return found

    def _marked(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get("DRILL_MARK") == self.mark
                ):
                    yield process

    def _reload(self) -> None:
        self.site.send(signal.SIGHUP)

    def _upgrade(self) -> None:
        self.site.send(signal.SIGUSR2)

    def _reopen(self) -> None:
        self.site.send(signal.SIGUSR1)

    def _recycle(self) -> None:
        for pid in self.site.workers()[:1]:
            self._signal(pid, signal.SIGTERM)

    def _kill_worker(self) -> None:
        for pid in self._random.sample(workers, 1) if (workers := self.site.workers()) else []:
            self.killed.add(pid)
            self._signal(pid, signal.SIGKILL)

    def _kill_mold(self) -> None:
        for child in psutil.Process(self.site.pid).children():
            with contextlib.suppress(psutil.Error):
                if " ".join(child.cmdline()).startswith("superwsgi: mold"):
                    child.kill()
                    return

    def _signal(self, pid: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.site.send(number, pid)


def run(folder: Path, seconds: float, seed: int, *, hazard: bool) -> list[str]:
    """What does not hold."""
    drill = Drill(folder, seed=seed, hazard=hazard)
    try:
        drill.settle()
        before = drill.descriptors()
        seen, stop = Seen(), threading.Event()
        paths = itertools.chain.from_iterable([path] * count for path, count in CLIENTS.items())
        clients = [Client(drill.site.address, path, seen, stop) for path in paths]
        for client in clients:
            client.start()
        drill.steps(seconds)
        stop.set()
        for client in clients:
            client.join(60)
        drill.settle()
        with contextlib.suppress(AssertionError):  # an upgrade that was asked for last may be tried only now
            wait_for(lambda: drill.descriptors() == before, "as many descriptors as before", SETTLED)
        after = drill.descriptors()
        code = drill.site.stop()
    finally:
        left = drill.left_processes()
        drill.site.clean_up()
    foreign = [pid for pid in seen.lost if pid is not None and pid not in drill.killed]
    print(f"{dict(drill.done)}; answers {dict(seen.answers)}; {len(seen.lost)} connections broken")
    wrong = [f"{len(seen.wrong)} wrong answers: {seen.wrong[:3]}"] if seen.wrong else []
    if foreign:
        wrong += [f"{len(foreign)} exchanges broken on workers that were not killed: {foreign}"]
        wrong += [line for line in drill.site.log.splitlines() if any(f"pid={n} " in line for n in foreign)]
    wrong += [f"{before} descriptors before, {after} after"] if before != after else []
    wrong += [f"exit code {code}"] if code else []
    wrong += [f"processes left: {left}"] if left else []
    files = drill.left_files()
    signalled = drill.site.log.count('how="signal ')  # while they import, also by SIGTERM
    if len(files) > drill.done["kill_mold"] + hazard * signalled:
        wrong += [f"files left: {files}"]  # others than those of processes that a signal has ended
    return wrong


@click.command()
@click.option("--seconds", default=170.0, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--hazard", is_flag=True, help="The application has a pool of processes from its import on.")
def main(seconds: float, seed: int, hazard: bool) -> None:
    """Reload, upgrade and kill a site under load, and see what is lost and left."""
    with tempfile.TemporaryDirectory(prefix="superwsgi-drill-") as folder:
        wrong = run(Path(folder), seconds, seed, hazard=hazard)
        if wrong:
            print(*wrong, sep="\n")
            print((Path(folder) / "daemon.log").read_text()[-3000:])
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(prog_name="python -m tests.drills.chaos")
