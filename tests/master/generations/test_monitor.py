"""What is seen of processes that a signal has stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from superwsgi.master.generations.monitor import switches_when_stopped
from tests.e2e.daemon import wait_for


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
