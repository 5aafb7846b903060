"""What a generation does to its workers, with real processes that know nothing of it."""

import signal
import subprocess
import sys
import time

import pytest

from superwsgi.channel import Channel
from superwsgi.config.schema import Site
from superwsgi.config.sections import Log, Timeouts
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.resources import LogFiles, Shared
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.release import Release
from superwsgi.master.states import WorkerEvent, WorkerState


@pytest.fixture
def generation():
    site = Site(name="x", apps={"/": "app:app"}, workers=1, timeouts=Timeouts(graceful=30.0))
    with EventLoop(lambda error, _: pytest.fail(str(error))) as loop:
        shared = Shared([], LogFiles(Log(), None, None))
        generation = Generation(
            1, site, Release(sys.executable), shared, lambda *_: pytest.fail("launched"), loop
        )
        yield generation
        generation.close()


@pytest.fixture
def booting(generation):
    """A worker of which the master knows only that it runs, and its process."""
    channel, theirs = Channel.pair()
    process = subprocess.Popen(["sleep", "60"])
    worker = WorkerHandle(1, 1, 0, channel, None, "", pid=process.pid)
    worker.apply(WorkerEvent.STARTED)
    with theirs:
        yield worker, process
    channel.close()
    process.kill()
    process.wait()


def test_a_worker_that_boots_is_told_to_go_by_a_signal_that_it_may_still_answer(generation, booting):
    """Between its word that it serves and our reading it, it may have taken requests."""
    worker, process = booting
    now = time.monotonic()
    generation.drain(worker, "its generation was given up", now)
    assert process.wait(60) == -signal.SIGTERM
    assert worker.deadline is not None
    assert worker.deadline < now + 10, "one that only boots has nothing to finish"


def test_if_it_serves_after_all_it_has_the_time_to_drain(generation, booting):
    worker, _ = booting
    now = time.monotonic()
    generation.drain(worker, "its generation was given up", now)
    worker.apply(WorkerEvent.READY)
    generation.give_time_to_drain(worker, now)
    assert worker.state is WorkerState.DRAINING
    assert worker.deadline is not None
    assert worker.deadline >= now + 30
