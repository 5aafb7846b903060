"""Nothing left of what the system has: descriptors, memory, processes. With some again, all is well again."""

import contextlib
import os
import resource
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.faults.drill import AGAIN, lost

pytestmark = pytest.mark.drill

MOST = 50
"""Processes and threads; the site of the drill has some twenty."""

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


@contextlib.contextmanager
def as_many_more(count, user):
    """So many processes of that user."""
    processes = [subprocess.Popen(["sleep", "60"], user=user) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.fixture
def site(drill):
    return drill.begin()


def test_descriptors_of_a_worker(site):
    """The other one takes what comes."""
    pid = site.workers()[1]
    with site.under_load(keep_alive=False) as load, no_more(pid, resource.RLIMIT_NOFILE):
        site.says(r"worker 1 connection not accepted: Too many open files; new .* wait; tried .*", pid)
    assert load.broken == []


def test_descriptors_of_the_master(site):
    before = site.workers()
    with site.under_load() as load:
        with no_more(site.daemon.pid, resource.RLIMIT_NOFILE):
            site.kill(before[1])
            site.daemon.wait_log("not forked")
        site.whole(before)
    site.says(NOT_FORKED + AGAIN)
    assert {*load.lost} <= {b"", str(before[1]).encode()}


def test_descriptors_of_the_mold(site):
    before = site.workers()
    with site.under_load() as load, no_more(site.daemon.mold(), resource.RLIMIT_NOFILE):
        site.kill(before[1])
        site.whole(before)
    site.says(
        r"mold lost: it cannot fork: too many open files \(ulimit -n\); no worker can be replaced until "
        r"there is a new one; replaced, served again after \S+"
    )
    assert {*load.lost} <= {b"", str(before[1]).encode()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a user of its own")
def test_processes(open_drill):
    """The limit is one of all that a user runs, and none for root."""
    user = 300_000 + os.getpid()
    site = open_drill.begin(["prlimit", f"--nproc={MOST}"], user=str(user), threads=2)
    before = site.workers()
    with site.under_load() as load:
        with as_many_more(MOST, user):
            site.kill(before[1])
            site.daemon.wait_log("cannot fork")
        site.whole(before)
    site.says(rf"worker 1 died: never started: cannot fork: Resource temporarily unavailable; .*{AGAIN}")
    assert {*load.lost} <= {b"", str(before[1]).encode()}


def new_group():
    """The file for the limit of memory in a control group below ours, of version 1 or 2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers in ("memory", ""):
            folder = Path("/sys/fs/cgroup", controllers, own.lstrip("/"), f"drill-{os.getpid()}")
            with contextlib.suppress(OSError):
                folder.mkdir()
                return folder / ("memory.limit_in_bytes" if controllers else "memory.max")
    pytest.skip("no right to make a control group")


@pytest.fixture
def group():
    """One that may have 150 MB; it outlasts the site."""
    limit = new_group()
    try:
        if not limit.exists():
            pytest.skip("no limit of memory for control groups here")
        limit.write_text(str(150 << 20))
        yield limit.parent
    finally:
        limit.parent.rmdir()


def test_memory_of_a_control_group(group, drill):
    """The kernel kills the worker."""
    drill.begin(["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"])
    before = drill.workers()
    with drill.under_load() as load:
        assert drill.ask("/memory") is None
        drill.whole(before)
    said = r"signal 9 \(SIGKILL\): memory ran out, and the kernel killed it"
    told = drill.says(rf"worker \d died: {said}; {lost('/memory')}{AGAIN}")
    assert told["memory"], "what it had at the last looks"
    assert len(load.broken) <= 4


def test_memory(drill):
    drill.begin(memory={"hard": "120M"})
    before = drill.workers()
    with drill.under_load() as load:
        assert drill.ask("/memory") is None
        drill.whole(before)
    drill.says(rf"worker \d killed: memory\.hard: \S+ \S+ over \S+; {lost('/memory')}{AGAIN}")
    assert len(load.broken) <= 4
