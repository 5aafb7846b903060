"""Nothing left of what the system has: descriptors, memory, processes. With some again, all is well again."""

import contextlib
import os
import resource
import signal

import psutil
import pytest

from tests.e2e.faults.drill import AGAIN, lost

NOT_FORKED = r"worker \d not forked: .*; a worker is missing.*"


@contextlib.contextmanager
def no_more(pid, what):
    """The process gets no more of it than it has (prlimit(2))."""
    process = psutil.Process(pid)
    before = process.rlimit(what)
    process.rlimit(what, (process.num_fds(), before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.rlimit(what, before)


@pytest.fixture
def site(drill):
    return drill.begin()


def test_descriptors_of_a_worker(site):
    """The other one takes what comes."""
    pid = site.workers()[1]
    with site.under_load(keep_alive=False) as load, no_more(pid, resource.RLIMIT_NOFILE):
        site.says(r"worker 1 connection not accepted: Too many open files; new .* wait; trying .*", pid)
    assert load.broken == []


def test_descriptors_of_the_master(site):
    before = site.workers()
    with site.under_load() as load:
        with no_more(site.daemon.pid, resource.RLIMIT_NOFILE):
            os.kill(before[1], signal.SIGKILL)
            site.daemon.wait_log("not forked")
        site.whole(before)
    site.says(NOT_FORKED + AGAIN)
    assert {*load.lost} <= {b"", str(before[1]).encode()}


def test_descriptors_of_the_mold(site):
    before = site.workers()
    with site.under_load() as load, no_more(site.daemon.mold(), resource.RLIMIT_NOFILE):
        os.kill(before[1], signal.SIGKILL)
        site.whole(before)
    site.says(
        r"mold lost: it cannot fork: too many open files \(ulimit -n\); no worker can be replaced until "
        r"there is a new one; workers keep serving; a new mold in \S+"
    )
    assert {*load.lost} <= {b"", str(before[1]).encode()}


def test_memory(drill):
    drill.begin(memory={"hard": "120M"})
    before = drill.workers()
    with drill.under_load() as load:
        assert drill.ask("/memory") is None
        drill.whole(before)
    drill.says(rf"worker \d killed: memory\.hard: \S+ \S+ over \S+; {lost('/memory')}{AGAIN}")
    assert len(load.broken) <= 4
