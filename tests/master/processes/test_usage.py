"""What a process uses, and whether a signal has stopped it."""

import os
import signal
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from superwsgi.master.processes.usage import memory_used, switches_when_stopped
from tests.e2e.daemon import wait_for


def test_memory_is_what_psutil_says():
    used = memory_used(os.getpid(), "rss")
    assert used == pytest.approx(psutil.Process().memory_info().rss, rel=0.5)


def test_nobody_uses_none():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert memory_used(process.pid, "rss") is None


@pytest.fixture
def pid() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_a_process_that_is_stopped_makes_no_switch(pid: int) -> None:
    assert switches_when_stopped(pid) is None
    os.kill(pid, signal.SIGSTOP)
    first = wait_for(lambda: switches_when_stopped(pid))
    assert switches_when_stopped(pid) == first
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: switches_when_stopped(pid) is None)


def test_one_that_was_continued_meanwhile_is_told_from_it(pid: int) -> None:
    """Who is stopped and continued all the time, as by cpulimit, is not lost."""
    os.kill(pid, signal.SIGSTOP)
    first = wait_for(lambda: switches_when_stopped(pid))
    os.kill(pid, signal.SIGCONT)
    wait_for(lambda: switches_when_stopped(pid) is None)
    os.kill(pid, signal.SIGSTOP)
    assert wait_for(lambda: switches_when_stopped(pid)) > first


def test_one_that_is_gone_is_not_stopped() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert switches_when_stopped(process.pid) is None
