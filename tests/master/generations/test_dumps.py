"""Dumps of processes that the test plays: it writes into their pipes."""

import contextlib
import os
import re
import signal
import time

import pytest

from superwsgi.master.processes.stacks import LONGEST, QUIET, Stacks
from tests.master.processes.test_dumped import SEGMENTATION

THREAD = 'Thread 0x00007f0000000a00 (most recent call first):\n  File "/app.py", line 9 in waits\n'


@pytest.fixture(autouse=True)
def _deaf():
    """Who is asked for stacks is this process."""
    before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR2, before)


@pytest.fixture
def generation(rooms):
    return rooms.start_serving()


@pytest.fixture
def worker(rooms, generation):
    """Its first worker, into whose pipe the test may write."""
    worker = generation.workers[0]
    rooms.loop.forget(worker.stacks.fd)
    worker.stacks.close()
    worker.stacks = Stacks.pipe(4)
    rooms.children.dumps.listen(generation, worker)
    return worker


def write(stacks, text):
    os.write(stacks.end, text.encode())


def hear(rooms, until):
    """Let the loop turn until the log says so."""
    deadline = time.monotonic() + 60
    while not re.search(until, rooms.log):
        assert time.monotonic() < deadline, rooms.log
        rooms.loop.turn(time.monotonic() + QUIET)


def test_stacks_that_were_asked_for_say_whose_they_are_and_why(rooms, generation, worker):
    rooms.children.dumps.ask(generation, worker, "hangs")
    write(worker.stacks, THREAD)
    write(worker.stacks, THREAD.replace("a00", "b00"))
    hear(rooms, "stacks why=")
    assert re.search(rf"error +worker=1 gen=1 pid={os.getpid()} stacks why=hangs\n    Thread 0x", rooms.log)
    assert rooms.log.count("stacks why=") == 1


def test_others_were_asked_for_by_hand(rooms, worker):
    write(worker.stacks, THREAD)
    hear(rooms, "stacks why=SIGUSR2\n    Thread 0x")


def test_somebody_may_want_them_for_himself(rooms, generation, worker):
    told = []
    rooms.children.dumps.ask(generation, worker, "stacks", told.append)
    write(worker.stacks, THREAD)
    deadline = time.monotonic() + 60
    while not told and time.monotonic() < deadline:
        rooms.loop.turn(time.monotonic() + QUIET)
    assert told == [THREAD]
    assert "stacks why" not in rooms.log


def test_a_fatal_error_is_told_before_the_death(rooms, worker):
    write(worker.stacks, SEGMENTATION)
    rooms.worker_ends(worker, -signal.SIGSEGV)
    assert re.search(
        r'pid=\d+ fatal error what="Segmentation fault"\n    Fatal Python error.*\n(    .*\n)+.* died how=',
        rooms.log,
    )
    assert worker.dump == SEGMENTATION


def test_what_is_in_hand_is_named(rooms, generation, worker):
    generation.board.writer(worker.slot).thread(0).begin(int(rooms.now * 1e9), "GET", b"/crash", "3f-1")
    write(worker.stacks, SEGMENTATION)
    rooms.worker_ends(worker, -signal.SIGSEGV)
    assert re.search(r'fatal error what="Segmentation fault" in_hand="GET /crash 3f-1 [\d.]+m?s"', rooms.log)


def test_a_worker_without_a_pipe_writes_into_that_of_its_mold(rooms, generation, worker):
    """As those do that an earlier program of the master has started."""
    rooms.loop.forget(worker.stacks.fd)
    worker.stacks.close()
    worker.stacks = None
    rooms.children.dumps.listen(generation, worker)
    rooms.children.dumps.ask(generation, worker, "hangs")
    write(generation.stacks, THREAD)
    hear(rooms, r"worker=1 gen=1 pid=\d+ stacks why=hangs")


def test_the_mold_is_asked_where_there_is_no_worker_yet(rooms, generation, worker):
    worker.pid = None
    rooms.children.dumps.ask(generation, worker, "still booting")
    write(generation.stacks, THREAD)
    hear(
        rooms,
        r'error +gen=1 pid=\d+ stacks why="still booting"',
    )


def test_no_more_is_kept_than_is_sensible(rooms, worker):
    now = rooms.now
    for _ in range(LONGEST // 4096 + 100):
        write(worker.stacks, "x" * 4096)
        worker.stacks.read(now)
    text = worker.stacks.take()
    assert len(text) < LONGEST + 100
    assert text.endswith("(cut short)\n")


def test_nobody_writes_any_more(rooms, worker):
    worker.stacks.pass_on()
    assert not worker.stacks.read(rooms.now)


def test_who_writes_without_end_is_not_listened_to_all_the_time(rooms, worker):
    heard = 0
    os.set_blocking(worker.stacks.end, False)
    deadline = time.monotonic() + 60
    while "stacks why=SIGUSR2" not in rooms.log:
        assert time.monotonic() < deadline
        with contextlib.suppress(BlockingIOError):
            while True:
                heard += os.write(worker.stacks.end, b"x" * 4095 + b"\n")
        rooms.loop.turn(time.monotonic() + QUIET)
    assert heard < 2 * LONGEST
    assert "(cut short)\n" in rooms.log
    with pytest.raises(BlockingIOError):
        write(worker.stacks, THREAD)
    hear(rooms, "(?s)stacks why=SIGUSR2.*stacks why=SIGUSR2")  # the rest of it, a while later
    write(worker.stacks, THREAD)
    hear(rooms, "Thread 0x")
