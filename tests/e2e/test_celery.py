"""A real celery worker as a companion, with redis for its broker, over reloads and kills: there is always
one, there are never two, and no task is lost that its acknowledgement protects (`task_acks_late`).

It does so from when kombu has noted it as unacknowledged: what redis has just sent to a worker that ends is
lost in between, with any supervisor. So there may be one such task for each end.
"""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for
from tests.tools import needed, needed_package

pytestmark = pytest.mark.drill

RELOADS, KILLS = 4, 2
PATIENCE = 120.0


@pytest.fixture
def broker(tmp_path):
    needed_package("celery")
    needed_package("redis")
    command = [needed("redis-server"), "--port", "0", "--unixsocket", "redis.sock", "--save", ""]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as server:
        wait_for((tmp_path / "redis.sock").exists, "redis")
        yield
        server.terminate()


class Tasks(threading.Thread):
    """A client that sends one task after another."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.sent, self.ended = folder, 0, threading.Event()

    def run(self):
        script = (
            "import sys, drill_celery\n"
            "for line in sys.stdin:\n"
            "    drill_celery.note.apply_async((int(line),), task_id=line.strip())\n"
            "    print(line, end='', flush=True)"
        )
        environ = {**os.environ, "DRILL_FOLDER": str(self.folder), "PYTHONPATH": str(FIXTURE_APPS)}
        command = [sys.executable, "-c", script]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True) as client:
            while not self.ended.is_set():
                client.stdin.write(f"{self.sent}\n")
                client.stdin.flush()
                assert int(client.stdout.readline()) == self.sent
                self.sent += 1
                time.sleep(0.02)
            client.stdin.close()


def lines(daemon, name):
    file = daemon.folder / name
    return file.read_text().split() if file.exists() else []


def begun(daemon, count):
    """The process id of the last worker, once so many have begun, and it has done a task."""
    wait_for(lambda: len(lines(daemon, "workers")) >= count, "workers", PATIENCE, lambda: daemon.log)
    done = len(lines(daemon, "done"))
    wait_for(lambda: len(lines(daemon, "done")) > done, "a task done", PATIENCE, lambda: daemon.log)
    return int(lines(daemon, "workers")[-1])


def test_one_worker_and_every_task(daemon, broker):
    redis = importlib.import_module("redis")
    command = (
        "python -m celery -A drill_celery:queue worker --concurrency 2 --without-mingle --without-gossip"
    )
    daemon.site(
        app="drill_celery:app",
        workers=1,
        env={"DRILL_FOLDER": str(daemon.folder), "PYTHONPATH": str(FIXTURE_APPS)},
        rollout={"confirm": "100ms"},
        companions={"mail": {"command": command, "graceful": "60s"}},
    )
    daemon.start()
    tasks = Tasks(daemon.folder)
    tasks.start()
    try:
        pid, count = begun(daemon, 1), 1
        for number in range(RELOADS):
            daemon.reload()
            pid, count = begun(daemon, count + 1), count + 1
            if number % (RELOADS // KILLS) == 0:
                daemon.send(signal.SIGKILL, pid)
                pid, count = begun(daemon, count + 1), count + 1
    finally:
        tasks.ended.set()
        tasks.join()
    with redis.from_url(f"unix://{daemon.folder}/redis.sock") as kept:
        wait_for(
            lambda: not kept.llen("celery") + kept.hlen("unacked"),
            "an empty queue",
            PATIENCE,
            lambda: daemon.log,
        )
    assert daemon.stop() == 0
    received, done = {*lines(daemon, "received")}, {*lines(daemon, "done")}
    assert received == done
    assert tasks.sent - len(received) <= RELOADS + KILLS
    assert lines(daemon, "two") == []
    assert len(lines(daemon, "workers")) == 1 + RELOADS + KILLS
